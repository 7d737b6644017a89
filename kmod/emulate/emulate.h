/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction decoder and emulator, seen from outside.
 *
 * It knows no VM: a context holds the general registers and the instruction, and callbacks reach
 * everything else. The same source is built in user space for its tests. Documentation/emulator.md
 * lists what is supported.
 */
#ifndef EMULATE_H
#define EMULATE_H

#include "env.h"
#include "insn.h"

/**
 * enum emulate_status - what a callback, emulate_decode() and emulate_execute() return
 * @EMULATE_DONE: it happened
 * @EMULATE_FAULT: the guest takes the exception in emulate_ctxt.fault
 * @EMULATE_PENDING: user space must supply the data of a read or an IN; run the same instruction
 * 	again when it has
 * @EMULATE_UNSUPPORTED: the instruction, or this form of it, is not emulated; nothing happened
 * @EMULATE_ERROR: the host failed; nothing that the guest could be told about
 * @EMULATE_INTERCEPTED: a callback took the instruction over (a nested hypervisor gets it)
 *
 * After any status but EMULATE_DONE the registers in the context are those from before the
 * instruction, except for the iterations of a repeated string instruction that were finished: these
 * are committed one by one, as on hardware.
 */
enum emulate_status {
	EMULATE_DONE,
	EMULATE_FAULT,
	EMULATE_PENDING,
	EMULATE_UNSUPPORTED,
	EMULATE_ERROR,
	EMULATE_INTERCEPTED,
};

/**
 * enum emulate_mode - how CS, CR0.PE, EFER.LMA and RFLAGS.VM make the CPU read code
 * @EMULATE_REAL: CR0.PE clear
 * @EMULATE_VM86: CR0.PE and RFLAGS.VM set (EFER.LMA clear)
 * @EMULATE_PROT16: protected or compatibility mode, CS.D clear
 * @EMULATE_PROT32: protected or compatibility mode, CS.D set
 * @EMULATE_LONG64: EFER.LMA and CS.L set
 */
enum emulate_mode {
	EMULATE_REAL,
	EMULATE_VM86,
	EMULATE_PROT16,
	EMULATE_PROT32,
	EMULATE_LONG64,
};

/* General registers, in hardware order. */
enum emulate_gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPR_COUNT
};

/* Segment registers, in hardware order, then the two system segments. */
enum emulate_segment_register {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	SEG_COUNT
};

/*
 * emulate_segment.attributes: the VMCB's layout, that is descriptor bits 40..47 and 52..55 side by
 * side.
 */
#define SEG_TYPE	  0x000f
#define SEG_TYPE_ACCESSED 0x0001
#define SEG_TYPE_WRITE	  0x0002 /* data: writable; code: readable */
#define SEG_TYPE_DOWN	  0x0004 /* data: expand-down; code: conforming */
#define SEG_TYPE_CODE	  0x0008
#define SEG_S		  0x0010 /* code or data, not a system segment */
#define SEG_DPL_SHIFT	  5
#define SEG_DPL		  0x0060
/* clear as well in a register that holds a null selector: unusable */
#define SEG_P		  0x0080
#define SEG_AVL		  0x0100
#define SEG_L		  0x0200
#define SEG_DB		  0x0400
#define SEG_G		  0x0800

/**
 * struct emulate_segment - a segment register with its hidden part
 * @selector: the visible part
 * @attributes: SEG_* bits
 * @limit: the last byte's offset, in bytes (scaled already when SEG_G is set)
 * @base: linear address of its first byte
 */
struct emulate_segment {
	u16 selector;
	u16 attributes;
	u32 limit;
	u64 base;
};

/* GDTR and IDTR. */
enum emulate_table_register { TABLE_GDT, TABLE_IDT };

struct emulate_table {
	u64 base;
	u16 limit;
};

/* Access flags that read, write, probe_write and compare_exchange callbacks get. */
#define EMULATE_ACCESS_SYSTEM \
	0x01 /* implicit supervisor access whatever the CPL: descriptor tables, TSS, stacks of
					 * gates; SMAP applies to it even with RFLAGS.AC set */
#define EMULATE_ACCESS_WRITE \
	0x02 /* a read that a write to the same place follows: fault as a write would */
