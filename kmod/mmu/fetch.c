// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading code, which every emulated instruction does, mostly the same few pages. A walk that has
 * been done is remembered with the entries that it met: as long as they are all still the same,
 * another walk would say the same. That is asked of memory each time, so there is nothing to
 * invalidate when the guest changes its tables.
 */
#include <linux/uaccess.h>

#include "mmu/memslot.h"
#include "mmu/walk.h"

static struct fetch_way *way_of(struct okvm_vcpu *vcpu, u64 linear)
{
	return &vcpu->mmu.fetch[(linear >> PAGE_SHIFT) % ARRAY_SIZE(vcpu->mmu.fetch)];
}

/* Was it remembered with all that the walk depends on, but for the tables, as it is now? */
static bool same_state(struct okvm_vcpu *vcpu, const struct fetch_way *way, u64 linear, bool user)
{
	return way->page == linear >> PAGE_SHIFT && way->user == user &&
	       way->generation == vcpu->slots_held->generation && way->cr3 == okvm_cr3(vcpu) &&
	       way->cr0 == vcpu->cr0 && way->cr4 == vcpu->cr4 && way->efer == vcpu->efer &&
	       way->features == vcpu->cpuid.has && way->reserved_gpa == vcpu->cpuid.reserved_gpa;
}

/* Then would a walk still meet the same entries? */
static bool same_tables(const struct fetch_way *way)
{
	u64 now, changed = 0;
	int i;

	if (!way->n)
		return true;
	if (!user_read_access_begin(way->table[0], sizeof(now)))
		return false;
	for (i = 0; i < way->n; i++) {
		unsafe_get_user(now, way->table[i], fault);
		changed |= now ^ way->entry[i];
	}
	user_read_access_end();
	return !changed;
fault:
	user_read_access_end();
	return false;
}

static bool remember_tables(struct okvm_vcpu *vcpu, struct fetch_way *way, const struct walk *w)
{
	int level;

	way->n = 0;
	if (!w->level)
		return true;
	/* Entries of 4 bytes, and ones that a walk would still mark, are not worth it. */
	if (w->ctxt->mode->entry_bytes != 8 || !walk_all_accessed(w))
		return false;
	for (level = w->ctxt->mode->levels; level >= w->level; level--, way->n++) {
		way->table[way->n] = memslot_user(vcpu, w->gpa[level], false);
		way->entry[way->n] = w->entry[level];
		if (!way->table[way->n])
			return false;
	}
	return true;
}

static void remember(struct okvm_vcpu *vcpu, const struct walk *w, void __user *code, bool user)
{
	struct fetch_way *way = way_of(vcpu, w->linear);

	way->generation = 0;
	if (!remember_tables(vcpu, way, w))
		return;
	way->code = code;
	way->page = w->linear >> PAGE_SHIFT;
	way->user = user;
	way->cr0 = vcpu->cr0;
	way->cr3 = okvm_cr3(vcpu);
	way->cr4 = vcpu->cr4;
	way->efer = vcpu->efer;
	way->features = vcpu->cpuid.has;
	way->reserved_gpa = vcpu->cpuid.reserved_gpa;
	way->generation = vcpu->slots_held->generation;
}

static int walk_and_read(struct okvm_vcpu *vcpu, u64 linear, void *buf, unsigned int len,
			 bool user, struct okvm_walk_fault *fault)
{
	struct walk_ctxt ctxt;
	struct walk w = {
		.ctxt = &ctxt, .linear = linear,
		.access = ACCESS_EXEC | (user ? ACCESS_USER : 0),
	};
	void __user *code;
	gpa_t gpa;

	okvm_walk_as(vcpu, &ctxt);
	if (walk_to_leaf(&w, &gpa, fault))
		return 1;
	code = memslot_user(vcpu, gpa, false);
	if (!code || !memslot_read(buf, code, len))
		return -EFAULT;
	remember(vcpu, &w, code - offset_in_page(linear), user);
	return 0;
}

/**
 * okvm_fetch - read code by linear address
 * @vcpu: the running vCPU, loaded
 * @linear: where
 * @buf: kernel memory
 * @len: bytes, all in one page
 * @user: at CPL 3
 * @fault: what the guest gets if it may not
 *
 * Sets accessed bits as the CPU would.
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0; 1 with @fault filled; -EFAULT: no RAM there.
 */
int okvm_fetch(struct okvm_vcpu *vcpu, u64 linear, void *buf, unsigned int len, bool user,
	       struct okvm_walk_fault *fault)
{
	struct fetch_way *way = way_of(vcpu, linear);
	int r;

	okvm_slots_begin(vcpu);
	if (likely(same_state(vcpu, way, linear, user) && same_tables(way) &&
		   memslot_read(buf, way->code + offset_in_page(linear), len)))
		r = 0;
	else
		r = walk_and_read(vcpu, linear, buf, len, user, fault);
	okvm_slots_end(vcpu);
	return r;
}
