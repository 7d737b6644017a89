// SPDX-License-Identifier: GPL-2.0-only
/* From bytes to struct emulate_insn. */
#include "internal.h"

#define PAGE_BYTES 4096u

/* insn.base and insn.index of 16-bit addressing, by ModRM.rm */
static const u8 base16[8] = {
	GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX
};
static const u8 index16[8] = {
	GPR_RSI,	  GPR_RDI,	    GPR_RSI,	      GPR_RDI,
	INSN_NO_REGISTER, INSN_NO_REGISTER, INSN_NO_REGISTER, INSN_NO_REGISTER,
};

enum emulate_status emulate_raise(struct emulate_ctxt *ctxt, u8 vector)
{
	ctxt->fault = (struct emulate_fault){ .vector = vector };
	return EMULATE_FAULT;
}

enum emulate_status emulate_raise_error(struct emulate_ctxt *ctxt, u8 vector, u32 error)
{
	ctxt->fault = (struct emulate_fault){ .vector = vector, .has_error = true, .error = error };
	return EMULATE_FAULT;
}

/*
 * Where the next byte to fetch is, and how many may be fetched there at once without leaving page
 * or segment.
 */
static enum emulate_status fetch_window(struct emulate_ctxt *ctxt, u64 *linear, unsigned int *len)
{
	u64 offset = ctxt->rip + ctxt->n_bytes;
	struct emulate_segment cs;
	unsigned int page_left;

	*len = EMULATE_MAX_LENGTH - ctxt->n_bytes;
	if (in_long64(ctxt)) {
		if (!is_canonical(ctxt, offset))
			return emulate_raise_error(ctxt, VECTOR_GP, 0);
		*linear = offset;
	} else {
		ctxt->ops->get_segment(ctxt, SEG_CS, &cs);
		if (offset > cs.limit)
			return emulate_raise_error(ctxt, VECTOR_GP, 0);
		if (cs.limit - offset < *len - 1)
			*len = cs.limit - offset + 1;
		*linear = (u32)(cs.base + offset);
	}
	page_left = PAGE_BYTES - (*linear & (PAGE_BYTES - 1));
	if (*len > page_left)
		*len = page_left;
	return EMULATE_DONE;
}

static enum emulate_status fetch_more(struct emulate_ctxt *ctxt, unsigned int end)
{
	unsigned int want = end > EMULATE_MAX_LENGTH ? EMULATE_MAX_LENGTH : end;
	enum emulate_status status;
	unsigned int len;
	u64 linear;

	while (ctxt->n_bytes < want) {
		status = fetch_window(ctxt, &linear, &len);
		if (status != EMULATE_DONE)
			return status;
		status = ctxt->ops->fetch(ctxt, linear, ctxt->bytes + ctxt->n_bytes, len);
		if (status != EMULATE_DONE)
			return status;
		ctxt->n_bytes += len;
	}
	return end > want ? emulate_raise_error(ctxt, VECTOR_GP, 0) : EMULATE_DONE;
}

/* Make bytes [length, length + count) of the instruction present. */
static inline enum emulate_status need(struct emulate_ctxt *ctxt, unsigned int count)
{
	unsigned int end = ctxt->insn.length + count;

	if (likely(end <= ctxt->n_bytes))
		return EMULATE_DONE;
	return fetch_more(ctxt, end);
}

/* Take a little-endian number of 1, 2, 4 or 8 bytes; zero-extended. */
static enum emulate_status take(struct emulate_ctxt *ctxt, unsigned int size, u64 *value)
{
	enum emulate_status status = need(ctxt, size);
	u64 raw;

	if (unlikely(status != EMULATE_DONE))
		return status;
	memcpy(&raw, ctxt->bytes + ctxt->insn.length, sizeof(raw));
	ctxt->insn.length += size;
	*value = raw & size_mask(size);
	return EMULATE_DONE;
}

static inline enum emulate_status take_byte(struct emulate_ctxt *ctxt, u8 *byte)
{
	u8 at = ctxt->insn.length;

	if (unlikely(at >= ctxt->n_bytes)) {
		enum emulate_status status = fetch_more(ctxt, at + 1);

		if (status != EMULATE_DONE)
			return status;
	}
	*byte = ctxt->bytes[at];
	ctxt->insn.length = at + 1;
	return EMULATE_DONE;
}

