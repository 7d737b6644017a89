// SPDX-License-Identifier: GPL-2.0-only
/* The time stamp counter: frequency, setting, and that it never goes back. */

#include "selftest.h"

#include <time.h>

#define HANDOFFS 3000

static uint64_t turn, last;

static void reads_in_turn(uint64_t id)
{
	for (int i = 0; i < HANDOFFS; i++) {
		uint64_t now;

		GUEST_WAIT(READ_ONCE(turn) % 2 == id);
		now = rdtsc();
		GUEST_ASSERT(now >= READ_ONCE(last));
		WRITE_ONCE(last, now);
		WRITE_ONCE(turn, turn + 1);
	}
	GUEST_DONE();
}

TEST(monotonic_across_vcpus)
{
	struct vm *vm = vm_create();

	for (int i = 0; i < 2; i++) {
		vcpu_add_raw(vm, i);
		vcpu_set_cpuid(vm->vcpus[i]);
		vcpu_enter64(vm->vcpus[i], reads_in_turn, i);
	}
	vcpu_start(vm->vcpus[0]);
	vcpu_start(vm->vcpus[1]);
	vcpu_join(vm->vcpus[0]);
	vcpu_join(vm->vcpus[1]);
	TEST_ASSERT_EQ(*vm_shared(vm, turn), 2 * HANDOFFS);
}

static void reads_often(void)
{
	uint64_t before = 0;

	for (int i = 0; i < 2000; i++) {
		uint64_t now = rdtsc();

		GUEST_ASSERT(now > before);
		before = now;
		if (i % 50 == 0)
			GUEST_SYNC_VAL(1, now);
	}
	GUEST_DONE();
}

TEST(monotonic_across_exits)
{
	struct vcpu *v = guest_of(reads_often);
	uint64_t before = 0;

	while (vcpu_next(v) == UCALL_SYNC) {
		TEST_ASSERT(v->uc.args[1] > before, "the TSC went back");
		before = v->uc.args[1];
		/* And between the guest's and the host's view of the MSR. */
		TEST_ASSERT(vcpu_get_msr(v, MSR_TSC) >= before, "the MSR is behind");
	}
	TEST_ASSERT_EQ(v->uc.cmd, UCALL_DONE);
}

static void syncs_tsc(void)
{
	for (;;)
		GUEST_SYNC_VAL(0, rdtsc());
}

TEST(set_by_the_host)
{
	struct vcpu *v = guest_of(syncs_tsc);
	uint64_t value = 1ul << 50, got;

	vcpu_set_msr(v, MSR_TSC, value);
	got = vcpu_expect_sync(v, 0);
	TEST_ASSERT(got >= value && got - value < 1ul << 42, "set to %#lx, the guest reads %#lx",
		    value, got);
}

static void writes_tsc(void)
{
	uint64_t now;

	wrmsr(MSR_TSC, 1ul << 52);
	now = rdtsc();
	GUEST_ASSERT(now >= 1ul << 52 && now - (1ul << 52) < 1ul << 42);
	now = rdmsr(MSR_TSC);
	GUEST_ASSERT(now >= 1ul << 52 && now - (1ul << 52) < 1ul << 42);
	GUEST_DONE();
}

TEST(set_by_the_guest)
{
	run_guest(writes_tsc);
}

static uint64_t microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000ul + t.tv_nsec / 1000;
}

/* What KVM_GET_TSC_KHZ says and what the guest counts agree within a tenth. */
static void check_rate(struct vcpu *v)
{
	uint64_t khz = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0), t, a, b, rate;

	t = microseconds();
	a = vcpu_expect_sync(v, 0);
	usleep(300000);
	b = vcpu_expect_sync(v, 0);
	rate = (b - a) * 1000 / (microseconds() - t);
	TEST_ASSERT(rate > khz * 9 / 10 && rate < khz * 11 / 10, "says %lu kHz, counts %lu", khz,
		    rate);
}

TEST(khz)
{
	struct vcpu *v = guest_of(syncs_tsc);

	require_cap(KVM_CAP_GET_TSC_KHZ);
	TEST_ASSERT(ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0) > 1000, "below 1 MHz");
	check_rate(v);
}

TEST(khz_is_set)
{
	struct vcpu *v;
	long khz;

	require_cap(KVM_CAP_TSC_CONTROL);
	v = guest_of(syncs_tsc);
	khz = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0) / 2;
	ioctl_ok(v->fd, KVM_SET_TSC_KHZ, khz);
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0), khz);
	check_rate(v);
}

/* 0 is the host's own frequency, and always there. */
TEST(khz_of_the_host)
{
	struct vcpu *v = guest_of(syncs_tsc);
	long khz = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0);

	ioctl_ok(v->fd, KVM_SET_TSC_KHZ, 0);
	TEST_ASSERT(labs(ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0) - khz) <= khz / 100, "not %ld", khz);
}

static int attr(struct vcpu *v, unsigned long command, uint32_t group, uint64_t which, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = which, .addr = (uintptr_t)value };

	return ioctl(v->fd, command, &a);
}

/* What the guest's TSC is ahead of the host's, to the tick: what is set is what is read. */
TEST(offset_attribute)
{
	struct kvm_device_attr flags = { .group = KVM_VCPU_TSC_CTRL, .flags = 1 };
	uint64_t offset, ahead, before, got;
	struct vcpu *v;

	require_cap(KVM_CAP_VCPU_ATTRIBUTES);
	v = guest_of(syncs_tsc);
	TEST_ASSERT_EQ(attr(v, KVM_HAS_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, 0), 0);
	TEST_ASSERT_EQ(attr(v, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			    &offset), 0);
	before = vcpu_expect_sync(v, 0);
	ahead = offset + (1ul << 50);
	TEST_ASSERT_EQ(attr(v, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			    &ahead), 0);
	got = vcpu_expect_sync(v, 0);
	TEST_ASSERT(got - before >= 1ul << 50 && got - before < (1ul << 50) + (1ul << 42),
		    "from %#lx to %#lx", before, got);

	/* No such attribute, flags, a bad pointer: the offset stays. */
	for (int i = 0; i < 3; i++) {
		const unsigned long commands[] = {
			KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR,
		};

		TEST_ASSERT(attr(v, commands[i], KVM_VCPU_TSC_CTRL, 1, &offset) == -1 &&
			    errno == ENXIO, "attribute 1");
		TEST_ASSERT(attr(v, commands[i], 77, KVM_VCPU_TSC_OFFSET, &offset) == -1 &&
			    errno == ENXIO, "group 77");
		if (kvm_is_okvm())
			ioctl_fails(v->fd, commands[i], &flags, EINVAL);
		if (i)
			TEST_ASSERT(attr(v, commands[i], KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
					 (void *)8) == -1 && errno == EFAULT, "a bad pointer");
	}
	TEST_ASSERT_EQ(attr(v, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			    &got), 0);
	TEST_ASSERT_EQ(got, ahead);
}
