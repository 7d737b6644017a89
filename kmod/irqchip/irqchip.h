/* SPDX-License-Identifier: GPL-2.0-only */
/* The in-kernel interrupt controllers as the rest of the module sees them, and the I/O bus. */
#ifndef OKVM_IRQCHIP_H
#define OKVM_IRQCHIP_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/types.h>

struct page;
struct okvm_vm;
struct okvm_vcpu;
struct okvm_irqchip;
struct okvm_lapic;
struct okvm_io_bus;

int okvm_irqchip_vm_create(struct okvm_vm *vm);		/* the bus; no controllers yet */
void okvm_irqchip_vm_release(struct okvm_vm *vm);	/* last fd gone: stop irqfds, PIT */
void okvm_irqchip_vm_destroy(struct okvm_vm *vm);	/* free all */
int okvm_lapic_create(struct okvm_vcpu *vcpu);		/* when vm->irqchip is there */
void okvm_lapic_free(struct okvm_vcpu *vcpu);
void okvm_lapic_reset(struct okvm_vcpu *vcpu, bool init);

/* vCPU thread only. Is there an interrupt that PPR (or the PIC through LINT0) lets through now? */
bool okvm_irq_pending(struct okvm_vcpu *vcpu);
/* The same, without what the CPU delivers by itself. */
bool okvm_irq_injectable(struct okvm_vcpu *vcpu);
/* Acknowledge it: the vector, or -1. */
int okvm_irq_take(struct okvm_vcpu *vcpu);
/* The vCPU's thread runs on another CPU than before: its timer comes along. Preemption off. */
void okvm_lapic_migrated(struct okvm_vcpu *vcpu);
/* The backend's timer has expired; the vCPU sleeps, or goes on; its TSC was set. */
void okvm_lapic_timer_expired(struct okvm_vcpu *vcpu);
void okvm_lapic_timer_moves(struct okvm_vcpu *vcpu);
void okvm_lapic_tsc_changed(struct okvm_vcpu *vcpu);
/* INIT or SIPI is latched and can act now (any thread); act on it (vCPU thread). */
bool okvm_lapic_events_pending(struct okvm_vcpu *vcpu);
void okvm_lapic_accept_events(struct okvm_vcpu *vcpu);

u64 okvm_lapic_get_tpr(struct okvm_vcpu *vcpu);		/* as CR8: bits 7..4 of TPR */
void okvm_lapic_set_tpr(struct okvm_vcpu *vcpu, unsigned long cr8);
/* Highest vector in IRR whose class TPR holds back, or -1: whether CR8 writes must exit. */
int okvm_lapic_highest_irr(struct okvm_vcpu *vcpu);
int okvm_lapic_set_base(struct okvm_vcpu *vcpu, u64 value, bool host);	/* 0 or 1: #GP */
/* The x2APIC range and IA32_TSC_DEADLINE. */
int okvm_lapic_msr_read(struct okvm_vcpu *vcpu, u32 msr, u64 *data, bool host);
int okvm_lapic_msr_write(struct okvm_vcpu *vcpu, u32 msr, u64 data, bool host);
int okvm_pv_send_ipi(struct okvm_vcpu *vcpu, u64 low, u64 high, u64 min, u64 icr, bool wide);
void okvm_pv_kick(struct okvm_vcpu *vcpu, u32 apic_id);
/* MSR_KVM_PV_EOI_EN; entry (may sleep, irqs on) and exit hooks. */
int okvm_pv_eoi_set(struct okvm_vcpu *vcpu, u64 data);
u64 okvm_pv_eoi_get(struct okvm_vcpu *vcpu);
void okvm_pv_eoi_enter(struct okvm_vcpu *vcpu);
void okvm_pv_eoi_exit(struct okvm_vcpu *vcpu);
void okvm_vapic_enter(struct okvm_vcpu *vcpu);
/* User space's PICs and IOAPIC: whether they are, KVM_INTERRUPT, KVM_EXIT_IOAPIC_EOI. */
bool okvm_pic_in_kernel(struct okvm_vcpu *vcpu);
bool okvm_takes_user_irq(struct okvm_vcpu *vcpu);
int okvm_user_extint(struct okvm_vcpu *vcpu, u8 vector);
void okvm_ioapic_eoi_exit(struct okvm_vcpu *vcpu);

/*
 * The I/O bus. In-kernel devices first, then ioeventfds, then coalesced zones (writes).
 * 0: handled; -EOPNOTSUPP: user space's. vCPU thread; may sleep.
 */
int okvm_mmio_write(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data);
int okvm_mmio_read(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data);
int okvm_pio_write(struct okvm_vcpu *vcpu, u16 port, unsigned int size, const void *data);
int okvm_pio_read(struct okvm_vcpu *vcpu, u16 port, unsigned int size, void *data);
/*
 * For a backend that has the CPU work on the APIC's registers (apicv.c): the page; what mode it is
 * in; requests brought to IRR, and the highest vectors there and in ISR, if they are other ones
 * than the CPU knows of.
 */
enum okvm_apicv { APICV_OFF, APICV_XAPIC, APICV_X2APIC };
void *okvm_lapic_page(struct okvm_vcpu *vcpu);
bool okvm_lapic_hw(struct okvm_vcpu *vcpu);
void okvm_apicv_changed(struct okvm_vcpu *vcpu);
bool okvm_lapic_sync_hw(struct okvm_vcpu *vcpu, u8 *irr, u8 *isr);
unsigned long okvm_lapic_access_page(struct okvm_vcpu *vcpu);
const unsigned long *okvm_lapic_eoi_exits(struct okvm_vcpu *vcpu);
bool okvm_lapic_x2apic_readable(u32 msr);
/* Exits of it: a register was written, service of a vector ended, its page was not mapped. */
void okvm_lapic_written(struct okvm_vcpu *vcpu, unsigned int reg);
void okvm_lapic_eoi_done(struct okvm_vcpu *vcpu, u8 vector);
int okvm_lapic_fault(struct okvm_vcpu *vcpu, gpa_t gpa);
/* Is this page the vCPU's local APIC (enabled, xAPIC mode)? Cheap; for the fault path. */
bool okvm_lapic_at(struct okvm_vcpu *vcpu, gpa_t gpa);
/* The page of the coalesced ring, the same for all vCPUs; NULL without memory. */
struct page *okvm_coalesced_page(struct okvm_vm *vm);

#endif
