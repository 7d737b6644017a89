/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What executes an instruction: called by emulate_execute() with the operands loaded that the
 * tables name, and RIP on the next instruction. The destination is stored, and on failure
 * everything rolled back, by the caller.
 */
#ifndef EMULATE_HANDLERS_H
#define EMULATE_HANDLERS_H

/* alu.c */
enum emulate_status run_alu(struct emulate_ctxt *ctxt);
enum emulate_status run_bit_scan(struct emulate_ctxt *ctxt);
enum emulate_status run_double_shift(struct emulate_ctxt *ctxt);
enum emulate_status run_imul(struct emulate_ctxt *ctxt);
enum emulate_status run_bit_test(struct emulate_ctxt *ctxt);

/* arith.c */
enum emulate_status run_mul(struct emulate_ctxt *ctxt);
enum emulate_status run_div(struct emulate_ctxt *ctxt);
enum emulate_status run_bcd(struct emulate_ctxt *ctxt);
enum emulate_status run_count_zeros(struct emulate_ctxt *ctxt);
enum emulate_status run_popcnt(struct emulate_ctxt *ctxt);
enum emulate_status run_crc32(struct emulate_ctxt *ctxt);
enum emulate_status run_adx(struct emulate_ctxt *ctxt);
enum emulate_status run_lowest_bit(struct emulate_ctxt *ctxt);
enum emulate_status run_extract(struct emulate_ctxt *ctxt);
enum emulate_status run_gather_bits(struct emulate_ctxt *ctxt);
enum emulate_status run_shift_x(struct emulate_ctxt *ctxt);
enum emulate_status run_mulx(struct emulate_ctxt *ctxt);

/* move.c */
enum emulate_status run_mov(struct emulate_ctxt *ctxt);
enum emulate_status run_movsx(struct emulate_ctxt *ctxt);
enum emulate_status run_movbe(struct emulate_ctxt *ctxt);
enum emulate_status run_bswap(struct emulate_ctxt *ctxt);
enum emulate_status run_lea(struct emulate_ctxt *ctxt);
enum emulate_status run_xchg(struct emulate_ctxt *ctxt);
enum emulate_status run_cmov(struct emulate_ctxt *ctxt);
enum emulate_status run_set(struct emulate_ctxt *ctxt);
enum emulate_status run_cbw(struct emulate_ctxt *ctxt);
enum emulate_status run_cwd(struct emulate_ctxt *ctxt);
enum emulate_status run_xlat(struct emulate_ctxt *ctxt);
enum emulate_status run_salc(struct emulate_ctxt *ctxt);
enum emulate_status run_lahf(struct emulate_ctxt *ctxt);
enum emulate_status run_sahf(struct emulate_ctxt *ctxt);
enum emulate_status run_flag(struct emulate_ctxt *ctxt);
enum emulate_status run_xadd(struct emulate_ctxt *ctxt);
enum emulate_status run_cmpxchg(struct emulate_ctxt *ctxt);
enum emulate_status run_cmpxchg8b(struct emulate_ctxt *ctxt);
enum emulate_status run_movdir64b(struct emulate_ctxt *ctxt);
enum emulate_status run_nop(struct emulate_ctxt *ctxt);

/* string.c */
enum emulate_status run_movs(struct emulate_ctxt *ctxt);
enum emulate_status run_cmps(struct emulate_ctxt *ctxt);
enum emulate_status run_stos(struct emulate_ctxt *ctxt);
enum emulate_status run_lods(struct emulate_ctxt *ctxt);
enum emulate_status run_scas(struct emulate_ctxt *ctxt);
enum emulate_status run_ins(struct emulate_ctxt *ctxt);
enum emulate_status run_outs(struct emulate_ctxt *ctxt);
enum emulate_status run_in(struct emulate_ctxt *ctxt);
enum emulate_status run_out(struct emulate_ctxt *ctxt);

/* stack.c */
enum emulate_status run_push(struct emulate_ctxt *ctxt);
enum emulate_status run_pop(struct emulate_ctxt *ctxt);
enum emulate_status run_pusha(struct emulate_ctxt *ctxt);
enum emulate_status run_popa(struct emulate_ctxt *ctxt);
enum emulate_status run_pushf(struct emulate_ctxt *ctxt);
enum emulate_status run_popf(struct emulate_ctxt *ctxt);
enum emulate_status run_push_seg(struct emulate_ctxt *ctxt);
enum emulate_status run_pop_seg(struct emulate_ctxt *ctxt);
enum emulate_status run_enter(struct emulate_ctxt *ctxt);
enum emulate_status run_leave(struct emulate_ctxt *ctxt);

