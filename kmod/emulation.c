// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the emulator (emulate/) on a vCPU: its callbacks, and what follows from its answer.
 */
#include <linux/kvm.h>
#include <linux/module.h>
#include <asm/fpu/api.h>

#include "io.h"
#include "msr_filter.h"
#include "regs.h"
#include "vmm.h"

/*
 * UD2 with these bytes behind it has the instruction that follows emulated: a guest's way to test
 * the emulator. Bit 0: look for it; bit 1: the instruction begins with RFLAGS.RF clear.
 */
static int force_emulation_prefix;
module_param(force_emulation_prefix, int, 0644);
MODULE_PARM_DESC(force_emulation_prefix, "UD2 'k' 'v' 'm' has the next instruction emulated");

#define FORCE_EMULATION		BIT(0)
#define FORCE_WITHOUT_RF	BIT(1)

static const u8 prefix[] = { 0x0f, 0x0b, 'k', 'v', 'm' };

static struct okvm_vcpu *owner(struct emulate_ctxt *ctxt)
{
	return ctxt->owner;
}

static enum emulate_status raise_walk_fault(struct emulate_ctxt *ctxt,
					    const struct okvm_walk_fault *fault)
{
	emulate_raise_error(ctxt, fault->vector, fault->error);
	ctxt->fault.address = fault->address;
	return EMULATE_FAULT;
}

static u32 walk_access(struct emulate_ctxt *ctxt, unsigned int access)
{
	u32 walk = access & EMULATE_ACCESS_WRITE ? ACCESS_WRITE : ACCESS_READ;

	if (access & EMULATE_ACCESS_SYSTEM)
		walk |= ACCESS_IMPLICIT;
	else if (ctxt->cpl == 3)
		walk |= ACCESS_USER;
	return walk;
}

static enum emulate_status from_io(enum okvm_io_status status)
{
	switch (status) {
	case IO_DONE:
		return EMULATE_DONE;
	case IO_PENDING:
		return EMULATE_PENDING;
	default:
		return EMULATE_UNSUPPORTED;
	}
}

/*
 * One or two runs of bytes, each within a page, that a linear range is made of; @no_ram: the CPU
 * found none that takes this access.
 */
struct run {
	gpa_t gpa;
	unsigned int len;
	bool no_ram;
};

/*
 * Is this the access that exited? Then the CPU has translated it, and checked its rights. What it
 * says is the page; that the offset is the same tells the operand from another one.
 */
static bool translated_by_cpu(struct okvm_touched *touched, u64 linear, unsigned int len, u32 walk)
{
	bool write = walk & ACCESS_WRITE;

	if (!touched->valid || (walk & ACCESS_IMPLICIT) || (write && !touched->write) ||
	    offset_in_page(linear ^ touched->gpa) || offset_in_page(linear) + len > PAGE_SIZE ||
	    (touched->linear && touched->linear != linear))
		return false;
	touched->linear = linear;
	return true;
}

/* Translate all of it before any of it is touched. */
static enum emulate_status translate(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
				     u32 walk, struct run runs[2], int *n)
{
	struct okvm_touched *touched = &owner(ctxt)->touched;
	struct okvm_walk_fault fault;
	int i = 0;

	if (translated_by_cpu(touched, linear, len, walk)) {
		runs[0].gpa = touched->gpa;
		runs[0].len = len;
		runs[0].no_ram = touched->write == !!(walk & ACCESS_WRITE);
		*n = 1;
		return EMULATE_DONE;
	}
	while (len) {
		runs[i].no_ram = false;
		runs[i].len = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(linear));
		if (okvm_translate(owner(ctxt), linear, walk, &runs[i].gpa, &fault))
			return raise_walk_fault(ctxt, &fault);
		linear += runs[i].len;
		len -= runs[i].len;
		i++;
	}
	*n = i;
	return EMULATE_DONE;
}

static enum emulate_status fetch(struct emulate_ctxt *ctxt, u64 linear, void *buf, unsigned int len)
{
	struct okvm_walk_fault fault;
	int r = okvm_fetch(owner(ctxt), linear, buf, len, ctxt->cpl == 3, &fault);

	if (r > 0)
		return raise_walk_fault(ctxt, &fault);
	return r ? EMULATE_UNSUPPORTED : EMULATE_DONE;
}

static bool may_be_ram(struct okvm_vcpu *vcpu, const struct run *run)
{
	return !run->no_ram && !okvm_lapic_at(vcpu, run->gpa);
}

