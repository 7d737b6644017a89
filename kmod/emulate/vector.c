// SPDX-License-Identifier: GPL-2.0-only
/* MMX, SSE and AVX moves: what guests use on MMIO. No arithmetic. */
#include "internal.h"

#define XCR0_SSE_AVX	0x06ull
#define XCR0_SSE_AVX512 0xe6ull

/* A VEX or EVEX prefix: what is above the destination is zeroed. */
static bool is_vex(const struct emulate_ctxt *ctxt)
{
	return ctxt->insn.encoding != ENCODING_LEGACY;
}

/*
 * SDM volume 2, 2.4 and 2.5: exceptions of types 1, 4, 5 and of MMX instructions, as far as control
 * registers go.
 */
static enum emulate_status check_enabled(struct emulate_ctxt *ctxt)
{
	u64 cr0 = ctxt->ops->get_cr(ctxt, 0), cr4 = ctxt->ops->get_cr(ctxt, 4), need;
	bool mmx = ctxt->insn.op == INSN_MMX_MOV || ctxt->insn.op == INSN_MMX_GPR;

	if (is_vex(ctxt)) {
		need = ctxt->insn.encoding == ENCODING_VEX ? XCR0_SSE_AVX : XCR0_SSE_AVX512;
		if (!(cr4 & CR4_OSXSAVE_BIT) ||
		    (ctxt->ops->get_cr(ctxt, EMULATE_XCR0) & need) != need)
			return emulate_raise(ctxt, VECTOR_UD);
	} else if ((cr0 & CR0_EM_BIT) || (!mmx && !(cr4 & CR4_OSFXSR_BIT))) {
		return emulate_raise(ctxt, VECTOR_UD);
	}
	return cr0 & CR0_TS_BIT ? emulate_raise(ctxt, VECTOR_NM) : EMULATE_DONE;
}

/* From register to ModRM.rm? */
static bool is_store(const struct emulate_insn *insn)
{
	if (insn->map != MAP_0F)
		return false;
	switch (insn->opcode) {
	case 0x7e:
		return !(insn->prefixes & PREFIX_REP);
	case 0x11:
	case 0x13:
	case 0x17:
	case 0x29:
	case 0x2b:
	case 0x7f:
	case 0xd6:
	case 0xe7:
		return true;
	default:
		return false;
	}
}

/* Bytes in memory. */
static unsigned int access_size(const struct emulate_insn *insn)
{
	switch (insn->op) {
	case INSN_VMOV_SCALAR:
		return insn->prefixes & PREFIX_REP ? 4 : 8;
	case INSN_VMOV_GPR:
	case INSN_MMX_GPR:
		return insn->rex & REX_W ? 8 : 4;
	case INSN_VMOV_LOW:
	case INSN_VMOV_HIGH:
	case INSN_VMOV_QWORD:
	case INSN_MMX_MOV:
		return 8;
	default:
		return insn->vector_length ? insn->vector_length : 16;
	}
}

static enum emulate_status linearize_operand(struct emulate_ctxt *ctxt, unsigned int size,
					     bool write, u64 *linear)
{
	/* before anything else, so that it is #GP for the stack segment too */
	if (ctxt->insn.op == INSN_VMOV_ALIGNED && (emulate_linear_address(ctxt) & (size - 1)))
		return raise_gp0(ctxt);
	return linearize(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), size, write,
			 linear);
}

static enum emulate_status load(struct emulate_ctxt *ctxt, void *buf, unsigned int size)
{
	enum emulate_status status;
	u64 linear;

	status = linearize_operand(ctxt, size, false, &linear);
	return status == EMULATE_DONE ? ctxt->ops->read(ctxt, linear, buf, size, 0) : status;
}

static enum emulate_status store(struct emulate_ctxt *ctxt, const void *buf, unsigned int size)
{
	enum emulate_status status;
	u64 linear;

	status = linearize_operand(ctxt, size, true, &linear);
	return status == EMULATE_DONE ? ctxt->ops->write(ctxt, linear, buf, size, 0) : status;
}

/* Whole registers, whatever the alignment. */
static enum emulate_status move_whole(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	unsigned int size = access_size(insn), from = insn->reg, to = insn->rm;
	enum emulate_status status;
	u8 value[64];

	if (!is_store(insn)) {
		from = insn->rm;
		to = insn->reg;
		if (insn->memory) {
			status = load(ctxt, value, size);
			return status == EMULATE_DONE ?
				       ctxt->ops->set_vector(ctxt, to, value, size, is_vex(ctxt)) :
				       status;
		}
	}
	status = ctxt->ops->get_vector(ctxt, from, value, size);
	if (status != EMULATE_DONE)
		return status;
	return insn->memory ? store(ctxt, value, size) :
			      ctxt->ops->set_vector(ctxt, to, value, size, is_vex(ctxt));
}

enum emulate_status run_vmov(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_enabled(ctxt);

	return status == EMULATE_DONE ? move_whole(ctxt) : status;
}

/*
 * Between registers a scalar is merged into the destination, or with VEX into a third register's
 * copy.
 */
static enum emulate_status merge_scalar(struct emulate_ctxt *ctxt, unsigned int size)
{
	const struct emulate_insn *insn = &ctxt->insn;
	unsigned int to = is_store(insn) ? insn->rm : insn->reg,
		     from = is_store(insn) ? insn->reg : insn->rm;
	enum emulate_status status;
	u8 value[16], low[16];

