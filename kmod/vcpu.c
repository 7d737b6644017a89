// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU's life: creation, reset, its place on a CPU, kicks. */
#include <linux/cpumask.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "dev.h"
#include "vcpu.h"
#include "vmm.h"

static DEFINE_PER_CPU(struct okvm_vcpu *, running);

/** okvm_running_vcpu - the vCPU loaded on this CPU, or NULL; preemption or interrupts off */
struct okvm_vcpu *okvm_running_vcpu(void)
{
	return __this_cpu_read(running);
}

static void load_on(struct okvm_vcpu *vcpu, int cpu)
{
	bool migrated = vcpu->cpu != cpu;

	__this_cpu_write(running, vcpu);
	okvm_backend->vcpu_load(vcpu, cpu, migrated);
	okvm_tsc_load(vcpu, cpu, migrated);
	if (migrated)
		okvm_lapic_migrated(vcpu);
	WRITE_ONCE(vcpu->cpu, cpu);
}

static void sched_in(struct preempt_notifier *pn, int cpu)
{
	struct okvm_vcpu *vcpu = container_of(pn, struct okvm_vcpu, preempt);

	WRITE_ONCE(vcpu->preempted, false);
	load_on(vcpu, cpu);
	if (vcpu->pv.steal_msr & KVM_MSR_ENABLED)
		okvm_request(vcpu, REQ_STEAL_UPDATE);
}

static void sched_out(struct preempt_notifier *pn, struct task_struct *next)
{
	struct okvm_vcpu *vcpu = container_of(pn, struct okvm_vcpu, preempt);

	if (task_is_running(current)) {
		WRITE_ONCE(vcpu->preempted, true);
		okvm_count(vcpu, preemption_reported);
	}
	if (vcpu->pv.steal_msr & KVM_MSR_ENABLED)
		okvm_steal_preempted(vcpu);
	okvm_backend->vcpu_put(vcpu);
	__this_cpu_write(running, NULL);
}

static struct preempt_ops preempt_ops = { .sched_in = sched_in, .sched_out = sched_out };

/**
 * okvm_vcpu_load - make the vCPU this thread's: its backend state is on this CPU until the put
 * @vcpu: the vCPU; its mutex is held
 *
 * The thread may be preempted and moved meanwhile: the notifier moves the state with it.
 */
void okvm_vcpu_load(struct okvm_vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_register(&vcpu->preempt);
	load_on(vcpu, cpu);
	put_cpu();
}

/**
 * okvm_vcpu_put - the end of okvm_vcpu_load()
 * @vcpu: the vCPU
 */
void okvm_vcpu_put(struct okvm_vcpu *vcpu)
{
	preempt_disable();
	okvm_backend->vcpu_put(vcpu);
	__this_cpu_write(running, NULL);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

/**
 * okvm_vcpu_wake - wake a halted vCPU's thread so that it looks for work again
 * @vcpu: the vCPU
 *
 * Context: any, interrupts on or off.
 */
void okvm_vcpu_wake(struct okvm_vcpu *vcpu)
{
	rcuwait_wake_up(&vcpu->wait);
}

/**
 * okvm_vcpu_kick - make the vCPU see its requests: wake it, or take it out of the guest
 * @vcpu: the vCPU
 *
 * A request set before the kick is seen: the vCPU either still has to check requests (after its
 * full barrier behind mode = IN_GUEST), or is seen here as in the guest and gets the IPI.
 *
 * Context: any, interrupts on or off.
 */
void okvm_vcpu_kick(struct okvm_vcpu *vcpu)
{
	int cpu;

	/* Has a full barrier before it looks for a sleeper. */
	okvm_vcpu_wake(vcpu);
	preempt_disable();
	if (READ_ONCE(vcpu->mode) == IN_GUEST) {
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu != smp_processor_id() && cpu >= 0 && cpu_online(cpu))
			smp_send_reschedule(cpu);
	}
	preempt_enable();
}

/**
 * okvm_request_all - set a request on every vCPU and kick those in the guest
 * @vm: the VM
 * @req: the request
 */
void okvm_request_all(struct okvm_vm *vm, enum okvm_request req)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	okvm_for_each_vcpu(i, vcpu, vm)
		okvm_request_kick(vcpu, req);
}

