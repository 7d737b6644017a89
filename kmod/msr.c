// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers: one table of ranges with their handlers serves the guest's RDMSR and
 * WRMSR, KVM_GET_MSRS and KVM_SET_MSRS, and the lists of indices. What a guest kernel or firmware
 * touches on any CPU without asking CPUID first is there, reading as zero and ignoring writes.
 */
#include <linux/kvm_para.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>

#include "msr.h"
#include "regs.h"
#include "vmm.h"

typedef int (*get_fn)(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host);
typedef int (*set_fn)(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host);

#define LISTED	BIT(0)		/* in KVM_GET_MSR_INDEX_LIST: part of a vCPU's state */
#define FEATURE	BIT(1)		/* in KVM_GET_MSR_FEATURE_INDEX_LIST */
#define AMD	BIT(2)		/* only on an AMD host */
#define XSTATE	BIT(3)		/* only if the host has XSAVES */

/* A MSR that this guest, on this host, does not have. */
#define NO_SUCH_MSR KVM_MSR_EXIT_REASON_INVAL

/* ---- handlers of general use ---- */

static int get_zero(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = 0;
	return 0;
}

static int set_ignored(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return 0;
}

static int set_zero_only(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return data ? 1 : 0;
}

static int set_zero_by_host(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return host && !data ? 0 : 1;
}

static int get_backend(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	return okvm_backend->get_msr(vcpu, index, data);
}

static int set_backend(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return okvm_backend->set_msr(vcpu, index, data);
}

/* A MSR with a linear address in it. */
static int set_address(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!okvm_canonical(vcpu, data))
		return 1;
	return okvm_backend->set_msr(vcpu, index, data);
}

/* ---- time ---- */

static int get_tsc(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = okvm_guest_tsc(vcpu, rdtsc());
	return 0;
}

static int set_tsc(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (host)
		okvm_tsc_write_host(vcpu, data);
	else
		okvm_tsc_write_guest(vcpu, data);
	return 0;
}

static int get_tsc_adjust(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_TSC_ADJUST))
		return NO_SUCH_MSR;
	*data = vcpu->tsc.adjust;
	return 0;
}

static int set_tsc_adjust(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_TSC_ADJUST))
		return NO_SUCH_MSR;
	okvm_tsc_set_adjust(vcpu, data, host);
	return 0;
}

static int get_lapic(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	return vcpu->lapic ? okvm_lapic_msr_read(vcpu, index, data, host) : NO_SUCH_MSR;
}

static int set_lapic(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return vcpu->lapic ? okvm_lapic_msr_write(vcpu, index, data, host) : NO_SUCH_MSR;
}

/* Listed for every vCPU, so it reads as idle where no local APIC is in the kernel. */
static int get_deadline(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = 0;
	return vcpu->lapic ? okvm_lapic_msr_read(vcpu, index, data, host) : 0;
}

static int set_deadline(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return vcpu->lapic ? okvm_lapic_msr_write(vcpu, index, data, host) : 0;
}

static int get_apic_base(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->apic_base;
	return 0;
}

static int set_apic_base(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (okvm_lapic_set_base(vcpu, data, host))
		return 1;
	okvm_cpuid_update_runtime(vcpu);
	return 0;
}

/* ---- paging, caching ---- */

static int get_efer(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->efer;
	return 0;
}

static int set_efer(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return okvm_set_efer(vcpu, data, host);
}

/* Memory types: UC 0, WC 1, WT 4, WP 5, WB 6; PAT also knows UC- 7. */
static bool valid_types(u64 data, u8 allowed)
{
	int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = data >> i;

		if (type > 7 || !(allowed & BIT(type)))
			return false;
	}
	return true;
}

#define MTRR_TYPES	0x73
#define PAT_TYPES	0xf3

static int get_pat(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->pat;
	return 0;
}

static int set_pat(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!valid_types(data, PAT_TYPES))
		return 1;
	vcpu->pat = data;
	/* The control block's copy, where there is one. */
	okvm_backend->set_msr(vcpu, index, data);
	return 0;
}

/* Eight variable ranges, fixed ranges, write combining: SDM vol. 3, IA32_MTRRCAP. */
static int get_mtrr_cap(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = OKVM_MTRR_VARIABLE | BIT(8) | BIT(10);
	return 0;
}

