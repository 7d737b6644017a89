// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC: priorities, registers in both modes, the timer, KVM_GET_LAPIC, KVM_SET_LAPIC. */

#include "irq.h"

#define run_irq_guest(fn) vcpu_expect_done(vcpu_add(vm_create_irqchip(), 0, fn))

static void self_ipi(unsigned int vector)
{
	apic_write(R_ICR, ICR_SELF | ICR_ASSERT | vector);
}

static uint64_t order[8], taken;

static void note_order(struct trap_frame *f)
{
	order[taken++] = f->vector;
	apic_write(R_EOI, 0);
}

static void priorities(void)
{
	apic_on();
	guest_handle(0x31, note_order);
	guest_handle(0x42, note_order);
	guest_handle(0x51, note_order);
	apic_write(R_TPR, 0x40);
	self_ipi(0x31);
	self_ipi(0x51);
	self_ipi(0x42);
	GUEST_ASSERT_EQ(apic_read(R_IRR + 0x10), 1u << 0x11);
	GUEST_ASSERT_EQ(apic_read(R_IRR + 0x20), 1u << 2 | 1u << 0x11);
	take_irqs();
	/* Only the class above TPR. */
	GUEST_ASSERT_EQ(READ_ONCE(taken), 1);
	GUEST_ASSERT_EQ(order[0], 0x51);
	GUEST_ASSERT_EQ(apic_read(R_PPR), 0x40);
	GUEST_ASSERT_EQ(read_cr8(), 4);
	write_cr8(3);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x30);
	take_irqs();
	GUEST_ASSERT_EQ(READ_ONCE(taken), 2);
	GUEST_ASSERT_EQ(order[1], 0x42);
	/* With interrupts on, the write itself lets it through. */
	sti();
	apic_write(R_TPR, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(READ_ONCE(taken), 3);
	GUEST_ASSERT_EQ(order[2], 0x31);
	GUEST_DONE();
}

TEST(priorities)
{
	run_irq_guest(priorities);
}

static void nested_high(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(apic_read(R_ISR + 0x10), 1u << 0x11);
	GUEST_ASSERT_EQ(apic_read(R_ISR + 0x20), 1u << 0x11);
	on_irq(f);
}

static void nesting_low(struct trap_frame *f)
{
	count_irq(f);
	GUEST_ASSERT_EQ(apic_read(R_PPR), 0x30);
	self_ipi(0x3f);		/* same class: waits */
	self_ipi(0x51);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x51), 1);
	GUEST_ASSERT_EQ(irqs_of(0x3f), 0);
	apic_write(R_EOI, 0);
}

static void nesting(void)
{
	apic_on();
	guest_handle(0x31, nesting_low);
	guest_handle(0x3f, on_irq);
	guest_handle(0x51, nested_high);
	self_ipi(0x31);
	take_irqs();
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x31), 1);
	GUEST_ASSERT_EQ(irqs_of(0x3f), 1);
	GUEST_ASSERT_EQ(apic_read(R_PPR), 0);
	GUEST_DONE();
}

TEST(nesting)
{
	run_irq_guest(nesting);
}

static void registers(void)
{
	GUEST_ASSERT_EQ(apic_read(R_SVR), 0xff);
	GUEST_ASSERT_EQ(apic_read(R_ID), 0);
	GUEST_ASSERT_EQ(apic_read(R_LVR) & 0xff, 0x14);
	GUEST_ASSERT_EQ(apic_read(R_DFR), 0xffffffff);
	GUEST_ASSERT_EQ(apic_read(R_LVTT), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(R_LVT1), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(R_LVTERR), LVT_MASKED);
	GUEST_ASSERT_EQ(apic_read(R_TMICT), 0);
	/* While software has it disabled, no LVT entry can be unmasked. */
	apic_write(R_LVTERR, 0x41);
	GUEST_ASSERT_EQ(apic_read(R_LVTERR), LVT_MASKED | 0x41);
	apic_on();
	apic_write(R_LVTERR, 0xfffe0041);
	GUEST_ASSERT_EQ(apic_read(R_LVTERR) & 0xff0ff, 0x41);
	apic_write(R_SVR, 0xff);
	GUEST_ASSERT_EQ(apic_read(R_LVTERR) & 0xff0ff, LVT_MASKED | 0x41);
	apic_on();
	apic_write(R_LDR, 0x12345678);
	GUEST_ASSERT_EQ(apic_read(R_LDR), 0x12000000);
	apic_write(R_DFR, 0);
	GUEST_ASSERT_EQ(apic_read(R_DFR), 0x0fffffff);
	apic_write(R_TDCR, 0xffffffff);
	GUEST_ASSERT_EQ(apic_read(R_TDCR), 0xb);
	apic_write(R_ICR2, 0xffffffff);
	GUEST_ASSERT_EQ(apic_read(R_ICR2), 0xff000000);
	/* Read-only ones. */
	apic_write(R_LVR, 0);
	GUEST_ASSERT_EQ(apic_read(R_LVR) & 0xff, 0x14);
	apic_write(R_IRR, 0xffffffff);
	GUEST_ASSERT_EQ(apic_read(R_IRR), 0);
	GUEST_DONE();
}

