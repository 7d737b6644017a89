// SPDX-License-Identifier: GPL-2.0-only
/* Into the guest and back, and what of the host an exit does not restore by itself. */
#include <linux/module.h>
#include <asm/cpu_entry_area.h>
#include <asm/desc.h>
#include <asm/hardirq.h>
#include <asm/mce.h>
#include <asm/mmu_context.h>
#include <asm/processor.h>
#include <asm/spec-ctrl.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"
#include "cpu.h"
#include "guest_state.h"

/* ---- L1 terminal fault: the L1D cache must not show the host's data to a guest ---- */

#define L1D_ORDER	4	/* 64 KiB: twice the largest cache that has the bug */

static bool l1d_flush_each;	/* on each entry, else only when the host's data came in */
static bool l1d_flush_needed;
static u8 *l1d_pages;

/* The kernel's own choice (l1tf=), which user space sees in sysfs as well. */
static void choose_l1d_flush(void)
{
	u64 caps = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, caps);
	if (!boot_cpu_has_bug(X86_BUG_L1TF) || caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH) {
		l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_NOT_REQUIRED;
		return;
	}
	switch (l1tf_mitigation) {
	case L1TF_MITIGATION_OFF:
		l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_NEVER;
		return;
	case L1TF_MITIGATION_FULL:
	case L1TF_MITIGATION_FULL_FORCE:
		l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_ALWAYS;
		l1d_flush_each = true;
		break;
	default:
		l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_COND;
	}
	l1d_flush_needed = true;
}

/** vmx_l1d_setup - how the cache is to be flushed on entries; 0 or -ENOMEM */
int vmx_l1d_setup(void)
{
	choose_l1d_flush();
	if (!l1d_flush_needed || boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		return 0;
	l1d_pages = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, L1D_ORDER);
	return l1d_pages ? 0 : -ENOMEM;
}

/** vmx_l1d_unsetup - the end of it */
void vmx_l1d_unsetup(void)
{
	l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_AUTO;
	if (l1d_pages)
		free_pages((unsigned long)l1d_pages, L1D_ORDER);
	l1d_pages = NULL;
}

/* Without the command, fill it with lines that say nothing: first the TLB, then all lines. */
static noinstr void displace_l1d(void)
{
	unsigned long i;

	for (i = 0; i < PAGE_SIZE << L1D_ORDER; i += PAGE_SIZE)
		READ_ONCE(l1d_pages[i]);
	for (i = 0; i < PAGE_SIZE << L1D_ORDER; i += 64)
		READ_ONCE(l1d_pages[i]);
	rmb();
}

static void flush_l1d(struct vmx_vcpu *vmx)
{
	bool interrupted = kvm_get_cpu_l1tf_flush_l1d();

	if (!l1d_flush_each && !vmx->l1d_dirty && !interrupted)
		return;
	vmx->l1d_dirty = false;
	kvm_clear_cpu_l1tf_flush_l1d();
	if (l1d_pages)
		displace_l1d();
	else
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
}

/* Exits whose handling brings nothing secret into the cache: the rest counts as dirty. */
static bool is_plain(enum okvm_exit_kind kind)
{
	return kind == EXIT_CPUID || kind == EXIT_INTR || kind == EXIT_IRQ_WINDOW ||
	       kind == EXIT_NMI_WINDOW || kind == EXIT_TPR_BELOW || kind == EXIT_NONE;
}

/* ---- the host's state ---- */

static unsigned long host_idt;	/* the same on all CPUs */

