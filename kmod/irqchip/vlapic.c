// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU and its local APIC: life, INIT and SIPI, MSRs, the MMIO page, KVM_GET_LAPIC. */
#include <linux/slab.h>

#include "chip.h"

#define X2APIC_MSR(reg)	(APIC_BASE_MSR + ((reg) >> 4))

void lapic_window_opened(struct lapic *l)
{
	okvm_request(lapic_of(l)->vcpu, REQ_EVENT);
}

/* ---- life ---- */

/**
 * okvm_lapic_create - give a new vCPU its local APIC
 * @vcpu: the vCPU; its VM has controllers
 *
 * Return: 0 or -ENOMEM.
 */
int okvm_lapic_create(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = kzalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);

	if (!l)
		return -ENOMEM;
	l->apic.regs = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!l->apic.regs) {
		kfree(l);
		return -ENOMEM;
	}
	l->apic.posted = okvm_hw.apicv ? okvm_backend->posted_requests(vcpu) : NULL;
	l->apic.id = vcpu->id;
	l->apic.isr_top = -1;
	l->user_extint = -1;
	l->vcpu = vcpu;
	lapic_timer_create(l);
	vcpu->lapic = l;
	return 0;
}

/**
 * okvm_lapic_free - the end of okvm_lapic_create()
 * @vcpu: the vCPU, which nobody can reach; it may have no local APIC
 */
void okvm_lapic_free(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;

	if (!l)
		return;
	hrtimer_cancel(&l->timer);
	if (l->elsewhere)
		atomic_dec(&vcpu->vm->irqchip->apics_elsewhere);
	free_page((unsigned long)l->apic.regs);
	kfree(l);
	vcpu->lapic = NULL;
}

static bool is_boot_cpu(struct okvm_vcpu *vcpu)
{
	return vcpu->id == vcpu->vm->bsp_id;
}

/**
 * okvm_lapic_reset - power-up or INIT
 * @vcpu: the vCPU, loaded
 * @init: INIT: IA32_APIC_BASE stays
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_lapic_reset(struct okvm_vcpu *vcpu, bool init)
{
	struct okvm_lapic *l = vcpu->lapic;
	bool quirk = !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED);

	if (!init)
		vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
				  (is_boot_cpu(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	if (!l)
		return;
	if (!init)
		WRITE_ONCE(l->apic.mode, LAPIC_XAPIC);
	l->pv_eoi_msr = 0;
	l->pv_eoi_offered = false;
	l->vapic_gpa = 0;
	lapic_reset(&l->apic, init, quirk && is_boot_cpu(vcpu));
	okvm_apicv_changed(vcpu);
}

/**
 * okvm_lapic_events_pending - has INIT or a SIPI arrived?
 * @vcpu: the vCPU
 *
 * Context: any.
 */
bool okvm_lapic_events_pending(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->events);
}

/**
 * okvm_lapic_accept_events - act on INIT and SIPI
 * @vcpu: the vCPU, loaded
 *
 * A SIPI starts only a CPU that INIT has stopped (SDM vol. 3, "MP Initialization"); the boot CPU
 * goes to its reset vector instead.
 *
 * Context: vCPU thread, may sleep.
 */
void okvm_lapic_accept_events(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;
	bool bsp = vcpu->apic_base & MSR_IA32_APICBASE_BSP;

	if (!l)
		return;
	if (test_and_clear_bit(EVENT_INIT, &l->events)) {
		okvm_vcpu_reset(vcpu, true);
		WRITE_ONCE(vcpu->mp_state,
			   bsp ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED);
	}
	if (test_and_clear_bit(EVENT_SIPI, &l->events) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		/* The vector was written before the bit. */
		okvm_vcpu_sipi(vcpu, READ_ONCE(l->sipi_vector));
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
	}
}

/* ---- TPR ---- */

/**
 * okvm_lapic_get_tpr - the task priority as CR8 shows it
 * @vcpu: the vCPU, with a local APIC
 */
u64 okvm_lapic_get_tpr(struct okvm_vcpu *vcpu)
{
	return lapic_reg(&vcpu->lapic->apic, APIC_TASKPRI) >> 4;
}

/**
 * okvm_lapic_set_tpr - CR8 was written
 * @vcpu: the vCPU, with a local APIC
 * @cr8: 0 to 15
 */
