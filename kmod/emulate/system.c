// SPDX-License-Identifier: GPL-2.0-only
/* Control, debug and model-specific registers, and what else is the system's. */
#include "internal.h"

#define DR6_BD_BIT (1ull << 13)
#define DR7_GD_BIT (1ull << 13)

/* MWAIT's ECX: an interrupt ends the wait even with RFLAGS.IF clear. */
#define MWAIT_INTERRUPT_BREAK 1

enum emulate_status run_mov_cr(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;

	if (insn->op == INSN_MOV_FROM_CR) {
		write_gpr(ctxt, insn->rm, insn->operand_size, ctxt->ops->get_cr(ctxt, insn->reg));
		return EMULATE_DONE;
	}
	ctxt->mode_changed = true;
	return ctxt->ops->set_cr(ctxt, insn->reg, read_gpr(ctxt, insn->rm, insn->operand_size));
}

enum emulate_status run_clts(struct emulate_ctxt *ctxt)
{
	return ctxt->ops->set_cr(ctxt, 0, ctxt->ops->get_cr(ctxt, 0) & ~CR0_TS_BIT);
}

/* PE, MP, EM and TS; PE can be set so but not cleared. */
enum emulate_status run_lmsw(struct emulate_ctxt *ctxt)
{
	u64 cr0 = ctxt->ops->get_cr(ctxt, 0);

	cr0 = (cr0 & ~0xeull) | (ctxt->src.value & 0xf);
	ctxt->mode_changed = true;
	return ctxt->ops->set_cr(ctxt, 0, cr0);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set, at any CPL; DR7.GD guards them all. */
enum emulate_status run_mov_dr(struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;
	enum emulate_status status;
	unsigned int reg = insn->reg;
	u64 value;

	if (reg == 4 || reg == 5) {
		if (ctxt->ops->get_cr(ctxt, 4) & CR4_DE_BIT)
			return emulate_raise(ctxt, VECTOR_UD);
		reg += 2;
	}
	if (ctxt->cpl)
		return raise_gp0(ctxt);
	if (ctxt->ops->get_dr(ctxt, 7) & DR7_GD_BIT) {
		status = ctxt->ops->set_dr(ctxt, 6, ctxt->ops->get_dr(ctxt, 6) | DR6_BD_BIT);
		return status == EMULATE_DONE ? emulate_raise(ctxt, VECTOR_DB) : status;
	}
	if (insn->op == INSN_MOV_FROM_DR) {
		write_gpr(ctxt, insn->rm, insn->operand_size, ctxt->ops->get_dr(ctxt, reg));
		return EMULATE_DONE;
	}
	value = read_gpr(ctxt, insn->rm, insn->operand_size);
	if (reg >= 6 && value >> 32)
		return raise_gp0(ctxt);
	return ctxt->ops->set_dr(ctxt, reg, value);
}

enum emulate_status run_cpuid(struct emulate_ctxt *ctxt)
{
	u32 regs[4] = { ctxt->gpr[GPR_RAX], ctxt->gpr[GPR_RCX] };
	enum emulate_status status = ctxt->ops->cpuid(ctxt, regs);

