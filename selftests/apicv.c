// SPDX-License-Identifier: GPL-2.0-only
/*
 * Local APICs that the CPU may work on by itself: what the guest sees must be the same with and
 * without, and what the host must hear of it hears.
 */

#include "irq.h"

#define LOW		0x31
#define MIDDLE		0x41
#define HIGH		0x61
#define PIN		5

/* Does the CPU do it, and has nobody turned it off? Upstream's answer is not asked for. */
static bool has_apicv(const char *parameter)
{
	return okvm_has_apicv() && okvm_parameter(parameter);
}

/* ---- no exits ---- */

#define ROUNDS		200

static void x2apic_without_exits(void)
{
	x2apic_on();
	guest_handle(LOW, on_irq_x2);
	sti();
	GUEST_SYNC(1);
	for (int i = 0; i < ROUNDS; i++) {
		wrmsr(X2(R_SELF_IPI), LOW);
		asm volatile("nop");
		GUEST_ASSERT_EQ(irqs_of(LOW), i + 1);
		wrmsr(X2(R_TPR), i & 0x20);
		GUEST_ASSERT_EQ(rdmsr(X2(R_TPR)), i & 0x20);
		GUEST_ASSERT_EQ(rdmsr(X2(R_PPR)), i & 0x20);
		GUEST_ASSERT_EQ(rdmsr(X2(R_ISR + 0x10)), 0);
	}
	GUEST_SYNC(2);
	GUEST_DONE();
}

static void xapic_without_exits(void)
{
	apic_on();
	guest_handle(LOW, on_irq);
	sti();
	apic_write(R_TPR, 0);
	GUEST_SYNC(1);
	for (int i = 0; i < ROUNDS; i++) {
		apic_write(R_ICR, ICR_SELF | LOW);
		asm volatile("nop");
		GUEST_ASSERT_EQ(irqs_of(LOW), i + 1);
		apic_write(R_TPR, i & 0x20);
		GUEST_ASSERT_EQ(apic_read(R_TPR), i & 0x20);
		/* Not PPR, which the CPU does not read for an xAPIC. */
		GUEST_ASSERT_EQ(apic_read(R_ISR + 0x10), 0);
		GUEST_ASSERT_EQ(apic_read(R_SVR), 0x1ff);
	}
	GUEST_SYNC(2);
	GUEST_DONE();
}

static void expect_few_exits(void (*fn)(void), const char *parameter)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, fn);
	uint64_t before, after;

	vcpu_expect_sync(v, 1);
	before = vcpu_stat(v, "exits");
	vcpu_expect_sync(v, 2);
	after = vcpu_stat(v, "exits");
	/* The host's own interrupts, and pages that are touched for the first time. */
	if (has_apicv(parameter))
		TEST_ASSERT(after - before < ROUNDS / 2, "%lu exits", after - before);
	else if (kvm_is_okvm())
		TEST_ASSERT(after - before > ROUNDS, "%lu exits", after - before);
	vcpu_expect_done(v);
}

TEST(x2apic_without_exits)
{
	expect_few_exits(x2apic_without_exits, "apicv");
}

TEST(xapic_without_exits)
{
	expect_few_exits(xapic_without_exits, "apic_page");
}

/* ---- registers ---- */

static const uint16_t x2apic_registers[] = {
	R_ID, R_LVR, R_TPR, R_PPR, R_LDR, R_SVR, R_ESR, R_ICR, R_LVTT, 0x330, 0x340, R_LVT0, R_LVT1,
	R_LVTERR, R_TMICT, R_TMCCT, R_TDCR,
};

static bool is_x2apic_register(unsigned int reg)
{
	if (reg >= R_ISR && reg < R_ESR)
		return true;
	for (unsigned int i = 0; i < sizeof(x2apic_registers) / 2; i++)
		if (x2apic_registers[i] == reg)
			return true;
	return false;
}

static void all_x2apic_registers(void)
{
	uint64_t v, vector;

	x2apic_on();
	wrmsr(X2(R_LVTERR), 0x47);
	for (unsigned int reg = 0; reg < 0x1000; reg += 0x10) {
		vector = guest_rdmsr_try(X2(reg), &v);
		/* What else there may be is a newer CPU's. */
		if (is_x2apic_register(reg))
			GUEST_ASSERT_EQ(vector, NO_TRAP);
		else if (reg != 0x2f0)
			GUEST_ASSERT_EQ(vector, GP_VECTOR);
	}
	GUEST_ASSERT_EQ(rdmsr(X2(R_LVTERR)), 0x47);
	GUEST_ASSERT_EQ(rdmsr(X2(R_LDR)), 1);
	GUEST_ASSERT_EQ(rdmsr(X2(R_SVR)), 0x1ff);
	/* Values that the CPU is not to take. */
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_TPR), 0x100), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_EOI), 1), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_SELF_IPI), 0x100), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_PPR), 0), GP_VECTOR);
	GUEST_ASSERT_EQ(guest_wrmsr_try(X2(R_IRR), 0), GP_VECTOR);
	GUEST_DONE();
}