static enum emulate_status read_run(struct emulate_ctxt *ctxt, const struct run *run, void *buf,
				    bool batch)
{
	struct okvm_vcpu *vcpu = owner(ctxt);

	if (may_be_ram(vcpu, run) && !okvm_read_guest(vcpu, run->gpa, buf, run->len))
		return EMULATE_DONE;
	if (batch)
		return EMULATE_UNSUPPORTED;
	/* The next iteration's reads must not find this one's data. */
	ctxt->stop_rep = true;
	return from_io(okvm_io_mmio_read(vcpu, run->gpa, run->len, buf));
}

static enum emulate_status read(struct emulate_ctxt *ctxt, u64 linear, void *buf, unsigned int len,
				unsigned int access)
{
	enum emulate_status status;
	struct run runs[2];
	int i, n;

	status = translate(ctxt, linear, len, walk_access(ctxt, access), runs, &n);
	for (i = 0; status == EMULATE_DONE && i < n; i++) {
		status = read_run(ctxt, &runs[i], buf, access & EMULATE_ACCESS_BATCH);
		buf += runs[i].len;
	}
	return status;
}

static enum emulate_status write_run(struct emulate_ctxt *ctxt, const struct run *run,
				     const void *buf, bool batch)
{
	struct okvm_vcpu *vcpu = owner(ctxt);
	enum emulate_status status;

	if (may_be_ram(vcpu, run) && !okvm_write_guest(vcpu, run->gpa, buf, run->len))
		return EMULATE_DONE;
	if (batch)
		return EMULATE_UNSUPPORTED;
	status = from_io(okvm_io_mmio_write(vcpu, run->gpa, run->len, buf));
	if (okvm_io_wants_user(vcpu))
		ctxt->stop_rep = true;
	return status;
}

static enum emulate_status write(struct emulate_ctxt *ctxt, u64 linear, const void *buf,
				 unsigned int len, unsigned int access)
{
	enum emulate_status status;
	struct run runs[2];
	int i, n;

	status = translate(ctxt, linear, len, walk_access(ctxt, access | EMULATE_ACCESS_WRITE),
			   runs, &n);
	for (i = 0; status == EMULATE_DONE && i < n; i++) {
		status = write_run(ctxt, &runs[i], buf, access & EMULATE_ACCESS_BATCH);
		buf += runs[i].len;
	}
	return status;
}

static enum emulate_status probe_write(struct emulate_ctxt *ctxt, u64 linear, unsigned int len,
				       unsigned int access)
{
	struct run runs[2];
	int n;

	return translate(ctxt, linear, len, walk_access(ctxt, access | EMULATE_ACCESS_WRITE),
			 runs, &n);
}

/* A locked access that crosses a page, or touches a device, cannot be atomic here. */
static enum emulate_status exchange_split(struct emulate_ctxt *ctxt, u64 linear, void *old,
					  const void *new, unsigned int len, unsigned int access,
					 bool *swapped)
{
	enum emulate_status status;
	u8 now[16];

	status = read(ctxt, linear, now, len, access | EMULATE_ACCESS_WRITE);
	if (status != EMULATE_DONE)
		return status;
	*swapped = !memcmp(now, old, len);
	if (*swapped)
		return write(ctxt, linear, new, len, access);
	memcpy(old, now, len);
	return EMULATE_DONE;
}

static enum emulate_status compare_exchange(struct emulate_ctxt *ctxt, u64 linear, void *old,
				   const void *new, unsigned int len, unsigned int access,
				   bool *swapped)
{
	struct okvm_vcpu *vcpu = owner(ctxt);
	enum emulate_status status;
	struct run runs[2];
	int n, r;

	status = translate(ctxt, linear, len, walk_access(ctxt, access | EMULATE_ACCESS_WRITE),
			   runs, &n);
	if (status != EMULATE_DONE)
		return status;
	if (n > 1 || !IS_ALIGNED(runs[0].gpa, len))
		return exchange_split(ctxt, linear, old, new, len, access, swapped);
	if (may_be_ram(vcpu, &runs[0])) {
		r = okvm_cmpxchg_guest(vcpu, runs[0].gpa, old, new, len);
		if (r >= 0) {
			*swapped = !r;
			return EMULATE_DONE;
		}
	}
	*swapped = true;
	return write_run(ctxt, &runs[0], new, false);
}

static enum emulate_status pio_in(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				  unsigned int count, void *buf)
{
	ctxt->stop_rep = true;
	return from_io(okvm_io_pio_read(owner(ctxt), port, size, count, buf));
}

static enum emulate_status pio_out(struct emulate_ctxt *ctxt, u16 port, unsigned int size,
				   unsigned int count, const void *buf)
{
	ctxt->stop_rep = true;
	okvm_io_pio_write(owner(ctxt), port, size, count, buf);
	return EMULATE_DONE;
}

