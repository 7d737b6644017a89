/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM's slots: changes by user space, lookups by vCPUs. */
#ifndef MMU_MEMSLOT_H
#define MMU_MEMSLOT_H

#include <linux/bitops.h>

#include "mmu/slots.h"
#include "vmm.h"

#define MAX_SLOTS	32764	/* what KVM has on x86: user space counts on ids up to there */

void memslots_create(struct okvm_vm *vm);
void memslots_destroy(struct okvm_vm *vm);
long memslot_set(struct okvm_vm *vm, void *arg);
struct okvm_slot *memslot_by_id(struct okvm_vm *vm, u32 id);

/**
 * memslot_find - the slot that has a guest page, or NULL
 * @vcpu: the vCPU, between okvm_slots_begin() and okvm_slots_end()
 * @gfn: the page
 */
static inline struct okvm_slot *memslot_find(struct okvm_vcpu *vcpu, u64 gfn)
{
	return slots_find(vcpu->slots_held, gfn, &vcpu->mmu.slot_hint);
}

static inline bool memslot_writable(const struct okvm_slot *slot)
{
	return !(slot->flags & KVM_MEM_READONLY);
}

void dirty_ring_push(struct okvm_vcpu *vcpu, const struct okvm_slot *slot, u64 offset);
bool dirty_ring_has_room(struct okvm_vcpu *vcpu, unsigned int n);

/**
 * memslot_may_write - may the hypervisor itself write there?
 * @vcpu: the vCPU, in its thread
 * @slot: where
 * @room: for how many pages a dirty ring must have room: 1, or 2 where the scheduler's notifier
 *	may come between this and the write, and write one itself
 *
 * Not what is read-only, nor what a full dirty ring cannot take: that is user space's to empty.
 */
static inline bool memslot_may_write(struct okvm_vcpu *vcpu, const struct okvm_slot *slot,
				     unsigned int room)
{
	return memslot_writable(slot) && (likely(!vcpu->mmu.ring.entries) || !slot->dirty ||
					  dirty_ring_has_room(vcpu, room));
}

/* A log starts with all pages in it, and none protected: not with rings, which are empty. */
static inline bool memslot_logs_all(const struct okvm_vm *vm)
{
	return vm->mmu.manual_dirty & KVM_DIRTY_LOG_INITIALLY_SET && !vm->mmu.ring_size;
}

/**
 * memslot_mark_dirty - note a write in the slot's dirty log, if it has one
 * @vcpu: the vCPU, in its thread
 * @slot: the slot
 * @gfn: a page of it; it is written already, or its entry is writable already
 */
static inline void memslot_mark_dirty(struct okvm_vcpu *vcpu, const struct okvm_slot *slot, u64 gfn)
{
	u64 offset = gfn - slot->base;

	if (!slot->dirty)
		return;
	if (!vcpu->mmu.ring.entries)
		set_bit(offset, slot->dirty);
	else if (!test_and_set_bit(offset, slot->dirty))
		dirty_ring_push(vcpu, slot, offset);
}

/**
 * memslot_user - the user address of guest memory, or NULL: no slot, or memslot_may_write() not
 * @vcpu: the vCPU, between okvm_slots_begin() and okvm_slots_end()
 * @gpa: guest physical address
 * @write: it will be written
 */
static inline void __user *memslot_user(struct okvm_vcpu *vcpu, gpa_t gpa, bool write)
{
	const struct okvm_slot *slot = memslot_find(vcpu, gpa >> PAGE_SHIFT);

	if (unlikely(!slot || (write && !memslot_may_write(vcpu, slot, 2))))
		return NULL;
	return (void __user *)(slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

bool memslot_read(void *buf, const void __user *user, unsigned int len);

/* Bytes of an access that are in the page of its first. */
static inline unsigned int to_page_end(u64 address, unsigned int len)
{
	return min_t(unsigned int, len, PAGE_SIZE - offset_in_page(address));
}

#endif