void okvm_lapic_set_tpr(struct okvm_vcpu *vcpu, unsigned long cr8)
{
	lapic_set_tpr(&vcpu->lapic->apic, (cr8 & 0xf) << 4);
}

/**
 * okvm_lapic_highest_irr - is an interrupt waiting for a lower TPR?
 * @vcpu: the vCPU, with a local APIC
 *
 * Return: its vector if TPR holds it back, or -1: writes of CR8 need not exit.
 */
int okvm_lapic_highest_irr(struct okvm_vcpu *vcpu)
{
	const struct lapic *l = &vcpu->lapic->apic;
	int vector = l->mode == LAPIC_OFF ? -1 : lapic_highest(l, APIC_IRR);

	return vector >= 0 && vector >> 4 <= (int)(lapic_reg(l, APIC_TASKPRI) >> 4) ? vector : -1;
}

/* ---- IA32_APIC_BASE ---- */

static int mode_of(u64 base)
{
	switch (base & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)) {
	case 0:
		return LAPIC_OFF;
	case MSR_IA32_APICBASE_ENABLE:
		return LAPIC_XAPIC;
	case MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE:
		return LAPIC_X2APIC;
	default:
		return -1;
	}
}

/**
 * okvm_lapic_set_base - write IA32_APIC_BASE
 * @vcpu: the vCPU, with or without a local APIC in the kernel
 * @value: the value
 * @host: from user space: any change of mode is allowed
 *
 * SDM vol. 3, "x2APIC State Transitions".
 *
 * Context: vCPU thread, may sleep.
 * Return: 0, or 1: reserved bits or a bad change of mode; nothing is changed then.
 */
int okvm_lapic_set_base(struct okvm_vcpu *vcpu, u64 value, bool host)
{
	u64 reserved = vcpu->cpuid.reserved_gpa | 0x2ff, old = vcpu->apic_base;
	int old_mode = mode_of(old), mode = mode_of(value);

	if (!guest_has(vcpu, GUEST_X2APIC))
		reserved |= X2APIC_ENABLE;
	if ((value & reserved) || mode < 0)
		return 1;
	if (!host && ((old_mode == LAPIC_X2APIC && mode == LAPIC_XAPIC) ||
		      (old_mode == LAPIC_OFF && mode == LAPIC_X2APIC)))
		return 1;
	vcpu->apic_base = value;
	if (vcpu->lapic)
		lapic_set_mode(&vcpu->lapic->apic, mode);
	okvm_apicv_changed(vcpu);
	if ((old ^ value) & MSR_IA32_APICBASE_ENABLE)
		okvm_cpuid_update_runtime(vcpu);
	return 0;
}

/* ---- MSRs ---- */

static int get_deadline(struct okvm_vcpu *vcpu, u64 *data)
{
	const struct lapic *l = vcpu->lapic ? &vcpu->lapic->apic : NULL;

	*data = 0;
	if (l)
		lapic_timer_look(vcpu->lapic);
	if (l && l->mode != LAPIC_OFF && lapic_timer_mode(l) == TIMER_DEADLINE)
		*data = READ_ONCE(l->timer.deadline);
	return 0;
}

/**
 * okvm_lapic_msr_read - read IA32_TSC_DEADLINE or an x2APIC register
 * @vcpu: the vCPU, loaded
 * @msr: the MSR
 * @data: filled
 * @host: from user space
 *
 * Return: 0, or 1 for #GP.
 */
int okvm_lapic_msr_read(struct okvm_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	struct lapic *l = vcpu->lapic ? &vcpu->lapic->apic : NULL;
	u32 value;

	if (msr == MSR_IA32_TSC_DEADLINE)
		return get_deadline(vcpu, data);
	if (!l || l->mode != LAPIC_X2APIC || lapic_read(l, (msr - APIC_BASE_MSR) << 4, &value))
		return 1;
	*data = value;
	if (msr == X2APIC_MSR(APIC_ICR))
		*data |= (u64)lapic_reg(l, APIC_ICR2) << 32;
	return 0;
}

static int write_lapic(struct okvm_vcpu *vcpu, unsigned int reg, u32 value)
{
	struct lapic *l = &vcpu->lapic->apic;

	if (reg == APIC_TASKPRI)
		vapic_tpr_access(vcpu, true);
	if (unlikely(reg == APIC_LVTT))
		l->deadline_timer = guest_has(vcpu, GUEST_TSC_DEADLINE);
	return lapic_write(l, reg, value);
}

