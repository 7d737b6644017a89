// SPDX-License-Identifier: GPL-2.0-only
/*
 * State that no CPU can be in: what user space sets is refused, or the guest's entry fails in a
 * way that KVM's API documents. Afterwards the same vCPU, set right again, runs as before. What
 * the host's kernel logged about it is the lab's to look at.
 */

#include <cpuid.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/time.h>

#include "selftest.h"

/* A small machine: memory is put back to its first content after each state. */
#define MEM_SIZE	0x10000ul
#define SMALL_GDT	0x1000ul
#define SMALL_TSS	0x3000ul
#define PML4_GPA	0x4000ul
#define PDPT_GPA	0x5000ul
#define PD_GPA		0x6000ul
#define CODE_GPA	0x7000ul
#define STACK_TOP	0x9000ul
#define PORT		0x80

enum mode { REAL, FLAT32, PAE, TASK86, LONG, MODES };

/* All of a vCPU's state that these ioctls reach. */
struct machine {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_xcrs xcrs;
	struct kvm_msr_entry msr;
	struct kvm_mp_state mp;
};

enum part { SREGS, REGS, EVENTS, DEBUG, XCRS, MSR, MP, PARTS };

static const struct {
	const char *name;
	unsigned long command;
	size_t offset;
} parts[PARTS] = {
	[SREGS] = { "sregs", KVM_SET_SREGS, offsetof(struct machine, sregs) },
	[REGS] = { "regs", KVM_SET_REGS, offsetof(struct machine, regs) },
	[EVENTS] = { "events", KVM_SET_VCPU_EVENTS, offsetof(struct machine, events) },
	[DEBUG] = { "debugregs", KVM_SET_DEBUGREGS, offsetof(struct machine, debug) },
	[XCRS] = { "xcrs", KVM_SET_XCRS, offsetof(struct machine, xcrs) },
	[MSR] = { "msr", KVM_SET_MSRS, offsetof(struct machine, msr) },
	[MP] = { "mp_state", KVM_SET_MP_STATE, offsetof(struct machine, mp) },
};

static struct vcpu *vcpu;
static struct machine good;
static enum mode good_mode;
static uint8_t *memory, first_content[MEM_SIZE];
static uint64_t token;
static bool intel, vmx_decides, has_xsave, irqchip;

/* ---- the machine when it is well ---- */

/* out %al, $PORT; jmp to it: the same bytes in all modes. The TSS lets a task have the port. */
static const uint8_t code[] = { 0xe6, PORT, 0xeb, 0xfc };

static void fill_memory(void)
{
	uint64_t *pml4 = (void *)(first_content + PML4_GPA);
	uint64_t *pdpt = (void *)(first_content + PDPT_GPA);
	uint64_t *pd = (void *)(first_content + PD_GPA);

	memcpy(first_content + CODE_GPA, code, sizeof(code));
	pml4[0] = PDPT_GPA | PTE_P | PTE_W | PTE_U;
	/* What PAE paging reserves in these is clear: the table serves both. */
	for (unsigned int i = 0; i < 4; i++)
		pdpt[i] = PD_GPA | PTE_P;
	pd[0] = PTE_P | PTE_W | PTE_U | PTE_PS;
	memcpy(memory, first_content, MEM_SIZE);
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
}

static void set_segments(struct kvm_sregs *s, const struct kvm_segment *cs,
			 const struct kvm_segment *data)
{
	s->cs = *cs;
	s->ds = s->es = s->fs = s->gs = s->ss = *data;
}

static void real_segments(struct kvm_sregs *s)
{
	struct kvm_segment data = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
	struct kvm_segment text = data;

	text.type = 11;
	set_segments(s, &text, &data);
}

/* Selectors, and so bases, of 0. */
static void task_segments(struct kvm_sregs *s)
{
	struct kvm_segment any = { .limit = 0xffff, .type = 3, .dpl = 3, .present = 1, .s = 1 };

	set_segments(s, &any, &any);
}

static void protected_segments(struct kvm_sregs *s, bool is_64bit)
{
	struct kvm_segment data = flat(SEL_DATA, 3), text = flat(SEL_CODE32, 11);

	text.l = is_64bit;
	text.db = !is_64bit;
	set_segments(s, &text, &data);
}

/* The vCPU as it was created, and on top of it one of the modes, at the code. */
static void make_good(enum mode mode)
{
	struct kvm_sregs *s = &good.sregs;

	good_mode = mode;
	s->cr0 = CR0_ET | CR0_NE | (mode != REAL ? CR0_PE : 0) | (mode >= PAE ? CR0_PG : 0);
	s->cr3 = mode == LONG ? PML4_GPA : mode >= PAE ? PDPT_GPA : 0;
	s->cr4 = mode >= PAE ? CR4_PAE : 0;
	s->efer = mode == LONG ? EFER_LME | EFER_LMA | EFER_SCE : 0;
	s->gdt.base = SMALL_GDT;
	s->gdt.limit = 0xff;
	s->idt.base = 0;
	s->idt.limit = 0;
	s->tr = (struct kvm_segment){ .base = SMALL_TSS, .limit = 0x67, .type = 11, .present = 1 };
	s->ldt = (struct kvm_segment){ .unusable = 1 };
	/* A task's TSS is never busy in QEMU's eyes, and else not there. */
	if (mode == TASK86 && host_is_tcg())
		s->tr.type = 9;
	if (mode == REAL)
		real_segments(s);
	else if (mode == TASK86)
		task_segments(s);
	else
		protected_segments(s, mode == LONG);
	memset(&good.regs, 0, sizeof(good.regs));
	good.regs.rip = CODE_GPA;
	good.regs.rsp = STACK_TOP;
	good.regs.rflags = FLAG_FIXED | (mode == TASK86 ? FLAG_VM : 0);
}

