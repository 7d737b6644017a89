// SPDX-License-Identifier: GPL-2.0-only
/*
 * State of controllers, FPU and registers from any bytes: it is refused, and nothing has changed,
 * or the guest runs into an exit or a signal. Afterwards the same VM, set right again, runs as
 * before. What the host's kernel logged about it is the lab's to look at.
 */

#include <sys/time.h>

#include "irq.h"

#define SEED 0x9e3779b97f4a7c15ull

enum part { LAPIC, PIC_MASTER, PIC_SLAVE, IOAPIC, PIT, XSAVE, SREGS, EVENTS, PARTS };

static const struct {
	const char *name;
	unsigned long get, set;
	size_t size;
	bool of_vm;
} parts[PARTS] = {
	[LAPIC] = { "lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), false },
	[PIC_MASTER] = { "pic", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), true },
	[PIC_SLAVE] = { "pic", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), true },
	[IOAPIC] = { "ioapic", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), true },
	[PIT] = { "pit", KVM_GET_PIT2, KVM_SET_PIT2, sizeof(struct kvm_pit_state2), true },
	[XSAVE] = { "xsave", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave), false },
	[SREGS] = { "sregs2", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2), false },
	[EVENTS] = { "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
		     sizeof(struct kvm_vcpu_events), false },
};

#define MAX_SIZE sizeof(struct kvm_xsave)

static struct vcpu *vcpu;
static uint8_t good[PARTS][MAX_SIZE] __attribute__((aligned(8)));
static struct kvm_regs good_regs;
static uint8_t *good_memory;
static uint64_t token = SEED;
static unsigned int refused, taken;

static uint64_t next_random(void)
{
	token ^= token << 13;
	token ^= token >> 7;
	token ^= token << 17;
	return token;
}

/* A little of everything that the states are about. */
static void works(void)
{
	uint8_t fpu[16] __attribute__((aligned(16)));

	for (int i = 32; i < 256; i++)
		guest_handle(i, on_irq);
	apic_on();
	for (;;) {
		asm volatile("fld1\n\tfstpl %0\n\tpxor %%xmm0, %%xmm0" : "=m"(fpu));
		apic_write(R_TPR, apic_read(R_TPR));
		apic_read(R_TMCCT);
		ioapic_write(0x10, ioapic_read(0x10));
		outb(0x20, 0x20);
		outb(0x43, 0);
		inb(0x40);
		sti();
		for (int i = 0; i < 100; i++)
			asm volatile("nop");
		cli();
		GUEST_SYNC(0);
	}
}

static int fd_of(enum part p)
{
	return parts[p].of_vm ? vcpu->vm->fd : vcpu->fd;
}

static int get(enum part p, void *to)
{
	memset(to, 0, parts[p].size);
	if (p >= PIC_MASTER && p <= IOAPIC)
		((struct kvm_irqchip *)to)->chip_id = p - PIC_MASTER;
	return ioctl(fd_of(p), parts[p].get, to);
}

/* Controllers last: a local APIC's state depends on its base in the registers. */
static void set_right(void)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

	memcpy(vm_hva(vcpu->vm, 0), good_memory, RAM_SIZE);
	for (int p = PARTS - 1; p >= 0; p--)
		TEST_ASSERT(!ioctl(fd_of(p), parts[p].set, good[p]), "setting %s right",
			    parts[p].name);
	vcpu_set_regs(vcpu, &good_regs);
	ioctl_ok(vcpu->fd, KVM_SET_MP_STATE, &runnable);
	/* The last exit is not to be completed in the new state. */
	vcpu->run->immediate_exit = 1;
	vcpu_run(vcpu);
	vcpu->run->immediate_exit = 0;
	vcpu_set_regs(vcpu, &good_regs);
	ioctl_ok(vcpu->fd, parts[EVENTS].set, good[EVENTS]);
	ioctl_ok(vcpu->fd, parts[LAPIC].set, good[LAPIC]);
}

static void on_alarm(int sig)
{
}

static void setup(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct kvm_pit_config pit = { };
	struct vm *vm;

	require_cap(KVM_CAP_SREGS2);
	vm = vm_create_irqchip();
	ioctl_ok(vm->fd, KVM_CREATE_PIT2, &pit);
	vcpu = vcpu_add(vm, 0, works);
	vcpu_expect_sync(vcpu, 0);
	vcpu_expect_sync(vcpu, 0);
	for (int p = 0; p < PARTS; p++)
		TEST_ASSERT(!get(p, good[p]), "reading %s", parts[p].name);
	good_regs = vcpu_regs(vcpu);
	good_memory = malloc(RAM_SIZE);
	memcpy(good_memory, vm_hva(vm, 0), RAM_SIZE);
	sigaction(SIGALRM, &action, NULL);
}

