// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debug registers. DR6 and DR7 are in the control block; the addresses in DR0 to DR3 go into the
 * CPU only while a breakpoint is set, the guest's or that of a debugger in user space.
 */
#include <asm/trapnr.h>

#include "regs.h"
#include "vmm.h"

/* SDM vol. 3, "Debug Registers": bits a write changes; the others read as in DR6_IDLE, DR7_IDLE. */
#define DR6_WRITABLE	0x0000e00ful
#define DR7_WRITABLE	0xffff2bfful
#define DR7_ENABLES	0xfful

static bool host_breakpoints(const struct okvm_vcpu *vcpu)
{
	return vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_HW_BP;
}

/** okvm_effective_dr7 - DR7 that the guest runs with: the debugger's or its own */
u64 okvm_effective_dr7(struct okvm_vcpu *vcpu)
{
	return host_breakpoints(vcpu) ? vcpu->dbg.host_dr7 : vcpu->dbg.dr7;
}

/**
 * okvm_debug_load - put breakpoint addresses into the CPU, if one is set
 * @vcpu: the vCPU
 *
 * DR7 is cleared first: the host's own breakpoints must not hit at the guest's addresses.
 *
 * Context: interrupts off, right before the entry.
 */
void okvm_debug_load(struct okvm_vcpu *vcpu)
{
	const u64 *db;

	if (likely(!vcpu->dbg.guest_owns && !(okvm_effective_dr7(vcpu) & DR7_ENABLES)))
		return;
	db = host_breakpoints(vcpu) ? vcpu->dbg.host_db : vcpu->dbg.db;
	set_debugreg(0, 7);
	set_debugreg(db[0], 0);
	set_debugreg(db[1], 1);
	set_debugreg(db[2], 2);
	set_debugreg(db[3], 3);
}

/**
 * okvm_debug_lend - let the guest access debug registers by itself until the next exit
 * @vcpu: the vCPU; no debugger in user space has them
 *
 * Guests that use them do so a few times in a row: one exit instead of one for each access.
 */
void okvm_debug_lend(struct okvm_vcpu *vcpu)
{
	vcpu->dbg.guest_owns = true;
	okvm_backend->set_debug(vcpu);
}

/* DR6 and DR7 came with the control block. */
static void take_back(struct okvm_vcpu *vcpu)
{
	unsigned long db;

	get_debugreg(db, 0);
	vcpu->dbg.db[0] = db;
	get_debugreg(db, 1);
	vcpu->dbg.db[1] = db;
	get_debugreg(db, 2);
	vcpu->dbg.db[2] = db;
	get_debugreg(db, 3);
	vcpu->dbg.db[3] = db;
	vcpu->dbg.guest_owns = false;
	okvm_backend->set_debug(vcpu);
}

/**
 * okvm_debug_put - the host's breakpoints, if it has any, are back
 * @vcpu: the vCPU
 *
 * The exit has cleared DR7. Addresses that no breakpoint uses may stay behind in DR0 to DR3.
 *
 * Context: interrupts off, right after the exit.
 */
void okvm_debug_put(struct okvm_vcpu *vcpu)
{
	if (unlikely(vcpu->dbg.guest_owns))
		take_back(vcpu);
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
}

/** okvm_debug_reset - the registers after power-up or INIT */
void okvm_debug_reset(struct okvm_vcpu *vcpu)
{
	memset(vcpu->dbg.db, 0, sizeof(vcpu->dbg.db));
	vcpu->dbg.dr6 = DR6_IDLE;
	vcpu->dbg.dr7 = DR7_IDLE;
	okvm_backend->set_debug(vcpu);
}

/* DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE takes them away. */
static int resolve(struct okvm_vcpu *vcpu, int dr)
{
	if (dr != 4 && dr != 5)
		return dr;
	return vcpu->cr4 & X86_CR4_DE ? -1 : dr + 2;
}

/**
 * okvm_get_dr - MOV from a debug register
 * @vcpu: the vCPU
 * @dr: 0 to 7
 * @value: where to
 *
 * Return: 0, or 1: the guest is to get #UD.
 */
int okvm_get_dr(struct okvm_vcpu *vcpu, int dr, unsigned long *value)
{
	dr = resolve(vcpu, dr);
	if (dr < 0)
		return 1;
	if (dr < 4)
		*value = vcpu->dbg.db[dr];
	else
		*value = dr == 6 ? vcpu->dbg.dr6 : vcpu->dbg.dr7;
	return 0;
}

