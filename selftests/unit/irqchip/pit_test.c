// SPDX-License-Identifier: GPL-2.0-only
/* The 8254 by its data sheet. */
#include "../mmu/tap.h"
#include "pit.h"

static struct pit pit;
static u64 now;
static int changes;

u64 pit_now(struct pit *unused)
{
	return now;
}

void pit_channel0_changed(struct pit *unused)
{
	changes++;
}

/* Let a number of clock ticks pass, and half of one. */
static void ticks_since(u64 start, u64 ticks)
{
	now = start + (ticks * 2 + 1) * NSEC_PER_SEC / (2 * PIT_HZ);
}

static u64 program(int channel, int mode, int rw, int bcd, u16 count)
{
	pit_write(&pit, 0x43, channel << 6 | rw << 4 | mode << 1 | bcd);
	if (rw & 1)
		pit_write(&pit, 0x40 + channel, count);
	if (rw & 2)
		pit_write(&pit, 0x40 + channel, count >> 8);
	return now;
}

static u16 latched(int channel)
{
	u16 n;

	pit_write(&pit, 0x43, channel << 6);
	n = pit_read(&pit, 0x40 + channel);
	return n | pit_read(&pit, 0x40 + channel) << 8;
}

static void setup(void)
{
	pit_reset(&pit);
	now = 1000000;
	changes = 0;
}

static void counting_down(void)
{
	u64 t;

	setup();
	t = program(1, 2, 3, 0, 1000);
	ticks_since(t, 0);
	CHECK_EQ(latched(1), 1000);
	ticks_since(t, 999);
	CHECK_EQ(latched(1), 1);
	ticks_since(t, 1000);
	CHECK_EQ(latched(1), 1000);
	ticks_since(t, 5432);
	CHECK_EQ(latched(1), 1000 - 432);
	/* Count 0 is the longest. */
	t = program(1, 2, 3, 0, 0);
	ticks_since(t, 1);
	CHECK_EQ(latched(1), 0xffff);
}

static void one_shot_wraps(void)
{
	u64 t;

	setup();
	t = program(1, 0, 3, 0, 100);
	ticks_since(t, 40);
	CHECK_EQ(latched(1), 60);
	CHECK(!pit_out(&pit, 1));
	ticks_since(t, 100);
	CHECK_EQ(latched(1), 0);
	CHECK(pit_out(&pit, 1));
	ticks_since(t, 101);
	CHECK_EQ(latched(1), 0xffff);
	CHECK(pit_out(&pit, 1));
}

static void square_wave(void)
{
	u64 t;

	setup();
	t = program(1, 3, 3, 0, 10);
	ticks_since(t, 2);
	CHECK_EQ(latched(1), 6);
	CHECK(pit_out(&pit, 1));
	ticks_since(t, 5);
	CHECK(!pit_out(&pit, 1));
	CHECK_EQ(latched(1), 10);
	ticks_since(t, 10);
	CHECK(pit_out(&pit, 1));
	/* Odd counts: one tick more high than low; modes 6 and 7 are 2 and 3. */
	t = program(1, 7, 3, 0, 5);
	CHECK_EQ(pit.channel[1].s.mode, 3);
	ticks_since(t, 2);
	CHECK(pit_out(&pit, 1));
	ticks_since(t, 3);
	CHECK(!pit_out(&pit, 1));
}

static void rate_generator_output(void)
{
	u64 t;

	setup();
	t = program(1, 2, 3, 0, 4);
	ticks_since(t, 2);
	CHECK(pit_out(&pit, 1));
	ticks_since(t, 3);
	CHECK(!pit_out(&pit, 1));
	ticks_since(t, 4);
	CHECK(pit_out(&pit, 1));
}

static void strobe(void)
{
	u64 t;

	setup();
	t = program(1, 4, 3, 0, 4);
	CHECK(pit_out(&pit, 1));
	ticks_since(t, 3);
	CHECK(pit_out(&pit, 1));
	ticks_since(t, 4);
	CHECK(!pit_out(&pit, 1));
	ticks_since(t, 5);
	CHECK(pit_out(&pit, 1));
}

static void bcd(void)
{
	u64 t;

	setup();
	t = program(1, 2, 3, 1, 0x1000);
	ticks_since(t, 1);
	CHECK_EQ(latched(1), 0x0999);
	CHECK_EQ(pit.channel[1].s.count, 1000);
	t = program(1, 0, 3, 1, 0x0001);
	ticks_since(t, 2);
	CHECK_EQ(latched(1), 0x9999);
	program(1, 2, 3, 1, 0);
	CHECK_EQ(pit.channel[1].s.count, 10000);
}

static void access_modes(void)
{
	u64 t;

	setup();
	t = program(1, 2, 1, 0, 0x34);
	CHECK_EQ(pit.channel[1].s.count, 0x34);
	ticks_since(t, 4);
	CHECK_EQ(pit_read(&pit, 0x41), 0x30);
	CHECK_EQ(pit_read(&pit, 0x41), 0x30);
	t = program(1, 2, 2, 0, 0x5600);
	CHECK_EQ(pit.channel[1].s.count, 0x5600);
	ticks_since(t, 1);
	CHECK_EQ(pit_read(&pit, 0x41), 0x55);
	t = program(1, 2, 3, 0, 0x1234);
	ticks_since(t, 0x34);
	CHECK_EQ(pit_read(&pit, 0x41), 0x00);
	CHECK_EQ(pit_read(&pit, 0x41), 0x12);
	/* Half a write loads nothing. */
	pit_write(&pit, 0x41, 0xff);
	CHECK_EQ(pit.channel[1].s.count, 0x1234);
	pit_write(&pit, 0x41, 0x00);
	CHECK_EQ(pit.channel[1].s.count, 0x00ff);
	CHECK_EQ(pit_read(&pit, 0x43), 0);
}

