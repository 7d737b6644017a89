// SPDX-License-Identifier: GPL-2.0-only
/*
 * FPU and extended state. The kernel's guest-FPU interface keeps it; it is in the CPU from the
 * start of a KVM_RUN to its end, and goes with the thread like any thread's.
 */
#include <linux/slab.h>
#include <linux/thread_info.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/pkru.h>
#include <asm/processor.h>
#include <asm/special_insns.h>

#include "cpu.h"
#include "msr.h"
#include "regs.h"
#include "vmm.h"

/* The host's own, constant once it is up. */
static u64 host_xcr0, host_xss;

/* QEMU's emulated SVM lets the guest's XSETBV through, whatever is intercepted. */
static bool xsetbv_escapes;

/**
 * okvm_xstate_setup - note the host's XCR0 and XSS
 *
 * Context: module load. Return: XCR0; 0 without XSAVE.
 */
u64 okvm_xstate_setup(void)
{
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_xss);
	xsetbv_escapes = host_xcr0 && okvm_on_tcg();
	return host_xcr0;
}

/**
 * okvm_fpu_create - allocate a vCPU's FPU state, in its state after power-up
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int okvm_fpu_create(struct okvm_vcpu *vcpu)
{
	vcpu->xcr0 = XFEATURE_MASK_FP;
	return fpu_alloc_guest_fpstate(&vcpu->fpu) ? 0 : -ENOMEM;
}

/** okvm_fpu_free - free what okvm_fpu_create() made, if anything */
void okvm_fpu_free(struct okvm_vcpu *vcpu)
{
	if (vcpu->fpu.fpstate)
		fpu_free_guest_fpstate(&vcpu->fpu);
}

/**
 * okvm_fpu_reset - XCR0 and what goes with it after power-up; INIT keeps all
 * @vcpu: the vCPU
 * @init: INIT, else RESET, which comes only once, with the registers still as created
 */
void okvm_fpu_reset(struct okvm_vcpu *vcpu, bool init)
{
	if (init)
		return;
	vcpu->xcr0 = XFEATURE_MASK_FP;
	vcpu->xss = 0;
	vcpu->msrs->pkru = 0;
}

/**
 * okvm_fpu_load - KVM_RUN begins: the guest's FPU registers become the thread's
 * @vcpu: the vCPU
 */
void okvm_fpu_load(struct okvm_vcpu *vcpu)
{
	if (boot_cpu_has(X86_FEATURE_OSPKE))
		vcpu->msrs->host_pkru = read_pkru();
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
	vcpu->fpu_loaded = true;
	okvm_count(vcpu, fpu_reload);
	okvm_steal_run(vcpu);
}

/** okvm_fpu_put - user space's FPU registers are the thread's again; at the end of KVM_RUN */
void okvm_fpu_put(struct okvm_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
	vcpu->fpu_loaded = false;
}

/* XCR0 reaches the guest only once it can use XGETBV and XSAVE. */
static bool guest_has_xcr0(struct okvm_vcpu *vcpu)
{
	return vcpu->cr4 & X86_CR4_OSXSAVE;
}

/* The guest can see or use PKRU; the CPU may have another value than the thread's then. */
static bool guest_uses_pkru(struct okvm_vcpu *vcpu)
{
	return cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	       (vcpu->xcr0 & XFEATURE_MASK_PKRU || vcpu->cr4 & X86_CR4_PKE);
}

/**
 * okvm_xcr_load_guest - the last step to the guest's extended state: XCR0, XSS, PKRU
 * @vcpu: the vCPU
 *
 * The thread may have lost its FPU registers since they were loaded: they are taken back here.
 *
 * Context: interrupts off, right before the entry.
 */
void okvm_xcr_load_guest(struct okvm_vcpu *vcpu)
{
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD)))
		switch_fpu_return();
	if (guest_has_xcr0(vcpu)) {
		if (vcpu->xcr0 != host_xcr0)
			xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->xcr0);
		if (vcpu->xss != host_xss)
			wrmsrl(MSR_IA32_XSS, vcpu->xss);
	}
	if (guest_uses_pkru(vcpu) && vcpu->msrs->pkru != vcpu->msrs->host_pkru)
		wrpkru(vcpu->msrs->pkru);
}

