// SPDX-License-Identifier: GPL-2.0-only
/*
 * The decoder against Zydis: random strings, a sweep of every opcode with every ModRM, and the code
 * of installed programs. Every difference must have a reason from the list below.
 *
 * decode_test [random strings per mode [object file of 32-bit code, object file of 16-bit code]]
 */
#include <Zydis/Zydis.h>
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "tap.h"

struct mode {
	const char *name;
	u8 mode;
	ZydisMachineMode machine;
	ZydisStackWidth stack;
};

struct decoders {
	ZydisDecoder intel;
	ZydisDecoder amd;
};

static struct decoders decoders[4];

static const struct mode modes[] = {
	{ "64-bit", EMULATE_LONG64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	{ "32-bit", EMULATE_PROT32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	{ "16-bit", EMULATE_PROT16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	{ "real", EMULATE_REAL, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
};

/* Why we may differ from Zydis. */
enum reason {
	SAME,
	VECTOR_FIELDS,
	REAL_MODE,
	ABSENT,
	RESERVED_NOP,
	LOCK_CR0,
	PREFETCH_REGISTER,
	UNEXPLAINED,
	REASON_COUNT
};

static const char *const reasons[] = {
	[SAME] = "no difference",
	[VECTOR_FIELDS] =
		"vector instruction that is never executed: W, L, vvvv, masks are not checked",
	[REAL_MODE] =
		"real mode: VEX is #UD, and the executor refuses system instructions",
	[ABSENT] =
		"of VIA, Xeon Phi or SEAM mode alone, or MCOMMIT: #UD on our CPUs",
	[RESERVED_NOP] =
		"reserved NOP (0F 1A, 0F 1B): Zydis takes it for MPX and refuses some operands",
	[LOCK_CR0] = "LOCK MOV CR0 (CR8 on AMD) with ModRM.mod other than 3, which is ignored",
	[PREFETCH_REGISTER] = "0F 0D with a register: a NOP on Intel's CPUs, #UD on AMD's",
	[UNEXPLAINED] = "no reason",
};

static u64 difference_count[REASON_COUNT];
static unsigned int shown;

static u64 random_state = 0x9e3779b97f4a7c15;

static u64 random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1d;
}

static enum emulate_status no_fetch(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				    unsigned int len)
{
	(void)linear;
	memset(buf, 0, len);
	return emulate_raise_error(ctxt, VECTOR_PF, 0x10);
}

static void flat_segment(struct emulate_ctxt *ctxt, unsigned int reg,
			 struct emulate_segment *segment)
{
	(void)ctxt;
	(void)reg;
	*segment = (struct emulate_segment){ .limit = 0xffffffff };
}

static const struct emulate_ops ops = { .fetch = no_fetch, .get_segment = flat_segment };

/* Zydis accepts what we refuse. */
static enum reason explain_refusal(const struct mode *mode, const struct emulate_ctxt *ctxt,
				   const ZydisDecodedInstruction *zydis)
{
	/* Xeon Phi's own scalar and mask instructions in VEX map 0F */
	static const u8 knights[] = { 0x43, 0x48, 0x49, 0x84, 0x85, 0x95,
				      0x97, 0xae, 0xb8, 0xbc, 0xbd };
	const struct emulate_insn *insn = &ctxt->insn;

	if (mode->mode == EMULATE_REAL &&
	    (zydis->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || insn->op >= INSN_MOV_FROM_SEG))
		return REAL_MODE;
	if (zydis->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX)
		return ABSENT;
	if (insn->encoding == ENCODING_VEX && insn->map == MAP_0F &&
	    memchr(knights, insn->opcode, sizeof(knights)))
		return ABSENT;
	if (insn->map == MAP_0F && (insn->opcode == 0xa6 || insn->opcode == 0xa7))
		return ABSENT;
	/* TDCALL, SEAMRET, SEAMOPS, SEAMCALL; MCOMMIT */
	if (insn->map == MAP_0F && insn->opcode == 0x01 &&
	    ((insn->modrm >= 0xcc && insn->modrm <= 0xcf) || insn->modrm == 0xfa))
		return ABSENT;
	if (ctxt->amd && insn->op == INSN_PREFETCH && !insn->memory)
		return PREFETCH_REGISTER;
	return UNEXPLAINED;
}

/* We find a length where Zydis sees nothing. */
static enum reason explain_length(const struct mode *mode, const struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;

	if (insn->op == INSN_VEX || insn->op == INSN_EVEX || insn->op == INSN_XOP)
		return VECTOR_FIELDS;
	if (insn->map == MAP_0F && (insn->opcode == 0x1a || insn->opcode == 0x1b))
		return RESERVED_NOP;
	if (insn->op == INSN_MOV_FROM_CR || insn->op == INSN_MOV_TO_CR)
		return ctxt->amd && insn->reg == 8 ? LOCK_CR0 : UNEXPLAINED;
	if (mode->mode == EMULATE_REAL && insn->op >= INSN_SYSCALL)
		return REAL_MODE;
	return UNEXPLAINED;
}

static void show(const struct mode *mode, const u8 *bytes, const struct emulate_ctxt *ctxt,
		 enum emulate_status status, ZyanStatus zstatus,
		 const ZydisDecodedInstruction *zydis)
{
	unsigned int i;

	if (shown++ >= 60)
		return;
	printf("# %s:", mode->name);
	for (i = 0; i < 15; i++)
		printf(" %02x", bytes[i]);
	if (status == EMULATE_DONE)
		printf(": length %u", ctxt->insn.length);
	else
		printf(": vector %u", ctxt->fault.vector);
	if (ZYAN_SUCCESS(zstatus))
		printf(", Zydis %s length %u\n", ZydisMnemonicGetString(zydis->mnemonic),
		       zydis->length);
	else
		printf(", Zydis error %u\n", ZYAN_STATUS_CODE(zstatus));
}

static void compare(const struct mode *mode, const u8 *bytes, bool amd)
{
	struct emulate_ctxt ctxt = {
		.ops = &ops, .mode = mode->mode, .linear_bits = 48, .amd = amd, .rip = 0x1000
	};
	const struct decoders *pair = &decoders[mode - modes];
	const ZydisDecoder *decoder = amd ? &pair->amd : &pair->intel;
	ZydisDecodedInstruction zydis;
	enum emulate_status status;
	enum reason reason = SAME;
	ZyanStatus zstatus;

	memcpy(ctxt.bytes, bytes, 15);
	ctxt.n_bytes = 15;
	status = emulate_decode(&ctxt);
	zstatus = ZydisDecoderDecodeInstruction(decoder, NULL, bytes, 15, &zydis);
	if (ZYAN_SUCCESS(zstatus) != (status == EMULATE_DONE) ||
	    (status == EMULATE_DONE && zydis.length != ctxt.insn.length))
		reason = !ZYAN_SUCCESS(zstatus) ? explain_length(mode, &ctxt) :
			 status != EMULATE_DONE ? explain_refusal(mode, &ctxt, &zydis) :
						  UNEXPLAINED;
	difference_count[reason]++;
	if (reason == UNEXPLAINED)
		show(mode, bytes, &ctxt, status, zstatus, &zydis);
}

static void randomise(u8 bytes[16])
{
	u64 words[2] = { random64(), random64() };

	memcpy(bytes, words, 16);
}

static void random_strings(const struct mode *mode, u64 count)
{
	u8 bytes[16];
	u64 i;

	for (i = 0; i < count; i++) {
		randomise(bytes);
		compare(mode, bytes, i & 1);
	}
}

/* Each opcode of each map with each ModRM, under each of some prefixes. */
static void sweep(const struct mode *mode)
{
	static const u8 prefixes[][2] = { { 0 },       { 1, 0x66 }, { 1, 0xf2 }, { 1, 0xf3 },
					  { 1, 0xf0 }, { 1, 0x67 }, { 1, 0x48 } };
	static const u8 escapes[][3] = { { 0 }, { 1, 0x0f }, { 2, 0x0f, 0x38 }, { 2, 0x0f, 0x3a } };
	unsigned int prefix, escape, opcode, modrm, at;
	u8 bytes[16];

	for (prefix = 0; prefix < 7; prefix++)
		for (escape = 0; escape < 4; escape++)
			for (opcode = 0; opcode < 256; opcode++)
				for (modrm = 0; modrm < 256; modrm++) {
					randomise(bytes);
					memcpy(bytes, prefixes[prefix] + 1, prefixes[prefix][0]);
					at = prefixes[prefix][0];
					memcpy(bytes + at, escapes[escape] + 1, escapes[escape][0]);
					at += escapes[escape][0];
					bytes[at] = opcode;
					bytes[at + 1] = modrm;
					compare(mode, bytes, modrm & 1);
				}
}

/* Walk a piece of code as Zydis sees it. */
static u64 walk(const struct mode *mode, const u8 *code, size_t size)
{
	ZydisDecodedInstruction zydis;
	u64 count = 0;
	size_t at = 0;

	while (at + 15 <= size) {
		compare(mode, code + at, false);
		count++;
		if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoders[mode - modes].intel, NULL,
							       code + at, 15, &zydis)))
			at += zydis.length;
		else
			at++;
	}
	return count;
}