static void start(void)
{
	struct vm *vm = vm_create_empty();
	uint32_t a, b, c, d;
	uint64_t value;

	__cpuid(0, a, b, c, d);
	intel = b == signature_INTEL_ebx;
	vmx_decides = intel && !host_is_restricted();
	if (irqchip)
		ioctl_ok(vm->fd, KVM_CREATE_IRQCHIP, 0);
	memory = vm_add_mem(vm, 0, 0, MEM_SIZE, 0);
	fill_memory();
	vcpu = vcpu_add_raw(vm, 0);
	vcpu_set_cpuid(vcpu);
	has_xsave = kvm_cap(KVM_CAP_XCRS);
	ioctl_ok(vcpu->fd, KVM_GET_SREGS, &good.sregs);
	ioctl_ok(vcpu->fd, KVM_GET_VCPU_EVENTS, &good.events);
	/* A SMM that is not there cannot be set; nothing here enters it. */
	good.events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	ioctl_ok(vcpu->fd, KVM_GET_DEBUGREGS, &good.debug);
	if (has_xsave)
		ioctl_ok(vcpu->fd, KVM_GET_XCRS, &good.xcrs);
	good.mp.mp_state = KVM_MP_STATE_RUNNABLE;
	good.msr.index = MSR_PAT;
	TEST_ASSERT(vcpu_try_get_msr(vcpu, MSR_PAT, &value) == 1, "no PAT");
	good.msr.data = value;
}

static int set_part(enum part part, struct machine *m)
{
	if (part == MSR)
		return vcpu_try_set_msr(vcpu, m->msr.index, m->msr.data) == 1 ? 0 : -1;
	return ioctl(vcpu->fd, parts[part].command, (char *)m + parts[part].offset);
}

static bool part_is_there(enum part part)
{
	return part != XCRS || has_xsave;
}

static bool same_part(enum part part, const struct machine *a, const struct machine *b)
{
	static const size_t sizes[PARTS] = {
		[SREGS] = sizeof(a->sregs), [REGS] = sizeof(a->regs),
		[EVENTS] = sizeof(a->events), [DEBUG] = sizeof(a->debug),
		[XCRS] = sizeof(a->xcrs), [MSR] = sizeof(a->msr), [MP] = sizeof(a->mp),
	};
	size_t at = parts[part].offset;

	return !memcmp((const char *)a + at, (const char *)b + at, sizes[part]);
}

/* ---- running in a state ---- */

static const char *exit_name(int r)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "unknown", [KVM_EXIT_IO] = "io", [KVM_EXIT_HLT] = "hlt",
		[KVM_EXIT_MMIO] = "mmio", [KVM_EXIT_SHUTDOWN] = "shutdown",
		[KVM_EXIT_FAIL_ENTRY] = "entry failed", [KVM_EXIT_SET_TPR] = "set tpr",
		[KVM_EXIT_INTERNAL_ERROR] = "internal error", [KVM_EXIT_DEBUG] = "debug",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "window", [KVM_EXIT_SYSTEM_EVENT] = "event",
	};
	uint32_t reason = vcpu->run->exit_reason;

	if (r < 0)
		return errno == EINTR ? "interrupted" : strerror(errno);
	return reason < sizeof(names) / sizeof(*names) && names[reason] ? names[reason] : "other";
}

/* A timer ends what does not end by itself. */
static void on_alarm(int signal)
{
	vcpu->run->immediate_exit = 1;
}

