/* SPDX-License-Identifier: GPL-2.0-only */
/* A decoded instruction. */
#ifndef EMULATE_INSN_H
#define EMULATE_INSN_H

#include "env.h"

#define EMULATE_MAX_LENGTH	15

/* What an instruction does, whatever its encoding. */
enum insn_op {
	INSN_INVALID,

	/* arithmetic and logic; the first eight in ModRM.reg order, so too the shifts */
	INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP,
	INSN_ROL, INSN_ROR, INSN_RCL, INSN_RCR, INSN_SHL, INSN_SHR, INSN_SAL, INSN_SAR,
	INSN_TEST, INSN_NOT, INSN_NEG, INSN_INC, INSN_DEC,
	INSN_MUL, INSN_IMUL1, INSN_DIV, INSN_IDIV, INSN_IMUL,
	INSN_SHLD, INSN_SHRD,
	INSN_BT, INSN_BTS, INSN_BTR, INSN_BTC,
	INSN_BSF, INSN_BSR, INSN_TZCNT, INSN_LZCNT, INSN_POPCNT, INSN_CRC32,
	INSN_ANDN, INSN_BLSR, INSN_BLSMSK, INSN_BLSI, INSN_BZHI, INSN_PEXT, INSN_PDEP, INSN_MULX,
	INSN_BEXTR, INSN_SHLX, INSN_SARX, INSN_SHRX, INSN_RORX, INSN_ADCX, INSN_ADOX,
	INSN_AAA, INSN_AAS, INSN_AAD, INSN_AAM, INSN_DAA, INSN_DAS,

	/* data movement */
	INSN_MOV, INSN_MOVZX, INSN_MOVSX, INSN_MOVBE, INSN_MOVNTI, INSN_BSWAP, INSN_LEA, INSN_XCHG,
	INSN_CMOV,
	INSN_SET, INSN_CBW, INSN_CWD, INSN_XLAT, INSN_SALC, INSN_LAHF, INSN_SAHF,
	INSN_XADD, INSN_CMPXCHG, INSN_CMPXCHG8B, INSN_MOVDIRI, INSN_MOVDIR64B,
	INSN_CLC, INSN_STC, INSN_CMC, INSN_CLD, INSN_STD,

	/* strings */
	INSN_MOVS, INSN_CMPS, INSN_STOS, INSN_LODS, INSN_SCAS, INSN_INS, INSN_OUTS,
	INSN_IN, INSN_OUT,

	/* stack */
	INSN_PUSH, INSN_POP, INSN_PUSHA, INSN_POPA, INSN_PUSHF, INSN_POPF, INSN_PUSH_SEG,
	INSN_POP_SEG,
	INSN_ENTER, INSN_LEAVE,

	/* control flow */
	INSN_JMP, INSN_JMP_IND, INSN_CALL, INSN_CALL_IND, INSN_RET, INSN_JCC, INSN_LOOP, INSN_LOOPE,
	INSN_LOOPNE,
	INSN_JCXZ, INSN_JMP_FAR, INSN_CALL_FAR, INSN_RET_FAR, INSN_IRET, INSN_INT, INSN_INT3,
	INSN_INTO, INSN_INT1,
	INSN_BOUND, INSN_UD, INSN_NOP, INSN_PREFETCH, INSN_FENCE, INSN_PAUSE,

	/* segments and tables */
	INSN_MOV_FROM_SEG, INSN_MOV_TO_SEG, INSN_LOAD_FAR, INSN_LAR, INSN_LSL, INSN_VERR, INSN_VERW,
	INSN_ARPL,
	INSN_SLDT, INSN_STR, INSN_LLDT, INSN_LTR, INSN_SGDT, INSN_SIDT, INSN_LGDT, INSN_LIDT,
	INSN_RDFSBASE, INSN_RDGSBASE, INSN_WRFSBASE, INSN_WRGSBASE, INSN_SWAPGS,

	/* system */
	INSN_CLI, INSN_STI, INSN_CLAC, INSN_STAC, INSN_HLT, INSN_CLTS, INSN_SMSW, INSN_LMSW,
	INSN_MOV_FROM_CR, INSN_MOV_TO_CR, INSN_MOV_FROM_DR, INSN_MOV_TO_DR,
	INSN_CPUID, INSN_RDTSC, INSN_RDTSCP, INSN_RDPMC, INSN_RDPID, INSN_RDMSR, INSN_WRMSR,
	INSN_XGETBV, INSN_XSETBV,
	INSN_SYSCALL, INSN_SYSRET, INSN_SYSENTER, INSN_SYSEXIT, INSN_RSM,
	INSN_INVLPG, INSN_INVPCID, INSN_INVD, INSN_WBINVD, INSN_CLFLUSH, INSN_MONITOR, INSN_MWAIT,
	INSN_VMCALL, INSN_VMMCALL, INSN_VMLAUNCH, INSN_VMRESUME, INSN_VMXOFF, INSN_VMXON,
	INSN_VMCLEAR, INSN_VMPTRLD,
	INSN_VMPTRST, INSN_VMREAD, INSN_VMWRITE, INSN_VMFUNC, INSN_INVEPT, INSN_INVVPID,
	INSN_VMRUN, INSN_VMLOAD, INSN_VMSAVE, INSN_STGI, INSN_CLGI, INSN_SKINIT, INSN_INVLPGA,

