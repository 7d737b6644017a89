// SPDX-License-Identifier: GPL-2.0-only
/* Guests outside of 64-bit mode: reset vector, real mode, 32-bit paging, PAE, and ways between. */

#include "selftest.h"

#define LOW_SEG		0x1000
#define LOW_GPA		0x10000ul
#define RESULT_PORT	0x500
#define TABLES		0x80000ul	/* of 32-bit guests */

static void expect_results(struct vcpu *v, const uint32_t *want, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t got = 0;

		vcpu_expect_exit(v, KVM_EXIT_IO);
		TEST_ASSERT_EQ(v->run->io.port, RESULT_PORT);
		memcpy(&got, pio_data(v), v->run->io.size);
		TEST_ASSERT(got == want[i], "result %d is %#x, not %#x", i, got, want[i]);
	}
}

#define EXPECT(v, ...) do {							\
	static const uint32_t want_[] = { __VA_ARGS__ };			\
	expect_results(v, want_, sizeof(want_) / sizeof(want_[0]));		\
} while (0)

GUEST_ASM(reset_code, 16,
	  "mov $0x500, %dx; mov %cs, %ax; out %ax, %dx; mov $0x1234, %ax; out %ax, %dx; hlt");
GUEST_ASM(reset_jump, 16, "jmp .-0x00f0");

/* A vCPU that nobody touched starts at the top of the first 4 GiB. */
TEST(reset_vector)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);
	char *rom = vm_add_mem(vm, 0, 0xffff0000, 0x10000, 0);

	memcpy(rom + 0xff00, reset_code, reset_code_end - reset_code);
	memcpy(rom + 0xfff0, reset_jump, reset_jump_end - reset_jump);
	EXPECT(v, 0xf000, 0x1234);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

/* The same from a read-only slot, as firmware is. */
TEST(reset_vector_in_rom)
{
	struct vm *vm;
	struct vcpu *v;
	char *rom;

	require_cap(KVM_CAP_READONLY_MEM);
	vm = vm_create_empty();
	v = vcpu_add_raw(vm, 0);
	rom = vm_add_mem(vm, 0, 0xffff0000, 0x10000, KVM_MEM_READONLY);
	memcpy(rom + 0xff00, reset_code, reset_code_end - reset_code);
	memcpy(rom + 0xfff0, reset_jump, reset_jump_end - reset_jump);
	EXPECT(v, 0xf000, 0x1234);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

static struct vcpu *low_guest(const char *code, const char *end)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);

	vm_add_mem(vm, 0, 0, 4 * SZ_2M, 0);
	memcpy(vm_hva(vm, LOW_GPA), code, end - code);
	vcpu_set_cpuid(v);
	vcpu_enter16(v, LOW_SEG, 0);
	return v;
}

#define LOW_GUEST(name) low_guest(name, name##_end)

GUEST_ASM(ivt_code, 16,
	  "xor %ax, %ax; mov %ax, %ss; mov $0x8000, %sp; mov %ax, %es;"
	  "movw $1f - ivt_code, %es:0x21*4; movw %cs, %es:0x21*4+2;"
	  "movw $2f - ivt_code, %es:0; movw %cs, %es:2;"
	  "mov $0x500, %dx; int $0x21; mov $0x33, %ax; out %ax, %dx;"
	  "xor %cx, %cx; xor %dx, %dx; mov $1, %ax; div %cx;"
	  "mov $0x500, %dx; mov $0x55, %ax; out %ax, %dx; hlt;"
	  "1: mov $0x21, %ax; out %ax, %dx; iret;"
	  /* #DE is a fault: step over the DIV of two bytes. */
	  "2: push %bp; mov %sp, %bp; addw $2, 2(%bp); pop %bp;"
	  "mov $0x500, %dx; mov $0x44, %ax; out %ax, %dx; iret");

