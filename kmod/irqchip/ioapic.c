// SPDX-License-Identifier: GPL-2.0-only
/* The I/O APIC. Rules: Intel's 82093AA data sheet; where that is silent, KVM's behaviour. */
#include "ioapic.h"

#define REG_SELECT	0x00	/* offsets in its page */
#define REG_WINDOW	0x10

#define INDEX_ID	0x00	/* indices behind the window */
#define INDEX_VERSION	0x01
#define INDEX_ARB	0x02
#define INDEX_TABLE	0x10

#define VERSION		0x11

/**
 * ioapic_reset - power-up state: everything masked
 * @io: the controller
 */
void ioapic_reset(struct ioapic *io)
{
	int i;

	memset(io, 0, sizeof(*io));
	io->s.base_address = IO_APIC_DEFAULT_PHYS_BASE;
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		io->s.redirtbl[i].fields.mask = 1;
}

/**
 * ioapic_message - what a pin's entry sends
 * @io: the controller
 * @pin: the pin
 * @msg: filled
 */
void ioapic_message(const struct ioapic *io, unsigned int pin, struct irq_message *msg)
{
	const typeof(io->s.redirtbl[0].fields) *e = &io->s.redirtbl[pin].fields;

	*msg = (struct irq_message) {
		.dest = irq_dest8(e->dest_id),
		.everybody8 = e->dest_id == 0xff,
		.vector = e->vector,
		.mode = e->delivery_mode,
		.logical = e->dest_mode,
		.level = e->trig_mode,
		.assert = true,
	};
}

/**
 * ioapic_service - send a pin's interrupt if its entry lets it
 * @io: the controller
 * @pin: a pin with a request
 *
 * Return: CPUs that took it; -1: masked, or waiting for an EOI.
 */
int ioapic_service(struct ioapic *io, unsigned int pin)
{
	typeof(io->s.redirtbl[0].fields) *e = &io->s.redirtbl[pin].fields;
	struct irq_message msg;
	int r;

	if (e->mask || (e->trig_mode && e->remote_irr))
		return -1;
	if (!e->trig_mode)
		io->delivered |= BIT(pin);
	ioapic_message(io, pin, &msg);
	r = ioapic_deliver(io, &msg);
	/* Only fixed and lowest-priority messages are ever answered with an EOI. */
	if (r > 0 && e->trig_mode && e->delivery_mode <= IRQ_LOWEST)
		e->remote_irr = 1;
	return r;
}

/**
 * ioapic_set_line - a device drives a pin
 * @io: the controller
 * @pin: 0 to 23
 * @level: the line's new level
 *
 * An edge on a masked pin is lost (82093AA, "interrupt mask").
 *
 * Return: as KVM_IRQ_LINE_STATUS wants it: CPUs reached, 0 coalesced, -1 masked.
 */
int ioapic_set_line(struct ioapic *io, unsigned int pin, bool level)
{
	u32 bit = BIT(pin);
	bool was = io->s.irr & bit;

	if (!level) {
		io->s.irr &= ~bit;
		return 1;
	}
	io->s.irr |= bit;
	if (!ioapic_level(io, pin)) {
		if (was)
			return 0;
		io->delivered &= ~bit;
	}
	return ioapic_service(io, pin);
}

static u32 read_window(const struct ioapic *io)
{
	unsigned int index = io->s.ioregsel, pin;
	u64 bits = ~0ull;

	switch (index) {
	case INDEX_VERSION:
		return (KVM_IOAPIC_NUM_PINS - 1) << 16 | VERSION;
	case INDEX_ID:
	case INDEX_ARB:
		return (io->s.id & 0xf) << 24;
	default:
		if (index < INDEX_TABLE)
			return 0;
		pin = (index - INDEX_TABLE) >> 1;
		if (pin < KVM_IOAPIC_NUM_PINS)
			bits = io->s.redirtbl[array_index_nospec(pin, KVM_IOAPIC_NUM_PINS)].bits;
		return index & 1 ? bits >> 32 : bits;
	}
}

/**
 * ioapic_read - the guest reads a register
 * @io: the controller
 * @offset: from the base address
 *
 * Return: the register; 0 where none is.
 */