static void ack_kick(void *unused)
{
}

/**
 * okvm_request_all_wait - the same, and wait until each has left the guest at least once
 * @vm: the VM
 * @req: the request
 *
 * Context: interrupts on; spins until the IPIs are answered, does not sleep.
 */
void okvm_request_all_wait(struct okvm_vm *vm, enum okvm_request req)
{
	static DEFINE_PER_CPU(struct cpumask, kicked);
	struct cpumask *mask;
	struct okvm_vcpu *vcpu;
	unsigned long i;
	int cpu, self;

	if (!READ_ONCE(vm->nr_vcpus))
		return;
	self = get_cpu();
	mask = this_cpu_ptr(&kicked);
	cpumask_clear(mask);
	okvm_for_each_vcpu(i, vcpu, vm) {
		set_bit(req, &vcpu->requests);
		/* Pairs with the barrier behind mode = IN_GUEST. */
		smp_mb__after_atomic();
		cpu = READ_ONCE(vcpu->cpu);
		if (smp_load_acquire(&vcpu->mode) == IN_GUEST && cpu != self && cpu >= 0)
			cpumask_set_cpu(cpu, mask);
	}
	if (!cpumask_empty(mask))
		smp_call_function_many(mask, ack_kick, NULL, true);
	put_cpu();
}

/**
 * okvm_flush_remote_tlbs - no vCPU uses a stale translation of this VM after this returns
 * @vm: the VM
 *
 * Context: interrupts on; may hold the mmu lock.
 */
void okvm_flush_remote_tlbs(struct okvm_vm *vm)
{
	okvm_request_all_wait(vm, REQ_TLB_FLUSH);
}

/** okvm_vcpu_by_id - the vCPU of that id, or NULL; any context */
struct okvm_vcpu *okvm_vcpu_by_id(struct okvm_vm *vm, int id)
{
	struct okvm_vcpu *vcpu = NULL;
	unsigned long i;

	if (id >= 0 && id < READ_ONCE(vm->nr_vcpus))
		vcpu = xa_load(&vm->vcpus, id);
	if (vcpu && vcpu->id == id)
		return vcpu;
	okvm_for_each_vcpu(i, vcpu, vm)
		if (vcpu->id == id)
			return vcpu;
	return NULL;
}

/* SDM vol. 3 table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT". */
#define SEGMENT(t, is_s, sel, b) { .base = (b), .limit = 0xffff, .selector = (sel), \
				   .type = (t), .present = 1, .s = (is_s) }
static const struct {
	int which;
	struct kvm_segment seg;
} reset_segments[] = {
	{ SEG_CS, SEGMENT(0xb, 1, 0xf000, 0xffff0000) },
	{ SEG_DS, SEGMENT(0x3, 1, 0, 0) },
	{ SEG_ES, SEGMENT(0x3, 1, 0, 0) },
	{ SEG_FS, SEGMENT(0x3, 1, 0, 0) },
	{ SEG_GS, SEGMENT(0x3, 1, 0, 0) },
	{ SEG_SS, SEGMENT(0x3, 1, 0, 0) },
	{ SEG_TR, SEGMENT(0xb, 0, 0, 0) },
	{ SEG_LDTR, SEGMENT(0x2, 0, 0, 0) },
};

#define RESET_CR0 (X86_CR0_CD | X86_CR0_NW | X86_CR0_ET)

/* The CPU's signature is in EDX at reset; without a CPUID from user space, a P6's. */
static unsigned long reset_rdx(struct okvm_vcpu *vcpu)
{
	u32 out[4] = { };

	if (vcpu->cpuid.n)
		okvm_cpuid(vcpu, 1, 0, out);
	return out[0] ?: 0x600;
}

/**
 * okvm_vcpu_reset - bring a vCPU to its state after power-up or INIT
 * @vcpu: the vCPU, loaded
 * @init: INIT keeps what the SDM's table says: FPU, most MSRs, CR0.CD and NW, the APIC's base
 */
