// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: a page for each vCPU that says how to make the VM's time of a TSC reading.
 *
 * The VM's time is the host's raw monotonic time (plus what the host slept) and an offset. Raw,
 * since that is what a TSC of constant rate measures: no correction by NTP has to be chased. While
 * the host's own clock runs by the TSC and all vCPUs' TSCs are one, all pages are made of a single
 * reading ("master"), so that the guest may compare times across vCPUs; else each page is made of
 * a reading on the CPU that the vCPU runs on.
 */
#include <linux/clocksource.h>
#include <linux/cpufreq.h>
#include <linux/irq_work.h>
#include <linux/math64.h>
#include <linux/pvclock_gtod.h>
#include <linux/syscore_ops.h>
#include <linux/timekeeper_internal.h>
#include <linux/ktime.h>
#include <linux/workqueue.h>
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "msr.h"
#include "regs.h"
#include "vm.h"
#include "vmm.h"

/* ---- the host's clock ---- */

static u64 slept_ns(void)
{
	return ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
}

/** okvm_clock_base_ns - the host's clock that kvmclock and the TSC are tied to; any context */
u64 okvm_clock_base_ns(void)
{
	return ktime_to_ns(ktime_get_raw()) + slept_ns();
}

/**
 * okvm_tsc_snapshot - read the TSC and the host's clocks at one instant
 * @host_tsc: the TSC
 * @base_ns: okvm_clock_base_ns() then
 * @real_ns: the time of day then, or NULL
 *
 * The kernel says what its clock source counted, and not which source it is: a count that lies
 * between two readings of the TSC is the TSC.
 *
 * Return: false when the host's clock does not run by the TSC, or CPUs' TSCs differ.
 */
bool okvm_tsc_snapshot(u64 *host_tsc, u64 *base_ns, u64 *real_ns)
{
	struct system_time_snapshot snapshot;
	u64 before, after;

	if (check_tsc_unstable())
		return false;
	preempt_disable();
	before = rdtsc_ordered();
	ktime_get_snapshot(&snapshot);
	after = rdtsc_ordered();
	preempt_enable();
	if (snapshot.cycles < before || snapshot.cycles > after)
		return false;
	*host_tsc = snapshot.cycles;
	*base_ns = ktime_to_ns(snapshot.raw) + slept_ns();
	if (real_ns)
		*real_ns = ktime_to_ns(snapshot.real);
	return true;
}

/* The rate of this CPU's TSC: it follows the CPU's clock on old ones. Preemption off. */
static u32 host_khz_here(void)
{
	u32 khz = 0;

	if (!boot_cpu_has(X86_FEATURE_CONSTANT_TSC))
		khz = cpufreq_quick_get(smp_processor_id());
	return khz ?: okvm_host_tsc_khz();
}

/* ---- from TSC ticks to nanoseconds ---- */

struct rate {
	u32 mul;
	s8 shift;
};

/* ns = (ticks << shift) * mul >> 32, with mul in its upper half: the most precise there is. */
static struct rate rate_of(u64 hz)
{
	struct rate rate = { };
	u64 scaled = hz;

	while (scaled > 2ull * NSEC_PER_SEC) {
		scaled >>= 1;
		rate.shift--;
	}
	while (scaled <= NSEC_PER_SEC) {
		scaled <<= 1;
		rate.shift++;
	}
	if (rate.shift < 0)
		rate.mul = mul_u64_u64_div_u64((u64)NSEC_PER_SEC << -rate.shift, 1ull << 32, hz);
	else
		rate.mul = mul_u64_u64_div_u64(NSEC_PER_SEC, 1ull << 32, scaled);
	return rate;
}

static u64 ticks_to_ns(struct rate rate, u64 ticks)
{
	ticks = rate.shift < 0 ? ticks >> -rate.shift : ticks << rate.shift;
	return mul_u64_u32_shr(ticks, rate.mul, 32);
}

/* ---- the VM's clock ---- */

static atomic_t tsc_epoch;

/** okvm_tsc_epoch - changes when the host's TSC may have started anew: after suspend */
unsigned int okvm_tsc_epoch(void)
{
	return atomic_read(&tsc_epoch);
}