static int fixed_mtrr(u32 index)
{
	switch (index) {
	case MSR_MTRRfix64K_00000:
		return 0;
	case MSR_MTRRfix16K_80000:
	case MSR_MTRRfix16K_A0000:
		return 1 + index - MSR_MTRRfix16K_80000;
	default:
		return 3 + index - MSR_MTRRfix4K_C0000;
	}
}

static int get_fixed_mtrr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->mtrr_fixed[fixed_mtrr(index)];
	return 0;
}

static int set_fixed_mtrr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!valid_types(data, MTRR_TYPES))
		return 1;
	vcpu->msrs->mtrr_fixed[fixed_mtrr(index)] = data;
	return 0;
}

static int get_variable_mtrr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->mtrr_var[index - 0x200];
	return 0;
}

static int set_variable_mtrr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	bool is_mask = index & 1;
	u64 reserved = vcpu->cpuid.reserved_gpa | (is_mask ? 0x7ff : 0xf00);

	if (data & reserved)
		return 1;
	if (!is_mask && !valid_types(data & 0xff, MTRR_TYPES))
		return 1;
	vcpu->msrs->mtrr_var[index - 0x200] = data;
	return 0;
}

static int get_mtrr_def(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->mtrr_def;
	return 0;
}

static int set_mtrr_def(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (data & ~0xcffull || !valid_types(data & 0xff, MTRR_TYPES))
		return 1;
	vcpu->msrs->mtrr_def = data;
	return 0;
}

/* ---- speculation control ---- */

static u64 valid_spec_ctrl(struct okvm_vcpu *vcpu)
{
	u64 valid = 0;

	if (guest_has(vcpu, GUEST_SPEC_CTRL))
		valid |= SPEC_CTRL_IBRS;
	if (guest_has(vcpu, GUEST_STIBP))
		valid |= SPEC_CTRL_STIBP;
	if (guest_has(vcpu, GUEST_SSBD))
		valid |= SPEC_CTRL_SSBD;
	if (guest_has(vcpu, GUEST_PSFD))
		valid |= BIT(7);
	/* STIBP is a no-op, not a fault, on a CPU with IBRS alone: SDM vol. 4, IA32_SPEC_CTRL. */
	return valid & SPEC_CTRL_IBRS ? valid | SPEC_CTRL_STIBP : valid;
}

static int get_spec_ctrl(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && !valid_spec_ctrl(vcpu))
		return NO_SUCH_MSR;
	return okvm_backend->get_msr(vcpu, index, data);
}

static int set_spec_ctrl(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	u64 valid = valid_spec_ctrl(vcpu);

	if ((!host && !valid) || data & ~valid)
		return 1;
	return okvm_backend->set_msr(vcpu, index, data);
}

static int set_pred_cmd(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_PRED_CMD))
		return NO_SUCH_MSR;
	if (data & ~(u64)PRED_CMD_IBPB || !boot_cpu_has(X86_FEATURE_IBPB))
		return 1;
	if (data)
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

/* What of the host's own list holds for guests too. */
#define ARCH_CAP_GUEST                                                                    \
	(ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | ARCH_CAP_SSB_NO |         \
	 ARCH_CAP_SKIP_VMENTRY_L1DFLUSH | ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO |     \
	 ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | \
	 ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA | ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO |       \
	 ARCH_CAP_RFDS_NO | ARCH_CAP_BHI_NO | ARCH_CAP_ITS_NO)

/* What a CPU without the bug may be said not to have, even if it is older than the bit. */
static const struct {
	u16 bug;
	u64 bit;
} arch_cap_no[] = {
	{ X86_BUG_CPU_MELTDOWN, ARCH_CAP_RDCL_NO },
	{ X86_BUG_SPEC_STORE_BYPASS, ARCH_CAP_SSB_NO },
	{ X86_BUG_MDS, ARCH_CAP_MDS_NO },
	{ X86_BUG_GDS, ARCH_CAP_GDS_NO },
	{ X86_BUG_RFDS, ARCH_CAP_RFDS_NO },
	{ X86_BUG_ITS, ARCH_CAP_ITS_NO },
};

