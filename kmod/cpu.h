/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtualization on each CPU: held from load to unload, through hotplug, suspend and reboot. */
#ifndef OKVM_CPU_H
#define OKVM_CPU_H

#include <linux/types.h>

int okvm_cpu_setup(void);
void okvm_cpu_unsetup(void);
bool okvm_on_tcg(void);
bool okvm_module_loaded(const char *name);

/* Set once the machine goes down: a faulting VMRUN or VMX instruction is no bug then. */
extern bool okvm_rebooting;

#endif