/* Keep what the guest wrote behind our back, or it would be undone at the next entry. */
static void fetch_xcr0(struct okvm_vcpu *vcpu)
{
	u64 xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);

	if (xcr0 == vcpu->xcr0)
		return;
	vcpu->xcr0 = xcr0;
	okvm_cpuid_update_runtime(vcpu);
}

/**
 * okvm_xcr_load_host - undo okvm_xcr_load_guest()
 * @vcpu: the vCPU
 *
 * Context: interrupts off, right after the exit.
 */
void okvm_xcr_load_host(struct okvm_vcpu *vcpu)
{
	if (guest_uses_pkru(vcpu)) {
		vcpu->msrs->pkru = rdpkru();
		if (vcpu->msrs->pkru != vcpu->msrs->host_pkru)
			wrpkru(vcpu->msrs->host_pkru);
	}
	if (guest_has_xcr0(vcpu)) {
		if (unlikely(xsetbv_escapes))
			fetch_xcr0(vcpu);
		if (vcpu->xcr0 != host_xcr0)
			xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
		if (vcpu->xss != host_xss)
			wrmsrl(MSR_IA32_XSS, host_xss);
	}
}

/* SDM vol. 1, "Enabling the XSAVE Feature Set and XSAVE-Enabled Features". */
static bool valid_xcr0(struct okvm_vcpu *vcpu, u64 xcr0)
{
	if (!(xcr0 & XFEATURE_MASK_FP))
		return false;
	if (xcr0 & XFEATURE_MASK_YMM && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	if (xcr0 & XFEATURE_MASK_AVX512 &&
	    (!(xcr0 & XFEATURE_MASK_YMM) ||
	     (xcr0 & XFEATURE_MASK_AVX512) != XFEATURE_MASK_AVX512))
		return false;
	return !(xcr0 & ~(vcpu->cpuid.supported_xcr0 | XFEATURE_MASK_FP));
}

/**
 * okvm_set_xcr - the guest's XSETBV, or KVM_SET_XCRS
 * @vcpu: the vCPU
 * @index: the register: XCR0 alone is there
 * @value: its value
 *
 * The caller has checked the privilege level.
 *
 * Return: 0, or 1: the guest is to get #GP(0), nothing changed.
 */
int okvm_set_xcr(struct okvm_vcpu *vcpu, u32 index, u64 value)
{
	if (index != XCR_XFEATURE_ENABLED_MASK || !valid_xcr0(vcpu, value))
		return 1;
	if (value != vcpu->xcr0) {
		vcpu->xcr0 = value;
		okvm_cpuid_update_runtime(vcpu);
	}
	return 0;
}

/* ---- ioctls; the vCPU is not in KVM_RUN, its state is in memory ---- */

static u64 visible_features(struct okvm_vcpu *vcpu)
{
	return vcpu->cpuid.supported_xcr0 | XFEATURE_MASK_FPSSE;
}

static void copy_out(struct okvm_vcpu *vcpu, void *buf, unsigned int size)
{
	fpu_copy_guest_fpstate_to_uabi(&vcpu->fpu, buf, size, visible_features(vcpu),
				       vcpu->msrs->pkru);
}

static int copy_in(struct okvm_vcpu *vcpu, const void *buf)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu, buf, okvm_hw.supported_xcr0,
					      &vcpu->msrs->pkru);
}

/** okvm_get_xsave - KVM_GET_XSAVE: 4096 bytes in the standard XSAVE layout */
long okvm_get_xsave(struct okvm_vcpu *vcpu, void *arg)
{
	copy_out(vcpu, arg, sizeof(struct kvm_xsave));
	return 0;
}

/**
 * okvm_get_xsave2 - KVM_GET_XSAVE2: as many bytes as KVM_CAP_XSAVE2 says
 * @vcpu: the vCPU
 * @arg: user pointer
 *
 * Return: 0; -EFAULT; -ENOMEM.
 */
