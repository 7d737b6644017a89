// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs: INIT and SIPI, IPIs by every kind of destination, NMIs, wake-ups, 64 of them. */

#include "irq.h"

#define VECTOR	0x61
#define WAKE	0x62

/* ---- INIT and SIPI ---- */

/* The AP counts itself at 0x9000, tells its code segment at 0x9010, and sleeps. */
GUEST_ASM(ap, 16,
	  "cli; xor %ax, %ax; mov %ax, %ds\n"
	  "mov %cs, %ax; mov %ax, 0x9010\n"
	  "lock; incw 0x9000\n"
	  "1: hlt; jmp 1b");

#define AP_COUNT (*(volatile uint16_t *)0x9000ul)
#define AP_CS	 (*(volatile uint16_t *)0x9010ul)

static void ipi(uint32_t dest, uint32_t icr)
{
	apic_write(R_ICR2, dest << 24);
	apic_write(R_ICR, icr);
}

static void pause_for(uint64_t tsc)
{
	uint64_t t = rdtsc();

	GUEST_WAIT(rdtsc() - t > tsc);
}

static void starts_ap(void)
{
	apic_on();
	/* A SIPI without INIT starts nobody. */
	ipi(1, ICR_SIPI | ICR_ASSERT | AP_BOOT_GPA >> 12);
	pause_for(100000000);
	GUEST_ASSERT_EQ(AP_COUNT, 0);
	ipi(1, ICR_INIT | ICR_ASSERT);
	pause_for(100000000);
	GUEST_ASSERT_EQ(AP_COUNT, 0);
	ipi(1, ICR_SIPI | ICR_ASSERT | AP_BOOT_GPA >> 12);
	GUEST_WAIT(AP_COUNT == 1);
	GUEST_ASSERT_EQ(AP_CS, AP_BOOT_GPA >> 4);
	/* The second SIPI of the pair is nothing to a CPU that runs. */
	ipi(1, ICR_SIPI | ICR_ASSERT | AP_BOOT_GPA >> 12);
	pause_for(100000000);
	GUEST_ASSERT_EQ(AP_COUNT, 1);
	/* The de-assert of old is no INIT. */
	ipi(1, ICR_INIT | 0x8000);
	ipi(1, ICR_SIPI | ICR_ASSERT | AP_BOOT_GPA >> 12);
	pause_for(100000000);
	GUEST_ASSERT_EQ(AP_COUNT, 1);
	/* INIT stops it again, also out of HLT. */
	for (int i = 2; i <= 20; i++) {
		ipi(1, ICR_INIT | ICR_ASSERT);
		ipi(1, ICR_SIPI | ICR_ASSERT | AP_BOOT_GPA >> 12);
		GUEST_WAIT(AP_COUNT == i);
	}
	GUEST_DONE();
}

/* A vCPU that nobody has started returns EAGAIN once, when INIT has come. */
static void *ap_thread(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		vcpu_run(v);
		TEST_ASSERT(errno == EAGAIN || errno == EINTR, "an AP leaves KVM_RUN");
	}
	return NULL;
}

static void start_aps(struct vm *vm, unsigned int n)
{
	pthread_t t;

	vm_load_asm(vm, AP_BOOT_GPA, ap);
	for (unsigned int i = 1; i <= n; i++)
		TEST_ASSERT(!pthread_create(&t, NULL, ap_thread, vcpu_add_raw(vm, i)), "thread");
}

TEST_TIMEOUT(init_and_sipi, 60)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, starts_ap);

	start_aps(vm, 1);
	vcpu_expect_done(v);
}

static uint64_t nr_aps;

static void starts_all(void)
{
	apic_on();
	apic_write(R_ICR, ICR_OTHERS | ICR_INIT | ICR_ASSERT);
	apic_write(R_ICR, ICR_OTHERS | ICR_SIPI | ICR_ASSERT | AP_BOOT_GPA >> 12);
	GUEST_WAIT(AP_COUNT == nr_aps);
	GUEST_DONE();
}

TEST_TIMEOUT(broadcast_starts_63, 120)
{
	struct vm *vm;
	struct vcpu *v;

	nr_aps = 63;
	vm = vm_create_irqchip();
	v = vcpu_add(vm, 0, starts_all);
	start_aps(vm, nr_aps);
	vcpu_expect_done(v);
}

