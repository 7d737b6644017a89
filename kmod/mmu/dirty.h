/* SPDX-License-Identifier: GPL-2.0-only */
/* Dirty logs. */
#ifndef MMU_DIRTY_H
#define MMU_DIRTY_H

#include "vmm.h"

/* What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 takes. */
#define MANUAL_CAPS	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

void dirty_log_begin(struct okvm_vm *vm);
void dirty_log_end(struct okvm_vm *vm);
long dirty_log_get(struct okvm_vm *vm, void *arg);
long dirty_log_clear(struct okvm_vm *vm, void *arg);
int dirty_log_enable_manual(struct okvm_vm *vm, const struct kvm_enable_cap *cap);

/* ring.c */
int dirty_ring_max(struct okvm_vm *vm);
int dirty_ring_enable(struct okvm_vm *vm, const struct kvm_enable_cap *cap);
int dirty_ring_create(struct okvm_vcpu *vcpu);
void dirty_ring_free(struct okvm_vcpu *vcpu);
long dirty_ring_reset(struct okvm_vm *vm, void *arg);

#endif
