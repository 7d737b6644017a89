// SPDX-License-Identifier: GPL-2.0-only
/* KVM_RUN: the loop between the guest, the exit handlers and user space. */
#include <linux/compat.h>
#include <linux/entry-kvm.h>
#include <linux/rcuwait.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vtime.h>

#include "guest_work.h"
#include "inject.h"
#include "regs.h"
#include "run.h"
#include "vmm.h"

DECLARE_STATIC_CALL(okvm_run, *((struct okvm_backend *)NULL)->run);

/* May user space call KVM_INTERRUPT now and see it delivered at the next entry? */
static bool ready_for_user_irq(struct okvm_vcpu *vcpu)
{
	const struct okvm_events *ev = &vcpu->ev;

	return !ev->exception.pending && !ev->exception.injected && !ev->nmi_injected &&
	       !ev->irq.injected && okvm_takes_user_irq(vcpu) && okvm_backend->irq_allowed(vcpu);
}

static bool wants_user_irq(struct okvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) && !okvm_pic_in_kernel(vcpu);
}

/**
 * okvm_vcpu_has_work - has a halted vCPU a reason to run?
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, loaded; does not sleep.
 */
bool okvm_vcpu_has_work(struct okvm_vcpu *vcpu)
{
	if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE)
		return true;
	if (test_bit(REQ_DEAD, &vcpu->requests) || okvm_lapic_events_pending(vcpu))
		return true;
	if (vcpu->mp_state != KVM_MP_STATE_HALTED)
		return false;
	if (test_bit(REQ_UNHALT, &vcpu->requests) ||
	    test_bit(REQ_TRIPLE_FAULT, &vcpu->requests) || vcpu->ev.exception.pending)
		return true;
	if ((vcpu->ev.nmi_pending || test_bit(REQ_NMI, &vcpu->requests)) &&
	    okvm_backend->nmi_allowed(vcpu))
		return true;
	return okvm_backend->irq_allowed(vcpu) && okvm_irq_pending(vcpu);
}

/*
 * A halted vCPU, or one that waits for its start-up IPI, sleeps here. Whoever gives it work sets
 * a request or an IRR bit and then wakes the rcuwait; the check comes after the task state.
 */
static void sleep_until_work(struct okvm_vcpu *vcpu)
{
	okvm_lapic_timer_moves(vcpu);
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (okvm_vcpu_has_work(vcpu) || signal_pending(current))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
}

/* Not runnable: sleep, then act on what came. 1: look again, negative: leave KVM_RUN. */
static int block(struct okvm_vcpu *vcpu)
{
	if (!okvm_vcpu_has_work(vcpu))
		sleep_until_work(vcpu);
	if (okvm_lapic_events_pending(vcpu))
		okvm_lapic_accept_events(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && okvm_vcpu_has_work(vcpu)) {
		clear_bit(REQ_UNHALT, &vcpu->requests);
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		okvm_lapic_timer_moves(vcpu);
		okvm_count(vcpu, halt_wakeup);
	}
	return 1;
}

static int requests_that_leave(struct okvm_vcpu *vcpu)
{
	if (test_bit(REQ_DEAD, &vcpu->requests))
		return -EIO;
	if (okvm_take_request(vcpu, REQ_TRIPLE_FAULT)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return RESUME_USER;
	}
	if (okvm_take_request(vcpu, REQ_IOAPIC_EOI)) {
		okvm_ioapic_eoi_exit(vcpu);
		return RESUME_USER;
	}
	if (okvm_take_request(vcpu, REQ_RING_FULL) && okvm_dirty_ring_full(vcpu)) {
		okvm_request(vcpu, REQ_RING_FULL);
		vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
		return RESUME_USER;
	}
	if (okvm_take_request(vcpu, REQ_TPR_ACCESS)) {
		/* What happened is in kvm_run already. */
		vcpu->run->exit_reason = KVM_EXIT_TPR_ACCESS;
		return RESUME_USER;
	}
	return RESUME_GUEST;
}

