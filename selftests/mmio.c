// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO: each instruction runs on RAM, where the CPU executes it, and on MMIO,
 * where it is emulated and the host plays a device of plain memory behind it.
 * Registers, flags and memory must come out the same.
 */

#include "selftest.h"

#define WINDOW		(2 * PAGE_SIZE)		/* of device memory at NOWHERE_GPA */
#define RAM_SIDE	TEST_GPA
#define OTHER		(TEST_GPA + 0x10000)	/* the other operand of string moves */

struct state {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, flags;
};

#define ARITH_FLAGS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* The memory operand is (%r8). */
#define OP(name, insn)								\
static void op_##name(struct state *s, void *p)					\
{										\
	register void *r8 asm("r8") = p;					\
	asm volatile("push %[f]\n\tpopfq\n\t" insn "\n\tpushfq\n\tpop %[f]\n\tcld"	\
		     : "+a"(s->rax), "+b"(s->rbx), "+c"(s->rcx), "+d"(s->rdx),	\
		       "+S"(s->rsi), "+D"(s->rdi), [f] "+r"(s->flags), "+r"(r8)	\
		     : : "memory", "cc");					\
}

typedef void (*op_fn)(struct state *s, void *p);

struct op {
	const char *name;
	op_fn fn;
	uint64_t flags_ignored;		/* those that the manual leaves undefined */
};

static const struct op *ops;
static uint64_t n_ops, where;

static struct state first_state(void *p, int round)
{
	return (struct state) {
		.rax = round ? 0x8877665544332211 : 0x10,
		.rbx = round ? 0xf0e0d0c0b0a09080 : 3,
		.rcx = 3,
		.rdx = 0x0123456789abcdef,
		.rsi = (uintptr_t)p,
		.rdi = (uintptr_t)p,
		.flags = FLAG_FIXED | (round ? FLAG_CF : 0),
	};
}

static void fill(volatile uint8_t *p)
{
	for (int i = 0; i < 64; i++)
		p[i] = i * 0x1d + 0x80;
}

static void compare(const struct op *op, const struct state *a, const struct state *b,
		    uint64_t shift)
{
	uint64_t mask = ARITH_FLAGS & ~op->flags_ignored;
	bool same = a->rax == b->rax && a->rbx == b->rbx && a->rcx == b->rcx &&
		    a->rdx == b->rdx && (a->flags & mask) == (b->flags & mask) &&
		    (a->rsi == b->rsi || a->rsi + shift == b->rsi) &&
		    (a->rdi == b->rdi || a->rdi + shift == b->rdi);

	if (same)
		return;
	GUEST_PRINTF("%s: rax %#lx rbx %#lx rcx %#lx rdx %#lx flags %#lx on RAM", (uint64_t)op->name,
		     a->rax, a->rbx, a->rcx, a->rdx, a->flags & mask);
	GUEST_PRINTF("%s: rax %#lx rbx %#lx rcx %#lx rdx %#lx flags %#lx on MMIO",
		     (uint64_t)op->name, b->rax, b->rbx, b->rcx, b->rdx, b->flags & mask);
	GUEST_PRINTF("%s: rsi %#lx and %#lx, rdi %#lx and %#lx", (uint64_t)op->name, a->rsi, b->rsi,
		     a->rdi, b->rdi);
	GUEST_ASSERT(!"the same registers and flags");
}

/* One operation on RAM, then on the address in @where; the host compares memory. */
static void run_ops(void)
{
	for (uint64_t i = 0; i < n_ops; i++) {
		const struct op *op = &ops[i];

		for (int round = 0; round < 2; round++) {
			void *ram = (void *)(RAM_SIDE + (where & 0xfff)), *dev = (void *)where;
			struct state a = first_state(ram, round), b = first_state(dev, round);

			fill(ram);
			fill((void *)OTHER);
			GUEST_SYNC_VAL(i, round);	/* the host fills the device */
			op->fn(&a, ram);
			fill((void *)OTHER);
			op->fn(&b, dev);
			compare(op, &a, &b, where - (uintptr_t)ram);
			GUEST_SYNC_VAL(i, round);	/* the host compares */
		}
	}
	GUEST_DONE();
}