/* All executable sections of a file of one ELF class, with the section and file headers of that. */
#define WALK_SECTIONS(bits_)                                                                  \
	static u64 walk_sections##bits_(const struct mode *mode, const u8 *file)              \
	{                                                                                     \
		const Elf##bits_##_Ehdr *elf = (const void *)file;                            \
		const Elf##bits_##_Shdr *section = (const void *)(file + elf->e_shoff);       \
		u64 count = 0;                                                                \
		unsigned int i;                                                               \
		for (i = 0; i < elf->e_shnum; i++)                                            \
			if (section[i].sh_type == SHT_PROGBITS &&                             \
			    (section[i].sh_flags & SHF_EXECINSTR))                            \
				count += walk(mode, file + section[i].sh_offset,              \
					      section[i].sh_size);                            \
		return count;                                                                 \
	}

WALK_SECTIONS(32)
WALK_SECTIONS(64)

static u64 walk_program(const struct mode *mode, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat stat;
	u64 count = 0;
	const u8 *file;

	if (fd < 0 || fstat(fd, &stat) || stat.st_size < (off_t)sizeof(Elf64_Ehdr))
		goto out;
	file = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		goto out;
	if (!memcmp(file, ELFMAG, SELFMAG))
		count = file[EI_CLASS] == ELFCLASS64 ? walk_sections64(mode, file) :
						       walk_sections32(mode, file);
	munmap((void *)file, stat.st_size);
out:
	if (fd >= 0)
		close(fd);
	return count;
}

