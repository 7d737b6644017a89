// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages: found, made, linked, taken away. A table of the guest's that has a shadow page is
 * write-protected in all shadow tables; writes to it are emulated, and every write that the module
 * makes for the guest ends in okvm_shadow_written(), which takes away what no longer holds.
 *
 * An entry of level 1 is there only while the VM's tree maps the guest page, and is writable only
 * while the tree's entry is: so whoever takes something from the tree finds all that came from it
 * in the page's chain. What is taken from a table is flushed before the lock is dropped.
 */
#include <linux/hash.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu/memslot.h"
#include "mmu/shadow.h"

/* A table that is written so often without being used is no longer one. */
#define MANY_WRITES	3

/** shadow_create - a new VM's part: nothing but empty lists; 0 or -ENOMEM */
int shadow_create(struct okvm_vm *vm)
{
	struct okvm_shadow *shadow = kvzalloc(sizeof(*shadow), GFP_KERNEL_ACCOUNT);

	BUILD_BUG_ON(sizeof(union shadow_role) != sizeof(u32));
	if (!shadow)
		return -ENOMEM;
	INIT_LIST_HEAD(&shadow->active);
	vm->mmu.shadow = shadow;
	return 0;
}

static void free_page_of(struct shadow_page *page)
{
	if (page->table)
		set_page_private(virt_to_page(page->table), 0);
	free_page((unsigned long)page->table);
	kvfree(page->links);
	kfree(page);
}

static struct shadow_page *alloc_page_for_shadow(void)
{
	struct shadow_page *page = kzalloc(sizeof(*page), GFP_KERNEL_ACCOUNT);
	int i;

	if (!page)
		return NULL;
	page->table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	page->links = kvcalloc(PT_ENTRIES, sizeof(*page->links), GFP_KERNEL_ACCOUNT);
	if (!page->table || !page->links) {
		free_page_of(page);
		return NULL;
	}
	for (i = 0; i < PT_ENTRIES; i++)
		page->links[i].page = page;
	set_page_private(virt_to_page(page->table), (unsigned long)page);
	return page;
}

/** shadow_free - free pages that were taken out, after the flush; may sleep */
void shadow_free(struct okvm_vm *vm, struct list_head *dead)
{
	struct shadow_page *page, *next;

	list_for_each_entry_safe(page, next, dead, node) {
		atomic_long_dec(&vm->mmu.link->pages);
		free_page_of(page);
		cond_resched();
	}
	INIT_LIST_HEAD(dead);
}

/** shadow_put_roots - a vCPU has no roots any more; what is dead goes to @dead */
void shadow_put_roots(struct okvm_vcpu *vcpu, struct list_head *dead)
{
	struct shadow_page *page;
	int i;

	for (i = 0; i < SHADOW_ROOTS; i++) {
		page = vcpu->mmu.roots[i];
		vcpu->mmu.roots[i] = NULL;
		if (page && !--page->users && page->dead)
			list_add(&page->node, dead);
	}
}

/** shadow_destroy - free a VM's pages; no vCPU will run it again */
void shadow_destroy(struct okvm_vm *vm)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	if (!vm->mmu.shadow)
		return;
	okvm_for_each_vcpu(i, vcpu, vm)
		shadow_put_roots(vcpu, &vm->mmu.shadow->active);
	shadow_free(vm, &vm->mmu.shadow->active);
	kvfree(vm->mmu.shadow);
	vm->mmu.shadow = NULL;
}

/** shadow_flush - flush TLBs if something was taken from the tables; the lock is held */
void shadow_flush(struct okvm_vm *vm)
{
	if (!vm->mmu.shadow->stale)
		return;
	vm->mmu.shadow->stale = false;
	okvm_flush_remote_tlbs(vm);
}

static struct hlist_head *bucket_of(struct okvm_shadow *shadow, u64 gfn)
{
	return &shadow->hash[hash_64(gfn, SHADOW_HASH_BITS)];
}

static struct hlist_head *chain_of(struct okvm_shadow *shadow, u64 gfn)
{
	return &shadow->rmap[hash_64(gfn, SHADOW_RMAP_BITS)];
}

static unsigned int index_of(const struct shadow_link *link)
{
	return link - link->page->links;
}

/* The guest page that a link of level 1 maps. */
static u64 gfn_of(const struct shadow_link *link)
{
	if (link->page->role.direct)
		return link->page->gfn + index_of(link);
	return (link->guest & SHADOW_FRAME) >> PAGE_SHIFT;
}

static u64 *ptep_of(const struct shadow_link *link)
{
	return &link->page->table[index_of(link)];
}

/** shadow_child - the page that an entry above level 1 points to */
struct shadow_page *shadow_child(u64 pte)
{
	return (void *)page_private(virt_to_page(table_virt(pte_phys(&tdp_format, pte))));
}

