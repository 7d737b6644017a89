// SPDX-License-Identifier: GPL-2.0-only
/*
 * Second-level faults. A fault holds the tables' lock for reading: faults on different pages do
 * not wait for each other, and entries change by compare-and-exchange. While the lock is held no
 * host mapping can go away, so the VMM's page tables are read there and then, and what they say
 * is mapped: there is no page reference, no sequence count and no second look.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "mmu/host.h"
#include "mmu/memslot.h"
#include "mmu/tdp.h"

/* Map that many pages around a fault, if the host has them. At most what one table maps. */
static unsigned int fault_around = 16;
module_param(fault_around, uint, 0444);
MODULE_PARM_DESC(fault_around, "4 KiB pages mapped around a fault: a power of 2 up to 512");

/** fault_setup - at module load: bring the parameter to a value that it can have */
void __init fault_setup(void)
{
	fault_around = rounddown_pow_of_two(clamp(fault_around, 1u, (unsigned int)PT_ENTRIES));
}

/* How often a fault is tried before the guest tries again, so that signals are seen. */
#define MAX_TRIES	8

enum map_result {
	MAP_DONE,
	MAP_LATER,		/* the slots or the host's tables are changing */
	MAP_FAULT_IN,		/* the host has no page there, or not with that right */
	MAP_CONFLICT,		/* another page is mapped there */
};

/**
 * struct fault - a fault under way
 * @vcpu: whose
 * @slot: where the page is
 * @gfn: the page
 * @hva: its user address
 * @write: it is for writing
 * @exec: it is an instruction fetch
 * @host: what the host has there
 * @ptep: the entry that is looked at
 * @pte: its value
 * @level: its level
 */
struct fault {
	struct okvm_vcpu *vcpu;
	const struct okvm_slot *slot;
	u64 gfn;
	unsigned long hva;
	bool write, exec;
	struct host_page host;
	u64 *ptep, pte;
	int level;
};

/* No table is allocated under the lock. */
static int top_up(struct okvm_vcpu_mmu *mmu)
{
	while (unlikely(mmu->nr_tables < TABLE_CACHE_SIZE)) {
		void *table = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!table)
			return -ENOMEM;
		mmu->tables[mmu->nr_tables++] = table;
	}
	return 0;
}

static void look(struct fault *f, u64 *table)
{
	f->ptep = table + level_index(f->gfn, f->level);
	f->pte = READ_ONCE(*f->ptep);
}

/* From the entry that is looked at down, as far as there are tables, but not below @level. */
static void descend(struct fault *f, int level)
{
	while (f->level > level && pte_is_present(&tdp_format, f->pte) &&
	       !pte_is_leaf(&tdp_format, f->pte, f->level)) {
		f->level--;
		look(f, table_virt(pte_phys(&tdp_format, f->pte)));
	}
}

static bool exchange(struct fault *f, u64 pte)
{
	u64 seen = cmpxchg(f->ptep, f->pte, pte);
	bool done = seen == f->pte;

	f->pte = done ? pte : seen;
	return done;
}

/* Put the cache's last page as a table in the entry's place; the walk goes on either way. */
static bool link_table(struct fault *f)
{
	struct okvm_vcpu_mmu *mmu = &f->vcpu->mmu;
	void *table = mmu->tables[mmu->nr_tables - 1];

	if (!exchange(f, pte_make_table(&tdp_format, __pa(table))))
		return false;
	mmu->nr_tables--;
	atomic_long_inc(&f->vcpu->vm->mmu.link->pages);
	return true;
}

static bool logging(const struct fault *f)
{
	return f->slot->dirty;
}

/* The slot has a dirty log, and the CPU makes entries for pages of that size. */
static bool logs_by_itself(const struct fault *f, int level)
{
	return logging(f) && f->vcpu->vm->mmu.pml && level == LEVEL_4K;
}

/*
 * Replace a large leaf by a table that maps the same pages with the same rights. TLBs may keep the
 * large translation: it says the same, and the next flush takes it away like any other. What only
 * a dirty log kept from being written may be, if the CPU says of small pages when they are.
 */
