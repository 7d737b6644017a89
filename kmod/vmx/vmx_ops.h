/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMX's instructions, all but the world switch itself (enter.S). Once the machine goes down, VMX
 * may be off under our feet: an instruction that faults then is skipped.
 */
#ifndef OKVM_VMX_OPS_H
#define OKVM_VMX_OPS_H

#include <linux/types.h>
#include <asm/asm.h>
#include <asm/vmx.h>

void vmx_op_failed(const char *what, unsigned long operand);

#ifdef OKVM_VMX_COUNT
void vmx_count_access(bool write);
#else
static inline void vmx_count_access(bool write) { }
#endif

/* CF: no current VMCS, or an invalid operand. ZF: the VMCS's error field says why. */
#define VMX_OP(insn, failed, ...)						\
	asm volatile("1: " insn "\n\tsetbe %b[bad]\n2:\n\t" _ASM_EXTABLE(1b, 2b)	\
		     : [bad] "+q"(failed)					\
		     : __VA_ARGS__						\
		     : "cc", "memory")

static __always_inline unsigned long vmcs_read(unsigned long field)
{
	unsigned long value = 0;
	bool bad = true;

	vmx_count_access(false);
	asm volatile("1: vmread %[field], %[value]\n\tsetbe %b[bad]\n2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : [value] "+r"(value), [bad] "+q"(bad)
		     : [field] "r"(field)
		     : "cc");
	if (unlikely(bad))
		vmx_op_failed("VMREAD", field);
	return value;
}

static __always_inline void vmcs_write(unsigned long field, unsigned long value)
{
	bool bad = true;

	vmx_count_access(true);
	VMX_OP("vmwrite %[value], %[field]", bad, [field] "r"(field), [value] "r"(value));
	if (unlikely(bad))
		vmx_op_failed("VMWRITE", field);
}

/* Write the VMCS's cached data to memory and leave it inactive, on this CPU. */
static __always_inline void vmclear(u64 pa)
{
	bool bad = true;

	VMX_OP("vmclear %[pa]", bad, [pa] "m"(pa));
	if (unlikely(bad))
		vmx_op_failed("VMCLEAR", pa);
}

/* Make the VMCS this CPU's current one. */
static __always_inline void vmptrld(u64 pa)
{
	bool bad = true;

	VMX_OP("vmptrld %[pa]", bad, [pa] "m"(pa));
	if (unlikely(bad))
		vmx_op_failed("VMPTRLD", pa);
}

/* True when VMX operation has begun. CR4.VMXE is set. */
static __always_inline bool vmxon(u64 pa)
{
	bool bad = true;

	VMX_OP("vmxon %[pa]", bad, [pa] "m"(pa));
	return !bad;
}

static __always_inline void vmxoff(void)
{
	asm volatile("1: vmxoff\n2:\n\t" _ASM_EXTABLE(1b, 2b) ::: "cc", "memory");
}

static __always_inline void invept(unsigned long extent, u64 eptp)
{
	struct { u64 eptp, reserved; } operand = { eptp, 0 };
	bool bad = true;

	VMX_OP("invept %[operand], %[extent]", bad, [extent] "r"(extent), [operand] "m"(operand));
	if (unlikely(bad))
		vmx_op_failed("INVEPT", eptp);
}

static __always_inline void invvpid(unsigned long extent, u16 vpid)
{
	struct { u64 vpid, linear; } operand = { vpid, 0 };
	bool bad = true;

	VMX_OP("invvpid %[operand], %[extent]", bad, [extent] "r"(extent), [operand] "m"(operand));
	if (unlikely(bad))
		vmx_op_failed("INVVPID", vpid);
}

/* An NMI that ended the guest's run is the host's, and NMIs stay blocked until its IRET. */
static __always_inline void vmx_host_nmi(void)
{
	asm volatile("int $2" ::: "memory");
}

/* Exits leave no local descriptor table: put user space's back. */
static __always_inline void load_user_ldt(u16 selector)
{
	asm volatile("lldt %0" ::"rm"(selector));
}

#endif
