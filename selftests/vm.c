// SPDX-License-Identifier: GPL-2.0-only
/* The VM fd: vCPUs made and refused, their mapping, other processes, TSS and identity map. */

#include "selftest.h"

#include <sys/socket.h>

TEST(create_vcpu_same_id_twice)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 3);

	ioctl_fails(v->vm->fd, KVM_CREATE_VCPU, 3, EEXIST);
	ioctl_ok(v->vm->fd, KVM_CREATE_VCPU, 2);
	vcpu_regs(v);
}

TEST(create_vcpu_bad_id)
{
	struct vm *vm = vm_create_empty();
	int ids = kvm_cap(KVM_CAP_MAX_VCPU_ID) ?: kvm_cap(KVM_CAP_MAX_VCPUS);

	ioctl_fails(vm->fd, KVM_CREATE_VCPU, (unsigned long)ids, EINVAL);
	ioctl_fails(vm->fd, KVM_CREATE_VCPU, 0xfffffffful, EINVAL);
	ioctl_ok(vm->fd, KVM_CREATE_VCPU, (unsigned long)ids - 1);
}

TEST(create_vcpu_cloexec)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);

	TEST_ASSERT(fcntl(v->fd, F_GETFD) & FD_CLOEXEC, "a vCPU's fd survives exec");
}

TEST(create_64_vcpus)
{
	struct vm *vm = vm_create_empty();

	TEST_REQUIRE(kvm_cap(KVM_CAP_MAX_VCPUS) >= 64, "fewer than 64 vCPUs");
	for (int i = 0; i < 64; i++)
		vcpu_add_raw(vm, i);
	for (int i = 0; i < 64; i++)
		vcpu_regs(vm->vcpus[i]);
	vm_destroy(vm);
}

TEST(create_one_vcpu_too_many)
{
	struct vm *vm = vm_create_empty();
	int max = kvm_cap(KVM_CAP_MAX_VCPUS), ids = kvm_cap(KVM_CAP_MAX_VCPU_ID);

	TEST_REQUIRE(max <= 512, "%d vCPUs take too long", max);
	TEST_REQUIRE(ids > max, "no id is left beyond the last vCPU");
	for (int i = 0; i < max; i++)
		ioctl_ok(vm->fd, KVM_CREATE_VCPU, i);
	ioctl_fails(vm->fd, KVM_CREATE_VCPU, max, EINVAL);
}

static void *make_vcpus(void *arg)
{
	struct vm *vm = arg;
	long made = 0;

	for (int i = 0; i < 24; i++) {
		int fd = ioctl(vm->fd, KVM_CREATE_VCPU, i);

		TEST_ASSERT(fd >= 0 || errno == EEXIST, "KVM_CREATE_VCPU %d", i);
		made += fd >= 0;
	}
	return (void *)made;
}

/* Two threads that want the same ids: each id goes to one of them. */
TEST(create_vcpu_race)
{
	struct vm *vm = vm_create_empty();
	pthread_t t[2];
	long total = 0;
	void *n;

	for (int i = 0; i < 2; i++)
		TEST_ASSERT(!pthread_create(&t[i], NULL, make_vcpus, vm), "pthread_create");
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &n);
		total += (long)n;
	}
	TEST_ASSERT_EQ(total, 24);
}

TEST(vcpu_mapping_bounds)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);
	void *p;
	int status, pid;

	/* Past its end: the mapping or the access fails. */
	p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, v->fd, vm->run_size);
	if (p == MAP_FAILED)
		return;
	pid = fork();
	if (!pid) {
		*(volatile char *)p;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
		    "a page past the vCPU's mapping is readable");
}

TEST(vcpu_mapping_is_one)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);
	struct kvm_run *again = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				     v->fd, 0);

	TEST_ASSERT(again != MAP_FAILED, "mmap");
	v->run->immediate_exit = 1;
	TEST_ASSERT_EQ(again->immediate_exit, 1);
	munmap(v->run, vm->run_size);
	TEST_ASSERT_EQ(again->immediate_exit, 1);
}

static void counts(void)
{
	for (uint64_t i = 0;; i++)
		GUEST_SYNC(i);
}

