// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which of the host's CPUID a guest may have: constant tables, and the list of leaves made of
 * them. A feature is in a table when the module virtualizes it, or when it needs no help: an
 * instruction without state of its own. Bits by SDM vol. 2, CPUID, and APM vol. 3, appendix E.
 */
#include "cpuid_masks.h"

#define B(n) (1u << (n))
#define RANGE(high, low) ((~0u >> (31 - (high))) & (~0u << (low)))

/* Leaves 1 and 8000_0001 EDX have these in common on AMD. */
#define LEGACY_EDX	(B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | \
			 B(12) | B(13) | B(14) | B(15) | B(16) | B(17) | B(23) | B(24))

#define HYPERVISOR	B(31)
#define LAST_EXTENDED	0x80000021u

/*
 * @pass: kept when the host has it. @emulated: offered on any host. @soft: a guest may be given
 * it (user space adds it, knowing an in-kernel local APIC is there), but it is not offered.
 */
static const struct {
	struct cpuid_where where;
	u32 pass, emulated, soft;
} words[CPUID_WORDS] = {
	[WORD_1_ECX] = { { 1, 0, CPUID_REG_ECX },
		/* SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX */
		.pass = B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) |
			B(25) | B(26) | B(28) | B(29) | B(30), /* ... F16C RDRAND */
		.emulated = B(21) | HYPERVISOR,		/* X2APIC */
		.soft = B(3) | B(24),			/* MONITOR, TSC_DEADLINE */
	},
	[WORD_1_EDX] = { { 1, 0, CPUID_REG_EDX },
		/* and SEP CLFSH FXSR(24) SSE SSE2 SS */
		.pass = LEGACY_EDX | B(11) | B(19) | B(25) | B(26) | B(27),
		.emulated = B(9),			/* APIC */
	},
	[WORD_7_0_EBX] = { { 7, 0, CPUID_REG_EBX },
		/* FSGSBASE BMI1 HLE AVX2 FDP_EXCPTN SMEP BMI2 ERMS INVPCID RTM ZERO_FCS_FDS */
		.pass = B(0) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(10) | B(11) |
			B(13) |
			/* AVX512F DQ RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB PF ER CD SHA BW VL */
			B(16) | B(17) | B(18) | B(19) | B(20) | B(21) | B(23) | B(24) | RANGE(31, 26),
		.emulated = B(1),			/* TSC_ADJUST */
	},
	[WORD_7_0_ECX] = { { 7, 0, CPUID_REG_ECX },
		/* VBMI UMIP PKU VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ LA57 RDPID */
		.pass = B(1) | B(2) | B(3) | RANGE(12, 8) | B(14) | B(16) | B(22) |
			B(25) | B(27) | B(28),		/* CLDEMOTE MOVDIRI MOVDIR64B */
	},
	[WORD_7_0_EDX] = { { 7, 0, CPUID_REG_EDX },
		/* 4VNNIW 4FMAPS FSRM VP2INTERSECT MD_CLEAR SERIALIZE TSXLDTRK AVX512_FP16 */
		.pass = B(2) | B(3) | B(4) | B(8) | B(10) | B(14) | B(16) | B(23) |
			B(26) | B(27) | B(29) | B(31),	/* SPEC_CTRL STIBP ARCH_CAPABILITIES SSBD */
		.soft = B(29),		/* AMD has no such MSR; user space may say so */
	},
	[WORD_7_1_EAX] = { { 7, 1, CPUID_REG_EAX },
		/* AVX_VNNI AVX512_BF16 CMPCCXADD FZRM FSRS FSRC AVX_IFMA */
		.pass = B(4) | B(5) | B(7) | B(10) | B(11) | B(12) | B(23),
	},
	[WORD_7_1_EDX] = { { 7, 1, CPUID_REG_EDX },
		.pass = B(4) | B(5) | B(14),		/* VNNI_INT8 NE_CONVERT PREFETCHI */
	},
	[WORD_D_1_EAX] = { { 0xd, 1, CPUID_REG_EAX },
		.pass = B(0) | B(1) | B(2) | B(3),	/* XSAVEOPT XSAVEC XGETBV1 XSAVES */
	},
	[WORD_8000_0001_ECX] = { { 0x80000001, 0, CPUID_REG_ECX },
		/* LAHF CMP_LEGACY CR8 ABM SSE4A MISALIGNSSE PREFETCHW OSVW XOP FMA4 TBM TOPOEXT */
		.pass = B(0) | B(1) | RANGE(9, 4) | B(11) | B(16) | B(21) | B(22),
	},
	[WORD_8000_0001_EDX] = { { 0x80000001, 0, CPUID_REG_EDX },
		/* and SYSCALL NX MMXEXT FXSR_OPT GBPAGES RDTSCP LM 3DNOWEXT 3DNOW */
		.pass = LEGACY_EDX | B(11) | B(20) | B(22) | B(25) | B(26) | B(27) | RANGE(31, 29),
	},
	[WORD_8000_0007_EDX] = { { 0x80000007, 0, CPUID_REG_EDX },
		.pass = B(8),				/* invariant TSC */
	},
	[WORD_8000_0008_EBX] = { { 0x80000008, 0, CPUID_REG_EBX },
		/* CLZERO XSAVEERPTR WBNOINVD IBPB IBRS STIBP STIBP_ALWAYS SSBD SSB_NO PSFD */
		.pass = B(0) | B(2) | B(9) | B(12) | B(14) | B(15) | B(17) | B(24) | B(26) | B(28),
	},
	[WORD_8000_0021_EAX] = { { 0x80000021, 0, CPUID_REG_EAX },
		/* NO_NESTED_DATA_BP LFENCE_RDTSC NULL_SEL_CLR_BASE IBPB_BRTYPE SRSO_NO */
		.pass = B(0) | B(2) | B(6) | B(28) | B(29),
	},
};

