/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory: slots, second-level tables, guest page walks, dirty logs, MMU notifiers. */
#ifndef OKVM_MMU_H
#define OKVM_MMU_H

#include <linux/kvm_types.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "mmu/access.h"
#include "mmu/walk.h"

struct okvm_vm;
struct okvm_vcpu;
struct kvm_dirty_gfn;
struct okvm_slots;
struct mm_link;
struct okvm_shadow;
struct shadow_page;

/**
 * struct okvm_vm_mmu - a VM's part
 * @slots: the current slots object. Replaced under slots_lock and the link's lock held for
 *	writing; vCPUs read it through hazard pointers, others under one of the two locks.
 * @slots_wait: where a writer waits for vCPUs that still hold the object it replaced.
 * @by_id: slots by number, under slots_lock.
 * @link: the tie to the VMM's address space; holds the lock of the second-level tables. It
 *	outlives the VM until the last notifier callback has returned.
 * @root: the second-level root table's physical address, 0 until the first entry; set once.
 * @pml: the CPU tells which pages of dirty logs it writes: okvm_hw.pml, and no dirty rings, which
 *	do not have room for all that it may have to tell; constant once there is a vCPU.
 * @dirty_logs: slots that have a dirty log; written under slots_lock.
 * @manual_dirty: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2's options, under slots_lock.
 * @total_pages: guest pages in all slots, under slots_lock.
 * @shadow_pages: how many shadow pages user space allows, 0: it did not say; written under
 *	slots_lock.
 * @ring_size: bytes of each vCPU's dirty ring, or 0; set once, before the first vCPU.
 * @shadow: without two-dimensional paging: the tables that the CPU walks; else NULL.
 */
struct okvm_vm_mmu {
	struct okvm_slots *slots;
	wait_queue_head_t slots_wait;
	struct xarray by_id;
	struct mm_link *link;
	hpa_t root;
	bool pml;
	unsigned int dirty_logs;
	u64 manual_dirty;
	unsigned long total_pages;
	unsigned int shadow_pages;
	u32 ring_size;
	struct okvm_shadow *shadow;
};

/* Enough tables for one fault: every level under a 5-level root. */
#define TABLE_CACHE_SIZE	4

/* How many shadow pages one fault, or one load of roots, can need. */
#define SHADOW_CACHE_SIZE	4
#define SHADOW_ROOTS		4

/* What a walk meets at most: five levels. */
#define FETCH_LEVELS	5

/**
 * struct fetch_way - the way to a page of code, as a walk found it
 * @generation: of the slots object; 0: nothing is here
 * @page: linear page number
 * @user: the walk's rights
 * @n: how many entries; 0: no paging
 * @cr0, @cr3, @cr4, @efer: the vCPU's
 * @features, @reserved_gpa: its CPUID's
 * @code: user address of the page
 * @table: user address of each entry
 * @entry: its value
 */
struct fetch_way {
	u64 generation, page;
	bool user;
	u8 n;
	unsigned long cr0, cr3, cr4;
	u64 efer, features, reserved_gpa;
	void __user *code;
	u64 __user *table[FETCH_LEVELS];
	u64 entry[FETCH_LEVELS];
};

/**
 * struct dirty_ring - pages that a vCPU has dirtied and that user space has not yet given back
 * @entries: shared with user space, hostile; NULL without KVM_CAP_DIRTY_LOG_RING
 * @next: the vCPU's thread fills this one next
 * @reset: user space gives this one back next; under slots_lock
 */
struct dirty_ring {
	struct kvm_dirty_gfn *entries;
	u32 next, reset;
};

/**
 * struct okvm_vcpu_mmu - a vCPU's part, its thread's alone
 * @root: the root that the backend runs on
 * @slot_hint: index of the slot of the last lookup
 * @fetch: pages that instructions were fetched from, by their number's lowest bits
 * @nr_tables: filled entries of @tables
 * @tables: zeroed pages, so that nothing is allocated under a lock
 * @ring: its dirty ring
 * @nr_shadow: filled entries of @shadow
 * @shadow: the same for shadow pages
 * @roots: the shadow pages that it runs on, one, or four under a root of the PAE format
 * @pae_root: that root
 * @retry: an instruction that writes to a table and could not be emulated, and how often it came
 */
struct okvm_vcpu_mmu {
	hpa_t root;
	unsigned int slot_hint;
	struct fetch_way fetch[4];
	unsigned int nr_tables;
	void *tables[TABLE_CACHE_SIZE];
	struct dirty_ring ring;
	unsigned int nr_shadow;
	struct shadow_page *shadow[SHADOW_CACHE_SIZE];
	struct shadow_page *roots[SHADOW_ROOTS];
	u64 *pae_root;
	struct { unsigned long rip; unsigned int n; } retry;
};

