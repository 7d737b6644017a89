// SPDX-License-Identifier: GPL-2.0-only
/* Puts a machine together from its options: VM, devices, and what to boot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "machine.h"
#include "report.h"

static uint64_t payload_read(void *device, uint64_t offset, unsigned int len)
{
	(void)device;
	(void)offset;
	(void)len;
	return 0;
}

static void payload_exit(void *device, uint64_t offset, uint64_t value, unsigned int len)
{
	struct machine *machine = device;

	(void)offset;
	(void)len;
	vm_finish(&machine->vm, VM_PAYLOAD, value < 255 ? (int)value : 255);
}

static void payload_debug(void *device, uint64_t offset, uint64_t value, unsigned int len)
{
	struct machine *machine = device;
	uint8_t byte = (uint8_t)value;

	(void)offset;
	(void)len;
	terminal_write(&machine->terminal, &byte, 1);
}

static const struct bus_ops payload_exit_ops = { payload_read, payload_exit };
static const struct bus_ops payload_debug_ops = { payload_read, payload_debug };

static void add_payload_ports(struct machine *machine)
{
	struct bus *ports = &machine->vm.ports;

	bus_add(ports, PAYLOAD_EXIT_PORT, 4, &payload_exit_ops, machine);
	bus_add(ports, PAYLOAD_DEBUG_PORT, 1, &payload_debug_ops, machine);
}

static int add_virtio(struct machine *machine, const struct options *opts, struct console *console)
{
	struct vm *vm = &machine->vm;
	struct pci *pci = &machine->pci;

	for (unsigned int i = 0; i < opts->nr_disks; i++)
		if (blk_add(vm, pci, &opts->disks[i], &machine->virtio))
			return -1;
	if (opts->net != NET_NONE && net_add(vm, pci, opts, &machine->virtio))
		return -1;
	if (opts->rng && rng_add(vm, pci, &machine->virtio))
		return -1;
	if (opts->console == CONSOLE_VIRTIO)
		return hvc_add(vm, pci, &machine->terminal, console, &machine->virtio);
	return 0;
}

static int add_devices(struct machine *machine, const struct options *opts)
{
	struct vm *vm = &machine->vm;
	struct console console;

	serial_init(&machine->serial, vm, &machine->terminal);
	serial_console(&machine->serial, &console);
	if (opts->payload) {
		add_payload_ports(machine);
	} else {
		pm_init(&machine->pm, vm);
		rtc_init(&machine->rtc, vm);
		pci_init(&machine->pci, &vm->ports, &vm->mmio);
		if (add_virtio(machine, opts, &console))
			return -1;
	}
	return terminal_open(&machine->terminal, vm, &console);
}

/**
 * machine_create - make a VM and its devices
 * @machine: zeroed; machine_destroy() it whatever the outcome
 * @opts: the command line
 *
 * Return: 0, or -1 after a report.
 */
int machine_create(struct machine *machine, const struct options *opts)
{
	if (vm_create(&machine->vm, opts))
		return -1;
	return add_devices(machine, opts);
}

/* The console that the user sees is the kernel's, unless the user says otherwise. */
static int make_command_line(const struct options *opts, char **line)
{
	const char *append = opts->append ? opts->append : "";
	const char *console = opts->console == CONSOLE_VIRTIO ? "hvc0" : "ttyS0";
	int n;

	if (strstr(append, "console="))
		n = asprintf(line, "%s", append);
	else
		n = asprintf(line, "console=%s%s%s", console, *append ? " " : "", append);
	if (n < 0)
		report("no memory for the kernel's command line");
	return n < 0 ? -1 : 0;
}

/**
 * machine_load - fill memory with what is to run
 * @machine: the machine
 * @opts: the command line
 * @boot: receives how to start it
 *
 * Return: 0, or -1 after a report.
 */
int machine_load(struct machine *machine, const struct options *opts, struct boot *boot)
{
	struct boot_files files = { .kernel = opts->kernel, .initrd = opts->initrd };
	char *line;
	int ret;

	if (opts->payload)
		return load_payload(&machine->vm.mem, opts->payload, boot);
	if (make_command_line(opts, &line))
		return -1;
	files.command_line = line;
	files.rsdp = acpi_build(&machine->vm.mem, machine->vm.nr_vcpus);
	ret = load_kernel(&machine->vm.mem, &files, boot);
	free(line);
	return ret;
}

/**
 * machine_run - run a machine until its VM ends
 * @machine: the machine, loaded
 * @boot: how to start it
 *
 * On return none of its threads is left.
 *
 * Return: 0, or -1 after a report if it could not start.
 */
int machine_run(struct machine *machine, const struct boot *boot)
{
	int ret = 0;

	for (struct virtio_device *device = machine->virtio; device && !ret; device = device->next)
		ret = virtio_start(device);
	if (!ret)
		ret = vm_run(&machine->vm, boot);
	else
		vm_finish(&machine->vm, VM_HOST_ERROR, 0);
	for (struct virtio_device *device = machine->virtio; device; device = device->next)
		virtio_stop(device);
	return ret;
}

/**
 * machine_destroy - free all of a machine
 * @machine: the machine; no thread of it runs
 */
void machine_destroy(struct machine *machine)
{
	terminal_close(&machine->terminal);
	while (machine->virtio) {
		struct virtio_device *device = machine->virtio;

		machine->virtio = device->next;
		virtio_destroy(device);
	}
	vm_destroy(&machine->vm);
}
