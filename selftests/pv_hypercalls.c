// SPDX-License-Identifier: GPL-2.0-only
/* Hypercalls of KVM's interface: numbers, privilege, results. */

#include "selftest.h"

#include <asm/kvm_para.h>
#include <linux/kvm_para.h>

static bool guest_is_amd(void)
{
	uint32_t r[4];

	guest_cpuid(0, 0, r);
	return r[1] == 0x68747541 || r[1] == 0x6f677948;	/* "Auth", "Hygo" */
}

static int64_t hypercall(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	int64_t result;

	if (guest_is_amd())
		asm volatile("vmmcall" : "=a"(result)
			     : "a"(nr), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	else
		asm volatile("vmcall" : "=a"(result)
			     : "a"(nr), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return result;
}

static void unknown_ones(void)
{
	static const uint64_t numbers[] = {
		0, 2, 3, 4, 6, 7, 8, 13, 1000, 0xffffffff, 1ul << 32 | 1, ~0ul
	};

	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		GUEST_ASSERT_EQ(hypercall(numbers[i], 1, 2, 3, 4), -KVM_ENOSYS);
	GUEST_ASSERT_EQ(hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	GUEST_DONE();
}

TEST(unknown_numbers)
{
	run_guest(unknown_ones);
}

static int64_t from_user;

/* Ring 3, and back by the port that the host gets. */
static void in_user_mode(void)
{
	from_user = hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0);
	GUEST_SYNC_VAL(1, from_user);
	for (;;)
		;
}

TEST(user_mode_may_not)
{
	struct vcpu *v = guest_of(in_user_mode);

	vcpu_drop_to_user(v);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), -KVM_EPERM);
}

static void pairs_clocks(void)
{
	struct kvm_clock_pairing *pairing = (void *)TEST_GPA;
	uint64_t before = rdtsc(), after;
	int64_t r;

	GUEST_ASSERT_EQ(hypercall(KVM_HC_CLOCK_PAIRING, TEST_GPA, 99, 0, 0), -KVM_EOPNOTSUPP);
	r = hypercall(KVM_HC_CLOCK_PAIRING, TEST_GPA, KVM_CLOCK_PAIRING_WALLCLOCK, 0, 0);
	after = rdtsc();
	if (r) {
		GUEST_ASSERT_EQ(r, -KVM_EOPNOTSUPP);
		GUEST_SYNC_VAL(1, 0);
	} else {
		GUEST_ASSERT(pairing->tsc >= before && pairing->tsc <= after);
		GUEST_ASSERT(pairing->nsec >= 0 && pairing->nsec < 1000000000);
		GUEST_SYNC_VAL(1, pairing->sec);
		GUEST_ASSERT_EQ(hypercall(KVM_HC_CLOCK_PAIRING, NOWHERE_GPA,
					  KVM_CLOCK_PAIRING_WALLCLOCK, 0, 0), -KVM_EFAULT);
	}
	GUEST_DONE();
}

TEST(clock_pairing)
{
	struct vcpu *v = guest_of(pairs_clocks);
	uint64_t sec = vcpu_expect_sync(v, 1);

	TEST_REQUIRE(sec, "the host's clock does not run by the TSC");
	TEST_ASSERT(llabs((long long)(sec - time(NULL))) < 5, "the guest says %lu, the host %ld", sec,
		    time(NULL));
	vcpu_expect_done(v);
}

static void yields(void)
{
	/* Itself, one that is not there, and any number: no harm. */
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SCHED_YIELD, 0, 0, 0, 0), 0);
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SCHED_YIELD, 7, 0, 0, 0), 0);
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SCHED_YIELD, ~0ul, 0, 0, 0), 0);
	GUEST_DONE();
}

TEST(sched_yield)
{
	run_guest(yields);
}

/* The other vendor's instruction, in a page that can be written, with a RET behind it. */
static uint8_t foreign[4] __attribute__((aligned(16)));
static uint64_t uds;

static void on_ud(struct trap_frame *f)
{
	WRITE_ONCE(uds, uds + 1);
	f->rip += 3;
}

static int64_t call_foreign(void)
{
	int64_t result;

	asm volatile("call *%1" : "=a"(result) : "r"(foreign), "a"(KVM_HC_VAPIC_POLL_IRQ)
		     : "memory");
	return result;
}

static void prepare_foreign(void)
{
	uint32_t code = guest_is_amd() ? 0xc3c1010f : 0xc3d9010f;

	memcpy(foreign, &code, sizeof(code));
	guest_handle(UD_VECTOR, on_ud);
}

static void foreign_works(void)
{
	prepare_foreign();
	GUEST_ASSERT_EQ(call_foreign(), 0);
	GUEST_ASSERT_EQ(READ_ONCE(uds), 0);
	/* From now on it is this CPU's own. */
	GUEST_ASSERT_EQ(foreign[2], guest_is_amd() ? 0xd9 : 0xc1);
	GUEST_ASSERT_EQ(call_foreign(), 0);
	/* Other undefined instructions stay so. */
	memcpy(foreign, "\x0f\xff\xc0\xc3", 4);
	call_foreign();
	GUEST_ASSERT_EQ(READ_ONCE(uds), 1);
	GUEST_DONE();
}

TEST(instruction_of_the_other_vendor)
{
	run_guest(foreign_works);
}

static void foreign_is_undefined(void)
{
	uint8_t third;

	prepare_foreign();
	third = foreign[2];
	call_foreign();
	GUEST_ASSERT_EQ(READ_ONCE(uds), 1);
	GUEST_ASSERT_EQ(foreign[2], third);
	GUEST_DONE();
}

TEST(instruction_of_the_other_vendor_not_wanted)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2 };
	struct vcpu *v = guest_of(foreign_is_undefined);
	int quirks = kvm_cap(KVM_CAP_DISABLE_QUIRKS2);

	TEST_REQUIRE(quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN, "the quirk cannot be disabled");
	cap.args[0] = quirks | 1ul << 40;
	ioctl_fails(v->vm->fd, KVM_ENABLE_CAP, &cap, EINVAL);
	cap.args[0] = KVM_X86_QUIRK_FIX_HYPERCALL_INSN;
	ioctl_ok(v->vm->fd, KVM_ENABLE_CAP, &cap);
	vcpu_expect_done(v);
}
