/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of irqchip/ share with each other, kernel side. */
#ifndef IRQCHIP_CHIP_H
#define IRQCHIP_CHIP_H

#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "../vmm.h"
#include "ioapic.h"
#include "lapic.h"
#include "message.h"
#include "pic.h"
#include "pit.h"

/* Who holds a line up: a line is high while anyone does. One bit each. */
enum irq_source { SOURCE_USER, SOURCE_RESAMPLE, SOURCE_PIT };

#define GSI_PIT		0
#define GSI_RTC		8
#define MAX_ROUTES	4096	/* as KVM's; also one above the highest GSI */

/* Where a GSI goes. @chip is KVM_IRQCHIP_* and @pin the chip's own, for KVM_IRQ_ROUTING_IRQCHIP. */
struct irq_route {
	u16 type;
	u8 chip, pin;
	struct irq_message msg;
};

/**
 * struct irq_routing - the table of KVM_SET_GSI_ROUTING; never changed once published
 * @gsi_of: which GSI a pin of a chip answers to, -1: none
 * @nr_gsis: one above the highest GSI
 * @first: where a GSI's routes start; @nr_gsis + 1 entries, behind the routes
 * @routes: sorted by GSI
 */
struct irq_routing {
	struct rcu_head rcu;
	s16 gsi_of[KVM_NR_IRQCHIPS][KVM_IOAPIC_NUM_PINS];
	u32 nr_gsis;
	u16 *first;
	struct irq_route routes[];
};

struct okvm_lapic {
	struct lapic apic;
	struct okvm_vcpu *vcpu;			/* C */
	struct hrtimer timer;
	bool hw_timer;				/* U: the backend's timer runs instead, */
	u64 hw_tsc;				/* U: until the host's TSC is there */
	unsigned long events;			/* A: bits of enum lapic_event */
	u8 sipi_vector;				/* A: valid with EVENT_SIPI */
	unsigned int turns;			/* A: lowest-priority messages taken */
	s16 user_extint;			/* U: of KVM_INTERRUPT; -1: none */
	u8 eoi_vector;				/* U: with REQ_IOAPIC_EOI */
	bool tpr_reports;			/* U: KVM_TPR_ACCESS_REPORTING */
	gpa_t vapic_gpa;			/* U: KVM_SET_VAPIC_ADDR; 0: none */
	u64 pv_eoi_msr;				/* U */
	bool pv_eoi_offered;			/* U: the guest's flag is set */
	bool elsewhere;				/* U: counted in apics_elsewhere */
};

enum lapic_event { EVENT_INIT, EVENT_SIPI };

struct lapic_map;
struct pit_timer;

/**
 * struct okvm_irqchip - a VM's controllers
 *
 * Locks: @pic_lock and @ioapic_lock are taken with interrupts off and never one in the other;
 * @irqfd_lock is taken inside an eventfd's wait-queue lock. @lock is for ioctls.
 */
struct okvm_irqchip {
	struct okvm_vm *vm;			/* C */
	bool split;				/* C: PICs, IOAPIC and PIT are user space's */
	u32 user_pins;				/* C: of its IOAPICs: the first GSIs */
	struct mutex lock;			/* changes of routes, irqfds, the PIT's existence */

	raw_spinlock_t pic_lock;
	struct pic pic;				/* pic_lock; output read without */
	u8 pic_lines[PIC_PINS];			/* pic_lock: bits of enum irq_source */

	raw_spinlock_t ioapic_lock;
	struct ioapic ioapic;			/* ioapic_lock */
	u8 ioapic_lines[KVM_IOAPIC_NUM_PINS];	/* ioapic_lock */
	unsigned long edge_eois[BITS_TO_LONGS(256)]; /* A: edge vectors with EOIs waited for */
	unsigned long eoi_exits[BITS_TO_LONGS(256)]; /* A: these, and all level-triggered ones */
	unsigned long access_page;		/* C: where xAPICs are in guest memory; 0: none */
	atomic_t apics_elsewhere;		/* vCPUs that must not find it there */

	struct irq_routing __rcu *routing;	/* lock to write */
	struct mutex map_lock;
	struct lapic_map __rcu *map;		/* map_lock to write */
	atomic_t lint0_nmis;			/* local APICs with LINT0 as NMI */

	raw_spinlock_t irqfd_lock;
	struct list_head irqfds;		/* irqfd_lock */
	struct list_head dead_irqfds;		/* irqfd_lock: their eventfd was closed */
	struct list_head resamplers;		/* RCU; irqfd_lock to write */
	struct work_struct reaper;

	struct pit_timer *pit;			/* A: set once, with release */
};

static inline struct okvm_irqchip *irqchip_of(struct okvm_vm *vm)
{
	return smp_load_acquire(&vm->irqchip);
}

static inline struct okvm_lapic *lapic_of(struct lapic *l)
{
	return container_of(l, struct okvm_lapic, apic);
}

/* The controllers, when they are all in the kernel. */
static inline struct okvm_irqchip *full_irqchip_of(struct okvm_vm *vm)
{
	struct okvm_irqchip *chip = irqchip_of(vm);

	return chip && !chip->split ? chip : NULL;
}

