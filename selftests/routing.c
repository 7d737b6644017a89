// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_GSI_ROUTING: what a table may hold, and that it replaces the one before. */

#include "irq.h"

#define VECTOR	0x61

struct table {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry e[4200];
};

static struct table table;

static int set(struct vm *vm)
{
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table);
}

static struct kvm_irq_routing_entry *add(uint32_t gsi, uint32_t type)
{
	struct kvm_irq_routing_entry *e = &table.e[table.head.nr++];

	*e = (struct kvm_irq_routing_entry) { .gsi = gsi, .type = type };
	return e;
}

static void add_pin(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *e = add(gsi, KVM_IRQ_ROUTING_IRQCHIP);

	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

static void add_msi(uint32_t gsi, uint32_t vector)
{
	struct kvm_irq_routing_entry *e = add(gsi, KVM_IRQ_ROUTING_MSI);

	e->u.msi.address_lo = 0xfee00000;
	e->u.msi.data = vector;
}

static void listen(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	guest_handle(VECTOR + 1, on_irq);
	ioapic_route(5, VECTOR);
	for (int i = 1; ; i++) {
		GUEST_SYNC(i);
		take_irqs();
		GUEST_SYNC_VAL(100, irqs_of(VECTOR) | irqs_of(VECTOR + 1) << 32);
	}
}

static struct vcpu *listener(void)
{
	struct vcpu *v;

	require_cap(KVM_CAP_IRQ_ROUTING);
	v = vcpu_add(vm_create_irqchip(), 0, listen);
	vcpu_expect_sync(v, 1);
	table.head.nr = 0;
	return v;
}

/* Pulse a GSI; the counts of both vectors after it. */
static uint64_t after(struct vcpu *v, uint32_t gsi)
{
	static int round = 1;
	uint64_t n;

	irq_pulse(v->vm, gsi);
	n = vcpu_expect_sync(v, 100);
	vcpu_expect_sync(v, ++round);
	return n;
}

TEST(default_table)
{
	struct vcpu *v = listener();

	TEST_ASSERT_EQ(after(v, 5), 1);
	TEST_ASSERT_EQ(after(v, 6), 1);
	TEST_ASSERT_EQ(after(v, 24), 1);
}

TEST(table_is_replaced)
{
	struct vcpu *v = listener();

	add_msi(30, VECTOR + 1);
	add_pin(31, KVM_IRQCHIP_IOAPIC, 5);
	TEST_ASSERT(!set(v->vm), "set");
	TEST_ASSERT_EQ(after(v, 5), 0);
	TEST_ASSERT_EQ(after(v, 30), 1ul << 32);
	TEST_ASSERT_EQ(after(v, 31), 1 | 1ul << 32);
	table.head.nr = 0;
	add_msi(5, VECTOR);
	TEST_ASSERT(!set(v->vm), "set again");
	TEST_ASSERT_EQ(after(v, 30), 1 | 1ul << 32);
	TEST_ASSERT_EQ(after(v, 5), 2 | 1ul << 32);
	table.head.nr = 0;
	TEST_ASSERT(!set(v->vm), "empty");
	TEST_ASSERT_EQ(after(v, 5), 2 | 1ul << 32);
}

/* A refused table leaves the old one. */
static void refused(struct vm *vm, int err)
{
	int r = set(vm);

	TEST_ASSERT(r == -1 && errno == err, "table of %u: %d", table.head.nr, r);
}

TEST(bad_tables)
{
	struct vcpu *v = listener();
	struct vm *vm = v->vm;

	table.head.flags = 1;
	refused(vm, EINVAL);
	table.head.flags = 0;
	table.head.nr = 4097;
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_msi(4096, VECTOR);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add(1, 0);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add(1, 77);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_pin(1, KVM_IRQCHIP_IOAPIC, 24);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_pin(1, KVM_IRQCHIP_PIC_MASTER, 8);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_pin(1, 3, 0);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_pin(1, KVM_IRQCHIP_IOAPIC, 1);
	table.e[0].flags = 1;
	refused(vm, EINVAL);
	/* A GSI twice: two pins of a chip, a message and anything. */
	table.head.nr = 0;
	add_pin(1, KVM_IRQCHIP_IOAPIC, 1);
	add_pin(1, KVM_IRQCHIP_IOAPIC, 2);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_pin(1, KVM_IRQCHIP_IOAPIC, 1);
	add_msi(1, VECTOR);
	refused(vm, EINVAL);
	table.head.nr = 0;
	add_msi(1, VECTOR);
	add_msi(1, VECTOR);
	refused(vm, EINVAL);
	ioctl_fails(vm->fd, KVM_SET_GSI_ROUTING, NULL, EFAULT);
	TEST_ASSERT_EQ(after(v, 5), 1);
}

TEST(entries_out_of_reach)
{
	struct vcpu *v = listener();
	char *page = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct kvm_irq_routing *t = (void *)(page + PAGE_SIZE - sizeof(*t));

	TEST_ASSERT(page != MAP_FAILED && !munmap(page + PAGE_SIZE, PAGE_SIZE), "a hole");
	t->nr = 1;
	ioctl_fails(v->vm->fd, KVM_SET_GSI_ROUTING, t, EFAULT);
	TEST_ASSERT_EQ(after(v, 5), 1);
}

TEST(largest_table)
{
	struct vcpu *v = listener();

	for (int i = 0; i < 4096; i++)
		add_msi(i, VECTOR + 1);
	TEST_ASSERT(!set(v->vm), "4096 entries");
	TEST_ASSERT_EQ(after(v, 4095), 1ul << 32);
	TEST_ASSERT_EQ(after(v, 0), 2ul << 32);
}

TEST(without_controllers)
{
	table.head.nr = 0;
	add_msi(1, VECTOR);
	refused(vm_create(), EINVAL);
}

static void endless(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	guest_handle(VECTOR + 1, on_irq);
	while (irqs_of(VECTOR) < 50 || irqs_of(VECTOR + 1) < 50)
		take_irqs();
	GUEST_DONE();
}

static void *replacer(void *arg)
{
	struct vm *vm = arg;
	static struct table t = { .head.nr = 1 };

	for (uint32_t i = 0; ; i++) {
		t.e[0] = (struct kvm_irq_routing_entry) {
			.gsi = 7, .type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = 0xfee00000, .data = VECTOR + (i & 1) },
		};
		ioctl_ok(vm->fd, KVM_SET_GSI_ROUTING, &t);
	}
	return NULL;
}

static void *pulser(void *arg)
{
	for (;;) {
		irq_line(arg, 7, 1);
		irq_line(arg, 7, 0);
	}
	return NULL;
}

TEST_TIMEOUT(replaced_while_in_use, 60)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, endless);
	pthread_t t[2];

	TEST_ASSERT(!pthread_create(&t[0], NULL, replacer, vm), "thread");
	TEST_ASSERT(!pthread_create(&t[1], NULL, pulser, vm), "thread");
	vcpu_expect_done(v);
}