static void note_prefix(struct emulate_ctxt *ctxt, u8 byte)
{
	struct emulate_insn *insn = &ctxt->insn;

	switch (byte) {
	case 0x66:
		insn->prefixes |= PREFIX_OPSIZE;
		break;
	case 0x67:
		insn->prefixes |= PREFIX_ADSIZE;
		break;
	case 0xf0:
		insn->prefixes |= PREFIX_LOCK;
		break;
	case 0xf2:
		insn->prefixes = (insn->prefixes & ~PREFIX_REP) | PREFIX_REPNE;
		break;
	case 0xf3:
		insn->prefixes = (insn->prefixes & ~PREFIX_REPNE) | PREFIX_REP;
		break;
	case 0x64:
	case 0x65:
		insn->segment = byte - 0x64 + SEG_FS;
		insn->prefixes |= PREFIX_SEGMENT;
		break;
	default: /* 26, 2e, 36, 3e: ES, CS, SS, DS; without effect in 64-bit mode */
		if (!in_long64(ctxt)) {
			insn->segment = (byte >> 3) & 3;
			insn->prefixes |= PREFIX_SEGMENT;
		}
	}
}

/* Take prefixes, REX and the first opcode byte. */
static enum emulate_status take_prefixes(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	u8 byte;

	for (;;) {
		status = take_byte(ctxt, &byte);
		if (unlikely(status != EMULATE_DONE))
			return status;
		if (in_long64(ctxt) && (byte & 0xf0) == 0x40) {
			insn->rex = byte & 0xf;
			insn->prefixes |= PREFIX_REX;
			continue;
		}
		if (likely(!(opcodes_one[byte].flags & F_PREFIX)))
			break;
		/* REX counts only right before the opcode */
		if (unlikely(insn->prefixes & PREFIX_REX)) {
			insn->rex = 0;
			insn->prefixes &= ~PREFIX_REX;
		}
		note_prefix(ctxt, byte);
	}
	insn->opcode = byte;
	return EMULATE_DONE;
}

static void set_sizes(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	bool small = insn->prefixes & PREFIX_OPSIZE;

	if (in_long64(ctxt)) {
		insn->address_size = insn->prefixes & PREFIX_ADSIZE ? 4 : 8;
		insn->operand_size = insn->rex & REX_W ? 8 : small ? 2 : 4;
		return;
	}
	if (ctxt->mode == EMULATE_PROT32) {
		insn->address_size = insn->prefixes & PREFIX_ADSIZE ? 2 : 4;
		insn->operand_size = small ? 2 : 4;
	} else {
		insn->address_size = insn->prefixes & PREFIX_ADSIZE ? 4 : 2;
		insn->operand_size = small ? 4 : 2;
	}
}

static void set_operand_size(struct emulate_ctxt *ctxt, u32 flags)
{
	struct emulate_insn *insn = &ctxt->insn;

	if (flags & F_BYTE)
		insn->operand_size = 1;
	else if (flags & F_NATIVE)
		insn->operand_size = in_long64(ctxt) ? 8 : 4;
	else if ((flags & F_DEF64) && in_long64(ctxt) && insn->operand_size == 4)
		insn->operand_size = 8;
	else if ((flags & F_NEAR) && in_long64(ctxt) && (!ctxt->amd || insn->operand_size == 4))
		insn->operand_size = 8;
}

/* Of 1, 2 or 4 bytes, as @size is known where this is called. */
static __always_inline enum emulate_status take_displacement(struct emulate_ctxt *ctxt,
							     unsigned int size)
{
	enum emulate_status status = need(ctxt, size);
	const u8 *at = ctxt->bytes + ctxt->insn.length;
	s32 four;
	s16 two;

	if (unlikely(status != EMULATE_DONE))
		return status;
	memcpy(&four, at, sizeof(four));
	memcpy(&two, at, sizeof(two));
	ctxt->insn.disp = size == 4 ? four : size == 2 ? two : (s8)*at;
	ctxt->insn.length += size;
	return EMULATE_DONE;
}

