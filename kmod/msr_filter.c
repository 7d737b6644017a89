// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's RDMSR and WRMSR: what user space allows it, and what user space does itself. Accesses
 * by ioctls, and those that other instructions imply, are not held against the filter.
 */
#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/apicdef.h>

#include "msr_filter.h"
#include "vmm.h"

#define EXIT_REASONS	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
			 KVM_MSR_EXIT_REASON_FILTER)
#define X2APIC_MSRS	0x100

struct msr_range {
	u32 flags, base, n;
	unsigned long *allowed;
};

/* Never changes; vCPUs find it by RCU. */
struct okvm_msr_filter {
	bool allow;			/* what no range has */
	u32 n;
	struct msr_range ranges[KVM_MSR_FILTER_MAX_RANGES];
};

static void free_filter(struct okvm_msr_filter *filter)
{
	if (!filter)
		return;
	while (filter->n)
		kfree(filter->ranges[--filter->n].allowed);
	kfree(filter);
}

static int copy_range(struct okvm_msr_filter *filter, const struct kvm_msr_filter_range *range)
{
	size_t size = BITS_TO_LONGS((u64)range->nmsrs) * sizeof(long);
	struct msr_range *new = &filter->ranges[filter->n];

	if (!range->nmsrs)
		return 0;
	if (!range->flags || range->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE) ||
	    size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	new->allowed = memdup_user((void __user *)range->bitmap, size);
	if (IS_ERR(new->allowed))
		return PTR_ERR(new->allowed);
	new->flags = range->flags;
	new->base = range->base;
	new->n = range->nmsrs;
	filter->n++;
	return 0;
}

static struct okvm_msr_filter *make_filter(const struct kvm_msr_filter *from)
{
	struct okvm_msr_filter *filter;
	int i, err;

	if (from->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(-EINVAL);
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->allow = !(from->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
		err = copy_range(filter, &from->ranges[i]);
		if (err)
			goto fail;
	}
	/* Not even one allowed: a mistake. */
	err = -EINVAL;
	if (filter->n || filter->allow)
		return filter;
fail:
	free_filter(filter);
	return ERR_PTR(err);
}

/**
 * okvm_set_msr_filter - KVM_X86_SET_MSR_FILTER
 * @vm: the VM
 * @arg: struct kvm_msr_filter
 *
 * KVM API document, 4.126. vCPUs obey from their next access on when it returns.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: unknown flags, a range without flags or with too large a bitmap, nothing
 * allowed; -EFAULT; -ENOMEM. The former filter stays then.
 */
long okvm_set_msr_filter(struct okvm_vm *vm, void *arg)
{
	struct okvm_msr_filter *filter = make_filter(arg), *old;

	if (IS_ERR(filter))
		return PTR_ERR(filter);
	mutex_lock(&vm->lock);
	old = rcu_replace_pointer(vm->msr_filter, filter, lockdep_is_held(&vm->lock));
	okvm_request_all_wait(vm, REQ_MSR_FILTER);
	mutex_unlock(&vm->lock);
	if (old)
		synchronize_rcu_expedited();
	free_filter(old);
	return 0;
}

/** okvm_msr_filter_free - a dying VM's filter; nobody looks at it */
void okvm_msr_filter_free(struct okvm_vm *vm)
{
	free_filter(rcu_dereference_protected(vm->msr_filter, true));
}

/**
 * okvm_enable_user_msrs - KVM_CAP_X86_USER_SPACE_MSR
 * @vm: the VM
 * @cap: args[0]: KVM_MSR_EXIT_REASON_*: which failing accesses user space wants to see
 *
 * Return: 0 or -EINVAL.
 */
int okvm_enable_user_msrs(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(u64)EXIT_REASONS)
		return -EINVAL;
	WRITE_ONCE(vm->user_msr_reasons, cap->args[0]);
	return 0;
}

