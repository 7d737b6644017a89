// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's time stamp counter: the host's, scaled where the hardware can, plus an offset. User
 * space sets it vCPU by vCPU; writes that mean the same moment are made the same offset, so that
 * all vCPUs of a VM count as one.
 */
#include <linux/math64.h>
#include <linux/ktime.h>
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "msr.h"
#include "regs.h"
#include "vmm.h"

/* A rate this near to the host's is the host's: the hardware's own error is not smaller. */
#define TOLERANCE_PPM 250

static u64 scale(struct okvm_vcpu *vcpu, u64 host_tsc)
{
	u64 ratio = vcpu->msrs->tsc_ratio;

	return ratio ? mul_u64_u64_shr(host_tsc, ratio, okvm_hw.tsc_frac_bits) : host_tsc;
}

/** okvm_host_tsc_khz - the host's rate */
u32 okvm_host_tsc_khz(void)
{
	return tsc_khz;
}

/** okvm_tsc_to_guest_scale - the guest's rate over the host's, okvm_hw.tsc_frac_bits; 0: one */
u64 okvm_tsc_to_guest_scale(struct okvm_vcpu *vcpu)
{
	return vcpu->msrs->tsc_ratio;
}

/** okvm_guest_tsc - what the guest reads when the host's counter is at @host_tsc */
u64 okvm_guest_tsc(struct okvm_vcpu *vcpu, u64 host_tsc)
{
	return scale(vcpu, host_tsc) + vcpu->tsc.offset;
}

/** okvm_tsc_cycles - ticks of the guest's counter in @ns nanoseconds */
u64 okvm_tsc_cycles(struct okvm_vcpu *vcpu, u64 ns)
{
	return mul_u64_u32_div(ns, vcpu->tsc.khz, USEC_PER_SEC);
}

static bool near_host(u32 khz)
{
	u32 margin = mul_u64_u32_div(tsc_khz, TOLERANCE_PPM, 1000000);

	return khz >= tsc_khz - margin && khz <= tsc_khz + margin;
}

/* The hardware's ratio for a rate: 0 for the host's own; -EINVAL: it cannot. */
static int ratio_for(u32 khz, u64 *ratio)
{
	*ratio = 0;
	if (near_host(khz))
		return 0;
	if (!okvm_hw.tsc_scaling)
		return -EINVAL;
	*ratio = mul_u64_u32_div(BIT_ULL(okvm_hw.tsc_frac_bits), khz, tsc_khz);
	return *ratio && *ratio < okvm_hw.tsc_max_ratio ? 0 : -EINVAL;
}

/*
 * A new offset: the guest reads @value at @ns of the host's clock. Its kvmclock page is stale, and
 * whether one page serves all vCPUs is to be looked at anew.
 */
static void set_offset(struct okvm_vcpu *vcpu, u64 offset, u64 value, u64 ns)
{
	vcpu->msrs->tsc_base = value;
	vcpu->msrs->tsc_base_ns = ns;
	if (offset == vcpu->tsc.offset)
		return;
	WRITE_ONCE(vcpu->tsc.offset, offset);
	okvm_backend->set_tsc(vcpu);
	okvm_lapic_tsc_changed(vcpu);
	okvm_request(vcpu, REQ_MASTERCLOCK);
	okvm_request(vcpu, REQ_CLOCK_UPDATE);
}

static int set_khz(struct okvm_vcpu *vcpu, u32 khz)
{
	u64 ratio;
	int err = ratio_for(khz, &ratio);

	if (err)
		return err;
	vcpu->tsc.khz = khz;
	vcpu->msrs->tsc_ratio = ratio;
	okvm_backend->set_tsc(vcpu);
	okvm_lapic_tsc_changed(vcpu);
	okvm_request(vcpu, REQ_MASTERCLOCK);
	okvm_request(vcpu, REQ_CLOCK_UPDATE);
	return 0;
}

/*
 * Does this write mean to continue the last one, on another vCPU perhaps? Zero is a vCPU that
 * starts; else the value is where the last one's would be by now, within a second. A restore
 * writes each vCPU's saved value, all of about the same moment.
 */
