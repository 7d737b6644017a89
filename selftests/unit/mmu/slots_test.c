// SPDX-License-Identifier: GPL-2.0-only
/* Slot objects: every lookup against a search through a plain list, over random changes. */
#include <string.h>

#include "mmu/pte.h"
#include "mmu/slots.h"
#include "tap.h"

#define MAX	40
#define SPACE	1024		/* guest pages */

static struct okvm_slot *all[MAX];
static struct okvm_slots *slots;

static void install(struct okvm_slot *drop, struct okvm_slot *add)
{
	struct okvm_slots *next = malloc(slots_size(slots->n + 1));

	slots_build(next, slots, drop, add);
	free(slots);
	slots = next;
}

static void start(void)
{
	slots = calloc(1, slots_size(0));
	memset(all, 0, sizeof(all));
}

static void end(void)
{
	int i;

	for (i = 0; i < MAX; i++)
		free(all[i]);
	free(slots);
}

static struct okvm_slot *new_slot(u64 base, unsigned long npages, unsigned long hva)
{
	struct okvm_slot *slot = calloc(1, sizeof(*slot));

	slot->base = base;
	slot->npages = npages;
	slot->hva = hva;
	return slot;
}

static struct okvm_slot *plain_find(u64 gfn)
{
	int i;

	for (i = 0; i < MAX; i++)
		if (all[i] && gfn >= all[i]->base && gfn < all[i]->base + all[i]->npages)
			return all[i];
	return NULL;
}

static bool plain_overlap(const struct okvm_slot *ignore, u64 base, u64 npages)
{
	u64 gfn;

	for (gfn = base; gfn < base + npages; gfn++)
		if (plain_find(gfn) && plain_find(gfn) != ignore)
			return true;
	return false;
}

static void check_by_gfn(void)
{
	unsigned int hint = random64();
	u64 gfn;

	for (gfn = 0; gfn < SPACE + 8; gfn++)
		CHECK(slots_find(slots, gfn, &hint) == plain_find(gfn));
	CHECK(!slots_find(slots, ~0ull, &hint));
	for (gfn = 0; gfn < 64; gfn++) {
		hint = random64();
		CHECK(slots_find(slots, gfn * 16, &hint) == plain_find(gfn * 16));
	}
}

static void check_by_hva(unsigned long first, unsigned long last_end)
{
	bool seen[MAX] = { 0 }, meets;
	struct okvm_slot *slot;
	unsigned int i;
	int j;

	for_each_slot_in_hva(i, slot, slots, first, last_end) {
		for (j = 0; j < MAX && all[j] != slot; j++)
			;
		CHECK(j < MAX && !seen[j]);
		if (j < MAX)
			seen[j] = true;
	}
	for (j = 0; j < MAX; j++) {
		meets = all[j] && all[j]->hva < last_end &&
			all[j]->hva + (all[j]->npages << 12) > first;
		CHECK(seen[j] == meets);
	}
}

static void check_all(void)
{
	unsigned long first;
	u64 base, npages;
	int i;

	check_by_gfn();
	for (i = 0; i < 30; i++) {
		first = random_below(SPACE) << 12;
		check_by_hva(first, first + ((1 + random_below(40)) << 12));
		base = random_below(SPACE);
		npages = 1 + random_below(40);
		CHECK(slots_overlap(slots, NULL, base, npages) == plain_overlap(NULL, base, npages));
		CHECK(slots_overlap(slots, all[i], base, npages) ==
		      plain_overlap(all[i], base, npages));
	}
	check_by_hva(0, ~0ul);
}

/* Create, delete, or move one slot; user memory is shared freely. */
static void change(void)
{
	unsigned long npages = 1 + random_below(random_below(5) ? 12 : 120);
	struct okvm_slot *add = NULL;
	int i = random_below(MAX);
	u64 base = random_below(SPACE - 130);

	if (random_below(4)) {
		if (plain_overlap(all[i], base, npages))
			return;
		add = new_slot(base, npages, random_below(SPACE) << 12);
	}
	if (!all[i] && !add)
		return;
	install(all[i], add);
	free(all[i]);
	all[i] = add;
}

static void random_changes(void)
{
	unsigned int n = 0, most = 0;
	int round;

	start();
	for (round = 0; round < 4000 && !failed_what; round++) {
		change();
		check_all();
		n = slots->n;
		most = n > most ? n : most;
	}
	printf("# up to %u slots\n", most);
	CHECK(most > 20);
	end();
}

static void no_slots(void)
{
	unsigned int hint = 0;

	start();
	CHECK(!slots_find(slots, 0, &hint));
	CHECK(!slots_overlap(slots, NULL, 0, SPACE));
	check_by_hva(0, ~0ul);
	end();
}

static void neighbours_do_not_overlap(void)
{
	start();
	all[0] = new_slot(10, 10, 0x10000);
	install(NULL, all[0]);
	CHECK(!slots_overlap(slots, NULL, 0, 10));
	CHECK(!slots_overlap(slots, NULL, 20, 1));
	CHECK(slots_overlap(slots, NULL, 19, 1));
	CHECK(slots_overlap(slots, NULL, 0, 11));
	CHECK(slots_overlap(slots, NULL, 0, 100));
	CHECK(!slots_overlap(slots, all[0], 0, 100));
	end();
}

static void leaf_sizes(void)
{
	CHECK_EQ(slot_level_limit(0, 0x7f0000000000), LEVEL_1G);
	CHECK_EQ(slot_level_limit(0x40000, 0x7f0040000000), LEVEL_1G);
	CHECK_EQ(slot_level_limit(0x200, 0x7f0000200000), LEVEL_1G);
	CHECK_EQ(slot_level_limit(0x200, 0x7f0000400000), LEVEL_2M);
	CHECK_EQ(slot_level_limit(0x201, 0x7f0000401000), LEVEL_2M);
	CHECK_EQ(slot_level_limit(0x200, 0x7f0000401000), LEVEL_4K);
	CHECK_EQ(slot_level_limit(1, 0x7f0000000000), LEVEL_4K);
}

int main(void)
{
	RUN(no_slots);
	RUN(neighbours_do_not_overlap);
	RUN(leaf_sizes);
	RUN(random_changes);
	return finish();
}