static u64 host_arch_capabilities(void)
{
	u64 data = 0;
	int i;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &data);
	data &= ARCH_CAP_GUEST;
	/* Instruction-fetch page-size changes are the hypervisor's to guard against. */
	data |= ARCH_CAP_PSCHANGE_MC_NO;
	for (i = 0; i < ARRAY_SIZE(arch_cap_no); i++)
		if (!boot_cpu_has_bug(arch_cap_no[i].bug))
			data |= arch_cap_no[i].bit;
	return data;
}

static int get_arch_capabilities(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_ARCH_CAPABILITIES))
		return NO_SUCH_MSR;
	*data = vcpu->msrs->arch_capabilities;
	return 0;
}

static int set_arch_capabilities(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host)
		return 1;
	vcpu->msrs->arch_capabilities = data;
	return 0;
}

/* ---- identification ---- */

static int get_ucode_rev(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->ucode_rev;
	return 0;
}

static int set_ucode_rev(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host)
		/* A write makes a real CPU load its revision there for CPUID: harmless. */
		return guest_has(vcpu, GUEST_INTEL) ? 0 : 1;
	vcpu->msrs->ucode_rev = data;
	return 0;
}

static int get_platform_info(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && vcpu->vm->clock.hide_platform_info)
		return NO_SUCH_MSR;
	*data = vcpu->msrs->platform_info;
	return 0;
}

static int set_platform_info(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host)
		return 1;
	if (!(data & MSR_PLATFORM_INFO_CPUID_FAULT) && vcpu->msrs->misc_features)
		return 1;
	vcpu->msrs->platform_info = data;
	return 0;
}

static int get_misc_features(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->misc_features;
	return 0;
}

static int set_misc_features(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (data & ~(u64)MSR_MISC_FEATURES_ENABLES_CPUID_FAULT)
		return 1;
	if (data && !(vcpu->msrs->platform_info & MSR_PLATFORM_INFO_CPUID_FAULT))
		return 1;
	vcpu->msrs->misc_features = data;
	vcpu->cpuid.faulting = data;
	return 0;
}

static int get_misc_enable(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->misc_enable;
	return 0;
}

/* No PMU: branch trace and PEBS are unavailable, performance monitoring stays off. */
#define MISC_ENABLE_FIXED (MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)

static int set_misc_enable(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	u64 old = vcpu->msrs->misc_enable;

	if (!host) {
		if ((old ^ data) & MISC_ENABLE_FIXED)
			return 1;
		data &= ~MSR_IA32_MISC_ENABLE_EMON;
		data |= old & MSR_IA32_MISC_ENABLE_EMON;
	}
	if ((old ^ data) & MSR_IA32_MISC_ENABLE_MWAIT && !guest_has(vcpu, GUEST_XMM3) &&
	    vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
		return 1;
	vcpu->msrs->misc_enable = data;
	okvm_cpuid_update_runtime(vcpu);
	return 0;
}

static int get_power_ctl(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->power_ctl;
	return 0;
}

static int set_power_ctl(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	vcpu->msrs->power_ctl = data;
	return 0;
}

static int get_perf_capabilities(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_PDCM))
		return NO_SUCH_MSR;
	*data = 0;
	return 0;
}

/* The bus runs at 100 MHz, a multiplier of 1: what old kernels compute a frequency from. */
static int get_ebc_frequency(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = BIT(24);
	return 0;
}

static int get_fsb_freq(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = 3;
	return 0;
}

static int get_perf_status(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = 1000 | 4ull << 40;
	return 0;
}

static int get_bbl_cr_ctl3(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	/* A level-2 cache that is there, configured and on: SDM vol. 4, BBL_CR_CTL3. */
	*data = 0xbe702111;
	return 0;
}

/* ---- state components, TSC_AUX ---- */

static int get_xss(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_XSS))
		return NO_SUCH_MSR;
	*data = vcpu->xss;
	return 0;
}

static int set_xss(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_XSS))
		return NO_SUCH_MSR;
	if (data & ~okvm_hw.supported_xss)
		return 1;
	vcpu->xss = data;
	okvm_cpuid_update_runtime(vcpu);
	return 0;
}

