// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each ioctl with its first allocation failing, its second, and so on until it needs no more: it
 * is refused with ENOMEM, nothing has changed, and no memory is lost. Needs root, and a kernel with
 * fault injection: Documentation/fault-injection in its sources.
 */

#include "selftest.h"

#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define SLOT		1
#define OTHER_SLOT	2
#define GPA		0x10000000ul
#define OTHER_GPA	0x20000000ul
#define PAGES		256ul
#define SIZE		(PAGES * PAGE_SIZE)
#define MOST		500	/* allocations that an ioctl may need */
#define ROUNDS		8
#define CGROUP		"/sys/fs/cgroup/okvm-faults"

/* ---- the kernel's side ---- */

static int nth = -1;

static void open_faults(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" }, { "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" }, { "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" }, { "fail_page_alloc/min-order", "0" },
	};
	char path[100];

	nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	TEST_REQUIRE(nth >= 0, "no /proc/self/fail-nth: this kernel cannot make allocations fail");
	for (unsigned int i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		TEST_REQUIRE(put_file(path, settings[i][1]), "cannot write %s", path);
	}
}

/* From here on this thread's allocation number @n fails; with 0, none. */
static void arm(unsigned int n)
{
	char text[12];
	int len = snprintf(text, sizeof(text), "%u", n);

	TEST_ASSERT(pwrite(nth, text, len, 0) == len, "fail-nth");
}

/* No more; has it failed? */
static bool disarm(void)
{
	char text[12] = "";

	TEST_ASSERT(pread(nth, text, sizeof(text) - 1, 0) > 0, "fail-nth");
	arm(0);
	return atoi(text) == 0;
}

/* What the kernel holds for this process's cgroup, in bytes. */
static long kernel_memory(void)
{
	FILE *f = fopen(CGROUP "/memory.stat", "re");
	char name[64];
	long value, found = -1;

	TEST_ASSERT(f, "memory.stat");
	while (fscanf(f, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, "kernel"))
			found = value;
	fclose(f);
	TEST_ASSERT(found >= 0, "memory.stat has no line `kernel'");
	return found;
}

/* ---- a VM, and what can be seen of it ---- */

enum {
	CHIPS = 1, WITH_SLOT = 2, LOGGED = 4, NO_VCPU = 8, RING = 16,
};

struct fixture {
	struct vm *vm;
	struct vcpu *v;
	void *mem;
	int event, resample, fd;
};

#define VIEW_SIZE 4400

static const struct view {
	const char *name;
	unsigned long cmd;
	bool vm;
	uint32_t first;			/* the argument's first word */
	unsigned long set;		/* the way back, where both have to allocate */
} views[] = {
	{ "regs", KVM_GET_REGS }, { "sregs", KVM_GET_SREGS, .set = KVM_SET_SREGS },
	{ "fpu", KVM_GET_FPU, .set = KVM_SET_FPU },
	{ "xsave", KVM_GET_XSAVE, .set = KVM_SET_XSAVE }, { "xcrs", KVM_GET_XCRS }, { "debugregs", KVM_GET_DEBUGREGS },
	{ "events", KVM_GET_VCPU_EVENTS }, { "mp_state", KVM_GET_MP_STATE },
	{ "lapic", KVM_GET_LAPIC, .set = KVM_SET_LAPIC }, { "cpuid", KVM_GET_CPUID2, .first = 100 },
	{ "master", KVM_GET_IRQCHIP, true, KVM_IRQCHIP_PIC_MASTER },
	{ "slave", KVM_GET_IRQCHIP, true, KVM_IRQCHIP_PIC_SLAVE },
	{ "ioapic", KVM_GET_IRQCHIP, true, KVM_IRQCHIP_IOAPIC },
	{ "pit", KVM_GET_PIT2, true },
};

#define NR_VIEWS (sizeof(views) / sizeof(views[0]))

struct state {
	int error[NR_VIEWS];
	uint8_t data[NR_VIEWS][VIEW_SIZE];
	int log, place, irq;
};

/* Zero, or the errno. */
static int error_of(int result)
{
	return result < 0 ? errno : 0;
}

