// SPDX-License-Identifier: GPL-2.0-only
/* VMs, their memory, and the page tables and descriptor tables of 64-bit guests. */

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "vm.h"

#define TRAP_STUB_SIZE	16

extern const Elf64_Ehdr __ehdr_start;	/* by the linker */
extern const char trap_stubs[];

const char *kvm_path(void)
{
	const char *p = getenv("OKVM_DEVICE");

	if (p)
		return p;
	return access("/dev/okvm", F_OK) ? "/dev/kvm" : "/dev/okvm";
}

bool kvm_is_okvm(void)
{
	return !strcmp(kvm_path(), "/dev/okvm");
}

bool host_is_tcg(void)
{
	uint32_t r[4];

	guest_cpuid(0x40000000, 0, r);
	return !memcmp(&r[1], "TCGTCGTCGTCG", 12);
}

/* It has no CPUID leaf of its own, but its BIOS signs the tables. */
bool host_is_bochs(void)
{
	char table[16] = "";
	uint32_t r[4];
	FILE *f;

	guest_cpuid(1, 0, r);
	f = r[2] >> 31 ? NULL : fopen("/sys/firmware/acpi/tables/FACP", "r");
	if (!f)
		return false;
	if (fread(table, sizeof(table), 1, f) != 1)
		table[10] = 0;
	fclose(f);
	return !memcmp(table + 10, "BOCHS", 5);
}

bool host_has_vmx(void)
{
	uint32_t r[4];

	guest_cpuid(1, 0, r);
	return r[2] & 1u << 5;
}

static bool parameter(const char *module, const char *name)
{
	char path[128];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, name);
	f = fopen(path, "r");
	c = f ? getc(f) : 'N';
	if (f)
		fclose(f);
	return c == 'Y';
}

bool okvm_parameter(const char *name)
{
	return parameter("okvm", name);
}

bool host_is_restricted(void)
{
	if (!host_has_vmx())
		return false;
	return kvm_is_okvm() ? !okvm_parameter("unrestricted") :
			       !parameter("kvm_intel", "unrestricted_guest");
}

bool okvm_has_pml(void)
{
	return kvm_is_okvm() && host_has_vmx() && okvm_parameter("pml");
}

bool shadow_paging(void)
{
	return kvm_is_okvm() && !okvm_parameter("tdp");
}

bool okvm_has_apicv(void)
{
	/* TPR accesses are reported where the CPU does not take them. */
	return kvm_is_okvm() && host_has_vmx() && !kvm_cap(KVM_CAP_VAPIC);
}

int kvm_open(void)
{
	int fd = open(kvm_path(), O_RDWR | O_CLOEXEC);

	TEST_ASSERT(fd >= 0, "open %s", kvm_path());
	return fd;
}

int kvm_cap(int cap)
{
	int fd = kvm_open();
	int r = ioctl_ok(fd, KVM_CHECK_EXTENSION, cap);

	close(fd);
	return r;
}

