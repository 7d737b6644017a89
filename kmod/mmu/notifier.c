// SPDX-License-Identifier: GPL-2.0-only
/* MMU notifiers: the host changes its own page tables, and ours follow before it goes on. */
#include <linux/slab.h>

#include "mmu/tdp.h"

static struct mm_link *to_link(struct mmu_notifier *mn)
{
	return container_of(mn, struct mm_link, mn);
}

/* The guest pages of @slot behind a user range that meets it. */
static void slot_range(const struct okvm_slot *slot, unsigned long start, unsigned long end,
		       u64 *first, u64 *last_end)
{
	unsigned long slot_end = slot->hva + (slot->npages << PAGE_SHIFT);

	start = max(start, slot->hva);
	end = min(end, slot_end);
	*first = slot->base + ((start - slot->hva) >> PAGE_SHIFT);
	*last_end = slot->base + ((end - slot->hva + PAGE_SIZE - 1) >> PAGE_SHIFT);
}

static bool zap_user_range(struct okvm_vm *vm, unsigned long start, unsigned long end,
			   struct list_head *dead)
{
	const struct okvm_slots *slots = vm->mmu.slots;
	const struct okvm_slot *slot;
	bool taken = false;
	u64 first, last_end;
	unsigned int i;

	for_each_slot_in_hva(i, slot, slots, start, end) {
		slot_range(slot, start, end, &first, &last_end);
		taken |= tdp_zap(vm, first, last_end, dead);
	}
	return taken;
}

static void begin_change(struct mm_link *link, unsigned long start, unsigned long end)
{
	if (!link->invalidating++) {
		link->from = start;
		link->to = end;
	} else {
		link->from = min(link->from, start);
		link->to = max(link->to, end);
	}
}

static int invalidate_range_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct mm_link *link = to_link(mn);
	LIST_HEAD(dead);

	write_lock(&link->lock);
	begin_change(link, range->start, range->end);
	if (link->vm && zap_user_range(link->vm, range->start, range->end, &dead))
		okvm_flush_remote_tlbs(link->vm);
	write_unlock(&link->lock);
	/* The VM may be gone from here on. */
	tdp_free(link, &dead, mmu_notifier_range_blockable(range));
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct mm_link *link = to_link(mn);

	write_lock(&link->lock);
	WARN_ON_ONCE(--link->invalidating < 0);
	write_unlock(&link->lock);
}

static bool age(struct mm_link *link, unsigned long start, unsigned long end, bool clear)
{
	struct okvm_vm *vm = link->vm;
	const struct okvm_slot *slot;
	bool young = false;
	u64 first, last_end;
	unsigned int i;

	if (!vm)
		return false;
	for_each_slot_in_hva(i, slot, vm->mmu.slots, start, end) {
		slot_range(slot, start, end, &first, &last_end);
		young |= tdp_young(vm, first, last_end, clear);
	}
	return young;
}

static int clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
			     unsigned long end)
{
	struct mm_link *link = to_link(mn);
	bool young;

	read_lock(&link->lock);
	young = age(link, start, end, true);
	if (young)
		okvm_flush_remote_tlbs(link->vm);
	read_unlock(&link->lock);
	return young;
}

static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
		       unsigned long end)
{
	struct mm_link *link = to_link(mn);
	bool young;

	read_lock(&link->lock);
	young = age(link, start, end, true);
	read_unlock(&link->lock);
	return young;
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long address)
{
	struct mm_link *link = to_link(mn);
	bool young;

	read_lock(&link->lock);
	young = age(link, address, address + PAGE_SIZE, false);
	read_unlock(&link->lock);
	return young;
}

/* The address space ends though the VM's fds live on elsewhere. It can never run again. */
static void release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct mm_link *link = to_link(mn);
	LIST_HEAD(dead);

	write_lock(&link->lock);
	if (link->vm && tdp_zap(link->vm, 0, U64_MAX, &dead))
		okvm_flush_remote_tlbs(link->vm);
	write_unlock(&link->lock);
	tdp_free(link, &dead, true);
}

static void free_notifier(struct mmu_notifier *mn)
{
	kfree(to_link(mn));
}

static const struct mmu_notifier_ops link_ops = {
	.invalidate_range_start = invalidate_range_start,
	.invalidate_range_end = invalidate_range_end,
	.clear_flush_young = clear_flush_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.release = release,
	.free_notifier = free_notifier,
};

/**
 * mm_link_create - tie a new VM to current's address space
 * @vm: the VM, its slots object set
 *
 * Context: may sleep; takes mmap_lock for writing.
 * Return: 0, -ENOMEM, or -EINTR: a signal came while waiting for locks.
 */
int mm_link_create(struct okvm_vm *vm)
{
	struct mm_link *link = kzalloc(sizeof(*link), GFP_KERNEL_ACCOUNT);
	int err;

	if (!link)
		return -ENOMEM;
	rwlock_init(&link->lock);
	link->mn.ops = &link_ops;
	link->vm = vm;
	err = mmu_notifier_register(&link->mn, vm->mm);
	if (err) {
		kfree(link);
		return err;
	}
	vm->mmu.link = link;
	return 0;
}

/**
 * mm_link_release - cut the tie; no callback looks at the VM or its tables after this returns
 * @vm: the VM
 *
 * The link stays until tdp_free_all() and mm_link_put().
 */
void mm_link_release(struct okvm_vm *vm)
{
	struct mm_link *link = vm->mmu.link;

	write_lock(&link->lock);
	link->vm = NULL;
	write_unlock(&link->lock);
}

/**
 * mm_link_put - let go of the link; it is freed once the callbacks that are under way are through
 * @vm: the VM; its tables are freed
 *
 * Context: does not wait for a grace period; okvm_mmu_unsetup() does.
 */
void mm_link_put(struct okvm_vm *vm)
{
	mmu_notifier_put(&vm->mmu.link->mn);
	vm->mmu.link = NULL;
}
