// SPDX-License-Identifier: GPL-2.0-only
/* What the CPU can do, and the VMCS's control fields made of it. SDM vol. 3, appendix A. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/module.h>
#include <linux/ratelimit.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"
#include "mmu/pte.h"

struct vmx_features vmx_features;

#define FEATURE_PARAM(name, text)		\
	static bool use_##name = true;		\
	module_param_named(name, use_##name, bool, 0444); \
	MODULE_PARM_DESC(name, text " (VMX; default: if the CPU has it)")

FEATURE_PARAM(unrestricted, "real mode without virtual-8086 mode and emulation");
FEATURE_PARAM(vnmi, "the end of NMI handlers seen by the CPU, not guessed");
FEATURE_PARAM(vpid, "tag TLB entries with the vCPU");
FEATURE_PARAM(ept_ad, "accessed and dirty bits in EPT entries");
FEATURE_PARAM(pml, "dirty logs without exits");
FEATURE_PARAM(ept_huge, "2 MiB and 1 GiB pages in EPT");
FEATURE_PARAM(load_efer, "EFER switched by fields of the VMCS, not by a list");
FEATURE_PARAM(load_pat, "PAT, likewise");
FEATURE_PARAM(load_perf, "IA32_PERF_GLOBAL_CTRL, likewise");
FEATURE_PARAM(wbinvd_exits, "WBINVD does nothing in a guest");
FEATURE_PARAM(tpr_shadow, "CR8 without exits");
FEATURE_PARAM(apicv, "the local APIC's registers and interrupts without exits");
FEATURE_PARAM(apic_page, "that in xAPIC mode, too");
FEATURE_PARAM(posted_interrupts, "interrupts from other CPUs without exits");
FEATURE_PARAM(ple, "exits on PAUSE loops");
FEATURE_PARAM(tsc_scaling, "guest TSC rates other than the host's");
FEATURE_PARAM(preemption_timer, "the local APIC's timer without a host timer");
FEATURE_PARAM(rdtscp, "RDTSCP and RDPID for guests");
FEATURE_PARAM(invpcid, "INVPCID for guests");
FEATURE_PARAM(xsaves, "XSAVES for guests");

static bool dump_vmcs = true;
module_param(dump_vmcs, bool, 0644);
MODULE_PARM_DESC(dump_vmcs, "VMX: log the VMCS, a few times, when an entry fails");

/* PAUSEs at most so many ticks apart are a loop; one that lasts so many ticks exits. */
#define PLE_GAP_TICKS		128
#define PLE_WINDOW_TICKS	4096

/* A VMCS page says how it is tagged, with its top bit for shadow VMCSs. */
static u64 basic;

static u64 capability(u32 msr)
{
	u64 value = 0;

	rdmsrl_safe(msr, &value);
	return value;
}

/* A control field's capability: allowed zeros in the low half, allowed ones in the high half. */
static u64 control_capability(u32 msr, u32 true_msr)
{
	return capability(basic & VMX_BASIC_TRUE_CTLS ? true_msr : msr);
}

static bool can_set(u64 cap, u32 bit)
{
	return upper_32_bits(cap) & bit;
}

static bool can_clear(u64 cap, u32 bit)
{
	return !(lower_32_bits(cap) & bit);
}

struct requirement {
	u32 bit;
	const char *name;
};

#define NEEDS(bit, name) { bit, name }

static const struct requirement pin_needs[] = {
	NEEDS(PIN_BASED_EXT_INTR_MASK, "external-interrupt exiting"),
	NEEDS(PIN_BASED_NMI_EXITING, "NMI exiting"),
	{ }
};