TEST(all_x2apic_registers)
{
	vcpu_expect_done(vcpu_add(vm_create_irqchip(), 0, all_x2apic_registers));
}

static uint64_t nmis;

static void on_nmi(struct trap_frame *f)
{
	nmis++;
}

/* Registers whose old value decides what a write does. */
static void writes_with_consequences(void)
{
	guest_handle(NMI_VECTOR, on_nmi);
	guest_handle(LOW, on_irq);
	apic_on();
	/* LINT0 as NMI, by the PIT's way in: none is connected, but it is counted. */
	for (int i = 0; i < 10; i++) {
		apic_write(R_LVT0, LVT_NMI);
		apic_write(R_LVT0, LVT_MASKED | LVT_NMI);
	}
	/* A new vector does not stop the timer. */
	apic_write(R_TDCR, 0xb);
	apic_write(R_LVTT, LOW);
	apic_write(R_TMICT, 0xffffffff);
	apic_write(R_LVTT, LVT_MASKED | LOW);
	GUEST_ASSERT(apic_read(R_TMCCT) != 0);
	/* Software's disable masks all entries, and its enable leaves them so. */
	apic_write(R_LVTERR, MIDDLE);
	apic_write(R_SVR, 0xff);
	GUEST_ASSERT_EQ(apic_read(R_LVTERR), LVT_MASKED | MIDDLE);
	apic_write(R_SVR, 0x1ff);
	GUEST_ASSERT_EQ(apic_read(R_LVTERR), LVT_MASKED | MIDDLE);
	/* Bits that no register has. */
	apic_write(R_TDCR, ~0u);
	GUEST_ASSERT_EQ(apic_read(R_TDCR), 0xb);
	apic_write(R_ID, 0x05ffffff);
	GUEST_ASSERT_EQ(apic_read(R_ID), 0x05000000);
	/* To its new id. */
	apic_write(R_ICR2, 5u << 24);
	apic_write(R_ICR, ICR_ASSERT | LOW);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(LOW), 1);
	GUEST_ASSERT_EQ(nmis, 0);
	GUEST_DONE();
}

TEST(writes_with_consequences)
{
	vcpu_expect_done(vcpu_add(vm_create_irqchip(), 0, writes_with_consequences));
}

/* ---- the page ---- */

static void off_and_on(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	apic_on();
	guest_handle(LOW, on_irq);
	apic_write(R_ICR, ICR_SELF | LOW);
	wrmsr(MSR_APIC_BASE, base & ~BASE_ENABLE);
	GUEST_SYNC(1);
	/* Nothing answers, and nothing is kept. */
	*(volatile uint32_t *)(APIC_GPA + R_TPR) = 0x77;
	GUEST_SYNC(2);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(LOW), 0);
	wrmsr(MSR_APIC_BASE, base);
	apic_on();
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0);
	apic_write(R_ICR, ICR_SELF | LOW);
	take_irqs();
	GUEST_ASSERT(irqs_of(LOW) >= 1);
	GUEST_DONE();
}

TEST(off_and_on)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, off_and_on);

	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	vcpu_expect_done(v);
}

static uint64_t stage;

/* Has used its APIC, so that what is mapped there is; goes on once the other has left. */
static void stays(void)
{
	apic_on();
	guest_handle(LOW, on_irq);
	apic_write(R_TPR, 0x10);
	WRITE_ONCE(stage, 1);
	GUEST_WAIT(READ_ONCE(stage) == 2);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x10);
	apic_write(R_ICR, ICR_SELF | LOW);
	take_irqs();
	GUEST_ASSERT_EQ(irqs_of(LOW), 1);
	WRITE_ONCE(stage, 3);
	GUEST_WAIT(READ_ONCE(stage) == 4);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x10);
	GUEST_DONE();
}

