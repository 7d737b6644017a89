/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What okvm adds to KVM's ABI. Everything else is <linux/kvm.h>.
 */
#ifndef _UAPI_LINUX_OKVM_H
#define _UAPI_LINUX_OKVM_H

/* The device node. /dev/kvm is the same device where that name was free at load. */
#define OKVM_DEVICE	"/dev/okvm"

#endif
