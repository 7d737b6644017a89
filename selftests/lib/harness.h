/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_HARNESS_H
#define SELFTEST_HARNESS_H

/*
 * Test cases and their report in TAP.
 *
 * Each case runs in a forked child of its own process group, so that a crash, a
 * hang or a leaked thread fails one case and not the program.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

struct test_case {
	const char *name;
	void (*fn)(void);
	unsigned int timeout;		/* seconds; 0 is the default */
	struct test_case *next;
};

/* For TEST() and TEST_TIMEOUT() only. */
void test_register(struct test_case *tc);

/**
 * TEST_TIMEOUT() - define and register a test case
 * @name: the case's name in the report
 * @seconds: after so long the case is killed and has failed
 *
 * The case passes when the function returns.
 */
#define TEST_TIMEOUT(name, seconds)						\
	static void test_##name(void);						\
	static struct test_case name##_case = { #name, test_##name, seconds, 0 };	\
	__attribute__((constructor)) static void name##_register(void)		\
	{									\
		test_register(&name##_case);					\
	}									\
	static void test_##name(void)

/** TEST() - as TEST_TIMEOUT(), with the default time limit */
#define TEST(name) TEST_TIMEOUT(name, 0)

/** diag() - print a diagnostic line ('# ...'); callable from any thread */
__attribute__((format(printf, 1, 2)))
void diag(const char *fmt, ...);

/* For the macros below: report and end the case. */
__attribute__((noreturn, format(printf, 5, 6)))
void test_fail(const char *file, int line, int err, const char *what, const char *fmt, ...);

/** test_skip() - end the case as skipped; the reason is shown in the TAP line */
__attribute__((noreturn, format(printf, 1, 2)))
void test_skip(const char *fmt, ...);

/** TEST_ASSERT() - fail the case with a message, the place and errno if @cond is false */
#define TEST_ASSERT(cond, fmt, ...) do {					\
	if (!(cond))								\
		test_fail(__FILE__, __LINE__, errno, #cond, fmt, ##__VA_ARGS__);	\
} while (0)

/** TEST_ASSERT_EQ() - fail the case and show both values if they differ */
#define TEST_ASSERT_EQ(a, b) do {						\
	const uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);			\
	if (a_ != b_)								\
		test_fail(__FILE__, __LINE__, 0, #a " == " #b,			\
			  "%#lx (%ld) against %#lx (%ld)", a_, (long)a_, b_, (long)b_); \
} while (0)

/** TEST_REQUIRE() - skip the case, with the reason, unless @cond holds */
#define TEST_REQUIRE(cond, fmt, ...) do {					\
	if (!(cond))								\
		test_skip(fmt, ##__VA_ARGS__);					\
} while (0)

/** ioctl_ok() - an ioctl that must succeed; its value is the ioctl's result */
#define ioctl_ok(fd, cmd, arg) ({						\
	int r_ = ioctl(fd, cmd, arg);						\
	if (r_ < 0)								\
		test_fail(__FILE__, __LINE__, errno, #cmd, "must succeed");	\
	r_;									\
})

/** ioctl_fails() - an ioctl that must be refused with the errno @want */
#define ioctl_fails(fd, cmd, arg, want) do {					\
	int r_ = ioctl(fd, cmd, arg), e_ = errno;				\
	if (r_ >= 0)								\
		test_fail(__FILE__, __LINE__, 0, #cmd,				\
			  "returned %d, should fail with " #want, r_);		\
	if (e_ != (want))							\
		test_fail(__FILE__, __LINE__, e_, #cmd, "should fail with " #want);	\
} while (0)

/** put_file() - write a text to a file that is there; false when it cannot be */
bool put_file(const char *path, const char *text);

/** spawn() - fork a process of the case; its TEST_ASSERTs work. Returns 0 in the child */
int spawn(void);

/** reap() - wait for a process of spawn() and fail the case if it did not pass */
void reap(int pid);

/** pass() - end a spawned process as passed */
__attribute__((noreturn)) void pass(void);

#endif