static void moves(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	apic_on();
	GUEST_WAIT(READ_ONCE(stage) == 1);
	wrmsr(MSR_APIC_BASE, (base & 0xfff) | 0xfed00000);
	/* Where it was is user space's. */
	GUEST_ASSERT_EQ(*(volatile uint32_t *)(APIC_GPA + R_TPR), 0x12345678);
	*(volatile uint32_t *)(0xfed00000ul + R_TPR) = 0x20;
	GUEST_ASSERT_EQ(read_cr8(), 2);
	WRITE_ONCE(stage, 2);
	GUEST_WAIT(READ_ONCE(stage) == 3);
	wrmsr(MSR_APIC_BASE, base);
	GUEST_ASSERT_EQ(apic_read(R_TPR), 0x20);
	WRITE_ONCE(stage, 4);
	GUEST_DONE();
}

/* One vCPU's APIC is elsewhere: the other's is where it was, and nobody sees what is not his. */
TEST(one_of_two_moves)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *a = vcpu_add(vm, 0, stays), *b = add_running(vm, 1, moves);
	uint32_t answer = 0x12345678;

	TEST_REQUIRE(kvm_is_okvm(), "only okvm promises it");
	vcpu_start(a);
	vcpu_expect_exit(b, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(b->run->mmio.phys_addr, APIC_GPA + R_TPR);
	TEST_ASSERT(!b->run->mmio.is_write, "a read");
	memcpy(b->run->mmio.data, &answer, sizeof(answer));
	vcpu_expect_done(b);
	vcpu_join(a);
}

/* ---- between vCPUs ---- */

#define SENT		400

static uint64_t here, x2;

static void on_any(struct trap_frame *f)
{
	count_irq(f);
	if (READ_ONCE(x2))
		wrmsr(X2(R_EOI), 0);
	else
		apic_write(R_EOI, 0);
}

static void any_apic_on(void)
{
	if (READ_ONCE(x2))
		x2apic_on();
	else
		apic_on();
}

/* Computes, and now and then sleeps. */
static void listens(void)
{
	any_apic_on();
	guest_handle(LOW, on_any);
	guest_handle(HIGH, on_any);
	WRITE_ONCE(here, 1);
	sti();
	while (irqs_of(HIGH) < SENT / 2) {
		if (irqs_of(HIGH) % 64 == 63)
			hlt();
		cpu_relax();
	}
	cli();
	GUEST_DONE();
}

static void send_to_1(unsigned int vector)
{
	if (READ_ONCE(x2)) {
		wrmsr(X2(R_ICR), 1ul << 32 | ICR_ASSERT | vector);
	} else {
		apic_write(R_ICR2, 1u << 24);
		apic_write(R_ICR, ICR_ASSERT | vector);
	}
}

/* Each is waited for: one that is lost hangs the test. */
static void sends(void)
{
	any_apic_on();
	GUEST_WAIT(READ_ONCE(here));
	for (uint64_t i = 0; i < SENT; i++) {
		send_to_1(i & 1 ? HIGH : LOW);
		GUEST_WAIT(irqs_of(i & 1 ? HIGH : LOW) == i / 2 + 1);
	}
	GUEST_DONE();
}

static void send_between(bool x2apic)
{
	struct vcpu *a, *b;
	struct vm *vm;

	x2 = x2apic;
	vm = vm_create_irqchip();
	a = vcpu_add(vm, 0, sends);
	b = add_running(vm, 1, listens);
	vcpu_start(b);
	vcpu_start(a);
	vcpu_join(a);
	vcpu_join(b);
}

TEST_TIMEOUT(xapic_to_another, 60)
{
	send_between(false);
}

TEST_TIMEOUT(x2apic_to_another, 60)
{
	send_between(true);
}

/* ---- level-triggered interrupts ---- */

#define LEVELS		40
#define LEVEL_VECTOR(i)	(0x40 + (i) * 3)

static uint64_t asked, served;

static void on_line(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(f->vector, LEVEL_VECTOR(READ_ONCE(asked) - 1));
	WRITE_ONCE(served, READ_ONCE(asked));
	/* The host lowers the line before it is told of the EOI. */
	GUEST_WAIT(READ_ONCE(stage) == READ_ONCE(asked));
	on_any(f);
}

static void serves(void)
{
	any_apic_on();
	for (int i = 0; i < LEVELS; i++)
		guest_handle(LEVEL_VECTOR(i), on_line);
	WRITE_ONCE(here, 1);
	sti();
	GUEST_WAIT(READ_ONCE(here) == 2);
	cli();
	GUEST_DONE();
}

