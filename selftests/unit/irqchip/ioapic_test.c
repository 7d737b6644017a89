// SPDX-License-Identifier: GPL-2.0-only
/* The I/O APIC by the 82093AA's data sheet, and MSI decoding. */
#include "../mmu/tap.h"
#include "ioapic.h"

static struct ioapic io;
static struct irq_message last;
static int sent, answer;

int ioapic_deliver(struct ioapic *unused, const struct irq_message *msg)
{
	last = *msg;
	sent++;
	return answer;
}

#define MASKED	(1ull << 16)
#define LEVEL	(1ull << 15)
#define RIRR	(1ull << 14)
#define LOGICAL	(1ull << 11)

static void write_reg(unsigned int index, u32 value)
{
	int pin;

	ioapic_write(&io, 0x00, index);
	pin = ioapic_write(&io, 0x10, value);
	if (pin >= 0 && ioapic_waits(&io, pin))
		ioapic_service(&io, pin);
}

static u32 read_reg(unsigned int index)
{
	ioapic_write(&io, 0x00, index);
	return ioapic_read(&io, 0x10);
}

static void entry(unsigned int pin, u64 bits)
{
	write_reg(0x11 + 2 * pin, bits >> 32);
	write_reg(0x10 + 2 * pin, bits);
}

static void setup(void)
{
	ioapic_reset(&io);
	sent = 0;
	answer = 1;
}

static void registers(void)
{
	setup();
	CHECK_EQ(read_reg(1), 0x00170011);
	write_reg(0, 0xffffffff);
	CHECK_EQ(read_reg(0), 0x0f000000);
	CHECK_EQ(read_reg(2), 0x0f000000);
	write_reg(1, 0);
	CHECK_EQ(read_reg(1), 0x00170011);
	CHECK_EQ(read_reg(0x10), MASKED);
	CHECK_EQ(read_reg(3), 0);
	CHECK_EQ(read_reg(0x10 + 48), 0xffffffff);	/* beyond the last pin */
	write_reg(0x10 + 48, 0);
	ioapic_write(&io, 0x00, 0x123);
	CHECK_EQ(ioapic_read(&io, 0x00), 0x23);
	CHECK_EQ(ioapic_read(&io, 0x20), 0);
	CHECK_EQ((u32)ioapic_write(&io, 0x20, 5), (u32)-1);
	/* Delivery status and remote IRR are read-only. */
	entry(3, MASKED | LEVEL | RIRR | 1 << 12 | 0x33);
	CHECK_EQ(read_reg(0x16), MASKED | LEVEL | 0x33);
}

static void edge_pins(void)
{
	setup();
	entry(4, 0x0500000000000044ull);
	CHECK_EQ(ioapic_set_line(&io, 4, true), 1);
	CHECK_EQ(sent, 1);
	CHECK_EQ(last.vector, 0x44);
	CHECK_EQ(last.dest, 5);
	CHECK(!last.level && !last.logical && last.mode == IRQ_FIXED);
	CHECK_EQ(ioapic_set_line(&io, 4, true), 0);	/* no edge */
	CHECK_EQ(sent, 1);
	ioapic_set_line(&io, 4, false);
	CHECK_EQ(ioapic_set_line(&io, 4, true), 1);
	CHECK_EQ(sent, 2);
	CHECK(!(read_reg(0x18) & RIRR));
	ioapic_eoi(&io, 0x44);				/* nothing to an edge */
	CHECK_EQ(sent, 2);
}

static void masked_edge_is_lost(void)
{
	setup();
	entry(4, MASKED | 0x44);
	CHECK_EQ((u32)ioapic_set_line(&io, 4, true), (u32)-1);
	entry(4, 0x44);
	CHECK_EQ(sent, 0);
	ioapic_set_line(&io, 4, false);
	ioapic_set_line(&io, 4, true);
	CHECK_EQ(sent, 1);
}

static void level_pins_and_remote_irr(void)
{
	setup();
	entry(10, LEVEL | 0x5a);
	CHECK_EQ(ioapic_set_line(&io, 10, true), 1);
	CHECK(last.level);
	CHECK(read_reg(0x24) & RIRR);
	CHECK_EQ((u32)ioapic_set_line(&io, 10, true), (u32)-1);
	CHECK_EQ(sent, 1);
	ioapic_eoi(&io, 0x5b);			/* another's */
	CHECK(read_reg(0x24) & RIRR);
	ioapic_eoi(&io, 0x5a);			/* the line is still up: again */
	CHECK_EQ(sent, 2);
	CHECK(read_reg(0x24) & RIRR);
	ioapic_set_line(&io, 10, false);
	ioapic_eoi(&io, 0x5a);
	CHECK_EQ(sent, 2);
	CHECK(!(read_reg(0x24) & RIRR));
}

static void level_pending_behind_the_mask(void)
{
	setup();
	entry(10, MASKED | LEVEL | 0x5a);
	ioapic_set_line(&io, 10, true);
	CHECK_EQ(sent, 0);
	entry(10, LEVEL | 0x5a);
	CHECK_EQ(sent, 1);
	/* Masked while in service: the EOI clears, unmasking sends. */
	entry(10, MASKED | LEVEL | 0x5a);
	ioapic_eoi(&io, 0x5a);
	CHECK_EQ(sent, 1);
	CHECK(!(read_reg(0x24) & RIRR));
	entry(10, LEVEL | 0x5a);
	CHECK_EQ(sent, 2);
}

