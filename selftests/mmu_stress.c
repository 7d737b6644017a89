// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once on one piece of guest memory: vCPUs that fault, the host that protects,
 * forks, collapses, ages and moves the same pages, and user space that changes slots and takes
 * dirty logs. Each vCPU knows what it wrote last, so an entry that is lost, stale or doubled shows
 * as a wrong value, in the memory's own slot or in a second one on the same memory.
 */

#include "selftest.h"

#define SLOT		1
#define ALIAS		2
#define SPARE		3
#define GPA		0x10000000ul
#define ALIAS_GPA	0x30001000ul	/* not aligned as the memory is: small pages only */
#define SPARE_GPA	0x50000000ul
#define PAGES		1024ul
#define SIZE		(PAGES * PAGE_SIZE)
#define VCPUS		4

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

static uint64_t stop;
static uint64_t rounds[VCPUS];
static uint64_t counts[VCPUS][PAGES];	/* the guest's: what each vCPU wrote last */

static volatile uint64_t *word(uint64_t base, uint64_t page, uint64_t id)
{
	return (volatile uint64_t *)(base + page * PAGE_SIZE + 8 * id);
}

/* All vCPUs write all pages, each its own word of them. */
static void guest(uint64_t id)
{
	uint64_t x = id * 0x9e3779b97f4a7c15ul + 1, page;

	while (!READ_ONCE(stop)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		page = x % PAGES;
		GUEST_ASSERT_EQ(*word(GPA, page, id), counts[id][page]);
		if (x >> 32 & 1) {
			counts[id][page]++;
			*word(GPA, page, id) = counts[id][page];
		}
		GUEST_ASSERT_EQ(*word(ALIAS_GPA, page, id), counts[id][page]);
		WRITE_ONCE(rounds[id], rounds[id] + 1);
	}
	GUEST_DONE();
}

/* While the host keeps a page from being written KVM_RUN fails with EFAULT: try again. */
static void *run_guest_thread(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		if (vcpu_run(v)) {
			TEST_ASSERT(errno == EFAULT, "KVM_RUN");
			sched_yield();
			continue;
		}
		TEST_ASSERT(v->run->exit_reason == KVM_EXIT_IO, "exit %u", v->run->exit_reason);
		memcpy(&v->uc, vm_hva(v->vm, *(uint32_t *)pio_data(v)), sizeof(v->uc));
		if (v->uc.cmd == UCALL_DONE)
			return NULL;
		TEST_ASSERT(v->uc.cmd != UCALL_ABORT, "line %u of the guest: %#lx against %#lx",
			    v->uc.line, v->uc.args[0], v->uc.args[1]);
		TEST_ASSERT(0, "ucall %u, %#lx", v->uc.cmd, v->uc.args[0]);
	}
}

static struct vm *vm;
static char *mem;
static pthread_t threads[VCPUS];

static void start(void)
{
	struct vcpu *v;

	vm = vm_create();
	mem = vm_add_mem(vm, SLOT, GPA, SIZE, 0);
	madvise(mem, SIZE, MADV_HUGEPAGE);
	vm_add_mem_at(vm, ALIAS, ALIAS_GPA, SIZE, KVM_MEM_READONLY, mem);
	for (int i = 0; i < VCPUS; i++) {
		v = vcpu_add_raw(vm, i);
		vcpu_set_cpuid(v);
		vcpu_enter64(v, guest, i);
		TEST_ASSERT(!pthread_create(&threads[i], NULL, run_guest_thread, v), "pthread_create");
	}
}

static void finish(void)
{
	uint64_t (*r)[VCPUS] = vm_shared(vm, rounds);

	*vm_shared(vm, stop) = 1;
	for (int i = 0; i < VCPUS; i++) {
		pthread_join(threads[i], NULL);
		/* None starved; how many there are is the machine's affair. */
		TEST_ASSERT((*r)[i] > 10, "vCPU %d came through %lu rounds", i, (*r)[i]);
	}
	for (uint64_t page = 0; page < PAGES; page++)
		for (int i = 0; i < VCPUS; i++)
			TEST_ASSERT_EQ(*word((uintptr_t)mem, page, i),
				       (*vm_shared(vm, counts))[i][page]);
}

