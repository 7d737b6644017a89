// SPDX-License-Identifier: GPL-2.0-only
/* The parsers of kernel files, on good, cut, damaged and hostile ones, and what they load. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../boot.h"
#include "tap.h"

#define FILE_SIZE 8192U

/* A copy of just the right size, so that ASan sees a read beyond it. */
static struct file exact(const uint8_t *data, size_t size)
{
	struct file file = { malloc(size ? size : 1), size };

	memcpy(file.data, data, size);
	return file;
}

static void make_bzimage(uint8_t *data)
{
	struct setup_header *header = (struct setup_header *)(data + 0x1f1);

	memset(data, 0x90, FILE_SIZE);
	memset(header, 0, sizeof(*header));
	header->setup_sects = 2;
	header->boot_flag = 0xaa55;
	header->jump = 0x66eb;
	header->header = 0x53726448;
	header->version = 0x20f;
	header->xloadflags = XLF_KERNEL_64;
	header->relocatable_kernel = 1;
	header->kernel_alignment = 0x200000;
	header->pref_address = 0x1000000;
	header->init_size = 0x10000;
	header->initrd_addr_max = 0x7fffffff;
	header->cmdline_size = 2047;
}

struct note {
	Elf64_Nhdr head;
	char name[4];
	uint32_t entry;
};

static void make_elf(uint8_t *data)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)data;
	Elf64_Phdr *program = (Elf64_Phdr *)(data + sizeof(*header));
	struct note *note = (struct note *)(data + 0x200);

	memset(data, 0, FILE_SIZE);
	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_ident[EI_CLASS] = ELFCLASS64;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_machine = EM_X86_64;
	header->e_phoff = sizeof(*header);
	header->e_phentsize = sizeof(*program);
	header->e_phnum = 2;
	program[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1000, .p_filesz = 0x800,
				   .p_memsz = 0x2000, .p_paddr = 0x200000 };
	program[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x200,
				   .p_filesz = sizeof(*note) };
	*note = (struct note){ { 4, 4, 18 }, "Xen", 0x200040 };
}

static void test_bzimage(void)
{
	uint8_t data[FILE_SIZE];
	struct bzimage image;
	struct file file;
	bool refused = true;

	make_bzimage(data);
	file = (struct file){ data, sizeof(data) };
	ok(!bzimage_parse(&file, &image), "a good bzImage");
	ok(image.kernel_offset == 3 * 512 && image.kernel_size == FILE_SIZE - 3 * 512,
	   "the kernel follows the setup sectors");
	for (size_t size = 0; size <= 3 * 512 + 0x200; size++) {
		struct file cut = exact(data, size);

		refused = refused && bzimage_parse(&cut, &image);
		free(cut.data);
	}
	ok(refused, "cut short anywhere before its kernel");
	((struct setup_header *)(data + 0x1f1))->xloadflags = 0;
	ok(bzimage_parse(&file, &image), "a 32-bit kernel");
	make_bzimage(data);
	((struct setup_header *)(data + 0x1f1))->version = 0x20b;
	ok(bzimage_parse(&file, &image), "an old boot protocol");
	make_bzimage(data);
	((struct setup_header *)(data + 0x1f1))->kernel_alignment = 3;
	ok(bzimage_parse(&file, &image), "an alignment that is no power of two");
	memset(data, 0, sizeof(data));
	ok(bzimage_parse(&file, &image), "zeros");
}

static void test_elf(void)
{
	uint8_t data[FILE_SIZE];
	Elf64_Phdr *program = (Elf64_Phdr *)(data + sizeof(Elf64_Ehdr));
	struct note *note = (struct note *)(data + 0x200);
	struct elf_image image;
	struct file file = { data, sizeof(data) };
	bool refused = true;

	make_elf(data);
	ok(elf_is(&file) && !elf_parse(&file, &image), "a good ELF kernel");
	ok(image.entry == 0x200040 && image.nr_segments == 1, "its entry and segment");
	for (size_t size = 4; size < 0x1800; size++) {
		struct file cut = exact(data, size);

		refused = refused && elf_parse(&cut, &image);
		free(cut.data);
	}
	ok(refused, "cut short anywhere before the end of its segment");
	note->head.n_type = 17;
	ok(elf_parse(&file, &image), "no PVH entry");
	make_elf(data);
	note->head.n_namesz = 0xffffffff;
	ok(elf_parse(&file, &image), "a note with a wild name size");
	make_elf(data);
	note->head.n_descsz = 0xfffffffd;
	ok(elf_parse(&file, &image), "a note with a wild size");
	make_elf(data);
	program[0].p_offset = UINT64_MAX - 0x100;
	ok(elf_parse(&file, &image), "a segment that wraps round");
	make_elf(data);
	program[0].p_memsz = 1;
	ok(elf_parse(&file, &image), "larger in the file than in memory");
	make_elf(data);
	((Elf64_Ehdr *)data)->e_phoff = UINT64_MAX - 8;
	ok(elf_parse(&file, &image), "program headers that wrap round");
	make_elf(data);
	((Elf64_Ehdr *)data)->e_phnum = 0xffff;
	ok(elf_parse(&file, &image), "too many program headers");
	make_elf(data);
	((Elf64_Ehdr *)data)->e_machine = EM_386;
	ok(elf_parse(&file, &image), "not x86-64");
}

