// SPDX-License-Identifier: GPL-2.0-only
/* Which MSRs user space lets the guest have, and those that it handles itself. */

#include "irq.h"

#define MSR_NONE	0x12345678	/* no CPU has it */
#define MSR_MISC_FEATURES 0x140

#define READ		KVM_MSR_FILTER_READ
#define WRITE		KVM_MSR_FILTER_WRITE
#define ALL_REASONS	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
			 KVM_MSR_EXIT_REASON_FILTER)

/* What the guest accesses, when the host says so. */
static uint32_t index_of;
static uint64_t value_of;

static uint8_t no_bits[KVM_MSR_FILTER_MAX_BITMAP_SIZE];
static uint8_t all_bits[KVM_MSR_FILTER_MAX_BITMAP_SIZE];

static int enable(struct vcpu *v, int cap, uint64_t arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(v->vm->fd, KVM_ENABLE_CAP, &enable);
}

static void want_exits(struct vcpu *v, uint64_t reasons)
{
	TEST_ASSERT_EQ(enable(v, KVM_CAP_X86_USER_SPACE_MSR, reasons), 0);
}

/* All is allowed but for @n MSRs from @first on. */
static void deny(struct vcpu *v, uint32_t first, uint32_t n, uint32_t access)
{
	struct kvm_msr_filter filter = {
		.ranges[0] = { .base = first, .nmsrs = n, .flags = access, .bitmap = no_bits },
	};

	ioctl_ok(v->vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static void allow_everything(struct vcpu *v)
{
	struct kvm_msr_filter filter = { };

	ioctl_ok(v->vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static struct vcpu *filtered(void (*guest)(void))
{
	require_cap(KVM_CAP_X86_MSR_FILTER);
	require_cap(KVM_CAP_X86_USER_SPACE_MSR);
	memset(all_bits, 0xff, sizeof(all_bits));
	return guest_of(guest);
}

/* Reads, then writes back, what the host names, over and over; 2 bits say what faulted. */
static void accesses(void)
{
	for (;;) {
		uint64_t value = 0, faults = 0;

		if (guest_rdmsr_try(READ_ONCE(index_of), &value) == GP_VECTOR)
			faults |= READ;
		GUEST_SYNC_VAL(1, value);
		if (guest_wrmsr_try(READ_ONCE(index_of), READ_ONCE(value_of)) == GP_VECTOR)
			faults |= WRITE;
		GUEST_SYNC_VAL(2, faults);
	}
}

static uint64_t faults_of(struct vcpu *v, uint32_t index)
{
	*vm_shared(v->vm, index_of) = index;
	*vm_shared(v->vm, value_of) = vcpu_get_msr(v, index);
	vcpu_expect_sync(v, 1);
	return vcpu_expect_sync(v, 2);
}

/* Those that a guest usually has without an exit, and some that it has not. */
static const uint32_t some_msrs[] = {
	MSR_FS_BASE, MSR_KERNEL_GS_BASE, MSR_GS_BASE, MSR_LSTAR, MSR_STAR, MSR_SYSENTER_CS,
	MSR_SYSENTER_ESP, MSR_PAT, MSR_TSC, MSR_MISC_FEATURES, MSR_MTRR_DEF_TYPE,
};
#define NR_SOME (sizeof(some_msrs) / sizeof(some_msrs[0]))

TEST(denied_accesses_fault)
{
	struct vcpu *v = filtered(accesses);

	for (unsigned int i = 0; i < NR_SOME; i++) {
		uint32_t msr = some_msrs[i];

		TEST_ASSERT_EQ(faults_of(v, msr), 0);
		deny(v, msr, 1, READ);
		TEST_ASSERT_EQ(faults_of(v, msr), READ);
		deny(v, msr, 1, WRITE);
		TEST_ASSERT_EQ(faults_of(v, msr), WRITE);
		deny(v, msr - 3, 5, READ | WRITE);
		TEST_ASSERT_EQ(faults_of(v, msr), READ | WRITE);
		/* The others are as free as before. */
		TEST_ASSERT_EQ(faults_of(v, some_msrs[(i + 5) % NR_SOME]), 0);
		allow_everything(v);
		TEST_ASSERT_EQ(faults_of(v, msr), 0);
	}
}

TEST(first_range_decides)
{
	struct vcpu *v = filtered(accesses);
	uint8_t one[8] = { 1 };
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_DENY,
		.ranges = {
			/* Of these two the first alone may be read. */
			{ .base = MSR_SYSENTER_CS, .nmsrs = 2, .flags = READ, .bitmap = one },
			{ .base = MSR_SYSENTER_CS, .nmsrs = 2, .flags = READ | WRITE,
			  .bitmap = all_bits },
			{ .base = MSR_LSTAR, .nmsrs = 1, .flags = READ, .bitmap = all_bits },
			/* Not a range at all. */
			{ .base = MSR_PAT, .nmsrs = 0, .flags = ~0u, .bitmap = (void *)1 },
		},
	};

	ioctl_ok(v->vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
	TEST_ASSERT_EQ(faults_of(v, MSR_SYSENTER_CS), 0);
	TEST_ASSERT_EQ(faults_of(v, MSR_SYSENTER_ESP), READ);
	TEST_ASSERT_EQ(faults_of(v, MSR_LSTAR), WRITE);
	TEST_ASSERT_EQ(faults_of(v, MSR_PAT), READ | WRITE);
	TEST_ASSERT_EQ(faults_of(v, MSR_FS_BASE), READ | WRITE);
}

TEST(bad_filters_change_nothing)
{
	struct vcpu *v = filtered(accesses);
	struct kvm_msr_filter good = {
		.ranges[15] = { .base = MSR_TSC, .nmsrs = sizeof(all_bits) * 8, .flags = READ,
				.bitmap = all_bits },
	}, bad;

	deny(v, MSR_PAT, 1, READ | WRITE);
	bad = good;
	bad.flags = 2;
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EINVAL);
	bad = good;
	bad.ranges[15].flags = 4 | READ;
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EINVAL);
	bad.ranges[15].flags = 0;
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EINVAL);
	bad = good;
	bad.ranges[15].nmsrs++;
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EINVAL);
	bad.ranges[15].nmsrs = ~0u;
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EINVAL);
	bad = good;
	bad.ranges[15].bitmap = (void *)8;
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EFAULT);
	bad = (struct kvm_msr_filter){ .flags = KVM_MSR_FILTER_DEFAULT_DENY };
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, &bad, EINVAL);
	ioctl_fails(v->vm->fd, KVM_X86_SET_MSR_FILTER, (void *)8, EFAULT);
	TEST_ASSERT_EQ(faults_of(v, MSR_PAT), READ | WRITE);
	ioctl_ok(v->vm->fd, KVM_X86_SET_MSR_FILTER, &good);
	TEST_ASSERT_EQ(faults_of(v, MSR_PAT), 0);
}