TEST(other_process_gets_eio)
{
	struct vcpu *v = guest_of(counts);
	struct kvm_regs r;
	int pid;

	vcpu_expect_sync(v, 0);
	pid = spawn();
	if (!pid) {
		ioctl_fails(v->fd, KVM_RUN, 0, EIO);
		ioctl_fails(v->fd, KVM_GET_REGS, &r, EIO);
		ioctl_fails(v->vm->fd, KVM_CREATE_VCPU, 1, EIO);
		TEST_ASSERT(vm_set_slot(v->vm, 5, 0x40000000, PAGE_SIZE, 0, vm_hva(v->vm, 0)) &&
			    errno == EIO, "KVM_SET_USER_MEMORY_REGION");
		/* The system fd knows no process. */
		ioctl_ok(v->vm->kvm, KVM_GET_API_VERSION, 0);
		close(v->fd);
		close(v->vm->fd);
		pass();
	}
	reap(pid);
	vcpu_expect_sync(v, 1);
}

static void send_fd(int sock, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = "", byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof(room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	TEST_ASSERT(sendmsg(sock, &m, 0) == 1, "sendmsg");
}

static int receive_fd(int sock)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof(room),
	};
	int fd;

	TEST_ASSERT(recvmsg(sock, &m, 0) == 1 && CMSG_FIRSTHDR(&m), "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* The VM outlives the process that made it, and serves nobody. */
TEST(fds_of_a_dead_process)
{
	struct kvm_regs r;
	int s[2], vm, vcpu, pid;

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM, 0, s), "socketpair");
	pid = spawn();
	if (!pid) {
		struct vcpu *v = guest_of(counts);

		vcpu_expect_sync(v, 0);
		send_fd(s[0], v->vm->fd);
		send_fd(s[0], v->fd);
		pass();
	}
	vm = receive_fd(s[1]);
	vcpu = receive_fd(s[1]);
	reap(pid);
	ioctl_fails(vcpu, KVM_RUN, 0, EIO);
	ioctl_fails(vcpu, KVM_GET_REGS, &r, EIO);
	ioctl_fails(vm, KVM_CREATE_VCPU, 1, EIO);
}

TEST(set_tss_addr)
{
	struct vm *vm;

	require_cap(KVM_CAP_SET_TSS_ADDR);
	vm = vm_create_empty();
	ioctl_ok(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
}

/* On Intel the three pages must lie below 4 GiB; AMD takes and ignores the call. */
TEST(set_tss_addr_out_of_reach)
{
	struct vm *vm;
	int r;

	require_cap(KVM_CAP_SET_TSS_ADDR);
	vm = vm_create_empty();
	r = ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xffffffff);
	TEST_ASSERT(r == 0 || errno == EINVAL, "KVM_SET_TSS_ADDR");
}

TEST(set_identity_map_addr)
{
	uint64_t addr = 0xfffbc000, zero = 0;
	struct vm *vm;

	require_cap(KVM_CAP_SET_IDENTITY_MAP_ADDR);
	vm = vm_create_empty();
	ioctl_fails(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, NULL, EFAULT);
	ioctl_ok(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr);
	ioctl_ok(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &zero);
	vcpu_add_raw(vm, 0);
	ioctl_fails(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr, EINVAL);
}

/* Memory, but none at the reset vector. */
TEST(run_at_an_empty_reset_vector)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *v = vcpu_add_raw(vm, 0);

	vm_add_mem(vm, 0, 0, SZ_2M, 0);
	TEST_ASSERT(!vcpu_run(v), "KVM_RUN");
	TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	TEST_ASSERT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
}

/* No memory at all: an error or an exit, but an end. */
TEST(run_without_memory)
{
	struct vcpu *v = vcpu_add_raw(vm_create_empty(), 0);

	if (!vcpu_run(v))
		TEST_ASSERT(v->run->exit_reason != KVM_EXIT_IO, "a guest ran in no memory");
}

static int limit_ids(struct vm *vm, uint64_t max)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { max } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

TEST(limit_of_vcpu_ids)
{
	struct vm *vm = vm_create_empty();
	int max = kvm_cap(KVM_CAP_MAX_VCPU_ID);

	TEST_ASSERT(limit_ids(vm, max + 1) == -1 && errno == EINVAL, "more than there can be");
	TEST_ASSERT(!limit_ids(vm, 3), "a limit of 3");
	TEST_ASSERT(!limit_ids(vm, 3), "the same again");
	TEST_ASSERT(limit_ids(vm, 4) == -1 && errno == EINVAL, "another limit");
	ioctl_fails(vm->fd, KVM_CREATE_VCPU, 3, EINVAL);
	TEST_ASSERT(ioctl(vm->fd, KVM_CREATE_VCPU, 2) >= 0, "a vCPU below the limit");
}