/**
 * cpuid_word_where - the leaf, subleaf and register of a word
 * @word: which word
 */
const struct cpuid_where *cpuid_word_where(enum cpuid_word word)
{
	return &words[word].where;
}

/**
 * cpuid_word_emulated - bits of a word that a guest can have on any host
 * @word: which word
 */
u32 cpuid_word_emulated(enum cpuid_word word)
{
	return words[word].emulated | words[word].soft;
}

static u32 host_max(const struct cpuid_host *host, u32 base)
{
	u32 out[4];

	host->cpuid(base, 0, out);
	/* A CPU without the range answers with another leaf's values. */
	return (out[CPUID_REG_EAX] ^ base) & 0xffff0000 ? 0 : out[CPUID_REG_EAX];
}

static u32 host_word(const struct cpuid_host *host, const struct cpuid_where *where)
{
	u32 out[4];

	if (host_max(host, where->leaf & 0x80000000) < where->leaf)
		return 0;
	if (where->leaf == 7 && where->subleaf) {
		host->cpuid(7, 0, out);
		if (out[CPUID_REG_EAX] < where->subleaf)
			return 0;
	}
	host->cpuid(where->leaf, where->subleaf, out);
	return out[where->reg];
}

static void copy_bit(struct cpuid_caps *caps, enum cpuid_word from, u32 from_bits,
		     enum cpuid_word to, u32 to_bits)
{
	if ((caps->word[from] & from_bits) == from_bits)
		caps->word[to] |= to_bits;
}

/*
 * One and the same MSR bits under each vendor's name: a guest of either vendor's CPUID model can
 * be told of them.
 */
static void cross_vendor(struct cpuid_caps *caps)
{
	copy_bit(caps, WORD_8000_0008_EBX, B(12) | B(14), WORD_7_0_EDX, B(26));
	copy_bit(caps, WORD_8000_0008_EBX, B(15), WORD_7_0_EDX, B(27));
	copy_bit(caps, WORD_8000_0008_EBX, B(24), WORD_7_0_EDX, B(31));
	copy_bit(caps, WORD_7_0_EDX, B(26), WORD_8000_0008_EBX, B(12) | B(14));
	copy_bit(caps, WORD_7_0_EDX, B(27), WORD_8000_0008_EBX, B(15));
	copy_bit(caps, WORD_7_0_EDX, B(31), WORD_8000_0008_EBX, B(24));
}

/* What depends on state that the module may be unable to switch. */
static void drop_without_state(struct cpuid_caps *caps, const struct cpuid_host *host)
{
	if (!host->xcr0)
		caps->word[WORD_1_ECX] &= ~(B(12) | B(26) | B(28) | B(29));
	if (!host->xcr0)
		caps->word[WORD_D_1_EAX] = 0;
	if (!(host->xcr0 & 4)) {	/* AVX FMA F16C; AVX2, VAES, VPCLMULQDQ; XOP FMA4 */
		caps->word[WORD_1_ECX] &= ~(B(12) | B(28) | B(29));
		caps->word[WORD_7_0_EBX] &= ~B(5);
		caps->word[WORD_7_0_ECX] &= ~(B(9) | B(10));
		caps->word[WORD_7_1_EAX] &= ~(B(4) | B(23));
		caps->word[WORD_7_1_EDX] = 0;
		caps->word[WORD_8000_0001_ECX] &= ~(B(11) | B(16));
	}
	if ((host->xcr0 & 0xe0) != 0xe0) {	/* AVX-512 */
		caps->word[WORD_7_0_EBX] &=
			~(B(16) | B(17) | B(21) | B(26) | B(27) | B(28) | B(30) | B(31));
		caps->word[WORD_7_0_ECX] &= ~(B(1) | B(6) | B(11) | B(12) | B(14));
		caps->word[WORD_7_0_EDX] &= ~(B(2) | B(3) | B(8) | B(23));
		caps->word[WORD_7_1_EAX] &= ~B(5);
	}
	if (!host->pku || !(host->xcr0 & B(9)))
		caps->word[WORD_7_0_ECX] &= ~B(3);
	if (!host->gb_pages)
		caps->word[WORD_8000_0001_EDX] &= ~B(26);
	/* LFENCE serializes; there is no SMM control register. */
	if (host->lfence)
		caps->word[WORD_8000_0021_EAX] |= B(2) | B(9);
}

