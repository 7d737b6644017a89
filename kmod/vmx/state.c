// SPDX-License-Identifier: GPL-2.0-only
/* The VMCS's guest state: segments, tables, control registers, read when somebody asks. */
#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"
#include "regs.h"

/* Access rights beyond what the architecture's descriptors have. SDM vol. 3, 24.4.1. */
#define RIGHTS_DPL_SHIFT 5
#define RIGHTS_AVL		BIT(12)

/** vmx_cache_reg - read what vmx_run() leaves in the VMCS: RSP, RIP, RFLAGS, CR3 */
void vmx_cache_reg(struct okvm_vcpu *vcpu, int reg)
{
	switch (reg) {
	case REG_RSP:
		vcpu->regs[REG_RSP] = vmcs_read(GUEST_RSP);
		break;
	case REG_RIP:
		vcpu->regs[REG_RIP] = vmcs_read(GUEST_RIP);
		break;
	case REG_RFLAGS:
		vcpu->regs[REG_RFLAGS] = vmx_hide_task(vcpu, vmcs_read(GUEST_RFLAGS));
		break;
	case REG_CR3:
		vcpu->cr3 = vmcs_read(GUEST_CR3);
		break;
	}
	vcpu->regs_avail |= BIT(reg);
}

static struct vmx_segment *segment(struct okvm_vcpu *vcpu, int which)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_segment *s = &vmx->seg[which];

	if (vmx->seg_known & BIT(which))
		return s;
	vmx->seg_known |= BIT(which);
	s->selector = vmcs_read(GUEST_ES_SELECTOR + 2 * which);
	/* A load in real mode changes no more than selector and base. */
	if (unlikely(vmx->restricted.real)) {
		s->base = (u32)s->selector << 4;
		return s;
	}
	s->base = vmcs_read(GUEST_ES_BASE + 2 * which);
	s->limit = vmcs_read(GUEST_ES_LIMIT + 2 * which);
	s->ar = vmcs_read(GUEST_ES_AR_BYTES + 2 * which);
	return s;
}

/** vmx_get_segment - a segment register, SEG_* */
void vmx_get_segment(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which)
{
	const struct vmx_segment *s = segment(vcpu, which);

	seg->base = s->base;
	seg->limit = s->limit;
	seg->selector = s->selector;
	seg->type = s->ar & VMX_AR_TYPE_MASK;
	seg->s = !!(s->ar & VMX_AR_S_MASK);
	seg->dpl = VMX_AR_DPL(s->ar);
	seg->unusable = !!(s->ar & VMX_AR_UNUSABLE_MASK);
	/* User space knows a null selector by this alone. */
	seg->present = !seg->unusable && s->ar & VMX_AR_P_MASK;
	seg->avl = !!(s->ar & RIGHTS_AVL);
	seg->l = !!(s->ar & VMX_AR_L_MASK);
	seg->db = !!(s->ar & VMX_AR_DB_MASK);
	seg->g = !!(s->ar & VMX_AR_G_MASK);
}

static u32 access_rights(const struct kvm_segment *seg, int which)
{
	u32 ar = (seg->type & VMX_AR_TYPE_MASK) | (seg->dpl & 3) << RIGHTS_DPL_SHIFT;

	if (seg->s)
		ar |= VMX_AR_S_MASK;
	if (seg->present)
		ar |= VMX_AR_P_MASK;
	if (seg->avl)
		ar |= RIGHTS_AVL;
	if (seg->l)
		ar |= VMX_AR_L_MASK;
	if (seg->db)
		ar |= VMX_AR_DB_MASK;
	if (seg->g)
		ar |= VMX_AR_G_MASK;
	if (seg->unusable || !seg->present)
		ar |= VMX_AR_UNUSABLE_MASK;
	/* Entries insist on what a CPU that loaded the register would have left there. */
	if (which == SEG_TR)
		ar |= VMX_AR_TYPE_BUSY_16_TSS;
	else if (which != SEG_LDTR)
		ar |= VMX_AR_TYPE_ACCESSES_MASK;
	return ar;
}