static const struct requirement cpu_needs[] = {
	NEEDS(CPU_BASED_HLT_EXITING, "HLT exiting"),
	NEEDS(CPU_BASED_MWAIT_EXITING, "MWAIT exiting"),
	NEEDS(CPU_BASED_MONITOR_EXITING, "MONITOR exiting"),
	NEEDS(CPU_BASED_RDPMC_EXITING, "RDPMC exiting"),
	NEEDS(CPU_BASED_UNCOND_IO_EXITING, "unconditional I/O exiting"),
	NEEDS(CPU_BASED_MOV_DR_EXITING, "MOV-DR exiting"),
	NEEDS(CPU_BASED_CR8_LOAD_EXITING, "CR8-load exiting"),
	NEEDS(CPU_BASED_CR8_STORE_EXITING, "CR8-store exiting"),
	NEEDS(CPU_BASED_USE_TSC_OFFSETTING, "TSC offsetting"),
	NEEDS(CPU_BASED_USE_MSR_BITMAPS, "MSR bitmaps"),
	NEEDS(CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, "secondary controls"),
	{ }
};

/* It comes and goes while a guest runs. */
static const struct requirement cpu_windows[] = {
	NEEDS(CPU_BASED_INTR_WINDOW_EXITING, "interrupt-window exiting"),
	{ }
};

/* Exits that two-dimensional paging makes superfluous. */
static const struct requirement cpu_must_clear[] = {
	NEEDS(CPU_BASED_CR3_LOAD_EXITING, "no exits on CR3 loads"),
	NEEDS(CPU_BASED_CR3_STORE_EXITING, "no exits on CR3 stores"),
	NEEDS(CPU_BASED_INVLPG_EXITING, "no exits on INVLPG"),
	{ }
};

static const struct requirement cpu2_needs[] = {
	NEEDS(SECONDARY_EXEC_ENABLE_EPT, "extended page tables (EPT)"),
	{ }
};

static const struct requirement exit_needs[] = {
	NEEDS(VM_EXIT_HOST_ADDR_SPACE_SIZE, "64-bit host"),
	NEEDS(VM_EXIT_SAVE_DEBUG_CONTROLS, "saving of debug controls"),
	{ }
};

static const struct requirement entry_needs[] = {
	NEEDS(VM_ENTRY_LOAD_DEBUG_CONTROLS, "loading of debug controls"),
	{ }
};

static bool missing(const char *name)
{
	pr_err("requires VMX with %s, which this CPU does not have\n", name);
	return false;
}

/* Set all that is needed in a field's value, or say what cannot be. */
static bool require(u64 cap, const struct requirement *needs, u32 *field)
{
	for (; needs->name; needs++) {
		if (!can_set(cap, needs->bit))
			return missing(needs->name);
		*field |= needs->bit;
	}
	return true;
}

static bool require_clear(u64 cap, const struct requirement *needs)
{
	for (; needs->name; needs++)
		if (!can_clear(cap, needs->bit))
			return missing(needs->name);
	return true;
}

/* Set a bit if it can be and is wanted. */
static bool option(u64 cap, u32 bit, bool wanted, u32 *field)
{
	if (!wanted || !can_set(cap, bit))
		return false;
	*field |= bit;
	return true;
}

/*
 * CPUs whose preemption timer counts at another rate than they say (Intel's specification updates
 * of Nehalem, Westmere and an early Ivy Bridge), by CPUID 1's EAX.
 */
static const u32 slow_timers[] = {
	0x106a0, 0x106a1, 0x106a4, 0x106a5, 0x106e5, 0x20652, 0x20655, 0x206e6, 0x306a8,
};

static bool timer_counts_right(void)
{
	u32 signature = cpuid_eax(1) & 0xfff3fff;
	int i;

	for (i = 0; i < ARRAY_SIZE(slow_timers); i++)
		if (signature == slow_timers[i])
			return false;
	return boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && tsc_khz;
}

static void find_timer(struct vmx_features *f, u64 pin)
{
	u64 misc = capability(MSR_IA32_VMX_MISC);
	bool wanted = use_preemption_timer && timer_counts_right();

	f->timer = option(pin, PIN_BASED_VMX_PREEMPTION_TIMER, wanted, &f->pin);
	f->timer_shift = vmx_misc_preemption_timer_rate(misc);
}

