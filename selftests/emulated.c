// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that a process cannot run, as the CPU does them and as the emulator does.
 * limit: 600
 */

#include "selftest.h"

/* Everything that needs no operand but what the registers hold: all modes make something of it. */
FORCED_LIST(system_list,
	    INSN("mov %cr0, %rax") INSN("mov %cr2, %rbx") INSN("mov %cr3, %rcx")
	    INSN("mov %cr4, %rdx") INSN("mov %cr8, %rsi") INSN(".byte 0x0f, 0x20, 0xc8")
	    INSN("smsw %ax") INSN("smsw %eax") INSN("smsw %rax") INSN("smsw (%rdi)")
	    INSN("clts") INSN("sgdt (%rdi)") INSN("sidt (%rdi)") INSN("sldt (%rdi)")
	    INSN("sldt %ax") INSN("sldt %eax") INSN("sldt %rax") INSN("str (%rdi)")
	    INSN("str %ax") INSN("str %eax") INSN("str %rax") INSN("invlpg (%rdi)") INSN("hlt")
	    INSN("cli") INSN("sti") INSN("pushf") INSN("pushfw") INSN("swapgs") INSN("cpuid")
	    INSN("rdpmc") INSN("wbinvd") INSN("invd") INSN("clac") INSN("stac")
	    INSN("xgetbv") INSN("xsetbv") INSN("rdmsr") INSN("wrmsr") INSN("ud2")
	    INSN("rdfsbase %rax") INSN("rdgsbase %eax") INSN("wrfsbase %rbx") INSN("wrgsbase %ebx")
	    INSN("pause") INSN("clflush (%rdi)") INSN("rsm") INSN(".byte 0xce"));

/* With ECX 0: what is not asked for is no fault. */
FORCED_LIST(wait_list, INSN("monitor") INSN("mwait"));

FORCED_LIST(clock_list, INSN("rdtsc") INSN("rdtscp"));

#define for_each_level(f, mode, cpl)						\
	for (int mode = REAL16; mode < FORCED_MODES; mode++)			\
		for (int cpl = mode == V86 ? 3 : 0; cpl < (mode == REAL16 ? 1 : 4); cpl++)

#define array_size(a)	(sizeof(a) / sizeof((a)[0]))

TEST_TIMEOUT(system_instructions, 120)
{
	static const uint64_t flags[] = { 0, FLAG_IOPL, FLAG_IOPL | FLAG_IF, FLAG_IF | FLAG_OF,
					  1ul << 12, 2ul << 12, FLAG_NT };
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		for (unsigned int i = 0; i < array_size(flags); i++) {
			forced_begin(f, mode, cpl);
			f->start.regs.rflags |= flags[i];
			f->what = 0;
			forced_list(f, system_list);
			f->what = F_CLOCK;
			forced_list(f, clock_list);
			f->start.regs.rcx = 0;
			f->start.regs.rax = F_DATA;
			f->what = 0;
			forced_list(f, wait_list);
		}
	}
	forced_end(f);
}

/* Each of them with RFLAGS.TF: where the trap comes, and what DR6 and RF are then. */
TEST_TIMEOUT(single_steps, 60)
{
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		forced_begin(f, mode, cpl);
		f->start.regs.rflags |= FLAG_TF | FLAG_IOPL;
		f->what = F_DEBUG;
		forced_list(f, system_list);
	}
	forced_end(f);
}

FORCED_LIST(to_cr_list,
	    INSN("mov %rax, %cr0") INSN("mov %rax, %cr2") INSN("mov %rax, %cr4")
	    INSN("mov %rax, %cr8") INSN("lmsw %ax") INSN("lmsw (%rdi)"));

