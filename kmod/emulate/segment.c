// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors, segment registers, and the instructions that look at or load them. */
#include "segment.h"

bool in_long_mode(struct emulate_ctxt *ctxt)
{
	u64 efer;

	if (in_long64(ctxt))
		return true;
	if (!in_protected(ctxt) || ctxt->ops->get_msr(ctxt, IA32_EFER, &efer) != EMULATE_DONE)
		return false;
	return efer & EFER_LMA_BIT;
}

/**
 * find_descriptor() - read the descriptor that a selector names
 * @ctxt: context
 * @selector: not null
 * @wide: 16 bytes (a system descriptor in long mode)
 * @descriptor: result
 *
 * Return: EMULATE_DONE with descriptor->exists saying whether it lies within its table, or a
 * callback's status.
 */
enum emulate_status find_descriptor(struct emulate_ctxt *ctxt, u16 selector, bool wide,
				    struct descriptor *descriptor)
{
	unsigned int size = wide ? 16 : 8, offset = selector & ~7u;
	struct emulate_segment ldt;
	struct emulate_table gdt;
	u64 raw[2] = { 0 };
	enum emulate_status status;

	*descriptor = (struct descriptor){ .selector = selector };
	if (selector & 4) {
		ctxt->ops->get_segment(ctxt, SEG_LDTR, &ldt);
		if (!(ldt.attributes & SEG_P) || offset + size - 1 > ldt.limit)
			return EMULATE_DONE;
		descriptor->linear = ldt.base + offset;
	} else {
		ctxt->ops->get_table(ctxt, TABLE_GDT, &gdt);
		if (offset + size - 1 > gdt.limit)
			return EMULATE_DONE;
		descriptor->linear = gdt.base + offset;
	}
	if (!in_long_mode(ctxt))
		descriptor->linear = (u32)descriptor->linear;
	status = read_system(ctxt, descriptor->linear, raw, size);
	if (status != EMULATE_DONE)
		return status;
	descriptor->exists = true;
	descriptor->low = raw[0];
	descriptor->high = raw[1];
	return EMULATE_DONE;
}

/* As find_descriptor(), but outside the table is #GP (or @vector) with the selector. */
enum emulate_status need_descriptor(struct emulate_ctxt *ctxt, u16 selector, bool wide, u8 vector,
				    struct descriptor *descriptor)
{
	enum emulate_status status = find_descriptor(ctxt, selector, wide, descriptor);

	if (status == EMULATE_DONE && !descriptor->exists)
		return raise_selector(ctxt, vector, selector);
	return status;
}

/* What the hidden part of a segment register gets. */
struct emulate_segment unpack_descriptor(const struct descriptor *descriptor)
{
	u64 raw = descriptor->low;
	struct emulate_segment segment = {
		.selector = descriptor->selector,
		.attributes = (raw >> 40 & 0xff) | (raw >> 52 & 0xf) << 8,
		.limit = (raw & 0xffff) | (raw >> 32 & 0xf0000),
		.base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000),
	};

	if (segment.attributes & SEG_G)
		segment.limit = segment.limit << 12 | 0xfff;
	segment.base |= descriptor->high << 32;
	return segment;
}

/**
 * mark_descriptor() - set a type bit (accessed, busy) in the table as the CPU does, with a locked
 * access
 * @ctxt: context
 * @descriptor: found before
 * @segment: its segment, updated too
 * @bit: the type bit
 *
 * Return: EMULATE_DONE or a callback's status.
 */
enum emulate_status mark_descriptor(struct emulate_ctxt *ctxt, struct descriptor *descriptor,
				    struct emulate_segment *segment, u8 bit)
{
	u8 old = descriptor->low >> 40, new = old | bit;
	enum emulate_status status;
	bool swapped;

