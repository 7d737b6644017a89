// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer harness: any bytes, any registers, any callback failing at any call. Whatever happens,
 * the emulator must keep its promises: lengths of accesses, nothing changed on failure, the same
 * accesses when it runs again.
 */
#include <stdlib.h>

#include "machine.h"

struct input {
	const u8 *data;
	size_t size;
};

static struct input input;
static struct machine machine;
static unsigned int fail_at, call, fail_how;
static u64 trace[256];
static unsigned int n_trace;

static u64 take(unsigned int size)
{
	u64 value = 0;

	for (; size && input.size; size--, input.size--)
		value = value << 8 | *input.data++;
	return value;
}

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* The chosen call fails in the chosen way. */
static enum emulate_status maybe_fail(struct emulate_ctxt *ctxt, bool may_pend)
{
	static const enum emulate_status ways[] = { EMULATE_FAULT, EMULATE_PENDING, EMULATE_ERROR,
						    EMULATE_INTERCEPTED };

	if (++call != fail_at)
		return EMULATE_DONE;
	if (ways[fail_how] == EMULATE_PENDING && !may_pend)
		return EMULATE_DONE;
	if (ways[fail_how] == EMULATE_FAULT)
		emulate_raise_error(ctxt, VECTOR_PF, 0);
	return ways[fail_how];
}

static void check_access(const struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
			 unsigned int access)
{
	if (access & EMULATE_ACCESS_BATCH)
		require(len <= ctxt->pio_size && (linear & 0xfff) + len <= 0x1000);
	else
		require(len >= 1 && len <= 104);
	if (n_trace < 256)
		trace[n_trace++] = linear << 8 | len;
}

#define WRAP(pend_, name_, ...)                                                                  \
	do {                                                                                     \
		enum emulate_status status_ = maybe_fail(ctxt, pend_);                           \
		return status_ == EMULATE_DONE ? machine_ops.name_(ctxt, __VA_ARGS__) : status_; \
	} while (0)

static enum emulate_status fuzz_fetch(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				      unsigned int len)
{
	require(len >= 1 && len <= 15 && (linear & 0xfff) + len <= 0x1000);
	WRAP(false, fetch, linear, buf, len);
}

static enum emulate_status fuzz_read(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				     unsigned int len, unsigned int access)
{
	check_access(ctxt, linear, len, access);
	WRAP(true, read, linear & 0x3ffff, buf, len, access);
}

static enum emulate_status fuzz_write(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				      unsigned int len, unsigned int access)
{
	check_access(ctxt, linear, len, access);
	WRAP(false, write, linear & 0x3ffff, buf, len, access);
}

static enum emulate_status fuzz_probe(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
				      unsigned int access)
{
	check_access(ctxt, linear, len, access);
	WRAP(false, probe_write, linear & 0x3ffff, len, access);
}

static enum emulate_status fuzz_cmpxchg(struct emulate_ctxt *ctxt, u64 linear, void *old,
					const void *new, unsigned int len, unsigned int access,
					bool *swapped)
{
	require(len == 1 || len == 2 || len == 4 || len == 8 || len == 16);
	WRAP(false, compare_exchange, linear & 0x1ffff, old, new, len, access, swapped);
}

static enum emulate_status fuzz_pio_in(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				       unsigned int count, void *buf)
{
	require((size == 1 || size == 2 || size == 4) && count &&
		(count == 1 || size * count <= ctxt->pio_size));
	WRAP(true, pio_in, port, size, count, buf);
}

static enum emulate_status fuzz_pio_out(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
					unsigned int count, const void *buf)
{
	require((size == 1 || size == 2 || size == 4) && count &&
		(count == 1 || size * count <= ctxt->pio_size));
	WRAP(false, pio_out, port, size, count, buf);
}

static void fuzz_get_segment(struct emulate_ctxt *ctxt, unsigned int reg,
			     struct emulate_segment *segment)
{
	require(reg < SEG_COUNT);
	machine_ops.get_segment(ctxt, reg, segment);
}

static enum emulate_status fuzz_set_segment(struct emulate_ctxt *ctxt, unsigned int reg,
					    const struct emulate_segment *segment)
{
	require(reg < SEG_COUNT);
	WRAP(false, set_segment, reg, segment);
}

static u64 fuzz_get_cr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	require(reg == 0 || (reg >= 2 && reg <= 4) || reg == 8 || reg == EMULATE_XCR0);
	return machine_ops.get_cr(ctxt, reg);
}

static enum emulate_status fuzz_set_cr(struct emulate_ctxt *ctxt, unsigned int reg, u64 value)
{
	require(reg == 0 || (reg >= 2 && reg <= 4) || reg == 8 || reg == EMULATE_XCR0);
	WRAP(false, set_cr, reg, value);
}

static u64 fuzz_get_dr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	require(reg < 8 && reg != 4 && reg != 5);
	return machine_ops.get_dr(ctxt, reg);
}

static enum emulate_status fuzz_get_msr(struct emulate_ctxt *ctxt, u32 index, u64 *value)
{
	WRAP(false, get_msr, index, value);
}