TEST(registers)
{
	run_irq_guest(registers);
}

static void x2apic_mode(void)
{
	uint64_t v, base = rdmsr(MSR_APIC_BASE);

	GUEST_ASSERT_EQ(base, APIC_GPA | BASE_ENABLE | BASE_BSP);
	GUEST_ASSERT_EQ(guest_rdmsr_try(X2(R_ID), &v), GP_VECTOR);
	/* Reserved bits, and what is no step between modes. */
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_APIC_BASE, base | 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_APIC_BASE, base | 1ul << 63), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_APIC_BASE, (base | BASE_X2APIC) & ~BASE_ENABLE),
			GP_VECTOR);
	x2apic_on();
	GUEST_ASSERT_EQ(rdmsr(MSR_APIC_BASE), base | BASE_X2APIC);
	GUEST_ASSERT_EQ(rdmsr(X2(R_ID)), 0);
	GUEST_ASSERT_EQ(rdmsr(X2(R_LDR)), 1);
	GUEST_ASSERT_EQ(rdmsr(X2(R_LVR)) & 0xff, 0x14);
	GUEST_ASSERT_EQ(guest_rdmsr_try(X2(R_DFR), &v), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_rdmsr_try(X2(R_ICR2), &v), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_LDR), 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_ID), 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_LVR), 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_TPR), 1ul << 32), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_ESR), 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_ESR), 0), NO_TRAP);
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_APIC_BASE, base), GP_VECTOR);
	guest_handle(0x61, on_irq_x2);
	wrmsr(X2(R_SELF_IPI), 0x61);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x61), 1);
	wrmsr(X2(R_ICR), ICR_ASSERT | 0x61);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x61), 2);
	GUEST_ASSERT_EQ(rdmsr(X2(R_ICR)), ICR_ASSERT | 0x61);
	/* Through disabled, and only so, back. */
	wrmsr(MSR_APIC_BASE, base & ~BASE_ENABLE);
	GUEST_ASSERT_EQ(guest_rdmsr_try(X2(R_ID), &v), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_APIC_BASE, base | BASE_X2APIC), GP_VECTOR);
	wrmsr(MSR_APIC_BASE, base);
	GUEST_ASSERT_EQ(apic_read(R_ID), 0);
	GUEST_DONE();
}

static bool has_x2apic(void)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 1, 0);
	bool has = e && e->ecx & 1u << 21;

	free(c);
	return has;
}

TEST(x2apic_mode)
{
	TEST_REQUIRE(has_x2apic(), "no x2APIC");
	run_irq_guest(x2apic_mode);
}

static void moved_base(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	apic_on();
	apic_write(R_TPR, 0x55);
	wrmsr(MSR_APIC_BASE, (base & 0xfff) | 0xfed00000);
	GUEST_ASSERT_EQ(*(volatile uint32_t *)(0xfed00000ul + R_TPR), 0x55);
	wrmsr(MSR_APIC_BASE, base);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x55);
	GUEST_DONE();
}

TEST(base_moves_the_page)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, moved_base);

	/* Not all hardware that runs upstream lets the page move. */
	TEST_REQUIRE(kvm_is_okvm(), "only okvm promises it");
	vcpu_expect_done(v);
}

/* ---- timer ---- */

