// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steal time: a page for each vCPU that tells how long its thread had to wait for a CPU, and
 * whether it waits now. Other vCPUs need not spin for one that waits, nor send it TLB flushes: they
 * leave word in the page, which is looked at before the vCPU enters the guest again.
 */
#include <linux/kvm_para.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/uaccess.h>

#include "mmu/memslot.h"
#include "mmu/notifier.h"
#include "vmm.h"

static gpa_t page_of(const struct okvm_vcpu *vcpu)
{
	return vcpu->pv.steal_msr & KVM_STEAL_VALID_BITS;
}

/**
 * okvm_set_steal_time - MSR_KVM_STEAL_TIME: where the page is
 * @vcpu: the vCPU
 * @data: its address, 64-byte aligned; bit 0: enabled
 *
 * Return: 0, or 1 for #GP(0): reserved bits, or a host that does not measure it.
 */
int okvm_set_steal_time(struct okvm_vcpu *vcpu, u64 data)
{
	if (data & KVM_STEAL_RESERVED_MASK || (data && !sched_info_on()))
		return 1;
	vcpu->pv.steal_msr = data;
	vcpu->pv.steal_preempted = false;
	if (data & KVM_MSR_ENABLED) {
		vcpu->pv.steal_last = current->sched_info.run_delay;
		okvm_request(vcpu, REQ_STEAL_UPDATE);
	}
	return 0;
}

/* Take the page's "preempted" byte back: what other vCPUs left in it meanwhile is to be done. */
static void clear_preempted(struct okvm_vcpu *vcpu)
{
	gpa_t gpa = page_of(vcpu) + offsetof(struct kvm_steal_time, preempted);
	u8 old = KVM_VCPU_PREEMPTED, none = 0;
	int r;

	do {
		r = okvm_cmpxchg_guest(vcpu, gpa, &old, &none, sizeof(none));
	} while (r == 1);
	vcpu->pv.steal_preempted = false;
	if (!r && old & KVM_VCPU_FLUSH_TLB)
		okvm_request(vcpu, REQ_TLB_FLUSH_GUEST);
}

/**
 * okvm_steal_run - KVM_RUN begins: what the thread waited for while in user space counts too
 * @vcpu: the vCPU
 */
void okvm_steal_run(struct okvm_vcpu *vcpu)
{
	if (vcpu->pv.steal_msr & KVM_MSR_ENABLED &&
	    current->sched_info.run_delay != vcpu->pv.steal_last)
		okvm_request(vcpu, REQ_STEAL_UPDATE);
}

static void account(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	gpa_t version_gpa = gpa + offsetof(struct kvm_steal_time, version);
	u64 delay = current->sched_info.run_delay;
	struct kvm_steal_time steal;

	if (okvm_read_guest(vcpu, gpa, &steal, offsetofend(struct kvm_steal_time, version)))
		return;
	clear_preempted(vcpu);
	steal.version = (steal.version + 1) | 1;
	if (okvm_write_guest(vcpu, version_gpa, &steal.version, sizeof(steal.version)))
		return;
	smp_wmb();
	/* Another thread may run the vCPU now: its own delay counts from here. */
	if (delay > vcpu->pv.steal_last)
		steal.steal += delay - vcpu->pv.steal_last;
	vcpu->pv.steal_last = delay;
	okvm_write_guest(vcpu, gpa, &steal.steal, sizeof(steal.steal));
	smp_wmb();
	steal.version++;
	okvm_write_guest(vcpu, version_gpa, &steal.version, sizeof(steal.version));
}

/**
 * okvm_steal_update - account for the time waited, before the vCPU enters the guest
 * @vcpu: the vCPU
 *
 * Context: vCPU thread; may sleep. Pages that are not in guest memory are left alone.
 */
void okvm_steal_update(struct okvm_vcpu *vcpu)
{
	if (!(vcpu->pv.steal_msr & KVM_MSR_ENABLED))
		return;
	/* Once for all accesses: they nest. */
	okvm_slots_begin(vcpu);
	account(vcpu, page_of(vcpu));
	okvm_slots_end(vcpu);
}

/*
 * One byte of guest memory, written without sleeping or waking anybody: the run queue's lock is
 * held. The slots are kept in place by the lock that their writer takes, if it is free.
 */
static bool poke(struct okvm_vcpu *vcpu, gpa_t gpa, u8 value)
{
	struct mm_link *link = vcpu->vm->mmu.link;
	struct okvm_slot *slot;
	unsigned int hint = 0;
	bool done = false;
	void __user *to;

	if (!read_trylock(&link->lock))
		return false;
	slot = slots_find(vcpu->vm->mmu.slots, gpa >> PAGE_SHIFT, &hint);
	if (slot && memslot_may_write(vcpu, slot, 1) &&
	    !okvm_shadow_watches(vcpu->vm, gpa >> PAGE_SHIFT)) {
		to = (void __user *)(slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
		done = !copy_to_user_nofault(to, &value, sizeof(value));
		if (done)
			memslot_mark_dirty(vcpu, slot, gpa >> PAGE_SHIFT);
	}
	read_unlock(&link->lock);
	return done;
}

/**
 * okvm_steal_preempted - the vCPU's thread loses its CPU: say so in the page
 * @vcpu: the vCPU
 *
 * The page is read back before the next entry: word that is left in it is never missed. When it
 * cannot be written now, the guest believes that the vCPU runs, which is only slower.
 *
 * Context: the scheduler's, in the vCPU's thread; no sleep, no wake-up.
 */
void okvm_steal_preempted(struct okvm_vcpu *vcpu)
{
	gpa_t gpa = page_of(vcpu) + offsetof(struct kvm_steal_time, preempted);

	if (!(vcpu->pv.steal_msr & KVM_MSR_ENABLED) || vcpu->pv.steal_preempted)
		return;
	okvm_request(vcpu, REQ_STEAL_UPDATE);
	vcpu->pv.steal_preempted = poke(vcpu, gpa, KVM_VCPU_PREEMPTED);
}
