// SPDX-License-Identifier: GPL-2.0-only
/* KVM_IRQFD: assignment, deassignment, resampling, and what happens when fds are closed. */

#include <sys/eventfd.h>

#include "irq.h"

#define GSI	10
#define VECTOR	0x5a

static int assign(struct vm *vm, int fd, uint32_t gsi, uint32_t flags, int resample)
{
	struct kvm_irqfd i = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample };

	return ioctl(vm->fd, KVM_IRQFD, &i);
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	TEST_ASSERT(fd >= 0, "eventfd");
	return fd;
}

static void ring(int fd)
{
	uint64_t one = 1;

	TEST_ASSERT(write(fd, &one, sizeof(one)) == sizeof(one), "write to an eventfd");
}

static uint64_t drain(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void edge_listener(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(GSI, VECTOR);
	for (int i = 1; ; i++) {
		GUEST_SYNC(i);
		take_irqs();
		GUEST_SYNC_VAL(100, irqs_of(VECTOR));
	}
}

static struct vcpu *listener(void)
{
	struct vcpu *v;

	require_cap(KVM_CAP_IRQFD);
	v = vcpu_add(vm_create_irqchip(), 0, edge_listener);
	vcpu_expect_sync(v, 1);
	return v;
}

/*
 * The guest has had so many interrupts by now, and gets no more. Upstream delivers some of them
 * from a work queue: they may take a while.
 */
static void expect_irqs(struct vcpu *v, uint64_t n)
{
	static int round = 1;
	uint64_t got = 0;

	for (int i = 0, after = 0; i < 500 && after < 2; i++) {
		usleep(2000);
		got = vcpu_expect_sync(v, 100);
		vcpu_expect_sync(v, ++round);
		after += got >= n;
	}
	TEST_ASSERT_EQ(got, n);
}

TEST(write_is_an_interrupt)
{
	struct vcpu *v = listener();
	int fd = new_eventfd();

	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "assign");
	expect_irqs(v, 0);
	ring(fd);
	expect_irqs(v, 1);
	TEST_ASSERT_EQ(drain(fd), 0);		/* the kernel has taken it */
	ring(fd);
	expect_irqs(v, 2);
	TEST_ASSERT(!assign(v->vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0), "deassign");
	ring(fd);
	expect_irqs(v, 2);
	TEST_ASSERT_EQ(drain(fd), 1);
	/* And again. */
	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "assign");
	ring(fd);
	expect_irqs(v, 3);
}

TEST(written_before_the_assignment)
{
	struct vcpu *v = listener();
	int fd = new_eventfd();

	ring(fd);
	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "assign");
	expect_irqs(v, 1);
}

TEST(many_fds_one_gsi)
{
	struct vcpu *v = listener();
	int fd[20];

	for (int i = 0; i < 20; i++) {
		fd[i] = new_eventfd();
		TEST_ASSERT(!assign(v->vm, fd[i], GSI, 0, 0), "assign");
	}
	for (int i = 0; i < 20; i++) {
		ring(fd[i]);
		expect_irqs(v, i + 1);
	}
}

TEST(one_fd_one_gsi)
{
	struct vcpu *v = listener();
	int fd = new_eventfd(), other = new_eventfd();

	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "assign");
	TEST_ASSERT(assign(v->vm, fd, GSI, 0, 0) == -1 && errno == EBUSY, "again");
	TEST_ASSERT(assign(v->vm, fd, GSI + 1, 0, 0) == -1 && errno == EBUSY, "another GSI");
	/* Nothing to deassign is no error, and does nothing. */
	TEST_ASSERT(!assign(v->vm, fd, GSI + 1, KVM_IRQFD_FLAG_DEASSIGN, 0), "not assigned");
	TEST_ASSERT(!assign(v->vm, other, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0), "not assigned");
	ring(fd);
	expect_irqs(v, 1);
}

TEST(closed_fd)
{
	struct vcpu *v = listener();
	int fd = new_eventfd(), copy = dup(fd);

	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "assign");
	close(fd);
	ring(copy);
	expect_irqs(v, 1);
	close(copy);			/* the last one: the irqfd goes with it */
	fd = new_eventfd();
	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "a new one");
	ring(fd);
	expect_irqs(v, 2);
}

TEST(bad_calls)
{
	struct vm *vm = vm_create_irqchip(), *bare = vm_create();
	int fd = new_eventfd(), null = open("/dev/null", O_RDWR);

	TEST_ASSERT(assign(vm, fd, GSI, 4, 0) == -1 && errno == EINVAL, "unknown flag");
	TEST_ASSERT(assign(vm, -1, GSI, 0, 0) == -1 && errno == EBADF, "bad fd");
	TEST_ASSERT(assign(vm, null, GSI, 0, 0) == -1 && errno == EINVAL, "not an eventfd");
	TEST_ASSERT(assign(vm, null, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0) == -1 && errno == EINVAL,
		    "not an eventfd");
	TEST_ASSERT(assign(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, -1) == -1 && errno == EBADF,
		    "bad resamplefd");
	TEST_ASSERT(assign(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, null) == -1 && errno == EINVAL,
		    "resamplefd is no eventfd");
	ioctl_fails(vm->fd, KVM_IRQFD, NULL, EFAULT);
	TEST_ASSERT(assign(bare, fd, GSI, 0, 0) == -1 && errno == EINVAL, "no controllers");
	/* After all that the fd is free. */
	TEST_ASSERT(!assign(vm, fd, GSI, 0, 0), "assign");
}