static noinline enum emulate_status take_memory16(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;

	insn->index = index16[rm];
	if (mod == 0 && rm == 6)
		return take_displacement(ctxt, 2);
	insn->base = base16[rm];
	if (insn->base == GPR_RBP && !(insn->prefixes & PREFIX_SEGMENT))
		insn->segment = SEG_SS;
	if (mod == 2)
		return take_displacement(ctxt, 2);
	return mod ? take_displacement(ctxt, 1) : EMULATE_DONE;
}

static noinline enum emulate_status take_sib(struct emulate_ctxt *ctxt, unsigned int mod)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	u8 sib;

	status = take_byte(ctxt, &sib);
	if (unlikely(status != EMULATE_DONE))
		return status;
	insn->scale = sib >> 6;
	insn->index = ((sib >> 3) & 7) | (insn->rex & REX_X) << 2;
	if (insn->index == GPR_RSP)
		insn->index = INSN_NO_REGISTER;
	insn->base = sib & 7;
	if (insn->base == GPR_RBP && mod == 0)
		insn->base = INSN_NO_REGISTER;
	return EMULATE_DONE;
}

static __always_inline enum emulate_status take_memory(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	unsigned int mod = insn->modrm >> 6;
	enum emulate_status status;

	insn->base = insn->modrm & 7;
	if (insn->base == GPR_RSP) {
		status = take_sib(ctxt, mod);
		if (unlikely(status != EMULATE_DONE))
			return status;
	} else if (insn->base == GPR_RBP && mod == 0) {
		insn->base = in_long64(ctxt) ? INSN_BASE_RIP : INSN_NO_REGISTER;
	}
	/* Without a base there is a displacement of 4 bytes. */
	if (insn->base >= 8)
		return take_displacement(ctxt, 4);
	if ((insn->base == GPR_RSP || insn->base == GPR_RBP) && !(insn->rex & REX_B) &&
	    !(insn->prefixes & PREFIX_SEGMENT))
		insn->segment = SEG_SS;
	insn->base |= (insn->rex & REX_B) << 3;
	if (mod == 2)
		return take_displacement(ctxt, 4);
	return mod == 1 ? take_displacement(ctxt, 1) : EMULATE_DONE;
}

/* Split ModRM, taken already, and take what belongs to a memory operand. */
static __always_inline enum emulate_status take_operand(struct emulate_ctxt *ctxt, u32 flags)
{
	struct emulate_insn *insn = &ctxt->insn;

	insn->reg |= ((insn->modrm >> 3) & 7) | (insn->rex & REX_R) << 1;
	if (insn->modrm >= 0xc0 || (flags & F_RMREG)) {
		insn->rm = (insn->modrm & 7) | (insn->rex & REX_B) << 3;
		return EMULATE_DONE;
	}
	insn->memory = true;
	return insn->address_size == 2 ? take_memory16(ctxt) : take_memory(ctxt);
}

static enum emulate_status take_far(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	u64 selector;

	status = take(ctxt, insn->operand_size, &insn->imm);
	if (status == EMULATE_DONE)
		status = take(ctxt, 2, &selector);
	if (status == EMULATE_DONE)
		insn->imm2 = selector;
	return status;
}

static enum emulate_status take_two(struct emulate_ctxt *ctxt, unsigned int size)
{
	enum emulate_status status;
	u64 second;

	status = take(ctxt, size, &ctxt->insn.imm);
	if (status == EMULATE_DONE)
		status = take(ctxt, 1, &second);
	if (status == EMULATE_DONE)
		ctxt->insn.imm2 = second;
	return status;
}

static enum emulate_status take_immediate(struct emulate_ctxt *ctxt, unsigned int kind)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	unsigned int size = kind == I_8S ? 1 : insn->operand_size == 2 ? 2 : 4;

	if (likely(kind == I_Z || kind == I_8S)) {
		status = take(ctxt, size, &insn->imm);
		insn->imm = sign_extend(insn->imm, size);
		return status;
	}
	switch (kind) {
	case I_8:
		return take(ctxt, 1, &insn->imm);
	case I_16:
		return take(ctxt, 2, &insn->imm);
	case I_V:
		return take(ctxt, insn->operand_size, &insn->imm);
	case I_MOFFS:
		insn->memory = true;
		status = take(ctxt, insn->address_size, &insn->imm);
		insn->disp = (s64)insn->imm;
		return status;
	case I_FAR:
		return take_far(ctxt);
	case I_16_8:
		return take_two(ctxt, 2);
	case I_8_8:
		return take_two(ctxt, 1);
	default:
		return take(ctxt, 4, &insn->imm);
	}
}

