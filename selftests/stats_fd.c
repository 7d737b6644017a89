// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: what it says of itself, and that the numbers move. */

#include "selftest.h"

#include <sys/stat.h>

struct stats {
	int fd;
	struct kvm_stats_header head;
	char id[64];
	char *desc;
	uint64_t *data;
	size_t desc_size;
};

static void load(struct stats *s, int fd)
{
	ssize_t size;

	TEST_ASSERT(fd >= 0, "KVM_GET_STATS_FD");
	s->fd = fd;
	TEST_ASSERT_EQ(read(fd, &s->head, sizeof(s->head)), sizeof(s->head));
	TEST_ASSERT_EQ(s->head.flags, 0);
	TEST_ASSERT(s->head.name_size <= sizeof(s->id), "names of %u bytes", s->head.name_size);
	TEST_ASSERT(s->head.num_desc > 0, "nothing is described");
	TEST_ASSERT_EQ(pread(fd, s->id, s->head.name_size, s->head.id_offset), s->head.name_size);
	s->desc_size = sizeof(struct kvm_stats_desc) + s->head.name_size;
	size = s->desc_size * s->head.num_desc;
	s->desc = malloc(size);
	TEST_ASSERT_EQ(pread(fd, s->desc, size, s->head.desc_offset), size);
	s->data = malloc(sizeof(uint64_t) * s->head.num_desc);
}

static struct kvm_stats_desc *describes(struct stats *s, unsigned int i)
{
	return (void *)(s->desc + i * s->desc_size);
}

/* Each description is sound and no name comes twice; the data end where they should. */
static void check(struct stats *s)
{
	size_t size = sizeof(uint64_t) * s->head.num_desc;

	for (unsigned int i = 0; i < s->head.num_desc; i++) {
		struct kvm_stats_desc *d = describes(s, i);

		TEST_ASSERT((d->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX, "type");
		TEST_ASSERT_EQ(d->offset % sizeof(uint64_t), 0);
		TEST_ASSERT(d->size > 0 && d->name[0], "empty");
		for (unsigned int j = 0; j < i; j++)
			TEST_ASSERT(strcmp(d->name, describes(s, j)->name), "%s comes twice",
				    d->name);
	}
	/* Upstream's histograms have more than a number each. */
	TEST_ASSERT(pread(s->fd, s->data, size, s->head.data_offset) == (ssize_t)size, "data");
	TEST_ASSERT_EQ(pread(s->fd, s->data, 1, 1 << 20), 0);
	TEST_ASSERT(write(s->fd, s->data, 1) == -1 && errno == EBADF, "it can be written");
}

static uint64_t value(struct stats *s, const char *name)
{
	uint64_t v;

	for (unsigned int i = 0; i < s->head.num_desc; i++) {
		struct kvm_stats_desc *d = describes(s, i);

		if (strcmp(d->name, name))
			continue;
		TEST_ASSERT_EQ(pread(s->fd, &v, sizeof(v), s->head.data_offset + d->offset),
			       sizeof(v));
		return v;
	}
	TEST_ASSERT(0, "there is no %s", name);
	return 0;
}

static void syncs(void)
{
	for (uint64_t i = 0;; i++)
		GUEST_SYNC(i);
}

TEST(vcpu)
{
	struct vcpu *v = guest_of(syncs);
	struct stats s;
	uint64_t before;

	require_cap(KVM_CAP_BINARY_STATS_FD);
	load(&s, ioctl(v->fd, KVM_GET_STATS_FD, NULL));
	check(&s);
	before = value(&s, "exits");
	for (int i = 0; i < 10; i++)
		vcpu_expect_sync(v, i);
	TEST_ASSERT(value(&s, "exits") >= before + 10, "exits are not counted");
	TEST_ASSERT(value(&s, "io_exits") >= 10, "port accesses are not counted");
}

TEST(vm)
{
	struct vm *vm = vm_create();
	struct stats s;

	require_cap(KVM_CAP_BINARY_STATS_FD);
	load(&s, ioctl(vm->fd, KVM_GET_STATS_FD, NULL));
	check(&s);
	/* The fd holds the VM. */
	TEST_ASSERT(!close(vm->fd), "close");
	check(&s);
}

TEST(table_memory)
{
	struct vcpu *v = guest_of(syncs);
	uint64_t at_first;
	struct stats s;

	require_cap(KVM_CAP_BINARY_STATS_FD);
	TEST_REQUIRE(kvm_is_okvm(), "a statistic of okvm");
	load(&s, ioctl(v->vm->fd, KVM_GET_STATS_FD, NULL));
	at_first = value(&s, "mmu_table_pages");
	/* Real mode as a task has a few pages of its own. */
	TEST_ASSERT_EQ(at_first > 0, host_is_restricted());
	vcpu_expect_sync(v, 0);
	TEST_ASSERT(value(&s, "mmu_table_pages") > at_first + 1, "tables are not counted");
}
