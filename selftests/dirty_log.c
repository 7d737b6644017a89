// SPDX-License-Identifier: GPL-2.0-only
/* KVM_MEM_LOG_DIRTY_PAGES and KVM_GET_DIRTY_LOG. */

#include "selftest.h"

#define SLOT	1
#define GPA	0x10000000ul
#define PAGES	600ul			/* more than one 2 MiB page, and no whole number of words */
#define WORDS	((PAGES + 63) / 64)

static int get_log(struct vm *vm, uint32_t slot, void *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

static struct vcpu *setup(uint32_t flags)
{
	struct vcpu *v = probe_add(vm_create(), 0);
	uint64_t bitmap[WORDS];
	char *hva;

	hva = vm_add_mem(v->vm, SLOT, GPA, PAGES * PAGE_SIZE, flags);
	memset(hva, 1, PAGES * PAGE_SIZE);
	if (get_log(v->vm, SLOT, bitmap) && errno == ENOTTY)
		test_skip("no KVM_GET_DIRTY_LOG");
	return v;
}

static void set_flags(struct vm *vm, uint32_t flags)
{
	TEST_ASSERT(!vm_set_slot(vm, SLOT, GPA, PAGES * PAGE_SIZE, flags, vm_hva(vm, GPA)),
		    "KVM_SET_USER_MEMORY_REGION");
}

static bool test_bit(const uint64_t *map, uint64_t n)
{
	return map[n / 64] >> n % 64 & 1;
}

static void write_page(struct vcpu *v, uint64_t n)
{
	TEST_ASSERT_EQ(probe_write(v, GPA + n * PAGE_SIZE + 8, n), PROBE_RAM);
}

/* The bits of @n pages listed, and no other. */
static void expect_dirty(struct vm *vm, const uint64_t *pages, int n)
{
	uint64_t map[WORDS], want[WORDS] = { 0 };

	memset(map, 0xff, sizeof(map));
	TEST_ASSERT(!get_log(vm, SLOT, map), "KVM_GET_DIRTY_LOG");
	for (int i = 0; i < n; i++)
		want[pages[i] / 64] |= 1ul << pages[i] % 64;
	for (uint64_t i = 0; i < PAGES; i++)
		TEST_ASSERT(test_bit(map, i) == test_bit(want, i), "page %lu is %s", i,
			    test_bit(map, i) ? "dirty" : "clean");
}

TEST(written_pages_are_dirty_once)
{
	static const uint64_t pages[] = { 0, 1, 63, 64, 300, 511, 512, PAGES - 1 };
	struct vcpu *v = setup(KVM_MEM_LOG_DIRTY_PAGES);

	expect_dirty(v->vm, NULL, 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			write_page(v, pages[i]);
		expect_dirty(v->vm, pages, 8);
		expect_dirty(v->vm, NULL, 0);
	}
}

static void read_pages(struct vcpu *v)
{
	uint64_t value;

	for (uint64_t i = 0; i < PAGES; i += 50)
		TEST_ASSERT_EQ(probe_read(v, GPA + i * PAGE_SIZE, &value), PROBE_RAM);
}

/* The first read may map a page as if for writing, and count. */
TEST(reads_are_clean)
{
	struct vcpu *v = setup(KVM_MEM_LOG_DIRTY_PAGES);
	uint64_t map[WORDS];

	read_pages(v);
	TEST_ASSERT(!get_log(v->vm, SLOT, map), "KVM_GET_DIRTY_LOG");
	read_pages(v);
	expect_dirty(v->vm, NULL, 0);
}

/* Pages mapped writable before the log was switched on. */
TEST(switched_on_later)
{
	static const uint64_t pages[] = { 5, 400 };
	struct vcpu *v = setup(0);

	for (uint64_t i = 0; i < PAGES; i += 20)
		write_page(v, i);
	set_flags(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	expect_dirty(v->vm, NULL, 0);
	write_page(v, 5);
	write_page(v, 400);
	expect_dirty(v->vm, pages, 2);
}

TEST(switched_off_and_on)
{
	static const uint64_t pages[] = { 9 };
	struct vcpu *v = setup(KVM_MEM_LOG_DIRTY_PAGES);
	uint64_t map[WORDS];

	write_page(v, 8);
	set_flags(v->vm, 0);
	TEST_ASSERT(get_log(v->vm, SLOT, map) == -1 && errno == ENOENT, "the log is off");
	write_page(v, 7);
	set_flags(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	expect_dirty(v->vm, NULL, 0);
	write_page(v, 9);
	expect_dirty(v->vm, pages, 1);
}

TEST(bad_input)
{
	struct vcpu *v = setup(KVM_MEM_LOG_DIRTY_PAGES);
	static const uint64_t pages[] = { 3 };
	uint64_t map[WORDS];

	write_page(v, 3);
	TEST_ASSERT(get_log(v->vm, 2, map) == -1 && errno == ENOENT, "no such slot");
	TEST_ASSERT(get_log(v->vm, 0, map) == -1 && errno == ENOENT, "a slot without a log");
	TEST_ASSERT(get_log(v->vm, 0xffff, map) == -1 && errno == EINVAL, "slot 0xffff");
	TEST_ASSERT(get_log(v->vm, 9 << 16, map) == -1 && errno == EINVAL, "address space 9");
	ioctl_fails(v->vm->fd, KVM_GET_DIRTY_LOG, NULL, EFAULT);
	expect_dirty(v->vm, pages, 1);
	TEST_ASSERT(get_log(v->vm, SLOT, NULL) == -1 && errno == EFAULT, "bitmap at 0");
}

/* What the kernel writes for the guest is dirty too: a string read from a port. */
static void reads_string(void)
{
	uint64_t di = GPA + 2 * PAGE_SIZE - 2, cx = 4;

	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(0x1f0) : "memory");
	GUEST_DONE();
}

TEST(emulated_writes_are_dirty)
{
	static const uint64_t pages[] = { 1, 2 };
	struct vcpu *p = setup(KVM_MEM_LOG_DIRTY_PAGES), *v = vcpu_add(p->vm, 1, reads_string);

	while (vcpu_next(v) == UCALL_NONE) {
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
		memset(pio_data(v), 0x33, v->run->io.count);
	}
	expect_dirty(p->vm, pages, 2);
}

static uint64_t rounds;

/* Writes the round's number into each page; the host must never see one missed. */
static void writes_all(void)
{
	for (uint64_t r = 1; r <= 6; r++) {
		for (uint64_t i = 0; i < PAGES; i++)
			*(volatile uint64_t *)(GPA + i * PAGE_SIZE) = r;
		WRITE_ONCE(rounds, r);
	}
	GUEST_DONE();
}

/*
 * As migration does: copy what is dirty while the guest goes on; when it has
 * ended and the rest is copied, the copy is the memory.
 */
TEST(copy_while_running)
{
	struct vcpu *p = setup(KVM_MEM_LOG_DIRTY_PAGES), *v = vcpu_add(p->vm, 1, writes_all);
	char *mem = vm_hva(p->vm, GPA), *copy = malloc(PAGES * PAGE_SIZE);
	uint64_t map[WORDS];
	bool last = false;

	memcpy(copy, mem, PAGES * PAGE_SIZE);
	vcpu_start(v);
	for (;;) {
		TEST_ASSERT(!get_log(p->vm, SLOT, map), "KVM_GET_DIRTY_LOG");
		for (uint64_t i = 0; i < PAGES; i++)
			if (test_bit(map, i))
				memcpy(copy + i * PAGE_SIZE, mem + i * PAGE_SIZE, PAGE_SIZE);
		if (last)
			break;
		if (READ_ONCE(*vm_shared(p->vm, rounds)) == 6) {
			vcpu_join(v);
			last = true;
		}
	}
	for (uint64_t i = 0; i < PAGES; i++)
		TEST_ASSERT(!memcmp(copy + i * PAGE_SIZE, mem + i * PAGE_SIZE, PAGE_SIZE),
			    "page %lu was written and not logged", i);
}

static uint64_t written;

/* One page after the other, and not too fast: some are logged between two of the host's ticks. */
static void writes_and_says_so(void)
{
	for (uint64_t i = 0;; i++) {
		*(volatile uint64_t *)(GPA + i % PAGES * PAGE_SIZE) = i;
		WRITE_ONCE(written, i + 1);
		for (int j = 0; i >= PAGES && j < 3000; j++)
			cpu_relax();
	}
}

static uint64_t writes_so_far(struct vm *vm)
{
	return READ_ONCE(*vm_shared(vm, written));
}

static void wait_for_writes(struct vm *vm, uint64_t n)
{
	while (writes_so_far(vm) < n)
		usleep(100);
}

/* Page numbers of writes @from to @to are in the log. */
static void expect_logged(const uint64_t *map, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		TEST_ASSERT(test_bit(map, i % PAGES), "page %lu is clean, after %lu writes",
			    i % PAGES, to);
}

/*
 * The log has what the guest was seen to have written before it was taken. All pages are mapped by
 * then, and were taken from the log once.
 */
TEST(what_is_seen_is_logged)
{
	struct vcpu *p = setup(KVM_MEM_LOG_DIRTY_PAGES), *v;
	uint64_t map[WORDS], all[WORDS] = { 0 }, first, n;

	TEST_REQUIRE(kvm_is_okvm() || !host_has_vmx(), "kvm does not wait for what the CPU logs");
	v = vcpu_add(p->vm, 1, writes_and_says_so);
	vcpu_start(v);
	wait_for_writes(p->vm, PAGES + 1);
	TEST_ASSERT(!get_log(p->vm, SLOT, map), "KVM_GET_DIRTY_LOG");
	/* One write may be done and not yet counted. */
	first = writes_so_far(p->vm) + 1;
	do {
		n = writes_so_far(p->vm);
		TEST_ASSERT(!get_log(p->vm, SLOT, map), "KVM_GET_DIRTY_LOG");
		for (uint64_t i = 0; i < WORDS; i++)
			all[i] |= map[i];
		expect_logged(all, first, n);
	} while (n < first + 200);
	vcpu_stop(v);
}

static void *runs_into_nothing(void *v)
{
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	return NULL;
}

/* A slot takes its log along, with what was written up to the moment at which it went. */
TEST(moved_while_written)
{
	struct vcpu *p = setup(KVM_MEM_LOG_DIRTY_PAGES), *v;
	char *mem = vm_hva(p->vm, GPA);
	uint64_t map[WORDS], first;
	pthread_t thread;

	v = vcpu_add(p->vm, 1, writes_and_says_so);
	TEST_ASSERT(!pthread_create(&thread, NULL, runs_into_nothing, v), "pthread_create");
	wait_for_writes(p->vm, PAGES + 1);
	TEST_ASSERT(!get_log(p->vm, SLOT, map), "KVM_GET_DIRTY_LOG");
	first = writes_so_far(p->vm) + 1;
	wait_for_writes(p->vm, first + 50);
	TEST_ASSERT(!vm_set_slot(p->vm, SLOT, GPA + SZ_1G, PAGES * PAGE_SIZE,
				 KVM_MEM_LOG_DIRTY_PAGES, mem), "the slot does not move");
	TEST_ASSERT(!pthread_join(thread, NULL), "pthread_join");
	TEST_ASSERT(!get_log(p->vm, SLOT, map), "KVM_GET_DIRTY_LOG");
	expect_logged(map, first, writes_so_far(p->vm));
}
