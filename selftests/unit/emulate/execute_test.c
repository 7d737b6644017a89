// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the real CPU: random instructions with random registers, flags and memory
 * run natively in this process and through the emulator. Registers, flags, memory and faults must
 * agree.
 *
 * execute_test [cases [seed]]
 */
#include <cpuid.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "native.h"
#include "tap.h"

#define INSN_AT 0x800 /* offset of the instruction in the code */
#define PAGE	4096ull

struct machine {
	u8 data[NATIVE_DATA_SIZE];
	u8 vector[16][32];
	enum native_mode mode;
	u64 exit; /* linear address behind the instruction */
};

static struct machine machine;
static u8 template[NATIVE_WRITABLE];
static u64 random_state;
static u64 cr4 = CR4_OSFXSR_BIT | CR4_OSXSAVE_BIT;
static bool amd; /* this machine's CPU */

static u64 random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1d;
}

static unsigned int pick(unsigned int n)
{
	return (random64() >> 33) % n;
}

/* Host view of emulated memory, or NULL and the page fault that the CPU would raise. */
static u8 *access_page(struct emulate_ctxt *ctxt, u64 linear, bool write)
{
	u32 error = write ? 6 : 4;

	if (linear >= NATIVE_DATA &&
	    linear < NATIVE_DATA + (write ? NATIVE_WRITABLE : NATIVE_DATA_SIZE))
		return machine.data + (linear - NATIVE_DATA);
	if (!write && linear >= NATIVE_CODE && linear < NATIVE_CODE + NATIVE_CODE_SIZE)
		return (u8 *)linear;
	if ((linear >= NATIVE_DATA && linear < NATIVE_DATA + NATIVE_DATA_SIZE) ||
	    linear >= 0x7ffffffff000)
		error |= 1;
	emulate_raise_error(ctxt, VECTOR_PF, error);
	ctxt->fault.address = linear;
	return NULL;
}

/* This program itself, its heap, libraries and stack, which are not in the emulated memory. */
static bool is_ours(u64 linear, unsigned int len)
{
	if (linear + len > 0x7f0000000000 && linear < 0x7ffffffff000)
		return true;
	return linear + len > 0x400000 && linear < (u64)sbrk(0) &&
	       (linear + len <= NATIVE_CODE || linear >= NATIVE_DATA + NATIVE_DATA_SIZE + PAGE);
}

static enum emulate_status transfer(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				    unsigned int len, bool write, bool probe_only)
{
	u64 page = (linear | (PAGE - 1)) + 1;
	unsigned int first = page - linear < len ? page - linear : len;
	u8 *low, *high = NULL;

	if (is_ours(linear, len))
		return EMULATE_ERROR;
	/* the way out, which is there natively */
	if (linear + len > machine.exit && linear < machine.exit + NATIVE_EXIT_SIZE)
		return EMULATE_ERROR;
	/* the code is writable natively, but not worth modelling */
	if (write && linear + len > NATIVE_CODE && linear < NATIVE_CODE + NATIVE_CODE_SIZE)
		return probe_only && linear >= NATIVE_CODE &&
				       linear + len <= NATIVE_CODE + NATIVE_CODE_SIZE ?
			       EMULATE_DONE :
			       EMULATE_ERROR;
	low = access_page(ctxt, linear, write);
	if (!low)
		return EMULATE_FAULT;
	if (first < len) {
		high = access_page(ctxt, in_long64(ctxt) ? page : (u32)page, write);
		if (!high)
			return EMULATE_FAULT;
	}
	if (probe_only)
		return EMULATE_DONE;
	if (write) {
		memcpy(low, buf, first);
		if (high)
			memcpy(high, (u8 *)buf + first, len - first);
	} else {
		memcpy(buf, low, first);
		if (high)
			memcpy((u8 *)buf + first, high, len - first);
	}
	return EMULATE_DONE;
}

static enum emulate_status do_fetch(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				    unsigned int len)
{
	(void)ctxt;
	memcpy(buf, (void *)linear, len);
	return EMULATE_DONE;
}

static enum emulate_status do_read(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				   unsigned int len, unsigned int access)
{
	enum emulate_status status = EMULATE_DONE;

	if (access & EMULATE_ACCESS_SYSTEM)
		return memset(buf, 0xff, len), EMULATE_DONE;
	if (access & EMULATE_ACCESS_WRITE)
		status = transfer(ctxt, linear, buf, len, true, true);
	return status == EMULATE_DONE ? transfer(ctxt, linear, buf, len, false, false) : status;
}

