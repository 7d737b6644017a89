// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O and MMIO: first the devices in the kernel, then user space.
 *
 * An instruction that reads from user space's device stops (IO_PENDING) and runs again from its
 * start once the data is there; reads then find their data in program order. Writes are queued
 * while it runs and shown to user space after it, one exit for each piece of at most 8 bytes
 * within a page.
 */
#include <linux/kvm.h>

#include "io.h"
#include "vmm.h"

/** okvm_io_begin - a new instruction: forget the last one's accesses */
void okvm_io_begin(struct okvm_vcpu *vcpu)
{
	struct okvm_io_state *io = &vcpu->io;

	io->n = io->n_read = io->ready = io->cursor = 0;
	io->pio.active = false;
}

static struct okvm_mmio_piece *add_piece(struct okvm_io_state *io, u64 gpa, unsigned int len)
{
	struct okvm_mmio_piece *piece;

	if (io->n == ARRAY_SIZE(io->pieces))
		return NULL;
	piece = &io->pieces[io->n++];
	piece->gpa = gpa;
	piece->len = len;
	return piece;
}

static enum okvm_io_status read_piece(struct okvm_vcpu *vcpu, u64 gpa, unsigned int len, void *buf)
{
	struct okvm_io_state *io = &vcpu->io;
	struct okvm_mmio_piece *piece;

	if (io->cursor < io->ready) {
		piece = &io->pieces[io->cursor++];
		/* The guest changed its page tables meanwhile: any data is as right as another. */
		memcpy(buf, piece->data, len);
		return IO_DONE;
	}
	piece = add_piece(io, gpa, len);
	if (!piece)
		return IO_TOO_MANY;
	io->n_read = io->n;
	if (okvm_mmio_read(vcpu, gpa, len, piece->data))
		return IO_PENDING;
	/* Kept as well: a later read may make this one run again, the device is read once. */
	io->ready = io->cursor = io->n;
	memcpy(buf, piece->data, len);
	return IO_DONE;
}

static enum okvm_io_status write_piece(struct okvm_vcpu *vcpu, u64 gpa, unsigned int len,
				       const void *buf)
{
	struct okvm_mmio_piece *piece;

	if (!okvm_mmio_write(vcpu, gpa, len, buf))
		return IO_DONE;
	piece = add_piece(&vcpu->io, gpa, len);
	if (!piece)
		return IO_TOO_MANY;
	memcpy(piece->data, buf, len);
	return IO_DONE;
}

/**
 * okvm_io_mmio_read - read from a device by physical address, within one page
 * @vcpu: the vCPU
 * @gpa: guest physical address
 * @len: bytes, up to 64
 * @buf: where to
 *
 * Context: the vCPU's thread.
 * Return: IO_DONE; IO_PENDING: user space must supply it, nothing was read; IO_TOO_MANY.
 */
enum okvm_io_status okvm_io_mmio_read(struct okvm_vcpu *vcpu, u64 gpa, unsigned int len, void *buf)
{
	enum okvm_io_status status = IO_DONE;
	unsigned int done, n;

	for (done = 0; done < len && status == IO_DONE; done += n) {
		n = min(len - done, 8u);
		status = read_piece(vcpu, gpa + done, n, buf + done);
	}
	return status;
}

/**
 * okvm_io_mmio_write - write to a device by physical address, within one page
 * @vcpu: the vCPU
 * @gpa: guest physical address
 * @len: bytes, up to 64
 * @buf: where from
 *
 * Context: the vCPU's thread.
 * Return: IO_DONE: done here or queued; IO_TOO_MANY.
 */
enum okvm_io_status okvm_io_mmio_write(struct okvm_vcpu *vcpu, u64 gpa, unsigned int len,
				       const void *buf)
{
	enum okvm_io_status status = IO_DONE;
	unsigned int done, n;

	for (done = 0; done < len && status == IO_DONE; done += n) {
		n = min(len - done, 8u);
		status = write_piece(vcpu, gpa + done, n, buf + done);
	}
	return status;
}

static bool pio_read_here(struct okvm_vcpu *vcpu, u16 port, unsigned int size, unsigned int count,
			  void *buf)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (okvm_pio_read(vcpu, port, size, buf + i * size))
			return false;
	return true;
}

static void want_pio(struct okvm_vcpu *vcpu, bool in, u16 port, unsigned int size,
		     unsigned int count)
{
	struct okvm_io_state *io = &vcpu->io;

	io->pio.active = true;
	io->pio.ready = false;
	io->pio.in = in;
	io->pio.port = port;
	io->pio.size = size;
	io->pio.count = count;
}

/**
 * okvm_io_pio_read - IN or a batch of INS
 * @vcpu: the vCPU
 * @port: the port
 * @size: bytes an element: 1, 2, 4
 * @count: elements; together at most a page
 * @buf: where to
 *
 * Return: IO_DONE or IO_PENDING.
 */
enum okvm_io_status okvm_io_pio_read(struct okvm_vcpu *vcpu, u16 port, unsigned int size,
				     unsigned int count, void *buf)
{
	struct okvm_io_state *io = &vcpu->io;

	if (io->pio.active && io->pio.ready) {
		/* The shared page is user space's to scribble on: what is there now is the data. */
		memcpy(buf, vcpu->pio_data, size * min(count, io->pio.count));
		return IO_DONE;
	}
	if (pio_read_here(vcpu, port, size, count, buf))
		return IO_DONE;
	want_pio(vcpu, true, port, size, count);
	return IO_PENDING;
}