static void get_segment(struct emulate_ctxt *ctxt, unsigned int reg, struct emulate_segment *seg)
{
	struct kvm_segment s;

	okvm_get_segment(owner(ctxt), &s, reg);
	seg->selector = s.selector;
	seg->base = s.base;
	seg->limit = s.limit;
	seg->attributes = s.type | s.s << 4 | s.dpl << SEG_DPL_SHIFT | s.avl << 8 | s.l << 9 |
			  s.db << 10 | s.g << 11;
	if (s.present && !s.unusable)
		seg->attributes |= SEG_P;
}

static enum emulate_status set_segment(struct emulate_ctxt *ctxt, unsigned int reg,
				       const struct emulate_segment *seg)
{
	struct kvm_segment s = {
		.selector = seg->selector, .base = seg->base, .limit = seg->limit,
		.type = seg->attributes & SEG_TYPE,
		.s = !!(seg->attributes & SEG_S),
		.dpl = (seg->attributes & SEG_DPL) >> SEG_DPL_SHIFT,
		.present = !!(seg->attributes & SEG_P),
		.unusable = !(seg->attributes & SEG_P),
		.avl = !!(seg->attributes & SEG_AVL),
		.l = !!(seg->attributes & SEG_L),
		.db = !!(seg->attributes & SEG_DB),
		.g = !!(seg->attributes & SEG_G),
	};

	okvm_set_segment(owner(ctxt), &s, reg);
	return EMULATE_DONE;
}

static void get_table(struct emulate_ctxt *ctxt, enum emulate_table_register reg,
		      struct emulate_table *table)
{
	struct kvm_dtable dt;

	okvm_backend->get_table(owner(ctxt), &dt, reg == TABLE_IDT);
	table->base = dt.base;
	table->limit = dt.limit;
}

static void set_table(struct emulate_ctxt *ctxt, enum emulate_table_register reg,
		      const struct emulate_table *table)
{
	struct kvm_dtable dt = { .base = table->base, .limit = table->limit };

	okvm_backend->set_table(owner(ctxt), &dt, reg == TABLE_IDT);
}

static enum emulate_status gp_if(struct emulate_ctxt *ctxt, int err)
{
	return err ? emulate_raise_error(ctxt, X86_TRAP_GP, 0) : EMULATE_DONE;
}

static u64 get_cr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	struct okvm_vcpu *vcpu = owner(ctxt);

	return reg == EMULATE_XCR0 ? vcpu->xcr0 : okvm_read_cr(vcpu, reg);
}

static enum emulate_status set_cr(struct emulate_ctxt *ctxt, unsigned int reg, u64 value)
{
	struct okvm_vcpu *vcpu = owner(ctxt);

	if (reg == EMULATE_XCR0)
		return gp_if(ctxt, okvm_set_xcr(vcpu, 0, value));
	return gp_if(ctxt, okvm_write_cr(vcpu, reg, value));
}

static u64 get_dr(struct emulate_ctxt *ctxt, unsigned int reg)
{
	unsigned long value = 0;

	okvm_get_dr(owner(ctxt), reg, &value);
	return value;
}

static enum emulate_status set_dr(struct emulate_ctxt *ctxt, unsigned int reg, u64 value)
{
	return gp_if(ctxt, okvm_set_dr(owner(ctxt), reg, value));
}

/* RDMSR and WRMSR are user space's to filter; what other instructions read and write is not. */
static enum emulate_status from_msr(struct emulate_ctxt *ctxt, int result)
{
	if (result != MSR_IN_USER)
		return gp_if(ctxt, result);
	/* What comes in the end steps over this instruction, not over the one that exited. */
	owner(ctxt)->exit.insn_len = 0;
	return EMULATE_PENDING;
}

static enum emulate_status get_msr(struct emulate_ctxt *ctxt, u32 index, u64 *value)
{
	if (emulate_is(ctxt, INSN_RDMSR))
		return from_msr(ctxt, okvm_guest_rdmsr(owner(ctxt), index, value));
	return gp_if(ctxt, okvm_get_msr(owner(ctxt), index, value, false));
}

static enum emulate_status set_msr(struct emulate_ctxt *ctxt, u32 index, u64 value)
{
	if (emulate_is(ctxt, INSN_WRMSR))
		return from_msr(ctxt, okvm_guest_wrmsr(owner(ctxt), index, value));
	return gp_if(ctxt, okvm_set_msr(owner(ctxt), index, value, false));
}

static enum emulate_status emulated_cpuid(struct emulate_ctxt *ctxt, u32 regs[4])
{
	u32 leaf = regs[0], subleaf = regs[1];

	if (owner(ctxt)->cpuid.faulting && ctxt->cpl)
		return gp_if(ctxt, 1);
	okvm_cpuid(owner(ctxt), leaf, subleaf, regs);
	return EMULATE_DONE;
}

