// SPDX-License-Identifier: GPL-2.0-only
/* Dirty rings: KVM_CAP_DIRTY_LOG_RING, KVM_RESET_DIRTY_RINGS, KVM_EXIT_DIRTY_RING_FULL. */

#include "selftest.h"

#include <asm/kvm_para.h>

#define SLOT		1
#define LOGGED_GPA	0x10000000ul
#define PAGES		1024
#define PAGE		4096ul
#define ENTRY		sizeof(struct kvm_dirty_gfn)
#define MAX_BYTES	(65536 * ENTRY)
#define ROUNDS		40
#define DIRTY		KVM_DIRTY_GFN_F_DIRTY
#define RESET		KVM_DIRTY_GFN_F_RESET

static uint64_t first_page, npages;

static int enable(struct vm *vm, int cap, uint64_t bytes)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { bytes } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

/* A ring of so many bytes, and a slot that is logged. */
static struct vm *ring_vm(uint64_t bytes)
{
	struct vm *vm;

	require_cap(KVM_CAP_DIRTY_LOG_RING);
	vm = vm_create();
	TEST_ASSERT_EQ(enable(vm, KVM_CAP_DIRTY_LOG_RING, bytes), 0);
	vm_add_mem(vm, SLOT, LOGGED_GPA, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES);
	return vm;
}

static struct kvm_dirty_gfn *map_ring(struct vcpu *v, uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		       KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);

	TEST_ASSERT(p != MAP_FAILED, "mmap");
	return p;
}

/* Take what waits from *@next on; which pages, into @seen. How many. */
static unsigned int harvest(struct kvm_dirty_gfn *ring, uint64_t bytes, uint32_t *next,
			    uint8_t *seen)
{
	unsigned int n = 0;

	for (;; n++, (*next)++) {
		struct kvm_dirty_gfn *e = &ring[*next % (bytes / ENTRY)];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != DIRTY)
			return n;
		TEST_ASSERT_EQ(e->slot, SLOT);
		TEST_ASSERT(e->offset < PAGES, "page %lu", (unsigned long)e->offset);
		if (seen)
			seen[e->offset]++;
		__atomic_store_n(&e->flags, RESET, __ATOMIC_RELEASE);
	}
}

static void writes(void)
{
	for (;;) {
		for (uint64_t i = 0; i < npages; i++)
			*(volatile uint64_t *)(LOGGED_GPA + (first_page + i) * PAGE) += 1;
		GUEST_SYNC(0);
	}
}

TEST(enabling)
{
	struct kvm_dirty_log log = { .slot = SLOT };
	struct kvm_clear_dirty_log clear = { .slot = SLOT };
	struct vm *vm, *late;
	uint64_t bitmap[PAGES / 64];

	require_cap(KVM_CAP_DIRTY_LOG_RING);
	TEST_ASSERT_EQ(kvm_cap(KVM_CAP_DIRTY_LOG_RING), MAX_BYTES);
	vm = vm_create();
	ioctl_fails(vm->fd, KVM_RESET_DIRTY_RINGS, 0, EINVAL);
	TEST_ASSERT(enable(vm, KVM_CAP_DIRTY_LOG_RING, 0) == -1 && errno == EINVAL, "no size");
	TEST_ASSERT(enable(vm, KVM_CAP_DIRTY_LOG_RING, 0x3000) == -1 && errno == EINVAL, "12 KiB");
	TEST_ASSERT(enable(vm, KVM_CAP_DIRTY_LOG_RING, 512) == -1 && errno == EINVAL, "small");
	TEST_ASSERT(enable(vm, KVM_CAP_DIRTY_LOG_RING, 1ull << 32) == -1, "a size of 64 bits");
	TEST_ASSERT(enable(vm, KVM_CAP_DIRTY_LOG_RING, 2 * MAX_BYTES) == -1 && errno == E2BIG, "big");
	ioctl_fails(vm->fd, KVM_RESET_DIRTY_RINGS, 0, EINVAL);
	TEST_ASSERT_EQ(enable(vm, KVM_CAP_DIRTY_LOG_RING, MAX_BYTES), 0);
	TEST_ASSERT(enable(vm, KVM_CAP_DIRTY_LOG_RING, MAX_BYTES) == -1 && errno == EINVAL, "twice");
	vm_add_mem(vm, SLOT, LOGGED_GPA, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES);
	TEST_ASSERT_EQ(ioctl_ok(vm->fd, KVM_RESET_DIRTY_RINGS, 0), 0);
	/* The log is the rings'. */
	log.dirty_bitmap = clear.dirty_bitmap = bitmap;
	clear.num_pages = PAGES;
	ioctl_fails(vm->fd, KVM_GET_DIRTY_LOG, &log, ENXIO);
	ioctl_fails(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear, ENXIO);

	late = vm_create();
	vcpu_add(late, 0, writes);
	TEST_ASSERT(enable(late, KVM_CAP_DIRTY_LOG_RING, MAX_BYTES) == -1 && errno == EINVAL, "late");
}

