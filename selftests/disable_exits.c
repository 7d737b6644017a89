// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_X86_DISABLE_EXITS: the guest's HLT, MWAIT and PAUSE are the CPU's. */

#include <sys/time.h>

#include "irq.h"

#define ALL_EXITS (KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT | \
		   KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_CSTATE)
#define IRQ_VECTOR 0x40

static int disable(struct vm *vm, uint64_t which)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { which } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void halts(void)
{
	guest_handle(IRQ_VECTOR, count_irq);
	GUEST_SYNC(0);
	while (!irqs_of(IRQ_VECTOR))
		asm volatile("sti\n\thlt\n\tcli" : : : "memory");
	GUEST_DONE();
}

TEST(bad_arguments)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { ALL_EXITS + 1 } };
	struct vcpu *v;
	struct vm *vm;
	int offered;

	require_cap(KVM_CAP_X86_DISABLE_EXITS);
	offered = kvm_cap(KVM_CAP_X86_DISABLE_EXITS);
	TEST_ASSERT_EQ(offered & ~ALL_EXITS, 0);
	vm = vm_create();
	ioctl_fails(vm->fd, KVM_ENABLE_CAP, &cap, EINVAL);
	cap.args[0] = KVM_X86_DISABLE_EXITS_HLT | 1ull << 40;
	ioctl_fails(vm->fd, KVM_ENABLE_CAP, &cap, EINVAL);
	cap.args[0] = KVM_X86_DISABLE_EXITS_HLT;
	cap.flags = 1;
	ioctl_fails(vm->fd, KVM_ENABLE_CAP, &cap, EINVAL);
	v = vcpu_add(vm, 0, halts);
	/* KVM has been refusing it since 6.3. */
	if (kvm_is_okvm()) {
		TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_HLT), -1);
		TEST_ASSERT_EQ(errno, EINVAL);
	}
	vcpu_expect_sync(v, 0);
	/* Nothing of it has happened. */
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

static void on_alarm(int sig)
{
}

/* The guest waits in its HLT until a signal takes it out; an interrupt then ends it. */
TEST(halts_in_the_guest)
{
	struct kvm_interrupt irq = { .irq = IRQ_VECTOR };
	struct vcpu *v;
	struct vm *vm;

	require_cap(KVM_CAP_X86_DISABLE_EXITS);
	TEST_REQUIRE(kvm_cap(KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT, "not HLT");
	vm = vm_create();
	TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_HLT), 0);
	v = vcpu_add(vm, 0, halts);
	vcpu_expect_sync(v, 0);
	for (int i = 0; i < 3; i++) {
		struct sigaction action = { .sa_handler = on_alarm };
		struct itimerval soon = { .it_value.tv_usec = 200000 };

		sigaction(SIGALRM, &action, NULL);
		setitimer(ITIMER_REAL, &soon, NULL);
		TEST_ASSERT_EQ(vcpu_run(v), -1);
		TEST_ASSERT_EQ(errno, EINTR);
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_INTR);
	}
	v->run->request_interrupt_window = 1;
	vcpu_expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	v->run->request_interrupt_window = 0;
	ioctl_ok(v->fd, KVM_INTERRUPT, &irq);
	vcpu_expect_done(v);
}

static void timer_ends_halt(void)
{
	apic_on();
	guest_handle(IRQ_VECTOR, on_irq);
	GUEST_SYNC(0);
	for (uint64_t n = 1; n <= 20; n++) {
		apic_write(R_TDCR, 0xb);
		apic_write(R_LVTT, IRQ_VECTOR);
		apic_write(R_TMICT, 100000);
		while (irqs_of(IRQ_VECTOR) < n)
			asm volatile("sti\n\thlt\n\tcli" : : : "memory");
	}
	GUEST_DONE();
}

