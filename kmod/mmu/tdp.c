// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's second-level tables: made, taken away, write-protected, aged. Mapping is in fault.c; the
 * rules of the lock are at struct mm_link.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/mm.h>

#include "mmu/host.h"
#include "mmu/shadow.h"

struct pte_format tdp_format __ro_after_init;

#define for_each_tdp_pte(it, vm, root, start, end) \
	for_each_pte(it, &tdp_format, root, okvm_hw.tdp_levels, start, end)

/* How much is done in one go under the lock: 256 MiB, at most 65,536 entries. */
#define STEP_PAGES	(1UL << 16)

/**
 * tdp_max_gfn - how much guest memory there can be
 *
 * Return: one past the highest guest page: the CPU's physical addresses are the limit, and what
 * the tables' levels reach.
 */
u64 tdp_max_gfn(void)
{
	unsigned int bits = boot_cpu_data.x86_phys_bits;

	/* With memory encryption the kernel takes bits off the host's width; the guest has them. */
	if (boot_cpu_data.extended_cpuid_level >= 0x80000008)
		bits = max(bits, cpuid_eax(0x80000008) & 0xff);
	bits = min_t(unsigned int, bits, PAGE_SHIFT + PT_INDEX_BITS * okvm_hw.tdp_levels);
	return (1ULL << (bits - PAGE_SHIFT)) - okvm_hw.private_pages;
}

/** okvm_mmu_private_gpa - where the backend's own pages begin: behind all memory */
gpa_t okvm_mmu_private_gpa(void)
{
	return tdp_max_gfn() << PAGE_SHIFT;
}

/**
 * okvm_mmu_map_private - put a page of the backend's into the guest-physical space, for good
 * @vm: the VM
 * @index: which of the pages behind all memory
 * @page: one page of the kernel's; it must outlive the tables
 *
 * Context: may sleep; not for the same @index at the same time.
 * Return: 0 or -ENOMEM.
 */
int okvm_mmu_map_private(struct okvm_vm *vm, unsigned int index, void *page)
{
	const struct leaf_desc leaf = {
		.phys = __pa(page) | tdp_format.encrypt, .write = true, .accessed = true,
	};
	u64 gfn = tdp_max_gfn() + index, *table, *ptep;
	int level, err = tdp_make_root(vm);
	unsigned long next;

	if (err)
		return err;
	table = tdp_root(vm);
	/* No table on the way is ever taken away: none maps memory alone. */
	for (level = okvm_hw.tdp_levels; level > LEVEL_4K; level--) {
		ptep = table + level_index(gfn, level);
		if (!READ_ONCE(*ptep)) {
			next = get_zeroed_page(GFP_KERNEL_ACCOUNT);
			if (!next)
				return -ENOMEM;
			if (cmpxchg(ptep, 0, pte_make_table(&tdp_format, __pa(next))))
				free_page(next);
			else
				atomic_long_inc(&vm->mmu.link->pages);
		}
		table = table_virt(pte_phys(&tdp_format, READ_ONCE(*ptep)));
	}
	WRITE_ONCE(table[level_index(gfn, level)], pte_make_leaf(&tdp_format, &leaf, level));
	return 0;
}

/**
 * tdp_make_root - give a VM its root table, if it has none
 * @vm: the VM
 *
 * Context: may sleep; several vCPUs may race.
 * Return: 0 or -ENOMEM.
 */
int tdp_make_root(struct okvm_vm *vm)
{
	unsigned long table;

	if (READ_ONCE(vm->mmu.root))
		return 0;
	table = get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	if (cmpxchg(&vm->mmu.root, 0, __pa(table)))
		free_page(table);
	else
		atomic_long_inc(&vm->mmu.link->pages);
	return 0;
}

