// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers and EFER: which values a guest may write, and what a change brings about.
 * SDM vol. 3, "Control Registers" and "Paging"; APM vol. 2, "System-Control Registers".
 */
#include <asm/processor-flags.h>

#include "cpuid.h"
#include "regs.h"
#include "vmm.h"

#define CR0_KNOWN (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
		   X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

/* Bits that choose how guest page tables are read. */
#define CR0_PAGING	(X86_CR0_PG | X86_CR0_WP)
#define CR4_PAGING	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_LA57 | X86_CR4_SMEP | X86_CR4_SMAP | \
			 X86_CR4_PKE)
#define EFER_PAGING	(EFER_NX | EFER_LMA)

/* A change of one of these makes a CPU with PAE paging load its four PDPTEs anew. */
#define CR0_LOADS_PDPTES	(X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)
#define CR4_LOADS_PDPTES	(X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)

/* SDM vol. 3, "Operations that Invalidate TLBs and Paging-Structure Caches". */
#define CR4_FLUSHES	(X86_CR4_PGE | X86_CR4_PAE | X86_CR4_PSE | X86_CR4_LA57)

/**
 * okvm_shadow_cr4 - the CPU's CR4 under shadow paging, which is always on, with 64-bit entries
 * @vcpu: the vCPU
 * @cr4: what it would be else
 *
 * Without paging the guest has no user pages that its kernel could not touch.
 */
