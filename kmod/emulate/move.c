// SPDX-License-Identifier: GPL-2.0-only
/* Data movement, conditions and flag instructions. */
#include "internal.h"

/* Condition @code of Jcc, SETcc, CMOVcc. */
bool condition(u64 rflags, unsigned int code)
{
	bool sign = !(rflags & FLAG_SF) != !(rflags & FLAG_OF);
	bool result;

	switch (code >> 1 & 7) {
	case 0:
		result = rflags & FLAG_OF;
		break;
	case 1:
		result = rflags & FLAG_CF;
		break;
	case 2:
		result = rflags & FLAG_ZF;
		break;
	case 3:
		result = rflags & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		result = rflags & FLAG_SF;
		break;
	case 5:
		result = rflags & FLAG_PF;
		break;
	case 6:
		result = sign;
		break;
	default:
		result = sign || (rflags & FLAG_ZF);
	}
	return result != (code & 1);
}

/* MOV, MOVZX, MOVNTI: the operands' sizes do the rest. */
enum emulate_status run_mov(struct emulate_ctxt *ctxt)
{
	ctxt->dst.value = ctxt->src.value;
	return EMULATE_DONE;
}

enum emulate_status run_movsx(struct emulate_ctxt *ctxt)
{
	ctxt->dst.value = sign_extend(ctxt->src.value, ctxt->src.size);
	return EMULATE_DONE;
}

