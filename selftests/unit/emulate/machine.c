// SPDX-License-Identifier: GPL-2.0-only
#include "machine.h"

static struct machine *of(struct emulate_ctxt *ctxt)
{
	return ctxt->owner;
}

static struct event *note(struct machine *m, enum event_kind kind, u64 address, u32 size, u32 count,
			  u64 value)
{
	static struct event dropped;
	struct event *event = m->n_events < 64 ? &m->events[m->n_events++] : &dropped;

	*event = (struct event){ kind, address, size, count, value };
	return event;
}

static enum emulate_status page_fault(struct emulate_ctxt *ctxt, u64 linear, bool write,
				      bool present, unsigned int access)
{
	bool user = ctxt->cpl == 3 && !(access & EMULATE_ACCESS_SYSTEM);

	emulate_raise_error(ctxt, VECTOR_PF, present | write << 1 | user << 2);
	ctxt->fault.address = linear;
	return EMULATE_FAULT;
}

static bool is_mmio(u64 linear)
{
	return linear >= MMIO_BASE && linear < MMIO_BASE + MMIO_SIZE;
}

static enum emulate_status check(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
				 bool write, unsigned int access)
{
	unsigned int i;

	for (i = 0; i < len; i++) {
		u64 at = linear + i;

		if (!is_mmio(at) && at >= RAM_SIZE)
			return page_fault(ctxt, at, write, false, access);
		if (write && at >= READ_ONLY && at < RAM_SIZE)
			return page_fault(ctxt, at, write, true, access);
	}
	return EMULATE_DONE;
}

static enum emulate_status do_fetch(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				    unsigned int len)
{
	if (linear + len > RAM_SIZE || linear + len < linear) {
		emulate_raise_error(ctxt, VECTOR_PF, 0x10 | (ctxt->cpl == 3) << 2);
		ctxt->fault.address = linear;
		return EMULATE_FAULT;
	}
	memcpy(buf, of(ctxt)->ram + linear, len);
	return EMULATE_DONE;
}

/* Like the hypervisor's: the pieces in memory and in MMIO each go their way. */
static enum emulate_status do_read(struct emulate_ctxt *ctxt, u64 linear, void *buf,
				   unsigned int len, unsigned int access)
{
	struct machine *m = of(ctxt);
	enum emulate_status status =
		check(ctxt, linear, len, access & EMULATE_ACCESS_WRITE, access);
	unsigned int done, piece;

	if (status != EMULATE_DONE)
		return status;
	if ((access & EMULATE_ACCESS_BATCH) && is_mmio(linear))
		return EMULATE_UNSUPPORTED;
	for (done = 0; done < len; done += piece) {
		u64 at = linear + done;

		piece = 1;
		while (done + piece < len && is_mmio(at + piece) == is_mmio(at) &&
		       (!is_mmio(at) || piece < 8))
			piece++;
		if (!is_mmio(at)) {
			memcpy((u8 *)buf + done, m->ram + at, piece);
			continue;
		}
		if (m->next_answer == m->n_answers) {
			note(m, EVENT_MMIO_READ, at, piece, 1, 0);
			return EMULATE_PENDING;
		}
		memcpy((u8 *)buf + done, &m->answers[m->next_answer++], piece);
	}
	return EMULATE_DONE;
}

static enum emulate_status do_write(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				    unsigned int len, unsigned int access)
{
	struct machine *m = of(ctxt);
	enum emulate_status status = check(ctxt, linear, len, true, access);
	unsigned int i;
	u64 value = 0;

	if (status != EMULATE_DONE)
		return status;
	if ((access & EMULATE_ACCESS_BATCH) && is_mmio(linear))
		return EMULATE_UNSUPPORTED;
	for (i = 0; i < len; i++)
		if (!is_mmio(linear + i))
			m->ram[linear + i] = ((const u8 *)buf)[i];
	if (is_mmio(linear) || is_mmio(linear + len - 1)) {
		memcpy(&value, buf, len < 8 ? len : 8);
		note(m, EVENT_MMIO_WRITE, linear, len, 1, value);
		ctxt->stop_rep |= m->stop_on_write;
	}
	return EMULATE_DONE;
}

static enum emulate_status do_probe(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
				    unsigned int access)
{
	if ((access & EMULATE_ACCESS_BATCH) && is_mmio(linear))
		return EMULATE_UNSUPPORTED;
	return check(ctxt, linear, len, true, access);
}

static enum emulate_status do_cmpxchg(struct emulate_ctxt *ctxt, u64 linear, void *old,
				      const void *new, unsigned int len, unsigned int access,
				      bool *swapped)
{
	struct machine *m = of(ctxt);
	enum emulate_status status = check(ctxt, linear, len, true, access);

	if (status != EMULATE_DONE)
		return status;
	note(m, EVENT_CMPXCHG, linear, len, 1, 0);
	*swapped = true;
	if (is_mmio(linear))
		return do_write(ctxt, linear, new, len, access);
	if (m->lose_races || memcmp(m->ram + linear, old, len)) {
		*swapped = false;
		memcpy(old, m->ram + linear, len);
		return EMULATE_DONE;
	}
	memcpy(m->ram + linear, new, len);
	return EMULATE_DONE;
}

