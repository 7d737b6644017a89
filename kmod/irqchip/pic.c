// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8259A pair. Rules: Intel's 8259A data sheet; the edge/level registers at 0x4d0 are the
 * PIIX's. What user space sees (states, answers of pic_set_line()) is KVM's.
 *
 * Priorities are counted from the chip's priority_add: 0 is the highest, 8 means none.
 */
#include "pic.h"

#define NONE		8
#define CASCADE_PIN	2
#define SPURIOUS_PIN	7

/* init_state: what the next write to the odd port is. */
enum { READY, WANT_ICW2, WANT_ICW3, WANT_ICW4 };

static unsigned int priority(const struct kvm_pic_state *s, u8 pins)
{
	unsigned int p;

	for (p = 0; p < 8; p++)
		if (pins & (1 << ((p + s->priority_add) & 7)))
			break;
	return p;
}

static unsigned int pin_at(const struct kvm_pic_state *s, unsigned int p)
{
	return (p + s->priority_add) & 7;
}

/* The pin that the chip asks for now, or -1. */
static int requested(const struct pic *pic, int which)
{
	const struct kvm_pic_state *s = &pic->chip[which];
	u8 in_service = s->isr;
	unsigned int p = priority(s, s->irr & ~s->imr);

	if (p == NONE)
		return -1;
	if (s->special_mask)
		in_service &= ~s->imr;
	/* In this mode the master takes a further request from a slave that is already served. */
	if (s->special_fully_nested_mode && which == 0)
		in_service &= ~(1 << CASCADE_PIN);
	return p < priority(s, in_service) ? (int)pin_at(s, p) : -1;
}

/* 1: a new request; 0: there was one already; -1: masked. */
static int set_pin(struct kvm_pic_state *s, unsigned int pin, bool level)
{
	u8 bit = 1 << pin;
	int r = 1;

	if (s->elcr & bit) {
		if (level) {
			r = !(s->irr & bit);
			s->irr |= bit;
			s->last_irr |= bit;
		} else {
			s->irr &= ~bit;
			s->last_irr &= ~bit;
		}
	} else if (level) {
		if (!(s->last_irr & bit)) {
			r = !(s->irr & bit);
			s->irr |= bit;
		}
		s->last_irr |= bit;
	} else {
		s->last_irr &= ~bit;
	}
	return s->imr & bit ? -1 : r;
}

/* The slave's INT line is the master's cascade pin; then the master's own output. */
static void update_output(struct pic *pic)
{
	if (requested(pic, 1) >= 0)
		pic->chip[0].irr |= 1 << CASCADE_PIN;
	else
		pic->chip[0].irr &= ~(1 << CASCADE_PIN);
	WRITE_ONCE(pic->output, requested(pic, 0) >= 0);
}

static void end_service(struct pic *pic, int which, unsigned int pin)
{
	pic->chip[which].isr &= ~(1 << pin);
	pic->acked |= 1 << (pin + 8 * which);
}

static void acknowledge(struct pic *pic, int which, unsigned int pin)
{
	struct kvm_pic_state *s = &pic->chip[which];

	s->isr |= 1 << pin;
	/* A level request stays as long as its line. */
	if (!(s->elcr & (1 << pin)))
		s->irr &= ~(1 << pin);
	if (s->auto_eoi) {
		if (s->rotate_on_auto_eoi)
			s->priority_add = (pin + 1) & 7;
		end_service(pic, which, pin);
	}
}

/**
 * pic_reset - power-up state
 * @pic: both chips
 */
void pic_reset(struct pic *pic)
{
	memset(pic, 0, sizeof(*pic));
	/* Timer, keyboard and cascade, and RTC and FPU, are edge-triggered for good. */
	pic->chip[0].elcr_mask = 0xf8;
	pic->chip[1].elcr_mask = 0xde;
}

/**
 * pic_set_line - a device drives an input
 * @pic: both chips
 * @pin: 0 to 15
 * @level: the line's new level
 *
 * Return: as KVM_IRQ_LINE_STATUS wants it: 1 taken, 0 coalesced with an earlier request, -1 masked.
 */
int pic_set_line(struct pic *pic, unsigned int pin, bool level)
{
	int r = set_pin(&pic->chip[pin >> 3], pin & 7, level);

	update_output(pic);
	return r;
}

/**
 * pic_take - the CPU's interrupt acknowledge cycle
 * @pic: both chips
 *
 * A request that went away meanwhile gives the spurious vector of pin 7 (or 15), out of service.
 *
 * Return: the vector.
 */
int pic_take(struct pic *pic)
{
	int pin = requested(pic, 0), vector;

	if (pin < 0) {
		vector = pic->chip[0].irq_base + SPURIOUS_PIN;
	} else if (pin != CASCADE_PIN) {
		acknowledge(pic, 0, pin);
		vector = pic->chip[0].irq_base + pin;
	} else {
		acknowledge(pic, 0, CASCADE_PIN);
		pin = requested(pic, 1);
		if (pin >= 0)
			acknowledge(pic, 1, pin);
		else
			pin = SPURIOUS_PIN;
		vector = pic->chip[1].irq_base + pin;
	}
	update_output(pic);
	return (u8)vector;
}