	segment->attributes |= bit;
	if (old == new)
		return EMULATE_DONE;
	status = ctxt->ops->compare_exchange(ctxt, descriptor->linear + 5, &old, &new, 1,
					     EMULATE_ACCESS_SYSTEM | EMULATE_ACCESS_LOCKED,
					     &swapped);
	if (status != EMULATE_DONE || swapped)
		return status;
	/*
	 * Somebody rewrites the descriptor under us: fault as for one that is not present, and let
	 * the guest look again.
	 */
	return raise_selector(ctxt, VECTOR_NP, descriptor->selector);
}

/* Real and virtual 8086 mode: the selector is the base. */
enum emulate_status load_real_segment(struct emulate_ctxt *ctxt, unsigned int reg, u16 selector)
{
	struct emulate_segment segment;

	ctxt->ops->get_segment(ctxt, reg, &segment);
	segment.selector = selector;
	segment.base = (u32)selector << 4;
	if (ctxt->mode == EMULATE_VM86) {
		segment.limit = 0xffff;
		segment.attributes = SEG_P | SEG_DPL | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED;
	}
	return ctxt->ops->set_segment(ctxt, reg, &segment);
}

/* A null selector makes the register unusable; AMD's CPUs keep base and limit. */
static enum emulate_status load_null(struct emulate_ctxt *ctxt, unsigned int reg, u16 selector)
{
	struct emulate_segment segment = { .selector = selector };

	if (reg == SEG_SS) {
		if (!in_long64(ctxt) || ctxt->cpl == 3 || (selector & 3) != ctxt->cpl)
			return raise_gp0(ctxt);
		segment.attributes = ctxt->cpl << SEG_DPL_SHIFT;
	}
	if (ctxt->amd) {
		struct emulate_segment old;

		ctxt->ops->get_segment(ctxt, reg, &old);
		segment.base = old.base;
		segment.limit = old.limit;
	}
	return ctxt->ops->set_segment(ctxt, reg, &segment);
}

/* SS: writable data of exactly this privilege. */
static enum emulate_status check_stack_segment(struct emulate_ctxt *ctxt,
					       const struct emulate_segment *segment,
					       unsigned int cpl, u8 vector)
{
	u16 type = segment->attributes & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE);

	if ((segment->selector & 3) != cpl || segment_dpl(segment) != cpl ||
	    type != (SEG_S | SEG_TYPE_WRITE))
		return raise_selector(ctxt, vector, segment->selector);
	if (!(segment->attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_SS, segment->selector);
	return EMULATE_DONE;
}

/*
 * DS, ES, FS, GS: data, or code that can be read; not more privileged than we or the selector,
 * unless conforming.
 */
