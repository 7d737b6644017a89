// SPDX-License-Identifier: GPL-2.0-only
/* Routes port and memory accesses to devices. */
#include <stdlib.h>
#include <string.h>

#include "bus.h"

/**
 * bus_add - give a range of addresses to a device
 * @bus: the bus, no vCPU running yet
 * @start: first address
 * @size: number of addresses
 * @ops: the device's registers
 * @device: for @ops
 */
void bus_add(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops,
	     void *device)
{
	if (bus->nr_ranges == BUS_MAX_RANGES)
		abort();
	bus->ranges[bus->nr_ranges++] = (struct bus_range){ start, size, ops, device };
}

static const struct bus_range *find(const struct bus *bus, uint64_t address, unsigned int len)
{
	for (unsigned int i = 0; i < bus->nr_ranges; i++) {
		const struct bus_range *range = &bus->ranges[i];

		if (address >= range->start && address - range->start < range->size)
			return len <= range->size - (address - range->start) ? range : NULL;
	}
	return NULL;
}

/**
 * bus_read - carry out a guest's read
 * @bus: the bus
 * @address: first address
 * @data: receives @len bytes, all ones where nothing answers
 * @len: 1 to 8
 */
void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned int len)
{
	const struct bus_range *range = find(bus, address, len);
	uint64_t value = UINT64_MAX;

	if (range)
		value = range->ops->read(range->device, address - range->start, len);
	memcpy(data, &value, len);
}

/**
 * bus_write - carry out a guest's write
 * @bus: the bus
 * @address: first address
 * @data: @len bytes
 * @len: 1 to 8
 */
void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned int len)
{
	const struct bus_range *range = find(bus, address, len);
	uint64_t value = 0;

	memcpy(&value, data, len);
	if (range)
		range->ops->write(range->device, address - range->start, value, len);
}
