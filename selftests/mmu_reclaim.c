// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory is the host's to take: swapped out and back, limited by a cgroup, merged by KSM,
 * while guests use it. Looks at the host's own counters to see that it happened. Needs root, and
 * for swap either some of the host's own or zram.
 */

#include "selftest.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/swap.h>

#define SLOT	1
#define GPA	0x10000000ul
#define PAGES	2048ul
#define SIZE	(PAGES * PAGE_SIZE)

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define PM_PRESENT	(1ul << 63)
#define PM_SWAPPED	(1ul << 62)
#define PM_PFN		((1ul << 55) - 1)

static uint64_t get_number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = 0;
		close(fd);
	}
	return strtoul(text, NULL, 10);
}

static bool has_swap(void)
{
	FILE *f = fopen("/proc/swaps", "r");
	char line[256];
	bool found;

	if (!f)
		return false;
	found = fgets(line, sizeof(line), f) && fgets(line, sizeof(line), f);
	fclose(f);
	return found;
}

static char zram[32];

/* A swap area's first page: version and last page at 1024, the magic at its end. */
static bool make_swap(const char *device, uint64_t size)
{
	char page[PAGE_SIZE] = { 0 };
	uint32_t *info = (uint32_t *)(page + 1024);
	int fd = open(device, O_RDWR);
	bool ok;

	info[0] = 1;
	info[1] = size / PAGE_SIZE - 1;
	memcpy(page + PAGE_SIZE - 10, "SWAPSPACE2", 10);
	ok = fd >= 0 && write(fd, page, PAGE_SIZE) == PAGE_SIZE;
	if (fd >= 0)
		close(fd);
	return ok && !swapon(device, 0);
}

static void need_swap(void)
{
	char size[] = "67108864", path[64];

	TEST_REQUIRE(!geteuid(), "not root");
	if (has_swap())
		return;
	if (access("/sys/class/zram-control", F_OK) &&
	    system("modprobe zram num_devices=0 2>/dev/null"))
		test_skip("no swap, and no zram");
	snprintf(zram, sizeof(zram), "/dev/zram%lu", get_number("/sys/class/zram-control/hot_add"));
	snprintf(path, sizeof(path), "/sys/block/%s/disksize", zram + 5);
	TEST_REQUIRE(put_file(path, size) && make_swap(zram, strtoul(size, NULL, 10)),
		     "no swap, and %s cannot be made one", zram);
}

static void end_swap(void)
{
	if (zram[0])
		TEST_ASSERT(!swapoff(zram), "swapoff");
}

static void read_pagemap(const void *p, uint64_t n, uint64_t *entries)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	ssize_t size = n * 8;

	TEST_ASSERT(fd >= 0, "pagemap");
	TEST_ASSERT(pread(fd, entries, size, (uintptr_t)p / PAGE_SIZE * 8) == size, "pagemap");
	close(fd);
}

static uint64_t pagemap(const void *p)
{
	uint64_t entry;

	read_pagemap(p, 1, &entry);
	return entry;
}

static uint64_t count_swapped(const char *mem)
{
	uint64_t entries[PAGES], n = 0;

	read_pagemap(mem, PAGES, entries);
	for (uint64_t i = 0; i < PAGES; i++)
		n += !!(entries[i] & PM_SWAPPED);
	return n;
}

/* The kernel leaves pages alone that somebody just looks at: ask until the first one is out. */
static void page_out(char *mem)
{
	for (int i = 0; !(pagemap(mem) & PM_SWAPPED); i++) {
		TEST_ASSERT(i < 200, "page 0 is not swapped out");
		TEST_ASSERT(!madvise(mem, SIZE, MADV_PAGEOUT), "MADV_PAGEOUT");
		usleep(10000);
	}
}

TEST(swapped_out_and_back)
{
	struct vcpu *v;
	uint64_t value;
	char *mem;

	need_swap();
	v = probe_add(vm_create(), 0);
	mem = vm_add_mem(v->vm, SLOT, GPA, SIZE, 0);
	for (uint64_t i = 0; i < PAGES; i += 100)
		TEST_ASSERT_EQ(probe_write(v, GPA + i * PAGE_SIZE, i + 7), PROBE_RAM);
	page_out(mem);
	for (uint64_t i = 0; i < PAGES; i += 100) {
		TEST_ASSERT_EQ(probe_read(v, GPA + i * PAGE_SIZE, &value), PROBE_RAM);
		TEST_ASSERT_EQ(value, i + 7);
	}
	/* What the guest only read may go out again without being written; the value stays. */
	page_out(mem);
	TEST_ASSERT_EQ(probe_write(v, GPA + 8, 1), PROBE_RAM);
	page_out(mem);
	TEST_ASSERT_EQ(probe_read(v, GPA, &value), PROBE_RAM);
	TEST_ASSERT_EQ(value, 7);
	TEST_ASSERT_EQ(probe_read(v, GPA + 8, &value), PROBE_RAM);
	TEST_ASSERT_EQ(value, 1);
	vm_destroy(v->vm);
	end_swap();
}

static uint64_t stop, rounds;

