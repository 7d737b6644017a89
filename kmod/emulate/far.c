// SPDX-License-Identifier: GPL-2.0-only
/* Far jumps, calls and returns, IRET, and the fast system calls. */
#include "segment.h"

#define GATE_PARAMETERS 31

void set_cpl(struct emulate_ctxt *ctxt, unsigned int cpl)
{
	ctxt->cpl = cpl;
	ctxt->mode_changed = true;
}

/* Load CS, which sets the privilege level's RPL and perhaps the mode, and go on at @rip. */
enum emulate_status enter_code(struct emulate_ctxt *ctxt, struct emulate_segment *cs,
			       unsigned int cpl, u64 rip)
{
	cs->selector = (cs->selector & ~3u) | cpl;
	ctxt->rip = rip;
	ctxt->mode_changed = true;
	return ctxt->ops->set_segment(ctxt, SEG_CS, cs);
}

/* Within the segment; canonical in 64-bit code. */
enum emulate_status check_entry(struct emulate_ctxt *ctxt, const struct emulate_segment *cs,
				u64 rip)
{
	if ((cs->attributes & SEG_L) && in_long_mode(ctxt))
		return is_canonical(ctxt, rip) ? EMULATE_DONE : raise_gp0(ctxt);
	return rip <= cs->limit ? EMULATE_DONE : raise_gp0(ctxt);
}

