/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMX backend's own structs and what its files share. */
#ifndef OKVM_VMX_H
#define OKVM_VMX_H

#include "vmm.h"

#include <linux/list.h>
#include <asm/vmx.h>

#include "vmx/enter.h"

/* <asm/vmx.h> has macros of these names, of another meaning: here they are enum okvm_reg's. */
#undef REG_R8
#undef REG_R9
#undef REG_R10
#undef REG_R11
#undef REG_R12
#undef REG_R13
#undef REG_R14
#undef REG_R15

/* Exit reason of GETSEC, which the kernel's list leaves out. SDM vol. 3, appendix C. */
#define EXIT_REASON_GETSEC	11

/* Exit qualification or interruption information: an IRET had unblocked NMIs. */
#define NMI_UNBLOCKED_BY_IRET	BIT(12)

/* Pending debug exceptions: a single step is due. */
#define PENDING_STEP		BIT(14)

/* Guest-physical space of our own without unrestricted guest: what one large entry maps. */
#define VMX_PRIVATE_PAGES	512

#define SHADOW_BITS	(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

/**
 * struct vmx_features - what the CPU has, as far as it is used; constant after setup
 * @pin, @cpu, @cpu2, @exit, @entry: the control fields that every VMCS starts with
 * @revision: a VMCS's first word
 * @vnmi: the CPU knows when an NMI handler runs
 * @vpid: TLB entries carry a tag of the vCPU, and @invvpid_one: can be dropped by it
 * @invept_one: entries of one EPT pointer can be dropped by themselves
 * @ept_ad: accessed and dirty bits in EPT entries
 * @pml: and a list of those dirty bits that the CPU set
 * @tpr_shadow: CR8 without exits
 * @apicv: the CPU works on the local APIC's registers and delivers its interrupts
 * @apic_page: also in xAPIC mode
 * @posted: interrupts reach the guest without an exit
 * @ple: PAUSE loops exit
 * @tsc_scaling: the guest's TSC may run at another rate
 * @timer: the preemption timer, which counts every 2^@timer_shift ticks of the TSC
 * @rdtscp, @invpcid, @xsaves: the instructions can be given to a guest
 * @load_efer, @load_pat, @load_perf: the VMCS has fields for these MSRs
 * @encls: ENCLS exits
 * @perf: the host's counters may have to be switched
 * @unrestricted: real mode, and protected mode without paging, run as they are
 * @cr0_on, @cr4_on: bits that must be set in VMX operation
 */
struct vmx_features {
	u32 pin, cpu, cpu2, exit, entry;
	u32 revision;
	bool vnmi, vpid, invvpid_one, invept_one, ept_ad, pml;
	bool tpr_shadow, apicv, apic_page, posted, ple, tsc_scaling, timer;
	u8 timer_shift;
	bool rdtscp, invpcid, xsaves, encls, perf;
	bool load_efer, load_pat, load_perf;
	bool unrestricted;
	u64 cr0_on, cr4_on;
};

extern struct vmx_features vmx_features;

/* A CPU's part. */
struct vmx_cpu {
	struct page *vmxon;		/* VMXON's region */
	struct list_head active;	/* VMCSs that have data in this CPU; irqs off, on the CPU */
	struct vmx_vcpu *current_vcpu;	/* whose VMCS is the current one */
	struct vmx_vcpu *last;		/* the vCPU that ran last: another one gets an IBPB */
};

DECLARE_PER_CPU(struct vmx_cpu, vmx_cpus);

/* MSRs that the host uses in user space only, given back on the way there. */
enum vmx_lazy_msr { LAZY_STAR, LAZY_LSTAR, LAZY_CSTAR, LAZY_SFMASK, LAZY_TSC_AUX, LAZY_MSRS };

struct vmx_segment {
	u64 base;
	u32 limit, ar;
	u16 selector;
};

#define VMX_POSTED_BYTES 64	/* a posted-interrupt descriptor */
#define VMX_SEGMENTS	8	/* SEG_ES to SEG_TR, in the order of the VMCS's fields */
#define VMX_AUTOLOAD	8

/**
 * struct vmx_restricted - a vCPU without unrestricted guest: see restricted.c
 * @stale: the guest's state changed; whether VMX takes it must be found out
 * @emulate: VMX does not
 * @real: real mode: the guest's segments are in struct vmx_vcpu's @seg alone
 * @task: real mode, and the VMCS has it as a virtual-8086 task
 * @guest_task: RFLAGS.VM was set when the state was looked at, in protected mode
 * @iopl: in a @task, bits of the guest's RFLAGS
 * @sysenter_cs: in real mode, the guest's MSR
 */
struct vmx_restricted {
	bool stale, emulate, real, task, guest_task;
	u32 iopl, sysenter_cs;
};

