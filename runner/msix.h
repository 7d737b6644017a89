/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_MSIX_H
#define RUNNER_MSIX_H

#include "pci.h"

#define MSIX_MAX_VECTORS	16U
#define MSIX_ENTRY_SIZE		16U

struct vm;

/**
 * struct msix_vector - one entry of the table
 * @event_fd: irqfd, made with the device
 * @gsi: KVM's route for it, -1 before the guest first unmasks the entry
 * @entry: the entry as the guest sees it: address low and high, data, control
 * @pending: an interrupt came while masked
 */
struct msix_vector {
	int event_fd, gsi;
	uint32_t entry[4];
	bool pending;
};

/**
 * struct msix - a device's MSI-X capability and table
 * @lock: for the vectors, @enabled and @masked
 */
struct msix {
	struct vm *vm;
	pthread_mutex_t lock;
	unsigned int capability, nr_vectors;
	bool enabled, masked;
	struct msix_vector vectors[MSIX_MAX_VECTORS];
};

int msix_init(struct msix *msix, struct vm *vm, struct pci_device *device, unsigned int nr_vectors,
	      unsigned int bar, uint32_t table, uint32_t pba);
void msix_destroy(struct msix *msix);
void msix_configured(struct msix *msix, const struct pci_device *device);
uint64_t msix_read_table(struct msix *msix, uint64_t offset, unsigned int len);
void msix_write_table(struct msix *msix, uint64_t offset, uint64_t value, unsigned int len);
uint64_t msix_read_pba(struct msix *msix, uint64_t offset);
void msix_signal(struct msix *msix, unsigned int vector);

#endif
