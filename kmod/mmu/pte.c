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

#define EPT_READ	(1ULL << 0)
#define EPT_WRITE	(1ULL << 1)
#define EPT_EXEC	(1ULL << 2)
#define EPT_MEMTYPE(t)	((u64)(t) << 3)
#define EPT_IGNORE_PAT	(1ULL << 6)
#define EPT_HUGE	(1ULL << 7)
#define EPT_ACCESSED	(1ULL << 8)
#define EPT_DIRTY	(1ULL << 9)

/* SDM vol. 3, "Memory Types That Can Be Encoded With PAT". */
#define MEMTYPE_UC	0
#define MEMTYPE_WB	6
#define MEMTYPE_UC_MINUS 7

/*
 * An EPT entry has the memory type itself. For write-back memory the guest's PAT is ignored: the
 * host uses the same page as write-back, and two types for one page are asking for trouble. A
 * device's page has the host's type, which the guest's PAT may weaken as on bare metal.
 */
static u64 ept_memtype(u64 host_pat, int index)
{
	u8 type = (host_pat >> (8 * index)) & 7;

	if (type == MEMTYPE_UC_MINUS)
		type = MEMTYPE_UC;
	return EPT_MEMTYPE(type) | (type == MEMTYPE_WB ? EPT_IGNORE_PAT : 0);
}

/**
 * ept_format - Intel's extended page tables: SDM vol. 3, "The Extended Page Table Mechanism"
 * @fmt: filled in
 * @host_pat: the host's IA32_PAT, which gives the indices of struct leaf_desc their meaning
 * @hardware_ad: the CPU sets accessed and dirty bits
 * @nx_huge: larger leaves must not be executable
 *
 * Without hardware bits the accessed bit is software's: a mapping counts as used until it is first
 * asked about, and then as idle until it is made anew.
 */
void ept_format(struct pte_format *fmt, u64 host_pat, bool hardware_ad, bool nx_huge)
{
	int i;

	*fmt = (struct pte_format){
		.present = EPT_READ | EPT_WRITE | EPT_EXEC,
		.table = EPT_READ | EPT_WRITE | EPT_EXEC,
		.leaf = EPT_READ | EPT_EXEC,
		.write = EPT_WRITE,
		.accessed = EPT_ACCESSED,
		.dirty = hardware_ad ? EPT_DIRTY : 0,
		.huge = EPT_HUGE,
		.exec = EPT_EXEC,
		.nx_huge = nx_huge,
		.addr = 0x000ffffffffff000ULL,
	};
	for (i = 0; i < 8; i++)
		fmt->memtype[i] = fmt->memtype_huge[i] = ept_memtype(host_pat, i);
}

/**
 * pte_make_leaf - an entry that maps a page
 * @fmt: the format
 * @leaf: what to map and how
 * @level: the entry's level
 *
 * A writable entry is born dirty: the host's own entry is dirty already, so nobody would read the
 * bit, and the hardware need not write it. But for one that the CPU is to tell of.
 */
u64 pte_make_leaf(const struct pte_format *fmt, const struct leaf_desc *leaf, int level)
{
	u64 pte = leaf->phys | fmt->leaf;

	if (level > LEVEL_4K)
		pte |= fmt->huge | fmt->memtype_huge[leaf->pat];
	else
		pte |= fmt->memtype[leaf->pat];
	if (level > LEVEL_4K && fmt->nx_huge)
		pte &= ~fmt->exec;
	if (leaf->host_write)
		pte |= PTE_HOST_WRITE;
	if (leaf->write)
		pte |= fmt->write | (leaf->clean ? 0 : fmt->dirty);
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
		.clean = !(huge_pte & fmt->dirty),
		.accessed = huge_pte & fmt->accessed,
	};

	return pte_make_leaf(fmt, &leaf, level - 1) | (huge_pte & fmt->encrypt);
}
