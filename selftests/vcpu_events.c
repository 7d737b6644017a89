// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET/SET_VCPU_EVENTS and KVM_GET/SET_MP_STATE. */

#include "selftest.h"

static void idles(void)
{
	for (uint64_t i = 1;; i++)
		GUEST_SYNC(i);
}

static struct kvm_vcpu_events events_of(struct vcpu *v)
{
	struct kvm_vcpu_events e;

	memset(&e, 0xff, sizeof(e));
	ioctl_ok(v->fd, KVM_GET_VCPU_EVENTS, &e);
	return e;
}

TEST(a_new_vcpu_has_none)
{
	struct kvm_vcpu_events e = events_of(guest_of(idles));

	TEST_ASSERT_EQ(e.exception.injected, 0);
	TEST_ASSERT_EQ(e.exception.pending, 0);
	TEST_ASSERT_EQ(e.interrupt.injected, 0);
	TEST_ASSERT_EQ(e.interrupt.shadow, 0);
	TEST_ASSERT_EQ(e.nmi.injected, 0);
	TEST_ASSERT_EQ(e.nmi.pending, 0);
	TEST_ASSERT_EQ(e.nmi.masked, 0);
	TEST_ASSERT_EQ(e.sipi_vector, 0);
	TEST_ASSERT((e.flags & (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW)) ==
		    (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW),
		    "flags are %#x", e.flags);
	for (unsigned int i = 0; i < sizeof(e.reserved); i++)
		TEST_ASSERT_EQ(e.reserved[i], 0);
}

TEST(round_trip)
{
	struct vcpu *v = guest_of(idles);
	struct kvm_vcpu_events e, back;

	vcpu_expect_sync(v, 1);
	e = events_of(v);
	e.exception.injected = 1;
	e.exception.nr = GP_VECTOR;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1234;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	e.nmi.pending = 1;
	e.nmi.masked = 1;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	back = events_of(v);
	TEST_ASSERT_EQ(back.exception.injected, 1);
	TEST_ASSERT_EQ(back.exception.nr, GP_VECTOR);
	TEST_ASSERT_EQ(back.exception.has_error_code, 1);
	TEST_ASSERT_EQ(back.exception.error_code, 0x1234);
	/* SVM keeps one kind of shadow. */
	TEST_ASSERT(back.interrupt.shadow & KVM_X86_SHADOW_INT_STI, "the shadow is gone");
	TEST_ASSERT_EQ(back.nmi.pending, 1);
	TEST_ASSERT_EQ(back.nmi.masked, 1);
}

TEST(flags_choose_what_is_set)
{
	struct vcpu *v = guest_of(idles);
	struct kvm_vcpu_events e;

	vcpu_expect_sync(v, 1);
	e = events_of(v);
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	e.nmi.pending = 1;
	e.flags = 0;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	e = events_of(v);
	TEST_ASSERT_EQ(e.interrupt.shadow, 0);
	TEST_ASSERT_EQ(e.nmi.pending, 0);
	vcpu_expect_sync(v, 2);
}

static void refused(struct vcpu *v, const struct kvm_vcpu_events *bad)
{
	struct kvm_vcpu_events before = events_of(v), after;

	ioctl_fails(v->fd, KVM_SET_VCPU_EVENTS, bad, EINVAL);
	after = events_of(v);
	TEST_ASSERT(!memcmp(&before, &after, sizeof(before)), "a refused call changed something");
}

TEST(bad_input)
{
	struct vcpu *v = guest_of(idles);
	struct kvm_vcpu_events e = { .nmi.masked = 1 };

	vcpu_expect_sync(v, 1);
	e.flags = 1u << 6;
	refused(v, &e);
	e.flags = 1u << 31;
	refused(v, &e);
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = NMI_VECTOR;
	refused(v, &e);
	e.exception.nr = 32;
	refused(v, &e);
	e.exception.nr = 255;
	refused(v, &e);
	/* A payload belongs to a capability that nobody has turned on. */
	e.exception.nr = DB_VECTOR;
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception_has_payload = 1;
	refused(v, &e);
	vcpu_expect_sync(v, 2);
}

static uint64_t handled, error_code;

static void on_gp(struct trap_frame *f)
{
	handled++;
	error_code = f->error;
}

static void waits_for_gp(void)
{
	guest_handle(GP_VECTOR, on_gp);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(handled, 1);
	GUEST_ASSERT_EQ(error_code, 0x50);
	GUEST_DONE();
}

TEST(an_injected_exception_is_delivered)
{
	struct vcpu *v = guest_of(waits_for_gp);
	struct kvm_vcpu_events e = {
		.exception = { .injected = 1,
			       .nr = GP_VECTOR,
			       .has_error_code = 1,
			       .error_code = 0x50 },
	};

	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	vcpu_expect_done(v);
	TEST_ASSERT_EQ(events_of(v).exception.injected, 0);
}

static uint64_t nmis;

static void on_nmi(struct trap_frame *f)
{
	nmis++;
}

