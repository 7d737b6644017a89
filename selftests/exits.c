// SPDX-License-Identifier: GPL-2.0-only
/* The other exits: HLT, SHUTDOWN, INTERNAL_ERROR, and guests that run into nothing. */

#include "selftest.h"

static uint64_t reached;

static void halts(void)
{
	hlt();
	WRITE_ONCE(reached, 1);
	hlt();
	GUEST_DONE();
}

TEST(hlt)
{
	struct vcpu *v = guest_of(halts);

	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(*vm_shared(v->vm, reached), 0);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(*vm_shared(v->vm, reached), 1);
	vcpu_expect_done(v);
}

static void triple_faults(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0\n\tud2" : : "m"(none));
}

TEST(triple_fault)
{
	struct vcpu *v = guest_of(triple_faults);

	vcpu_expect_exit(v, KVM_EXIT_SHUTDOWN);
}

/* The VMM resets it and goes on. */
TEST(life_after_a_triple_fault)
{
	struct vcpu *v = guest_of(triple_faults);

	vcpu_expect_exit(v, KVM_EXIT_SHUTDOWN);
	vcpu_enter64(v, halts, 0);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	vcpu_expect_done(v);
}

static void empty_page_tables(void)
{
	write_cr3(TEST_GPA);
}

TEST(page_tables_of_zeroes)
{
	vcpu_expect_exit(guest_of(empty_page_tables), KVM_EXIT_SHUTDOWN);
}

static void ignore_signal(int sig)
{
}

static void page_tables_nowhere(void)
{
	write_cr3(NOWHERE_GPA);
}

/* The walk finds no memory: it may be retried for ever, but a signal ends that. */
TEST(page_tables_without_memory)
{
	struct sigaction sa = { .sa_handler = ignore_signal };
	struct vcpu *v = guest_of(page_tables_nowhere);

	sigaction(SIGALRM, &sa, NULL);
	alarm(1);
	if (vcpu_run(v)) {
		TEST_ASSERT(errno == EINTR || errno == EFAULT, "KVM_RUN");
		return;
	}
	TEST_ASSERT(v->run->exit_reason == KVM_EXIT_SHUTDOWN ||
		    v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
		    v->run->exit_reason == KVM_EXIT_MMIO, "exit %u", v->run->exit_reason);
}

static void jumps_nowhere(void)
{
	((void (*)(void))NOWHERE_GPA)();
}

static void expect_emulation_failure(struct vcpu *v)
{
	vcpu_expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	TEST_ASSERT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	TEST_ASSERT(v->run->internal.ndata <= 16, "%u data", v->run->internal.ndata);
}

TEST(jump_into_nothing)
{
	struct vcpu *v = guest_of(jumps_nowhere);

	expect_emulation_failure(v);
	TEST_ASSERT_EQ(vcpu_regs(v).rip, NOWHERE_GPA);
}

/* No emulator does XSAVE to a device. */
static void saves_to_mmio(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	asm volatile("mov $1, %%eax\n\txor %%edx, %%edx\n\t.globl xsave_insn\nxsave_insn:\n\t"
		     "xsave (%0)" : : "r"(NOWHERE_GPA) : "rax", "rdx", "memory");
	GUEST_DONE();
}

extern const char xsave_insn[];

TEST(what_cannot_be_emulated)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_regs r;
	struct vcpu *v;

	TEST_REQUIRE(cpuid_find(c, 1, 0)->ecx & 1 << 26, "no XSAVE in the supported CPUID");
	v = guest_of(saves_to_mmio);
	expect_emulation_failure(v);
	TEST_ASSERT_EQ(vcpu_regs(v).rip, (uintptr_t)xsave_insn);
	/* The VMM may do the work itself, and go on. */
	r = vcpu_regs(v);
	r.rip += 4 - ((*(uint8_t *)xsave_insn & 0xf0) != 0x40);
	vcpu_set_regs(v, &r);
	vcpu_expect_done(v);
}

static void halts_not(void)
{
	GUEST_DONE();
}

static void executes_garbage(void)
{
	((void (*)(void))TEST_GPA)();
}

/* No IDT: the first exception is the last. Returns at the end or after a second. */
static void run_garbage(unsigned int seed)
{
	struct vcpu *v = guest_of(executes_garbage);
	uint8_t *code = vm_hva(v->vm, TEST_GPA);
	struct kvm_sregs s = vcpu_sregs(v);

	srandom(seed);
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		code[i] = random();
	s.idt.limit = 0;
	vcpu_set_sregs(v, &s);
	alarm(1);
	for (int n = 0; n < 20; n++) {
		if (vcpu_run(v)) {
			TEST_ASSERT(errno == EINTR || errno == EFAULT, "KVM_RUN");
			break;
		}
		if (v->run->exit_reason == KVM_EXIT_SHUTDOWN ||
		    v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
			break;
		TEST_ASSERT(v->run->exit_reason == KVM_EXIT_IO ||
			    v->run->exit_reason == KVM_EXIT_MMIO ||
			    v->run->exit_reason == KVM_EXIT_HLT, "exit %u", v->run->exit_reason);
	}
	alarm(0);
	vm_destroy(v->vm);
}

TEST_TIMEOUT(random_code, 60)
{
	struct sigaction sa = { .sa_handler = ignore_signal };

	sigaction(SIGALRM, &sa, NULL);
	for (unsigned int seed = 1; seed <= 12; seed++)
		run_garbage(seed);
	/* And a sane guest runs after them. */
	run_guest(halts_not);
}