/* Is @gpa taken by a slot? */
static int probe_place(struct fixture *f, uint64_t gpa)
{
	int err = error_of(vm_set_slot(f->vm, OTHER_SLOT, gpa, PAGE_SIZE, 0, f->mem));

	if (!err)
		TEST_ASSERT(!vm_set_slot(f->vm, OTHER_SLOT, gpa, 0, 0, f->mem), "delete");
	return err;
}

static void take_state(struct fixture *f, struct state *s)
{
	uint64_t bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	struct kvm_irq_level line = { .irq = 5, .level = 1 };

	memset(s, 0, sizeof(*s));
	/* Where GSI 5 leads, and what is latched there. */
	if (!error_of(ioctl(f->vm->fd, KVM_IRQ_LINE_STATUS, &line)))
		s->irq = (int)line.status;
	line.level = 0;
	ioctl(f->vm->fd, KVM_IRQ_LINE_STATUS, &line);
	for (unsigned int i = 0; i < NR_VIEWS; i++) {
		int fd = views[i].vm ? f->vm->fd : f->v ? f->v->fd : -1;

		memcpy(s->data[i], &views[i].first, sizeof(views[i].first));
		s->error[i] = error_of(ioctl(fd, views[i].cmd, s->data[i]));
	}
	s->log = error_of(ioctl(f->vm->fd, KVM_GET_DIRTY_LOG, &log));
	s->place = probe_place(f, GPA) << 8 | probe_place(f, OTHER_GPA);
}

static void expect_same(const char *name, const struct state *a, const struct state *b)
{
	for (unsigned int i = 0; i < NR_VIEWS; i++) {
		TEST_ASSERT(a->error[i] == b->error[i], "%s failed: errno of %s was %d, is %d",
			    name, views[i].name, a->error[i], b->error[i]);
		TEST_ASSERT(!memcmp(a->data[i], b->data[i], VIEW_SIZE),
			    "%s failed, and changed %s", name, views[i].name);
	}
	TEST_ASSERT(a->log == b->log, "%s failed: the dirty log's errno was %d, is %d", name,
		    a->log, b->log);
	TEST_ASSERT(a->place == b->place, "%s failed, and changed slots: %#x, %#x", name,
		    a->place, b->place);
	TEST_ASSERT(a->irq == b->irq, "%s failed, and changed routes: %d, %d", name, a->irq,
		    b->irq);
}

static void does_nothing(void)
{
	GUEST_DONE();
}

static void set_up(struct fixture *f, unsigned int with)
{
	struct kvm_enable_cap ring = {
		.cap = KVM_CAP_DIRTY_LOG_RING, .args[0] = 1024 * sizeof(struct kvm_dirty_gfn),
	};

	memset(f, 0, sizeof(*f));
	f->vm = with & CHIPS ? vm_create_irqchip() : vm_create();
	if (with & RING) {
		require_cap(KVM_CAP_DIRTY_LOG_RING);
		ioctl_ok(f->vm->fd, KVM_ENABLE_CAP, &ring);
	}
	if (!(with & NO_VCPU))
		f->v = vcpu_add(f->vm, 0, does_nothing);
	f->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	TEST_ASSERT(f->mem != MAP_FAILED, "mmap");
	if (with & WITH_SLOT)
		TEST_ASSERT(!vm_set_slot(f->vm, SLOT, GPA, SIZE,
					 with & LOGGED ? KVM_MEM_LOG_DIRTY_PAGES : 0, f->mem),
			    "slot");
	f->fd = -1;
	f->event = eventfd(0, EFD_CLOEXEC);
	f->resample = eventfd(0, EFD_CLOEXEC);
}

static void tear_down(struct fixture *f)
{
	vm_destroy(f->vm);
	munmap(f->mem, SIZE);
	close(f->event);
	close(f->resample);
	if (f->fd >= 0)
		close(f->fd);
}

/* ---- one ioctl ---- */

struct op {
	const char *name;
	unsigned int with;
	int (*attempt)(struct fixture *f);
	int (*undo)(struct fixture *f);	/* of a success; NULL: a new VM instead */
};