static u64 swap_bytes(u64 value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

enum emulate_status run_movbe(struct emulate_ctxt *ctxt)
{
	ctxt->dst.value = swap_bytes(ctxt->src.value, ctxt->src.size);
	return EMULATE_DONE;
}

/* With 16 bits the result is undefined: zero on every CPU seen. */
enum emulate_status run_bswap(struct emulate_ctxt *ctxt)
{
	ctxt->dst.value = ctxt->dst.size == 2 ? 0 : swap_bytes(ctxt->dst.value, ctxt->dst.size);
	return EMULATE_DONE;
}

enum emulate_status run_lea(struct emulate_ctxt *ctxt)
{
	ctxt->dst.value = emulate_effective_address(ctxt);
	return EMULATE_DONE;
}

/*
 * The destination, perhaps in memory, is written by the caller: the register follows only when that
 * went well.
 */
enum emulate_status run_xchg(struct emulate_ctxt *ctxt)
{
	u64 value = ctxt->src.value;

	ctxt->src.value = ctxt->dst.value;
	ctxt->dst.value = value;
	return store_operand(ctxt, &ctxt->src);
}

/* The source is read even if the condition is false, and a 32-bit destination zero-extended. */
enum emulate_status run_cmov(struct emulate_ctxt *ctxt)
{
	if (condition(ctxt->rflags, ctxt->insn.opcode))
		ctxt->dst.value = ctxt->src.value;
	return EMULATE_DONE;
}

enum emulate_status run_set(struct emulate_ctxt *ctxt)
{
	ctxt->dst.value = condition(ctxt->rflags, ctxt->insn.opcode);
	return EMULATE_DONE;
}

/* CBW, CWDE, CDQE */
enum emulate_status run_cbw(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;

	write_gpr(ctxt, GPR_RAX, size, sign_extend(ctxt->gpr[GPR_RAX], size / 2));
	return EMULATE_DONE;
}

/* CWD, CDQ, CQO */
enum emulate_status run_cwd(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;

	write_gpr(ctxt, GPR_RDX, size, (s64)sign_extend(ctxt->gpr[GPR_RAX], size) < 0 ? ~0ull : 0);
	return EMULATE_DONE;
}

enum emulate_status run_xlat(struct emulate_ctxt *ctxt)
{
	u64 offset = ctxt->gpr[GPR_RBX] + (ctxt->gpr[GPR_RAX] & 0xff);
	enum emulate_status status;
	u64 value;

	status = read_number(ctxt, ctxt->insn.segment, offset & size_mask(ctxt->insn.address_size),
			     1, &value);
	if (status == EMULATE_DONE)
		write_gpr(ctxt, GPR_RAX, 1, value);
	return status;
}

enum emulate_status run_salc(struct emulate_ctxt *ctxt)
{
	write_gpr(ctxt, GPR_RAX, 1, ctxt->rflags & FLAG_CF ? 0xff : 0);
	return EMULATE_DONE;
}

#define FLAGS_IN_AH (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF)

enum emulate_status run_lahf(struct emulate_ctxt *ctxt)
{
	u64 flags = (ctxt->rflags & FLAGS_IN_AH) | FLAG_FIXED;

	write_gpr(ctxt, GPR_RAX, 2, (ctxt->gpr[GPR_RAX] & 0xff) | flags << 8);
	return EMULATE_DONE;
}

enum emulate_status run_sahf(struct emulate_ctxt *ctxt)
{
	ctxt->rflags = (ctxt->rflags & ~FLAGS_IN_AH) | (ctxt->gpr[GPR_RAX] >> 8 & FLAGS_IN_AH);
	return EMULATE_DONE;
}

enum emulate_status run_flag(struct emulate_ctxt *ctxt)
{
	switch (ctxt->insn.op) {
	case INSN_CLC:
		ctxt->rflags &= ~FLAG_CF;
		break;
	case INSN_STC:
		ctxt->rflags |= FLAG_CF;
		break;
	case INSN_CMC:
		ctxt->rflags ^= FLAG_CF;
		break;
	case INSN_CLD:
		ctxt->rflags &= ~FLAG_DF;
		break;
	default:
		ctxt->rflags |= FLAG_DF;
	}
	return EMULATE_DONE;
}

/* If both are the same register, the sum stays. */
enum emulate_status run_xadd(struct emulate_ctxt *ctxt)
{
	u64 old = ctxt->dst.value;

	alu(INSN_ADD, &ctxt->rflags, &ctxt->dst.value, ctxt->src.value, ctxt->dst.size);
	ctxt->src.value = old;
	return store_operand(ctxt, &ctxt->src);
}

/* Memory is written whether they are equal or not, as on hardware. */
enum emulate_status run_cmpxchg(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->dst.size;
	u64 accumulator = read_gpr(ctxt, GPR_RAX, size), discarded = accumulator;

	alu(INSN_CMP, &ctxt->rflags, &discarded, ctxt->dst.value, size);
	if (ctxt->rflags & FLAG_ZF) {
		ctxt->dst.value = ctxt->src.value;
		return EMULATE_DONE;
	}
	write_gpr(ctxt, GPR_RAX, size, ctxt->dst.value);
	/*
	 * 32 bits: hardware leaves the upper half of a destination register alone if nothing is
	 * stored
	 */
	if (ctxt->dst.type == OPERAND_REG)
		ctxt->dst.type = OPERAND_NONE;
	return EMULATE_DONE;
}

/* CMPXCHG8B and CMPXCHG16B; the latter wants its operand aligned. */
enum emulate_status run_cmpxchg8b(struct emulate_ctxt *ctxt)
{
	unsigned int half = ctxt->insn.rex & REX_W ? 8 : 4;
	u64 old[2] = { 0 }, new[2] = { 0 };
	enum emulate_status status;
	bool equal, swapped = true;
	u8 memory[16], next[16];
	u64 linear;

	status = linearize(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), 2 * half,
			   true, &linear);
	/* on AMD's CPUs alignment comes first */
	if (half == 8 && (linear & 15) && (status == EMULATE_DONE || ctxt->amd))
		return raise_gp0(ctxt);
	if (status != EMULATE_DONE)
		return status;
	status = ctxt->ops->read(ctxt, linear, memory, 2 * half, EMULATE_ACCESS_WRITE);
	if (status != EMULATE_DONE)
		return status;
	memcpy(&old[0], memory, half);
	memcpy(&old[1], memory + half, half);
	equal = old[0] == read_gpr(ctxt, GPR_RAX, half) && old[1] == read_gpr(ctxt, GPR_RDX, half);
	new[0] = equal ? ctxt->gpr[GPR_RBX] : old[0];
	new[1] = equal ? ctxt->gpr[GPR_RCX] : old[1];
	memcpy(next, &new[0], half);
	memcpy(next + half, &new[1], half);
	if (ctxt->insn.prefixes & PREFIX_LOCK)
		status = ctxt->ops->compare_exchange(ctxt, linear, memory, next, 2 * half,
						     EMULATE_ACCESS_LOCKED, &swapped);
	else
		status = ctxt->ops->write(ctxt, linear, next, 2 * half, 0);
	if (status != EMULATE_DONE)
		return status;
	if (!swapped) {
		/* Another CPU was faster; let the guest run the instruction again. */
		run_again(ctxt);
		return EMULATE_DONE;
	}
	if (!equal) {
		write_gpr(ctxt, GPR_RAX, half, old[0]);
		write_gpr(ctxt, GPR_RDX, half, old[1]);
	}
	ctxt->rflags = (ctxt->rflags & ~FLAG_ZF) | (equal ? FLAG_ZF : 0);
	return EMULATE_DONE;
}

/* 64 bytes from memory to memory; the destination's address is in a register. */
enum emulate_status run_movdir64b(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.address_size;
	enum emulate_status status;
	u8 line[64];
	u64 linear;

	status = read_segment(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), line,
			      sizeof(line));
	if (status == EMULATE_DONE)
		status = linearize(ctxt, SEG_ES, read_gpr(ctxt, ctxt->insn.reg, size), sizeof(line),
				   true, &linear);
	if (status != EMULATE_DONE)
		return status;
	if (linear & 63)
		return raise_gp0(ctxt);
	return ctxt->ops->write(ctxt, linear, line, sizeof(line), 0);
}

/* NOP, prefetches, fences: nothing to see. */
enum emulate_status run_nop(struct emulate_ctxt *ctxt)
{
	(void)ctxt;
	return EMULATE_DONE;
}