TEST(ioctls_are_not_filtered)
{
	struct vcpu *v = filtered(accesses);

	deny(v, MSR_LSTAR, 1, READ | WRITE);
	vcpu_set_msr(v, MSR_LSTAR, 0x1234);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_LSTAR), 0x1234);
}

static void x2apic(void)
{
	uint64_t value;

	for (int i = 0; i < 10; i++) {
		wrmsr(X2(R_TPR), i << 4);
		GUEST_ASSERT_EQ(rdmsr(X2(R_TPR)), i << 4);
	}
	GUEST_ASSERT_EQ(guest_rdmsr_try(MSR_APIC_BASE, &value), GP_VECTOR);
	GUEST_DONE();
}

TEST(the_x2apic_is_not_filtered)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *v = vcpu_add(vm, 0, x2apic);

	require_cap(KVM_CAP_X86_MSR_FILTER);
	vcpu_set_msr(v, MSR_APIC_BASE, vcpu_get_msr(v, MSR_APIC_BASE) | BASE_X2APIC);
	deny(v, 0, sizeof(no_bits) * 8, READ | WRITE);
	vcpu_expect_done(v);
}

/* ---- exits ---- */

static struct kvm_run *expect_msr(struct vcpu *v, uint32_t exit, uint32_t reason, uint32_t index)
{
	vcpu_expect_exit(v, exit);
	TEST_ASSERT_EQ(v->run->msr.reason, reason);
	TEST_ASSERT_EQ(v->run->msr.index, index);
	TEST_ASSERT_EQ(v->run->msr.error, 0);
	return v->run;
}