static void undo(struct fixture *f, const struct op *op)
{
	if (op->undo) {
		TEST_ASSERT(op->undo(f) >= 0, "undo %s", op->name);
		return;
	}
	tear_down(f);
	set_up(f, op->with);
}

static struct state before, after;

/* Returns how many allocations it was refused for. */
static unsigned int sweep(const struct op *op)
{
	unsigned int n, refused = 0;
	struct fixture f;
	int r, err;
	bool hit;

	set_up(&f, op->with);
	take_state(&f, &before);
	for (n = 1; n < MOST; n++) {
		arm(n);
		r = op->attempt(&f);
		err = errno;
		hit = disarm();
		if (r >= 0 && !hit)
			break;
		if (r >= 0) {
			/* It did without. */
			undo(&f, op);
			take_state(&f, &before);
			continue;
		}
		TEST_ASSERT(hit, "%s: errno %d with all allocations", op->name, err);
		TEST_ASSERT(err == ENOMEM, "%s: errno %d when allocation %u fails", op->name, err,
			    n);
		refused++;
		take_state(&f, &after);
		expect_same(op->name, &before, &after);
	}
	TEST_ASSERT(n < MOST, "%s never has enough", op->name);
	tear_down(&f);
	return refused;
}

static void sweeps(const struct op *op)
{
	unsigned int refused = sweep(op);
	long before, after;

	TEST_ASSERT(refused, "%s: no allocation of its own failed", op->name);
	before = kernel_memory();
	for (int i = 0; i < ROUNDS; i++)
		sweep(op);
	/* A page lost each time; what waits for a grace period comes back. */
	for (int i = 0; i < 100; i++) {
		after = kernel_memory();
		if (after - before < (long)(ROUNDS * PAGE_SIZE))
			break;
		usleep(100000);
	}
	diag("%s: refused for %u allocations; memory grew by %ld", op->name, refused,
	     after - before);
	TEST_ASSERT(after - before < (long)(ROUNDS * PAGE_SIZE), "%s leaks", op->name);
}

/* In a process of a cgroup's, which counts what the kernel allocates for it. */
static void in_cgroup(void (*fn)(const void *arg), const void *arg)
{
	int pid;

	open_faults();
	put_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	rmdir(CGROUP);
	TEST_REQUIRE(!mkdir(CGROUP, 0755), "cannot make a cgroup at " CGROUP);
	if (access(CGROUP "/memory.stat", R_OK)) {
		rmdir(CGROUP);
		test_skip("no memory controller in cgroup v2");
	}
	pid = spawn();
	if (!pid) {
		TEST_ASSERT(put_file(CGROUP "/cgroup.procs", "0"), "join the cgroup");
		open_faults();
		fn(arg);
		pass();
	}
	reap(pid);
	TEST_ASSERT(!rmdir(CGROUP), "rmdir " CGROUP);
}

static void all_sweeps(const void *arg)
{
	for (const struct op *op = arg; op->name; op++)
		sweeps(op);
}

/* ---- making things ---- */

static int create_vm(struct fixture *f)
{
	return f->fd = ioctl(f->vm->kvm, KVM_CREATE_VM, 0);
}

static int create_vcpu(struct fixture *f)
{
	return f->fd = ioctl(f->vm->fd, KVM_CREATE_VCPU, 1);
}

static int close_fd(struct fixture *f)
{
	int fd = f->fd;

	f->fd = -1;
	return close(fd);
}

static int create_irqchip(struct fixture *f)
{
	return ioctl(f->vm->fd, KVM_CREATE_IRQCHIP, 0);
}

static int split_irqchip(struct fixture *f)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };

	return ioctl(f->vm->fd, KVM_ENABLE_CAP, &cap);
}

static int create_pit(struct fixture *f)
{
	struct kvm_pit_config pit = { };

	return ioctl(f->vm->fd, KVM_CREATE_PIT2, &pit);
}

static int vm_stats(struct fixture *f)
{
	return f->fd = ioctl(f->vm->fd, KVM_GET_STATS_FD, 0);
}

