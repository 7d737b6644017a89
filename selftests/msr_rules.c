// SPDX-License-Identifier: GPL-2.0-only
/* Which values the guest may write to model-specific registers, by the manuals of the CPUs. */

#include "selftest.h"

#define MSR_MTRR_CAP		0xfe
#define MSR_MTRR_FIX64K		0x250
#define MSR_MTRR_FIX4K_LAST	0x26f
#define MSR_MTRR_BASE0		0x200
#define MSR_MTRR_MASK0		0x201
#define MSR_MCG_CAP		0x179
#define MSR_MCG_STATUS		0x17a
#define MSR_MC0_CTL		0x400
#define MSR_MC0_STATUS		0x401
#define MSR_PLATFORM_INFO	0xce
#define MSR_MISC_FEATURES	0x140
#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_TSC_ADJUST		0x3b
#define MSR_HWCR		0xc0010015

#define GUEST_FAULTS(msr, value) do {						\
	uint64_t old_ = 0, new_ = 0;						\
										\
	guest_rdmsr_try(msr, &old_);						\
	GUEST_ASSERT_EQ(guest_wrmsr_try(msr, value), GP_VECTOR);		\
	guest_rdmsr_try(msr, &new_);						\
	GUEST_ASSERT_EQ(old_, new_);						\
} while (0)

#define GUEST_KEEPS(msr, value) do {						\
	GUEST_ASSERT_EQ(guest_wrmsr_try(msr, value), NO_TRAP);			\
	GUEST_ASSERT_EQ(rdmsr(msr), value);					\
} while (0)

static void memory_types(void)
{
	uint64_t cap = rdmsr(MSR_MTRR_CAP);

	GUEST_ASSERT((cap & 0xff) >= 1 && cap & 1 << 8);
	GUEST_FAULTS(MSR_MTRR_CAP, cap);
	/* UC 0, WC 1, WT 4, WP 5, WB 6 are types; 2, 3 and 7 are not. */
	for (uint64_t type = 0; type < 256; type++) {
		bool good = type == 0 || type == 1 || (type >= 4 && type <= 6);

		if (good) {
			GUEST_KEEPS(MSR_MTRR_DEF_TYPE, 0xc00 | type);
			GUEST_KEEPS(MSR_MTRR_FIX64K, type << 56);
			GUEST_KEEPS(MSR_MTRR_FIX4K_LAST, type);
			GUEST_KEEPS(MSR_MTRR_BASE0, 0x10000000 | type);
		} else {
			GUEST_FAULTS(MSR_MTRR_DEF_TYPE, 0xc00 | type);
			GUEST_FAULTS(MSR_MTRR_FIX64K, type << 56);
			GUEST_FAULTS(MSR_MTRR_FIX4K_LAST, type);
			GUEST_FAULTS(MSR_MTRR_BASE0, 0x10000000 | type);
		}
		/* The PAT has UC- besides. */
		if (good || type == 7)
			GUEST_KEEPS(MSR_PAT, 0x0007040600070400ul | type);
		else
			GUEST_FAULTS(MSR_PAT, 0x0007040600070400ul | type);
	}
	GUEST_FAULTS(MSR_MTRR_DEF_TYPE, 0x1000);
	GUEST_FAULTS(MSR_MTRR_DEF_TYPE, 0x100);
	GUEST_FAULTS(MSR_MTRR_MASK0, 0x400);
	GUEST_FAULTS(MSR_MTRR_MASK0, 1ul << 63);
	GUEST_KEEPS(MSR_MTRR_MASK0, 0xf0000800);
	GUEST_ASSERT_EQ(guest_wrmsr_try(0x200 + 2 * (cap & 0xff), 0), GP_VECTOR);
	GUEST_DONE();
}

TEST_TIMEOUT(mtrr_and_pat, 120)
{
	run_guest(memory_types);
}

