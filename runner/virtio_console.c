// SPDX-License-Identifier: GPL-2.0-only
/* virtio console, one port: hvc0 in the guest. Faster than the UART, and knows window sizes. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/virtio_console.h>

#include "devices.h"
#include "report.h"

enum { RX_QUEUE, TX_QUEUE, NR_QUEUES };

#define KEYS_MAX 256U

/**
 * struct hvc - the console
 * @terminal: where output goes and input comes from
 * @keys_lock: for @keys and @nr_keys; unlike the device's lock never held while output blocks
 * @keys: input on its way from the main thread to the device's
 * @keys_fd: eventfd: there are keys
 */
struct hvc {
	struct virtio_device virtio;
	struct terminal *terminal;
	struct virtio_console_config config;
	pthread_mutex_t keys_lock;
	uint8_t keys[KEYS_MAX];
	size_t nr_keys;
	int keys_fd;
};

static uint32_t serve_tx(struct virtio_device *device, const struct chain *chain)
{
	struct hvc *hvc = (struct hvc *)device;
	uint8_t text[4096];
	size_t at = 0, size;

	while ((size = chain_read(chain, at, text, sizeof(text))) && !device->loop.stopping) {
		terminal_write(hvc->terminal, text, size);
		at += size;
	}
	return 0;
}

/* Move keys into the guest's buffers, as far as there are any. Under both locks. */
static void feed(struct hvc *hvc, struct virtqueue *queue)
{
	struct chain chain;

	while (hvc->nr_keys && (virtqueue_pop(queue, &chain) ||
				(virtqueue_rearm(queue) && virtqueue_pop(queue, &chain)))) {
		size_t taken = chain_write(&chain, 0, hvc->keys, hvc->nr_keys);

		memmove(hvc->keys, hvc->keys + taken, hvc->nr_keys - taken);
		hvc->nr_keys -= taken;
		virtqueue_push(queue, &chain, (uint32_t)taken);
	}
}

static void rx_supplied(struct virtio_device *device)
{
	struct hvc *hvc = (struct hvc *)device;
	struct virtqueue *queue = virtio_lock_queue(device, RX_QUEUE);
	bool room;

	pthread_mutex_lock(&hvc->keys_lock);
	if (queue)
		feed(hvc, queue);
	room = queue && !hvc->nr_keys;
	pthread_mutex_unlock(&hvc->keys_lock);
	virtio_unlock_queue(device, RX_QUEUE);
	if (room)
		terminal_has_room(hvc->terminal);
}

static void keys_arrived(void *arg)
{
	struct hvc *hvc = arg;

	event_clear(hvc->keys_fd);
	rx_supplied(&hvc->virtio);
}

/* Before the driver is there nothing is taken; its first buffers open the terminal. */
static size_t hvc_room(void *arg)
{
	struct hvc *hvc = arg;
	size_t room;

	pthread_mutex_lock(&hvc->keys_lock);
	room = hvc->virtio.queues[RX_QUEUE].ring.ready ? KEYS_MAX - hvc->nr_keys : 0;
	pthread_mutex_unlock(&hvc->keys_lock);
	return room;
}

static void hvc_input(void *arg, const uint8_t *bytes, size_t n)
{
	struct hvc *hvc = arg;

	pthread_mutex_lock(&hvc->keys_lock);
	memcpy(hvc->keys + hvc->nr_keys, bytes, n);
	hvc->nr_keys += n;
	pthread_mutex_unlock(&hvc->keys_lock);
	event_set(hvc->keys_fd);
}

static void take_size(struct hvc *hvc)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return;
	hvc->config.cols = size.ws_col;
	hvc->config.rows = size.ws_row;
}

static void hvc_resized(void *arg)
{
	struct hvc *hvc = arg;

	take_size(hvc);
	virtio_config_changed(&hvc->virtio);
}

static void destroy(struct virtio_device *device)
{
	struct hvc *hvc = (struct hvc *)device;

	if (hvc->keys_fd > 0)
		close(hvc->keys_fd);
}

static const struct virtio_ops hvc_ops = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.class = 0x078000,
	.nr_queues = NR_QUEUES,
	.supplies = 1U << RX_QUEUE,
	.features = 1ULL << VIRTIO_CONSOLE_F_SIZE,
	.serve = serve_tx,
	.supplied = rx_supplied,
	.destroy = destroy,
};

/**
 * hvc_add - add a virtio console
 * @vm: the VM
 * @pci: the bus
 * @terminal: where output goes
 * @console: receives how the terminal feeds it
 * @list: the machine's devices
 *
 * Return: 0, or -1 after a report.
 */
int hvc_add(struct vm *vm, struct pci *pci, struct terminal *terminal, struct console *console,
	    struct virtio_device **list)
{
	struct hvc *hvc = virtio_alloc(&hvc_ops, vm, sizeof(*hvc), list);

	if (!hvc)
		return -1;
	hvc->terminal = terminal;
	pthread_mutex_init(&hvc->keys_lock, NULL);
	take_size(hvc);
	hvc->keys_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hvc->keys_fd < 0) {
		report("cannot make an eventfd: %s", strerror(errno));
		return -1;
	}
	if (virtio_create(&hvc->virtio, pci, &hvc->config, sizeof(hvc->config)) ||
	    !loop_add(&hvc->virtio.loop, hvc->keys_fd, keys_arrived, hvc))
		return -1;
	*console = (struct console){ hvc_room, hvc_input, hvc_resized, hvc };
	return 0;
}
