/* SPDX-License-Identifier: GPL-2.0-only */
/* What enter.S takes: read by C and by assembly. */
#ifndef OKVM_VMX_ENTER_H
#define OKVM_VMX_ENTER_H

#define VMX_ENTER_REGS		0
#define VMX_ENTER_HOST_RSP	8
#define VMX_ENTER_GUEST_SPEC	16
#define VMX_ENTER_HOST_SPEC	20
#define VMX_ENTER_LAUNCHED	24
#define VMX_ENTER_FAILED	25

#ifndef __ASSEMBLY__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * struct vmx_enter - arguments of vmx_enter()
 * @regs: general registers, in hardware order; RSP lives in the VMCS
 * @host_rsp: what the VMCS has as the host's RSP; kept by vmx_enter()
 * @guest_spec: the guest's SPEC_CTRL
 * @host_spec: the host's, written back when it differs or the kernel wants it written
 * @launched: the VMCS is: resume it
 * @failed: out: the instruction failed, the guest was not entered
 */
struct vmx_enter {
	unsigned long *regs;
	unsigned long host_rsp;
	u32 guest_spec;
	u32 host_spec;
	bool launched;
	bool failed;
};

static_assert(offsetof(struct vmx_enter, regs) == VMX_ENTER_REGS);
static_assert(offsetof(struct vmx_enter, host_rsp) == VMX_ENTER_HOST_RSP);
static_assert(offsetof(struct vmx_enter, guest_spec) == VMX_ENTER_GUEST_SPEC);
static_assert(offsetof(struct vmx_enter, host_spec) == VMX_ENTER_HOST_SPEC);
static_assert(offsetof(struct vmx_enter, launched) == VMX_ENTER_LAUNCHED);
static_assert(offsetof(struct vmx_enter, failed) == VMX_ENTER_FAILED);

void vmx_enter(struct vmx_enter *args);
/* Take an interrupt that an exit has acknowledged: call its handler of the IDT, interrupts off. */
void vmx_host_interrupt(unsigned long handler);
/* Where exits arrive: the VMCS's host RIP. Not to be called. */
void vmx_exit_lands(void);
#endif

#endif
