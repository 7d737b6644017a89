// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots. All slots of a VM are in one sorted object that never changes; a change makes a
 * new one, publishes its address, and waits for the vCPUs that still look at the old.
 *
 * A vCPU says which object it looks at in vcpu->slots_held, a hazard pointer: it stores the
 * pointer, then checks that it is still the current one. The writer publishes, then looks at every
 * vCPU's. There is no grace period, and nothing at all to wait for while no vCPU is inside.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu/dirty.h"
#include "mmu/memslot.h"
#include "mmu/shadow.h"

static struct okvm_slots no_slots;

/**
 * okvm_slots_begin - slots found from here on stay until okvm_slots_end()
 * @vcpu: the running vCPU
 *
 * Nests; the outermost decides which object is seen.
 *
 * Context: the vCPU's thread; may sleep until the end. Must end before the guest is entered:
 * a fault on a slots object that is no longer current resolves to nothing.
 */
void okvm_slots_begin(struct okvm_vcpu *vcpu)
{
	struct okvm_slots **current_slots = &vcpu->vm->mmu.slots, *slots, *again;

	if (vcpu->slots_depth++)
		return;
	for (slots = smp_load_acquire(current_slots);; slots = again) {
		/* Pairs with the barrier in wait_for_readers(). */
		smp_store_mb(vcpu->slots_held, slots);
		again = smp_load_acquire(current_slots);
		if (likely(again == slots))
			return;
	}
}

/**
 * okvm_slots_end - the end of okvm_slots_begin()
 * @vcpu: the running vCPU
 */
void okvm_slots_end(struct okvm_vcpu *vcpu)
{
	if (--vcpu->slots_depth)
		return;
	/* What was read and written through the slots comes before; the look at the queue after. */
	smp_store_release(&vcpu->slots_held, NULL);
	if (wq_has_sleeper(&vcpu->vm->mmu.slots_wait))
		wake_up_all(&vcpu->vm->mmu.slots_wait);
}

/*
 * Not killable: memory that is about to be freed is in use. The readers are: they wait for the
 * host's memory at most, and a fatal signal ends that.
 */
static void wait_for_readers(struct okvm_vm *vm, const struct okvm_slots *old)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	/* The new object is published; pairs with smp_store_mb() in okvm_slots_begin(). */
	smp_mb();
	okvm_for_each_vcpu(i, vcpu, vm)
		wait_event_idle(vm->mmu.slots_wait, smp_load_acquire(&vcpu->slots_held) != old);
}

static void free_slots(struct okvm_slots *slots)
{
	if (slots != &no_slots)
		kvfree(slots);
}

/** memslot_by_id - the slot with that number, or NULL; slots_lock is held */
struct okvm_slot *memslot_by_id(struct okvm_vm *vm, u32 id)
{
	lockdep_assert_held(&vm->slots_lock);
	return xa_load(&vm->mmu.by_id, id);
}

/*
 * Publish @slots. Guest pages [@zap, @zap + @npages) lose their mappings at the same instant, so
 * that none of the old object's is left; a fault that still has the old one in hand sees that it
 * is no longer current. On return nobody uses the old object, and it is freed.
 *
 * What the guest wrote until the flush goes to the dirty log of the old object's slot.
 */
static void publish(struct okvm_vm *vm, struct okvm_slots *slots, u64 zap, u64 npages)
{
	struct mm_link *link = vm->mmu.link;
	struct okvm_slots *old = vm->mmu.slots;
	LIST_HEAD(dead_shadow);
	LIST_HEAD(dead);

	write_lock(&link->lock);
	/* The guest's tables may be in what goes. */
	if (npages && vm->mmu.shadow) {
		shadow_zap_all(vm, &dead_shadow);
		shadow_flush(vm);
	}
	if (npages && tdp_zap(vm, zap, zap + npages, &dead))
		okvm_flush_remote_tlbs(vm);
	smp_store_release(&vm->mmu.slots, slots);
	write_unlock(&link->lock);
	tdp_free(link, &dead, true);
	shadow_free(vm, &dead_shadow);
	wait_for_readers(vm, old);
	free_slots(old);
}

