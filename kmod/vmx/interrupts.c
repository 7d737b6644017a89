// SPDX-License-Identifier: GPL-2.0-only
/* Event injection, what an exit interrupted, windows, and blocking. SDM vol. 3, 26.6 and 27.2.4. */
#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"

/* Without virtual NMIs: what has interrupts off for longer in the guest is no NMI handler. */
#define NMI_HANDLER_MS	1000

/** vmx_interruptibility - GUEST_INTR_STATE_* bits, read once an exit */
u32 vmx_interruptibility(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!vmx->intr_known) {
		vmx->intr = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
		vmx->intr_known = true;
		/* Without virtual NMIs it is about the host's, which an injected one blocks. */
		if (unlikely(!vmx_features.vnmi && vmx->intr & GUEST_INTR_STATE_NMI)) {
			vmx->intr &= ~GUEST_INTR_STATE_NMI;
			vmx->intr_dirty = true;
		}
	}
	return vmx->intr;
}

static void set_interruptibility(struct okvm_vcpu *vcpu, u32 value)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx_interruptibility(vcpu) == value)
		return;
	vmx->intr = value;
	vmx->intr_dirty = true;
}

/**
 * vmx_load_interruptibility - write it back, and what RFLAGS.TF makes of it
 * @vcpu: the vCPU, right before the entry, and its interruptibility or RFLAGS changed
 *
 * An entry wants a step to be pending exactly if TF is set and the next instruction is shadowed.
 */
void vmx_load_interruptibility(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool shadowed = vmx_interruptibility(vcpu) & SHADOW_BITS, step;
	unsigned long pending, wanted;

	/* An entry wants no shadow on a halted guest. */
	if (shadowed)
		vmx_leave_halt(vcpu);
	if (shadowed || vmx->intr_dirty) {
		step = shadowed && okvm_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_TF;
		pending = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);
		wanted = step ? pending | PENDING_STEP : pending & ~PENDING_STEP;
		if (pending != wanted)
			vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, wanted);
	}
	if (vmx->intr_dirty)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO, vmx->intr);
	vmx->intr_dirty = false;
}

/**
 * vmx_leave_halt - the guest's HLT is over: RIP is another, or an event is to be delivered
 * @vcpu: the vCPU
 *
 * Only a guest whose HLT does not exit is halted in the CPU's eyes.
 */
void vmx_leave_halt(struct okvm_vcpu *vcpu)
{
	if (likely(!okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_HLT)))
		return;
	if (vmcs_read(GUEST_ACTIVITY_STATE) == GUEST_ACTIVITY_HLT)
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

static void put_event(struct okvm_vcpu *vcpu, u32 info)
{
	vmx_leave_halt(vcpu);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_VALID_MASK | info);
}

static bool is_software_exception(u8 vector)
{
	return vector == X86_TRAP_BP || vector == X86_TRAP_OF;
}

/** vmx_inject_exception - deliver vcpu->ev.exception at the next entry */
void vmx_inject_exception(struct okvm_vcpu *vcpu)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;
	bool software = is_software_exception(e->vector);
	u32 info = e->vector;

	if (vmx_deliver_by_software(vcpu, e->vector, e->has_error, e->error,
				    software ? to_vmx(vcpu)->soft_len : 0)) {
		e->injected = false;
		return;
	}
	if (software) {
		/* The handler returns behind the instruction. */
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, to_vmx(vcpu)->soft_len);
		info |= INTR_TYPE_SOFT_EXCEPTION;
	} else {
		info |= INTR_TYPE_HARD_EXCEPTION;
	}
	/* Real mode pushes no error code, and an entry insists on that, and on 16 bits. */
	if (e->has_error && vcpu->cr0 & X86_CR0_PE) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, (u16)e->error);
	}
	put_event(vcpu, info);
}

/** vmx_inject_irq - deliver vcpu->ev.irq at the next entry */
void vmx_inject_irq(struct okvm_vcpu *vcpu)
{
	if (vmx_deliver_by_software(vcpu, vcpu->ev.irq.vector, false, 0, 0)) {
		vcpu->ev.irq.injected = false;
		return;
	}
	put_event(vcpu, INTR_TYPE_EXT_INTR | vcpu->ev.irq.vector);
}

/** vmx_inject_nmi - deliver an NMI at the next entry, which blocks further ones until its IRET */
void vmx_inject_nmi(struct okvm_vcpu *vcpu)
{
	if (vmx_deliver_by_software(vcpu, X86_TRAP_NMI, false, 0, 0)) {
		vcpu->ev.nmi_injected = false;
		vmx_set_nmi_mask(vcpu, true);
		return;
	}
	/* If the CPU blocks them, it is the entry that does; one that finds them blocked fails. */
	vmx_set_nmi_mask(vcpu, !vmx_features.vnmi);
	put_event(vcpu, INTR_TYPE_NMI_INTR | X86_TRAP_NMI);
}

/** vmx_cancel_injection - no event at the next entry */
void vmx_cancel_injection(struct okvm_vcpu *vcpu)
{
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
}

static void take_back_exception(struct okvm_vcpu *vcpu, u32 vectoring)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;

	e->injected = true;
	e->vector = vectoring & VECTORING_INFO_VECTOR_MASK;
	e->has_error = vectoring & VECTORING_INFO_DELIVER_CODE_MASK;
	e->error = e->has_error ? vmcs_read(IDT_VECTORING_ERROR_CODE) : 0;
	e->has_payload = false;
}

/**
 * vmx_take_back_events - what was being delivered when the exit came goes back to the queue
 * @vcpu: the vCPU, right after an exit
 * @vectoring: the IDT-vectoring information field
 *
 * INT n and INT1 are not taken back: RIP is still on the instruction, which raises them again.
 */