static bool has_tsc_aux(struct okvm_vcpu *vcpu, bool host)
{
	return host || guest_has(vcpu, GUEST_RDTSCP) || guest_has(vcpu, GUEST_RDPID);
}

static int get_tsc_aux(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	return has_tsc_aux(vcpu, host) ? okvm_backend->get_msr(vcpu, index, data) : NO_SUCH_MSR;
}

static int set_tsc_aux(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!has_tsc_aux(vcpu, host))
		return NO_SUCH_MSR;
	/* Intel's reserves the upper half, AMD's drops it. */
	if (upper_32_bits(data) && guest_has(vcpu, GUEST_INTEL))
		return 1;
	return okvm_backend->set_msr(vcpu, index, (u32)data);
}

/* Intel's CPUs check; AMD's keep what fits, and run with it sign-extended. */
static int set_sysenter_address(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!okvm_canonical(vcpu, data) && guest_has(vcpu, GUEST_INTEL))
		return 1;
	return okvm_backend->set_msr(vcpu, index, data);
}

/* ---- AMD's ---- */

#define HWCR_TLBCACHEDIS	BIT(3)
#define HWCR_FFDIS		BIT(6)
#define HWCR_MONMWAITUSEREN	BIT(8)
#define HWCR_TSCFREQSEL		BIT(24)

static int get_hwcr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->hwcr;
	return 0;
}

static int set_hwcr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	/* Workarounds that old kernels set, of no meaning here. */
	data &= ~(u64)(HWCR_TLBCACHEDIS | HWCR_FFDIS | HWCR_MONMWAITUSEREN);
	if (data & ~(OKVM_HWCR_MC_STATUS_WR_EN | HWCR_TSCFREQSEL))
		return 1;
	vcpu->msrs->hwcr = data;
	return 0;
}

static u64 host_de_cfg(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

static int get_de_cfg(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->msrs->de_cfg;
	return 0;
}

static int set_de_cfg(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (data & ~host_de_cfg())
		return 1;
	/* The host keeps LFENCE serializing: a guest cannot turn it off for real. */
	if (!host && data != vcpu->msrs->de_cfg)
		return 1;
	vcpu->msrs->de_cfg = data;
	return 0;
}

static int get_osvw(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	if (!host && !guest_has(vcpu, GUEST_OSVW))
		return NO_SUCH_MSR;
	*data = index == MSR_AMD64_OSVW_ID_LENGTH ? vcpu->msrs->osvw_length :
						    vcpu->msrs->osvw_status;
	return 0;
}

static int set_osvw(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host)
		return 1;
	if (index == MSR_AMD64_OSVW_ID_LENGTH)
		vcpu->msrs->osvw_length = data;
	else
		vcpu->msrs->osvw_status = data;
	return 0;
}

static int get_clk_ctl(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	/* What BIOSes leave in the K7's clock ramp control, which kernels check. */
	*data = 0x20000000;
	return 0;
}

/* ---- the table ---- */