static void set_timer(unsigned int us)
{
	struct itimerval timer = { .it_interval.tv_usec = us, .it_value.tv_usec = us };
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Whatever user space owes the last exit is done, and nothing of it comes later. */
static void finish_exit(void)
{
	unsigned int tries = 0;

	do {
		vcpu->run->immediate_exit = 1;
	} while (!ioctl(vcpu->fd, KVM_RUN, 0) && tries++ < 5000);
	vcpu->run->immediate_exit = 0;
}

#define MAY_LAST_US	4000	/* what may be stuck */
#define ENDS_US		900000	/* what ends by itself */

/* Run to an exit that KVM's API knows; its name. */
static const char *run_badly(const char *what, unsigned int us)
{
	const char *name;
	int r;

	vcpu->run->immediate_exit = 0;
	set_timer(us);
	r = ioctl(vcpu->fd, KVM_RUN, 0);
	name = exit_name(r);
	set_timer(0);
	TEST_ASSERT(!r || errno == EINTR, "%s: KVM_RUN", what);
	if (!r)
		switch (vcpu->run->exit_reason) {
		case KVM_EXIT_IO:
		case KVM_EXIT_MMIO:
		case KVM_EXIT_HLT:
		case KVM_EXIT_SHUTDOWN:
		case KVM_EXIT_FAIL_ENTRY:
		case KVM_EXIT_INTERNAL_ERROR:
		case KVM_EXIT_SET_TPR:
			break;
		default:
			TEST_ASSERT(false, "%s: exit %u", what, vcpu->run->exit_reason);
		}
	return name;
}

static void set_right(const char *what)
{
	for (unsigned int part = 0; part < PARTS; part++)
		if (part_is_there(part))
			TEST_ASSERT(!set_part(part, &good), "%s: then %s", what, parts[part].name);
	memcpy(memory, first_content, MEM_SIZE);
}

/*
 * The guest does what it did before. On upstream KVM not all entries that fail can be followed by
 * one that does not: each state gets a machine of its own there.
 */
static void runs_well(const char *what)
{
	if (kvm_is_okvm()) {
		finish_exit();
	} else {
		vm_destroy(vcpu->vm);
		start();
		make_good(good_mode);
	}
	good.regs.rax = ++token & 0xff;
	good.regs.rip = CODE_GPA;
	set_right(what);
	TEST_ASSERT(!ioctl(vcpu->fd, KVM_RUN, 0), "after %s: KVM_RUN", what);
	TEST_ASSERT(vcpu->run->exit_reason == KVM_EXIT_IO && vcpu->run->io.port == PORT,
		    "after %s: exit %u", what, vcpu->run->exit_reason);
	TEST_ASSERT_EQ(*(uint8_t *)pio_data(vcpu), token & 0xff);
}

/* ---- the table ---- */

/*
 * What must come of a state. Where a guest cannot have it but CPUs differ in whether they look, an
 * exit of KVM's API is what is asked. SDM vol. 3, "Checks on the Guest State Area", says what VMX
 * finds: that must fail there, unless the emulator takes what VMX does not. An event that no CPU
 * delivers is a bad control instead, but newer CPUs take some of those.
 */
enum verdict {
	REFUSED, REFUSED_BY_OKVM, REFUSED_ON_INTEL, RUNS, FAILS_ON_VMX, BAD_CONTROL, ANY
};

/* hardware_entry_failure_reason */
#define INVALID_STATE	0x80000021ul	/* VMX's exit reason */
#define INVALID_CONTROL	7ul		/* VMX's instruction error */
#define SVM_INVALID	0xfffffffful	/* #VMEXIT(VMEXIT_INVALID) */

struct edit {
	uint16_t offset;
	uint8_t size;
	uint64_t clear, set;
};

struct bad {
	const char *name;
	enum mode mode;
	enum part part;
	enum verdict verdict;
	struct edit edits[4];
};

#define SIZE(field)	sizeof(((struct machine *)0)->field)
#define BITS(field, c, s) { offsetof(struct machine, field), SIZE(field), (c), (s) }
#define TO(field, value)  BITS(field, ~0ull, value)
#define ON(field, bits)	  BITS(field, 0, bits)
#define OFF(field, bits)  BITS(field, bits, 0)

#define HIGH		(1ull << 32)
#define NOT_CANONICAL	0x8000000000000000ull
#define CR4_PCIDE	(1ul << 17)

static const struct bad table[] = {
	/* control registers */
	{ "CR0 of 33 bits", LONG, SREGS, REFUSED, { ON(sregs.cr0, HIGH) } },
	{ "paging without protection", LONG, SREGS, REFUSED, { OFF(sregs.cr0, CR0_PE) } },
	{ "NW without CD", LONG, SREGS, REFUSED, { BITS(sregs.cr0, CR0_CD, CR0_NW) } },
	{ "NE and ET clear", LONG, SREGS, RUNS, { OFF(sregs.cr0, CR0_NE | CR0_ET) } },
	{ "CR4 bit 31", LONG, SREGS, REFUSED, { ON(sregs.cr4, 1ull << 31) } },
	{ "CR4 of 33 bits", LONG, SREGS, REFUSED, { ON(sregs.cr4, HIGH) } },
	{ "long mode without PAE", LONG, SREGS, REFUSED, { OFF(sregs.cr4, CR4_PAE) } },
	{ "CR3 beyond memory", LONG, SREGS, REFUSED, { ON(sregs.cr3, 1ull << 62) } },
	{ "CR3 bit 62, not paged", FLAT32, SREGS, ANY, { ON(sregs.cr3, 1ull << 62) } },
	{ "CR3 where no memory is", LONG, SREGS, ANY, { TO(sregs.cr3, 0x7fffe000) } },
	{ "CR3 of PAE where no memory is", PAE, SREGS, ANY, { TO(sregs.cr3, 0x7fffe000) } },
	{ "PCIDs outside of long mode", PAE, SREGS, ANY, { ON(sregs.cr4, CR4_PCIDE) } },
	{ "CR8 of 5 bits", LONG, SREGS, ANY, { TO(sregs.cr8, 0x1f) } },
	{ "CR2 not canonical", LONG, SREGS, RUNS, { TO(sregs.cr2, NOT_CANONICAL) } },
	{ "CR0's reserved bits", LONG, SREGS, ANY, { ON(sregs.cr0, 0x1ffaffc0) } },
	{ "CR3 of PAE with a bit 32", PAE, SREGS, ANY, { ON(sregs.cr3, HIGH) } },
	{ "five levels of tables", LONG, SREGS, ANY, { ON(sregs.cr4, 1ul << 12) } },
	{ "VMX in the guest", LONG, SREGS, REFUSED_BY_OKVM, { ON(sregs.cr4, 1ul << 13) } },
	{ "SMX in the guest", LONG, SREGS, REFUSED, { ON(sregs.cr4, 1ul << 14) } },
	{ "CET without WP", LONG, SREGS, REFUSED_BY_OKVM, { ON(sregs.cr4, 1ul << 23) } },
	/* EFER and what goes with it */
	{ "SVM in the guest", LONG, SREGS, REFUSED_BY_OKVM, { ON(sregs.efer, 1ul << 12) } },
	{ "long-mode segment limits", LONG, SREGS, REFUSED_BY_OKVM, { ON(sregs.efer, 1ul << 13) } },
	{ "LME under PAE, not LMA", PAE, SREGS, REFUSED, { ON(sregs.efer, EFER_LME) } },
	{ "LMA under PAE, not LME", PAE, SREGS, REFUSED, { ON(sregs.efer, EFER_LMA) } },
	{ "64-bit code under PAE", PAE, SREGS, REFUSED, { TO(sregs.cs.l, 1) } },
	{ "EFER bit 1", LONG, SREGS, REFUSED_BY_OKVM, { ON(sregs.efer, 2) } },
	{ "EFER bit 63", LONG, SREGS, REFUSED_BY_OKVM, { ON(sregs.efer, 1ull << 63) } },
	{ "LME, paged, not LMA", LONG, SREGS, REFUSED, { OFF(sregs.efer, EFER_LMA) } },
	{ "LMA without LME", LONG, SREGS, REFUSED, { OFF(sregs.efer, EFER_LME) } },
	{ "LMA, not paged", LONG, SREGS, REFUSED, { OFF(sregs.cr0, CR0_PG) } },
	{ "LMA in real mode", REAL, SREGS, REFUSED, { ON(sregs.efer, EFER_LMA | EFER_LME) } },
	{ "64-bit code in 32 bits", FLAT32, SREGS, REFUSED, { TO(sregs.cs.l, 1) } },
	{ "64-bit code of 32 bits", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.db, 1) } },
	{ "LME waits", FLAT32, SREGS, RUNS, { ON(sregs.efer, EFER_LME), ON(sregs.cr4, CR4_PAE) } },
	/* CS */
	{ "CS not present", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.present, 0) } },
	{ "CS unusable", LONG, SREGS, ANY, { TO(sregs.cs.unusable, 1) } },
	{ "CS a system segment", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.s, 0) } },
	{ "CS for reading", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.type, 1) } },
	{ "CS of DPL 3, SS of 0", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.dpl, 3) } },
	{ "CS's limit in bytes", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.cs.g, 0) } },
	{ "CS's base of 33 bits", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.base, HIGH) } },
	{ "CS's limit in pages, ragged", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.cs.limit, 0x8000) } },
	{ "CS's RPL 3", LONG, SREGS, ANY, { ON(sregs.cs.selector, 3) } },
	{ "CS conforming", LONG, SREGS, RUNS, { TO(sregs.cs.type, 15) } },
	{ "CS conforming, of DPL 3", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.cs.type, 15), TO(sregs.cs.dpl, 3) } },
	{ "CS writable", FLAT32, SREGS, ANY, { TO(sregs.cs.type, 3) } },
	{ "CS writable, of DPL 3", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.cs.type, 3), TO(sregs.cs.dpl, 3) } },
	{ "CS of 32 bits in long mode", LONG, SREGS, RUNS,
	  { TO(sregs.cs.l, 0), TO(sregs.cs.db, 1) } },
	{ "CS of DPL 3 in real mode", REAL, SREGS, FAILS_ON_VMX, { TO(sregs.cs.dpl, 3) } },
	{ "CS of 32 bits in real mode", REAL, SREGS, RUNS, { TO(sregs.cs.db, 1) } },
	{ "CS's base in real mode", REAL, SREGS, FAILS_ON_VMX, { TO(sregs.cs.base, HIGH) } },
	{ "CS's type of 8 bits", LONG, SREGS, ANY, { TO(sregs.cs.type, 0xff) } },
	{ "CS's flags of 8 bits", LONG, SREGS, ANY,
	  { TO(sregs.cs.present, 0xfe), TO(sregs.cs.g, 0xfe), TO(sregs.cs.avl, 0xff) } },
	/* SS and the data segments */
	{ "SS of DPL 3, CS of 0", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.ss.dpl, 3) } },
	{ "SS for execution", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ss.type, 11) } },
	{ "SS read-only", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ss.type, 1) } },
	{ "SS's RPL 3", FLAT32, SREGS, ANY, { ON(sregs.ss.selector, 3) } },
	{ "SS unusable", LONG, SREGS, RUNS, { TO(sregs.ss.unusable, 1), TO(sregs.ss.selector, 0) } },
	{ "DS execute-only", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ds.type, 9) } },
	{ "DS a system segment", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ds.s, 0) } },
	{ "DS's limit in bytes", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ds.g, 0) } },
	{ "ES not present, not unusable", FLAT32, SREGS, RUNS, { TO(sregs.es.present, 0) } },
	{ "FS's base", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.fs.base, NOT_CANONICAL) } },
	{ "GS's base", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.gs.base, NOT_CANONICAL) } },
	{ "DS's base of 33 bits", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.ds.base, HIGH) } },
	{ "SS's base of 33 bits", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.ss.base, HIGH) } },
	{ "SS grows down", FLAT32, SREGS, ANY, { TO(sregs.ss.type, 7) } },
	{ "SS of DPL 3 in real mode", REAL, SREGS, FAILS_ON_VMX, { TO(sregs.ss.dpl, 3) } },
	{ "DS's limit in pages, ragged", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ds.limit, 0x1000) } },
	{ "DS conforming, execute-only", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.ds.type, 13) } },
	{ "DS's RPL 3", FLAT32, SREGS, ANY, { ON(sregs.ds.selector, 3) } },
	{ "DS of 4 GiB in real mode", REAL, SREGS, RUNS,
	  { TO(sregs.ds.limit, 0xffffffff), TO(sregs.ds.g, 1) } },
	{ "ES's base of 33 bits", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.es.base, HIGH) } },
	{ "FS's base in 32 bits", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.fs.base, NOT_CANONICAL) } },
	{ "GS never accessed", FLAT32, SREGS, RUNS, { TO(sregs.gs.type, 2) } },
	/* virtual-8086 mode */
	{ "a task's CS with a base", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.cs.base, 0x10) } },
	{ "a task's SS of DPL 0", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.ss.dpl, 0) } },
	{ "a task's DS of 1 MiB", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.ds.limit, 0xfffff) } },
	{ "a task's ES unusable", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.es.unusable, 1) } },
	{ "a task's FS read-only", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.fs.type, 1) } },
	{ "a task's GS of 32 bits", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.gs.db, 1) } },
	{ "a task's TR unusable", TASK86, SREGS, FAILS_ON_VMX, { TO(sregs.tr.unusable, 1) } },
	/* TR, LDTR, tables */
	{ "TR unusable", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.unusable, 1) } },
	{ "TR not present", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.present, 0) } },
	{ "TR not a system segment", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.s, 1) } },
	{ "TR not busy", LONG, SREGS, ANY, { TO(sregs.tr.type, 9) } },
	{ "TR a call gate", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.type, 12) } },
	{ "TR of 16 bits", LONG, SREGS, ANY, { TO(sregs.tr.type, 3) } },
	{ "TR in an LDT", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.selector, 4) } },
	{ "TR's base", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.base, NOT_CANONICAL) } },
	{ "TR's limit in pages", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.g, 1) } },
	{ "TR's limit in bytes", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.tr.limit, 0x100067) } },
	{ "TR of 16 bits in 32 bits", FLAT32, SREGS, RUNS, { TO(sregs.tr.type, 3) } },
	{ "TR of DPL 3", LONG, SREGS, RUNS, { TO(sregs.tr.dpl, 3) } },
	{ "LDTR in an LDT", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.ldt.unusable, 0), TO(sregs.ldt.present, 1), TO(sregs.ldt.type, 2),
	    TO(sregs.ldt.selector, 4) } },
	{ "LDTR not a system segment", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.ldt.unusable, 0), TO(sregs.ldt.present, 1), TO(sregs.ldt.type, 2),
	    TO(sregs.ldt.s, 1) } },
	{ "LDTR's limit in pages, ragged", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.ldt.unusable, 0), TO(sregs.ldt.present, 1), TO(sregs.ldt.type, 2),
	    TO(sregs.ldt.g, 1) } },
	{ "LDTR not present", LONG, SREGS, RUNS, { TO(sregs.ldt.unusable, 0) } },
	{ "LDTR not an LDT", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.ldt.unusable, 0), TO(sregs.ldt.present, 1), TO(sregs.ldt.type, 5) } },
	{ "LDTR's base", LONG, SREGS, FAILS_ON_VMX,
	  { TO(sregs.ldt.unusable, 0), TO(sregs.ldt.present, 1), TO(sregs.ldt.type, 2),
	    TO(sregs.ldt.base, NOT_CANONICAL) } },
	{ "GDT's base", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.gdt.base, NOT_CANONICAL) } },
	{ "IDT's base", LONG, SREGS, FAILS_ON_VMX, { TO(sregs.idt.base, NOT_CANONICAL) } },
	{ "GDT's base in 32 bits", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.gdt.base, NOT_CANONICAL) } },
	{ "IDT's base in 32 bits", FLAT32, SREGS, FAILS_ON_VMX, { TO(sregs.idt.base, NOT_CANONICAL) } },
	/* the local APIC's base, interrupts */
	{ "APIC base bit 0", LONG, SREGS, REFUSED, { ON(sregs.apic_base, 1) } },
	{ "APIC base beyond memory", LONG, SREGS, REFUSED, { ON(sregs.apic_base, 1ull << 62) } },
	{ "x2APIC, not enabled", LONG, SREGS, REFUSED, { BITS(sregs.apic_base, 0x800, 0x400) } },
	{ "interrupts 0 and 31", LONG, SREGS, ANY, { ON(sregs.interrupt_bitmap[0], 0x80000001) } },
	{ "interrupt 255", FLAT32, SREGS, ANY, { ON(sregs.interrupt_bitmap[3], 1ull << 63) } },
	/* registers */
	{ "RFLAGS bit 1 clear", LONG, REGS, RUNS, { TO(regs.rflags, 0) } },
	{ "RFLAGS all ones", LONG, REGS, FAILS_ON_VMX, { TO(regs.rflags, ~0ull) } },
	{ "RFLAGS bit 63", LONG, REGS, FAILS_ON_VMX, { ON(regs.rflags, 1ull << 63) } },
	{ "RFLAGS bit 15", FLAT32, REGS, FAILS_ON_VMX, { ON(regs.rflags, 1 << 15) } },
	{ "RFLAGS bit 3", LONG, REGS, FAILS_ON_VMX, { ON(regs.rflags, 1 << 3) } },
	{ "RFLAGS bit 5", REAL, REGS, FAILS_ON_VMX, { ON(regs.rflags, 1 << 5) } },
	{ "RFLAGS bit 22", PAE, REGS, FAILS_ON_VMX, { ON(regs.rflags, 1 << 22) } },
	{ "a step and RF", LONG, REGS, RUNS, { ON(regs.rflags, FLAG_TF | 1 << 16) } },
	{ "virtual 8086 under PAE", PAE, REGS, FAILS_ON_VMX, { ON(regs.rflags, FLAG_VM) } },
	{ "a task without its flag", TASK86, REGS, ANY, { OFF(regs.rflags, FLAG_VM) } },
	{ "virtual 8086 in long mode", LONG, REGS, FAILS_ON_VMX, { ON(regs.rflags, FLAG_VM) } },
	{ "virtual 8086, flat segments", FLAT32, REGS, FAILS_ON_VMX, { ON(regs.rflags, FLAG_VM) } },
	{ "virtual 8086 in real mode", REAL, REGS, FAILS_ON_VMX, { ON(regs.rflags, FLAG_VM) } },
	{ "RIP not canonical", LONG, REGS, ANY, { TO(regs.rip, NOT_CANONICAL) } },
	{ "RIP of 33 bits", FLAT32, REGS, FAILS_ON_VMX, { ON(regs.rip, HIGH) } },
	{ "RIP of 33 bits in compatibility mode", LONG, REGS, FAILS_ON_VMX,
	  { ON(regs.rip, HIGH), TO(sregs.cs.l, 0), TO(sregs.cs.db, 1) } },
	{ "RIP past the segment", REAL, REGS, ANY, { ON(regs.rip, 0x10000) } },
	{ "RSP not canonical", LONG, REGS, RUNS, { TO(regs.rsp, NOT_CANONICAL) } },
	/* events */
	{ "unknown flags", LONG, EVENTS, REFUSED, { ON(events.flags, 1u << 31) } },
	{ "triple fault, not enabled", LONG, EVENTS, REFUSED,
	  { ON(events.flags, KVM_VCPUEVENT_VALID_TRIPLE_FAULT) } },
	{ "an exception that is an NMI", LONG, EVENTS, REFUSED,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 2) } },
	{ "exception 32", LONG, EVENTS, REFUSED,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 32) } },
	{ "a #UD with an error code", LONG, EVENTS, BAD_CONTROL,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 6),
	    TO(events.exception.has_error_code, 1) } },
	{ "a #GP without an error code", LONG, EVENTS, BAD_CONTROL,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 13) } },
	{ "a #GP with one of 32 bits", LONG, EVENTS, ANY,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 13),
	    TO(events.exception.has_error_code, 1), TO(events.exception.error_code, ~0u) } },
	{ "a #GP with one in real mode", REAL, EVENTS, ANY,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 13),
	    TO(events.exception.has_error_code, 1) } },
	{ "a #BP of nowhere", LONG, EVENTS, ANY,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 3) } },
	{ "exception 31", LONG, EVENTS, ANY,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 31) } },
	{ "an interrupt with IF clear", LONG, EVENTS, FAILS_ON_VMX,
	  { TO(events.interrupt.injected, 1), TO(events.interrupt.nr, 255) } },
	{ "interrupt 2 of software", LONG, EVENTS, ANY,
	  { TO(events.interrupt.injected, 1), TO(events.interrupt.nr, 2),
	    TO(events.interrupt.soft, 1) } },
	{ "STI's shadow with IF clear", LONG, EVENTS, FAILS_ON_VMX, { TO(events.interrupt.shadow, 2) } },
	{ "both shadows", LONG, EVENTS, RUNS, { TO(events.interrupt.shadow, 3) } },
	{ "shadow of 8 bits", LONG, EVENTS, RUNS, { TO(events.interrupt.shadow, 0xff) } },
	{ "shadow 4", LONG, EVENTS, RUNS, { TO(events.interrupt.shadow, 4) } },
	{ "STI's shadow", LONG, EVENTS, RUNS,
	  { TO(events.interrupt.shadow, 2), ON(regs.rflags, FLAG_IF) } },
	{ "both shadows with IF set", LONG, EVENTS, RUNS,
	  { TO(events.interrupt.shadow, 3), ON(regs.rflags, FLAG_IF) } },
	{ "a step in STI's shadow", LONG, EVENTS, ANY,
	  { TO(events.interrupt.shadow, 2), ON(regs.rflags, FLAG_IF | FLAG_TF) } },
	{ "a step in MOV SS's shadow", LONG, EVENTS, RUNS,
	  { TO(events.interrupt.shadow, 1), ON(regs.rflags, FLAG_TF) } },
	{ "an interrupt in STI's shadow", LONG, EVENTS, FAILS_ON_VMX,
	  { TO(events.interrupt.injected, 1), TO(events.interrupt.nr, 255),
	    TO(events.interrupt.shadow, 2), ON(regs.rflags, FLAG_IF) } },
	{ "an interrupt in MOV SS's shadow", LONG, EVENTS, FAILS_ON_VMX,
	  { TO(events.interrupt.injected, 1), TO(events.interrupt.nr, 255),
	    TO(events.interrupt.shadow, 1), ON(regs.rflags, FLAG_IF) } },
	{ "an exception in MOV SS's shadow", LONG, EVENTS, ANY,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 6),
	    TO(events.interrupt.shadow, 1) } },
	{ "an NMI in STI's shadow", LONG, EVENTS, ANY,
	  { TO(events.nmi.injected, 1), TO(events.interrupt.shadow, 2),
	    ON(regs.rflags, FLAG_IF) } },
	{ "system management mode", LONG, EVENTS, REFUSED_BY_OKVM,
	  { ON(events.flags, KVM_VCPUEVENT_VALID_SMM), TO(events.smi.smm, 1) } },
	{ "a payload, not enabled", LONG, EVENTS, REFUSED,
	  { ON(events.flags, KVM_VCPUEVENT_VALID_PAYLOAD) } },
	{ "a start-up vector", LONG, EVENTS, RUNS,
	  { ON(events.flags, KVM_VCPUEVENT_VALID_SIPI_VECTOR), TO(events.sipi_vector, ~0u) } },
	{ "an NMI in an NMI", LONG, EVENTS, ANY,
	  { TO(events.nmi.injected, 1), TO(events.nmi.masked, 1), TO(events.nmi.pending, 255) } },
	{ "an NMI in MOV SS's shadow", LONG, EVENTS, FAILS_ON_VMX,
	  { TO(events.nmi.injected, 1), TO(events.interrupt.shadow, 3) } },
	{ "all kinds at once", LONG, EVENTS, ANY,
	  { TO(events.exception.injected, 1), TO(events.exception.nr, 1),
	    TO(events.interrupt.injected, 1), TO(events.nmi.injected, 1) } },
	/* debug registers */
	{ "flags of debug registers", LONG, DEBUG, REFUSED, { ON(debug.flags, 1) } },
	{ "DR6 of 33 bits", LONG, DEBUG, REFUSED, { ON(debug.dr6, HIGH) } },
	{ "DR7 of 33 bits", LONG, DEBUG, REFUSED, { ON(debug.dr7, HIGH) } },
	{ "DR6 all zeros", LONG, DEBUG, RUNS, { TO(debug.dr6, 0) } },
	{ "DR7 all zeros", LONG, DEBUG, RUNS, { TO(debug.dr7, 0) } },
	{ "DR6 all ones", LONG, DEBUG, RUNS, { TO(debug.dr6, 0xffffffff) } },
	{ "general detect", LONG, DEBUG, RUNS, { ON(debug.dr7, 0x2000) } },
	{ "DR7's reserved bits", LONG, DEBUG, ANY, { ON(debug.dr7, 0xd000) } },
	{ "DR7 all ones", LONG, DEBUG, ANY, { TO(debug.dr7, 0xffffffff) } },
	{ "breakpoint not canonical", LONG, DEBUG, ANY,
	  { TO(debug.db[0], NOT_CANONICAL), ON(debug.dr7, 0x3) } },
	{ "I/O breakpoint without DE", LONG, DEBUG, ANY, { ON(debug.dr7, 0x20003) } },
	/* extended control registers */
	{ "XCR0 of nothing", LONG, XCRS, REFUSED, { TO(xcrs.xcrs[0].value, 0) } },
	{ "XCR0 without x87", LONG, XCRS, REFUSED, { TO(xcrs.xcrs[0].value, 2) } },
	{ "AVX without SSE", LONG, XCRS, REFUSED, { TO(xcrs.xcrs[0].value, 5) } },
	{ "half of AVX-512", LONG, XCRS, REFUSED, { TO(xcrs.xcrs[0].value, 0x27) } },
	{ "XCR0 all ones", LONG, XCRS, REFUSED, { TO(xcrs.xcrs[0].value, ~0ull) } },
	{ "flags of extended registers", LONG, XCRS, REFUSED, { ON(xcrs.flags, 1) } },
	{ "17 extended registers", LONG, XCRS, REFUSED, { TO(xcrs.nr_xcrs, 17) } },
	/* MSRs */
	{ "EFER MSR bit 63", LONG, MSR, REFUSED,
	  { TO(msr.index, MSR_EFER), TO(msr.data, 1ull << 63) } },
	{ "EFER MSR of zero", LONG, MSR, ANY, { TO(msr.index, MSR_EFER), TO(msr.data, 0) } },
	{ "PAT type 2", LONG, MSR, REFUSED, { TO(msr.data, 2) } },
	{ "LSTAR", LONG, MSR, REFUSED, { TO(msr.index, MSR_LSTAR), TO(msr.data, NOT_CANONICAL) } },
	{ "KERNEL_GS_BASE", LONG, MSR, REFUSED,
	  { TO(msr.index, MSR_KERNEL_GS_BASE), TO(msr.data, NOT_CANONICAL) } },
	{ "FS_BASE", LONG, MSR, REFUSED,
	  { TO(msr.index, MSR_FS_BASE), TO(msr.data, NOT_CANONICAL) } },
	{ "GS_BASE", LONG, MSR, REFUSED,
	  { TO(msr.index, MSR_GS_BASE), TO(msr.data, NOT_CANONICAL) } },
	{ "CSTAR", LONG, MSR, REFUSED, { TO(msr.index, MSR_CSTAR), TO(msr.data, NOT_CANONICAL) } },
	{ "SYSENTER_ESP", LONG, MSR, ANY,
	  { TO(msr.index, MSR_SYSENTER_ESP), TO(msr.data, NOT_CANONICAL) } },
	{ "SYSENTER_EIP", LONG, MSR, ANY,
	  { TO(msr.index, MSR_SYSENTER_EIP), TO(msr.data, NOT_CANONICAL) } },
	{ "SYSENTER_CS of 64 bits", LONG, MSR, ANY,
	  { TO(msr.index, MSR_SYSENTER_CS), TO(msr.data, ~0ull) } },
	{ "SFMASK of 64 bits", LONG, MSR, REFUSED_ON_INTEL,
	  { TO(msr.index, MSR_SYSCALL_MASK), TO(msr.data, ~0ull) } },
	{ "STAR of 64 bits", LONG, MSR, RUNS, { TO(msr.index, MSR_STAR), TO(msr.data, ~0ull) } },
	{ "TSC_AUX of 64 bits", LONG, MSR, ANY,
	  { TO(msr.index, MSR_TSC_AUX), TO(msr.data, ~0ull) } },
	{ "APIC base MSR beyond memory", LONG, MSR, REFUSED,
	  { TO(msr.index, MSR_APIC_BASE), TO(msr.data, ~0ull) } },
	{ "SPEC_CTRL of 64 bits", LONG, MSR, REFUSED_BY_OKVM,
	  { TO(msr.index, 0x48), TO(msr.data, ~0ull) } },
	{ "DEBUGCTL", LONG, MSR, REFUSED_BY_OKVM, { TO(msr.index, 0x1d9), TO(msr.data, ~0ull) } },
	{ "PERF_GLOBAL_CTRL", LONG, MSR, REFUSED_BY_OKVM,
	  { TO(msr.index, 0x38f), TO(msr.data, ~0ull) } },
	{ "XSS", LONG, MSR, REFUSED_BY_OKVM, { TO(msr.index, 0xda0), TO(msr.data, ~0ull) } },
	{ "MTRRs of type 2", LONG, MSR, REFUSED, { TO(msr.index, 0x2ff), TO(msr.data, 2) } },
	{ "an MTRR beyond memory", LONG, MSR, REFUSED,
	  { TO(msr.index, 0x200), TO(msr.data, 1ull << 62) } },
	{ "an MSR of nobody", LONG, MSR, REFUSED, { TO(msr.index, 0x12345678), TO(msr.data, 0) } },
	/* multiprocessing state */
	{ "an unknown state", LONG, MP, REFUSED, { TO(mp.mp_state, 11) } },
	{ "all ones as a state", LONG, MP, REFUSED, { TO(mp.mp_state, ~0u) } },
};

