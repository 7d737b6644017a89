// SPDX-License-Identifier: GPL-2.0-only
/* The escape key of the console: Ctrl-A x quits, Ctrl-A Ctrl-A is Ctrl-A. Pure. */
#include "escape.h"

/**
 * escape_filter - take the escape sequences out of what the user typed
 * @pending: whether the escape key was the last key; kept between calls
 * @keys: what was typed; receives what is left for the guest
 * @n: number of keys, before and after
 *
 * Return: what the user asked for; keys typed after a request to quit are dropped.
 */
enum escape_command escape_filter(bool *pending, uint8_t *keys, size_t *n)
{
	enum escape_command command = ESCAPE_NONE;
	size_t kept = 0;

	for (size_t i = 0; i < *n && command != ESCAPE_QUIT; i++) {
		if (!*pending && keys[i] == ESCAPE_KEY) {
			*pending = true;
			continue;
		}
		if (!*pending || keys[i] == ESCAPE_KEY)
			keys[kept++] = keys[i];
		else
			command = (keys[i] | 0x20) == 'x' ? ESCAPE_QUIT : ESCAPE_HELP;
		*pending = false;
	}
	*n = kept;
	return command;
}
