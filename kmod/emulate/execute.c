// SPDX-License-Identifier: GPL-2.0-only
/* Carry out a decoded instruction: check, load operands, run the handler, write back, commit. */
#include "internal.h"

/*
 * How often to try a locked operation that another CPU spoils, before the guest is let run again.
 */
#define LOCKED_TRIES 8

static const handler_fn handlers[INSN_COUNT] = {
	[INSN_ADD... INSN_CMP] = run_alu,
	[INSN_ROL... INSN_SAR] = run_alu,
	[INSN_TEST... INSN_DEC] = run_alu,
	[INSN_IMUL] = run_imul,
	[INSN_SHLD... INSN_SHRD] = run_double_shift,
	[INSN_BT... INSN_BTC] = run_bit_test,
	[INSN_BSF... INSN_BSR] = run_bit_scan,

	[INSN_MOV] = run_mov,
	[INSN_MOVZX] = run_mov,
	[INSN_MOVSX] = run_movsx,
	[INSN_MOVBE] = run_movbe,
	[INSN_MOVNTI] = run_mov,
	[INSN_MOVDIRI] = run_mov,
	[INSN_MOVDIR64B] = run_movdir64b,
	[INSN_BSWAP] = run_bswap,
	[INSN_LEA] = run_lea,
	[INSN_XCHG] = run_xchg,
	[INSN_CMOV] = run_cmov,
	[INSN_SET] = run_set,
	[INSN_CBW] = run_cbw,
	[INSN_CWD] = run_cwd,
	[INSN_XLAT] = run_xlat,
	[INSN_SALC] = run_salc,
	[INSN_LAHF] = run_lahf,
	[INSN_SAHF] = run_sahf,
	[INSN_XADD] = run_xadd,
	[INSN_CMPXCHG] = run_cmpxchg,
	[INSN_CMPXCHG8B] = run_cmpxchg8b,
	[INSN_CLC... INSN_STD] = run_flag,

	[INSN_MOVS] = run_movs,
	[INSN_CMPS] = run_cmps,
	[INSN_STOS] = run_stos,
	[INSN_LODS] = run_lods,
	[INSN_SCAS] = run_scas,
	[INSN_INS] = run_ins,
	[INSN_OUTS] = run_outs,
	[INSN_IN] = run_in,
	[INSN_OUT] = run_out,

	[INSN_MUL... INSN_IMUL1] = run_mul,
	[INSN_DIV... INSN_IDIV] = run_div,
	[INSN_TZCNT... INSN_LZCNT] = run_count_zeros,
	[INSN_POPCNT] = run_popcnt,
	[INSN_CRC32] = run_crc32,
	[INSN_ANDN] = run_extract,
	[INSN_BLSR... INSN_BLSI] = run_lowest_bit,
	[INSN_BZHI] = run_extract,
	[INSN_PEXT... INSN_PDEP] = run_gather_bits,
	[INSN_MULX] = run_mulx,
	[INSN_BEXTR] = run_extract,
	[INSN_SHLX... INSN_RORX] = run_shift_x,
	[INSN_ADCX... INSN_ADOX] = run_adx,
	[INSN_AAA... INSN_DAS] = run_bcd,

	[INSN_PUSH] = run_push,
	[INSN_POP] = run_pop,
	[INSN_PUSHA] = run_pusha,
	[INSN_POPA] = run_popa,
	[INSN_PUSHF] = run_pushf,
	[INSN_POPF] = run_popf,
	[INSN_PUSH_SEG] = run_push_seg,
	[INSN_POP_SEG] = run_pop_seg,
	[INSN_ENTER] = run_enter,
	[INSN_LEAVE] = run_leave,

	[INSN_JMP] = run_jmp,
	[INSN_JMP_IND] = run_jmp_ind,
	[INSN_CALL] = run_call,
	[INSN_CALL_IND] = run_call_ind,
	[INSN_RET] = run_ret,
	[INSN_JCC] = run_jcc,
	[INSN_LOOP... INSN_JCXZ] = run_loop,
	[INSN_INT... INSN_INT1] = run_int,
	[INSN_JMP_FAR... INSN_CALL_FAR] = run_far,
	[INSN_RET_FAR] = run_ret_far,
	[INSN_IRET] = run_iret,
	[INSN_BOUND] = run_bound,
	[INSN_UD] = run_ud,
	[INSN_NOP] = run_nop,
	[INSN_PREFETCH] = run_nop,
	[INSN_FENCE] = run_nop,
	[INSN_PAUSE] = run_special,

	[INSN_MOV_FROM_SEG] = run_mov_from_seg,
	[INSN_MOV_TO_SEG] = run_mov_to_seg,
	[INSN_LOAD_FAR] = run_load_far,
	[INSN_LAR... INSN_VERW] = run_inspect,
	[INSN_ARPL] = run_arpl,
	[INSN_SLDT... INSN_STR] = run_store_selector,
	[INSN_LLDT] = run_lldt,
	[INSN_LTR] = run_ltr,
	[INSN_SGDT... INSN_SIDT] = run_store_table,
	[INSN_LGDT... INSN_LIDT] = run_load_table,
	[INSN_RDFSBASE... INSN_WRGSBASE] = run_segment_base,
	[INSN_SWAPGS] = run_swapgs,

	[INSN_CLI] = run_cli,
	[INSN_STI] = run_sti,
	[INSN_CLAC... INSN_STAC] = run_ac,
	[INSN_HLT] = run_special,
	[INSN_CLTS] = run_clts,
	[INSN_SMSW] = run_smsw,
	[INSN_LMSW] = run_lmsw,
	[INSN_MOV_FROM_CR... INSN_MOV_TO_CR] = run_mov_cr,
	[INSN_MOV_FROM_DR... INSN_MOV_TO_DR] = run_mov_dr,
	[INSN_CPUID] = run_cpuid,
	[INSN_RDTSC... INSN_RDTSCP] = run_rdtsc,
	[INSN_RDPMC] = run_rdpmc,
	[INSN_RDPID] = run_rdpid,
	[INSN_RDMSR] = run_rdmsr,
	[INSN_WRMSR] = run_wrmsr,
	[INSN_XGETBV] = run_xgetbv,
	[INSN_XSETBV] = run_xsetbv,
	[INSN_SYSCALL] = run_syscall,
	[INSN_SYSRET] = run_sysret,
	[INSN_SYSENTER] = run_sysenter,
	[INSN_SYSEXIT] = run_sysexit,
	[INSN_RSM] = run_special,
	[INSN_INVLPG] = run_invlpg,
	[INSN_INVPCID] = run_invpcid,
	[INSN_INVD... INSN_WBINVD] = run_special,
	[INSN_CLFLUSH] = run_clflush,
	[INSN_MONITOR... INSN_MWAIT] = run_monitor,
	[INSN_VMCALL... INSN_INVLPGA] = run_special,

	[INSN_VMOV... INSN_VMOV_ALIGNED] = run_vmov,
	[INSN_VMOV_SCALAR] = run_vmov_scalar,
	[INSN_VMOV_LOW... INSN_VMOV_HIGH] = run_vmov_half,
	[INSN_VMOV_GPR] = run_vmov_gpr,
	[INSN_VMOV_QWORD] = run_vmov_qword,
	[INSN_MMX_MOV] = run_mmx_mov,
	[INSN_MMX_GPR] = run_vmov_gpr,
	[INSN_VZEROUPPER] = run_vzero,
};

