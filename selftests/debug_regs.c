// SPDX-License-Identifier: GPL-2.0-only
/* Debug registers: the guest's own, KVM_GET/SET_DEBUGREGS, KVM_SET_GUEST_DEBUG. */

#include "selftest.h"

#define WATCHED	((volatile uint64_t *)TEST_GPA)

#define DEFINE_DR(n)								\
static uint64_t read_dr##n(void)						\
{										\
	uint64_t v;								\
										\
	asm volatile("mov %%db" #n ", %0" : "=r"(v) : : "memory");		\
	return v;								\
}										\
										\
static void write_dr##n(uint64_t v)						\
{										\
	asm volatile("mov %0, %%db" #n : : "r"(v) : "memory");			\
}

DEFINE_DR(0)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)

#define DR6_INIT	0xffff0ff0ul
#define DR7_INIT	0x400ul
#define DR7_L0		1ul
#define DR7_WRITE0	(1ul << 16)
#define DR7_LEN8_0	(2ul << 18)
#define DR7_GD		(1ul << 13)

static uint64_t hits, last_rip, last_dr6;

static void on_debug(struct trap_frame *f)
{
	WRITE_ONCE(hits, hits + 1);
	last_rip = f->rip;
	last_dr6 = read_dr6();
	write_dr6(DR6_INIT);
	/* Over the breakpoint, for which RF is made, and no more single steps. */
	f->rflags |= FLAG_RF;
	f->rflags &= ~FLAG_TF;
}

extern const char break_here[];

static void breaks(void)
{
	guest_handle(DB_VECTOR, on_debug);
	write_dr0((uintptr_t)break_here);
	write_dr7(DR7_INIT | DR7_L0);
	asm volatile("nop\n\t.globl break_here\nbreak_here:\n\tnop\n\tnop");
	GUEST_ASSERT_EQ(hits, 1);
	GUEST_ASSERT_EQ(last_rip, (uintptr_t)break_here);
	GUEST_ASSERT_EQ(last_dr6 & 0xf, 1);
	GUEST_DONE();
}

TEST(guest_execution_breakpoint)
{
	run_guest(breaks);
}

static void watches(void)
{
	guest_handle(DB_VECTOR, on_debug);
	write_dr0((uintptr_t)WATCHED);
	write_dr7(DR7_INIT | DR7_L0 | DR7_WRITE0 | DR7_LEN8_0);
	*WATCHED = 1;
	GUEST_ASSERT_EQ(hits, 1);
	GUEST_SYNC(1);			/* they outlive an exit */
	*WATCHED = 2;
	GUEST_ASSERT_EQ(hits, 2);
	write_dr7(DR7_INIT);
	*WATCHED = 3;
	GUEST_ASSERT_EQ(hits, 2);
	GUEST_DONE();
}

TEST(guest_watchpoint)
{
	struct vcpu *v = guest_of(watches);

	vcpu_expect_sync(v, 1);
	vcpu_expect_done(v);
}

static void keeps_drs(uint64_t id)
{
	for (uint64_t i = 0; i < 10; i++) {
		write_dr0(0x1000 * id + i);
		write_dr3(0x2000 * id + i);
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(read_dr0(), 0x1000 * id + i);
		GUEST_ASSERT_EQ(read_dr3(), 0x2000 * id + i);
		GUEST_ASSERT_EQ(read_dr7(), DR7_INIT);
		GUEST_ASSERT_EQ(read_dr6(), DR6_INIT);
	}
	GUEST_DONE();
}

TEST(two_vcpus_by_turns)
{
	struct vm *vm = vm_create();

	for (int i = 0; i < 2; i++) {
		vcpu_add_raw(vm, i);
		vcpu_set_cpuid(vm->vcpus[i]);
		vcpu_enter64(vm->vcpus[i], keeps_drs, i + 1);
	}
	for (int i = 0; i < 10; i++) {
		vcpu_expect_sync(vm->vcpus[0], i);
		vcpu_expect_sync(vm->vcpus[1], i);
	}
	vcpu_expect_done(vm->vcpus[0]);
	vcpu_expect_done(vm->vcpus[1]);
}

static void bad_accesses(void)
{
	GUEST_ASSERT_EQ(guest_try("mov %[v], %%db7", [v] "r"(1ul << 40)).vector, GP_VECTOR);
	GUEST_ASSERT_EQ(guest_try("mov %[v], %%db6", [v] "r"(1ul << 32)).vector, GP_VECTOR);
	/* DR4 and DR5 are other names of 6 and 7, unless CR4.DE says otherwise. */
	GUEST_ASSERT_EQ(guest_try("mov %%db4, %%rax", "a"(0)).vector, NO_TRAP);
	write_cr4(read_cr4() | CR4_DE);
	GUEST_ASSERT_EQ(guest_try("mov %%db4, %%rax", "a"(0)).vector, UD_VECTOR);
	GUEST_ASSERT_EQ(guest_try("mov %%rax, %%db5", "a"(0x400)).vector, UD_VECTOR);
	GUEST_DONE();
}

TEST(bad_accesses_fault)
{
	run_guest(bad_accesses);
}

static void shows_drs(void)
{
	GUEST_SYNC(0);
	GUEST_ASSERT_EQ(read_dr0(), 0x123000);
	GUEST_ASSERT_EQ(read_dr3(), 0x456000);
	write_dr3(0x789000);
	GUEST_SYNC(1);
	GUEST_DONE();
}

TEST(debugregs_ioctls)
{
	struct kvm_debugregs d, bad;
	struct vcpu *v;

	require_cap(KVM_CAP_DEBUGREGS);
	v = guest_of(shows_drs);
	vcpu_expect_sync(v, 0);
	ioctl_ok(v->fd, KVM_GET_DEBUGREGS, &d);
	TEST_ASSERT_EQ(d.dr6, DR6_INIT);
	TEST_ASSERT_EQ(d.dr7, DR7_INIT);
	d.db[0] = 0x123000;
	d.db[3] = 0x456000;
	ioctl_ok(v->fd, KVM_SET_DEBUGREGS, &d);
	bad = d;
	bad.db[0] = 0;
	bad.flags = 1;
	ioctl_fails(v->fd, KVM_SET_DEBUGREGS, &bad, EINVAL);
	bad.flags = 0;
	bad.dr6 = 1ul << 32;
	ioctl_fails(v->fd, KVM_SET_DEBUGREGS, &bad, EINVAL);
	bad.dr6 = d.dr6;
	bad.dr7 = 1ul << 32;
	ioctl_fails(v->fd, KVM_SET_DEBUGREGS, &bad, EINVAL);
	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_GET_DEBUGREGS, &d);
	TEST_ASSERT_EQ(d.db[0], 0x123000);
	TEST_ASSERT_EQ(d.db[3], 0x789000);
	vcpu_expect_done(v);
}