static enum emulate_status do_pio_in(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				     unsigned int count, void *buf)
{
	struct machine *m = of(ctxt);
	unsigned int i;

	if (m->next_answer == m->n_answers) {
		note(m, EVENT_IN, port, size, count, 0);
		return EMULATE_PENDING;
	}
	for (i = 0; i < count; i++) {
		u64 value = m->answers[m->next_answer] + i;

		memcpy((u8 *)buf + i * size, &value, size);
	}
	m->next_answer++;
	return EMULATE_DONE;
}

static enum emulate_status do_pio_out(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				      unsigned int count, const void *buf)
{
	u64 value = 0;

	memcpy(&value, buf, size * count < 8 ? size * count : 8);
	note(of(ctxt), EVENT_OUT, port, size, count, value);
	return EMULATE_DONE;
}

static void do_get_segment(struct emulate_ctxt *ctxt, unsigned int reg,
			   struct emulate_segment *segment)
{
	*segment = of(ctxt)->segments[reg];
}

static enum emulate_status do_set_segment(struct emulate_ctxt *ctxt, unsigned int reg,
					  const struct emulate_segment *segment)
{
	of(ctxt)->segments[reg] = *segment;
	return EMULATE_DONE;
}

static void do_get_table(struct emulate_ctxt *ctxt, enum emulate_table_register reg,
			 struct emulate_table *table)
{
	*table = of(ctxt)->tables[reg];
}

static void do_set_table(struct emulate_ctxt *ctxt, enum emulate_table_register reg,
			 const struct emulate_table *table)
{
	of(ctxt)->tables[reg] = *table;
}

static u64 do_get_cr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	return of(ctxt)->cr[reg];
}

static enum emulate_status do_set_cr(struct emulate_ctxt *ctxt, unsigned int reg, u64 value)
{
	of(ctxt)->cr[reg] = value;
	return EMULATE_DONE;
}

static u64 do_get_dr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	return of(ctxt)->dr[reg];
}

static enum emulate_status do_set_dr(struct emulate_ctxt *ctxt, unsigned int reg, u64 value)
{
	of(ctxt)->dr[reg] = value;
	return EMULATE_DONE;
}

static u64 *find_msr(struct machine *m, u32 index)
{
	switch (index) {
	case IA32_EFER:
		return &m->msr_efer;
	case IA32_STAR:
		return &m->msr_star;
	case IA32_LSTAR:
	case IA32_CSTAR:
		return &m->msr_lstar;
	case IA32_SFMASK:
		return &m->msr_sfmask;
	case IA32_SYSENTER_CS:
	case IA32_SYSENTER_ESP:
	case IA32_SYSENTER_EIP:
		return &m->msr_sysenter[index - IA32_SYSENTER_CS];
	case IA32_KERNEL_GS_BASE:
		return &m->msr_kernel_gs;
	default:
		return NULL;
	}
}

static enum emulate_status do_get_msr(struct emulate_ctxt *ctxt, u32 index, u64 *value)
{
	const u64 *msr = find_msr(of(ctxt), index);

	if (index == IA32_TSC_AUX)
		return *value = 7, EMULATE_DONE;
	if (!msr)
		return emulate_raise_error(ctxt, VECTOR_GP, 0);
	*value = *msr;
	return EMULATE_DONE;
}

static enum emulate_status do_set_msr(struct emulate_ctxt *ctxt, u32 index, u64 value)
{
	u64 *msr = find_msr(of(ctxt), index);

	if (!msr)
		return emulate_raise_error(ctxt, VECTOR_GP, 0);
	*msr = value;
	return EMULATE_DONE;
}

static enum emulate_status do_cpuid(struct emulate_ctxt *ctxt, u32 regs[4])
{
	u32 leaf = regs[0];

	(void)ctxt;
	regs[0] = leaf + 1;
	regs[1] = leaf + 2;
	regs[2] = leaf + 3;
	regs[3] = leaf + 4;
	return EMULATE_DONE;
}

static enum emulate_status do_read_tsc(struct emulate_ctxt *ctxt, u64 *value)
{
	(void)ctxt;
	*value = 0x123456789a;
	return EMULATE_DONE;
}

static enum emulate_status do_read_pmc(struct emulate_ctxt *ctxt, u32 index, u64 *value)
{
	if (index > 3)
		return emulate_raise_error(ctxt, VECTOR_GP, 0);
	*value = 0x500000000 + index;
	return EMULATE_DONE;
}

static u8 *find_vector(struct machine *m, unsigned int reg)
{
	return reg >= EMULATE_MMX ? m->mmx[reg - EMULATE_MMX] : m->vectors[reg];
}

static enum emulate_status do_get_vector(struct emulate_ctxt *ctxt, unsigned int reg, void *buf,
					 unsigned int len)
{
	memcpy(buf, find_vector(of(ctxt), reg), len);
	return EMULATE_DONE;
}