static void apply(struct machine *m, const struct edit *e)
{
	uint64_t value = 0;

	memcpy(&value, (char *)m + e->offset, e->size);
	value = (value & ~e->clear) | e->set;
	memcpy((char *)m + e->offset, &value, e->size);
}

/* What else the row has differs from the good state, but is nothing to refuse. */
static void set_others(const struct bad *row, struct machine *bad)
{
	for (enum part part = 0; part < PARTS; part++)
		if (part != row->part && !same_part(part, bad, &good))
			TEST_ASSERT(!set_part(part, bad), "%s: %s", row->name, parts[part].name);
}

static void check_failure(const char *name, enum verdict verdict)
{
	uint64_t reason = vcpu->run->fail_entry.hardware_entry_failure_reason;
	uint32_t cpu = vcpu->run->fail_entry.cpu;

	if (!intel)
		TEST_ASSERT(reason == SVM_INVALID, "%s: reason %#lx", name, reason);
	else if (verdict == FAILS_ON_VMX)
		TEST_ASSERT(reason == INVALID_STATE, "%s: reason %#lx", name, reason);
	else if (verdict == BAD_CONTROL)
		TEST_ASSERT(reason == INVALID_CONTROL, "%s: reason %#lx", name, reason);
	TEST_ASSERT(cpu < sysconf(_SC_NPROCESSORS_CONF), "%s: on CPU %u", name, cpu);
}