static enum emulate_status do_write(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				    unsigned int len, unsigned int access)
{
	(void)access;
	return transfer(ctxt, linear, (void *)buf, len, true, false);
}

static enum emulate_status do_probe(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
				    unsigned int access)
{
	u8 buf[64];

	(void)access;
	return transfer(ctxt, linear, buf, len, true, true);
}

static enum emulate_status do_cmpxchg(struct emulate_ctxt *ctxt, u64 linear, void *old,
				      const void *new, unsigned int len, unsigned int access,
				      bool *swapped)
{
	enum emulate_status status;
	u8 memory[16];

	status = do_read(ctxt, linear, memory, len, EMULATE_ACCESS_WRITE);
	if (status != EMULATE_DONE)
		return status;
	*swapped = !memcmp(memory, old, len);
	if (*swapped)
		return do_write(ctxt, linear, new, len, access);
	memcpy(old, memory, len);
	return EMULATE_DONE;
}

static enum emulate_status no_pio(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				  unsigned int count, void *buf)
{
	(void)ctxt, (void)port, (void)size, (void)count, (void)buf;
	return EMULATE_ERROR;
}

static enum emulate_status no_pio_out(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				      unsigned int count, const void *buf)
{
	return no_pio(ctxt, port, size, count, (void *)buf);
}

static void do_get_segment(struct emulate_ctxt *ctxt, unsigned int reg,
			   struct emulate_segment *segment)
{
	const u16 data = SEG_P | SEG_S | SEG_DPL | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED;
	bool small = machine.mode == NATIVE_16;

	(void)ctxt;
	*segment = (struct emulate_segment){ 0 };
	if (reg == SEG_TR) {
		segment->attributes = SEG_P | 0xb;
		segment->limit = 0x67;
	} else if (reg == SEG_CS) {
		segment->selector = native_cs(machine.mode);
		segment->attributes = data | SEG_TYPE_CODE | (small ? 0 : SEG_DB | SEG_G);
	} else if (reg == SEG_SS) {
		segment->selector = 0x2b;
		segment->attributes = data | SEG_DB | SEG_G;
		segment->limit = 0xffffffff;
		return;
	} else if (reg == SEG_DS || reg == SEG_ES) {
		segment->selector = native_ds(machine.mode);
		segment->attributes =
			machine.mode == NATIVE_64 ? 0 : data | (small ? 0 : SEG_DB | SEG_G);
	} else if (machine.mode == NATIVE_64) {
		segment->base = reg == SEG_GS ? native_gs_base : native_fs_base;
		return;
	}
	if (reg <= SEG_DS) {
		segment->base = small ? NATIVE_BASE16 : 0;
		segment->limit = small ? 0xffff : 0xffffffff;
	}
}

static u64 do_get_cr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	(void)ctxt;
	return reg == 4 ? cr4 : reg == 0 ? 0x80050033 : reg == EMULATE_XCR0 ? 7 : 0;
}

/* EFER of a 64-bit kernel */
static enum emulate_status do_get_msr(struct emulate_ctxt *ctxt, u32 index, u64 *value)
{
	(void)ctxt;
	*value = index == IA32_EFER ? 0xd01 : 0;
	return EMULATE_DONE;
}

static enum emulate_status do_get_vector(struct emulate_ctxt *ctxt, unsigned int reg, void *buf,
					 unsigned int len)
{
	(void)ctxt;
	if (reg >= 16 || len > 32)
		return EMULATE_UNSUPPORTED;
	memcpy(buf, machine.vector[reg], len);
	return EMULATE_DONE;
}

static enum emulate_status do_set_vector(struct emulate_ctxt *ctxt, unsigned int reg,
					 const void *buf, unsigned int len, bool zero_upper)
{
	(void)ctxt;
	if (reg >= 16 || len > 32)
		return EMULATE_UNSUPPORTED;
	memcpy(machine.vector[reg], buf, len);
	if (zero_upper)
		memset(machine.vector[reg] + len, 0, 32 - len);
	return EMULATE_DONE;
}

static enum emulate_status do_special(struct emulate_ctxt *ctxt, enum emulate_special kind,
				      u64 operand)
{
	u8 byte;

	switch (kind) {
	case SPECIAL_CLFLUSH:
		return transfer(ctxt, operand, &byte, 1, false, false);
	case SPECIAL_PAUSE:
		return EMULATE_DONE;
	case SPECIAL_RSM:
		return emulate_raise(ctxt, VECTOR_UD);
	default:
		return EMULATE_UNSUPPORTED;
	}
}

