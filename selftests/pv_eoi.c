// SPDX-License-Identifier: GPL-2.0-only
/* PV EOI: a guest that ends interrupts by a bit in its memory. */

#include <asm/kvm_para.h>

#include "irq.h"

#define VECTOR	0x61
#define LOW	0x41

static uint32_t flag __attribute__((aligned(64)));
static uint64_t saved;

/* As a guest does it: the bit if it is there, else the register. */
static void eoi(void)
{
	uint8_t was;

	asm volatile("lock; btrl $0, %0; setc %1" : "+m"(flag), "=q"(was) : : "memory");
	if (was)
		saved++;
	else
		apic_write(R_EOI, 0);
}

static void on_pv(struct trap_frame *f)
{
	count_irq(f);
	eoi();
}

static void setup(void)
{
	apic_on();
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_PV_EOI_EN), 0);
	wrmsr(MSR_KVM_PV_EOI_EN, (uintptr_t)&flag | KVM_MSR_ENABLED);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_PV_EOI_EN), (uintptr_t)&flag | KVM_MSR_ENABLED);
	guest_handle(VECTOR, on_pv);
	guest_handle(LOW, on_pv);
}

static void many(void)
{
	setup();
	for (uint64_t i = 1; i <= 100; i++) {
		apic_write(R_ICR, ICR_SELF | ICR_ASSERT | VECTOR);
		take_irqs();
		GUEST_ASSERT_EQ(irqs_of(VECTOR), i);
		/* Whichever way it was ended, it is. */
		GUEST_ASSERT_EQ(apic_read(R_ISR + 0x30), 0);
		GUEST_ASSERT_EQ(apic_read(R_PPR), 0);
		GUEST_ASSERT_EQ(READ_ONCE(flag), 0);
	}
	GUEST_ASSERT(saved > 50);
	GUEST_DONE();
}

static struct vm *pv_vm(void)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, KVM_CPUID_FEATURES, 0);
	bool has = e && e->eax & 1u << KVM_FEATURE_PV_EOI;

	free(c);
	TEST_REQUIRE(has, "no PV EOI");
	return vm_create_irqchip();
}

TEST(ends_without_exits)
{
	TEST_REQUIRE(!okvm_has_apicv(), "the CPU ends service itself: the bit is not offered");
	vcpu_expect_done(vcpu_add(pv_vm(), 0, many));
}

static void on_low(struct trap_frame *f)
{
	count_irq(f);
	/* A second one behind it: the bit must not hide that. */
	if (irqs_of(LOW) < 20)
		apic_write(R_ICR, ICR_SELF | ICR_ASSERT | LOW);
	GUEST_ASSERT(apic_read(R_ISR + 0x20) & 1u << (LOW & 31));
	eoi();
}

static void pending_behind(void)
{
	setup();
	guest_handle(LOW, on_low);
	apic_write(R_ICR, ICR_SELF | ICR_ASSERT | LOW);
	sti();
	GUEST_WAIT(irqs_of(LOW) == 20);
	GUEST_DONE();
}

TEST(one_pending_behind_another)
{
	vcpu_expect_done(vcpu_add(pv_vm(), 0, pending_behind));
}

/* A level interrupt's EOI has to be seen. */
static void on_level_sync(struct trap_frame *f)
{
	count_irq(f);
	GUEST_SYNC(2);
	eoi();
}

static void level(void)
{
	setup();
	guest_handle(VECTOR, on_level_sync);
	ioapic_route(9, RTE_LEVEL | VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_ASSERT_EQ(saved, 0);
	GUEST_ASSERT(!(ioapic_read(0x10 + 18) & RTE_REMOTE_IRR));
	GUEST_DONE();
}

TEST(not_for_level)
{
	struct vm *vm = pv_vm();
	struct vcpu *v = vcpu_add(vm, 0, level);

	vcpu_expect_sync(v, 1);
	irq_line(vm, 9, 1);
	vcpu_expect_sync(v, 2);
	irq_line(vm, 9, 0);
	vcpu_expect_done(v);
}

/* User space sees no half-ended interrupt: between exits the bit is always taken back. */
static void on_sync(struct trap_frame *f)
{
	count_irq(f);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(apic_read(R_ISR + 0x30), 1u << (VECTOR & 31));
	eoi();
}

static void interrupted(void)
{
	setup();
	guest_handle(VECTOR, on_sync);
	apic_write(R_ICR, ICR_SELF | ICR_ASSERT | VECTOR);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

TEST(taken_back_at_an_exit)
{
	struct vm *vm = pv_vm();
	struct vcpu *v = vcpu_add(vm, 0, interrupted);
	struct kvm_lapic_state s;

	vcpu_expect_sync(v, 2);
	TEST_ASSERT_EQ(*vm_shared(vm, flag), 0);
	ioctl_ok(v->fd, KVM_GET_LAPIC, &s);
	TEST_ASSERT_EQ(*(uint32_t *)(s.regs + R_ISR + 0x30), 1u << (VECTOR & 31));
	vcpu_expect_done(v);
}

static void bad_msr(void)
{
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_KVM_PV_EOI_EN, (uintptr_t)&flag | 3), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_KVM_PV_EOI_EN, ((uintptr_t)&flag + 2) | 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_KVM_PV_EOI_EN, 0), NO_TRAP);
	GUEST_DONE();
}

TEST(bad_values)
{
	vcpu_expect_done(vcpu_add(pv_vm(), 0, bad_msr));
}