void vmx_take_back_events(struct okvm_vcpu *vcpu, u32 vectoring)
{
	struct okvm_events *ev = &vcpu->ev;

	ev->exception.injected = ev->nmi_injected = ev->irq.injected = false;
	if (likely(!(vectoring & VECTORING_INFO_VALID_MASK)))
		return;
	switch (vectoring & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_EXT_INTR:
		ev->irq.injected = true;
		ev->irq.soft = false;
		ev->irq.vector = vectoring & VECTORING_INFO_VECTOR_MASK;
		break;
	case INTR_TYPE_NMI_INTR:
		/* It blocks NMIs anew when it is injected. */
		ev->nmi_injected = true;
		vmx_set_nmi_mask(vcpu, false);
		break;
	case INTR_TYPE_SOFT_EXCEPTION:
		to_vmx(vcpu)->soft_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		fallthrough;
	case INTR_TYPE_HARD_EXCEPTION:
		take_back_exception(vcpu, vectoring);
		break;
	}
	okvm_request(vcpu, REQ_EVENT);
}

/** vmx_irq_allowed - would the CPU take an interrupt now? */
bool vmx_irq_allowed(struct okvm_vcpu *vcpu)
{
	if (!(okvm_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_IF))
		return false;
	return !(vmx_interruptibility(vcpu) & SHADOW_BITS);
}

/** vmx_nmi_allowed - would the CPU take an NMI now? */
bool vmx_nmi_allowed(struct okvm_vcpu *vcpu)
{
	return !(vmx_interruptibility(vcpu) & SHADOW_BITS) && !vmx_get_nmi_mask(vcpu);
}

/**
 * vmx_want_window - exit as soon as an interrupt (or NMI) can be taken
 * @vcpu: the vCPU
 * @nmi: an NMI
 *
 * CPUs differ in whether STI's shadow closes the NMI window. It closes the interrupt window on all.
 * Without virtual NMIs there is no NMI window: when interrupts are on, no NMI handler runs.
 */
void vmx_want_window(struct okvm_vcpu *vcpu, bool nmi)
{
	if (nmi && vmx_features.vnmi && !(vmx_interruptibility(vcpu) & GUEST_INTR_STATE_STI))
		vmx_control(to_vmx(vcpu), CPU_BASED_NMI_WINDOW_EXITING, true);
	else
		vmx_control(to_vmx(vcpu), CPU_BASED_INTR_WINDOW_EXITING, true);
}

/** vmx_get_shadow - KVM_X86_SHADOW_INT_* */
u32 vmx_get_shadow(struct okvm_vcpu *vcpu)
{
	u32 intr = vmx_interruptibility(vcpu), shadow = 0;

	if (intr & GUEST_INTR_STATE_STI)
		shadow |= KVM_X86_SHADOW_INT_STI;
	if (intr & GUEST_INTR_STATE_MOV_SS)
		shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	return shadow;
}

/** vmx_set_shadow - hold interrupts off for one instruction, or (0) do not; never both bits */
void vmx_set_shadow(struct okvm_vcpu *vcpu, u32 shadow)
{
	u32 value = vmx_interruptibility(vcpu) & ~SHADOW_BITS;

	if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
		value |= GUEST_INTR_STATE_MOV_SS;
	else if (shadow & KVM_X86_SHADOW_INT_STI)
		value |= GUEST_INTR_STATE_STI;
	set_interruptibility(vcpu, value);
}

/** vmx_set_nmi_mask - an NMI handler runs, or none does */
void vmx_set_nmi_mask(struct okvm_vcpu *vcpu, bool masked)
{
	u32 value;

	if (!vmx_features.vnmi) {
		to_vmx(vcpu)->nmi.masked = masked;
		to_vmx(vcpu)->nmi.ticks = 0;
		return;
	}
	value = vmx_interruptibility(vcpu) & ~GUEST_INTR_STATE_NMI;
	set_interruptibility(vcpu, masked ? value | GUEST_INTR_STATE_NMI : value);
}

/** vmx_get_nmi_mask - does an NMI handler run? */
bool vmx_get_nmi_mask(struct okvm_vcpu *vcpu)
{
	if (!vmx_features.vnmi)
		return to_vmx(vcpu)->nmi.masked;
	return vmx_interruptibility(vcpu) & GUEST_INTR_STATE_NMI;
}

/**
 * vmx_guess_nmi_mask - without virtual NMIs nobody sees a handler's IRET: is it over?
 * @vcpu: the vCPU, right after an exit, NMIs masked
 * @reason: the exit's
 *
 * When interrupts are on it is. If they stay off, another NMI that waits must not wait for ever:
 * with them off a HLT can only wait for one, and no handler takes long.
 */
void vmx_guess_nmi_mask(struct okvm_vcpu *vcpu, u32 reason)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool over = vmx_irq_allowed(vcpu) || (u16)reason == EXIT_REASON_HLT;

	vmx->nmi.ticks += rdtsc() - vmx->nmi.entered;
	if (!over && vcpu->ev.nmi_pending)
		over = vmx->nmi.ticks >= (u64)tsc_khz * NMI_HANDLER_MS;
	if (!over)
		return;
	vmx_set_nmi_mask(vcpu, false);
	okvm_request(vcpu, REQ_EVENT);
}

/**
 * vmx_set_tpr_limit - exit when the TPR falls below the class of a vector that it holds back
 * @vcpu: the vCPU
 * @irr: that vector, or -1
 *
 * Without the TPR shadow each write of CR8 exits anyway.
 */
void vmx_set_tpr_limit(struct okvm_vcpu *vcpu, int irr)
{
	to_vmx(vcpu)->tpr_limit = irr < 0 ? 0 : irr >> 4;
}