static void addresses(void)
{
	static const uint32_t msrs[] = { MSR_LSTAR, MSR_CSTAR, MSR_KERNEL_GS_BASE, MSR_FS_BASE };

	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		GUEST_KEEPS(msrs[i], 0xffff800000001234ul);
		GUEST_KEEPS(msrs[i], 0x00007ffffffff000ul);
		GUEST_FAULTS(msrs[i], 0x0000800000000000ul);
		GUEST_FAULTS(msrs[i], 0xffff7fffffffffffUL);
		GUEST_FAULTS(msrs[i], 1ul << 63);
	}
	GUEST_DONE();
}

TEST(linear_addresses_are_canonical)
{
	TEST_REQUIRE(!host_is_tcg(), "QEMU's CPU takes any address in these, without an exit");
	run_guest(addresses);
}

static void efer(void)
{
	uint64_t old = rdmsr(MSR_EFER);

	GUEST_FAULTS(MSR_EFER, old | 1ul << 63);
	GUEST_FAULTS(MSR_EFER, old | 2);
	GUEST_FAULTS(MSR_EFER, old & ~EFER_LME);
	/* LMA is not the guest's to write. */
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_EFER, old & ~EFER_LMA), NO_TRAP);
	GUEST_ASSERT_EQ(rdmsr(MSR_EFER), old);
	GUEST_KEEPS(MSR_EFER, old & ~EFER_SCE);
	GUEST_KEEPS(MSR_EFER, old | EFER_SCE);
	GUEST_DONE();
}

TEST(efer_bits)
{
	run_guest(efer);
}

static void machine_checks(void)
{
	uint64_t cap = rdmsr(MSR_MCG_CAP), banks = cap & 0xff;

	GUEST_FAULTS(MSR_MCG_CAP, cap);
	GUEST_ASSERT(banks);
	GUEST_KEEPS(MSR_MCG_STATUS, 0);
	GUEST_KEEPS(MSR_MC0_CTL, 0);
	GUEST_KEEPS(MSR_MC0_CTL, ~0ul);
	GUEST_FAULTS(MSR_MC0_CTL, 0x70);
	GUEST_KEEPS(MSR_MC0_STATUS, 0);
	GUEST_FAULTS(MSR_MC0_STATUS, 1);
	GUEST_FAULTS(MSR_MC0_CTL + 4 * banks, 0);
	GUEST_DONE();
}

TEST(machine_check_registers)
{
	run_guest(machine_checks);
}

static uint64_t mc_status, mc_addr, mcg_status;

static void on_mc(struct trap_frame *f)
{
	mcg_status = rdmsr(MSR_MCG_STATUS);
	mc_status = rdmsr(MSR_MC0_STATUS + 4);
	mc_addr = rdmsr(MSR_MC0_STATUS + 5);
	wrmsr(MSR_MC0_STATUS + 4, 0);
	wrmsr(MSR_MCG_STATUS, 0);
}

static void has_a_machine_check(void)
{
	guest_handle(MC_VECTOR, on_mc);
	write_cr4(read_cr4() | 1 << 6);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(mc_status, 0xbd00000000000134ul);
	GUEST_ASSERT_EQ(mc_addr, 0x12345000);
	GUEST_ASSERT_EQ(mcg_status, 5);
	GUEST_SYNC(2);
	/* A corrected error is logged and raises nothing. */
	GUEST_ASSERT_EQ(rdmsr(MSR_MC0_STATUS + 4), 0x9c00000000000135ul);
	GUEST_DONE();
}

TEST(machine_check_injection)
{
	struct vcpu *v = guest_of(has_a_machine_check);
	struct kvm_x86_mce mce = {
		.status = 0xbd00000000000134ull, .addr = 0x12345000, .mcg_status = 5, .bank = 1,
	};
	uint64_t cap = 0, good;

	require_cap(KVM_CAP_MCE);
	ioctl_ok(v->vm->kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap);
	good = (cap & 1ull << 8) | 10;
	cap = 0;
	ioctl_fails(v->fd, KVM_X86_SETUP_MCE, &cap, EINVAL);
	cap = 33;
	ioctl_fails(v->fd, KVM_X86_SETUP_MCE, &cap, EINVAL);
	cap = 1ull << 63 | 10;
	ioctl_fails(v->fd, KVM_X86_SETUP_MCE, &cap, EINVAL);
	ioctl_ok(v->fd, KVM_X86_SETUP_MCE, &good);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_MCG_CAP), good);

	vcpu_expect_sync(v, 1);
	mce.bank = 10;
	ioctl_fails(v->fd, KVM_X86_SET_MCE, &mce, EINVAL);
	mce.bank = 1;
	mce.status &= ~(1ull << 63);
	ioctl_fails(v->fd, KVM_X86_SET_MCE, &mce, EINVAL);
	mce.status |= 1ull << 63;
	ioctl_ok(v->fd, KVM_X86_SET_MCE, &mce);
	vcpu_expect_sync(v, 2);
	mce.status = 0x9c00000000000135ull;
	ioctl_ok(v->fd, KVM_X86_SET_MCE, &mce);
	vcpu_expect_done(v);
}

