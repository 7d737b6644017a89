/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU's registers: what their files need of each other, and the run loop of them. */
#ifndef OKVM_REGS_H
#define OKVM_REGS_H

#include <linux/kvm.h>
#include <linux/types.h>

#include "vmm.h"

#define OKVM_HWCR_MC_STATUS_WR_EN	BIT(18)

static inline bool okvm_canonical(struct okvm_vcpu *vcpu, u64 address)
{
	int shift = vcpu->cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(address << shift) >> shift) == address;
}

static inline bool okvm_paging(struct okvm_vcpu *vcpu)
{
	return vcpu->cr0 & X86_CR0_PG;
}

/* Neither 32-bit paging, nor long mode's. */
static inline bool okvm_pae_paging(struct okvm_vcpu *vcpu)
{
	return okvm_paging(vcpu) && vcpu->cr4 & X86_CR4_PAE && !okvm_long_mode(vcpu);
}

/* regs.c */
int okvm_sync_regs_load(struct okvm_vcpu *vcpu);	/* at the start of KVM_RUN: 0 or -EINVAL */
void okvm_sync_regs_store(struct okvm_vcpu *vcpu);	/* at its end */
u64 okvm_linear_rip(struct okvm_vcpu *vcpu);
unsigned long okvm_get_rflags(struct okvm_vcpu *vcpu);
void okvm_set_rflags(struct okvm_vcpu *vcpu, unsigned long rflags);
long okvm_get_regs(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_regs(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_sregs(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_sregs(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_sregs2(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_sregs2(struct okvm_vcpu *vcpu, void *arg);

/* events.c */
long okvm_get_events(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_events(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_mp_state(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_mp_state(struct okvm_vcpu *vcpu, void *arg);

/* cr.c: 0, or 1 for #GP(0) */
int okvm_lmsw(struct okvm_vcpu *vcpu, u16 source);
int okvm_clts(struct okvm_vcpu *vcpu);
int okvm_read_pdptes(struct okvm_vcpu *vcpu, unsigned long cr3, u64 pdpte[4]);
bool okvm_valid_pdptes(struct okvm_vcpu *vcpu, const u64 pdpte[4]);
void okvm_cr_changed(struct okvm_vcpu *vcpu, unsigned long old_cr0, unsigned long old_cr4,
		     u64 old_efer);

/* xstate.c */
u64 okvm_xstate_setup(void);
long okvm_get_fpu(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_fpu(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_xsave(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_xsave2(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_xsave(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_xcrs(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_xcrs(struct okvm_vcpu *vcpu, void *arg);

/* debug.c */
#define OKVM_GUESTDBG_VALID (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | \
			     KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | \
			     KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | \
			     KVM_GUESTDBG_BLOCKIRQ)
long okvm_get_debugregs(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_debugregs(struct okvm_vcpu *vcpu, void *arg);
long okvm_set_guest_debug(struct okvm_vcpu *vcpu, void *arg);
u64 okvm_effective_dr7(struct okvm_vcpu *vcpu);

/* tsc.c */
void okvm_tsc_write_host(struct okvm_vcpu *vcpu, u64 value);
void okvm_tsc_write_guest(struct okvm_vcpu *vcpu, u64 value);
void okvm_tsc_set_adjust(struct okvm_vcpu *vcpu, u64 value, bool host);
u32 okvm_host_tsc_khz(void);
u64 okvm_tsc_cycles(struct okvm_vcpu *vcpu, u64 ns);	/* guest TSC ticks in that time */
long okvm_set_tsc_khz(struct okvm_vcpu *vcpu, void *arg);
long okvm_get_tsc_khz(struct okvm_vcpu *vcpu, void *arg);
long okvm_vm_set_tsc_khz(struct okvm_vm *vm, void *arg);
long okvm_vm_get_tsc_khz(struct okvm_vm *vm, void *arg);
long okvm_vcpu_set_attr(struct okvm_vcpu *vcpu, void *arg);
long okvm_vcpu_get_attr(struct okvm_vcpu *vcpu, void *arg);
long okvm_vcpu_has_attr(struct okvm_vcpu *vcpu, void *arg);

#endif
