/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that okvm builds for: all version tests live here. */
#ifndef OKVM_COMPAT_H
#define OKVM_COMPAT_H

#include <linux/eventfd.h>
#include <linux/version.h>
#include <asm/apic.h>
#include <asm/fpu/xcr.h>

/** okvm_eventfd_signal - add 1 to an eventfd; any context */
static inline void okvm_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/** okvm_send_ipi - interrupt another CPU with a vector of the kernel's; any context */
static inline void okvm_send_ipi(int cpu, int vector)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	__apic_send_IPI_mask(cpumask_of(cpu), vector);
#else
	apic->send_IPI_mask(cpumask_of(cpu), vector);
#endif
}

#endif
