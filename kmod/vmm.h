/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The main structs (a VM, a vCPU, an exit) and what every part of the module may call.
 *
 * Letters behind a field say what guards it:
 *   C  constant after creation           V  the VM's lock
 *   S  the VM's slots_lock               U  the vCPU's mutex (the thread in a vCPU ioctl)
 *   A  atomic, or READ_ONCE/WRITE_ONCE   R  RCU for readers, V for writers
 *   I  its own file's rule, stated there
 */
#ifndef OKVM_VMM_H
#define OKVM_VMM_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>
#include <asm/debugreg.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/io.h>
#include <asm/tlbflush.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <uapi/asm/kvm_para.h>

#include "backend.h"
#include "emulate/emulate.h"
#include "irqchip/irqchip.h"
#include "mmu/mmu.h"
#include "pv/pv.h"
#include "cpuid.h"
#include "stats.h"

#define OKVM_MAX_VCPUS		1024
#define OKVM_MAX_VCPU_ID	4096

/* General registers in hardware order, then what the backend may read on demand. */
enum okvm_reg {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	REG_RIP, REG_RFLAGS, REG_COUNT,
	REG_CR3 = REG_COUNT, REG_SLOTS
};

/* Requests: bits of vcpu->requests, taken before the next guest entry. */
enum okvm_request {
	REQ_EVENT,		/* look for something to inject */
	REQ_TLB_FLUSH,		/* the guest's whole TLB (second-level included) */
	REQ_TLB_FLUSH_GUEST,	/* the guest's own translations only */
	REQ_MMU_RELOAD,		/* the root table changed */
	REQ_DIRTY_LOG,		/* is there a dirty log? And leave the guest, with what it wrote */
	REQ_CLOCK_UPDATE,	/* write the kvmclock page */
	REQ_STEAL_UPDATE,	/* write the steal time page */
	REQ_MASTERCLOCK,	/* recompute the VM's clock, then everybody's page */
	REQ_NMI,		/* NMIs queued from other threads */
	REQ_TRIPLE_FAULT,
	REQ_UNHALT,		/* PV kick or another thread's wake-up out of HLT */
	REQ_IOAPIC_EOI,		/* tell user space's IOAPIC */
	REQ_TPR_ACCESS,		/* tell user space of it */
	REQ_RING_FULL,		/* user space is to empty the dirty ring first */
	REQ_EOI_EXITS,		/* other EOIs must exit */
	REQ_MSR_FILTER,		/* other MSRs must exit */
	REQ_KICK,		/* only leave the guest */
	REQ_DEAD,		/* the VM is gone: -EIO */
};

enum okvm_vcpu_mode { OUTSIDE_GUEST, IN_GUEST };

/**
 * struct okvm_events - what is to be injected at the next entry
 * @exception: one exception; @injected when the entry has been tried (it is re-injected after
 *	an exit that interrupted its delivery), else @pending. @payload is CR2 or the DR6 bits.
 * @irq: an interrupt taken from the controller (or KVM_INTERRUPT) whose delivery has not completed.
 * @nmi_pending: NMIs accepted and not yet tried, at most 2.
 * @nmi_injected: an NMI whose delivery has not completed.
 * @nmi_queued: NMIs from other threads, moved to @nmi_pending by REQ_NMI.
 */
struct okvm_events {
	struct {
		bool pending, injected, has_error, has_payload;
		u8 vector;
		u32 error;
		u64 payload;
	} exception;
	struct {
		bool injected, soft;
		u8 vector;
	} irq;
	u8 nmi_pending;
	bool nmi_injected;
	atomic_t nmi_queued;
};

/* One access to user space's devices: a piece of at most 8 bytes within a page. */
struct okvm_mmio_piece {
	u64 gpa;
	u32 len;
	u8 data[8];
};

/**
 * struct okvm_io_state - accesses of the instruction under way that user space completes
 * @pieces: MMIO in program order, reads before writes
 * @n: pieces known so far, of which the first @n_read are reads
 * @ready: reads below it have their data; writes below it have been shown to user space
 * @cursor: the next read of a re-run instruction that finds its data
 * @pio: the port access under way
 * @rip: where the instruction is, to see whether user space moved the guest meanwhile
 * @done: what to call once user space has completed everything
 */
struct okvm_io_state {
	struct okvm_mmio_piece pieces[18];
	u8 n, n_read, ready, cursor;
	struct {
		bool active, in, ready;
		u8 size;
		u16 port;
		u32 count;
	} pio;
	u64 rip;
	int (*done)(struct okvm_vcpu *vcpu);
};

