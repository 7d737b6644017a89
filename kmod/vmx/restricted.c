// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX without unrestricted guest: CR0.PE and PG are set while a guest runs, and entries refuse
 * segments that no protected-mode code could have loaded. So
 *  - protected mode without paging runs on PAE tables of ours that map everything one to one,
 *  - real mode runs as a virtual-8086 task of ours, if its segments are as such a task's are,
 *  - everything else is emulated, until it is something that VMX takes.
 * SDM vol. 3, "Checks on the Guest State Area", "Virtual-8086 Mode".
 */
#include <linux/slab.h>

#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"

/*
 * The task's TSS and the tables are the VM's own, behind all memory that slots can have:
 * 2 MiB of guest-physical space, of which these pages are there. PAE paging takes its four first
 * entries from the VMCS, so CR3 stays the guest's.
 */
enum private_page { FLAT_TABLES, TASK_TABLE = 4, TSS_PAGES, PRIVATE_PAGES = TSS_PAGES + 3 };

/* The task sees its TSS in the last 2 MiB of its linear addresses, where no 16-bit code gets. */
#define TASK_WINDOW	0xffe00000u
#define TSS_LINEAR	(TASK_WINDOW + TSS_PAGES * PAGE_SIZE)

/* A TSS, 32 bytes for INT n (all clear: the task's own handlers), a bit for each port (free). */
#define TSS_IO_BASE	102
#define TSS_REDIRECTION	104
#define TSS_PORTS	(TSS_REDIRECTION + 32)
#define TSS_LIMIT	(TSS_PORTS + 65536 / 8)

#define FLAT_ENTRY	(_PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED | _PAGE_DIRTY | \
			 _PAGE_PSE)
#define PDPTE_PRESENT	1

#define TASK_LIMIT	0xffff
#define TASK_RIGHTS	0xf3	/* data, writable, accessed; present, DPL 3 */
#define TASK_FLAGS	(X86_EFLAGS_VM | X86_EFLAGS_IOPL)
#define VECTORS_LIMIT	0x3ff	/* of real mode's 256 */

#define RIGHTS_TYPE_CODE	8
#define RIGHTS_TYPE_CONFORMING	4
#define RIGHTS_TYPE_DOWN	4
#define RIGHTS_TYPE_READABLE	2	/* code */
#define RIGHTS_TYPE_WRITABLE	2	/* data */
#define SELECTOR_TI	4
#define SELECTOR_RPL	3

/* A VM's part: the private pages, and where the guest-physical space has them. */
struct vmx_vm {
	gpa_t gpa;
	void *pages[PRIVATE_PAGES];
};

/* ---- the VM's private pages ---- */

static void fill_private_pages(struct vmx_vm *part)
{
	u64 *table = part->pages[TASK_TABLE];
	u8 *tss = part->pages[TSS_PAGES];
	unsigned int i;

	for (i = 0; i < 4 * PTRS_PER_PMD; i++)
		((u64 *)part->pages[FLAT_TABLES + i / PTRS_PER_PMD])[i % PTRS_PER_PMD] =
			(u64)i * SZ_2M | FLAT_ENTRY;
	table[PTRS_PER_PMD - 1] = part->gpa | FLAT_ENTRY;
	*(u16 *)(tss + TSS_IO_BASE) = TSS_PORTS;
	/* The CPU looks at two bytes for every port. */
	*((u8 *)part->pages[TSS_PAGES + TSS_LIMIT / PAGE_SIZE] + TSS_LIMIT % PAGE_SIZE) = 0xff;
}

/**
 * vmx_vm_destroy - the VM's private pages go, after the tables that mapped them
 * @vm: the VM
 */
void vmx_vm_destroy(struct okvm_vm *vm)
{
	struct vmx_vm *part = vm->priv;
	int i;

	for (i = 0; part && i < PRIVATE_PAGES; i++)
		free_page((unsigned long)part->pages[i]);
	kfree(part);
	vm->priv = NULL;
}

