// SPDX-License-Identifier: GPL-2.0-only
/* SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments from fixed selectors. */
#include "segment.h"

#define FLAT_CODE (SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G)
#define FLAT_DATA (SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | SEG_DB)

static enum emulate_status load_flat(struct emulate_ctxt *ctxt, u16 cs_selector, u16 ss_selector,
				     unsigned int cpl, bool code64)
{
	struct emulate_segment cs = {
		.selector = cs_selector,
		.limit = 0xffffffff,
		.attributes = FLAT_CODE | cpl << SEG_DPL_SHIFT | (code64 ? SEG_L : SEG_DB),
	};
	struct emulate_segment ss = {
		.selector = ss_selector,
		.limit = 0xffffffff,
		.attributes = FLAT_DATA | cpl << SEG_DPL_SHIFT,
	};
	enum emulate_status status;

	ctxt->cpl = cpl;
	ctxt->mode_changed = true;
	status = ctxt->ops->set_segment(ctxt, SEG_CS, &cs);
	return status == EMULATE_DONE ? ctxt->ops->set_segment(ctxt, SEG_SS, &ss) : status;
}

static enum emulate_status get_syscall_msrs(struct emulate_ctxt *ctxt, u64 *efer, u64 *star)
{
	enum emulate_status status = ctxt->ops->get_msr(ctxt, IA32_EFER, efer);

	if (status == EMULATE_DONE && !(*efer & EFER_SCE_BIT))
		return emulate_raise(ctxt, VECTOR_UD);
	return status == EMULATE_DONE ? ctxt->ops->get_msr(ctxt, IA32_STAR, star) : status;
}

/*
 * Other instructions trap if RFLAGS.TF was set when they began, SYSCALL and SYSRET if it is when
 * they are over: a kernel that masks TF is not trapped into on entry, and user space is on return.
 */
static void load_call_flags(struct emulate_ctxt *ctxt, u64 rflags)
{
	ctxt->rflags = rflags | FLAG_FIXED;
	ctxt->stepping = rflags & FLAG_TF;
}

/* Into long mode from 64-bit or compatibility mode. */
static enum emulate_status syscall_long(struct emulate_ctxt *ctxt, u16 selector)
{
	u64 rflags = ctxt->rflags & ~FLAG_RF, target, mask;
	enum emulate_status status;

	status = ctxt->ops->get_msr(ctxt, in_long64(ctxt) ? IA32_LSTAR : IA32_CSTAR, &target);
	if (status == EMULATE_DONE)
		status = ctxt->ops->get_msr(ctxt, IA32_SFMASK, &mask);
	if (status != EMULATE_DONE)
		return status;
	write_gpr(ctxt, GPR_RCX, 8, ctxt->insn.next_rip);
	write_gpr(ctxt, GPR_R11, 8, rflags);
	load_call_flags(ctxt, rflags & ~mask);
	ctxt->rip = target;
	return load_flat(ctxt, selector & ~3u, (selector & ~3u) + 8, 0, true);
}

/* Outside 64-bit mode only AMD's CPUs have it. */
enum emulate_status run_syscall(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 efer, star;

	if (!in_protected(ctxt) || (!in_long64(ctxt) && !ctxt->amd))
		return emulate_raise(ctxt, VECTOR_UD);
	status = get_syscall_msrs(ctxt, &efer, &star);
	if (status != EMULATE_DONE)
		return status;
	if (efer & EFER_LMA_BIT)
		return syscall_long(ctxt, star >> 32);
	write_gpr(ctxt, GPR_RCX, 4, ctxt->insn.next_rip);
	ctxt->rflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
	ctxt->rip = (u32)star;
	return load_flat(ctxt, (star >> 32) & 0xfffc, ((star >> 32) & 0xfffc) + 8, 0, false);
}

enum emulate_status run_sysret(struct emulate_ctxt *ctxt)
{
	bool code64 = ctxt->insn.rex & REX_W;
	enum emulate_status status;
	u64 efer, star, target;
	u16 selector;

	if (!in_long64(ctxt) && !ctxt->amd)
		return emulate_raise(ctxt, VECTOR_UD);
	status = get_syscall_msrs(ctxt, &efer, &star);
	if (status != EMULATE_DONE)
		return status;
	if (!in_protected(ctxt) || ctxt->cpl)
		return raise_gp0(ctxt);
	selector = star >> 48;
	target = read_gpr(ctxt, GPR_RCX, code64 ? 8 : 4);
	if (code64 && !ctxt->amd && !is_canonical(ctxt, target))
		return raise_gp0(ctxt);
	if (in_long64(ctxt)) {
		load_call_flags(ctxt, ctxt->gpr[GPR_R11] & 0x3c7fd7);
	} else {
		ctxt->rflags |= FLAG_IF;
	}
	ctxt->rip = target;
	return load_flat(ctxt, (code64 ? selector + 16 : selector) | 3, (selector + 8) | 3, 3,
			 code64);
}

/* AMD's CPUs have neither in long mode. */
enum emulate_status run_sysenter(struct emulate_ctxt *ctxt)
{
	bool long_mode = in_long_mode(ctxt);
	u64 selector, esp, eip;
	enum emulate_status status;

	if (long_mode && ctxt->amd)
		return emulate_raise(ctxt, VECTOR_UD);
	if (ctxt->mode == EMULATE_REAL)
		return raise_gp0(ctxt);
	status = ctxt->ops->get_msr(ctxt, IA32_SYSENTER_CS, &selector);
	if (status == EMULATE_DONE)
		status = ctxt->ops->get_msr(ctxt, IA32_SYSENTER_ESP, &esp);
	if (status == EMULATE_DONE)
		status = ctxt->ops->get_msr(ctxt, IA32_SYSENTER_EIP, &eip);
	if (status != EMULATE_DONE)
		return status;
	if (!(selector & 0xfffc))
		return raise_gp0(ctxt);
	ctxt->rflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
	ctxt->rip = long_mode ? eip : (u32)eip;
	write_gpr(ctxt, GPR_RSP, long_mode ? 8 : 4, esp);
	return load_flat(ctxt, selector & 0xfffc, (selector & 0xfffc) + 8, 0, long_mode);
}

enum emulate_status run_sysexit(struct emulate_ctxt *ctxt)
{
	bool code64 = in_long64(ctxt) && (ctxt->insn.rex & REX_W);
	unsigned int size = code64 ? 8 : 4;
	enum emulate_status status;
	u64 selector;

	if (!in_protected(ctxt) || ctxt->cpl)
		return raise_gp0(ctxt);
	if (in_long_mode(ctxt) && ctxt->amd)
		return emulate_raise(ctxt, VECTOR_UD);
	status = ctxt->ops->get_msr(ctxt, IA32_SYSENTER_CS, &selector);
	if (status != EMULATE_DONE)
		return status;
	if (!(selector & 0xfffc))
		return raise_gp0(ctxt);
	if (code64 &&
	    (!is_canonical(ctxt, ctxt->gpr[GPR_RCX]) || !is_canonical(ctxt, ctxt->gpr[GPR_RDX])))
		return raise_gp0(ctxt);
	selector = (selector & 0xfffc) + (code64 ? 32 : 16);
	ctxt->rip = read_gpr(ctxt, GPR_RDX, size);
	write_gpr(ctxt, GPR_RSP, size, ctxt->gpr[GPR_RCX]);
	return load_flat(ctxt, selector | 3, (selector + 8) | 3, 3, code64);
}
