// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest page walk: single rules by hand, then random tables against a second, plain reading
 * of the manuals, which has one function a paging mode and none of the walker's tables.
 */
#include <string.h>

#include "mmu/walk.h"
#include "tap.h"

#define P	0x1ull
#define W	0x2ull
#define U	0x4ull
#define A	0x20ull
#define D	0x40ull
#define PS	0x80ull
#define G	0x100ull
#define NX	(1ull << 63)
#define PAGE	0x1000ull

#define RAM_PAGES	16
static uint8_t ram[RAM_PAGES * PAGE];
static bool read_only;
static int races;		/* so many updates find that somebody else was quicker */
static unsigned int updates;

static int ram_read(void *priv, u64 gpa, u64 *entry, unsigned int bytes)
{
	if (gpa % bytes)
		abort();
	if (gpa >= sizeof(ram))
		return WALK_NO_RAM;
	memcpy(entry, ram + gpa, bytes);
	return 0;
}

static int ram_update(void *priv, u64 gpa, u64 old, u64 new, unsigned int bytes)
{
	u64 now = 0;

	/* An entry that is its own table's is met twice, and differs the second time. */
	ram_read(priv, gpa, &now, bytes);
	if (now != old)
		return 1;
	updates++;
	if (read_only)
		return WALK_READ_ONLY;
	if (races) {
		races--;
		return 1;
	}
	memcpy(ram + gpa, &new, bytes);
	return 0;
}

static const struct walk_ops ops = { ram_read, ram_update };

static u64 rd(u64 gpa, int bytes)
{
	u64 v = 0;

	if (gpa + bytes <= sizeof(ram))
		memcpy(&v, ram + gpa, bytes);
	return v;
}

static void wr(u64 gpa, u64 v, int bytes)
{
	memcpy(ram + gpa, &v, bytes);
}

static struct walk_ctxt ctxt;
static struct okvm_walk_fault fault;
static u64 gpa;

static int walk(u64 linear, u32 access)
{
	memset(&fault, 0, sizeof(fault));
	gpa = ~0ull;
	return walk_translate(&ctxt, linear, access, &gpa, &fault);
}

static void reset(const struct walk_mode *mode, u32 features)
{
	memset(ram, 0, sizeof(ram));
	read_only = false;
	races = 0;
	updates = 0;
	ctxt = (struct walk_ctxt){
		.mode = mode, .features = features, .reserved_gpa = ~0ull << 40, .ops = &ops,
	};
}

/* Four levels at pages 1 to 4 of RAM; the leaf for linear 0 maps 0x123000. */
static void simple_tables(u32 features)
{
	reset(&walk_4_level, features);
	ctxt.cr3 = 1 * PAGE;
	wr(1 * PAGE, 2 * PAGE | P | W | U, 8);
	wr(2 * PAGE, 3 * PAGE | P | W | U, 8);
	wr(3 * PAGE, 4 * PAGE | P | W | U, 8);
	wr(4 * PAGE, 0x123000 | P | W | U, 8);
}

static void expect_fault(u64 linear, u32 access, u32 error)
{
	CHECK_EQ(walk(linear, access), 1);
	CHECK_EQ(fault.vector, 14);
	CHECK_EQ(fault.error, error);
	CHECK_EQ(fault.address, linear);
}

static void no_paging(void)
{
	reset(&walk_none, 0);
	CHECK_EQ(walk(0x1fffffff3ull, ACCESS_WRITE), 0);
	CHECK_EQ(gpa, 0xfffffff3);
	CHECK_EQ(updates, 0);
}

static void modes_by_registers(void)
{
	CHECK(walk_mode_of(false, true, false, true) == &walk_none);
	CHECK(walk_mode_of(true, false, false, false) == &walk_32);
	CHECK(walk_mode_of(true, true, false, true) == &walk_pae);
	CHECK(walk_mode_of(true, true, true, false) == &walk_4_level);
	CHECK(walk_mode_of(true, true, true, true) == &walk_5_level);
}

