// SPDX-License-Identifier: GPL-2.0-only
/*
 * What random instructions in user mode cannot show: MMIO, ports, repetition, privilege, segments,
 * other modes.
 */
#include "expect.h"

static void test_mmio_read(void)
{
	SET_UP(LONG64, 0x8b, 0x07); /* mov (%rdi), %eax */
	GPR(RDI) = MMIO_BASE + 0x10;
	GPR(RAX) = ~0ull;
	EXPECT(step() == EMULATE_PENDING && m.ctxt.rip == 0x1000 && GPR(RAX) == ~0ull &&
	       !m.ctxt.gpr_dirty);
	EXPECT(m.n_events == 1 && m.events[0].address == MMIO_BASE + 0x10 && m.events[0].size == 4);
	m.answers[m.n_answers++] = 0x12345678;
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x12345678 && m.ctxt.gpr_dirty == 1 &&
	       m.ctxt.rip == 0x1002);
}

static void test_mmio_write(void)
{
	SET_UP(LONG64, 0x48, 0x89, 0x07); /* mov %rax, (%rdi) */
	GPR(RDI) = MMIO_BASE;
	GPR(RAX) = 0x1122334455667788;
	EXPECT(step() == EMULATE_DONE && m.n_events == 1 && m.events[0].kind == EVENT_MMIO_WRITE);
	EXPECT(m.events[0].value == 0x1122334455667788 && m.events[0].size == 8);
}

static void test_mmio_rmw(void)
{
	SET_UP(LONG64, 0x81, 0x0f, 1, 2, 3, 4); /* orl $0x04030201, (%rdi) */
	GPR(RDI) = MMIO_BASE;
	EXPECT(step() == EMULATE_PENDING && m.ctxt.rflags == FLAG_FIXED);
	m.answers[m.n_answers++] = 0x80000000;
	EXPECT(step() == EMULATE_DONE && m.events[1].kind == EVENT_MMIO_WRITE &&
	       m.events[1].value == 0x84030201);
	EXPECT(m.ctxt.rflags & FLAG_SF);
}

/* Memory to memory, both in MMIO: two reads in the same order each time. */
static void test_mmio_cmps(void)
{
	SET_UP(LONG64, 0xa7);
	GPR(RSI) = MMIO_BASE;
	GPR(RDI) = MMIO_BASE + 0x100;
	EXPECT(step() == EMULATE_PENDING && m.events[0].address == MMIO_BASE + 0x100);
	m.answers[m.n_answers++] = 5;
	EXPECT(step() == EMULATE_PENDING && m.events[1].address == MMIO_BASE &&
	       GPR(RSI) == MMIO_BASE);
	m.answers[m.n_answers++] = 5;
	EXPECT(step() == EMULATE_DONE && (m.ctxt.rflags & FLAG_ZF) && GPR(RSI) == MMIO_BASE + 4);
}

/* An access half in memory, half in MMIO; and one between two pages that faults on the second. */
static void test_crossing(void)
{
	SET_UP(LONG64, 0x8b, 0x07);
	GPR(RDI) = MMIO_BASE + MMIO_SIZE - 2;
	expect_fault(step(), VECTOR_PF, true, 0);
	EXPECT(m.ctxt.fault.address == MMIO_BASE + MMIO_SIZE && m.n_events == 0);
	SET_UP(LONG64, 0x89, 0x07);
	GPR(RDI) = RAM_SIZE - 2;
	expect_fault(step(), VECTOR_PF, true, 3);
	EXPECT(m.ctxt.fault.address == RAM_SIZE - 2);
}

static void test_rep_pending(void)
{
	unsigned int i;

	SET_UP(LONG64, 0xf3, 0xa5); /* rep movsl */
	GPR(RSI) = MMIO_BASE;
	GPR(RDI) = 0x4000;
	GPR(RCX) = 3;
	for (i = 0; i < 3; i++) {
		m.n_answers = 0;
		EXPECT(step() == EMULATE_PENDING && GPR(RCX) == 3 - i &&
		       GPR(RDI) == 0x4000 + 4 * i);
		EXPECT(m.ctxt.rip == 0x1000 && m.events[i].address == MMIO_BASE + 4 * i);
		m.answers[0] = 0x100 + i;
		m.n_answers = 1;
		if (i < 2) {
			EXPECT(step() == EMULATE_PENDING &&
			       m.ctxt.gpr_dirty == (1 << GPR_RCX | 1 << GPR_RSI | 1 << GPR_RDI));
			m.n_events--;
		}
	}
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1002 && GPR(RCX) == 0);
	EXPECT(machine_get(&m, 0x4004, 4) == 0x101 && machine_get(&m, 0x4008, 4) == 0x102);
}

static void test_stop_rep(void)
{
	SET_UP(LONG64, 0xf3, 0xaa); /* rep stosb */
	GPR(RDI) = MMIO_BASE;
	GPR(RCX) = 3;
	m.stop_on_write = true;
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 2 && m.ctxt.rip == 0x1000 && m.n_events == 1);
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 1 && m.ctxt.rip == 0x1000);
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 0 && m.ctxt.rip == 0x1002 && m.n_events == 3);
	/* a huge count comes back now and then, with nothing lost */
	SET_UP(LONG64, 0xf3, 0xac); /* rep lodsb */
	GPR(RSI) = 0x4000;
	GPR(RCX) = 0x10000;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1000 &&
	       GPR(RSI) - 0x4000 == 0x10000 - GPR(RCX));
	EXPECT(GPR(RCX) > 0 && GPR(RCX) < 0x10000);
}