/* Number of the mandatory prefix: none, 66, F3, F2. */
static unsigned int mandatory_prefix(const struct emulate_insn *insn)
{
	if (insn->prefixes & PREFIX_REPNE)
		return 3;
	if (insn->prefixes & PREFIX_REP)
		return 2;
	return insn->prefixes & PREFIX_OPSIZE ? 1 : 0;
}

/* Follow groups to the entry itself; ModRM has been taken. */
static const struct opcode *resolve(const struct emulate_insn *insn, const struct opcode *entry)
{
	while (entry->flags & F_GROUP) {
		const struct opcode *group = opcode_groups[entry->op];

		if (likely(entry->dst == BY_REG)) {
			entry = &group[(insn->modrm >> 3) & 7];
			continue;
		}
		switch (entry->dst) {
		case BY_RM:
			entry = &group[insn->modrm & 7];
			break;
		case BY_MOD:
			entry = &group[insn->modrm >= 0xc0];
			break;
		default:
			entry = &group[mandatory_prefix(insn)];
		}
	}
	return entry;
}

static bool fpu_exists(const struct emulate_insn *insn)
{
	unsigned int opcode = insn->opcode & 7;

	if (!insn->modrm)
		return true;
	if (insn->modrm >= 0xc0)
		return fpu_register_forms[opcode] >> (insn->modrm - 0xc0) & 1;
	return fpu_memory_forms[opcode] >> ((insn->modrm >> 3) & 7) & 1;
}

/* The last byte of a 3DNow! instruction is its opcode. */
static bool suffix_exists(const struct emulate_insn *insn)
{
	static const u8 known[] = {
		0x0c, 0x0d, 0x1c, 0x1d, 0x8a, 0x8e, 0x90, 0x94, 0x96, 0x97, 0x9a, 0x9e,
		0xa0, 0xa4, 0xa6, 0xa7, 0xaa, 0xae, 0xb0, 0xb4, 0xb6, 0xb7, 0xbb, 0xbf,
	};
	unsigned int i;

	for (i = 0; i < sizeof(known); i++)
		if (known[i] == insn->imm)
			return true;
	return insn->opcode == 0x0e;
}

/* What tables do not say: segment and control registers, writing CS, 3DNow!, prefetches. */
static bool operand_exists(const struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;

	switch (insn->op) {
	case INSN_MOV_TO_SEG:
		if ((insn->modrm >> 3 & 7) == SEG_CS)
			return false;
		fallthrough;
	case INSN_MOV_FROM_SEG:
		return (insn->modrm >> 3 & 7) <= SEG_GS;
	case INSN_MOV_FROM_CR:
	case INSN_MOV_TO_CR:
		return insn->reg == 0 || (insn->reg >= 2 && insn->reg <= 4) || insn->reg == 8;
	case INSN_MOV_FROM_DR:
	case INSN_MOV_TO_DR:
		return insn->reg < 8;
	case INSN_3DNOW:
		return suffix_exists(insn);
	case INSN_FPU:
		return fpu_exists(insn);
	case INSN_PREFETCH: /* with a register Intel's CPUs take it for a NOP */
		return insn->memory || !ctxt->amd;
	default:
		return true;
	}
}

#define F_CONDITIONS \
	(F_NO64 | F_ONLY64 | F_MEM | F_REG | F_PROT | F_NP | F_MANDATORY | F_CHECK)

/* Does a condition of the entry not hold, or is LOCK not legal? */
static noinline bool condition_fails(const struct emulate_ctxt *ctxt, const struct opcode *entry)
{
	const struct emulate_insn *insn = &ctxt->insn;
	u32 flags = entry->flags;

	if (flags & (in_long64(ctxt) ? F_NO64 : F_ONLY64))
		return true;
	if (flags & (insn->memory ? F_REG : F_MEM))
		return true;
	if ((flags & F_PROT) && !in_protected(ctxt))
		return true;
	if ((flags & F_NP) && mandatory_prefix(insn))
		return true;
	if ((flags & F_MANDATORY) && !(entry->dst >> mandatory_prefix(insn) & 1))
		return true;
	if ((insn->prefixes & PREFIX_LOCK) && !((flags & F_LOCKABLE) && insn->memory))
		return true;
	return (flags & F_CHECK) && !operand_exists(ctxt);
}

