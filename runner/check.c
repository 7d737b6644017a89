// SPDX-License-Identifier: GPL-2.0-only
/* okvm check: can this machine run guests, and if not, what is missing. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "command.h"
#include "report.h"

enum verdict { GOOD, INFO, BAD };

/* What /proc/cpuinfo says of the first CPU. */
struct cpu {
	char vendor[16];
	bool svm, vmx, npt, ept, hypervisor;
};

static void line(enum verdict verdict, const char *subject, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void line(enum verdict verdict, const char *subject, const char *fmt, ...)
{
	static const char *const marks[] = { "ok", "--", "NO" };
	va_list args;

	printf("%-3s %-14s ", marks[verdict], subject);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
		if ((at == words || at[-1] == ' ') && strchr(" \n", at[len]))
			return true;
	return false;
}

static void read_cpu(struct cpu *cpu)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char *text = NULL;
	size_t size = 0;

	memset(cpu, 0, sizeof(*cpu));
	while (file && getline(&text, &size, file) > 1) {	/* an empty line ends a CPU */
		char *value = strchr(text, ':');

		if (!value)
			continue;
		value += 1 + (value[1] == ' ');
		if (!strncmp(text, "vendor_id", 9))
			sscanf(value, "%15s", cpu->vendor);
		/* "flags", and on newer kernels "vmx flags" too */
		if (strncmp(text, "flags", 5) && strncmp(text, "vmx flags", 9))
			continue;
		cpu->svm |= has_word(value, "svm");
		cpu->vmx |= has_word(value, "vmx");
		cpu->npt |= has_word(value, "npt");
		cpu->ept |= has_word(value, "ept");
		cpu->hypervisor |= has_word(value, "hypervisor");
	}
	free(text);
	if (file)
		fclose(file);
}

static void check_cpu(const struct cpu *cpu)
{
	bool amd = !strcmp(cpu->vendor, "AuthenticAMD") || !strcmp(cpu->vendor, "HygonGenuine");
	const char *flag = amd ? "svm" : "vmx", *paging = amd ? "npt" : "ept";

	line(INFO, "CPU", "%s%s", *cpu->vendor ? cpu->vendor : "unknown",
	     cpu->hypervisor ? ", itself virtual" : "");
	if (cpu->svm || cpu->vmx)
		line(GOOD, "virtualization", "%s", cpu->svm ? "svm (AMD-V)" : "vmx (Intel VT-x)");
	else
		line(BAD, "virtualization", "no %s flag: turn %s on in the %s", flag,
		     amd ? "SVM" : "VT-x", cpu->hypervisor ? "outer hypervisor (nested)"
							   : "firmware's set-up");
	if (cpu->npt || cpu->ept)
		line(GOOD, "nested paging", "%s", cpu->npt ? "npt" : "ept");
	else
		line(INFO, "nested paging", "no %s flag: guests would need shadow paging", paging);
}

static bool module_loaded(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return !access(path, F_OK);
}

/* Which module has turned virtualization on, as far as /sys tells. */
static void check_holder(void)
{
	static const char *const holders[] = { "okvm", "kvm_amd", "kvm_intel", "vboxdrv", "vmmon" };
	const char *holder = NULL;

	for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]) && !holder; i++)
		if (module_loaded(holders[i]))
			holder = holders[i];
	if (!holder)
		line(INFO, "hardware", "held by no module");
	else if (!strcmp(holder, "okvm"))
		line(GOOD, "hardware", "held by okvm");
	else
		line(INFO, "hardware", "held by %s: rmmod %s before loading okvm", holder, holder);
	if (module_loaded("okvm"))
		line(GOOD, "module", "okvm is loaded");
	else
		line(INFO, "module", "okvm is not loaded: insmod okvm.ko");
}

static bool probe(const char *path, int fd)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0), vm;

	if (version != KVM_API_VERSION) {
		line(BAD, path, "API version %d, not %d", version, KVM_API_VERSION);
		return false;
	}
	line(GOOD, path, "API version %d", version);
	do {
		vm = ioctl(fd, KVM_CREATE_VM, 0);
	} while (vm < 0 && errno == EINTR);
	if (vm < 0) {
		line(BAD, path, "cannot make a VM: %s", strerror(errno));
		return false;
	}
	line(GOOD, path, "makes a VM");
	close(vm);
	return true;
}

static bool check_node(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool works;

	if (fd < 0 && errno == ENOENT) {
		line(INFO, path, "does not exist");
		return false;
	}
	if (fd < 0 && errno == EACCES) {
		line(BAD, path, "no permission: run as root, or join the group that ls -l shows");
		return false;
	}
	if (fd < 0) {
		line(BAD, path, "cannot be opened: %s", strerror(errno));
		return false;
	}
	line(GOOD, path, "can be opened");
	works = probe(path, fd);
	close(fd);
	return works;
}

/**
 * command_check - okvm check
 * @argc: number of arguments
 * @argv: arguments, argv[0] is "check"
 *
 * Return: 0 if a guest can run on /dev/okvm or /dev/kvm, else 1.
 */
int command_check(int argc, char *argv[])
{
	bool okvm, kvm;
	struct cpu cpu;

	if (argc > 1) {
		report("check %s: check takes no arguments", argv[1]);
		return STATUS_USAGE;
	}
	read_cpu(&cpu);
	check_cpu(&cpu);
	check_holder();
	okvm = check_node("/dev/okvm");
	kvm = check_node("/dev/kvm");
	if (okvm || kvm)
		printf("This machine can run guests, on %s.\n", okvm ? "/dev/okvm" : "/dev/kvm");
	else if (cpu.svm || cpu.vmx)
		puts("This machine can run guests once a module is loaded: insmod okvm.ko.");
	else
		puts("This machine cannot run guests.");
	return okvm || kvm ? 0 : STATUS_ERROR;
}
