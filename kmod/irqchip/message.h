/* SPDX-License-Identifier: GPL-2.0-only */
/* An interrupt message on its way to local APICs, and how MSI addresses and data encode one. */
#ifndef IRQCHIP_MESSAGE_H
#define IRQCHIP_MESSAGE_H

#include "env.h"

/* Delivery modes: the hardware's 3-bit codes. */
enum irq_mode {
	IRQ_FIXED, IRQ_LOWEST, IRQ_SMI, IRQ_REMOTE_READ, IRQ_NMI, IRQ_INIT, IRQ_SIPI, IRQ_EXTINT
};

enum irq_shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

#define IRQ_BROADCAST	0xffffffffu

/**
 * struct irq_message - what goes over the bus
 * @dest: APIC id or logical destination; IRQ_BROADCAST whatever the sender's width
 * @vector: the vector (SIPI: the page number)
 * @mode: enum irq_mode
 * @shorthand: enum irq_shorthand
 * @logical: @dest is a logical destination
 * @level: level-triggered
 * @assert: for level: the line goes up (an IPI with level de-assert is dropped)
 * @everybody8: @dest is IRQ_BROADCAST because an 8-bit field was all ones, or a wide one no more
 * @redirect: MSI redirection hint: any one of the destinations, as for IRQ_LOWEST
 */
struct irq_message {
	u32 dest;
	u8 vector;
	u8 mode;
	u8 shorthand;
	bool logical, level, assert, redirect, everybody8;
};

/* An 8-bit destination field: all ones mean everybody. */
static inline u32 irq_dest8(u32 dest)
{
	return dest == 0xff ? IRQ_BROADCAST : dest;
}

static inline bool irq_to_one_of(const struct irq_message *msg)
{
	return msg->mode == IRQ_LOWEST || msg->redirect;
}

/**
 * irq_from_msi - decode an MSI
 * @msg: filled
 * @address_lo: as the device writes it (SDM vol. 3, "Message Signalled Interrupts")
 * @address_hi: destination bits 8 to 31 if @wide
 * @data: as the device writes it
 * @wide: 32-bit destination ids are enabled
 */
static inline void irq_from_msi(struct irq_message *msg, u32 address_lo, u32 address_hi, u32 data,
				bool wide)
{
	u32 low = address_lo >> 12 & 0xff;

	if (wide)
		low |= address_hi & 0xffffff00;
	msg->dest = irq_dest8(low);
	msg->everybody8 = low == 0xff;
	msg->vector = data;
	msg->mode = data >> 8 & 7;
	msg->shorthand = TO_DEST;
	msg->logical = address_lo >> 2 & 1;
	msg->level = data >> 15 & 1;
	msg->assert = true;
	msg->redirect = address_lo >> 3 & 1;
}

#endif
