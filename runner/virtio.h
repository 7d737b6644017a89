/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_VIRTIO_H
#define RUNNER_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "loop.h"
#include "msix.h"
#include "pci.h"
#include "thread.h"
#include "virtqueue.h"

#define VIRTIO_MAX_QUEUES 4U

struct vm;
struct virtio_device;

/**
 * struct virtio_ops - a kind of device
 * @name: of its thread
 * @id: VIRTIO_ID_*
 * @class: PCI class
 * @nr_queues: number of virtqueues
 * @features: offered besides those that all devices have
 * @supplies: bit mask of the queues whose buffers wait for what the host will have to say
 * @serve: carry out one request of another queue, under the device's lock; return the bytes written
 * @supplied: buffers were added to a queue of @supplies; without the lock
 * @reset: forget what the driver set up, under the lock; may be NULL
 * @run: the body of the device's thread, or NULL for one that runs @loop
 * @destroy: free what the kind allocated; may be NULL
 *
 * @serve and @supplied are called in the device's thread.
 */
struct virtio_ops {
	const char *name;
	uint16_t id;
	uint32_t class;
	unsigned int nr_queues, supplies;
	uint64_t features;
	uint32_t (*serve)(struct virtio_device *device, const struct chain *chain);
	void (*supplied)(struct virtio_device *device);
	void (*reset)(struct virtio_device *device);
	void (*run)(struct virtio_device *device);
	void (*destroy)(struct virtio_device *device);
};

struct virtio_queue_state {
	struct virtio_device *device;
	unsigned int number;
	struct virtqueue ring;
	int kick_fd;
	uint16_t vector;
};

/**
 * struct virtio_device - what all virtio devices share, on PCI
 * @lock: for all that the driver sets up: status, features, queues
 * @notify_base: port of the kick registers, 0 while I/O decoding is off; under the PCI bus's lock
 * @features: offered
 * @driver_features: accepted
 * @status: device status
 * @isr: interrupt status
 * @config: device-specific configuration, read-only to the guest
 * @loop: the device's own event loop, in @thread
 */
struct virtio_device {
	const struct virtio_ops *ops;
	struct vm *vm;
	struct pci_device pci;
	uint32_t notify_base;
	struct msix msix;
	pthread_mutex_t lock;
	uint64_t features, driver_features;
	uint32_t feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status, isr, generation;
	const void *config;
	size_t config_size;
	struct virtio_queue_state queues[VIRTIO_MAX_QUEUES];
	struct loop loop;
	struct thread thread;
	struct virtio_device *next;
};

void *virtio_alloc(const struct virtio_ops *ops, struct vm *vm, size_t size,
		   struct virtio_device **list);
int virtio_create(struct virtio_device *device, struct pci *pci, const void *config,
		  size_t config_size);
int virtio_start(struct virtio_device *device);
void virtio_stop(struct virtio_device *device);
void virtio_destroy(struct virtio_device *device);

struct virtqueue *virtio_lock_queue(struct virtio_device *device, unsigned int queue);
void virtio_unlock_queue(struct virtio_device *device, unsigned int queue);
void virtio_config_changed(struct virtio_device *device);

/* virtio_pci.c, for virtio.c */
int virtio_pci_init(struct virtio_device *device, struct pci *pci);
void virtio_reset(struct virtio_device *device);
void virtio_set_status(struct virtio_device *device, uint8_t status);

#endif
