// SPDX-License-Identifier: GPL-2.0-only
/* The guest's CPUID: what user space may set and has set, and what the instruction returns. */
#include <linux/cpufeature.h>
#include <linux/kvm_para.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/processor-flags.h>

#include "cpuid_masks.h"
#include "msr.h"
#include "regs.h"
#include "vmm.h"

#define feature_bit(feature) BIT((feature) & 31)

static struct cpuid_caps caps;
static struct cpuid_host host;

/* The CPU's own answer is an exit when the host itself is a guest: leaf 0xd is asked often. */
static u32 xstate_leaf[64][4];

static void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	if (leaf == 0xd && subleaf >= 2 && subleaf < ARRAY_SIZE(xstate_leaf))
		memcpy(out, xstate_leaf[subleaf], sizeof(xstate_leaf[0]));
	else
		cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3]);
}

static void read_xstate_leaf(void)
{
	u32 *out;
	int i;

	if (boot_cpu_data.cpuid_level < 0xd)
		return;
	for (i = 2; i < ARRAY_SIZE(xstate_leaf); i++) {
		out = xstate_leaf[i];
		cpuid_count(0xd, i, &out[0], &out[1], &out[2], &out[3]);
	}
}

/* The kernel's own words of feature bits; -1: it keeps none of this leaf. */
static const s8 kernel_words[CPUID_WORDS] = {
	[WORD_1_ECX] = CPUID_1_ECX,
	[WORD_1_EDX] = CPUID_1_EDX,
	[WORD_7_0_EBX] = CPUID_7_0_EBX,
	[WORD_7_0_ECX] = -1,	/* it clears LA57 and PKU for itself alone */
	[WORD_7_0_EDX] = CPUID_7_EDX,
	[WORD_7_1_EAX] = CPUID_7_1_EAX,
	[WORD_7_1_EDX] = -1,
	[WORD_D_1_EAX] = CPUID_D_1_EAX,
	[WORD_8000_0001_ECX] = CPUID_8000_0001_ECX,
	[WORD_8000_0001_EDX] = CPUID_8000_0001_EDX,
	[WORD_8000_0007_EDX] = -1,
	[WORD_8000_0008_EBX] = CPUID_8000_0008_EBX,
	[WORD_8000_0021_EAX] = -1,
};

static u32 kernel_caps(enum cpuid_word word)
{
	if (word == WORD_8000_0007_EDX)
		return boot_cpu_data.x86_power;
	return kernel_words[word] < 0 ? ~0u : boot_cpu_data.x86_capability[kernel_words[word]];
}

static u32 working_pv_features(void)
{
	u32 features = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
		       BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) |
		       BIT(KVM_FEATURE_PV_EOI) | BIT(KVM_FEATURE_PV_UNHALT) |
		       BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_POLL_CONTROL) |
		       BIT(KVM_FEATURE_PV_SCHED_YIELD);

	if (sched_info_on())
		features |= BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_TLB_FLUSH);
	return features;
}

/* State components that the kernel's guest FPU switches: no MPX, no AMX (it wants permissions). */
#define GUEST_XCR0 (XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM | XFEATURE_MASK_AVX512 | \
		    XFEATURE_MASK_PKRU)

/**
 * okvm_cpuid_setup - find what guests can have on this host
 *
 * Context: module load, after the backend's setup, before any VM.
 * Return: 0.
 */