/* Would the CPU raise #UD whatever its registers hold? */
static bool is_undefined(const struct emulate_ctxt *ctxt, const struct opcode *entry)
{
	if (ctxt->insn.op == INSN_INVALID)
		return true;
	return unlikely((entry->flags & F_CONDITIONS) || (ctxt->insn.prefixes & PREFIX_LOCK)) &&
	       condition_fails(ctxt, entry);
}

/* ModRM if there is one, the entry that it chooses, sizes, immediate. */
static __always_inline enum emulate_status take_rest(struct emulate_ctxt *ctxt,
						     const struct opcode *entry)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;

	if (entry->flags & F_MODRM) {
		status = take_byte(ctxt, &insn->modrm);
		if (unlikely(status != EMULATE_DONE))
			return status;
		if (entry->flags & F_GROUP)
			entry = resolve(insn, entry);
		status = take_operand(ctxt, entry->flags);
		if (unlikely(status != EMULATE_DONE))
			return status;
	} else if (entry->flags & F_GROUP) {
		entry = resolve(insn, entry);
	}
	insn->op = entry->op;
	insn->opcode_entry = entry;
	if (entry->flags & (F_BYTE | F_NATIVE | F_DEF64 | F_NEAR))
		set_operand_size(ctxt, entry->flags);
	if (entry->flags & I_MASK) {
		status = take_immediate(ctxt, entry->flags & I_MASK);
		if (unlikely(status != EMULATE_DONE))
			return status;
	}
	return is_undefined(ctxt, entry) ? emulate_raise(ctxt, VECTOR_UD) : EMULATE_DONE;
}

/* take_rest() for those in less of a hurry. */
static noinline enum emulate_status take_the_rest(struct emulate_ctxt *ctxt,
						     const struct opcode *entry)
{
	return take_rest(ctxt, entry);
}

static const struct opcode vex_known = { INSN_VEX, O_NONE, O_NONE, F_MODRM };
static const struct opcode vex_known_imm = { INSN_VEX, O_NONE, O_NONE, F_MODRM | I_8 };
static const struct opcode vex_zeroupper = { INSN_VZEROUPPER, O_NONE, O_NONE, F_SSE };
static const struct opcode evex_known = { INSN_EVEX, O_NONE, O_NONE, F_MODRM };
static const struct opcode evex_known_imm = { INSN_EVEX, O_NONE, O_NONE, F_MODRM | I_8 };
static const struct opcode xop_known = { INSN_XOP, O_NONE, O_NONE, F_MODRM };
static const struct opcode xop_known_imm8 = { INSN_XOP, O_NONE, O_NONE, F_MODRM | I_8 };
static const struct opcode xop_known_imm32 = { INSN_XOP, O_NONE, O_NONE, F_MODRM | I_32 };

