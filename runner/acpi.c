// SPDX-License-Identifier: GPL-2.0-only
/* ACPI tables: RSDP, XSDT, FADT, FACS, MADT, and the DSDT that iasl compiles from dsdt.asl. */
#include <string.h>

#include "dsdt.hex"
#include "machine.h"

#define PACKED __attribute__((packed))

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} PACKED;

struct xsdt {
	struct acpi_header header;
	uint64_t tables[2];
} PACKED;

struct generic_address {
	uint8_t space, bits, bit_offset, access_size;
	uint64_t address;
} PACKED;

#define SPACE_IO 1

struct fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
	uint32_t gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base, cst_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct generic_address reset;
	uint8_t reset_value, reserved2[3];
	uint64_t x_facs, x_dsdt;
	struct generic_address x_blocks[8];
} PACKED;

_Static_assert(sizeof(struct fadt) == 244, "the FADT of ACPI 4.0");

#define FADT_BOOT_LEGACY_DEVICES	(1U << 0)
#define FADT_BOOT_NO_VGA		(1U << 2)
#define FADT_WBINVD			(1U << 0)
#define FADT_C1				(1U << 2)
#define FADT_NO_POWER_BUTTON		(1U << 4)
#define FADT_NO_SLEEP_BUTTON		(1U << 5)
#define FADT_NO_RTC_WAKE		(1U << 6)
#define FADT_TIMER_32BIT		(1U << 8)
#define FADT_RESET_REGISTER		(1U << 10)
#define C2_NONE				101	/* microseconds past which a state does not exist */
#define C3_NONE				1001

struct facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} PACKED;

struct madt {
	struct acpi_header header;
	uint32_t lapic_address, flags;
} PACKED;

#define MADT_HAS_PIC 1

struct madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} PACKED;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} PACKED;

#define ACTIVE_HIGH_LEVEL 0xdU

/* Where the next table goes. */
struct builder {
	struct memory *mem;
	uint64_t next;
};

static void *place(struct builder *builder, size_t size, uint64_t *gpa)
{
	void *table = memory_boot(builder->mem, builder->next, size);

	*gpa = builder->next;
	builder->next = (builder->next + size + 63) & ~63ULL;	/* FACS wants 64 */
	memset(table, 0, size);
	return table;
}

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	while (size--)
		sum = (uint8_t)(sum + *bytes++);
	return (uint8_t)-sum;
}

static void seal(void *table, const char *signature, uint8_t revision, size_t length)
{
	struct acpi_header *header = table;

	memcpy(header->signature, signature, 4);
	header->length = (uint32_t)length;
	header->revision = revision;
	memcpy(header->oem_id, "OKVM  ", 6);
	memcpy(header->oem_table_id, "OKVM    ", 8);
	header->oem_revision = 1;
	memcpy(header->creator_id, "OKVM", 4);
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = checksum(table, length);
}

static uint64_t build_facs(struct builder *builder)
{
	uint64_t gpa;
	struct facs *facs = place(builder, sizeof(*facs), &gpa);

	memcpy(facs->signature, "FACS", 4);
	facs->length = sizeof(*facs);
	facs->version = 2;
	return gpa;
}

static uint64_t build_dsdt(struct builder *builder)
{
	uint64_t gpa;
	void *dsdt = place(builder, sizeof(dsdt_aml_code), &gpa);

	memcpy(dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));
	return gpa;
}

static uint64_t build_fadt(struct builder *builder, uint64_t facs, uint64_t dsdt)
{
	uint64_t gpa;
	struct fadt *fadt = place(builder, sizeof(*fadt), &gpa);

	fadt->facs = (uint32_t)facs;
	fadt->dsdt = (uint32_t)dsdt;
	fadt->x_dsdt = dsdt;
	fadt->sci = PM_SCI;
	fadt->pm1a_event = PM_BASE + PM_EVENT;
	fadt->pm1a_control = PM_BASE + PM_CONTROL;
	fadt->pm_timer = PM_BASE + PM_TIMER;
	fadt->pm1_event_length = 4;
	fadt->pm1_control_length = 2;
	fadt->pm_timer_length = 4;
	fadt->c2_latency = C2_NONE;
	fadt->c3_latency = C3_NONE;
	fadt->century = 0x32;
	fadt->boot_flags = FADT_BOOT_LEGACY_DEVICES | FADT_BOOT_NO_VGA;
	fadt->flags = FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
		      FADT_NO_RTC_WAKE | FADT_TIMER_32BIT | FADT_RESET_REGISTER;
	fadt->reset = (struct generic_address){ SPACE_IO, 8, 0, 1, RESET_PORT };
	fadt->reset_value = RESET_COLD;
	seal(fadt, "FACP", 4, sizeof(*fadt));
	return gpa;
}

/* The tail of the MADT, after the CPUs. */
struct madt_tail {
	struct madt_ioapic ioapic;
	struct madt_override timer, sci;
	struct madt_nmi nmi;
} PACKED;

static uint64_t build_madt(struct builder *builder, unsigned int cpus)
{
	size_t size = sizeof(struct madt) + cpus * sizeof(struct madt_lapic) +
		      sizeof(struct madt_tail);
	uint64_t gpa;
	struct madt *madt = place(builder, size, &gpa);
	struct madt_lapic *lapic = (struct madt_lapic *)(madt + 1);
	struct madt_tail *tail = (struct madt_tail *)(lapic + cpus);

	madt->lapic_address = LAPIC_BASE;
	madt->flags = MADT_HAS_PIC;
	for (unsigned int i = 0; i < cpus; i++)
		lapic[i] = (struct madt_lapic){ 0, sizeof(*lapic), (uint8_t)i, (uint8_t)i, 1 };
	tail->ioapic = (struct madt_ioapic){ 1, sizeof(tail->ioapic), (uint8_t)cpus, 0,
					     IOAPIC_BASE, 0 };
	tail->timer = (struct madt_override){ 2, sizeof(tail->timer), 0, 0, 2, 0 };
	tail->sci = (struct madt_override){ 2, sizeof(tail->sci), 0, PM_SCI, PM_SCI,
					    ACTIVE_HIGH_LEVEL };
	tail->nmi = (struct madt_nmi){ 4, sizeof(tail->nmi), 0xff, 0, 1 };
	seal(madt, "APIC", 3, size);
	return gpa;
}

/**
 * acpi_build - write the ACPI tables into guest memory
 * @mem: guest RAM
 * @cpus: number of vCPUs, at most MAX_CPUS; APIC ids are 0 to @cpus - 1
 *
 * Return: guest-physical address of the RSDP.
 */
uint64_t acpi_build(struct memory *mem, unsigned int cpus)
{
	struct builder builder = { .mem = mem, .next = ACPI_TABLES };
	uint64_t gpa, xsdt_gpa;
	struct rsdp *rsdp = place(&builder, sizeof(*rsdp), &gpa);
	struct xsdt *xsdt = place(&builder, sizeof(*xsdt), &xsdt_gpa);
	uint64_t facs = build_facs(&builder), dsdt = build_dsdt(&builder);

	xsdt->tables[0] = build_fadt(&builder, facs, dsdt);
	xsdt->tables[1] = build_madt(&builder, cpus);
	seal(xsdt, "XSDT", 1, sizeof(*xsdt));

	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "OKVM  ", 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = xsdt_gpa;
	rsdp->checksum = checksum(rsdp, 20);	/* the part that ACPI 1.0 knew */
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
	return gpa;
}
