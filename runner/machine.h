/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_MACHINE_H
#define RUNNER_MACHINE_H

#include "pci.h"
#include "serial.h"
#include "virtio.h"
#include "vm.h"

/* ACPI's fixed hardware, as the FADT tells it. */
#define PM_BASE			0x600U
#define PM_EVENT		0U	/* status, enable: 16 bits each */
#define PM_CONTROL		4U
#define PM_TIMER		8U
#define PM_SIZE			12U
#define PM_SCI			9U
#define PM_SLEEP_S5		5U	/* as \_S5 in dsdt.asl */
#define RESET_PORT		0xcf9U
#define RESET_COLD		6U

#define RTC_PORT		0x70U

/* A payload's ports. */
#define PAYLOAD_EXIT_PORT	0xf4U
#define PAYLOAD_DEBUG_PORT	0xe9U

struct pm {
	struct vm *vm;
	pthread_mutex_t lock;
	uint16_t enable, control;
};

struct rtc {
	pthread_mutex_t lock;
	uint8_t index;
};

/**
 * struct machine - a VM and all its devices
 * @virtio: list of the virtio devices
 */
struct machine {
	struct vm vm;
	struct terminal terminal;
	struct serial serial;
	struct pm pm;
	struct rtc rtc;
	struct pci pci;
	struct virtio_device *virtio;
};

int machine_create(struct machine *machine, const struct options *opts);
int machine_load(struct machine *machine, const struct options *opts, struct boot *boot);
int machine_run(struct machine *machine, const struct boot *boot);
void machine_destroy(struct machine *machine);

void pm_init(struct pm *pm, struct vm *vm);
void rtc_init(struct rtc *rtc, struct vm *vm);
uint64_t acpi_build(struct memory *mem, unsigned int cpus);

#endif
