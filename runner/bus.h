/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_BUS_H
#define RUNNER_BUS_H

#include <stdint.h>

#define BUS_MAX_RANGES 16

/**
 * struct bus_ops - a device's registers
 * @read: returns the @len bytes (1, 2, 4 or 8) at @offset into the range, little endian
 * @write: takes them
 *
 * Called in vCPU threads, several at once; offset, length and value are the guest's, hostile.
 */
struct bus_ops {
	uint64_t (*read)(void *device, uint64_t offset, unsigned int len);
	void (*write)(void *device, uint64_t offset, uint64_t value, unsigned int len);
};

struct bus_range {
	uint64_t start, size;
	const struct bus_ops *ops;
	void *device;
};

/* A bus (I/O ports or memory). Ranges are added before the vCPUs start and never change. */
struct bus {
	struct bus_range ranges[BUS_MAX_RANGES];
	unsigned int nr_ranges;
};

void bus_add(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops,
	     void *device);
void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned int len);
void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned int len);

#endif
