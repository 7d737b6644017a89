// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IOEVENTFD on MMIO and ports. */

#include <sys/eventfd.h>

#include "irq.h"

#define MMIO	(NOWHERE_GPA + 0x40)
#define PORT	0x1f00

static int call(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t match)
{
	struct kvm_ioeventfd i = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = match,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &i);
}

#define REMOVE	KVM_IOEVENTFD_FLAG_DEASSIGN
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define PIO	KVM_IOEVENTFD_FLAG_PIO

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	TEST_ASSERT(fd >= 0, "eventfd");
	return fd;
}

static uint64_t drain(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void writes(void)
{
	for (;;) {
		*(volatile uint8_t *)MMIO = 0x11;
		*(volatile uint16_t *)MMIO = 0x2222;
		*(volatile uint32_t *)MMIO = 0x44444444;
		*(volatile uint64_t *)MMIO = 0x8888888888888888;
		outb(PORT, 0x11);
		outw(PORT, 0x2222);
		outl(PORT, 0x44444444);
		GUEST_SYNC(1);
	}
}

static struct vcpu *writer(void)
{
	require_cap(KVM_CAP_IOEVENTFD);
	return guest_of(writes);
}

/* One round of the guest: a bit for each of its 7 writes that came to user space. */
static unsigned int exits(struct vcpu *v)
{
	unsigned int seen = 0, size;

	while (vcpu_next(v) == UCALL_NONE) {
		if (v->run->exit_reason == KVM_EXIT_MMIO) {
			TEST_ASSERT_EQ(v->run->mmio.phys_addr, MMIO);
			seen |= 1 << __builtin_ctz(v->run->mmio.len);
		} else {
			TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
			size = v->run->io.size;
			seen |= 0x10 << __builtin_ctz(size);
		}
	}
	return seen;
}

TEST(lengths)
{
	struct vcpu *v = writer();
	int fd = new_eventfd();

	TEST_ASSERT_EQ(exits(v), 0x7f);
	for (int i = 0; i < 4; i++) {
		TEST_ASSERT(!call(v->vm, fd, MMIO, 1 << i, 0, 0), "MMIO of %d", 1 << i);
		TEST_ASSERT_EQ(exits(v), 0x7f & ~(1 << i));
		TEST_ASSERT_EQ(drain(fd), 1);
		TEST_ASSERT(!call(v->vm, fd, MMIO, 1 << i, REMOVE, 0), "remove");
	}
	for (int i = 0; i < 3; i++) {
		TEST_ASSERT(!call(v->vm, fd, PORT, 1 << i, PIO, 0), "port of %d", 1 << i);
		TEST_ASSERT_EQ(exits(v), 0x7f & ~(0x10 << i));
		TEST_ASSERT_EQ(drain(fd), 1);
		TEST_ASSERT(!call(v->vm, fd, PORT, 1 << i, PIO | REMOVE, 0), "remove");
	}
	TEST_ASSERT_EQ(exits(v), 0x7f);
	TEST_ASSERT_EQ(drain(fd), 0);
}

TEST(any_length)
{
	struct vcpu *v = writer();
	int fd = new_eventfd();

	require_cap(KVM_CAP_IOEVENTFD_ANY_LENGTH);
	TEST_ASSERT(!call(v->vm, fd, MMIO, 0, 0, 0), "MMIO");
	TEST_ASSERT_EQ(exits(v), 0x70);
	TEST_ASSERT_EQ(drain(fd), 4);
	TEST_ASSERT(!call(v->vm, fd, PORT, 0, PIO, 0), "port");
	TEST_ASSERT_EQ(exits(v), 0);
	TEST_ASSERT_EQ(drain(fd), 7);
	TEST_ASSERT(!call(v->vm, fd, MMIO, 0, REMOVE, 0), "remove");
	TEST_ASSERT_EQ(exits(v), 0x0f);
}

TEST(datamatch)
{
	struct vcpu *v = writer();
	int a = new_eventfd(), b = new_eventfd();

	TEST_ASSERT(!call(v->vm, a, MMIO, 4, MATCH, 0x44444444), "match");
	TEST_ASSERT(!call(v->vm, b, MMIO, 4, MATCH, 0x44444445), "another");
	TEST_ASSERT(!call(v->vm, b, MMIO, 8, MATCH, 0x8888888888888889), "high bits count");
	TEST_ASSERT(!call(v->vm, b, PORT, 1, PIO | MATCH, 0x11), "port");
	TEST_ASSERT_EQ(exits(v), 0x7f & ~0x14);
	TEST_ASSERT_EQ(drain(a), 1);
	TEST_ASSERT_EQ(drain(b), 1);
}

TEST(collisions)
{
	struct vm *vm = vm_create();
	int a = new_eventfd(), b = new_eventfd();

	TEST_ASSERT(!call(vm, a, MMIO, 4, MATCH, 1), "first");
	TEST_ASSERT(!call(vm, a, MMIO, 4, MATCH, 2), "other data");
	TEST_ASSERT(!call(vm, a, MMIO, 2, 0, 0), "other length");
	TEST_ASSERT(!call(vm, a, MMIO + 4, 4, 0, 0), "other address");
	TEST_ASSERT(!call(vm, a, MMIO, 4, PIO | MATCH, 1), "other space");
	TEST_ASSERT(call(vm, b, MMIO, 4, MATCH, 1) == -1 && errno == EEXIST, "same");
	TEST_ASSERT(call(vm, b, MMIO, 4, 0, 0) == -1 && errno == EEXIST, "any data");
	TEST_ASSERT(call(vm, b, MMIO, 2, MATCH, 5) == -1 && errno == EEXIST, "any was there");
	TEST_ASSERT(call(vm, b, MMIO, 0, 0, 0) == -1 && errno == EEXIST, "any length");
	/* Only what is assigned, exactly, can be removed. */
	TEST_ASSERT(call(vm, b, MMIO, 4, REMOVE | MATCH, 1) == -1 && errno == ENOENT, "other fd");
	TEST_ASSERT(call(vm, a, MMIO, 4, REMOVE | MATCH, 3) == -1 && errno == ENOENT, "other data");
	TEST_ASSERT(call(vm, a, MMIO, 4, REMOVE, 0) == -1 && errno == ENOENT, "no match");
	TEST_ASSERT(call(vm, a, MMIO, 8, REMOVE, 0) == -1 && errno == ENOENT, "other length");
	TEST_ASSERT(call(vm, a, MMIO + 8, 4, REMOVE, 0) == -1 && errno == ENOENT, "other address");
	TEST_ASSERT(!call(vm, a, MMIO, 4, REMOVE | MATCH, 1), "the one");
	TEST_ASSERT(call(vm, a, MMIO, 4, REMOVE | MATCH, 1) == -1 && errno == ENOENT, "twice");
	TEST_ASSERT(!call(vm, b, MMIO, 4, MATCH, 1), "now it fits");
}

TEST(bad_calls)
{
	struct vm *vm = vm_create();
	int fd = new_eventfd(), null = open("/dev/null", O_RDWR);
	static const uint32_t bad_len[] = { 3, 5, 6, 7, 9, 16, 0x80000000 };

	for (unsigned int i = 0; i < sizeof(bad_len) / 4; i++)
		TEST_ASSERT(call(vm, fd, MMIO, bad_len[i], 0, 0) == -1 && errno == EINVAL,
			    "length %u", bad_len[i]);
	TEST_ASSERT(call(vm, fd, MMIO, 4, 1 << 5, 0) == -1 && errno == EINVAL, "unknown flag");
	TEST_ASSERT(call(vm, fd, MMIO, 0, MATCH, 0) == -1 && errno == EINVAL, "nothing to match");
	TEST_ASSERT(call(vm, fd, ~0ul, 4, 0, 0) == -1 && errno == EINVAL, "address wraps");
	TEST_ASSERT(call(vm, -1, MMIO, 4, 0, 0) == -1 && errno == EBADF, "bad fd");
	TEST_ASSERT(call(vm, null, MMIO, 4, 0, 0) == -1 && errno == EINVAL, "not an eventfd");
	ioctl_fails(vm->fd, KVM_IOEVENTFD, NULL, EFAULT);
	TEST_ASSERT(!call(vm, fd, MMIO, 4, 0, 0), "a good one");
}

TEST(hundreds)
{
	struct vm *vm = vm_create();
	int fd = new_eventfd();

	for (int i = 0; i < 400; i++)
		TEST_ASSERT(!call(vm, fd, MMIO + (i * 7 % 400) * 8, 4, 0, 0), "%d", i);
	for (int i = 0; i < 400; i++)
		TEST_ASSERT(call(vm, fd, MMIO + i * 8, 4, 0, 0) == -1 && errno == EEXIST, "%d", i);
	for (int i = 0; i < 400; i++)
		TEST_ASSERT(!call(vm, fd, MMIO + (i * 11 % 400) * 8, 4, REMOVE, 0), "%d", i);
}

/* With an irqfd on the other end no side needs user space. */
static void loop_back(void)
{
	apic_on();
	guest_handle(0x5a, on_irq);
	ioapic_route(10, 0x5a);
	for (uint64_t i = 1; i <= 200; i++) {
		*(volatile uint32_t *)MMIO = i;
		while (irqs_of(0x5a) < i)
			sti_hlt();
		cli();
	}
	GUEST_DONE();
}

TEST(to_an_irqfd)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, loop_back);
	struct kvm_irqfd i = { .gsi = 10 };

	i.fd = new_eventfd();
	ioctl_ok(v->vm->fd, KVM_IRQFD, &i);
	TEST_ASSERT(!call(v->vm, i.fd, MMIO, 4, 0, 0), "assign");
	vcpu_expect_done(v);
}

static volatile int stop;

static void *toggler(void *arg)
{
	struct vcpu *v = arg;
	int fd = new_eventfd();

	while (!stop) {
		TEST_ASSERT(!call(v->vm, fd, MMIO, 0, 0, 0), "assign");
		TEST_ASSERT(!call(v->vm, fd, MMIO, 0, REMOVE, 0), "remove");
		drain(fd);
		/* After the call returned no signal comes any more. */
		TEST_ASSERT_EQ(drain(fd), 0);
	}
	return NULL;
}

TEST_TIMEOUT(removed_while_in_use, 60)
{
	struct vcpu *v = writer();
	pthread_t t;

	TEST_ASSERT(!pthread_create(&t, NULL, toggler, v), "thread");
	for (int i = 0; i < 2000; i++)
		exits(v);
	stop = 1;
	pthread_join(t, NULL);
}