static void drop(struct okvm_vm *vm, struct shadow_page *page, unsigned int index)
{
	if (!page->table[index])
		return;
	WRITE_ONCE(page->table[index], 0);
	hlist_del(&page->links[index].node);
	vm->mmu.shadow->stale = true;
}

/* The same for one that goes though its guest page stays: that the page was used is not lost. */
static void drop_used(struct okvm_vm *vm, struct shadow_page *page, unsigned int index)
{
	if (page->role.level == LEVEL_4K && page->table[index] & SHADOW_A)
		tdp_mark_accessed(vm, gfn_of(&page->links[index]));
	drop(vm, page, index);
}

/* Does an entry only get rights that it did not have? A TLB that does not know asks again. */
static bool only_more_rights(u64 old, u64 new)
{
	return old && !(old & ~new) && !((old ^ new) & ~(SHADOW_W | SHADOW_A | SHADOW_D));
}

/**
 * shadow_set - fill an entry, in place of what was there
 * @vm: the VM, its lock held for writing
 * @page: the table
 * @index: which entry
 * @pte: its value
 * @guest: the guest's entry behind it
 */
void shadow_set(struct okvm_vm *vm, struct shadow_page *page, unsigned int index, u64 pte,
		u64 guest)
{
	struct shadow_link *link = &page->links[index];

	if (only_more_rights(page->table[index], pte) || page->table[index] == pte) {
		WRITE_ONCE(page->table[index], pte);
		link->guest = guest;
		return;
	}
	drop_used(vm, page, index);
	link->guest = guest;
	if (page->role.level > LEVEL_4K)
		hlist_add_head(&link->node, &shadow_child(pte)->parents);
	else
		hlist_add_head(&link->node, chain_of(vm->mmu.shadow, gfn_of(link)));
	WRITE_ONCE(page->table[index], pte);
}

/* Every mapping of a guest page. */
#define for_each_mapping(link, vm, gfn) \
	hlist_for_each_entry(link, chain_of((vm)->mmu.shadow, gfn), node) \
		if (gfn_of(link) != (gfn)) { } else

/** shadow_protect - no mapping of a guest page is writable; a flush is the caller's */
void shadow_protect(struct okvm_vm *vm, u64 gfn)
{
	struct shadow_link *link;

	for_each_mapping(link, vm, gfn)
		atomic64_andnot(SHADOW_W | SHADOW_D, (atomic64_t *)ptep_of(link));
}

/** shadow_young - has a mapping of a guest page been used? @clear: start anew */
bool shadow_young(struct okvm_vm *vm, u64 gfn, bool clear)
{
	struct shadow_link *link;
	bool young = false;

	for_each_mapping(link, vm, gfn) {
		if (!(READ_ONCE(*ptep_of(link)) & SHADOW_A))
			continue;
		young = true;
		if (clear)
			atomic64_andnot(SHADOW_A, (atomic64_t *)ptep_of(link));
	}
	return young;
}

static void zap_mappings(struct okvm_vm *vm, u64 gfn)
{
	struct shadow_link *link;
	struct hlist_node *next;

	hlist_for_each_entry_safe(link, next, chain_of(vm->mmu.shadow, gfn), node)
		if (gfn_of(link) == gfn)
			drop(vm, link->page, index_of(link));
}

/** shadow_zap_range - what maps a range of guest pages goes, before the tree's own entries do */
void shadow_zap_range(struct okvm_vm *vm, u64 start, u64 end)
{
	u64 *root = tdp_root(vm);
	struct pt_iter it;

	lockdep_assert_held_write(&vm->mmu.link->lock);
	if (!root)
		return;
	for_each_pte(&it, &tdp_format, root, okvm_hw.tdp_levels, start, end)
		if (pt_iter_is_leaf(&it))
			zap_mappings(vm, it.gfn);
}

static void zap_page(struct okvm_vm *vm, struct shadow_page *page, struct list_head *dead)
{
	struct shadow_link *link;
	struct hlist_node *next;
	unsigned int i;

	hlist_for_each_entry_safe(link, next, &page->parents, node)
		drop(vm, link->page, index_of(link));
	for (i = 0; i < PT_ENTRIES; i++)
		drop_used(vm, page, i);
	hlist_del(&page->hash);
	list_del(&page->node);
	vm->mmu.shadow->nr--;
	/* A walk may be in it even if nothing points there any more. */
	vm->mmu.shadow->stale = true;
	page->dead = true;
	if (page->users)
		okvm_request_all(vm, REQ_MMU_RELOAD);
	else
		list_add(&page->node, dead);
}

/** shadow_zap_all - all pages go; the caller flushes, then frees @dead */
void shadow_zap_all(struct okvm_vm *vm, struct list_head *dead)
{
	struct shadow_page *page, *next;

	list_for_each_entry_safe(page, next, &vm->mmu.shadow->active, node)
		zap_page(vm, page, dead);
}

