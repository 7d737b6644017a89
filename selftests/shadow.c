// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest may count on when it changes its own page tables: rights, accessed and dirty bits,
 * error codes, and what is left of a translation after INVLPG. The CPU sees to most of it under
 * two-dimensional paging; under shadow paging (module parameter tdp=0) all of it is the module's.
 */

#include "selftest.h"

#define GVA		0x7f0000000000ul
#define FRAME_A		TEST_GPA
#define FRAME_B		(TEST_GPA + PAGE_SIZE)
#define MANY		1024ul

static volatile uint64_t *const page = (volatile uint64_t *)GVA;

static void set_pte(volatile uint64_t *pte, uint64_t value)
{
	*pte = value;
	invlpg((void *)GVA);
}

#define EXPECT_FAULT(t, code) do {						\
	const struct trap trap_ = (t);						\
	GUEST_ASSERT_EQ(trap_.vector, 14);					\
	GUEST_ASSERT_EQ(trap_.error, code);					\
} while (0)

static struct trap try_read(void)
{
	return guest_try("cmpb $0, (%[p])", [p] "r"(GVA));
}

static struct trap try_write(void)
{
	return guest_try("movq $5, (%[p])", [p] "r"(GVA));
}

/* A guest that enters @fn with the address of the PTE of GVA, which maps FRAME_A. */
static struct vcpu *guest_with_pte(void *fn)
{
	struct vcpu *v = guest_of(NULL);

	vm_map(v->vm, GVA, FRAME_A, PAGE_SIZE, PTE_P | PTE_W);
	*(uint64_t *)vm_hva(v->vm, FRAME_A) = 0xaaaa;
	*(uint64_t *)vm_hva(v->vm, FRAME_B) = 0xbbbb;
	vcpu_enter64(v, fn, (char *)vm_pte(v->vm, GVA) - (char *)vm_hva(v->vm, 0));
	return v;
}

static void run_with_pte(void *fn)
{
	struct vcpu *v = guest_with_pte(fn);

	vcpu_expect_done(v);
	vm_destroy(v->vm);
}

static void remaps(volatile uint64_t *pte)
{
	for (int i = 0; i < 100; i++) {
		GUEST_ASSERT_EQ(*page, 0xaaaa);
		set_pte(pte, FRAME_B | PTE_P | PTE_W);
		GUEST_ASSERT_EQ(*page, 0xbbbb);
		set_pte(pte, FRAME_A | PTE_P);
		GUEST_ASSERT_EQ(*page, 0xaaaa);
		EXPECT_FAULT(try_write(), 3);
		set_pte(pte, 0);
		EXPECT_FAULT(try_read(), 0);
		EXPECT_FAULT(try_write(), 2);
		/* What was not there is not cached: no INVLPG. */
		*pte = FRAME_A | PTE_P | PTE_W;
	}
	GUEST_DONE();
}

TEST(remaps_and_rights)
{
	run_with_pte(remaps);
}

static void watches_bits(volatile uint64_t *pte)
{
	for (int i = 0; i < 10; i++) {
		set_pte(pte, FRAME_A | PTE_P | PTE_W);
		GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), 0);
		GUEST_ASSERT_EQ(*page, 0xaaaa);
		GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A);
		*page = 0xaaaa;
		GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
		set_pte(pte, *pte & ~PTE_D);
		GUEST_ASSERT_EQ(*page, 0xaaaa);
		GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A);
		*page = 0xaaaa;
		GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	}
	GUEST_DONE();
}

TEST(accessed_and_dirty_bits)
{
	run_with_pte(watches_bits);
}

static void without_wp(volatile uint64_t *pte)
{
	uint64_t cr0 = read_cr0();

	set_pte(pte, FRAME_A | PTE_P);
	for (int i = 0; i < 10; i++) {
		write_cr0(cr0 | CR0_WP);
		EXPECT_FAULT(try_write(), 3);
		write_cr0(cr0 & ~CR0_WP);
		*page = 0x1234 + i;
		GUEST_ASSERT_EQ(*page, 0x1234 + i);
		GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	}
	GUEST_DONE();
}

TEST(write_protection_of_the_kernel)
{
	run_with_pte(without_wp);
}

static uint64_t fetch_error;