int okvm_cpuid_setup(void)
{
	okvm_hw.supported_xcr0 = okvm_xstate_setup() & GUEST_XCR0;
	okvm_hw.supported_xss = 0;
	if (!okvm_hw.tdp || !boot_cpu_has(X86_FEATURE_OSPKE))
		okvm_hw.supported_xcr0 &= ~(u64)XFEATURE_MASK_PKRU;

	host = (struct cpuid_host) {
		.cpuid = host_cpuid,
		.kernel = kernel_caps,
		.xcr0 = okvm_hw.supported_xcr0,
		.xss = okvm_hw.supported_xss,
		.pv_features = working_pv_features(),
		.phys_bits = okvm_hw.tdp ? 0 : boot_cpu_data.x86_phys_bits,
		.gb_pages = okvm_hw.tdp && boot_cpu_has(X86_FEATURE_GBPAGES),
		.lfence = boot_cpu_data.x86_vendor == X86_VENDOR_AMD &&
			  boot_cpu_has(X86_FEATURE_LFENCE_RDTSC),
		.pku = okvm_hw.tdp && boot_cpu_has(X86_FEATURE_OSPKE),
	};
	read_xstate_leaf();
	cpuid_caps_init(&caps, &host);
	if (!okvm_hw.nx)
		caps.word[WORD_8000_0001_EDX] &= ~feature_bit(X86_FEATURE_NX);
	/* Shadow pages are not tagged: a change of PCID would have to flush like any other. */
	if (!okvm_hw.tdp) {
		caps.word[WORD_1_ECX] &= ~feature_bit(X86_FEATURE_PCID);
		caps.word[WORD_7_0_EBX] &= ~feature_bit(X86_FEATURE_INVPCID);
	}
	if (okvm_hw.no_rdtscp) {
		caps.word[WORD_8000_0001_EDX] &= ~feature_bit(X86_FEATURE_RDTSCP);
		caps.word[WORD_7_0_ECX] &= ~feature_bit(X86_FEATURE_RDPID);
	}
	if (okvm_hw.no_invpcid)
		caps.word[WORD_7_0_EBX] &= ~feature_bit(X86_FEATURE_INVPCID);
	if (okvm_hw.no_xsaves)
		caps.word[WORD_D_1_EAX] &= ~feature_bit(X86_FEATURE_XSAVES);
	return 0;
}

/* ---- finding an entry ---- */

/* The slot of the index that a leaf falls in, or NULL: outside of all three ranges. */
static u16 *index_of(struct okvm_cpuid *c, u32 leaf)
{
	if (leaf < CPUID_BASIC_LEAVES)
		return &c->basic[leaf];
	if (leaf - 0x80000000 < CPUID_EXT_LEAVES)
		return &c->ext[leaf - 0x80000000];
	if (leaf - 0x40000000 < CPUID_HYPER_LEAVES)
		return &c->hyper[leaf - 0x40000000];
	return NULL;
}

static void build_index(struct okvm_cpuid *c)
{
	u16 *slot;
	int i;

	memset(c->basic, 0, sizeof(c->basic));
	memset(c->hyper, 0, sizeof(c->hyper));
	memset(c->ext, 0, sizeof(c->ext));
	for (i = c->n - 1; i >= 0; i--) {
		slot = index_of(c, c->entries[i].function);
		if (slot)
			*slot = i + 1;
	}
}

/* The first entry of that leaf whose subleaf matches, or does not matter. */
static struct kvm_cpuid_entry2 *find(struct okvm_cpuid *c, u32 leaf, u32 subleaf)
{
	const u16 *slot = index_of(c, leaf);
	int i = 0;

	if (slot) {
		if (!*slot)
			return NULL;
		i = *slot - 1;
	}
	for (; i < c->n; i++)
		if (c->entries[i].function == leaf &&
		    (!(c->entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
		     c->entries[i].index == subleaf))
			return &c->entries[i];
	return NULL;
}

static bool is_signature(const struct kvm_cpuid_entry2 *e, const char *name)
{
	return e && !memcmp(&e->ebx, name, 4) && !memcmp(&e->edx, name + 4, 4) &&
	       !memcmp(&e->ecx, name + 8, 4);
}

static bool is_amd(struct okvm_cpuid *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0, 0);

	return is_signature(e, "AuthenticAMD") || is_signature(e, "HygonGenuine");
}

