// SPDX-License-Identifier: GPL-2.0-only
/* The PIT: its ports, the speaker port, ticks on GSI 0, reinjection, its state as a whole. */

#include "irq.h"

#define VECTOR	0x50

static struct vm *vm_create_pit(uint32_t flags)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_pit_config c = { .flags = flags };

	require_cap(KVM_CAP_PIT2);
	ioctl_ok(vm->fd, KVM_CREATE_PIT2, &c);
	return vm;
}

static void program(int channel, int mode, uint16_t count)
{
	outb(0x43, channel << 6 | 0x30 | mode << 1);
	outb(0x40 + channel, count);
	outb(0x40 + channel, count >> 8);
}

static uint16_t latched(int channel)
{
	uint16_t n;

	outb(0x43, channel << 6);
	n = inb(0x40 + channel);
	return n | inb(0x40 + channel) << 8;
}

static void counters(void)
{
	uint16_t n;

	program(1, 2, 0);
	n = latched(1);
	GUEST_WAIT(latched(1) != n);
	/* Read-back: status of channels 1 and 2. */
	program(2, 3, 1000);
	outb(0x43, 0xe0 | 2 << 1 | 2 << 2);
	GUEST_ASSERT_EQ(inb(0x41) & 0x3f, 0x34);
	GUEST_ASSERT_EQ(inb(0x42) & 0x3f, 0x36);
	/* A low byte alone. */
	outb(0x43, 1 << 6 | 0x10 | 2 << 1);
	outb(0x41, 100);
	GUEST_ASSERT(inb(0x41) <= 100);
	GUEST_DONE();
}

TEST(counters)
{
	vcpu_expect_done(vcpu_add(vm_create_pit(0), 0, counters));
}

/* How Linux measures its TSC: channel 2, gated by the speaker port, whose output it watches. */
static void calibrate(void)
{
	uint64_t t, ticks;

	outb(0x61, (inb(0x61) & ~2) | 1);
	for (int i = 0; i < 3; i++) {
		program(2, 0, 1193182 / 20);
		t = rdtsc();
		GUEST_ASSERT(!(inb(0x61) & 0x20));
		GUEST_WAIT(inb(0x61) & 0x20);
		ticks = rdtsc() - t;
		GUEST_SYNC_VAL(1, ticks * 20 / 1000);
	}
	outb(0x61, 0x03);
	GUEST_ASSERT_EQ(inb(0x61) & 0x03, 0x03);
	outb(0x61, 0x00);
	GUEST_ASSERT_EQ(inb(0x61) & 0x03, 0);
	/* The refresh clock turns. */
	t = inb(0x61) & 0x10;
	GUEST_WAIT((inb(0x61) & 0x10) != t);
	GUEST_DONE();
}

TEST(tsc_by_channel_2)
{
	struct vcpu *v = vcpu_add(vm_create_pit(KVM_PIT_SPEAKER_DUMMY), 0, calibrate);
	long khz = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0), best = 0, seen;

	for (int i = 0; i < 3; i++) {
		seen = vcpu_expect_sync(v, 1);
		/* Never too short; too long when the host was busy. */
		TEST_ASSERT(seen > khz - khz / 50, "%ld kHz, not %ld", seen, khz);
		if (!best || seen < best)
			best = seen;
	}
	TEST_ASSERT(best < khz + khz / 5, "%ld kHz, not %ld", best, khz);
	vcpu_expect_done(v);
}

static void speakerless(void)
{
	inb(0x61);
	GUEST_DONE();
}

TEST(no_speaker_port)
{
	struct vcpu *v = vcpu_add(vm_create_pit(0), 0, speakerless);

	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->io.port, 0x61);
	vcpu_expect_done(v);
}

static void ticks(void)
{
	uint64_t t, n;

	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(0, VECTOR);
	t = rdtsc();
	program(0, 2, 1193182 / 200);
	while (irqs_of(VECTOR) < 50)
		sti_hlt();
	cli();
	GUEST_SYNC_VAL(1, (rdtsc() - t) * 4 / 1000);
	/* One-shot; an old tick may still come before it. */
	n = irqs_of(VECTOR);
	program(0, 0, 1193182 / 200);
	while (irqs_of(VECTOR) == n)
		sti_hlt();
	t = rdtsc();
	sti();
	GUEST_WAIT(rdtsc() - t > 200000000);
	cli();
	GUEST_SYNC_VAL(2, irqs_of(VECTOR) - n);
	GUEST_DONE();
}