/**
 * vmx_restricted_create - the VM's private pages, before its first vCPU
 * @vm: the VM, its lock held
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int vmx_restricted_create(struct okvm_vm *vm)
{
	struct vmx_vm *part;
	int i, err;

	if (vmx_features.unrestricted || vm->priv)
		return 0;
	part = kzalloc(sizeof(*part), GFP_KERNEL_ACCOUNT);
	if (!part)
		return -ENOMEM;
	for (i = 0; i < PRIVATE_PAGES; i++) {
		part->pages[i] = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!part->pages[i])
			goto fail;
	}
	part->gpa = okvm_mmu_private_gpa();
	fill_private_pages(part);
	for (i = 0; i < PRIVATE_PAGES; i++) {
		err = okvm_mmu_map_private(vm, i, part->pages[i]);
		if (err)
			goto fail;
	}
	vm->priv = part;
	return 0;
fail:
	/* Nobody uses what is mapped by now: there is no vCPU before a later try maps its own. */
	for (i = 0; i < PRIVATE_PAGES; i++)
		free_page((unsigned long)part->pages[i]);
	kfree(part);
	return -ENOMEM;
}

static void use_flat_tables(const struct vmx_vm *part, bool task)
{
	unsigned int i, page;

	for (i = 0; i < 4; i++) {
		page = task && i == 3 ? TASK_TABLE : FLAT_TABLES + i;
		vmcs_write(GUEST_PDPTR0 + 2 * i, (part->gpa + page * PAGE_SIZE) | PDPTE_PRESENT);
	}
}

/* ---- may VMX have this state? ---- */

/* Descriptors have limits of 20 bits, in bytes or in pages. */
static bool limit_ok(const struct vmx_segment *s)
{
	if (s->ar & VMX_AR_G_MASK)
		return (s->limit & 0xfff) == 0xfff;
	return !(s->limit >> 20);
}

static bool usable(const struct vmx_segment *s)
{
	return !(s->ar & VMX_AR_UNUSABLE_MASK);
}

static bool rights_ok(const struct vmx_segment *s, bool system)
{
	return !(s->ar & VMX_AR_RESERVD_MASK) && s->ar & VMX_AR_P_MASK &&
	       !(s->ar & VMX_AR_S_MASK) == system && limit_ok(s);
}

static bool code_ok(const struct vmx_segment *cs, const struct vmx_segment *ss)
{
	unsigned int dpl = VMX_AR_DPL(cs->ar), rpl = cs->selector & SELECTOR_RPL;

	if (!usable(cs) || !rights_ok(cs, false) || upper_32_bits(cs->base))
		return false;
	if (!(cs->ar & RIGHTS_TYPE_CODE) || !(cs->ar & VMX_AR_TYPE_ACCESSES_MASK))
		return false;
	if (cs->ar & VMX_AR_L_MASK && cs->ar & VMX_AR_DB_MASK)
		return false;
	/* The CPL is SS's DPL, which is the RPL of both. */
	if (rpl != (ss->selector & SELECTOR_RPL))
		return false;
	return cs->ar & RIGHTS_TYPE_CONFORMING ? dpl <= rpl : dpl == rpl;
}

static bool stack_ok(const struct vmx_segment *ss)
{
	unsigned int type = ss->ar & VMX_AR_TYPE_MASK;

	if (VMX_AR_DPL(ss->ar) != (ss->selector & SELECTOR_RPL))
		return false;
	if (!usable(ss))
		return true;
	return (type == 3 || type == 7) && rights_ok(ss, false) && !upper_32_bits(ss->base);
}

static bool data_ok(const struct vmx_segment *s, bool wide_base)
{
	bool code = s->ar & RIGHTS_TYPE_CODE;

	if (!usable(s))
		return true;
	if (!rights_ok(s, false) || !(s->ar & VMX_AR_TYPE_ACCESSES_MASK))
		return false;
	if (code && !(s->ar & RIGHTS_TYPE_READABLE))
		return false;
	if (!wide_base && upper_32_bits(s->base))
		return false;
	/* Conforming code may be read by everybody. */
	if (code && s->ar & RIGHTS_TYPE_CONFORMING)
		return true;
	return VMX_AR_DPL(s->ar) >= (s->selector & SELECTOR_RPL);
}

static bool system_ok(const struct vmx_segment *ldt, const struct vmx_segment *tr, bool long_mode)
{
	unsigned int type = tr->ar & VMX_AR_TYPE_MASK;

	if (!usable(tr) || tr->selector & SELECTOR_TI || !rights_ok(tr, true))
		return false;
	if (type != VMX_AR_TYPE_BUSY_64_TSS && (long_mode || type != VMX_AR_TYPE_BUSY_16_TSS))
		return false;
	if (!usable(ldt))
		return true;
	return !(ldt->selector & SELECTOR_TI) && rights_ok(ldt, true) &&
	       (ldt->ar & VMX_AR_TYPE_MASK) == VMX_AR_TYPE_LDT;
}

