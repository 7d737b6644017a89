// SPDX-License-Identifier: GPL-2.0-only
/*
 * Help for guests that write TPR all the time (32-bit Windows): user space is told of each access,
 * and may patch the guest to use a word in memory instead, which is kept in step here.
 */
#include "chip.h"

/* The word: TPR, the class of the highest vector in service, and the highest that waits. */
static u32 vapic_word(const struct lapic *l)
{
	int isr = lapic_highest(l, APIC_ISR), irr = lapic_highest(l, APIC_IRR);

	return (lapic_reg(l, APIC_TASKPRI) & 0xff) | (isr > 0 ? (isr & 0xf0) << 8 : 0) |
	       (irr > 0 ? (u32)irr << 24 : 0);
}

/**
 * okvm_vapic_enter - the APIC's state may have changed: bring the guest's word up to date
 * @vcpu: the vCPU, with a local APIC
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_vapic_enter(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;
	u32 word;

	if (likely(!l->vapic_gpa) || l->apic.mode == LAPIC_OFF)
		return;
	word = vapic_word(&l->apic);
	okvm_write_guest(vcpu, l->vapic_gpa, &word, sizeof(word));
}

/**
 * vapic_exit - the guest ran: what it wrote to the word is its TPR
 * @vcpu: the vCPU, with a local APIC and a word
 *
 * Context: vCPU thread, may sleep.
 */
void vapic_exit(struct okvm_vcpu *vcpu)
{
	u32 word;

	if (!okvm_read_guest(vcpu, vcpu->lapic->vapic_gpa, &word, sizeof(word)))
		lapic_set_tpr(&vcpu->lapic->apic, word & 0xff);
}

/**
 * vapic_tpr_access - the guest read or wrote TPR in the APIC's page or by its MSR
 * @vcpu: the vCPU, with a local APIC
 * @write: which
 */
void vapic_tpr_access(struct okvm_vcpu *vcpu, bool write)
{
	if (likely(!vcpu->lapic->tpr_reports))
		return;
	vcpu->run->tpr_access.rip = okvm_reg(vcpu, REG_RIP);
	vcpu->run->tpr_access.is_write = write;
	okvm_request(vcpu, REQ_TPR_ACCESS);
}

/**
 * irqchip_set_vapic_addr - KVM_SET_VAPIC_ADDR
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_vapic_addr; 0 ends it
 *
 * KVM API document, 4.34.
 *
 * Return: 0; -EINVAL: no local APIC in the kernel, or no memory there.
 */
long irqchip_set_vapic_addr(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_vapic_addr *addr = arg;
	u32 word;

	if (!vcpu->lapic)
		return -EINVAL;
	if (addr->vapic_addr && okvm_read_guest(vcpu, addr->vapic_addr, &word, sizeof(word)))
		return -EINVAL;
	vcpu->lapic->vapic_gpa = addr->vapic_addr;
	okvm_apicv_changed(vcpu);
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}

/**
 * irqchip_set_tpr_reports - KVM_TPR_ACCESS_REPORTING
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_tpr_access_ctl
 *
 * KVM API document, 4.33.
 *
 * Return: 0; -EINVAL: unknown flags.
 */
long irqchip_set_tpr_reports(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_tpr_access_ctl *ctl = arg;

	if (ctl->flags)
		return -EINVAL;
	if (vcpu->lapic)
		vcpu->lapic->tpr_reports = ctl->enabled;
	okvm_apicv_changed(vcpu);
	return 0;
}
