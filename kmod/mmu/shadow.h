/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging, for CPUs without a second level of tables: the CPU walks tables of ours that map
 * the guest's linear addresses, derived from the guest's own tables and from the VM's tree of
 * guest pages (tdp.h), which no CPU then walks.
 */
#ifndef MMU_SHADOW_H
#define MMU_SHADOW_H

#include <linux/list.h>

#include "mmu/tdp.h"

/* KVM_SET_NR_MMU_PAGES takes no fewer. */
#define MIN_SHADOW_PAGES	64

#define SHADOW_HASH_BITS	10
#define SHADOW_RMAP_BITS	14

/* Whose entries a page shadows: their size and what is reserved in them depend on it. */
enum shadow_mode { SHADOW_32, SHADOW_PAE, SHADOW_LONG };

/**
 * union shadow_role - what a page shadows, besides its guest page
 * @level: of the page; the tables of 4 KiB entries are 1
 * @direct: maps guest pages in a row: no paging, or a piece of a guest's large page
 * @mode: enum shadow_mode; 0 in direct ones
 * @quadrant: which part of a table of 32-bit entries: each takes two or four pages
 * @nx: EFER.NX, without which the bit is reserved
 * @pse: CR4.PSE, without which 32-bit tables have no large pages
 * @word: all of it
 *
 * What the guest's CR0.WP, CR4.SMEP and CR4.SMAP change is decided by the CPU, which has them, or
 * on each fault: no page depends on it.
 */
union shadow_role {
	struct {
		u32 level:3, direct:1, mode:2, quadrant:2, nx:1, pse:1;
	};
	u32 word;
};

struct shadow_page;

/**
 * struct shadow_link - one entry's place in the list of what points where it does
 * @node: at level 1 in the chain of the guest page's mappings, else in the child's parents
 * @page: the entry's table
 * @guest: the guest's entry that it was made from; 0 in direct tables
 */
struct shadow_link {
	struct hlist_node node;
	struct shadow_page *page;
	u64 guest;
};

/**
 * struct shadow_page - a table that the CPU walks; all under the link's lock held for writing,
 *	but that the dirty log and aging change bits of leaves under the lock held for reading
 * @hash: among those of the same guest page
 * @node: in the VM's list, least recently looked up first; or in a list of dead ones
 * @gfn: the guest's table; for direct ones the first guest page that it maps
 * @role: what it is
 * @users: vCPUs that have it as a root
 * @dead: no longer in the VM's list and hash, though a vCPU has it
 * @writes: guest writes to the table since it was last used for a fault
 * @table: the hardware's entries
 * @links: for each entry
 * @parents: the links of entries that point here
 */
struct shadow_page {
	struct hlist_node hash;
	struct list_head node;
	u64 gfn;
	union shadow_role role;
	unsigned int users;
	bool dead;
	u8 writes;
	u64 *table;
	struct shadow_link *links;
	struct hlist_head parents;
};

/**
 * struct okvm_shadow - a VM's shadow pages; under the link's lock
 * @active: all of them
 * @nr: how many
 * @stale: TLBs may have what is no longer in the tables
 * @hash: by guest page
 * @rmap: chains of the links of level 1, by the guest page that they map
 */
struct okvm_shadow {
	struct list_head active;
	unsigned long nr;
	bool stale;
	struct hlist_head hash[1 << SHADOW_HASH_BITS];
	struct hlist_head rmap[1 << SHADOW_RMAP_BITS];
};

int shadow_create(struct okvm_vm *vm);
void shadow_destroy(struct okvm_vm *vm);
unsigned long shadow_limit(struct okvm_vm *vm);
void shadow_reclaim(struct okvm_vm *vm, unsigned long limit);
void shadow_vcpu_free(struct okvm_vcpu *vcpu);

int shadow_top_up(struct okvm_vcpu *vcpu);
struct shadow_page *shadow_get(struct okvm_vcpu *vcpu, u64 gfn, union shadow_role role);
int shadow_read_entry(struct okvm_vcpu *vcpu, const struct shadow_page *page, u64 gpa, u64 *entry);
bool shadow_is_table(struct okvm_vm *vm, u64 gfn);
void shadow_set(struct okvm_vm *vm, struct shadow_page *page, unsigned int index, u64 pte,
		u64 guest);
struct shadow_page *shadow_child(u64 pte);
void shadow_resync(struct okvm_vcpu *vcpu, struct shadow_page *page, unsigned int index);
void shadow_zap_all(struct okvm_vm *vm, struct list_head *dead);
void shadow_zap_tables_of(struct okvm_vm *vm, u64 gfn, struct list_head *dead);
void shadow_flush(struct okvm_vm *vm);
void shadow_free(struct okvm_vm *vm, struct list_head *dead);
void shadow_put_roots(struct okvm_vcpu *vcpu, struct list_head *dead);

void shadow_zap_range(struct okvm_vm *vm, u64 start, u64 end);
void shadow_protect(struct okvm_vm *vm, u64 gfn);
bool shadow_young(struct okvm_vm *vm, u64 gfn, bool clear);

/* shadow_fault.c */
int shadow_load(struct okvm_vcpu *vcpu);

/* Both have the x86 format. */
#define SHADOW_P	BIT_ULL(0)
#define SHADOW_W	BIT_ULL(1)
#define SHADOW_U	BIT_ULL(2)
#define SHADOW_A	BIT_ULL(5)
#define SHADOW_D	BIT_ULL(6)
#define SHADOW_PS	BIT_ULL(7)
#define SHADOW_NX	BIT_ULL(63)
#define SHADOW_FRAME	GENMASK_ULL(51, 12)

#endif
