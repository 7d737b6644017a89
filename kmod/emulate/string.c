// SPDX-License-Identifier: GPL-2.0-only
/* String instructions, their repetition, and port I/O. */
#include "internal.h"

/* A guest may ask for 2^64 iterations; give the vCPU back now and then. */
#define MAX_ITERATIONS 1024

#define TSS_IO_BASE    102 /* where a 32- or 64-bit TSS says where its I/O permission map is */
#define TSS_IO_MINIMUM 103 /* smallest limit with that field */
#define PAGE_BYTES     4096u

static bool is_repeated(const struct emulate_ctxt *ctxt)
{
	return ctxt->insn.prefixes & (PREFIX_REP | PREFIX_REPNE);
}

static u64 count_register(const struct emulate_ctxt *ctxt)
{
	return read_gpr(ctxt, GPR_RCX, ctxt->insn.address_size);
}

static u64 string_offset(const struct emulate_ctxt *ctxt, unsigned int reg)
{
	return read_gpr(ctxt, reg, ctxt->insn.address_size);
}

static void advance(struct emulate_ctxt *ctxt, unsigned int reg, unsigned int elements)
{
	u64 bytes = (u64)elements * ctxt->insn.operand_size;
	u64 old = string_offset(ctxt, reg);

	write_gpr(ctxt, reg, ctxt->insn.address_size,
		  ctxt->rflags & FLAG_DF ? old - bytes : old + bytes);
}

/* After an iteration: is the instruction finished, or must it stop half way? Both end the loop. */
static bool repetition_ends(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;

	if (count_register(ctxt) == 0)
		return true;
	if (insn->op == INSN_CMPS || insn->op == INSN_SCAS) {
		if (!(ctxt->rflags & FLAG_ZF) == !(insn->prefixes & PREFIX_REPNE))
			return true;
	}
	if (ctxt->stop_rep || (ctxt->rflags & FLAG_TF)) {
		run_again(ctxt);
		return true;
	}
	return false;
}

/*
 * With 32-bit addresses in 64-bit mode Intel's CPUs clear the upper halves of the counter, and of
 * the index registers of MOVS and STOS, even if nothing is done.
 */
static void truncate_registers(struct emulate_ctxt *ctxt)
{
	if (ctxt->amd || !in_long64(ctxt) || ctxt->insn.address_size != 4)
		return;
	write_gpr(ctxt, GPR_RCX, 4, ctxt->gpr[GPR_RCX]);
	if (ctxt->insn.op == INSN_MOVS)
		write_gpr(ctxt, GPR_RSI, 4, ctxt->gpr[GPR_RSI]);
	if (ctxt->insn.op == INSN_MOVS || ctxt->insn.op == INSN_STOS)
		write_gpr(ctxt, GPR_RDI, 4, ctxt->gpr[GPR_RDI]);
	commit_iteration(ctxt);
}

/*
 * Run @element once, or as often as RCX says. It handles up to @elements elements a call and says
 * how many it did. Every iteration is committed on its own.
 */
static enum emulate_status repeat(struct emulate_ctxt *ctxt,
				  enum emulate_status (*element)(struct emulate_ctxt *,
								 unsigned int *elements))
{
	unsigned int iteration, done;
	enum emulate_status status;
	u64 count;

	if (!is_repeated(ctxt)) {
		done = 1;
		return element(ctxt, &done);
	}
	truncate_registers(ctxt);
	if (count_register(ctxt) == 0)
		return EMULATE_DONE;
	for (iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
		count = count_register(ctxt);
		done = count > 0xffff ? 0xffff : count;
		status = element(ctxt, &done);
		if (status != EMULATE_DONE)
			return status;
		write_gpr(ctxt, GPR_RCX, ctxt->insn.address_size, count - done);
		commit_iteration(ctxt);
		/* A later fault finds this one's flags on AMD's CPUs, the first's on Intel's. */
		if (ctxt->amd)
			ctxt->saved_rflags = ctxt->rflags;
		if (repetition_ends(ctxt))
			return EMULATE_DONE;
	}
	run_again(ctxt);
	return EMULATE_DONE;
}