/* In order of index, ranges apart: okvm_get_msr() and okvm_set_msr() halve it. */
static const struct msr_row {
	u32 first, last;
	u8 flags;
	get_fn get;
	set_fn set;
} table[] = {
	{ MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE, 0, get_zero },
	{ MSR_IA32_TSC, MSR_IA32_TSC, LISTED, get_tsc, set_tsc },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, LISTED, okvm_pv_get_msr, okvm_pv_set_msr },
	{ MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID, 0, get_zero },
	{ MSR_IA32_APICBASE, MSR_IA32_APICBASE, 0, get_apic_base, set_apic_base },
	{ MSR_IA32_EBL_CR_POWERON, MSR_IA32_EBL_CR_POWERON, 0, get_zero },
	{ MSR_EBC_FREQUENCY_ID, MSR_EBC_FREQUENCY_ID, 0, get_ebc_frequency },
	{ MSR_SMI_COUNT, MSR_SMI_COUNT, LISTED, get_zero, set_zero_by_host },
	{ MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_ADJUST, LISTED, get_tsc_adjust, set_tsc_adjust },
	{ MSR_IA32_SPEC_CTRL, MSR_IA32_SPEC_CTRL, 0, get_spec_ctrl, set_spec_ctrl },
	{ MSR_IA32_PRED_CMD, MSR_IA32_PRED_CMD, 0, NULL, set_pred_cmd },
	{ MSR_IA32_UCODE_WRITE, MSR_IA32_UCODE_WRITE, 0, NULL, set_ignored },
	{ MSR_IA32_UCODE_REV, MSR_IA32_UCODE_REV, LISTED | FEATURE, get_ucode_rev, set_ucode_rev },
	{ MSR_P6_PERFCTR0, MSR_P6_PERFCTR1, 0, get_zero, set_ignored },
	{ MSR_FSB_FREQ, MSR_FSB_FREQ, 0, get_fsb_freq },
	{ MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, LISTED | FEATURE, get_platform_info,
	  set_platform_info },
	{ MSR_MTRRcap, MSR_MTRRcap, 0, get_mtrr_cap },
	{ MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_ARCH_CAPABILITIES, LISTED | FEATURE,
	  get_arch_capabilities, set_arch_capabilities },
	{ MSR_IA32_BBL_CR_CTL3, MSR_IA32_BBL_CR_CTL3, 0, get_bbl_cr_ctl3, set_ignored },
	{ MSR_MISC_FEATURES_ENABLES, MSR_MISC_FEATURES_ENABLES, LISTED, get_misc_features,
	  set_misc_features },
	{ MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_CS, LISTED, get_backend, set_backend },
	{ MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, LISTED, get_backend, set_sysenter_address },
	{ MSR_IA32_MCG_CAP, MSR_IA32_MCG_CAP, 0, okvm_get_mce_msr, okvm_set_mce_msr },
	{ MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL, LISTED, okvm_get_mce_msr, okvm_set_mce_msr },
	{ MSR_P6_EVNTSEL0, MSR_P6_EVNTSEL1, 0, get_zero, set_ignored },
	{ MSR_IA32_PERF_STATUS, MSR_IA32_PERF_STATUS, 0, get_perf_status },
	{ MSR_IA32_PERF_CTL, MSR_IA32_PERF_CTL, 0, get_zero },
	{ MSR_IA32_MISC_ENABLE, MSR_IA32_MISC_ENABLE, LISTED, get_misc_enable, set_misc_enable },
	{ MSR_IA32_DEBUGCTLMSR, MSR_IA32_DEBUGCTLMSR, 0, get_zero, set_zero_only },
	{ MSR_IA32_LASTBRANCHFROMIP, MSR_IA32_LASTINTTOIP, 0, get_zero },
	{ MSR_IA32_POWER_CTL, MSR_IA32_POWER_CTL, LISTED, get_power_ctl, set_power_ctl },
	{ 0x200, 0x200 + 2 * OKVM_MTRR_VARIABLE - 1, 0, get_variable_mtrr, set_variable_mtrr },
	{ MSR_MTRRfix64K_00000, MSR_MTRRfix64K_00000, 0, get_fixed_mtrr, set_fixed_mtrr },
	{ MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000, 0, get_fixed_mtrr, set_fixed_mtrr },
	{ MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_F8000, 0, get_fixed_mtrr, set_fixed_mtrr },
	{ MSR_IA32_CR_PAT, MSR_IA32_CR_PAT, LISTED, get_pat, set_pat },
	{ MSR_IA32_MC0_CTL2, MSR_IA32_MCx_CTL2(OKVM_MCE_BANKS - 1), 0, okvm_get_mce_msr,
	  okvm_set_mce_msr },
	{ MSR_MTRRdefType, MSR_MTRRdefType, 0, get_mtrr_def, set_mtrr_def },
	{ MSR_IA32_PERF_CAPABILITIES, MSR_IA32_PERF_CAPABILITIES, LISTED | FEATURE,
	  get_perf_capabilities, set_zero_by_host },
	{ MSR_IA32_MC0_CTL, MSR_IA32_MCx_CTL(OKVM_MCE_BANKS) - 1, 0, okvm_get_mce_msr,
	  okvm_set_mce_msr },
	{ MSR_RAPL_POWER_UNIT, MSR_RAPL_POWER_UNIT, 0, get_zero },
	{ MSR_PKG_ENERGY_STATUS, MSR_PKG_ENERGY_STATUS, 0, get_zero },
	{ MSR_DRAM_ENERGY_STATUS, MSR_DRAM_ENERGY_STATUS, 0, get_zero },
	{ MSR_PP0_ENERGY_STATUS, MSR_PP0_ENERGY_STATUS, 0, get_zero },
	{ MSR_PP1_ENERGY_STATUS, MSR_PP1_ENERGY_STATUS, 0, get_zero },
	{ MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE, LISTED, get_deadline, set_deadline },
	{ APIC_BASE_MSR, APIC_BASE_MSR + 0xff, 0, get_lapic, set_lapic },
	{ MSR_IA32_XSS, MSR_IA32_XSS, LISTED | XSTATE, get_xss, set_xss },
	{ MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, LISTED, okvm_pv_get_msr,
	  okvm_pv_set_msr },
	{ MSR_KVM_STEAL_TIME, MSR_KVM_POLL_CONTROL, LISTED, okvm_pv_get_msr, okvm_pv_set_msr },
	{ MSR_EFER, MSR_EFER, 0, get_efer, set_efer },
	{ MSR_STAR, MSR_STAR, LISTED, get_backend, set_backend },
	{ MSR_LSTAR, MSR_CSTAR, LISTED, get_backend, set_address },
	{ MSR_SYSCALL_MASK, MSR_SYSCALL_MASK, LISTED, get_backend, set_backend },
	{ MSR_FS_BASE, MSR_GS_BASE, 0, get_backend, set_address },
	{ MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, LISTED, get_backend, set_address },
	{ MSR_TSC_AUX, MSR_TSC_AUX, LISTED, get_tsc_aux, set_tsc_aux },
	{ MSR_K7_EVNTSEL0, MSR_K7_PERFCTR3, 0, get_zero, set_ignored },
	{ MSR_AMD64_SYSCFG, MSR_AMD64_SYSCFG, 0, get_zero },
	{ MSR_K7_HWCR, MSR_K7_HWCR, LISTED, get_hwcr, set_hwcr },
	{ MSR_K7_CLK_CTL, MSR_K7_CLK_CTL, 0, get_clk_ctl, set_ignored },
	{ MSR_AMD64_NB_CFG, MSR_AMD64_NB_CFG, 0, get_zero, set_ignored },
	{ MSR_AMD64_PATCH_LOADER, MSR_AMD64_PATCH_LOADER, 0, NULL, set_ignored },
	{ MSR_K8_INT_PENDING_MSG, MSR_K8_INT_PENDING_MSG, 0, get_zero },
	{ MSR_FAM10H_MMIO_CONF_BASE, MSR_FAM10H_MMIO_CONF_BASE, 0, get_zero, set_zero_only },
	{ MSR_K8_TSEG_ADDR, MSR_K8_TSEG_MASK, 0, get_zero },
	{ MSR_VM_CR, MSR_VM_CR, AMD, get_zero, set_zero_only },
	{ MSR_VM_HSAVE_PA, MSR_VM_HSAVE_PA, 0, get_zero, set_ignored },
	{ MSR_AMD64_OSVW_ID_LENGTH, MSR_AMD64_OSVW_STATUS, 0, get_osvw, set_osvw },
	{ MSR_AMD64_DC_CFG, MSR_AMD64_DC_CFG, 0, get_zero, set_ignored },
	{ MSR_AMD64_TW_CFG, MSR_AMD64_TW_CFG, 0, get_zero, set_ignored },
	{ MSR_AMD64_DE_CFG, MSR_AMD64_DE_CFG, FEATURE | AMD, get_de_cfg, set_de_cfg },
	{ MSR_AMD64_BU_CFG2, MSR_AMD64_BU_CFG2, 0, get_zero, set_ignored },
	{ MSR_F15H_EX_CFG, MSR_F15H_EX_CFG, 0, get_zero, set_ignored },
};

