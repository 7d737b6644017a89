// SPDX-License-Identifier: GPL-2.0-only
/* Carry out a decoded instruction: check, load operands, run the handler, write back, commit. */
#include "operand.h"

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

/* Instructions of the supervisor, and those with operands that the table does not name. */
static noinline enum emulate_status load_unusual(struct emulate_ctxt *ctxt,
						 const struct opcode *entry)
{
	if ((entry->flags & F_CPL0) && ctxt->cpl)
		return raise_gp0(ctxt);
	if (entry->flags & F_MANDATORY)
		return EMULATE_DONE; /* dst is a set of prefixes */
	return load_operand(ctxt, &ctxt->src, entry->src, F_READ);
}

static __always_inline enum emulate_status load_operands(struct emulate_ctxt *ctxt,
							 const struct opcode *entry, u32 flags)
{
	enum emulate_status status;

	if (unlikely(flags & (F_CPL0 | F_MANDATORY | F_LATE)))
		return load_unusual(ctxt, entry);
	status = find_operand(ctxt, &ctxt->src, entry->src, F_READ);
	if (unlikely(status != EMULATE_DONE))
		return status;
	return find_operand(ctxt, &ctxt->dst, entry->dst, flags);
}

/* One try; ctxt->lost says that the locked write at its end failed, so nothing has happened. */
static __always_inline enum emulate_status run_once(struct emulate_ctxt *ctxt, handler_fn handler)
{
	const struct opcode *entry = ctxt->insn.opcode_entry;
	u32 flags = entry->flags;
	enum emulate_status status = load_operands(ctxt, entry, flags);

	if (unlikely(status != EMULATE_DONE))
		return status;
	/* Most that devices see: spare it the call. */
	if (likely(handler == run_mov))
		ctxt->dst.value = ctxt->src.value;
	else
		status = handler(ctxt);
	if (likely(status == EMULATE_DONE) && (flags & F_WRITE))
		status = put_operand(ctxt, &ctxt->dst);
	return status;
}

/* Another CPU was faster with the memory of a locked operation. */
static noinline enum emulate_status try_again(struct emulate_ctxt *ctxt)
{
	enum emulate_status status;
	unsigned int tries;

	for (tries = 1; tries < LOCKED_TRIES; tries++) {
		roll_back(ctxt);
		ctxt->lost = false;
		status = run_once(ctxt, handlers[ctxt->insn.op]);
		if (status != EMULATE_DONE || !ctxt->lost)
			return status;
	}
	roll_back(ctxt);
	run_again(ctxt);
	return EMULATE_DONE;
}

/* What every instruction does to RF, TF and the interrupt shadow when it completes. */
static __always_inline void complete(struct emulate_ctxt *ctxt)
{
	if (unlikely(ctxt->stepping))
		ctxt->single_step = !ctxt->no_step && ctxt->next_shadow != EMULATE_SHADOW_MOV_SS;
	ctxt->shadow = ctxt->next_shadow;
	if (!ctxt->keep_rf)
		ctxt->rflags &= ~FLAG_RF;
	ctxt->gpr_dirty |= ctxt->journal;
}

/* Remember what to go back to. In the structure's order, so that the compiler merges stores. */
static __always_inline void start(struct emulate_ctxt *ctxt)
{
	ctxt->stop_rep = false;
	ctxt->single_step = false;
	ctxt->mode_changed = false;
	ctxt->lost = false;
	ctxt->gpr_dirty = 0;
	ctxt->journal = 0;
	ctxt->keep_rf = false;
	ctxt->no_step = false;
	ctxt->next_shadow = 0;
	ctxt->stepping = ctxt->rflags & FLAG_TF;
	ctxt->saved_rip = ctxt->rip;
	ctxt->saved_rflags = ctxt->rflags;
}

static noinline enum emulate_status go_back(struct emulate_ctxt *ctxt, enum emulate_status status)
{
	roll_back(ctxt);
	ctxt->rip = ctxt->saved_rip;
	return status;
}

/* start() for those that are no instruction. */
void begin(struct emulate_ctxt *ctxt)
{
	start(ctxt);
}

/* Commit, or go back. */
enum emulate_status finish(struct emulate_ctxt *ctxt, enum emulate_status status)
{
	if (unlikely(status != EMULATE_DONE))
		return go_back(ctxt, status);
	complete(ctxt);
	return EMULATE_DONE;
}

enum emulate_status emulate_execute(struct emulate_ctxt *ctxt)
{
	handler_fn handler = handlers[ctxt->insn.op];
	enum emulate_status status;

	start(ctxt);
	if (unlikely(!handler))
		return EMULATE_UNSUPPORTED;
	ctxt->rip = ctxt->insn.next_rip;
	status = run_once(ctxt, handler);
	if (unlikely(ctxt->lost && status == EMULATE_DONE))
		status = try_again(ctxt);
	if (unlikely(status != EMULATE_DONE))
		return go_back(ctxt, status);
	complete(ctxt);
	return EMULATE_DONE;
}