/* Are the ids in user space's state and messages 32 bits wide (KVM_CAP_X2APIC_API)? */
static inline bool irqchip_wide_ids(struct okvm_vm *vm)
{
	return READ_ONCE(vm->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS;
}

/* irqchip.c */
int irqchip_create(struct okvm_vm *vm, bool split, u32 user_pins);
bool irqchip_takes_extint(struct okvm_vcpu *vcpu);
int irqchip_set_pic(struct okvm_irqchip *chip, unsigned int pin, enum irq_source source,
		    bool level);
int irqchip_set_ioapic(struct okvm_irqchip *chip, unsigned int pin, enum irq_source source,
		       bool level, bool want_status);
int irqchip_take_pic(struct okvm_irqchip *chip);
int irqchip_ioapic_access(struct okvm_irqchip *chip, gpa_t gpa, unsigned int len, void *data,
			  bool write);
int irqchip_pic_access(struct okvm_irqchip *chip, u16 port, unsigned int size, void *data,
		       bool write);
void irqchip_eoi(struct okvm_vcpu *vcpu, u8 vector, bool level);
void irqchip_update_edge_eois(struct okvm_irqchip *chip);

/* split.c */
int irqchip_enable_split(struct okvm_vm *vm, const struct kvm_enable_cap *cap);
void split_eoi(struct okvm_vcpu *vcpu, u8 vector);

/* vapic.c */
void vapic_exit(struct okvm_vcpu *vcpu);
void vapic_tpr_access(struct okvm_vcpu *vcpu, bool write);
long irqchip_set_vapic_addr(struct okvm_vcpu *vcpu, void *arg);
long irqchip_set_tpr_reports(struct okvm_vcpu *vcpu, void *arg);

/* routing.c */
struct irq_routing *routing_default(void);
struct irq_routing *routing_empty(void);
int irq_set_gsi(struct okvm_irqchip *chip, enum irq_source source, u32 gsi, bool level,
		bool want_status);
long irqchip_set_routing(struct okvm_vm *vm, void *arg);
long irqchip_signal_msi(struct okvm_vm *vm, void *arg);

/* deliver.c */
void lapic_tell(struct okvm_lapic *l);
int irq_deliver(struct okvm_irqchip *chip, struct okvm_vcpu *source, const struct irq_message *msg);
bool irq_in_flight(struct okvm_irqchip *chip, const struct irq_message *msg);
void lapic_map_rebuild(struct okvm_vm *vm);
void lapic_map_free(struct okvm_irqchip *chip);

/* timer.c */
void lapic_timer_create(struct okvm_lapic *l);
void lapic_timer_look(struct okvm_lapic *l);

/* pit_timer.c */
long pit_create(struct okvm_vm *vm, u32 flags);
void pit_stop(struct okvm_irqchip *chip);
void pit_free(struct okvm_irqchip *chip);
bool pit_wants_eoi(struct okvm_irqchip *chip);
void pit_eoi(struct okvm_irqchip *chip);
void pit_unmasked(struct okvm_irqchip *chip);
int pit_access(struct okvm_irqchip *chip, u16 port, unsigned int size, void *data, bool write);
long pit_get(struct okvm_vm *vm, void *arg);
long pit_set(struct okvm_vm *vm, void *arg);
long pit_get2(struct okvm_vm *vm, void *arg);
long pit_set2(struct okvm_vm *vm, void *arg);
long pit_set_reinject(struct okvm_vm *vm, void *arg);

/* irqfd.c */
void irqfd_init(struct okvm_irqchip *chip);
void irqfd_release(struct okvm_irqchip *chip);
void irqfd_eoi(struct okvm_irqchip *chip, u32 gsi);
bool irqfd_resamples(struct okvm_irqchip *chip, u32 gsi);
long irqchip_irqfd(struct okvm_vm *vm, void *arg);

/* bus.c, ioeventfd.c, coalesced.c */
struct io_table;
struct zone_table;

struct okvm_io_bus {
	struct mutex lock;			/* changes of the tables */
	struct io_table __rcu *events[2];	/* by: 0 MMIO, 1 port */
	struct zone_table __rcu *zones[2];
	spinlock_t ring_lock;			/* the coalesced ring's insertion */
};

bool ioeventfd_signal(struct okvm_io_bus *bus, bool pio, u64 addr, unsigned int len,
		      const void *data);
void ioeventfd_free(struct okvm_io_bus *bus);
long irqchip_ioeventfd(struct okvm_vm *vm, void *arg);
bool coalesced_write(struct okvm_vm *vm, bool pio, u64 addr, unsigned int len, const void *data);
void coalesced_free(struct okvm_io_bus *bus);
long irqchip_register_coalesced(struct okvm_vm *vm, void *arg);
long irqchip_unregister_coalesced(struct okvm_vm *vm, void *arg);

/* apicv.c */
void apicv_eoi_exits_changed(struct okvm_irqchip *chip, const unsigned long *vectors);
int apicv_create(struct okvm_irqchip *chip);
void apicv_free(struct okvm_irqchip *chip);

/* vlapic.c */
int lapic_mmio_write(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data);
int lapic_mmio_read(struct okvm_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data);
long irqchip_get_lapic(struct okvm_vcpu *vcpu, void *arg);
long irqchip_set_lapic(struct okvm_vcpu *vcpu, void *arg);

#endif
