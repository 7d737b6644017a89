// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer. While the vCPU runs, the backend's timer is used if there is one: it ends
 * the guest's run at the right moment, and costs no host timer, no interrupt and no interrupt
 * handler. It only counts in the guest, so a vCPU that is about to sleep goes over to a host timer.
 *
 * That one is pinned: the vCPU's thread arms it on the CPU where it runs, which then takes the
 * expiry as the exit it needs anyway, and no IPI is sent. The expiry puts the vector into IRR right
 * there, so that a sleeping vCPU finds it as any other interrupt.
 *
 * A vCPU that is preempted, or in user space, needs neither: the backend looks at the clock before
 * each entry, and who reads the APIC's state looks here.
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

/* The backend's timer counts the host's TSC, which must count time, and the same on all CPUs. */
static bool has_hw_timer(const struct okvm_lapic *l)
{
	return okvm_hw.guest_timer && l->vcpu->mp_state == KVM_MP_STATE_RUNNABLE &&
	       !check_tsc_unstable();
}

static void start_hw(struct okvm_lapic *l, u64 tsc)
{
	l->hw_tsc = tsc;
	l->hw_timer = okvm_backend->set_timer(l->vcpu, tsc);
}

static void stop_hw(struct okvm_lapic *l)
{
	if (!l->hw_timer)
		return;
	l->hw_timer = false;
	okvm_backend->set_timer(l->vcpu, 0);
}

/* Whether it was running, and has not fired. */
static bool stop_host(struct okvm_lapic *l)
{
	return hrtimer_cancel(&l->timer);
}

/* The next expiry of a count, in ns of the host's clock. */
static u64 next_expiry(const struct okvm_lapic *l, u64 now)
{
	const struct lapic_timer *t = &l->apic.timer;

	if (now < t->expires || lapic_timer_mode(&l->apic) != TIMER_PERIODIC)
		return t->expires;
	return now + t->period - (now - t->expires) % t->period;
}

static void start_count(struct okvm_lapic *l, u64 expires)
{
	u64 now = ktime_get_ns(), left = expires > now ? expires - now : 0;

	if (has_hw_timer(l))
		start_hw(l, rdtsc_ordered() +
			    mul_u64_u32_div(min(left, FAR_SECONDS * NSEC_PER_SEC), tsc_khz,
					    USEC_PER_SEC) + 1);
	if (!l->hw_timer)
		hrtimer_start(&l->timer, ns_to_ktime(expires), TIMER_MODE);
}

static void start_deadline(struct okvm_lapic *l)
{
	struct okvm_vcpu *vcpu = l->vcpu;
	u64 now = ktime_get_ns(), host_tsc = rdtsc_ordered();
	u64 deadline = l->apic.timer.deadline, tsc = okvm_guest_tsc(vcpu, host_tsc), left, ns;

	if (!deadline || !vcpu->tsc.khz)
		return;
	if (deadline <= tsc) {
		WRITE_ONCE(l->apic.timer.deadline, 0);
		lapic_raise(&l->apic, APIC_LVTT);
		return;
	}
	left = min(deadline - tsc, vcpu->tsc.khz * 1000ull * FAR_SECONDS);
	ns = mul_u64_u32_div(left, USEC_PER_SEC, vcpu->tsc.khz) + 1;
	if (has_hw_timer(l)) {
		if (okvm_tsc_to_guest_scale(vcpu))
			left = mul_u64_u32_div(ns, tsc_khz, USEC_PER_SEC) + 1;
		start_hw(l, host_tsc + left);
	}
	if (!l->hw_timer)
		hrtimer_start(&l->timer, ns_to_ktime(now + ns), TIMER_MODE);
}

void lapic_timer_changed(struct lapic *apic)
{
	struct okvm_lapic *l = lapic_of(apic);

	stop_hw(l);
	stop_host(l);
	if (lapic_timer_mode(apic) == TIMER_DEADLINE)
		start_deadline(l);
	else if (apic->timer.period)
		start_count(l, apic->timer.expires);
}

u64 lapic_now(struct lapic *l)
{
	return ktime_get_ns();
}

/**
 * okvm_lapic_timer_expired - the backend's timer is due
 * @vcpu: the vCPU, whose backend has been told of no other moment since
 *
 * Context: vCPU thread; interrupts on or off.
 */
void okvm_lapic_timer_expired(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;

	if (!l->hw_timer)
		return;
	stop_hw(l);
	lapic_raise(&l->apic, APIC_LVTT);
	if (lapic_timer_mode(&l->apic) == TIMER_DEADLINE)
		WRITE_ONCE(l->apic.timer.deadline, 0);
	else if (lapic_timer_mode(&l->apic) == TIMER_PERIODIC)
		start_count(l, next_expiry(l, ktime_get_ns()));
}

/* Start it anew, from what the guest programmed, on whichever timer is right now. */
static void restart(struct okvm_lapic *l)
{
	bool running = l->hw_timer;

	stop_hw(l);
	running |= stop_host(l);
	if (!running)
		return;
	if (lapic_timer_mode(&l->apic) == TIMER_DEADLINE)
		start_deadline(l);
	else
		start_count(l, next_expiry(l, ktime_get_ns()));
}

/**
 * okvm_lapic_timer_moves - the vCPU is about to sleep, or goes on
 * @vcpu: the vCPU, loaded, mp_state as it is from now on
 *
 * Context: vCPU thread, interrupts on.
 */
void okvm_lapic_timer_moves(struct okvm_vcpu *vcpu)
{
	if (vcpu->lapic && okvm_hw.guest_timer)
		restart(vcpu->lapic);
}

/**
 * okvm_lapic_tsc_changed - the guest's TSC was set, or the host's was: a deadline is another moment
 * @vcpu: the vCPU, loaded
 *
 * Context: vCPU thread, preemption on or off, interrupts on.
 */
void okvm_lapic_tsc_changed(struct okvm_vcpu *vcpu)
{
	struct okvm_lapic *l = vcpu->lapic;

	if (l && (l->hw_timer || lapic_timer_mode(&l->apic) == TIMER_DEADLINE))
		restart(l);
}

/** lapic_timer_look - somebody reads the APIC's state: has the backend's timer expired by now? */
void lapic_timer_look(struct okvm_lapic *l)
{
	if (l->hw_timer && rdtsc_ordered() >= l->hw_tsc)
		okvm_lapic_timer_expired(l->vcpu);
}

/** lapic_timer_create - the host timer of a new local APIC */
void lapic_timer_create(struct okvm_lapic *l)
{
	hrtimer_init(&l->timer, CLOCK_MONOTONIC, TIMER_MODE);
	l->timer.function = fired;
}

/**
 * okvm_lapic_migrated - the vCPU's thread has moved to this CPU: take its host timer along
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
