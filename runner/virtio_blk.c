// SPDX-License-Identifier: GPL-2.0-only
/* virtio block device on a file or block device. Requests are carried out in the disk's thread. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/virtio_blk.h>

#include "devices.h"
#include "report.h"

#define SECTOR_SHIFT	9
#define MAX_RANGES	16U			/* of one discard or write-zeroes request */
#define MAX_SECTORS	(1U << 22)		/* of one range: 2 GiB */
#define SEG_MAX		(CHAIN_MAX_SEGMENTS - 2)	/* less header and status */

/**
 * struct blk - a disk
 * @fd: file or block device, locked against other users
 * @size: its size in bytes, a multiple of a sector
 * @config: as the guest sees it
 */
struct blk {
	struct virtio_device virtio;
	int fd;
	bool read_only;
	uint64_t size;
	struct virtio_blk_config config;
};

static bool inside(const struct blk *blk, uint64_t sector, uint64_t length)
{
	uint64_t capacity = blk->size >> SECTOR_SHIFT;

	return sector <= capacity && length <= (capacity - sector) << SECTOR_SHIFT;
}

/* All of it, however many calls that takes. Return: whether it worked. */
static bool transfer(const struct blk *blk, const struct iovec *iov, unsigned int n, size_t size,
		     uint64_t sector, bool write)
{
	off_t position = (off_t)(sector << SECTOR_SHIFT);
	struct iovec left[CHAIN_MAX_SEGMENTS];
	size_t done = 0;

	while (done < size) {
		unsigned int nr = iov_slice(iov, n, done, size - done, left);
		ssize_t got = write ? pwritev(blk->fd, left, (int)nr, position + (off_t)done)
				    : preadv(blk->fd, left, (int)nr, position + (off_t)done);

		if (got < 0 && errno == EINTR && !blk->virtio.loop.stopping)
			continue;
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static uint8_t read_sectors(const struct blk *blk, const struct chain *chain, uint64_t sector)
{
	size_t size = chain->in_size - 1;

	if (size % (1 << SECTOR_SHIFT) || !inside(blk, sector, size) ||
	    !transfer(blk, chain->iov + chain->nr_out, chain->nr_in, size, sector, false))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t write_sectors(const struct blk *blk, const struct chain *chain, uint64_t sector)
{
	size_t header = sizeof(struct virtio_blk_outhdr), size = chain->out_size - header;
	struct iovec data[CHAIN_MAX_SEGMENTS];
	unsigned int n = iov_slice(chain->iov, chain->nr_out, header, size, data);

	if (size % (1 << SECTOR_SHIFT) || !inside(blk, sector, size) ||
	    !transfer(blk, data, n, size, sector, true))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t clear_range(const struct blk *blk, uint32_t type,
			   const struct virtio_blk_discard_write_zeroes *range)
{
	uint64_t length = (uint64_t)range->num_sectors << SECTOR_SHIFT;
	bool unmap = range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	int mode = FALLOC_FL_KEEP_SIZE;

	if (range->flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP ||
	    (unmap && type == VIRTIO_BLK_T_DISCARD))
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > MAX_SECTORS || !inside(blk, range->sector, length))
		return VIRTIO_BLK_S_IOERR;
	mode |= unmap || type == VIRTIO_BLK_T_DISCARD ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	if (!length || !fallocate(blk->fd, mode, (off_t)(range->sector << SECTOR_SHIFT),
				  (off_t)length))
		return VIRTIO_BLK_S_OK;
	/* A discard is only advice. */
	return type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t clear_ranges(const struct blk *blk, const struct chain *chain, uint32_t type)
{
	struct virtio_blk_discard_write_zeroes range;
	size_t at = sizeof(struct virtio_blk_outhdr), size = chain->out_size - at;
	uint8_t status = VIRTIO_BLK_S_OK;

	if (!size || size % sizeof(range) || size / sizeof(range) > MAX_RANGES)
		return VIRTIO_BLK_S_IOERR;
	for (; at < chain->out_size && status == VIRTIO_BLK_S_OK; at += sizeof(range)) {
		chain_read(chain, at, &range, sizeof(range));
		status = clear_range(blk, type, &range);
	}
	return status;
}

static uint8_t tell_id(const struct blk *blk, const struct chain *chain)
{
	char id[VIRTIO_BLK_ID_BYTES] = "okvm";
	size_t size = chain->in_size - 1;

	(void)blk;
	chain_write(chain, 0, id, size < sizeof(id) ? size : sizeof(id));
	return VIRTIO_BLK_S_OK;
}

static uint8_t carry_out(const struct blk *blk, const struct chain *chain,
			 const struct virtio_blk_outhdr *header)
{
	bool writes = header->type == VIRTIO_BLK_T_OUT || header->type == VIRTIO_BLK_T_DISCARD ||
		      header->type == VIRTIO_BLK_T_WRITE_ZEROES;

	if (writes && blk->read_only)
		return VIRTIO_BLK_S_IOERR;
	switch (header->type) {
	case VIRTIO_BLK_T_IN:
		return read_sectors(blk, chain, header->sector);
	case VIRTIO_BLK_T_OUT:
		return write_sectors(blk, chain, header->sector);
	case VIRTIO_BLK_T_FLUSH:
		return fdatasync(blk->fd) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return clear_ranges(blk, chain, header->type);
	case VIRTIO_BLK_T_GET_ID:
		return tell_id(blk, chain);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* A request is a header to read, data either way, and a last byte to write the status into. */
static uint32_t serve(struct virtio_device *device, const struct chain *chain)
{
	struct blk *blk = (struct blk *)device;
	struct virtio_blk_outhdr header;
	uint8_t status;

	if (!chain->in_size || chain_read(chain, 0, &header, sizeof(header)) < sizeof(header))
		return 0;	/* nowhere to tell, or nothing to do */
	status = carry_out(blk, chain, &header);
	chain_write(chain, chain->in_size - 1, &status, 1);
	return chain->in_size > UINT32_MAX ? UINT32_MAX : (uint32_t)chain->in_size;
}

static void destroy(struct virtio_device *device)
{
	struct blk *blk = (struct blk *)device;

	if (blk->fd > 0)
		close(blk->fd);
}

static const struct virtio_ops blk_ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.class = 0x018000,
	.nr_queues = 1,
	.features = 1ULL << VIRTIO_BLK_F_SEG_MAX | 1ULL << VIRTIO_BLK_F_FLUSH |
		    1ULL << VIRTIO_BLK_F_BLK_SIZE,
	.serve = serve,
	.destroy = destroy,
};

static int find_size(struct blk *blk, const char *path)
{
	struct stat st;

	if (fstat(blk->fd, &st)) {
		report("%s: %s", path, strerror(errno));
		return -1;
	}
	if (S_ISREG(st.st_mode)) {
		blk->size = (uint64_t)st.st_size;
	} else if (!S_ISBLK(st.st_mode) || ioctl(blk->fd, BLKGETSIZE64, &blk->size)) {
		report("%s: neither a file nor a block device", path);
		return -1;
	}
	if (!blk->size || blk->size % (1 << SECTOR_SHIFT)) {
		report("%s: its size, %llu bytes, is not a number of 512-byte sectors; "
		       "truncate -s sets it", path, (unsigned long long)blk->size);
		return -1;
	}
	return 0;
}

static int open_disk(struct blk *blk, const struct disk_option *option)
{
	blk->read_only = option->read_only;
	blk->fd = open(option->path, (option->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (blk->fd < 0) {
		report("%s: %s%s", option->path, strerror(errno),
		       !option->read_only && (errno == EACCES || errno == EROFS)
		       ? "; add ,ro to use it read-only" : "");
		return -1;
	}
	/* Two machines writing to one file system destroy it. */
	if (flock(blk->fd, (option->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) &&
	    errno == EWOULDBLOCK) {
		report("%s: in use by another process", option->path);
		return -1;
	}
	return find_size(blk, option->path);
}

static void fill_config(struct blk *blk)
{
	struct virtio_blk_config *config = &blk->config;

	config->capacity = blk->size >> SECTOR_SHIFT;
	config->seg_max = SEG_MAX;
	config->blk_size = 1 << SECTOR_SHIFT;
	if (blk->read_only) {
		blk->virtio.features |= 1ULL << VIRTIO_BLK_F_RO;
		return;
	}
	blk->virtio.features |= 1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	config->max_discard_sectors = config->max_write_zeroes_sectors = MAX_SECTORS;
	config->max_discard_seg = config->max_write_zeroes_seg = MAX_RANGES;
	config->discard_sector_alignment = 8;
	config->write_zeroes_may_unmap = 1;
}

/**
 * blk_add - add a disk
 * @vm: the VM
 * @pci: the bus
 * @option: which file or block device
 * @list: the machine's devices
 *
 * Return: 0, or -1 after a report.
 */
int blk_add(struct vm *vm, struct pci *pci, const struct disk_option *option,
	    struct virtio_device **list)
{
	struct blk *blk = virtio_alloc(&blk_ops, vm, sizeof(*blk), list);

	if (!blk || open_disk(blk, option))
		return -1;
	fill_config(blk);
	return virtio_create(&blk->virtio, pci, &blk->config, sizeof(blk->config));
}
