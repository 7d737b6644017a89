// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_VAPIC: reports of TPR accesses, and the word in guest memory that stands for TPR. */

#include "irq.h"

#define VECTOR	0x61

/* In shared memory, so that its address is a guest physical one, too. */
static uint32_t word __attribute__((aligned(8)));

static int try_vapic(struct vcpu *v, uint64_t gpa)
{
	struct kvm_vapic_addr a = { .vapic_addr = gpa };

	return ioctl(v->fd, KVM_SET_VAPIC_ADDR, &a);
}

static void reports(struct vcpu *v, bool on)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = on };

	ioctl_ok(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl);
}

static void touches_tpr(void)
{
	apic_on();
	apic_write(R_TPR, 0x20);
	GUEST_SYNC(0);
	apic_write(R_TPR, 0x30);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x30);
	/* Not by way of the page. */
	write_cr8(4);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x40);
	GUEST_DONE();
}

TEST(reported_accesses)
{
	struct vcpu *v;

	require_cap(KVM_CAP_VAPIC);
	v = vcpu_add(vm_create_irqchip(), 0, touches_tpr);
	vcpu_expect_sync(v, 0);
	reports(v, true);
	vcpu_expect_exit(v, KVM_EXIT_TPR_ACCESS);
	TEST_ASSERT_EQ(v->run->tpr_access.is_write, 1);
	TEST_ASSERT(v->run->tpr_access.rip != 0, "no address");
	vcpu_expect_exit(v, KVM_EXIT_TPR_ACCESS);
	TEST_ASSERT_EQ(v->run->tpr_access.is_write, 0);
	vcpu_expect_sync(v, 1);
	reports(v, false);
	vcpu_expect_done(v);
}

TEST(bad_input)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1, .flags = 1 };
	struct vcpu *v;

	require_cap(KVM_CAP_VAPIC);
	v = vcpu_add(vm_create_irqchip(), 0, touches_tpr);
	ioctl_fails(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl, EINVAL);
	TEST_ASSERT(try_vapic(v, 1ul << 40) == -1 && errno == EINVAL, "no memory there");
	TEST_ASSERT(!try_vapic(v, 0), "none");
	/* Nothing is reported after that. */
	vcpu_expect_sync(v, 0);
	vcpu_expect_sync(v, 1);
	vcpu_expect_done(v);

	v = guest_of(touches_tpr);
	TEST_ASSERT(try_vapic(v, 0) == -1 && errno == EINVAL, "no local APIC in the kernel");
}

static void writes_the_word(void)
{
	guest_handle(VECTOR, on_irq);
	apic_on();
	GUEST_SYNC(0);
	/* The hypervisor's first look at it: nothing waits, nothing is in service. */
	GUEST_ASSERT_EQ(READ_ONCE(word), 0);
	WRITE_ONCE(word, 0x70);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x70);
	apic_write(R_ICR, ICR_SELF | VECTOR);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 0);
	/* What waits is in the upper byte. */
	GUEST_ASSERT_EQ(READ_ONCE(word), (uint32_t)VECTOR << 24 | 0x70);
	WRITE_ONCE(word, 0);
	(void)apic_read(R_TPR);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(VECTOR), 1);
	GUEST_DONE();
}

TEST(word_in_memory)
{
	struct vcpu *v;

	require_cap(KVM_CAP_VAPIC);
	v = vcpu_add(vm_create_irqchip(), 0, writes_the_word);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT(!try_vapic(v, (uintptr_t)&word), "KVM_SET_VAPIC_ADDR");
	vcpu_expect_done(v);
}
