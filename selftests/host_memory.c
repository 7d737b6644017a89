// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does to memory behind a slot acts on the guest at once: unmapping,
 * protection, discarding, remapping, fork, files that shrink.
 */

#include "selftest.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>

#define SLOT	1
#define GPA	0x10000000ul
#define SIZE	(8 * PAGE_SIZE)
#define MARK	0x1122334455667788ul

static void *map(int prot, int flags, int fd, size_t size)
{
	void *p = mmap(NULL, size, prot, flags, fd, 0);

	TEST_ASSERT(p != MAP_FAILED, "mmap");
	return p;
}

static struct vcpu *setup_at(void *p, size_t size)
{
	struct vcpu *v = probe_add(vm_create(), 0);

	vm_add_mem_at(v->vm, SLOT, GPA, size, 0, p);
	return v;
}

static struct vcpu *setup(uint64_t **hva)
{
	*hva = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, SIZE);
	**hva = MARK;
	return setup_at(*hva, SIZE);
}

#define expect_read(v, gpa, want) do {						\
	uint64_t value_ = ~0ul;							\
	TEST_ASSERT_EQ(probe_read(v, gpa, &value_), PROBE_RAM);			\
	TEST_ASSERT_EQ(value_, want);						\
} while (0)

#define expect_write(v, gpa, value) TEST_ASSERT_EQ(probe_write(v, gpa, value), PROBE_RAM)

#define expect_read_fault(v, gpa) do {						\
	uint64_t value_;							\
	TEST_ASSERT_EQ(probe_read(v, gpa, &value_), -EFAULT);			\
} while (0)

TEST(unmap_and_map_again)
{
	uint64_t *p, value;
	struct vcpu *v = setup(&p);

	for (uint64_t i = 1; i < 5; i++) {
		expect_write(v, GPA, i);
		expect_read(v, GPA, i);
		TEST_ASSERT(!munmap(p, SIZE), "munmap");
		expect_read_fault(v, GPA);
		TEST_ASSERT(mmap(p, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p, "mmap");
		TEST_ASSERT_EQ(probe_retry(v, &value), PROBE_RAM);
		TEST_ASSERT_EQ(value, 0);
	}
}

TEST(protection)
{
	uint64_t *p;
	struct vcpu *v = setup(&p);

	expect_write(v, GPA, 1);
	TEST_ASSERT(!mprotect(p, SIZE, PROT_READ), "mprotect");
	expect_read(v, GPA, 1);
	TEST_ASSERT_EQ(probe_write(v, GPA, 2), -EFAULT);
	TEST_ASSERT_EQ(*p, 1);
	TEST_ASSERT(!mprotect(p, SIZE, PROT_READ | PROT_WRITE), "mprotect");
	TEST_ASSERT_EQ(probe_retry(v, NULL), PROBE_RAM);
	TEST_ASSERT_EQ(*p, 2);
	TEST_ASSERT(!mprotect(p, SIZE, PROT_NONE), "mprotect");
	expect_read_fault(v, GPA);
	TEST_ASSERT(!mprotect(p, SIZE, PROT_READ | PROT_WRITE), "mprotect");
	TEST_ASSERT_EQ(probe_retry(v, NULL), PROBE_RAM);
	expect_read(v, GPA, 2);
}

TEST(discard)
{
	uint64_t *p;
	struct vcpu *v = setup(&p);

	for (int i = 0; i < 4; i++) {
		expect_write(v, GPA, MARK);
		expect_write(v, GPA + PAGE_SIZE, MARK);
		TEST_ASSERT(!madvise(p, PAGE_SIZE, MADV_DONTNEED), "madvise");
		expect_read(v, GPA, 0);
		expect_read(v, GPA + PAGE_SIZE, MARK);
	}
}

TEST(other_memory_at_the_same_address)
{
	uint64_t *p, *q = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, SIZE);
	struct vcpu *v = setup(&p);

	expect_read(v, GPA, MARK);
	*q = 5;
	TEST_ASSERT(mremap(q, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p, "mremap");
	expect_read(v, GPA, 5);
	expect_write(v, GPA, 6);
	TEST_ASSERT_EQ(*p, 6);
}

TEST(memory_moved_away)
{
	uint64_t *p, *q;
	struct vcpu *v = setup(&p);

	expect_read(v, GPA, MARK);
	q = mremap(p, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   map(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, SIZE));
	TEST_ASSERT(q != MAP_FAILED, "mremap");
	TEST_ASSERT_EQ(*q, MARK);
	expect_read_fault(v, GPA);
	TEST_ASSERT_EQ(*q, MARK);
}

/* After fork() the guest writes to the VMM's copy, never to the child's. */
TEST(fork_copies)
{
	int go[2], pid;
	uint64_t *p;
	struct vcpu *v = setup(&p);
	char c;

	expect_write(v, GPA, 1);
	expect_write(v, GPA + PAGE_SIZE, 1);
	TEST_ASSERT(!pipe(go), "pipe");
	pid = spawn();
	if (!pid) {
		TEST_ASSERT(read(go[0], &c, 1) == 1, "read");
		TEST_ASSERT_EQ(p[0], 1);
		TEST_ASSERT_EQ(p[PAGE_SIZE / 8], 1);
		p[PAGE_SIZE / 8] = 3;
		pass();
	}
	expect_write(v, GPA, 2);
	TEST_ASSERT_EQ(*p, 2);
	expect_read(v, GPA + PAGE_SIZE, 1);
	TEST_ASSERT(write(go[1], "", 1) == 1, "write");
	reap(pid);
	expect_read(v, GPA, 2);
	expect_read(v, GPA + PAGE_SIZE, 1);
	TEST_ASSERT_EQ(p[PAGE_SIZE / 8], 1);
}

/* The zero page of memory that was only read must not be written. */
TEST(read_before_write)
{
	uint64_t *p;
	struct vcpu *v = setup(&p);

	expect_read(v, GPA + PAGE_SIZE, 0);
	expect_read(v, GPA + 2 * PAGE_SIZE, 0);
	expect_write(v, GPA + PAGE_SIZE, 7);
	expect_read(v, GPA + 2 * PAGE_SIZE, 0);
	TEST_ASSERT_EQ(p[2 * PAGE_SIZE / 8], 0);
	TEST_ASSERT_EQ(p[PAGE_SIZE / 8], 7);
}

static int memfd(size_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	TEST_ASSERT(fd >= 0 && !ftruncate(fd, size), "memfd");
	return fd;
}

TEST(shared_memfd)
{
	int fd = memfd(SIZE);
	uint64_t *p = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd, SIZE), value = 9;
	struct vcpu *v = setup_at(p, SIZE);

	TEST_ASSERT(pwrite(fd, &value, 8, 0) == 8, "pwrite");
	expect_read(v, GPA, 9);
	expect_write(v, GPA + PAGE_SIZE, 10);
	TEST_ASSERT(pread(fd, &value, 8, PAGE_SIZE) == 8, "pread");
	TEST_ASSERT_EQ(value, 10);
}