/* The elements at RSI, in a segment that may be chosen, and at RDI, always in ES. */
static enum emulate_status read_first(struct emulate_ctxt *ctxt, u64 *value)
{
	return read_number(ctxt, ctxt->insn.segment, string_offset(ctxt, GPR_RSI),
			   ctxt->insn.operand_size, value);
}

static enum emulate_status read_second(struct emulate_ctxt *ctxt, u64 *value)
{
	return read_number(ctxt, SEG_ES, string_offset(ctxt, GPR_RDI), ctxt->insn.operand_size,
			   value);
}

typedef enum emulate_status (*reader_fn)(struct emulate_ctxt *ctxt, u64 *value);

static enum emulate_status read_both(struct emulate_ctxt *ctxt, reader_fn read, u64 *value,
				     reader_fn read_next, u64 *next)
{
	enum emulate_status status = read(ctxt, value);

	return status == EMULATE_DONE ? read_next(ctxt, next) : status;
}

static enum emulate_status movs_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	unsigned int size = ctxt->insn.operand_size;
	enum emulate_status status;
	u64 value;

	*elements = 1;
	status = read_first(ctxt, &value);
	if (status == EMULATE_DONE)
		status = write_number(ctxt, SEG_ES, string_offset(ctxt, GPR_RDI), size, value);
	if (status != EMULATE_DONE)
		return status;
	advance(ctxt, GPR_RSI, 1);
	advance(ctxt, GPR_RDI, 1);
	return EMULATE_DONE;
}

static enum emulate_status cmps_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	unsigned int size = ctxt->insn.operand_size;
	enum emulate_status status;
	u64 first, second;

	*elements = 1;
	/* CPUs read the second operand first, but for AMD's REPE CMPSB */
	if (ctxt->amd && size == 1 && (ctxt->insn.prefixes & PREFIX_REP))
		status = read_both(ctxt, read_first, &first, read_second, &second);
	else
		status = read_both(ctxt, read_second, &second, read_first, &first);
	if (status != EMULATE_DONE)
		return status;
	alu(INSN_CMP, &ctxt->rflags, &first, second, size);
	advance(ctxt, GPR_RSI, 1);
	advance(ctxt, GPR_RDI, 1);
	return EMULATE_DONE;
}

static enum emulate_status stos_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	enum emulate_status status;

	*elements = 1;
	status = write_number(ctxt, SEG_ES, string_offset(ctxt, GPR_RDI), ctxt->insn.operand_size,
			      ctxt->gpr[GPR_RAX]);
	if (status == EMULATE_DONE)
		advance(ctxt, GPR_RDI, 1);
	return status;
}

static enum emulate_status lods_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	enum emulate_status status;
	u64 value;

	*elements = 1;
	status = read_first(ctxt, &value);
	if (status != EMULATE_DONE)
		return status;
	write_gpr(ctxt, GPR_RAX, ctxt->insn.operand_size, value);
	advance(ctxt, GPR_RSI, 1);
	return EMULATE_DONE;
}

static enum emulate_status scas_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	unsigned int size = ctxt->insn.operand_size;
	u64 first = read_gpr(ctxt, GPR_RAX, size), second;
	enum emulate_status status;

	*elements = 1;
	status = read_second(ctxt, &second);
	if (status != EMULATE_DONE)
		return status;
	alu(INSN_CMP, &ctxt->rflags, &first, second, size);
	advance(ctxt, GPR_RDI, 1);
	return EMULATE_DONE;
}

enum emulate_status run_movs(struct emulate_ctxt *ctxt)
{
	return repeat(ctxt, movs_element);
}

enum emulate_status run_cmps(struct emulate_ctxt *ctxt)
{
	return repeat(ctxt, cmps_element);
}