static void maps_and_marks(void)
{
	simple_tables(0);
	CHECK_EQ(walk(0x456, ACCESS_READ), 0);
	CHECK_EQ(gpa, 0x123456);
	CHECK_EQ(rd(1 * PAGE, 8), 2 * PAGE | P | W | U | A);
	CHECK_EQ(rd(4 * PAGE, 8), 0x123000 | P | W | U | A);
	CHECK_EQ(updates, 4);
	CHECK_EQ(walk(0x456, ACCESS_WRITE), 0);
	CHECK_EQ(rd(3 * PAGE, 8), 4 * PAGE | P | W | U | A);
	CHECK_EQ(rd(4 * PAGE, 8), 0x123000 | P | W | U | A | D);
	CHECK_EQ(updates, 5);
	CHECK_EQ(walk(0x456, ACCESS_WRITE), 0);
	CHECK_EQ(updates, 5);
}

static void canonical_addresses(void)
{
	simple_tables(0);
	CHECK_EQ(walk(0x0000800000000000ull, ACCESS_READ), 1);
	CHECK_EQ(fault.vector, 13);
	CHECK_EQ(fault.error, 0);
	CHECK_EQ(walk(0xffff7fffffffffffull, ACCESS_READ), 1);
	CHECK_EQ(fault.vector, 13);
	expect_fault(0xffff800000000000ull, ACCESS_READ, 0);
	ctxt.mode = &walk_5_level;
	expect_fault(0x0000800000000000ull, ACCESS_READ, 0);
	CHECK_EQ(walk(0x0100000000000000ull, ACCESS_READ), 1);
	CHECK_EQ(fault.vector, 13);
}

static void a_fault_marks_nothing(void)
{
	simple_tables(WALK_WP);
	wr(4 * PAGE, 0x123000 | P, 8);
	expect_fault(0, ACCESS_WRITE, 3);
	expect_fault(0, ACCESS_READ | ACCESS_USER, 5);
	CHECK_EQ(updates, 0);
}

static void write_protect(void)
{
	simple_tables(0);
	wr(2 * PAGE, 3 * PAGE | P | U, 8);
	CHECK_EQ(walk(0, ACCESS_WRITE), 0);
	expect_fault(0, ACCESS_WRITE | ACCESS_USER, 7);
	ctxt.features = WALK_WP;
	expect_fault(0, ACCESS_WRITE, 3);
}

static void no_execute(void)
{
	simple_tables(0);
	wr(3 * PAGE, 4 * PAGE | P | W | U | NX, 8);
	/* Without EFER.NXE the bit is reserved, and a fetch is not told apart. */
	expect_fault(0, ACCESS_READ, 9);
	expect_fault(0, ACCESS_EXEC, 9);
	ctxt.features = WALK_NX;
	CHECK_EQ(walk(0, ACCESS_READ), 0);
	expect_fault(0, ACCESS_EXEC, 0x11);
	expect_fault(0, ACCESS_EXEC | ACCESS_USER, 0x15);
}

static void smep_and_smap(void)
{
	simple_tables(WALK_SMEP);
	CHECK_EQ(walk(0, ACCESS_READ), 0);
	expect_fault(0, ACCESS_EXEC, 0x11);
	CHECK_EQ(walk(0, ACCESS_EXEC | ACCESS_USER), 0);
	ctxt.features = WALK_SMAP;
	expect_fault(0, ACCESS_READ, 1);
	expect_fault(0, ACCESS_WRITE, 3);
	CHECK_EQ(walk(0, ACCESS_EXEC), 0);
	CHECK_EQ(walk(0, ACCESS_READ | ACCESS_USER), 0);
	ctxt.features = WALK_SMAP | WALK_AC;
	CHECK_EQ(walk(0, ACCESS_READ), 0);
	expect_fault(0, ACCESS_READ | ACCESS_IMPLICIT, 1);
}

