// SPDX-License-Identifier: GPL-2.0-only
/* What to do about an exit: one handler for each kind, for all vendors. */
#include <linux/kvm.h>
#include <linux/sched.h>

#include "inject.h"
#include "msr_filter.h"
#include "vmm.h"

/**
 * okvm_complete_fault - end an emulated instruction that may have failed
 * @vcpu: the vCPU
 * @err: 0: step over it; else the guest gets #GP(0)
 *
 * Return: RESUME_GUEST or what okvm_skip_instruction() returns.
 */
int okvm_complete_fault(struct okvm_vcpu *vcpu, int err)
{
	if (err < 0)
		return err;
	if (!err)
		return okvm_skip_instruction(vcpu);
	okvm_queue_exception_error(vcpu, X86_TRAP_GP, 0);
	return RESUME_GUEST;
}

/**
 * okvm_internal_error - give up on the guest: KVM_EXIT_INTERNAL_ERROR
 * @vcpu: the vCPU
 * @suberror: KVM_INTERNAL_ERROR_*
 * @data: what helps to find out why
 * @n: how many words of it
 *
 * Return: RESUME_USER.
 */
int okvm_internal_error(struct okvm_vcpu *vcpu, u32 suberror, const u64 *data, int n)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = n;
	memcpy(run->internal.data, data, n * sizeof(*data));
	return RESUME_USER;
}

static int handle_cpuid(struct okvm_vcpu *vcpu)
{
	u32 out[4];

	okvm_count(vcpu, cpuid_exits);
	if (unlikely(vcpu->cpuid.faulting) && okvm_cpl(vcpu))
		return okvm_complete_fault(vcpu, 1);
	okvm_cpuid(vcpu, okvm_reg(vcpu, REG_RAX), okvm_reg(vcpu, REG_RCX), out);
	okvm_reg_set(vcpu, REG_RAX, out[0]);
	okvm_reg_set(vcpu, REG_RBX, out[1]);
	okvm_reg_set(vcpu, REG_RCX, out[2]);
	okvm_reg_set(vcpu, REG_RDX, out[3]);
	return okvm_skip_instruction(vcpu);
}

static int handle_msr(struct okvm_vcpu *vcpu)
{
	u32 index = okvm_reg(vcpu, REG_RCX);
	u64 data;
	int err;

	okvm_count(vcpu, msr_exits);
	if (vcpu->exit.msr.write) {
		data = (u32)okvm_reg(vcpu, REG_RAX) | okvm_reg(vcpu, REG_RDX) << 32;
		err = okvm_guest_wrmsr(vcpu, index, data);
	} else {
		err = okvm_guest_rdmsr(vcpu, index, &data);
		if (err == MSR_DONE) {
			okvm_reg_set(vcpu, REG_RAX, (u32)data);
			okvm_reg_set(vcpu, REG_RDX, data >> 32);
		}
	}
	return err == MSR_IN_USER ? RESUME_USER : okvm_complete_fault(vcpu, err);
}

/**
 * okvm_undeliverable - the delivery of an event met a device: give up on the guest
 * @vcpu: the vCPU
 * @gpa: where
 *
 * Return: RESUME_USER.
 */
int okvm_undeliverable(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	u64 data[] = { vcpu->exit.hw_reason, gpa };

	return okvm_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, data, ARRAY_SIZE(data));
}

static int handle_fault(struct okvm_vcpu *vcpu)
{
	gpa_t gpa = vcpu->exit.fault.gpa;
	int r;

	okvm_count(vcpu, fault_exits);
	if (okvm_lapic_at(vcpu, gpa))
		r = okvm_lapic_fault(vcpu, gpa);
	else
		r = okvm_mmu_fault(vcpu, gpa, vcpu->exit.fault.access);
	if (r != FAULT_EMULATE)
		return r;
	if (unlikely(okvm_delivering(vcpu)))
		return okvm_undeliverable(vcpu, gpa);
	okvm_count(vcpu, mmio_exits);
	return okvm_emulate_instruction(vcpu, gpa, !vcpu->exit.fault.in_walk &&
						   !(vcpu->exit.fault.access & ACCESS_EXEC));
}