/** vmx_set_segment - load a segment register, SEG_* */
void vmx_set_segment(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_segment *s = &vmx->seg[which];

	s->base = seg->base;
	s->limit = seg->limit;
	s->selector = seg->selector;
	s->ar = access_rights(seg, which);
	vmx->seg_known |= BIT(which);
	vmx->restricted.stale = true;
	if (unlikely(vmx->restricted.real))
		return;
	vmcs_write(GUEST_ES_SELECTOR + 2 * which, s->selector);
	vmcs_write(GUEST_ES_BASE + 2 * which, s->base);
	vmcs_write(GUEST_ES_LIMIT + 2 * which, s->limit);
	vmcs_write(GUEST_ES_AR_BYTES + 2 * which, s->ar);
	/* Only CPL 0 can be halted. */
	if (which == SEG_SS)
		vmx_leave_halt(vcpu);
}

/** vmx_segment_base - FS's or GS's base, as their MSRs have it */
u64 vmx_segment_base(struct okvm_vcpu *vcpu, int which)
{
	return segment(vcpu, which)->base;
}

/** vmx_set_segment_base - write it */
void vmx_set_segment_base(struct okvm_vcpu *vcpu, int which, u64 base)
{
	segment(vcpu, which)->base = base;
	to_vmx(vcpu)->restricted.stale = true;
	if (likely(!to_vmx(vcpu)->restricted.real))
		vmcs_write(GUEST_ES_BASE + 2 * which, base);
}

/** vmx_cpl - current privilege level: SS's DPL, whatever the mode */
int vmx_cpl(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (unlikely(vmx->restricted.real))
		return 0;
	if (vmx->seg_known & BIT(SEG_SS))
		return VMX_AR_DPL(vmx->seg[SEG_SS].ar);
	return VMX_AR_DPL(vmcs_read(GUEST_SS_AR_BYTES));
}

/** vmx_long_code - CS.L */
bool vmx_long_code(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool known = vmx->seg_known & BIT(SEG_CS);

	return (known ? vmx->seg[SEG_CS].ar : vmcs_read(GUEST_CS_AR_BYTES)) & VMX_AR_L_MASK;
}

/** vmx_get_table - GDTR or IDTR */
void vmx_get_table(struct okvm_vcpu *vcpu, struct kvm_dtable *dt, bool idt)
{
	dt->base = vmcs_read(idt ? GUEST_IDTR_BASE : GUEST_GDTR_BASE);
	dt->limit = vmcs_read(idt ? GUEST_IDTR_LIMIT : GUEST_GDTR_LIMIT);
}

/** vmx_set_table - load GDTR or IDTR */
void vmx_set_table(struct okvm_vcpu *vcpu, const struct kvm_dtable *dt, bool idt)
{
	vmcs_write(idt ? GUEST_IDTR_BASE : GUEST_GDTR_BASE, dt->base);
	vmcs_write(idt ? GUEST_IDTR_LIMIT : GUEST_GDTR_LIMIT, dt->limit);
	to_vmx(vcpu)->restricted.stale |= idt;
}

/** vmx_set_pdptes - PAE paging's four first entries, whatever is in memory */
void vmx_set_pdptes(struct okvm_vcpu *vcpu, const u64 pdpte[4])
{
	int i;

	to_vmx(vcpu)->pdptes_stale = false;
	for (i = 0; i < 4; i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, pdpte[i]);
}

/**
 * vmx_load_pdptes - fill the four entries that PAE paging keeps in the CPU
 * @vcpu: the vCPU, on its way into the guest, or asked for them
 *
 * With EPT they come from the VMCS on entry. Where there is no RAM they are absent: the guest's
 * next access faults, and so does the delivery of that.
 *
 * Context: may sleep.
 */
