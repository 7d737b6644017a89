/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_REPORT_H
#define RUNNER_REPORT_H

/* Exit statuses of `okvm run`; okvm(1) tells what each means. */
enum status {
	STATUS_POWEROFF = 0,
	STATUS_ERROR = 1,
	STATUS_USAGE = 2,
	STATUS_REBOOT = 3,
	STATUS_TRIPLE_FAULT = 4,
	STATUS_GUEST_ERROR = 5,
	STATUS_QUIT = 6,
	STATUS_PAYLOAD = 64,
};

void report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void report_line_end(const char *end);

#endif
