// SPDX-License-Identifier: GPL-2.0-only
/* The VMCB's save area: segments, tables, control registers. */
#include "svm/svm.h"

static struct vmcb_seg *segment(struct okvm_vcpu *vcpu, int which)
{
	struct vmcb_save_area *save = &to_vmcb(vcpu)->save;

	switch (which) {
	case SEG_CS:
		return &save->cs;
	case SEG_DS:
		return &save->ds;
	case SEG_ES:
		return &save->es;
	case SEG_FS:
		return &save->fs;
	case SEG_GS:
		return &save->gs;
	case SEG_SS:
		return &save->ss;
	case SEG_TR:
		return &save->tr;
	default:
		return &save->ldtr;
	}
}

/** svm_cache_reg - read what svm_run() leaves in the VMCB: CR3 */
void svm_cache_reg(struct okvm_vcpu *vcpu, int reg)
{
	if (reg == REG_CR3 && okvm_hw.tdp)
		vcpu->cr3 = to_vmcb(vcpu)->save.cr3;
	vcpu->regs_avail |= BIT(reg);
}

/**
 * svm_get_segment - a segment register
 * @vcpu: the vCPU
 * @seg: filled
 * @which: SEG_*
 *
 * The VMCB's attributes are what the CPU happens to keep; what depends on them elsewhere (VM entry
 * on VMX after a migration) wants them consistent: G from the limit, TR busy, data accessed.
 */
void svm_get_segment(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which)
{
	const struct vmcb_seg *s = segment(vcpu, which);

	*seg = (struct kvm_segment) {
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attrib & SVM_SELECTOR_TYPE_MASK,
		.s = !!(s->attrib & SVM_SELECTOR_S_MASK),
		.dpl = (s->attrib & SVM_SELECTOR_DPL_MASK) >> SVM_SELECTOR_DPL_SHIFT,
		.present = !!(s->attrib & SVM_SELECTOR_P_MASK),
		.avl = !!(s->attrib & SVM_SELECTOR_AVL_MASK),
		.l = !!(s->attrib & SVM_SELECTOR_L_MASK),
		.db = !!(s->attrib & SVM_SELECTOR_DB_MASK),
		.g = s->limit > 0xfffff,
		.unusable = !(s->attrib & SVM_SELECTOR_P_MASK),
	};
	switch (which) {
	case SEG_CS:
		break;
	case SEG_TR:
		seg->type |= 2;
		break;
	case SEG_LDTR:
		break;
	case SEG_SS:
		if (seg->unusable)
			seg->db = 0;
		seg->dpl = to_vmcb(vcpu)->save.cpl;
		break;
	default:
		if (!seg->unusable)
			seg->type |= 1;
	}
}

/** svm_set_segment - load a segment register; SS brings the CPL */
void svm_set_segment(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	struct vmcb_seg *s = segment(vcpu, which);

	s->base = seg->base;
	s->limit = seg->limit;
	s->selector = seg->selector;
	s->attrib = seg->type & SVM_SELECTOR_TYPE_MASK;
	s->attrib |= (seg->s & 1) << SVM_SELECTOR_S_SHIFT;
	s->attrib |= (seg->dpl & 3) << SVM_SELECTOR_DPL_SHIFT;
	s->attrib |= (seg->present && !seg->unusable) << SVM_SELECTOR_P_SHIFT;
	s->attrib |= (seg->avl & 1) << SVM_SELECTOR_AVL_SHIFT;
	s->attrib |= (seg->l & 1) << SVM_SELECTOR_L_SHIFT;
	s->attrib |= (seg->db & 1) << SVM_SELECTOR_DB_SHIFT;
	s->attrib |= (seg->g & 1) << SVM_SELECTOR_G_SHIFT;
	if (which == SEG_SS)
		vmcb->save.cpl = seg->dpl & 3;
	svm_dirty(vmcb, CLEAN_SEG);
}

/** svm_cpl - current privilege level */
int svm_cpl(struct okvm_vcpu *vcpu)
{
	return to_vmcb(vcpu)->save.cpl;
}

/** svm_long_code - CS.L */
bool svm_long_code(struct okvm_vcpu *vcpu)
{
	return to_vmcb(vcpu)->save.cs.attrib & SVM_SELECTOR_L_MASK;
}

static struct vmcb_seg *table(struct okvm_vcpu *vcpu, bool idt)
{
	struct vmcb_save_area *save = &to_vmcb(vcpu)->save;

	return idt ? &save->idtr : &save->gdtr;
}

/** svm_get_table - GDTR or IDTR */
void svm_get_table(struct okvm_vcpu *vcpu, struct kvm_dtable *dt, bool idt)
{
	dt->base = table(vcpu, idt)->base;
	dt->limit = table(vcpu, idt)->limit;
}