TEST(mapping)
{
	struct vcpu *v = vcpu_add(ring_vm(65536), 0, writes);
	struct vcpu *without = guest_of(writes);
	off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE;
	char *p;

	TEST_ASSERT(mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_SHARED, v->fd, at) == MAP_FAILED &&
		    errno == EINVAL, "executable");
	TEST_ASSERT(mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, v->fd, at) == MAP_FAILED &&
		    errno == EINVAL, "private");
	TEST_ASSERT(mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, v->fd, at - PAGE) == MAP_FAILED,
		    "private, and begins before it");
	map_ring(v, 65536);
	/* Nothing behind it, and no ring where none was asked for. */
	for (int i = 0; i < 2; i++) {
		int pid = spawn();

		if (!pid) {
			p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, i ? without->fd : v->fd,
				 i ? at : at + 65536);
			TEST_ASSERT(p != MAP_FAILED, "mmap");
			signal(SIGBUS, SIG_DFL);
			*(volatile char *)p;
			pass();
		}
		int status;

		TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
		TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "%#x", status);
	}
}

TEST(written_pages_are_in_it)
{
	uint8_t seen[PAGES] = { };
	struct kvm_dirty_gfn *ring;
	uint32_t next = 0;
	struct vcpu *v;

	first_page = 100;
	npages = 70;
	v = vcpu_add(ring_vm(65536), 0, writes);
	ring = map_ring(v, 65536);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(harvest(ring, 65536, &next, seen), 70);
	for (int i = 0; i < PAGES; i++)
		TEST_ASSERT_EQ(seen[i], i >= 100 && i < 170);
	/* Writable until they are given back. */
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(harvest(ring, 65536, &next, NULL), 0);
	TEST_ASSERT_EQ(ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0), 70);
	TEST_ASSERT_EQ(ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0), 0);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(harvest(ring, 65536, &next, seen), 70);
	for (int i = 0; i < PAGES; i++)
		TEST_ASSERT_EQ(seen[i], i >= 100 && i < 170 ? 2 : 0);
}

static void reads_port(void)
{
	void *to = (void *)(LOGGED_GPA + 5 * PAGE);
	uint64_t n = 4;

	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x80) : "memory");
	GUEST_DONE();
}

TEST(emulated_writes_are_in_it)
{
	uint8_t seen[PAGES] = { };
	struct kvm_dirty_gfn *ring;
	uint32_t next = 0;
	struct vcpu *v;

	v = vcpu_add(ring_vm(65536), 0, reads_port);
	ring = map_ring(v, 65536);
	vcpu_expect_exit(v, KVM_EXIT_IO);
	vcpu_expect_done(v);
	harvest(ring, 65536, &next, seen);
	TEST_ASSERT(seen[5], "the page that INS wrote");
}

