// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC by the SDM: priorities, registers, messages, the timer's arithmetic. */
#include "../mmu/tap.h"
#include "lapic.h"

static struct lapic l;
static u8 page[4096] __attribute__((aligned(4096)));
static u64 now;

/* What the hooks saw. */
static struct irq_message sent;
static int nr_sent, windows, identities, timer_changes, eois, raised_lvt;
static u8 eoi_vector;

u64 lapic_now(struct lapic *unused)
{
	return now;
}

void lapic_send(struct lapic *unused, const struct irq_message *msg)
{
	sent = *msg;
	nr_sent++;
}

void lapic_timer_changed(struct lapic *unused)
{
	timer_changes++;
}

void lapic_lint0_changed(struct lapic *unused, u32 old)
{
}

void lapic_eoi_sent(struct lapic *unused, u8 vector)
{
	eois++;
	eoi_vector = vector;
}

void lapic_window_opened(struct lapic *unused)
{
	windows++;
}

void lapic_identity_changed(struct lapic *unused)
{
	identities++;
}

void lapic_raise(struct lapic *a, unsigned int lvt)
{
	u32 entry = lapic_reg(a, lvt);

	raised_lvt = lvt;
	if (!(entry & APIC_LVT_MASKED))
		lapic_accept(a, entry, false);
}

static void setup(enum lapic_mode mode, u32 id)
{
	memset(page, 0, sizeof(page));
	memset(&l, 0, sizeof(l));
	l.regs = page;
	l.id = id;
	l.mode = LAPIC_XAPIC;
	lapic_reset(&l, false, false);
	if (mode != LAPIC_XAPIC)
		lapic_set_mode(&l, mode);
	lapic_write(&l, APIC_SPIV, 0x1ff);
	now = 1000000000;
	nr_sent = windows = identities = timer_changes = eois = raised_lvt = 0;
}

static u32 get(unsigned int reg)
{
	u32 v;

	CHECK_EQ(lapic_read(&l, reg, &v), 0);
	return v;
}

static bool refused(unsigned int reg, u32 v)
{
	return lapic_write(&l, reg, v);
}

static void priorities_nest(void)
{
	setup(LAPIC_XAPIC, 0);
	CHECK(lapic_accept(&l, 0x41, false));
	CHECK(!lapic_accept(&l, 0x41, false));		/* pending already */
	CHECK_EQ(lapic_pending(&l), 0x41);
	CHECK_EQ(lapic_take(&l), 0x41);
	CHECK_EQ(get(APIC_PROCPRI), 0x40);
	CHECK(lapic_accept(&l, 0x41, false));		/* in service: may pend once more */
	lapic_accept(&l, 0x4f, false);
	CHECK_EQ((u32)lapic_pending(&l), (u32)-1);	/* same class */
	lapic_accept(&l, 0x50, false);
	CHECK_EQ(lapic_take(&l), 0x50);
	CHECK_EQ(get(APIC_PROCPRI), 0x50);
	lapic_eoi(&l);
	CHECK_EQ(eoi_vector, 0x50);
	CHECK_EQ(get(APIC_PROCPRI), 0x40);
	CHECK_EQ(windows, 0);
	lapic_eoi(&l);
	CHECK_EQ(eoi_vector, 0x41);
	CHECK_EQ(windows, 1);
	CHECK_EQ(lapic_take(&l), 0x4f);
	lapic_eoi(&l);
	CHECK_EQ(lapic_take(&l), 0x41);
	lapic_eoi(&l);
	CHECK_EQ(l.isr_count, 0);
	eois = 0;
	lapic_eoi(&l);					/* nothing in service */
	CHECK_EQ(eois, 0);
}

static void task_priority(void)
{
	int v;

	setup(LAPIC_XAPIC, 0);
	for (v = 16; v < 256; v++) {
		lapic_set_tpr(&l, v);
		CHECK_EQ(get(APIC_PROCPRI), v);
		lapic_accept(&l, v, false);
		CHECK_EQ((u32)lapic_pending(&l), (u32)-1);
		windows = 0;
		lapic_set_tpr(&l, (v & 0xf0) - 1);
		CHECK_EQ(windows, 1);
		CHECK_EQ(lapic_take(&l), v);
		/* The lower of TPR and in-service does not count. */
		CHECK_EQ(get(APIC_PROCPRI), v & 0xf0);
		lapic_eoi(&l);
		CHECK_EQ(get(APIC_PROCPRI), (v & 0xf0) - 1);
	}
	lapic_write(&l, APIC_TASKPRI, 0xfffff3a5);
	CHECK_EQ(get(APIC_TASKPRI), 0xa5);
}

