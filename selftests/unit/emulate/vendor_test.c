// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where Intel's and AMD's CPUs differ: execute_test finds out what the CPU at hand does, this keeps
 * both sides. Each case runs with amd clear and set.
 */
#include "expect.h"

/* Decode and execute the same code at 0x1000 again, as the other vendor would. */
static enum emulate_status step_as(bool amd)
{
	m.ctxt.amd = amd;
	m.ctxt.rip = 0x1000;
	m.n_events = 0;
	return step();
}

static void test_prefetch(void)
{
	SET_UP(LONG64, 0x0f, 0x0d, 0xc8); /* prefetchw with a register */
	EXPECT(step_as(false) == EMULATE_DONE && m.ctxt.rip == 0x1003);
	m.ctxt.rip = 0x1000;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_UD, false, 0);
	CODE(0x0f, 0x0d, 0x0f);
	EXPECT(step_as(true) == EMULATE_DONE);
}

static void test_pause(void)
{
	SET_UP(LONG64, 0xf3, 0x41, 0x90); /* PAUSE, or XCHG %r8d, %eax */
	GPR(RAX) = 0x1122334455667788;
	GPR(R8) = 5;
	EXPECT(step_as(false) == EMULATE_DONE && m.n_events == 1 && GPR(R8) == 5);
	EXPECT(m.events[0].kind == EVENT_SPECIAL && m.events[0].size == SPECIAL_PAUSE);
	EXPECT(step_as(true) == EMULATE_DONE && GPR(RAX) == 5 && GPR(R8) == 0x55667788);
	CODE(0xf3, 0x90);
	m.ctxt.rip = 0x1000;
	CODE(0xf3, 0x90);
	EXPECT(step_as(true) == EMULATE_DONE && m.n_events == 1);
}

static void test_loop(void)
{
	SET_UP(LONG64, 0xf3, 0xe0, 0x10); /* LOOPNE; with F3 AMD's CPUs take it for LOOPE */
	GPR(RCX) = 10;
	EXPECT(step_as(false) == EMULATE_DONE && m.ctxt.rip == 0x1013);
	EXPECT(step_as(true) == EMULATE_DONE && m.ctxt.rip == 0x1003 && GPR(RCX) == 8);
	m.ctxt.rip = 0x1000;
	CODE(0xf2, 0xe1, 0x10); /* and LOOPE with F2 for LOOPNE */
	EXPECT(step_as(false) == EMULATE_DONE && m.ctxt.rip == 0x1003);
	EXPECT(step_as(true) == EMULATE_DONE && m.ctxt.rip == 0x1013);
	m.ctxt.rip = 0x1000;
	CODE(0xf2, 0xe2, 0x10); /* LOOP does not care */
	EXPECT(step_as(true) == EMULATE_DONE && m.ctxt.rip == 0x1013);
}

/* Where the return address of a call that fails is, and which of two faults wins. */
static void test_call(void)
{
	SET_UP(LONG64, 0xff, 0xd0); /* call *%rax */
	GPR(RAX) = 0x800000000000;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_GP, true, 0);
	EXPECT(machine_get(&m, 0x7ff8, 8) == 0 && GPR(RSP) == 0x8000);
	m.ctxt.amd = false;
	expect_fault(step(), VECTOR_GP, true, 0);
	EXPECT(machine_get(&m, 0x7ff8, 8) == 0x1002 && GPR(RSP) == 0x8000);
	GPR(RSP) = READ_ONLY + 0x100;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_PF, true, 3);
}

static void test_wrap32(void)
{
	SET_UP(PROT32, 0x8b, 0x07); /* mov (%edi), %eax across 4 GiB */
	GPR(RDI) = 0xfffffffe;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.ctxt.amd = false;
	expect_fault(step(), VECTOR_PF, true, 0);
	SET_UP(PROT32, 0x8b, 0x45, 0x00); /* and in the stack segment */
	GPR(RBP) = 0xfffffffe;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_SS, true, 0);
}

static void test_compare_order(void)
{
	SET_UP(LONG64, 0xf3, 0xa6); /* REPE CMPSB */
	GPR(RSI) = MMIO_BASE;
	GPR(RDI) = MMIO_BASE + 0x100;
	GPR(RCX) = 3;
	EXPECT(step_as(false) == EMULATE_PENDING && m.events[0].address == MMIO_BASE + 0x100);
	EXPECT(step_as(true) == EMULATE_PENDING && m.events[0].address == MMIO_BASE);
	CODE(0xf2, 0xa6);
	EXPECT(step_as(true) == EMULATE_PENDING && m.events[0].address == MMIO_BASE + 0x100);
	CODE(0xf3, 0xa7);
	EXPECT(step_as(true) == EMULATE_PENDING && m.events[0].address == MMIO_BASE + 0x100);
}

