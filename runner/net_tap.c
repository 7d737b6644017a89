// SPDX-License-Identifier: GPL-2.0-only
/* A tap interface that the host's administrator made and connected. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "report.h"
#include "virtio_net.h"

/**
 * struct tap - state of the backend
 * @fd: the interface
 * @frame: a frame that the guest had no buffer for, of @held bytes
 */
struct tap {
	int fd;
	struct loop_source *source;
	uint8_t frame[NET_MAX_FRAME];
	size_t held;
};

static void tap_send(struct net *net, const uint8_t *frame, size_t size)
{
	struct tap *tap = net->state;

	/* A full or absent interface loses frames, as a wire does. */
	while (write(tap->fd, frame, size) < 0 && errno == EINTR && !net->virtio.loop.stopping)
		;
}

static void tap_has_room(struct net *net)
{
	struct tap *tap = net->state;

	if (tap->held && net_receive(net, tap->frame, tap->held))
		tap->held = 0;
	loop_arm(&net->virtio.loop, tap->source, !tap->held);
}

static void tap_readable(void *arg)
{
	struct net *net = arg;
	struct tap *tap = net->state;
	ssize_t size = read(tap->fd, tap->frame, sizeof(tap->frame));

	if (size > 0)
		tap->held = (size_t)size;
	else if (size < 0 && errno != EAGAIN && errno != EINTR)
		loop_arm(&net->virtio.loop, tap->source, false);	/* it was removed */
	else
		return;
	tap_has_room(net);
}

static int tap_attach(int fd, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (!ioctl(fd, TUNSETIFF, &request))
		return 0;
	if (errno == EBUSY)
		report("tap interface %s: in use by another process", name);
	else if (errno == EPERM)
		report("tap interface %s: not yours; make it with "
		       "ip tuntap add dev %s mode tap user $USER", name, name);
	else
		report("tap interface %s: %s", name, strerror(errno));
	return -1;
}

static int tap_open(struct net *net, const char *name)
{
	struct tap *tap = calloc(1, sizeof(*tap));

	net->state = tap;
	if (!tap) {
		report("no memory for the network");
		return -1;
	}
	tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tap->fd < 0) {
		report("/dev/net/tun: %s%s", strerror(errno),
		       errno == ENOENT || errno == ENODEV ? ": load it with modprobe tun" : "");
		return -1;
	}
	if (tap_attach(tap->fd, name))
		return -1;
	tap->source = loop_add(&net->virtio.loop, tap->fd, tap_readable, net);
	return tap->source ? 0 : -1;
}

static void tap_close(struct net *net)
{
	struct tap *tap = net->state;

	if (!tap)
		return;
	if (tap->fd >= 0)
		close(tap->fd);
	free(tap);
}

const struct net_backend tap_backend = {
	.open = tap_open,
	.send = tap_send,
	.has_room = tap_has_room,
	.close = tap_close,
};
