// SPDX-License-Identifier: GPL-2.0-only
/* Virtqueues: the protocol done right, done wrong, and done at random. */
#include <stdlib.h>
#include <string.h>

#include "../virtqueue.h"
#include "tap.h"

#define SIZE	8U
#define DESC	0x1000U
#define AVAIL	0x2000U
#define USED	0x3000U
#define TABLE	0x4000U
#define BUFFERS	0x8000U
#define RAM	0x10000U

static struct memory mem = { .size = RAM, .low = RAM };
static struct virtqueue queue;
static struct chain chain;

static struct vring_desc *desc(unsigned int i)
{
	return (struct vring_desc *)(mem.host + DESC) + i;
}

static struct vring_desc *indirect(unsigned int i)
{
	return (struct vring_desc *)(mem.host + TABLE) + i;
}

static uint16_t *avail(unsigned int i)
{
	return (uint16_t *)(mem.host + AVAIL) + i;
}

static uint16_t *used(unsigned int i)
{
	return (uint16_t *)(mem.host + USED) + i;
}

static bool start(bool event_idx)
{
	memset(mem.host, 0, RAM);
	queue = (struct virtqueue){ .mem = &mem };
	virtqueue_reset(&queue);
	queue.size = SIZE;
	queue.desc_gpa = DESC;
	queue.avail_gpa = AVAIL;
	queue.used_gpa = USED;
	queue.event_idx = event_idx;
	return virtqueue_enable(&queue);
}

static void offer(uint16_t head)
{
	*avail(2 + *avail(1) % SIZE) = head;
	++*avail(1);
}

static void test_good(void)
{
	char text[16] = "";

	ok(start(false), "rings in RAM");
	ok(virtqueue_empty(&queue) && !virtqueue_pop(&queue, &chain) && !queue.broken, "empty");
	*desc(3) = (struct vring_desc){ BUFFERS, 4, VRING_DESC_F_NEXT, 5 };
	*desc(5) = (struct vring_desc){ BUFFERS + 100, 4, VRING_DESC_F_NEXT, 1 };
	*desc(1) = (struct vring_desc){ BUFFERS + 200, 8, VRING_DESC_F_WRITE, 0 };
	memcpy(mem.host + BUFFERS, "abcd", 4);
	memcpy(mem.host + BUFFERS + 100, "efgh", 4);
	offer(3);
	ok(virtqueue_pop(&queue, &chain) && chain.head == 3 && chain.nr_out == 2 &&
	   chain.nr_in == 1 && chain.out_size == 8 && chain.in_size == 8, "a chain of three");
	ok(chain_read(&chain, 2, text, 4) == 4 && !strcmp(text, "cdef"), "read across buffers");
	ok(chain_read(&chain, 6, text, 9) == 2, "a read ends where the buffers do");
	ok(chain_write(&chain, 4, "123456", 6) == 4 &&
	   !memcmp(mem.host + BUFFERS + 204, "1234", 5), "so does a write");
	virtqueue_push(&queue, &chain, 7);
	ok(*used(1) == 1 && *used(2) == 3 && *used(4) == 7, "given back");
	ok(virtqueue_wants_interrupt(&queue), "the driver wants to hear of it");
	ok(!virtqueue_wants_interrupt(&queue), "once");
	*avail(0) = VRING_AVAIL_F_NO_INTERRUPT;
	virtqueue_push(&queue, &chain, 0);
	ok(!virtqueue_wants_interrupt(&queue), "unless it does not");
}

static void test_event_idx(void)
{
	start(true);
	*desc(0) = (struct vring_desc){ BUFFERS, 4, 0, 0 };
	*avail(2 + SIZE) = 1;	/* used_event: tell me after the second */
	offer(0);
	offer(0);
	virtqueue_pop(&queue, &chain);
	virtqueue_push(&queue, &chain, 0);
	ok(!virtqueue_wants_interrupt(&queue), "not after the first");
	virtqueue_pop(&queue, &chain);
	virtqueue_push(&queue, &chain, 0);
	ok(virtqueue_wants_interrupt(&queue), "after the second");
	ok(!virtqueue_rearm(&queue) && *used(2 + 4 * SIZE) == 2, "avail_event is the next");
	offer(0);
	ok(virtqueue_rearm(&queue), "a request that came meanwhile is seen");
}

static void test_indirect(void)
{
	start(false);
	*desc(0) = (struct vring_desc){ TABLE, 32, VRING_DESC_F_INDIRECT, 0 };
	*indirect(0) = (struct vring_desc){ BUFFERS, 8, VRING_DESC_F_NEXT, 1 };
	*indirect(1) = (struct vring_desc){ BUFFERS + 8, 8, VRING_DESC_F_WRITE, 0 };
	offer(0);
	ok(virtqueue_pop(&queue, &chain) && chain.nr_out == 1 && chain.nr_in == 1, "indirect");
}

static bool breaks(struct vring_desc first, struct vring_desc second, uint16_t head)
{
	start(false);
	*desc(0) = first;
	*desc(1) = second;
	*indirect(0) = (struct vring_desc){ TABLE, 16, VRING_DESC_F_INDIRECT, 0 };
	offer(head);
	return !virtqueue_pop(&queue, &chain) && queue.broken &&
	       !virtqueue_pop(&queue, &chain) && !virtqueue_rearm(&queue);
}

