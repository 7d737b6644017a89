// SPDX-License-Identifier: GPL-2.0-only
/* INT n, INT3, INTO, INT1 and events through the IDT, in every mode. */
#include "expect.h"

static const u16 code32 = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_DB | SEG_G;
static const u16 code64 = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_L | SEG_G;
static const u16 data32 = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_DB | SEG_G;

#define IDT 0x2800

enum gate_type { GATE_TASK = 5, INT16 = 6, TRAP16, INT32 = 14, TRAP32 };

/* A gate of 8 bytes; its DPL is 3, see limit_gate(). */
static void put_gate(unsigned int vector, enum gate_type type, u16 selector, u32 offset)
{
	machine_put(&m, IDT + 8 * vector,
		    (offset & 0xffff) | (u64)selector << 16 | (u64)(0xe0 | type) << 40 |
			    (u64)(offset >> 16) << 48,
		    8);
}

static void put_gate64(unsigned int vector, enum gate_type type, u16 selector, u64 offset,
		       unsigned int ist)
{
	machine_put(&m, IDT + 16 * vector,
		    (offset & 0xffff) | (u64)selector << 16 | (u64)ist << 32 |
			    (u64)(0xe0 | type) << 40 | (offset >> 16 & 0xffff) << 48,
		    8);
	machine_put(&m, IDT + 16 * vector + 8, offset >> 32, 8);
}

/* Take away what the gate's byte of type, DPL and P has beyond @mask. */
static void limit_gate(unsigned int at, u8 mask)
{
	machine_put(&m, IDT + at + 5, machine_get(&m, IDT + at + 5, 1) & mask, 1);
}

/* 8, 10h: code and data of level 0; 20h, 28h: of level 3; 38h: conforming code of level 0. */
static void put_gdt(void)
{
	u16 code = m.ctxt.mode == EMULATE_LONG64 ? code64 : code32;

	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, code), 8);
	machine_put(&m, 0x2010, descriptor64(0, 0xfffff, data32), 8);
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, code | SEG_DPL), 8);
	machine_put(&m, 0x2028, descriptor64(0, 0xfffff, data32 | SEG_DPL), 8);
	machine_put(&m, 0x2038, descriptor64(0, 0xfffff, code | SEG_TYPE_DOWN), 8);
	m.tables[TABLE_IDT] = (struct emulate_table){ .base = IDT, .limit = 0x7ff };
}

static void set_level3(void)
{
	m.ctxt.cpl = 3;
	m.segments[SEG_CS].selector = 0x23;
	m.segments[SEG_SS].selector = 0x2b;
}

static u64 get4(u64 address)
{
	return machine_get(&m, address, 4);
}

/* The same level: flags, CS and EIP; an interrupt gate clears IF, a trap gate does not. */
static void test_same_level(void)
{
	SET_UP(PROT32, 0xcd, 0x30);
	put_gdt();
	put_gate(0x30, INT32, 8, 0x4000);
	m.ctxt.rflags |= FLAG_IF | FLAG_TF | FLAG_NT | FLAG_CF | FLAG_AC | FLAG_RF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RSP) == 0x7ff4);
	EXPECT(get4(0x7ff4) == 0x1002 && get4(0x7ff8) == 8 && get4(0x7ffc) == 0x44303);
	EXPECT(m.ctxt.rflags == (FLAG_FIXED | FLAG_CF | FLAG_AC) && !m.ctxt.single_step);
	EXPECT(machine_get(&m, 0x200d, 1) & SEG_TYPE_ACCESSED);
	CODE(0xcc);
	put_gate(3, TRAP32, 8, 0x5000);
	m.ctxt.rflags |= FLAG_IF;
	m.ctxt.rip = 0x4000;
	CODE(0xcc);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x5000 && (m.ctxt.rflags & FLAG_IF));
	EXPECT(get4(0x7fe8) == 0x4001 && m.ctxt.cpl == 0);
	SET_UP(PROT32, 0xce); /* INTO, without and with OF */
	put_gdt();
	put_gate(4, INT32, 8, 0x4000);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1001);
	m.ctxt.rip = 0x1000;
	m.ctxt.rflags |= FLAG_OF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000);
	SET_UP(PROT32, 0xcd, 0x30); /* 16-bit gate */
	put_gdt();
	put_gate(0x30, INT16, 8, 0x12344000);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RSP) == 0x7ffa);
	EXPECT(machine_get(&m, 0x7ffa, 2) == 0x1002 && machine_get(&m, 0x7ffc, 2) == 8);
	/* a 16-bit stack wraps by itself */
	SET_UP(PROT32, 0xcd, 0x30);
	put_gdt();
	put_gate(0x30, INT32, 8, 0x4000);
	m.segments[SEG_SS].attributes &= ~SEG_DB;
	GPR(RSP) = 0x10008000;
	EXPECT(step() == EMULATE_DONE && GPR(RSP) == 0x10007ff4 && get4(0x7ff4) == 0x1002);
}

