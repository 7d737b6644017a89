// SPDX-License-Identifier: GPL-2.0-only
/* Entries of second-level tables, and the iterator against a list of what is mapped. */
#include <string.h>

#include "mmu/iter.h"
#include "tap.h"

static const struct pte_format *fmt = &npt_format;

/* The PAT as Linux sets it: WB WC UC- UC WB WP UC- WT. */
#define LINUX_PAT	0x0407050600070106ull

static struct pte_format ept;

static void use_ept(bool hardware_ad, bool nx_huge)
{
	ept_format(&ept, LINUX_PAT, hardware_ad, nx_huge);
	fmt = &ept;
}

/* Tables are at their "physical" addresses: the pointers. */
static u64 *new_table(void)
{
	u64 *table = aligned_alloc(4096, 4096);

	memset(table, 0, 4096);
	return table;
}

static void free_tables(u64 *table, int level)
{
	int i;

	for (i = 0; i < PT_ENTRIES; i++)
		if (pte_is_present(fmt, table[i]) && !pte_is_leaf(fmt, table[i], level))
			free_tables(table_virt(pte_phys(fmt, table[i])), level - 1);
	free(table);
}

/* Any page will do for a guest page, within what an address can be. */
static u64 page_of(u64 gfn)
{
	return (gfn << 12) & fmt->addr;
}

/* Put a leaf at @level, making tables on the way; false when something is there. */
static bool map(u64 *table, int root_level, u64 gfn, int level)
{
	struct leaf_desc leaf = { .phys = page_of(gfn), .accessed = true };
	u64 *pte;
	int l;

	for (l = root_level;; l--) {
		pte = &table[level_index(gfn, l)];
		if (l == level)
			break;
		if (!pte_is_present(fmt, *pte))
			*pte = pte_make_table(fmt, (uintptr_t)new_table());
		else if (pte_is_leaf(fmt, *pte, l))
			return false;
		table = table_virt(pte_phys(fmt, *pte));
	}
	if (pte_is_present(fmt, *pte))
		return false;
	*pte = pte_make_leaf(fmt, &leaf, level);
	return true;
}

static void leaves_have_their_bits(void)
{
	struct leaf_desc leaf = { .phys = 0x12345000 };
	u64 pte = pte_make_leaf(fmt, &leaf, LEVEL_4K);

	CHECK_EQ(pte, 0x12345000 | 0x5);
	CHECK(pte_is_present(fmt, pte) && pte_is_leaf(fmt, pte, LEVEL_4K));
	leaf.write = leaf.host_write = leaf.accessed = true;
	CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x12345000 | 0x67 | PTE_HOST_WRITE);
	leaf.phys = 0x40000000;
	pte = pte_make_leaf(fmt, &leaf, LEVEL_1G);
	CHECK_EQ(pte, 0x40000000 | 0xe7 | PTE_HOST_WRITE);
	CHECK(pte_is_leaf(fmt, pte, LEVEL_1G));
	CHECK_EQ(pte_phys(fmt, pte_make_table(fmt, 0x777000)), 0x777000);
	CHECK(!pte_is_leaf(fmt, pte_make_table(fmt, 0x777000), LEVEL_2M));
}

static void memory_types(void)
{
	/* PWT, PCD and PAT; the PAT bit moves in larger leaves. */
	static const u64 small[8] = { 0, 0x8, 0x10, 0x18, 0x80, 0x88, 0x90, 0x98 };
	static const u64 large[8] = { 0, 0x8, 0x10, 0x18, 0x1000, 0x1008, 0x1010, 0x1018 };
	struct leaf_desc leaf = { 0 };
	int i;

	for (i = 0; i < 8; i++) {
		leaf.pat = i;
		CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x5 | small[i]);
		CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_2M), 0x85 | large[i]);
	}
}

