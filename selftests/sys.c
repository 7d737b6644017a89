// SPDX-License-Identifier: GPL-2.0-only
/* The system fd: what a VMM asks before it has a VM. */

#include "selftest.h"

#define NO_SUCH_CAP	0x7ffffff

TEST(api_version)
{
	int fd = kvm_open();

	TEST_ASSERT_EQ(ioctl_ok(fd, KVM_GET_API_VERSION, 0), 12);
	ioctl_fails(fd, KVM_GET_API_VERSION, 1, EINVAL);
}

TEST(check_extension_values)
{
	static const struct { int cap, value; } exact[] = {
		{ KVM_CAP_USER_MEMORY, 1 },
		{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
		{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
		{ KVM_CAP_SET_TSS_ADDR, 1 },
		{ KVM_CAP_EXT_CPUID, 1 },
		{ KVM_CAP_IMMEDIATE_EXIT, 1 },
		{ KVM_CAP_READONLY_MEM, 1 },
		{ KVM_CAP_SYNC_MMU, 1 },
		{ KVM_CAP_GET_TSC_KHZ, 1 },
		{ KVM_CAP_COALESCED_MMIO, 2 },	/* the ring's page in the vCPU mapping */
	};
	int fd = kvm_open();

	for (unsigned int i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
		int v = ioctl_ok(fd, KVM_CHECK_EXTENSION, exact[i].cap);

		TEST_ASSERT(v == exact[i].value, "capability %d is %d, not %d", exact[i].cap, v,
			    exact[i].value);
	}
}

TEST(check_extension_unknown_is_zero)
{
	static const long caps[] = { NO_SUCH_CAP, -1, 0x7fffffff, 0x80000000, 1l << 40, 5, 17 };
	struct vm *vm = vm_create_empty();

	require_cap(KVM_CAP_CHECK_EXTENSION_VM);
	for (unsigned int i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		TEST_ASSERT_EQ(ioctl_ok(vm->kvm, KVM_CHECK_EXTENSION, caps[i]), 0);
		TEST_ASSERT_EQ(ioctl_ok(vm->fd, KVM_CHECK_EXTENSION, caps[i]), 0);
	}
}

TEST(check_extension_same_on_vm_fd)
{
	struct vm *vm = vm_create_empty();
	static const int caps[] = {
		KVM_CAP_USER_MEMORY, KVM_CAP_IRQCHIP, KVM_CAP_NR_MEMSLOTS, KVM_CAP_MAX_VCPUS,
		KVM_CAP_COALESCED_MMIO, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_SYNC_REGS,
	};

	require_cap(KVM_CAP_CHECK_EXTENSION_VM);
	for (unsigned int i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		TEST_ASSERT_EQ(ioctl_ok(vm->fd, KVM_CHECK_EXTENSION, caps[i]),
			       ioctl_ok(vm->kvm, KVM_CHECK_EXTENSION, caps[i]));
}

TEST(vcpu_limits_make_sense)
{
	int soft = kvm_cap(KVM_CAP_NR_VCPUS), max = kvm_cap(KVM_CAP_MAX_VCPUS);
	int ids = kvm_cap(KVM_CAP_MAX_VCPU_ID);

	TEST_ASSERT(soft >= 1 && soft <= max, "NR_VCPUS %d, MAX_VCPUS %d", soft, max);
	TEST_ASSERT(!ids || ids >= max, "MAX_VCPU_ID %d below MAX_VCPUS %d", ids, max);
	TEST_ASSERT(kvm_cap(KVM_CAP_NR_MEMSLOTS) >= 32, "fewer slots than any VMM asks for");
}

TEST(vcpu_mmap_size)
{
	int fd = kvm_open();
	int size = ioctl_ok(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int ring = kvm_cap(KVM_CAP_COALESCED_MMIO);

	TEST_ASSERT(size >= (int)sizeof(struct kvm_run), "%d bytes do not hold kvm_run", size);
	TEST_ASSERT(size % PAGE_SIZE == 0, "%d bytes are no whole pages", size);
	TEST_ASSERT(size >= (int)((ring + 1) * PAGE_SIZE), "no room for the ring at page %d", ring);
	ioctl_fails(fd, KVM_GET_VCPU_MMAP_SIZE, 1, EINVAL);
}

TEST(create_vm_type)
{
	int fd = kvm_open();
	int vm = ioctl_ok(fd, KVM_CREATE_VM, 0);

	TEST_ASSERT(fcntl(vm, F_GETFD) & FD_CLOEXEC, "a VM's fd survives exec");
	ioctl_fails(fd, KVM_CREATE_VM, ~0ul, EINVAL);
	ioctl_fails(fd, KVM_CREATE_VM, 0x1000ul, EINVAL);
	ioctl_ok(vm, KVM_CHECK_EXTENSION, 0);
}

TEST(supported_cpuid)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e;

	TEST_ASSERT(c->nent > 4 && c->nent < 256, "%u leaves", c->nent);
	e = cpuid_find(c, 0, 0);
	TEST_ASSERT(e && e->eax >= 1, "leaf 0");
	e = cpuid_find(c, 0x80000001, 0);
	TEST_ASSERT(e && e->edx & 1 << 29, "no long mode in leaf 0x80000001");
	e = cpuid_find(c, 0x40000000, 0);
	TEST_ASSERT(e, "no hypervisor leaf");
	TEST_ASSERT(e->ebx == 0x4b4d564b && e->ecx == 0x564b4d56 && e->edx == 0x4d,
		    "signature %#x %#x %#x is not KVM's", e->ebx, e->ecx, e->edx);
}

/* Too few entries: E2BIG and nothing copied. */
TEST(supported_cpuid_too_few)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[2];
	} c;
	int fd = kvm_open();

	for (uint32_t n = 0; n < 2; n++) {
		memset(&c, 0x5a, sizeof(c));
		c.head.nent = n;
		ioctl_fails(fd, KVM_GET_SUPPORTED_CPUID, &c, E2BIG);
		TEST_ASSERT_EQ(c.e[0].function, 0x5a5a5a5a);
		TEST_ASSERT_EQ(c.e[1].function, 0x5a5a5a5a);
	}
}

TEST(supported_cpuid_exact_room)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	uint32_t n = c->nent;
	int fd = kvm_open();

	c->nent = n;
	ioctl_ok(fd, KVM_GET_SUPPORTED_CPUID, c);
	TEST_ASSERT_EQ(c->nent, n);
	c->nent = n - 1;
	ioctl_fails(fd, KVM_GET_SUPPORTED_CPUID, c, E2BIG);
	/* More room than there is is told so by nent, a wild count included. */
	c->nent = 256;
	ioctl_ok(fd, KVM_GET_SUPPORTED_CPUID, c);
	TEST_ASSERT_EQ(c->nent, n);
}

