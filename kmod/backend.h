/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only door between common code and vmx/ or svm/: the operations of a backend, and the
 * common description of an exit that it makes of the hardware's.
 */
#ifndef OKVM_BACKEND_H
#define OKVM_BACKEND_H

#include <linux/kvm.h>
#include <linux/static_call.h>
#include <linux/types.h>

#include "mmu/access.h"

struct okvm_vm;
struct okvm_vcpu;

/* What happened. Operands are in the members of struct okvm_exit's union of the same name. */
enum okvm_exit_kind {
	EXIT_NONE,		/* handled in the backend: enter again */
	EXIT_INTR,		/* host interrupt: nothing left to do */
	EXIT_IO,
	EXIT_FAULT,		/* second-level fault: EPT violation, #NPF */
	EXIT_MSR,
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_CR,
	EXIT_DR,
	EXIT_EXCEPTION,
	EXIT_IRQ_WINDOW,
	EXIT_NMI_WINDOW,
	EXIT_HYPERCALL,
	EXIT_XSETBV,
	EXIT_INVLPG,
	EXIT_PAUSE,
	EXIT_WBINVD,		/* and INVD */
	EXIT_RDPMC,
	EXIT_MWAIT,		/* MONITOR, MWAIT: no-ops */
	EXIT_TASK_SWITCH,
	EXIT_UNDEFINED,		/* an instruction the guest does not have: #UD */
	EXIT_TRIPLE_FAULT,
	EXIT_EMULATE,		/* let the emulator have it */
	EXIT_TPR_BELOW,
	EXIT_TIMER,		/* the moment of set_timer has come */
	EXIT_APIC_WRITE,	/* the CPU has written a register of the local APIC */
	EXIT_EOI,		/* it has ended the service of a vector */
	EXIT_FAIL_ENTRY,
	EXIT_UNKNOWN,
	EXIT_KINDS
};

/**
 * struct okvm_exit - an exit, normalised
 * @kind: what happened
 * @insn_len: length of the instruction that exited; 0 when the hardware does not say
 * @hw_reason: the hardware's own reason, for UNKNOWN and FAIL_ENTRY
 */
struct okvm_exit {
	enum okvm_exit_kind kind;
	u8 insn_len;
	u64 hw_reason;
	union {
		struct { u16 port; u8 size; bool in, string, rep; } io;
		struct { u64 gpa; u32 access; bool in_walk; } fault;
		struct { bool write; } msr;
		struct { u8 cr, reg; bool write, clts, lmsw; u16 lmsw_source; bool decoded; } cr;
		struct { u8 dr, reg; bool write, decoded; } dr;
		struct { u8 vector; u32 error; u64 address; } exception;
		struct { u64 address; bool decoded; } invlpg;
		struct { u16 reg; u8 vector; } apic;
		struct {
			u16 selector;
			u8 reason, idt_vector;
			bool has_error, by_insn; /* by_insn: RIP is on what asked for it */
			u32 error;
		} task;
	};
};