void okvm_vcpu_reset(struct okvm_vcpu *vcpu, bool init)
{
	unsigned long old_cr0 = vcpu->cr0;
	const struct kvm_dtable dt = { .limit = 0xffff };
	int i;

	okvm_clear_events(vcpu);
	memset(vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->regs_avail = vcpu->regs_dirty = ~0u;
	vcpu->regs[REG_RDX] = reset_rdx(vcpu);
	vcpu->regs[REG_RIP] = 0xfff0;
	vcpu->regs[REG_RFLAGS] = X86_EFLAGS_FIXED;
	vcpu->complete = NULL;

	okvm_backend->vcpu_reset(vcpu, init);
	for (i = 0; i < ARRAY_SIZE(reset_segments); i++)
		okvm_backend->set_segment(vcpu, &reset_segments[i].seg, reset_segments[i].which);
	okvm_backend->set_table(vcpu, &dt, false);
	okvm_backend->set_table(vcpu, &dt, true);

	vcpu->cr2 = vcpu->cr3 = vcpu->cr4 = vcpu->cr8 = 0;
	vcpu->efer = 0;
	vcpu->cr0 = X86_CR0_ET | (init ? old_cr0 & (X86_CR0_CD | X86_CR0_NW) : RESET_CR0);
	okvm_backend->set_cr(vcpu, CR_EFER);
	okvm_backend->set_cr(vcpu, 4);
	okvm_backend->set_cr(vcpu, 0);
	okvm_backend->set_cr(vcpu, 3);

	okvm_debug_reset(vcpu);
	okvm_fpu_reset(vcpu, init);
	okvm_msrs_reset(vcpu, init);
	if (!init)
		okvm_pv_reset(vcpu);
	okvm_lapic_reset(vcpu, init);
	okvm_mmu_vcpu_reset(vcpu);
	okvm_cpuid_update_runtime(vcpu);
	okvm_request(vcpu, REQ_TLB_FLUSH);
	okvm_request(vcpu, REQ_EVENT);
}

/**
 * okvm_vcpu_sipi - start at the page that a start-up IPI names
 * @vcpu: the vCPU, loaded, after INIT
 * @vector: the IPI's vector: the page number of the entry point
 */
void okvm_vcpu_sipi(struct okvm_vcpu *vcpu, u8 vector)
{
	struct kvm_segment cs;

	okvm_get_segment(vcpu, &cs, SEG_CS);
	cs.selector = vector << 8;
	cs.base = vector << 12;
	okvm_set_segment(vcpu, &cs, SEG_CS);
	okvm_reg_set(vcpu, REG_RIP, 0);
}

/**
 * okvm_vcpu_page - a page of the vCPU's mapping
 * @vcpu: the vCPU
 * @pgoff: page offset that user space touched
 *
 * Return: the page without a reference of the caller's, or NULL: nothing there.
 */
struct page *okvm_vcpu_page(struct okvm_vcpu *vcpu, unsigned long pgoff)
{
	if (pgoff == KVM_COALESCED_MMIO_PAGE_OFFSET)
		return okvm_coalesced_page(vcpu->vm);
	if (pgoff < ARRAY_SIZE(vcpu->run_pages))
		return vcpu->run_pages[pgoff];
	return okvm_dirty_ring_page(vcpu, pgoff);
}

static void free_parts(struct okvm_vcpu *vcpu)
{
	okvm_lapic_free(vcpu);
	okvm_backend->vcpu_destroy(vcpu);
	okvm_fpu_free(vcpu);
	okvm_msrs_free(vcpu);
	okvm_cpuid_free(vcpu);
	okvm_mmu_vcpu_free(vcpu);
}

/* Each part's free function takes a part that was never made. */
static int make_parts(struct okvm_vcpu *vcpu)
{
	int err = okvm_msrs_create(vcpu);

	okvm_cpuid_create(vcpu);
	if (!err)
		err = okvm_mmu_vcpu_create(vcpu);
	if (!err)
		err = okvm_fpu_create(vcpu);
	if (!err)
		err = okvm_backend->vcpu_create(vcpu);
	if (!err && smp_load_acquire(&vcpu->vm->irqchip))
		err = okvm_lapic_create(vcpu);
	if (err)
		free_parts(vcpu);
	return err;
}

static struct okvm_vcpu *alloc_vcpu(struct okvm_vm *vm, int id)
{
	struct okvm_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	int i;

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt, &preempt_ops);
	for (i = 0; i < KVM_COALESCED_MMIO_PAGE_OFFSET; i++) {
		vcpu->run_pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!vcpu->run_pages[i])
			goto fail;
	}
	vcpu->run = page_address(vcpu->run_pages[0]);
	vcpu->pio_data = page_address(vcpu->run_pages[KVM_PIO_PAGE_OFFSET]);
	return vcpu;

