// SPDX-License-Identifier: GPL-2.0-only
/* A VM's PICs and IOAPIC: creation, locks, the way from a pin to a CPU and of an EOI back. */
#include <linux/slab.h>

#include "chip.h"

/* ---- lines ---- */

/* The line is high while any source holds it up. */
static bool line_level(u8 *sources, enum irq_source source, bool level)
{
	if (level)
		*sources |= BIT(source);
	else
		*sources &= ~BIT(source);
	return *sources;
}

/**
 * irqchip_takes_extint - does LINT0 let the PICs' interrupts in?
 * @vcpu: the vCPU, with a local APIC
 */
bool irqchip_takes_extint(struct okvm_vcpu *vcpu)
{
	const struct lapic *l = &vcpu->lapic->apic;
	u32 lint0 = lapic_reg(l, APIC_LVT0);

	/* An APIC that is off leaves the pin to the CPU. */
	return READ_ONCE(l->mode) == LAPIC_OFF ||
	       (lint0 & (APIC_LVT_MASKED | APIC_MODE_MASK)) == IRQ_EXTINT << 8;
}

/* The PIC's output rose: tell the CPU that listens, the first if it is several. */
static void wake_for_pic(struct okvm_irqchip *chip)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	okvm_for_each_vcpu(i, vcpu, chip->vm) {
		if (vcpu->lapic && irqchip_takes_extint(vcpu)) {
			okvm_request_kick(vcpu, REQ_EVENT);
			return;
		}
	}
}

static int gsi_of(struct okvm_irqchip *chip, int which, unsigned int pin)
{
	int gsi;

	rcu_read_lock();
	gsi = rcu_dereference(chip->routing)->gsi_of[which][pin];
	rcu_read_unlock();
	return gsi;
}

/* Service of these pins of a chip ended: whoever waits for that is told. No lock is held. */
static void acked(struct okvm_irqchip *chip, int which, unsigned long pins)
{
	unsigned int pin;
	int gsi;

	for_each_set_bit(pin, &pins, KVM_IOAPIC_NUM_PINS) {
		gsi = gsi_of(chip, which, pin);
		if (gsi == GSI_PIT)
			pit_eoi(chip);
		if (gsi >= 0)
			irqfd_eoi(chip, gsi);
	}
}

struct pic_section {
	unsigned long flags;
	bool output;
};

static struct pic_section pic_begin(struct okvm_irqchip *chip) __acquires(&chip->pic_lock)
{
	struct pic_section s;

	raw_spin_lock_irqsave(&chip->pic_lock, s.flags);
	s.output = chip->pic.output;
	return s;
}

/* Leave the lock, then do what followed from the change. */
static void pic_end(struct okvm_irqchip *chip, struct pic_section s) __releases(&chip->pic_lock)
{
	bool rose = !s.output && chip->pic.output;
	u16 pins = chip->pic.acked;

	chip->pic.acked = 0;
	raw_spin_unlock_irqrestore(&chip->pic_lock, s.flags);
	if (rose)
		wake_for_pic(chip);
	if (pins) {
		acked(chip, KVM_IRQCHIP_PIC_MASTER, pins & 0xff);
		acked(chip, KVM_IRQCHIP_PIC_SLAVE, pins >> 8);
	}
}

/**
 * irqchip_set_pic - drive a pin of the PICs
 * @chip: the VM's controllers
 * @pin: 0 to 15
 * @source: who
 * @level: its level
 *
 * Context: any. Return: as pic_set_line().
 */
int irqchip_set_pic(struct okvm_irqchip *chip, unsigned int pin, enum irq_source source, bool level)
{
	struct pic_section s = pic_begin(chip);
	int r = pic_set_line(&chip->pic, pin, line_level(&chip->pic_lines[pin], source, level));

	pic_end(chip, s);
	return r;
}

/* User space asks whether the RTC's tick got through: not while the last is still in service. */
static bool rtc_coalesces(struct okvm_irqchip *chip, unsigned int pin)
{
	struct irq_message msg;

	if (pin != GSI_RTC || ioapic_level(&chip->ioapic, pin))
		return false;
	ioapic_message(&chip->ioapic, pin, &msg);
	return irq_in_flight(chip, &msg);
}

