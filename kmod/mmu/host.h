/* SPDX-License-Identifier: GPL-2.0-only */
/* What the VMM's page tables say about a user address. */
#ifndef MMU_HOST_H
#define MMU_HOST_H

#include <linux/mm.h>

/**
 * struct host_page - the page behind a user address
 * @phys: physical address of its 4 KiB, with the encryption bit when the mapping has it
 * @level: of the host's own leaf
 * @pat: the leaf's PAT index
 * @write: the process may write it, and the host already counts it as dirty
 * @ptep: the host's entry at level 1, else NULL; valid while interrupts stay off
 */
struct host_page {
	u64 phys;
	u8 level;
	u8 pat;
	bool write;
	pte_t *ptep;
};

/* A level 1 entry without its page, and without what says no more than that it was used. */
#define HOST_PTE_RIGHTS	(~(u64)(PTE_PFN_MASK | _PAGE_ACCESSED | _PAGE_SOFT_DIRTY))

bool host_walk(struct mm_struct *mm, unsigned long hva, struct host_page *page);
bool host_decode_pte(pte_t pte, struct host_page *page);
int host_fault_in(struct mm_struct *mm, unsigned long hva, bool write);

#endif
