// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty rings: a vCPU's pages in the order in which it dirtied them, in memory that user space
 * maps. KVM API document, 8.29 KVM_CAP_DIRTY_LOG_RING.
 *
 * A slot's log is there as well and says which pages wait in some ring, so that none is in two
 * places at once. The order is that of the log: a fault gives the right to write, sets the bit, and
 * fills the entry; the reset takes the bit and then the right.
 */
#include <linux/bitmap.h>
#include <linux/log2.h>
#include <linux/vmalloc.h>

#include "mmu/dirty.h"
#include "mmu/memslot.h"
#include "mmu/tdp.h"

#define ENTRY_SIZE	sizeof(struct kvm_dirty_gfn)
#define MAX_SIZE	(65536 * ENTRY_SIZE)
/* Left for what one exit dirties, when the vCPU may not go on. */
#define RESERVED	64

static u32 entries_of(const struct okvm_vm *vm)
{
	return vm->mmu.ring_size / ENTRY_SIZE;
}

/** dirty_ring_max - KVM_CHECK_EXTENSION of the capability: bytes */
int dirty_ring_max(struct okvm_vm *vm)
{
	return MAX_SIZE;
}

/* No page is in a ring yet, whatever the logs say. No vCPU has mapped any. */
static void empty_logs(struct okvm_vm *vm)
{
	struct okvm_slot *slot;
	unsigned long id;

	xa_for_each(&vm->mmu.by_id, id, slot)
		if (slot->dirty)
			bitmap_zero(slot->dirty, slot->npages);
}

/**
 * dirty_ring_enable - KVM_CAP_DIRTY_LOG_RING
 * @vm: the VM
 * @cap: args[0]: bytes of each vCPU's ring
 *
 * Return: 0; -EINVAL: no power of two, too small, enabled already, or a vCPU exists; -E2BIG.
 */
int dirty_ring_enable(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 size = cap->args[0];
	int err = -EINVAL;

	if (!is_power_of_2(size) || size < PAGE_SIZE || size < RESERVED * ENTRY_SIZE)
		return -EINVAL;
	if (size > MAX_SIZE)
		return -E2BIG;
	mutex_lock(&vm->lock);
	mutex_lock(&vm->slots_lock);
	if (!vm->mmu.ring_size && !vm->created_vcpus) {
		empty_logs(vm);
		WRITE_ONCE(vm->mmu.ring_size, size);
		vm->mmu.pml = false;
		err = 0;
	}
	mutex_unlock(&vm->slots_lock);
	mutex_unlock(&vm->lock);
	return err;
}

/** dirty_ring_create - a new vCPU's; 0 or -ENOMEM */
int dirty_ring_create(struct okvm_vcpu *vcpu)
{
	u32 size = vcpu->vm->mmu.ring_size;

	if (!size)
		return 0;
	vcpu->mmu.ring.entries = __vmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return vcpu->mmu.ring.entries ? 0 : -ENOMEM;
}

/** dirty_ring_free - the end of it */
void dirty_ring_free(struct okvm_vcpu *vcpu)
{
	vfree(vcpu->mmu.ring.entries);
	vcpu->mmu.ring.entries = NULL;
}

/**
 * okvm_dirty_ring_page - a page of it in the vCPU's mapping
 * @vcpu: the vCPU
 * @pgoff: page offset of the mapping
 *
 * Return: the page without a reference of the caller's; NULL: no ring there.
 */
struct page *okvm_dirty_ring_page(struct okvm_vcpu *vcpu, unsigned long pgoff)
{
	unsigned long at = pgoff - KVM_DIRTY_LOG_PAGE_OFFSET;

	if (pgoff < KVM_DIRTY_LOG_PAGE_OFFSET || at >= vcpu->vm->mmu.ring_size >> PAGE_SHIFT)
		return NULL;
	return vmalloc_to_page((void *)vcpu->mmu.ring.entries + (at << PAGE_SHIFT));
}

/** okvm_dirty_ring_maps - do these pages of the mapping meet the ring? */
bool okvm_dirty_ring_maps(struct okvm_vcpu *vcpu, unsigned long pgoff, unsigned long npages)
{
	unsigned long end = KVM_DIRTY_LOG_PAGE_OFFSET + (vcpu->vm->mmu.ring_size >> PAGE_SHIFT);

	return pgoff < end && pgoff + npages > KVM_DIRTY_LOG_PAGE_OFFSET;
}

static u32 waiting(const struct dirty_ring *ring)
{
	return ring->next - smp_load_acquire(&ring->reset);
}

