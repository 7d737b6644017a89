// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multiply, divide, decimal adjust, and the bit manipulation instructions that not every host CPU
 * has.
 */
#include "internal.h"

struct wide {
	u64 low;
	u64 high;
};

static struct wide multiply(u64 a, u64 b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (struct wide){ .low = (u64)product, .high = (u64)(product >> 64) };
}

static void set_flags(struct emulate_ctxt *ctxt, u64 mask, u64 value)
{
	ctxt->rflags = (ctxt->rflags & ~mask) | (value & mask);
}

static u64 sign_and_zero(u64 value, unsigned int size)
{
	return (value & size_mask(size) ? 0 : FLAG_ZF) |
	       (value >> (8 * size - 1) & 1 ? FLAG_SF : 0);
}

static u64 parity(u64 value)
{
	return __builtin_parity(value & 0xff) ? 0 : FLAG_PF;
}

/* The accumulator pair: AX for bytes, else RDX:RAX. */
static void write_pair(struct emulate_ctxt *ctxt, unsigned int size, u64 low, u64 high)
{
	if (size == 1) {
		write_gpr(ctxt, GPR_RAX, 2, (low & 0xff) | (high & 0xff) << 8);
		return;
	}
	write_gpr(ctxt, GPR_RAX, size, low);
	write_gpr(ctxt, GPR_RDX, size, high);
}

/* MUL and one-operand IMUL. SF, ZF, AF and PF are undefined, and left alone. */
enum emulate_status run_mul(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->src.size;
	u64 a = read_gpr(ctxt, GPR_RAX, size), b = ctxt->src.value, high;
	struct wide product;
	bool overflow;

	if (ctxt->insn.op == INSN_IMUL1) {
		a = sign_extend(a, size);
		b = sign_extend(b, size);
		product = multiply(a, b);
		product.high -= ((s64)a < 0 ? b : 0) + ((s64)b < 0 ? a : 0);
		overflow = product.low != sign_extend(product.low, size) ||
			   product.high != ((s64)product.low < 0 ? ~0ull : 0);
	} else {
		product = multiply(a, b);
		overflow = size == 8 ? product.high : product.low >> (8 * size);
	}
	high = size == 8 ? product.high : product.low >> (8 * size);
	write_pair(ctxt, size, product.low, high);
	set_flags(ctxt, FLAG_CF | FLAG_OF, overflow ? FLAG_CF | FLAG_OF : 0);
	return EMULATE_DONE;
}

/* Needs dividend.high < divisor. */
static u64 divide(struct wide dividend, u64 divisor, u64 *remainder)
{
	u64 quotient;

	asm("divq %[divisor]"
	    : "=a"(quotient), "=d"(*remainder)
	    : "a"(dividend.low), "d"(dividend.high), [divisor] "r"(divisor)
	    : "cc");
	return quotient;
}

static struct wide negate(struct wide value)
{
	value.low = -value.low;
	value.high = ~value.high + (value.low == 0);
	return value;
}

/* The dividend, sign-extended to 128 bits if @is_signed. */
static struct wide read_dividend(const struct emulate_ctxt *ctxt, unsigned int size, bool is_signed)
{
	u64 low = read_gpr(ctxt, GPR_RAX, size == 1 ? 2 : size),
	    high = read_gpr(ctxt, GPR_RDX, size);

	if (size == 8)
		return (struct wide){ .low = low, .high = high };
	if (size != 1)
		low |= high << (8 * size);
	if (is_signed)
		low = sign_extend(low, 2 * size);
	return (struct wide){ .low = low, .high = is_signed && (s64)low < 0 ? ~0ull : 0 };
}

/* DIV and IDIV: on magnitudes; the flags are undefined, and left alone. */
enum emulate_status run_div(struct emulate_ctxt *ctxt)
{
	bool is_signed = ctxt->insn.op == INSN_IDIV;
	unsigned int size = ctxt->src.size;
	struct wide dividend = read_dividend(ctxt, size, is_signed);
	u64 divisor = ctxt->src.value, limit = size_mask(size), quotient, remainder;
	bool negative_dividend = is_signed && (s64)dividend.high < 0;
	bool negative_divisor = is_signed && (s64)sign_extend(divisor, size) < 0;

