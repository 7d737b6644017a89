// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty logs beyond the plain one: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, huge pages that a log splits
 * and gets back, and copies of memory that several vCPUs write without a pause.
 */

#include "selftest.h"

#define SLOT	1
#define GPA	0x10000000ul
#define PAGES	2100ul			/* four huge pages and a bit; no whole number of words */
#define WORDS	((PAGES + 63) / 64)
#define SIZE	(PAGES * PAGE_SIZE)
#define WRITERS	3

#define MANUAL	KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
#define ALL_SET	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

static int get_log(struct vm *vm, void *bitmap)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

static int clear_log(struct vm *vm, uint32_t slot, uint64_t first, uint32_t n, void *bitmap)
{
	struct kvm_clear_dirty_log log = {
		.slot = slot, .first_page = first, .num_pages = n, .dirty_bitmap = bitmap
	};

	return ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static int enable_manual(struct vm *vm, uint64_t options, uint32_t flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .flags = flags, .args = { options }
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void set_flags(struct vm *vm, uint32_t flags)
{
	TEST_ASSERT(!vm_set_slot(vm, SLOT, GPA, SIZE, flags, vm_hva(vm, GPA)),
		    "KVM_SET_USER_MEMORY_REGION");
}

/* A VM with manual protection, if @options is not 0, and a log from the start. */
static struct vcpu *setup(uint64_t options)
{
	struct vcpu *v = probe_add(vm_create(), 0);
	char *hva = vm_add_mem(v->vm, SLOT, GPA, SIZE, 0);

	madvise(hva, SIZE, MADV_HUGEPAGE);
	memset(hva, 1, SIZE);
	if (options) {
		require_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
		TEST_ASSERT(!enable_manual(v->vm, options, 0), "KVM_ENABLE_CAP");
	}
	set_flags(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
	return v;
}

static void write_page(struct vcpu *v, uint64_t n)
{
	TEST_ASSERT_EQ(probe_write(v, GPA + n * PAGE_SIZE + 8, n), PROBE_RAM);
}

static bool test_bit(const uint64_t *map, uint64_t n)
{
	return map[n / 64] >> n % 64 & 1;
}

static void set_bit(uint64_t *map, uint64_t n)
{
	map[n / 64] |= 1ul << n % 64;
}

static void expect_map(struct vm *vm, const uint64_t *want)
{
	uint64_t map[WORDS];

	memset(map, 0xff, sizeof(map));
	TEST_ASSERT(!get_log(vm, map), "KVM_GET_DIRTY_LOG");
	for (uint64_t i = 0; i < PAGES; i++)
		TEST_ASSERT(test_bit(map, i) == test_bit(want, i), "page %lu is %s", i,
			    test_bit(map, i) ? "dirty" : "clean");
}

#define expect_dirty(vm, ...) do {						\
	const uint64_t pages_[] = { __VA_ARGS__ };				\
	uint64_t want_[WORDS] = { 0 };						\
	for (unsigned int i_ = 0; i_ < sizeof(pages_) / 8; i_++)		\
		set_bit(want_, pages_[i_]);					\
	expect_map(vm, want_);							\
} while (0)

static void expect_clean(struct vm *vm)
{
	const uint64_t none[WORDS] = { 0 };

	expect_map(vm, none);
}

TEST(bad_options)
{
	struct vm *vm = vm_create_empty();

	require_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	for (int bit = 2; bit < 64; bit++)
		TEST_ASSERT(enable_manual(vm, 1ul << bit | MANUAL, 0) == -1 && errno == EINVAL,
			    "bit %d was taken", bit);
	TEST_ASSERT(enable_manual(vm, KVM_DIRTY_LOG_INITIALLY_SET, 0) == -1 && errno == EINVAL,
		    "all set without manual protection was taken");
	TEST_ASSERT(enable_manual(vm, MANUAL, 1) == -1 && errno == EINVAL, "flags were taken");
	TEST_ASSERT(!enable_manual(vm, ALL_SET, 0), "all options");
	TEST_ASSERT(!enable_manual(vm, 0, 0), "off again");
}

TEST(get_does_not_clear)
{
	struct vcpu *v = setup(MANUAL);

	expect_clean(v->vm);
	write_page(v, 3);
	write_page(v, 2050);
	expect_dirty(v->vm, 3, 2050);
	expect_dirty(v->vm, 3, 2050);
	write_page(v, 3);
	expect_dirty(v->vm, 3, 2050);
}

TEST(clear_takes_what_is_named)
{
	struct vcpu *v = setup(MANUAL);
	uint64_t map[WORDS] = { 0 };

	write_page(v, 64);
	write_page(v, 65);
	write_page(v, 500);
	write_page(v, PAGES - 1);
	map[0] = 1ul << 1;			/* page 65; page 66 is clean already */
	map[0] |= 1ul << 2;
	TEST_ASSERT(!clear_log(v->vm, SLOT, 64, 64, map), "KVM_CLEAR_DIRTY_LOG");
	expect_dirty(v->vm, 64, 500, PAGES - 1);
	/* What is left keeps its bit when it is written; what was cleared is seen again. */
	write_page(v, 64);
	expect_dirty(v->vm, 64, 500, PAGES - 1);
	write_page(v, 65);
	expect_dirty(v->vm, 64, 65, 500, PAGES - 1);
	memset(map, 0xff, sizeof(map));
	TEST_ASSERT(!clear_log(v->vm, SLOT, 2048, PAGES - 2048, map), "the slot's last word");
	expect_dirty(v->vm, 64, 65, 500);
	TEST_ASSERT(!clear_log(v->vm, SLOT, 0, PAGES, map), "the whole slot");
	expect_clean(v->vm);
	write_page(v, PAGES - 1);
	expect_dirty(v->vm, PAGES - 1);
}

TEST(clear_bad_input)
{
	struct vcpu *v = setup(MANUAL);
	uint64_t map[WORDS];

	write_page(v, 70);
	memset(map, 0xff, sizeof(map));
#define clear_fails(want, ...) \
	TEST_ASSERT(clear_log(v->vm, __VA_ARGS__) == -1 && errno == (want), "(" #__VA_ARGS__ ")")
	clear_fails(EINVAL, SLOT, 1, 64, map);
	clear_fails(EINVAL, SLOT, 63, 64, map);
	clear_fails(EINVAL, SLOT, 64, 63, map);
	clear_fails(EINVAL, SLOT, 0, PAGES - 1, map);
	clear_fails(EINVAL, SLOT, 0, PAGES + 1, map);
	clear_fails(EINVAL, SLOT, 64, PAGES, map);
	clear_fails(EINVAL, SLOT, (PAGES + 63) & ~63ul, 64, map);
	clear_fails(EINVAL, SLOT, ~63ul, 64, map);
	clear_fails(EINVAL, 0xffff, 0, 64, map);
	clear_fails(EINVAL, SLOT | 0x70000, 0, 64, map);
	clear_fails(ENOENT, 0, 0, 64, map);
	clear_fails(ENOENT, SLOT + 1, 0, 64, map);
	clear_fails(EFAULT, SLOT, 0, 64, NULL);
#undef clear_fails
	expect_dirty(v->vm, 70);
}

TEST(all_set_at_first)
{
	struct vcpu *v = setup(ALL_SET);
	uint64_t map[WORDS];

	memset(map, 0xff, sizeof(map));
	expect_map(v->vm, map);
	write_page(v, 5);
	expect_map(v->vm, map);
	/* One page of a huge page that is still writable: it alone is watched from now on. */
	write_page(v, 600);
	write_page(v, 601);
	memset(map, 0, sizeof(map));
	set_bit(map, 600 - 576);
	TEST_ASSERT(!clear_log(v->vm, SLOT, 576, 64, map), "KVM_CLEAR_DIRTY_LOG");
	memset(map, 0xff, sizeof(map));
	map[9] &= ~(1ul << (600 - 576));
	expect_map(v->vm, map);
	write_page(v, 600);
	set_bit(map, 600);
	expect_map(v->vm, map);
	TEST_ASSERT(!clear_log(v->vm, SLOT, 0, PAGES, map), "KVM_CLEAR_DIRTY_LOG");
	expect_clean(v->vm);
	write_page(v, 600);
	write_page(v, 900);
	expect_dirty(v->vm, 600, 900);
}

/* What cannot be given to user space must not be lost: KVM promises less. */
TEST(bad_pointer_loses_nothing)
{
	struct vcpu *v = setup(0);

	TEST_REQUIRE(kvm_is_okvm(), "upstream loses the bits");
	write_page(v, 9);
	TEST_ASSERT(get_log(v->vm, NULL) == -1 && errno == EFAULT, "KVM_GET_DIRTY_LOG");
	expect_dirty(v->vm, 9);
}

/* Mapped as huge pages before, during and after a log: every bit is of 4 KiB. */
TEST(huge_pages)
{
	struct vcpu *v = setup(0);

	expect_clean(v->vm);
	for (int round = 0; round < 3; round++) {
		set_flags(v->vm, 0);
		for (uint64_t i = 0; i < PAGES; i += 64)
			write_page(v, i);
		set_flags(v->vm, KVM_MEM_LOG_DIRTY_PAGES);
		expect_clean(v->vm);
		write_page(v, 513);
		write_page(v, 1023);
		write_page(v, 1024);
		expect_dirty(v->vm, 513, 1023, 1024);
		write_page(v, 514);
		write_page(v, 513);
		expect_dirty(v->vm, 513, 514);
		expect_clean(v->vm);
	}
}

/* A page that only the host's entry makes writable again is still logged. */
TEST(log_across_fork)
{
	struct vcpu *v = setup(0);
	int pid;

	write_page(v, 7);
	expect_dirty(v->vm, 7);
	pid = spawn();
	if (!pid)
		pass();
	reap(pid);
	write_page(v, 7);
	write_page(v, 520);
	expect_dirty(v->vm, 7, 520);
}

static uint64_t stop_writing;

/* Each writes pages here and there, from its own sequence. */
static void writes(uint64_t id)
{
	uint64_t x = id * 0x9e3779b97f4a7c15ul + 1, n = 0;

	while (!READ_ONCE(stop_writing)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		*(volatile uint64_t *)(GPA + x % PAGES * PAGE_SIZE + 8 * (id + 1)) = ++n;
	}
	GUEST_DONE();
}

/* Take the log; in manual mode by reading and clearing. */
static void take_log(struct vm *vm, uint64_t options, uint64_t *map)
{
	TEST_ASSERT(!get_log(vm, map), "KVM_GET_DIRTY_LOG");
	if (options)
		TEST_ASSERT(!clear_log(vm, SLOT, 0, PAGES, map), "KVM_CLEAR_DIRTY_LOG");
}

static void copy_dirty(char *copy, const char *mem, const uint64_t *map)
{
	for (uint64_t i = 0; i < PAGES; i++)
		if (test_bit(map, i))
			memcpy(copy + i * PAGE_SIZE, mem + i * PAGE_SIZE, PAGE_SIZE);
}

static void expect_same(const char *copy, const char *mem)
{
	for (uint64_t i = 0; i < PAGES; i++)
		TEST_ASSERT(!memcmp(copy + i * PAGE_SIZE, mem + i * PAGE_SIZE, PAGE_SIZE),
			    "page %lu was written and not logged", i);
}

/*
 * Live migration in small: after a last round, with the vCPUs stopped, the copy is the memory.
 * The host gets its pages back as huge pages between two migrations.
 */
static void migrate(uint64_t options)
{
	struct vm *vm = setup(options)->vm;
	char *mem = vm_hva(vm, GPA), *copy = malloc(SIZE);
	struct vcpu *w[WRITERS];
	uint64_t map[WORDS];

	for (int i = 0; i < WRITERS; i++) {
		w[i] = vcpu_add_raw(vm, i + 1);
		vcpu_set_cpuid(w[i]);
		vcpu_enter64(w[i], writes, i);
		vcpu_start(w[i]);
	}
	for (int round = 0; round < 60; round++) {
		if (round % 20 == 0) {
			set_flags(vm, 0);
			set_flags(vm, KVM_MEM_LOG_DIRTY_PAGES);
			memcpy(copy, mem, SIZE);
		}
		take_log(vm, options, map);
		copy_dirty(copy, mem, map);
	}
	*vm_shared(vm, stop_writing) = 1;
	for (int i = 0; i < WRITERS; i++)
		vcpu_join(w[i]);
	take_log(vm, options, map);
	copy_dirty(copy, mem, map);
	expect_same(copy, mem);
}

TEST_TIMEOUT(migration, 60)
{
	migrate(0);
}

TEST_TIMEOUT(migration_with_clear, 60)
{
	migrate(MANUAL);
}

TEST_TIMEOUT(migration_from_all_set, 60)
{
	migrate(ALL_SET);
}