static void turn_to_edge_clears_remote_irr(void)
{
	setup();
	entry(10, LEVEL | 0x5a);
	ioapic_set_line(&io, 10, true);
	CHECK(read_reg(0x24) & RIRR);
	entry(10, MASKED | 0x5a);
	CHECK(!(read_reg(0x24) & RIRR));
}

static void unreceived_level_is_not_waited_for(void)
{
	setup();
	answer = 0;
	entry(10, LEVEL | 0x5a);
	ioapic_set_line(&io, 10, true);
	CHECK(!(read_reg(0x24) & RIRR));
	answer = 1;
	ioapic_set_line(&io, 10, true);
	CHECK(read_reg(0x24) & RIRR);
	/* NMIs are never answered. */
	entry(11, LEVEL | 4 << 8);
	ioapic_set_line(&io, 11, true);
	CHECK_EQ(last.mode, IRQ_NMI);
	CHECK(!(read_reg(0x26) & RIRR));
}

static void eoi_reaches_every_pin_of_the_vector(void)
{
	int i;

	setup();
	for (i = 16; i < 20; i++) {
		entry(i, LEVEL | 0x60);
		ioapic_set_line(&io, i, true);
	}
	CHECK_EQ(ioapic_pins_of(&io, 0x60), 0xf0000);
	for (i = 16; i < 19; i++)
		ioapic_set_line(&io, i, false);
	sent = 0;
	ioapic_eoi(&io, 0x60);
	CHECK_EQ(sent, 1);
	for (i = 16; i < 19; i++)
		CHECK(!(read_reg(0x10 + 2 * i) & RIRR));
	CHECK(read_reg(0x10 + 2 * 19) & RIRR);
}

static void messages(void)
{
	struct irq_message m;
	int mode;

	setup();
	for (mode = 0; mode < 8; mode++) {
		entry(1, 0xff00000000000000ull | mode << 8 | LOGICAL | 0x31);
		ioapic_message(&io, 1, &m);
		CHECK_EQ(m.mode, mode);
		CHECK(m.logical && m.assert && !m.level && m.shorthand == TO_DEST);
		CHECK_EQ(m.dest, IRQ_BROADCAST);
	}
	irq_from_msi(&m, 0xfee01000, 0, 0x4041, false);
	CHECK_EQ(m.dest, 1);
	CHECK_EQ(m.vector, 0x41);
	CHECK(!m.logical && !m.redirect && !m.level && m.mode == IRQ_FIXED);
	irq_from_msi(&m, 0xfeeff00c, 0x12345600, 0xc141, false);
	CHECK_EQ(m.dest, IRQ_BROADCAST);
	CHECK(m.logical && m.redirect && m.level && m.mode == IRQ_LOWEST);
	irq_from_msi(&m, 0xfeeff000, 0x12345600, 0x41, true);
	CHECK_EQ(m.dest, 0x123456ff);
	CHECK(!m.everybody8);
	irq_from_msi(&m, 0xfeeff000, 0xffffff00, 0x41, true);
	CHECK_EQ(m.dest, IRQ_BROADCAST);
	CHECK(!m.everybody8);
	irq_from_msi(&m, 0xfeeff000, 0, 0x41, true);
	CHECK_EQ(m.dest, IRQ_BROADCAST);
	CHECK(m.everybody8);
}

static void save_and_load(void)
{
	struct kvm_ioapic_state s;

	setup();
	entry(4, 0x44);
	entry(10, LEVEL | 0x5a);
	entry(11, MASKED | LEVEL | 0x5b);
	ioapic_set_line(&io, 4, true);
	ioapic_set_line(&io, 10, true);
	ioapic_set_line(&io, 11, true);
	ioapic_save(&io, &s);
	CHECK_EQ(s.irr, 1 << 10 | 1 << 11);	/* the edge has been sent */
	sent = 0;
	ioapic_load(&io, &s);
	CHECK_EQ(sent, 0);			/* 10 waits for its EOI, 11 is masked */
	ioapic_eoi(&io, 0x5a);
	CHECK_EQ(sent, 1);
	/* An edge that was never sent goes at the load. */
	s.irr = 1 << 4;
	sent = 0;
	ioapic_load(&io, &s);
	CHECK_EQ(sent, 1);
	CHECK_EQ(last.vector, 0x44);
}

static void hostile_states(void)
{
	struct kvm_ioapic_state s;
	unsigned int i, k;

	setup();
	for (i = 0; i < 2000; i++) {
		for (k = 0; k < sizeof(s); k++)
			((u8 *)&s)[k] = random64();
		answer = random_below(3);
		ioapic_load(&io, &s);
		for (k = 0; k < 50; k++) {
			write_reg(random64(), random64());
			read_reg(random64());
			ioapic_set_line(&io, random_below(24), random64() & 1);
			ioapic_eoi(&io, random64());
		}
		ioapic_save(&io, &s);
		CHECK(s.ioregsel <= 0xff);
	}
}

int main(void)
{
	RUN(registers);
	RUN(edge_pins);
	RUN(masked_edge_is_lost);
	RUN(level_pins_and_remote_irr);
	RUN(level_pending_behind_the_mask);
	RUN(turn_to_edge_clears_remote_irr);
	RUN(unreceived_level_is_not_waited_for);
	RUN(eoi_reaches_every_pin_of_the_vector);
	RUN(messages);
	RUN(save_and_load);
	RUN(hostile_states);
	return finish();
}