static struct okvm_slots *next_slots(struct okvm_vm *vm, const struct okvm_slot *drop,
				     struct okvm_slot *add)
{
	const struct okvm_slots *from = vm->mmu.slots;
	struct okvm_slots *slots = kvmalloc(slots_size(from->n + 1), GFP_KERNEL_ACCOUNT);

	if (slots)
		slots_build(slots, from, drop, add);
	return slots;
}

static unsigned long *new_dirty_log(struct okvm_vm *vm, unsigned long npages)
{
	unsigned long *log = __vcalloc(BITS_TO_LONGS(npages), sizeof(*log), GFP_KERNEL_ACCOUNT);

	if (log && memslot_logs_all(vm))
		bitmap_set(log, 0, npages);
	return log;
}

static void free_slot(struct okvm_slot *slot, const struct okvm_slot *heir)
{
	if (!heir || heir->dirty != slot->dirty)
		kvfree(slot->dirty);
	kfree(slot);
}

/* The slot that @region describes. A log that goes on is the one that @old has. */
static struct okvm_slot *new_slot(struct okvm_vm *vm,
				  const struct kvm_userspace_memory_region *region,
				  const struct okvm_slot *old)
{
	struct okvm_slot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base = region->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = region->memory_size >> PAGE_SHIFT;
	slot->hva = region->userspace_addr;
	slot->flags = region->flags;
	slot->id = region->slot;
	slot->max_level = slot_level_limit(slot->base, slot->hva);
	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return slot;
	slot->dirty = old && old->dirty ? old->dirty : new_dirty_log(vm, slot->npages);
	if (slot->dirty)
		return slot;
	kfree(slot);
	return NULL;
}

static int delete_slot(struct okvm_vm *vm, struct okvm_slot *old)
{
	struct okvm_slots *slots = next_slots(vm, old, NULL);

	if (!slots)
		return -ENOMEM;
	WRITE_ONCE(vm->mmu.total_pages, vm->mmu.total_pages - old->npages);
	xa_erase(&vm->mmu.by_id, old->id);
	publish(vm, slots, old->base, old->npages);
	if (old->dirty)
		dirty_log_end(vm);
	free_slot(old, NULL);
	return 0;
}

static int create_slot(struct okvm_vm *vm, const struct kvm_userspace_memory_region *region)
{
	struct okvm_slot *slot = new_slot(vm, region, NULL);
	struct okvm_slots *slots;

	if (!slot)
		return -ENOMEM;
	slots = next_slots(vm, NULL, slot);
	if (!slots)
		goto fail;
	if (xa_err(xa_store(&vm->mmu.by_id, slot->id, slot, GFP_KERNEL_ACCOUNT)))
		goto fail;
	WRITE_ONCE(vm->mmu.total_pages, vm->mmu.total_pages + slot->npages);
	if (slot->dirty)
		dirty_log_begin(vm);
	publish(vm, slots, 0, 0);
	return 0;

fail:
	kvfree(slots);
	free_slot(slot, NULL);
	return -ENOMEM;
}

/* Same size, same user memory: the place or the flags may be new. */
static int change_slot(struct okvm_vm *vm, struct okvm_slot *old,
		       const struct kvm_userspace_memory_region *region)
{
	struct okvm_slot *slot = new_slot(vm, region, old);
	struct okvm_slots *slots;

	if (!slot)
		return -ENOMEM;
	slots = next_slots(vm, old, slot);
	if (!slots) {
		free_slot(slot, old);
		return -ENOMEM;
	}
	/* In place of another entry: needs no memory. */
	xa_store(&vm->mmu.by_id, slot->id, slot, GFP_KERNEL);
	if (slot->dirty && !old->dirty)
		dirty_log_begin(vm);
	publish(vm, slots, old->base, slot->base != old->base ? old->npages : 0);
	if (slot->base == old->base && slot->dirty && !old->dirty && !memslot_logs_all(vm))
		tdp_protect_slot(vm, slot);
	if (old->dirty && !slot->dirty) {
		dirty_log_end(vm);
		tdp_collapse_slot(vm, slot);
	}
	free_slot(old, slot);
	return 0;
}

