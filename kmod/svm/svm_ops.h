/* SPDX-License-Identifier: GPL-2.0-only */
/* SVM's instructions, all but the world switch itself (enter.S). */
#ifndef OKVM_SVM_OPS_H
#define OKVM_SVM_OPS_H

#include <linux/types.h>

/* Hold back all interrupts, NMIs too, until the next stgi(). */
static __always_inline void clgi(void)
{
	asm volatile("clgi" ::: "memory");
}

static __always_inline void stgi(void)
{
	asm volatile("stgi" ::: "memory");
}

/* Store FS, GS, TR, LDTR, KernelGSBase, STAR.., SYSENTER_* at physical address @pa. */
static __always_inline void vmsave(u64 pa)
{
	asm volatile("vmsave %0" :: "a"(pa) : "memory");
}

#endif
