// SPDX-License-Identifier: GPL-2.0-only
/* kvmclock: the guest's page, KVM_GET_CLOCK, KVM_SET_CLOCK, the wall clock, KVM_KVMCLOCK_CTRL. */

#include "selftest.h"

#include <asm/kvm_para.h>
#include <time.h>

#define NSEC		1000000000ul
#define MSR_ENABLED	1ul

/* Layout of the pages: Documentation/virt/kvm/x86/msr.rst of the kernel. */
struct clock_page {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

struct wall_page {
	uint32_t version, sec, nsec;
};

#define TSC_STABLE	1
#define GUEST_STOPPED	2

#define PAGE(id)	((volatile struct clock_page *)(TEST_GPA + 64 * (id)))
#define WALL		((volatile struct wall_page *)(TEST_GPA + 0x1000))

static uint64_t ticks_to_ns(uint64_t ticks, uint32_t mul, int shift)
{
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return (unsigned __int128)ticks * mul >> 32;
}

static uint64_t guest_clock(volatile struct clock_page *page)
{
	uint32_t version;
	uint64_t ns;

	do {
		version = page->version;
		asm volatile("" : : : "memory");
		ns = page->ns + ticks_to_ns(rdtsc() - page->tsc, page->mul, page->shift);
		asm volatile("" : : : "memory");
	} while (version & 1 || version != page->version);
	return ns;
}

static void tells_time(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)PAGE(0) | MSR_ENABLED);
	GUEST_ASSERT(PAGE(0)->version && !(PAGE(0)->version & 1));
	GUEST_ASSERT(PAGE(0)->mul >= 1u << 31);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_SYSTEM_TIME_NEW), (uintptr_t)PAGE(0) | MSR_ENABLED);
	for (uint64_t i = 1;; i++)
		GUEST_SYNC_VAL(i, guest_clock(PAGE(0)));
}

static uint64_t host_clock(struct vm *vm)
{
	struct kvm_clock_data data;

	memset(&data, 0xff, sizeof(data));
	ioctl_ok(vm->fd, KVM_GET_CLOCK, &data);
	TEST_ASSERT(!(data.flags & ~0xeu), "unknown flags %#x", data.flags);
	return data.clock;
}

TEST(starts_at_zero_and_agrees_with_the_host)
{
	struct vcpu *v = guest_of(tells_time);
	uint64_t before = host_clock(v->vm), guest, after;

	TEST_ASSERT(before < 5 * NSEC, "a new VM's clock is at %lu ns", before);
	for (int i = 1; i < 200; i++) {
		before = host_clock(v->vm);
		guest = vcpu_expect_sync(v, i);
		after = host_clock(v->vm);
		TEST_ASSERT(before <= guest + 1000 && guest <= after + 1000,
			    "guest %lu not between %lu and %lu", guest, before, after);
	}
}

TEST(set_clock_moves_it)
{
	struct vcpu *v = guest_of(tells_time);
	struct kvm_clock_data data = { .clock = 1000 * NSEC };
	uint64_t guest;

	vcpu_expect_sync(v, 1);
	ioctl_ok(v->vm->fd, KVM_SET_CLOCK, &data);
	guest = vcpu_expect_sync(v, 2);
	TEST_ASSERT(guest >= 1000 * NSEC && guest < 1010 * NSEC, "the guest reads %lu", guest);
	data.clock = 5 * NSEC;
	ioctl_ok(v->vm->fd, KVM_SET_CLOCK, &data);
	guest = vcpu_expect_sync(v, 3);
	TEST_ASSERT(guest >= 5 * NSEC && guest < 15 * NSEC, "the guest reads %lu", guest);
}