static void split_says_the_same(void)
{
	struct leaf_desc leaf, part;
	unsigned int bits, i;
	int level;
	u64 pte;

	for (level = LEVEL_2M; level <= LEVEL_1G; level++)
		for (bits = 0; bits < 128; bits++) {
			leaf = (struct leaf_desc){
				.phys = 5ull << 30, .pat = bits >> 3 & 7, .host_write = bits & 1,
				.write = bits & 2, .accessed = bits & 4, .clean = bits & 64,
			};
			pte = pte_make_leaf(fmt, &leaf, level);
			for (i = 0; i < PT_ENTRIES; i += 73) {
				part = leaf;
				part.phys += i * (level_pages(level - 1) << 12);
				CHECK_EQ(pte_split(fmt, pte, level, i),
					 pte_make_leaf(fmt, &part, level - 1));
			}
		}
}

static void ept_leaves_have_their_bits(void)
{
	struct leaf_desc leaf = { .phys = 0x12345000 };
	u64 pte;

	use_ept(true, false);
	/* Readable, executable, write-back whatever the guest's PAT says. */
	pte = pte_make_leaf(fmt, &leaf, LEVEL_4K);
	CHECK_EQ(pte, 0x12345000 | 0x75);
	CHECK(pte_is_present(fmt, pte) && pte_is_leaf(fmt, pte, LEVEL_4K));
	CHECK(pte_may_exec(fmt, pte));
	leaf.write = leaf.host_write = leaf.accessed = true;
	CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x12345000 | 0x377 | PTE_HOST_WRITE);
	leaf.clean = true;
	CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x12345000 | 0x177 | PTE_HOST_WRITE);
	leaf.clean = false;
	leaf.phys = 0x40000000;
	pte = pte_make_leaf(fmt, &leaf, LEVEL_1G);
	CHECK_EQ(pte, 0x40000000 | 0x3f7 | PTE_HOST_WRITE);
	CHECK(pte_is_leaf(fmt, pte, LEVEL_1G));
	CHECK_EQ(pte_make_table(fmt, 0x777000), 0x777007);
	CHECK(!pte_is_leaf(fmt, pte_make_table(fmt, 0x777000), LEVEL_2M));
	/* Bit 9 belongs to nobody when the CPU does not write it. */
	use_ept(false, false);
	CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x40000000 | 0x177 | PTE_HOST_WRITE);
}

static void ept_memory_types(void)
{
	static const u64 types[8] = { 0x70, 0x08, 0x00, 0x00, 0x70, 0x28, 0x00, 0x20 };
	struct leaf_desc leaf = { 0 };
	int i;

	use_ept(true, false);
	for (i = 0; i < 8; i++) {
		leaf.pat = i;
		CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x5 | types[i]);
		CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_2M), 0x85 | types[i]);
	}
	/* At power-up, index 1 is WT, and 4 to 7 are as 0 to 3. */
	ept_format(&ept, 0x0007040600070406ull, true, false);
	leaf.pat = 1;
	CHECK_EQ(pte_make_leaf(fmt, &leaf, LEVEL_4K), 0x5 | 0x20);
}

static void ept_large_leaves_without_exec(void)
{
	struct leaf_desc leaf = { .phys = 1ull << 30, .write = true };
	u64 pte, part;

	use_ept(true, true);
	pte = pte_make_leaf(fmt, &leaf, LEVEL_1G);
	CHECK(pte_is_present(fmt, pte) && !pte_may_exec(fmt, pte));
	part = pte_split(fmt, pte, LEVEL_1G, 3);
	CHECK(pte_is_leaf(fmt, part, LEVEL_2M) && !pte_may_exec(fmt, part));
	CHECK(pte_may_exec(fmt, pte_split(fmt, part, LEVEL_2M, 5)));
	CHECK(pte_may_exec(fmt, pte_make_leaf(fmt, &leaf, LEVEL_4K)));
	CHECK(pte_may_exec(&npt_format, pte_make_leaf(&npt_format, &leaf, LEVEL_1G)));
}

static void ept_split_says_the_same(void)
{
	int i;

	for (i = 0; i < 4; i++) {
		use_ept(i & 1, i & 2);
		split_says_the_same();
	}
}

/* What the iterator must visit, in order: leaves by address. */
struct leaf {
	u64 gfn;
	int level;
};

static int by_gfn(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;

	return x->gfn < y->gfn ? -1 : x->gfn > y->gfn;
}

#define LEAVES	400
static struct leaf leaves[LEAVES];

