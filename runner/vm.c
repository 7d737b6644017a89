// SPDX-License-Identifier: GPL-2.0-only
/* A VM's life: create, run until something ends it, stop every thread, destroy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "report.h"
#include "vm.h"

struct needed_cap {
	int cap;
	const char *name;
	bool irqchip;	/* not for payloads */
};

#define NEED(cap, irqchip) { cap, #cap, irqchip }

static const struct needed_cap needed_caps[] = {
	NEED(KVM_CAP_USER_MEMORY, false),
	NEED(KVM_CAP_EXT_CPUID, false),
	NEED(KVM_CAP_IMMEDIATE_EXIT, false),
	NEED(KVM_CAP_IRQCHIP, true),
	NEED(KVM_CAP_PIT2, true),
	NEED(KVM_CAP_IRQ_ROUTING, true),
	NEED(KVM_CAP_IRQFD, true),
	NEED(KVM_CAP_IOEVENTFD, true),
};

static int check_caps(const struct vm *vm)
{
	int max_cpus = ioctl(vm->node_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	for (size_t i = 0; i < sizeof(needed_caps) / sizeof(needed_caps[0]); i++) {
		const struct needed_cap *need = &needed_caps[i];

		if ((vm->irqchip || !need->irqchip) &&
		    ioctl(vm->node_fd, KVM_CHECK_EXTENSION, need->cap) <= 0) {
			report("the hypervisor lacks %s, which this needs", need->name);
			return -1;
		}
	}
	if (max_cpus > 0 && vm->nr_vcpus > (unsigned int)max_cpus) {
		report("--cpus %u: the hypervisor takes no more than %d", vm->nr_vcpus, max_cpus);
		return -1;
	}
	return 0;
}

static int create_vm_fd(struct vm *vm)
{
	int size;

	do {
		vm->fd = ioctl(vm->node_fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0) {
		report("KVM_CREATE_VM: %s", strerror(errno));
		return -1;
	}
	size = ioctl(vm->node_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run)) {
		report("KVM_GET_VCPU_MMAP_SIZE says %d: too small", size);
		return -1;
	}
	vm->run_size = (size_t)size;
	return 0;
}

static int create_irqchip(struct vm *vm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0)) {
		report("KVM_CREATE_IRQCHIP: %s", strerror(errno));
		return -1;
	}
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit)) {
		report("KVM_CREATE_PIT2: %s", strerror(errno));
		return -1;
	}
	return irq_init(vm);
}

/**
 * vm_create - make a VM with memory and interrupt controllers, no vCPUs or devices yet
 * @vm: the VM, zeroed; vm_destroy() it whatever the outcome
 * @opts: the command line
 *
 * Return: 0, or -1 after a report.
 */
int vm_create(struct vm *vm, const struct options *opts)
{
	vm->node_fd = vm->fd = -1;
	vm->nr_vcpus = opts->cpus;
	vm->irqchip = !opts->payload;
	vm->vcpus = calloc(vm->nr_vcpus, sizeof(*vm->vcpus));
	if (!vm->vcpus || loop_init(&vm->loop))
		return -1;
	vm->node_fd = node_open(opts->device);
	if (vm->node_fd < 0 || node_check_version(vm->node_fd) || check_caps(vm) ||
	    create_vm_fd(vm))
		return -1;
	/* Intel CPUs without unrestricted guest run real mode in a task; others ignore it. */
	if (ioctl(vm->node_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_TSS_BASE)) {
		report("KVM_SET_TSS_ADDR: %s", strerror(errno));
		return -1;
	}
	if (memory_create(&vm->mem, opts->memory, opts->hugepages) ||
	    memory_register(&vm->mem, vm->fd))
		return -1;
	return vm->irqchip ? create_irqchip(vm) : 0;
}

static int create_vcpus(struct vm *vm, const struct boot *boot)
{
	for (unsigned int i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i] = (struct vcpu){ .vm = vm, .id = i, .fd = -1 };
		if (vcpu_create(&vm->vcpus[i], i ? NULL : boot))
			return -1;
	}
	return 0;
}

/**
 * vm_run - run a VM until it ends
 * @vm: the VM, with memory filled and devices added
 * @boot: how its first vCPU starts
 *
 * Runs @vm->loop in this thread meanwhile. On return no vCPU runs.
 *
 * Return: 0, or -1 after a report if it could not start.
 */
int vm_run(struct vm *vm, const struct boot *boot)
{
	int ret = create_vcpus(vm, boot);

	for (unsigned int i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = vcpu_start(&vm->vcpus[i]);
	if (!ret)
		loop_run(&vm->loop);
	else
		vm_finish(vm, VM_HOST_ERROR, 0);
	for (unsigned int i = 0; i < vm->nr_vcpus; i++)
		vcpu_stop(&vm->vcpus[i]);
	return ret;
}

/**
 * vm_finish - end a VM
 * @vm: the VM
 * @end: why; the first reason given stays
 * @value: see enum vm_end
 *
 * May be called from any thread; returns at once.
 */
void vm_finish(struct vm *vm, enum vm_end end, int value)
{
	int running = VM_RUNNING;

	if (atomic_compare_exchange_strong(&vm->end, &running, end))
		vm->end_value = value;
	loop_stop(&vm->loop);
}

/**
 * vm_destroy - free all that vm_create() and vm_run() made
 * @vm: the VM; no thread of it runs
 */
void vm_destroy(struct vm *vm)
{
	for (unsigned int i = 0; vm->vcpus && i < vm->nr_vcpus; i++)
		vcpu_destroy(&vm->vcpus[i]);
	free(vm->vcpus);
	free(vm->routing);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->node_fd >= 0)
		close(vm->node_fd);
	memory_destroy(&vm->mem);
	loop_destroy(&vm->loop);
}
