// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtualization on each CPU. It is on from load to unload, so that another hypervisor sees the
 * hardware taken, and creating a VM costs no machine-wide call.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpuhotplug.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include "cpu.h"
#include "vmm.h"

bool okvm_rebooting;

static DEFINE_PER_CPU(bool, enabled);
static enum cpuhp_state hotplug_state;

static void disable_this_cpu(void *unused)
{
	if (!__this_cpu_read(enabled))
		return;
	okvm_backend->cpu_disable();
	__this_cpu_write(enabled, false);
}

static int enable_this_cpu(void)
{
	int err = okvm_backend->cpu_enable();

	if (err)
		pr_err("CPU %d: cannot enable %s: error %d\n", smp_processor_id(),
		       okvm_backend->name, err);
	else
		__this_cpu_write(enabled, true);
	return err;
}

static int cpu_online_cb(unsigned int cpu)
{
	unsigned long flags;
	int err;

	local_irq_save(flags);
	err = enable_this_cpu();
	local_irq_restore(flags);
	return err;
}

static int cpu_offline_cb(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	disable_this_cpu(NULL);
	local_irq_restore(flags);
	return 0;
}

/* Other CPUs are offline by then; the firmware may wake us with the extension off. */
static int suspend_cb(void)
{
	disable_this_cpu(NULL);
	return 0;
}

static void resume_cb(void)
{
	enable_this_cpu();
}

static struct syscore_ops syscore_ops = { .suspend = suspend_cb, .resume = resume_cb };

/* Firmware and the next kernel (kexec) must find INIT unblocked and the extension off. */
static int reboot_cb(struct notifier_block *nb, unsigned long action, void *data)
{
	okvm_rebooting = true;
	on_each_cpu(disable_this_cpu, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_nb = { .notifier_call = reboot_cb };

/**
 * okvm_cpu_setup - enable virtualization on all CPUs, now and as they come
 *
 * Context: module load; may sleep.
 * Return: 0, or the backend's error (-EBUSY: another hypervisor came first), all CPUs off again.
 */
int okvm_cpu_setup(void)
{
	int state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "okvm:online", cpu_online_cb,
				      cpu_offline_cb);

	if (state < 0)
		return state;
	hotplug_state = state;
	register_syscore_ops(&syscore_ops);
	register_reboot_notifier(&reboot_nb);
	/* Once for the module: turning it on with the first VM would patch code on all CPUs. */
	preempt_notifier_inc();
	return 0;
}

/**
 * okvm_cpu_unsetup - disable virtualization on all CPUs
 *
 * Context: module unload; no VM is left; may sleep.
 */
void okvm_cpu_unsetup(void)
{
	preempt_notifier_dec();
	unregister_reboot_notifier(&reboot_nb);
	unregister_syscore_ops(&syscore_ops);
	cpuhp_remove_state(hotplug_state);
}

/** okvm_on_tcg - is this CPU QEMU's emulated one, whose virtualization has faults of its own? */
bool okvm_on_tcg(void)
{
	return boot_cpu_has(X86_FEATURE_HYPERVISOR) && hypervisor_cpuid_base("TCGTCGTCGTCG", 0);
}

/**
 * okvm_module_loaded - is there a module of that name?
 * @name: the name
 *
 * Upstream's backends turn the hardware on with their first VM only, so that its state alone does
 * not tell whether they want it.
 */
bool okvm_module_loaded(const char *name)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, name);

	kobject_put(kobj);
	return kobj;
}
