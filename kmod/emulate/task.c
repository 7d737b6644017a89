// SPDX-License-Identifier: GPL-2.0-only
/* Task switches, between TSSs of 32 and 16 bits. SDM volume 3, chapter 8. */
#include "segment.h"

#define CR0_PG_BIT 0x80000000ull
#define DR6_BT_BIT (1ull << 15)

/* The part that the CPU saves when it leaves the task. */
struct tss_state {
	u32 eip;
	u32 eflags;
	u32 gpr[8];
	u32 segment[6];
};

struct tss {
	u32 link;
	u32 stacks[6];
	u32 cr3;
	struct tss_state state;
	u32 ldt;
	u16 trap;
	u16 io_map;
};

struct tss16_state {
	u16 ip;
	u16 flags;
	u16 gpr[8];
	u16 segment[4];
};

struct tss16 {
	u16 link;
	u16 stacks[6];
	struct tss16_state state;
	u16 ldt;
};

static bool is_tss(const struct emulate_segment *segment)
{
	u16 type = segment->attributes & (SEG_S | SEG_TYPE) & ~SYSTEM_BUSY;

	return type == SYSTEM_TSS || type == SYSTEM_TSS16;
}

static bool is_wide(const struct emulate_segment *tss)
{
	return tss->attributes & (SYSTEM_TSS ^ SYSTEM_TSS16);
}

static unsigned int tss_size(const struct emulate_segment *tss)
{
	return is_wide(tss) ? sizeof(struct tss) : sizeof(struct tss16);
}

static enum emulate_status clear_busy(struct emulate_ctxt *ctxt, u16 selector)
{
	struct descriptor descriptor;
	enum emulate_status status;
	u8 type;

	status = find_descriptor(ctxt, selector, false, &descriptor);
	if (status != EMULATE_DONE || !descriptor.exists)
		return status;
	type = (descriptor.low >> 40) & ~SYSTEM_BUSY;
	return write_system(ctxt, descriptor.linear + 5, &type, 1);
}

static enum emulate_status save_task16(struct emulate_ctxt *ctxt, const struct emulate_segment *old,
				       const struct tss_state *wide)
{
	struct tss16_state state = { .ip = wide->eip, .flags = wide->eflags };
	unsigned int i;

	for (i = 0; i < 8; i++)
		state.gpr[i] = wide->gpr[i];
	for (i = 0; i < 4; i++)
		state.segment[i] = wide->segment[i];
	return write_system(ctxt, old->base + offsetof(struct tss16, state), &state, sizeof(state));
}

static enum emulate_status save_task(struct emulate_ctxt *ctxt, const struct emulate_segment *old,
				     bool nested)
{
	struct tss_state state = { .eip = ctxt->rip, .eflags = ctxt->rflags };
	struct emulate_segment segment;
	unsigned int i;

	/* returning from a nested task leaves it un-nested */
	if (nested)
		state.eflags &= ~FLAG_NT;
	for (i = 0; i < 8; i++)
		state.gpr[i] = ctxt->gpr[i];
	for (i = 0; i < 6; i++) {
		ctxt->ops->get_segment(ctxt, i, &segment);
		state.segment[i] = segment.selector;
	}
	if (!is_wide(old))
		return save_task16(ctxt, old, &state);
	return write_system(ctxt, old->base + offsetof(struct tss, state), &state, sizeof(state));
}

/* A TSS of 16 bits has no FS, GS, CR3 or trap bit, and lower halves alone: the upper ones clear. */
static void widen_tss(struct tss *tss, const struct tss16 *narrow)
{
	unsigned int i;

	*tss = (struct tss){ .state = { .eip = narrow->state.ip, .eflags = narrow->state.flags },
			     .ldt = narrow->ldt };
	for (i = 0; i < 8; i++)
		tss->state.gpr[i] = narrow->state.gpr[i];
	for (i = 0; i < 4; i++)
		tss->state.segment[i] = narrow->state.segment[i];
}

static enum emulate_status read_tss(struct emulate_ctxt *ctxt, const struct emulate_segment *new,
				    struct tss *tss)
{
	enum emulate_status status;
	struct tss16 narrow;

	if (is_wide(new))
		return read_system(ctxt, new->base, tss, sizeof(*tss));
	status = read_system(ctxt, new->base, &narrow, sizeof(narrow));
	if (status == EMULATE_DONE)
		widen_tss(tss, &narrow);
	return status;
}

