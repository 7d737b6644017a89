// SPDX-License-Identifier: GPL-2.0-only
/* What CPUID tells the guest: all that KVM supports, with this machine's topology. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "report.h"
#include "vm.h"

#define MAX_ENTRIES	256U
#define TOPOLOGY_LEVELS	3U	/* SMT, core, end of list */
#define LEVEL_SMT	1U
#define LEVEL_CORE	2U

static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1U << bits < cpus)
		bits++;
	return bits;
}

static bool is_topology(uint32_t leaf)
{
	return leaf == 0xb || leaf == 0x1f;
}

/* Deterministic cache parameters: level 3 is everybody's, the others each core's own. */
static void fix_cache(struct kvm_cpuid_entry2 *entry, unsigned int sharing_ids)
{
	unsigned int level = (entry->eax >> 5) & 7;

	entry->eax &= ~(0xfffU << 14);
	if (level >= 3)
		entry->eax |= (sharing_ids - 1) << 14;
}

static void fix_leaf1(const struct vcpu *vcpu, struct kvm_cpuid_entry2 *entry)
{
	unsigned int cpus = vcpu->vm->nr_vcpus;

	entry->ebx = (entry->ebx & 0xffff) | vcpu->id << 24 | cpus << 16;
	entry->edx &= ~(1U << 28);
	if (cpus > 1)
		entry->edx |= 1U << 28;	/* HTT: EBX[23:16] counts */
	entry->ecx |= 1U << 31;		/* a hypervisor: look at leaf 0x40000000 */
	entry->ecx &= ~(1U << 24);
	if (vcpu->vm->irqchip &&
	    ioctl(vcpu->vm->node_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		entry->ecx |= 1U << 24;	/* GET_SUPPORTED_CPUID leaves it to the capability */
}

static void fix_entry(const struct vcpu *vcpu, struct kvm_cpuid_entry2 *entry)
{
	unsigned int cpus = vcpu->vm->nr_vcpus;
	unsigned int bits = id_bits(cpus), ids = 1U << bits;

	switch (entry->function) {
	case 1:
		fix_leaf1(vcpu, entry);
		break;
	case 4:
		if (!(entry->eax & 0x1f))
			break;
		fix_cache(entry, ids);
		entry->eax &= ~(0x3fU << 26);
		entry->eax |= (ids > 64 ? 63 : ids - 1) << 26;
		break;
	case 0x80000001:
		entry->ecx &= ~(1U << 1);	/* CmpLegacy: AMD's cores, counted in leaf 1 */
		if (cpus > 1 && entry->ecx & (1U << 22))
			entry->ecx |= 1U << 1;
		break;
	case 0x80000008:
		entry->ecx = cpus > 1 ? bits << 12 | (cpus - 1) : 0;
		break;
	case 0x8000001d:
		if (entry->eax & 0x1f)
			fix_cache(entry, ids);
		break;
	case 0x8000001e:
		entry->eax = vcpu->id;
		entry->ebx = vcpu->id & 0xff;	/* one thread a core */
		entry->ecx = 0;
		break;
	}
}

/* Extended topology: one thread a core, all cores in one package. */
static unsigned int add_topology(const struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries)
{
	unsigned int cpus = vcpu->vm->nr_vcpus;

	for (unsigned int level = 0; level < TOPOLOGY_LEVELS; level++)
		entries[level] = (struct kvm_cpuid_entry2){
			.function = 0xb,
			.index = level,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.ecx = level,
			.edx = vcpu->id,
		};
	entries[0].ebx = 1;
	entries[0].ecx |= LEVEL_SMT << 8;
	entries[1].eax = id_bits(cpus);
	entries[1].ebx = cpus;
	entries[1].ecx |= LEVEL_CORE << 8;
	return TOPOLOGY_LEVELS;
}

static void fix_all(const struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	unsigned int kept = 0, max_leaf = 0;

	for (unsigned int i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[kept];

		*entry = cpuid->entries[i];
		if (is_topology(entry->function))
			continue;
		if (entry->function == 0)
			max_leaf = entry->eax;
		fix_entry(vcpu, entry);
		kept++;
	}
	if (max_leaf >= 0xb)
		kept += add_topology(vcpu, &cpuid->entries[kept]);
	cpuid->nent = kept;
}

/**
 * cpuid_set - give a vCPU its CPUID
 * @vcpu: the vCPU
 *
 * Return: 0, or -1 after a report.
 */
int cpuid_set(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid;
	int ret = -1;

	cpuid = calloc(1, sizeof(*cpuid) +
		       (MAX_ENTRIES + TOPOLOGY_LEVELS) * sizeof(cpuid->entries[0]));
	if (!cpuid) {
		report("no memory for CPUID");
		return -1;
	}
	cpuid->nent = MAX_ENTRIES;
	if (ioctl(vcpu->vm->node_fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
		report("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	} else {
		fix_all(vcpu, cpuid);
		ret = ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
		if (ret)
			report("KVM_SET_CPUID2 for vCPU %u: %s", vcpu->id, strerror(errno));
	}
	free(cpuid);
	return ret;
}