/** dirty_ring_has_room - for @n more; without a ring there is none. vCPU thread */
bool dirty_ring_has_room(struct okvm_vcpu *vcpu, unsigned int n)
{
	return waiting(&vcpu->mmu.ring) + n <= entries_of(vcpu->vm);
}

/** okvm_dirty_ring_full - must user space see to it before the vCPU goes on? vCPU thread */
bool okvm_dirty_ring_full(struct okvm_vcpu *vcpu)
{
	return vcpu->mmu.ring.entries &&
	       waiting(&vcpu->mmu.ring) >= entries_of(vcpu->vm) - RESERVED;
}

/**
 * dirty_ring_push - a page whose bit in the log has just been set
 * @vcpu: the running vCPU
 * @slot: the page's slot
 * @offset: which of its pages
 *
 * Context: vCPU thread; does not sleep. The scheduler's notifier may come between and push, too.
 */
void dirty_ring_push(struct okvm_vcpu *vcpu, const struct okvm_slot *slot, u64 offset)
{
	struct dirty_ring *ring = &vcpu->mmu.ring;
	struct kvm_dirty_gfn *entry;

	preempt_disable();
	if (!WARN_ON_ONCE(!dirty_ring_has_room(vcpu, 1))) {
		entry = &ring->entries[ring->next & (entries_of(vcpu->vm) - 1)];
		WRITE_ONCE(entry->slot, slot->id);
		WRITE_ONCE(entry->offset, offset);
		/*
		 * Who sees the flag sees the rest: user space what is in the entry, and a reset
		 * that it asks for at once that there is one more.
		 */
		WRITE_ONCE(ring->next, ring->next + 1);
		smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
	}
	if (okvm_dirty_ring_full(vcpu))
		okvm_request(vcpu, REQ_RING_FULL);
	preempt_enable();
}

/* Pages of a slot to be protected, from @first on. */
struct batch {
	struct okvm_slot *slot;
	u64 first;
	unsigned long mask;
	bool taken;
};

static void protect(struct okvm_vm *vm, struct batch *b)
{
	struct tdp_protect p = { .vm = vm };

	if (!b->mask)
		return;
	read_lock(&vm->mmu.link->lock);
	tdp_protect_mask(&p, b->slot->base + b->first, b->mask);
	read_unlock(&vm->mmu.link->lock);
	b->taken |= p.taken;
	b->mask = 0;
	cond_resched();
}

/* What user space gives back may be anything. */
static void add(struct okvm_vm *vm, struct batch *b, u32 id, u64 offset)
{
	struct okvm_slot *slot = id < MAX_SLOTS ? memslot_by_id(vm, id) : NULL;

	if (!slot || !slot->dirty || offset >= slot->npages)
		return;
	if (b->mask && (slot != b->slot || offset - b->first >= BITS_PER_LONG))
		protect(vm, b);
	if (!b->mask) {
		b->slot = slot;
		b->first = offset;
	}
	clear_bit(offset, slot->dirty);
	b->mask |= BIT(offset - b->first);
}

/* Entries that user space has seen, in order; at most those that there are now. */
static unsigned int reset_ring(struct okvm_vcpu *vcpu, struct batch *b)
{
	struct dirty_ring *ring = &vcpu->mmu.ring;
	u32 end = smp_load_acquire(&ring->next), size = entries_of(vcpu->vm);
	struct kvm_dirty_gfn *entry;
	unsigned int n = 0;

	for (; ring->reset != end; n++) {
		entry = &ring->entries[ring->reset & (size - 1)];
		if (!(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		add(vcpu->vm, b, READ_ONCE(entry->slot), READ_ONCE(entry->offset));
		WRITE_ONCE(entry->flags, 0);
		/* The vCPU may fill it again. */
		smp_store_release(&ring->reset, ring->reset + 1);
	}
	return n;
}

/**
 * dirty_ring_reset - KVM_RESET_DIRTY_RINGS: watch the pages again that user space has seen
 * @vm: the VM
 * @arg: unused
 *
 * Context: may sleep.
 * Return: how many there were, or -EINVAL: no rings.
 */
long dirty_ring_reset(struct okvm_vm *vm, void *arg)
{
	struct batch b = { };
	struct okvm_vcpu *vcpu;
	unsigned long i;
	long n = 0;

	if (!READ_ONCE(vm->mmu.ring_size))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	okvm_for_each_vcpu(i, vcpu, vm)
		n += reset_ring(vcpu, &b);
	protect(vm, &b);
	if (b.taken)
		okvm_flush_remote_tlbs(vm);
	mutex_unlock(&vm->slots_lock);
	return n;
}