static void no_handler(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

TEST(machine_check_with_cr4_mce_clear_shuts_down)
{
	struct vcpu *v = guest_of(no_handler);
	struct kvm_x86_mce mce = { .status = 0xbd00000000000134ull, .mcg_status = 5, .bank = 1 };
	uint64_t cap = 10;

	require_cap(KVM_CAP_MCE);
	ioctl_ok(v->fd, KVM_X86_SETUP_MCE, &cap);
	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_X86_SET_MCE, &mce);
	vcpu_expect_exit(v, KVM_EXIT_SHUTDOWN);
}

static void read_only_ones(void)
{
	GUEST_FAULTS(MSR_PLATFORM_INFO, 0);
	GUEST_FAULTS(MSR_ARCH_CAPABILITIES, 0);
	GUEST_FAULTS(MSR_MISC_FEATURES, 2);
	GUEST_FAULTS(MSR_HWCR, 1);
	GUEST_DONE();
}

TEST(what_only_the_host_sets)
{
	run_guest(read_only_ones);
}

static void adjusts(void)
{
	uint64_t before = rdtsc(), now;

	GUEST_KEEPS(MSR_TSC_ADJUST, 1ul << 50);
	now = rdtsc();
	GUEST_ASSERT(now - before >= 1ul << 50 && now - before < (1ul << 50) + (1ul << 44));
	/* A write of the TSC shows in the register. */
	wrmsr(MSR_TSC, now + (1ul << 51));
	GUEST_ASSERT(rdmsr(MSR_TSC_ADJUST) - (1ul << 50) < (1ul << 51) + (1ul << 44));
	GUEST_ASSERT(rdmsr(MSR_TSC_ADJUST) - (1ul << 50) > (1ul << 51) - (1ul << 44));
	GUEST_SYNC_VAL(1, rdmsr(MSR_TSC_ADJUST));
	now = rdtsc();
	GUEST_SYNC_VAL(2, 0);
	/* The host's write of the register moves nothing. */
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_ADJUST), 77);
	GUEST_ASSERT(rdtsc() - now < 1ul << 44);
	GUEST_DONE();
}

TEST(tsc_adjust)
{
	struct vcpu *v = guest_of(adjusts);
	uint64_t adjust;

	TEST_REQUIRE(kvm_has_tsc_adjust(), "no TSC_ADJUST in the supported CPUID");
	adjust = vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_TSC_ADJUST), adjust);
	vcpu_expect_sync(v, 2);
	vcpu_set_msr(v, MSR_TSC_ADJUST, 77);
	vcpu_expect_done(v);
}

static void faults_at_cpuid(void)
{
	struct trap t;

	GUEST_ASSERT(rdmsr(MSR_PLATFORM_INFO) & 1ul << 31);
	GUEST_KEEPS(MSR_MISC_FEATURES, 1);
	/* CPL 0 is let through. */
	t = guest_try("push %%rbx\n\txor %%eax, %%eax\n\tcpuid\n\tpop %%rbx", [unused] "r"(0));
	GUEST_ASSERT_EQ(t.vector, NO_TRAP);
	GUEST_KEEPS(MSR_MISC_FEATURES, 0);
	GUEST_DONE();
}

TEST(cpuid_faulting)
{
	run_guest(faults_at_cpuid);
}
