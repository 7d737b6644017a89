// SPDX-License-Identifier: GPL-2.0-only
/* Where emulated CPUs are known not to do as real ones, and the emulator is right. */

#include <string.h>

#include "forced.h"
#include "harness.h"

#define LONG_MODES	(1u << COMPAT | 1u << LONG64)
#define SMALL_MODES	(1u << REAL16 | 1u << V86 | 1u << PROT16)
#define ALL_MODES	((1u << FORCED_MODES) - 1)

enum emulated_cpu { QEMU, BOCHS };

struct gap {
	enum emulated_cpu cpu;
	unsigned int modes;
	int native, emulated;		/* outcomes, or ANY */
	const char *insn;		/* how its text begins */
	const char *field;		/* how its name begins; NULL: whatever differs */
	uint64_t bits;			/* nothing but these differs; 0: whatever */
	bool (*when)(const struct forced *f);
	const char *why;
};

#define ANY	(-100)

static bool in_user(const struct forced *f)
{
	return f->cpl > 0;
}

static bool interrupts_on(const struct forced *f)
{
	return f->start.regs.rflags & FLAG_IF;
}

static bool cr4_de(const struct forced *f)
{
	return f->cpl > 0 && (f->start.sregs.cr4 & CR4_DE);
}

static bool general_detect(const struct forced *f)
{
	return f->cpl > 0 && (f->start.debug.dr7 & 0x2000);
}

static bool address_msr(const struct forced *f)
{
	switch ((uint32_t)f->start.regs.rcx) {
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
		return true;
	}
	return false;
}

static bool wide_star(const struct forced *f)
{
	return f->start.msrs.entries[0].data >> 48 > 0xffef;
}

/* TF is among the flags that the instruction begins with, or that it loads. */
static bool tf(const struct forced *f)
{
	return (f->start.regs.rflags | f->start.regs.r11) & FLAG_TF;
}

/* The tested descriptor is a TSS or a call gate of 16 bits, or a task gate. */
static bool legacy_system(const struct forced *f)
{
	unsigned int type = f->operand >> 40 & 0x1f;

	return type == 1 || (type >= 3 && type <= 5);
}

static bool task(const struct forced *f)
{
	return (f->operand >> 40 & 0x17) == 1;
}

