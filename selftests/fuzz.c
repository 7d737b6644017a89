// SPDX-License-Identifier: GPL-2.0-only
/*
 * limit: 900
 * Random ioctls by the ABI's types: programs of steps, each in a process of its own, two threads
 * wide. Where the kernel has KCOV, programs that reach new code are kept and changed further.
 * OKVM_FUZZ_RUNS and OKVM_FUZZ_SEED make it longer and different; OKVM_FUZZ_TRACE=1 names each step
 * in the kernel's log before it is taken. What fails here is the kernel: whoever runs this looks at
 * its log.
 */

#include "selftest.h"

#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#define RUNS		60
#define STEPS		24
#define WORDS		8
#define KEPT		512
#define VCPUS		2
#define RAM		(4ul << 20)
#define BLOB		8192
#define STUCK		20		/* seconds that a killed process may take to die */
#define LIFE_MS		1000

/* ---- randomness ---- */

static uint64_t random_state;

static uint64_t rnd(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* ---- the ABI ---- */

enum kind { INT, BITS, SMALL, FD, GPA, HVA, PAGES, SLOT, GSI, MSR, POINTER, COUNT, CAP };

struct field {
	uint16_t offset, size;
	enum kind kind;
};

#define F(type, member, kind) \
	{ offsetof(struct type, member), sizeof(((struct type *)0)->member), kind }
#define FIELDS(...) (const struct field[]){ __VA_ARGS__, { } }

enum object { SYSTEM, VM, VCPU };

/*
 * The argument is the number in word 0 (@number), a struct whose fields are words, or, of @get's
 * answer, a copy in which words change a few bytes.
 */
struct call {
	const char *name;
	unsigned long cmd;
	enum object on;
	const struct field *fields;
	unsigned long get;
	bool number;
	uint32_t first;			/* the argument's first word for @get */
};

#define GETTER(o, cmd)		{ #cmd, cmd, o, .get = cmd }
#define CHANGER(o, from, to)	{ #to, to, o, .get = from }
#define WITH(o, cmd, ...)	{ #cmd, cmd, o, .fields = FIELDS(__VA_ARGS__) }
#define NUMBER(o, cmd)		{ #cmd, cmd, o, .number = true }

static const struct call calls[] = {
	NUMBER(SYSTEM, KVM_CHECK_EXTENSION),
	NUMBER(VM, KVM_CHECK_EXTENSION),
	NUMBER(VM, KVM_CREATE_VCPU),
	NUMBER(VM, KVM_CREATE_IRQCHIP),
	NUMBER(VM, KVM_SET_TSS_ADDR),
	NUMBER(VM, KVM_SET_NR_MMU_PAGES),
	NUMBER(VM, KVM_SET_BOOT_CPU_ID),
	NUMBER(VM, KVM_RESET_DIRTY_RINGS),
	NUMBER(VM, KVM_GET_STATS_FD),
	NUMBER(VM, KVM_SET_TSC_KHZ),
	NUMBER(VCPU, KVM_SET_TSC_KHZ),
	NUMBER(VCPU, KVM_GET_STATS_FD),
	NUMBER(VCPU, KVM_NMI),
	NUMBER(VCPU, KVM_KVMCLOCK_CTRL),
	WITH(VM, KVM_ENABLE_CAP, F(kvm_enable_cap, cap, CAP), F(kvm_enable_cap, args[0], BITS)),
	WITH(VM, KVM_ENABLE_CAP, F(kvm_enable_cap, cap, CAP), F(kvm_enable_cap, args[0], PAGES)),
	WITH(VCPU, KVM_ENABLE_CAP, F(kvm_enable_cap, cap, CAP), F(kvm_enable_cap, args[0], BITS)),
	WITH(VM, KVM_SET_USER_MEMORY_REGION, F(kvm_userspace_memory_region, slot, SLOT),
	     F(kvm_userspace_memory_region, flags, SMALL),
	     F(kvm_userspace_memory_region, guest_phys_addr, GPA),
	     F(kvm_userspace_memory_region, memory_size, PAGES),
	     F(kvm_userspace_memory_region, userspace_addr, HVA)),
	WITH(VM, KVM_GET_DIRTY_LOG, F(kvm_dirty_log, slot, SLOT),
	     F(kvm_dirty_log, dirty_bitmap, POINTER)),
	WITH(VM, KVM_CLEAR_DIRTY_LOG, F(kvm_clear_dirty_log, slot, SLOT),
	     F(kvm_clear_dirty_log, num_pages, COUNT), F(kvm_clear_dirty_log, first_page, COUNT),
	     F(kvm_clear_dirty_log, dirty_bitmap, POINTER)),
	WITH(VM, KVM_CREATE_PIT2, F(kvm_pit_config, flags, SMALL)),
	WITH(VM, KVM_IRQ_LINE, F(kvm_irq_level, irq, GSI), F(kvm_irq_level, level, SMALL)),
	WITH(VM, KVM_IRQ_LINE_STATUS, F(kvm_irq_level, irq, GSI), F(kvm_irq_level, level, SMALL)),
	WITH(VM, KVM_IRQFD, F(kvm_irqfd, fd, FD), F(kvm_irqfd, gsi, GSI),
	     F(kvm_irqfd, flags, SMALL), F(kvm_irqfd, resamplefd, FD)),
	WITH(VM, KVM_IOEVENTFD, F(kvm_ioeventfd, datamatch, SMALL), F(kvm_ioeventfd, addr, GPA),
	     F(kvm_ioeventfd, len, COUNT), F(kvm_ioeventfd, fd, FD),
	     F(kvm_ioeventfd, flags, BITS)),
	WITH(VM, KVM_SIGNAL_MSI, F(kvm_msi, address_lo, GPA), F(kvm_msi, address_hi, SMALL),
	     F(kvm_msi, data, INT), F(kvm_msi, flags, SMALL)),
	WITH(VM, KVM_SET_GSI_ROUTING, F(kvm_irq_routing, nr, COUNT),
	     { 8, 4, GSI }, { 12, 4, SMALL }, { 24, 4, SMALL }, { 28, 4, GSI },
	     { 56, 4, GSI }, { 60, 4, SMALL }, { 72, 4, GPA }),
	WITH(VM, KVM_REGISTER_COALESCED_MMIO, F(kvm_coalesced_mmio_zone, addr, GPA),
	     F(kvm_coalesced_mmio_zone, size, PAGES), F(kvm_coalesced_mmio_zone, pio, SMALL)),
	WITH(VM, KVM_UNREGISTER_COALESCED_MMIO, F(kvm_coalesced_mmio_zone, addr, GPA),
	     F(kvm_coalesced_mmio_zone, size, PAGES), F(kvm_coalesced_mmio_zone, pio, SMALL)),
	WITH(VM, KVM_X86_SET_MSR_FILTER, F(kvm_msr_filter, flags, SMALL),
	     F(kvm_msr_filter, ranges[0].flags, SMALL), F(kvm_msr_filter, ranges[0].nmsrs, COUNT),
	     F(kvm_msr_filter, ranges[0].base, MSR), F(kvm_msr_filter, ranges[0].bitmap, POINTER)),
	WITH(VM, KVM_SET_IDENTITY_MAP_ADDR, { 0, 8, GPA }),
	WITH(VM, KVM_REINJECT_CONTROL, F(kvm_reinject_control, pit_reinject, SMALL)),
	WITH(VCPU, KVM_INTERRUPT, F(kvm_interrupt, irq, INT)),
	WITH(VCPU, KVM_TRANSLATE, F(kvm_translation, linear_address, GPA)),
	WITH(VCPU, KVM_SET_GUEST_DEBUG, F(kvm_guest_debug, control, BITS),
	     F(kvm_guest_debug, arch.debugreg[0], GPA), F(kvm_guest_debug, arch.debugreg[7], BITS)),
	WITH(VCPU, KVM_SET_MSRS, F(kvm_msrs, nmsrs, COUNT), { 8, 4, MSR }, { 16, 8, INT },
	     { 24, 4, MSR }, { 32, 8, BITS }, { 40, 4, MSR }, { 48, 8, GPA }),
	WITH(VCPU, KVM_GET_MSRS, F(kvm_msrs, nmsrs, COUNT), { 8, 4, MSR }, { 24, 4, MSR }),
	WITH(VCPU, KVM_SET_CPUID2, F(kvm_cpuid2, nent, COUNT), { 8, 4, MSR }, { 20, 4, BITS },
	     { 24, 4, INT }, { 48, 4, SMALL }, { 64, 4, INT }),
	WITH(VCPU, KVM_SET_SIGNAL_MASK, { 0, 4, COUNT }, { 4, 4, BITS }),
	WITH(VCPU, KVM_SET_VAPIC_ADDR, F(kvm_vapic_addr, vapic_addr, GPA)),
	WITH(VCPU, KVM_TPR_ACCESS_REPORTING, F(kvm_tpr_access_ctl, enabled, SMALL)),
	WITH(VCPU, KVM_SET_MP_STATE, F(kvm_mp_state, mp_state, SMALL)),
	WITH(VCPU, KVM_X86_SETUP_MCE, { 0, 8, BITS }),
	WITH(VCPU, KVM_X86_SET_MCE, F(kvm_x86_mce, status, BITS), F(kvm_x86_mce, bank, SMALL),
	     F(kvm_x86_mce, mcg_status, BITS)),
	WITH(VCPU, KVM_SET_DEVICE_ATTR, F(kvm_device_attr, group, SMALL),
	     F(kvm_device_attr, attr, SMALL), F(kvm_device_attr, addr, POINTER)),
	CHANGER(VM, KVM_GET_CLOCK, KVM_SET_CLOCK),
	CHANGER(VM, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP),
	{ "SET_IRQCHIP of an IOAPIC", KVM_SET_IRQCHIP, VM, .get = KVM_GET_IRQCHIP,
	  .first = KVM_IRQCHIP_IOAPIC },
	CHANGER(VM, KVM_GET_PIT2, KVM_SET_PIT2),
	CHANGER(VM, KVM_GET_PIT, KVM_SET_PIT),
	CHANGER(VCPU, KVM_GET_REGS, KVM_SET_REGS),
	CHANGER(VCPU, KVM_GET_SREGS, KVM_SET_SREGS),
	CHANGER(VCPU, KVM_GET_SREGS2, KVM_SET_SREGS2),
	CHANGER(VCPU, KVM_GET_FPU, KVM_SET_FPU),
	CHANGER(VCPU, KVM_GET_XSAVE, KVM_SET_XSAVE),
	CHANGER(VCPU, KVM_GET_XCRS, KVM_SET_XCRS),
	CHANGER(VCPU, KVM_GET_LAPIC, KVM_SET_LAPIC),
	CHANGER(VCPU, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS),
	CHANGER(VCPU, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS),
	GETTER(VCPU, KVM_GET_TSC_KHZ),
	GETTER(VM, KVM_GET_TSC_KHZ),
};

#define NR_CALLS	(sizeof(calls) / sizeof(calls[0]))

/* Steps that are no such call. */
enum {
	RUN = NR_CALLS, RUN_PAGE, GUEST_CODE, HOST_MEMORY, SIGNAL_EVENT, CLOSE_VCPU, NR_STEPS,
};

static const char *step_name(unsigned int what)
{
	static const char *const more[] = {
		"KVM_RUN", "kvm_run", "guest code", "host memory", "eventfd", "close a vCPU",
	};

	return what < NR_CALLS ? calls[what].name : more[what - NR_CALLS];
}

/* ---- programs ---- */

struct step {
	uint16_t what;
	uint8_t vcpu, thread;
	uint64_t words[WORDS];
};

struct program {
	unsigned int chips;		/* 0: none, 1: all, 2: split */
	unsigned int n;
	struct step steps[STEPS];
};

static void new_step(struct step *s)
{
	/* What a program is worth is what its guest makes of it. */
	s->what = rnd() % 4 ? rnd() % NR_STEPS : RUN;
	s->vcpu = rnd() % 8 ? 0 : 1;
	s->thread = rnd() % 4 == 0;
	for (int i = 0; i < WORDS; i++)
		s->words[i] = rnd();
}

static void new_program(struct program *p)
{
	p->chips = rnd() % 3;
	p->n = 4 + rnd() % (STEPS - 3);
	for (unsigned int i = 0; i < p->n; i++)
		new_step(&p->steps[i]);
}

static void change_program(struct program *p)
{
	for (unsigned int times = 1 + rnd() % 4; times--; ) {
		struct step *s = &p->steps[rnd() % p->n];

		switch (rnd() % 4) {
		case 0:
			new_step(s);
			break;
		case 1:
			if (p->n < STEPS)
				new_step(&p->steps[p->n++]);
			break;
		default:
			s->words[rnd() % WORDS] = rnd();
		}
	}
}

/* ---- taking a step ---- */

struct world {
	int fds[3 + VCPUS - 1];		/* by enum object; further vCPUs behind */
	struct kvm_run *run[VCPUS];
	size_t run_size;
	int event;
	char *ram;
	const struct program *program;
	bool trace;
};

static uint64_t some_int(uint64_t r)
{
	switch (r >> 8 & 7) {
	case 0: return r >> 16 & 15;
	case 1: return 1ull << (r >> 16 & 63);
	case 2: return (1ull << (r >> 16 & 63)) - 1;
	case 3: return -(r >> 16 & 15);
	case 4: return r >> 16 & 255;
	default: return r >> 11;
	}
}

static uint64_t some_gpa(uint64_t r)
{
	static const uint64_t bases[] = {
		0, 0, 0x1000, 0x100000, 0xfee00000, 0xfec00000, NOWHERE_GPA, 1ull << 40,
	};

	return bases[r >> 8 & 7] + (r >> 16 & 3 ? (r >> 20 & 31) << 12 : r >> 20 & 0xffff);
}

static uint32_t some_msr(uint64_t r)
{
	static const uint32_t bases[] = {
		0, 0x10, 0x1b, 0x170, 0x200, 0x260, 0x277, 0x2ff, 0x3a, 0x400, 0x480, 0x6e0, 0x800,
		0x40000000, 0x4b564d00, 0x4b564d00, 0xc0000080, 0xc0000080, 0xc0000100, 0xc0010000,
		0xc0010110, 0x80000000,
	};

	return bases[(r >> 8) % (sizeof(bases) / sizeof(bases[0]))] + (r >> 32 & 7);
}

static uint64_t value_of(struct world *w, enum kind kind, uint64_t r)
{
	/* Now and then nothing of the kind. */
	if (!(r & 15))
		return some_int(r);
	switch (kind) {
	case BITS: return 1ull << (r >> 8 & 31) | 1ull << (r >> 16 & 15) | 1ull << (r >> 24 & 7);
	case SMALL: return r >> 8 & 3;
	case FD: return r >> 8 & 3 ? w->event : w->fds[r >> 16 & 3];
	case GPA: return some_gpa(r);
	case HVA: return (uintptr_t)w->ram + ((r >> 8 & 255) << 12);
	case PAGES: return (r >> 8 & 255) << 12;
	case SLOT: return r >> 8 & 3;
	case GSI: return (r >> 8) % 26;
	case MSR: return some_msr(r);
	case POINTER: return (uintptr_t)w->ram + (r >> 8 & 0xffff);
	case COUNT: return r >> 8 & 3 ? r >> 16 & 3 : 1ull << (r >> 16 & 7);
	case CAP: return (r >> 8) % 250;
	default: return some_int(r);
	}
}

static int object_fd(struct world *w, const struct step *s, enum object on)
{
	return w->fds[on + (on == VCPU ? s->vcpu : 0)];
}

static void take_call(struct world *w, const struct step *s)
{
	const struct call *c = &calls[s->what];
	int fd = object_fd(w, s, c->on);
	uint64_t blob[BLOB / 8] = { c->first };
	uint8_t *bytes = (uint8_t *)blob;
	unsigned int i, size = _IOC_SIZE(c->cmd) ?: 64;

	if (c->number) {
		ioctl(fd, c->cmd, value_of(w, s->words[0] & 16 ? SMALL : PAGES, s->words[1]));
		return;
	}
	if (c->get) {
		ioctl(fd, c->get, blob);
		for (i = 0; i < WORDS; i++)
			if (s->words[i] & 1)
				bytes[(s->words[i] >> 32) % size] = some_int(s->words[i]);
	}
	for (i = 0; c->fields && c->fields[i].size; i++) {
		uint64_t value = value_of(w, c->fields[i].kind, s->words[i % WORDS]);

		memcpy(bytes + c->fields[i].offset, &value, c->fields[i].size);
	}
	ioctl(fd, c->cmd, blob);
}

/* Random bytes, or instructions that exit, which a real program would have more of. */
static void write_code(struct world *w, const struct step *s)
{
	static const uint8_t common[][4] = {
		{ 0xf4 }, { 0xe6, 0x80 }, { 0x0f, 0xa2 }, { 0x0f, 0x32 }, { 0x0f, 0x30 },
		{ 0x6c }, { 0xf3, 0x6e }, { 0x0f, 0x01, 0xc1 }, { 0x0f, 0x22, 0xc0 },
		{ 0x0f, 0x20, 0xe0 }, { 0xcd, 0x21 }, { 0xa4 }, { 0x89, 0x07 }, { 0xfb, 0x90 },
	};
	uint64_t at = s->words[0] & 1 ? 0x1000 : s->words[0] >> 8 & 0xffff;
	char *p = w->ram + at;

	for (int i = 1; i < WORDS; i++, p += 4) {
		if (s->words[i] & 1)
			memcpy(p, &s->words[i], 4);
		else
			memcpy(p, common[(s->words[i] >> 8) % 14], 4);
	}
}

static void change_memory(struct world *w, const struct step *s)
{
	char *p = w->ram + ((s->words[0] & 255) << 12);
	size_t size = ((s->words[1] & 63) + 1) << 12;

	switch (s->words[2] % 5) {
	case 0:
		madvise(p, size, MADV_DONTNEED);
		break;
	case 1:
		mprotect(p, size, PROT_READ);
		break;
	case 2:
		mprotect(p, size, PROT_READ | PROT_WRITE);
		break;
	case 3:
		mmap(p, size, PROT_READ | PROT_WRITE,
		     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	default:
		madvise(p, size, MADV_HUGEPAGE);
	}
}

static void take_step(struct world *w, const struct step *s)
{
	struct kvm_run *run = w->run[s->vcpu];
	uint64_t one = 1;

	switch (s->what) {
	case RUN:
		ioctl(object_fd(w, s, VCPU), KVM_RUN, 0);
		break;
	case RUN_PAGE:
		for (int i = 0; run && i < WORDS; i++)
			((uint8_t *)run)[(s->words[i] >> 32) % (2 * PAGE_SIZE)] = s->words[i];
		if (run)
			run->immediate_exit = 0;
		break;
	case GUEST_CODE:
		write_code(w, s);
		break;
	case HOST_MEMORY:
		change_memory(w, s);
		break;
	case SIGNAL_EVENT:
		if (write(w->event, &one, sizeof(one)) < 0)
			break;
		break;
	case CLOSE_VCPU:
		close(object_fd(w, s, VCPU));
		break;
	default:
		take_call(w, s);
	}
}

static void note_step(struct world *w, const struct step *s)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "fuzz: %u: %s %#lx %#lx %#lx %#lx %#lx %#lx %#lx %#lx",
			 s->vcpu, step_name(s->what), s->words[0], s->words[1], s->words[2],
			 s->words[3], s->words[4], s->words[5], s->words[6], s->words[7]);

	w->trace = put_file("/dev/kmsg", n > 0 ? line : "fuzz");
}

