// SPDX-License-Identifier: GPL-2.0-only
/* MSRs: those in the VMCS, those that only user space's return needs, those that entries switch. */
#include <linux/user-return-notifier.h>
#include <asm/perf_event.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"

/* SDM vol. 3, 24.6.9 "MSR-Bitmap Address": 1 KiB each for reads and writes, low and high MSRs. */
#define BITMAP_WRITES	2048
#define BITMAP_HIGH	1024
#define HIGH_MSRS	0xc0000000

/* The VMCS, or vmx_run(), switches these: the guest may have them without an exit. */
static const u32 guest_owned[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* How long the core was idle: KVM_X86_DISABLE_EXITS_CSTATE. */
static const u32 residency[] = {
	MSR_CORE_C1_RES, MSR_CORE_C3_RESIDENCY, MSR_CORE_C6_RESIDENCY, MSR_CORE_C7_RESIDENCY,
};

#define X2APIC_MSR(reg)		(APIC_BASE_MSR + ((reg) >> 4))
#define X2APIC_MSRS		0x100

/*
 * Virtualized x2APIC mode. Reads come out of the page, whatever is there: what is no register must
 * exit. These writes are the ones that the CPU knows what to do about.
 */
static void give_x2apic(u8 *map)
{
	u32 msr;

	for (msr = APIC_BASE_MSR; msr < APIC_BASE_MSR + X2APIC_MSRS; msr++)
		if (okvm_lapic_x2apic_readable(msr))
			__clear_bit(msr, (unsigned long *)map);
	map += BITMAP_WRITES;
	__clear_bit(X2APIC_MSR(APIC_TASKPRI), (unsigned long *)map);
	__clear_bit(X2APIC_MSR(APIC_EOI), (unsigned long *)map);
	__clear_bit(X2APIC_MSR(APIC_SELF_IPI), (unsigned long *)map);
}

/* The bitmaps that vCPUs share: index bits. */
#define FOR_X2APIC	BIT(0)	/* the CPU virtualizes their x2APIC */
#define FOR_FILTERED	BIT(1)	/* the guest may not have all of guest_owned[] */
#define FOR_CSTATE	BIT(2)	/* the guest sees how long the CPU's core was idle */
#define BITMAPS		8

static u8 *bitmaps[BITMAPS];

/* All below 0x2000, and only to read. */
static void give_residency(u8 *map)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(residency); i++)
		__clear_bit(residency[i], (unsigned long *)map);
}

static void give_guest_owned(u8 *map)
{
	u8 *reads;
	int i;

	for (i = 0; i < ARRAY_SIZE(guest_owned); i++) {
		reads = map + (guest_owned[i] >= HIGH_MSRS ? BITMAP_HIGH : 0);
		__clear_bit(guest_owned[i] & 0x1fff, (unsigned long *)reads);
		__clear_bit(guest_owned[i] & 0x1fff, (unsigned long *)(reads + BITMAP_WRITES));
	}
}

/** vmx_msr_setup - make the bitmaps; 0 or -ENOMEM */
int vmx_msr_setup(void)
{
	int i;

	for (i = 0; i < BITMAPS; i++) {
		bitmaps[i] = (void *)__get_free_page(GFP_KERNEL);
		if (!bitmaps[i])
			return -ENOMEM;
		memset(bitmaps[i], 0xff, PAGE_SIZE);
		if (!(i & FOR_FILTERED))
			give_guest_owned(bitmaps[i]);
		if (i & FOR_X2APIC)
			give_x2apic(bitmaps[i]);
		if (i & FOR_CSTATE)
			give_residency(bitmaps[i]);
	}
	return 0;
}

/** vmx_msr_unsetup - free what there is of them */
void vmx_msr_unsetup(void)
{
	int i;

	for (i = 0; i < BITMAPS; i++) {
		free_page((unsigned long)bitmaps[i]);
		bitmaps[i] = NULL;
	}
}

static bool any_filtered(struct okvm_vcpu *vcpu, const u32 *msrs, int n)
{
	while (n--)
		if (okvm_msr_is_filtered(vcpu, msrs[n]))
			return true;
	return false;
}