#define EMULATE_ACCESS_BATCH \
	0x04 /* several elements of a string at once; unless the page is plain memory, answer
					 * EMULATE_UNSUPPORTED without doing anything and get them
					 * singly */
#define EMULATE_ACCESS_LOCKED \
	0x08 /* compare_exchange: bus-locked by the guest's request (LOCK, or XCHG with memory) */

/* get_cr and set_cr take 0, 2, 3, 4, 8 and this. */
#define EMULATE_XCR0 16

/**
 * enum emulate_special - instructions whose effect is the owner's alone; the operand in brackets,
 * else 0
 * @SPECIAL_HLT: HLT; the emulator steps over it, the owner stops the vCPU afterwards
 * @SPECIAL_INVLPG: INVLPG [linear address]
 * @SPECIAL_INVPCID: INVPCID [linear address of the 16-byte descriptor, its type in
 * 	emulate_ctxt.special_arg]
 * @SPECIAL_INVD: INVD
 * @SPECIAL_WBINVD: WBINVD, WBNOINVD
 * @SPECIAL_CLFLUSH: CLFLUSH, CLFLUSHOPT, CLWB [linear address]
 * @SPECIAL_PAUSE: PAUSE
 * @SPECIAL_MONITOR: MONITOR [linear address]
 * @SPECIAL_MWAIT: MWAIT
 * @SPECIAL_HYPERCALL: VMCALL or VMMCALL
 * @SPECIAL_RSM: RSM
 * @SPECIAL_VIRT: any instruction of VMX or SVM but the hypercalls; see emulate_insn.op
 */
enum emulate_special {
	SPECIAL_HLT,
	SPECIAL_INVLPG,
	SPECIAL_INVPCID,
	SPECIAL_INVD,
	SPECIAL_WBINVD,
	SPECIAL_CLFLUSH,
	SPECIAL_PAUSE,
	SPECIAL_MONITOR,
	SPECIAL_MWAIT,
	SPECIAL_HYPERCALL,
	SPECIAL_RSM,
	SPECIAL_VIRT,
};

/* What blocks interrupts after an instruction: emulate_ctxt.shadow. */
#define EMULATE_SHADOW_STI    0x1
#define EMULATE_SHADOW_MOV_SS 0x2

/**
 * struct emulate_fault - an exception for the guest
 * @vector: its number
 * @has_error: whether it pushes @error
 * @error: error code
 * @address: CR2 of a page fault
 */
struct emulate_fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 address;
};

struct emulate_ctxt;

/**
 * struct emulate_ops - how the emulator reaches the machine; every callback is needed
 *
 * A callback that returns EMULATE_FAULT has filled emulate_ctxt.fault (emulate_raise() helps).
 * Accesses may cross pages: the callback translates both before it touches either; outside 64-bit
 * mode one that crosses 4 GiB goes on at 0. Lengths are 1 to 64 bytes; 104
 * for a TSS; more with EMULATE_ACCESS_BATCH, which never crosses a page.
 *
 * @fetch: @len bytes of code (1 to 15, never crossing a page)
 * @read: from memory. On MMIO that user space serves it returns EMULATE_PENDING; the same
 *	instruction then runs again from its start, makes the same reads in the same order, and the
 *	callback answers those that were supplied
 * @write: to memory. Never pends: what user space must see is queued, and EMULATE_DONE returned;
 *	the owner exits to user space after the instruction
 * @probe_write: would a write fault? Changes nothing, and does not pend
 * @compare_exchange: store @new if memory holds what @old holds, atomically on plain memory;
 *	*@swapped says whether it did, and if not, @old gets what memory held. 1, 2, 4, 8 or 16
 *	bytes. On MMIO the old value counts as matching
 * @pio_in: @count elements of @size bytes from @port to @buf; may return EMULATE_PENDING, and is
 *	then called again with the same port, size and count. @buf is emulate_ctxt.pio_data for
 *	string instructions
 * @pio_out: the other way; never pends
 * @get_segment: a segment register with its hidden part
 * @set_segment: load it; the emulator has done all the checks. CS, with the mode it brings, may
 *	change this way
 * @get_table: GDTR or IDTR
 * @set_table: load it
 * @get_cr: control register (0, 2, 3, 4, 8, EMULATE_XCR0); of CR0 at least PE, MP, EM, TS, AM, WP,
 *	PG are right
 * @set_cr: write it, with all checks of values; the emulator has checked privilege
 * @get_dr: debug register 0 to 3, 6, 7; CR4.DE and DR7.GD are checked already
 * @set_dr: write it; the upper half of DR6 and DR7 is checked already
 * @get_msr: RDMSR's checks of the index are the callback's
 * @set_msr: so are WRMSR's of index and value
 * @cpuid: leaf regs[0], subleaf regs[1]; answer in EAX, EBX, ECX, EDX order. CPUID faulting is the
 *	callback's
 * @read_tsc: the guest's time stamp counter
 * @read_pmc: performance counter @index
 * @get_vector: low @len bytes (4, 8, 16, 32, 64) of vector register @reg; @reg 0 to 31, or
 *	EMULATE_MMX + 0 to 7 (8 bytes)
 * @set_vector: write its low 16, 32 or 64 bytes and, if @zero_upper, clear all above (VEX), else
 *	keep them
 * @special: see enum emulate_special
 */
