/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_VM_H
#define RUNNER_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot.h"
#include "bus.h"
#include "loop.h"
#include "memory.h"
#include "options.h"
#include "thread.h"

struct kvm_run;
struct kvm_irq_routing;
struct vm;

/* Why a VM ended. */
enum vm_end {
	VM_RUNNING,
	VM_POWEROFF,
	VM_REBOOT,
	VM_TRIPLE_FAULT,
	VM_GUEST_ERROR,		/* the guest did what the hypervisor cannot run */
	VM_HOST_ERROR,
	VM_QUIT,		/* the user asked on the terminal */
	VM_SIGNAL,		/* value: the signal */
	VM_PAYLOAD,		/* value: what the payload wrote to the exit port */
};

struct vcpu {
	struct vm *vm;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	struct thread thread;
};

/**
 * struct vm - one virtual machine
 * @node_fd: /dev/okvm or /dev/kvm
 * @fd: the VM
 * @run_size: bytes of each vCPU's struct kvm_run mapping
 * @irqchip: interrupt controllers and PIT are in the kernel (all but payloads)
 * @mem: guest RAM
 * @ports: I/O ports
 * @mmio: memory-mapped registers
 * @vcpus: array of @nr_vcpus
 * @loop: runs in the main thread until the VM ends
 * @end: why it ended; set once
 * @end_value: see enum vm_end
 * @routing_lock: for @routing and @nr_msi_routes
 * @routing: the GSI table as KVM has it
 * @nr_msi_routes: how many of its entries are MSIs, their GSIs following the IOAPIC's pins
 */
struct vm {
	int node_fd, fd;
	size_t run_size;
	bool irqchip;
	struct memory mem;
	struct bus ports, mmio;
	struct vcpu *vcpus;
	unsigned int nr_vcpus;
	struct loop loop;
	atomic_int end;
	int end_value;
	pthread_mutex_t routing_lock;
	struct kvm_irq_routing *routing;
	unsigned int nr_msi_routes;
};

int node_open(const char *device);
int node_check_version(int node_fd);

int vm_create(struct vm *vm, const struct options *opts);
int vm_run(struct vm *vm, const struct boot *boot);
void vm_destroy(struct vm *vm);
void vm_finish(struct vm *vm, enum vm_end end, int value);

int vcpu_create(struct vcpu *vcpu, const struct boot *boot);
int vcpu_start(struct vcpu *vcpu);
void vcpu_stop(struct vcpu *vcpu);
void vcpu_destroy(struct vcpu *vcpu);
int vcpu_set_state(struct vcpu *vcpu, const struct boot *boot);
int cpuid_set(struct vcpu *vcpu);

int irq_init(struct vm *vm);
void irq_set(struct vm *vm, unsigned int gsi, bool level);
int irq_route_msi(struct vm *vm, int gsi, int event_fd, uint64_t address, uint32_t data);

#endif
