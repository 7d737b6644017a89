// SPDX-License-Identifier: GPL-2.0-only
/* Loading and unloading: pick the backend, take the hardware, show the device. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "cpu.h"
#include "dev.h"
#include "vmm.h"

static const struct okvm_backend *const backends[] = { &okvm_vmx_backend, &okvm_svm_backend };

const struct okvm_backend *okvm_backend;
struct okvm_hw okvm_hw;

/* Off: shadow paging, also on an AMD CPU that could do without. */
bool okvm_want_tdp = true;
module_param_named(tdp, okvm_want_tdp, bool, 0444);
MODULE_PARM_DESC(tdp, "use two-dimensional paging where the CPU has it: NPT; EPT is always used");

DEFINE_STATIC_CALL_NULL(okvm_run, *((struct okvm_backend *)NULL)->run);
DEFINE_STATIC_CALL_NULL(okvm_cache_reg, *((struct okvm_backend *)NULL)->cache_reg);

/* The first backend whose CPU this is decides: its reason for a refusal is the one to report. */
static int pick_backend(void)
{
	int i, err = -EOPNOTSUPP;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		err = backends[i]->supported();
		if (err == -ENODEV)
			continue;
		if (!err)
			okvm_backend = backends[i];
		return err;
	}
	pr_err("this CPU has no hardware virtualization that okvm drives (VMX, SVM)\n");
	return -EOPNOTSUPP;
}

static int __init okvm_init(void)
{
	int err = pick_backend();

	if (err)
		return err;
	err = okvm_backend->setup();
	if (err)
		return err;
	static_call_update(okvm_run, okvm_backend->run);
	static_call_update(okvm_cache_reg, okvm_backend->cache_reg);

	err = okvm_mmu_setup();
	if (err)
		goto unsetup;
	err = okvm_cpuid_setup();
	if (err)
		goto mmu;
	err = okvm_pv_setup();
	if (err)
		goto mmu;
	err = okvm_cpu_setup();
	if (err)
		goto pv;
	err = okvm_dev_setup();
	if (err)
		goto cpu;
	pr_info("ready: %s, %s\n", okvm_backend->name,
		okvm_hw.tdp ? "two-dimensional paging" : "shadow paging");
	return 0;

cpu:
	okvm_cpu_unsetup();
pv:
	okvm_pv_unsetup();
mmu:
	okvm_mmu_unsetup();
unsetup:
	okvm_backend->unsetup();
	return err;
}

static void __exit okvm_exit(void)
{
	okvm_dev_unsetup();
	okvm_cpu_unsetup();
	okvm_pv_unsetup();
	okvm_mmu_unsetup();
	okvm_backend->unsetup();
	/* Freed tables and lists wait for RCU callbacks that live in this module's text. */
	rcu_barrier();
}

module_init(okvm_init);
module_exit(okvm_exit);

MODULE_DESCRIPTION("Out-of-tree hypervisor with KVM's ABI");
MODULE_LICENSE("GPL");
