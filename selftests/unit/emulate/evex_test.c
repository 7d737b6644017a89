// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves with an EVEX prefix against the real CPU, with all 32 registers of 64 bytes: the move
 * runs as a function in this process, and in the emulator. Without AVX-512 only the faults
 * are looked at.
 *
 * evex_test [cases]
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "expect.h"

#define DATA 0x4000 /* in the machine's memory */
#define SIZE 0x4000

static u8 registers[32][64], memory[SIZE] __attribute__((__aligned__(64)));
static u8 *code;
static u64 random_state = 0x2545f4914f6cdd1d;

static u64 random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

#define EACH(X)                                                                                \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)  \
	X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29)    \
	X(30) X(31)

/* Load all registers, run the code with RDI in the middle of memory, store them. */
__attribute__((__target__("avx512f"))) static void run_native(void)
{
#define LOAD(n) "vmovdqu64 " #n "*64(%[r]), %%zmm" #n "\n\t"
#define STORE(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%[r])\n\t"
	asm volatile(EACH(LOAD) "call *%[code]\n\t" EACH(STORE) "vzeroupper"
		     :
		     : [r] "r"(registers), [code] "r"(code), "D"(memory + SIZE / 2)
		     : "memory", "cc");
}

/* A form of a move; the registers and the address are random. */
static unsigned int put_move(u8 *p)
{
	static const u8 forms[][3] = { /* opcode, pp, W; both if 2 */
		{ 0x10, 0, 0 }, { 0x10, 1, 1 }, { 0x11, 0, 0 }, { 0x11, 1, 1 }, { 0x28, 0, 0 },
		{ 0x28, 1, 1 }, { 0x29, 0, 0 }, { 0x29, 1, 1 }, { 0x2b, 0, 0 }, { 0x2b, 1, 1 },
		{ 0x6f, 1, 2 }, { 0x6f, 2, 2 }, { 0x6f, 3, 2 }, { 0x7f, 1, 2 }, { 0x7f, 2, 2 },
		{ 0x7f, 3, 2 }, { 0xe7, 1, 0 }, { 0x2a, 1, 0 },
	};
	const u8 *form = forms[random64() % (sizeof(forms) / sizeof(forms[0]))];
	bool streams = form[0] == 0x2a || form[0] == 0x2b || form[0] == 0xe7;
	unsigned int mod = streams ? random64() % 3 : random64() % 4, length = 6;
	u8 w = form[2] == 2 ? random64() & 0x80 : (u64)form[2] << 7;
	s32 disp = (s32)(random64() % 0x1e00) - 0xf00;

	p[0] = 0x62;
	/* with memory X and B would choose other registers than RDI */
	p[1] = (random64() & (mod == 3 ? 0xf0 : 0x90)) | (mod == 3 ? 0 : 0x60) |
	       (form[0] == 0x2a ? 2 : 1);
	p[2] = w | 0x7c | form[1];
	p[3] = 0x08 | random64() % 3 << 5;
	p[4] = form[0];
	p[5] = mod << 6 | (random64() & 0x38) | (mod == 3 ? random64() & 7 : 7);
	if (mod == 1)
		p[length++] = (s8)(random64() % 100 - 50);
	if (mod == 2) {
		disp &= streams || form[0] == 0x28 || form[0] == 0x29 || form[1] == 1 ? ~63 : ~0;
		memcpy(p + length, &disp, 4);
		length += 4;
	}
	return length;
}

static bool move_agrees(void)
{
	u8 bytes[16];
	unsigned int length = put_move(bytes), i;

	for (i = 0; i < sizeof(registers) / 8; i++)
		((u64 *)registers)[i] = random64();
	machine_init(&m, EMULATE_LONG64);
	m.cr[EMULATE_XCR0] = 0xe7;
	memcpy(m.vectors, registers, sizeof(registers));
	memcpy(m.ram + DATA, memory, SIZE);
	machine_code(&m, bytes, length);
	GPR(RDI) = DATA + SIZE / 2;
	memcpy(code, bytes, length);
	code[length] = 0xc3;
	run_native();
	return step() == EMULATE_DONE && m.ctxt.insn.length == length &&
	       !memcmp(m.vectors, registers, sizeof(registers)) &&
	       !memcmp(m.ram + DATA, memory, SIZE);
}

static int cases = 100000;

static void test_moves(void)
{
	int i;

	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	for (i = 0; i < SIZE; i++)
		memory[i] = random64();
	for (i = 0; i < cases && good; i++)
		EXPECT(move_agrees());
	for (i = 0; !good && i < 10; i++)
		printf("%s%02x", i ? " " : "# ", code[i]);
	printf("%s", good ? "" : "\n");
}

static void test_faults(void)
{
	SET_UP(LONG64, 0x62, 0xe1, 0xfd, 0x48, 0x6f, 0x07); /* vmovdqa64 (%rdi), %zmm16 */
	GPR(RDI) = 0x4000;
	expect_fault(step(), VECTOR_UD, false, 0); /* XCR0 lacks AVX-512 */
	m.cr[EMULATE_XCR0] = 0xe7;
	machine_put(&m, 0x4038, 0x1234, 8);
	EXPECT(step() == EMULATE_DONE && m.vectors[16][56] == 0x34);
	m.ctxt.rip = 0x1000;
	GPR(RDI) = 0x4020;
	expect_fault(step(), VECTOR_GP, true, 0);
	m.cr[0] |= CR0_TS_BIT;
	expect_fault(step(), VECTOR_NM, false, 0);
	m.cr[0] &= ~CR0_TS_BIT;
	CODE(0x62, 0xe1, 0xfd, 0x49, 0x6f, 0x07); /* with a mask */
	EXPECT(step() == EMULATE_UNSUPPORTED);
	CODE(0x62, 0xe1, 0x7d, 0x48, 0xe7, 0xc7); /* streaming store to a register */
	expect_fault(step(), VECTOR_UD, false, 0);
	SET_UP(LONG64, 0x62, 0xe1, 0xfe, 0x28, 0x7f, 0x47, 0x01); /* vmovdqu64 %ymm16, 32(%rdi) */
	m.cr[EMULATE_XCR0] = 0xe7;
	GPR(RDI) = MMIO_BASE;
	m.vectors[16][0] = 0x42;
	EXPECT(step() == EMULATE_DONE && m.events[0].address == MMIO_BASE + 32 &&
	       m.events[0].size == 32 && m.events[0].value == 0x42);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "EVEX moves: faults, masks, MMIO", test_faults },
		{ "EVEX moves run natively", test_moves },
	};
	bool native = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");

	if (argc > 1)
		cases = strtol(argv[1], NULL, 0);
	if (!native)
		printf("# this CPU has no AVX-512BW and VL: nothing to compare with\n");
	return run_tests(tests, native ? 2 : 1);
}
