// SPDX-License-Identifier: GPL-2.0-only
/*
 * User networking: libslirp turns the guest's connections into this process's sockets. The guest
 * gets 10.0.2.15 by DHCP; 10.0.2.2 is the host (its loopback too), 10.0.2.3 a name server.
 * libslirp is used in the device's thread only.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <slirp/libslirp.h>

#include "report.h"
#include "virtio_net.h"

#define BACKLOG		256U	/* frames that wait for guest buffers; more are lost */
#define MAX_POLL_FDS	4096U

struct timer {
	SlirpTimerCb callback;
	void *arg;
	int64_t expires_ms;	/* -1: not set */
	struct timer *next;
};

struct held_frame {
	size_t size;
	uint8_t bytes[NET_MAX_FRAME];
};

/**
 * struct slirp_state - state of the backend
 * @frames: ring of @nr_frames from @first
 * @fds: what poll() waits on; entry 0 is the device's loop
 */
struct slirp_state {
	Slirp *slirp;
	struct timer *timers;
	struct held_frame frames[BACKLOG];
	unsigned int first, nr_frames;
	struct pollfd *fds;
	unsigned int nr_fds;
};

static int64_t now_ns(void *opaque)
{
	struct timespec now;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Frames go through the backlog: libslirp may answer from within slirp_input(). */
static ssize_t to_guest(const void *frame, size_t size, void *opaque)
{
	struct slirp_state *state = ((struct net *)opaque)->state;
	struct held_frame *held;

	if (size > NET_MAX_FRAME || state->nr_frames == BACKLOG)
		return (ssize_t)size;
	held = &state->frames[(state->first + state->nr_frames++) % BACKLOG];
	held->size = size;
	memcpy(held->bytes, frame, size);
	return (ssize_t)size;
}

static void deliver_backlog(struct net *net)
{
	struct slirp_state *state = net->state;

	while (state->nr_frames) {
		struct held_frame *held = &state->frames[state->first];

		if (!net_receive(net, held->bytes, held->size))
			break;
		state->first = (state->first + 1) % BACKLOG;
		state->nr_frames--;
	}
}

static void guest_error(const char *message, void *opaque)
{
	(void)message;	/* the guest's own affair, and it could fill the terminal with it */
	(void)opaque;
}

static void *timer_new(SlirpTimerCb callback, void *arg, void *opaque)
{
	struct slirp_state *state = ((struct net *)opaque)->state;
	struct timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		abort();
	*timer = (struct timer){ callback, arg, -1, state->timers };
	state->timers = timer;
	return timer;
}

static void timer_free(void *arg, void *opaque)
{
	struct slirp_state *state = ((struct net *)opaque)->state;
	struct timer **link = &state->timers;

	while (*link && *link != arg)
		link = &(*link)->next;
	if (*link)
		*link = (*link)->next;
	free(arg);
}

static void timer_mod(void *arg, int64_t expires_ms, void *opaque)
{
	struct timer *timer = arg;

	(void)opaque;
	timer->expires_ms = expires_ms;
}

static void run_timers(struct slirp_state *state)
{
	int64_t now = now_ns(NULL) / 1000000;

	for (struct timer *timer = state->timers; timer; timer = timer->next) {
		if (timer->expires_ms < 0 || timer->expires_ms > now)
			continue;
		timer->expires_ms = -1;
		timer->callback(timer->arg);
	}
}

static uint32_t until_next_timer(const struct slirp_state *state, uint32_t timeout)
{
	int64_t now = now_ns(NULL) / 1000000;

	for (const struct timer *timer = state->timers; timer; timer = timer->next) {
		int64_t left = timer->expires_ms - now;

		if (timer->expires_ms >= 0 && left < timeout)
			timeout = left > 0 ? (uint32_t)left : 0;
	}
	return timeout;
}

static void poll_fd_changed(int fd, void *opaque)
{
	(void)fd;	/* the set is asked for anew before each wait */
	(void)opaque;
}

static void notify(void *opaque)
{
	(void)opaque;	/* all is in one thread: it is awake */
}

static int add_poll(int fd, int events, void *opaque)
{
	struct slirp_state *state = opaque;
	short wanted = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) |
			       (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
			       (events & SLIRP_POLL_PRI ? POLLPRI : 0));

	if (state->nr_fds == MAX_POLL_FDS)
		return -1;
	state->fds[state->nr_fds] = (struct pollfd){ .fd = fd, .events = wanted };
	return (int)state->nr_fds++;
}

static int get_revents(int index, void *opaque)
{
	struct slirp_state *state = opaque;
	short got = index < 0 ? 0 : state->fds[index].revents;

	return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void slirp_step(struct net *net)
{
	struct slirp_state *state = net->state;
	uint32_t timeout = 60000;
	int n;

	state->nr_fds = 1;
	slirp_pollfds_fill(state->slirp, &timeout, add_poll, state);
	n = poll(state->fds, state->nr_fds, (int)until_next_timer(state, timeout));
	slirp_pollfds_poll(state->slirp, n < 0, get_revents, state);
	run_timers(state);
	loop_poll(&net->virtio.loop, 0);	/* kicks: the guest's frames, or its free buffers */
	deliver_backlog(net);
}

static void slirp_run(struct net *net)
{
	while (!net->virtio.loop.stopping)
		slirp_step(net);
}

static void slirp_send(struct net *net, const uint8_t *frame, size_t size)
{
	struct slirp_state *state = net->state;

	slirp_input(state->slirp, frame, (int)size);
}

static const SlirpCb callbacks = {
	.send_packet = to_guest,
	.guest_error = guest_error,
	.clock_get_ns = now_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd_changed,
	.unregister_poll_fd = poll_fd_changed,
	.notify = notify,
};

static struct in_addr ipv4(const char *text)
{
	struct in_addr address = { 0 };

	inet_pton(AF_INET, text, &address);
	return address;
}

static struct in6_addr ipv6(const char *text)
{
	struct in6_addr address = { };

	inet_pton(AF_INET6, text, &address);
	return address;
}

static Slirp *new_slirp(struct net *net)
{
	const SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.vnetwork = ipv4("10.0.2.0"),
		.vnetmask = ipv4("255.255.255.0"),
		.vhost = ipv4("10.0.2.2"),
		.vdhcp_start = ipv4("10.0.2.15"),
		.vnameserver = ipv4("10.0.2.3"),
		.in6_enabled = true,
		.vprefix_addr6 = ipv6("fec0::"),
		.vprefix_len = 64,
		.vhost6 = ipv6("fec0::2"),
		.vnameserver6 = ipv6("fec0::3"),
	};

	return slirp_new(&config, &callbacks, net);
}

static int slirp_open(struct net *net, const char *name)
{
	struct slirp_state *state = calloc(1, sizeof(*state));

	(void)name;
	net->state = state;
	if (state)
		state->fds = calloc(MAX_POLL_FDS, sizeof(*state->fds));
	if (!state || !state->fds) {
		report("no memory for the network");
		return -1;
	}
	state->fds[0] = (struct pollfd){ .fd = net->virtio.loop.epoll_fd, .events = POLLIN };
	state->slirp = new_slirp(net);
	if (!state->slirp) {
		report("libslirp does not start");
		return -1;
	}
	return 0;
}

static void slirp_close(struct net *net)
{
	struct slirp_state *state = net->state;

	if (!state)
		return;
	if (state->slirp)
		slirp_cleanup(state->slirp);
	free(state->fds);
	free(state);
}

const struct net_backend slirp_backend = {
	.open = slirp_open,
	.send = slirp_send,
	.run = slirp_run,
	.close = slirp_close,
};
