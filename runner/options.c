// SPDX-License-Identifier: GPL-2.0-only
/* The command line of `okvm run`. Pure: prints nothing and opens nothing. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum {
	OPT_KERNEL = 256, OPT_INITRD, OPT_APPEND, OPT_CPUS, OPT_MEM, OPT_DISK, OPT_NET, OPT_RNG,
	OPT_CONSOLE, OPT_DEVICE, OPT_HUGEPAGES, OPT_PAYLOAD,
};

static const struct option long_options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "mem", required_argument, NULL, OPT_MEM },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "net", required_argument, NULL, OPT_NET },
	{ "rng", no_argument, NULL, OPT_RNG },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "hugepages", no_argument, NULL, OPT_HUGEPAGES },
	{ "payload", required_argument, NULL, OPT_PAYLOAD },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static int __attribute__((format(printf, 2, 3)))
refuse(struct options *opts, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(opts->error, sizeof(opts->error), fmt, args);
	va_end(args);
	return -1;
}

/**
 * size_parse - read a size in bytes with an optional suffix
 * @text: decimal digits, then nothing, K, M, G or T (powers of 1024, either case)
 * @bytes: receives the size
 *
 * Return: whether @text is such a size and fits 64 bits.
 */
bool size_parse(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "kmgt";
	unsigned long long value;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		const char *suffix = strchr(suffixes, *end | 0x20);

		if (!suffix || !*suffix || end[1])
			return false;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}

static int parse_cpus(struct options *opts, const char *text)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 1 || value > MAX_CPUS)
		return refuse(opts, "--cpus %s: give a number from 1 to %d", text, MAX_CPUS);
	opts->cpus = (unsigned int)value;
	return 0;
}

static int parse_memory(struct options *opts, const char *text)
{
	if (!size_parse(text, &opts->memory) ||
	    opts->memory < MIN_MEMORY || opts->memory > MAX_MEMORY)
		return refuse(opts, "--mem %s: give a size from 4M to 1T, as in 512M or 2G", text);
	if (opts->memory % 4096)
		return refuse(opts, "--mem %s: not a multiple of 4K", text);
	return 0;
}

static int parse_disk(struct options *opts, const char *text)
{
	struct disk_option *disk = &opts->disks[opts->nr_disks];
	size_t len = strlen(text);

	if (opts->nr_disks == MAX_DISKS)
		return refuse(opts, "--disk: no more than %d disks", MAX_DISKS);
	disk->read_only = len >= 3 && !strcmp(text + len - 3, ",ro");
	if (disk->read_only)
		len -= 3;
	if (!len)
		return refuse(opts, "--disk: give the name of a file or block device");
	disk->path = strndup(text, len);
	if (!disk->path)
		return refuse(opts, "out of memory");
	opts->nr_disks++;
	return 0;
}

static int parse_net(struct options *opts, const char *text)
{
	if (!strcmp(text, "none")) {
		opts->net = NET_NONE;
	} else if (!strcmp(text, "user")) {
		opts->net = NET_USER;
	} else if (!strncmp(text, "tap=", 4) && text[4] && strlen(text + 4) < sizeof(opts->tap)) {
		opts->net = NET_TAP;
		strcpy(opts->tap, text + 4);
	} else {
		return refuse(opts, "--net %s: give user, tap=INTERFACE or none", text);
	}
	return 0;
}

static int parse_console(struct options *opts, const char *text)
{
	if (!strcmp(text, "serial"))
		opts->console = CONSOLE_SERIAL;
	else if (!strcmp(text, "virtio"))
		opts->console = CONSOLE_VIRTIO;
	else
		return refuse(opts, "--console %s: give serial or virtio", text);
	return 0;
}

static int take_option(struct options *opts, int option, const char *value)
{
	switch (option) {
	case OPT_KERNEL:
		opts->kernel = value;
		return 0;
	case OPT_INITRD:
		opts->initrd = value;
		return 0;
	case OPT_APPEND:
		opts->append = value;
		return 0;
	case OPT_CPUS:
		return parse_cpus(opts, value);
	case OPT_MEM:
		return parse_memory(opts, value);
	case OPT_DISK:
		return parse_disk(opts, value);
	case OPT_NET:
		return parse_net(opts, value);
	case OPT_RNG:
		opts->rng = true;
		return 0;
	case OPT_CONSOLE:
		return parse_console(opts, value);
	case OPT_DEVICE:
		opts->device = value;
		return 0;
	case OPT_HUGEPAGES:
		opts->hugepages = true;
		return 0;
	case OPT_PAYLOAD:
		opts->payload = value;
		return 0;
	default:
		opts->help = true;
		return 0;
	}
}

static int check_together(struct options *opts)
{
	if (opts->help)
		return 0;
	if (!opts->kernel && !opts->payload)
		return refuse(opts, "nothing to run: give --kernel FILE or --payload FILE");
	if (opts->kernel && opts->payload)
		return refuse(opts, "--kernel and --payload exclude each other");
	if (opts->hugepages && opts->memory % (2ULL << 20))
		return refuse(opts, "--hugepages wants --mem to be a multiple of 2M");
	if (opts->payload && (opts->cpus > 1 || opts->initrd || opts->append || opts->nr_disks ||
			      opts->net != NET_NONE || opts->rng || opts->console))
		return refuse(opts, "--payload runs on a bare machine: only --mem, --hugepages "
			      "and --device go with it");
	return 0;
}

/**
 * options_parse - read the arguments of `okvm run`
 * @opts: filled in; free with options_free() whatever the outcome
 * @argc: number of arguments, argv[0] is the command's name
 * @argv: arguments; @opts keeps pointers into them
 *
 * Return: 0, or -1 with the reason in @opts->error.
 */
int options_parse(struct options *opts, int argc, char *const argv[])
{
	int option;

	*opts = (struct options){ .cpus = 1, .memory = 512ULL << 20 };
	optind = 0;	/* glibc: start over, also after an earlier parse */
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:h", long_options, NULL)) != -1) {
		if (option == ':')
			return refuse(opts, "%s needs a value", argv[optind - 1]);
		if (option == '?')
			return refuse(opts, "%s: no such option", argv[optind - 1]);
		if (take_option(opts, option, optarg))
			return -1;
	}
	if (optind < argc)
		return refuse(opts, "%s: not an option (name the kernel with --kernel)",
			      argv[optind]);
	return check_together(opts);
}

/**
 * options_free - free what options_parse() allocated
 * @opts: the options
 */
void options_free(struct options *opts)
{
	for (unsigned int i = 0; i < opts->nr_disks; i++)
		free(opts->disks[i].path);
	opts->nr_disks = 0;
}
