// SPDX-License-Identifier: GPL-2.0-only
/* The guest of probe.h. */

#include <string.h>

#include "harness.h"
#include "probe.h"

enum { OP_READ, OP_WRITE };

static struct {
	uint64_t op, addr, value;
} order[MAX_GUEST_VCPUS];

static void probe_guest(uint64_t id)
{
	for (;;) {
		uint64_t *p = (void *)READ_ONCE(order[id].addr);

		if (READ_ONCE(order[id].op) == OP_READ)
			WRITE_ONCE(order[id].value, READ_ONCE(*p));
		else
			WRITE_ONCE(*p, order[id].value);
		GUEST_SYNC(0);
	}
}

struct vcpu *probe_add(struct vm *vm, unsigned int id)
{
	struct vcpu *v = vcpu_add_raw(vm, id);

	vcpu_set_cpuid(v);
	vcpu_enter64(v, probe_guest, id);
	return v;
}

int probe_retry(struct vcpu *vcpu, uint64_t *value)
{
	struct kvm_run *run = vcpu->run;
	int kind = PROBE_RAM;

	for (;;) {
		if (vcpu_run(vcpu))
			return -errno;
		if (run->exit_reason != KVM_EXIT_MMIO)
			break;
		kind = PROBE_MMIO;
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
	}
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != UCALL_PORT) {
		vcpu_describe(vcpu);
		test_fail(__FILE__, __LINE__, 0, "probe", "unexpected exit");
	}
	if (value)
		*value = (*vm_shared(vcpu->vm, order))[vcpu->id].value;
	return kind;
}

static int probe(struct vcpu *vcpu, uint64_t op, uint64_t gva, uint64_t *value)
{
	typeof(order) *o = vm_shared(vcpu->vm, order);

	(*o)[vcpu->id].op = op;
	(*o)[vcpu->id].addr = gva;
	(*o)[vcpu->id].value = *value;
	return probe_retry(vcpu, value);
}

int probe_read(struct vcpu *vcpu, uint64_t gva, uint64_t *value)
{
	return probe(vcpu, OP_READ, gva, value);
}

int probe_write(struct vcpu *vcpu, uint64_t gva, uint64_t value)
{
	return probe(vcpu, OP_WRITE, gva, &value);
}
