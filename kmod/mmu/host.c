// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the VMM's page tables. No reference to a page is ever taken: the caller holds the lock
 * that MMU notifiers take before the host may change an entry, see struct mm_link. This serves
 * anonymous memory, files, hugetlb and device mappings alike, and tells the size of the mapping.
 */
#include <linux/mem_encrypt.h>
#include <linux/pgtable.h>

#include "mmu/host.h"
#include "mmu/pte.h"

#define HOST_PAT_4K	BIT_ULL(_PAGE_BIT_PAT)
#define HOST_PAT_HUGE	BIT_ULL(_PAGE_BIT_PAT_LARGE)

/*
 * The guest may write only what the host's entry has as writable and dirty: so the page's dirty
 * state is never the second-level table's to keep, and nothing is lost when an entry is dropped.
 */
static bool read_leaf(u64 val, u64 pfn, unsigned long hva, int level, bool write,
		      struct host_page *page)
{
	u64 pat_bit = level == LEVEL_4K ? HOST_PAT_4K : HOST_PAT_HUGE;
	u64 offset = (hva >> PAGE_SHIFT) & (level_pages(level) - 1);

	page->phys = ((pfn + offset) << PAGE_SHIFT) | (val & sme_me_mask);
	page->level = level;
	page->pat = ((val & pat_bit) ? 4 : 0) | ((val & (_PAGE_PCD | _PAGE_PWT)) >> _PAGE_BIT_PWT);
	page->write = write && (val & _PAGE_DIRTY);
	return true;
}

/**
 * host_decode_pte - what a level 1 entry of the host maps
 * @pte: the entry, as it was read
 * @page: filled in, but for its @ptep
 *
 * Return: false when nothing is there that the process may read.
 */
bool host_decode_pte(pte_t pte, struct host_page *page)
{
	if (!pte_access_permitted(pte, false))
		return false;
	return read_leaf(pte_val(pte), pte_pfn(pte), 0, LEVEL_4K, pte_access_permitted(pte, true),
			 page);
}

static bool walk_pmd(pud_t *pudp, pud_t pud, unsigned long hva, struct host_page *page)
{
	pmd_t *pmdp = pmd_offset_lockless(pudp, pud, hva);
	pmd_t pmd = READ_ONCE(*pmdp);

	if (!(pmd_flags(pmd) & _PAGE_PRESENT))
		return false;
	if (!pmd_leaf(pmd)) {
		page->ptep = pte_offset_kernel(&pmd, hva);
		return host_decode_pte(READ_ONCE(*page->ptep), page);
	}
	return pmd_access_permitted(pmd, false) &&
	       read_leaf(pmd_val(pmd), pmd_pfn(pmd), hva, LEVEL_2M, pmd_access_permitted(pmd, true),
			 page);
}

static bool walk_pud(p4d_t *p4dp, p4d_t p4d, unsigned long hva, struct host_page *page)
{
	pud_t *pudp = pud_offset_lockless(p4dp, p4d, hva);
	pud_t pud = READ_ONCE(*pudp);

	if (!(pud_flags(pud) & _PAGE_PRESENT))
		return false;
	if (!pud_leaf(pud))
		return walk_pmd(pudp, pud, hva, page);
	return pud_access_permitted(pud, false) &&
	       read_leaf(pud_val(pud), pud_pfn(pud), hva, LEVEL_1G, pud_access_permitted(pud, true),
			 page);
}

/**
 * host_walk - look a user address up in a process's page tables
 * @mm: the address space; it has users
 * @hva: user address
 * @page: filled in
 *
 * Context: interrupts off, which keeps the tables from being freed, until the caller is done with
 * @page->ptep. The answer holds as long as the caller keeps the MMU notifier's callbacks out.
 * Return: false when nothing is there that the process may read.
 */
bool host_walk(struct mm_struct *mm, unsigned long hva, struct host_page *page)
{
	pgd_t *pgdp = pgd_offset(mm, hva);
	pgd_t pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;

	lockdep_assert_irqs_disabled();
	page->ptep = NULL;
	if (pgd_none(pgd))
		return false;
	p4dp = p4d_offset_lockless(pgdp, pgd, hva);
	p4d = READ_ONCE(*p4dp);
	if (!(p4d_flags(p4d) & _PAGE_PRESENT))
		return false;
	return walk_pud(p4dp, p4d, hva, page);
}

/**
 * host_fault_in - make the host map a user address, as a touch by the process would
 * @mm: the address space, current's
 * @hva: user address
 * @write: for writing
 *
 * Context: may sleep; takes mmap_lock.
 * Return: 0, whatever then happens to the page; -EFAULT: not mapped, or not with that right;
 * -EHWPOISON: the memory is broken; -ENOMEM; -EINTR: a fatal signal is pending.
 */
int host_fault_in(struct mm_struct *mm, unsigned long hva, bool write)
{
	bool unlocked = false;
	int err;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	err = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	mmap_read_unlock(mm);
	/* It says -EFAULT for broken memory too; ask again with the one call that tells. */
	if (err == -EFAULT &&
	    get_user_pages_unlocked(hva, 1, NULL, FOLL_HWPOISON | (write ? FOLL_WRITE : 0)) ==
		    -EHWPOISON)
		return -EHWPOISON;
	return err;
}