/** vmx_set_msr_exits - which MSRs exit: user space's filter, or the APIC's mode, is another */
void vmx_set_msr_exits(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int which = 0;

	if (vmx->cpu2 & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE)
		which |= FOR_X2APIC;
	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_CSTATE) &&
	    !any_filtered(vcpu, residency, ARRAY_SIZE(residency)))
		which |= FOR_CSTATE;
	if (any_filtered(vcpu, guest_owned, ARRAY_SIZE(guest_owned)))
		which |= FOR_FILTERED;
	if (vmx->msr_bitmap == bitmaps[which])
		return;
	vmx->msr_bitmap = bitmaps[which];
	vmcs_write(MSR_BITMAP, __pa(bitmaps[which]));
}

/* ---- lazy MSRs ---- */

static const u32 lazy_index[LAZY_MSRS] = {
	[LAZY_STAR] = MSR_STAR,
	[LAZY_LSTAR] = MSR_LSTAR,
	[LAZY_CSTAR] = MSR_CSTAR,
	[LAZY_SFMASK] = MSR_SYSCALL_MASK,
	[LAZY_TSC_AUX] = MSR_TSC_AUX,
};

static int lazy_slot(u32 index)
{
	int i;

	for (i = 0; i < LAZY_MSRS; i++)
		if (lazy_index[i] == index)
			return i;
	return -1;
}

/* A CPU's lazy MSRs: what user space wants there, and what is there. */
struct lazy_cpu {
	struct user_return_notifier notifier;
	u64 users[LAZY_MSRS], now[LAZY_MSRS];
	bool armed;
};

static DEFINE_PER_CPU(struct lazy_cpu, lazy_cpus);

static bool has_lazy(int slot)
{
	return slot != LAZY_TSC_AUX || boot_cpu_has(X86_FEATURE_RDTSCP) ||
	       boot_cpu_has(X86_FEATURE_RDPID);
}

/* Also called with interrupts on. One that ends up here from an interrupt finds nothing to do. */
static void give_back(struct user_return_notifier *notifier)
{
	struct lazy_cpu *c = container_of(notifier, struct lazy_cpu, notifier);
	unsigned long flags;
	int i;

	local_irq_save(flags);
	if (c->armed)
		user_return_notifier_unregister(notifier);
	c->armed = false;
	local_irq_restore(flags);
	for (i = 0; i < LAZY_MSRS; i++) {
		if (c->now[i] == c->users[i])
			continue;
		wrmsrl(lazy_index[i], c->users[i]);
		c->now[i] = c->users[i];
	}
}

/** vmx_read_lazy_msrs - what this CPU has for user space, as the kernel set it; irqs off */
void vmx_read_lazy_msrs(void)
{
	struct lazy_cpu *c = this_cpu_ptr(&lazy_cpus);
	int i;

	for (i = 0; i < LAZY_MSRS; i++) {
		if (has_lazy(i))
			rdmsrl(lazy_index[i], c->users[i]);
		c->now[i] = c->users[i];
	}
}

/* From here to the next return to user space the MSRs may be the guest's. */
static void arm(struct lazy_cpu *c)
{
	c->notifier.on_user_return = give_back;
	user_return_notifier_register(&c->notifier);
	c->armed = true;
}

/**
 * vmx_load_lazy_msrs - the guest's SYSCALL MSRs and TSC_AUX into the CPU, where they differ
 * @vcpu: the vCPU
 *
 * The kernel uses none of them between here and its next return to user space.
 *
 * Context: interrupts off.
 */
void vmx_load_lazy_msrs(struct okvm_vcpu *vcpu)
{
	struct lazy_cpu *c = this_cpu_ptr(&lazy_cpus);
	const u64 *wanted = to_vmx(vcpu)->lazy;
	int i;

	if (!c->armed)
		arm(c);
	for (i = 0; i < LAZY_MSRS; i++) {
		/* SYSCALL is #UD without EFER.SCE: its MSRs may as well stay. */
		if (i != LAZY_TSC_AUX && !(vcpu->efer & EFER_SCE))
			continue;
		if (c->now[i] == wanted[i] || !has_lazy(i))
			continue;
		wrmsrl(lazy_index[i], wanted[i]);
		c->now[i] = wanted[i];
	}
}