static bool is_intel(struct okvm_cpuid *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0, 0);

	return is_signature(e, "GenuineIntel") || is_signature(e, "CentaurHauls");
}

/* ---- what the instruction returns ---- */

/* A leaf above its range's last one: Intel answers with the last basic leaf, AMD with zeros. */
static struct kvm_cpuid_entry2 *find_out_of_range(struct okvm_cpuid *c, u32 leaf, u32 subleaf)
{
	struct kvm_cpuid_entry2 *basic = find(c, 0, 0), *range;

	if (!basic || is_amd(c))
		return NULL;
	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		range = find(c, leaf & 0xffffff00, 0);
	else if (leaf >= 0xc0000000)
		range = find(c, 0xc0000000, 0);
	else
		range = find(c, leaf & 0x80000000, 0);
	if (range && leaf <= range->eax)
		return NULL;
	return find(c, basic->eax, subleaf);
}

static void copy_registers(const struct kvm_cpuid_entry2 *e, u32 out[4])
{
	out[CPUID_REG_EAX] = e->eax;
	out[CPUID_REG_EBX] = e->ebx;
	out[CPUID_REG_ECX] = e->ecx;
	out[CPUID_REG_EDX] = e->edx;
}

static noinline void cpuid_missing(struct okvm_cpuid *c, u32 leaf, u32 subleaf, u32 out[4])
{
	struct kvm_cpuid_entry2 *e = find_out_of_range(c, leaf, subleaf);

	memset(out, 0, 4 * sizeof(*out));
	if (e) {
		copy_registers(e, out);
		return;
	}
	/* Undefined subleaves of the topology leaves still tell CL back, and the x2APIC id. */
	if (leaf == 0xb || leaf == 0x1f) {
		e = find(c, leaf, 1);
		if (e) {
			out[CPUID_REG_ECX] = subleaf & 0xff;
			out[CPUID_REG_EDX] = e->edx;
		}
	}
}

/**
 * okvm_cpuid - what the CPUID instruction returns to the guest
 * @vcpu: the vCPU
 * @leaf: EAX
 * @subleaf: ECX
 * @out: EAX, EBX, ECX, EDX
 *
 * SDM vol. 2, CPUID, for leaves out of range. Context: vCPU mutex held; takes no lock.
 */
void okvm_cpuid(struct okvm_vcpu *vcpu, u32 leaf, u32 subleaf, u32 out[4])
{
	struct kvm_cpuid_entry2 *e = find(&vcpu->cpuid, leaf, subleaf);

	if (likely(e))
		copy_registers(e, out);
	else
		cpuid_missing(&vcpu->cpuid, leaf, subleaf, out);
}

