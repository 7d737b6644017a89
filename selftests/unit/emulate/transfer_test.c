// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts in real mode, gates, returns to outer levels, fast system calls, tasks. */
#include "expect.h"

static void test_real_interrupt(void)
{
	SET_UP(REAL, 0xcd, 0x10);
	m.segments[SEG_CS].selector = 0x12;
	m.ctxt.rflags |= FLAG_IF | FLAG_CF;
	machine_put(&m, 0x40, 0x00205678, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x5678 && m.segments[SEG_CS].base == 0x200);
	EXPECT(GPR(RSP) == 0x7ffa && machine_get(&m, 0x7ffa, 2) == 0x1002 &&
	       machine_get(&m, 0x7ffc, 2) == 0x12);
	EXPECT(machine_get(&m, 0x7ffe, 2) == 0x203 && !(m.ctxt.rflags & FLAG_IF));
	CODE(0xcf); /* iret */
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1002 && (m.ctxt.rflags & FLAG_IF) &&
	       GPR(RSP) == 0x8000);
	EXPECT(m.segments[SEG_CS].selector == 0x12);
	machine_init(&m, EMULATE_REAL);
	machine_put(&m, 0x20, 0x00300010, 4);
	EXPECT(emulate_interrupt(&m.ctxt, 8, false, 0) == EMULATE_DONE && m.ctxt.rip == 0x10);
	m.tables[TABLE_IDT].limit = 0x1f;
	EXPECT(emulate_interrupt(&m.ctxt, 8, false, 0) == EMULATE_FAULT && m.ctxt.rip == 0x10);
	/* near the end of a tiny stack segment */
	SET_UP(REAL, 0x66, 0x60); /* pushal */
	GPR(RSP) = 0x20;
	EXPECT(step() == EMULATE_DONE && GPR(RSP) == 0);
}

static const u16 code32 = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_DB | SEG_G;
static const u16 data32 = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_DB | SEG_G;

/* 8, 10h: code and data of level 0; 20h, 28h: of level 3; 30h: 32-bit call gate to 8. */
static void put_gdt(void)
{
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, code32), 8);
	machine_put(&m, 0x2010, descriptor64(0, 0xfffff, data32), 8);
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, code32 | SEG_DPL), 8);
	machine_put(&m, 0x2028, descriptor64(0, 0xfffff, data32 | SEG_DPL), 8);
	machine_put(&m, 0x2030, 0x0000ec0100085678, 8); /* DPL 3, one parameter, 8:5678h */
}

static void test_far_jump(void)
{
	SET_UP(REAL, 0xea, 0x34, 0x12, 0x00, 0x01); /* ljmp $0x100, $0x1234 */
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1234 && m.segments[SEG_CS].base == 0x1000);
	SET_UP(REAL, 0x9a, 0x34, 0x12, 0x00, 0x01); /* lcall, then lret */
	EXPECT(step() == EMULATE_DONE && machine_get(&m, 0x7ffc, 2) == 0x1005 &&
	       GPR(RSP) == 0x7ffc);
	CODE(0xcb);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1005 && m.segments[SEG_CS].base == 0);
	SET_UP(PROT32, 0xea, 0x00, 0x40, 0, 0, 0x08, 0);
	put_gdt();
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && m.ctxt.mode_changed);
	m.ctxt.rip = 0x1000;
	machine_put(&m, 0x2008, descriptor64(0, 0x3, code32), 8); /* target past the limit */
	expect_fault(step(), VECTOR_GP, true, 0);
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, code32 & ~SEG_P), 8);
	expect_fault(step(), VECTOR_NP, true, 8);
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, data32), 8);
	expect_fault(step(), VECTOR_GP, true, 8);
	SET_UP(LONG64, 0xff, 0x2f); /* ljmp *(%rdi) */
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, (code32 & ~SEG_DB) | SEG_L), 8);
	GPR(RDI) = 0x4000;
	machine_put(&m, 0x4000, 0x000800005000, 6);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x5000);
}