/**
 * struct vmx_vcpu - a vCPU's part
 * @vmcs: its VMCS, a page
 * @on_cpu: the CPU that has the VMCS's data, or -1: in memory; written with irqs off there
 * @active: in that CPU's list
 * @enter: what the world switch needs
 * @pin, @cpu, @cpu2, @exit, @entry_ctls: the control fields as they are in the VMCS
 * @eptp: EPT pointer, 0 before the first root
 * @vpid: TLB tag, 0: none
 * @flush: forget all translations before the next entry
 * @msr_bitmap: as it is in the VMCS
 * @posted: posted-interrupt descriptor
 * @pml: once the VM has a dirty log: a page for the addresses of pages that become dirty
 * @tpr_limit: class of a vector that the TPR holds back, 0: none
 * @tpr_threshold, @exceptions: as they are in the VMCS
 * @intr: interruptibility; @intr_known: read since the last exit; @intr_dirty: to be written
 * @nmi: without vnmi: @masked: a handler runs, for @ticks of the TSC in the guest until the last
 *	exit; @entered: the TSC at the last entry
 * @seg: segments read since the last exit, by bits of @seg_known
 * @restricted: without unrestricted guest
 * @soft_len: length of the instruction that a software exception belongs to
 * @pdptes_stale: PAE paging's first four entries are to be read before the next entry
 * @in_guest_state: the guest's lazy MSRs, KERNEL_GS_BASE and the host's bases are in place
 * @timer_tsc: leave the guest when the host's TSC is there; 0: never
 * @timer_idle: the VMCS's timer value is as far away as can be
 * @lazy: the guest's lazy MSRs
 * @kernel_gs_base: the guest's, while not @in_guest_state
 * @host: user space's segments and bases, and what the VMCS has as the host's
 * @autoload_guest, @autoload_host: MSRs that the CPU loads on entry and exit
 * @autoload_n: how many there are; @autoload_fixed: those that are not perf's, which come first
 * @perf_guest, @perf_host: IA32_PERF_GLOBAL_CTRL as it is in the VMCS
 * @spec_ctrl: the guest's
 * @l1d_dirty: the host's data may be in the L1D cache
 * @counted: accesses of the VMCS since the last exit, and its reason; see count.c
 */
struct vmx_vcpu {
	void *vmcs;
	int on_cpu;
	struct list_head active;
	struct vmx_enter enter;
	u32 pin, cpu, cpu2, exit, entry_ctls;
	u64 eptp;
	u16 vpid;
	bool flush;
	void *msr_bitmap;
	unsigned long *posted;
	u64 *pml;
	u8 tpr_limit, tpr_threshold;
	u32 exceptions;
	u32 intr;
	bool intr_known, intr_dirty;
	struct {
		bool masked;
		u64 entered, ticks;
	} nmi;
	u8 seg_known;
	struct vmx_segment seg[VMX_SEGMENTS];
	struct vmx_restricted restricted;
	u32 soft_len;
	bool pdptes_stale;
	u64 timer_tsc;
	bool timer_idle;
	bool in_guest_state;
	u64 lazy[LAZY_MSRS];
	u64 kernel_gs_base;
	struct {
		unsigned long cr3, cr4, fs_base, gs_base_user;
		u16 ds, es, fs, gs, ldt;
		u64 debugctl;
	} host;
	struct vmx_msr_entry autoload_guest[VMX_AUTOLOAD], autoload_host[VMX_AUTOLOAD];
	u32 autoload_n, autoload_fixed;
	u64 perf_guest, perf_host;
	u64 spec_ctrl;
	bool l1d_dirty;
#ifdef OKVM_VMX_COUNT
	struct {
		bool any;
		u16 reason;
		u64 reads, writes;
	} counted;
#endif
};

static inline struct vmx_vcpu *to_vmx(struct okvm_vcpu *vcpu)
{
	return vcpu->priv;
}