/** shadow_is_table - is a guest page shadowed as a table, so that it must not be writable? */
bool shadow_is_table(struct okvm_vm *vm, u64 gfn)
{
	struct shadow_page *page;

	hlist_for_each_entry(page, bucket_of(vm->mmu.shadow, gfn), hash)
		if (page->gfn == gfn && !page->role.direct)
			return true;
	return false;
}

/**
 * okvm_shadow_watches - must a write there be followed by okvm_shadow_written()?
 * @vm: the VM
 * @gfn: guest page
 *
 * Context: the link's lock is held: a page that is no table yet becomes none before it is dropped.
 */
bool okvm_shadow_watches(struct okvm_vm *vm, u64 gfn)
{
	return vm->mmu.shadow && shadow_is_table(vm, gfn);
}

/** shadow_zap_tables_of - a guest page no longer counts as a table */
void shadow_zap_tables_of(struct okvm_vm *vm, u64 gfn, struct list_head *dead)
{
	struct shadow_page *page;
	struct hlist_node *next;

	hlist_for_each_entry_safe(page, next, bucket_of(vm->mmu.shadow, gfn), hash)
		if (page->gfn == gfn && !page->role.direct)
			zap_page(vm, page, dead);
}

/* As KVM: so many thousandths of guest memory, unless user space says. */
#define SHADOW_PERMILLE		20

/** shadow_limit - how many shadow pages a VM may have */
unsigned long shadow_limit(struct okvm_vm *vm)
{
	unsigned long n = READ_ONCE(vm->mmu.shadow_pages);

	if (!n)
		n = READ_ONCE(vm->mmu.total_pages) * SHADOW_PERMILLE / 1000;
	return clamp_t(unsigned long, n, MIN_SHADOW_PAGES, INT_MAX);
}

/**
 * shadow_reclaim - free pages, those first that were not looked up for longest, but no roots in use
 * @vm: the VM
 * @limit: how many may stay
 *
 * Context: may sleep.
 */
void shadow_reclaim(struct okvm_vm *vm, unsigned long limit)
{
	struct okvm_shadow *shadow = vm->mmu.shadow;
	struct shadow_page *page, *next;
	LIST_HEAD(dead);

	write_lock(&vm->mmu.link->lock);
	list_for_each_entry_safe(page, next, &shadow->active, node) {
		if (shadow->nr <= limit)
			break;
		if (!page->users)
			zap_page(vm, page, &dead);
	}
	shadow_flush(vm);
	write_unlock(&vm->mmu.link->lock);
	shadow_free(vm, &dead);
}

/**
 * shadow_top_up - make sure that a fault finds pages and a place for them
 * @vcpu: the vCPU; no lock is held
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int shadow_top_up(struct okvm_vcpu *vcpu)
{
	unsigned long limit = shadow_limit(vcpu->vm);
	struct okvm_vcpu_mmu *mmu = &vcpu->mmu;
	struct shadow_page *page;

	while (mmu->nr_shadow < SHADOW_CACHE_SIZE) {
		page = alloc_page_for_shadow();
		if (!page)
			return -ENOMEM;
		mmu->shadow[mmu->nr_shadow++] = page;
	}
	if (READ_ONCE(vcpu->vm->mmu.shadow->nr) + SHADOW_CACHE_SIZE > limit)
		shadow_reclaim(vcpu->vm, limit - SHADOW_CACHE_SIZE);
	return 0;
}

/** shadow_vcpu_free - the end of a vCPU; the VM's pages are gone, but for dead roots */
void shadow_vcpu_free(struct okvm_vcpu *vcpu)
{
	struct okvm_vcpu_mmu *mmu = &vcpu->mmu;

	while (mmu->nr_shadow)
		free_page_of(mmu->shadow[--mmu->nr_shadow]);
	free_page((unsigned long)mmu->pae_root);
}

/**
 * shadow_get - the page that shadows a guest page in a role; made if there is none
 * @vcpu: the vCPU, topped up; the lock is held for writing
 * @gfn: the guest's table, or the first guest page of a direct one
 * @role: what it shall be
 *
 * On return no TLB lets the guest write to its table, so what is read from it now holds until a
 * write that is seen.
 */
struct shadow_page *shadow_get(struct okvm_vcpu *vcpu, u64 gfn, union shadow_role role)
{
	struct okvm_vm *vm = vcpu->vm;
	struct okvm_shadow *shadow = vm->mmu.shadow;
	struct shadow_page *page;