static const struct emulate_ops ops = {
	.fetch = do_fetch,
	.read = do_read,
	.write = do_write,
	.probe_write = do_probe,
	.compare_exchange = do_cmpxchg,
	.pio_in = no_pio,
	.pio_out = no_pio_out,
	.get_segment = do_get_segment,
	.get_cr = do_get_cr,
	.get_msr = do_get_msr,
	.get_vector = do_get_vector,
	.set_vector = do_set_vector,
	.special = do_special,
};

/*
 * What must not run natively here: it would leave the sandbox, or depends on tables that we cannot
 * see.
 */
static bool may_run(const struct emulate_insn *insn)
{
	/*
	 * MOVBE with both 66 and REX.W does odd things to addresses on Intel's server CPUs: it
	 * forgets GS, and more
	 */
	if (!amd && insn->op == INSN_MOVBE && (insn->prefixes & PREFIX_OPSIZE) &&
	    (insn->rex & REX_W))
		return false;
	/* our own thread-local storage */
	if (insn->segment == SEG_FS && machine.mode == NATIVE_64)
		return false;
	switch (insn->op) {
	case INSN_IN ... INSN_OUT:
	case INSN_INS ... INSN_OUTS:
		return true;
	case INSN_ADD ... INSN_STOS:
	case INSN_LODS ... INSN_SCAS:
		return insn->op != INSN_MOVDIRI && insn->op != INSN_MOVDIR64B;
	case INSN_PUSH ... INSN_PUSH_SEG:
	case INSN_ENTER ... INSN_JCXZ:
	case INSN_BOUND ... INSN_PAUSE:
	case INSN_MOV_FROM_SEG:
	case INSN_ARPL:
	case INSN_LLDT ... INSN_LTR:
	case INSN_LGDT ... INSN_RDGSBASE:
	case INSN_SWAPGS:
	case INSN_CLI ... INSN_CLTS:
	case INSN_LMSW ... INSN_MOV_TO_DR:
	case INSN_RDMSR ... INSN_WRMSR:
	case INSN_SYSRET:
	case INSN_SYSEXIT:
	case INSN_INVLPG ... INSN_CLFLUSH:
	case INSN_VMOV ... INSN_VMOV_QWORD:
	case INSN_VZEROUPPER:
		return true;
	default:
		return false;
	}
}

static void randomise(u8 *bytes, unsigned int count)
{
	u64 value;

	for (; count >= 8; count -= 8, bytes += 8) {
		value = random64();
		memcpy(bytes, &value, 8);
	}
	value = random64();
	memcpy(bytes, &value, count);
}

static const u8 edges[] = { 0, 0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 100 };

/* Numbers that matter: addresses around pages' ends, small numbers, extremes. */
static u64 random_register(void)
{
	u64 base = NATIVE_DATA + PAGE * pick(4);

	switch (pick(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		return NATIVE_DATA + 0x40 + (random64() & 0x1fbf);
	case 4:
		return NATIVE_DATA + 0x40 + (random64() & 0x1f80);
	case 5:
		return base - 32 + pick(40);
	case 6:
		return edges[pick(sizeof(edges))];
	case 7:
		return -(u64)edges[pick(sizeof(edges))];
	case 8:
		return (0x8000000000000000ull >> 8 * pick(8)) - pick(2);
	case 9:
		return 0x00007ffffffff000ull + pick(0x2000);
	default:
		return random64();
	}
}

static void random_registers(struct native_state *state)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		state->gpr[i] = random_register();
	if (pick(8))
		state->gpr[GPR_RSP] =
			NATIVE_DATA + 0x100 + (random64() & (pick(2) ? 0x1ff8 : 0x1fff));
	if (pick(4))
		state->gpr[GPR_RSI] = NATIVE_DATA + (random64() & 0x1fff);
	if (pick(4))
		state->gpr[GPR_RDI] = NATIVE_DATA + (random64() & 0x1fff);
	state->rflags =
		(random64() & FLAGS_STATUS) | FLAG_FIXED | FLAG_IF | (pick(2) ? 0 : FLAG_DF);
	randomise(state->vector[0], sizeof(state->vector));
}