/* A new vector each time, on a CPU that never leaves the guest by itself. */
static void programs(void)
{
	apic_on();
	GUEST_WAIT(READ_ONCE(here));
	for (uint64_t i = 0; i < LEVELS; i++) {
		ioapic_route(PIN, 1ul << 56 | RTE_LEVEL | LEVEL_VECTOR(i));
		WRITE_ONCE(asked, i + 1);
		GUEST_SYNC(1);
		GUEST_WAIT(READ_ONCE(served) == i + 1);
		GUEST_ASSERT(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR);
		GUEST_SYNC(2);
		WRITE_ONCE(stage, i + 1);
		/* The EOI reaches the IOAPIC. */
		GUEST_WAIT(!(ioapic_read(0x10 + 2 * PIN) & RTE_REMOTE_IRR));
	}
	WRITE_ONCE(here, 2);
	GUEST_DONE();
}

static void levels(bool x2apic)
{
	struct vcpu *a, *b;
	struct vm *vm;

	x2 = x2apic;
	vm = vm_create_irqchip();
	a = vcpu_add(vm, 0, programs);
	b = add_running(vm, 1, serves);
	vcpu_start(b);
	for (int i = 0; i < LEVELS; i++) {
		vcpu_expect_sync(a, 1);
		irq_line(vm, PIN, 1);
		vcpu_expect_sync(a, 2);
		irq_line(vm, PIN, 0);
	}
	vcpu_expect_done(a);
	vcpu_join(b);
}

TEST_TIMEOUT(xapic_eoi_reaches_the_ioapic, 60)
{
	levels(false);
}

TEST_TIMEOUT(x2apic_eoi_reaches_the_ioapic, 60)
{
	levels(true);
}

/* ---- save and restore ---- */

static uint64_t order[4], taken;

static void on_saved(struct trap_frame *f)
{
	order[taken++] = f->vector;
	if (f->vector == MIDDLE)
		GUEST_SYNC(1);
	apic_write(R_EOI, 0);
}

static void in_service_when_saved(void)
{
	apic_on();
	guest_handle(LOW, on_saved);
	guest_handle(MIDDLE, on_saved);
	guest_handle(HIGH, on_saved);
	apic_write(R_ICR, ICR_SELF | MIDDLE);
	take_irqs();
	/* The rest came meanwhile: after the EOI, by priority. */
	take_irqs();
	GUEST_ASSERT_EQ(taken, 3);
	GUEST_ASSERT_EQ(order[0], MIDDLE);
	GUEST_ASSERT_EQ(order[1], HIGH);
	GUEST_ASSERT_EQ(order[2], LOW);
	GUEST_ASSERT_EQ(apic_read(R_PPR), 0);
	GUEST_DONE();
}

static uint32_t word(const struct kvm_lapic_state *s, unsigned int bank, unsigned int vector)
{
	uint32_t w;

	memcpy(&w, s->regs + bank + vector / 32 * 0x10, sizeof(w));
	return w & 1u << vector % 32;
}

/* One in service, and two that nobody has seen but the APIC: all arrive in the other VM. */
TEST(state_with_irr_and_isr)
{
	struct vm *from = vm_create_irqchip(), *to = vm_create_irqchip();
	struct vcpu *a = vcpu_add(from, 0, in_service_when_saved), *b;
	struct kvm_lapic_state s;
	struct kvm_regs r;

	vcpu_expect_sync(a, 1);
	a->run->immediate_exit = 1;
	TEST_ASSERT(vcpu_run(a) == -1 && errno == EINTR, "immediate exit");
	TEST_ASSERT_EQ(send_msi(from, APIC_GPA, LOW), 1);
	TEST_ASSERT_EQ(send_msi(from, APIC_GPA, HIGH), 1);
	ioctl_ok(a->fd, KVM_GET_LAPIC, &s);
	TEST_ASSERT(word(&s, R_ISR, MIDDLE) && !word(&s, R_IRR, MIDDLE), "in service");
	TEST_ASSERT(word(&s, R_IRR, LOW) && word(&s, R_IRR, HIGH), "waiting");
	TEST_ASSERT_EQ(s.regs[R_PPR], MIDDLE & 0xf0);
	memcpy(to->regions[0].hva, from->regions[0].hva, RAM_SIZE);
	b = vcpu_add(to, 0, in_service_when_saved);
	r = vcpu_regs(a);
	vcpu_set_regs(b, &r);
	/* What the new one has heard before is void. */
	TEST_ASSERT_EQ(send_msi(to, APIC_GPA, 0x99), 0);
	ioctl_ok(b->fd, KVM_SET_LAPIC, &s);
	vcpu_expect_done(b);
}