enum emulate_status run_stos(struct emulate_ctxt *ctxt)
{
	return repeat(ctxt, stos_element);
}

enum emulate_status run_lods(struct emulate_ctxt *ctxt)
{
	return repeat(ctxt, lods_element);
}

enum emulate_status run_scas(struct emulate_ctxt *ctxt)
{
	return repeat(ctxt, scas_element);
}

/* The TSS has a bit for each port; one word of it covers any access. */
static enum emulate_status check_io_map(struct emulate_ctxt *ctxt, u16 port, unsigned int size)
{
	struct emulate_segment tss;
	enum emulate_status status;
	u16 map, bits;

	ctxt->ops->get_segment(ctxt, SEG_TR, &tss);
	if (!(tss.attributes & SEG_P) || (tss.attributes & SEG_TYPE & ~2) != 9 ||
	    tss.limit < TSS_IO_MINIMUM)
		return raise_gp0(ctxt);
	status = read_system(ctxt, tss.base + TSS_IO_BASE, &map, sizeof(map));
	if (status != EMULATE_DONE)
		return status;
	if ((u32)map + port / 8 + 1 > tss.limit)
		return raise_gp0(ctxt);
	status = read_system(ctxt, tss.base + map + port / 8, &bits, sizeof(bits));
	if (status != EMULATE_DONE)
		return status;
	return bits >> (port & 7) & ((1u << size) - 1) ? raise_gp0(ctxt) : EMULATE_DONE;
}

/* SDM volume 1, 19.5: IOPL, then the I/O permission map. */
static enum emulate_status check_io(struct emulate_ctxt *ctxt, u16 port, unsigned int size)
{
	unsigned int iopl = (ctxt->rflags & FLAG_IOPL) >> 12;

	if (ctxt->mode == EMULATE_REAL || (ctxt->mode != EMULATE_VM86 && ctxt->cpl <= iopl))
		return EMULATE_DONE;
	return check_io_map(ctxt, port, size);
}

/* Ports are at most 32 bits wide. */
static unsigned int port_size(const struct emulate_ctxt *ctxt)
{
	return ctxt->insn.operand_size == 8 ? 4 : ctxt->insn.operand_size;
}

/*
 * How many of @elements can go in one piece through ctxt->pio_data: ascending addresses within the
 * page and the segment offset's range, no single-stepping.
 */
static unsigned int batch_size(const struct emulate_ctxt *ctxt, u64 offset, u64 linear,
			       unsigned int elements)
{
	unsigned int size = port_size(ctxt);
	unsigned int room = PAGE_BYTES - (linear & (PAGE_BYTES - 1));

	if (elements == 1 || (ctxt->rflags & (FLAG_DF | FLAG_TF)))
		return 1;
	if (room > ctxt->pio_size)
		room = ctxt->pio_size;
	if (elements > room / size)
		elements = room / size;
	if (elements > 1 && size_mask(ctxt->insn.address_size) - offset < (u64)elements * size)
		return 1;
	return elements ? elements : 1;
}

/* Find the memory side of a batch; *@elements becomes 1 if it must go singly. */
static enum emulate_status linearize_batch(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
					   bool write, unsigned int *elements, u64 *linear)
{
	unsigned int size = port_size(ctxt);
	enum emulate_status status;

	status = linearize(ctxt, seg, offset, size, write, linear);
	if (status != EMULATE_DONE)
		return status;
	*elements = batch_size(ctxt, offset, *linear, *elements);
	if (*elements > 1 &&
	    linearize(ctxt, seg, offset, *elements * size, write, linear) != EMULATE_DONE)
		*elements = 1;
	return EMULATE_DONE;
}

