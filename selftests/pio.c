// SPDX-License-Identifier: GPL-2.0-only
/* Port I/O: IN and OUT of all sizes, string I/O, completion. */

#include "selftest.h"

#define PORT	0x1f0
#define BUF	((uint8_t *)TEST_GPA)

static void expect_io(struct vcpu *v, int direction, uint16_t port, int size)
{
	struct kvm_run *run = v->run;

	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(run->io.direction, direction);
	TEST_ASSERT_EQ(run->io.port, port);
	TEST_ASSERT_EQ(run->io.size, size);
	TEST_ASSERT(run->io.count >= 1, "no data");
	TEST_ASSERT(run->io.data_offset >= sizeof(*run) || run->io.data_offset >= PAGE_SIZE,
		    "data in the way at %#llx", run->io.data_offset);
	TEST_ASSERT(run->io.data_offset + run->io.count * size <= v->vm->run_size,
		    "data beyond the mapping");
}

static void outs(void)
{
	outb(PORT, 0x11);
	outw(PORT + 1, 0x2233);
	outl(PORT + 2, 0x44556677);
	outb(0xffff, 0x88);
	outb(0, 0x99);
	asm volatile("outb %%al, $0x80" : : "a"(0xaa));
	asm volatile("outl %%eax, $0x81" : : "a"(0xbbbbbbbb));
	GUEST_DONE();
}

static void expect_out(struct vcpu *v, uint16_t port, int size, uint32_t value)
{
	uint32_t data = 0;

	expect_io(v, KVM_EXIT_IO_OUT, port, size);
	TEST_ASSERT_EQ(v->run->io.count, 1);
	memcpy(&data, pio_data(v), size);
	TEST_ASSERT_EQ(data, value);
}

TEST(out_of_all_sizes)
{
	struct vcpu *v = guest_of(outs);

	expect_out(v, PORT, 1, 0x11);
	expect_out(v, PORT + 1, 2, 0x2233);
	expect_out(v, PORT + 2, 4, 0x44556677);
	expect_out(v, 0xffff, 1, 0x88);
	expect_out(v, 0, 1, 0x99);
	expect_out(v, 0x80, 1, 0xaa);
	expect_out(v, 0x81, 4, 0xbbbbbbbb);
	vcpu_expect_done(v);
}

static void ins(void)
{
	uint64_t rax = ~0ul;

	asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(PORT));
	GUEST_ASSERT_EQ(rax, 0xffffffffffffff11);
	asm volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(PORT));
	GUEST_ASSERT_EQ(rax, 0xffffffffffff2222);
	/* A 32-bit result clears the upper half. */
	asm volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(PORT));
	GUEST_ASSERT_EQ(rax, 0x33333333);
	rax = ~0ul;
	asm volatile("inb $0x70, %%al" : "+a"(rax));
	GUEST_ASSERT_EQ(rax, 0xffffffffffffff44);
	GUEST_DONE();
}

static void answer(struct vcpu *v, uint16_t port, int size, uint8_t byte)
{
	expect_io(v, KVM_EXIT_IO_IN, port, size);
	memset(pio_data(v), byte, size);
}

TEST(in_of_all_sizes)
{
	struct vcpu *v = guest_of(ins);

	answer(v, PORT, 1, 0x11);
	answer(v, PORT, 2, 0x22);
	answer(v, PORT, 4, 0x33);
	answer(v, 0x70, 1, 0x44);
	vcpu_expect_done(v);
}

static struct {
	uint64_t size, count, down, addr;
} string;

static void rep_outs(void)
{
	uint64_t si = string.addr, cx = string.count;

	if (string.down)
		asm volatile("std");
	if (string.size == 1)
		asm volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(PORT) : "memory");
	else if (string.size == 2)
		asm volatile("rep outsw" : "+S"(si), "+c"(cx) : "d"(PORT) : "memory");
	else
		asm volatile("rep outsl" : "+S"(si), "+c"(cx) : "d"(PORT) : "memory");
	asm volatile("cld");
	GUEST_ASSERT_EQ(cx, 0);
	GUEST_ASSERT_EQ(si, string.down ? string.addr - string.size * string.count :
			string.addr + string.size * string.count);
	GUEST_DONE();
}

