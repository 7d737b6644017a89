// SPDX-License-Identifier: GPL-2.0-only
/* The PICs: programmed by a guest, driven by KVM_IRQ_LINE, through LINT0; KVM_GET_IRQCHIP. */

#include "irq.h"

static void on_pic(struct trap_frame *f)
{
	count_irq(f);
	if (f->vector >= 0x28)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void listen(void)
{
	for (int i = 0x20; i < 0x30; i++)
		guest_handle(i, on_pic);
	apic_on();
	apic_write(R_LVT0, LVT_EXTINT);
}

static void edges(void)
{
	listen();
	pic_setup(0xffff);
	GUEST_ASSERT_EQ(inb(0x21), 0);
	for (int i = 0; i < 16; i++) {
		if (i == 2)
			continue;
		GUEST_SYNC(i);
		take_irqs();
		GUEST_ASSERT_EQ(irqs_of(0x20 + i), 1);
	}
	/* Masked, it is remembered. */
	outb(0x21, 0xff);
	GUEST_SYNC(3);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x23), 1);
	outb(0x21, 0);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x23), 2);
	GUEST_DONE();
}

TEST(edges)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, edges);

	while (vcpu_next(v) == UCALL_SYNC)
		irq_pulse(vm, v->uc.args[0]);
	TEST_ASSERT_EQ(v->uc.cmd, UCALL_DONE);
}

static void lint0(void)
{
	listen();
	pic_setup(0xffff);
	apic_write(R_LVT0, LVT_MASKED | LVT_EXTINT);
	GUEST_SYNC(3);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x23), 0);
	apic_write(R_LVT0, LVT_EXTINT);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x23), 1);
	GUEST_DONE();
}

TEST(unmasked_lint0)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, lint0);

	TEST_REQUIRE(kvm_is_okvm(), "upstream looks again only when something else happens");
	vcpu_expect_sync(v, 3);
	irq_pulse(vm, 3);
	vcpu_expect_done(v);
}

static void on_level(struct trap_frame *f)
{
	count_irq(f);
	GUEST_SYNC_VAL(2, irqs_of(f->vector));
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void levels(void)
{
	listen();
	pic_setup(0xffff);
	outb(0x4d1, 0xff);
	GUEST_ASSERT_EQ(inb(0x4d1), 0xde);
	guest_handle(0x2b, on_level);
	GUEST_SYNC(1);
	take_irqs();
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(0x2b), 3);
	GUEST_DONE();
}

TEST(levels)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, levels);

	vcpu_expect_sync(v, 1);
	irq_line(vm, 11, 1);
	for (int i = 1; i <= 3; i++) {
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), i);
		if (i == 3)
			irq_line(vm, 11, 0);
	}
	vcpu_expect_done(v);
}

static void wakes(void)
{
	listen();
	pic_setup(0xffff);
	for (uint64_t i = 1; i <= 100; i++) {
		GUEST_SYNC(i);
		while (irqs_of(0x25) < i)
			sti_hlt();
		cli();
	}
	GUEST_DONE();
}

static void *pulser(void *arg)
{
	struct vm *vm = arg;

	for (;;) {
		irq_line(vm, 5, 1);
		irq_line(vm, 5, 0);
		usleep(200);
	}
	return NULL;
}

TEST_TIMEOUT(halted_vcpu_wakes, 60)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, wakes);
	pthread_t t;

	TEST_ASSERT(!pthread_create(&t, NULL, pulser, vm), "thread");
	for (int i = 1; i <= 100; i++)
		vcpu_expect_sync(v, i);
	vcpu_expect_done(v);
}

static void spurious(void)
{
	listen();
	pic_setup(0xffff);
	outb(0x4d0, 0x20);
	guest_handle(0x27, count_irq);	/* no EOI for a spurious one */
	GUEST_SYNC(1);
	take_irqs();
	outb(0x20, 0x0b);
	GUEST_ASSERT_EQ(inb(0x20), 0);
	GUEST_SYNC_VAL(2, irqs_of(0x27) + irqs_of(0x25));
	GUEST_DONE();
}

