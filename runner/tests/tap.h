/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_TESTS_TAP_H
#define RUNNER_TESTS_TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

/* One test point; the condition itself is its name where none is better. */
#define ok(condition, ...) do {							\
	bool tap_good = (condition);						\
	printf("%sok %d - ", tap_good ? "" : "not ", ++tap_count);		\
	printf(__VA_ARGS__);							\
	putchar('\n');								\
	if (!tap_good) {							\
		tap_failed++;							\
		printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);	\
	}									\
} while (0)

static inline int tap_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

/* The same sequence on every run: xorshift64. */
static unsigned long long tap_seed = 88172645463325252ULL;

static inline unsigned long long tap_random(void)
{
	tap_seed ^= tap_seed << 13;
	tap_seed ^= tap_seed >> 7;
	tap_seed ^= tap_seed << 17;
	return tap_seed;
}

#endif