/**
 * struct okvm_touched - where the CPU got to before an access exited to be emulated
 * @valid: the instruction has one memory operand, and this is it; no RAM takes the access
 * @write: the access wrote
 * @gpa: physical address of its first byte that faulted
 * @linear: the operand's linear address, once the emulator has found it; else 0
 */
struct okvm_touched {
	bool valid, write;
	u64 gpa, linear;
};

/* SDM vol. 3, "Debug Registers": DR6 and DR7 when nothing happened and nothing is set. */
#define DR6_IDLE	0xffff0ff0ul
#define DR6_TRANSACTION	0x00010000ul	/* RTM: active low */
#define DR6_DETECT	0x00002000ul	/* BD */
#define DR7_IDLE	0x00000400ul
#define DR7_GENERAL_DETECT 0x00002000ul

struct okvm_dbg {
	u64 db[4], dr6, dr7;		/* the guest's own */
	bool guest_owns;		/* the CPU's are the guest's until the next exit */
	u32 guest_debug;		/* KVM_GUESTDBG_* */
	u64 host_db[4], host_dr7;	/* KVM_SET_GUEST_DEBUG's */
	u64 singlestep_rip;
};

struct okvm_vcpu {
	struct okvm_vm *vm;			/* C */
	int id;					/* C: user space's, the initial APIC id */
	int index;				/* C: dense */
	int cpu;				/* A: where loaded, or last; -1 never */
	struct mutex mutex;
	struct kvm_run *run;			/* C: shared with user space, hostile */
	void *pio_data;				/* C: shared with user space, one page */
	struct page *run_pages[2];		/* C: kvm_run, PIO data */
	unsigned long requests;			/* A: bits of enum okvm_request */
	int mode;				/* A: enum okvm_vcpu_mode */
	struct rcuwait wait;			/* where a halted vCPU sleeps */
	struct preempt_notifier preempt;	/* U */
	struct pid __rcu *pid;			/* R: the thread that last ran it */
	bool preempted;				/* A */

	unsigned long regs[REG_COUNT];		/* U */
	unsigned int regs_avail, regs_dirty;	/* U: bits of enum okvm_reg */
	unsigned long cr0, cr2, cr3, cr4, cr8;	/* U: the guest's; cr3 through okvm_cr3() */
	u64 efer, xcr0, xss;			/* U */
	u64 apic_base;				/* U */
	u64 pat;				/* U */
	u32 mp_state;				/* U written, A read */
	bool hlt_in_kernel;			/* C: local APIC in the kernel */
	struct okvm_events ev;			/* U but for nmi_queued */
	struct okvm_dbg dbg;			/* U */
	struct okvm_cpuid cpuid;		/* U */
	struct okvm_msrs *msrs;			/* U: msr.c's */
	struct fpu_guest fpu;			/* U */
	bool fpu_loaded;			/* U: the guest's FPU registers are in the CPU */
	sigset_t sigset;			/* U */
	bool sigset_active;			/* U */

	struct okvm_tsc {			/* U */
		u64 offset;			/* guest TSC = host TSC (scaled) + offset */
		u32 khz;			/* the guest's rate */
		u64 adjust;			/* IA32_TSC_ADJUST */
	} tsc;

	struct okvm_slots *slots_held;		/* A: hazard pointer, see mmu/memslot.c */
	int slots_depth;			/* U */
	struct okvm_lapic *lapic;		/* C: NULL when not in the kernel */
	struct okvm_vcpu_mmu mmu;		/* U */
	struct okvm_vcpu_pv pv;			/* U */
	struct okvm_vcpu_stats stats;		/* U */

	struct okvm_exit exit;			/* U: the last exit, normalised */
	struct emulate_ctxt emulate;		/* U */
	u8 emulate_pio[256];			/* U: a batch of string I/O */
	u8 emulate_shadow;			/* U: EMULATE_SHADOW_*, before the instruction */
	struct okvm_touched touched;		/* U */
	bool emulated_hlt;			/* U */
	struct okvm_io_state io;		/* U: accesses that user space completes */
	int (*complete)(struct okvm_vcpu *vcpu); /* U: ends a user-space exit on the next run */
	void *priv;				/* C: the backend's own (struct svm_vcpu) */
};

struct okvm_vm {
	refcount_t users;			/* A: fds */
	struct mm_struct *mm;			/* C */
	pid_t creator;				/* C: who made it; a name for user space */
	struct mutex lock;			/* new vCPUs and controllers, capabilities */
	struct mutex slots_lock;		/* memory slot changes and dirty logs */
	struct xarray vcpus;			/* V to add; by index, read without a lock */
	int nr_vcpus;				/* V to write, A to read */
	int created_vcpus;			/* V */
	struct list_head node;			/* in the list of all VMs, by its mutex */
	bool dead;				/* A */