/**
 * struct okvm_backend - what vmx/ and svm/ give to common code
 *
 * All run in process context unless said otherwise. Operations on a vCPU need it loaded, that is
 * between @vcpu_load and @vcpu_put.
 *
 * @name: "svm", "vmx"
 * @supported: 0; -ENODEV: another vendor's CPU; -EOPNOTSUPP, -EBUSY, after saying why in the log
 * @setup: once at load; fills okvm_hw; 0 or a negative errno
 * @unsetup: the end of @setup
 * @cpu_enable: turn the extension on; on the CPU, interrupts off; 0 or -EBUSY
 * @cpu_disable: turn it off; on the CPU, interrupts off
 * @vm_create, @vm_destroy: the backend's part of a VM; may be NULL
 * @vcpu_create: the backend's part of a vCPU; 0 or -ENOMEM; not loaded
 * @vcpu_destroy: takes one that was never created, too; not loaded
 * @vcpu_reset: the control block to its first state, but for what common code sets afterwards
 * @vcpu_load: the vCPU comes to this CPU; @migrated: it was last on another; preemption off
 * @vcpu_put: it leaves; preemption off
 * @run: enter, leave, fill vcpu->exit; interrupts off
 * @cache_reg: bring an enum okvm_reg into struct okvm_vcpu that @run leaves where it is
 * @get_segment, @set_segment: SEG_*, with the hidden part
 * @cpl: current privilege level
 * @long_code: CS.L, which means 64-bit code while EFER.LMA is set
 * @get_table, @set_table: GDTR, or IDTR if @idt
 * @set_cr: vcpu->cr0, cr3, cr4 or (CR_EFER) efer changed
 * @get_pdptes, @set_pdptes: the four first entries of PAE paging, which is on; NULL: the CPU has
 *	none of its own
 * @set_root: the second-level root table's physical address
 * @set_dirty_log: tell okvm_mmu_written() of every entry that gets its dirty bit while the guest
 *	runs, before the vCPU counts as out of the guest, or (@on is false) do not; with
 *	okvm_hw.pml only; may sleep; 0 or -ENOMEM
 * @get_msr, @set_msr: 0, or 1: not this backend's; the value has been checked
 * @set_msr_exits: okvm_msr_is_filtered() changed
 * @set_tsc: vcpu->tsc changed
 * @set_timer: exit when the host's TSC is at @tsc, or before if it is past it; 0: do not; false:
 *	it cannot wait so long; with okvm_hw.guest_timer only; preemption on or off
 * @set_debug: vcpu->dbg changed: DR7, and what a debugger in user space wants to see
 * @set_cpuid: the guest's CPUID changed
 * @inject_exception, @inject_irq, @inject_nmi: deliver vcpu->ev's at the next entry
 * @cancel_injection: take what these three have put there out again
 * @irq_allowed, @nmi_allowed: would the CPU take one now?
 * @want_window: exit as soon as an interrupt (or NMI) is allowed
 * @get_shadow, @set_shadow: KVM_X86_SHADOW_INT_*
 * @get_nmi_mask, @set_nmi_mask: does an NMI handler run?
 * @set_apicv: enum okvm_apicv: have the CPU work on the local APIC's registers, or not; this, and
 *	the next three, with okvm_hw.apicv only
 * @set_eoi_exits: okvm_lapic_eoi_exits() changed
 * @posted_requests: where others post interrupts, LAPIC_POSTED_BYTES; not loaded
 * @notify: something has been posted: wake the vCPU, or have it see it in the guest; any context
 * @set_tpr_limit: exit when the guest lowers its TPR: it holds back vector @irr; -1: none
 * @flush_tlb: forget all translations of this vCPU before the next entry
 * @dump: the control block in the log, rate-limited
 */
struct okvm_backend {
	const char *name;
	int (*supported)(void);
	int (*setup)(void);
	void (*unsetup)(void);
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);

	int (*vm_create)(struct okvm_vm *vm);
	void (*vm_destroy)(struct okvm_vm *vm);
	int (*vcpu_create)(struct okvm_vcpu *vcpu);
	void (*vcpu_destroy)(struct okvm_vcpu *vcpu);
	void (*vcpu_reset)(struct okvm_vcpu *vcpu, bool init);
	void (*vcpu_load)(struct okvm_vcpu *vcpu, int cpu, bool migrated);
	void (*vcpu_put)(struct okvm_vcpu *vcpu);

	void (*run)(struct okvm_vcpu *vcpu);
	void (*cache_reg)(struct okvm_vcpu *vcpu, int reg);
	void (*get_segment)(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which);
	void (*set_segment)(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which);
	int (*cpl)(struct okvm_vcpu *vcpu);
	bool (*long_code)(struct okvm_vcpu *vcpu);
	void (*get_table)(struct okvm_vcpu *vcpu, struct kvm_dtable *dt, bool idt);
	void (*set_table)(struct okvm_vcpu *vcpu, const struct kvm_dtable *dt, bool idt);
	void (*set_cr)(struct okvm_vcpu *vcpu, int cr);
	void (*get_pdptes)(struct okvm_vcpu *vcpu, u64 pdpte[4]);
	void (*set_pdptes)(struct okvm_vcpu *vcpu, const u64 pdpte[4]);
	void (*set_root)(struct okvm_vcpu *vcpu, u64 root_hpa);
	int (*set_dirty_log)(struct okvm_vcpu *vcpu, bool on);
	int (*get_msr)(struct okvm_vcpu *vcpu, u32 index, u64 *data);
	int (*set_msr)(struct okvm_vcpu *vcpu, u32 index, u64 data);
	void (*set_msr_exits)(struct okvm_vcpu *vcpu);
	void (*set_tsc)(struct okvm_vcpu *vcpu);
	bool (*set_timer)(struct okvm_vcpu *vcpu, u64 tsc);
	void (*set_debug)(struct okvm_vcpu *vcpu);
	void (*set_cpuid)(struct okvm_vcpu *vcpu);

	void (*inject_exception)(struct okvm_vcpu *vcpu);
	void (*inject_irq)(struct okvm_vcpu *vcpu);
	void (*inject_nmi)(struct okvm_vcpu *vcpu);
	void (*cancel_injection)(struct okvm_vcpu *vcpu);
	bool (*irq_allowed)(struct okvm_vcpu *vcpu);
	bool (*nmi_allowed)(struct okvm_vcpu *vcpu);
	void (*want_window)(struct okvm_vcpu *vcpu, bool nmi);
	u32 (*get_shadow)(struct okvm_vcpu *vcpu);
	void (*set_shadow)(struct okvm_vcpu *vcpu, u32 shadow);
	void (*set_nmi_mask)(struct okvm_vcpu *vcpu, bool masked);
	bool (*get_nmi_mask)(struct okvm_vcpu *vcpu);
	void (*set_apicv)(struct okvm_vcpu *vcpu, int mode);
	void (*set_eoi_exits)(struct okvm_vcpu *vcpu);
	unsigned long *(*posted_requests)(struct okvm_vcpu *vcpu);
	void (*notify)(struct okvm_vcpu *vcpu);
	void (*set_tpr_limit)(struct okvm_vcpu *vcpu, int irr);
	void (*flush_tlb)(struct okvm_vcpu *vcpu);
	void (*dump)(struct okvm_vcpu *vcpu);
};