/**
 * cpuid_caps_init - compute the words of features that guests can have on this host
 * @caps: where to
 * @host: the host
 */
void cpuid_caps_init(struct cpuid_caps *caps, const struct cpuid_host *host)
{
	int i;

	for (i = 0; i < CPUID_WORDS; i++)
		caps->word[i] = host_word(host, &words[i].where) & words[i].pass & host->kernel(i);
	cross_vendor(caps);
	drop_without_state(caps, host);
	for (i = 0; i < CPUID_WORDS; i++)
		caps->word[i] |= words[i].emulated;
}

/**
 * cpuid_xsave_size - bytes of an XSAVE area that holds the given components
 * @host: the host
 * @features: component bits, XCR0's and XSS's
 * @compacted: XSAVEC's and XSAVES' layout, else the standard one
 *
 * SDM vol. 1, 13.4.2 and 13.4.3. The first 576 bytes are always there.
 */
u32 cpuid_xsave_size(const struct cpuid_host *host, u64 features, bool compacted)
{
	u32 size = 576, out[4], offset;
	int i;

	for (i = 2; i < 63; i++) {
		if (!(features & (1ull << i)))
			continue;
		host->cpuid(0xd, i, out);
		if (!compacted)
			offset = out[CPUID_REG_EBX];
		else
			offset = out[CPUID_REG_ECX] & 2 ? (size + 63) & ~63u : size;
		if (offset + out[CPUID_REG_EAX] > size)
			size = offset + out[CPUID_REG_EAX];
	}
	return size;
}

struct list {
	const struct cpuid_host *host;
	const struct cpuid_caps *caps;
	struct kvm_cpuid_entry2 *entries;
	int n, max;
	struct kvm_cpuid_entry2 overflow;	/* filled and forgotten when @entries is full */
};

static void set(struct kvm_cpuid_entry2 *e, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	e->eax = eax;
	e->ebx = ebx;
	e->ecx = ecx;
	e->edx = edx;
}

/* A new entry, with the host's registers in it. */
static struct kvm_cpuid_entry2 *add(struct list *list, u32 leaf, u32 subleaf, bool has_subleaves)
{
	struct kvm_cpuid_entry2 *e =
		list->n < list->max ? &list->entries[list->n] : &list->overflow;
	u32 out[4];

	list->n++;
	*e = (struct kvm_cpuid_entry2) {
		.function = leaf,
		.index = subleaf,
		.flags = has_subleaves ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
	};
	list->host->cpuid(leaf, subleaf, out);
	set(e, out[0], out[1], out[2], out[3]);
	return e;
}

/* AMD's leaf 8000_001D and Intel's leaf 4: a subleaf a cache, up to one of type 0. */
static void add_caches(struct list *list, u32 leaf)
{
	struct kvm_cpuid_entry2 *e;
	u32 i = 0;

	do {
		e = add(list, leaf, i++, true);
	} while (e->eax & 0x1f && i < 16);
}

static void add_extended_features(struct list *list)
{
	struct kvm_cpuid_entry2 *e = add(list, 7, 0, true);
	const u32 *w = list->caps->word;
	u32 subleaves = e->eax ? 1 : 0;

	set(e, subleaves, w[WORD_7_0_EBX], w[WORD_7_0_ECX], w[WORD_7_0_EDX]);
	if (subleaves)
		set(add(list, 7, 1, true), w[WORD_7_1_EAX], 0, 0, w[WORD_7_1_EDX]);
}

static void add_xstate(struct list *list)
{
	const struct cpuid_host *host = list->host;
	struct kvm_cpuid_entry2 *e = add(list, 0xd, 0, true);
	u32 size = cpuid_xsave_size(host, host->xcr0, false);
	u32 features = list->caps->word[WORD_D_1_EAX];
	int i;

	if (!host->xcr0) {
		set(e, 0, 0, 0, 0);
		return;
	}
	set(e, host->xcr0, size, size, host->xcr0 >> 32);
	e = add(list, 0xd, 1, true);
	size = features & 0xa ? cpuid_xsave_size(host, host->xcr0 | host->xss, true) : 0;
	set(e, features, size, host->xss, host->xss >> 32);
	for (i = 2; i < 63; i++) {
		if (!((host->xcr0 | host->xss) & (1ull << i)))
			continue;
		e = add(list, 0xd, i, true);
		/* Of ECX, bit 0 says XSS and bit 1 aligned; bit 2, XFD, is not there. */
		set(e, e->eax, e->ebx, e->ecx & 3, 0);
	}
}

