// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_USER_MEMORY_REGION: slots made, changed, moved and deleted, and what is refused. */

#include "selftest.h"

#define SLOT		1
#define GPA		0x10000000ul
#define OTHER_GPA	0x20000000ul
#define SIZE		(4 * PAGE_SIZE)
#define MARK		0x1122334455667788ul

/* A VM with a probe and SLOT at GPA, whose first word is MARK. */
static struct vcpu *setup(uint64_t **hva, uint32_t flags)
{
	struct vcpu *v = probe_add(vm_create(), 0);

	*hva = vm_add_mem(v->vm, SLOT, GPA, SIZE, flags);
	**hva = MARK;
	return v;
}

static void expect_ram(struct vcpu *v, uint64_t gpa, uint64_t want)
{
	uint64_t value = 0;
	int kind = probe_read(v, gpa, &value);

	TEST_ASSERT(kind == PROBE_RAM, "read of %#lx: %d, not RAM", gpa, kind);
	TEST_ASSERT_EQ(value, want);
}

static void expect_nothing(struct vcpu *v, uint64_t gpa)
{
	uint64_t value = 1;
	int kind = probe_read(v, gpa, &value);

	TEST_ASSERT(kind == PROBE_MMIO, "read of %#lx: %d, not MMIO", gpa, kind);
	TEST_ASSERT_EQ(value, 0);
}

#define slot_fails(vm, want, ...) do {						\
	int r_ = vm_set_slot(vm, __VA_ARGS__);					\
	TEST_ASSERT(r_ == -1 && errno == (want), "%s gave %d, not " #want, \
		    "(" #__VA_ARGS__ ")", r_);						\
} while (0)

#define slot_ok(vm, ...) \
	TEST_ASSERT(!vm_set_slot(vm, __VA_ARGS__), "%s", "(" #__VA_ARGS__ ")")

TEST(create_and_use)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	expect_ram(v, GPA, MARK);
	TEST_ASSERT_EQ(probe_write(v, GPA + SIZE - 8, 5), PROBE_RAM);
	TEST_ASSERT_EQ(hva[SIZE / 8 - 1], 5);
	expect_nothing(v, GPA + SIZE);
	expect_nothing(v, GPA - 8);
}

TEST(alignment)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);
	char *p = (char *)hva;

	slot_fails(v->vm, EINVAL, 2, OTHER_GPA + 1, PAGE_SIZE, 0, p);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA + 0x800, PAGE_SIZE, 0, p);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE + 1, 0, p);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, 1, 0, p);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE, 0, p + 1);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE, 0, p + 0x800);
	expect_nothing(v, OTHER_GPA);
	expect_ram(v, GPA, MARK);
}

TEST(wrapping_and_huge_ranges)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	slot_fails(v->vm, EINVAL, 2, -PAGE_SIZE, 2 * PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EINVAL, 2, 0x8000000000000000, 0x8000000000000000, 0, hva);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, -PAGE_SIZE, 0, hva);
	/* No x86 has more than 52 bits of physical address. */
	slot_fails(v->vm, EINVAL, 2, 1ul << 52, PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EINVAL, 2, (1ul << 52) - PAGE_SIZE, 2 * PAGE_SIZE, 0, hva);
	expect_ram(v, GPA, MARK);
}

TEST(host_address_out_of_user_space)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE, 0, (void *)0xffffffff81000000);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE, 0, (void *)0xfffffffffffff000);
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE, 0, (void *)0x800000000000);
	/* Begins in user space and ends beyond. */
	slot_fails(v->vm, EINVAL, 2, OTHER_GPA, 1ul << 40, 0, (void *)0x7fffffffe000);
	expect_nothing(v, OTHER_GPA);
}

TEST(unknown_flags)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	for (int bit = 3; bit < 32; bit++)
		slot_fails(v->vm, EINVAL, 2, OTHER_GPA, PAGE_SIZE, 1u << bit, hva);
	for (int bit = 3; bit < 32; bit++)
		slot_fails(v->vm, EINVAL, SLOT, GPA, SIZE, 1u << bit, hva);
	expect_nothing(v, OTHER_GPA);
	expect_ram(v, GPA, MARK);
}

TEST(slot_number)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);
	uint32_t n = kvm_cap(KVM_CAP_NR_MEMSLOTS);

	slot_fails(v->vm, EINVAL, n, OTHER_GPA, PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EINVAL, 0xffff, OTHER_GPA, PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EINVAL, 0xffffffff, OTHER_GPA, PAGE_SIZE, 0, hva);
	/* The upper half is an address space. */
	slot_fails(v->vm, EINVAL, 7 << 16, OTHER_GPA, PAGE_SIZE, 0, hva);
	expect_nothing(v, OTHER_GPA);
	slot_ok(v->vm, n - 1, OTHER_GPA, PAGE_SIZE, 0, hva);
	expect_ram(v, OTHER_GPA, MARK);
}