static int check_region(const struct kvm_userspace_memory_region *region)
{
	if (region->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (!PAGE_ALIGNED(region->memory_size) || !PAGE_ALIGNED(region->guest_phys_addr) ||
	    !PAGE_ALIGNED(region->userspace_addr))
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)region->userspace_addr, region->memory_size))
		return -EINVAL;
	/* The upper half is the address space: there is one. */
	if (region->slot >= MAX_SLOTS)
		return -EINVAL;
	if (region->guest_phys_addr + region->memory_size < region->guest_phys_addr)
		return -EINVAL;
	/* Page numbers within a slot are ints to user space: KVM's limit. */
	if (region->memory_size >> PAGE_SHIFT > INT_MAX)
		return -EINVAL;
	return 0;
}

/* May @region take its place among the others? @old is the slot that it replaces, or NULL. */
static int check_place(struct okvm_vm *vm, const struct kvm_userspace_memory_region *region,
		       const struct okvm_slot *old)
{
	u64 base = region->guest_phys_addr >> PAGE_SHIFT;
	u64 npages = region->memory_size >> PAGE_SHIFT;

	if (!old && vm->mmu.total_pages + npages < npages)
		return -EINVAL;
	if (slots_overlap(vm->mmu.slots, old, base, npages))
		return -EEXIST;
	if (base + npages > tdp_max_gfn())
		return -EINVAL;
	return 0;
}

static int set_region(struct okvm_vm *vm, const struct kvm_userspace_memory_region *region)
{
	struct okvm_slot *old = memslot_by_id(vm, region->slot);
	bool moves;
	int err;

	if (!region->memory_size)
		return old ? delete_slot(vm, old) : -EINVAL;
	if (old && (region->userspace_addr != old->hva ||
		    region->memory_size >> PAGE_SHIFT != old->npages ||
		    ((region->flags ^ old->flags) & KVM_MEM_READONLY)))
		return -EINVAL;
	moves = old && region->guest_phys_addr >> PAGE_SHIFT != old->base;
	if (old && !moves && region->flags == old->flags)
		return 0;
	if (!old || moves) {
		err = check_place(vm, region, old);
		if (err)
			return err;
	}
	return old ? change_slot(vm, old, region) : create_slot(vm, region);
}

/**
 * memslot_set - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM
 * @arg: struct kvm_userspace_memory_region
 *
 * KVM API document, 4.35. When it returns no vCPU sees the former state.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: bad flags, alignment, number, address or size, or a change that a slot
 * cannot take; -EEXIST: meets another slot; -ENOMEM.
 */
long memslot_set(struct okvm_vm *vm, void *arg)
{
	const struct kvm_userspace_memory_region *region = arg;
	int err = check_region(region);

	if (err)
		return err;
	mutex_lock(&vm->slots_lock);
	err = set_region(vm, region);
	mutex_unlock(&vm->slots_lock);
	return err;
}

/**
 * memslots_create - a new VM: no slots
 * @vm: the VM
 */
void memslots_create(struct okvm_vm *vm)
{
	vm->mmu.slots = &no_slots;
	init_waitqueue_head(&vm->mmu.slots_wait);
	xa_init(&vm->mmu.by_id);
}

/**
 * memslots_destroy - free all slots of a dying VM
 * @vm: the VM; nobody looks at its slots
 */
void memslots_destroy(struct okvm_vm *vm)
{
	struct okvm_slot *slot;
	unsigned long id;

	xa_for_each(&vm->mmu.by_id, id, slot)
		free_slot(slot, NULL);
	xa_destroy(&vm->mmu.by_id);
	free_slots(vm->mmu.slots);
}
