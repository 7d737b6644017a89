// SPDX-License-Identifier: GPL-2.0-only
/* #VMEXIT codes to the common description of an exit. APM vol. 2, appendix C. */
#include "svm/svm.h"

/* EXITINFO1 of a MOV CR under decode assist: bits 3:0 hold the register. APM vol. 2, 15.8.1. */
#define CR_VALID BIT_ULL(63)

/* EXITINFO1 of #NPF: the access was to the guest's own tables. APM vol. 2, 15.25.6. */
#define NPF_IN_WALK BIT_ULL(33)

static void decode_io(struct okvm_vcpu *vcpu, const struct vmcb_control_area *control)
{
	struct okvm_exit *exit = &vcpu->exit;
	u32 info = control->exit_info_1;

	exit->kind = EXIT_IO;
	exit->io.in = info & SVM_IOIO_TYPE_MASK;
	exit->io.string = info & SVM_IOIO_STR_MASK;
	exit->io.rep = info & SVM_IOIO_REP_MASK;
	exit->io.size = (info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT;
	exit->io.port = info >> 16;
	/* I/O exits carry the next RIP on every CPU. */
	exit->insn_len = control->exit_info_2 - vcpu->regs[REG_RIP];
}

static void decode_npf(struct okvm_vcpu *vcpu, const struct vmcb_control_area *control)
{
	struct okvm_exit *exit = &vcpu->exit;
	u64 info = control->exit_info_1;

	exit->kind = EXIT_FAULT;
	exit->fault.gpa = control->exit_info_2;
	exit->fault.in_walk = info & NPF_IN_WALK;
	exit->fault.access = info & X86_PF_WRITE ? ACCESS_WRITE :
			     info & X86_PF_INSTR ? ACCESS_EXEC : ACCESS_READ;
}

static void decode_cr(struct okvm_vcpu *vcpu, const struct vmcb_control_area *control, u32 code)
{
	struct okvm_exit *exit = &vcpu->exit;

	exit->kind = EXIT_CR;
	exit->cr.decoded = okvm_hw.decode_assist && exit->insn_len &&
			   (control->exit_info_1 & CR_VALID);
	exit->cr.reg = control->exit_info_1 & 0xf;
	exit->cr.write = code >= SVM_EXIT_WRITE_CR0;
	exit->cr.cr = code & 0xf;
}

/* APM vol. 2, 15.14.1 "Task Switch Intercept": EXITINFO2. */
#define INFO_HAS_ERROR	BIT_ULL(44)
#define INFO_JMP	BIT_ULL(38)
#define INFO_IRET	BIT_ULL(36)

/* Was an event, whose delivery exited, raised by the instruction at RIP, to end behind it? */
static bool by_instruction(u32 event)
{
	u8 vector = event & SVM_EXITINTINFO_VEC_MASK;

	switch (event & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_SOFT:
		return true;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		return vector == X86_TRAP_BP || vector == X86_TRAP_OF;
	default:
		return false;
	}
}

static void decode_task_switch(struct okvm_vcpu *vcpu, const struct vmcb_control_area *control)
{
	struct okvm_exit *exit = &vcpu->exit;
	u64 info = control->exit_info_2;
	u32 event = control->exit_int_info;

	exit->kind = EXIT_TASK_SWITCH;
	/* Not an instruction's exit: what is there as the next RIP is of another one. */
	exit->insn_len = 0;
	exit->task.selector = control->exit_info_1;
	exit->task.has_error = info & INFO_HAS_ERROR;
	exit->task.error = info;
	exit->task.idt_vector = event & SVM_EXITINTINFO_VEC_MASK;
	if (info & INFO_IRET)
		exit->task.reason = TASK_IRET;
	else if (info & INFO_JMP)
		exit->task.reason = TASK_JMP;
	else if (event & SVM_EXITINTINFO_VALID)
		exit->task.reason = TASK_GATE;
	else
		exit->task.reason = TASK_CALL;
	exit->task.by_insn = exit->task.reason != TASK_GATE || by_instruction(event);
	if (exit->task.by_insn)
		return;
	/* The switch itself delivers the event: it must not come once more. */
	if ((event & SVM_EXITINTINFO_TYPE_MASK) == SVM_EXITINTINFO_TYPE_NMI)
		svm_set_nmi_mask(vcpu, true);
	vcpu->ev.exception.injected = vcpu->ev.nmi_injected = vcpu->ev.irq.injected = false;
}

static void decode_exception(struct okvm_vcpu *vcpu, const struct vmcb_control_area *control,
			     u32 code)
{
	struct okvm_exit *exit = &vcpu->exit;
	u8 vector = code - SVM_EXIT_EXCP_BASE;

	exit->kind = EXIT_EXCEPTION;
	exit->exception.vector = vector;
	exit->exception.error = control->exit_info_1;
	exit->exception.address = control->exit_info_2;
	if (vector == X86_TRAP_MC) {
		exit->kind = EXIT_NONE;
	} else if (vector == X86_TRAP_DB) {
		exit->exception.address = to_vmcb(vcpu)->save.dr6 ^ DR6_IDLE;
		if (svm_nmi_step_done(vcpu))
			exit->kind = EXIT_NONE;
	}
}

/* The rest needs no operands. */
static enum okvm_exit_kind plain_kind(u32 code)
{
	switch (code) {
	case SVM_EXIT_CPUID:
		return EXIT_CPUID;
	case SVM_EXIT_HLT:
		return EXIT_HLT;
	case SVM_EXIT_INTR:
	case SVM_EXIT_NMI:
	case SVM_EXIT_SMI:
	case SVM_EXIT_INIT:
		return EXIT_INTR;
	case SVM_EXIT_VMMCALL:
		return EXIT_HYPERCALL;
	case SVM_EXIT_XSETBV:
		return EXIT_XSETBV;
	case SVM_EXIT_INVLPG:
	case SVM_EXIT_INVPCID:
		return EXIT_INVLPG;
	case SVM_EXIT_PAUSE:
		return EXIT_PAUSE;
	case SVM_EXIT_WBINVD:
	case SVM_EXIT_INVD:
		return EXIT_WBINVD;
	case SVM_EXIT_RDPMC:
		return EXIT_RDPMC;
	case SVM_EXIT_MONITOR:
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_COND:
		return EXIT_MWAIT;
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_RSM:
	case SVM_EXIT_RDPRU:
		return EXIT_UNDEFINED;
	case SVM_EXIT_SHUTDOWN:
		return EXIT_TRIPLE_FAULT;
	default:
		return EXIT_UNKNOWN;
	}
}

static u8 length_from_hardware(struct okvm_vcpu *vcpu, const struct vmcb_control_area *control)
{
	u64 len = control->next_rip - vcpu->regs[REG_RIP];

	return okvm_hw.nrip && control->next_rip && len <= 15 ? len : 0;
}

/**
 * svm_decode_exit - fill vcpu->exit from the VMCB
 * @vcpu: the vCPU, right after #VMEXIT; interrupts off
 */
void svm_decode_exit(struct okvm_vcpu *vcpu)
{
	const struct vmcb_control_area *control = &to_vmcb(vcpu)->control;
	struct okvm_exit *exit = &vcpu->exit;
	u32 code = control->exit_code;

	exit->hw_reason = code;
	exit->insn_len = length_from_hardware(vcpu, control);
	switch (code) {
	case SVM_EXIT_MSR:
		exit->kind = EXIT_MSR;
		exit->msr.write = control->exit_info_1;
		break;
	case SVM_EXIT_IOIO:
		decode_io(vcpu, control);
		break;
	case SVM_EXIT_TASK_SWITCH:
		decode_task_switch(vcpu, control);
		break;
	case SVM_EXIT_NPF:
		decode_npf(vcpu, control);
		break;
	case SVM_EXIT_VINTR:
		svm_irq_window_opened(vcpu);
		exit->kind = EXIT_IRQ_WINDOW;
		break;
	case SVM_EXIT_IRET:
		svm_iret_exited(vcpu);
		exit->kind = EXIT_NMI_WINDOW;
		break;
	case SVM_EXIT_READ_CR0 ... SVM_EXIT_WRITE_CR8:
		decode_cr(vcpu, control, code);
		break;
	case SVM_EXIT_READ_DR0 ... SVM_EXIT_WRITE_DR7:
		exit->kind = EXIT_DR;
		break;
	case SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP:
		decode_exception(vcpu, control, code);
		break;
	default:
		exit->kind = plain_kind(code);
	}
}