/* Present, and not both 64-bit and 32-bit; the offset within it. */
static enum emulate_status check_target(struct emulate_ctxt *ctxt, const struct emulate_segment *cs,
					u64 rip)
{
	if ((cs->attributes & SEG_L) && (cs->attributes & SEG_DB) && in_long_mode(ctxt))
		return raise_selector(ctxt, VECTOR_GP, cs->selector);
	if (!(cs->attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, cs->selector);
	return check_entry(ctxt, cs, rip);
}

/* Real and virtual 8086 mode. */
static enum emulate_status enter_real(struct emulate_ctxt *ctxt, u16 selector, u64 rip)
{
	struct emulate_segment cs;

	ctxt->ops->get_segment(ctxt, SEG_CS, &cs);
	if (rip > cs.limit)
		return raise_gp0(ctxt);
	ctxt->rip = rip;
	return load_real_segment(ctxt, SEG_CS, selector);
}

static enum emulate_status push_return(struct emulate_ctxt *ctxt, unsigned int size)
{
	struct emulate_segment cs;
	enum emulate_status status;

	ctxt->ops->get_segment(ctxt, SEG_CS, &cs);
	status = push(ctxt, size, cs.selector);
	return status == EMULATE_DONE ? push(ctxt, size, ctxt->insn.next_rip) : status;
}

/* Push on a stack that SS:RSP may not name yet, checked against its own limit. */
enum emulate_status push_to(struct emulate_ctxt *ctxt, struct stack *stack, unsigned int size,
			    u64 value)
{
	bool long_mode = in_long_mode(ctxt);
	u64 mask = long_mode ? ~0ull : stack->ss.attributes & SEG_DB ? 0xffffffff : 0xffff, offset;
	bool down = stack->ss.attributes & SEG_TYPE_DOWN;

	offset = (stack->sp - size) & mask;
	if (long_mode) {
		if (!is_canonical(ctxt, offset) || !is_canonical(ctxt, offset + size - 1))
			return emulate_raise_error(ctxt, VECTOR_SS, 0);
	} else if (down ? offset <= stack->ss.limit : offset + size - 1 > stack->ss.limit) {
		return raise_selector(ctxt, VECTOR_SS, stack->switched ? stack->ss.selector : 0);
	}
	stack->sp = (stack->sp & ~mask) | offset;
	offset = long_mode ? offset : (u32)(offset + stack->ss.base);
	return ctxt->ops->write(ctxt, offset, &value, size,
				stack->switched ? EMULATE_ACCESS_SYSTEM : 0);
}

/* A stack from the TSS; #TS if the TSS is too small for it. */
enum emulate_status read_tss_stack(struct emulate_ctxt *ctxt, unsigned int offset, void *image,
				   unsigned int size)
{
	struct emulate_segment tss;

	ctxt->ops->get_segment(ctxt, SEG_TR, &tss);
	if (offset + size - 1 > tss.limit)
		return raise_selector(ctxt, VECTOR_TS, tss.selector);
	return read_system(ctxt, tss.base + offset, image, size);
}

/* Where the TSS says that the stack of privilege level @cpl is. SDM volume 3, 5.8.5. */
enum emulate_status find_inner_stack(struct emulate_ctxt *ctxt, unsigned int cpl,
				     struct stack *stack)
{
	struct emulate_segment tss;
	bool long_mode = in_long_mode(ctxt), wide;
	unsigned int offset, size;
	enum emulate_status status;
	u8 image[8] = { 0 };
	u16 selector;

	ctxt->ops->get_segment(ctxt, SEG_TR, &tss);
	wide = (tss.attributes & SEG_TYPE & ~SYSTEM_BUSY) == SYSTEM_TSS;
	size = wide ? 8 : 4;
	offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
	status = read_tss_stack(ctxt, offset, image, size);
	if (status != EMULATE_DONE)
		return status;
	stack->sp = 0;
	stack->switched = true;
	if (long_mode) {
		memcpy(&stack->sp, image, 8);
		stack->ss = (struct emulate_segment){ .selector = cpl,
						      .attributes = cpl << SEG_DPL_SHIFT };
		return EMULATE_DONE;
	}
	memcpy(&stack->sp, image, size / 2);
	memcpy(&selector, image + size / 2, 2);
	if (!(selector & ~3))
		return raise_selector(ctxt, VECTOR_TS, selector);
	return find_stack_segment(ctxt, selector, cpl, VECTOR_TS, &stack->ss);
}

/*
 * Push the old stack pointer, parameters and return address on the new stack of an inner privilege
 * level.
 */
static enum emulate_status push_frame(struct emulate_ctxt *ctxt, struct stack *stack,
				      unsigned int size, unsigned int parameters)
{
	u64 mask = size_mask(stack_size(ctxt)), value;
	struct emulate_segment ss, cs;
	enum emulate_status status;

	ctxt->ops->get_segment(ctxt, SEG_SS, &ss);
	ctxt->ops->get_segment(ctxt, SEG_CS, &cs);
	status = push_to(ctxt, stack, size, ss.selector);
	if (status == EMULATE_DONE)
		status = push_to(ctxt, stack, size, ctxt->gpr[GPR_RSP]);
	while (status == EMULATE_DONE && parameters--) {
		status = read_number(ctxt, SEG_SS, (ctxt->gpr[GPR_RSP] + parameters * size) & mask,
				     size, &value);
		if (status == EMULATE_DONE)
			status = push_to(ctxt, stack, size, value);
	}
	if (status == EMULATE_DONE)
		status = push_to(ctxt, stack, size, cs.selector);
	return status == EMULATE_DONE ? push_to(ctxt, stack, size, ctxt->insn.next_rip) : status;
}

struct gate {
	u64 offset;
	u16 selector;
	u8 size; /* bytes of each value pushed */
	u8 parameters;
};

/* The stack becomes the one in SS:RSP. */
enum emulate_status enter_stack(struct emulate_ctxt *ctxt, const struct stack *stack)
{
	enum emulate_status status = EMULATE_DONE;

	if (stack->switched)
		status = ctxt->ops->set_segment(ctxt, SEG_SS, &stack->ss);
	write_gpr(ctxt, GPR_RSP,
		  in_long_mode(ctxt)		? 8 :
		  stack->ss.attributes & SEG_DB ? 4 :
						  2,
		  stack->sp);
	return status;
}

/* A call through a gate to a more privileged segment. */
static enum emulate_status call_inner(struct emulate_ctxt *ctxt, const struct gate *gate,
				      struct emulate_segment *cs)
{
	unsigned int cpl = segment_dpl(cs);
	enum emulate_status status;
	struct stack stack;

	status = find_inner_stack(ctxt, cpl, &stack);
	if (status == EMULATE_DONE)
		status = push_frame(ctxt, &stack, gate->size, gate->parameters);
	if (status == EMULATE_DONE)
		status = enter_stack(ctxt, &stack);
	if (status != EMULATE_DONE)
		return status;
	set_cpl(ctxt, cpl);
	return enter_code(ctxt, cs, cpl, gate->offset);
}

static enum emulate_status read_gate(struct emulate_ctxt *ctxt, struct descriptor *descriptor,
				     struct gate *gate)
{
	bool long_mode = in_long_mode(ctxt),
	     wide = (descriptor->low >> 40 & SEG_TYPE) == SYSTEM_CALL_GATE;
	enum emulate_status status;

	if (long_mode) {
		status = need_descriptor(ctxt, descriptor->selector, true, VECTOR_GP, descriptor);
		if (status != EMULATE_DONE)
			return status;
		/* the upper half's type field must be zero */
		if (descriptor->high >> 40 & 0x1f)
			return raise_selector(ctxt, VECTOR_GP, descriptor->selector);
	}
	gate->selector = descriptor->low >> 16;
	gate->offset = (descriptor->low & 0xffff) | (wide ? descriptor->low >> 32 & 0xffff0000 : 0);
	gate->offset |= descriptor->high << 32;
	gate->size = long_mode ? 8 : wide ? 4 : 2;
	gate->parameters = long_mode ? 0 : descriptor->low >> 32 & GATE_PARAMETERS;
	return EMULATE_DONE;
}

static enum emulate_status through_call_gate(struct emulate_ctxt *ctxt,
					     struct descriptor *descriptor, bool call)
{
	bool long_mode = in_long_mode(ctxt), bad;
	struct descriptor target;
	struct emulate_segment cs;
	enum emulate_status status;
	struct gate gate = { 0 };

	status = read_gate(ctxt, descriptor, &gate);
	if (status != EMULATE_DONE)
		return status;
	if (!(gate.selector & ~3))
		return raise_gp0(ctxt);
	status = need_descriptor(ctxt, gate.selector, false, VECTOR_GP, &target);
	if (status != EMULATE_DONE)
		return status;
	cs = unpack_descriptor(&target);
	bad = !is_code(&cs) || segment_dpl(&cs) > ctxt->cpl ||
	      (!call && !is_conforming(&cs) && segment_dpl(&cs) != ctxt->cpl) ||
	      (long_mode && (cs.attributes & (SEG_L | SEG_DB)) != SEG_L);
	if (bad)
		return raise_selector(ctxt, VECTOR_GP, gate.selector);
	status = check_target(ctxt, &cs, gate.offset);
	if (status == EMULATE_DONE)
		status = mark_descriptor(ctxt, &target, &cs, SEG_TYPE_ACCESSED);
	if (status != EMULATE_DONE)
		return status;
	if (call && !is_conforming(&cs) && segment_dpl(&cs) < ctxt->cpl)
		return call_inner(ctxt, &gate, &cs);
	if (call)
		status = push_return(ctxt, gate.size);
	return status == EMULATE_DONE ? enter_code(ctxt, &cs, ctxt->cpl, gate.offset) : status;
}

/* The selector names a system descriptor: a gate or a TSS. */
static enum emulate_status through_system(struct emulate_ctxt *ctxt, struct descriptor *descriptor,
					  bool call)
{
	struct emulate_segment system = unpack_descriptor(descriptor);
	enum emulate_task_reason reason = call ? TASK_CALL : TASK_JMP;
	u16 type = system.attributes & SEG_TYPE, selector = descriptor->selector;
	unsigned int dpl = segment_dpl(&system);
	bool gate = type == SYSTEM_CALL_GATE || type == SYSTEM_CALL_GATE16, tss, known;

	tss = (type & ~SYSTEM_BUSY) == SYSTEM_TSS || (type & ~SYSTEM_BUSY) == SYSTEM_TSS16;
	known = in_long_mode(ctxt) ? type == SYSTEM_CALL_GATE :
				     gate || tss || type == SYSTEM_TASK_GATE;
	if (!known || dpl < ctxt->cpl || dpl < (selector & 3u))
		return raise_selector(ctxt, VECTOR_GP, selector);
	/* Whether it is busy comes before whether it is present. */
	if (tss)
		return task_switch(ctxt, selector, reason, false, 0);
	if (!(system.attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, selector);
	if (gate)
		return through_call_gate(ctxt, descriptor, call);
	return task_switch(ctxt, descriptor->low >> 16, reason, false, 0);
}

static enum emulate_status far_protected(struct emulate_ctxt *ctxt, u16 selector, u64 offset,
					 bool call)
{
	struct descriptor descriptor;
	struct emulate_segment cs;
	enum emulate_status status;
	bool allowed;

	if (!(selector & ~3))
		return raise_gp0(ctxt);
	status = need_descriptor(ctxt, selector, false, VECTOR_GP, &descriptor);
	if (status != EMULATE_DONE)
		return status;
	cs = unpack_descriptor(&descriptor);
	if (!(cs.attributes & SEG_S))
		return through_system(ctxt, &descriptor, call);
	if (is_conforming(&cs))
		allowed = segment_dpl(&cs) <= ctxt->cpl;
	else
		allowed = segment_dpl(&cs) == ctxt->cpl && (selector & 3) <= ctxt->cpl;
	if (!is_code(&cs) || !allowed)
		return raise_selector(ctxt, VECTOR_GP, selector);
	status = check_target(ctxt, &cs, offset);
	if (status == EMULATE_DONE && call)
		status = push_return(ctxt, ctxt->insn.operand_size);
	if (status == EMULATE_DONE)
		status = mark_descriptor(ctxt, &descriptor, &cs, SEG_TYPE_ACCESSED);
	return status == EMULATE_DONE ? enter_code(ctxt, &cs, ctxt->cpl, offset) : status;
}

/* JMP and CALL with a far pointer in the instruction or in memory. */
enum emulate_status run_far(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;
	bool call = ctxt->insn.op == INSN_CALL_FAR;
	u16 selector = ctxt->insn.imm2;
	u64 offset = ctxt->insn.imm;
	enum emulate_status status = EMULATE_DONE;
	u8 pointer[10];

	if (ctxt->insn.memory) {
		/* AMD's CPUs know no 64-bit offset here */
		if (ctxt->amd && size == 8)
			size = 4;
		status = read_segment(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt),
				      pointer, size + 2);
		if (status != EMULATE_DONE)
			return status;
		offset = 0;
		memcpy(&offset, pointer, size);
		memcpy(&selector, pointer + size, 2);
	}
	if (in_protected(ctxt))
		return far_protected(ctxt, selector, offset, call);
	if (call)
		status = push_return(ctxt, size);
	return status == EMULATE_DONE ? enter_real(ctxt, selector, offset) : status;
}

/* A segment register that the new, lower privilege may not have becomes null. */
static enum emulate_status drop_inner_segments(struct emulate_ctxt *ctxt)
{
	static const u8 data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	enum emulate_status status = EMULATE_DONE;
	struct emulate_segment segment;
	unsigned int i;

	for (i = 0; i < sizeof(data) && status == EMULATE_DONE; i++) {
		ctxt->ops->get_segment(ctxt, data[i], &segment);
		if (!(segment.attributes & SEG_P) ||
		    (is_code(&segment) && is_conforming(&segment)) ||
		    segment_dpl(&segment) >= ctxt->cpl)
			continue;
		segment = (struct emulate_segment){ 0 };
		status = ctxt->ops->set_segment(ctxt, data[i], &segment);
	}
	return status;
}

/* SS of a return to an outer level; null is possible only in 64-bit mode below level 3. */
static enum emulate_status find_outer_stack(struct emulate_ctxt *ctxt, u16 selector,
					    unsigned int cpl, bool code64,
					    struct emulate_segment *ss)
{
	if (selector & ~3)
		return find_stack_segment(ctxt, selector, cpl, VECTOR_GP, ss);
	if (!code64 || cpl == 3)
		return raise_gp0(ctxt);
	*ss = (struct emulate_segment){ .selector = selector, .attributes = cpl << SEG_DPL_SHIFT };
	return EMULATE_DONE;
}

/* Where a far return or IRET goes. */
struct target {
	struct descriptor descriptor;
	struct emulate_segment cs;
	u64 rip;
};

static enum emulate_status find_return_code(struct emulate_ctxt *ctxt, u16 selector, u64 rip,
					    struct target *target)
{
	struct emulate_segment *cs = &target->cs;
	enum emulate_status status;
	unsigned int rpl = selector & 3;

	if (!(selector & ~3))
		return raise_gp0(ctxt);
	status = need_descriptor(ctxt, selector, false, VECTOR_GP, &target->descriptor);
	if (status != EMULATE_DONE)
		return status;
	target->rip = rip;
	*cs = unpack_descriptor(&target->descriptor);
	if (!is_code(cs) || rpl < ctxt->cpl ||
	    (is_conforming(cs) ? segment_dpl(cs) > rpl : segment_dpl(cs) != rpl))
		return raise_selector(ctxt, VECTOR_GP, selector);
	return check_target(ctxt, cs, rip);
}

static enum emulate_status mark_target(struct emulate_ctxt *ctxt, struct target *target)
{
	return mark_descriptor(ctxt, &target->descriptor, &target->cs, SEG_TYPE_ACCESSED);
}

static enum emulate_status return_to(struct emulate_ctxt *ctxt, struct target *target)
{
	enum emulate_status status = mark_target(ctxt, target);

	return status == EMULATE_DONE ? enter_code(ctxt, &target->cs, ctxt->cpl, target->rip) :
					status;
}

/* Give up privilege: new SS:RSP, and no segment of the inner level left in the others. */
static enum emulate_status return_to_outer(struct emulate_ctxt *ctxt, struct target *target,
					   u16 ss_selector, u64 rsp)
{
	unsigned int cpl = target->cs.selector & 3;
	bool code64 = in_long_mode(ctxt) && (target->cs.attributes & SEG_L);
	struct emulate_segment ss;
	enum emulate_status status;

	status = find_outer_stack(ctxt, ss_selector, cpl, code64, &ss);
	if (status == EMULATE_DONE)
		status = mark_target(ctxt, target);
	if (status == EMULATE_DONE)
		status = ctxt->ops->set_segment(ctxt, SEG_SS, &ss);
	if (status != EMULATE_DONE)
		return status;
	write_gpr(ctxt, GPR_RSP, code64 ? 8 : ss.attributes & SEG_DB ? 4 : 2, rsp);
	if (cpl != ctxt->cpl) {
		set_cpl(ctxt, cpl);
		status = drop_inner_segments(ctxt);
	}
	return status == EMULATE_DONE ? enter_code(ctxt, &target->cs, cpl, target->rip) : status;
}

enum emulate_status run_ret_far(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;
	struct target target;
	enum emulate_status status;
	u64 rip, selector, rsp, ss;

	status = pop(ctxt, size, &rip);
	if (status == EMULATE_DONE)
		status = pop(ctxt, size, &selector);
	if (status != EMULATE_DONE)
		return status;
	if (!in_protected(ctxt)) {
		drop_stack(ctxt, ctxt->insn.imm);
		return enter_real(ctxt, selector, rip);
	}
	status = find_return_code(ctxt, selector, rip, &target);
	if (status != EMULATE_DONE)
		return status;
	drop_stack(ctxt, ctxt->insn.imm);
	if ((selector & 3) == ctxt->cpl)
		return return_to(ctxt, &target);
	status = pop(ctxt, size, &rsp);
	if (status == EMULATE_DONE)
		status = pop(ctxt, size, &ss);
	return status == EMULATE_DONE ?
		return_to_outer(ctxt, &target, ss, rsp + ctxt->insn.imm) : status;
}

/* IRET to virtual 8086 mode pops all segments. */
static enum emulate_status return_to_vm86(struct emulate_ctxt *ctxt, u64 rip, u16 cs, u64 flags)
{
	static const u8 order[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	enum emulate_status status;
	u64 esp, ss, data[4];
	unsigned int i;

	status = pop(ctxt, 4, &esp);
	if (status == EMULATE_DONE)
		status = pop(ctxt, 4, &ss);
	for (i = 0; i < 4 && status == EMULATE_DONE; i++)
		status = pop(ctxt, 4, &data[i]);
	if (status != EMULATE_DONE)
		return status;
	if (rip > 0xffff)
		return raise_gp0(ctxt);
	ctxt->rflags = (flags & 0x3fffff) | FLAG_FIXED;
	ctxt->mode = EMULATE_VM86;
	set_cpl(ctxt, 3);
	write_gpr(ctxt, GPR_RSP, 4, esp);
	ctxt->rip = rip;
	status = load_real_segment(ctxt, SEG_CS, cs);
	if (status == EMULATE_DONE)
		status = load_real_segment(ctxt, SEG_SS, ss);
	for (i = 0; i < 4 && status == EMULATE_DONE; i++)
		status = load_real_segment(ctxt, order[i], data[i]);
	return status;
}

/* Flags as IRET loads them: as POPF does, and RF besides. */
static void load_iret_flags(struct emulate_ctxt *ctxt, u64 flags, unsigned int size,
			    unsigned int old_cpl)
{
	unsigned int cpl = ctxt->cpl;

	ctxt->cpl = old_cpl;
	load_flags(ctxt, flags, size);
	ctxt->cpl = cpl;
	if (size > 2)
		ctxt->rflags = (ctxt->rflags & ~FLAG_RF) | (flags & FLAG_RF);
	ctxt->keep_rf = size > 2;
}

/* 64-bit code pops a stack even if it is to stay at its level. */
static bool iret_pops_stack(struct emulate_ctxt *ctxt, u16 selector)
{
	return (selector & 3) != ctxt->cpl ||
	       (in_long64(ctxt) && (ctxt->amd || ctxt->insn.operand_size == 8));
}

static enum emulate_status iret_protected(struct emulate_ctxt *ctxt, u64 rip, u16 selector,
					  u64 flags)
{
	unsigned int size = ctxt->insn.operand_size, old_cpl = ctxt->cpl;
	struct target target;
	enum emulate_status status;
	u64 rsp, ss;

	status = find_return_code(ctxt, selector, rip, &target);
	if (status != EMULATE_DONE)
		return status;
	if (!iret_pops_stack(ctxt, selector)) {
		status = return_to(ctxt, &target);
	} else {
		status = pop(ctxt, size, &rsp);
		if (status == EMULATE_DONE)
			status = pop(ctxt, size, &ss);
		if (status == EMULATE_DONE)
			status = return_to_outer(ctxt, &target, ss, rsp);
	}
	if (status == EMULATE_DONE)
		load_iret_flags(ctxt, flags, size, old_cpl);
	return status;
}

/* A nested task returns through its TSS's link. */
static enum emulate_status return_from_task(struct emulate_ctxt *ctxt)
{
	struct emulate_segment tss;
	enum emulate_status status;
	u16 link;

	ctxt->ops->get_segment(ctxt, SEG_TR, &tss);
	status = read_system(ctxt, tss.base, &link, sizeof(link));
	return status == EMULATE_DONE ? task_switch(ctxt, link, TASK_IRET, false, 0) : status;
}

enum emulate_status run_iret(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->insn.operand_size;
	enum emulate_status status;
	u64 rip, cs, flags;

	if (ctxt->mode == EMULATE_VM86 && (ctxt->rflags & FLAG_IOPL) != FLAG_IOPL)
		return ctxt->ops->get_cr(ctxt, 4) & CR4_VME_BIT ? EMULATE_UNSUPPORTED :
								  raise_gp0(ctxt);
	if (in_protected(ctxt) && (ctxt->rflags & FLAG_NT))
		return in_long_mode(ctxt) ? raise_gp0(ctxt) : return_from_task(ctxt);
	status = pop(ctxt, size, &rip);
	if (status == EMULATE_DONE)
		status = pop(ctxt, size, &cs);
	if (status == EMULATE_DONE)
		status = pop(ctxt, size, &flags);
	if (status != EMULATE_DONE)
		return status;
	if (in_protected(ctxt)) {
		if ((flags & FLAG_VM) && ctxt->cpl == 0 && size == 4 && !in_long_mode(ctxt))
			return return_to_vm86(ctxt, rip, cs, flags);
		return iret_protected(ctxt, rip, cs, flags);
	}
	status = enter_real(ctxt, cs, rip);
	if (status == EMULATE_DONE)
		load_iret_flags(ctxt, flags, size, ctxt->cpl);
	return status;
}
