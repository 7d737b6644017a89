// SPDX-License-Identifier: GPL-2.0-only
/* From an interrupt message to the local APICs it is for, and into them. */
#include <linux/slab.h>

#include "chip.h"

/* How the APICs read logical destinations; MIXED: not all alike, ask each. */
enum logical_mode { LOGICAL_UNKNOWN, LOGICAL_FLAT, LOGICAL_CLUSTER, LOGICAL_X2APIC, LOGICAL_MIXED };

#define FLAT_IDS	8
#define CLUSTERS	16
#define CLUSTER_IDS	4

/**
 * struct lapic_map - who is who, for vCPUs by the thousand; never changed once published
 * @rcu: frees it
 * @nr: the VM's vCPUs when it was made: with more now, it does not know all
 * @usable: no two APICs share an id
 * @mode: enum logical_mode
 * @nr_ids: length of @by_id
 * @logical: xAPIC: by bit (flat), or by cluster and bit
 * @by_id: by physical id; x2APIC's logical ids are these in groups of 16
 */
struct lapic_map {
	struct rcu_head rcu;
	u32 nr;
	bool usable;
	u8 mode;
	u32 nr_ids;
	struct okvm_vcpu *logical[CLUSTERS * CLUSTER_IDS];
	struct okvm_vcpu *by_id[];
};

/* ---- into one APIC ---- */

static int accept_init(struct okvm_lapic *l)
{
	/* INIT voids what came before it, a SIPI too. */
	WRITE_ONCE(l->events, BIT(EVENT_INIT));
	okvm_request_kick(l->vcpu, REQ_EVENT);
	return 1;
}

static int accept_sipi(struct okvm_lapic *l, u8 vector)
{
	WRITE_ONCE(l->sipi_vector, vector);
	/* set_bit() alone does not order the vector before it. */
	smp_mb__before_atomic();
	set_bit(EVENT_SIPI, &l->events);
	okvm_request_kick(l->vcpu, REQ_EVENT);
	return 1;
}

/* Everything but fixed and lowest priority. */
static int accept_rare(struct okvm_lapic *l, const struct irq_message *msg)
{
	switch (msg->mode) {
	case IRQ_NMI:
		okvm_queue_nmi(l->vcpu);
		return 1;
	case IRQ_INIT:
		/* The level de-assert only synchronised arbitration ids of old. */
		return msg->level && !msg->assert ? 0 : accept_init(l);
	case IRQ_SIPI:
		return accept_sipi(l, msg->vector);
	case IRQ_REMOTE_READ:
		/* No such message on today's bus: okvm_pv_kick() travels as one. */
		okvm_request_kick(l->vcpu, REQ_UNHALT);
		return 1;
	default:
		/* SMI: there is no SMM. ExtINT comes from the PIC alone. */
		return 0;
	}
}

/**
 * lapic_tell - a request has come that was not there before: have the vCPU see it
 * @l: its APIC
 *
 * Posted requests are seen before each entry, and by a vCPU that sleeps; one in the guest gets an
 * interrupt, which may reach the guest without an exit. One notification serves all that come
 * until the vCPU, or the CPU, has taken them.
 *
 * Context: any.
 */
void lapic_tell(struct okvm_lapic *l)
{
	if (!l->apic.posted)
		okvm_request_kick(l->vcpu, REQ_EVENT);
	else if (!test_and_set_bit(LAPIC_POSTED_ON, l->apic.posted))
		okvm_backend->notify(l->vcpu);
}

/* How many CPUs took it: 0 or 1. Any context. */
static int accept(struct okvm_vcpu *vcpu, const struct irq_message *msg)
{
	struct okvm_lapic *l = vcpu->lapic;

	if (unlikely(msg->mode > IRQ_LOWEST))
		return accept_rare(l, msg);
	if (unlikely(!lapic_enabled(&l->apic) || (msg->level && !msg->assert)))
		return 0;
	/* A vector that was pending has had its kick. */
	if (lapic_accept(&l->apic, msg->vector, msg->level))
		lapic_tell(l);
	return 1;
}

void lapic_raise(struct lapic *l, unsigned int lvt)
{
	u32 entry = lapic_reg(l, lvt);
	struct irq_message msg = {
		.vector = entry,
		/* These have no mode field: they are always fixed. */
		.mode = lvt == APIC_LVTT || lvt == APIC_LVTERR ? IRQ_FIXED : entry >> 8 & 7,
		.level = (lvt == APIC_LVT0 || lvt == APIC_LVT1) && (entry & APIC_LVT_LEVEL_TRIGGER),
		.assert = true,
	};

	if (READ_ONCE(l->mode) != LAPIC_OFF && !(entry & APIC_LVT_MASKED))
		accept(lapic_of(l)->vcpu, &msg);
}

