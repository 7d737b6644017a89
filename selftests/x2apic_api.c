// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_X2APIC_API: APIC ids of 32 bits in user space's hands, and what 255 then means. */

#include "irq.h"

#define ADDRESS		0xfee00000u
#define DEST(n)		(((uint32_t)(n) & 0xff) << 12)
#define LOGICAL		0x4u
#define VECTOR		0x61
#define GSI		5
#define BOTH		(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

static int enable(struct vm *vm, uint64_t what)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args = { what } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct vm *new_vm(uint64_t what)
{
	struct vm *vm = vm_create_irqchip();

	require_cap(KVM_CAP_X2APIC_API);
	if (what)
		TEST_ASSERT_EQ(enable(vm, what), 0);
	return vm;
}

static struct kvm_lapic_state get_lapic(int fd)
{
	struct kvm_lapic_state s;

	ioctl_ok(fd, KVM_GET_LAPIC, &s);
	return s;
}

static uint32_t *reg(struct kvm_lapic_state *s, unsigned int offset)
{
	return (uint32_t *)(s->regs + offset);
}

/* A vCPU of any id, its APIC on; nobody runs it. */
static int add_cpu(struct vm *vm, unsigned int id, bool x2apic)
{
	struct vcpu v = { .vm = vm, .id = id };
	struct kvm_lapic_state s;

	v.fd = ioctl_ok(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	vcpu_set_cpuid(&v);
	if (x2apic)
		vcpu_set_msr(&v, MSR_APIC_BASE, vcpu_get_msr(&v, MSR_APIC_BASE) | BASE_X2APIC);
	s = get_lapic(v.fd);
	*reg(&s, R_SVR) = 0x1ff;
	ioctl_ok(v.fd, KVM_SET_LAPIC, &s);
	return v.fd;
}

/* Has the message come? It is taken away again. */
static bool got(int fd)
{
	struct kvm_lapic_state s = get_lapic(fd);
	uint32_t *irr = reg(&s, R_IRR + VECTOR / 32 * 0x10), bit = 1u << VECTOR % 32;
	bool yes = *irr & bit;

	*irr &= ~bit;
	ioctl_ok(fd, KVM_SET_LAPIC, &s);
	return yes;
}

static int msi(struct vm *vm, uint32_t dest, uint32_t flags)
{
	struct kvm_msi m = { .address_lo = ADDRESS | DEST(dest) | flags,
			     .address_hi = dest & 0xffffff00, .data = VECTOR };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &m);
}

TEST(options)
{
	struct vm *vm = new_vm(0);

	TEST_ASSERT_EQ(kvm_cap(KVM_CAP_X2APIC_API) & BOTH, BOTH);
	TEST_ASSERT(enable(vm, 4) < 0 && errno == EINVAL, "an unknown option");
	TEST_ASSERT(enable(vm, 1ul << 32) < 0 && errno == EINVAL, "an unknown option");
	TEST_ASSERT_EQ(enable(vm, 0), 0);
	TEST_ASSERT_EQ(enable(vm, BOTH), 0);
	/* None is taken back. */
	TEST_ASSERT_EQ(enable(vm, 0), 0);
	add_cpu(vm, 300, true);
	TEST_ASSERT_EQ(msi(vm, 300, 0), 1);
}

TEST(ids_in_the_apics_state)
{
	struct vm *vm = new_vm(KVM_X2APIC_API_USE_32BIT_IDS);
	int far = add_cpu(vm, 300, true), near = add_cpu(vm, 7, false);
	struct kvm_lapic_state s = get_lapic(far), now;

	TEST_ASSERT_EQ(*reg(&s, R_ID), 300);
	TEST_ASSERT_EQ(*reg(&s, R_LDR), 300u / 16 << 16 | 1 << 300 % 16);
	*reg(&s, R_ID) = 300u << 24;
	ioctl_fails(far, KVM_SET_LAPIC, &s, EINVAL);
	*reg(&s, R_ID) = 44;
	ioctl_fails(far, KVM_SET_LAPIC, &s, EINVAL);
	now = get_lapic(far);
	TEST_ASSERT_EQ(*reg(&now, R_ID), 300);
	*reg(&s, R_ID) = 300;
	ioctl_ok(far, KVM_SET_LAPIC, &s);
	/* An xAPIC's are where they always were. */
	s = get_lapic(near);
	TEST_ASSERT_EQ(*reg(&s, R_ID), 7u << 24);
	ioctl_ok(near, KVM_SET_LAPIC, &s);
}

