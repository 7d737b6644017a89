// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio 1.x over PCI. BAR 0 (memory) holds the configuration structures and the MSI-X table; BAR 2
 * (I/O ports) holds the kick registers, since a port write costs the hypervisor no instruction
 * decoding. Each kick is an ioeventfd. There is no INTx and no legacy interface.
 */
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>
#include <linux/virtio_pci.h>

#include "virtio.h"
#include "vm.h"

#define CONFIG_BAR	0U
#define CONFIG_BAR_SIZE	0x4000U
#define COMMON_OFFSET	0x0000U
#define ISR_OFFSET	0x1000U
#define DEVICE_OFFSET	0x2000U
#define MSIX_TABLE	0x3000U
#define MSIX_PBA	0x3800U
#define REGION_SIZE	0x1000U

#define NOTIFY_BAR	2U
#define NOTIFY_BAR_SIZE	64U
#define NOTIFY_STRIDE	4U

#define PCI_VENDOR_VIRTIO	0x1af4U
#define PCI_DEVICE_VIRTIO	0x1040U	/* plus the virtio device id */
#define PCI_SUBSYSTEM_VIRTIO	0x1100U

static struct virtio_device *to_virtio(struct pci_device *pci)
{
	return (struct virtio_device *)((char *)pci - offsetof(struct virtio_device, pci));
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint32_t half(uint64_t address, bool high)
{
	return (uint32_t)(address >> (high ? 32 : 0));
}

static uint64_t read_queue(const struct virtio_device *device, uint64_t offset)
{
	const struct virtio_queue_state *queue;

	if (device->queue_select >= device->ops->nr_queues)
		return 0;
	queue = &device->queues[device->queue_select];
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return queue->ring.size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return queue->vector;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return queue->ring.ready;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return queue->number;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return half(queue->ring.desc_gpa, offset == VIRTIO_PCI_COMMON_Q_DESCHI);
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return half(queue->ring.avail_gpa, offset == VIRTIO_PCI_COMMON_Q_AVAILHI);
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return half(queue->ring.used_gpa, offset == VIRTIO_PCI_COMMON_Q_USEDHI);
	default:
		return 0;
	}
}

static uint64_t read_common(const struct virtio_device *device, uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return device->feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return feature_word(device->features, device->feature_select);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return device->driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return feature_word(device->driver_features, device->driver_feature_select);
	case VIRTIO_PCI_COMMON_MSIX:
		return device->config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return device->ops->nr_queues;
	case VIRTIO_PCI_COMMON_STATUS:
		return device->status;
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return device->generation;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return device->queue_select;
	default:
		return read_queue(device, offset);
	}
}

static void set_half(uint64_t *address, bool high, uint64_t value)
{
	if (high)
		*address = (uint32_t)*address | value << 32;
	else
		*address = (*address & ~0xffffffffULL) | (uint32_t)value;
}

static uint16_t valid_vector(const struct virtio_device *device, uint64_t value)
{
	return value < device->msix.nr_vectors ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

/* Rings are what they were when the driver enabled the queue: only a reset changes them. */
static void write_ring(struct virtio_device *device, struct virtqueue *ring, uint64_t offset,
		       uint64_t value)
{
	if (ring->ready)
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		ring->size = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		ring->event_idx = device->driver_features & 1ULL << VIRTIO_RING_F_EVENT_IDX;
		if (value == 1)
			virtqueue_enable(ring);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&ring->desc_gpa, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&ring->avail_gpa, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&ring->used_gpa, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	}
}