static bool there(const struct msr_row *row)
{
	if (row->flags & AMD && boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	    boot_cpu_data.x86_vendor != X86_VENDOR_HYGON)
		return false;
	return !(row->flags & XSTATE) || boot_cpu_has(X86_FEATURE_XSAVES);
}

static const struct msr_row *find_row(u32 index)
{
	unsigned int low = 0, high = ARRAY_SIZE(table), middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (index > table[middle].last)
			low = middle + 1;
		else if (index < table[middle].first)
			high = middle;
		else
			return there(&table[middle]) ? &table[middle] : NULL;
	}
	return NULL;
}

/**
 * okvm_get_msr - read a model-specific register of the guest
 * @vcpu: the vCPU, loaded
 * @index: which
 * @data: where to
 * @host: for an ioctl: what the guest's CPUID hides can be read too
 *
 * Return: 0; KVM_MSR_EXIT_REASON_INVAL: this guest has none; KVM_MSR_EXIT_REASON_UNKNOWN: no such
 * MSR at all.
 */
int okvm_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	const struct msr_row *row = find_row(index);

	return row && row->get ? row->get(vcpu, index, data, host) :
				 KVM_MSR_EXIT_REASON_UNKNOWN;
}

/**
 * okvm_set_msr - write a model-specific register of the guest
 * @vcpu: the vCPU, loaded
 * @index: which
 * @data: the value
 * @host: for an ioctl
 *
 * Return: 0; KVM_MSR_EXIT_REASON_INVAL: this guest has none, or not with that value;
 * KVM_MSR_EXIT_REASON_UNKNOWN: no such MSR at all.
 */
