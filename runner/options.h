/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_DISKS	16
#define MAX_CPUS	254	/* xAPIC ids, 255 is broadcast */
#define MIN_MEMORY	(4ULL << 20)
#define MAX_MEMORY	(1ULL << 40)

enum net_kind { NET_NONE, NET_USER, NET_TAP };
enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO };

struct disk_option {
	char *path;
	bool read_only;
};

struct options {
	const char *kernel, *initrd, *append, *payload, *device;
	unsigned int cpus;
	uint64_t memory;
	struct disk_option disks[MAX_DISKS];
	unsigned int nr_disks;
	enum net_kind net;
	char tap[16];
	enum console_kind console;
	bool rng, hugepages, help;
	char error[256];
};

int options_parse(struct options *opts, int argc, char *const argv[]);
void options_free(struct options *opts);
bool size_parse(const char *text, uint64_t *bytes);

#endif