static void split(struct fault *f)
{
	struct okvm_vcpu_mmu *mmu = &f->vcpu->mmu;
	u64 *table = mmu->tables[mmu->nr_tables - 1], more = 0;
	unsigned int i;

	if (logs_by_itself(f, f->level - 1) && f->pte & PTE_HOST_WRITE)
		more = tdp_format.write;
	for (i = 0; i < PT_ENTRIES; i++)
		table[i] = pte_split(&tdp_format, f->pte, f->level, i) | more;
	if (!link_table(f))
		clear_page(table);
}

/* The entry exists and the host has nothing against a write: only the dirty log kept it from it. */
static bool allow_write(struct fault *f)
{
	if (!exchange(f, f->pte | tdp_format.write | tdp_format.dirty | tdp_format.accessed))
		return false;
	memslot_mark_dirty(f->vcpu, f->slot, f->gfn);
	return true;
}

/* Can the entry that is there do it, as it is or with the right to write given back? */
static bool present_entry_serves(struct fault *f)
{
	if (f->exec && !pte_may_exec(&tdp_format, f->pte))
		return false;
	while (pte_is_present(&tdp_format, f->pte)) {
		if (!f->write || (f->pte & tdp_format.write))
			return pte_is_leaf(&tdp_format, f->pte, f->level);
		if (!(f->pte & PTE_HOST_WRITE) || (f->level > LEVEL_4K && logging(f)))
			return false;
		if (allow_write(f))
			return true;
	}
	return false;
}

/* The largest leaf that host, slot and dirty log allow. */
static int leaf_level(const struct fault *f)
{
	const struct okvm_slot *slot = f->slot;
	int level = min(f->host.level, slot->max_level);
	u64 base;

	if (f->write && logging(f))
		return LEVEL_4K;
	if (f->exec && tdp_format.nx_huge)
		return LEVEL_4K;
	level = min_t(int, level, okvm_hw.max_leaf_level);
	for (; level > LEVEL_4K; level--) {
		base = f->gfn & ~(level_pages(level) - 1);
		if (base >= slot->base &&
		    base + level_pages(level) <= slot->base + slot->npages)
			break;
	}
	return level;
}

static u64 make_leaf(const struct fault *f, const struct host_page *host, int level, bool wanted)
{
	bool writable = host->write && memslot_writable(f->slot);
	bool clean = logging(f) && !(wanted && f->write);
	struct leaf_desc leaf = {
		.phys = host->phys & ~((level_pages(level) - 1) << PAGE_SHIFT),
		.pat = host->pat,
		.host_write = writable,
		.write = writable && (!clean || logs_by_itself(f, level)),
		.clean = clean,
		.accessed = wanted,
	};

	return pte_make_leaf(&tdp_format, &leaf, level);
}

static bool same_page(u64 a, u64 b)
{
	return !((a ^ b) & (tdp_format.addr | tdp_format.encrypt));
}

/**
 * struct mould - what entries for pages that the host maps alike have in common
 * @rights: HOST_PTE_RIGHTS of such an entry of the host's; 0: none yet
 * @pte: our entry, but for the page
 */
struct mould {
	u64 rights, pte;
};

/* The entry for a neighbour, or 0: the host has no page there. */
static u64 neighbour(const struct fault *f, struct mould *m, pte_t *host_ptep)
{
	pte_t pte = READ_ONCE(*host_ptep);
	u64 rights = pte_val(pte) & HOST_PTE_RIGHTS;
	struct host_page host;

	if (unlikely(rights != m->rights)) {
		if (!host_decode_pte(pte, &host))
			return 0;
		m->rights = rights;
		m->pte = make_leaf(f, &host, LEVEL_4K, false) & ~(u64)PTE_PFN_MASK;
	}
	return m->pte | (pte_val(pte) & PTE_PFN_MASK);
}

/*
 * Neighbours that the host has present, in the same table of ours and of the host's. They are
 * mapped as not accessed: the guest has not asked for them.
 */