TEST(file_shrinks)
{
	int fd = memfd(SIZE);
	struct vcpu *v = setup_at(map(PROT_READ | PROT_WRITE, MAP_SHARED, fd, SIZE), SIZE);

	expect_write(v, GPA, 1);
	expect_write(v, GPA + 4 * PAGE_SIZE, 1);
	TEST_ASSERT(!ftruncate(fd, PAGE_SIZE), "ftruncate");
	expect_read(v, GPA, 1);
	expect_read_fault(v, GPA + 4 * PAGE_SIZE);
	TEST_ASSERT(!ftruncate(fd, SIZE), "ftruncate");
	TEST_ASSERT_EQ(probe_retry(v, NULL), PROBE_RAM);
	expect_read(v, GPA + 4 * PAGE_SIZE, 0);
}

TEST(hole_punched)
{
	int fd = memfd(SIZE);
	struct vcpu *v = setup_at(map(PROT_READ | PROT_WRITE, MAP_SHARED, fd, SIZE), SIZE);

	expect_write(v, GPA + PAGE_SIZE, 1);
	TEST_ASSERT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE_SIZE,
			       PAGE_SIZE), "fallocate");
	expect_read(v, GPA + PAGE_SIZE, 0);
}

static int temporary_file(void)
{
	char name[] = "/tmp/selftest.XXXXXX";
	int fd = mkstemp(name);

	TEST_ASSERT(fd >= 0, "mkstemp");
	unlink(name);
	TEST_ASSERT(!ftruncate(fd, SIZE), "ftruncate");
	return fd;
}