/* Through a call gate to level 0 and back. */
static void test_call_gate(void)
{
	SET_UP(PROT32, 0x9a, 0, 0, 0, 0, 0x33, 0); /* lcall $0x33, $0 */
	put_gdt();
	m.ctxt.cpl = 3;
	m.segments[SEG_CS].selector = 0x23;
	m.segments[SEG_SS].selector = 0x2b;
	m.segments[SEG_DS].attributes |= SEG_DPL;
	machine_put(&m, 0x3004, 0x7000, 4); /* ESP0, SS0 */
	machine_put(&m, 0x3008, 0x10, 4);
	machine_put(&m, 0x8000, 0xabcdef01, 4); /* the parameter */
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 0 && m.ctxt.rip == 0x5678 &&
	       GPR(RSP) == 0x6fec);
	EXPECT(m.segments[SEG_SS].selector == 0x10 && m.segments[SEG_CS].selector == 8);
	EXPECT(machine_get(&m, 0x6fec, 4) == 0x1007 && machine_get(&m, 0x6ff0, 4) == 0x23);
	EXPECT(machine_get(&m, 0x6ff4, 4) == 0xabcdef01 && machine_get(&m, 0x6ff8, 4) == 0x8000);
	EXPECT(machine_get(&m, 0x6ffc, 4) == 0x2b);
	m.segments[SEG_ES].attributes &= ~SEG_DPL;
	CODE(0xca, 4, 0); /* lret $4 */
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 3 && m.ctxt.rip == 0x1007 &&
	       GPR(RSP) == 0x8004);
	EXPECT(m.segments[SEG_CS].selector == 0x23 && m.segments[SEG_SS].selector == 0x2b);
	/* what level 3 may not have is gone */
	EXPECT(!(m.segments[SEG_ES].attributes & SEG_P) && (m.segments[SEG_DS].attributes & SEG_P));
	/* a null stack in the TSS */
	m.ctxt.rip = 0x1000;
	machine_put(&m, 0x3008, 0, 4);
	expect_fault(step(), VECTOR_TS, true, 0);
}

static void test_iret(void)
{
	SET_UP(PROT32, 0xcf);
	put_gdt();
	machine_put(&m, 0x8000, 0x4000, 4);
	machine_put(&m, 0x8004, 0x23, 4);
	machine_put(&m, 0x8008, 0x10202, 4); /* RF, IF */
	machine_put(&m, 0x800c, 0x9000, 4);
	machine_put(&m, 0x8010, 0x2b, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 3 && m.ctxt.rip == 0x4000 &&
	       GPR(RSP) == 0x9000);
	EXPECT(m.ctxt.rflags == 0x10202);
	/* to virtual 8086 mode */
	SET_UP(PROT32, 0xcf);
	machine_put(&m, 0x8000, 0x4000, 4);
	machine_put(&m, 0x8004, 0x100, 4);
	machine_put(&m, 0x8008, 0x23202, 4);
	machine_put(&m, 0x800c, 0xff0, 4);
	machine_put(&m, 0x8010, 0x200, 4);
	machine_put(&m, 0x8014, 0x300, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.mode == EMULATE_VM86 &&
	       m.segments[SEG_CS].base == 0x1000);
	EXPECT(m.segments[SEG_ES].base == 0x3000 && GPR(RSP) == 0xff0 && (m.ctxt.rflags & FLAG_VM));
	/* 64-bit mode always pops SS:RSP, even at the same level */
	SET_UP(LONG64, 0x48, 0xcf);
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, (code32 & ~SEG_DB) | SEG_L), 8);
	machine_put(&m, 0x2010, descriptor64(0, 0xfffff, data32), 8);
	machine_put(&m, 0x8000, 0x4000, 8);
	machine_put(&m, 0x8008, 8, 8);
	machine_put(&m, 0x8010, 2, 8);
	machine_put(&m, 0x8018, 0x9000, 8);
	machine_put(&m, 0x8020, 0x10, 8);
	EXPECT(step() == EMULATE_DONE && GPR(RSP) == 0x9000 && m.ctxt.rip == 0x4000);
	m.ctxt.rip = 0x1000;
	m.ctxt.rflags |= FLAG_NT;
	expect_fault(step(), VECTOR_GP, true, 0);
}