/* VEX and EVEX agree on which opcodes have an immediate. */
static bool vector_has_immediate(unsigned int map, u8 opcode)
{
	if (map == MAP_0F3A)
		return true;
	if (map != MAP_0F)
		return false;
	return (opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
	       (opcode >= 0xc4 && opcode <= 0xc6);
}

static const struct opcode *find_vex(const struct emulate_insn *insn, unsigned int pp)
{
	unsigned int i;

	for (i = 0; i < vex_opcode_count; i++) {
		const struct vex_opcode *known = &vex_opcodes[i];

		if (known->opcode == insn->opcode && known->map == insn->map && known->pp == pp)
			return &known->entry;
	}
	if (insn->map == MAP_0F && insn->opcode == 0x77)
		return &vex_zeroupper;
	return vector_has_immediate(insn->map, insn->opcode) ? &vex_known_imm : &vex_known;
}

/* A mandatory prefix from VEX.pp, as if it stood there. */
static void set_mandatory_prefix(struct emulate_insn *insn, unsigned int pp)
{
	static const u8 prefix[4] = { 0, PREFIX_OPSIZE, PREFIX_REP, PREFIX_REPNE };

	insn->prefixes |= prefix[pp];
}

/*
 * No legacy prefix but segment overrides and 67 goes with VEX, EVEX and XOP, and none of them works
 * in real mode.
 */
static bool vector_prefix_legal(const struct emulate_ctxt *ctxt)
{
	return in_protected(ctxt) &&
	       !(ctxt->insn.prefixes &
		 (PREFIX_LOCK | PREFIX_REP | PREFIX_REPNE | PREFIX_OPSIZE | PREFIX_REX));
}

/* The last payload byte of VEX and XOP: W vvvv L pp */
static void set_vex_fields(struct emulate_insn *insn, u8 payload)
{
	insn->vvvv = ~payload >> 3 & 0xf;
	insn->vector_length = payload & 4 ? 32 : 16;
	set_mandatory_prefix(insn, payload & 3);
}

static enum emulate_status take_vex(struct emulate_ctxt *ctxt, unsigned int payload_bytes)
{
	struct emulate_insn *insn = &ctxt->insn;
	bool legal = vector_prefix_legal(ctxt);
	const struct opcode *entry;
	enum emulate_status status;
	u8 payload[2];

	status = need(ctxt, payload_bytes + 1);
	if (unlikely(status != EMULATE_DONE))
		return status;
	payload[0] = ctxt->bytes[insn->length++];
	if (payload_bytes == 1) {
		insn->map = MAP_0F;
		insn->rex = payload[0] & 0x80 ? 0 : REX_R;
		payload[1] = payload[0] & 0x7f;
	} else {
		insn->map = payload[0] & 0x1f;
		insn->rex = ~payload[0] >> 5 & (REX_R | REX_X | REX_B);
		payload[1] = ctxt->bytes[insn->length++];
	}
	/* outside 64-bit mode there are eight registers of 32 bits, whatever R, X, B and W say */
	if (!in_long64(ctxt))
		insn->rex = 0;
	else if (payload[1] & 0x80)
		insn->rex |= REX_W;
	insn->opcode = ctxt->bytes[insn->length++];
	insn->encoding = ENCODING_VEX;
	set_vex_fields(insn, payload[1]);
	insn->operand_size = insn->rex & REX_W ? 8 : 4;
	if (!legal || insn->map < MAP_0F || insn->map > MAP_0F3A ||
	    !(vector_opcodes[insn->map - 1][insn->opcode] >> (payload[1] & 3) & 1))
		return emulate_raise(ctxt, VECTOR_UD);
	entry = find_vex(insn, payload[1] & 3);
	status = take_the_rest(ctxt, entry);
	if (status != EMULATE_DONE || insn->op == INSN_VEX)
		return status;
	if (((insn->opcode_entry->flags & F_VEX_L0) && insn->vector_length != 16) ||
	    (!(insn->opcode_entry->flags & F_VEX_V) && insn->vvvv))
		return emulate_raise(ctxt, VECTOR_UD);
	if (insn->op == INSN_VMOV_SCALAR && insn->memory && insn->vvvv)
		return emulate_raise(ctxt, VECTOR_UD);
	/* as a register number its top bit is ignored where there are only eight */
	if (!in_long64(ctxt))
		insn->vvvv &= 7;
	return EMULATE_DONE;
}

static const struct opcode evex_move = { INSN_VMOV, O_NONE, O_NONE, F_MODRM | F_SSE };
static const struct opcode evex_move_aligned = { INSN_VMOV_ALIGNED, O_NONE, O_NONE,
						 F_MODRM | F_SSE };
static const struct opcode evex_move_streaming = { INSN_VMOV_ALIGNED, O_NONE, O_NONE,
						   F_MODRM | F_SSE | F_MEM };

/*
 * Moves of whole registers that the executor knows: without mask, and of one of three lengths. The
 * rest is of known length only. @p: the four payload bytes.
 */
static const struct opcode *find_evex(const struct emulate_insn *insn, const u8 *p)
{
	const struct opcode *other =
		vector_has_immediate(insn->map, insn->opcode) ? &evex_known_imm : &evex_known;
	unsigned int pp = p[1] & 3, w = p[1] >> 7;

	/* vvvv; z, b, V' and the mask; the length */
	if ((p[1] & 0x78) != 0x78 || (p[2] & 0x9f) != 0x08 || (p[2] & 0x60) == 0x60)
		return other;
	if (insn->map == MAP_0F38)
		return insn->opcode == 0x2a && pp == 1 && !w ? &evex_move_streaming : other;
	if (insn->map != MAP_0F)
		return other;
	switch (insn->opcode) {
	case 0x10:
	case 0x11:
		return w == pp ? &evex_move : other;
	case 0x28:
	case 0x29:
		return w == pp ? &evex_move_aligned : other;
	case 0x2b:
		return w == pp ? &evex_move_streaming : other;
	case 0x6f:
	case 0x7f:
		return pp == 1 ? &evex_move_aligned : &evex_move;
	case 0xe7:
		return !w ? &evex_move_streaming : other;
	default:
		return other;
	}
}

/* What EVEX does differently to ModRM: a displacement of one byte is scaled, X extends rm. */
static void finish_evex(struct emulate_insn *insn, const u8 *p)
{
	insn->vector_length = 16u << (p[2] >> 5 & 3);
	if (!insn->memory)
		insn->rm |= insn->rex & REX_X ? 16 : 0;
	else if (insn->modrm >> 6 == 1)
		insn->disp *= insn->vector_length;
}

static enum emulate_status take_evex(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	bool legal = vector_prefix_legal(ctxt);
	enum emulate_status status;
	const u8 *p;

	status = need(ctxt, 4);
	if (unlikely(status != EMULATE_DONE))
		return status;
	p = ctxt->bytes + insn->length;
	insn->length += 4;
	insn->map = p[0] & 7;
	if (in_long64(ctxt)) {
		insn->rex = ~p[0] >> 5 & (REX_R | REX_X | REX_B);
		insn->reg = p[0] & 0x10 ? 0 : 16;
	}
	insn->rex |= p[1] & 0x80 ? REX_W : 0;
	insn->opcode = p[3];
	insn->encoding = ENCODING_EVEX;
	set_mandatory_prefix(insn, p[1] & 3);
	if (!legal || (p[0] & 8) || !(p[1] & 4) || insn->map == 0 || insn->map == 4 ||
	    insn->map > MAP_EVEX6 ||
	    !(vector_opcodes[insn->map - 1][insn->opcode] >> (4 + (p[1] & 3)) & 1))
		return emulate_raise(ctxt, VECTOR_UD);
	status = take_the_rest(ctxt, find_evex(insn, p));
	if (status == EMULATE_DONE && insn->op != INSN_EVEX)
		finish_evex(insn, p);
	return status;
}

static enum emulate_status take_xop(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	bool legal = vector_prefix_legal(ctxt);
	enum emulate_status status;
	const u8 *p;

	status = need(ctxt, 3);
	if (unlikely(status != EMULATE_DONE))
		return status;
	p = ctxt->bytes + insn->length;
	insn->length += 3;
	insn->map = p[0] & 0x1f;
	insn->rex = in_long64(ctxt) ? ~p[0] >> 5 & (REX_R | REX_X | REX_B) : 0;
	insn->opcode = p[2];
	insn->encoding = ENCODING_XOP;
	if (!legal || insn->map > 10 || (p[1] & 3))
		return emulate_raise(ctxt, VECTOR_UD);
	return take_the_rest(ctxt, insn->map == 8 ? &xop_known_imm8 :
			       insn->map == 9 ? &xop_known :
						&xop_known_imm32);
}

/*
 * C4, C5, 62 and 8F are prefixes of vector instructions if what follows cannot be the ModRM of the
 * old instruction: LES, LDS and BOUND want memory, POP wants ModRM.reg clear.
 */
static enum emulate_status take_vector_prefix(struct emulate_ctxt *ctxt, bool *taken)
{
	enum emulate_status status = need(ctxt, 1);
	struct emulate_insn *insn = &ctxt->insn;
	u8 next;

	if (unlikely(status != EMULATE_DONE))
		return status;
	next = ctxt->bytes[insn->length];
	if (insn->opcode == 0x8f)
		*taken = (next & 0x1f) >= 8;
	else
		*taken = in_long64(ctxt) || (in_protected(ctxt) && next >= 0xc0);
	if (!*taken)
		return EMULATE_DONE;
	switch (insn->opcode) {
	case 0x62:
		return take_evex(ctxt);
	case 0x8f:
		return take_xop(ctxt);
	default:
		return take_vex(ctxt, insn->opcode == 0xc4 ? 2 : 1);
	}
}

/* Opcodes after 0F. */
static enum emulate_status take_escape(struct emulate_ctxt *ctxt, const struct opcode **entry)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status = take_byte(ctxt, &insn->opcode);

	insn->map = MAP_0F;
	*entry = &opcodes_0f[insn->opcode];
	/* AMD's way to CR8 outside 64-bit mode: LOCK MOV CR0 */
	if (unlikely(insn->prefixes & PREFIX_LOCK) && ctxt->amd && (insn->opcode & 0xfd) == 0x20 &&
	    !(insn->rex & REX_R)) {
		insn->reg = 8;
		insn->prefixes &= ~PREFIX_LOCK;
	}
	if (likely(!((*entry)->flags & F_ESCAPE)) || status != EMULATE_DONE)
		return status;
	insn->map = insn->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
	status = take_byte(ctxt, &insn->opcode);
	*entry = insn->map == MAP_0F38 ? &opcodes_0f38[insn->opcode] : &opcodes_0f3a[insn->opcode];
	return status;
}

