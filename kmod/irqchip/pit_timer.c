// SPDX-License-Identifier: GPL-2.0-only
/* The PIT in a VM: channel 0 on a host timer, reinjection of lost ticks, the speaker port. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "chip.h"

#define PORT_FIRST	0x40
#define PORT_LAST	0x43
#define PORT_SPEAKER	0x61

/**
 * struct pit_timer - a VM's PIT
 * @chip: the VM's controllers
 * @lock: guards @pit, @flags
 * @pit: the state machine
 * @speaker: has port 0x61
 * @flags: KVM_PIT_FLAGS_*
 * @timer: channel 0's next tick
 * @period: ns, of the running host timer; 0: one-shot
 * @reinject: ticks wait until the guest has ended the last one
 * @pending: ticks not yet ended by the guest, the one on its way included
 * @idle: the last tick was ended: the next may go
 */
struct pit_timer {
	struct okvm_irqchip *chip;		/* C */
	struct mutex lock;
	struct pit pit;
	bool speaker;				/* C */
	u32 flags;
	struct hrtimer timer;
	u64 period;
	bool reinject;				/* A */
	atomic_t pending;
	atomic_t idle;
};

static struct pit_timer *pit_of(struct okvm_irqchip *chip)
{
	return smp_load_acquire(&chip->pit);
}

static struct pit_timer *timer_of(struct pit *pit)
{
	return container_of(pit, struct pit_timer, pit);
}

/* LINT0 set to NMI on some CPUs: the tick is their watchdog's, all at once. */
static void tick_nmis(struct okvm_irqchip *chip)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	okvm_for_each_vcpu(i, vcpu, chip->vm)
		if (vcpu->lapic &&
		    (lapic_reg(&vcpu->lapic->apic, APIC_LVT0) & APIC_MODE_MASK) == IRQ_NMI << 8)
			lapic_raise(&vcpu->lapic->apic, APIC_LVT0);
}

/* A pulse on GSI 0, unless the last one is still with the guest. */
static void tick(struct pit_timer *p)
{
	if (READ_ONCE(p->reinject) && !atomic_xchg(&p->idle, 0))
		return;
	irq_set_gsi(p->chip, SOURCE_PIT, GSI_PIT, true, false);
	irq_set_gsi(p->chip, SOURCE_PIT, GSI_PIT, false, false);
	if (atomic_read(&p->chip->lint0_nmis))
		tick_nmis(p->chip);
}

static enum hrtimer_restart fired(struct hrtimer *timer)
{
	struct pit_timer *p = container_of(timer, struct pit_timer, timer);
	u64 rounds = 1;