	/*
	 * vector moves: whole register; low part (upper part of a register kept or zeroed); high
	 * half; to general
	 */
	INSN_VMOV, INSN_VMOV_ALIGNED, INSN_VMOV_SCALAR, INSN_VMOV_LOW, INSN_VMOV_HIGH,
	INSN_VMOV_GPR, INSN_VMOV_QWORD,
	INSN_MMX_MOV, INSN_MMX_GPR, INSN_EMMS, INSN_VZEROUPPER, INSN_LDMXCSR, INSN_STMXCSR,

	/* of known length, never emulated */
	INSN_FPU, INSN_SSE, INSN_VEX, INSN_EVEX, INSN_XOP, INSN_3DNOW, INSN_FXSAVE, INSN_OTHER,

	INSN_COUNT
};

/* emulate_insn.prefixes: those present that matter; of REPE and REPNE the last one wins. */
#define PREFIX_LOCK		0x01
#define PREFIX_REPNE		0x02	/* F2 */
#define PREFIX_REP		0x04	/* F3 */
#define PREFIX_OPSIZE		0x08	/* 66 */
#define PREFIX_ADSIZE		0x10	/* 67 */
#define PREFIX_SEGMENT		0x20	/* an override in force */
#define PREFIX_REX		0x40	/* any REX: SPL to DIL instead of AH to BH */

/* emulate_insn.rex: as in a REX byte; VEX and EVEX fill them too */
#define REX_B			0x1
#define REX_X			0x2
#define REX_R			0x4
#define REX_W			0x8

/* emulate_insn.encoding */
enum insn_encoding { ENCODING_LEGACY, ENCODING_VEX, ENCODING_EVEX, ENCODING_XOP };

/* emulate_insn.map */
enum insn_map { MAP_ONE, MAP_0F, MAP_0F38, MAP_0F3A, MAP_EVEX5 = 5, MAP_EVEX6 = 6 };

#define INSN_NO_REGISTER	0xff	/* base, index */
#define INSN_BASE_RIP		0xfe	/* base */

struct opcode;

/**
 * struct emulate_insn - a decoded instruction
 * @opcode_entry: its table entry
 * @next_rip: address of the following instruction, cut to the mode's width
 * @imm: immediate, sign-extended as the instruction does; branch displacement; offset of a far
 * 	pointer
 * @disp: displacement of the memory operand, sign-extended
 * @op: enum insn_op
 * @imm2: selector of a far pointer; nesting level of ENTER
 * @length: in bytes
 * @opcode: last opcode byte
 * @map: enum insn_map
 * @encoding: enum insn_encoding
 * @prefixes: PREFIX_*
 * @rex: REX_*
 * @modrm: as it stands, if there is one
 * @reg: ModRM.reg, extended; number of the CR or DR for MOV CR and MOV DR
 * @rm: ModRM.rm, extended: a register if @memory is clear
 * @memory: the r/m operand is in memory
 * @segment: segment register of the memory operand
 * @base: base register, INSN_NO_REGISTER or INSN_BASE_RIP
 * @index: index register or INSN_NO_REGISTER
 * @scale: shift of the index
 * @operand_size: 1, 2, 4 or 8 bytes
 * @address_size: 2, 4 or 8 bytes
 * @vvvv: register in VEX.vvvv
 * @vector_length: 16, 32 or 64 bytes
 */
struct emulate_insn {
	const struct opcode *opcode_entry;
	u64 next_rip;
	u64 imm;
	s64 disp;
	u16 op;
	u16 imm2;
	u8 length;
	u8 opcode;
	u8 map;
	u8 encoding;
	u8 prefixes;
	u8 rex;
	u8 modrm;
	u8 reg;
	u8 rm;
	bool memory;
	u8 segment;
	u8 base;
	u8 index;
	u8 scale;
	u8 operand_size;
	u8 address_size;
	u8 vvvv;
	u8 vector_length;
};

/* An operand on its way through emulate_execute(). */
enum operand_type { OPERAND_NONE, OPERAND_REG, OPERAND_REG_HIGH, OPERAND_MEM, OPERAND_VALUE };

struct emulate_operand {
	u64 value;
	u64 original;		/* what memory held when it was read */
	u64 linear;
	u8 type;
	u8 size;
	u8 reg;
};

#endif