/* A private mapping: the guest's writes are the process's own. */
TEST(private_file)
{
	int fd = temporary_file();
	uint64_t value = 9, *p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, SIZE);
	struct vcpu *v = setup_at(p, SIZE);

	TEST_ASSERT(pwrite(fd, &value, 8, 0) == 8, "pwrite");
	expect_read(v, GPA, 9);
	expect_write(v, GPA, 10);
	TEST_ASSERT_EQ(*p, 10);
	TEST_ASSERT(pread(fd, &value, 8, 0) == 8, "pread");
	TEST_ASSERT_EQ(value, 9);
}

TEST(read_only_file)
{
	int fd = temporary_file();
	struct vcpu *v = setup_at(map(PROT_READ, MAP_SHARED, fd, SIZE), SIZE);
	uint64_t value = 1;

	expect_read(v, GPA, 0);
	TEST_ASSERT_EQ(probe_write(v, GPA, 1), -EFAULT);
	TEST_ASSERT(pread(fd, &value, 8, 0) == 8 && value == 0, "the file changed");
}

TEST(huge_pages_of_hugetlbfs)
{
	size_t size = 2 * SZ_2M;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	struct vcpu *v;

	TEST_REQUIRE(p != MAP_FAILED, "no huge pages of 2 MiB are set aside");
	v = setup_at(p, size);
	for (uint64_t off = 0; off < size; off += 0x41000) {
		expect_write(v, GPA + off, off + 1);
		TEST_ASSERT_EQ(*(uint64_t *)(p + off), off + 1);
	}
	TEST_ASSERT(!madvise(p, SZ_2M, MADV_DONTNEED), "madvise");
	expect_read(v, GPA, 0);
	expect_read(v, GPA + 0x41000 * 10, (0x41000 * 10 < SZ_2M) ? 0 : 0x41000 * 10 + 1);
	TEST_ASSERT(!munmap(p, SZ_2M), "munmap");
	expect_read_fault(v, GPA);
}

/* Of a transparent huge page one small page goes; the others stay. */
TEST(transparent_huge_pages)
{
	struct vcpu *v = probe_add(vm_create(), 0);
	char *p = vm_add_mem(v->vm, SLOT, GPA, 2 * SZ_2M, 0);

	TEST_REQUIRE(!madvise(p, 2 * SZ_2M, MADV_HUGEPAGE), "no transparent huge pages");
	for (uint64_t off = 0; off < 2 * SZ_2M; off += PAGE_SIZE)
		*(uint64_t *)(p + off) = off + 1;
	expect_read(v, GPA + 0x5000, 0x5001);
	TEST_ASSERT(!madvise(p + 0x5000, PAGE_SIZE, MADV_DONTNEED), "madvise");
	expect_read(v, GPA + 0x5000, 0);
	for (uint64_t off = 0x6000; off < 2 * SZ_2M; off += 0x33000)
		expect_read(v, GPA + off, off + 1);
	TEST_ASSERT(!mprotect(p + 0x8000, PAGE_SIZE, PROT_NONE), "mprotect");
	expect_read(v, GPA + 0x7000, 0x7001);
	expect_read_fault(v, GPA + 0x8000);
}

/* A huge page of the host on a slot whose two addresses are out of step. */
TEST(huge_page_out_of_step)
{
	struct vcpu *v = probe_add(vm_create(), 0);
	char *p = mmap(NULL, 3 * SZ_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *hva = (char *)(((uintptr_t)p + SZ_2M - 1) & ~(SZ_2M - 1)) + PAGE_SIZE;

	madvise(p, 3 * SZ_2M, MADV_HUGEPAGE);
	for (uint64_t off = 0; off < SZ_2M; off += PAGE_SIZE)
		*(uint64_t *)(hva + off) = off;
	vm_add_mem_at(v->vm, SLOT, GPA, SZ_2M, 0, hva);
	for (uint64_t off = 0; off < SZ_2M; off += 0x11000)
		expect_read(v, GPA + off, off);
}

static uint64_t counter_done;

static void counts_up(void)
{
	volatile uint64_t *p = (void *)GPA;

	while (!READ_ONCE(counter_done))
		*p = *p + 1;
	GUEST_DONE();
}

static volatile long faults;

/* Runs on after EFAULT, which the test brings about. */
static void *runs_through_faults(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		if (vcpu_run(v)) {
			TEST_ASSERT(errno == EFAULT, "KVM_RUN");
			faults++;
			sched_yield();
			continue;
		}
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
		return NULL;
	}
}

