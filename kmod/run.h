/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM_RUN and the ioctls that feed it. */
#ifndef OKVM_RUN_H
#define OKVM_RUN_H

#include <linux/types.h>

struct okvm_vcpu;

long okvm_vcpu_run(struct okvm_vcpu *vcpu, void *arg);
long okvm_vcpu_interrupt(struct okvm_vcpu *vcpu, void *arg);
long okvm_vcpu_nmi(struct okvm_vcpu *vcpu, void *arg);
long okvm_vcpu_set_signal_mask(struct okvm_vcpu *vcpu, void *arg);
bool okvm_vcpu_has_work(struct okvm_vcpu *vcpu);

#endif