static bool protected_ok(struct okvm_vcpu *vcpu)
{
	const struct vmx_segment *seg = to_vmx(vcpu)->seg;
	int i;

	if (!code_ok(&seg[SEG_CS], &seg[SEG_SS]) || !stack_ok(&seg[SEG_SS]))
		return false;
	for (i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS && i != SEG_SS && !data_ok(&seg[i], i == SEG_FS || i == SEG_GS))
			return false;
	return system_ok(&seg[SEG_LDTR], &seg[SEG_TR], okvm_long_mode(vcpu));
}

/* What a virtual-8086 task has in a segment register. */
static bool is_task_segment(const struct vmx_segment *s)
{
	return s->base == (u32)s->selector << 4 && s->limit == TASK_LIMIT;
}

/* A task of the guest's own. */
static bool guest_task_ok(struct okvm_vcpu *vcpu)
{
	const struct vmx_segment *seg = to_vmx(vcpu)->seg;
	int i;

	for (i = SEG_ES; i <= SEG_GS; i++)
		if (!is_task_segment(&seg[i]) || seg[i].ar != TASK_RIGHTS)
			return false;
	return system_ok(&seg[SEG_LDTR], &seg[SEG_TR], false);
}

/* Real mode that a task of ours cannot be told from: code of 16 bits, 64 KiB of plain data. */
static bool real_ok(struct okvm_vcpu *vcpu)
{
	const struct vmx_segment *s = to_vmx(vcpu)->seg;
	struct kvm_dtable vectors;
	int i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		if (!is_task_segment(&s[i]) || !usable(&s[i]))
			return false;
		if (i == SEG_CS)
			continue;
		if (s[i].ar & (RIGHTS_TYPE_CODE | RIGHTS_TYPE_DOWN) ||
		    !(s[i].ar & RIGHTS_TYPE_WRITABLE))
			return false;
	}
	if ((s[SEG_CS].ar | s[SEG_SS].ar) & VMX_AR_DB_MASK)
		return false;
	/* The task's INT n looks at address 0, without a limit. */
	vmx_get_table(vcpu, &vectors, true);
	return !vectors.base && vectors.limit >= VECTORS_LIMIT;
}

/* ---- real mode as a task ---- */

static void write_segment(int which, const struct vmx_segment *s)
{
	vmcs_write(GUEST_ES_SELECTOR + 2 * which, s->selector);
	vmcs_write(GUEST_ES_BASE + 2 * which, s->base);
	vmcs_write(GUEST_ES_LIMIT + 2 * which, s->limit);
	vmcs_write(GUEST_ES_AR_BYTES + 2 * which, s->ar);
}

static void put_task(struct okvm_vcpu *vcpu)
{
	static const struct vmx_segment no_ldt = { .ar = VMX_AR_UNUSABLE_MASK };
	static const struct vmx_segment tss = {
		.base = TSS_LINEAR, .limit = TSS_LIMIT,
		.ar = VMX_AR_P_MASK | VMX_AR_TYPE_BUSY_32_TSS,
	};
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_segment s;
	int i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		s = vmx->seg[i];
		s.ar = TASK_RIGHTS;
		write_segment(i, &s);
	}
	write_segment(SEG_LDTR, &no_ldt);
	write_segment(SEG_TR, &tss);
	/* SYSENTER would leave the task; in real mode it is #GP. */
	vmcs_write(GUEST_SYSENTER_CS, 0);
	/* The guest has no IDT that a task's exceptions could go through. */
	vmcs_write(EXCEPTION_BITMAP, ~0u);
	vcpu->regs_dirty |= BIT(REG_RFLAGS);
}

/* Has RFLAGS.VM changed since the state was looked at? */
static bool task_flag_changed(struct okvm_vcpu *vcpu)
{
	struct vmx_restricted *r = &to_vmx(vcpu)->restricted;

	return vcpu->regs_dirty & BIT(REG_RFLAGS) &&
	       !(vcpu->regs[REG_RFLAGS] & X86_EFLAGS_VM) == r->guest_task;
}

/**
 * vmx_must_emulate - is the guest in a state that VMX does not take?
 * @vcpu: the vCPU, loaded
 *
 * Brings the VMCS to what stands for the guest's state if it does.
 */
