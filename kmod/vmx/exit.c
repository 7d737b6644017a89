// SPDX-License-Identifier: GPL-2.0-only
/* Exit reasons and qualifications to the common description of an exit. SDM vol. 3, 27.2.1. */
#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"

/* Exit qualification of a task switch: the new TSS's selector, and who asked. */
#define TASK_SELECTOR	0xffff
#define TASK_REASON(q)	(((q) >> 30) & 3)
#define TASK_BY_GATE	3

/* Of an I/O instruction. */
#define IO_SIZE(q)	(((q) & 7) + 1)
#define IO_IN		BIT(3)
#define IO_STRING	BIT(4)
#define IO_REP		BIT(5)
#define IO_PORT(q)	((q) >> 16)

/* Of a control register access. */
#define CR_NUMBER(q)	((q) & 0xf)
#define CR_ACCESS(q)	(((q) >> 4) & 3)
#define CR_REGISTER(q)	(((q) >> 8) & 0xf)
enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

/* Of a #DB: as in DR6, but with the bit for transactions set when one was hit. */
#define DEBUG_BITS	(DR_TRAP_BITS | BIT(13) | DR_STEP | DR6_TRANSACTION)

static u8 insn_len(void)
{
	return vmcs_read(VM_EXIT_INSTRUCTION_LEN);
}

static void decode_io(struct okvm_exit *exit)
{
	unsigned long q = vmcs_read(EXIT_QUALIFICATION);

	exit->kind = EXIT_IO;
	exit->insn_len = insn_len();
	exit->io.port = IO_PORT(q);
	exit->io.size = IO_SIZE(q);
	exit->io.in = q & IO_IN;
	exit->io.string = q & IO_STRING;
	exit->io.rep = q & IO_REP;
}

/* An IRET that faulted on memory has not returned: NMIs are blocked until it has run again. */
static void reblock_nmi(struct okvm_vcpu *vcpu, unsigned long info, u32 vectoring)
{
	if (unlikely(info & NMI_UNBLOCKED_BY_IRET) && vmx_features.vnmi &&
	    !(vectoring & VECTORING_INFO_VALID_MASK))
		vmx_set_nmi_mask(vcpu, true);
}

static void decode_ept_violation(struct okvm_vcpu *vcpu, u32 vectoring)
{
	unsigned long q = vmcs_read(EXIT_QUALIFICATION);
	struct okvm_exit *exit = &vcpu->exit;

	reblock_nmi(vcpu, q, vectoring);
	exit->kind = EXIT_FAULT;
	exit->fault.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->fault.in_walk = q & EPT_VIOLATION_GVA_IS_VALID &&
			      !(q & EPT_VIOLATION_GVA_TRANSLATED);
	/* With A and D bits the CPU reads guest tables as if it wrote them, and sets both bits. */
	if (q & EPT_VIOLATION_ACC_WRITE)
		exit->fault.access = ACCESS_WRITE;
	else
		exit->fault.access = q & EPT_VIOLATION_ACC_INSTR ? ACCESS_EXEC : ACCESS_READ;
}

static void decode_cr(struct okvm_exit *exit)
{
	unsigned long q = vmcs_read(EXIT_QUALIFICATION);
	enum cr_access access = CR_ACCESS(q);

	exit->kind = EXIT_CR;
	exit->insn_len = insn_len();
	exit->cr.cr = CR_NUMBER(q);
	exit->cr.reg = CR_REGISTER(q);
	exit->cr.write = access != CR_MOV_FROM;
	exit->cr.clts = access == CR_CLTS;
	exit->cr.lmsw = access == CR_LMSW;
	exit->cr.lmsw_source = q >> LMSW_SOURCE_DATA_SHIFT;
	/* The other two are left to the emulator. */
	exit->cr.decoded = access == CR_MOV_TO || access == CR_MOV_FROM;
}

/* INT1 is a trap that no debug register knows of: it is over, and DR6 says nothing. */
static void finish_int1(struct okvm_vcpu *vcpu)
{
	unsigned long rip = okvm_reg(vcpu, REG_RIP) + insn_len();

	okvm_reg_set(vcpu, REG_RIP, okvm_64bit_code(vcpu) ? rip : (u32)rip);
	vcpu->exit.exception.address = 0;
}

/*
 * In a task that stands for real mode: what real mode has no exception for, or does differently, is
 * the emulator's. The rest happens in both for the same reasons.
 */