static void counts_nmis(void)
{
	guest_handle(NMI_VECTOR, on_nmi);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(nmis, 0);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(nmis, 1);
	GUEST_DONE();
}

TEST(a_masked_nmi_waits)
{
	struct vcpu *v = guest_of(counts_nmis);
	struct kvm_vcpu_events e;

	vcpu_expect_sync(v, 1);
	e = events_of(v);
	e.nmi.masked = 1;
	e.nmi.pending = 1;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	vcpu_expect_sync(v, 2);
	e = events_of(v);
	TEST_ASSERT_EQ(e.nmi.masked, 1);
	TEST_ASSERT_EQ(e.nmi.pending, 1);
	e.nmi.masked = 0;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	vcpu_expect_done(v);
}

static int enable(struct vm *vm, int cap, uint64_t on)
{
	struct kvm_enable_cap c = { .cap = cap, .args[0] = on };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

#define DR6_SINGLE_STEP (1ul << 14)

static uint64_t steps, dr6;

static void on_db(struct trap_frame *f)
{
	steps++;
	asm volatile("mov %%db6, %0" : "=r"(dr6));
}

static void waits_for_db(void)
{
	guest_handle(DB_VECTOR, on_db);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(steps, 1);
	GUEST_ASSERT(dr6 & DR6_SINGLE_STEP);
	GUEST_DONE();
}

TEST(a_pending_exception_with_payload)
{
	struct vcpu *v = guest_of(waits_for_db);
	struct kvm_vcpu_events e, back;
	struct kvm_debugregs regs;

	require_cap(KVM_CAP_EXCEPTION_PAYLOAD);
	TEST_ASSERT_EQ(enable(v->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1), 0);
	vcpu_expect_sync(v, 1);
	e = events_of(v);
	TEST_ASSERT(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD, "flags are %#x", e.flags);
	e.exception.pending = 1;
	e.exception.nr = DB_VECTOR;
	e.exception_has_payload = 1;
	e.exception_payload = DR6_SINGLE_STEP;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	back = events_of(v);
	TEST_ASSERT_EQ(back.exception.pending, 1);
	TEST_ASSERT_EQ(back.exception.injected, 0);
	TEST_ASSERT_EQ(back.exception_has_payload, 1);
	TEST_ASSERT_EQ(back.exception_payload, DR6_SINGLE_STEP);
	/* Not before it is delivered. */
	ioctl_ok(v->fd, KVM_GET_DEBUGREGS, &regs);
	TEST_ASSERT(!(regs.dr6 & DR6_SINGLE_STEP), "DR6 is %#lx", (uint64_t)regs.dr6);
	vcpu_expect_done(v);
}

TEST(a_pending_triple_fault)
{
	struct vcpu *v = guest_of(idles);
	struct kvm_vcpu_events e;

	require_cap(KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	vcpu_expect_sync(v, 1);
	e = events_of(v);
	e.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	e.triple_fault.pending = 1;
	refused(v, &e);
	TEST_ASSERT_EQ(enable(v->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1), 0);
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	TEST_ASSERT_EQ(events_of(v).triple_fault.pending, 1);
	/* Taken back, then for good. */
	e.triple_fault.pending = 0;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	vcpu_expect_sync(v, 2);
	e.triple_fault.pending = 1;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
	vcpu_expect_exit(v, KVM_EXIT_SHUTDOWN);
}

/* ---- MP state ---- */

static uint32_t mp_state(struct vcpu *v)
{
	struct kvm_mp_state s = { .mp_state = ~0u };

	ioctl_ok(v->fd, KVM_GET_MP_STATE, &s);
	return s.mp_state;
}

TEST(mp_state_without_local_apic)
{
	struct vcpu *v = guest_of(idles);
	struct kvm_mp_state s = { .mp_state = KVM_MP_STATE_HALTED };

	TEST_ASSERT_EQ(mp_state(v), KVM_MP_STATE_RUNNABLE);
	ioctl_fails(v->fd, KVM_SET_MP_STATE, &s, EINVAL);
	s.mp_state = KVM_MP_STATE_UNINITIALIZED;
	ioctl_fails(v->fd, KVM_SET_MP_STATE, &s, EINVAL);
	TEST_ASSERT_EQ(mp_state(v), KVM_MP_STATE_RUNNABLE);
	s.mp_state = KVM_MP_STATE_RUNNABLE;
	ioctl_ok(v->fd, KVM_SET_MP_STATE, &s);
	vcpu_expect_sync(v, 1);
}

TEST(mp_state_with_local_apic)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *first = vcpu_add(vm, 0, idles), *second = vcpu_add_raw(vm, 1);
	struct kvm_mp_state s;
	static const uint32_t states[] = {
		KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED,
		KVM_MP_STATE_RUNNABLE,
	};

	TEST_ASSERT_EQ(mp_state(first), KVM_MP_STATE_RUNNABLE);
	TEST_ASSERT_EQ(mp_state(second), KVM_MP_STATE_UNINITIALIZED);
	for (unsigned int i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		s.mp_state = states[i];
		ioctl_ok(second->fd, KVM_SET_MP_STATE, &s);
		TEST_ASSERT_EQ(mp_state(second), states[i]);
	}
	if (kvm_is_okvm()) {
		s.mp_state = 77;
		ioctl_fails(second->fd, KVM_SET_MP_STATE, &s, EINVAL);
		TEST_ASSERT_EQ(mp_state(second), KVM_MP_STATE_RUNNABLE);
	}
	vcpu_expect_sync(first, 1);
}

/* ---- shadows: one instruction long ---- */

extern const uint8_t after_sti[], plain_code[];

static uint64_t nmi_rip;

static void notes_nmi(struct trap_frame *f)
{
	nmi_rip = f->rip;
	GUEST_SYNC(3);
}

static void has_shadow(void)
{
	guest_handle(NMI_VECTOR, notes_nmi);
	GUEST_SYNC(1);
	asm volatile("sti\n"
		     ".globl after_sti\nafter_sti: nop\n"
		     ".globl plain_code\nplain_code: nop; nop; nop; nop; nop; nop; nop; nop");
	GUEST_SYNC(2);
}

/* At @plain_code with interrupts on, the last exit forgotten, in a shadow. */
static void put_in_shadow(struct vcpu *v, uint8_t shadow)
{
	struct kvm_vcpu_events e;
	struct kvm_regs regs;

	v->run->immediate_exit = 1;
	vcpu_run(v);
	v->run->immediate_exit = 0;
	regs = vcpu_regs(v);
	regs.rip = (uintptr_t)plain_code;
	regs.rflags |= FLAG_IF;
	vcpu_set_regs(v, &regs);
	e = events_of(v);
	e.interrupt.shadow = shadow;
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	ioctl_ok(v->fd, KVM_SET_VCPU_EVENTS, &e);
}

/* The window opens behind the instruction that the shadow is over. */
TEST(a_shadow_holds_the_window_shut)
{
	static const uint8_t shadows[] = {
		0, KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS,
		KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS,
	};
	struct vcpu *v = guest_of(has_shadow);

	vcpu_expect_sync(v, 1);
	for (unsigned int i = 0; i < sizeof(shadows); i++) {
		put_in_shadow(v, shadows[i]);
		v->run->request_interrupt_window = 1;
		vcpu_expect_exit(v, KVM_EXIT_IRQ_WINDOW_OPEN);
		TEST_ASSERT_EQ(vcpu_regs(v).rip, (uintptr_t)plain_code + !!shadows[i]);
		TEST_ASSERT_EQ(events_of(v).interrupt.shadow, 0);
		TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 1);
	}
	v->run->request_interrupt_window = 0;
	vcpu_expect_sync(v, 2);
}