static const struct gap gaps[] = {
	{ QEMU, ALL_MODES, ANY, ANY, "mov %cr4", "regs.rdx", 0x40, NULL,
	  "reads of CR4 are not intercepted, and the host's MCE shows" },
	{ QEMU, SMALL_MODES, ANY, ANY, "rdtscp", "regs.rcx", 0, NULL,
	  "RDTSCP with 16-bit operands writes 16 bits of RCX" },
	{ QEMU, ALL_MODES, FORCED_DONE, FORCED_DONE, "sti", "events.interrupt.shadow", 0,
	  interrupts_on, "STI with IF set casts a shadow" },
	{ QEMU, ALL_MODES, ANY, GP_VECTOR, "wbinvd", NULL, 0, in_user, "WBINVD at any CPL" },
	{ QEMU, ALL_MODES, ANY, GP_VECTOR, "invd", NULL, 0, in_user, "INVD at any CPL" },
	{ QEMU, 1u << LONG64, ANY, UD_VECTOR, ".byte 0xce", NULL, 0, NULL,
	  "INTO in 64-bit code" },
	{ QEMU, ALL_MODES, FORCED_DONE, FORCED_DONE, "mov %rax, %db", "debug.dr7", 0xd000, NULL,
	  "DR7's reserved bits can be set" },
	{ QEMU, ALL_MODES, GP_VECTOR, UD_VECTOR, "mov %", NULL, 0, cr4_de,
	  "MOV DR4 with CR4.DE: CPL comes first" },
	{ QEMU, 1u << LONG64, FORCED_DONE, FORCED_DONE, "data16 lgdt", "sregs.gdt.base",
	  ~0xfffffful, NULL, "LGDT with 66 in 64-bit code loads 24 bits" },
	{ QEMU, 1u << LONG64, FORCED_DONE, GP_VECTOR, "lgdt", NULL, 0, NULL,
	  "LGDT takes any address" },
	{ QEMU, 1u << LONG64, FORCED_DONE, GP_VECTOR, "data16 lgdt", NULL, 0, NULL,
	  "LGDT takes any address" },
	{ QEMU, 1u << LONG64, FORCED_DONE, GP_VECTOR, "lidt", NULL, 0, NULL,
	  "LIDT takes any address" },
	{ QEMU, ALL_MODES, FORCED_DONE, GP_VECTOR, "wrmsr", NULL, 0, address_msr,
	  "MSRs that do not exit take any address" },
	{ QEMU, 1u << V86, FORCED_DONE, GP_VECTOR, "int $0x30", NULL, 0, NULL,
	  "interrupts from virtual-8086 mode to a level other than 0" },
	{ QEMU, 1u << V86, FORCED_DONE, GP_VECTOR, ".byte 0xce", NULL, 0, NULL,
	  "interrupts from virtual-8086 mode to a level other than 0" },
	{ QEMU, ALL_MODES, ANY, ANY, "l", "descriptor's type", 1, NULL,
	  "far transfers leave the code segment's accessed bit" },
	{ QEMU, ALL_MODES, ANY, ANY, "iret", "descriptor's type", 1, NULL,
	  "far transfers leave the code segment's accessed bit" },
	{ QEMU, ALL_MODES, ANY, ANY, "rex.w lret", "descriptor's type", 1, NULL,
	  "far transfers leave the code segment's accessed bit" },
	{ QEMU, 1u << PROT32, FORCED_DONE, FORCED_DONE, "ljmp", "sregs.cr0", 8, task,
	  "task switches are not intercepted, and CR0.TS is set behind our back" },
	{ QEMU, 1u << PROT32, FORCED_DONE, FORCED_DONE, "lcall", "sregs.cr0", 8, task,
	  "task switches are not intercepted, and CR0.TS is set behind our back" },
	{ QEMU, LONG_MODES, FORCED_DONE, FORCED_DONE, "l", "regs.rcx", 0, legacy_system,
	  "LAR and LSL know 16-bit TSSs and gates in long mode" },
	{ QEMU, LONG_MODES, ANY, GP_VECTOR, "ltr", NULL, 0, legacy_system,
	  "LTR takes 16-bit TSSs in long mode" },
	{ QEMU, ALL_MODES, FORCED_DONE, FORCED_DONE, "lar", "regs.rcx", 0xf0000, NULL,
	  "LAR clears the bits of the limit" },
	{ QEMU, ALL_MODES, ANY, ANY, "int1", "memory at", 0x100010001, NULL,
	  "faults of INT1's delivery without EXT, and with RIP behind it" },
	{ QEMU, LONG_MODES, ANY, ANY, "syscall", "regs.rflags", 0x8d5, NULL,
	  "SYSCALL clears the arithmetic flags" },
	{ QEMU, ALL_MODES, GP_VECTOR, UD_VECTOR, "sysret", NULL, 0, NULL,
	  "SYSRET looks at CPL before EFER.SCE" },
	{ QEMU, ALL_MODES, ANY, ANY, "sysret", "memory at", 0, wide_star,
	  "SYSRET makes selectors of 17 bits" },
	{ QEMU, 1u << LONG64, ANY, ANY, "sysret", "regs.rflags", 0x180000, NULL,
	  "SYSRET does not load VIF and VIP" },
	{ QEMU, 1u << COMPAT, ANY, ANY, "sysret", NULL, 0, NULL,
	  "SYSRET in compatibility mode loads flags from R11" },
	{ QEMU, 1u << COMPAT, ANY, UD_VECTOR, "sysenter", NULL, 0, NULL,
	  "SYSENTER in compatibility mode, which AMD's CPUs have not" },
	{ QEMU, 1u << COMPAT, ANY, UD_VECTOR, "sysexit", NULL, 0, NULL,
	  "SYSEXIT in compatibility mode, which AMD's CPUs have not" },
	{ QEMU, 1u << LONG64, UD_VECTOR, GP_VECTOR, "sysexit", NULL, 0, in_user,
	  "SYSEXIT, which there is not, before CPL" },
	{ BOCHS, LONG_MODES, ANY, ANY, "sysret", NULL, 0, tf,
	  "SYSRET traps if TF was set when it began" },
	{ BOCHS, LONG_MODES, ANY, ANY, "syscall", NULL, 0, tf,
	  "SYSCALL traps if TF was set when it began" },
	{ QEMU, 1u << COMPAT, ANY, GP_VECTOR, "lretl $8", NULL, 0, NULL,
	  "returns to 32-bit code with a null SS" },
	{ QEMU, 1u << LONG64, FORCED_DONE, FORCED_DONE, "lretl $8", "ss", 0, NULL,
	  "a null SS with base and limit after returns to an outer level" },
	{ QEMU, 1u << PROT32, FORCED_DONE, FORCED_DONE, "l", "regs.r", 0xffff0000, task,
	  "a 16-bit TSS leaves the upper halves of general registers, which KVM clears" },
	{ BOCHS, 1u << PROT32, FORCED_DONE, FORCED_DONE, "l", "regs.r", 0xffff0000, task,
	  "a 16-bit TSS sets the upper halves of general registers, which KVM clears" },
	{ BOCHS, ALL_MODES, ANY, ANY, "int1", "memory at", 1, NULL,
	  "INT1 exits as #DB, a trap: faults of its delivery come with RIP behind it" },
	{ BOCHS, ALL_MODES, DB_VECTOR, GP_VECTOR, "mov %", NULL, 0, general_detect,
	  "MOV DR: DR7.GD comes before CPL" },
};

#define GAPS	(sizeof(gaps) / sizeof(gaps[0]))

static unsigned long seen[GAPS];

static bool matches(const struct gap *gap, const struct forced *f, const char *field,
		    uint64_t changed)
{
	return (gap->cpu == QEMU ? host_is_tcg() : host_is_bochs()) &&
	       (gap->modes & 1u << f->mode) && !strncmp(f->name, gap->insn, strlen(gap->insn)) &&
	       (gap->native == ANY || gap->native == forced_outcome(&f->native)) &&
	       (gap->emulated == ANY || gap->emulated == forced_outcome(&f->emulated)) &&
	       (!gap->field || !strncmp(field, gap->field, strlen(gap->field))) &&
	       (!gap->bits || !(changed & ~gap->bits)) && (!gap->when || gap->when(f));
}

bool forced_is_gap(const struct forced *f, const char *field, uint64_t native, uint64_t emulated)
{
	for (unsigned int i = 0; i < GAPS; i++) {
		if (matches(&gaps[i], f, field, native ^ emulated)) {
			seen[i]++;
			return true;
		}
	}
	return false;
}

void forced_list_gaps(void)
{
	for (unsigned int i = 0; i < GAPS; i++)
		if (seen[i])
			diag("%lu times, %s: %s", seen[i],
			     gaps[i].cpu == QEMU ? "QEMU" : "Bochs", gaps[i].why);
}