TEST(overlap)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	slot_fails(v->vm, EEXIST, 2, GPA, SIZE, 0, hva);
	slot_fails(v->vm, EEXIST, 2, GPA, PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EEXIST, 2, GPA + SIZE - PAGE_SIZE, SIZE, 0, hva);
	slot_fails(v->vm, EEXIST, 2, GPA - PAGE_SIZE, 2 * PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EEXIST, 2, GPA - PAGE_SIZE, SIZE + 2 * PAGE_SIZE, 0, hva);
	slot_fails(v->vm, EEXIST, 2, GPA + PAGE_SIZE, PAGE_SIZE, 0, hva);
	expect_nothing(v, GPA - PAGE_SIZE);
	expect_nothing(v, GPA + SIZE);
	expect_ram(v, GPA, MARK);
}

TEST(neighbours_touch)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	slot_ok(v->vm, 2, GPA + SIZE, PAGE_SIZE, 0, hva);
	slot_ok(v->vm, 3, GPA - PAGE_SIZE, PAGE_SIZE, 0, hva);
	expect_ram(v, GPA + SIZE, MARK);
	expect_ram(v, GPA - PAGE_SIZE, MARK);
	expect_ram(v, GPA, MARK);
}

TEST(delete)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	expect_ram(v, GPA, MARK);
	slot_ok(v->vm, SLOT, GPA, 0, 0, hva);
	expect_nothing(v, GPA);
	TEST_ASSERT_EQ(probe_write(v, GPA, 1), PROBE_MMIO);
	TEST_ASSERT_EQ(*hva, MARK);
	slot_fails(v->vm, EINVAL, SLOT, GPA, 0, 0, hva);
	slot_ok(v->vm, SLOT, GPA, SIZE, 0, hva);
	expect_ram(v, GPA, MARK);
}

TEST(delete_what_never_was)
{
	struct vm *vm = vm_create();

	slot_fails(vm, EINVAL, 9, GPA, 0, 0, NULL);
}

TEST(move)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	expect_ram(v, GPA, MARK);
	slot_ok(v->vm, SLOT, OTHER_GPA, SIZE, 0, hva);
	expect_nothing(v, GPA);
	expect_ram(v, OTHER_GPA, MARK);
	/* To where it overlaps its own old place, which does not count. */
	slot_ok(v->vm, SLOT, OTHER_GPA + PAGE_SIZE, SIZE, 0, hva);
	expect_nothing(v, OTHER_GPA);
	expect_ram(v, OTHER_GPA + PAGE_SIZE, MARK);
}

TEST(move_onto_another)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	slot_ok(v->vm, 2, OTHER_GPA, PAGE_SIZE, 0, hva + PAGE_SIZE / 8);
	slot_fails(v->vm, EEXIST, SLOT, OTHER_GPA, SIZE, 0, hva);
	slot_fails(v->vm, EEXIST, SLOT, OTHER_GPA - PAGE_SIZE, SIZE, 0, hva);
	expect_ram(v, GPA, MARK);
	expect_ram(v, OTHER_GPA, 0);
}

TEST(resize_and_rebase_are_refused)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	slot_fails(v->vm, EINVAL, SLOT, GPA, SIZE / 2, 0, hva);
	slot_fails(v->vm, EINVAL, SLOT, GPA, 2 * SIZE, 0, hva);
	slot_fails(v->vm, EINVAL, SLOT, GPA, SIZE, 0, hva + PAGE_SIZE / 8);
	slot_fails(v->vm, EINVAL, SLOT, OTHER_GPA, SIZE / 2, 0, hva);
	slot_fails(v->vm, EINVAL, SLOT, GPA, SIZE, KVM_MEM_READONLY, hva);
	expect_ram(v, GPA, MARK);
	expect_ram(v, GPA + SIZE - 8, 0);
	expect_nothing(v, OTHER_GPA);
}

TEST(set_again_unchanged)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	for (int i = 0; i < 3; i++) {
		slot_ok(v->vm, SLOT, GPA, SIZE, 0, hva);
		expect_ram(v, GPA, MARK);
	}
}

TEST(flags_change)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	for (int i = 0; i < 4; i++) {
		slot_ok(v->vm, SLOT, GPA, SIZE, i % 2 ? 0 : KVM_MEM_LOG_DIRTY_PAGES, hva);
		expect_ram(v, GPA, MARK);
		TEST_ASSERT_EQ(probe_write(v, GPA + 8, i), PROBE_RAM);
		TEST_ASSERT_EQ(hva[1], i);
	}
}

