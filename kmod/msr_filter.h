/* SPDX-License-Identifier: GPL-2.0-only */
/* RDMSR and WRMSR of the guest: user space's filter, and accesses that user space does itself. */
#ifndef OKVM_MSR_FILTER_H
#define OKVM_MSR_FILTER_H

#include <linux/types.h>

struct kvm_enable_cap;
struct okvm_vcpu;
struct okvm_vm;

enum okvm_msr_result {
	MSR_DONE,
	MSR_FAULTS,
	MSR_IN_USER,
};

long okvm_set_msr_filter(struct okvm_vm *vm, void *arg);
void okvm_msr_filter_free(struct okvm_vm *vm);
int okvm_enable_user_msrs(struct okvm_vm *vm, const struct kvm_enable_cap *cap);
int okvm_guest_rdmsr(struct okvm_vcpu *vcpu, u32 index, u64 *data);
int okvm_guest_wrmsr(struct okvm_vcpu *vcpu, u32 index, u64 data);

#endif
