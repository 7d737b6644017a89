/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations on a VM's second-level tables. */
#ifndef MMU_TDP_H
#define MMU_TDP_H

#include <linux/list.h>

#include "mmu/iter.h"
#include "mmu/notifier.h"
#include "mmu/slots.h"
#include "vmm.h"

extern struct pte_format tdp_format;	/* C: the hardware's, with the host's encryption bit */

/** tdp_root - the root table, or NULL before the first vCPU has run */
static inline u64 *tdp_root(struct okvm_vm *vm)
{
	hpa_t root = READ_ONCE(vm->mmu.root);

	return root ? table_virt(root) : NULL;
}

/**
 * struct tdp_protect - pages whose next write is to be noticed, one after the other
 * @vm: whose
 * @taken: it would not have been, for some
 * @table: the table of level 1 that had the last one, or NULL
 * @end: one past the last guest page that it maps, or would
 */
struct tdp_protect {
	struct okvm_vm *vm;
	bool taken;
	u64 *table;
	u64 end;
};

/* One past the highest guest page that tables and CPU can map. */
u64 tdp_max_gfn(void);

int tdp_make_root(struct okvm_vm *vm);
bool tdp_zap(struct okvm_vm *vm, u64 start, u64 end, struct list_head *dead);
void tdp_unmap(struct okvm_vm *vm, u64 start, u64 end);
void tdp_free(struct mm_link *link, struct list_head *dead, bool may_sleep);
void tdp_free_all(struct okvm_vm *vm);
void tdp_protect_mask(struct tdp_protect *p, u64 gfn, unsigned long mask);
void tdp_protect_slot(struct okvm_vm *vm, const struct okvm_slot *slot);
void tdp_collapse_slot(struct okvm_vm *vm, const struct okvm_slot *slot);
void tdp_mark_accessed(struct okvm_vm *vm, u64 gfn);
bool tdp_young(struct okvm_vm *vm, u64 start, u64 end, bool clear);

void fault_setup(void);		/* fault.c */

#endif