TEST(interrupt_vector_table)
{
	struct vcpu *v = LOW_GUEST(ivt_code);

	EXPECT(v, 0x21, 0x33, 0x44, 0x55);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

GUEST_ASM(segments_code, 16,
	  "mov $0x500, %dx; mov $0x2000, %ax; mov %ax, %ds; movw $0x1111, 0x10;"
	  "mov $0x2001, %ax; mov %ax, %ds; mov 0, %ax; out %ax, %dx;"
	  "mov $0x3000, %ax; mov %ax, %ss; mov $0x100, %sp; push $0x2222; pop %ax; out %ax, %dx;"
	  "pushw %cs; pushw $1f - segments_code; lret;"
	  "1: mov $0x3333, %ax; out %ax, %dx;"
	  "call 2f; mov $0x4444, %ax; out %ax, %dx; hlt; 2: ret");

TEST(real_mode_segments)
{
	struct vcpu *v = LOW_GUEST(segments_code);

	EXPECT(v, 0x1111, 0x2222, 0x3333, 0x4444);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

/* GDT: 0x08 flat data, 0x10 32-bit code, 0x18 64-bit code, 0x20 16-bit code. */
#define GDT_TEXT								\
	".balign 8; 8: .quad 0, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00af9b000000ffff,"	\
	"0x00009b010000ffff; 9: .word 39; .long 0x10000 + 8b - "

/* To protected mode and back: the limit of DS stays at 4 GiB ("unreal mode"). */
GUEST_ASM(unreal_code, 16,
	  "cli; lgdtl %cs:9f - unreal_code; mov %cr0, %eax; or $1, %al; mov %eax, %cr0;"
	  "jmp 1f; 1: mov $8, %bx; mov %bx, %ds; and $0xfe, %al; mov %eax, %cr0;"
	  "ljmp $0x1000, $2f - unreal_code; 2: mov $0x500, %dx;"
	  "mov $0x700000, %ebx; movl $0x12345678, (%ebx); mov (%ebx), %eax; outl %eax, %dx; hlt;"
	  GDT_TEXT "unreal_code");

TEST(unreal_mode)
{
	struct vcpu *v = LOW_GUEST(unreal_code);

	EXPECT(v, 0x12345678);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(*(uint32_t *)vm_hva(v->vm, 0x700000), 0x12345678);
}

GUEST_ASM(protected_code, 16,
	  "cli; lgdtl %cs:9f - protected_code; mov %cr0, %eax; or $1, %al; mov %eax, %cr0;"
	  "ljmpl $0x10, $0x10000 + 1f - protected_code; .code32;"
	  "1: mov $8, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov $0x80000, %esp;"
	  "mov $0x500, %dx; push $0x11112222; pop %eax; outl %eax, %dx;"
	  "ljmp $0x20, $2f - protected_code; .code16;"
	  "2: mov %cr0, %eax; and $0xfe, %al; mov %eax, %cr0; ljmp $0x1000, $3f - protected_code;"
	  "3: mov $0x500, %dx; mov $0x3333, %ax; out %ax, %dx; hlt;"
	  GDT_TEXT "protected_code");

TEST(real_to_protected_and_back)
{
	struct vcpu *v = LOW_GUEST(protected_code);

	EXPECT(v, 0x11112222, 0x3333);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

/* As an SMP kernel starts a processor: from real mode to 64 bits, all control bits by the guest. */
GUEST_ASM(
	long_code, 16,
	"cli; lgdtl %cs:9f - long_code; mov $0x20, %eax; mov %eax, %cr4;"
	"mov $0x80000, %eax; mov %eax, %cr3; mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr;"
	"mov $0x80000011, %eax; mov %eax, %cr0; ljmpl $0x18, $0x10000 + 1f - long_code; .code64;"
	"1: mov $8, %ax; mov %ax, %ds; mov %ax, %ss; mov $0x500, %dx;"
	"mov $0x1122334455667788, %rax; shr $32, %rax; outl %eax, %dx;"
	"mov $0xc0000080, %ecx; rdmsr; mov $0x500, %dx; outl %eax, %dx; hlt;" GDT_TEXT "long_code");

TEST(real_to_long)
{
	struct vcpu *v = LOW_GUEST(long_code);
	uint64_t *t = vm_hva(v->vm, TABLES);

	t[0] = (TABLES + 0x1000) | PTE_P | PTE_W;
	t[512] = (TABLES + 0x2000) | PTE_P | PTE_W;
	t[1024] = PTE_P | PTE_W | PTE_PS;
	EXPECT(v, 0x11223344, EFER_LME | EFER_LMA);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
}

/*
 * Paged 32-bit code: reads and writes 0x80400000 and 0x40001000, both of which
 * the tables send elsewhere.
 */
GUEST_ASM(paged_code, 32,
	  "mov $0x500, %edx; mov 0x80400010, %eax; outl %eax, %dx;"
	  "movl $0x5678, 0x40001004; mov 0x40001000, %eax; outl %eax, %dx;"
	  "mov %cr3, %eax; mov %eax, %cr3; mov 0x40001004, %eax; outl %eax, %dx; hlt");

static struct vcpu *paged_guest(uint64_t cr4)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);
	struct kvm_sregs s;

	vm_add_mem(vm, 0, 0, 4 * SZ_2M, 0);
	vm_load_asm(vm, LOW_GPA, paged_code);
	*(uint32_t *)vm_hva(vm, 0x400010) = 0xaaaa;
	*(uint32_t *)vm_hva(vm, 0x5000) = 0xbbbb;
	vm->cr3 = TABLES;
	vcpu_set_cpuid(v);
	vcpu_enter32(v, LOW_GPA);
	s = vcpu_sregs(v);
	s.cr3 = TABLES;
	s.cr4 = cr4;
	s.cr0 |= CR0_PG | CR0_WP;
	vcpu_set_sregs(v, &s);
	return v;
}

static void run_paged(struct vcpu *v)
{
	EXPECT(v, 0xaaaa, 0xbbbb, 0x5678);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(*(uint32_t *)vm_hva(v->vm, 0x5004), 0x5678);
}

TEST(paging_of_32_bits)
{
	struct vcpu *v = paged_guest(CR4_PSE);
	uint32_t *t = vm_hva(v->vm, TABLES);

	t[0] = PTE_P | PTE_W | PTE_PS;
	t[0x80400000u >> 22] = 0x400000 | PTE_P | PTE_W | PTE_PS;
	t[0x40001000u >> 22] = (TABLES + 0x1000) | PTE_P | PTE_W;
	t[1024 + 1] = 0x5000 | PTE_P | PTE_W;
	run_paged(v);
	TEST_ASSERT_EQ(t[1024 + 1] & (PTE_A | PTE_D), PTE_A | PTE_D);
	TEST_ASSERT_EQ(t[0x80400000u >> 22] & (PTE_A | PTE_D), PTE_A);
}

TEST(paging_with_pae)
{
	struct vcpu *v = paged_guest(CR4_PAE);
	uint64_t *t = vm_hva(v->vm, TABLES);

	/* The four entries of the first level have no W and U. */
	for (int i = 0; i < 4; i++)
		t[i] = (TABLES + 0x1000 * (i + 1)) | PTE_P;
	t[512] = PTE_P | PTE_W | PTE_PS;
	t[512 * 3 + (0x400000 >> 21)] = 0x400000 | PTE_P | PTE_W | PTE_PS;
	t[512 * 2] = (TABLES + 0x5000) | PTE_P | PTE_W;
	t[512 * 5 + 1] = 0x5000 | PTE_P | PTE_W;
	run_paged(v);
	TEST_ASSERT_EQ(t[512 * 5 + 1] & (PTE_A | PTE_D), PTE_A | PTE_D);
}

/* Two tasks of 32 bits: by CALL and IRET, by JMP, by a task gate for INT and one for a fault. */
#define OTHER_GPA	0x12000ul
#define TASK_TABLES	0x30000u	/* GDTR, IDTR, then GDT and IDT */
#define TASK_TSS	0x31000u

GUEST_ASM(task_code, 32,
	  "lgdtl 0x30000; lidtl 0x30008; ljmp $0x10, $0x10000 + 1f - task_code;"
	  "1: mov $8, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov $0x80000, %esp;"
	  "xor %eax, %eax; mov %ax, %fs; mov %ax, %gs; mov $0x18, %ax; ltr %ax;"
	  "mov $0x500, %edx; lcall $0x20, $0; mov $0x2222, %eax; outl %eax, %dx;"
	  "ljmp $0x20, $0; mov $0x4444, %eax; outl %eax, %dx;"
	  "int $0x30; mov $0x6666, %eax; outl %eax, %dx; ud2; hlt");
GUEST_ASM(other_task, 32,
	  "mov $0x500, %edx; mov $0x1111, %eax; outl %eax, %dx; iret;"
	  "mov $0x3333, %eax; outl %eax, %dx; ljmp $0x18, $0;"
	  "mov $0x5555, %eax; outl %eax, %dx; iret;"
	  "pushf; pop %eax; and $0x4000, %eax; outl %eax, %dx; hlt");

static uint64_t tss_descriptor(uint32_t base)
{
	return 0x67 | (uint64_t)base << 16 | 0x89ull << 40;
}

static void make_tasks(struct vm *vm)
{
	uint64_t *gdt = vm_hva(vm, TASK_TABLES + 0x100), *idt = vm_hva(vm, TASK_TABLES + 0x200);
	uint16_t *gdtr = vm_hva(vm, TASK_TABLES), *idtr = vm_hva(vm, TASK_TABLES + 8);
	uint32_t *tss = vm_hva(vm, TASK_TSS + 0x100);
	uint32_t gdt_at = TASK_TABLES + 0x100, idt_at = TASK_TABLES + 0x200;

	gdt[1] = 0x00cf93000000ffff;
	gdt[2] = 0x00cf9b000000ffff;
	gdt[3] = tss_descriptor(TASK_TSS);
	gdt[4] = tss_descriptor(TASK_TSS + 0x100);
	idt[6] = idt[0x30] = 0x20 << 16 | 0x85ull << 40;
	gdtr[0] = 0x27;
	memcpy(gdtr + 1, &gdt_at, 4);
	idtr[0] = 0x31 * 8 - 1;
	memcpy(idtr + 1, &idt_at, 4);
	tss[0x20 / 4] = OTHER_GPA;
	tss[0x24 / 4] = 2;
	tss[0x38 / 4] = 0x70000;
	tss[0x4c / 4] = 0x10;
	tss[0x48 / 4] = tss[0x50 / 4] = tss[0x54 / 4] = 8;
}

TEST(task_switches)
{
	static const uint8_t ud2[] = { 0x0f, 0x0b };
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);
	uint32_t *tss;

	TEST_REQUIRE(!shadow_paging() || !host_is_tcg(), "QEMU's CPU does not exit on task switches");
	vm_add_mem(vm, 0, 0, 4 * SZ_2M, 0);
	vm_load_asm(vm, LOW_GPA, task_code);
	vm_load_asm(vm, OTHER_GPA, other_task);
	make_tasks(vm);
	vcpu_set_cpuid(v);
	vcpu_enter32(v, LOW_GPA);
	EXPECT(v, 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x4000);
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	/* The faulting task is to go on at its instruction. */
	tss = vm_hva(vm, TASK_TSS);
	TEST_ASSERT(!memcmp(vm_hva(vm, tss[0x20 / 4]), ud2, 2), "the task stopped at %#x",
		    tss[0x20 / 4]);
}

uint64_t compat_result;

/* 32-bit code under 64-bit paging, and back. */
static void goes_compat(void)
{
	asm volatile("push %[cs32]\n\tpush $1f\n\tlretq\n\t.code32\n"
		     "1:\tmov $0x12345678, %%eax\n\tinc %%eax\n\tmov %%eax, compat_result\n"
		     "\tljmp %[cs64], $2f\n\t.code64\n2:"
		     : : [cs32] "i"(SEL_CODE32), [cs64] "i"(SEL_CODE64) : "rax", "memory");
	GUEST_ASSERT_EQ((uint32_t)READ_ONCE(compat_result), 0x12345679);
	GUEST_DONE();
}

TEST(compatibility_mode)
{
	run_guest(goes_compat);
}
