// SPDX-License-Identifier: GPL-2.0-only
/* Second-level faults, dirty logging, and what becomes of a gigabyte of mappings. */

#include <sys/syscall.h>

#include "bench.h"

#define SLOT		1
#define SLOT_GPA	SZ_1G
#define PAGES		4096u
#define HUGE_PAGES	32u
#define ALIAS		(4ul << 20)	/* the host memory that a gigabyte of guest memory shares */

static uint64_t first, step, steps;

/* Write @steps bytes, @step apart; the host sees what one of them cost on average. */
static void touch_guest(void)
{
	for (;;) {
		uint64_t t = rdtsc();

		for (uint64_t i = 0; i < READ_ONCE(steps); i++)
			*(volatile uint8_t *)(READ_ONCE(first) + i * READ_ONCE(step)) = 1;
		GUEST_SYNC_VAL(1, rdtsc() - t);
	}
}

static struct vcpu *touch_vcpu(void)
{
	struct vcpu *v = guest_of(touch_guest);

	/* The loop itself has been run when it is measured. */
	bench_run(v, NULL);
	return v;
}

static uint64_t touch(struct vcpu *v, uint64_t by, uint64_t n)
{
	*vm_shared(v->vm, first) = SLOT_GPA;
	*vm_shared(v->vm, step) = by;
	*vm_shared(v->vm, steps) = n;
	return bench_run(v, NULL) / n;
}

static void *add_slot(struct vm *vm, uint64_t size, int advice, uint32_t flags)
{
	void *hva = vm_add_mem(vm, SLOT, SLOT_GPA, size, flags);

	TEST_ASSERT(!madvise(hva, size, advice), "madvise");
	memset(hva, 1, size);
	return hva;
}

TEST(fault_4k)
{
	struct vcpu *v = touch_vcpu();

	add_slot(v->vm, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE, 0);
	bench_report("fault_4k", touch(v, PAGE_SIZE, PAGES));
}

TEST(fault_2m)
{
	struct vcpu *v = touch_vcpu();

	add_slot(v->vm, HUGE_PAGES * SZ_2M, MADV_HUGEPAGE, 0);
	bench_report("fault_2m", touch(v, SZ_2M, HUGE_PAGES));
}

/* ---- dirty logging ---- */

static uint64_t bitmap[PAGES / 64];

static unsigned int get_log(struct vm *vm)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	unsigned int dirty = 0;

	ioctl_ok(vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (unsigned int i = 0; i < PAGES / 64; i++)
		dirty += __builtin_popcountl(bitmap[i]);
	return dirty;
}

static uint64_t time_log(struct vm *vm, unsigned int dirty)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	uint64_t t = rdtsc();
	int r = ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);

	t = rdtsc() - t;
	TEST_ASSERT(!r, "KVM_GET_DIRTY_LOG");
	touch(vm->vcpus[0], PAGE_SIZE * PAGES / dirty, dirty);
	TEST_ASSERT_EQ(get_log(vm), dirty);
	return t;
}

/* The first write to each page of a clean slot; then the log of all of them, and of each 64th. */
TEST(dirty_log)
{
	struct vcpu *v = touch_vcpu();
	struct vm *vm = v->vm;

	add_slot(vm, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE, KVM_MEM_LOG_DIRTY_PAGES);
	memset(bitmap, 0, sizeof(bitmap));
	touch(v, PAGE_SIZE, PAGES);
	get_log(vm);
	bench_report("dirty_write", touch(v, PAGE_SIZE, PAGES));
	bench_report("dirty_log_dense", time_log(vm, PAGES));
	touch(v, PAGE_SIZE * 64, PAGES / 64);
	bench_report("dirty_log_sparse", time_log(vm, PAGES / 64));
}

/* ---- a gigabyte in pages of 4 KiB ---- */

/* The same few megabytes again and again, mapped into this process beforehand. */
static void *alias_memory(uint64_t size)
{
	int fd = syscall(SYS_memfd_create, "bench", 0), prot = PROT_READ | PROT_WRITE;
	char *hva = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	TEST_ASSERT(fd >= 0 && hva != MAP_FAILED && !ftruncate(fd, ALIAS), "memfd");
	for (uint64_t off = 0; off < size; off += ALIAS)
		TEST_ASSERT(mmap(hva + off, ALIAS, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
				 0) != MAP_FAILED, "mmap");
	return hva;
}

TEST_TIMEOUT(gigabyte, 120)
{
	struct vcpu *v = touch_vcpu();
	uint64_t before, t;
	int r;

	vm_add_mem_at(v->vm, SLOT, SLOT_GPA, SZ_1G, 0, alias_memory(SZ_1G));
	before = bench_free_bytes();
	/* A page of each table first. */
	bench_report("fault_4k_sparse", touch(v, SZ_2M, SZ_1G / SZ_2M));
	touch(v, PAGE_SIZE, SZ_1G / PAGE_SIZE);
	bench_report("tables_1g", before - bench_free_bytes());
	t = rdtsc();
	r = vm_set_slot(v->vm, SLOT, SLOT_GPA, 0, 0, NULL);
	t = rdtsc() - t;
	TEST_ASSERT(!r, "the slot goes");
	bench_report("zap_1g", t);
}
