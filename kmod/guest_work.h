/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OKVM_GUEST_WORK_H
#define OKVM_GUEST_WORK_H

int okvm_guest_work(void);

#endif
