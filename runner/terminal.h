/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_TERMINAL_H
#define RUNNER_TERMINAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;
struct loop_source;

/**
 * struct console - a device that the user types into
 * @room: how many bytes @input takes now
 * @input: takes that many bytes, or fewer
 * @resized: the terminal's size has changed, or NULL
 * @device: for these
 *
 * Called in the main thread.
 */
struct console {
	size_t (*room)(void *device);
	void (*input)(void *device, const uint8_t *bytes, size_t n);
	void (*resized)(void *device);
	void *device;
};

#define TERMINAL_KEYS 1024U

/**
 * struct terminal - the terminal, pipe or file at standard input and output
 * @vm: whose console it is
 * @console: where input goes
 * @source: standard input in @vm's loop
 * @tty: standard input is a terminal: raw mode and the escape key
 * @escaped: the escape key was the last key
 * @ended: no more input will come
 * @keys: input that the console had no room for, @nr_keys bytes
 * @room_fd: eventfd: there may be room for it now
 * @output_lock: keeps the output of several threads whole
 *
 * All but @nr_keys, @room_fd and output belongs to the main thread.
 */
struct terminal {
	struct vm *vm;
	struct console console;
	struct loop_source *source;
	bool tty, escaped, ended;
	uint8_t keys[TERMINAL_KEYS];
	atomic_size_t nr_keys;
	int room_fd;
	pthread_mutex_t output_lock;
};

int terminal_open(struct terminal *terminal, struct vm *vm, const struct console *console);
void terminal_has_room(struct terminal *terminal);
void terminal_write(struct terminal *terminal, const uint8_t *bytes, size_t n);
void terminal_resume(struct terminal *terminal);
void terminal_close(struct terminal *terminal);
void terminal_restore(void);

#endif
