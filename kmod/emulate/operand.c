// SPDX-License-Identifier: GPL-2.0-only
/* Registers, segments, memory: how an instruction gets at its operands. */
#include "internal.h"

u64 read_gpr(const struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size)
{
	return ctxt->gpr[reg] & size_mask(size);
}

/*
 * Write as the CPU does: 4 bytes clear the upper half, 1 and 2 keep the rest. The old value can be
 * rolled back.
 */
void write_gpr(struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size, u64 value)
{
	u64 mask = size_mask(size);

	if (!(ctxt->journal & (1u << reg))) {
		ctxt->journal |= 1u << reg;
		ctxt->saved[reg] = ctxt->gpr[reg];
	}
	if (size == 4)
		ctxt->gpr[reg] = (u32)value;
	else
		ctxt->gpr[reg] = (ctxt->gpr[reg] & ~mask) | (value & mask);
}

/*
 * The registers stay as they are, whatever happens to the rest of the instruction. Not so the
 * flags: a fault half way through a repetition gives those from before it (SDM volume 2, REP), but
 * see repeat().
 */
void commit_iteration(struct emulate_ctxt *ctxt)
{
	ctxt->gpr_dirty |= ctxt->journal;
	ctxt->journal = 0;
}

void roll_back(struct emulate_ctxt *ctxt)
{
	unsigned int reg;

	for (reg = 0; ctxt->journal >> reg; reg++)
		if (ctxt->journal & (1u << reg))
			ctxt->gpr[reg] = ctxt->saved[reg];
	ctxt->journal = 0;
	ctxt->rflags = ctxt->saved_rflags;
}

/* Width of the stack pointer in bytes. */
unsigned int stack_size(struct emulate_ctxt *ctxt)
{
	struct emulate_segment ss;

	if (in_long64(ctxt))
		return 8;
	ctxt->ops->get_segment(ctxt, SEG_SS, &ss);
	return ss.attributes & SEG_DB ? 4 : 2;
}

u64 emulate_effective_address(const struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	u64 address = insn->disp;

	if (insn->base < GPR_COUNT)
		address += ctxt->gpr[insn->base];
	else if (insn->base == INSN_BASE_RIP)
		address += insn->next_rip;
	if (insn->index < GPR_COUNT)
		address += ctxt->gpr[insn->index] << insn->scale;
	return address & size_mask(insn->address_size);
}

u64 emulate_linear_address(struct emulate_ctxt *ctxt)
{
	u64 offset = emulate_effective_address(ctxt);
	struct emulate_segment segment;

	if (in_long64(ctxt)) {
		if (ctxt->insn.segment < SEG_FS)
			return offset;
		ctxt->ops->get_segment(ctxt, ctxt->insn.segment, &segment);
		return segment.base + offset;
	}
	ctxt->ops->get_segment(ctxt, ctxt->insn.segment, &segment);
	return (u32)(segment.base + offset);
}