/**
 * okvm_io_pio_write - OUT or a batch of OUTS; what the kernel does not have is queued
 * @vcpu: the vCPU
 * @port: the port
 * @size: bytes an element: 1, 2, 4
 * @count: elements; together at most a page
 * @buf: where from
 */
void okvm_io_pio_write(struct okvm_vcpu *vcpu, u16 port, unsigned int size, unsigned int count,
		       const void *buf)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (okvm_pio_write(vcpu, port, size, buf + i * size))
			break;
	if (i == count)
		return;
	want_pio(vcpu, false, port, size, count - i);
	memcpy(vcpu->pio_data, buf + i * size, size * (count - i));
}

/** okvm_io_wants_user - has the instruction left something for user space? */
bool okvm_io_wants_user(struct okvm_vcpu *vcpu)
{
	return vcpu->io.ready < vcpu->io.n || (vcpu->io.pio.active && !vcpu->io.pio.ready);
}

static void fill_pio_exit(struct okvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = vcpu->io.pio.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = vcpu->io.pio.size;
	run->io.port = vcpu->io.pio.port;
	run->io.count = vcpu->io.pio.count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
}

static void fill_mmio_exit(struct okvm_vcpu *vcpu)
{
	const struct okvm_mmio_piece *piece = &vcpu->io.pieces[vcpu->io.ready];
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = piece->gpa;
	run->mmio.len = piece->len;
	run->mmio.is_write = vcpu->io.ready >= vcpu->io.n_read;
	if (run->mmio.is_write)
		memcpy(run->mmio.data, piece->data, piece->len);
}

/* KVM_RUN after such an exit: take the data, show the next piece or go on. */
static int user_done(struct okvm_vcpu *vcpu)
{
	struct okvm_io_state *io = &vcpu->io;

	if (io->pio.active && !io->pio.ready) {
		io->pio.ready = true;
	} else if (io->ready < io->n) {
		if (io->ready < io->n_read)
			memcpy(io->pieces[io->ready].data, vcpu->run->mmio.data,
			       io->pieces[io->ready].len);
		io->ready++;
	}
	if (okvm_io_wants_user(vcpu))
		return okvm_io_exit(vcpu, io->done);
	return io->done(vcpu);
}

/**
 * okvm_io_exit - leave for user space with the next access
 * @vcpu: the vCPU; okvm_io_wants_user() is true
 * @done: called on a later KVM_RUN, when nothing more is wanted; returns as exit handlers do
 *
 * Return: RESUME_USER.
 */
int okvm_io_exit(struct okvm_vcpu *vcpu, int (*done)(struct okvm_vcpu *vcpu))
{
	vcpu->io.done = done;
	vcpu->complete = user_done;
	if (vcpu->io.pio.active && !vcpu->io.pio.ready)
		fill_pio_exit(vcpu);
	else
		fill_mmio_exit(vcpu);
	return RESUME_USER;
}

/* Has user space moved the guest while it served an IN or OUT? Then it is not stepped over. */
static bool moved(struct okvm_vcpu *vcpu)
{
	return okvm_rip(vcpu) != vcpu->io.rip;
}

static int out_done(struct okvm_vcpu *vcpu)
{
	return moved(vcpu) ? RESUME_GUEST : okvm_skip_instruction(vcpu);
}

static void set_in_result(struct okvm_vcpu *vcpu, unsigned int size, u32 value)
{
	unsigned long rax = okvm_reg(vcpu, REG_RAX);

	if (size == 4)
		rax = value;
	else
		rax = (rax & ~(BIT(size * 8) - 1)) | (value & (BIT(size * 8) - 1));
	okvm_reg_set(vcpu, REG_RAX, rax);
}

static int in_done(struct okvm_vcpu *vcpu)
{
	u32 value = 0;

	if (moved(vcpu))
		return RESUME_GUEST;
	memcpy(&value, vcpu->pio_data, vcpu->io.pio.size);
	set_in_result(vcpu, vcpu->io.pio.size, value);
	return okvm_skip_instruction(vcpu);
}

/**
 * okvm_handle_io - an IN or OUT exited
 * @vcpu: the vCPU; vcpu->exit.io holds the operands
 *
 * Context: the vCPU's thread.
 * Return: as exit handlers do.
 */
int okvm_handle_io(struct okvm_vcpu *vcpu)
{
	const struct okvm_exit *exit = &vcpu->exit;
	unsigned int size = exit->io.size;
	u32 value;

	if (exit->io.string)
		return okvm_emulate_instruction(vcpu, 0, false);
	okvm_io_begin(vcpu);
	vcpu->io.rip = okvm_rip(vcpu);
	if (!exit->io.in) {
		value = okvm_reg(vcpu, REG_RAX);
		okvm_io_pio_write(vcpu, exit->io.port, size, 1, &value);
		if (okvm_io_wants_user(vcpu))
			return okvm_io_exit(vcpu, out_done);
		return okvm_skip_instruction(vcpu);
	}
	value = 0;
	if (okvm_io_pio_read(vcpu, exit->io.port, size, 1, &value) == IO_PENDING)
		return okvm_io_exit(vcpu, in_done);
	set_in_result(vcpu, size, value);
	return okvm_skip_instruction(vcpu);
}
