/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM's life. */
#ifndef OKVM_VM_H
#define OKVM_VM_H

#include "vmm.h"

long okvm_vm_create(void *type);
void okvm_vm_put(struct okvm_vm *vm);
long okvm_set_boot_cpu_id(struct okvm_vm *vm, void *id);
void okvm_for_each_vm(void (*fn)(struct okvm_vm *vm, void *arg), void *arg);

extern const struct okvm_cap okvm_vm_caps[];

#endif