	hlist_for_each_entry(page, bucket_of(shadow, gfn), hash) {
		if (page->gfn != gfn || page->role.word != role.word)
			continue;
		list_move_tail(&page->node, &shadow->active);
		page->writes = 0;
		return page;
	}
	page = vcpu->mmu.shadow[--vcpu->mmu.nr_shadow];
	page->gfn = gfn;
	page->role = role;
	hlist_add_head(&page->hash, bucket_of(shadow, gfn));
	list_add_tail(&page->node, &shadow->active);
	shadow->nr++;
	atomic_long_inc(&vm->mmu.link->pages);
	if (!role.direct) {
		shadow_protect(vm, gfn);
		shadow->stale = true;
		shadow_flush(vm);
	}
	return page;
}

static unsigned int entry_bytes(const struct shadow_page *page)
{
	return page->role.mode == SHADOW_32 ? 4 : 8;
}

/**
 * shadow_read_entry - read an entry of a guest's table under the lock
 * @vcpu: the running vCPU, slots held
 * @page: a page that shadows the table
 * @gpa: where the entry is
 * @entry: filled
 *
 * Return: 0, or -EFAULT when it cannot be read without sleeping.
 */
int shadow_read_entry(struct okvm_vcpu *vcpu, const struct shadow_page *page, u64 gpa, u64 *entry)
{
	const struct okvm_slot *slot = memslot_find(vcpu, gpa >> PAGE_SHIFT);
	void __user *from;
	int err;

	if (!slot)
		return -EFAULT;
	from = (void __user *)(slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
	*entry = 0;
	pagefault_disable();
	err = __copy_from_user_inatomic(entry, from, entry_bytes(page)) ? -EFAULT : 0;
	pagefault_enable();
	return err;
}

/* Where in its table the guest's entry is that a shadow entry was made from. */
static unsigned int guest_index(const struct shadow_page *page, unsigned int index)
{
	if (page->role.mode != SHADOW_32)
		return index;
	if (page->role.level == LEVEL_4K)
		return page->role.quadrant * PT_ENTRIES + index;
	return (page->role.quadrant * PT_ENTRIES + index) / 2;
}

/**
 * shadow_resync - an entry of the guest's may have changed: what it no longer says goes
 * @vcpu: the running vCPU, slots held, the lock held for writing
 * @page: a table that is not direct
 * @index: the shadow's entry
 *
 * That the guest's entry is now marked as used, or as written, takes nothing away.
 */
void shadow_resync(struct okvm_vcpu *vcpu, struct shadow_page *page, unsigned int index)
{
	struct shadow_link *link = &page->links[index];
	u64 offset = guest_index(page, index) * entry_bytes(page), now;

	if (!page->table[index])
		return;
	if (shadow_read_entry(vcpu, page, (page->gfn << PAGE_SHIFT) + offset, &now) ||
	    ((now ^ link->guest) & ~(SHADOW_A | SHADOW_D)) || (link->guest & ~now))
		drop_used(vcpu->vm, page, index);
	else
		link->guest = now;
}

/* All entries of @page that guest bytes [@offset, @offset + @len) of its table are behind. */
static void resync_bytes(struct okvm_vcpu *vcpu, struct shadow_page *page, unsigned int offset,
			 unsigned int len)
{
	unsigned int bytes = entry_bytes(page), last = (offset + len - 1) / bytes, i;
	unsigned int first = offset / bytes, base, n = 1;

	if (page->role.mode == SHADOW_32 && page->role.level > LEVEL_4K)
		n = 2;
	base = page->role.quadrant * PT_ENTRIES / n;
	for (i = first; i <= last; i++)
		if (i >= base && i < base + PT_ENTRIES / n) {
			shadow_resync(vcpu, page, (i - base) * n);
			if (n > 1)
				shadow_resync(vcpu, page, (i - base) * n + 1);
		}
}

/**
 * okvm_shadow_written - the module has written guest memory for the guest
 * @vcpu: the running vCPU, slots held
 * @gpa: where; within a page
 * @len: bytes
 *
 * Context: may sleep.
 */
void okvm_shadow_written(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len)
{
	struct okvm_vm *vm = vcpu->vm;
	u64 gfn = gpa >> PAGE_SHIFT;
	struct shadow_page *page;
	struct hlist_node *next;
	LIST_HEAD(dead);

	/* Who makes a page enters it, and flushes, before it reads the guest's table. */
	smp_mb();
	if (likely(hlist_empty(bucket_of(vm->mmu.shadow, gfn))))
		return;
	write_lock(&vm->mmu.link->lock);
	hlist_for_each_entry_safe(page, next, bucket_of(vm->mmu.shadow, gfn), hash) {
		if (page->gfn != gfn || page->role.direct)
			continue;
		resync_bytes(vcpu, page, offset_in_page(gpa), len);
		if (page->writes++ >= MANY_WRITES && !page->users)
			zap_page(vm, page, &dead);
	}
	shadow_flush(vm);
	write_unlock(&vm->mmu.link->lock);
	shadow_free(vm, &dead);
}