static void bitmaps_as_registers(void)
{
	int v;

	setup(LAPIC_XAPIC, 0);
	for (v = 16; v < 256; v++) {
		unsigned int word = (v >> 5) * 0x10;
		u32 bit = 1u << (v & 31);

		lapic_accept(&l, v, v & 1);
		CHECK_EQ(get(APIC_IRR + word), bit);
		CHECK_EQ(!!(get(APIC_TMR + word) & bit), v & 1);
		CHECK_EQ(lapic_take(&l), v);
		CHECK_EQ(get(APIC_IRR + word), 0);
		CHECK_EQ(get(APIC_ISR + word), bit);
		lapic_eoi(&l);
		CHECK_EQ(get(APIC_ISR + word), 0);
	}
	/* The trigger mode is that of the last message. */
	lapic_accept(&l, 0x41, true);
	lapic_accept(&l, 0x41, false);
	CHECK(!lapic_test(&l, APIC_TMR, 0x41));
}

static void random_nesting(void)
{
	static u8 stack[256];
	int depth = 0, i, v;

	setup(LAPIC_X2APIC, 0);
	for (i = 0; i < 100000; i++) {
		if (random64() & 1)
			lapic_accept(&l, 16 + random_below(240), random64() & 1);
		if (random_below(4) == 0)
			lapic_set_tpr(&l, random_below(256));
		v = random_below(3) ? lapic_take(&l) : -1;
		if (v >= 0) {
			CHECK(!depth || v >> 4 > stack[depth - 1] >> 4);
			CHECK(v >> 4 > (int)get(APIC_TASKPRI) >> 4);
			stack[depth++] = v;
		} else if (depth && random64() & 1) {
			lapic_eoi(&l);
			CHECK_EQ(eoi_vector, stack[--depth]);
		}
		CHECK_EQ(l.isr_count, depth);
		CHECK_EQ((u32)l.isr_top, depth ? stack[depth - 1] : (u32)-1);
	}
}

static void reset_state(void)
{
	static const unsigned int lvt[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0,
					    APIC_LVT1, APIC_LVTERR };
	unsigned int i;

	setup(LAPIC_XAPIC, 5);
	lapic_accept(&l, 0x41, false);
	lapic_take(&l);
	lapic_write(&l, APIC_ID, 9u << 24);
	lapic_reset(&l, true, false);
	CHECK_EQ(get(APIC_ID), 9u << 24);		/* INIT keeps the id */
	lapic_reset(&l, false, true);
	CHECK_EQ(get(APIC_ID), 5u << 24);
	CHECK_EQ(get(APIC_LVR), 0x00050014);
	CHECK_EQ(get(APIC_SPIV), 0xff);
	CHECK_EQ(get(APIC_DFR), 0xffffffff);
	CHECK_EQ(get(APIC_LDR), 0);
	CHECK_EQ(get(APIC_PROCPRI), 0);
	for (i = 0; i < ARRAY_SIZE(lvt); i++)
		CHECK_EQ(get(lvt[i]), lvt[i] == APIC_LVT0 ? 0x700 : APIC_LVT_MASKED);
	CHECK(!lapic_enabled(&l));
	CHECK_EQ((u32)l.isr_top, (u32)-1);
}

static void software_disable_masks_lvts(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_write(&l, APIC_LVTT, 0x41);
	lapic_write(&l, APIC_LVT1, 0x400);
	identities = 0;
	lapic_write(&l, APIC_SPIV, 0xff);
	CHECK_EQ(identities, 1);
	CHECK_EQ(get(APIC_LVTT), APIC_LVT_MASKED | 0x41);
	lapic_write(&l, APIC_LVTT, 0x42);		/* cannot be unmasked now */
	CHECK_EQ(get(APIC_LVTT), APIC_LVT_MASKED | 0x42);
	lapic_write(&l, APIC_SPIV, 0xffffffff);
	CHECK_EQ(get(APIC_SPIV), 0x3ff);		/* no directed EOI */
	CHECK_EQ(get(APIC_LVTT), APIC_LVT_MASKED | 0x42);
}