u32 ioapic_read(const struct ioapic *io, unsigned int offset)
{
	switch (offset) {
	case REG_SELECT:
		return io->s.ioregsel;
	case REG_WINDOW:
		return read_window(io);
	default:
		return 0;
	}
}

#define STATUS_BITS	(BIT(12) | BIT(14))	/* delivery status and remote IRR: read-only */

static int write_entry(struct ioapic *io, unsigned int pin, bool high, u32 value)
{
	typeof(io->s.redirtbl[0]) *e = &io->s.redirtbl[pin];

	if (high)
		e->bits = (u32)e->bits | (u64)value << 32;
	else
		e->bits = (e->bits & (~0xffffffffull | STATUS_BITS)) | (value & ~STATUS_BITS);
	/* Guests clear a stuck remote IRR by a turn to edge; version 0x11 has no EOI register. */
	if (!e->fields.trig_mode)
		e->fields.remote_irr = 0;
	return pin;
}

/**
 * ioapic_write - the guest writes a register
 * @io: the controller
 * @offset: from the base address
 * @value: the value
 *
 * Return: the pin whose entry was written, or -1. The caller looks at ioapic_waits() then.
 */
int ioapic_write(struct ioapic *io, unsigned int offset, u32 value)
{
	unsigned int index = io->s.ioregsel, pin;

	if (offset == REG_SELECT)
		io->s.ioregsel = value & 0xff;
	if (offset != REG_WINDOW)
		return -1;
	if (index == INDEX_ID)
		io->s.id = value >> 24 & 0xf;
	if (index < INDEX_TABLE)
		return -1;
	pin = (index - INDEX_TABLE) >> 1;
	if (pin >= KVM_IOAPIC_NUM_PINS)
		return -1;
	return write_entry(io, array_index_nospec(pin, KVM_IOAPIC_NUM_PINS), index & 1, value);
}

/**
 * ioapic_waits - has a level pin a request that can go now?
 * @io: the controller
 * @pin: the pin
 */
bool ioapic_waits(const struct ioapic *io, unsigned int pin)
{
	const typeof(io->s.redirtbl[0].fields) *e = &io->s.redirtbl[pin].fields;

	return e->trig_mode && (io->s.irr & BIT(pin)) && !e->mask && !e->remote_irr;
}

/**
 * ioapic_pins_of - the pins that send a vector
 * @io: the controller
 * @vector: the vector
 *
 * Return: a bit a pin.
 */
u32 ioapic_pins_of(const struct ioapic *io, u8 vector)
{
	u32 pins = 0;
	int i;

	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (io->s.redirtbl[i].fields.vector == vector)
			pins |= BIT(i);
	return pins;
}

/**
 * ioapic_eoi - a local APIC's EOI message for a level-triggered interrupt
 * @io: the controller
 * @vector: the vector; a pin whose line is still up sends again
 */
void ioapic_eoi(struct ioapic *io, u8 vector)
{
	u32 pins = ioapic_pins_of(io, vector);
	int i;

	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
		if (!(pins & BIT(i)) || !ioapic_level(io, i))
			continue;
		io->s.redirtbl[i].fields.remote_irr = 0;
		if (ioapic_waits(io, i))
			ioapic_service(io, i);
	}
}

/**
 * ioapic_save - KVM_GET_IRQCHIP
 * @io: the controller
 * @state: filled
 */
void ioapic_save(const struct ioapic *io, struct kvm_ioapic_state *state)
{
	*state = io->s;
	/* An edge that has gone out is no request for whoever loads this. */
	state->irr &= ~io->delivered;
}

/**
 * ioapic_load - KVM_SET_IRQCHIP
 * @io: the controller
 * @state: the new state; any content is safe. Its requests are sent as if their lines rose now.
 */
void ioapic_load(struct ioapic *io, const struct kvm_ioapic_state *state)
{
	int i;

	io->s = *state;
	io->s.ioregsel &= 0xff;
	io->s.irr = 0;
	io->delivered = 0;
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (state->irr & BIT(i))
			ioapic_set_line(io, i, true);
}