/* ICW1: edge requests are forgotten, level lines still count. */
static void start_init(struct pic *pic, int which, u8 value)
{
	struct kvm_pic_state *s = &pic->chip[which];
	u8 dropped = s->irr & ~s->elcr;

	s->init4 = value & 1;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	if (!s->init4) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = WANT_ICW2;
	/* Who waits for the end of a forgotten request must not wait for ever. */
	pic->acked |= (u16)dropped << (8 * which);
}

static void write_ocw3(struct kvm_pic_state *s, u8 value)
{
	if (value & 0x04)
		s->poll = 1;
	if (value & 0x02)
		s->read_reg_select = value & 1;
	if (value & 0x40)
		s->special_mask = value >> 5 & 1;
}

static void unspecific_eoi(struct pic *pic, int which, bool rotate)
{
	struct kvm_pic_state *s = &pic->chip[which];
	/* Masked levels are not ended so in special mask mode. */
	unsigned int p = priority(s, s->special_mask ? s->isr & ~s->imr : s->isr);
	unsigned int pin = pin_at(s, p);

	if (p == NONE)
		return;
	if (rotate)
		s->priority_add = (pin + 1) & 7;
	end_service(pic, which, pin);
}

static void write_ocw2(struct pic *pic, int which, u8 value)
{
	struct kvm_pic_state *s = &pic->chip[which];
	unsigned int pin = value & 7;

	switch (value >> 5) {
	case 0:		/* rotate in automatic EOI mode: clear, set */
	case 4:
		s->rotate_on_auto_eoi = value >> 7;
		break;
	case 1:
	case 5:
		unspecific_eoi(pic, which, value >> 7);
		break;
	case 7:		/* rotate on specific EOI */
		s->priority_add = (pin + 1) & 7;
		fallthrough;
	case 3:
		end_service(pic, which, pin);
		break;
	case 6:
		s->priority_add = (pin + 1) & 7;
		break;
	default:	/* 2: no operation */
		break;
	}
}

static void write_odd(struct kvm_pic_state *s, u8 value)
{
	switch (s->init_state) {
	case WANT_ICW2:
		s->irq_base = value & 0xf8;
		s->init_state = WANT_ICW3;
		break;
	case WANT_ICW3:
		s->init_state = s->init4 ? WANT_ICW4 : READY;
		break;
	case WANT_ICW4:
		s->special_fully_nested_mode = value >> 4 & 1;
		s->auto_eoi = value >> 1 & 1;
		s->init_state = READY;
		break;
	default:
		s->imr = value;
		break;
	}
}

/* Which chip a port belongs to: 0x20, 0x21 master, 0xa0, 0xa1 slave; 0x4d0, 0x4d1 ELCR. */
static int chip_of(unsigned int port)
{
	return port >= 0x4d0 ? port & 1 : port >> 7 & 1;
}

/**
 * pic_write - the guest writes a port
 * @pic: both chips
 * @port: 0x20, 0x21, 0xa0, 0xa1, 0x4d0 or 0x4d1
 * @value: the byte
 */
void pic_write(struct pic *pic, unsigned int port, u8 value)
{
	int which = chip_of(port);
	struct kvm_pic_state *s = &pic->chip[which];

	if (port >= 0x4d0)
		s->elcr = value & s->elcr_mask;
	else if (port & 1)
		write_odd(s, value);
	else if (value & 0x10)
		start_init(pic, which, value);
	else if (value & 0x08)
		write_ocw3(s, value);
	else
		write_ocw2(pic, which, value);
	update_output(pic);
}

/* A poll is an acknowledge that the program does itself: bit 7 and the pin, or 0. */
static u8 poll(struct pic *pic, int which)
{
	int pin = requested(pic, which);

	pic->chip[which].poll = 0;
	if (pin < 0)
		return 0;
	acknowledge(pic, which, pin);
	update_output(pic);
	return 0x80 | pin;
}

/**
 * pic_read - the guest reads a port
 * @pic: both chips
 * @port: as for pic_write()
 *
 * Return: the byte.
 */
u8 pic_read(struct pic *pic, unsigned int port)
{
	int which = chip_of(port);
	struct kvm_pic_state *s = &pic->chip[which];

	if (port >= 0x4d0)
		return s->elcr;
	if (s->poll)
		return poll(pic, which);
	if (port & 1)
		return s->imr;
	return s->read_reg_select ? s->isr : s->irr;
}

/**
 * pic_load - KVM_SET_IRQCHIP for one chip
 * @pic: both chips
 * @which: 0 master, 1 slave
 * @state: the new state; any content is safe
 */
void pic_load(struct pic *pic, int which, const struct kvm_pic_state *state)
{
	pic->chip[which] = *state;
	update_output(pic);
}
