// SPDX-License-Identifier: GPL-2.0-only
/* MSRs: KVM_GET_MSRS, KVM_SET_MSRS, and the guest's own RDMSR and WRMSR. */

#include "selftest.h"

#include <sched.h>

#define NO_SUCH_MSR	0x4bad0000

static void nothing(void)
{
	GUEST_DONE();
}

struct msrs3 {
	struct kvm_msrs head;
	struct kvm_msr_entry e[3];
};

static struct msrs3 three(uint32_t a, uint32_t b, uint32_t c)
{
	struct msrs3 m = { .head.nmsrs = 3 };

	m.e[0].index = a;
	m.e[1].index = b;
	m.e[2].index = c;
	for (int i = 0; i < 3; i++)
		m.e[i].data = 0x1000 * (i + 1);
	return m;
}

TEST(set_and_get_return_the_count)
{
	struct vcpu *v = guest_of(nothing);
	struct msrs3 m = three(MSR_SYSENTER_ESP, MSR_LSTAR, MSR_KERNEL_GS_BASE);

	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_SET_MSRS, &m), 3);
	memset(m.e, 0, sizeof(m.e));
	m = three(MSR_SYSENTER_ESP, MSR_LSTAR, MSR_KERNEL_GS_BASE);
	m.e[0].data = m.e[1].data = m.e[2].data = 0;
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_GET_MSRS, &m), 3);
	for (int i = 0; i < 3; i++)
		TEST_ASSERT_EQ(m.e[i].data, 0x1000 * (i + 1));
	m.head.nmsrs = 0;
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_SET_MSRS, &m), 0);
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_GET_MSRS, &m), 0);
}

TEST(stop_at_the_first_bad_one)
{
	struct vcpu *v = guest_of(nothing);
	struct msrs3 m = three(MSR_SYSENTER_ESP, NO_SUCH_MSR, MSR_LSTAR);

	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_SET_MSRS, &m), 1);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_SYSENTER_ESP), 0x1000);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_LSTAR), 0);
	m = three(MSR_SYSENTER_ESP, NO_SUCH_MSR, MSR_LSTAR);
	m.e[0].data = m.e[2].data = 7;
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_GET_MSRS, &m), 1);
	TEST_ASSERT_EQ(m.e[0].data, 0x1000);
	TEST_ASSERT_EQ(m.e[2].data, 7);
	m = three(NO_SUCH_MSR, MSR_SYSENTER_ESP, MSR_LSTAR);
	TEST_ASSERT_EQ(ioctl_ok(v->fd, KVM_SET_MSRS, &m), 0);
}

TEST(too_many)
{
	struct vcpu *v = guest_of(nothing);
	struct msrs3 m = three(MSR_SYSENTER_ESP, MSR_LSTAR, MSR_PAT);

	m.head.nmsrs = 0xffffffff;
	ioctl_fails(v->fd, KVM_SET_MSRS, &m, E2BIG);
	ioctl_fails(v->fd, KVM_GET_MSRS, &m, E2BIG);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_LSTAR), 0);
}

static struct kvm_msr_list *msr_list(int kvm, unsigned long command)
{
	struct kvm_msr_list probe = { 0 }, *l;

	ioctl_fails(kvm, command, &probe, E2BIG);
	l = calloc(1, sizeof(*l) + probe.nmsrs * sizeof(l->indices[0]));
	l->nmsrs = probe.nmsrs;
	ioctl_ok(kvm, command, l);
	return l;
}

/* Every MSR that the index list names can be read, and what was read can be written. */
TEST(index_list_can_be_saved_and_restored)
{
	struct vcpu *v = guest_of(nothing);
	struct kvm_msr_list *l = msr_list(v->vm->kvm, KVM_GET_MSR_INDEX_LIST);
	unsigned int bad = 0;

	for (uint32_t i = 0; i < l->nmsrs; i++) {
		uint64_t value;

		if (vcpu_try_get_msr(v, l->indices[i], &value) != 1) {
			diag("MSR %#x is in the list but not readable", l->indices[i]);
			bad++;
		} else if (vcpu_try_set_msr(v, l->indices[i], value) != 1) {
			diag("MSR %#x does not take its own value, %#lx", l->indices[i], value);
			bad++;
		}
	}
	TEST_ASSERT_EQ(bad, 0);
}

/* Those of features are there before any VM is. */
TEST(feature_msrs_are_readable)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m = { .head.nmsrs = 1 };
	struct kvm_msr_list *l;
	int kvm = kvm_open();

	require_cap(KVM_CAP_GET_MSR_FEATURES);
	l = msr_list(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST);
	for (uint32_t i = 0; i < l->nmsrs; i++) {
		m.entry.index = l->indices[i];
		TEST_ASSERT(ioctl(kvm, KVM_GET_MSRS, &m) == 1, "MSR %#x", l->indices[i]);
	}
	m.entry.index = MSR_LSTAR;
	TEST_ASSERT(ioctl(kvm, KVM_GET_MSRS, &m) <= 0, "a MSR that is no feature");
}

