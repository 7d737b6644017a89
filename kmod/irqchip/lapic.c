// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC's registers and priorities. Rules: SDM vol. 3, chapter "APIC"; APM vol. 2, 16. */
#include "lapic.h"

#define VECTOR_MIN	16	/* lower vectors are illegal in messages and LVT entries */
#define LVT_COUNT	6

static const struct {
	u16 reg;
	u32 mask;		/* writable bits */
} lvts[LVT_COUNT] = {
	{ APIC_LVTT, APIC_LVT_MASKED | APIC_LVT_TIMER_PERIODIC | APIC_VECTOR_MASK },
	{ APIC_LVTTHMR, APIC_LVT_MASKED | APIC_MODE_MASK | APIC_VECTOR_MASK },
	{ APIC_LVTPC, APIC_LVT_MASKED | APIC_MODE_MASK | APIC_VECTOR_MASK },
	{ APIC_LVT0, APIC_LVT_MASKED | APIC_LVT_LEVEL_TRIGGER | APIC_INPUT_POLARITY |
		     APIC_MODE_MASK | APIC_VECTOR_MASK },
	{ APIC_LVT1, APIC_LVT_MASKED | APIC_LVT_LEVEL_TRIGGER | APIC_INPUT_POLARITY |
		     APIC_MODE_MASK | APIC_VECTOR_MASK },
	{ APIC_LVTERR, APIC_LVT_MASKED | APIC_VECTOR_MASK },
};

/* ---- priorities ---- */

/* The highest vector in service, or -1. */
static int isr_top(const struct lapic *l)
{
	return l->hw ? lapic_highest(l, APIC_ISR) : l->isr_top;
}

static void update_ppr(struct lapic *l)
{
	u32 tpr = lapic_reg(l, APIC_TASKPRI);
	u32 service = isr_top(l) < 0 ? 0 : isr_top(l) & 0xf0;

	lapic_set_reg(l, APIC_PROCPRI, (tpr & 0xf0) >= service ? tpr : service);
}

static void recount_isr(struct lapic *l)
{
	int i;

	l->isr_count = 0;
	for (i = 0; i < 8; i++)
		l->isr_count += hweight32(lapic_reg(l, APIC_ISR + i * 0x10));
	l->isr_top = lapic_highest(l, APIC_ISR);
}

/**
 * lapic_error - note an error for ESR and raise the error interrupt
 * @l: the APIC
 * @error: APIC_ESR_*
 *
 * Context: any thread.
 */
void lapic_error(struct lapic *l, u32 error)
{
	/* What is noted already has raised its interrupt: no storm, no recursion. */
	if (!test_and_set_bit(ffs(error) - 1, &l->errors))
		lapic_raise(l, APIC_LVTERR);
}

/**
 * lapic_accept - a fixed or lowest-priority message arrives
 * @l: the APIC, enabled
 * @vector: the vector
 * @level: level-triggered: its EOI is to be broadcast
 *
 * Context: any, without a lock; the caller then kicks the vCPU.
 * Return: is this a request that was not there before?
 */
bool lapic_accept(struct lapic *l, u8 vector, bool level)
{
	if (unlikely(vector < VECTOR_MIN)) {
		lapic_error(l, APIC_ESR_RECVILL);
		return false;
	}
	if (unlikely(lapic_test(l, APIC_TMR, vector) != level)) {
		if (level)
			set_bit(vector & 31, lapic_word(l, APIC_TMR, vector));
		else
			clear_bit(vector & 31, lapic_word(l, APIC_TMR, vector));
	}
	if (l->posted)
		return !test_and_set_bit(vector & 63, &l->posted[vector / 64]);
	return !test_and_set_bit(vector & 31, lapic_word(l, APIC_IRR, vector));
}

