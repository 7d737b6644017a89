// SPDX-License-Identifier: GPL-2.0-only
/* Special registers with the four entries that PAE paging keeps in the CPU. */

#include "selftest.h"

#define CODE_GPA	0x10000ul
#define PDPT_GPA	0x20000ul
#define DIRS_GPA	0x21000ul	/* a page directory for each entry, and one more */
#define LOW_DATA	0x400000ul
#define HIGH_DATA	0x600000ul
#define PORT		0x500

static struct kvm_sregs2 get2(struct vcpu *v)
{
	struct kvm_sregs2 s;

	ioctl_ok(v->fd, KVM_GET_SREGS2, &s);
	return s;
}

static void guest(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

TEST(the_same_as_sregs)
{
	struct vcpu *v;
	struct kvm_sregs2 s2;
	struct kvm_sregs s, after;

	require_cap(KVM_CAP_SREGS2);
	v = guest_of(guest);
	vcpu_expect_sync(v, 1);
	s = vcpu_sregs(v);
	s2 = get2(v);
	TEST_ASSERT_EQ(s2.flags, 0);
	TEST_ASSERT(!memcmp(&s, &s2, offsetof(struct kvm_sregs, interrupt_bitmap)),
		    "both have the same registers");
	s2.fs.base = 0x123456000;
	s2.gs.selector = SEL_DATA;
	s2.cr2 = 0x777;
	s2.gdt.limit = 0x5f;
	s2.efer &= ~EFER_SCE;
	ioctl_ok(v->fd, KVM_SET_SREGS2, &s2);
	after = vcpu_sregs(v);
	TEST_ASSERT(!memcmp(&after, &s2, offsetof(struct kvm_sregs, interrupt_bitmap)),
		    "what SET_SREGS2 wrote, GET_SREGS reads");
	vcpu_expect_done(v);
}

TEST(bad_arguments_change_nothing)
{
	struct vcpu *v;
	struct kvm_sregs2 good, bad;

	require_cap(KVM_CAP_SREGS2);
	v = guest_of(guest);
	good = get2(v);
#define REFUSED(change) do {						\
	struct kvm_sregs2 now;						\
									\
	bad = good;							\
	bad.cr2 = 0x999;						\
	change;								\
	ioctl_fails(v->fd, KVM_SET_SREGS2, &bad, EINVAL);		\
	now = get2(v);							\
	TEST_ASSERT(!memcmp(&now, &good, sizeof(now)), #change);	\
} while (0)
	REFUSED(bad.flags = 2);
	REFUSED(bad.flags = 1ul << 32);
	/* Long mode has no such entries, and no paging has none. */
	REFUSED(bad.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID);
	REFUSED((bad.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID, bad.cr0 &= ~CR0_PG, bad.efer &= ~EFER_LMA,
		 bad.cs.l = 0));
	REFUSED(bad.cr4 &= ~CR4_PAE);
	/* Upstream KVM takes any EFER. */
	if (kvm_is_okvm())
		REFUSED(bad.efer |= 1ul << 63);
	ioctl_fails(v->fd, KVM_SET_SREGS2, (void *)8, EFAULT);
	ioctl_fails(v->fd, KVM_GET_SREGS2, (void *)8, EFAULT);
}

/* Tells what is at 1 GiB, and has the CPU load its entries from memory. */
GUEST_ASM(pae_code, 32,
	  "mov $0x500, %edx; 1: mov 0x40000000, %eax; outl %eax, %dx;"
	  "mov %cr3, %eax; mov %eax, %cr3; jmp 1b");

static uint32_t next_value(struct vcpu *v)
{
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->io.port, PORT);
	return *(uint32_t *)pio_data(v);
}

static struct vcpu *pae_guest(void)
{
	struct vm *vm;
	struct vcpu *v;
	struct kvm_sregs s;
	uint64_t *pdpt, *dirs;

