/* SPDX-License-Identifier: GPL-2.0-only */
/* Checks and their report in TAP. */
#ifndef TAP_H
#define TAP_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned int cases, failures;
static const char *failed_what;
static int failed_line;

/* Record the first failure of a case. */
#define CHECK(cond) do {					\
	if (!(cond) && !failed_what) {				\
		failed_what = #cond;				\
		failed_line = __LINE__;				\
	}							\
} while (0)

#define CHECK_EQ(a, b) do {					\
	uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);	\
								\
	if (a_ != b_ && !failed_what)				\
		printf("# %#lx against %#lx\n", a_, b_);	\
	CHECK((uint64_t)(a_) == (b_) && #a " == " #b);		\
} while (0)

static inline void run_case(const char *name, void (*fn)(void))
{
	failed_what = NULL;
	fn();
	cases++;
	if (failed_what) {
		failures++;
		printf("not ok %u - %s\n# line %d: %s\n", cases, name, failed_line, failed_what);
	} else {
		printf("ok %u - %s\n", cases, name);
	}
	fflush(stdout);
}

#define RUN(fn)	run_case(#fn, fn)

static inline int finish(void)
{
	printf("1..%u\n", cases);
	return failures != 0;
}

/* A generator with a fixed seed: a failure comes again. xorshift64*. */
static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static inline uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

static inline uint64_t random_below(uint64_t n)
{
	return random64() % n;
}

#endif
