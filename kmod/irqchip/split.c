// SPDX-License-Identifier: GPL-2.0-only
/*
 * The split irqchip: local APICs in the kernel, PICs, IOAPIC and PIT in user space. A pin of the
 * IOAPIC is a message route; the EOI of a level-triggered one is an exit, and what the PICs have
 * for LINT0 comes by KVM_INTERRUPT.
 */
#include "chip.h"

/**
 * irqchip_enable_split - KVM_ENABLE_CAP, KVM_CAP_SPLIT_IRQCHIP
 * @vm: the VM
 * @cap: args[0]: pins of user space's IOAPICs, which are the first GSIs
 *
 * KVM API document, 7.5.
 *
 * Return: 0; -EINVAL: too many pins; -EEXIST: there are controllers or vCPUs; -ENOMEM.
 */
int irqchip_enable_split(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] > MAX_ROUTES)
		return -EINVAL;
	return irqchip_create(vm, true, cap->args[0]);
}

static bool sends(const struct irq_route *route, struct okvm_vcpu *vcpu, u8 vector)
{
	const struct irq_message *msg = &route->msg;

	return route->type == KVM_IRQ_ROUTING_MSI && msg->vector == vector && msg->level &&
	       lapic_matches(&vcpu->lapic->apic, msg->dest, msg->logical);
}

/* Does one of user space's pins send this vector to this vCPU, level-triggered? */
static bool from_user_ioapic(struct okvm_vcpu *vcpu, u8 vector)
{
	struct okvm_irqchip *chip = vcpu->vm->irqchip;
	const struct irq_routing *table;
	bool found = false;
	unsigned int i, end;

	rcu_read_lock();
	table = rcu_dereference(chip->routing);
	end = table->first[min(chip->user_pins, table->nr_gsis)];
	for (i = 0; i < end && !found; i++)
		found = sends(&table->routes[i], vcpu, vector);
	rcu_read_unlock();
	return found;
}

/**
 * split_eoi - a level-triggered vector's service ended: user space's IOAPIC hears of it
 * @vcpu: the vCPU
 * @vector: the vector
 *
 * Context: vCPU thread.
 */
void split_eoi(struct okvm_vcpu *vcpu, u8 vector)
{
	if (!from_user_ioapic(vcpu, vector))
		return;
	vcpu->lapic->eoi_vector = vector;
	okvm_request(vcpu, REQ_IOAPIC_EOI);
}

/**
 * okvm_ioapic_eoi_exit - fill kvm_run for KVM_EXIT_IOAPIC_EOI, on REQ_IOAPIC_EOI
 * @vcpu: the vCPU
 */
void okvm_ioapic_eoi_exit(struct okvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	vcpu->run->eoi.vector = vcpu->lapic->eoi_vector;
}

/**
 * okvm_pic_in_kernel - are the PICs the kernel's?
 * @vcpu: the vCPU
 *
 * If not, user space may ask for an interrupt window.
 */
bool okvm_pic_in_kernel(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic && !vcpu->vm->irqchip->split;
}

/**
 * okvm_takes_user_irq - is there a place for a vector of KVM_INTERRUPT, and would LINT0 let it in?
 * @vcpu: the vCPU
 */
bool okvm_takes_user_irq(struct okvm_vcpu *vcpu)
{
	if (!vcpu->lapic)
		return !vcpu->ev.irq.injected;
	return vcpu->lapic->user_extint < 0 && irqchip_takes_extint(vcpu);
}

/**
 * okvm_user_extint - KVM_INTERRUPT with a local APIC in the kernel: user space's PIC has a vector
 * @vcpu: the vCPU, with a local APIC
 * @vector: the vector
 *
 * Return: 0; -ENXIO: the PICs are in the kernel; -EEXIST: one waits already.
 */
int okvm_user_extint(struct okvm_vcpu *vcpu, u8 vector)
{
	if (okvm_pic_in_kernel(vcpu))
		return -ENXIO;
	if (vcpu->lapic->user_extint >= 0)
		return -EEXIST;
	vcpu->lapic->user_extint = vector;
	okvm_request(vcpu, REQ_EVENT);
	return 0;
}
