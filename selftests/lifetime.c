// SPDX-License-Identifier: GPL-2.0-only
/* Making and ending VMs: many, in any order of closing, and by kill -9. */

#include "selftest.h"

static void one_exit(void)
{
	GUEST_DONE();
}

static void spins(void)
{
	for (;;)
		cpu_relax();
}

/* Kernel memory that user space cannot get back by itself, in KiB. */
static long kernel_memory(void)
{
	static const char *const names[] = { "SUnreclaim:", "PageTables:", "KernelStack:",
					     "Percpu:" };
	FILE *f = fopen("/proc/meminfo", "r");
	char name[64];
	long kib, sum = 0;

	TEST_REQUIRE(f, "no /proc/meminfo");
	while (fscanf(f, "%63s %ld%*[^\n]", name, &kib) == 2)
		for (int i = 0; i < 4; i++)
			if (!strcmp(name, names[i]))
				sum += kib;
	fclose(f);
	return sum;
}

static void rounds(int n)
{
	for (int i = 0; i < n; i++)
		run_guest(one_exit);
}

TEST_TIMEOUT(a_hundred_rounds, 60)
{
	long before, grown;

	rounds(10);
	usleep(200000);
	before = kernel_memory();
	rounds(100);
	/* What is freed after a grace period is counted a little later. */
	for (int i = 0; i < 20; i++) {
		grown = kernel_memory() - before;
		if (grown < 1024)
			break;
		usleep(100000);
	}
	diag("unreclaimable kernel memory grew by %ld KiB", grown);
	TEST_ASSERT(grown < 4096, "a leak");
}

/* The four handles of a VM, closed in each of 24 orders. */
TEST(close_in_any_order)
{
	for (int order = 0; order < 24; order++) {
		struct vcpu *v = guest_of(one_exit);
		int left[4] = { 0, 1, 2, 3 }, code = order;

		if (order % 2)
			vcpu_expect_done(v);
		for (int n = 4; n > 0; n--) {
			int pick = code % n, what = left[pick];

			code /= n;
			left[pick] = left[n - 1];
			switch (what) {
			case 0:
				close(v->vm->kvm);
				break;
			case 1:
				close(v->vm->fd);
				break;
			case 2:
				close(v->fd);
				break;
			case 3:
				munmap(v->run, v->vm->run_size);
				break;
			}
		}
		munmap(vm_hva(v->vm, 0), RAM_SIZE);
	}
}

/* A vCPU needs none of the other fds. */
TEST(vcpu_outlives_the_other_fds)
{
	struct vcpu *v = guest_of(one_exit);

	close(v->vm->kvm);
	close(v->vm->fd);
	vcpu_expect_done(v);
}

TEST(mapping_outlives_the_fds)
{
	struct vcpu *v = guest_of(one_exit);

	vcpu_expect_done(v);
	close(v->vm->kvm);
	close(v->vm->fd);
	close(v->fd);
	TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
	v->run->immediate_exit = 1;
}

TEST(system_fd_closes_first)
{
	struct vcpu *v = guest_of(one_exit);

	close(v->vm->kvm);
	vcpu_add(v->vm, 1, one_exit);
	vcpu_expect_done(v->vm->vcpus[1]);
	vcpu_expect_done(v);
}

static void *run_once(void *arg)
{
	vcpu_run(arg);
	return NULL;
}

/* The last reference is the one that KVM_RUN holds. */
TEST(close_while_running)
{
	struct vcpu *v = guest_of(spins);
	pthread_t t;

	TEST_ASSERT(!pthread_create(&t, NULL, run_once, v), "pthread_create");
	usleep(20000);
	close(v->vm->kvm);
	close(v->vm->fd);
	close(v->fd);
	munmap(v->run, v->vm->run_size);
	usleep(20000);
	/* The end of the process ends the thread. */
}

static int child_with_running_vcpus(int *ready)
{
	int fds[2], pid;

	TEST_ASSERT(!pipe(fds), "pipe");
	pid = spawn();
	if (!pid) {
		struct vm *vm = vm_create();

		for (int i = 0; i < 2; i++)
			vcpu_start(vcpu_add(vm, i, spins));
		usleep(5000);
		TEST_ASSERT(write(fds[1], "", 1) == 1, "write");
		for (;;)
			pause();
	}
	close(fds[1]);
	*ready = fds[0];
	return pid;
}

TEST(kill_9)
{
	for (int i = 0; i < 8; i++) {
		int status, ready, pid = child_with_running_vcpus(&ready);
		char c;

		TEST_ASSERT(read(ready, &c, 1) == 1, "the child did not start");
		close(ready);
		kill(pid, SIGKILL);
		TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid");
		TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
	}
	run_guest(one_exit);
}

/* At any moment of the making of a VM. */
TEST(kill_9_at_any_moment)
{
	for (int i = 0; i < 12; i++) {
		int status, pid = fork();

		TEST_ASSERT(pid >= 0, "fork");
		if (!pid)
			for (;;)
				rounds(1);
		usleep(i * 1500);
		kill(pid, SIGKILL);
		TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid");
		TEST_ASSERT(WIFSIGNALED(status), "status %#x", status);
	}
	run_guest(one_exit);
}

static void *makes_vms(void *arg)
{
	rounds(10);
	return NULL;
}

TEST(vms_made_in_parallel)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		TEST_ASSERT(!pthread_create(&t[i], NULL, makes_vms, NULL), "pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

TEST(many_vms_at_once)
{
	struct vcpu *v[20];

	for (int i = 0; i < 20; i++)
		v[i] = guest_of(one_exit);
	for (int i = 19; i >= 0; i--)
		vcpu_expect_done(v[i]);
	for (int i = 0; i < 20; i++)
		vm_destroy(v[i]->vm);
}
