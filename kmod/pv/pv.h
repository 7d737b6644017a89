/* SPDX-License-Identifier: GPL-2.0-only */
/* Paravirtual interfaces of CPUID leaf 0x40000000: kvmclock, steal time, hypercalls. */
#ifndef OKVM_PV_H
#define OKVM_PV_H

#include <linux/kvm_types.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct okvm_vm;
struct okvm_vcpu;

struct okvm_vm_clock {
	struct mutex lock;	/* of the next five fields; a vCPU reads them under it */
	s64 offset;		/* guest's kvmclock = host's clock (okvm_clock_base_ns) + offset */
	bool master;		/* one TSC reading serves all vCPUs; A to read */
	unsigned int epoch;	/* okvm_tsc_epoch() then */
	u64 master_ns, master_tsc;	/* that reading: the host's clock, the host's TSC */
	u64 wall_clock_msr;
	spinlock_t tsc_lock;	/* the last TSC that user space wrote, tsc.c: */
	u32 tsc_khz;
	u64 tsc_value, tsc_ns, tsc_offset;
	/* Switches of the vCPUs' state, by KVM_ENABLE_CAP; V to write, A to read: */
	bool hide_platform_info, exception_payload, triple_fault_event;
};

struct okvm_vcpu_pv {
	u64 clock_msr;		/* MSR_KVM_SYSTEM_TIME(_NEW) */
	bool guest_stopped;	/* KVM_KVMCLOCK_CTRL: tell the guest with the next update */
	u64 steal_msr;		/* MSR_KVM_STEAL_TIME */
	u64 steal_last;		/* the thread's run delay that is counted in */
	bool steal_preempted;	/* the guest's page says so */
	u64 poll_control;
};

void okvm_pv_vm_create(struct okvm_vm *vm);
void okvm_pv_vm_destroy(struct okvm_vm *vm);
int okvm_pv_setup(void);		/* module load: clocksource notifier */
void okvm_pv_unsetup(void);
void okvm_pv_reset(struct okvm_vcpu *vcpu);
/* MSR_KVM_*: 0, or 1 for #GP */
int okvm_pv_get_msr(struct okvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int okvm_pv_set_msr(struct okvm_vcpu *vcpu, u32 index, u64 data, bool host);
/* On REQ_CLOCK_UPDATE, REQ_STEAL_UPDATE, REQ_MASTERCLOCK: vCPU thread, may sleep. */
int okvm_clock_update(struct okvm_vcpu *vcpu);
void okvm_masterclock_update(struct okvm_vm *vm);
void okvm_steal_update(struct okvm_vcpu *vcpu);
void okvm_steal_run(struct okvm_vcpu *vcpu);		/* KVM_RUN begins */
/* The thread is scheduled out: may not sleep. */
void okvm_steal_preempted(struct okvm_vcpu *vcpu);

/* clock.c */
u64 okvm_clock_base_ns(void);		/* the host's clock that kvmclock and the TSC are tied to */
unsigned int okvm_tsc_epoch(void);	/* changes when the host's TSC may have started anew */
int okvm_set_wall_clock(struct okvm_vcpu *vcpu, u64 data);
int okvm_set_system_time(struct okvm_vcpu *vcpu, u64 data);
int okvm_set_steal_time(struct okvm_vcpu *vcpu, u64 data);
long okvm_get_clock(struct okvm_vm *vm, void *arg);
long okvm_set_clock(struct okvm_vm *vm, void *arg);
long okvm_kvmclock_ctrl(struct okvm_vcpu *vcpu, void *arg);
/* A TSC reading and the times that go with it; false: the host's clock is not the TSC. */
bool okvm_tsc_snapshot(u64 *host_tsc, u64 *base_ns, u64 *real_ns);

#endif