static void protection_keys(void)
{
	simple_tables(WALK_PKE);
	wr(4 * PAGE, 0x123000 | P | W | U | 3ull << 59, 8);
	ctxt.pkru = 1u << 6;
	expect_fault(0, ACCESS_READ | ACCESS_USER, 0x25);
	expect_fault(0, ACCESS_WRITE, 0x23);
	CHECK_EQ(walk(0, ACCESS_EXEC | ACCESS_USER), 0);
	ctxt.pkru = 2u << 6;
	CHECK_EQ(walk(0, ACCESS_READ | ACCESS_USER), 0);
	expect_fault(0, ACCESS_WRITE | ACCESS_USER, 0x27);
	CHECK_EQ(walk(0, ACCESS_WRITE), 0);
	ctxt.features |= WALK_WP;
	expect_fault(0, ACCESS_WRITE, 0x23);
	wr(4 * PAGE, 0x123000 | P | W | 3ull << 59, 8);
	CHECK_EQ(walk(0, ACCESS_WRITE), 0);
}

static void gigabyte_pages(void)
{
	simple_tables(0);
	wr(2 * PAGE, 1ull << 30 | P | W | U | PS, 8);
	expect_fault(0x12345678, ACCESS_READ, 9);
	ctxt.features = WALK_1G;
	CHECK_EQ(walk(0x12345678, ACCESS_WRITE), 0);
	CHECK_EQ(gpa, 0x52345678);
	CHECK_EQ(rd(2 * PAGE, 8), 1ull << 30 | P | W | U | PS | A | D);
	wr(2 * PAGE, 1ull << 30 | P | W | U | PS | PAGE, 8);	/* the PAT bit */
	CHECK_EQ(walk(0x12345678, ACCESS_READ), 0);
	CHECK_EQ(gpa, 0x52345678);
	wr(2 * PAGE, 1ull << 30 | P | W | U | PS | 1 << 29, 8);
	expect_fault(0, ACCESS_READ, 9);
}

static void physical_width(void)
{
	simple_tables(0);
	wr(3 * PAGE, 4 * PAGE | P | 1ull << 40, 8);
	expect_fault(0, ACCESS_READ, 9);
	/* Bits 52 and up are software's in long mode. */
	wr(3 * PAGE, 4 * PAGE | P | 1ull << 55, 8);
	CHECK_EQ(walk(0, ACCESS_READ), 0);
}

static void global_bit_on_top(void)
{
	simple_tables(0);
	wr(1 * PAGE, 2 * PAGE | P | G, 8);
	CHECK_EQ(walk(0, ACCESS_READ), 0);
	ctxt.features = WALK_AMD;
	expect_fault(0, ACCESS_READ, 9);
}

static void pse36(void)
{
	reset(&walk_32, WALK_PSE);
	ctxt.cr3 = PAGE;
	wr(PAGE + 4, 0x00c00000 | P | W | PS | 0x5 << 13, 4);
	CHECK_EQ(walk(0x00412345, ACCESS_WRITE), 0);
	CHECK_EQ(gpa, 0x500c12345ull);
	CHECK_EQ(rd(PAGE + 4, 4), (u64)(0x00c00000 | P | W | PS | A | D | 0x5 << 13));
	ctxt.reserved_gpa = ~0ull << 34;
	expect_fault(0x00412345, ACCESS_READ, 9);
	ctxt.features = 0;	/* without CR4.PSE it points to a table */
	wr(PAGE + 4, 2 * PAGE | P | PS, 4);
	wr(2 * PAGE + 0x12 * 4, 0x777000 | P, 4);
	CHECK_EQ(walk(0x00412345, ACCESS_READ), 0);
	CHECK_EQ(gpa, 0x777345);
}

static void pae_root(void)
{
	reset(&walk_pae, 0);
	ctxt.cr3 = 0x1020;	/* 32-byte aligned, not a page */
	wr(0x1028, 2 * PAGE | P, 8);
	wr(2 * PAGE, 0x200000 | P | W | PS, 8);
	CHECK_EQ(walk(0x40000123, ACCESS_WRITE), 0);
	CHECK_EQ(gpa, 0x200123);
	CHECK_EQ(rd(0x1028, 8), 2 * PAGE | P);	/* has no accessed bit */
	wr(0x1028, 2 * PAGE | P | 0x60, 8);	/* but an emulated CPU may set it */
	CHECK_EQ(walk(0x40000123, ACCESS_READ), 0);
	wr(0x1028, 2 * PAGE | P | W, 8);	/* nor a write bit */
	expect_fault(0x40000123, ACCESS_READ, 9);
	wr(0x1028, 2 * PAGE | P | 0x80, 8);
	expect_fault(0x40000123, ACCESS_READ, 9);
}