static void test_bad(void)
{
	const struct vring_desc none = { 0 };
	const uint16_t next = VRING_DESC_F_NEXT, table = VRING_DESC_F_INDIRECT;

	ok(breaks((struct vring_desc){ RAM - 1, 2, 0, 0 }, none, 0), "buffer beyond RAM");
	ok(breaks((struct vring_desc){ UINT64_MAX, 2, 0, 0 }, none, 0), "buffer that wraps");
	ok(breaks((struct vring_desc){ BUFFERS, 1, next, 0 }, none, 0), "a loop");
	ok(breaks((struct vring_desc){ BUFFERS, 1, next, SIZE }, none, 0), "next out of range");
	ok(breaks(none, none, SIZE), "head out of range");
	ok(breaks(none, none, 0xffff), "head far out of range");
	ok(breaks((struct vring_desc){ BUFFERS, 1, VRING_DESC_F_WRITE | next, 1 },
		  (struct vring_desc){ BUFFERS, 1, 0, 0 }, 0), "readable after writable");
	ok(breaks((struct vring_desc){ TABLE, 16, table, 0 }, none, 0), "indirect in indirect");
	ok(breaks((struct vring_desc){ TABLE, 15, table, 0 }, none, 0), "a part of a descriptor");
	ok(breaks((struct vring_desc){ TABLE, 0, table, 0 }, none, 0), "an empty table");
	ok(breaks((struct vring_desc){ TABLE, 16, table | next, 1 }, none, 0),
	   "indirect with a next");
	ok(breaks((struct vring_desc){ RAM - 16, 32, table, 0 }, none, 0), "table beyond RAM");
	start(false);
	*avail(1) = SIZE + 1;
	ok(!virtqueue_pop(&queue, &chain) && queue.broken, "more requests than descriptors");
}

static bool refused(uint16_t size, uint64_t d, uint64_t a, uint64_t u)
{
	start(false);
	queue.ready = false;
	queue.size = size;
	queue.desc_gpa = d;
	queue.avail_gpa = a;
	queue.used_gpa = u;
	return !virtqueue_enable(&queue) && queue.broken && !virtqueue_pop(&queue, &chain);
}

static void test_bad_rings(void)
{
	ok(refused(0, DESC, AVAIL, USED), "no descriptors");
	ok(refused(6, DESC, AVAIL, USED), "not a power of two");
	ok(refused(512, 0, AVAIL, USED), "too large");
	ok(refused(SIZE, DESC + 8, AVAIL, USED), "table not aligned");
	ok(refused(SIZE, DESC, AVAIL + 1, USED), "driver's ring not aligned");
	ok(refused(SIZE, DESC, AVAIL, USED + 2), "device's ring not aligned");
	ok(refused(SIZE, RAM - 16, AVAIL, USED), "table beyond RAM");
	ok(refused(SIZE, DESC, RAM - 16, USED), "driver's ring beyond RAM");
	ok(refused(SIZE, DESC, AVAIL, RAM - 64), "device's ring beyond RAM");
	ok(refused(SIZE, DESC, AVAIL, UINT64_MAX - 3), "device's ring wraps");
}

/* Random descriptors and rings; every byte of every chain is touched, and ASan watches. */
static void test_random(void)
{
	unsigned int chains = 0, broken = 0;
	uint8_t bytes[4096];

	memset(bytes, 0x5a, sizeof(bytes));
	for (int round = 0; round < 50000; round++) {
		start(tap_random() % 2);
		for (unsigned int i = 0; i < SIZE; i++) {
			*desc(i) = (struct vring_desc){ tap_random() % (RAM + 64),
				(uint32_t)(tap_random() % 600), (uint16_t)(tap_random() % 8),
				(uint16_t)(tap_random() % (SIZE + 1)) };
			*indirect(i) = (struct vring_desc){ tap_random() % RAM,
				(uint32_t)(tap_random() % 600), (uint16_t)(tap_random() % 4),
				(uint16_t)(tap_random() % SIZE) };
			if (!(tap_random() % 3))
				*desc(i) = (struct vring_desc){ TABLE, 16 * SIZE,
								VRING_DESC_F_INDIRECT, 0 };
			*avail(2 + i) = (uint16_t)(tap_random() % (SIZE + 1));
		}
		*avail(1) = (uint16_t)(tap_random() % (SIZE + 2));
		while (virtqueue_pop(&queue, &chain)) {
			chain_read(&chain, tap_random() % 64, bytes, sizeof(bytes));
			chain_write(&chain, tap_random() % 64, bytes, sizeof(bytes));
			virtqueue_push(&queue, &chain, 1);
			virtqueue_wants_interrupt(&queue);
			chains++;
		}
		broken += queue.broken;
	}
	ok(chains > 1000 && broken > 1000, "50000 random queues: %u chains, %u broken queues",
	   chains, broken);
}

int main(void)
{
	mem.host = malloc(RAM);	/* with ASan's red zones at its ends */
	test_good();
	test_event_idx();
	test_indirect();
	test_bad();
	test_bad_rings();
	test_random();
	free(mem.host);
	return tap_end();
}
