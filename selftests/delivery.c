// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events whose delivery meets memory that is not mapped: the CPU leaves the guest in the
 * middle of it. Each kind arrives once and whole all the same; where a device is, none can
 * arrive.
 */

#include <sys/mman.h>

#include "irq.h"

#define INT_VECTOR	0x80
#define ABSENT_VECTOR	0x81			/* its gate is not present */
#define IRQ_VECTOR	0x61
#define UNMAPPED	(1ul << 40)		/* a linear address */
#define NOT_CANONICAL	(1ul << 63)
#define STACKS		TEST_GPA		/* a new one for each event, never touched before */
#define STACK_BYTES	(2 * PAGE_SIZE)
#define DEVICE_STACK	(NOWHERE_GPA + PAGE_SIZE)
#define TSS_IST1	0x24
#define DR6_STEP	(1ul << 14)

/* What the guest does next, and what is known of the event then. */
static uint64_t kind, stack, at, events, dr6, cr2;
static struct trap_frame seen;

/* @insn raises something; its address is @at. */
#define RAISES(name, insn)								\
	static void name(void)								\
	{										\
		asm volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %[at]\n1:\t" insn	\
			     : [at] "=m"(at)						\
			     : "d"(NOT_CANONICAL), "c"(UNMAPPED)			\
			     : "rax", "memory", "cc");					\
	}

RAISES(raises_bp, "int3")
RAISES(raises_long_bp, ".byte 0x2e, 0xcc")
RAISES(raises_int_3, ".byte 0xcd, 3")
RAISES(raises_int, "int $0x80")
RAISES(raises_int1, ".byte 0xf1")
RAISES(raises_ud, "ud2")
RAISES(raises_np, "int $0x81")
RAISES(raises_gp, "movb $0, (%%rdx)")
RAISES(raises_pf, "movb $0, (%%rcx)")

static void steps(void)
{
	asm volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %[at]\n\t"
		     "pushf\n\torl $0x100, (%%rsp)\n\tpopf\n1:\tnop"
		     : [at] "=m"(at) : : "rax", "memory", "cc");
}

/* User space's event is there before the next instruction. */
static void waits(void)
{
	at = 0;
}

static void sends_to_itself(void)
{
	at = 0;
	apic_write(R_ICR, ICR_SELF | IRQ_VECTOR);
	GUEST_WAIT(READ_ONCE(events));
}

/* @len: of the instruction; @after: the handler returns behind it; @again: it can run again */
static const struct kind {
	const char *name;
	void (*raise)(void);
	uint8_t vector, len;
	bool after, again;
	uint64_t error;
} kinds[] = {
	{ "INT3", raises_bp, .vector = BP_VECTOR, .len = 1, .after = true, .again = true },
	{ "INT3 with a prefix", raises_long_bp, .vector = BP_VECTOR, .len = 2, .after = true, .again = true },
	{ "INT 3", raises_int_3, .vector = BP_VECTOR, .len = 2, .after = true, .again = true },
	{ "INT n", raises_int, .vector = INT_VECTOR, .len = 2, .after = true, .again = true },
	{ "INT1", raises_int1, .vector = DB_VECTOR, .len = 1, .after = true, .again = true },
	{ "a single step", steps, .vector = DB_VECTOR, .len = 1, .after = true },
	{ "#UD", raises_ud, .vector = UD_VECTOR, .len = 2 },
	{ "#NP", raises_np, .vector = NP_VECTOR, .len = 2, .error = ABSENT_VECTOR << 3 | 2 },
	{ "#GP", raises_gp, .vector = GP_VECTOR, .len = 3 },
	{ "#PF", raises_pf, .vector = PF_VECTOR, .len = 3, .error = 2 },
	{ "an NMI", waits, .vector = NMI_VECTOR },
	{ "user space's interrupt", waits, .vector = IRQ_VECTOR },
	{ "the local APIC's interrupt", sends_to_itself, .vector = IRQ_VECTOR },
};

enum { NMI = 10, USER_IRQ, APIC_IRQ, KINDS };

/* ---- the guest ---- */

