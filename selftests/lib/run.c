// SPDX-License-Identifier: GPL-2.0-only
/* Running vCPUs: exits, calls from the guest, threads. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "vm.h"

#define KICK_SIGNAL	SIGUSR1

static const char *exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN", [KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO", [KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG", [KVM_EXIT_HLT] = "HLT", [KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN", [KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY", [KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_SET_TPR] = "SET_TPR", [KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
	};

	return reason < sizeof(names) / sizeof(names[0]) && names[reason] ? names[reason] : "?";
}

static void describe_data(struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		diag("  io %s port %#x size %u count %u", run->io.direction ? "out" : "in",
		     run->io.port, run->io.size, run->io.count);
		break;
	case KVM_EXIT_MMIO:
		diag("  mmio %s %#llx len %u data %#llx", run->mmio.is_write ? "write" : "read",
		     run->mmio.phys_addr, run->mmio.len, *(unsigned long long *)run->mmio.data);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		diag("  hardware reason %#llx", run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		diag("  suberror %u, %u data: %#llx %#llx %#llx", run->internal.suberror,
		     run->internal.ndata, run->internal.data[0], run->internal.data[1],
		     run->internal.data[2]);
		break;
	}
}

void vcpu_describe(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sregs s;
	struct kvm_regs r;

	diag("vCPU %u: exit %u (%s)", vcpu->id, run->exit_reason, exit_name(run->exit_reason));
	describe_data(run);
	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) || ioctl(vcpu->fd, KVM_GET_SREGS, &s))
		return;
	diag("  rip %#llx rsp %#llx rflags %#llx rax %#llx rbx %#llx rcx %#llx rdx %#llx",
	     r.rip, r.rsp, r.rflags, r.rax, r.rbx, r.rcx, r.rdx);
	diag("  cs %#x base %#llx cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx",
	     s.cs.selector, s.cs.base, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
}

int vcpu_run(struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, NULL);
}

static bool is_ucall(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	return run->exit_reason == KVM_EXIT_IO && run->io.port == UCALL_PORT &&
	       run->io.direction == KVM_EXIT_IO_OUT && run->io.size == 4;
}

/* Guest text and file names are constants of the image, so the host has them too. */
static void guest_failed(struct vcpu *vcpu)
{
	struct ucall *uc = &vcpu->uc;

	if (uc->cmd == UCALL_TRAP) {
		diag("guest trap %lu error %#lx rip %#lx cr2 %#lx rsp %#lx rflags %#lx",
		     uc->args[0], uc->args[1], uc->args[2], uc->args[3], uc->args[4], uc->args[5]);
		test_fail("guest", 0, 0, "vCPU", "%u took a trap that no handler expects",
			  vcpu->id);
	}
	test_fail(uc->file, uc->line, 0, uc->text, "in the guest, vCPU %u: %#lx, %#lx", vcpu->id,
		  uc->args[0], uc->args[1]);
}

static void guest_prints(const struct ucall *uc)
{
	char line[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(line, sizeof(line), uc->text, uc->args[0], uc->args[1], uc->args[2],
		 uc->args[3], uc->args[4], uc->args[5]);
#pragma GCC diagnostic pop
	diag("%s", line);
}

/* After an exit: UCALL_PRINT is done with, the rest is for the caller. */
static enum ucall_cmd fetch_ucall(struct vcpu *vcpu)
{
	uint32_t addr;

	vcpu->uc.cmd = UCALL_NONE;
	if (!is_ucall(vcpu))
		return UCALL_NONE;
	memcpy(&addr, pio_data(vcpu), sizeof(addr));
	vcpu->uc = *(struct ucall *)vm_hva(vcpu->vm, addr);
	if (vcpu->uc.cmd == UCALL_ABORT || vcpu->uc.cmd == UCALL_TRAP)
		guest_failed(vcpu);
	if (vcpu->uc.cmd == UCALL_PRINT)
		guest_prints(&vcpu->uc);
	return vcpu->uc.cmd;
}

enum ucall_cmd vcpu_next(struct vcpu *vcpu)
{
	enum ucall_cmd cmd;

	do {
		if (vcpu_run(vcpu)) {
			int err = errno;

			vcpu_describe(vcpu);
			test_fail(__FILE__, __LINE__, err, "KVM_RUN", "vCPU %u", vcpu->id);
		}
		cmd = fetch_ucall(vcpu);
	} while (cmd == UCALL_PRINT);
	return cmd;
}

void vcpu_expect_exit_at(struct vcpu *vcpu, uint32_t reason, const char *name, const char *file,
			 int line)
{
	enum ucall_cmd cmd = vcpu_next(vcpu);

	if (vcpu->run->exit_reason == reason && (cmd == UCALL_NONE || reason != KVM_EXIT_IO))
		return;
	vcpu_describe(vcpu);
	test_fail(file, line, 0, name, "the guest left by another exit (ucall %u)", cmd);
}

uint64_t vcpu_expect_sync_at(struct vcpu *vcpu, uint64_t n, const char *file, int line)
{
	enum ucall_cmd cmd = vcpu_next(vcpu);

	if (cmd != UCALL_SYNC) {
		vcpu_describe(vcpu);
		test_fail(file, line, 0, "GUEST_SYNC", "not reached: %s",
			  cmd == UCALL_DONE ? "the guest is done" : "another exit");
	}
	if (vcpu->uc.args[0] != n)
		test_fail(file, line, 0, "GUEST_SYNC", "the guest is at %lu (line %u), not at %lu",
			  vcpu->uc.args[0], vcpu->uc.line, n);
	return vcpu->uc.args[1];
}

void vcpu_expect_done_at(struct vcpu *vcpu, const char *file, int line)
{
	enum ucall_cmd cmd = vcpu_next(vcpu);

	if (cmd == UCALL_DONE)
		return;
	vcpu_describe(vcpu);
	test_fail(file, line, 0, "GUEST_DONE", "not reached: %s",
		  cmd == UCALL_SYNC ? "GUEST_SYNC" : "another exit");
}

static void ignore_signal(int sig)
{
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	enum ucall_cmd cmd;

	do {
		if (vcpu_run(vcpu) == 0) {
			cmd = fetch_ucall(vcpu);
			if (cmd != UCALL_NONE)
				continue;
			vcpu_describe(vcpu);
			test_fail(__FILE__, __LINE__, 0, "vCPU thread", "unexpected exit");
		}
		/* A vCPU that waits for its SIPI says EAGAIN when it is woken for nothing. */
		TEST_ASSERT(errno == EINTR || errno == EAGAIN, "KVM_RUN, vCPU %u", vcpu->id);
		cmd = UCALL_NONE;
	} while (cmd != UCALL_DONE && !__atomic_load_n(&vcpu->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

void vcpu_start(struct vcpu *vcpu)
{
	struct sigaction sa = { .sa_handler = ignore_signal };

	sigaction(KICK_SIGNAL, &sa, NULL);
	vcpu->stop = false;
	TEST_ASSERT(!pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu), "pthread_create");
}

void vcpu_join(struct vcpu *vcpu)
{
	TEST_ASSERT(!pthread_join(vcpu->thread, NULL), "pthread_join");
}

void vcpu_stop(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->stop, true, __ATOMIC_RELEASE);
	/* The flag catches a thread that is just about to enter, the signal one inside. */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
	vcpu_join(vcpu);
	vcpu->run->immediate_exit = 0;
}
