// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254. Rules: Intel's 8254 data sheet. As in KVM, a new count restarts the counter at once in
 * every mode, and time is computed from the load, not counted.
 */
#include "pit.h"

#define MODE_NONE 0xff	/* before the first control word; KVM shows it so */

/* How 16 bits go through the port: rw_mode, read_state, write_state, count_latched. */
enum { RW_NONE, RW_LOW, RW_HIGH, RW_BOTH, RW_BOTH_HIGH };

static u64 elapsed_ns(struct pit *pit, const struct pit_channel *c)
{
	u64 now;

	if (c->paused)
		return c->paused_at;
	now = pit_now(pit);
	return now > (u64)c->s.count_load_time ? now - c->s.count_load_time : 0;
}

static u64 elapsed_ticks(struct pit *pit, const struct pit_channel *c)
{
	return mul_u64_u32_div(elapsed_ns(pit, c), PIT_HZ, NSEC_PER_SEC);
}

static u32 wrap(const struct pit_channel *c)
{
	return c->s.bcd ? 10000 : 0x10000;
}

static u32 to_bcd(u32 n)
{
	return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
}

static u32 from_bcd(u32 n)
{
	return (n & 0xf) + (n >> 4 & 0xf) * 10 + (n >> 8 & 0xf) * 100 + (n >> 12 & 0xf) * 1000;
}

/* Modes 1 and 5 start at a rising edge of the gate, 2 and 3 restart there, 0 and 4 go on. */
static bool starts_by_gate(const struct pit_channel *c)
{
	return c->s.mode == 1 || c->s.mode == 5;
}

/* The counter as a program reads it. */
static u16 counter(struct pit *pit, const struct pit_channel *c)
{
	u64 ticks = elapsed_ticks(pit, c);
	u32 n;

	switch (c->s.mode) {
	case 2:
		n = c->s.count - ticks % c->s.count;
		break;
	case 3:		/* by twos, twice a period */
		n = c->s.count - 2 * ticks % c->s.count;
		n &= ~1u;
		break;
	default:	/* counts on through zero */
		n = (c->s.count + wrap(c) - ticks % wrap(c)) % wrap(c);
		break;
	}
	return c->s.bcd ? to_bcd(n) : n;
}

/**
 * pit_out - a channel's output line
 * @pit: the timer
 * @channel: 0 to 2
 */
bool pit_out(struct pit *pit, unsigned int channel)
{
	const struct pit_channel *c = &pit->channel[channel];
	u64 ticks;

	if (!c->loaded)
		return c->s.mode != 0;
	ticks = elapsed_ticks(pit, c);
	switch (c->s.mode) {
	case 0:
		return ticks >= c->s.count;
	case 1:		/* high until the gate triggers it */
		return c->paused || ticks >= c->s.count;
	case 2:		/* low for the last tick of each round */
		return c->paused || ticks % c->s.count != c->s.count - 1;
	case 3:
		return c->paused || ticks % c->s.count < (c->s.count + 1) / 2;
	default:	/* 4, 5: low for one tick */
		return ticks != c->s.count;
	}
}

static void start(struct pit *pit, struct pit_channel *c)
{
	c->s.count_load_time = pit_now(pit);
	c->paused_at = 0;
	c->paused = starts_by_gate(c) || !c->s.gate;
}

static void load_count(struct pit *pit, struct pit_channel *c, u32 value)
{
	u32 count = c->s.bcd ? from_bcd(value) : value;

	c->s.count = count ?: wrap(c);
	c->loaded = true;
	start(pit, c);
	if (c == &pit->channel[0])
		pit_channel0_changed(pit);
}

static void latch_count(struct pit *pit, struct pit_channel *c)
{
	if (c->s.count_latched)
		return;
	c->s.latched_count = counter(pit, c);
	c->s.count_latched = c->s.rw_mode;
}

static void latch_status(struct pit *pit, struct pit_channel *c)
{
	if (c->s.status_latched)
		return;
	c->s.status = pit_out(pit, c - pit->channel) << 7 | !c->loaded << 6 |
		      c->s.rw_mode << 4 | (c->s.mode & 7) << 1 | c->s.bcd;
	c->s.status_latched = 1;
}

static void read_back(struct pit *pit, u8 value)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		if (!(value & (2 << i)))
			continue;
		if (!(value & 0x20))
			latch_count(pit, &pit->channel[i]);
		if (!(value & 0x10))
			latch_status(pit, &pit->channel[i]);
	}
}

static void write_control(struct pit *pit, u8 value)
{
	u8 access = value >> 4 & 3;
	struct pit_channel *c;

	if (value >> 6 == 3) {
		read_back(pit, value);
		return;
	}
	c = &pit->channel[array_index_nospec(value >> 6, PIT_CHANNELS)];
	if (!access) {
		latch_count(pit, c);
		return;
	}
	c->s.rw_mode = access;
	c->s.read_state = access;
	c->s.write_state = access;
	c->s.count_latched = 0;
	c->s.status_latched = 0;
	c->s.mode = value >> 1 & 7;
	if (c->s.mode > 5)
		c->s.mode -= 4;
	c->s.bcd = value & 1;
	/* The output takes its first state and the counter stands until it gets a count. */
	c->paused_at = elapsed_ns(pit, c);
	c->paused = true;
	c->loaded = false;
	if (c == &pit->channel[0])
		pit_channel0_changed(pit);
}

