// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU: a thread that enters the guest and serves its exits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "report.h"
#include "vm.h"

static void dump_registers(const struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return;
	report("vCPU %u: rip %#llx rsp %#llx rflags %#llx cs %#x cr0 %#llx cr2 %#llx cr3 %#llx "
	       "cr4 %#llx efer %#llx", vcpu->id, regs.rip, regs.rsp, regs.rflags,
	       sregs.cs.selector, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.efer);
	report("vCPU %u: rax %#llx rbx %#llx rcx %#llx rdx %#llx rsi %#llx rdi %#llx rbp %#llx",
	       vcpu->id, regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp);
}

static void serve_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(&vcpu->vm->ports, run->io.port, data, run->io.size);
		else
			bus_read(&vcpu->vm->ports, run->io.port, data, run->io.size);
	}
}

static void serve_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->mmio.is_write)
		bus_write(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static void serve_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_finish(vcpu->vm, VM_POWEROFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_finish(vcpu->vm, VM_REBOOT, 0);
		break;
	default:
		report("the guest reports that it crashed (system event %u)",
		       vcpu->run->system_event.type);
		vm_finish(vcpu->vm, VM_GUEST_ERROR, 0);
	}
}

static void describe_internal_error(const struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char text[256] = "";
	int used = 0;

	for (uint32_t i = 0; i < run->internal.ndata && i < 8; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, " %#llx",
				 run->internal.data[i]);
	report("vCPU %u: the hypervisor cannot go on (internal error %u%s%s)", vcpu->id,
	       run->internal.suberror, used ? ", data" : "", text);
}

/* An exit that ends the VM. */
static void serve_fatal(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		describe_internal_error(vcpu);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		report("vCPU %u: the hardware refuses to enter the guest (reason %#llx)", vcpu->id,
		       run->fail_entry.hardware_entry_failure_reason);
	else
		report("vCPU %u: unexpected exit %u", vcpu->id, run->exit_reason);
	dump_registers(vcpu);
	vm_finish(vcpu->vm, VM_GUEST_ERROR, 0);
}

static void serve_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		serve_mmio(vcpu);
		break;
	case KVM_EXIT_HLT:	/* only without an irqchip: nothing will ever wake it */
		vm_finish(vcpu->vm, VM_POWEROFF, 0);
		break;
	case KVM_EXIT_SHUTDOWN:
		report("vCPU %u: triple fault", vcpu->id);
		vm_finish(vcpu->vm, VM_TRIPLE_FAULT, 0);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		serve_system_event(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	default:
		serve_fatal(vcpu);
	}
}

/* Return: whether an exit is there to serve. */
static bool enter_guest(struct vcpu *vcpu)
{
	if (!ioctl(vcpu->fd, KVM_RUN, 0))
		return true;
	/* EAGAIN: the vCPU was waiting for SIPI and something, not SIPI, woke it. */
	if (errno != EINTR && errno != EAGAIN) {
		report("vCPU %u: KVM_RUN: %s", vcpu->id, strerror(errno));
		dump_registers(vcpu);
		vm_finish(vcpu->vm, VM_HOST_ERROR, 0);
	}
	return false;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;

	while (vcpu->vm->end == VM_RUNNING)
		if (enter_guest(vcpu))
			serve_exit(vcpu);
	return NULL;
}

/**
 * vcpu_create - make a vCPU, ready to start
 * @vcpu: with @vm, @id and an @fd of -1 set; vcpu_destroy() it whatever the outcome
 * @boot: how it starts, or NULL for one that waits for INIT and SIPI
 *
 * Return: 0, or -1 after a report.
 */
int vcpu_create(struct vcpu *vcpu, const struct boot *boot)
{
	vcpu->fd = ioctl(vcpu->vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu->id);
	if (vcpu->fd < 0) {
		report("KVM_CREATE_VCPU %u: %s", vcpu->id, strerror(errno));
		return -1;
	}
	vcpu->run = mmap(NULL, vcpu->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		report("cannot map vCPU %u: %s", vcpu->id, strerror(errno));
		return -1;
	}
	return vcpu_set_state(vcpu, boot);
}

/**
 * vcpu_start - start a vCPU's thread
 * @vcpu: the vCPU
 *
 * Return: 0, or -1 after a report.
 */
int vcpu_start(struct vcpu *vcpu)
{
	char name[16];

	snprintf(name, sizeof(name), "vcpu/%u", vcpu->id);
	return thread_start(&vcpu->thread, name, vcpu_thread, vcpu);
}

/**
 * vcpu_stop - make a vCPU's thread end, and wait for it
 * @vcpu: the vCPU; its VM has ended
 *
 * A kick that comes just before KVM_RUN is not lost: immediate_exit sees to that.
 */
void vcpu_stop(struct vcpu *vcpu)
{
	if (vcpu->run)
		vcpu->run->immediate_exit = 1;
	thread_stop(&vcpu->thread);
}

/**
 * vcpu_destroy - free a vCPU
 * @vcpu: the vCPU, stopped or never created
 */
void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu->vm)
		return;
	if (vcpu->run)
		munmap(vcpu->run, vcpu->vm->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
}
