/* SPDX-License-Identifier: GPL-2.0-only */
/* The 8254 interval timer and the speaker port's view of it: state machine only. */
#ifndef IRQCHIP_PIT_H
#define IRQCHIP_PIT_H

#include "env.h"

#define PIT_HZ		1193182
#define PIT_CHANNELS	3

/**
 * struct pit_channel - one counter
 * @s: as KVM_GET_PIT2 shows it; count is binary, 1 to 65536 (BCD: 10000); count_load_time in
 *	host monotonic ns
 * @loaded: a count was written since the last control word
 * @paused: the gate holds the count
 * @paused_at: ns that had passed when it was paused
 */
struct pit_channel {
	struct kvm_pit_channel_state s;
	bool loaded, paused;
	u64 paused_at;
};

struct pit {
	struct pit_channel channel[PIT_CHANNELS];
};

/* Hooks, provided by the user of pit.c. */
u64 pit_now(struct pit *pit);			/* host monotonic ns */
void pit_channel0_changed(struct pit *pit);	/* look again at pit_tick_ns() */

void pit_reset(struct pit *pit);
void pit_write(struct pit *pit, unsigned int port, u8 value);
u8 pit_read(struct pit *pit, unsigned int port);
bool pit_out(struct pit *pit, unsigned int channel);
void pit_set_gate(struct pit *pit, unsigned int channel, bool gate);
u64 pit_tick_ns(const struct pit *pit, bool *periodic);
bool pit_state_valid(const struct kvm_pit_channel_state *state);
void pit_load(struct pit *pit, unsigned int channel, const struct kvm_pit_channel_state *state);

#endif
