/* SPDX-License-Identifier: GPL-2.0-only */
/* Expectations, and a machine to have them of: a test is a list of code bytes and what they do. */
#ifndef EXPECT_H
#define EXPECT_H

#include "machine.h"
#include "tap.h"

static struct machine m;
static bool good;
static unsigned int line;

/* Note the first expectation that fails. */
#define EXPECT(condition_)                   \
	do {                                 \
		if (!(condition_) && good) { \
			good = false;        \
			line = __LINE__;     \
		}                            \
	} while (0)

#define CODE(...)                                          \
	do {                                               \
		static const u8 code_[] = { __VA_ARGS__ }; \
		machine_code(&m, code_, sizeof(code_));    \
	} while (0)

#define GPR(name_) m.ctxt.gpr[GPR_##name_]

static inline void check_fault(unsigned int at, enum emulate_status status, u8 vector,
			       bool has_error, u32 error)
{
	bool before = good;

	EXPECT(status == EMULATE_FAULT && m.ctxt.fault.vector == vector &&
	       m.ctxt.fault.has_error == has_error);
	EXPECT(!has_error || m.ctxt.fault.error == error);
	EXPECT(m.ctxt.rip == 0x1000);
	if (before && !good)
		line = at;
}

#define expect_fault(...) check_fault(__LINE__, __VA_ARGS__)

static inline enum emulate_status step(void)
{
	return machine_step(&m);
}

/* Run code at 0x1000 in @mode_ with fresh registers. */
#define RUN(mode_, ...) (machine_init(&m, EMULATE_##mode_), ({ CODE(__VA_ARGS__); }), step())
#define SET_UP(mode_, ...)                         \
	do {                                       \
		machine_init(&m, EMULATE_##mode_); \
		CODE(__VA_ARGS__);                 \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

static inline int run_tests(const struct test *tests, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		good = true;
		tests[i].run();
		if (!tap_ok(good, "%s", tests[i].name))
			printf("# line %u: vector %u error %x rip %llx\n", line,
			       m.ctxt.fault.vector, m.ctxt.fault.error,
			       (unsigned long long)m.ctxt.rip);
	}
	return tap_done();
}

#endif