/** vmx_init_host_state - the host's fields that are the same on all CPUs and at all times */
void vmx_init_host_state(void)
{
	struct desc_ptr idt;
	u64 value;

	vmcs_write(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	store_idt(&idt);
	host_idt = idt.address;
	vmcs_write(HOST_IDTR_BASE, idt.address);
	vmcs_write(HOST_RIP, (unsigned long)vmx_exit_lands);
	rdmsrl(MSR_IA32_CR_PAT, value);
	if (vmx_features.load_pat)
		vmcs_write(HOST_IA32_PAT, value);
	if (vmx_features.load_efer)
		vmcs_write(HOST_IA32_EFER, okvm_hw.host_efer);
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_write(HOST_IA32_SYSENTER_EIP, value);
}

/** vmx_host_state_of_cpu - the host's fields that belong to a CPU; on it, the VMCS current */
void vmx_host_state_of_cpu(struct vmx_vcpu *vmx)
{
	u64 value;

	preempt_disable();
	vmcs_write(HOST_TR_BASE,
		   (unsigned long)&get_cpu_entry_area(smp_processor_id())->tss.x86_tss);
	vmcs_write(HOST_GDTR_BASE, (unsigned long)get_current_gdt_ro());
	rdmsrl(MSR_GS_BASE, value);
	vmcs_write(HOST_GS_BASE, value);
	rdmsrl(MSR_IA32_SYSENTER_ESP, value);
	vmcs_write(HOST_IA32_SYSENTER_ESP, value);
	preempt_enable();
}

/*
 * User space's segments and bases. Exits load FS's base and null selectors; what is not null is
 * put back when the vCPU leaves the CPU, as nothing in the kernel needs it.
 */
static void enter_guest_state(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long fs_base;

	savesegment(es, vmx->host.es);
	savesegment(ds, vmx->host.ds);
	savesegment(fs, vmx->host.fs);
	savesegment(gs, vmx->host.gs);
	store_ldt(vmx->host.ldt);
	rdmsrl(MSR_FS_BASE, fs_base);
	if (fs_base != vmx->host.fs_base) {
		vmx->host.fs_base = fs_base;
		vmcs_write(HOST_FS_BASE, fs_base);
	}
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->host.gs_base_user);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	vmx_load_lazy_msrs(vcpu);
	vmx->in_guest_state = true;
}

/**
 * vmx_leave_guest_state - user space's segments and bases come back
 * @vcpu: the vCPU that leaves the CPU
 *
 * Context: preemption off, on the CPU that the guest last ran on, if it ran.
 */
void vmx_leave_guest_state(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long flags;

	if (!vmx->in_guest_state)
		return;
	vmx->in_guest_state = false;
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	if (unlikely(vmx->host.ldt))
		load_user_ldt(vmx->host.ldt);
	if (unlikely(vmx->host.gs)) {
		local_irq_save(flags);
		load_gs_index(vmx->host.gs);
		local_irq_restore(flags);
	}
	if (unlikely(vmx->host.fs))
		loadsegment(fs, vmx->host.fs);
	if (unlikely(vmx->host.ds | vmx->host.es)) {
		loadsegment(ds, vmx->host.ds);
		loadsegment(es, vmx->host.es);
	}
	if (vmx->host.fs)
		wrmsrl(MSR_FS_BASE, vmx->host.fs_base);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->host.gs_base_user);
	/* Exits leave the largest limits of GDT and the smallest of the TSS. */
	invalidate_tss_limit();
	load_fixmap_gdt(raw_smp_processor_id());
}

/* The host's CR3 and CR4 may change between any two entries. */
static void load_host_control(struct vmx_vcpu *vmx)
{
	unsigned long cr3 = __get_current_cr3_fast(), cr4 = cr4_read_shadow();

	if (unlikely(cr3 != vmx->host.cr3)) {
		vmx->host.cr3 = cr3;
		vmcs_write(HOST_CR3, cr3);
	}
	if (unlikely(cr4 != vmx->host.cr4)) {
		vmx->host.cr4 = cr4;
		vmcs_write(HOST_CR4, cr4);
	}
}

/* ---- the guest's state ---- */

/* The CPU reads and writes TPR in the APIC's page, but leaves what follows from it to us. */
static bool has_tpr_shadow(struct okvm_vcpu *vcpu)
{
	return to_vmx(vcpu)->cpu & CPU_BASED_TPR_SHADOW && !okvm_lapic_hw(vcpu);
}

/* An entry fails with a threshold above the TPR: then nothing is held back any more anyway. */
static void put_tpr(struct okvm_vcpu *vcpu, u8 tpr)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u8 threshold = min(vmx->tpr_limit, tpr);

	if (threshold == vmx->tpr_threshold)
		return;
	vmx->tpr_threshold = threshold;
	vmcs_write(TPR_THRESHOLD, threshold);
}

static void fetch_tpr(struct okvm_vcpu *vcpu, u8 before)
{
	u8 now = okvm_lapic_get_tpr(vcpu);

	if (now != before)
		okvm_lapic_set_tpr(vcpu, now);
}

/*
 * The timer counts in the guest only: how far it has to go is known now. It goes down whenever the
 * bit above TSC[timer_shift - 1:0] changes. Rounded so that the guest never is early.
 *
 * Return: false: the time is up.
 */