/*
 * Opcodes whose meaning the mode, a prefix or the next byte changes: 62, 63, 8F, 90, C4, C5. Sets
 * *@entry to NULL if a vector prefix was taken, with all that follows it.
 */
static enum emulate_status take_ambiguous(struct emulate_ctxt *ctxt, const struct opcode **entry)
{
	static const struct opcode movsxd = { INSN_MOVSX, O_G, O_EZ, F_MODRM | F_WRITE };
	static const struct opcode nop = { INSN_NOP, O_NONE, O_NONE, 0 };
	static const struct opcode pause = { INSN_PAUSE, O_NONE, O_NONE, 0 };
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	bool vector = false;

	if (insn->opcode == 0x90) {
		/* F3 with REX.B: Intel's CPUs see PAUSE, AMD's XCHG with R8 */
		if ((insn->prefixes & PREFIX_REP) && !(ctxt->amd && (insn->rex & REX_B)))
			*entry = &pause;
		else if (!(insn->rex & REX_B))
			*entry = &nop;
		return EMULATE_DONE;
	}
	if (insn->opcode == 0x63) {
		if (in_long64(ctxt))
			*entry = &movsxd;
		return EMULATE_DONE;
	}
	status = take_vector_prefix(ctxt, &vector);
	if (vector)
		*entry = NULL;
	return status;
}