static void writable_bits(void)
{
	static const struct { unsigned int reg; u32 mask; } regs[] = {
		{ APIC_LVTTHMR, 0x107ff }, { APIC_LVTPC, 0x107ff }, { APIC_LVT0, 0x1a7ff },
		{ APIC_LVT1, 0x1a7ff }, { APIC_LVTERR, 0x100ff }, { APIC_TDCR, 0xb },
		{ APIC_ID, 0xff000000 }, { APIC_LDR, 0xff000000 }, { APIC_ICR2, 0xff000000 },
	};
	unsigned int i;

	setup(LAPIC_XAPIC, 0);
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		lapic_write(&l, regs[i].reg, 0xffffffff);
		CHECK_EQ(get(regs[i].reg), regs[i].mask);
		lapic_write(&l, regs[i].reg, 0);
		CHECK_EQ(get(regs[i].reg), 0);
	}
	lapic_write(&l, APIC_DFR, 0);
	CHECK_EQ(get(APIC_DFR), 0x0fffffff);
	lapic_write(&l, APIC_LVTT, 0xffffffff);
	CHECK_EQ(get(APIC_LVTT), 0x300ff);
	l.deadline_timer = true;
	lapic_write(&l, APIC_LVTT, 0xffffffff);
	CHECK_EQ(get(APIC_LVTT), 0x700ff);
}

static void x2apic_registers(void)
{
	u32 v;

	setup(LAPIC_X2APIC, 0x123);
	CHECK_EQ(get(APIC_ID), 0x123);
	CHECK_EQ(get(APIC_LDR), 0x12 << 16 | 1 << 3);
	CHECK(lapic_read(&l, APIC_DFR, &v));
	CHECK(lapic_read(&l, APIC_ICR2, &v));
	CHECK(lapic_read(&l, APIC_EOI, &v));
	CHECK(lapic_read(&l, APIC_SELF_IPI, &v));
	CHECK(lapic_read(&l, APIC_ARBPRI, &v));
	CHECK(lapic_read(&l, 0x3f0, &v));
	CHECK(lapic_read(&l, 0x400, &v));
	CHECK(lapic_read(&l, 0xff0, &v));
	CHECK(refused(APIC_ID, 0) && refused(APIC_LDR, 0) && refused(APIC_DFR, 0));
	CHECK(refused(APIC_ICR2, 0) && refused(APIC_LVR, 0) && refused(APIC_TMCCT, 0));
	CHECK(refused(APIC_ISR, 0) && refused(APIC_PROCPRI, 0));
	CHECK(refused(APIC_EOI, 1) && !refused(APIC_EOI, 0));
	CHECK(refused(APIC_ESR, 1) && !refused(APIC_ESR, 0));
	CHECK(refused(APIC_TASKPRI, 0x100) && !refused(APIC_TASKPRI, 0xff));
	CHECK(refused(APIC_SELF_IPI, 0x100));
	CHECK_EQ(l.errors, 0);
	/* A turn through disabled gives the xAPIC its own id again. */
	lapic_set_mode(&l, LAPIC_OFF);
	CHECK(!lapic_enabled(&l));
	lapic_set_mode(&l, LAPIC_XAPIC);
	CHECK_EQ(get(APIC_ID), 0x23u << 24);
}

static void self_ipi(void)
{
	setup(LAPIC_X2APIC, 0);
	CHECK(!refused(APIC_SELF_IPI, 0x55));
	CHECK_EQ(lapic_pending(&l), 0x55);
	CHECK(windows);
	lapic_write(&l, APIC_SPIV, 0xff);
	CHECK(!refused(APIC_SELF_IPI, 0x66));
	CHECK(!lapic_test(&l, APIC_IRR, 0x66));
	setup(LAPIC_XAPIC, 0);
	CHECK(refused(APIC_SELF_IPI, 0x55));
}

