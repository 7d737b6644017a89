// SPDX-License-Identifier: GPL-2.0-only
/* Messages to the user: one place, one form, correct on a raw terminal too. */
#include <stdarg.h>
#include <stdio.h>

#include "report.h"

static const char *line_end = "\n";

/**
 * report_line_end - choose what ends a message
 * @end: a string that lives as long as it is in use; "\r\n" while the terminal is raw
 */
void report_line_end(const char *end)
{
	line_end = end;
}

/**
 * report - tell the user what went wrong and what to do
 * @fmt: printf format, without the program's name and without a line end
 *
 * May be called from any thread: the message leaves in one write.
 */
void report(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(stderr, "okvm: %s%s", text, line_end);
}