TEST_TIMEOUT(control_registers, 60)
{
	static const uint64_t values[] = {
		0, 1, 2, 4, 8, 0xf, 0x11, 0x8000003b, 0x80010031, 0x80010033, 0x80050033,
		0x60000011, 0xe0000011, 0x20000011, 0x80000000, 0x80000001, 0xa0, 0x20, 0x620,
		0x40620, 0x10020, 0x100020, 0x2020, 1ul << 32, ~0ul, 0x10000, 0x3000, 1ul << 31,
	};
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		forced_begin(f, mode, cpl);
		f->what = F_DEBUG;
		for (unsigned int i = 0; i < array_size(values); i++) {
			f->operand = f->start.regs.rax = values[i];
			memcpy(f->start.memory + F_DATA, &values[i], 8);
			forced_list(f, to_cr_list);
		}
	}
	forced_end(f);
}

FORCED_LIST(debug_list,
	    INSN("mov %db0, %rax") INSN("mov %db3, %rbx") INSN("mov %db4, %rax")
	    INSN("mov %db5, %rax") INSN("mov %db6, %rax") INSN("mov %db7, %rax")
	    INSN("mov %rax, %db0") INSN("mov %rax, %db3") INSN("mov %rax, %db4")
	    INSN("mov %rax, %db5") INSN("mov %rax, %db6") INSN("mov %rax, %db7"));

TEST_TIMEOUT(debug_registers, 60)
{
	static const uint64_t values[] = { 0, 0x400, 0x2400, 0xffff0ff0, 0xffff4ff3, 1ul << 32,
					   0x123456789, 0x500 };
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		for (unsigned int i = 0; i < array_size(values); i++) {
			forced_begin(f, mode, cpl);
			f->what = F_DEBUG;
			f->operand = f->start.regs.rax = values[i];
			forced_list(f, debug_list);
			f->start.sregs.cr4 |= CR4_DE;
			forced_list(f, debug_list);
			f->start.debug.dr7 = 0x2400;
			forced_list(f, debug_list);
		}
	}
	forced_end(f);
}

FORCED_LIST(table_list, INSN("lgdt (%rdi)") INSN("lidt (%rdi)") INSN("data16 lgdt (%rdi)"));

TEST_TIMEOUT(descriptor_tables, 60)
{
	static const uint64_t bases[] = { 0, F_GDT, 0x12345678, 0xffffffff, 0x7fffffffffff,
					  0x800000000000, 0xffff800000000000 };
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		forced_begin(f, mode, cpl);
		for (unsigned int i = 0; i < array_size(bases); i++) {
			memcpy(f->start.memory + F_DATA + 2, &bases[i], 8);
			forced_list(f, table_list);
		}
		f->start.regs.rdi = F_ABSENT - 4;
		forced_list(f, table_list);
	}
	forced_end(f);
}

FORCED_LIST(msr_list, INSN("rdmsr") INSN("wrmsr"));

TEST_TIMEOUT(msrs, 60)
{
	static const uint32_t index[] = {
		MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE, MSR_FS_BASE,
		MSR_GS_BASE, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT, MSR_EFER,
		MSR_TSC_AUX, 0, 0xdeadbeef, 0xc0000000, 0x1b, 0x2ff, 0x1234,
	};
	static const uint64_t values[] = {
		0, 1, 0x1234, 0xd01, 0xffffffff, 0x7fffffffffff, 0x800000000000, 0x0007040600070406,
		0xffff800000000000, 0xffffffffffffffff, 0x0001020304050607,
	};
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		forced_begin(f, mode, cpl);
		f->what = F_MSRS;
		for (unsigned int i = 0; i < array_size(index); i++) {
			for (unsigned int j = 0; j < array_size(values); j++) {
				f->operand = f->start.regs.rcx = index[i];
				f->start.regs.rax = values[j];
				f->start.regs.rdx = values[j] >> 32;
				forced_list(f, msr_list);
			}
		}
	}
	forced_end(f);
}

FORCED_LIST(flags_list,
	    INSN("popf") INSN("popfw") INSN("pushf") INSN("pushfw") INSN("cli") INSN("sti")
	    INSN("data16 rex.w popf"));

