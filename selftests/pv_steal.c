// SPDX-License-Identifier: GPL-2.0-only
/* Steal time: MSR_KVM_STEAL_TIME's page, and the flags that other vCPUs read and leave in it. */

#include "selftest.h"

#include <asm/kvm_para.h>
#include <sched.h>

#define STEAL	((volatile struct kvm_steal_time *)TEST_GPA)
#define ON	1ul

static void bad_values(void)
{
	for (int bit = 1; bit <= 5; bit++) {
		GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_KVM_STEAL_TIME, TEST_GPA | 1ul << bit), GP_VECTOR);
		GUEST_ASSERT_EQ(rdmsr(MSR_KVM_STEAL_TIME), 0);
	}
	wrmsr(MSR_KVM_STEAL_TIME, NOWHERE_GPA | ON);
	GUEST_SYNC(1);
	wrmsr(MSR_KVM_STEAL_TIME, 0);
	GUEST_DONE();
}

static void require_steal_time(void)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, KVM_CPUID_FEATURES, 0);

	TEST_REQUIRE(e && e->eax & 1u << KVM_FEATURE_STEAL_TIME, "no steal time");
	free(c);
}

TEST(reserved_bits_fault)
{
	require_steal_time();
	struct vcpu *v = guest_of(bad_values);

	vcpu_expect_sync(v, 1);
	vcpu_expect_done(v);
}

static uint64_t stop;

static void spins(void)
{
	uint64_t before = 0;

	wrmsr(MSR_KVM_STEAL_TIME, TEST_GPA | ON);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_STEAL_TIME), TEST_GPA | ON);
	GUEST_ASSERT(!(STEAL->version & 1));
	while (!READ_ONCE(stop)) {
		uint64_t now = STEAL->steal;

		GUEST_ASSERT(now >= before);
		before = now;
	}
	GUEST_ASSERT(!(STEAL->version & 1));
	GUEST_SYNC_VAL(1, STEAL->steal);
	GUEST_DONE();
}

static int hog(cpu_set_t *cpu)
{
	int pid = fork();

	TEST_ASSERT(pid >= 0, "fork");
	if (!pid) {
		sched_setaffinity(0, sizeof(*cpu), cpu);
		for (;;)
			;
	}
	return pid;
}

static void *stops_it(void *arg)
{
	sleep(3);
	WRITE_ONCE(*(uint64_t *)arg, 1);
	return NULL;
}

/* Half of a CPU's time goes to somebody else: the guest is told of about that much. */
TEST(time_on_a_contended_cpu)
{
	cpu_set_t all, one;
	pthread_t thread;
	struct vcpu *v;
	uint64_t stolen;
	int pid, cpu = 0;

	require_steal_time();
	sched_getaffinity(0, sizeof(all), &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	v = guest_of(spins);
	pid = hog(&one);
	pthread_create(&thread, NULL, stops_it, vm_shared(v->vm, stop));
	sched_setaffinity(0, sizeof(one), &one);
	stolen = vcpu_expect_sync(v, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	vcpu_expect_done(v);
	TEST_ASSERT(stolen > 300000000ull && stolen < 60000000000ull, "%lu ns of three seconds",
		    stolen);
}

/* The second vCPU looks at the first one's flag while that halts: it is off its CPU then. */
static uint64_t seen_preempted;

static void halts(void)
{
	wrmsr(MSR_KVM_STEAL_TIME, TEST_GPA | ON);
	GUEST_ASSERT_EQ(STEAL->preempted, 0);
	GUEST_SYNC(1);
	while (!READ_ONCE(stop))
		cpu_relax();
	GUEST_ASSERT_EQ(STEAL->preempted, 0);
	GUEST_DONE();
}

static void watches(void)
{
	while (!(STEAL->preempted & KVM_VCPU_PREEMPTED))
		cpu_relax();
	WRITE_ONCE(seen_preempted, 1);
	WRITE_ONCE(stop, 1);
	GUEST_DONE();
}

TEST(preempted_is_shown)
{
	struct vm *vm = vm_create();
	struct vcpu *first, *second;
	cpu_set_t all, one;
	int pid, cpu = 0;

	require_steal_time();
	TEST_REQUIRE(sysconf(_SC_NPROCESSORS_ONLN) > 1, "one CPU: nobody can watch");
	sched_getaffinity(0, sizeof(all), &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	first = vcpu_add(vm, 0, halts);
	second = vcpu_add(vm, 1, watches);
	vcpu_expect_sync(first, 1);
	pid = hog(&one);
	vcpu_start(second);
	sched_setaffinity(0, sizeof(one), &one);
	vcpu_expect_done(first);
	vcpu_join(second);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	TEST_ASSERT_EQ(*vm_shared(vm, seen_preempted), 1);
}
