// SPDX-License-Identifier: GPL-2.0-only
/* Guest RAM: a private mapping of this process, given to KVM as one or two memory slots. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#include "memory.h"
#include "report.h"

#define HUGE_PAGE	(2ULL << 20)

/* THP can only back a guest's 2 MiB page when host and guest address agree modulo 2 MiB. */
static void *map_aligned(uint64_t size)
{
	uint64_t padded = size + HUGE_PAGE;
	uint8_t *raw, *aligned;

	raw = mmap(NULL, padded, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return raw;
	aligned = (uint8_t *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (aligned > raw)
		munmap(raw, (size_t)(aligned - raw));
	munmap(aligned + size, (size_t)(raw + padded - (aligned + size)));
	madvise(aligned, size, MADV_HUGEPAGE);
	return aligned;
}

/**
 * memory_create - allocate guest RAM
 * @mem: filled in
 * @size: bytes, a multiple of the page size
 * @hugepages: take it from the reserved 2 MiB pages (hugetlb) and nowhere else
 *
 * Return: 0, or -1 after a report.
 */
int memory_create(struct memory *mem, uint64_t size, bool hugepages)
{
	void *host;

	if (hugepages)
		host = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			    (21 << MAP_HUGE_SHIFT), -1, 0);
	else
		host = map_aligned(size);
	if (host == MAP_FAILED && hugepages)
		report("cannot reserve %llu huge pages of 2M (%s): reserve them with "
		       "sysctl vm.nr_hugepages=%llu, or leave out --hugepages",
		       (unsigned long long)(size / HUGE_PAGE), strerror(errno),
		       (unsigned long long)(size / HUGE_PAGE));
	else if (host == MAP_FAILED)
		report("cannot map %llu MiB of guest memory: %s; ask for less with --mem",
		       (unsigned long long)(size >> 20), strerror(errno));
	if (host == MAP_FAILED)
		return -1;
	mem->host = host;
	mem->size = size;
	mem->low = size < LOW_RAM_END ? size : LOW_RAM_END;
	return 0;
}

static int set_slot(int vm_fd, uint32_t slot, uint64_t gpa, uint64_t size, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (!ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
		return 0;
	report("KVM_SET_USER_MEMORY_REGION for %llu MiB at %#llx: %s",
	       (unsigned long long)(size >> 20), (unsigned long long)gpa, strerror(errno));
	return -1;
}

/**
 * memory_register - make the VM see its RAM
 * @mem: guest RAM
 * @vm_fd: the VM
 *
 * Return: 0, or -1 after a report.
 */
int memory_register(const struct memory *mem, int vm_fd)
{
	if (set_slot(vm_fd, 0, 0, mem->low, mem->host))
		return -1;
	if (mem->size == mem->low)
		return 0;
	return set_slot(vm_fd, 1, HIGH_RAM_START, mem->size - mem->low, mem->host + mem->low);
}

/**
 * memory_destroy - give guest RAM back
 * @mem: guest RAM, not in use by any thread
 */
void memory_destroy(struct memory *mem)
{
	if (mem->host)
		munmap(mem->host, mem->size);
	mem->host = NULL;
}
