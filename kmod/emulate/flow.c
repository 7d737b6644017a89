// SPDX-License-Identifier: GPL-2.0-only
/* Near control transfers. */
#include "internal.h"

/**
 * branch() - go on elsewhere in the code segment
 * @ctxt: context
 * @target: offset; cut to @size
 * @size: operand size
 *
 * Return: EMULATE_DONE, or EMULATE_FAULT with #GP(0) if the target is outside the segment or not
 * canonical.
 */
enum emulate_status branch(struct emulate_ctxt *ctxt, u64 target, unsigned int size)
{
	struct emulate_segment cs;

	target &= size_mask(size);
	if (in_long64(ctxt)) {
		if (!is_canonical(ctxt, target))
			return raise_gp0(ctxt);
	} else {
		ctxt->ops->get_segment(ctxt, SEG_CS, &cs);
		if (target > cs.limit)
			return raise_gp0(ctxt);
	}
	ctxt->rip = target;
	return EMULATE_DONE;
}

static enum emulate_status branch_relative(struct emulate_ctxt *ctxt)
{
	return branch(ctxt, ctxt->insn.next_rip + ctxt->insn.imm, ctxt->insn.operand_size);
}

enum emulate_status run_jmp(struct emulate_ctxt *ctxt)
{
	return branch_relative(ctxt);
}

enum emulate_status run_jmp_ind(struct emulate_ctxt *ctxt)
{
	return branch(ctxt, ctxt->dst.value, ctxt->insn.operand_size);
}

enum emulate_status run_jcc(struct emulate_ctxt *ctxt)
{
	return condition(ctxt->rflags, ctxt->insn.opcode) ? branch_relative(ctxt) : EMULATE_DONE;
}

/*
 * Intel's CPUs push the return address before they look at the target, and leave it there if that
 * is bad. AMD's make sure that it can be pushed, look, and push.
 */
static enum emulate_status call(struct emulate_ctxt *ctxt, u64 target)
{
	unsigned int size = ctxt->insn.operand_size;
	enum emulate_status status = EMULATE_DONE;

	if (ctxt->amd) {
		status = probe_push(ctxt, size);
		if (status == EMULATE_DONE)
			status = branch(ctxt, target, size);
	}
	if (status == EMULATE_DONE)
		status = push(ctxt, size, ctxt->insn.next_rip);
	return status == EMULATE_DONE ? branch(ctxt, target, size) : status;
}

enum emulate_status run_call(struct emulate_ctxt *ctxt)
{
	return call(ctxt, ctxt->insn.next_rip + ctxt->insn.imm);
}

enum emulate_status run_call_ind(struct emulate_ctxt *ctxt)
{
	return call(ctxt, ctxt->dst.value);
}

enum emulate_status run_ret(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 target;

	status = pop(ctxt, ctxt->insn.operand_size, &target);
	if (status != EMULATE_DONE)
		return status;
	drop_stack(ctxt, ctxt->insn.imm);
	return branch(ctxt, target, ctxt->insn.operand_size);
}

/* On AMD's CPUs F2 and F3 make LOOPNE and LOOPE of either. */
static unsigned int loop_kind(const struct emulate_ctxt *ctxt)
{
	unsigned int op = ctxt->insn.op;

	if (!ctxt->amd || op == INSN_LOOP)
		return op;
	if (ctxt->insn.prefixes & PREFIX_REPNE)
		return INSN_LOOPNE;
	return ctxt->insn.prefixes & PREFIX_REP ? INSN_LOOPE : op;
}

/* LOOP, LOOPE, LOOPNE, JCXZ: the counter is as wide as addresses are. */
enum emulate_status run_loop(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.address_size, op = loop_kind(ctxt);
	u64 count = read_gpr(ctxt, GPR_RCX, size);

	if (ctxt->insn.op == INSN_JCXZ)
		return count ? EMULATE_DONE : branch_relative(ctxt);
	count = (count - 1) & size_mask(size);
	write_gpr(ctxt, GPR_RCX, size, count);
	if (!count || (op == INSN_LOOPE && !(ctxt->rflags & FLAG_ZF)) ||
	    (op == INSN_LOOPNE && (ctxt->rflags & FLAG_ZF)))
		return EMULATE_DONE;
	return branch_relative(ctxt);
}

/* Two signed bounds in memory; Intel's CPUs do not read the second if the first is broken. */
enum emulate_status run_bound(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size, seg = ctxt->insn.segment;
	s64 index = (s64)sign_extend(ctxt->dst.value, size);
	u64 offset = emulate_effective_address(ctxt), bound;
	enum emulate_status status;
	bool below;

	status = read_number(ctxt, seg, offset, size, &bound);
	if (status != EMULATE_DONE)
		return status;
	below = index < (s64)sign_extend(bound, size);
	if (below && !ctxt->amd)
		return emulate_raise(ctxt, VECTOR_BR);
	offset = (offset + size) & size_mask(ctxt->insn.address_size);
	status = read_number(ctxt, seg, offset, size, &bound);
	if (status != EMULATE_DONE)
		return status;
	if (below || index > (s64)sign_extend(bound, size))
		return emulate_raise(ctxt, VECTOR_BR);
	return EMULATE_DONE;
}

enum emulate_status run_ud(struct emulate_ctxt *ctxt)
{
	return emulate_raise(ctxt, VECTOR_UD);
}
