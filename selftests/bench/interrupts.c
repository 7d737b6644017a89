// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts: APIC registers, IPIs, timers, lines and messages, from their cause to the handler. */

#include <sys/eventfd.h>

#include "bench.h"

#define GSI	10

static struct vcpu *bench_vcpu(void (*fn)(void))
{
	return vcpu_add(vm_create_irqchip(), 0, fn);
}

/* The handlers note how often, when, and what the EOI cost. */
static uint64_t count, when, eoi_ticks, x2, level;

static void on_vector(struct trap_frame *f)
{
	uint64_t t;

	WRITE_ONCE(when, rdtsc());
	WRITE_ONCE(count, count + 1);
	if (level)
		outl(BENCH_PORT + 4, 0);
	t = rdtsc();
	if (x2)
		wrmsr(X2(R_EOI), 0);
	else
		apic_write(R_EOI, 0);
	WRITE_ONCE(eoi_ticks, rdtsc() - t);
}

static void set_up(void)
{
	guest_handle(VECTOR, on_vector);
	if (x2)
		x2apic_on();
	else
		apic_on();
}

/* Only a sample with its interrupt counts. */
static void expect_count(uint64_t n)
{
	GUEST_ASSERT_EQ(READ_ONCE(count), n);
}

/* ---- TPR ---- */

static void tpr_guest(void)
{
	set_up();
	SAMPLE(apic_write(R_TPR, (i_ & 1) << 4));
	SAMPLE(apic_read(R_TPR));
	x2 = 1;
	set_up();
	SAMPLE(wrmsr(X2(R_TPR), (i_ & 1) << 4));
	SAMPLE(rdmsr(X2(R_TPR)));
}

TEST(tpr)
{
	struct vcpu *v = bench_vcpu(tpr_guest);

	bench_guest(v, "tpr_write_xapic", NULL);
	bench_guest(v, "tpr_read_xapic", NULL);
	bench_guest(v, "tpr_write_x2apic", NULL);
	bench_guest(v, "tpr_read_x2apic", NULL);
}

/* ---- IPIs and EOI ---- */

static void self_ipi(void)
{
	if (x2)
		wrmsr(X2(R_SELF_IPI), VECTOR);
	else
		apic_write(R_ICR, ICR_SELF | ICR_ASSERT | VECTOR);
}

static void self_ipi_guest(void)
{
	set_up();
	sti();
	SAMPLE(self_ipi());
	expect_count(ROUNDS);
	for (int i = 0; i < ROUNDS; i++) {
		self_ipi();
		WRITE_ONCE(samples[i], eoi_ticks);
	}
	GUEST_SYNC(2);
}

TEST(self_ipi_xapic)
{
	struct vcpu *v = bench_vcpu(self_ipi_guest);

	bench_guest(v, "self_ipi_xapic", NULL);
	bench_guest(v, "eoi_xapic", NULL);
}

TEST(self_ipi_x2apic)
{
	struct vcpu *v;

	x2 = 1;
	v = bench_vcpu(self_ipi_guest);
	bench_guest(v, "self_ipi_x2apic", NULL);
	bench_guest(v, "eoi_x2apic", NULL);
}

/* From STI to the handler of an interrupt that waits: the window's exit is in between. */
static void window_guest(void)
{
	set_up();
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t;

		cli();
		self_ipi();
		t = rdtsc();
		sti();
		asm volatile("nop");
		GUEST_WAIT(READ_ONCE(count) == (uint64_t)i + 1);
		WRITE_ONCE(samples[i], when - t);
	}
	GUEST_SYNC(1);
}

TEST(irq_window)
{
	x2 = 1;
	bench_guest(bench_vcpu(window_guest), "irq_window", NULL);
}

/* Two vCPUs wake each other out of HLT: a round is two IPIs, halts and wake-ups. */
static uint64_t pongs, listens;

static void on_ping(struct trap_frame *f)
{
	wrmsr(X2(R_EOI), 0);
	WRITE_ONCE(pongs, pongs + 1);
}

static void pong(void)
{
	set_up();
	guest_handle(VECTOR + 1, on_ping);
	WRITE_ONCE(listens, 1);
	for (uint64_t n = 0;; n++) {
		while (READ_ONCE(pongs) == n) {
			sti_hlt();
			cli();
		}
		wrmsr(X2(R_ICR), ICR_ASSERT | VECTOR);
	}
}

