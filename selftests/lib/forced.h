/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTEST_FORCED_H
#define SELFTEST_FORCED_H

/*
 * An instruction twice from the same state, in any mode: by the CPU, and by the emulator, which the
 * prefix of force_emulation_prefix makes it. Everything that the guest or KVM_GET_* can see of the
 * outcome must agree.
 *
 * Behind the instruction, and at F_TARGET, stands one that the emulator has not, with the prefix:
 * it exits and does nothing. An exception goes through the guest's vectors to a HLT, one for each.
 */

#include "vm.h"

enum forced_mode { REAL16, V86, PROT16, PROT32, COMPAT, LONG64, FORCED_MODES };

extern const char *const forced_mode_name[FORCED_MODES];

/* All in the first 64 KiB, where 16-bit code can reach it; gpa, gva and offset are one. */
#define F_MEMORY	0x8400		/* what is put back and compared */
#define F_GDT		0x0800
#define F_IDT		0x1000		/* in real mode, vectors are at 0 */
#define F_TSS		0x2000		/* and the map of ports */
#define F_TSS_LIMIT	0x1ff
#define F_TASK		0x2400		/* another task's, for those who want one */
#define F_STUBS		0x3000		/* HLT of vector n is here + n */
#define F_CODE		0x4100		/* the instruction */
#define F_TARGET	0x4800		/* where far transfers may go */
#define F_DATA		0x5000
#define F_STACK		0x6800		/* RSP; the frames of handlers are below F_STACK0 */
#define F_STACK0	0x7800
#define F_LDT		0x8000
#define F_PORT		0x500		/* allowed by the map of ports; F_PORT + 8 is not */
#define F_ABSENT	0xb000		/* page that is not present */
#define F_READ_ONLY	0xc000
#define F_SUPERVISOR	0xd000
#define F_MMIO		0x20000		/* no slot */

/* Selectors. Those for CPL n are at F_CS + n * 8 and F_SS + n * 8. */
#define F_CS		0x08
#define F_SS		0x28
#define F_TR		0x48
#define F_TESTED		0x60		/* the descriptor under test, of up to 16 bytes */
#define F_GDT_LIMIT	0x7f

/* struct forced.what: what else takes part */
#define F_MSRS		1
#define F_DEBUG		2		/* debug registers and XCR0 */
#define F_CLOCK		4		/* RAX and RDX are a time: do not compare them */

/* forced_outcome(): what came of it; or the vector of an exception */
#define FORCED_DONE		(-1)
#define FORCED_UNSUPPORTED	(-2)
#define FORCED_NO_END		(-3)	/* of the guest: it had to be stopped */
#define FORCED_OTHER		(-4)

struct forced_msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[9];
};

/* The state before, or after. */
struct forced_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_xcrs xcrs;
	struct forced_msrs msrs;
	uint8_t memory[F_MEMORY] __attribute__((aligned(8)));
	uint32_t exit;
	uint64_t devices;		/* a sum of the accesses that user space served */
};

struct forced {
	struct vcpu *v;
	enum forced_mode mode;
	unsigned int cpl;
	unsigned int what;
	struct forced_state start, native, emulated;
	const char *name;		/* of the case */
	unsigned long operand;		/* what it is about, for the report */
	unsigned long cases, gaps, differ, shown;
};

/** forced_create() - skips, with the reason, where instructions cannot be forced */
struct forced *forced_create(void);

/** forced_begin() - the plain start state of a mode at a CPL (0 in REAL16, 3 in V86) */
void forced_begin(struct forced *f, enum forced_mode mode, unsigned int cpl);

/** forced_descriptor() - the start state's entry of the GDT at @selector */
uint64_t *forced_descriptor(struct forced *f, uint16_t selector);

/** forced_run() - run the instruction at @code both ways from f->start; report what differs */
void forced_run(struct forced *f, const char *name, const uint8_t *code, unsigned int len);

/** forced_end() - fail the case if anything differed that is no known gap of the host's CPU */
void forced_end(struct forced *f);

/** forced_outcome() - in one number what came of the instruction */
int forced_outcome(const struct forced_state *s);

/** forced_is_gap() - it is known that this host's CPU has no, or another, @field there */
bool forced_is_gap(const struct forced *f, const char *field, uint64_t native, uint64_t emulated);

/** forced_list_gaps() - print the known gaps that were met */
void forced_list_gaps(void);

/*
 * FORCED_LIST() - instructions to iterate over: rows of INSN("text")
 * Assembled as 64-bit code unless the rows change that. Other modes make of the bytes what they do.
 */
#define FORCED_LIST(list, rows)							\
	extern const uint8_t list[];						\
	asm(".pushsection .rodata\n" #list ":\n" rows "\t.byte 0\n\t.code64\n\t.popsection")
#define INSN(text)	"\t.byte 772f - 771f\n771:\t" text "\n772:\t.asciz \"" text "\"\n"

/** forced_list() - forced_run() of all in a FORCED_LIST() */
void forced_list(struct forced *f, const uint8_t *list);

/** forced_each() - iterates: the next row, NULL at the end; *@p is the list at first */
const char *forced_each(const uint8_t **p, const uint8_t **code, unsigned int *len);

#endif