/*
 * Bit tests address memory with the help of the source, POP after it has moved the stack pointer.
 */
static bool finds_destination(unsigned int op)
{
	return (op >= INSN_BT && op <= INSN_BTC) || op == INSN_POP;
}

static enum emulate_status load_operands(struct emulate_ctxt *ctxt, const struct opcode *entry)
{
	enum emulate_status status;

	/* dst is a set of prefixes then */
	if (entry->flags & F_MANDATORY)
		return EMULATE_DONE;
	status = load_operand(ctxt, &ctxt->src, entry->src, true, false);
	if (status != EMULATE_DONE || finds_destination(ctxt->insn.op))
		return status;
	return load_operand(ctxt, &ctxt->dst, entry->dst, entry->flags & F_READ,
			    entry->flags & F_WRITE);
}

/* One try. *@lost: the locked write at its end failed, so nothing has happened. */
static enum emulate_status run_once(struct emulate_ctxt *ctxt, bool *lost)
{
	const struct opcode *entry = ctxt->insn.opcode_entry;
	enum emulate_status status;

	*lost = false;
	status = load_operands(ctxt, entry);
	if (status == EMULATE_DONE)
		status = handlers[ctxt->insn.op](ctxt);
	if (status == EMULATE_DONE && (entry->flags & F_WRITE))
		status = store_operand(ctxt, &ctxt->dst, lost);
	return status;
}

static enum emulate_status run_instruction(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	unsigned int tries;
	bool lost;

	for (tries = 0; tries < LOCKED_TRIES; tries++) {
		status = run_once(ctxt, &lost);
		if (status != EMULATE_DONE || !lost)
			return status;
		roll_back(ctxt);
	}
	run_again(ctxt);
	return EMULATE_DONE;
}

/* What every instruction does to RF, TF and the interrupt shadow when it completes. */
static void complete(struct emulate_ctxt *ctxt)
{
	ctxt->single_step = ctxt->stepping && !ctxt->no_step;
	ctxt->shadow = ctxt->next_shadow;
	if (!ctxt->keep_rf)
		ctxt->rflags &= ~FLAG_RF;
	commit_iteration(ctxt);
}

/* Remember what to go back to. */
void begin(struct emulate_ctxt *ctxt)
{
	ctxt->gpr_dirty = 0;
	ctxt->journal = 0;
	ctxt->saved_rflags = ctxt->rflags;
	ctxt->saved_rip = ctxt->rip;
	ctxt->stop_rep = false;
	ctxt->stepping = ctxt->rflags & FLAG_TF;
	ctxt->single_step = false;
	ctxt->mode_changed = false;
	ctxt->keep_rf = false;
	ctxt->no_step = false;
	ctxt->next_shadow = 0;
}

/* Commit, or go back. */
enum emulate_status finish(struct emulate_ctxt *ctxt, enum emulate_status status)
{
	if (likely(status == EMULATE_DONE)) {
		complete(ctxt);
	} else {
		roll_back(ctxt);
		ctxt->rip = ctxt->saved_rip;
	}
	return status;
}

enum emulate_status emulate_execute(struct emulate_ctxt *ctxt)
{
	begin(ctxt);
	if (unlikely(!handlers[ctxt->insn.op]))
		return EMULATE_UNSUPPORTED;
	if (unlikely((ctxt->insn.opcode_entry->flags & F_CPL0) && ctxt->cpl))
		return raise_gp0(ctxt);
	ctxt->rip = ctxt->insn.next_rip;
	return finish(ctxt, run_instruction(ctxt));
}
