// SPDX-License-Identifier: GPL-2.0-only
/* KVM_RUN itself: signals, immediate_exit, the signal mask, threads. */

#include "selftest.h"

#include <sys/time.h>

static uint64_t ticks;
static volatile int handled;

static void on_signal(int sig)
{
	handled++;
}

static void install(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	TEST_ASSERT(!sigaction(sig, &sa, NULL), "sigaction");
}

/* No libc in the way: its sigset_t is larger than the kernel's. */
static void block(int sig)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, sig);
	TEST_ASSERT(!pthread_sigmask(SIG_BLOCK, &s, NULL), "pthread_sigmask");
}

static bool is_pending(int sig)
{
	sigset_t s;

	sigpending(&s);
	return sigismember(&s, sig);
}

static void set_mask(struct vcpu *v, uint64_t blocked)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) m = { .head.len = 8, .set = blocked };

	ioctl_ok(v->fd, KVM_SET_SIGNAL_MASK, &m);
}

static void spins(void)
{
	for (;;)
		WRITE_ONCE(ticks, ticks + 1);
}

static void counts(void)
{
	for (uint64_t i = 0;; i++)
		GUEST_SYNC(i);
}

static void expect_eintr(struct vcpu *v)
{
	v->run->exit_reason = 0xffff;
	TEST_ASSERT(vcpu_run(v) == -1 && errno == EINTR, "KVM_RUN should say EINTR");
	TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_INTR);
}

TEST(argument_must_be_zero)
{
	struct vcpu *v = guest_of(counts);

	ioctl_fails(v->fd, KVM_RUN, 1, EINVAL);
	ioctl_fails(v->fd, KVM_RUN, &ticks, EINVAL);
	vcpu_expect_sync(v, 0);
}

static void *signals_me(void *arg)
{
	usleep(50000);
	pthread_kill(*(pthread_t *)arg, SIGUSR2);
	return NULL;
}

TEST(signal_from_another_thread)
{
	struct vcpu *v = guest_of(spins);
	pthread_t me = pthread_self(), t;
	uint64_t before;

	install(SIGUSR2);
	for (int i = 0; i < 3; i++) {
		before = *vm_shared(v->vm, ticks);
		TEST_ASSERT(!pthread_create(&t, NULL, signals_me, &me), "pthread_create");
		expect_eintr(v);
		pthread_join(t, NULL);
		TEST_ASSERT_EQ(handled, i + 1);
		TEST_ASSERT(*vm_shared(v->vm, ticks) > before, "the guest did not run");
	}
}

TEST(timer_signal)
{
	struct itimerval it = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 };
	struct vcpu *v = guest_of(spins);

	install(SIGALRM);
	TEST_ASSERT(!setitimer(ITIMER_REAL, &it, NULL), "setitimer");
	for (int i = 0; i < 5; i++)
		expect_eintr(v);
}

TEST(pending_signal)
{
	struct vcpu *v = guest_of(counts);

	install(SIGUSR2);
	block(SIGUSR2);
	raise(SIGUSR2);
	/* Blocked: it does not interrupt. */
	vcpu_expect_sync(v, 0);
	/* Open to it while running: nothing runs, and nobody handles it. */
	set_mask(v, 0);
	expect_eintr(v);
	TEST_ASSERT_EQ(handled, 0);
	TEST_ASSERT(is_pending(SIGUSR2), "the signal is gone");
	/* Closed again by the mask, then without a mask, by the thread's own. */
	set_mask(v, 1ul << (SIGUSR2 - 1));
	vcpu_expect_sync(v, 1);
	set_mask(v, 0);
	ioctl_ok(v->fd, KVM_SET_SIGNAL_MASK, NULL);
	vcpu_expect_sync(v, 2);
	TEST_ASSERT_EQ(handled, 0);
}

TEST(signal_mask_bad_size)
{
	struct vcpu *v = guest_of(counts);
	struct {
		struct kvm_signal_mask head;
		uint8_t set[256];
	} m;
	static const uint32_t sizes[] = { 0, 1, 4, 7, 9, 16, 128, 0xffffffff };

	memset(&m, 0, sizeof(m));
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		m.head.len = sizes[i];
		ioctl_fails(v->fd, KVM_SET_SIGNAL_MASK, &m, EINVAL);
	}
	vcpu_expect_sync(v, 0);
}

TEST(immediate_exit)
{
	struct vcpu *v;

	require_cap(KVM_CAP_IMMEDIATE_EXIT);
	v = guest_of(spins);
	v->run->immediate_exit = 1;
	for (int i = 0; i < 3; i++)
		TEST_ASSERT(vcpu_run(v) == -1 && errno == EINTR, "KVM_RUN should say EINTR");
	TEST_ASSERT_EQ(*vm_shared(v->vm, ticks), 0);
	/* It stays as user space left it. */
	TEST_ASSERT_EQ(v->run->immediate_exit, 1);
}