struct gate {
	uint16_t lo, sel;
	uint8_t ist, type;
	uint16_t mid;
	uint32_t hi, zero;
};

static void takes(struct trap_frame *f)
{
	uint64_t value;

	seen = *f;
	asm volatile("mov %%db6, %0" : "=r"(value));
	dr6 = value;
	asm volatile("mov %%cr2, %0" : "=r"(value));
	cr2 = value;
	f->rflags &= ~FLAG_TF;
	if (!kinds[kind].after && at)
		f->rip += kinds[kind].len;
	WRITE_ONCE(events, events + 1);
	if (kind == NMI)
		GUEST_SYNC(2);
	if (kind == APIC_IRQ)
		apic_write(R_EOI, 0);
}

static void use_stack(uint64_t top)
{
	*(volatile uint64_t *)(TSS_GPA + TSS_IST1) = top;
}

static void next_event(void)
{
	uint64_t zero = 0;

	events = 0;
	asm volatile("mov %0, %%db6" : : "r"(zero));
	asm volatile("mov %0, %%cr2" : : "r"(zero));
	use_stack(stack);
	GUEST_SYNC(1);
	kinds[kind].raise();
}

static void takes_events(void)
{
	struct gate *idt = (void *)IDT_GPA;

	if (kind == APIC_IRQ)
		apic_on();
	idt[ABSENT_VECTOR].type = 0xe;
	idt[kinds[kind].vector].ist = 1;
	guest_handle(kinds[kind].vector, takes);
	sti();
	for (;;) {
		next_event();
		GUEST_SYNC(3);
	}
}

/* ---- the host ---- */

static struct vcpu *guest_for(unsigned int which)
{
	struct vcpu *v;

	kind = which;
	v = which == APIC_IRQ ? vcpu_add(vm_create_irqchip(), 0, takes_events) :
				guest_of(takes_events);
	/* A huge page would bring the stacks along. */
	madvise(vm_hva(v->vm, 0), RAM_SIZE, MADV_NOHUGEPAGE);
	*vm_shared(v->vm, stack) = STACKS + STACK_BYTES;
	vcpu_expect_sync(v, 1);
	return v;
}

/* Nothing is mapped any more, neither code nor tables. */
static void unmap_all(struct vm *vm)
{
	void *ram = vm_hva(vm, 0);

	TEST_ASSERT(!mprotect(ram, RAM_SIZE, PROT_NONE), "mprotect");
	TEST_ASSERT(!mprotect(ram, RAM_SIZE, PROT_READ | PROT_WRITE), "mprotect");
}

static struct kvm_vcpu_events events_of(struct vcpu *v)
{
	struct kvm_vcpu_events e;

	ioctl_ok(v->fd, KVM_GET_VCPU_EVENTS, &e);
	return e;
}

static void send(struct vcpu *v, unsigned int which)
{
	struct kvm_interrupt irq = { .irq = IRQ_VECTOR };

	if (which == NMI)
		ioctl_ok(v->fd, KVM_NMI, 0);
	if (which == USER_IRQ)
		ioctl_ok(v->fd, KVM_INTERRUPT, &irq);
}

static void check(struct vcpu *v, const struct kind *k)
{
	const struct trap_frame *f = vm_shared(v->vm, seen);
	uint64_t from = *vm_shared(v->vm, at);

	TEST_ASSERT(*vm_shared(v->vm, events) == 1, "%s: %lu times", k->name,
		    *vm_shared(v->vm, events));
	TEST_ASSERT(f->vector == k->vector, "%s: vector %lu", k->name, f->vector);
	TEST_ASSERT(f->error == k->error, "%s: error code %#lx", k->name, f->error);
	if (from)
		TEST_ASSERT(f->rip == from + (k->after ? k->len : 0), "%s: from %#lx, at %#lx",
			    k->name, f->rip, from);
	if (k->raise == steps)
		TEST_ASSERT(*vm_shared(v->vm, dr6) & DR6_STEP, "DR6 is %#lx",
			    *vm_shared(v->vm, dr6));
	if (k->raise == raises_pf)
		TEST_ASSERT_EQ(*vm_shared(v->vm, cr2), UNMAPPED);
}

