// SPDX-License-Identifier: GPL-2.0-only
/* Registers, segments, memory: how an instruction gets at its operands. */
#include "operand.h"

const u64 size_masks[9] = {
	[1] = 0xff,
	[2] = 0xffff,
	[4] = 0xffffffff,
	[8] = 0xffffffffffffffff,
};

u64 read_gpr(const struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size)
{
	return ctxt->gpr[reg] & size_mask(size);
}

/* Write as the CPU does. The old value can be rolled back. */
void write_gpr(struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size, u64 value)
{
	set_gpr(ctxt, reg, size, value);
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
	return effective_address(ctxt);
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
 * @flags: F_READ if its value is wanted, F_WRITE if it will be written
 *
 * Return: EMULATE_DONE, a fault or a callback's status.
 */
enum emulate_status load_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand,
				 unsigned int kind, u32 flags)
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
			return set_memory_operand(ctxt, operand, effective_address(ctxt), flags);
		set_register_operand(ctxt, operand, insn->rm, flags);
		break;
	case O_G:
	case O_GY:
		set_register_operand(ctxt, operand, insn->reg, flags);
		break;
	case O_B:
		set_register_operand(ctxt, operand, insn->vvvv, flags);
		break;
	case O_ACC:
		set_register_operand(ctxt, operand, GPR_RAX, flags);
		break;
	case O_OPREG:
		set_register_operand(ctxt, operand,
				     (insn->opcode & 7) | (insn->rex & REX_B ? 8 : 0), flags);
		break;
	case O_MOFFS:
		return set_memory_operand(ctxt, operand, insn->imm, flags);
	default:
		operand->type = OPERAND_VALUE;
		operand->value = kind == O_ONE ? 1 :
				 kind == O_CL  ? ctxt->gpr[GPR_RCX] & 0xff :
						 insn->imm;
		operand->value &= size_mask(operand->size);
	}
	return EMULATE_DONE;
}

/* The second byte of a register, and memory with a locked access. */
enum emulate_status store_other_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand)
{
	enum emulate_status status;
	bool swapped = true;

	if (operand->type == OPERAND_REG_HIGH)
		write_gpr(ctxt, operand->reg, 2,
			  (ctxt->gpr[operand->reg] & 0xff) | (operand->value & 0xff) << 8);
	if (operand->type != OPERAND_MEM)
		return EMULATE_DONE;
	status = ctxt->ops->compare_exchange(ctxt, operand->linear, &operand->original,
					     &operand->value, operand->size,
					     EMULATE_ACCESS_LOCKED, &swapped);
	ctxt->lost = !swapped;
	return status;
}

/**
 * store_operand() - write an operand back
 * @ctxt: context; @ctxt->lost is set if a locked write found that memory had changed since it was
 * 	read; nothing was written then
 * @operand: what load_operand() found, with the new value
 *
 * Return: EMULATE_DONE, a fault or a callback's status.
 */
enum emulate_status store_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand)
{
	return put_operand(ctxt, operand);
}
