// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues (virtio 1.2, section 2.7). Pure: knows guest RAM and nothing else. Every word is
 * read from guest memory once and checked before use, since the guest may change it meanwhile.
 */
#include <string.h>

#include "virtqueue.h"

#define AVAIL_FLAGS		0U	/* in 16-bit words */
#define AVAIL_INDEX		1U
#define AVAIL_RING		2U
#define USED_INDEX		2U	/* in bytes */
#define USED_RING		4U
#define USED_ELEMENT		8U

static uint16_t load16(const void *from)
{
	return __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE);
}

static void store16(void *to, uint16_t value)
{
	__atomic_store_n((uint16_t *)to, value, __ATOMIC_RELEASE);
}

static uint16_t *used_event(const struct virtqueue *queue)
{
	return &queue->avail[AVAIL_RING + queue->size];
}

static void *avail_event(const struct virtqueue *queue)
{
	return queue->used + USED_RING + (size_t)queue->size * USED_ELEMENT;
}

/**
 * virtqueue_reset - back to the state before the driver touched the queue
 * @queue: the queue; its @mem stays
 */
void virtqueue_reset(struct virtqueue *queue)
{
	*queue = (struct virtqueue){ .mem = queue->mem, .size = VIRTQUEUE_MAX_SIZE };
}

/**
 * virtqueue_enable - find the rings that the driver has set up
 * @queue: the queue with its size, addresses and features set; hostile
 *
 * Return: whether they are aligned, sized and inside RAM as they must be; if not, it is broken.
 */
bool virtqueue_enable(struct virtqueue *queue)
{
	uint64_t size = queue->size;
	bool valid = size && !(size & (size - 1)) && size <= VIRTQUEUE_MAX_SIZE &&
		     !(queue->desc_gpa % 16) && !(queue->avail_gpa % 2) && !(queue->used_gpa % 4);

	queue->desc = memory_at(queue->mem, queue->desc_gpa, 16 * size);
	queue->avail = memory_at(queue->mem, queue->avail_gpa, 2 * size + 6);
	queue->used = memory_at(queue->mem, queue->used_gpa, USED_ELEMENT * size + 6);
	queue->ready = valid && queue->desc && queue->avail && queue->used;
	queue->broken = !queue->ready;
	return queue->ready;
}

/**
 * virtqueue_empty - whether no request waits
 * @queue: an enabled queue
 */
bool virtqueue_empty(const struct virtqueue *queue)
{
	return load16(&queue->avail[AVAIL_INDEX]) == queue->next_avail;
}

static bool add_segment(const struct virtqueue *queue, struct chain *chain,
			const struct vring_desc *desc)
{
	unsigned int n = chain->nr_out + chain->nr_in;
	void *base = memory_at(queue->mem, desc->addr, desc->len);

	if (!base || n == CHAIN_MAX_SEGMENTS)
		return false;
	chain->iov[n] = (struct iovec){ base, desc->len };
	if (desc->flags & VRING_DESC_F_WRITE) {
		chain->nr_in++;
		chain->in_size += desc->len;
		return true;
	}
	if (chain->nr_in)	/* the driver must put what the device reads first */
		return false;
	chain->nr_out++;
	chain->out_size += desc->len;
	return true;
}

/* Follow a chain in a table of @size descriptors; at most @size steps, so that loops end. */
static bool walk(const struct virtqueue *queue, const struct vring_desc *table, uint32_t size,
		 uint16_t index, bool indirect, struct chain *chain)
{
	for (uint32_t steps = 0; steps < size; steps++) {
		struct vring_desc desc;

		if (index >= size)
			return false;
		memcpy(&desc, &table[index], sizeof(desc));
		__asm__ volatile("" ::: "memory");	/* from here on desc is ours */
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			table = memory_at(queue->mem, desc.addr, desc.len);
			if (indirect || !table || desc.len % 16 || desc.flags & VRING_DESC_F_NEXT ||
			    desc.len / 16 > VIRTQUEUE_MAX_SIZE)
				return false;
			return walk(queue, table, desc.len / 16, 0, true, chain);
		}
		if (!add_segment(queue, chain, &desc))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
	return false;
}

/**
 * virtqueue_pop - take the next request
 * @queue: an enabled queue
 * @chain: filled in
 *
 * Return: whether there was one. Where the driver broke the protocol there is none, and
 * @queue->broken is set.
 */