TEST(a_shadow_holds_nmis_off)
{
	static const uint8_t shadows[] = { 0, KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS };
	struct vcpu *v;

	require_cap(KVM_CAP_USER_NMI);
	v = guest_of(has_shadow);
	vcpu_expect_sync(v, 1);
	for (unsigned int i = 0; i < sizeof(shadows); i++) {
		put_in_shadow(v, shadows[i]);
		ioctl_ok(v->fd, KVM_NMI, 0);
		vcpu_expect_sync(v, 3);
		TEST_ASSERT_EQ(*vm_shared(v->vm, nmi_rip), (uintptr_t)plain_code + !!shadows[i]);
		vcpu_expect_sync(v, 2);
	}
}

/* STI's own shadow reads back, and is as good on another vCPU as it was. */
TEST(a_shadow_moves_to_another_vcpu)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [0] = (uintptr_t)after_sti, [7] = 0x402 },
	};
	struct vcpu *v = guest_of(has_shadow), *other;
	struct kvm_vcpu_events e;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	require_cap(KVM_CAP_SET_GUEST_DEBUG);
	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_SET_GUEST_DEBUG, &debug);
	vcpu_expect_exit(v, KVM_EXIT_DEBUG);
	regs = vcpu_regs(v);
	TEST_ASSERT_EQ(regs.rip, (uintptr_t)after_sti);
	e = events_of(v);
	TEST_ASSERT(e.interrupt.shadow & KVM_X86_SHADOW_INT_STI, "shadow %#x", e.interrupt.shadow);
	TEST_ASSERT_EQ(v->run->ready_for_interrupt_injection, 0);
	sregs = vcpu_sregs(v);

	other = vcpu_add_raw(v->vm, 1);
	vcpu_set_cpuid(other);
	sregs.apic_base = vcpu_sregs(other).apic_base;
	vcpu_set_sregs(other, &sregs);
	vcpu_set_regs(other, &regs);
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	ioctl_ok(other->fd, KVM_SET_VCPU_EVENTS, &e);
	other->run->request_interrupt_window = 1;
	vcpu_expect_exit(other, KVM_EXIT_IRQ_WINDOW_OPEN);
	TEST_ASSERT_EQ(vcpu_regs(other).rip, (uintptr_t)plain_code);
}