/* All that was asked of this vCPU since its last entry. RESUME_GUEST, RESUME_USER or an errno. */
static int handle_requests(struct okvm_vcpu *vcpu)
{
	int r = requests_that_leave(vcpu);
	bool flush;

	if (r != RESUME_GUEST)
		return r;
	clear_bit(REQ_KICK, &vcpu->requests);
	clear_bit(REQ_UNHALT, &vcpu->requests);
	if (okvm_take_request(vcpu, REQ_MMU_RELOAD)) {
		r = okvm_mmu_load(vcpu);
		if (r)
			return r;
	}
	if (okvm_take_request(vcpu, REQ_DIRTY_LOG)) {
		r = okvm_mmu_set_dirty_log(vcpu);
		if (r)
			return r;
	}
	if (okvm_take_request(vcpu, REQ_MASTERCLOCK))
		okvm_masterclock_update(vcpu->vm);
	if (okvm_take_request(vcpu, REQ_CLOCK_UPDATE)) {
		r = okvm_clock_update(vcpu);
		if (r)
			return r;
	}
	if (okvm_take_request(vcpu, REQ_STEAL_UPDATE))
		okvm_steal_update(vcpu);
	if (okvm_take_request(vcpu, REQ_NMI))
		okvm_take_queued_nmis(vcpu);
	if (okvm_take_request(vcpu, REQ_EOI_EXITS))
		okvm_backend->set_eoi_exits(vcpu);
	if (okvm_take_request(vcpu, REQ_MSR_FILTER))
		okvm_backend->set_msr_exits(vcpu);
	flush = okvm_take_request(vcpu, REQ_TLB_FLUSH);
	flush |= okvm_take_request(vcpu, REQ_TLB_FLUSH_GUEST);
	if (flush) {
		okvm_count(vcpu, tlb_flush);
		okvm_backend->flush_tlb(vcpu);
	}
	if (okvm_lapic_events_pending(vcpu))
		okvm_lapic_accept_events(vcpu);
	if (vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
		return RESUME_GUEST;
	if (okvm_take_request(vcpu, REQ_EVENT)) {
		okvm_count(vcpu, req_event);
		okvm_inject_events(vcpu);
		if (vcpu->lapic)
			okvm_vapic_enter(vcpu);
	}
	/* Injecting may find that the guest is dead. */
	return requests_that_leave(vcpu);
}

/* The last checks, then the guest. False when something came up: nothing was entered. */
static bool enter(struct okvm_vcpu *vcpu)
{
	preempt_disable();
	local_irq_disable();
	/* A kick from here on is an IPI; one before it left its request, which is seen below. */
	smp_store_mb(vcpu->mode, IN_GUEST);
	if (READ_ONCE(vcpu->requests) || xfer_to_guest_mode_work_pending()) {
		WRITE_ONCE(vcpu->mode, OUTSIDE_GUEST);
		local_irq_enable();
		preempt_enable();
		return false;
	}
	okvm_xcr_load_guest(vcpu);
	okvm_debug_load(vcpu);

	vtime_account_guest_enter();
	static_call(okvm_run)(vcpu);
	okvm_debug_put(vcpu);
	okvm_xcr_load_host(vcpu);
	smp_store_release(&vcpu->mode, OUTSIDE_GUEST);
	okvm_count(vcpu, exits);
	/* The host's interrupt is taken here, while the time still counts as the guest's. */
	local_irq_enable();
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
	preempt_enable();
	return true;
}

static int run_once(struct okvm_vcpu *vcpu)
{
	int r;

	if (READ_ONCE(vcpu->requests)) {
		r = handle_requests(vcpu);
		if (r != RESUME_GUEST || vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
			return r;
	}
	if (wants_user_irq(vcpu) && okvm_takes_user_irq(vcpu))
		okvm_backend->want_window(vcpu, false);
	okvm_pv_eoi_enter(vcpu);
	if (!enter(vcpu))
		return RESUME_GUEST;
	okvm_pv_eoi_exit(vcpu);
	return okvm_handle_exit(vcpu);
}

static int interrupted(struct okvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	okvm_count(vcpu, signal_exits);
	return -EINTR;
}

/* What the thread owes the kernel and user space between two entries. */
static int between_entries(struct okvm_vcpu *vcpu)
{
	if (wants_user_irq(vcpu) && ready_for_user_irq(vcpu)) {
		vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		okvm_count(vcpu, request_irq_exits);
		return RESUME_USER;
	}
	if (!__xfer_to_guest_mode_work_pending())
		return RESUME_GUEST;
	if (signal_pending(current) || okvm_guest_work())
		return interrupted(vcpu);
	return RESUME_GUEST;
}

static int run_loop(struct okvm_vcpu *vcpu)
{
	int r;

	do {
		r = vcpu->mp_state == KVM_MP_STATE_RUNNABLE ? run_once(vcpu) : block(vcpu);
		if (r > 0)
			r = between_entries(vcpu);
	} while (r > 0);
	return r;
}

/*
 * A vCPU that nobody has started yet waits for its start-up IPI, and returns once it has come, so
 * that user space sees the new state (KVM API, KVM_RUN: -EAGAIN).
 */
static int wait_for_start(struct okvm_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->run->immediate_exit))
		return -EINTR;
	block(vcpu);
	return signal_pending(current) ? interrupted(vcpu) : -EAGAIN;
}

