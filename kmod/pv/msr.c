// SPDX-License-Identifier: GPL-2.0-only
/* MSR_KVM_*: Documentation/virt/kvm/x86/msr.rst in the kernel's tree. */
#include <linux/kvm_para.h>

#include "vmm.h"

static const struct {
	u32 index;
	u8 feature;
} features[] = {
	{ MSR_KVM_WALL_CLOCK, KVM_FEATURE_CLOCKSOURCE },
	{ MSR_KVM_SYSTEM_TIME, KVM_FEATURE_CLOCKSOURCE },
	{ MSR_KVM_WALL_CLOCK_NEW, KVM_FEATURE_CLOCKSOURCE2 },
	{ MSR_KVM_SYSTEM_TIME_NEW, KVM_FEATURE_CLOCKSOURCE2 },
	{ MSR_KVM_STEAL_TIME, KVM_FEATURE_STEAL_TIME },
	{ MSR_KVM_PV_EOI_EN, KVM_FEATURE_PV_EOI },
	{ MSR_KVM_POLL_CONTROL, KVM_FEATURE_POLL_CONTROL },
};

static bool allowed(struct okvm_vcpu *vcpu, u32 index)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].index == index)
			return guest_pv_has(vcpu, features[i].feature);
	return false;
}

/**
 * okvm_pv_get_msr - read a paravirtual MSR
 * @vcpu: the vCPU
 * @index: which
 * @data: where to
 * @host: for an ioctl; the guest's features limit both
 *
 * Return: 0, or 1 for #GP(0).
 */
int okvm_pv_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!allowed(vcpu, index))
		return 1;
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*data = vcpu->vm->clock.wall_clock_msr;
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*data = vcpu->pv.clock_msr;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*data = vcpu->pv.steal_msr;
		return 0;
	case MSR_KVM_PV_EOI_EN:
		*data = vcpu->lapic ? okvm_pv_eoi_get(vcpu) : 0;
		return 0;
	case MSR_KVM_POLL_CONTROL:
		*data = vcpu->pv.poll_control;
		return 0;
	}
	return 1;
}

static int set_poll_control(struct okvm_vcpu *vcpu, u64 data)
{
	if (data & ~1ull)
		return 1;
	vcpu->pv.poll_control = data;
	return 0;
}

/**
 * okvm_pv_set_msr - write a paravirtual MSR
 * @vcpu: the vCPU, loaded
 * @index: which
 * @data: the value
 * @host: for an ioctl; the guest's features limit both
 *
 * Context: vCPU thread; may sleep. Return: 0, or 1 for #GP(0).
 */
int okvm_pv_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!allowed(vcpu, index))
		return 1;
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		return okvm_set_wall_clock(vcpu, data);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		return okvm_set_system_time(vcpu, data);
	case MSR_KVM_STEAL_TIME:
		return okvm_set_steal_time(vcpu, data);
	case MSR_KVM_PV_EOI_EN:
		if (!vcpu->lapic)
			return data ? 1 : 0;
		return okvm_pv_eoi_set(vcpu, data);
	case MSR_KVM_POLL_CONTROL:
		return set_poll_control(vcpu, data);
	}
	return 1;
}

/**
 * okvm_pv_reset - no paravirtual page is in use after power-up
 * @vcpu: the vCPU
 */
void okvm_pv_reset(struct okvm_vcpu *vcpu)
{
	vcpu->pv.clock_msr = 0;
	vcpu->pv.guest_stopped = false;
	vcpu->pv.steal_msr = 0;
	vcpu->pv.steal_preempted = false;
	vcpu->pv.poll_control = 1;
}