/* A fault in the middle keeps what was done before it. */
static void test_rep_fault(void)
{
	SET_UP(LONG64, 0xf3, 0x66, 0xab); /* rep stosw */
	GPR(RDI) = READ_ONLY - 4;
	GPR(RCX) = 5;
	m.ctxt.rflags |= FLAG_RF;
	expect_fault(step(), VECTOR_PF, true, 3);
	EXPECT(GPR(RCX) == 3 && GPR(RDI) == READ_ONLY && m.ctxt.fault.address == READ_ONLY);
	EXPECT(m.ctxt.rflags & FLAG_RF);
}

static void test_outs(void)
{
	SET_UP(LONG64, 0xf3, 0x66, 0x6f); /* rep outsw */
	GPR(RSI) = 0x4ff8;
	GPR(RCX) = 10;
	GPR(RDX) = 0x1f0;
	machine_put(&m, 0x4ff8, 0x1122334455667788, 8);
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 0 && GPR(RSI) == 0x500c && m.n_events == 2);
	EXPECT(m.events[0].count == 4 && m.events[0].size == 2 &&
	       m.events[0].value == 0x1122334455667788);
	EXPECT(m.events[1].count == 6 && m.events[1].address == 0x1f0);
	/* backwards and from MMIO singly */
	SET_UP(LONG64, 0xf3, 0x6e);
	GPR(RSI) = 0x4010;
	GPR(RCX) = 2;
	m.ctxt.rflags |= FLAG_DF;
	EXPECT(step() == EMULATE_DONE && m.n_events == 2 && m.events[0].count == 1 &&
	       GPR(RSI) == 0x400e);
	SET_UP(LONG64, 0xf3, 0x6e);
	GPR(RSI) = MMIO_BASE;
	GPR(RCX) = 2;
	EXPECT(step() == EMULATE_PENDING && m.events[0].kind == EVENT_MMIO_READ && GPR(RCX) == 2);
}

static void test_ins(void)
{
	SET_UP(LONG64, 0xf3, 0x6d); /* rep insl */
	GPR(RDI) = 0x4ff4;
	GPR(RCX) = 4;
	GPR(RDX) = 0x1f0;
	EXPECT(step() == EMULATE_PENDING && m.events[0].kind == EVENT_IN &&
	       m.events[0].count == 3 && GPR(RCX) == 4);
	m.answers[m.n_answers++] = 0x70;
	EXPECT(step() == EMULATE_PENDING && m.events[1].count == 1 && GPR(RCX) == 1 &&
	       GPR(RDI) == 0x5000);
	EXPECT(machine_get(&m, 0x4ffc, 4) == 0x72 && m.ctxt.rip == 0x1000);
	m.answers[0] = 0x99;
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 0 && machine_get(&m, 0x5000, 4) == 0x99);
	/* a destination that cannot be written costs no read of the port */
	SET_UP(LONG64, 0x6c);
	GPR(RDI) = READ_ONLY;
	expect_fault(step(), VECTOR_PF, true, 3);
	EXPECT(m.n_events == 0);
}

/* Moves and exchanges that drivers make with devices, and that take more than one step there. */
static void test_mmio_moves(void)
{
	SET_UP(LONG64, 0x0f, 0x38, 0xf0, 0x07); /* movbe (%rdi), %eax */
	GPR(RDI) = MMIO_BASE;
	m.answers[m.n_answers++] = 0x11223344;
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x44332211);
	SET_UP(LONG64, 0x48, 0x0f, 0x38, 0xf1, 0x07);
	GPR(RDI) = MMIO_BASE;
	GPR(RAX) = 0x1122334455667788;
	EXPECT(step() == EMULATE_DONE && m.events[0].value == 0x8877665544332211);
	SET_UP(LONG64, 0x48, 0x0f, 0xc3, 0x07); /* movnti %rax, (%rdi) */
	GPR(RDI) = MMIO_BASE;
	GPR(RAX) = 0x1122334455667788;
	EXPECT(step() == EMULATE_DONE && m.events[0].size == 8 &&
	       m.events[0].value == 0x1122334455667788);
	SET_UP(LONG64, 0xf0, 0x0f, 0xc7, 0x0f); /* lock cmpxchg8b (%rdi) */
	GPR(RDI) = MMIO_BASE;
	GPR(RAX) = 5;
	GPR(RBX) = 7;
	EXPECT(step() == EMULATE_PENDING && m.events[0].size == 8);
	m.answers[m.n_answers++] = 5;
	EXPECT(step() == EMULATE_DONE && (m.ctxt.rflags & FLAG_ZF));
	EXPECT(m.events[m.n_events - 1].kind == EVENT_MMIO_WRITE &&
	       m.events[m.n_events - 1].value == 7);
	SET_UP(LONG64, 0xff, 0x37); /* push from a device, and pop to one */
	GPR(RDI) = MMIO_BASE;
	m.answers[m.n_answers++] = 0x77;
	EXPECT(step() == EMULATE_DONE && machine_get(&m, 0x7ff8, 8) == 0x77);
	CODE(0x8f, 0x07);
	EXPECT(step() == EMULATE_DONE && GPR(RSP) == 0x8000 && m.events[0].value == 0x77);
	SET_UP(PROT32, 0x61); /* popa from one: eight reads, and nothing has changed before the last */
	GPR(RSP) = MMIO_BASE;
	m.n_answers = 7;
	EXPECT(step() == EMULATE_PENDING && GPR(RSP) == MMIO_BASE && !GPR(RDI));
	m.answers[0] = 0x99;
	m.n_answers = 8;
	EXPECT(step() == EMULATE_DONE && GPR(RDI) == 0x99 && GPR(RSP) == MMIO_BASE + 32);
}