TEST(mp_state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *a = vcpu_add_raw(vm, 0), *b = vcpu_add_raw(vm, 1);
	struct kvm_mp_state s;

	require_cap(KVM_CAP_MP_STATE);
	ioctl_ok(a->fd, KVM_GET_MP_STATE, &s);
	TEST_ASSERT_EQ(s.mp_state, KVM_MP_STATE_RUNNABLE);
	ioctl_ok(b->fd, KVM_GET_MP_STATE, &s);
	TEST_ASSERT_EQ(s.mp_state, KVM_MP_STATE_UNINITIALIZED);
}

/* ---- IPIs ---- */

#define CPUS	4

static uint64_t ready, seen[CPUS], nmis[CPUS], stop;

static unsigned int me(void)
{
	return apic_read(R_ID) >> 24;
}

static void note(struct trap_frame *f)
{
	unsigned int id = me();

	if (f->vector == NMI_VECTOR)
		__atomic_fetch_add(&nmis[id], 1, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_add(&seen[id], 1, __ATOMIC_SEQ_CST);
	if (f->vector != NMI_VECTOR)
		apic_write(R_EOI, 0);
}

static uint32_t dfr;

static void listener(void)
{
	uint32_t id = me();

	apic_on();
	apic_write(R_DFR, dfr);
	/* Flat: a bit each. Cluster: two clusters of two. */
	apic_write(R_LDR, (dfr == 0xffffffff ? 1u << id : (id >> 1) << 4 | 1u << (id & 1)) << 24);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	while (!READ_ONCE(stop))
		hlt();
	GUEST_DONE();
}

/* After a message: exactly these CPUs got it. */
static void expect(uint32_t mask)
{
	static uint64_t want[CPUS];
	bool all;

	for (int i = 0; i < CPUS; i++)
		want[i] += mask >> i & 1;
	do {
		cpu_relax();
		all = true;
		for (int i = 0; i < CPUS; i++)
			all &= READ_ONCE(seen[i]) >= want[i];
	} while (!all);
	pause_for(2000000);
	for (int i = 0; i < CPUS; i++)
		GUEST_ASSERT_EQ(READ_ONCE(seen[i]), want[i]);
}

static void sender_setup(void)
{
	guest_handle(VECTOR, note);
	guest_handle(NMI_VECTOR, note);
	apic_on();
	apic_write(R_DFR, dfr);
	apic_write(R_LDR, 1u << 24);
	GUEST_WAIT(READ_ONCE(ready) == CPUS - 1);
	sti();
}

static void sender_end(void)
{
	WRITE_ONCE(stop, 1);
	apic_write(R_ICR, ICR_OTHERS | ICR_ASSERT | VECTOR);
	GUEST_DONE();
}

#define FIXED	(ICR_ASSERT | VECTOR)

static void sends(void)
{
	uint64_t n;

	sender_setup();
	for (int i = 0; i < CPUS; i++) {
		ipi(i, FIXED);
		expect(1 << i);
	}
	ipi(0x3f, FIXED);
	expect(0);
	ipi(0xff, FIXED);
	expect(0xf);
	ipi(0, ICR_SELF | FIXED);
	expect(0x1);
	ipi(0, ICR_ALL | FIXED);
	expect(0xf);
	ipi(0, ICR_OTHERS | FIXED);
	expect(0xe);
	for (int i = 1; i < 15; i++) {
		uint32_t to = i;

		/* Cluster 0 holds 0 and 1, cluster 1 holds 2 and 3. */
		if (dfr != 0xffffffff && i & 3 && i & 12)
			continue;
		if (dfr != 0xffffffff)
			to = i & 12 ? 0x10 | i >> 2 : i;
		ipi(to, ICR_LOGICAL | FIXED);
		expect(i);
	}
	/* Any one of them. */
	n = seen[1] + seen[2] + seen[3];
	if (dfr == 0xffffffff) {
		for (int i = 1; i <= 20; i++) {
			ipi(0x0e, ICR_LOGICAL | ICR_LOWEST | FIXED);
			GUEST_WAIT(READ_ONCE(seen[1]) + READ_ONCE(seen[2]) + READ_ONCE(seen[3]) ==
				   n + i);
		}
	}
	ipi(2, ICR_NMI | ICR_ASSERT);
	GUEST_WAIT(READ_ONCE(nmis[2]) == 1);
	GUEST_ASSERT_EQ(nmis[0] + nmis[1] + nmis[3], 0);
	sender_end();
}

static void run_smp(void (*send)(void), void (*listen)(void))
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, send);

	for (int i = 1; i < CPUS; i++)
		vcpu_start(add_running(vm, i, listen));
	vcpu_expect_done(v);
	for (int i = 1; i < CPUS; i++)
		vcpu_join(vm->vcpus[i]);
}

