/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU's life. */
#ifndef OKVM_VCPU_H
#define OKVM_VCPU_H

#include <linux/types.h>

struct okvm_vm;
struct okvm_vcpu;
struct page;

/* kvm_run, the page of PIO data, the coalesced MMIO ring. */
#define OKVM_VCPU_MMAP_PAGES	3

long okvm_vcpu_create(struct okvm_vm *vm, void *id);
void okvm_vcpu_destroy(struct okvm_vcpu *vcpu);
struct page *okvm_vcpu_page(struct okvm_vcpu *vcpu, unsigned long pgoff);
void okvm_vcpu_load(struct okvm_vcpu *vcpu);
void okvm_vcpu_put(struct okvm_vcpu *vcpu);
void okvm_vcpus_destroy(struct okvm_vm *vm);

#endif
