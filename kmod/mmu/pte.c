// SPDX-License-Identifier: GPL-2.0-only
/* Formats of second-level entries, and how a leaf is made. */
#include "mmu/pte.h"

#define X86_PRESENT	(1ULL << 0)
#define X86_WRITE	(1ULL << 1)
#define X86_USER	(1ULL << 2)
#define X86_PWT		(1ULL << 3)
#define X86_PCD		(1ULL << 4)
#define X86_ACCESSED	(1ULL << 5)
#define X86_DIRTY	(1ULL << 6)
#define X86_HUGE	(1ULL << 7)
#define X86_PAT_4K	(1ULL << 7)
#define X86_PAT_HUGE	(1ULL << 12)

#define X86_PAT_INDEX(i, pat_bit) \
	(((i) & 1 ? X86_PWT : 0) | ((i) & 2 ? X86_PCD : 0) | ((i) & 4 ? (pat_bit) : 0))
#define X86_MEMTYPES(bit) { \
	X86_PAT_INDEX(0, bit), X86_PAT_INDEX(1, bit), X86_PAT_INDEX(2, bit), X86_PAT_INDEX(3, bit), \
	X86_PAT_INDEX(4, bit), X86_PAT_INDEX(5, bit), X86_PAT_INDEX(6, bit), X86_PAT_INDEX(7, bit) }

/*
 * Nested paging: the x86 format, walked as a user access under the host's own PAT (APM vol. 2,
 * "Nested Paging"), so the host's PAT index of a page goes in unchanged.
 */
const struct pte_format npt_format = {
	.present = X86_PRESENT,
	.table = X86_PRESENT | X86_WRITE | X86_USER | X86_ACCESSED,
	.leaf = X86_PRESENT | X86_USER,
	.write = X86_WRITE,
	.accessed = X86_ACCESSED,
	.dirty = X86_DIRTY,
	.huge = X86_HUGE,
	.addr = 0x000ffffffffff000ULL,
	.memtype = X86_MEMTYPES(X86_PAT_4K),
	.memtype_huge = X86_MEMTYPES(X86_PAT_HUGE),
};

/**
 * pte_make_leaf - an entry that maps a page
 * @fmt: the format
 * @leaf: what to map and how
 * @level: the entry's level
 *
 * A writable entry is born dirty: the host's own entry is dirty already, so nobody would read the
 * bit, and the hardware need not write it.
 */
u64 pte_make_leaf(const struct pte_format *fmt, const struct leaf_desc *leaf, int level)
{
	u64 pte = leaf->phys | fmt->leaf;

	if (level > LEVEL_4K)
		pte |= fmt->huge | fmt->memtype_huge[leaf->pat];
	else
		pte |= fmt->memtype[leaf->pat];
	if (leaf->host_write)
		pte |= PTE_HOST_WRITE;
	if (leaf->write)
		pte |= fmt->write | fmt->dirty;
	if (leaf->accessed)
		pte |= fmt->accessed;
	return pte;
}

/* The PAT index that @bits, of a huge entry, stand for. */
static u8 pat_of_huge(const struct pte_format *fmt, u64 pte)
{
	u64 mask = 0;
	u8 i;

	for (i = 0; i < 8; i++)
		mask |= fmt->memtype_huge[i];
	for (i = 0; i < 8; i++)
		if ((pte & mask) == fmt->memtype_huge[i])
			return i;
	return 0;
}

/**
 * pte_split - the entry, one level down, that maps one part of a huge page as it is mapped now
 * @fmt: the format
 * @huge_pte: the huge entry
 * @level: its level
 * @index: which of the 512 parts
 */
u64 pte_split(const struct pte_format *fmt, u64 huge_pte, int level, unsigned int index)
{
	u64 frame = fmt->addr & ~((level_pages(level) << 12) - 1);
	struct leaf_desc leaf = {
		.phys = (huge_pte & frame) + (level_pages(level - 1) << 12) * index,
		.pat = pat_of_huge(fmt, huge_pte),
		.host_write = huge_pte & PTE_HOST_WRITE,
		.write = huge_pte & fmt->write,
		.accessed = huge_pte & fmt->accessed,
	};

	return pte_make_leaf(fmt, &leaf, level - 1) | (huge_pte & fmt->encrypt);
}
