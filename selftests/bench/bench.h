/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BENCH_H
#define BENCH_H

/*
 * What the measurements share. Each is a TEST of the selftest library: a process of its own, that
 * prints `# bench KEY VALUE`. Times are TSC ticks, on a host that counts one is an instruction.
 * What a key stands for is in scripts/bench.
 */

#include "../irq.h"

#define ROUNDS		101
#define BENCH_PORT	0x500		/* nobody's: an access is an exit to user space */
#define VECTOR		0x61

/** bench_report() - a result */
void bench_report(const char *key, uint64_t value);

/** bench_median() - sorts @at */
uint64_t bench_median(uint64_t *at, unsigned int n);

/* The guest's samples, and what two rdtsc() alone cost. */
extern uint64_t samples[ROUNDS], nothing;

/* In the guest: what @op costs, once a round. */
#define SAMPLE(op) do {								\
	for (unsigned int i_ = 0; i_ < ROUNDS; i_++) {				\
		uint64_t t_ = rdtsc();						\
										\
		WRITE_ONCE(nothing, rdtsc() - t_);				\
	}									\
	for (unsigned int i_ = 0; i_ < ROUNDS; i_++) {				\
		uint64_t t_ = rdtsc();						\
										\
		op;								\
		WRITE_ONCE(samples[i_], rdtsc() - t_);				\
	}									\
	GUEST_SYNC(1);								\
} while (0)

/**
 * bench_guest() - run to the next GUEST_SYNC and report the median of the guest's samples
 * @v: the vCPU, or one about to get there
 * @key: of the result
 * @serve: what the VMM does at each exit before that; NULL: nothing
 */
void bench_guest(struct vcpu *v, const char *key, void (*serve)(struct vcpu *v));

/** bench_run() - run to the next GUEST_SYNC, serving what comes before; its value */
uint64_t bench_run(struct vcpu *v, void (*serve)(struct vcpu *v));

/** bench_free_bytes() - the machine's free memory */
uint64_t bench_free_bytes(void);

/* On the host: report the median of @n rounds of @op. */
#define BENCH_HOST(key, n, op) do {						\
	uint64_t at_[n], empty_ = rdtsc();					\
										\
	empty_ = rdtsc() - empty_;						\
	for (unsigned int i_ = 0; i_ < (n); i_++) {				\
		uint64_t t_ = rdtsc();						\
										\
		op;								\
		at_[i_] = rdtsc() - t_ - empty_;				\
	}									\
	bench_report(key, bench_median(at_, n));				\
} while (0)

#endif