bool vmx_must_emulate(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_restricted *r = &vmx->restricted;
	struct kvm_segment unused;
	int i;

	if (vmx_features.unrestricted || (!r->stale && !task_flag_changed(vcpu)))
		return r->emulate;
	for (i = 0; i < VMX_SEGMENTS; i++)
		vmx_get_segment(vcpu, &unused, i);
	r->stale = false;
	if (r->real) {
		r->emulate = !real_ok(vcpu);
		r->task = !r->emulate;
		if (r->task)
			put_task(vcpu);
		return r->emulate;
	}
	r->guest_task = okvm_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_VM;
	r->emulate = r->guest_task ? !guest_task_ok(vcpu) : !protected_ok(vcpu);
	return r->emulate;
}

/* From real mode or into it: what is the guest's moves between the VMCS and our copy. */
static void switch_mode(struct okvm_vcpu *vcpu, bool real)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_restricted *r = &vmx->restricted;
	struct kvm_segment unused;
	int i;

	for (i = 0; i < VMX_SEGMENTS; i++)
		vmx_get_segment(vcpu, &unused, i);
	okvm_reg(vcpu, REG_RFLAGS);
	vcpu->regs_dirty |= BIT(REG_RFLAGS);
	r->real = real;
	r->task = false;
	r->stale = true;
	if (real) {
		r->sysenter_cs = vmcs_read(GUEST_SYSENTER_CS);
		return;
	}
	for (i = 0; i < VMX_SEGMENTS; i++)
		write_segment(i, &vmx->seg[i]);
	vmcs_write(GUEST_SYSENTER_CS, r->sysenter_cs);
	vmcs_write(EXCEPTION_BITMAP, vmx->exceptions);
}

/**
 * vmx_restricted_cr0 - CR0 changed: the mode behind CR0.PE and PG
 * @vcpu: the vCPU, loaded; its CR4 and EFER are written after this
 */
void vmx_restricted_cr0(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool real = !(vcpu->cr0 & X86_CR0_PE), flat = !(vcpu->cr0 & X86_CR0_PG);

	if (real != vmx->restricted.real)
		switch_mode(vcpu, real);
	/* A load of CR3 would load PDPTEs. */
	vmx_control(vmx, CPU_BASED_CR3_LOAD_EXITING, flat);
	if (flat)
		use_flat_tables(vcpu->vm->priv, real);
	vmx->flush = true;
}

/** vmx_flat_cr4 - CR4 for the VMCS: without paging, what our tables want instead */
unsigned long vmx_flat_cr4(struct okvm_vcpu *vcpu, unsigned long cr4)
{
	if (vcpu->cr0 & X86_CR0_PG)
		return cr4;
	/* Without paging nobody asks whose page it is. */
	cr4 &= ~(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	cr4 |= X86_CR4_PAE;
	return to_vmx(vcpu)->restricted.real ? cr4 | X86_CR4_VME : cr4;
}

/** vmx_hide_task - RFLAGS as the guest has it, from what the VMCS has */
unsigned long vmx_hide_task(struct okvm_vcpu *vcpu, unsigned long rflags)
{
	struct vmx_restricted *r = &to_vmx(vcpu)->restricted;

	return r->task ? (rflags & ~TASK_FLAGS) | r->iopl : rflags;
}

/** vmx_show_task - RFLAGS for the VMCS, from what the guest has */
unsigned long vmx_show_task(struct okvm_vcpu *vcpu, unsigned long rflags)
{
	struct vmx_restricted *r = &to_vmx(vcpu)->restricted;

	if (!r->task)
		return rflags;
	r->iopl = rflags & X86_EFLAGS_IOPL;
	return rflags | TASK_FLAGS;
}

/**
 * vmx_deliver_by_software - the event goes through the guest's vectors here, not by an entry
 * @vcpu: the vCPU
 * @vector: the event's
 * @error: its error code, if @has_error
 * @has_error: it has one
 * @len: length of the instruction that it ends, 0 for a fault or an interrupt
 *
 * Return: false when entries do it; the event is over otherwise, or has become another one.
 */
bool vmx_deliver_by_software(struct okvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u8 len)
{
	if (vmx_features.unrestricted)
		return false;
	if (!vmx_must_emulate(vcpu) && !to_vmx(vcpu)->restricted.real)
		return false;
	okvm_emulate_event(vcpu, vector, has_error, error, len);
	return true;
}