/*
 * Bad values are refused from the host always. From the guest only where the
 * access is bound to exit: what the CPU itself takes is the CPU's affair, and
 * emulated ones do not check that an address is canonical.
 */
static const struct {
	uint32_t index;
	uint64_t good, bad;		/* bad 0: none known */
	bool guest_faults;
} msrs[] = {
	{ MSR_SYSENTER_CS, 0x10, 0, 0 },
	{ MSR_SYSENTER_ESP, 0x7ffff000, 0, 0 },	/* AMD has 32 bits of these two */
	{ MSR_SYSENTER_EIP, 0x1000, 0, 0 },
	{ MSR_STAR, 0x0018000800000000, 0, 0 },
	{ MSR_LSTAR, 0xffffffff81000000, 0x8000000000000000, 0 },
	{ MSR_CSTAR, 0x7ffffffff000, 0x1234000000000000, 0 },
	{ MSR_SYSCALL_MASK, 0x47700, 0, 0 },
	{ MSR_FS_BASE, 0x7f0000001000, 0x8000000000000000, 0 },
	{ MSR_GS_BASE, 0xffff888000000000, 0x0000800000000000, 0 },
	{ MSR_KERNEL_GS_BASE, 0xffff888000001000, 0x4000000000000000, 0 },
	{ MSR_PAT, 0x0007040600070406, 0x0007040600070402, 1 },
	{ MSR_EFER, EFER_SCE | EFER_LME | EFER_LMA | EFER_NX, 1ul << 62, 1 },
};

#define N_MSRS (sizeof(msrs) / sizeof(msrs[0]))

TEST(host_values)
{
	struct vcpu *v = guest_of(nothing);

	for (unsigned int i = 0; i < N_MSRS; i++) {
		vcpu_set_msr(v, msrs[i].index, msrs[i].good);
		TEST_ASSERT_EQ(vcpu_get_msr(v, msrs[i].index), msrs[i].good);
		if (!msrs[i].bad)
			continue;
		TEST_ASSERT(vcpu_try_set_msr(v, msrs[i].index, msrs[i].bad) == 0,
			    "MSR %#x took %#lx", msrs[i].index, msrs[i].bad);
		TEST_ASSERT_EQ(vcpu_get_msr(v, msrs[i].index), msrs[i].good);
	}
}

static void writes_msrs(void)
{
	uint64_t value;

	for (unsigned int i = 0; i < N_MSRS; i++) {
		GUEST_ASSERT_EQ(guest_wrmsr_try(msrs[i].index, msrs[i].good), NO_TRAP);
		GUEST_ASSERT_EQ(guest_rdmsr_try(msrs[i].index, &value), NO_TRAP);
		GUEST_ASSERT_EQ(value, msrs[i].good);
		if (!msrs[i].guest_faults)
			continue;
		GUEST_ASSERT_EQ(guest_wrmsr_try(msrs[i].index, msrs[i].bad), GP_VECTOR);
		GUEST_ASSERT_EQ(rdmsr(msrs[i].index), msrs[i].good);
	}
	GUEST_DONE();
}

TEST(guest_values)
{
	struct vcpu *v = guest_of(writes_msrs);

	vcpu_expect_done(v);
	for (unsigned int i = 0; i < N_MSRS; i++)
		TEST_ASSERT_EQ(vcpu_get_msr(v, msrs[i].index), msrs[i].good);
}

static void reads_msrs(void)
{
	for (unsigned int i = 0; i < N_MSRS; i++)
		GUEST_ASSERT_EQ(rdmsr(msrs[i].index), msrs[i].good);
	GUEST_DONE();
}

TEST(host_values_reach_the_guest)
{
	struct vcpu *v = guest_of(reads_msrs);

	for (unsigned int i = 0; i < N_MSRS; i++)
		vcpu_set_msr(v, msrs[i].index, msrs[i].good);
	vcpu_expect_done(v);
}

static void touches_unknown_msrs(void)
{
	static const uint32_t none[] = { NO_SUCH_MSR, 0xffffffff, 0xc0002fff, 0x3fffffff };
	uint64_t value;

	for (unsigned int i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		GUEST_ASSERT_EQ(guest_rdmsr_try(none[i], &value), GP_VECTOR);
		GUEST_ASSERT_EQ(guest_wrmsr_try(none[i], 0), GP_VECTOR);
	}
	/* The error code of a #GP by RDMSR is 0. */
	GUEST_ASSERT_EQ(guest_try("rdmsr", "c"(NO_SUCH_MSR)).error, 0);
	GUEST_DONE();
}