static enum emulate_status read_tsc(struct emulate_ctxt *ctxt, u64 *value)
{
	*value = okvm_guest_tsc(owner(ctxt), rdtsc());
	return EMULATE_DONE;
}

static enum emulate_status read_pmc(struct emulate_ctxt *ctxt, u32 index, u64 *value)
{
	return gp_if(ctxt, 1);
}

#define FOR_EACH_VECTOR(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) \
	X(13) X(14) X(15)

static void store_xmm(unsigned int reg, void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("movdqu %%xmm" #n ", %0" : "=m"(*(u8 (*)[16])buf)); break;
	FOR_EACH_VECTOR(X)
#undef X
	}
}

static void load_xmm(unsigned int reg, const void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("movdqu %0, %%xmm" #n :: "m"(*(const u8 (*)[16])buf)); break;
	FOR_EACH_VECTOR(X)
#undef X
	}
}

static void store_ymm(unsigned int reg, void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("vmovdqu %%ymm" #n ", %0" : "=m"(*(u8 (*)[32])buf)); break;
	FOR_EACH_VECTOR(X)
#undef X
	}
}

static void load_ymm(unsigned int reg, const void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("vmovdqu %0, %%ymm" #n :: "m"(*(const u8 (*)[32])buf)); break;
	FOR_EACH_VECTOR(X)
#undef X
	}
}

static void load_xmm_zero_upper(unsigned int reg, const void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("vmovdqu %0, %%xmm" #n :: "m"(*(const u8 (*)[16])buf)); break;
	FOR_EACH_VECTOR(X)
#undef X
	}
}

#define FOR_EACH_UPPER_VECTOR(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) \
	X(27) X(28) X(29) X(30) X(31)

static void store_zmm(unsigned int reg, void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("vmovdqu64 %%zmm" #n ", %0" : "=m"(*(u8 (*)[64])buf)); break;
	FOR_EACH_VECTOR(X)
	FOR_EACH_UPPER_VECTOR(X)
#undef X
	}
}

static void load_zmm(unsigned int reg, const void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("vmovdqu64 %0, %%zmm" #n :: "m"(*(const u8 (*)[64])buf)); break;
	FOR_EACH_VECTOR(X)
	FOR_EACH_UPPER_VECTOR(X)
#undef X
	}
}

static void store_mmx(unsigned int reg, void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("movq %%mm" #n ", %0" : "=m"(*(u64 *)buf)); break;
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#undef X
	}
}

static void load_mmx(unsigned int reg, const void *buf)
{
	switch (reg) {
#define X(n) case n: asm volatile("movq %0, %%mm" #n :: "m"(*(const u64 *)buf)); break;
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#undef X
	}
}

