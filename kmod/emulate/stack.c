// SPDX-License-Identifier: GPL-2.0-only
/* Stack instructions. */
#include "internal.h"

/* Read and write the stack pointer at the stack's width. */
static u64 stack_pointer(struct emulate_ctxt *ctxt)
{
	return read_gpr(ctxt, GPR_RSP, stack_size(ctxt));
}

static void move_stack(struct emulate_ctxt *ctxt, s64 bytes)
{
	unsigned int size = stack_size(ctxt);

	write_gpr(ctxt, GPR_RSP, size, ctxt->gpr[GPR_RSP] + bytes);
}

enum emulate_status push(struct emulate_ctxt *ctxt, unsigned int size, u64 value)
{
	u64 offset = (ctxt->gpr[GPR_RSP] - size) & size_mask(stack_size(ctxt));
	enum emulate_status status;

	status = write_number(ctxt, SEG_SS, offset, size, value);
	if (status == EMULATE_DONE)
		move_stack(ctxt, -(s64)size);
	return status;
}

/* Would a write to the stack fault? */
static enum emulate_status probe_stack(struct emulate_ctxt *ctxt, u64 offset, unsigned int size)
{
	enum emulate_status status;
	u64 linear;

	status = linearize(ctxt, SEG_SS, offset, size, true, &linear);
	return status == EMULATE_DONE ? ctxt->ops->probe_write(ctxt, linear, size, 0) : status;
}

/* What push() would answer, without doing it. */
enum emulate_status probe_push(struct emulate_ctxt *ctxt, unsigned int size)
{
	return probe_stack(ctxt, (ctxt->gpr[GPR_RSP] - size) & size_mask(stack_size(ctxt)), size);
}

enum emulate_status pop(struct emulate_ctxt *ctxt, unsigned int size, u64 *value)
{
	enum emulate_status status;

	status = read_number(ctxt, SEG_SS, stack_pointer(ctxt), size, value);
	if (status == EMULATE_DONE)
		move_stack(ctxt, size);
	return status;
}

/* Take @bytes more off the stack, as RET n does. */
void drop_stack(struct emulate_ctxt *ctxt, unsigned int bytes)
{
	move_stack(ctxt, bytes);
}

enum emulate_status run_push(struct emulate_ctxt *ctxt)
{
	return push(ctxt, ctxt->insn.operand_size, ctxt->dst.value);
}

/* A destination addressed by RSP uses its new value, and POP RSP loads what was popped. */
enum emulate_status run_pop(struct emulate_ctxt *ctxt)
{
	struct emulate_operand *dst = &ctxt->dst;
	enum emulate_status status;
	u64 value;

	status = pop(ctxt, ctxt->insn.operand_size, &value);
	if (status == EMULATE_DONE)
		status = load_operand(ctxt, dst, ctxt->insn.opcode_entry->dst, F_WRITE);
	if (status != EMULATE_DONE)
		return status;
	dst->value = value;
	return store_operand(ctxt, dst);
}

enum emulate_status run_pusha(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = EMULATE_DONE;
	u64 old_sp = ctxt->gpr[GPR_RSP];
	unsigned int reg;

	for (reg = GPR_RAX; reg <= GPR_RDI && status == EMULATE_DONE; reg++)
		status = push(ctxt, ctxt->insn.operand_size,
			      reg == GPR_RSP ? old_sp : ctxt->gpr[reg]);
	return status;
}

enum emulate_status run_popa(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size, i;
	enum emulate_status status = EMULATE_DONE;
	u64 value;

	for (i = 0; i < 8 && status == EMULATE_DONE; i++) {
		status = pop(ctxt, size, &value);
		if (status == EMULATE_DONE && GPR_RDI - i != GPR_RSP)
			write_gpr(ctxt, GPR_RDI - i, size, value);
	}
	return status;
}

/*
 * Virtual 8086 mode without IOPL 3 traps; with CR4.VME 16-bit forms use VIF instead, which is not
 * done here.
 */
static enum emulate_status check_vm86_flags(struct emulate_ctxt *ctxt)
{
	if (ctxt->mode != EMULATE_VM86 || (ctxt->rflags & FLAG_IOPL) == FLAG_IOPL)
		return EMULATE_DONE;
	if (ctxt->insn.operand_size == 2 && (ctxt->ops->get_cr(ctxt, 4) & CR4_VME_BIT))
		return EMULATE_UNSUPPORTED;
	return raise_gp0(ctxt);
}