TEST(msr_index_list)
{
	struct kvm_msr_list probe = { .nmsrs = 0 }, *l;
	int fd = kvm_open();
	bool tsc = false;
	uint32_t n;

	ioctl_fails(fd, KVM_GET_MSR_INDEX_LIST, &probe, E2BIG);
	n = probe.nmsrs;
	TEST_ASSERT(n > 8 && n < 4096, "%u MSRs", n);
	l = calloc(1, sizeof(*l) + (n + 1) * sizeof(l->indices[0]));
	l->nmsrs = n - 1;
	ioctl_fails(fd, KVM_GET_MSR_INDEX_LIST, l, E2BIG);
	TEST_ASSERT_EQ(l->nmsrs, n);
	TEST_ASSERT_EQ(l->indices[0], 0);
	l->nmsrs = n + 1;
	l->indices[n] = 0x12345678;
	ioctl_ok(fd, KVM_GET_MSR_INDEX_LIST, l);
	TEST_ASSERT_EQ(l->nmsrs, n);
	TEST_ASSERT_EQ(l->indices[n], 0x12345678);
	for (uint32_t i = 0; i < n; i++)
		tsc |= l->indices[i] == MSR_TSC;
	TEST_ASSERT(tsc, "the TSC is not among them");
}

/* KVM itself says EINVAL for some where its document, and ours, says ENOTTY. */
static void expect_unknown(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);

	TEST_ASSERT(r == -1, "ioctl %#lx returned %d", cmd, r);
	TEST_ASSERT(errno == ENOTTY || (errno == EINVAL && !kvm_is_okvm()),
		    "ioctl %#lx should fail with ENOTTY", cmd);
}

