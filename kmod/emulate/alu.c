// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arithmetic that the real CPU does for us: the guest's status flags are loaded, the instruction
 * itself runs on the operands, and the flags are read back. So results and flags are right by
 * construction, undefined flags included.
 *
 * The flags travel in AX: AH as LAHF and SAHF have it, AL holds OF. Adding 7Fh to AL sets OF again.
 */
#include "internal.h"

static inline u16 pack_flags(u64 rflags)
{
	return (rflags & 0xd5) << 8 | (rflags & FLAG_OF ? 1 : 0);
}

static inline u64 unpack_flags(u64 rflags, u16 packed)
{
	return (rflags & ~FLAGS_STATUS) | (packed >> 8 & 0xd5) | (packed & 1 ? FLAG_OF : 0);
}

#define NATIVE(insn_, flags_, ...)                                       \
	asm("addb $0x7f, %%al\n\tsahf\n\t" insn_ "\n\tlahf\n\tseto %%al" \
	    : "+&a"(flags_), __VA_ARGS__                                 \
	    : "cc")

/* dst op= src */
#define BINARY(name_, mnemonic_)                                                            \
	static void native_##name_(u16 *flags, u64 *dst, u64 src, unsigned int size)        \
	{                                                                                   \
		u16 ax = *flags;                                                            \
		u64 d = *dst;                                                               \
		if (size == 1)                                                              \
			NATIVE(mnemonic_ "b %b[s], %b[d]", ax, [d] "+r"(d) : [s] "r"(src)); \
		else if (size == 2)                                                         \
			NATIVE(mnemonic_ "w %w[s], %w[d]", ax, [d] "+r"(d) : [s] "r"(src)); \
		else if (size == 4)                                                         \
			NATIVE(mnemonic_ "l %k[s], %k[d]", ax, [d] "+r"(d) : [s] "r"(src)); \
		else                                                                        \
			NATIVE(mnemonic_ "q %[s], %[d]", ax, [d] "+r"(d) : [s] "r"(src));   \
		*flags = ax;                                                                \
		*dst = d;                                                                   \
	}

/* dst is shifted or rotated by CL */
#define SHIFT(name_, mnemonic_)                                                        \
	static void native_##name_(u16 *flags, u64 *dst, u64 src, unsigned int size)   \
	{                                                                              \
		u16 ax = *flags;                                                       \
		u64 d = *dst;                                                          \
		if (size == 1)                                                         \
			NATIVE(mnemonic_ "b %%cl, %b[d]", ax, [d] "+r"(d) : "c"(src)); \
		else if (size == 2)                                                    \
			NATIVE(mnemonic_ "w %%cl, %w[d]", ax, [d] "+r"(d) : "c"(src)); \
		else if (size == 4)                                                    \
			NATIVE(mnemonic_ "l %%cl, %k[d]", ax, [d] "+r"(d) : "c"(src)); \
		else                                                                   \
			NATIVE(mnemonic_ "q %%cl, %[d]", ax, [d] "+r"(d) : "c"(src));  \
		*flags = ax;                                                           \
		*dst = d;                                                              \
	}

#define UNARY(name_, mnemonic_)                                             \
	static void native_##name_(u16 *flags, u64 *dst, unsigned int size) \
	{                                                                   \
		u16 ax = *flags;                                            \
		u64 d = *dst;                                               \
		if (size == 1)                                              \
			NATIVE(mnemonic_ "b %b[d]", ax, [d] "+r"(d) :);     \
		else if (size == 2)                                         \
			NATIVE(mnemonic_ "w %w[d]", ax, [d] "+r"(d) :);     \
		else if (size == 4)                                         \
			NATIVE(mnemonic_ "l %k[d]", ax, [d] "+r"(d) :);     \
		else                                                        \
			NATIVE(mnemonic_ "q %[d]", ax, [d] "+r"(d) :);      \
		*flags = ax;                                                \
		*dst = d;                                                   \
	}