static void test_in_out(void)
{
	SET_UP(LONG64, 0xe4, 0x61); /* in $0x61, %al */
	GPR(RAX) = 0x1234;
	EXPECT(emulate_decode(&m.ctxt) == EMULATE_DONE && emulate_is(&m.ctxt, INSN_IN) &&
	       emulate_port(&m.ctxt) == 0x61);
	EXPECT(step() == EMULATE_PENDING && GPR(RAX) == 0x1234);
	m.answers[m.n_answers++] = 0xab;
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x12ab);
	SET_UP(LONG64, 0x48, 0xef); /* REX.W out %eax, (%dx): still 32 bits */
	GPR(RDX) = 0xcf8;
	GPR(RAX) = 0x1122334455667788;
	EXPECT(step() == EMULATE_DONE && m.events[0].size == 4 && m.events[0].value == 0x55667788);
	EXPECT(m.events[0].address == 0xcf8);
}

static void test_io_permission(void)
{
	SET_UP(LONG64, 0xe6, 0x80); /* out %al, $0x80 */
	m.ctxt.cpl = 3;
	machine_put(&m, 0x3066, 0x68, 2); /* the map starts behind the limit */
	expect_fault(step(), VECTOR_GP, true, 0);
	m.ctxt.rflags |= FLAG_IOPL;
	EXPECT(step() == EMULATE_DONE);
	/* permission map: bit clear allows, but not half of an access, and not past the limit */
	SET_UP(LONG64, 0x66, 0xe7, 0x80); /* out %ax, $0x80 */
	m.ctxt.cpl = 3;
	m.segments[SEG_TR].limit = 0x68 + 0x11;
	machine_put(&m, 0x3066, 0x68, 2);
	EXPECT(step() == EMULATE_DONE);
	m.ctxt.rip = 0x1000;
	machine_put(&m, 0x3000 + 0x68 + 0x10, 2, 1);
	expect_fault(step(), VECTOR_GP, true, 0);
	machine_put(&m, 0x3000 + 0x68 + 0x10, 0, 1);
	m.segments[SEG_TR].limit--;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.segments[SEG_TR].attributes = SEG_P | 3;
	expect_fault(step(), VECTOR_GP, true, 0);
	/* virtual 8086 mode always asks the map */
	SET_UP(VM86, 0xe6, 0x80);
	m.ctxt.rflags |= FLAG_IOPL;
	machine_put(&m, 0x3066, 0x68, 2);
	expect_fault(step(), VECTOR_GP, true, 0);
}

static void test_lock(void)
{
	EXPECT(RUN(LONG64, 0xf0, 0x01, 0xc0) == EMULATE_FAULT &&
	       m.ctxt.fault.vector == VECTOR_UD); /* register */
	EXPECT(RUN(LONG64, 0xf0, 0x03, 0x07) == EMULATE_FAULT &&
	       m.ctxt.fault.vector == VECTOR_UD); /* load */
	EXPECT(RUN(LONG64, 0xf0, 0x39, 0x07) == EMULATE_FAULT &&
	       m.ctxt.fault.vector == VECTOR_UD); /* CMP */
	EXPECT(RUN(LONG64, 0xf0, 0x90) == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_UD);
	SET_UP(LONG64, 0xf0, 0x01, 0x07);
	GPR(RDI) = 0x4000;
	GPR(RAX) = 5;
	EXPECT(step() == EMULATE_DONE && m.n_events == 1 && m.events[0].kind == EVENT_CMPXCHG);
	EXPECT(machine_get(&m, 0x4000, 4) == 5);
	/* XCHG needs no LOCK, plain ADD is not locked */
	SET_UP(LONG64, 0x87, 0x07);
	GPR(RDI) = 0x4000;
	EXPECT(step() == EMULATE_DONE && m.events[0].kind == EVENT_CMPXCHG);
	/* a race that is always lost: nothing happens, the guest runs it again */
	SET_UP(LONG64, 0xf0, 0x0f, 0xc1, 0x07); /* lock xadd %eax, (%rdi) */
	GPR(RDI) = 0x4000;
	GPR(RAX) = 5;
	m.lose_races = true;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1000 && GPR(RAX) == 5 &&
	       m.ctxt.rflags == FLAG_FIXED);
	SET_UP(LONG64, 0xf0, 0x0f, 0xc7, 0x0f); /* lock cmpxchg8b (%rdi) */
	GPR(RDI) = 0x4000;
	m.lose_races = true;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1000 && m.ctxt.rflags == FLAG_FIXED);
}

static void test_cmpxchg16b(void)
{
	SET_UP(LONG64, 0xf0, 0x48, 0x0f, 0xc7, 0x0f);
	GPR(RDI) = 0x4000;
	GPR(RBX) = 0x11;
	GPR(RCX) = 0x22;
	EXPECT(step() == EMULATE_DONE && (m.ctxt.rflags & FLAG_ZF));
	EXPECT(machine_get(&m, 0x4000, 8) == 0x11 && machine_get(&m, 0x4008, 8) == 0x22);
	m.ctxt.rip = 0x1000;
	EXPECT(step() == EMULATE_DONE && !(m.ctxt.rflags & FLAG_ZF) && GPR(RAX) == 0x11 &&
	       GPR(RDX) == 0x22);
	m.ctxt.rip = 0x1000;
	GPR(RDI) = 0x4008;
	expect_fault(step(), VECTOR_GP, true, 0);
}