/**
 * okvm_set_dr - MOV to a debug register
 * @vcpu: the vCPU, loaded
 * @dr: 0 to 7; 4 and 5 with CR4.DE set are the caller's to refuse with #UD
 * @value: the value
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_dr(struct okvm_vcpu *vcpu, int dr, unsigned long value)
{
	dr = resolve(vcpu, dr);
	if (dr < 0)
		return 1;
	if (dr < 4) {
		vcpu->dbg.db[dr] = value;
		return 0;
	}
	if (upper_32_bits(value))
		return 1;
	if (dr == 6)
		vcpu->dbg.dr6 = (value & DR6_WRITABLE) | DR6_IDLE;
	else
		vcpu->dbg.dr7 = (value & DR7_WRITABLE) | DR7_IDLE;
	okvm_backend->set_debug(vcpu);
	return 0;
}

/** okvm_get_debugregs - KVM_GET_DEBUGREGS */
long okvm_get_debugregs(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_debugregs *regs = arg;

	memset(regs, 0, sizeof(*regs));
	memcpy(regs->db, vcpu->dbg.db, sizeof(regs->db));
	regs->dr6 = vcpu->dbg.dr6;
	regs->dr7 = vcpu->dbg.dr7;
	return 0;
}

/**
 * okvm_set_debugregs - KVM_SET_DEBUGREGS
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_debugregs
 *
 * Return: 0, or -EINVAL: flags, or a DR6 or DR7 of more than 32 bits.
 */
long okvm_set_debugregs(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_debugregs *regs = arg;

	if (regs->flags || upper_32_bits(regs->dr6) || upper_32_bits(regs->dr7))
		return -EINVAL;
	memcpy(vcpu->dbg.db, regs->db, sizeof(regs->db));
	vcpu->dbg.dr6 = regs->dr6;
	vcpu->dbg.dr7 = regs->dr7;
	okvm_backend->set_debug(vcpu);
	return 0;
}

/**
 * okvm_debug_exit - tell a debugger in user space: KVM_EXIT_DEBUG
 * @vcpu: the vCPU; RIP is where user space shall see it
 * @vector: X86_TRAP_DB or X86_TRAP_BP
 * @dr6: of a #DB, what happened
 *
 * Return: RESUME_USER.
 */
int okvm_debug_exit(struct okvm_vcpu *vcpu, u8 vector, u64 dr6)
{
	struct kvm_debug_exit_arch *arch = &vcpu->run->debug.arch;

	memset(arch, 0, sizeof(*arch));
	arch->exception = vector;
	arch->pc = okvm_linear_rip(vcpu);
	if (vector == X86_TRAP_DB) {
		arch->dr6 = dr6 | DR6_IDLE;
		arch->dr7 = vcpu->dbg.host_dr7;
	}
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	return RESUME_USER;
}

/**
 * okvm_stepped - an instruction that the CPU did not execute is over, and RFLAGS.TF was set
 * @vcpu: the vCPU
 *
 * Return: RESUME_USER: it was a debugger's step; RESUME_GUEST: the guest gets its #DB.
 */
int okvm_stepped(struct okvm_vcpu *vcpu)
{
	if (okvm_user_steps(vcpu))
		return okvm_debug_exit(vcpu, X86_TRAP_DB, DR_STEP);
	okvm_queue_exception_payload(vcpu, X86_TRAP_DB, DR_STEP);
	return RESUME_GUEST;
}

static int inject(struct okvm_vcpu *vcpu, u32 control)
{
	if (vcpu->ev.exception.pending)
		return -EBUSY;
	okvm_queue_exception(vcpu, control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB : X86_TRAP_BP);
	return 0;
}

/**
 * okvm_set_guest_debug - KVM_SET_GUEST_DEBUG
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_guest_debug
 *
 * A step is one instruction from the RIP at this call; user space asks anew for the next.
 *
 * Return: 0; -EINVAL: unknown flags, or a DR7 of more than 32 bits; -EBUSY: an exception to
 * inject, and one waits already. Nothing changed then.
 */
long okvm_set_guest_debug(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_guest_debug *debug = arg;
	u32 control = debug->control;
	unsigned long rflags;
	int err;

	if (control & ~OKVM_GUESTDBG_VALID ||
	    (control & KVM_GUESTDBG_USE_HW_BP && upper_32_bits(debug->arch.debugreg[7])))
		return -EINVAL;
	if (control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		err = inject(vcpu, control);
		if (err)
			return err;
	}
	/* As the guest has it, before the new state decides what is added. */
	rflags = okvm_get_rflags(vcpu);
	vcpu->dbg.guest_debug = control & KVM_GUESTDBG_ENABLE ? control : 0;
	if (host_breakpoints(vcpu)) {
		memcpy(vcpu->dbg.host_db, debug->arch.debugreg, sizeof(vcpu->dbg.host_db));
		vcpu->dbg.host_dr7 = (debug->arch.debugreg[7] & DR7_WRITABLE) | DR7_IDLE;
	}
	if (okvm_user_steps(vcpu))
		vcpu->dbg.singlestep_rip = okvm_linear_rip(vcpu);
	/* Also has interrupts looked for that were held back until now. */
	okvm_set_rflags(vcpu, rflags);
	okvm_backend->set_debug(vcpu);
	okvm_apicv_changed(vcpu);
	return 0;
}