static enum emulate_status check_data_segment(struct emulate_ctxt *ctxt,
					      const struct emulate_segment *segment)
{
	u16 attributes = segment->attributes;
	unsigned int dpl = segment_dpl(segment);

	if (!(attributes & SEG_S) ||
	    (attributes & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) == SEG_TYPE_CODE)
		return raise_selector(ctxt, VECTOR_GP, segment->selector);
	if ((attributes & (SEG_TYPE_CODE | SEG_TYPE_DOWN)) != (SEG_TYPE_CODE | SEG_TYPE_DOWN) &&
	    (dpl < (segment->selector & 3u) || dpl < ctxt->cpl))
		return raise_selector(ctxt, VECTOR_GP, segment->selector);
	if (!(attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, segment->selector);
	return EMULATE_DONE;
}

/**
 * load_segment() - load ES, SS, DS, FS or GS with all checks
 * @ctxt: context
 * @reg: segment register
 * @selector: new selector
 *
 * SDM volume 2, MOV, "Loads and Moves to Segment Registers".
 *
 * Return: EMULATE_DONE, EMULATE_FAULT (#GP, #SS, #NP) or a callback's status.
 */
enum emulate_status load_segment(struct emulate_ctxt *ctxt, unsigned int reg, u16 selector)
{
	struct emulate_segment segment;
	struct descriptor descriptor;
	enum emulate_status status;

	if (!in_protected(ctxt))
		return load_real_segment(ctxt, reg, selector);
	if (!(selector & ~3))
		return load_null(ctxt, reg, selector);
	status = need_descriptor(ctxt, selector, false, VECTOR_GP, &descriptor);
	if (status != EMULATE_DONE)
		return status;
	segment = unpack_descriptor(&descriptor);
	if (reg == SEG_SS)
		status = check_stack_segment(ctxt, &segment, ctxt->cpl, VECTOR_GP);
	else
		status = check_data_segment(ctxt, &segment);
	if (status == EMULATE_DONE)
		status = mark_descriptor(ctxt, &descriptor, &segment, SEG_TYPE_ACCESSED);
	return status == EMULATE_DONE ? ctxt->ops->set_segment(ctxt, reg, &segment) : status;
}

/**
 * find_stack_segment() - check a stack segment for another privilege level, without loading it
 * @ctxt: context
 * @selector: its selector, not null
 * @cpl: the privilege level
 * @vector: what a bad selector raises: #GP, or #TS for one from a TSS
 * @segment: result, marked accessed
 *
 * Return: EMULATE_DONE, EMULATE_FAULT or a callback's status.
 */
enum emulate_status find_stack_segment(struct emulate_ctxt *ctxt, u16 selector, unsigned int cpl,
				       u8 vector, struct emulate_segment *segment)
{
	struct descriptor descriptor;
	enum emulate_status status;

	status = need_descriptor(ctxt, selector, false, vector, &descriptor);
	if (status != EMULATE_DONE)
		return status;
	*segment = unpack_descriptor(&descriptor);
	status = check_stack_segment(ctxt, segment, cpl, vector);
	if (status == EMULATE_DONE)
		status = mark_descriptor(ctxt, &descriptor, segment, SEG_TYPE_ACCESSED);
	return status;
}

/* Store 16 bits to memory, or the operand size to a register: MOV from Sreg, SLDT, STR, SMSW. */
static enum emulate_status store_word(struct emulate_ctxt *ctxt, u64 value)
{
	enum emulate_status status;

	status = load_operand(ctxt, &ctxt->dst, ctxt->insn.memory ? O_E16 : O_E, F_WRITE);
	if (status != EMULATE_DONE)
		return status;
	ctxt->dst.value = value;
	return store_operand(ctxt, &ctxt->dst);
}

enum emulate_status run_mov_from_seg(struct emulate_ctxt *ctxt)
{
	struct emulate_segment segment;

	ctxt->ops->get_segment(ctxt, ctxt->insn.modrm >> 3 & 7, &segment);
	return store_word(ctxt, segment.selector);
}

enum emulate_status run_mov_to_seg(struct emulate_ctxt *ctxt)
{
	unsigned int reg = ctxt->insn.modrm >> 3 & 7;
	enum emulate_status status = load_segment(ctxt, reg, ctxt->src.value);

	if (status == EMULATE_DONE && reg == SEG_SS)
		cast_shadow(ctxt, EMULATE_SHADOW_MOV_SS);
	return status;
}

/* LES C4, LDS C5, LSS 0F B2, LFS 0F B4, LGS 0F B5 */
enum emulate_status run_load_far(struct emulate_ctxt *ctxt)
{
	static const u8 reg_of_opcode[8] = { [2] = SEG_SS, [4] = SEG_FS, [5] = SEG_GS };
	unsigned int size = ctxt->dst.size, reg;
	enum emulate_status status;
	u8 pointer[10];
	u16 selector;

	/* AMD's CPUs know no 64-bit offset here */
	if (ctxt->amd && size == 8)
		size = 4;
	status = read_segment(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), pointer,
			      size + 2);
	if (status != EMULATE_DONE)
		return status;
	memcpy(&selector, pointer + size, 2);
	reg = ctxt->insn.map == MAP_0F	? reg_of_opcode[ctxt->insn.opcode & 7] :
	      ctxt->insn.opcode == 0xc4 ? SEG_ES :
					  SEG_DS;
	ctxt->dst.value = 0;
	memcpy(&ctxt->dst.value, pointer, size);
	return load_segment(ctxt, reg, selector);
}