/* To level 0: the stack comes from the TSS, and the old one is pushed there. */
static void test_inner_level(void)
{
	SET_UP(PROT32, 0xcd, 0x80);
	put_gdt();
	put_gate(0x80, INT32, 8, 0x4000);
	set_level3();
	machine_put(&m, 0x3004, 0x7000, 4);
	machine_put(&m, 0x3008, 0x10, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 0 && m.ctxt.rip == 0x4000 &&
	       GPR(RSP) == 0x6fec);
	EXPECT(m.segments[SEG_CS].selector == 8 && m.segments[SEG_SS].selector == 0x10);
	EXPECT(get4(0x6fec) == 0x1002 && get4(0x6ff0) == 0x23 && get4(0x6ff4) == 2);
	EXPECT(get4(0x6ff8) == 0x8000 && get4(0x6ffc) == 0x2b);
	CODE(0xcf); /* and back */
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 3 && m.ctxt.rip == 0x1002 &&
	       GPR(RSP) == 0x8000);
	/* conforming code keeps level and stack */
	put_gate(0x80, INT32, 0x38, 0x4000);
	m.ctxt.rip = 0x1000;
	CODE(0xcd, 0x80);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 3 && GPR(RSP) == 0x7ff4 &&
	       m.segments[SEG_CS].selector == 0x3b);
}

/* What gates may be, and who may use them. */
static void test_bad_gates(void)
{
	SET_UP(PROT32, 0xcd, 0x80);
	put_gdt();
	set_level3();
	expect_fault(step(), VECTOR_GP, true, 0x402); /* no gate at all */
	put_gate(0x80, INT32, 8, 0x4000);
	limit_gate(0x400, 0x9f); /* DPL 0 */
	expect_fault(step(), VECTOR_GP, true, 0x402);
	put_gate(0x80, INT32, 8, 0x4000);
	limit_gate(0x400, 0x7f);
	expect_fault(step(), VECTOR_NP, true, 0x402);
	m.tables[TABLE_IDT].limit = 0x406;
	expect_fault(step(), VECTOR_GP, true, 0x402);
	m.tables[TABLE_IDT].limit = 0x7ff;
	put_gate(0x80, INT32, 0, 0x4000);
	expect_fault(step(), VECTOR_GP, true, 0);
	put_gate(0x80, INT32, 0x10, 0x4000); /* data */
	expect_fault(step(), VECTOR_GP, true, 0x10);
	put_gate(0x80, INT32, 0x108, 0x4000); /* outside the GDT */
	expect_fault(step(), VECTOR_GP, true, 0x108);
	put_gate(0x80, INT32, 8, 0x4000);
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, code32 & ~SEG_P), 8);
	expect_fault(step(), VECTOR_NP, true, 8);
	/* an outer level */
	m.ctxt.cpl = 0;
	put_gate(0x80, INT32, 0x20, 0x4000);
	expect_fault(step(), VECTOR_GP, true, 0x20);
	/* the stack: null, without room; the target outside its segment */
	put_gdt();
	set_level3();
	put_gate(0x80, INT32, 8, 0x4000);
	expect_fault(step(), VECTOR_TS, true, 0);
	machine_put(&m, 0x3004, 4, 4);
	machine_put(&m, 0x3008, 0x10, 4);
	machine_put(&m, 0x2010, descriptor64(0, 0xfff, data32 & ~SEG_G), 8);
	expect_fault(step(), VECTOR_SS, true, 0x10);
	machine_put(&m, 0x2008, descriptor64(0, 0x3fff, code32 & ~SEG_G), 8);
	expect_fault(step(), VECTOR_GP, true, 0);
	m.segments[SEG_TR].limit = 8;
	expect_fault(step(), VECTOR_TS, true, 0x18);
	EXPECT(m.ctxt.cpl == 3 && GPR(RSP) == 0x8000 && m.segments[SEG_CS].selector == 0x23);
}