/* Flags as they are, as they are to be, IOPL and CPL. */
TEST_TIMEOUT(flags, 60)
{
	static const uint64_t images[] = {
		0, FLAG_IF, FLAG_IOPL, FLAG_IF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_ID, FLAG_TF,
		FLAG_VM | FLAG_RF, FLAG_VIF | FLAG_VIP, 0xffffffff,
	};
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		for (unsigned int i = 0; i < array_size(images); i++) {
			for (uint64_t iopl = 0; iopl < 4; iopl++) {
				forced_begin(f, mode, cpl);
				f->what = F_DEBUG;
				f->start.regs.rflags |= iopl << 12;
				f->operand = images[i];
				memcpy(f->start.memory + F_STACK, &images[i], 8);
				forced_list(f, flags_list);
				f->start.regs.rflags |= FLAG_IF | FLAG_AC;
				forced_list(f, flags_list);
			}
		}
	}
	forced_end(f);
}

FORCED_LIST(port_list,
	    INSN("in %dx, %al") INSN("in %dx, %ax") INSN("in %dx, %eax") INSN("out %al, %dx")
	    INSN("out %ax, %dx") INSN("out %eax, %dx") INSN("in $0x80, %al")
	    INSN("out %eax, $0x80") INSN("insb") INSN("insw") INSN("insl") INSN("outsb")
	    INSN("outsw") INSN("outsl") INSN("rep insb") INSN("rep outsl")
	    INSN("addr32 rep outsb") INSN("std; rep insw"));

TEST_TIMEOUT(ports, 120)
{
	static const uint16_t port[] = { 0x80, F_PORT, F_PORT + 5, F_PORT + 6, F_PORT + 7,
					 F_PORT + 8, 0xffff };
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		for (unsigned int i = 0; i < array_size(port); i++) {
			for (uint64_t iopl = 0; iopl < 4; iopl++) {
				forced_begin(f, mode, cpl);
				f->what = 0;
				f->start.regs.rflags |= iopl << 12;
				f->start.regs.rdx = port[i];
				f->start.regs.rcx = 3;
				forced_list(f, port_list);
				/* No map, or one cut short. */
				f->start.sregs.tr.limit = F_PORT / 8 + 0x80;
				forced_list(f, port_list);
			}
		}
	}
	forced_end(f);
}

FORCED_LIST(call_list,
	    INSN("syscall") INSN("sysretl") INSN("sysretq") INSN("sysenter") INSN("sysexitl")
	    INSN("sysexitq"));

TEST_TIMEOUT(fast_calls, 240)
{
	static const uint64_t star[] = { 0, 0x0013000800000000, 0xfffbfff000004100 };
	static const uint64_t targets[] = { F_TARGET, 0x7fffffff0000, 0x800000000000 };
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		/* QEMU makes calls in modes that have none, to nowhere, and comes back no more. */
		if (host_is_tcg() && (mode == REAL16 || mode == V86))
			continue;
		for (unsigned int i = 0; i < 9 * 4; i++) {
			struct kvm_msr_entry *msr = f->start.msrs.entries;
			uint64_t target;

			forced_begin(f, mode, cpl);
			f->what = F_MSRS;
			msr[0].data = star[i % 3];
			target = targets[i / 3 % 3];
			if (i / 3 % 3 < 2)
				msr[1].data = msr[2].data = msr[6].data = msr[7].data = target;
			f->start.regs.rcx = f->start.regs.rdx = target;
			msr[3].data = i & 1 ? 0x47700 : 0;
			msr[5].data = star[i % 3] >> 32;
			/* Without RF, which Bochs' SYSRET takes over. */
			f->start.regs.r11 = i & 1 ? 0x3202 : 0xfffeffff;
			if (i / 9 & 1)
				f->start.regs.rflags |= FLAG_TF | FLAG_IF;
			if (i / 9 & 2)
				f->start.sregs.efer ^= EFER_SCE;
			forced_list(f, call_list);
		}
	}
	forced_end(f);
}