/* Do LAR and LSL know this system type? */
static bool type_visible(struct emulate_ctxt *ctxt, u16 attributes)
{
	u16 legacy = ctxt->insn.op == INSN_LAR ? 0x1a3e : 0x0a0e;
	u16 long_mode = ctxt->insn.op == INSN_LAR ? 0x1a04 : 0x0a04;

	return (in_long_mode(ctxt) ? long_mode : legacy) >> (attributes & SEG_TYPE) & 1;
}

static bool descriptor_visible(struct emulate_ctxt *ctxt, const struct descriptor *descriptor)
{
	struct emulate_segment segment = unpack_descriptor(descriptor);
	unsigned int dpl = segment_dpl(&segment);
	u16 attributes = segment.attributes;

	if (!descriptor->exists)
		return false;
	if (!(is_code(&segment) && is_conforming(&segment)) &&
	    (dpl < ctxt->cpl || dpl < (descriptor->selector & 3u)))
		return false;
	switch (ctxt->insn.op) {
	case INSN_VERR:
		return (attributes & SEG_S) &&
		       (attributes & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) != SEG_TYPE_CODE;
	case INSN_VERW:
		return (attributes & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE)) ==
		       (SEG_S | SEG_TYPE_WRITE);
	default:
		return (attributes & SEG_S) || type_visible(ctxt, attributes);
	}
}

/* LAR, LSL, VERR, VERW: ZF says whether the selector may be used so; nothing faults on it. */
enum emulate_status run_inspect(struct emulate_ctxt *ctxt)
{
	u16 selector = ctxt->src.value;
	struct descriptor descriptor;
	enum emulate_status status;
	bool visible = false;

	if (selector & ~3) {
		status = find_descriptor(ctxt, selector, false, &descriptor);
		if (status != EMULATE_DONE)
			return status;
		visible = descriptor_visible(ctxt, &descriptor);
	}
	ctxt->rflags = (ctxt->rflags & ~FLAG_ZF) | (visible ? FLAG_ZF : 0);
	if (!visible)
		ctxt->dst.type = OPERAND_NONE;
	else if (ctxt->insn.op == INSN_LAR)
		ctxt->dst.value = descriptor.low >> 32 & 0xffff00;
	else if (ctxt->insn.op == INSN_LSL)
		ctxt->dst.value = unpack_descriptor(&descriptor).limit;
	return EMULATE_DONE;
}

/* Adjust RPL: raise the destination's RPL to the source's. Memory need be writable only then. */
enum emulate_status run_arpl(struct emulate_ctxt *ctxt)
{
	struct emulate_operand *dst = &ctxt->dst;
	u64 value = dst->value, rpl = ctxt->src.value & 3;
	enum emulate_status status;

	if ((value & 3) >= rpl) {
		ctxt->rflags &= ~FLAG_ZF;
		return EMULATE_DONE;
	}
	status = load_operand(ctxt, dst, O_E16, F_WRITE);
	if (status != EMULATE_DONE)
		return status;
	ctxt->rflags |= FLAG_ZF;
	dst->value = (value & ~3ull) | rpl;
	return store_operand(ctxt, dst);
}

/* User-mode instruction prevention: SGDT, SIDT, SLDT, STR, SMSW */
static enum emulate_status check_umip(struct emulate_ctxt *ctxt)
{
	if (ctxt->cpl && (ctxt->ops->get_cr(ctxt, 4) & CR4_UMIP_BIT))
		return raise_gp0(ctxt);
	return EMULATE_DONE;
}

enum emulate_status run_store_selector(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_umip(ctxt);
	struct emulate_segment segment;

	if (status != EMULATE_DONE)
		return status;
	ctxt->ops->get_segment(ctxt, ctxt->insn.op == INSN_STR ? SEG_TR : SEG_LDTR, &segment);
	return store_word(ctxt, segment.selector);
}

enum emulate_status run_smsw(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_umip(ctxt);

	return status == EMULATE_DONE ? store_word(ctxt, ctxt->ops->get_cr(ctxt, 0)) : status;
}

