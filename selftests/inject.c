// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts and NMIs that the VMM injects: KVM_INTERRUPT, the interrupt window, KVM_NMI. */

#include "selftest.h"

#define VECTOR	0x61

static uint64_t hits, depth, deepest;

static void on_interrupt(struct trap_frame *f)
{
	WRITE_ONCE(hits, hits + 1);
}

static int interrupt(struct vcpu *v, uint32_t vector)
{
	struct kvm_interrupt i = { .irq = vector };

	return ioctl(v->fd, KVM_INTERRUPT, &i);
}

static void open_window(void)
{
	guest_handle(VECTOR, on_interrupt);
	GUEST_SYNC(0);
	for (int i = 0; i < 3; i++) {
		sti();
		asm volatile("nop; nop");
		cli();
		GUEST_SYNC_VAL(1 + i, READ_ONCE(hits));
	}
	GUEST_DONE();
}

TEST(window_and_interrupt)
{
	struct vcpu *v = guest_of(open_window);

	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 0);
	for (int i = 0; i < 3; i++) {
		v->run->request_interrupt_window = 1;
		vcpu_expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
		TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 1);
		TEST_ASSERT_EQ(v->run->if_flag, 1);
		TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
		v->run->request_interrupt_window = 0;
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 1 + i), i + 1);
	}
	vcpu_expect_done(v);
}

TEST(no_window_asked_for)
{
	struct vcpu *v = guest_of(open_window);

	for (int i = 0; i < 4; i++)
		TEST_ASSERT_EQ(vcpu_expect_sync(v, i), 0);
	vcpu_expect_done(v);
}

static void closed_window(void)
{
	guest_handle(VECTOR, on_interrupt);
	/* The CLI is in the shadow of the STI: there is no window between. */
	for (int i = 0; i < 50; i++)
		asm volatile("sti\n\tcli");
	GUEST_SYNC(0);
	sti();
	asm volatile("nop");
	GUEST_DONE();
}

TEST(no_window_in_the_shadow_of_sti)
{
	struct vcpu *v = guest_of(closed_window);

	v->run->request_interrupt_window = 1;
	vcpu_expect_sync(v, 0);
	vcpu_expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	v->run->request_interrupt_window = 0;
	vcpu_expect_done(v);
}

static void waits_for_interrupt(void)
{
	guest_handle(VECTOR, on_interrupt);
	for (uint64_t i = 0; i < 5; i++) {
		cli();
		GUEST_ASSERT_EQ(READ_ONCE(hits), i);
		sti_hlt();
		GUEST_ASSERT_EQ(READ_ONCE(hits), i + 1);
	}
	GUEST_DONE();
}

TEST(interrupt_ends_hlt)
{
	struct vcpu *v = guest_of(waits_for_interrupt);

	for (int i = 0; i < 5; i++) {
		vcpu_expect_exit(v, KVM_EXIT_HLT);
		TEST_ASSERT_EQ(v->run->if_flag, 1);
		TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 1);
		TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	}
	vcpu_expect_done(v);
}

TEST(interrupt_bad_vector)
{
	struct vcpu *v = guest_of(waits_for_interrupt);

	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT(interrupt(v, 256) == -1 && errno == EINVAL, "vector 256");
	TEST_ASSERT(interrupt(v, 0xffffffff) == -1 && errno == EINVAL, "vector -1");
	/* Nothing is pending: the next good one is taken. */
	TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

/* The second is refused, or takes the place of the first. */
TEST(interrupt_twice)
{
	struct vcpu *v = guest_of(waits_for_interrupt);

	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	TEST_ASSERT(!interrupt(v, VECTOR) || errno == EEXIST, "a second KVM_INTERRUPT");
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(*vm_shared(v->vm, hits), 1);
}

static void open_all_the_time(void)
{
	guest_handle(VECTOR, on_interrupt);
	sti();
	for (uint64_t i = 0; i < 4; i++)
		GUEST_SYNC_VAL(i, READ_ONCE(hits));
	GUEST_DONE();
}

/* A signal that waits lets KVM_RUN inject, and calls the entry off after that. */
static void call_off_entry(struct vcpu *v)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t none;
	} __attribute__((packed)) m = { .head.len = 8 };
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	TEST_ASSERT(!pthread_sigmask(SIG_BLOCK, &set, NULL), "pthread_sigmask");
	raise(SIGUSR1);
	ioctl_ok(v->fd, KVM_SET_SIGNAL_MASK, &m);
	TEST_ASSERT(vcpu_run(v) == -1 && errno == EINTR, "KVM_RUN should say EINTR");
	ioctl_ok(v->fd, KVM_SET_SIGNAL_MASK, NULL);
	sigwait(&set, &sig);
}

/* What such an entry was to deliver is user space's to keep, or to take back. */
TEST(entry_called_off)
{
	struct vcpu *v = guest_of(open_all_the_time);
	struct kvm_vcpu_events events;

	for (int i = 0; i < 2; i++) {
		TEST_ASSERT_EQ(vcpu_expect_sync(v, i), 0);
		TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
		call_off_entry(v);
		ioctl_ok(v->fd, KVM_GET_VCPU_EVENTS, &events);
		TEST_ASSERT_EQ(events.interrupt.injected, 1);
		TEST_ASSERT_EQ(events.interrupt.nr, VECTOR);
		events.interrupt.injected = 0;
		ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &events);
	}
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 0);
	TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	call_off_entry(v);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 3), 1);
	vcpu_expect_done(v);
}