static void map_around(const struct fault *f)
{
	u64 first = f->gfn & ~(u64)(fault_around - 1), last = first + fault_around - 1, pte;
	long before = (f->hva >> PAGE_SHIFT) & (PTRS_PER_PTE - 1), i;
	struct mould m = { };

	first = max3(first, f->slot->base, f->gfn < before ? 0 : f->gfn - before);
	last = min3(last, f->slot->base + f->slot->npages - 1, f->gfn - before + PTRS_PER_PTE - 1);
	for (i = first - f->gfn; i <= (long)(last - f->gfn); i++) {
		if (READ_ONCE(f->ptep[i]))
			continue;
		pte = neighbour(f, &m, f->host.ptep + i);
		if (pte)
			cmpxchg(&f->ptep[i], 0, pte);
	}
}

/* Bring the walk to an entry at @level, or, where small pages are mapped already, below. */
static void reach(struct fault *f, int level)
{
	for (;;) {
		descend(f, LEVEL_4K);
		if (f->level <= level)
			return;
		if (pte_is_present(&tdp_format, f->pte))
			split(f);
		else
			link_table(f);
	}
}

/* Is the host changing something that a leaf, or what is mapped around it, would map? */
static bool host_changes(const struct fault *f, int level)
{
	const struct mm_link *link = f->vcpu->vm->mmu.link;
	unsigned long size = PAGE_SIZE * level_pages(max(level, LEVEL_2M));
	unsigned long start = f->hva & ~(size - 1);

	return mm_link_busy(link, start, start + size);
}

static enum map_result install(struct fault *f)
{
	int level = leaf_level(f);
	u64 pte;
	bool fresh;

	if (host_changes(f, level))
		return MAP_LATER;
	reach(f, level);
	do {
		fresh = !pte_is_present(&tdp_format, f->pte);
		pte = make_leaf(f, &f->host, f->level, true);
		if (!fresh && !pte_is_leaf(&tdp_format, f->pte, f->level))
			return MAP_LATER;
		if (!fresh && !same_page(f->pte, pte))
			return MAP_CONFLICT;
	} while (!exchange(f, fresh ? pte : f->pte | pte));
	if (f->write)
		memslot_mark_dirty(f->vcpu, f->slot, f->gfn);
	if (f->level == LEVEL_4K && f->host.ptep && fresh &&
	    (!logging(f) || logs_by_itself(f, LEVEL_4K)))
		map_around(f);
	return MAP_DONE;
}

/* One try, under the lock. */
static enum map_result map(struct fault *f)
{
	struct okvm_vm *vm = f->vcpu->vm;
	enum map_result r;

	if (f->vcpu->slots_held != vm->mmu.slots)
		return MAP_LATER;
	f->level = okvm_hw.tdp_levels;
	look(f, tdp_root(vm));
	descend(f, LEVEL_4K);
	if (present_entry_serves(f))
		return MAP_DONE;
	local_irq_disable();
	if (host_walk(vm->mm, f->hva, &f->host) && (!f->write || f->host.write))
		r = install(f);
	else
		r = MAP_FAULT_IN;
	local_irq_enable();
	return r;
}

/* As on bare metal: the process hears of the broken memory that its guest touched. */
static int report_poison(unsigned long hva)
{
	send_sig_mceerr(BUS_MCEERR_AR, (void __user *)hva, PAGE_SHIFT, current);
	return RESUME_GUEST;
}

static int handle(struct fault *f)
{
	struct okvm_vm *vm = f->vcpu->vm;
	struct mm_link *link = vm->mmu.link;
	enum map_result r;
	int tries, err;

	for (tries = 0; tries < MAX_TRIES; tries++) {
		err = top_up(&f->vcpu->mmu);
		if (err)
			return err;
		read_lock(&link->lock);
		r = map(f);
		read_unlock(&link->lock);
		if (likely(r == MAP_DONE)) {
			okvm_count(f->vcpu, pf_fixed);
			return RESUME_GUEST;
		}
		if (r == MAP_LATER)
			break;
		if (r == MAP_CONFLICT) {
			tdp_unmap(vm, f->gfn, f->gfn + 1);
			continue;
		}
		err = host_fault_in(vm->mm, f->hva, f->write);
		if (err == -EHWPOISON)
			return report_poison(f->hva);
		if (err)
			return err;
	}
	cond_resched();
	return RESUME_GUEST;
}

