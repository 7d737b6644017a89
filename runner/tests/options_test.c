// SPDX-License-Identifier: GPL-2.0-only
/* The command line and the escape key. */
#include <string.h>

#include "../escape.h"
#include "../options.h"
#include "tap.h"

static struct options opts;

static int parse(const char *words)
{
	static char text[512];
	char *argv[32] = { "run" };
	int argc = 1;

	options_free(&opts);
	snprintf(text, sizeof(text), "%s", words);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return options_parse(&opts, argc, argv);
}

static void test_good(void)
{
	ok(!parse("--kernel k") && !strcmp(opts.kernel, "k"), "a kernel is enough");
	ok(opts.cpus == 1 && opts.memory == 512ULL << 20 && opts.net == NET_NONE, "defaults");
	ok(!parse("--kernel k --initrd i --append a=b --cpus 4 --mem 2G --disk d --disk e,ro "
		  "--net user --rng --device /dev/kvm --hugepages --console virtio"),
	   "every option");
	ok(opts.cpus == 4 && opts.memory == 2ULL << 30 && opts.rng && opts.hugepages, "values");
	ok(opts.nr_disks == 2 && !opts.disks[0].read_only && opts.disks[1].read_only &&
	   !strcmp(opts.disks[1].path, "e"), "disks");
	ok(!parse("--kernel=k --net tap=tap0") && !strcmp(opts.tap, "tap0"), "tap by name");
	ok(!parse("--payload p --mem 4M"), "payload");
	ok(!parse("--kernel k --cpus 254"), "254 CPUs");
	ok(!parse("-h") && opts.help, "help needs nothing else");
}

static void test_bad(void)
{
	static const char *const lines[] = {
		"", "--kernel", "--kernel k --payload p", "--kernel k extra", "--nonsense",
		"--kernel k --cpus 0", "--kernel k --cpus 255", "--kernel k --cpus -1",
		"--kernel k --cpus 2x", "--kernel k --cpus 99999999999999999999",
		"--kernel k --mem 0", "--kernel k --mem 1M", "--kernel k --mem 2T",
		"--kernel k --mem 5000000", "--kernel k --mem 1GB", "--kernel k --mem -1G",
		"--kernel k --net", "--kernel k --net bridge", "--kernel k --net tap=",
		"--kernel k --net tap=an-interface-name-too-long", "--kernel k --disk ,ro",
		"--kernel k --console vga", "--kernel k --hugepages --mem 5M",
		"--payload p --cpus 2", "--payload p --disk d", "--payload p --net user",
		"--payload p --append x", "--payload p --initrd i",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ok(parse(lines[i]) && *opts.error, "refused: run %s", lines[i]);
}

static void test_many_disks(void)
{
	char line[512] = "--kernel k";

	for (int i = 0; i < MAX_DISKS; i++)
		strcat(line, " --disk=d");
	ok(!parse(line) && opts.nr_disks == MAX_DISKS, "as many disks as there may be");
	strcat(line, " --disk=d");
	ok(parse(line) && opts.nr_disks == MAX_DISKS, "and not one more");
	options_free(&opts);
	ok(!opts.nr_disks, "freed");
}

static void test_sizes(void)
{
	uint64_t size;

	ok(size_parse("1", &size) && size == 1, "bytes");
	ok(size_parse("16383P", &size) == false, "no such suffix");
	ok(size_parse("1t", &size) && size == 1ULL << 40, "lower case");
	ok(!size_parse("16777216T", &size), "more than 64 bits");
	ok(!size_parse("18446744073709551616", &size), "more than 64 bits, no suffix");
	ok(!size_parse("", &size) && !size_parse(" 1", &size) && !size_parse("+1", &size) &&
	   !size_parse("1KK", &size), "not sizes");
}

static enum escape_command filter(bool *pending, const char *typed, const char *left)
{
	uint8_t keys[32];
	size_t n = strlen(typed);
	enum escape_command command;

	memcpy(keys, typed, n);
	command = escape_filter(pending, keys, &n);
	ok(n == strlen(left) && !memcmp(keys, left, n), "keys left for the guest");
	return command;
}

static void test_escape(void)
{
	bool pending = false;

	ok(filter(&pending, "abc", "abc") == ESCAPE_NONE, "plain keys pass");
	ok(filter(&pending, "a\001xyz", "a") == ESCAPE_QUIT, "Ctrl-A x quits");
	pending = false;
	ok(filter(&pending, "\001\001\001\001", "\001\001") == ESCAPE_NONE, "doubled");
	ok(filter(&pending, "\001", "") == ESCAPE_NONE && pending, "waits for the next key");
	ok(filter(&pending, "X", "") == ESCAPE_QUIT, "across two reads, either case");
	pending = false;
	ok(filter(&pending, "\001?z", "z") == ESCAPE_HELP && !pending, "anything else helps");
}

int main(void)
{
	test_good();
	test_bad();
	test_many_disks();
	test_sizes();
	test_escape();
	options_free(&opts);
	return tap_end();
}
