// SPDX-License-Identifier: GPL-2.0-only
/* General registers, segments and control registers, FPU: set, get, refused. */

#include "selftest.h"

static void stores_regs(void)
{
	/* All but rsp and rax, which carry the call, are the host's. */
	asm volatile("mov $0x4f4c, %%edx\n\tmov $0, %%eax\n"
		     "1: outb %%al, %%dx\n\tjmp 1b" : : : "rax", "rdx");
}

static struct kvm_regs pattern(void)
{
	struct kvm_regs r;

	memset(&r, 0, sizeof(r));
	for (unsigned int i = 0; i < 16; i++)
		(&r.rax)[i] = 0x0101010101010101 * (i + 1) + 0x80;
	r.rip = 0x123456;
	r.rflags = FLAG_FIXED | FLAG_CF | FLAG_ZF;
	return r;
}

TEST(regs_round_trip)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);
	struct kvm_regs a = pattern(), b;

	vcpu_set_regs(v, &a);
	b = vcpu_regs(v);
	TEST_ASSERT(!memcmp(&a, &b, sizeof(a)), "registers differ");
}

TEST(rflags_bit_1_is_always_set)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);
	struct kvm_regs r = pattern();

	r.rflags = 0;
	vcpu_set_regs(v, &r);
	TEST_ASSERT_EQ(vcpu_regs(v).rflags, FLAG_FIXED);
}

TEST(regs_survive_a_run)
{
	struct vcpu *v = guest_of(stores_regs);
	struct kvm_regs a = vcpu_regs(v), b;

	for (unsigned int i = 1; i < 16; i++)
		if (&(&a.rax)[i] != &a.rsp)
			(&a.rax)[i] = 0x1111222233330000 + i;
	vcpu_set_regs(v, &a);
	vcpu_expect_exit(v, KVM_EXIT_IO);
	b = vcpu_regs(v);
	for (unsigned int i = 1; i < 16; i++)
		if (&(&a.rax)[i] != &a.rdx)
			TEST_ASSERT((&b.rax)[i] == (&a.rax)[i], "register %u: %#llx", i,
				    (&b.rax)[i]);
	TEST_ASSERT_EQ(b.rdx, 0x4f4c);
	TEST_ASSERT_EQ(b.rax, 0);
}

/* SDM volume 3, "Processor State After Reset". */
TEST(state_after_creation)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_regs r = vcpu_regs(v);

	TEST_ASSERT_EQ(r.rip, 0xfff0);
	TEST_ASSERT_EQ(r.rflags, FLAG_FIXED);
	TEST_ASSERT_EQ(s.cs.selector, 0xf000);
	TEST_ASSERT_EQ(s.cs.base, 0xffff0000);
	TEST_ASSERT_EQ(s.cs.limit, 0xffff);
	TEST_ASSERT_EQ(s.cr0, CR0_CD | CR0_NW | CR0_ET);
	TEST_ASSERT_EQ(s.cr3, 0);
	TEST_ASSERT_EQ(s.cr4, 0);
	TEST_ASSERT_EQ(s.efer, 0);
	TEST_ASSERT_EQ(s.ds.base, 0);
	TEST_ASSERT_EQ(s.idt.base, 0);
	TEST_ASSERT_EQ(s.idt.limit, 0xffff);
	TEST_ASSERT_EQ(s.apic_base & 0xfffff000, 0xfee00000);
}

TEST(sregs_round_trip)
{
	struct vcpu *v = guest_of(stores_regs);
	struct kvm_sregs a = vcpu_sregs(v), b;

	a.fs.base = 0x123456789000;
	a.gs.base = 0x7ffffffff000;
	a.cr2 = 0xdeadbeef;
	a.cr8 = 5;
	a.idt.limit = 0x123;
	vcpu_set_sregs(v, &a);
	b = vcpu_sregs(v);
	TEST_ASSERT_EQ(b.fs.base, a.fs.base);
	TEST_ASSERT_EQ(b.gs.base, a.gs.base);
	TEST_ASSERT_EQ(b.cr2, a.cr2);
	TEST_ASSERT_EQ(b.cr8, a.cr8);
	TEST_ASSERT_EQ(b.idt.limit, a.idt.limit);
	TEST_ASSERT_EQ(b.gdt.base, a.gdt.base);
	TEST_ASSERT_EQ(b.gdt.limit, a.gdt.limit);
	TEST_ASSERT_EQ(b.cr0, a.cr0);
	TEST_ASSERT_EQ(b.cr3, a.cr3);
	TEST_ASSERT_EQ(b.cr4, a.cr4);
	TEST_ASSERT_EQ(b.efer, a.efer);
	TEST_ASSERT(!memcmp(&a.cs, &b.cs, sizeof(a.cs) - 1), "CS differs");
	TEST_ASSERT_EQ(b.tr.base, a.tr.base);
	TEST_ASSERT_EQ(b.tr.type, a.tr.type);
}

static void expect_refused(struct vcpu *v, const struct kvm_sregs *bad, const char *what)
{
	struct kvm_sregs before = vcpu_sregs(v), after;
	int r = ioctl(v->fd, KVM_SET_SREGS, bad);

	TEST_ASSERT(r == -1 && errno == EINVAL, "%s: KVM_SET_SREGS gave %d", what, r);
	after = vcpu_sregs(v);
	TEST_ASSERT(!memcmp(&before, &after, sizeof(after)), "%s: refused, but changed", what);
}

#define REFUSE(v, field, value) do {						\
	struct kvm_sregs s_ = vcpu_sregs(v);					\
	s_.field = (value);							\
	expect_refused(v, &s_, #field " = " #value);				\
} while (0)