static void tables_nowhere(void)
{
	simple_tables(0);
	wr(2 * PAGE, 0x7fff000 | P | W | U, 8);
	expect_fault(0x1000, ACCESS_WRITE | ACCESS_USER, 6);
	ctxt.cr3 = 0xfffff000;
	expect_fault(0x1000, ACCESS_READ, 0);
}

static void tables_in_rom(void)
{
	simple_tables(0);
	read_only = true;
	CHECK_EQ(walk(0x10, ACCESS_WRITE), 0);
	CHECK_EQ(gpa, 0x123010);
	CHECK_EQ(rd(4 * PAGE, 8), 0x123000 | P | W | U);
}

static void lost_races(void)
{
	simple_tables(0);
	races = 3;
	CHECK_EQ(walk(0x10, ACCESS_WRITE), 0);
	CHECK_EQ(gpa, 0x123010);
	CHECK_EQ(rd(4 * PAGE, 8), 0x123000 | P | W | U | A | D);
	CHECK_EQ(updates, 3 + 4);
}

/* ---- the second reading ---- */

struct verdict {
	int result;
	u32 error;
	u8 vector;
	u64 gpa;
};

static u64 marks[5], mark_at[5];	/* what the walk sets, per entry on the way */
static int nr_marks, entry_bytes;
static bool user_ok, write_ok, fetch_ok;
static u64 leaf_entry;

static bool f(u32 bit)
{
	return ctxt.features & bit;
}

static struct verdict refuse(u32 access, u32 error, bool nx_told)
{
	error |= (access & ACCESS_WRITE ? 2 : 0) | (access & ACCESS_USER ? 4 : 0);
	if ((access & ACCESS_EXEC) && ((f(WALK_NX) && nx_told) || f(WALK_SMEP)))
		error |= 16;
	return (struct verdict){ .result = 1, .error = error, .vector = 14 };
}

/* 0: go on. -1: not present, -2: reserved. */
static int take(u64 at, u64 *entry, u64 reserved, bool has_rights)
{
	*entry = rd(at, entry_bytes);
	if (!(*entry & P))
		return -1;
	if (*entry & reserved)
		return -2;
	if (has_rights) {
		user_ok &= !!(*entry & U);
		write_ok &= !!(*entry & W);
		fetch_ok &= entry_bytes == 4 || !(*entry & NX);
		mark_at[nr_marks] = at;
		marks[nr_marks++] = A;
	}
	leaf_entry = *entry;
	return 0;
}

static struct verdict judge(u32 access, u64 where, bool long_mode)
{
	bool user = access & ACCESS_USER, write = access & ACCESS_WRITE;
	bool exec = access & ACCESS_EXEC, pae = entry_bytes == 8;
	bool excused = f(WALK_AC) && !(access & ACCESS_IMPLICIT);
	int i, key = leaf_entry >> 59 & 15;

	if (user && (!user_ok || (write && !write_ok)))
		return refuse(access, 1, pae);
	if (exec && !fetch_ok)
		return refuse(access, 1, pae);
	if (!user && exec && user_ok && f(WALK_SMEP))
		return refuse(access, 1, pae);
	if (!user && !exec && user_ok && f(WALK_SMAP) && !excused)
		return refuse(access, 1, pae);
	if (!user && write && !write_ok && f(WALK_WP))
		return refuse(access, 1, pae);
	if (long_mode && f(WALK_PKE) && user_ok && !exec) {
		if (ctxt.pkru >> (2 * key) & 1)
			return refuse(access, 0x21, pae);
		if ((ctxt.pkru >> (2 * key) & 2) && write && (user || f(WALK_WP)))
			return refuse(access, 0x21, pae);
	}
	if (write)
		marks[nr_marks - 1] |= D;
	for (i = 0; i < nr_marks; i++)
		wr(mark_at[i], rd(mark_at[i], entry_bytes) | marks[i], entry_bytes);
	return (struct verdict){ .gpa = where };
}

