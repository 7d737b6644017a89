// SPDX-License-Identifier: GPL-2.0-only
/* VMs that come and go, what they weigh, and vCPUs that share a CPU with other threads. */

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

#define LIFE_ROUNDS	11
#define CODE_GPA	0x1000ul

/* The least that runs: a page of memory, a vCPU in real mode, one exit. */
GUEST_ASM(one_out, 16, "mov $0x500, %dx; 1: out %al, %dx; jmp 1b");

static int kvm_fd = -1;

static int new_vm(void)
{
	int fd = ioctl_ok(kvm_fd, KVM_CREATE_VM, 0);

	ioctl_ok(fd, KVM_CREATE_IRQCHIP, 0);
	return fd;
}

static void *page_of_code(void)
{
	void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);

	TEST_ASSERT(page != MAP_FAILED, "mmap");
	memcpy(page, one_out, one_out_end - one_out);
	return page;
}

static void run_once(int vm, int vcpu, void *code, bool first)
{
	struct kvm_userspace_memory_region r = {
		.guest_phys_addr = CODE_GPA, .memory_size = PAGE_SIZE,
		.userspace_addr = (uintptr_t)code,
	};
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { .rip = CODE_GPA, .rflags = FLAG_FIXED };
	struct kvm_sregs s;

	if (first)
		ioctl_ok(vm, KVM_SET_USER_MEMORY_REGION, &r);
	ioctl_ok(vcpu, KVM_SET_MP_STATE, &runnable);
	ioctl_ok(vcpu, KVM_GET_SREGS, &s);
	s.cs.base = s.cs.selector = 0;
	ioctl_ok(vcpu, KVM_SET_SREGS, &s);
	ioctl_ok(vcpu, KVM_SET_REGS, &regs);
	ioctl_ok(vcpu, KVM_RUN, 0);
}

/* @vcpus fds are kept in @fds; they close with the process when nobody wants them. */
static int vm_with(unsigned int vcpus, int *fds, void *code)
{
	int vm = new_vm();

	for (unsigned int i = 0; i < vcpus; i++) {
		fds[i] = ioctl_ok(vm, KVM_CREATE_VCPU, (unsigned long)i);
		if (code)
			run_once(vm, fds[i], code, !i);
	}
	return vm;
}

static void come_and_go(unsigned int vcpus, void *code)
{
	int fds[16], vm = vm_with(vcpus, fds, code);

	for (unsigned int i = 0; i < vcpus; i++)
		close(fds[i]);
	close(vm);
}

/* ---- memory ---- */

#define VMS	64

/* As many come first, and stay: the next ones find no slab that only waited for them. */
static uint64_t weight_of_vms(unsigned int vcpus, void *code)
{
	static int vms[2 * VMS], fds[2 * VMS][16];
	uint64_t before = 0, after;

	for (unsigned int i = 0; i < 2 * VMS; i++) {
		if (i == VMS)
			before = bench_free_bytes();
		vms[i] = vm_with(vcpus, fds[i], code);
	}
	after = bench_free_bytes();
	for (unsigned int i = 0; i < 2 * VMS; i++) {
		for (unsigned int j = 0; j < vcpus; j++)
			close(fds[i][j]);
		close(vms[i]);
	}
	TEST_ASSERT(before > after, "VMs weigh something");
	return (before - after) / VMS;
}

/* All vCPUs have run: what is allocated at first use counts too. What VMs share is not theirs. */
TEST_TIMEOUT(weight, 300)
{
	const struct rlimit many = { 4096, 4096 };
	void *code = page_of_code();
	uint64_t one, nine;

	TEST_ASSERT(!setrlimit(RLIMIT_NOFILE, &many), "setrlimit");
	kvm_fd = kvm_open();
	bench_report("bytes_vm", weight_of_vms(0, NULL));
	one = weight_of_vms(1, code);
	nine = weight_of_vms(9, code);
	bench_report("bytes_vm_1", one);
	bench_report("bytes_vcpu", (nine - one) / 8);
}

/* ---- time ---- */

TEST_TIMEOUT(create_destroy, 120)
{
	kvm_fd = kvm_open();
	come_and_go(1, page_of_code());
	BENCH_HOST("vm_empty", LIFE_ROUNDS, come_and_go(0, NULL));
	BENCH_HOST("vm_1", LIFE_ROUNDS, come_and_go(1, NULL));
	BENCH_HOST("vm_4", LIFE_ROUNDS, come_and_go(4, NULL));
	BENCH_HOST("vm_16", LIFE_ROUNDS, come_and_go(16, NULL));
}

/* ---- beside others that live ---- */

/* A process with a VM that has run, until its parent has gone. */
static void live(void)
{
	int fds[1], ready[2];
	char byte;

	TEST_ASSERT(!pipe(ready), "pipe");
	if (!spawn()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		vm_with(1, fds, page_of_code());
		TEST_ASSERT(write(ready[1], "", 1) == 1, "write");
		for (;;)
			pause();
	}
	close(ready[1]);
	TEST_ASSERT(read(ready[0], &byte, 1) == 1, "another VM came up");
	close(ready[0]);
}

static void beside(unsigned int others, const char *key)
{
	void *code = page_of_code();

	kvm_fd = kvm_open();
	while (others--)
		live();
	come_and_go(1, code);
	BENCH_HOST(key, LIFE_ROUNDS, come_and_go(1, code));
}

TEST_TIMEOUT(first_exit, 120)
{
	beside(0, "first_exit");
}

TEST_TIMEOUT(beside_100, 300)
{
	beside(99, "beside_100");
}

TEST_TIMEOUT(beside_1000, 1200)
{
	beside(999, "beside_1000");
}

/* ---- another thread on the CPU ---- */

static void spin_guest(void)
{
	for (int i = 0; i < ROUNDS;) {
		uint64_t t = rdtsc(), gap = rdtsc() - t;

		/* More than the host's interrupts take, less than a wait. */
		if (gap > 300)
			WRITE_ONCE(samples[i++], gap);
	}
	GUEST_SYNC(1);
}

/* Takes the CPU for as long as it takes to go to sleep again. */
static void *intruder(void *arg)
{
	const struct sched_param rt = { .sched_priority = 1 };
	const struct timespec pause = { .tv_nsec = 100000 };

	TEST_ASSERT(!pthread_setschedparam(pthread_self(), SCHED_FIFO, &rt), "SCHED_FIFO");
	for (;;)
		nanosleep(&pause, NULL);
	return NULL;
}

TEST(preempted)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, spin_guest);
	pthread_t t;

	TEST_ASSERT(!pthread_create(&t, NULL, intruder, NULL), "thread");
	bench_guest(v, "preempted", NULL);
}