struct emulate_ops {
	enum emulate_status (*fetch)(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				     unsigned int len);
	enum emulate_status (*read)(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				    unsigned int len, unsigned int access);
	enum emulate_status (*write)(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				     unsigned int len, unsigned int access);
	enum emulate_status (*probe_write)(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
					   unsigned int access);
	enum emulate_status (*compare_exchange)(struct emulate_ctxt *ctxt, u64 linear, void *old,
						const void *new, unsigned int len,
						unsigned int access, bool *swapped);
	enum emulate_status (*pio_in)(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				      unsigned int count, void *buf);
	enum emulate_status (*pio_out)(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				       unsigned int count, const void *buf);
	void (*get_segment)(struct emulate_ctxt *ctxt, unsigned int reg,
			    struct emulate_segment *segment);
	enum emulate_status (*set_segment)(struct emulate_ctxt *ctxt, unsigned int reg,
					   const struct emulate_segment *segment);
	void (*get_table)(struct emulate_ctxt *ctxt, enum emulate_table_register reg,
			  struct emulate_table *table);
	void (*set_table)(struct emulate_ctxt *ctxt, enum emulate_table_register reg,
			  const struct emulate_table *table);
	u64 (*get_cr)(struct emulate_ctxt *ctxt, unsigned int reg);
	enum emulate_status (*set_cr)(struct emulate_ctxt *ctxt, unsigned int reg, u64 value);
	u64 (*get_dr)(struct emulate_ctxt *ctxt, unsigned int reg);
	enum emulate_status (*set_dr)(struct emulate_ctxt *ctxt, unsigned int reg, u64 value);
	enum emulate_status (*get_msr)(struct emulate_ctxt *ctxt, u32 index, u64 *value);
	enum emulate_status (*set_msr)(struct emulate_ctxt *ctxt, u32 index, u64 value);
	enum emulate_status (*cpuid)(struct emulate_ctxt *ctxt, u32 regs[4]);
	enum emulate_status (*read_tsc)(struct emulate_ctxt *ctxt, u64 *value);
	enum emulate_status (*read_pmc)(struct emulate_ctxt *ctxt, u32 index, u64 *value);
	enum emulate_status (*get_vector)(struct emulate_ctxt *ctxt, unsigned int reg, void *buf,
					  unsigned int len);
	enum emulate_status (*set_vector)(struct emulate_ctxt *ctxt, unsigned int reg,
					  const void *buf, unsigned int len, bool zero_upper);
	enum emulate_status (*special)(struct emulate_ctxt *ctxt, enum emulate_special kind,
				       u64 operand);
};

/* Vector register numbers from here on are MM0 to MM7. */
#define EMULATE_MMX 64

