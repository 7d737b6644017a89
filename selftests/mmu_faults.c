// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many second-level faults guest memory costs: huge pages where the host has them, neighbours
 * mapped with a small page, nothing twice. By the module's own counter, so on okvm alone.
 */

#include "selftest.h"

#define SLOT	1
#define GPA	0x40000000ul
#define SIZE	(16ul << 20)
#define PAGES	(SIZE / PAGE_SIZE)
#define SLACK	8		/* for the guest's own code, stack and tables */
#define GIB	(1ul << 30)

static uint64_t read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	uint64_t n = 0;

	TEST_REQUIRE(f, "cannot read %s", path);
	TEST_ASSERT(fscanf(f, "%lu", &n) == 1, "%s", path);
	fclose(f);
	return n;
}

static uint64_t faults(void)
{
	return read_number("/sys/kernel/debug/okvm/pf_fixed");
}

/* One read or write in each page, over and over, a GUEST_SYNC after each sweep. */
static uint64_t op_write, size = SIZE;

static void sweeps(void)
{
	for (;;) {
		for (uint64_t i = 0; i < size; i += PAGE_SIZE) {
			volatile uint64_t *p = (uint64_t *)(GPA + i);

			if (READ_ONCE(op_write))
				*p = i;
			else
				(void)*p;
		}
		GUEST_SYNC(1);
	}
}

static uint64_t sweep(struct vcpu *v, bool write)
{
	uint64_t before;

	*vm_shared(v->vm, op_write) = write;
	before = faults();
	vcpu_expect_sync(v, 1);
	return faults() - before;
}

static struct vcpu *setup(char **mem, int advice)
{
	struct vcpu *v;

	TEST_REQUIRE(kvm_is_okvm(), "the counter is okvm's");
	faults();
	v = guest_of(sweeps);
	/* The first sweep finds nothing there but MMIO, so the slot comes before it. */
	*mem = vm_add_mem(v->vm, SLOT, GPA, SIZE, 0);
	madvise(*mem, SIZE, advice);
	memset(*mem, 1, SIZE);
	return v;
}

static void set_log(struct vcpu *v, char *mem, bool on)
{
	TEST_ASSERT(!vm_set_slot(v->vm, SLOT, GPA, SIZE, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, mem),
		    "KVM_SET_USER_MEMORY_REGION");
}

#define expect_most(n, limit) do {						\
	uint64_t n_ = (n);							\
	TEST_ASSERT(n_ <= (limit), "%lu faults, more than " #limit, n_);	\
} while (0)

static void need_huge_pages(const char *mem)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	uint64_t start, end, kb;
	bool here = false;
	char line[256];

	TEST_ASSERT(f, "smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)mem && (uintptr_t)mem < end;
		else if (here && sscanf(line, "AnonHugePages: %lu kB", &kb) == 1)
			break;
	}
	fclose(f);
	TEST_REQUIRE(here && kb >= SIZE / 1024, "the host has no huge pages to give");
}

TEST(huge_pages_fault_once_each)
{
	char *mem;
	struct vcpu *v = setup(&mem, MADV_HUGEPAGE);

	TEST_REQUIRE(!shadow_paging(), "shadow tables have small pages only");
	need_huge_pages(mem);
	expect_most(sweep(v, true), SIZE / SZ_2M + SLACK);
	expect_most(sweep(v, true), 0);
	expect_most(sweep(v, false), 0);
}

TEST(neighbours_come_along)
{
	char *mem;
	struct vcpu *v = setup(&mem, MADV_NOHUGEPAGE);

	TEST_REQUIRE(!shadow_paging(), "shadow tables are filled one page a fault");
	TEST_REQUIRE(read_number("/sys/module/okvm/parameters/fault_around") == 16,
		     "fault_around is not at its default");
	expect_most(sweep(v, false), PAGES / 16 + SLACK);
	/* The host has them writable: so has the guest. */
	expect_most(sweep(v, true), 0);
}

TEST(absent_neighbours_do_not)
{
	char *mem;
	struct vcpu *v = setup(&mem, MADV_NOHUGEPAGE);
	unsigned char there[PAGES];
	uint64_t present = 0;

	TEST_ASSERT(!madvise(mem, SIZE, MADV_DONTNEED), "madvise");
	*vm_shared(v->vm, size) = PAGE_SIZE;
	sweep(v, true);
	TEST_ASSERT(!mincore(mem, SIZE, there), "mincore");
	for (uint64_t i = 0; i < PAGES; i++)
		present += there[i] & 1;
	TEST_ASSERT_EQ(present, 1);
}

TEST(huge_pages_after_a_log)
{
	char *mem;
	struct vcpu *v = setup(&mem, MADV_HUGEPAGE);
	uint64_t n;

	need_huge_pages(mem);
	sweep(v, true);
	set_log(v, mem, true);
	/* Reading needs no split; the first write of a page is a fault, the second is not. */
	expect_most(sweep(v, false), 0);
	n = sweep(v, true);
	if (okvm_has_pml())
		expect_most(n, SIZE / SZ_2M + SLACK);
	else
		TEST_ASSERT(n >= PAGES, "%lu faults for %lu pages", n, PAGES);
	expect_most(sweep(v, true), 0);
	set_log(v, mem, false);
	expect_most(sweep(v, true), SIZE / SZ_2M + SLACK);
	expect_most(sweep(v, true), 0);
}