static uint8_t device[WINDOW];
static uint64_t device_gpa;

static void play_device(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t off = run->mmio.phys_addr - device_gpa;

	TEST_ASSERT(run->exit_reason == KVM_EXIT_MMIO, "exit %u", run->exit_reason);
	TEST_ASSERT(run->mmio.len >= 1 && run->mmio.len <= 8, "%u bytes", run->mmio.len);
	TEST_ASSERT(run->mmio.phys_addr >= device_gpa && off + run->mmio.len <= WINDOW,
		    "an access at %#llx", run->mmio.phys_addr);
	if (run->mmio.is_write)
		memcpy(device + off, run->mmio.data, run->mmio.len);
	else
		memcpy(run->mmio.data, device + off, run->mmio.len);
}

/* Run to the next ucall, playing the device meanwhile. */
static enum ucall_cmd run_device(struct vcpu *v, const char *name)
{
	enum ucall_cmd cmd;

	while ((cmd = vcpu_next(v)) == UCALL_NONE) {
		if (v->run->exit_reason != KVM_EXIT_MMIO) {
			vcpu_describe(v);
			diag("instruction: %s", name);
		}
		play_device(v);
	}
	return cmd;
}

/* Where byte @i of the operand at guest address @addr is: RAM, or the device. */
static uint8_t *byte_at(struct vcpu *v, uint64_t addr)
{
	return addr >= device_gpa ? device + (addr - device_gpa) : vm_hva(v->vm, addr);
}

static void run_at(const struct op *list, uint64_t n, uint64_t addr)
{
	uint8_t want[64];
	struct vcpu *v;
	uint64_t done = 0;

	ops = list;
	n_ops = n;
	where = addr;
	device_gpa = addr < RAM_SIZE ? RAM_SIZE : addr & ~0xffful;
	v = guest_of(run_ops);
	while (vcpu_next(v) == UCALL_SYNC) {
		const char *name = list[v->uc.args[0]].name;

		for (int i = 0; i < 64; i++)
			*byte_at(v, addr + i) = i * 0x1d + 0x80;
		TEST_ASSERT(run_device(v, name) == UCALL_SYNC, "%s", name);
		memcpy(want, vm_hva(v->vm, RAM_SIDE + (addr & 0xfff)), 64);
		for (int i = 0; i < 64; i++)
			TEST_ASSERT(*byte_at(v, addr + i) == want[i],
				    "%s at %#lx: byte %d is %#x, should be %#x", name, addr, i,
				    *byte_at(v, addr + i), want[i]);
		done++;
	}
	TEST_ASSERT_EQ(v->uc.cmd, UCALL_DONE);
	TEST_ASSERT_EQ(done, 2 * n);
	vm_destroy(v->vm);
}

#define run_all(list) run_at(list, sizeof(list) / sizeof((list)[0]), NOWHERE_GPA + 0x40)

OP(store_b, "movb %%al, (%%r8)")
OP(store_ah, "movb %%ah, (%%rsi)")
OP(store_w, "movw %%ax, (%%r8)")
OP(store_l, "movl %%eax, (%%r8)")
OP(store_q, "movq %%rax, (%%r8)")
OP(store_imm_b, "movb $0x5a, (%%r8)")
OP(store_imm_w, "movw $0x5a5b, (%%r8)")
OP(store_imm_l, "movl $0x5a5b5c5d, (%%r8)")
OP(store_imm_q, "movq $-0x5a5b5c5d, (%%r8)")
OP(load_b, "movb (%%r8), %%al")
OP(load_ah, "movb (%%rsi), %%ah")
OP(load_w, "movw (%%r8), %%ax")
OP(load_l, "movl (%%r8), %%eax")
OP(load_q, "movq (%%r8), %%rax")
OP(load_r15, "push %%r15; movq (%%r8), %%r15; mov %%r15, %%rax; pop %%r15")
OP(load_sib, "movl 8(%%r8, %%rcx, 4), %%eax")
OP(store_sib, "movl %%eax, -4(%%r8, %%rcx, 4)")
OP(store_addr32, "movl %%eax, (%%r8d)")
OP(movnti, "movnti %%rax, (%%r8)")

