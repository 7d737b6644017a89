// SPDX-License-Identifier: GPL-2.0-only
/* okvm run: one machine from start to end, and what its end means to the shell. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "machine.h"
#include "report.h"

#define PAYLOAD_STATUS_MAX 63

struct signals {
	int fd;
	sigset_t set;
	struct machine *machine;
};

static void stop_process(struct signals *signals)
{
	terminal_restore();
	kill(getpid(), SIGSTOP);
	terminal_resume(&signals->machine->terminal);
}

static void signalled(void *arg)
{
	struct signals *signals = arg;
	struct terminal *terminal = &signals->machine->terminal;
	struct signalfd_siginfo info;

	if (read(signals->fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
		stop_process(signals);
		break;
	case SIGCONT:
		terminal_resume(terminal);
		break;
	case SIGWINCH:
		if (terminal->console.resized)
			terminal->console.resized(terminal->console.device);
		break;
	default:
		vm_finish(&signals->machine->vm, VM_SIGNAL, (int)info.ssi_signo);
	}
}

/* Signals arrive through the event loop from here on. */
static int take_signals(struct signals *signals, struct machine *machine)
{
	static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH };

	signals->machine = machine;
	sigemptyset(&signals->set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&signals->set, taken[i]);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	sigprocmask(SIG_BLOCK, &signals->set, NULL);
	signals->fd = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0) {
		report("signalfd: %s", strerror(errno));
		return -1;
	}
	return loop_add(&machine->vm.loop, signals->fd, signalled, signals) ? 0 : -1;
}

/* End as the signal would have ended us: the shell tells killed from exited. */
static void die_of(const struct signals *signals, int number)
{
	signal(number, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &signals->set, NULL);
	raise(number);
}

static int payload_status(int value)
{
	if (!value)
		return 0;
	return STATUS_PAYLOAD + (value < PAYLOAD_STATUS_MAX ? value : PAYLOAD_STATUS_MAX);
}

static int exit_status(const struct vm *vm)
{
	switch (vm->end) {
	case VM_POWEROFF:
		return STATUS_POWEROFF;
	case VM_REBOOT:
		return STATUS_REBOOT;
	case VM_TRIPLE_FAULT:
		return STATUS_TRIPLE_FAULT;
	case VM_GUEST_ERROR:
		return STATUS_GUEST_ERROR;
	case VM_QUIT:
		return STATUS_QUIT;
	case VM_PAYLOAD:
		return payload_status(vm->end_value);
	default:
		return STATUS_ERROR;
	}
}

static int run_machine(struct machine *machine, struct signals *signals,
		       const struct options *opts)
{
	struct boot boot;

	if (machine_create(machine, opts) || take_signals(signals, machine) ||
	    machine_load(machine, opts, &boot) || machine_run(machine, &boot))
		return STATUS_ERROR;
	return exit_status(&machine->vm);
}

/**
 * command_run - okvm run
 * @argc: number of arguments
 * @argv: arguments, argv[0] is "run"
 *
 * Return: the exit status, see okvm(1).
 */
int command_run(int argc, char *argv[])
{
	struct signals signals = { .fd = -1 };
	struct machine *machine;
	struct options opts;
	int status;

	if (options_parse(&opts, argc, argv)) {
		report("%s; `okvm help` lists the options", opts.error);
		options_free(&opts);
		return STATUS_USAGE;
	}
	if (opts.help) {
		options_free(&opts);
		return command_help(argc, argv);
	}
	machine = calloc(1, sizeof(*machine));
	if (!machine)
		return STATUS_ERROR;
	status = run_machine(machine, &signals, &opts);
	machine_destroy(machine);
	if (machine->vm.end == VM_SIGNAL)
		die_of(&signals, machine->vm.end_value);
	if (signals.fd >= 0)
		close(signals.fd);
	free(machine);
	options_free(&opts);
	return status;
}