TEST(full_ring)
{
	const uint64_t bytes = 16384;	/* what is least where the CPU logs pages itself */
	unsigned int n, total = 0, exits = 0;
	uint8_t seen[PAGES] = { };
	struct kvm_dirty_gfn *ring;
	uint32_t next = 0;
	struct vcpu *v;

	first_page = 0;
	npages = PAGES;
	v = vcpu_add(ring_vm(bytes), 0, writes);
	ring = map_ring(v, bytes);
	while (vcpu_next(v) == UCALL_NONE) {
		TEST_ASSERT_EQ(v->run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
		exits++;
		/* Not before user space has seen to it. */
		vcpu_expect_exit(v, KVM_EXIT_DIRTY_RING_FULL);
		n = harvest(ring, bytes, &next, seen);
		TEST_ASSERT(n && n <= bytes / ENTRY, "%u of %lu", n, bytes / ENTRY);
		vcpu_expect_exit(v, KVM_EXIT_DIRTY_RING_FULL);
		TEST_ASSERT_EQ(ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0), n);
		total += n;
	}
	total += harvest(ring, bytes, &next, seen);
	TEST_ASSERT(exits, "no exit for a full ring");
	/* The write that filled the ring has not been done yet: its page comes once more. */
	TEST_ASSERT(total <= PAGES + exits, "%u pages, %u exits", total, exits);
	for (int i = 0; i < PAGES; i++)
		TEST_ASSERT(seen[i], "page %d", i);
}

/* Whatever user space writes into it: at most what was in it is reset, and the guest goes on. */
TEST(scribbled_ring)
{
	struct kvm_dirty_gfn *ring;
	struct vcpu *v;
	int n;

	require_cap(KVM_CAP_DIRTY_LOG_RING);
	TEST_REQUIRE(kvm_is_okvm(), "KVM's reset goes on past what is in the ring");
	first_page = 0;
	npages = 40;
	v = vcpu_add(ring_vm(65536), 0, writes);
	ring = map_ring(v, 65536);
	for (int round = 0; round < 50; round++) {
		vcpu_expect_sync(v, 0);
		for (unsigned int i = 0; i < 65536 / ENTRY; i++) {
			ring[i].flags = i % 7 ? RESET : ~0u;
			ring[i].slot = i % 3 ? SLOT : i * 0x9e3779b9;
			ring[i].offset = i % 5 ? i : ~0ull - i;
		}
		n = ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
		TEST_ASSERT(n <= 40, "%d pages of 40", n);
		memset(ring, 0, 65536);
	}
}

struct racer {
	struct vcpu *v;
	struct kvm_dirty_gfn *ring;
	uint64_t bytes, *now, copy[PAGES];
	bool stop;
};

/* As migration does: copy what is dirty, after the reset, while the guest goes on. */
static void copy_dirty(struct racer *r, uint32_t *next)
{
	uint8_t seen[PAGES] = { };

	if (!harvest(r->ring, r->bytes, next, seen))
		return;
	ioctl_ok(r->v->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
	for (int i = 0; i < PAGES; i++)
		if (seen[i])
			r->copy[i] = __atomic_load_n(&r->now[i * PAGE / 8], __ATOMIC_SEQ_CST);
}

static void *collect(void *arg)
{
	struct racer *r = arg;
	uint32_t next = 0;

	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST))
		copy_dirty(r, &next);
	copy_dirty(r, &next);
	return NULL;
}