int okvm_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	const struct msr_row *row = find_row(index);

	return row && row->set ? row->set(vcpu, index, data, host) :
				 KVM_MSR_EXIT_REASON_UNKNOWN;
}

/* ---- life ---- */

/* Revisions that guests' kernels take for recent ones, with no erratum to work around. */
static u64 default_ucode_rev(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? 1ull << 32 : 0x01000065;
}

/**
 * okvm_msrs_create - allocate a vCPU's registers
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int okvm_msrs_create(struct okvm_vcpu *vcpu)
{
	struct okvm_msrs *msrs = kvzalloc(sizeof(*msrs), GFP_KERNEL_ACCOUNT);

	if (!msrs)
		return -ENOMEM;
	msrs->platform_info = MSR_PLATFORM_INFO_CPUID_FAULT;
	msrs->arch_capabilities = host_arch_capabilities();
	msrs->ucode_rev = default_ucode_rev();
	msrs->de_cfg = host_de_cfg();
	/* Erratum 298 is fixed by the host, 400 (C1E) does not exist: APM, OSVW. */
	msrs->osvw_length = 4;
	vcpu->msrs = msrs;
	okvm_mce_create(vcpu);
	return 0;
}

/** okvm_msrs_free - free what okvm_msrs_create() made, if anything */
void okvm_msrs_free(struct okvm_vcpu *vcpu)
{
	kvfree(vcpu->msrs);
	vcpu->msrs = NULL;
}

#define PAT_AT_RESET 0x0007040600070406ull

/**
 * okvm_msrs_reset - values after power-up; INIT keeps them all
 * @vcpu: the vCPU, loaded
 * @init: INIT, else RESET
 *
 * SDM vol. 3, "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT".
 */
void okvm_msrs_reset(struct okvm_vcpu *vcpu, bool init)
{
	struct okvm_msrs *msrs = vcpu->msrs;

	if (init)
		return;
	msrs->mtrr_def = 0;
	memset(msrs->mtrr_fixed, 0, sizeof(msrs->mtrr_fixed));
	memset(msrs->mtrr_var, 0, sizeof(msrs->mtrr_var));
	msrs->misc_enable = MISC_ENABLE_FIXED;
	msrs->misc_features = 0;
	vcpu->cpuid.faulting = false;
	msrs->hwcr = 0;
	set_pat(vcpu, MSR_IA32_CR_PAT, PAT_AT_RESET, true);
}

/* ---- ioctls ---- */

static u32 count_listed(u8 flag, u32 *indices)
{
	u32 n = 0, index;
	int i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		if (!(table[i].flags & flag) || !there(&table[i]))
			continue;
		for (index = table[i].first; index <= table[i].last; index++, n++)
			if (indices)
				indices[n] = index;
	}
	return n;
}

