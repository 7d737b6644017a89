/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_LOOP_H
#define RUNNER_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>

#define LOOP_MAX_SOURCES 64

/**
 * struct loop_source - a file descriptor that a loop waits on for input
 * @fd: the descriptor
 * @ready: called in the loop's thread when @fd is readable, hung up or in error
 * @arg: for @ready
 * @always: a regular file: epoll refuses it, and it is always readable
 * @armed: whether @ready is wanted
 */
struct loop_source {
	int fd;
	void (*ready)(void *arg);
	void *arg;
	bool always;
	bool armed;
};

struct loop {
	int epoll_fd, wake_fd;
	atomic_bool stopping;
	struct loop_source sources[LOOP_MAX_SOURCES];
	unsigned int nr_sources;
};

int loop_init(struct loop *loop);
struct loop_source *loop_add(struct loop *loop, int fd, void (*ready)(void *arg), void *arg);
void loop_arm(struct loop *loop, struct loop_source *source, bool armed);
void loop_poll(struct loop *loop, int timeout_ms);
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_destroy(struct loop *loop);

void event_clear(int event_fd);
void event_set(int event_fd);

#endif