static int vcpu_stats(struct fixture *f)
{
	return f->fd = ioctl(f->v->fd, KVM_GET_STATS_FD, 0);
}

static const struct op makers[] = {
	{ "CREATE_VM", 0, create_vm, close_fd },
	{ "CREATE_VCPU", 0, create_vcpu, NULL },
	{ "CREATE_VCPU with irqchip", CHIPS, create_vcpu, NULL },
	{ "CREATE_VCPU with dirty ring", RING, create_vcpu, NULL },
	{ "CREATE_IRQCHIP", NO_VCPU, create_irqchip, NULL },
	{ "SPLIT_IRQCHIP", NO_VCPU, split_irqchip, NULL },
	{ "CREATE_PIT2", CHIPS, create_pit, NULL },
	{ "GET_STATS_FD of a VM", 0, vm_stats, close_fd },
	{ "GET_STATS_FD of a vCPU", 0, vcpu_stats, close_fd },
	{ }
};

TEST_TIMEOUT(making_things, 240)
{
	in_cgroup(all_sweeps, makers);
}

/* ---- memory slots ---- */

static int slot_create(struct fixture *f)
{
	return vm_set_slot(f->vm, SLOT, GPA, SIZE, 0, f->mem);
}

static int slot_create_logged(struct fixture *f)
{
	return vm_set_slot(f->vm, SLOT, GPA, SIZE, KVM_MEM_LOG_DIRTY_PAGES, f->mem);
}

static int slot_move(struct fixture *f)
{
	return vm_set_slot(f->vm, SLOT, OTHER_GPA, SIZE, 0, f->mem);
}

static int slot_delete(struct fixture *f)
{
	return vm_set_slot(f->vm, SLOT, GPA, 0, 0, f->mem);
}

static int clear_log(struct fixture *f)
{
	uint64_t bitmap[PAGES / 64] = { };
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .num_pages = PAGES, .dirty_bitmap = bitmap,
	};

	return ioctl(f->vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static int no_undo(struct fixture *f)
{
	return 0;
}

static const struct op slot_ops[] = {
	{ "creating a slot", 0, slot_create, slot_delete },
	{ "creating a logged slot", 0, slot_create_logged, slot_delete },
	{ "logging a slot", WITH_SLOT, slot_create_logged, slot_create },
	{ "moving a slot", WITH_SLOT, slot_move, slot_create },
	{ "deleting a slot", WITH_SLOT, slot_delete, slot_create },
	{ "deleting a logged slot", WITH_SLOT | LOGGED, slot_delete, slot_create_logged },
	{ }
};

TEST_TIMEOUT(slots, 120)
{
	in_cgroup(all_sweeps, slot_ops);
}

static const struct op clear_ops[] = {
	{ "CLEAR_DIRTY_LOG", WITH_SLOT | LOGGED, clear_log, no_undo },
	{ }
};

TEST_TIMEOUT(clearing_a_log, 60)
{
	/* KVM needs no memory of its own for it. */
	TEST_REQUIRE(kvm_is_okvm(), "it is about okvm");
	in_cgroup(all_sweeps, clear_ops);
}

/* ---- events ---- */

static int irqfd(struct fixture *f, uint32_t flags)
{
	struct kvm_irqfd i = {
		.fd = f->event, .gsi = 5, .flags = flags, .resamplefd = f->resample,
	};

	return ioctl(f->vm->fd, KVM_IRQFD, &i);
}

static int irqfd_assign(struct fixture *f)
{
	return irqfd(f, 0);
}

static int irqfd_resample(struct fixture *f)
{
	return irqfd(f, KVM_IRQFD_FLAG_RESAMPLE);
}

static int irqfd_deassign(struct fixture *f)
{
	return irqfd(f, KVM_IRQFD_FLAG_DEASSIGN);
}

static int ioeventfd(struct fixture *f, uint32_t flags)
{
	struct kvm_ioeventfd e = { .addr = NOWHERE_GPA, .len = 4, .fd = f->event, .flags = flags };

	return ioctl(f->vm->fd, KVM_IOEVENTFD, &e);
}

static int ioeventfd_assign(struct fixture *f)
{
	return ioeventfd(f, 0);
}

static int ioeventfd_deassign(struct fixture *f)
{
	return ioeventfd(f, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static int zone(struct fixture *f, unsigned long cmd)
{
	struct kvm_coalesced_mmio_zone z = { .addr = NOWHERE_GPA, .size = PAGE_SIZE };

	return ioctl(f->vm->fd, cmd, &z);
}

static int zone_add(struct fixture *f)
{
	return zone(f, KVM_REGISTER_COALESCED_MMIO);
}

static int zone_drop(struct fixture *f)
{
	return zone(f, KVM_UNREGISTER_COALESCED_MMIO);
}

/* GSI 5 goes to another pin: its line's status tells. */
static int set_routes(struct fixture *f)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[2];
	} table = { .head.nr = 2, .e = {
		{ .gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_IOAPIC, 4 } },
		{ .gsi = 700, .type = KVM_IRQ_ROUTING_MSI, .u.msi.address_lo = 0xfee00000 },
	} };

	return ioctl(f->vm->fd, KVM_SET_GSI_ROUTING, &table);
}

