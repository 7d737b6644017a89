/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_BOOT_H
#define RUNNER_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/bootparam.h>

#include "memory.h"

enum cpu_mode { CPU_LONG_MODE, CPU_PROTECTED_MODE };

/**
 * struct boot - how the first vCPU starts
 * @mode: 64-bit with the first 4 GiB mapped one to one, or flat 32-bit without paging
 * @rip: first instruction
 * @rbx: start info (PVH)
 * @rsi: boot parameters (bzImage)
 * @rdi: size of memory (payload)
 */
struct boot {
	enum cpu_mode mode;
	uint64_t rip, rbx, rsi, rdi;
};

/* What load_kernel() puts into guest memory. */
struct boot_files {
	const char *kernel, *initrd, *command_line;
	uint64_t rsdp;
};

struct file {
	uint8_t *data;
	size_t size;
};

struct ram_map_entry {
	uint64_t start, size;
	bool usable;
};

#define RAM_MAP_MAX 4

/* What bzimage_parse() learnt of a file; offsets are into the file. */
struct bzimage {
	struct setup_header header;
	size_t kernel_offset, kernel_size;
};

struct elf_segment {
	uint64_t gpa, file_offset, file_size, memory_size;
};

#define ELF_MAX_SEGMENTS 32

struct elf_image {
	uint32_t entry;
	struct elf_segment segments[ELF_MAX_SEGMENTS];
	unsigned int nr_segments;
};

/* The parsers: pure, for hostile files. NULL is good, else the reason in words. */
const char *bzimage_parse(const struct file *file, struct bzimage *image);
const char *elf_parse(const struct file *file, struct elf_image *image);
bool elf_is(const struct file *file);

int file_read(const char *path, struct file *file);
int load_initrd(const char *path, struct memory *mem, uint64_t floor, uint64_t ceiling,
		uint64_t *gpa, uint64_t *size);
unsigned int ram_map(const struct memory *mem, struct ram_map_entry map[RAM_MAP_MAX]);

int load_kernel(struct memory *mem, const struct boot_files *files, struct boot *boot);
int load_bzimage(struct memory *mem, const struct boot_files *files, const struct file *kernel,
		 struct boot *boot);
int load_elf(struct memory *mem, const struct boot_files *files, const struct file *kernel,
	     struct boot *boot);
int load_payload(struct memory *mem, const char *path, struct boot *boot);

#endif