static bool find_primary(struct vmx_features *f)
{
	u64 pin = control_capability(MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS);
	u64 cpu = control_capability(MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS);
	u32 windows = 0;

	if (!require(pin, pin_needs, &f->pin) || !require(cpu, cpu_needs, &f->cpu) ||
	    !require(cpu, cpu_windows, &windows) || !require_clear(cpu, cpu_must_clear))
		return false;
	find_timer(f, pin);
	f->vnmi = can_set(cpu, CPU_BASED_NMI_WINDOW_EXITING) &&
		  option(pin, PIN_BASED_VIRTUAL_NMIS, use_vnmi, &f->pin);
	/* Chosen vCPU by vCPU: only with the local APIC in the kernel. */
	f->tpr_shadow = use_tpr_shadow && can_set(cpu, CPU_BASED_TPR_SHADOW);
	f->pin |= lower_32_bits(pin);
	f->cpu |= lower_32_bits(cpu);
	return true;
}

/* Chosen vCPU by vCPU, like the TPR shadow, which it needs. */
static void find_apicv(struct vmx_features *f, u64 cap2)
{
	u64 pin = control_capability(MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS);
	u64 exit = control_capability(MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS);

	/* A guest that is emulated now and then needs its interrupts from us. */
	f->apicv = use_apicv && f->tpr_shadow && f->unrestricted &&
		   can_set(cap2, SECONDARY_EXEC_APIC_REGISTER_VIRT) &&
		   can_set(cap2, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY) &&
		   can_set(cap2, SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE);
	f->apic_page = use_apic_page && f->apicv &&
		       can_set(cap2, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES);
	/* A posted interrupt is one that the CPU acknowledges: then it does so with all. */
	f->posted = use_posted_interrupts && f->apicv && can_set(pin, PIN_BASED_POSTED_INTR) &&
		    option(exit, VM_EXIT_ACK_INTR_ON_EXIT, true, &f->exit);
}

static bool find_secondary(struct vmx_features *f)
{
	u64 cap = capability(MSR_IA32_VMX_PROCBASED_CTLS2);
	u32 per_guest = 0;

	if (!require(cap, cpu2_needs, &f->cpu2))
		return false;
	f->unrestricted = option(cap, SECONDARY_EXEC_UNRESTRICTED_GUEST, use_unrestricted,
				 &f->cpu2);
	f->vpid = option(cap, SECONDARY_EXEC_ENABLE_VPID, use_vpid, &f->cpu2);
	f->ple = option(cap, SECONDARY_EXEC_PAUSE_LOOP_EXITING, use_ple, &f->cpu2);
	f->tsc_scaling = option(cap, SECONDARY_EXEC_TSC_SCALING, use_tsc_scaling, &f->cpu2);
	f->pml = use_pml && can_set(cap, SECONDARY_EXEC_ENABLE_PML);
	find_apicv(f, cap);
	option(cap, SECONDARY_EXEC_WBINVD_EXITING, use_wbinvd_exits, &f->cpu2);
	/* Not to be turned off: the enclaves are the host's. */
	f->encls = option(cap, SECONDARY_EXEC_ENCLS_EXITING, true, &f->cpu2);
	/* Turned on when the guest's CPUID has them. */
	f->rdtscp = option(cap, SECONDARY_EXEC_ENABLE_RDTSCP, use_rdtscp, &per_guest);
	f->invpcid = option(cap, SECONDARY_EXEC_ENABLE_INVPCID, use_invpcid, &per_guest);
	f->xsaves = option(cap, SECONDARY_EXEC_XSAVES, use_xsaves, &per_guest);
	f->cpu2 |= lower_32_bits(cap);
	return true;
}

/*
 * CPUs whose entries and exits may not load IA32_PERF_GLOBAL_CTRL as they should (Intel's
 * specification updates of Nehalem and Westmere), by model.
 */
static const u8 bad_perf_loads[] = { 26, 30, 37, 44, 46 };