/* backend.c */
/* apicv.c */
void vmx_set_apicv(struct okvm_vcpu *vcpu, int mode);
void vmx_set_eoi_exits(struct okvm_vcpu *vcpu);
unsigned long *vmx_posted_requests(struct okvm_vcpu *vcpu);
void vmx_notify(struct okvm_vcpu *vcpu);
bool vmx_sync_apic(struct okvm_vcpu *vcpu);
/* control.c */
int vmx_find_features(void);
void vmx_vcpu_reset(struct okvm_vcpu *vcpu, bool init);
void vmx_control(struct vmx_vcpu *vmx, u32 bit, bool on);
void vmx_control2(struct vmx_vcpu *vmx, u32 bits, bool on);
void vmx_intercept_exception(struct vmx_vcpu *vmx, u8 vector, bool on);
void vmx_set_root(struct okvm_vcpu *vcpu, u64 root_hpa);
void vmx_set_tsc(struct okvm_vcpu *vcpu);
bool vmx_set_timer(struct okvm_vcpu *vcpu, u64 tsc);
void vmx_set_debug(struct okvm_vcpu *vcpu);
void vmx_set_cpuid(struct okvm_vcpu *vcpu);
void vmx_flush_tlb(struct okvm_vcpu *vcpu);
void vmx_flush_now(struct vmx_vcpu *vmx);
void vmx_dump(struct okvm_vcpu *vcpu);
/* state.c */
void vmx_cache_reg(struct okvm_vcpu *vcpu, int reg);
void vmx_get_segment(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which);
void vmx_set_segment(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which);
u64 vmx_segment_base(struct okvm_vcpu *vcpu, int which);
void vmx_set_segment_base(struct okvm_vcpu *vcpu, int which, u64 base);
int vmx_cpl(struct okvm_vcpu *vcpu);
bool vmx_long_code(struct okvm_vcpu *vcpu);
void vmx_get_table(struct okvm_vcpu *vcpu, struct kvm_dtable *dt, bool idt);
void vmx_set_table(struct okvm_vcpu *vcpu, const struct kvm_dtable *dt, bool idt);
void vmx_set_cr(struct okvm_vcpu *vcpu, int cr);
void vmx_get_pdptes(struct okvm_vcpu *vcpu, u64 pdpte[4]);
void vmx_set_pdptes(struct okvm_vcpu *vcpu, const u64 pdpte[4]);
void vmx_load_pdptes(struct okvm_vcpu *vcpu);
/* interrupts.c */
u32 vmx_interruptibility(struct okvm_vcpu *vcpu);
void vmx_inject_exception(struct okvm_vcpu *vcpu);
void vmx_inject_irq(struct okvm_vcpu *vcpu);
void vmx_inject_nmi(struct okvm_vcpu *vcpu);
void vmx_cancel_injection(struct okvm_vcpu *vcpu);
void vmx_take_back_events(struct okvm_vcpu *vcpu, u32 vectoring);
bool vmx_irq_allowed(struct okvm_vcpu *vcpu);
bool vmx_nmi_allowed(struct okvm_vcpu *vcpu);
void vmx_want_window(struct okvm_vcpu *vcpu, bool nmi);
u32 vmx_get_shadow(struct okvm_vcpu *vcpu);
void vmx_set_shadow(struct okvm_vcpu *vcpu, u32 shadow);
void vmx_set_nmi_mask(struct okvm_vcpu *vcpu, bool masked);
void vmx_guess_nmi_mask(struct okvm_vcpu *vcpu, u32 reason);
bool vmx_get_nmi_mask(struct okvm_vcpu *vcpu);
void vmx_set_tpr_limit(struct okvm_vcpu *vcpu, int irr);
void vmx_load_interruptibility(struct okvm_vcpu *vcpu);
void vmx_leave_halt(struct okvm_vcpu *vcpu);
/* msr.c */
int vmx_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data);
int vmx_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data);
void vmx_set_msr_exits(struct okvm_vcpu *vcpu);
int vmx_msr_setup(void);
void vmx_msr_unsetup(void);
void vmx_read_lazy_msrs(void);
void vmx_load_lazy_msrs(struct okvm_vcpu *vcpu);
void vmx_lazy_msrs_changed(struct okvm_vcpu *vcpu);
void vmx_drop_lazy_msrs(void);
void vmx_switch_perf_msrs(struct vmx_vcpu *vmx);
void vmx_autoload(struct vmx_vcpu *vmx, u32 index, u64 guest, u64 host);
void vmx_put_pat(struct okvm_vcpu *vcpu);
/* restricted.c */
int vmx_restricted_create(struct okvm_vm *vm);
void vmx_vm_destroy(struct okvm_vm *vm);
bool vmx_must_emulate(struct okvm_vcpu *vcpu);
void vmx_restricted_cr0(struct okvm_vcpu *vcpu);
unsigned long vmx_flat_cr4(struct okvm_vcpu *vcpu, unsigned long cr4);
unsigned long vmx_hide_task(struct okvm_vcpu *vcpu, unsigned long rflags);
unsigned long vmx_show_task(struct okvm_vcpu *vcpu, unsigned long rflags);
bool vmx_deliver_by_software(struct okvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u8 len);
/* pml.c */
int vmx_set_dirty_log(struct okvm_vcpu *vcpu, bool on);
void vmx_drain_pml(struct okvm_vcpu *vcpu);
/* count.c */
#ifdef OKVM_VMX_COUNT
void vmx_count_setup(void);
void vmx_count_unsetup(void);
void vmx_count_exit(struct vmx_vcpu *vmx, u32 reason);
#else
static inline void vmx_count_setup(void) { }
static inline void vmx_count_unsetup(void) { }
static inline void vmx_count_exit(struct vmx_vcpu *vmx, u32 reason) { }
#endif
/* exit.c */
void vmx_decode_exit(struct okvm_vcpu *vcpu, u32 reason, u32 vectoring);
/* run.c */
int vmx_l1d_setup(void);
void vmx_l1d_unsetup(void);
void vmx_init_host_state(void);
void vmx_host_state_of_cpu(struct vmx_vcpu *vmx);
void vmx_leave_guest_state(struct okvm_vcpu *vcpu);
void vmx_run(struct okvm_vcpu *vcpu);

#endif
