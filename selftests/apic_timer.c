// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC's timer while the guest runs, sleeps, and is not run; and a TSC that moves. */

#include "irq.h"

#define VECTOR		0x71
#define SLACK		2000	/* ticks that the host's clock and its TSC may differ by */

static uint64_t fired_at;

static void on_timer(struct trap_frame *f)
{
	WRITE_ONCE(fired_at, rdtsc());
	on_irq(f);
}

static void timer_on(uint32_t mode)
{
	apic_on();
	guest_handle(VECTOR, on_timer);
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, mode | VECTOR);
}

static struct vcpu *deadline_guest(struct vm *vm, void (*fn)(void))
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct vcpu *v = vcpu_add_raw(vm, 0);

	require_cap(KVM_CAP_TSC_DEADLINE_TIMER);
	cpuid_find(c, 1, 0)->ecx |= 1u << 24;
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	free(c);
	vcpu_enter64(v, fn, 0);
	return v;
}

static void wait_for(uint64_t n, bool sleep)
{
	sti();
	while (irqs_of(VECTOR) < n) {
		if (sleep) {
			cli();
			if (irqs_of(VECTOR) < n)
				sti_hlt();
		}
	}
	cli();
}

/* Short and long ones, in turn while it computes and while it sleeps. */
static void deadlines(void)
{
	uint64_t at;

	timer_on(LVT_DEADLINE);
	for (int i = 1; i <= 40; i++) {
		at = rdtsc() + 3000 * i;
		wrmsr(MSR_TSC_DEADLINE, at);
		wait_for(i, i & 1);
		GUEST_ASSERT_EQ(irqs_of(VECTOR), i);
		GUEST_ASSERT(fired_at + SLACK >= at);
		GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	GUEST_DONE();
}

TEST(deadlines)
{
	vcpu_expect_done(deadline_guest(vm_create_irqchip(), deadlines));
}

/* A running guest's timer is the CPU's, if it has one that can be trusted. */
TEST(backends_timer)
{
	struct vcpu *v = deadline_guest(vm_create_irqchip(), deadlines);

	TEST_REQUIRE(kvm_is_okvm(), "a statistic of okvm");
	TEST_REQUIRE(host_has_vmx(), "SVM has no timer for it");
	vcpu_expect_done(v);
	if (okvm_parameter("preemption_timer"))
		TEST_ASSERT(vcpu_stat(v, "timer_exits") >= 20, "it was not used");
	else
		TEST_ASSERT_EQ(vcpu_stat(v, "timer_exits"), 0);
}

static void one_shots(void)
{
	uint64_t start;

	timer_on(0);
	for (int i = 1; i <= 20; i++) {
		start = rdtsc();
		apic_write(R_TMICT, 20000 * i);
		GUEST_ASSERT(apic_read(R_TMCCT) <= 20000u * i);
		wait_for(i, i & 1);
		GUEST_ASSERT(fired_at > start);
		GUEST_ASSERT_EQ(apic_read(R_TMCCT), 0);
	}
	/* A new count replaces the old one, and 0 stops it. */
	apic_write(R_TMICT, 10000000);
	apic_write(R_TMICT, 0xffffffff);
	start = rdtsc();
	GUEST_WAIT(rdtsc() - start > 50000000);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 20);
	apic_write(R_TMICT, 10000000);
	apic_write(R_TMICT, 0);
	GUEST_WAIT(rdtsc() - start > 100000000);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 20);
	GUEST_DONE();
}

TEST(one_shots)
{
	vcpu_expect_done(vcpu_add(vm_create_irqchip(), 0, one_shots));
}

static void rounds(void)
{
	timer_on(LVT_PERIODIC);
	apic_write(R_TMICT, 500000);
	wait_for(10, false);
	wait_for(20, true);
	apic_write(R_TMICT, 0);
	GUEST_SYNC_VAL(1, irqs_of(VECTOR));
	GUEST_DONE();
}

/* No round comes before its time, whether the guest computes or sleeps. */
TEST(periodic)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, rounds);
	struct timespec a, b;
	uint64_t n, us;

	clock_gettime(CLOCK_MONOTONIC, &a);
	n = vcpu_expect_sync(v, 1);
	clock_gettime(CLOCK_MONOTONIC, &b);
	us = (b.tv_sec - a.tv_sec) * 1000000ul + b.tv_nsec / 1000 - a.tv_nsec / 1000;
	TEST_ASSERT(n >= 20 && us >= n * 500, "%lu rounds of 500 us in %lu us", n, us);
	vcpu_expect_done(v);
}