TEST(set_clock_by_realtime)
{
	struct vcpu *v = guest_of(tells_time);
	struct kvm_clock_data data = { .clock = 100 * NSEC, .flags = KVM_CLOCK_REALTIME };
	struct timespec now;
	uint64_t guest;

	TEST_REQUIRE(kvm_cap(KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME, "no KVM_CLOCK_REALTIME");
	clock_gettime(CLOCK_REALTIME, &now);
	data.realtime = (now.tv_sec - 50) * NSEC + now.tv_nsec;
	ioctl_ok(v->vm->fd, KVM_SET_CLOCK, &data);
	guest = vcpu_expect_sync(v, 1);
	TEST_ASSERT(guest >= 150 * NSEC && guest < 160 * NSEC, "the guest reads %lu", guest);
	/* A time of day in the future: none has passed. */
	data.realtime = (now.tv_sec + 1000) * NSEC;
	ioctl_ok(v->vm->fd, KVM_SET_CLOCK, &data);
	guest = vcpu_expect_sync(v, 2);
	TEST_ASSERT(guest >= 100 * NSEC && guest < 110 * NSEC, "the guest reads %lu", guest);
}

TEST(what_get_returns_can_be_set)
{
	struct vm *vm = vm_create();
	struct kvm_clock_data data;
	struct timespec now;

	vcpu_add(vm, 0, tells_time);
	ioctl_ok(vm->fd, KVM_GET_CLOCK, &data);
	if (data.flags & KVM_CLOCK_REALTIME) {
		clock_gettime(CLOCK_REALTIME, &now);
		TEST_ASSERT(llabs((long long)(now.tv_sec - data.realtime / NSEC)) < 5,
			    "the time of day is %lu, not %lu", (uint64_t)now.tv_sec,
			    (uint64_t)(data.realtime / NSEC));
	}
	if (data.flags & KVM_CLOCK_HOST_TSC)
		TEST_ASSERT(data.host_tsc && data.host_tsc <= rdtsc(), "the host's TSC is %lu",
			    (uint64_t)data.host_tsc);
	ioctl_ok(vm->fd, KVM_SET_CLOCK, &data);
}

TEST(set_clock_unknown_flags)
{
	struct vm *vm = vm_create();
	struct kvm_clock_data data = { .clock = 77 * NSEC, .flags = 1u << 8 };

	ioctl_fails(vm->fd, KVM_SET_CLOCK, &data, EINVAL);
	data.flags = 1u << 31 | KVM_CLOCK_REALTIME;
	ioctl_fails(vm->fd, KVM_SET_CLOCK, &data, EINVAL);
	TEST_ASSERT(host_clock(vm) < 20 * NSEC, "a refused call has set the clock");
}

#define ROUNDS 2000

static uint64_t turn, last;

static void in_turn(uint64_t id)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)PAGE(id) | MSR_ENABLED);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t now;

		GUEST_WAIT(READ_ONCE(turn) % 2 == id);
		now = guest_clock(PAGE(id));
		/* Without the flag a guest has to look after that itself. */
		if (PAGE(0)->flags & PAGE(1)->flags & TSC_STABLE)
			GUEST_ASSERT(now >= READ_ONCE(last));
		WRITE_ONCE(last, now);
		WRITE_ONCE(turn, turn + 1);
	}
	GUEST_DONE();
}

TEST(one_time_on_two_vcpus)
{
	struct vm *vm = vm_create();
	struct kvm_clock_data data;

	for (int i = 0; i < 2; i++) {
		vcpu_add_raw(vm, i);
		vcpu_set_cpuid(vm->vcpus[i]);
		vcpu_enter64(vm->vcpus[i], in_turn, i);
	}
	vcpu_start(vm->vcpus[0]);
	vcpu_start(vm->vcpus[1]);
	/* Readings that both see anew meanwhile must not show either. */
	for (int i = 0; i < 50; i++) {
		ioctl_ok(vm->fd, KVM_GET_CLOCK, &data);
		data.flags = 0;
		/* Forward, however long this thread waits between the two calls. */
		data.clock += 100 * NSEC;
		ioctl_ok(vm->fd, KVM_SET_CLOCK, &data);
		usleep(1000);
	}
	vcpu_join(vm->vcpus[0]);
	vcpu_join(vm->vcpus[1]);
}

#define MSR_TSC_ADJUST 0x3b

static void moves_its_tsc(uint64_t by_tsc)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)PAGE(0) | MSR_ENABLED);
	GUEST_SYNC_VAL(1, guest_clock(PAGE(0)));
	if (by_tsc)
		wrmsr(MSR_TSC, rdtsc() + (1ul << 45));
	else
		wrmsr(MSR_TSC_ADJUST, 1ul << 45);
	GUEST_ASSERT(rdtsc() > 1ul << 45);
	GUEST_SYNC_VAL(2, guest_clock(PAGE(0)));
	GUEST_DONE();
}