	struct okvm_vm_mmu mmu;			/* I */
	struct okvm_irqchip *irqchip;		/* A: set once, with smp_store_release */
	struct okvm_io_bus *io;			/* I: ioeventfds and coalesced zones */
	struct okvm_vm_clock clock;		/* I */
	u64 tss_addr, identity_map_addr;	/* V */
	u32 max_vcpu_id;			/* V */
	u32 bsp_id;				/* V */
	u64 tsc_khz;				/* V: default rate of new vCPUs */
	u64 disabled_quirks;			/* V */
	bool exit_on_emulation_failure;		/* V to write, A to read */
	u32 disabled_exits;			/* V, C after the first vCPU: KVM_X86_DISABLE_* */
	struct okvm_msr_filter __rcu *msr_filter; /* R: msr_filter.c's */
	u32 user_msr_reasons;			/* A: KVM_MSR_EXIT_REASON_* */
	u32 x2apic_api;				/* V to write, A: KVM_X2APIC_API_* */
	struct page *coalesced_page;		/* C after first use */
	void *priv;				/* C: the backend's own */
};

extern const struct okvm_backend *okvm_backend;	/* C */

/* ---- vcpu.c, run.c ---- */
void okvm_vcpu_kick(struct okvm_vcpu *vcpu);
void okvm_vcpu_wake(struct okvm_vcpu *vcpu);
void okvm_request_all(struct okvm_vm *vm, enum okvm_request req);
void okvm_request_all_wait(struct okvm_vm *vm, enum okvm_request req);
void okvm_flush_remote_tlbs(struct okvm_vm *vm);
void okvm_vcpu_reset(struct okvm_vcpu *vcpu, bool init);
void okvm_vcpu_sipi(struct okvm_vcpu *vcpu, u8 vector);
struct okvm_vcpu *okvm_vcpu_by_id(struct okvm_vm *vm, int id);
struct okvm_vcpu *okvm_running_vcpu(void);

/**
 * okvm_for_each_vcpu - all vCPUs of a VM, in order of creation; no lock needed
 * @i: unsigned long
 * @vcpu: cursor
 * @vm: the VM
 */
#define okvm_for_each_vcpu(i, vcpu, vm) \
	xa_for_each_range(&(vm)->vcpus, i, vcpu, 0, READ_ONCE((vm)->nr_vcpus) - 1)

static inline void okvm_request(struct okvm_vcpu *vcpu, enum okvm_request req)
{
	/* Ordered before the kick's read of vcpu->mode; pairs with the entry's smp_mb. */
	smp_wmb();
	set_bit(req, &vcpu->requests);
}

static inline void okvm_request_kick(struct okvm_vcpu *vcpu, enum okvm_request req)
{
	okvm_request(vcpu, req);
	okvm_vcpu_kick(vcpu);
}

static inline bool okvm_take_request(struct okvm_vcpu *vcpu, enum okvm_request req)
{
	return test_bit(req, &vcpu->requests) && test_and_clear_bit(req, &vcpu->requests);
}

/* ---- inject.c ---- */
void okvm_queue_exception(struct okvm_vcpu *vcpu, u8 vector);
void okvm_queue_exception_error(struct okvm_vcpu *vcpu, u8 vector, u32 error);
void okvm_queue_exception_payload(struct okvm_vcpu *vcpu, u8 vector, u64 payload);
void okvm_queue_page_fault(struct okvm_vcpu *vcpu, u64 address, u32 error);
void okvm_queue_nmi(struct okvm_vcpu *vcpu);
void okvm_triple_fault(struct okvm_vcpu *vcpu);
void okvm_inject_events(struct okvm_vcpu *vcpu);
void okvm_clear_events(struct okvm_vcpu *vcpu);

/* ---- exit.c, emulation.c: handlers return one of these ---- */
enum okvm_next {
	RESUME_USER = 0,	/* vcpu->run->exit_reason is filled */
	RESUME_GUEST = 1,
	/* or a negative errno for KVM_RUN */
};

