// SPDX-License-Identifier: GPL-2.0-only
/* bzImage by the 64-bit boot protocol of Documentation/arch/x86/boot.rst in Linux. */
#include <string.h>

#include "boot.h"
#include "report.h"

#define HEADER_OFFSET	offsetof(struct boot_params, hdr)
#define HEADER_MAGIC	0x53726448U	/* "HdrS" */
#define SECTOR		512U
#define MIN_VERSION	0x20cU		/* the first with xloadflags */
#define ENTRY_64	0x200U		/* of the 64-bit entry, from the load address */

#define E820_USABLE	1U
#define E820_RESERVED	2U

/**
 * bzimage_parse - check a bzImage's header
 * @file: the file, hostile
 * @image: filled in: header, and which part of @file is the protected-mode kernel
 *
 * Return: NULL, or why the file cannot be booted.
 */
const char *bzimage_parse(const struct file *file, struct bzimage *image)
{
	struct setup_header *header = &image->header;
	size_t length;

	memset(image, 0, sizeof(*image));
	if (file->size < HEADER_OFFSET + sizeof(*header))
		return "neither a bzImage nor an ELF kernel (too short)";
	/* The byte at 0x201, a jump's distance, tells where the header ends. */
	length = 0x202U + file->data[0x201] - HEADER_OFFSET;
	if (length > sizeof(*header))
		length = sizeof(*header);
	memcpy(header, file->data + HEADER_OFFSET, length);
	if (header->header != HEADER_MAGIC || header->boot_flag != 0xaa55)
		return "neither a bzImage nor an ELF kernel";
	if (header->version < MIN_VERSION)
		return "its boot protocol is too old: Linux 3.8 or newer is needed";
	if (!(header->xloadflags & XLF_KERNEL_64))
		return "a 32-bit kernel: only 64-bit kernels can be booted";
	image->kernel_offset = (1U + (header->setup_sects ? header->setup_sects : 4U)) * SECTOR;
	if (image->kernel_offset + ENTRY_64 >= file->size)
		return "cut short: it ends before its kernel begins";
	image->kernel_size = file->size - image->kernel_offset;
	if (header->kernel_alignment & (header->kernel_alignment - 1))
		return "damaged: its alignment is not a power of two";
	return NULL;
}

/* Where the kernel wants to be, or if that is beyond RAM and it can move, as low as it goes. */
static uint64_t choose_address(const struct memory *mem, const struct bzimage *image,
			       uint64_t needed)
{
	uint64_t address = image->header.pref_address;
	uint64_t align = image->header.kernel_alignment;

	if (!image->header.relocatable_kernel || !align || memory_at(mem, address, needed))
		return address;
	return (MAIN_RAM_START + align - 1) & ~(align - 1);
}

static void fill_zero_page(struct boot_params *params, const struct memory *mem,
			   const struct bzimage *image, const struct boot_files *files)
{
	struct ram_map_entry map[RAM_MAP_MAX];
	unsigned int n = ram_map(mem, map);

	memset(params, 0, sizeof(*params));
	params->hdr = image->header;
	params->hdr.type_of_loader = 0xff;
	params->hdr.vid_mode = 0xffff;
	params->hdr.cmd_line_ptr = BOOT_CMDLINE;
	params->hdr.setup_data = 0;
	params->acpi_rsdp_addr = files->rsdp;
	params->e820_entries = (uint8_t)n;
	for (unsigned int i = 0; i < n; i++) {
		params->e820_table[i].addr = map[i].start;
		params->e820_table[i].size = map[i].size;
		params->e820_table[i].type = map[i].usable ? E820_USABLE : E820_RESERVED;
	}
}

/**
 * load_bzimage - load a bzImage and its boot parameters
 * @mem: guest RAM
 * @files: initrd, command line, ACPI; the command line is in place already
 * @kernel: the file
 * @boot: receives how to start it
 *
 * Return: 0, or -1 after a report.
 */
int load_bzimage(struct memory *mem, const struct boot_files *files, const struct file *kernel,
		 struct boot *boot)
{
	struct boot_params *params = memory_boot(mem, BOOT_INFO, sizeof(*params));
	uint64_t address, needed, initrd, initrd_size;
	struct bzimage image;
	const char *problem = bzimage_parse(kernel, &image);
	void *to;

	if (!problem && strlen(files->command_line) > image.header.cmdline_size)
		problem = "takes no command line as long as --append gives";
	if (problem) {
		report("%s: %s", files->kernel, problem);
		return -1;
	}
	needed = image.header.init_size > image.kernel_size ? image.header.init_size
							    : image.kernel_size;
	address = choose_address(mem, &image, needed);
	to = memory_at(mem, address, needed);
	if (!to || address < MAIN_RAM_START) {
		report("%s: needs %llu MiB at %#llx: give more memory with --mem", files->kernel,
		       (unsigned long long)(needed >> 20), (unsigned long long)address);
		return -1;
	}
	if (load_initrd(files->initrd, mem, address < mem->low ? address + needed : MAIN_RAM_START,
			(uint64_t)image.header.initrd_addr_max + 1, &initrd, &initrd_size))
		return -1;
	memcpy(to, kernel->data + image.kernel_offset, image.kernel_size);
	fill_zero_page(params, mem, &image, files);
	params->hdr.ramdisk_image = (uint32_t)initrd;
	params->hdr.ramdisk_size = (uint32_t)initrd_size;
	*boot = (struct boot){ .mode = CPU_LONG_MODE, .rip = address + ENTRY_64, .rsi = BOOT_INFO };
	return 0;
}