static enum emulate_status fuzz_get_vector(struct emulate_ctxt *ctxt, unsigned int reg, void *buf,
					   unsigned int len)
{
	require(reg >= EMULATE_MMX ? reg < EMULATE_MMX + 8 && len == 8 :
				     reg < 32 && len >= 4 && len <= 64);
	WRAP(false, get_vector, reg, buf, len);
}

static enum emulate_status fuzz_set_vector(struct emulate_ctxt *ctxt, unsigned int reg,
					   const void *buf, unsigned int len, bool zero_upper)
{
	require(reg >= EMULATE_MMX ? reg < EMULATE_MMX + 8 && len == 8 :
				     reg < 32 && (len == 16 || len == 32 || len == 64));
	WRAP(false, set_vector, reg, buf, len, zero_upper);
}

static enum emulate_status fuzz_special(struct emulate_ctxt *ctxt, enum emulate_special kind,
					u64 operand)
{
	require(kind <= SPECIAL_VIRT);
	WRAP(false, special, kind, operand);
}

static struct emulate_ops ops;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	ops = machine_ops;
	ops.fetch = fuzz_fetch;
	ops.read = fuzz_read;
	ops.write = fuzz_write;
	ops.probe_write = fuzz_probe;
	ops.compare_exchange = fuzz_cmpxchg;
	ops.pio_in = fuzz_pio_in;
	ops.pio_out = fuzz_pio_out;
	ops.get_segment = fuzz_get_segment;
	ops.set_segment = fuzz_set_segment;
	ops.get_cr = fuzz_get_cr;
	ops.set_cr = fuzz_set_cr;
	ops.get_dr = fuzz_get_dr;
	ops.get_msr = fuzz_get_msr;
	ops.get_vector = fuzz_get_vector;
	ops.set_vector = fuzz_set_vector;
	ops.special = fuzz_special;
	return 0;
}

/* Registers from the input: mostly small, so that they point into memory and MMIO. */
static void set_up(void)
{
	struct emulate_ctxt *ctxt = &machine.ctxt;
	u8 how = take(1), length;
	unsigned int i;

	machine_init(&machine, how % 5);
	ctxt->ops = &ops;
	ctxt->amd = how & 0x20;
	if (ctxt->mode >= EMULATE_PROT16)
		ctxt->cpl = how >> 6;
	machine.n_answers = take(1) % 8;
	fail_at = take(1) % 32;
	fail_how = take(1) % 4;
	ctxt->rflags =
		(take(3) & 0x254dd5) | FLAG_FIXED | (ctxt->mode == EMULATE_VM86 ? FLAG_VM : 0);
	for (i = 0; i < GPR_COUNT; i++)
		ctxt->gpr[i] = take(1) & 1 ? take(8) : take(3) & 0x41fff;
	machine.cr[0] ^= take(1) & 0xe;
	machine.cr[4] ^= take(4);
	machine.lose_races = take(1) & 1;
	for (i = 0; i < 32; i++)
		machine_put(&machine, 0x2000 + 8 * i, take(8), 8);
	/* gates and descriptors are the same random numbers; a stack for level 0 */
	if (ctxt->mode != EMULATE_REAL)
		machine.tables[TABLE_IDT] = machine.tables[TABLE_GDT];
	machine_put(&machine, 0x3004, 0x1000007000, 8);
	length = take(1) & 31;
	for (i = 0; i < length; i++)
		machine.ram[0x1000 + i] = take(1);
	ctxt->n_bytes = 0;
	call = 0;
	n_trace = 0;
}

/* The registers are as before, but for what is said to have changed. */
static void check_unchanged(const struct emulate_ctxt *before, const struct emulate_ctxt *after)
{
	unsigned int i;

	require(after->rip == before->rip || after->mode_changed);
	for (i = 0; i < GPR_COUNT; i++)
		require(after->gpr[i] == before->gpr[i] || (after->gpr_dirty >> i & 1));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct emulate_ctxt *ctxt = &machine.ctxt, before;
	u64 first[256];
	enum emulate_status status;
	unsigned int count;

	input = (struct input){ data, size };
	set_up();
	before = *ctxt;
	status = emulate_decode(ctxt);
	require(ctxt->insn.length <= EMULATE_MAX_LENGTH && ctxt->n_bytes <= EMULATE_MAX_LENGTH);
	if (status != EMULATE_DONE)
		return 0;
	require(ctxt->insn.length >= 1 && ctxt->insn.op && ctxt->insn.op < INSN_COUNT);
	status = emulate_execute(ctxt);
	if (status == EMULATE_DONE) {
		require(ctxt->gpr_dirty || !memcmp(ctxt->gpr, before.gpr, sizeof(before.gpr)));
		return 0;
	}
	check_unchanged(&before, ctxt);
	if (status != EMULATE_PENDING || ctxt->gpr_dirty)
		return 0;
	/* user space has answered everything: the same accesses again, as far as they went */
	memcpy(first, trace, sizeof(first));
	count = n_trace;
	n_trace = call = fail_at = 0;
	machine.n_answers = 8;
	machine.next_answer = 0;
	status = emulate_execute(ctxt);
	if (status != EMULATE_PENDING)
		require(n_trace >= count && !memcmp(first, trace, count * sizeof(first[0])));
	return 0;
}