static void add_leaf_1(struct list *list)
{
	struct kvm_cpuid_entry2 *e = add(list, 1, 0, false);

	/* EBX 31..24 is the host CPU's own APIC id. */
	set(e, e->eax, e->ebx & 0x00ffffff, list->caps->word[WORD_1_ECX],
	    list->caps->word[WORD_1_EDX]);
}

static void add_address_sizes(struct list *list)
{
	struct kvm_cpuid_entry2 *e = add(list, 0x80000008, 0, false);
	u32 phys = list->host->phys_bits, virt = e->eax >> 8 & 0xff;

	/* AMD gives hypervisors a width for guests in bits 23..16. */
	if (!phys)
		phys = e->eax >> 16 & 0xff;
	if (!phys)
		phys = e->eax & 0xff;
	if (virt < 48)
		virt = 48;
	set(e, phys | virt << 8, list->caps->word[WORD_8000_0008_EBX], e->ecx & 0xf0ff, 0);
}

static void add_basic(struct list *list, u32 leaf)
{
	struct kvm_cpuid_entry2 *e;

	switch (leaf) {
	case 1:
		add_leaf_1(list);
		break;
	case 2:
		add(list, leaf, 0, false);
		break;
	case 4:
		add_caches(list, leaf);
		break;
	case 6:
		/* ARAT: our local APIC's timer never stops. */
		set(add(list, leaf, 0, false), 4, 0, 0, 0);
		break;
	case 7:
		add_extended_features(list);
		break;
	case 0xb:
	case 0x1f:
		/* No topology: user space knows it, and fills these in. */
		e = add(list, leaf, 0, true);
		set(e, 0, 0, 0, 0);
		break;
	case 0xd:
		add_xstate(list);
		break;
	default:
		set(add(list, leaf, 0, false), 0, 0, 0, 0);
	}
}

static void add_extended(struct list *list, u32 leaf)
{
	const u32 *w = list->caps->word;
	struct kvm_cpuid_entry2 *e;

	switch (leaf) {
	case 0x80000001:
		e = add(list, leaf, 0, false);
		set(e, e->eax, e->ebx, w[WORD_8000_0001_ECX], w[WORD_8000_0001_EDX]);
		break;
	case 0x80000002 ... 0x80000006:
	case 0x80000019:
	case 0x8000001a:
		add(list, leaf, 0, false);
		break;
	case 0x80000007:
		set(add(list, leaf, 0, false), 0, 0, 0, w[WORD_8000_0007_EDX]);
		break;
	case 0x80000008:
		add_address_sizes(list);
		break;
	case 0x8000001d:
		add_caches(list, leaf);
		break;
	case 0x80000021:
		set(add(list, leaf, 0, false), w[WORD_8000_0021_EAX], 0, 0, 0);
		break;
	default:
		/* 8000_001E too: it names the host CPU's core and node. */
		set(add(list, leaf, 0, false), 0, 0, 0, 0);
	}
}

static u32 min_u32(u32 a, u32 b)
{
	return a < b ? a : b;
}

/**
 * cpuid_fill_supported - the answer to KVM_GET_SUPPORTED_CPUID
 * @host: the host
 * @caps: its caps
 * @entries: where to
 * @max: room there
 *
 * Return: how many entries there are; when more than @max, the first @max are filled.
 */
int cpuid_fill_supported(const struct cpuid_host *host, const struct cpuid_caps *caps,
			 struct kvm_cpuid_entry2 *entries, int max)
{
	struct list list = { .host = host, .caps = caps, .entries = entries, .max = max };
	struct kvm_cpuid_entry2 *e;
	u32 leaf, last;

	last = min_u32(host_max(host, 0), 0x1f);
	add(&list, 0, 0, false)->eax = last;
	for (leaf = 1; leaf <= last; leaf++)
		add_basic(&list, leaf);

	last = min_u32(host_max(host, 0x80000000), LAST_EXTENDED);
	if (last && host->lfence)
		last = LAST_EXTENDED;
	if (last) {
		add(&list, 0x80000000, 0, false)->eax = last;
		for (leaf = 0x80000001; leaf <= last; leaf++)
			add_extended(&list, leaf);
	}

	/* "KVMKVMKVM\0\0\0" */
	e = add(&list, 0x40000000, 0, false);
	set(e, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	e = add(&list, 0x40000001, 0, false);
	set(e, host->pv_features, 0, 0, 0);
	return list.n;
}