/** lapic_sync_posted - lapic_sync(), when there is something */
void lapic_sync_posted(struct lapic *l)
{
	unsigned int i;
	u64 bits;

	/* First: a request that comes now is told of anew. xchg() orders it. */
	clear_bit(LAPIC_POSTED_ON & 63, &l->posted[LAPIC_POSTED_ON / 64]);
	for (i = 0; i < 256 / 64; i++) {
		bits = xchg(&l->posted[i], 0);
		if (!bits)
			continue;
		lapic_set_reg(l, APIC_IRR + i * 0x20, lapic_reg(l, APIC_IRR + i * 0x20) | bits);
		lapic_set_reg(l, APIC_IRR + i * 0x20 + 0x10,
			      lapic_reg(l, APIC_IRR + i * 0x20 + 0x10) | bits >> 32);
		l->hw_stale = true;
	}
}

static void drop_posted(struct lapic *l)
{
	unsigned int i;

	for (i = 0; l->posted && i <= LAPIC_POSTED_ON / 64; i++)
		xchg(&l->posted[i], 0);
	l->hw_stale = l->hw;
}

/**
 * lapic_set_hw - from now on the CPU delivers this APIC's interrupts, or does not
 * @l: the APIC, with a place for posted requests
 * @hw: it does
 */
void lapic_set_hw(struct lapic *l, bool hw)
{
	l->hw = hw;
	l->hw_stale = true;
	recount_isr(l);
	update_ppr(l);
	lapic_window_opened(l);
}

/**
 * lapic_take - the CPU acknowledges the interrupt of lapic_pending()
 * @l: the APIC
 *
 * Return: the vector, now in service, or -1.
 */
int lapic_take(struct lapic *l)
{
	int vector = lapic_pending(l);
	unsigned int reg;

	if (vector < 0)
		return -1;
	clear_bit(vector & 31, lapic_word(l, APIC_IRR, vector));
	reg = APIC_ISR + (vector >> 5) * 0x10;
	lapic_set_reg(l, reg, lapic_reg(l, reg) | 1u << (vector & 31));
	l->isr_count++;
	/* It passed PPR, so nothing in service is higher. */
	l->isr_top = vector;
	lapic_set_reg(l, APIC_PROCPRI, vector & 0xf0);
	return vector;
}

/**
 * lapic_eoi - the guest writes EOI
 * @l: the APIC; without a vector in service nothing happens
 */
void lapic_eoi(struct lapic *l)
{
	int vector = isr_top(l);
	unsigned int reg;

	if (vector < 0)
		return;
	l->hw_stale |= l->hw;
	reg = APIC_ISR + (vector >> 5) * 0x10;
	lapic_set_reg(l, reg, lapic_reg(l, reg) & ~(1u << (vector & 31)));
	if (!l->hw)
		l->isr_top = --l->isr_count ? lapic_highest(l, APIC_ISR) : -1;
	update_ppr(l);
	if (lapic_pending(l) >= 0)
		lapic_window_opened(l);
	lapic_eoi_sent(l, vector);
}

/**
 * lapic_set_tpr - the guest writes TPR (or CR8, shifted)
 * @l: the APIC
 * @tpr: the register's value
 */
void lapic_set_tpr(struct lapic *l, u32 tpr)
{
	lapic_set_reg(l, APIC_TASKPRI, tpr & 0xff);
	update_ppr(l);
	if (lapic_pending(l) >= 0)
		lapic_window_opened(l);
}

/* ---- identity ---- */