static void put_bit(u32 *reg, u32 bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

/**
 * okvm_cpuid_update_runtime - bring the bits that mirror other state up to date
 * @vcpu: the vCPU, whose CR4, XCR0, XSS, APIC base or MISC_ENABLE may have changed
 */
void okvm_cpuid_update_runtime(struct okvm_vcpu *vcpu)
{
	struct okvm_cpuid *c = &vcpu->cpuid;
	struct kvm_cpuid_entry2 *e = find(c, 1, 0);

	if (e) {
		if (boot_cpu_has(X86_FEATURE_XSAVE))
			put_bit(&e->ecx, feature_bit(X86_FEATURE_OSXSAVE),
				vcpu->cr4 & X86_CR4_OSXSAVE);
		put_bit(&e->edx, feature_bit(X86_FEATURE_APIC),
			vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
		if (vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
			put_bit(&e->ecx, feature_bit(X86_FEATURE_MWAIT),
				vcpu->msrs->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
	}
	e = find(c, 7, 0);
	if (e && boot_cpu_has(X86_FEATURE_PKU))
		put_bit(&e->ecx, feature_bit(X86_FEATURE_OSPKE), vcpu->cr4 & X86_CR4_PKE);
	/* A guest whose HLT is not seen cannot be woken from it. */
	e = find(c, KVM_CPUID_FEATURES, 0);
	if (e && okvm_exits_disabled(vcpu, KVM_X86_DISABLE_EXITS_HLT))
		e->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
	e = find(c, 0xd, 0);
	if (e)
		e->ebx = cpuid_xsave_size(&host, vcpu->xcr0, false);
	e = find(c, 0xd, 1);
	if (e && e->eax & (feature_bit(X86_FEATURE_XSAVES) | feature_bit(X86_FEATURE_XSAVEC)))
		e->ebx = cpuid_xsave_size(&host, vcpu->xcr0 | vcpu->xss, true);
}

/* ---- what a new CPUID means to the rest of the module ---- */

static const struct {
	u8 feature, word, bit;
} feature_bits[] = {
	{ GUEST_LM, WORD_8000_0001_EDX, 29 },
	{ GUEST_NX, WORD_8000_0001_EDX, 20 },
	{ GUEST_GBPAGES, WORD_8000_0001_EDX, 26 },
	{ GUEST_RDTSCP, WORD_8000_0001_EDX, 27 },
	{ GUEST_FXSR_OPT, WORD_8000_0001_EDX, 25 },
	{ GUEST_SYSCALL, WORD_8000_0001_EDX, 11 },
	{ GUEST_OSVW, WORD_8000_0001_ECX, 9 },
	{ GUEST_XSAVE, WORD_1_ECX, 26 },
	{ GUEST_PCID, WORD_1_ECX, 17 },
	{ GUEST_X2APIC, WORD_1_ECX, 21 },
	{ GUEST_TSC_DEADLINE, WORD_1_ECX, 24 },
	{ GUEST_PDCM, WORD_1_ECX, 15 },
	{ GUEST_XMM3, WORD_1_ECX, 0 },
	{ GUEST_MOVBE, WORD_1_ECX, 22 },
	{ GUEST_MTRR, WORD_1_EDX, 12 },
	{ GUEST_MCE, WORD_1_EDX, 7 },
	{ GUEST_PAT, WORD_1_EDX, 16 },
	{ GUEST_TSC_ADJUST, WORD_7_0_EBX, 1 },
	{ GUEST_FSGSBASE, WORD_7_0_EBX, 0 },
	{ GUEST_SMEP, WORD_7_0_EBX, 7 },
	{ GUEST_SMAP, WORD_7_0_EBX, 20 },
	{ GUEST_INVPCID, WORD_7_0_EBX, 10 },
	{ GUEST_PKU, WORD_7_0_ECX, 3 },
	{ GUEST_LA57, WORD_7_0_ECX, 16 },
	{ GUEST_UMIP, WORD_7_0_ECX, 2 },
	{ GUEST_RDPID, WORD_7_0_ECX, 22 },
	{ GUEST_SPEC_CTRL, WORD_7_0_EDX, 26 },
	{ GUEST_SPEC_CTRL, WORD_8000_0008_EBX, 14 },
	{ GUEST_PRED_CMD, WORD_7_0_EDX, 26 },
	{ GUEST_PRED_CMD, WORD_8000_0008_EBX, 12 },
	{ GUEST_STIBP, WORD_7_0_EDX, 27 },
	{ GUEST_STIBP, WORD_8000_0008_EBX, 15 },
	{ GUEST_SSBD, WORD_7_0_EDX, 31 },
	{ GUEST_SSBD, WORD_8000_0008_EBX, 24 },
	{ GUEST_PSFD, WORD_8000_0008_EBX, 28 },
	{ GUEST_ARCH_CAPABILITIES, WORD_7_0_EDX, 29 },
	{ GUEST_XSS, WORD_D_1_EAX, 3 },
};

/* A bit that user space set and that the module can give. */
static bool guest_bit(struct okvm_cpuid *c, enum cpuid_word word, int n)
{
	const struct cpuid_where *where = cpuid_word_where(word);
	struct kvm_cpuid_entry2 *e = find(c, where->leaf, where->subleaf);
	u32 possible = caps.word[word] | cpuid_word_emulated(word);

	return e && (&e->eax)[where->reg] & possible & BIT(n);
}

static u64 collect_features(struct okvm_cpuid *c)
{
	u64 has = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(feature_bits); i++)
		if (guest_bit(c, feature_bits[i].word, feature_bits[i].bit))
			has |= BIT_ULL(feature_bits[i].feature);
	if (is_amd(c))
		has |= BIT_ULL(GUEST_AMD);
	if (is_intel(c))
		has |= BIT_ULL(GUEST_INTEL);
	return has;
}

/* CR4 bits that come with a CPUID feature. */
static const struct {
	u64 cr4;
	u8 word, bit;
} cr4_bits[] = {
	{ X86_CR4_OSXSAVE, WORD_1_ECX, 26 },
	{ X86_CR4_PCIDE, WORD_1_ECX, 17 },
	{ X86_CR4_FSGSBASE, WORD_7_0_EBX, 0 },
	{ X86_CR4_SMEP, WORD_7_0_EBX, 7 },
	{ X86_CR4_SMAP, WORD_7_0_EBX, 20 },
	{ X86_CR4_UMIP, WORD_7_0_ECX, 2 },
	{ X86_CR4_PKE, WORD_7_0_ECX, 3 },
	{ X86_CR4_LA57, WORD_7_0_ECX, 16 },
};

/* Those that any guest can set. */
#define CR4_ALWAYS (X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | \
		    X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | \
		    X86_CR4_OSXMMEXCPT)

/**
 * okvm_host_cr4_reserved - CR4 bits that no guest can set on this host
 */
u64 okvm_host_cr4_reserved(void)
{
	u64 valid = CR4_ALWAYS;
	int i;

	for (i = 0; i < ARRAY_SIZE(cr4_bits); i++)
		if (caps.word[cr4_bits[i].word] & BIT(cr4_bits[i].bit))
			valid |= cr4_bits[i].cr4;
	return ~valid;
}

static u64 guest_cr4_reserved(struct okvm_cpuid *c)
{
	u64 reserved = okvm_host_cr4_reserved();
	int i;

	for (i = 0; i < ARRAY_SIZE(cr4_bits); i++)
		if (!guest_bit(c, cr4_bits[i].word, cr4_bits[i].bit))
			reserved |= cr4_bits[i].cr4;
	return reserved;
}

/**
 * okvm_host_efer_valid - EFER bits that a guest can have on this host
 */
u64 okvm_host_efer_valid(void)
{
	u32 edx = caps.word[WORD_8000_0001_EDX];
	u64 valid = EFER_SCE;

	if (edx & feature_bit(X86_FEATURE_LM))
		valid |= EFER_LME | EFER_LMA;
	if (edx & feature_bit(X86_FEATURE_NX))
		valid |= EFER_NX;
	if (edx & feature_bit(X86_FEATURE_FXSR_OPT))
		valid |= EFER_FFXSR;
	return valid;
}

static u8 query_maxphyaddr(struct okvm_cpuid *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0x80000000, 0);

	if (e && e->eax >= 0x80000008)
		e = find(c, 0x80000008, 0);
	else
		e = NULL;
	return e ? e->eax & 0xff : 36;
}

static void derive(struct okvm_cpuid *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0xd, 0);

	c->supported_xcr0 = e ? (e->eax | (u64)e->edx << 32) & okvm_hw.supported_xcr0 : 0;
	c->maxphyaddr = query_maxphyaddr(c);
	c->reserved_gpa = c->maxphyaddr < 52 ? GENMASK_ULL(51, c->maxphyaddr) : 0;
	c->reserved_gpa |= GENMASK_ULL(63, 52);
	c->has = collect_features(c);
	c->cr4_reserved = guest_cr4_reserved(c);
}

