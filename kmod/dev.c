// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device node and the three kinds of fd: the device, a VM, a vCPU. An ioctl is a row in a
 * table, found by its number; arguments are copied in and out here and nowhere else.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dev.h"
#include "run.h"
#include "stats.h"
#include "vcpu.h"
#include "vm.h"
#include "vmm.h"

static bool kvm_node = true;
module_param(kvm_node, bool, 0444);
MODULE_PARM_DESC(kvm_node, "Also take the name /dev/kvm when it is free (default Y)");

/* By _IOC_NR; KVM's ABI gives one number to two commands of one fd at most. */
#define NR_NUMBERS	256
#define NR_SHARERS	2

struct ioctl_index {
	const struct okvm_ioctl *rows[NR_NUMBERS][NR_SHARERS];
};

static struct ioctl_index dev_index, vm_index, vcpu_index;

static const struct okvm_cap *const cap_tables[] = {
	okvm_vm_caps, okvm_irqchip_caps, okvm_mmu_caps, okvm_state_caps,
};

static const struct okvm_cap *find_cap(unsigned long cap)
{
	const struct okvm_cap *c;
	int i;

	if (cap > U32_MAX)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(cap_tables); i++)
		for (c = cap_tables[i]; c->value || c->check; c++)
			if (c->cap == cap)
				return c;
	return NULL;
}

/**
 * okvm_check_extension - KVM_CHECK_EXTENSION
 * @vm: the VM, or NULL on the device's fd
 * @cap: any number from user space
 *
 * Return: the capability's value; 0 for one that is unknown or does not work here.
 */
int okvm_check_extension(struct okvm_vm *vm, unsigned long cap)
{
	const struct okvm_cap *c = find_cap(cap);

	if (!c)
		return 0;
	return c->check ? c->check(vm) : c->value;
}

