// SPDX-License-Identifier: GPL-2.0-only
/* Machine checks: the banks that user space sets up, and errors that it injects. */
#include <asm/mce.h>

#include "msr.h"
#include "regs.h"
#include "vmm.h"

#define MCG_CAP_SUPPORTED	(MCG_CTL_P | MCG_SER_P)
#define MCG_CAP_BANKS		0xffull
#define MCG_CAP_EXTENDED	0xff0000ull	/* count of extended registers: kept as told */

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC };

static unsigned int nr_banks(const struct okvm_msrs *msrs)
{
	return msrs->mcg_cap & MCG_CAP_BANKS;
}

/** okvm_mce_create - the machine check state before KVM_X86_SETUP_MCE */
void okvm_mce_create(struct okvm_vcpu *vcpu)
{
	vcpu->msrs->mcg_cap = OKVM_MCE_BANKS;
}

static u64 *bank_register(struct okvm_msrs *msrs, u32 index)
{
	u32 n = index - MSR_IA32_MC0_CTL;

	return n < 4 * nr_banks(msrs) ? &msrs->mce[n / 4][n % 4] : NULL;
}

static bool is_ctl2(const struct okvm_msrs *msrs, u32 index)
{
	return index - MSR_IA32_MC0_CTL2 < nr_banks(msrs);
}

/**
 * okvm_get_mce_msr - read IA32_MCG_* and IA32_MCi_*
 * @vcpu: the vCPU
 * @index: which
 * @data: where to
 * @host: for an ioctl
 *
 * Return: 0, or 1: no such register.
 */
int okvm_get_mce_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	struct okvm_msrs *msrs = vcpu->msrs;
	u64 *bank;

	*data = 0;
	switch (index) {
	case MSR_IA32_MCG_CAP:
		*data = msrs->mcg_cap;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*data = msrs->mcg_status;
		return 0;
	case MSR_IA32_MCG_CTL:
		*data = msrs->mcg_ctl;
		return msrs->mcg_cap & MCG_CTL_P || host ? 0 : 1;
	}
	/* CMCI is not offered: its registers read as zero by user space alone. */
	if (is_ctl2(msrs, index))
		return host ? 0 : 1;
	bank = bank_register(msrs, index);
	if (!bank)
		return 1;
	*data = *bank;
	return 0;
}

static int set_bank(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	u64 *bank = bank_register(vcpu->msrs, index);
	u32 what = index & 3;

	if (!bank)
		return 1;
	/*
	 * CTL takes all zeros or all ones; bits 10 and 0 are let go, as old kernels clear them
	 * (a GART erratum, and bank 0 on a P6).
	 */
	if (what == BANK_CTL && data && (data | BIT(10) | BIT(0)) != ~0ull)
		return 1;
	/* AMD's HWCR can make STATUS writable; else a guest only clears it. */
	if (what == BANK_STATUS && !host && data &&
	    !(vcpu->msrs->hwcr & OKVM_HWCR_MC_STATUS_WR_EN))
		return 1;
	*bank = data;
	return 0;
}

/**
 * okvm_set_mce_msr - write IA32_MCG_* and IA32_MCi_*
 * @vcpu: the vCPU
 * @index: which
 * @data: the value
 * @host: for an ioctl
 *
 * SDM vol. 3, "Machine-Check MSRs". Return: 0, or 1: no such register, or not with that value.
 */
int okvm_set_mce_msr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	struct okvm_msrs *msrs = vcpu->msrs;

	switch (index) {
	case MSR_IA32_MCG_CAP:
		return 1;
	case MSR_IA32_MCG_STATUS:
		msrs->mcg_status = data;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(msrs->mcg_cap & MCG_CTL_P) && (data || !host))
			return 1;
		if (data && data != ~0ull)
			return 1;
		msrs->mcg_ctl = data;
		return 0;
	}
	if (is_ctl2(msrs, index))
		return host && !data ? 0 : 1;
	return set_bank(vcpu, index, data, host);
}

/** okvm_get_mce_cap_supported - KVM_X86_GET_MCE_CAP_SUPPORTED: the IA32_MCG_CAP bits we have */
long okvm_get_mce_cap_supported(void *arg)
{
	*(u64 *)arg = MCG_CAP_SUPPORTED;
	return 0;
}

/**
 * okvm_setup_mce - KVM_X86_SETUP_MCE: number of banks and features
 * @vcpu: the vCPU
 * @arg: u64: IA32_MCG_CAP
 *
 * Return: 0, or -EINVAL: no bank, too many, or an unsupported feature.
 */
long okvm_setup_mce(struct okvm_vcpu *vcpu, void *arg)
{
	struct okvm_msrs *msrs = vcpu->msrs;
	u64 cap = *(u64 *)arg;
	unsigned int banks = cap & MCG_CAP_BANKS, i;

	if (!banks || banks > OKVM_MCE_BANKS)
		return -EINVAL;
	if (cap & ~(MCG_CAP_SUPPORTED | MCG_CAP_BANKS | MCG_CAP_EXTENDED))
		return -EINVAL;
	/* AMD's register has the number of banks and MCG_CTL_P alone. */
	if (boot_cpu_data.x86_vendor != X86_VENDOR_INTEL)
		cap &= MCG_CAP_BANKS | MCG_CTL_P;
	msrs->mcg_cap = cap;
	if (cap & MCG_CTL_P)
		msrs->mcg_ctl = ~0ull;
	for (i = 0; i < banks; i++)
		msrs->mce[i][BANK_CTL] = ~0ull;
	return 0;
}

static void log_error(u64 *bank, const struct kvm_x86_mce *mce)
{
	u64 status = mce->status;

	if (bank[BANK_STATUS] & MCI_STATUS_VAL)
		status |= MCI_STATUS_OVER;
	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
	bank[BANK_STATUS] = status;
}

/* SDM vol. 3: one at a time, and only for a guest that has turned the exception on. */
static void raise_machine_check(struct okvm_vcpu *vcpu, u64 *bank, const struct kvm_x86_mce *mce)
{
	struct okvm_msrs *msrs = vcpu->msrs;

	if (msrs->mcg_status & MCG_STATUS_MCIP || !(vcpu->cr4 & X86_CR4_MCE)) {
		okvm_triple_fault(vcpu);
		return;
	}
	log_error(bank, mce);
	msrs->mcg_status = mce->mcg_status;
	okvm_queue_exception(vcpu, X86_TRAP_MC);
}

/**
 * okvm_set_mce - KVM_X86_SET_MCE: an error is found in a bank
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_x86_mce
 *
 * An uncorrected error raises #MC, unless the guest has turned reporting off.
 *
 * Return: 0, or -EINVAL: no such bank, or no valid error.
 */
long okvm_set_mce(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_x86_mce *mce = arg;
	struct okvm_msrs *msrs = vcpu->msrs;
	u64 *bank;

	if (mce->bank >= nr_banks(msrs) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = msrs->mce[mce->bank];
	if (mce->status & MCI_STATUS_UC) {
		if (msrs->mcg_cap & MCG_CTL_P && msrs->mcg_ctl != ~0ull)
			return 0;
		if (bank[BANK_CTL] != ~0ull)
			return 0;
		raise_machine_check(vcpu, bank, mce);
		return 0;
	}
	/* A corrected error never takes the place of an uncorrected one. */
	if (bank[BANK_STATUS] & MCI_STATUS_VAL && bank[BANK_STATUS] & MCI_STATUS_UC)
		bank[BANK_STATUS] |= MCI_STATUS_OVER;
	else
		log_error(bank, mce);
	return 0;
}