/* ---- to all it is for ---- */

struct delivery {
	const struct irq_message *msg;
	struct okvm_vcpu *best;		/* among those of a message for any one */
	int taken;
};

static bool present(struct okvm_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->apic.mode) != LAPIC_OFF;
}

/* Lower processor priority first, then whose turn it is. */
static bool better(struct okvm_lapic *a, struct okvm_lapic *b)
{
	u32 ppr_a = lapic_reg(&a->apic, APIC_PROCPRI) >> 4;
	u32 ppr_b = lapic_reg(&b->apic, APIC_PROCPRI) >> 4;

	if (ppr_a != ppr_b)
		return ppr_a < ppr_b;
	return (int)(READ_ONCE(a->turns) - READ_ONCE(b->turns)) < 0;
}

static void hit(struct delivery *d, struct okvm_vcpu *vcpu)
{
	if (!irq_to_one_of(d->msg))
		d->taken += accept(vcpu, d->msg);
	else if (lapic_enabled(&vcpu->lapic->apic) &&
		 (!d->best || better(vcpu->lapic, d->best->lapic)))
		d->best = vcpu;
}

static int finish(struct delivery *d)
{
	if (d->best) {
		WRITE_ONCE(d->best->lapic->turns, d->best->lapic->turns + 1);
		d->taken = accept(d->best, d->msg);
	}
	return d->taken;
}

static struct okvm_vcpu *by_id(const struct lapic_map *map, u32 id)
{
	return id < map->nr_ids ? map->by_id[array_index_nospec(id, map->nr_ids)] : NULL;
}

static void hit_x2apic(struct delivery *d, const struct lapic_map *map)
{
	unsigned long bits = d->msg->dest & 0xffff;
	u32 base = d->msg->dest >> 16 << 4;
	struct okvm_vcpu *vcpu;
	int i;

	for_each_set_bit(i, &bits, 16) {
		vcpu = by_id(map, base + i);
		if (vcpu)
			hit(d, vcpu);
	}
}

static void hit_logical(struct delivery *d, const struct lapic_map *map)
{
	bool flat = map->mode == LOGICAL_FLAT;
	unsigned long bits = d->msg->dest & (flat ? 0xff : 0xf);
	int i, base = flat ? 0 : (d->msg->dest >> 4 & 0xf) * CLUSTER_IDS;

	/* An xAPIC's logical destination has 8 bits. */
	if (d->msg->dest > 0xff)
		return;
	base = array_index_nospec(base, ARRAY_SIZE(map->logical));
	for_each_set_bit(i, &bits, flat ? FLAT_IDS : CLUSTER_IDS)
		if (map->logical[base + i])
			hit(d, map->logical[base + i]);
}

static bool for_vcpu(const struct irq_message *msg, struct okvm_vcpu *source,
		     struct okvm_vcpu *vcpu)
{
	switch (msg->shorthand) {
	case TO_SELF:
		return vcpu == source;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return vcpu != source;
	default:
		return lapic_matches(&vcpu->lapic->apic, msg->dest, msg->logical);
	}
}

/* Ask every APIC. */
static void hit_all(struct delivery *d, struct okvm_vm *vm, struct okvm_vcpu *source)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	okvm_for_each_vcpu(i, vcpu, vm)
		if (present(vcpu) && for_vcpu(d->msg, source, vcpu))
			hit(d, vcpu);
}

static bool map_serves(const struct lapic_map *map, struct okvm_vm *vm,
		       const struct irq_message *msg)
{
	if (!map || map->nr != READ_ONCE(vm->nr_vcpus) || !map->usable)
		return false;
	if (msg->shorthand != TO_DEST || msg->dest == IRQ_BROADCAST ||
	    (msg->dest == 0xff && map->mode != LOGICAL_X2APIC))
		return false;
	return !msg->logical || (map->mode != LOGICAL_MIXED && map->mode != LOGICAL_UNKNOWN);
}

/*
 * What a device sends to 255 is for everybody, x2APICs too, as they have no other broadcast without
 * an IOMMU; unless user space knows of 32-bit ids. Then an x2APIC takes it as its id.
 */
