/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory slots and the immutable, sorted objects that lookups use. A change builds a new object.
 * Pure: builds in user space too.
 */
#ifndef MMU_SLOTS_H
#define MMU_SLOTS_H

#include "emulate/env.h"

/**
 * struct okvm_slot - guest memory and the user memory behind it; only @dirty's bits change
 * @base: first guest page
 * @npages: number of pages
 * @hva: user address of the first page
 * @flags: KVM_MEM_*
 * @id: user space's number
 * @max_level: the largest leaf that guest and user address can share
 * @dirty: one bit a page while KVM_MEM_LOG_DIRTY_PAGES is set, else NULL
 */
struct okvm_slot {
	u64 base;
	unsigned long npages;
	unsigned long hva;
	u32 flags;
	u16 id;
	u8 max_level;
	unsigned long *dirty;
};

struct slot_by_gfn {
	u64 base;
	struct okvm_slot *slot;
};

/* Several slots may have the same user memory: @max_end is the largest end so far in the array. */
struct slot_by_hva {
	unsigned long start, max_end;
	struct okvm_slot *slot;
};

/**
 * struct okvm_slots - all slots of a VM at one time
 * @generation: another one than that of any other object of the VM; 0: of the empty first
 * @n: how many
 * @by_hva: sorted by user address
 * @by_gfn: sorted by guest address
 */
struct okvm_slots {
	u64 generation;
	unsigned int n;
	struct slot_by_hva *by_hva;
	struct slot_by_gfn by_gfn[];
};

static inline bool slot_has(const struct okvm_slot *slot, u64 gfn)
{
	return gfn - slot->base < slot->npages;
}

static inline unsigned long slot_hva(const struct okvm_slot *slot, u64 gfn)
{
	return slot->hva + ((gfn - slot->base) << 12);
}

struct okvm_slot *slots_search(const struct okvm_slots *slots, u64 gfn, unsigned int *hint);
unsigned int slots_first_by_hva(const struct okvm_slots *slots, unsigned long start);
bool slots_overlap(const struct okvm_slots *slots, const struct okvm_slot *ignore, u64 base,
		   u64 npages);
unsigned long slots_size(unsigned int n);
void slots_build(struct okvm_slots *slots, const struct okvm_slots *from,
		 const struct okvm_slot *drop, struct okvm_slot *add);
int slot_level_limit(u64 base, unsigned long hva);

/**
 * slots_find - the slot that has a guest page, or NULL
 * @slots: where to look
 * @gfn: the page
 * @hint: index of the caller's last hit, any value; updated
 */
static inline struct okvm_slot *slots_find(const struct okvm_slots *slots, u64 gfn,
					   unsigned int *hint)
{
	if (likely(*hint < slots->n && slot_has(slots->by_gfn[*hint].slot, gfn)))
		return slots->by_gfn[*hint].slot;
	return slots_search(slots, gfn, hint);
}

/**
 * for_each_slot_in_hva - slots whose user memory meets a range of addresses
 * @i: unsigned int
 * @slot: cursor
 * @slots: the slots
 * @first: first address
 * @last_end: the address after the last
 */
#define for_each_slot_in_hva(i, slot, slots, first, last_end) \
	for ((i) = slots_first_by_hva(slots, first); \
	     (i) < (slots)->n && (slots)->by_hva[i].start < (last_end); (i)++) \
		if ((slot) = (slots)->by_hva[i].slot, \
		    (slot)->hva + ((slot)->npages << 12) <= (first)) { } else

#endif
