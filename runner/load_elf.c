// SPDX-License-Identifier: GPL-2.0-only
/* ELF vmlinux by PVH: entered in 32-bit mode at the address that its Xen ELF note tells. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "report.h"

#define XEN_ELFNOTE_PHYS32_ENTRY	18U
#define PVH_MAGIC			0x336ec578U
#define PVH_RAM				1U
#define PVH_RESERVED			2U

/* The PVH start info of Xen's public ABI, version 1. */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t nr_memory_map, reserved;
};

struct pvh_module {
	uint64_t address, size, command_line, reserved;
};

struct pvh_memory {
	uint64_t address, size;
	uint32_t type, reserved;
};

/* All of it, as it lies at BOOT_INFO. */
struct pvh_boot_info {
	struct pvh_start_info start;
	struct pvh_module initrd;
	struct pvh_memory map[RAM_MAP_MAX];
};

/**
 * elf_is - whether a file is an ELF file
 * @file: the file
 */
bool elf_is(const struct file *file)
{
	return file->size >= SELFMAG && !memcmp(file->data, ELFMAG, SELFMAG);
}

static bool inside(const struct file *file, uint64_t offset, uint64_t size)
{
	return offset <= file->size && size <= file->size - offset;
}

/* Search one PT_NOTE segment, inside the file, for the entry. Sizes are padded to four bytes. */
static bool find_entry(const uint8_t *notes, uint64_t size, uint32_t *entry)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		uint64_t name_size, desc_size;
		const uint8_t *name, *desc;
		Elf64_Nhdr note;

		memcpy(&note, notes, sizeof(note));
		notes += sizeof(note);
		size -= sizeof(note);
		name_size = ((uint64_t)note.n_namesz + 3) & ~3ULL;
		desc_size = ((uint64_t)note.n_descsz + 3) & ~3ULL;
		if (name_size + desc_size > size)
			return false;
		name = notes;
		desc = notes + name_size;
		if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
		    !memcmp(name, "Xen", 4) && note.n_descsz >= 4) {
			memcpy(entry, desc, 4);
			return true;
		}
		notes += name_size + desc_size;
		size -= name_size + desc_size;
	}
	return false;
}

static const char *take_header(const struct file *file, const Elf64_Phdr *program,
			       struct elf_image *image, bool *found)
{
	struct elf_segment *segment = &image->segments[image->nr_segments];

	if (program->p_type == PT_NOTE && !*found && inside(file, program->p_offset,
							    program->p_filesz))
		*found = find_entry(file->data + program->p_offset, program->p_filesz,
				    &image->entry);
	if (program->p_type != PT_LOAD || !program->p_memsz)
		return NULL;
	if (!inside(file, program->p_offset, program->p_filesz))
		return "cut short: a segment lies beyond the end of the file";
	if (program->p_filesz > program->p_memsz)
		return "damaged: a segment is larger in the file than in memory";
	if (image->nr_segments == ELF_MAX_SEGMENTS)
		return "has more segments than any kernel";
	*segment = (struct elf_segment){ program->p_paddr, program->p_offset, program->p_filesz,
					 program->p_memsz };
	image->nr_segments++;
	return NULL;
}

/**
 * elf_parse - check an ELF kernel and find its PVH entry
 * @file: the file, hostile; elf_is() holds
 * @image: filled in; the segments lie inside the file, their addresses are not checked
 *
 * Return: NULL, or why the file cannot be booted.
 */
const char *elf_parse(const struct file *file, struct elf_image *image)
{
	const char *problem = NULL;
	bool found = false;
	Elf64_Ehdr header;

	memset(image, 0, sizeof(*image));
	if (file->size < sizeof(header))
		return "cut short: no whole ELF header";
	memcpy(&header, file->data, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_machine != EM_X86_64)
		return "not a 64-bit x86 ELF file";
	if (header.e_phentsize != sizeof(Elf64_Phdr) ||
	    !inside(file, header.e_phoff, (uint64_t)header.e_phnum * sizeof(Elf64_Phdr)))
		return "damaged: its program headers lie beyond the end of the file";
	for (unsigned int i = 0; i < header.e_phnum && !problem; i++) {
		Elf64_Phdr program;

		memcpy(&program, file->data + header.e_phoff + i * sizeof(program),
		       sizeof(program));
		problem = take_header(file, &program, image, &found);
	}
	if (problem)
		return problem;
	if (!image->nr_segments)
		return "has nothing to load";
	return found ? NULL
		     : "has no PVH entry: build the kernel with CONFIG_PVH, or boot its bzImage";
}

static int copy_segments(struct memory *mem, const struct boot_files *files,
			 const struct file *kernel, const struct elf_image *image, uint64_t *end)
{
	*end = 0;
	for (unsigned int i = 0; i < image->nr_segments; i++) {
		const struct elf_segment *segment = &image->segments[i];
		uint8_t *to = memory_at(mem, segment->gpa, segment->memory_size);

		if (!to || segment->gpa < MAIN_RAM_START) {
			report("%s: wants %llu MiB at %#llx, where there is no memory: "
			       "give more with --mem", files->kernel,
			       (unsigned long long)(segment->memory_size >> 20),
			       (unsigned long long)segment->gpa);
			return -1;
		}
		memcpy(to, kernel->data + segment->file_offset, segment->file_size);
		memset(to + segment->file_size, 0, segment->memory_size - segment->file_size);
		if (segment->gpa < mem->low && segment->gpa + segment->memory_size > *end)
			*end = segment->gpa + segment->memory_size;
	}
	return 0;
}

static void fill_start_info(struct pvh_boot_info *info, const struct memory *mem,
			    const struct boot_files *files)
{
	struct ram_map_entry map[RAM_MAP_MAX];
	unsigned int n = ram_map(mem, map);

	info->start = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = 1,
		.command_line = BOOT_CMDLINE,
		.rsdp = files->rsdp,
		.memory_map = BOOT_INFO + offsetof(struct pvh_boot_info, map),
		.nr_memory_map = n,
	};
	if (info->initrd.size) {
		info->start.nr_modules = 1;
		info->start.modules = BOOT_INFO + offsetof(struct pvh_boot_info, initrd);
	}
	for (unsigned int i = 0; i < n; i++)
		info->map[i] = (struct pvh_memory){ map[i].start, map[i].size,
						    map[i].usable ? PVH_RAM : PVH_RESERVED, 0 };
}

/**
 * load_elf - load an ELF kernel and its PVH start info
 * @mem: guest RAM
 * @files: initrd, command line, ACPI; the command line is in place already
 * @kernel: the file
 * @boot: receives how to start it
 *
 * Return: 0, or -1 after a report.
 */
int load_elf(struct memory *mem, const struct boot_files *files, const struct file *kernel,
	     struct boot *boot)
{
	struct pvh_boot_info *info = memory_boot(mem, BOOT_INFO, sizeof(*info));
	struct elf_image image;
	const char *problem = elf_parse(kernel, &image);
	uint64_t end;

	if (problem) {
		report("%s: %s", files->kernel, problem);
		return -1;
	}
	if (copy_segments(mem, files, kernel, &image, &end))
		return -1;
	memset(info, 0, sizeof(*info));
	if (load_initrd(files->initrd, mem, end, LOW_RAM_END, &info->initrd.address,
			&info->initrd.size))
		return -1;
	fill_start_info(info, mem, files);
	*boot = (struct boot){ .mode = CPU_PROTECTED_MODE, .rip = image.entry, .rbx = BOOT_INFO };
	return 0;
}