TEST(ticks)
{
	struct vcpu *v = vcpu_add(vm_create_pit(0), 0, ticks);
	long khz = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0), seen = vcpu_expect_sync(v, 1), n;

	TEST_ASSERT(seen > khz - khz / 20, "50 ticks came in 1/4 s at %ld kHz, not %ld", seen, khz);
	n = vcpu_expect_sync(v, 2);
	TEST_ASSERT(n >= 1 && n <= 3, "%ld interrupts", n);
	vcpu_expect_done(v);
}

/* Set by the host: TSC cycles between two ticks of the longest count, and how many may be late. */
static uint64_t tick_cycles, backlog;

/* Deaf for two seconds: with reinjection the ticks of them come later, faster than new ones. */
static void deaf(void)
{
	uint64_t t, before, extra;

	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(0, VECTOR);
	program(0, 2, 0);
	while (irqs_of(VECTOR) < 3)
		sti_hlt();
	cli();
	GUEST_SYNC(1);
	before = irqs_of(VECTOR);
	t = rdtsc();
	do {
		sti_hlt();
		cli();
		extra = irqs_of(VECTOR) - before - (rdtsc() - t) / tick_cycles;
	} while ((int64_t)extra < (int64_t)backlog && rdtsc() - t < 200 * tick_cycles);
	GUEST_SYNC_VAL(2, extra);
	GUEST_DONE();
}

/* How many of the 36 ticks of two seconds without the guest came after them, in 11 s at most. */
static long late_ticks(uint8_t reinject)
{
	struct kvm_reinject_control c = { .pit_reinject = reinject };
	struct vm *vm = vm_create_pit(0);
	struct vcpu *v = vcpu_add(vm, 0, deaf);
	long n;

	require_cap(KVM_CAP_REINJECT_CONTROL);
	*vm_shared(vm, tick_cycles) = ioctl_ok(v->fd, KVM_GET_TSC_KHZ, 0) * 54925ul / 1000;
	*vm_shared(vm, backlog) = 25;
	ioctl_ok(vm->fd, KVM_REINJECT_CONTROL, &c);
	vcpu_expect_sync(v, 1);
	usleep(2000000);
	n = vcpu_expect_sync(v, 2);
	vcpu_expect_done(v);
	return n;
}

TEST(reinjection)
{
	TEST_ASSERT(late_ticks(1) >= 25, "most of 36");
}

TEST(no_reinjection)
{
	TEST_ASSERT(late_ticks(0) < 10, "they were lost");
}

static void unused(void)
{
	GUEST_DONE();
}