/**
 * irqchip_set_ioapic - drive a pin of the IOAPIC
 * @chip: the VM's controllers
 * @pin: 0 to 23
 * @source: who
 * @level: its level
 * @want_status: the caller reinjects what was coalesced
 *
 * Context: any. Return: as ioapic_set_line().
 */
int irqchip_set_ioapic(struct okvm_irqchip *chip, unsigned int pin, enum irq_source source,
		       bool level, bool want_status)
{
	unsigned long flags;
	int r = 0;

	raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
	level = line_level(&chip->ioapic_lines[pin], source, level);
	if (!(level && want_status && rtc_coalesces(chip, pin)))
		r = ioapic_set_line(&chip->ioapic, pin, level);
	raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);
	return r;
}

int ioapic_deliver(struct ioapic *io, const struct irq_message *msg)
{
	struct okvm_irqchip *chip = container_of(io, struct okvm_irqchip, ioapic);

	return irq_deliver(chip, NULL, msg);
}

/* ---- the vCPU's side ---- */

static bool extint_pending(struct okvm_vcpu *vcpu)
{
	const struct okvm_irqchip *chip = vcpu->vm->irqchip;
	bool any = chip->split ? vcpu->lapic->user_extint >= 0 : READ_ONCE(chip->pic.output);

	return any && irqchip_takes_extint(vcpu);
}

/**
 * okvm_irq_pending - is there an interrupt for this vCPU that its APIC lets through?
 * @vcpu: the vCPU; without a local APIC in the kernel there is none
 *
 * Sees all that was accepted before the kick it follows.
 *
 * Context: vCPU thread, does not sleep, takes no lock.
 */
bool okvm_irq_pending(struct okvm_vcpu *vcpu)
{
	if (!vcpu->lapic)
		return false;
	lapic_sync(&vcpu->lapic->apic);
	if (vcpu->lapic->apic.mode != LAPIC_OFF && lapic_pending(&vcpu->lapic->apic) >= 0)
		return true;
	return extint_pending(vcpu);
}

/**
 * okvm_irq_injectable - the same, but only what is to be injected: not what the CPU delivers
 * @vcpu: the vCPU
 *
 * Context: vCPU thread, does not sleep, takes no lock.
 */
bool okvm_irq_injectable(struct okvm_vcpu *vcpu)
{
	if (vcpu->lapic && vcpu->lapic->apic.hw)
		return extint_pending(vcpu);
	return okvm_irq_pending(vcpu);
}

static int take_extint(struct okvm_vcpu *vcpu)
{
	struct okvm_irqchip *chip = vcpu->vm->irqchip;
	struct pic_section s;
	int vector;

	if (chip->split) {
		vector = vcpu->lapic->user_extint;
		vcpu->lapic->user_extint = -1;
		return vector;
	}
	s = pic_begin(chip);
	vector = chip->pic.output ? pic_take(&chip->pic) : -1;
	pic_end(chip, s);
	return vector;
}

/**
 * okvm_irq_take - acknowledge the interrupt of okvm_irq_pending()
 * @vcpu: the vCPU
 *
 * Context: vCPU thread.
 * Return: the vector, or -1 if it is gone.
 */
int okvm_irq_take(struct okvm_vcpu *vcpu)
{
	int vector;

	if (!vcpu->lapic)
		return -1;
	if (unlikely(extint_pending(vcpu))) {
		vector = take_extint(vcpu);
		if (vector >= 0)
			return vector;
	}
	if (vcpu->lapic->apic.hw || vcpu->lapic->apic.mode == LAPIC_OFF)
		return -1;
	return lapic_take(&vcpu->lapic->apic);
}

void lapic_lint0_changed(struct lapic *l, u32 old)
{
	const u32 mask = APIC_LVT_MASKED | APIC_MODE_MASK;
	struct okvm_vcpu *vcpu = lapic_of(l)->vcpu;
	struct okvm_irqchip *chip = vcpu->vm->irqchip;
	u32 new = lapic_reg(l, APIC_LVT0);
	int nmi = ((new & mask) == IRQ_NMI << 8) - ((old & mask) == IRQ_NMI << 8);

	if (nmi)
		atomic_add(nmi, &chip->lint0_nmis);
	if (extint_pending(vcpu))
		okvm_request(vcpu, REQ_EVENT);
}

/* ---- EOI ---- */