int okvm_handle_exit(struct okvm_vcpu *vcpu);
int okvm_handle_io(struct okvm_vcpu *vcpu);
int okvm_halt(struct okvm_vcpu *vcpu);
unsigned long okvm_read_cr(struct okvm_vcpu *vcpu, int cr);
int okvm_write_cr(struct okvm_vcpu *vcpu, int cr, unsigned long value);
int okvm_emulate_instruction(struct okvm_vcpu *vcpu, gpa_t gpa, bool gpa_valid);
int okvm_emulate_table_write(struct okvm_vcpu *vcpu, gpa_t gpa);
int okvm_undefined(struct okvm_vcpu *vcpu);
int okvm_skip_instruction(struct okvm_vcpu *vcpu);
void okvm_emulate_event(struct okvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u8 len);
int okvm_task_switch(struct okvm_vcpu *vcpu);
int okvm_internal_error(struct okvm_vcpu *vcpu, u32 suberror, const u64 *data, int n);
int okvm_undeliverable(struct okvm_vcpu *vcpu, gpa_t gpa);
int okvm_complete_fault(struct okvm_vcpu *vcpu, int err);
int okvm_hypercall(struct okvm_vcpu *vcpu);
bool okvm_fix_hypercall(struct okvm_vcpu *vcpu);

/* ---- registers: regs.c, cr.c, msr.c, xstate.c, debug.c, tsc.c ---- */
static inline unsigned long okvm_reg(struct okvm_vcpu *vcpu, enum okvm_reg reg)
{
	if (unlikely(!(vcpu->regs_avail & BIT(reg))))
		backend_cache_reg(vcpu, reg);
	return vcpu->regs[reg];
}

static inline void okvm_reg_set(struct okvm_vcpu *vcpu, enum okvm_reg reg, unsigned long value)
{
	vcpu->regs[reg] = value;
	vcpu->regs_avail |= BIT(reg);
	vcpu->regs_dirty |= BIT(reg);
}

static inline unsigned long okvm_rip(struct okvm_vcpu *vcpu)
{
	return okvm_reg(vcpu, REG_RIP);
}

static inline unsigned long okvm_cr3(struct okvm_vcpu *vcpu)
{
	if (unlikely(!(vcpu->regs_avail & BIT(REG_CR3))))
		backend_cache_reg(vcpu, REG_CR3);
	return vcpu->cr3;
}

/* KVM_X86_DISABLE_EXITS_*: does the guest have the CPU's own idea of these instructions? */
static inline bool okvm_exits_disabled(const struct okvm_vcpu *vcpu, u32 which)
{
	return vcpu->vm->disabled_exits & which;
}

static inline bool okvm_long_mode(struct okvm_vcpu *vcpu)
{
	return vcpu->efer & EFER_LMA;
}

/* Segment registers are numbered as in emulate.h: SEG_ES .. SEG_TR. */
bool okvm_64bit_code(struct okvm_vcpu *vcpu);
void okvm_get_segment(struct okvm_vcpu *vcpu, struct kvm_segment *seg, int which);
void okvm_set_segment(struct okvm_vcpu *vcpu, const struct kvm_segment *seg, int which);
int okvm_cpl(struct okvm_vcpu *vcpu);

/* cr.c: 0, or 1 when the guest is to get #GP(0); nothing changed then */
int okvm_set_cr0(struct okvm_vcpu *vcpu, unsigned long value);
int okvm_set_cr3(struct okvm_vcpu *vcpu, unsigned long value);
int okvm_set_cr4(struct okvm_vcpu *vcpu, unsigned long value);
int okvm_set_cr8(struct okvm_vcpu *vcpu, unsigned long value);
unsigned long okvm_get_cr8(struct okvm_vcpu *vcpu);
int okvm_set_efer(struct okvm_vcpu *vcpu, u64 value, bool host);
unsigned long okvm_shadow_cr4(struct okvm_vcpu *vcpu, unsigned long cr4);
bool okvm_valid_cr0(struct okvm_vcpu *vcpu, unsigned long cr0);
bool okvm_valid_cr4(struct okvm_vcpu *vcpu, unsigned long cr4);
bool okvm_valid_efer(struct okvm_vcpu *vcpu, u64 efer);

/*
 * msr.c: 0, or why the guest gets #GP(0) or an ioctl's entry fails: KVM_MSR_EXIT_REASON_INVAL (1),
 * or UNKNOWN; host is true for ioctls
 */
int okvm_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int okvm_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host);
int okvm_msrs_create(struct okvm_vcpu *vcpu);
void okvm_msrs_free(struct okvm_vcpu *vcpu);
void okvm_msrs_reset(struct okvm_vcpu *vcpu, bool init);
/* msr_filter.c */
bool okvm_msr_is_filtered(struct okvm_vcpu *vcpu, u32 index);