static void deliver(unsigned int which)
{
	struct vcpu *v = guest_for(which);
	struct kvm_vcpu_events e;

	for (unsigned int i = 0; i < 20; i++) {
		unmap_all(v->vm);
		send(v, which);
		if (which == NMI) {
			vcpu_expect_sync(v, 2);
			e = events_of(v);
			TEST_ASSERT_EQ(e.nmi.masked, 1);
			TEST_ASSERT_EQ(e.nmi.injected | e.nmi.pending, 0);
		}
		vcpu_expect_sync(v, 3);
		e = events_of(v);
		TEST_ASSERT_EQ(e.nmi.masked | e.exception.injected | e.interrupt.injected, 0);
		check(v, &kinds[which]);
		*vm_shared(v->vm, stack) += STACK_BYTES;
		vcpu_expect_sync(v, 1);
	}
	vm_destroy(v->vm);
}

TEST(software_events)
{
	for (unsigned int i = 0; i < KINDS; i++)
		if (kinds[i].again)
			deliver(i);
}

TEST(exceptions)
{
	for (unsigned int i = 0; i < NMI; i++)
		if (!kinds[i].again)
			deliver(i);
}

TEST(nmis)
{
	require_cap(KVM_CAP_USER_NMI);
	deliver(NMI);
}

TEST(interrupts)
{
	deliver(USER_IRQ);
	deliver(APIC_IRQ);
}

/* The guest is past the place where it says so itself. */
static void set_stack(struct vm *vm, uint64_t top)
{
	memcpy(vm_hva(vm, TSS_GPA + TSS_IST1), &top, sizeof(top));
}

/* User space hears of it, and may take the event away and let the guest go on. */
static void fail_to_deliver(unsigned int which, uint64_t top)
{
	struct kvm_vcpu_events none = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING };
	struct vcpu *v = guest_for(which);
	struct kvm_regs regs;

	set_stack(v->vm, top);
	send(v, which);
	vcpu_expect_exit(v, KVM_EXIT_INTERNAL_ERROR);
	TEST_ASSERT(v->run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV, "%s: %u",
		    kinds[which].name, v->run->internal.suberror);
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &none);
	regs = vcpu_regs(v);
	if (*vm_shared(v->vm, at) && !kinds[which].after)
		regs.rip += kinds[which].len;
	regs.rflags &= ~FLAG_TF;
	vcpu_set_regs(v, &regs);
	*vm_shared(v->vm, events) += which == APIC_IRQ;
	vcpu_expect_sync(v, 3);
	TEST_ASSERT_EQ(*vm_shared(v->vm, events), which == APIC_IRQ);
	vm_destroy(v->vm);
}

TEST(none_to_a_device)
{
	TEST_REQUIRE(kvm_is_okvm(), "KVM 6.1 may emulate the instruction at RIP instead");
	for (unsigned int i = 0; i < KINDS; i++)
		if (!kinds[i].again)
			fail_to_deliver(i, DEVICE_STACK);
}

TEST(none_to_the_local_apic)
{
	TEST_REQUIRE(kvm_is_okvm(), "KVM 6.1 may emulate the instruction at RIP instead");
	fail_to_deliver(APIC_IRQ, APIC_GPA + PAGE_SIZE);
}

/* The instruction is emulated, which says as much. */
TEST(no_software_event_to_a_device)
{
	struct vcpu *v;
	int r;

	TEST_REQUIRE(kvm_is_okvm(), "KVM 6.1 may emulate the instruction at RIP instead");
	for (unsigned int i = 0; i < KINDS; i++) {
		if (!kinds[i].again)
			continue;
		v = guest_for(i);
		set_stack(v->vm, DEVICE_STACK);
		r = vcpu_run(v);
		TEST_ASSERT(!r && (v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
				   v->run->exit_reason == KVM_EXIT_SHUTDOWN ||
				   v->run->exit_reason == KVM_EXIT_MMIO), "%s: exit %u",
			    kinds[i].name, v->run->exit_reason);
		vm_destroy(v->vm);
	}
}
