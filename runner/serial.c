// SPDX-License-Identifier: GPL-2.0-only
/* 16550A UART. Sending takes no time; received bytes wait in the terminal until there is room. */
#include <linux/serial_reg.h>

#include "serial.h"
#include "vm.h"

#define POLLS_THAT_LISTEN	8U
#define MSR_LINES_UP		(UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)

static uint8_t pending_interrupt(const struct serial *serial)
{
	if (serial->ier & UART_IER_RDI && serial->fifo_used)
		return UART_IIR_RDI;
	if (serial->ier & UART_IER_THRI && serial->thr_empty)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

/*
 * Whether the guest waits for input, by interrupt or by polling. Otherwise none is taken: drivers
 * empty the FIFO when they probe and start, and what was typed ahead would be lost.
 */
static bool listens(const struct serial *serial)
{
	return serial->polled || (serial->ier & UART_IER_RDI && serial->mcr & UART_MCR_OUT2 &&
				  !(serial->mcr & UART_MCR_LOOP));
}

static void update_line(struct serial *serial)
{
	bool line = serial->mcr & UART_MCR_OUT2 && pending_interrupt(serial) != UART_IIR_NO_INT;

	if (line == serial->line)
		return;
	serial->line = line;
	irq_set(serial->vm, SERIAL_IRQ, line);
}

static void fifo_push(struct serial *serial, uint8_t byte)
{
	if (serial->fifo_used == SERIAL_FIFO)
		return;
	serial->fifo[(serial->fifo_start + serial->fifo_used) % SERIAL_FIFO] = byte;
	serial->fifo_used++;
}

static uint8_t fifo_pop(struct serial *serial)
{
	uint8_t byte = serial->fifo[serial->fifo_start];

	if (!serial->fifo_used)
		return 0;
	serial->fifo_start = (serial->fifo_start + 1) % SERIAL_FIFO;
	serial->fifo_used--;
	return byte;
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t iir = pending_interrupt(serial);

	if (iir == UART_IIR_THRI)
		serial->thr_empty = false;
	if (serial->fcr & UART_FCR_ENABLE_FIFO)
		iir |= 0xc0;
	return iir;
}

static uint8_t read_lsr(struct serial *serial)
{
	if (!serial->fifo_used && ++serial->polls == POLLS_THAT_LISTEN)
		serial->polled = true;
	return UART_LSR_THRE | UART_LSR_TEMT | (serial->fifo_used ? UART_LSR_DR : 0);
}

/* In loopback the outputs of MCR come back as the inputs of MSR. */
static uint8_t read_msr(const struct serial *serial)
{
	uint8_t mcr = serial->mcr;

	if (!(mcr & UART_MCR_LOOP))
		return MSR_LINES_UP;
	return (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) | (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static uint8_t read_register(struct serial *serial, uint64_t offset)
{
	bool divisor = serial->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_RX:
		return divisor ? serial->dll : fifo_pop(serial);
	case UART_IER:
		return divisor ? serial->dlm : serial->ier;
	case UART_IIR:
		return read_iir(serial);
	case UART_LCR:
		return serial->lcr;
	case UART_MCR:
		return serial->mcr;
	case UART_LSR:
		return read_lsr(serial);
	case UART_MSR:
		return read_msr(serial);
	default:
		return serial->scr;
	}
}

static void write_ier(struct serial *serial, uint8_t value)
{
	if (value & UART_IER_THRI && !(serial->ier & UART_IER_THRI))
		serial->thr_empty = true;
	serial->polled = false;
	serial->ier = value & 0xf;
}

/* Return: whether the byte is to be sent. */
static bool write_thr(struct serial *serial, uint8_t value)
{
	serial->thr_empty = true;	/* again, at once */
	if (!(serial->mcr & UART_MCR_LOOP))
		return true;
	fifo_push(serial, value);
	return false;
}

/* Return: whether @value is a byte to be sent. */
static bool write_register(struct serial *serial, uint64_t offset, uint8_t value)
{
	bool divisor = serial->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_TX:
		if (!divisor)
			return write_thr(serial, value);
		serial->dll = value;
		break;
	case UART_IER:
		if (divisor)
			serial->dlm = value;
		else
			write_ier(serial, value);
		break;
	case UART_FCR:
		if (value & UART_FCR_CLEAR_RCVR)
			serial->fifo_used = 0;
		serial->fcr = value;
		break;
	case UART_LCR:
		serial->lcr = value;
		break;
	case UART_MCR:
		serial->mcr = value & 0x1f;
		break;
	case UART_SCR:
		serial->scr = value;
		break;
	}
	return false;
}

static uint64_t serial_read(void *device, uint64_t offset, unsigned int len)
{
	struct serial *serial = device;
	uint8_t value;
	bool room;

	(void)len;
	pthread_mutex_lock(&serial->lock);
	if (offset != UART_LSR)
		serial->polls = 0;
	value = read_register(serial, offset);
	update_line(serial);
	room = !serial->fifo_used && listens(serial);
	pthread_mutex_unlock(&serial->lock);
	if (room)
		terminal_has_room(serial->terminal);
	return value;
}

static void serial_write(void *device, uint64_t offset, uint64_t value, unsigned int len)
{
	struct serial *serial = device;
	uint8_t byte = (uint8_t)value;
	bool room, send;

	(void)len;
	pthread_mutex_lock(&serial->lock);
	serial->polls = 0;
	send = write_register(serial, offset, byte);
	update_line(serial);
	room = !serial->fifo_used && listens(serial);
	pthread_mutex_unlock(&serial->lock);
	if (send)
		terminal_write(serial->terminal, &byte, 1);
	if (room)
		terminal_has_room(serial->terminal);
}

static const struct bus_ops serial_ops = { serial_read, serial_write };

static size_t serial_room(void *device)
{
	struct serial *serial = device;
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = listens(serial) ? SERIAL_FIFO - serial->fifo_used : 0;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

static void serial_input(void *device, const uint8_t *bytes, size_t n)
{
	struct serial *serial = device;

	pthread_mutex_lock(&serial->lock);
	for (size_t i = 0; i < n; i++)
		fifo_push(serial, bytes[i]);
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

/**
 * serial_init - add COM1 to a VM
 * @serial: the UART, zeroed
 * @vm: the VM
 * @terminal: where it sends to; may be opened later
 */
void serial_init(struct serial *serial, struct vm *vm, struct terminal *terminal)
{
	serial->vm = vm;
	serial->terminal = terminal;
	serial->dll = 1;	/* 115200 bits a second */
	pthread_mutex_init(&serial->lock, NULL);
	bus_add(&vm->ports, SERIAL_PORT, 8, &serial_ops, serial);
}

/**
 * serial_console - how the terminal feeds this UART
 * @serial: the UART
 * @console: filled in
 */
void serial_console(struct serial *serial, struct console *console)
{
	*console = (struct console){ .room = serial_room, .input = serial_input, .device = serial };
}