/* No byte form. */
#define BINARY_WIDE(name_, mnemonic_)                                                       \
	static void native_##name_(u16 *flags, u64 *dst, u64 src, unsigned int size)        \
	{                                                                                   \
		u16 ax = *flags;                                                            \
		u64 d = *dst;                                                               \
		if (size == 2)                                                              \
			NATIVE(mnemonic_ "w %w[s], %w[d]", ax, [d] "+r"(d) : [s] "r"(src)); \
		else if (size == 4)                                                         \
			NATIVE(mnemonic_ "l %k[s], %k[d]", ax, [d] "+r"(d) : [s] "r"(src)); \
		else                                                                        \
			NATIVE(mnemonic_ "q %[s], %[d]", ax, [d] "+r"(d) : [s] "r"(src));   \
		*flags = ax;                                                                \
		*dst = d;                                                                   \
	}

#define DOUBLE_SHIFT(name_, mnemonic_)                                                         \
	static void native_##name_(u16 *flags, u64 *dst, u64 src, u8 count, unsigned int size) \
	{                                                                                      \
		u16 ax = *flags;                                                               \
		u64 d = *dst;                                                                  \
		if (size == 2)                                                                 \
			NATIVE(mnemonic_ "w %%cl, %w[s], %w[d]", ax, [d] "+r"(d)               \
			       : [s] "r"(src), "c"(count));                                    \
		else if (size == 4)                                                            \
			NATIVE(mnemonic_ "l %%cl, %k[s], %k[d]", ax, [d] "+r"(d)               \
			       : [s] "r"(src), "c"(count));                                    \
		else                                                                           \
			NATIVE(mnemonic_ "q %%cl, %[s], %[d]", ax, [d] "+r"(d)                 \
			       : [s] "r"(src), "c"(count));                                    \
		*flags = ax;                                                                   \
		*dst = d;                                                                      \
	}

BINARY(add, "add")
BINARY(or, "or")
BINARY(adc, "adc")
BINARY(sbb, "sbb")
BINARY(and, "and")
BINARY(sub, "sub")
BINARY(xor, "xor")
BINARY(cmp, "cmp")
BINARY(test, "test")
SHIFT(rol, "rol")
SHIFT(ror, "ror")
SHIFT(rcl, "rcl")
SHIFT(rcr, "rcr")
SHIFT(shl, "shl")
SHIFT(shr, "shr")
SHIFT(sar, "sar")
UNARY(not, "not")
UNARY(neg, "neg")
UNARY(inc, "inc")
UNARY(dec, "dec")
BINARY_WIDE(imul, "imul")
BINARY_WIDE(bt, "bt")
BINARY_WIDE(bts, "bts")
BINARY_WIDE(btr, "btr")
BINARY_WIDE(btc, "btc")
BINARY_WIDE(bsf, "bsf")
BINARY_WIDE(bsr, "bsr")
DOUBLE_SHIFT(shld, "shld")
DOUBLE_SHIFT(shrd, "shrd")

static void run_shift(unsigned int op, u16 *flags, u64 *dst, u64 src, unsigned int size)
{
	switch (op) {
	case INSN_ROL:
		return native_rol(flags, dst, src, size);
	case INSN_ROR:
		return native_ror(flags, dst, src, size);
	case INSN_RCL:
		return native_rcl(flags, dst, src, size);
	case INSN_RCR:
		return native_rcr(flags, dst, src, size);
	case INSN_SHR:
		return native_shr(flags, dst, src, size);
	case INSN_SAR:
		return native_sar(flags, dst, src, size);
	default: /* SHL and its alias SAL */
		return native_shl(flags, dst, src, size);
	}
}

static void run_binary(unsigned int op, u16 *flags, u64 *dst, u64 src, unsigned int size)
{
	switch (op) {
	case INSN_ADD:
		return native_add(flags, dst, src, size);
	case INSN_OR:
		return native_or(flags, dst, src, size);
	case INSN_ADC:
		return native_adc(flags, dst, src, size);
	case INSN_SBB:
		return native_sbb(flags, dst, src, size);
	case INSN_AND:
		return native_and(flags, dst, src, size);
	case INSN_SUB:
		return native_sub(flags, dst, src, size);
	case INSN_XOR:
		return native_xor(flags, dst, src, size);
	case INSN_CMP:
		return native_cmp(flags, dst, src, size);
	default:
		return native_test(flags, dst, src, size);
	}
}

static void run_bit(unsigned int op, u16 *flags, u64 *dst, u64 src, unsigned int size)
{
	switch (op) {
	case INSN_IMUL:
		return native_imul(flags, dst, src, size);
	case INSN_BT:
		return native_bt(flags, dst, src, size);
	case INSN_BTS:
		return native_bts(flags, dst, src, size);
	case INSN_BTR:
		return native_btr(flags, dst, src, size);
	case INSN_BTC:
		return native_btc(flags, dst, src, size);
	case INSN_BSF:
		return native_bsf(flags, dst, src, size);
	default:
		return native_bsr(flags, dst, src, size);
	}
}