static void test_fast_calls(void)
{
	SET_UP(LONG64, 0x0f, 0x05); /* syscall */
	m.ctxt.cpl = 3;
	m.ctxt.rflags |= FLAG_IF | FLAG_CF;
	m.msr_star = 0x0023001000000000;
	m.msr_lstar = 0x4000;
	m.msr_sfmask = FLAG_IF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RCX) == 0x1002 &&
	       GPR(R11) == 0x203);
	EXPECT(m.ctxt.cpl == 0 && m.segments[SEG_CS].selector == 0x10 &&
	       !(m.ctxt.rflags & FLAG_IF));
	CODE(0x48, 0x0f, 0x07); /* sysretq */
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1002 && m.ctxt.cpl == 3 &&
	       m.segments[SEG_CS].selector == 0x33);
	m.ctxt.rip = 0x1000;
	CODE(0x0f, 0x05);
	m.ctxt.rflags |= FLAG_TF; /* the trap is for the flags that it ends with */
	EXPECT(step() == EMULATE_DONE && m.ctxt.single_step && (GPR(R11) & FLAG_TF));
	m.ctxt.rip = 0x1000;
	m.msr_sfmask |= FLAG_TF;
	EXPECT(step() == EMULATE_DONE && !m.ctxt.single_step && !(m.ctxt.rflags & FLAG_TF));
	CODE(0x48, 0x0f, 0x07);
	EXPECT(step() == EMULATE_DONE && m.ctxt.single_step && (m.ctxt.rflags & FLAG_TF));
	m.ctxt.rip = 0x1000;
	m.msr_efer &= ~1ull;
	CODE(0x0f, 0x05);
	expect_fault(step(), VECTOR_UD, false, 0);
	SET_UP(PROT32, 0x0f, 0x34); /* sysenter */
	m.ctxt.cpl = 3;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.msr_sysenter[0] = 8;
	m.msr_sysenter[1] = 0x7000;
	m.msr_sysenter[2] = 0x4000;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RSP) == 0x7000 &&
	       m.segments[SEG_SS].selector == 0x10);
	CODE(0x0f, 0x35); /* sysexit */
	GPR(RCX) = 0x9000;
	GPR(RDX) = 0x5000;
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 3 && m.ctxt.rip == 0x5000 &&
	       m.segments[SEG_CS].selector == 0x1b);
	SET_UP(LONG64, 0x0f, 0x34);
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_UD, false, 0);
}

static void put_task(u64 base, u32 eip, u32 eflags)
{
	machine_put(&m, base + 0x20, eip, 4);
	machine_put(&m, base + 0x24, eflags, 4);
	machine_put(&m, base + 0x28, 0x1111, 4); /* EAX */
	machine_put(&m, base + 0x38, 0x9000, 4); /* ESP */
	machine_put(&m, base + 0x48, 0x10, 4);
	machine_put(&m, base + 0x4c, 8, 4);
	machine_put(&m, base + 0x50, 0x10, 4);
	machine_put(&m, base + 0x54, 0x10, 4);
	machine_put(&m, base + 0x58, 0x10, 4);
	machine_put(&m, base + 0x5c, 0x10, 4);
}

static void test_task_switch(void)
{
	SET_UP(PROT32, 0x9a, 0, 0, 0, 0, 0x40, 0); /* lcall to a TSS */
	put_gdt();
	machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, SEG_P | 9), 8);
	put_task(0x3800, 0x4000, 2);
	GPR(RAX) = 0x77;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RAX) == 0x1111 &&
	       GPR(RSP) == 0x9000);
	EXPECT((m.ctxt.rflags & FLAG_NT) && m.segments[SEG_TR].selector == 0x40 &&
	       (m.cr[0] & CR0_TS_BIT));
	EXPECT(machine_get(&m, 0x3800, 2) == 0x18 && machine_get(&m, 0x3020, 4) == 0x1007);
	EXPECT(machine_get(&m, 0x3028, 4) == 0x77 && (machine_get(&m, 0x2045, 1) & 0xf) == 0xb);
	CODE(0xcf); /* back along the link */
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1007 && GPR(RAX) == 0x77 &&
	       m.segments[SEG_TR].selector == 0x18);
	EXPECT(!(m.ctxt.rflags & FLAG_NT) && (machine_get(&m, 0x2045, 1) & 0xf) == 9);
	/* from outside, with an error code */
	SET_UP(PROT32, 0x90);
	put_gdt();
	machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, SEG_P | 9), 8);
	put_task(0x3800, 0x4000, 2);
	EXPECT(emulate_task_switch(&m.ctxt, 0x40, TASK_GATE, true, 0x1234) == EMULATE_DONE);
	EXPECT(GPR(RSP) == 0x8ffc && machine_get(&m, 0x8ffc, 4) == 0x1234);
	EXPECT(emulate_task_switch(&m.ctxt, 0x40, TASK_GATE, false, 0) == EMULATE_FAULT);
	EXPECT(m.ctxt.fault.vector == VECTOR_GP && m.ctxt.fault.error == 0x40);
}

