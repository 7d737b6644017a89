// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code is fetched anew for each emulated instruction: whatever changed on the way to it (tables,
 * slots, registers, the code itself) is seen. The instruction stores a number of its page's to
 * MMIO, so that the host sees which page was fetched from.
 */

#include "selftest.h"

#include <sys/mman.h>

#define CODE_GVA	0x100000000ul
#define PAGE_A		TEST_GPA
#define PAGE_B		(TEST_GPA + PAGE_SIZE)
#define TABLES		(TEST_GPA + 0x10000)	/* for a second root */
#define OWN_SLOT_GPA	0x4000000ul
#define TIMES		3			/* the first fetch walks, the next ones may not */

#define A_NUMBER	0xaaaaaaaa
#define B_NUMBER	0xbbbbbbbb

/* mov dword [NOWHERE_GPA], number; ret - through RDI, the address. */
static void put_code(void *page, uint32_t number)
{
	uint8_t code[] = { 0xc7, 0x07, 0, 0, 0, 0, 0xc3 };

	memcpy(code + 2, &number, sizeof(number));
	memcpy(page, code, sizeof(code));
}

static uint64_t root;

static void guest(void)
{
	void (*code)(uint64_t) = (void *)CODE_GVA;

	for (;;) {
		GUEST_SYNC(0);
		if (root)
			write_cr3(root);
		invlpg((void *)CODE_GVA);
		for (int i = 0; i < TIMES; i++)
			code(NOWHERE_GPA);
	}
}

/* One round of the guest's loop fetches the code with that number. */
static void expect(struct vcpu *v, uint32_t number)
{
	uint32_t stored;

	for (int i = 0; i < TIMES; i++) {
		vcpu_expect_exit(v, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(v->run->mmio.is_write, 1);
		memcpy(&stored, v->run->mmio.data, sizeof(stored));
		TEST_ASSERT_EQ(stored, number);
	}
	vcpu_expect_sync(v, 0);
}

static struct vcpu *setup(uint64_t code_gpa)
{
	struct vcpu *v = guest_of(guest);

	put_code(vm_hva(v->vm, PAGE_A), A_NUMBER);
	put_code(vm_hva(v->vm, PAGE_B), B_NUMBER);
	vm_map(v->vm, CODE_GVA, code_gpa, PAGE_SIZE, PTE_P | PTE_W);
	vcpu_expect_sync(v, 0);
	return v;
}

static void point_to(uint64_t *entry, uint64_t gpa)
{
	*entry = gpa | PTE_P | PTE_W;
}

TEST(leaf_changes)
{
	struct vcpu *v = setup(PAGE_A);

	for (int i = 0; i < 3; i++) {
		expect(v, A_NUMBER);
		point_to(vm_pte(v->vm, CODE_GVA), PAGE_B);
		expect(v, B_NUMBER);
		point_to(vm_pte(v->vm, CODE_GVA), PAGE_A);
	}
}

TEST(accessed_bit_returns)
{
	struct vcpu *v = setup(PAGE_A);
	uint64_t *pte = vm_pte(v->vm, CODE_GVA);

	expect(v, A_NUMBER);
	for (int i = 0; i < 3; i++) {
		*pte &= ~PTE_A;
		expect(v, A_NUMBER);
		TEST_ASSERT(*pte & PTE_A, "PTE %#lx", *pte);
	}
}

/* Two roots whose tables differ at the top only: another path to the same linear address. */
TEST(root_changes)
{
	struct vcpu *v = setup(PAGE_A);
	uint64_t *first = vm_hva(v->vm, v->vm->cr3), *second = vm_hva(v->vm, TABLES);

	memcpy(second, first, PAGE_SIZE);
	point_to(second, TABLES + PAGE_SIZE);
	memcpy(vm_hva(v->vm, TABLES + PAGE_SIZE), vm_hva(v->vm, first[0] & ~0xffful), PAGE_SIZE);
	point_to((uint64_t *)vm_hva(v->vm, TABLES + PAGE_SIZE) + 4, TABLES + 2 * PAGE_SIZE);
	point_to(vm_hva(v->vm, TABLES + 2 * PAGE_SIZE), TABLES + 3 * PAGE_SIZE);
	point_to(vm_hva(v->vm, TABLES + 3 * PAGE_SIZE), PAGE_B);
	for (int i = 0; i < 3; i++) {
		*vm_shared(v->vm, root) = v->vm->cr3;
		expect(v, A_NUMBER);
		*vm_shared(v->vm, root) = TABLES;
		expect(v, B_NUMBER);
	}
	/* The same root, and a table in the middle of the way is another. */
	point_to((uint64_t *)vm_hva(v->vm, TABLES + PAGE_SIZE) + 4, TABLES + 4 * PAGE_SIZE);
	point_to(vm_hva(v->vm, TABLES + 4 * PAGE_SIZE), TABLES + 5 * PAGE_SIZE);
	point_to(vm_hva(v->vm, TABLES + 5 * PAGE_SIZE), PAGE_A);
	expect(v, A_NUMBER);
}

TEST(code_changes)
{
	struct vcpu *v = setup(PAGE_A);

	for (uint32_t i = 0; i < 5; i++) {
		put_code(vm_hva(v->vm, PAGE_A), i);
		expect(v, i);
	}
}

TEST(slot_changes)
{
	struct vcpu *v = setup(OWN_SLOT_GPA);
	void *pages = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	TEST_ASSERT(pages != MAP_FAILED, "mmap: errno %d", errno);
	put_code(pages, A_NUMBER);
	put_code(pages + PAGE_SIZE, B_NUMBER);
	for (int i = 0; i < 6; i++) {
		TEST_ASSERT_EQ(vm_set_slot(v->vm, 1, OWN_SLOT_GPA, PAGE_SIZE, 0,
					   pages + (i % 2) * PAGE_SIZE), 0);
		expect(v, i % 2 ? B_NUMBER : A_NUMBER);
		TEST_ASSERT_EQ(vm_set_slot(v->vm, 1, OWN_SLOT_GPA, 0, 0, NULL), 0);
	}
}

/* The VMM replaces the page behind the slot, which the hypervisor is not told of. */
TEST(user_memory_changes)
{
	struct vcpu *v = setup(PAGE_A);
	void *page = vm_hva(v->vm, PAGE_A);

	expect(v, A_NUMBER);
	TEST_ASSERT(mmap(page, PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page,
		    "mmap: errno %d", errno);
	put_code(page, B_NUMBER);
	expect(v, B_NUMBER);
}
