// SPDX-License-Identifier: GPL-2.0-only
/* Events on their way into the guest, and whether the vCPU runs, as user space sees them. */
#include <asm/trapnr.h>

#include "inject.h"
#include "msr.h"
#include "regs.h"
#include "vmm.h"

static bool is_soft(u8 vector)
{
	return vector == X86_TRAP_BP || vector == X86_TRAP_OF;
}

/*
 * Unless it has asked for KVM_CAP_EXCEPTION_PAYLOAD, user space is not told of "pending": one that
 * has not been tried yet is shown as injected, with CR2 or DR6 already written. A software
 * exception is not shown: its instruction runs again.
 */
static void get_exception(struct okvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;
	bool payload = READ_ONCE(vcpu->vm->clock.exception_payload);

	if (e->pending && !payload)
		okvm_deliver_payload(vcpu);
	if (!is_soft(e->vector)) {
		events->exception.injected = e->injected || (e->pending && !payload);
		events->exception.pending = e->pending && payload;
	}
	events->exception.nr = e->vector;
	events->exception.has_error_code = e->has_error;
	events->exception.error_code = e->error;
	if (!payload)
		return;
	events->exception_has_payload = e->has_payload;
	events->exception_payload = e->payload;
	events->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
}

/**
 * okvm_get_events - KVM_GET_VCPU_EVENTS
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_vcpu_events
 */
long okvm_get_events(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_vcpu_events *events = arg;
	struct okvm_events *ev = &vcpu->ev;

	if (okvm_take_request(vcpu, REQ_NMI))
		okvm_take_queued_nmis(vcpu);
	memset(events, 0, sizeof(*events));
	events->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	get_exception(vcpu, events);
	events->interrupt.injected = ev->irq.injected && !ev->irq.soft;
	events->interrupt.nr = ev->irq.vector;
	events->interrupt.shadow = okvm_backend->get_shadow(vcpu);
	events->nmi.injected = ev->nmi_injected;
	events->nmi.pending = ev->nmi_pending;
	events->nmi.masked = okvm_backend->get_nmi_mask(vcpu);
	if (READ_ONCE(vcpu->vm->clock.triple_fault_event)) {
		events->triple_fault.pending = test_bit(REQ_TRIPLE_FAULT, &vcpu->requests);
		events->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

static u32 valid_flags(struct okvm_vcpu *vcpu)
{
	u32 flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		    KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	if (READ_ONCE(vcpu->vm->clock.exception_payload))
		flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vcpu->vm->clock.triple_fault_event))
		flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	return flags;
}

static bool valid_events(struct okvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	bool pending = events->flags & KVM_VCPUEVENT_VALID_PAYLOAD && events->exception.pending;

	if (events->flags & ~valid_flags(vcpu))
		return false;
	/* There is no system management mode; saying so is fine. */
	if (events->flags & KVM_VCPUEVENT_VALID_SMM &&
	    (events->smi.smm || events->smi.pending || events->smi.smm_inside_nmi ||
	     events->smi.latched_init))
		return false;
	if (!events->exception.injected && !pending)
		return true;
	return events->exception.nr < 32 && events->exception.nr != X86_TRAP_NMI;
}

static void set_exception(struct okvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	typeof(vcpu->ev.exception) *e = &vcpu->ev.exception;
	bool payload = events->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	e->pending = payload && events->exception.pending;
	e->injected = events->exception.injected && !e->pending;
	e->vector = events->exception.nr;
	e->has_error = events->exception.has_error_code;
	e->error = events->exception.error_code;
	e->has_payload = e->pending && events->exception_has_payload;
	e->payload = e->has_payload ? events->exception_payload : 0;
}

static void set_triple_fault(struct okvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	if (!(events->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT))
		return;
	if (events->triple_fault.pending)
		okvm_request(vcpu, REQ_TRIPLE_FAULT);
	else
		clear_bit(REQ_TRIPLE_FAULT, &vcpu->requests);
}

/**
 * okvm_set_events - KVM_SET_VCPU_EVENTS
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_vcpu_events
 *
 * Return: 0, or -EINVAL: unknown flags, or those of a capability that is not enabled; no such
 * exception; a SMI. Nothing changed then.
 */
long okvm_set_events(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_vcpu_events *events = arg;
	struct okvm_events *ev = &vcpu->ev;

	if (!valid_events(vcpu, events))
		return -EINVAL;
	if (okvm_take_request(vcpu, REQ_NMI))
		okvm_take_queued_nmis(vcpu);
	set_exception(vcpu, events);
	ev->irq.injected = events->interrupt.injected;
	ev->irq.vector = events->interrupt.nr;
	ev->irq.soft = events->interrupt.soft;
	if (events->flags & KVM_VCPUEVENT_VALID_SHADOW)
		okvm_backend->set_shadow(vcpu, events->interrupt.shadow);
	ev->nmi_injected = events->nmi.injected;
	if (events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		ev->nmi_pending = min_t(u8, events->nmi.pending, 2);
	okvm_backend->set_nmi_mask(vcpu, events->nmi.masked);
	if (events->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		vcpu->msrs->sipi_vector = events->sipi_vector;
	set_triple_fault(vcpu, events);
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}

/**
 * okvm_get_mp_state - KVM_GET_MP_STATE; INIT and SIPI that wait are acted on first
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_mp_state
 */
long okvm_get_mp_state(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_mp_state *state = arg;

	if (vcpu->lapic && okvm_lapic_events_pending(vcpu))
		okvm_lapic_accept_events(vcpu);
	state->mp_state = vcpu->mp_state;
	/* Woken by a hypercall, and only its thread has not seen it yet. */
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && test_bit(REQ_UNHALT, &vcpu->requests))
		state->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

/**
 * okvm_set_mp_state - KVM_SET_MP_STATE
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_mp_state
 *
 * Return: 0, or -EINVAL: unknown, or a state that only a vCPU with a local APIC in the kernel has.
 */
long okvm_set_mp_state(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_mp_state *state = arg;

	switch (state->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (vcpu->lapic)
			break;
		fallthrough;
	default:
		return -EINVAL;
	}
	if (state->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		okvm_vcpu_sipi(vcpu, vcpu->msrs->sipi_vector);
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
	} else {
		WRITE_ONCE(vcpu->mp_state, state->mp_state);
	}
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}
