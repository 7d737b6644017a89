// SPDX-License-Identifier: GPL-2.0-only
/*
 * PV EOI: while the only vector in service needs no more than an EOI of its local APIC, a flag in
 * guest memory says so. The guest clears it instead of writing EOI, and saves the exit. At each
 * exit the flag is taken back: if the guest has cleared it, that was the EOI.
 */
#include <uapi/asm/kvm_para.h>

#include "chip.h"

/**
 * okvm_pv_eoi_set - write MSR_KVM_PV_EOI_EN
 * @vcpu: the vCPU
 * @data: bit 0 enables; the rest is the flag's address, 4-byte aligned
 *
 * Return: 0, or 1 for #GP.
 */
int okvm_pv_eoi_set(struct okvm_vcpu *vcpu, u64 data)
{
	if (!vcpu->lapic || (data & 2))
		return 1;
	vcpu->lapic->pv_eoi_msr = data;
	return 0;
}

/** okvm_pv_eoi_get - read MSR_KVM_PV_EOI_EN */
u64 okvm_pv_eoi_get(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic ? vcpu->lapic->pv_eoi_msr : 0;
}

static gpa_t flag_gpa(const struct okvm_lapic *l)
{
	return l->pv_eoi_msr & ~KVM_MSR_ENABLED;
}

/* One vector in service, nothing behind it, and nobody else wants to hear of its end. */
static bool eoi_is_simple(struct okvm_lapic *l)
{
	const struct lapic *a = &l->apic;

	/* Where the CPU ends the service itself nothing is to be saved. */
	return !a->hw && a->isr_count == 1 && lapic_highest(a, APIC_IRR) < 0 &&
	       !lapic_test(a, APIC_TMR, a->isr_top) &&
	       !test_bit(a->isr_top, l->vcpu->vm->irqchip->edge_eois);
}

/**
 * okvm_pv_eoi_enter - before the guest runs: offer the flag if it may be used
 * @vcpu: the vCPU
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_pv_eoi_enter(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;
	u8 flag = KVM_PV_EOI_ENABLED;

	if (!l || !(l->pv_eoi_msr & KVM_MSR_ENABLED) || l->pv_eoi_offered || !eoi_is_simple(l))
		return;
	l->pv_eoi_offered = !okvm_write_guest(vcpu, flag_gpa(l), &flag, sizeof(flag));
}

/**
 * okvm_pv_eoi_exit - after the guest ran: take the flag back; vAPIC's word, too
 * @vcpu: the vCPU
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_pv_eoi_exit(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;
	u8 flag;

	if (!l)
		return;
	if (unlikely(l->vapic_gpa))
		vapic_exit(vcpu);
	if (likely(!l->pv_eoi_offered))
		return;
	l->pv_eoi_offered = false;
	if (okvm_read_guest(vcpu, flag_gpa(l), &flag, sizeof(flag)))
		return;
	if (!(flag & KVM_PV_EOI_ENABLED)) {
		lapic_eoi(&l->apic);
		return;
	}
	flag = KVM_PV_EOI_DISABLED;
	okvm_write_guest(vcpu, flag_gpa(l), &flag, sizeof(flag));
}