static void reads_port(void)
{
	uint64_t value = inl(0x1234);

	GUEST_ASSERT_EQ(value, 0xfeedf00d);
	GUEST_DONE();
}

/* The IN is completed by the next KVM_RUN even if that enters no guest. */
TEST(immediate_exit_completes_io)
{
	struct vcpu *v;
	uint64_t rip;

	require_cap(KVM_CAP_IMMEDIATE_EXIT);
	v = guest_of(reads_port);
	vcpu_expect_exit(v, KVM_EXIT_IO);
	rip = vcpu_regs(v).rip;
	*(uint32_t *)pio_data(v) = 0xfeedf00d;
	v->run->immediate_exit = 1;
	TEST_ASSERT(vcpu_run(v) == -1 && errno == EINTR, "KVM_RUN should say EINTR");
	TEST_ASSERT_EQ((uint32_t)vcpu_regs(v).rax, 0xfeedf00d);
	TEST_ASSERT(vcpu_regs(v).rip > rip && vcpu_regs(v).rip <= rip + 2,
		    "rip was %#lx, is %#llx", rip, vcpu_regs(v).rip);
	v->run->immediate_exit = 0;
	vcpu_expect_done(v);
}

static void reads_mmio(void)
{
	GUEST_ASSERT_EQ(*(volatile uint32_t *)NOWHERE_GPA, 0xfeedf00d);
	GUEST_DONE();
}

TEST(immediate_exit_completes_mmio)
{
	struct vcpu *v;

	require_cap(KVM_CAP_IMMEDIATE_EXIT);
	v = guest_of(reads_mmio);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	*(uint32_t *)v->run->mmio.data = 0xfeedf00d;
	v->run->immediate_exit = 1;
	TEST_ASSERT(vcpu_run(v) == -1 && errno == EINTR, "KVM_RUN should say EINTR");
	memset(v->run->mmio.data, 0, 8);
	v->run->immediate_exit = 0;
	vcpu_expect_done(v);
}

static void *runs_once(void *arg)
{
	vcpu_expect_sync(arg, 0);
	return NULL;
}

static void syncs_zero(void)
{
	for (;;)
		GUEST_SYNC(0);
}

/* A vCPU belongs to no thread: each run may come from another. */
TEST(runs_on_many_threads)
{
	struct vcpu *v = guest_of(syncs_zero);
	pthread_t t;

	for (int i = 0; i < 20; i++) {
		TEST_ASSERT(!pthread_create(&t, NULL, runs_once, v), "pthread_create");
		pthread_join(t, NULL);
	}
	vcpu_expect_sync(v, 0);
}

static void *runs_often(void *arg)
{
	for (int i = 0; i < 300; i++)
		TEST_ASSERT(!vcpu_run(arg), "KVM_RUN");
	return NULL;
}

/* Two threads on one vCPU take turns; no exit is lost or doubled. */
TEST(two_threads_at_one_vcpu)
{
	struct vcpu *v = guest_of(counts);
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		TEST_ASSERT(!pthread_create(&t[i], NULL, runs_often, v), "pthread_create");
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	vcpu_expect_sync(v, 600);
}

static void shows_flags(void)
{
	GUEST_SYNC(0);
	sti();
	asm volatile("nop");
	GUEST_SYNC(1);
	cli();
	write_cr8(7);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(fields_after_an_exit)
{
	struct vcpu *v = guest_of(shows_flags);

	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(v->run->if_flag, 0);
	TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 0);
	TEST_ASSERT_EQ(v->run->cr8, 0);
	TEST_ASSERT_EQ(v->run->apic_base, vcpu_sregs(v).apic_base);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(v->run->if_flag, 1);
	TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 1);
	/* Without an irqchip in the kernel CR8 is the VMM's business too. */
	v->run->cr8 = 0;
	vcpu_expect_sync(v, 2);
	TEST_ASSERT_EQ(v->run->if_flag, 0);
	TEST_ASSERT_EQ(v->run->cr8, 7);
	TEST_ASSERT_EQ(vcpu_sregs(v).cr8, 7);
	v->run->cr8 = 7;
	vcpu_expect_done(v);
}

TEST(registers_after_a_kick)
{
	struct vcpu *v = guest_of(spins);

	vcpu_start(v);
	usleep(10000);
	vcpu_stop(v);
	TEST_ASSERT(vcpu_regs(v).rip - (uint64_t)spins < 64, "rip %#llx is not in spins()",
		    vcpu_regs(v).rip);
}
