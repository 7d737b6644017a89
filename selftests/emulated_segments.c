// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors of all types and privileges, as the CPU looks at them and as the emulator does.
 * limit: 600
 */

#include "selftest.h"

/* AX is the selector, and in memory behind pointers of all sizes; the stack returns to it. */
FORCED_LIST(data_list,
	    INSN("mov %eax, %ds") INSN("mov %eax, %es") INSN("mov %eax, %fs")
	    INSN("mov %eax, %ss") INSN("lar %ax, %ecx") INSN("lsl %ax, %ecx")
	    INSN("lar %ax, %cx") INSN("lsl %rax, %rcx") INSN("verr %ax") INSN("verw %ax")
	    INSN("lldt %ax") INSN("ltr %ax") INSN("lss (%rdi), %ecx") INSN("lfs (%rdi), %cx")
	    INSN(".byte 0x63, 0xc1"));
FORCED_LIST(code_list,
	    INSN("ljmp *(%rdi)") INSN("lcall *(%rdi)") INSN("lretl") INSN("lretl $8") INSN("iretl")
	    INSN("ljmpw *(%rsi)") INSN("lcallw *(%rsi)"));
FORCED_LIST(long_list, INSN("rex.w lret") INSN("iretq"));

#define DPL(desc)	((uint64_t)(desc) << 45)
#define TYPE(type)	((uint64_t)(type) << 40)	/* with S */
#define PRESENT		(1ul << 47)

/* The descriptor with what its type needs: flat segments, gates to CPL 0, tables, tasks. */
static uint64_t descriptor(enum forced_mode mode, unsigned int type, uint16_t target)
{
	uint64_t gate = F_TARGET | (uint64_t)target << 16;

	switch (type) {
	case 1: case 3: case 9: case 11:
		return TYPE(type) | (uint64_t)F_TASK << 16 | 0x67;
	case 2:
		return TYPE(type) | (uint64_t)F_LDT << 16 | 0xff;
	case 4 ... 7: case 12: case 14: case 15:
		return TYPE(type) | gate;
	case 0: case 8: case 10: case 13:
		return TYPE(type) | 0xffff;
	default:
		if (type >= 24 && mode == LONG64)
			return TYPE(type) | 0x00af00000000ffff;
		return TYPE(type) | 0x00cf00000000ffff;
	}
}

static void put_operands(struct forced *f, uint16_t sel)
{
	uint8_t *m = f->start.memory;
	uint32_t pointer[] = { F_TARGET, sel }, outer[] = { F_STACK - 0x80, 0 };
	uint32_t flags = FLAG_FIXED | FLAG_CF;

	f->start.regs.rax = sel;
	f->start.regs.rcx = F_CS;
	memcpy(m + F_DATA, pointer, 6);
	memcpy(m + F_DATA + 0x800, &pointer[0], 2);
	memcpy(m + F_DATA + 0x802, &pointer[1], 2);
	outer[1] = (F_SS + (sel & 3) * 8) | (sel & 3);
	memset(m + F_STACK, 0, 0x40);
	if (f->mode == REAL16 || f->mode == V86 || f->mode == PROT16) {
		uint16_t frame[] = { F_TARGET, sel, flags, F_STACK - 0x80, outer[1] };

		memcpy(m + F_STACK, frame, sizeof(frame));
	} else {
		uint32_t frame[] = { F_TARGET, sel, flags, outer[0], outer[1] };

		memcpy(m + F_STACK, frame, sizeof(frame));
	}
}

static void put_long_frame(struct forced *f, uint16_t sel)
{
	uint64_t frame[] = { F_TARGET, sel, FLAG_FIXED, F_STACK - 0x80,
			     (F_SS + (sel & 3) * 8) | (sel & 3) };

	memcpy(f->start.memory + F_STACK, frame, sizeof(frame));
}

/* A task that can be switched to. */
static void put_task(struct forced *f, bool wide)
{
	const uint16_t narrow[] = { F_TARGET, FLAG_FIXED, 0xa, 0xc, 0xd, 0xb, F_STACK, 0xbb, 0x51,
				    0xd1, F_SS, F_CS, F_SS, F_SS };
	uint32_t *tss = (uint32_t *)(f->start.memory + F_TASK);

	memset(tss, 0, 0x68);
	if (!wide) {
		memcpy((uint8_t *)tss + 0xe, narrow, sizeof(narrow));
		return;
	}
	tss[0x1c / 4] = f->start.sregs.cr3;
	tss[0x20 / 4] = F_TARGET;
	tss[0x24 / 4] = FLAG_FIXED;
	tss[0x38 / 4] = F_STACK;
	tss[0x4c / 4] = F_CS;
	tss[0x48 / 4] = tss[0x50 / 4] = tss[0x54 / 4] = F_SS;
}

static void begin(struct forced *f, enum forced_mode mode, unsigned int cpl, uint64_t desc,
		  uint64_t high, uint16_t sel)
{
	forced_begin(f, mode, cpl);
	f->operand = desc;
	forced_descriptor(f, F_TESTED)[0] = desc;
	forced_descriptor(f, F_TESTED)[1] = high;
	put_operands(f, sel);
	put_task(f, desc & TYPE(8));
}

/* All types by present by DPL by RPL, at one CPL; absent ones with one RPL. */
static void all_descriptors(struct forced *f, enum forced_mode mode, unsigned int cpl)
{
	for (unsigned int i = 0; i < 32 * 2 * 4 * 4; i++) {
		unsigned int type = i & 31, dpl = i >> 6 & 3, rpl = i >> 8 & 3;
		uint64_t desc = descriptor(mode, type, F_CS) | DPL(dpl);

		if (i & 32)
			desc |= PRESENT;
		else if (rpl != dpl)
			continue;
		begin(f, mode, cpl, desc, 0, F_TESTED | rpl);
		forced_list(f, data_list);
		forced_list(f, code_list);
		if (mode == LONG64) {
			put_long_frame(f, F_TESTED | rpl);
			forced_list(f, long_list);
		}
	}
}

/* The CPU's own task switch loads CR3, which is not the guest's under shadow paging. */
static void need_task_switch_exits(void)
{
	TEST_REQUIRE(!shadow_paging() || !host_is_tcg(), "QEMU's CPU does not exit on task switches");
}

#define DESCRIPTORS(name, mode)							\
	TEST_TIMEOUT(name, 240)							\
	{									\
		struct forced *f;						\
										\
		if (mode != LONG64)						\
			need_task_switch_exits();				\
		f = forced_create();						\
		for (unsigned int cpl = 0; cpl < 4; cpl++)			\
			all_descriptors(f, mode, cpl);				\
		forced_end(f);							\
	}

DESCRIPTORS(descriptors_in_32_bits, PROT32)
DESCRIPTORS(descriptors_in_64_bits, LONG64)

/* The other two differ in operand sizes: two levels will do. */
TEST_TIMEOUT(descriptors_in_other_code, 240)
{
	struct forced *f;

	need_task_switch_exits();
	f = forced_create();
	all_descriptors(f, PROT16, 0);
	all_descriptors(f, PROT16, 3);
	all_descriptors(f, COMPAT, 2);
	forced_end(f);
}
