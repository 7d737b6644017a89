// SPDX-License-Identifier: GPL-2.0-only
/* SVM as a backend: is it there, is it free, each CPU's and each vCPU's part. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/slab.h>
#include <asm/nospec-branch.h>
#include <asm/reboot.h>

#include "cpu.h"
#include "mmu/pte.h"
#include "svm/svm.h"
#include "svm/svm_ops.h"

/*
 * QEMU's TCG may deliver an interrupt of EVENTINJ twice: its VMRUN leaves the vector behind as an
 * exception, which a wish of another thread to stop the CPU then raises. A virtual interrupt is
 * not affected.
 */
static int virq = -1;
module_param(virq, int, 0444);
MODULE_PARM_DESC(virq, "deliver interrupts by V_IRQ, not EVENTINJ (default: on QEMU's TCG)");
bool svm_use_virq, svm_cr8_exits, svm_cr0_reads_exit;

DEFINE_PER_CPU(struct svm_cpu, svm_cpus);
u32 svm_max_asid;
struct page *svm_iopm;

/* APM vol. 2, 15.10: 12 KiB, and three more bits for accesses that run past the last port. */
#define IOPM_ORDER 2

static int svm_supported(void)
{
	u64 vm_cr, efer;

	if (boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	    boot_cpu_data.x86_vendor != X86_VENDOR_HYGON)
		return -ENODEV;
	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		pr_err("requires SVM: this CPU does not have it, or its firmware turned it off\n");
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_VM_CR, vm_cr);
	if (vm_cr & BIT(SVM_VM_CR_SVM_DISABLE)) {
		pr_err("requires SVM: the firmware disabled it (VM_CR.SVMDIS)\n");
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_EFER, efer);
	if (okvm_module_loaded("kvm_amd") || efer & EFER_SVME) {
		pr_err("SVM is held by another hypervisor: unload it first (rmmod kvm_amd)\n");
		return -EBUSY;
	}
	return 0;
}

static void free_cpus(void)
{
	struct svm_cpu *cpu;
	int i;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&svm_cpus, i);
		if (cpu->hsave)
			__free_page(cpu->hsave);
		if (cpu->host)
			__free_page(cpu->host);
		cpu->hsave = cpu->host = NULL;
	}
}

static int alloc_cpus(void)
{
	struct svm_cpu *cpu;
	int i;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&svm_cpus, i);
		cpu->hsave = alloc_pages_node(cpu_to_node(i), GFP_KERNEL | __GFP_ZERO, 0);
		cpu->host = alloc_pages_node(cpu_to_node(i), GFP_KERNEL | __GFP_ZERO, 0);
		if (!cpu->hsave || !cpu->host)
			return -ENOMEM;
	}
	return 0;
}

static void turn_off(u64 efer)
{
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	stgi();
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

/* The next kernel must find the hardware free, and INIT not held off by GIF; any context. */
static void emergency(void)
{
	u64 efer;

	okvm_rebooting = true;
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		turn_off(efer);
}

static void free_parts(void)
{
	free_cpus();
	if (svm_iopm)
		__free_pages(svm_iopm, IOPM_ORDER);
	svm_msr_unsetup();
}

static void svm_unsetup(void)
{
	cpu_emergency_unregister_virt_callback(emergency);
	free_parts();
}

static int svm_setup(void)
{
	u32 eax, ebx, ecx, edx;
	int err;

	cpuid(SVM_CPUID_FUNC, &eax, &ebx, &ecx, &edx);
	svm_max_asid = ebx - 1;
	okvm_hw.tdp = okvm_want_tdp && boot_cpu_has(X86_FEATURE_NPT);
	okvm_hw.nx = boot_cpu_has(X86_FEATURE_NX);
	okvm_hw.max_leaf_level = boot_cpu_has(X86_FEATURE_GBPAGES) ? LEVEL_1G : LEVEL_2M;
	/* The nested table has the depth of the host's own. */
	okvm_hw.tdp_levels = pgtable_l5_enabled() ? 5 : 4;
	okvm_hw.nrip = boot_cpu_has(X86_FEATURE_NRIPS);
	okvm_hw.decode_assist = boot_cpu_has(X86_FEATURE_DECODEASSISTS);
	rdmsrl(MSR_EFER, okvm_hw.host_efer);
	svm_cr8_exits = okvm_on_tcg();
	/* From QEMU 9.1 on, reads of CR3 exit as if they were of CR0, if those are intercepted. */
	svm_cr0_reads_exit = !okvm_hw.tdp && okvm_on_tcg();
	svm_use_virq = virq < 0 ? svm_cr8_exits : virq;

	svm_iopm = alloc_pages(GFP_KERNEL, IOPM_ORDER);
	err = svm_iopm ? svm_msr_setup() : -ENOMEM;
	if (!err)
		err = alloc_cpus();
	if (err) {
		free_parts();
		return err;
	}
	memset(page_address(svm_iopm), 0xff, PAGE_SIZE << IOPM_ORDER);
	cpu_emergency_register_virt_callback(emergency);
	return 0;
}

static int svm_cpu_enable(void)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, page_to_phys(cpu->hsave));
	/* A generation that no vCPU has, no ASID left in it: the first entry flushes. */
	cpu->generation++;
	cpu->next_asid = svm_max_asid + 1;
	cpu->last = NULL;
	svm_note_tsc_aux();
	return 0;
}

static void svm_cpu_disable(void)
{
	u64 efer;

	svm_drop_tsc_aux();
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		turn_off(efer);
}

static int svm_vcpu_create(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = kzalloc(sizeof(*svm), GFP_KERNEL_ACCOUNT);

	if (!svm)
		return -ENOMEM;
	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb) {
		kfree(svm);
		return -ENOMEM;
	}
	svm->vmcb_pa = __pa(svm->vmcb);
	svm->enter.regs = vcpu->regs;
	svm->enter.vmcb_pa = svm->vmcb_pa;
	vcpu->priv = svm;
	return 0;
}

static void svm_vcpu_destroy(struct okvm_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	int cpu;

	if (!svm)
		return;
	/* The page may become another guest's VMCB: that one must not pass for this one. */
	for_each_possible_cpu(cpu)
		cmpxchg(&per_cpu_ptr(&svm_cpus, cpu)->last, svm->vmcb, NULL);
	free_page((unsigned long)svm->vmcb);
	kfree(svm);
	vcpu->priv = NULL;
}

static void svm_vcpu_load(struct okvm_vcpu *vcpu, int cpu_nr, bool migrated)
{
	struct svm_cpu *cpu = per_cpu_ptr(&svm_cpus, cpu_nr);
	struct svm_vcpu *svm = to_svm(vcpu);

	if (migrated) {
		svm->asid_generation = 0;
		svm->vmcb->control.clean = 0;
	}
	if (cpu->last != svm->vmcb) {
		cpu->last = svm->vmcb;
		indirect_branch_prediction_barrier();
	}
	vmsave(page_to_phys(cpu->host));
	svm_load_tsc_aux(vcpu);
}

static void svm_vcpu_put(struct okvm_vcpu *vcpu)
{
	/* The host's state came back with the last exit. */
}

const struct okvm_backend okvm_svm_backend = {
	BACKEND_OPERATIONS(svm),
};