/* The fault is at the call's target: go back to the caller. */
static void returns(struct trap_frame *f)
{
	fetch_error = f->error;
	f->rip = *(uint64_t *)f->rsp;
	f->rsp += 8;
}

static void without_execution(volatile uint64_t *pte)
{
	void (*call)(void) = (void (*)(void))GVA;

	guest_handle(14, returns);
	*(volatile uint8_t *)page = 0xc3;
	for (int i = 0; i < 3; i++) {
		WRITE_ONCE(fetch_error, 0);
		call();
		GUEST_ASSERT_EQ(READ_ONCE(fetch_error), 0);
		set_pte(pte, FRAME_A | PTE_P | PTE_W | PTE_NX);
		call();
		GUEST_ASSERT_EQ(READ_ONCE(fetch_error), 0x11);
		GUEST_ASSERT_EQ(*(volatile uint8_t *)page, 0xc3);
		set_pte(pte, FRAME_A | PTE_P | PTE_W);
	}
	GUEST_DONE();
}

TEST(no_execution)
{
	run_with_pte(without_execution);
}

static void with_reserved_bit(volatile uint64_t *pte)
{
	set_pte(pte, FRAME_A | PTE_P | PTE_W | 1ul << 51);
	EXPECT_FAULT(try_read(), 9);
	EXPECT_FAULT(try_write(), 11);
	set_pte(pte, FRAME_A | PTE_P | PTE_W);
	GUEST_ASSERT_EQ(*page, 0xaaaa);
	GUEST_DONE();
}

TEST(reserved_bits)
{
	TEST_REQUIRE(shadow_paging() || !host_is_tcg(), "QEMU's error code has no P with RSVD");
	run_with_pte(with_reserved_bit);
}

/* The tables are in the page that they map: a write to an entry is through the entry itself. */
static void maps_its_table(volatile uint64_t *pte)
{
	uint64_t table = (uint64_t)pte & ~(PAGE_SIZE - 1), old = *pte;
	volatile uint64_t *self = page + ((uint64_t)pte & (PAGE_SIZE - 1)) / 8;

	set_pte(pte, table | PTE_P | PTE_W);
	for (int i = 0; i < 50; i++) {
		GUEST_ASSERT_EQ(*self & ~0xffful, table);
		*self = table | PTE_P | PTE_W;
		/* A TLB may know that the page was used. */
		GUEST_ASSERT_EQ(*self & ~(PTE_A | PTE_D), table | PTE_P | PTE_W);
		*self = table | PTE_P | PTE_W | PTE_D;
		invlpg((void *)GVA);
	}
	*self = old;
	invlpg((void *)GVA);
	GUEST_ASSERT_EQ(*page, 0xaaaa);
	GUEST_DONE();
}

TEST(table_maps_itself)
{
	run_with_pte(maps_its_table);
}

static void counts_everywhere(void)
{
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < MANY; i++)
			*(volatile uint64_t *)(GVA + i * PAGE_SIZE) += 1;
		GUEST_ASSERT_EQ(*page, MANY);
		GUEST_SYNC(round);
	}
	GUEST_DONE();
}

TEST(one_frame_many_times)
{
	struct vm *vm = vm_create();
	void *mem = vm_add_mem(vm, 1, 0x20000000ul, PAGE_SIZE, 0);
	struct vcpu *v;

	for (uint64_t i = 0; i < MANY; i++)
		vm_map(vm, GVA + i * PAGE_SIZE, 0x20000000ul, PAGE_SIZE, PTE_P | PTE_W);
	v = vcpu_add(vm, 0, counts_everywhere);
	for (int round = 0; round < 3; round++) {
		vcpu_expect_sync(v, round);
		/* None of the mappings may keep the page that goes. */
		TEST_ASSERT(!madvise(mem, PAGE_SIZE, MADV_DONTNEED), "madvise");
	}
	vcpu_expect_done(v);
	vm_destroy(vm);
}

static void dirties(volatile uint64_t *pte)
{
	for (int i = 0; i < 3; i++) {
		*page = 0xaaaa;
		GUEST_SYNC(i);
	}
	GUEST_ASSERT(*pte & PTE_D);
	GUEST_DONE();
}