/* 64-bit call gates: 16 bytes, and the stack pointer alone comes from the TSS. */
static void test_call_gate64(void)
{
	SET_UP(LONG64, 0xff, 0x1f);				/* lcall *(%rdi) */
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, (code32 & ~SEG_DB) | SEG_L), 8);
	machine_put(&m, 0x2030, 0x0000ec0000085678, 8);
	machine_put(&m, 0x2038, 0, 8);
	GPR(RDI) = 0x4000;
	machine_put(&m, 0x4004, 0x33, 2);
	machine_put(&m, 0x3004, 0x7000, 8);
	m.ctxt.cpl = 3;
	m.segments[SEG_CS].selector = 0x23;
	m.segments[SEG_SS].selector = 0x2b;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x5678 && m.ctxt.cpl == 0);
	EXPECT(GPR(RSP) == 0x6fe0 && m.segments[SEG_SS].selector == 0);
	EXPECT(machine_get(&m, 0x6fe0, 8) == 0x1002 && machine_get(&m, 0x6ff0, 8) == 0x8000);
	m.ctxt.rip = 0x1000;
	m.ctxt.cpl = 3;
	machine_put(&m, 0x3004, 0x800000001000, 8);
	expect_fault(step(), VECTOR_SS, true, 0);
	machine_put(&m, 0x2038, 0x1f0000000000, 8);
	expect_fault(step(), VECTOR_GP, true, 0x30);
}

/* Gates without a change of level, and the ways in which they fail. */
static void test_gates(void)
{
	SET_UP(PROT32, 0x9a, 0, 0, 0, 0, 0x30, 0);
	put_gdt();
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x5678 && GPR(RSP) == 0x7ff8);
	m.ctxt.rip = 0x5678;
	CODE(0xca, 8, 0);					/* lret $8 at the same level */
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1007 && GPR(RSP) == 0x8008);
	SET_UP(PROT32, 0xea, 0, 0, 0, 0, 0x30, 0);
	put_gdt();
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x5678 && GPR(RSP) == 0x8000);
	m.ctxt.rip = 0x1000;
	machine_put(&m, 0x2030, 0x00006c0100085678, 8);		/* not present */
	expect_fault(step(), VECTOR_NP, true, 0x30);
	machine_put(&m, 0x2030, 0x0000ec0100005678, 8);		/* to nowhere */
	expect_fault(step(), VECTOR_GP, true, 0);
	machine_put(&m, 0x2030, 0x0000ec0100105678, 8);		/* to data */
	expect_fault(step(), VECTOR_GP, true, 0x10);
	machine_put(&m, 0x2030, 0x0000e20100085678, 8);		/* an LDT */
	expect_fault(step(), VECTOR_GP, true, 0x30);
	SET_UP(PROT32, 0x9a, 0, 0, 0, 0, 0x33, 0);		/* no room in TSS or on the stack */
	put_gdt();
	m.ctxt.cpl = 3;
	m.segments[SEG_TR].limit = 10;
	expect_fault(step(), VECTOR_TS, true, 0x18);
	m.segments[SEG_TR].limit = 0x67;
	machine_put(&m, 0x3004, 0x7000, 4);
	machine_put(&m, 0x3008, 0x10, 4);
	machine_put(&m, 0x2010, descriptor64(0, 0xfff, data32 & ~SEG_G), 8);
	expect_fault(step(), VECTOR_SS, true, 0x10);
}