static void one_shot(void)
{
	uint32_t n;

	apic_on();
	guest_handle(0x71, on_irq);
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, 0x71);
	apic_write(R_TMICT, 300000000);
	n = apic_read(R_TMCCT);
	GUEST_ASSERT(n && n <= 300000000);
	GUEST_WAIT(apic_read(R_TMCCT) < n);
	GUEST_ASSERT_EQ(irqs_of(0x71), 0);
	sti_hlt();
	cli();
	GUEST_ASSERT_EQ(irqs_of(0x71), 1);
	GUEST_ASSERT_EQ(apic_read(R_TMCCT), 0);
	/* Stopped by a 0. */
	apic_write(R_LVTT, 0x71);
	apic_write(R_TMICT, 0xffffffff);
	apic_write(R_TMICT, 0);
	GUEST_ASSERT_EQ(apic_read(R_TMCCT), 0);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x71), 1);
	GUEST_DONE();
}

TEST(timer_one_shot)
{
	run_irq_guest(one_shot);
}

static void masked(void)
{
	uint64_t at;

	apic_on();
	guest_handle(0x71, on_irq);
	apic_write(R_TDCR, 0xb);
	apic_write(R_TMICT, 1000000);
	GUEST_WAIT(!apic_read(R_TMCCT));
	/* The count is computed; the host's timer behind it may be a moment late. */
	at = rdtsc();
	GUEST_WAIT(rdtsc() - at > 50000000);
	take_irqs();
	apic_write(R_LVTT, 0x71);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x71), 0);
	GUEST_DONE();
}

TEST(timer_masked)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, masked);

	TEST_REQUIRE(kvm_is_okvm(), "upstream may deliver it when it is unmasked");
	vcpu_expect_done(v);
}

static void periodic(void)
{
	apic_on();
	guest_handle(0x71, on_irq);
	apic_write(R_TDCR, 0x3);	/* by 16 */
	apic_write(R_LVTT, LVT_PERIODIC | 0x71);
	apic_write(R_TMICT, 1000000 / 16);
	while (irqs_of(0x71) < 20)
		sti_hlt();
	cli();
	GUEST_ASSERT(apic_read(R_TMCCT) <= 1000000 / 16);
	/* To one-shot: one more at most. */
	apic_write(R_LVTT, 0x71);
	GUEST_WAIT(!apic_read(R_TMCCT));
	take_irqs();
	GUEST_ASSERT(irqs_of(0x71) <= 22);
	GUEST_DONE();
}

TEST(timer_periodic)
{
	run_irq_guest(periodic);
}

static void storm(void)
{
	apic_on();
	guest_handle(0x71, on_irq);
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, LVT_PERIODIC | 0x71);
	apic_write(R_TMICT, 1);		/* a nanosecond: the host makes it slower */
	while (irqs_of(0x71) < 50)
		sti_hlt();
	GUEST_DONE();
}

TEST(timer_storm_is_bounded)
{
	run_irq_guest(storm);
}

static void deadline(void)
{
	uint64_t at;

	apic_on();
	guest_handle(0x71, on_irq);
	wrmsr(MSR_TSC_DEADLINE, 1);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);	/* not in that mode */
	apic_write(R_LVTT, LVT_DEADLINE | 0x71);
	GUEST_ASSERT_EQ(apic_read(R_LVTT), LVT_DEADLINE | 0x71);
	for (int i = 1; i <= 10; i++) {
		at = rdtsc() + 1000000;
		wrmsr(MSR_TSC_DEADLINE, at);
		while (irqs_of(0x71) < (uint64_t)i)
			sti_hlt();
		cli();
		GUEST_ASSERT(rdtsc() + 100000 >= at);
		GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	/* One that has passed fires at once. */
	wrmsr(MSR_TSC_DEADLINE, 1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x71), 11);
	/* Disarmed by 0, and by a change of mode. */
	at = rdtsc() + 1000000000000ul;
	wrmsr(MSR_TSC_DEADLINE, at);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), at);
	wrmsr(MSR_TSC_DEADLINE, 0);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, ~0ul);
	apic_write(R_LVTT, 0x71);
	apic_write(R_LVTT, LVT_DEADLINE | 0x71);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	GUEST_DONE();
}