	require_cap(KVM_CAP_SREGS2);
	vm = vm_create_empty();
	v = vcpu_add_raw(vm, 0);
	vm_add_mem(vm, 0, 0, 4 * SZ_2M, 0);
	vm_load_asm(vm, CODE_GPA, pae_code);
	*(uint32_t *)vm_hva(vm, LOW_DATA) = 0x1111;
	*(uint32_t *)vm_hva(vm, HIGH_DATA) = 0x2222;
	pdpt = vm_hva(vm, PDPT_GPA);
	dirs = vm_hva(vm, DIRS_GPA);
	for (int i = 0; i < 4; i++)
		pdpt[i] = (DIRS_GPA + 0x1000 * i) | PTE_P;
	dirs[0] = PTE_P | PTE_W | PTE_PS;
	dirs[512] = LOW_DATA | PTE_P | PTE_W | PTE_PS;
	dirs[512 * 4] = HIGH_DATA | PTE_P | PTE_W | PTE_PS;
	vm->cr3 = PDPT_GPA;
	vcpu_set_cpuid(v);
	vcpu_enter32(v, CODE_GPA);
	s = vcpu_sregs(v);
	s.cr3 = PDPT_GPA;
	s.cr4 = CR4_PAE;
	s.cr0 |= CR0_PG;
	vcpu_set_sregs(v, &s);
	return v;
}

TEST(pae_entries_are_read)
{
	struct vcpu *v = pae_guest();
	uint64_t *pdpt = vm_hva(v->vm, PDPT_GPA);
	struct kvm_sregs2 s = get2(v);

	TEST_ASSERT_EQ(s.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	TEST_ASSERT(!memcmp(s.pdptrs, pdpt, sizeof(s.pdptrs)), "as in memory");
	TEST_ASSERT_EQ(next_value(v), 0x1111);
	s = get2(v);
	TEST_ASSERT_EQ(s.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	for (int i = 0; i < 4; i++)
		/* QEMU's SVM sets accessed bits even there. */
		TEST_ASSERT_EQ(s.pdptrs[i] & ~PTE_A, pdpt[i] & ~PTE_A);
	/* Back they go, as a VMM does that restores a guest. */
	ioctl_ok(v->fd, KVM_SET_SREGS2, &s);
	TEST_ASSERT_EQ(next_value(v), 0x1111);
	s.flags = 0;
	pdpt[1] = (DIRS_GPA + 0x4000) | PTE_P;
	ioctl_ok(v->fd, KVM_SET_SREGS2, &s);
	TEST_ASSERT_EQ(next_value(v), 0x2222);
}

TEST(pae_entries_are_the_cpus)
{
	struct vcpu *v = pae_guest();
	uint64_t *pdpt = vm_hva(v->vm, PDPT_GPA);
	struct kvm_sregs2 s = get2(v);

	TEST_REQUIRE(host_has_vmx(), "AMD's CPUs read the entries from memory");
	pdpt[1] = (DIRS_GPA + 0x4000) | PTE_P;
	ioctl_ok(v->fd, KVM_SET_SREGS2, &s);
	TEST_ASSERT_EQ(next_value(v), 0x1111);
	/* Then the guest loads them. */
	TEST_ASSERT_EQ(next_value(v), 0x2222);
	s = get2(v);
	TEST_ASSERT_EQ(s.pdptrs[1], pdpt[1]);
	s.pdptrs[1] = (DIRS_GPA + 0x1000) | PTE_P;
	ioctl_ok(v->fd, KVM_SET_SREGS2, &s);
	TEST_ASSERT_EQ(get2(v).pdptrs[1], (DIRS_GPA + 0x1000) | PTE_P);
	/* The OUT was shown and not done: the run ends it, and loads the entries from memory. */
	TEST_ASSERT_EQ(next_value(v), 0x2222);
}

TEST(bad_pae_entries_are_refused)
{
	struct vcpu *v = pae_guest();
	struct kvm_sregs2 s = get2(v), bad;

	TEST_REQUIRE(host_has_vmx(), "AMD's CPUs read the entries from memory");
	TEST_REQUIRE(kvm_is_okvm(), "upstream KVM takes them, and fails the next entry");
	for (int bit = 1; bit <= 8; bit++) {
		if (bit > 2 && bit < 5)
			continue;
		bad = s;
		bad.pdptrs[3] |= 1ul << bit;
		ioctl_fails(v->fd, KVM_SET_SREGS2, &bad, EINVAL);
	}
	bad = s;
	bad.pdptrs[0] |= 1ul << 62;
	ioctl_fails(v->fd, KVM_SET_SREGS2, &bad, EINVAL);
	/* Absent ones may have anything. */
	bad = s;
	bad.pdptrs[3] = 0x1e6;
	ioctl_ok(v->fd, KVM_SET_SREGS2, &bad);
	TEST_ASSERT_EQ(next_value(v), 0x1111);
}