/* INT1 and events need no permission of the gate; error codes say EXT. */
static void test_events(void)
{
	SET_UP(PROT32, 0xf1);
	put_gdt();
	set_level3();
	put_gate(1, INT32, 0x38, 0x4000);
	limit_gate(8, 0x9f);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && get4(0x7ff4) == 0x1001);
	m.ctxt.rip = 0x1000;
	put_gate(1, INT32, 8, 0x4000);
	limit_gate(8, 0x7f);
	expect_fault(step(), VECTOR_NP, true, 0xb);
	put_gate(1, INT32, 0x108, 0x4000);
	expect_fault(step(), VECTOR_GP, true, 0x109);
	SET_UP(PROT32, 0x90);
	put_gdt();
	put_gate(13, INT32, 8, 0x4000);
	EXPECT(emulate_interrupt(&m.ctxt, 13, true, 0x1234) == EMULATE_DONE);
	EXPECT(m.ctxt.rip == 0x4000 && GPR(RSP) == 0x7ff0 && get4(0x7ff0) == 0x1234);
	EXPECT(get4(0x7ff4) == 0x1000 && get4(0x7ff8) == 8);
}

static void test_long_mode(void)
{
	SET_UP(LONG64, 0xcd, 0x20);
	put_gdt();
	put_gate64(0x20, INT32, 8, 0x123456789abc, 0);
	m.ctxt.rflags |= FLAG_IF;
	GPR(RSP) = 0x7ffb; /* aligned first, and pushed as it was, at the same level too */
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x123456789abc && GPR(RSP) == 0x7fc8);
	EXPECT(machine_get(&m, 0x7fc8, 8) == 0x1002 && machine_get(&m, 0x7fd0, 8) == 8);
	EXPECT(machine_get(&m, 0x7fd8, 8) == 0x202 && machine_get(&m, 0x7fe0, 8) == 0x7ffb);
	EXPECT(machine_get(&m, 0x7fe8, 8) == 0x10 && !(m.ctxt.rflags & FLAG_IF));
	/* to level 0, by RSP0 and by an interrupt stack */
	SET_UP(LONG64, 0xcd, 0x20);
	put_gdt();
	set_level3();
	put_gate64(0x20, TRAP32, 8, 0x4000, 0);
	machine_put(&m, 0x3004, 0x7008, 8);
	machine_put(&m, 0x3024 + 8 * 6, 0x6800, 8);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 0 && GPR(RSP) == 0x6fd8);
	EXPECT(m.segments[SEG_SS].selector == 0 && !(m.segments[SEG_SS].attributes & SEG_P));
	EXPECT(machine_get(&m, 0x6ff8, 8) == 0x2b && machine_get(&m, 0x6ff0, 8) == 0x8000);
	m.ctxt.rip = 0x1000;
	put_gate64(0x20, TRAP32, 8, 0x4000, 7);
	EXPECT(step() == EMULATE_DONE && GPR(RSP) == 0x67d8 &&
	       machine_get(&m, 0x67f0, 8) == 0x6fd8);
	/* from level 3 too */
	m.ctxt.rip = 0x1000;
	set_level3();
	EXPECT(step() == EMULATE_DONE && GPR(RSP) == 0x67d8 && m.ctxt.cpl == 0 &&
	       m.segments[SEG_SS].selector == 0);
	m.ctxt.rip = 0x1000;
	m.segments[SEG_TR].limit = 0x5a;
	expect_fault(step(), VECTOR_TS, true, 0x18);
	m.segments[SEG_TR].limit = 0x67;
	machine_put(&m, 0x3024 + 8 * 6, 0x800000001000, 8);
	expect_fault(step(), VECTOR_SS, true, 0);
	put_gate64(0x20, INT32, 8, 0x800000000000, 0);
	expect_fault(step(), VECTOR_GP, true, 0);
	put_gate64(0x20, INT16, 8, 0x4000, 0);
	expect_fault(step(), VECTOR_GP, true, 0x102);
	put_gate64(0x20, INT32, 8, 0x4000, 0);
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, code32), 8);
	expect_fault(step(), VECTOR_GP, true, 8);
}

/* Compatibility mode: the tables of long mode, at 64-bit addresses. */
static void test_compatibility(void)
{
	SET_UP(PROT32, 0xcd, 0x20);
	put_gdt();
	m.msr_efer = 0x501;
	set_level3();
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, code64), 8);
	put_gate64(0x20, INT32, 8, 0x4000, 0);
	machine_put(&m, 0x3004, 0x7000, 8);
	GPR(RSP) = 0x8002;
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 0 && GPR(RSP) == 0x6fd8);
	EXPECT(machine_get(&m, 0x6ff0, 8) == 0x8002 && machine_get(&m, 0x6fd8, 8) == 0x1002);
	m.ctxt.rip = 0x1000;
	m.tables[TABLE_GDT].base = 0x100002000;
	expect_fault(step(), VECTOR_PF, true, 0);
	EXPECT(m.ctxt.fault.address == 0x100002008);
	m.tables[TABLE_IDT].base = 0x100002800;
	expect_fault(step(), VECTOR_PF, true, 0);
	EXPECT(m.ctxt.fault.address == 0x100002a00);
}

