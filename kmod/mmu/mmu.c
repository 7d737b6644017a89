// SPDX-License-Identifier: GPL-2.0-only
/* The MMU's life with the module, a VM and a vCPU, and its ioctls and capabilities. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mem_encrypt.h>
#include <linux/mmu_notifier.h>
#include <linux/printk.h>
#include <asm/msr.h>

#include "mmu/dirty.h"
#include "mmu/memslot.h"
#include "mmu/shadow.h"

/**
 * okvm_mmu_setup - at module load, when the backend is set up
 *
 * Return: 0.
 */
int __init okvm_mmu_setup(void)
{
	u64 host_pat;

	/* What user space can read there is what is in use. */
	okvm_want_tdp = okvm_hw.tdp;
	if (!okvm_hw.tdp) {
		/* The tree is for our eyes only: page by page, as the shadow tables map it. */
		okvm_hw.max_leaf_level = LEVEL_4K;
		okvm_hw.tdp_levels = 4;
	}
	if (okvm_hw.ept) {
		rdmsrl(MSR_IA32_CR_PAT, host_pat);
		ept_format(&tdp_format, host_pat, okvm_hw.ept_ad, okvm_hw.nx_huge_pages);
	} else {
		tdp_format = npt_format;
	}
	tdp_format.addr &= ~sme_me_mask;
	tdp_format.encrypt = sme_me_mask;
	fault_setup();
	return 0;
}

/** okvm_mmu_unsetup - at module unload: no callback of ours runs after this */
void okvm_mmu_unsetup(void)
{
	mmu_notifier_synchronize();
}

/**
 * okvm_mmu_vm_create - a new VM's part
 * @vm: the VM; vm->mm is set
 *
 * Context: may sleep; no grace period, nothing allocated but a small struct.
 * Return: 0, -ENOMEM, -EINTR.
 */
int okvm_mmu_vm_create(struct okvm_vm *vm)
{
	int err;

	if (!okvm_hw.tdp && shadow_create(vm))
		return -ENOMEM;
	memslots_create(vm);
	vm->mmu.pml = okvm_hw.pml;
	err = mm_link_create(vm);
	if (err)
		shadow_destroy(vm);
	return err;
}

/**
 * okvm_mmu_vm_release - stop the notifier and free all tables
 * @vm: the VM; no vCPU runs it again
 *
 * Context: may sleep; in steps.
 */
void okvm_mmu_vm_release(struct okvm_vm *vm)
{
	mm_link_release(vm);
	shadow_destroy(vm);
	tdp_free_all(vm);
	mm_link_put(vm);
}

/**
 * okvm_mmu_vm_destroy - free the slots
 * @vm: the VM, after okvm_mmu_vm_release()
 */
void okvm_mmu_vm_destroy(struct okvm_vm *vm)
{
	memslots_destroy(vm);
}

/** okvm_mmu_pages - pages that a VM's second-level tables take now */
long okvm_mmu_pages(struct okvm_vm *vm)
{
	return atomic_long_read(&vm->mmu.link->pages);
}

/**
 * okvm_mmu_load - give a vCPU its second-level root
 * @vcpu: the vCPU, loaded; on REQ_MMU_RELOAD
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int okvm_mmu_load(struct okvm_vcpu *vcpu)
{
	int err = tdp_make_root(vcpu->vm);

	if (!err && !okvm_hw.tdp)
		err = shadow_load(vcpu);
	if (err)
		okvm_request(vcpu, REQ_MMU_RELOAD);
	if (err || !okvm_hw.tdp)
		return err;
	vcpu->mmu.root = READ_ONCE(vcpu->vm->mmu.root);
	okvm_backend->set_root(vcpu, vcpu->mmu.root | tdp_format.encrypt);
	return 0;
}

/**
 * okvm_mmu_vcpu_reset - the vCPU was reset, or its paging mode changed
 * @vcpu: the vCPU, loaded
 *
 * With nested paging the mode makes no difference to the root; a reset control block needs it anew.
 * Shadow tables are the mode's.
 */
