/* SPDX-License-Identifier: GPL-2.0-only */
/* What the state machines take from their surroundings, in the kernel and in user space. */
#ifndef IRQCHIP_ENV_H
#define IRQCHIP_ENV_H

#include <linux/kvm.h>
#include <asm/apicdef.h>

#include "../emulate/env.h"

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/time64.h>

#else

#include <strings.h>

#define BIT(n)			(1ul << (n))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define NSEC_PER_SEC		1000000000ull
#define READ_ONCE(x)		(*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile typeof(x) *)&(x) = (v))
#define min_t(t, a, b)		((t)(a) < (t)(b) ? (t)(a) : (t)(b))
#define max_t(t, a, b)		((t)(a) > (t)(b) ? (t)(a) : (t)(b))
#define array_index_nospec(i, n) (i)

static inline int fls(unsigned int x)
{
	return x ? 32 - __builtin_clz(x) : 0;
}

static inline unsigned int hweight32(u32 x)
{
	return __builtin_popcount(x);
}

static inline u64 mul_u64_u32_div(u64 a, u32 mul, u32 div)
{
	return (unsigned __int128)a * mul / div;
}

static inline void set_bit(long nr, volatile unsigned long *addr)
{
	__atomic_fetch_or(addr, 1ul << nr, __ATOMIC_SEQ_CST);
}

static inline void clear_bit(long nr, volatile unsigned long *addr)
{
	__atomic_fetch_and(addr, ~(1ul << nr), __ATOMIC_SEQ_CST);
}

static inline bool test_and_set_bit(long nr, volatile unsigned long *addr)
{
	return __atomic_fetch_or(addr, 1ul << nr, __ATOMIC_SEQ_CST) >> nr & 1;
}

#define xchg(p, v)	__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)

#endif
#endif