/* In 16-bit code addresses are offsets from a base. */
static void narrow_registers(struct native_state *state, enum native_mode mode)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		state->gpr[i] = (u32)state->gpr[i];
		if (mode == NATIVE_16 && i != GPR_RSP && state->gpr[i] >= NATIVE_BASE16 &&
		    state->gpr[i] < NATIVE_BASE16 + 0x20000)
			state->gpr[i] = (state->gpr[i] - NATIVE_BASE16) >> pick(2);
	}
	for (i = 8; i < 16; i++)
		state->gpr[i] = 0;
}

static unsigned int put_prefixes(u8 *p, enum native_mode mode)
{
	static const u8 prefixes[] = { 0x66, 0x66, 0x66, 0x67, 0xf2, 0xf3,
				       0xf3, 0xf0, 0x65, 0x65, 0x2e, 0x36 };
	unsigned int at = 0;

	while (at < 4 && !pick(3))
		p[at++] = prefixes[pick(sizeof(prefixes))];
	if (mode == NATIVE_64 && pick(2))
		p[at++] = 0x40 | pick(16);
	return at;
}

static unsigned int put_opcode(u8 *p, enum native_mode mode)
{
	static const u8 bmi[] = { 0xf2, 0xf3, 0xf5, 0xf6, 0xf7 };
	unsigned int kind = pick(32);

	if (kind < 16) {
		p[0] = random64() >> 40;
		return 1;
	}
	p[0] = 0x0f;
	if (kind < 26) {
		p[1] = random64() >> 40;
		return 2;
	}
	if (kind < 28) {
		p[1] = 0x38;
		p[2] = 0xf0 + pick(8);
		return 3;
	}
	p[0] = 0xc4;
	p[1] = (mode == NATIVE_64 ? random64() & 0xe0 : 0xe0) | (kind < 31 ? 2 : 1);
	p[2] = (pick(2) ? 0x78 : random64() & 0xf8) | (pick(2) ? 4 * pick(2) : 0) | pick(4);
	p[3] = kind < 31 ? bmi[pick(sizeof(bmi))] : random64() >> 40;
	return 4;
}

/* A random instruction that may run natively; its length. */
static unsigned int random_instruction(struct emulate_ctxt *ctxt, u8 *code, enum native_mode mode)
{
	unsigned int at, modrm;
	s32 disp;

	for (;;) {
		randomise(code, 16);
		at = put_prefixes(code, mode);
		at += put_opcode(code + at, mode);
		modrm = at;
		memcpy(ctxt->bytes, code, 15);
		ctxt->n_bytes = 15;
		if (emulate_decode(ctxt) != EMULATE_DONE || !may_run(&ctxt->insn))
			continue;
		if (ctxt->insn.memory &&
		    (ctxt->insn.base == INSN_BASE_RIP || ctxt->insn.base == INSN_NO_REGISTER) &&
		    ctxt->insn.address_size > 2 &&
		    (ctxt->insn.opcode_entry->flags & I_MASK) != I_MOFFS) {
			disp = NATIVE_DATA + (random64() & 0x1fff);
			if (ctxt->insn.base == INSN_BASE_RIP)
				disp -= (s32)ctxt->insn.next_rip;
			modrm += (code[modrm] & 7) == 4 ? 2 : 1;
			memcpy(code + modrm, &disp, 4);
			memcpy(ctxt->bytes, code, 15);
			if (emulate_decode(ctxt) != EMULATE_DONE || !may_run(&ctxt->insn))
				continue;
		} else if ((ctxt->insn.opcode_entry->flags & I_MASK) == I_MOFFS &&
			   ctxt->insn.address_size > 2) {
			u64 address = NATIVE_DATA + (random64() & 0x1fff);

			memcpy(code + ctxt->insn.length - ctxt->insn.address_size, &address,
			       ctxt->insn.address_size);
			memcpy(ctxt->bytes, code, 15);
			if (emulate_decode(ctxt) != EMULATE_DONE || !may_run(&ctxt->insn))
				continue;
		}
		return ctxt->insn.length;
	}
}

/* Flags that the SDM leaves undefined, and that we do not get from the CPU itself. */
static u64 undefined_flags(const struct emulate_ctxt *ctxt)
{
	const struct emulate_insn *insn = &ctxt->insn;

	switch (insn->op) {
	case INSN_ROL ... INSN_SAR:
		/* the CPU's forms with CL and with an immediate differ here */
		return (ctxt->src.value & (insn->operand_size == 8 ? 63 : 31)) > 1 ? FLAG_OF : 0;
	case INSN_MUL:
	case INSN_IMUL1:
		return FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
	case INSN_DIV:
	case INSN_IDIV:
		return FLAGS_STATUS;
	case INSN_TZCNT:
	case INSN_LZCNT:
		return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
	case INSN_ANDN:
	case INSN_BLSR ... INSN_BZHI:
		return FLAG_AF | FLAG_PF;
	case INSN_BEXTR:
		return FLAG_SF | FLAG_AF | FLAG_PF;
	case INSN_AAA:
	case INSN_AAS:
		return FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF;
	case INSN_AAM:
	case INSN_AAD:
		return FLAG_OF | FLAG_AF | FLAG_CF;
	case INSN_DAA:
	case INSN_DAS:
		return FLAG_OF;
	default:
		return 0;
	}
}

