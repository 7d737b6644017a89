// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_IRQFD: a write to an eventfd is an interrupt. The eventfd calls us from its wait queue, with
 * interrupts off and its lock held; everything from there to the CPUs works in that context.
 *
 * Life: an irqfd is on chip->irqfds, under irqfd_lock, from its assignment until whoever ends it
 * takes it off: KVM_IRQFD's deassign, the VM's release, or the eventfd's last close, which
 * can only move it to chip->dead_irqfds and leave the rest to the reaper. It is freed after it left
 * the wait queue, and, for a resampler, after the readers of chip->resamplers.
 */
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "chip.h"
#include "compat.h"

struct irqfd {
	struct okvm_irqchip *chip;		/* C */
	u32 gsi;				/* C */
	struct eventfd_ctx *eventfd;		/* C */
	struct eventfd_ctx *resamplefd;		/* C: NULL: edge */
	struct list_head link;			/* irqfd_lock */
	struct list_head resample_link;		/* irqfd_lock, RCU */
	wait_queue_entry_t wait;
	wait_queue_head_t *queue;		/* assignment only: where poll put us */
	poll_table poll;			/* assignment only */
};

static void inject(struct irqfd *irqfd)
{
	if (irqfd->resamplefd) {
		irq_set_gsi(irqfd->chip, SOURCE_RESAMPLE, irqfd->gsi, true, false);
		return;
	}
	irq_set_gsi(irqfd->chip, SOURCE_USER, irqfd->gsi, true, false);
	irq_set_gsi(irqfd->chip, SOURCE_USER, irqfd->gsi, false, false);
}

/* The eventfd goes: we are in its wait queue's lock, so the reaper does the rest. */
static void closed(struct irqfd *irqfd)
{
	struct okvm_irqchip *chip = irqfd->chip;
	unsigned long flags;

	raw_spin_lock_irqsave(&chip->irqfd_lock, flags);
	/* Off the list: somebody is ending it already. */
	if (!list_empty(&irqfd->link)) {
		list_move(&irqfd->link, &chip->dead_irqfds);
		schedule_work(&chip->reaper);
	}
	raw_spin_unlock_irqrestore(&chip->irqfd_lock, flags);
}

/* The eventfd's wait queue wakes us; its lock is held, interrupts are off. */
static int woken(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	int consumed = 0;
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		inject(irqfd);
		consumed = 1;
	}
	if (events & EPOLLHUP)
		closed(irqfd);
	return consumed;
}

static void queue_us(struct file *file, wait_queue_head_t *queue, poll_table *poll)
{
	struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

	irqfd->queue = queue;
	add_wait_queue_priority(queue, &irqfd->wait);
}

/* ---- resampling ---- */

/** irqfd_resamples - does an irqfd want to hear of this GSI's EOI? Any context. */
bool irqfd_resamples(struct okvm_irqchip *chip, u32 gsi)
{
	struct irqfd *irqfd;
	bool found = false;

	rcu_read_lock();
	list_for_each_entry_rcu(irqfd, &chip->resamplers, resample_link)
		found |= irqfd->gsi == gsi;
	rcu_read_unlock();
	return found;
}

/**
 * irqfd_eoi - the guest ended a GSI's interrupt: drop the line and let the devices look again
 * @chip: the VM's controllers
 * @gsi: the GSI
 *
 * Context: no lock held: the signals may come back as interrupts.
 */
void irqfd_eoi(struct okvm_irqchip *chip, u32 gsi)
{
	struct irqfd *irqfd;

	if (likely(list_empty(&chip->resamplers)) || !irqfd_resamples(chip, gsi))
		return;
	irq_set_gsi(chip, SOURCE_RESAMPLE, gsi, false, false);
	rcu_read_lock();
	list_for_each_entry_rcu(irqfd, &chip->resamplers, resample_link)
		if (irqfd->gsi == gsi)
			okvm_eventfd_signal(irqfd->resamplefd);
	rcu_read_unlock();
}