static void rep_ins(void)
{
	uint64_t di = string.addr, cx = string.count;

	if (string.down)
		asm volatile("std");
	if (string.size == 1)
		asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(PORT) : "memory");
	else if (string.size == 2)
		asm volatile("rep insw" : "+D"(di), "+c"(cx) : "d"(PORT) : "memory");
	else
		asm volatile("rep insl" : "+D"(di), "+c"(cx) : "d"(PORT) : "memory");
	asm volatile("cld");
	GUEST_ASSERT_EQ(cx, 0);
	GUEST_ASSERT_EQ(di, string.down ? string.addr - string.size * string.count :
			string.addr + string.size * string.count);
	GUEST_DONE();
}

static void set_string(int size, int count, bool down, uint64_t addr)
{
	string.size = size;
	string.count = count;
	string.down = down;
	string.addr = addr;
}

/* How many of the elements an exit carries is KVM's choice; their order is not. */
static void check_rep_outs(int size, int count, bool down, uint64_t addr)
{
	struct vcpu *v;
	uint8_t *mem;
	int n = 0;

	set_string(size, count, down, addr);
	v = guest_of(rep_outs);
	mem = vm_hva(v->vm, addr);
	for (int i = -count * size; i < (count + 1) * size; i++)
		mem[i] = i * 7 + (i >> 8);
	while (n < count) {
		expect_io(v, KVM_EXIT_IO_OUT, PORT, size);
		for (uint32_t i = 0; i < v->run->io.count; i++, n++)
			TEST_ASSERT(!memcmp((char *)pio_data(v) + i * size,
					    mem + (down ? -n : n) * size, size),
				    "element %d of %d of %d bytes", n, count, size);
	}
	TEST_ASSERT_EQ(n, count);
	vcpu_expect_done(v);
	vm_destroy(v->vm);
}

static void check_rep_ins(int size, int count, bool down, uint64_t addr)
{
	struct vcpu *v;
	uint8_t *mem;
	int n = 0;

	set_string(size, count, down, addr);
	v = guest_of(rep_ins);
	mem = vm_hva(v->vm, addr);
	while (n < count) {
		expect_io(v, KVM_EXIT_IO_IN, PORT, size);
		for (uint32_t i = 0; i < v->run->io.count; i++, n++)
			memset((char *)pio_data(v) + i * size, n * 5 + 1, size);
	}
	TEST_ASSERT_EQ(n, count);
	vcpu_expect_done(v);
	for (int i = 0; i < count * size; i++)
		TEST_ASSERT_EQ(mem[(down ? -(i / size) : i / size) * size + i % size],
			       (uint8_t)((i / size) * 5 + 1));
	TEST_ASSERT_EQ(mem[down ? -count * size : count * size], 0);
	vm_destroy(v->vm);
}

TEST(string_out)
{
	for (int size = 1; size <= 4; size *= 2) {
		check_rep_outs(size, 1, false, TEST_GPA + 0x800);
		check_rep_outs(size, 37, false, TEST_GPA + 0x800);
		check_rep_outs(size, 5, true, TEST_GPA + 0x800);
	}
}

TEST(string_in)
{
	for (int size = 1; size <= 4; size *= 2) {
		check_rep_ins(size, 1, false, TEST_GPA + 0x800);
		check_rep_ins(size, 37, false, TEST_GPA + 0x800);
		check_rep_ins(size, 5, true, TEST_GPA + 0x800);
	}
}

TEST(string_across_pages)
{
	check_rep_outs(4, 20, false, TEST_GPA + 0x2000 - 10);
	check_rep_ins(4, 20, false, TEST_GPA + 0x2000 - 10);
	check_rep_ins(2, 10, true, TEST_GPA + 0x2000 + 7);
	check_rep_ins(2, 2500, false, TEST_GPA + 0x2000 + 7);
}