/* MSRs that the table sets are put back to what they were. */
static void check_row(const struct bad *row)
{
	uint64_t old_msr = 0;
	enum verdict verdict = row->verdict;
	bool refused, had, must_fail;
	struct machine bad;
	const char *end;

	if (verdict == REFUSED_ON_INTEL)
		verdict = intel ? REFUSED_BY_OKVM : RUNS;
	if (verdict == REFUSED_BY_OKVM)
		verdict = kvm_is_okvm() ? REFUSED : ANY;

	make_good(row->mode);
	runs_well(row->name);
	finish_exit();
	set_right(row->name);
	bad = good;
	for (unsigned int i = 0; i < 4 && row->edits[i].size; i++)
		apply(&bad, &row->edits[i]);
	had = row->part == MSR && vcpu_try_get_msr(vcpu, bad.msr.index, &old_msr) == 1;
	set_others(row, &bad);
	refused = set_part(row->part, &bad);
	if (verdict == REFUSED)
		TEST_ASSERT(refused && (row->part == MSR || errno == EINVAL), "%s: not refused",
			    row->name);
	end = refused ? "refused" : run_badly(row->name, verdict == ANY ? MAY_LAST_US : ENDS_US);
	if (getenv("VERBOSE"))
		diag("%s: %s", row->name, end);
	if (verdict == RUNS)
		TEST_ASSERT(!strcmp(end, "io"), "%s: %s", row->name, end);
	must_fail = (verdict == FAILS_ON_VMX && vmx_decides) ||
		    (verdict == BAD_CONTROL && intel && host_is_bochs());
	if (must_fail)
		TEST_ASSERT(!strcmp(end, "entry failed"), "%s: %s", row->name, end);
	if (!strcmp(end, "entry failed"))
		check_failure(row->name, verdict);
	if (had && !refused)
		vcpu_set_msr(vcpu, bad.msr.index, old_msr);
	runs_well(row->name);
}