/* Opcodes of more than one byte, or that the first one leaves open: the rest of the instruction. */
static noinline enum emulate_status take_more(struct emulate_ctxt *ctxt, const struct opcode *entry)
{
	enum emulate_status status;

	if (entry->flags & F_ESCAPE)
		status = take_escape(ctxt, &entry);
	else
		status = take_ambiguous(ctxt, &entry);
	if (status != EMULATE_DONE || !entry)
		return status;
	return take_the_rest(ctxt, entry);
}

/* Word by word: for all at once compilers like a repeated string instruction, which is slow. */
static __always_inline void clear(struct emulate_insn *insn)
{
	insn->opcode_entry = NULL;
	insn->next_rip = 0;
	insn->imm = 0;
	insn->disp = 0;
	memset((u8 *)insn + offsetof(struct emulate_insn, op), 0,
	       sizeof(*insn) - offsetof(struct emulate_insn, op));
	insn->base = INSN_NO_REGISTER;
	insn->index = INSN_NO_REGISTER;
	insn->segment = SEG_DS;
}

enum emulate_status emulate_decode(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	const struct opcode *entry;

	clear(insn);
	status = take_prefixes(ctxt);
	if (unlikely(status != EMULATE_DONE))
		return status;
	set_sizes(ctxt);
	entry = &opcodes_one[insn->opcode];
	if (entry->flags & (F_ESCAPE | F_AMBIGUOUS))
		status = take_more(ctxt, entry);
	else
		status = take_rest(ctxt, entry);
	insn->next_rip = ctxt->rip + insn->length;
	if (!in_long64(ctxt))
		insn->next_rip = (u32)insn->next_rip;
	return status;
}
