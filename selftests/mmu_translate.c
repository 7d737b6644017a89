// SPDX-License-Identifier: GPL-2.0-only
/* KVM_TRANSLATE in every paging mode: the guest's tables as the vCPU stands. */

#include "selftest.h"

#define TABLES	TEST_GPA		/* pages for tables made by hand */

static struct kvm_translation translate(struct vcpu *v, uint64_t linear)
{
	struct kvm_translation tr = { .linear_address = linear };

	ioctl_ok(v->fd, KVM_TRANSLATE, &tr);
	return tr;
}

static void expect_at(struct vcpu *v, uint64_t linear, uint64_t gpa)
{
	struct kvm_translation tr = translate(v, linear);

	TEST_ASSERT(tr.valid, "%#lx is not mapped", linear);
	TEST_ASSERT_EQ(tr.physical_address, gpa);
}

static void expect_nowhere(struct vcpu *v, uint64_t linear)
{
	struct kvm_translation tr = translate(v, linear);

	TEST_ASSERT(!tr.valid, "%#lx is mapped at %#llx", linear, tr.physical_address);
	TEST_ASSERT_EQ(tr.physical_address, ~0ul);
}

static void guest(void)
{
	GUEST_DONE();
}

static struct vcpu *setup(void)
{
	struct vcpu *v = guest_of(guest);
	struct kvm_translation tr = { 0 };

	if (ioctl(v->fd, KVM_TRANSLATE, &tr) && errno == ENOTTY)
		test_skip("no KVM_TRANSLATE");
	return v;
}

static void set32(struct vm *vm, uint64_t gpa, uint32_t value)
{
	*(uint32_t *)vm_hva(vm, gpa) = value;
}

static void set64(struct vm *vm, uint64_t gpa, uint64_t value)
{
	*(uint64_t *)vm_hva(vm, gpa) = value;
}

/* Paging without long mode, on the tables at TABLES. */
static void page32(struct vcpu *v, uint64_t cr4)
{
	struct kvm_sregs s;

	vcpu_enter32(v, 0);
	s = vcpu_sregs(v);
	s.cr3 = TABLES;
	s.cr4 = cr4;
	s.cr0 |= CR0_PE | CR0_PG;
	vcpu_set_sregs(v, &s);
}

TEST(long_mode)
{
	struct vcpu *v = setup();
	uint64_t gva = 0x7f1234567000ul;

	vm_map(v->vm, gva, 0xabc000, 2 * PAGE_SIZE, PTE_P | PTE_W);
	expect_at(v, gva + 0x123, 0xabc123);
	expect_at(v, gva + PAGE_SIZE, 0xabd000);
	expect_nowhere(v, gva + 2 * PAGE_SIZE);
	expect_nowhere(v, gva - 1);
	/* The 2 MiB identity of the first 4 GiB. */
	expect_at(v, 0, 0);
	expect_at(v, 0xfffffffful, 0xfffffffful);
	expect_nowhere(v, 0x100000000ul);
	*vm_pte(v->vm, gva) = 0;
	expect_nowhere(v, gva);
}

TEST(not_canonical)
{
	struct vcpu *v = setup();

	expect_nowhere(v, 0x0000800000000000ul);
	expect_nowhere(v, 0xffff7ffffffff000ul);
	expect_nowhere(v, 0xffff800000000000ul);
}

TEST(reserved_bits)
{
	struct vcpu *v = setup();
	uint64_t gva = 0x7f1234567000ul;

	vm_map(v->vm, gva, 0xabc000, PAGE_SIZE, PTE_P);
	expect_at(v, gva, 0xabc000);
	*vm_pte(v->vm, gva) |= 1ul << 51;
	expect_nowhere(v, gva);
}

TEST(tables_out_of_memory)
{
	struct vcpu *v = setup();
	struct kvm_sregs s = vcpu_sregs(v);

	s.cr3 = NOWHERE_GPA;
	vcpu_set_sregs(v, &s);
	expect_nowhere(v, 0);
	expect_nowhere(v, 0x12345678);
}

TEST(no_paging)
{
	struct vcpu *v = setup();

	vcpu_enter32(v, 0);
	expect_at(v, 0, 0);
	expect_at(v, 0x12345678, 0x12345678);
	expect_at(v, NOWHERE_GPA, NOWHERE_GPA);
}

TEST(mode_32)
{
	struct vcpu *v = setup();
	uint64_t pt = TABLES + PAGE_SIZE;

	set32(v->vm, TABLES + 4 * 0x048, pt | PTE_P | PTE_W);
	set32(v->vm, pt + 4 * 0x345, 0x00777000 | PTE_P);
	set32(v->vm, TABLES + 4 * 0x100, 0x00c00000 | PTE_P | PTE_PS);
	page32(v, CR4_PSE);
	expect_at(v, 0x12345678, 0x777678);
	expect_nowhere(v, 0x12346678);
	expect_at(v, 0x40123456, 0xd23456);
	expect_nowhere(v, 0x50000000);
}

TEST(mode_pae)
{
	struct vcpu *v = setup();
	uint64_t pd = TABLES + PAGE_SIZE, pt = TABLES + 2 * PAGE_SIZE;

	set64(v->vm, TABLES + 8, pd | PTE_P);
	set64(v->vm, pd + 8 * 5, pt | PTE_P | PTE_W);
	set64(v->vm, pd + 8 * 6, 0x600000 | PTE_P | PTE_PS);
	set64(v->vm, pt + 8 * 3, 0x777000 | PTE_P);
	page32(v, CR4_PAE);
	expect_at(v, 0x40a03123, 0x777123);
	expect_at(v, 0x40c34567, 0x634567);
	expect_nowhere(v, 0x40a04123);
	expect_nowhere(v, 0x80000000);
}

TEST(gigabyte_page)
{
	struct vcpu *v = setup();
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x80000001, 0);

	TEST_REQUIRE(e && e->edx & 1u << 26, "no 1 GiB pages");
	set64(v->vm, TABLES, (TABLES + PAGE_SIZE) | PTE_P);
	set64(v->vm, TABLES + PAGE_SIZE + 8 * 3, 1ul << 30 | PTE_P | PTE_PS);
	s.cr3 = TABLES;
	vcpu_set_sregs(v, &s);
	expect_at(v, (3ul << 30) + 0x2345678, (1ul << 30) + 0x2345678);
	expect_nowhere(v, 2ul << 30);
	/* The bits between the PAT bit and the frame must be 0. */
	set64(v->vm, TABLES + PAGE_SIZE + 8 * 3, 1ul << 30 | 1ul << 21 | PTE_P | PTE_PS);
	expect_nowhere(v, 3ul << 30);
}

TEST(bad_pointer)
{
	struct vcpu *v = setup();

	ioctl_fails(v->fd, KVM_TRANSLATE, NULL, EFAULT);
}