static bool one_tsc(struct okvm_vm *vm)
{
	struct okvm_vcpu *vcpu, *first = NULL;
	unsigned long i;

	if (!READ_ONCE(vm->nr_vcpus))
		return true;
	okvm_for_each_vcpu(i, vcpu, vm) {
		if (!first)
			first = vcpu;
		if (READ_ONCE(vcpu->tsc.offset) != READ_ONCE(first->tsc.offset) ||
		    READ_ONCE(vcpu->msrs->tsc_ratio) != READ_ONCE(first->msrs->tsc_ratio))
			return false;
	}
	return true;
}

/*
 * Choose how the clock runs from now on. A master reading that holds is kept: a new one would not
 * agree with what guests make of the old to the last nanosecond.
 */
static void choose_master(struct okvm_vm *vm)
{
	struct okvm_vm_clock *clock = &vm->clock;
	unsigned int epoch = okvm_tsc_epoch();
	u64 tsc, ns;

	lockdep_assert_held(&clock->lock);
	if (!one_tsc(vm) || !okvm_tsc_snapshot(&tsc, &ns, NULL)) {
		WRITE_ONCE(clock->master, false);
		return;
	}
	if (clock->master && clock->epoch == epoch)
		return;
	clock->master_tsc = tsc;
	clock->master_ns = ns;
	clock->epoch = epoch;
	WRITE_ONCE(clock->master, true);
}

/**
 * okvm_masterclock_update - vCPUs' TSCs or the host's clock source changed: make all pages anew
 * @vm: the VM
 *
 * No vCPU is in the guest with an old page once any page is made of the new reading: all are kicked
 * out first, and wait for the clock's lock on their way back.
 *
 * Context: may sleep.
 */
void okvm_masterclock_update(struct okvm_vm *vm)
{
	mutex_lock(&vm->clock.lock);
	okvm_request_all_wait(vm, REQ_CLOCK_UPDATE);
	choose_master(vm);
	mutex_unlock(&vm->clock.lock);
}

static u64 clock_now_by_tsc(struct okvm_vm_clock *clock, u64 host_tsc)
{
	struct rate rate = rate_of((u64)okvm_host_tsc_khz() * 1000);

	return clock->master_ns + clock->offset + ticks_to_ns(rate, host_tsc - clock->master_tsc);
}

/* What the guest reads now; the clock's lock is held. */
static u64 clock_now(struct okvm_vm_clock *clock)
{
	lockdep_assert_held(&clock->lock);
	if (clock->master)
		return clock_now_by_tsc(clock, rdtsc_ordered());
	return okvm_clock_base_ns() + clock->offset;
}

/** okvm_pv_vm_create - a new VM's clock starts at 0 */
void okvm_pv_vm_create(struct okvm_vm *vm)
{
	struct okvm_vm_clock *clock = &vm->clock;

	mutex_init(&clock->lock);
	spin_lock_init(&clock->tsc_lock);
	mutex_lock(&clock->lock);
	clock->offset = -okvm_clock_base_ns();
	choose_master(vm);
	mutex_unlock(&clock->lock);
}

/** okvm_pv_vm_destroy - nothing is left to free */
void okvm_pv_vm_destroy(struct okvm_vm *vm)
{
	mutex_destroy(&vm->clock.lock);
}

/* ---- the guest's pages ---- */

static void fill_page(struct okvm_vcpu *vcpu, struct pvclock_vcpu_time_info *info)
{
	struct okvm_vm_clock *clock = &vcpu->vm->clock;
	u64 host_tsc, ns, ratio = vcpu->msrs->tsc_ratio;
	struct rate rate;
	u32 khz;

	mutex_lock(&clock->lock);
	preempt_disable();
	khz = host_khz_here();
	if (clock->master) {
		host_tsc = clock->master_tsc;
		ns = clock->master_ns;
		info->flags = PVCLOCK_TSC_STABLE_BIT;
	} else {
		local_irq_disable();
		host_tsc = rdtsc();
		ns = okvm_clock_base_ns();
		local_irq_enable();
		info->flags = 0;
	}
	preempt_enable();
	info->tsc_timestamp = okvm_guest_tsc(vcpu, host_tsc);
	info->system_time = ns + clock->offset;
	mutex_unlock(&clock->lock);

	if (ratio)
		khz = mul_u64_u64_shr(khz, ratio, okvm_hw.tsc_frac_bits);
	rate = rate_of((u64)khz * 1000);
	info->tsc_to_system_mul = rate.mul;
	info->tsc_shift = rate.shift;
}