static struct vcpu *start_counter(volatile uint64_t **p, pthread_t *t)
{
	struct vcpu *v = guest_of(counts_up);

	*p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, SIZE);
	vm_add_mem_at(v->vm, SLOT, GPA, SIZE, 0, (void *)*p);
	TEST_ASSERT(!pthread_create(t, NULL, runs_through_faults, v), "pthread_create");
	while (!**p)
		sched_yield();
	return v;
}

static void stop_counter(struct vcpu *v, pthread_t t)
{
	*vm_shared(v->vm, counter_done) = 1;
	pthread_join(t, NULL);
}

/* The write of a guest that still had the old page would be lost: it must count on from 0. */
TEST(discard_under_a_running_guest)
{
	volatile uint64_t *p;
	pthread_t t;
	struct vcpu *v = start_counter(&p, &t);

	for (int i = 0; i < 30; i++) {
		uint64_t a;

		TEST_ASSERT(!madvise((void *)p, SIZE, MADV_DONTNEED), "madvise");
		a = *p;
		for (int n = 0; *p == a; n++) {
			TEST_ASSERT(n < 1000000, "the guest counts somewhere else");
			sched_yield();
		}
	}
	stop_counter(v, t);
	TEST_ASSERT_EQ(faults, 0);
}

TEST(protect_under_a_running_guest)
{
	volatile uint64_t *p;
	pthread_t t;
	struct vcpu *v = start_counter(&p, &t);

	for (int i = 0; i < 30; i++) {
		uint64_t a;

		TEST_ASSERT(!mprotect((void *)p, SIZE, PROT_READ), "mprotect");
		a = *p;
		usleep(1000);
		TEST_ASSERT_EQ(*p, a);
		TEST_ASSERT(!mprotect((void *)p, SIZE, PROT_READ | PROT_WRITE), "mprotect");
		for (int n = 0; *p == a; n++) {
			TEST_ASSERT(n < 1000000, "the guest does not go on");
			sched_yield();
		}
	}
	stop_counter(v, t);
	TEST_ASSERT(faults > 0, "no KVM_RUN failed");
}

TEST(fork_under_a_running_guest)
{
	volatile uint64_t *p;
	pthread_t t;
	struct vcpu *v = start_counter(&p, &t);

	for (int i = 0; i < 10; i++) {
		uint64_t a;
		int pid = spawn();

		if (!pid) {
			a = *p;
			usleep(2000);
			TEST_ASSERT_EQ(*p, a);
			pass();
		}
		reap(pid);
		a = *p;
		for (int n = 0; *p == a; n++) {
			TEST_ASSERT(n < 1000000, "the guest counts somewhere else");
			sched_yield();
		}
	}
	stop_counter(v, t);
}

/* Missing pages of a userfaultfd range wait for its handler. */
TEST(userfaultfd)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { .len = PAGE_SIZE };
	uint64_t *page = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, PAGE_SIZE);
	struct pollfd wait = { .events = POLLIN };
	struct uffd_msg msg;
	volatile uint64_t *p;
	struct vcpu *v;
	pthread_t t;

	TEST_REQUIRE(fd >= 0, "no userfaultfd: %s", strerror(errno));
	ioctl_ok(fd, UFFDIO_API, &api);
	v = guest_of(counts_up);
	p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, SIZE);
	vm_add_mem_at(v->vm, SLOT, GPA, SIZE, 0, (void *)p);
	reg.range.start = (uintptr_t)p;
	reg.range.len = SIZE;
	ioctl_ok(fd, UFFDIO_REGISTER, &reg);
	TEST_ASSERT(!pthread_create(&t, NULL, runs_through_faults, v), "pthread_create");
	wait.fd = fd;
	TEST_ASSERT(poll(&wait, 1, 10000) == 1, "the guest's access did not reach the handler");
	TEST_ASSERT(read(fd, &msg, sizeof(msg)) == sizeof(msg), "read");
	TEST_ASSERT_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	TEST_ASSERT_EQ(msg.arg.pagefault.address & ~0xffful, (uintptr_t)p);
	*page = 1000000000000;
	copy.dst = (uintptr_t)p;
	copy.src = (uintptr_t)page;
	ioctl_ok(fd, UFFDIO_COPY, &copy);
	while (*p <= 1000000000000)
		sched_yield();
	stop_counter(v, t);
	TEST_ASSERT_EQ(faults, 0);
}
