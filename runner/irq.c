// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts into the guest: lines of the in-kernel chips, and irqfds that send MSIs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "report.h"
#include "vm.h"

#define IOAPIC_PINS	24U
#define PIC_PINS	16U
#define MAX_ROUTES	1024U

static void add_chip_route(struct kvm_irq_routing *routing, uint32_t gsi, uint32_t chip,
			   uint32_t pin)
{
	routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/**
 * irq_init - wire the PC's interrupt lines
 * @vm: the VM, with its irqchip
 *
 * GSI n is pin n of the IOAPIC and of the PIC pair, but for the timer: ISA IRQ 0 is pin 2 of the
 * IOAPIC, as the MADT tells the guest.
 *
 * Return: 0, or -1 after a report.
 */
int irq_init(struct vm *vm)
{
	struct kvm_irq_routing *routing;

	pthread_mutex_init(&vm->routing_lock, NULL);
	routing = calloc(1, sizeof(*routing) + MAX_ROUTES * sizeof(routing->entries[0]));
	if (!routing) {
		report("no memory for the interrupt routing table");
		return -1;
	}
	vm->routing = routing;
	for (uint32_t pin = 0; pin < PIC_PINS; pin++)
		if (pin != 2)
			add_chip_route(routing, pin, pin < 8 ? KVM_IRQCHIP_PIC_MASTER
							     : KVM_IRQCHIP_PIC_SLAVE, pin % 8);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		if (pin != 2)
			add_chip_route(routing, pin, KVM_IRQCHIP_IOAPIC, pin ? pin : 2);
	if (!ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing))
		return 0;
	report("KVM_SET_GSI_ROUTING with %u entries: %s", routing->nr, strerror(errno));
	return -1;
}

/**
 * irq_set - set the level of an interrupt line
 * @vm: the VM; without an irqchip there are no lines and nothing happens
 * @gsi: the line
 * @level: high or low
 */
void irq_set(struct vm *vm, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (!vm->irqchip || !ioctl(vm->fd, KVM_IRQ_LINE, &line))
		return;
	report("KVM_IRQ_LINE %u: %s", gsi, strerror(errno));
	vm_finish(vm, VM_HOST_ERROR, 0);
}

static struct kvm_irq_routing_entry *find_route(struct kvm_irq_routing *routing, int gsi)
{
	for (uint32_t i = 0; i < routing->nr; i++)
		if (routing->entries[i].gsi == (uint32_t)gsi)
			return &routing->entries[i];
	return NULL;
}

static int change_route(struct vm *vm, int gsi, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry *entry = find_route(vm->routing, gsi);

	if (entry->u.msi.address_lo == (uint32_t)address && entry->u.msi.data == data &&
	    entry->u.msi.address_hi == (uint32_t)(address >> 32))
		return 0;
	entry->u.msi.address_lo = (uint32_t)address;
	entry->u.msi.address_hi = (uint32_t)(address >> 32);
	entry->u.msi.data = data;
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routing);
}

static int add_route(struct vm *vm, int event_fd, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing *routing = vm->routing;
	uint32_t gsi = IOAPIC_PINS + vm->nr_msi_routes;
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd, .gsi = gsi };

	if (routing->nr == MAX_ROUTES)
		return -1;
	routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {
			.address_lo = (uint32_t)address,
			.address_hi = (uint32_t)(address >> 32),
			.data = data,
		},
	};
	vm->nr_msi_routes++;
	if (!ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing) && !ioctl(vm->fd, KVM_IRQFD, &irqfd))
		return (int)gsi;
	routing->nr--;
	vm->nr_msi_routes--;
	return -1;
}

/**
 * irq_route_msi - say which MSI an eventfd sends
 * @vm: the VM
 * @gsi: what an earlier call for the same eventfd returned, or -1 for the first
 * @event_fd: the eventfd
 * @address: the message's address; the guest's choice, hostile
 * @data: its data
 *
 * Return: the GSI that stands for the eventfd from now on, or -1 if KVM takes no more.
 */
int irq_route_msi(struct vm *vm, int gsi, int event_fd, uint64_t address, uint32_t data)
{
	pthread_mutex_lock(&vm->routing_lock);
	if (gsi < 0)
		gsi = add_route(vm, event_fd, address, data);
	else
		change_route(vm, gsi, address, data);
	pthread_mutex_unlock(&vm->routing_lock);
	return gsi;
}
