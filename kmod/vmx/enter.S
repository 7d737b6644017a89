/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch. Called with interrupts disabled and the VMCS current.
 *
 * SDM vol. 3, "Loading Host State": an exit loads RSP, RIP, segments, CR0, CR3 and CR4 and clears
 * RFLAGS. A VMLAUNCH or VMRESUME that fails sets CF or ZF and goes on below itself. So both arrive
 * at the same instruction, and the flags tell which it was.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/ibt.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>

#include "vmx/enter.h"

#define SLOT(n) (8 * (n))
#define VMCS_HOST_RSP 0x6c14

	.section .noinstr.text, "ax"

/* void vmx_enter(struct vmx_enter *args) */
SYM_FUNC_START(vmx_enter)
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi

	/* The stack is the same from one entry to the next: a write that is seldom needed. */
	cmp %rsp, VMX_ENTER_HOST_RSP(%rdi)
	je .Lrsp_known
	mov %rsp, VMX_ENTER_HOST_RSP(%rdi)
	mov $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
.Lrsp_known:

	ALTERNATIVE "jmp .Lguest_spec_done", "", X86_FEATURE_MSR_SPEC_CTRL
	mov VMX_ENTER_GUEST_SPEC(%rdi), %eax
	cmp %eax, VMX_ENTER_HOST_SPEC(%rdi)
	je .Lguest_spec_done
	xor %edx, %edx
	mov $MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
.Lguest_spec_done:

	/* CF stays as it is until it chooses the instruction: MOV and VERW leave it alone. */
	btw $0, VMX_ENTER_LAUNCHED(%rdi)

	mov VMX_ENTER_REGS(%rdi), %rdi
	mov SLOT(15)(%rdi), %r15
	mov SLOT(14)(%rdi), %r14
	mov SLOT(13)(%rdi), %r13
	mov SLOT(12)(%rdi), %r12
	mov SLOT(11)(%rdi), %r11
	mov SLOT(10)(%rdi), %r10
	mov SLOT(9)(%rdi), %r9
	mov SLOT(8)(%rdi), %r8
	mov SLOT(0)(%rdi), %rax
	mov SLOT(1)(%rdi), %rcx
	mov SLOT(2)(%rdi), %rdx
	mov SLOT(3)(%rdi), %rbx
	mov SLOT(5)(%rdi), %rbp
	mov SLOT(6)(%rdi), %rsi
	mov SLOT(7)(%rdi), %rdi

	CLEAR_CPU_BUFFERS

	jnc .Llaunch
.Lresume:
	vmresume
	jmp .Llands
.Llaunch:
	vmlaunch

SYM_INNER_LABEL(vmx_exit_lands, SYM_L_GLOBAL)
.Llands:
	ENDBR
	/* Neither PUSH nor MOV touches the flags. */
	push %rdi
	mov SLOT(1)(%rsp), %rdi
	setbe VMX_ENTER_FAILED(%rdi)
	mov VMX_ENTER_REGS(%rdi), %rdi
	mov %rax, SLOT(0)(%rdi)
	pop %rax
	mov %rax, SLOT(7)(%rdi)
	mov %rcx, SLOT(1)(%rdi)
	mov %rdx, SLOT(2)(%rdi)
	mov %rbx, SLOT(3)(%rdi)
	mov %rbp, SLOT(5)(%rdi)
	mov %rsi, SLOT(6)(%rdi)
	mov %r8, SLOT(8)(%rdi)
	mov %r9, SLOT(9)(%rdi)
	mov %r10, SLOT(10)(%rdi)
	mov %r11, SLOT(11)(%rdi)
	mov %r12, SLOT(12)(%rdi)
	mov %r13, SLOT(13)(%rdi)
	mov %r14, SLOT(14)(%rdi)
	mov %r15, SLOT(15)(%rdi)

	/* No RET may run on what the guest left in the return stack buffer. */
	FILL_RETURN_BUFFER %rbx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT,\
			   X86_FEATURE_RSB_VMEXIT_LITE

	pop %rdi
	/* With the kernel's IBRS the write itself is the barrier, whatever the value was. */
	ALTERNATIVE "jmp .Lhost_spec_done", "", X86_FEATURE_MSR_SPEC_CTRL
	mov VMX_ENTER_HOST_SPEC(%rdi), %eax
	ALTERNATIVE "", "jmp .Lwrite_host_spec", X86_FEATURE_KERNEL_IBRS
	cmp %eax, VMX_ENTER_GUEST_SPEC(%rdi)
	je .Lhost_spec_done
.Lwrite_host_spec:
	xor %edx, %edx
	mov $MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
.Lhost_spec_done:

	CLEAR_BRANCH_HISTORY_VMEXIT

	/* Nor may the guest's values feed the host's speculation. */
	xor %r15d, %r15d
	xor %r14d, %r14d
	xor %r13d, %r13d
	xor %r12d, %r12d
	xor %r11d, %r11d
	xor %r10d, %r10d
	xor %r9d, %r9d
	xor %r8d, %r8d
	xor %esi, %esi
	xor %ebp, %ebp
	xor %ebx, %ebx
	xor %edx, %edx
	xor %ecx, %ecx

	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	RET

	/* The machine goes down and VMX is off already: as a failure of the instruction. */
.Lfault:
	stc
	jmp .Llands
	_ASM_EXTABLE(.Lresume, .Lfault)
	_ASM_EXTABLE(.Llaunch, .Lfault)
SYM_FUNC_END(vmx_enter)

	.text

/* void vmx_host_interrupt(unsigned long handler): the frame is what the CPU itself would push. */
SYM_FUNC_START(vmx_host_interrupt)
	push %rbp
	mov %rsp, %rbp
	and $-16, %rsp
	push $__KERNEL_DS
	push %rbp
	pushf
	push $__KERNEL_CS
	CALL_NOSPEC rdi
	/* Its IRET has restored RSP; for those who do not know. */
	mov %rbp, %rsp
	pop %rbp
	RET
SYM_FUNC_END(vmx_host_interrupt)