static bool loads_perf_right(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_perf_loads); i++)
		if (boot_cpu_data.x86 == 6 && boot_cpu_data.x86_model == bad_perf_loads[i])
			return false;
	return true;
}

/* What entries load exits load back: a bit of each field. */
static bool both(u64 entry, u32 on_entry, u64 exit, u32 on_exit, bool wanted,
		 struct vmx_features *f)
{
	return wanted && can_set(exit, on_exit) && option(entry, on_entry, true, &f->entry) &&
	       option(exit, on_exit, true, &f->exit);
}

static bool find_switches(struct vmx_features *f)
{
	struct vmx_features on_demand = { };
	u64 exit = control_capability(MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS);
	u64 entry = control_capability(MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS);

	if (!require(exit, exit_needs, &f->exit) || !require(entry, entry_needs, &f->entry))
		return false;
	f->load_efer = both(entry, VM_ENTRY_LOAD_IA32_EFER, exit, VM_EXIT_LOAD_IA32_EFER,
			    use_load_efer, f);
	f->load_pat = both(entry, VM_ENTRY_LOAD_IA32_PAT, exit, VM_EXIT_LOAD_IA32_PAT,
			   use_load_pat, f);
	/* Turned on when perf wants it. */
	f->load_perf = both(entry, VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL,
			    exit, VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL,
			    use_load_perf && loads_perf_right(), &on_demand);
	f->exit |= lower_32_bits(exit);
	f->entry |= lower_32_bits(entry);
	return true;
}

/* What EPT and VPID come with: SDM vol. 3, A.10. */
static bool find_paging(struct vmx_features *f)
{
	u64 cap = capability(MSR_IA32_VMX_EPT_VPID_CAP);
	u32 vpid = cap >> 32;

	if (!(cap & VMX_EPT_PAGE_WALK_4_BIT))
		return missing("EPT of four levels");
	if (!(cap & VMX_EPTP_WB_BIT))
		return missing("EPT structures in write-back memory");
	if (!(cap & VMX_EPT_INVEPT_BIT) || !(cap & VMX_EPT_EXTENT_GLOBAL_BIT))
		return missing("INVEPT");
	f->invept_one = cap & VMX_EPT_EXTENT_CONTEXT_BIT;
	f->ept_ad = use_ept_ad && cap & VMX_EPT_AD_BIT;
	f->pml &= f->ept_ad;
	if (!(vpid & VMX_VPID_INVVPID_BIT) || !(vpid & VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT)) {
		f->vpid = false;
		f->cpu2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	}
	f->invvpid_one = vpid & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT;

	okvm_hw.max_leaf_level = LEVEL_4K;
	if (use_ept_huge && cap & VMX_EPT_2MB_PAGE_BIT)
		okvm_hw.max_leaf_level = cap & VMX_EPT_1GB_PAGE_BIT ? LEVEL_1G : LEVEL_2M;
	return true;
}

static void tell_common_code(const struct vmx_features *f)
{
	okvm_hw.tdp = okvm_hw.ept = true;
	okvm_hw.ept_ad = f->ept_ad;
	okvm_hw.pml = f->pml;
	okvm_hw.tdp_levels = 4;
	okvm_hw.nx = boot_cpu_has(X86_FEATURE_NX);
	okvm_hw.nx_huge_pages = boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
	okvm_hw.nrip = true;
	okvm_hw.decode_assist = true;
	okvm_hw.guest_timer = f->timer;
	okvm_hw.apicv = f->apicv;
	okvm_hw.apic_page = f->apic_page;
	okvm_hw.tsc_scaling = f->tsc_scaling;
	okvm_hw.tsc_frac_bits = 48;
	okvm_hw.tsc_max_ratio = ~0ull;
	okvm_hw.private_pages = f->unrestricted ? 0 : VMX_PRIVATE_PAGES;
	okvm_hw.no_rdtscp = !f->rdtscp;
	okvm_hw.no_invpcid = !f->invpcid;
	okvm_hw.no_xsaves = !f->xsaves;
}