TEST(state)
{
	struct vm *vm = vm_create_pit(KVM_PIT_SPEAKER_DUMMY);
	struct kvm_pit_state2 s = { }, t;
	struct kvm_pit_state old;

	require_cap(KVM_CAP_PIT_STATE2);
	ioctl_ok(vm->fd, KVM_GET_PIT2, &s);
	TEST_ASSERT_EQ(s.channels[0].count, 0x10000);
	TEST_ASSERT_EQ(s.channels[0].gate, 1);
	TEST_ASSERT_EQ(s.channels[2].gate, 0);
	s.channels[1].count = 1234;
	s.channels[1].mode = 2;
	s.channels[1].rw_mode = s.channels[1].read_state = s.channels[1].write_state = 3;
	s.channels[1].latched_count = 0x55aa;
	s.channels[1].count_latched = 3;
	s.flags = KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	ioctl_ok(vm->fd, KVM_SET_PIT2, &s);
	memset(&t, 0xff, sizeof(t));
	ioctl_ok(vm->fd, KVM_GET_PIT2, &t);
	TEST_ASSERT_EQ(t.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	TEST_ASSERT_EQ(t.channels[1].count, 1234);
	TEST_ASSERT_EQ(t.channels[1].mode, 2);
	TEST_ASSERT_EQ(t.channels[1].latched_count, 0x55aa);
	TEST_ASSERT_EQ(t.channels[1].count_latched, 3);
	ioctl_ok(vm->fd, KVM_GET_PIT, &old);
	TEST_ASSERT_EQ(old.channels[1].count, 1234);
	old.channels[1].count = 0;
	ioctl_ok(vm->fd, KVM_SET_PIT, &old);
	ioctl_ok(vm->fd, KVM_GET_PIT2, &t);
	TEST_ASSERT_EQ(t.channels[1].count, 0x10000);
}

static void waits_for_tick(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(0, VECTOR);
	GUEST_SYNC(1);
	while (irqs_of(VECTOR) < 5)
		sti_hlt();
	GUEST_DONE();
}

TEST(restored_state_ticks)
{
	struct vm *vm = vm_create_pit(0);
	struct vcpu *v = vcpu_add(vm, 0, waits_for_tick);
	struct kvm_pit_state2 s;

	vcpu_expect_sync(v, 1);
	ioctl_ok(vm->fd, KVM_GET_PIT2, &s);
	s.channels[0].mode = 2;
	s.channels[0].count = 10000;
	s.channels[0].rw_mode = 3;
	ioctl_ok(vm->fd, KVM_SET_PIT2, &s);
	vcpu_expect_done(v);
}

TEST(bad_calls)
{
	struct vm *vm = vm_create_irqchip();
	struct kvm_pit_config c = { };
	struct kvm_pit_state2 s = { };
	struct kvm_reinject_control r = { };

	ioctl_fails(vm->fd, KVM_CREATE_PIT2, NULL, EFAULT);
	ioctl_fails(vm->fd, KVM_GET_PIT2, &s, ENXIO);
	ioctl_fails(vm->fd, KVM_SET_PIT2, &s, ENXIO);
	ioctl_fails(vm->fd, KVM_GET_PIT, &s, ENXIO);
	ioctl_fails(vm->fd, KVM_SET_PIT, &s, ENXIO);
	ioctl_fails(vm->fd, KVM_REINJECT_CONTROL, &r, ENXIO);
	ioctl_fails(vm->fd, KVM_REINJECT_CONTROL, NULL, EFAULT);
	ioctl_ok(vm->fd, KVM_CREATE_PIT2, &c);
	ioctl_fails(vm->fd, KVM_CREATE_PIT2, &c, EEXIST);
	ioctl_fails(vm->fd, KVM_CREATE_PIT, 0, EEXIST);
	vcpu_add(vm, 0, unused);
}

TEST(without_controllers)
{
	struct vm *bare = vm_create();
	struct kvm_pit_config c = { };

	TEST_REQUIRE(kvm_is_okvm(), "older upstream makes one that nobody hears");
	ioctl_fails(bare->fd, KVM_CREATE_PIT2, &c, ENOENT);
	ioctl_fails(bare->fd, KVM_CREATE_PIT, 0, ENOENT);
}

TEST(states_that_cannot_be)
{
	struct vm *vm = vm_create_pit(0);
	struct kvm_pit_config c = { .flags = 2 };
	struct kvm_pit_state2 s, t;

	TEST_REQUIRE(kvm_is_okvm(), "upstream takes them");
	ioctl_fails(vm_create_irqchip()->fd, KVM_CREATE_PIT2, &c, EINVAL);
	ioctl_ok(vm->fd, KVM_GET_PIT2, &s);
	t = s;
	t.channels[2].count = 0x10001;
	ioctl_fails(vm->fd, KVM_SET_PIT2, &t, EINVAL);
	t = s;
	t.channels[0].mode = 6;
	ioctl_fails(vm->fd, KVM_SET_PIT2, &t, EINVAL);
	t = s;
	t.channels[1].write_state = 5;
	ioctl_fails(vm->fd, KVM_SET_PIT2, &t, EINVAL);
	t = s;
	t.flags = 4;
	ioctl_fails(vm->fd, KVM_SET_PIT2, &t, EINVAL);
}