static enum emulate_status raise_segment(struct emulate_ctxt *ctxt, unsigned int seg)
{
	return emulate_raise_error(ctxt, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
}

/* May the segment be used so? Real and virtual 8086 mode know no types. */
static bool access_allowed(const struct emulate_ctxt *ctxt, const struct emulate_segment *segment,
			   bool write)
{
	if (!in_protected(ctxt))
		return true;
	if (!(segment->attributes & SEG_P))
		return false;
	if (write)
		return (segment->attributes & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) == SEG_TYPE_WRITE;
	return (segment->attributes & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) != SEG_TYPE_CODE;
}

static bool within_limit(const struct emulate_ctxt *ctxt, const struct emulate_segment *segment,
			 u64 offset, unsigned int len)
{
	u64 last = offset + len - 1;

	if (in_protected(ctxt) &&
	    (segment->attributes & (SEG_TYPE_CODE | SEG_TYPE_DOWN)) == SEG_TYPE_DOWN)
		return offset > segment->limit &&
		       last <= (segment->attributes & SEG_DB ? 0xffffffff : 0xffff);
	/* on Intel's CPUs an access may wrap around in a segment that has all 4 GiB */
	return last <= segment->limit || (segment->limit == 0xffffffff && !ctxt->amd);
}

/**
 * linearize() - check an access to a segment and find its linear address
 * @ctxt: context
 * @seg: segment register
 * @offset: effective address, cut to the address size
 * @len: bytes accessed
 * @write: whether it is a write
 * @linear: result
 *
 * SDM volume 1, 3.3.7.1 (canonical addresses); volume 3, 5.3 to 5.5 (limits, types).
 *
 * Return: EMULATE_DONE, or EMULATE_FAULT for #SS(0), #GP(0).
 */
enum emulate_status linearize(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
			      unsigned int len, bool write, u64 *linear)
{
	struct emulate_segment segment;

	if (in_long64(ctxt)) {
		if (seg >= SEG_FS) {
			ctxt->ops->get_segment(ctxt, seg, &segment);
			offset += segment.base;
		}
		*linear = offset;
		if (!is_canonical(ctxt, offset) || !is_canonical(ctxt, offset + len - 1))
			return raise_segment(ctxt, seg);
		return EMULATE_DONE;
	}
	ctxt->ops->get_segment(ctxt, seg, &segment);
	*linear = (u32)(segment.base + offset);
	if (!access_allowed(ctxt, &segment, write) || !within_limit(ctxt, &segment, offset, len))
		return raise_segment(ctxt, seg);
	return EMULATE_DONE;
}

enum emulate_status read_segment(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset, void *buf,
				 unsigned int len)
{
	enum emulate_status status;
	u64 linear;

	status = linearize(ctxt, seg, offset, len, false, &linear);
	return status == EMULATE_DONE ? ctxt->ops->read(ctxt, linear, buf, len, 0) : status;
}

enum emulate_status write_segment(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
				  const void *buf, unsigned int len)
{
	enum emulate_status status;
	u64 linear;

	status = linearize(ctxt, seg, offset, len, true, &linear);
	return status == EMULATE_DONE ? ctxt->ops->write(ctxt, linear, buf, len, 0) : status;
}

/* A little-endian number of 1 to 8 bytes, zero-extended. */
enum emulate_status read_number(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
				unsigned int size, u64 *value)
{
	*value = 0;
	return read_segment(ctxt, seg, offset, value, size);
}

enum emulate_status write_number(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
				 unsigned int size, u64 value)
{
	return write_segment(ctxt, seg, offset, &value, size);
}

/* Descriptor tables and TSS: no segment, and supervisor access whatever the CPL. */
enum emulate_status read_system(struct emulate_ctxt *ctxt, u64 linear, void *buf, unsigned int len)
{
	return ctxt->ops->read(ctxt, linear, buf, len, EMULATE_ACCESS_SYSTEM);
}

enum emulate_status write_system(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				 unsigned int len)
{
	return ctxt->ops->write(ctxt, linear, buf, len, EMULATE_ACCESS_SYSTEM);
}

static void set_register_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand,
				 unsigned int reg)
{
	operand->type = OPERAND_REG;
	operand->reg = reg;
	if (operand->size == 1 && reg >= 4 && reg < 8 && !(ctxt->insn.prefixes & PREFIX_REX)) {
		operand->type = OPERAND_REG_HIGH;
		operand->reg = reg - 4;
		operand->value = ctxt->gpr[reg - 4] >> 8 & 0xff;
		return;
	}
	operand->value = read_gpr(ctxt, reg, operand->size);
}

static enum emulate_status set_memory_operand(struct emulate_ctxt *ctxt,
					      struct emulate_operand *operand, u64 offset,
					      bool read, bool write)
{
	enum emulate_status status;

	operand->type = OPERAND_MEM;
	operand->value = 0;
	status =
		linearize(ctxt, ctxt->insn.segment, offset, operand->size, write, &operand->linear);
	if (status != EMULATE_DONE || !read)
		return status;
	status = ctxt->ops->read(ctxt, operand->linear, &operand->value, operand->size,
				 write ? EMULATE_ACCESS_WRITE : 0);
	operand->original = operand->value;
	return status;
}