static u64 counts[INSN_COUNT], skipped, faults;
static unsigned int shown;

static void dump(const char *what, const struct emulate_ctxt *ctxt,
		 const struct native_state *before, const struct native_state *after,
		 enum emulate_status status)
{
	unsigned int i;

	if (shown++ >= 40)
		return;
	printf("# %s, mode %u, op %u:", what, machine.mode, ctxt->insn.op);
	for (i = 0; i < ctxt->insn.length; i++)
		printf(" %02x", ctxt->bytes[i]);
	printf("\n#   native: trap %d error %llx cr2 %llx rip %llx flags %llx\n"
	       "#   emulated: status %d vector %u error %x cr2 %llx rip %llx flags %llx (%llx)\n",
	       after->trap, (long long)after->error, (long long)after->cr2, (long long)after->rip,
	       (long long)after->rflags, status, ctxt->fault.vector, ctxt->fault.error,
	       (long long)ctxt->fault.address, (long long)ctxt->rip, (long long)ctxt->rflags,
	       (long long)before->rflags);
	for (i = 0; i < 16; i++)
		if (after->gpr[i] != ctxt->gpr[i])
			printf("#   gpr %u: before %llx native %llx emulated %llx\n", i,
			       (long long)before->gpr[i], (long long)after->gpr[i],
			       (long long)ctxt->gpr[i]);
	for (i = 0; i < 16; i++)
		printf("%s%llx%s", i ? " " : "#   before: ", (long long)before->gpr[i],
		       i == 15 ? "\n" : "");
}

/* Did the native run end as the emulator says? */
static const char *disagreement(const struct emulate_ctxt *ctxt, enum emulate_status status,
				struct native_state *after, u64 start)
{
	/* a jump to where nothing can run has completed as well */
	bool completed = after->trap == 3 || after->rip != start;
	u64 ignored = FLAG_RF | (status == EMULATE_DONE ? undefined_flags(ctxt) : 0);

	if (completed != (status == EMULATE_DONE))
		return "only one faults";
	if (after->rip != ctxt->rip)
		return "RIP";
	/* a POPA that faults leaves registers popped; we do not */
	if (ctxt->insn.op == INSN_POPA && !completed)
		memcpy(after->gpr, ctxt->gpr, sizeof(after->gpr));
	if (memcmp(after->gpr, ctxt->gpr, sizeof(after->gpr)))
		return "registers";
	if ((after->rflags ^ ctxt->rflags) & ~ignored)
		return "flags";
	if (memcmp(after->vector, machine.vector, sizeof(after->vector)))
		return "vector registers";
	if (memcmp((void *)NATIVE_DATA, machine.data, NATIVE_WRITABLE))
		return "memory";
	if (completed)
		return NULL;
	if (after->trap != ctxt->fault.vector)
		return "exception";
	if (ctxt->fault.has_error && after->error != ctxt->fault.error)
		return "error code";
	if (after->trap == VECTOR_PF && after->cr2 != ctxt->fault.address)
		return "CR2";
	return NULL;
}

/*
 * Natively it would loop, run other bytes, or come back with flags that the test itself cannot
 * bear.
 */
static bool is_unsafe(const struct emulate_ctxt *ctxt, enum emulate_status status, u64 start)
{
	u64 base = machine.mode == NATIVE_16 ? NATIVE_BASE16 : 0;

	if (status == EMULATE_UNSUPPORTED || status == EMULATE_ERROR)
		return true;
	if (status == EMULATE_DONE && ctxt->rip != ctxt->insn.next_rip &&
	    ((ctxt->rip >= start && ctxt->rip < ctxt->insn.next_rip + NATIVE_EXIT_SIZE) ||
	     is_ours(base + ctxt->rip, 1)))
		return true;
	return (ctxt->rflags & (FLAG_TF | FLAG_AC | FLAG_NT)) != 0;
}