#define LOGGED	0x20000000ul

TEST(dirty_log_through_tables)
{
	struct vcpu *v = guest_with_pte(dirties);
	uint64_t bits[1];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };

	vm_add_mem(v->vm, 1, LOGGED, 2 * PAGE_SIZE, KVM_MEM_LOG_DIRTY_PAGES);
	*vm_pte(v->vm, GVA) = (LOGGED + PAGE_SIZE) | PTE_P | PTE_W;
	for (int i = 0; i < 3; i++) {
		vcpu_expect_sync(v, i);
		bits[0] = 0;
		ioctl_ok(v->vm->fd, KVM_GET_DIRTY_LOG, &log);
		TEST_ASSERT_EQ(bits[0], 2);
	}
	vcpu_expect_done(v);
	vm_destroy(v->vm);
}

static uint64_t stop;

static void flips(volatile uint64_t *pte)
{
	for (int i = 0; i < 1000; i++) {
		set_pte(pte, FRAME_B | PTE_P | PTE_W);
		GUEST_ASSERT_EQ(*page, 0xbbbb);
		set_pte(pte, 0);
		set_pte(pte, FRAME_A | PTE_P);
		GUEST_ASSERT_EQ(*page, 0xaaaa);
	}
	WRITE_ONCE(stop, 1);
	GUEST_DONE();
}

static void takes_not_present(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(f->error & ~2ul, 0);
}

/* Sees one of the two, or nothing, whatever the other does; after its own INVLPG, what is there. */
static void looks(volatile uint64_t *pte)
{
	uint64_t value;

	guest_handle(14, takes_not_present);
	while (!READ_ONCE(stop)) {
		value = *page;
		GUEST_ASSERT(value == 0xaaaa || value == 0xbbbb);
		invlpg((void *)GVA);
	}
	GUEST_ASSERT_EQ(*pte & ~0xffful, FRAME_A);
	GUEST_ASSERT_EQ(*page, 0xaaaa);
	GUEST_DONE();
}

TEST(two_vcpus_and_one_table)
{
	struct vcpu *v = guest_with_pte(flips), *other;
	struct kvm_regs regs = vcpu_regs(v);

	other = vcpu_add(v->vm, 1, NULL);
	vcpu_enter64(other, looks, regs.rdi);
	vcpu_start(v);
	vcpu_start(other);
	vcpu_join(v);
	vcpu_join(other);
	vm_destroy(v->vm);
}

static void reads_device(volatile uint64_t *pte)
{
	set_pte(pte, 0xd0000000ul | PTE_P | PTE_W);
	GUEST_ASSERT_EQ(*page, 0x5678);
	set_pte(pte, FRAME_A | PTE_P | PTE_W);
	GUEST_ASSERT_EQ(*page, 0xaaaa);
	GUEST_DONE();
}

TEST(device_behind_tables)
{
	struct vcpu *v = guest_with_pte(reads_device);

	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, 0xd0000000ul);
	memset(v->run->mmio.data, 0, 8);
	memcpy(v->run->mmio.data, "\x78\x56", 2);
	vcpu_expect_done(v);
	vm_destroy(v->vm);
}

#define WIDE_GPA	0x20000000ul
#define WIDE_SIZE	(256 * SZ_2M)

/* Each 2 MiB has a table of its own under shadow paging: many more than are allowed. */
static void goes_wide(void)
{
	for (uint64_t round = 0; round < 3; round++) {
		for (uint64_t at = 0; at < WIDE_SIZE; at += SZ_2M) {
			volatile uint64_t *p = (volatile uint64_t *)(WIDE_GPA + at);

			GUEST_ASSERT_EQ(*p, round ? at + round - 1 : 0);
			*p = at + round;
		}
		GUEST_SYNC(round);
	}
	GUEST_DONE();
}

TEST(few_shadow_pages)
{
	struct vcpu *v = guest_of(goes_wide);
	struct vm *vm = v->vm;

	vm_add_mem(vm, 1, WIDE_GPA, WIDE_SIZE, 0);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT(ioctl(vm->fd, KVM_GET_NR_MMU_PAGES, 0) > 64, "the default is the least");
	ioctl_ok(vm->fd, KVM_SET_NR_MMU_PAGES, 64ul);
	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	vcpu_expect_done(v);
	vm_destroy(vm);
}

