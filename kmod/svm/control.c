// SPDX-License-Identifier: GPL-2.0-only
/* The VMCB's control area: what exits, and the first state. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ratelimit.h>
#include <asm/fpu/api.h>

#include "svm/svm.h"

/* Always intercepted. CR8 writes, IRET, VINTR, CR0 and CR4 reads come and go. */
static const u8 intercepts[] = {
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT,
	INTERCEPT_RDPMC, INTERCEPT_CPUID, INTERCEPT_RSM, INTERCEPT_INVD, INTERCEPT_HLT,
	INTERCEPT_INVLPGA, INTERCEPT_IOIO_PROT, INTERCEPT_MSR_PROT, INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD, INTERCEPT_VMSAVE, INTERCEPT_STGI,
	INTERCEPT_CLGI, INTERCEPT_SKINIT, INTERCEPT_WBINVD, INTERCEPT_MONITOR, INTERCEPT_MWAIT,
	INTERCEPT_XSETBV, INTERCEPT_RDPRU,
	INTERCEPT_CR0_WRITE, INTERCEPT_CR4_WRITE, INTERCEPT_CR8_WRITE,
};

/* And these without nested paging. */
static const u8 shadow_intercepts[] = {
	INTERCEPT_CR3_READ, INTERCEPT_CR3_WRITE, INTERCEPT_INVLPG, INTERCEPT_TASK_SWITCH,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_PF,
};

/* What user space leaves to the guest: KVM_CAP_X86_DISABLE_EXITS. C-states have no MSRs here. */
static void disable_exits(struct okvm_vcpu *vcpu, struct vmcb *vmcb)
{
	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_HLT))
		svm_clear_intercept(vmcb, INTERCEPT_HLT);
	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_MWAIT)) {
		svm_clear_intercept(vmcb, INTERCEPT_MONITOR);
		svm_clear_intercept(vmcb, INTERCEPT_MWAIT);
	}
	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_PAUSE))
		svm_clear_intercept(vmcb, INTERCEPT_PAUSE);
}

static void set_intercepts(struct okvm_vcpu *vcpu, struct vmcb *vmcb)
{
	int i;

	memset(vmcb->control.intercepts, 0, sizeof(vmcb->control.intercepts));
	for (i = 0; i < ARRAY_SIZE(intercepts); i++)
		svm_set_intercept(vmcb, intercepts[i]);
	/* The other vendor's VMCALL. */
	svm_set_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_UD);
	/* A guest could keep the CPU in the delivery of #AC or #DB for ever. */
	svm_set_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_AC);
	svm_set_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_DB);
	svm_set_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_MC);
	for (i = 0; !okvm_hw.tdp && i < ARRAY_SIZE(shadow_intercepts); i++)
		svm_set_intercept(vmcb, shadow_intercepts[i]);
	if (boot_cpu_has(X86_FEATURE_PAUSEFILTER)) {
		vmcb->control.pause_filter_count = 3000;
		if (boot_cpu_has(X86_FEATURE_PFTHRESHOLD))
			vmcb->control.pause_filter_thresh = 128;
		svm_set_intercept(vmcb, INTERCEPT_PAUSE);
	}
	disable_exits(vcpu, vmcb);
}

/**
 * svm_vcpu_reset - the control area after power-up or INIT
 * @vcpu: the vCPU; segments and control registers are set by the caller afterwards
 * @init: INIT
 */
void svm_vcpu_reset(struct okvm_vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;

	set_intercepts(vcpu, svm->vmcb);
	control->clean = 0;
	control->iopm_base_pa = page_to_phys(svm_iopm);
	svm_set_msr_exits(vcpu);
	control->int_ctl = V_INTR_MASKING_MASK;
	control->int_vector = control->int_state = 0;
	control->event_inj = control->exit_int_info = 0;
	control->nested_ctl = okvm_hw.tdp ? SVM_NESTED_CTL_NP_ENABLE : 0;
	svm->vmcb->save.g_pat = vcpu->pat;
	svm->vmcb->save.dbgctl = 0;
	svm->vmcb->save.dr7 = DR7_IDLE;
	svm->virq = svm->nmi_masked = svm->iret_window = svm->nmi_step = false;
	if (!init)
		svm->spec_ctrl = svm->virt_spec_ctrl = svm->tsc_aux = 0;
}