/*
 * The guest may read while this writes: an odd version says so. What it has in the page is the
 * guest's to choose, so the version goes on from there.
 */
static int write_versioned(struct okvm_vcpu *vcpu, gpa_t gpa, u32 *version, const void *page,
			   unsigned int len)
{
	u32 odd = (*version + 1) | 1;
	int err = okvm_write_guest(vcpu, gpa, &odd, sizeof(odd));

	if (err)
		return err;
	smp_wmb();
	err = okvm_write_guest(vcpu, gpa + sizeof(odd), page + sizeof(odd), len - sizeof(odd));
	if (err)
		return err;
	smp_wmb();
	odd++;
	return okvm_write_guest(vcpu, gpa, &odd, sizeof(odd));
}

/**
 * okvm_clock_update - write the vCPU's clock page, if the guest has one
 * @vcpu: the vCPU, on its way into the guest
 *
 * A page that is not in guest memory is the guest's own fault and changes nothing.
 *
 * Context: vCPU thread; may sleep. Return: 0.
 */
int okvm_clock_update(struct okvm_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info info = { }, old;
	gpa_t gpa = vcpu->pv.clock_msr & ~(u64)KVM_MSR_ENABLED;

	if (!(vcpu->pv.clock_msr & KVM_MSR_ENABLED) ||
	    okvm_read_guest(vcpu, gpa, &old, sizeof(old)))
		return 0;
	fill_page(vcpu, &info);
	/* The guest clears it when it has seen it. */
	info.flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	if (vcpu->pv.guest_stopped) {
		info.flags |= PVCLOCK_GUEST_STOPPED;
		vcpu->pv.guest_stopped = false;
	}
	write_versioned(vcpu, gpa, &old.version, &info, sizeof(info));
	return 0;
}

/**
 * okvm_set_system_time - MSR_KVM_SYSTEM_TIME(_NEW): where the clock page is
 * @vcpu: the vCPU
 * @data: its address; bit 0: enabled
 *
 * Return: 0.
 */
int okvm_set_system_time(struct okvm_vcpu *vcpu, u64 data)
{
	vcpu->pv.clock_msr = data;
	okvm_request(vcpu, REQ_CLOCK_UPDATE);
	return 0;
}

/**
 * okvm_set_wall_clock - MSR_KVM_WALL_CLOCK(_NEW): write the time of day at which the clock was 0
 * @vcpu: the vCPU
 * @data: where to
 *
 * Return: 0.
 */
int okvm_set_wall_clock(struct okvm_vcpu *vcpu, u64 data)
{
	struct okvm_vm_clock *clock = &vcpu->vm->clock;
	struct pvclock_wall_clock wall = { };
	struct timespec64 start;
	u32 version;
	u64 ns;

	mutex_lock(&clock->lock);
	clock->wall_clock_msr = data;
	ns = ktime_get_real_ns() - clock_now(clock);
	mutex_unlock(&clock->lock);
	if (!data || okvm_read_guest(vcpu, data, &version, sizeof(version)))
		return 0;
	start = ns_to_timespec64(ns);
	wall.sec = start.tv_sec;
	wall.nsec = start.tv_nsec;
	write_versioned(vcpu, data, &version, &wall, sizeof(wall));
	return 0;
}

/* ---- ioctls ---- */

/**
 * okvm_get_clock - KVM_GET_CLOCK
 * @vm: the VM
 * @arg: struct kvm_clock_data
 *
 * With a master reading, the host's TSC and the time of day of the same instant are told too.
 */
long okvm_get_clock(struct okvm_vm *vm, void *arg)
{
	struct okvm_vm_clock *clock = &vm->clock;
	struct kvm_clock_data *data = arg;
	u64 tsc, ns, real;

	memset(data, 0, sizeof(*data));
	mutex_lock(&clock->lock);
	if (clock->master && okvm_tsc_snapshot(&tsc, &ns, &real)) {
		data->clock = clock_now_by_tsc(clock, tsc);
		data->realtime = real;
		data->host_tsc = tsc;
		data->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	} else {
		data->clock = okvm_clock_base_ns() + clock->offset;
	}
	mutex_unlock(&clock->lock);
	return 0;
}