TEST(timer_ends_it)
{
	struct vcpu *v;
	struct vm *vm;

	require_cap(KVM_CAP_X86_DISABLE_EXITS);
	TEST_REQUIRE(kvm_cap(KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT, "not HLT");
	vm = vm_create_irqchip();
	TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_HLT), 0);
	v = vcpu_add(vm, 0, timer_ends_halt);
	vcpu_expect_sync(v, 0);
	vcpu_expect_done(v);
	TEST_ASSERT_EQ(vcpu_stat(v, "halt_exits"), 0);
}

TEST(halts_are_seen_otherwise)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, timer_ends_halt);

	vcpu_expect_sync(v, 0);
	vcpu_expect_done(v);
	TEST_ASSERT(vcpu_stat(v, "halt_exits") > 0, "its HLT exits");
}

/* A guest whose HLT is not seen is not told that it can be kicked out of it. */
TEST(no_unhalt)
{
	TEST_REQUIRE(kvm_is_okvm(), "KVM 6.1 does not find the leaf in time");
	for (int i = 0; i < 2; i++) {
		struct vm *vm = vm_create_irqchip();
		struct kvm_cpuid2 *c;
		struct vcpu *v;

		require_cap(KVM_CAP_X86_DISABLE_EXITS);
		if (i)
			TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_HLT), 0);
		v = vcpu_add(vm, 0, halts);
		c = kvm_supported_cpuid();
		ioctl_ok(v->fd, KVM_GET_CPUID2, c);
		TEST_ASSERT_EQ(cpuid_find(c, 0x40000001, 0)->eax >> 7 & 1, !i);
		free(c);
		vm_destroy(vm);
	}
}

static void spins(void)
{
	for (int i = 0; i < 100000; i++)
		asm volatile("pause");
	GUEST_DONE();
}

TEST(pauses_in_the_guest)
{
	struct vcpu *v;
	struct vm *vm;

	require_cap(KVM_CAP_X86_DISABLE_EXITS);
	vm = vm_create();
	TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_CSTATE), 0);
	v = vcpu_add(vm, 0, spins);
	vcpu_expect_done(v);
}

static uint64_t monitored;

static void mwaits(void)
{
	apic_on();
	guest_handle(IRQ_VECTOR, on_irq);
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, IRQ_VECTOR);
	apic_write(R_TMICT, 100000);
	while (!irqs_of(IRQ_VECTOR)) {
		asm volatile("monitor" : : "a"(&monitored), "c"(0), "d"(0));
		asm volatile("sti\n\tmwait\n\tcli" : : "a"(0), "c"(0) : "memory");
	}
	GUEST_DONE();
}

TEST(mwaits_in_the_guest)
{
	struct vcpu *v;
	struct vm *vm;

	require_cap(KVM_CAP_X86_DISABLE_EXITS);
	TEST_REQUIRE(kvm_cap(KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_MWAIT,
		     "the CPU has no MWAIT for guests");
	vm = vm_create_irqchip();
	TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_MWAIT), 0);
	v = vcpu_add(vm, 0, mwaits);
	vcpu_expect_done(v);
}

static void filtered(uint64_t msr)
{
	uint64_t value;

	GUEST_SYNC(guest_rdmsr_try(msr, &value));
	GUEST_DONE();
}

/* User space's filter holds for the MSRs of the core's idle time, too. */
TEST(filter_beats_cstate)
{
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	uint8_t none[1] = { 0 };
	struct vcpu *v;
	struct vm *vm;

	require_cap(KVM_CAP_X86_DISABLE_EXITS);
	require_cap(KVM_CAP_X86_MSR_FILTER);
	vm = vm_create();
	TEST_ASSERT_EQ(disable(vm, KVM_X86_DISABLE_EXITS_CSTATE), 0);
	filter.ranges[0] = (struct kvm_msr_filter_range){
		.flags = KVM_MSR_FILTER_READ, .base = 0x3fd, .nmsrs = 1, .bitmap = none,
	};
	ioctl_ok(vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
	v = vcpu_add_raw(vm, 0);
	vcpu_set_cpuid(v);
	vcpu_enter64(v, filtered, 0x3fd);
	vcpu_expect_sync(v, GP_VECTOR);
	vcpu_expect_done(v);
}
