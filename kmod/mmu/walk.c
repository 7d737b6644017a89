// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest page walk. SDM vol. 3, chapter "Paging" and APM vol. 2, chapter "Page Translation and
 * Protection". A paging mode is a table of levels; nothing else depends on the mode.
 */
#include "mmu/walk.h"

#define PTE_P		(1ULL << 0)
#define PTE_RW		(1ULL << 1)
#define PTE_US		(1ULL << 2)
#define PTE_A		(1ULL << 5)
#define PTE_D		(1ULL << 6)
#define PTE_PS		(1ULL << 7)
#define PTE_G		(1ULL << 8)
#define PTE_NX		(1ULL << 63)
#define PTE_KEY_SHIFT	59
#define FRAME_MASK	0x000ffffffffff000ULL

#define ERR_P		(1U << 0)
#define ERR_W		(1U << 1)
#define ERR_U		(1U << 2)
#define ERR_RSVD	(1U << 3)
#define ERR_I		(1U << 4)
#define ERR_PK		(1U << 5)

#define VECTOR_GP	13
#define VECTOR_PF	14

#define BITS(high, low)	((~0ULL >> (63 - (high))) & (~0ULL << (low)))

/* PAE entries have no use for bits 52 to 62; in long mode software does. */
#define PAE_HIGH	BITS(62, 52)

const struct walk_mode walk_none;

const struct walk_mode walk_32 = {
	.levels = 2, .entry_bytes = 4, .linear_bits = 32, .root_mask = BITS(31, 12),
	.level = {
		[1] = { .shift = 12, .index_mask = 1023, .rights = true },
		[2] = { .shift = 22, .index_mask = 1023, .rights = true, .large = true,
			.large_needs = WALK_PSE, .leaf_reserved = BITS(21, 21) },
	},
};

const struct walk_mode walk_pae = {
	.levels = 3, .entry_bytes = 8, .linear_bits = 32, .root_mask = BITS(31, 5),
	.level = {
		[1] = { .shift = 12, .index_mask = 511, .rights = true, .leaf_reserved = PAE_HIGH },
		[2] = { .shift = 21, .index_mask = 511, .large = true, .rights = true,
			.table_reserved = PAE_HIGH, .leaf_reserved = PAE_HIGH | BITS(20, 13) },
		/* QEMU's TCG sets A in them: let bits 5 and 6 be. */
		[3] = { .shift = 30, .index_mask = 3,
			.table_reserved = BITS(63, 52) | BITS(8, 7) | BITS(2, 1) },
	},
};

#define LONG_LEVELS \
	[1] = { .shift = 12, .index_mask = 511, .rights = true }, \
	[2] = { .shift = 21, .index_mask = 511, .large = true, .rights = true, \
		.leaf_reserved = BITS(20, 13) }, \
	[3] = { .shift = 30, .index_mask = 511, .rights = true, .large = true, \
		.large_needs = WALK_1G, .table_reserved = PTE_PS, .leaf_reserved = BITS(29, 13) }, \
	[4] = { .shift = 39, .index_mask = 511, .rights = true, .table_reserved = PTE_PS }

const struct walk_mode walk_4_level = {
	.levels = 4, .entry_bytes = 8, .linear_bits = 48, .root_mask = FRAME_MASK,
	.level = { LONG_LEVELS },
};

const struct walk_mode walk_5_level = {
	.levels = 5, .entry_bytes = 8, .linear_bits = 57, .root_mask = FRAME_MASK,
	.level = {
		LONG_LEVELS,
		[5] = { .shift = 48, .index_mask = 511, .rights = true, .table_reserved = PTE_PS },
	},
};

/**
 * walk_mode_of - the paging mode that a vCPU is in
 * @paging: CR0.PG
 * @pae: CR4.PAE
 * @long_mode: EFER.LMA
 * @la57: CR4.LA57
 */
const struct walk_mode *walk_mode_of(bool paging, bool pae, bool long_mode, bool la57)
{
	if (!paging)
		return &walk_none;
	if (long_mode)
		return la57 ? &walk_5_level : &walk_4_level;
	return pae ? &walk_pae : &walk_32;
}

static bool has(const struct walk *w, u32 feature)
{
	return w->ctxt->features & feature;
}