static void add_resampler(struct irqfd *irqfd)
{
	struct okvm_irqchip *chip = irqfd->chip;
	unsigned long flags;

	raw_spin_lock_irqsave(&chip->irqfd_lock, flags);
	list_add_rcu(&irqfd->resample_link, &chip->resamplers);
	raw_spin_unlock_irqrestore(&chip->irqfd_lock, flags);
	irqchip_update_edge_eois(chip);
}

static void remove_resampler(struct irqfd *irqfd)
{
	struct okvm_irqchip *chip = irqfd->chip;
	unsigned long flags;

	raw_spin_lock_irqsave(&chip->irqfd_lock, flags);
	list_del_rcu(&irqfd->resample_link);
	raw_spin_unlock_irqrestore(&chip->irqfd_lock, flags);
	synchronize_rcu_expedited();
	/* Nobody is left who would lower it. */
	if (!irqfd_resamples(chip, irqfd->gsi))
		irq_set_gsi(chip, SOURCE_RESAMPLE, irqfd->gsi, false, false);
	irqchip_update_edge_eois(chip);
}

/* ---- the end ---- */

/* Off the wait queue and gone. It is on no list but the resamplers'. May sleep. */
static void destroy(struct irqfd *irqfd)
{
	u64 count;

	if (irqfd->queue)
		eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	if (irqfd->resamplefd) {
		remove_resampler(irqfd);
		eventfd_ctx_put(irqfd->resamplefd);
	}
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

/* What is on a list moves to @to where @eventfd and @gsi fit; a NULL eventfd fits all. */
static void take(struct okvm_irqchip *chip, struct list_head *from, struct list_head *to,
		 const struct eventfd_ctx *eventfd, u32 gsi)
{
	struct irqfd *irqfd, *next;
	unsigned long flags;

	raw_spin_lock_irqsave(&chip->irqfd_lock, flags);
	list_for_each_entry_safe(irqfd, next, from, link)
		if (!eventfd || (irqfd->eventfd == eventfd && irqfd->gsi == gsi))
			list_move(&irqfd->link, to);
	raw_spin_unlock_irqrestore(&chip->irqfd_lock, flags);
}

/*
 * End all on a private list. closed() must not find them on it: each is taken off under the lock
 * first, and closed() runs inside the wait queue's lock, so it is over once destroy() has left it.
 */
static void destroy_all(struct okvm_irqchip *chip, struct list_head *list)
{
	struct irqfd *irqfd;
	unsigned long flags;

	for (;;) {
		raw_spin_lock_irqsave(&chip->irqfd_lock, flags);
		irqfd = list_first_entry_or_null(list, struct irqfd, link);
		if (irqfd)
			list_del_init(&irqfd->link);
		raw_spin_unlock_irqrestore(&chip->irqfd_lock, flags);
		if (!irqfd)
			return;
		destroy(irqfd);
	}
}

static void reap(struct work_struct *work)
{
	struct okvm_irqchip *chip = container_of(work, struct okvm_irqchip, reaper);

	destroy_all(chip, &chip->dead_irqfds);
}

/** irqfd_init - part of a VM's new controllers */
void irqfd_init(struct okvm_irqchip *chip)
{
	raw_spin_lock_init(&chip->irqfd_lock);
	INIT_LIST_HEAD(&chip->irqfds);
	INIT_LIST_HEAD(&chip->dead_irqfds);
	INIT_LIST_HEAD(&chip->resamplers);
	INIT_WORK(&chip->reaper, reap);
}

/**
 * irqfd_release - the VM goes: end all
 * @chip: its controllers
 *
 * Context: may sleep.
 */
void irqfd_release(struct okvm_irqchip *chip)
{
	destroy_all(chip, &chip->irqfds);
	/* Now none can be closed any more: the reaper has its last run. */
	flush_work(&chip->reaper);
}

/* ---- ioctl ---- */

static bool in_use(struct okvm_irqchip *chip, const struct eventfd_ctx *eventfd)
{
	struct irqfd *irqfd;
	bool found = false;

	lockdep_assert_held(&chip->irqfd_lock);
	list_for_each_entry(irqfd, &chip->irqfds, link)
		found |= irqfd->eventfd == eventfd;
	return found;
}

/* On the list, unless its eventfd is another irqfd's. */
static int enlist(struct irqfd *irqfd)
{
	struct okvm_irqchip *chip = irqfd->chip;
	unsigned long flags;
	int r = 0;

	raw_spin_lock_irqsave(&chip->irqfd_lock, flags);
	if (in_use(chip, irqfd->eventfd))
		r = -EBUSY;
	else
		list_add_tail(&irqfd->link, &chip->irqfds);
	raw_spin_unlock_irqrestore(&chip->irqfd_lock, flags);
	return r;
}

/* Both eventfds of a new irqfd; on an error none is held. */
static int get_eventfds(struct irqfd *irqfd, struct file *file, const struct kvm_irqfd *args)
{
	irqfd->eventfd = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->eventfd))
		return PTR_ERR(irqfd->eventfd);
	if (!(args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return 0;
	irqfd->resamplefd = eventfd_ctx_fdget(args->resamplefd);
	if (!IS_ERR(irqfd->resamplefd))
		return 0;
	eventfd_ctx_put(irqfd->eventfd);
	return PTR_ERR(irqfd->resamplefd);
}

/* The caller holds @file, so its eventfd cannot be closed under us. */
static int assign(struct okvm_irqchip *chip, struct file *file, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	int r;

	if (!irqfd)
		return -ENOMEM;
	irqfd->chip = chip;
	irqfd->gsi = args->gsi;
	INIT_LIST_HEAD(&irqfd->link);
	init_waitqueue_func_entry(&irqfd->wait, woken);
	init_poll_funcptr(&irqfd->poll, queue_us);
	r = get_eventfds(irqfd, file, args);
	if (r)
		goto free;
	r = enlist(irqfd);
	if (r)
		goto put;
	if (irqfd->resamplefd)
		add_resampler(irqfd);
	/* From here on it is woken. What was written before counts too. */
	if (vfs_poll(file, &irqfd->poll) & EPOLLIN)
		inject(irqfd);
	return 0;

put:
	if (irqfd->resamplefd)
		eventfd_ctx_put(irqfd->resamplefd);
	eventfd_ctx_put(irqfd->eventfd);
free:
	kfree(irqfd);
	return r;
}

static int deassign(struct okvm_irqchip *chip, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);
	LIST_HEAD(list);

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	take(chip, &chip->irqfds, &list, eventfd, args->gsi);
	destroy_all(chip, &list);
	eventfd_ctx_put(eventfd);
	/* No interrupt comes after this call, nor of an irqfd that was closed just before. */
	flush_work(&chip->reaper);
	return 0;
}

/**
 * irqchip_irqfd - KVM_IRQFD
 * @vm: the VM
 * @arg: struct kvm_irqfd
 *
 * KVM API document, 4.75.
 *
 * Return: 0, also when there is nothing to deassign; -EINVAL: unknown flags, not an eventfd, no
 * controllers, or a resampler without an IOAPIC in the kernel; -EBADF; -EBUSY: the eventfd is in
 * use; -ENOMEM.
 */
long irqchip_irqfd(struct okvm_vm *vm, void *arg)
{
	const struct kvm_irqfd *args = arg;
	struct okvm_irqchip *chip = irqchip_of(vm);
	struct fd f;
	int r;

	if (!chip || (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)))
		return -EINVAL;
	/* Only pins of the kernel's own controllers can be sampled again. */
	if (chip->split && (args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	/* One at a time: none is ended while it is half made. */
	mutex_lock(&chip->lock);
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		r = deassign(chip, args);
	} else {
		f = fdget(args->fd);
		r = f.file ? assign(chip, f.file, args) : -EBADF;
		fdput(f);
	}
	mutex_unlock(&chip->lock);
	return r;
}
