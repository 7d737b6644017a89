/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of the host's CPUID a guest may have. Pure: it takes the host as data and callbacks and is
 * built in user space for its test.
 */
#ifndef OKVM_CPUID_MASKS_H
#define OKVM_CPUID_MASKS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include "emulate/env.h"
#endif
#include <linux/kvm.h>

/* The words of feature bits that are masked; order of the table in cpuid_masks.c. */
enum cpuid_word {
	WORD_1_ECX,
	WORD_1_EDX,
	WORD_7_0_EBX,
	WORD_7_0_ECX,
	WORD_7_0_EDX,
	WORD_7_1_EAX,
	WORD_7_1_EDX,
	WORD_D_1_EAX,
	WORD_8000_0001_ECX,
	WORD_8000_0001_EDX,
	WORD_8000_0007_EDX,
	WORD_8000_0008_EBX,
	WORD_8000_0021_EAX,
	CPUID_WORDS
};

enum cpuid_register { CPUID_REG_EAX, CPUID_REG_EBX, CPUID_REG_ECX, CPUID_REG_EDX };

/* Where a word of feature bits is read. */
struct cpuid_where {
	u32 leaf, subleaf;
	u8 reg;		/* enum cpuid_register */
};

/**
 * struct cpuid_host - the host, as far as its CPUID goes
 * @cpuid: the CPU's own instruction
 * @kernel: bits of a word that the kernel lets be used (all ones: no opinion)
 * @xcr0, @xss: state components that the module can switch
 * @pv_features: KVM_FEATURE_* bits that work
 * @phys_bits: physical address width without two-dimensional paging, else 0
 * @gb_pages: 1 GiB pages work in a guest's own tables
 * @lfence: LFENCE serializes, and the CPU is AMD's: leaf 8000_0021 can say so on older ones too
 * @pku: the kernel has turned protection keys on, and two-dimensional paging is in use
 */
struct cpuid_host {
	void (*cpuid)(u32 leaf, u32 subleaf, u32 out[4]);
	u32 (*kernel)(enum cpuid_word word);
	u64 xcr0, xss;
	u32 pv_features;
	u8 phys_bits;
	bool gb_pages, lfence, pku;
};

struct cpuid_caps {
	u32 word[CPUID_WORDS];
};

const struct cpuid_where *cpuid_word_where(enum cpuid_word word);
u32 cpuid_word_emulated(enum cpuid_word word);
void cpuid_caps_init(struct cpuid_caps *caps, const struct cpuid_host *host);
int cpuid_fill_supported(const struct cpuid_host *host, const struct cpuid_caps *caps,
			 struct kvm_cpuid_entry2 *entries, int max);
u32 cpuid_xsave_size(const struct cpuid_host *host, u64 features, bool compacted);

#endif
