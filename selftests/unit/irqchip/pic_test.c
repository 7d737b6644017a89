// SPDX-License-Identifier: GPL-2.0-only
/* The 8259A pair by its data sheet. */
#include "../mmu/tap.h"
#include "pic.h"

static struct pic pic;

/* The usual set-up: vectors 0x20 and 0x28, cascade on 2, all unmasked. */
static void setup(u8 icw4)
{
	static const u8 base[] = { 0x20, 0x28 };
	static const u16 port[] = { 0x20, 0xa0 };
	int i;

	pic_reset(&pic);
	for (i = 0; i < 2; i++) {
		pic_write(&pic, port[i], 0x11);
		pic_write(&pic, port[i] + 1, base[i]);
		pic_write(&pic, port[i] + 1, i ? 2 : 4);
		pic_write(&pic, port[i] + 1, icw4);
		pic_write(&pic, port[i] + 1, 0);
	}
	pic.acked = 0;
}

static int pulse(unsigned int pin)
{
	int r = pic_set_line(&pic, pin, true);

	pic_set_line(&pic, pin, false);
	return r;
}

static void eoi(int pin)
{
	if (pin >= 8)
		pic_write(&pic, 0xa0, 0x20);
	pic_write(&pic, 0x20, 0x20);
}

static void vectors_of_all_pins(void)
{
	int pin;

	setup(1);
	for (pin = 0; pin < 16; pin++) {
		if (pin == 2)
			continue;
		CHECK_EQ(pulse(pin), 1);
		CHECK(pic.output);
		CHECK_EQ(pic_take(&pic), 0x20 + pin);
		CHECK(!pic.output);
		eoi(pin);
		CHECK_EQ(pic.chip[0].isr | pic.chip[1].isr, 0);
	}
}

static void edge_is_remembered_once(void)
{
	setup(1);
	CHECK_EQ(pic_set_line(&pic, 3, true), 1);
	CHECK_EQ(pic_set_line(&pic, 3, true), 1);	/* no edge: KVM's answer for that */
	pic_set_line(&pic, 3, false);
	CHECK_EQ(pic_set_line(&pic, 3, true), 0);	/* an edge, but one waits already */
	CHECK_EQ(pic_take(&pic), 0x23);
	eoi(3);
	/* The line is still high: no new edge, no new request. */
	CHECK(!pic.output);
}

static void level_stays_while_the_line_is_up(void)
{
	setup(1);
	pic_write(&pic, 0x4d1, 0xff);
	CHECK_EQ(pic_read(&pic, 0x4d1), 0xde);		/* 8 and 13 are edges for good */
	pic_write(&pic, 0x4d0, 0xff);
	CHECK_EQ(pic_read(&pic, 0x4d0), 0xf8);
	pic_set_line(&pic, 11, true);
	CHECK_EQ(pic_take(&pic), 0x2b);
	CHECK(!pic.output);
	eoi(11);
	CHECK(pic.output);
	CHECK_EQ(pic_take(&pic), 0x2b);
	pic_set_line(&pic, 11, false);
	eoi(11);
	CHECK(!pic.output);
}

static void priorities_nest(void)
{
	setup(1);
	pulse(5);
	CHECK_EQ(pic_take(&pic), 0x25);
	pulse(6);
	CHECK(!pic.output);		/* lower than what is in service */
	pulse(12);
	CHECK(pic.output);		/* the cascade is pin 2 */
	CHECK_EQ(pic_take(&pic), 0x2c);
	pulse(9);
	CHECK(!pic.output);		/* the master waits for the end of its pin 2 */
	CHECK_EQ(pic.chip[0].isr, 1 << 5 | 1 << 2);
	eoi(12);
	CHECK_EQ(pic_take(&pic), 0x29);
	eoi(9);
	eoi(5);
	CHECK_EQ(pic_take(&pic), 0x26);
}