void okvm_mmu_vcpu_reset(struct okvm_vcpu *vcpu)
{
	okvm_request(vcpu, REQ_MMU_RELOAD);
}

/** okvm_mmu_new_cr3 - the guest's root is another one, or its four pointers are */
void okvm_mmu_new_cr3(struct okvm_vcpu *vcpu)
{
	if (!okvm_hw.tdp)
		okvm_request(vcpu, REQ_MMU_RELOAD);
}

/** okvm_mmu_vcpu_create - a new vCPU's part; 0 or -ENOMEM */
int okvm_mmu_vcpu_create(struct okvm_vcpu *vcpu)
{
	if (vcpu->vm->mmu.pml)
		okvm_request(vcpu, REQ_DIRTY_LOG);
	return dirty_ring_create(vcpu);
}

/** okvm_mmu_vcpu_free - the end of a vCPU, whether or not it ever ran */
void okvm_mmu_vcpu_free(struct okvm_vcpu *vcpu)
{
	struct okvm_vcpu_mmu *mmu = &vcpu->mmu;

	while (mmu->nr_tables)
		free_page((unsigned long)mmu->tables[--mmu->nr_tables]);
	shadow_vcpu_free(vcpu);
	dirty_ring_free(vcpu);
}

/*
 * KVM_TRANSLATE: KVM API document, 4.11. The walk is a supervisor read by the vCPU as it stands;
 * KVM tells no rights, and so neither do we.
 */
static long translate(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_translation *tr = arg;
	struct okvm_walk_fault fault;
	gpa_t gpa;
	int r;

	r = okvm_translate(vcpu, tr->linear_address, ACCESS_READ, &gpa, &fault);
	if (r < 0)
		return r;
	tr->valid = !r;
	tr->physical_address = r ? ~0ULL : gpa;
	tr->writeable = 1;
	tr->usermode = 0;
	return 0;
}

/* KVM_SET_NR_MMU_PAGES: KVM API document, 4.44. Two-dimensional paging needs no shadow pages. */
static long set_shadow_pages(struct okvm_vm *vm, void *arg)
{
	unsigned long n = (unsigned long)arg;

	if ((u32)n < MIN_SHADOW_PAGES)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	WRITE_ONCE(vm->mmu.shadow_pages, n);
	mutex_unlock(&vm->slots_lock);
	if (vm->mmu.shadow)
		shadow_reclaim(vm, shadow_limit(vm));
	return 0;
}

static long get_shadow_pages(struct okvm_vm *vm, void *arg)
{
	return shadow_limit(vm);
}

const struct okvm_ioctl okvm_mmu_vm_ioctls[] = {
	{ KVM_SET_USER_MEMORY_REGION, .vm = memslot_set },
	{ KVM_GET_DIRTY_LOG, .vm = dirty_log_get },
	{ KVM_CLEAR_DIRTY_LOG, .vm = dirty_log_clear },
	{ KVM_RESET_DIRTY_RINGS, .vm = dirty_ring_reset },
	{ KVM_SET_NR_MMU_PAGES, .vm = set_shadow_pages },
	{ KVM_GET_NR_MMU_PAGES, .vm = get_shadow_pages },
	{ }
};

const struct okvm_ioctl okvm_mmu_vcpu_ioctls[] = {
	{ KVM_TRANSLATE, .vcpu = translate },
	{ }
};

const struct okvm_cap okvm_mmu_caps[] = {
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_NR_MEMSLOTS, MAX_SLOTS },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MANUAL_CAPS, .enable = dirty_log_enable_manual },
	{ KVM_CAP_DIRTY_LOG_RING, .check = dirty_ring_max, .enable = dirty_ring_enable },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .check = dirty_ring_max, .enable = dirty_ring_enable },
	{ }
};