void vmx_load_pdptes(struct okvm_vcpu *vcpu)
{
	u64 pdpte[4];

	if (!to_vmx(vcpu)->pdptes_stale)
		return;
	to_vmx(vcpu)->pdptes_stale = false;
	if (!okvm_pae_paging(vcpu))
		return;
	if (okvm_read_pdptes(vcpu, okvm_cr3(vcpu), pdpte))
		memset(pdpte, 0, sizeof(pdpte));
	vmx_set_pdptes(vcpu, pdpte);
}

/** vmx_get_pdptes - PAE paging's first entries, as the CPU has them or is about to load them */
void vmx_get_pdptes(struct okvm_vcpu *vcpu, u64 pdpte[4])
{
	bool stale = to_vmx(vcpu)->pdptes_stale;
	int i;

	vmx_load_pdptes(vcpu);
	for (i = 0; i < 4; i++)
		pdpte[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
	/* Until the guest runs they are still to be read anew. */
	to_vmx(vcpu)->pdptes_stale = stale;
}

/*
 * CR0.CD and NW would make the guest uncached, which serves nobody; it sees them in the shadow
 * alone. What VMX wants set is set.
 */
static void put_cr0(struct okvm_vcpu *vcpu)
{
	unsigned long hidden = X86_CR0_CD | X86_CR0_NW;

	/* Virtual-8086 tasks check alignment, real mode does not. */
	if (!vmx_features.unrestricted && !(vcpu->cr0 & X86_CR0_PE))
		hidden |= X86_CR0_AM;
	vmcs_write(CR0_READ_SHADOW, vcpu->cr0);
	vmcs_write(GUEST_CR0, (vcpu->cr0 & ~hidden) | vmx_features.cr0_on);
}

/* Machine checks stay enabled for the host. */
static void put_cr4(struct okvm_vcpu *vcpu)
{
	unsigned long ours = vmx_features.cr4_on | (cr4_read_shadow() & X86_CR4_MCE);
	unsigned long cr4 = vcpu->cr4;

	vmcs_write(CR4_READ_SHADOW, vcpu->cr4);
	if (!vmx_features.unrestricted)
		cr4 = vmx_flat_cr4(vcpu, cr4);
	vmcs_write(GUEST_CR4, cr4 | ours);
}

static void put_efer(struct okvm_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 entry = vmx->entry_ctls & ~VM_ENTRY_IA32E_MODE;
	u64 efer = vcpu->efer;

	if (vcpu->efer & EFER_LMA)
		entry |= VM_ENTRY_IA32E_MODE;
	if (entry != vmx->entry_ctls) {
		vmx->entry_ctls = entry;
		vmcs_write(VM_ENTRY_CONTROLS, entry);
	}
	/* Paging is on, and it is not long mode's. */
	if (!vmx_features.unrestricted && !(efer & EFER_LMA))
		efer &= ~EFER_LME;
	if (vmx_features.load_efer)
		vmcs_write(GUEST_IA32_EFER, efer);
	else
		vmx_autoload(vmx, MSR_EFER, efer, okvm_hw.host_efer);
	vmx_lazy_msrs_changed(vcpu);
}

/** vmx_set_cr - CR0, CR3, CR4 or EFER (CR_EFER) changed in @vcpu */
void vmx_set_cr(struct okvm_vcpu *vcpu, int cr)
{
	switch (cr) {
	case 0:
		put_cr0(vcpu);
		if (vmx_features.unrestricted)
			break;
		vmx_restricted_cr0(vcpu);
		put_cr4(vcpu);
		break;
	case 3:
		vmcs_write(GUEST_CR3, vcpu->cr3);
		vcpu->regs_avail |= BIT(REG_CR3);
		break;
	case 4:
		put_cr4(vcpu);
		break;
	case CR_EFER:
		put_efer(vcpu);
		break;
	}
	/* Not yet: user space may write the tables after the registers. */
	if (unlikely(okvm_pae_paging(vcpu))) {
		to_vmx(vcpu)->pdptes_stale = true;
		okvm_request(vcpu, REQ_MMU_RELOAD);
	}
}