static unsigned int take_log(struct vm *vm)
{
	uint64_t map[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = map };
	unsigned int n = 0;

	TEST_ASSERT(!ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
	for (unsigned int i = 0; i < PAGES / 64; i++)
		n += __builtin_popcountl(map[i]);
	return n;
}

static void logged_sweeps(int advice, uint64_t most_exits)
{
	uint64_t exits;
	char *mem;
	struct vcpu *v = setup(&mem, advice);

	TEST_REQUIRE(okvm_has_pml(), "the CPU does not log by itself, or pml is 0");
	sweep(v, true);
	set_log(v, mem, true);
	for (int round = 0; round < 3; round++) {
		exits = vcpu_stat(v, "exits");
		sweep(v, true);
		exits = vcpu_stat(v, "exits") - exits;
		TEST_ASSERT(exits <= most_exits, "round %d: %lu exits", round, exits);
		TEST_ASSERT_EQ(take_log(v->vm), PAGES);
		sweep(v, false);
		TEST_ASSERT_EQ(take_log(v->vm), 0);
	}
}

/* An exit for each 512 pages that are logged, and the host's own interrupts. */
#define MOST_EXITS	(PAGES / 512 + 64)

TEST(logged_without_exits)
{
	logged_sweeps(MADV_NOHUGEPAGE, MOST_EXITS);
}

TEST(logged_without_exits_once_split)
{
	logged_sweeps(MADV_HUGEPAGE, MOST_EXITS + SIZE / SZ_2M);
}

TEST(huge_page_of_1g)
{
	const int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT;
	struct vcpu *v;
	char *mem;

	TEST_REQUIRE(kvm_is_okvm(), "the counter is okvm's");
	mem = mmap(NULL, GIB, PROT_READ | PROT_WRITE, flags, -1, 0);
	TEST_REQUIRE(mem != MAP_FAILED, "no huge page of 1 GiB is set aside");
	memset(mem, 1, PAGE_SIZE);
	v = guest_of(sweeps);
	vm_add_mem_at(v->vm, SLOT, GPA, GIB, 0, mem);
	expect_most(sweep(v, true), 1 + SLACK);
	TEST_ASSERT_EQ(*(uint64_t *)(mem + SIZE - PAGE_SIZE), SIZE - PAGE_SIZE);
	/* A log splits it down to where the guest writes. */
	TEST_ASSERT(!vm_set_slot(v->vm, SLOT, GPA, GIB, KVM_MEM_LOG_DIRTY_PAGES, mem), "log");
	TEST_ASSERT(sweep(v, true) >= (okvm_has_pml() ? SIZE / SZ_2M : PAGES), "no splits");
	TEST_ASSERT(!vm_set_slot(v->vm, SLOT, GPA, GIB, 0, mem), "no log");
	expect_most(sweep(v, true), SIZE / SZ_2M + SLACK);
}

static uint64_t kernel_memory(void)
{
	static const char *const parts[] = { "Slab:", "PageTables:", "VmallocUsed:", "Percpu:" };
	uint64_t sum = 0, kb;
	char line[128], name[64];
	FILE *f = fopen("/proc/meminfo", "r");

	TEST_ASSERT(f, "meminfo");
	while (fgets(line, sizeof(line), f))
		for (int i = 0; i < 4; i++)
			if (sscanf(line, "%63s %lu", name, &kb) == 2 && !strcmp(name, parts[i]))
				sum += kb;
	fclose(f);
	return sum;
}

/* Half of what 40 bits of physical address can have; a bit a page would be 16 MiB. */
TEST(large_slots_cost_nothing)
{
	const uint64_t huge = 512 * GIB;
	struct vcpu *v = probe_add(vm_create(), 0);
	char *mem = mmap(NULL, huge, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before = kernel_memory(), after;

	TEST_REQUIRE(kvm_is_okvm(), "upstream has arrays for huge pages");
	TEST_ASSERT(mem != MAP_FAILED, "mmap");
	vm_map(v->vm, 0x7f0000000000ul, 256 * GIB, PAGE_SIZE, PTE_P | PTE_W);
	TEST_ASSERT(!vm_set_slot(v->vm, SLOT, 4 * GIB, huge, 0, mem), "a slot of 512 GiB");
	after = kernel_memory();
	TEST_ASSERT(after < before + 4096, "the slot costs %lu KiB", after - before);
	TEST_ASSERT_EQ(probe_write(v, 0x7f0000000000ul, 77), PROBE_RAM);
	TEST_ASSERT_EQ(*(uint64_t *)(mem + 252 * GIB), 77);
	TEST_ASSERT(!vm_set_slot(v->vm, SLOT, 0, 0, 0, mem), "its end");
}