/* Virtual 8086 mode: by IOPL through the IDT, to level 0, with all segments pushed. */
static void test_vm86(void)
{
	static const u8 data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	unsigned int i;

	SET_UP(VM86, 0xcd, 0x20);
	put_gdt();
	put_gate(0x20, INT32, 8, 0x4000);
	expect_fault(step(), VECTOR_GP, true, 0);
	m.ctxt.rflags |= FLAG_IOPL | FLAG_IF;
	machine_put(&m, 0x3004, 0x7000, 4);
	machine_put(&m, 0x3008, 0x10, 4);
	for (i = 0; i < 4; i++)
		m.segments[data[i]].selector = 0x11 * (i + 1);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 0 && m.ctxt.rip == 0x4000 &&
	       m.ctxt.mode == EMULATE_PROT32 && GPR(RSP) == 0x6fdc);
	EXPECT(get4(0x6fdc) == 0x1002 && get4(0x6fe4) == 0x23202 && get4(0x6fe8) == 0x8000);
	EXPECT(get4(0x6ff0) == 0x11 && get4(0x6ff4) == 0x22 && get4(0x6ff8) == 0x33 &&
	       get4(0x6ffc) == 0x44);
	EXPECT(!(m.ctxt.rflags & (FLAG_VM | FLAG_IF)) && !(m.segments[SEG_DS].attributes & SEG_P));
	CODE(0xcf);
	EXPECT(step() == EMULATE_DONE && m.ctxt.mode == EMULATE_VM86 && m.ctxt.rip == 0x1002 &&
	       m.segments[SEG_GS].selector == 0x44);
	/* INT3 does not ask for IOPL; nothing but level 0 will do */
	m.ctxt.rip = 0x1000;
	m.ctxt.rflags &= ~FLAG_IOPL;
	CODE(0xcc);
	put_gate(3, INT32, 0x20, 0x4000);
	expect_fault(step(), VECTOR_GP, true, 0x20);
	put_gate(3, INT32, 8, 0x4000);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000);
}

/* Through a task gate; the old task goes on behind the INT. */
static void test_task_gate(void)
{
	SET_UP(PROT32, 0xcd, 0x20);
	put_gdt();
	put_gate(0x20, GATE_TASK, 0x40, 0);
	machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, SEG_P | 9), 8);
	machine_put(&m, 0x3820, 0x4000, 4);
	machine_put(&m, 0x3824, 2, 4);
	machine_put(&m, 0x3838, 0x9000, 4);
	machine_put(&m, 0x384c, 8, 4);
	machine_put(&m, 0x3850, 0x10, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RSP) == 0x9000 &&
	       m.segments[SEG_TR].selector == 0x40 && (m.ctxt.rflags & FLAG_NT));
	EXPECT(get4(0x3020) == 0x1002 && machine_get(&m, 0x3800, 2) == 0x18);
	CODE(0xcf);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1002 && m.segments[SEG_TR].selector == 0x18);
	m.ctxt.rip = 0x1000;
	put_gate(0x20, GATE_TASK, 0x18, 0); /* busy */
	expect_fault(step(), VECTOR_GP, true, 0x18);
}

/* A page fault on the new stack leaves everything as it was. */
static void test_stack_fault(void)
{
	SET_UP(LONG64, 0xcc);
	put_gdt();
	set_level3();
	put_gate64(3, INT32, 8, 0x4000, 0);
	machine_put(&m, 0x3004, READ_ONLY + 0x100, 8);
	expect_fault(step(), VECTOR_PF, true, 3);
	EXPECT(m.ctxt.cpl == 3 && GPR(RSP) == 0x8000 && m.segments[SEG_SS].selector == 0x2b);
}

int main(void)
{
	static const struct test tests[] = {
		{ "at the same level", test_same_level },
		{ "to an inner level", test_inner_level },
		{ "bad gates, segments and stacks", test_bad_gates },
		{ "INT1 and events", test_events },
		{ "64-bit mode", test_long_mode },
		{ "compatibility mode", test_compatibility },
		{ "virtual 8086 mode", test_vm86 },
		{ "task gates", test_task_gate },
		{ "faults on the new stack", test_stack_fault },
	};

	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
