// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_GUEST_DEBUG: steps over what the CPU does not execute, breakpoints, no interrupts. */

#include "irq.h"

#define STEP (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)

static void guest_debug(struct vcpu *v, uint32_t control)
{
	struct kvm_guest_debug d = { .control = control };

	ioctl_ok(v->fd, KVM_SET_GUEST_DEBUG, &d);
}

static void expect_step(struct vcpu *v, uint64_t pc)
{
	vcpu_expect_exit(v, KVM_EXIT_DEBUG);
	TEST_ASSERT_EQ(v->run->debug.arch.exception, DB_VECTOR);
	TEST_ASSERT_EQ(v->run->debug.arch.pc, pc);
	TEST_ASSERT(v->run->debug.arch.dr6 & 1 << 14, "DR6.BS");
}

extern const char at_cpuid[], at_rdmsr[], at_store[], at_load[], at_out[], at_nop[], at_end[];

static void on_debug(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(f->vector, 0);
}

/* CPUID and RDMSR exit, the accesses are emulated and go to user space, OUT does too. */
static void exits(void)
{
	guest_handle(DB_VECTOR, on_debug);
	asm volatile(".globl at_cpuid, at_rdmsr, at_store, at_load, at_out, at_nop, at_end\n"
		     "at_cpuid: cpuid\n"
		     "mov $0x1b, %%ecx\n"
		     "at_rdmsr: rdmsr\n"
		     "at_store: movl $1, (%[mmio])\n"
		     "at_load: movl (%[mmio]), %%eax\n"
		     "at_out: outb %%al, $0x80\n"
		     "at_nop: nop\n"
		     "at_end:"
		     : : [mmio] "r"(NOWHERE_GPA), "a"(0) : "rbx", "rcx", "rdx", "memory");
	GUEST_DONE();
}

TEST(steps_over_exits)
{
	struct vcpu *v;
	struct kvm_regs r;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	v = guest_of(exits);
	r = vcpu_regs(v);
	r.rip = (uintptr_t)at_cpuid;
	/* Whatever register the compiler took for the address. */
	r.rsi = r.rdi = r.rbp = r.r8 = r.r9 = r.r10 = r.r11 = r.r12 = r.r13 = NOWHERE_GPA;
	r.rax = 0;
	vcpu_set_regs(v, &r);
	guest_debug(v, STEP);
	expect_step(v, (uintptr_t)at_cpuid + 2);
	expect_step(v, (uintptr_t)at_rdmsr);
	expect_step(v, (uintptr_t)at_store);
	TEST_REQUIRE(kvm_is_okvm(), "KVM loses the step behind an MMIO write");
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT(v->run->mmio.is_write, "a write");
	expect_step(v, (uintptr_t)at_load);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT(!v->run->mmio.is_write, "a read");
	memset(v->run->mmio.data, 0, sizeof(v->run->mmio.data));
	expect_step(v, (uintptr_t)at_out);
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->io.port, 0x80);
	expect_step(v, (uintptr_t)at_nop);
	expect_step(v, (uintptr_t)at_end);
	TEST_ASSERT_EQ(vcpu_regs(v).rflags & FLAG_TF, 0);
}

extern const char at_hlt[];

static void halts(void)
{
	apic_on();
	guest_handle(0x40, on_irq);
	GUEST_SYNC(0);
	sti();
	asm volatile(".globl at_hlt\nat_hlt: hlt");
	GUEST_ASSERT_EQ(irqs_of(0x40), 1);
	GUEST_DONE();
}

/* A step over HLT ends behind it, and the vCPU waits all the same. */
TEST(steps_over_halt)
{
	struct kvm_mp_state mp;
	struct kvm_regs r;
	struct vcpu *v;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	v = vcpu_add(vm_create_irqchip(), 0, halts);
	vcpu_expect_sync(v, 0);
	r = vcpu_regs(v);
	r.rip = (uintptr_t)at_hlt;
	r.rflags |= FLAG_IF;
	vcpu_set_regs(v, &r);
	guest_debug(v, STEP);
	expect_step(v, (uintptr_t)at_hlt + 1);
	ioctl_ok(v->fd, KVM_GET_MP_STATE, &mp);
	TEST_ASSERT_EQ(mp.mp_state, KVM_MP_STATE_HALTED);
	guest_debug(v, 0);
	TEST_ASSERT_EQ(send_msi(v->vm, 0xfee00000, 0x40), 1);
	vcpu_expect_done(v);
}

extern const char in_loop[];

static void interrupted(void)
{
	apic_on();
	guest_handle(0x40, on_irq);
	sti();
	GUEST_SYNC(0);
	asm volatile(".globl in_loop\nin_loop: nop\n\tnop\n\tnop\n\tnop");
	while (!irqs_of(0x40))
		asm volatile("pause");
	GUEST_DONE();
}

