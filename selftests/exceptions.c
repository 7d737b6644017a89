// SPDX-License-Identifier: GPL-2.0-only
/* Exceptions stay in the guest: vector, error code, CR2, and nothing of the host's. */

#include "selftest.h"

#define PAGE	0x5000000000ul		/* mapped by the test, 4 KiB */

static struct trap_frame seen;

static void note(struct trap_frame *f)
{
	seen = *f;
	f->rflags &= ~FLAG_TF;
}

static void faults(void)
{
	struct trap t;

	t = guest_try("div %[zero]", [zero] "r"(0ul), "a"(1ul), "d"(0ul));
	GUEST_ASSERT_EQ(t.vector, DE_VECTOR);
	t = guest_try("div %[two]", [two] "r"(2ul), "a"(1ul), "d"(5ul));
	GUEST_ASSERT_EQ(t.vector, DE_VECTOR);
	t = guest_try("ud2");
	GUEST_ASSERT_EQ(t.vector, UD_VECTOR);
	t = guest_try("mov %[sel], %%ds", [sel] "r"(0x1234));
	GUEST_ASSERT_EQ(t.vector, GP_VECTOR);
	GUEST_ASSERT_EQ(t.error, 0x1234 & ~3);
	t = guest_try("movb $0, (%[p])", [p] "r"(1ul << 63));
	GUEST_ASSERT_EQ(t.vector, GP_VECTOR);
	GUEST_ASSERT_EQ(t.error, 0);
	t = guest_try("mov %[v], %%cr0", [v] "r"(CR0_PG));
	GUEST_ASSERT_EQ(t.vector, GP_VECTOR);
	write_cr0(read_cr0() | CR0_TS);
	t = guest_try("fninit");
	GUEST_ASSERT_EQ(t.vector, NM_VECTOR);
	t = guest_try("movq %%xmm0, %%xmm1", "a"(0));
	GUEST_ASSERT_EQ(t.vector, NM_VECTOR);
	asm volatile("clts");
	t = guest_try("fninit");
	GUEST_ASSERT_EQ(t.vector, NO_TRAP);
	GUEST_DONE();
}

TEST(faults_of_instructions)
{
	run_guest(faults);
}

static void traps(void)
{
	guest_handle(BP_VECTOR, note);
	guest_handle(DB_VECTOR, note);
	/* INT3 is a trap: the saved RIP is behind it. */
	asm volatile("int3\n\tnop");
	GUEST_ASSERT_EQ(seen.vector, BP_VECTOR);
	GUEST_ASSERT_EQ(*(uint8_t *)(seen.rip - 1), 0xcc);
	asm volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop" : : : "memory", "cc");
	GUEST_ASSERT_EQ(seen.vector, DB_VECTOR);
	GUEST_ASSERT_EQ(*(uint8_t *)(seen.rip - 1), 0x90);
	GUEST_DONE();
}

TEST(breakpoint_and_single_step)
{
	run_guest(traps);
}

static void fetch_fault(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(f->rip, PAGE);
	GUEST_ASSERT_EQ(f->error, PFERR_P | PFERR_I);
	GUEST_ASSERT_EQ(read_cr2(), PAGE);
	f->rip = *(uint64_t *)f->rsp;
	f->rsp += 8;
}

static void page_faults(void)
{
	volatile uint64_t *p = (void *)PAGE;
	struct trap t;

	t = guest_try("mov (%[p]), %%rax", [p] "r"(PAGE + 0x10), "a"(0));
	GUEST_ASSERT_EQ(t.vector, PF_VECTOR);
	GUEST_ASSERT_EQ(t.error, 0);
	GUEST_ASSERT_EQ(read_cr2(), PAGE + 0x10);
	t = guest_try("movb $1, (%[p])", [p] "r"(PAGE + 0x11));
	GUEST_ASSERT_EQ(t.error, PFERR_W);
	GUEST_ASSERT_EQ(read_cr2(), PAGE + 0x11);
	GUEST_SYNC(1);			/* the host maps it read-only */
	GUEST_ASSERT_EQ(*p, 77);
	t = guest_try("movb $1, (%[p])", [p] "r"(PAGE + 0x12));
	GUEST_ASSERT_EQ(t.vector, PF_VECTOR);
	GUEST_ASSERT_EQ(t.error, PFERR_P | PFERR_W);
	/* Without CR0.WP the supervisor may. */
	write_cr0(read_cr0() & ~CR0_WP);
	t = guest_try("movb $1, 8(%[p])", [p] "r"(PAGE));
	GUEST_ASSERT_EQ(t.vector, NO_TRAP);
	write_cr0(read_cr0() | CR0_WP);
	GUEST_SYNC(2);			/* the host makes it not executable */
	invlpg((void *)PAGE);
	guest_handle(PF_VECTOR, fetch_fault);
	asm volatile("call *%0" : : "r"(PAGE) : "memory");
	GUEST_DONE();
}

