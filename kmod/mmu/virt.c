// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory by linear address: the guest's own tables, walked as the vCPU stands now. */
#include "mmu/memslot.h"
#include "mmu/walk.h"
#include "msr.h"
#include "vmm.h"

static int read_entry(void *priv, u64 gpa, u64 *entry, unsigned int bytes)
{
	void __user *user = memslot_user(priv, gpa, false);

	return likely(user) && memslot_read(entry, user, bytes) ? 0 : WALK_NO_RAM;
}

static int update_entry(void *priv, u64 gpa, u64 old, u64 new, unsigned int bytes)
{
	int r = okvm_cmpxchg_guest(priv, gpa, &old, &new, bytes);

	return r < 0 ? WALK_READ_ONLY : r;
}

static const struct walk_ops guest_table_ops = { .read = read_entry, .update = update_entry };

static u32 walk_features(struct okvm_vcpu *vcpu)
{
	unsigned long cr4 = vcpu->cr4;
	u32 features = 0;

	if (vcpu->cr0 & X86_CR0_WP)
		features |= WALK_WP;
	if (cr4 & X86_CR4_PSE)
		features |= WALK_PSE;
	if (vcpu->efer & EFER_NX)
		features |= WALK_NX;
	if (cr4 & X86_CR4_SMEP)
		features |= WALK_SMEP;
	if (cr4 & X86_CR4_SMAP)
		features |= WALK_SMAP;
	if ((cr4 & X86_CR4_SMAP) && (okvm_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_AC))
		features |= WALK_AC;
	if (cr4 & X86_CR4_PKE)
		features |= WALK_PKE;
	if (guest_has(vcpu, GUEST_GBPAGES))
		features |= WALK_1G;
	if (guest_has(vcpu, GUEST_AMD))
		features |= WALK_AMD;
	return features;
}

/**
 * okvm_walk_as - what a walk of the guest's tables depends on
 * @vcpu: the running vCPU, loaded; the walk is done between okvm_slots_begin() and okvm_slots_end()
 * @ctxt: filled
 */
void okvm_walk_as(struct okvm_vcpu *vcpu, struct walk_ctxt *ctxt)
{
	*ctxt = (struct walk_ctxt){
		.mode = walk_mode_of(vcpu->cr0 & X86_CR0_PG, vcpu->cr4 & X86_CR4_PAE,
				     okvm_long_mode(vcpu), vcpu->cr4 & X86_CR4_LA57),
		.cr3 = okvm_cr3(vcpu),
		.features = walk_features(vcpu),
		.pkru = vcpu->cr4 & X86_CR4_PKE ? vcpu->msrs->pkru : 0,
		.reserved_gpa = vcpu->cpuid.reserved_gpa,
		.ops = &guest_table_ops,
		.priv = vcpu,
	};
}

/**
 * okvm_translate - translate a linear address through the guest's page tables
 * @vcpu: the running vCPU, loaded
 * @linear: the address
 * @access: ACCESS_* bits
 * @gpa: the guest physical address
 * @fault: what the guest gets if there is none
 *
 * Sets the guest's accessed and dirty bits as the CPU would.
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0, or 1 with @fault filled.
 */
int okvm_translate(struct okvm_vcpu *vcpu, u64 linear, u32 access, gpa_t *gpa,
		   struct okvm_walk_fault *fault)
{
	struct walk_ctxt ctxt;
	int r;

	okvm_walk_as(vcpu, &ctxt);
	okvm_slots_begin(vcpu);
	r = walk_translate(&ctxt, linear, access, gpa, fault);
	okvm_slots_end(vcpu);
	return r;
}

/**
 * okvm_read_virt - read guest memory by linear address
 * @vcpu: the running vCPU, loaded
 * @linear: where; may cross pages
 * @buf: kernel memory
 * @len: bytes
 * @access: ACCESS_READ or ACCESS_EXEC, with USER or IMPLICIT
 * @fault: what the guest gets if it may not
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0; 1 with @fault filled; -EFAULT: no RAM there.
 */
int okvm_read_virt(struct okvm_vcpu *vcpu, u64 linear, void *buf, unsigned int len, u32 access,
		   struct okvm_walk_fault *fault)
{
	unsigned int n;
	gpa_t gpa;
	int r = 0;

	okvm_slots_begin(vcpu);
	for (; len && !r; len -= n, linear += n, buf += n) {
		n = to_page_end(linear, len);
		r = okvm_translate(vcpu, linear, access, &gpa, fault);
		if (!r)
			r = okvm_read_guest(vcpu, gpa, buf, n);
	}
	okvm_slots_end(vcpu);
	return r;
}

/* A write that crosses pages faults before it has written anything. */
static int probe_pages(struct okvm_vcpu *vcpu, u64 linear, unsigned int len, u32 access,
		       struct okvm_walk_fault *fault)
{
	unsigned int n;
	gpa_t gpa;
	int r = 0;

	for (; len && !r; len -= n, linear += n) {
		n = to_page_end(linear, len);
		r = okvm_translate(vcpu, linear, access, &gpa, fault);
		if (!r && !okvm_gpa_is_ram(vcpu, gpa, true))
			r = -EFAULT;
	}
	return r;
}

/**
 * okvm_write_virt - write guest memory by linear address
 * @vcpu: the running vCPU, loaded
 * @linear: where; may cross pages
 * @buf: kernel memory
 * @len: bytes
 * @access: USER or IMPLICIT, or 0; ACCESS_WRITE goes without saying
 * @fault: what the guest gets if it may not
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0; 1 with @fault filled, nothing written; -EFAULT: no writable RAM there.
 */
int okvm_write_virt(struct okvm_vcpu *vcpu, u64 linear, const void *buf, unsigned int len,
		    u32 access, struct okvm_walk_fault *fault)
{
	unsigned int n = to_page_end(linear, len);
	gpa_t gpa;
	int r = 0;

	access |= ACCESS_WRITE;
	okvm_slots_begin(vcpu);
	if (n < len)
		r = probe_pages(vcpu, linear, len, access, fault);
	for (; len && !r; len -= n, linear += n, buf += n) {
		n = to_page_end(linear, len);
		r = okvm_translate(vcpu, linear, access, &gpa, fault);
		if (!r)
			r = okvm_write_guest(vcpu, gpa, buf, n);
	}
	okvm_slots_end(vcpu);
	return r;
}
