// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_CPUID2 and KVM_GET_CPUID2, and what CPUID then says in the guest. */

#include "selftest.h"

#define LEAF	0x40000010

static struct kvm_cpuid2 *with_leaf(void)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = &c->entries[c->nent++];

	TEST_ASSERT(!cpuid_find(c, LEAF, 0) || e->function == 0, "leaf %#x is taken", LEAF);
	memset(e, 0, sizeof(*e));
	e->function = LEAF;
	e->eax = 0x11;
	e->ebx = 0x22;
	e->ecx = 0x33;
	e->edx = 0x44;
	return c;
}

static void asks(void)
{
	uint32_t r[4];

	guest_cpuid(LEAF, 0, r);
	GUEST_ASSERT_EQ(r[0], 0x11);
	GUEST_ASSERT_EQ(r[1], 0x22);
	GUEST_ASSERT_EQ(r[2], 0x33);
	GUEST_ASSERT_EQ(r[3], 0x44);
	/* The upper halves are cleared. */
	uint64_t a = 0xffffffff00000000 | LEAF, b = ~0ul, c = 0xffffffff00000000, d = ~0ul;

	asm volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	GUEST_ASSERT_EQ(a, 0x11);
	GUEST_ASSERT_EQ(b, 0x22);
	GUEST_ASSERT_EQ(c, 0x33);
	GUEST_ASSERT_EQ(d, 0x44);
	GUEST_DONE();
}

TEST(guest_sees_what_is_set)
{
	struct vcpu *v = guest_of(asks);

	ioctl_ok(v->fd, KVM_SET_CPUID2, with_leaf());
	vcpu_expect_done(v);
}

TEST(get_returns_what_is_set)
{
	struct vcpu *v = guest_of(asks);
	struct kvm_cpuid2 *set = with_leaf(), *get = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e;

	ioctl_ok(v->fd, KVM_SET_CPUID2, set);
	get->nent = set->nent;
	ioctl_ok(v->fd, KVM_GET_CPUID2, get);
	TEST_ASSERT_EQ(get->nent, set->nent);
	e = cpuid_find(get, LEAF, 0);
	TEST_ASSERT(e && e->eax == 0x11 && e->edx == 0x44, "leaf %#x is lost", LEAF);
	for (uint32_t i = 0; i < set->nent; i++) {
		TEST_ASSERT_EQ(get->entries[i].function, set->entries[i].function);
		TEST_ASSERT_EQ(get->entries[i].index, set->entries[i].index);
	}
}

TEST(get_with_too_little_room)
{
	struct vcpu *v = guest_of(asks);
	struct kvm_cpuid2 *c = with_leaf();

	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	memset(c->entries, 0x5a, c->nent * sizeof(c->entries[0]));
	c->nent--;
	ioctl_fails(v->fd, KVM_GET_CPUID2, c, E2BIG);
	TEST_ASSERT_EQ(c->entries[0].function, 0x5a5a5a5a);
}

TEST(set_too_many)
{
	struct vcpu *v = guest_of(asks);
	struct kvm_cpuid2 *c = with_leaf();
	uint32_t n = c->nent;

	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	c->nent = 0xffffffff;
	ioctl_fails(v->fd, KVM_SET_CPUID2, c, E2BIG);
	c->nent = 100000;
	ioctl_fails(v->fd, KVM_SET_CPUID2, c, E2BIG);
	c->nent = n;
	memset(c->entries, 0, n * sizeof(c->entries[0]));
	ioctl_ok(v->fd, KVM_GET_CPUID2, c);
	TEST_ASSERT_EQ(c->nent, n);
	vcpu_expect_done(v);
}

TEST(set_the_same_again_after_a_run)
{
	struct vcpu *v = guest_of(asks);
	struct kvm_cpuid2 *c = with_leaf();

	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	vcpu_expect_done(v);
	ioctl_ok(v->fd, KVM_GET_CPUID2, c);
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
}