/**
 * struct emulate_ctxt - one vCPU's emulator
 *
 * The owner sets, once: @ops, @owner, @amd, @pio_data, @pio_size. Before each emulate_decode():
 * @mode, @linear_bits, @cpl, @rip, @rflags, @n_bytes (and @bytes, when hardware supplied the
 * instruction). Before emulate_execute(): @gpr, @shadow. Afterwards, whatever the status, @gpr,
 * @rip and @rflags are the guest's registers.
 *
 * @ops: callbacks
 * @owner: theirs
 * @pio_data: buffer for string I/O, at least 64 bytes
 * @pio_size: its size in bytes
 * @mode: enum emulate_mode
 * @linear_bits: width of linear addresses in 64-bit mode: 48, or 57 with CR4.LA57
 * @amd: the CPU is AMD's or Hygon's: in 64-bit mode near branches heed an operand-size prefix, and
 * 	there is no SYSENTER
 * @cpl: current privilege level: SS.DPL (0 in real mode, 3 in virtual 8086 mode)
 * @n_bytes: how many of @bytes are valid
 * @shadow: EMULATE_SHADOW_*; in: what blocks now, out (EMULATE_DONE): what blocks before the next
 * 	instruction
 * @single_step: out: RFLAGS.TF asks for #DB now (DR6.BS) after this instruction or iteration
 * @stop_rep: a callback sets it: end a repeated instruction after this iteration, with RIP still on
 * 	it
 * @mode_changed: out: CS, CR0, EFER or RFLAGS.VM were written, so @mode and @cpl may be stale
 * @gpr_dirty: out: bit n says that gpr[n] changed
 * @gpr: general registers in hardware order
 * @rip: of the instruction; in EMULATE_DONE of the next one, or still of this one when a repetition
 * 	was stopped
 * @rflags: flags
 * @special_arg: second operand for the special callback
 * @fault: exception of EMULATE_FAULT
 * @bytes: code at @rip, and room for reading 8 bytes anywhere in it
 * @insn: what emulate_decode() found
 * @journal: registers written by the instruction or iteration under way; @saved holds what they
 * 	were
 * @lost: a locked write found that memory had changed
 * @saved: see @journal
 * @saved_rflags: flags before the instruction or iteration
 * @saved_rip: of the instruction
 * @stepping: the instruction traps for RFLAGS.TF when it completes
 * @keep_rf: the instruction loaded RFLAGS.RF itself
 * @no_step: the instruction takes no single-step trap
 * @next_shadow: what @shadow becomes if it completes
 * @dst: operands of the instruction under way
 * @src: second operand
 */
struct emulate_ctxt {
	const struct emulate_ops *ops;
	void *owner;
	void *pio_data;
	unsigned int pio_size;

	u8 mode;
	u8 linear_bits;
	bool amd;
	u8 cpl;
	u8 n_bytes;
	u8 shadow;
	bool stop_rep;
	bool single_step;
	bool mode_changed;
	bool lost;
	u16 gpr_dirty;
	u16 journal;
	bool keep_rf;
	bool no_step;
	u8 next_shadow;
	bool stepping;
	u64 gpr[GPR_COUNT];
	u64 rip;
	u64 rflags;
	u64 special_arg;
	struct emulate_fault fault;
	u8 bytes[EMULATE_MAX_LENGTH + 9];
	struct emulate_insn insn;

	/* private, as are @lost and @journal to @stepping; those are reset together */
	u64 saved_rip;
	u64 saved_rflags;
	u64 saved[GPR_COUNT];
	struct emulate_operand dst;
	struct emulate_operand src;
};

/**
 * emulate_decode() - find the length and the operands of the instruction at ctxt->rip
 * @ctxt: context; ctxt->bytes[0..n_bytes) is used as it stands, more is fetched page by page only
 * 	when needed
 *
 * Reads no general register and no memory but code. Any byte string gets an answer: SDM volume 2,
 * APM volume 3.
 *
 * Return: EMULATE_DONE with ctxt->insn filled; EMULATE_FAULT for #UD (no such instruction, illegal
 * LOCK or operand), #GP(0) (more than 15 bytes, past the CS limit, not canonical) or what the fetch
 * callback raised; or the fetch callback's other status. A length is no promise that
 * emulate_execute() supports the instruction.
 */
enum emulate_status emulate_decode(struct emulate_ctxt *ctxt);

/**
 * emulate_execute() - carry out the instruction that emulate_decode() found
 * @ctxt: context, unchanged since, with ctxt->gpr and ctxt->shadow filled
 *
 * Checks privilege, segments and operands, then acts through the callbacks, and commits the
 * registers last.
 *
 * Return: see enum emulate_status.
 */
