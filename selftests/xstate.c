// SPDX-License-Identifier: GPL-2.0-only
/* FPU, SSE and AVX state: kept across exits, apart between vCPUs, and the host's own untouched. */

#include "selftest.h"

#define XCR0_X87	1ul
#define XCR0_SSE	2ul
#define XCR0_AVX	4ul

static uint64_t leaf_d_mask;		/* of what XCR0 may hold */

static void need_xsave(void)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, 0);

	TEST_REQUIRE(cpuid_find(c, 1, 0)->ecx & 1 << 26 && e, "no XSAVE in the supported CPUID");
	leaf_d_mask = e->eax | (uint64_t)e->edx << 32;
	free(c);
}

static void need_avx(void)
{
	require_cap(KVM_CAP_XCRS);
	need_xsave();
	TEST_REQUIRE(leaf_d_mask & XCR0_AVX, "no AVX in the supported CPUID");
}

static void fill_bytes(uint8_t *p, uint64_t n, uint64_t seed)
{
	for (uint64_t i = 0; i < n; i++)
		p[i] = seed * 31 + i * 7 + 1;
}

#define EACH_XMM(op)								\
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)				\
	op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_XMM(n)	"movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE_XMM(n)	"movups %%xmm" #n ", " #n "*16(%0)\n\t"
#define LOAD_YMM(n)	"vmovups " #n "*32(%0), %%ymm" #n "\n\t"
#define STORE_YMM(n)	"vmovups %%ymm" #n ", " #n "*32(%0)\n\t"

#define LOAD_ALL_XMM	EACH_XMM(LOAD_XMM)
#define STORE_ALL_XMM	EACH_XMM(STORE_XMM)

/* Compiled code has no SSE, so the registers hold from one asm to the next. */
static void keeps_sse(uint64_t seed)
{
	uint8_t want[256], got[256];
	uint16_t fcw = 0x27f, got_fcw;
	uint32_t mxcsr = 0x1f80 | 0x6000, got_mxcsr;
	double x = 0;

	fill_bytes(want, sizeof(want), seed);
	asm volatile("fninit\n\tfldcw %0\n\tfldpi\n\tldmxcsr %1" : : "m"(fcw), "m"(mxcsr));
	asm volatile(LOAD_ALL_XMM : : "r"(want) : "memory");
	for (int i = 0; i < 20; i++) {
		GUEST_SYNC(i);
		asm volatile(STORE_ALL_XMM : : "r"(got) : "memory");
		GUEST_ASSERT(!memcmp(want, got, sizeof(want)));
	}
	asm volatile("fnstcw %0\n\tstmxcsr %1\n\tfstpl %2"
		     : "=m"(got_fcw), "=m"(got_mxcsr), "=m"(x));
	GUEST_ASSERT_EQ(got_fcw, fcw);
	GUEST_ASSERT_EQ(got_mxcsr, mxcsr);
	GUEST_ASSERT_EQ(*(uint64_t *)&x, 0x400921fb54442d18);
	GUEST_DONE();
}

/* The host has set XCR0. */
static void keeps_avx(uint64_t seed)
{
	uint8_t want[512], got[512];

	fill_bytes(want, sizeof(want), seed);
	asm volatile(EACH_XMM(LOAD_YMM) : : "r"(want) : "memory");
	for (int i = 0; i < 20; i++) {
		GUEST_SYNC(i);
		asm volatile(EACH_XMM(STORE_YMM) : : "r"(got) : "memory");
		GUEST_ASSERT(!memcmp(want, got, sizeof(want)));
	}
	GUEST_DONE();
}

static void set_osxsave(struct vcpu *v)
{
	struct kvm_sregs s = vcpu_sregs(v);

	s.cr4 |= CR4_OSXSAVE;
	vcpu_set_sregs(v, &s);
}

static void enable_avx(struct vcpu *v)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 };

	set_osxsave(v);
	x.xcrs[0].value = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	ioctl_ok(v->fd, KVM_SET_XCRS, &x);
}

static struct vcpu *add(struct vm *vm, unsigned int id, void *fn)
{
	struct vcpu *v = vcpu_add_raw(vm, id);

