// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts and exceptions through the real-mode vector table and the IDT, and the instructions
 * that raise them. SDM volume 2, INT n; volume 3, chapter 6; APM volume 2, chapter 8.
 */
#include "segment.h"

#define TSS_IST 0x24 /* where a 64-bit TSS has its first interrupt stack */

/* Bits of error codes. */
#define ERROR_EXT 0x1 /* on the way of an event that the program did not ask for */
#define ERROR_IDT 0x2

/* Types of IDT gates besides task gates; bit 0 says trap gate, bit 3 32- or 64-bit. */
#define SYSTEM_INTERRUPT_GATE16 0x6
#define GATE_TRAP		0x1
#define GATE_WIDE		0x8

/**
 * struct event - what is delivered
 * @vector: 0 to 255
 * @software: INT n, INT3 or INTO, which need the gate's permission
 * @has_error: it has an error code
 * @error: that
 */
struct event {
	u8 vector;
	bool software;
	bool has_error;
	u32 error;
};

struct idt_gate {
	u64 offset;
	u16 selector;
	u8 type;
	u8 size; /* bytes of each value pushed */
	u8 ist;
};

/* Flags, CS and IP on the stack; CS:IP from the table at IDTR's base, which need not be 0. */
static enum emulate_status deliver_real(struct emulate_ctxt *ctxt, u8 vector)
{
	struct emulate_segment cs;
	struct emulate_table idt;
	enum emulate_status status;
	u16 entry[2];

	ctxt->ops->get_table(ctxt, TABLE_IDT, &idt);
	if (vector * 4 + 3 > idt.limit)
		return emulate_raise_error(ctxt, VECTOR_GP, vector * 8 + ERROR_IDT);
	status = read_system(ctxt, idt.base + vector * 4, entry, sizeof(entry));
	ctxt->ops->get_segment(ctxt, SEG_CS, &cs);
	if (status == EMULATE_DONE)
		status = push(ctxt, 2, ctxt->rflags);
	if (status == EMULATE_DONE)
		status = push(ctxt, 2, cs.selector);
	if (status == EMULATE_DONE)
		status = push(ctxt, 2, ctxt->rip);
	if (status != EMULATE_DONE)
		return status;
	ctxt->rflags &= ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
	ctxt->rip = entry[0];
	return load_real_segment(ctxt, SEG_CS, entry[1]);
}

static bool gate_exists(u8 type, bool long_mode)
{
	if (long_mode)
		return (type & ~GATE_TRAP) == (SYSTEM_INTERRUPT_GATE16 | GATE_WIDE);
	return type == SYSTEM_TASK_GATE ||
	       (type & ~(GATE_TRAP | GATE_WIDE)) == SYSTEM_INTERRUPT_GATE16;
}

static enum emulate_status read_idt_gate(struct emulate_ctxt *ctxt, const struct event *event,
					 struct idt_gate *gate)
{
	bool long_mode = in_long_mode(ctxt);
	unsigned int size = long_mode ? 16 : 8, at = event->vector * size;
	u32 error = event->vector * 8 + ERROR_IDT;
	struct emulate_table idt;
	enum emulate_status status;
	u64 raw[2] = { 0 };
	u64 linear;

	ctxt->ops->get_table(ctxt, TABLE_IDT, &idt);
	if (at + size - 1 > idt.limit)
		return emulate_raise_error(ctxt, VECTOR_GP, error);
	linear = long_mode ? idt.base + at : (u32)(idt.base + at);
	status = read_system(ctxt, linear, raw, size);
	if (status != EMULATE_DONE)
		return status;
	gate->type = raw[0] >> 40 & 0x1f;
	if (!gate_exists(gate->type, long_mode) ||
	    (event->software && (raw[0] >> 45 & 3) < ctxt->cpl))
		return emulate_raise_error(ctxt, VECTOR_GP, error);
	if (!(raw[0] >> 47 & 1))
		return emulate_raise_error(ctxt, VECTOR_NP, error);
	gate->selector = raw[0] >> 16;
	gate->offset = (raw[0] & 0xffff) | raw[1] << 32;
	if (gate->type & GATE_WIDE)
		gate->offset |= raw[0] >> 32 & 0xffff0000;
	gate->size = long_mode ? 8 : gate->type & GATE_WIDE ? 4 : 2;
	gate->ist = long_mode ? raw[0] >> 32 & 7 : 0;
	return EMULATE_DONE;
}