/* Whatever the file says, the loaders stay inside it and inside guest memory: ASan watches. */
static void fuzz(void (*make)(uint8_t *data), struct memory *mem, const char *what)
{
	const struct boot_files files = { .kernel = what, .command_line = "console=ttyS0" };
	unsigned int loaded = 0;
	uint8_t data[FILE_SIZE];
	struct boot boot;

	for (int round = 0; round < 20000; round++) {
		struct file file;

		make(data);
		for (unsigned int flips = 1 + tap_random() % 4; flips; flips--)
			data[tap_random() % 0x280] = (uint8_t)tap_random();
		file = exact(data, 0x1000 + tap_random() % (FILE_SIZE - 0x1000));
		if (elf_is(&file))
			loaded += !load_elf(mem, &files, &file, &boot);
		else
			loaded += !load_bzimage(mem, &files, &file, &boot);
		free(file.data);
	}
	ok(loaded > 0 && loaded < 20000, "%s: 20000 damaged files, %u still load", what, loaded);
}

static void test_load(struct memory *mem)
{
	const struct boot_files files = { .kernel = "test", .command_line = "" };
	uint8_t data[FILE_SIZE];
	struct file file = { data, sizeof(data) };
	struct boot boot;

	make_bzimage(data);
	ok(!load_bzimage(mem, &files, &file, &boot) && boot.rip == 0x1000200 &&
	   boot.mode == CPU_LONG_MODE, "a bzImage goes where it prefers");
	ok(!memcmp(mem->host + 0x1000000, data + 3 * 512, FILE_SIZE - 3 * 512), "whole");
	((struct setup_header *)(data + 0x1f1))->pref_address = 1ULL << 40;
	ok(!load_bzimage(mem, &files, &file, &boot) && boot.rip == 0x200200,
	   "or lower, if it can move");
	((struct setup_header *)(data + 0x1f1))->relocatable_kernel = 0;
	ok(load_bzimage(mem, &files, &file, &boot), "or nowhere");
	make_bzimage(data);
	((struct setup_header *)(data + 0x1f1))->pref_address = UINT64_MAX - 0x1000;
	((struct setup_header *)(data + 0x1f1))->relocatable_kernel = 0;
	ok(load_bzimage(mem, &files, &file, &boot), "never round the end");
	make_elf(data);
	ok(!load_elf(mem, &files, &file, &boot) && boot.rip == 0x200040 &&
	   boot.mode == CPU_PROTECTED_MODE, "an ELF kernel");
	ok(mem->host[0x200800] == 0 && mem->host[0x201fff] == 0, "its bss is clear");
	((Elf64_Phdr *)(data + sizeof(Elf64_Ehdr)))->p_paddr = 0;
	ok(load_elf(mem, &files, &file, &boot), "not over the boot parameters");
}

static void test_memory_at(void)
{
	uint8_t byte;
	struct memory mem = { &byte, 4ULL << 30, LOW_RAM_END };

	ok(memory_at(&mem, 0, LOW_RAM_END) == &byte, "all of low memory");
	ok(!memory_at(&mem, 0, LOW_RAM_END + 1), "and no more");
	ok(!memory_at(&mem, LOW_RAM_END, 1), "the hole");
	ok(!memory_at(&mem, LOW_RAM_END - 1, 2), "into the hole");
	ok(memory_at(&mem, HIGH_RAM_START, 1ULL << 30) == &byte + LOW_RAM_END, "high memory");
	ok(!memory_at(&mem, HIGH_RAM_START, (1ULL << 30) + 1), "beyond high memory");
	ok(!memory_at(&mem, HIGH_RAM_START - 1, 2), "from the hole into high memory");
	ok(!memory_at(&mem, UINT64_MAX, 2) && !memory_at(&mem, 1, UINT64_MAX), "wrapping");
	ok(!memory_at(&mem, UINT64_MAX, 0), "nothing, beyond");
}

int main(void)
{
	struct memory mem = { .size = 64 << 20, .low = 64 << 20 };

	/* Reports of refused files are not what is tested. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	mem.host = malloc(mem.size);	/* with ASan's red zones at its ends */
	memset(mem.host, 0xaa, mem.size);
	test_memory_at();
	test_bzimage();
	test_elf();
	test_load(&mem);
	fuzz(make_bzimage, &mem, "bzImage");
	fuzz(make_elf, &mem, "ELF");
	free(mem.host);
	return tap_end();
}
