// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decodes and executes one instruction many times, for counting instructions:
 *
 *	bench NAME [times]	NAME is a line of the table below
 *	bench			lists the names
 *
 * The callbacks do next to nothing, so that what is counted is the emulator. Built as the kernel
 * is, so indirect calls and returns go through thunks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

asm(".irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15\n"
    ".globl __x86_indirect_thunk_\\reg\n"
    "__x86_indirect_thunk_\\reg: jmp *%\\reg\n"
    ".endr\n"
    ".globl __x86_return_thunk\n"
    "__x86_return_thunk: ret\n");

static u64 memory[8];

static enum emulate_status bench_fetch(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				       unsigned int len)
{
	(void)linear, (void)buf, (void)len;
	return emulate_raise(ctxt, VECTOR_PF);
}

static enum emulate_status bench_read(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				      unsigned int len, unsigned int access)
{
	(void)ctxt, (void)linear, (void)access, (void)len;
	*(u32 *)buf = memory[0];
	return EMULATE_DONE;
}

static enum emulate_status bench_write(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				       unsigned int len, unsigned int access)
{
	(void)ctxt, (void)linear, (void)access, (void)len;
	memory[0] = *(const u8 *)buf;
	return EMULATE_DONE;
}

static void bench_segment(struct emulate_ctxt *ctxt, unsigned int reg,
			  struct emulate_segment *segment)
{
	(void)ctxt, (void)reg;
	segment->attributes = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_DB | SEG_G;
	segment->limit = 0xffffffff;
	segment->base = 0;
}

static const struct emulate_ops ops = {
	.fetch = bench_fetch,
	.read = bench_read,
	.write = bench_write,
	.get_segment = bench_segment,
};

static const struct bench {
	const char *name;
	enum emulate_mode mode;
	u8 length;
	u8 bytes[EMULATE_MAX_LENGTH];
} benches[] = {
	{ "load", EMULATE_LONG64, 2, { 0x8b, 0x07 } },
	{ "store", EMULATE_LONG64, 2, { 0x89, 0x07 } },
	{ "load-disp", EMULATE_LONG64, 6, { 0x8b, 0x87, 0xf0, 0, 0, 0 } },
	{ "store-disp", EMULATE_LONG64, 6, { 0x89, 0x87, 0xf0, 0, 0, 0 } },
	{ "load-sib-rex", EMULATE_LONG64, 5, { 0x4a, 0x8b, 0x44, 0xa7, 0x10 } },
	{ "load-prefixes", EMULATE_LONG64, 6, { 0x65, 0x66, 0x44, 0x8b, 0x6f, 0x10 } },
	{ "store-imm", EMULATE_LONG64, 6, { 0xc7, 0x07, 1, 2, 3, 4 } },
	{ "load-byte", EMULATE_LONG64, 2, { 0x8a, 0x27 } },
	{ "movzx", EMULATE_LONG64, 3, { 0x0f, 0xb6, 0x07 } },
	{ "load-32", EMULATE_PROT32, 2, { 0x8b, 0x07 } },
	{ "store-32", EMULATE_PROT32, 2, { 0x89, 0x07 } },
	{ "or-memory", EMULATE_LONG64, 2, { 0x09, 0x07 } },
};

static int run(const struct bench *bench, unsigned int times)
{
	struct emulate_ctxt ctxt = {
		.ops = &ops, .mode = bench->mode, .linear_bits = 48, .amd = true
	};
	unsigned int i;

	memcpy(ctxt.bytes, bench->bytes, sizeof(bench->bytes));
	for (i = 0; i < times; i++) {
		ctxt.rip = 0x1000;
		ctxt.rflags = FLAG_FIXED;
		ctxt.n_bytes = EMULATE_MAX_LENGTH;
		ctxt.gpr[GPR_RDI] = 0x4000;
		if (emulate_decode(&ctxt) != EMULATE_DONE || emulate_execute(&ctxt) != EMULATE_DONE)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i, times = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;

	for (i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
		if (argc < 2)
			printf("%s\n", benches[i].name);
		else if (!strcmp(argv[1], benches[i].name))
			return run(&benches[i], times);
	}
	return argc < 2 ? 0 : 1;
}