static unsigned int seed = 1;

/* A random piece of the memory, in pages. */
static char *piece(size_t *size)
{
	uint64_t first = rand_r(&seed) % PAGES, most = rand_r(&seed) % 4 ? 16 : PAGES;
	uint64_t n = 1 + rand_r(&seed) % most;

	if (n > PAGES - first)
		n = PAGES - first;
	*size = n * PAGE_SIZE;
	return mem + first * PAGE_SIZE;
}

static void protect(void)
{
	size_t size;
	char *p = piece(&size);

	TEST_ASSERT(!mprotect(p, size, PROT_READ), "mprotect");
	TEST_ASSERT(!mprotect(p, size, PROT_READ | PROT_WRITE), "mprotect");
	/* The vCPUs try again a while later: without this they might never write. */
	sched_yield();
}

static void fork_and_touch(void)
{
	int pid = spawn();

	if (!pid) {
		/* The child's copies are its own. */
		for (uint64_t page = 0; page < PAGES; page += 7)
			*word((uintptr_t)mem, page, 0) = ~0ul;
		pass();
	}
	reap(pid);
}

static void advise(void)
{
	static const int advice[] = { MADV_COLLAPSE, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
				      MADV_COLD };
	size_t size;
	char *p = piece(&size);

	/* Whether the kernel has or takes the advice makes no difference to the contents. */
	madvise(p, size, advice[rand_r(&seed) % 5]);
}

/* The page tables move elsewhere and back; while they are away vCPUs get EFAULT. */
static void move_memory(void)
{
	char *away = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	TEST_ASSERT(away != MAP_FAILED, "mmap");
	/* It moves one mapping; advice may have made several of it. */
	if (mremap(mem, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, away) != away) {
		TEST_ASSERT(errno == EFAULT, "mremap");
		munmap(away, SIZE);
		return;
	}
	TEST_ASSERT(mremap(away, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, mem) == mem, "mremap");
	sched_yield();
}

/* Accessed and soft-dirty bits are taken from the whole process. */
static void age(void)
{
	static const char *const what[] = { "1", "4" };
	int fd = open("/proc/self/clear_refs", O_WRONLY);

	if (fd < 0)
		return;
	TEST_ASSERT(write(fd, what[rand_r(&seed) % 2], 1) == 1, "clear_refs");
	close(fd);
}

static void change_slots(void)
{
	static int log;
	uint64_t map[PAGES / 64];
	struct kvm_dirty_log get = { .slot = SLOT, .dirty_bitmap = map };

	if (rand_r(&seed) % 4 == 0) {
		log = !log;
		TEST_ASSERT(!vm_set_slot(vm, SLOT, GPA, SIZE, log ? KVM_MEM_LOG_DIRTY_PAGES : 0, mem),
			    "dirty log");
	}
	if (log)
		TEST_ASSERT(!ioctl(vm->fd, KVM_GET_DIRTY_LOG, &get), "KVM_GET_DIRTY_LOG");
	TEST_ASSERT(!vm_set_slot(vm, SPARE, SPARE_GPA, SIZE, 0, mem), "a third slot on the memory");
	TEST_ASSERT(!vm_set_slot(vm, SPARE, SPARE_GPA + SIZE, SIZE, 0, mem), "and its move");
	TEST_ASSERT(!vm_set_slot(vm, SPARE, 0, 0, 0, mem), "and its end");
}

static void repeat(void (*const *fns)(void), int n, int times)
{
	start();
	for (int i = 0; i < times; i++)
		fns[rand_r(&seed) % n]();
	finish();
}

#define STRESS(name, times, ...)						\
TEST_TIMEOUT(name, 120)								\
{										\
	void (*const fns[])(void) = { __VA_ARGS__ };				\
	repeat(fns, sizeof(fns) / sizeof(fns[0]), times);			\
}

STRESS(protections, 300, protect)
STRESS(forks, 30, fork_and_touch)
STRESS(advices, 300, advise)
STRESS(moves_of_memory, 60, move_memory)
STRESS(aging, 100, age)
STRESS(slots_and_logs, 200, change_slots)
STRESS(all_at_once, 300, protect, advise, advise, age, change_slots, change_slots, fork_and_touch,
       move_memory)
