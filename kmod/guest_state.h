/* SPDX-License-Identifier: GPL-2.0-only */
/* Tell RCU, lockdep and context tracking that the CPU is in the guest; around the world switch. */
#ifndef OKVM_GUEST_STATE_H
#define OKVM_GUEST_STATE_H

#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/irqflags.h>
#include <linux/rcupdate.h>

/* Between these two no code may use RCU, tracing or lockdep: the CPU counts as in the guest. */
static __always_inline void guest_state_enter(void)
{
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	if (!context_tracking_guest_enter())
		rcu_virt_note_context_switch(smp_processor_id());
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void guest_state_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	trace_hardirqs_off_finish();
}

#endif