/**
 * okvm_mmu_fault - a second-level fault: EPT violation or #NPF
 * @vcpu: the running vCPU
 * @gpa: the guest physical address
 * @access: ACCESS_* bits of what was tried
 *
 * Context: may sleep.
 * Return: RESUME_GUEST: mapped, or the guest shall try again; FAULT_EMULATE: no RAM there, or a
 * write to a read-only slot; -EFAULT: the user memory behind the slot is not to be had; -ENOMEM;
 * -EINTR: a fatal signal is pending.
 */
int okvm_mmu_fault(struct okvm_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct fault f = {
		.vcpu = vcpu,
		.gfn = gpa >> PAGE_SHIFT,
		.write = access & ACCESS_WRITE,
		.exec = access & ACCESS_EXEC,
	};
	int r = FAULT_EMULATE;

	okvm_slots_begin(vcpu);
	f.slot = memslot_find(vcpu, f.gfn);
	if (f.slot && (!f.write || memslot_writable(f.slot))) {
		f.hva = slot_hva(f.slot, f.gfn);
		r = handle(&f);
	}
	okvm_slots_end(vcpu);
	return r;
}

/*
 * Map it under the lock. Nothing else can be there but what a slot in the same place has put there.
 */
static enum map_result map_own(struct fault *f, u64 pte, const atomic_t *not)
{
	struct okvm_vm *vm = f->vcpu->vm;

	if (atomic_read(not))
		return MAP_FAULT_IN;
	f->level = okvm_hw.tdp_levels;
	look(f, tdp_root(vm));
	reach(f, LEVEL_4K);
	while (!pte_is_present(&tdp_format, f->pte))
		if (exchange(f, pte))
			return MAP_DONE;
	return same_page(f->pte, pte) ? MAP_DONE : MAP_CONFLICT;
}

/**
 * okvm_mmu_map_own - map a page of the kernel's own for the guest, where no slot should be
 * @vcpu: the vCPU
 * @gpa: where
 * @phys: the page, which lives as long as the tables
 * @not: not if this is set, which is looked at under the lock: who sets it and then calls
 *	okvm_mmu_unmap_own() can be sure that the page is gone
 *
 * No dirty log and no notifier knows of it.
 *
 * Context: may sleep.
 * Return: RESUME_GUEST; FAULT_EMULATE: @not is set; -ENOMEM.
 */
int okvm_mmu_map_own(struct okvm_vcpu *vcpu, gpa_t gpa, hpa_t phys, const atomic_t *not)
{
	struct mm_link *link = vcpu->vm->mmu.link;
	struct fault f = { .vcpu = vcpu, .gfn = gpa >> PAGE_SHIFT };
	struct leaf_desc leaf = { .phys = phys, .write = true, .accessed = true };
	int err = top_up(&vcpu->mmu);
	enum map_result r;

	if (err)
		return err;
	read_lock(&link->lock);
	r = map_own(&f, pte_make_leaf(&tdp_format, &leaf, LEVEL_4K) | tdp_format.encrypt, not);
	read_unlock(&link->lock);
	if (r == MAP_CONFLICT)
		okvm_mmu_unmap_own(vcpu->vm, gpa);
	return r == MAP_FAULT_IN ? FAULT_EMULATE : RESUME_GUEST;
}

/** okvm_mmu_unmap_own - no vCPU finds anything at that page after this returns; may sleep */
void okvm_mmu_unmap_own(struct okvm_vm *vm, gpa_t gpa)
{
	tdp_unmap(vm, gpa >> PAGE_SHIFT, (gpa >> PAGE_SHIFT) + 1);
}