TEST(string_of_none)
{
	check_rep_outs(1, 0, false, TEST_GPA + 0x800);
	check_rep_ins(4, 0, false, TEST_GPA + 0x800);
}

static void faulting_string(void)
{
	struct trap t = guest_try("rep insb", "D"(0x7000000000), "c"(4), "d"(PORT));

	GUEST_ASSERT_EQ(t.vector, PF_VECTOR);
	GUEST_ASSERT(t.error & PFERR_W);
	t = guest_try("rep outsb", "S"(0x7000000000), "c"(4), "d"(PORT));
	GUEST_ASSERT_EQ(t.vector, PF_VECTOR);
	GUEST_ASSERT_EQ(t.error & PFERR_W, 0);
	GUEST_DONE();
}

/* Reads of the port may come before the fault, but the fault comes. */
TEST(string_on_unmapped_memory)
{
	struct vcpu *v = guest_of(faulting_string);

	while (vcpu_next(v) == UCALL_NONE) {
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_IO);
		TEST_ASSERT_EQ(v->run->io.direction, KVM_EXIT_IO_IN);
		memset(pio_data(v), 0, v->run->io.size * v->run->io.count);
	}
	TEST_ASSERT_EQ(v->uc.cmd, UCALL_DONE);
}

/* The VMM may scribble over the exit's description; only the data counts. */
TEST(hostile_kvm_run)
{
	struct vcpu *v = guest_of(ins);

	answer(v, PORT, 1, 0x11);
	v->run->io.size = 4;
	v->run->io.count = 0xffffffff;
	v->run->io.data_offset = ~0ull;
	v->run->exit_reason = 77;
	answer(v, PORT, 2, 0x22);
	v->run->io.size = 0;
	v->run->io.count = 0;
	v->run->io.direction = KVM_EXIT_IO_OUT;
	answer(v, PORT, 4, 0x33);
	answer(v, 0x70, 1, 0x44);
	vcpu_expect_done(v);
}

static void user_out(void)
{
	/* CPL 3 by IRETQ; IOPL 0 and no bitmap in the TSS: the OUT must fault. */
	asm volatile("push %[ss]\n\tpush %[sp]\n\tpushfq\n\tpush %[cs]\n\tpush $1f\n\tiretq\n"
		     "1:\toutb %%al, $0x80\n\tud2"
		     : : [ss] "i"(SEL_UDATA | 3), [sp] "i"(TEST_GPA + 0x1000),
		       [cs] "i"(SEL_UCODE64 | 3) : "memory");
}

static void on_gp(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(f->cs & 3, 3);
	GUEST_ASSERT_EQ(*(uint16_t *)f->rip, 0x80e6);
	GUEST_DONE();
}

static void drops_to_user(void)
{
	guest_handle(GP_VECTOR, on_gp);
	user_out();
}

TEST(out_without_privilege)
{
	struct vcpu *v = guest_of(drops_to_user);
	uint64_t *pml4 = vm_hva(v->vm, v->vm->cr3);
	uint8_t *tss = vm_hva(v->vm, TSS_GPA);

	/* Open the identity map to user code; RSP0 of the TSS takes the trap. */
	*pml4 |= PTE_U;
	for (int i = 0; i < 4; i++) {
		uint64_t pdpte = ((uint64_t *)vm_hva(v->vm, *pml4 & ~0xffful))[i];
		uint64_t *pd = vm_hva(v->vm, pdpte & ~0xffful);

		for (int j = 0; j < 512; j++)
			pd[j] |= PTE_U;
	}
	*(uint64_t *)(tss + 4) = STACK_GPA + STACK_SIZE - 0x1000;
	*(uint16_t *)(tss + 102) = 0xffff;
	vcpu_expect_done(v);
}
