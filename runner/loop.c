// SPDX-License-Identifier: GPL-2.0-only
/* An event loop on epoll: one thread runs it, any thread may stop it. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"
#include "report.h"

/**
 * event_set - raise an eventfd
 * @event_fd: the eventfd
 */
void event_set(int event_fd)
{
	uint64_t one = 1;

	while (write(event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/**
 * event_clear - take an eventfd's count back to zero
 * @event_fd: a non-blocking eventfd
 */
void event_clear(int event_fd)
{
	uint64_t count;

	while (read(event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void woken(void *arg)
{
	struct loop *loop = arg;

	event_clear(loop->wake_fd);
}

/**
 * loop_init - make an empty loop
 * @loop: the loop; zeroed memory
 *
 * Return: 0, or -1 after a report.
 */
int loop_init(struct loop *loop)
{
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0) {
		report("cannot make an event loop: %s", strerror(errno));
		return -1;
	}
	return loop_add(loop, loop->wake_fd, woken, loop) ? 0 : -1;
}

/**
 * loop_add - wait on one more descriptor, armed at once
 * @loop: the loop, not running yet
 * @fd: descriptor, stays the caller's
 * @ready: called in the loop's thread while @fd is readable
 * @arg: for @ready
 *
 * Return: the source, for loop_arm(), or NULL after a report.
 */
struct loop_source *loop_add(struct loop *loop, int fd, void (*ready)(void *arg), void *arg)
{
	struct loop_source *source = &loop->sources[loop->nr_sources];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	if (loop->nr_sources == LOOP_MAX_SOURCES) {
		report("an event loop takes no more than %d descriptors", LOOP_MAX_SOURCES);
		return NULL;
	}
	*source = (struct loop_source){ .fd = fd, .ready = ready, .arg = arg, .armed = true };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		if (errno != EPERM) {
			report("cannot wait on a descriptor: %s", strerror(errno));
			return NULL;
		}
		source->always = true;
	}
	loop->nr_sources++;
	return source;
}

/**
 * loop_arm - say whether a source's callback is wanted
 * @loop: the source's loop; called in its thread, or before it runs
 * @source: the source
 * @armed: whether to call it
 */
void loop_arm(struct loop *loop, struct loop_source *source, bool armed)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	if (source->armed == armed)
		return;
	source->armed = armed;
	/* Taken out, not masked: epoll would report a hang-up for ever. */
	if (!source->always)
		epoll_ctl(loop->epoll_fd, armed ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, source->fd,
			  &event);
}

static bool run_always(struct loop *loop, bool call)
{
	bool any = false;

	for (unsigned int i = 0; i < loop->nr_sources; i++) {
		struct loop_source *source = &loop->sources[i];

		if (!source->always || !source->armed)
			continue;
		any = true;
		if (call)
			source->ready(source->arg);
	}
	return any;
}

/**
 * loop_poll - wait once and call what is ready
 * @loop: the loop
 * @timeout_ms: how long to wait at most, or -1
 */
void loop_poll(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[16];
	int n;

	if (run_always(loop, false))
		timeout_ms = 0;
	n = epoll_wait(loop->epoll_fd, events, 16, timeout_ms);
	for (int i = 0; i < n && !loop->stopping; i++) {
		struct loop_source *source = events[i].data.ptr;

		source->ready(source->arg);
	}
	run_always(loop, true);
}

/**
 * loop_run - wait and call until loop_stop()
 * @loop: the loop
 */
void loop_run(struct loop *loop)
{
	while (!loop->stopping)
		loop_poll(loop, -1);
}

/**
 * loop_stop - make loop_run() return
 * @loop: the loop
 *
 * May be called from any thread, any number of times.
 */
void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	event_set(loop->wake_fd);
}

/**
 * loop_destroy - close what loop_init() opened
 * @loop: the loop, not running, in no other thread's hands
 */
void loop_destroy(struct loop *loop)
{
	if (loop->epoll_fd > 0)
		close(loop->epoll_fd);
	if (loop->wake_fd > 0)
		close(loop->wake_fd);
}
