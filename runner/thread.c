// SPDX-License-Identifier: GPL-2.0-only
/* Threads that can be made to leave a blocking system call. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "thread.h"

#define KICK_SIGNAL	SIGRTMIN
#define KICK_AGAIN_NS	50000000L

static void kicked(int signal)
{
	(void)signal;	/* its delivery alone ends KVM_RUN or a blocked system call */
}

/**
 * thread_start - start a thread
 * @thread: filled in
 * @name: at most 15 characters, for ps and top
 * @run: what it runs
 * @arg: for @run
 *
 * The thread takes the kick and the faults that are its own; the main thread takes other signals.
 *
 * Return: 0, or -1 after a report.
 */
int thread_start(struct thread *thread, const char *name, void *(*run)(void *arg), void *arg)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction action = { .sa_handler = kicked };
	sigset_t mask, before;
	int error;

	sigaction(KICK_SIGNAL, &action, NULL);
	sigfillset(&mask);
	sigdelset(&mask, KICK_SIGNAL);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&mask, own[i]);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	error = pthread_create(&thread->id, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		report("cannot start thread %s: %s", name, strerror(error));
		return -1;
	}
	thread->running = true;
	pthread_setname_np(thread->id, name);
	return 0;
}

/**
 * thread_stop - wait for a thread that has been told to end
 * @thread: the thread, or a zeroed one that never started
 *
 * Kicks it until it is gone, since one kick may come just before the thread blocks.
 */
void thread_stop(struct thread *thread)
{
	struct timespec until;

	if (!thread->running)
		return;
	do {
		pthread_kill(thread->id, KICK_SIGNAL);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += KICK_AGAIN_NS;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
	} while (pthread_timedjoin_np(thread->id, NULL, &until) == ETIMEDOUT);
	thread->running = false;
}
