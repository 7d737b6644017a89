/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_VM_H
#define SELFTEST_VM_H

/*
 * The host's side of the library. Every function ends the test case if it
 * cannot do its work, unless it says otherwise.
 */

#include <linux/kvm.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "guest.h"

/*
 * Guest physical memory of vm_create(), which the 64-bit guest sees at the same
 * addresses: its page tables map the first 4 GiB one to one, in 2 MiB pages.
 */
#define GDT_GPA		0x1000ul
#define IDT_GPA		0x2000ul
#define TSS_GPA		0x4000ul	/* one of TSS_STRIDE bytes a vCPU */
#define TSS_STRIDE	0x80ul
#define AP_BOOT_GPA	0x8000ul	/* for a test's own SIPI trampoline */
#define PT_GPA		0x10000ul	/* page tables */
#define PT_END		0x80000ul
#define STACK_GPA	0x100000ul	/* one of STACK_SIZE a vCPU */
#define STACK_SIZE	0x8000ul
#define IMAGE_GPA	0x400000ul	/* where the linker puts the program */
#define TEST_GPA	0x1000000ul	/* from here on free for the test, to RAM_SIZE */
#define RAM_SIZE	0x2000000ul
#define NOWHERE_GPA	0xc0000000ul	/* no slot: MMIO */
#define MAX_GUEST_VCPUS	96

#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18
#define SEL_UDATA	0x20
#define SEL_UCODE64	0x28
#define SEL_CODE16	0x30
#define SEL_DATA16	0x38
#define SEL_TSS		0x40

#define MAX_REGIONS	64

struct region {
	uint32_t slot, flags;
	uint64_t gpa, size;
	void *hva;
};

struct vcpu;

struct vm {
	int kvm, fd;
	uint64_t pt_next;		/* next free page for guest page tables */
	uint64_t cr3;
	size_t run_size;
	struct region regions[MAX_REGIONS];
	struct vcpu *vcpus[MAX_GUEST_VCPUS];
};

struct vcpu {
	struct vm *vm;
	int fd;
	unsigned int id;
	struct kvm_run *run;
	struct ucall uc;		/* the last one */
	pthread_t thread;
	bool stop;			/* vcpu_stop() was called */
};

/** kvm_path() - the device node under test: $OKVM_DEVICE, or /dev/okvm, or /dev/kvm */
const char *kvm_path(void);

/** kvm_is_okvm() - the node is okvm's own: its answers are held to what it promises beyond KVM's */
bool kvm_is_okvm(void);

/** host_is_tcg() - the host is emulated by QEMU, whose SVM has gaps that tests must skip */
bool host_is_tcg(void);

/** host_is_bochs() - the host is emulated by Bochs */
bool host_is_bochs(void);

/** host_has_vmx() - VMX is what guests run on here */
bool host_has_vmx(void);

/** host_is_restricted() - VMX runs paged protected mode alone: the rest of a guest is emulated */
bool host_is_restricted(void);

/** okvm_parameter() - a parameter of okvm's module is on: what it names is in use */
bool okvm_parameter(const char *name);
/** okvm_has_pml() - it logs what a guest writes without an exit */
bool okvm_has_pml(void);

/** shadow_paging() - the device is okvm's, and guests run on shadow tables */
bool shadow_paging(void);

/** okvm_has_apicv() - the device is okvm's, and the CPU works on local APICs by itself */
bool okvm_has_apicv(void);

/** kvm_open() - a new system fd */
int kvm_open(void);

/** kvm_cap() - KVM_CHECK_EXTENSION on the system fd */
int kvm_cap(int cap);

/** require_cap() - skip the case if the capability is 0 */
#define require_cap(cap) TEST_REQUIRE(kvm_cap(cap) > 0, "no " #cap)

/** vm_create_empty() - a VM without memory */
struct vm *vm_create_empty(void);

/** vm_create() - a VM with RAM_SIZE of memory in slot 0, page tables, IDT and this program */
struct vm *vm_create(void);

/** vm_create_irqchip() - the same with PIC, IOAPIC and local APICs; skips without the capability */
struct vm *vm_create_irqchip(void);

/** vm_destroy() - close and unmap all that vm_create(), vm_add_mem() and vcpu_add() made */
void vm_destroy(struct vm *vm);

/** vm_add_mem() - a slot of new zeroed anonymous memory; returns where the host has it */
void *vm_add_mem(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint32_t flags);

/** vm_add_mem_at() - a slot on memory of the caller's */
void vm_add_mem_at(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint32_t flags,
		   void *hva);

/** vm_set_slot() - bare KVM_SET_USER_MEMORY_REGION: result and errno are the ioctl's */
int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, uint32_t flags,
		const void *hva);

/** vm_hva() - the host's address of guest physical memory that a slot backs */
void *vm_hva(struct vm *vm, uint64_t gpa);

/** vm_shared() - the guest's copy of a variable of the program */
#define vm_shared(vm, var) ((typeof(var) *)vm_hva(vm, (uintptr_t)&(var)))

/** vm_map() - map guest virtual pages of 4 KiB, above the 4 GiB of identity; @prot are PTE bits */
void vm_map(struct vm *vm, uint64_t gva, uint64_t gpa, uint64_t size, uint64_t prot);

/** vm_pte() - the host's address of the PTE that maps @gva; NULL if none */
uint64_t *vm_pte(struct vm *vm, uint64_t gva);

/** vcpu_add_raw() - a vCPU in the state that KVM gave it */
struct vcpu *vcpu_add_raw(struct vm *vm, unsigned int id);

