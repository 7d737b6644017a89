/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_VIRTQUEUE_H
#define RUNNER_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <linux/virtio_ring.h>

#include "memory.h"

#define VIRTQUEUE_MAX_SIZE	256U
#define CHAIN_MAX_SEGMENTS	256U

/**
 * struct virtqueue - the device's side of a split virtqueue
 * @mem: guest RAM
 * @size: number of descriptors, a power of two
 * @desc_gpa: descriptor table; these three are set before virtqueue_enable()
 * @avail_gpa: driver's ring
 * @used_gpa: device's ring
 * @desc: the three where they are mapped, valid while @ready
 * @ready: the driver has enabled it
 * @broken: the driver broke the protocol; nothing more happens until reset
 * @event_idx: VIRTIO_RING_F_EVENT_IDX is in use
 * @next_avail: next entry of the driver's ring to take
 * @next_used: next entry of the device's ring to fill
 * @signalled: @next_used when last asked whether to interrupt
 *
 * All that @desc, @avail and @used point to is the guest's, and changes at any time.
 */
struct virtqueue {
	const struct memory *mem;
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc;
	uint16_t *avail;	/* flags, index, ring, used_event */
	uint8_t *used;		/* flags, index, ring of 8 bytes, avail_event */
	bool ready, broken, event_idx;
	uint16_t next_avail, next_used, signalled;
};

/**
 * struct chain - one request: buffers that the device reads, then buffers that it writes
 * @head: to give back to virtqueue_push()
 * @iov: @nr_out buffers to read, followed by @nr_in buffers to write, all inside guest RAM
 * @out_size: bytes to read
 * @in_size: bytes to write
 */
struct chain {
	uint16_t head;
	unsigned int nr_out, nr_in;
	size_t out_size, in_size;
	struct iovec iov[CHAIN_MAX_SEGMENTS];
};

void virtqueue_reset(struct virtqueue *queue);
bool virtqueue_enable(struct virtqueue *queue);
bool virtqueue_empty(const struct virtqueue *queue);
bool virtqueue_pop(struct virtqueue *queue, struct chain *chain);
void virtqueue_push(struct virtqueue *queue, const struct chain *chain, uint32_t written);
bool virtqueue_wants_interrupt(struct virtqueue *queue);
bool virtqueue_rearm(struct virtqueue *queue);

size_t chain_read(const struct chain *chain, size_t offset, void *to, size_t size);
size_t chain_write(const struct chain *chain, size_t offset, const void *from, size_t size);
unsigned int iov_slice(const struct iovec *iov, unsigned int n, size_t offset, size_t size,
		       struct iovec *slice);

#endif
