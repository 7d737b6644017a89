// SPDX-License-Identifier: GPL-2.0-only
/* Into the guest and back. */
#include <asm/mce.h>
#include <asm/spec-ctrl.h>

#include "cpu.h"
#include "guest_state.h"
#include "svm/svm.h"
#include "svm/svm_ops.h"

/* An ASID of its own flushes the guest's TLB entries: the old ones are never used again. */
static void new_asid(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (cpu->next_asid > svm_max_asid) {
		cpu->generation++;
		cpu->next_asid = 1;
		control->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	}
	svm->asid_generation = cpu->generation;
	control->asid = cpu->next_asid++;
	svm_dirty(svm->vmcb, CLEAN_ASID);
}

static u64 guest_tpr(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic ? okvm_lapic_get_tpr(vcpu) : vcpu->cr8;
}

/* With V_INTR_MASKING the guest reads and writes its TPR as CR8 without an exit. */
static void load_tpr(struct okvm_vcpu *vcpu, struct vmcb_control_area *control, u64 tpr)
{
	if ((control->int_ctl & V_TPR_MASK) == tpr)
		return;
	control->int_ctl = (control->int_ctl & ~V_TPR_MASK) | tpr;
	svm_dirty(to_vmcb(vcpu), CLEAN_INTR);
}

static void store_tpr(struct okvm_vcpu *vcpu, struct vmcb_control_area *control, u64 tpr)
{
	u64 now = control->int_ctl & V_TPR_MASK;

	if (now == tpr)
		return;
	if (vcpu->lapic)
		okvm_lapic_set_tpr(vcpu, now);
	else
		vcpu->cr8 = now;
}

static void load_regs(struct okvm_vcpu *vcpu, struct svm_vcpu *svm)
{
	struct vmcb_save_area *save = &svm->vmcb->save;

	save->rax = vcpu->regs[REG_RAX];
	save->rsp = vcpu->regs[REG_RSP];
	save->rip = vcpu->regs[REG_RIP];
	save->rflags = vcpu->regs[REG_RFLAGS];
	if (unlikely(svm->nmi_step)) {
		svm->nmi_step_rflags = save->rflags;
		save->rflags |= X86_EFLAGS_TF | X86_EFLAGS_RF;
	}
	if (save->cr2 != vcpu->cr2) {
		save->cr2 = vcpu->cr2;
		svm_dirty(svm->vmcb, CLEAN_CR2);
	}
	if (save->dr6 != vcpu->dbg.dr6) {
		save->dr6 = vcpu->dbg.dr6;
		svm_dirty(svm->vmcb, CLEAN_DR);
	}
}

static void store_regs(struct okvm_vcpu *vcpu, struct svm_vcpu *svm)
{
	struct vmcb_save_area *save = &svm->vmcb->save;

	vcpu->regs[REG_RAX] = save->rax;
	vcpu->regs[REG_RSP] = save->rsp;
	vcpu->regs[REG_RIP] = save->rip;
	vcpu->regs[REG_RFLAGS] = save->rflags;
	if (unlikely(svm->nmi_step) && !(svm->nmi_step_rflags & X86_EFLAGS_TF))
		vcpu->regs[REG_RFLAGS] &= ~(X86_EFLAGS_TF | X86_EFLAGS_RF);
	vcpu->regs_avail = ~(u32)BIT(REG_CR3);
	vcpu->regs_dirty = 0;
	vcpu->cr2 = save->cr2;
	vcpu->dbg.dr6 = save->dr6;
	if (unlikely(vcpu->dbg.guest_owns))
		vcpu->dbg.dr7 = save->dr7;
}

/* The intercepted machine check is the host's: hand it over as if it had hit user code. */
static void host_machine_check(void)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
}

/* The guest did not run. What was to be injected still is, and is put there anew. */
static void entry_failed(struct okvm_vcpu *vcpu)
{
	svm_restore_state(to_svm(vcpu));
	vcpu->exit.kind = EXIT_FAIL_ENTRY;
	vcpu->exit.hw_reason = (u32)SVM_EXIT_ERR;
	okvm_request(vcpu, REQ_EVENT);
}

static noinstr void switch_worlds(struct svm_enter *args)
{
	guest_state_enter();
	svm_enter(args);
	guest_state_exit();
}

/**
 * svm_run - enter the guest, leave it, describe why
 * @vcpu: the vCPU, loaded
 *
 * Context: interrupts and preemption off. GIF is clear from before the last state goes in until the
 * host's is back, so that an NMI finds a whole host.
 */
void svm_run(struct okvm_vcpu *vcpu)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;
	u64 tpr = guest_tpr(vcpu);

	if (unlikely(READ_ONCE(okvm_rebooting))) {
		okvm_request(vcpu, REQ_DEAD);
		vcpu->exit.kind = EXIT_NONE;
		return;
	}
	load_regs(vcpu, svm);
	load_tpr(vcpu, control, tpr);
	if (unlikely(svm->asid_generation != cpu->generation))
		new_asid(svm, cpu);
	svm->enter.host_pa = page_to_phys(cpu->host);
	svm->enter.spec_ctrl = x86_spec_ctrl_base | svm->spec_ctrl;
	svm->enter.host_spec_ctrl = this_cpu_read(x86_spec_ctrl_current);
	svm_keep_state(svm);

	/* For injected page faults: Bochs' VMRUN does not load it. */
	if (!okvm_hw.tdp)
		write_cr2(svm->vmcb->save.cr2);
	clgi();
	switch_worlds(&svm->enter);
	stgi();

	if (unlikely(control->exit_code == (u32)SVM_EXIT_ERR)) {
		entry_failed(vcpu);
		return;
	}
	if (unlikely(control->exit_code == SVM_EXIT_EXCP_BASE + MC_VECTOR))
		host_machine_check();
	store_regs(vcpu, svm);
	store_tpr(vcpu, control, tpr);
	control->clean = ~0u;
	control->tlb_ctl = TLB_CONTROL_DO_NOTHING;
	svm_take_back_events(vcpu);
	if (unlikely(svm->iret_window))
		svm_check_iret_done(vcpu);
	svm_decode_exit(vcpu);
}
