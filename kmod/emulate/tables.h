/* SPDX-License-Identifier: GPL-2.0-only */
/* The opcode tables: constant data that decoder and executor share. */
#ifndef EMULATE_TABLES_H
#define EMULATE_TABLES_H

#include "insn.h"

/* Operand kinds, sized by the operand size unless they say otherwise. */
enum operand_kind {
	O_NONE,
	O_E,		/* ModRM.rm: register or memory */
	O_E8,		/* ... of one byte, whatever the operand size */
	O_E16,
	O_EY,		/* ... of 4 bytes, 8 with REX.W */
	O_EZ,		/* ... of 4 bytes; of 2 with a 16-bit operand size on Intel's CPUs */
	O_G,		/* ModRM.reg */
	O_GY,
	O_B,		/* VEX.vvvv */
	O_ACC,		/* accumulator */
	O_OPREG,	/* low three bits of the opcode */
	O_IMM,
	O_ONE,		/* the constant 1 */
	O_CL,
	O_MOFFS,	/* memory at an immediate address */
};

/* Immediates, in the low bits of the flags. */
#define I_MASK		0xf
#define I_8		0x1	/* one byte, zero-extended */
#define I_8S		0x2	/* one byte, sign-extended */
#define I_16		0x3
#define I_Z		0x4	/* operand size, but at most four bytes, sign-extended */
#define I_V		0x5	/* operand size */
#define I_MOFFS		0x6	/* address size */
#define I_FAR		0x7	/* offset of the operand size, selector */
#define I_16_8		0x8	/* ENTER; EXTRQ and INSERTQ have the same length less one */
#define I_8_8		0x9
#define I_32		0xa

#define F_MODRM		0x00000010
#define F_BYTE		0x00000020	/* operand size is one byte */
#define F_READ		0x00000040	/* the destination is read ... */
#define F_WRITE		0x00000080	/* ... and written */
#define F_LOCKABLE		0x00000100	/* LOCK is legal if the destination is memory */
#define F_NO64		0x00000200	/* #UD in 64-bit mode */
#define F_ONLY64	0x00000400	/* #UD elsewhere */
/* 64 bits are the default in 64-bit mode, and 32 bits cannot be had */
#define F_DEF64		0x00000800
/* near branch: the same, and how 66 counts depends on the vendor */
#define F_NEAR		0x00001000
/* 8 bytes in 64-bit mode, else 4: control and debug registers */
#define F_NATIVE	0x00002000
#define F_MEM		0x00004000	/* #UD with a register in ModRM.rm */
#define F_REG		0x00008000	/* #UD with memory in ModRM.rm */
#define F_PROT		0x00010000	/* #UD in real and virtual 8086 mode */
#define F_CPL0		0x00020000	/* #GP(0) unless CPL is 0 */
#define F_PREFIX	0x00040000	/* no opcode: a prefix */
#define F_ESCAPE	0x00080000	/* no opcode: leads to another map */
#define F_GROUP		0x00100000	/* op is an enum opcode_group; dst says by what to choose */
#define F_RMREG		0x00200000	/* ModRM.rm is a register whatever ModRM.mod says */
#define F_SSE		0x00400000	/* uses FPU state: CR0.EM, CR0.TS, CR4.OSFXSR count */
#define F_NP		0x00800000	/* #UD with a 66, F2 or F3 prefix */
#define F_VEX_L0	0x01000000	/* VEX.L must be 0 */
#define F_VEX_V		0x02000000	/* VEX.vvvv is an operand, else it must be 1111b */

#define F_MANDATORY	0x04000000	/* dst holds the mandatory prefixes that exist, as P_* */
/* the decoder must look further before it trusts this entry */
#define F_AMBIGUOUS	0x08000000
/*
 * the handler finds the destination: bit tests address memory with the help of the source, POP
 * after it has moved the stack pointer
 */
#define F_LATE		0x10000000
/* not all operands or opcode bytes exist: operand_exists() tells */
#define F_CHECK		0x20000000

/* How a group's member is chosen: opcode.dst of an entry with F_GROUP. */
enum group_by { BY_REG, BY_RM, BY_MOD, BY_PREFIX };

/* opcode.dst of entries that are valid only with some mandatory prefix: INSN_SSE and its like */
#define P_NP		0x1
#define P_66		0x2
#define P_F3		0x4
#define P_F2		0x8

/**
 * struct opcode - a table entry
 * @op: enum insn_op; for F_GROUP enum opcode_group
 * @dst: enum operand_kind
 * @src: enum operand_kind
 * @flags: I_* and F_*
 */
struct opcode {
	u16 op;
	u8 dst;
	u8 src;
	u32 flags;
};

/**
 * struct vex_opcode - an instruction with a VEX prefix that the executor knows
 * @map: enum insn_map
 * @opcode: its opcode
 * @pp: mandatory prefix, 0 none, 1 66, 2 F3, 3 F2
 * @entry: as in the other tables
 */
struct vex_opcode {
	u8 map;
	u8 opcode;
	u8 pp;
	struct opcode entry;
};

extern const struct opcode opcodes_one[256];
extern const struct opcode opcodes_0f[256];
extern const struct opcode opcodes_0f38[256];
extern const struct opcode opcodes_0f3a[256];
extern const struct opcode opcode_groups[][8];
extern const struct vex_opcode vex_opcodes[];
extern const unsigned int vex_opcode_count;

/*
 * Bit pp (VEX) or 4 + pp (EVEX) says that the opcode exists; indexed by map - 1 and by opcode.
 * VEX has maps 1 to 3, EVEX 1, 2, 3, 5 and 6.
 */
extern const u8 vector_opcodes[6][256];

/* x87: which ModRM.reg exist with memory, and which bytes C0 to FF exist, for opcodes D8 to DF. */
extern const u8 fpu_memory_forms[8];
extern const u64 fpu_register_forms[8];

#endif
