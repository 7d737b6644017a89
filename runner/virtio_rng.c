// SPDX-License-Identifier: GPL-2.0-only
/* virtio entropy device: the host kernel's random numbers. */
#include <sys/random.h>

#include "devices.h"

#define MAX_REQUEST	4096U	/* what one request gets at most: the driver asks again */

static uint32_t serve(struct virtio_device *device, const struct chain *chain)
{
	uint8_t bytes[MAX_REQUEST];
	size_t size = chain->in_size < MAX_REQUEST ? chain->in_size : MAX_REQUEST;
	ssize_t got = getrandom(bytes, size, 0);

	(void)device;
	return got > 0 ? (uint32_t)chain_write(chain, 0, bytes, (size_t)got) : 0;
}

static const struct virtio_ops rng_ops = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.class = 0x00ff00,
	.nr_queues = 1,
	.serve = serve,
};

/**
 * rng_add - add a source of random numbers
 * @vm: the VM
 * @pci: the bus
 * @list: the machine's devices
 *
 * Return: 0, or -1 after a report.
 */
int rng_add(struct vm *vm, struct pci *pci, struct virtio_device **list)
{
	struct virtio_device *device = virtio_alloc(&rng_ops, vm, sizeof(*device), list);

	return device ? virtio_create(device, pci, NULL, 0) : -1;
}
