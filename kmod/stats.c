// SPDX-License-Identifier: GPL-2.0-only
/* Counters in debugfs: /sys/kernel/debug/okvm/NAME holds the sum over all VMs, past ones too. */
#include <linux/debugfs.h>

#include "stats.h"
#include "vm.h"
#include "vmm.h"

#define X(name) #name,
static const char *const names[] = { OKVM_STATS(X) };
#undef X

static struct dentry *dir;
static atomic64_t gone[OKVM_NR_STATS];

struct sum {
	int stat;
	u64 total;
};

static void add_vm(struct okvm_vm *vm, void *arg)
{
	struct sum *sum = arg;
	struct okvm_vcpu *vcpu;
	unsigned long i;

	okvm_for_each_vcpu(i, vcpu, vm)
		sum->total += READ_ONCE(vcpu->stats.n[sum->stat]);
}

static int stat_get(void *data, u64 *value)
{
	struct sum sum = { .stat = (long)data };

	okvm_for_each_vm(add_vm, &sum);
	*value = sum.total + atomic64_read(&gone[sum.stat]);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(stat_fops, stat_get, NULL, "%llu\n");

/**
 * okvm_stats_retire - keep the counts of a vCPU that goes away
 * @vcpu: nobody runs it any more
 */
void okvm_stats_retire(struct okvm_vcpu *vcpu)
{
	int i;

	for (i = 0; i < OKVM_NR_STATS; i++)
		if (vcpu->stats.n[i])
			atomic64_add(vcpu->stats.n[i], &gone[i]);
}

/** okvm_stats_setup - make the debugfs files; without debugfs there are none */
void okvm_stats_setup(void)
{
	long i;

	dir = debugfs_create_dir("okvm", NULL);
	for (i = 0; i < OKVM_NR_STATS; i++)
		debugfs_create_file_unsafe(names[i], 0444, dir, (void *)i, &stat_fops);
}

/** okvm_stats_unsetup - remove the debugfs files */
void okvm_stats_unsetup(void)
{
	debugfs_remove(dir);
}