/* Finish what user space did for the last exit, then run. */
static int resume(struct okvm_vcpu *vcpu)
{
	int (*complete)(struct okvm_vcpu *vcpu) = vcpu->complete;
	int r;

	if (complete) {
		vcpu->complete = NULL;
		r = complete(vcpu);
		if (r <= 0)
			return r;
	}
	if (READ_ONCE(vcpu->run->immediate_exit))
		return -EINTR;
	return run_loop(vcpu);
}

/* Fields of kvm_run that every exit fills. */
static void fill_run(struct okvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(okvm_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_IF);
	run->cr8 = okvm_get_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
	run->flags = 0;
	run->ready_for_interrupt_injection = okvm_pic_in_kernel(vcpu) || ready_for_user_irq(vcpu);
}

static void note_thread(struct okvm_vcpu *vcpu)
{
	struct pid *old = rcu_access_pointer(vcpu->pid), *new;

	if (likely(old == task_pid(current)))
		return;
	new = get_task_pid(current, PIDTYPE_PID);
	rcu_assign_pointer(vcpu->pid, new);
	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

/* While KVM_RUN lasts the thread has the signal mask that user space set for it. */
static void sigset_begin(struct okvm_vcpu *vcpu)
{
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
}

static void sigset_end(struct okvm_vcpu *vcpu)
{
	if (!vcpu->sigset_active)
		return;
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

/**
 * okvm_vcpu_run - KVM_RUN
 * @vcpu: the vCPU, loaded, mutex held
 * @arg: must be 0
 *
 * KVM API document, 4.10 KVM_RUN and 5 "The kvm_run structure".
 *
 * Return: 0 with kvm_run's exit_reason filled; -EINTR: a signal or immediate_exit; -EAGAIN: see
 * above; -EINVAL: bad fields in kvm_run; -EFAULT: memory behind a slot is not to be had.
 */
long okvm_vcpu_run(struct okvm_vcpu *vcpu, void *arg)
{
	int r;

	if (arg)
		return -EINVAL;
	note_thread(vcpu);
	sigset_begin(vcpu);
	okvm_fpu_load(vcpu);
	r = okvm_sync_regs_load(vcpu);
	if (r)
		goto out;
	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED) {
		r = wait_for_start(vcpu);
		goto out;
	}
	if (!vcpu->lapic && okvm_set_cr8(vcpu, vcpu->run->cr8))
		r = -EINVAL;
	else
		r = resume(vcpu);
out:
	okvm_fpu_put(vcpu);
	okvm_sync_regs_store(vcpu);
	fill_run(vcpu);
	sigset_end(vcpu);
	return r;
}

/**
 * okvm_vcpu_interrupt - KVM_INTERRUPT: user space's interrupt controller delivers a vector
 * @vcpu: the vCPU, loaded, mutex held
 * @arg: struct kvm_interrupt
 *
 * Return: 0; -EINVAL: no such vector; -ENXIO: the controllers are in the kernel; -EEXIST: one
 * waits already.
 */
long okvm_vcpu_interrupt(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_interrupt *irq = arg;

	if (irq->irq > 255)
		return -EINVAL;
	if (vcpu->lapic)
		return okvm_user_extint(vcpu, irq->irq);
	vcpu->ev.irq.injected = true;
	vcpu->ev.irq.soft = false;
	vcpu->ev.irq.vector = irq->irq;
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}

/**
 * okvm_vcpu_nmi - KVM_NMI: queue an NMI
 * @vcpu: the vCPU, mutex held
 * @arg: unused
 *
 * Return: 0.
 */
long okvm_vcpu_nmi(struct okvm_vcpu *vcpu, void *arg)
{
	okvm_queue_nmi(vcpu);
	return 0;
}

/**
 * okvm_vcpu_set_signal_mask - KVM_SET_SIGNAL_MASK: the thread's mask while in KVM_RUN
 * @vcpu: the vCPU, mutex held
 * @arg: user pointer to struct kvm_signal_mask, or NULL: no mask of its own
 *
 * Return: 0; -EFAULT; -EINVAL: not a sigset's size.
 */
long okvm_vcpu_set_signal_mask(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_signal_mask __user *user = (void __user *)arg;
	struct kvm_signal_mask head;
	sigset_t set;

	if (!user) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (in_compat_syscall()) {
		if (head.len != sizeof(compat_sigset_t))
			return -EINVAL;
		if (get_compat_sigset(&set, (void __user *)user->sigset))
			return -EFAULT;
	} else {
		if (head.len != sizeof(set))
			return -EINVAL;
		if (copy_from_user(&set, user->sigset, sizeof(set)))
			return -EFAULT;
	}
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = set;
	vcpu->sigset_active = true;
	return 0;
}
