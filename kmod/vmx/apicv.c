// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's registers in the CPU's hands: APIC-register virtualization, virtual-interrupt
 * delivery, posted interrupts. SDM vol. 3, "APIC Virtualization and Virtual Interrupts".
 */
#include <linux/smp.h>
#include <asm/irq_vectors.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"
#include "compat.h"

#define APICV_CONTROLS (SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)

/* The descriptor is in use in any case: without the control its notifications are plain exits. */
static void set_posted(struct vmx_vcpu *vmx, bool on)
{
	u32 pin = on ? vmx->pin | PIN_BASED_POSTED_INTR : vmx->pin & ~PIN_BASED_POSTED_INTR;

	if (!vmx_features.posted || pin == vmx->pin)
		return;
	vmx->pin = pin;
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, pin);
	if (!on)
		return;
	vmcs_write(POSTED_INTR_NV, POSTED_INTR_VECTOR);
	vmcs_write(POSTED_INTR_DESC_ADDR, __pa(vmx->posted));
}

/**
 * vmx_set_apicv - have the CPU work on the local APIC's page, or leave it alone
 * @vcpu: the vCPU, with a local APIC
 * @mode: enum okvm_apicv
 */
void vmx_set_apicv(struct okvm_vcpu *vcpu, int mode)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long page = okvm_lapic_access_page(vcpu);

	vmx_control2(vmx, APICV_CONTROLS, mode != APICV_OFF);
	vmx_control2(vmx, SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE, mode == APICV_X2APIC);
	vmx_control2(vmx, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES, mode == APICV_XAPIC && page);
	set_posted(vmx, mode != APICV_OFF);
	vmx_set_msr_exits(vcpu);
	if (mode == APICV_OFF)
		return;
	if (page)
		vmcs_write(APIC_ACCESS_ADDR, __pa(page));
	vmx_set_eoi_exits(vcpu);
}

/** vmx_set_eoi_exits - the vectors of okvm_lapic_eoi_exits() are others now */
void vmx_set_eoi_exits(struct okvm_vcpu *vcpu)
{
	const unsigned long *vectors = okvm_lapic_eoi_exits(vcpu);
	int i;

	for (i = 0; i < 4; i++)
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, READ_ONCE(vectors[i]));
}

/** vmx_posted_requests - the vCPU's posted-interrupt descriptor */
unsigned long *vmx_posted_requests(struct okvm_vcpu *vcpu)
{
	return to_vmx(vcpu)->posted;
}

/**
 * vmx_notify - an interrupt has been posted
 * @vcpu: the vCPU
 *
 * In the guest the CPU takes the notification as the news that it is, without an exit; if the vCPU
 * has just left the guest, the host's handler does nothing, and the next entry looks by itself.
 *
 * Context: any.
 */
void vmx_notify(struct okvm_vcpu *vcpu)
{
	int cpu;

	if (!vmx_features.posted) {
		okvm_vcpu_kick(vcpu);
		return;
	}
	/* Has a full barrier before it looks for a sleeper. */
	okvm_vcpu_wake(vcpu);
	preempt_disable();
	cpu = READ_ONCE(vcpu->cpu);
	if (READ_ONCE(vcpu->mode) == IN_GUEST && cpu != smp_processor_id() && cpu >= 0)
		okvm_send_ipi(cpu, POSTED_INTR_VECTOR);
	preempt_enable();
}

/**
 * vmx_sync_apic - right before the entry: what was posted, into IRR and RVI
 * @vcpu: the vCPU
 *
 * An entry computes PPR by itself.
 *
 * Context: interrupts off, after mode = IN_GUEST.
 * Return: false: there is something to inject before the guest runs.
 */
bool vmx_sync_apic(struct okvm_vcpu *vcpu)
{
	u8 irr, isr;

	if (likely(!okvm_lapic_sync_hw(vcpu, &irr, &isr)))
		return true;
	if (unlikely(!okvm_lapic_hw(vcpu))) {
		okvm_request(vcpu, REQ_EVENT);
		return false;
	}
	vmcs_write(GUEST_INTR_STATUS, isr << 8 | irr);
	return true;
}
