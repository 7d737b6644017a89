// SPDX-License-Identifier: GPL-2.0-only
/* From a GSI to the pins and messages that it is routed to. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "chip.h"

static int set_pic(struct okvm_irqchip *chip, const struct irq_route *r, enum irq_source source,
		   bool level)
{
	unsigned int pin = r->pin + (r->chip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0);

	return irqchip_set_pic(chip, pin, source, level);
}

static int set_route(struct okvm_irqchip *chip, const struct irq_route *r, enum irq_source source,
		     bool level, bool want_status)
{
	if (r->type == KVM_IRQ_ROUTING_MSI)
		return level ? irq_deliver(chip, NULL, &r->msg) : -1;
	if (r->chip == KVM_IRQCHIP_IOAPIC)
		return irqchip_set_ioapic(chip, r->pin, source, level, want_status);
	return set_pic(chip, r, source, level);
}

/**
 * irq_set_gsi - drive a GSI
 * @chip: the VM's controllers
 * @source: who drives it
 * @gsi: the GSI; one without a route is ignored
 * @level: its new level; a message is sent when it is set
 * @want_status: the answer matters to the caller (KVM_IRQ_LINE_STATUS)
 *
 * Context: any, interrupts on or off.
 * Return: KVM_IRQ_LINE_STATUS's: CPUs reached, 0 coalesced, -1 masked or not routed.
 */
int irq_set_gsi(struct okvm_irqchip *chip, enum irq_source source, u32 gsi, bool level,
		bool want_status)
{
	const struct irq_routing *table;
	int ret = -1, r;
	unsigned int i;

	rcu_read_lock();
	table = rcu_dereference(chip->routing);
	if (gsi < table->nr_gsis) {
		gsi = array_index_nospec(gsi, table->nr_gsis);
		for (i = table->first[gsi]; i < table->first[gsi + 1]; i++) {
			r = set_route(chip, &table->routes[i], source, level, want_status);
			if (r >= 0)
				ret = max(ret, 0) + r;
		}
	}
	rcu_read_unlock();
	return ret;
}

static struct irq_routing *table_alloc(u32 nr_routes, u32 nr_gsis)
{
	size_t routes = sizeof(struct irq_route) * nr_routes;
	struct irq_routing *table;

	table = kvzalloc(sizeof(*table) + routes + sizeof(u16) * (nr_gsis + 1), GFP_KERNEL_ACCOUNT);
	if (!table)
		return NULL;
	table->nr_gsis = nr_gsis;
	table->first = (u16 *)&table->routes[nr_routes];
	memset(table->gsi_of, 0xff, sizeof(table->gsi_of));
	return table;
}

/* Bits 0 to 7 of the upper half are no part of an id. */
static int decode_msi(struct okvm_vm *vm, struct irq_message *msg, u32 low, u32 high, u32 data)
{
	bool wide = vm && irqchip_wide_ids(vm);

	if (wide && high & 0xff)
		return -EINVAL;
	irq_from_msi(msg, low, high, data, wide);
	return 0;
}

/* Does user space's entry make sense? Then @r is filled. @chips: pins of the kernel's do. */
static int decode(struct okvm_vm *vm, struct irq_route *r, const struct kvm_irq_routing_entry *e,
		  bool chips)
{
	r->type = e->type;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (!chips || e->flags || e->u.irqchip.irqchip >= KVM_NR_IRQCHIPS)
			return -EINVAL;
		if (e->u.irqchip.pin >= (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ?
					 KVM_IOAPIC_NUM_PINS : PIC_PINS / 2))
			return -EINVAL;
		r->chip = e->u.irqchip.irqchip;
		r->pin = e->u.irqchip.pin;
		return 0;
	case KVM_IRQ_ROUTING_MSI:
		/* The device's id means nothing on x86. */
		if (e->flags & ~KVM_MSI_VALID_DEVID)
			return -EINVAL;
		return decode_msi(vm, &r->msg, e->u.msi.address_lo, e->u.msi.address_hi,
				  e->u.msi.data);
	default:
		return -EINVAL;
	}
}

/* A GSI has one message, or at most one pin of each chip. */
static bool compatible(const struct irq_route *a, const struct irq_route *b)
{
	return a->type == KVM_IRQ_ROUTING_IRQCHIP && b->type == KVM_IRQ_ROUTING_IRQCHIP &&
	       a->chip != b->chip;
}

static int add_route(struct okvm_vm *vm, struct irq_routing *table,
		     const struct kvm_irq_routing_entry *e, bool chips)
{
	struct irq_route r = { };
	unsigned int start = table->first[e->gsi], end = table->first[e->gsi + 1], i;
	int err = decode(vm, &r, e, chips);

	if (err)
		return err;
	/* The slots of this GSI fill up from its start; type 0 is a free one. */
	for (i = start; i < end && table->routes[i].type; i++)
		if (!compatible(&table->routes[i], &r))
			return -EINVAL;
	table->routes[i] = r;
	if (r.type == KVM_IRQ_ROUTING_IRQCHIP)
		table->gsi_of[r.chip][r.pin] = e->gsi;
	return 0;
}