static int random_tree(u64 *root, int root_level)
{
	u64 gfn, top = level_pages(root_level + 1);
	int i, n = 0, level;

	for (i = 0; i < LEAVES; i++) {
		level = random_below(10) ? LEVEL_4K : LEVEL_2M + random_below(2);
		gfn = random_below(2) ? random_below(1 << 20) : random_below(top);
		if (!random_below(10))
			gfn = top - 1 - random_below(3);
		gfn &= ~(level_pages(level) - 1);
		if (map(root, root_level, gfn, level))
			leaves[n++] = (struct leaf){ gfn, level };
	}
	qsort(leaves, n, sizeof(leaves[0]), by_gfn);
	return n;
}

static void check_range(u64 *root, int root_level, int n, u64 start, u64 end)
{
	struct pt_iter it;
	int i = 0, last_level = root_level + 1;
	u64 last = 0;

	while (i < n && leaves[i].gfn + level_pages(leaves[i].level) <= start)
		i++;
	for_each_pte(&it, fmt, root, root_level, start, end) {
		CHECK(it.gfn >= start && it.gfn < end);
		CHECK(it.gfn > last || (it.gfn == last && it.level < last_level));
		last = it.gfn;
		last_level = it.level;
		if (!pt_iter_is_leaf(&it))
			continue;
		CHECK(i < n);
		if (i == n)
			break;
		CHECK_EQ(pt_iter_base(&it), leaves[i].gfn);
		CHECK_EQ(it.level, leaves[i].level);
		CHECK_EQ(pte_phys(fmt, it.pte), page_of(leaves[i].gfn));
		i++;
	}
	CHECK(i == n || leaves[i].gfn >= end);
}

static void iterator_visits_all(void)
{
	int round, i, n, root_level;
	u64 *root, start, top;

	for (round = 0; round < 60 && !failed_what; round++) {
		root_level = 4 + round % 2;
		top = level_pages(root_level + 1);
		root = new_table();
		n = random_tree(root, root_level);
		check_range(root, root_level, n, 0, top);
		check_range(root, root_level, n, 0, ~0ull);
		check_range(root, root_level, n, top, ~0ull);
		for (i = 0; i < 50; i++) {
			start = random_below(random_below(2) ? 1 << 20 : top);
			check_range(root, root_level, n, start,
				    start + 1 + random_below(1ull << random_below(30)));
		}
		free_tables(root, root_level);
	}
}

static void iterator_on_nothing(void)
{
	u64 *root = new_table();
	struct pt_iter it;
	int n = 0;

	for_each_pte(&it, fmt, root, 4, 0, ~0ull)
		n++;
	for_each_pte(&it, fmt, root, 4, 100, 100)
		n++;
	CHECK_EQ(n, 0);
	free(root);
}

/* What the body takes out of the tree is not walked, even when it frees it. */
static void body_may_take_tables(void)
{
	u64 *root = new_table(), *table;
	struct pt_iter it;
	int n = 0;

	CHECK(map(root, 4, 0, LEVEL_4K) && map(root, 4, 5, LEVEL_4K));
	CHECK(map(root, 4, 512, LEVEL_2M) && map(root, 4, 1 << 18, LEVEL_4K));
	for_each_pte(&it, fmt, root, 4, 0, ~0ull) {
		n++;
		if (it.level != LEVEL_2M || pt_iter_is_leaf(&it))
			continue;
		table = table_virt(pte_phys(fmt, it.pte));
		*it.ptep = 0;
		free(table);
	}
	/* The root's entry, two of level 3, at level 2 two tables and a leaf. */
	CHECK_EQ(n, 6);
	free_tables(root, 4);
}

int main(void)
{
	RUN(leaves_have_their_bits);
	RUN(memory_types);
	RUN(split_says_the_same);
	RUN(iterator_on_nothing);
	RUN(iterator_visits_all);
	RUN(body_may_take_tables);

	RUN(ept_leaves_have_their_bits);
	RUN(ept_memory_types);
	RUN(ept_large_leaves_without_exec);
	RUN(ept_split_says_the_same);
	use_ept(true, false);
	RUN(iterator_visits_all);
	RUN(body_may_take_tables);
	return finish();
}