static const struct op moves[] = {
	{ "movb %al, m", op_store_b, 0 }, { "movb %ah, m", op_store_ah, 0 },
	{ "movw %ax, m", op_store_w, 0 }, { "movl %eax, m", op_store_l, 0 },
	{ "movq %rax, m", op_store_q, 0 }, { "movb imm, m", op_store_imm_b, 0 },
	{ "movw imm, m", op_store_imm_w, 0 }, { "movl imm, m", op_store_imm_l, 0 },
	{ "movq imm, m", op_store_imm_q, 0 }, { "movb m, %al", op_load_b, 0 },
	{ "movb m, %ah", op_load_ah, 0 }, { "movw m, %ax", op_load_w, 0 },
	{ "movl m, %eax", op_load_l, 0 }, { "movq m, %rax", op_load_q, 0 },
	{ "movq m, %r15", op_load_r15, 0 }, { "movl 8(r,r,4), %eax", op_load_sib, 0 },
	{ "movl %eax, -4(r,r,4)", op_store_sib, 0 }, { "movl %eax, (r8d)", op_store_addr32, 0 },
	{ "movnti", op_movnti, 0 },
};

TEST(mov)
{
	run_all(moves);
}

OP(movzbw, "movzbw (%%r8), %%ax")
OP(movzbl, "movzbl (%%r8), %%eax")
OP(movzbq, "movzbq (%%r8), %%rax")
OP(movzwl, "movzwl (%%r8), %%eax")
OP(movzwq, "movzwq (%%r8), %%rax")
OP(movsbw, "movsbw (%%r8), %%ax")
OP(movsbl, "movsbl (%%r8), %%eax")
OP(movsbq, "movsbq (%%r8), %%rax")
OP(movswl, "movswl 3(%%r8), %%eax")
OP(movswq, "movswq (%%r8), %%rax")
OP(movslq, "movslq (%%r8), %%rax")

static const struct op extends[] = {
	{ "movzbw", op_movzbw, 0 }, { "movzbl", op_movzbl, 0 }, { "movzbq", op_movzbq, 0 },
	{ "movzwl", op_movzwl, 0 }, { "movzwq", op_movzwq, 0 }, { "movsbw", op_movsbw, 0 },
	{ "movsbl", op_movsbl, 0 }, { "movsbq", op_movsbq, 0 }, { "movswl", op_movswl, 0 },
	{ "movswq", op_movswq, 0 }, { "movslq", op_movslq, 0 },
};

TEST(movzx_movsx)
{
	run_all(extends);
}

#define TO_OTHER	"mov %[other], %%edi\n\t"
#define FROM_OTHER	"mov %[other], %%esi\n\t"
#define STRING_OP(name, insn)							\
static void op_##name(struct state *s, void *p)					\
{										\
	asm volatile("push %[f]\n\tpopfq\n\t" insn "\n\tpushfq\n\tpop %[f]\n\tcld"	\
		     : "+a"(s->rax), "+c"(s->rcx), "+S"(s->rsi), "+D"(s->rdi),	\
		       [f] "+r"(s->flags)					\
		     : [other] "i"(OTHER) : "memory", "cc");			\
}

