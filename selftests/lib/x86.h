/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_X86_H
#define SELFTEST_X86_H

/* x86 facts that tests share and that no uapi header gives (Intel SDM, AMD APM). */

#include <asm/kvm.h>

#define CR0_PE		(1ul << 0)
#define CR0_MP		(1ul << 1)
#define CR0_EM		(1ul << 2)
#define CR0_TS		(1ul << 3)
#define CR0_ET		(1ul << 4)
#define CR0_NE		(1ul << 5)
#define CR0_WP		(1ul << 16)
#define CR0_AM		(1ul << 18)
#define CR0_NW		(1ul << 29)
#define CR0_CD		(1ul << 30)
#define CR0_PG		(1ul << 31)

#define CR4_VME		(1ul << 0)
#define CR4_DE		(1ul << 3)
#define CR4_PSE		(1ul << 4)
#define CR4_PAE		(1ul << 5)
#define CR4_PGE		(1ul << 7)
#define CR4_OSFXSR	(1ul << 9)
#define CR4_OSXMMEXCPT	(1ul << 10)
#define CR4_UMIP	(1ul << 11)
#define CR4_LA57	(1ul << 12)
#define CR4_FSGSBASE	(1ul << 16)
#define CR4_OSXSAVE	(1ul << 18)
#define CR4_SMEP	(1ul << 20)
#define CR4_SMAP	(1ul << 21)

#define EFER_SCE	(1ul << 0)
#define EFER_LME	(1ul << 8)
#define EFER_LMA	(1ul << 10)
#define EFER_NX		(1ul << 11)

#define FLAG_CF		(1ul << 0)
#define FLAG_FIXED	(1ul << 1)
#define FLAG_PF		(1ul << 2)
#define FLAG_AF		(1ul << 4)
#define FLAG_ZF		(1ul << 6)
#define FLAG_SF		(1ul << 7)
#define FLAG_TF		(1ul << 8)
#define FLAG_IF		(1ul << 9)
#define FLAG_DF		(1ul << 10)
#define FLAG_OF		(1ul << 11)
#define FLAG_IOPL	(3ul << 12)
#define FLAG_NT		(1ul << 14)
#define FLAG_RF		(1ul << 16)
#define FLAG_VM		(1ul << 17)
#define FLAG_AC		(1ul << 18)
#define FLAG_VIF	(1ul << 19)
#define FLAG_VIP	(1ul << 20)
#define FLAG_ID		(1ul << 21)

#define PTE_P		(1ul << 0)
#define PTE_W		(1ul << 1)
#define PTE_U		(1ul << 2)
#define PTE_A		(1ul << 5)
#define PTE_D		(1ul << 6)
#define PTE_PS		(1ul << 7)
#define PTE_NX		(1ul << 63)

#define PFERR_P		(1u << 0)
#define PFERR_W		(1u << 1)
#define PFERR_U		(1u << 2)
#define PFERR_RSVD	(1u << 3)
#define PFERR_I		(1u << 4)

/* The other vectors are in asm/kvm.h. */
#define NMI_VECTOR	2

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MISC_ENABLE		0x1a0
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SYSCALL_MASK	0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

#define PAGE_SIZE	4096ul
#define SZ_2M		0x200000ul
#define SZ_1G		0x40000000ul

#endif
