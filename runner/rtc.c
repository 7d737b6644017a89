// SPDX-License-Identifier: GPL-2.0-only
/* The PC's real-time clock: tells the host's time in UTC, keeps nothing, never interrupts. */
#include <time.h>

#include "machine.h"

enum {
	RTC_SECONDS = 0, RTC_MINUTES = 2, RTC_HOURS = 4, RTC_WEEKDAY = 6, RTC_DAY = 7,
	RTC_MONTH = 8, RTC_YEAR = 9, RTC_STATUS_A = 10, RTC_STATUS_B = 11, RTC_STATUS_D = 13,
	RTC_CENTURY = 0x32,
};

#define STATUS_A_32KHZ	0x26U
#define STATUS_B_24H	0x02U	/* and BCD */
#define STATUS_D_VALID	0x80U

static uint8_t bcd(int value)
{
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static uint8_t read_register(uint8_t index)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (index) {
	case RTC_SECONDS:
		return bcd(tm.tm_sec);
	case RTC_MINUTES:
		return bcd(tm.tm_min);
	case RTC_HOURS:
		return bcd(tm.tm_hour);
	case RTC_WEEKDAY:
		return bcd(tm.tm_wday + 1);
	case RTC_DAY:
		return bcd(tm.tm_mday);
	case RTC_MONTH:
		return bcd(tm.tm_mon + 1);
	case RTC_YEAR:
		return bcd(tm.tm_year % 100);
	case RTC_CENTURY:
		return bcd((tm.tm_year + 1900) / 100);
	case RTC_STATUS_A:
		return STATUS_A_32KHZ;
	case RTC_STATUS_B:
		return STATUS_B_24H;
	case RTC_STATUS_D:
		return STATUS_D_VALID;
	default:
		return 0;
	}
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned int len)
{
	struct rtc *rtc = device;
	uint8_t value;

	(void)len;
	pthread_mutex_lock(&rtc->lock);
	value = offset ? read_register(rtc->index) : rtc->index;
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_write(void *device, uint64_t offset, uint64_t value, unsigned int len)
{
	struct rtc *rtc = device;

	(void)len;
	if (offset)
		return;		/* the host's clock is not the guest's to set */
	pthread_mutex_lock(&rtc->lock);
	rtc->index = value & 0x7f;	/* bit 7 is the NMI mask */
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_ops = { rtc_read, rtc_write };

/**
 * rtc_init - add the real-time clock to a VM
 * @rtc: zeroed
 * @vm: the VM
 */
void rtc_init(struct rtc *rtc, struct vm *vm)
{
	pthread_mutex_init(&rtc->lock, NULL);
	bus_add(&vm->ports, RTC_PORT, 2, &rtc_ops, rtc);
}