TEST(page_fault_error_codes)
{
	struct vcpu *v = guest_of(page_faults);

	vcpu_expect_sync(v, 1);
	*(uint64_t *)vm_hva(v->vm, TEST_GPA) = 77;
	vm_map(v->vm, PAGE, TEST_GPA, PAGE_SIZE, PTE_P);
	vcpu_expect_sync(v, 2);
	*vm_pte(v->vm, PAGE) |= PTE_NX;
	vcpu_expect_done(v);
}

static void reserved_bits(void)
{
	struct trap t = guest_try("mov (%[p]), %%rax", [p] "r"(PAGE), "a"(0));

	GUEST_ASSERT_EQ(t.vector, PF_VECTOR);
	/* The P bit belongs to it; some emulated CPUs leave it out. */
	GUEST_ASSERT_EQ(t.error | PFERR_P, PFERR_P | PFERR_RSVD);
	GUEST_DONE();
}

TEST(page_fault_on_reserved_bits)
{
	struct vcpu *v = guest_of(reserved_bits);

	vm_map(v->vm, PAGE, TEST_GPA, PAGE_SIZE, PTE_P | 1ul << 51);
	vcpu_expect_done(v);
}

static void accessed_dirty(void)
{
	volatile uint64_t *p = (void *)PAGE;

	(void)*p;
	GUEST_SYNC(1);
	*p = 1;
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST(guest_accessed_and_dirty_bits)
{
	struct vcpu *v = guest_of(accessed_dirty);

	vm_map(v->vm, PAGE, TEST_GPA, PAGE_SIZE, PTE_P | PTE_W);
	TEST_ASSERT_EQ(*vm_pte(v->vm, PAGE) & (PTE_A | PTE_D), 0);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(*vm_pte(v->vm, PAGE) & (PTE_A | PTE_D), PTE_A);
	vcpu_expect_sync(v, 2);
	TEST_ASSERT_EQ(*vm_pte(v->vm, PAGE) & (PTE_A | PTE_D), PTE_A | PTE_D);
	vcpu_expect_done(v);
}

static void flushes(void)
{
	volatile uint64_t *p = (void *)PAGE;

	GUEST_ASSERT_EQ(*p, 1);
	GUEST_SYNC(1);			/* the host points the PTE elsewhere */
	invlpg((void *)PAGE);
	GUEST_ASSERT_EQ(*p, 2);
	GUEST_SYNC(2);
	write_cr3(read_cr3());
	GUEST_ASSERT_EQ(*p, 1);
	GUEST_DONE();
}

TEST(invlpg_and_cr3_flush)
{
	struct vcpu *v = guest_of(flushes);

	*(uint64_t *)vm_hva(v->vm, TEST_GPA) = 1;
	*(uint64_t *)vm_hva(v->vm, TEST_GPA + PAGE_SIZE) = 2;
	vm_map(v->vm, PAGE, TEST_GPA, PAGE_SIZE, PTE_P | PTE_W);
	vcpu_expect_sync(v, 1);
	vm_map(v->vm, PAGE, TEST_GPA + PAGE_SIZE, PAGE_SIZE, PTE_P | PTE_W);
	vcpu_expect_sync(v, 2);
	vm_map(v->vm, PAGE, TEST_GPA, PAGE_SIZE, PTE_P | PTE_W);
	vcpu_expect_done(v);
}

static void on_double_fault(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(f->error, 0);
	GUEST_DONE();
}

static void double_faults(void)
{
	struct {
		uint16_t lo, sel;
		uint8_t ist, type;
		uint16_t mid;
		uint32_t hi, zero;
	} *idt = (void *)IDT_GPA;

	guest_handle(DF_VECTOR, on_double_fault);
	idt[GP_VECTOR].type = 0;		/* #GP's own gate is gone: #GP, #NP: #DF */
	asm volatile("movb $0, (%0)" : : "r"(1ul << 63));
}

TEST(double_fault)
{
	run_guest(double_faults);
}
