// SPDX-License-Identifier: GPL-2.0-only
/* The state that vCPUs start in: what firmware would leave, and what the boot protocols ask for. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include <asm/processor-flags.h>
#include <linux/kvm.h>

#include "report.h"
#include "vm.h"

#define MSR_TSC			0x10U
#define MSR_MISC_ENABLE		0x1a0U
#define MSR_MTRR_DEF_TYPE	0x2ffU
#define MISC_FAST_STRING	1U
#define MTRR_ENABLE_WRITE_BACK	(1U << 11 | 6U)

#define EFER_LME		(1ULL << 8)
#define EFER_LMA		(1ULL << 10)
#define RFLAGS_FIXED		2U

#define BOOT_CS			0x10U
#define BOOT_DS			0x18U
#define PTE_PRESENT_WRITABLE	3ULL
#define PTE_LARGE		(1ULL << 7)

#define LAPIC_LVT_LINT0		0x350U
#define LAPIC_LVT_LINT1		0x360U
#define LVT_EXTINT		(7U << 8)
#define LVT_NMI			(4U << 8)

/* Identity map of the first 4 GiB in 2 MiB pages: PML4, PDPT, four page directories. */
static uint64_t fill_page_tables(const struct memory *mem)
{
	uint64_t *pml4 = memory_boot(mem, BOOT_PAGE_TABLES, 6 * 4096);
	uint64_t *pdpt = pml4 + 512, *directories = pml4 + 1024;

	memset(pml4, 0, 2 * 4096);
	pml4[0] = (BOOT_PAGE_TABLES + 4096) | PTE_PRESENT_WRITABLE;
	for (unsigned int i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PAGE_TABLES + (2 + i) * 4096) | PTE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		directories[i] = i << 21 | PTE_LARGE | PTE_PRESENT_WRITABLE;
	return BOOT_PAGE_TABLES;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = long_mode,
		.db = !long_mode,
		.g = 1,
	};
}

static uint64_t descriptor(const struct kvm_segment *segment)
{
	uint64_t attributes = segment->type | (uint64_t)segment->s << 4 |
		(uint64_t)segment->dpl << 5 | (uint64_t)segment->present << 7 |
		(uint64_t)segment->avl << 12 | (uint64_t)segment->l << 13 |
		(uint64_t)segment->db << 14 | (uint64_t)segment->g << 15;
	uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;

	return (limit & 0xffff) | (segment->base & 0xffffff) << 16 | attributes << 40 |
	       (limit >> 16 & 0xf) << 48 | (segment->base >> 24 & 0xff) << 56;
}

static void set_segments(const struct memory *mem, struct kvm_sregs *sregs, bool long_mode)
{
	struct kvm_segment code = flat_segment(BOOT_CS, 0xb, long_mode);
	struct kvm_segment data = flat_segment(BOOT_DS, 0x3, false);
	uint64_t *gdt = memory_boot(mem, BOOT_GDT, 4 * 8);

	gdt[0] = gdt[1] = 0;
	gdt[2] = descriptor(&code);
	gdt[3] = descriptor(&data);
	sregs->gdt.base = BOOT_GDT;
	sregs->gdt.limit = 4 * 8 - 1;
	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	/* A busy TSS, as VM entry on Intel demands; the guest loads its own. */
	sregs->tr = (struct kvm_segment){ .limit = 0x67, .type = 0xb, .present = 1 };
}

static int set_sregs(const struct vcpu *vcpu, const struct boot *boot)
{
	const struct memory *mem = &vcpu->vm->mem;
	bool long_mode = boot->mode == CPU_LONG_MODE;
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs)) {
		report("KVM_GET_SREGS: %s", strerror(errno));
		return -1;
	}
	set_segments(mem, &sregs, long_mode);
	sregs.cr0 = X86_CR0_PE | X86_CR0_ET;
	if (long_mode) {
		sregs.cr3 = fill_page_tables(mem);
		sregs.cr4 |= X86_CR4_PAE;
		sregs.cr0 |= X86_CR0_PG;
		sregs.efer |= EFER_LME | EFER_LMA;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs)) {
		report("KVM_SET_SREGS: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static int set_regs(const struct vcpu *vcpu, const struct boot *boot)
{
	struct kvm_regs regs = {
		.rflags = RFLAGS_FIXED,
		.rip = boot->rip,
		.rsp = BOOT_STACK,
		.rbx = boot->rbx,
		.rsi = boot->rsi,
		.rdi = boot->rdi,
	};

	if (!ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return 0;
	report("KVM_SET_REGS: %s", strerror(errno));
	return -1;
}

/* Memory types and fast strings as firmware sets them, on every CPU alike. */
static int set_msrs(const struct vcpu *vcpu)
{
	static const struct kvm_msr_entry entries[] = {
		{ .index = MSR_TSC },
		{ .index = MSR_MISC_ENABLE, .data = MISC_FAST_STRING },
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WRITE_BACK },
	};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[3];
	} msrs = { .head.nmsrs = 3 };
	int done;

	memcpy(msrs.entries, entries, sizeof(entries));
	done = ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
	if (done == 3)
		return 0;
	if (done < 0)
		report("KVM_SET_MSRS: %s", strerror(errno));
	else
		report("KVM_SET_MSRS refuses MSR %#x", entries[done].index);
	return -1;
}

/* Virtual wire: the PIC's interrupts arrive at LINT0, NMI at LINT1. */
static int set_lapic(const struct vcpu *vcpu)
{
	static const struct { unsigned int offset; uint32_t value; } lints[] = {
		{ LAPIC_LVT_LINT0, LVT_EXTINT },
		{ LAPIC_LVT_LINT1, LVT_NMI },
	};
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic)) {
		report("KVM_GET_LAPIC: %s", strerror(errno));
		return -1;
	}
	for (unsigned int i = 0; i < 2; i++)
		memcpy(&lapic.regs[lints[i].offset], &lints[i].value, sizeof(lints[i].value));
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic)) {
		report("KVM_SET_LAPIC: %s", strerror(errno));
		return -1;
	}
	return 0;
}

/**
 * vcpu_set_state - set a new vCPU's registers
 * @vcpu: the vCPU
 * @boot: how it starts, or NULL for one that waits for INIT and SIPI
 *
 * A payload's machine has no interrupt controller, and gets no MSRs: it needs nothing of KVM but
 * memory and registers.
 *
 * Return: 0, or -1 after a report.
 */
int vcpu_set_state(struct vcpu *vcpu, const struct boot *boot)
{
	if (cpuid_set(vcpu))
		return -1;
	if (boot && (set_sregs(vcpu, boot) || set_regs(vcpu, boot)))
		return -1;
	if (!vcpu->vm->irqchip)
		return 0;
	return set_lapic(vcpu) || set_msrs(vcpu) ? -1 : 0;
}