/**
 * pit_write - the guest writes a port
 * @pit: the timer
 * @port: 0x40 to 0x43; the low two bits count
 * @value: the byte
 */
void pit_write(struct pit *pit, unsigned int port, u8 value)
{
	struct pit_channel *c;

	port &= 3;
	if (port == 3) {
		write_control(pit, value);
		return;
	}
	c = &pit->channel[array_index_nospec(port, PIT_CHANNELS)];
	switch (c->s.write_state) {
	case RW_BOTH:
		c->s.write_latch = value;
		c->s.write_state = RW_BOTH_HIGH;
		break;
	case RW_BOTH_HIGH:
		c->s.write_state = RW_BOTH;
		load_count(pit, c, c->s.write_latch | value << 8);
		break;
	case RW_HIGH:
		load_count(pit, c, value << 8);
		break;
	default:
		load_count(pit, c, value);
		break;
	}
}

static u8 read_latched(struct pit_channel *c)
{
	switch (c->s.count_latched) {
	case RW_BOTH:
		c->s.count_latched = RW_HIGH;
		return c->s.latched_count;
	case RW_HIGH:
		c->s.count_latched = 0;
		return c->s.latched_count >> 8;
	default:
		c->s.count_latched = 0;
		return c->s.latched_count;
	}
}

static u8 read_running(struct pit *pit, struct pit_channel *c)
{
	u16 n = counter(pit, c);

	switch (c->s.read_state) {
	case RW_BOTH:
		c->s.read_state = RW_BOTH_HIGH;
		return n;
	case RW_BOTH_HIGH:
		c->s.read_state = RW_BOTH;
		return n >> 8;
	case RW_HIGH:
		return n >> 8;
	default:
		return n;
	}
}

/**
 * pit_read - the guest reads a port
 * @pit: the timer
 * @port: as for pit_write()
 *
 * Return: the byte; the control port reads as 0.
 */
u8 pit_read(struct pit *pit, unsigned int port)
{
	struct pit_channel *c;

	port &= 3;
	if (port == 3)
		return 0;
	c = &pit->channel[array_index_nospec(port, PIT_CHANNELS)];
	if (c->s.status_latched) {
		c->s.status_latched = 0;
		return c->s.status;
	}
	return c->s.count_latched ? read_latched(c) : read_running(pit, c);
}

/**
 * pit_set_gate - drive a channel's gate
 * @pit: the timer
 * @channel: 2 on a PC; the others' gates are wired high
 * @gate: the new level
 */
void pit_set_gate(struct pit *pit, unsigned int channel, bool gate)
{
	struct pit_channel *c = &pit->channel[channel];
	bool was = c->s.gate;

	c->s.gate = gate;
	if (was == gate || !c->loaded)
		return;
	if (gate) {
		c->s.count_load_time = pit_now(pit);
		if (c->s.mode == 0 || c->s.mode == 4)
			c->s.count_load_time -= c->paused_at;
		c->paused = false;
	} else if (!starts_by_gate(c)) {
		c->paused_at = elapsed_ns(pit, c);
		c->paused = true;
	}
}

/**
 * pit_tick_ns - when channel 0 raises its interrupt
 * @pit: the timer
 * @periodic: filled: again and again
 *
 * Return: ns from the load to the (first) rising edge of its output; 0: never.
 */
u64 pit_tick_ns(const struct pit *pit, bool *periodic)
{
	const struct pit_channel *c = &pit->channel[0];

	*periodic = c->s.mode == 2 || c->s.mode == 3;
	if (!c->loaded || c->paused)
		return 0;
	return mul_u64_u32_div(c->s.count, NSEC_PER_SEC, PIT_HZ);
}

/**
 * pit_reset - power-up state
 * @pit: the timer
 */
void pit_reset(struct pit *pit)
{
	int i;

	memset(pit, 0, sizeof(*pit));
	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *c = &pit->channel[i];

		c->s.mode = MODE_NONE;
		c->s.gate = i != 2;
		c->s.count = 0x10000;
		c->paused = true;
	}
}

/**
 * pit_state_valid - can user space's state be loaded?
 * @state: one channel
 */
bool pit_state_valid(const struct kvm_pit_channel_state *state)
{
	return state->count <= 0x10000 && (state->mode <= 5 || state->mode == MODE_NONE) &&
	       state->rw_mode <= RW_BOTH &&
	       state->read_state <= RW_BOTH_HIGH && state->write_state <= RW_BOTH_HIGH &&
	       state->count_latched <= RW_BOTH;
}

/**
 * pit_load - KVM_SET_PIT2 for one channel
 * @pit: the timer
 * @channel: 0 to 2
 * @state: a valid state; as in KVM, the count starts anew
 */
void pit_load(struct pit *pit, unsigned int channel, const struct kvm_pit_channel_state *state)
{
	struct pit_channel *c = &pit->channel[channel];

	c->s = *state;
	c->s.bcd &= 1;
	c->s.gate = state->gate || channel != 2;
	c->s.count = min_t(u32, state->count, wrap(c));
	if (!c->s.count)
		c->s.count = wrap(c);
	c->loaded = c->s.mode != MODE_NONE;
	start(pit, c);
	if (starts_by_gate(c) && c->s.gate)
		c->paused = false;
	if (channel == 0)
		pit_channel0_changed(pit);
}