/** vcpu_add() - a vCPU about to enter @fn in 64-bit mode, with all the CPUID that KVM supports */
struct vcpu *vcpu_add(struct vm *vm, unsigned int id, void (*fn)(void));

/** vcpu_enter64() - make an existing vCPU enter @fn, with @arg as its argument */
void vcpu_enter64(struct vcpu *vcpu, void *fn, uint64_t arg);

/** vcpu_enter32() - flat protected mode without paging, at @eip, all segments 4 GiB */
void vcpu_enter32(struct vcpu *vcpu, uint32_t eip);

/** vcpu_enter16() - real mode at @seg:@ip, all other segments @seg too */
void vcpu_enter16(struct vcpu *vcpu, uint16_t seg, uint16_t ip);

/**
 * GUEST_ASM() - 16- or 32-bit guest code, for vm_load_asm()
 * @name: symbol
 * @bits: 16, 32 or 64
 * @code: assembler text; position independent, as it runs where it is loaded
 */
#define GUEST_ASM(name, bits, code)						\
	extern const char name[], name##_end[];					\
	asm(".pushsection .rodata\n\t.code" #bits "\n"				\
	    ".globl " #name "\n" #name ":\n" code "\n"				\
	    ".globl " #name "_end\n" #name "_end:\n\t.code64\n\t.popsection")

/** vm_load_asm() - put code of GUEST_ASM() at @gpa */
#define vm_load_asm(vm, gpa, name) \
	memcpy(vm_hva(vm, gpa), name, name##_end - name)

/** vcpu_run() - bare KVM_RUN: result and errno are the ioctl's */
int vcpu_run(struct vcpu *vcpu);

/** vcpu_expect_exit() - run to the next exit, which must have this reason */
#define vcpu_expect_exit(vcpu, reason) \
	vcpu_expect_exit_at(vcpu, reason, #reason, __FILE__, __LINE__)
void vcpu_expect_exit_at(struct vcpu *vcpu, uint32_t reason, const char *name, const char *file,
			 int line);

/**
 * vcpu_next() - run to the next exit that is the test's business
 *
 * Prints GUEST_PRINTF lines; a failed GUEST_ASSERT or a trap that no handler
 * took fails the case. Returns UCALL_SYNC or UCALL_DONE with vcpu->uc filled, or
 * UCALL_NONE for any other exit.
 */
enum ucall_cmd vcpu_next(struct vcpu *vcpu);

/** vcpu_expect_sync() - run to GUEST_SYNC(@n); returns GUEST_SYNC_VAL's value */
#define vcpu_expect_sync(vcpu, n) vcpu_expect_sync_at(vcpu, n, __FILE__, __LINE__)
uint64_t vcpu_expect_sync_at(struct vcpu *vcpu, uint64_t n, const char *file, int line);

/** vcpu_expect_done() - run to GUEST_DONE() */
#define vcpu_expect_done(vcpu) vcpu_expect_done_at(vcpu, __FILE__, __LINE__)
void vcpu_expect_done_at(struct vcpu *vcpu, const char *file, int line);

/** vcpu_start() - run a vCPU in a thread of its own to GUEST_DONE() or vcpu_stop() */
void vcpu_start(struct vcpu *vcpu);

/** vcpu_join() - wait for the thread to end by itself */
void vcpu_join(struct vcpu *vcpu);

/** vcpu_stop() - make the thread leave the guest wherever it is, and wait for it */
void vcpu_stop(struct vcpu *vcpu);

/** vcpu_describe() - diagnostics: the last exit and where the guest is */
void vcpu_describe(struct vcpu *vcpu);

/** vcpu_stat() - a number of KVM_GET_STATS_FD by its name; ~0 if there is none of that name */
uint64_t vcpu_stat(struct vcpu *vcpu, const char *name);

/** kvm_supported_cpuid() - GET_SUPPORTED_CPUID; free() it */
struct kvm_cpuid2 *kvm_supported_cpuid(void);

/** kvm_has_tsc_adjust() - guests have that register: a CPU with CPUID's leaf 7 is enough for it */
bool kvm_has_tsc_adjust(void);

/** cpuid_find() - a leaf, or NULL */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t function, uint32_t index);

/** vcpu_set_cpuid() - SET_CPUID2 with all that is supported and the vCPU's own APIC id */
void vcpu_set_cpuid(struct vcpu *vcpu);

uint64_t vcpu_get_msr(struct vcpu *vcpu, uint32_t index);
void vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value);
/* These two return what the ioctl does: 1, 0 when the MSR was refused, or -1. */
int vcpu_try_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value);
int vcpu_try_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value);

struct kvm_regs vcpu_regs(struct vcpu *vcpu);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
struct kvm_sregs vcpu_sregs(struct vcpu *vcpu);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);

/**
 * vcpu_drop_to_user() - a vCPU about to enter its function does so at CPL 3
 *
 * User code gets the identity map, and ports by IOPL.
 */
void vcpu_drop_to_user(struct vcpu *vcpu);

/** guest_of() - the usual case: a VM and one vCPU about to enter @fn */
static inline struct vcpu *guest_of(void (*fn)(void))
{
	return vcpu_add(vm_create(), 0, fn);
}

/** run_guest() - the whole of a test that has no host side: enter @fn and expect GUEST_DONE() */
#define run_guest(fn) do {							\
	struct vcpu *v_ = guest_of(fn);						\
	vcpu_expect_done(v_);							\
	vm_destroy(v_->vm);							\
} while (0)

/** pio_data() - where an IO exit's data is */
static inline void *pio_data(struct vcpu *vcpu)
{
	return (char *)vcpu->run + vcpu->run->io.data_offset;
}

#endif
