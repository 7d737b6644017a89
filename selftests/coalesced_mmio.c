// SPDX-License-Identifier: GPL-2.0-only
/* Coalesced MMIO: writes to registered zones go to a ring and not to user space. */

#include "selftest.h"

#define ZONE	NOWHERE_GPA
#define SIZE	0x100

static uint64_t n_writes;

static void writes(void)
{
	for (uint64_t i = 0; i < n_writes; i++)
		*(volatile uint32_t *)(ZONE + i % 16 * 8) = i;
	GUEST_SYNC(1);
	*(volatile uint8_t *)(ZONE + SIZE - 1) = 0x77;
	*(volatile uint64_t *)(ZONE + 8) = 0x1122334455667788;
	GUEST_SYNC(2);
	*(volatile uint32_t *)(ZONE + SIZE) = 1;
	*(volatile uint32_t *)(ZONE + SIZE - 2) = 2;
	*(volatile uint32_t *)(ZONE - 4) = 3;
	GUEST_SYNC(3);
	GUEST_ASSERT_EQ(*(volatile uint32_t *)ZONE, 0xabcd);
	GUEST_DONE();
}

static int zone(struct vm *vm, unsigned long cmd, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return ioctl(vm->fd, cmd, &z);
}

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *v)
{
	return (void *)((char *)v->run + kvm_cap(KVM_CAP_COALESCED_MMIO) * PAGE_SIZE);
}

static struct vcpu *setup(uint64_t n)
{
	struct vcpu *v;

	require_cap(KVM_CAP_COALESCED_MMIO);
	n_writes = n;
	v = guest_of(writes);
	TEST_ASSERT(!zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE, SIZE, 0), "register");
	return v;
}

TEST(writes_go_to_the_ring)
{
	struct vcpu *v = setup(10);
	struct kvm_coalesced_mmio_ring *r = ring_of(v);
	uint64_t value;

	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(r->first, 0);
	TEST_ASSERT_EQ(r->last, 10);
	for (uint32_t i = 0; i < 10; i++) {
		TEST_ASSERT_EQ(r->coalesced_mmio[i].phys_addr, ZONE + i * 8);
		TEST_ASSERT_EQ(r->coalesced_mmio[i].len, 4);
		TEST_ASSERT_EQ(*(uint32_t *)r->coalesced_mmio[i].data, i);
	}
	r->first = r->last;
	vcpu_expect_sync(v, 2);
	TEST_ASSERT_EQ(r->last, 12);
	TEST_ASSERT_EQ(r->coalesced_mmio[10].len, 1);
	TEST_ASSERT_EQ(r->coalesced_mmio[10].data[0], 0x77);
	memcpy(&value, r->coalesced_mmio[11].data, 8);
	TEST_ASSERT_EQ(r->coalesced_mmio[11].len, 8);
	TEST_ASSERT_EQ(value, 0x1122334455667788);
}

