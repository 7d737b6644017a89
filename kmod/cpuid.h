/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's CPUID: what user space set, and quick tests of it. */
#ifndef OKVM_CPUID_H
#define OKVM_CPUID_H

#include <linux/bits.h>
#include <linux/kvm.h>
#include <linux/types.h>

struct okvm_vcpu;

#define OKVM_MAX_CPUID_ENTRIES	256

/* Leaves below these counts are found by index, the rest by search. */
#define CPUID_BASIC_LEAVES	0x20
#define CPUID_HYPER_LEAVES	0x08
#define CPUID_EXT_LEAVES	0x28

struct okvm_cpuid {
	struct kvm_cpuid_entry2 *entries;
	int n;
	u8 maxphyaddr;
	bool faulting;			/* MISC_FEATURES_ENABLES.CPUID_FAULT: #GP above CPL 0 */
	bool enforce_pv;		/* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */
	u64 cr4_reserved;		/* CR4 bits the guest may not set */
	u64 supported_xcr0;		/* XCR0 bits the guest may set */
	u64 reserved_gpa;		/* physical address bits above maxphyaddr */
	u32 pv_features;		/* leaf 0x40000001 EAX, ~0 unless enforced */
	u64 has;			/* bits of enum guest_feature */
	/* Where a leaf's first entry is, plus one; 0: there is none. */
	u16 basic[CPUID_BASIC_LEAVES], hyper[CPUID_HYPER_LEAVES], ext[CPUID_EXT_LEAVES];
};

/* Features that the module itself asks for often. */
enum guest_feature {
	GUEST_LM, GUEST_NX, GUEST_GBPAGES, GUEST_XSAVE, GUEST_PCID, GUEST_X2APIC,
	GUEST_TSC_DEADLINE,
	GUEST_RDTSCP, GUEST_RDPID, GUEST_SPEC_CTRL, GUEST_PRED_CMD, GUEST_MTRR, GUEST_TSC_ADJUST,
	GUEST_FSGSBASE, GUEST_SMEP, GUEST_SMAP, GUEST_PKU, GUEST_LA57, GUEST_UMIP, GUEST_NRIPS,
	GUEST_ARCH_CAPABILITIES, GUEST_SSBD, GUEST_AMD, GUEST_INTEL,
	GUEST_SVM, GUEST_VMX,
	GUEST_XSS, GUEST_PDCM, GUEST_MCE, GUEST_PAT, GUEST_SMM, GUEST_INVPCID, GUEST_ERAPS,
	GUEST_STIBP, GUEST_PSFD, GUEST_FXSR_OPT, GUEST_OSVW, GUEST_VIRT_SSBD, GUEST_FLUSH_L1D,
	GUEST_MOVBE, GUEST_XMM3, GUEST_SYSCALL,
};

#define guest_has(vcpu, feature) (!!((vcpu)->cpuid.has & BIT_ULL(feature)))
/* A paravirtual feature (KVM_FEATURE_*) that the guest may use. */
#define guest_pv_has(vcpu, feature) (!!((vcpu)->cpuid.pv_features & BIT(feature)))

int okvm_cpuid_setup(void);		/* module load: masks from the host and the backend */
void okvm_cpuid_free(struct okvm_vcpu *vcpu);
void okvm_cpuid_create(struct okvm_vcpu *vcpu);	/* the state before any SET_CPUID */
/* The guest's CPUID instruction: fills the four registers as the CPU would. */
void okvm_cpuid(struct okvm_vcpu *vcpu, u32 leaf, u32 subleaf, u32 out[4]);
/* Something CPUID mirrors (CR4.OSXSAVE, PKE; APIC base enable; MISC_ENABLE) changed. */
void okvm_cpuid_update_runtime(struct okvm_vcpu *vcpu);
void okvm_cpuid_update_pv(struct okvm_vcpu *vcpu);	/* after enforce_pv changed */

long okvm_get_supported_cpuid(void *arg);
long okvm_get_emulated_cpuid(void *arg);
long okvm_set_cpuid(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_cpuid2(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_cpuid2(struct okvm_vcpu *vcpu, void *arg);

u64 okvm_host_cr4_reserved(void);	/* CR4 bits that no guest can have on this host */
u64 okvm_host_efer_valid(void);		/* EFER bits that a guest can have on this host */

#endif
