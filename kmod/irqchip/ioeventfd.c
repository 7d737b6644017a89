// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IOEVENTFD: a guest's write to an address signals an eventfd, and nobody leaves the kernel. */
#include <linux/slab.h>

#include "chip.h"
#include "compat.h"

/* @len 0: any write to @addr; else of that length, and of @match unless @any. */
struct io_event {
	u64 addr;
	u64 match;
	struct eventfd_ctx *ctx;
	u8 len;
	bool any;
};

/* Sorted by address; never changed once published. */
struct io_table {
	struct rcu_head rcu;
	unsigned int nr;
	struct io_event events[];
};

static u64 value_of(const void *data, unsigned int len)
{
	u64 value = 0;

	memcpy(&value, data, len);
	return value;
}

static bool hits(const struct io_event *e, unsigned int len, const void *data)
{
	return !e->len || (e->len == len && (e->any || e->match == value_of(data, len)));
}

/* The first event at or above an address. */
static unsigned int find(const struct io_table *table, u64 addr)
{
	unsigned int low = 0, high = table ? table->nr : 0, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (table->events[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/**
 * ioeventfd_signal - does a guest's write belong to an eventfd? Then signal it
 * @bus: the VM's bus
 * @pio: port, not memory
 * @addr: where
 * @len: bytes
 * @data: the bytes
 *
 * Context: vCPU thread.
 */
bool ioeventfd_signal(struct okvm_io_bus *bus, bool pio, u64 addr, unsigned int len,
		      const void *data)
{
	const struct io_table *table;
	bool hit = false;
	unsigned int i;

	rcu_read_lock();
	table = rcu_dereference(bus->events[pio]);
	if (table) {
		for (i = find(table, addr); i < table->nr && table->events[i].addr == addr; i++) {
			hit = hits(&table->events[i], len, data);
			if (hit) {
				okvm_eventfd_signal(table->events[i].ctx);
				break;
			}
		}
	}
	rcu_read_unlock();
	return hit;
}

static bool collide(const struct io_event *a, const struct io_event *b)
{
	return a->addr == b->addr &&
	       (!a->len || !b->len ||
		(a->len == b->len && (a->any || b->any || a->match == b->match)));
}

static bool same(const struct io_event *a, const struct io_event *b)
{
	return a->addr == b->addr && a->len == b->len && a->ctx == b->ctx && a->any == b->any &&
	       (a->any || a->match == b->match);
}

static struct io_table *table_of(struct okvm_io_bus *bus, bool pio)
{
	return rcu_dereference_protected(bus->events[pio], lockdep_is_held(&bus->lock));
}

static struct io_table *table_alloc(unsigned int nr)
{
	struct io_table *table;

	table = kvmalloc(struct_size(table, events, nr), GFP_KERNEL_ACCOUNT);
	if (table)
		table->nr = nr;
	return table;
}

/* Takes over the event's reference to its eventfd. */
static int assign(struct okvm_io_bus *bus, bool pio, const struct io_event *e)
{
	struct io_table *old = table_of(bus, pio), *new;
	unsigned int at = find(old, e->addr), nr = old ? old->nr : 0, i;

	for (i = at; i < nr && old->events[i].addr == e->addr; i++)
		if (collide(&old->events[i], e))
			return -EEXIST;
	new = table_alloc(nr + 1);
	if (!new)
		return -ENOMEM;
	if (nr) {
		memcpy(new->events, old->events, at * sizeof(*e));
		memcpy(new->events + at + 1, old->events + at, (nr - at) * sizeof(*e));
	}
	new->events[at] = *e;
	rcu_assign_pointer(bus->events[pio], new);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

static int deassign(struct okvm_vm *vm, bool pio, const struct io_event *e)
{
	struct io_table *old = table_of(vm->io, pio), *new = NULL;
	unsigned int at = find(old, e->addr), nr = old ? old->nr : 0;

	while (at < nr && !same(&old->events[at], e))
		at++;
	if (at == nr)
		return -ENOENT;
	if (nr > 1) {
		new = table_alloc(nr - 1);
		if (!new)
			return -ENOMEM;
		memcpy(new->events, old->events, at * sizeof(*e));
		memcpy(new->events + at, old->events + at + 1, (nr - 1 - at) * sizeof(*e));
	}
	rcu_assign_pointer(vm->io->events[pio], new);
	/* User space drains the eventfd after this: no signal may come later. Only vCPUs read. */
	if (READ_ONCE(vm->nr_vcpus))
		synchronize_rcu_expedited();
	eventfd_ctx_put(old->events[at].ctx);
	kvfree(old);
	return 0;
}

#define KNOWN_FLAGS (KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | \
		     KVM_IOEVENTFD_FLAG_DEASSIGN)

/* Lengths are powers of two; no length goes with no data. */
static bool args_valid(const struct kvm_ioeventfd *args)
{
	if (args->flags & ~KNOWN_FLAGS)
		return false;
	if (args->len > 8 || (args->len & (args->len - 1)))
		return false;
	if (args->addr + args->len < args->addr)
		return false;
	return args->len || !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
}

/**
 * irqchip_ioeventfd - KVM_IOEVENTFD
 * @vm: the VM
 * @arg: struct kvm_ioeventfd
 *
 * KVM API document, 4.59.
 *
 * Return: 0; -EINVAL: bad arguments or not an eventfd; -EBADF; -EEXIST: another would take the
 * same writes; -ENOENT: no such assignment; -ENOMEM.
 */
long irqchip_ioeventfd(struct okvm_vm *vm, void *arg)
{
	const struct kvm_ioeventfd *args = arg;
	bool pio = args->flags & KVM_IOEVENTFD_FLAG_PIO;
	struct io_event e = {
		.addr = args->addr,
		.len = args->len,
		.any = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
	};
	bool remove = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	int r;

	if (!args_valid(args))
		return -EINVAL;
	if (!e.any)
		/* Only as many bytes as are written can match. */
		e.match = e.len == 8 ? args->datamatch :
				       args->datamatch & (BIT_ULL(e.len * 8) - 1);
	e.ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(e.ctx))
		return PTR_ERR(e.ctx);
	mutex_lock(&vm->io->lock);
	r = remove ? deassign(vm, pio, &e) : assign(vm->io, pio, &e);
	mutex_unlock(&vm->io->lock);
	if (remove || r)
		eventfd_ctx_put(e.ctx);
	return r;
}

/** ioeventfd_free - the VM goes; nobody reads the tables */
void ioeventfd_free(struct okvm_io_bus *bus)
{
	struct io_table *table;
	unsigned int i;
	int pio;

	for (pio = 0; pio < 2; pio++) {
		table = rcu_dereference_protected(bus->events[pio], true);
		if (!table)
			continue;
		for (i = 0; i < table->nr; i++)
			eventfd_ctx_put(table->events[i].ctx);
		kvfree(table);
	}
}