static void check_part(enum part part)
{
	start();
	for (unsigned int i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].part == part && part_is_there(part))
			check_row(&table[i]);
}

TEST_TIMEOUT(control_registers_and_segments, 90)
{
	check_part(SREGS);
}

TEST(general_registers)
{
	check_part(REGS);
}

TEST(events)
{
	check_part(EVENTS);
}

TEST(debug_registers)
{
	check_part(DEBUG);
}

TEST(extended_control_registers)
{
	TEST_REQUIRE(kvm_cap(KVM_CAP_XCRS), "no XSAVE");
	check_part(XCRS);
}

TEST(msrs)
{
	check_part(MSR);
}

TEST(multiprocessing_state)
{
	check_part(MP);
}

/* Those in memory are not looked at before the guest runs. */
TEST(entries_of_pae_paging)
{
	static const uint8_t bits[] = { 1, 2, 5, 6, 7, 8, 52, 62 };
	char name[30];

	start();
	make_good(PAE);
	for (unsigned int i = 0; i < sizeof(bits); i++) {
		const char *end;

		snprintf(name, sizeof(name), "bit %u of a PDPTE", bits[i]);
		runs_well(name);
		finish_exit();
		set_right(name);
		((uint64_t *)(memory + PDPT_GPA))[3] |= 1ull << bits[i];
		end = run_badly(name, ENDS_US);
		if (kvm_is_okvm() && vmx_decides)
			TEST_ASSERT(!strcmp(end, "entry failed"), "%s: %s", name, end);
		if (!strcmp(end, "entry failed"))
			check_failure(name, FAILS_ON_VMX);
	}
	runs_well(name);
}