static void test_far_call(void)
{
	SET_UP(PROT32, 0x9a, 0x00, 0x40, 0, 0, 0x08, 0);
	put_gdt();
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && machine_get(&m, 0x7ff8, 4) == 0x1007);
	CODE(0xcf);						/* iret at the same level */
	machine_put(&m, 0x8000, 0x2, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1007 && GPR(RSP) == 0x8004);
	SET_UP(REAL, 0xea, 0x34, 0x12, 0x00, 0x01);
	m.segments[SEG_CS].limit = 0x1100;
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(PROT32, 0xea, 0, 0, 0, 0, 0, 0);
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(VM86, 0xcf);
	expect_fault(step(), VECTOR_GP, true, 0);
	/* 64-bit mode returns to a null stack below level 3 only */
	SET_UP(LONG64, 0x48, 0xcf);
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, (code32 & ~SEG_DB) | SEG_L | 0x20), 8);
	machine_put(&m, 0x8000, 0x4000, 8);
	machine_put(&m, 0x8008, 0x21, 8);
	machine_put(&m, 0x8010, 2, 8);
	machine_put(&m, 0x8018, 0x9000, 8);
	machine_put(&m, 0x8020, 1, 8);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 1 && m.segments[SEG_SS].selector == 1);
	m.ctxt.rip = 0x1000;
	m.ctxt.cpl = 0;
	GPR(RSP) = 0x8000;
	machine_put(&m, 0x8020, 0, 8);				/* whatever its RPL */
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 1 && m.segments[SEG_SS].selector == 0);
	m.ctxt.rip = 0x1000;
	m.ctxt.cpl = 0;
	GPR(RSP) = 0x8000;
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, (code32 & ~SEG_DB) | SEG_L | SEG_DPL), 8);
	machine_put(&m, 0x8008, 0x23, 8);
	expect_fault(step(), VECTOR_GP, true, 0);
	/* CS is not accessed when the stack is no good */
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, (code32 & ~1) | SEG_DPL), 8);
	expect_fault(step(), VECTOR_GP, true, 0);
	EXPECT(!(machine_get(&m, 0x2025, 1) & 1));
}

/* AMD's CPUs have SYSCALL in 32-bit mode; SYSEXIT has a 64-bit form. */
static void test_legacy_calls(void)
{
	SET_UP(PROT32, 0x0f, 0x05);
	m.ctxt.cpl = 3;
	m.msr_star = 0x0023001000004000;
	expect_fault(step(), VECTOR_UD, false, 0);
	m.ctxt.amd = true;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RCX) == 0x1002 && !m.ctxt.cpl);
	CODE(0x0f, 0x07);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1002 && (m.ctxt.rflags & FLAG_IF));
	EXPECT(m.ctxt.cpl == 3);
	m.ctxt.rip = 0x1000;
	CODE(0x0f, 0x07);
	expect_fault(step(), VECTOR_GP, true, 0);		/* level 3 now */
	SET_UP(LONG64, 0x48, 0x0f, 0x35);
	expect_fault(step(), VECTOR_GP, true, 0);
	m.msr_sysenter[0] = 8;
	GPR(RCX) = 0x800000000000;
	expect_fault(step(), VECTOR_GP, true, 0);
	GPR(RCX) = 0x9000;
	GPR(RDX) = 0x5000;
	EXPECT(step() == EMULATE_DONE && m.segments[SEG_CS].selector == 0x2b && m.ctxt.rip == 0x5000);
	m.ctxt.rip = 0x1000;
	m.ctxt.cpl = 0;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_UD, false, 0);
}

static enum emulate_status switch_task(u32 eflags, u16 cs, u16 ldt, u16 trap)
{
	machine_init(&m, EMULATE_PROT32);
	put_gdt();
	machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, SEG_P | 9), 8);
	machine_put(&m, 0x2048, descriptor64(0x6000, 0x1f, SEG_P | 2), 8);
	put_task(0x3800, 0x4000, eflags);
	machine_put(&m, 0x384c, cs, 2);
	machine_put(&m, 0x3860, ldt, 2);
	machine_put(&m, 0x3864, trap, 2);
	machine_put(&m, 0x381c, 0x9000, 4);			/* CR3 */
	m.cr[0] |= 0x80000000;
	return emulate_task_switch(&m.ctxt, 0x40, TASK_JMP, false, 0);
}

/* Faults after the switch are the new task's. */
static void expect_task_fault(enum emulate_status status, u8 vector, u32 error)
{
	EXPECT(status == EMULATE_FAULT && m.ctxt.fault.vector == vector && m.ctxt.fault.error == error);
	EXPECT(m.ctxt.rip == 0x4000 && GPR(RAX) == 0x1111 && m.segments[SEG_TR].selector == 0x40);
}

