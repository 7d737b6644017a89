/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_GUEST_H
#define SELFTEST_GUEST_H

/*
 * What 64-bit guest code may call. Guest code is any function of the program:
 * the guest has a copy of the program's image, made when the VM was created,
 * at the same addresses. So constants and pointers to code are shared; a
 * variable is the guest's own copy (vm_shared() is the host's way to it). libc
 * is out of bounds in a guest, except memcpy, memmove, memset and memcmp.
 */

#include <stdbool.h>
#include <stdint.h>

#include "x86.h"

#define UCALL_PORT	0x4f4b		/* 32-bit OUT: address of a struct ucall */
#define UCALL_ARGS	6

enum ucall_cmd {
	UCALL_NONE,		/* not a ucall: another exit */
	UCALL_SYNC,		/* args: stage, value */
	UCALL_DONE,
	UCALL_PRINT,		/* text is a format of 64-bit arguments */
	UCALL_ABORT,		/* a failed GUEST_ASSERT */
	UCALL_TRAP,		/* args: vector, error code, rip, cr2, rsp, rflags */
};

struct ucall {
	uint32_t cmd;
	uint32_t line;
	const char *file;
	const char *text;
	uint64_t args[UCALL_ARGS];
};

/* What a handler sees and may change. */
struct trap_frame {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void (*trap_fn)(struct trap_frame *f);

void guest_ucall(struct ucall *uc);

#define GUEST_UCALL(c, t, ...) do {						\
	struct ucall uc_ = { .cmd = (c), .line = __LINE__, .file = __FILE__,	\
			     .text = (t), .args = { __VA_ARGS__ } };		\
	guest_ucall(&uc_);							\
} while (0)

/** GUEST_SYNC() - give the host control; it sees the number */
#define GUEST_SYNC(n)		GUEST_UCALL(UCALL_SYNC, 0, (uint64_t)(n))
/** GUEST_SYNC_VAL() - the same with a value for the host */
#define GUEST_SYNC_VAL(n, v)	GUEST_UCALL(UCALL_SYNC, 0, (uint64_t)(n), (uint64_t)(v))
/** GUEST_DONE() - the guest has finished; it is not run on */
#define GUEST_DONE()		GUEST_UCALL(UCALL_DONE, 0, 0)
/** GUEST_PRINTF() - a diagnostic line; at most 6 arguments, each of 64 bits (%lx, %lu, %ld) */
#define GUEST_PRINTF(fmt, ...)	GUEST_UCALL(UCALL_PRINT, fmt, __VA_ARGS__)

/** GUEST_ASSERT() - fail the test case, with the place, unless @cond holds */
#define GUEST_ASSERT(cond) do {							\
	if (!(cond))								\
		GUEST_UCALL(UCALL_ABORT, #cond, 0);				\
} while (0)

/** GUEST_ASSERT_EQ() - fail the test case and show both values unless they are equal */
#define GUEST_ASSERT_EQ(a, b) do {						\
	const uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);			\
	if (a_ != b_)								\
		GUEST_UCALL(UCALL_ABORT, #a " == " #b, a_, b_);			\
} while (0)

/** guest_handle() - from now on @fn handles @vector in this guest (0: nobody) */
void guest_handle(unsigned int vector, trap_fn fn);

/* What an instruction under guest_try() did; vector is NO_TRAP when it went through. */
#define NO_TRAP		(~0ul)
struct trap {
	uint64_t vector;
	uint64_t error;
};

/*
 * The trap code looks for the faulting RIP in the section guest_ex; there it
 * puts vector and error code into r10 and r11 and goes on behind it.
 */
#define TRY_ASM(insn)						\
	"mov $-1, %%r10\n\t"					\
	"xor %%r11d, %%r11d\n"					\
	"771: " insn "\n"					\
	"772:\n\t"						\
	".pushsection guest_ex, \"a\"\n\t"			\
	".quad 771b, 772b\n\t"					\
	".popsection\n\t"

/**
 * guest_try() - execute an instruction that may raise an exception
 * @insn: assembler text; its operands are inputs only, and named: "mov (%[p]), %%al", [p] "r"(p)
 * Returns a struct trap.
 */
#define guest_try(insn, ...) ({							\
	struct trap t_;								\
	asm volatile(TRY_ASM(insn)						\
		     "mov %%r10, %[vec_]\n\tmov %%r11, %[err_]"			\
		     : [vec_] "=m"(t_.vector), [err_] "=m"(t_.error)		\
		     : __VA_ARGS__						\
		     : "r10", "r11", "memory", "cc");				\
	t_;									\
})

/** guest_rdmsr_try() - RDMSR; NO_TRAP or the vector */
uint64_t guest_rdmsr_try(uint32_t msr, uint64_t *value);
/** guest_wrmsr_try() - WRMSR; NO_TRAP or the vector */
uint64_t guest_wrmsr_try(uint32_t msr, uint64_t value);

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static inline void guest_cpuid(uint32_t fn, uint32_t idx, uint32_t out[4])
{
	asm volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
		     : "0"(fn), "2"(idx) : "memory");
}

#define DEFINE_CR(n)								\
static inline uint64_t read_cr##n(void)						\
{										\
	uint64_t v;								\
										\
	asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");		\
	return v;								\
}										\
										\
static inline void write_cr##n(uint64_t v)					\
{										\
	asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");			\
}

DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)

static inline void xsetbv(uint32_t index, uint64_t v)
{
	asm volatile("xsetbv" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static inline void invlpg(const void *p)
{
	asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void hlt(void) { asm volatile("hlt" : : : "memory"); }
/* No interrupt is taken between the two: the only safe way to wait for one. */
static inline void sti_hlt(void) { asm volatile("sti\n\thlt" : : : "memory"); }
static inline void cpu_relax(void) { asm volatile("pause" : : : "memory"); }

/** GUEST_WAIT() - spin until @cond holds; the case's time limit is the only bound */
#define GUEST_WAIT(cond) do { while (!(cond)) cpu_relax(); } while (0)

#define READ_ONCE(x)	(*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

#endif
