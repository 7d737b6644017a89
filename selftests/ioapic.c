// SPDX-License-Identifier: GPL-2.0-only
/* The IOAPIC: registers, edge and level pins, remote IRR and EOI, KVM_GET_IRQCHIP. */

#include "irq.h"

#define PIN	9
#define VECTOR	0x59

static void registers(void)
{
	GUEST_ASSERT_EQ(ioapic_read(1) & 0xff00ff, 0x170011);
	ioapic_write(0, 0x05000000);
	GUEST_ASSERT_EQ(ioapic_read(0), 0x05000000);
	for (unsigned int i = 0; i < 24; i++) {
		GUEST_ASSERT_EQ(ioapic_read(0x10 + 2 * i), RTE_MASKED);
		ioapic_route(i, 0xab00000000000000 | RTE_MASKED | RTE_LEVEL | i);
		GUEST_ASSERT_EQ(ioapic_read(0x10 + 2 * i), RTE_MASKED | RTE_LEVEL | i);
		GUEST_ASSERT_EQ(ioapic_read(0x11 + 2 * i), 0xab000000);
	}
	/* Read-only bits, and pins that do not exist. */
	ioapic_route(0, RTE_MASKED | RTE_LEVEL | RTE_REMOTE_IRR | 1 << 12);
	GUEST_ASSERT_EQ(ioapic_read(0x10), RTE_MASKED | RTE_LEVEL);
	ioapic_write(0x40, 0);
	ioapic_write(0xff, 0);
	GUEST_DONE();
}

TEST(registers)
{
	vcpu_expect_done(vcpu_add(vm_create_irqchip(), 0, registers));
}

static void edge(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(PIN, VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_SYNC(2);		/* still high: no edge */
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	ioapic_route(PIN, RTE_MASKED | VECTOR);
	GUEST_SYNC(3);		/* lost */
	ioapic_route(PIN, VECTOR);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_ASSERT(!(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR));
	GUEST_DONE();
}

TEST(edge)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, edge);

	vcpu_expect_sync(v, 1);
	irq_line(vm, PIN, 1);
	vcpu_expect_sync(v, 2);
	irq_line(vm, PIN, 1);
	vcpu_expect_sync(v, 3);
	irq_line(vm, PIN, 0);
	irq_pulse(vm, PIN);
	vcpu_expect_done(v);
}

static void on_level(struct trap_frame *f)
{
	count_irq(f);
	GUEST_ASSERT(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR);
	GUEST_ASSERT(apic_read(R_TMR + 0x20) & 1u << (VECTOR & 31));
	GUEST_SYNC_VAL(2, irqs_of(VECTOR));
	apic_write(R_EOI, 0);
}

static void level(void)
{
	apic_on();
	guest_handle(VECTOR, on_level);
	ioapic_route(PIN, RTE_LEVEL | VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 3);
	GUEST_ASSERT(!(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR));
	/* Raised behind the mask, it comes with the unmasking. */
	ioapic_route(PIN, RTE_MASKED | RTE_LEVEL | VECTOR);
	GUEST_SYNC(3);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 3);
	ioapic_route(PIN, RTE_LEVEL | VECTOR);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 4);
	GUEST_DONE();
}

TEST(level)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, level);

	vcpu_expect_sync(v, 1);
	irq_line(vm, PIN, 1);
	for (int i = 1; i <= 3; i++) {
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), i);
		if (i == 3)
			irq_line(vm, PIN, 0);
	}
	vcpu_expect_sync(v, 3);
	irq_line(vm, PIN, 1);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 4);
	irq_line(vm, PIN, 0);
	vcpu_expect_done(v);
}

static void to_edge_and_back(void)
{
	apic_on();
	guest_handle(VECTOR, count_irq);
	ioapic_route(PIN, RTE_LEVEL | VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR);
	ioapic_route(PIN, RTE_MASKED | VECTOR);
	GUEST_ASSERT(!(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR));
	GUEST_DONE();
}

TEST(turn_to_edge_clears_remote_irr)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, to_edge_and_back);

	vcpu_expect_sync(v, 1);
	irq_line(vm, PIN, 1);
	vcpu_expect_done(v);
}

static void delivery_modes(void)
{
	apic_on();
	guest_handle(NMI_VECTOR, count_irq);
	guest_handle(VECTOR, on_irq);
	ioapic_route(PIN, 4 << 8);
	GUEST_SYNC(1);
	asm volatile("nop");
	GUEST_ASSERT_EQ(irqs_of(NMI_VECTOR), 1);
	apic_write(R_LDR, 0x08000000);
	ioapic_route(PIN, 0x0800000000000000 | 1 << 8 | RTE_LOGICAL | VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	/* Somebody else's. */
	ioapic_route(PIN, 0x0400000000000000 | RTE_LOGICAL | VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	ioapic_route(PIN, 0xff00000000000000 | VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 2);
	GUEST_DONE();
}

TEST(delivery_modes)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, delivery_modes);

	for (int i = 0; i < 4; i++) {
		vcpu_expect_sync(v, 1);
		irq_pulse(vm, PIN);
	}
	vcpu_expect_done(v);
}

TEST(state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC }, d;

	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &c);
	TEST_ASSERT_EQ(c.chip.ioapic.base_address, IOAPIC_GPA);
	for (int i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
		TEST_ASSERT_EQ(c.chip.ioapic.redirtbl[i].bits, RTE_MASKED);
		c.chip.ioapic.redirtbl[i].bits = 0x0300000000010000ul | RTE_LEVEL | (0x30 + i);
	}
	c.chip.ioapic.ioregsel = 0x12;
	c.chip.ioapic.id = 7;
	ioctl_ok(vm->fd, KVM_SET_IRQCHIP, &c);
	d.chip_id = KVM_IRQCHIP_IOAPIC;
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &d);
	TEST_ASSERT(!memcmp(&c.chip.ioapic, &d.chip.ioapic, sizeof(c.chip.ioapic)), "as set");
	/* A level line that waits behind the mask is part of the state. */
	irq_line(vm, 20, 1);
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &d);
	TEST_ASSERT_EQ(d.chip.ioapic.irr, 1 << 20);
}

static void restored(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

TEST(pending_in_a_restored_state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, restored);
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

	vcpu_expect_sync(v, 1);
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &c);
	c.chip.ioapic.redirtbl[PIN].bits = VECTOR;
	c.chip.ioapic.irr = 1 << PIN;
	ioctl_ok(vm->fd, KVM_SET_IRQCHIP, &c);
	vcpu_expect_done(v);
}

static void rtc(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(8, VECTOR);
	GUEST_SYNC(1);
	take_irqs();
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(rtc_ticks_coalesce)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, rtc);

	vcpu_expect_sync(v, 1);
	/* KVM_IRQ_LINE_STATUS tells whoever counts ticks that the last one is not through. */
	TEST_ASSERT(irq_status(vm, 8, 1) > 0, "the first");
	irq_status(vm, 8, 0);
	TEST_ASSERT_EQ(irq_status(vm, 8, 1), 0);
	irq_status(vm, 8, 0);
	vcpu_expect_sync(v, 2);
	TEST_ASSERT(irq_status(vm, 8, 1) > 0, "after its EOI");
	vcpu_expect_done(v);
}