static void stepped(void)
{
	asm volatile("nop\n\tnop\n\t.globl step_here\nstep_here:\n\tnop\n\tnop\n\tnop");
	*WATCHED = 1;
	GUEST_DONE();
}

extern const char step_here[];

static void guest_debug(struct vcpu *v, uint32_t control, uint64_t dr0, uint64_t dr7)
{
	struct kvm_guest_debug d = { .control = control };

	d.arch.debugreg[0] = dr0;
	d.arch.debugreg[7] = dr7;
	ioctl_ok(v->fd, KVM_SET_GUEST_DEBUG, &d);
}

TEST(single_step)
{
	struct vcpu *v;
	struct kvm_regs r;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	v = guest_of(stepped);
	r = vcpu_regs(v);
	r.rip = (uintptr_t)step_here;
	vcpu_set_regs(v, &r);
	guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	for (int i = 1; i <= 3; i++) {
		vcpu_expect_exit(v, KVM_EXIT_DEBUG);
		TEST_ASSERT_EQ(v->run->debug.arch.exception, DB_VECTOR);
		TEST_ASSERT_EQ(v->run->debug.arch.pc, (uintptr_t)step_here + i);
		TEST_ASSERT(v->run->debug.arch.dr6 & 1 << 14, "DR6.BS");
	}
	/* Not to be seen by the guest. */
	TEST_ASSERT_EQ(vcpu_regs(v).rflags & FLAG_TF, 0);
	guest_debug(v, 0, 0, 0);
	vcpu_expect_done(v);
}

TEST(hardware_breakpoint_of_the_host)
{
	struct vcpu *v;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	TEST_REQUIRE(!host_is_tcg(), "QEMU's VMRUN loads DR7 without arming it");
	v = guest_of(stepped);
	guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, (uintptr_t)step_here,
		    DR7_INIT | DR7_L0);
	vcpu_expect_exit(v, KVM_EXIT_DEBUG);
	TEST_ASSERT_EQ(v->run->debug.arch.pc, (uintptr_t)step_here);
	TEST_ASSERT_EQ(v->run->debug.arch.dr6 & 0xf, 1);
	guest_debug(v, 0, 0, 0);
	vcpu_expect_done(v);
}