TEST(unknown_msrs_fault)
{
	run_guest(touches_unknown_msrs);
}

static void user_syscall(void)
{
	asm volatile(
		"jmp 2f\n"
		"1:\tcmp $77, %%rdi\n\tjne 3f\n\tadd $1, %%rdi\n\tmov %%rdi, %[out]\n\tjmp 4f\n"
		"3:\tud2\n"
		"2:\tlea 1b(%%rip), %%rax\n\tmov %%rax, %%rdx\n\tshr $32, %%rdx\n"
		"\tmov %[lstar], %%ecx\n\twrmsr\n"
		"\tmov $77, %%edi\n\tsyscall\n\tud2\n"
		"4:"
		: [out] "=m"(*(uint64_t *)TEST_GPA)
		: [lstar] "i"(MSR_LSTAR)
		: "rax", "rcx", "rdx", "rdi", "r11", "memory");
}

static void syscalls(void)
{
	wrmsr(MSR_STAR, (uint64_t)SEL_CODE64 << 32);
	wrmsr(MSR_SYSCALL_MASK, FLAG_IF | FLAG_DF);
	user_syscall();
	GUEST_ASSERT_EQ(*(uint64_t *)TEST_GPA, 78);
	/* Without EFER.SCE it is no instruction. */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	GUEST_ASSERT_EQ(guest_try("syscall", "a"(0)).vector, UD_VECTOR);
	GUEST_DONE();
}

TEST(syscall_goes_to_lstar)
{
	run_guest(syscalls);
}

static void swaps_gs(void)
{
	wrmsr(MSR_GS_BASE, 0x111000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x222000);
	asm volatile("swapgs");
	GUEST_ASSERT_EQ(rdmsr(MSR_GS_BASE), 0x222000);
	GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x111000);
	GUEST_SYNC(1);
	asm volatile("swapgs");
	GUEST_ASSERT_EQ(rdmsr(MSR_GS_BASE), 0x111000);
	GUEST_DONE();
}

TEST(swapgs)
{
	struct vcpu *v = guest_of(swaps_gs);

	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_KERNEL_GS_BASE), 0x111000);
	TEST_ASSERT_EQ(vcpu_sregs(v).gs.base, 0x222000);
	vcpu_expect_done(v);
}

/* EFER.LME cannot change under paging: SDM, AMD APM volume 2, "EFER". */
static void clears_lme(void)
{
	GUEST_ASSERT_EQ(guest_wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME), GP_VECTOR);
	GUEST_ASSERT_EQ(rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	GUEST_DONE();
}

TEST(efer_lme_under_paging)
{
	run_guest(clears_lme);
}

TEST(msrs_of_two_vcpus_are_two)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_add(vm, 0, nothing), *b = vcpu_add(vm, 1, nothing);

	vcpu_set_msr(a, MSR_LSTAR, 0x1000);
	vcpu_set_msr(b, MSR_LSTAR, 0x2000);
	vcpu_expect_done(a);
	vcpu_expect_done(b);
	TEST_ASSERT_EQ(vcpu_get_msr(a, MSR_LSTAR), 0x1000);
	TEST_ASSERT_EQ(vcpu_get_msr(b, MSR_LSTAR), 0x2000);
}

static void reads_tsc_aux(void)
{
	uint32_t aux;

	for (;;) {
		asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
		GUEST_SYNC_VAL(0, aux);
	}
}

static uint32_t own_tsc_aux(void)
{
	uint32_t aux;

	asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
	return aux;
}

/* In turns with the guest's: the VMM has its own, the number of its CPU, on whichever that is. */
static void expect_own(struct vcpu *v, int cpu)
{
	static const uint32_t values[] = { 0x12345678, 0, 1, 0xffffffff };
	uint32_t own;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
	own = own_tsc_aux();
	TEST_ASSERT_EQ(own & 0xfff, cpu);
	for (int i = 0; i < 8; i++) {
		vcpu_set_msr(v, MSR_TSC_AUX, values[i % 4]);
		for (int n = 0; n < 2; n++) {
			TEST_ASSERT_EQ(vcpu_expect_sync(v, 0), values[i % 4]);
			TEST_ASSERT_EQ(own_tsc_aux(), own);
		}
	}
}

TEST(tsc_aux_is_everyones_own)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x80000001, 0);
	struct vcpu *v;

	TEST_REQUIRE(e && e->edx & 1u << 27, "no RDTSCP");
	v = guest_of(reads_tsc_aux);
	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++)
		expect_own(v, cpu);
}
