// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_SPLIT_IRQCHIP: local APICs in the kernel, the other controllers in user space. */

#include "irq.h"

#include <sys/eventfd.h>

#define PINS	24
#define VECTOR	0x51

static int try_split(struct vm *vm, uint64_t pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { pins } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct vm *split_vm(void)
{
	struct vm *vm = vm_create();

	TEST_REQUIRE(kvm_cap(KVM_CAP_SPLIT_IRQCHIP) == 1, "no KVM_CAP_SPLIT_IRQCHIP");
	TEST_ASSERT(!try_split(vm, PINS), "KVM_CAP_SPLIT_IRQCHIP");
	return vm;
}

/* GSI @gsi becomes a message to CPU 0. */
static int route(struct vm *vm, uint32_t gsi, uint32_t type, uint32_t data)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = { .head.nr = 1, .entry = { .gsi = gsi, .type = type } };

	if (type == KVM_IRQ_ROUTING_MSI) {
		r.entry.u.msi.address_lo = APIC_GPA;
		r.entry.u.msi.data = data;
	}
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

TEST(enabled_once_and_before_vcpus)
{
	struct vm *vm = vm_create();

	TEST_REQUIRE(kvm_cap(KVM_CAP_SPLIT_IRQCHIP) == 1, "no KVM_CAP_SPLIT_IRQCHIP");
	TEST_ASSERT(try_split(vm, 4097) == -1 && errno == EINVAL, "4,097 pins");
	TEST_ASSERT(!try_split(vm, PINS), "KVM_CAP_SPLIT_IRQCHIP");
	TEST_ASSERT(try_split(vm, PINS) == -1 && errno == EEXIST, "a second time");
	ioctl_fails(vm->fd, KVM_CREATE_IRQCHIP, 0, EEXIST);

	vm = vm_create_irqchip();
	TEST_ASSERT(try_split(vm, PINS) == -1 && errno == EEXIST, "with controllers in the kernel");
	vm = vm_create();
	vcpu_add_raw(vm, 0);
	TEST_ASSERT(try_split(vm, PINS) == -1 && errno == EEXIST, "with a vCPU");
	ioctl_fails(vm->fd, KVM_SET_GSI_ROUTING, &(struct kvm_irq_routing){ }, EINVAL);
}

TEST(no_other_controllers)
{
	struct vm *vm = split_vm();
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_irqfd fd = { .fd = eventfd(0, 0), .resamplefd = eventfd(0, 0), .gsi = 3,
				.flags = KVM_IRQFD_FLAG_RESAMPLE };

	ioctl_fails(vm->fd, KVM_GET_IRQCHIP, &chip, ENXIO);
	ioctl_fails(vm->fd, KVM_SET_IRQCHIP, &chip, ENXIO);
	TEST_ASSERT(route(vm, 3, KVM_IRQ_ROUTING_IRQCHIP, 0) == -1 && errno == EINVAL, "a pin");
	ioctl_fails(vm->fd, KVM_IRQFD, &fd, EINVAL);
	TEST_ASSERT(!route(vm, 3, KVM_IRQ_ROUTING_MSI, VECTOR), "a message");
}

/* What would be the PICs', the IOAPIC's and the PIT's goes to user space. */
static void touches_all(void)
{
	outb(0x20, 0x11);
	outb(0x43, 0x34);
	(void)ioapic_read(0);
	apic_on();
	GUEST_ASSERT(apic_read(R_SVR) == 0x1ff);
	GUEST_DONE();
}

TEST(accesses_go_to_user_space)
{
	struct vcpu *v = vcpu_add(split_vm(), 0, touches_all);

	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->io.port, 0x20);
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->io.port, 0x43);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, IOAPIC_GPA);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, IOAPIC_GPA + 0x10);
	vcpu_expect_done(v);
}

static void takes_messages(void)
{
	guest_handle(VECTOR, on_irq);
	apic_on();
	for (int i = 0; i < 3; i++) {
		GUEST_SYNC(i);
		take_irqs();
		GUEST_ASSERT_EQ(irqs_of(VECTOR), i + 1);
	}
	GUEST_DONE();
}

#define MSI_LEVEL	(3u << 14)	/* level-triggered, asserted */

static void line(struct vm *vm, uint32_t gsi)
{
	struct kvm_irq_level l = { .irq = gsi, .level = 1 };

	ioctl_ok(vm->fd, KVM_IRQ_LINE, &l);
}

TEST(eoi_of_a_level_triggered_pin)
{
	struct vm *vm = split_vm();
	struct vcpu *v = vcpu_add(vm, 0, takes_messages);

	/* An edge: no exit. */
	vcpu_expect_sync(v, 0);
	TEST_ASSERT(!route(vm, 5, KVM_IRQ_ROUTING_MSI, VECTOR), "route");
	line(vm, 5);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT(!route(vm, 5, KVM_IRQ_ROUTING_MSI, VECTOR | MSI_LEVEL), "route");
	line(vm, 5);
	vcpu_expect_exit(v, KVM_EXIT_IOAPIC_EOI);
	TEST_ASSERT_EQ(v->run->eoi.vector, VECTOR);
	vcpu_expect_sync(v, 2);
	/* The same from a GSI that is no pin. */
	TEST_ASSERT(!route(vm, PINS, KVM_IRQ_ROUTING_MSI, VECTOR | MSI_LEVEL), "route");
	line(vm, PINS);
	vcpu_expect_done(v);
}

static int interrupt(struct vcpu *v, uint32_t vector)
{
	struct kvm_interrupt i = { .irq = vector };

	return ioctl(v->fd, KVM_INTERRUPT, &i);
}

static void takes_extint(void)
{
	guest_handle(VECTOR, count_irq);
	apic_on();
	apic_write(R_LVT0, LVT_EXTINT);
	for (uint64_t i = 0; i < 3; i++) {
		GUEST_SYNC(i);
		sti_hlt();
		cli();
		GUEST_ASSERT_EQ(irqs_of(VECTOR), i + 1);
	}
	GUEST_DONE();
}

/* Bad vectors, a full place; then the window, and HLT, which waits in the kernel. */
TEST(extint_of_user_space)
{
	struct vcpu *v = vcpu_add(split_vm(), 0, takes_extint);

	vcpu_expect_sync(v, 0);
	TEST_ASSERT(interrupt(v, 256) == -1 && errno == EINVAL, "vector 256");
	TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	TEST_ASSERT(interrupt(v, VECTOR) == -1 && errno == EEXIST, "a second KVM_INTERRUPT");
	TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 0);
	vcpu_expect_sync(v, 1);
	for (int i = 1; i < 3; i++) {
		v->run->request_interrupt_window = 1;
		vcpu_expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
		TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 1);
		v->run->request_interrupt_window = 0;
		TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
		if (i < 2)
			vcpu_expect_sync(v, 1 + i);
	}
	vcpu_expect_done(v);
}

static void opens_lint0(void)
{
	guest_handle(VECTOR, count_irq);
	apic_on();
	GUEST_SYNC(0);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 0);
	apic_write(R_LVT0, LVT_EXTINT);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

TEST(extint_behind_a_shut_lint0)
{
	struct vcpu *v = vcpu_add(split_vm(), 0, opens_lint0);

	TEST_REQUIRE(kvm_is_okvm(), "upstream looks again only when something else happens");
	vcpu_expect_sync(v, 0);
	TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	vcpu_expect_done(v);
}