/* Take a table out of the tree; freed, with all below it, after the flush. */
static void detach(struct pt_iter *it, struct list_head *dead)
{
	struct page *page = virt_to_page(table_virt(pte_phys(it->fmt, it->pte)));

	WRITE_ONCE(*it->ptep, 0);
	set_page_private(page, it->level - 1);
	list_add(&page->lru, dead);
}

static bool covers(const struct pt_iter *it, u64 start, u64 end)
{
	u64 base = pt_iter_base(it);

	return base >= start && base + level_pages(it->level) <= end;
}

/**
 * tdp_zap - take away everything that maps a range of guest pages
 * @vm: the VM
 * @start: first page
 * @end: last page + 1
 * @dead: gets the tables that are no longer in the tree
 *
 * A table that maps nothing else goes as a whole, without a look inside. Accessed bits go unread:
 * whoever takes the page from us has it in hand.
 *
 * Context: the link's lock is held for writing; before it is dropped the caller flushes TLBs if
 * told to, and after that calls tdp_free().
 * Return: true when something was taken away.
 */
bool tdp_zap(struct okvm_vm *vm, u64 start, u64 end, struct list_head *dead)
{
	u64 *root = tdp_root(vm);
	struct pt_iter it;
	bool taken = false;

	lockdep_assert_held_write(&vm->mmu.link->lock);
	if (!root)
		return false;
	if (vm->mmu.shadow)
		shadow_zap_range(vm, start, end);
	for_each_tdp_pte(&it, vm, root, start, end) {
		if (pt_iter_is_leaf(&it))
			WRITE_ONCE(*it.ptep, 0);
		else if (covers(&it, start, end))
			detach(&it, dead);
		else
			continue;
		taken = true;
	}
	return taken;
}

/**
 * tdp_unmap - tdp_zap() with all that belongs to it
 * @vm: the VM
 * @start: first page
 * @end: last page + 1
 *
 * Context: may sleep.
 */
void tdp_unmap(struct okvm_vm *vm, u64 start, u64 end)
{
	struct mm_link *link = vm->mmu.link;
	LIST_HEAD(dead);

	write_lock(&link->lock);
	if (tdp_zap(vm, start, end, &dead))
		okvm_flush_remote_tlbs(vm);
	write_unlock(&link->lock);
	tdp_free(link, &dead, true);
}

static void bury_children(const u64 *table, int level, struct list_head *dead)
{
	struct page *page;
	unsigned int i;

	for (i = 0; i < PT_ENTRIES; i++) {
		if (!pte_is_present(&tdp_format, table[i]) ||
		    pte_is_leaf(&tdp_format, table[i], level))
			continue;
		page = virt_to_page(table_virt(pte_phys(&tdp_format, table[i])));
		set_page_private(page, level - 1);
		list_add(&page->lru, dead);
	}
}

/**
 * tdp_free - free tables that were taken out of the tree, and what hangs below them
 * @link: the VM's link, for the count; the VM itself may be gone
 * @dead: the tables
 * @may_sleep: the caller may be held up
 *
 * Context: no TLB or walker has the tables any more.
 */
void tdp_free(struct mm_link *link, struct list_head *dead, bool may_sleep)
{
	struct page *page;
	int level;

	while ((page = list_first_entry_or_null(dead, struct page, lru))) {
		level = page_private(page);
		list_del(&page->lru);
		set_page_private(page, 0);
		if (level > LEVEL_4K)
			bury_children(page_address(page), level, dead);
		__free_page(page);
		atomic_long_dec(&link->pages);
		if (may_sleep)
			cond_resched();
	}
}

/**
 * tdp_free_all - free a VM's tables with the root
 * @vm: the VM; no vCPU will run it again, and its link is cut
 *
 * Context: may sleep, in steps of a table.
 */
void tdp_free_all(struct okvm_vm *vm)
{
	u64 *root = tdp_root(vm);
	LIST_HEAD(dead);

	if (!root)
		return;
	vm->mmu.root = 0;
	set_page_private(virt_to_page(root), okvm_hw.tdp_levels);
	list_add(&virt_to_page(root)->lru, &dead);
	tdp_free(vm->mmu.link, &dead, true);
}

