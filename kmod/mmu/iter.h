/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the entries of a tree of tables that map a range of guest pages: every present entry,
 * parents before children. Pure: builds in user space too.
 */
#ifndef MMU_ITER_H
#define MMU_ITER_H

#include "mmu/pte.h"

#ifdef __KERNEL__
#include <asm/io.h>
#define table_virt(phys)	((u64 *)__va(phys))
#else
#define table_virt(phys)	((u64 *)(uintptr_t)(phys))
#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#endif

/**
 * struct pt_iter - where the walk is
 * @fmt: the tables' format
 * @gfn: first guest page of the current entry that lies in the range
 * @end: end of the range, exclusive
 * @level: the current entry's
 * @root_level: the root table's
 * @ptep: the current entry
 * @pte: its value when it was read
 * @table: the tables on the way, by level
 */
struct pt_iter {
	const struct pte_format *fmt;
	u64 gfn, end;
	int level, root_level;
	u64 *ptep, pte;
	u64 *table[PT_MAX_LEVEL + 1];
};

void pt_iter_start(struct pt_iter *it, const struct pte_format *fmt, u64 *root, int root_level,
		   u64 start, u64 end);
bool pt_iter_find(struct pt_iter *it);
void pt_iter_next(struct pt_iter *it);

/* First guest page that the current entry maps, whether or not it is in the range. */
static inline u64 pt_iter_base(const struct pt_iter *it)
{
	return it->gfn & ~(level_pages(it->level) - 1);
}

static inline bool pt_iter_is_leaf(const struct pt_iter *it)
{
	return pte_is_leaf(it->fmt, it->pte, it->level);
}

/**
 * for_each_pte - every present entry in [@start, @end), parents before children
 * @it: struct pt_iter
 * @fmt: as for pt_iter_start()
 * @root: as for pt_iter_start()
 * @root_level: as for pt_iter_start()
 * @start: as for pt_iter_start()
 * @end: as for pt_iter_start()
 *
 * The body may clear the entry, or a table's; what it then no longer points to is not visited.
 */
#define for_each_pte(it, fmt, root, root_level, start, end) \
	for (pt_iter_start(it, fmt, root, root_level, start, end); pt_iter_find(it); \
	     pt_iter_next(it))

#endif
