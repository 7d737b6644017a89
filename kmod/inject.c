// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, NMIs and interrupts on their way into the guest. One of each kind can wait; what
 * was being delivered when an exit came is delivered again before anything new.
 */
#include <linux/kvm.h>

#include "inject.h"
#include "run.h"
#include "vmm.h"

enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum exception_class class_of(u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return PAGE_FAULT;
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return CONTRIBUTORY;
	default:
		return BENIGN;
	}
}

/* SDM vol. 3, "Interrupt 8 - Double Fault Exception": which pairs make a double fault. */
static bool makes_double_fault(u8 first, u8 second)
{
	enum exception_class a = class_of(first), b = class_of(second);

	return (a == CONTRIBUTORY && b == CONTRIBUTORY) || (a == PAGE_FAULT && b != BENIGN);
}

static void queue(struct okvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, bool has_payload,
		  u64 payload)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;

	okvm_request(vcpu, REQ_EVENT);
	if (e->pending || e->injected) {
		if (e->vector == X86_TRAP_DF) {
			okvm_triple_fault(vcpu);
			return;
		}
		if (makes_double_fault(e->vector, vector)) {
			vector = X86_TRAP_DF;
			has_error = true;
			error = 0;
			has_payload = false;
		}
	}
	e->pending = true;
	e->injected = false;
	e->vector = vector;
	e->has_error = has_error;
	e->error = error;
	e->has_payload = has_payload;
	e->payload = payload;
}

/**
 * okvm_queue_exception - the guest gets an exception without error code
 * @vcpu: the vCPU
 * @vector: its vector
 *
 * An exception that waits already and this one may become a double fault, or a triple fault.
 * Context: vCPU thread. The same for the three below.
 */
void okvm_queue_exception(struct okvm_vcpu *vcpu, u8 vector)
{
	queue(vcpu, vector, false, 0, false, 0);
}

/** okvm_queue_exception_error - with an error code; in real mode none is pushed */
void okvm_queue_exception_error(struct okvm_vcpu *vcpu, u8 vector, u32 error)
{
	queue(vcpu, vector, vcpu->cr0 & X86_CR0_PE, error, false, 0);
}

/** okvm_queue_exception_payload - #DB with the DR6 bits that it sets */
void okvm_queue_exception_payload(struct okvm_vcpu *vcpu, u8 vector, u64 payload)
{
	queue(vcpu, vector, false, 0, true, payload);
}

/** okvm_queue_page_fault - #PF; CR2 is written when it is delivered */
void okvm_queue_page_fault(struct okvm_vcpu *vcpu, u64 address, u32 error)
{
	okvm_count(vcpu, pf_guest);
	queue(vcpu, X86_TRAP_PF, true, error, true, address);
}

/**
 * okvm_queue_nmi - an NMI arrives
 * @vcpu: the vCPU
 *
 * Context: any.
 */
void okvm_queue_nmi(struct okvm_vcpu *vcpu)
{
	atomic_inc(&vcpu->ev.nmi_queued);
	okvm_request_kick(vcpu, REQ_NMI);
}

/**
 * okvm_delivering - did the exit come while an event was being delivered?
 * @vcpu: the vCPU, right after the exit
 *
 * What the guest accessed was then the event's stack or vector, not an operand of the instruction
 * at RIP. An event of an instruction that is to run again does not count.
 */
bool okvm_delivering(const struct okvm_vcpu *vcpu)
{
	const struct okvm_events *ev = &vcpu->ev;

	return ev->exception.injected || ev->irq.injected || ev->nmi_injected;
}

/**
 * okvm_triple_fault - the guest shuts down
 * @vcpu: the vCPU; KVM_RUN returns KVM_EXIT_SHUTDOWN
 */
void okvm_triple_fault(struct okvm_vcpu *vcpu)
{
	okvm_request(vcpu, REQ_TRIPLE_FAULT);
}

/** okvm_clear_events - forget all that waits: reset, INIT */
void okvm_clear_events(struct okvm_vcpu *vcpu)
{
	vcpu->ev.exception.pending = vcpu->ev.exception.injected = false;
	vcpu->ev.irq.injected = false;
	vcpu->ev.nmi_injected = false;
	vcpu->ev.nmi_pending = 0;
	atomic_set(&vcpu->ev.nmi_queued, 0);
}

/**
 * okvm_take_queued_nmis - move NMIs of other threads to this one's count, on REQ_NMI
 * @vcpu: the vCPU
 *
 * Two can wait: one held off by the handler that runs, one latched behind it.
 */
