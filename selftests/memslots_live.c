// SPDX-License-Identifier: GPL-2.0-only
/* Slots moved, deleted and made anew while vCPUs use them. */

#include "selftest.h"

#include <sched.h>

#define GPA		0x10000000ul
#define OTHER_GPA	0x20000000ul
#define STEADY_GPA	0x30000000ul
#define SIZE		(4 * PAGE_SIZE)
#define SLOT		1
#define STEADY_SLOT	2

static uint64_t finish;

/* Writes to memory that comes and goes, and checks memory that stays. */
static void user_of_slots(uint64_t id)
{
	volatile uint64_t *mine = (void *)(STEADY_GPA + id * 64);
	volatile uint64_t *here = (void *)(GPA + id * 64), *there = (void *)(OTHER_GPA + id * 64);

	for (uint64_t i = 0; !READ_ONCE(finish); i++) {
		*mine = i;
		here[i % 4 * PAGE_SIZE / 8] = i;
		there[i % 4 * PAGE_SIZE / 8] = i;
		(void)*here;
		GUEST_ASSERT_EQ(*mine, i);
	}
	GUEST_DONE();
}

/* MMIO is what an access to a missing slot is; it is answered and forgotten. */
static void *run_user(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		enum ucall_cmd cmd = vcpu_next(v);

		if (cmd == UCALL_DONE)
			return NULL;
		TEST_ASSERT_EQ(cmd, UCALL_NONE);
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_MMIO);
		TEST_ASSERT(v->run->mmio.phys_addr < STEADY_GPA,
			    "%#llx, which is always there, was not", v->run->mmio.phys_addr);
	}
}

struct scene {
	struct vm *vm;
	pthread_t t[2];
	char *mem, *steady;
};

static struct scene start(void)
{
	struct scene s = { .vm = vm_create() };

	s.steady = vm_add_mem(s.vm, STEADY_SLOT, STEADY_GPA, SIZE, 0);
	s.mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 2; i++) {
		struct vcpu *v = vcpu_add_raw(s.vm, i);

		vcpu_set_cpuid(v);
		vcpu_enter64(v, user_of_slots, i);
		TEST_ASSERT(!pthread_create(&s.t[i], NULL, run_user, v), "pthread_create");
	}
	return s;
}

static void end(struct scene *s)
{
	*vm_shared(s->vm, finish) = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(s->t[i], NULL);
	vm_destroy(s->vm);
}

static void set(struct scene *s, uint64_t gpa, uint64_t size, uint32_t flags)
{
	TEST_ASSERT(!vm_set_slot(s->vm, SLOT, gpa, size, flags, s->mem),
		    "slot at %#lx, %#lx bytes, flags %u", gpa, size, flags);
}

TEST(delete_and_create)
{
	struct scene s = start();

	for (int i = 0; i < 30; i++) {
		set(&s, GPA, SIZE, 0);
		sched_yield();
		set(&s, GPA, 0, 0);
	}
	end(&s);
}

TEST(move)
{
	struct scene s = start();

	set(&s, GPA, SIZE, 0);
	for (int i = 0; i < 30; i++) {
		set(&s, i % 2 ? GPA : OTHER_GPA, SIZE, 0);
		sched_yield();
	}
	end(&s);
}

TEST(change_flags)
{
	struct scene s = start();

	set(&s, GPA, SIZE, 0);
	for (int i = 0; i < 50; i++)
		set(&s, GPA, SIZE, i % 2 ? 0 : KVM_MEM_LOG_DIRTY_PAGES);
	end(&s);
}

/* When the ioctl has returned, no vCPU writes there any more. */
TEST(deletion_is_complete)
{
	struct scene s = start();
	uint64_t before[2];

	for (int i = 0; i < 30; i++) {
		set(&s, GPA, SIZE, 0);
		for (int n = 0; !READ_ONCE(*(uint64_t *)s.mem) && n < 100000; n++)
			sched_yield();
		set(&s, GPA, 0, 0);
		before[0] = READ_ONCE(*(uint64_t *)s.mem);
		before[1] = READ_ONCE(*(uint64_t *)(s.mem + 64));
		usleep(200);
		TEST_ASSERT_EQ(READ_ONCE(*(uint64_t *)s.mem), before[0]);
		TEST_ASSERT_EQ(READ_ONCE(*(uint64_t *)(s.mem + 64)), before[1]);
		memset(s.mem, 0, SIZE);
	}
	end(&s);
}

/* The host's memory goes away together with the slot, in either order. */
TEST(delete_slot_and_memory)
{
	struct scene s = start();

	for (int i = 0; i < 30; i++) {
		set(&s, GPA, SIZE, 0);
		sched_yield();
		set(&s, GPA, 0, 0);
		munmap(s.mem, SIZE);
		s.mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		TEST_ASSERT(s.mem != MAP_FAILED, "mmap");
	}
	end(&s);
}

static void *sets_slots(void *arg)
{
	struct scene *s = arg;

	for (int i = 0; i < 30; i++) {
		int r = vm_set_slot(s->vm, SLOT, i % 3 ? GPA : OTHER_GPA, i % 5 ? SIZE : 0, 0,
				    s->mem);

		TEST_ASSERT(!r || errno == EINVAL || errno == EEXIST, "slot");
	}
	return NULL;
}

/* Two threads set the same slot; each call is whole. */
TEST(two_threads_set_slots)
{
	struct scene s = start();
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		TEST_ASSERT(!pthread_create(&t[i], NULL, sets_slots, &s), "pthread_create");
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	end(&s);
}