enum emulate_status emulate_execute(struct emulate_ctxt *ctxt);

enum emulate_task_reason { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

/**
 * emulate_task_switch() - switch to another task as a gate, IRET, a far jump or a far call does
 * @ctxt: context; ctxt->rip is what the old task's TSS gets (the next instruction, unless a fault
 * 	caused the switch)
 * @selector: the new TSS
 * @reason: who asks
 * @has_error: push @error on the new stack
 * @error: error code
 *
 * For hypervisors whose hardware exits on task switches. SDM volume 3, chapter 8, APM volume 2,
 * section 12.4.
 *
 * Return: EMULATE_DONE, EMULATE_FAULT or a callback's status.
 */
enum emulate_status emulate_task_switch(struct emulate_ctxt *ctxt, u16 selector,
					enum emulate_task_reason reason, bool has_error, u32 error);

/**
 * emulate_interrupt() - deliver an interrupt or exception through vector table or IDT, in any mode
 * @ctxt: context; ctxt->rip is what the handler returns to
 * @vector: 0 to 255
 * @has_error: push @error after the return address; not in real mode
 * @error: error code
 *
 * For events that the guest did not ask for by INT n: gates need not permit them to the CPL.
 *
 * Return: EMULATE_DONE with the registers of the handler's first instruction; EMULATE_FAULT with
 * what the delivery raised, with EXT set in error codes; or a callback's status.
 */
enum emulate_status emulate_interrupt(struct emulate_ctxt *ctxt, u8 vector, bool has_error,
				      u32 error);

/**
 * emulate_raise() - fill in an exception for the guest
 * @ctxt: context
 * @vector: exception without error code
 *
 * Return: EMULATE_FAULT, so that callers can return it.
 */
enum emulate_status emulate_raise(struct emulate_ctxt *ctxt, u8 vector);

/**
 * emulate_raise_error() - fill in an exception that has an error code
 * @ctxt: context
 * @vector: exception
 * @error: its error code
 *
 * Return: EMULATE_FAULT.
 */
enum emulate_status emulate_raise_error(struct emulate_ctxt *ctxt, u8 vector, u32 error);

/**
 * emulate_is() - is the decoded instruction this one?
 * @ctxt: context after emulate_decode()
 * @op: enum insn_op
 */
static inline bool emulate_is(const struct emulate_ctxt *ctxt, enum insn_op op)
{
	return ctxt->insn.op == op;
}

/**
 * emulate_one_operand() - does the decoded instruction touch memory at one place at most?
 * @ctxt: context after emulate_decode()
 *
 * Not counting what the CPU touches by itself: descriptor tables. False for some that do, too.
 */
static inline bool emulate_one_operand(const struct emulate_ctxt *ctxt)
{
	unsigned int op = ctxt->insn.op;

	return (op >= INSN_ADD && op <= INSN_STD && op != INSN_MOVDIR64B) ||
	       (op >= INSN_VMOV && op <= INSN_MMX_GPR);
}

/**
 * emulate_next_rip() - address of the following instruction
 * @ctxt: context after emulate_decode()
 */
static inline u64 emulate_next_rip(const struct emulate_ctxt *ctxt)
{
	return ctxt->insn.next_rip;
}

/**
 * emulate_effective_address() - offset in its segment of the decoded memory operand
 * @ctxt: context after emulate_decode(), with ctxt->gpr filled
 *
 * Return: the address, cut to the address size. Only meaningful if ctxt->insn.memory is set.
 */
u64 emulate_effective_address(const struct emulate_ctxt *ctxt);

/**
 * emulate_linear_address() - linear address of the decoded memory operand, unchecked
 * @ctxt: context after emulate_decode(), with ctxt->gpr filled
 *
 * What INVLPG takes; the segment base comes from the callbacks.
 *
 * Return: the address.
 */
u64 emulate_linear_address(struct emulate_ctxt *ctxt);

/**
 * emulate_port() - port number of the decoded IN, OUT, INS or OUTS
 * @ctxt: context after emulate_decode(), with RDX filled
 *
 * Return: the port.
 */
u16 emulate_port(const struct emulate_ctxt *ctxt);

#endif
