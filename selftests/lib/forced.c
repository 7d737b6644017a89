// SPDX-License-Identifier: GPL-2.0-only
/* Instructions run natively and emulated, and compared. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "forced.h"
#include "harness.h"

#define F_TABLES	0x10000		/* PML4, PDPT, PD, PT */
#define F_TABLES32	0x14000		/* page directory and table of 32 bits */
#define F_SLOT		F_MMIO
#define SHOWN		40		/* differences shown of a case */

const char *const forced_mode_name[] = { "real", "v86", "prot16", "prot32", "compat", "long" };

static const uint8_t prefix[] = { 0x0f, 0x0b, 'k', 'v', 'm' };
/* FNINIT behind the prefix: what is not emulated leaves the guest. */
static const uint8_t stop[] = { 0x0f, 0x0b, 'k', 'v', 'm', 0xdb, 0xe3 };
static const uint32_t msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS,
	MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
};

static bool is_long(enum forced_mode mode)
{
	return mode == COMPAT || mode == LONG64;
}

static void require_prefix(void)
{
	const char *path = kvm_is_okvm() ? "/sys/module/okvm/parameters/force_emulation_prefix" :
					   "/sys/module/kvm/parameters/force_emulation_prefix";
	FILE *f = fopen(path, "r+");
	int value = 0;

	TEST_REQUIRE(f, "%s cannot be written", path);
	/* 1: the prefix counts; 2: the CPU's RF, set by the prefix's #UD, does not. */
	fprintf(f, "3\n");
	fclose(f);
	f = fopen(path, "r");
	TEST_REQUIRE(f && fscanf(f, "%d", &value) == 1 && value == 3,
		     "force_emulation_prefix cannot be switched on");
	fclose(f);
}