/**
 * okvm_halt - HLT has been executed
 * @vcpu: the vCPU, past the instruction
 *
 * Return: RESUME_GUEST: the run loop sleeps; RESUME_USER: user space's controllers will wake it.
 */
int okvm_halt(struct okvm_vcpu *vcpu)
{
	okvm_count(vcpu, halt_exits);
	if (!vcpu->hlt_in_kernel) {
		vcpu->run->exit_reason = KVM_EXIT_HLT;
		return RESUME_USER;
	}
	vcpu->mp_state = KVM_MP_STATE_HALTED;
	return RESUME_GUEST;
}

static int handle_hlt(struct okvm_vcpu *vcpu)
{
	int r = okvm_skip_instruction(vcpu), halted;

	/* A debugger that steps over it finds a vCPU that waits. */
	if (r != RESUME_GUEST && !okvm_user_steps(vcpu))
		return r;
	halted = okvm_halt(vcpu);
	return r == RESUME_GUEST ? halted : r;
}

/** okvm_read_cr - CR0, 2, 3, 4 or 8 as the guest sees it */
unsigned long okvm_read_cr(struct okvm_vcpu *vcpu, int cr)
{
	switch (cr) {
	case 0:
		return vcpu->cr0;
	case 2:
		return vcpu->cr2;
	case 3:
		return okvm_cr3(vcpu);
	case 4:
		return vcpu->cr4;
	default:
		return okvm_get_cr8(vcpu);
	}
}

/** okvm_write_cr - the guest writes it; 0, or 1: it gets #GP(0) */
int okvm_write_cr(struct okvm_vcpu *vcpu, int cr, unsigned long value)
{
	switch (cr) {
	case 0:
		return okvm_set_cr0(vcpu, value);
	case 2:
		vcpu->cr2 = value;
		return 0;
	case 3:
		return okvm_set_cr3(vcpu, value);
	case 4:
		return okvm_set_cr4(vcpu, value);
	default:
		return okvm_set_cr8(vcpu, value);
	}
}

/* User space's own APIC may have an interrupt that a lowered TPR lets through. */
static int tell_user_tpr(struct okvm_vcpu *vcpu, unsigned long old_cr8, int r)
{
	if (r != RESUME_GUEST || vcpu->lapic || okvm_get_cr8(vcpu) >= old_cr8)
		return r;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return RESUME_USER;
}

static int handle_cr(struct okvm_vcpu *vcpu)
{
	struct okvm_exit *exit = &vcpu->exit;
	unsigned long value, old_cr8;
	int r;

	okvm_count(vcpu, cr_exits);
	if (!exit->cr.decoded) {
		old_cr8 = okvm_get_cr8(vcpu);
		return tell_user_tpr(vcpu, old_cr8, okvm_emulate_instruction(vcpu, 0, false));
	}
	if (exit->cr.write) {
		old_cr8 = okvm_get_cr8(vcpu);
		value = okvm_reg(vcpu, exit->cr.reg);
		if (!okvm_64bit_code(vcpu))
			value = (u32)value;
		r = okvm_complete_fault(vcpu, okvm_write_cr(vcpu, exit->cr.cr, value));
		return tell_user_tpr(vcpu, old_cr8, r);
	}
	okvm_reg_set(vcpu, exit->cr.reg, okvm_read_cr(vcpu, exit->cr.cr));
	return okvm_skip_instruction(vcpu);
}

static int handle_dr(struct okvm_vcpu *vcpu)
{
	if (!(vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_HW_BP)) {
		okvm_debug_lend(vcpu);
		return RESUME_GUEST;
	}
	return okvm_emulate_instruction(vcpu, 0, false);
}

