// SPDX-License-Identifier: GPL-2.0-only
/* ACPI's fixed power management registers and the reset port. */
#include <time.h>

#include "machine.h"

#define PM_TIMER_HZ		3579545ULL
#define PM1_SCI_ENABLED		1U
#define PM1_SLEEP_TYPE(control)	((control) >> 10 & 7U)
#define PM1_SLEEP_ENABLE	(1U << 13)

static uint32_t timer_ticks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((uint64_t)now.tv_sec * PM_TIMER_HZ +
			  (uint64_t)now.tv_nsec * PM_TIMER_HZ / 1000000000ULL);
}

/* All twelve bytes as one value, so that any offset and length work. No event is ever pending. */
static uint64_t pm_read(void *device, uint64_t offset, unsigned int len)
{
	struct pm *pm = device;
	uint64_t value;

	(void)len;
	pthread_mutex_lock(&pm->lock);
	if (offset < PM_CONTROL)
		value = (uint64_t)pm->enable << 16;
	else if (offset < PM_TIMER)
		value = pm->control | PM1_SCI_ENABLED;
	else
		value = timer_ticks();
	pthread_mutex_unlock(&pm->lock);
	return value >> (offset % 4 * 8);
}

static void write_control(struct pm *pm, uint16_t value)
{
	pm->control = value & (uint16_t)~PM1_SLEEP_ENABLE;	/* reads as zero */
	if (value & PM1_SLEEP_ENABLE && PM1_SLEEP_TYPE(value) == PM_SLEEP_S5)
		vm_finish(pm->vm, VM_POWEROFF, 0);
}

static void pm_write(void *device, uint64_t offset, uint64_t value, unsigned int len)
{
	struct pm *pm = device;

	pthread_mutex_lock(&pm->lock);
	if (offset == PM_EVENT && len == 4)
		pm->enable = (uint16_t)(value >> 16);
	else if (offset == PM_EVENT + 2)
		pm->enable = (uint16_t)value;
	else if (offset == PM_CONTROL && len >= 2)
		write_control(pm, (uint16_t)value);
	pthread_mutex_unlock(&pm->lock);
}

static const struct bus_ops pm_ops = { pm_read, pm_write };

static uint64_t reset_read(void *device, uint64_t offset, unsigned int len)
{
	(void)device;
	(void)offset;
	(void)len;
	return 0;
}

static void reset_write(void *device, uint64_t offset, uint64_t value, unsigned int len)
{
	struct pm *pm = device;

	(void)offset;
	(void)len;
	if (value & 4)
		vm_finish(pm->vm, VM_REBOOT, 0);
}

static const struct bus_ops reset_ops = { reset_read, reset_write };

/**
 * pm_init - add power management to a VM
 * @pm: zeroed
 * @vm: the VM
 */
void pm_init(struct pm *pm, struct vm *vm)
{
	pm->vm = vm;
	pthread_mutex_init(&pm->lock, NULL);
	bus_add(&vm->ports, PM_BASE, PM_SIZE, &pm_ops, pm);
	bus_add(&vm->ports, RESET_PORT, 1, &reset_ops, pm);
}