static struct verdict read_32(u32 lin, u32 access)
{
	u64 pde, pte, high;
	int r;

	entry_bytes = 4;
	r = take((ctxt.cr3 & 0xfffff000) + (lin >> 22) * 4, &pde, 0, true);
	if (!r && (pde & PS) && f(WALK_PSE)) {
		high = (pde >> 13 & 0xff) << 32;
		if ((pde & 1 << 21) || (high & ctxt.reserved_gpa))
			return refuse(access, 9, false);
		return judge(access, high | (pde & 0xffc00000) | (lin & 0x3fffff), false);
	}
	if (!r)
		r = take((pde & 0xfffff000) + (lin >> 12 & 0x3ff) * 4, &pte, 0, true);
	if (r)
		return refuse(access, 0, false);
	return judge(access, (pte & 0xfffff000) | (lin & 0xfff), false);
}

/* The part that PAE and long mode share: page directory and below. */
static struct verdict read_pd(u64 pd, u64 lin, u32 access, u64 reserved, bool long_mode)
{
	u64 addr = 0x000ffffffffff000ull, pde, pte;
	int r = take(pd + (lin >> 21 & 0x1ff) * 8, &pde, reserved, true);

	if (!r && (pde & PS)) {
		if (pde & 0x1fe000)
			return refuse(access, 9, true);
		return judge(access, (pde & addr & ~0x1fffffull) | (lin & 0x1fffff), long_mode);
	}
	if (!r)
		r = take((pde & addr) + (lin >> 12 & 0x1ff) * 8, &pte, reserved, true);
	if (r)
		return refuse(access, r == -1 ? 0 : 9, true);
	return judge(access, (pte & addr) | (lin & 0xfff), long_mode);
}

static struct verdict read_pae(u32 lin, u32 access)
{
	u64 wide = ctxt.reserved_gpa & 0x000ffffffffff000ull;
	u64 reserved = wide | 0x7ff0000000000000ull | (f(WALK_NX) ? 0 : NX);
	u64 pdpte;
	int r;

	entry_bytes = 8;
	r = take((ctxt.cr3 & 0xffffffe0) + (lin >> 30) * 8, &pdpte,
		 wide | 0xfff0000000000186ull, false);	/* as walk.c: 5 and 6 are let be */
	if (r)
		return refuse(access, r == -1 ? 0 : 9, true);
	return read_pd(pdpte & 0x000ffffffffff000ull, lin, access, reserved, false);
}

static struct verdict read_long(u64 lin, u32 access, int levels)
{
	u64 addr = 0x000ffffffffff000ull, table = ctxt.cr3 & addr, e;
	u64 reserved = (ctxt.reserved_gpa & addr) | (f(WALK_NX) ? 0 : NX);
	int r, bits = levels == 5 ? 57 : 48;
	u64 sign = ~0ull << (bits - 1);

	if ((lin & sign) && (lin & sign) != sign)
		return (struct verdict){ .result = 1, .vector = 13 };
	entry_bytes = 8;
	for (; levels > 3; levels--) {
		r = take(table + (lin >> (12 + 9 * (levels - 1)) & 0x1ff) * 8, &e,
			 reserved | PS | (f(WALK_AMD) ? G : 0), true);
		if (r)
			return refuse(access, r == -1 ? 0 : 9, true);
		table = e & addr;
	}
	r = take(table + (lin >> 30 & 0x1ff) * 8, &e, reserved | (f(WALK_1G) ? 0 : PS), true);
	if (r)
		return refuse(access, r == -1 ? 0 : 9, true);
	if (e & PS) {
		if (e & 0x3fffe000)
			return refuse(access, 9, true);
		return judge(access, (e & addr & ~0x3fffffffull) | (lin & 0x3fffffff), true);
	}
	return read_pd(e & addr, lin, access, reserved, true);
}