/* 16-bit addresses wrap around; an access that would is outside the limit. */
static void test_wrap16(void)
{
	SET_UP(REAL, 0x8a, 0x40, 0x10); /* mov 0x10(%bx,%si), %al */
	GPR(RBX) = 0xfff0;
	GPR(RSI) = 0x4010;
	machine_put(&m, 0x4010, 0x77, 1);
	EXPECT(step() == EMULATE_DONE && (GPR(RAX) & 0xff) == 0x77);
	SET_UP(REAL, 0x8b, 0x07); /* mov (%bx), %ax */
	GPR(RBX) = 0xffff;
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(REAL, 0x8b, 0x46, 0x00); /* mov (%bp), %ax: the stack segment */
	GPR(RBP) = 0xffff;
	expect_fault(step(), VECTOR_SS, true, 0);
}

static void test_fetch(void)
{
	unsigned int i;

	/* 15 bytes are possible, 16 are not */
	SET_UP(LONG64, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	       0x66, 0x90);
	EXPECT(step() == EMULATE_DONE && m.ctxt.insn.length == 15);
	SET_UP(LONG64, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	       0x66, 0x66, 0x90);
	expect_fault(step(), VECTOR_GP, true, 0);
	/*
	 * an instruction that ends with the last byte of memory is fine, one byte more faults there
	 */
	SET_UP(LONG64, 0x90);
	machine_put(&m, RAM_SIZE - 2, 0xc031, 2);
	m.ctxt.rip = RAM_SIZE - 2;
	EXPECT(step() == EMULATE_DONE && m.ctxt.insn.length == 2);
	machine_put(&m, RAM_SIZE - 2, 0x05c7, 2);
	m.ctxt.rip = RAM_SIZE - 2;
	EXPECT(step() == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_PF &&
	       m.ctxt.fault.address == RAM_SIZE);
	m.ctxt.rip = 0x7ffffffffffe;
	for (i = 0; i < 3; i++)
		m.ctxt.bytes[i] = 0x66;
	m.ctxt.n_bytes = 2;
	EXPECT(emulate_decode(&m.ctxt) == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_GP);
	/* past the code segment's limit */
	SET_UP(PROT32, 0xb8, 1, 2, 3, 4);
	m.segments[SEG_CS].limit = 0x1003;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.segments[SEG_CS].limit = 0x1004;
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x04030201);
}

static void test_segment_checks(void)
{
	SET_UP(PROT32, 0x8b, 0x07);
	m.segments[SEG_DS].attributes &= ~SEG_P;
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(PROT32, 0x89, 0x07);
	m.segments[SEG_DS].attributes &= ~SEG_TYPE_WRITE;
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(PROT32, 0x2e, 0x8b, 0x07); /* from CS, execute-only */
	m.segments[SEG_CS].attributes &= ~SEG_TYPE_WRITE;
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(PROT32, 0x8b, 0x07); /* expand-down: above the limit only */
	m.segments[SEG_DS].attributes |= SEG_TYPE_DOWN;
	m.segments[SEG_DS].limit = 0x4fff;
	GPR(RDI) = 0x4fff;
	expect_fault(step(), VECTOR_GP, true, 0);
	GPR(RDI) = 0x5000;
	EXPECT(step() == EMULATE_DONE);
	SET_UP(PROT32, 0x8b, 0x07); /* base wraps at 4 GiB */
	m.segments[SEG_DS].base = 0xfffff000;
	GPR(RDI) = 0x5000;
	machine_put(&m, 0x4000, 0x55, 4);
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x55);
	SET_UP(LONG64, 0x65, 0x8b, 0x07); /* GS base in 64-bit mode */
	m.segments[SEG_GS].base = 0x3ff0;
	GPR(RDI) = 0x10;
	machine_put(&m, 0x4000, 0x66, 4);
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x66);
}

static void test_load_segment(void)
{
	u16 data = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_DB | SEG_G;

	SET_UP(PROT32, 0x8e, 0xd8); /* mov %eax, %ds */
	machine_put(&m, 0x2020, descriptor64(0x1230, 0xfffff, data), 8);
	GPR(RAX) = 0x20;
	EXPECT(step() == EMULATE_DONE && m.segments[SEG_DS].base == 0x1230 &&
	       m.segments[SEG_DS].limit == 0xffffffff);
	EXPECT(machine_get(&m, 0x2025, 1) & SEG_TYPE_ACCESSED);
	m.ctxt.rip = 0x1000;
	machine_put(&m, 0x2020, descriptor64(0, 0, data & ~SEG_P), 8);
	expect_fault(step(), VECTOR_NP, true, 0x20);
	machine_put(&m, 0x2020, descriptor64(0, 0, SEG_P | SEG_S | SEG_TYPE_CODE),
		    8); /* execute-only */
	expect_fault(step(), VECTOR_GP, true, 0x20);
	machine_put(&m, 0x2020, descriptor64(0, 0, data), 8);
	GPR(RAX) = 0x21; /* RPL 1 against DPL 0 */
	expect_fault(step(), VECTOR_GP, true, 0x20);
	GPR(RAX) = 0x100; /* outside the table */
	expect_fault(step(), VECTOR_GP, true, 0x100);
	GPR(RAX) = 0x24; /* no LDT */
	expect_fault(step(), VECTOR_GP, true, 0x24);
	GPR(RAX) = 3;
	EXPECT(step() == EMULATE_DONE && !(m.segments[SEG_DS].attributes & SEG_P));
	/* SS: null, wrong DPL, not present; then the shadow */
	SET_UP(PROT32, 0x8e, 0xd0);
	expect_fault(step(), VECTOR_GP, true, 0);
	machine_put(&m, 0x2020, descriptor64(0, 0, data | SEG_DPL), 8);
	GPR(RAX) = 0x20;
	expect_fault(step(), VECTOR_GP, true, 0x20);
	machine_put(&m, 0x2020, descriptor64(0, 0, data & ~SEG_P), 8);
	expect_fault(step(), VECTOR_SS, true, 0x20);
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, data), 8);
	EXPECT(step() == EMULATE_DONE && m.ctxt.shadow == EMULATE_SHADOW_MOV_SS);
	/* in which another load casts none; STI's does not count, and a single step waits */
	m.ctxt.rip = 0x1000;
	EXPECT(step() == EMULATE_DONE && !m.ctxt.shadow);
	m.ctxt.rip = 0x1000;
	m.ctxt.shadow = EMULATE_SHADOW_STI;
	m.ctxt.rflags |= FLAG_TF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.shadow && !m.ctxt.single_step);
	/* real mode takes the base from the selector */
	SET_UP(REAL, 0xc5, 0x1f); /* lds (%bx), %bx */
	GPR(RBX) = 0x4000;
	machine_put(&m, 0x4000, 0x12345678, 4);
	EXPECT(step() == EMULATE_DONE && GPR(RBX) == 0x5678 && m.segments[SEG_DS].base == 0x12340);
}