static enum emulate_status load_task_ldt(struct emulate_ctxt *ctxt, u16 selector)
{
	struct emulate_segment ldt = { .selector = selector };
	struct descriptor descriptor;
	enum emulate_status status;

	if (selector & 4)
		return raise_selector(ctxt, VECTOR_TS, selector);
	if (selector & ~3) {
		status = need_descriptor(ctxt, selector, false, VECTOR_TS, &descriptor);
		if (status != EMULATE_DONE)
			return status;
		ldt = unpack_descriptor(&descriptor);
		if ((ldt.attributes & (SEG_P | SEG_S | SEG_TYPE)) != (SEG_P | SYSTEM_LDT))
			return raise_selector(ctxt, VECTOR_TS, selector);
	}
	return ctxt->ops->set_segment(ctxt, SEG_LDTR, &ldt);
}

static enum emulate_status load_task_code(struct emulate_ctxt *ctxt, u16 selector)
{
	u16 bits = SEG_S | SEG_TYPE_CODE;
	unsigned int rpl = selector & 3, dpl;
	struct descriptor descriptor;
	struct emulate_segment cs;
	enum emulate_status status;

	if (!(selector & ~3))
		return raise_selector(ctxt, VECTOR_TS, selector);
	status = need_descriptor(ctxt, selector, false, VECTOR_TS, &descriptor);
	if (status != EMULATE_DONE)
		return status;
	cs = unpack_descriptor(&descriptor);
	dpl = segment_dpl(&cs);
	if ((cs.attributes & bits) != bits ||
	    (cs.attributes & SEG_TYPE_DOWN ? dpl > rpl : dpl != rpl))
		return raise_selector(ctxt, VECTOR_TS, selector);
	if (!(cs.attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, selector);
	status = mark_descriptor(ctxt, &descriptor, &cs, SEG_TYPE_ACCESSED);
	if (status == EMULATE_DONE)
		status = ctxt->ops->set_segment(ctxt, SEG_CS, &cs);
	ctxt->mode = cs.attributes & SEG_DB ? EMULATE_PROT32 : EMULATE_PROT16;
	return status == EMULATE_DONE && ctxt->rip > cs.limit ? raise_gp0(ctxt) : status;
}

/* Faults here belong to the new task: #TS where a load instruction would raise #GP. */
static enum emulate_status load_task_data(struct emulate_ctxt *ctxt, unsigned int reg, u16 selector)
{
	enum emulate_status status = load_segment(ctxt, reg, selector);

	if (status == EMULATE_FAULT && ctxt->fault.vector == VECTOR_GP)
		return raise_selector(ctxt, VECTOR_TS, selector);
	return status;
}

static enum emulate_status load_task_segments(struct emulate_ctxt *ctxt, const struct tss *tss)
{
	static const u8 order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	enum emulate_status status = load_task_ldt(ctxt, tss->ldt);
	unsigned int i;

	if (status != EMULATE_DONE)
		return status;
	if (ctxt->mode == EMULATE_VM86)
		status = load_real_segment(ctxt, SEG_CS, tss->state.segment[SEG_CS]);
	else
		status = load_task_code(ctxt, tss->state.segment[SEG_CS]);
	for (i = 0; i < sizeof(order) && status == EMULATE_DONE; i++)
		status = load_task_data(ctxt, order[i], tss->state.segment[order[i]]);
	return status;
}

/* Registers of the new task. From here on the old one is gone: a fault is the new one's. */
static enum emulate_status load_registers(struct emulate_ctxt *ctxt, const struct tss *tss,
					  bool wide, bool nests)
{
	enum emulate_status status = EMULATE_DONE;
	u64 cr0 = ctxt->ops->get_cr(ctxt, 0);
	unsigned int i;

	if (wide && cr0 & CR0_PG_BIT)
		status = ctxt->ops->set_cr(ctxt, 3, tss->cr3);
	if (status == EMULATE_DONE)
		status = ctxt->ops->set_cr(ctxt, 0, cr0 | CR0_TS_BIT);
	if (status != EMULATE_DONE)
		return status;
	for (i = 0; i < 8; i++)
		write_gpr(ctxt, i, 4, tss->state.gpr[i]);
	ctxt->rip = tss->state.eip;
	ctxt->rflags = (tss->state.eflags & 0x3f7fd7) | FLAG_FIXED | (nests ? FLAG_NT : 0);
	ctxt->mode = ctxt->rflags & FLAG_VM ? EMULATE_VM86 : EMULATE_PROT32;
	ctxt->cpl = ctxt->rflags & FLAG_VM ? 3 : tss->state.segment[SEG_CS] & 3;
	ctxt->mode_changed = true;
	ctxt->keep_rf = true;
	commit_iteration(ctxt);
	ctxt->saved_rflags = ctxt->rflags;
	ctxt->saved_rip = ctxt->rip;
	return EMULATE_DONE;
}

/* The new TSS: its descriptor, and that it may be switched to. */
static enum emulate_status find_task(struct emulate_ctxt *ctxt, u16 selector,
				     enum emulate_task_reason reason, struct descriptor *descriptor,
				     struct emulate_segment *segment)
{
	u8 vector = reason == TASK_IRET ? VECTOR_TS : VECTOR_GP;
	u16 busy = reason == TASK_IRET ? SYSTEM_BUSY : 0;
	enum emulate_status status;

