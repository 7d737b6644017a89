// SPDX-License-Identifier: GPL-2.0-only
/* vCPUs: their state on entry, CPUID and MSRs. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "vm.h"

#define CPUID_ROOM	256

struct kvm_cpuid2 *kvm_supported_cpuid(void)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_ROOM * sizeof(c->entries[0]));
	int fd = kvm_open();

	TEST_ASSERT(c, "no memory");
	c->nent = CPUID_ROOM;
	ioctl_ok(fd, KVM_GET_SUPPORTED_CPUID, c);
	close(fd);
	return c;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == function &&
		    (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

bool kvm_has_tsc_adjust(void)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0);
	bool has = e && e->ebx & 1 << 1;

	free(c);
	return has;
}

void vcpu_set_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *c = kvm_supported_cpuid();

	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0x00ffffff) | vcpu->id << 24;
		else if (e->function == 0xb || e->function == 0x1f)
			e->edx = vcpu->id;
	}
	ioctl_ok(vcpu->fd, KVM_SET_CPUID2, c);
	free(c);
}

struct kvm_regs vcpu_regs(struct vcpu *vcpu)
{
	struct kvm_regs r;

	ioctl_ok(vcpu->fd, KVM_GET_REGS, &r);
	return r;
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	ioctl_ok(vcpu->fd, KVM_SET_REGS, regs);
}

struct kvm_sregs vcpu_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs s;

	ioctl_ok(vcpu->fd, KVM_GET_SREGS, &s);
	return s;
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	ioctl_ok(vcpu->fd, KVM_SET_SREGS, sregs);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

int vcpu_try_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index };
	int r = ioctl(vcpu->fd, KVM_GET_MSRS, &m);

	if (r == 1)
		*value = m.entry.data;
	return r;
}

int vcpu_try_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index, .entry.data = value };

	return ioctl(vcpu->fd, KVM_SET_MSRS, &m);
}

uint64_t vcpu_get_msr(struct vcpu *vcpu, uint32_t index)
{
	uint64_t v = 0;

	TEST_ASSERT(vcpu_try_get_msr(vcpu, index, &v) == 1, "KVM_GET_MSRS of %#x", index);
	return v;
}

void vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	TEST_ASSERT(vcpu_try_set_msr(vcpu, index, value) == 1, "KVM_SET_MSRS of %#x to %#lx",
		    index, value);
}

struct vcpu *vcpu_add_raw(struct vm *vm, unsigned int id)
{
	struct vcpu *v = calloc(1, sizeof(*v));

	TEST_ASSERT(v && id < MAX_GUEST_VCPUS, "vCPU %u", id);
	v->vm = vm;
	v->id = id;
	v->fd = ioctl_ok(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	v->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	TEST_ASSERT(v->run != MAP_FAILED, "mmap of a vCPU");
	vm->vcpus[id] = v;
	return v;
}

struct vcpu *vcpu_add(struct vm *vm, unsigned int id, void (*fn)(void))
{
	struct vcpu *v = vcpu_add_raw(vm, id);

	vcpu_set_cpuid(v);
	vcpu_enter64(v, fn, 0);
	return v;
}

static struct kvm_segment segment(uint16_t sel, uint64_t base, uint32_t limit, uint8_t type)
{
	return (struct kvm_segment) {
		.base = base, .limit = limit, .selector = sel, .type = type,
		.present = 1, .s = 1, .dpl = sel & 3,
	};
}

static void set_data_segments(struct kvm_sregs *s, struct kvm_segment seg)
{
	s->ds = s->es = s->fs = s->gs = s->ss = seg;
}

/* SVM and VMX both want a busy TSS there, used or not. */
static void set_system_segments(struct kvm_sregs *s, uint64_t tss)
{
	s->tr = segment(SEL_TSS, tss, 0x67, 11);
	s->tr.s = 0;
	s->ldt = (struct kvm_segment) { .unusable = 1 };
}

static uint64_t guest_stack(struct vcpu *vcpu)
{
	return STACK_GPA + (vcpu->id + 1) * STACK_SIZE;
}

static void set_regs(struct vcpu *vcpu, uint64_t rip, uint64_t rsp, uint64_t rdi)
{
	struct kvm_regs r = { .rip = rip, .rsp = rsp, .rdi = rdi, .rflags = FLAG_FIXED };

	vcpu_set_regs(vcpu, &r);
}

