/* SPDX-License-Identifier: GPL-2.0-only */
/* Accesses to devices that the kernel does not have: exits to user space and their completion. */
#ifndef OKVM_IO_H
#define OKVM_IO_H

#include <linux/types.h>

struct okvm_vcpu;

enum okvm_io_status {
	IO_DONE,	/* handled here, or queued: go on */
	IO_PENDING,	/* user space has to supply data first */
	IO_TOO_MANY,	/* an instruction with more pieces than there is room for */
};

void okvm_io_begin(struct okvm_vcpu *vcpu);
enum okvm_io_status okvm_io_mmio_read(struct okvm_vcpu *vcpu, u64 gpa, unsigned int len, void *buf);
enum okvm_io_status okvm_io_mmio_write(struct okvm_vcpu *vcpu, u64 gpa, unsigned int len,
				       const void *buf);
enum okvm_io_status okvm_io_pio_read(struct okvm_vcpu *vcpu, u16 port, unsigned int size,
				     unsigned int count, void *buf);
void okvm_io_pio_write(struct okvm_vcpu *vcpu, u16 port, unsigned int size, unsigned int count,
		       const void *buf);
bool okvm_io_wants_user(struct okvm_vcpu *vcpu);
int okvm_io_exit(struct okvm_vcpu *vcpu, int (*done)(struct okvm_vcpu *vcpu));

#endif
