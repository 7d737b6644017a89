/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk through a guest's own page tables, for every paging mode of the architecture. Pure:
 * tables are read and changed by callbacks; builds in user space too.
 */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "emulate/env.h"
#include "mmu/access.h"

#define WALK_MAX_LEVEL	5

/* A guest fault found by a walk, ready for okvm_queue_page_fault() or #GP. */
struct okvm_walk_fault {
	u8 vector;		/* PF_VECTOR, GP_VECTOR or SS_VECTOR */
	u32 error;
	u64 address;
};

/* Bits of struct walk_ctxt.features. */
#define WALK_WP		0x001	/* CR0.WP */
#define WALK_PSE	0x002	/* CR4.PSE, for 32-bit tables */
#define WALK_NX		0x004	/* EFER.NXE */
#define WALK_SMEP	0x008	/* CR4.SMEP */
#define WALK_SMAP	0x010	/* CR4.SMAP */
#define WALK_AC		0x020	/* RFLAGS.AC */
#define WALK_PKE	0x040	/* CR4.PKE */
#define WALK_1G		0x080	/* the CPU has 1 GiB pages */
#define WALK_AMD	0x100	/* the G bit is reserved at levels 4 and 5 */

/**
 * struct walk_level - one level of a paging mode
 * @shift: lowest bit of the linear address that indexes it
 * @rights: the entry has R/W, U/S, A and XD bits
 * @index_mask: after the shift
 * @large: PS says that the entry maps a page. At level 1 every entry does.
 * @large_needs: if the WALK_* bit is there
 * @table_reserved: bits that must be 0 in an entry that points to a table
 * @leaf_reserved: bits that must be 0 in one that maps a page
 */
struct walk_level {
	u8 shift;
	bool rights, large;
	u16 index_mask;
	u32 large_needs;
	u64 table_reserved, leaf_reserved;
};

/**
 * struct walk_mode - a paging mode
 * @levels: of tables; 0: no paging
 * @entry_bytes: 4 or 8
 * @linear_bits: significant bits of a linear address; 32, or the rest is their sign
 * @root_mask: bits of CR3 that are the root's address
 * @level: by number, 1 the lowest
 */
struct walk_mode {
	u8 levels, entry_bytes, linear_bits;
	u64 root_mask;
	struct walk_level level[WALK_MAX_LEVEL + 1];
};

extern const struct walk_mode walk_none, walk_32, walk_pae, walk_4_level, walk_5_level;

/* What a callback returns when the guest's table is not in RAM, or is in read-only memory. */
#define WALK_NO_RAM	(-1)
#define WALK_READ_ONLY	(-2)

/**
 * struct walk_ops - access to the guest's tables
 * @read: reads an aligned entry of @bytes into @entry. 0 or WALK_NO_RAM.
 * @update: changes an entry from @old to @new, atomically. 0; 1: it is no longer @old;
 *	WALK_READ_ONLY, WALK_NO_RAM.
 */
struct walk_ops {
	int (*read)(void *priv, u64 gpa, u64 *entry, unsigned int bytes);
	int (*update)(void *priv, u64 gpa, u64 old, u64 new, unsigned int bytes);
};

/**
 * struct walk_ctxt - the vCPU's state, as far as a walk depends on it
 * @mode: paging mode
 * @cr3: root
 * @features: WALK_* bits
 * @pkru: protection key rights
 * @reserved_gpa: physical address bits that the guest's CPU does not have
 * @ops: access to tables
 * @priv: its first argument
 */
struct walk_ctxt {
	const struct walk_mode *mode;
	u64 cr3;
	u32 features;
	u32 pkru;
	u64 reserved_gpa;
	const struct walk_ops *ops;
	void *priv;
};

/**
 * struct walk - a walk, and what it has met
 * @ctxt: what it depends on
 * @linear: the address
 * @access: ACCESS_* bits
 * @rights: R/W and U/S, set when every level has them; XD, set when one has it
 * @in_all: bits that are set in the entries of all levels that have rights
 * @level: where the walk is, and at the end the leaf's; 0: no paging
 * @gpa: address of each level's entry
 * @entry: its value, with what the walk has marked in it
 */
struct walk {
	const struct walk_ctxt *ctxt;
	u64 linear;
	u32 access;
	u64 rights;
	u64 in_all;
	int level;
	u64 gpa[WALK_MAX_LEVEL + 1];
	u64 entry[WALK_MAX_LEVEL + 1];
};

/* Had every entry on the way, as it was read, its accessed bit? */
static inline bool walk_all_accessed(const struct walk *w)
{
	return w->in_all & (1 << 5);
}

const struct walk_mode *walk_mode_of(bool paging, bool pae, bool long_mode, bool la57);
int walk_to_leaf(struct walk *w, u64 *gpa, struct okvm_walk_fault *fault);
int walk_translate(const struct walk_ctxt *ctxt, u64 linear, u32 access, u64 *gpa,
		   struct okvm_walk_fault *fault);

#endif
