/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_SERIAL_H
#define RUNNER_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "terminal.h"

#define SERIAL_PORT	0x3f8U
#define SERIAL_IRQ	4U
#define SERIAL_FIFO	64U

/**
 * struct serial - a 16550A UART at the PC's COM1
 * @lock: for all that follows; never held while writing to the terminal
 * @fifo: received bytes, a ring of @fifo_used from @fifo_start
 * @polls: reads of LSR in a row that found nothing
 * @polled: there were so many of them that the guest must be waiting for input
 * @thr_empty: the transmitter-empty interrupt is pending
 * @line: level of the interrupt line
 */
struct serial {
	struct vm *vm;
	struct terminal *terminal;
	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t fifo[SERIAL_FIFO];
	unsigned int fifo_start, fifo_used, polls;
	bool polled, thr_empty, line;
};

void serial_init(struct serial *serial, struct vm *vm, struct terminal *terminal);
void serial_console(struct serial *serial, struct console *console);

#endif
