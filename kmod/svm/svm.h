/* SPDX-License-Identifier: GPL-2.0-only */
/* The SVM backend's own structs and what its files share. */
#ifndef OKVM_SVM_H
#define OKVM_SVM_H

#include <asm/svm.h>

#include "svm/enter.h"
#include "vmm.h"

/* VMCB clean bits, APM vol. 2, 15.15.3 "VMCB Clean Field". */
enum svm_clean {
	CLEAN_INTERCEPTS,	/* intercepts, TSC offset, PAUSE filter */
	CLEAN_PERMISSIONS,	/* IOPM and MSRPM addresses */
	CLEAN_ASID,
	CLEAN_INTR,		/* int_ctl, int_vector */
	CLEAN_NPT,		/* nested CR3, g_pat */
	CLEAN_CR,		/* CR0, CR3, CR4, EFER */
	CLEAN_DR,
	CLEAN_DT,		/* GDT, IDT */
	CLEAN_SEG,		/* CS, DS, SS, ES, CPL */
	CLEAN_CR2,
	CLEAN_LBR,
};

struct svm_vcpu {
	struct vmcb *vmcb;
	u64 vmcb_pa;
	struct svm_enter enter;
	u64 asid_generation;
	u64 spec_ctrl, virt_spec_ctrl;
	u64 tsc_aux;
	bool virq;		/* vcpu->ev.irq is on its way as a virtual interrupt */
	bool nmi_masked;	/* an NMI handler runs: its IRET has not been seen */
	bool iret_window;	/* its IRET is about to execute at iret_rip */
	bool nmi_step;		/* TF is ours: find the end of that IRET */
	u64 iret_rip;
	u64 nmi_step_rflags;	/* the guest's TF and RF under nmi_step */
	/* As before the last entry that may have failed. */
	struct {
		struct vmcb_save_area save;
		u32 int_ctl, int_state;
	} kept;
};

/* A CPU's part. */
struct svm_cpu {
	struct page *hsave;	/* VM_HSAVE_PA: VMRUN's */
	struct page *host;	/* the host's VMLOAD state */
	u64 generation;		/* of ASIDs; a vCPU of an older one takes a new ASID */
	u32 next_asid;
	struct vmcb *last;	/* the VMCB that ran last: another one gets an IBPB */
};

DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

extern u32 svm_max_asid;
extern bool svm_use_virq, svm_cr8_exits, svm_cr0_reads_exit;
extern struct page *svm_iopm;

static inline struct svm_vcpu *to_svm(struct okvm_vcpu *vcpu)
{
	return vcpu->priv;
}

static inline struct vmcb *to_vmcb(struct okvm_vcpu *vcpu)
{
	return to_svm(vcpu)->vmcb;
}

static inline void svm_dirty(struct vmcb *vmcb, enum svm_clean bit)
{
	vmcb->control.clean &= ~BIT(bit);
}

static inline void svm_set_intercept(struct vmcb *vmcb, u32 bit)
{
	__set_bit(bit, (unsigned long *)vmcb->control.intercepts);
	svm_dirty(vmcb, CLEAN_INTERCEPTS);
}

static inline void svm_clear_intercept(struct vmcb *vmcb, u32 bit)
{
	__clear_bit(bit, (unsigned long *)vmcb->control.intercepts);
	svm_dirty(vmcb, CLEAN_INTERCEPTS);
}

static inline bool svm_intercepts(const struct vmcb *vmcb, u32 bit)
{
	return test_bit(bit, (const unsigned long *)vmcb->control.intercepts);
}

/* control.c */
void svm_vcpu_reset(struct okvm_vcpu *vcpu, bool init);
void svm_set_root(struct okvm_vcpu *vcpu, u64 root_hpa);
void svm_set_tsc(struct okvm_vcpu *vcpu);
void svm_set_debug(struct okvm_vcpu *vcpu);
void svm_set_cpuid(struct okvm_vcpu *vcpu);
void svm_flush_tlb(struct okvm_vcpu *vcpu);
void svm_dump(struct okvm_vcpu *vcpu);
/* state.c */
void svm_cache_reg(struct okvm_vcpu *vcpu, int reg);
void svm_get_segment(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which);
void svm_set_segment(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which);
int svm_cpl(struct okvm_vcpu *vcpu);
bool svm_long_code(struct okvm_vcpu *vcpu);
void svm_get_table(struct okvm_vcpu *vcpu, struct kvm_dtable *dt, bool idt);
void svm_set_table(struct okvm_vcpu *vcpu, const struct kvm_dtable *dt, bool idt);
void svm_set_cr(struct okvm_vcpu *vcpu, int cr);
void svm_keep_state(struct svm_vcpu *svm);
void svm_restore_state(struct svm_vcpu *svm);
/* interrupts.c */
void svm_inject_exception(struct okvm_vcpu *vcpu);
void svm_inject_irq(struct okvm_vcpu *vcpu);
void svm_inject_nmi(struct okvm_vcpu *vcpu);
void svm_cancel_injection(struct okvm_vcpu *vcpu);
bool svm_irq_allowed(struct okvm_vcpu *vcpu);
bool svm_nmi_allowed(struct okvm_vcpu *vcpu);
void svm_want_window(struct okvm_vcpu *vcpu, bool nmi);
u32 svm_get_shadow(struct okvm_vcpu *vcpu);
void svm_set_shadow(struct okvm_vcpu *vcpu, u32 shadow);
void svm_set_nmi_mask(struct okvm_vcpu *vcpu, bool masked);
bool svm_get_nmi_mask(struct okvm_vcpu *vcpu);
void svm_set_tpr_limit(struct okvm_vcpu *vcpu, int irr);
void svm_take_back_events(struct okvm_vcpu *vcpu);
void svm_irq_window_opened(struct okvm_vcpu *vcpu);
void svm_iret_exited(struct okvm_vcpu *vcpu);
void svm_check_iret_done(struct okvm_vcpu *vcpu);
bool svm_nmi_step_done(struct okvm_vcpu *vcpu);
/* msr.c */
int svm_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data);
int svm_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data);
void svm_set_msr_exits(struct okvm_vcpu *vcpu);
int svm_msr_setup(void);
void svm_msr_unsetup(void);
void svm_load_tsc_aux(struct okvm_vcpu *vcpu);
void svm_note_tsc_aux(void);
void svm_drop_tsc_aux(void);
/* exit.c */
void svm_decode_exit(struct okvm_vcpu *vcpu);
/* run.c */
void svm_run(struct okvm_vcpu *vcpu);

#endif