static bool load_timer(struct vmx_vcpu *vmx)
{
	u8 shift = vmx_features.timer_shift;
	u64 now, until = vmx->timer_tsc;

	if (likely(!until)) {
		if (!vmx->timer_idle)
			vmcs_write(VMX_PREEMPTION_TIMER_VALUE, U32_MAX);
		vmx->timer_idle = true;
		return true;
	}
	now = rdtsc();
	if (unlikely(now >= until))
		return false;
	until = (until + BIT_ULL(shift) - 1) >> shift;
	vmcs_write(VMX_PREEMPTION_TIMER_VALUE, min_t(u64, until - (now >> shift), U32_MAX));
	vmx->timer_idle = false;
	return true;
}

static void put_registers(struct okvm_vcpu *vcpu)
{
	unsigned int dirty = vcpu->regs_dirty;

	if (dirty & BIT(REG_RIP)) {
		vmcs_write(GUEST_RIP, vcpu->regs[REG_RIP]);
		vmx_leave_halt(vcpu);
	}
	if (dirty & BIT(REG_RSP))
		vmcs_write(GUEST_RSP, vcpu->regs[REG_RSP]);
	if (dirty & BIT(REG_RFLAGS))
		vmcs_write(GUEST_RFLAGS, vmx_show_task(vcpu, vcpu->regs[REG_RFLAGS]));
	vcpu->regs_dirty = 0;
	if (to_vmx(vcpu)->intr_dirty || dirty & BIT(REG_RFLAGS))
		vmx_load_interruptibility(vcpu);
	/* DR6 has no place in the VMCS. It is only looked at while the guest may read it itself. */
	if (unlikely(vcpu->dbg.guest_owns))
		set_debugreg(vcpu->dbg.dr6, 6);
}

/* RSP, RIP, RFLAGS, CR3, segments and blocking stay in the VMCS until somebody asks. */
static void forget_registers(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long dr6;

	vcpu->regs_avail = ~(u32)(BIT(REG_RSP) | BIT(REG_RIP) | BIT(REG_RFLAGS) | BIT(REG_CR3));
	vmx->intr_known = false;
	/* A task of ours has its own TSS and no LDT. */
	vmx->seg_known = vmx->restricted.real ? BIT(SEG_LDTR) | BIT(SEG_TR) : 0;
	if (unlikely(vcpu->dbg.guest_owns)) {
		get_debugreg(dr6, 6);
		vcpu->dbg.dr6 = dr6;
		vcpu->dbg.dr7 = vmcs_read(GUEST_DR7);
		set_debugreg(DR6_IDLE, 6);
	}
}

/* ---- the switch ---- */

static noinstr void switch_worlds(struct okvm_vcpu *vcpu, struct vmx_enter *args)
{
	guest_state_enter();
	/* CR2 is the guest's own and in no field. */
	if (vcpu->cr2 != native_read_cr2())
		native_write_cr2(vcpu->cr2);
	vmx_enter(args);
	vcpu->cr2 = native_read_cr2();
	guest_state_exit();
}

