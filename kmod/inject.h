/* SPDX-License-Identifier: GPL-2.0-only */
/* What run.c and the event ioctls need of the injection queue. */
#ifndef OKVM_INJECT_H
#define OKVM_INJECT_H

#include <linux/types.h>

struct okvm_vcpu;

bool okvm_delivering(const struct okvm_vcpu *vcpu);
void okvm_take_queued_nmis(struct okvm_vcpu *vcpu);
void okvm_deliver_payload(struct okvm_vcpu *vcpu);

#endif
