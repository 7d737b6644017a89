// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: a VM's or a vCPU's counters, with a description of each (KVM API, 4.133). */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu/mmu.h"
#include "stats.h"
#include "vcpu.h"
#include "vm.h"
#include "vmm.h"

#define NAME_SIZE	48	/* with the zero at the end; of the id, too */

#define CUMULATIVE (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define INSTANT (KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)

#define X(name) { CUMULATIVE, #name },
static const struct counter { u32 flags; const char *name; } vcpu_counters[] = { OKVM_STATS(X) };
#undef X

/* Memory that the VM's second-level tables take. */
static const struct counter vm_counters[] = { { INSTANT, "mmu_table_pages" } };

struct described {
	struct kvm_stats_desc desc;
	char name[NAME_SIZE];
};

/* What a read finds, from its start: the numbers follow the descriptions. */
struct stats_file {
	struct kvm_stats_header header;
	char id[NAME_SIZE];
	struct described counter[];
};

static void describe(struct stats_file *file, const struct counter *counters, unsigned int n)
{
	unsigned int i;

	file->header.name_size = NAME_SIZE;
	file->header.num_desc = n;
	file->header.id_offset = offsetof(struct stats_file, id);
	file->header.desc_offset = offsetof(struct stats_file, counter);
	file->header.data_offset = struct_size(file, counter, n);
	for (i = 0; i < n; i++) {
		file->counter[i].desc.flags = counters[i].flags;
		file->counter[i].desc.size = 1;
		file->counter[i].desc.offset = i * sizeof(u64);
		strscpy(file->counter[i].name, counters[i].name, NAME_SIZE);
	}
}

static size_t file_size(unsigned int n)
{
	return struct_size((struct stats_file *)NULL, counter, n) + n * sizeof(u64);
}

static struct stats_file *make_file(const struct counter *counters, unsigned int n, u64 **data)
{
	struct stats_file *file = kzalloc(file_size(n), GFP_KERNEL);

	if (!file)
		return NULL;
	describe(file, counters, n);
	*data = (void *)file + file->header.data_offset;
	return file;
}

static ssize_t vm_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
	struct okvm_vm *vm = f->private_data;
	struct stats_file *file;
	ssize_t r;
	u64 *data;

	file = make_file(vm_counters, ARRAY_SIZE(vm_counters), &data);
	if (!file)
		return -ENOMEM;
	snprintf(file->id, NAME_SIZE, "kvm-%d", vm->creator);
	data[0] = okvm_mmu_pages(vm);
	r = simple_read_from_buffer(to, size, at, file, file_size(ARRAY_SIZE(vm_counters)));
	kfree(file);
	return r;
}

static ssize_t vcpu_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
	struct okvm_vcpu *vcpu = f->private_data;
	struct stats_file *file;
	unsigned int i;
	ssize_t r;
	u64 *data;

	file = make_file(vcpu_counters, OKVM_NR_STATS, &data);
	if (!file)
		return -ENOMEM;
	snprintf(file->id, NAME_SIZE, "kvm-%d/vcpu-%d", vcpu->vm->creator, vcpu->id);
	for (i = 0; i < OKVM_NR_STATS; i++)
		data[i] = READ_ONCE(vcpu->stats.n[i]);
	r = simple_read_from_buffer(to, size, at, file, file_size(OKVM_NR_STATS));
	kfree(file);
	return r;
}

static int vm_stats_release(struct inode *inode, struct file *f)
{
	okvm_vm_put(f->private_data);
	return 0;
}

static int vcpu_stats_release(struct inode *inode, struct file *f)
{
	okvm_vm_put(((struct okvm_vcpu *)f->private_data)->vm);
	return 0;
}

static const struct file_operations vm_stats_fops = {
	.owner = THIS_MODULE,
	.read = vm_read,
	.release = vm_stats_release,
	.llseek = noop_llseek,
};

static const struct file_operations vcpu_stats_fops = {
	.owner = THIS_MODULE,
	.read = vcpu_read,
	.release = vcpu_stats_release,
	.llseek = noop_llseek,
};

/* The fd holds the VM, as a vCPU's does. */
static int stats_fd(struct okvm_vm *vm, const char *name, const struct file_operations *fops,
		    void *object)
{
	struct file *file;
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, fops, object, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_PREAD;
	refcount_inc(&vm->users);
	fd_install(fd, file);
	return fd;
}

/**
 * okvm_vm_stats_fd - KVM_GET_STATS_FD on a VM
 * @vm: the VM
 * @arg: unused
 *
 * Return: an fd to read and pread, or a negative errno.
 */
long okvm_vm_stats_fd(struct okvm_vm *vm, void *arg)
{
	return stats_fd(vm, "kvm-vm-stats", &vm_stats_fops, vm);
}

/**
 * okvm_vcpu_stats_fd - KVM_GET_STATS_FD on a vCPU
 * @vcpu: the vCPU
 * @arg: unused
 *
 * Return: an fd to read and pread, or a negative errno.
 */
long okvm_vcpu_stats_fd(struct okvm_vcpu *vcpu, void *arg)
{
	char name[32];

	snprintf(name, sizeof(name), "kvm-vcpu-stats:%d", vcpu->id);
	return stats_fd(vcpu->vm, name, &vcpu_stats_fops, vcpu);
}
