// SPDX-License-Identifier: GPL-2.0-only
/* The library's own ground: a 64-bit guest that computes, calls the host and takes traps. */

#include "selftest.h"

static uint64_t shared;
static const char greeting[] = "hello";

static void syncs(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC_VAL(2, 0x123456789abcdef0);
	GUEST_ASSERT(!memcmp(greeting, "hello", 6));
	GUEST_PRINTF("a line of the guest's, %lu and %#lx", 42, 0xdeadul);
	GUEST_DONE();
}

TEST(sync_and_done)
{
	struct vcpu *v = guest_of(syncs);

	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), 0x123456789abcdef0);
	vcpu_expect_done(v);
	vm_destroy(v->vm);
}

static void shares(void)
{
	GUEST_ASSERT_EQ(READ_ONCE(shared), 7);
	WRITE_ONCE(shared, 8);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(shared), 9);
	GUEST_DONE();
}

TEST(shared_variables)
{
	struct vcpu *v;

	shared = 7;
	v = guest_of(shares);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(shared, 7);
	TEST_ASSERT_EQ(*vm_shared(v->vm, shared), 8);
	*vm_shared(v->vm, shared) = 9;
	vcpu_expect_done(v);
}

static void count_trap(struct trap_frame *f)
{
	shared += f->vector;
	f->rip += 2;		/* over UD2 */
}

static void traps(void)
{
	struct trap t;

	guest_handle(UD_VECTOR, count_trap);
	asm volatile("ud2");
	GUEST_ASSERT_EQ(shared, UD_VECTOR);
	t = guest_try("ud2");
	GUEST_ASSERT_EQ(t.vector, UD_VECTOR);
	GUEST_ASSERT_EQ(shared, UD_VECTOR);
	t = guest_try("nop");
	GUEST_ASSERT_EQ(t.vector, NO_TRAP);
	t = guest_try("movb $1, (%[p])", [p] "r"(0x8000000000000000));
	GUEST_ASSERT_EQ(t.vector, GP_VECTOR);
	t = guest_try("movb $1, (%[p])", [p] "r"(0x7000000000));
	GUEST_ASSERT_EQ(t.vector, PF_VECTOR);
	GUEST_ASSERT_EQ(t.error, PFERR_W);
	GUEST_ASSERT_EQ(read_cr2(), 0x7000000000);
	asm volatile("int $0x80" : : : "memory");
	GUEST_DONE();
}

static void on_int80(struct trap_frame *f)
{
	GUEST_SYNC_VAL(80, f->vector);
}

static void traps_and_int(void)
{
	guest_handle(0x80, on_int80);
	traps();
}

TEST(exceptions_are_handled)
{
	struct vcpu *v;

	shared = 0;
	v = guest_of(traps_and_int);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 80), 0x80);
	vcpu_expect_done(v);
}

static void fails(void)
{
	GUEST_ASSERT_EQ(1, 2);
	GUEST_DONE();
}

static void divides(void)
{
	asm volatile("div %0" : : "r"(0ul), "a"(1ul), "d"(0ul));
	GUEST_DONE();
}

/* The library must notice a guest that fails: a test that cannot fail tests nothing. */
static void must_fail(void (*fn)(void))
{
	int pid = spawn(), status;

	if (!pid) {
		close(STDOUT_FILENO);
		open("/dev/null", O_WRONLY);
		run_guest(fn);
		pass();
	}
	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid");
	TEST_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 1, "wait status %#x", status);
}

TEST(guest_assert_fails_the_case)
{
	must_fail(fails);
}

TEST(unhandled_trap_fails_the_case)
{
	must_fail(divides);
}

GUEST_ASM(code32, 32,
	  "mov $0x1234, %eax; add $0x4321, %eax; mov $0x4f4c, %dx; outl %eax, %dx; hlt");
GUEST_ASM(code16, 16,
	  "mov $0x1234, %ax; add $0x4321, %ax; mov $0x4f4c, %dx; outw %ax, %dx; hlt");

static void expect_out(struct vcpu *v, uint16_t port, int size, uint32_t value)
{
	uint32_t data = 0;

	vcpu_expect_exit(v, KVM_EXIT_IO);
	memcpy(&data, pio_data(v), size);
	TEST_ASSERT_EQ(v->run->io.port, port);
	TEST_ASSERT_EQ(v->run->io.size, size);
	TEST_ASSERT_EQ(data, value);
}

TEST(code_of_32_bits)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);

	vm_load_asm(v->vm, TEST_GPA, code32);
	vcpu_enter32(v, TEST_GPA);
	expect_out(v, 0x4f4c, 4, 0x5555);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

TEST(code_of_16_bits)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);

	vm_load_asm(v->vm, 0x90000, code16);
	vcpu_enter16(v, 0x9000, 0);
	expect_out(v, 0x4f4c, 2, 0x5555);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

static uint32_t turn;

static void takes_turns(void)
{
	uint32_t me[4];

	guest_cpuid(1, 0, me);
	for (int i = 0; i < 100; i++) {
		GUEST_WAIT(READ_ONCE(turn) % 2 == me[1] >> 24);
		WRITE_ONCE(turn, turn + 1);
	}
	GUEST_DONE();
}

TEST(two_vcpus_in_threads)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_add(vm, 0, takes_turns), *b = vcpu_add(vm, 1, takes_turns);

	vcpu_start(a);
	vcpu_start(b);
	vcpu_join(a);
	vcpu_join(b);
	TEST_ASSERT_EQ(*vm_shared(vm, turn), 200);
	vm_destroy(vm);
}

static void spins(void)
{
	for (;;)
		cpu_relax();
}

TEST(stop_a_spinning_vcpu)
{
	struct vcpu *v = guest_of(spins);

	vcpu_start(v);
	usleep(20000);
	vcpu_stop(v);
	vm_destroy(v->vm);
}