static unsigned int operand_size(const struct emulate_ctxt *ctxt, unsigned int kind)
{
	const struct emulate_insn *insn = &ctxt->insn;

	switch (kind) {
	case O_E8:
		return 1;
	case O_E16:
		return 2;
	case O_EY:
	case O_GY:
	case O_B:
		return insn->rex & REX_W ? 8 : 4;
	case O_EZ:
		return insn->operand_size == 2 && !ctxt->amd ? 2 : 4;
	default:
		return insn->operand_size;
	}
}

/**
 * load_operand() - find an operand of the decoded instruction and read it
 * @ctxt: context
 * @operand: result
 * @kind: enum operand_kind
 * @read: whether memory is to be read
 * @write: whether memory will be written
 *
 * Return: EMULATE_DONE, a fault or a callback's status.
 */
enum emulate_status load_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand,
				 unsigned int kind, bool read, bool write)
{
	const struct emulate_insn *insn = &ctxt->insn;

	operand->type = OPERAND_NONE;
	operand->size = operand_size(ctxt, kind);
	switch (kind) {
	case O_NONE:
		break;
	case O_E:
	case O_E8:
	case O_E16:
	case O_EY:
	case O_EZ:
		if (insn->memory)
			return set_memory_operand(ctxt, operand, emulate_effective_address(ctxt),
						  read, write);
		set_register_operand(ctxt, operand, insn->rm);
		break;
	case O_G:
	case O_GY:
		set_register_operand(ctxt, operand, insn->reg);
		break;
	case O_B:
		set_register_operand(ctxt, operand, insn->vvvv);
		break;
	case O_ACC:
		set_register_operand(ctxt, operand, GPR_RAX);
		break;
	case O_OPREG:
		set_register_operand(ctxt, operand,
				     (insn->opcode & 7) | (insn->rex & REX_B ? 8 : 0));
		break;
	case O_MOFFS:
		return set_memory_operand(ctxt, operand, insn->imm, read, write);
	default:
		operand->type = OPERAND_VALUE;
		operand->value = kind == O_ONE ? 1 :
				 kind == O_CL  ? ctxt->gpr[GPR_RCX] & 0xff :
						 insn->imm;
		operand->value &= size_mask(operand->size);
	}
	return EMULATE_DONE;
}

/**
 * store_operand() - write an operand back
 * @ctxt: context
 * @operand: what load_operand() found, with the new value
 * @lost: set if a locked write found that memory had changed since it was read; nothing was written
 * 	then
 *
 * Return: EMULATE_DONE, a fault or a callback's status.
 */
enum emulate_status store_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand,
				  bool *lost)
{
	enum emulate_status status;
	bool swapped = true;

	switch (operand->type) {
	case OPERAND_REG:
		write_gpr(ctxt, operand->reg, operand->size, operand->value);
		return EMULATE_DONE;
	case OPERAND_REG_HIGH:
		write_gpr(ctxt, operand->reg, 2,
			  (ctxt->gpr[operand->reg] & 0xff) | (operand->value & 0xff) << 8);
		return EMULATE_DONE;
	case OPERAND_MEM:
		break;
	default:
		return EMULATE_DONE;
	}
	if (!(ctxt->insn.prefixes & PREFIX_LOCK) && ctxt->insn.op != INSN_XCHG)
		return ctxt->ops->write(ctxt, operand->linear, &operand->value, operand->size, 0);
	status = ctxt->ops->cmpxchg(ctxt, operand->linear, &operand->original, &operand->value,
				    operand->size, EMULATE_ACCESS_LOCKED, &swapped);
	*lost = !swapped;
	return status;
}
