// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must be true the moment a call returns, for a guest that writes all the while and never
 * exits, and for a vCPU that is stuck in the middle of a fault.
 */

#include "selftest.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#define SLOT		1
#define GPA		0x10000000ul
#define OTHER_GPA	0x20000000ul
#define PAGES		64ul
#define SIZE		(PAGES * PAGE_SIZE)
#define TRIES		200

static uint64_t stop;

static void counts_up(void)
{
	volatile uint64_t *p = (uint64_t *)GPA;

	while (!READ_ONCE(stop))
		++*p;
	GUEST_DONE();
}

/* Writes to a slot that is not there are MMIO, and lost. */
static void *run_through(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		if (vcpu_next(v) == UCALL_DONE)
			return NULL;
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_MMIO);
	}
}

static struct vcpu *v;
static volatile uint64_t *mem;
static pthread_t thread;

static void start(uint32_t flags)
{
	v = guest_of(counts_up);
	mem = vm_add_mem(v->vm, SLOT, GPA, SIZE, flags);
	TEST_ASSERT(!pthread_create(&thread, NULL, run_through, v), "pthread_create");
}

static void finish(void)
{
	*vm_shared(v->vm, stop) = 1;
	pthread_join(thread, NULL);
}

/* On one CPU the guest only runs when somebody makes room. */
static void make_room(void)
{
	static long cpus;

	if (!cpus)
		cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus == 1)
		sched_yield();
}

/* Is there a write within so many microseconds? */
static bool written_within(unsigned int us)
{
	uint64_t before = *mem;
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		if (*mem != before)
			return true;
		make_room();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
	return *mem != before;
}

/* The guest is inside its loop right now. */
static void meet(void)
{
	for (int n = 0; !written_within(100); n++) {
		TEST_ASSERT(n < 100000, "the guest does not write");
		sched_yield();
	}
}

static void set(uint64_t gpa, uint64_t size, uint32_t flags)
{
	TEST_ASSERT(!vm_set_slot(v->vm, SLOT, gpa, size, flags, (void *)mem),
		    "KVM_SET_USER_MEMORY_REGION");
}

TEST(nothing_is_written_to_a_deleted_slot)
{
	start(0);
	for (int i = 0; i < TRIES; i++) {
		meet();
		set(GPA, 0, 0);
		TEST_ASSERT(!written_within(200), "try %d", i);
		set(GPA, SIZE, 0);
	}
	finish();
}

TEST(nothing_is_written_to_a_moved_slot)
{
	start(0);
	for (int i = 0; i < TRIES; i++) {
		meet();
		set(OTHER_GPA, SIZE, 0);
		TEST_ASSERT(!written_within(200), "try %d", i);
		set(GPA, SIZE, 0);
	}
	finish();
}

static bool is_dirty(void)
{
	uint64_t map[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = map };

	ioctl_ok(v->vm->fd, KVM_GET_DIRTY_LOG, &log);
	return map[0] & 1;
}

static void clear(void)
{
	uint64_t map[PAGES / 64] = { 1 };
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .num_pages = PAGES, .dirty_bitmap = map
	};

	ioctl_ok(v->vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

TEST(what_is_written_after_the_log_was_taken_is_logged)
{
	start(KVM_MEM_LOG_DIRTY_PAGES);
	for (int i = 0; i < TRIES; i++) {
		meet();
		is_dirty();
		if (written_within(200))
			TEST_ASSERT(is_dirty(), "try %d", i);
	}
	finish();
}

TEST(what_is_written_after_the_log_began_is_logged)
{
	start(0);
	for (int i = 0; i < TRIES; i++) {
		meet();
		set(GPA, SIZE, KVM_MEM_LOG_DIRTY_PAGES);
		if (written_within(200))
			TEST_ASSERT(is_dirty(), "try %d", i);
		set(GPA, SIZE, 0);
	}
	finish();
}

TEST(what_is_written_after_clearing_is_logged)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE },
	};

	require_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	start(0);
	ioctl_ok(v->vm->fd, KVM_ENABLE_CAP, &cap);
	set(GPA, SIZE, KVM_MEM_LOG_DIRTY_PAGES);
	for (int i = 0; i < TRIES; i++) {
		meet();
		clear();
		if (written_within(200))
			TEST_ASSERT(is_dirty(), "try %d", i);
	}
	finish();
}

/* ---- a fault that waits for user space ---- */

static int uffd;

static void take_missing_pages(void *p, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)p, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	TEST_REQUIRE(uffd >= 0, "no userfaultfd");
	ioctl_ok(uffd, UFFDIO_API, &api);
	ioctl_ok(uffd, UFFDIO_REGISTER, &reg);
}

static void wait_for_missing_page(void)
{
	struct pollfd wait = { .fd = uffd, .events = POLLIN };

	TEST_ASSERT(poll(&wait, 1, 10000) == 1, "no fault");
}

static void supply_page(void *p)
{
	static char page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)p, .src = (uintptr_t)page, .len = PAGE_SIZE
	};

	ioctl_ok(uffd, UFFDIO_COPY, &copy);
}

static uint64_t kind, returned;

static void *reads(void *arg)
{
	uint64_t value;

	kind = probe_read(arg, GPA, &value);
	return NULL;
}

static void *deletes(void *arg)
{
	TEST_ASSERT(!vm_set_slot(arg, SLOT, 0, 0, 0, NULL), "KVM_SET_USER_MEMORY_REGION");
	__atomic_store_n(&returned, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/*
 * A vCPU waits in the host for a page of a slot that is being deleted: the call returns when the
 * vCPU is done with the slot, and the page does not stay in the guest.
 */
TEST(slot_deleted_under_a_fault)
{
	struct vm *vm = vm_create();
	struct vcpu *p = probe_add(vm, 0);
	void *hva = vm_add_mem(vm, SLOT, GPA, SIZE, 0);
	pthread_t reader, deleter;
	uint64_t value = 1;

	take_missing_pages(hva, SIZE);
	TEST_ASSERT(!pthread_create(&reader, NULL, reads, p), "pthread_create");
	wait_for_missing_page();
	TEST_ASSERT(!pthread_create(&deleter, NULL, deletes, vm), "pthread_create");
	usleep(100000);
	TEST_ASSERT(!__atomic_load_n(&returned, __ATOMIC_SEQ_CST),
		    "the slot is said to be gone while a vCPU waits for its memory");
	supply_page(hva);
	pthread_join(deleter, NULL);
	pthread_join(reader, NULL);
	/* The read itself may have come before the deletion or after it. */
	TEST_ASSERT(kind == PROBE_MMIO || kind == PROBE_RAM, "the read ended with %ld", (long)kind);
	TEST_ASSERT_EQ(probe_read(p, GPA, &value), PROBE_MMIO);
}

/* The same fault, and the process is killed: nothing may wait for the page that never comes. */
TEST(killed_under_a_fault)
{
	int pid = spawn(), status;

	if (!pid) {
		struct vm *vm = vm_create();
		struct vcpu *p = probe_add(vm, 0);
		void *hva = vm_add_mem(vm, SLOT, GPA, SIZE, 0);
		pthread_t reader, deleter;

		take_missing_pages(hva, SIZE);
		pthread_create(&reader, NULL, reads, p);
		wait_for_missing_page();
		pthread_create(&deleter, NULL, deletes, vm);
		usleep(50000);
		kill(getpid(), SIGKILL);
	}
	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid");
	TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
}
