// SPDX-License-Identifier: GPL-2.0-only
/* The walk over second-level tables. */
#include "mmu/iter.h"

/**
 * pt_iter_start - begin a walk
 * @it: the iterator
 * @fmt: the tables' format
 * @root: the root table
 * @root_level: its level
 * @start: first guest page
 * @end: last guest page + 1; what the tables cannot map is left out
 *
 * Context: the tables' lock is held, for reading at least, until the walk's end.
 */
void pt_iter_start(struct pt_iter *it, const struct pte_format *fmt, u64 *root, int root_level,
		   u64 start, u64 end)
{
	u64 limit = level_pages(root_level + 1);

	it->fmt = fmt;
	it->gfn = start;
	it->end = end < limit ? end : limit;
	it->level = it->root_level = root_level;
	it->table[root_level] = root;
}

/* To the entry behind the current one; at a table's end that is one of its parent's. */
static void advance(struct pt_iter *it)
{
	it->gfn = pt_iter_base(it) + level_pages(it->level);
	while (it->level < it->root_level && !level_index(it->gfn, it->level))
		it->level++;
}

/**
 * pt_iter_find - make the current entry the next one that is present
 * @it: the iterator
 *
 * Return: false at the end of the range.
 */
bool pt_iter_find(struct pt_iter *it)
{
	while (it->gfn < it->end) {
		it->ptep = it->table[it->level] + level_index(it->gfn, it->level);
		it->pte = READ_ONCE(*it->ptep);
		if (pte_is_present(it->fmt, it->pte))
			return true;
		advance(it);
	}
	return false;
}

/**
 * pt_iter_next - leave the current entry: into the table that it points to now, else behind it
 * @it: the iterator
 */
void pt_iter_next(struct pt_iter *it)
{
	u64 pte = READ_ONCE(*it->ptep);

	if (pte_is_present(it->fmt, pte) && !pte_is_leaf(it->fmt, pte, it->level)) {
		it->level--;
		it->table[it->level] = table_virt(pte_phys(it->fmt, pte));
	} else {
		advance(it);
	}
}
