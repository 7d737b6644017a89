/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_VIRTIO_NET_H
#define RUNNER_VIRTIO_NET_H

#include <linux/virtio_net.h>

#include "virtio.h"

#define NET_MAX_FRAME 1514U	/* Ethernet header and 1500 bytes */

struct net;

/**
 * struct net_backend - where frames go to and come from
 * @open: get ready; return 0, or -1 after a report
 * @send: take a frame from the guest; called in the device's thread, under its lock
 * @has_room: net_receive(), refused before, may work again; may be NULL
 * @run: body of the device's thread, or NULL for its loop
 * @close: undo @open, also after it failed
 */
struct net_backend {
	int (*open)(struct net *net, const char *name);
	void (*send)(struct net *net, const uint8_t *frame, size_t size);
	void (*has_room)(struct net *net);
	void (*run)(struct net *net);
	void (*close)(struct net *net);
};

struct net {
	struct virtio_device virtio;
	struct virtio_net_config config;
	const struct net_backend *backend;
	void *state;	/* the backend's */
};

bool net_receive(struct net *net, const uint8_t *frame, size_t size);

extern const struct net_backend tap_backend, slirp_backend;

#endif