TEST_TIMEOUT(nothing_is_lost_while_the_guest_runs, 60)
{
	static struct racer r;
	pthread_t thread;
	int syncs = 0;

	first_page = 0;
	npages = PAGES;
	r.bytes = 16384;
	r.v = vcpu_add(ring_vm(r.bytes), 0, writes);
	r.ring = map_ring(r.v, r.bytes);
	r.now = vm_hva(r.v->vm, LOGGED_GPA);
	TEST_ASSERT(!pthread_create(&thread, NULL, collect, &r), "pthread_create");
	while (syncs < ROUNDS) {
		if (vcpu_next(r.v) == UCALL_SYNC)
			syncs++;
		else
			TEST_ASSERT_EQ(r.v->run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	for (int i = 0; i < PAGES; i++) {
		TEST_ASSERT_EQ(r.now[i * PAGE / 8], ROUNDS);
		TEST_ASSERT_EQ(r.copy[i], ROUNDS);
	}
}

/* Slots come and go, and logs with them, while pages of theirs wait in the ring. */
TEST(slots_change_meanwhile)
{
	struct kvm_dirty_gfn *ring;
	uint32_t next = 0;
	struct vcpu *v;
	void *hva;

	first_page = 0;
	npages = 100;
	v = vcpu_add(ring_vm(65536), 0, writes);
	ring = map_ring(v, 65536);
	hva = vm_hva(v->vm, LOGGED_GPA);
	for (int i = 0; i < 10; i++) {
		vcpu_expect_sync(v, 0);
		TEST_ASSERT_EQ(vm_set_slot(v->vm, SLOT, LOGGED_GPA, PAGES * PAGE, 0, hva), 0);
		TEST_ASSERT(harvest(ring, 65536, &next, NULL) <= 100, "too many");
		ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
		vcpu_expect_sync(v, 0);
		TEST_ASSERT_EQ(harvest(ring, 65536, &next, NULL), 0);
		TEST_ASSERT_EQ(vm_set_slot(v->vm, SLOT, LOGGED_GPA, 0, 0, NULL), 0);
		ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
		TEST_ASSERT_EQ(vm_set_slot(v->vm, SLOT, LOGGED_GPA, PAGES * PAGE,
					   KVM_MEM_LOG_DIRTY_PAGES, hva), 0);
	}
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(harvest(ring, 65536, &next, NULL), 100);
}

/* KVM_DIRTY_LOG_INITIALLY_SET is of bitmaps: no page is held to be in a ring already. */
TEST(initially_set_does_not_matter)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	};
	struct kvm_dirty_gfn *ring;
	uint32_t next = 0;
	struct vcpu *v;
	struct vm *vm;

	require_cap(KVM_CAP_DIRTY_LOG_RING);
	TEST_REQUIRE(kvm_is_okvm(), "KVM's rings miss what was mapped when logging began");
	first_page = 0;
	npages = 10;
	vm = vm_create();
	ioctl_ok(vm->fd, KVM_ENABLE_CAP, &cap);
	vm_add_mem(vm, SLOT, LOGGED_GPA, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES);
	TEST_ASSERT_EQ(enable(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536), 0);
	v = vcpu_add(vm, 0, writes);
	ring = map_ring(v, 65536);
	vcpu_expect_sync(v, 0);
	TEST_ASSERT_EQ(harvest(ring, 65536, &next, NULL), 10);
}

static uint64_t *page_of(struct vm *vm, unsigned int page)
{
	return vm_hva(vm, LOGGED_GPA + page * PAGE);
}

/*
 * Ioctls write guest memory too, and nobody empties the ring between them. What it has no room for
 * is not written: a page is in the ring, or as it was.
 */
TEST(ioctls_fill_it)
{
	/* One entry is left for word of a preemption. */
	const uint64_t bytes = 4096, room = bytes / ENTRY - 1;
	uint8_t seen[PAGES] = { };
	struct kvm_dirty_gfn *ring;
	uint32_t next = 0;
	struct vcpu *v;

	require_cap(KVM_CAP_DIRTY_LOG_RING);
	TEST_REQUIRE(kvm_is_okvm(), "KVM warns in its log, and goes on past the ring");
	first_page = npages = 0;
	v = vcpu_add(ring_vm(bytes), 0, writes);
	ring = map_ring(v, bytes);
	vcpu_expect_sync(v, 0);
	for (int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < PAGES; i++)
			vcpu_set_msr(v, MSR_KVM_WALL_CLOCK_NEW, LOGGED_GPA + i * PAGE);
		vcpu_expect_exit(v, KVM_EXIT_DIRTY_RING_FULL);
		TEST_ASSERT_EQ(harvest(ring, bytes, &next, seen), room);
		for (unsigned int i = 0; i < PAGES; i++) {
			TEST_ASSERT_EQ(!!seen[i], i < room);
			TEST_ASSERT_EQ(!!*page_of(v->vm, i), i < room);
		}
		TEST_ASSERT_EQ(ioctl_ok(v->vm->fd, KVM_RESET_DIRTY_RINGS, 0), room);
	}
	vcpu_expect_sync(v, 0);
}
