/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_ESCAPE_H
#define RUNNER_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESCAPE_KEY 1U	/* Ctrl-A */

enum escape_command { ESCAPE_NONE, ESCAPE_QUIT, ESCAPE_HELP };

enum escape_command escape_filter(bool *pending, uint8_t *keys, size_t *n);

#endif