/* During KVM_RUN the thread's FPU registers are the guest's; pin them to this CPU for a moment. */
static void guest_fpu_begin(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

static bool avx_usable(void)
{
	return boot_cpu_has(X86_FEATURE_AVX) && boot_cpu_has(X86_FEATURE_OSXSAVE);
}

static bool avx512_usable(void)
{
	return avx_usable() && boot_cpu_has(X86_FEATURE_AVX512F);
}

/* Those that only an EVEX prefix can name. */
static bool is_zmm(unsigned int reg, unsigned int len)
{
	return len == 64 || (reg >= 16 && reg < 32);
}

static bool vector_supported(unsigned int reg, unsigned int len)
{
	if (reg >= EMULATE_MMX)
		return len == 8;
	if (is_zmm(reg, len))
		return avx512_usable();
	return reg < 16 && (len <= 16 || (len == 32 && avx_usable()));
}

static enum emulate_status get_vector(struct emulate_ctxt *ctxt, unsigned int reg, void *buf,
				      unsigned int len)
{
	u8 whole[64];

	if (!vector_supported(reg, len))
		return EMULATE_UNSUPPORTED;
	guest_fpu_begin();
	if (reg >= EMULATE_MMX)
		store_mmx(reg - EMULATE_MMX, whole);
	else if (is_zmm(reg, len))
		store_zmm(reg, whole);
	else if (len == 32)
		store_ymm(reg, whole);
	else
		store_xmm(reg, whole);
	fpregs_unlock();
	memcpy(buf, whole, len);
	return EMULATE_DONE;
}

static enum emulate_status set_vector(struct emulate_ctxt *ctxt, unsigned int reg, const void *buf,
				      unsigned int len, bool zero_upper)
{
	u8 whole[64] = { 0 };

	if (!vector_supported(reg, len))
		return EMULATE_UNSUPPORTED;
	guest_fpu_begin();
	if (reg >= EMULATE_MMX)
		load_mmx(reg - EMULATE_MMX, buf);
	else if (is_zmm(reg, len))
		load_zmm(reg, memcpy(whole, buf, len));
	else if (len == 32)
		load_ymm(reg, buf);
	else if (zero_upper && avx_usable())
		load_xmm_zero_upper(reg, buf);
	else
		load_xmm(reg, buf);
	fpregs_unlock();
	return EMULATE_DONE;
}

static enum emulate_status special(struct emulate_ctxt *ctxt, enum emulate_special kind,
				   u64 operand)
{
	struct okvm_vcpu *vcpu = owner(ctxt);

	switch (kind) {
	case SPECIAL_INVD:
	case SPECIAL_WBINVD:
	case SPECIAL_CLFLUSH:
	case SPECIAL_PAUSE:
	case SPECIAL_MONITOR:
	case SPECIAL_MWAIT:
		return EMULATE_DONE;
	case SPECIAL_INVLPG:
	case SPECIAL_INVPCID:
		okvm_count(vcpu, invlpg);
		if (!okvm_hw.tdp && kind == SPECIAL_INVLPG)
			okvm_shadow_invlpg(vcpu, operand);
		okvm_request(vcpu, REQ_TLB_FLUSH_GUEST);
		return EMULATE_DONE;
	case SPECIAL_HLT:
		vcpu->emulated_hlt = true;
		return EMULATE_DONE;
	case SPECIAL_HYPERCALL:
		return okvm_hypercall(vcpu) == RESUME_GUEST ? EMULATE_DONE : EMULATE_UNSUPPORTED;
	case SPECIAL_RSM:
	case SPECIAL_VIRT:
		return emulate_raise(ctxt, X86_TRAP_UD);
	default:
		return EMULATE_UNSUPPORTED;
	}
}

static const struct emulate_ops ops = {
	.fetch = fetch, .read = read, .write = write, .probe_write = probe_write,
	.compare_exchange = compare_exchange, .pio_in = pio_in, .pio_out = pio_out,
	.get_segment = get_segment, .set_segment = set_segment,
	.get_table = get_table, .set_table = set_table,
	.get_cr = get_cr, .set_cr = set_cr, .get_dr = get_dr, .set_dr = set_dr,
	.get_msr = get_msr, .set_msr = set_msr, .cpuid = emulated_cpuid,
	.read_tsc = read_tsc, .read_pmc = read_pmc,
	.get_vector = get_vector, .set_vector = set_vector, .special = special,
};

static enum emulate_mode current_mode(struct okvm_vcpu *vcpu)
{
	struct kvm_segment cs;

	if (!(vcpu->cr0 & X86_CR0_PE))
		return EMULATE_REAL;
	if (okvm_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_VM)
		return EMULATE_VM86;
	if (okvm_64bit_code(vcpu))
		return EMULATE_LONG64;
	okvm_get_segment(vcpu, &cs, SEG_CS);
	return cs.db ? EMULATE_PROT32 : EMULATE_PROT16;
}

/* What emulate_decode() needs. */
static void prepare_decode(struct okvm_vcpu *vcpu)
{
	struct emulate_ctxt *ctxt = &vcpu->emulate;

	ctxt->ops = &ops;
	ctxt->owner = vcpu;
	ctxt->amd = boot_cpu_data.x86_vendor != X86_VENDOR_INTEL;
	ctxt->mode = current_mode(vcpu);
	ctxt->linear_bits = vcpu->cr4 & X86_CR4_LA57 ? 57 : 48;
	ctxt->cpl = okvm_cpl(vcpu);
	ctxt->rip = okvm_rip(vcpu);
	ctxt->rflags = okvm_reg(vcpu, REG_RFLAGS);
	ctxt->n_bytes = 0;
	vcpu->touched.valid = false;
}

/* What emulate_execute() needs besides. */
static void prepare_execute(struct okvm_vcpu *vcpu)
{
	struct emulate_ctxt *ctxt = &vcpu->emulate;
	unsigned long missing = ~vcpu->regs_avail & GENMASK(GPR_COUNT - 1, 0);
	u32 shadow = okvm_backend->get_shadow(vcpu);
	int i;

	for_each_set_bit(i, &missing, GPR_COUNT)
		backend_cache_reg(vcpu, i);
	memcpy(ctxt->gpr, vcpu->regs, sizeof(ctxt->gpr));
	ctxt->gpr_dirty = 0;
	ctxt->rip = okvm_rip(vcpu);
	ctxt->rflags = okvm_reg(vcpu, REG_RFLAGS);
	ctxt->pio_data = vcpu->emulate_pio;
	ctxt->pio_size = sizeof(vcpu->emulate_pio);
	ctxt->shadow = 0;
	if (shadow & KVM_X86_SHADOW_INT_STI)
		ctxt->shadow |= EMULATE_SHADOW_STI;
	if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
		ctxt->shadow |= EMULATE_SHADOW_MOV_SS;
	vcpu->emulate_shadow = ctxt->shadow;
	ctxt->stop_rep = ctxt->single_step = ctxt->mode_changed = false;
	vcpu->emulated_hlt = false;
	vcpu->io.cursor = 0;
}

/*
 * Is it worth a look whether an event can be delivered now? Whatever else opens the way for one has
 * asked for that itself.
 */
static bool events_allowed(const struct emulate_ctxt *ctxt, u64 old_rflags, u8 old_shadow)
{
	return (ctxt->rflags & ~old_rflags & X86_EFLAGS_IF) || old_shadow || ctxt->shadow ||
	       emulate_is(ctxt, INSN_IRET);
}

static void commit_shadow(struct okvm_vcpu *vcpu, u8 now)
{
	u32 shadow = 0;

	if (now & EMULATE_SHADOW_STI)
		shadow |= KVM_X86_SHADOW_INT_STI;
	if (now & EMULATE_SHADOW_MOV_SS)
		shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	okvm_backend->set_shadow(vcpu, shadow);
}

static void commit(struct okvm_vcpu *vcpu, bool done)
{
	u64 old_rflags = okvm_reg(vcpu, REG_RFLAGS);
	struct emulate_ctxt *ctxt = &vcpu->emulate;
	unsigned long dirty = ctxt->gpr_dirty;
	u8 old_shadow = vcpu->emulate_shadow;
	int i;

	for_each_set_bit(i, &dirty, GPR_COUNT)
		okvm_reg_set(vcpu, i, ctxt->gpr[i]);
	okvm_reg_set(vcpu, REG_RIP, ctxt->rip);
	okvm_reg_set(vcpu, REG_RFLAGS, ctxt->rflags);
	if (!done)
		return;
	if (old_shadow | ctxt->shadow)
		commit_shadow(vcpu, ctxt->shadow);
	if (emulate_is(ctxt, INSN_IRET))
		okvm_backend->set_nmi_mask(vcpu, false);
	if (events_allowed(ctxt, old_rflags, old_shadow))
		okvm_request(vcpu, REQ_EVENT);
}

static void queue_fault(struct okvm_vcpu *vcpu, const struct emulate_fault *fault)
{
	if (fault->vector == X86_TRAP_PF)
		okvm_queue_page_fault(vcpu, fault->address, fault->error);
	/* The one debug exception that is a fault here: general detect. */
	else if (fault->vector == X86_TRAP_DB)
		okvm_queue_exception_payload(vcpu, X86_TRAP_DB, DR6_DETECT);
	else if (fault->has_error)
		okvm_queue_exception_error(vcpu, fault->vector, fault->error);
	else
		okvm_queue_exception(vcpu, fault->vector);
}

/*
 * The instruction is beyond the emulator. A guest's user program gets #UD, unless user space wants
 * to know of it; its kernel is given up on, with the instruction's bytes for whoever asks why.
 */
static int unsupported(struct okvm_vcpu *vcpu)
{
	struct emulate_ctxt *ctxt = &vcpu->emulate;
	typeof(vcpu->run->emulation_failure) *failure = &vcpu->run->emulation_failure;

	okvm_count(vcpu, insn_emulation_fail);
	if (okvm_cpl(vcpu) && !READ_ONCE(vcpu->vm->exit_on_emulation_failure)) {
		okvm_queue_exception(vcpu, X86_TRAP_UD);
		return RESUME_GUEST;
	}
	vcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	failure->suberror = KVM_INTERNAL_ERROR_EMULATION;
	failure->ndata = 1;
	failure->flags = 0;
	if (ctxt->n_bytes) {
		failure->ndata = 3;
		memset(failure->insn_bytes, 0x90, sizeof(failure->insn_bytes));
		failure->flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		failure->insn_size = ctxt->n_bytes;
		memcpy(failure->insn_bytes, ctxt->bytes,
		       min_t(size_t, ctxt->n_bytes, sizeof(failure->insn_bytes)));
	}
	return RESUME_USER;
}

static int run_again(struct okvm_vcpu *vcpu);

static int finished(struct okvm_vcpu *vcpu)
{
	return vcpu->emulate.single_step ? okvm_stepped(vcpu) : RESUME_GUEST;
}

static int halted(struct okvm_vcpu *vcpu)
{
	int stepped = finished(vcpu), r = okvm_halt(vcpu);

	return stepped == RESUME_GUEST ? r : stepped;
}

static int act_on(struct okvm_vcpu *vcpu, enum emulate_status status)
{
	switch (status) {
	case EMULATE_DONE:
		if (okvm_io_wants_user(vcpu))
			return okvm_io_exit(vcpu, finished);
		return vcpu->emulated_hlt ? halted(vcpu) : finished(vcpu);
	case EMULATE_FAULT:
		queue_fault(vcpu, &vcpu->emulate.fault);
		return RESUME_GUEST;
	case EMULATE_PENDING:
		/* A MSR that user space completes, or a device. */
		return vcpu->complete ? RESUME_USER : okvm_io_exit(vcpu, run_again);
	default:
		return unsupported(vcpu);
	}
}

static enum emulate_status try_execute(struct okvm_vcpu *vcpu)
{
	enum emulate_status status;

	prepare_execute(vcpu);
	status = emulate_execute(&vcpu->emulate);
	commit(vcpu, status == EMULATE_DONE);
	return status;
}

static int execute(struct okvm_vcpu *vcpu)
{
	return act_on(vcpu, try_execute(vcpu));
}

/* The data of a read is there: the decoded instruction runs once more, from its start. */
static int run_again(struct okvm_vcpu *vcpu)
{
	if (okvm_rip(vcpu) != vcpu->emulate.rip)
		return RESUME_GUEST;
	return execute(vcpu);
}

/**
 * okvm_emulate_instruction - emulate the instruction at RIP
 * @vcpu: the vCPU
 * @gpa: what it touched, if @gpa_valid
 * @gpa_valid: a data access exited; false for a fault in the walk of the guest's own tables,
 *	and for instructions that exited by themselves
 *
 * Context: the vCPU's thread; may sleep.
 * Return: RESUME_GUEST, RESUME_USER, or a negative errno.
 */
int okvm_emulate_instruction(struct okvm_vcpu *vcpu, gpa_t gpa, bool gpa_valid)
{
	enum emulate_status status;

	okvm_count(vcpu, insn_emulation);
	okvm_io_begin(vcpu);
	prepare_decode(vcpu);
	status = emulate_decode(&vcpu->emulate);
	if (status != EMULATE_DONE)
		return act_on(vcpu, status);
	vcpu->touched = (struct okvm_touched){
		.valid = gpa_valid && emulate_one_operand(&vcpu->emulate), .gpa = gpa,
		.write = vcpu->exit.fault.access & ACCESS_WRITE,
	};
	if (emulate_is(&vcpu->emulate, INSN_INT3) &&
	    vcpu->dbg.guest_debug & KVM_GUESTDBG_USE_SW_BP)
		return okvm_debug_exit(vcpu, X86_TRAP_BP, 0);
	return execute(vcpu);
}

/**
 * okvm_emulate_table_write - emulate the instruction at RIP, which writes to RAM that the CPU must
 *	not write: a guest's table that is shadowed, or a read-only page without CR0.WP
 * @vcpu: the vCPU
 * @gpa: where it writes
 *
 * What is beyond the emulator runs natively once the page is no table any more.
 *
 * Context: the vCPU's thread; may sleep.
 * Return: RESUME_GUEST, RESUME_USER, or a negative errno.
 */
int okvm_emulate_table_write(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	enum emulate_status status;

	okvm_count(vcpu, insn_emulation);
	okvm_io_begin(vcpu);
	prepare_decode(vcpu);
	status = emulate_decode(&vcpu->emulate);
	if (status == EMULATE_DONE)
		status = try_execute(vcpu);
	if (status == EMULATE_UNSUPPORTED && okvm_shadow_unprotect(vcpu, gpa))
		return RESUME_GUEST;
	return act_on(vcpu, status);
}

/* Outside 64-bit code the upper half of RIP does not exist. */
static unsigned long next_rip(struct okvm_vcpu *vcpu, unsigned int len)
{
	unsigned long rip = okvm_rip(vcpu), next = rip + len;

	/* Seldom does it come to that, and the code segment need not be read. */
	if (likely(!((rip ^ next) >> 32)))
		return next;
	return okvm_64bit_code(vcpu) ? next : (u32)next;
}

/* Is the instruction that raised #UD the prefix? Then RIP goes behind it. */
static bool skip_prefix(struct okvm_vcpu *vcpu)
{
	int mode = READ_ONCE(force_emulation_prefix);
	u32 user = okvm_cpl(vcpu) == 3 ? ACCESS_USER : 0;
	struct okvm_walk_fault fault;
	u8 code[sizeof(prefix)];

	if (likely(!(mode & FORCE_EMULATION)) ||
	    okvm_read_virt(vcpu, okvm_linear_rip(vcpu), code, sizeof(code), user | ACCESS_EXEC,
			   &fault) ||
	    memcmp(code, prefix, sizeof(code)))
		return false;
	okvm_reg_set(vcpu, REG_RIP, next_rip(vcpu, sizeof(prefix)));
	if (mode & FORCE_WITHOUT_RF)
		okvm_reg_set(vcpu, REG_RFLAGS, okvm_reg(vcpu, REG_RFLAGS) & ~X86_EFLAGS_RF);
	return true;
}

/**
 * okvm_undefined - the guest raised #UD: it gets it, unless it means something to us
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread; may sleep.
 * Return: RESUME_GUEST, RESUME_USER, or a negative errno.
 */
int okvm_undefined(struct okvm_vcpu *vcpu)
{
	if (skip_prefix(vcpu))
		return okvm_emulate_instruction(vcpu, 0, false);
	if (!okvm_fix_hypercall(vcpu))
		okvm_queue_exception(vcpu, X86_TRAP_UD);
	return RESUME_GUEST;
}

/**
 * okvm_task_switch - do the task switch that exited: vcpu->exit.task
 * @vcpu: the vCPU; RIP is on the instruction that asked for it, or where the event came
 *
 * Context: the vCPU's thread; may sleep.
 * Return: RESUME_GUEST, RESUME_USER, or a negative errno.
 */
int okvm_task_switch(struct okvm_vcpu *vcpu)
{
	struct emulate_ctxt *ctxt = &vcpu->emulate;
	struct okvm_exit *exit = &vcpu->exit;
	enum emulate_status status;

	okvm_io_begin(vcpu);
	prepare_decode(vcpu);
	if (exit->task.by_insn && !exit->insn_len) {
		status = emulate_decode(ctxt);
		if (status != EMULATE_DONE)
			return act_on(vcpu, status);
		exit->insn_len = emulate_next_rip(ctxt) - okvm_rip(vcpu);
	}
	prepare_execute(vcpu);
	ctxt->rip += exit->insn_len;
	status = emulate_task_switch(ctxt, exit->task.selector, exit->task.reason,
				     exit->task.has_error, exit->task.error);
	/* A fault of the old task is the instruction's: it goes back to it. */
	if (status != EMULATE_DONE && ctxt->rip == okvm_rip(vcpu) + exit->insn_len)
		ctxt->rip = okvm_rip(vcpu);
	commit(vcpu, status == EMULATE_DONE);
	okvm_request(vcpu, REQ_EVENT);
	return act_on(vcpu, status);
}

/**
 * okvm_emulate_event - deliver an exception or interrupt through the guest's vectors or IDT
 * @vcpu: the vCPU; the event is its vcpu->ev's injected one
 * @vector: its number
 * @has_error: it pushes @error
 * @error: error code
 * @len: length of the instruction at RIP that it ends, 0 when the guest returns to RIP
 *
 * What faults on the way is queued instead, or is a triple fault when there is no telling.
 *
 * Context: the vCPU's thread; may sleep.
 */
void okvm_emulate_event(struct okvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u8 len)
{
	struct emulate_ctxt *ctxt = &vcpu->emulate;
	enum emulate_status status;

	okvm_io_begin(vcpu);
	prepare_decode(vcpu);
	prepare_execute(vcpu);
	ctxt->insn.op = INSN_INVALID;
	ctxt->rip += len;
	status = emulate_interrupt(ctxt, vector, has_error, error);
	if (status != EMULATE_DONE)
		ctxt->rip = okvm_rip(vcpu);
	commit(vcpu, status == EMULATE_DONE);
	okvm_request(vcpu, REQ_EVENT);
	if (status == EMULATE_FAULT)
		queue_fault(vcpu, &ctxt->fault);
	/* Neither tables nor stack can be a device. */
	else if (status != EMULATE_DONE || okvm_io_wants_user(vcpu))
		okvm_triple_fault(vcpu);
}

/**
 * okvm_skip_instruction - step over the instruction that exited
 * @vcpu: the vCPU; without a length from the hardware the decoder finds it
 *
 * Ends an interrupt shadow, and takes a single-step trap as the instruction itself would.
 *
 * Return: RESUME_GUEST, RESUME_USER when the instruction cannot be fetched.
 */
int okvm_skip_instruction(struct okvm_vcpu *vcpu)
{
	unsigned long rflags = okvm_reg(vcpu, REG_RFLAGS);
	enum emulate_status status;

	if (vcpu->exit.insn_len) {
		okvm_reg_set(vcpu, REG_RIP, next_rip(vcpu, vcpu->exit.insn_len));
	} else {
		prepare_decode(vcpu);
		status = emulate_decode(&vcpu->emulate);
		if (status != EMULATE_DONE)
			return act_on(vcpu, status);
		okvm_reg_set(vcpu, REG_RIP, emulate_next_rip(&vcpu->emulate));
	}
	if (okvm_backend->get_shadow(vcpu))
		okvm_backend->set_shadow(vcpu, 0);
	return unlikely(rflags & X86_EFLAGS_TF) ? okvm_stepped(vcpu) : RESUME_GUEST;
}
