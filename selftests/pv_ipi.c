// SPDX-License-Identifier: GPL-2.0-only
/* The hypercalls KVM_HC_SEND_IPI and KVM_HC_KICK_CPU. */

#include <asm/kvm_para.h>
#include <linux/kvm_para.h>

#include "irq.h"

#define VECTOR	0x61
#define CPUS	4

static uint64_t ready, seen[CPUS], stop, awake, amd;

static uint64_t hypercall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint64_t r;

	if (amd)
		asm volatile("vmmcall"
			     : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	else
		asm volatile("vmcall"
			     : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return r;
}

static void note(struct trap_frame *f)
{
	__atomic_fetch_add(&seen[apic_read(R_ID) >> 24], 1, __ATOMIC_SEQ_CST);
	apic_write(R_EOI, 0);
}

static void listener(void)
{
	apic_on();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	while (!READ_ONCE(stop))
		hlt();
	GUEST_DONE();
}

static void expect(uint32_t mask)
{
	static uint64_t want[CPUS];

	for (int i = 0; i < CPUS; i++) {
		want[i] += mask >> i & 1;
		GUEST_WAIT(READ_ONCE(seen[i]) >= want[i]);
	}
	for (int i = 0; i < CPUS; i++)
		GUEST_ASSERT_EQ(READ_ONCE(seen[i]), want[i]);
}

static void sends(void)
{
	guest_handle(VECTOR, note);
	apic_on();
	GUEST_WAIT(READ_ONCE(ready) == CPUS - 1);
	sti();
	for (uint64_t mask = 0; mask < 16; mask++) {
		GUEST_ASSERT_EQ(hypercall(KVM_HC_SEND_IPI, mask, 0, 0, VECTOR),
				__builtin_popcountl(mask));
		expect(mask);
	}
	/* From id 2 on; and the second word from id min + 64 on, where nobody is. */
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SEND_IPI, ~0ul, ~0ul, 2, VECTOR), 2);
	expect(0xc);
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SEND_IPI, ~0ul, ~0ul, 100, VECTOR), 0);
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SEND_IPI, 0, ~0ul, 0, VECTOR), 0);
	/* No shorthands, no logical destinations. */
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SEND_IPI, 1, 0, 0, ICR_LOGICAL | VECTOR),
			(uint64_t)-KVM_EINVAL);
	GUEST_ASSERT_EQ(hypercall(KVM_HC_SEND_IPI, 1, 0, 0, ICR_ALL | VECTOR),
			(uint64_t)-KVM_EINVAL);
	expect(0);
	WRITE_ONCE(stop, 1);
	hypercall(KVM_HC_SEND_IPI, 0xe, 0, 0, VECTOR);
	GUEST_DONE();
}

static void require_feature(unsigned int bit)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, KVM_CPUID_FEATURES, 0);
	bool has = e && e->eax & 1u << bit;

	e = cpuid_find(c, 0, 0);
	amd = e && e->ebx != 0x756e6547;	/* "Genu" */
	free(c);
	TEST_REQUIRE(has, "feature bit %u is not there", bit);
}

TEST_TIMEOUT(send_ipi, 60)
{
	struct vm *vm;
	struct vcpu *v;

	require_feature(KVM_FEATURE_PV_SEND_IPI);
	vm = vm_create_irqchip();
	v = vcpu_add(vm, 0, sends);
	for (int i = 1; i < CPUS; i++)
		vcpu_start(add_running(vm, i, listener));
	vcpu_expect_done(v);
	for (int i = 1; i < CPUS; i++)
		vcpu_join(vm->vcpus[i]);
}

/* Asleep with interrupts off: only the kick (or an NMI) ends that. */
static void sleeper(void)
{
	apic_on();
	WRITE_ONCE(ready, 1);
	for (int i = 0; i < 50; i++) {
		hlt();
		WRITE_ONCE(awake, i + 1);
	}
	GUEST_DONE();
}

static void kicks(void)
{
	apic_on();
	GUEST_WAIT(READ_ONCE(ready));
	/* Nobody of that id. */
	hypercall(KVM_HC_KICK_CPU, 0, 77, 0, 0);
	for (uint64_t i = 1; i <= 50; i++)
		while (READ_ONCE(awake) < i)
			hypercall(KVM_HC_KICK_CPU, 0, 1, 0, 0);
	GUEST_DONE();
}

TEST_TIMEOUT(kick_ends_hlt, 60)
{
	struct vm *vm;
	struct vcpu *v;

	require_feature(KVM_FEATURE_PV_UNHALT);
	vm = vm_create_irqchip();
	v = vcpu_add(vm, 0, kicks);
	vcpu_start(add_running(vm, 1, sleeper));
	vcpu_expect_done(v);
	vcpu_join(vm->vcpus[1]);
}