/** svm_set_table - load GDTR or IDTR */
void svm_set_table(struct okvm_vcpu *vcpu, const struct kvm_dtable *dt, bool idt)
{
	table(vcpu, idt)->base = dt->base;
	table(vcpu, idt)->limit = dt->limit;
	svm_dirty(to_vmcb(vcpu), CLEAN_DT);
}

static void intercept_if(struct vmcb *vmcb, bool on, u32 bit)
{
	if (on)
		svm_set_intercept(vmcb, bit);
	else
		svm_clear_intercept(vmcb, bit);
}

/*
 * CR0.CD and NW would make the guest uncached, which serves nobody: the hardware runs without them
 * (as with KVM_X86_QUIRK_CD_NW_CLEARED) and reads exit while the guest believes in them. Without
 * nested paging it runs with paging on, and its kernel write-protected.
 */
static void set_cr0(struct okvm_vcpu *vcpu, struct vmcb *vmcb)
{
	unsigned long hidden = X86_CR0_CD | X86_CR0_NW;

	vmcb->save.cr0 = vcpu->cr0 & ~hidden;
	if (!okvm_hw.tdp)
		vmcb->save.cr0 |= X86_CR0_PG | X86_CR0_WP;
	intercept_if(vmcb, vmcb->save.cr0 != vcpu->cr0 || svm_cr0_reads_exit, INTERCEPT_CR0_READ);
}

/* Machine checks stay enabled for the host; a guest without CR4.MCE does not see that. */
static void set_cr4(struct okvm_vcpu *vcpu, struct vmcb *vmcb)
{
	unsigned long host_mce = cr4_read_shadow() & X86_CR4_MCE;

	vmcb->save.cr4 = vcpu->cr4 | host_mce;
	if (!okvm_hw.tdp)
		vmcb->save.cr4 = okvm_shadow_cr4(vcpu, vmcb->save.cr4);
	intercept_if(vmcb, vmcb->save.cr4 != vcpu->cr4, INTERCEPT_CR4_READ);
}

/*
 * LME does nothing until paging is on, which exits. QEMU's TCG takes it for the host's when such a
 * guest exits without CR4.PAE, and leaves the host without paging.
 */
static void set_efer(struct okvm_vcpu *vcpu, struct vmcb *vmcb)
{
	u64 hidden = vcpu->efer & EFER_LMA ? 0 : EFER_LME;

	vmcb->save.efer = (vcpu->efer & ~hidden) | EFER_SVME;
	if (!okvm_hw.tdp)
		vmcb->save.efer |= EFER_NX;
}

/** svm_set_cr - CR0, CR3, CR4 or EFER (CR_EFER) changed in @vcpu */
void svm_set_cr(struct okvm_vcpu *vcpu, int cr)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	switch (cr) {
	case 0:
		set_cr0(vcpu, vmcb);
		if (!okvm_hw.tdp)
			set_cr4(vcpu, vmcb);
		break;
	case 3:
		if (okvm_hw.tdp)
			vmcb->save.cr3 = vcpu->cr3;
		vcpu->regs_avail |= BIT(REG_CR3);
		break;
	case 4:
		set_cr4(vcpu, vmcb);
		break;
	case CR_EFER:
		set_efer(vcpu, vmcb);
		break;
	}
	svm_dirty(vmcb, CLEAN_CR);
}

/* What an entry looks at: only we can have made it wrong, and have dirtied it then. */
#define CHECKED	(BIT(CLEAN_CR) | BIT(CLEAN_SEG) | BIT(CLEAN_DT))

/**
 * svm_keep_state - copy the guest's state before an entry that may fail
 * @svm: the vCPU's part
 *
 * VMRUN that finds the state wrong leaves the host's in its place on QEMU's TCG, where user space
 * could read it. Most entries change nothing that is checked, and pay one look.
 */
void svm_keep_state(struct svm_vcpu *svm)
{
	const struct vmcb_control_area *control = &svm->vmcb->control;
	u32 event = control->event_inj & (SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_MASK);

	if (likely((control->clean & CHECKED) == CHECKED &&
		   event != (SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_EXEPT)))
		return;
	svm->kept.save = svm->vmcb->save;
	svm->kept.int_ctl = control->int_ctl;
	svm->kept.int_state = control->int_state;
}

/** svm_restore_state - after an entry that failed: the VMCB as before it, none of it cached */
void svm_restore_state(struct svm_vcpu *svm)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	svm->vmcb->save = svm->kept.save;
	control->int_ctl = svm->kept.int_ctl;
	control->int_state = svm->kept.int_state;
	control->event_inj = control->exit_int_info = 0;
	control->clean = 0;
}