TEST(level_that_went_away)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, spurious);

	vcpu_expect_sync(v, 1);
	irq_pulse(vm, 5);
	/* A level line that is down again is no request. */
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 0);
	vcpu_expect_done(v);
}

static void unused(void)
{
	GUEST_DONE();
}

TEST(irq_line_status)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	require_cap(KVM_CAP_IRQ_INJECT_STATUS);
	vcpu_add(vm, 0, unused);
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &c);
	c.chip.pic.imr = 0xff;
	ioctl_ok(vm->fd, KVM_SET_IRQCHIP, &c);
	/* Masked in both controllers: ignored. */
	TEST_ASSERT(irq_status(vm, 4, 1) < 0, "masked");
	TEST_ASSERT(irq_status(vm, 4, 0) >= 0, "low");
	c.chip.pic.imr = 0;
	c.chip.pic.irr = 0;
	c.chip.pic.last_irr = 0;
	ioctl_ok(vm->fd, KVM_SET_IRQCHIP, &c);
	TEST_ASSERT(irq_status(vm, 4, 1) > 0, "taken");
	irq_status(vm, 4, 0);
	TEST_ASSERT_EQ(irq_status(vm, 4, 1), 0);	/* coalesced */
	/* No route: ignored, and no error. */
	TEST_ASSERT(irq_status(vm, 4000, 1) < 0, "no route");
	TEST_ASSERT(irq_status(vm, 0xffffffff, 1) < 0, "no route");
	TEST_ASSERT(!irq_line(vm, 0x80000000, 1), "no route");
}

TEST(state)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_PIC_SLAVE }, d;

	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &c);
	TEST_ASSERT_EQ(c.chip.pic.elcr_mask, 0xde);
	c.chip.pic.irq_base = 0x70;
	c.chip.pic.imr = 0xa5;
	c.chip.pic.isr = 0x10;
	c.chip.pic.priority_add = 3;
	c.chip.pic.elcr = 0x0e;
	ioctl_ok(vm->fd, KVM_SET_IRQCHIP, &c);
	memset(&d, 0xff, sizeof(d));
	d.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &d);
	TEST_ASSERT(!memcmp(&c.chip.pic, &d.chip.pic, sizeof(c.chip.pic)), "as it was set");
	d.chip_id = KVM_IRQCHIP_PIC_MASTER;
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &d);
	TEST_ASSERT_EQ(d.chip.pic.elcr_mask, 0xf8);
	TEST_ASSERT_EQ(d.chip.pic.imr, 0);
}

TEST(bad_calls)
{
	struct vm *vm = vm_create_irqchip(), *bare = vm_create();
	struct kvm_irqchip c = { .chip_id = 3 };

	ioctl_fails(vm->fd, KVM_GET_IRQCHIP, &c, EINVAL);
	ioctl_fails(vm->fd, KVM_SET_IRQCHIP, &c, EINVAL);
	ioctl_fails(vm->fd, KVM_GET_IRQCHIP, NULL, EFAULT);
	ioctl_fails(vm->fd, KVM_CREATE_IRQCHIP, 0, EEXIST);
	ioctl_fails(vm->fd, KVM_IRQ_LINE, NULL, EFAULT);
	c.chip_id = 0;
	ioctl_fails(bare->fd, KVM_GET_IRQCHIP, &c, ENXIO);
	ioctl_fails(bare->fd, KVM_SET_IRQCHIP, &c, ENXIO);
	TEST_ASSERT(irq_line(bare, 0, 1) == -1 && errno == ENXIO, "no controllers");
	vcpu_add_raw(bare, 0);
	ioctl_fails(bare->fd, KVM_CREATE_IRQCHIP, 0, EINVAL);
}
