/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an entry of a second-level table looks like, as data, so that one iterator and one set of
 * table operations serve every format. Pure: builds in user space too.
 */
#ifndef MMU_PTE_H
#define MMU_PTE_H

#include "emulate/env.h"

#define PT_ENTRIES		512
#define PT_INDEX_BITS		9
#define PT_MAX_LEVEL		5
#define LEVEL_4K		1
#define LEVEL_2M		2
#define LEVEL_1G		3

/*
 * A software bit, ignored by the hardware in every format: the host page may be written, so that
 * a write fault on an entry kept read-only for the dirty log needs no look at the host.
 */
#define PTE_HOST_WRITE		(1ULL << 52)

/**
 * struct pte_format - one kind of second-level table
 * @present: the entry is in use when any of these is set
 * @table: bits of an entry that points to a table
 * @leaf: bits of every entry that maps a page: readable and executable
 * @write: the page may be written
 * @accessed: set by the hardware on use
 * @dirty: set by the hardware on a write
 * @huge: this entry maps a page though it is above level 1
 * @exec: the page may be executed, where a bit gives that right; else 0
 * @nx_huge: larger leaves do not get @exec: an instruction fetch splits them
 * @addr: the physical address
 * @memtype: bits for a 4 KiB page, by the host's own PAT index of that page
 * @memtype_huge: the same for larger pages
 * @encrypt: the host's memory encryption bit, in entries that point to tables
 */
struct pte_format {
	u64 present;
	u64 table;
	u64 leaf;
	u64 write;
	u64 accessed;
	u64 dirty;
	u64 huge;
	u64 exec;
	bool nx_huge;
	u64 addr;
	u64 memtype[8];
	u64 memtype_huge[8];
	u64 encrypt;
};

extern const struct pte_format npt_format;

void ept_format(struct pte_format *fmt, u64 host_pat, bool hardware_ad, bool nx_huge);

/* Guest page numbers that one entry at @level maps. */
static inline u64 level_pages(int level)
{
	return 1ULL << (PT_INDEX_BITS * (level - 1));
}

static inline unsigned int level_index(u64 gfn, int level)
{
	return (gfn >> (PT_INDEX_BITS * (level - 1))) & (PT_ENTRIES - 1);
}

static inline bool pte_is_present(const struct pte_format *fmt, u64 pte)
{
	return pte & fmt->present;
}

/* Of a present entry: does it map a page, or point to a table? */
static inline bool pte_is_leaf(const struct pte_format *fmt, u64 pte, int level)
{
	return level == LEVEL_4K || (pte & fmt->huge);
}

/* Of a leaf: may instructions be fetched from it? */
static inline bool pte_may_exec(const struct pte_format *fmt, u64 pte)
{
	return !fmt->exec || (pte & fmt->exec);
}

static inline u64 pte_phys(const struct pte_format *fmt, u64 pte)
{
	return pte & fmt->addr;
}

static inline u64 pte_make_table(const struct pte_format *fmt, u64 phys)
{
	return phys | fmt->table | fmt->encrypt;
}

/**
 * struct leaf_desc - what a leaf shall be
 * @phys: the host page, with the encryption bit when it has it; aligned to the leaf's size
 * @pat: the host's PAT index for it
 * @host_write: the host lets it be written
 * @write: the guest may write now
 * @accessed: the guest is about to use it
 * @clean: its first write is to set the dirty bit
 */
struct leaf_desc {
	u64 phys;
	u8 pat;
	bool host_write, write, accessed, clean;
};

u64 pte_make_leaf(const struct pte_format *fmt, const struct leaf_desc *leaf, int level);
u64 pte_split(const struct pte_format *fmt, u64 huge_pte, int level, unsigned int index);

#endif