TEST(user_space_handles_denied_accesses)
{
	struct vcpu *v = filtered(accesses);

	want_exits(v, KVM_MSR_EXIT_REASON_FILTER);
	for (unsigned int i = 0; i < NR_SOME; i++) {
		uint64_t before = vcpu_get_msr(v, some_msrs[i]);

		deny(v, some_msrs[i], 1, READ | WRITE);
		*vm_shared(v->vm, index_of) = some_msrs[i];
		*vm_shared(v->vm, value_of) = 0xabcd00001234ul + i;
		expect_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, some_msrs[i]);
		v->run->msr.data = 0x8765432112345678ul;
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), 0x8765432112345678ul);
		expect_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER, some_msrs[i]);
		TEST_ASSERT_EQ(v->run->msr.data, 0xabcd00001234ul + i);
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 0);
		/* It is user space's own now. */
		if (some_msrs[i] != MSR_TSC)
			TEST_ASSERT_EQ(vcpu_get_msr(v, some_msrs[i]), before);
	}
	/* An error of any kind is #GP. */
	expect_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, some_msrs[NR_SOME - 1]);
	v->run->msr.error = 1;
	v->run->msr.data = 17;
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), 0);
	expect_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER, some_msrs[NR_SOME - 1]);
	v->run->msr.error = 0xff;
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), READ | WRITE);
}

TEST(user_space_handles_msrs_that_are_not_there)
{
	struct vcpu *v = filtered(accesses);

	*vm_shared(v->vm, index_of) = MSR_NONE;
	*vm_shared(v->vm, value_of) = 5;
	want_exits(v, KVM_MSR_EXIT_REASON_UNKNOWN);
	expect_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
	v->run->msr.data = 99;
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), 99);
	expect_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
	TEST_ASSERT_EQ(v->run->msr.data, 5);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 0);
	/* A reason that was not asked for is the guest's own business. */
	want_exits(v, KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), READ | WRITE);
	want_exits(v, 0);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), READ | WRITE);
}

TEST(user_space_handles_bad_values)
{
	struct vcpu *v = filtered(accesses);
	uint64_t pat = vcpu_get_msr(v, MSR_PAT);

	*vm_shared(v->vm, index_of) = MSR_PAT;
	*vm_shared(v->vm, value_of) = 0x0202020202020202ul;
	want_exits(v, KVM_MSR_EXIT_REASON_INVAL);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), pat);
	expect_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_INVAL, MSR_PAT);
	TEST_ASSERT_EQ(v->run->msr.data, 0x0202020202020202ul);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 0);
	TEST_ASSERT_EQ(vcpu_get_msr(v, MSR_PAT), pat);
}

TEST(unknown_reasons_are_refused)
{
	struct vcpu *v = filtered(accesses);

	want_exits(v, KVM_MSR_EXIT_REASON_UNKNOWN);
	TEST_ASSERT(enable(v, KVM_CAP_X86_USER_SPACE_MSR, ALL_REASONS + 1) < 0 && errno == EINVAL,
		    "a reason that there is not");
	TEST_ASSERT(enable(v, KVM_CAP_X86_USER_SPACE_MSR, 1ul << 32) < 0 && errno == EINVAL,
		    "a reason that there is not");
	*vm_shared(v->vm, index_of) = MSR_NONE;
	expect_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
}