/**
 * okvm_cpuid_update_pv - recompute which paravirtual features the guest may use
 * @vcpu: the vCPU, whose CPUID or KVM_CAP_ENFORCE_PV_FEATURE_CPUID changed
 */
void okvm_cpuid_update_pv(struct okvm_vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e;

	if (!vcpu->cpuid.enforce_pv) {
		vcpu->cpuid.pv_features = ~0u;
		return;
	}
	e = find(&vcpu->cpuid, KVM_CPUID_FEATURES, 0);
	vcpu->cpuid.pv_features = e ? e->eax : 0;
}

/**
 * okvm_cpuid_create - the state before user space sets a CPUID
 * @vcpu: the vCPU
 *
 * CR4 is limited by the host alone then, so that registers can be loaded first.
 */
void okvm_cpuid_create(struct okvm_vcpu *vcpu)
{
	derive(&vcpu->cpuid);
	vcpu->cpuid.cr4_reserved = okvm_host_cr4_reserved();
	okvm_cpuid_update_pv(vcpu);
}

/**
 * okvm_cpuid_free - free what SET_CPUID left
 * @vcpu: the vCPU; nothing may be there
 */
void okvm_cpuid_free(struct okvm_vcpu *vcpu)
{
	kvfree(vcpu->cpuid.entries);
	vcpu->cpuid.entries = NULL;
	vcpu->cpuid.n = 0;
}

