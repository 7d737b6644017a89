// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer on a host timer. It is pinned: the vCPU's thread arms it on the CPU where
 * it runs, which then takes the expiry as the exit it needs anyway, and no IPI is sent. The expiry
 * puts the vector into IRR right there, so that a sleeping vCPU finds it as any other interrupt.
 */
#include <asm/tsc.h>

#include "chip.h"

#define TIMER_MODE	HRTIMER_MODE_ABS_PINNED_HARD
#define FAR_SECONDS	(365ull * 24 * 3600)	/* keeps the conversion within 64 bits */

static enum hrtimer_restart fired(struct hrtimer *timer)
{
	struct okvm_lapic *l = container_of(timer, struct okvm_lapic, timer);
	enum lapic_timer_mode mode = lapic_timer_mode(&l->apic);
	u64 period = READ_ONCE(l->apic.timer.period);

	if (mode == TIMER_DEADLINE)
		WRITE_ONCE(l->apic.timer.deadline, 0);
	lapic_raise(&l->apic, APIC_LVTT);
	if (mode != TIMER_PERIODIC || !period)
		return HRTIMER_NORESTART;
	/* Rounds missed while the host slept or was busy are one interrupt. */
	hrtimer_forward_now(timer, ns_to_ktime(period));
	return HRTIMER_RESTART;
}

static void start_deadline(struct okvm_lapic *l)
{
	struct okvm_vcpu *vcpu = l->vcpu;
	u64 deadline = l->apic.timer.deadline, now = ktime_get_ns();
	u64 tsc = okvm_guest_tsc(vcpu, rdtsc_ordered()), ns;

	if (!deadline || !vcpu->tsc.khz)
		return;
	if (deadline <= tsc) {
		WRITE_ONCE(l->apic.timer.deadline, 0);
		lapic_raise(&l->apic, APIC_LVTT);
		return;
	}
	ns = min(deadline - tsc, vcpu->tsc.khz * 1000 * FAR_SECONDS);
	ns = mul_u64_u32_div(ns, 1000000, vcpu->tsc.khz);
	hrtimer_start(&l->timer, ns_to_ktime(now + ns + 1), TIMER_MODE);
}

void lapic_timer_changed(struct lapic *apic)
{
	struct okvm_lapic *l = lapic_of(apic);

	hrtimer_cancel(&l->timer);
	if (lapic_timer_mode(apic) == TIMER_DEADLINE)
		start_deadline(l);
	else if (apic->timer.period)
		hrtimer_start(&l->timer, ns_to_ktime(apic->timer.expires), TIMER_MODE);
}

u64 lapic_now(struct lapic *l)
{
	return ktime_get_ns();
}

/** lapic_timer_create - the host timer of a new local APIC */
void lapic_timer_create(struct okvm_lapic *l)
{
	hrtimer_init(&l->timer, CLOCK_MONOTONIC, TIMER_MODE);
	l->timer.function = fired;
}

/**
 * okvm_lapic_migrated - the vCPU's thread has moved to this CPU: take its timer along
 * @vcpu: the vCPU
 *
 * Context: vCPU thread, preemption off, interrupts on.
 */
void okvm_lapic_migrated(struct okvm_vcpu *vcpu)
{
	/* One that fires right now stays: it is about to be armed anew, or done. */
	if (vcpu->lapic && hrtimer_try_to_cancel(&vcpu->lapic->timer) == 1)
		hrtimer_start_expires(&vcpu->lapic->timer, TIMER_MODE);
}
