// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty logs. A page's bit is set when its entry becomes writable; taking the bit makes the entry
 * read-only again. Order: a fault gives the right to write and then sets the bit, the log takes
 * the bit and then the right; so an entry that is writable has its bit set, or is about to.
 *
 * With page-modification logging (PML) an entry's dirty bit is in the place of its right to write:
 * the CPU sets it and tells of it, and what it told is in the log once the vCPU is out of the
 * guest.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu/dirty.h"
#include "mmu/memslot.h"
#include "mmu/tdp.h"

/* Words of a log that are worked on at a time, in one page of memory: 128 MiB of guest memory. */
#define CHUNK_WORDS	(PAGE_SIZE / sizeof(long))

/*
 * The slot whose log is meant: -ENXIO: it is in rings, -EINVAL: no such number, -ENOENT: no slot,
 * or no log.
 */
static int logged_slot(struct okvm_vm *vm, u32 id, struct okvm_slot **slot)
{
	if (vm->mmu.ring_size)
		return -ENXIO;
	if (id >= MAX_SLOTS)
		return -EINVAL;
	*slot = memslot_by_id(vm, id);
	return *slot && (*slot)->dirty ? 0 : -ENOENT;
}

/**
 * dirty_log_begin - one more slot is about to have a log
 * @vm: the VM; its slots_lock is held
 *
 * The CPU must tell of dirty bits before the first entry of the slot is without one.
 */
void dirty_log_begin(struct okvm_vm *vm)
{
	WRITE_ONCE(vm->mmu.dirty_logs, vm->mmu.dirty_logs + 1);
	if (vm->mmu.pml && vm->mmu.dirty_logs == 1)
		okvm_request_all_wait(vm, REQ_DIRTY_LOG);
}

/** dirty_log_end - one slot has no log any more; its VM's slots_lock is held */
void dirty_log_end(struct okvm_vm *vm)
{
	WRITE_ONCE(vm->mmu.dirty_logs, vm->mmu.dirty_logs - 1);
	if (vm->mmu.pml && !vm->mmu.dirty_logs)
		okvm_request_all(vm, REQ_DIRTY_LOG);
}

/**
 * okvm_mmu_set_dirty_log - have the CPU tell of dirty bits if any slot has a log
 * @vcpu: the vCPU, loaded; on REQ_DIRTY_LOG
 *
 * Return: 0 or -ENOMEM: the guest must not be entered.
 */
int okvm_mmu_set_dirty_log(struct okvm_vcpu *vcpu)
{
	int err = okvm_backend->set_dirty_log(vcpu, READ_ONCE(vcpu->vm->mmu.dirty_logs));

	if (err)
		okvm_request(vcpu, REQ_DIRTY_LOG);
	return err;
}

/**
 * okvm_mmu_written - pages that the guest has written, as the CPU tells
 * @vcpu: the vCPU, right after an exit
 * @gpas: where in each page is all the same
 * @n: how many
 */
void okvm_mmu_written(struct okvm_vcpu *vcpu, const u64 *gpas, unsigned int n)
{
	struct okvm_slot *slot;
	unsigned int i;

	okvm_slots_begin(vcpu);
	for (i = 0; i < n; i++) {
		slot = memslot_find(vcpu, gpas[i] >> PAGE_SHIFT);
		if (slot)
			memslot_mark_dirty(vcpu, slot, gpas[i] >> PAGE_SHIFT);
	}
	okvm_slots_end(vcpu);
}

/* What to do with a word of the log, and which of its pages to protect again. */
typedef unsigned long (*word_op)(unsigned long *log, unsigned long *user);

static unsigned long take_word(unsigned long *log, unsigned long *user)
{
	*user = READ_ONCE(*log) ? xchg(log, 0) : 0;
	return *user;
}

static unsigned long clear_word(unsigned long *log, unsigned long *user)
{
	if (!*user)
		return 0;
	return atomic_long_fetch_andnot(*user, (atomic_long_t *)log) & *user;
}

/* @n words of the log from @first on, with the VMM's in @user. True when a flush is due. */
static bool do_chunk(struct okvm_vm *vm, const struct okvm_slot *slot, unsigned long first,
		     unsigned long n, unsigned long *user, word_op op)
{
	struct mm_link *link = vm->mmu.link;
	struct tdp_protect protect = { .vm = vm };
	unsigned long i;

	read_lock(&link->lock);
	for (i = 0; i < n; i++)
		tdp_protect_mask(&protect, slot->base + (first + i) * BITS_PER_LONG,
				 op(&slot->dirty[first + i], &user[i]));
	read_unlock(&link->lock);
	cond_resched();
	return protect.taken;
}

/* What user space could not be given is not lost. */
static void give_back(const struct okvm_slot *slot, unsigned long first, unsigned long n,
		      const unsigned long *words)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		if (words[i])
			atomic_long_or(words[i], (atomic_long_t *)&slot->dirty[first + i]);
}