static bool differs_in_real_mode(struct okvm_vcpu *vcpu, u8 vector)
{
	switch (vector) {
	case X86_TRAP_BP:
		return !(vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_SW_BP);
	case X86_TRAP_OF:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return true;
	default:
		return false;
	}
}

static void decode_exception(struct okvm_vcpu *vcpu, u32 vectoring)
{
	u32 info = vmcs_read(VM_EXIT_INTR_INFO);
	struct okvm_exit *exit = &vcpu->exit;
	u8 vector = info & INTR_INFO_VECTOR_MASK;

	exit->kind = EXIT_EXCEPTION;
	exit->exception.vector = vector;
	exit->exception.error = 0;
	if (unlikely(to_vmx(vcpu)->restricted.task) && differs_in_real_mode(vcpu, vector)) {
		exit->kind = EXIT_EMULATE;
		return;
	}
	if (vector != X86_TRAP_DF)
		reblock_nmi(vcpu, info, vectoring);
	switch (vector) {
	case X86_TRAP_NMI:
	case X86_TRAP_MC:
		/* The host's, and handled. */
		exit->kind = EXIT_INTR;
		break;
	case X86_TRAP_DB:
		exit->exception.address = vmcs_read(EXIT_QUALIFICATION) & DEBUG_BITS;
		if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
			finish_int1(vcpu);
		break;
	case X86_TRAP_BP:
		to_vmx(vcpu)->soft_len = insn_len();
		break;
	default:
		if (info & INTR_INFO_DELIVER_CODE_MASK)
			exit->exception.error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	}
}

/*
 * Through a task gate the event is delivered by the switch itself: it must not come once more. By
 * an instruction, the old task continues behind it.
 */
static void decode_task_switch(struct okvm_vcpu *vcpu, u32 vectoring)
{
	unsigned long q = vmcs_read(EXIT_QUALIFICATION);
	struct okvm_events *ev = &vcpu->ev;
	struct okvm_exit *exit = &vcpu->exit;
	bool event = vectoring & VECTORING_INFO_VALID_MASK && TASK_REASON(q) == TASK_BY_GATE;
	u32 type = vectoring & VECTORING_INFO_TYPE_MASK;

	exit->kind = EXIT_TASK_SWITCH;
	exit->task.selector = q & TASK_SELECTOR;
	exit->task.reason = TASK_REASON(q);
	exit->task.idt_vector = vectoring & VECTORING_INFO_VECTOR_MASK;
	exit->task.has_error = false;
	if (event) {
		exit->task.has_error = vectoring & VECTORING_INFO_DELIVER_CODE_MASK;
		if (exit->task.has_error)
			exit->task.error = vmcs_read(IDT_VECTORING_ERROR_CODE);
		if (type == INTR_TYPE_NMI_INTR)
			vmx_set_nmi_mask(vcpu, true);
		ev->exception.injected = ev->nmi_injected = ev->irq.injected = false;
	}
	exit->task.by_insn = !event || (type != INTR_TYPE_EXT_INTR && type != INTR_TYPE_NMI_INTR &&
					type != INTR_TYPE_HARD_EXCEPTION);
	if (exit->task.by_insn)
		exit->insn_len = insn_len();
}

/* Reasons without operands of their own; 0 is EXIT_NONE, which none of them means. */
static const u8 instructions[] = {
	[EXIT_REASON_CPUID] = EXIT_CPUID,
	[EXIT_REASON_HLT] = EXIT_HLT,
	[EXIT_REASON_INVD] = EXIT_WBINVD,
	[EXIT_REASON_WBINVD] = EXIT_WBINVD,
	[EXIT_REASON_RDPMC] = EXIT_RDPMC,
	[EXIT_REASON_VMCALL] = EXIT_HYPERCALL,
	[EXIT_REASON_MWAIT_INSTRUCTION] = EXIT_MWAIT,
	[EXIT_REASON_MONITOR_INSTRUCTION] = EXIT_MWAIT,
	[EXIT_REASON_PAUSE_INSTRUCTION] = EXIT_PAUSE,
	[EXIT_REASON_XSETBV] = EXIT_XSETBV,
	[EXIT_REASON_INVLPG] = EXIT_INVLPG,
	[EXIT_REASON_INVPCID] = EXIT_INVLPG,
	[EXIT_REASON_DR_ACCESS] = EXIT_DR,
	[EXIT_REASON_VMCLEAR... EXIT_REASON_VMON] = EXIT_UNDEFINED,
	[EXIT_REASON_GETSEC] = EXIT_UNDEFINED,
	[EXIT_REASON_INVEPT] = EXIT_UNDEFINED,
	[EXIT_REASON_INVVPID] = EXIT_UNDEFINED,
	[EXIT_REASON_RDTSCP] = EXIT_UNDEFINED,
	[EXIT_REASON_VMFUNC] = EXIT_UNDEFINED,
	[EXIT_REASON_ENCLS] = EXIT_UNDEFINED,
	[EXIT_REASON_XSAVES] = EXIT_UNDEFINED,
	[EXIT_REASON_XRSTORS] = EXIT_UNDEFINED,
	[EXIT_REASON_UMWAIT] = EXIT_UNDEFINED,
	[EXIT_REASON_TPAUSE] = EXIT_UNDEFINED,
};

