/* SPDX-License-Identifier: GPL-2.0-only */
/* Test Anything Protocol, as little of it as these programs need. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned int tap_tests, tap_failures;

static inline bool tap_ok(bool ok, const char *format, ...)
{
	va_list args;

	printf("%sok %u - ", ok ? "" : "not ", ++tap_tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	if (!ok)
		tap_failures++;
	return ok;
}

/* Print the plan; the program's exit status. */
static inline int tap_done(void)
{
	printf("1..%u\n", tap_tests);
	return tap_failures ? 1 : 0;
}

#endif