static void icr_decoding(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_write(&l, APIC_ICR2, 0x07000000);
	lapic_write(&l, APIC_ICR, 0x000c4841);
	CHECK_EQ(nr_sent, 1);
	CHECK_EQ(sent.dest, 7);
	CHECK_EQ(sent.vector, 0x41);
	CHECK(sent.mode == IRQ_FIXED && sent.logical && sent.assert && !sent.level);
	CHECK_EQ(sent.shorthand, TO_OTHERS);
	CHECK_EQ(get(APIC_ICR), 0x000c4841);
	lapic_write(&l, APIC_ICR, 0x00001641);		/* the busy bit never reads as set */
	CHECK_EQ(get(APIC_ICR), 0x00000641);
	CHECK_EQ(sent.mode, IRQ_SIPI);
	lapic_write(&l, APIC_ICR2, 0xff000000);
	lapic_write(&l, APIC_ICR, 0x00008500);
	CHECK(sent.mode == IRQ_INIT && sent.level && !sent.assert);
	CHECK_EQ(sent.dest, IRQ_BROADCAST);

	setup(LAPIC_X2APIC, 0);
	CHECK_EQ(lapic_icr_write(&l, 0x4041, 0x12345), 0);
	CHECK_EQ(sent.dest, 0x12345);
	CHECK_EQ(lapic_icr_write(&l, 0x4041, 0xff), 0);
	CHECK_EQ(sent.dest, 0xff);			/* no broadcast in this mode */
	CHECK_EQ(lapic_icr_write(&l, 0x4041, 0xffffffff), 0);
	CHECK_EQ(sent.dest, IRQ_BROADCAST);
	nr_sent = 0;
	CHECK(lapic_icr_write(&l, 0x4041 | 1 << 20, 0));
	CHECK(lapic_icr_write(&l, 0x4041 | 1 << 16, 0));
	CHECK(lapic_icr_write(&l, 0x4041 | 1 << 13, 0));
	CHECK_EQ(nr_sent, 0);
}

static void errors(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_write(&l, APIC_LVTERR, 0xe0);
	lapic_write(&l, APIC_ICR, 0x4005);		/* illegal vector: not sent */
	CHECK_EQ(nr_sent, 0);
	CHECK_EQ(get(APIC_ESR), 0);			/* until the register is written */
	CHECK_EQ(lapic_pending(&l), 0xe0);
	lapic_write(&l, APIC_ESR, 0);
	CHECK_EQ(get(APIC_ESR), APIC_ESR_SENDILL);
	lapic_write(&l, APIC_ESR, 0);
	CHECK_EQ(get(APIC_ESR), 0);
	lapic_write(&l, APIC_ICR, 0x4605);		/* a SIPI's vector is a page */
	CHECK_EQ(nr_sent, 1);

	lapic_take(&l);
	lapic_eoi(&l);
	CHECK(!lapic_accept(&l, 15, false));
	CHECK_EQ(lapic_take(&l), 0xe0);
	lapic_write(&l, APIC_ESR, 0);
	CHECK_EQ(get(APIC_ESR), APIC_ESR_RECVILL);
	CHECK_EQ(get(APIC_IRR), 0);
	refused(0x40, 1);
	lapic_write(&l, APIC_ESR, 0);
	CHECK_EQ(get(APIC_ESR), APIC_ESR_ILLREGA);
	/* The error interrupt's own vector is illegal: no endless recursion. */
	lapic_write(&l, APIC_LVTERR, 0x02);
	lapic_accept(&l, 3, false);
	CHECK_EQ(l.errors, APIC_ESR_RECVILL);
}

static void physical_destinations(void)
{
	setup(LAPIC_XAPIC, 3);
	CHECK(lapic_matches(&l, 3, false));
	CHECK(!lapic_matches(&l, 2, false));
	CHECK(lapic_matches(&l, IRQ_BROADCAST, false));
	lapic_write(&l, APIC_ID, 9u << 24);
	CHECK(lapic_matches(&l, 9, false) && !lapic_matches(&l, 3, false));
	setup(LAPIC_XAPIC, 0x105);
	CHECK(lapic_matches(&l, 0x105, false));
	CHECK(lapic_matches(&l, 5, false));
	setup(LAPIC_X2APIC, 0x105);
	CHECK(lapic_matches(&l, 0x105, false));
	CHECK(!lapic_matches(&l, 5, false));
	CHECK(lapic_matches(&l, IRQ_BROADCAST, false));
}

static void logical_destinations(void)
{
	u32 dest;

	setup(LAPIC_XAPIC, 0);
	CHECK(!lapic_matches(&l, 1, true));		/* no logical id yet */
	CHECK(lapic_matches(&l, IRQ_BROADCAST, true));
	lapic_write(&l, APIC_LDR, 0x24u << 24);
	for (dest = 0; dest < 255; dest++)
		CHECK_EQ(lapic_matches(&l, dest, true), !!(dest & 0x24));
	lapic_write(&l, APIC_DFR, 0x0fffffff);		/* cluster 2, member 4 */
	for (dest = 0; dest < 255; dest++)
		CHECK_EQ(lapic_matches(&l, dest, true), dest >> 4 == 2 && dest & 4);
	lapic_write(&l, APIC_DFR, 0x30000000);		/* no such model */
	CHECK(!lapic_matches(&l, 0x24, true));
	setup(LAPIC_X2APIC, 0x25);
	CHECK(lapic_matches(&l, 0x00020020, true));
	CHECK(lapic_matches(&l, 0x0002ffff, true));
	CHECK(!lapic_matches(&l, 0x0002ffdf, true));
	CHECK(!lapic_matches(&l, 0x00010020, true));
}