TEST(a_tsc_that_the_guest_moves_changes_no_time)
{
	/* KVM leaves the page as it is when the TSC itself is written. */
	TEST_REQUIRE(kvm_is_okvm() || kvm_has_tsc_adjust(), "no TSC_ADJUST in the supported CPUID");
	for (int by_tsc = !kvm_has_tsc_adjust(); by_tsc <= kvm_is_okvm(); by_tsc++) {
		struct vcpu *v = guest_of(tells_time);
		uint64_t first, second;

		vcpu_enter64(v, moves_its_tsc, by_tsc);
		first = vcpu_expect_sync(v, 1);
		second = vcpu_expect_sync(v, 2);
		TEST_ASSERT(second >= first && second - first < 10 * NSEC, "%lu, then %lu", first,
			    second);
		vcpu_expect_done(v);
	}
}

static void asks_the_wall_clock(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)PAGE(0) | MSR_ENABLED);
	wrmsr(MSR_KVM_WALL_CLOCK_NEW, (uintptr_t)WALL);
	GUEST_ASSERT(WALL->version && !(WALL->version & 1));
	GUEST_ASSERT(WALL->nsec < NSEC);
	GUEST_SYNC_VAL(1, WALL->sec * NSEC + WALL->nsec + guest_clock(PAGE(0)));
	GUEST_DONE();
}

TEST(wall_clock)
{
	struct vcpu *v = guest_of(asks_the_wall_clock);
	struct timespec before, after;
	uint64_t guest;

	clock_gettime(CLOCK_REALTIME, &before);
	guest = vcpu_expect_sync(v, 1);
	clock_gettime(CLOCK_REALTIME, &after);
	TEST_ASSERT(guest / NSEC + 1 >= (uint64_t)before.tv_sec &&
		    guest / NSEC <= (uint64_t)after.tv_sec + 1,
		    "the guest says %lu, the host %ld to %ld", guest / NSEC, before.tv_sec,
		    after.tv_sec);
	vcpu_expect_done(v);
}

static void is_stopped(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)PAGE(0) | MSR_ENABLED);
	GUEST_ASSERT(!(PAGE(0)->flags & GUEST_STOPPED));
	GUEST_SYNC(1);
	GUEST_ASSERT(PAGE(0)->flags & GUEST_STOPPED);
	/* It stays until the guest clears it. */
	GUEST_SYNC(2);
	GUEST_ASSERT(PAGE(0)->flags & GUEST_STOPPED);
	PAGE(0)->flags &= ~GUEST_STOPPED;
	GUEST_SYNC(3);
	GUEST_ASSERT(!(PAGE(0)->flags & GUEST_STOPPED));
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
	GUEST_SYNC(4);
	GUEST_DONE();
}

TEST(kvmclock_ctrl)
{
	struct vcpu *v = guest_of(is_stopped);
	struct kvm_clock_data data = { .clock = NSEC };

	require_cap(KVM_CAP_KVMCLOCK_CTRL);
	ioctl_fails(v->fd, KVM_KVMCLOCK_CTRL, 0, EINVAL);
	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_KVMCLOCK_CTRL, 0);
	vcpu_expect_sync(v, 2);
	/* Another update of the page. */
	ioctl_ok(v->vm->fd, KVM_SET_CLOCK, &data);
	vcpu_expect_sync(v, 3);
	ioctl_ok(v->vm->fd, KVM_SET_CLOCK, &data);
	vcpu_expect_sync(v, 4);
	ioctl_fails(v->fd, KVM_KVMCLOCK_CTRL, 0, EINVAL);
	vcpu_expect_done(v);
}

static void puts_it_nowhere(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, NOWHERE_GPA | MSR_ENABLED);
	wrmsr(MSR_KVM_WALL_CLOCK_NEW, NOWHERE_GPA + 0x100);
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, ~0ul);
	wrmsr(MSR_KVM_WALL_CLOCK_NEW, ~0ul - 3);
	GUEST_SYNC(1);
	/* The last bytes of a slot: half of a page's struct is beyond it. */
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (RAM_SIZE - 16) | MSR_ENABLED);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(a_page_out_of_memory_is_the_guests_fault_alone)
{
	struct vcpu *v = guest_of(puts_it_nowhere);

	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	vcpu_expect_done(v);
}

static void old_numbers(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME, (uintptr_t)PAGE(0) | MSR_ENABLED);
	GUEST_ASSERT(PAGE(0)->mul);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_SYSTEM_TIME), (uintptr_t)PAGE(0) | MSR_ENABLED);
	wrmsr(MSR_KVM_WALL_CLOCK, (uintptr_t)WALL);
	GUEST_ASSERT(WALL->sec);
	GUEST_DONE();
}

TEST(old_msr_numbers)
{
	run_guest(old_numbers);
}