static bool continues(struct okvm_vcpu *vcpu, const struct okvm_vm_clock *clock, u64 value, u64 ns)
{
	u64 second = (u64)vcpu->tsc.khz * 1000, expected;

	if (clock->tsc_khz != vcpu->tsc.khz)
		return false;
	if (!value)
		return true;
	expected = clock->tsc_value + okvm_tsc_cycles(vcpu, ns - clock->tsc_ns);
	return (s64)(value - expected) > -(s64)second && (s64)(value - expected) < (s64)second;
}

/* Under clock->tsc_lock. */
static void remember(struct okvm_vm_clock *clock, struct okvm_vcpu *vcpu, u64 value, u64 ns)
{
	clock->tsc_khz = vcpu->tsc.khz;
	clock->tsc_value = value;
	clock->tsc_ns = ns;
}

/**
 * okvm_tsc_write_host - user space writes the TSC, at creation or to restore it
 * @vcpu: the vCPU, loaded
 * @value: what the guest is to read now
 *
 * KVM API document, KVM_VCPU_TSC_OFFSET, tells of this guesswork and how to avoid it.
 */
void okvm_tsc_write_host(struct okvm_vcpu *vcpu, u64 value)
{
	struct okvm_vm_clock *clock = &vcpu->vm->clock;
	u64 offset, ns, now;

	spin_lock(&clock->tsc_lock);
	ns = okvm_clock_base_ns();
	now = scale(vcpu, rdtsc());
	offset = value - now;
	if (!continues(vcpu, clock, value, ns)) {
		clock->tsc_offset = offset;
	} else if (!check_tsc_unstable()) {
		offset = clock->tsc_offset;
	} else {
		/* CPUs count apart: the same offset would not mean the same time. */
		value = clock->tsc_value + okvm_tsc_cycles(vcpu, ns - clock->tsc_ns);
		offset = value - now;
	}
	remember(clock, vcpu, value, ns);
	set_offset(vcpu, offset, offset + now, ns);
	spin_unlock(&clock->tsc_lock);
}

static void add_to_guest(struct okvm_vcpu *vcpu, u64 delta)
{
	u64 offset = vcpu->tsc.offset + delta;

	set_offset(vcpu, offset, scale(vcpu, rdtsc()) + offset, okvm_clock_base_ns());
}

/**
 * okvm_tsc_write_guest - the guest writes its TSC: this vCPU's alone, and TSC_ADJUST tells of it
 * @vcpu: the vCPU, loaded
 * @value: what it is to read now
 */
void okvm_tsc_write_guest(struct okvm_vcpu *vcpu, u64 value)
{
	u64 delta = value - okvm_guest_tsc(vcpu, rdtsc());

	add_to_guest(vcpu, delta);
	vcpu->tsc.adjust += delta;
}

/**
 * okvm_tsc_set_adjust - IA32_TSC_ADJUST: the guest's write moves the TSC, user space's does not
 * @vcpu: the vCPU, loaded
 * @value: the register's new value
 * @host: user space restores it
 */
void okvm_tsc_set_adjust(struct okvm_vcpu *vcpu, u64 value, bool host)
{
	if (!host && value != vcpu->tsc.adjust)
		add_to_guest(vcpu, value - vcpu->tsc.adjust);
	vcpu->tsc.adjust = value;
}

/**
 * okvm_tsc_create - a new vCPU's TSC: the VM's rate, in step with the other vCPUs
 * @vcpu: the vCPU, loaded
 */
void okvm_tsc_create(struct okvm_vcpu *vcpu)
{
	u32 khz = READ_ONCE(vcpu->vm->tsc_khz) ?: tsc_khz;

	/* The VM's rate was checked when it was set. */
	if (set_khz(vcpu, khz))
		set_khz(vcpu, tsc_khz);
	vcpu->msrs->tsc_epoch = okvm_tsc_epoch();
	okvm_tsc_write_host(vcpu, 0);
}

/* Where the TSC should be by the host's clock, whatever this CPU's counter says. */
static void resynchronize(struct okvm_vcpu *vcpu)
{
	u64 ns = okvm_clock_base_ns();
	u64 value = vcpu->msrs->tsc_base + okvm_tsc_cycles(vcpu, ns - vcpu->msrs->tsc_base_ns);

	set_offset(vcpu, value - scale(vcpu, rdtsc()), value, ns);
}

