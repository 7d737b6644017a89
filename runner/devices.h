/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_DEVICES_H
#define RUNNER_DEVICES_H

#include "options.h"
#include "pci.h"
#include "terminal.h"
#include "virtio.h"

/* Each makes a device for @vm, plugs it into @pci and links it at @list, or returns -1. */
int blk_add(struct vm *vm, struct pci *pci, const struct disk_option *option,
	    struct virtio_device **list);
int rng_add(struct vm *vm, struct pci *pci, struct virtio_device **list);
int net_add(struct vm *vm, struct pci *pci, const struct options *opts,
	    struct virtio_device **list);
int hvc_add(struct vm *vm, struct pci *pci, struct terminal *terminal, struct console *console,
	    struct virtio_device **list);

#endif