/* ---- ioctls ---- */

static long copy_out_list(struct kvm_cpuid2 __user *user, const struct kvm_cpuid_entry2 *entries,
			  int n)
{
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	/* The true count goes back in both cases. */
	if (put_user(n, &user->nent))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	if (copy_to_user(user->entries, entries, n * sizeof(*entries)))
		return -EFAULT;
	return 0;
}

/**
 * okvm_get_supported_cpuid - KVM_GET_SUPPORTED_CPUID
 * @arg: user pointer to struct kvm_cpuid2
 *
 * Return: 0; -E2BIG: not enough room; -EFAULT; -ENOMEM.
 */
long okvm_get_supported_cpuid(void *arg)
{
	struct kvm_cpuid_entry2 *entries;
	long r = -E2BIG;
	int n;

	entries = kvcalloc(OKVM_MAX_CPUID_ENTRIES, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	/* All leaves of one CPU. */
	migrate_disable();
	n = cpuid_fill_supported(&host, &caps, entries, OKVM_MAX_CPUID_ENTRIES);
	migrate_enable();
	if (!WARN_ON_ONCE(n > OKVM_MAX_CPUID_ENTRIES))
		r = copy_out_list((void __user *)arg, entries, n);
	kvfree(entries);
	return r;
}

/**
 * okvm_get_emulated_cpuid - KVM_GET_EMULATED_CPUID: features the CPU lacks and that are emulated
 * @arg: user pointer to struct kvm_cpuid2
 *
 * There are none, which is a list of no entries.
 *
 * Return: 0; -E2BIG: room for none; -EFAULT.
 */
long okvm_get_emulated_cpuid(void *arg)
{
	struct kvm_cpuid2 __user *user = (void __user *)arg;
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	if (!room)
		return -E2BIG;
	return put_user(0, &user->nent);
}

static struct kvm_cpuid_entry2 *copy_entries(const void __user *from, int n)
{
	struct kvm_cpuid_entry2 *entries;

	entries = kvmalloc_array(max(n, 1), sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(entries, from, n * sizeof(*entries))) {
		kvfree(entries);
		return ERR_PTR(-EFAULT);
	}
	return entries;
}

/* KVM_SET_CPUID's entries have no subleaf: each stands for all of its leaf. */
static struct kvm_cpuid_entry2 *copy_old_entries(const struct kvm_cpuid_entry __user *from, int n)
{
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid_entry old;
	int i;

	entries = kvcalloc(max(n, 1), sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < n; i++) {
		if (copy_from_user(&old, &from[i], sizeof(old))) {
			kvfree(entries);
			return ERR_PTR(-EFAULT);
		}
		entries[i].function = old.function;
		entries[i].eax = old.eax;
		entries[i].ebx = old.ebx;
		entries[i].ecx = old.ecx;
		entries[i].edx = old.edx;
	}
	return entries;
}

static bool valid_address_width(struct okvm_cpuid *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0x80000008, 0);
	u32 width = e ? e->eax >> 8 & 0xff : 0;

	return !width || width == 48 || width == 57;
}