	if ((selector & 4) || !(selector & ~3))
		return raise_selector(ctxt, vector, selector);
	status = need_descriptor(ctxt, selector, false, vector, descriptor);
	if (status != EMULATE_DONE)
		return status;
	*segment = unpack_descriptor(descriptor);
	if (!is_tss(segment) || (segment->attributes & SYSTEM_BUSY) != busy)
		return raise_selector(ctxt, vector, selector);
	if (!(segment->attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, selector);
	if (segment->limit < tss_size(segment) - 1)
		return raise_selector(ctxt, VECTOR_TS, selector);
	return EMULATE_DONE;
}

/* Leave the old task: save it, and settle who is busy and who links to whom. */
static enum emulate_status leave_task(struct emulate_ctxt *ctxt, enum emulate_task_reason reason,
				      const struct emulate_segment *old,
				      struct descriptor *descriptor, struct emulate_segment *new)
{
	bool nests = reason == TASK_CALL || reason == TASK_GATE;
	enum emulate_status status;

	status = save_task(ctxt, old, reason == TASK_IRET);
	if (status == EMULATE_DONE && !nests)
		status = clear_busy(ctxt, old->selector);
	if (status == EMULATE_DONE && reason != TASK_IRET)
		status = mark_descriptor(ctxt, descriptor, new, SYSTEM_BUSY);
	if (status == EMULATE_DONE && nests)
		status = write_system(ctxt, new->base, &old->selector, 2);
	return status;
}

enum emulate_status task_switch(struct emulate_ctxt *ctxt, u16 selector,
				enum emulate_task_reason reason, bool has_error, u32 error)
{
	struct emulate_segment old, new;
	struct descriptor descriptor;
	enum emulate_status status;
	bool nests = reason == TASK_CALL || reason == TASK_GATE;
	struct tss tss;

	ctxt->ops->get_segment(ctxt, SEG_TR, &old);
	if (!is_tss(&old) || in_long_mode(ctxt))
		return EMULATE_UNSUPPORTED;
	status = find_task(ctxt, selector, reason, &descriptor, &new);
	if (status == EMULATE_DONE)
		status = read_tss(ctxt, &new, &tss);
	if (status == EMULATE_DONE)
		status = leave_task(ctxt, reason, &old, &descriptor, &new);
	if (status == EMULATE_DONE)
		status = ctxt->ops->set_segment(ctxt, SEG_TR, &new);
	if (status == EMULATE_DONE)
		status = load_registers(ctxt, &tss, is_wide(&new), nests);
	if (status == EMULATE_DONE)
		status = load_task_segments(ctxt, &tss);
	if (status == EMULATE_DONE && has_error)
		status = push(ctxt, is_wide(&new) ? 4 : 2, error);
	if (status != EMULATE_DONE || !(tss.trap & 1))
		return status;
	status = ctxt->ops->set_dr(ctxt, 6, ctxt->ops->get_dr(ctxt, 6) | DR6_BT_BIT);
	return status == EMULATE_DONE ? emulate_raise(ctxt, VECTOR_DB) : status;
}

enum emulate_status emulate_task_switch(struct emulate_ctxt *ctxt, u16 selector,
					enum emulate_task_reason reason, bool has_error, u32 error)
{
	enum emulate_status status;

	begin(ctxt);
	status = task_switch(ctxt, selector, reason, has_error, error);
	return finish(ctxt, status);
}