/** vmx_drop_lazy_msrs - no notifier may outlive this CPU's use of VMX; interrupts off */
void vmx_drop_lazy_msrs(void)
{
	struct lazy_cpu *c = this_cpu_ptr(&lazy_cpus);

	if (c->armed)
		give_back(&c->notifier);
}

/* ---- MSRs that entries and exits switch ---- */

static void put_entry(struct vmx_vcpu *vmx, u32 i, u32 index, u64 guest, u64 host)
{
	vmx->autoload_guest[i].index = vmx->autoload_host[i].index = index;
	vmx->autoload_guest[i].value = guest;
	vmx->autoload_host[i].value = host;
}

static void put_entries(struct vmx_vcpu *vmx, u32 n)
{
	if (n == vmx->autoload_n)
		return;
	vmx->autoload_n = n;
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, n);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, n);
}

/**
 * vmx_autoload - have entries and exits load an MSR for which the VMCS has no fields
 * @vmx: the vCPU's part, its VMCS current
 * @index: the MSR
 * @guest: its value in the guest
 * @host: and in the host
 */
void vmx_autoload(struct vmx_vcpu *vmx, u32 index, u64 guest, u64 host)
{
	u32 i;

	for (i = 0; i < vmx->autoload_fixed; i++)
		if (vmx->autoload_guest[i].index == index)
			break;
	put_entry(vmx, i, index, guest, host);
	if (i < vmx->autoload_fixed)
		return;
	/* Those of perf are put behind it before the next entry. */
	vmx->autoload_fixed++;
	put_entries(vmx, vmx->autoload_fixed);
}

/** vmx_put_pat - vcpu->pat is the guest's PAT from the next entry on */
void vmx_put_pat(struct okvm_vcpu *vcpu)
{
	u64 host;

	if (vmx_features.load_pat) {
		vmcs_write(GUEST_IA32_PAT, vcpu->pat);
		return;
	}
	rdmsrl(MSR_IA32_CR_PAT, host);
	vmx_autoload(to_vmx(vcpu), MSR_IA32_CR_PAT, vcpu->pat, host);
}

/* IA32_PERF_GLOBAL_CTRL has fields: switch it, or (NULL) do not. */
static void put_global_ctrl(struct vmx_vcpu *vmx, const struct perf_guest_switch_msr *msr)
{
	bool on = vmx->entry_ctls & VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL;

	if (on != !!msr) {
		vmx->entry_ctls ^= VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL;
		vmx->exit ^= VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL;
		vmcs_write(VM_ENTRY_CONTROLS, vmx->entry_ctls);
		vmcs_write(VM_EXIT_CONTROLS, vmx->exit);
	}
	if (!msr || (on && msr->guest == vmx->perf_guest && msr->host == vmx->perf_host))
		return;
	vmx->perf_guest = msr->guest;
	vmx->perf_host = msr->host;
	vmcs_write(GUEST_IA32_PERF_GLOBAL_CTRL, msr->guest);
	vmcs_write(HOST_IA32_PERF_GLOBAL_CTRL, msr->host);
}

/**
 * vmx_switch_perf_msrs - have the host's counters stop while the guest runs, if perf says so
 * @vmx: the vCPU's part
 *
 * Above all PEBS must not write its records at the guest's linear addresses.
 *
 * Context: interrupts off, right before the entry.
 */
void vmx_switch_perf_msrs(struct vmx_vcpu *vmx)
{
	const struct perf_guest_switch_msr *msrs, *global = NULL;
	u32 used = vmx->autoload_fixed;
	int i, n = 0;

	msrs = perf_guest_get_msrs(&n, NULL);
	for (i = 0; msrs && i < n && used < VMX_AUTOLOAD; i++) {
		if (msrs[i].host == msrs[i].guest)
			continue;
		if (msrs[i].msr == MSR_CORE_PERF_GLOBAL_CTRL && vmx_features.load_perf)
			global = &msrs[i];
		else
			put_entry(vmx, used++, msrs[i].msr, msrs[i].guest, msrs[i].host);
	}
	put_entries(vmx, used);
	if (vmx_features.load_perf)
		put_global_ctrl(vmx, global);
}