struct vm *vm_create_empty(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	TEST_ASSERT(vm, "no memory");
	vm->kvm = kvm_open();
	vm->fd = ioctl_ok(vm->kvm, KVM_CREATE_VM, 0);
	vm->run_size = ioctl_ok(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	return vm;
}

int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint32_t flags,
		const void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

void vm_add_mem_at(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint32_t flags,
		   void *hva)
{
	struct region *r = vm->regions;

	while (r < vm->regions + MAX_REGIONS && r->size)
		r++;
	TEST_ASSERT(r < vm->regions + MAX_REGIONS, "over %d regions", MAX_REGIONS);
	TEST_ASSERT(!vm_set_slot(vm, slot, gpa, size, flags, hva),
		    "KVM_SET_USER_MEMORY_REGION: slot %u gpa %#lx size %#lx", slot, gpa, size);
	*r = (struct region) { slot, flags, gpa, size, hva };
}

void *vm_add_mem(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint32_t flags)
{
	/* Aligned to a huge page, so that a test of those can have them. */
	uint64_t room = size + SZ_2M;
	char *p = mmap(NULL, room, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *hva = (char *)(((uintptr_t)p + SZ_2M - 1) & ~(SZ_2M - 1));

	TEST_ASSERT(p != MAP_FAILED, "mmap");
	if (hva > p)
		munmap(p, hva - p);
	munmap(hva + size, p + room - (hva + size));
	vm_add_mem_at(vm, slot, gpa, size, flags, hva);
	return hva;
}

void *vm_hva(struct vm *vm, uint64_t gpa)
{
	for (struct region *r = vm->regions; r < vm->regions + MAX_REGIONS; r++)
		if (r->size && gpa >= r->gpa && gpa - r->gpa < r->size)
			return (char *)r->hva + (gpa - r->gpa);
	test_fail(__FILE__, __LINE__, 0, "vm_hva", "no slot backs gpa %#lx", gpa);
}

static uint64_t alloc_table(struct vm *vm)
{
	uint64_t gpa = vm->pt_next;

	TEST_ASSERT(gpa < PT_END, "no room for guest page tables");
	vm->pt_next += PAGE_SIZE;
	return gpa;
}

/* The entry of @gva at @level (1 is the last); NULL if a level above is missing. */
static uint64_t *table_entry(struct vm *vm, uint64_t gva, int level, bool make)
{
	uint64_t table = vm->cr3;

	for (int l = 4;; l--) {
		uint64_t *e = (uint64_t *)vm_hva(vm, table) + (gva >> (12 + 9 * (l - 1)) & 511);

		if (l == level || (*e & PTE_PS))
			return e;
		if (!(*e & PTE_P)) {
			if (!make)
				return NULL;
			*e = alloc_table(vm) | PTE_P | PTE_W | PTE_U;
		}
		table = *e & 0xffffffffff000ul;
	}
}

void vm_map(struct vm *vm, uint64_t gva, uint64_t gpa, uint64_t size, uint64_t prot)
{
	for (uint64_t off = 0; off < size; off += PAGE_SIZE) {
		uint64_t *e = table_entry(vm, gva + off, 1, true);

		TEST_ASSERT(!(*e & PTE_PS), "%#lx is mapped by a large page", gva + off);
		*e = (gpa + off) | prot;
	}
}

uint64_t *vm_pte(struct vm *vm, uint64_t gva)
{
	return table_entry(vm, gva, 1, false);
}

static void build_page_tables(struct vm *vm)
{
	vm->pt_next = PT_GPA;
	vm->cr3 = alloc_table(vm);
	for (uint64_t gpa = 0; gpa < 4 * SZ_1G; gpa += SZ_2M)
		*table_entry(vm, gpa, 2, true) = gpa | PTE_P | PTE_W | PTE_PS;
}

static void build_descriptor_tables(struct vm *vm)
{
	static const uint64_t gdt[] = {
		[SEL_CODE64 / 8] = 0x00af9b000000ffff,
		[SEL_DATA / 8] = 0x00cf93000000ffff,
		[SEL_CODE32 / 8] = 0x00cf9b000000ffff,
		[SEL_UDATA / 8] = 0x00cff3000000ffff,
		[SEL_UCODE64 / 8] = 0x00affb000000ffff,
		[SEL_CODE16 / 8] = 0x00009b000000ffff,
		[SEL_DATA16 / 8] = 0x000093000000ffff,
	};
	struct {
		uint16_t lo, sel;
		uint8_t ist, type;
		uint16_t mid;
		uint32_t hi, zero;
	} *idt = vm_hva(vm, IDT_GPA);

	memcpy(vm_hva(vm, GDT_GPA), gdt, sizeof(gdt));
	for (int i = 0; i < 256; i++) {
		uint64_t fn = (uintptr_t)trap_stubs + i * TRAP_STUB_SIZE;

		idt[i].lo = fn;
		idt[i].mid = fn >> 16;
		idt[i].hi = fn >> 32;
		idt[i].sel = SEL_CODE64;
		idt[i].type = 0x8e;
	}
}

static void load_image(struct vm *vm)
{
	const Elf64_Phdr *ph = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);

	for (int i = 0; i < __ehdr_start.e_phnum; i++, ph++) {
		if (ph->p_type != PT_LOAD)
			continue;
		TEST_ASSERT(ph->p_vaddr >= IMAGE_GPA && ph->p_vaddr + ph->p_memsz <= TEST_GPA,
			    "the program's image is out of place: %#lx", ph->p_vaddr);
		memcpy(vm_hva(vm, ph->p_vaddr), (const void *)ph->p_vaddr, ph->p_memsz);
	}
}

static void populate(struct vm *vm)
{
	vm_add_mem(vm, 0, 0, RAM_SIZE, 0);
	build_page_tables(vm);
	build_descriptor_tables(vm);
	load_image(vm);
}

struct vm *vm_create(void)
{
	struct vm *vm = vm_create_empty();

	populate(vm);
	return vm;
}

struct vm *vm_create_irqchip(void)
{
	struct vm *vm;

	require_cap(KVM_CAP_IRQCHIP);
	vm = vm_create_empty();
	ioctl_ok(vm->fd, KVM_CREATE_IRQCHIP, 0);
	populate(vm);
	return vm;
}

void vm_destroy(struct vm *vm)
{
	for (int i = 0; i < MAX_GUEST_VCPUS; i++) {
		struct vcpu *v = vm->vcpus[i];

		if (!v)
			continue;
		munmap(v->run, vm->run_size);
		close(v->fd);
		free(v);
	}
	close(vm->fd);
	close(vm->kvm);
	for (struct region *r = vm->regions; r < vm->regions + MAX_REGIONS; r++)
		if (r->size)
			munmap(r->hva, r->size);
	free(vm);
}