	status = ctxt->ops->get_vector(ctxt, is_vex(ctxt) ? insn->vvvv : to, value, 16);
	if (status == EMULATE_DONE)
		status = ctxt->ops->get_vector(ctxt, from, low, 16);
	if (status != EMULATE_DONE)
		return status;
	memcpy(value, low, size);
	return ctxt->ops->set_vector(ctxt, to, value, 16, is_vex(ctxt));
}

enum emulate_status run_vmov_scalar(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status = check_enabled(ctxt);
	unsigned int size = access_size(insn);
	u8 value[16] = { 0 };

	if (status != EMULATE_DONE)
		return status;
	if (!insn->memory)
		return merge_scalar(ctxt, size);
	if (!is_store(insn)) {
		status = load(ctxt, value, size);
		return status == EMULATE_DONE ?
			       ctxt->ops->set_vector(ctxt, insn->reg, value, 16, is_vex(ctxt)) :
			       status;
	}
	status = ctxt->ops->get_vector(ctxt, insn->reg, value, size);
	return status == EMULATE_DONE ? store(ctxt, value, size) : status;
}

/* MOVLPS, MOVHPS and the like: half a register; the other half is kept. */
enum emulate_status run_vmov_half(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status = check_enabled(ctxt);
	u8 value[16], *half = insn->op == INSN_VMOV_HIGH ? value + 8 : value;

	if (status == EMULATE_DONE)
		status = ctxt->ops->get_vector(ctxt, insn->reg, value, 16);
	if (status != EMULATE_DONE)
		return status;
	if (is_store(insn))
		return store(ctxt, half, 8);
	status = load(ctxt, half, 8);
	return status == EMULATE_DONE ? ctxt->ops->set_vector(ctxt, insn->reg, value, 16, false) :
					status;
}

/* MOVD and MOVQ between a vector register's low part and a general register or memory. */
enum emulate_status run_vmov_gpr(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	bool mmx = insn->op == INSN_MMX_GPR;
	unsigned int vector = mmx ? EMULATE_MMX + (insn->reg & 7) : insn->reg,
		     size = access_size(insn);
	enum emulate_status status = check_enabled(ctxt);
	u64 value[2] = { 0 };

	if (status != EMULATE_DONE)
		return status;
	if (is_store(insn)) {
		status = ctxt->ops->get_vector(ctxt, vector, value, 8);
		if (status != EMULATE_DONE)
			return status;
		if (insn->memory)
			return store(ctxt, value, size);
		write_gpr(ctxt, insn->rm, size, value[0]);
		return EMULATE_DONE;
	}
	if (insn->memory)
		status = load(ctxt, value, size);
	else
		value[0] = read_gpr(ctxt, insn->rm, size);
	return status == EMULATE_DONE ?
		       ctxt->ops->set_vector(ctxt, vector, value, mmx ? 8 : 16, is_vex(ctxt)) :
		       status;
}

/* MOVQ between vector registers and memory: a register destination is zero-extended. */
enum emulate_status run_vmov_qword(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	unsigned int from = is_store(insn) ? insn->reg : insn->rm,
		     to = is_store(insn) ? insn->rm : insn->reg;
	enum emulate_status status = check_enabled(ctxt);
	u64 value[2] = { 0 };

	if (status != EMULATE_DONE)
		return status;
	if (insn->memory && !is_store(insn))
		status = load(ctxt, value, 8);
	else
		status = ctxt->ops->get_vector(ctxt, from, value, 8);
	if (status != EMULATE_DONE)
		return status;
	if (insn->memory && is_store(insn))
		return store(ctxt, value, 8);
	return ctxt->ops->set_vector(ctxt, to, value, 16, is_vex(ctxt));
}

/* MOVQ and MOVNTQ of MMX registers. */
enum emulate_status run_mmx_mov(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	unsigned int reg = EMULATE_MMX + (insn->reg & 7), rm = EMULATE_MMX + (insn->rm & 7);
	enum emulate_status status = check_enabled(ctxt);
	u64 value;

	if (status != EMULATE_DONE)
		return status;
	if (is_store(insn)) {
		status = ctxt->ops->get_vector(ctxt, reg, &value, 8);
		if (status != EMULATE_DONE)
			return status;
		return insn->memory ? store(ctxt, &value, 8) :
				      ctxt->ops->set_vector(ctxt, rm, &value, 8, false);
	}
	if (insn->memory)
		status = load(ctxt, &value, 8);
	else
		status = ctxt->ops->get_vector(ctxt, rm, &value, 8);
	return status == EMULATE_DONE ? ctxt->ops->set_vector(ctxt, reg, &value, 8, false) : status;
}

/* VZEROUPPER, and with VEX.L VZEROALL. */
enum emulate_status run_vzero(struct emulate_ctxt *ctxt)
{
	unsigned int count = in_long64(ctxt) ? 16 : 8, reg;
	enum emulate_status status = check_enabled(ctxt);
	u8 value[16] = { 0 };

	for (reg = 0; reg < count && status == EMULATE_DONE; reg++) {
		if (ctxt->insn.vector_length == 16)
			status = ctxt->ops->get_vector(ctxt, reg, value, 16);
		if (status == EMULATE_DONE)
			status = ctxt->ops->set_vector(ctxt, reg, value, 16, true);
	}
	return status;
}
