// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work that a thread owes the kernel before it may stay in the guest (task work, rseq, memory
 * cgroup throttling). The kernel's own helper does it; it wants a struct kvm_vcpu, of which it
 * touches the exit reason and a counter when a signal came: those land in a stand-in that all
 * vCPUs share, since run.c looks at signals itself. This file alone sees kvm_host.h.
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>

#include "guest_work.h"

static struct kvm_run stand_in_run;
static struct kvm_vcpu stand_in = { .run = &stand_in_run };

/**
 * okvm_guest_work - do the thread's pending work
 *
 * Context: vCPU thread, interrupts on; sleeps.
 * Return: 0, or -EINTR when a signal is pending.
 */
int okvm_guest_work(void)
{
	return xfer_to_guest_mode_handle_work(&stand_in);
}