static void take_steps(struct world *w, bool second)
{
	for (const struct step *s = w->program->steps; s < w->program->steps + w->program->n; s++) {
		if (s->thread != second)
			continue;
		if (w->trace)
			note_step(w, s);
		take_step(w, s);
	}
}

static void *second_thread(void *arg)
{
	take_steps(arg, true);
	return NULL;
}

/* ---- coverage ---- */

#define COVER_SIZE	(64 << 10)
#define KCOV_INIT_TRACE	_IOR('c', 1, unsigned long)
#define KCOV_ENABLE	_IO('c', 100)
#define KCOV_TRACE_PC	0
#define SEEN_BITS	20

static int kcov = -1;
static uint64_t *cover;			/* number of PCs, then the PCs */
static uint64_t seen[(1 << SEEN_BITS) / 64];
static unsigned long seen_pcs;

static void open_kcov(void)
{
	kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (kcov < 0) {
		diag("no KCOV in this kernel: programs are not chosen by what they reach");
		return;
	}
	ioctl_ok(kcov, KCOV_INIT_TRACE, COVER_SIZE);
	cover = mmap(NULL, COVER_SIZE * 8, PROT_READ | PROT_WRITE, MAP_SHARED, kcov, 0);
	TEST_ASSERT(cover != MAP_FAILED, "mmap of kcov");
}

