// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page-modification logging: the CPU writes the guest-physical address of each page whose EPT entry
 * gets its dirty bit into a page of ours, from the last place to the first, and exits when there is
 * no place left. SDM vol. 3, "Page-Modification Logging".
 */
#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"

#define PML_PLACES	512
/* In a place with nothing in it: saves the reading of the index. */
#define PML_FREE	(~0ull)

/**
 * vmx_set_dirty_log - begin to log, or end it
 * @vcpu: the vCPU; what it has logged has been taken out
 * @on: begin
 *
 * Return: 0 or -ENOMEM.
 */
int vmx_set_dirty_log(struct okvm_vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 *pml = vmx->pml;

	if (on && !pml) {
		pml = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT);
		if (!pml)
			return -ENOMEM;
		memset(pml, 0xff, PAGE_SIZE);
		vmcs_write(PML_ADDRESS, __pa(pml));
		vmcs_write(GUEST_PML_INDEX, PML_PLACES - 1);
		vmx->pml = pml;
	}
	vmx_control2(vmx, SECONDARY_EXEC_ENABLE_PML, on);
	return 0;
}

/**
 * vmx_drain_pml - right after an exit: what the CPU has logged goes to the slots' dirty logs
 * @vcpu: the vCPU, logging
 *
 * Context: interrupts off, the vCPU still counts as in the guest: whoever waits for it to leave
 * finds in the log all that the guest wrote.
 */
void vmx_drain_pml(struct okvm_vcpu *vcpu)
{
	u64 *pml = to_vmx(vcpu)->pml;
	unsigned int first = PML_PLACES;

	while (first && READ_ONCE(pml[first - 1]) != PML_FREE)
		first--;
	if (first == PML_PLACES)
		return;
	okvm_mmu_written(vcpu, pml + first, PML_PLACES - first);
	memset(pml + first, 0xff, (PML_PLACES - first) * sizeof(*pml));
	vmcs_write(GUEST_PML_INDEX, PML_PLACES - 1);
}