/* Every page has the number of the round that wrote it last. */
static void sweeps(void)
{
	uint64_t round;

	for (round = 1; !READ_ONCE(stop); round++) {
		for (uint64_t i = 0; i < PAGES; i++) {
			volatile uint64_t *p = (uint64_t *)(GPA + i * PAGE_SIZE + i % 500 * 8);

			GUEST_ASSERT_EQ(*p, round == 1 ? 0 : (round - 1) * PAGES + i);
			*p = round * PAGES + i;
		}
		WRITE_ONCE(rounds, round);
	}
	GUEST_DONE();
}

static void stop_after(struct vcpu *v, uint64_t n)
{
	while (READ_ONCE(*vm_shared(v->vm, rounds)) < n)
		usleep(1000);
	*vm_shared(v->vm, stop) = 1;
	vcpu_join(v);
}

TEST_TIMEOUT(swapped_under_a_running_guest, 90)
{
	struct vcpu *v;
	uint64_t most = 0, n;
	char *mem;

	need_swap();
	v = guest_of(sweeps);
	mem = vm_add_mem(v->vm, SLOT, GPA, SIZE, 0);
	vcpu_start(v);
	while (!most || READ_ONCE(*vm_shared(v->vm, rounds)) < 3) {
		TEST_ASSERT(!madvise(mem, SIZE, MADV_PAGEOUT), "MADV_PAGEOUT");
		n = count_swapped(mem);
		most = n > most ? n : most;
		usleep(5000);
	}
	stop_after(v, 4);
	vm_destroy(v->vm);
	end_swap();
}

#define CGROUP	"/sys/fs/cgroup/okvm-selftest"

/* The VM in a process whose cgroup may have less memory than the guest uses. */
static void limited_vm(void)
{
	struct vcpu *v;
	char *mem;

	TEST_ASSERT(put_file(CGROUP "/cgroup.procs", "0"), "join the cgroup");
	v = guest_of(sweeps);
	mem = vm_add_mem(v->vm, SLOT, GPA, SIZE, 0);
	madvise(mem, SIZE, MADV_NOHUGEPAGE);
	vcpu_start(v);
	stop_after(v, 2);
	TEST_ASSERT(count_swapped(mem) > PAGES / 8, "%lu pages are swapped out", count_swapped(mem));
	pass();
}

TEST_TIMEOUT(under_a_cgroup_limit, 90)
{
	int pid;

	need_swap();
	put_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	rmdir(CGROUP);
	TEST_REQUIRE(!mkdir(CGROUP, 0755), "cannot make a cgroup at " CGROUP);
	if (!put_file(CGROUP "/memory.max", "7000000")) {
		rmdir(CGROUP);
		test_skip("no memory controller in cgroup v2");
	}
	/* All that the process has is anonymous, so whatever is over the limit must be swapped. */
	pid = spawn();
	if (!pid)
		limited_vm();
	reap(pid);
	TEST_ASSERT(!rmdir(CGROUP), "rmdir " CGROUP);
	end_swap();
}

#define KSM	"/sys/kernel/mm/ksm/"

static bool same_frame(const char *a, const char *b)
{
	uint64_t x = pagemap(a), y = pagemap(b);

	return (x & y & PM_PRESENT) && (x & PM_PFN) == (y & PM_PFN);
}

static void end_ksm(void)
{
	put_file(KSM "run", "2");
	put_file(KSM "run", "0");
}

TEST_TIMEOUT(merged_and_unshared, 60)
{
	struct vcpu *v[2];
	char *mem[2];
	uint64_t value;

	TEST_REQUIRE(!geteuid(), "not root");
	TEST_REQUIRE(!access(KSM "run", W_OK), "no KSM");
	TEST_REQUIRE(!get_number(KSM "run"), "KSM is in use");
	for (int i = 0; i < 2; i++) {
		v[i] = probe_add(vm_create(), 0);
		mem[i] = vm_add_mem(v[i]->vm, SLOT, GPA, 4 * PAGE_SIZE, 0);
		memset(mem[i], 0x5a, 4 * PAGE_SIZE);
		TEST_ASSERT_EQ(probe_write(v[i], GPA, 0x1234), PROBE_RAM);
		TEST_ASSERT(!madvise(mem[i], 4 * PAGE_SIZE, MADV_MERGEABLE), "MADV_MERGEABLE");
	}
	put_file(KSM "sleep_millisecs", "5");
	put_file(KSM "pages_to_scan", "1000");
	put_file(KSM "run", "1");
	for (int n = 0; !same_frame(mem[0], mem[1]); n++) {
		if (n == 2000)
			end_ksm();
		TEST_ASSERT(n < 2000, "KSM does not merge the pages");
		usleep(10000);
	}
	/* Stop merging, and leave what is merged. */
	put_file(KSM "run", "0");
	for (int i = 0; i < 2; i++) {
		TEST_ASSERT_EQ(probe_read(v[i], GPA, &value), PROBE_RAM);
		TEST_ASSERT_EQ(value, 0x1234);
	}
	TEST_ASSERT(same_frame(mem[0], mem[1]), "reading unshared the page");
	TEST_ASSERT_EQ(probe_write(v[0], GPA, 0x4321), PROBE_RAM);
	TEST_ASSERT(!same_frame(mem[0], mem[1]), "the guests still share the page");
	TEST_ASSERT_EQ(probe_read(v[1], GPA, &value), PROBE_RAM);
	TEST_ASSERT_EQ(value, 0x1234);
	TEST_ASSERT_EQ(probe_read(v[0], GPA, &value), PROBE_RAM);
	TEST_ASSERT_EQ(value, 0x4321);
	end_ksm();
}
