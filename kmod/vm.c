// SPDX-License-Identifier: GPL-2.0-only
/* A VM's life: from KVM_CREATE_VM until the last of its fds is closed. */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "dev.h"
#include "msr_filter.h"
#include "vcpu.h"
#include "vm.h"
#include "vmm.h"

static LIST_HEAD(all_vms);
static DEFINE_MUTEX(all_vms_lock);

/**
 * okvm_for_each_vm - call @fn for every VM
 * @fn: what to call; it must not create or destroy VMs
 * @arg: its second argument
 *
 * Context: may sleep; takes the mutex of the list of VMs.
 */
void okvm_for_each_vm(void (*fn)(struct okvm_vm *vm, void *arg), void *arg)
{
	struct okvm_vm *vm;

	mutex_lock(&all_vms_lock);
	list_for_each_entry(vm, &all_vms, node)
		fn(vm, arg);
	mutex_unlock(&all_vms_lock);
}

/*
 * Nobody can reach the VM any more but what it registered elsewhere: eventfds, timers, the MMU
 * notifier. Those are stopped first, so that vCPUs and tables are freed with no reader left.
 */
static void vm_destroy(struct okvm_vm *vm)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	mutex_lock(&all_vms_lock);
	list_del(&vm->node);
	okvm_for_each_vcpu(i, vcpu, vm)
		okvm_stats_retire(vcpu);
	mutex_unlock(&all_vms_lock);

	okvm_irqchip_vm_release(vm);
	okvm_mmu_vm_release(vm);
	okvm_vcpus_destroy(vm);
	okvm_irqchip_vm_destroy(vm);
	okvm_mmu_vm_destroy(vm);
	okvm_pv_vm_destroy(vm);
	if (okvm_backend->vm_destroy)
		okvm_backend->vm_destroy(vm);
	okvm_msr_filter_free(vm);
	xa_destroy(&vm->vcpus);
	mmdrop(vm->mm);
	kfree(vm);
}

/**
 * okvm_vm_put - drop one fd's reference
 * @vm: the VM; freed with the last
 *
 * Context: may sleep.
 */
void okvm_vm_put(struct okvm_vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		vm_destroy(vm);
}

static int vm_init_parts(struct okvm_vm *vm)
{
	int err;

	if (okvm_backend->vm_create) {
		err = okvm_backend->vm_create(vm);
		if (err)
			return err;
	}
	err = okvm_irqchip_vm_create(vm);
	if (err)
		goto backend;
	okvm_pv_vm_create(vm);
	err = okvm_mmu_vm_create(vm);
	if (err)
		goto irqchip;
	return 0;

irqchip:
	okvm_pv_vm_destroy(vm);
	okvm_irqchip_vm_destroy(vm);
backend:
	if (okvm_backend->vm_destroy)
		okvm_backend->vm_destroy(vm);
	return err;
}

/**
 * okvm_vm_create - KVM_CREATE_VM
 * @type: the machine type: 0 is the only one
 *
 * Context: may sleep; no grace period and no cross-CPU call.
 * Return: a new fd, -EINVAL for an unknown type, -ENOMEM, -EMFILE.
 */
long okvm_vm_create(void *type)
{
	struct okvm_vm *vm;
	int r;

	if (type)
		return -EINVAL;
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	refcount_set(&vm->users, 1);
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	xa_init(&vm->vcpus);
	vm->mm = current->mm;
	vm->creator = task_pid_nr(current);
	mmgrab(vm->mm);

	r = vm_init_parts(vm);
	if (r) {
		mmdrop(vm->mm);
		kfree(vm);
		return r;
	}
	mutex_lock(&all_vms_lock);
	list_add(&vm->node, &all_vms);
	mutex_unlock(&all_vms_lock);

	r = okvm_vm_fd(vm);
	if (r < 0)
		okvm_vm_put(vm);
	return r;
}

/**
 * okvm_set_boot_cpu_id - KVM_SET_BOOT_CPU_ID: which vCPU starts by itself
 * @vm: the VM
 * @id: the vCPU's id
 *
 * Return: 0, or -EBUSY once a vCPU exists.
 */
long okvm_set_boot_cpu_id(struct okvm_vm *vm, void *id)
{
	int r = -EBUSY;

	mutex_lock(&vm->lock);
	if (!vm->created_vcpus) {
		vm->bsp_id = (unsigned long)id;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static int cap_nr_vcpus(struct okvm_vm *vm)
{
	return min_t(int, num_online_cpus(), OKVM_MAX_VCPUS);
}

/* What KVM does unlike the hardware, of old; user space may have the hardware's way. */
#define QUIRKS (KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE | \
		KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
		KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

static int disable_quirks(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	WRITE_ONCE(vm->disabled_quirks, cap->args[0]);
	return 0;
}

static int disable_quirks2(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	return cap->args[0] & ~(u64)QUIRKS ? -EINVAL : disable_quirks(vm, cap);
}

/* An MWAIT that waits as it should, and that the APIC timer ends. */
static bool cpu_has_mwait(void)
{
	return boot_cpu_has(X86_FEATURE_MWAIT) && boot_cpu_has(X86_FEATURE_ARAT) &&
	       !boot_cpu_has_bug(X86_BUG_MONITOR);
}

static int cap_disable_exits(struct okvm_vm *vm)
{
	return KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |
	       KVM_X86_DISABLE_EXITS_CSTATE |
	       (cpu_has_mwait() ? KVM_X86_DISABLE_EXITS_MWAIT : 0);
}

/* vCPUs are made with what is asked for until then. */
static int disable_exits(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	int r = -EINVAL;

	if (cap->args[0] & ~(u64)cap_disable_exits(vm))
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (!vm->created_vcpus) {
		vm->disabled_exits |= cap->args[0];
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/* Once: ids at or above it are refused, and nothing need be set aside for them. */
static int limit_vcpu_ids(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	int r = -EINVAL;

	if (cap->args[0] > OKVM_MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (!vm->max_vcpu_id || vm->max_vcpu_id == cap->args[0]) {
		vm->max_vcpu_id = cap->args[0];
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static int exit_on_emulation_failure(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~1ull)
		return -EINVAL;
	WRITE_ONCE(vm->exit_on_emulation_failure, cap->args[0]);
	return 0;
}

const struct okvm_cap okvm_vm_caps[] = {
	{ KVM_CAP_NR_VCPUS, .check = cap_nr_vcpus },
	{ KVM_CAP_MAX_VCPUS, OKVM_MAX_VCPUS },
	{ KVM_CAP_MAX_VCPU_ID, OKVM_MAX_VCPU_ID, .enable = limit_vcpu_ids },
	{ KVM_CAP_DISABLE_QUIRKS, 1, .enable = disable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2, QUIRKS, .enable = disable_quirks2 },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, .enable = exit_on_emulation_failure },
	{ KVM_CAP_X86_DISABLE_EXITS, .check = cap_disable_exits, .enable = disable_exits },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ }
};