static int handle_exception(struct okvm_vcpu *vcpu)
{
	struct okvm_exit *exit = &vcpu->exit;
	u32 guest_debug = vcpu->dbg.guest_debug;

	switch (exit->exception.vector) {
	case X86_TRAP_DB:
		if (guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
			return okvm_debug_exit(vcpu, X86_TRAP_DB, exit->exception.address);
		okvm_queue_exception_payload(vcpu, X86_TRAP_DB, exit->exception.address);
		return RESUME_GUEST;
	case X86_TRAP_BP:
		return okvm_debug_exit(vcpu, X86_TRAP_BP, 0);
	case X86_TRAP_UD:
		return okvm_undefined(vcpu);
	case X86_TRAP_AC:
		okvm_queue_exception_error(vcpu, X86_TRAP_AC, exit->exception.error);
		return RESUME_GUEST;
	case X86_TRAP_PF:
		if (!okvm_hw.tdp)
			return okvm_shadow_fault(vcpu, exit->exception.address,
						 exit->exception.error);
		okvm_queue_page_fault(vcpu, exit->exception.address, exit->exception.error);
		return RESUME_GUEST;
	default:
		okvm_queue_exception(vcpu, exit->exception.vector);
		return RESUME_GUEST;
	}
}

static int handle_window(struct okvm_vcpu *vcpu)
{
	if (vcpu->exit.kind == EXIT_IRQ_WINDOW)
		okvm_count(vcpu, irq_window_exits);
	else
		okvm_count(vcpu, nmi_window_exits);
	okvm_request(vcpu, REQ_EVENT);
	return RESUME_GUEST;
}

static int handle_hypercall(struct okvm_vcpu *vcpu)
{
	int r;

	okvm_count(vcpu, hypercalls);
	r = okvm_hypercall(vcpu);
	return r == RESUME_GUEST ? okvm_skip_instruction(vcpu) : r;
}

static int handle_undefined(struct okvm_vcpu *vcpu)
{
	okvm_queue_exception(vcpu, X86_TRAP_UD);
	return RESUME_GUEST;
}

static int handle_xsetbv(struct okvm_vcpu *vcpu)
{
	u64 value = (u32)okvm_reg(vcpu, REG_RAX) | okvm_reg(vcpu, REG_RDX) << 32;

	/* #UD comes before the intercept on hardware; an emulated CPU below may not know. */
	if (!(vcpu->cr4 & X86_CR4_OSXSAVE))
		return handle_undefined(vcpu);
	return okvm_complete_fault(vcpu, okvm_cpl(vcpu) ||
					 okvm_set_xcr(vcpu, okvm_reg(vcpu, REG_RCX), value));
}

/* A vCPU that spins: let a preempted one of the same VM have the CPU. */
static void yield_to_other(struct okvm_vcpu *me)
{
	struct okvm_vcpu *other;
	struct task_struct *task;
	unsigned long i;
	bool done = false;

	okvm_for_each_vcpu(i, other, me->vm) {
		if (done || other == me || !READ_ONCE(other->preempted))
			continue;
		rcu_read_lock();
		task = get_pid_task(rcu_dereference(other->pid), PIDTYPE_PID);
		rcu_read_unlock();
		if (!task)
			continue;
		done = yield_to(task, true) > 0;
		put_task_struct(task);
	}
}

/* MONITOR and MWAIT do nothing, rather than let a guest have the CPU. */
static int handle_mwait(struct okvm_vcpu *vcpu)
{
	u32 out[4] = { };

	if (!(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return okvm_skip_instruction(vcpu);
	okvm_cpuid(vcpu, 1, 0, out);
	if (!(out[CPUID_ECX] & BIT(X86_FEATURE_MWAIT & 31)))
		return handle_undefined(vcpu);
	return okvm_skip_instruction(vcpu);
}

static int handle_pause(struct okvm_vcpu *vcpu)
{
	yield_to_other(vcpu);
	return okvm_skip_instruction(vcpu);
}

static int handle_triple_fault(struct okvm_vcpu *vcpu)
{
	/* The control block is undefined after a shutdown: leave user space a vCPU to look at. */
	okvm_vcpu_reset(vcpu, true);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return RESUME_USER;
}

static int handle_fail_entry(struct okvm_vcpu *vcpu)
{
	okvm_backend->dump(vcpu);
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = vcpu->exit.hw_reason;
	vcpu->run->fail_entry.cpu = vcpu->cpu;
	return RESUME_USER;
}

static int handle_unknown(struct okvm_vcpu *vcpu)
{
	u64 data[] = { vcpu->exit.hw_reason, vcpu->cpu };

	okvm_backend->dump(vcpu);
	return okvm_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, data,
				   ARRAY_SIZE(data));
}

static int handle_rdpmc(struct okvm_vcpu *vcpu)
{
	/* No counters are virtualized. */
	return okvm_complete_fault(vcpu, 1);
}

static int handle_invlpg(struct okvm_vcpu *vcpu)
{
	return okvm_emulate_instruction(vcpu, 0, false);
}

/* An APIC's page that exits by itself has no use for an event's stack either. */
static int handle_emulate(struct okvm_vcpu *vcpu)
{
	if (unlikely(okvm_delivering(vcpu)))
		return okvm_undeliverable(vcpu, vcpu->apic_base & PAGE_MASK);
	return okvm_emulate_instruction(vcpu, 0, false);
}

static int handle_apic_write(struct okvm_vcpu *vcpu)
{
	okvm_lapic_written(vcpu, vcpu->exit.apic.reg);
	return RESUME_GUEST;
}

static int handle_eoi(struct okvm_vcpu *vcpu)
{
	okvm_lapic_eoi_done(vcpu, vcpu->exit.apic.vector);
	return RESUME_GUEST;
}

static int handle_timer(struct okvm_vcpu *vcpu)
{
	okvm_count(vcpu, timer_exits);
	okvm_lapic_timer_expired(vcpu);
	return RESUME_GUEST;
}

static int resume(struct okvm_vcpu *vcpu)
{
	return RESUME_GUEST;
}

static int (*const handlers[EXIT_KINDS])(struct okvm_vcpu *vcpu) = {
	[EXIT_NONE] = resume,
	[EXIT_INTR] = resume,
	[EXIT_IO] = okvm_handle_io,
	[EXIT_FAULT] = handle_fault,
	[EXIT_MSR] = handle_msr,
	[EXIT_CPUID] = handle_cpuid,
	[EXIT_HLT] = handle_hlt,
	[EXIT_CR] = handle_cr,
	[EXIT_DR] = handle_dr,
	[EXIT_EXCEPTION] = handle_exception,
	[EXIT_IRQ_WINDOW] = handle_window,
	[EXIT_NMI_WINDOW] = handle_window,
	[EXIT_HYPERCALL] = handle_hypercall,
	[EXIT_XSETBV] = handle_xsetbv,
	[EXIT_INVLPG] = handle_invlpg,
	[EXIT_PAUSE] = handle_pause,
	[EXIT_WBINVD] = okvm_skip_instruction,
	[EXIT_RDPMC] = handle_rdpmc,
	[EXIT_MWAIT] = handle_mwait,
	[EXIT_TASK_SWITCH] = okvm_task_switch,
	[EXIT_UNDEFINED] = handle_undefined,
	[EXIT_TRIPLE_FAULT] = handle_triple_fault,
	[EXIT_EMULATE] = handle_emulate,
	[EXIT_TPR_BELOW] = handle_window,
	[EXIT_TIMER] = handle_timer,
	[EXIT_APIC_WRITE] = handle_apic_write,
	[EXIT_EOI] = handle_eoi,
	[EXIT_FAIL_ENTRY] = handle_fail_entry,
	[EXIT_UNKNOWN] = handle_unknown,
};

/**
 * okvm_handle_exit - act on vcpu->exit
 * @vcpu: the vCPU, just out of the guest
 *
 * The commonest kinds are called directly: an indirect branch costs a retpoline.
 *
 * Context: the vCPU's thread, interrupts on; may sleep.
 * Return: RESUME_GUEST, RESUME_USER with kvm_run filled, or a negative errno.
 */
int okvm_handle_exit(struct okvm_vcpu *vcpu)
{
	switch (vcpu->exit.kind) {
	case EXIT_INTR:
		okvm_count(vcpu, irq_exits);
		return RESUME_GUEST;
	case EXIT_MSR:
		return handle_msr(vcpu);
	case EXIT_FAULT:
		return handle_fault(vcpu);
	case EXIT_IO:
		okvm_count(vcpu, io_exits);
		return okvm_handle_io(vcpu);
	case EXIT_HLT:
		return handle_hlt(vcpu);
	case EXIT_CPUID:
		return handle_cpuid(vcpu);
	case EXIT_IRQ_WINDOW:
		return handle_window(vcpu);
	case EXIT_TIMER:
		return handle_timer(vcpu);
	default:
		return handlers[vcpu->exit.kind](vcpu);
	}
}