/* ---- what common code asks for ---- */

static u64 get_kernel_gs_base(struct vmx_vcpu *vmx)
{
	u64 base;

	preempt_disable();
	base = vmx->kernel_gs_base;
	if (vmx->in_guest_state)
		rdmsrl(MSR_KERNEL_GS_BASE, base);
	preempt_enable();
	return base;
}

static void set_kernel_gs_base(struct vmx_vcpu *vmx, u64 base)
{
	preempt_disable();
	if (vmx->in_guest_state)
		wrmsrl(MSR_KERNEL_GS_BASE, base);
	vmx->kernel_gs_base = base;
	preempt_enable();
}

/* The VMCS's field for an MSR, or 0. */
static u32 vmcs_field(u32 index)
{
	switch (index) {
	case MSR_IA32_SYSENTER_CS:
		return GUEST_SYSENTER_CS;
	case MSR_IA32_SYSENTER_ESP:
		return GUEST_SYSENTER_ESP;
	case MSR_IA32_SYSENTER_EIP:
		return GUEST_SYSENTER_EIP;
	default:
		return 0;
	}
}

/** vmx_get_msr - 0 with @data filled, or 1: not this backend's */
int vmx_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 in_vmcs = vmcs_field(index);
	int slot = lazy_slot(index);

	if (slot >= 0)
		*data = vmx->lazy[slot];
	else if (unlikely(vmx->restricted.real) && index == MSR_IA32_SYSENTER_CS)
		*data = vmx->restricted.sysenter_cs;
	else if (in_vmcs)
		*data = vmcs_read(in_vmcs);
	else if (index == MSR_FS_BASE || index == MSR_GS_BASE)
		*data = vmx_segment_base(vcpu, index == MSR_FS_BASE ? SEG_FS : SEG_GS);
	else if (index == MSR_KERNEL_GS_BASE)
		*data = get_kernel_gs_base(vmx);
	else if (index == MSR_IA32_SPEC_CTRL)
		*data = vmx->spec_ctrl;
	else
		return 1;
	return 0;
}

/** vmx_lazy_msrs_changed - the guest's values, or its EFER.SCE, are others now */
void vmx_lazy_msrs_changed(struct okvm_vcpu *vcpu)
{
	unsigned long flags;

	local_irq_save(flags);
	if (to_vmx(vcpu)->in_guest_state)
		vmx_load_lazy_msrs(vcpu);
	local_irq_restore(flags);
}

/** vmx_set_msr - 0, or 1: not this backend's; the value has been checked */
int vmx_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 in_vmcs = vmcs_field(index);
	int slot = lazy_slot(index);

	if (slot >= 0) {
		/* SYSCALL's flags: the upper half is reserved, and writing it would fault here. */
		if (slot == LAZY_SFMASK && upper_32_bits(data))
			return 1;
		vmx->lazy[slot] = data;
		vmx_lazy_msrs_changed(vcpu);
	} else if (unlikely(vmx->restricted.real) && index == MSR_IA32_SYSENTER_CS) {
		vmx->restricted.sysenter_cs = data;
	} else if (in_vmcs) {
		vmcs_write(in_vmcs, data);
	} else if (index == MSR_FS_BASE || index == MSR_GS_BASE) {
		vmx_set_segment_base(vcpu, index == MSR_FS_BASE ? SEG_FS : SEG_GS, data);
	} else if (index == MSR_KERNEL_GS_BASE) {
		set_kernel_gs_base(vmx, data);
	} else if (index == MSR_IA32_CR_PAT) {
		vmx_put_pat(vcpu);
	} else if (index == MSR_IA32_SPEC_CTRL) {
		vmx->spec_ctrl = data;
	} else {
		return 1;
	}
	return 0;
}