static const struct op event_ops[] = {
	{ "IRQFD", CHIPS, irqfd_assign, irqfd_deassign },
	{ "IRQFD with resampling", CHIPS, irqfd_resample, irqfd_deassign },
	{ "IOEVENTFD", 0, ioeventfd_assign, ioeventfd_deassign },
	{ "REGISTER_COALESCED_MMIO", 0, zone_add, zone_drop },
	{ "SET_GSI_ROUTING", CHIPS, set_routes, NULL },
	{ }
};

TEST_TIMEOUT(events, 120)
{
	in_cgroup(all_sweeps, event_ops);
}

/* ---- a vCPU's state ---- */

static struct kvm_cpuid2 *cpuid;

static int set_cpuid(struct fixture *f)
{
	return ioctl(f->v->fd, KVM_SET_CPUID2, cpuid);
}

static int msrs(struct fixture *f, unsigned long cmd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[2];
	} m = { .head.nmsrs = 2, .e = { { .index = MSR_LSTAR }, { .index = MSR_STAR } } };

	return ioctl(f->v->fd, cmd, &m);
}

static int get_msrs(struct fixture *f)
{
	return msrs(f, KVM_GET_MSRS);
}

static int set_msrs(struct fixture *f)
{
	return msrs(f, KVM_SET_MSRS);
}