static void timer_divider(void)
{
	static const u8 div[] = { 2, 4, 8, 16, 0, 0, 0, 0, 32, 64, 128, 1 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(div); i++) {
		if (!div[i])
			continue;
		setup(LAPIC_XAPIC, 0);
		lapic_write(&l, APIC_TDCR, i);
		lapic_write(&l, APIC_TMICT, 1000000);
		CHECK_EQ(l.timer.expires - now, 1000000ull * div[i]);
		now += 400000ull * div[i];
		CHECK_EQ(get(APIC_TMCCT), 600000);
	}
}

static void timer_modes(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_write(&l, APIC_TDCR, 0xb);
	lapic_write(&l, APIC_LVTT, 0x41);
	lapic_write(&l, APIC_TMICT, 500000);
	CHECK_EQ(get(APIC_TMCCT), 500000);
	now += 500000;
	CHECK_EQ(get(APIC_TMCCT), 0);
	now += 100000;
	CHECK_EQ(get(APIC_TMCCT), 0);
	CHECK_EQ(get(APIC_TMICT), 500000);

	lapic_write(&l, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | 0x41);
	lapic_write(&l, APIC_TMICT, 500000);
	now += 1200000;
	CHECK_EQ(get(APIC_TMCCT), 300000);
	/* A running count goes on when the mode changes. */
	lapic_write(&l, APIC_LVTT, 0x41);
	CHECK_EQ(get(APIC_TMCCT), 300000);
	now += 300000;
	CHECK_EQ(get(APIC_TMCCT), 0);
	lapic_write(&l, APIC_TMICT, 500000);
	lapic_write(&l, APIC_TMICT, 0);
	CHECK_EQ(l.timer.period, 0);
	CHECK_EQ(get(APIC_TMCCT), 0);
}

static void timer_periods_are_bounded(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_write(&l, APIC_TDCR, 0xb);
	lapic_write(&l, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | 0x41);
	lapic_write(&l, APIC_TMICT, 1);
	CHECK_EQ(l.timer.period, TIMER_MIN_NS);
	CHECK(get(APIC_TMCCT) <= 1);
	lapic_write(&l, APIC_LVTT, 0x41);
	lapic_write(&l, APIC_TMICT, 1);
	CHECK_EQ(l.timer.period, 1);
	lapic_write(&l, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | 0x41);
	CHECK_EQ(l.timer.period, TIMER_MIN_NS);
}

static void timer_rate_change(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_write(&l, APIC_TDCR, 0xb);
	lapic_write(&l, APIC_TMICT, 1000000);
	now += 600000;
	lapic_write(&l, APIC_TDCR, 0x1);		/* by 4: the rest takes longer */
	CHECK_EQ(l.timer.expires - now, 400000 * 4);
	CHECK_EQ(get(APIC_TMCCT), 400000);
	CHECK_EQ(l.timer.period, 4000000);
}

static void deadline_mode(void)
{
	setup(LAPIC_XAPIC, 0);
	lapic_set_deadline(&l, 1234);			/* not in that mode */
	CHECK_EQ(l.timer.deadline, 0);
	l.deadline_timer = true;
	lapic_write(&l, APIC_TMICT, 1000);
	lapic_write(&l, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | 0x41);
	CHECK_EQ(l.timer.period, 0);
	CHECK_EQ(get(APIC_TMICT), 0);
	lapic_write(&l, APIC_TMICT, 1000);		/* ignored */
	CHECK_EQ(get(APIC_TMICT), 0);
	CHECK_EQ(l.timer.period, 0);
	timer_changes = 0;
	lapic_set_deadline(&l, 1234);
	CHECK_EQ(l.timer.deadline, 1234);
	CHECK_EQ(timer_changes, 1);
	CHECK_EQ(get(APIC_TMCCT), 0);
	lapic_write(&l, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | 0x42);
	CHECK_EQ(l.timer.deadline, 1234);		/* same mode: stays armed */
	lapic_write(&l, APIC_LVTT, 0x41);
	CHECK_EQ(l.timer.deadline, 0);
}