/* From here on they say what is in use. */
static void show_parameters(const struct vmx_features *f)
{
	use_unrestricted = f->unrestricted;
	use_vnmi = f->vnmi;
	use_vpid = f->vpid;
	use_ept_ad = f->ept_ad;
	use_pml = f->pml;
	use_ept_huge = okvm_hw.max_leaf_level > LEVEL_4K;
	use_load_efer = f->load_efer;
	use_load_pat = f->load_pat;
	use_load_perf = f->load_perf;
	use_wbinvd_exits = f->cpu2 & SECONDARY_EXEC_WBINVD_EXITING;
	use_tpr_shadow = f->tpr_shadow;
	use_apicv = f->apicv;
	use_apic_page = f->apic_page;
	use_posted_interrupts = f->posted;
	use_ple = f->ple;
	use_tsc_scaling = f->tsc_scaling;
	use_preemption_timer = f->timer;
	use_rdtscp = f->rdtscp;
	use_invpcid = f->invpcid;
	use_xsaves = f->xsaves;
}

/**
 * vmx_find_features - read the capability MSRs: can okvm run here, and on what?
 *
 * Context: module load.
 * Return: 0 with vmx_features and okvm_hw filled, or -EOPNOTSUPP, the reason logged.
 */
int vmx_find_features(void)
{
	struct vmx_features *f = &vmx_features;

	basic = capability(MSR_IA32_VMX_BASIC);
	f->revision = vmx_basic_vmcs_revision_id(basic);
	if (vmx_basic_vmcs_size(basic) > PAGE_SIZE) {
		missing("a VMCS of at most a page");
		return -EOPNOTSUPP;
	}
	if (((basic & VMX_BASIC_MEM_TYPE_MASK) >> VMX_BASIC_MEM_TYPE_SHIFT) !=
	    VMX_BASIC_MEM_TYPE_WB) {
		missing("a VMCS in write-back memory");
		return -EOPNOTSUPP;
	}
	if (!find_primary(f) || !find_secondary(f) || !find_switches(f) || !find_paging(f))
		return -EOPNOTSUPP;
	/* Unrestricted guests may turn protection and paging off all the same. */
	f->cr0_on = capability(MSR_IA32_VMX_CR0_FIXED0);
	if (f->unrestricted)
		f->cr0_on &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
	f->cr4_on = capability(MSR_IA32_VMX_CR4_FIXED0);
	f->perf = boot_cpu_has(X86_FEATURE_ARCH_PERFMON);
	tell_common_code(f);
	show_parameters(f);
	return 0;
}

/* ---- a vCPU's fields ---- */

/**
 * vmx_control - set or clear a bit of the primary controls
 * @vmx: the vCPU's part, its VMCS current
 * @bit: CPU_BASED_*
 * @on: set it
 */
void vmx_control(struct vmx_vcpu *vmx, u32 bit, bool on)
{
	u32 value = on ? vmx->cpu | bit : vmx->cpu & ~bit;

	if (value == vmx->cpu)
		return;
	vmx->cpu = value;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, value);
}

/** vmx_control2 - the same with bits of the secondary controls, SECONDARY_EXEC_* */
void vmx_control2(struct vmx_vcpu *vmx, u32 bits, bool on)
{
	u32 value = on ? vmx->cpu2 | bits : vmx->cpu2 & ~bits;

	if (value == vmx->cpu2)
		return;
	vmx->cpu2 = value;
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, value);
}

/**
 * vmx_intercept_exception - exit when the guest raises an exception, or do not
 * @vmx: the vCPU's part, its VMCS current
 * @vector: the exception
 * @on: exit
 */
void vmx_intercept_exception(struct vmx_vcpu *vmx, u8 vector, bool on)
{
	u32 value = on ? vmx->exceptions | BIT(vector) : vmx->exceptions & ~BIT(vector);

	if (value == vmx->exceptions)
		return;
	vmx->exceptions = value;
	if (!vmx->restricted.task)
		vmcs_write(EXCEPTION_BITMAP, value);
}

