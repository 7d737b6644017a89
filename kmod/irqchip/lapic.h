/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A local APIC: registers and priorities, the timer's arithmetic. State machine only; what it
 * does to the world goes through the hooks at the end of this file.
 *
 * One thread, the vCPU's, runs these functions. Others may call lapic_accept() and lapic_error()
 * and what is const: those use atomic bits and single loads.
 *
 * The page may be one that the CPU works on while the guest runs: it then takes interrupts from IRR
 * to ISR, ends their service, and keeps TPR and PPR. In such an APIC others leave their requests in
 * @posted, and its own thread brings them to IRR: see lapic_sync().
 */
#ifndef IRQCHIP_LAPIC_H
#define IRQCHIP_LAPIC_H

#include "env.h"
#include "message.h"

enum lapic_mode { LAPIC_OFF, LAPIC_XAPIC, LAPIC_X2APIC };

enum lapic_timer_mode { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };

/**
 * struct lapic_timer - the timer as programmed
 * @shift: log2 of the divider
 * @period: ns, of one round; 0: not running
 * @expires: host monotonic ns of the (first) expiry
 * @deadline: guest TSC, in deadline mode; 0: not armed
 */
struct lapic_timer {
	u8 shift;
	u64 period;
	u64 expires;
	u64 deadline;
};

/**
 * struct lapic - a local APIC
 * @regs: a zeroed page, laid out as the xAPIC's registers
 * @id: x2APIC id
 * @mode: enum lapic_mode
 * @deadline_timer: TSC-deadline mode is offered to the guest
 * @hw: the CPU delivers its interrupts, and owns ISR and PPR while the guest runs
 * @hw_stale: what the CPU knows of IRR and ISR is not what is there
 * @posted: where requests arrive: LAPIC_POSTED_ON and a bit a vector; NULL: in IRR
 * @isr_top: highest vector in service, -1: none
 * @isr_count: vectors in service
 * @errors: found and not yet shown in ESR; atomic
 * @acted: LVTT, LINT0 and SPIV as their last writes left them; the CPU may have written new ones
 * @timer: the timer
 */
struct lapic {
	u8 *regs;
	u32 id;
	u8 mode;
	bool deadline_timer;
	bool hw, hw_stale;
	unsigned long *posted;
	int isr_top;
	int isr_count;
	unsigned long errors;
	struct { u32 lvtt, lint0, spiv; } acted;
	struct lapic_timer timer;
};

/* SDM vol. 3, "Posted-Interrupt Processing": bits of the descriptor. */
#define LAPIC_POSTED_ON		256	/* there are requests: their vCPU has been told */
#define LAPIC_POSTED_BYTES	64

#define LAPIC_VERSION	(0x14 | 5 << 16)	/* six LVT entries */
#define TIMER_MIN_NS	200000			/* shortest period: no guest storms the host */

static inline u32 lapic_reg(const struct lapic *l, unsigned int reg)
{
	return READ_ONCE(*(u32 *)(l->regs + reg));
}

static inline void lapic_set_reg(struct lapic *l, unsigned int reg, u32 value)
{
	WRITE_ONCE(*(u32 *)(l->regs + reg), value);
}

/* IRR, ISR, TMR: 32 vectors a register, a register every 16 bytes. */
static inline unsigned long *lapic_word(const struct lapic *l, unsigned int bank, u8 vector)
{
	return (unsigned long *)(l->regs + bank + (vector >> 5) * 0x10);
}

static inline bool lapic_test(const struct lapic *l, unsigned int bank, u8 vector)
{
	return READ_ONCE(*(u32 *)lapic_word(l, bank, vector)) >> (vector & 31) & 1;
}

static inline int lapic_highest(const struct lapic *l, unsigned int bank)
{
	int i;

	for (i = 7; i >= 0; i--) {
		u32 word = lapic_reg(l, bank + i * 0x10);

		if (word)
			return i * 32 + fls(word) - 1;
	}
	return -1;
}

/* On, and enabled by software (SVR). */
static inline bool lapic_enabled(const struct lapic *l)
{
	return READ_ONCE(l->mode) != LAPIC_OFF &&
	       (lapic_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);
}

static inline enum lapic_timer_mode lapic_timer_mode(const struct lapic *l)
{
	return lapic_reg(l, APIC_LVTT) >> 17 & 3;
}

/* The highest vector that the processor priority lets through, or -1. */
static inline int lapic_pending(const struct lapic *l)
{
	int vector = lapic_highest(l, APIC_IRR);

	return vector >= 0 && (vector & 0xf0) > (int)(lapic_reg(l, APIC_PROCPRI) & 0xf0) ?
		       vector : -1;
}

/* Is a request for the vector on its way, or waiting? Any thread. */
static inline bool lapic_requested(const struct lapic *l, u8 vector)
{
	if (l->posted && READ_ONCE(l->posted[vector / 64]) >> (vector & 63) & 1)
		return true;
	return lapic_test(l, APIC_IRR, vector);
}

static inline bool lapic_posted(const struct lapic *l)
{
	return l->posted && READ_ONCE(l->posted[LAPIC_POSTED_ON / 64]) & 1;
}

void lapic_sync_posted(struct lapic *l);

/**
 * lapic_sync - bring the requests of other threads to IRR
 * @l: the APIC
 */
static inline void lapic_sync(struct lapic *l)
{
	if (lapic_posted(l))
		lapic_sync_posted(l);
}

void lapic_set_hw(struct lapic *l, bool hw);
int lapic_write_trap(struct lapic *l, unsigned int reg);
bool lapic_has_x2apic_reg(unsigned int reg);
void lapic_reset(struct lapic *l, bool init, bool lint0_extint);
void lapic_set_mode(struct lapic *l, enum lapic_mode mode);
bool lapic_accept(struct lapic *l, u8 vector, bool level);
void lapic_error(struct lapic *l, u32 error);
int lapic_take(struct lapic *l);
void lapic_eoi(struct lapic *l);
void lapic_set_tpr(struct lapic *l, u32 tpr);
int lapic_read(struct lapic *l, unsigned int reg, u32 *value);
int lapic_write(struct lapic *l, unsigned int reg, u32 value);
int lapic_icr_write(struct lapic *l, u32 low, u32 high);
int lapic_self_ipi(struct lapic *l, u32 value);
void lapic_set_deadline(struct lapic *l, u64 tsc);
bool lapic_matches(const struct lapic *l, u32 dest, bool logical);
void lapic_save(struct lapic *l, struct kvm_lapic_state *state, bool wide_ids);
int lapic_load(struct lapic *l, const struct kvm_lapic_state *state, bool wide_ids);

/* Hooks, provided by the user of lapic.c. */
u64 lapic_now(struct lapic *l);				/* host monotonic ns */
void lapic_send(struct lapic *l, const struct irq_message *msg);
void lapic_timer_changed(struct lapic *l);		/* l->timer: start or stop accordingly */
void lapic_lint0_changed(struct lapic *l, u32 old);	/* the LVT entry of LINT0 */
void lapic_eoi_sent(struct lapic *l, u8 vector);	/* service of the vector ended */
void lapic_window_opened(struct lapic *l);		/* look again for lapic_pending() */
void lapic_identity_changed(struct lapic *l);		/* mode, ids or enable */
void lapic_raise(struct lapic *l, unsigned int lvt);	/* deliver a source by its LVT entry */

#endif