/* INTO through vector 4, the others through the one of their name. */
FORCED_LIST(interrupt_list, INSN("int $0x30") INSN(".byte 0xce"));
FORCED_LIST(breakpoint_list, INSN("int3") INSN("int1") INSN(".byte 0xcd, 3"));

/* Gates of every type and privilege; stacks of the TSS and the IST. */
static void make_gate(struct forced *f, unsigned int vector, uint64_t gate, uint64_t high)
{
	uint64_t *idt = (uint64_t *)(f->start.memory + F_IDT);

	if (f->mode != COMPAT && f->mode != LONG64) {
		idt[vector] = gate;
		return;
	}
	idt[vector * 2] = gate;
	idt[vector * 2 + 1] = high;
}

/* @i: type, with P, then DPL, then which selector */
static void through_gate(struct forced *f, enum forced_mode mode, unsigned int cpl, unsigned int i)
{
	static const uint16_t selectors[] = { F_CS, F_CS + 8, 0, F_CS + 24, F_SS, F_TR, 0x100 };
	uint64_t type = i & 31, dpl = i >> 5 & 3, sel = selectors[i >> 7];
	uint64_t gate = F_TARGET | sel << 16 | (type & 15) << 40 | dpl << 45 | (type & 16) << 43;

	/* No task gates here. */
	if ((type & 15) == 5)
		return;
	forced_begin(f, mode, cpl);
	f->start.regs.rflags |= i & 1 ? FLAG_OF | FLAG_IF | FLAG_IOPL : FLAG_OF;
	f->operand = gate;
	make_gate(f, 0x30, gate, 0);
	make_gate(f, 4, gate, 0);
	forced_list(f, interrupt_list);
	/* These look at less. */
	if (sel == F_CS) {
		make_gate(f, 3, gate, 0);
		make_gate(f, 1, gate, 0);
		forced_list(f, breakpoint_list);
	}
}

TEST_TIMEOUT(interrupts, 240)
{
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		unsigned int n = mode == REAL16 ? 2 : 32 * 4 * 7;

		for (unsigned int i = 0; i < n; i++)
			through_gate(f, mode, cpl, i);
	}
	forced_end(f);
}

FORCED_LIST(shadow_list,
	    INSN("sti") INSN("mov %eax, %ss") INSN("pop %rax") INSN("mov %eax, %ds")
	    INSN(".byte 0x17") INSN("nop") INSN("lss (%rdi), %eax"));

/* STI and loads of SS hold interrupts back for an instruction, and traps, or do not. */
TEST_TIMEOUT(shadows, 60)
{
	static const uint64_t flags[] = { 0, FLAG_IF, FLAG_TF, FLAG_TF | FLAG_IF };
	struct forced *f = forced_create();

	for_each_level(f, mode, cpl) {
		for (unsigned int i = 0; i < array_size(flags) * 4; i++) {
			uint64_t ss = F_SS + cpl * 8 + cpl;

			forced_begin(f, mode, cpl);
			f->what = F_DEBUG;
			f->start.regs.rflags |= FLAG_IOPL | flags[i / 4];
			if (!(flags[i / 4] & FLAG_TF))
				f->start.events.interrupt.shadow = i & KVM_X86_SHADOW_INT_MOV_SS;
			f->start.regs.rax = mode == REAL16 || mode == V86 ? 0 : ss;
			memcpy(f->start.memory + F_STACK, &f->start.regs.rax, 8);
			memcpy(f->start.memory + F_DATA + 2, &ss, 2);
			memcpy(f->start.memory + F_DATA + 4, &ss, 2);
			forced_list(f, shadow_list);
		}
	}
	forced_end(f);
}
