// SPDX-License-Identifier: GPL-2.0-only
/* VMX as a backend: is it there, is it free; VMX operation on each CPU, a VMCS for each vCPU. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/intel_pt.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/reboot.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"
#include "cpu.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpus);

/* Tags in use. Tag 0 is the host's. */
static DECLARE_BITMAP(vpids, VMX_NR_VPIDS);
static DEFINE_SPINLOCK(vpids_lock);

/**
 * vmx_op_failed - a VMX instruction failed or faulted
 * @what: the instruction
 * @operand: what it was about
 *
 * Expected only when the machine goes down and another CPU has turned VMX off here.
 */
void vmx_op_failed(const char *what, unsigned long operand)
{
	if (READ_ONCE(okvm_rebooting))
		return;
	WARN_ONCE(1, "okvm: %s of %#lx failed\n", what, operand);
}

/* Locked by the firmware, or by the kernel at boot if the firmware had left it open. */
static bool firmware_allows(void)
{
	u64 control;

	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &control))
		return false;
	return control & FEAT_CTL_LOCKED && control & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
}

static int vmx_supported(void)
{
	switch (boot_cpu_data.x86_vendor) {
	case X86_VENDOR_INTEL:
	case X86_VENDOR_CENTAUR:
	case X86_VENDOR_ZHAOXIN:
		break;
	default:
		return -ENODEV;
	}
	if (!(cpuid_ecx(1) & BIT(X86_FEATURE_VMX & 31))) {
		pr_err("requires VMX, which this CPU does not have\n");
		return -EOPNOTSUPP;
	}
	if (!firmware_allows()) {
		pr_err("requires VMX: the firmware disabled it (IA32_FEATURE_CONTROL)\n");
		return -EOPNOTSUPP;
	}
	if (okvm_module_loaded("kvm_intel") || __read_cr4() & X86_CR4_VMXE) {
		pr_err("VMX is held by another hypervisor: unload it first (rmmod kvm_intel)\n");
		return -EBUSY;
	}
	return vmx_find_features();
}

static int make_cpus(void)
{
	struct vmx_cpu *cpu;
	int i;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&vmx_cpus, i);
		INIT_LIST_HEAD(&cpu->active);
		cpu->vmxon = alloc_pages_node(cpu_to_node(i), GFP_KERNEL | __GFP_ZERO, 0);
		if (!cpu->vmxon)
			return -ENOMEM;
		*(u32 *)page_address(cpu->vmxon) = vmx_features.revision;
	}
	return 0;
}

/* A crash kernel must find the data of VMCSs in memory, and INIT unblocked; any context. */
static void emergency(void)
{
	struct vmx_vcpu *vmx;

	okvm_rebooting = true;
	if (!(__read_cr4() & X86_CR4_VMXE))
		return;
	list_for_each_entry(vmx, &this_cpu_ptr(&vmx_cpus)->active, active)
		vmclear(__pa(vmx->vmcs));
	vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
}

static void free_parts(void)
{
	int i;

	vmx_l1d_unsetup();
	vmx_msr_unsetup();
	for_each_possible_cpu(i) {
		struct vmx_cpu *cpu = per_cpu_ptr(&vmx_cpus, i);

		if (cpu->vmxon)
			__free_page(cpu->vmxon);
		cpu->vmxon = NULL;
	}
}

static int vmx_setup(void)
{
	int err = make_cpus();

	if (!err)
		err = vmx_l1d_setup();
	if (!err)
		err = vmx_msr_setup();
	if (err) {
		free_parts();
		return err;
	}
	__set_bit(0, vpids);
	rdmsrl(MSR_EFER, okvm_hw.host_efer);
	cpu_emergency_register_virt_callback(emergency);
	vmx_count_setup();
	return 0;
}

static void vmx_unsetup(void)
{
	vmx_count_unsetup();
	cpu_emergency_unregister_virt_callback(emergency);
	free_parts();
}

static int vmx_cpu_enable(void)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpus);

	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	if (!firmware_allows())
		return -EOPNOTSUPP;
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmxon(page_to_phys(cpu->vmxon))) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		return -EIO;
	}
	cpu->current_vcpu = cpu->last = NULL;
	vmx_read_lazy_msrs();
	/* Whoever had VMX before may have left translations behind. */
	invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx_features.vpid)
		invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
	return 0;
}

/* The VMCS's data leaves this CPU. Interrupts off. */
static void put_out(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpus);

	vmclear(__pa(vmx->vmcs));
	vmx->enter.launched = false;
	/* VMCLEAR may not come after another CPU has loaded it: on_cpu is read without a lock. */
	list_del(&vmx->active);
	if (cpu->current_vcpu == vmx)
		cpu->current_vcpu = NULL;
	smp_store_release(&vmx->on_cpu, -1);
}