/* What user space leaves to the guest: KVM_CAP_X86_DISABLE_EXITS. C-states are MSRs. */
static void disable_exits(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_HLT))
		vmx->cpu &= ~CPU_BASED_HLT_EXITING;
	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_MWAIT))
		vmx->cpu &= ~(CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING);
	if (okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_PAUSE))
		vmx->cpu2 &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
}

static void write_controls(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool shadow = vmx_features.tpr_shadow && vcpu->lapic;

	vmx->pin = vmx_features.pin;
	vmx->cpu = vmx_features.cpu;
	vmx->cpu2 = vmx_features.cpu2 | (vmx->cpu2 & SECONDARY_EXEC_ENABLE_PML);
	vmx->exit = vmx_features.exit;
	vmx->entry_ctls = vmx_features.entry;
	if (shadow) {
		vmx->cpu |= CPU_BASED_TPR_SHADOW;
		vmx->cpu &= ~(CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING);
	}
	disable_exits(vcpu);
	/* All tags are taken: this one flushes on each entry and exit. */
	if (!vmx->vpid)
		vmx->cpu2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, vmx->pin);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx->cpu);
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, vmx->cpu2);
	vmcs_write(VM_EXIT_CONTROLS, vmx->exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx->entry_ctls);
	if (vmx->cpu2 & SECONDARY_EXEC_ENABLE_VPID)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (shadow) {
		vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(okvm_lapic_page(vcpu)));
		vmcs_write(TPR_THRESHOLD, 0);
	}
	vmx->tpr_threshold = vmx->tpr_limit = 0;
	vmx->timer_idle = false;
}

/* Fields that nobody writes again. */
static void write_constants(struct vmx_vcpu *vmx)
{
	vmcs_write(VMCS_LINK_POINTER, ~0ul);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_ADDR, __pa(vmx->autoload_host));
	vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->autoload_guest));
	vmx->autoload_n = vmx->autoload_fixed = 0;
	/* All bits of CR0 and CR4 are ours: reads see the shadow, a write that changes exits. */
	vmcs_write(CR0_GUEST_HOST_MASK, ~0ul);
	vmcs_write(CR4_GUEST_HOST_MASK, ~0ul);
	if (vmx_features.ple) {
		vmcs_write(PLE_GAP, PLE_GAP_TICKS);
		vmcs_write(PLE_WINDOW, PLE_WINDOW_TICKS);
	}
	if (vmx_features.encls)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ul);
	if (vmx_features.xsaves)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	vmx_init_host_state();
	vmx->enter.host_rsp = 0;
	vmx->host.cr3 = vmx->host.cr4 = 0;
	vmx_host_state_of_cpu(vmx);
}

/**
 * vmx_vcpu_reset - the VMCS after power-up or INIT
 * @vcpu: the vCPU; segments and control registers are set by the caller afterwards
 * @init: INIT
 */
void vmx_vcpu_reset(struct okvm_vcpu *vcpu, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	write_controls(vcpu);
	vmx_set_msr_exits(vcpu);
	if (!init)
		write_constants(vmx);
	/* The other vendor's VMMCALL; a guest could keep the CPU delivering #AC or #DB. */
	vmx->exceptions = BIT(X86_TRAP_UD) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_DB) |
			  BIT(X86_TRAP_MC);
	vmcs_write(EXCEPTION_BITMAP, vmx->exceptions);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);
	vmx_put_pat(vcpu);
	vmx->intr = 0;
	vmx->nmi.masked = false;
	vmx->intr_known = vmx->intr_dirty = true;
	vmx->seg_known = 0;
	vmx->restricted.stale = true;
	vmx->soft_len = 1;
	vmx_set_tsc(vcpu);
	vmx_set_cpuid(vcpu);
	if (init)
		return;
	vmcs_write(GUEST_SYSENTER_CS, 0);
	vmx->restricted.sysenter_cs = 0;
	vmcs_write(GUEST_SYSENTER_ESP, 0);
	vmcs_write(GUEST_SYSENTER_EIP, 0);
	memset(vmx->lazy, 0, sizeof(vmx->lazy));
	vmx->kernel_gs_base = vmx->spec_ctrl = 0;
}