/* How many PCs of the last program are new. */
static unsigned int count_new(void)
{
	unsigned int found = 0;

	for (uint64_t i = 0; cover && i < cover[0] && i < COVER_SIZE - 1; i++) {
		uint64_t h = cover[1 + i] * 0x9e3779b97f4a7c15 >> (64 - SEEN_BITS);

		if (seen[h / 64] >> h % 64 & 1)
			continue;
		seen[h / 64] |= 1ull << h % 64;
		found++;
	}
	seen_pcs += found;
	return found;
}

/* ---- running a program ---- */

static void wake(int sig)
{
}

/* KVM_RUN must not last: signals end it. */
static void start_clock(void)
{
	struct sigaction sa = { .sa_handler = wake };
	struct itimerval t = { { 0, 5000 }, { 0, 5000 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

static void make_world(struct world *w)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	struct kvm_userspace_memory_region slot = { .memory_size = RAM / 2 };
	struct kvm_cpuid2 *cpuid = kvm_supported_cpuid();

	w->fds[SYSTEM] = kvm_open();
	w->fds[VM] = ioctl_ok(w->fds[SYSTEM], KVM_CREATE_VM, 0);
	w->run_size = ioctl_ok(w->fds[SYSTEM], KVM_GET_VCPU_MMAP_SIZE, 0);
	w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(w->ram != MAP_FAILED, "mmap");
	slot.userspace_addr = (uintptr_t)w->ram;
	ioctl_ok(w->fds[VM], KVM_SET_USER_MEMORY_REGION, &slot);
	if (w->program->chips == 1)
		ioctl_ok(w->fds[VM], KVM_CREATE_IRQCHIP, 0);
	else if (w->program->chips == 2)
		ioctl_ok(w->fds[VM], KVM_ENABLE_CAP, &split);
	for (int i = 0; i < VCPUS; i++) {
		struct kvm_regs regs = { .rip = 0x1000, .rsp = 0x8000, .rflags = FLAG_FIXED };
		struct kvm_sregs sregs;

		w->fds[VCPU + i] = ioctl_ok(w->fds[VM], KVM_CREATE_VCPU, i);
		w->run[i] = mmap(NULL, w->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 w->fds[VCPU + i], 0);
		TEST_ASSERT(w->run[i] != MAP_FAILED, "mmap of a vCPU");
		ioctl_ok(w->fds[VCPU + i], KVM_SET_CPUID2, cpuid);
		ioctl_ok(w->fds[VCPU + i], KVM_GET_SREGS, &sregs);
		sregs.cs.base = sregs.cs.selector = 0;
		ioctl_ok(w->fds[VCPU + i], KVM_SET_SREGS, &sregs);
		ioctl_ok(w->fds[VCPU + i], KVM_SET_REGS, &regs);
	}
	free(cpuid);
}

__attribute__((noreturn)) static void live(const struct program *p)
{
	struct world w = { .program = p, .trace = getenv("OKVM_FUZZ_TRACE") };
	pthread_t t;

	make_world(&w);
	start_clock();
	TEST_ASSERT(!pthread_create(&t, NULL, second_thread, &w), "pthread_create");
	if (kcov >= 0 && !ioctl(kcov, KCOV_ENABLE, KCOV_TRACE_PC))
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
	take_steps(&w, false);
	/* Whatever it is in, the process ends. */
	pass();
}

static void show(const struct program *p)
{
	diag("irqchip %u", p->chips);
	for (unsigned int i = 0; i < p->n; i++)
		diag("%u.%u %s", p->steps[i].thread, p->steps[i].vcpu, step_name(p->steps[i].what));
}

static bool ends_within(int pid, int ms)
{
	for (int waited = 0; waited < ms; waited += 2) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		usleep(2000);
	}
	return false;
}

static void run_program(const struct program *p)
{
	int pid;

	if (cover)
		cover[0] = 0;
	pid = spawn();
	if (!pid)
		live(p);
	/* Endless ones are killed; one that does not die is the kernel's fault. */
	if (ends_within(pid, LIFE_MS))
		return;
	kill(pid, SIGKILL);
	if (ends_within(pid, STUCK * 1000))
		return;
	show(p);
	test_fail(__FILE__, __LINE__, 0, "SIGKILL", "process %d does not die", pid);
}

static unsigned long setting(const char *name, unsigned long other)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : other;
}

TEST_TIMEOUT(programs, 800)
{
	static struct program kept[KEPT], p;
	unsigned long runs = setting("OKVM_FUZZ_RUNS", RUNS), n_kept = 0;

	random_state = setting("OKVM_FUZZ_SEED", 1);
	open_kcov();
	for (unsigned long i = 0; i < runs; i++) {
		if (n_kept && rnd() % 4) {
			p = kept[rnd() % n_kept];
			change_program(&p);
		} else {
			new_program(&p);
		}
		run_program(&p);
		if (count_new())
			kept[n_kept < KEPT ? n_kept++ : rnd() % KEPT] = p;
	}
	diag("%lu programs, %lu kept, %lu places in the kernel reached", runs, n_kept, seen_pcs);
	TEST_ASSERT(!cover || seen_pcs > 1000, "KCOV does not see the module");
}