/*
 * What an entry must not have for its page's next write to be noticed: the right to write, or,
 * where the CPU tells of small pages by itself, the dirty bit.
 */
static u64 unnoticed(const struct okvm_vm *vm, int level)
{
	return vm->mmu.pml && level == LEVEL_4K ? tdp_format.dirty :
						  tdp_format.write | tdp_format.dirty;
}

/*
 * Have the next write through the current entry noticed. A fault may split or widen it at the same
 * time: a table that is there now is the caller's next step.
 */
static bool protect_leaf(const struct okvm_vm *vm, struct pt_iter *it)
{
	u64 bits = unnoticed(vm, it->level), pte = it->pte, seen;

	while (pte_is_leaf(it->fmt, pte, it->level) && (pte & bits)) {
		seen = cmpxchg(it->ptep, pte, pte & ~bits);
		if (seen == pte)
			return true;
		pte = seen;
	}
	return false;
}

/* Find the table that has a page's own entry. A larger leaf is protected here and now. */
static void find_table(struct tdp_protect *p, u64 gfn)
{
	u64 *root = tdp_root(p->vm);
	struct pt_iter it;
	u64 pte;

	p->end = (gfn | (PT_ENTRIES - 1)) + 1;
	p->table = NULL;
	if (!root)
		return;
	for_each_tdp_pte(&it, p->vm, root, gfn, gfn + 1) {
		if (it.level == LEVEL_4K)
			continue;
		p->taken |= protect_leaf(p->vm, &it);
		/* The table, whether or not it has the page itself. */
		pte = READ_ONCE(*it.ptep);
		if (it.level == LEVEL_2M && !pte_is_leaf(it.fmt, pte, it.level))
			p->table = table_virt(pte_phys(it.fmt, pte));
	}
}

/**
 * tdp_protect_mask - have the next write to each of up to 64 guest pages noticed
 * @p: the work; @p->vm is set and the rest 0 at first; calls go up in @gfn
 * @gfn: the page of bit 0
 * @mask: which pages. A larger leaf that has one of them is protected whole.
 *
 * Where there is no table a fault may make one at any time, and map pages as writable: it then
 * sets their bits in the dirty log, after the caller took @mask. So "no table" holds for one call.
 *
 * Context: the link's lock is held for reading at least, all the time that @p is in use; when
 * @p->taken is set at the end, TLBs must be flushed before the pages count as protected.
 */
void tdp_protect_mask(struct tdp_protect *p, u64 gfn, unsigned long mask)
{
	u64 bits = unnoticed(p->vm, LEVEL_4K), page, *ptep;

	if (!p->table)
		p->end = 0;
	for (; mask; mask &= mask - 1) {
		page = gfn + __ffs(mask);
		if (page >= p->end)
			find_table(p, page);
		if (!p->table)
			continue;
		/* At level 1 an entry never is anything but a leaf: no need to compare. */
		ptep = &p->table[level_index(page, LEVEL_4K)];
		if (READ_ONCE(*ptep) & bits) {
			atomic64_andnot(bits, (atomic64_t *)ptep);
			if (p->vm->mmu.shadow)
				shadow_protect(p->vm, page);
			p->taken = true;
		}
	}
}

/**
 * tdp_protect_slot - have the next write to each page of a slot noticed, and flush
 * @vm: the VM
 * @slot: the slot, current, and its dirty log on: writes to what is mapped from now on are noticed
 *
 * Context: may sleep; the VM's slots_lock is held.
 */
