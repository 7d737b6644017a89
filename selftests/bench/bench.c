// SPDX-License-Identifier: GPL-2.0-only
/* Samples, medians and results. */

#include "bench.h"

uint64_t samples[ROUNDS], nothing;

void bench_report(const char *key, uint64_t value)
{
	diag("bench %s %lu", key, value);
}

static int order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint64_t bench_median(uint64_t *at, unsigned int n)
{
	qsort(at, n, sizeof(*at), order);
	return at[n / 2];
}

uint64_t bench_run(struct vcpu *v, void (*serve)(struct vcpu *v))
{
	enum ucall_cmd cmd;

	while ((cmd = vcpu_next(v)) == UCALL_NONE)
		if (serve)
			serve(v);
	TEST_ASSERT(cmd == UCALL_SYNC, "the guest ended without a result");
	return v->uc.args[1];
}

void bench_guest(struct vcpu *v, const char *key, void (*serve)(struct vcpu *v))
{
	bench_run(v, serve);
	bench_report(key, bench_median(*vm_shared(v->vm, samples), ROUNDS) -
			  *vm_shared(v->vm, nothing));
}

/* Each CPU keeps thousands of free pages that the zone's own count leaves out. */
uint64_t bench_free_bytes(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	uint64_t sum = 0, n;
	char line[200];

	TEST_ASSERT(f, "/proc/zoneinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " pages free %lu", &n) == 1 ||
		    sscanf(line, " count: %lu", &n) == 1)
			sum += n;
	fclose(f);
	return sum * PAGE_SIZE;
}
