/* SPDX-License-Identifier: GPL-2.0-only */
/* A machine of plain arrays for tests of the emulator: memory, an MMIO window, ports, registers. */
#ifndef MACHINE_H
#define MACHINE_H

#include "internal.h"
#include "segment.h"

#define RAM_SIZE  0x20000u
#define MMIO_BASE 0x40000ull /* one page */
#define MMIO_SIZE 0x1000u
#define READ_ONLY 0x1f000ull /* last page of memory */

/* What happened, in order. */
enum event_kind {
	EVENT_MMIO_READ,
	EVENT_MMIO_WRITE,
	EVENT_IN,
	EVENT_OUT,
	EVENT_SPECIAL,
	EVENT_CMPXCHG
};

struct event {
	enum event_kind kind;
	u64 address;
	u32 size;
	u32 count;
	u64 value;
};

struct machine {
	struct emulate_ctxt ctxt;
	u8 ram[RAM_SIZE];
	u8 pio[256];
	struct event events[64];
	unsigned int n_events;
	/* answers of MMIO reads and INs that user space has given; more than that pends */
	u64 answers[8];
	unsigned int n_answers, next_answer;
	/* set stop_rep with each MMIO write, as an owner with a full queue does */
	bool stop_on_write;
	bool lose_races;    /* locked writes find that memory has changed */
	struct emulate_segment segments[SEG_COUNT];
	struct emulate_table tables[2];
	u64 cr[17], dr[8];
	u64 msr_efer, msr_star, msr_lstar, msr_sfmask, msr_sysenter[3], msr_kernel_gs;
	u8 vectors[32][64], mmx[8][8];
};

extern const struct emulate_ops machine_ops;

void machine_init(struct machine *machine, enum emulate_mode mode);
void machine_code(struct machine *machine, const void *code, unsigned int length);
enum emulate_status machine_step(struct machine *machine);
void machine_put(struct machine *machine, u64 address, u64 value, unsigned int size);
u64 machine_get(struct machine *machine, u64 address, unsigned int size);
u64 descriptor64(u32 base, u32 limit, u16 attributes);

#endif
