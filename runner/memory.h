/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_MEMORY_H
#define RUNNER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Guest-physical layout. RAM beyond LOW_RAM_END continues at HIGH_RAM_START. */
#define LOW_RAM_END		0xc0000000ULL
#define HIGH_RAM_START		0x100000000ULL
#define PCI_MEM_START		0xc0000000ULL
#define PCI_MEM_END		0xf0000000ULL
#define PCI_IO_START		0xc000U
#define PCI_IO_END		0x10000U
#define IOAPIC_BASE		0xfec00000U
#define LAPIC_BASE		0xfee00000U
#define KVM_TSS_BASE		0xfffbd000U	/* three pages: Intel without unrestricted guest */

/* Below 1 MiB: what the boot loaders and ACPI put there. */
#define BOOT_GDT		0x500U
#define BOOT_INFO		0x7000U		/* zero page, or PVH start info */
#define BOOT_STACK		0x9000U		/* grows down */
#define BOOT_PAGE_TABLES	0x9000U		/* six pages */
#define BOOT_CMDLINE		0x20000U
#define BOOT_CMDLINE_MAX	0x10000U
#define LEGACY_RAM_END		0xa0000U
#define ACPI_TABLES		0xe0000U
#define ACPI_TABLES_END		0x100000U
#define MAIN_RAM_START		0x100000U

/**
 * struct memory - guest RAM, one host mapping that backs one or two guest-physical ranges
 * @host: the mapping
 * @size: bytes of RAM in all
 * @low: bytes of it from guest-physical 0; the rest starts at HIGH_RAM_START
 */
struct memory {
	uint8_t *host;
	uint64_t size, low;
};

/**
 * memory_at - translate a guest-physical range that must be RAM
 * @mem: guest RAM
 * @gpa: first byte; hostile
 * @len: length in bytes; hostile
 *
 * Return: where the range is mapped, or NULL unless every byte of it is RAM.
 */
static inline void *memory_at(const struct memory *mem, uint64_t gpa, uint64_t len)
{
	uint64_t high = mem->size - mem->low;

	if (gpa < mem->low)
		return len <= mem->low - gpa ? mem->host + gpa : NULL;
	if (gpa < HIGH_RAM_START || gpa - HIGH_RAM_START >= high)
		return NULL;
	gpa -= HIGH_RAM_START;
	return len <= high - gpa ? mem->host + mem->low + gpa : NULL;
}

/**
 * memory_boot - where what a boot needs lies: RAM that every guest has
 * @mem: guest RAM
 * @gpa: first byte, below MAIN_RAM_START
 * @len: length in bytes
 *
 * Return: where the range is mapped; ends the program when that is not RAM, its own slip.
 */
static inline void *memory_boot(const struct memory *mem, uint64_t gpa, uint64_t len)
{
	void *at = memory_at(mem, gpa, len);

	if (!at)
		abort();
	return at;
}

int memory_create(struct memory *mem, uint64_t size, bool hugepages);
int memory_register(const struct memory *mem, int vm_fd);
void memory_destroy(struct memory *mem);

#endif