bool virtqueue_pop(struct virtqueue *queue, struct chain *chain)
{
	uint16_t mask = (uint16_t)(queue->size - 1), waiting;

	if (!queue->ready || queue->broken)
		return false;
	waiting = (uint16_t)(load16(&queue->avail[AVAIL_INDEX]) - queue->next_avail);
	if (!waiting)
		return false;
	chain->head = load16(&queue->avail[AVAIL_RING + (queue->next_avail & mask)]);
	chain->nr_out = chain->nr_in = 0;
	chain->out_size = chain->in_size = 0;
	if (waiting > queue->size ||
	    !walk(queue, queue->desc, queue->size, chain->head, false, chain)) {
		queue->broken = true;
		return false;
	}
	queue->next_avail++;
	return true;
}

/**
 * virtqueue_push - give a request back
 * @queue: the queue
 * @chain: the request
 * @written: bytes written into its writable buffers
 */
void virtqueue_push(struct virtqueue *queue, const struct chain *chain, uint32_t written)
{
	uint16_t slot = queue->next_used & (uint16_t)(queue->size - 1);
	struct vring_used_elem element = { .id = chain->head, .len = written };

	memcpy(queue->used + USED_RING + (size_t)slot * USED_ELEMENT, &element, sizeof(element));
	queue->next_used++;
	store16(queue->used + USED_INDEX, queue->next_used);
}

/**
 * virtqueue_wants_interrupt - whether the driver wants to hear of what was given back
 * @queue: the queue
 *
 * Return: whether it does, of what was pushed since this was last asked.
 */
bool virtqueue_wants_interrupt(struct virtqueue *queue)
{
	uint16_t before = queue->signalled, now = queue->next_used;

	if (before == now)
		return false;
	queue->signalled = now;
	/* The index must be visible before the driver's wish is read, or both sides wait. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (queue->event_idx)
		return vring_need_event(load16(used_event(queue)), now, before);
	return !(load16(&queue->avail[AVAIL_FLAGS]) & VRING_AVAIL_F_NO_INTERRUPT);
}

/**
 * virtqueue_rearm - ask the driver to kick for the next request
 * @queue: an enabled queue, found empty
 *
 * Return: whether a request came before the driver could know, so that no kick will tell of it.
 */
bool virtqueue_rearm(struct virtqueue *queue)
{
	if (queue->broken)
		return false;
	if (queue->event_idx)
		store16(avail_event(queue), queue->next_avail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !virtqueue_empty(queue);
}

/**
 * iov_slice - the part of a list of buffers
 * @iov: the list
 * @n: its length
 * @offset: bytes to skip
 * @size: bytes to take
 * @slice: receives at most @n buffers; may be @iov itself
 *
 * Return: number of buffers in @slice; they hold fewer than @size bytes where @iov does.
 */
unsigned int iov_slice(const struct iovec *iov, unsigned int n, size_t offset, size_t size,
		       struct iovec *slice)
{
	unsigned int taken = 0;

	for (unsigned int i = 0; i < n && size; i++) {
		struct iovec part = iov[i];

		if (offset >= part.iov_len) {
			offset -= part.iov_len;
			continue;
		}
		part.iov_base = (uint8_t *)part.iov_base + offset;
		part.iov_len -= offset;
		offset = 0;
		if (part.iov_len > size)
			part.iov_len = size;
		size -= part.iov_len;
		slice[taken++] = part;
	}
	return taken;
}

/**
 * chain_read - copy out of the buffers that the device reads
 * @chain: the request
 * @offset: bytes to skip
 * @to: receives the bytes
 * @size: how many at most
 *
 * Return: how many there were.
 */
size_t chain_read(const struct chain *chain, size_t offset, void *to, size_t size)
{
	struct iovec parts[CHAIN_MAX_SEGMENTS];
	unsigned int n = iov_slice(chain->iov, chain->nr_out, offset, size, parts);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		memcpy((uint8_t *)to + done, parts[i].iov_base, parts[i].iov_len);
		done += parts[i].iov_len;
	}
	return done;
}

/**
 * chain_write - copy into the buffers that the device writes
 * @chain: the request
 * @offset: bytes to skip
 * @from: the bytes
 * @size: how many
 *
 * Return: how many fitted.
 */
size_t chain_write(const struct chain *chain, size_t offset, const void *from, size_t size)
{
	struct iovec parts[CHAIN_MAX_SEGMENTS];
	unsigned int n = iov_slice(chain->iov + chain->nr_out, chain->nr_in, offset, size, parts);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		memcpy(parts[i].iov_base, (const uint8_t *)from + done, parts[i].iov_len);
		done += parts[i].iov_len;
	}
	return done;
}
