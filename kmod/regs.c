// SPDX-License-Identifier: GPL-2.0-only
/* General, segment, table and control registers as user space reads and writes them. */
#include <linux/bitops.h>
#include <asm/processor-flags.h>

#include "regs.h"
#include "vmm.h"

/** okvm_get_segment - a segment register with its hidden part; vCPU loaded */
void okvm_get_segment(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which)
{
	memset(seg, 0, sizeof(*seg));
	okvm_backend->get_segment(vcpu, seg, which);
}

/** okvm_set_segment - load a segment register, hidden part and all; vCPU loaded */
void okvm_set_segment(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which)
{
	okvm_backend->set_segment(vcpu, seg, which);
}

/** okvm_cpl - the current privilege level, 0 to 3; vCPU loaded */
int okvm_cpl(struct okvm_vcpu *vcpu)
{
	return okvm_backend->cpl(vcpu);
}

/** okvm_64bit_code - is the guest in 64-bit mode (not compatibility mode)? vCPU loaded */
bool okvm_64bit_code(struct okvm_vcpu *vcpu)
{
	return okvm_long_mode(vcpu) && okvm_backend->long_code(vcpu);
}

/** okvm_linear_rip - the linear address of the next instruction; vCPU loaded */
u64 okvm_linear_rip(struct okvm_vcpu *vcpu)
{
	struct kvm_segment cs;

	if (okvm_64bit_code(vcpu))
		return okvm_rip(vcpu);
	okvm_get_segment(vcpu, &cs, SEG_CS);
	return (u32)(cs.base + okvm_rip(vcpu));
}

/** okvm_get_rflags - RFLAGS as the guest has it: the debugger's own TF is hidden */
unsigned long okvm_get_rflags(struct okvm_vcpu *vcpu)
{
	unsigned long rflags = okvm_reg(vcpu, REG_RFLAGS);

	return okvm_user_steps(vcpu) ? rflags & ~(unsigned long)X86_EFLAGS_TF : rflags;
}

/** okvm_set_rflags - write RFLAGS; a step that the debugger asked for at this RIP stays */
void okvm_set_rflags(struct okvm_vcpu *vcpu, unsigned long rflags)
{
	rflags |= X86_EFLAGS_FIXED;
	if (okvm_user_steps(vcpu) && okvm_linear_rip(vcpu) == vcpu->dbg.singlestep_rip)
		rflags |= X86_EFLAGS_TF;
	okvm_reg_set(vcpu, REG_RFLAGS, rflags);
	okvm_request(vcpu, REQ_EVENT);
}

/* Where each general register is in struct kvm_regs, in hardware order. */
static const u8 regs_offset[] = {
	[REG_RAX] = offsetof(struct kvm_regs, rax), [REG_RCX] = offsetof(struct kvm_regs, rcx),
	[REG_RDX] = offsetof(struct kvm_regs, rdx), [REG_RBX] = offsetof(struct kvm_regs, rbx),
	[REG_RSP] = offsetof(struct kvm_regs, rsp), [REG_RBP] = offsetof(struct kvm_regs, rbp),
	[REG_RSI] = offsetof(struct kvm_regs, rsi), [REG_RDI] = offsetof(struct kvm_regs, rdi),
	[REG_R8] = offsetof(struct kvm_regs, r8),   [REG_R9] = offsetof(struct kvm_regs, r9),
	[REG_R10] = offsetof(struct kvm_regs, r10), [REG_R11] = offsetof(struct kvm_regs, r11),
	[REG_R12] = offsetof(struct kvm_regs, r12), [REG_R13] = offsetof(struct kvm_regs, r13),
	[REG_R14] = offsetof(struct kvm_regs, r14), [REG_R15] = offsetof(struct kvm_regs, r15),
	[REG_RIP] = offsetof(struct kvm_regs, rip),
};

static void get_regs(struct okvm_vcpu *vcpu, struct kvm_regs *regs)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(regs_offset); i++)
		*(u64 *)((char *)regs + regs_offset[i]) = okvm_reg(vcpu, i);
	regs->rflags = okvm_get_rflags(vcpu);
}

static void set_regs(struct okvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(regs_offset); i++)
		okvm_reg_set(vcpu, i, *(const u64 *)((const char *)regs + regs_offset[i]));
	okvm_set_rflags(vcpu, regs->rflags);
	vcpu->ev.exception.pending = false;
}

/**
 * okvm_get_regs - KVM_GET_REGS
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_regs
 */
long okvm_get_regs(struct okvm_vcpu *vcpu, void *arg)
{
	get_regs(vcpu, arg);
	return 0;
}

/**
 * okvm_set_regs - KVM_SET_REGS; an exception that waits is dropped
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_regs
 */
long okvm_set_regs(struct okvm_vcpu *vcpu, void *arg)
{
	set_regs(vcpu, arg);
	return 0;
}

