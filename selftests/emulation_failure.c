// SPDX-License-Identifier: GPL-2.0-only
/* Instructions that the emulator does not have, on MMIO: who hears of it, and what. */

#include "selftest.h"

/* FLD of 8 bytes: dd 00 */
static void loads_x87(void)
{
	asm volatile("fldl (%0)" : : "a"(NOWHERE_GPA));
	GUEST_DONE();
}

static void got_ud(struct trap_frame *f)
{
	GUEST_SYNC_VAL(7, f->rip);
	GUEST_DONE();
}

static void user_loads_x87(void)
{
	guest_handle(UD_VECTOR, got_ud);
	loads_x87();
}

static struct vcpu *user_guest(void)
{
	struct vcpu *v = guest_of(user_loads_x87);
	uint64_t stack = STACK_GPA + 16 * STACK_SIZE;

	memcpy(vm_hva(v->vm, TSS_GPA + 4), &stack, 8);
	vcpu_drop_to_user(v);
	return v;
}

static int exit_on_failure(struct vm *vm, uint64_t value, uint32_t flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .flags = flags, .args[0] = value,
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void expect_failure(struct vcpu *v)
{
	static const uint8_t code[] = { 0xdd, 0x00 };
	struct kvm_regs before, after;

	vcpu_expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	TEST_ASSERT_EQ(v->run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	TEST_ASSERT(v->run->emulation_failure.ndata >= 3, "%u data", v->run->internal.ndata);
	TEST_ASSERT_EQ(v->run->emulation_failure.flags & 1,
		       KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	TEST_ASSERT(v->run->emulation_failure.insn_size >= 2 &&
		    v->run->emulation_failure.insn_size <= 15, "%u bytes",
		    v->run->emulation_failure.insn_size);
	TEST_ASSERT(!memcmp(v->run->emulation_failure.insn_bytes, code, 2), "other bytes");
	/* Nothing has happened, and does not happen when it is tried again. */
	before = vcpu_regs(v);
	TEST_ASSERT(!memcmp(vm_hva(v->vm, before.rip), code, 2), "RIP is %#llx", before.rip);
	vcpu_expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	after = vcpu_regs(v);
	TEST_ASSERT(!memcmp(&before, &after, sizeof(after)), "registers changed");
}

static void step_over(struct vcpu *v)
{
	struct kvm_regs regs = vcpu_regs(v);

	regs.rip += 2;
	vcpu_set_regs(v, &regs);
}

TEST(kernel_exits)
{
	struct vcpu *v = guest_of(loads_x87);

	expect_failure(v);
	step_over(v);
	vcpu_expect_done(v);
}

TEST(user_gets_ud)
{
	struct vcpu *v = user_guest();
	uint64_t rip = vcpu_expect_sync(v, 7);

	TEST_ASSERT(!memcmp(vm_hva(v->vm, rip), "\xdd\0", 2), "#UD at %#lx", rip);
	vcpu_expect_done(v);
}

TEST(user_exits_if_asked)
{
	struct vcpu *v;

	require_cap(KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	v = user_guest();
	TEST_ASSERT(!exit_on_failure(v->vm, 1, 0), "KVM_ENABLE_CAP");
	expect_failure(v);
	/* And no more. */
	TEST_ASSERT(!exit_on_failure(v->vm, 0, 0), "KVM_ENABLE_CAP");
	vcpu_expect_sync(v, 7);
	vcpu_expect_done(v);
}

TEST(bad_arguments)
{
	struct vcpu *v;

	require_cap(KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	v = user_guest();
	for (uint64_t value = 2; value; value <<= 1)
		TEST_ASSERT(exit_on_failure(v->vm, value | 1, 0) && errno == EINVAL, "%#lx", value);
	TEST_ASSERT(exit_on_failure(v->vm, 1, 1) && errno == EINVAL, "flags");
	/* None of it took. */
	vcpu_expect_sync(v, 7);
	vcpu_expect_done(v);
}

static volatile bool stop;

static void *switches(void *arg)
{
	while (!stop) {
		TEST_ASSERT(!exit_on_failure(arg, 1, 0), "on");
		TEST_ASSERT(!exit_on_failure(arg, 0, 0), "off");
	}
	return NULL;
}

/* Switched while a vCPU runs into it: one or the other. */
TEST(race_with_failures)
{
	struct vcpu *v;
	pthread_t t;

	require_cap(KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	for (int i = 0; i < 20; i++) {
		v = user_guest();
		stop = false;
		TEST_ASSERT(!pthread_create(&t, NULL, switches, v->vm), "pthread_create");
		while (vcpu_next(v) == UCALL_NONE)
			TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
		TEST_ASSERT_EQ(v->uc.cmd, UCALL_SYNC);
		stop = true;
		pthread_join(t, NULL);
		vm_destroy(v->vm);
	}
}