static long dev_api_version(void *arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

static long dev_check_extension(void *arg)
{
	return okvm_check_extension(NULL, (unsigned long)arg);
}

static long dev_mmap_size(void *arg)
{
	return arg ? -EINVAL : OKVM_VCPU_MMAP_PAGES * PAGE_SIZE;
}

static long vm_check_extension(struct okvm_vm *vm, void *arg)
{
	return okvm_check_extension(vm, (unsigned long)arg);
}

static bool cap_enable_args_ok(const struct kvm_enable_cap *cap)
{
	return !cap->flags;
}

static long vm_enable_cap(struct okvm_vm *vm, void *arg)
{
	const struct kvm_enable_cap *cap = arg;
	const struct okvm_cap *c = find_cap(cap->cap);

	if (!cap_enable_args_ok(cap) || !c || !c->enable)
		return -EINVAL;
	return c->enable(vm, cap);
}

static long vcpu_enable_cap(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_enable_cap *cap = arg;
	const struct okvm_cap *c = find_cap(cap->cap);

	if (!cap_enable_args_ok(cap) || !c || !c->enable_vcpu)
		return -EINVAL;
	return c->enable_vcpu(vcpu, cap);
}

static const struct okvm_ioctl own_dev_ioctls[] = {
	{ KVM_GET_API_VERSION, .dev = dev_api_version },
	{ KVM_CREATE_VM, .dev = okvm_vm_create },
	{ KVM_CHECK_EXTENSION, .dev = dev_check_extension },
	{ KVM_GET_VCPU_MMAP_SIZE, .dev = dev_mmap_size },
	{ }
};

static const struct okvm_ioctl own_vm_ioctls[] = {
	{ KVM_CHECK_EXTENSION, .vm = vm_check_extension },
	{ KVM_ENABLE_CAP, .vm = vm_enable_cap },
	{ KVM_CREATE_VCPU, .vm = okvm_vcpu_create },
	{ KVM_SET_BOOT_CPU_ID, .vm = okvm_set_boot_cpu_id },
	{ KVM_GET_STATS_FD, .vm = okvm_vm_stats_fd },
	{ }
};

static const struct okvm_ioctl own_vcpu_ioctls[] = {
	{ KVM_RUN, .vcpu = okvm_vcpu_run },
	{ KVM_ENABLE_CAP, .vcpu = vcpu_enable_cap },
	{ KVM_INTERRUPT, .vcpu = okvm_vcpu_interrupt },
	{ KVM_NMI, .vcpu = okvm_vcpu_nmi },
	{ KVM_GET_STATS_FD, .vcpu = okvm_vcpu_stats_fd },
	{ KVM_SET_SIGNAL_MASK, ARG_USER, .vcpu = okvm_vcpu_set_signal_mask },
	{ }
};

/* One struct of an ioctl's argument at most this size lives on the stack. */
#define SMALL_ARG 128

/*
 * Copy in, call, copy out. @call gets the kernel copy, the user pointer (ARG_USER) or the value
 * (_IO commands). Nothing is copied out when the handler fails.
 */
static __always_inline long with_arg(const struct okvm_ioctl *row, unsigned long arg,
				     long (*call)(const struct okvm_ioctl *, void *, void *),
				     void *object)
{
	unsigned int size = _IOC_SIZE(row->cmd), dir = _IOC_DIR(row->cmd);
	u64 small[SMALL_ARG / sizeof(u64)];
	void *buf = small;
	long r;

	if (dir == _IOC_NONE || row->arg == ARG_USER)
		return call(row, object, (void *)arg);
	if (row->arg == ARG_IN)
		dir = _IOC_WRITE;
	if (size > SMALL_ARG)
		buf = kmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;

	if (!(dir & _IOC_WRITE))
		memset(buf, 0, size);
	else if (copy_from_user(buf, (void __user *)arg, size)) {
		r = -EFAULT;
		goto out;
	}
	r = call(row, object, buf);
	if (r >= 0 && (dir & _IOC_READ) && copy_to_user((void __user *)arg, buf, size))
		r = -EFAULT;
out:
	if (buf != small)
		kfree(buf);
	return r;
}

static long call_dev(const struct okvm_ioctl *row, void *object, void *arg)
{
	return row->dev(arg);
}

static long call_vm(const struct okvm_ioctl *row, void *object, void *arg)
{
	return row->vm(object, arg);
}

static long call_vcpu(const struct okvm_ioctl *row, void *object, void *arg)
{
	struct okvm_vcpu *vcpu = object;
	long r;

	okvm_vcpu_load(vcpu);
	r = row->vcpu(vcpu, arg);
	okvm_vcpu_put(vcpu);
	return r;
}

static const struct okvm_ioctl *find_row(const struct ioctl_index *index, unsigned int cmd)
{
	const struct okvm_ioctl *const *rows = index->rows[_IOC_NR(cmd)];
	int i;

	for (i = 0; i < NR_SHARERS && rows[i]; i++)
		if (rows[i]->cmd == cmd)
			return rows[i];
	return NULL;
}

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct okvm_ioctl *row = find_row(&dev_index, cmd);

	return row ? with_arg(row, arg, call_dev, NULL) : -ENOTTY;
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct okvm_vm *vm = file->private_data;
	const struct okvm_ioctl *row;

	if (vm->mm != current->mm || READ_ONCE(vm->dead))
		return -EIO;
	row = find_row(&vm_index, cmd);
	return row ? with_arg(row, arg, call_vm, vm) : -ENOTTY;
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct okvm_vcpu *vcpu = file->private_data;
	const struct okvm_ioctl *row;
	long r;

	if (vcpu->vm->mm != current->mm || READ_ONCE(vcpu->vm->dead))
		return -EIO;
	row = find_row(&vcpu_index, cmd);
	if (!row)
		return -ENOTTY;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	r = with_arg(row, arg, call_vcpu, vcpu);
	mutex_unlock(&vcpu->mutex);
	return r;
}