STRING_OP(stosb, "stosb")
STRING_OP(stosw, "stosw")
STRING_OP(stosl, "stosl")
STRING_OP(stosq, "stosq")
STRING_OP(rep_stosb, "rep stosb")
STRING_OP(rep_stosl, "rep stosl")
STRING_OP(rep_stosq, "rep stosq")
STRING_OP(std_stosl, "add $32, %%rdi; std; rep stosl; cld; mov $0, %%edi")
STRING_OP(movsb_out, FROM_OTHER "movsb")
STRING_OP(movsw_out, FROM_OTHER "movsw")
STRING_OP(movsl_out, FROM_OTHER "movsl")
STRING_OP(movsq_out, FROM_OTHER "movsq")
STRING_OP(movsb_in, TO_OTHER "movsb")
STRING_OP(movsl_in, TO_OTHER "movsl; movl -4(%%rdi), %%eax")
STRING_OP(rep_movsb_out, FROM_OTHER "rep movsb")
STRING_OP(rep_movsl_out, FROM_OTHER "rep movsl")
STRING_OP(rep_movsq_in, TO_OTHER "rep movsq; movq -24(%%rdi), %%rax")
STRING_OP(rep_movsl_both, "add $16, %%rdi; rep movsl")
STRING_OP(rep_none, "xor %%ecx, %%ecx; rep movsl")
STRING_OP(lodsb, "lodsb")
STRING_OP(lodsq, "lodsq")
STRING_OP(rep_lodsl, "rep lodsl")

static const struct op strings[] = {
	{ "stosb", op_stosb, 0 }, { "stosw", op_stosw, 0 }, { "stosl", op_stosl, 0 },
	{ "stosq", op_stosq, 0 }, { "rep stosb", op_rep_stosb, 0 },
	{ "rep stosl", op_rep_stosl, 0 }, { "rep stosq", op_rep_stosq, 0 },
	{ "std; rep stosl", op_std_stosl, ARITH_FLAGS }, { "movsb to", op_movsb_out, 0 },
	{ "movsw to", op_movsw_out, 0 }, { "movsl to", op_movsl_out, 0 },
	{ "movsq to", op_movsq_out, 0 }, { "movsb from", op_movsb_in, 0 },
	{ "movsl from", op_movsl_in, 0 }, { "rep movsb to", op_rep_movsb_out, 0 },
	{ "rep movsl to", op_rep_movsl_out, 0 }, { "rep movsq from", op_rep_movsq_in, 0 },
	{ "rep movsl both", op_rep_movsl_both, 0 }, { "rep movsl of none", op_rep_none, 0 },
	{ "lodsb", op_lodsb, 0 }, { "lodsq", op_lodsq, 0 }, { "rep lodsl", op_rep_lodsl, 0 },
};

TEST(string_moves)
{
	run_all(strings);
}

STRING_OP(scasb, "scasb")
STRING_OP(repne_scasb, "mov $0xba, %%al; repne scasb")
STRING_OP(cmpsl, FROM_OTHER "cmpsl")
STRING_OP(repe_cmpsb, FROM_OTHER "repe cmpsb")

static const struct op string_compares[] = {
	{ "scasb", op_scasb, 0 }, { "repne scasb", op_repne_scasb, 0 },
	{ "cmpsl", op_cmpsl, 0 }, { "repe cmpsb", op_repe_cmpsb, 0 },
};

TEST(scas_cmps)
{
	run_all(string_compares);
}

