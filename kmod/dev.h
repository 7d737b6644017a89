/* SPDX-License-Identifier: GPL-2.0-only */
/* The device node and the three kinds of fd. */
#ifndef OKVM_DEV_H
#define OKVM_DEV_H

struct okvm_vm;
struct okvm_vcpu;

int okvm_dev_setup(void);
void okvm_dev_unsetup(void);
int okvm_vm_fd(struct okvm_vm *vm);
int okvm_vcpu_fd(struct okvm_vcpu *vcpu);
int okvm_check_extension(struct okvm_vm *vm, unsigned long cap);

#endif