	if (negative_dividend)
		dividend = negate(dividend);
	if (negative_divisor)
		divisor = -sign_extend(divisor, size);
	if (dividend.high >= divisor)
		return emulate_raise(ctxt, VECTOR_DE);
	quotient = divide(dividend, divisor, &remainder);
	if (is_signed)
		limit = (limit >> 1) + (negative_dividend != negative_divisor);
	if (quotient > limit)
		return emulate_raise(ctxt, VECTOR_DE);
	if (negative_dividend != negative_divisor)
		quotient = -quotient;
	if (negative_dividend)
		remainder = -remainder;
	write_pair(ctxt, size, quotient, remainder);
	return EMULATE_DONE;
}

/* AAA and AAS */
static void ascii_adjust(struct emulate_ctxt *ctxt)
{
	u16 ax = ctxt->gpr[GPR_RAX];
	bool adjust = (ax & 0xf) > 9 || (ctxt->rflags & FLAG_AF);

	if (adjust)
		ax = ctxt->insn.op == INSN_AAA ? ax + 0x106 : ax - 0x106;
	write_gpr(ctxt, GPR_RAX, 2, ax & 0xff0f);
	set_flags(ctxt, FLAG_AF | FLAG_CF, adjust ? FLAG_AF | FLAG_CF : 0);
}

/* DAA and DAS */
static void decimal_adjust(struct emulate_ctxt *ctxt)
{
	bool subtract = ctxt->insn.op == INSN_DAS, carry = ctxt->rflags & FLAG_CF;
	u8 old = ctxt->gpr[GPR_RAX], al = old;
	u64 flags = 0;

	if ((old & 0xf) > 9 || (ctxt->rflags & FLAG_AF)) {
		flags |= FLAG_AF | (carry || (subtract ? old < 6 : old > 0xf9) ? FLAG_CF : 0);
		al = subtract ? al - 6 : al + 6;
	}
	if (old > 0x99 || carry) {
		flags |= FLAG_CF;
		al = subtract ? al - 0x60 : al + 0x60;
	} else if (!subtract) {
		flags &= ~FLAG_CF;
	}
	write_gpr(ctxt, GPR_RAX, 1, al);
	set_flags(ctxt, FLAG_CF | FLAG_AF | FLAG_SF | FLAG_ZF | FLAG_PF,
		  flags | sign_and_zero(al, 1) | parity(al));
}

enum emulate_status run_bcd(struct emulate_ctxt *ctxt)
{
	u8 al = ctxt->gpr[GPR_RAX], ah = ctxt->gpr[GPR_RAX] >> 8, base = ctxt->insn.imm;

	switch (ctxt->insn.op) {
	case INSN_AAA:
	case INSN_AAS:
		ascii_adjust(ctxt);
		return EMULATE_DONE;
	case INSN_DAA:
	case INSN_DAS:
		decimal_adjust(ctxt);
		return EMULATE_DONE;
	case INSN_AAM:
		if (!base)
			return emulate_raise(ctxt, VECTOR_DE);
		ah = al / base;
		al = al % base;
		break;
	default:
		al = al + ah * base;
		ah = 0;
	}
	write_gpr(ctxt, GPR_RAX, 2, al | ah << 8);
	set_flags(ctxt, FLAG_SF | FLAG_ZF | FLAG_PF, sign_and_zero(al, 1) | parity(al));
	return EMULATE_DONE;
}

/* TZCNT, LZCNT: 0 counts as the operand size. */
enum emulate_status run_count_zeros(struct emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->src.size;
	u64 value = ctxt->src.value;

	if (!value)
		ctxt->dst.value = bits;
	else if (ctxt->insn.op == INSN_TZCNT)
		ctxt->dst.value = __builtin_ctzll(value);
	else
		ctxt->dst.value = __builtin_clzll(value) - (64 - bits);
	set_flags(ctxt, FLAG_CF | FLAG_ZF, (value ? 0 : FLAG_CF) | (ctxt->dst.value ? 0 : FLAG_ZF));
	return EMULATE_DONE;
}

enum emulate_status run_popcnt(struct emulate_ctxt *ctxt)
{
	u64 value = ctxt->src.value;
	unsigned int count;

	for (count = 0; value; count++)
		value &= value - 1;
	ctxt->dst.value = count;
	set_flags(ctxt, FLAGS_STATUS, count ? 0 : FLAG_ZF);
	return EMULATE_DONE;
}

/* CRC-32C, bit by bit, least significant first. */
enum emulate_status run_crc32(struct emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->src.size;
	u64 data = ctxt->src.value;
	u32 crc = ctxt->dst.value;

	for (; bits; bits--, data >>= 1)
		crc = crc >> 1 ^ ((crc ^ data) & 1 ? 0x82f63b78 : 0);
	ctxt->dst.value = crc;
	return EMULATE_DONE;
}

