/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that the decoder and emulator take from their surroundings, in the kernel and in user space.
 */
#ifndef EMULATE_ENV_H
#define EMULATE_ENV_H

#ifdef __KERNEL__

#include <linux/types.h>
#include <linux/string.h>
#include <linux/stddef.h>
#include <linux/compiler.h>

#else

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define fallthrough __attribute__((__fallthrough__))
#define noinline    __attribute__((__noinline__))
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif

#endif
#endif