static void test_inspect(void)
{
	SET_UP(PROT32, 0x0f, 0x02, 0xc1); /* lar %ecx, %eax */
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_G),
		    8);
	GPR(RCX) = 0x20;
	EXPECT(step() == EMULATE_DONE && (m.ctxt.rflags & FLAG_ZF) && GPR(RAX) == 0x8f9200);
	CODE(0x0f, 0x03, 0xc1);
	m.ctxt.rip = 0x1000;
	CODE(0x0f, 0x03, 0xc1); /* lsl */
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0xffffffff);
	m.ctxt.rip = 0x1000;
	CODE(0x0f, 0x00, 0xe1); /* verr */
	EXPECT(step() == EMULATE_DONE && (m.ctxt.rflags & FLAG_ZF));
	m.ctxt.rip = 0x1000;
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, SEG_P | SEG_S | SEG_TYPE_CODE), 8);
	CODE(0x0f, 0x00, 0xe9); /* verw */
	EXPECT(step() == EMULATE_DONE && !(m.ctxt.rflags & FLAG_ZF));
	m.ctxt.rip = 0x1000;
	GPR(RCX) = 0;
	GPR(RAX) = 0x77;
	CODE(0x0f, 0x02, 0xc1);
	EXPECT(step() == EMULATE_DONE && !(m.ctxt.rflags & FLAG_ZF) && GPR(RAX) == 0x77);
	EXPECT(RUN(REAL, 0x0f, 0x02, 0xc1) == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_UD);
}

static void test_tables(void)
{
	SET_UP(LONG64, 0x0f, 0x01, 0x17); /* lgdt (%rdi) */
	GPR(RDI) = 0x4000;
	machine_put(&m, 0x4000, 0x7f, 2);
	machine_put(&m, 0x4002, 0x5000, 8);
	EXPECT(step() == EMULATE_DONE && m.tables[TABLE_GDT].base == 0x5000 &&
	       m.tables[TABLE_GDT].limit == 0x7f);
	CODE(0x0f, 0x01, 0x0e); /* sidt (%rsi) */
	GPR(RSI) = 0x4100;
	EXPECT(step() == EMULATE_DONE && machine_get(&m, 0x4100, 2) == 0x3ff &&
	       machine_get(&m, 0x4102, 8) == 0x2800);
	SET_UP(LONG64, 0x0f, 0x01, 0x1f); /* lidt, not canonical */
	GPR(RDI) = 0x4000;
	machine_put(&m, 0x4002, 0x800000000000, 8);
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(PROT16, 0x0f, 0x01, 0x17); /* 16-bit operands: 24 bits of base */
	m.segments[SEG_DS].attributes &= ~SEG_DB;
	GPR(RBX) = 0x4000;
	machine_put(&m, 0x4002, 0x12345678, 4);
	EXPECT(step() == EMULATE_DONE && m.tables[TABLE_GDT].base == 0x345678);
	SET_UP(LONG64, 0x0f, 0x01, 0x06); /* sgdt with UMIP at CPL 3 */
	m.ctxt.cpl = 3;
	m.cr[4] |= CR4_UMIP_BIT;
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(PROT32, 0x0f, 0x00, 0xd8); /* ltr %eax */
	GPR(RAX) = 0x20;
	machine_put(&m, 0x2020, descriptor64(0x3000, 0x67, SEG_P | 9), 8);
	EXPECT(step() == EMULATE_DONE && m.segments[SEG_TR].base == 0x3000 &&
	       (machine_get(&m, 0x2025, 1) & 0xf) == 0xb);
	m.ctxt.rip = 0x1000;
	expect_fault(step(), VECTOR_GP, true, 0x20); /* busy now */
	SET_UP(PROT32, 0x0f, 0x00, 0xd0);	     /* lldt %eax */
	GPR(RAX) = 0x28;
	machine_put(&m, 0x2028, descriptor64(0x6000, 0x1f, SEG_P | 2), 8);
	EXPECT(step() == EMULATE_DONE && m.segments[SEG_LDTR].base == 0x6000);
	CODE(0x0f, 0x00, 0xc1); /* sldt %ecx */
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 0x28);
	CODE(0x0f, 0x00, 0xc9); /* str %ecx */
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 0x18);
}

