// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls and capabilities of a vCPU's state and of the clocks. */
#include <linux/kvm.h>
#include <linux/sched/stat.h>
#include <linux/uaccess.h>

#include "cpuid.h"
#include "msr.h"
#include "msr_filter.h"
#include "regs.h"
#include "vmm.h"

/* Three pages for the task-state segment that VMX without unrestricted guest needs. */
static long set_tss_addr(struct okvm_vm *vm, void *arg)
{
	unsigned long addr = (unsigned long)arg;

	if (addr > (u32)(-3 * (int)PAGE_SIZE))
		return -EINVAL;
	mutex_lock(&vm->lock);
	vm->tss_addr = addr;
	mutex_unlock(&vm->lock);
	return 0;
}

/* Where the identity map is unless user space says: below the APIC's page and the BIOS's. */
#define DEFAULT_IDENTITY_MAP 0xfffbc000ul

static long set_identity_map_addr(struct okvm_vm *vm, void *arg)
{
	u64 addr = *(u64 *)arg;
	long r = -EINVAL;

	mutex_lock(&vm->lock);
	if (!vm->created_vcpus) {
		vm->identity_map_addr = addr ?: DEFAULT_IDENTITY_MAP;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static int check_sys_attr(const struct kvm_device_attr *attr)
{
	if (attr->group || attr->flags)
		return -ENXIO;
	return attr->attr == KVM_X86_XCOMP_GUEST_SUPP ? 0 : -ENXIO;
}

static long sys_has_attr(void *arg)
{
	return check_sys_attr(arg);
}

/* The state components that a guest can have. */
static long sys_get_attr(void *arg)
{
	const struct kvm_device_attr *attr = arg;
	int err = check_sys_attr(attr);

	return err ?: put_user(okvm_hw.supported_xcr0, (u64 __user *)(unsigned long)attr->addr);
}

const struct okvm_ioctl okvm_state_dev_ioctls[] = {
	{ KVM_GET_SUPPORTED_CPUID, ARG_USER, .dev = okvm_get_supported_cpuid },
	{ KVM_GET_EMULATED_CPUID, ARG_USER, .dev = okvm_get_emulated_cpuid },
	{ KVM_GET_MSR_INDEX_LIST, ARG_USER, .dev = okvm_get_msr_index_list },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST, ARG_USER, .dev = okvm_get_msr_feature_list },
	{ KVM_GET_MSRS, ARG_USER, .dev = okvm_get_feature_msrs },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, .dev = okvm_get_mce_cap_supported },
	{ KVM_HAS_DEVICE_ATTR, .dev = sys_has_attr },
	{ KVM_GET_DEVICE_ATTR, .dev = sys_get_attr },
	{ }
};

const struct okvm_ioctl okvm_state_vm_ioctls[] = {
	{ KVM_SET_TSS_ADDR, .vm = set_tss_addr },
	{ KVM_SET_IDENTITY_MAP_ADDR, .vm = set_identity_map_addr },
	{ KVM_GET_CLOCK, .vm = okvm_get_clock },
	{ KVM_SET_CLOCK, .vm = okvm_set_clock },
	{ KVM_GET_TSC_KHZ, .vm = okvm_vm_get_tsc_khz },
	{ KVM_SET_TSC_KHZ, .vm = okvm_vm_set_tsc_khz },
	{ KVM_X86_SET_MSR_FILTER, .vm = okvm_set_msr_filter },
	{ }
};