/** vmx_set_root - the second-level table that the guest runs on; may sleep */
void vmx_set_root(struct okvm_vcpu *vcpu, u64 root_hpa)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->eptp = root_hpa | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 |
		    (vmx_features.ept_ad ? VMX_EPTP_AD_ENABLE_BIT : 0);
	vmcs_write(EPT_POINTER, vmx->eptp);
	vmx->flush = true;
	vmx_load_pdptes(vcpu);
}

/** vmx_set_tsc - vcpu->tsc changed */
void vmx_set_tsc(struct okvm_vcpu *vcpu)
{
	vmcs_write(TSC_OFFSET, vcpu->tsc.offset);
	if (vmx_features.tsc_scaling)
		vmcs_write(TSC_MULTIPLIER, okvm_tsc_to_guest_scale(vcpu) ?: BIT_ULL(48));
}

/**
 * vmx_set_timer - leave the guest at a moment
 * @vcpu: the vCPU
 * @tsc: the host's TSC then; 0: do not
 *
 * Return: false: the timer's 32 bits do not reach so far.
 */
bool vmx_set_timer(struct okvm_vcpu *vcpu, u64 tsc)
{
	u64 now = rdtsc(), ticks = tsc > now ? tsc - now : 0;

	/* One is for the rounding up. */
	if (ticks >> vmx_features.timer_shift >= U32_MAX)
		tsc = 0;
	to_vmx(vcpu)->timer_tsc = tsc;
	return tsc;
}

/** vmx_set_debug - who has the debug registers, and what a debugger in user space wants */
void vmx_set_debug(struct okvm_vcpu *vcpu)
{
	bool debugger = vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_HW_BP;
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmcs_write(GUEST_DR7, debugger ? vcpu->dbg.host_dr7 : vcpu->dbg.dr7);
	vmx_control(vmx, CPU_BASED_MOV_DR_EXITING, !vcpu->dbg.guest_owns);
	vmx_intercept_exception(vmx, X86_TRAP_BP,
				vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_SW_BP);
}

/** vmx_set_cpuid - the guest's CPUID changed: instructions that it does not have are #UD */
void vmx_set_cpuid(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx_features.rdtscp)
		vmx_control2(vmx, SECONDARY_EXEC_ENABLE_RDTSCP,
				  guest_has(vcpu, GUEST_RDTSCP) || guest_has(vcpu, GUEST_RDPID));
	if (vmx_features.invpcid)
		vmx_control2(vmx, SECONDARY_EXEC_ENABLE_INVPCID,
				  guest_has(vcpu, GUEST_INVPCID));
	if (vmx_features.xsaves)
		vmx_control2(vmx, SECONDARY_EXEC_XSAVES, guest_has(vcpu, GUEST_XSS));
}

/** vmx_flush_tlb - forget all of the guest's translations before the next entry */
void vmx_flush_tlb(struct okvm_vcpu *vcpu)
{
	to_vmx(vcpu)->flush = true;
}

/**
 * vmx_flush_now - drop what this CPU has cached of the vCPU's translations
 * @vmx: the vCPU's part
 *
 * SDM vol. 3, "Caching Translation Information": INVEPT drops what EPT entries went into, under any
 * tag; INVVPID what the guest's own entries went into. Without a tag each entry drops the latter.
 *
 * Context: interrupts off, right before the entry.
 */
void vmx_flush_now(struct vmx_vcpu *vmx)
{
	vmx->flush = false;
	if (vmx_features.invept_one)
		invept(VMX_EPT_EXTENT_CONTEXT, vmx->eptp);
	else
		invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (!vmx->vpid)
		return;
	if (vmx_features.invvpid_one)
		invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid);
	else
		invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
}