	if (status != EMULATE_DONE)
		return status;
	write_gpr(ctxt, GPR_RAX, 4, regs[0]);
	write_gpr(ctxt, GPR_RBX, 4, regs[1]);
	write_gpr(ctxt, GPR_RCX, 4, regs[2]);
	write_gpr(ctxt, GPR_RDX, 4, regs[3]);
	return EMULATE_DONE;
}

static void write_edx_eax(struct emulate_ctxt *ctxt, u64 value)
{
	write_gpr(ctxt, GPR_RAX, 4, value);
	write_gpr(ctxt, GPR_RDX, 4, value >> 32);
}

static u64 read_edx_eax(const struct emulate_ctxt *ctxt)
{
	return (u32)ctxt->gpr[GPR_RAX] | ctxt->gpr[GPR_RDX] << 32;
}

/* RDTSC and RDTSCP */
enum emulate_status run_rdtsc(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 tsc, aux = 0;

	if (ctxt->cpl && (ctxt->ops->get_cr(ctxt, 4) & CR4_TSD_BIT))
		return raise_gp0(ctxt);
	status = ctxt->ops->read_tsc(ctxt, &tsc);
	if (status == EMULATE_DONE && ctxt->insn.op == INSN_RDTSCP)
		status = ctxt->ops->get_msr(ctxt, IA32_TSC_AUX, &aux);
	if (status != EMULATE_DONE)
		return status;
	write_edx_eax(ctxt, tsc);
	if (ctxt->insn.op == INSN_RDTSCP)
		write_gpr(ctxt, GPR_RCX, 4, aux);
	return EMULATE_DONE;
}

enum emulate_status run_rdpmc(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 value;

	if (ctxt->cpl && !(ctxt->ops->get_cr(ctxt, 4) & CR4_PCE_BIT))
		return raise_gp0(ctxt);
	status = ctxt->ops->read_pmc(ctxt, ctxt->gpr[GPR_RCX], &value);
	if (status == EMULATE_DONE)
		write_edx_eax(ctxt, value);
	return status;
}

enum emulate_status run_rdpid(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 value;

	status = ctxt->ops->get_msr(ctxt, IA32_TSC_AUX, &value);
	if (status == EMULATE_DONE)
		write_gpr(ctxt, ctxt->insn.rm, ctxt->insn.operand_size, value);
	return status;
}

enum emulate_status run_rdmsr(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 value;

	status = ctxt->ops->get_msr(ctxt, ctxt->gpr[GPR_RCX], &value);
	if (status == EMULATE_DONE)
		write_edx_eax(ctxt, value);
	return status;
}

enum emulate_status run_wrmsr(struct emulate_ctxt *ctxt)
{
	ctxt->mode_changed = true;
	return ctxt->ops->set_msr(ctxt, ctxt->gpr[GPR_RCX], read_edx_eax(ctxt));
}

/* XGETBV with ECX = 1 (XINUSE) is not emulated. */
enum emulate_status run_xgetbv(struct emulate_ctxt *ctxt)
{
	u32 index = ctxt->gpr[GPR_RCX];

	if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_OSXSAVE_BIT))
		return emulate_raise(ctxt, VECTOR_UD);
	if (index)
		return index == 1 ? EMULATE_UNSUPPORTED : raise_gp0(ctxt);
	write_edx_eax(ctxt, ctxt->ops->get_cr(ctxt, EMULATE_XCR0));
	return EMULATE_DONE;
}

enum emulate_status run_xsetbv(struct emulate_ctxt *ctxt)
{
	if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_OSXSAVE_BIT))
		return emulate_raise(ctxt, VECTOR_UD);
	if (ctxt->cpl || (u32)ctxt->gpr[GPR_RCX])
		return raise_gp0(ctxt);
	return ctxt->ops->set_cr(ctxt, EMULATE_XCR0, read_edx_eax(ctxt));
}

/* With CPL above IOPL, CR4.PVI or VME would use VIF instead, which is not done here. */
static enum emulate_status check_interrupt_flag(struct emulate_ctxt *ctxt)
{
	u64 virtual_flag = ctxt->mode == EMULATE_VM86 ? CR4_VME_BIT : CR4_PVI_BIT;

	if (ctxt->mode == EMULATE_REAL || ctxt->cpl <= (ctxt->rflags & FLAG_IOPL) >> 12)
		return EMULATE_DONE;
	if (ctxt->cpl == 3 && (ctxt->ops->get_cr(ctxt, 4) & virtual_flag))
		return EMULATE_UNSUPPORTED;
	return raise_gp0(ctxt);
}

enum emulate_status run_cli(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_interrupt_flag(ctxt);

	if (status == EMULATE_DONE)
		ctxt->rflags &= ~FLAG_IF;
	return status;
}

enum emulate_status run_sti(struct emulate_ctxt *ctxt)
{
	enum emulate_status status = check_interrupt_flag(ctxt);

	if (status != EMULATE_DONE)
		return status;
	if (!(ctxt->rflags & FLAG_IF))
		cast_shadow(ctxt, EMULATE_SHADOW_STI);
	ctxt->rflags |= FLAG_IF;
	return EMULATE_DONE;
}

/* CLAC and STAC; #UD, not #GP, above CPL 0 */
enum emulate_status run_ac(struct emulate_ctxt *ctxt)
{
	if (ctxt->cpl)
		return emulate_raise(ctxt, VECTOR_UD);
	if (ctxt->insn.op == INSN_STAC)
		ctxt->rflags |= FLAG_AC;
	else
		ctxt->rflags &= ~FLAG_AC;
	return EMULATE_DONE;
}

