// SPDX-License-Identifier: GPL-2.0-only
/* Exits that end in the kernel or in user space, from the guest's instruction to the next one. */

#include <sys/eventfd.h>

#include "bench.h"

static struct vcpu *bench_vcpu(void (*fn)(void))
{
	return vcpu_add(vm_create_irqchip(), 0, fn);
}

/* A guest function that samples one thing, and the case that reports it. */
#define BENCH_OP(key, serve, op)						\
	static void key##_guest(void)						\
	{									\
		SAMPLE(op);							\
	}									\
										\
	TEST(key)								\
	{									\
		bench_guest(bench_vcpu(key##_guest), #key, serve);		\
	}

static void read_cpuid(void)
{
	uint32_t out[4];

	guest_cpuid(0, 0, out);
}

BENCH_OP(cpuid, NULL, read_cpuid())
BENCH_OP(rdmsr, NULL, rdmsr(MSR_APIC_BASE))

/* One that both vendors' CPUs have, and that no hypervisor gives to the guest. */
static void wrmsr_guest(void)
{
	uint64_t value = rdmsr(MSR_MISC_ENABLE);

	SAMPLE(wrmsr(MSR_MISC_ENABLE, value));
}

TEST(wrmsr)
{
	bench_guest(bench_vcpu(wrmsr_guest), "wrmsr", NULL);
}

BENCH_OP(cr0_write, NULL, write_cr0(read_cr0() ^ CR0_AM))
BENCH_OP(cr8_write, NULL, write_cr8(i_ & 1))

static void skip_ud2(struct trap_frame *f)
{
	f->rip += 2;
}

static void exception_guest(void)
{
	guest_handle(UD_VECTOR, skip_ud2);
	SAMPLE(asm volatile("ud2" : : : "memory"));
}

TEST(exception)
{
	bench_guest(bench_vcpu(exception_guest), "exception", NULL);
}

/* ---- to user space and back ---- */

static volatile uint32_t *const device = (void *)NOWHERE_GPA;

BENCH_OP(pio_out, NULL, outl(BENCH_PORT, 0))
BENCH_OP(pio_in, NULL, inl(BENCH_PORT))
BENCH_OP(mmio_write, NULL, *device = 0)
BENCH_OP(mmio_read, NULL, (void)*device)

/* ---- to an eventfd ---- */

static void expect_bells(struct vcpu *v, int fd)
{
	uint64_t n = 0;

	TEST_ASSERT(read(fd, &n, sizeof(n)) == sizeof(n), "read of the eventfd");
	TEST_ASSERT_EQ(n, ROUNDS);
	vm_destroy(v->vm);
}

static int bell(struct vcpu *v, uint64_t addr, uint32_t flags)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct kvm_ioeventfd i = { .fd = fd, .addr = addr, .len = 4, .flags = flags };

	ioctl_ok(v->vm->fd, KVM_IOEVENTFD, &i);
	return fd;
}

TEST(pio_eventfd)
{
	struct vcpu *v = bench_vcpu(pio_out_guest);
	int fd = bell(v, BENCH_PORT, KVM_IOEVENTFD_FLAG_PIO);

	bench_guest(v, "pio_eventfd", NULL);
	expect_bells(v, fd);
}

TEST(mmio_eventfd)
{
	struct vcpu *v = bench_vcpu(mmio_write_guest);
	int fd = bell(v, NOWHERE_GPA, 0);

	bench_guest(v, "mmio_eventfd", NULL);
	expect_bells(v, fd);
}

/* ---- KVM_RUN that does not get to the guest ---- */

static void endless(void)
{
	for (;;)
		cpu_relax();
}

static void expect_no_entry(struct vcpu *v)
{
	TEST_ASSERT(vcpu_run(v) == -1 && errno == EINTR, "KVM_RUN comes back");
}

TEST(run_immediate_exit)
{
	struct vcpu *v = bench_vcpu(endless);

	v->run->immediate_exit = 1;
	BENCH_HOST("run_immediate_exit", ROUNDS, expect_no_entry(v));
}

static void ignore(int sig)
{
}

/* The signal is blocked but in KVM_RUN, and waits. */
TEST(run_signal)
{
	struct vcpu *v = bench_vcpu(endless);
	struct {
		struct kvm_signal_mask head;
		uint64_t none;
	} mask = { .head.len = 8 };
	uint64_t at[ROUNDS];
	sigset_t set;

	signal(SIGUSR1, ignore);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ioctl_ok(v->fd, KVM_SET_SIGNAL_MASK, &mask);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t;

		raise(SIGUSR1);
		t = rdtsc();
		expect_no_entry(v);
		at[i] = rdtsc() - t;
		sigwaitinfo(&set, NULL);
	}
	bench_report("run_signal", bench_median(at, ROUNDS));
}

/* What no KVM_RUN can be cheaper than: an ioctl that is refused, on the same fd. */
TEST(null_ioctl)
{
	struct vcpu *v = bench_vcpu(endless);

	BENCH_HOST("null_ioctl", ROUNDS, ioctl(v->fd, _IO(0xae, 0xff), 0));
}
