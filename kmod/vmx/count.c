// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often the VMCS is read and written for each kind of exit, in a module that is built with
 * VMX_COUNT=1: /sys/kernel/debug/okvm_vmcs. Not in others: the counting costs more than a VMREAD.
 */
#ifdef OKVM_VMX_COUNT

#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/trace_events.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"

#define REASONS		128

/* Of all vCPUs. What comes between an exit and the next entry is the exit's. */
static struct {
	atomic64_t exits, reads, writes;
} counts[REASONS];

static const struct trace_print_flags names[] = { VMX_EXIT_REASONS };
static struct dentry *file;

/* Whoever accesses a VMCS accesses the current one. */
void vmx_count_access(bool write)
{
	struct vmx_vcpu *vmx = this_cpu_read(vmx_cpus.current_vcpu);

	if (!vmx)
		return;
	if (write)
		vmx->counted.writes++;
	else
		vmx->counted.reads++;
}

/** vmx_count_exit - an exit came: what was counted before it belongs to the one before */
void vmx_count_exit(struct vmx_vcpu *vmx, u32 reason)
{
	u16 last = vmx->counted.reason;

	if (vmx->counted.any && last < REASONS) {
		atomic64_inc(&counts[last].exits);
		atomic64_add(vmx->counted.reads, &counts[last].reads);
		atomic64_add(vmx->counted.writes, &counts[last].writes);
	}
	vmx->counted.any = true;
	vmx->counted.reason = reason;
	vmx->counted.reads = vmx->counted.writes = 0;
}

static const char *name_of(unsigned int reason)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].mask == reason)
			return names[i].name;
	return "?";
}

static int counts_show(struct seq_file *m, void *unused)
{
	int i;

	seq_puts(m, "# reason exits reads writes name\n");
	for (i = 0; i < REASONS; i++)
		if (atomic64_read(&counts[i].exits))
			seq_printf(m, "%d %lld %lld %lld %s\n", i, atomic64_read(&counts[i].exits),
				   atomic64_read(&counts[i].reads),
				   atomic64_read(&counts[i].writes), name_of(i));
	return 0;
}

DEFINE_SHOW_ATTRIBUTE(counts);

void vmx_count_setup(void)
{
	file = debugfs_create_file("okvm_vmcs", 0444, NULL, NULL, &counts_fops);
}

void vmx_count_unsetup(void)
{
	debugfs_remove(file);
}

#endif