/* A CPU that has run cannot change, but telling it the same again is no change. */
static bool same_as_now(struct okvm_vcpu *vcpu, const struct okvm_cpuid *new)
{
	return vcpu->cpuid.n == new->n &&
	       !memcmp(vcpu->cpuid.entries, new->entries, new->n * sizeof(*new->entries));
}

static bool has_run(struct okvm_vcpu *vcpu)
{
	return vcpu->stats.n[STAT_exits];
}

/* Takes @entries. */
static long install(struct okvm_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, int n)
{
	struct okvm_cpuid new = { .entries = entries, .n = n }, old = vcpu->cpuid;
	long r = 0;

	new.faulting = old.faulting;
	new.enforce_pv = old.enforce_pv;
	build_index(&new);
	if (!valid_address_width(&new)) {
		kvfree(entries);
		return -EINVAL;
	}
	derive(&new);
	vcpu->cpuid = new;
	okvm_cpuid_update_runtime(vcpu);
	if (has_run(vcpu)) {
		new = vcpu->cpuid;
		vcpu->cpuid = old;
		if (!same_as_now(vcpu, &new))
			r = -EINVAL;
		kvfree(entries);
		return r;
	}
	okvm_cpuid_update_pv(vcpu);
	kvfree(old.entries);
	okvm_backend->set_cpuid(vcpu);
	okvm_mmu_vcpu_reset(vcpu);
	return 0;
}

/**
 * okvm_set_cpuid - KVM_SET_CPUID, the old form without subleaves
 * @vcpu: the vCPU, loaded
 * @arg: user pointer to struct kvm_cpuid
 *
 * Return: 0; -E2BIG: too many entries; -EINVAL: a bad address width, or a change after the vCPU
 * has run; -EFAULT; -ENOMEM.
 */
long okvm_set_cpuid(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_cpuid __user *user = (void __user *)arg;
	struct kvm_cpuid_entry2 *entries;
	u32 n;

	if (get_user(n, &user->nent))
		return -EFAULT;
	if (n > OKVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	entries = copy_old_entries(user->entries, n);
	return IS_ERR(entries) ? PTR_ERR(entries) : install(vcpu, entries, n);
}

/**
 * okvm_set_cpuid2 - KVM_SET_CPUID2
 * @vcpu: the vCPU, loaded
 * @arg: user pointer to struct kvm_cpuid2
 *
 * Return: as okvm_set_cpuid().
 */
long okvm_set_cpuid2(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_cpuid2 __user *user = (void __user *)arg;
	struct kvm_cpuid_entry2 *entries;
	u32 n;

	if (get_user(n, &user->nent))
		return -EFAULT;
	if (n > OKVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	entries = copy_entries(user->entries, n);
	return IS_ERR(entries) ? PTR_ERR(entries) : install(vcpu, entries, n);
}

/**
 * okvm_get_cpuid2 - KVM_GET_CPUID2
 * @vcpu: the vCPU
 * @arg: user pointer to struct kvm_cpuid2
 *
 * Return: 0; -E2BIG with the true count in nent; -EFAULT.
 */
long okvm_get_cpuid2(struct okvm_vcpu *vcpu, void *arg)
{
	return copy_out_list((void __user *)arg, vcpu->cpuid.entries, vcpu->cpuid.n);
}