static int page_fault(const struct walk *w, u32 error, struct okvm_walk_fault *fault)
{
	if (w->access & ACCESS_WRITE)
		error |= ERR_W;
	if (w->access & ACCESS_USER)
		error |= ERR_U;
	/* The CPU tells fetches only where it can refuse them. */
	if ((w->access & ACCESS_EXEC) &&
	    (has(w, WALK_SMEP) || (has(w, WALK_NX) && w->ctxt->mode->entry_bytes == 8)))
		error |= ERR_I;
	*fault = (struct okvm_walk_fault){ VECTOR_PF, error, w->linear };
	return 1;
}

/* PSE-36: bits 13 to 20 of a 4 MiB entry are bits 32 to 39 of the address. */
static u64 pse36_high(u64 entry)
{
	return (entry & BITS(20, 13)) << (32 - 13);
}

/* A 4-byte entry has reserved bits only when it maps 4 MiB. */
static bool pse_reserved_bits(const struct walk *w, u64 entry, bool leaf)
{
	return leaf && w->level > 1 &&
	       ((entry & w->ctxt->mode->level[w->level].leaf_reserved) ||
		(pse36_high(entry) & w->ctxt->reserved_gpa));
}

static bool may_be_large(const struct walk *w, const struct walk_level *level)
{
	return level->large && !(level->large_needs & ~w->ctxt->features);
}

/* Bits that are reserved in every 8-byte entry. */
static u64 always_reserved(const struct walk *w)
{
	return (w->ctxt->reserved_gpa & FRAME_MASK) | (has(w, WALK_NX) ? 0 : PTE_NX);
}

/* Read tables down to the leaf. 0, or 1 for a fault. */
static int descend(struct walk *w, struct okvm_walk_fault *fault)
{
	const struct walk_mode *mode = w->ctxt->mode;
	u64 reserved, always = always_reserved(w);
	u64 table = w->ctxt->cr3 & mode->root_mask;
	const struct walk_level *level;
	u64 entry;
	bool leaf;

	w->rights = PTE_RW | PTE_US;
	w->in_all = ~0ULL;
	for (w->level = mode->levels;; w->level--) {
		level = &mode->level[w->level];
		w->gpa[w->level] = table + ((w->linear >> level->shift) & level->index_mask) *
				   mode->entry_bytes;
		entry = 0;
		if (w->ctxt->ops->read(w->ctxt->priv, w->gpa[w->level], &entry,
				       mode->entry_bytes) || !(entry & PTE_P))
			return page_fault(w, 0, fault);
		w->entry[w->level] = entry;
		leaf = w->level == 1 || ((entry & PTE_PS) && may_be_large(w, level));
		reserved = always | (leaf ? level->leaf_reserved : level->table_reserved);
		if (unlikely(w->level > 3) && has(w, WALK_AMD))
			reserved |= PTE_G;
		if (unlikely(mode->entry_bytes == 4 ? pse_reserved_bits(w, entry, leaf) :
						      entry & reserved))
			return page_fault(w, ERR_P | ERR_RSVD, fault);
		if (level->rights) {
			w->rights = (w->rights & entry & (PTE_RW | PTE_US)) |
				    ((w->rights | entry) & PTE_NX);
			w->in_all &= entry;
		}
		if (leaf)
			return 0;
		table = entry & FRAME_MASK;
	}
}

/* Does the page's protection key refuse the access? Data in user pages only. */
static bool key_refuses(const struct walk *w)
{
	u32 rights;

	if (!has(w, WALK_PKE) || w->ctxt->mode->levels < 4 || !(w->rights & PTE_US) ||
	    (w->access & ACCESS_EXEC))
		return false;
	rights = w->ctxt->pkru >> (2 * ((w->entry[w->level] >> PTE_KEY_SHIFT) & 15));
	if (rights & 1)
		return true;
	return (rights & 2) && (w->access & ACCESS_WRITE) &&
	       ((w->access & ACCESS_USER) || has(w, WALK_WP));
}

static bool refused_to_user(const struct walk *w)
{
	return !(w->rights & PTE_US) || ((w->access & ACCESS_WRITE) && !(w->rights & PTE_RW));
}