/**
 * okvm_lapic_msr_write - write IA32_TSC_DEADLINE or an x2APIC register
 * @vcpu: the vCPU, loaded
 * @msr: the MSR
 * @data: the value
 * @host: from user space
 *
 * These are a guest's commonest exits.
 *
 * Context: vCPU thread; what changes the APIC's identity may sleep.
 * Return: 0, or 1 for #GP.
 */
int okvm_lapic_msr_write(struct okvm_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	struct lapic *l = vcpu->lapic ? &vcpu->lapic->apic : NULL;

	if (msr == MSR_IA32_TSC_DEADLINE) {
		if (l)
			lapic_set_deadline(l, data);
		return 0;
	}
	if (!l || l->mode != LAPIC_X2APIC)
		return 1;
	if (msr == X2APIC_MSR(APIC_ICR))
		return lapic_icr_write(l, data, data >> 32);
	if (data >> 32)
		return 1;
	return write_lapic(vcpu, (msr - APIC_BASE_MSR) << 4, data);
}

/* ---- the MMIO page ---- */

/**
 * okvm_lapic_at - is this page the vCPU's local APIC?
 * @vcpu: the vCPU
 * @gpa: an address
 *
 * Context: vCPU thread.
 */
bool okvm_lapic_at(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	return vcpu->lapic && vcpu->lapic->apic.mode == LAPIC_XAPIC &&
	       !((gpa ^ vcpu->apic_base) >> PAGE_SHIFT);
}

/* With this quirk the page swallows accesses even while there is no APIC behind it. */
static bool is_hole(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	return vcpu->lapic && !((gpa ^ vcpu->apic_base) >> PAGE_SHIFT) &&
	       !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

/**
 * lapic_mmio_write - a guest write to the APIC's page
 * @vcpu: the vCPU
 * @gpa: the address
 * @len: bytes; only aligned 32-bit accesses reach a register
 * @data: the bytes
 *
 * Return: 0, or -EOPNOTSUPP: not the page of an APIC.
 */
int lapic_mmio_write(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data)
{
	if (likely(okvm_lapic_at(vcpu, gpa))) {
		if (len == 4 && !(gpa & 0xf))
			write_lapic(vcpu, gpa & ~PAGE_MASK, *(const u32 *)data);
		return 0;
	}
	return is_hole(vcpu, gpa) ? 0 : -EOPNOTSUPP;
}

/**
 * lapic_mmio_read - a guest read from the APIC's page
 * @vcpu: the vCPU
 * @gpa: the address
 * @len: bytes; parts of one register can be read, other accesses give 0
 * @data: filled
 *
 * Return: 0, or -EOPNOTSUPP: not the page of an APIC.
 */
int lapic_mmio_read(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data)
{
	unsigned int offset = gpa & ~PAGE_MASK;
	u32 value = 0;

	if (!okvm_lapic_at(vcpu, gpa)) {
		if (!is_hole(vcpu, gpa))
			return -EOPNOTSUPP;
		memset(data, 0xff, len);
		return 0;
	}
	if ((offset & 0xf) + len > 4) {
		memset(data, 0, len);
		return 0;
	}
	if ((offset & ~0xf) == APIC_TASKPRI)
		vapic_tpr_access(vcpu, false);
	lapic_read(&vcpu->lapic->apic, offset & ~0xf, &value);
	memcpy(data, (u8 *)&value + (offset & 3), len);
	return 0;
}

/*
 * KVM_GET_LAPIC, KVM_SET_LAPIC (KVM API document, 4.57, 4.58): 0; -EINVAL: no local APIC, or not
 * its id.
 */

long irqchip_get_lapic(struct okvm_vcpu *vcpu, void *arg)
{
	if (!vcpu->lapic)
		return -EINVAL;
	lapic_timer_look(vcpu->lapic);
	lapic_save(&vcpu->lapic->apic, arg, irqchip_wide_ids(vcpu->vm));
	return 0;
}

long irqchip_set_lapic(struct okvm_vcpu *vcpu, void *arg)
{
	if (!vcpu->lapic)
		return -EINVAL;
	if (lapic_load(&vcpu->lapic->apic, arg, irqchip_wide_ids(vcpu->vm)))
		return -EINVAL;
	WRITE_ONCE(vcpu->lapic->turns, 0);
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}
