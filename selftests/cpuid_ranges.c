// SPDX-License-Identifier: GPL-2.0-only
/* CPUID leaves that user space did not set, per vendor, and what is offered to user space. */

#include "selftest.h"

#include <asm/kvm_para.h>

static uint32_t asked, subleaf;

static void asks(void)
{
	for (uint64_t i = 1;; i++) {
		uint32_t r[4];

		guest_cpuid(READ_ONCE(asked), READ_ONCE(subleaf), r);
		GUEST_SYNC_VAL(i, (uint64_t)r[0] << 32 | r[1]);
	}
}

struct set {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[8];
};

#define ENTRY(f, i, sig, a, b, c, d) { .function = (f), .index = (i), \
	.flags = (sig) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0, \
	.eax = (a), .ebx = (b), .ecx = (c), .edx = (d) }
/* EBX, ECX, EDX: the first, third and second four letters of the name. */
#define INTEL	0x756e6547, 0x6c65746e, 0x49656e69
#define AMD	0x68747541, 0x444d4163, 0x69746e65

static struct set leaves_of(uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	return (struct set) { { .nent = 8 }, {
		ENTRY(0, 0, 0, 0xb, ebx, ecx, edx),
		ENTRY(1, 0, 0, 0x800f12, 0x11, 0, 0),
		ENTRY(7, 0, 1, 0, 0x77, 0, 0),
		ENTRY(0xb, 0, 1, 0xb0, 0xb00, 0, 5),
		ENTRY(0xb, 1, 1, 0xb1, 0xb01, 0, 5),
		ENTRY(0x40000000, 0, 0, 0x40000001, 0x40, 0, 0),
		ENTRY(0x80000000, 0, 0, 0x80000001, 0x80, 0, 0),
		ENTRY(0x80000001, 0, 0, 0x81, 0x81, 0, 1 << 29),
	} };
}

static uint64_t stage;

static void expect(struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t eax, uint32_t ebx)
{
	uint64_t got;

	*vm_shared(v->vm, asked) = leaf;
	*vm_shared(v->vm, subleaf) = sub;
	got = vcpu_expect_sync(v, ++stage);
	TEST_ASSERT(got == ((uint64_t)eax << 32 | ebx), "leaf %#x.%u: EAX %#lx EBX %#lx", leaf, sub,
		    got >> 32, got & 0xffffffff);
}

static struct vcpu *vcpu_with(struct set *set)
{
	struct vcpu *v = guest_of(asks);

	ioctl_ok(v->fd, KVM_SET_CPUID2, set);
	return v;
}

TEST(out_of_range_on_intel)
{
	struct set set = leaves_of(INTEL);
	struct vcpu *v = vcpu_with(&set);

	/* The last basic leaf, with its own subleaves. */
	expect(v, 0xc, 0, 0xb0, 0xb00);
	expect(v, 0xc, 1, 0xb1, 0xb01);
	expect(v, 0x7fffffff, 0, 0xb0, 0xb00);
	expect(v, 0x80000002, 0, 0xb0, 0xb00);
	expect(v, 0xffffffff, 0, 0xb0, 0xb00);
	expect(v, 0x40000002, 0, 0xb0, 0xb00);
	/* In range, and not there: nothing. */
	expect(v, 2, 0, 0, 0);
	expect(v, 7, 1, 0, 0);
	expect(v, 0x40000001, 0, 0, 0);
}

TEST(out_of_range_on_amd)
{
	struct set set = leaves_of(AMD);
	struct vcpu *v = vcpu_with(&set);

	expect(v, 0xb, 1, 0xb1, 0xb01);
	expect(v, 0xc, 0, 0, 0);
	expect(v, 0x80000002, 0, 0, 0);
	expect(v, 0x40000002, 0, 0, 0);
	expect(v, 0xffffffff, 0, 0, 0);
	expect(v, 1, 99, 0x800f12, 0x11);
}

TEST(undefined_subleaves_of_the_topology)
{
	struct set set = leaves_of(AMD);
	struct vcpu *v = vcpu_with(&set);

	expect(v, 0xb, 2, 0, 0);
	expect(v, 0xb, 0xffff, 0, 0);
}