static bool refused_to_supervisor(const struct walk *w)
{
	bool user_page = w->rights & PTE_US;

	if (w->access & ACCESS_EXEC)
		return user_page && has(w, WALK_SMEP);
	/* Accesses that the CPU makes by itself, with CPL 3, cannot be excused by AC. */
	if (user_page && has(w, WALK_SMAP) &&
	    (!has(w, WALK_AC) || (w->access & ACCESS_IMPLICIT)))
		return true;
	return (w->access & ACCESS_WRITE) && !(w->rights & PTE_RW) && has(w, WALK_WP);
}

static int check_rights(const struct walk *w, struct okvm_walk_fault *fault)
{
	bool refused = (w->access & ACCESS_EXEC) && (w->rights & PTE_NX);

	refused |= w->access & ACCESS_USER ? refused_to_user(w) : refused_to_supervisor(w);
	if (refused)
		return page_fault(w, ERR_P, fault);
	if (key_refuses(w))
		return page_fault(w, ERR_P | ERR_PK, fault);
	return 0;
}

/*
 * Set the accessed bits on the way, and the leaf's dirty bit for a write. 0; 1: a table changed
 * meanwhile, walk again. Tables in read-only memory are left as they are.
 */
static int mark_used(struct walk *w)
{
	const struct walk_mode *mode = w->ctxt->mode;
	u64 used, entry = w->entry[w->level];
	int level, r;

	if (likely(walk_all_accessed(w) && ((entry & PTE_D) || !(w->access & ACCESS_WRITE))))
		return 0;
	for (level = mode->levels; level >= w->level; level--) {
		if (!mode->level[level].rights)
			continue;
		used = w->entry[level] | PTE_A;
		if (level == w->level && (w->access & ACCESS_WRITE))
			used |= PTE_D;
		if (used == w->entry[level])
			continue;
		r = w->ctxt->ops->update(w->ctxt->priv, w->gpa[level], w->entry[level], used,
					 mode->entry_bytes);
		if (r > 0)
			return 1;
		if (!r)
			w->entry[level] = used;
	}
	return 0;
}

static u64 leaf_gpa(const struct walk *w)
{
	u64 offset_mask = (1ULL << w->ctxt->mode->level[w->level].shift) - 1;
	u64 entry = w->entry[w->level], frame = entry & FRAME_MASK & ~offset_mask;

	if (w->ctxt->mode->entry_bytes == 4 && w->level > 1)
		frame |= pse36_high(entry);
	return frame | (w->linear & offset_mask);
}

static bool canonical(const struct walk_mode *mode, u64 linear)
{
	int shift = 64 - mode->linear_bits;

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

/**
 * walk_to_leaf - walk_translate(), for those who want to know the way
 * @w: @ctxt, @linear and @access are set; the rest is filled when there is no fault
 * @gpa: the guest physical address
 * @fault: what the guest gets if it cannot be
 *
 * Return: 0, or 1 with @fault filled.
 */
int walk_to_leaf(struct walk *w, u64 *gpa, struct okvm_walk_fault *fault)
{
	const struct walk_mode *mode = w->ctxt->mode;

	w->level = 0;
	if (mode->linear_bits <= 32) {
		w->linear = (u32)w->linear;
	} else if (!canonical(mode, w->linear)) {
		*fault = (struct okvm_walk_fault){ .vector = VECTOR_GP };
		return 1;
	}
	if (!mode->levels) {
		*gpa = w->linear;
		return 0;
	}
	do {
		if (descend(w, fault) || check_rights(w, fault))
			return 1;
	} while (mark_used(w));
	*gpa = leaf_gpa(w);
	return 0;
}

/**
 * walk_translate - translate a linear address as the guest's CPU would
 * @ctxt: the vCPU's state
 * @linear: the address; its upper half is ignored outside long mode
 * @access: ACCESS_* bits: READ, WRITE or EXEC, and USER for CPL 3, or IMPLICIT
 * @gpa: the guest physical address
 * @fault: what the guest gets if it cannot be
 *
 * Accessed and dirty bits are set when the access is allowed, as the CPU does. A non-canonical
 * address is #GP(0); the caller knows when it is #SS(0). A table outside of RAM reads as not
 * present.
 *
 * Return: 0, or 1 with @fault filled.
 */
int walk_translate(const struct walk_ctxt *ctxt, u64 linear, u32 access, u64 *gpa,
		   struct okvm_walk_fault *fault)
{
	struct walk w = { .ctxt = ctxt, .linear = linear, .access = access };

	return walk_to_leaf(&w, gpa, fault);
}
