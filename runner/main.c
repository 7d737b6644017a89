// SPDX-License-Identifier: GPL-2.0-only
/* The command line: okvm run, check, version, help. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "report.h"

static const char usage[] =
"okvm runs virtual machines on /dev/okvm or /dev/kvm\n"
"\n"
"  okvm run --kernel FILE [options]   boot a kernel: bzImage or ELF vmlinux\n"
"  okvm run --payload FILE            run a flat test program on a bare machine\n"
"  okvm check                         say whether this machine can run guests\n"
"  okvm version                       print the version\n"
"  okvm help                          print this\n"
"\n"
"Options of run:\n"
"  --initrd FILE           initial RAM disk\n"
"  --append STRING         kernel command line\n"
"  --cpus N                virtual CPUs, 1 by default\n"
"  --mem SIZE              memory, such as 512M (the default) or 2G\n"
"  --disk FILE[,ro]        a file or block device as a disk; may be repeated\n"
"  --net user|tap=IF|none  network: through this host's sockets, by a tap\n"
"                          interface, or none (the default)\n"
"  --rng                   random numbers from this host\n"
"  --console serial|virtio the console that the terminal is connected to\n"
"  --hugepages             take memory from the reserved 2M pages\n"
"  --device PATH           use this node instead of /dev/okvm or /dev/kvm\n"
"\n"
"On a terminal, Ctrl-A x quits and Ctrl-A Ctrl-A sends Ctrl-A. The exit status is 0 when the\n"
"guest powers off, 1 on an error, 2 on a wrong command line, 3 when it reboots, 4 on a triple\n"
"fault, 5 when the hypervisor cannot go on, 6 after Ctrl-A x. See okvm(1).\n";

int command_help(int argc, char *argv[])
{
	(void)argc;
	(void)argv;
	return fputs(usage, stdout) < 0 || fflush(stdout) ? STATUS_ERROR : 0;
}

static int command_version(int argc, char *argv[])
{
	(void)argc;
	(void)argv;
	return puts("okvm " OKVM_VERSION) < 0 || fflush(stdout) ? STATUS_ERROR : 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char *argv[]);
} commands[] = {
	{ "run", command_run },
	{ "check", command_check },
	{ "version", command_version },
	{ "--version", command_version },
	{ "-v", command_version },
	{ "help", command_help },
	{ "--help", command_help },
	{ "-h", command_help },
};

int main(int argc, char *argv[])
{
	if (argc < 2) {
		fputs(usage, stderr);
		return STATUS_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	report("%s: no such command; `okvm help` lists them", argv[1]);
	return STATUS_USAGE;
}
