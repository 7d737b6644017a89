// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow paging's faults and roots. A fault walks the guest's tables as the CPU would, and either
 * is the guest's own, or has the VM's tree map the guest page (fault.c), and then, under the lock
 * held for writing, puts what the guest's entries and the tree's say into the shadow tables. What
 * the walk has read is read again there, from tables that the guest cannot write by then.
 */
#include "inject.h"
#include "mmu/memslot.h"
#include "mmu/shadow.h"
#include "regs.h"

/* The CPU's own four pointers under PAE paging are these, and the rest is reserved. */
#define ROOT_TABLE_P	SHADOW_P

/* 32-bit, PAE and no paging at all run on PAE tables: four roots, of 1 GiB each. */
#define PAE_ROOT_LEVEL	LEVEL_2M
#define PAE_ROOT_SHIFT	30

enum map_result {
	MAP_DONE,
	MAP_LATER,		/* something has changed since the walk */
	MAP_EMULATE,		/* the access must not be let through */
	MAP_RELOAD,		/* the vCPU's root is not that of the walk */
};

/**
 * struct shadow_fault - a fault under way
 * @vcpu: whose
 * @ctxt: what the walk depends on
 * @walk: of the guest's tables
 * @gpa: where it ends
 * @gfn: the page of that
 * @write: it is a write
 * @host: the tree's entry for @gfn
 */
struct shadow_fault {
	struct okvm_vcpu *vcpu;
	struct walk_ctxt ctxt;
	struct walk walk;
	gpa_t gpa;
	u64 gfn;
	bool write;
	u64 host;
};

/* The role of a table of the guest's, at @level, as the vCPU stands. */
static union shadow_role table_role(struct okvm_vcpu *vcpu, int level)
{
	union shadow_role role = { .level = level, .nx = !!(vcpu->efer & EFER_NX) };

	if (okvm_long_mode(vcpu))
		role.mode = SHADOW_LONG;
	else if (vcpu->cr4 & X86_CR4_PAE)
		role.mode = SHADOW_PAE;
	else
		role.pse = !!(vcpu->cr4 & X86_CR4_PSE);
	return role;
}

static union shadow_role direct_role(int level)
{
	return (union shadow_role){ .level = level, .direct = 1 };
}

/* What a new root stands for, before it has its pages. */
struct wanted_root {
	u64 gfn;
	union shadow_role role;
	bool present;
};

static void want_pae_root(struct okvm_vcpu *vcpu, const u64 *pdpte, int i, struct wanted_root *want)
{
	want->present = true;
	if (!okvm_paging(vcpu)) {
		want->gfn = (u64)i << (PAE_ROOT_SHIFT - PAGE_SHIFT);
		want->role = direct_role(PAE_ROOT_LEVEL);
		return;
	}
	want->role = table_role(vcpu, PAE_ROOT_LEVEL);
	want->gfn = (u32)okvm_cr3(vcpu) >> PAGE_SHIFT;
	if (vcpu->cr4 & X86_CR4_PAE) {
		want->gfn = (pdpte[i] & SHADOW_FRAME) >> PAGE_SHIFT;
		want->present = pdpte[i] & SHADOW_P;
	} else {
		want->role.quadrant = i;
	}
}

/* Which roots the vCPU's state asks for. Returns how many. */
static int want_roots(struct okvm_vcpu *vcpu, struct wanted_root want[SHADOW_ROOTS])
{
	u64 cr3 = okvm_cr3(vcpu), pdpte[SHADOW_ROOTS] = { };
	int i;

	if (okvm_long_mode(vcpu)) {
		want->gfn = (cr3 & SHADOW_FRAME) >> PAGE_SHIFT;
		want->role = table_role(vcpu, vcpu->cr4 & X86_CR4_LA57 ? 5 : 4);
		want->present = true;
		return 1;
	}
	/* A table that is not there has nothing in it. */
	if (okvm_pae_paging(vcpu) && okvm_read_pdptes(vcpu, cr3, pdpte))
		memset(pdpte, 0, sizeof(pdpte));
	for (i = 0; i < SHADOW_ROOTS; i++)
		want_pae_root(vcpu, pdpte, i, &want[i]);
	return SHADOW_ROOTS;
}

static void replace_roots(struct okvm_vcpu *vcpu, const struct wanted_root *want, int n,
			  struct list_head *dead)
{
	struct shadow_page *page;
	u64 pdpte;
	int i;