static struct verdict second_reading(u64 linear, u32 access)
{
	nr_marks = 0;
	user_ok = write_ok = fetch_ok = true;
	if (ctxt.mode == &walk_32)
		return read_32(linear, access);
	if (ctxt.mode == &walk_pae)
		return read_pae(linear, access);
	return read_long(linear, access, ctxt.mode == &walk_5_level ? 5 : 4);
}

static u64 random_entry(int bytes)
{
	u64 e = random_below(RAM_PAGES + 1) << 12;

	e |= random64() & (W | U | A | D | G);
	if (random_below(10))
		e |= P;
	if (random_below(4))
		e |= W | U;
	if (!random_below(4))
		e |= PS;
	if (!random_below(3))
		e &= ~(0xffull << 13);
	if (bytes == 4)
		return e;
	if (!random_below(6))
		e |= NX;
	if (!random_below(4))
		e |= (random64() & 15) << 59;
	if (!random_below(12))
		e |= 1ull << random_below(64);
	return e;
}

static u64 random_linear(void)
{
	u64 lin = random64();

	/* Low indices, so that the few tables are met again and again. */
	lin &= 0x01c0e07038181fffull | random64();
	if (random_below(8))
		lin &= 0x007fffffffffffffull >> random_below(9);
	if (!random_below(8))
		lin |= ~0ull << 47;
	return lin;
}

static u32 random_access(void)
{
	static const u32 kinds[] = { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };
	u32 access = kinds[random_below(3)];

	if (random_below(2))
		access |= ACCESS_USER;
	else if (!(access & ACCESS_EXEC) && !random_below(3))
		access |= ACCESS_IMPLICIT;
	return access;
}

static unsigned int allowed, refused;

static void one_random_walk(u64 linear, u32 access)
{
	static uint8_t before[sizeof(ram)], expected[sizeof(ram)];
	struct verdict v;
	int r;

	memcpy(before, ram, sizeof(ram));
	v = second_reading(linear, access);
	memcpy(expected, ram, sizeof(ram));
	memcpy(ram, before, sizeof(ram));
	r = walk(linear, access);
	CHECK_EQ(r, v.result);
	CHECK(memcmp(ram, expected, sizeof(ram)) == 0);
	if (r) {
		CHECK_EQ(fault.vector, v.vector);
		CHECK_EQ(fault.error, v.error);
		refused++;
	} else {
		CHECK_EQ(gpa, v.gpa);
		allowed++;
	}
}

static void against_second_reading(void)
{
	static const struct walk_mode *const modes[] = {
		&walk_32, &walk_pae, &walk_4_level, &walk_5_level
	};
	int round, i, bytes;

	for (round = 0; round < 1000 && !failed_what; round++) {
		reset(modes[round % 4], random64() & 0x1ff);
		bytes = ctxt.mode->entry_bytes;
		for (i = 0; i < (int)sizeof(ram); i += bytes)
			wr(i, random_entry(bytes), bytes);
		ctxt.cr3 = (random_below(RAM_PAGES) << 12) | (random64() & 0xfff);
		ctxt.pkru = random64();
		ctxt.reserved_gpa = ~0ull << (32 + random_below(21));
		for (i = 0; i < 200 && !failed_what; i++)
			one_random_walk(random_linear(), random_access());
	}
	printf("# %u allowed, %u refused\n", allowed, refused);
	/* A comparison that only ever meets faults would prove little. */
	CHECK(allowed > 10000 && refused > 10000);
}

int main(void)
{
	RUN(no_paging);
	RUN(modes_by_registers);
	RUN(maps_and_marks);
	RUN(canonical_addresses);
	RUN(a_fault_marks_nothing);
	RUN(write_protect);
	RUN(no_execute);
	RUN(smep_and_smap);
	RUN(protection_keys);
	RUN(gigabyte_pages);
	RUN(physical_width);
	RUN(global_bit_on_top);
	RUN(pse36);
	RUN(pae_root);
	RUN(tables_nowhere);
	RUN(tables_in_rom);
	RUN(lost_races);
	RUN(against_second_reading);
	return finish();
}
