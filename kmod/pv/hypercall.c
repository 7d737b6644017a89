// SPDX-License-Identifier: GPL-2.0-only
/* Hypercalls: Documentation/virt/kvm/x86/hypercalls.rst in the kernel's tree. */
#include <linux/kvm_para.h>
#include <linux/sched.h>
#include <linux/time64.h>

#include "regs.h"
#include "vmm.h"

struct call {
	unsigned long nr, a0, a1, a2, a3;
	bool wide;
};

/* The vCPU that another one waits for gets this one's CPU, if it was preempted. */
static void yield_to_apic_id(struct okvm_vcpu *vcpu, unsigned long apic_id)
{
	struct okvm_vcpu *target;
	struct task_struct *task;

	if (apic_id > INT_MAX)
		return;
	target = okvm_vcpu_by_id(vcpu->vm, apic_id);
	if (!target || target == vcpu || !READ_ONCE(target->preempted))
		return;
	rcu_read_lock();
	task = get_pid_task(rcu_dereference(target->pid), PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return;
	yield_to(task, true);
	put_task_struct(task);
}

/* The host's time of day and the guest's TSC of one instant, for a guest's PTP clock. */
static long clock_pairing(struct okvm_vcpu *vcpu, unsigned long gpa, unsigned long type)
{
	struct kvm_clock_pairing pairing = { };
	u64 tsc, base, real;

	if (type != KVM_CLOCK_PAIRING_WALLCLOCK || !READ_ONCE(vcpu->vm->clock.master) ||
	    !okvm_tsc_snapshot(&tsc, &base, &real))
		return -KVM_EOPNOTSUPP;
	pairing.sec = div_u64_rem(real, NSEC_PER_SEC, (u32 *)&pairing.nsec);
	pairing.tsc = okvm_guest_tsc(vcpu, tsc);
	return okvm_write_guest(vcpu, gpa, &pairing, sizeof(pairing)) ? -KVM_EFAULT : 0;
}

static long perform(struct okvm_vcpu *vcpu, const struct call *call)
{
	switch (call->nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return 0;
	case KVM_HC_KICK_CPU:
		if (!vcpu->lapic || !guest_pv_has(vcpu, KVM_FEATURE_PV_UNHALT))
			break;
		okvm_pv_kick(vcpu, call->a1);
		yield_to_apic_id(vcpu, call->a1);
		return 0;
	case KVM_HC_SEND_IPI:
		if (!vcpu->lapic || !guest_pv_has(vcpu, KVM_FEATURE_PV_SEND_IPI))
			break;
		return okvm_pv_send_ipi(vcpu, call->a0, call->a1, call->a2, call->a3, call->wide);
	case KVM_HC_SCHED_YIELD:
		if (!guest_pv_has(vcpu, KVM_FEATURE_PV_SCHED_YIELD))
			break;
		yield_to_apic_id(vcpu, call->a0);
		return 0;
	case KVM_HC_CLOCK_PAIRING:
		return clock_pairing(vcpu, call->a0, call->a1);
	}
	return -KVM_ENOSYS;
}

/**
 * okvm_hypercall - VMCALL or VMMCALL
 * @vcpu: the vCPU, loaded
 *
 * Number in RAX, arguments in RBX, RCX, RDX, RSI, 32 bits of them outside of 64-bit mode; the
 * result goes to RAX. Only the kernel may call: others get -KVM_EPERM.
 *
 * Return: RESUME_GUEST: the caller steps over the instruction.
 */
int okvm_hypercall(struct okvm_vcpu *vcpu)
{
	struct call call = {
		.nr = okvm_reg(vcpu, REG_RAX),
		.a0 = okvm_reg(vcpu, REG_RBX),
		.a1 = okvm_reg(vcpu, REG_RCX),
		.a2 = okvm_reg(vcpu, REG_RDX),
		.a3 = okvm_reg(vcpu, REG_RSI),
		.wide = okvm_64bit_code(vcpu),
	};
	long result = -KVM_EPERM;

	if (!call.wide) {
		call.nr = (u32)call.nr;
		call.a0 = (u32)call.a0;
		call.a1 = (u32)call.a1;
		call.a2 = (u32)call.a2;
		call.a3 = (u32)call.a3;
	}
	if (!okvm_cpl(vcpu))
		result = perform(vcpu, &call);
	okvm_reg_set(vcpu, REG_RAX, call.wide ? result : (u32)result);
	return RESUME_GUEST;
}

/* VMCALL is Intel's, VMMCALL is AMD's. */
static const u8 vmcall[] = { 0x0f, 0x01, 0xc1 }, vmmcall[] = { 0x0f, 0x01, 0xd9 };

/**
 * okvm_fix_hypercall - after a #UD: was it the other vendor's hypercall instruction?
 * @vcpu: the vCPU, loaded
 *
 * A guest that came from another machine may use it: it is replaced by this CPU's own, in the
 * guest's memory, unless user space disabled KVM_X86_QUIRK_FIX_HYPERCALL_INSN.
 *
 * Context: vCPU thread, may sleep.
 * Return: true: there is something new at RIP, or a page fault is queued: run the guest again.
 */
bool okvm_fix_hypercall(struct okvm_vcpu *vcpu)
{
	bool amd = boot_cpu_data.x86_vendor != X86_VENDOR_INTEL;
	const u8 *own = amd ? vmmcall : vmcall, *other = amd ? vmcall : vmmcall;
	u32 user = okvm_cpl(vcpu) == 3 ? ACCESS_USER : 0;
	struct okvm_walk_fault fault;
	u8 code[3];
	u64 rip;
	int r;

	if (vcpu->vm->disabled_quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN)
		return false;
	rip = okvm_linear_rip(vcpu);
	if (okvm_read_virt(vcpu, rip, code, sizeof(code), user | ACCESS_EXEC, &fault) ||
	    memcmp(code, other, sizeof(code)))
		return false;
	r = okvm_write_virt(vcpu, rip, own, sizeof(code), user, &fault);
	if (r == 1)
		okvm_queue_page_fault(vcpu, fault.address, fault.error);
	return r >= 0;
}