#define CLOCK_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/**
 * okvm_set_clock - KVM_SET_CLOCK
 * @vm: the VM
 * @arg: struct kvm_clock_data; with KVM_CLOCK_REALTIME, the time since then is added
 *
 * Return: 0, or -EINVAL: unknown flags.
 */
long okvm_set_clock(struct okvm_vm *vm, void *arg)
{
	struct okvm_vm_clock *clock = &vm->clock;
	const struct kvm_clock_data *data = arg;
	u64 value = data->clock, real;

	if (data->flags & ~CLOCK_FLAGS)
		return -EINVAL;
	mutex_lock(&clock->lock);
	okvm_request_all_wait(vm, REQ_CLOCK_UPDATE);
	choose_master(vm);
	if (data->flags & KVM_CLOCK_REALTIME) {
		real = ktime_get_real_ns();
		/* Clocks of two hosts differ: no time has passed then, not less than none. */
		if (real > data->realtime)
			value += real - data->realtime;
	}
	clock->offset += value - clock_now(clock);
	mutex_unlock(&clock->lock);
	return 0;
}

/**
 * okvm_kvmclock_ctrl - KVM_KVMCLOCK_CTRL: user space has stopped the guest; tell its watchdogs
 * @vcpu: the vCPU
 * @arg: unused
 *
 * Return: 0, or -EINVAL: the guest has no clock page.
 */
long okvm_kvmclock_ctrl(struct okvm_vcpu *vcpu, void *arg)
{
	if (!(vcpu->pv.clock_msr & KVM_MSR_ENABLED))
		return -EINVAL;
	vcpu->pv.guest_stopped = true;
	okvm_request(vcpu, REQ_CLOCK_UPDATE);
	return 0;
}

/* ---- the host's clock source ---- */

static void refresh_vm(struct okvm_vm *vm, void *unused)
{
	okvm_request_all(vm, REQ_MASTERCLOCK);
}

static void refresh_all(struct work_struct *work)
{
	okvm_for_each_vm(refresh_vm, NULL);
}

static DECLARE_WORK(refresh_work, refresh_all);

static void queue_refresh(struct irq_work *work)
{
	queue_work(system_long_wq, &refresh_work);
}

static DEFINE_IRQ_WORK(refresh_irq_work, queue_refresh);
static bool host_clock_is_tsc;

/* Called on every tick under the timekeeper's lock: no lock may be taken, no work queued here. */
static int clock_changed(struct notifier_block *nb, unsigned long stepped, void *data)
{
	const struct timekeeper *tk = data;
	bool is_tsc = tk->tkr_mono.clock->vdso_clock_mode == VDSO_CLOCKMODE_TSC;

	if (unlikely(is_tsc != READ_ONCE(host_clock_is_tsc))) {
		WRITE_ONCE(host_clock_is_tsc, is_tsc);
		irq_work_queue(&refresh_irq_work);
	}
	return NOTIFY_OK;
}

static struct notifier_block clock_nb = { .notifier_call = clock_changed };

/* The TSC may have been reset while the host slept: every vCPU sees that when it is loaded. */
static void clock_resume(void)
{
	atomic_inc(&tsc_epoch);
}

static struct syscore_ops clock_syscore_ops = { .resume = clock_resume };

/**
 * okvm_pv_setup - follow the host's clock
 *
 * Context: module load. Return: 0 or a negative errno.
 */
int okvm_pv_setup(void)
{
	int err = pvclock_gtod_register_notifier(&clock_nb);

	if (!err)
		register_syscore_ops(&clock_syscore_ops);
	return err;
}

/** okvm_pv_unsetup - stop following it; module unload, or a failed load */
void okvm_pv_unsetup(void)
{
	pvclock_gtod_unregister_notifier(&clock_nb);
	irq_work_sync(&refresh_irq_work);
	cancel_work_sync(&refresh_work);
	unregister_syscore_ops(&clock_syscore_ops);
}
