// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced MMIO: writes to a zone queue up in a ring that user space reads when it likes. The ring
 * is user space's memory as much as ours: whatever stands in it, we write only inside the page.
 */
#include <linux/slab.h>

#include "chip.h"

#define MAX_ZONES	1000	/* as many devices as KVM's bus takes */

struct zone_table {
	struct rcu_head rcu;
	unsigned int nr;
	struct kvm_coalesced_mmio_zone zones[];
};

/**
 * okvm_coalesced_page - the ring's page
 * @vm: the VM
 *
 * Context: may sleep.
 * Return: the page, the same for all vCPUs, or NULL without memory.
 */
struct page *okvm_coalesced_page(struct okvm_vm *vm)
{
	struct page *page = READ_ONCE(vm->coalesced_page), *old;

	if (page)
		return page;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	old = cmpxchg(&vm->coalesced_page, NULL, page);
	if (!old)
		return page;
	put_page(page);
	return old;
}

static bool contains(const struct kvm_coalesced_mmio_zone *zone, u64 addr, u64 len)
{
	return addr >= zone->addr && addr + len >= addr && addr + len <= zone->addr + zone->size;
}

/* False if the ring is full, or its indexes are rubbish. */
static bool push(struct okvm_vm *vm, bool pio, u64 addr, unsigned int len, const void *data)
{
	struct kvm_coalesced_mmio_ring *ring = page_address(vm->coalesced_page);
	struct kvm_coalesced_mmio *entry;
	u32 first, last;
	bool room;

	spin_lock(&vm->io->ring_lock);
	first = READ_ONCE(ring->first);
	last = READ_ONCE(ring->last);
	room = last < KVM_COALESCED_MMIO_MAX && (last + 1) % KVM_COALESCED_MMIO_MAX != first;
	if (room) {
		entry = &ring->coalesced_mmio[array_index_nospec(last, KVM_COALESCED_MMIO_MAX)];
		entry->phys_addr = addr;
		entry->len = len;
		entry->pio = pio;
		memcpy(entry->data, data, len);
		/* The entry before the index. */
		smp_store_release(&ring->last, (last + 1) % KVM_COALESCED_MMIO_MAX);
	}
	spin_unlock(&vm->io->ring_lock);
	return room;
}

/**
 * coalesced_write - queue a guest's write if it goes to a zone
 * @vm: the VM
 * @pio: port, not memory
 * @addr: where
 * @len: bytes
 * @data: the bytes
 *
 * Context: vCPU thread.
 * Return: false: no zone's, or the ring is full: user space has to see it as an exit.
 */
bool coalesced_write(struct okvm_vm *vm, bool pio, u64 addr, unsigned int len, const void *data)
{
	const struct zone_table *table;
	bool found = false;
	unsigned int i;

	if (len > sizeof_field(struct kvm_coalesced_mmio, data))
		return false;
	rcu_read_lock();
	table = rcu_dereference(vm->io->zones[pio]);
	for (i = 0; table && i < table->nr && !found; i++)
		found = contains(&table->zones[i], addr, len);
	rcu_read_unlock();
	return found && push(vm, pio, addr, len, data);
}

static struct zone_table *table_of(struct okvm_io_bus *bus, bool pio)
{
	return rcu_dereference_protected(bus->zones[pio], lockdep_is_held(&bus->lock));
}

static unsigned int zones_in_use(struct okvm_io_bus *bus, bool pio)
{
	return table_of(bus, pio) ? table_of(bus, pio)->nr : 0;
}

static struct zone_table *table_alloc(unsigned int nr)
{
	struct zone_table *table;

	table = kvzalloc(struct_size(table, zones, nr), GFP_KERNEL_ACCOUNT);
	return table;
}

static void publish(struct okvm_io_bus *bus, bool pio, struct zone_table *new)
{
	struct zone_table *old = table_of(bus, pio);

	rcu_assign_pointer(bus->zones[pio], new);
	if (old)
		kvfree_rcu(old, rcu);
}

static int add_zone(struct okvm_io_bus *bus, const struct kvm_coalesced_mmio_zone *zone)
{
	unsigned int nr = zones_in_use(bus, zone->pio);
	struct zone_table *new;

	if (nr >= MAX_ZONES)
		return -ENOSPC;
	new = table_alloc(nr + 1);
	if (!new)
		return -ENOMEM;
	if (nr)
		memcpy(new->zones, table_of(bus, zone->pio)->zones, nr * sizeof(*zone));
	new->zones[nr] = *zone;
	new->nr = nr + 1;
	publish(bus, zone->pio, new);
	return 0;
}

/**
 * irqchip_register_coalesced - KVM_REGISTER_COALESCED_MMIO
 * @vm: the VM
 * @arg: struct kvm_coalesced_mmio_zone
 *
 * KVM API document, 4.116.
 *
 * Return: 0; -EINVAL: neither memory nor port; -ENOSPC: too many zones; -ENOMEM.
 */
long irqchip_register_coalesced(struct okvm_vm *vm, void *arg)
{
	const struct kvm_coalesced_mmio_zone *zone = arg;
	int r;

	if (zone->pio > 1)
		return -EINVAL;
	if (!okvm_coalesced_page(vm))
		return -ENOMEM;
	mutex_lock(&vm->io->lock);
	r = add_zone(vm->io, zone);
	mutex_unlock(&vm->io->lock);
	return r;
}

/**
 * irqchip_unregister_coalesced - KVM_UNREGISTER_COALESCED_MMIO
 * @vm: the VM
 * @arg: struct kvm_coalesced_mmio_zone: every zone that contains it goes
 *
 * Return: 0, also if there was none; -EINVAL: neither memory nor port; -ENOMEM.
 */
long irqchip_unregister_coalesced(struct okvm_vm *vm, void *arg)
{
	const struct kvm_coalesced_mmio_zone *zone = arg;
	struct okvm_io_bus *bus = vm->io;
	struct zone_table *old, *new;
	unsigned int i;
	long r = 0;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&bus->lock);
	old = table_of(bus, zone->pio);
	if (old) {
		new = table_alloc(old->nr);
		if (new) {
			for (i = 0; i < old->nr; i++)
				if (!contains(&old->zones[i], zone->addr, zone->size))
					new->zones[new->nr++] = old->zones[i];
			publish(bus, zone->pio, new);
		} else {
			r = -ENOMEM;
		}
	}
	mutex_unlock(&bus->lock);
	return r;
}

/** coalesced_free - the VM goes; nobody reads the tables */
void coalesced_free(struct okvm_io_bus *bus)
{
	int pio;

	for (pio = 0; pio < 2; pio++)
		kvfree(rcu_dereference_protected(bus->zones[pio], true));
}