const struct okvm_ioctl okvm_state_vcpu_ioctls[] = {
	{ KVM_GET_REGS, .vcpu = okvm_get_regs },
	{ KVM_SET_REGS, .vcpu = okvm_set_regs },
	{ KVM_GET_SREGS, .vcpu = okvm_get_sregs },
	{ KVM_SET_SREGS, .vcpu = okvm_set_sregs },
	{ KVM_GET_SREGS2, .vcpu = okvm_get_sregs2 },
	{ KVM_SET_SREGS2, .vcpu = okvm_set_sregs2 },
	{ KVM_GET_FPU, .vcpu = okvm_get_fpu },
	{ KVM_SET_FPU, .vcpu = okvm_set_fpu },
	{ KVM_GET_XSAVE, .vcpu = okvm_get_xsave },
	{ KVM_GET_XSAVE2, ARG_USER, .vcpu = okvm_get_xsave2 },
	{ KVM_SET_XSAVE, ARG_USER, .vcpu = okvm_set_xsave },
	{ KVM_GET_XCRS, .vcpu = okvm_get_xcrs },
	{ KVM_SET_XCRS, .vcpu = okvm_set_xcrs },
	{ KVM_GET_DEBUGREGS, .vcpu = okvm_get_debugregs },
	{ KVM_SET_DEBUGREGS, .vcpu = okvm_set_debugregs },
	{ KVM_SET_GUEST_DEBUG, .vcpu = okvm_set_guest_debug },
	{ KVM_GET_VCPU_EVENTS, .vcpu = okvm_get_events },
	{ KVM_SET_VCPU_EVENTS, .vcpu = okvm_set_events },
	{ KVM_GET_MP_STATE, .vcpu = okvm_get_mp_state },
	{ KVM_SET_MP_STATE, .vcpu = okvm_set_mp_state },
	{ KVM_SET_CPUID, ARG_USER, .vcpu = okvm_set_cpuid },
	{ KVM_SET_CPUID2, ARG_USER, .vcpu = okvm_set_cpuid2 },
	{ KVM_GET_CPUID2, ARG_USER, .vcpu = okvm_get_cpuid2 },
	{ KVM_GET_MSRS, ARG_USER, .vcpu = okvm_get_msrs },
	{ KVM_SET_MSRS, ARG_USER, .vcpu = okvm_set_msrs },
	{ KVM_X86_SETUP_MCE, .vcpu = okvm_setup_mce },
	{ KVM_X86_SET_MCE, .vcpu = okvm_set_mce },
	{ KVM_GET_TSC_KHZ, .vcpu = okvm_get_tsc_khz },
	{ KVM_SET_TSC_KHZ, .vcpu = okvm_set_tsc_khz },
	{ KVM_KVMCLOCK_CTRL, .vcpu = okvm_kvmclock_ctrl },
	{ KVM_SET_DEVICE_ATTR, .vcpu = okvm_vcpu_set_attr },
	{ KVM_GET_DEVICE_ATTR, .vcpu = okvm_vcpu_get_attr },
	{ KVM_HAS_DEVICE_ATTR, .vcpu = okvm_vcpu_has_attr },
	{ }
};

static int has_tsc_control(struct okvm_vm *vm)
{
	return okvm_hw.tsc_scaling;
}

static int has_xcrs(struct okvm_vm *vm)
{
	return boot_cpu_has(X86_FEATURE_XSAVE);
}

static int has_steal_time(struct okvm_vm *vm)
{
	return sched_info_on();
}

/* At least struct kvm_xsave's own size; larger only with features that need permission. */
static int xsave2_size(struct okvm_vm *vm)
{
	return sizeof(struct kvm_xsave);
}

static int enforce_pv(struct okvm_vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	vcpu->cpuid.enforce_pv = cap->args[0];
	okvm_cpuid_update_pv(vcpu);
	return 0;
}

/* A switch of the VM's: args[0] says on or off. */
static int set_switch(bool *place, bool value)
{
	WRITE_ONCE(*place, value);
	return 0;
}

static int enable_payload(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_switch(&vm->clock.exception_payload, cap->args[0]);
}

static int enable_triple_fault(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_switch(&vm->clock.triple_fault_event, cap->args[0]);
}

static int enable_platform_info(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_switch(&vm->clock.hide_platform_info, !cap->args[0]);
}

const struct okvm_cap okvm_state_caps[] = {
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1, .enable_vcpu = enforce_pv },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_INTR_SHADOW, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1, .enable = enable_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, .enable = enable_triple_fault },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1, .enable = enable_platform_info },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1, .enable = okvm_enable_user_msrs },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, OKVM_GUESTDBG_VALID },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XSAVE2, .check = xsave2_size },
	{ KVM_CAP_XCRS, .check = has_xcrs },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_MCE, OKVM_MCE_BANKS },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_ADJUST_CLOCK,
	  KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_TSC_CONTROL, .check = has_tsc_control },
	{ KVM_CAP_VM_TSC_CONTROL, .check = has_tsc_control },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_STEAL_TIME, .check = has_steal_time },
	{ }
};
