// SPDX-License-Identifier: GPL-2.0-only
/*
 * Local APICs whose registers the CPU works on while the guest runs: when that can be, and what is
 * left to do about it.
 *
 * In xAPIC mode the CPU finds accesses by a page that is mapped where the guest has its APIC. The
 * second-level tables are the VM's, so the page is there only while no vCPU has moved its APIC,
 * turned it off, or to x2APIC mode. Without the page accesses are emulated; the rest is the same.
 */
#include "chip.h"

/* TPR accesses are user space's to see, the guest's word follows them, or a debugger steps: no. */
static enum okvm_apicv wanted_mode(const struct okvm_lapic *l)
{
	if (!okvm_hw.apicv || l->tpr_reports || l->vapic_gpa || okvm_irqs_blocked(l->vcpu))
		return APICV_OFF;
	switch (l->apic.mode) {
	case LAPIC_XAPIC:
		return APICV_XAPIC;
	case LAPIC_X2APIC:
		return APICV_X2APIC;
	default:
		return APICV_OFF;
	}
}

static bool uses_page(struct okvm_vcpu *vcpu)
{
	return wanted_mode(vcpu->lapic) == APICV_XAPIC &&
	       (vcpu->apic_base & PAGE_MASK) == APIC_DEFAULT_PHYS_BASE;
}

/* Before the page goes nobody maps it anew: okvm_lapic_fault() looks under the tables' lock. */
static void count_elsewhere(struct okvm_vcpu *vcpu)
{
	struct okvm_irqchip *chip = vcpu->vm->irqchip;
	bool elsewhere = !uses_page(vcpu);

	if (!chip->access_page || elsewhere == vcpu->lapic->elsewhere)
		return;
	vcpu->lapic->elsewhere = elsewhere;
	if (!elsewhere)
		atomic_dec(&chip->apics_elsewhere);
	else if (atomic_inc_return(&chip->apics_elsewhere) == 1)
		okvm_mmu_unmap_own(vcpu->vm, APIC_DEFAULT_PHYS_BASE);
}

/**
 * okvm_apicv_changed - the APIC's mode or base, or who wants to see its accesses, has changed
 * @vcpu: the vCPU, loaded; with or without a local APIC
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_apicv_changed(struct okvm_vcpu *vcpu)
{
	enum okvm_apicv mode;

	if (!vcpu->lapic || !okvm_hw.apicv)
		return;
	count_elsewhere(vcpu);
	mode = wanted_mode(vcpu->lapic);
	okvm_backend->set_apicv(vcpu, mode);
	if (vcpu->lapic->apic.hw != (mode != APICV_OFF))
		lapic_set_hw(&vcpu->lapic->apic, mode != APICV_OFF);
}

/**
 * apicv_eoi_exits_changed - other vectors' EOIs are to be seen
 * @chip: the VM's controllers
 * @vectors: which
 *
 * All vCPUs know of it when this returns.
 *
 * Context: process, interrupts on.
 */
void apicv_eoi_exits_changed(struct okvm_irqchip *chip, const unsigned long *vectors)
{
	bool changed = false;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(chip->eoi_exits); i++) {
		changed |= chip->eoi_exits[i] != vectors[i];
		WRITE_ONCE(chip->eoi_exits[i], vectors[i]);
	}
	if (changed && okvm_hw.apicv)
		okvm_request_all_wait(chip->vm, REQ_EOI_EXITS);
}

/** apicv_create - new controllers: the page that stands for xAPICs; 0 or -ENOMEM */
int apicv_create(struct okvm_irqchip *chip)
{
	if (!okvm_hw.apic_page)
		return 0;
	chip->access_page = get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return chip->access_page ? 0 : -ENOMEM;
}

/** apicv_free - the end of apicv_create(); the second-level tables are gone */
void apicv_free(struct okvm_irqchip *chip)
{
	free_page(chip->access_page);
}

/* ---- for the backend ---- */

/** okvm_lapic_page - the registers, a page; the vCPU has a local APIC */
void *okvm_lapic_page(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic->apic.regs;
}

/** okvm_lapic_hw - does the CPU deliver this vCPU's interrupts? */
bool okvm_lapic_hw(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic && vcpu->lapic->apic.hw;
}

/**
 * okvm_lapic_sync_hw - right before an entry: take what has been posted
 * @vcpu: the vCPU, with a local APIC
 * @irr: the highest vector that waits, 0: none; filled if returned true
 * @isr: the highest in service
 *
 * Context: interrupts off.
 * Return: something has changed that the CPU does not know of.
 */
bool okvm_lapic_sync_hw(struct okvm_vcpu *vcpu, u8 *irr, u8 *isr)
{
	struct lapic *l = &vcpu->lapic->apic;

	lapic_sync(l);
	if (likely(!l->hw_stale))
		return false;
	l->hw_stale = false;
	*irr = max(lapic_highest(l, APIC_IRR), 0);
	*isr = max(lapic_highest(l, APIC_ISR), 0);
	return true;
}

/** okvm_lapic_access_page - the VM's page that stands for xAPICs, or 0 */
unsigned long okvm_lapic_access_page(struct okvm_vcpu *vcpu)
{
	return vcpu->vm->irqchip->access_page;
}

/** okvm_lapic_eoi_exits - 256 bits: vectors whose EOIs must exit */
const unsigned long *okvm_lapic_eoi_exits(struct okvm_vcpu *vcpu)
{
	return vcpu->vm->irqchip->eoi_exits;
}

/** okvm_lapic_x2apic_readable - may the guest read this x2APIC register out of the page? */
bool okvm_lapic_x2apic_readable(u32 msr)
{
	return lapic_has_x2apic_reg((msr - APIC_BASE_MSR) << 4);
}

/* ---- exits ---- */

/**
 * okvm_lapic_written - the CPU has written a register into the page
 * @vcpu: the vCPU
 * @reg: its offset
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_lapic_written(struct okvm_vcpu *vcpu, unsigned int reg)
{
	struct lapic *l = &vcpu->lapic->apic;

	if (reg == APIC_LVTT)
		l->deadline_timer = guest_has(vcpu, GUEST_TSC_DEADLINE);
	lapic_write_trap(l, reg & (KVM_APIC_REG_SIZE - 0x10));
}

/**
 * okvm_lapic_eoi_done - the CPU has ended the service of a vector of okvm_lapic_eoi_exits()
 * @vcpu: the vCPU
 * @vector: the vector
 */
void okvm_lapic_eoi_done(struct okvm_vcpu *vcpu, u8 vector)
{
	lapic_eoi_sent(&vcpu->lapic->apic, vector);
}

/**
 * okvm_lapic_fault - a second-level fault on the APIC's page: map what stands for it
 * @vcpu: the vCPU, whose APIC it is
 * @gpa: the address
 *
 * Context: may sleep.
 * Return: RESUME_GUEST; FAULT_EMULATE: it has to be emulated; or a negative errno.
 */
int okvm_lapic_fault(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	struct okvm_irqchip *chip = vcpu->vm->irqchip;

	if (!chip->access_page || !uses_page(vcpu))
		return FAULT_EMULATE;
	return okvm_mmu_map_own(vcpu, gpa, __pa(chip->access_page), &chip->apics_elsewhere);
}