static void report(const char *what, u64 count)
{
	unsigned int i;

	tap_ok(count && !difference_count[UNEXPLAINED],
	       "%s: %llu strings, %llu differences without a reason", what,
	       (unsigned long long)count, (unsigned long long)difference_count[UNEXPLAINED]);
	for (i = SAME + 1; i < UNEXPLAINED; i++)
		if (difference_count[i])
			printf("# %llu: %s\n", (unsigned long long)difference_count[i], reasons[i]);
	memset(difference_count, 0, sizeof(difference_count));
}

int main(int argc, char **argv)
{
	u64 count = argc > 1 ? strtoull(argv[1], NULL, 0) : 75000;
	static const char *const programs[] = { "/bin/bash", "/usr/lib/x86_64-linux-gnu/libc.so.6",
						"/usr/lib/x86_64-linux-gnu/libm.so.6",
						"/usr/bin/gcc", "/usr/bin/perl" };
	const struct mode *mode;
	struct decoders *pair;
	unsigned int i;
	u64 walked = 0;
	char what[64];

	for (mode = modes; mode < modes + 4; mode++) {
		pair = &decoders[mode - modes];
		ZydisDecoderInit(&pair->intel, mode->machine, mode->stack);
		ZydisDecoderInit(&pair->amd, mode->machine, mode->stack);
		ZydisDecoderEnableMode(&pair->amd, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
		random_strings(mode, count);
		snprintf(what, sizeof(what), "random strings, %s", mode->name);
		report(what, count);
		sweep(mode);
		snprintf(what, sizeof(what), "opcode sweep, %s", mode->name);
		report(what, 7 * 4 * 65536);
	}
	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		walked += walk_program(&modes[0], programs[i]);
	report("code of installed programs", walked >= 10000 ? walked : 0);
	if (argc > 3) {
		walked = walk_program(&modes[1], argv[2]);
		report("compiled for 32 bits", walked >= 10000 ? walked : 0);
		walked = walk_program(&modes[2], argv[3]);
		report("compiled for 16 bits", walked >= 10000 ? walked : 0);
	}
	return tap_done();
}
