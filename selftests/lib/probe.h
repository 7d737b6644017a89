/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_PROBE_H
#define SELFTEST_PROBE_H

/*
 * A guest that reads and writes memory at the host's word, for tests of what is
 * where in guest physical memory.
 */

#include "vm.h"

enum { PROBE_RAM = 0, PROBE_MMIO = 1 };

/** probe_add() - a vCPU for the calls below, in a VM of vm_create() */
struct vcpu *probe_add(struct vm *vm, unsigned int id);

/**
 * probe_read() - have the guest read 8 bytes
 * Returns PROBE_RAM with the value, PROBE_MMIO (answered with 0), or -errno of
 * KVM_RUN; after that probe_retry() goes on.
 */
int probe_read(struct vcpu *vcpu, uint64_t gva, uint64_t *value);

/** probe_write() - have the guest write 8 bytes; returns as probe_read() */
int probe_write(struct vcpu *vcpu, uint64_t gva, uint64_t value);

/** probe_retry() - run on after a failed KVM_RUN */
int probe_retry(struct vcpu *vcpu, uint64_t *value);

#endif