	shadow_put_roots(vcpu, dead);
	for (i = 0; i < SHADOW_ROOTS; i++) {
		page = NULL;
		pdpte = 0;
		if (i < n && want[i].present) {
			page = shadow_get(vcpu, want[i].gfn, want[i].role);
			page->users++;
			pdpte = __pa(page->table) | tdp_format.encrypt | ROOT_TABLE_P;
		}
		vcpu->mmu.roots[i] = page;
		if (n > 1)
			WRITE_ONCE(vcpu->mmu.pae_root[i], pdpte);
	}
}

/* The CPU takes 32 bits of CR3 for these. */
static int need_pae_root(struct okvm_vcpu *vcpu)
{
	if (!vcpu->mmu.pae_root)
		vcpu->mmu.pae_root = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_DMA32 |
							    __GFP_ZERO);
	return vcpu->mmu.pae_root ? 0 : -ENOMEM;
}

/**
 * shadow_load - give a vCPU the roots that its registers ask for
 * @vcpu: the vCPU, loaded
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int shadow_load(struct okvm_vcpu *vcpu)
{
	struct wanted_root want[SHADOW_ROOTS] = { };
	struct mm_link *link = vcpu->vm->mmu.link;
	int n = want_roots(vcpu, want), err;
	LIST_HEAD(dead);

	err = shadow_top_up(vcpu);
	if (!err && n > 1)
		err = need_pae_root(vcpu);
	if (err)
		return err;
	write_lock(&link->lock);
	replace_roots(vcpu, want, n, &dead);
	shadow_flush(vcpu->vm);
	write_unlock(&link->lock);
	/* The flush that set_root asks for comes before the next entry: no CPU walks them now. */
	shadow_free(vcpu->vm, &dead);
	vcpu->mmu.root = n > 1 ? __pa(vcpu->mmu.pae_root) : __pa(vcpu->mmu.roots[0]->table);
	okvm_backend->set_root(vcpu, vcpu->mmu.root | tdp_format.encrypt);
	return 0;
}

static struct shadow_page *root_of(struct okvm_vcpu *vcpu, u64 linear)
{
	return vcpu->mmu.roots[okvm_long_mode(vcpu) ? 0 : linear >> PAE_ROOT_SHIFT];
}

/* The tree's entry for a guest page, or 0. */
static u64 host_entry(struct okvm_vm *vm, u64 gfn)
{
	u64 *root = tdp_root(vm);
	struct pt_iter it;

	if (root)
		for_each_pte(&it, &tdp_format, root, okvm_hw.tdp_levels, gfn, gfn + 1)
			if (pt_iter_is_leaf(&it))
				return it.pte;
	return 0;
}

/* The rights of a guest entry, as ours has them. A page's first write must mark it as dirty. */
static u64 rights_of(u64 guest, bool leaf)
{
	u64 rights = guest & (SHADOW_W | SHADOW_U | SHADOW_NX);

	if (leaf && !(guest & SHADOW_D))
		rights &= ~SHADOW_W;
	return rights;
}

/* Which page is below an entry of a table at @level. */
static struct shadow_page *child_for(struct shadow_fault *f, const struct shadow_page *page)
{
	int level = page->role.level;
	union shadow_role role;

	if (page->role.direct || level <= f->walk.level)
		return shadow_get(f->vcpu, f->gfn & ~(level_pages(level) - 1),
				  direct_role(level - 1));
	role = table_role(f->vcpu, level - 1);
	if (role.mode == SHADOW_32)
		role.quadrant = (f->walk.linear >> 21) & 1;
	return shadow_get(f->vcpu, (f->walk.entry[level] & SHADOW_FRAME) >> PAGE_SHIFT, role);
}

static void link_child(struct shadow_fault *f, struct shadow_page *page, unsigned int index,
		       u64 guest)
{
	struct shadow_page *child = child_for(f, page);
	u64 pte = __pa(child->table) | tdp_format.encrypt | SHADOW_P | SHADOW_A;

	pte |= page->role.direct ? SHADOW_W | SHADOW_U :
				   rights_of(guest, page->role.level == f->walk.level);
	shadow_set(f->vcpu->vm, page, index, pte, guest);
	child->writes = 0;
}

static void map_leaf(struct shadow_fault *f, struct shadow_page *page, unsigned int index,
		     u64 guest)
{
	u64 rights = page->role.direct ? SHADOW_W | SHADOW_U : rights_of(guest, true);
	u64 pte = f->host & ~(SHADOW_W | SHADOW_U | PTE_HOST_WRITE);

	if (!(f->host & tdp_format.write) || shadow_is_table(f->vcpu->vm, f->gfn))
		rights &= ~SHADOW_W;
	shadow_set(f->vcpu->vm, page, index, pte | rights | SHADOW_A | SHADOW_D, guest);
}