/* The gate's code segment, and the privilege level that the handler gets. */
static enum emulate_status find_handler(struct emulate_ctxt *ctxt, const struct idt_gate *gate,
					struct descriptor *descriptor, struct emulate_segment *cs,
					unsigned int *cpl)
{
	enum emulate_status status;

	if (!(gate->selector & ~3))
		return raise_gp0(ctxt);
	status = need_descriptor(ctxt, gate->selector, false, VECTOR_GP, descriptor);
	if (status != EMULATE_DONE)
		return status;
	*cs = unpack_descriptor(descriptor);
	if (!is_code(cs) || segment_dpl(cs) > ctxt->cpl ||
	    (in_long_mode(ctxt) && (cs->attributes & (SEG_L | SEG_DB)) != SEG_L))
		return raise_selector(ctxt, VECTOR_GP, gate->selector);
	if (!(cs->attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, gate->selector);
	*cpl = is_conforming(cs) ? ctxt->cpl : segment_dpl(cs);
	/* virtual 8086 mode is left for level 0 only */
	if (ctxt->mode == EMULATE_VM86 && *cpl)
		return raise_selector(ctxt, VECTOR_GP, gate->selector);
	return EMULATE_DONE;
}

/* The current stack, one of the TSS for an inner level, or in long mode one that the gate names. */
static enum emulate_status find_stack(struct emulate_ctxt *ctxt, const struct idt_gate *gate,
				      unsigned int cpl, struct stack *stack)
{
	enum emulate_status status = EMULATE_DONE;

	*stack = (struct stack){ .sp = ctxt->gpr[GPR_RSP] };
	if (cpl == ctxt->cpl) {
		ctxt->ops->get_segment(ctxt, SEG_SS, &stack->ss);
	} else if (!gate->ist) {
		status = find_inner_stack(ctxt, cpl, stack);
	} else {
		stack->switched = true;
		stack->ss.selector = cpl;
		stack->ss.attributes = cpl << SEG_DPL_SHIFT;
	}
	if (gate->ist)
		status = read_tss_stack(ctxt, TSS_IST + 8 * (gate->ist - 1), &stack->sp, 8);
	if (in_long_mode(ctxt))
		stack->sp &= ~15ull;
	return status;
}

static enum emulate_status push_selector(struct emulate_ctxt *ctxt, struct stack *stack,
					 unsigned int size, unsigned int reg)
{
	struct emulate_segment segment;

	ctxt->ops->get_segment(ctxt, reg, &segment);
	return push_to(ctxt, stack, size, segment.selector);
}

/* For the handler: data segments of virtual 8086 mode, SS:RSP, RFLAGS, CS:RIP, error code. */
static enum emulate_status push_event(struct emulate_ctxt *ctxt, struct stack *stack,
				      unsigned int size, const struct event *event)
{
	static const u8 data[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
	unsigned int i, n = ctxt->mode == EMULATE_VM86 ? sizeof(data) : 0;
	enum emulate_status status = EMULATE_DONE;

	for (i = 0; i < n && status == EMULATE_DONE; i++)
		status = push_selector(ctxt, stack, size, data[i]);
	if (stack->switched || in_long_mode(ctxt)) {
		if (status == EMULATE_DONE)
			status = push_selector(ctxt, stack, size, SEG_SS);
		if (status == EMULATE_DONE)
			status = push_to(ctxt, stack, size, ctxt->gpr[GPR_RSP]);
	}
	if (status == EMULATE_DONE)
		status = push_to(ctxt, stack, size, ctxt->rflags);
	if (status == EMULATE_DONE)
		status = push_selector(ctxt, stack, size, SEG_CS);
	if (status == EMULATE_DONE)
		status = push_to(ctxt, stack, size, ctxt->rip);
	if (status == EMULATE_DONE && event->has_error)
		status = push_to(ctxt, stack, size, event->error);
	return status;
}

/* The handler's first instruction, its flags and privilege. */
static enum emulate_status enter_handler(struct emulate_ctxt *ctxt, const struct idt_gate *gate,
					 struct emulate_segment *cs, unsigned int cpl)
{
	static const u8 data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	struct emulate_segment null = { 0 };
	enum emulate_status status = EMULATE_DONE;
	unsigned int i;

	if (ctxt->mode == EMULATE_VM86) {
		for (i = 0; i < sizeof(data) && status == EMULATE_DONE; i++)
			status = ctxt->ops->set_segment(ctxt, data[i], &null);
		if (status != EMULATE_DONE)
			return status;
		ctxt->mode = cs->attributes & SEG_DB ? EMULATE_PROT32 : EMULATE_PROT16;
	}
	ctxt->rflags &= ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
	if (!(gate->type & GATE_TRAP))
		ctxt->rflags &= ~FLAG_IF;
	set_cpl(ctxt, cpl);
	return enter_code(ctxt, cs, cpl, gate->offset);
}

static enum emulate_status deliver_protected(struct emulate_ctxt *ctxt, const struct event *event)
{
	struct descriptor descriptor;
	struct emulate_segment cs;
	enum emulate_status status;
	struct idt_gate gate = { 0 };
	struct stack stack;
	unsigned int cpl = 0;

	status = read_idt_gate(ctxt, event, &gate);
	if (status != EMULATE_DONE)
		return status;
	if (gate.type == SYSTEM_TASK_GATE)
		return task_switch(ctxt, gate.selector, TASK_GATE, event->has_error, event->error);
	status = find_handler(ctxt, &gate, &descriptor, &cs, &cpl);
	if (status == EMULATE_DONE)
		status = find_stack(ctxt, &gate, cpl, &stack);
	if (status == EMULATE_DONE)
		status = check_entry(ctxt, &cs, gate.offset);
	if (status == EMULATE_DONE)
		status = mark_descriptor(ctxt, &descriptor, &cs, SEG_TYPE_ACCESSED);
	if (status == EMULATE_DONE)
		status = push_event(ctxt, &stack, gate.size, event);
	if (status == EMULATE_DONE)
		status = enter_stack(ctxt, &stack);
	return status == EMULATE_DONE ? enter_handler(ctxt, &gate, &cs, cpl) : status;
}

/* RIP is where the handler returns to. No single-step trap comes before the handler. */
static enum emulate_status deliver(struct emulate_ctxt *ctxt, const struct event *event)
{
	enum emulate_status status;
	u8 vector;

	ctxt->no_step = true;
	if (ctxt->mode == EMULATE_REAL)
		return deliver_real(ctxt, event->vector);
	status = deliver_protected(ctxt, event);
	vector = ctxt->fault.vector;
	if (status == EMULATE_FAULT && !event->software && vector >= VECTOR_TS &&
	    vector <= VECTOR_GP)
		ctxt->fault.error |= ERROR_EXT;
	return status;
}

enum emulate_status emulate_interrupt(struct emulate_ctxt *ctxt, u8 vector, bool has_error,
				      u32 error)
{
	struct event event = { .vector = vector, .has_error = has_error, .error = error };

	begin(ctxt);
	return finish(ctxt, deliver(ctxt, &event));
}

/* INT n, INT3, INTO; INT1 needs no permission. */
enum emulate_status run_int(struct emulate_ctxt *ctxt)
{
	struct event event = { .software = ctxt->insn.op != INSN_INT1 };

	switch (ctxt->insn.op) {
	case INSN_INT3:
		event.vector = VECTOR_BP;
		break;
	case INSN_INT1:
		event.vector = VECTOR_DB;
		break;
	case INSN_INTO:
		if (!(ctxt->rflags & FLAG_OF))
			return EMULATE_DONE;
		event.vector = VECTOR_OF;
		break;
	default:
		event.vector = ctxt->insn.imm;
		if (ctxt->mode != EMULATE_VM86 || (ctxt->rflags & FLAG_IOPL) == FLAG_IOPL)
			break;
		if (ctxt->ops->get_cr(ctxt, 4) & CR4_VME_BIT)
			return EMULATE_UNSUPPORTED;
		return raise_gp0(ctxt);
	}
	/* The instruction is over when the flags are pushed. */
	ctxt->rflags &= ~FLAG_RF;
	return deliver(ctxt, &event);
}