/* The operations that both vendors have, under the names that they have there: vmx_run, svm_run. */
#define BACKEND_OPERATIONS(vendor)								\
	.name = #vendor, .supported = vendor##_supported, .setup = vendor##_setup,		\
	.unsetup = vendor##_unsetup, .cpu_enable = vendor##_cpu_enable,				\
	.cpu_disable = vendor##_cpu_disable, .vcpu_create = vendor##_vcpu_create,		\
	.vcpu_destroy = vendor##_vcpu_destroy, .vcpu_reset = vendor##_vcpu_reset,		\
	.vcpu_load = vendor##_vcpu_load, .vcpu_put = vendor##_vcpu_put, .run = vendor##_run,	\
	.cache_reg = vendor##_cache_reg, .get_segment = vendor##_get_segment,			\
	.set_segment = vendor##_set_segment, .cpl = vendor##_cpl,				\
	.long_code = vendor##_long_code,							\
	.get_table = vendor##_get_table, .set_table = vendor##_set_table,			\
	.set_cr = vendor##_set_cr, .set_root = vendor##_set_root,				\
	.get_msr = vendor##_get_msr, .set_msr = vendor##_set_msr,				\
	.set_msr_exits = vendor##_set_msr_exits, .set_tsc = vendor##_set_tsc,			\
	.set_debug = vendor##_set_debug,							\
	.set_cpuid = vendor##_set_cpuid, .inject_exception = vendor##_inject_exception,		\
	.inject_irq = vendor##_inject_irq, .inject_nmi = vendor##_inject_nmi,			\
	.cancel_injection = vendor##_cancel_injection, .irq_allowed = vendor##_irq_allowed,	\
	.nmi_allowed = vendor##_nmi_allowed, .want_window = vendor##_want_window,		\
	.get_shadow = vendor##_get_shadow, .set_shadow = vendor##_set_shadow,			\
	.set_nmi_mask = vendor##_set_nmi_mask, .get_nmi_mask = vendor##_get_nmi_mask,		\
	.set_tpr_limit = vendor##_set_tpr_limit, .flush_tlb = vendor##_flush_tlb,		\
	.dump = vendor##_dump

#define CR_EFER	16	/* for set_cr */

/* Calls on hot paths go through these static calls; the rest through okvm_backend->op(). */
DECLARE_STATIC_CALL(okvm_run, *((struct okvm_backend *)NULL)->run);
DECLARE_STATIC_CALL(okvm_cache_reg, *((struct okvm_backend *)NULL)->cache_reg);

static inline void backend_cache_reg(struct okvm_vcpu *vcpu, int reg)
{
	static_call(okvm_cache_reg)(vcpu, reg);
}

extern const struct okvm_backend okvm_svm_backend, okvm_vmx_backend;

/* What the backend found in setup(), constant afterwards. */
struct okvm_hw {
	bool tdp;			/* two-dimensional paging in use */
	bool ept;			/* its tables are Intel's, else AMD's */
	bool ept_ad;			/* the CPU sets accessed and dirty bits in them, */
	bool pml;			/* and keeps a list of those that it set */
	bool nx_huge_pages;		/* an instruction fetch must not meet a large leaf */
	u8 max_leaf_level;		/* LEVEL_*: the largest leaf of the second-level table */
	bool nx;
	bool guest_timer;		/* the backend has set_timer */
	bool apicv;			/* the CPU can work on the local APIC's registers, */
	bool apic_page;			/* in xAPIC mode, too */
	bool tsc_scaling;
	u8 tsc_frac_bits;
	u64 tsc_max_ratio;
	unsigned int private_pages;	/* guest-physical pages at the top, no slot's */
	u8 tdp_levels;			/* of the second-level table: 4 or 5 */
	u64 supported_xcr0, supported_xss;
	u64 host_efer;
	bool decode_assist, nrip;
	bool no_rdtscp, no_invpcid, no_xsaves; /* the CPU has it, a guest cannot */
};
extern struct okvm_hw okvm_hw;
extern bool okvm_want_tdp;	/* module parameter: else shadow paging */

#endif
