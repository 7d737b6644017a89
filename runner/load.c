// SPDX-License-Identifier: GPL-2.0-only
/* What every loader needs: files, the memory map, the initial RAM disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "report.h"

static int open_regular(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st)) {
		report("%s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		report("%s: not a regular file", path);
	} else {
		*size = (size_t)st.st_size;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static int read_fully(const char *path, int fd, uint8_t *to, size_t size)
{
	while (size) {
		ssize_t n = read(fd, to, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			report("%s: %s", path, n ? strerror(errno) : "shorter than it was");
			return -1;
		}
		to += n;
		size -= (size_t)n;
	}
	return 0;
}

/**
 * file_read - read a whole file
 * @path: its name
 * @file: receives the content; free @file->data
 *
 * Return: 0, or -1 after a report.
 */
int file_read(const char *path, struct file *file)
{
	int fd = open_regular(path, &file->size);
	int ret = -1;

	if (fd < 0)
		return -1;
	file->data = malloc(file->size ? file->size : 1);
	if (!file->data)
		report("%s: no memory for %zu bytes", path, file->size);
	else
		ret = read_fully(path, fd, file->data, file->size);
	if (ret)
		free(file->data);
	close(fd);
	return ret;
}

/**
 * load_initrd - put the initial RAM disk at the top of a range of RAM
 * @path: its file, or NULL for none
 * @mem: guest RAM
 * @floor: first free byte above the kernel
 * @ceiling: the kernel takes no initrd beyond
 * @gpa: receives the address
 * @size: receives the size, 0 for none
 *
 * Return: 0, or -1 after a report.
 */
int load_initrd(const char *path, struct memory *mem, uint64_t floor, uint64_t ceiling,
		uint64_t *gpa, uint64_t *size)
{
	uint64_t top = ceiling < mem->low ? ceiling : mem->low;
	size_t length;
	int fd, ret = -1;

	*gpa = *size = 0;
	if (!path)
		return 0;
	fd = open_regular(path, &length);
	if (fd < 0)
		return -1;
	if (length > top || ((top - length) & ~0xfffULL) < floor) {
		report("%s: %zu MiB of initrd do not fit beside the kernel in %llu MiB of memory: "
		       "give more with --mem", path, length >> 20,
		       (unsigned long long)(mem->size >> 20));
	} else {
		*gpa = (top - length) & ~0xfffULL;
		*size = length;
		ret = read_fully(path, fd, memory_at(mem, *gpa, length), length);
	}
	close(fd);
	return ret;
}

/**
 * ram_map - the guest's memory map, as firmware would tell it
 * @mem: guest RAM
 * @map: receives the entries, lowest first
 *
 * Return: number of entries.
 */
unsigned int ram_map(const struct memory *mem, struct ram_map_entry map[RAM_MAP_MAX])
{
	unsigned int n = 0;

	map[n++] = (struct ram_map_entry){ 0, LEGACY_RAM_END, true };
	map[n++] = (struct ram_map_entry){ LEGACY_RAM_END, MAIN_RAM_START - LEGACY_RAM_END, false };
	map[n++] = (struct ram_map_entry){ MAIN_RAM_START, mem->low - MAIN_RAM_START, true };
	if (mem->size > mem->low)
		map[n++] = (struct ram_map_entry){ HIGH_RAM_START, mem->size - mem->low, true };
	return n;
}

/**
 * load_kernel - load a kernel by the boot protocol that its file asks for
 * @mem: guest RAM
 * @files: kernel, initrd, command line and where the ACPI tables start
 * @boot: receives how to start it
 *
 * Return: 0, or -1 after a report.
 */
int load_kernel(struct memory *mem, const struct boot_files *files, struct boot *boot)
{
	size_t length = strlen(files->command_line);
	struct file kernel;
	int ret;

	if (length >= BOOT_CMDLINE_MAX) {
		report("--append: no more than %u bytes", BOOT_CMDLINE_MAX - 1);
		return -1;
	}
	if (file_read(files->kernel, &kernel))
		return -1;
	memcpy(memory_boot(mem, BOOT_CMDLINE, length + 1), files->command_line, length + 1);
	if (elf_is(&kernel))
		ret = load_elf(mem, files, &kernel, boot);
	else
		ret = load_bzimage(mem, files, &kernel, boot);
	free(kernel.data);
	return ret;
}

/**
 * load_payload - load a flat program
 * @mem: guest RAM
 * @path: its file
 * @boot: receives how to start it
 *
 * It is loaded and entered at 1 MiB, in 64-bit mode, with the size of memory in RDI.
 *
 * Return: 0, or -1 after a report.
 */
int load_payload(struct memory *mem, const char *path, struct boot *boot)
{
	struct file payload;
	void *to;
	int ret = -1;

	if (file_read(path, &payload))
		return -1;
	to = memory_at(mem, MAIN_RAM_START, payload.size);
	if (!to) {
		report("%s: %zu bytes do not fit into memory: give more with --mem", path,
		       payload.size);
	} else if (!payload.size) {
		report("%s: empty", path);
	} else {
		memcpy(to, payload.data, payload.size);
		*boot = (struct boot){ .mode = CPU_LONG_MODE, .rip = MAIN_RAM_START,
				       .rdi = mem->size };
		ret = 0;
	}
	free(payload.data);
	return ret;
}