static void test_task_details(void)
{
	EXPECT(switch_task(2, 8, 0x48, 0) == EMULATE_DONE && m.segments[SEG_LDTR].base == 0x6000);
	EXPECT(m.cr[3] == 0x9000 && !(m.ctxt.rflags & FLAG_NT));
	EXPECT((machine_get(&m, 0x201d, 1) & 0xf) == 9);	/* the old task is not busy any more */
	EXPECT(switch_task(FLAG_VM | 2, 0x100, 0, 0) == EMULATE_DONE);
	EXPECT(m.ctxt.mode == EMULATE_VM86 && m.segments[SEG_CS].base == 0x1000 && m.ctxt.cpl == 3);
	expect_task_fault(switch_task(2, 8, 0x48, 1), VECTOR_DB, 0);
	EXPECT(m.dr[6] & 1 << 15);
	expect_task_fault(switch_task(2, 8, 0x10, 0), VECTOR_TS, 0x10);
	expect_task_fault(switch_task(2, 8, 0x4c, 0), VECTOR_TS, 0x4c);
	expect_task_fault(switch_task(2, 0, 0, 0), VECTOR_TS, 0);
	expect_task_fault(switch_task(2, 0x10, 0, 0), VECTOR_TS, 0x10);
	EXPECT(emulate_task_switch(&m.ctxt, 0x44, TASK_JMP, false, 0) == EMULATE_FAULT);
	m.segments[SEG_TR].attributes = SEG_P | 2;		/* an LDT */
	EXPECT(emulate_task_switch(&m.ctxt, 0x40, TASK_JMP, false, 0) == EMULATE_UNSUPPORTED);
}

/* A TSS of 16 bits for a task that goes on in 32-bit code. */
static void put_task16(u64 base)
{
	const u16 image[] = { 0, 0, 0, 0, 0, 0, 0, 0x4000, 0x3, 0x1111, 2, 3, 4, 0x9000, 6, 7, 8,
			      0x10, 8, 0x10, 0x10, 0x48 };

	for (unsigned int i = 0; i < sizeof(image) / 2; i++)
		machine_put(&m, base + 2 * i, image[i], 2);
}

/* There, with what has no room in it, and back; and from one into the other. */
static void test_task16(void)
{
	SET_UP(PROT32, 0x9a, 0, 0, 0, 0, 0x40, 0);
	put_gdt();
	machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x2b, SEG_P | 1), 8);
	machine_put(&m, 0x2048, descriptor64(0x6000, 0x1f, SEG_P | 2), 8);
	put_task16(0x3800);
	m.cr[0] |= 0x80000000;
	m.cr[3] = 0x7000;
	GPR(RAX) = 0x12345678;
	m.segments[SEG_FS].selector = 0x10;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && m.ctxt.rflags == (FLAG_NT | 3));
	EXPECT(GPR(RAX) == 0x1111 && GPR(RSP) == 0x9000 && GPR(RDI) == 8);
	EXPECT(m.cr[3] == 0x7000 && m.segments[SEG_LDTR].base == 0x6000);
	EXPECT(!m.segments[SEG_FS].selector && !m.segments[SEG_GS].selector &&
	       m.segments[SEG_DS].selector == 0x10);
	EXPECT(machine_get(&m, 0x3028, 4) == 0x12345678 && machine_get(&m, 0x3058, 4) == 0x10);
	EXPECT(m.segments[SEG_TR].selector == 0x40 && (machine_get(&m, 0x2045, 1) & 0xf) == 3);
	GPR(RAX) = 0xabcd4321;
	CODE(0xcf);						/* back along the link */
	machine_put(&m, 0x301c, 0x9000, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x1007 && GPR(RAX) == 0x12345678);
	EXPECT(m.cr[3] == 0x9000 && (machine_get(&m, 0x2045, 1) & 0xf) == 1);
	EXPECT(machine_get(&m, 0x380e, 2) == 0x4001 && machine_get(&m, 0x3810, 2) == 3 &&
	       machine_get(&m, 0x3812, 2) == 0x4321 && machine_get(&m, 0x381a, 2) == 0x9000);
	EXPECT(machine_get(&m, 0x3822, 4) == 0x00080010 && machine_get(&m, 0x382a, 2) == 0x48 &&
	       !machine_get(&m, 0x382c, 4));

	machine_put(&m, 0x2050, descriptor64(0x3900, 0x2b, SEG_P | 1), 8);
	put_task16(0x3900);
	machine_put(&m, 0x2010, descriptor64(0, 0xffff, data32 & ~SEG_DB), 8); /* SP, not ESP */
	EXPECT(emulate_task_switch(&m.ctxt, 0x40, TASK_JMP, false, 0) == EMULATE_DONE);
	EXPECT(emulate_task_switch(&m.ctxt, 0x50, TASK_GATE, true, 0x12345678) == EMULATE_DONE);
	EXPECT(GPR(RSP) == 0x8ffe && machine_get(&m, 0x8ffe, 2) == 0x5678);
	EXPECT(machine_get(&m, 0x3900, 2) == 0x40);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x2a, SEG_P | 1), 8);
	EXPECT(emulate_task_switch(&m.ctxt, 0x40, TASK_JMP, false, 0) == EMULATE_FAULT);
	EXPECT(m.ctxt.fault.vector == VECTOR_TS && m.ctxt.fault.error == 0x40);
}