enum emulate_status run_swapgs(struct emulate_ctxt *ctxt)
{
	struct emulate_segment gs;
	enum emulate_status status;
	u64 base;

	status = ctxt->ops->get_msr(ctxt, IA32_KERNEL_GS_BASE, &base);
	if (status != EMULATE_DONE)
		return status;
	ctxt->ops->get_segment(ctxt, SEG_GS, &gs);
	status = ctxt->ops->set_msr(ctxt, IA32_KERNEL_GS_BASE, gs.base);
	if (status != EMULATE_DONE)
		return status;
	gs.base = base;
	return ctxt->ops->set_segment(ctxt, SEG_GS, &gs);
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
enum emulate_status run_segment_base(struct emulate_ctxt *ctxt)
{
	unsigned int op = ctxt->insn.op;
	unsigned int reg = op == INSN_RDFSBASE || op == INSN_WRFSBASE ? SEG_FS : SEG_GS;
	struct emulate_segment segment;

	if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_FSGSBASE_BIT))
		return emulate_raise(ctxt, VECTOR_UD);
	ctxt->ops->get_segment(ctxt, reg, &segment);
	if (op == INSN_RDFSBASE || op == INSN_RDGSBASE) {
		ctxt->dst.value = segment.base;
		return EMULATE_DONE;
	}
	if (!is_canonical(ctxt, ctxt->src.value))
		return raise_gp0(ctxt);
	segment.base = ctxt->src.value;
	return ctxt->ops->set_segment(ctxt, reg, &segment);
}

enum emulate_status run_special(struct emulate_ctxt *ctxt)
{
	switch (ctxt->insn.op) {
	case INSN_HLT:
		return ctxt->ops->special(ctxt, SPECIAL_HLT, 0);
	case INSN_INVD:
		return ctxt->ops->special(ctxt, SPECIAL_INVD, 0);
	case INSN_WBINVD:
		return ctxt->ops->special(ctxt, SPECIAL_WBINVD, 0);
	case INSN_PAUSE:
		return ctxt->ops->special(ctxt, SPECIAL_PAUSE, 0);
	case INSN_RSM:
		return ctxt->ops->special(ctxt, SPECIAL_RSM, 0);
	case INSN_VMCALL:
	case INSN_VMMCALL:
		return ctxt->ops->special(ctxt, SPECIAL_HYPERCALL, 0);
	default:
		return ctxt->ops->special(ctxt, SPECIAL_VIRT, 0);
	}
}

/* An address that is not canonical makes it a NOP. */
enum emulate_status run_invlpg(struct emulate_ctxt *ctxt)
{
	u64 linear = emulate_linear_address(ctxt);

	if (in_long64(ctxt) && !is_canonical(ctxt, linear))
		return EMULATE_DONE;
	return ctxt->ops->special(ctxt, SPECIAL_INVLPG, linear);
}

enum emulate_status run_invpcid(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 linear;

	status = linearize(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), 16, false,
			   &linear);
	if (status != EMULATE_DONE)
		return status;
	ctxt->special_arg = read_gpr(ctxt, ctxt->insn.reg, ctxt->insn.operand_size);
	return ctxt->ops->special(ctxt, SPECIAL_INVPCID, linear);
}

enum emulate_status run_clflush(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 linear;

	status = linearize(ctxt, ctxt->insn.segment, emulate_effective_address(ctxt), 1, false,
			   &linear);
	return status == EMULATE_DONE ? ctxt->ops->special(ctxt, SPECIAL_CLFLUSH, linear) : status;
}

/* MONITOR and MWAIT: #UD above CPL 0. ECX holds extensions, of which MONITOR knows none. */
enum emulate_status run_monitor(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	u64 linear;

	if (ctxt->cpl)
		return emulate_raise(ctxt, VECTOR_UD);
	if (ctxt->insn.op == INSN_MWAIT)
		return (u32)ctxt->gpr[GPR_RCX] & ~MWAIT_INTERRUPT_BREAK ? raise_gp0(ctxt) :
			ctxt->ops->special(ctxt, SPECIAL_MWAIT, 0);
	if ((u32)ctxt->gpr[GPR_RCX])
		return raise_gp0(ctxt);
	status = linearize(ctxt, ctxt->insn.segment,
			   read_gpr(ctxt, GPR_RAX, ctxt->insn.address_size), 1, false, &linear);
	return status == EMULATE_DONE ? ctxt->ops->special(ctxt, SPECIAL_MONITOR, linear) : status;
}