#define ALU(name)								\
	OP(name##b_st, #name "b %%al, (%%r8)")					\
	OP(name##l_st, #name "l %%eax, (%%r8)")					\
	OP(name##q_st, #name "q %%rax, (%%r8)")					\
	OP(name##l_ld, #name "l (%%r8), %%eax")					\
	OP(name##w_ld, #name "w (%%r8), %%ax")					\
	OP(name##b_imm, #name "b $0x91, (%%r8)")				\
	OP(name##q_imm8, #name "q $-3, (%%r8)")					\
	OP(name##l_imm, #name "l $0x12345678, (%%r8)")

#define ALU_OPS(name, ignored)							\
	{ #name "b %al, m", op_##name##b_st, ignored },				\
	{ #name "l %eax, m", op_##name##l_st, ignored },			\
	{ #name "q %rax, m", op_##name##q_st, ignored },			\
	{ #name "l m, %eax", op_##name##l_ld, ignored },			\
	{ #name "w m, %ax", op_##name##w_ld, ignored },				\
	{ #name "b imm, m", op_##name##b_imm, ignored },			\
	{ #name "q imm8, m", op_##name##q_imm8, ignored },			\
	{ #name "l imm, m", op_##name##l_imm, ignored }

ALU(add)
ALU(or)
ALU(and)
ALU(sub)
ALU(xor)
ALU(adc)
ALU(sbb)
ALU(cmp)

/* AF is undefined after the logical ones. */
static const struct op alu[] = {
	ALU_OPS(add, 0), ALU_OPS(or, FLAG_AF), ALU_OPS(and, FLAG_AF), ALU_OPS(sub, 0),
	ALU_OPS(xor, FLAG_AF), ALU_OPS(adc, 0), ALU_OPS(sbb, 0), ALU_OPS(cmp, 0),
};

TEST(arithmetic)
{
	run_all(alu);
}

OP(testb, "testb %%al, (%%r8)")
OP(testl, "testl %%eax, (%%r8)")
OP(testl_imm, "testl $0x1000, (%%r8)")
OP(testb_imm, "testb $0x80, (%%r8)")
OP(xchgb, "xchgb %%al, (%%r8)")
OP(xchgw, "xchgw %%ax, (%%r8)")
OP(xchgl, "xchgl %%eax, (%%r8)")
OP(xchgq, "xchgq %%rax, (%%r8)")
OP(notl, "notl (%%r8)")
OP(negq, "negq (%%r8)")
OP(incl, "incl (%%r8)")
OP(decb, "decb (%%r8)")
OP(lock_orl, "lock orl %%eax, (%%r8)")
OP(lock_addq, "lock addq %%rax, (%%r8)")
OP(xaddl, "xaddl %%eax, (%%r8)")
OP(cmpxchg_ne, "cmpxchgl %%ebx, (%%r8)")
OP(cmpxchg_eq, "movl $0xd7ba9d80, %%eax; cmpxchgl %%ebx, (%%r8)")

static const struct op others[] = {
	{ "testb %al, m", op_testb, FLAG_AF }, { "testl %eax, m", op_testl, FLAG_AF },
	{ "testl imm, m", op_testl_imm, FLAG_AF }, { "testb imm, m", op_testb_imm, FLAG_AF },
	{ "xchgb", op_xchgb, 0 }, { "xchgw", op_xchgw, 0 }, { "xchgl", op_xchgl, 0 },
	{ "xchgq", op_xchgq, 0 }, { "notl", op_notl, 0 }, { "negq", op_negq, 0 },
	{ "incl", op_incl, 0 }, { "decb", op_decb, 0 }, { "lock orl", op_lock_orl, FLAG_AF },
	{ "lock addq", op_lock_addq, 0 }, { "xaddl", op_xaddl, 0 },
	{ "cmpxchgl, differs", op_cmpxchg_ne, 0 }, { "cmpxchgl, equal", op_cmpxchg_eq, 0 },
};

TEST(test_xchg_and_unary)
{
	run_all(others);
}

#define BIT_FLAGS (FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF | FLAG_ZF)

OP(btl, "btl $3, (%%r8)")
OP(btsl, "btsl $3, (%%r8)")
OP(btrl, "btrl $31, (%%r8)")
OP(btcq, "btcq $40, (%%r8)")
OP(btsq_reg, "btsq %%rcx, (%%r8)")
OP(lock_btsl, "lock btsl $0, (%%r8)")
OP(setcb, "setc (%%r8)")
OP(cmovc, "cmovc (%%r8), %%eax")
OP(shll, "shll $3, (%%r8)")
OP(shrq_cl, "shrq %%cl, (%%r8)")
OP(sarl_1, "sarl (%%r8)")
OP(roll, "roll (%%r8)")

static const struct op bits[] = {
	{ "btl imm", op_btl, BIT_FLAGS }, { "btsl imm", op_btsl, BIT_FLAGS },
	{ "btrl imm", op_btrl, BIT_FLAGS }, { "btcq imm", op_btcq, BIT_FLAGS },
	{ "btsq reg", op_btsq_reg, BIT_FLAGS }, { "lock btsl", op_lock_btsl, BIT_FLAGS },
	{ "setc", op_setcb, 0 }, { "cmovc", op_cmovc, 0 },
	{ "shll imm", op_shll, FLAG_OF | FLAG_AF }, { "shrq cl", op_shrq_cl, FLAG_OF | FLAG_AF },
	{ "sarl", op_sarl_1, FLAG_AF }, { "roll", op_roll, FLAG_AF },
};

TEST(bits_and_shifts)
{
	run_all(bits);
}

OP(pushq, "pushq (%%r8); pop %%rax")
OP(popq, "push %%rax; popq (%%r8)")
OP(movups_st, "movq %%rax, %%xmm0; movq %%rbx, %%xmm1; punpcklqdq %%xmm1, %%xmm0;"
	      "movups %%xmm0, (%%r8)")
OP(movups_ld, "movups (%%r8), %%xmm0; movq %%xmm0, %%rax; psrldq $8, %%xmm0; movq %%xmm0, %%rbx")
OP(movdqa_st, "movq %%rax, %%xmm0; movdqa %%xmm0, (%%r8)")

static const struct op stack[] = {
	{ "pushq m", op_pushq, 0 }, { "popq m", op_popq, 0 },
};

TEST(stack_operations)
{
	run_all(stack);
}

static const struct op wide[] = {
	{ "movups to", op_movups_st, 0 }, { "movups from", op_movups_ld, 0 },
	{ "movdqa to", op_movdqa_st, 0 },
};

TEST(sse_moves)
{
	run_all(wide);
}

/* No locked ones: an emulated CPU loses the flags when such a one faults unaligned. */
static const struct op crossing[] = {
	{ "movl %eax, m", op_store_l, 0 }, { "movq %rax, m", op_store_q, 0 },
	{ "movw %ax, m", op_store_w, 0 }, { "movl m, %eax", op_load_l, 0 },
	{ "movq m, %rax", op_load_q, 0 }, { "addl %eax, m", op_addl_st, 0 },
	{ "rep stosl", op_rep_stosl, 0 }, { "rep movsl to", op_rep_movsl_out, 0 },
};

#define N_CROSSING (sizeof(crossing) / sizeof(crossing[0]))

TEST(across_mmio_pages)
{
	for (int i = 1; i < 8; i += 2)
		run_at(crossing, N_CROSSING, NOWHERE_GPA + PAGE_SIZE - i);
}

/* The first bytes are RAM, the rest is the device. */
TEST(across_ram_and_mmio)
{
	for (int i = 1; i < 8; i += 2)
		run_at(crossing, N_CROSSING, RAM_SIZE - i);
}

TEST(unaligned)
{
	run_at(crossing, N_CROSSING, NOWHERE_GPA + 0x41);
	run_at(crossing, N_CROSSING, NOWHERE_GPA + 0x47);
}

static void plain_accesses(void)
{
	*(volatile uint8_t *)(NOWHERE_GPA + 1) = 0x11;
	*(volatile uint16_t *)(NOWHERE_GPA + 2) = 0x2222;
	*(volatile uint32_t *)(NOWHERE_GPA + 4) = 0x33333333;
	*(volatile uint64_t *)(NOWHERE_GPA + 8) = 0x4444444444444444;
	GUEST_ASSERT_EQ(*(volatile uint8_t *)(NOWHERE_GPA + 1), 0x11);
	GUEST_ASSERT_EQ(*(volatile uint16_t *)(NOWHERE_GPA + 2), 0x2222);
	GUEST_ASSERT_EQ(*(volatile uint32_t *)(NOWHERE_GPA + 4), 0x33333333);
	GUEST_ASSERT_EQ(*(volatile uint64_t *)(NOWHERE_GPA + 8), 0x4444444444444444);
	GUEST_DONE();
}

/* An aligned access of up to 8 bytes is one exit that says exactly what it is. */
TEST(exit_fields)
{
	static const struct { int off, len; } want[] = { { 1, 1 }, { 2, 2 }, { 4, 4 }, { 8, 8 } };
	struct vcpu *v = guest_of(plain_accesses);

	for (int i = 0; i < 8; i++) {
		struct kvm_run *run = v->run;
		uint8_t byte = 0x11 * (i % 4 + 1);

		vcpu_expect_exit(v, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(run->mmio.phys_addr, NOWHERE_GPA + want[i % 4].off);
		TEST_ASSERT_EQ(run->mmio.len, want[i % 4].len);
		TEST_ASSERT_EQ(run->mmio.is_write, i < 4);
		for (int j = 0; j < want[i % 4].len && i < 4; j++)
			TEST_ASSERT_EQ(run->mmio.data[j], byte);
		memset(run->mmio.data, byte, 8);
	}
	vcpu_expect_done(v);
}

/* What user space makes of the exit's description must not matter. */
TEST(hostile_kvm_run)
{
	struct vcpu *v = guest_of(plain_accesses);

	for (int i = 0; i < 8; i++) {
		vcpu_expect_exit(v, KVM_EXIT_MMIO);
		memset(v->run->mmio.data, 0x11 * (i % 4 + 1), 8);
		v->run->mmio.len = 0xffffffff;
		v->run->mmio.phys_addr = ~0ull;
		v->run->mmio.is_write ^= 1;
		v->run->exit_reason = 0;
	}
	vcpu_expect_done(v);
}

static void through_another_mapping(void)
{
	*(volatile uint32_t *)0x7000000018 = 5;
	GUEST_DONE();
}

TEST(guest_paging_translates)
{
	struct vcpu *v = guest_of(through_another_mapping);

	vm_map(v->vm, 0x7000000000, NOWHERE_GPA + 0x5000, PAGE_SIZE, PTE_P | PTE_W);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, NOWHERE_GPA + 0x5018);
	vcpu_expect_done(v);
}

GUEST_ASM(vga16, 16,
	  "mov $0xb800, %ax; mov %ax, %es; mov $0x10, %di; mov $0x0741, %ax; cld; stosw;"
	  "movb $0x42, %es:(%di); mov %es:2(%di), %bl; hlt");

TEST(real_mode)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);

	vm_add_mem(vm, 0, 0, 0xa0000, 0);
	vm_load_asm(vm, 0x10000, vga16);
	vcpu_enter16(v, 0x1000, 0);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, 0xb8010);
	TEST_ASSERT_EQ(v->run->mmio.len, 2);
	TEST_ASSERT_EQ(*(uint16_t *)v->run->mmio.data, 0x0741);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, 0xb8012);
	TEST_ASSERT_EQ(v->run->mmio.len, 1);
	TEST_ASSERT_EQ(v->run->mmio.data[0], 0x42);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, 0xb8014);
	v->run->mmio.data[0] = 0x77;
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(vcpu_regs(v).rbx & 0xff, 0x77);
	TEST_ASSERT_EQ(vcpu_regs(v).rdi, 0x12);
}

GUEST_ASM(mmio32, 32,
	  "mov $0xc0000000, %ebx; mov $0x12345678, %eax; mov %eax, 8(%ebx);"
	  "mov $3, %esi; mov 4(%ebx, %esi, 4), %ecx; mov 0xc0000020, %eax; hlt");

TEST(protected_mode)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);

	vm_load_asm(v->vm, TEST_GPA, mmio32);
	vcpu_enter32(v, TEST_GPA);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, NOWHERE_GPA + 8);
	TEST_ASSERT_EQ(*(uint32_t *)v->run->mmio.data, 0x12345678);
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, NOWHERE_GPA + 16);
	*(uint32_t *)v->run->mmio.data = 0x1111;
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.phys_addr, NOWHERE_GPA + 0x20);
	*(uint32_t *)v->run->mmio.data = 0x2222;
	vcpu_expect_exit(v, KVM_EXIT_HLT);
	TEST_ASSERT_EQ(vcpu_regs(v).rcx, 0x1111);
	TEST_ASSERT_EQ(vcpu_regs(v).rax, 0x2222);
}
