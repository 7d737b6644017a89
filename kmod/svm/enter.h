/* SPDX-License-Identifier: GPL-2.0-only */
/* What enter.S takes: read by C and by assembly. */
#ifndef OKVM_SVM_ENTER_H
#define OKVM_SVM_ENTER_H

#define ENTER_REGS		0
#define ENTER_VMCB_PA		8
#define ENTER_HOST_PA		16
#define ENTER_SPEC_CTRL		24
#define ENTER_HOST_SPEC_CTRL	28

#ifndef __ASSEMBLY__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * struct svm_enter - arguments of svm_enter()
 * @regs: general registers, in hardware order; RAX and RSP live in the VMCB
 * @vmcb_pa: the guest's VMCB
 * @host_pa: where this CPU's host state was VMSAVEd to
 * @spec_ctrl: the guest's SPEC_CTRL, @host_spec_ctrl: the host's; switched when they differ
 */
struct svm_enter {
	unsigned long *regs;
	u64 vmcb_pa;
	u64 host_pa;
	u32 spec_ctrl;
	u32 host_spec_ctrl;
};

static_assert(offsetof(struct svm_enter, regs) == ENTER_REGS);
static_assert(offsetof(struct svm_enter, vmcb_pa) == ENTER_VMCB_PA);
static_assert(offsetof(struct svm_enter, host_pa) == ENTER_HOST_PA);
static_assert(offsetof(struct svm_enter, spec_ctrl) == ENTER_SPEC_CTRL);
static_assert(offsetof(struct svm_enter, host_spec_ctrl) == ENTER_HOST_SPEC_CTRL);

void svm_enter(struct svm_enter *args);
#endif

#endif