	vcpu_set_cpuid(v);
	vcpu_enter64(v, fn, id + 1);
	if (fn == keeps_avx)
		enable_avx(v);
	return v;
}

static void clobber_host(void)
{
	uint8_t junk[256];

	memset(junk, 0xee, sizeof(junk));
	asm volatile(LOAD_ALL_XMM : : "r"(junk) : "memory");
}

static void run_alone(void *fn)
{
	struct vcpu *v = add(vm_create(), 0, fn);

	for (int i = 0; i < 20; i++) {
		vcpu_expect_sync(v, i);
		clobber_host();
	}
	vcpu_expect_done(v);
}

/* Two vCPUs by turns on one thread, each with its own pattern. */
static void run_by_turns(void *fn)
{
	struct vm *vm = vm_create();
	struct vcpu *a = add(vm, 0, fn), *b = add(vm, 1, fn);

	for (int i = 0; i < 20; i++) {
		vcpu_expect_sync(a, i);
		vcpu_expect_sync(b, i);
	}
	vcpu_expect_done(a);
	vcpu_expect_done(b);
}

static void run_in_threads(void *fn)
{
	struct vm *vm = vm_create();

	for (int i = 0; i < 4; i++)
		vcpu_start(add(vm, i, fn));
	for (int i = 0; i < 4; i++)
		vcpu_join(vm->vcpus[i]);
}

TEST(sse_across_exits)
{
	run_alone(keeps_sse);
}

TEST(sse_of_two_vcpus)
{
	run_by_turns(keeps_sse);
}

TEST(sse_in_threads)
{
	run_in_threads(keeps_sse);
}

TEST(avx_across_exits)
{
	need_avx();
	run_alone(keeps_avx);
}

TEST(avx_of_two_vcpus)
{
	need_avx();
	run_by_turns(keeps_avx);
}

TEST(avx_in_threads)
{
	need_avx();
	run_in_threads(keeps_avx);
}

static void spoils_sse(void)
{
	uint8_t junk[256];

	for (;;) {
		memset(junk, 0xcc, sizeof(junk));
		asm volatile("fninit\n\tfldpi\n\tfldpi\n\t" LOAD_ALL_XMM : : "r"(junk) : "memory");
		GUEST_SYNC(0);
	}
}

/* KVM_RUN as one instruction, so that nothing else touches the registers. */
static long run_syscall(int fd)
{
	long r = 16;

	asm volatile("syscall" : "+a"(r) : "D"(fd), "S"(KVM_RUN), "d"(0) : "rcx", "r11", "memory");
	return r;
}

TEST(host_keeps_its_own)
{
	uint8_t want[256], got[256];
	struct vcpu *v = guest_of(spoils_sse);
	double x = 0;
	long r;

	fill_bytes(want, sizeof(want), 99);
	for (int i = 0; i < 20; i++) {
		asm volatile("fninit\n\tfldl2e\n\t" LOAD_ALL_XMM : : "r"(want) : "memory");
		r = run_syscall(v->fd);
		asm volatile(STORE_ALL_XMM "fstpl %1" : : "r"(got), "m"(x) : "memory");
		TEST_ASSERT_EQ(r, 0);
		TEST_ASSERT(!memcmp(want, got, sizeof(want)), "the host's XMM registers changed");
		TEST_ASSERT_EQ(*(volatile uint64_t *)&x, 0x3ff71547652b82fe);
	}
}

/* The guest must not see what the host had in its registers. */
static void looks_at_fresh_registers(void)
{
	uint8_t got[256];

	asm volatile(STORE_ALL_XMM : : "r"(got) : "memory");
	for (int i = 0; i < 256; i++)
		GUEST_ASSERT_EQ(got[i], 0);
	GUEST_DONE();
}

TEST(fresh_vcpu_has_fresh_registers)
{
	struct vcpu *v = guest_of(looks_at_fresh_registers);

	clobber_host();
	vcpu_expect_done(v);
}