static bool run_case(enum native_mode mode)
{
	static const u8 modes[] = { EMULATE_LONG64, EMULATE_PROT32, EMULATE_PROT16 };
	u64 base = mode == NATIVE_16 ? NATIVE_BASE16 : 0, start = NATIVE_CODE - base + INSN_AT;
	struct emulate_ctxt ctxt = {
		.ops = &ops, .mode = modes[mode], .linear_bits = 48, .amd = amd, .cpl = 3,
		.rip = start
	};
	u8 *code = (u8 *)NATIVE_CODE + INSN_AT;
	struct native_state before, after;
	enum emulate_status status;
	u8 bytes[16], pio[64];
	unsigned int length;
	const char *wrong;

	machine.mode = mode;
	ctxt.pio_data = pio;
	ctxt.pio_size = sizeof(pio);
	length = random_instruction(&ctxt, bytes, mode);
	memcpy(code, bytes, length);
	machine.exit = (u64)code + length;
	random_registers(&before);
	if (ctxt.insn.op >= INSN_MOVS && ctxt.insn.op <= INSN_OUTS &&
	    (ctxt.insn.prefixes & (PREFIX_REP | PREFIX_REPNE)))
		before.gpr[GPR_RCX] = (before.gpr[GPR_RCX] & ~0xffffffffull) | pick(20);
	if (mode != NATIVE_64)
		narrow_registers(&before, mode);
	if (ctxt.insn.address_size == 8)
		before.gpr[GPR_RCX] =
			before.gpr[GPR_RCX] &
			((ctxt.insn.prefixes & (PREFIX_REP | PREFIX_REPNE)) ? 31 : ~0ull);
	before.rip = start;
	memcpy(ctxt.gpr, before.gpr, sizeof(ctxt.gpr));
	ctxt.rflags = before.rflags;
	memcpy(machine.data, template, sizeof(template));
	memcpy((void *)NATIVE_DATA, template, sizeof(template));
	memcpy(machine.vector, before.vector, sizeof(machine.vector));

	status = emulate_execute(&ctxt);
	if (is_unsafe(&ctxt, status, start)) {
		skipped++;
		memset(code, 0xcc, length);
		return true;
	}
	after = before;
	native_run(mode, &after, length);
	memset(code, 0xcc, length);
	counts[ctxt.insn.op]++;
	faults += status == EMULATE_FAULT;
	wrong = disagreement(&ctxt, status, &after, start);
	if (wrong)
		dump(wrong, &ctxt, &before, &after, status);
	return !wrong;
}

static int run_mode(enum native_mode mode, u64 cases, u64 seed)
{
	static const char *const names[] = { "64-bit", "32-bit", "16-bit" };
	u64 wrong = 0, i;
	unsigned int op, kinds = 0;

	random_state = seed + mode;
	randomise(template, sizeof(template));
	for (i = 0; i < cases; i++) {
		if (!(i & 0xfff))
			randomise(template, sizeof(template));
		wrong += !run_case(mode);
	}
	for (op = 0; op < INSN_COUNT; op++)
		kinds += counts[op] > 0;
	tap_ok(!wrong,
	       "%s: %llu cases (%llu faults, %u kinds of instruction, %llu not run), %llu disagree",
	       names[mode], (unsigned long long)(cases - skipped), (unsigned long long)faults,
	       kinds, (unsigned long long)skipped, (unsigned long long)wrong);
	memset(counts, 0, sizeof(counts));
	skipped = faults = 0;
	return wrong ? 1 : 0;
}

/* AMD's, or Hygon's. */
static bool cpu_is_amd(void)
{
	u32 leaf, name[3];

	__cpuid(0, leaf, name[0], name[2], name[1]);
	return !memcmp(name, "AuthenticAMD", 12) || !memcmp(name, "HygonGenuine", 12);
}

int main(int argc, char **argv)
{
	u64 cases = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x6f6b766d;

	if (!tap_ok(native_init(), "set up the sandbox"))
		return tap_done();
	amd = cpu_is_amd();
	if (getauxval(AT_HWCAP2) & 2)
		cr4 |= CR4_FSGSBASE_BIT;
	memcpy(machine.data, (void *)NATIVE_DATA, sizeof(machine.data));
	run_mode(NATIVE_64, cases, seed);
	run_mode(NATIVE_32, cases / 4, seed);
	if (native_has_mode(NATIVE_16))
		run_mode(NATIVE_16, cases / 4, seed);
	return tap_done();
}