TEST(ids_of_old)
{
	struct vm *vm = new_vm(0);
	int cpu = add_cpu(vm, 7, true);
	struct kvm_lapic_state s = get_lapic(cpu);

	TEST_ASSERT_EQ(*reg(&s, R_ID), 7u << 24);
	ioctl_ok(cpu, KVM_SET_LAPIC, &s);
	/* The upper half of the address is not looked at. */
	TEST_ASSERT_EQ(msi(vm, 0x12345607, 0), 1);
	TEST_ASSERT(got(cpu), "by the low byte alone");
}

TEST(messages_to_wide_ids)
{
	struct vm *vm = new_vm(KVM_X2APIC_API_USE_32BIT_IDS);
	int far = add_cpu(vm, 300, true), near = add_cpu(vm, 300 & 0xff, true);
	struct kvm_msi bad = { .address_lo = ADDRESS, .address_hi = 0x101, .data = VECTOR };

	TEST_ASSERT_EQ(msi(vm, 300, 0), 1);
	TEST_ASSERT(got(far) && !got(near), "the far one");
	TEST_ASSERT_EQ(msi(vm, 300 & 0xff, 0), 1);
	TEST_ASSERT(!got(far) && got(near), "the near one");
	TEST_ASSERT_EQ(msi(vm, 300u / 16 << 16 | 1 << 300 % 16, LOGICAL), 1);
	TEST_ASSERT(got(far) && !got(near), "the far one");
	ioctl_fails(vm->fd, KVM_SIGNAL_MSI, &bad, EINVAL);
	TEST_ASSERT(!got(far) && !got(near), "nobody");
}

struct routes {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entry;
};

TEST(routes_to_wide_ids)
{
	struct vm *vm = new_vm(KVM_X2APIC_API_USE_32BIT_IDS);
	int far = add_cpu(vm, 300, true);
	struct routes r = {
		.head.nr = 1,
		.entry = { .gsi = GSI, .type = KVM_IRQ_ROUTING_MSI,
			   .u.msi = { .address_lo = ADDRESS | DEST(300), .address_hi = 0x100,
				      .data = VECTOR } },
	};
	struct kvm_irq_level line = { .irq = GSI, .level = 1 };

	ioctl_ok(vm->fd, KVM_SET_GSI_ROUTING, &r.head);
	ioctl_ok(vm->fd, KVM_IRQ_LINE, &line);
	TEST_ASSERT(got(far), "by its id");
	r.entry.u.msi.address_hi = 0x180;
	ioctl_fails(vm->fd, KVM_SET_GSI_ROUTING, &r.head, EINVAL);
	ioctl_ok(vm->fd, KVM_IRQ_LINE, &line);
	TEST_ASSERT(got(far), "by the routes from before");
}

TEST(everybody_with_the_quirk)
{
	struct vm *vm = new_vm(0);
	int one = add_cpu(vm, 1, true), two = add_cpu(vm, 2, true);

	TEST_ASSERT_EQ(msi(vm, 0xff, 0), 2);
	TEST_ASSERT(got(one) && got(two), "255 is everybody");
}

TEST(everybody_without_the_quirk)
{
	struct vm *vm = new_vm(BOTH);
	int one = add_cpu(vm, 1, true), nine = add_cpu(vm, 9, true), self = add_cpu(vm, 255, true);

	TEST_ASSERT_EQ(msi(vm, 0xff, 0), 1);
	TEST_ASSERT(!got(one) && !got(nine) && got(self), "255 is an id");
	/* CPUs 0 to 7 of cluster 0. */
	TEST_ASSERT_EQ(msi(vm, 0xff, LOGICAL), 1);
	TEST_ASSERT(got(one) && !got(nine) && !got(self), "255 are eight CPUs");
	TEST_ASSERT_EQ(msi(vm, 0xffffffff, 0), 3);
	TEST_ASSERT(got(one) && got(nine) && got(self), "all ones are everybody");
}

TEST(everybody_of_xapics_without_the_quirk)
{
	struct vm *vm = new_vm(BOTH);
	int one = add_cpu(vm, 1, false), two = add_cpu(vm, 2, false);

	TEST_ASSERT_EQ(msi(vm, 0xff, 0), 2);
	TEST_ASSERT(got(one) && got(two), "255 is everybody");
	TEST_ASSERT_EQ(msi(vm, 2, 0), 1);
	TEST_ASSERT(!got(one) && got(two), "2 is one");
}
