/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_IRQ_H
#define SELFTEST_IRQ_H

/* What the tests of the interrupt controllers share: guest and host sides. */

#include "selftest.h"

#define APIC_GPA	0xfee00000ul
#define IOAPIC_GPA	0xfec00000ul

/* Local APIC registers, as offsets in its page; x2APIC: MSR X2(reg). */
#define R_ID		0x20
#define R_LVR		0x30
#define R_TPR		0x80
#define R_PPR		0xa0
#define R_EOI		0xb0
#define R_LDR		0xd0
#define R_DFR		0xe0
#define R_SVR		0xf0
#define R_ISR		0x100
#define R_TMR		0x180
#define R_IRR		0x200
#define R_ESR		0x280
#define R_ICR		0x300
#define R_ICR2		0x310
#define R_LVTT		0x320
#define R_LVT0		0x350
#define R_LVT1		0x360
#define R_LVTERR	0x370
#define R_TMICT		0x380
#define R_TMCCT		0x390
#define R_TDCR		0x3e0
#define R_SELF_IPI	0x3f0
#define X2(reg)		(0x800 + ((reg) >> 4))

#define MSR_TSC_DEADLINE 0x6e0
#define BASE_BSP	(1ul << 8)
#define BASE_X2APIC	(1ul << 10)
#define BASE_ENABLE	(1ul << 11)

#define LVT_MASKED	(1u << 16)
#define LVT_PERIODIC	(1u << 17)
#define LVT_DEADLINE	(2u << 17)
#define LVT_EXTINT	0x700
#define LVT_NMI		0x400

#define ICR_LOWEST	0x100
#define ICR_NMI		0x400
#define ICR_INIT	0x500
#define ICR_SIPI	0x600
#define ICR_LOGICAL	0x800
#define ICR_ASSERT	0x4000
#define ICR_SELF	0x40000
#define ICR_ALL		0x80000
#define ICR_OTHERS	0xc0000

#define RTE_LOGICAL	(1ul << 11)
#define RTE_REMOTE_IRR	(1ul << 14)
#define RTE_LEVEL	(1ul << 15)
#define RTE_MASKED	(1ul << 16)

/* ---- guest ---- */

static inline uint32_t apic_read(unsigned int reg)
{
	return *(volatile uint32_t *)(APIC_GPA + reg);
}

static inline void apic_write(unsigned int reg, uint32_t v)
{
	*(volatile uint32_t *)(APIC_GPA + reg) = v;
}

/* Enabled; and the PICs, which share GSIs with the IOAPIC, shut out. */
static inline void apic_on(void)
{
	apic_write(R_SVR, 0x1ff);
	apic_write(R_LVT0, LVT_MASKED);
}

static inline void x2apic_on(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_X2APIC);
	wrmsr(X2(R_SVR), 0x1ff);
	wrmsr(X2(R_LVT0), LVT_MASKED);
}

static inline uint32_t ioapic_read(unsigned int index)
{
	*(volatile uint32_t *)IOAPIC_GPA = index;
	return *(volatile uint32_t *)(IOAPIC_GPA + 0x10);
}

static inline void ioapic_write(unsigned int index, uint32_t v)
{
	*(volatile uint32_t *)IOAPIC_GPA = index;
	*(volatile uint32_t *)(IOAPIC_GPA + 0x10) = v;
}

static inline void ioapic_route(unsigned int pin, uint64_t rte)
{
	ioapic_write(0x11 + 2 * pin, rte >> 32);
	ioapic_write(0x10 + 2 * pin, rte);
}

/* Vectors 0x20 and 0x28, all masked but @unmasked. */
static inline void pic_setup(uint16_t unmasked)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 2);
	outb(0xa1, 1);
	outb(0x21, ~unmasked);
	outb(0xa1, ~unmasked >> 8);
}

/* Interrupts that arrived, by vector; the handlers of a test count here. */
static uint64_t irqs[256];

static inline uint64_t irqs_of(unsigned int vector)
{
	return READ_ONCE(irqs[vector]);
}

static inline void count_irq(struct trap_frame *f)
{
	__atomic_fetch_add(&irqs[f->vector], 1, __ATOMIC_SEQ_CST);
}

/* Count, and end it at the local APIC, in xAPIC or x2APIC mode. */
static inline void on_irq(struct trap_frame *f)
{
	count_irq(f);
	apic_write(R_EOI, 0);
}

static inline void on_irq_x2(struct trap_frame *f)
{
	count_irq(f);
	wrmsr(X2(R_EOI), 0);
}

/* Open the window for what is pending; for a while, as not every hypervisor is exact there. */
static inline void take_irqs(void)
{
	sti();
	for (int i = 0; i < 2000; i++)
		asm volatile("nop");
	cli();
}

/* ---- host ---- */

static inline int irq_line(struct vm *vm, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &l);
}

static inline int irq_status(struct vm *vm, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	ioctl_ok(vm->fd, KVM_IRQ_LINE_STATUS, &l);
	return l.status;
}

static inline void irq_pulse(struct vm *vm, uint32_t gsi)
{
	TEST_ASSERT(!irq_line(vm, gsi, 1) && !irq_line(vm, gsi, 0), "KVM_IRQ_LINE of %u", gsi);
}

static inline int send_msi(struct vm *vm, uint32_t address, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = address, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

/* A vCPU other than the first, which need not wait for INIT and SIPI. */
static inline struct vcpu *add_running(struct vm *vm, unsigned int id, void (*fn)(void))
{
	struct vcpu *v = vcpu_add(vm, id, fn);
	struct kvm_mp_state s = { KVM_MP_STATE_RUNNABLE };

	ioctl_ok(v->fd, KVM_SET_MP_STATE, &s);
	return v;
}


#endif