static int take_log(struct okvm_vm *vm, const struct okvm_slot *slot, unsigned long __user *user,
		    unsigned long *buf)
{
	unsigned long words = BITS_TO_LONGS(slot->npages), first, n;
	bool taken = false;
	int err = 0;

	for (first = 0; first < words && !err; first += n) {
		n = min_t(unsigned long, words - first, CHUNK_WORDS);
		taken |= do_chunk(vm, slot, first, n, buf, take_word);
		if (copy_to_user(user + first, buf, n * sizeof(long))) {
			give_back(slot, first, n, buf);
			err = -EFAULT;
		}
	}
	if (taken)
		okvm_flush_remote_tlbs(vm);
	return err;
}

static int get_log(struct okvm_vm *vm, const struct kvm_dirty_log *log, unsigned long *buf)
{
	unsigned long __user *user = log->dirty_bitmap;
	struct okvm_slot *slot;
	int err = logged_slot(vm, log->slot, &slot);

	if (err)
		return err;
	/* What was written until now is to be in it: it is when the vCPUs have left the guest. */
	if (vm->mmu.pml)
		okvm_request_all_wait(vm, REQ_DIRTY_LOG);
	if (!vm->mmu.manual_dirty)
		return take_log(vm, slot, user, buf);
	if (copy_to_user(user, slot->dirty, BITS_TO_LONGS(slot->npages) * sizeof(long)))
		return -EFAULT;
	return 0;
}

/**
 * dirty_log_get - KVM_GET_DIRTY_LOG
 * @vm: the VM
 * @arg: struct kvm_dirty_log
 *
 * KVM API document, 4.8. Takes the log, or under KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 only reads it.
 *
 * Context: may sleep.
 * Return: 0; -ENXIO: there are dirty rings; -EINVAL: no such slot number; -ENOENT: no such slot, or
 * it has no log; -EFAULT: what could not be copied stays in the log; -ENOMEM.
 */
long dirty_log_get(struct okvm_vm *vm, void *arg)
{
	unsigned long *buf = (unsigned long *)__get_free_page(GFP_KERNEL_ACCOUNT);
	int err;

	if (!buf)
		return -ENOMEM;
	mutex_lock(&vm->slots_lock);
	err = get_log(vm, arg, buf);
	mutex_unlock(&vm->slots_lock);
	free_page((unsigned long)buf);
	return err;
}

static int check_clear(const struct kvm_clear_dirty_log *log, const struct okvm_slot *slot)
{
	u64 left;

	if (log->first_page > slot->npages)
		return -EINVAL;
	left = slot->npages - log->first_page;
	if (log->num_pages > left)
		return -EINVAL;
	/* Whole words, but for the slot's last. */
	if (log->num_pages < left && log->num_pages % BITS_PER_LONG)
		return -EINVAL;
	return 0;
}

static int clear_log(struct okvm_vm *vm, const struct kvm_clear_dirty_log *log, unsigned long *buf)
{
	unsigned long first = log->first_page / BITS_PER_LONG, end, n;
	unsigned long __user *user = log->dirty_bitmap;
	struct okvm_slot *slot;
	bool taken = false;
	int err = logged_slot(vm, log->slot, &slot);

	if (!err)
		err = check_clear(log, slot);
	if (err)
		return err;
	end = first + BITS_TO_LONGS(log->num_pages);
	for (; first < end; first += n, user += n) {
		n = min_t(unsigned long, end - first, CHUNK_WORDS);
		if (copy_from_user(buf, user, n * sizeof(long))) {
			err = -EFAULT;
			break;
		}
		taken |= do_chunk(vm, slot, first, n, buf, clear_word);
	}
	if (taken)
		okvm_flush_remote_tlbs(vm);
	return err;
}

/**
 * dirty_log_clear - KVM_CLEAR_DIRTY_LOG
 * @vm: the VM
 * @arg: struct kvm_clear_dirty_log: the pages to take out of the log and to watch again
 *
 * KVM API document, 4.117.
 *
 * Context: may sleep.
 * Return: 0; -ENXIO: there are dirty rings; -EINVAL: no such slot number, or not whole words of the
 * log; -ENOENT: no such slot, or it has no log; -EFAULT; -ENOMEM.
 */
long dirty_log_clear(struct okvm_vm *vm, void *arg)
{
	const struct kvm_clear_dirty_log *log = arg;
	unsigned long *buf;
	int err;

	if (log->first_page % BITS_PER_LONG)
		return -EINVAL;
	buf = (unsigned long *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	mutex_lock(&vm->slots_lock);
	err = clear_log(vm, log, buf);
	mutex_unlock(&vm->slots_lock);
	free_page((unsigned long)buf);
	return err;
}

/**
 * dirty_log_enable_manual - KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2
 * @vm: the VM
 * @cap: args[0] has the options; the second needs the first
 *
 * Return: 0 or -EINVAL.
 */
int dirty_log_enable_manual(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed = MANUAL_CAPS;
	if (cap->flags || (cap->args[0] & ~allowed))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->mmu.manual_dirty = cap->args[0];
	mutex_unlock(&vm->slots_lock);
	return 0;
}