/* Whether a TSS is busy comes before whether it is present. */
static void test_task_types(void)
{
	for (unsigned int type = 1; type <= 3; type += 2) {
		SET_UP(PROT32, 0xea, 0, 0, 0, 0, 0x40, 0);
		put_gdt();
		machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
		machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, type), 8);
		expect_fault(step(), type == 3 ? VECTOR_GP : VECTOR_NP, true, 0x40);
		machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, SEG_P | type), 8);
		if (type == 3)
			expect_fault(step(), VECTOR_GP, true, 0x40);
		else
			EXPECT(step() == EMULATE_FAULT && m.ctxt.fault.vector == VECTOR_TS);
	}
}

/* A task gate in the GDT, with its own privilege; not the TSS's. */
static void test_task_gate(void)
{
	SET_UP(PROT32, 0x9a, 0, 0, 0, 0, 0x50, 0); /* lcall $0x50, $0 */
	put_gdt();
	machine_put(&m, 0x2018, descriptor64(0x3000, 0x67, SEG_P | 0xb), 8);
	machine_put(&m, 0x2040, descriptor64(0x3800, 0x67, SEG_P | 9), 8);
	machine_put(&m, 0x2050, 0x0000850000400000, 8);
	put_task(0x3800, 0x4000, 2);
	m.ctxt.cpl = 3;
	expect_fault(step(), VECTOR_GP, true, 0x50);
	machine_put(&m, 0x2050, 0x0000650000400000, 8);
	expect_fault(step(), VECTOR_NP, true, 0x50);
	machine_put(&m, 0x2050, 0x0000e50000400000, 8);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 &&
	       m.segments[SEG_TR].selector == 0x40 && m.ctxt.cpl == 0);
	EXPECT(machine_get(&m, 0x3800, 2) == 0x18 && (m.ctxt.rflags & FLAG_NT));
}