static const struct {
	u16 offset;
	u8 which;
} segments[] = {
	{ offsetof(struct kvm_sregs, cs), SEG_CS },
	{ offsetof(struct kvm_sregs, ds), SEG_DS },
	{ offsetof(struct kvm_sregs, es), SEG_ES },
	{ offsetof(struct kvm_sregs, fs), SEG_FS },
	{ offsetof(struct kvm_sregs, gs), SEG_GS },
	{ offsetof(struct kvm_sregs, ss), SEG_SS },
	{ offsetof(struct kvm_sregs, tr), SEG_TR },
	{ offsetof(struct kvm_sregs, ldt), SEG_LDTR },
};

static void get_sregs(struct okvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	int i;

	memset(sregs, 0, sizeof(*sregs));
	for (i = 0; i < ARRAY_SIZE(segments); i++)
		okvm_get_segment(vcpu, (void *)sregs + segments[i].offset, segments[i].which);
	okvm_backend->get_table(vcpu, &sregs->gdt, false);
	okvm_backend->get_table(vcpu, &sregs->idt, true);
	sregs->cr0 = vcpu->cr0;
	sregs->cr2 = vcpu->cr2;
	sregs->cr3 = okvm_cr3(vcpu);
	sregs->cr4 = vcpu->cr4;
	sregs->cr8 = okvm_get_cr8(vcpu);
	sregs->efer = vcpu->efer;
	sregs->apic_base = vcpu->apic_base;
	if (vcpu->ev.irq.injected && !vcpu->ev.irq.soft)
		__set_bit(vcpu->ev.irq.vector, (unsigned long *)sregs->interrupt_bitmap);
}

/* A state that no sequence of guest instructions reaches is refused. */
static bool valid_sregs(struct okvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if (sregs->efer & EFER_LME && sregs->cr0 & X86_CR0_PG) {
		if (!(sregs->cr4 & X86_CR4_PAE) || !(sregs->efer & EFER_LMA))
			return false;
		if (sregs->cr3 & vcpu->cpuid.reserved_gpa)
			return false;
	} else if (sregs->efer & EFER_LMA || sregs->cs.l) {
		return false;
	}
	if (sregs->efer & ~okvm_host_efer_valid())
		return false;
	return okvm_valid_cr4(vcpu, sregs->cr4) && okvm_valid_cr0(vcpu, sregs->cr0);
}

static void set_control_registers(struct okvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	unsigned long old_cr0 = vcpu->cr0, old_cr3 = okvm_cr3(vcpu), old_cr4 = vcpu->cr4;
	u64 old_efer = vcpu->efer;

	vcpu->cr2 = sregs->cr2;
	vcpu->cr3 = sregs->cr3;
	vcpu->cr0 = sregs->cr0 | X86_CR0_ET;
	vcpu->cr4 = sregs->cr4;
	vcpu->efer = sregs->efer;
	okvm_cr_changed(vcpu, old_cr0, old_cr4, old_efer);
	okvm_backend->set_cr(vcpu, 3);
	okvm_mmu_new_cr3(vcpu);
	if (old_cr3 != vcpu->cr3)
		okvm_request(vcpu, REQ_TLB_FLUSH_GUEST);
	/* A priority that is out of range is dropped, as ever. */
	okvm_set_cr8(vcpu, sregs->cr8);
}

/* Old VMMs reset a vCPU by its registers alone, and count on this to let the boot CPU run. */
static bool looks_like_reset(struct okvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return vcpu->id == vcpu->vm->bsp_id && okvm_rip(vcpu) == 0xfff0 &&
	       sregs->cs.selector == 0xf000 && sregs->cs.base == 0xffff0000 &&
	       !(sregs->cr0 & X86_CR0_PE);
}

static void set_user_irq(struct okvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	unsigned int vector = find_first_bit((const unsigned long *)sregs->interrupt_bitmap,
					     KVM_NR_INTERRUPTS);

	if (vector >= KVM_NR_INTERRUPTS)
		return;
	vcpu->ev.irq.injected = true;
	vcpu->ev.irq.soft = false;
	vcpu->ev.irq.vector = vector;
}

static int set_sregs(struct okvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	int i;

	if (!valid_sregs(vcpu, sregs) || okvm_lapic_set_base(vcpu, sregs->apic_base, true))
		return -EINVAL;
	okvm_backend->set_table(vcpu, &sregs->gdt, false);
	okvm_backend->set_table(vcpu, &sregs->idt, true);
	set_control_registers(vcpu, sregs);
	for (i = 0; i < ARRAY_SIZE(segments); i++)
		okvm_set_segment(vcpu, (const void *)sregs + segments[i].offset, segments[i].which);
	okvm_cpuid_update_runtime(vcpu);
	if (looks_like_reset(vcpu, sregs))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	set_user_irq(vcpu, sregs);
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}

/**
 * okvm_get_sregs - KVM_GET_SREGS
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_sregs
 */
long okvm_get_sregs(struct okvm_vcpu *vcpu, void *arg)
{
	get_sregs(vcpu, arg);
	return 0;
}

/**
 * okvm_set_sregs - KVM_SET_SREGS
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_sregs
 *
 * Return: 0, or -EINVAL for a state that a CPU cannot have; nothing changed then.
 */