/* Flags that a fault in the second iteration finds. */
static void test_repeat_flags(void)
{
	bool amd;

	for (amd = false;; amd = true) {
		SET_UP(LONG64, 0xf2, 0xae); /* repne scasb */
		m.ctxt.amd = amd;
		m.ctxt.rflags |= FLAG_ZF;
		GPR(RAX) = 1;
		GPR(RDI) = RAM_SIZE - 1;
		GPR(RCX) = 5;
		expect_fault(step(), VECTOR_PF, true, 0);
		EXPECT(GPR(RCX) == 4 && GPR(RDI) == RAM_SIZE);
		EXPECT(!(m.ctxt.rflags & FLAG_ZF) == amd);
		if (amd)
			break;
	}
}

static void test_bound(void)
{
	SET_UP(PROT32, 0x62, 0x07); /* bound %eax, (%edi): below, and the upper bound not there */
	GPR(RDI) = RAM_SIZE - 4;
	machine_put(&m, RAM_SIZE - 4, 10, 4);
	expect_fault(step(), VECTOR_BR, false, 0);
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_PF, true, 0);
}

static void test_movsxd(void)
{
	SET_UP(LONG64, 0x66, 0x63, 0x07); /* 16 bits of 16, or of 32 */
	GPR(RDI) = RAM_SIZE - 2;
	machine_put(&m, RAM_SIZE - 2, 0x8001, 2);
	EXPECT(step_as(false) == EMULATE_DONE && GPR(RAX) == 0x8001);
	m.ctxt.rip = 0x1000;
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_PF, true, 0);
}

static void test_cmpxchg16b(void)
{
	SET_UP(LONG64, 0x48, 0x0f, 0xc7, 0x4d, 0x08); /* cmpxchg16b 8(%rbp) */
	GPR(RBP) = 0x800000000000;
	expect_fault(step(), VECTOR_SS, true, 0);
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_GP, true, 0);
}

static void test_sysexit(void)
{
	SET_UP(LONG64, 0x0f, 0x35);
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_UD, false, 0);
	m.ctxt.cpl = 3; /* privilege comes first */
	expect_fault(step(), VECTOR_GP, true, 0);
}

/* IRET with 32 bits in 64-bit code, to the same level. */
static void test_iret(void)
{
	SET_UP(LONG64, 0xcf);
	machine_put(&m, 0x2008, descriptor64(0, 0xfffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_L), 8);
	machine_put(&m, 0x2010, descriptor64(0, 0xfffff, SEG_P | SEG_S | SEG_TYPE_WRITE), 8);
	for (int amd = 0; amd < 2; amd++) {
		const u32 frame[] = { 0x1000, 8, FLAG_FIXED, 0x9000, 0x10 };

		for (int i = 0; i < 5; i++)
			machine_put(&m, 0x8000 + i * 4, frame[i], 4);
		GPR(RSP) = 0x8000;
		EXPECT(step_as(amd) == EMULATE_DONE && GPR(RSP) == (amd ? 0x9000 : 0x800c));
	}
}

static void test_lock_cr0(void)
{
	SET_UP(LONG64, 0xf0, 0x44, 0x0f, 0x20, 0xc1); /* LOCK does not go with REX.R */
	m.ctxt.amd = true;
	expect_fault(step(), VECTOR_UD, false, 0);
	CODE(0xf0, 0x41, 0x0f, 0x20, 0xc1); /* mov %cr8, %r9 */
	m.cr[8] = 7;
	EXPECT(step_as(true) == EMULATE_DONE && GPR(R9) == 7);
}

int main(void)
{
	static const struct test tests[] = {
		{ "prefetch with a register", test_prefetch },
		{ "PAUSE with REX.B", test_pause },
		{ "LOOPE and LOOPNE with F2 and F3", test_loop },
		{ "calls to bad addresses", test_call },
		{ "accesses across 4 GiB", test_wrap32 },
		{ "the order of CMPS's reads", test_compare_order },
		{ "flags of a repetition that faults", test_repeat_flags },
		{ "BOUND", test_bound },
		{ "MOVSXD with a 16-bit operand size", test_movsxd },
		{ "CMPXCHG16B: canonical or aligned first", test_cmpxchg16b },
		{ "SYSEXIT in long mode", test_sysexit },
		{ "IRET in 64-bit mode with 32 bits", test_iret },
		{ "LOCK MOV CR0", test_lock_cr0 },
	};

	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
