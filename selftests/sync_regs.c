// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_SYNC_REGS: registers by way of kvm_run. */

#include "selftest.h"

#define ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static void adds_to_rbx(void)
{
	asm volatile("1:\tadd $1, %%rbx\n\toutb %%al, $0x80\n\tjmp 1b" : : : "rbx");
}

static struct vcpu *setup(void)
{
	require_cap(KVM_CAP_SYNC_REGS);
	return guest_of(adds_to_rbx);
}

static uint64_t offered(void)
{
	return kvm_cap(KVM_CAP_SYNC_REGS);
}

TEST(unknown_sets_are_refused)
{
	struct vcpu *v = setup();
	struct kvm_regs before = vcpu_regs(v), after;

	for (int bit = 0; bit < 64; bit++) {
		if (offered() >> bit & 1)
			continue;
		v->run->kvm_valid_regs = 1ul << bit;
		ioctl_fails(v->fd, KVM_RUN, 0, EINVAL);
		v->run->kvm_valid_regs = 0;
		v->run->kvm_dirty_regs = 1ul << bit;
		ioctl_fails(v->fd, KVM_RUN, 0, EINVAL);
		v->run->kvm_dirty_regs = 0;
	}
	after = vcpu_regs(v);
	TEST_ASSERT(!memcmp(&before, &after, sizeof(after)), "the guest ran");
}

TEST(valid_regs_are_stored)
{
	struct vcpu *v = setup();
	struct kvm_sregs s;
	struct kvm_regs r;

	v->run->kvm_valid_regs = offered();
	for (int i = 0; i < 3; i++) {
		memset(&v->run->s.regs, 0, sizeof(v->run->s.regs));
		vcpu_expect_exit(v, KVM_EXIT_IO);
		r = vcpu_regs(v);
		s = vcpu_sregs(v);
		if (offered() & KVM_SYNC_X86_REGS)
			TEST_ASSERT(!memcmp(&r, &v->run->s.regs.regs, sizeof(r)), "regs");
		if (offered() & KVM_SYNC_X86_SREGS)
			TEST_ASSERT(!memcmp(&s, &v->run->s.regs.sregs, sizeof(s)), "sregs");
	}
}

TEST(not_asked_for_is_not_stored)
{
	struct vcpu *v = setup();

	memset(&v->run->s.regs, 0x5a, sizeof(v->run->s.regs));
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->s.regs.regs.rbx, 0x5a5a5a5a5a5a5a5a);
}

TEST(dirty_regs_are_loaded)
{
	struct vcpu *v = setup();

	TEST_REQUIRE(offered() & KVM_SYNC_X86_REGS, "general registers are not offered");
	v->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	vcpu_expect_exit(v, KVM_EXIT_IO);
	v->run->s.regs.regs.rbx = 0x1000;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->s.regs.regs.rbx, 0x1001);
	TEST_ASSERT_EQ(v->run->kvm_dirty_regs, 0);
	/* Changed but not said so: not loaded. */
	v->run->s.regs.regs.rbx = 0x2000;
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(v->run->s.regs.regs.rbx, 0x1002);
	/* Loaded without being stored. */
	v->run->kvm_valid_regs = 0;
	v->run->s.regs.regs.rbx = 0x3000;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(vcpu_regs(v).rbx, 0x3001);
	TEST_ASSERT_EQ(v->run->s.regs.regs.rbx, 0x3000);
}

TEST(dirty_sregs)
{
	struct vcpu *v = setup();
	uint64_t fs;

	TEST_REQUIRE(offered() & KVM_SYNC_X86_SREGS, "special registers are not offered");
	v->run->kvm_valid_regs = KVM_SYNC_X86_SREGS;
	vcpu_expect_exit(v, KVM_EXIT_IO);
	v->run->s.regs.sregs.fs.base = 0x12345000;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(vcpu_sregs(v).fs.base, 0x12345000);
	fs = v->run->s.regs.sregs.fs.base;
	TEST_ASSERT_EQ(fs, 0x12345000);
	/* Bad ones are refused as KVM_SET_SREGS would. */
	v->run->s.regs.sregs.cr4 |= 1ul << 31;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	ioctl_fails(v->fd, KVM_RUN, 0, EINVAL);
	TEST_ASSERT_EQ(vcpu_sregs(v).cr4 >> 31, 0);
}

static volatile bool stop;

static void *scribbles(void *arg)
{
	struct kvm_run *run = arg;

	for (uint64_t i = 0; !stop; i++) {
		run->kvm_valid_regs = i * 0x9e3779b97f4a7c15;
		run->kvm_dirty_regs = i % 3 ? KVM_SYNC_X86_SREGS : i;
		run->s.regs.sregs.cr4 = i << 5;
		run->s.regs.sregs.cr0 = i;
		run->s.regs.sregs.efer = i & 0xfff;
		run->s.regs.regs.rflags = i;
	}
	return NULL;
}

/* Another thread writes to kvm_run all the while: errors, but no harm. */
TEST(race_on_kvm_run)
{
	struct vcpu *v = setup();
	pthread_t t;

	TEST_ASSERT(!pthread_create(&t, NULL, scribbles, v->run), "pthread_create");
	for (int i = 0; i < 500; i++) {
		if (!vcpu_run(v))
			continue;
		TEST_ASSERT(errno == EINVAL || errno == EFAULT, "KVM_RUN");
	}
	stop = true;
	pthread_join(t, NULL);
	vm_destroy(v->vm);
	v = guest_of(adds_to_rbx);
	vcpu_expect_exit(v, KVM_EXIT_IO);
}
