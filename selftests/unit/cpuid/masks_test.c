// SPDX-License-Identifier: GPL-2.0-only
/* What guests are offered of made-up hosts: nothing that the module cannot give. */
#include <stdbool.h>
#include <string.h>

#include "cpuid_masks.h"
#include "tap.h"

#define EAX CPUID_REG_EAX
#define EBX CPUID_REG_EBX
#define ECX CPUID_REG_ECX
#define EDX CPUID_REG_EDX

/* A host that claims every feature there is or will be. */
static void all_ones(u32 leaf, u32 subleaf, u32 out[4])
{
	memset(out, 0xff, 16);
	if (leaf == 0)
		out[EAX] = 0x20;
	if (leaf == 0x80000000)
		out[EAX] = 0x80000028;
	if (leaf == 7 && !subleaf)
		out[EAX] = 2;
	if ((leaf == 4 || leaf == 0x8000001d) && subleaf >= 3)
		memset(out, 0, 16);
	if (leaf == 0xd && subleaf >= 2) {
		out[EAX] = 64;
		out[EBX] = 576 + 64 * subleaf;
		out[ECX] = subleaf & 1 ? 2 : 0;
	}
	if (leaf == 0x80000008)
		out[EAX] = 0x3934;
}

/* A 486 with the instruction: no range but the basic one. */
static void bare(u32 leaf, u32 subleaf, u32 out[4])
{
	memset(out, 0, 16);
	if (leaf == 0)
		out[EAX] = 1;
	else if (leaf == 1)
		out[EDX] = 1;
	else if (leaf >= 0x80000000)
		out[EAX] = 1;
}

static u32 all_bits(enum cpuid_word word)
{
	return ~0u;
}

static u32 no_bits(enum cpuid_word word)
{
	return 0;
}

static struct cpuid_host rich = {
	.cpuid = all_ones,
	.kernel = all_bits,
	.xcr0 = 0x2e7,
	.gb_pages = true,
	.pku = true,
	.pv_features = 0x1234,
};

static struct kvm_cpuid_entry2 entries[256];

static u32 offered(const struct cpuid_host *host, u32 leaf, u32 subleaf, int reg)
{
	struct cpuid_caps caps;
	int i, n;

	cpuid_caps_init(&caps, host);
	n = cpuid_fill_supported(host, &caps, entries, 256);
	CHECK(n > 0 && n <= 256);
	for (i = 0; i < n; i++)
		if (entries[i].function == leaf && entries[i].index == subleaf)
			return (&entries[i].eax)[reg];
	return 0;
}