long okvm_get_xsave2(struct okvm_vcpu *vcpu, void *arg)
{
	unsigned int size = vcpu->fpu.uabi_size;
	void *buf = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	long r;

	if (!buf)
		return -ENOMEM;
	copy_out(vcpu, buf, size);
	r = copy_to_user((void __user *)arg, buf, size) ? -EFAULT : 0;
	kvfree(buf);
	return r;
}

/**
 * okvm_set_xsave - KVM_SET_XSAVE
 * @vcpu: the vCPU
 * @arg: user pointer to the standard XSAVE layout, as large as KVM_CAP_XSAVE2 says
 *
 * Return: 0; -EINVAL: components or MXCSR bits that the host does not have; -EFAULT; -ENOMEM.
 */
long okvm_set_xsave(struct okvm_vcpu *vcpu, void *arg)
{
	void *buf = kvmalloc(vcpu->fpu.uabi_size, GFP_KERNEL_ACCOUNT);
	long r = -EFAULT;

	if (!buf)
		return -ENOMEM;
	if (!copy_from_user(buf, (void __user *)arg, vcpu->fpu.uabi_size))
		r = copy_in(vcpu, buf);
	kvfree(buf);
	return r;
}

static struct xregs_state *alloc_uabi(struct okvm_vcpu *vcpu)
{
	struct xregs_state *xsave = kvzalloc(vcpu->fpu.uabi_size, GFP_KERNEL_ACCOUNT);

	if (xsave)
		copy_out(vcpu, xsave, vcpu->fpu.uabi_size);
	return xsave;
}

/**
 * okvm_get_fpu - KVM_GET_FPU: x87 and SSE in the FXSAVE layout
 * @vcpu: the vCPU
 * @arg: struct kvm_fpu
 *
 * Return: 0 or -ENOMEM.
 */
long okvm_get_fpu(struct okvm_vcpu *vcpu, void *arg)
{
	struct xregs_state *xsave = alloc_uabi(vcpu);
	const struct fxregs_state *fx = &xsave->i387;
	struct kvm_fpu *fpu = arg;

	if (!xsave)
		return -ENOMEM;
	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	fpu->fcw = fx->cwd;
	fpu->fsw = fx->swd;
	fpu->ftwx = fx->twd;
	fpu->last_opcode = fx->fop;
	fpu->last_ip = fx->rip;
	fpu->last_dp = fx->rdp;
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
	fpu->mxcsr = fx->mxcsr;
	kvfree(xsave);
	return 0;
}

/**
 * okvm_set_fpu - KVM_SET_FPU
 * @vcpu: the vCPU
 * @arg: struct kvm_fpu; its MXCSR is not looked at: many callers leave it zero, as KVM never did
 *
 * Return: 0 or -ENOMEM.
 */
long okvm_set_fpu(struct okvm_vcpu *vcpu, void *arg)
{
	struct xregs_state *xsave = alloc_uabi(vcpu);
	struct fxregs_state *fx = &xsave->i387;
	const struct kvm_fpu *fpu = arg;
	long r;

	if (!xsave)
		return -ENOMEM;
	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	xsave->header.xfeatures |= XFEATURE_MASK_FPSSE;
	r = copy_in(vcpu, xsave);
	kvfree(xsave);
	return r;
}

/** okvm_get_xcrs - KVM_GET_XCRS: XCR0, or nothing on a host without XSAVE */
long okvm_get_xcrs(struct okvm_vcpu *vcpu, void *arg)
{
	struct kvm_xcrs *xcrs = arg;

	memset(xcrs, 0, sizeof(*xcrs));
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return 0;
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].value = vcpu->xcr0;
	return 0;
}

/**
 * okvm_set_xcrs - KVM_SET_XCRS; registers other than XCR0 are skipped
 * @vcpu: the vCPU
 * @arg: struct kvm_xcrs
 *
 * Return: 0, or -EINVAL: flags, too many, or a value that the guest's CPUID does not allow.
 */
long okvm_set_xcrs(struct okvm_vcpu *vcpu, void *arg)
{
	const struct kvm_xcrs *xcrs = arg;
	u32 i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return -EINVAL;
	if (xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return okvm_set_xcr(vcpu, 0, xcrs->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}