static void test_control_registers(void)
{
	SET_UP(LONG64, 0x0f, 0x22, 0xd8); /* mov %rax, %cr3 */
	GPR(RAX) = 0x123456789000;
	EXPECT(emulate_decode(&m.ctxt) == EMULATE_DONE && emulate_is(&m.ctxt, INSN_MOV_TO_CR));
	EXPECT(m.ctxt.insn.reg == 3 && m.ctxt.insn.rm == GPR_RAX &&
	       emulate_next_rip(&m.ctxt) == 0x1003);
	EXPECT(step() == EMULATE_DONE && m.cr[3] == 0x123456789000);
	CODE(0x44, 0x0f, 0x20, 0xc1); /* mov %cr8, %rcx */
	m.cr[8] = 5;
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 5);
	m.ctxt.cpl = 3;
	m.ctxt.rip = 0x1000;
	expect_fault(step(), VECTOR_GP, true, 0);
	EXPECT(RUN(LONG64, 0x0f, 0x22, 0xc8) == EMULATE_FAULT &&
	       m.ctxt.fault.vector == VECTOR_UD); /* CR1 */
	SET_UP(PROT32, 0xf0, 0x0f, 0x20, 0xc1);	  /* LOCK MOV CR0: CR8 on AMD, #UD on Intel */
	expect_fault(step(), VECTOR_UD, false, 0);
	m.ctxt.amd = true;
	m.cr[8] = 9;
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 9);
	SET_UP(REAL, 0x0f, 0x01, 0xf0); /* lmsw %ax */
	GPR(RAX) = 0xffff;
	EXPECT(step() == EMULATE_DONE && m.cr[0] == 0x1f);
	CODE(0x0f, 0x01, 0xf1); /* lmsw %cx: cannot clear PE */
	EXPECT(step() == EMULATE_DONE && m.cr[0] == 0x11);
	CODE(0x0f, 0x01, 0xe2); /* smsw %dx */
	EXPECT(step() == EMULATE_DONE && GPR(RDX) == 0x11);
	SET_UP(LONG64, 0x0f, 0x06); /* clts */
	m.cr[0] |= CR0_TS_BIT;
	EXPECT(step() == EMULATE_DONE && !(m.cr[0] & CR0_TS_BIT));
}

static void test_debug_registers(void)
{
	SET_UP(LONG64, 0x0f, 0x23, 0xf8); /* mov %rax, %dr7 */
	GPR(RAX) = 0x100000000;
	expect_fault(step(), VECTOR_GP, true, 0);
	GPR(RAX) = 0x401;
	EXPECT(step() == EMULATE_DONE && m.dr[7] == 0x401);
	CODE(0x0f, 0x21, 0xe9); /* mov %dr5, %rcx */
	EXPECT(step() == EMULATE_DONE && GPR(RCX) == 0x401);
	m.ctxt.rip = 0x1000;
	CODE(0x0f, 0x21, 0xe9);
	m.cr[4] |= CR4_DE_BIT;
	expect_fault(step(), VECTOR_UD, false, 0);
	m.cr[4] &= ~CR4_DE_BIT;
	m.dr[7] |= 1 << 13;
	expect_fault(step(), VECTOR_DB, false, 0);
	EXPECT(m.dr[6] & 1 << 13);
	/* no such register, then CPL, then general detect */
	m.ctxt.cpl = 3;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.cr[4] |= CR4_DE_BIT;
	expect_fault(step(), VECTOR_UD, false, 0);
}

static void test_msr(void)
{
	SET_UP(LONG64, 0x0f, 0x32); /* rdmsr */
	GPR(RCX) = IA32_LSTAR;
	GPR(RAX) = GPR(RDX) = ~0ull;
	m.msr_lstar = 0x1122334455667788;
	EXPECT(step() == EMULATE_DONE && GPR(RAX) == 0x55667788 && GPR(RDX) == 0x11223344);
	GPR(RCX) = 0x12345;
	m.ctxt.rip = 0x1000;
	expect_fault(step(), VECTOR_GP, true, 0);
	CODE(0x0f, 0x30); /* wrmsr */
	GPR(RCX) = IA32_STAR;
	EXPECT(step() == EMULATE_DONE && m.msr_star == 0x1122334455667788);
	EXPECT(RUN(LONG64, 0x0f, 0xa2) == EMULATE_DONE && GPR(RAX) == 1 && GPR(RDX) == 4);
	EXPECT(RUN(LONG64, 0x0f, 0x01, 0xf9) == EMULATE_DONE && GPR(RAX) == 0x3456789a &&
	       GPR(RCX) == 7);
	SET_UP(LONG64, 0x0f, 0x31);
	m.ctxt.cpl = 3;
	m.cr[4] |= CR4_TSD_BIT;
	expect_fault(step(), VECTOR_GP, true, 0);
	EXPECT(RUN(LONG64, 0x0f, 0x33) == EMULATE_DONE && GPR(RDX) == 5);
	EXPECT(RUN(LONG64, 0x0f, 0x01, 0xd0) == EMULATE_DONE && GPR(RAX) == 7);	      /* xgetbv */
	EXPECT(RUN(LONG64, 0xf3, 0x0f, 0xc7, 0xf8) == EMULATE_DONE && GPR(RAX) == 7); /* rdpid */
	SET_UP(LONG64, 0x0f, 0x01, 0xd1);					      /* xsetbv */
	GPR(RAX) = 3;
	EXPECT(step() == EMULATE_DONE && m.cr[EMULATE_XCR0] == 3);
	m.ctxt.cpl = 3;
	m.ctxt.rip = 0x1000;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.cr[4] &= ~(u64)CR4_OSXSAVE_BIT;
	expect_fault(step(), VECTOR_UD, false, 0);
	SET_UP(LONG64, 0x0f, 0x01, 0xf8); /* swapgs */
	m.msr_kernel_gs = 0x1111;
	m.segments[SEG_GS].base = 0x2222;
	EXPECT(step() == EMULATE_DONE && m.segments[SEG_GS].base == 0x1111 &&
	       m.msr_kernel_gs == 0x2222);
	SET_UP(LONG64, 0xf3, 0x48, 0x0f, 0xae, 0xd8); /* wrgsbase %rax */
	GPR(RAX) = 0x800000000000;
	expect_fault(step(), VECTOR_GP, true, 0);
	GPR(RAX) = 0x3333;
	EXPECT(step() == EMULATE_DONE && m.segments[SEG_GS].base == 0x3333);
}