static int vm_release(struct inode *inode, struct file *file)
{
	okvm_vm_put(file->private_data);
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct okvm_vcpu *vcpu = file->private_data;

	okvm_vm_put(vcpu->vm);
	return 0;
}

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct okvm_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page = okvm_vcpu_page(vcpu, vmf->pgoff);

	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = { .fault = vcpu_fault };

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	/* What user space writes into a ring must be what is read from it. */
	if (okvm_dirty_ring_maps(file->private_data, vma->vm_pgoff, vma_pages(vma)) &&
	    (vma->vm_flags & VM_EXEC || !(vma->vm_flags & VM_SHARED)))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static const struct file_operations dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

/**
 * okvm_vm_fd - a new fd for a VM; it takes the caller's reference when it succeeds
 * @vm: the VM
 *
 * Return: the fd (close-on-exec), or a negative errno.
 */
int okvm_vm_fd(struct okvm_vm *vm)
{
	return anon_inode_getfd("kvm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
}

/**
 * okvm_vcpu_fd - a new fd for a vCPU; it takes a reference on the VM when it succeeds
 * @vcpu: the vCPU
 *
 * Return: the fd (close-on-exec), or a negative errno.
 */
int okvm_vcpu_fd(struct okvm_vcpu *vcpu)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "kvm-vcpu:%d", vcpu->id);
	refcount_inc(&vcpu->vm->users);
	fd = anon_inode_getfd(name, &vcpu_fops, vcpu, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		okvm_vm_put(vcpu->vm);
	return fd;
}

static struct miscdevice okvm_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "okvm",
	.fops = &dev_fops,
	.mode = 0660,
};

static struct miscdevice kvm_misc = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &dev_fops,
	.mode = 0660,
};

static bool kvm_node_taken;

static void __init add_ioctls(struct ioctl_index *index, const struct okvm_ioctl *table)
{
	const struct okvm_ioctl **rows;
	int i;

	for (; table->cmd; table++) {
		rows = index->rows[_IOC_NR(table->cmd)];
		for (i = 0; i < NR_SHARERS && rows[i]; i++)
			WARN(rows[i]->cmd == table->cmd, "ioctl %#x is there twice", table->cmd);
		if (!WARN_ON(i == NR_SHARERS))
			rows[i] = table;
	}
}

/**
 * okvm_dev_setup - index the ioctl tables and show the device nodes
 *
 * Return: 0 or a negative errno; failing to get the name /dev/kvm is no error.
 */
int __init okvm_dev_setup(void)
{
	int err;

	add_ioctls(&dev_index, own_dev_ioctls);
	add_ioctls(&dev_index, okvm_state_dev_ioctls);
	add_ioctls(&vm_index, own_vm_ioctls);
	add_ioctls(&vm_index, okvm_irqchip_vm_ioctls);
	add_ioctls(&vm_index, okvm_mmu_vm_ioctls);
	add_ioctls(&vm_index, okvm_state_vm_ioctls);
	add_ioctls(&vcpu_index, own_vcpu_ioctls);
	add_ioctls(&vcpu_index, okvm_irqchip_vcpu_ioctls);
	add_ioctls(&vcpu_index, okvm_mmu_vcpu_ioctls);
	add_ioctls(&vcpu_index, okvm_state_vcpu_ioctls);

	okvm_stats_setup();
	err = misc_register(&okvm_misc);
	if (err) {
		okvm_stats_unsetup();
		return err;
	}
	kvm_node_taken = kvm_node && !misc_register(&kvm_misc);
	if (kvm_node && !kvm_node_taken)
		pr_info("the name /dev/kvm is taken: only /dev/okvm is there\n");
	return 0;
}

/**
 * okvm_dev_unsetup - remove the nodes
 *
 * Context: module unload, which the open fds' references hold off.
 */
void okvm_dev_unsetup(void)
{
	if (kvm_node_taken)
		misc_deregister(&kvm_misc);
	misc_deregister(&okvm_misc);
	okvm_stats_unsetup();
}