/* What ended the guest's run though it is the host's business, now, with interrupts off. */
static void handle_host_event(u32 reason)
{
	struct pt_regs as_from_user = { .cs = __USER_CS, .flags = X86_EFLAGS_IF };
	u32 info;

	if ((u16)reason == EXIT_REASON_MCE_DURING_VMENTRY) {
		do_machine_check(&as_from_user);
		return;
	}
	if ((u16)reason == EXIT_REASON_EXTERNAL_INTERRUPT && vmx_features.posted) {
		/* The exit has acknowledged it: nobody else will take it. */
		info = vmcs_read(VM_EXIT_INTR_INFO) & INTR_INFO_VECTOR_MASK;
		vmx_host_interrupt(gate_offset((gate_desc *)host_idt + info));
		return;
	}
	if ((u16)reason != EXIT_REASON_EXCEPTION_NMI)
		return;
	info = vmcs_read(VM_EXIT_INTR_INFO);
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
		vmx_host_nmi();
	else if ((info & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC)
		do_machine_check(&as_from_user);
}

/* The guest did not run. What was to be injected still is, and is put there anew. */
static void entry_failed(struct okvm_vcpu *vcpu, u64 why)
{
	vcpu->exit.kind = EXIT_FAIL_ENTRY;
	vcpu->exit.hw_reason = why;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	okvm_request(vcpu, REQ_EVENT);
}

static void prepare(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (unlikely(!vmx->in_guest_state))
		enter_guest_state(vcpu);
	put_registers(vcpu);
	load_host_control(vmx);
	if (unlikely(vmx->flush))
		vmx_flush_now(vmx);
	if (vmx_features.perf)
		vmx_switch_perf_msrs(vmx);
	if (l1d_flush_needed)
		flush_l1d(vmx);
	vmx->enter.guest_spec = vmx->spec_ctrl;
	vmx->enter.host_spec = this_cpu_read(x86_spec_ctrl_current);
}

/*
 * Can the exit have come while an event was being delivered? Those of instructions cannot: the
 * field would say so, and costs a read.
 */
static bool may_interrupt_delivery(u32 reason)
{
	switch ((u16)reason) {
	case EXIT_REASON_CPUID:
	case EXIT_REASON_HLT:
	case EXIT_REASON_IO_INSTRUCTION:
	case EXIT_REASON_MSR_READ:
	case EXIT_REASON_MSR_WRITE:
	case EXIT_REASON_CR_ACCESS:
	case EXIT_REASON_VMCALL:
	case EXIT_REASON_PAUSE_INSTRUCTION:
	case EXIT_REASON_EXTERNAL_INTERRUPT:
	case EXIT_REASON_PREEMPTION_TIMER:
	case EXIT_REASON_INTERRUPT_WINDOW:
	case EXIT_REASON_NMI_WINDOW:
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
		return false;
	default:
		return true;
	}
}

/* What is to be done first, as an exit that has not been; EXIT_KINDS: nothing. */
static enum okvm_exit_kind instead_of_entry(struct okvm_vcpu *vcpu)
{
	if (unlikely(READ_ONCE(okvm_rebooting))) {
		okvm_request(vcpu, REQ_DEAD);
		return EXIT_NONE;
	}
	if (vmx_features.timer && unlikely(!load_timer(to_vmx(vcpu))))
		return EXIT_TIMER;
	if (vmx_features.apicv && vcpu->lapic && unlikely(!vmx_sync_apic(vcpu)))
		return EXIT_NONE;
	return unlikely(vmx_must_emulate(vcpu)) ? EXIT_EMULATE : EXIT_KINDS;
}

/**
 * vmx_run - enter the guest, leave it, describe why
 * @vcpu: the vCPU, loaded
 *
 * Context: interrupts and preemption off.
 */
void vmx_run(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool shadow = has_tpr_shadow(vcpu);
	u8 tpr = shadow ? okvm_lapic_get_tpr(vcpu) : 0;
	u32 reason, vectoring;

	vcpu->exit.kind = instead_of_entry(vcpu);
	if (unlikely(vcpu->exit.kind != EXIT_KINDS))
		return;
	prepare(vcpu);
	if (shadow)
		put_tpr(vcpu, tpr);
	if (unlikely(vmx->nmi.masked))
		vmx->nmi.entered = rdtsc();

	switch_worlds(vcpu, &vmx->enter);

	if (unlikely(vmx->host.debugctl))
		update_debugctlmsr(vmx->host.debugctl);
	forget_registers(vcpu);
	if (unlikely(vmx->enter.failed)) {
		entry_failed(vcpu, vmcs_read(VM_INSTRUCTION_ERROR));
		return;
	}
	reason = vmcs_read(VM_EXIT_REASON);
	vmx_count_exit(vmx, reason);
	/* The host's event may be the call of one who waits for what the guest wrote. */
	if (unlikely(vmx->cpu2 & SECONDARY_EXEC_ENABLE_PML))
		vmx_drain_pml(vcpu);
	handle_host_event(reason);
	if (unlikely(reason & VMX_EXIT_REASONS_FAILED_VMENTRY)) {
		entry_failed(vcpu, reason);
		return;
	}
	vmx->enter.launched = true;
	if (shadow)
		fetch_tpr(vcpu, tpr);
	vectoring = may_interrupt_delivery(reason) ? vmcs_read(IDT_VECTORING_INFO_FIELD) : 0;
	vmx_take_back_events(vcpu, vectoring);
	if (unlikely(vmx->nmi.masked))
		vmx_guess_nmi_mask(vcpu, reason);
	vmx_decode_exit(vcpu, reason, vectoring);
	vmx->l1d_dirty |= !is_plain(vcpu->exit.kind);
}