/* An edge's EOI counts only on a CPU that the pin's message goes to. */
static bool answers(struct okvm_irqchip *chip, unsigned int pin, struct okvm_vcpu *vcpu, bool level)
{
	struct irq_message msg;

	if (ioapic_level(&chip->ioapic, pin) != level)
		return false;
	ioapic_message(&chip->ioapic, pin, &msg);
	return level || lapic_matches(&vcpu->lapic->apic, msg.dest, msg.logical);
}

/**
 * irqchip_eoi - a vCPU ended the service of a vector that may have come from the IOAPIC
 * @vcpu: the vCPU
 * @vector: the vector
 * @level: it was level-triggered
 *
 * Who waits for the EOI is told before the pin may send again: they may let go of the line.
 *
 * Context: vCPU thread, no lock held.
 */
void irqchip_eoi(struct okvm_vcpu *vcpu, u8 vector, bool level)
{
	struct okvm_irqchip *chip = vcpu->vm->irqchip;
	unsigned long flags, pins, told = 0;
	unsigned int pin;

	raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
	pins = ioapic_pins_of(&chip->ioapic, vector);
	for_each_set_bit(pin, &pins, KVM_IOAPIC_NUM_PINS)
		if (answers(chip, pin, vcpu, level))
			told |= BIT(pin);
	raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);

	acked(chip, KVM_IRQCHIP_IOAPIC, told);
	if (!level)
		return;
	raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
	ioapic_eoi(&chip->ioapic, vector);
	raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);
}

void lapic_eoi_sent(struct lapic *l, u8 vector)
{
	struct okvm_vcpu *vcpu = lapic_of(l)->vcpu;
	bool level = lapic_test(l, APIC_TMR, vector);

	if (likely(!level && !test_bit(vector, vcpu->vm->irqchip->edge_eois)))
		return;
	if (vcpu->vm->irqchip->split)
		split_eoi(vcpu, vector);
	else
		irqchip_eoi(vcpu, vector, level);
}

static bool wants_edge_eoi(struct okvm_irqchip *chip, unsigned int pin)
{
	int gsi = gsi_of(chip, KVM_IRQCHIP_IOAPIC, pin);

	if (ioapic_level(&chip->ioapic, pin) || gsi < 0)
		return false;
	return (gsi == GSI_PIT && pit_wants_eoi(chip)) || irqfd_resamples(chip, gsi);
}

/* Level-triggered vectors, and those of @edges: whose EOIs must not go unseen. */
static void update_eoi_exits(struct okvm_irqchip *chip, const unsigned long *edges)
{
	DECLARE_BITMAP(vectors, 256);
	const struct irq_routing *table;
	unsigned int i, end;

	bitmap_copy(vectors, edges, 256);
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (ioapic_level(&chip->ioapic, i))
			__set_bit(chip->ioapic.s.redirtbl[i].fields.vector, vectors);
	rcu_read_lock();
	table = rcu_dereference(chip->routing);
	end = table->first[min(chip->user_pins, table->nr_gsis)];
	for (i = 0; i < end; i++)
		if (table->routes[i].type == KVM_IRQ_ROUTING_MSI && table->routes[i].msg.level)
			__set_bit(table->routes[i].msg.vector, vectors);
	rcu_read_unlock();
	apicv_eoi_exits_changed(chip, vectors);
}

/**
 * irqchip_update_edge_eois - an entry, a route or a listener changed: whose EOI to look for
 * @chip: the VM's controllers
 *
 * Context: process.
 */
void irqchip_update_edge_eois(struct okvm_irqchip *chip)
{
	DECLARE_BITMAP(vectors, 256) = { };
	unsigned long flags;
	int i;

	raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (wants_edge_eoi(chip, i))
			__set_bit(chip->ioapic.s.redirtbl[i].fields.vector, vectors);
	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		WRITE_ONCE(chip->edge_eois[i], vectors[i]);
	raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);
	update_eoi_exits(chip, vectors);
}

/* ---- the guest's accesses ---- */

/*
 * A level request that waited behind the mask may be out of date: with a resampler, ask the
 * device anew instead of sending it.
 */
static bool unmask_level(struct okvm_irqchip *chip, unsigned int pin, int gsi)
{
	if (!ioapic_waits(&chip->ioapic, pin))
		return false;
	if (gsi >= 0 && irqfd_resamples(chip, gsi)) {
		chip->ioapic.s.irr &= ~BIT(pin);
		return true;
	}
	ioapic_service(&chip->ioapic, pin);
	return false;
}

