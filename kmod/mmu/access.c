// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory as the vCPU's own thread reads and writes it: through the user addresses behind the
 * slots, in the VMM's address space, where the host's page faults do all that is needed.
 */
#include <linux/uaccess.h>
#include <asm/asm.h>

#include "mmu/memslot.h"
#include "vmm.h"

/* More than that is worth the call, and its checks. */
#define FEW_BYTES	32

#define READ_WHILE_LEFT(type, buf, user, len, fault)					\
	for (; (len) >= sizeof(type); (len) -= sizeof(type), (buf) += sizeof(type),	\
				      (user) += sizeof(type))				\
		unsafe_get_user(*(type *)(buf), (type __user *)(user), fault)

#define WRITE_WHILE_LEFT(type, buf, user, len, fault)					\
	for (; (len) >= sizeof(type); (len) -= sizeof(type), (buf) += sizeof(type),	\
				      (user) += sizeof(type))				\
		unsafe_put_user(*(const type *)(buf), (type __user *)(user), fault)

static bool read_few(void *buf, const void __user *user, unsigned int len)
{
	if (!user_read_access_begin(user, len))
		return false;
	READ_WHILE_LEFT(u64, buf, user, len, fault);
	READ_WHILE_LEFT(u32, buf, user, len, fault);
	READ_WHILE_LEFT(u16, buf, user, len, fault);
	READ_WHILE_LEFT(u8, buf, user, len, fault);
	user_read_access_end();
	return true;
fault:
	user_read_access_end();
	return false;
}

static bool write_few(void __user *user, const void *buf, unsigned int len)
{
	if (!user_write_access_begin(user, len))
		return false;
	WRITE_WHILE_LEFT(u64, buf, user, len, fault);
	WRITE_WHILE_LEFT(u32, buf, user, len, fault);
	WRITE_WHILE_LEFT(u16, buf, user, len, fault);
	WRITE_WHILE_LEFT(u8, buf, user, len, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

/**
 * memslot_read - read guest memory at its user address, in the VMM's address space
 * @buf: kernel memory
 * @user: what memslot_user() gave; addresses were checked when the slot was made
 * @len: bytes, all in one page
 *
 * Aligned numbers of 1, 2, 4 or 8 bytes are read at once.
 *
 * Context: slots held; may sleep.
 * Return: false: the memory is not there.
 */
bool memslot_read(void *buf, const void __user *user, unsigned int len)
{
	if (likely(len <= FEW_BYTES))
		return read_few(buf, user, len);
	return !__copy_from_user(buf, user, len);
}

static void mark_dirty(struct okvm_vcpu *vcpu, gpa_t gpa)
{
	memslot_mark_dirty(vcpu, memslot_find(vcpu, gpa >> PAGE_SHIFT), gpa >> PAGE_SHIFT);
}

/* Within a page; slots held. */
static int read_page(struct okvm_vcpu *vcpu, gpa_t gpa, void *buf, unsigned int len)
{
	void __user *user = memslot_user(vcpu, gpa, false);

	return likely(user) && memslot_read(buf, user, len) ? 0 : -EFAULT;
}

static int write_page(struct okvm_vcpu *vcpu, gpa_t gpa, const void *buf, unsigned int len)
{
	void __user *user = memslot_user(vcpu, gpa, true);
	bool done;

	if (unlikely(!user))
		return -EFAULT;
	if (likely(len <= FEW_BYTES))
		done = write_few(user, buf, len);
	else
		done = !__copy_to_user(user, buf, len);
	/* Some of it may be written in any case. */
	if (!okvm_hw.tdp)
		okvm_shadow_written(vcpu, gpa, len);
	if (!done)
		return -EFAULT;
	mark_dirty(vcpu, gpa);
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
	ram = memslot_user(vcpu, gpa, write);
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
	void __user *user;
	int r = -EFAULT;

	if (!is_power_of_2(len) || len > 16 || (gpa & (len - 1)) ||
	    (len == 16 && !boot_cpu_has(X86_FEATURE_CX16)))
		return -EINVAL;
	okvm_slots_begin(vcpu);
	user = memslot_user(vcpu, gpa, true);
	if (user)
		r = cmpxchg_user(user, old, new, len);
	if (!r)
		mark_dirty(vcpu, gpa);
	if (!r && !okvm_hw.tdp)
		okvm_shadow_written(vcpu, gpa, len);
	okvm_slots_end(vcpu);
	return r;
}