static enum emulate_status ins_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	unsigned int size = port_size(ctxt);
	u16 port = ctxt->gpr[GPR_RDX];
	enum emulate_status status;
	u64 linear;

	status = linearize_batch(ctxt, SEG_ES, string_offset(ctxt, GPR_RDI), true, elements,
				 &linear);
	if (status == EMULATE_DONE && *elements > 1) {
		status = ctxt->ops->probe_write(ctxt, linear, *elements * size,
						EMULATE_ACCESS_BATCH);
		if (status == EMULATE_UNSUPPORTED)
			*elements = 1;
	}
	/* Memory faults come before the port is read: reading it twice could lose data. */
	if (*elements == 1 && (status == EMULATE_DONE || status == EMULATE_UNSUPPORTED))
		status = ctxt->ops->probe_write(ctxt, linear, size, 0);
	if (status == EMULATE_DONE)
		status = ctxt->ops->pio_in(ctxt, port, size, *elements, ctxt->pio_data);
	if (status == EMULATE_DONE)
		status = ctxt->ops->write(ctxt, linear, ctxt->pio_data, *elements * size,
					  *elements > 1 ? EMULATE_ACCESS_BATCH : 0);
	if (status == EMULATE_DONE)
		advance(ctxt, GPR_RDI, *elements);
	return status;
}

static enum emulate_status outs_element(struct emulate_ctxt *ctxt, unsigned int *elements)
{
	unsigned int size = port_size(ctxt);
	u16 port = ctxt->gpr[GPR_RDX];
	enum emulate_status status;
	u64 linear;

	status = linearize_batch(ctxt, ctxt->insn.segment, string_offset(ctxt, GPR_RSI), false,
				 elements, &linear);
	if (status != EMULATE_DONE)
		return status;
	if (*elements > 1) {
		status = ctxt->ops->read(ctxt, linear, ctxt->pio_data, *elements * size,
					 EMULATE_ACCESS_BATCH);
		if (status == EMULATE_UNSUPPORTED)
			*elements = 1;
	}
	if (*elements == 1)
		status = ctxt->ops->read(ctxt, linear, ctxt->pio_data, size, 0);
	if (status == EMULATE_DONE)
		status = ctxt->ops->pio_out(ctxt, port, size, *elements, ctxt->pio_data);
	if (status == EMULATE_DONE)
		advance(ctxt, GPR_RSI, *elements);
	return status;
}

static enum emulate_status run_string_io(struct emulate_ctxt *ctxt,
					 enum emulate_status (*element)(struct emulate_ctxt *,
									unsigned int *))
{
	enum emulate_status status = check_io(ctxt, ctxt->gpr[GPR_RDX], port_size(ctxt));

	if (status != EMULATE_DONE)
		return status;
	ctxt->insn.operand_size = port_size(ctxt);
	return repeat(ctxt, element);
}

enum emulate_status run_ins(struct emulate_ctxt *ctxt)
{
	return run_string_io(ctxt, ins_element);
}

enum emulate_status run_outs(struct emulate_ctxt *ctxt)
{
	return run_string_io(ctxt, outs_element);
}

u16 emulate_port(const struct emulate_ctxt *ctxt)
{
	return ctxt->insn.opcode_entry->flags & I_MASK ? ctxt->insn.imm : ctxt->gpr[GPR_RDX];
}

enum emulate_status run_in(struct emulate_ctxt *ctxt)
{
	unsigned int size = port_size(ctxt);
	u16 port = emulate_port(ctxt);
	enum emulate_status status;
	u32 value = 0;

	status = check_io(ctxt, port, size);
	if (status == EMULATE_DONE)
		status = ctxt->ops->pio_in(ctxt, port, size, 1, &value);
	if (status == EMULATE_DONE)
		write_gpr(ctxt, GPR_RAX, size, value);
	return status;
}

enum emulate_status run_out(struct emulate_ctxt *ctxt)
{
	u32 value = ctxt->gpr[GPR_RAX];
	unsigned int size = port_size(ctxt);
	u16 port = emulate_port(ctxt);
	enum emulate_status status;

	status = check_io(ctxt, port, size);
	return status == EMULATE_DONE ? ctxt->ops->pio_out(ctxt, port, size, 1, &value) : status;
}