/**
 * okvm_tsc_load - keep the guest's TSC and clock going on another CPU
 * @vcpu: the vCPU that is being loaded
 * @cpu: this CPU
 * @migrated: it was on another one, or none
 *
 * Nothing to do where all CPUs count as one. Where they do not, and after the host has slept, the
 * guest's counter is set to what the host's clock says.
 *
 * Context: preemption off.
 */
void okvm_tsc_load(struct okvm_vcpu *vcpu, int cpu, bool migrated)
{
	unsigned int epoch = okvm_tsc_epoch();

	if (unlikely(epoch != vcpu->msrs->tsc_epoch)) {
		vcpu->msrs->tsc_epoch = epoch;
		resynchronize(vcpu);
	} else if (migrated && unlikely(check_tsc_unstable())) {
		resynchronize(vcpu);
	}
	if (migrated && !READ_ONCE(vcpu->vm->clock.master) && vcpu->pv.clock_msr & KVM_MSR_ENABLED)
		okvm_request(vcpu, REQ_CLOCK_UPDATE);
}

/* ---- ioctls ---- */

/**
 * okvm_set_tsc_khz - KVM_SET_TSC_KHZ on a vCPU
 * @vcpu: the vCPU, loaded
 * @arg: the rate itself; 0: the host's
 *
 * Return: 0, or -EINVAL: the hardware cannot scale to that.
 */
long okvm_set_tsc_khz(struct okvm_vcpu *vcpu, void *arg)
{
	u32 khz = (unsigned long)arg;

	return set_khz(vcpu, khz ?: tsc_khz);
}

/** okvm_get_tsc_khz - KVM_GET_TSC_KHZ on a vCPU: its rate */
long okvm_get_tsc_khz(struct okvm_vcpu *vcpu, void *arg)
{
	return vcpu->tsc.khz;
}

/** okvm_vm_set_tsc_khz - KVM_SET_TSC_KHZ on a VM: the rate of vCPUs made later; as above */
long okvm_vm_set_tsc_khz(struct okvm_vm *vm, void *arg)
{
	u32 khz = (unsigned long)arg;
	u64 ratio;
	int err;

	khz = khz ?: tsc_khz;
	err = ratio_for(khz, &ratio);
	if (!err)
		WRITE_ONCE(vm->tsc_khz, khz);
	return err;
}

/** okvm_vm_get_tsc_khz - KVM_GET_TSC_KHZ on a VM */
long okvm_vm_get_tsc_khz(struct okvm_vm *vm, void *arg)
{
	return READ_ONCE(vm->tsc_khz) ?: tsc_khz;
}

static int check_attr(const struct kvm_device_attr *attr)
{
	if (attr->flags)
		return -EINVAL;
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

/** okvm_vcpu_has_attr - KVM_HAS_DEVICE_ATTR: 0, or -ENXIO */
long okvm_vcpu_has_attr(struct okvm_vcpu *vcpu, void *arg)
{
	return check_attr(arg);
}

/** okvm_vcpu_get_attr - KVM_GET_DEVICE_ATTR: the TSC's offset; 0, -ENXIO, -EFAULT */
long okvm_vcpu_get_attr(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	int err = check_attr(attr);

	return err ?: put_user(vcpu->tsc.offset, (u64 __user *)(unsigned long)attr->addr);
}

/**
 * okvm_vcpu_set_attr - KVM_SET_DEVICE_ATTR: the TSC's offset, taken as it is
 * @vcpu: the vCPU, loaded
 * @arg: struct kvm_device_attr
 *
 * Return: 0; -ENXIO: no such attribute; -EINVAL: flags; -EFAULT.
 */
long okvm_vcpu_set_attr(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	struct okvm_vm_clock *clock = &vcpu->vm->clock;
	int err = check_attr(attr);
	u64 offset, value, ns;

	if (err)
		return err;
	if (get_user(offset, (u64 __user *)(unsigned long)attr->addr))
		return -EFAULT;
	spin_lock(&clock->tsc_lock);
	ns = okvm_clock_base_ns();
	value = scale(vcpu, rdtsc()) + offset;
	clock->tsc_offset = offset;
	remember(clock, vcpu, value, ns);
	set_offset(vcpu, offset, value, ns);
	spin_unlock(&clock->tsc_lock);
	return 0;
}