/* Between 64-bit and compatibility mode: IRET, far returns, the fast system calls. */
static void test_compatibility(void)
{
	SET_UP(LONG64, 0x48, 0xcf);
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, code32 | SEG_DPL), 8);
	machine_put(&m, 0x2028, descriptor64(0, 0xfffff, data32 | SEG_DPL), 8);
	machine_put(&m, 0x8000, 0x4000, 8);
	machine_put(&m, 0x8008, 0x23, 8);
	machine_put(&m, 0x8010, 0x202, 8);
	machine_put(&m, 0x8018, 0x9000, 8);
	machine_put(&m, 0x8020, 0x2b, 8);
	EXPECT(step() == EMULATE_DONE && m.ctxt.cpl == 3 && GPR(RSP) == 0x9000 &&
	       (m.segments[SEG_CS].attributes & (SEG_L | SEG_DB)) == SEG_DB);
	m.ctxt.rip = 0x1000;
	m.ctxt.cpl = 0;
	GPR(RSP) = 0x8000;
	machine_put(&m, 0x8000, 0x100000000, 8); /* not in a 32-bit segment */
	expect_fault(step(), VECTOR_GP, true, 0);
	SET_UP(LONG64, 0x48, 0xcb); /* far return to it */
	machine_put(&m, 0x2020, descriptor64(0, 0xfffff, code32 | SEG_DPL), 8);
	machine_put(&m, 0x2028, descriptor64(0, 0xfffff, data32 | SEG_DPL), 8);
	machine_put(&m, 0x8000, 0x4000, 8);
	machine_put(&m, 0x8008, 0x23, 8);
	machine_put(&m, 0x8010, 0x9000, 8);
	machine_put(&m, 0x8018, 0x2b, 8);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RSP) == 0x9000);
	SET_UP(PROT32, 0x0f, 0x05); /* SYSCALL into long mode, on AMD's CPUs alone */
	m.msr_efer = 0x501;
	m.ctxt.cpl = 3;
	m.msr_star = 0x0023001000000000;
	m.msr_lstar = 0x4000;
	expect_fault(step(), VECTOR_UD, false, 0);
	m.ctxt.amd = true;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && m.ctxt.cpl == 0 &&
	       (m.segments[SEG_CS].attributes & SEG_L));
	SET_UP(LONG64, 0x0f, 0x07); /* and back by SYSRET without REX.W */
	m.msr_star = 0x0023001000000000;
	GPR(RCX) = 0x1122334455667788;
	GPR(R11) = FLAG_RF | FLAG_VM | FLAG_IF | FLAG_CF;
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x55667788 && m.ctxt.cpl == 3 &&
	       m.segments[SEG_CS].selector == 0x23);
	EXPECT((m.segments[SEG_CS].attributes & (SEG_L | SEG_DB)) == SEG_DB);
	EXPECT((m.ctxt.rflags & (FLAG_VM | FLAG_IF | FLAG_CF)) == (FLAG_IF | FLAG_CF));
}

/* IRET with a 16-bit operand size: 16 bits of flags, and of the pointer. */
static void test_iret16(void)
{
	SET_UP(PROT32, 0x66, 0xcf);
	put_gdt();
	m.ctxt.rflags |= FLAG_AC | FLAG_RF;
	machine_put(&m, 0x8000, 0x4000, 2);
	machine_put(&m, 0x8002, 8, 2);
	machine_put(&m, 0x8004, 0x0203, 2);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rip == 0x4000 && GPR(RSP) == 0x8006);
	EXPECT(m.ctxt.rflags == (FLAG_AC | FLAG_IF | FLAG_CF | FLAG_FIXED));
	/* what a lower level may not change */
	SET_UP(PROT32, 0xcf);
	put_gdt();
	m.ctxt.cpl = 3;
	machine_put(&m, 0x8000, 0x4000, 4);
	machine_put(&m, 0x8004, 0x23, 4);
	machine_put(&m, 0x8008, FLAG_IF | FLAG_IOPL | FLAG_CF | FLAG_VM, 4);
	EXPECT(step() == EMULATE_DONE && m.ctxt.rflags == (FLAG_CF | FLAG_FIXED));
	/* nor may one return to an inner level */
	m.ctxt.rip = 0x1000;
	GPR(RSP) = 0x8000;
	machine_put(&m, 0x8004, 8, 4);
	expect_fault(step(), VECTOR_GP, true, 8);
}

int main(void)
{
	static const struct test tests[] = {
		{ "real-mode interrupts", test_real_interrupt },
		{ "far jumps and calls", test_far_jump },
		{ "call gate and return to an outer level", test_call_gate },
		{ "IRET", test_iret },
		{ "SYSCALL, SYSENTER and their returns", test_fast_calls },
		{ "task switch", test_task_switch },
		{ "call gates in 64-bit mode", test_call_gate64 },
		{ "call gates, good and bad", test_gates },
		{ "far calls, returns to null stacks", test_far_call },
		{ "task switch: busy, present", test_task_types },
		{ "task switch: 16 bits", test_task16 },
		{ "SYSCALL and SYSEXIT, other forms", test_legacy_calls },
		{ "task switch: LDT, virtual 8086 mode, faults", test_task_details },
		{ "task gates", test_task_gate },
		{ "to and from compatibility mode", test_compatibility },
		{ "IRET: 16 bits, privilege", test_iret16 },
	};

	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