static void ioapic_guest_write(struct okvm_irqchip *chip, unsigned int offset, u32 value)
{
	bool resample = false, unmasked = false;
	unsigned long flags;
	u32 masked = 0;
	int pin, gsi = -1;

	raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		masked |= chip->ioapic.s.redirtbl[pin].fields.mask << pin;
	pin = ioapic_write(&chip->ioapic, offset, value);
	if (pin >= 0) {
		gsi = gsi_of(chip, KVM_IRQCHIP_IOAPIC, pin);
		unmasked = (masked & BIT(pin)) && !chip->ioapic.s.redirtbl[pin].fields.mask;
		resample = unmask_level(chip, pin, gsi);
	}
	raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);

	if (pin < 0)
		return;
	irqchip_update_edge_eois(chip);
	if (unmasked && gsi == GSI_PIT)
		pit_unmasked(chip);
	if (resample)
		irqfd_eoi(chip, gsi);
}

/**
 * irqchip_ioapic_access - a guest access to the IOAPIC's page
 * @chip: the VM's controllers
 * @gpa: the address
 * @len: bytes
 * @data: read: filled
 * @write: direction
 *
 * Return: 0, or -EOPNOTSUPP: not the IOAPIC's.
 */
int irqchip_ioapic_access(struct okvm_irqchip *chip, gpa_t gpa, unsigned int len, void *data,
			  bool write)
{
	u64 offset = gpa - READ_ONCE(chip->ioapic.s.base_address);
	unsigned long flags;
	u64 value = 0;

	if (offset >= IOAPIC_BYTES || len > sizeof(value))
		return -EOPNOTSUPP;
	if (write) {
		memcpy(&value, data, len);
		ioapic_guest_write(chip, offset, value);
		return 0;
	}
	raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
	value = ioapic_read(&chip->ioapic, offset);
	raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);
	memcpy(data, &value, len);
	return 0;
}

/**
 * irqchip_pic_access - a guest access to a port of the PICs
 * @chip: the VM's controllers
 * @port: the port
 * @size: bytes; only single bytes mean something, others read as 0
 * @data: read: filled
 * @write: direction
 *
 * Return: 0, or -EOPNOTSUPP: not a port of the PICs.
 */
int irqchip_pic_access(struct okvm_irqchip *chip, u16 port, unsigned int size, void *data,
		       bool write)
{
	struct pic_section s;
	u8 imr, *byte = data;

	if ((port & ~0x81) != 0x20 && (port & ~1) != 0x4d0)
		return -EOPNOTSUPP;
	if (size != 1) {
		if (!write)
			memset(data, 0, size);
		return 0;
	}
	s = pic_begin(chip);
	imr = chip->pic.chip[0].imr;
	if (write)
		pic_write(&chip->pic, port, *byte);
	else
		*byte = pic_read(&chip->pic, port);
	imr &= ~chip->pic.chip[0].imr;
	pic_end(chip, s);
	if ((imr & 1) && gsi_of(chip, KVM_IRQCHIP_PIC_MASTER, 0) == GSI_PIT)
		pit_unmasked(chip);
	return 0;
}

/* ---- a VM's life ---- */

/**
 * okvm_irqchip_vm_create - a new VM: its I/O bus; controllers come with KVM_CREATE_IRQCHIP
 * @vm: the VM
 *
 * Return: 0 or -ENOMEM.
 */
int okvm_irqchip_vm_create(struct okvm_vm *vm)
{
	vm->io = kzalloc(sizeof(*vm->io), GFP_KERNEL_ACCOUNT);
	if (!vm->io)
		return -ENOMEM;
	mutex_init(&vm->io->lock);
	spin_lock_init(&vm->io->ring_lock);
	return 0;
}

/**
 * okvm_irqchip_vm_release - the last fd is closed: stop what comes from outside
 * @vm: the VM
 *
 * Context: may sleep.
 */
void okvm_irqchip_vm_release(struct okvm_vm *vm)
{
	struct okvm_irqchip *chip = vm->irqchip;

	if (!chip)
		return;
	irqfd_release(chip);
	pit_stop(chip);
}

static void irqchip_free(struct okvm_irqchip *chip)
{
	pit_free(chip);
	apicv_free(chip);
	lapic_map_free(chip);
	kvfree(rcu_dereference_protected(chip->routing, true));
	kfree(chip);
}