static void bad_xcr0(void)
{
	static const uint64_t bad[] = {
		0,
		XCR0_SSE,
		XCR0_X87 | XCR0_AVX,
		XCR0_X87 | XCR0_SSE | 1ul << 63,
		0x60000007ul << 20,
	};

	GUEST_ASSERT_EQ(guest_try("xsetbv", "c"(0), "a"(3), "d"(0)).vector, UD_VECTOR);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		GUEST_ASSERT_EQ(guest_try("xsetbv", "c"(0), "a"((uint32_t)bad[i]),
					  "d"((uint32_t)(bad[i] >> 32))).vector, GP_VECTOR);
	GUEST_ASSERT_EQ(guest_try("xsetbv", "c"(1), "a"(1), "d"(0)).vector, GP_VECTOR);
	GUEST_ASSERT_EQ(guest_try("xsetbv", "c"(0), "a"(3), "d"(0)).vector, NO_TRAP);
	GUEST_DONE();
}

TEST(xcr0_is_checked)
{
	need_xsave();
	run_guest(bad_xcr0);
}

static void sets_xcr0(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, XCR0_X87 | XCR0_SSE);
	GUEST_SYNC(1);
	GUEST_DONE();
}

TEST(xcr0_of_the_guest)
{
	struct kvm_xcrs x;
	struct vcpu *v;

	require_cap(KVM_CAP_XCRS);
	need_xsave();
	v = guest_of(sets_xcr0);
	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_GET_XCRS, &x);
	TEST_ASSERT_EQ(x.xcrs[0].value, XCR0_X87 | XCR0_SSE);
}

static void reads_xcr0(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(lo | (uint64_t)hi << 32, XCR0_X87 | XCR0_SSE);
	GUEST_DONE();
}

TEST(xcrs_ioctls)
{
	struct kvm_xcrs x;
	struct vcpu *v;

	require_cap(KVM_CAP_XCRS);
	need_xsave();
	v = guest_of(reads_xcr0);
	set_osxsave(v);
	ioctl_ok(v->fd, KVM_GET_XCRS, &x);
	TEST_ASSERT_EQ(x.nr_xcrs, 1);
	TEST_ASSERT_EQ(x.xcrs[0].value, XCR0_X87);
	x.xcrs[0].value = XCR0_X87 | XCR0_SSE;
	ioctl_ok(v->fd, KVM_SET_XCRS, &x);
	x.xcrs[0].value = XCR0_SSE;
	ioctl_fails(v->fd, KVM_SET_XCRS, &x, EINVAL);
	x.xcrs[0].value = XCR0_X87;
	x.flags = 1;
	ioctl_fails(v->fd, KVM_SET_XCRS, &x, EINVAL);
	x.flags = 0;
	x.nr_xcrs = KVM_MAX_XCRS + 1;
	ioctl_fails(v->fd, KVM_SET_XCRS, &x, EINVAL);
	ioctl_ok(v->fd, KVM_GET_XCRS, &x);
	TEST_ASSERT_EQ(x.xcrs[0].value, XCR0_X87 | XCR0_SSE);
	vcpu_expect_done(v);
}

static void syncs_then_checks_xmm5(void)
{
	uint64_t lo;

	asm volatile("movq %0, %%xmm5" : : "r"(0x1111ul));
	GUEST_SYNC(1);
	asm volatile("movq %%xmm5, %0" : "=r"(lo));
	GUEST_ASSERT_EQ(lo, 0x2222);
	GUEST_DONE();
}

TEST(xsave_ioctls)
{
	struct kvm_xsave x;
	struct vcpu *v;

	require_cap(KVM_CAP_XSAVE);
	v = guest_of(syncs_then_checks_xmm5);
	vcpu_expect_sync(v, 1);
	ioctl_ok(v->fd, KVM_GET_XSAVE, &x);
	/* XMM5 in the legacy area: byte 160 + 5 * 16. MXCSR: byte 24. */
	TEST_ASSERT_EQ(x.region[240 / 4], 0x1111);
	x.region[240 / 4] = 0x2222;
	x.region[24 / 4] = 0xffffffff;
	ioctl_fails(v->fd, KVM_SET_XSAVE, &x, EINVAL);
	x.region[24 / 4] = 0x1f80;
	ioctl_ok(v->fd, KVM_SET_XSAVE, &x);
	vcpu_expect_done(v);
}
