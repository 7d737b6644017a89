// SPDX-License-Identifier: GPL-2.0-only
/*
 * The string functions that the compiler calls by itself. libc's own choose an
 * implementation by the host's CPUID and may use AVX: a guest runs the same
 * image, and has neither that CPUID nor the registers. These serve both.
 */

#include <stddef.h>

/* By words: emulated hosts take their time for each step of a string instruction. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	void *d = dst;

	asm volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
	asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest) : : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	const char *s = src;
	char *d = dst;

	if (d <= s || d >= s + n)
		return memcpy(dst, src, n);
	while (n--)
		d[n] = s[n];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	unsigned long word = (unsigned char)c * 0x0101010101010101ul;
	void *d = dst;

	asm volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
	asm volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(word) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