TEST(unknown_ioctls)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);
	int fds[] = { v->vm->kvm, v->vm->fd, v->fd };
	char arg[4096] = "";

	for (int i = 0; i < 3; i++) {
		/* KVM's letter with a number of nobody's, and other people's ioctls. */
		expect_unknown(fds[i], _IO(KVMIO, 0xff), arg);
		expect_unknown(fds[i], _IOW(KVMIO, 0xfe, struct kvm_regs), arg);
		expect_unknown(fds[i], 0x5401, arg);
		expect_unknown(fds[i], 0, arg);
	}
}

/* A known number with another size or direction is another, unknown ioctl. */
TEST(ioctl_of_wrong_size)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);
	char arg[4096] = "";

	expect_unknown(v->fd, _IOW(KVMIO, 0x82, int), arg);
	expect_unknown(v->fd, _IOR(KVMIO, 0x82, struct kvm_regs), arg);
	expect_unknown(v->vm->fd, _IOW(KVMIO, 0x46, int), arg);
}

TEST(ioctls_of_another_fd)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);
	struct kvm_regs r;

	expect_unknown(v->vm->kvm, KVM_CREATE_VCPU, (void *)1);
	expect_unknown(v->vm->kvm, KVM_RUN, NULL);
	expect_unknown(v->vm->fd, KVM_GET_API_VERSION, NULL);
	expect_unknown(v->vm->fd, KVM_GET_REGS, &r);
	expect_unknown(v->fd, KVM_CREATE_VCPU, (void *)1);
	expect_unknown(v->fd, KVM_CREATE_VM, NULL);
}

TEST(bad_pointers)
{
	void *bad = (void *)0x10, *kernel = (void *)0xffff800000000000;
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);
	int fd = v->vm->kvm;

	for (int i = 0; i < 2; i++, bad = kernel) {
		ioctl_fails(fd, KVM_GET_SUPPORTED_CPUID, bad, EFAULT);
		ioctl_fails(fd, KVM_GET_MSR_INDEX_LIST, bad, EFAULT);
		ioctl_fails(v->vm->fd, KVM_SET_USER_MEMORY_REGION, bad, EFAULT);
		ioctl_fails(v->fd, KVM_GET_REGS, bad, EFAULT);
		ioctl_fails(v->fd, KVM_SET_REGS, bad, EFAULT);
		ioctl_fails(v->fd, KVM_GET_SREGS, bad, EFAULT);
		ioctl_fails(v->fd, KVM_SET_SREGS, bad, EFAULT);
		ioctl_fails(v->fd, KVM_GET_FPU, bad, EFAULT);
		ioctl_fails(v->fd, KVM_SET_FPU, bad, EFAULT);
		ioctl_fails(v->fd, KVM_GET_MSRS, bad, EFAULT);
		ioctl_fails(v->fd, KVM_SET_MSRS, bad, EFAULT);
		ioctl_fails(v->fd, KVM_SET_CPUID2, bad, EFAULT);
		ioctl_fails(v->fd, KVM_SET_SIGNAL_MASK, bad, EFAULT);
		ioctl_fails(v->fd, KVM_INTERRUPT, bad, EFAULT);
	}
}

/* An array whose head is readable and whose tail is not. */
TEST(array_half_out_of_reach)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);
	char *p = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_cpuid2 *c = (void *)(p + PAGE_SIZE - sizeof(*c));
	struct kvm_msr_list *l = (void *)(p + PAGE_SIZE - sizeof(*l));
	struct kvm_msrs *m = (void *)(p + PAGE_SIZE - sizeof(*m));

	munmap(p + PAGE_SIZE, PAGE_SIZE);
	c->nent = 200;
	ioctl_fails(v->vm->kvm, KVM_GET_SUPPORTED_CPUID, c, EFAULT);
	c->nent = 8;
	ioctl_fails(v->fd, KVM_SET_CPUID2, c, EFAULT);
	l->nmsrs = 4096;
	ioctl_fails(v->vm->kvm, KVM_GET_MSR_INDEX_LIST, l, EFAULT);
	m->nmsrs = 4;
	ioctl_fails(v->fd, KVM_SET_MSRS, m, EFAULT);
	ioctl_fails(v->fd, KVM_GET_MSRS, m, EFAULT);
}