TEST(read_only)
{
	uint64_t *hva;
	struct vcpu *v;

	require_cap(KVM_CAP_READONLY_MEM);
	v = setup(&hva, KVM_MEM_READONLY);
	expect_ram(v, GPA, MARK);
	TEST_ASSERT_EQ(probe_write(v, GPA, 1), PROBE_MMIO);
	TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
	TEST_ASSERT_EQ(*hva, MARK);
	expect_ram(v, GPA, MARK);
	/* The host goes on writing; the guest sees it. */
	*hva = 7;
	expect_ram(v, GPA, 7);
	/* A page never touched before is written first. */
	TEST_ASSERT_EQ(probe_write(v, GPA + PAGE_SIZE, 1), PROBE_MMIO);
	TEST_ASSERT_EQ(hva[PAGE_SIZE / 8], 0);
}

static void writes_rom(void)
{
	*(volatile uint32_t *)(GPA + 0x10) = 0xcafe;
	GUEST_DONE();
}

TEST(read_only_write_exits_as_mmio)
{
	struct vcpu *v;

	require_cap(KVM_CAP_READONLY_MEM);
	v = guest_of(writes_rom);
	vm_add_mem(v->vm, SLOT, GPA, SIZE, KVM_MEM_READONLY);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, GPA + 0x10);
	TEST_ASSERT_EQ(v->run->mmio.len, 4);
	TEST_ASSERT_EQ(v->run->mmio.is_write, 1);
	TEST_ASSERT_EQ(*(uint32_t *)v->run->mmio.data, 0xcafe);
	vcpu_expect_done(v);
}

TEST(one_host_page_in_many_slots)
{
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	for (int i = 0; i < 40; i++)
		slot_ok(v->vm, 2 + i, OTHER_GPA + i * SIZE, SIZE, 0, hva);
	TEST_ASSERT_EQ(probe_write(v, GPA, 3), PROBE_RAM);
	for (int i = 0; i < 40; i++)
		expect_ram(v, OTHER_GPA + i * SIZE, 3);
}

/* Slots come and go by hundreds; deletions of each leave the others alone. */
TEST(many_slots)
{
	uint32_t n = kvm_cap(KVM_CAP_NR_MEMSLOTS);
	uint64_t *hva;
	struct vcpu *v = setup(&hva, 0);

	n = n > 300 ? 300 : n;
	for (uint32_t i = 2; i < n; i++)
		slot_ok(v->vm, i, OTHER_GPA + i * SIZE, PAGE_SIZE, 0, hva);
	for (uint32_t i = 2; i < n; i += 2)
		slot_ok(v->vm, i, 0, 0, 0, NULL);
	for (uint32_t i = 2; i < n; i += 37) {
		if (i % 2)
			expect_ram(v, OTHER_GPA + i * SIZE, MARK);
		else
			expect_nothing(v, OTHER_GPA + i * SIZE);
	}
	expect_ram(v, GPA, MARK);
}

/* The host's pages need not be there yet, nor ever. */
TEST(unmapped_host_memory)
{
	struct vcpu *v = probe_add(vm_create(), 0);
	char *p = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t value = 0;

	munmap(p, SIZE);
	slot_ok(v->vm, SLOT, GPA, SIZE, 0, p);
	TEST_ASSERT_EQ(probe_read(v, GPA, &value), -EFAULT);
	TEST_ASSERT_EQ(probe_retry(v, &value), -EFAULT);
	TEST_ASSERT(mmap(p, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p, "mmap");
	*(uint64_t *)p = MARK;
	TEST_ASSERT_EQ(probe_retry(v, &value), PROBE_RAM);
	TEST_ASSERT_EQ(value, MARK);
}

/* A bound on shadow tables: kept, and at least what a VM cannot do without. */
TEST(shadow_pages)
{
	struct vm *vm;
	long n;

	require_cap(KVM_CAP_MMU_SHADOW_CACHE_CONTROL);
	vm = vm_create();
	n = ioctl_ok(vm->fd, KVM_GET_NR_MMU_PAGES, 0);
	TEST_ASSERT(n >= 64, "%ld pages", n);
	ioctl_fails(vm->fd, KVM_SET_NR_MMU_PAGES, 63, EINVAL);
	ioctl_fails(vm->fd, KVM_SET_NR_MMU_PAGES, 0, EINVAL);
	TEST_ASSERT_EQ(ioctl_ok(vm->fd, KVM_GET_NR_MMU_PAGES, 0), n);
	ioctl_ok(vm->fd, KVM_SET_NR_MMU_PAGES, 64);
	TEST_ASSERT_EQ(ioctl_ok(vm->fd, KVM_GET_NR_MMU_PAGES, 0), 64);
}