TEST(interrupt_with_irqchip_in_the_kernel)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, waits_for_interrupt);

	TEST_ASSERT(interrupt(v, VECTOR) == -1 && errno == ENXIO, "KVM_INTERRUPT");
}

/* The handler runs whatever the guest was at; registers are as they were. */
static void counts_registers(void)
{
	uint64_t sum = 0;

	guest_handle(VECTOR, on_interrupt);
	sti();
	for (uint64_t i = 0; READ_ONCE(hits) < 40; i++) {
		uint64_t a = i, b = ~i;

		asm volatile("nop; nop; nop" : "+r"(a), "+r"(b));
		sum |= a ^ ~b;
		asm volatile("outb %%al, $0x80" : : "a"(0));
	}
	GUEST_ASSERT_EQ(sum, 0);
	GUEST_DONE();
}

TEST(interrupts_keep_registers)
{
	struct vcpu *v = guest_of(counts_registers);
	int n = 0;

	while (vcpu_next(v) == UCALL_NONE) {
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
		if (v->run->ready_for_interrupt_injection && n++ < 40)
			TEST_ASSERT(!interrupt(v, VECTOR), "KVM_INTERRUPT");
	}
	TEST_ASSERT_EQ(v->uc.cmd, UCALL_DONE);
	TEST_ASSERT_EQ(*vm_shared(v->vm, hits), 40);
}

static void on_nmi(struct trap_frame *f)
{
	uint64_t d = READ_ONCE(depth) + 1;

	WRITE_ONCE(depth, d);
	if (d > READ_ONCE(deepest))
		WRITE_ONCE(deepest, d);
	WRITE_ONCE(hits, hits + 1);
	GUEST_SYNC(100);
	WRITE_ONCE(depth, d - 1);
}

/* Where the CPU does not see a handler's end, interrupts that are on show it. */
static void show_that_no_handler_runs(void)
{
	asm volatile("sti; nop; cli");
}

static void takes_nmis(void)
{
	guest_handle(NMI_VECTOR, on_nmi);
	GUEST_SYNC(0);
	show_that_no_handler_runs();
	GUEST_SYNC_VAL(1, READ_ONCE(hits));
	GUEST_DONE();
}

TEST(nmi)
{
	struct vcpu *v;

	require_cap(KVM_CAP_USER_NMI);
	v = guest_of(takes_nmis);
	vcpu_expect_sync(v, 0);
	/* IF is 0: an NMI does not care. */
	ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_sync(v, 100);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), 1);
	vcpu_expect_done(v);
}

/* Until the handler's IRET one more is held back, and comes right after. */
TEST(nmi_within_nmi)
{
	struct vcpu *v;

	require_cap(KVM_CAP_USER_NMI);
	v = guest_of(takes_nmis);
	vcpu_expect_sync(v, 0);
	ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_sync(v, 100);
	for (int i = 0; i < 5; i++)
		ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_sync(v, 100);
	TEST_ASSERT_EQ(*vm_shared(v->vm, deepest), 1);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), 2);
	vcpu_expect_done(v);
	TEST_ASSERT_EQ(*vm_shared(v->vm, deepest), 1);
}

static void takes_two_nmis(void)
{
	guest_handle(NMI_VECTOR, on_nmi);
	GUEST_SYNC(0);
	while (READ_ONCE(hits) < 2)
		cpu_relax();
	GUEST_DONE();
}

/* The same with interrupts off all the time. */
TEST(nmi_within_nmi_with_interrupts_off)
{
	struct vcpu *v;

	require_cap(KVM_CAP_USER_NMI);
	v = guest_of(takes_two_nmis);
	vcpu_expect_sync(v, 0);
	ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_sync(v, 100);
	ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_sync(v, 100);
	TEST_ASSERT_EQ(*vm_shared(v->vm, deepest), 1);
	vcpu_expect_done(v);
}

static void on_nmi_count(struct trap_frame *f)
{
	WRITE_ONCE(hits, hits + 1);
}

static void halts_for_nmi(void)
{
	guest_handle(NMI_VECTOR, on_nmi_count);
	hlt();
	GUEST_ASSERT_EQ(READ_ONCE(hits), 1);
	GUEST_DONE();
}

TEST(nmi_ends_hlt)
{
	struct vcpu *v;

	require_cap(KVM_CAP_USER_NMI);
	v = guest_of(halts_for_nmi);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_done(v);
}

/* Exits all the time, as KVM_NMI waits until no KVM_RUN is under way. */
static void spins_for_nmis(void)
{
	guest_handle(NMI_VECTOR, on_nmi_count);
	WRITE_ONCE(depth, 1);
	while (READ_ONCE(hits) < 20) {
		GUEST_SYNC(0);
		show_that_no_handler_runs();
	}
	GUEST_DONE();
}

/* From another thread, while the guest runs: each gets through by itself. */
TEST(nmi_to_a_running_vcpu)
{
	struct vcpu *v;
	uint64_t *count;

	require_cap(KVM_CAP_USER_NMI);
	v = guest_of(spins_for_nmis);
	count = vm_shared(v->vm, hits);
	vcpu_start(v);
	while (!READ_ONCE(*vm_shared(v->vm, depth)))
		usleep(1000);
	for (uint64_t i = 0; i < 20; i++) {
		TEST_ASSERT_EQ(READ_ONCE(*count), i);
		ioctl_ok(v->fd, KVM_NMI, 0);
		while (READ_ONCE(*count) == i)
			usleep(100);
	}
	vcpu_join(v);
}
