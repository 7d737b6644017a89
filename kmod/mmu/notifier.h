/* SPDX-License-Identifier: GPL-2.0-only */
/* The tie between a VM's second-level tables and the VMM's address space. */
#ifndef MMU_NOTIFIER_H
#define MMU_NOTIFIER_H

#include <linux/atomic.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

struct okvm_vm;

/**
 * struct mm_link - one VM's MMU notifier, and what its callbacks need even while the VM goes away
 * @mn: the notifier
 * @lock: the lock of the VM's second-level tables. Read: entries may be set, from nothing or to
 *	more rights, and write-protected, each with compare-and-exchange. Write: entries and tables
 *	may be taken away; what was taken is flushed before the lock is dropped, so that whoever
 *	finds nothing to take knows that no CPU has it cached.
 * @vm: the VM; NULL once it is being destroyed. Under @lock.
 * @invalidating: host changes under way, from start callback to end callback. Under @lock.
 * @from: start of a user range that covers all of them
 * @to: its end
 * @pages: number of table pages
 *
 * While a change is under way nothing in its range may be mapped. So whoever holds @lock and finds
 * no change under way can read the host's page tables there and trust them until it drops @lock.
 */
struct mm_link {
	struct mmu_notifier mn;
	rwlock_t lock;
	struct okvm_vm *vm;
	long invalidating;
	unsigned long from, to;
	atomic_long_t pages;
};

int mm_link_create(struct okvm_vm *vm);
void mm_link_release(struct okvm_vm *vm);
void mm_link_put(struct okvm_vm *vm);

/** mm_link_busy - is the host changing something in a user range? Under @link->lock. */
static inline bool mm_link_busy(const struct mm_link *link, unsigned long start, unsigned long end)
{
	return unlikely(link->invalidating) && start < link->to && end > link->from;
}

#endif