static void expect_special(enum emulate_special kind, u64 operand)
{
	EXPECT(m.n_events == 1 && m.events[0].kind == EVENT_SPECIAL && m.events[0].size == kind);
	EXPECT(m.events[0].address == operand);
}

static void test_special(void)
{
	EXPECT(RUN(LONG64, 0xf4) == EMULATE_DONE && m.ctxt.rip == 0x1001);
	expect_special(SPECIAL_HLT, 0);
	SET_UP(LONG64, 0x65, 0x0f, 0x01, 0x7f, 0x08); /* invlpg %gs:8(%rdi) */
	m.segments[SEG_GS].base = 0x10000;
	GPR(RDI) = 0x4000;
	EXPECT(emulate_decode(&m.ctxt) == EMULATE_DONE && emulate_is(&m.ctxt, INSN_INVLPG));
	EXPECT(emulate_linear_address(&m.ctxt) == 0x14008);
	EXPECT(step() == EMULATE_DONE);
	expect_special(SPECIAL_INVLPG, 0x14008);
	EXPECT(RUN(LONG64, 0x0f, 0x01, 0xc1) == EMULATE_DONE);
	expect_special(SPECIAL_HYPERCALL, 0);
	EXPECT(RUN(LONG64, 0x0f, 0x09) == EMULATE_DONE);
	expect_special(SPECIAL_WBINVD, 0);
	EXPECT(RUN(LONG64, 0x0f, 0x08) == EMULATE_DONE);
	expect_special(SPECIAL_INVD, 0);
	EXPECT(RUN(LONG64, 0x0f, 0x01, 0xc9) == EMULATE_DONE);
	expect_special(SPECIAL_MWAIT, 0);
	SET_UP(LONG64, 0x0f, 0x01, 0xc9);
	GPR(RCX) = 2;
	expect_fault(step(), VECTOR_GP, true, 0);
	EXPECT(RUN(LONG64, 0x0f, 0x01, 0xd8) == EMULATE_DONE);
	expect_special(SPECIAL_VIRT, 0);
	EXPECT(RUN(LONG64, 0x0f, 0xaa) == EMULATE_DONE);
	expect_special(SPECIAL_RSM, 0);
	SET_UP(LONG64, 0x66, 0x0f, 0x38, 0x82, 0x07); /* invpcid (%rdi), %rax */
	GPR(RAX) = 2;
	GPR(RDI) = 0x4000;
	EXPECT(step() == EMULATE_DONE && m.events[0].value == 2);
	expect_special(SPECIAL_INVPCID, 0x4000);
	SET_UP(LONG64, 0x0f, 0x01, 0xc8); /* monitor */
	GPR(RAX) = 0x4000;
	EXPECT(step() == EMULATE_DONE);
	expect_special(SPECIAL_MONITOR, 0x4000);
	EXPECT(RUN(LONG64, 0x0f, 0x0b) == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_UD);
	/* known, but not emulated: never skipped */
	EXPECT(RUN(LONG64, 0x0f, 0x58, 0xc1) == EMULATE_UNSUPPORTED && m.ctxt.rip == 0x1000 &&
	       m.ctxt.insn.length == 3);
	EXPECT(RUN(LONG64, 0xd9, 0xe8) == EMULATE_UNSUPPORTED);
}

static void test_flags_and_shadow(void)
{
	EXPECT(RUN(LONG64, 0xfb) == EMULATE_DONE && m.ctxt.shadow == EMULATE_SHADOW_STI &&
	       (m.ctxt.rflags & FLAG_IF));
	CODE(0xfb); /* again: IF is set already, no shadow */
	EXPECT(step() == EMULATE_DONE && m.ctxt.shadow == 0);
	CODE(0xfa);
	EXPECT(step() == EMULATE_DONE && !(m.ctxt.rflags & FLAG_IF));
	SET_UP(LONG64, 0xfa);
	m.ctxt.cpl = 3;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.cr[4] |= CR4_PVI_BIT;
	EXPECT(step() == EMULATE_UNSUPPORTED);
	EXPECT(RUN(LONG64, 0x0f, 0x01, 0xcb) == EMULATE_DONE &&
	       (m.ctxt.rflags & FLAG_AC)); /* stac */
	CODE(0x0f, 0x01, 0xca);
	EXPECT(step() == EMULATE_DONE && !(m.ctxt.rflags & FLAG_AC));
	m.ctxt.cpl = 3;
	m.ctxt.rip = 0x1000;
	expect_fault(step(), VECTOR_UD, false, 0);
	/* TF before the instruction asks for a trap after it; RF is over */
	SET_UP(LONG64, 0x90);
	m.ctxt.rflags |= FLAG_TF | FLAG_RF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.single_step && !(m.ctxt.rflags & FLAG_RF));
	/* and after each iteration */
	SET_UP(LONG64, 0xf3, 0xaa);
	GPR(RDI) = 0x4000;
	GPR(RCX) = 2;
	m.ctxt.rflags |= FLAG_TF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.single_step && GPR(RCX) == 1 &&
	       m.ctxt.rip == 0x1000);
	/* POPF at CPL 3 leaves IF and IOPL alone, without a fault */
	SET_UP(LONG64, 0x9d);
	m.ctxt.cpl = 3;
	GPR(RSP) = 0x4000;
	machine_put(&m, 0x4000, 0x3fffff, 8);
	EXPECT(step() == EMULATE_DONE &&
	       !(m.ctxt.rflags & (FLAG_IF | FLAG_IOPL | FLAG_RF | FLAG_VM | FLAG_VIP)));
	EXPECT((m.ctxt.rflags & (FLAG_TF | FLAG_AC | FLAG_ID | FLAG_NT)) ==
	       (FLAG_TF | FLAG_AC | FLAG_ID | FLAG_NT));
	EXPECT(!m.ctxt.single_step);
}

