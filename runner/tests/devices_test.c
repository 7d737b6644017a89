// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices against a guest that does whatever it likes: random port and memory accesses, drivers
 * that start well and then put anything into the rings. What must not happen is for ASan and UBSan
 * to see; what must still happen afterwards is that a well-behaved driver gets its work done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>

#include "../devices.h"
#include "../machine.h"
#include "../virtio_net.h"
#include "tap.h"

#define RAM		(1U << 20)
#define DISK_SIZE	(1U << 16)
#define BAR0(slot)	((uint32_t)PCI_MEM_START + (slot) * 0x10000)
#define BAR2(slot)	(PCI_IO_START + (slot) * 0x100)
#define TABLE_OFFSET	0x3000U

enum { SLOT_BLK = 1, SLOT_NET, SLOT_RNG, SLOT_CONSOLE, SLOT_END };

static struct machine machine;
static struct console hvc_console;
static unsigned int interrupts, ends;
static const char *disk_path;

/* What the devices call of the parts that need a hypervisor or a terminal. */
void irq_set(struct vm *vm, unsigned int gsi, bool level)
{
	(void)vm;
	(void)gsi;
	interrupts += level;
}

int irq_route_msi(struct vm *vm, int gsi, int event_fd, uint64_t address, uint32_t data)
{
	(void)vm;
	(void)event_fd;
	(void)address;
	(void)data;
	return gsi < 0 ? 24 : gsi;
}

void vm_finish(struct vm *vm, enum vm_end end, int value)
{
	(void)vm;
	(void)end;
	(void)value;
	ends++;
}

void terminal_write(struct terminal *terminal, const uint8_t *bytes, size_t n)
{
	(void)terminal;
	(void)bytes;
	(void)n;
}

void terminal_has_room(struct terminal *terminal)
{
	(void)terminal;
}

static int null_open(struct net *net, const char *name)
{
	(void)net;
	(void)name;
	return 0;
}

static void echo(struct net *net, const uint8_t *frame, size_t size)
{
	(void)net;
	if (size > NET_MAX_FRAME || !frame)
		abort();
}

static void null_close(struct net *net)
{
	(void)net;
}

const struct net_backend tap_backend = { null_open, echo, NULL, NULL, null_close };
const struct net_backend slirp_backend = { null_open, echo, NULL, NULL, null_close };

static void out(uint16_t port, uint32_t value, unsigned int len)
{
	bus_write(&machine.vm.ports, port, &value, len);
}

static uint32_t in(uint16_t port, unsigned int len)
{
	uint32_t value = 0;

	bus_read(&machine.vm.ports, port, &value, len);
	return value;
}

static void mmio_write(uint64_t address, uint64_t value, unsigned int len)
{
	bus_write(&machine.vm.mmio, address, &value, len);
}

static uint64_t mmio_read(uint64_t address, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&machine.vm.mmio, address, &value, len);
	return value;
}

static void config_write(unsigned int slot, unsigned int offset, uint32_t value, unsigned int len)
{
	out(0xcf8, 1U << 31 | slot << 11 | (offset & 0xfc), 4);
	out((uint16_t)(0xcfc + (offset & 3)), value, len);
}

static uint32_t config_read(unsigned int slot, unsigned int offset)
{
	out(0xcf8, 1U << 31 | slot << 11 | (offset & 0xfc), 4);
	return in((uint16_t)(0xcfc + (offset & 3)), 4);
}

static void create(void)
{
	struct options opts = { .disks = { { (char *)disk_path, false } }, .net = NET_USER };
	struct vm *vm = &machine.vm;

	vm->fd = -1;
	vm->mem = (struct memory){ malloc(RAM), RAM, RAM };
	memset(vm->mem.host, 0, RAM);
	serial_init(&machine.serial, vm, &machine.terminal);
	pm_init(&machine.pm, vm);
	rtc_init(&machine.rtc, vm);
	pci_init(&machine.pci, &vm->ports, &vm->mmio);
	if (blk_add(vm, &machine.pci, &opts.disks[0], &machine.virtio) ||
	    net_add(vm, &machine.pci, &opts, &machine.virtio) ||
	    rng_add(vm, &machine.pci, &machine.virtio) ||
	    hvc_add(vm, &machine.pci, &machine.terminal, &hvc_console, &machine.virtio))
		exit(1);
	for (struct virtio_device *device = machine.virtio; device; device = device->next)
		if (virtio_start(device))
			exit(1);
}

static void destroy(void)
{
	while (machine.virtio) {
		struct virtio_device *device = machine.virtio;

		machine.virtio = device->next;
		virtio_stop(device);
		virtio_destroy(device);
	}
	free(machine.vm.mem.host);
}