static bool in_cluster(u32 ldr, u32 dest)
{
	return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

/**
 * lapic_matches - is a message without shorthand for this APIC?
 * @l: the APIC
 * @dest: the destination, IRQ_BROADCAST for everybody
 * @logical: it is a logical one
 *
 * Context: any thread.
 */
bool lapic_matches(const struct lapic *l, u32 dest, bool logical)
{
	bool x2apic = READ_ONCE(l->mode) == LAPIC_X2APIC;
	u32 ldr;

	/* All ones, as far as the APIC can see. */
	if (dest == IRQ_BROADCAST || (!x2apic && dest == 0xff))
		return true;
	if (!logical)
		/* An xAPIC's own id has 8 bits: a vCPU beyond them answers to its x2APIC id. */
		return dest == (x2apic || dest > 0xff ? l->id : lapic_reg(l, APIC_ID) >> 24);
	ldr = lapic_reg(l, APIC_LDR);
	if (x2apic)
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	if (lapic_reg(l, APIC_DFR) == APIC_DFR_FLAT)
		return ldr & dest;
	return lapic_reg(l, APIC_DFR) == APIC_DFR_CLUSTER && in_cluster(ldr, dest);
}

static u32 x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/**
 * lapic_set_mode - IA32_APIC_BASE turns the APIC off, on, or to x2APIC
 * @l: the APIC
 * @mode: the new mode
 */
void lapic_set_mode(struct lapic *l, enum lapic_mode mode)
{
	if (mode == l->mode)
		return;
	WRITE_ONCE(l->mode, mode);
	if (mode == LAPIC_XAPIC) {
		lapic_set_reg(l, APIC_ID, l->id << 24);
	} else if (mode == LAPIC_X2APIC) {
		lapic_set_reg(l, APIC_ID, l->id);
		lapic_set_reg(l, APIC_LDR, x2apic_ldr(l->id));
	}
	lapic_identity_changed(l);
	/* What waits in IRR, or at LINT0, does not while the APIC is off. */
	lapic_window_opened(l);
}

static void mask_lvts(struct lapic *l)
{
	u32 lint0 = lapic_reg(l, APIC_LVT0);
	int i;

	for (i = 0; i < LVT_COUNT; i++)
		lapic_set_reg(l, lvts[i].reg, lapic_reg(l, lvts[i].reg) | APIC_LVT_MASKED);
	lapic_lint0_changed(l, lint0);
}

static void set_spiv(struct lapic *l, u32 value)
{
	u32 old = lapic_reg(l, APIC_SPIV);

	value &= APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED | APIC_SPIV_FOCUS_DISABLED;
	lapic_set_reg(l, APIC_SPIV, value);
	if (!(value & APIC_SPIV_APIC_ENABLED))
		mask_lvts(l);
	if ((old ^ value) & APIC_SPIV_APIC_ENABLED)
		lapic_identity_changed(l);
}

/* ---- timer ---- */

static u64 count_to_ns(const struct lapic *l, u32 count)
{
	/* The timer's clock is 1 GHz, as CPUID 0x40000010 and KVM have it. */
	return (u64)count << l->timer.shift;
}

static bool counting(const struct lapic *l)
{
	return lapic_timer_mode(l) == TIMER_ONESHOT || lapic_timer_mode(l) == TIMER_PERIODIC;
}

static u64 whole_period(const struct lapic *l)
{
	u64 ns = count_to_ns(l, lapic_reg(l, APIC_TMICT));

	if (lapic_timer_mode(l) == TIMER_PERIODIC && ns)
		ns = max_t(u64, ns, TIMER_MIN_NS);
	return ns;
}

/* ns until the next expiry; 0: not running, or a one-shot has ended. */
static u64 timer_left(struct lapic *l)
{
	u64 now = lapic_now(l), late;

	if (!l->timer.period || !counting(l))
		return 0;
	if (now < l->timer.expires)
		return l->timer.expires - now;
	if (lapic_timer_mode(l) == TIMER_ONESHOT)
		return 0;
	late = now - l->timer.expires;
	return l->timer.period - late % l->timer.period;
}

static u32 current_count(struct lapic *l)
{
	u64 count = timer_left(l) >> l->timer.shift;

	return min_t(u64, count, lapic_reg(l, APIC_TMICT));
}

static void stop_timer(struct lapic *l)
{
	l->timer.period = 0;
	l->timer.deadline = 0;
	lapic_timer_changed(l);
}

static void start_count(struct lapic *l, u32 count)
{
	lapic_set_reg(l, APIC_TMICT, count);
	l->timer.period = whole_period(l);
	l->timer.expires = lapic_now(l) + l->timer.period;
	lapic_timer_changed(l);
}

static void write_tmict(struct lapic *l, u32 count)
{
	/* In deadline mode the register does nothing. */
	if (counting(l))
		start_count(l, count);
}

/* Bits 0, 1 and 3 of the divide register count from 2 up; all ones mean 1. */
static u8 divider_shift(u32 tdcr)
{
	return ((tdcr & 3) + (tdcr >> 1 & 4) + 1) & 7;
}

/* The count that is left goes on at the new rate. */
static void write_tdcr(struct lapic *l, u32 value)
{
	u8 old = l->timer.shift;
	u64 left = timer_left(l);

	value &= 0xb;
	lapic_set_reg(l, APIC_TDCR, value);
	l->timer.shift = divider_shift(value);
	if (l->timer.shift == old || !left)
		return;
	l->timer.period = whole_period(l);
	l->timer.expires = lapic_now(l) + ((left >> old) << l->timer.shift);
	lapic_timer_changed(l);
}

static void write_lvtt(struct lapic *l, u32 value)
{
	enum lapic_timer_mode old = lapic_timer_mode(l), new;
	u64 left = timer_left(l);

	value &= lvts[0].mask | (l->deadline_timer ? APIC_LVT_TIMER_TSCDEADLINE : 0);
	lapic_set_reg(l, APIC_LVTT, value);
	new = lapic_timer_mode(l);
	if (new == old)
		return;
	if (new >= TIMER_DEADLINE || old >= TIMER_DEADLINE) {
		lapic_set_reg(l, APIC_TMICT, 0);
		stop_timer(l);
	} else if (left) {
		/* Between one-shot and periodic the present round goes on. */
		l->timer.period = whole_period(l);
		l->timer.expires = lapic_now(l) + left;
		lapic_timer_changed(l);
	}
}

/**
 * lapic_set_deadline - IA32_TSC_DEADLINE is written
 * @l: the APIC
 * @tsc: guest TSC of the expiry, 0 disarms; ignored unless the timer is in deadline mode
 */
void lapic_set_deadline(struct lapic *l, u64 tsc)
{
	if (lapic_timer_mode(l) != TIMER_DEADLINE || l->mode == LAPIC_OFF)
		return;
	WRITE_ONCE(l->timer.deadline, tsc);
	lapic_timer_changed(l);
}

/* ---- sending ---- */

/**
 * lapic_icr_write - the guest sends an IPI
 * @l: the APIC
 * @low: ICR bits 0 to 31
 * @high: x2APIC: the destination; xAPIC: ICR2, the destination in its top byte
 *
 * Return: 0, or 1 for #GP: reserved bits in x2APIC mode.
 */
int lapic_icr_write(struct lapic *l, u32 low, u32 high)
{
	bool x2apic = l->mode == LAPIC_X2APIC;
	struct irq_message msg;

	if (x2apic && (low & 0xfff32000))
		return 1;
	/* Delivered at once: never busy. */
	low &= ~APIC_ICR_BUSY;
	lapic_set_reg(l, APIC_ICR, low);
	lapic_set_reg(l, APIC_ICR2, high);

	msg.dest = x2apic ? high : irq_dest8(high >> 24);
	msg.vector = low;
	msg.mode = low >> 8 & 7;
	msg.shorthand = low >> 18 & 3;
	msg.logical = low & APIC_DEST_LOGICAL;
	msg.level = low & APIC_INT_LEVELTRIG;
	msg.assert = low & APIC_INT_ASSERT;
	msg.redirect = msg.everybody8 = false;
	if (unlikely(msg.mode <= IRQ_LOWEST && msg.vector < VECTOR_MIN))
		lapic_error(l, APIC_ESR_SENDILL);
	else
		lapic_send(l, &msg);
	return 0;
}

/**
 * lapic_self_ipi - the x2APIC register of that name is written
 * @l: the APIC
 * @value: the vector
 *
 * Return: 0, or 1 for #GP.
 */
int lapic_self_ipi(struct lapic *l, u32 value)
{
	if (value & ~APIC_VECTOR_MASK)
		return 1;
	if (value < VECTOR_MIN) {
		lapic_error(l, APIC_ESR_SENDILL);
	} else if (lapic_enabled(l)) {
		lapic_accept(l, value, false);
		lapic_window_opened(l);
	}
	return 0;
}

/* ---- registers ---- */

static int lvt_index(unsigned int reg)
{
	int i;

	for (i = 0; i < LVT_COUNT; i++)
		if (lvts[i].reg == reg)
			return i;
	return -1;
}

static void write_lvt(struct lapic *l, int index, u32 value)
{
	u32 old = lapic_reg(l, lvts[index].reg);

	if (!(lapic_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		value |= APIC_LVT_MASKED;
	if (lvts[index].reg == APIC_LVTT) {
		write_lvtt(l, value);
		return;
	}
	lapic_set_reg(l, lvts[index].reg, value & lvts[index].mask);
	if (lvts[index].reg == APIC_LVT0)
		lapic_lint0_changed(l, old);
}

/* An offset where no register is, or one that cannot be written: #GP or an error in ESR. */
static int bad_register(struct lapic *l)
{
	if (l->mode == LAPIC_XAPIC)
		lapic_error(l, APIC_ESR_ILLREGA);
	return 1;
}

/* Registers that x2APIC mode does not let the guest write. */
static int write_xapic_only(struct lapic *l, unsigned int reg, u32 value)
{
	if (l->mode == LAPIC_X2APIC)
		return 1;
	switch (reg) {
	case APIC_ID:
		lapic_set_reg(l, APIC_ID, value & 0xff000000);
		break;
	case APIC_LDR:
		lapic_set_reg(l, APIC_LDR, value & APIC_LDR_MASK);
		break;
	case APIC_DFR:
		lapic_set_reg(l, APIC_DFR, value | 0x0fffffff);
		break;
	default:
		lapic_set_reg(l, APIC_ICR2, value & 0xff000000);
		return 0;
	}
	lapic_identity_changed(l);
	return 0;
}

static int write_esr(struct lapic *l, u32 value)
{
	if (l->mode == LAPIC_X2APIC && value)
		return 1;
	lapic_set_reg(l, APIC_ESR, xchg(&l->errors, 0));
	return 0;
}

/* What a write is compared with: by then the page may have the new value. */
static void note_acted(struct lapic *l)
{
	l->acted.lvtt = lapic_reg(l, APIC_LVTT);
	l->acted.lint0 = lapic_reg(l, APIC_LVT0);
	l->acted.spiv = lapic_reg(l, APIC_SPIV);
}

/* Those that an operating system writes while it starts, and rarely later. */
static int write_rare(struct lapic *l, unsigned int reg, u32 value)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0) {
		write_lvt(l, lvt, value);
		return 0;
	}
	switch (reg) {
	case APIC_ID:
	case APIC_LDR:
	case APIC_DFR:
	case APIC_ICR2:
		return write_xapic_only(l, reg, value);
	case APIC_SPIV:
		set_spiv(l, value);
		return 0;
	case APIC_TDCR:
		write_tdcr(l, value);
		return 0;
	case APIC_ESR:
		return write_esr(l, value);
	case APIC_SELF_IPI:
		return l->mode == LAPIC_X2APIC ? lapic_self_ipi(l, value) : bad_register(l);
	default:
		return bad_register(l);
	}
}

/**
 * lapic_write - the guest writes a register
 * @l: the APIC, not off
 * @reg: its offset in the xAPIC page (x2APIC: MSR number minus 0x800, times 16)
 * @value: the value; x2APIC's ICR goes to lapic_icr_write()
 *
 * Return: 0, or 1: no such register or bad value; #GP in x2APIC mode, ignored in xAPIC mode.
 */
int lapic_write(struct lapic *l, unsigned int reg, u32 value)
{
	int r;

	/* In order of frequency. */
	if (likely(reg == APIC_EOI)) {
		if (l->mode == LAPIC_X2APIC && value)
			return 1;
		lapic_eoi(l);
		return 0;
	}
	if (reg == APIC_ICR)
		return lapic_icr_write(l, value, lapic_reg(l, APIC_ICR2));
	if (reg == APIC_TMICT) {
		write_tmict(l, value);
		return 0;
	}
	if (reg == APIC_TASKPRI) {
		if (l->mode == LAPIC_X2APIC && value > 0xff)
			return 1;
		lapic_set_tpr(l, value);
		return 0;
	}
	r = write_rare(l, reg, value);
	note_acted(l);
	return r;
}

/**
 * lapic_write_trap - the CPU has written a register into the page for the guest: act on it
 * @l: the APIC, in xAPIC mode
 * @reg: the register
 *
 * Return: as lapic_write().
 */
int lapic_write_trap(struct lapic *l, unsigned int reg)
{
	u32 value = lapic_reg(l, reg);

	if (reg == APIC_LVTT)
		lapic_set_reg(l, reg, l->acted.lvtt);
	else if (reg == APIC_LVT0)
		lapic_set_reg(l, reg, l->acted.lint0);
	else if (reg == APIC_SPIV)
		lapic_set_reg(l, reg, l->acted.spiv);
	return lapic_write(l, reg, value);
}

/* Is there something to read? One bit a register, in units of 16 bytes. */
#define REG_BIT(reg)	(1ull << ((reg) >> 4))
#define BANK_BITS(reg)	(0xffull << ((reg) >> 4))
static const u64 readable = REG_BIT(APIC_ID) | REG_BIT(APIC_LVR) | REG_BIT(APIC_TASKPRI) |
	REG_BIT(APIC_PROCPRI) | REG_BIT(APIC_LDR) | REG_BIT(APIC_SPIV) | BANK_BITS(APIC_ISR) |
	BANK_BITS(APIC_TMR) | BANK_BITS(APIC_IRR) | REG_BIT(APIC_ESR) | REG_BIT(APIC_ICR) |
	REG_BIT(APIC_LVTT) | REG_BIT(APIC_LVTTHMR) | REG_BIT(APIC_LVTPC) | REG_BIT(APIC_LVT0) |
	REG_BIT(APIC_LVT1) | REG_BIT(APIC_LVTERR) | REG_BIT(APIC_TMICT) | REG_BIT(APIC_TMCCT) |
	REG_BIT(APIC_TDCR);
static const u64 readable_xapic = REG_BIT(APIC_ARBPRI) | REG_BIT(APIC_DFR) | REG_BIT(APIC_ICR2) |
	REG_BIT(APIC_EOI) | REG_BIT(APIC_RRR);

/** lapic_has_x2apic_reg - can x2APIC mode read that register, as the page has it? */
bool lapic_has_x2apic_reg(unsigned int reg)
{
	/* The count is computed, and ICR has its two halves in two places. */
	return reg < KVM_APIC_REG_SIZE && readable & REG_BIT(reg) && reg != APIC_TMCCT &&
	       reg != APIC_ICR;
}

/**
 * lapic_read - the guest reads a register
 * @l: the APIC, not off
 * @reg: its offset in the xAPIC page, a multiple of 16
 * @value: filled; 0 if there is none
 *
 * Return: 0, or 1: no such register; #GP in x2APIC mode.
 */
int lapic_read(struct lapic *l, unsigned int reg, u32 *value)
{
	u64 mask = readable | (l->mode == LAPIC_X2APIC ? 0 : readable_xapic);

	*value = 0;
	if (reg >= KVM_APIC_REG_SIZE || !(mask & REG_BIT(reg)))
		return bad_register(l);
	if (reg == APIC_TMCCT)
		*value = current_count(l);
	else if (reg == APIC_ARBPRI)
		*value = lapic_reg(l, APIC_PROCPRI);
	else
		*value = lapic_reg(l, reg);
	return 0;
}

/* ---- state as a whole ---- */

/**
 * lapic_reset - state after power-up or INIT
 * @l: the APIC
 * @init: INIT: mode and id stay
 * @lint0_extint: LINT0 starts as the PIC's input (the boot CPU under firmware that relies on it)
 */
void lapic_reset(struct lapic *l, bool init, bool lint0_extint)
{
	u32 id = lapic_reg(l, APIC_ID), ldr = lapic_reg(l, APIC_LDR);
	u32 lint0 = lapic_reg(l, APIC_LVT0);
	int i;

	memset(l->regs, 0, KVM_APIC_REG_SIZE);
	lapic_set_reg(l, APIC_LVR, LAPIC_VERSION);
	lapic_set_reg(l, APIC_ID, init ? id : l->id << 24);
	lapic_set_reg(l, APIC_LDR, l->mode == LAPIC_X2APIC ? ldr : 0);
	lapic_set_reg(l, APIC_DFR, APIC_DFR_FLAT);
	lapic_set_reg(l, APIC_SPIV, 0xff);
	for (i = 0; i < LVT_COUNT; i++)
		lapic_set_reg(l, lvts[i].reg, APIC_LVT_MASKED);
	if (lint0_extint)
		lapic_set_reg(l, APIC_LVT0, IRQ_EXTINT << 8);
	lapic_lint0_changed(l, lint0);
	xchg(&l->errors, 0);
	drop_posted(l);
	l->isr_top = -1;
	l->isr_count = 0;
	note_acted(l);
	l->timer.shift = 1;
	stop_timer(l);
	lapic_identity_changed(l);
}

/**
 * lapic_save - KVM_GET_LAPIC
 * @l: the APIC
 * @state: filled
 * @wide_ids: user space knows x2APIC ids; else the id is shown as an xAPIC's
 */
void lapic_save(struct lapic *l, struct kvm_lapic_state *state, bool wide_ids)
{
	u32 count = current_count(l);

	lapic_sync(l);
	memcpy(state->regs, l->regs, sizeof(state->regs));
	memcpy(state->regs + APIC_TMCCT, &count, sizeof(count));
	if (l->mode == LAPIC_X2APIC && !wide_ids) {
		u32 id = l->id << 24;

		memcpy(state->regs + APIC_ID, &id, sizeof(id));
	}
}

/* The timer goes on where the saved one was. */
static void load_timer(struct lapic *l)
{
	u32 left = lapic_reg(l, APIC_TMCCT);

	l->timer.shift = divider_shift(lapic_reg(l, APIC_TDCR));
	l->timer.deadline = 0;
	l->timer.period = counting(l) ? whole_period(l) : 0;
	if (lapic_timer_mode(l) == TIMER_ONESHOT && !left)
		l->timer.period = 0;
	l->timer.expires = lapic_now(l) +
		(left ? min_t(u64, count_to_ns(l, left), l->timer.period) : l->timer.period);
	lapic_set_reg(l, APIC_TMCCT, 0);
	lapic_timer_changed(l);
}

/**
 * lapic_load - KVM_SET_LAPIC
 * @l: the APIC, its mode already set
 * @state: the new state; any content is safe
 * @wide_ids: the id is a 32-bit one in x2APIC mode
 *
 * Return: 0, or -1: the id is not this APIC's.
 */
int lapic_load(struct lapic *l, const struct kvm_lapic_state *state, bool wide_ids)
{
	u32 lint0 = lapic_reg(l, APIC_LVT0), id;

	memcpy(&id, state->regs + APIC_ID, sizeof(id));
	if (l->mode == LAPIC_X2APIC && wide_ids && id != l->id)
		return -1;
	memcpy(l->regs, state->regs, sizeof(state->regs));
	drop_posted(l);
	lapic_set_reg(l, APIC_LVR, LAPIC_VERSION);
	lapic_set_reg(l, APIC_TASKPRI, lapic_reg(l, APIC_TASKPRI) & 0xff);
	if (l->mode == LAPIC_X2APIC) {
		lapic_set_reg(l, APIC_ID, l->id);
		lapic_set_reg(l, APIC_LDR, x2apic_ldr(l->id));
	}
	recount_isr(l);
	update_ppr(l);
	note_acted(l);
	load_timer(l);
	lapic_lint0_changed(l, lint0);
	lapic_identity_changed(l);
	return 0;
}