/* The guest's entry behind one of ours, as it is now; false when the walk has seen another. */
static bool same_entry(struct shadow_fault *f, const struct shadow_page *page, u64 *guest)
{
	int level = page->role.level;
	u64 seen = f->walk.entry[level];

	*guest = 0;
	if (page->role.direct)
		return true;
	if (shadow_read_entry(f->vcpu, page, f->walk.gpa[level], guest))
		return false;
	return !((*guest ^ seen) & ~(SHADOW_A | SHADOW_D)) && !(seen & ~*guest);
}

static enum map_result fill(struct shadow_fault *f)
{
	struct shadow_page *page = root_of(f->vcpu, f->walk.linear);
	unsigned int index;
	u64 guest;
	int level;

	for (;;) {
		if (!page || page->dead)
			return MAP_RELOAD;
		level = page->role.level;
		if (!page->role.direct && page->gfn != f->walk.gpa[level] >> PAGE_SHIFT)
			return MAP_RELOAD;
		if (!same_entry(f, page, &guest))
			return MAP_LATER;
		index = level_index(f->walk.linear >> PAGE_SHIFT, level);
		if (level == LEVEL_4K)
			break;
		link_child(f, page, index, guest);
		page = shadow_child(page->table[index]);
	}
	map_leaf(f, page, index, guest);
	return MAP_DONE;
}

/* Do the guest's tables let everybody write there whom they let read? */
static bool writable(const struct shadow_fault *f)
{
	const struct walk *w = &f->walk;

	return !w->level || (w->rights & SHADOW_W && w->entry[w->level] & SHADOW_D);
}

/* Under the lock, all of it. */
static enum map_result map(struct shadow_fault *f)
{
	struct okvm_vcpu *vcpu = f->vcpu;
	struct okvm_vm *vm = vcpu->vm;

	if (vcpu->slots_held != vm->mmu.slots || test_bit(REQ_MMU_RELOAD, &vcpu->requests))
		return MAP_LATER;
	f->host = host_entry(vm, f->gfn);
	if (!f->host || (f->write && !(f->host & tdp_format.write)))
		return MAP_LATER;
	/* A write to a table; or the kernel's, without CR0.WP, to what is read-only for it. */
	if (f->write && (shadow_is_table(vm, f->gfn) || !writable(f)))
		return MAP_EMULATE;
	return fill(f);
}

/*
 * An event was on its way when its delivery, not the instruction at RIP, wrote what the CPU must
 * not write: the delivery is done here instead.
 */
static void deliver(struct okvm_vcpu *vcpu)
{
	struct okvm_events *ev = &vcpu->ev;

	if (ev->exception.injected) {
		okvm_emulate_event(vcpu, ev->exception.vector, ev->exception.has_error,
				   ev->exception.error, 0);
		ev->exception.injected = false;
	} else if (ev->nmi_injected) {
		okvm_emulate_event(vcpu, X86_TRAP_NMI, false, 0, 0);
		ev->nmi_injected = false;
	} else {
		okvm_emulate_event(vcpu, ev->irq.vector, false, 0, 0);
		ev->irq.injected = false;
	}
}

static int emulate_write(struct shadow_fault *f)
{
	if (!okvm_delivering(f->vcpu))
		return okvm_emulate_table_write(f->vcpu, f->gpa);
	deliver(f->vcpu);
	return RESUME_GUEST;
}

/* No RAM takes the access: it is a device's, unless it was the delivery of an event. */
static int emulate_mmio(struct shadow_fault *f)
{
	struct okvm_vcpu *vcpu = f->vcpu;

	if (okvm_delivering(vcpu))
		return okvm_undeliverable(vcpu, f->gpa);
	okvm_count(vcpu, mmio_exits);
	return okvm_emulate_instruction(vcpu, f->gpa, !(f->walk.access & ACCESS_EXEC));
}

static int map_and_resume(struct shadow_fault *f)
{
	struct okvm_vcpu *vcpu = f->vcpu;
	struct mm_link *link = vcpu->vm->mmu.link;
	int err = shadow_top_up(vcpu);
	enum map_result r;

	if (err)
		return err;
	write_lock(&link->lock);
	r = map(f);
	shadow_flush(vcpu->vm);
	write_unlock(&link->lock);
	if (r == MAP_RELOAD)
		okvm_request(vcpu, REQ_MMU_RELOAD);
	return r == MAP_EMULATE ? MAP_EMULATE : RESUME_GUEST;
}

