/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_THREAD_H
#define RUNNER_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct thread {
	pthread_t id;
	bool running;
};

int thread_start(struct thread *thread, const char *name, void *(*run)(void *arg), void *arg);
void thread_stop(struct thread *thread);

#endif