static void narrow_broadcast(const struct okvm_irqchip *chip, struct irq_message *msg)
{
	if (unlikely(msg->everybody8) &&
	    READ_ONCE(chip->vm->x2apic_api) & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		msg->dest = 0xff;
}

/**
 * irq_deliver - send a message to the local APICs
 * @chip: the VM's controllers
 * @source: the vCPU that sends it as an IPI, else NULL
 * @original: the message
 *
 * Context: any, interrupts on or off; takes no lock.
 * Return: how many CPUs took it.
 */
int irq_deliver(struct okvm_irqchip *chip, struct okvm_vcpu *source,
		const struct irq_message *original)
{
	struct irq_message own = *original, *msg = &own;
	struct delivery d = { .msg = msg };
	const struct lapic_map *map;
	struct okvm_vcpu *vcpu;

	narrow_broadcast(chip, msg);
	rcu_read_lock();
	map = rcu_dereference(chip->map);
	if (unlikely(!map_serves(map, chip->vm, msg))) {
		hit_all(&d, chip->vm, source);
	} else if (!msg->logical) {
		vcpu = by_id(map, msg->dest);
		if (vcpu)
			hit(&d, vcpu);
	} else if (map->mode == LOGICAL_X2APIC) {
		hit_x2apic(&d, map);
	} else {
		hit_logical(&d, map);
	}
	rcu_read_unlock();
	return finish(&d);
}

/**
 * irq_in_flight - is a message's vector still pending or in service where it goes?
 * @chip: the VM's controllers
 * @original: the message
 *
 * Context: any.
 */
bool irq_in_flight(struct okvm_irqchip *chip, const struct irq_message *original)
{
	struct irq_message own = *original, *msg = &own;
	struct okvm_vcpu *vcpu;
	unsigned long i;

	narrow_broadcast(chip, msg);
	okvm_for_each_vcpu(i, vcpu, chip->vm) {
		const struct lapic *l;

		if (!present(vcpu) || !for_vcpu(msg, NULL, vcpu))
			continue;
		l = &vcpu->lapic->apic;
		if (lapic_requested(l, msg->vector) || lapic_test(l, APIC_ISR, msg->vector))
			return true;
	}
	return false;
}

void lapic_send(struct lapic *l, const struct irq_message *msg)
{
	struct okvm_vcpu *vcpu = lapic_of(l)->vcpu;

	irq_deliver(vcpu->vm->irqchip, vcpu, msg);
}

/* ---- the map ---- */

static u32 physical_id(const struct lapic *l)
{
	if (l->mode == LAPIC_X2APIC || l->id > 0xff)
		return l->id;
	return lapic_reg(l, APIC_ID) >> 24;
}

static void map_mode(struct lapic_map *map, enum logical_mode mode)
{
	if (map->mode == LOGICAL_UNKNOWN)
		map->mode = mode;
	else if (map->mode != mode)
		map->mode = LOGICAL_MIXED;
}

static void map_logical(struct lapic_map *map, struct okvm_vcpu *vcpu)
{
	const struct lapic *l = &vcpu->lapic->apic;
	u32 ldr = lapic_reg(l, APIC_LDR) >> 24, slot;
	bool flat = lapic_reg(l, APIC_DFR) == APIC_DFR_FLAT;
	u32 bits = flat ? ldr : ldr & 0xf;

	if (l->mode == LAPIC_X2APIC) {
		map_mode(map, LOGICAL_X2APIC);
		return;
	}
	/* An APIC that software has not set up yet takes no side. */
	if (!bits)
		return;
	map_mode(map, flat ? LOGICAL_FLAT : LOGICAL_CLUSTER);
	slot = (flat ? 0 : (ldr >> 4) * CLUSTER_IDS) + ffs(bits) - 1;
	/* Two bits in one APIC, or one bit in two: leave it to the slow way. */
	if (hweight32(bits) != 1 || map->logical[slot])
		map->mode = LOGICAL_MIXED;
	else
		map->logical[slot] = vcpu;
}

static struct lapic_map *map_alloc(struct okvm_vm *vm)
{
	struct lapic_map *map;
	struct okvm_vcpu *vcpu;
	unsigned long i;
	u32 max = 0;

	/* By the highest id there can be: an xAPIC's own may be up to 255. */
	okvm_for_each_vcpu(i, vcpu, vm)
		max = max3(max, (u32)vcpu->id, vcpu->lapic ? physical_id(&vcpu->lapic->apic) : 0);
	map = kvzalloc(struct_size(map, by_id, max + 1), GFP_KERNEL_ACCOUNT);
	if (map)
		map->nr_ids = max + 1;
	return map;
}

static void map_fill(struct lapic_map *map, struct okvm_vm *vm)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;
	u32 id;

	map->nr = READ_ONCE(vm->nr_vcpus);
	map->usable = true;
	okvm_for_each_vcpu(i, vcpu, vm) {
		if (!present(vcpu))
			continue;
		id = physical_id(&vcpu->lapic->apic);
		if (id >= map->nr_ids || map->by_id[id])
			map->usable = false;
		else
			map->by_id[id] = vcpu;
		map_logical(map, vcpu);
	}
}

