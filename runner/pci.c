// SPDX-License-Identifier: GPL-2.0-only
/* PCI bus 0 behind the classic configuration ports, with a host bridge in slot 0. */
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pci.h"
#include "report.h"

#define CONFIG_PORT	0xcf8U
#define CONFIG_ENABLE	(1U << 31)
#define BAR_OFFSET(n)	(PCI_BASE_ADDRESS_0 + 4 * (n))
#define DECODE_BITS	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

uint16_t pci_get16(const struct pci_device *device, unsigned int offset)
{
	return (uint16_t)(device->config[offset] | device->config[offset + 1] << 8);
}

void pci_set16(struct pci_device *device, unsigned int offset, uint16_t value)
{
	memcpy(&device->config[offset], &value, sizeof(value));
}

void pci_set32(struct pci_device *device, unsigned int offset, uint32_t value)
{
	memcpy(&device->config[offset], &value, sizeof(value));
}

static uint32_t get32(const struct pci_device *device, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, &device->config[offset], sizeof(value));
	return value;
}

static void update_decoding(struct pci_device *device)
{
	uint16_t command = pci_get16(device, PCI_COMMAND);

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &device->bars[i];
		bool enabled = command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
		uint32_t base = get32(device, BAR_OFFSET(i)) & ~(bar->size - 1);

		if (!bar->size || bar->base == (enabled ? base : 0))
			continue;
		bar->base = enabled ? base : 0;
		if (device->ops->decoded)
			device->ops->decoded(device, i, bar->base);
	}
}

static void write_config(struct pci_device *device, unsigned int offset, uint32_t value,
			 unsigned int len)
{
	for (unsigned int i = 0; i < len; i++, value >>= 8) {
		uint8_t mask = device->writable[offset + i];
		uint8_t *byte = &device->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (value & mask));
	}
	update_decoding(device);
	if (device->ops && device->ops->configured)
		device->ops->configured(device, offset);
}

/* The device and register that the address port names; NULL where nothing is. */
static struct pci_device *addressed(const struct pci *pci, uint64_t port, unsigned int *offset)
{
	uint32_t address = pci->address;
	unsigned int slot = address >> 11 & 31;

	if (!(address & CONFIG_ENABLE) || address >> 16 & 0xff || address >> 8 & 7)
		return NULL;
	*offset = (address & 0xfc) + (port & 3);
	return pci->devices[slot];
}

static uint64_t ports_read(void *arg, uint64_t port, unsigned int len)
{
	struct pci *pci = arg;
	struct pci_device *device;
	uint64_t value = UINT64_MAX;
	unsigned int offset;

	pthread_mutex_lock(&pci->lock);
	if (port < 4) {
		value = pci->address >> (8 * port);
	} else {
		device = addressed(pci, port, &offset);
		if (device && offset + len <= PCI_CONFIG_SIZE) {
			value = 0;
			memcpy(&value, &device->config[offset], len);
		}
	}
	pthread_mutex_unlock(&pci->lock);
	return value;
}

static void ports_write(void *arg, uint64_t port, uint64_t value, unsigned int len)
{
	struct pci *pci = arg;
	struct pci_device *device;
	unsigned int offset;

	pthread_mutex_lock(&pci->lock);
	if (!port && len == 4) {
		pci->address = (uint32_t)value;
	} else if (port >= 4) {
		device = addressed(pci, port, &offset);
		if (device && offset + len <= PCI_CONFIG_SIZE)
			write_config(device, offset, (uint32_t)value, len);
	}
	pthread_mutex_unlock(&pci->lock);
}

static const struct bus_ops config_ops = { ports_read, ports_write };

static struct pci_device *find_bar(const struct pci *pci, bool io, uint64_t address,
				   unsigned int len, unsigned int *number, uint64_t *offset)
{
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_device *device = pci->devices[slot];

		for (unsigned int i = 0; device && i < PCI_BARS; i++) {
			const struct pci_bar *bar = &device->bars[i];
			uint32_t base = bar->base;

			if (!base || bar->io != io || address < base ||
			    address - base >= bar->size || len > bar->size - (address - base))
				continue;
			*number = i;
			*offset = address - base;
			return device;
		}
	}
	return NULL;
}

static uint64_t window_read(const struct pci *pci, bool io, uint64_t address, unsigned int len)
{
	unsigned int bar;
	uint64_t offset;
	struct pci_device *device = find_bar(pci, io, address, len, &bar, &offset);

	return device ? device->ops->read(device, bar, offset, len) : UINT64_MAX;
}

static void window_write(const struct pci *pci, bool io, uint64_t address, uint64_t value,
			 unsigned int len)
{
	unsigned int bar;
	uint64_t offset;
	struct pci_device *device = find_bar(pci, io, address, len, &bar, &offset);

	if (device)
		device->ops->write(device, bar, offset, value, len);
}