enum emulate_status run_adx(struct emulate_ctxt *ctxt)
{
	u64 flag = ctxt->insn.op == INSN_ADCX ? FLAG_CF : FLAG_OF;
	unsigned __int128 sum = (unsigned __int128)ctxt->dst.value + ctxt->src.value +
				(ctxt->rflags & flag ? 1 : 0);

	ctxt->dst.value = (u64)sum;
	set_flags(ctxt, flag, sum >> (8 * ctxt->dst.size) ? flag : 0);
	return EMULATE_DONE;
}

/* BLSR, BLSMSK, BLSI */
enum emulate_status run_lowest_bit(struct emulate_ctxt *ctxt)
{
	u64 value = ctxt->src.value, flags;

	if (ctxt->insn.op == INSN_BLSR)
		ctxt->dst.value = value & (value - 1);
	else if (ctxt->insn.op == INSN_BLSMSK)
		ctxt->dst.value = value ^ (value - 1);
	else
		ctxt->dst.value = value & -value;
	flags = sign_and_zero(ctxt->dst.value, ctxt->dst.size);
	if (!value == (ctxt->insn.op != INSN_BLSI))
		flags |= FLAG_CF;
	set_flags(ctxt, FLAG_CF | FLAG_OF | FLAG_SF | FLAG_ZF, flags);
	return EMULATE_DONE;
}

static u64 vvvv_value(const struct emulate_ctxt *ctxt)
{
	return read_gpr(ctxt, ctxt->insn.vvvv, ctxt->src.size);
}

/* ANDN, BZHI, BEXTR: they set SF and ZF, and clear OF. */
enum emulate_status run_extract(struct emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->src.size, start, len;
	u64 control = vvvv_value(ctxt), value = ctxt->src.value, flags = 0;

	switch (ctxt->insn.op) {
	case INSN_ANDN:
		value &= ~control;
		break;
	case INSN_BZHI:
		len = control & 0xff;
		if (len < bits)
			value &= (1ull << len) - 1;
		else
			flags = FLAG_CF;
		break;
	default:
		start = control & 0xff;
		len = control >> 8 & 0xff;
		value = start < bits ? value >> start : 0;
		if (len < bits)
			value &= (1ull << len) - 1;
	}
	ctxt->dst.value = value;
	flags |= sign_and_zero(value, ctxt->src.size);
	set_flags(ctxt, FLAG_CF | FLAG_OF | FLAG_ZF | FLAG_SF, flags);
	return EMULATE_DONE;
}

/* PEXT gathers the bits of vvvv under the mask, PDEP scatters them. */
enum emulate_status run_gather_bits(struct emulate_ctxt *ctxt)
{
	u64 mask = ctxt->src.value, value = vvvv_value(ctxt), result = 0, bit, place = 1;

	for (; mask; mask &= mask - 1, place <<= 1) {
		bit = mask & -mask;
		if (ctxt->insn.op == INSN_PEXT)
			result |= value & bit ? place : 0;
		else
			result |= value & place ? bit : 0;
	}
	ctxt->dst.value = result;
	return EMULATE_DONE;
}

/* SHLX, SARX, SHRX, RORX: no flags. */
enum emulate_status run_shift_x(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->src.size, bits = 8 * size, count;
	u64 value = ctxt->src.value;

	count = (ctxt->insn.op == INSN_RORX ? ctxt->insn.imm : vvvv_value(ctxt)) & (bits - 1);
	switch (ctxt->insn.op) {
	case INSN_SHLX:
		value <<= count;
		break;
	case INSN_SHRX:
		value >>= count;
		break;
	case INSN_SARX:
		value = (u64)((s64)sign_extend(value, size) >> count);
		break;
	default:
		if (count)
			value = value >> count | value << (bits - count);
	}
	ctxt->dst.value = value;
	return EMULATE_DONE;
}

/* If both destinations are one register, the upper half wins. */
enum emulate_status run_mulx(struct emulate_ctxt *ctxt)
{
	unsigned int size = ctxt->src.size;
	struct wide product = multiply(read_gpr(ctxt, GPR_RDX, size), ctxt->src.value);

	write_gpr(ctxt, ctxt->insn.vvvv, size, product.low);
	write_gpr(ctxt, ctxt->insn.reg, size, size == 8 ? product.high : product.low >> 32);
	return EMULATE_DONE;
}