TEST(timer_tsc_deadline)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct vcpu *v;

	require_cap(KVM_CAP_TSC_DEADLINE_TIMER);
	cpuid_find(c, 1, 0)->ecx |= 1u << 24;
	v = vcpu_add_raw(vm, 0);
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	vcpu_enter64(v, deadline, 0);
	vcpu_expect_done(v);
}

/* ---- state ---- */

static void timer_across_a_copy(void)
{
	apic_on();
	guest_handle(0x71, on_irq);
	guest_handle(0x81, on_irq);
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, LVT_PERIODIC | 0x71);
	apic_write(R_TMICT, 100000000);
	self_ipi(0x81);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(apic_read(R_TMICT), 100000000);
	GUEST_ASSERT_EQ(apic_read(R_IRR + 0x40), 2);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x81), 1);
	while (irqs_of(0x71) < 3)
		sti_hlt();
	GUEST_DONE();
}

TEST(state_moves_to_another_vm)
{
	struct vm *from = vm_create_irqchip(), *to = vm_create_irqchip();
	struct vcpu *a = vcpu_add(from, 0, timer_across_a_copy), *b;
	struct kvm_lapic_state s;
	struct kvm_regs r;

	vcpu_expect_sync(a, 1);
	/* Past the OUT of the sync. */
	a->run->immediate_exit = 1;
	TEST_ASSERT(vcpu_run(a) == -1 && errno == EINTR, "immediate exit");
	ioctl_ok(a->fd, KVM_GET_LAPIC, &s);
	TEST_ASSERT_EQ(*(uint32_t *)(s.regs + R_SVR), 0x1ff);
	TEST_ASSERT_EQ(*(uint32_t *)(s.regs + R_IRR + 0x40), 2);
	TEST_ASSERT(*(uint32_t *)(s.regs + R_TMCCT), "the count is shown");
	memcpy(to->regions[0].hva, from->regions[0].hva, RAM_SIZE);
	b = vcpu_add(to, 0, timer_across_a_copy);
	r = vcpu_regs(a);
	vcpu_set_regs(b, &r);
	ioctl_ok(b->fd, KVM_SET_LAPIC, &s);
	vcpu_expect_done(b);
}

TEST(no_controllers_no_lapic)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);
	struct kvm_lapic_state s = { };

	ioctl_fails(v->fd, KVM_GET_LAPIC, &s, EINVAL);
	ioctl_fails(v->fd, KVM_SET_LAPIC, &s, EINVAL);
}

static void syncs(void)
{
	for (;;)
		GUEST_SYNC(1);
}

TEST(any_state_is_survived)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, syncs);
	struct kvm_lapic_state s;
	unsigned int seed = 1;

	for (int i = 0; i < 200; i++) {
		for (unsigned int k = 0; k < sizeof(s.regs); k++)
			s.regs[k] = rand_r(&seed) >> 7;
		/* No timer to interrupt a guest that has no handlers. */
		*(uint32_t *)(s.regs + R_LVTT) |= LVT_MASKED;
		ioctl_ok(v->fd, KVM_SET_LAPIC, &s);
		ioctl_ok(v->fd, KVM_GET_LAPIC, &s);
		TEST_ASSERT_EQ(s.regs[R_LVR], 0x14);
		vcpu_expect_sync(v, 1);
	}
}

/* TPR goes up and down by CR8 while an interrupt waits for IF: the lower one lets it through. */
static void cr8_while_one_waits(void)
{
	guest_handle(0x51, on_irq);
	apic_on();
	apic_write(R_ICR, ICR_SELF | 0x51);
	GUEST_SYNC(0);
	for (int i = 0; i < 20; i++) {
		write_cr8(i & 0xf);
		GUEST_ASSERT_EQ(read_cr8(), i & 0xf);
	}
	write_cr8(5);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x51), 0);
	write_cr8(4);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x51), 1);
	GUEST_DONE();
}

TEST(cr8_while_an_interrupt_waits)
{
	struct vcpu *v;

	TEST_REQUIRE(kvm_is_okvm() || !host_is_tcg(), "upstream takes QEMU's TCG down");
	v = vcpu_add(vm_create_irqchip(), 0, cr8_while_one_waits);
	vcpu_expect_sync(v, 0);
	vcpu_expect_done(v);
}