static void armed_twice(void)
{
	timer_on(LVT_DEADLINE);
	/* Further than any counter of 32 bits goes, and back. */
	wrmsr(MSR_TSC_DEADLINE, ~0ul);
	GUEST_SYNC(1);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1ul << 45));
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 10000);
	wait_for(1, false);
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

TEST(far_deadlines)
{
	struct vcpu *v = deadline_guest(vm_create_irqchip(), armed_twice);

	vcpu_expect_sync(v, 1);
	vcpu_expect_done(v);
}

static void disarmed(void)
{
	uint64_t at;

	timer_on(LVT_DEADLINE);
	at = rdtsc() + 2000000;
	wrmsr(MSR_TSC_DEADLINE, at);
	apic_write(R_LVTT, VECTOR);
	GUEST_WAIT(rdtsc() > at + 100000);
	take_irqs();
	apic_write(R_LVTT, LVT_DEADLINE | VECTOR);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 0);
	GUEST_DONE();
}

TEST(a_mode_change_disarms)
{
	vcpu_expect_done(deadline_guest(vm_create_irqchip(), disarmed));
}

#define MSR_TSC		0x10

static void tsc_forward(void)
{
	timer_on(LVT_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1ul << 33));
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 0);
	wrmsr(MSR_TSC, rdtsc() + (1ul << 34));
	wait_for(1, false);
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	/* And back: what was near is far. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 5000000);
	wrmsr(MSR_TSC, rdtsc() - (1ul << 34));
	for (uint64_t end = rdtsc() + 10000000; rdtsc() < end;)
		take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

TEST(a_deadline_is_the_guests_tsc)
{
	struct vcpu *v = deadline_guest(vm_create_irqchip(), tsc_forward);

	TEST_REQUIRE(kvm_is_okvm(), "upstream keeps the moment that it computed first");
	vcpu_expect_done(v);
}

static void arms_and_leaves(void)
{
	timer_on(LVT_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

/* It expires while the vCPU is not run: who saves its state must see that. */
TEST(expires_in_user_space)
{
	struct vcpu *v = deadline_guest(vm_create_irqchip(), arms_and_leaves);
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { { .nmsrs = 1 }, { .index = MSR_TSC_DEADLINE } };
	struct kvm_lapic_state s;
	uint32_t irr;

	TEST_REQUIRE(kvm_is_okvm() || !host_has_vmx(), "upstream's saved state has no trace of it");
	vcpu_expect_sync(v, 1);
	usleep(100000);
	ioctl_ok(v->fd, KVM_GET_LAPIC, &s);
	memcpy(&irr, s.regs + R_IRR + VECTOR / 32 * 0x10, sizeof(irr));
	TEST_ASSERT_EQ(irr, 1u << VECTOR % 32);
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_GET_MSRS, &m), 1);
	TEST_ASSERT_EQ(m.e.data, 0);
	vcpu_expect_done(v);
}

static void scaled(void)
{
	uint64_t at;

	timer_on(LVT_DEADLINE);
	for (int i = 1; i <= 10; i++) {
		at = rdtsc() + 500000;
		wrmsr(MSR_TSC_DEADLINE, at);
		wait_for(i, i & 1);
		/* After a change of the rate the counter may be about to wrap. */
		GUEST_ASSERT((int64_t)(fired_at - at) >= -SLACK);
		GUEST_ASSERT(fired_at + SLACK - at < 1ul << 32);
	}
	GUEST_DONE();
}

TEST(at_another_rate)
{
	struct vcpu *v;
	long khz;

	require_cap(KVM_CAP_TSC_CONTROL);
	for (int times = 0; times < 3; times++) {
		v = deadline_guest(vm_create_irqchip(), scaled);
		khz = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, NULL);
		khz = times == 0 ? khz / 3 : khz * 2 * times;
		ioctl_ok(v->fd, KVM_SET_TSC_KHZ, (void *)khz);
		vcpu_expect_done(v);
	}
}