static bool filter_allows(const struct okvm_msr_filter *filter, u32 index, u32 access)
{
	const struct msr_range *range;

	/* The first range that has it decides. */
	for (range = filter->ranges; range < filter->ranges + filter->n; range++)
		if (range->flags & access && index >= range->base &&
		    index - range->base < range->n)
			return test_bit(index - range->base, range->allowed);
	return filter->allow;
}

static bool allowed(struct okvm_vcpu *vcpu, u32 index, u32 access)
{
	const struct okvm_msr_filter *filter;
	bool yes;

	if (likely(!rcu_access_pointer(vcpu->vm->msr_filter)))
		return true;
	/* The local APIC's registers are not subject to it. */
	if (index - APIC_BASE_MSR < X2APIC_MSRS)
		return true;
	rcu_read_lock();
	filter = rcu_dereference(vcpu->vm->msr_filter);
	yes = filter_allows(filter, index, access);
	rcu_read_unlock();
	return yes;
}

/**
 * okvm_msr_is_filtered - must the guest's accesses exit, because some of them are denied?
 * @vcpu: the vCPU
 * @index: a MSR that the guest could have without exits
 */
bool okvm_msr_is_filtered(struct okvm_vcpu *vcpu, u32 index)
{
	return !allowed(vcpu, index, KVM_MSR_FILTER_READ) ||
	       !allowed(vcpu, index, KVM_MSR_FILTER_WRITE);
}

static int complete_wrmsr(struct okvm_vcpu *vcpu)
{
	return okvm_complete_fault(vcpu, READ_ONCE(vcpu->run->msr.error));
}

static int complete_rdmsr(struct okvm_vcpu *vcpu)
{
	bool error = READ_ONCE(vcpu->run->msr.error);
	u64 data = READ_ONCE(vcpu->run->msr.data);

	if (!error) {
		okvm_reg_set(vcpu, REG_RAX, (u32)data);
		okvm_reg_set(vcpu, REG_RDX, data >> 32);
	}
	return okvm_complete_fault(vcpu, error);
}

/* An access has failed for @reason: the guest gets #GP(0), unless user space wants to have it. */
static int failed(struct okvm_vcpu *vcpu, int reason, u32 exit_reason, u32 index, u64 data)
{
	struct kvm_run *run = vcpu->run;

	if (reason <= 0)
		return reason;
	if (!(READ_ONCE(vcpu->vm->user_msr_reasons) & reason))
		return MSR_FAULTS;
	run->exit_reason = exit_reason;
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = index;
	run->msr.data = data;
	vcpu->complete = exit_reason == KVM_EXIT_X86_RDMSR ? complete_rdmsr : complete_wrmsr;
	return MSR_IN_USER;
}

/**
 * okvm_guest_rdmsr - the guest executes RDMSR
 * @vcpu: the vCPU, loaded; RIP is at the instruction
 * @index: which
 * @data: where to
 *
 * Return: MSR_DONE; MSR_FAULTS: it gets #GP(0); MSR_IN_USER: kvm_run is filled, and the next
 * KVM_RUN ends the instruction; or a negative errno.
 */
int okvm_guest_rdmsr(struct okvm_vcpu *vcpu, u32 index, u64 *data)
{
	int reason = KVM_MSR_EXIT_REASON_FILTER;

	if (allowed(vcpu, index, KVM_MSR_FILTER_READ))
		reason = okvm_get_msr(vcpu, index, data, false);
	return failed(vcpu, reason, KVM_EXIT_X86_RDMSR, index, 0);
}

/** okvm_guest_wrmsr - the guest executes WRMSR; as okvm_guest_rdmsr() */
int okvm_guest_wrmsr(struct okvm_vcpu *vcpu, u32 index, u64 data)
{
	int reason = KVM_MSR_EXIT_REASON_FILTER;

	if (allowed(vcpu, index, KVM_MSR_FILTER_WRITE))
		reason = okvm_set_msr(vcpu, index, data, false);
	return failed(vcpu, reason, KVM_EXIT_X86_WRMSR, index, data);
}