fail:
	while (i--)
		put_page(vcpu->run_pages[i]);
	kfree(vcpu);
	return NULL;
}

static void free_vcpu(struct okvm_vcpu *vcpu)
{
	int i;

	for (i = 0; i < KVM_COALESCED_MMIO_PAGE_OFFSET; i++)
		put_page(vcpu->run_pages[i]);
	put_pid(rcu_dereference_protected(vcpu->pid, true));
	kfree(vcpu);
}

/**
 * okvm_vcpu_destroy - free a vCPU that nobody can reach
 * @vcpu: the vCPU; no fd, no thread in it
 */
void okvm_vcpu_destroy(struct okvm_vcpu *vcpu)
{
	free_parts(vcpu);
	free_vcpu(vcpu);
}

/**
 * okvm_vcpus_destroy - free all vCPUs of a dying VM
 * @vm: the VM; no fd is left
 */
void okvm_vcpus_destroy(struct okvm_vm *vm)
{
	struct okvm_vcpu *vcpu;
	unsigned long i;

	okvm_for_each_vcpu(i, vcpu, vm)
		okvm_vcpu_destroy(vcpu);
}

/* Make it reachable: by index for the module, by fd for user space. */
static int publish(struct okvm_vm *vm, struct okvm_vcpu *vcpu)
{
	int fd;

	lockdep_assert_held(&vm->lock);
	if (okvm_vcpu_by_id(vm, vcpu->id))
		return -EEXIST;
	vcpu->index = vm->nr_vcpus;
	if (xa_err(xa_store(&vm->vcpus, vcpu->index, vcpu, GFP_KERNEL_ACCOUNT)))
		return -ENOMEM;
	fd = okvm_vcpu_fd(vcpu);
	if (fd < 0)
		xa_erase(&vm->vcpus, vcpu->index);
	else
		smp_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
	return fd;
}

static int check_new(struct okvm_vm *vm, unsigned long id)
{
	lockdep_assert_held(&vm->lock);
	if (vm->created_vcpus >= OKVM_MAX_VCPUS)
		return -EINVAL;
	if (vm->max_vcpu_id && id >= vm->max_vcpu_id)
		return -EINVAL;
	if (okvm_vcpu_by_id(vm, id))
		return -EEXIST;
	return 0;
}

/**
 * okvm_vcpu_create - KVM_CREATE_VCPU
 * @vm: the VM
 * @arg: the vCPU's id, its initial APIC id
 *
 * Return: a new fd; -EINVAL: id or number of vCPUs too big, -EEXIST: the id is taken, -ENOMEM.
 */
long okvm_vcpu_create(struct okvm_vm *vm, void *arg)
{
	unsigned long id = (unsigned long)arg;
	struct okvm_vcpu *vcpu;
	int r;

	if (id >= OKVM_MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	r = check_new(vm, id);
	if (r)
		goto unlock;
	r = -ENOMEM;
	vcpu = alloc_vcpu(vm, id);
	if (!vcpu)
		goto unlock;
	r = make_parts(vcpu);
	if (r) {
		free_vcpu(vcpu);
		goto unlock;
	}
	vcpu->hlt_in_kernel = vcpu->lapic;
	vcpu->mp_state = !vcpu->lapic || id == vm->bsp_id ? KVM_MP_STATE_RUNNABLE :
							    KVM_MP_STATE_UNINITIALIZED;
	mutex_lock(&vcpu->mutex);
	okvm_vcpu_load(vcpu);
	okvm_tsc_create(vcpu);
	okvm_vcpu_reset(vcpu, false);
	okvm_vcpu_put(vcpu);
	/* The fd works before it is returned: it waits until the VM counts the vCPU. */
	r = publish(vm, vcpu);
	mutex_unlock(&vcpu->mutex);
	if (r < 0)
		okvm_vcpu_destroy(vcpu);
	else
		vm->created_vcpus++;
unlock:
	mutex_unlock(&vm->lock);
	return r;
}
