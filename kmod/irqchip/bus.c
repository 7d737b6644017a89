// SPDX-License-Identifier: GPL-2.0-only
/* The guest's MMIO and port accesses that need not go to user space. */
#include "chip.h"

/**
 * okvm_mmio_write - a guest write to no memory
 * @vcpu: the vCPU
 * @gpa: the address
 * @len: bytes
 * @data: the bytes
 *
 * Controllers first, then ioeventfds, then coalesced zones.
 *
 * Context: vCPU thread, may sleep.
 * Return: 0: done; -EOPNOTSUPP: user space's.
 */
int okvm_mmio_write(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data)
{
	struct okvm_vm *vm = vcpu->vm;

	if (vcpu->lapic) {
		if (!lapic_mmio_write(vcpu, gpa, len, data))
			return 0;
		if (!vm->irqchip->split &&
		    !irqchip_ioapic_access(vm->irqchip, gpa, len, (void *)data, true))
			return 0;
	}
	if (ioeventfd_signal(vm->io, false, gpa, len, data) ||
	    coalesced_write(vm, false, gpa, len, data))
		return 0;
	return -EOPNOTSUPP;
}

/**
 * okvm_mmio_read - a guest read from no memory
 * @vcpu: the vCPU
 * @gpa: the address
 * @len: bytes
 * @data: filled
 *
 * Context: vCPU thread, may sleep.
 * Return: 0: done; -EOPNOTSUPP: user space's.
 */
int okvm_mmio_read(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data)
{
	if (!vcpu->lapic)
		return -EOPNOTSUPP;
	if (!lapic_mmio_read(vcpu, gpa, len, data))
		return 0;
	if (vcpu->vm->irqchip->split)
		return -EOPNOTSUPP;
	return irqchip_ioapic_access(vcpu->vm->irqchip, gpa, len, data, false);
}

static int chip_pio(struct okvm_vcpu *vcpu, u16 port, unsigned int size, void *data, bool write)
{
	struct okvm_irqchip *chip = vcpu->vm->irqchip;

	if (!okvm_pic_in_kernel(vcpu))
		return -EOPNOTSUPP;
	if (!irqchip_pic_access(chip, port, size, data, write))
		return 0;
	return pit_access(chip, port, size, data, write);
}

/**
 * okvm_pio_write - OUT
 * @vcpu: the vCPU
 * @port: the port
 * @size: 1, 2 or 4
 * @data: the bytes
 *
 * Context: vCPU thread, may sleep.
 * Return: 0: done; -EOPNOTSUPP: user space's.
 */
int okvm_pio_write(struct okvm_vcpu *vcpu, u16 port, unsigned int size, const void *data)
{
	if (!chip_pio(vcpu, port, size, (void *)data, true))
		return 0;
	if (ioeventfd_signal(vcpu->vm->io, true, port, size, data) ||
	    coalesced_write(vcpu->vm, true, port, size, data))
		return 0;
	return -EOPNOTSUPP;
}

/**
 * okvm_pio_read - IN
 * @vcpu: the vCPU
 * @port: the port
 * @size: 1, 2 or 4
 * @data: filled
 *
 * Context: vCPU thread, may sleep.
 * Return: 0: done; -EOPNOTSUPP: user space's.
 */
int okvm_pio_read(struct okvm_vcpu *vcpu, u16 port, unsigned int size, void *data)
{
	return chip_pio(vcpu, port, size, data, false);
}
