// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory as the vCPU's own thread reads and writes it: through the user addresses behind the
 * slots, in the VMM's address space, where the host's page faults do all that is needed.
 */
#include <linux/uaccess.h>
#include <asm/asm.h>

#include "mmu/memslot.h"
#include "vmm.h"

static void __user *user_address(const struct okvm_slot *slot, gpa_t gpa)
{
	return (void __user *)(slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

static struct okvm_slot *slot_for(struct okvm_vcpu *vcpu, gpa_t gpa, bool write)
{
	struct okvm_slot *slot = memslot_find(vcpu, gpa >> PAGE_SHIFT);

	return slot && (!write || memslot_writable(slot)) ? slot : NULL;
}

/* Within a page; slots held. User addresses were checked when the slot was made. */
static int read_page(struct okvm_vcpu *vcpu, gpa_t gpa, void *buf, unsigned int len)
{
	struct okvm_slot *slot = slot_for(vcpu, gpa, false);

	if (unlikely(!slot || __copy_from_user(buf, user_address(slot, gpa), len)))
		return -EFAULT;
	return 0;
}

static int write_page(struct okvm_vcpu *vcpu, gpa_t gpa, const void *buf, unsigned int len)
{
	struct okvm_slot *slot = slot_for(vcpu, gpa, true);

	if (unlikely(!slot || __copy_to_user(user_address(slot, gpa), buf, len)))
		return -EFAULT;
	memslot_mark_dirty(slot, gpa >> PAGE_SHIFT);
	return 0;
}

/**
 * okvm_read_guest - read guest physical memory
 * @vcpu: the running vCPU
 * @gpa: where; may cross pages and slots
 * @buf: kernel memory
 * @len: bytes
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0; -EFAULT: not all of it is RAM, or its user memory cannot be read.
 */
int okvm_read_guest(struct okvm_vcpu *vcpu, gpa_t gpa, void *buf, unsigned int len)
{
	unsigned int n;
	int err = 0;

	okvm_slots_begin(vcpu);
	for (; len && !err; len -= n, gpa += n, buf += n) {
		n = to_page_end(gpa, len);
		err = read_page(vcpu, gpa, buf, n);
	}
	okvm_slots_end(vcpu);
	return err;
}

/**
 * okvm_write_guest - write guest physical memory
 * @vcpu: the running vCPU
 * @gpa: where; may cross pages and slots
 * @buf: kernel memory
 * @len: bytes
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0; -EFAULT: not all of it is writable RAM, or its user memory cannot be written; what
 * comes before the place is written.
 */
int okvm_write_guest(struct okvm_vcpu *vcpu, gpa_t gpa, const void *buf, unsigned int len)
{
	unsigned int n;
	int err = 0;

	okvm_slots_begin(vcpu);
	for (; len && !err; len -= n, gpa += n, buf += n) {
		n = to_page_end(gpa, len);
		err = write_page(vcpu, gpa, buf, n);
	}
	okvm_slots_end(vcpu);
	return err;
}

/**
 * okvm_gpa_is_ram - is there a slot?
 * @vcpu: the running vCPU
 * @gpa: guest physical address
 * @write: a slot that may be written
 */
bool okvm_gpa_is_ram(struct okvm_vcpu *vcpu, gpa_t gpa, bool write)
{
	bool ram;

	okvm_slots_begin(vcpu);
	ram = slot_for(vcpu, gpa, write);
	okvm_slots_end(vcpu);
	return ram;
}

#define CMPXCHG_USER(type, ptr, old, new, fault) ({					\
	type expected = *(type *)(old);							\
	bool same = unsafe_try_cmpxchg_user((type __user *)(ptr), &expected,		\
					    *(const type *)(new), fault);		\
	if (!same)									\
		*(type *)(old) = expected;						\
	!same; })

/* 0, 1 or -EFAULT; the kernel's own accessors end at 8 bytes. */
static int cmpxchg16_user(u64 __user *ptr, u64 *old, const u64 *new)
{
	u64 low = old[0], high = old[1];
	int err = 0;
	bool same;

	asm volatile("1: " LOCK_PREFIX "cmpxchg16b %[ptr]\n"
		     CC_SET(z)
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[err])
		     : CC_OUT(z)(same), [err] "+r"(err), [ptr] "+m"(*(u64(__user *)[2])ptr),
		       "+a"(low), "+d"(high)
		     : "b"(new[0]), "c"(new[1])
		     : "memory");
	if (err)
		return err;
	old[0] = low;
	old[1] = high;
	return !same;
}

static int cmpxchg_user(void __user *ptr, void *old, const void *new, unsigned int len)
{
	int r = -EFAULT;

	if (!user_access_begin(ptr, len))
		return -EFAULT;
	switch (len) {
	case 1:
		r = CMPXCHG_USER(u8, ptr, old, new, out);
		break;
	case 2:
		r = CMPXCHG_USER(u16, ptr, old, new, out);
		break;
	case 4:
		r = CMPXCHG_USER(u32, ptr, old, new, out);
		break;
	case 8:
		r = CMPXCHG_USER(u64, ptr, old, new, out);
		break;
	case 16:
		r = cmpxchg16_user(ptr, old, new);
		break;
	}
out:
	user_access_end();
	return r;
}

/**
 * okvm_cmpxchg_guest - compare and exchange guest memory, atomic against vCPUs and user space
 * @vcpu: the running vCPU
 * @gpa: where, naturally aligned
 * @old: expected value; what was there when it differed
 * @new: new value
 * @len: 1, 2, 4, 8 or 16 bytes
 *
 * Context: the vCPU's thread; may sleep.
 * Return: 0: done; 1: it differed; -EFAULT: no writable RAM there; -EINVAL: bad length or
 * alignment, or a CPU without CMPXCHG16B.
 */
int okvm_cmpxchg_guest(struct okvm_vcpu *vcpu, gpa_t gpa, void *old, const void *new,
		       unsigned int len)
{
	struct okvm_slot *slot;
	int r = -EFAULT;

	if (!is_power_of_2(len) || len > 16 || (gpa & (len - 1)) ||
	    (len == 16 && !boot_cpu_has(X86_FEATURE_CX16)))
		return -EINVAL;
	okvm_slots_begin(vcpu);
	slot = slot_for(vcpu, gpa, true);
	if (slot)
		r = cmpxchg_user(user_address(slot, gpa), old, new, len);
	if (!r)
		memslot_mark_dirty(slot, gpa >> PAGE_SHIFT);
	okvm_slots_end(vcpu);
	return r;
}