static void latch_holds(void)
{
	u64 t;

	setup();
	t = program(1, 2, 3, 0, 1000);
	ticks_since(t, 10);
	pit_write(&pit, 0x43, 1 << 6);
	ticks_since(t, 20);
	pit_write(&pit, 0x43, 1 << 6);		/* a second latch is ignored */
	ticks_since(t, 30);
	CHECK_EQ(pit_read(&pit, 0x41), 990 & 0xff);
	CHECK_EQ(pit_read(&pit, 0x41), 990 >> 8);
	CHECK_EQ(pit_read(&pit, 0x41), 970 & 0xff);
}

static void read_back_command(void)
{
	u64 t;

	setup();
	t = program(1, 3, 3, 0, 1000);
	ticks_since(t, 100);
	pit_write(&pit, 0x43, 0xc0 | 2 << 1);	/* count and status of channel 1 */
	ticks_since(t, 200);
	CHECK_EQ(pit_read(&pit, 0x41), 0x80 | 3 << 4 | 3 << 1);
	CHECK_EQ(pit_read(&pit, 0x41), 800 & 0xff);
	CHECK_EQ(pit_read(&pit, 0x41), 800 >> 8);
	/* Null count until one is loaded, and the output's first level. */
	pit_write(&pit, 0x43, 1 << 6 | 3 << 4);
	pit_write(&pit, 0x43, 0xe0 | 2 << 1);	/* status alone */
	CHECK_EQ(pit_read(&pit, 0x41), 0x40 | 3 << 4);
	CHECK_EQ(pit.channel[0].s.status_latched, 0);
}

static void gate(void)
{
	u64 t;

	setup();
	pit_set_gate(&pit, 2, true);
	t = program(2, 0, 3, 0, 1000);
	ticks_since(t, 100);
	pit_set_gate(&pit, 2, false);
	ticks_since(t, 500);
	CHECK_EQ(latched(2), 900);		/* held */
	pit_set_gate(&pit, 2, true);
	now += 100 * NSEC_PER_SEC / PIT_HZ;
	CHECK_EQ(latched(2), 800);
	/* Mode 2 starts again at the edge, and its output is high while held. */
	t = program(2, 2, 3, 0, 1000);
	ticks_since(t, 999);
	CHECK(!pit_out(&pit, 2));
	pit_set_gate(&pit, 2, false);
	CHECK(pit_out(&pit, 2));
	pit_set_gate(&pit, 2, true);
	CHECK_EQ(latched(2), 1000);
	/* Mode 1 waits for the edge. */
	pit_set_gate(&pit, 2, false);
	t = program(2, 1, 3, 0, 50);
	CHECK(pit_out(&pit, 2));
	ticks_since(t, 100);
	CHECK(pit_out(&pit, 2));
	pit_set_gate(&pit, 2, true);
	t = now;
	CHECK(!pit_out(&pit, 2));
	pit_set_gate(&pit, 2, false);		/* no matter */
	ticks_since(t, 49);
	CHECK(!pit_out(&pit, 2));
	ticks_since(t, 50);
	CHECK(pit_out(&pit, 2));
}

static void channel0_ticks(void)
{
	bool periodic;

	setup();
	CHECK_EQ(pit_tick_ns(&pit, &periodic), 0);
	program(0, 2, 3, 0, 11932);
	CHECK_EQ(changes, 2);			/* control word and count */
	CHECK_EQ(pit_tick_ns(&pit, &periodic) / 1000, 10000);
	CHECK(periodic);
	program(0, 0, 3, 0, 0);
	CHECK_EQ(pit_tick_ns(&pit, &periodic) / 1000, 54925);
	CHECK(!periodic);
	pit_write(&pit, 0x43, 0x30);		/* control word alone: it stops */
	CHECK_EQ(pit_tick_ns(&pit, &periodic), 0);
	program(0, 1, 3, 0, 100);		/* its gate never rises */
	CHECK_EQ(pit_tick_ns(&pit, &periodic), 0);
	changes = 0;
	program(1, 2, 3, 0, 100);
	CHECK_EQ(changes, 0);
}

static void hostile_states(void)
{
	struct kvm_pit_channel_state s;
	unsigned int i, k;
	bool periodic;
	int taken = 0;

	setup();
	for (i = 0; i < 20000; i++) {
		for (k = 0; k < sizeof(s); k++)
			((u8 *)&s)[k] = random64() & (random64() & 1 ? 0xff : 3);
		s.count = random_below(0x10003);
		if (!pit_state_valid(&s))
			continue;
		taken++;
		pit_load(&pit, random_below(3), &s);
		for (k = 0; k < 20; k++) {
			now += random_below(1ull << random_below(50));
			pit_write(&pit, 0x40 + random_below(4), random64());
			pit_read(&pit, 0x40 + random_below(4));
			pit_set_gate(&pit, 2, random64() & 1);
			pit_out(&pit, random_below(3));
			pit_tick_ns(&pit, &periodic);
		}
	}
	CHECK(taken > 100);
}

int main(void)
{
	RUN(counting_down);
	RUN(one_shot_wraps);
	RUN(square_wave);
	RUN(rate_generator_output);
	RUN(strobe);
	RUN(bcd);
	RUN(access_modes);
	RUN(latch_holds);
	RUN(read_back_command);
	RUN(gate);
	RUN(channel0_ticks);
	RUN(hostile_states);
	return finish();
}