static void vmx_cpu_disable(void)
{
	struct vmx_vcpu *vmx, *next;

	vmx_drop_lazy_msrs();
	if (!(__read_cr4() & X86_CR4_VMXE))
		return;
	list_for_each_entry_safe(vmx, next, &this_cpu_ptr(&vmx_cpus)->active, active)
		put_out(vmx);
	vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

static void put_out_here(void *arg)
{
	struct vmx_vcpu *vmx = arg;

	/* The CPU may have been disabled, or have been asked twice, meanwhile. */
	if (vmx->on_cpu == smp_processor_id())
		put_out(vmx);
}

static void put_out_anywhere(struct vmx_vcpu *vmx)
{
	int cpu = smp_load_acquire(&vmx->on_cpu);

	/* A CPU that goes offline puts all out by itself. */
	if (cpu >= 0)
		smp_call_function_single(cpu, put_out_here, vmx, 1);
}

static u16 take_vpid(void)
{
	unsigned long vpid;

	if (!vmx_features.vpid)
		return 0;
	spin_lock(&vpids_lock);
	vpid = find_first_zero_bit(vpids, VMX_NR_VPIDS);
	if (vpid < VMX_NR_VPIDS)
		__set_bit(vpid, vpids);
	else
		vpid = 0;
	spin_unlock(&vpids_lock);
	return vpid;
}

static void give_back_vpid(u16 vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpids_lock);
	__clear_bit(vpid, vpids);
	spin_unlock(&vpids_lock);
}

static void vmx_vcpu_destroy(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int cpu;

	if (!vmx)
		return;
	put_out_anywhere(vmx);
	for_each_possible_cpu(cpu)
		cmpxchg(&per_cpu_ptr(&vmx_cpus, cpu)->last, vmx, NULL);
	give_back_vpid(vmx->vpid);
	kfree(vmx->posted);
	free_page((unsigned long)vmx->pml);
	free_page((unsigned long)vmx->vmcs);
	kfree(vmx);
	vcpu->priv = NULL;
}

static int vmx_vcpu_create(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx;

	if (vmx_restricted_create(vcpu->vm))
		return -ENOMEM;
	vmx = kzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);
	if (!vmx)
		return -ENOMEM;
	vcpu->priv = vmx;
	vmx->on_cpu = -1;
	vmx->enter.regs = vcpu->regs;
	vmx->vpid = take_vpid();
	vmx->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	/* A power of 2 is aligned to itself, as the CPU wants it. */
	vmx->posted = kzalloc(VMX_POSTED_BYTES, GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs || !vmx->posted) {
		vmx_vcpu_destroy(vcpu);
		return -ENOMEM;
	}
	*(u32 *)vmx->vmcs = vmx_features.revision;
	return 0;
}

/* Bring the VMCS to this CPU, where it stays until another one wants it. */
static void bring_here(struct vmx_vcpu *vmx, struct vmx_cpu *cpu, int cpu_nr)
{
	unsigned long flags;

	put_out_anywhere(vmx);
	local_irq_save(flags);
	/* Its first use needs it cleared, which also makes a page of memory a VMCS. */
	vmclear(__pa(vmx->vmcs));
	list_add(&vmx->active, &cpu->active);
	vmx->on_cpu = cpu_nr;
	local_irq_restore(flags);
}

static void vmx_vcpu_load(struct okvm_vcpu *vcpu, int cpu_nr, bool migrated)
{
	struct vmx_cpu *cpu = per_cpu_ptr(&vmx_cpus, cpu_nr);
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool moved = vmx->on_cpu != cpu_nr;

	if (moved)
		bring_here(vmx, cpu, cpu_nr);
	if (cpu->current_vcpu != vmx) {
		vmptrld(__pa(vmx->vmcs));
		cpu->current_vcpu = vmx;
	}
	if (moved || migrated) {
		vmx_host_state_of_cpu(vmx);
		/* Translations of an earlier stay here, or of a former owner of the tag. */
		vmx->flush = true;
	}
	if (cpu->last != vmx) {
		cpu->last = vmx;
		indirect_branch_prediction_barrier();
	}
	vmx->host.debugctl = get_debugctlmsr();
	vmx->l1d_dirty = true;
}

static void vmx_vcpu_put(struct okvm_vcpu *vcpu)
{
	vmx_leave_guest_state(vcpu);
}

const struct okvm_backend okvm_vmx_backend = {
	BACKEND_OPERATIONS(vmx),
	.vm_destroy = vmx_vm_destroy,
	.get_pdptes = vmx_get_pdptes,
	.set_pdptes = vmx_set_pdptes,
	.set_dirty_log = vmx_set_dirty_log,
	.set_timer = vmx_set_timer,
	.set_apicv = vmx_set_apicv,
	.set_eoi_exits = vmx_set_eoi_exits,
	.posted_requests = vmx_posted_requests,
	.notify = vmx_notify,
};