/* Steps that no interrupt handler comes between; the interrupt is there afterwards. */
TEST(no_interrupts_while_stepping)
{
	struct kvm_regs r;
	struct vcpu *v;

	TEST_REQUIRE(kvm_cap(KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ, "no BLOCKIRQ");
	v = vcpu_add(vm_create_irqchip(), 0, interrupted);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(send_msi(v->vm, 0xfee00000, 0x40), 1);
	r = vcpu_regs(v);
	r.rip = (uintptr_t)in_loop;
	vcpu_set_regs(v, &r);
	guest_debug(v, STEP | KVM_GUESTDBG_BLOCKIRQ);
	for (int i = 1; i <= 4; i++)
		expect_step(v, (uintptr_t)in_loop + i);
	TEST_ASSERT_EQ(*(volatile uint64_t *)&(*vm_shared(v->vm, irqs))[0x40], 0);
	guest_debug(v, 0);
	vcpu_expect_done(v);
}

/* Without it the handler runs, which is no part of the step, as its RFLAGS have no TF. */
TEST(interrupts_while_stepping)
{
	struct kvm_regs r;
	struct vcpu *v;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	TEST_REQUIRE(kvm_is_okvm(), "KVM tells of a step behind each instruction that it emulates");
	v = vcpu_add(vm_create_irqchip(), 0, interrupted);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(send_msi(v->vm, 0xfee00000, 0x40), 1);
	r = vcpu_regs(v);
	r.rip = (uintptr_t)in_loop;
	vcpu_set_regs(v, &r);
	guest_debug(v, STEP);
	expect_step(v, (uintptr_t)in_loop + 1);
	TEST_ASSERT_EQ(*(volatile uint64_t *)&(*vm_shared(v->vm, irqs))[0x40], 1);
	guest_debug(v, 0);
	vcpu_expect_done(v);
}

extern const char at_int3[];

static void breaks(void)
{
	GUEST_SYNC(0);
	asm volatile(".globl at_int3\nat_int3: int3");
	GUEST_DONE();
}

TEST(software_breakpoint)
{
	struct kvm_regs r;
	struct vcpu *v;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	TEST_REQUIRE(!host_is_tcg(), "QEMU's VMRUN does not intercept INT3");
	v = guest_of(breaks);
	vcpu_expect_sync(v, 0);
	guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
	vcpu_expect_exit(v, KVM_EXIT_DEBUG);
	TEST_ASSERT_EQ(v->run->debug.arch.exception, BP_VECTOR);
	TEST_ASSERT_EQ(v->run->debug.arch.pc, (uintptr_t)at_int3);
	r = vcpu_regs(v);
	TEST_ASSERT_EQ(r.rip, (uintptr_t)at_int3);
	r.rip++;
	vcpu_set_regs(v, &r);
	vcpu_expect_done(v);
}

/* Large segments: a CPU without unrestricted guest does not run these itself. */
GUEST_ASM(big_real_break, 16,
	  "nop\n\t"
	  "int3\n\t"
	  "mov $0x42, %al\n\t"
	  "out %al, $0x80\n\t"
	  "hlt\n\t");

TEST(software_breakpoint_in_big_real_mode)
{
	struct kvm_sregs s;
	struct vcpu *v;
	struct kvm_regs r;
	struct vm *vm;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	TEST_REQUIRE(!host_is_tcg(), "QEMU's VMRUN does not intercept INT3");
	vm = vm_create();
	v = vcpu_add_raw(vm, 0);
	vm_load_asm(vm, 0x9000, big_real_break);
	vcpu_enter16(v, 0x900, 0);
	s = vcpu_sregs(v);
	s.ds.limit = s.es.limit = 0xffffffff;
	s.ds.g = s.es.g = 1;
	vcpu_set_sregs(v, &s);
	guest_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
	vcpu_expect_exit(v, KVM_EXIT_DEBUG);
	TEST_ASSERT_EQ(v->run->debug.arch.exception, BP_VECTOR);
	TEST_ASSERT_EQ(v->run->debug.arch.pc, 0x9001);
	r = vcpu_regs(v);
	TEST_ASSERT_EQ(r.rip, 1);
	r.rip++;
	vcpu_set_regs(v, &r);
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(*(uint8_t *)pio_data(v), 0x42);
}

TEST(bad_arguments)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | 0x80000000 };
	struct vcpu *v;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	v = guest_of(breaks);
	TEST_REQUIRE(kvm_is_okvm(), "KVM takes unknown flags");
	ioctl_fails(v->fd, KVM_SET_GUEST_DEBUG, &d, EINVAL);
	/* Nothing of it holds. */
	vcpu_expect_sync(v, 0);
}