TEST(outside_of_the_zone)
{
	static const uint64_t want[] = { ZONE + SIZE, ZONE + SIZE - 2, ZONE - 4 };
	struct vcpu *v = setup(0);

	vcpu_expect_sync(v, 1);
	vcpu_expect_sync(v, 2);
	/* One behind, one that sticks out, one before. */
	for (int i = 0; i < 3; i++) {
		vcpu_expect_exit(v, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(v->run->mmio.phys_addr, want[i]);
	}
	vcpu_expect_sync(v, 3);
	/* Reads exit always. */
	vcpu_expect_exit(v, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(v->run->mmio.is_write, 0);
	*(uint32_t *)v->run->mmio.data = 0xabcd;
	vcpu_expect_done(v);
}

/* What does not fit exits; nothing is lost, and the order stays. */
TEST(full_ring)
{
	struct vcpu *v = setup(400);
	struct kvm_coalesced_mmio_ring *r = ring_of(v);
	uint32_t max = (PAGE_SIZE - sizeof(*r)) / sizeof(r->coalesced_mmio[0]);
	uint32_t seen = 0;
	int exits = 0;

	while (vcpu_next(v) == UCALL_NONE) {
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_MMIO);
		for (; r->first != r->last; r->first = (r->first + 1) % max)
			TEST_ASSERT_EQ(*(uint32_t *)r->coalesced_mmio[r->first].data, seen++);
		TEST_ASSERT_EQ(*(uint32_t *)v->run->mmio.data, seen++);
		exits++;
	}
	for (; r->first != r->last; r->first = (r->first + 1) % max)
		TEST_ASSERT_EQ(*(uint32_t *)r->coalesced_mmio[r->first].data, seen++);
	TEST_ASSERT_EQ(seen, 400);
	TEST_ASSERT(exits >= 2 && exits <= 3, "%d exits for 400 writes, %u entries", exits, max);
}

TEST(unregister)
{
	struct vcpu *v = setup(3);

	TEST_ASSERT(!zone(v->vm, KVM_UNREGISTER_COALESCED_MMIO, ZONE, SIZE, 0), "unregister");
	for (int i = 0; i < 3; i++)
		vcpu_expect_exit(v, KVM_EXIT_MMIO);
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(ring_of(v)->last, 0);
}

TEST(two_zones)
{
	struct vcpu *v = setup(3);

	TEST_ASSERT(!zone(v->vm, KVM_REGISTER_COALESCED_MMIO, ZONE + SIZE, SIZE, 0), "register");
	TEST_ASSERT(!zone(v->vm, KVM_UNREGISTER_COALESCED_MMIO, ZONE + SIZE, SIZE, 0), "unregister");
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(ring_of(v)->last, 3);
}

TEST(bad_zones)
{
	struct vm *vm;

	require_cap(KVM_CAP_COALESCED_MMIO);
	vm = vm_create_empty();
	TEST_ASSERT(zone(vm, KVM_REGISTER_COALESCED_MMIO, ZONE, SIZE, 2) && errno == EINVAL,
		    "a kind of address space that is none");
	TEST_ASSERT(zone(vm, KVM_UNREGISTER_COALESCED_MMIO, ZONE, SIZE, 2) && errno == EINVAL,
		    "a kind of address space that is none");
	ioctl_fails(vm->fd, KVM_REGISTER_COALESCED_MMIO, NULL, EFAULT);
	ioctl_fails(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, NULL, EFAULT);
	/* Ends behind the last address. */
	if (!zone(vm, KVM_REGISTER_COALESCED_MMIO, -0x10ul, 0x100, 0))
		return;
	TEST_ASSERT_EQ(errno, EINVAL);
}

/* The ring is the VMM's to write: indexes of nonsense hurt only itself. */
TEST(hostile_ring)
{
	static const uint32_t bad[] = { 0xffffffff, 170, 171, 0x80000000, 4096 };
	struct vcpu *v = setup(400);
	struct kvm_coalesced_mmio_ring *r = ring_of(v);
	int n = 0;

	r->last = bad[0];
	while (vcpu_next(v) == UCALL_NONE) {
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_MMIO);
		r->last = bad[++n % 5];
		r->first = bad[n % 3];
	}
	TEST_ASSERT_EQ(v->uc.cmd, UCALL_SYNC);
}

static void port_writes(void)
{
	outl(0x500, 0x1234);
	outb(0x501, 0x56);
	GUEST_SYNC(1);
	GUEST_DONE();
}

TEST(ports)
{
	struct kvm_coalesced_mmio_ring *r;
	struct vcpu *v;

	require_cap(KVM_CAP_COALESCED_PIO);
	v = guest_of(port_writes);
	r = ring_of(v);
	TEST_ASSERT(!zone(v->vm, KVM_REGISTER_COALESCED_MMIO, 0x500, 8, 1), "register");
	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(r->last, 2);
	TEST_ASSERT_EQ(r->coalesced_mmio[0].pio, 1);
	TEST_ASSERT_EQ(r->coalesced_mmio[0].phys_addr, 0x500);
	TEST_ASSERT_EQ(r->coalesced_mmio[1].data[0], 0x56);
}
