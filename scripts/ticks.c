// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run a command and count TSC ticks from its start to the points where its output has given
 * texts, and to its end. On a host that counts instructions a tick is one of them.
 *
 * usage: ticks TEXT... -- COMMAND ARG...
 * Prints `ticks TEXT N` a point and `ticks end N`, on standard error; the command's output is
 * passed on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define MAX_POINTS	8
#define LINE_MAX_BYTES	4096

struct point {
	const char *text;
	unsigned long long ticks;	/* 0: not seen yet */
};

static struct point points[MAX_POINTS];
static int nr_points;

static void look(char *line, size_t len, unsigned long long now)
{
	line[len] = '\0';
	for (int i = 0; i < nr_points; i++)
		if (!points[i].ticks && strstr(line, points[i].text))
			points[i].ticks = now;
}

/* A point is where its text is complete, at the end of a line or not. */
static void follow(int fd, unsigned long long start)
{
	char buffer[256], line[LINE_MAX_BYTES];
	size_t len = 0;
	ssize_t got;

	for (;;) {
		got = read(fd, buffer, sizeof(buffer));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return;
		if (write(STDOUT_FILENO, buffer, (size_t)got) != got)
			return;
		for (ssize_t i = 0; i < got; i++) {
			if (buffer[i] == '\n' || len == sizeof(line) - 1) {
				look(line, len, __rdtsc() - start);
				len = 0;
			} else if (buffer[i]) {
				line[len++] = buffer[i];
			}
		}
		look(line, len, __rdtsc() - start);
	}
}

static int take_points(int argc, char *argv[])
{
	int i = 1;

	while (i < argc && strcmp(argv[i], "--")) {
		if (nr_points == MAX_POINTS)
			return -1;
		points[nr_points++].text = argv[i++];
	}
	return i + 1 < argc ? i + 1 : -1;
}

int main(int argc, char *argv[])
{
	int command = take_points(argc, argv), out[2], status;
	unsigned long long start;
	pid_t child;

	if (command < 0) {
		fprintf(stderr, "usage: ticks TEXT... -- COMMAND ARG...\n");
		return 2;
	}
	if (pipe(out)) {
		perror("ticks: pipe");
		return 1;
	}
	start = __rdtsc();
	child = fork();
	if (child < 0) {
		perror("ticks: fork");
		return 1;
	}
	if (!child) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		execvp(argv[command], argv + command);
		perror(argv[command]);
		_exit(127);
	}
	close(out[1]);
	follow(out[0], start);
	if (waitpid(child, &status, 0) != child)
		return 1;
	for (int i = 0; i < nr_points; i++)
		fprintf(stderr, "ticks %s %llu\n", points[i].text, points[i].ticks);
	fprintf(stderr, "ticks end %llu\n", __rdtsc() - start);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