TEST(immediate_exit_completes_the_access)
{
	struct vcpu *v = filtered(accesses);
	struct kvm_regs regs, after;

	want_exits(v, ALL_REASONS);
	deny(v, MSR_LSTAR, 1, READ);
	*vm_shared(v->vm, index_of) = MSR_LSTAR;
	expect_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_LSTAR);
	regs = vcpu_regs(v);
	v->run->msr.data = 0x1111111122222222ul;
	v->run->immediate_exit = 1;
	TEST_ASSERT(vcpu_run(v) < 0 && errno == EINTR, "immediate_exit ends the run");
	v->run->immediate_exit = 0;
	after = vcpu_regs(v);
	TEST_ASSERT_EQ(after.rip, regs.rip + 2);
	TEST_ASSERT_EQ(after.rax, 0x22222222);
	TEST_ASSERT_EQ(after.rdx, 0x11111111);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 1), 0x1111111122222222ul);
}

/* ---- while vCPUs run ---- */

static uint64_t rounds[2];

static void spinner(uint64_t me)
{
	uint64_t value;

	for (;;) {
		guest_rdmsr_try(MSR_KERNEL_GS_BASE, &value);
		WRITE_ONCE(rounds[me], rounds[me] + 1);
	}
}

static void spinner0(void) { spinner(0); }
static void spinner1(void) { spinner(1); }

static void next_rounds(struct vm *vm, unsigned int n)
{
	volatile uint64_t *now = *vm_shared(vm, rounds);
	uint64_t from[2] = { now[0], now[1] };

	while (now[0] < from[0] + n || now[1] < from[1] + n)
		usleep(100);
}

TEST_TIMEOUT(filters_change_while_vcpus_run, 60)
{
	struct vcpu *v = filtered(spinner0), *other;
	struct vm *vm = v->vm;

	other = vcpu_add(vm, 1, spinner1);
	vcpu_start(v);
	vcpu_start(other);
	next_rounds(vm, 10);
	for (int i = 0; i < 200; i++) {
		deny(v, MSR_KERNEL_GS_BASE, 1 + i % 3, i % 2 ? READ : WRITE);
		if (i % 4 == 0)
			allow_everything(v);
		if (i % 20 == 0)
			next_rounds(vm, 5);
	}
	/* A vCPU that is in the guest all the time obeys, too. */
	deny(v, MSR_KERNEL_GS_BASE, 1, READ);
	next_rounds(vm, 2);
	vcpu_stop(v);
	vcpu_stop(other);
	want_exits(v, KVM_MSR_EXIT_REASON_FILTER);
	expect_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_KERNEL_GS_BASE);
	expect_msr(other, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_KERNEL_GS_BASE);
}

static void in_the_guest(void)
{
	uint64_t value;

	/* No exit but for the host's own: the news must come to a vCPU in the guest. */
	while (guest_rdmsr_try(MSR_KERNEL_GS_BASE, &value) == NO_TRAP)
		WRITE_ONCE(rounds[0], rounds[0] + 1);
	GUEST_DONE();
}

TEST(running_guests_obey)
{
	struct vcpu *v = filtered(in_the_guest);

	vcpu_start(v);
	while (!READ_ONCE((*vm_shared(v->vm, rounds))[0]))
		usleep(100);
	deny(v, MSR_KERNEL_GS_BASE, 1, READ);
	vcpu_join(v);
}

TEST(new_vcpus_obey)
{
	struct vm *vm;
	struct vcpu *v;

	require_cap(KVM_CAP_X86_MSR_FILTER);
	index_of = MSR_KERNEL_GS_BASE;
	vm = vm_create();
	deny(&(struct vcpu){ .vm = vm }, MSR_KERNEL_GS_BASE, 1, READ | WRITE);
	v = vcpu_add(vm, 0, accesses);
	TEST_ASSERT_EQ(faults_of(v, MSR_KERNEL_GS_BASE), READ | WRITE);
}