static void special_fully_nested_lets_the_slave_interrupt_itself(void)
{
	setup(0x11);
	pulse(12);
	CHECK_EQ(pic_take(&pic), 0x2c);
	pulse(13);
	CHECK(!pic.output);
	pulse(9);
	CHECK(pic.output);
	CHECK_EQ(pic_take(&pic), 0x29);
	CHECK_EQ(pic.chip[1].isr, 1 << 4 | 1 << 1);
}

static void specific_eoi_and_rotation(void)
{
	setup(1);
	pulse(1);
	CHECK_EQ(pic_take(&pic), 0x21);
	pulse(0);
	CHECK_EQ(pic_take(&pic), 0x20);
	pic_write(&pic, 0x20, 0x61);		/* specific EOI of 1 */
	CHECK_EQ(pic.chip[0].isr, 1);
	pic_write(&pic, 0x20, 0xa0);		/* rotate on EOI: 0 becomes the lowest */
	CHECK_EQ(pic.chip[0].isr, 0);
	pic_set_line(&pic, 0, true);
	pic_set_line(&pic, 7, true);
	CHECK_EQ(pic_take(&pic), 0x27);
	pic_write(&pic, 0x20, 0xe7);		/* rotate on EOI of 7: 0 the highest */
	CHECK_EQ(pic_take(&pic), 0x20);
	pic_write(&pic, 0x20, 0x60);
	pic_write(&pic, 0x20, 0xc3);		/* set priority: 3 lowest, 4 highest */
	CHECK_EQ(pic.chip[0].priority_add, 4);
	pulse(3);
	pulse(4);
	CHECK_EQ(pic_take(&pic), 0x24);
}

static void automatic_eoi(void)
{
	setup(3);
	pulse(4);
	CHECK_EQ(pic_take(&pic), 0x24);
	CHECK_EQ(pic.chip[0].isr, 0);
	CHECK_EQ(pic.acked, 1 << 4);
	pic_write(&pic, 0x20, 0x80);		/* rotate in automatic EOI mode: set */
	pulse(4);
	CHECK_EQ(pic_take(&pic), 0x24);
	CHECK_EQ(pic.chip[0].priority_add, 5);
	pic_write(&pic, 0x20, 0x00);
	pulse(6);
	pic_take(&pic);
	CHECK_EQ(pic.chip[0].priority_add, 5);
}

static void special_mask_mode(void)
{
	setup(1);
	pulse(1);
	CHECK_EQ(pic_take(&pic), 0x21);
	pulse(4);
	CHECK(!pic.output);
	pic_write(&pic, 0x21, 0x02);		/* mask 1: no use yet, it is in service */
	CHECK(!pic.output);
	pic_write(&pic, 0x20, 0x68);		/* special mask mode on */
	CHECK(pic.output);
	CHECK_EQ(pic_take(&pic), 0x24);
	pic_write(&pic, 0x20, 0x20);		/* ends 4, not the masked 1 */
	CHECK_EQ(pic.chip[0].isr, 1 << 1);
	pic_write(&pic, 0x20, 0x48);		/* off */
	CHECK_EQ(pic.chip[0].special_mask, 0);
}

static void masks_hold_back(void)
{
	setup(1);
	pic_write(&pic, 0x21, 0x08);
	CHECK_EQ(pic_read(&pic, 0x21), 0x08);
	CHECK_EQ((u32)pulse(3), (u32)-1);
	CHECK(!pic.output);
	pic_write(&pic, 0x21, 0);
	CHECK(pic.output);
	CHECK_EQ(pic_take(&pic), 0x23);
	pic_write(&pic, 0x21, 0x04);
	pulse(10);
	CHECK(!pic.output);
}

static void spurious_vectors(void)
{
	setup(1);
	pic_write(&pic, 0x4d0, 0x80);
	pic_set_line(&pic, 7, true);
	pic_set_line(&pic, 7, false);
	CHECK_EQ(pic_take(&pic), 0x27);
	CHECK_EQ(pic.chip[0].isr, 0);		/* not in service: no EOI for it */
	/* A slave's level line that drops lets the master's input drop with it. */
	pic_write(&pic, 0x4d1, 0x02);
	pic_set_line(&pic, 9, true);
	CHECK(pic.output);
	pic_set_line(&pic, 9, false);
	CHECK(!pic.output);
	/* The master believes in a request of the slave that is none: 15. */
	pic.chip[0].irr |= 4;
	CHECK_EQ(pic_take(&pic), 0x2f);
	CHECK_EQ(pic.chip[1].isr, 0);
	CHECK_EQ(pic.chip[0].isr, 4);
}