/* Accessed and dirty all, so that walks write nothing. For 64 bits, and for 32. */
static void make_tables(struct vm *vm)
{
	uint64_t *pml4 = vm_hva(vm, F_TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;
	uint32_t *pd32 = vm_hva(vm, F_TABLES32), *pt32 = pd32 + 1024;
	uint32_t all = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;

	pml4[0] = (F_TABLES + 0x1000) | all;
	pdpt[0] = (F_TABLES + 0x2000) | all;
	pd[0] = (F_TABLES + 0x3000) | all;
	pd32[0] = (F_TABLES32 + 0x1000) | all;
	for (uint32_t i = 0; i < 512; i++)
		pt[i] = pt32[i] = i * PAGE_SIZE | all;
	pt[F_ABSENT / PAGE_SIZE] = pt32[F_ABSENT / PAGE_SIZE] = 0;
	pt[F_READ_ONLY / PAGE_SIZE] &= ~PTE_W;
	pt32[F_READ_ONLY / PAGE_SIZE] &= ~PTE_W;
	pt[F_SUPERVISOR / PAGE_SIZE] &= ~PTE_U;
	pt32[F_SUPERVISOR / PAGE_SIZE] &= ~PTE_U;
}

/* An instruction that the emulator does not have exits at any CPL, and does nothing. */
static void exit_on_failure(struct vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args[0] = 1 };

	require_cap(KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	ioctl_ok(vm->fd, KVM_ENABLE_CAP, &cap);
}

/* The run that a tick finds under way, it stops if it is the one that the last tick found. */
static volatile unsigned long runs;
static struct kvm_run *volatile running;

static void tick(int signal)
{
	static unsigned long last;

	if (last == runs && running)
		running->immediate_exit = 1;
	last = runs;
}

static void start_ticks(struct forced *f)
{
	/* QEMU has calls that nobody comes back from, which cost two ticks each; Bochs is slow. */
	const time_t seconds = host_is_tcg() ? 1 : 5;
	const struct itimerval every = { { seconds, 0 }, { seconds, 0 } };
	const struct sigaction action = { .sa_handler = tick };

	running = f->v->run;
	TEST_ASSERT(!sigaction(SIGALRM, &action, NULL), "sigaction");
	TEST_ASSERT(!setitimer(ITIMER_REAL, &every, NULL), "setitimer");
}

struct forced *forced_create(void)
{
	struct forced *f = calloc(1, sizeof(*f));
	struct vm *vm;

	require_prefix();
	require_cap(KVM_CAP_SYNC_REGS);
	TEST_ASSERT(f, "no memory");
	vm = vm_create_empty();
	vm_add_mem(vm, 0, 0, F_SLOT, 0);
	exit_on_failure(vm);
	make_tables(vm);
	f->v = vcpu_add_raw(vm, 0);
	vcpu_set_cpuid(f->v);
	ioctl_ok(f->v->fd, KVM_GET_XCRS, &f->start.xcrs);
	start_ticks(f);
	return f;
}

uint64_t *forced_descriptor(struct forced *f, uint16_t selector)
{
	return (uint64_t *)(f->start.memory + F_GDT) + selector / 8;
}

static void *at(struct forced *f, uint16_t offset)
{
	return f->start.memory + offset;
}

static void make_gdt(struct forced *f)
{
	uint64_t code = is_long(f->mode) ? 0x00af9b000000ffff : 0x00cf9b000000ffff;

	for (uint64_t dpl = 0; dpl < 4; dpl++) {
		*forced_descriptor(f, F_CS + dpl * 8) = code | dpl << 45;
		*forced_descriptor(f, F_SS + dpl * 8) = 0x00cf93000000ffff | dpl << 45;
	}
	*forced_descriptor(f, F_TR) = (uint64_t)F_TSS << 16 | 0x8bull << 40 | F_TSS_LIMIT;
}

static void make_vectors(struct forced *f)
{
	uint64_t dpl = 3, type = dpl << 45 | 0x8eull << 40 | F_CS << 16;
	uint16_t *ivt = at(f, 0);
	uint64_t *idt = at(f, F_IDT);

	for (int i = 0; i < 256; i++) {
		uint64_t gate = (F_STUBS + i) | type;

		ivt[i * 2] = F_STUBS + i;
		ivt[i * 2 + 1] = 0;
		if (is_long(f->mode))
			idt[i * 2] = gate;
		else
			idt[i] = gate;
	}
}

static void make_tss(struct forced *f)
{
	uint32_t *tss = at(f, F_TSS);
	uint8_t *map = at(f, F_TSS + 0x80);

	if (is_long(f->mode)) {
		for (int i = 0; i < 3; i++)
			tss[1 + i * 2] = F_STACK0 - i * 0x100;
	} else {
		for (int i = 0; i < 3; i++) {
			tss[1 + i * 2] = F_STACK0 - i * 0x100;
			tss[2 + i * 2] = (F_SS + i * 8) | i;
		}
	}
	tss[0x64 / 4] = 0x80 << 16;
	/* A bit set forbids: F_PORT + 8 is the first that is. */
	map[(F_PORT + 8) / 8] = 0xff;
	map[F_TSS_LIMIT - 0x80] = 0xff;
}

static void make_memory(struct forced *f)
{
	memset(f->start.memory, 0, F_MEMORY);
	make_gdt(f);
	make_vectors(f);
	make_tss(f);
	memset(at(f, F_STUBS), 0xf4, 0x100);
	memcpy(at(f, F_TARGET), stop, sizeof(stop));
	for (int i = 0; i < 0x1000; i++)
		*(uint8_t *)at(f, F_DATA + i) = i * 7;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, unsigned int dpl)
{
	return (struct kvm_segment) {
		.selector = selector, .limit = 0xffffffff, .type = type, .s = 1, .dpl = dpl,
		.present = 1, .g = 1, .db = 1,
	};
}

static struct kvm_segment small_segment(uint8_t type, unsigned int dpl)
{
	return (struct kvm_segment) {
		.limit = 0xffff, .type = type, .s = 1, .dpl = dpl, .present = 1,
	};
}

static void make_segments(struct forced *f, struct kvm_sregs *s)
{
	unsigned int cpl = f->cpl, rpl = cpl;

	s->cs = segment((F_CS + cpl * 8) | rpl, 11, cpl);
	s->ss = segment((F_SS + cpl * 8) | rpl, 3, cpl);
	if (f->mode == LONG64) {
		s->cs.l = 1;
		s->cs.db = 0;
	} else if (f->mode == PROT16) {
		s->cs.db = s->ss.db = s->cs.g = s->ss.g = 0;
		s->cs.limit = s->ss.limit = 0xffff;
	}
	s->ds = s->es = s->fs = s->gs = segment((F_SS + cpl * 8) | rpl, 3, cpl);
	if (f->mode == REAL16 || f->mode == V86) {
		s->ds = s->ss = small_segment(3, cpl);
		s->cs = small_segment(f->mode == V86 ? 3 : 11, cpl);
		s->es = s->fs = s->gs = s->ds;
	}
	/* QEMU wants it not busy, the CPU does not care. */
	s->tr = (struct kvm_segment) {
		.selector = F_TR, .base = F_TSS, .limit = F_TSS_LIMIT, .present = 1,
		.type = host_is_tcg() ? 9 : 11,
	};
	s->ldt = (struct kvm_segment) { .unusable = 1 };
}

static void make_control(struct forced *f, struct kvm_sregs *s)
{
	bool real = f->mode == REAL16;

	s->gdt = (struct kvm_dtable) { .base = F_GDT, .limit = F_GDT_LIMIT };
	s->idt = (struct kvm_dtable) { .base = real ? 0 : F_IDT, .limit = real ? 0x3ff : 0xfff };
	s->cr0 = real ? CR0_ET | CR0_NE : CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->cr2 = 0;
	s->cr3 = is_long(f->mode) ? F_TABLES : F_TABLES32;
	s->cr4 = is_long(f->mode) ? CR4_PAE : 0;
	s->cr8 = 0;
	s->efer = is_long(f->mode) ? EFER_SCE | EFER_LME | EFER_LMA | EFER_NX : EFER_SCE;
}

/* Upper halves are undefined outside of 64-bit mode. */
static void halve(struct kvm_regs *r)
{
	__u64 *reg = &r->rax;

	for (int i = 0; i < 16; i++)
		reg[i] = (uint32_t)reg[i];
}

static void make_registers(struct forced *f, struct kvm_regs *r)
{
	*r = (struct kvm_regs) {
		.rax = 0x1122334455667788, .rbx = F_DATA, .rcx = 0x0102030405060708,
		.rdx = 0xf1e2d3c4b5a69788, .rsi = F_DATA + 0x800, .rdi = F_DATA,
		.rsp = F_STACK, .rbp = F_STACK + 0x80, .r8 = 0x8888, .r9 = 0x9999,
		.r10 = 0xaaaa, .r11 = 0xbbbb, .r12 = 0xcccc, .r13 = 0xdddd, .r14 = 0xeeee,
		.r15 = 0xffff, .rflags = FLAG_FIXED | FLAG_CF | FLAG_SF,
	};
	if (f->mode == V86)
		r->rflags |= FLAG_VM;
	if (f->mode != LONG64)
		halve(r);
}

void forced_begin(struct forced *f, enum forced_mode mode, unsigned int cpl)
{
	struct forced_state *s = &f->start;

	f->mode = mode;
	f->cpl = mode == REAL16 ? 0 : mode == V86 ? 3 : cpl;
	ioctl_ok(f->v->fd, KVM_GET_SREGS, &s->sregs);
	make_segments(f, &s->sregs);
	make_control(f, &s->sregs);
	make_registers(f, &s->regs);
	make_memory(f);
	memset(&s->events, 0, sizeof(s->events));
	s->events.flags = KVM_VCPUEVENT_VALID_SHADOW;
	memset(&s->debug, 0, sizeof(s->debug));
	s->debug.dr6 = 0xffff0ff0;
	s->debug.dr7 = 0x400;
	s->msrs.head.nmsrs = sizeof(msrs) / sizeof(msrs[0]);
	for (unsigned int i = 0; i < s->msrs.head.nmsrs; i++)
		s->msrs.entries[i] = (struct kvm_msr_entry) { .index = msrs[i] };
	s->msrs.entries[8].data = 0x0007040600070406;
}

/* Emulated CPUs take a libc's copy byte by byte, and translate code again when it is written. */
static void put_back(uint64_t *to, const uint8_t *from)
{
	for (const uint8_t *end = from + F_MEMORY; from < end; from += 8, to++)
		if (*to != *(const uint64_t *)from)
			*to = *(const uint64_t *)from;
}

static void copy(void *to, const void *from)
{
	unsigned long words = F_MEMORY / 8;

	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static void load(struct forced *f)
{
	struct kvm_run *run = f->v->run;
	struct forced_state *s = &f->start;
	int fd = f->v->fd;

	put_back(vm_hva(f->v->vm, 0), s->memory);
	if (f->what & F_DEBUG) {
		ioctl_ok(fd, KVM_SET_DEBUGREGS, &s->debug);
		ioctl_ok(fd, KVM_SET_XCRS, &s->xcrs);
	}
	if (f->what & F_MSRS)
		TEST_ASSERT_EQ(ioctl_ok(fd, KVM_SET_MSRS, &s->msrs), s->msrs.head.nmsrs);
	run->s.regs.regs = s->regs;
	run->s.regs.sregs = s->sregs;
	run->s.regs.events = s->events;
	run->kvm_valid_regs = run->kvm_dirty_regs =
		KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
}

/* A sum of what a device was asked for; what it answers depends on it alone. */
static uint64_t serve_device(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t seen = run->exit_reason, data = 0;

	if (run->exit_reason == KVM_EXIT_IO) {
		seen = seen << 8 | run->io.port << 16 | run->io.size << 4 | run->io.direction;
		seen += (uint64_t)run->io.count << 32;
		if (run->io.direction == KVM_EXIT_IO_IN)
			memset(pio_data(v), 0xa5, run->io.size * run->io.count);
		else
			memcpy(&data, pio_data(v), run->io.size);
	} else {
		seen = seen << 8 | run->mmio.phys_addr << 16 | run->mmio.len << 4 |
		       run->mmio.is_write;
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0x5a, run->mmio.len);
		else
			memcpy(&data, run->mmio.data, run->mmio.len);
	}
	return seen * 0x9e3779b97f4a7c15 + data;
}

static void save(struct forced *f, struct forced_state *s)
{
	struct kvm_run *run = f->v->run;
	int fd = f->v->fd;

	s->exit = run->exit_reason;
	s->regs = run->s.regs.regs;
	if (f->mode != LONG64)
		halve(&s->regs);
	s->sregs = run->s.regs.sregs;
	s->events = run->s.regs.events;
	copy(s->memory, vm_hva(f->v->vm, 0));
	if (f->what & F_DEBUG) {
		ioctl_ok(fd, KVM_GET_DEBUGREGS, &s->debug);
		ioctl_ok(fd, KVM_GET_XCRS, &s->xcrs);
	}
	if (f->what & F_MSRS) {
		s->msrs = f->start.msrs;
		ioctl_ok(fd, KVM_GET_MSRS, &s->msrs);
	}
}

static bool stopped(struct forced *f)
{
	struct kvm_run *run = f->v->run;

	if (!vcpu_run(f->v))
		return false;
	TEST_ASSERT(errno == EINTR, "KVM_RUN of '%s' in %s mode, CPL %u", f->name,
		    forced_mode_name[f->mode], f->cpl);
	return run->immediate_exit;
}

static void run(struct forced *f, uint64_t rip, struct forced_state *s)
{
	struct kvm_run *run = f->v->run;

	runs++;
	f->start.regs.rip = rip;
	load(f);
	s->devices = 0;
	for (int i = 0; i < 64; i++) {
		if (stopped(f))
			break;
		if (run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_MMIO)
			s->devices = s->devices * 31 + serve_device(f->v);
		else if (run->exit_reason != KVM_EXIT_INTR)
			break;
	}
	run->immediate_exit = 0;
	save(f, s);
}

int forced_outcome(const struct forced_state *s)
{
	uint64_t rip = s->regs.rip;

	if (s->exit == KVM_EXIT_HLT && rip > F_STUBS && rip <= F_STUBS + 0x100)
		return rip - 1 - F_STUBS;
	if (s->exit == KVM_EXIT_INTERNAL_ERROR)
		return rip == F_CODE ? FORCED_UNSUPPORTED : FORCED_DONE;
	return s->exit == KVM_EXIT_INTR ? FORCED_NO_END : FORCED_OTHER;
}

/* Where it went, in words. */
static void describe(const struct forced_state *s, char *text, size_t size)
{
	unsigned long rip = s->regs.rip;
	int outcome = forced_outcome(s);

	if (outcome >= 0)
		snprintf(text, size, "vector %d", outcome);
	else if (outcome == FORCED_UNSUPPORTED)
		snprintf(text, size, "not supported");
	else if (outcome == FORCED_DONE)
		snprintf(text, size, "done, at %#lx", rip - sizeof(prefix));
	else
		snprintf(text, size, "exit %u, at %#lx", s->exit, rip);
}

/* The same instruction, mode and field tell nothing new. */
static bool first_of_its_kind(struct forced *f, const char *field)
{
	static struct {
		const char *name;
		char field[24];
		int mode;
	} seen[SHOWN];
	unsigned long i;

	for (i = 0; i < f->shown && i < SHOWN; i++)
		if (seen[i].name == f->name && seen[i].mode == (int)f->mode &&
		    !strcmp(seen[i].field, field))
			return false;
	if (i < SHOWN) {
		seen[i].name = f->name;
		seen[i].mode = f->mode;
		snprintf(seen[i].field, sizeof(seen[i].field), "%s", field);
	}
	return true;
}

static void report(struct forced *f, const char *field, uint64_t native, uint64_t emulated)
{
	char a[40], b[40];

	if (forced_is_gap(f, field, native, emulated)) {
		f->gaps++;
		return;
	}
	f->differ++;
	if (!first_of_its_kind(f, field) || f->shown++ >= SHOWN)
		return;
	describe(&f->native, a, sizeof(a));
	describe(&f->emulated, b, sizeof(b));
	diag("%s, %s, CPL %u, flags %#llx, %#lx: %s: CPU %#lx (%s), emulator %#lx (%s)", f->name,
	     forced_mode_name[f->mode], f->cpl, f->start.regs.rflags, f->operand, field, native, a,
	     emulated, b);
}

#define FIELD(field, mask) do {							\
	if ((a->field ^ b->field) & (mask)) {					\
		report(f, #field, a->field, b->field);				\
		return;								\
	}									\
} while (0)

/* Selector, limit and attributes in one number, for people to read. */
static uint64_t segment_bits(const struct kvm_segment *s)
{
	return s->type | s->s << 4 | s->dpl << 5 | s->present << 7 | s->avl << 8 | s->l << 9 |
	       s->db << 10 | s->g << 11 | s->unusable << 12 | s->selector << 16 |
	       (uint64_t)s->limit << 32;
}

/* A null segment has nothing but its base. */
static void compare_segment(struct forced *f, const char *name, const struct kvm_segment *a,
			    const struct kvm_segment *b)
{
	if (a->base != b->base)
		report(f, name, a->base, b->base);
	else if (a->selector != b->selector || a->unusable != b->unusable ||
		 (!a->unusable && segment_bits(a) != segment_bits(b)))
		report(f, name, segment_bits(a), segment_bits(b));
}

static void compare_control(struct forced *f, const struct forced_state *a,
			    const struct forced_state *b)
{
	FIELD(sregs.gdt.base, ~0ull);
	FIELD(sregs.gdt.limit, ~0u);
	FIELD(sregs.idt.base, ~0ull);
	FIELD(sregs.idt.limit, ~0u);
	FIELD(sregs.cr0, ~0ull);
	FIELD(sregs.cr2, ~0ull);
	FIELD(sregs.cr3, ~0ull);
	FIELD(sregs.cr4, ~0ull);
	FIELD(sregs.cr8, ~0ull);
	FIELD(sregs.efer, ~0ull);
	FIELD(events.interrupt.shadow, ~0u);
	FIELD(events.nmi.masked, ~0u);
	FIELD(events.exception.injected, ~0u);
	FIELD(events.interrupt.injected, ~0u);
	if (f->what & F_DEBUG) {
		FIELD(debug.db[0], ~0ull);
		FIELD(debug.db[3], ~0ull);
		FIELD(debug.dr6, ~0ull);
		FIELD(debug.dr7, ~0ull);
		FIELD(xcrs.xcrs[0].value, ~0ull);
	}
	if (f->what & F_MSRS)
		for (unsigned int i = 0; i < a->msrs.head.nmsrs; i++)
			FIELD(msrs.entries[i].data, ~0ull);
}

static void compare_general(struct forced *f, const struct forced_state *a,
			    const struct forced_state *b)
{
	uint64_t clock = f->what & F_CLOCK ? 0 : ~0ull;

	FIELD(regs.rax, clock);
	FIELD(regs.rbx, ~0ull);
	FIELD(regs.rcx, ~0ull);
	FIELD(regs.rdx, clock);
	FIELD(regs.rsi, ~0ull);
	FIELD(regs.rdi, ~0ull);
	FIELD(regs.rbp, ~0ull);
	FIELD(regs.r8, ~0ull);
	FIELD(regs.r11, ~0ull);
	FIELD(regs.r15, ~0ull);
	FIELD(regs.rflags, ~0ull);
}

static void compare_memory(struct forced *f, const struct forced_state *a,
			   const struct forced_state *b)
{
	for (unsigned int i = 0; i < F_MEMORY; i += 8) {
		uint64_t x = *(const uint64_t *)(a->memory + i);
		uint64_t y = *(const uint64_t *)(b->memory + i);
		unsigned int byte;
		char field[24];

		if (x == y)
			continue;
		byte = __builtin_ctzl(x ^ y) / 8;
		if (i + byte == F_GDT + F_TESTED + 5)
			snprintf(field, sizeof(field), "descriptor's type");
		else
			snprintf(field, sizeof(field), "memory at %#x", i + byte);
		report(f, field, x >> byte * 8, y >> byte * 8);
		return;
	}
}

static void compare(struct forced *f)
{
	const struct forced_state *a = &f->native, *b = &f->emulated;
	unsigned long before = f->differ + f->gaps;

	f->cases++;
	FIELD(exit, ~0u);
	FIELD(devices, ~0ull);
	/* Nothing of a vCPU that shut down, or had to be stopped, means anything. */
	if (a->exit == KVM_EXIT_SHUTDOWN || a->exit == KVM_EXIT_INTR)
		return;
	FIELD(regs.rip, ~0ull);
	FIELD(regs.rsp, ~0ull);
	compare_general(f, a, b);
	compare_control(f, a, b);
	if (f->differ + f->gaps == before)
		compare_memory(f, a, b);
	if (f->differ + f->gaps != before)
		return;
	compare_segment(f, "cs", &a->sregs.cs, &b->sregs.cs);
	compare_segment(f, "ss", &a->sregs.ss, &b->sregs.ss);
	compare_segment(f, "ds", &a->sregs.ds, &b->sregs.ds);
	compare_segment(f, "es", &a->sregs.es, &b->sregs.es);
	compare_segment(f, "fs", &a->sregs.fs, &b->sregs.fs);
	compare_segment(f, "gs", &a->sregs.gs, &b->sregs.gs);
	compare_segment(f, "tr", &a->sregs.tr, &b->sregs.tr);
	compare_segment(f, "ldt", &a->sregs.ldt, &b->sregs.ldt);
}

void forced_run(struct forced *f, const char *name, const uint8_t *code, unsigned int len)
{
	f->name = name;
	memset(at(f, F_CODE), 0, 32);
	memcpy(at(f, F_CODE - sizeof(prefix)), prefix, sizeof(prefix));
	memcpy(at(f, F_CODE), code, len);
	memcpy(at(f, F_CODE + len), stop, sizeof(stop));
	run(f, F_CODE, &f->native);
	run(f, F_CODE - sizeof(prefix), &f->emulated);
	compare(f);
}

const char *forced_each(const uint8_t **p, const uint8_t **code, unsigned int *len)
{
	const char *name;

	*len = **p;
	if (!*len)
		return NULL;
	*code = *p + 1;
	name = (const char *)*code + *len;
	*p = (const uint8_t *)name + strlen(name) + 1;
	return name;
}

void forced_list(struct forced *f, const uint8_t *list)
{
	const uint8_t *code;
	const char *name;
	unsigned int len;

	while ((name = forced_each(&list, &code, &len)))
		forced_run(f, name, code, len);
}

void forced_end(struct forced *f)
{
	running = NULL;
	forced_list_gaps();
	diag("%lu cases, %lu of them in gaps of the host's CPU", f->cases, f->gaps);
	TEST_ASSERT(!f->differ, "%lu of %lu cases differ", f->differ, f->cases);
	vm_destroy(f->v->vm);
	free(f);
}