	if (p->period)
		rounds = hrtimer_forward_now(timer, ns_to_ktime(p->period));
	if (READ_ONCE(p->reinject) && atomic_read(&p->pending) < INT_MAX / 2)
		atomic_add(min_t(u64, rounds, INT_MAX / 2), &p->pending);
	tick(p);
	return p->period ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

static void forget_pending(struct pit_timer *p)
{
	atomic_set(&p->pending, 0);
	atomic_set(&p->idle, 1);
}

u64 pit_now(struct pit *pit)
{
	return ktime_get_ns();
}

void pit_channel0_changed(struct pit *pit)
{
	struct pit_timer *p = timer_of(pit);
	bool periodic;
	u64 ns = pit_tick_ns(pit, &periodic);

	hrtimer_cancel(&p->timer);
	forget_pending(p);
	/* In legacy mode the HPET has taken the pin over. */
	if (!ns || (p->flags & KVM_PIT_FLAGS_HPET_LEGACY))
		return;
	/* A guest must not storm the host. */
	p->period = periodic ? max_t(u64, ns, TIMER_MIN_NS) : 0;
	hrtimer_start(&p->timer, ns_to_ktime(pit->channel[0].s.count_load_time + ns),
		      HRTIMER_MODE_ABS_HARD);
}

/* ---- reinjection ---- */

/** pit_wants_eoi - does the PIT wait for the EOI of its ticks? Any context. */
bool pit_wants_eoi(struct okvm_irqchip *chip)
{
	struct pit_timer *p = pit_of(chip);

	return p && READ_ONCE(p->reinject);
}

/**
 * pit_eoi - the guest ended a tick's interrupt: the next that waits goes
 * @chip: the VM's controllers
 *
 * Context: no lock held.
 */
void pit_eoi(struct okvm_irqchip *chip)
{
	struct pit_timer *p = pit_of(chip);

	if (!p || !READ_ONCE(p->reinject))
		return;
	atomic_set(&p->idle, 1);
	/* idle before pending: fired() writes them the other way round. */
	smp_mb();
	if (atomic_dec_if_positive(&p->pending) > 0)
		tick(p);
}

/** pit_unmasked - GSI 0 was masked, so ticks were lost, and the last one's EOI may be too */
void pit_unmasked(struct okvm_irqchip *chip)
{
	struct pit_timer *p = pit_of(chip);

	if (p)
		forget_pending(p);
}

/* ---- ports ---- */

static u8 read_speaker(struct pit_timer *p)
{
	/* Bit 4 is the memory refresh's clock: it turns about every 15 us. */
	u8 refresh = ktime_get_ns() >> 14 & 1;

	return (p->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? 2 : 0) | p->pit.channel[2].s.gate |
	       pit_out(&p->pit, 2) << 5 | refresh << 4;
}

static void write_speaker(struct pit_timer *p, u8 value)
{
	if (value & 2)
		p->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		p->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	pit_set_gate(&p->pit, 2, value & 1);
}

/**
 * pit_access - a guest access to a port of the PIT or the speaker
 * @chip: the VM's controllers
 * @port: the port
 * @size: bytes; the low one counts
 * @data: read: filled
 * @write: direction
 *
 * Context: may sleep.
 * Return: 0, or -EOPNOTSUPP: not such a port, or no PIT.
 */
int pit_access(struct okvm_irqchip *chip, u16 port, unsigned int size, void *data, bool write)
{
	struct pit_timer *p = pit_of(chip);
	bool speaker = port == PORT_SPEAKER;
	u8 value;

	if (!p || (speaker ? !p->speaker : port < PORT_FIRST || port > PORT_LAST))
		return -EOPNOTSUPP;
	mutex_lock(&p->lock);
	if (write && speaker) {
		write_speaker(p, *(u8 *)data);
	} else if (write) {
		pit_write(&p->pit, port, *(u8 *)data);
	} else {
		value = speaker ? read_speaker(p) : pit_read(&p->pit, port);
		memset(data, 0, size);
		*(u8 *)data = value;
	}
	mutex_unlock(&p->lock);
	return 0;
}

/* ---- ioctls ---- */

/**
 * pit_create - KVM_CREATE_PIT, KVM_CREATE_PIT2
 * @vm: the VM
 * @flags: KVM_PIT_SPEAKER_DUMMY
 *
 * KVM API document, 4.71.
 *
 * Return: 0; -EINVAL: unknown flags; -ENOENT: no controllers; -EEXIST; -ENOMEM.
 */
long pit_create(struct okvm_vm *vm, u32 flags)
{
	struct okvm_irqchip *chip = full_irqchip_of(vm);
	struct pit_timer *p;
	long r = 0;

	if (flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	if (!chip)
		return -ENOENT;
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	p->chip = chip;
	p->speaker = flags & KVM_PIT_SPEAKER_DUMMY;
	p->reinject = true;
	mutex_init(&p->lock);
	hrtimer_init(&p->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	p->timer.function = fired;
	pit_reset(&p->pit);
	forget_pending(p);

	mutex_lock(&chip->lock);
	if (chip->pit) {
		r = -EEXIST;
		kfree(p);
	} else {
		smp_store_release(&chip->pit, p);
		irqchip_update_edge_eois(chip);
	}
	mutex_unlock(&chip->lock);
	return r;
}

/** pit_stop - the VM goes: no tick comes after this */
void pit_stop(struct okvm_irqchip *chip)
{
	if (chip->pit)
		hrtimer_cancel(&chip->pit->timer);
}

/** pit_free - after pit_stop() */
void pit_free(struct okvm_irqchip *chip)
{
	kfree(chip->pit);
}

static struct pit_timer *pit_of_vm(struct okvm_vm *vm)
{
	struct okvm_irqchip *chip = irqchip_of(vm);

	return chip ? pit_of(chip) : NULL;
}

static void get_channels(struct pit_timer *p, struct kvm_pit_channel_state *channels)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++)
		channels[i] = p->pit.channel[i].s;
}

static bool channels_valid(const struct kvm_pit_channel_state *channels)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++)
		if (!pit_state_valid(&channels[i]))
			return false;
	return true;
}