/* As firmware left it, whatever was done to the device before. */
static void enable_decoding(unsigned int slot)
{
	config_write(slot, PCI_COMMAND, 0, 2);
	config_write(slot, PCI_BASE_ADDRESS_0, BAR0(slot), 4);
	config_write(slot, PCI_BASE_ADDRESS_2, BAR2(slot), 4);
	config_write(slot, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
		     2);
}

static void set_up_queue(unsigned int slot, unsigned int number, uint16_t size, uint32_t at)
{
	uint64_t bar = BAR0(slot);

	mmio_write(bar + VIRTIO_PCI_COMMON_Q_SELECT, number, 2);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_MSIX, number, 2);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_DESCLO, at, 4);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_AVAILLO, at + 0x1000, 4);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_USEDLO, at + 0x2000, 4);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static uint8_t start_driver(unsigned int slot, uint64_t features)
{
	uint64_t bar = BAR0(slot);

	enable_decoding(slot);
	mmio_write(bar + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	mmio_write(bar + VIRTIO_PCI_COMMON_STATUS, 3, 1);
	for (uint32_t i = 0; i < 2; i++) {
		mmio_write(bar + VIRTIO_PCI_COMMON_GFSELECT, i, 4);
		mmio_write(bar + VIRTIO_PCI_COMMON_GF, features >> (32 * i), 4);
	}
	mmio_write(bar + VIRTIO_PCI_COMMON_STATUS, 11, 1);
	return (uint8_t)mmio_read(bar + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void test_enumeration(void)
{
	ok(config_read(0, 0) == 0x0d578086, "host bridge");
	ok(config_read(SLOT_BLK, 0) == 0x10421af4, "disk");
	ok(config_read(SLOT_NET, 0) == 0x10411af4, "network");
	ok(config_read(SLOT_RNG, 0) == 0x10441af4, "random numbers");
	ok(config_read(SLOT_CONSOLE, 0) == 0x10431af4, "console");
	ok(config_read(SLOT_END, 0) == 0xffffffff, "and nothing else");
	config_write(SLOT_BLK, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	ok(config_read(SLOT_BLK, PCI_BASE_ADDRESS_0) == 0xffffc000, "size of a memory BAR");
	config_write(SLOT_BLK, PCI_BASE_ADDRESS_2, 0xffffffff, 4);
	ok(config_read(SLOT_BLK, PCI_BASE_ADDRESS_2) == 0xffffffc1, "size of an I/O BAR");
	ok(mmio_read(BAR0(SLOT_BLK), 4) == 0xffffffff, "no decoding before it is enabled");
	config_write(SLOT_BLK, 0, 0x12345678, 4);
	ok(config_read(SLOT_BLK, 0) == 0x10421af4, "identity is read-only");
}

static void test_features(void)
{
	ok(start_driver(SLOT_RNG, 1ULL << VIRTIO_F_VERSION_1) == 11, "features that are offered");
	ok(start_driver(SLOT_RNG, 0) == 3, "without VERSION_1 there is no agreement");
	ok(start_driver(SLOT_RNG, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 50) == 3,
	   "nor with features that are not offered");
}

/* A disk driver: returns the status byte, 0xff if none came in ten seconds. */
static uint8_t disk_request(uint32_t type, uint64_t sector, uint32_t data_size)
{
	uint8_t *ram = machine.vm.mem.host;
	struct vring_desc *desc = (struct vring_desc *)(ram + 0x10000);
	uint16_t *avail = (uint16_t *)(ram + 0x11000);
	volatile uint16_t *used = (volatile uint16_t *)(ram + 0x12000);
	struct virtio_blk_outhdr *header = (struct virtio_blk_outhdr *)(ram + 0x20000);
	uint16_t data_flags = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;

	start_driver(SLOT_BLK, 1ULL << VIRTIO_F_VERSION_1);
	memset(ram + 0x10000, 0, 0x3000);
	set_up_queue(SLOT_BLK, 0, 8, 0x10000);
	mmio_write(BAR0(SLOT_BLK) + VIRTIO_PCI_COMMON_STATUS, 15, 1);
	*header = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	desc[0] = (struct vring_desc){ 0x20000, sizeof(*header), VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ 0x30000, data_size, data_flags | VRING_DESC_F_NEXT, 2 };
	desc[2] = (struct vring_desc){ 0x40000, 1, VRING_DESC_F_WRITE, 0 };
	ram[0x40000] = 0xff;
	__atomic_store_n(&avail[1], 1, __ATOMIC_SEQ_CST);
	out(BAR2(SLOT_BLK), 0, 2);
	for (int i = 0; i < 10000 && !used[1]; i++)
		usleep(1000);
	return used[1] ? ram[0x40000] : 0xff;
}

static void test_disk(void)
{
	uint8_t *data = machine.vm.mem.host + 0x30000;

	memset(data, 'A', 4096);
	ok(disk_request(VIRTIO_BLK_T_OUT, 8, 4096) == VIRTIO_BLK_S_OK, "write");
	memset(data, 0, 4096);
	ok(disk_request(VIRTIO_BLK_T_IN, 8, 4096) == VIRTIO_BLK_S_OK && data[0] == 'A' &&
	   data[4095] == 'A', "read back");
	ok(disk_request(VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK, "flush");
	ok(disk_request(VIRTIO_BLK_T_IN, DISK_SIZE / 512, 512) == VIRTIO_BLK_S_IOERR,
	   "read beyond the end");
	ok(disk_request(VIRTIO_BLK_T_OUT, DISK_SIZE / 512 - 1, 1024) == VIRTIO_BLK_S_IOERR,
	   "write across the end");
	ok(disk_request(VIRTIO_BLK_T_OUT, UINT64_MAX, 512) == VIRTIO_BLK_S_IOERR,
	   "sector that wraps");
	ok(disk_request(VIRTIO_BLK_T_OUT, 1ULL << 55, 512) == VIRTIO_BLK_S_IOERR,
	   "sector whose byte offset wraps");
	ok(disk_request(VIRTIO_BLK_T_IN, 0, 100) == VIRTIO_BLK_S_IOERR, "part of a sector");
	ok(disk_request(999, 0, 512) == VIRTIO_BLK_S_UNSUPP, "no such request");
}

static void test_broken_ring(void)
{
	uint8_t *ram = machine.vm.mem.host;
	uint8_t status = 0;

	disk_request(VIRTIO_BLK_T_FLUSH, 0, 0);
	*(uint16_t *)(ram + 0x11000 + 6) = 999;	/* second entry: no such descriptor */
	__atomic_store_n((uint16_t *)(ram + 0x11002), 2, __ATOMIC_SEQ_CST);
	out(BAR2(SLOT_BLK), 0, 2);
	for (int i = 0; i < 10000 && !(status & VIRTIO_CONFIG_S_NEEDS_RESET); i++) {
		usleep(1000);
		status = (uint8_t)mmio_read(BAR0(SLOT_BLK) + VIRTIO_PCI_COMMON_STATUS, 1);
	}
	ok(status & VIRTIO_CONFIG_S_NEEDS_RESET, "a broken ring asks for a reset");
	ok(disk_request(VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK, "and works after it");
}

static void test_ring_is_fixed(void)
{
	uint64_t bar = BAR0(SLOT_BLK);

	disk_request(VIRTIO_BLK_T_FLUSH, 0, 0);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_SIZE, 0xffff, 2);
	mmio_write(bar + VIRTIO_PCI_COMMON_Q_DESCLO, 0xfffffff0, 4);
	ok(mmio_read(bar + VIRTIO_PCI_COMMON_Q_SIZE, 2) == 8 &&
	   mmio_read(bar + VIRTIO_PCI_COMMON_Q_DESCLO, 4) == 0x10000,
	   "an enabled ring cannot be moved or resized");
}

static void test_console_input(void)
{
	static const uint8_t keys[3] = "key";
	uint8_t *ram = machine.vm.mem.host;
	struct vring_desc *desc = (struct vring_desc *)(ram + 0x10000);
	volatile uint16_t *used = (volatile uint16_t *)(ram + 0x12000);

	mmio_write(BAR0(SLOT_CONSOLE) + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	ok(!hvc_console.room(hvc_console.device), "no keys are taken before there is a driver");
	start_driver(SLOT_CONSOLE, 1ULL << VIRTIO_F_VERSION_1);
	memset(ram + 0x10000, 0, 0x3000);
	set_up_queue(SLOT_CONSOLE, 0, 8, 0x10000);
	desc[0] = (struct vring_desc){ 0x20000, 64, VRING_DESC_F_WRITE, 0 };
	*(uint16_t *)(ram + 0x11002) = 1;
	mmio_write(BAR0(SLOT_CONSOLE) + VIRTIO_PCI_COMMON_STATUS, 15, 1);
	ok(hvc_console.room(hvc_console.device) > sizeof(keys), "then there is room");
	hvc_console.input(hvc_console.device, keys, sizeof(keys));
	for (int i = 0; i < 10000 && !used[1]; i++)
		usleep(1000);
	ok(used[1] == 1 && used[4] == 3 && !memcmp(ram + 0x20000, keys, 3), "keys arrive");
}

static void random_registers(unsigned int rounds)
{
	static const uint16_t ports[] = { 0x3f8, 0x600, 0x70, 0xcf8, 0xcfc, PCI_IO_START };
	static const unsigned int lens[] = { 1, 2, 4, 8 };

	for (unsigned int i = 0; i < rounds; i++) {
		uint16_t port = (uint16_t)(ports[tap_random() % 6] + tap_random() % 12);
		uint64_t address = BAR0(tap_random() % SLOT_END) + tap_random() % 0x4010;
		unsigned int slot = 1 + (unsigned int)(tap_random() % (SLOT_END - 1));

		out(port, (uint32_t)tap_random(), lens[tap_random() % 3]);
		in(port, lens[tap_random() % 3]);
		mmio_write(address, tap_random(), lens[tap_random() % 4]);
		mmio_read(address, lens[tap_random() % 4]);
		config_write(slot, (unsigned int)(tap_random() % 256), (uint32_t)tap_random(),
			     lens[tap_random() % 3]);
		if (!(tap_random() % 16))
			enable_decoding(slot);
	}
}

/* Rings set up right, filled with anything, kicked. */
static void random_rings(unsigned int rounds)
{
	uint8_t *ram = machine.vm.mem.host;

	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int slot = 1 + (unsigned int)(tap_random() % (SLOT_END - 1));

		start_driver(slot, 1ULL << VIRTIO_F_VERSION_1 |
				   (tap_random() % 2) << VIRTIO_RING_F_EVENT_IDX);
		for (unsigned int queue = 0; queue < 2; queue++) {
			uint32_t at = 0x10000 + queue * 0x4000;
			struct vring_desc *desc = (struct vring_desc *)(ram + at);
			uint16_t *avail = (uint16_t *)(ram + at + 0x1000);

			for (unsigned int i = 0; i < 16; i++) {
				desc[i] = (struct vring_desc){ tap_random() % (RAM + 4096),
					(uint32_t)(tap_random() % 3000),
					(uint16_t)(tap_random() % 4),
					(uint16_t)(tap_random() % 17) };
				avail[2 + i] = (uint16_t)(tap_random() % 17);
			}
			avail[1] = (uint16_t)(tap_random() % 17);
			set_up_queue(slot, queue, 16, at);
		}
		mmio_write(BAR0(slot) + TABLE_OFFSET + tap_random() % 64, tap_random(), 4);
		mmio_write(BAR0(slot) + VIRTIO_PCI_COMMON_STATUS, 15, 1);
		out((uint16_t)(BAR2(slot) + 4 * (tap_random() % 3)), 0, 2);
		if (!(round % 64))
			usleep(100);
	}
}

static void test_hostile(void)
{
	random_registers(100000);
	ok(true, "random registers were survived");
	random_rings(5000);
	ok(true, "random rings were survived");
	ok(disk_request(VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK, "the disk still works");
	ok(ends > 0, "power-off and reset were among what it tried");
}

static void test_serial(void)
{
	static const uint8_t keys[3] = "abc";
	struct console console;

	serial_console(&machine.serial, &console);
	ok(!console.room(console.device), "no keys are taken before the guest listens");
	out(0x3f9, 0x0f, 1);
	ok(!console.room(console.device), "nor while a driver only probes the register");
	out(0x3f9, 0, 1);
	out(0x3fb, 3, 1);
	out(0x3fc, 0x0b, 1);
	out(0x3fa, 7, 1);
	interrupts = 0;
	out(0x3f9, 1, 1);
	ok(console.room(console.device) == SERIAL_FIFO, "room for a FIFO of keys");
	console.input(console.device, keys, sizeof(keys));
	ok(interrupts == 1 && (in(0x3fa, 1) & 0xf) == 4, "a key interrupts");
	ok(in(0x3f8, 1) == 'a' && in(0x3f8, 1) == 'b' && in(0x3fd, 1) & 1, "keys in order");
	ok(in(0x3f8, 1) == 'c' && !(in(0x3fd, 1) & 1) && in(0x3fa, 1) & 1, "then none");
	out(0x3fc, 0x1a, 1);
	ok((in(0x3fe, 1) & 0xf0) == 0x90, "loopback, as drivers probe for it");
}

int main(void)
{
	char path[] = "/tmp/okvm-test-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, DISK_SIZE) || !freopen("/dev/null", "w", stderr))
		return 1;
	close(fd);
	disk_path = path;
	create();
	unlink(path);
	test_enumeration();
	test_serial();
	test_features();
	test_disk();
	test_broken_ring();
	test_ring_is_fixed();
	test_console_input();
	test_hostile();
	destroy();
	return tap_end();
}
