/* SPDX-License-Identifier: GPL-2.0-only */
/* Run one instruction on the real CPU, in this process, and catch what it does. */
#ifndef NATIVE_H
#define NATIVE_H

#include "env.h"

enum native_mode { NATIVE_64, NATIVE_32, NATIVE_16 };

/* Registers before and after; gpr in hardware order. */
struct native_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	u8 vector[16][32];
	int trap; /* vector that ended it; 3 if it completed */
	u64 error;
	u64 cr2;
};

/* Where everything is: below 4 GiB, so that 32-bit code reaches it. */
#define NATIVE_CODE	 0x10000000ull
#define NATIVE_CODE_SIZE 0x2000
#define NATIVE_DATA	 0x10010000ull /* two writable pages, one read-only, a hole */
#define NATIVE_DATA_SIZE 0x3000
#define NATIVE_WRITABLE	 0x2000

/* Behind the instruction stands a jump to the way out. */
#define NATIVE_EXIT_SIZE 16

/* 16-bit code runs in an LDT segment with this base. */
#define NATIVE_BASE16 0x10000000ull

bool native_init(void);
bool native_has_mode(enum native_mode mode);
u16 native_cs(enum native_mode mode);
u16 native_ds(enum native_mode mode);

/**
 * native_run() - run the instruction at state->rip
 * @mode: code segment
 * @state: registers in and out; trap 3 says that it completed and RIP where it went
 * @length: the instruction's
 */
void native_run(enum native_mode mode, struct native_state *state, unsigned int length);

/* Base of GS in 64-bit mode; points into the data. */
extern u64 native_gs_base;
extern u64 native_fs_base;

#endif