/**
 * okvm_irqchip_vm_destroy - free everything; vCPUs are gone
 * @vm: the VM
 */
void okvm_irqchip_vm_destroy(struct okvm_vm *vm)
{
	if (vm->irqchip)
		irqchip_free(vm->irqchip);
	vm->irqchip = NULL;
	ioeventfd_free(vm->io);
	coalesced_free(vm->io);
	kfree(vm->io);
	if (vm->coalesced_page)
		put_page(vm->coalesced_page);
}

static struct okvm_irqchip *irqchip_alloc(struct okvm_vm *vm, bool split, u32 user_pins)
{
	struct okvm_irqchip *chip = kzalloc(sizeof(*chip), GFP_KERNEL_ACCOUNT);
	struct irq_routing *table;

	if (!chip)
		return ERR_PTR(-ENOMEM);
	table = split ? routing_empty() : routing_default();
	if (IS_ERR(table)) {
		kfree(chip);
		return ERR_CAST(table);
	}
	rcu_assign_pointer(chip->routing, table);
	if (apicv_create(chip)) {
		kvfree(table);
		kfree(chip);
		return ERR_PTR(-ENOMEM);
	}
	chip->vm = vm;
	chip->split = split;
	chip->user_pins = user_pins;
	mutex_init(&chip->lock);
	mutex_init(&chip->map_lock);
	raw_spin_lock_init(&chip->pic_lock);
	raw_spin_lock_init(&chip->ioapic_lock);
	pic_reset(&chip->pic);
	ioapic_reset(&chip->ioapic);
	irqfd_init(chip);
	return chip;
}

/**
 * irqchip_create - give a VM its controllers
 * @vm: the VM
 * @split: only local APICs
 * @user_pins: pins of user space's IOAPICs, if @split
 *
 * Return: 0; -EEXIST: it has some; there are vCPUs: -EINVAL, or, if @split, -EEXIST, as KVM
 * has it; -ENOMEM.
 */
int irqchip_create(struct okvm_vm *vm, bool split, u32 user_pins)
{
	struct okvm_irqchip *chip;
	int r = 0;

	mutex_lock(&vm->lock);
	if (vm->irqchip)
		r = -EEXIST;
	else if (vm->created_vcpus)
		r = split ? -EEXIST : -EINVAL;
	if (!r) {
		chip = irqchip_alloc(vm, split, user_pins);
		if (IS_ERR(chip))
			r = PTR_ERR(chip);
		else
			/* Complete: readers take it without a lock. */
			smp_store_release(&vm->irqchip, chip);
	}
	mutex_unlock(&vm->lock);
	return r;
}

/* KVM_CREATE_IRQCHIP (KVM API document, 4.24). */
static long create_irqchip(struct okvm_vm *vm, void *arg)
{
	return irqchip_create(vm, false, 0);
}

/* KVM_GET_IRQCHIP (KVM API document, 4.26): 0; -ENXIO: no controllers; -EINVAL: no such chip. */
static long get_irqchip(struct okvm_vm *vm, void *arg)
{
	struct okvm_irqchip *chip = full_irqchip_of(vm);
	struct kvm_irqchip *state = arg;
	struct pic_section s;
	unsigned long flags;

	if (!chip)
		return -ENXIO;
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		s = pic_begin(chip);
		state->chip.pic = chip->pic.chip[state->chip_id == KVM_IRQCHIP_PIC_SLAVE];
		pic_end(chip, s);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
		ioapic_save(&chip->ioapic, &state->chip.ioapic);
		raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);
		return 0;
	default:
		return -EINVAL;
	}
}

/* KVM_SET_IRQCHIP (KVM API document, 4.27): as above. */
static long set_irqchip(struct okvm_vm *vm, void *arg)
{
	struct okvm_irqchip *chip = full_irqchip_of(vm);
	const struct kvm_irqchip *state = arg;
	struct pic_section s;
	unsigned long flags;

	if (!chip)
		return -ENXIO;
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		s = pic_begin(chip);
		pic_load(&chip->pic, state->chip_id == KVM_IRQCHIP_PIC_SLAVE, &state->chip.pic);
		pic_end(chip, s);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		raw_spin_lock_irqsave(&chip->ioapic_lock, flags);
		ioapic_load(&chip->ioapic, &state->chip.ioapic);
		raw_spin_unlock_irqrestore(&chip->ioapic_lock, flags);
		irqchip_update_edge_eois(chip);
		return 0;
	default:
		return -EINVAL;
	}
}