/**
 * lapic_map_rebuild - an APIC's mode, id, logical id or enable has changed
 * @vm: the VM
 *
 * Without memory for a map there is none: delivery then asks every APIC.
 *
 * Context: may sleep.
 */
void lapic_map_rebuild(struct okvm_vm *vm)
{
	struct okvm_irqchip *chip = vm->irqchip;
	struct lapic_map *map, *old;

	mutex_lock(&chip->map_lock);
	map = map_alloc(vm);
	if (map)
		map_fill(map, vm);
	old = rcu_replace_pointer(chip->map, map, lockdep_is_held(&chip->map_lock));
	mutex_unlock(&chip->map_lock);
	if (old)
		kvfree_rcu(old, rcu);
}

/** lapic_map_free - the VM goes; no reader is left */
void lapic_map_free(struct okvm_irqchip *chip)
{
	kvfree(rcu_dereference_protected(chip->map, true));
}

void lapic_identity_changed(struct lapic *l)
{
	lapic_map_rebuild(lapic_of(l)->vcpu->vm);
}

/* ---- paravirtual IPIs ---- */

static int pv_send_fast(const struct lapic_map *map, const unsigned long *bits, unsigned int nbits,
			u32 min, const struct irq_message *msg)
{
	struct okvm_vcpu *vcpu;
	unsigned int i;
	int n = 0;

	for_each_set_bit(i, bits, nbits) {
		vcpu = (u64)min + i < map->nr_ids ? by_id(map, min + i) : NULL;
		if (vcpu)
			n += accept(vcpu, msg);
	}
	return n;
}

static int pv_send_slow(struct okvm_vm *vm, const unsigned long *bits, unsigned int nbits, u32 min,
			const struct irq_message *msg)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;
	int n = 0;

	okvm_for_each_vcpu(i, vcpu, vm) {
		u32 id;

		if (!present(vcpu))
			continue;
		id = physical_id(&vcpu->lapic->apic);
		if (id >= min && id - min < nbits && test_bit(id - min, bits))
			n += accept(vcpu, msg);
	}
	return n;
}

/**
 * okvm_pv_send_ipi - the hypercall KVM_HC_SEND_IPI
 * @vcpu: the caller
 * @low: a bit a destination, 64 of them (32 unless @wide)
 * @high: the same number that follow
 * @min: the APIC id that bit 0 of @low stands for
 * @icr: vector and delivery mode, as in ICR; no shorthand, no logical destination
 * @wide: called from 64-bit code
 *
 * Return: how many CPUs took it; -EINVAL: @icr has a shorthand or is logical.
 */
int okvm_pv_send_ipi(struct okvm_vcpu *vcpu, u64 low, u64 high, u64 min, u64 icr, bool wide)
{
	unsigned long bits[2] = { low, high };
	unsigned int nbits = 128;
	struct irq_message msg = {
		.vector = icr,
		.mode = icr >> 8 & 7,
		.level = icr & APIC_INT_LEVELTRIG,
		.assert = icr & APIC_INT_ASSERT,
	};
	const struct lapic_map *map;
	int n;

	if (!vcpu->lapic || (icr & (APIC_DEST_LOGICAL | APIC_DEST_ALLBUT)))
		return -EINVAL;
	if (!wide) {
		bits[0] = (u32)low | high << 32;
		nbits = 64;
	}
	rcu_read_lock();
	map = rcu_dereference(vcpu->vm->irqchip->map);
	if (map && map->usable && map->nr == READ_ONCE(vcpu->vm->nr_vcpus))
		n = pv_send_fast(map, bits, nbits, min, &msg);
	else
		n = pv_send_slow(vcpu->vm, bits, nbits, min, &msg);
	rcu_read_unlock();
	return n;
}

/**
 * okvm_pv_kick - the hypercall KVM_HC_KICK_CPU: wake a vCPU out of HLT
 * @vcpu: the caller
 * @apic_id: whom; nobody of that id: nothing happens
 */
void okvm_pv_kick(struct okvm_vcpu *vcpu, u32 apic_id)
{
	struct irq_message msg = { .dest = apic_id, .mode = IRQ_REMOTE_READ };

	if (vcpu->lapic)
		irq_deliver(vcpu->vm->irqchip, vcpu, &msg);
}
