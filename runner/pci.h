/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_PCI_H
#define RUNNER_PCI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/pci_regs.h>

#include "bus.h"

#define PCI_SLOTS	32U
#define PCI_BARS	6U
#define PCI_CONFIG_SIZE	256U

struct pci_device;

/**
 * struct pci_ops - what a device does
 * @read: bytes at an offset into a BAR
 * @write: takes them
 * @decoded: a BAR answers at @base now, or with @base 0 nowhere any more; may be NULL
 * @configured: a write to configuration space at @offset has been stored; may be NULL
 *
 * @read and @write are called in several vCPU threads at once, the others under the bus lock.
 */
struct pci_ops {
	uint64_t (*read)(struct pci_device *device, unsigned int bar, uint64_t offset,
			 unsigned int len);
	void (*write)(struct pci_device *device, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int len);
	void (*decoded)(struct pci_device *device, unsigned int bar, uint32_t base);
	void (*configured)(struct pci_device *device, unsigned int offset);
};

/**
 * struct pci_bar - a base address register
 * @size: a power of two; 0 for none
 * @io: I/O ports, or memory below 4 GiB
 * @base: where it answers, 0 for nowhere; written under the bus lock, read without
 */
struct pci_bar {
	uint32_t size;
	bool io;
	_Atomic uint32_t base;
};

/**
 * struct pci_device - a function 0 on bus 0
 * @config: configuration space
 * @writable: which of its bits the guest can write
 * @next_cap: where the next capability goes
 * @last_cap: the byte that will point to it
 */
struct pci_device {
	const struct pci_ops *ops;
	uint8_t config[PCI_CONFIG_SIZE], writable[PCI_CONFIG_SIZE];
	struct pci_bar bars[PCI_BARS];
	unsigned int next_cap, last_cap;
};

/**
 * struct pci - the bus
 * @lock: for @address and every configuration space
 * @address: what the guest wrote to port 0xcf8
 */
struct pci {
	pthread_mutex_t lock;
	uint32_t address;
	struct pci_device *devices[PCI_SLOTS];
	unsigned int nr_devices;
	struct pci_device bridge;
};

struct pci_identity {
	uint16_t vendor, device, subsystem;
	uint32_t class;	/* class, subclass, interface */
	uint8_t revision;
};

void pci_init(struct pci *pci, struct bus *ports, struct bus *mmio);
void pci_device_init(struct pci_device *device, const struct pci_ops *ops,
		     const struct pci_identity *identity);
unsigned int pci_add_capability(struct pci_device *device, uint8_t id, unsigned int size);
int pci_add(struct pci *pci, struct pci_device *device);

uint16_t pci_get16(const struct pci_device *device, unsigned int offset);
void pci_set16(struct pci_device *device, unsigned int offset, uint16_t value);
void pci_set32(struct pci_device *device, unsigned int offset, uint32_t value);

#endif