static void watches_osxsave(void)
{
	uint32_t r[4];

	for (int on = 0; on < 4; on++) {
		uint64_t cr4 = read_cr4() & ~CR4_OSXSAVE;

		write_cr4(on % 2 ? cr4 | CR4_OSXSAVE : cr4);
		guest_cpuid(1, 0, r);
		GUEST_ASSERT_EQ(r[2] >> 27 & 1, on % 2);
	}
	GUEST_DONE();
}

/* Leaf 1 tells CR4.OSXSAVE, whatever was set. */
TEST(osxsave_follows_cr4)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();

	TEST_REQUIRE(cpuid_find(c, 1, 0)->ecx & 1 << 26, "no XSAVE in the supported CPUID");
	run_guest(watches_osxsave);
}

static void indexed(void)
{
	uint32_t a[4], b[4];

	guest_cpuid(LEAF, 0, a);
	guest_cpuid(LEAF, 1, b);
	GUEST_ASSERT_EQ(a[0], 0x100);
	GUEST_ASSERT_EQ(b[0], 0x101);
	GUEST_DONE();
}

TEST(significant_index)
{
	struct vcpu *v = guest_of(indexed);
	struct kvm_cpuid2 *c = with_leaf();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, LEAF, 0);

	e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	e->eax = 0x100;
	e[1] = e[0];
	e[1].index = 1;
	e[1].eax = 0x101;
	c->nent++;
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	vcpu_expect_done(v);
}

static void finds_kvm(void)
{
	uint32_t r[4];

	guest_cpuid(1, 0, r);
	GUEST_ASSERT(r[2] & 1u << 31);
	guest_cpuid(0x40000000, 0, r);
	GUEST_ASSERT_EQ(r[1], 0x4b4d564b);
	GUEST_ASSERT(r[0] >= 0x40000001);
	GUEST_DONE();
}

TEST(guest_detects_kvm)
{
	struct vcpu *v = guest_of(finds_kvm);
	struct kvm_cpuid2 *c = kvm_supported_cpuid();

	/* The hypervisor bit is the VMM's to set. */
	cpuid_find(c, 1, 0)->ecx |= 1u << 31;
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	vcpu_expect_done(v);
}

static void sets_cr4(void)
{
	uint64_t cr4 = read_cr4();

	GUEST_ASSERT_EQ(guest_try("mov %[v], %%cr4", [v] "r"(cr4 | 1ul << 31)).vector, GP_VECTOR);
	GUEST_ASSERT_EQ(guest_try("mov %[v], %%cr4", [v] "r"(cr4 | CR4_SMEP)).vector, GP_VECTOR);
	GUEST_ASSERT_EQ(guest_try("mov %[v], %%cr4", [v] "r"(cr4 & ~CR4_PAE)).vector, GP_VECTOR);
	GUEST_ASSERT_EQ(read_cr4(), cr4);
	GUEST_DONE();
}

TEST(hidden_features_fault_in_cr4)
{
	struct vcpu *v = guest_of(sets_cr4);
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0);

	if (e)
		e->ebx &= ~(1u << 7);
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	vcpu_expect_done(v);
}

/* No MWAIT in CPUID: MONITOR and MWAIT do nothing all the same, unless user space wants #UD. */
static void monitors(void)
{
	for (int i = 0; i < 2; i++) {
		uint64_t want = i ? UD_VECTOR : NO_TRAP;

		GUEST_ASSERT_EQ(guest_try("monitor", "a"(monitors), "c"(0), "d"(0)).vector, want);
		GUEST_ASSERT_EQ(guest_try("mwait", "a"(0), "c"(0)).vector, want);
		GUEST_SYNC(i);
	}
	GUEST_DONE();
}

TEST(mwait_quirk)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2,
				      .args = { KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS } };
	struct vcpu *v = guest_of(monitors);

	TEST_REQUIRE(kvm_cap(KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS,
		     "the quirk cannot be disabled");
	vcpu_expect_sync(v, 0);
	ioctl_ok(v->vm->fd, KVM_ENABLE_CAP, &cap);
	vcpu_expect_sync(v, 1);
	vcpu_expect_done(v);
}
