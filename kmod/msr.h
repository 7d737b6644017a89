/* SPDX-License-Identifier: GPL-2.0-only */
/* Values of model-specific registers that neither the backend nor the local APIC keeps. */
#ifndef OKVM_MSR_H
#define OKVM_MSR_H

#include <linux/kvm.h>
#include <linux/types.h>

struct okvm_vcpu;

#define OKVM_MTRR_FIXED		11
#define OKVM_MTRR_VARIABLE	8
#define OKVM_MCE_BANKS		32

struct okvm_msrs {		/* U */
	u64 mtrr_def, mtrr_fixed[OKVM_MTRR_FIXED], mtrr_var[2 * OKVM_MTRR_VARIABLE];
	u64 mcg_cap, mcg_status, mcg_ctl;
	u64 mce[OKVM_MCE_BANKS][4];	/* CTL, STATUS, ADDR, MISC */
	u64 misc_enable, misc_features, platform_info, power_ctl;
	u64 arch_capabilities, ucode_rev;
	u64 hwcr, de_cfg, osvw_length, osvw_status;
	/* The rest is not MSRs, but needed as seldom. */
	u32 pkru, host_pkru;		/* xstate.c */
	u32 sipi_vector;		/* events.c: KVM_VCPUEVENT_VALID_SIPI_VECTOR */
	u64 tsc_ratio;			/* tsc.c: fixed point, okvm_hw.tsc_frac_bits; 0: none */
	u64 tsc_base, tsc_base_ns;	/* tsc.c: what the TSC was when, by the host's clock */
	unsigned int tsc_epoch;		/* tsc.c: the host's TSC's restarts that are counted in */
};

long okvm_get_msr_index_list(void *arg);
long okvm_get_msr_feature_list(void *arg);
long okvm_get_feature_msrs(void *arg);
long okvm_get_msrs(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_msrs(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_mce_cap_supported(void *arg);
long okvm_setup_mce(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_mce(struct okvm_vcpu *vcpu, void *arg);

/* mce.c: 0, or 1 for #GP(0) */
int okvm_get_mce_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int okvm_set_mce_msr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host);
void okvm_mce_create(struct okvm_vcpu *vcpu);

#endif
