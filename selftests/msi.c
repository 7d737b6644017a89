// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SIGNAL_MSI. */

#include "irq.h"

#define ADDRESS	0xfee00000u
#define DEST(n)	((uint32_t)(n) << 12)
#define LOGICAL	0x4u
#define REDIR	0x8u
#define VECTOR	0x61

static void listen(void)
{
	apic_on();
	apic_write(R_LDR, 0x02000000);
	guest_handle(VECTOR, on_irq);
	guest_handle(NMI_VECTOR, count_irq);
	for (int i = 1; ; i++) {
		GUEST_SYNC(i);
		take_irqs();
		GUEST_SYNC_VAL(100, irqs_of(VECTOR) | irqs_of(NMI_VECTOR) << 32);
	}
}

static struct vcpu *listener(void)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, listen);

	require_cap(KVM_CAP_SIGNAL_MSI);
	vcpu_expect_sync(v, 1);
	return v;
}

static void gives(struct vcpu *v, uint32_t address, uint32_t data, int result, uint64_t total)
{
	static int round = 1;
	int r = send_msi(v->vm, address, data);

	TEST_ASSERT(r == result, "MSI %#x %#x: %d", address, data, r);
	TEST_ASSERT_EQ(vcpu_expect_sync(v, 100), total);
	vcpu_expect_sync(v, ++round);
}

TEST(destinations)
{
	struct vcpu *v = listener();

	gives(v, ADDRESS | DEST(0), VECTOR, 1, 1);
	gives(v, ADDRESS | DEST(0xff), VECTOR, 1, 2);
	gives(v, ADDRESS | DEST(1), VECTOR, 0, 2);		/* nobody */
	gives(v, ADDRESS | DEST(2) | LOGICAL, VECTOR, 1, 3);
	gives(v, ADDRESS | DEST(4) | LOGICAL, VECTOR, 0, 3);
	gives(v, ADDRESS | DEST(2) | LOGICAL | REDIR, VECTOR, 1, 4);
	gives(v, ADDRESS | DEST(2) | LOGICAL, 0x100 | VECTOR, 1, 5);	/* lowest priority */
	gives(v, ADDRESS, 0x400, 1, 5 | 1ul << 32);		/* NMI */
}

static void disabled(void)
{
	apic_write(R_SVR, 0xff);
	GUEST_SYNC(1);
	GUEST_DONE();
}

TEST(blocked_by_the_guest)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, disabled);

	vcpu_expect_sync(v, 1);
	TEST_ASSERT_EQ(send_msi(v->vm, ADDRESS, VECTOR), 0);
	vcpu_expect_done(v);
}

TEST(bad_calls)
{
	struct vm *vm = vm_create_irqchip(), *bare = vm_create();
	struct kvm_msi msi = { .address_lo = ADDRESS, .data = VECTOR };

	vcpu_add(vm, 0, disabled);
	ioctl_fails(bare->fd, KVM_SIGNAL_MSI, &msi, EINVAL);
	ioctl_fails(vm->fd, KVM_SIGNAL_MSI, NULL, EFAULT);
	TEST_REQUIRE(kvm_is_okvm(), "upstream does not look at the flags");
	msi.flags = 2;
	ioctl_fails(vm->fd, KVM_SIGNAL_MSI, &msi, EINVAL);
	msi.flags = KVM_MSI_VALID_DEVID;
	ioctl_fails(vm->fd, KVM_SIGNAL_MSI, &msi, EINVAL);
}

static void sleeper(void)
{
	apic_on();
	guest_handle(VECTOR, on_irq);
	for (;;) {
		GUEST_SYNC(1);
		sti_hlt();
		cli();
		GUEST_SYNC_VAL(2, irqs_of(VECTOR));
	}
}

static void *sender(void *arg)
{
	struct vcpu *v = arg;

	usleep(rand() % 300);
	TEST_ASSERT_EQ(send_msi(v->vm, ADDRESS, VECTOR), 1);
	return NULL;
}

/* Sent while the vCPU is on its way to sleep: it never sleeps through one. */
TEST_TIMEOUT(no_wakeup_is_lost, 120)
{
	struct vcpu *v = vcpu_add(vm_create_irqchip(), 0, sleeper);
	pthread_t t;

	for (int i = 1; i <= 300; i++) {
		vcpu_expect_sync(v, 1);
		TEST_ASSERT(!pthread_create(&t, NULL, sender, v), "thread");
		TEST_ASSERT_EQ(vcpu_expect_sync(v, 2), i);
		pthread_join(t, NULL);
	}
}