static void save_and_load(void)
{
	struct kvm_lapic_state s;
	u32 id;

	setup(LAPIC_XAPIC, 3);
	lapic_write(&l, APIC_TDCR, 0xb);
	lapic_write(&l, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | 0x41);
	lapic_write(&l, APIC_TMICT, 1000000);
	lapic_accept(&l, 0x61, true);
	lapic_accept(&l, 0x71, false);
	lapic_take(&l);
	now += 250000;
	lapic_save(&l, &s, false);
	setup(LAPIC_XAPIC, 3);
	CHECK_EQ(lapic_load(&l, &s, false), 0);
	CHECK_EQ(l.isr_count, 1);
	CHECK_EQ(l.isr_top, 0x71);
	CHECK_EQ(get(APIC_PROCPRI), 0x70);
	CHECK(lapic_test(&l, APIC_IRR, 0x61) && lapic_test(&l, APIC_TMR, 0x61));
	CHECK_EQ(l.timer.expires - now, 750000);
	CHECK_EQ(l.timer.period, 1000000);
	lapic_save(&l, &s, false);
	CHECK_EQ(*(u32 *)(s.regs + APIC_TMCCT), 750000);

	/* A one-shot that has ended does not end again. */
	setup(LAPIC_XAPIC, 3);
	lapic_write(&l, APIC_LVTT, 0x41);
	lapic_write(&l, APIC_TMICT, 1000);
	now += 1000000;
	lapic_save(&l, &s, false);
	lapic_load(&l, &s, false);
	CHECK_EQ(l.timer.period, 0);

	/* Ids: shown as an xAPIC's, or as they are; and only one's own. */
	setup(LAPIC_X2APIC, 0x45);
	lapic_save(&l, &s, false);
	memcpy(&id, s.regs + APIC_ID, 4);
	CHECK_EQ(id, 0x45000000);
	CHECK_EQ(lapic_load(&l, &s, false), 0);
	CHECK_EQ(get(APIC_ID), 0x45);
	lapic_save(&l, &s, true);
	memcpy(&id, s.regs + APIC_ID, 4);
	CHECK_EQ(id, 0x45);
	CHECK_EQ(lapic_load(&l, &s, true), 0);
	id = 0x46;
	memcpy(s.regs + APIC_ID, &id, 4);
	CHECK(lapic_load(&l, &s, true) < 0);
}

static void hostile(void)
{
	struct kvm_lapic_state s;
	unsigned int i, k;
	u32 v;

	for (i = 0; i < 2000; i++) {
		setup(i & 1 ? LAPIC_XAPIC : LAPIC_X2APIC, random_below(4096));
		l.deadline_timer = i & 2;
		for (k = 0; k < sizeof(s); k++)
			((u8 *)&s)[k] = random64();
		lapic_load(&l, &s, false);
		for (k = 0; k < 100; k++) {
			now += random_below(1ull << random_below(60));
			lapic_write(&l, random_below(256) << 4, random64());
			lapic_read(&l, random_below(256) << 4, &v);
			lapic_icr_write(&l, random64(), random64());
			lapic_accept(&l, random64(), random64() & 1);
			lapic_matches(&l, random64(), random64() & 1);
			lapic_set_deadline(&l, random64());
			lapic_take(&l);
		}
		for (k = 0; k < 300; k++)
			lapic_eoi(&l);
		CHECK_EQ(l.isr_count, 0);
		CHECK_EQ((u32)lapic_highest(&l, APIC_ISR), (u32)-1);
	}
}

int main(void)
{
	RUN(priorities_nest);
	RUN(task_priority);
	RUN(bitmaps_as_registers);
	RUN(random_nesting);
	RUN(reset_state);
	RUN(software_disable_masks_lvts);
	RUN(writable_bits);
	RUN(x2apic_registers);
	RUN(self_ipi);
	RUN(icr_decoding);
	RUN(errors);
	RUN(physical_destinations);
	RUN(logical_destinations);
	RUN(timer_divider);
	RUN(timer_modes);
	RUN(timer_periods_are_bounded);
	RUN(timer_rate_change);
	RUN(deadline_mode);
	RUN(save_and_load);
	RUN(hostile);
	return finish();
}