/* The memory is what the walk says: map it, or do what cannot be mapped. */
static int fault_at(struct shadow_fault *f)
{
	struct okvm_vcpu *vcpu = f->vcpu;
	int r;

	f->gfn = f->gpa >> PAGE_SHIFT;
	/* From here on it is like a second-level fault. */
	vcpu->exit.fault.gpa = f->gpa;
	vcpu->exit.fault.access = f->walk.access;
	vcpu->exit.fault.in_walk = false;
	if (okvm_lapic_at(vcpu, f->gpa))
		return emulate_mmio(f);
	r = okvm_mmu_fault(vcpu, f->gpa, f->walk.access);
	if (r == FAULT_EMULATE)
		return emulate_mmio(f);
	if (r != RESUME_GUEST)
		return r;
	r = map_and_resume(f);
	return r == MAP_EMULATE ? emulate_write(f) : r;
}

static u32 access_of(struct okvm_vcpu *vcpu, u32 error)
{
	u32 access = error & X86_PF_WRITE ? ACCESS_WRITE : error & X86_PF_INSTR ? ACCESS_EXEC :
										 ACCESS_READ;

	if (error & X86_PF_USER)
		return access | ACCESS_USER;
	/* The CPU's own access to a descriptor table or the like. */
	return okvm_cpl(vcpu) == 3 ? access | ACCESS_IMPLICIT : access;
}

/**
 * okvm_shadow_fault - a #PF of the guest's exited
 * @vcpu: the running vCPU
 * @linear: the address
 * @error: the CPU's error code
 *
 * Context: may sleep.
 * Return: as okvm_handle_exit().
 */
int okvm_shadow_fault(struct okvm_vcpu *vcpu, u64 linear, u32 error)
{
	struct shadow_fault f = { .vcpu = vcpu, .write = error & X86_PF_WRITE };
	struct okvm_walk_fault fault;
	int r;

	f.walk = (struct walk){ .ctxt = &f.ctxt, .linear = linear,
				.access = access_of(vcpu, error) };
	okvm_count(vcpu, fault_exits);
	if (okvm_rip(vcpu) != vcpu->mmu.retry.rip)
		vcpu->mmu.retry.n = 0;
	okvm_walk_as(vcpu, &f.ctxt);
	okvm_slots_begin(vcpu);
	if (walk_to_leaf(&f.walk, &f.gpa, &fault)) {
		okvm_queue_page_fault(vcpu, fault.address, fault.error);
		r = RESUME_GUEST;
	} else {
		r = fault_at(&f);
	}
	okvm_slots_end(vcpu);
	return r;
}

/* One instruction writes to so many pages at most, and each may be a table again once. */
#define MAX_RETRIES	32

/* Has the same instruction come too often? It may need the table to get to where it writes. */
static bool retried_enough(struct okvm_vcpu *vcpu)
{
	vcpu->mmu.retry.rip = okvm_rip(vcpu);
	return ++vcpu->mmu.retry.n > MAX_RETRIES;
}

/**
 * okvm_shadow_unprotect - a write to a table could not be emulated: it is no table, then
 * @vcpu: the running vCPU
 * @gpa: where
 *
 * Return: true when it was one, and the guest shall try again; false, too, when that has been of no
 * use: the write is to a table that its own instruction needs.
 */
bool okvm_shadow_unprotect(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	struct okvm_vm *vm = vcpu->vm;
	LIST_HEAD(dead);
	bool found;

	if (retried_enough(vcpu))
		return false;
	write_lock(&vm->mmu.link->lock);
	found = shadow_is_table(vm, gpa >> PAGE_SHIFT);
	shadow_zap_tables_of(vm, gpa >> PAGE_SHIFT, &dead);
	shadow_flush(vm);
	write_unlock(&vm->mmu.link->lock);
	shadow_free(vm, &dead);
	return found;
}

/**
 * okvm_shadow_invlpg - the guest's INVLPG: what is there for an address must be what its tables
 *	say, whoever has written them
 * @vcpu: the running vCPU
 * @linear: the address
 */
void okvm_shadow_invlpg(struct okvm_vcpu *vcpu, u64 linear)
{
	struct okvm_vm *vm = vcpu->vm;
	struct shadow_page *page;
	unsigned int index;

	if (!okvm_long_mode(vcpu))
		linear = (u32)linear;
	okvm_slots_begin(vcpu);
	write_lock(&vm->mmu.link->lock);
	for (page = root_of(vcpu, linear); page && !page->role.direct;) {
		index = level_index(linear >> PAGE_SHIFT, page->role.level);
		shadow_resync(vcpu, page, index);
		if (page->role.level == LEVEL_4K || !page->table[index])
			break;
		page = shadow_child(page->table[index]);
	}
	shadow_flush(vm);
	write_unlock(&vm->mmu.link->lock);
	okvm_slots_end(vcpu);
}
