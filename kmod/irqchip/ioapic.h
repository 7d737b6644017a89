/* SPDX-License-Identifier: GPL-2.0-only */
/* The I/O APIC (82093AA, version 0x11, 24 pins): state machine only. */
#ifndef IRQCHIP_IOAPIC_H
#define IRQCHIP_IOAPIC_H

#include "env.h"
#include "message.h"

#define IOAPIC_BYTES	0x100	/* of address space, from the base address */

/**
 * struct ioapic - the controller
 * @s: as KVM_GET_IRQCHIP shows it; an edge pin's bit in s.irr stays set while its line is high
 * @delivered: edge pins whose present request has been sent
 */
struct ioapic {
	struct kvm_ioapic_state s;
	u32 delivered;
};

/* Provided by the user of this file: send it; how many CPUs took it. */
int ioapic_deliver(struct ioapic *io, const struct irq_message *msg);

void ioapic_reset(struct ioapic *io);
int ioapic_set_line(struct ioapic *io, unsigned int pin, bool level);
u32 ioapic_read(const struct ioapic *io, unsigned int offset);
int ioapic_write(struct ioapic *io, unsigned int offset, u32 value);
bool ioapic_waits(const struct ioapic *io, unsigned int pin);
int ioapic_service(struct ioapic *io, unsigned int pin);
u32 ioapic_pins_of(const struct ioapic *io, u8 vector);
void ioapic_eoi(struct ioapic *io, u8 vector);
void ioapic_message(const struct ioapic *io, unsigned int pin, struct irq_message *msg);
void ioapic_save(const struct ioapic *io, struct kvm_ioapic_state *state);
void ioapic_load(struct ioapic *io, const struct kvm_ioapic_state *state);

static inline bool ioapic_level(const struct ioapic *io, unsigned int pin)
{
	return io->s.redirtbl[pin].fields.trig_mode;
}

#endif