void vcpu_enter64(struct vcpu *vcpu, void *fn, uint64_t arg)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);
	/* A function finds its stack 16-byte aligned, less the return address; 0 ends it. */
	uint64_t rsp = guest_stack(vcpu) - 8;

	s.cs = segment(SEL_CODE64, 0, 0xffffffff, 11);
	s.cs.g = s.cs.l = 1;
	set_data_segments(&s, segment(SEL_DATA, 0, 0xffffffff, 3));
	s.ds.g = s.es.g = s.fs.g = s.gs.g = s.ss.g = 1;
	s.ds.db = s.es.db = s.fs.db = s.gs.db = s.ss.db = 1;
	set_system_segments(&s, TSS_GPA + vcpu->id * TSS_STRIDE);
	s.gdt = (struct kvm_dtable) { .base = GDT_GPA, .limit = SEL_TSS + 15 };
	s.idt = (struct kvm_dtable) { .base = IDT_GPA, .limit = 256 * 16 - 1 };
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.cr3 = vcpu->vm->cr3;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	vcpu_set_sregs(vcpu, &s);
	*(uint64_t *)vm_hva(vcpu->vm, rsp) = 0;
	set_regs(vcpu, (uintptr_t)fn, rsp, arg);
}

void vcpu_enter32(struct vcpu *vcpu, uint32_t eip)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.cs = segment(SEL_CODE32, 0, 0xffffffff, 11);
	s.cs.g = s.cs.db = 1;
	set_data_segments(&s, segment(SEL_DATA, 0, 0xffffffff, 3));
	s.ds.g = s.es.g = s.fs.g = s.gs.g = s.ss.g = 1;
	s.ds.db = s.es.db = s.fs.db = s.gs.db = s.ss.db = 1;
	set_system_segments(&s, TSS_GPA + vcpu->id * TSS_STRIDE);
	s.gdt = (struct kvm_dtable) { .base = GDT_GPA, .limit = SEL_TSS + 15 };
	s.idt = (struct kvm_dtable) { .base = 0, .limit = 0 };
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	s.cr4 = 0;
	s.cr3 = 0;
	s.efer = 0;
	vcpu_set_sregs(vcpu, &s);
	set_regs(vcpu, eip, guest_stack(vcpu), 0);
}

void vcpu_enter16(struct vcpu *vcpu, uint16_t seg, uint16_t ip)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.cs = segment(seg, (uint64_t)seg << 4, 0xffff, 11);
	set_data_segments(&s, segment(seg, (uint64_t)seg << 4, 0xffff, 3));
	s.cs.dpl = s.ds.dpl = s.es.dpl = s.fs.dpl = s.gs.dpl = s.ss.dpl = 0;
	s.idt = (struct kvm_dtable) { .base = 0, .limit = 0x3ff };
	s.cr0 = CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	vcpu_set_sregs(vcpu, &s);
	set_regs(vcpu, ip, 0xfff0, 0);
}

static void open_to_user(struct vm *vm)
{
	uint64_t *pml4 = vm_hva(vm, vm->cr3), *pdpt = vm_hva(vm, *pml4 & ~0xffful);

	*pml4 |= PTE_U;
	for (int i = 0; i < 4; i++) {
		uint64_t *pd = vm_hva(vm, pdpt[i] & ~0xffful);

		pdpt[i] |= PTE_U;
		for (int j = 0; j < 512; j++)
			pd[j] |= PTE_U;
	}
}

void vcpu_drop_to_user(struct vcpu *vcpu)
{
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	struct kvm_regs regs = vcpu_regs(vcpu);

	sregs.cs.selector = SEL_UCODE64 | 3;
	sregs.ss.selector = SEL_UDATA | 3;
	sregs.cs.dpl = sregs.ss.dpl = 3;
	regs.rflags |= 3ul << 12;
	open_to_user(vcpu->vm);
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

uint64_t vcpu_stat(struct vcpu *vcpu, const char *name)
{
	int fd = ioctl_ok(vcpu->fd, KVM_GET_STATS_FD, NULL);
	struct kvm_stats_header head;
	uint64_t value = ~0ul;
	struct {
		struct kvm_stats_desc desc;
		char name[64];
	} d;
	uint32_t i, size;

	TEST_ASSERT_EQ(read(fd, &head, sizeof(head)), sizeof(head));
	size = sizeof(d.desc) + head.name_size;
	TEST_ASSERT(head.name_size <= sizeof(d.name), "names of %u bytes", head.name_size);
	for (i = 0; i < head.num_desc; i++) {
		TEST_ASSERT_EQ(pread(fd, &d, size, head.desc_offset + i * size), size);
		if (!strcmp(d.name, name))
			TEST_ASSERT_EQ(pread(fd, &value, sizeof(value),
					     head.data_offset + d.desc.offset), sizeof(value));
	}
	close(fd);
	return value;
}