static int set_filter(struct fixture *f)
{
	uint8_t bitmap[8] = { };
	struct kvm_msr_filter filter = { .ranges[0] = {
		.flags = KVM_MSR_FILTER_READ, .base = 0x100, .nmsrs = 64, .bitmap = bitmap,
	} };

	return ioctl(f->vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static int drop_filter(struct fixture *f)
{
	struct kvm_msr_filter filter = { };

	return ioctl(f->vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static const struct op state_ops[] = {
	{ "SET_CPUID2", 0, set_cpuid, no_undo },
	{ "GET_MSRS", 0, get_msrs, no_undo },
	{ "SET_MSRS", 0, set_msrs, no_undo },
	{ "X86_SET_MSR_FILTER", 0, set_filter, drop_filter },
	{ }
};

TEST_TIMEOUT(cpuid_and_msrs, 120)
{
	cpuid = kvm_supported_cpuid();
	in_cgroup(all_sweeps, state_ops);
}

static const struct view *view;

static int view_get(struct fixture *f)
{
	static uint8_t data[VIEW_SIZE];

	return ioctl(f->v->fd, view->cmd, data);
}

static int view_set(struct fixture *f)
{
	return ioctl(f->v->fd, view->set, before.data[view - views]);
}

static void sweep_views(const void *arg)
{
	char name[32];
	struct op get = { name, CHIPS, view_get, no_undo };
	struct op set = { name, CHIPS, view_set, no_undo };

	for (view = views; view < views + NR_VIEWS; view++) {
		if (!view->set)
			continue;
		snprintf(name, sizeof(name), "reading %s", view->name);
		sweeps(&get);
		snprintf(name, sizeof(name), "writing %s", view->name);
		sweeps(&set);
	}
}

TEST_TIMEOUT(registers, 240)
{
	in_cgroup(sweep_views, NULL);
}

/* ---- running ---- */

#define STRIDE	(5 * PAGE_SIZE)
#define TOUCHED	((PAGES - 1) / 5 + 1)
#define PORT	0x80

/* Needs tables, and pages that the VMM has not got yet. */
static void touches(void)
{
	volatile uint64_t *p;

	for (uint64_t i = 0; i < TOUCHED; i++) {
		p = (void *)(GPA + i * STRIDE);
		GUEST_ASSERT_EQ(*p, 0);
		*p = i + 1;
	}
	for (uint64_t i = 0; i < TOUCHED; i++)
		GUEST_ASSERT_EQ(*(volatile uint64_t *)(GPA + i * STRIDE), i + 1);
	outb(PORT, 1);
	GUEST_DONE();
}

/* Run to the exit, each time with one more allocation granted. */
static unsigned int run_through(struct vcpu *v)
{
	unsigned int refused = 0;
	int r, err;
	bool hit;

	for (unsigned int n = 1; n < MOST; n++) {
		arm(n);
		r = vcpu_run(v);
		err = errno;
		hit = disarm();
		if (!r)
			return refused;
		TEST_ASSERT(hit && err == ENOMEM, "errno %d when allocation %u fails", err, n);
		refused++;
	}
	test_fail(__FILE__, __LINE__, 0, "KVM_RUN", "never has enough");
}

static void run_touches(uint32_t flags)
{
	static uint64_t bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	struct fixture f;
	unsigned int refused;

	open_faults();
	set_up(&f, CHIPS);
	/* Pages that are not there yet. */
	TEST_ASSERT(!madvise(f.mem, SIZE, MADV_DONTNEED), "madvise");
	madvise(f.mem, SIZE, MADV_NOHUGEPAGE);
	TEST_ASSERT(!vm_set_slot(f.vm, SLOT, GPA, SIZE, flags, f.mem), "slot");
	vcpu_enter64(f.v, touches, 0);
	refused = run_through(f.v);
	TEST_ASSERT(refused, "the guest ran without memory");
	TEST_ASSERT_EQ(f.v->run->exit_reason, KVM_EXIT_IO);
	TEST_ASSERT_EQ(f.v->run->io.port, PORT);
	diag("KVM_RUN was refused %u times", refused);
	vcpu_expect_done(f.v);
	if (flags)
		ioctl_ok(f.vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (unsigned int i = 0; flags && i < PAGES; i++)
		TEST_ASSERT_EQ(bitmap[i / 64] >> i % 64 & 1, i % 5 == 0 && i / 5 < TOUCHED);
	tear_down(&f);
}

TEST(run)
{
	run_touches(0);
}

TEST(run_with_a_log)
{
	run_touches(KVM_MEM_LOG_DIRTY_PAGES);
}

/* What a failed reading of the log was about stays in it. */
TEST(log_read)
{
	static uint64_t bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	struct fixture f;
	int r = -1, err;
	bool hit;

	open_faults();
	set_up(&f, WITH_SLOT | LOGGED);
	vcpu_enter64(f.v, touches, 0);
	vcpu_expect_exit(f.v, KVM_EXIT_IO);
	for (unsigned int n = 1; r && n < MOST; n++) {
		arm(n);
		r = ioctl(f.vm->fd, KVM_GET_DIRTY_LOG, &log);
		err = errno;
		hit = disarm();
		TEST_ASSERT(!r || (hit && err == ENOMEM), "errno %d when %u fails", err, n);
	}
	TEST_ASSERT(!r, "never has enough");
	for (unsigned int i = 0; i < TOUCHED; i++)
		TEST_ASSERT(bitmap[i * 5 / 64] >> i * 5 % 64 & 1, "page %u is lost", i * 5);
	tear_down(&f);
}