/*
 * Stacks in pages that are tables, too: what goes onto them is beside the entries in use. The CPU
 * writes there by itself, when it delivers an event.
 */
static uint64_t events;

static void steps_over(struct trap_frame *f)
{
	f->rip += 2;
	events++;
}

static void counts(struct trap_frame *f)
{
	events++;
}

#define SOFT_VECTOR	0x41
#define IRQ_VECTOR	0x42

static void call_on_stack(uint64_t end, void (*fn)(void))
{
	asm volatile("mov %%rsp, %%rbx; mov %%rax, %%rsp; call *%%rcx; mov %%rbx, %%rsp"
		     : "+a"(end), "+c"(fn)
		     :
		     : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static void takes_events(void)
{
	for (int i = 0; i < 50; i++) {
		GUEST_ASSERT_EQ(*page, 0xaaaa);		/* the table is in use */
		asm volatile("ud2" ::: "memory");
		GUEST_ASSERT_EQ(*page, 0xaaaa);
		asm volatile("int %0" : : "i"(SOFT_VECTOR) : "memory");
		GUEST_ASSERT_EQ(READ_ONCE(events), 2 * i + 2);
	}
}

static void handle_events(void)
{
	guest_handle(6, steps_over);
	guest_handle(2, counts);
	guest_handle(SOFT_VECTOR, counts);
	guest_handle(IRQ_VECTOR, counts);
	WRITE_ONCE(events, 0);
}

static void stack_in_leaf_table(volatile uint64_t *pte)
{
	handle_events();
	call_on_stack(((uint64_t)pte & ~(PAGE_SIZE - 1)) + PAGE_SIZE - 16, takes_events);
	GUEST_DONE();
}

TEST(events_on_a_table)
{
	run_with_pte(stack_in_leaf_table);
}

static uint64_t root_page(void)
{
	return read_cr3() & ~(PAGE_SIZE - 1);
}

static void stack_in_root(void)
{
	handle_events();
	call_on_stack(root_page() + PAGE_SIZE - 16, takes_events);
	GUEST_DONE();
}

TEST(events_on_the_root)
{
	run_with_pte(stack_in_root);
}

static void waits_for_events(void)
{
	asm volatile("sti");
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(events), 1);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(READ_ONCE(events), 2);
	asm volatile("cli");
}

static void waits_on_root(void)
{
	handle_events();
	call_on_stack(root_page() + PAGE_SIZE - 16, waits_for_events);
	GUEST_DONE();
}

TEST(interrupts_on_the_root)
{
	struct vcpu *v = guest_with_pte(waits_on_root);
	struct kvm_interrupt irq = { .irq = IRQ_VECTOR };

	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_INTERRUPT, &irq);
	vcpu_expect_sync(v, 2);
	ioctl_ok(v->fd, KVM_NMI, 0);
	vcpu_expect_done(v);
	vm_destroy(v->vm);
}

static void takes_ud(void)
{
	for (int i = 0; i < 10; i++)
		asm volatile("ud2" ::: "memory");
}

/* Without CR0.WP the kernel, and what the CPU does for it, may write to read-only pages. */
static void stack_in_read_only(volatile uint64_t *pte)
{
	handle_events();
	set_pte(pte, FRAME_A | PTE_P);
	write_cr0(read_cr0() & ~CR0_WP);
	call_on_stack(GVA + PAGE_SIZE - 16, takes_ud);
	GUEST_ASSERT_EQ(READ_ONCE(events), 10);
	GUEST_DONE();
}

TEST(events_on_a_read_only_stack)
{
	run_with_pte(stack_in_read_only);
}

/* No stack can be a device. */
static void stack_in_device(volatile uint64_t *pte)
{
	set_pte(pte, NOWHERE_GPA | PTE_P | PTE_W);
	asm volatile("mov %0, %%rsp; ud2" : : "r"(GVA + PAGE_SIZE - 16) : "memory");
}

TEST(event_on_a_device)
{
	struct vcpu *v = guest_with_pte(stack_in_device);

	TEST_REQUIRE(kvm_is_okvm() || shadow_paging(), "the instruction at RIP is emulated");
	vcpu_expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	TEST_ASSERT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
	vm_destroy(v->vm);
}