static void test_bcd(void)
{
	SET_UP(PROT32, 0x27); /* daa: 79h + 35h = AEh */
	GPR(RAX) = 0xae;
	EXPECT(step() == EMULATE_DONE && (GPR(RAX) & 0xff) == 0x14 && (m.ctxt.rflags & FLAG_CF));
	SET_UP(PROT32, 0xd4, 10); /* aam */
	GPR(RAX) = 123;
	EXPECT(step() == EMULATE_DONE && (GPR(RAX) & 0xffff) == 0x0c03);
	EXPECT(RUN(PROT32, 0xd4, 0) == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_DE);
	EXPECT(RUN(LONG64, 0x27) == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_UD);
}

static void test_vector(void)
{
	SET_UP(LONG64, 0x0f, 0x11, 0x07); /* movups %xmm0, (%rdi) to MMIO */
	GPR(RDI) = MMIO_BASE;
	m.vectors[0][0] = 0x42;
	EXPECT(step() == EMULATE_DONE && m.events[0].size == 16 && m.events[0].value == 0x42);
	SET_UP(LONG64, 0x66, 0x0f, 0x6f, 0x0f); /* movdqa (%rdi), %xmm1: 16 bytes in two answers */
	GPR(RDI) = MMIO_BASE;
	EXPECT(step() == EMULATE_PENDING && m.events[0].size == 8);
	m.answers[m.n_answers++] = 1;
	EXPECT(step() == EMULATE_PENDING && m.events[1].address == MMIO_BASE + 8);
	m.answers[m.n_answers++] = 2;
	EXPECT(step() == EMULATE_DONE && m.vectors[1][0] == 1 && m.vectors[1][8] == 2);
	m.ctxt.rip = 0x1000;
	GPR(RDI)++;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.cr[0] |= CR0_TS_BIT;
	expect_fault(step(), VECTOR_NM, false, 0);
	m.cr[0] |= CR0_EM_BIT;
	expect_fault(step(), VECTOR_UD, false, 0);
	SET_UP(LONG64, 0xc5, 0xfe, 0x6f, 0x07); /* vmovdqu (%rdi), %ymm0 */
	GPR(RDI) = 0x4001;
	memset(m.vectors[0], 0xff, 64);
	EXPECT(step() == EMULATE_DONE && m.vectors[0][31] == 0 && m.vectors[0][40] == 0);
	m.ctxt.rip = 0x1000;
	m.cr[EMULATE_XCR0] = 3;
	expect_fault(step(), VECTOR_UD, false, 0);
	SET_UP(LONG64, 0x0f, 0x7f, 0x0f); /* movq %mm1, (%rdi) */
	GPR(RDI) = 0x4000;
	m.mmx[1][0] = 9;
	EXPECT(step() == EMULATE_DONE && machine_get(&m, 0x4000, 8) == 9);
	CODE(0x0f, 0x6e, 0x17); /* movd (%rdi), %mm2 */
	EXPECT(step() == EMULATE_DONE && m.mmx[2][0] == 9);
	CODE(0x0f, 0x6f, 0xda); /* movq %mm2, %mm3 */
	EXPECT(step() == EMULATE_DONE && m.mmx[3][0] == 9);
	SET_UP(LONG64, 0x66, 0x0f, 0x38, 0xf8, 0x06); /* movdir64b (%rsi), %rax */
	GPR(RSI) = 0x4000;
	GPR(RAX) = 0x4040;
	machine_put(&m, 0x4038, 0x77, 1);
	EXPECT(step() == EMULATE_DONE && machine_get(&m, 0x4078, 1) == 0x77);
}

int main(void)
{
	static const struct test tests[] = {
		{ "MMIO read pends and restarts", test_mmio_read },
		{ "MMIO write is queued", test_mmio_write },
		{ "read-modify-write on MMIO", test_mmio_rmw },
		{ "two MMIO reads in one instruction", test_mmio_cmps },
		{ "accesses that cross into nothing", test_crossing },
		{ "REP with pending reads", test_rep_pending },
		{ "REP stopped by a callback, and by its length", test_stop_rep },
		{ "REP that faults half way", test_rep_fault },
		{ "OUTS in batches", test_outs },
		{ "INS in batches", test_ins },
		{ "moves and exchanges with MMIO", test_mmio_moves },
		{ "IN and OUT", test_in_out },
		{ "I/O permission", test_io_permission },
		{ "LOCK", test_lock },
		{ "CMPXCHG16B", test_cmpxchg16b },
		{ "16-bit addresses", test_wrap16 },
		{ "fetching", test_fetch },
		{ "segment limits and types", test_segment_checks },
		{ "segment loads", test_load_segment },
		{ "LAR, LSL, VERR, VERW", test_inspect },
		{ "descriptor tables, LDTR, TR", test_tables },
		{ "control registers", test_control_registers },
		{ "debug registers", test_debug_registers },
		{ "MSRs, CPUID, TSC, XCR0, bases", test_msr },
		{ "what the owner does", test_special },
		{ "interrupt flag, shadow, RF, TF", test_flags_and_shadow },
		{ "decimal adjust", test_bcd },
		{ "MMX, SSE and AVX moves", test_vector },
	};

	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