/* Interrupts from outside, and the guest for a moment. */
static void stir(void)
{
	struct itimerval soon = { .it_value.tv_usec = 3000 }, never = { };

	irq_line(vcpu->vm, next_random() % 24, 1);
	irq_line(vcpu->vm, next_random() % 24, 0);
	send_msi(vcpu->vm, 0xfee00000 | (next_random() & 0xff00c), next_random() & 0xc7ff);
	for (int i = 0; i < 3; i++) {
		setitimer(ITIMER_REAL, &soon, NULL);
		if (vcpu_run(vcpu))
			TEST_ASSERT(errno == EINTR || errno == EAGAIN || errno == EFAULT ||
				    errno == EINVAL, "KVM_RUN");
		setitimer(ITIMER_REAL, &never, NULL);
	}
}

static void spoil(enum part p, uint8_t *bytes)
{
	size_t size = parts[p].size, first = 0;
	unsigned int n;

	/* Which controller it is, is not its state. */
	if (p >= PIC_MASTER && p <= IOAPIC)
		first = offsetof(struct kvm_irqchip, chip);
	switch (next_random() % 4) {
	case 0:		/* any bytes */
		for (size_t i = first; i < size; i++)
			bytes[i] = next_random();
		break;
	case 1:		/* some bytes */
		for (n = next_random() % 16 + 1; n; n--)
			bytes[first + next_random() % (size - first)] = next_random();
		break;
	case 2:		/* some bits */
		for (n = next_random() % 8 + 1; n; n--)
			bytes[first + next_random() % (size - first)] ^= 1 << next_random() % 8;
		break;
	default:	/* ones from somewhere on */
		n = next_random() % (size - first);
		memset(bytes + first + n, 0xff, size - first - n);
	}
}

/* What user space may write may read back otherwise, but what was refused has changed nothing. */
static void one_round(enum part p)
{
	static uint8_t bytes[MAX_SIZE] __attribute__((aligned(8)));
	static uint8_t before[MAX_SIZE] __attribute__((aligned(8)));
	static uint8_t after[MAX_SIZE] __attribute__((aligned(8)));

	memcpy(bytes, good[p], parts[p].size);
	spoil(p, bytes);
	TEST_ASSERT(!get(p, before), "reading %s", parts[p].name);
	if (ioctl(fd_of(p), parts[p].set, bytes)) {
		TEST_ASSERT_EQ(errno, EINVAL);
		TEST_ASSERT(!get(p, after), "reading %s", parts[p].name);
		/* Timers go on. */
		if (p != LAPIC && p != PIT)
			TEST_ASSERT(!memcmp(before, after, parts[p].size), "%s changed",
				    parts[p].name);
		refused++;
	} else {
		taken++;
	}
	stir();
}

static void sweep(enum part p, unsigned int rounds)
{
	setup();
	for (unsigned int i = 0; i < rounds; i++) {
		one_round(p);
		set_right();
		vcpu_expect_sync(vcpu, 0);
	}
	diag("%s: %u taken, %u refused", parts[p].name, taken, refused);
}

TEST_TIMEOUT(lapic, 60)
{
	sweep(LAPIC, 100);
}

TEST_TIMEOUT(pics, 90)
{
	sweep(PIC_MASTER, 50);
	vm_destroy(vcpu->vm);
	sweep(PIC_SLAVE, 50);
}

TEST_TIMEOUT(ioapic, 60)
{
	sweep(IOAPIC, 100);
}

TEST_TIMEOUT(pit, 60)
{
	sweep(PIT, 100);
}

TEST_TIMEOUT(xsave, 60)
{
	sweep(XSAVE, 100);
}

TEST_TIMEOUT(sregs2, 60)
{
	sweep(SREGS, 100);
}

TEST_TIMEOUT(events, 60)
{
	sweep(EVENTS, 100);
}

/* One after the other, without setting anything right between. */
TEST_TIMEOUT(all_of_them, 90)
{
	setup();
	for (unsigned int i = 0; i < 30; i++) {
		for (int p = 0; p < PARTS; p++)
			one_round(p);
		set_right();
		vcpu_expect_sync(vcpu, 0);
	}
}