void tdp_protect_slot(struct okvm_vm *vm, const struct okvm_slot *slot)
{
	u64 gfn, next, end = slot->base + slot->npages;
	struct mm_link *link = vm->mmu.link;
	u64 *root = tdp_root(vm);
	struct pt_iter it;
	bool taken = false;

	if (!root)
		return;
	for (gfn = slot->base; gfn < end; gfn = next) {
		next = min(end, gfn + STEP_PAGES);
		read_lock(&link->lock);
		for_each_tdp_pte(&it, vm, root, gfn, next)
			if (pt_iter_is_leaf(&it) && protect_leaf(vm, &it)) {
				if (vm->mmu.shadow)
					shadow_protect(vm, it.gfn);
				taken = true;
			}
		read_unlock(&link->lock);
		cond_resched();
	}
	if (taken)
		okvm_flush_remote_tlbs(vm);
}

static bool host_is_huge(struct okvm_vm *vm, const struct okvm_slot *slot, u64 gfn)
{
	struct host_page page;
	bool huge;

	local_irq_disable();
	huge = host_walk(vm->mm, slot_hva(slot, gfn), &page) && page.level > LEVEL_4K;
	local_irq_enable();
	return huge;
}

/**
 * tdp_collapse_slot - let huge pages come back where a dirty log had split them
 * @vm: the VM; current runs in its address space
 * @slot: the slot, current, its dirty log off
 *
 * Tables of 4 KiB entries over memory that the host maps with a huge page are dropped; the next
 * access maps it whole.
 *
 * Context: may sleep; the VM's slots_lock is held.
 */
void tdp_collapse_slot(struct okvm_vm *vm, const struct okvm_slot *slot)
{
	u64 gfn, next, end = slot->base + slot->npages;
	struct mm_link *link = vm->mmu.link;
	u64 *root = tdp_root(vm);
	struct pt_iter it;
	LIST_HEAD(dead);
	bool taken;

	if (!root || slot->max_level == LEVEL_4K || okvm_hw.max_leaf_level == LEVEL_4K)
		return;
	for (gfn = slot->base; gfn < end; gfn = next) {
		next = min(end, gfn + STEP_PAGES);
		taken = false;
		write_lock(&link->lock);
		for_each_tdp_pte(&it, vm, root, gfn, next) {
			if (it.level != LEVEL_2M || pt_iter_is_leaf(&it) ||
			    !covers(&it, slot->base, end) || !host_is_huge(vm, slot, it.gfn))
				continue;
			detach(&it, &dead);
			taken = true;
		}
		if (taken)
			okvm_flush_remote_tlbs(vm);
		write_unlock(&link->lock);
		tdp_free(link, &dead, true);
	}
}

/** tdp_mark_accessed - a page was used, though the CPU does not say so here; the lock is held */
void tdp_mark_accessed(struct okvm_vm *vm, u64 gfn)
{
	u64 *root = tdp_root(vm);
	struct pt_iter it;

	for_each_tdp_pte(&it, vm, root, gfn, gfn + 1)
		if (pt_iter_is_leaf(&it) && !(it.pte & tdp_format.accessed))
			atomic64_or(tdp_format.accessed, (atomic64_t *)it.ptep);
}

/**
 * tdp_young - has the guest used a page of a range since the last time?
 * @vm: the VM
 * @start: first page
 * @end: last page + 1
 * @clear: start anew
 *
 * Context: the link's lock is held for reading at least. Clearing needs no flush for safety; a
 * TLB that still has the page only makes it look idle for longer.
 */
bool tdp_young(struct okvm_vm *vm, u64 start, u64 end, bool clear)
{
	u64 *root = tdp_root(vm);
	struct pt_iter it;
	bool young = false;

	if (!root)
		return false;
	for_each_tdp_pte(&it, vm, root, start, end) {
		if (!pt_iter_is_leaf(&it))
			continue;
		if (vm->mmu.shadow)
			young |= shadow_young(vm, it.gfn, clear);
		if (it.pte & tdp_format.accessed) {
			young = true;
			if (clear)
				atomic64_andnot(tdp_format.accessed, (atomic64_t *)it.ptep);
		}
		if (young && !clear)
			break;
	}
	return young;
}
