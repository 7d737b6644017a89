// SPDX-License-Identifier: GPL-2.0-only
/* Standard input and output as the guest's console. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "escape.h"
#include "report.h"
#include "terminal.h"
#include "vm.h"

/* Apart from any VM: a signal handler must reach it. */
static struct termios saved_mode;
static volatile sig_atomic_t raw;

/**
 * terminal_restore - give the terminal back as it was
 *
 * May be called from a signal handler, and more than once.
 */
void terminal_restore(void)
{
	if (!raw)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved_mode);
	raw = 0;
	report_line_end("\n");
}

static void die_restored(int signal)
{
	terminal_restore();
	raise(signal);	/* SA_RESETHAND: its default action now */
}

static void restore_on_crash(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction action = { .sa_handler = die_restored, .sa_flags = SA_RESETHAND };

	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		sigaction(crashes[i], &action, NULL);
	atexit(terminal_restore);
}

static bool in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void make_raw(void)
{
	struct termios mode;

	if (tcgetattr(STDIN_FILENO, &saved_mode))
		return;
	mode = saved_mode;
	cfmakeraw(&mode);
	raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &mode))
		raw = 0;
	else
		report_line_end("\r\n");
}

static void run_command(struct terminal *terminal, enum escape_command command)
{
	if (command == ESCAPE_QUIT)
		vm_finish(terminal->vm, VM_QUIT, 0);
	else if (command == ESCAPE_HELP)
		report("Ctrl-A x quits, Ctrl-A Ctrl-A sends Ctrl-A");
}

/* Give the console what it has room for. */
static void deliver(struct terminal *terminal)
{
	struct console *console = &terminal->console;
	size_t waiting = terminal->nr_keys, room;

	if (!waiting)
		return;
	room = console->room(console->device);
	if (room > waiting)
		room = waiting;
	if (!room)
		return;
	console->input(console->device, terminal->keys, room);
	memmove(terminal->keys, terminal->keys + room, waiting - room);
	terminal->nr_keys = waiting - room;
}

/* A terminal is always read, for the escape key's sake; a pipe only while there is room. */
static void arm_input(struct terminal *terminal)
{
	loop_arm(&terminal->vm->loop, terminal->source,
		 terminal->tty || terminal->nr_keys < TERMINAL_KEYS);
}

static void readable(void *arg)
{
	struct terminal *terminal = arg;
	uint8_t keys[TERMINAL_KEYS];
	size_t space = TERMINAL_KEYS - terminal->nr_keys, n;
	ssize_t got;

	got = read(STDIN_FILENO, keys, terminal->tty ? sizeof(keys) : space);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		terminal->ended = true;		/* the guest runs on without input */
		loop_arm(&terminal->vm->loop, terminal->source, false);
		return;
	}
	n = (size_t)got;
	if (terminal->tty)
		run_command(terminal, escape_filter(&terminal->escaped, keys, &n));
	if (n > space)
		n = space;	/* typed far ahead of a guest that does not listen */
	memcpy(terminal->keys + terminal->nr_keys, keys, n);
	terminal->nr_keys += n;
	deliver(terminal);
	arm_input(terminal);
}

static void room_appeared(void *arg)
{
	struct terminal *terminal = arg;

	event_clear(terminal->room_fd);
	deliver(terminal);
	if (!terminal->ended && (!terminal->tty || raw))
		arm_input(terminal);
}

/**
 * terminal_open - connect standard input and output to a console device
 * @terminal: filled in
 * @vm: the VM; its loop must not run yet
 * @console: where input goes; copied
 *
 * A terminal is put into raw mode; whatever way the process ends but SIGKILL, it is restored.
 *
 * Return: 0, or -1 after a report.
 */
int terminal_open(struct terminal *terminal, struct vm *vm, const struct console *console)
{
	terminal->vm = vm;
	terminal->console = *console;
	terminal->tty = isatty(STDIN_FILENO);
	pthread_mutex_init(&terminal->output_lock, NULL);
	terminal->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (terminal->room_fd < 0) {
		report("cannot make an eventfd: %s", strerror(errno));
		return -1;
	}
	terminal->source = loop_add(&vm->loop, STDIN_FILENO, readable, terminal);
	if (!terminal->source || !loop_add(&vm->loop, terminal->room_fd, room_appeared, terminal))
		return -1;
	if (!terminal->tty)
		return 0;
	restore_on_crash();
	report("Ctrl-A x quits");
	terminal_resume(terminal);
	return 0;
}

/**
 * terminal_resume - take the terminal, at the start and after the process was stopped
 * @terminal: the terminal
 *
 * In the background it is left alone, and so is its input.
 */
void terminal_resume(struct terminal *terminal)
{
	if (!terminal->tty)
		return;
	if (in_foreground() && !raw)
		make_raw();
	loop_arm(&terminal->vm->loop, terminal->source, in_foreground());
}

/**
 * terminal_has_room - tell that the console takes input again
 * @terminal: the terminal
 *
 * May be called from any thread.
 */
void terminal_has_room(struct terminal *terminal)
{
	if (terminal->nr_keys)
		event_set(terminal->room_fd);
}

/**
 * terminal_close - give standard input and output back
 * @terminal: opened or zeroed; nothing uses it any more
 */
void terminal_close(struct terminal *terminal)
{
	terminal_restore();
	if (terminal->room_fd > 0)
		close(terminal->room_fd);
}

/**
 * terminal_write - write guest output
 * @terminal: the terminal
 * @bytes: what to write
 * @n: how much
 *
 * Blocks while the terminal is stalled, unless the VM ends. Output that cannot be written is lost.
 */
void terminal_write(struct terminal *terminal, const uint8_t *bytes, size_t n)
{
	struct pollfd writable = { .fd = STDOUT_FILENO, .events = POLLOUT };

	pthread_mutex_lock(&terminal->output_lock);
	while (n) {
		ssize_t done = write(STDOUT_FILENO, bytes, n);

		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		} else if (done < 0 && errno == EAGAIN) {
			poll(&writable, 1, 100);
		} else if (errno != EINTR) {
			break;
		}
		if (done <= 0 && terminal->vm->end != VM_RUNNING)
			break;
	}
	pthread_mutex_unlock(&terminal->output_lock);
}