unsigned long okvm_shadow_cr4(struct okvm_vcpu *vcpu, unsigned long cr4)
{
	cr4 |= X86_CR4_PAE;
	if (!okvm_paging(vcpu))
		cr4 &= ~(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	if (!okvm_long_mode(vcpu))
		cr4 &= ~(X86_CR4_LA57 | X86_CR4_PCIDE);
	return cr4;
}

/**
 * okvm_valid_cr0 - may CR0 hold this?
 * @vcpu: the vCPU
 * @cr0: the value
 */
bool okvm_valid_cr0(struct okvm_vcpu *vcpu, unsigned long cr0)
{
	if (upper_32_bits(cr0))
		return false;
	if (cr0 & X86_CR0_NW && !(cr0 & X86_CR0_CD))
		return false;
	return !(cr0 & X86_CR0_PG) || cr0 & X86_CR0_PE;
}

/**
 * okvm_valid_cr4 - may CR4 hold this, by the guest's CPUID and the host?
 * @vcpu: the vCPU
 * @cr4: the value
 */
bool okvm_valid_cr4(struct okvm_vcpu *vcpu, unsigned long cr4)
{
	return !(cr4 & vcpu->cpuid.cr4_reserved);
}

/**
 * okvm_valid_efer - may the guest write this to EFER, by its CPUID and the host?
 * @vcpu: the vCPU
 * @efer: the value
 */
bool okvm_valid_efer(struct okvm_vcpu *vcpu, u64 efer)
{
	if (efer & ~okvm_host_efer_valid())
		return false;
	if (efer & (EFER_LME | EFER_LMA) && !guest_has(vcpu, GUEST_LM))
		return false;
	if (efer & EFER_NX && !guest_has(vcpu, GUEST_NX))
		return false;
	if (efer & EFER_FFXSR && !guest_has(vcpu, GUEST_FXSR_OPT))
		return false;
	return !(efer & EFER_SCE) || guest_has(vcpu, GUEST_SYSCALL) || guest_has(vcpu, GUEST_LM);
}

#define PDPTE_PRESENT	BIT_ULL(0)
#define PDPTE_RESERVED	(GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5))

/** okvm_read_pdptes - PAE paging's four first entries in memory; 0 or -EFAULT */
int okvm_read_pdptes(struct okvm_vcpu *vcpu, unsigned long cr3, u64 pdpte[4])
{
	return okvm_read_guest(vcpu, cr3 & GENMASK(31, 5), pdpte, 4 * sizeof(*pdpte));
}

/** okvm_valid_pdptes - are no reserved bits set in entries that are present? */
bool okvm_valid_pdptes(struct okvm_vcpu *vcpu, const u64 pdpte[4])
{
	int i;

	for (i = 0; i < 4; i++)
		if (pdpte[i] & PDPTE_PRESENT &&
		    pdpte[i] & (PDPTE_RESERVED | vcpu->cpuid.reserved_gpa))
			return false;
	return true;
}

/* The CPU loads all four when PAE paging starts or CR3 is written, and faults on a bad one. */
static bool pdptes_ok(struct okvm_vcpu *vcpu, unsigned long cr3)
{
	u64 pdpte[4];

	return !okvm_read_pdptes(vcpu, cr3, pdpte) && okvm_valid_pdptes(vcpu, pdpte);
}

/**
 * okvm_cr_changed - act on new CR0, CR4 and EFER that are in place
 * @vcpu: the vCPU, loaded
 * @old_cr0: what CR0 was
 * @old_cr4: what CR4 was
 * @old_efer: what EFER was
 *
 * Hands the registers to the backend, flushes what the change makes stale, tells the MMU.
 */
void okvm_cr_changed(struct okvm_vcpu *vcpu, unsigned long old_cr0, unsigned long old_cr4,
		     u64 old_efer)
{
	unsigned long cr0_diff = old_cr0 ^ vcpu->cr0, cr4_diff = old_cr4 ^ vcpu->cr4;
	u64 efer_diff = old_efer ^ vcpu->efer;

	if (efer_diff)
		okvm_backend->set_cr(vcpu, CR_EFER);
	if (cr4_diff)
		okvm_backend->set_cr(vcpu, 4);
	if (cr0_diff)
		okvm_backend->set_cr(vcpu, 0);

	if (cr0_diff & X86_CR0_PG || cr4_diff & CR4_FLUSHES || efer_diff & EFER_NX ||
	    cr4_diff & ~vcpu->cr4 & X86_CR4_PCIDE || cr4_diff & vcpu->cr4 & X86_CR4_SMEP)
		okvm_request(vcpu, REQ_TLB_FLUSH_GUEST);
	if (cr4_diff & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		okvm_cpuid_update_runtime(vcpu);
	if (cr0_diff & CR0_PAGING || cr4_diff & CR4_PAGING || efer_diff & EFER_PAGING)
		okvm_mmu_vcpu_reset(vcpu);
}

static bool cs_is_long(struct okvm_vcpu *vcpu)
{
	struct kvm_segment cs;

	okvm_get_segment(vcpu, &cs, SEG_CS);
	return cs.l;
}

/* Turning paging on, or changing what PAE paging depends on. */
static bool cr0_paging_ok(struct okvm_vcpu *vcpu, unsigned long cr0)
{
	bool starts = cr0 & X86_CR0_PG && !okvm_paging(vcpu);

	if (!(cr0 & X86_CR0_PG))
		return !(vcpu->cr4 & X86_CR4_PCIDE);
	if (starts && vcpu->efer & EFER_LME)
		return vcpu->cr4 & X86_CR4_PAE && !cs_is_long(vcpu);
	if (!(vcpu->efer & EFER_LME) && vcpu->cr4 & X86_CR4_PAE &&
	    (cr0 ^ vcpu->cr0) & CR0_LOADS_PDPTES)
		return pdptes_ok(vcpu, okvm_cr3(vcpu));
	return true;
}

/**
 * okvm_set_cr0 - the guest writes CR0
 * @vcpu: the vCPU, loaded
 * @value: what it writes; reserved bits of the low half are ignored, ET stays set
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_cr0(struct okvm_vcpu *vcpu, unsigned long value)
{
	unsigned long old = vcpu->cr0;
	u64 old_efer = vcpu->efer;

	if (!okvm_valid_cr0(vcpu, value))
		return 1;
	value = (value & CR0_KNOWN) | X86_CR0_ET;
	if (value == old)
		return 0;
	if (!cr0_paging_ok(vcpu, value))
		return 1;
	vcpu->cr0 = value;
	if (vcpu->efer & EFER_LME && (value ^ old) & X86_CR0_PG)
		vcpu->efer = value & X86_CR0_PG ? vcpu->efer | EFER_LMA : vcpu->efer & ~EFER_LMA;
	okvm_cr_changed(vcpu, old, vcpu->cr4, old_efer);
	return 0;
}

/**
 * okvm_lmsw - the guest's LMSW: bits 3..0 of CR0; it can set PE and not clear it
 * @vcpu: the vCPU, loaded
 * @source: the operand
 *
 * Return: 0, or 1 for #GP(0).
 */
int okvm_lmsw(struct okvm_vcpu *vcpu, u16 source)
{
	unsigned long bits = X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;

	return okvm_set_cr0(vcpu, (vcpu->cr0 & ~bits) | (source & (bits | X86_CR0_PE)));
}

/** okvm_clts - the guest's CLTS; 0, or 1 for #GP(0) */
int okvm_clts(struct okvm_vcpu *vcpu)
{
	return okvm_set_cr0(vcpu, vcpu->cr0 & ~X86_CR0_TS);
}

#define CR3_NOFLUSH BIT_ULL(63)

/**
 * okvm_set_cr3 - the guest writes CR3
 * @vcpu: the vCPU, loaded
 * @value: what it writes; with CR4.PCIDE, bit 63 keeps the TLB
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_cr3(struct okvm_vcpu *vcpu, unsigned long value)
{
	bool flush = true;

	if (vcpu->cr4 & X86_CR4_PCIDE) {
		flush = !(value & CR3_NOFLUSH);
		value &= ~CR3_NOFLUSH;
	}
	if (value & vcpu->cpuid.reserved_gpa)
		return 1;
	if (okvm_pae_paging(vcpu) && !pdptes_ok(vcpu, value))
		return 1;
	vcpu->cr3 = value;
	vcpu->regs_avail |= BIT(REG_CR3);
	okvm_backend->set_cr(vcpu, 3);
	okvm_mmu_new_cr3(vcpu);
	if (flush)
		okvm_request(vcpu, REQ_TLB_FLUSH_GUEST);
	return 0;
}

static bool cr4_paging_ok(struct okvm_vcpu *vcpu, unsigned long cr4)
{
	unsigned long diff = cr4 ^ vcpu->cr4;

	if (okvm_long_mode(vcpu)) {
		if (!(cr4 & X86_CR4_PAE) || diff & X86_CR4_LA57)
			return false;
	} else if (okvm_paging(vcpu) && cr4 & X86_CR4_PAE && diff & CR4_LOADS_PDPTES &&
		   !pdptes_ok(vcpu, okvm_cr3(vcpu))) {
		return false;
	}
	/* PCIDs start in long mode, with the current one 0. */
	if (diff & cr4 & X86_CR4_PCIDE)
		return okvm_long_mode(vcpu) && !(okvm_cr3(vcpu) & 0xfff);
	return true;
}

/**
 * okvm_set_cr4 - the guest writes CR4
 * @vcpu: the vCPU, loaded
 * @value: what it writes
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_cr4(struct okvm_vcpu *vcpu, unsigned long value)
{
	unsigned long old = vcpu->cr4;

	if (!okvm_valid_cr4(vcpu, value) || !cr4_paging_ok(vcpu, value))
		return 1;
	vcpu->cr4 = value;
	okvm_cr_changed(vcpu, vcpu->cr0, old, vcpu->efer);
	return 0;
}

/**
 * okvm_set_cr8 - write the task priority
 * @vcpu: the vCPU, loaded
 * @value: 0 to 15
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_cr8(struct okvm_vcpu *vcpu, unsigned long value)
{
	if (value & ~0xful)
		return 1;
	if (vcpu->lapic)
		okvm_lapic_set_tpr(vcpu, value);
	else
		vcpu->cr8 = value;
	return 0;
}

/** okvm_get_cr8 - the task priority, 0 to 15 */
unsigned long okvm_get_cr8(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic ? okvm_lapic_get_tpr(vcpu) : vcpu->cr8;
}

/**
 * okvm_set_efer - write EFER
 * @vcpu: the vCPU, loaded
 * @value: what is written; LMA keeps its state, CR0.PG changes it
 * @host: for an ioctl: the guest's CPUID does not limit it
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_efer(struct okvm_vcpu *vcpu, u64 value, bool host)
{
	u64 old = vcpu->efer;

	if (value & ~okvm_host_efer_valid())
		return 1;
	if (!host && !okvm_valid_efer(vcpu, value))
		return 1;
	if (!host && okvm_paging(vcpu) && (value ^ old) & EFER_LME)
		return 1;
	vcpu->efer = (value & ~EFER_LMA) | (old & EFER_LMA);
	okvm_cr_changed(vcpu, vcpu->cr0, vcpu->cr4, old);
	return 0;
}
