// SPDX-License-Identifier: GPL-2.0-only
/* The TAP reporter: runs each test case in a child and watches over it. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "vm.h"

#define DEFAULT_TIMEOUT	30
#define REASON_SIZE	200

enum { EXIT_PASS = 0, EXIT_FAIL = 1, EXIT_SKIP = 4 };

static struct test_case *cases, **cases_end = &cases;
static char *skip_reason;		/* shared with the children */

void test_register(struct test_case *tc)
{
	*cases_end = tc;
	cases_end = &tc->next;
}

/* One write a line, so that threads and processes do not mix theirs. */
static void put_line(const char *prefix, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s", prefix);

	n += vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	for (int i = 0; i < n; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[n] = '\n';
	if (write(STDOUT_FILENO, line, n + 1) < 0)
		_exit(EXIT_FAIL);
}

__attribute__((format(printf, 1, 2)))
static void tap(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_line("", fmt, ap);
	va_end(ap);
}

void diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_line("# ", fmt, ap);
	va_end(ap);
}

void test_fail(const char *file, int line, int err, const char *what, const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (err)
		diag("%s:%d: %s: %s (errno %d: %s)", file, line, what, msg, err, strerror(err));
	else
		diag("%s:%d: %s: %s", file, line, what, msg);
	_exit(EXIT_FAIL);
}

void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(skip_reason, REASON_SIZE, fmt, ap);
	va_end(ap);
	_exit(EXIT_SKIP);
}

void pass(void)
{
	_exit(EXIT_PASS);
}

bool put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

int spawn(void)
{
	int pid = fork();

	TEST_ASSERT(pid >= 0, "fork");
	return pid;
}

void reap(int pid)
{
	int status;

	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP)
		_exit(EXIT_SKIP);
	TEST_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PASS,
		    "child process: wait status %#x", status);
}

/* Wait for @pid at most @ms; false when it has not ended. */
static bool wait_exit(int pid, int ms, int *status)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	if (fd < 0) {
		tap("Bail out! pidfd_open: %s", strerror(errno));
		exit(EXIT_FAIL);
	}
	do {
		n = poll(&p, 1, ms);
	} while (n < 0 && errno == EINTR);
	close(fd);
	return n > 0 && waitpid(pid, status, 0) == pid;
}

static unsigned int time_limit(const struct test_case *tc)
{
	const char *scale = getenv("OKVM_TIMEOUT_SCALE");
	unsigned int t = tc->timeout ?: DEFAULT_TIMEOUT;

	return scale && atoi(scale) > 0 ? t * atoi(scale) : t;
}

/* Returns false if the case failed. */
static bool run_case(const struct test_case *tc, unsigned int n)
{
	unsigned int limit = time_limit(tc);
	int status = 0, pid;
	bool ended;

	skip_reason[0] = 0;
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		tc->fn();
		_exit(EXIT_PASS);
	}
	if (pid < 0) {
		tap("not ok %u %s", n, tc->name);
		diag("fork: %s", strerror(errno));
		return false;
	}
	setpgid(pid, pid);
	ended = wait_exit(pid, limit * 1000, &status);
	kill(-pid, SIGKILL);		/* a hung case, and what any case left behind */
	if (!ended) {
		diag("no end after %u s", limit);
		if (!wait_exit(pid, 5000, &status))
			diag("process %d does not even die", pid);
	}
	if (ended && WIFSIGNALED(status))
		diag("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (ended && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		tap("ok %u %s # SKIP %s", n, tc->name, skip_reason);
		return true;
	}
	if (ended && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PASS) {
		tap("ok %u %s", n, tc->name);
		return true;
	}
	tap("not ok %u %s", n, tc->name);
	return false;
}

/*
 * KVM switches virtualization on and off on every CPU with the first and the last
 * VM. A host of QEMU's with two CPUs sooner or later hangs over that (seen with 7.2
 * and Linux 6.1), so there a VM of the reporter's own keeps it on.
 */
static void keep_virtualization_on(void)
{
	int fd;

	if (kvm_is_okvm() || !host_is_tcg())
		return;
	fd = open(kvm_path(), O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, KVM_CREATE_VM, 0) < 0)
		diag("no VM to keep virtualization on: %s", strerror(errno));
}

static bool wanted(const struct test_case *tc, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, tc->name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	unsigned int n = 0, failed = 0, planned = 0;
	struct test_case *tc;

	if (argc > 1 && !strcmp(argv[1], "-l")) {
		for (tc = cases; tc; tc = tc->next)
			puts(tc->name);
		return 0;
	}
	skip_reason = mmap(NULL, REASON_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (skip_reason == MAP_FAILED) {
		tap("Bail out! mmap: %s", strerror(errno));
		return EXIT_FAIL;
	}
	for (tc = cases; tc; tc = tc->next)
		planned += wanted(tc, argv + 1);
	tap("TAP version 13");
	if (access(kvm_path(), R_OK | W_OK)) {
		tap("1..0 # SKIP %s: %s", kvm_path(), strerror(errno));
		return EXIT_SKIP;
	}
	tap("1..%u", planned);
	diag("device %s", kvm_path());
	keep_virtualization_on();
	for (tc = cases; tc; tc = tc->next)
		if (wanted(tc, argv + 1))
			failed += !run_case(tc, ++n);
	if (failed)
		diag("%u of %u failed", failed, planned);
	return failed || !planned ? EXIT_FAIL : EXIT_PASS;
}