static void set_channels(struct pit_timer *p, const struct kvm_pit_channel_state *channels)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++)
		pit_load(&p->pit, i, &channels[i]);
}

/* KVM_GET_PIT, KVM_GET_PIT2 (KVM API document, 4.72): 0; -ENXIO: no PIT. */
long pit_get(struct okvm_vm *vm, void *arg)
{
	struct pit_timer *p = pit_of_vm(vm);
	struct kvm_pit_state *state = arg;

	if (!p)
		return -ENXIO;
	mutex_lock(&p->lock);
	get_channels(p, state->channels);
	mutex_unlock(&p->lock);
	return 0;
}

long pit_get2(struct okvm_vm *vm, void *arg)
{
	struct pit_timer *p = pit_of_vm(vm);
	struct kvm_pit_state2 *state = arg;

	if (!p)
		return -ENXIO;
	mutex_lock(&p->lock);
	memset(state, 0, sizeof(*state));
	get_channels(p, state->channels);
	state->flags = p->flags;
	mutex_unlock(&p->lock);
	return 0;
}

/* KVM_SET_PIT, KVM_SET_PIT2 (KVM API document, 4.73): 0; -ENXIO: no PIT; -EINVAL: no such state. */
long pit_set(struct okvm_vm *vm, void *arg)
{
	struct pit_timer *p = pit_of_vm(vm);
	const struct kvm_pit_state *state = arg;

	if (!p)
		return -ENXIO;
	if (!channels_valid(state->channels))
		return -EINVAL;
	mutex_lock(&p->lock);
	set_channels(p, state->channels);
	mutex_unlock(&p->lock);
	return 0;
}

long pit_set2(struct okvm_vm *vm, void *arg)
{
	struct pit_timer *p = pit_of_vm(vm);
	const struct kvm_pit_state2 *state = arg;

	if (!p)
		return -ENXIO;
	if (!channels_valid(state->channels) ||
	    (state->flags & ~(KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON)))
		return -EINVAL;
	mutex_lock(&p->lock);
	p->flags = state->flags;
	set_channels(p, state->channels);
	mutex_unlock(&p->lock);
	return 0;
}

/* KVM_REINJECT_CONTROL: 0; -ENXIO: no PIT; -EFAULT. Its command says nothing of its argument. */
long pit_set_reinject(struct okvm_vm *vm, void *arg)
{
	struct okvm_irqchip *chip = irqchip_of(vm);
	struct pit_timer *p = pit_of_vm(vm);
	struct kvm_reinject_control control;

	if (copy_from_user(&control, (void __user *)arg, sizeof(control)))
		return -EFAULT;
	if (!p)
		return -ENXIO;
	mutex_lock(&chip->lock);
	if (p->reinject != !!control.pit_reinject) {
		forget_pending(p);
		WRITE_ONCE(p->reinject, control.pit_reinject);
		irqchip_update_edge_eois(chip);
	}
	mutex_unlock(&chip->lock);
	return 0;
}
