// SPDX-License-Identifier: GPL-2.0-only
/* Looking up slots, and building the next object from the last. */
#include "mmu/pte.h"
#include "mmu/slots.h"

/* How many entries have a base at or below @gfn. */
static unsigned int rank(const struct okvm_slots *slots, u64 gfn)
{
	unsigned int low = 0, high = slots->n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (slots->by_gfn[mid].base <= gfn)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/**
 * slots_search - slots_find() without the shortcut
 * @slots: where to look
 * @gfn: the page
 * @hint: gets the index of a hit
 */
struct okvm_slot *slots_search(const struct okvm_slots *slots, u64 gfn, unsigned int *hint)
{
	unsigned int i = rank(slots, gfn);

	if (!i || !slot_has(slots->by_gfn[i - 1].slot, gfn))
		return NULL;
	*hint = i - 1;
	return slots->by_gfn[i - 1].slot;
}

/**
 * slots_first_by_hva - index in by_hva of the first slot that may reach beyond @start
 * @slots: where to look
 * @start: user address
 *
 * Return: slots->n when there is none.
 */
unsigned int slots_first_by_hva(const struct okvm_slots *slots, unsigned long start)
{
	unsigned int low = 0, high = slots->n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (slots->by_hva[mid].max_end <= start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/**
 * slots_overlap - does a guest range meet a slot other than @ignore?
 * @slots: the slots
 * @ignore: not counted, or NULL
 * @base: first guest page
 * @npages: number of pages, at least 1; the range does not wrap
 */
bool slots_overlap(const struct okvm_slots *slots, const struct okvm_slot *ignore, u64 base,
		   u64 npages)
{
	unsigned int i = rank(slots, base + npages - 1);
	const struct okvm_slot *slot;

	/* Slots do not meet each other: only the last that begins in or before the range, and the
	 * one before it when that is the ignored one, can reach into it. */
	while (i--) {
		slot = slots->by_gfn[i].slot;
		if (slot == ignore)
			continue;
		return slot->base + slot->npages > base;
	}
	return false;
}

/** slots_size - bytes of an object that holds @n slots */
unsigned long slots_size(unsigned int n)
{
	return sizeof(struct okvm_slots) + n * (sizeof(struct slot_by_gfn) +
						sizeof(struct slot_by_hva));
}

static void build_by_gfn(struct okvm_slots *slots, const struct okvm_slots *from,
			 const struct okvm_slot *drop, struct okvm_slot *add)
{
	unsigned int i, n = 0;

	for (i = 0; i < from->n; i++) {
		if (from->by_gfn[i].slot == drop)
			continue;
		if (add && add->base < from->by_gfn[i].base) {
			slots->by_gfn[n++] = (struct slot_by_gfn){ add->base, add };
			add = NULL;
		}
		slots->by_gfn[n++] = from->by_gfn[i];
	}
	if (add)
		slots->by_gfn[n++] = (struct slot_by_gfn){ add->base, add };
	slots->n = n;
}

static unsigned int put_by_hva(struct okvm_slots *slots, unsigned int n, struct okvm_slot *slot)
{
	unsigned long end = slot->hva + (slot->npages << 12);

	if (n && slots->by_hva[n - 1].max_end > end)
		end = slots->by_hva[n - 1].max_end;
	slots->by_hva[n] = (struct slot_by_hva){ slot->hva, end, slot };
	return n + 1;
}

static void build_by_hva(struct okvm_slots *slots, const struct okvm_slots *from,
			 const struct okvm_slot *drop, struct okvm_slot *add)
{
	unsigned int i, n = 0;

	for (i = 0; i < from->n; i++) {
		if (from->by_hva[i].slot == drop)
			continue;
		if (add && add->hva < from->by_hva[i].start) {
			n = put_by_hva(slots, n, add);
			add = NULL;
		}
		n = put_by_hva(slots, n, from->by_hva[i].slot);
	}
	if (add)
		put_by_hva(slots, n, add);
}

/**
 * slots_build - fill a new object: another one's slots without @drop and with @add
 * @slots: memory of slots_size(from->n + 1) bytes
 * @from: the present object
 * @drop: slot to leave out, or NULL
 * @add: slot to put in, or NULL; it meets none of the others
 */
void slots_build(struct okvm_slots *slots, const struct okvm_slots *from,
		 const struct okvm_slot *drop, struct okvm_slot *add)
{
	slots->generation = from->generation + 1;
	slots->by_hva = (struct slot_by_hva *)&slots->by_gfn[from->n + 1];
	build_by_gfn(slots, from, drop, add);
	build_by_hva(slots, from, drop, add);
}

/**
 * slot_level_limit - the largest leaf that can map a guest range on a user range
 * @base: first guest page
 * @hva: its user address
 *
 * Return: LEVEL_4K, LEVEL_2M or LEVEL_1G: the two addresses must agree below the leaf's size.
 */
int slot_level_limit(u64 base, unsigned long hva)
{
	u64 differ = base ^ (hva >> 12);
	int level = LEVEL_1G;

	while (level > LEVEL_4K && (differ & (level_pages(level) - 1)))
		level--;
	return level;
}
