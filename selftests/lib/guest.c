// SPDX-License-Identifier: GPL-2.0-only
/* The guest's side of the library: calls to the host, traps. Runs in guests only. */

#include <stddef.h>

#include "guest.h"

struct ex_entry {
	uint64_t insn, resume;
};

/* Weak: a program without guest_try() has no such section. */
extern const struct ex_entry __start_guest_ex[] __attribute__((weak));
extern const struct ex_entry __stop_guest_ex[] __attribute__((weak));

static trap_fn handlers[256];

void guest_ucall(struct ucall *uc)
{
	/* Guest stacks and images lie below 4 GiB. */
	asm volatile("outl %%eax, %%dx"
		     : : "a"((uint32_t)(uintptr_t)uc), "d"(UCALL_PORT) : "memory");
	/* A guest that is DONE, or failed, has no way on. */
	while (uc->cmd == UCALL_DONE || uc->cmd == UCALL_ABORT || uc->cmd == UCALL_TRAP)
		asm volatile("outl %%eax, %%dx"
			     : : "a"((uint32_t)(uintptr_t)uc), "d"(UCALL_PORT) : "memory");
}

void guest_handle(unsigned int vector, trap_fn fn)
{
	WRITE_ONCE(handlers[vector], fn);
}

static bool fix_up(struct trap_frame *f)
{
	for (const struct ex_entry *e = __start_guest_ex; e < __stop_guest_ex; e++) {
		if (e->insn != f->rip)
			continue;
		f->rip = e->resume;
		f->r10 = f->vector;
		f->r11 = f->error;
		return true;
	}
	return false;
}

/* Called by the stubs of traps.S. */
void guest_trap(struct trap_frame *f);
void guest_trap(struct trap_frame *f)
{
	trap_fn fn = handlers[f->vector];

	if (f->vector < 32 && f->vector != NMI_VECTOR && fix_up(f))
		return;
	if (fn)
		fn(f);
	else
		GUEST_UCALL(UCALL_TRAP, NULL, f->vector, f->error, f->rip, read_cr2(), f->rsp,
			    f->rflags);
}

uint64_t guest_rdmsr_try(uint32_t msr, uint64_t *value)
{
	uint32_t lo, hi;
	uint64_t vec;

	asm volatile(TRY_ASM("rdmsr") "mov %%r10, %[vec]"
		     : [vec] "=m"(vec), "=a"(lo), "=d"(hi) : "c"(msr) : "r10", "r11", "memory");
	if (vec == NO_TRAP)
		*value = lo | (uint64_t)hi << 32;
	return vec;
}

uint64_t guest_wrmsr_try(uint32_t msr, uint64_t value)
{
	return guest_try("wrmsr", "c"(msr), "a"((uint32_t)value),
			 "d"((uint32_t)(value >> 32))).vector;
}