/* ---- resampling ---- */

static void level_listener(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(GSI, RTE_LEVEL | VECTOR);
	for (int i = 1; ; i++) {
		GUEST_SYNC(i);
		take_irqs();
		GUEST_SYNC_VAL(100, irqs_of(VECTOR));
	}
}

TEST(resample)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, level_listener);
	int fd = new_eventfd(), re = new_eventfd(), fd2 = new_eventfd(), re2 = new_eventfd();

	require_cap(KVM_CAP_IRQFD_RESAMPLE);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT(!assign(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, re), "assign");
	TEST_ASSERT(!assign(vm, fd2, GSI, KVM_IRQFD_FLAG_RESAMPLE, re2), "assign");
	for (int i = 1; i <= 5; i++) {
		ring(fd);
		TEST_ASSERT_EQ(drain(re), 0);	/* not before the EOI */
		/* The EOI lowers the line: one interrupt and not a storm. */
		expect_irqs(v, i);
		TEST_ASSERT_EQ(drain(re), 1);
		TEST_ASSERT_EQ(drain(re2), 1);	/* all of the GSI look again */
	}
	TEST_ASSERT(!assign(vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0), "deassign");
	ring(fd2);
	expect_irqs(v, 6);
	TEST_ASSERT_EQ(drain(re), 0);
	TEST_ASSERT_EQ(drain(re2), 1);
}

TEST(resampler_lets_go_of_the_line)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, level_listener);
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int fd = new_eventfd(), re = new_eventfd();

	require_cap(KVM_CAP_IRQFD_RESAMPLE);
	TEST_ASSERT(!assign(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, re), "assign");
	ring(fd);
	usleep(100000);
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &c);
	TEST_ASSERT_EQ(c.chip.ioapic.irr, 1 << GSI);
	TEST_ASSERT(!assign(vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0), "deassign");
	ioctl_ok(vm->fd, KVM_GET_IRQCHIP, &c);
	TEST_ASSERT_EQ(c.chip.ioapic.irr, 0);
	vcpu_expect_sync(v, 1);
	expect_irqs(v, 0);
}

/* ---- races ---- */

static void sleeper(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	ioapic_route(GSI, VECTOR);
	for (;;) {
		GUEST_SYNC(1);
		sti_hlt();
		cli();
		GUEST_SYNC_VAL(2, irqs_of(VECTOR));
	}
}

static void *ring_soon(void *arg)
{
	usleep(rand() % 300);
	ring(*(int *)arg);
	return NULL;
}

TEST_TIMEOUT(no_wakeup_is_lost, 120)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, sleeper);
	int fd = new_eventfd();
	pthread_t t;

	require_cap(KVM_CAP_IRQFD);
	TEST_ASSERT(!assign(v->vm, fd, GSI, 0, 0), "assign");
	for (int i = 1; i <= 300; i++) {
		vcpu_expect_sync(v, 1);
		TEST_ASSERT(!pthread_create(&t, NULL, ring_soon, &fd), "thread");
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), i);
		pthread_join(t, NULL);
	}
}

static volatile int shared_fd, stop;

static void *writer(void *arg)
{
	uint64_t one = 1;

	while (!stop)
		if (write(shared_fd, &one, sizeof(one)) < 0)
			sched_yield();
	return NULL;
}

static void *toggler(void *arg)
{
	while (!stop) {
		assign(arg, shared_fd, GSI, 0, 0);
		assign(arg, shared_fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0);
	}
	return NULL;
}

TEST_TIMEOUT(assigned_and_closed_while_written, 60)
{
	struct vm *vm = vm_create_irqchip();
	pthread_t t[3];

	require_cap(KVM_CAP_IRQFD);
	vcpu_add(vm, 0, sleeper);
	shared_fd = new_eventfd();
	pthread_create(&t[0], NULL, writer, NULL);
	pthread_create(&t[1], NULL, toggler, vm);
	pthread_create(&t[2], NULL, toggler, vm);
	for (int i = 0; i < 200; i++) {
		int fd = new_eventfd();

		TEST_ASSERT(dup2(fd, shared_fd) == shared_fd, "dup2");
		close(fd);
		usleep(1000);
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

TEST(vm_goes_before_the_eventfd)
{
	int fd = new_eventfd();

	for (int i = 0; i < 20; i++) {
		struct vm *vm = vm_create_irqchip();

		TEST_ASSERT(!assign(vm, fd, GSI, 0, 0), "assign");
		ring(fd);
		vm_destroy(vm);
	}
	drain(fd);
	ring(fd);
	TEST_ASSERT_EQ(drain(fd), 1);
}