/* ---- the VMCS in the log ---- */

static void set_dump(char value)
{
	int fd = open("/sys/module/okvm/parameters/dump_vmcs", O_WRONLY);

	TEST_ASSERT(fd >= 0 && write(fd, &value, 1) == 1, "dump_vmcs");
	close(fd);
}

/* How many VMCSs are in the log since it was opened, or asked last. */
static unsigned int dumps_in(int log)
{
	char line[1024];
	unsigned int n = 0;
	ssize_t len;

	/* EPIPE: lines were lost. */
	while ((len = read(log, line, sizeof(line) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		line[len > 0 ? len : 0] = 0;
		n += strstr(line, ": its VMCS") != NULL;
	}
	return n;
}

static void fail_entries(unsigned int n)
{
	const char *end;

	while (n--) {
		make_good(LONG);
		good.sregs.gdt.base = NOT_CANONICAL;
		set_right("GDT's base");
		end = run_badly("GDT's base", ENDS_US);
		TEST_ASSERT(!strcmp(end, "entry failed"), "%s", end);
	}
	make_good(LONG);
	runs_well("GDT's base");
}

/* Entries that fail are logged if that is wanted, but do not fill the log. */
TEST(failed_entries_in_the_log)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	unsigned int n;

	start();
	TEST_REQUIRE(kvm_is_okvm() && intel, "the parameter is for VMX");
	TEST_ASSERT(log >= 0 && lseek(log, 0, SEEK_END) >= 0, "/dev/kmsg");
	set_dump('N');
	fail_entries(5);
	TEST_ASSERT_EQ(dumps_in(log), 0);
	/* What other cases have logged counts, too, for some seconds. */
	sleep(6);
	set_dump('Y');
	fail_entries(20);
	n = dumps_in(log);
	TEST_ASSERT(n > 0 && n < 20, "%u of 20", n);
}

/* ---- and whatever else there may be ---- */

#define FIELD(field) { offsetof(struct machine, field), SIZE(field) }

static const struct {
	uint16_t offset;
	uint8_t size;
} fields[] = {
	FIELD(sregs.cr0), FIELD(sregs.cr2), FIELD(sregs.cr3), FIELD(sregs.cr4), FIELD(sregs.cr8),
	FIELD(sregs.efer), FIELD(sregs.apic_base), FIELD(sregs.interrupt_bitmap[0]),
	FIELD(sregs.interrupt_bitmap[3]), FIELD(sregs.gdt.base), FIELD(sregs.gdt.limit),
	FIELD(sregs.idt.base), FIELD(sregs.idt.limit),
#define SEGMENT(seg)                                                                     \
	FIELD(sregs.seg.base), FIELD(sregs.seg.limit), FIELD(sregs.seg.selector),        \
	FIELD(sregs.seg.type), FIELD(sregs.seg.present), FIELD(sregs.seg.dpl),           \
	FIELD(sregs.seg.db), FIELD(sregs.seg.s), FIELD(sregs.seg.l), FIELD(sregs.seg.g), \
	FIELD(sregs.seg.unusable)
	SEGMENT(cs), SEGMENT(ss), SEGMENT(ds), SEGMENT(es), SEGMENT(fs), SEGMENT(gs), SEGMENT(tr),
	SEGMENT(ldt),
	FIELD(regs.rip), FIELD(regs.rsp), FIELD(regs.rflags), FIELD(regs.rflags), FIELD(regs.rcx),
	FIELD(regs.rdi), FIELD(events.exception.injected), FIELD(events.exception.nr),
	FIELD(events.exception.has_error_code), FIELD(events.exception.error_code),
	FIELD(events.interrupt.injected), FIELD(events.interrupt.nr),
	FIELD(events.interrupt.soft), FIELD(events.interrupt.shadow), FIELD(events.nmi.injected),
	FIELD(events.nmi.pending), FIELD(events.nmi.masked), FIELD(debug.db[0]),
	FIELD(debug.dr6), FIELD(debug.dr7), FIELD(xcrs.xcrs[0].value), FIELD(mp.mp_state),
};

static uint64_t seed;

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A bit more or less is the likeliest to be believed. */
static void scribble(struct machine *m)
{
	unsigned int which = random_number() % (sizeof(fields) / sizeof(*fields));
	struct edit e = { fields[which].offset, fields[which].size, 0, 0 };
	uint64_t old = 0, bit = 1ull << random_number() % (8 * e.size);

	memcpy(&old, (char *)m + e.offset, e.size);
	e.clear = ~0ull;
	switch (random_number() % 4) {
	case 0:
		e.set = random_number();
		break;
	case 1:
		e.set = random_number() & 1 ? ~0ull : 0;
		break;
	default:
		e.set = old ^ bit;
	}
	apply(m, &e);
}

/* In any order: each part is looked at against what the others are by then. */
static void random_round(unsigned int round)
{
	unsigned int n = 1 + random_number() % 5, first = random_number() % PARTS;
	struct machine bad;
	char what[60];

	make_good(random_number() % MODES);
	snprintf(what, sizeof(what), "seed %#lx round %u", (unsigned long)seed, round);
	runs_well(what);
	finish_exit();
	set_right(what);
	bad = good;
	while (n--)
		scribble(&bad);
	for (unsigned int i = 0; i < PARTS; i++) {
		enum part part = (first + i) % PARTS;

		if (part_is_there(part) && !same_part(part, &bad, &good) && set_part(part, &bad))
			TEST_ASSERT(errno == EINVAL, "%s: %s", what, parts[part].name);
	}
	if (getenv("VERBOSE"))
		diag("%s: %s", what, run_badly(what, MAY_LAST_US));
	else
		run_badly(what, MAY_LAST_US);
	runs_well(what);
}

static void random_states(void)
{
	const char *given = getenv("SEED"), *count = getenv("ROUNDS");
	unsigned int rounds = count ? strtoul(count, NULL, 0) : kvm_is_okvm() ? 400 : 20;

	seed = given ? strtoull(given, NULL, 0) : 0x6f6b766d;
	start();
	for (unsigned int round = 0; round < rounds; round++)
		random_round(round);
}

TEST_TIMEOUT(random_state, 60)
{
	random_states();
}

TEST_TIMEOUT(random_state_with_controllers, 60)
{
	irqchip = true;
	random_states();
}
