/* SPDX-License-Identifier: GPL-2.0-only */
/* SVM's instructions, all but the world switch itself (enter.S). */
#ifndef OKVM_SVM_OPS_H
#define OKVM_SVM_OPS_H

#include <linux/types.h>
#include <asm/asm.h>

/* Hold back all interrupts, NMIs too, until the next stgi(). */
static __always_inline void clgi(void)
{
	asm volatile("clgi" ::: "memory");
}

static __always_inline void stgi(void)
{
	asm volatile("stgi" ::: "memory");
}

/*
 * Store FS, GS, TR, LDTR, KernelGSBase, STAR.., SYSENTER_* at physical address @pa. When the
 * machine goes down SVM may be off here: nothing is entered any more, and nothing stored.
 */
static __always_inline void vmsave(u64 pa)
{
	asm volatile("1: vmsave %0\n2:\n\t" _ASM_EXTABLE(1b, 2b) :: "a"(pa) : "memory");
}

#endif