void okvm_take_queued_nmis(struct okvm_vcpu *vcpu)
{
	int limit = 2, n;

	if (okvm_backend->get_nmi_mask(vcpu) || vcpu->ev.nmi_injected)
		limit = 1;
	n = vcpu->ev.nmi_pending + atomic_xchg(&vcpu->ev.nmi_queued, 0);
	vcpu->ev.nmi_pending = min(n, limit);
	okvm_request(vcpu, REQ_EVENT);
}

/**
 * okvm_deliver_payload - write CR2 or DR6 as the exception's delivery does
 * @vcpu: the vCPU, with a pending exception
 */
void okvm_deliver_payload(struct okvm_vcpu *vcpu)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;

	if (!e->has_payload)
		return;
	if (e->vector == X86_TRAP_PF) {
		vcpu->cr2 = e->payload;
	} else if (e->vector == X86_TRAP_DB) {
		vcpu->dbg.dr6 &= ~(DR_TRAP_BITS | DR_STEP | DR_SWITCH);
		vcpu->dbg.dr6 |= DR6_IDLE | e->payload;
		/* DR6.RTM is active low: the payload names it when it is to be clear. */
		vcpu->dbg.dr6 ^= e->payload & DR6_TRANSACTION;
		vcpu->dbg.dr7 &= ~DR7_GENERAL_DETECT;
		okvm_backend->set_debug(vcpu);
	}
	e->has_payload = false;
}

/* Faults push RFLAGS with RF set, so that a code breakpoint does not hit again on return. */
static bool is_fault(u8 vector)
{
	return vector != X86_TRAP_DB && vector != X86_TRAP_BP && vector != X86_TRAP_OF &&
	       vector != X86_TRAP_DF && vector != X86_TRAP_MC;
}

static void inject_pending_exception(struct okvm_vcpu *vcpu)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;

	if (is_fault(e->vector))
		okvm_reg_set(vcpu, REG_RFLAGS, okvm_reg(vcpu, REG_RFLAGS) | X86_EFLAGS_RF);
	okvm_deliver_payload(vcpu);
	e->pending = false;
	e->injected = true;
	okvm_backend->inject_exception(vcpu);
}

/* True when the entry's one place for an event is used up. */
static bool inject_old(struct okvm_vcpu *vcpu)
{
	struct okvm_events *ev = &vcpu->ev;

	if (ev->exception.injected)
		okvm_backend->inject_exception(vcpu);
	else if (ev->exception.pending)
		return false;
	else if (ev->nmi_injected)
		okvm_backend->inject_nmi(vcpu);
	else if (ev->irq.injected)
		okvm_backend->inject_irq(vcpu);
	else
		return false;
	return true;
}

static void inject_nmi(struct okvm_vcpu *vcpu)
{
	vcpu->ev.nmi_pending--;
	vcpu->ev.nmi_injected = true;
	okvm_count(vcpu, nmi_injections);
	okvm_backend->inject_nmi(vcpu);
}

static void inject_irq(struct okvm_vcpu *vcpu)
{
	int vector = okvm_irq_take(vcpu);

	if (vector < 0)
		return;
	vcpu->ev.irq.injected = true;
	vcpu->ev.irq.soft = false;
	vcpu->ev.irq.vector = vector;
	okvm_count(vcpu, irq_injections);
	okvm_backend->inject_irq(vcpu);
}

/**
 * okvm_inject_events - put the next event into the control block, ask for windows for the rest
 * @vcpu: the vCPU, loaded, on its way into the guest
 *
 * What has been put there stays marked as injected: an entry that is called off, or an exit in
 * the middle of the delivery, finds it again here.
 *
 * Context: vCPU thread, interrupts on.
 */
void okvm_inject_events(struct okvm_vcpu *vcpu)
{
	struct okvm_events *ev = &vcpu->ev;
	bool used;

	/* An entry that was called off may have left one that is no longer wanted. */
	okvm_backend->cancel_injection(vcpu);
	used = inject_old(vcpu);
	if (ev->exception.pending && !used) {
		inject_pending_exception(vcpu);
		used = true;
	} else if (ev->exception.pending) {
		/* Not before the old one is through: look again right after. */
		okvm_request(vcpu, REQ_EVENT);
	}
	if (okvm_irqs_blocked(vcpu))
		return;
	if (ev->nmi_pending) {
		if (!used && okvm_backend->nmi_allowed(vcpu)) {
			inject_nmi(vcpu);
			used = true;
		}
		if (ev->nmi_pending)
			okvm_backend->want_window(vcpu, true);
	}
	if (okvm_irq_injectable(vcpu)) {
		if (!used && okvm_backend->irq_allowed(vcpu))
			inject_irq(vcpu);
		if (okvm_irq_injectable(vcpu))
			okvm_backend->want_window(vcpu, false);
	}
	if (vcpu->lapic)
		okvm_backend->set_tpr_limit(vcpu, okvm_lapic_highest_irr(vcpu));
}