static enum emulate_status do_set_vector(struct emulate_ctxt *ctxt, unsigned int reg,
					 const void *buf, unsigned int len, bool zero_upper)
{
	u8 *vector = find_vector(of(ctxt), reg);

	memcpy(vector, buf, len);
	if (zero_upper && reg < EMULATE_MMX)
		memset(vector + len, 0, 64 - len);
	return EMULATE_DONE;
}

static enum emulate_status do_special(struct emulate_ctxt *ctxt, enum emulate_special kind,
				      u64 operand)
{
	note(of(ctxt), EVENT_SPECIAL, operand, kind, 1, ctxt->special_arg);
	return EMULATE_DONE;
}

const struct emulate_ops machine_ops = {
	.fetch = do_fetch,
	.read = do_read,
	.write = do_write,
	.probe_write = do_probe,
	.compare_exchange = do_cmpxchg,
	.pio_in = do_pio_in,
	.pio_out = do_pio_out,
	.get_segment = do_get_segment,
	.set_segment = do_set_segment,
	.get_table = do_get_table,
	.set_table = do_set_table,
	.get_cr = do_get_cr,
	.set_cr = do_set_cr,
	.get_dr = do_get_dr,
	.set_dr = do_set_dr,
	.get_msr = do_get_msr,
	.set_msr = do_set_msr,
	.cpuid = do_cpuid,
	.read_tsc = do_read_tsc,
	.read_pmc = do_read_pmc,
	.get_vector = do_get_vector,
	.set_vector = do_set_vector,
	.special = do_special,
};

#define DATA (SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED)

/* Code at 0x1000, stack below 0x8000, GDT at 0x2000, IDT at 0x2800, TSS at 0x3000; CPL 0. */
void machine_init(struct machine *m, enum emulate_mode mode)
{
	bool small = mode == EMULATE_REAL || mode == EMULATE_VM86;
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->ctxt.ops = &machine_ops;
	m->ctxt.owner = m;
	m->ctxt.pio_data = m->pio;
	m->ctxt.pio_size = sizeof(m->pio);
	m->ctxt.mode = mode;
	m->ctxt.linear_bits = 48;
	m->ctxt.cpl = mode == EMULATE_VM86 ? 3 : 0;
	m->ctxt.rip = 0x1000;
	m->ctxt.rflags = FLAG_FIXED | (mode == EMULATE_VM86 ? FLAG_VM : 0);
	m->ctxt.gpr[GPR_RSP] = 0x8000;
	for (i = 0; i <= SEG_GS; i++) {
		m->segments[i].attributes = DATA | (small ? 0 : SEG_DB | SEG_G);
		m->segments[i].limit = small ? 0xffff : 0xffffffff;
		m->segments[i].selector = small ? 0 : 0x10;
	}
	m->segments[SEG_CS].attributes |= SEG_TYPE_CODE;
	m->segments[SEG_CS].selector = small ? 0 : 8;
	if (mode == EMULATE_LONG64)
		m->segments[SEG_CS].attributes ^= SEG_DB | SEG_L;
	if (mode == EMULATE_PROT16)
		m->segments[SEG_CS].attributes &= ~SEG_DB;
	m->segments[SEG_TR] = (struct emulate_segment){
		.selector = 0x18, .attributes = SEG_P | 0xb, .limit = 0x67, .base = 0x3000
	};
	m->tables[TABLE_GDT] = (struct emulate_table){ .base = 0x2000, .limit = 0xff };
	m->tables[TABLE_IDT] = (struct emulate_table){ .base = small ? 0 : 0x2800, .limit = 0x3ff };
	m->cr[0] = mode == EMULATE_REAL ? 0x10 : 0x11;
	m->cr[4] = CR4_OSFXSR_BIT | CR4_OSXSAVE_BIT | CR4_FSGSBASE_BIT;
	m->cr[EMULATE_XCR0] = 7;
	m->msr_efer = mode == EMULATE_LONG64 ? 0x501 : 1;
}

void machine_code(struct machine *m, const void *code, unsigned int length)
{
	u64 at = m->ctxt.rip + (m->ctxt.mode == EMULATE_LONG64 ? 0 : m->segments[SEG_CS].base);

	memcpy(m->ram + at, code, length);
	m->ctxt.n_bytes = 0;
}

/* Decode and execute; answers are there again from the first. */
enum emulate_status machine_step(struct machine *m)
{
	enum emulate_status status;

	m->next_answer = 0;
	m->ctxt.n_bytes = 0;
	status = emulate_decode(&m->ctxt);
	return status == EMULATE_DONE ? emulate_execute(&m->ctxt) : status;
}

void machine_put(struct machine *m, u64 address, u64 value, unsigned int size)
{
	memcpy(m->ram + address, &value, size);
}

u64 machine_get(struct machine *m, u64 address, unsigned int size)
{
	u64 value = 0;

	memcpy(&value, m->ram + address, size);
	return value;
}

/* A descriptor; @limit as it stands in it. */
u64 descriptor64(u32 base, u32 limit, u16 attributes)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attributes & 0xff) << 40 |
	       (u64)(limit >> 16 & 0xf) << 48 | (u64)(attributes >> 8 & 0xf) << 52 |
	       (u64)(base >> 24) << 56;
}