static void write_features(struct virtio_device *device, uint64_t value)
{
	if (device->driver_feature_select > 1 || device->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	set_half(&device->driver_features, device->driver_feature_select, value);
}

static void write_common(struct virtio_device *device, uint64_t offset, uint64_t value)
{
	struct virtio_queue_state *queue = NULL;

	if (device->queue_select < device->ops->nr_queues)
		queue = &device->queues[device->queue_select];
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		device->feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		device->driver_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		write_features(device, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		device->config_vector = valid_vector(device, value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(device, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		device->queue_select = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		if (queue)
			queue->vector = valid_vector(device, value);
		break;
	default:
		if (queue)
			write_ring(device, &queue->ring, offset, value);
	}
}

static uint64_t read_device(const struct virtio_device *device, uint64_t offset, unsigned int len)
{
	uint64_t value = 0;

	if (offset < device->config_size) {
		size_t left = device->config_size - offset;

		memcpy(&value, (const uint8_t *)device->config + offset, len < left ? len : left);
	}
	return value;
}

static uint64_t read_isr(struct virtio_device *device)
{
	uint8_t isr = device->isr;

	device->isr = 0;
	return isr;
}

static uint64_t read_bar(struct pci_device *pci, unsigned int bar, uint64_t offset,
			 unsigned int len)
{
	struct virtio_device *device = to_virtio(pci);
	uint64_t in_region = offset % REGION_SIZE, value = 0;

	if (bar != CONFIG_BAR)
		return 0;
	if (offset >= MSIX_PBA)
		return msix_read_pba(&device->msix, offset - MSIX_PBA);
	if (offset >= MSIX_TABLE)
		return msix_read_table(&device->msix, in_region, len);
	pthread_mutex_lock(&device->lock);
	if (offset >= DEVICE_OFFSET)
		value = read_device(device, in_region, len);
	else if (offset >= ISR_OFFSET)
		value = in_region ? 0 : read_isr(device);
	else
		value = read_common(device, in_region);
	pthread_mutex_unlock(&device->lock);
	return value;
}

static void write_bar(struct pci_device *pci, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int len)
{
	struct virtio_device *device = to_virtio(pci);
	uint64_t queue = offset / NOTIFY_STRIDE;

	if (bar == NOTIFY_BAR) {	/* of a width that the ioeventfd does not match */
		if (queue < device->ops->nr_queues)
			event_set(device->queues[queue].kick_fd);
	} else if (offset >= MSIX_TABLE && offset < MSIX_PBA) {
		msix_write_table(&device->msix, offset - MSIX_TABLE, value, len);
	} else if (offset < ISR_OFFSET) {
		pthread_mutex_lock(&device->lock);
		write_common(device, offset, value);
		pthread_mutex_unlock(&device->lock);
	}
}

static void set_kicks(struct virtio_device *device, uint32_t base, bool assign)
{
	for (unsigned int i = 0; i < device->ops->nr_queues; i++) {
		struct kvm_ioeventfd kick = {
			.addr = base + i * NOTIFY_STRIDE,
			.len = 2,
			.fd = device->queues[i].kick_fd,
			.flags = KVM_IOEVENTFD_FLAG_PIO |
				 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
		};

		/*
		 * Where it is refused (the guest may have put two devices at one port) kicks still
		 * arrive, by write_bar().
		 */
		ioctl(device->vm->fd, KVM_IOEVENTFD, &kick);
	}
}

static void decoded(struct pci_device *pci, unsigned int bar, uint32_t base)
{
	struct virtio_device *device = to_virtio(pci);

	if (bar != NOTIFY_BAR)
		return;
	if (device->notify_base)
		set_kicks(device, device->notify_base, false);
	device->notify_base = base;
	if (base)
		set_kicks(device, base, true);
}

static void configured(struct pci_device *pci, unsigned int offset)
{
	struct virtio_device *device = to_virtio(pci);

	if (offset >= device->msix.capability &&
	    offset < device->msix.capability + PCI_CAP_MSIX_SIZEOF)
		msix_configured(&device->msix, pci);
}

static const struct pci_ops virtio_pci_ops = { read_bar, write_bar, decoded, configured };

static void add_structure(struct virtio_device *device, uint8_t type, uint8_t bar, uint32_t offset,
			  uint32_t length)
{
	struct virtio_pci_notify_cap cap = {
		.cap.cap_len = sizeof(cap.cap),
		.cap.cfg_type = type,
		.cap.bar = bar,
		.cap.offset = offset,
		.cap.length = length,
		.notify_off_multiplier = NOTIFY_STRIDE,
	};
	unsigned int at;

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		cap.cap.cap_len = sizeof(cap);
	at = pci_add_capability(&device->pci, PCI_CAP_ID_VNDR, cap.cap.cap_len);
	/* The first two bytes, id and next, are the list's. */
	memcpy(&device->pci.config[at + 2], (uint8_t *)&cap + 2, cap.cap.cap_len - 2U);
}

/**
 * virtio_pci_init - make a device's PCI side and plug it in
 * @device: the device, with its queues
 * @pci: the bus
 *
 * Return: 0, or -1 after a report.
 */
int virtio_pci_init(struct virtio_device *device, struct pci *pci)
{
	const struct pci_identity identity = {
		.vendor = PCI_VENDOR_VIRTIO,
		.device = PCI_DEVICE_VIRTIO + device->ops->id,
		.subsystem = PCI_SUBSYSTEM_VIRTIO,
		.class = device->ops->class,
		.revision = 1,
	};

	pci_device_init(&device->pci, &virtio_pci_ops, &identity);
	device->pci.bars[CONFIG_BAR].size = CONFIG_BAR_SIZE;
	device->pci.bars[NOTIFY_BAR].size = NOTIFY_BAR_SIZE;
	device->pci.bars[NOTIFY_BAR].io = true;
	add_structure(device, VIRTIO_PCI_CAP_COMMON_CFG, CONFIG_BAR, COMMON_OFFSET,
		      sizeof(struct virtio_pci_common_cfg));
	add_structure(device, VIRTIO_PCI_CAP_ISR_CFG, CONFIG_BAR, ISR_OFFSET, 1);
	if (device->config_size)
		add_structure(device, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_BAR, DEVICE_OFFSET,
			      (uint32_t)device->config_size);
	add_structure(device, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_BAR, 0,
		      device->ops->nr_queues * NOTIFY_STRIDE);
	if (msix_init(&device->msix, device->vm, &device->pci, device->ops->nr_queues + 1,
		      CONFIG_BAR, MSIX_TABLE, MSIX_PBA))
		return -1;
	return pci_add(pci, &device->pci);
}
