/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RUNNER_COMMAND_H
#define RUNNER_COMMAND_H

/* Subcommands: each takes its own name as argv[0] and returns the exit status. */
int command_run(int argc, char *argv[]);
int command_check(int argc, char *argv[]);
int command_help(int argc, char *argv[]);

#endif