enum emulate_status run_lldt(struct emulate_ctxt *ctxt)
{
	u16 selector = ctxt->src.value;
	struct emulate_segment segment = { .selector = selector };
	struct descriptor descriptor;
	enum emulate_status status;

	if (selector & ~3) {
		if (selector & 4)
			return raise_selector(ctxt, VECTOR_GP, selector);
		status =
			need_descriptor(ctxt, selector, in_long_mode(ctxt), VECTOR_GP, &descriptor);
		if (status != EMULATE_DONE)
			return status;
		segment = unpack_descriptor(&descriptor);
		if ((segment.attributes & (SEG_S | SEG_TYPE)) != SYSTEM_LDT ||
		    (in_long64(ctxt) && !is_canonical(ctxt, segment.base)))
			return raise_selector(ctxt, VECTOR_GP, selector);
		if (!(segment.attributes & SEG_P))
			return raise_selector(ctxt, VECTOR_NP, selector);
	}
	return ctxt->ops->set_segment(ctxt, SEG_LDTR, &segment);
}

enum emulate_status run_ltr(struct emulate_ctxt *ctxt)
{
	bool long_mode = in_long_mode(ctxt);
	u16 selector = ctxt->src.value, type;
	struct emulate_segment segment;
	struct descriptor descriptor;
	enum emulate_status status;

	if (!(selector & ~3))
		return raise_gp0(ctxt);
	if (selector & 4)
		return raise_selector(ctxt, VECTOR_GP, selector);
	status = need_descriptor(ctxt, selector, long_mode, VECTOR_GP, &descriptor);
	if (status != EMULATE_DONE)
		return status;
	segment = unpack_descriptor(&descriptor);
	type = segment.attributes & (SEG_S | SEG_TYPE);
	if ((type != SYSTEM_TSS && (long_mode || type != SYSTEM_TSS16)) ||
	    (long_mode && !is_canonical(ctxt, segment.base)))
		return raise_selector(ctxt, VECTOR_GP, selector);
	if (!(segment.attributes & SEG_P))
		return raise_selector(ctxt, VECTOR_NP, selector);
	status = mark_descriptor(ctxt, &descriptor, &segment, SYSTEM_BUSY);
	return status == EMULATE_DONE ? ctxt->ops->set_segment(ctxt, SEG_TR, &segment) : status;
}

static enum emulate_table_register table_of_op(unsigned int op)
{
	return op == INSN_SGDT || op == INSN_LGDT ? TABLE_GDT : TABLE_IDT;
}

enum emulate_status run_store_table(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_umip(ctxt);
	struct emulate_table table;
	u8 image[10];

	if (status != EMULATE_DONE)
		return status;
	ctxt->ops->get_table(ctxt, table_of_op(ctxt->insn.op), &table);
	memcpy(image, &table.limit, 2);
	memcpy(image + 2, &table.base, 8);
	return write_segment(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), image,
			     2 + ctxt->insn.operand_size);
}

/* With a 16-bit operand size only 24 bits of the base count. */
enum emulate_status run_load_table(struct emulate_ctxt *ctxt)
{
	bool prefixed = ctxt->insn.prefixes & PREFIX_OPSIZE;
	struct emulate_table table = { 0 };
	enum emulate_status status;
	u8 image[10];

	status = read_segment(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), image,
			      2 + ctxt->insn.operand_size);
	if (status != EMULATE_DONE)
		return status;
	memcpy(&table.limit, image, 2);
	memcpy(&table.base, image + 2, ctxt->insn.operand_size);
	if (in_long64(ctxt)) {
		if (!is_canonical(ctxt, table.base))
			return raise_gp0(ctxt);
	} else if (prefixed == (ctxt->mode == EMULATE_PROT32)) {
		table.base &= 0xffffff;
	}
	ctxt->ops->set_table(ctxt, table_of_op(ctxt->insn.op), &table);
	return EMULATE_DONE;
}