/* FXSAVE is beyond the emulator: 512 bytes, in the second half of the page. */
static void fxsave(uint64_t table)
{
	*(volatile uint64_t *)(table + PAGE_SIZE / 2) = 0;
	asm volatile("fxsave (%0)" : : "r"(table + PAGE_SIZE / 2) : "memory");
	GUEST_ASSERT_EQ(*(volatile uint32_t *)(table + PAGE_SIZE / 2 + 24), 0x1f80);
}

static void saves_to_leaf_table(volatile uint64_t *pte)
{
	for (int i = 0; i < 100; i++) {
		GUEST_ASSERT_EQ(*page, 0xaaaa);
		fxsave((uint64_t)pte & ~(PAGE_SIZE - 1));
	}
	GUEST_DONE();
}

TEST(not_emulated_write_to_table)
{
	run_with_pte(saves_to_leaf_table);
}

static void saves_to_root(void)
{
	fxsave(root_page());
	GUEST_DONE();
}

/* The write is to a table that it needs itself. Shadow paging cannot do that, but it must end. */
TEST(not_emulated_write_to_root)
{
	struct vcpu *v = guest_with_pte(saves_to_root);

	if (!shadow_paging()) {
		vcpu_expect_done(v);
	} else {
		vcpu_expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
		TEST_ASSERT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	}
	vm_destroy(v->vm);
}

GUEST_ASM(reads_mapped, 32,
	  "mov $0x500, %edx; mov 0x80400010, %eax; outl %eax, %dx; mov %cr3, %eax; mov %eax, %cr3;"
	  "mov 0x80400014, %eax; outl %eax, %dx; hlt");

#define TABLES	0x80000ul

static void out_is(struct vcpu *v, uint32_t value)
{
	vcpu_expect_exit(v, KVM_EXIT_IO);
	TEST_ASSERT_EQ(*(uint32_t *)pio_data(v), value);
}

/* Outside long mode the upper half of CR3, which a guest may have left there, does not count. */
static void start_with_upper_cr3(struct vm *vm, uint64_t cr4)
{
	struct vcpu *v = vcpu_add_raw(vm, 0);
	struct kvm_sregs s;

	TEST_REQUIRE(shadow_paging(), "not all emulated CPUs think so");
	vm_add_mem(vm, 0, 0, 4 * SZ_2M, 0);
	vm_load_asm(vm, 0x10000, reads_mapped);
	*(uint64_t *)vm_hva(vm, 0x400010) = 0xbbbb0000aaaaul;
	vm->cr3 = TABLES;
	vcpu_set_cpuid(v);
	vcpu_enter32(v, 0x10000);
	s = vcpu_sregs(v);
	s.cr3 = TABLES | 1ul << 33;
	s.cr4 = cr4;
	s.cr0 |= CR0_PG | CR0_WP;
	vcpu_set_sregs(v, &s);
}

TEST(upper_half_of_cr3)
{
	struct vm *vm = vm_create_empty();
	uint32_t *t;

	start_with_upper_cr3(vm, CR4_PSE);
	t = vm_hva(vm, TABLES);
	t[0] = PTE_P | PTE_W | PTE_PS;
	t[0x80400000u >> 22] = 0x400000 | PTE_P | PTE_W | PTE_PS;
	out_is(vm->vcpus[0], 0xaaaa);
	out_is(vm->vcpus[0], 0xbbbb);
	vm_destroy(vm);
}

TEST(upper_half_of_cr3_pae)
{
	struct vm *vm = vm_create_empty();
	uint64_t *t;

	start_with_upper_cr3(vm, CR4_PAE);
	t = vm_hva(vm, TABLES);
	t[0] = (TABLES + 0x1000) | PTE_P;
	t[2] = (TABLES + 0x2000) | PTE_P;
	t[512] = PTE_P | PTE_W | PTE_PS;
	t[1024 + 2] = 0x400000 | PTE_P | PTE_W | PTE_PS;
	out_is(vm->vcpus[0], 0xaaaa);
	out_is(vm->vcpus[0], 0xbbbb);
	vm_destroy(vm);
}