/* A table of @nr entries, each checked, or an error pointer. @vm may be NULL without messages. */
static struct irq_routing *table_build(struct okvm_vm *vm,
				       const struct kvm_irq_routing_entry *entries, u32 nr,
				       bool chips)
{
	struct irq_routing *table;
	u32 i, nr_gsis = 1;
	int err = 0;

	for (i = 0; i < nr; i++) {
		if (entries[i].gsi >= MAX_ROUTES)
			return ERR_PTR(-EINVAL);
		nr_gsis = max(nr_gsis, entries[i].gsi + 1);
	}
	table = table_alloc(nr, nr_gsis);
	if (!table)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr; i++)
		table->first[entries[i].gsi + 1]++;
	for (i = 0; i < nr_gsis; i++)
		table->first[i + 1] += table->first[i];
	for (i = 0; i < nr && !err; i++)
		err = add_route(vm, table, &entries[i], chips);
	if (err) {
		kvfree(table);
		return ERR_PTR(err);
	}
	return table;
}

/**
 * routing_default - the routes that a VM starts with: a PC's
 *
 * GSI 0 to 15 go to a pin of the PICs and to the IOAPIC's pin of that number, 16 to 23 to the
 * IOAPIC alone.
 *
 * Return: the table, or an error pointer.
 */
struct irq_routing *routing_default(void)
{
	struct kvm_irq_routing_entry *e, *next;
	struct irq_routing *table;
	u32 gsi;

	e = next = kcalloc(PIC_PINS + KVM_IOAPIC_NUM_PINS, sizeof(*e), GFP_KERNEL);
	if (!e)
		return ERR_PTR(-ENOMEM);
	for (gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		*next++ = (struct kvm_irq_routing_entry) {
			.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { KVM_IRQCHIP_IOAPIC, gsi },
		};
		if (gsi < PIC_PINS)
			*next++ = (struct kvm_irq_routing_entry) {
				.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
				.u.irqchip = { gsi < 8 ? KVM_IRQCHIP_PIC_MASTER :
							 KVM_IRQCHIP_PIC_SLAVE, gsi & 7 },
			};
	}
	table = table_build(NULL, e, next - e, true);
	kfree(e);
	return table;
}

/** routing_empty - no route at all: what a split irqchip starts with */
struct irq_routing *routing_empty(void)
{
	return table_build(NULL, NULL, 0, false);
}

/**
 * irqchip_set_routing - KVM_SET_GSI_ROUTING: replace the whole table
 * @vm: the VM
 * @arg: user pointer to struct kvm_irq_routing
 *
 * KVM API document, 4.52.
 *
 * Return: 0; -EINVAL: no controllers, unknown flags, a bad entry, too many; -EFAULT; -ENOMEM.
 */
long irqchip_set_routing(struct okvm_vm *vm, void *arg)
{
	struct kvm_irq_routing __user *user = (void __user *)arg;
	struct okvm_irqchip *chip = irqchip_of(vm);
	struct kvm_irq_routing_entry *entries;
	struct irq_routing *table, *old;
	struct kvm_irq_routing head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (!chip || head.flags || head.nr > MAX_ROUTES)
		return -EINVAL;
	entries = vmemdup_user(user->entries, array_size(head.nr, sizeof(*entries)));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	table = table_build(vm, entries, head.nr, !chip->split);
	kvfree(entries);
	if (IS_ERR(table))
		return PTR_ERR(table);

	mutex_lock(&chip->lock);
	old = rcu_replace_pointer(chip->routing, table, lockdep_is_held(&chip->lock));
	irqchip_update_edge_eois(chip);
	mutex_unlock(&chip->lock);
	kvfree_rcu(old, rcu);
	return 0;
}

/**
 * irqchip_signal_msi - KVM_SIGNAL_MSI: a message straight from user space
 * @vm: the VM
 * @arg: struct kvm_msi
 *
 * KVM API document, 4.70.
 *
 * Return: CPUs that took it; 0: blocked by the guest, or nobody has that address; -EINVAL.
 */
long irqchip_signal_msi(struct okvm_vm *vm, void *arg)
{
	struct okvm_irqchip *chip = irqchip_of(vm);
	const struct kvm_msi *msi = arg;
	struct irq_message msg;

	if (!chip || msi->flags ||
	    decode_msi(vm, &msg, msi->address_lo, msi->address_hi, msi->data))
		return -EINVAL;
	return irq_deliver(chip, NULL, &msg);
}