enum emulate_status run_pushf(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_vm86_flags(ctxt);

	if (status != EMULATE_DONE)
		return status;
	return push(ctxt, ctxt->insn.operand_size,
		    (ctxt->rflags & ~(FLAG_RF | FLAG_VM)) | FLAG_FIXED);
}

/**
 * load_flags() - change RFLAGS as POPF does
 * @ctxt: context
 * @value: what was popped
 * @size: operand size
 */
void load_flags(struct emulate_ctxt *ctxt, u64 value, unsigned int size)
{
	u64 mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;

	if (ctxt->mode == EMULATE_REAL || ctxt->cpl == 0)
		mask |= FLAG_IOPL | FLAG_IF;
	else if (ctxt->cpl <= (ctxt->rflags & FLAG_IOPL) >> 12)
		mask |= FLAG_IF;
	if (size > 2)
		mask |= FLAG_AC | FLAG_ID | FLAG_RF;
	if (size > 2 && ctxt->mode != EMULATE_VM86)
		mask |= FLAG_VIP | FLAG_VIF;
	value &= ~(FLAG_RF | FLAG_VIP | FLAG_VIF);
	ctxt->rflags = (ctxt->rflags & ~mask) | (value & mask) | FLAG_FIXED;
}

enum emulate_status run_popf(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_vm86_flags(ctxt);
	u64 value;

	if (status == EMULATE_DONE)
		status = pop(ctxt, ctxt->insn.operand_size, &value);
	if (status == EMULATE_DONE)
		load_flags(ctxt, value, ctxt->insn.operand_size);
	return status;
}

/* ES, CS, SS, DS have 06, 0E, 16, 1E; FS and GS A0 and A8. */
static unsigned int segment_of_opcode(const struct emulate_insn *insn)
{
	return insn->opcode >> 3 & 7;
}

enum emulate_status run_push_seg(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;
	struct emulate_segment segment;
	enum emulate_status status;
	u64 offset;

	ctxt->ops->get_segment(ctxt, segment_of_opcode(&ctxt->insn), &segment);
	if (ctxt->amd || size == 8)
		return push(ctxt, size, segment.selector);
	/* Intel's CPUs write two bytes even with a 32-bit operand. */
	offset = (ctxt->gpr[GPR_RSP] - size) & size_mask(stack_size(ctxt));
	status = write_number(ctxt, SEG_SS, offset, 2, segment.selector);
	if (status == EMULATE_DONE)
		move_stack(ctxt, -(s64)size);
	return status;
}

enum emulate_status run_pop_seg(struct emulate_ctxt *ctxt)
{
	unsigned int reg = segment_of_opcode(&ctxt->insn);
	enum emulate_status status;
	u64 selector;

	status = pop(ctxt, ctxt->insn.operand_size, &selector);
	if (status == EMULATE_DONE)
		status = load_segment(ctxt, reg, selector);
	if (status == EMULATE_DONE && reg == SEG_SS)
		cast_shadow(ctxt, EMULATE_SHADOW_MOV_SS);
	return status;
}

/*
 * The outer levels' frame pointers are copied one by one, each read and pushed, as hardware does.
 */
enum emulate_status run_enter(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size, level = ctxt->insn.imm2 & 31, i;
	u64 mask = size_mask(stack_size(ctxt)), frame, outer;
	enum emulate_status status;

	status = push(ctxt, size, ctxt->gpr[GPR_RBP]);
	frame = ctxt->gpr[GPR_RSP];
	for (i = 1; status == EMULATE_DONE && i < level; i++) {
		status = read_number(ctxt, SEG_SS, (ctxt->gpr[GPR_RBP] - i * size) & mask, size,
				     &outer);
		if (status == EMULATE_DONE)
			status = push(ctxt, size, outer);
	}
	if (status == EMULATE_DONE && level)
		status = push(ctxt, size, frame);
	if (status != EMULATE_DONE)
		return status;
	move_stack(ctxt, -(s64)ctxt->insn.imm);
	write_gpr(ctxt, GPR_RBP, size, frame);
	/* a write at the final stack pointer must be possible, though none is made */
	return probe_stack(ctxt, stack_pointer(ctxt), size);
}

enum emulate_status run_leave(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;
	enum emulate_status status;
	u64 value;

	write_gpr(ctxt, GPR_RSP, stack_size(ctxt), ctxt->gpr[GPR_RBP]);
	status = pop(ctxt, size, &value);
	if (status == EMULATE_DONE)
		write_gpr(ctxt, GPR_RBP, size, value);
	return status;
}