/* xstate.c */
int okvm_fpu_create(struct okvm_vcpu *vcpu);
void okvm_fpu_free(struct okvm_vcpu *vcpu);
void okvm_fpu_reset(struct okvm_vcpu *vcpu, bool init);
void okvm_fpu_load(struct okvm_vcpu *vcpu);	/* at the start of KVM_RUN */
void okvm_fpu_put(struct okvm_vcpu *vcpu);	/* at its end */
/* irqs off, around an entry: XCR0, XSS, PKRU where they differ */
void okvm_xcr_load_guest(struct okvm_vcpu *vcpu);
void okvm_xcr_load_host(struct okvm_vcpu *vcpu);
int okvm_set_xcr(struct okvm_vcpu *vcpu, u32 index, u64 value);

/* debug.c */
int okvm_get_dr(struct okvm_vcpu *vcpu, int dr, unsigned long *value);
int okvm_set_dr(struct okvm_vcpu *vcpu, int dr, unsigned long value);
/* irqs off, around an entry: DR0 to DR3 if in use */
void okvm_debug_load(struct okvm_vcpu *vcpu);
void okvm_debug_put(struct okvm_vcpu *vcpu);
void okvm_debug_lend(struct okvm_vcpu *vcpu);
void okvm_debug_reset(struct okvm_vcpu *vcpu);
int okvm_debug_exit(struct okvm_vcpu *vcpu, u8 vector, u64 dr6);
int okvm_stepped(struct okvm_vcpu *vcpu);

/* A debugger in user space steps: RFLAGS.TF is its, not the guest's. */
static inline bool okvm_user_steps(struct okvm_vcpu *vcpu)
{
	return vcpu->dbg.guest_debug & KVM_GUESTDBG_SINGLESTEP;
}

/* It does not want to see interrupt handlers while it does. */
static inline bool okvm_irqs_blocked(struct okvm_vcpu *vcpu)
{
	return vcpu->dbg.guest_debug & KVM_GUESTDBG_BLOCKIRQ;
}

/* tsc.c */
void okvm_tsc_create(struct okvm_vcpu *vcpu);
u64 okvm_guest_tsc(struct okvm_vcpu *vcpu, u64 host_tsc);
/* preemption off: the vCPU comes to a CPU */
void okvm_tsc_load(struct okvm_vcpu *vcpu, int cpu, bool migrated);
u64 okvm_tsc_to_guest_scale(struct okvm_vcpu *vcpu);

/* ---- dev.c: every part brings its ioctls and capabilities as tables ---- */
#define ARG_COPY	0	/* copied in and out by the command's direction and size */
#define ARG_IN		1	/* the command's direction is misnamed in the ABI: copy in */
#define ARG_USER	2	/* variable size: the handler gets the user pointer */

/**
 * struct okvm_ioctl - one row of an ioctl table
 * @cmd: the command as <linux/kvm.h> has it
 * @arg: ARG_*; for _IO() commands the handler gets the value itself in the pointer
 * @dev, @vm, @vcpu: the handler for that kind of fd; a vCPU's runs under its mutex with the
 *	vCPU loaded on this CPU. Returns the ioctl's value or a negative errno.
 */
struct okvm_ioctl {
	unsigned int cmd;
	u8 arg;
	union {
		long (*dev)(void *arg);
		long (*vm)(struct okvm_vm *vm, void *arg);
		long (*vcpu)(struct okvm_vcpu *vcpu, void *arg);
	};
};

/**
 * struct okvm_cap - one row of a capability table
 * @cap: KVM_CAP_*
 * @value: what KVM_CHECK_EXTENSION returns if @check is NULL
 * @check: computes it; @vm is NULL on the device's own fd
 * @enable: KVM_ENABLE_CAP on the VM; NULL when the capability cannot be enabled
 */
struct okvm_cap {
	unsigned int cap;
	int value;
	int (*check)(struct okvm_vm *vm);
	int (*enable)(struct okvm_vm *vm, const struct kvm_enable_cap *cap);
	int (*enable_vcpu)(struct okvm_vcpu *vcpu, const struct kvm_enable_cap *cap);
};

/* Each part defines these tables; a row with cmd (or cap) 0 ends one. dev.c lists them. */
extern const struct okvm_ioctl okvm_irqchip_vm_ioctls[], okvm_irqchip_vcpu_ioctls[];
extern const struct okvm_ioctl okvm_mmu_vm_ioctls[], okvm_mmu_vcpu_ioctls[];
extern const struct okvm_ioctl okvm_state_dev_ioctls[], okvm_state_vm_ioctls[],
	okvm_state_vcpu_ioctls[];
extern const struct okvm_cap okvm_irqchip_caps[], okvm_mmu_caps[], okvm_state_caps[];

#endif