TEST_TIMEOUT(flat, 60)
{
	dfr = 0xffffffff;
	run_smp(sends, listener);
}

TEST_TIMEOUT(cluster, 60)
{
	dfr = 0x0fffffff;
	run_smp(sends, listener);
}

static void note_x2(struct trap_frame *f)
{
	__atomic_fetch_add(&seen[rdmsr(X2(R_ID))], 1, __ATOMIC_SEQ_CST);
	wrmsr(X2(R_EOI), 0);
}

static void listener_x2(void)
{
	x2apic_on();
	GUEST_ASSERT_EQ(rdmsr(X2(R_LDR)), 1u << rdmsr(X2(R_ID)));
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	while (!READ_ONCE(stop))
		hlt();
	GUEST_DONE();
}

static void send_x2(uint64_t dest, uint32_t icr)
{
	wrmsr(X2(R_ICR), dest << 32 | icr);
}

static void sends_x2(void)
{
	guest_handle(VECTOR, note_x2);
	x2apic_on();
	GUEST_WAIT(READ_ONCE(ready) == CPUS - 1);
	sti();
	for (int i = 0; i < CPUS; i++) {
		send_x2(i, FIXED);
		expect(1 << i);
	}
	send_x2(0xffffffff, FIXED);
	expect(0xf);
	send_x2(0x3f, FIXED);
	expect(0);
	for (int i = 1; i < 16; i++) {
		send_x2(i, ICR_LOGICAL | FIXED);
		expect(i);
	}
	send_x2(0x10001, ICR_LOGICAL | FIXED);
	expect(0);
	send_x2(0, ICR_OTHERS | FIXED);
	expect(0xe);
	WRITE_ONCE(stop, 1);
	send_x2(0, ICR_OTHERS | FIXED);
	GUEST_DONE();
}

TEST_TIMEOUT(x2apic, 60)
{
	run_smp(sends_x2, listener_x2);
}

/* ---- wake-ups ---- */

static uint64_t turn;

static void wake_note(struct trap_frame *f)
{
	apic_write(R_EOI, 0);
}

/* Two CPUs hand a token to and fro, each asleep meanwhile: a lost wake-up hangs both. */
static void ping_pong(void)
{
	unsigned int self = me();

	apic_on();
	guest_handle(WAKE, wake_note);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	GUEST_WAIT(READ_ONCE(ready) == 2);
	for (uint64_t i = 0; i < 2000; i++) {
		while (READ_ONCE(turn) % 2 != self) {
			sti_hlt();
			cli();
		}
		__atomic_fetch_add(&turn, 1, __ATOMIC_SEQ_CST);
		ipi(!self, ICR_ASSERT | WAKE);
	}
	GUEST_DONE();
}

TEST_TIMEOUT(no_wakeup_is_lost, 120)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *a = vcpu_add(vm, 0, ping_pong), *b = add_running(vm, 1, ping_pong);

	vcpu_start(a);
	vcpu_start(b);
	vcpu_join(a);
	vcpu_join(b);
}

/* Everybody sends to everybody while they change their logical ids. */
static void chaos(void)
{
	unsigned int self = me();

	apic_on();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	GUEST_WAIT(READ_ONCE(ready) == CPUS);
	sti();
	for (uint32_t i = 0; i < 1000; i++) {
		apic_write(R_LDR, 1u << ((self + i) % 8 + 24));
		ipi(i % 5, ICR_ASSERT | VECTOR);
		ipi(1u << i % 8, ICR_LOGICAL | ICR_ASSERT | VECTOR);
	}
	cli();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	GUEST_WAIT(READ_ONCE(ready) == 2 * CPUS);
	GUEST_DONE();
}

static void chaos_first(void)
{
	guest_handle(VECTOR, note);
	chaos();
}

TEST_TIMEOUT(ids_change_while_in_use, 120)
{
	run_smp(chaos_first, chaos);
}