/* ---- the VMCS in the log ---- */

static const struct {
	u32 field;
	const char *name;
} dumped[] = {
	{ VM_EXIT_REASON, "reason" }, { EXIT_QUALIFICATION, "qualification" },
	{ VM_INSTRUCTION_ERROR, "error" }, { VM_EXIT_INTR_INFO, "interruption" },
	{ IDT_VECTORING_INFO_FIELD, "vectoring" }, { GUEST_PHYSICAL_ADDRESS, "gpa" },
	{ GUEST_LINEAR_ADDRESS, "linear" }, { VM_ENTRY_INTR_INFO_FIELD, "inject" },
	{ PIN_BASED_VM_EXEC_CONTROL, "pin" }, { CPU_BASED_VM_EXEC_CONTROL, "cpu" },
	{ SECONDARY_VM_EXEC_CONTROL, "cpu2" }, { VM_EXIT_CONTROLS, "exit" },
	{ VM_ENTRY_CONTROLS, "entry" }, { EXCEPTION_BITMAP, "exceptions" },
	{ GUEST_CR0, "cr0" }, { GUEST_CR3, "cr3" }, { GUEST_CR4, "cr4" },
	{ CR0_READ_SHADOW, "cr0 shadow" }, { CR4_READ_SHADOW, "cr4 shadow" },
	{ GUEST_RIP, "rip" }, { GUEST_RSP, "rsp" }, { GUEST_RFLAGS, "rflags" },
	{ GUEST_DR7, "dr7" }, { GUEST_INTERRUPTIBILITY_INFO, "interruptibility" },
	{ GUEST_ACTIVITY_STATE, "activity" }, { GUEST_PENDING_DBG_EXCEPTIONS, "pending debug" },
	{ GUEST_PDPTR0, "pdpte0" }, { GUEST_PDPTR1, "pdpte1" }, { GUEST_PDPTR2, "pdpte2" },
	{ GUEST_PDPTR3, "pdpte3" }, { GUEST_GDTR_BASE, "gdt" }, { GUEST_GDTR_LIMIT, "gdt limit" },
	{ GUEST_IDTR_BASE, "idt" }, { GUEST_IDTR_LIMIT, "idt limit" }, { EPT_POINTER, "eptp" },
	{ HOST_CR0, "host cr0" }, { HOST_CR3, "host cr3" }, { HOST_CR4, "host cr4" },
	{ HOST_RSP, "host rsp" }, { HOST_RIP, "host rip" }, { HOST_FS_BASE, "host fs" },
	{ HOST_GS_BASE, "host gs" }, { HOST_TR_BASE, "host tr" }, { HOST_GDTR_BASE, "host gdt" },
	{ HOST_IDTR_BASE, "host idt" },
};

/** vmx_dump - the VMCS in the log, a few times; module parameter dump_vmcs */
void vmx_dump(struct okvm_vcpu *vcpu)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 2);
	static const char *const names[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
	int i;

	if (!READ_ONCE(dump_vmcs) || !__ratelimit(&limit))
		return;
	pr_info("vCPU %d: its VMCS\n", vcpu->id);
	for (i = 0; i < ARRAY_SIZE(dumped); i++)
		pr_info("%s %#lx\n", dumped[i].name, vmcs_read(dumped[i].field));
	if (vmx_features.load_efer)
		pr_info("efer %#lx\n", vmcs_read(GUEST_IA32_EFER));
	if (vmx_features.load_pat)
		pr_info("pat %#lx\n", vmcs_read(GUEST_IA32_PAT));
	for (i = 0; i < ARRAY_SIZE(names); i++)
		pr_info("%s %04lx attributes %#lx limit %#lx base %#lx\n", names[i],
			vmcs_read(GUEST_ES_SELECTOR + 2 * i), vmcs_read(GUEST_ES_AR_BYTES + 2 * i),
			vmcs_read(GUEST_ES_LIMIT + 2 * i), vmcs_read(GUEST_ES_BASE + 2 * i));
}