TEST(address_widths)
{
	struct vcpu *v = guest_of(asks);
	struct set set = { { .nent = 3 }, {
		ENTRY(0, 0, 0, 1, 0x68747541, 0x444d4163, 0x69746e65),
		ENTRY(0x80000000, 0, 0, 0x80000008, 0, 0, 0),
		ENTRY(0x80000008, 0, 0, 0x2028, 0, 0, 0),
	} };
	struct kvm_cpuid2 *now = kvm_supported_cpuid();
	uint32_t before = cpuid_find(now, 0x80000008, 0)->eax;

	ioctl_fails(v->fd, KVM_SET_CPUID2, &set, EINVAL);
	memset(now->entries, 0, now->nent * sizeof(now->entries[0]));
	ioctl_ok(v->fd, KVM_GET_CPUID2, now);
	TEST_ASSERT_EQ(cpuid_find(now, 0x80000008, 0)->eax, before);
	set.entries[2].eax = 0x3028;
	ioctl_ok(v->fd, KVM_SET_CPUID2, &set);
}

TEST(old_set_cpuid)
{
	struct {
		struct kvm_cpuid head;
		struct kvm_cpuid_entry entries[2];
	} old = { { .nent = 2 }, {
		{ .function = 0, .eax = 1, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
		{ .function = 1, .eax = 0x1234, .ebx = 0x5678 },
	} };
	struct vcpu *v = guest_of(asks);

	ioctl_ok(v->fd, KVM_SET_CPUID, &old);
	expect(v, 1, 7, 0x1234, 0x5678);
	old.head.nent = 257;
	ioctl_fails(v->fd, KVM_SET_CPUID, &old, E2BIG);
}

static bool has(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index, int reg, int bit)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, index);

	return e && (&e->eax)[reg] >> bit & 1;
}

TEST(what_is_offered)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e;
	uint32_t host[4];

	guest_cpuid(0, 0, host);
	for (uint32_t i = 0; i < c->nent; i++)
		for (uint32_t j = 0; j < i; j++)
			TEST_ASSERT(c->entries[i].function != c->entries[j].function ||
				    c->entries[i].index != c->entries[j].index,
				    "leaf %#x.%u is there twice", c->entries[i].function,
				    c->entries[i].index);
	TEST_ASSERT(has(c, 1, 0, 2, 21), "x2APIC is emulated on any host");
	TEST_ASSERT(has(c, 1, 0, 3, 9), "there is a local APIC");
	/* But leaves that the CPU has not are not made up. */
	TEST_ASSERT_EQ(has(c, 7, 0, 1, 1), host[0] >= 7);
	TEST_ASSERT_EQ(has(c, 6, 0, 0, 2), host[0] >= 6);
	TEST_ASSERT(!has(c, 1, 0, 2, 27), "OSXSAVE is CR4's");
	TEST_ASSERT(!has(c, 7, 0, 2, 4), "OSPKE is CR4's");
	e = cpuid_find(c, KVM_CPUID_SIGNATURE, 0);
	TEST_ASSERT(e && e->eax >= KVM_CPUID_FEATURES && !memcmp(&e->ebx, "KVMKVMKVM\0\0", 12),
		    "no signature");
	if (kvm_is_okvm()) {
		TEST_ASSERT(!has(c, 1, 0, 2, 5), "VMX is not virtualized");
		TEST_ASSERT(!has(c, 0x80000001, 0, 2, 2), "SVM is not virtualized");
	}
}

TEST(xstate_leaf_follows_xcr0)
{
	struct vcpu *v = guest_of(asks);
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, 0);

	TEST_REQUIRE(e && e->eax & 4, "no AVX");
	xcrs.xcrs[0].value = 3;
	ioctl_ok(v->fd, KVM_SET_XCRS, &xcrs);
	c->nent = 256;
	ioctl_ok(v->fd, KVM_GET_CPUID2, c);
	TEST_ASSERT_EQ(cpuid_find(c, 0xd, 0)->ebx, 576);
	xcrs.xcrs[0].value = 7;
	ioctl_ok(v->fd, KVM_SET_XCRS, &xcrs);
	c->nent = 256;
	ioctl_ok(v->fd, KVM_GET_CPUID2, c);
	TEST_ASSERT_EQ(cpuid_find(c, 0xd, 0)->ebx, 832);
}
