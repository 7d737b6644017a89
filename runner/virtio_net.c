// SPDX-License-Identifier: GPL-2.0-only
/* virtio network device, without offloads: frames are what goes over a wire. */
#include <string.h>

#include <linux/if_ether.h>

#include "devices.h"
#include "report.h"
#include "virtio_net.h"

enum { RX_QUEUE, TX_QUEUE, NR_QUEUES };

#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)

static uint32_t serve_tx(struct virtio_device *device, const struct chain *chain)
{
	struct net *net = (struct net *)device;
	uint8_t frame[NET_MAX_FRAME];
	size_t size;

	if (chain->out_size < HEADER_SIZE + ETH_HLEN ||
	    chain->out_size > HEADER_SIZE + sizeof(frame))
		return 0;	/* no such frame fits the wire */
	size = chain_read(chain, HEADER_SIZE, frame, sizeof(frame));
	net->backend->send(net, frame, size);
	return 0;
}

/**
 * net_receive - hand a frame to the guest
 * @net: the device; called in its thread
 * @frame: the frame
 * @size: its size, at most NET_MAX_FRAME
 *
 * Return: whether it is done with; false if the guest has no buffer for it now, in which case
 * the backend's has_room() tells when it has.
 */
bool net_receive(struct net *net, const uint8_t *frame, size_t size)
{
	const struct virtio_net_hdr_v1 header = { .num_buffers = 1 };
	struct virtqueue *queue = virtio_lock_queue(&net->virtio, RX_QUEUE);
	struct chain chain;
	bool done = true;

	if (!queue) {
		;	/* the cable is not plugged in: lost */
	} else if (virtqueue_pop(queue, &chain) ||
		   (virtqueue_rearm(queue) && virtqueue_pop(queue, &chain))) {
		uint32_t written = 0;

		if (chain.in_size >= HEADER_SIZE + size) {
			chain_write(&chain, 0, &header, sizeof(header));
			chain_write(&chain, sizeof(header), frame, size);
			written = (uint32_t)(sizeof(header) + size);
		}
		virtqueue_push(queue, &chain, written);
	} else {
		done = queue->broken;
	}
	virtio_unlock_queue(&net->virtio, RX_QUEUE);
	return done;
}

static void rx_supplied(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	if (net->backend->has_room)
		net->backend->has_room(net);
}

static void run(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	if (net->backend->run)
		net->backend->run(net);
	else
		loop_run(&device->loop);
}

static void destroy(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	if (net->backend)
		net->backend->close(net);
}

static const struct virtio_ops net_ops = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.class = 0x020000,
	.nr_queues = NR_QUEUES,
	.supplies = 1U << RX_QUEUE,
	.features = 1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_STATUS,
	.serve = serve_tx,
	.supplied = rx_supplied,
	.run = run,
	.destroy = destroy,
};

/* Locally administered, and different for each tap interface of a host. */
static void choose_mac(uint8_t mac[ETH_ALEN], const char *name)
{
	uint32_t hash = 2166136261U;	/* FNV-1a */

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * 16777619U;
	mac[0] = 0x02;
	mac[1] = 0x6f;
	memcpy(&mac[2], &hash, sizeof(hash));
}

/**
 * net_add - add a network interface
 * @vm: the VM
 * @pci: the bus
 * @opts: which network
 * @list: the machine's devices
 *
 * Return: 0, or -1 after a report.
 */
int net_add(struct vm *vm, struct pci *pci, const struct options *opts,
	    struct virtio_device **list)
{
	struct net *net = virtio_alloc(&net_ops, vm, sizeof(*net), list);

	if (!net)
		return -1;
	choose_mac(net->config.mac, opts->tap);
	net->config.status = VIRTIO_NET_S_LINK_UP;
	if (virtio_create(&net->virtio, pci, &net->config, sizeof(net->config)))
		return -1;
	net->backend = opts->net == NET_TAP ? &tap_backend : &slirp_backend;
	return net->backend->open(net, opts->tap);
}
