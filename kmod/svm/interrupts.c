// SPDX-License-Identifier: GPL-2.0-only
/* Event injection, windows, and NMIs on CPUs without virtual NMI. APM vol. 2, 15.20, 15.21. */
#include "svm/svm.h"

/** svm_inject_exception - deliver vcpu->ev.exception at the next VMRUN */
void svm_inject_exception(struct okvm_vcpu *vcpu)
{
	struct vmcb_control_area *control = &to_vmcb(vcpu)->control;
	const typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;

	control->event_inj = e->vector | SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_EXEPT |
			     (e->has_error ? SVM_EVTINJ_VALID_ERR : 0);
	control->event_inj_err = e->error;
}

static void set_virq(struct vmcb *vmcb, u8 vector)
{
	vmcb->control.int_ctl |= V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK;
	vmcb->control.int_vector = vector;
	svm_dirty(vmcb, CLEAN_INTR);
	if (svm_cr8_exits)
		svm_set_intercept(vmcb, INTERCEPT_CR8_WRITE);
}

static void clear_virq(struct vmcb *vmcb)
{
	vmcb->control.int_ctl &= ~V_IRQ_INJECTION_BITS_MASK;
	svm_dirty(vmcb, CLEAN_INTR);
}

static void inject_irq_event(struct okvm_vcpu *vcpu)
{
	to_vmcb(vcpu)->control.event_inj = vcpu->ev.irq.vector | SVM_EVTINJ_VALID |
					   SVM_EVTINJ_TYPE_INTR;
}

/**
 * svm_inject_irq - deliver vcpu->ev.irq at the next VMRUN
 * @vcpu: the vCPU
 *
 * Where svm_use_virq says so, as a virtual interrupt, when the CPU would take it at once and an
 * interrupt window does not need the VMCB's only one.
 */
void svm_inject_irq(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!svm_use_virq || !svm_irq_allowed(vcpu) || svm_intercepts(svm->vmcb, INTERCEPT_VINTR)) {
		inject_irq_event(vcpu);
		return;
	}
	svm->virq = true;
	set_virq(svm->vmcb, vcpu->ev.irq.vector);
}

/** svm_inject_nmi - deliver an NMI at the next VMRUN; further ones wait for its IRET */
void svm_inject_nmi(struct okvm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->control.event_inj = SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_NMI;
	svm_set_nmi_mask(vcpu, true);
}

/**
 * svm_cancel_injection - no event at the next VMRUN: the entry that had one did not come about
 * @vcpu: the vCPU; vcpu->ev still has the event
 */
void svm_cancel_injection(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->control.event_inj = 0;
	if (!svm->virq)
		return;
	svm->virq = false;
	clear_virq(svm->vmcb);
}

/*
 * Was the virtual interrupt not delivered? The CPU clears V_IRQ when it has been taken, and also
 * when its delivery faulted, which EXITINTINFO tells then; QEMU's TCG leaves it set in that case.
 */
static bool take_back_virq(struct svm_vcpu *svm)
{
	bool taken = !(svm->vmcb->control.int_ctl & V_IRQ_MASK);

	svm->virq = false;
	clear_virq(svm->vmcb);
	return !taken;
}

static void requeue_irq(struct okvm_vcpu *vcpu, u8 vector)
{
	vcpu->ev.irq.injected = true;
	vcpu->ev.irq.soft = false;
	vcpu->ev.irq.vector = vector;
	okvm_request(vcpu, REQ_EVENT);
}

/**
 * svm_take_back_events - what was being delivered when the exit came goes back to the queue
 * @vcpu: the vCPU, right after #VMEXIT
 *
 * Software interrupts and exceptions are not taken back: RIP is still on the instruction, which
 * raises them again.
 */
void svm_take_back_events(struct okvm_vcpu *vcpu)
{
	struct vmcb_control_area *control = &to_vmcb(vcpu)->control;
	u32 info = control->exit_int_info;
	u8 vector = info & SVM_EXITINTINFO_VEC_MASK;
	struct okvm_events *ev = &vcpu->ev;

	ev->exception.injected = ev->nmi_injected = ev->irq.injected = false;
	control->event_inj = 0;
	if (to_svm(vcpu)->virq && take_back_virq(to_svm(vcpu))) {
		requeue_irq(vcpu, ev->irq.vector);
		return;
	}
	if (likely(!(info & SVM_EXITINTINFO_VALID)))
		return;
	switch (info & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_NMI:
		ev->nmi_injected = true;
		break;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		if (vector == X86_TRAP_BP || vector == X86_TRAP_OF)
			break;
		ev->exception.injected = true;
		ev->exception.vector = vector;
		ev->exception.has_error = info & SVM_EXITINTINFO_VALID_ERR;
		ev->exception.error = control->exit_int_info_err;
		ev->exception.has_payload = false;
		break;
	case SVM_EXITINTINFO_TYPE_INTR:
		requeue_irq(vcpu, vector);
		break;
	}
	okvm_request(vcpu, REQ_EVENT);
}

/** svm_irq_allowed - would the CPU take an interrupt now? */
bool svm_irq_allowed(struct okvm_vcpu *vcpu)
{
	return (vcpu->regs[REG_RFLAGS] & X86_EFLAGS_IF) &&
	       !(to_vmcb(vcpu)->control.int_state & SVM_INTERRUPT_SHADOW_MASK);
}