static uint64_t io_read(void *pci, uint64_t offset, unsigned int len)
{
	return window_read(pci, true, PCI_IO_START + offset, len);
}

static void io_write(void *pci, uint64_t offset, uint64_t value, unsigned int len)
{
	window_write(pci, true, PCI_IO_START + offset, value, len);
}

static uint64_t mem_read(void *pci, uint64_t offset, unsigned int len)
{
	return window_read(pci, false, PCI_MEM_START + offset, len);
}

static void mem_write(void *pci, uint64_t offset, uint64_t value, unsigned int len)
{
	window_write(pci, false, PCI_MEM_START + offset, value, len);
}

static const struct bus_ops io_ops = { io_read, io_write };
static const struct bus_ops mem_ops = { mem_read, mem_write };
static const struct pci_ops bridge_ops = { };

/**
 * pci_device_init - fill in the standard part of a configuration space
 * @device: the device, zeroed
 * @ops: what it does
 * @identity: who it is
 */
void pci_device_init(struct pci_device *device, const struct pci_ops *ops,
		     const struct pci_identity *identity)
{
	device->ops = ops;
	pci_set16(device, PCI_VENDOR_ID, identity->vendor);
	pci_set16(device, PCI_DEVICE_ID, identity->device);
	pci_set32(device, PCI_CLASS_REVISION, identity->class << 8 | identity->revision);
	pci_set16(device, PCI_SUBSYSTEM_VENDOR_ID, identity->vendor);
	pci_set16(device, PCI_SUBSYSTEM_ID, identity->subsystem);
	device->writable[PCI_COMMAND] = DECODE_BITS | PCI_COMMAND_MASTER;
	device->writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8;
	device->writable[PCI_INTERRUPT_LINE] = 0xff;
	device->next_cap = 0x40;
	device->last_cap = PCI_CAPABILITY_LIST;
}

/**
 * pci_add_capability - make room for a capability
 * @device: the device
 * @id: which
 * @size: its size in bytes, with the two of its head
 *
 * Return: its offset in configuration space.
 */
unsigned int pci_add_capability(struct pci_device *device, uint8_t id, unsigned int size)
{
	unsigned int offset = device->next_cap;

	if (offset + size > PCI_CONFIG_SIZE)
		abort();
	device->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	device->config[device->last_cap] = (uint8_t)offset;
	device->config[offset] = id;
	device->last_cap = offset + 1;
	device->next_cap = (offset + size + 3) & ~3U;
	return offset;
}

/* Firmware's work: an address for each BAR, by slot, so that windows never overlap. */
static void place_bars(struct pci_device *device, unsigned int slot)
{
	uint32_t io = PCI_IO_START + slot * 0x100, mem = (uint32_t)PCI_MEM_START + slot * 0x10000;

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &device->bars[i];
		uint32_t writable = ~(bar->size - 1);

		if (!bar->size)
			continue;
		pci_set32(device, BAR_OFFSET(i), bar->io ? io | PCI_BASE_ADDRESS_SPACE_IO : mem);
		memcpy(&device->writable[BAR_OFFSET(i)], &writable, sizeof(writable));
		if (bar->io)
			io += bar->size;
		else
			mem += bar->size;
	}
}

/**
 * pci_add - plug a device into the next free slot
 * @pci: the bus, no vCPU running yet
 * @device: the device, with its BARs' sizes and kinds set
 *
 * Return: 0, or -1 after a report.
 */
int pci_add(struct pci *pci, struct pci_device *device)
{
	if (pci->nr_devices == PCI_SLOTS) {
		report("too many devices: the PCI bus has %u slots", PCI_SLOTS);
		return -1;
	}
	place_bars(device, pci->nr_devices);
	pci->devices[pci->nr_devices++] = device;
	return 0;
}

/**
 * pci_init - add a PCI bus to a machine
 * @pci: zeroed
 * @ports: I/O ports; what shares the configuration ports (reset at 0xcf9) is there already
 * @mmio: memory-mapped registers
 */
void pci_init(struct pci *pci, struct bus *ports, struct bus *mmio)
{
	static const struct pci_identity bridge = {
		.vendor = 0x8086, .device = 0x0d57, .class = 0x060000,
	};

	pthread_mutex_init(&pci->lock, NULL);
	bus_add(ports, CONFIG_PORT, 8, &config_ops, pci);
	bus_add(ports, PCI_IO_START, PCI_IO_END - PCI_IO_START, &io_ops, pci);
	bus_add(mmio, PCI_MEM_START, PCI_MEM_END - PCI_MEM_START, &mem_ops, pci);
	pci_device_init(&pci->bridge, &bridge_ops, &bridge);
	pci->devices[pci->nr_devices++] = &pci->bridge;
}
