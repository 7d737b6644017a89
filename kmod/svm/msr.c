// SPDX-License-Identifier: GPL-2.0-only
/* MSRs that the VMCB holds, the permission map, and TSC_AUX, which nothing switches for us. */
#include <linux/slab.h>
#include <linux/user-return-notifier.h>

#include "svm/svm.h"

/* APM vol. 2, 15.11 "MSR Intercepts": two bits an MSR, three ranges of 0x2000 in 2 KiB each. */
#define MSRPM_ORDER	1
#define MSRPM_RANGE	0x2000u

static const u32 range_base[] = { 0, 0xc0000000, 0xc0010000 };

/* Switched by VMLOAD and VMSAVE: the guest may have them without an exit. */
static const u32 passed_through[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
	MSR_FS_BASE, MSR_GS_BASE,
};

/* For all vCPUs; the second for those whose guest may not have all that the first gives it. */
static struct page *msrpm, *msrpm_all;

static struct page *make_map(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, MSRPM_ORDER);

	if (page)
		memset(page_address(page), 0xff, PAGE_SIZE << MSRPM_ORDER);
	return page;
}

static void pass_through(u32 msr)
{
	unsigned long *map = page_address(msrpm);
	u32 i, bit;

	for (i = 0; i < ARRAY_SIZE(range_base); i++) {
		if (msr - range_base[i] >= MSRPM_RANGE)
			continue;
		bit = (i * MSRPM_RANGE + (msr - range_base[i])) * 2;
		__clear_bit(bit, map);
		__clear_bit(bit + 1, map);
	}
}

/** svm_msr_setup - the permission maps that all vCPUs share; 0 or -ENOMEM */
int svm_msr_setup(void)
{
	int i;

	msrpm = make_map();
	msrpm_all = make_map();
	if (!msrpm || !msrpm_all)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(passed_through); i++)
		pass_through(passed_through[i]);
	return 0;
}

/** svm_msr_unsetup - free what there is of them */
void svm_msr_unsetup(void)
{
	if (msrpm)
		__free_pages(msrpm, MSRPM_ORDER);
	if (msrpm_all)
		__free_pages(msrpm_all, MSRPM_ORDER);
	msrpm = msrpm_all = NULL;
}

/** svm_set_msr_exits - which MSRs exit: all, once user space filters one of the others */
void svm_set_msr_exits(struct okvm_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	struct page *map = msrpm;
	int i;

	for (i = 0; i < ARRAY_SIZE(passed_through); i++)
		if (okvm_msr_is_filtered(vcpu, passed_through[i]))
			map = msrpm_all;
	vmcb->control.msrpm_base_pa = page_to_phys(map);
	svm_dirty(vmcb, CLEAN_PERMISSIONS);
}

/* The VMCB's field for an MSR, or NULL. */
static u64 *field(struct vmcb_save_area *save, u32 index)
{
	switch (index) {
	case MSR_STAR:
		return &save->star;
	case MSR_LSTAR:
		return &save->lstar;
	case MSR_CSTAR:
		return &save->cstar;
	case MSR_SYSCALL_MASK:
		return &save->sfmask;
	case MSR_KERNEL_GS_BASE:
		return &save->kernel_gs_base;
	case MSR_FS_BASE:
		return &save->fs.base;
	case MSR_GS_BASE:
		return &save->gs.base;
	case MSR_IA32_SYSENTER_CS:
		return &save->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &save->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &save->sysenter_eip;
	case MSR_IA32_CR_PAT:
		return &save->g_pat;
	default:
		return NULL;
	}
}

/* @registered: the CPU has a guest's value, until it returns to user space */
struct tsc_aux_switch {
	struct user_return_notifier notifier;
	u64 host, current_value;
	bool registered;
};

static DEFINE_PER_CPU(struct tsc_aux_switch, tsc_aux);

static void restore_tsc_aux(struct user_return_notifier *notifier)
{
	struct tsc_aux_switch *s = container_of(notifier, struct tsc_aux_switch, notifier);
	unsigned long flags;

	local_irq_save(flags);
	if (s->registered) {
		s->registered = false;
		user_return_notifier_unregister(notifier);
	}
	if (s->current_value != s->host)
		wrmsrl(MSR_TSC_AUX, s->host);
	s->current_value = s->host;
	local_irq_restore(flags);
}

/**
 * svm_load_tsc_aux - the guest's RDTSCP reads the CPU's own TSC_AUX: give it the guest's
 * @vcpu: the vCPU being loaded; preemption off
 *
 * The kernel does not use it: the host's value comes back with the return to user space.
 */
void svm_load_tsc_aux(struct okvm_vcpu *vcpu)
{
	struct tsc_aux_switch *s = this_cpu_ptr(&tsc_aux);
	u64 value = to_svm(vcpu)->tsc_aux;
	unsigned long flags;

	if (likely(s->current_value == value) ||
	    (!guest_has(vcpu, GUEST_RDTSCP) && !guest_has(vcpu, GUEST_RDPID)))
		return;
	local_irq_save(flags);
	if (!s->registered) {
		s->notifier.on_user_return = restore_tsc_aux;
		user_return_notifier_register(&s->notifier);
		s->registered = true;
	}
	wrmsrl(MSR_TSC_AUX, value);
	s->current_value = value;
	local_irq_restore(flags);
}

/** svm_note_tsc_aux - this CPU takes SVM up: what TSC_AUX is the host's; irqs off */
void svm_note_tsc_aux(void)
{
	struct tsc_aux_switch *s = this_cpu_ptr(&tsc_aux);

	if (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID))
		rdmsrl(MSR_TSC_AUX, s->host);
	s->current_value = s->host;
}

static void drop_tsc_aux(void *unused)
{
	struct tsc_aux_switch *s = this_cpu_ptr(&tsc_aux);

	if (s->registered)
		restore_tsc_aux(&s->notifier);
}

/** svm_drop_tsc_aux - this CPU gives SVM up: no notifier may outlive the module; irqs off */
void svm_drop_tsc_aux(void)
{
	drop_tsc_aux(NULL);
}

/** svm_get_msr - 0 with @data filled, or 1: not this backend's */
int svm_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 *value = field(&svm->vmcb->save, index);

	if (value)
		*data = *value;
	else if (index == MSR_TSC_AUX)
		*data = svm->tsc_aux;
	else if (index == MSR_IA32_SPEC_CTRL)
		*data = svm->spec_ctrl;
	else
		return 1;
	return 0;
}

/** svm_set_msr - 0, or 1: not this backend's; the value has been checked */
int svm_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 *value = field(&svm->vmcb->save, index);

	if (value) {
		*value = data;
		if (index == MSR_IA32_CR_PAT)
			svm_dirty(svm->vmcb, CLEAN_NPT);
		else if (index == MSR_FS_BASE || index == MSR_GS_BASE)
			svm_dirty(svm->vmcb, CLEAN_SEG);
	} else if (index == MSR_TSC_AUX) {
		svm->tsc_aux = data;
		preempt_disable();
		svm_load_tsc_aux(vcpu);
		preempt_enable();
	} else if (index == MSR_IA32_SPEC_CTRL) {
		svm->spec_ctrl = data;
		if (boot_cpu_has(X86_FEATURE_V_SPEC_CTRL))
			svm->vmcb->save.spec_ctrl = data;
	} else {
		return 1;
	}
	return 0;
}
