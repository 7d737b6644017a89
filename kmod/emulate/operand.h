/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How an instruction gets at its operands: inline, because emulate_execute() goes through here for
 * every instruction. Everybody else calls load_operand() and store_operand().
 */
#ifndef EMULATE_OPERAND_H
#define EMULATE_OPERAND_H

#include "internal.h"

static __always_inline void set_gpr(struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size,
				    u64 value)
{
	u64 old = ctxt->gpr[reg];

	if (likely(!(ctxt->journal & (1u << reg)))) {
		ctxt->journal |= 1u << reg;
		ctxt->saved[reg] = old;
	}
	value &= size_mask(size);
	/* 4 bytes clear the upper half, 1 and 2 keep the rest */
	if (unlikely(size < 4))
		value |= old & ~size_mask(size);
	ctxt->gpr[reg] = value;
}

static __always_inline u64 effective_address(const struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	u64 address = insn->disp;

	if (likely(insn->base < GPR_COUNT))
		address += ctxt->gpr[insn->base];
	else if (insn->base == INSN_BASE_RIP)
		address += insn->next_rip;
	if (insn->index < GPR_COUNT)
		address += ctxt->gpr[insn->index] << insn->scale;
	return address & size_mask(insn->address_size);
}

/*
 * linearize(), but in line where 64-bit code makes it easy: no base, and an address that is
 * canonical with 48 bits and far from the edge.
 */
static __always_inline enum emulate_status linearize_flat(struct emulate_ctxt *ctxt,
							  unsigned int seg, u64 offset,
							  unsigned int len, bool write, u64 *linear)
{
	*linear = offset;
	if (likely(in_long64(ctxt) && seg < SEG_FS &&
		   offset + (1ull << 47) < (1ull << 48) - 64))
		return EMULATE_DONE;
	return linearize(ctxt, seg, offset, len, write, linear);
}

static __always_inline enum emulate_status
set_memory_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand, u64 offset,
		   u32 flags)
{
	bool write = flags & F_WRITE;
	enum emulate_status status;

	operand->type = OPERAND_MEM;
	operand->value = 0;
	status = linearize_flat(ctxt, ctxt->insn.segment, offset, operand->size, write,
				&operand->linear);
	if (!(flags & F_READ) || unlikely(status != EMULATE_DONE))
		return status;
	status = ctxt->ops->read(ctxt, operand->linear, &operand->value, operand->size,
				 write ? EMULATE_ACCESS_WRITE : 0);
	if (write)
		operand->original = operand->value;
	return status;
}

/* AH to BH have the numbers of SPL to DIL, which need a REX prefix. */
static __always_inline void set_register_operand(struct emulate_ctxt *ctxt,
						 struct emulate_operand *operand,
						 unsigned int reg, u32 flags)
{
	operand->type = OPERAND_REG;
	operand->reg = reg;
	if (operand->size == 1 && reg >= 4 && reg < 8 && !(ctxt->insn.prefixes & PREFIX_REX)) {
		operand->type = OPERAND_REG_HIGH;
		operand->reg = reg - 4;
		operand->value = ctxt->gpr[reg - 4] >> 8 & 0xff;
		return;
	}
	if (flags & F_READ)
		operand->value = ctxt->gpr[reg] & size_mask(operand->size);
}

/* load_operand(), with what ModRM names in line. */
static __always_inline enum emulate_status
find_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand, unsigned int kind,
	     u32 flags)
{
	const struct emulate_insn *insn = &ctxt->insn;

	operand->size = insn->operand_size;
	if (kind == O_E && insn->memory)
		return set_memory_operand(ctxt, operand, effective_address(ctxt), flags);
	if (kind == O_G) {
		set_register_operand(ctxt, operand, insn->reg, flags);
		return EMULATE_DONE;
	}
	if (kind != O_IMM)
		return load_operand(ctxt, operand, kind, flags);
	operand->type = OPERAND_VALUE;
	operand->value = insn->imm & size_mask(operand->size);
	return EMULATE_DONE;
}

enum emulate_status store_other_operand(struct emulate_ctxt *ctxt,
					struct emulate_operand *operand);

/* store_operand(), with registers and plain memory in line. */
static __always_inline enum emulate_status put_operand(struct emulate_ctxt *ctxt,
						       struct emulate_operand *operand)
{
	if (operand->type == OPERAND_REG) {
		set_gpr(ctxt, operand->reg, operand->size, operand->value);
		return EMULATE_DONE;
	}
	if (operand->type == OPERAND_MEM && !(ctxt->insn.prefixes & PREFIX_LOCK) &&
	    ctxt->insn.op != INSN_XCHG)
		return ctxt->ops->write(ctxt, operand->linear, &operand->value, operand->size, 0);
	return store_other_operand(ctxt, operand);
}

#endif