/* flow.c */
enum emulate_status run_jmp(struct emulate_ctxt *ctxt);
enum emulate_status run_jmp_ind(struct emulate_ctxt *ctxt);
enum emulate_status run_jcc(struct emulate_ctxt *ctxt);
enum emulate_status run_call(struct emulate_ctxt *ctxt);
enum emulate_status run_call_ind(struct emulate_ctxt *ctxt);
enum emulate_status run_ret(struct emulate_ctxt *ctxt);
enum emulate_status run_loop(struct emulate_ctxt *ctxt);
enum emulate_status run_bound(struct emulate_ctxt *ctxt);
enum emulate_status run_ud(struct emulate_ctxt *ctxt);

/* interrupt.c */
enum emulate_status run_int(struct emulate_ctxt *ctxt);

/* segment.c */
enum emulate_status run_mov_from_seg(struct emulate_ctxt *ctxt);
enum emulate_status run_mov_to_seg(struct emulate_ctxt *ctxt);
enum emulate_status run_load_far(struct emulate_ctxt *ctxt);
enum emulate_status run_inspect(struct emulate_ctxt *ctxt);
enum emulate_status run_arpl(struct emulate_ctxt *ctxt);
enum emulate_status run_store_selector(struct emulate_ctxt *ctxt);
enum emulate_status run_smsw(struct emulate_ctxt *ctxt);
enum emulate_status run_lldt(struct emulate_ctxt *ctxt);
enum emulate_status run_ltr(struct emulate_ctxt *ctxt);
enum emulate_status run_store_table(struct emulate_ctxt *ctxt);
enum emulate_status run_load_table(struct emulate_ctxt *ctxt);

/* system.c */
enum emulate_status run_mov_cr(struct emulate_ctxt *ctxt);
enum emulate_status run_clts(struct emulate_ctxt *ctxt);
enum emulate_status run_lmsw(struct emulate_ctxt *ctxt);
enum emulate_status run_mov_dr(struct emulate_ctxt *ctxt);
enum emulate_status run_cpuid(struct emulate_ctxt *ctxt);
enum emulate_status run_rdtsc(struct emulate_ctxt *ctxt);
enum emulate_status run_rdpmc(struct emulate_ctxt *ctxt);
enum emulate_status run_rdpid(struct emulate_ctxt *ctxt);
enum emulate_status run_rdmsr(struct emulate_ctxt *ctxt);
enum emulate_status run_wrmsr(struct emulate_ctxt *ctxt);
enum emulate_status run_xgetbv(struct emulate_ctxt *ctxt);
enum emulate_status run_xsetbv(struct emulate_ctxt *ctxt);
enum emulate_status run_cli(struct emulate_ctxt *ctxt);
enum emulate_status run_sti(struct emulate_ctxt *ctxt);
enum emulate_status run_ac(struct emulate_ctxt *ctxt);
enum emulate_status run_swapgs(struct emulate_ctxt *ctxt);
enum emulate_status run_segment_base(struct emulate_ctxt *ctxt);
enum emulate_status run_special(struct emulate_ctxt *ctxt);
enum emulate_status run_invlpg(struct emulate_ctxt *ctxt);
enum emulate_status run_invpcid(struct emulate_ctxt *ctxt);
enum emulate_status run_clflush(struct emulate_ctxt *ctxt);
enum emulate_status run_monitor(struct emulate_ctxt *ctxt);

/* vector.c */
enum emulate_status run_vmov(struct emulate_ctxt *ctxt);
enum emulate_status run_vmov_scalar(struct emulate_ctxt *ctxt);
enum emulate_status run_vmov_half(struct emulate_ctxt *ctxt);
enum emulate_status run_vmov_gpr(struct emulate_ctxt *ctxt);
enum emulate_status run_vmov_qword(struct emulate_ctxt *ctxt);
enum emulate_status run_mmx_mov(struct emulate_ctxt *ctxt);
enum emulate_status run_vzero(struct emulate_ctxt *ctxt);

/* far.c */
enum emulate_status run_far(struct emulate_ctxt *ctxt);
enum emulate_status run_ret_far(struct emulate_ctxt *ctxt);
enum emulate_status run_iret(struct emulate_ctxt *ctxt);

/* syscall.c */
enum emulate_status run_syscall(struct emulate_ctxt *ctxt);
enum emulate_status run_sysret(struct emulate_ctxt *ctxt);
enum emulate_status run_sysenter(struct emulate_ctxt *ctxt);
enum emulate_status run_sysexit(struct emulate_ctxt *ctxt);

#endif