static long get_list(struct kvm_msr_list __user *user, u8 flag)
{
	u32 room, n = count_listed(flag, NULL), *indices;
	long r = 0;

	if (get_user(room, &user->nmsrs) || put_user(n, &user->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	indices = kmalloc_array(n, sizeof(*indices), GFP_KERNEL_ACCOUNT);
	if (!indices)
		return -ENOMEM;
	count_listed(flag, indices);
	if (copy_to_user(user->indices, indices, n * sizeof(*indices)))
		r = -EFAULT;
	kfree(indices);
	return r;
}

/**
 * okvm_get_msr_index_list - KVM_GET_MSR_INDEX_LIST
 * @arg: user pointer to struct kvm_msr_list
 *
 * Return: 0; -E2BIG, with the true count in nmsrs; -EFAULT; -ENOMEM.
 */
long okvm_get_msr_index_list(void *arg)
{
	return get_list((void __user *)arg, LISTED);
}

/** okvm_get_msr_feature_list - KVM_GET_MSR_FEATURE_INDEX_LIST; as okvm_get_msr_index_list() */
long okvm_get_msr_feature_list(void *arg)
{
	return get_list((void __user *)arg, FEATURE);
}

/* More at a time is refused, as on KVM. */
#define MAX_IO_MSRS 256

static struct kvm_msr_entry *copy_msrs(struct kvm_msrs __user *user, u32 *n)
{
	if (get_user(*n, &user->nmsrs))
		return ERR_PTR(-EFAULT);
	if (*n >= MAX_IO_MSRS)
		return ERR_PTR(-E2BIG);
	return memdup_user(user->entries, *n * sizeof(struct kvm_msr_entry));
}

static int get_feature_msr(u32 index, u64 *data)
{
	const struct msr_row *row = find_row(index);

	if (!row || !(row->flags & FEATURE))
		return 1;
	switch (index) {
	case MSR_IA32_UCODE_REV:
		return rdmsrl_safe(index, data) ? 1 : 0;
	case MSR_PLATFORM_INFO:
		*data = MSR_PLATFORM_INFO_CPUID_FAULT;
		return 0;
	case MSR_IA32_ARCH_CAPABILITIES:
		*data = host_arch_capabilities();
		return 0;
	case MSR_AMD64_DE_CFG:
		*data = host_de_cfg();
		return 0;
	default:
		*data = 0;
		return 0;
	}
}

/**
 * okvm_get_feature_msrs - KVM_GET_MSRS on the device: what the module can give a guest
 * @arg: user pointer to struct kvm_msrs
 *
 * Return: how many were read before the first bad one; -E2BIG; -EFAULT; -ENOMEM.
 */
long okvm_get_feature_msrs(void *arg)
{
	struct kvm_msrs __user *user = (void __user *)arg;
	struct kvm_msr_entry *entries;
	u32 n, i;
	long r;

	entries = copy_msrs(user, &n);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < n; i++)
		if (get_feature_msr(entries[i].index, &entries[i].data))
			break;
	r = copy_to_user(user->entries, entries, n * sizeof(*entries)) ? -EFAULT : i;
	kfree(entries);
	return r;
}

/**
 * okvm_get_msrs - KVM_GET_MSRS on a vCPU
 * @vcpu: the vCPU, loaded
 * @arg: user pointer to struct kvm_msrs
 *
 * Return: how many were read before the first bad one; -E2BIG; -EFAULT; -ENOMEM.
 */
long okvm_get_msrs(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_msrs __user *user = (void __user *)arg;
	struct kvm_msr_entry *entries;
	u64 data;
	u32 n, i;
	long r;

	entries = copy_msrs(user, &n);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < n; i++) {
		if (okvm_get_msr(vcpu, entries[i].index, &data, true))
			break;
		entries[i].data = data;
	}
	r = copy_to_user(user->entries, entries, n * sizeof(*entries)) ? -EFAULT : i;
	kfree(entries);
	return r;
}

/**
 * okvm_set_msrs - KVM_SET_MSRS
 * @vcpu: the vCPU, loaded
 * @arg: user pointer to struct kvm_msrs
 *
 * Return: how many were written before the first bad one; -E2BIG; -EFAULT; -ENOMEM.
 */
long okvm_set_msrs(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_msr_entry *entries;
	u32 n, i;

	entries = copy_msrs((void __user *)arg, &n);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < n; i++)
		if (okvm_set_msr(vcpu, entries[i].index, entries[i].data, true))
			break;
	kfree(entries);
	return i;
}