static void run_unary(unsigned int op, u16 *flags, u64 *dst, unsigned int size)
{
	switch (op) {
	case INSN_NOT:
		return native_not(flags, dst, size);
	case INSN_NEG:
		return native_neg(flags, dst, size);
	case INSN_INC:
		return native_inc(flags, dst, size);
	default:
		return native_dec(flags, dst, size);
	}
}

/**
 * alu() - run one arithmetic or logic instruction
 * @op: enum insn_op
 * @rflags: flags before and after
 * @dst: first operand and result
 * @src: second operand or shift count
 * @size: operand size in bytes
 */
void alu(unsigned int op, u64 *rflags, u64 *dst, u64 src, unsigned int size)
{
	u16 flags = pack_flags(*rflags);

	if (op <= INSN_CMP || op == INSN_TEST)
		run_binary(op, &flags, dst, src, size);
	else if (op <= INSN_SAR)
		run_shift(op, &flags, dst, src, size);
	else if (op <= INSN_DEC)
		run_unary(op, &flags, dst, size);
	else
		run_bit(op, &flags, dst, src, size);
	*rflags = unpack_flags(*rflags, flags);
}

enum emulate_status run_alu(struct emulate_ctxt *ctxt)
{
	alu(ctxt->insn.op, &ctxt->rflags, &ctxt->dst.value, ctxt->src.value, ctxt->dst.size);
	return EMULATE_DONE;
}

/* With nothing to find the destination is not written at all, not even its upper half. */
enum emulate_status run_bit_scan(struct emulate_ctxt *ctxt)
{
	if (!ctxt->src.value)
		ctxt->dst.type = OPERAND_NONE;
	return run_alu(ctxt);
}

enum emulate_status run_double_shift(struct emulate_ctxt *ctxt)
{
	bool by_cl = !(ctxt->insn.opcode_entry->flags & I_MASK);
	u8 count = by_cl ? ctxt->gpr[GPR_RCX] : ctxt->insn.imm;
	u16 flags = pack_flags(ctxt->rflags);

	if (ctxt->insn.op == INSN_SHLD)
		native_shld(&flags, &ctxt->dst.value, ctxt->src.value, count, ctxt->dst.size);
	else
		native_shrd(&flags, &ctxt->dst.value, ctxt->src.value, count, ctxt->dst.size);
	ctxt->rflags = unpack_flags(ctxt->rflags, flags);
	return EMULATE_DONE;
}

/* IMUL with three operands: destination = source times immediate. */
enum emulate_status run_imul(struct emulate_ctxt *ctxt)
{
	if (ctxt->insn.opcode_entry->flags & I_MASK)
		ctxt->dst.value = ctxt->insn.imm;
	alu(INSN_IMUL, &ctxt->rflags, &ctxt->dst.value, ctxt->src.value, ctxt->dst.size);
	return EMULATE_DONE;
}

/*
 * BT, BTS, BTR, BTC. With a bit number in a register and memory as the other operand, the number
 * reaches beyond the operand: the memory accessed moves with it.
 */
enum emulate_status run_bit_test(struct emulate_ctxt *ctxt)
{
	struct emulate_insn *insn = &ctxt->insn;
	u32 flags = insn->opcode_entry->flags;
	enum emulate_status status;
	s64 units;

	if (!insn->memory || ctxt->src.type == OPERAND_VALUE) {
		status = load_operand(ctxt, &ctxt->dst, O_E, flags);
	} else {
		s64 disp = insn->disp;

		units = (s64)sign_extend(ctxt->src.value, insn->operand_size) >>
			(insn->operand_size == 8 ? 6 :
			 insn->operand_size == 4 ? 5 :
						   4);
		insn->disp += units * insn->operand_size;
		status = load_operand(ctxt, &ctxt->dst, O_E, flags);
		insn->disp = disp;
	}
	if (status != EMULATE_DONE)
		return status;
	alu(insn->op, &ctxt->rflags, &ctxt->dst.value, ctxt->src.value, insn->operand_size);
	return EMULATE_DONE;
}
