/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch. Called with GIF clear and interrupts disabled.
 *
 * APM vol. 2, 15.5 "VMRUN Instruction": RAX, RSP, RIP, RFLAGS and the control and segment
 * registers are switched by VMRUN, what VMLOAD and VMSAVE carry by those, general registers here.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/frame.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>

#include "svm/enter.h"

#define REG(n) (8 * (n))

	.section .noinstr.text, "ax"

/* void svm_enter(struct svm_enter *args) */
SYM_FUNC_START(svm_enter)
	push %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx
	push %rdi

	/* The guest's SPEC_CTRL comes late, the host's goes back first. */
	ALTERNATIVE "jmp .Lspec_in_done", "", X86_FEATURE_MSR_SPEC_CTRL
	ALTERNATIVE "", "jmp .Lspec_in_done", X86_FEATURE_V_SPEC_CTRL
	mov ENTER_SPEC_CTRL(%rdi), %eax
	cmp ENTER_HOST_SPEC_CTRL(%rdi), %eax
	je .Lspec_in_done
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_in_done:

	mov ENTER_VMCB_PA(%rdi), %rax
	mov ENTER_REGS(%rdi), %rdi
	mov REG(1)(%rdi), %rcx
	mov REG(2)(%rdi), %rdx
	mov REG(3)(%rdi), %rbx
	mov REG(5)(%rdi), %rbp
	mov REG(6)(%rdi), %rsi
	mov REG(8)(%rdi), %r8
	mov REG(9)(%rdi), %r9
	mov REG(10)(%rdi), %r10
	mov REG(11)(%rdi), %r11
	mov REG(12)(%rdi), %r12
	mov REG(13)(%rdi), %r13
	mov REG(14)(%rdi), %r14
	mov REG(15)(%rdi), %r15
	mov REG(7)(%rdi), %rdi

	/* Clobbers ZF alone. */
	VM_CLEAR_CPU_BUFFERS

	/*
	 * With IF set the host's interrupts end the guest's run. GIF holds them off here. Not right
	 * before VMRUN: QEMU's TCG takes STI's shadow into the guest, whose first instruction then
	 * comes before its interrupt.
	 */
	sti
	vmload %rax
	vmrun %rax
	cli
	vmsave %rax

	/* Host RAX is the VMCB's address again, RSP the host's: take the guest's registers. */
	push %rdi
	mov 8(%rsp), %rax
	mov ENTER_REGS(%rax), %rax
	mov %rcx, REG(1)(%rax)
	mov %rdx, REG(2)(%rax)
	mov %rbx, REG(3)(%rax)
	mov %rbp, REG(5)(%rax)
	mov %rsi, REG(6)(%rax)
	pop REG(7)(%rax)
	mov %r8, REG(8)(%rax)
	mov %r9, REG(9)(%rax)
	mov %r10, REG(10)(%rax)
	mov %r11, REG(11)(%rax)
	mov %r12, REG(12)(%rax)
	mov %r13, REG(13)(%rax)
	mov %r14, REG(14)(%rax)
	mov %r15, REG(15)(%rax)

	/* GS, FS, TR and the system call MSRs of the host: no per-CPU data before this. */
	pop %rdi
	mov ENTER_HOST_PA(%rdi), %rax
	vmload %rax

	/* The guest has filled the return stack buffer: refill it before any RET. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE

	ALTERNATIVE "jmp .Lspec_out_done", "", X86_FEATURE_MSR_SPEC_CTRL
	ALTERNATIVE "", "jmp .Lspec_out_done", X86_FEATURE_V_SPEC_CTRL
	mov ENTER_HOST_SPEC_CTRL(%rdi), %eax
	cmp ENTER_SPEC_CTRL(%rdi), %eax
	je .Lspec_out_done
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_out_done:

	/* The guest's values must not steer speculation in the host. */
	xor %ecx, %ecx
	xor %edx, %edx
	xor %ebx, %ebx
	xor %ebp, %ebp
	xor %esi, %esi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	xor %r12d, %r12d
	xor %r13d, %r13d
	xor %r14d, %r14d
	xor %r15d, %r15d

	UNTRAIN_RET

	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
	RET
SYM_FUNC_END(svm_enter)