TEST(sregs_bad_control_registers)
{
	struct vcpu *v = guest_of(stores_regs);
	uint64_t cr0 = vcpu_sregs(v).cr0, cr4 = vcpu_sregs(v).cr4;

	REFUSE(v, cr0, cr0 | 1ul << 32);		/* the upper half is reserved */
	REFUSE(v, cr0, cr0 & ~CR0_PE);			/* paging without protection */
	REFUSE(v, cr0, (cr0 | CR0_NW) & ~CR0_CD);	/* not write-through, yet caching */
	REFUSE(v, cr4, cr4 | 1ul << 31);
	REFUSE(v, cr4, cr4 | 1ul << 63);
	REFUSE(v, cr4, cr4 & ~CR4_PAE);			/* long mode needs PAE */
	REFUSE(v, cr3, 1ul << 63);			/* beyond the physical address */
	REFUSE(v, cr3, 1ul << 52);
	vcpu_expect_exit(v, KVM_EXIT_IO);
}

TEST(sregs_bad_modes)
{
	struct vcpu *v = guest_of(stores_regs);
	struct kvm_sregs s = vcpu_sregs(v);

	REFUSE(v, efer, EFER_LME);			/* paging on, yet not active */
	REFUSE(v, efer, EFER_LMA);			/* active, yet not enabled */
	s.cr0 &= ~CR0_PG;
	expect_refused(v, &s, "LMA without paging");
	s.efer = 0;
	s.cs.l = 1;
	expect_refused(v, &s, "64-bit code outside of long mode");
}

TEST(sregs_bad_apic_base)
{
	struct vcpu *v = guest_of(stores_regs);
	uint64_t base = vcpu_sregs(v).apic_base;

	REFUSE(v, apic_base, base | 1ul << 63);
	REFUSE(v, apic_base, base | 1);
}

/* CR4 bits go by the guest's CPUID, not by what the host could do. */
TEST(sregs_cr4_goes_by_cpuid)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0);

	TEST_REQUIRE(e && e->ebx & 1 << 7, "no SMEP in the supported CPUID");
	e->ebx &= ~(1u << 7);
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	vcpu_enter64(v, stores_regs, 0);
	REFUSE(v, cr4, vcpu_sregs(v).cr4 | CR4_SMEP);
	e->ebx |= 1 << 7;
	ioctl_ok(v->fd, KVM_SET_CPUID2, c);
	struct kvm_sregs s = vcpu_sregs(v);

	s.cr4 |= CR4_SMEP;
	vcpu_set_sregs(v, &s);
	TEST_ASSERT_EQ(vcpu_sregs(v).cr4, s.cr4);
}

TEST(fpu_round_trip)
{
	struct vcpu *v = vcpu_add_raw(vm_create(), 0);
	struct kvm_fpu a, b;

	memset(&a, 0, sizeof(a));
	for (unsigned int i = 0; i < sizeof(a.fpr); i++)
		((uint8_t *)a.fpr)[i] = i % 16 < 10 ? i : 0;
	for (unsigned int i = 0; i < sizeof(a.xmm); i++)
		((uint8_t *)a.xmm)[i] = i * 3;
	a.fcw = 0x27f;
	a.fsw = 0x3800;
	a.ftwx = 0xff;
	a.mxcsr = 0x1f80;
	ioctl_ok(v->fd, KVM_SET_FPU, &a);
	ioctl_ok(v->fd, KVM_GET_FPU, &b);
	TEST_ASSERT(!memcmp(a.fpr, b.fpr, sizeof(a.fpr)), "x87 registers differ");
	TEST_ASSERT(!memcmp(a.xmm, b.xmm, sizeof(a.xmm)), "XMM registers differ");
	TEST_ASSERT_EQ(a.fcw, b.fcw);
	TEST_ASSERT_EQ(a.fsw, b.fsw);
	TEST_ASSERT_EQ(a.ftwx, b.ftwx);
}

/* KVM_SET_FPU of a pattern that no guest code makes. */
static void set_fpu(struct vcpu *v)
{
	struct kvm_fpu f;

	ioctl_ok(v->fd, KVM_GET_FPU, &f);
	f.fcw = 0x27f;
	f.mxcsr = 0x1f80;
	memset(f.xmm[5], 0x55, 16);
	ioctl_ok(v->fd, KVM_SET_FPU, &f);
}

static void check_fpu(void)
{
	uint16_t fcw;
	uint64_t lo;

	asm volatile("fnstcw %0" : "=m"(fcw));
	GUEST_ASSERT_EQ(fcw, 0x27f);
	asm volatile("movq %%xmm5, %0" : "=r"(lo));
	GUEST_ASSERT_EQ(lo, 0x5555555555555555);
	asm volatile("movq %0, %%xmm6" : : "r"(0x6666666666666666));
	GUEST_DONE();
}

static void uses_fpu(void)
{
	asm volatile("fninit\n\tfldpi\n\tmovq %0, %%xmm0" : : "r"(1ul));
	GUEST_SYNC(1);
	check_fpu();
}

TEST(fpu_is_the_guests)
{
	struct vcpu *v = guest_of(uses_fpu);
	struct kvm_fpu f;

	vcpu_expect_sync(v, 1);
	set_fpu(v);
	vcpu_expect_done(v);
	ioctl_ok(v->fd, KVM_GET_FPU, &f);
	TEST_ASSERT_EQ(*(uint64_t *)f.xmm[6], 0x6666666666666666);
}

/* KVM on CPUs with XSAVE lets the guest find the initial state instead. */
TEST(fpu_set_before_the_first_run)
{
	struct vcpu *v = guest_of(check_fpu);

	TEST_REQUIRE(kvm_is_okvm(), "KVM forgets what is set before the guest used its FPU");
	set_fpu(v);
	vcpu_expect_done(v);
}