static void ping(void)
{
	set_up();
	GUEST_WAIT(READ_ONCE(listens));
	for (int i = 0; i < ROUNDS + 1; i++) {
		uint64_t t = rdtsc(), n = READ_ONCE(count);

		wrmsr(X2(R_ICR), 1ul << 32 | ICR_ASSERT | (VECTOR + 1));
		while (READ_ONCE(count) == n) {
			sti_hlt();
			cli();
		}
		/* The first finds the other one on its way. */
		if (i)
			WRITE_ONCE(samples[i - 1], rdtsc() - t);
	}
	GUEST_SYNC(1);
}

TEST(halt_wake_ipi)
{
	struct vcpu *v, *other;

	x2 = 1;
	v = bench_vcpu(ping);
	other = add_running(v->vm, 1, pong);
	vcpu_start(other);
	bench_guest(v, "halt_wake_ipi", NULL);
	vcpu_stop(other);
}

/* ---- the local APIC's timer ---- */

static void timer_guest(void)
{
	uint64_t deadline;

	set_up();
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, VECTOR);
	SAMPLE(apic_write(R_TMICT, 0x70000000 + i_));
	apic_write(R_TMICT, 0);
	apic_write(R_LVTT, LVT_DEADLINE | VECTOR);
	SAMPLE(wrmsr(MSR_TSC_DEADLINE, t_ + (1ul << 40)));
	sti();
	/* From the moment that the guest asked for to its handler; the guest runs. */
	for (int i = 0; i < ROUNDS; i++) {
		deadline = rdtsc() + 50000;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		GUEST_WAIT(READ_ONCE(count) == (uint64_t)i + 1);
		WRITE_ONCE(samples[i], when - deadline);
	}
	GUEST_SYNC(1);
}

static void offer_deadline_timer(struct vcpu *v)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();

	cpuid_find(c, 1, 0)->ecx |= 1 << 24;
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	free(c);
}

TEST(timer)
{
	struct vcpu *v = bench_vcpu(timer_guest);

	require_cap(KVM_CAP_TSC_DEADLINE_TIMER);
	offer_deadline_timer(v);
	bench_guest(v, "timer_arm_count", NULL);
	bench_guest(v, "timer_arm_deadline", NULL);
	bench_guest(v, "timer_fire", NULL);
}

/* ---- lines and messages, raised by the VMM at the guest's OUT ---- */

static int msi_fd = -1;

static void raise_irq(struct vcpu *v)
{
	static const uint64_t one = 1;

	if (v->run->io.port == BENCH_PORT + 4)
		irq_line(v->vm, GSI, 0);
	else if (msi_fd >= 0)
		TEST_ASSERT(write(msi_fd, &one, sizeof(one)) == sizeof(one), "write");
	else if (level)
		irq_line(v->vm, GSI, 1);
	else
		irq_pulse(v->vm, GSI);
}

static void out_and_wait(uint64_t n)
{
	outl(BENCH_PORT, 0);
	GUEST_WAIT(READ_ONCE(count) > n);
}

static void line_guest(void)
{
	set_up();
	ioapic_route(GSI, VECTOR | (level ? RTE_LEVEL : 0));
	sti();
	SAMPLE(out_and_wait(i_));
}

TEST(ioapic_edge)
{
	bench_guest(bench_vcpu(line_guest), "ioapic_edge", raise_irq);
}

TEST(ioapic_level)
{
	level = 1;
	bench_guest(bench_vcpu(line_guest), "ioapic_level", raise_irq);
}

/* GSI is a message to the first vCPU from an eventfd. */
static int route_msi(struct vm *vm)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e;
	} table = {
		.head.nr = 1,
		.e = { .gsi = GSI, .type = KVM_IRQ_ROUTING_MSI, .u.msi.address_lo = APIC_GPA,
		       .u.msi.data = VECTOR },
	};
	struct kvm_irqfd i = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .gsi = GSI };

	ioctl_ok(vm->fd, KVM_SET_GSI_ROUTING, &table);
	ioctl_ok(vm->fd, KVM_IRQFD, &i);
	return i.fd;
}

static void msi_guest(void)
{
	set_up();
	sti();
	SAMPLE(out_and_wait(i_));
}

TEST(msi_irqfd)
{
	struct vcpu *v = bench_vcpu(msi_guest);

	msi_fd = route_msi(v->vm);
	bench_guest(v, "msi_irqfd", raise_irq);
}

/* The guest's OUT rings the eventfd that the interrupt comes from: all of it in the kernel. */
TEST(msi_loop)
{
	struct vcpu *v = bench_vcpu(msi_guest);
	struct kvm_ioeventfd i = {
		.addr = BENCH_PORT, .len = 4, .flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	i.fd = route_msi(v->vm);
	ioctl_ok(v->vm->fd, KVM_IOEVENTFD, &i);
	bench_guest(v, "msi_loop", NULL);
}