static void never_offered(void)
{
	static const struct {
		u32 leaf, subleaf;
		int reg, bit;
	} never[] = {
		{ 1, 0, ECX, 5 },  /* VMX */
		{ 1, 0, ECX, 3 },  /* MONITOR */
		{ 1, 0, ECX, 24 }, /* TSC_DEADLINE: user space adds it */
		{ 1, 0, ECX, 27 }, /* OSXSAVE */
		{ 1, 0, EDX, 18 }, /* serial number */
		{ 1, 0, EDX, 21 }, /* debug store */
		{ 7, 0, EBX, 14 }, /* MPX */
		{ 7, 0, EBX, 2 },  /* SGX */
		{ 7, 0, EBX, 25 }, /* processor trace */
		{ 7, 0, ECX, 4 },  /* OSPKE */
		{ 7, 0, ECX, 7 },  /* shadow stacks */
		{ 7, 0, EDX, 22 },	    { 7, 0, EDX, 24 },	       { 7, 0, EDX, 25 }, /* AMX */
		{ 7, 0, EDX, 20 },	    /* indirect branch tracking */
		{ 0xd, 1, EAX, 4 },	    /* XFD */
		{ 0x80000001, 0, ECX, 2 },  /* SVM */
		{ 0x80000001, 0, ECX, 3 },  /* extended APIC space */
		{ 0x80000001, 0, ECX, 10 }, /* IBS */
		{ 0x8000000a, 0, EDX, 0 },  { 0x8000001f, 0, EAX, 1 }, /* SEV */
		{ 0xa, 0, EAX, 0 },				       /* performance counters */
		{ 0x14, 0, EAX, 0 },	    { 0x12, 0, EAX, 0 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		u32 value = offered(&rich, never[i].leaf, never[i].subleaf, never[i].reg);

		if (value >> never[i].bit & 1)
			printf("# leaf %#x.%u bit %d\n", never[i].leaf, never[i].subleaf,
			       never[i].bit);
		CHECK(!(value >> never[i].bit & 1));
	}
}

static void passed_and_emulated(void)
{
	CHECK(offered(&rich, 7, 0, EBX) & 1u << 5);
	CHECK(offered(&rich, 7, 0, EBX) & 1u << 16);
	CHECK(offered(&rich, 7, 0, ECX) & 1u << 3);
	CHECK(offered(&rich, 0x80000001, 0, EDX) & 1u << 26);
	CHECK(offered(&rich, 1, 0, ECX) & 1u << 31);
	CHECK_EQ(offered(&rich, 0x40000001, 0, EAX), 0x1234);
	CHECK_EQ(offered(&rich, 0xd, 0, EAX), 0x2e7);
	CHECK_EQ(offered(&rich, 0xd, 0, EBX), 576 + 64 * 9 + 64);
	/* APIC ids and topology are the host CPU's own business. */
	CHECK_EQ(offered(&rich, 1, 0, EBX) >> 24, 0);
	CHECK_EQ(offered(&rich, 0xb, 0, EDX), 0);
	CHECK_EQ(offered(&rich, 0x8000001e, 0, EAX), 0);
}

static void state_decides(void)
{
	struct cpuid_host host = rich;

	host.xcr0 = 7; /* no AVX-512, no PKRU */
	CHECK(!(offered(&host, 7, 0, EBX) & (1u << 16 | 3u << 30)));
	CHECK(!(offered(&host, 7, 0, ECX) & (1u << 3 | 1u << 11)));
	CHECK(offered(&host, 7, 0, EBX) & 1u << 5);
	host.xcr0 = 3; /* no AVX */
	CHECK(!(offered(&host, 1, 0, ECX) & (1u << 12 | 1u << 28 | 1u << 29)));
	CHECK(!(offered(&host, 7, 0, EBX) & 1u << 5));
	host.xcr0 = 0; /* no XSAVE */
	CHECK(!(offered(&host, 1, 0, ECX) & 1u << 26));
	CHECK_EQ(offered(&host, 0xd, 0, EAX), 0);
	host = rich;
	host.gb_pages = false;
	CHECK(!(offered(&host, 0x80000001, 0, EDX) & 1u << 26));
	host = rich;
	host.pku = false;
	CHECK(!(offered(&host, 7, 0, ECX) & 1u << 3));
}

static void the_kernel_decides(void)
{
	struct cpuid_host host = rich;

	host.kernel = no_bits;
	CHECK_EQ(offered(&host, 1, 0, EDX), 1u << 9);
	CHECK_EQ(offered(&host, 7, 0, EBX), 1u << 1);
	CHECK_EQ(offered(&host, 0x80000001, 0, EDX), 0);
}

static void one_name_for_the_other(void)
{
	/* IBRS, IBPB, STIBP and SSBD are the same MSR bits for both vendors. */
	CHECK_EQ(offered(&rich, 7, 0, EDX) >> 26 & 3, 3);
	CHECK_EQ(offered(&rich, 0x80000008, 0, EBX) >> 12 & 0xd, 0xd);
}

static void bare_host(void)
{
	struct cpuid_host host = { .cpuid = bare, .kernel = all_bits };

	CHECK_EQ(offered(&host, 0, 0, EAX), 1);
	CHECK_EQ(offered(&host, 1, 0, EDX), 1u | 1u << 9);
	CHECK_EQ(offered(&host, 0x80000000, 0, EAX), 0);
	CHECK_EQ(offered(&host, 0x40000000, 0, EAX), 0x40000001);
}

static void address_widths(void)
{
	struct cpuid_host host = rich;

	CHECK_EQ(offered(&host, 0x80000008, 0, EAX), 0x3934);
	host.phys_bits = 40;
	CHECK_EQ(offered(&host, 0x80000008, 0, EAX), 0x3928);
}

static void too_little_room(void)
{
	struct cpuid_caps caps;
	int n, max;

	cpuid_caps_init(&caps, &rich);
	n = cpuid_fill_supported(&rich, &caps, entries, 256);
	for (max = 0; max < n; max++) {
		struct kvm_cpuid_entry2 *some = malloc((max + !max) * sizeof(*some));

		CHECK_EQ(cpuid_fill_supported(&rich, &caps, some, max), n);
		CHECK(!max || !memcmp(some, entries, max * sizeof(*some)));
		free(some);
	}
}

static void xsave_sizes(void)
{
	CHECK_EQ(cpuid_xsave_size(&rich, 3, false), 576);
	CHECK_EQ(cpuid_xsave_size(&rich, 3, true), 576);
	CHECK_EQ(cpuid_xsave_size(&rich, 7, false), 576 + 128 + 64);
	CHECK_EQ(cpuid_xsave_size(&rich, 7, true), 640);
	/* Component 9 alone: where it stands, or right behind the header. */
	CHECK_EQ(cpuid_xsave_size(&rich, 0x203, false), 576 + 64 * 10);
	CHECK_EQ(cpuid_xsave_size(&rich, 0x203, true), 640);
}

int main(void)
{
	RUN(never_offered);
	RUN(passed_and_emulated);
	RUN(state_decides);
	RUN(the_kernel_decides);
	RUN(one_name_for_the_other);
	RUN(bare_host);
	RUN(address_widths);
	RUN(too_little_room);
	RUN(xsave_sizes);
	return finish();
}