/* KVM_IRQ_LINE and KVM_IRQ_LINE_STATUS (KVM API document, 4.25): 0; -ENXIO: no controllers. */
static long irq_line(struct okvm_vm *vm, void *arg)
{
	struct okvm_irqchip *chip = irqchip_of(vm);
	struct kvm_irq_level *line = arg;

	if (!chip)
		return -ENXIO;
	irq_set_gsi(chip, SOURCE_USER, line->irq, line->level, false);
	return 0;
}

static long irq_line_status(struct okvm_vm *vm, void *arg)
{
	struct okvm_irqchip *chip = irqchip_of(vm);
	struct kvm_irq_level *line = arg;

	if (!chip)
		return -ENXIO;
	line->status = irq_set_gsi(chip, SOURCE_USER, line->irq, line->level, true);
	return 0;
}

static long create_pit(struct okvm_vm *vm, void *arg)
{
	/* The first version of the call had a speaker port. */
	return pit_create(vm, KVM_PIT_SPEAKER_DUMMY);
}

static long create_pit2(struct okvm_vm *vm, void *arg)
{
	const struct kvm_pit_config *config = arg;

	return pit_create(vm, config->flags);
}

const struct okvm_ioctl okvm_irqchip_vm_ioctls[] = {
	{ KVM_CREATE_IRQCHIP, .vm = create_irqchip },
	{ KVM_GET_IRQCHIP, .vm = get_irqchip },
	{ KVM_SET_IRQCHIP, ARG_IN, .vm = set_irqchip },
	{ KVM_IRQ_LINE, .vm = irq_line },
	{ KVM_IRQ_LINE_STATUS, .vm = irq_line_status },
	{ KVM_SET_GSI_ROUTING, ARG_USER, .vm = irqchip_set_routing },
	{ KVM_SIGNAL_MSI, .vm = irqchip_signal_msi },
	{ KVM_IRQFD, .vm = irqchip_irqfd },
	{ KVM_IOEVENTFD, .vm = irqchip_ioeventfd },
	{ KVM_REGISTER_COALESCED_MMIO, .vm = irqchip_register_coalesced },
	{ KVM_UNREGISTER_COALESCED_MMIO, .vm = irqchip_unregister_coalesced },
	{ KVM_CREATE_PIT, .vm = create_pit },
	{ KVM_CREATE_PIT2, .vm = create_pit2 },
	{ KVM_GET_PIT, .vm = pit_get },
	{ KVM_SET_PIT, ARG_IN, .vm = pit_set },
	{ KVM_GET_PIT2, .vm = pit_get2 },
	{ KVM_SET_PIT2, .vm = pit_set2 },
	{ KVM_REINJECT_CONTROL, ARG_USER, .vm = pit_set_reinject },
	{ }
};

const struct okvm_ioctl okvm_irqchip_vcpu_ioctls[] = {
	{ KVM_GET_LAPIC, .vcpu = irqchip_get_lapic },
	{ KVM_SET_LAPIC, .vcpu = irqchip_set_lapic },
	{ KVM_SET_VAPIC_ADDR, .vcpu = irqchip_set_vapic_addr },
	{ KVM_TPR_ACCESS_REPORTING, .vcpu = irqchip_set_tpr_reports },
	{ }
};

/* A CPU that works on the APIC's registers itself needs no help with TPR. */
static int has_vapic(struct okvm_vm *vm)
{
	return !okvm_hw.apicv;
}

#define X2APIC_API (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/* Bits are only ever added. Messages that are routed already keep the ids that they have. */
static int enable_x2apic_api(struct okvm_vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(u64)X2APIC_API)
		return -EINVAL;
	mutex_lock(&vm->lock);
	WRITE_ONCE(vm->x2apic_api, vm->x2apic_api | cap->args[0]);
	mutex_unlock(&vm->lock);
	return 0;
}

const struct okvm_cap okvm_irqchip_caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1, .enable = irqchip_enable_split },
	{ KVM_CAP_X2APIC_API, X2APIC_API, .enable = enable_x2apic_api },
	{ KVM_CAP_VAPIC, .check = has_vapic },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_IRQ_ROUTING, MAX_ROUTES },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ }
};