static void poll_command(void)
{
	setup(1);
	pic_write(&pic, 0x20, 0x0c);
	CHECK_EQ(pic_read(&pic, 0x20), 0);
	pulse(3);
	pic_write(&pic, 0x20, 0x0c);
	CHECK_EQ(pic_read(&pic, 0x20), 0x83);
	CHECK_EQ(pic.chip[0].isr, 1 << 3);	/* it is an acknowledge */
	CHECK_EQ(pic_read(&pic, 0x20), 0);	/* once; now IRR again */
	eoi(3);
	pulse(8);
	pic_write(&pic, 0xa0, 0x0c);
	CHECK_EQ(pic_read(&pic, 0xa1), 0x80);
	CHECK(!pic.output);
}

static void register_reads(void)
{
	setup(1);
	pulse(5);
	pulse(6);
	CHECK_EQ(pic_read(&pic, 0x20), 0x60);
	pic_take(&pic);
	pic_write(&pic, 0x20, 0x0b);
	CHECK_EQ(pic_read(&pic, 0x20), 0x20);
	pic_write(&pic, 0x20, 0x0a);
	CHECK_EQ(pic_read(&pic, 0x20), 0x40);
}

static void initialisation_forgets_edges(void)
{
	setup(1);
	pulse(3);
	pic_write(&pic, 0x4d0, 0x20);
	pic_set_line(&pic, 5, true);
	pic.acked = 0;
	pic_write(&pic, 0x20, 0x11);
	CHECK_EQ(pic.chip[0].irr, 1 << 5);
	CHECK_EQ(pic.acked, 1 << 3);
	pic_write(&pic, 0x21, 0x50);
	pic_write(&pic, 0x21, 4);
	pic_write(&pic, 0x21, 1);
	CHECK_EQ(pic.chip[0].init_state, 0);
	CHECK_EQ(pic_take(&pic), 0x55);
	/* Without ICW4 the third word ends it. */
	pic_write(&pic, 0x20, 0x10);
	pic_write(&pic, 0x21, 0x60);
	pic_write(&pic, 0x21, 4);
	CHECK_EQ(pic.chip[0].init_state, 0);
	pic_write(&pic, 0x21, 0xaa);
	CHECK_EQ(pic_read(&pic, 0x21), 0xaa);
}

/* Any state and any accesses: in bounds, and vectors are vectors. */
static void hostile_states(void)
{
	static const u16 ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	struct kvm_pic_state s;
	unsigned int i, j, k;

	for (i = 0; i < 3000; i++) {
		for (j = 0; j < 2; j++) {
			for (k = 0; k < sizeof(s); k++)
				((u8 *)&s)[k] = random64();
			pic_load(&pic, j, &s);
		}
		for (k = 0; k < 50; k++) {
			pic_write(&pic, ports[random_below(6)], random64());
			pic_read(&pic, ports[random_below(6)]);
			pic_set_line(&pic, random_below(16), random64() & 1);
			if (pic.output)
				CHECK(pic_take(&pic) < 256);
		}
	}
}

int main(void)
{
	RUN(vectors_of_all_pins);
	RUN(edge_is_remembered_once);
	RUN(level_stays_while_the_line_is_up);
	RUN(priorities_nest);
	RUN(special_fully_nested_lets_the_slave_interrupt_itself);
	RUN(specific_eoi_and_rotation);
	RUN(automatic_eoi);
	RUN(special_mask_mode);
	RUN(masks_hold_back);
	RUN(spurious_vectors);
	RUN(poll_command);
	RUN(register_reads);
	RUN(initialisation_forgets_edges);
	RUN(hostile_states);
	return finish();
}
