/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters, named as KVM's so that tools read them. One list makes enum, names and storage. */
#ifndef OKVM_STATS_H
#define OKVM_STATS_H

#include <linux/types.h>

#define OKVM_STATS(X) \
	X(exits) X(io_exits) X(mmio_exits) X(signal_exits) X(irq_window_exits) \
	X(nmi_window_exits) X(halt_exits) X(halt_wakeup) X(halt_successful_poll) X(request_irq_exits) \
	X(irq_exits) X(host_state_reload) X(fpu_reload) X(insn_emulation) X(insn_emulation_fail) \
	X(hypercalls) X(irq_injections) X(nmi_injections) X(pf_fixed) X(pf_guest) X(tlb_flush) \
	X(invlpg) X(req_event) X(preemption_reported) X(remote_tlb_flush) X(mmu_pde_zapped) \
	X(cpuid_exits) X(msr_exits) X(cr_exits) X(fault_exits) X(timer_exits)

#define X(name) STAT_##name,
enum okvm_stat { OKVM_STATS(X) OKVM_NR_STATS };
#undef X

struct okvm_vcpu_stats {
	u64 n[OKVM_NR_STATS];	/* written by the vCPU's thread only */
};

struct okvm_vm;
struct okvm_vcpu;
long okvm_vm_stats_fd(struct okvm_vm *vm, void *arg);
long okvm_vcpu_stats_fd(struct okvm_vcpu *vcpu, void *arg);
void okvm_stats_setup(void);
void okvm_stats_unsetup(void);
void okvm_stats_retire(struct okvm_vcpu *vcpu);

/* For the running vCPU's own thread. */
#define okvm_count(vcpu, name) ((vcpu)->stats.n[STAT_##name]++)

#endif