long okvm_set_sregs(struct okvm_vcpu *vcpu, void *arg)
{
	return set_sregs(vcpu, arg);
}

/* What the two structs have in common is the same; only one can say what interrupt is under way. */
#define SREGS_COMMON	offsetof(struct kvm_sregs, interrupt_bitmap)
static_assert(SREGS_COMMON == offsetof(struct kvm_sregs2, flags));
static_assert(offsetof(struct kvm_sregs, cr0) == offsetof(struct kvm_sregs2, cr0));

/* As the CPU has them; one that keeps none has what is in memory. */
static bool get_pdptes(struct okvm_vcpu *vcpu, u64 pdpte[4])
{
	if (!okvm_pae_paging(vcpu))
		return false;
	if (!okvm_backend->get_pdptes)
		return !okvm_read_pdptes(vcpu, okvm_cr3(vcpu), pdpte);
	okvm_backend->get_pdptes(vcpu, pdpte);
	return true;
}

/**
 * okvm_get_sregs2 - KVM_GET_SREGS2
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_sregs2
 */
long okvm_get_sregs2(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_sregs2 *sregs2 = arg;
	struct kvm_sregs sregs;

	get_sregs(vcpu, &sregs);
	memcpy(sregs2, &sregs, SREGS_COMMON);
	sregs2->flags = get_pdptes(vcpu, sregs2->pdptrs) ? KVM_SREGS2_FLAGS_PDPTRS_VALID : 0;
	return 0;
}

/**
 * okvm_set_sregs2 - KVM_SET_SREGS2
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_sregs2
 *
 * KVM API document, 4.134. Without KVM_SREGS2_FLAGS_PDPTRS_VALID, PAE paging's four first entries
 * are read from memory before the guest runs, and always on a CPU that does not keep them.
 *
 * Return: 0, or -EINVAL: unknown flags, entries without PAE paging or that the CPU would not load,
 * or a state that a CPU cannot have; nothing changed then.
 */
long okvm_set_sregs2(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_sregs2 *sregs2 = arg;
	bool pdptes = sregs2->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	struct kvm_sregs sregs = { };
	int err;

	if (sregs2->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (pdptes && (!(sregs2->cr0 & X86_CR0_PG) || !(sregs2->cr4 & X86_CR4_PAE) ||
		       sregs2->efer & EFER_LMA))
		return -EINVAL;
	if (pdptes && okvm_backend->set_pdptes && !okvm_valid_pdptes(vcpu, sregs2->pdptrs))
		return -EINVAL;
	memcpy(&sregs, sregs2, SREGS_COMMON);
	err = set_sregs(vcpu, &sregs);
	if (!err && pdptes && okvm_backend->set_pdptes)
		okvm_backend->set_pdptes(vcpu, sregs2->pdptrs);
	return err;
}

/* The page is shared with user space, which may write it at any time: copy, then look. */
static noinline long take_dirty_regs(struct okvm_vcpu *vcpu, u64 dirty)
{
	struct kvm_run *run = vcpu->run;
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_vcpu_events events;
	} copy;
	long r = 0;

	if (dirty & KVM_SYNC_X86_REGS) {
		memcpy(&copy.regs, &run->s.regs.regs, sizeof(copy.regs));
		barrier_data(&copy);
		set_regs(vcpu, &copy.regs);
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		memcpy(&copy.sregs, &run->s.regs.sregs, sizeof(copy.sregs));
		barrier_data(&copy);
		r = set_sregs(vcpu, &copy.sregs);
	}
	if (!r && dirty & KVM_SYNC_X86_EVENTS) {
		memcpy(&copy.events, &run->s.regs.events, sizeof(copy.events));
		barrier_data(&copy);
		r = okvm_set_events(vcpu, &copy.events);
	}
	return r;
}

/**
 * okvm_sync_regs_load - take the registers that user space left in kvm_run
 * @vcpu: the vCPU, loaded, at the start of KVM_RUN
 *
 * KVM API document, KVM_CAP_SYNC_REGS.
 *
 * Return: 0, or -EINVAL: unknown fields, or registers that their ioctl refuses.
 */
int okvm_sync_regs_load(struct okvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid = READ_ONCE(run->kvm_valid_regs), dirty = READ_ONCE(run->kvm_dirty_regs);
	long r;

	if (likely(!valid && !dirty))
		return 0;
	if ((valid | dirty) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	r = take_dirty_regs(vcpu, dirty);
	if (!r)
		run->kvm_dirty_regs = 0;
	return r;
}

/**
 * okvm_sync_regs_store - leave the registers that user space wants in kvm_run
 * @vcpu: the vCPU, loaded, at the end of KVM_RUN
 */
void okvm_sync_regs_store(struct okvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid = READ_ONCE(run->kvm_valid_regs);

	if (likely(!valid))
		return;
	if (valid & KVM_SYNC_X86_REGS)
		get_regs(vcpu, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		get_sregs(vcpu, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		okvm_get_events(vcpu, &run->s.regs.events);
}
