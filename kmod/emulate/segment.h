/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors, for segment loads, far transfers and task switches. */
#ifndef EMULATE_SEGMENT_H
#define EMULATE_SEGMENT_H

#include "internal.h"

/* Types of system descriptors. */
#define SYSTEM_TSS16	   0x1
#define SYSTEM_LDT	   0x2
#define SYSTEM_CALL_GATE16 0x4
#define SYSTEM_TASK_GATE   0x5
#define SYSTEM_TSS	   0x9
#define SYSTEM_CALL_GATE   0xc
#define SYSTEM_BUSY	   0x2 /* in the type of a TSS */

/**
 * struct descriptor - a descriptor in its table
 * @linear: where it is
 * @low: its first 8 bytes
 * @high: the next 8 of a wide one, else 0
 * @selector: the selector that names it
 * @exists: it lies within the table
 */
struct descriptor {
	u64 linear;
	u64 low;
	u64 high;
	u16 selector;
	bool exists;
};

static inline unsigned int segment_dpl(const struct emulate_segment *segment)
{
	return (segment->attributes & SEG_DPL) >> SEG_DPL_SHIFT;
}

static inline enum emulate_status raise_selector(struct emulate_ctxt *ctxt, u8 vector, u16 selector)
{
	return emulate_raise_error(ctxt, vector, selector & ~3u);
}

static inline bool is_code(const struct emulate_segment *segment)
{
	u16 bits = SEG_S | SEG_TYPE_CODE;

	return (segment->attributes & bits) == bits;
}

/* Of a code segment. */
static inline bool is_conforming(const struct emulate_segment *segment)
{
	return segment->attributes & SEG_TYPE_DOWN;
}

bool in_long_mode(struct emulate_ctxt *ctxt);
enum emulate_status find_descriptor(struct emulate_ctxt *ctxt, u16 selector, bool wide,
				    struct descriptor *descriptor);
enum emulate_status need_descriptor(struct emulate_ctxt *ctxt, u16 selector, bool wide, u8 vector,
				    struct descriptor *descriptor);
struct emulate_segment unpack_descriptor(const struct descriptor *descriptor);
enum emulate_status mark_descriptor(struct emulate_ctxt *ctxt, struct descriptor *descriptor,
				    struct emulate_segment *segment, u8 bit);
enum emulate_status find_stack_segment(struct emulate_ctxt *ctxt, u16 selector, unsigned int cpl,
				       u8 vector, struct emulate_segment *segment);

/**
 * struct stack - where a call or an event pushes its frame
 * @ss: its segment
 * @sp: its pointer
 * @switched: it is not the one in SS: another privilege level's, so that accesses are the
 * 	supervisor's and #SS names the segment
 */
struct stack {
	struct emulate_segment ss;
	u64 sp;
	bool switched;
};

/* far.c */
void set_cpl(struct emulate_ctxt *ctxt, unsigned int cpl);
enum emulate_status enter_code(struct emulate_ctxt *ctxt, struct emulate_segment *cs,
			       unsigned int cpl, u64 rip);
enum emulate_status check_entry(struct emulate_ctxt *ctxt, const struct emulate_segment *cs,
				u64 rip);
enum emulate_status read_tss_stack(struct emulate_ctxt *ctxt, unsigned int offset, void *image,
				   unsigned int size);
enum emulate_status find_inner_stack(struct emulate_ctxt *ctxt, unsigned int cpl,
				     struct stack *stack);
enum emulate_status push_to(struct emulate_ctxt *ctxt, struct stack *stack, unsigned int size,
			    u64 value);
enum emulate_status enter_stack(struct emulate_ctxt *ctxt, const struct stack *stack);

/* task.c */
enum emulate_status task_switch(struct emulate_ctxt *ctxt, u16 selector,
				enum emulate_task_reason reason, bool has_error, u32 error);

#endif