/** svm_nmi_allowed - would the CPU take an NMI now? */
bool svm_nmi_allowed(struct okvm_vcpu *vcpu)
{
	return !to_svm(vcpu)->nmi_masked &&
	       !(to_vmcb(vcpu)->control.int_state & SVM_INTERRUPT_SHADOW_MASK);
}

/* A virtual interrupt that is intercepted: the exit comes as soon as one could be taken. */
static void want_irq_window(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm_intercepts(svm->vmcb, INTERCEPT_VINTR))
		return;
	if (svm->virq) {
		svm->virq = false;
		inject_irq_event(vcpu);
	}
	set_virq(svm->vmcb, 0);
	svm_set_intercept(svm->vmcb, INTERCEPT_VINTR);
}

/**
 * svm_want_window - exit as soon as an interrupt (or NMI) can be taken
 * @vcpu: the vCPU
 * @nmi: an NMI
 *
 * An NMI behind a running handler waits for that handler's IRET, which exits; behind an interrupt
 * shadow, or within that IRET, it waits for one instruction: a single step.
 */
void svm_want_window(struct okvm_vcpu *vcpu, bool nmi)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!nmi)
		want_irq_window(vcpu);
	else if (!svm->nmi_masked || svm->iret_window)
		svm->nmi_step = true;
}

/** svm_irq_window_opened - the exit that svm_want_window() asked for */
void svm_irq_window_opened(struct okvm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	clear_virq(vmcb);
	svm_clear_intercept(vmcb, INTERCEPT_VINTR);
}

/** svm_iret_exited - an NMI handler is about to return: the IRET itself has not run yet */
void svm_iret_exited(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm_clear_intercept(svm->vmcb, INTERCEPT_IRET);
	svm->iret_window = true;
	svm->iret_rip = vcpu->regs[REG_RIP];
}

/** svm_check_iret_done - has the guest moved past that IRET? Then NMIs are open again */
void svm_check_iret_done(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	/* Even an IRET to itself is over after a single step. */
	if (vcpu->regs[REG_RIP] == svm->iret_rip &&
	    svm->vmcb->control.exit_code != SVM_EXIT_EXCP_BASE + X86_TRAP_DB)
		return;
	svm->iret_window = false;
	svm->nmi_masked = false;
	okvm_request(vcpu, REQ_EVENT);
}

/**
 * svm_nmi_step_done - a #DB exited: was it the single step towards an NMI window?
 * @vcpu: the vCPU
 *
 * Return: true when it was only that, and the guest must not see it.
 */
bool svm_nmi_step_done(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!svm->nmi_step)
		return false;
	svm->nmi_step = false;
	okvm_request(vcpu, REQ_EVENT);
	return !(svm->nmi_step_rflags & X86_EFLAGS_TF) &&
	       !(vcpu->dbg.guest_debug & KVM_GUESTDBG_SINGLESTEP);
}

/** svm_get_shadow - SVM does not tell STI's shadow from MOV SS's: both */
u32 svm_get_shadow(struct okvm_vcpu *vcpu)
{
	if (to_vmcb(vcpu)->control.int_state & SVM_INTERRUPT_SHADOW_MASK)
		return KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS;
	return 0;
}

/** svm_set_shadow - KVM_X86_SHADOW_INT_*: hold interrupts off for one instruction; 0: end it */
void svm_set_shadow(struct okvm_vcpu *vcpu, u32 shadow)
{
	struct vmcb_control_area *control = &to_vmcb(vcpu)->control;

	if (shadow)
		control->int_state |= SVM_INTERRUPT_SHADOW_MASK;
	else
		control->int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
}

/** svm_set_nmi_mask - an NMI handler runs, or none does */
void svm_set_nmi_mask(struct okvm_vcpu *vcpu, bool masked)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->nmi_masked = masked;
	svm->iret_window = false;
	if (masked)
		svm_set_intercept(svm->vmcb, INTERCEPT_IRET);
	else
		svm_clear_intercept(svm->vmcb, INTERCEPT_IRET);
}

/** svm_get_nmi_mask - does an NMI handler run? */
bool svm_get_nmi_mask(struct okvm_vcpu *vcpu)
{
	return to_svm(vcpu)->nmi_masked;
}

/**
 * svm_set_tpr_limit - CR8 writes exit while an interrupt waits for a lower TPR
 * @vcpu: the vCPU
 * @irr: a vector that the TPR holds back, or -1
 *
 * QEMU's TCG gives up when a guest writes CR8 itself while a virtual interrupt waits: there it
 * exits then, too.
 */
void svm_set_tpr_limit(struct okvm_vcpu *vcpu, int irr)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	bool on = irr >= 0 || (svm_cr8_exits && (vmcb->control.int_ctl & V_IRQ_MASK));

	if (on == svm_intercepts(vmcb, INTERCEPT_CR8_WRITE))
		return;
	if (on)
		svm_set_intercept(vmcb, INTERCEPT_CR8_WRITE);
	else
		svm_clear_intercept(vmcb, INTERCEPT_CR8_WRITE);
}