/** svm_set_root - the table that the guest runs on, of the second level or its shadow */
void svm_set_root(struct okvm_vcpu *vcpu, u64 root_hpa)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	if (okvm_hw.tdp) {
		vmcb->control.nested_cr3 = root_hpa;
		svm_dirty(vmcb, CLEAN_NPT);
	} else {
		vmcb->save.cr3 = root_hpa;
		svm_dirty(vmcb, CLEAN_CR);
	}
	svm_flush_tlb(vcpu);
}

/** svm_set_tsc - vcpu->tsc changed */
void svm_set_tsc(struct okvm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->control.tsc_offset = vcpu->tsc.offset;
	svm_dirty(vmcb, CLEAN_INTERCEPTS);
}

static void intercept_debug_registers(struct vmcb *vmcb, bool on)
{
	u32 all = 0xff << (INTERCEPT_DR0_READ % 32) | 0xff << (INTERCEPT_DR0_WRITE % 32);
	u32 *word = &vmcb->control.intercepts[INTERCEPT_DR];

	*word = on ? *word | all : *word & ~all;
	svm_dirty(vmcb, CLEAN_INTERCEPTS);
}

/** svm_set_debug - who has the debug registers, and what a debugger in user space wants */
void svm_set_debug(struct okvm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	bool host = vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_HW_BP;

	vmcb->save.dr7 = host ? vcpu->dbg.host_dr7 : vcpu->dbg.dr7;
	svm_dirty(vmcb, CLEAN_DR);
	intercept_debug_registers(vmcb, !vcpu->dbg.guest_owns);
	if (vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_SW_BP)
		svm_set_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_BP);
	else
		svm_clear_intercept(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_BP);
}

/** svm_set_cpuid - the guest's CPUID changed: INVPCID is #UD for a guest without it */
void svm_set_cpuid(struct okvm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	if (boot_cpu_has(X86_FEATURE_INVPCID) && !guest_has(vcpu, GUEST_INVPCID))
		svm_set_intercept(vmcb, INTERCEPT_INVPCID);
	else
		svm_clear_intercept(vmcb, INTERCEPT_INVPCID);
	if (boot_cpu_has(X86_FEATURE_RDTSCP) && !guest_has(vcpu, GUEST_RDTSCP))
		svm_set_intercept(vmcb, INTERCEPT_RDTSCP);
	else
		svm_clear_intercept(vmcb, INTERCEPT_RDTSCP);
}

/** svm_flush_tlb - forget all of the guest's translations before the next entry */
void svm_flush_tlb(struct okvm_vcpu *vcpu)
{
	if (boot_cpu_has(X86_FEATURE_FLUSHBYASID))
		to_vmcb(vcpu)->control.tlb_ctl = TLB_CONTROL_FLUSH_ASID;
	else
		to_svm(vcpu)->asid_generation = 0;
}

/** svm_dump - the VMCB in the log, a few times */
void svm_dump(struct okvm_vcpu *vcpu)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 2);
	const struct vmcb_control_area *c = &to_vmcb(vcpu)->control;
	const struct vmcb_save_area *s = &to_vmcb(vcpu)->save;

	if (!__ratelimit(&limit))
		return;
	pr_info("vCPU %d: exit %#x info %#llx %#llx intinfo %#x\n", vcpu->id, c->exit_code,
		c->exit_info_1, c->exit_info_2, c->exit_int_info);
	pr_info("intercepts %#x %#x %#x %#x %#x %#x asid %u int_ctl %#x int_state %#x inj %#x\n",
		c->intercepts[0], c->intercepts[1], c->intercepts[2], c->intercepts[3],
		c->intercepts[4], c->intercepts[5], c->asid, c->int_ctl, c->int_state,
		c->event_inj);
	pr_info("rip %#llx rsp %#llx rflags %#llx cpl %u efer %#llx\n", s->rip, s->rsp, s->rflags,
		s->cpl, s->efer);
	pr_info("cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx dr6 %#llx dr7 %#llx ncr3 %#llx\n", s->cr0,
		s->cr2, s->cr3, s->cr4, s->dr6, s->dr7, c->nested_cr3);
	pr_info("cs %04x %04x %08x %#llx ss %04x %04x %08x %#llx tr %04x %04x %08x %#llx\n",
		s->cs.selector, s->cs.attrib, s->cs.limit, s->cs.base, s->ss.selector, s->ss.attrib,
		s->ss.limit, s->ss.base, s->tr.selector, s->tr.attrib, s->tr.limit, s->tr.base);
}
