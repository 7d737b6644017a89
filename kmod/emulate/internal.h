/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the emulator share among themselves. */
#ifndef EMULATE_INTERNAL_H
#define EMULATE_INTERNAL_H

#include "emulate.h"
#include "tables.h"

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17

#define FLAG_CF	     0x00000001ull
#define FLAG_FIXED   0x00000002ull
#define FLAG_PF	     0x00000004ull
#define FLAG_AF	     0x00000010ull
#define FLAG_ZF	     0x00000040ull
#define FLAG_SF	     0x00000080ull
#define FLAG_TF	     0x00000100ull
#define FLAG_IF	     0x00000200ull
#define FLAG_DF	     0x00000400ull
#define FLAG_OF	     0x00000800ull
#define FLAG_IOPL    0x00003000ull
#define FLAG_NT	     0x00004000ull
#define FLAG_RF	     0x00010000ull
#define FLAG_VM	     0x00020000ull
#define FLAG_AC	     0x00040000ull
#define FLAG_VIF     0x00080000ull
#define FLAG_VIP     0x00100000ull
#define FLAG_ID	     0x00200000ull
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_PE_BIT 0x00000001ull
#define CR0_MP_BIT 0x00000002ull
#define CR0_EM_BIT 0x00000004ull
#define CR0_TS_BIT 0x00000008ull

#define CR4_VME_BIT	 0x00000001ull
#define CR4_PVI_BIT	 0x00000002ull
#define CR4_TSD_BIT	 0x00000004ull
#define CR4_DE_BIT	 0x00000008ull
#define CR4_PCE_BIT	 0x00000100ull
#define CR4_OSFXSR_BIT	 0x00000200ull
#define CR4_UMIP_BIT	 0x00000800ull
#define CR4_FSGSBASE_BIT 0x00010000ull
#define CR4_OSXSAVE_BIT	 0x00040000ull
#define CR4_SMAP_BIT	 0x00200000ull
#define CR4_CET_BIT	 0x00800000ull

#define IA32_SYSENTER_CS    0x174
#define IA32_SYSENTER_ESP   0x175
#define IA32_SYSENTER_EIP   0x176
#define IA32_EFER	    0xc0000080
#define IA32_STAR	    0xc0000081
#define IA32_LSTAR	    0xc0000082
#define IA32_CSTAR	    0xc0000083
#define IA32_SFMASK	    0xc0000084
#define IA32_KERNEL_GS_BASE 0xc0000102
#define IA32_TSC_AUX	    0xc0000103

#define EFER_SCE_BIT 0x001ull
#define EFER_LMA_BIT 0x400ull

typedef enum emulate_status (*handler_fn)(struct emulate_ctxt *ctxt);

static inline bool in_long64(const struct emulate_ctxt *ctxt)
{
	return ctxt->mode == EMULATE_LONG64;
}

static inline bool in_protected(const struct emulate_ctxt *ctxt)
{
	return ctxt->mode >= EMULATE_PROT16;
}

/*
 * The instruction holds interrupts back until the next one is over. One that runs in a shadow of
 * its own kind casts none, or a row of them would hold interrupts back for ever.
 */
static inline void cast_shadow(struct emulate_ctxt *ctxt, u8 shadow)
{
	ctxt->next_shadow = shadow & ~ctxt->shadow;
}

/* operand.c */
extern const u64 size_masks[9];

/* All ones in @size bytes: 1, 2, 4 or 8. */
static inline u64 size_mask(unsigned int size)
{
	return size_masks[size];
}

static inline u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (u64)((s64)(value << shift) >> shift);
}

static inline bool is_canonical(const struct emulate_ctxt *ctxt, u64 linear)
{
	unsigned int shift = 64 - ctxt->linear_bits;

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

/* Leave RIP on the instruction: it goes on later, or again. The RF that let it start stays. */
static inline void run_again(struct emulate_ctxt *ctxt)
{
	ctxt->rip = ctxt->saved_rip;
	ctxt->keep_rf = true;
}

static inline enum emulate_status raise_gp0(struct emulate_ctxt *ctxt)
{
	return emulate_raise_error(ctxt, VECTOR_GP, 0);
}

/* execute.c */
void begin(struct emulate_ctxt *ctxt);
enum emulate_status finish(struct emulate_ctxt *ctxt, enum emulate_status status);

/* operand.c */
u64 read_gpr(const struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size);
void write_gpr(struct emulate_ctxt *ctxt, unsigned int reg, unsigned int size, u64 value);
void commit_iteration(struct emulate_ctxt *ctxt);
void roll_back(struct emulate_ctxt *ctxt);
unsigned int stack_size(struct emulate_ctxt *ctxt);
enum emulate_status linearize(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
			      unsigned int len, bool write, u64 *linear);
enum emulate_status read_segment(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset, void *buf,
				 unsigned int len);
enum emulate_status write_segment(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
				  const void *buf, unsigned int len);
enum emulate_status read_number(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
				unsigned int size, u64 *value);
enum emulate_status write_number(struct emulate_ctxt *ctxt, unsigned int seg, u64 offset,
				 unsigned int size, u64 value);
enum emulate_status read_system(struct emulate_ctxt *ctxt, u64 linear, void *buf, unsigned int len);
enum emulate_status write_system(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				 unsigned int len);
enum emulate_status load_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand,
				 unsigned int kind, u32 flags);
enum emulate_status store_operand(struct emulate_ctxt *ctxt, struct emulate_operand *operand);

/* alu.c */
void alu(unsigned int op, u64 *rflags, u64 *dst, u64 src, unsigned int size);

/* move.c */
bool condition(u64 rflags, unsigned int code);

/* stack.c */
enum emulate_status push(struct emulate_ctxt *ctxt, unsigned int size, u64 value);
enum emulate_status probe_push(struct emulate_ctxt *ctxt, unsigned int size);
enum emulate_status pop(struct emulate_ctxt *ctxt, unsigned int size, u64 *value);
void drop_stack(struct emulate_ctxt *ctxt, unsigned int bytes);
void load_flags(struct emulate_ctxt *ctxt, u64 value, unsigned int size);

/* flow.c */
enum emulate_status branch(struct emulate_ctxt *ctxt, u64 target, unsigned int size);

/* segment.c */
enum emulate_status load_segment(struct emulate_ctxt *ctxt, unsigned int reg, u16 selector);
enum emulate_status load_real_segment(struct emulate_ctxt *ctxt, unsigned int reg, u16 selector);

#include "handlers.h"

#endif
