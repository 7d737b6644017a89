// SPDX-License-Identifier: GPL-2.0-only
/* What all virtio devices share: life, status, queues under a lock, one thread each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_pci.h>

#include "report.h"
#include "virtio.h"
#include "vm.h"

#define ISR_QUEUE 1U	/* beside VIRTIO_PCI_ISR_CONFIG */
#define COMMON_FEATURES (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | \
			 1ULL << VIRTIO_RING_F_EVENT_IDX)

/* One request; the lock is free between requests. Return: whether there may be more. */
static bool serve_one(struct virtio_device *device, unsigned int number)
{
	struct virtqueue *queue = virtio_lock_queue(device, number);
	struct chain chain;
	bool more = false;

	if (queue && virtqueue_pop(queue, &chain)) {
		virtqueue_push(queue, &chain, device->ops->serve(device, &chain));
		more = true;
	} else if (queue) {
		more = virtqueue_rearm(queue);
	}
	virtio_unlock_queue(device, number);
	return more;
}

static void kick_arrived(void *arg)
{
	struct virtio_queue_state *queue = arg;
	struct virtio_device *device = queue->device;

	event_clear(queue->kick_fd);
	if (device->ops->supplies & 1U << queue->number) {
		device->ops->supplied(device);
		return;
	}
	while (!device->loop.stopping && serve_one(device, queue->number))
		;
}

/**
 * virtio_reset - forget what the driver set up
 * @device: the device, locked
 */
void virtio_reset(struct virtio_device *device)
{
	device->status = 0;
	device->isr = 0;
	device->driver_features = 0;
	device->feature_select = device->driver_feature_select = 0;
	device->queue_select = 0;
	device->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned int i = 0; i < device->ops->nr_queues; i++) {
		virtqueue_reset(&device->queues[i].ring);
		device->queues[i].vector = VIRTIO_MSI_NO_VECTOR;
	}
	if (device->ops->reset)
		device->ops->reset(device);
}

static bool features_are_good(const struct virtio_device *device)
{
	return !(device->driver_features & ~device->features) &&
	       device->driver_features & 1ULL << VIRTIO_F_VERSION_1;
}

/**
 * virtio_set_status - the driver writes the device status
 * @device: the device, locked
 * @status: 0 resets it
 */
void virtio_set_status(struct virtio_device *device, uint8_t status)
{
	uint8_t added = status & (uint8_t)~device->status;

	if (!status) {
		virtio_reset(device);
		return;
	}
	if (added & VIRTIO_CONFIG_S_FEATURES_OK && !features_are_good(device))
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	device->status = status | (device->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	if (!(added & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	/* Requests may have been queued already, and their kicks ignored. */
	for (unsigned int i = 0; i < device->ops->nr_queues; i++)
		event_set(device->queues[i].kick_fd);
}

static int add_queue(struct virtio_device *device, unsigned int number)
{
	struct virtio_queue_state *queue = &device->queues[number];

	queue->device = device;
	queue->number = number;
	queue->ring.mem = &device->vm->mem;
	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0) {
		report("cannot make an eventfd: %s", strerror(errno));
		return -1;
	}
	return loop_add(&device->loop, queue->kick_fd, kick_arrived, queue) ? 0 : -1;
}

/**
 * virtio_alloc - allocate a device and link it into the machine
 * @ops: its kind
 * @vm: the VM
 * @size: of the kind's struct, which begins with struct virtio_device
 * @list: the machine's devices; the device is freed with them
 *
 * Return: the device, zeroed but for what is known by now, or NULL after a report.
 */
void *virtio_alloc(const struct virtio_ops *ops, struct vm *vm, size_t size,
		   struct virtio_device **list)
{
	struct virtio_device *device = calloc(1, size);

	if (!device) {
		report("%s: no memory", ops->name);
		return NULL;
	}
	device->ops = ops;
	device->vm = vm;
	for (unsigned int i = 0; i < ops->nr_queues; i++)
		device->queues[i].kick_fd = -1;
	device->next = *list;
	*list = device;
	return device;
}

/**
 * virtio_create - make a device ready and plug it in
 * @device: from virtio_alloc(), with the features that vary set
 * @pci: the bus
 * @config: device-specific configuration space, lives as long as the device
 * @config_size: its size
 *
 * Return: 0, or -1 after a report.
 */
int virtio_create(struct virtio_device *device, struct pci *pci, const void *config,
		  size_t config_size)
{
	device->config = config;
	device->config_size = config_size;
	device->features |= device->ops->features | COMMON_FEATURES;
	pthread_mutex_init(&device->lock, NULL);
	if (loop_init(&device->loop))
		return -1;
	for (unsigned int i = 0; i < device->ops->nr_queues; i++)
		if (add_queue(device, i))
			return -1;
	virtio_reset(device);
	return virtio_pci_init(device, pci);
}

static void *device_thread(void *arg)
{
	struct virtio_device *device = arg;

	if (device->ops->run)
		device->ops->run(device);
	else
		loop_run(&device->loop);
	return NULL;
}

/**
 * virtio_start - start a device's thread
 * @device: the device
 *
 * Return: 0, or -1 after a report.
 */
int virtio_start(struct virtio_device *device)
{
	return thread_start(&device->thread, device->ops->name, device_thread, device);
}

/**
 * virtio_stop - end a device's thread
 * @device: the device; its VM has ended
 */
void virtio_stop(struct virtio_device *device)
{
	loop_stop(&device->loop);
	thread_stop(&device->thread);
}

/**
 * virtio_destroy - free a device
 * @device: from virtio_alloc(), stopped
 */
void virtio_destroy(struct virtio_device *device)
{
	if (device->ops->destroy)
		device->ops->destroy(device);
	for (unsigned int i = 0; i < device->ops->nr_queues; i++)
		if (device->queues[i].kick_fd >= 0)
			close(device->queues[i].kick_fd);
	msix_destroy(&device->msix);
	loop_destroy(&device->loop);
	free(device);
}

/* Under the lock. */
static void interrupt(struct virtio_device *device, uint8_t isr, uint16_t vector)
{
	device->isr |= isr;
	msix_signal(&device->msix, vector);
}

/**
 * virtio_lock_queue - begin to work on a queue
 * @device: the device, locked on return
 * @queue: number of the queue
 *
 * Return: the queue, or NULL if the driver has not set it up. virtio_unlock_queue() it in any case.
 */
struct virtqueue *virtio_lock_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtqueue *ring = &device->queues[queue].ring;

	pthread_mutex_lock(&device->lock);
	if (!(device->status & VIRTIO_CONFIG_S_DRIVER_OK) || !ring->ready || ring->broken)
		return NULL;
	return ring;
}

/**
 * virtio_unlock_queue - end work on a queue, and interrupt the driver if it wants to hear of it
 * @device: the device
 * @queue: number of the queue
 */
void virtio_unlock_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_queue_state *state = &device->queues[queue];

	if (state->ring.broken && !(device->status & VIRTIO_CONFIG_S_NEEDS_RESET)) {
		device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
		interrupt(device, VIRTIO_PCI_ISR_CONFIG, device->config_vector);
	}
	if (state->ring.ready && virtqueue_wants_interrupt(&state->ring))
		interrupt(device, ISR_QUEUE, state->vector);
	pthread_mutex_unlock(&device->lock);
}

/**
 * virtio_config_changed - tell the driver that the device's configuration changed
 * @device: the device, not locked
 */
void virtio_config_changed(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	device->generation++;
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(device, VIRTIO_PCI_ISR_CONFIG, device->config_vector);
	pthread_mutex_unlock(&device->lock);
}