int okvm_mmu_setup(void);
void okvm_mmu_unsetup(void);
int okvm_mmu_vm_create(struct okvm_vm *vm);
void okvm_mmu_vm_release(struct okvm_vm *vm);	/* stop the notifier, free all tables */
void okvm_mmu_vm_destroy(struct okvm_vm *vm);	/* free slots; no reader is left */
int okvm_mmu_vcpu_create(struct okvm_vcpu *vcpu);
void okvm_mmu_vcpu_free(struct okvm_vcpu *vcpu);
long okvm_mmu_pages(struct okvm_vm *vm);	/* pages that the second-level tables take */
int okvm_mmu_load(struct okvm_vcpu *vcpu);	/* on REQ_MMU_RELOAD: make and set the root */
int okvm_mmu_set_dirty_log(struct okvm_vcpu *vcpu); /* on REQ_DIRTY_LOG */
void okvm_mmu_vcpu_reset(struct okvm_vcpu *vcpu); /* a reset, or CR0.PG, WP, CR4, EFER changed */

/* Dirty rings: their pages in a vCPU's mapping; is user space to empty this vCPU's? */
struct page *okvm_dirty_ring_page(struct okvm_vcpu *vcpu, unsigned long pgoff);
bool okvm_dirty_ring_maps(struct okvm_vcpu *vcpu, unsigned long pgoff, unsigned long npages);
bool okvm_dirty_ring_full(struct okvm_vcpu *vcpu);

/*
 * The backend's own pages in a VM's guest-physical space, above all that slots can have:
 * okvm_hw.private_pages from that address on.
 */
gpa_t okvm_mmu_private_gpa(void);
int okvm_mmu_map_private(struct okvm_vm *vm, unsigned int index, void *page);

/*
 * A second-level fault: RESUME_GUEST when mapped, FAULT_EMULATE when there is no slot or a write
 * meets a read-only one, or an errno.
 */
#define FAULT_EMULATE	2
int okvm_mmu_fault(struct okvm_vcpu *vcpu, gpa_t gpa, u32 access);
/* The CPU set the dirty bits of @n pages' entries. The vCPU's thread; interrupts may be off. */
void okvm_mmu_written(struct okvm_vcpu *vcpu, const u64 *gpas, unsigned int n);
/* A page of the kernel's where no slot is: unless *@not is set, as the above; take it away. */
int okvm_mmu_map_own(struct okvm_vcpu *vcpu, gpa_t gpa, hpa_t phys, const atomic_t *not);
void okvm_mmu_unmap_own(struct okvm_vm *vm, gpa_t gpa);

void okvm_mmu_new_cr3(struct okvm_vcpu *vcpu);	/* CR3 was written, or read anew */

/* Without two-dimensional paging: a #PF of the guest's, its INVLPG, its writes by our hand. */
int okvm_shadow_fault(struct okvm_vcpu *vcpu, u64 linear, u32 error);
void okvm_shadow_invlpg(struct okvm_vcpu *vcpu, u64 linear);
void okvm_shadow_written(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len);
bool okvm_shadow_unprotect(struct okvm_vcpu *vcpu, gpa_t gpa);
bool okvm_shadow_watches(struct okvm_vm *vm, u64 gfn);

/*
 * Guest memory by physical address, from the vCPU's thread; may sleep. 0 or -EFAULT: no slot, or
 * user memory that is not there.
 */
int okvm_read_guest(struct okvm_vcpu *vcpu, gpa_t gpa, void *buf, unsigned int len);
int okvm_write_guest(struct okvm_vcpu *vcpu, gpa_t gpa, const void *buf, unsigned int len);

/*
 * The same by linear address, through the guest's page tables; 0, 1 with *fault filled, or
 * -EFAULT: no RAM there.
 */
int okvm_read_virt(struct okvm_vcpu *vcpu, u64 linear, void *buf, unsigned int len, u32 access,
		   struct okvm_walk_fault *fault);
int okvm_write_virt(struct okvm_vcpu *vcpu, u64 linear, const void *buf, unsigned int len,
		    u32 access, struct okvm_walk_fault *fault);
struct walk_ctxt;
void okvm_walk_as(struct okvm_vcpu *vcpu, struct walk_ctxt *ctxt);
int okvm_fetch(struct okvm_vcpu *vcpu, u64 linear, void *buf, unsigned int len, bool user,
	       struct okvm_walk_fault *fault);

/*
 * Linear to physical: 0, or 1 with *fault filled. Sets the guest's A and D bits as the CPU would.
 */
int okvm_translate(struct okvm_vcpu *vcpu, u64 linear, u32 access, gpa_t *gpa,
		   struct okvm_walk_fault *fault);

/*
 * Atomic compare-and-exchange of 1, 2, 4, 8 or 16 naturally aligned bytes in guest RAM. 0: done,
 * 1: *old differs (updated), -EFAULT.
 */
int okvm_cmpxchg_guest(struct okvm_vcpu *vcpu, gpa_t gpa, void *old, const void *new,
		       unsigned int len);
bool okvm_gpa_is_ram(struct okvm_vcpu *vcpu, gpa_t gpa, bool write);

/*
 * Hold the slots: between begin and end they cannot go away. Nests; may sleep inside; never
 * across a guest entry.
 */
void okvm_slots_begin(struct okvm_vcpu *vcpu);
void okvm_slots_end(struct okvm_vcpu *vcpu);

#endif