static void decode_rest(struct okvm_exit *exit, u32 reason)
{
	if (reason < ARRAY_SIZE(instructions) && instructions[reason]) {
		exit->kind = instructions[reason];
		exit->insn_len = insn_len();
		return;
	}
	switch (reason) {
	case EXIT_REASON_INIT_SIGNAL:
	case EXIT_REASON_MCE_DURING_VMENTRY:
		exit->kind = EXIT_INTR;
		break;
	case EXIT_REASON_TRIPLE_FAULT:
		exit->kind = EXIT_TRIPLE_FAULT;
		break;
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
		exit->kind = EXIT_TPR_BELOW;
		break;
	default:
		exit->kind = EXIT_UNKNOWN;
	}
}

/**
 * vmx_decode_exit - fill vcpu->exit
 * @vcpu: the vCPU, right after an exit; events are taken back
 * @reason: the exit reason field, of an entry that succeeded
 * @vectoring: the IDT-vectoring information field
 */
void vmx_decode_exit(struct okvm_vcpu *vcpu, u32 reason, u32 vectoring)
{
	struct okvm_exit *exit = &vcpu->exit;
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	exit->hw_reason = reason;
	exit->insn_len = 0;
	switch ((u16)reason) {
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		exit->kind = EXIT_INTR;
		break;
	case EXIT_REASON_EPT_VIOLATION:
		decode_ept_violation(vcpu, vectoring);
		break;
	case EXIT_REASON_PML_FULL:
		/* It was made empty right after the exit. */
		reblock_nmi(vcpu, vmcs_read(EXIT_QUALIFICATION), vectoring);
		exit->kind = EXIT_NONE;
		break;
	case EXIT_REASON_IO_INSTRUCTION:
		decode_io(exit);
		break;
	case EXIT_REASON_MSR_READ:
	case EXIT_REASON_MSR_WRITE:
		exit->kind = EXIT_MSR;
		exit->insn_len = insn_len();
		exit->msr.write = (u16)reason == EXIT_REASON_MSR_WRITE;
		break;
	case EXIT_REASON_CR_ACCESS:
		decode_cr(exit);
		break;
	case EXIT_REASON_EXCEPTION_NMI:
		decode_exception(vcpu, vectoring);
		break;
	case EXIT_REASON_INTERRUPT_WINDOW:
		vmx_control(vmx, CPU_BASED_INTR_WINDOW_EXITING, false);
		exit->kind = EXIT_IRQ_WINDOW;
		break;
	case EXIT_REASON_NMI_WINDOW:
		vmx_control(vmx, CPU_BASED_NMI_WINDOW_EXITING, false);
		exit->kind = EXIT_NMI_WINDOW;
		break;
	case EXIT_REASON_PREEMPTION_TIMER:
		/* It also ends when nobody has set it, every few minutes. */
		exit->kind = vmx->timer_tsc && rdtsc() >= vmx->timer_tsc ? EXIT_TIMER : EXIT_NONE;
		break;
	case EXIT_REASON_APIC_ACCESS:
		exit->kind = EXIT_EMULATE;
		break;
	case EXIT_REASON_APIC_WRITE:
		exit->kind = EXIT_APIC_WRITE;
		exit->apic.reg = vmcs_read(EXIT_QUALIFICATION) & ~PAGE_MASK;
		break;
	case EXIT_REASON_EOI_INDUCED:
		exit->kind = EXIT_EOI;
		exit->apic.vector = vmcs_read(EXIT_QUALIFICATION);
		break;
	case EXIT_REASON_TASK_SWITCH:
		decode_task_switch(vcpu, vectoring);
		break;
	default:
		decode_rest(exit, (u16)reason);
	}
}
