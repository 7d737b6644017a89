// SPDX-License-Identifier: GPL-2.0-only
/* MSI-X: each vector is an eventfd that KVM turns into the message which the guest programmed. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "msix.h"
#include "report.h"
#include "vm.h"

enum { ENTRY_ADDRESS, ENTRY_ADDRESS_HIGH, ENTRY_DATA, ENTRY_CONTROL };

static bool is_masked(const struct msix *msix, const struct msix_vector *vector)
{
	return !msix->enabled || msix->masked ||
	       vector->entry[ENTRY_CONTROL] & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/* Tell KVM an unmasked vector's message, and deliver what was waiting for it. */
static void update_vector(struct msix *msix, struct msix_vector *vector)
{
	uint64_t address = vector->entry[ENTRY_ADDRESS] |
			   (uint64_t)vector->entry[ENTRY_ADDRESS_HIGH] << 32;

	if (is_masked(msix, vector))
		return;
	vector->gsi = irq_route_msi(msix->vm, vector->gsi, vector->event_fd, address,
				    vector->entry[ENTRY_DATA]);
	if (!vector->pending)
		return;
	vector->pending = false;
	event_set(vector->event_fd);
}

/**
 * msix_init - give a device MSI-X
 * @msix: zeroed; msix_destroy() it whatever the outcome
 * @vm: the VM
 * @device: the device
 * @nr_vectors: at most MSIX_MAX_VECTORS
 * @bar: the BAR that holds table and pending bits
 * @table: offset of the table
 * @pba: offset of the pending bits
 *
 * Return: 0, or -1 after a report.
 */
int msix_init(struct msix *msix, struct vm *vm, struct pci_device *device, unsigned int nr_vectors,
	      unsigned int bar, uint32_t table, uint32_t pba)
{
	msix->vm = vm;
	pthread_mutex_init(&msix->lock, NULL);
	msix->capability = pci_add_capability(device, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	pci_set16(device, msix->capability + PCI_MSIX_FLAGS, (uint16_t)(nr_vectors - 1));
	pci_set32(device, msix->capability + PCI_MSIX_TABLE, table | bar);
	pci_set32(device, msix->capability + PCI_MSIX_PBA, pba | bar);
	device->writable[msix->capability + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	for (unsigned int i = 0; i < nr_vectors; i++) {
		struct msix_vector *vector = &msix->vectors[i];

		vector->gsi = -1;
		vector->entry[ENTRY_CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		vector->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->event_fd < 0) {
			report("cannot make an eventfd for an interrupt: %s", strerror(errno));
			return -1;
		}
		msix->nr_vectors++;
	}
	return 0;
}

/**
 * msix_destroy - free what msix_init() made
 * @msix: zeroed or initialised
 */
void msix_destroy(struct msix *msix)
{
	while (msix->nr_vectors)
		close(msix->vectors[--msix->nr_vectors].event_fd);
}

/**
 * msix_configured - the guest may have written the capability
 * @msix: the device's
 * @device: the device
 */
void msix_configured(struct msix *msix, const struct pci_device *device)
{
	uint16_t flags = pci_get16(device, msix->capability + PCI_MSIX_FLAGS);

	pthread_mutex_lock(&msix->lock);
	msix->enabled = flags & PCI_MSIX_FLAGS_ENABLE;
	msix->masked = flags & PCI_MSIX_FLAGS_MASKALL;
	for (unsigned int i = 0; i < msix->nr_vectors; i++)
		update_vector(msix, &msix->vectors[i]);
	pthread_mutex_unlock(&msix->lock);
}

/**
 * msix_read_table - guest reads the table
 * @msix: the device's
 * @offset: into the table; hostile
 * @len: 1 to 8; what is not an aligned word or two reads as zero
 */
uint64_t msix_read_table(struct msix *msix, uint64_t offset, unsigned int len)
{
	uint64_t vector = offset / MSIX_ENTRY_SIZE;
	uint64_t value = 0;

	if (vector >= msix->nr_vectors || len < 4 || offset % len)
		return 0;
	pthread_mutex_lock(&msix->lock);
	memcpy(&value, (uint8_t *)msix->vectors[vector].entry + offset % MSIX_ENTRY_SIZE, len);
	pthread_mutex_unlock(&msix->lock);
	return value;
}

/**
 * msix_write_table - guest writes the table
 * @msix: the device's
 * @offset: into the table; hostile
 * @value: what
 * @len: 1 to 8; what is not an aligned word or two is ignored
 */
void msix_write_table(struct msix *msix, uint64_t offset, uint64_t value, unsigned int len)
{
	uint64_t number = offset / MSIX_ENTRY_SIZE;
	struct msix_vector *vector;

	if (number >= msix->nr_vectors || len < 4 || offset % len)
		return;
	vector = &msix->vectors[number];
	pthread_mutex_lock(&msix->lock);
	memcpy((uint8_t *)vector->entry + offset % MSIX_ENTRY_SIZE, &value, len);
	update_vector(msix, vector);
	pthread_mutex_unlock(&msix->lock);
}

/**
 * msix_read_pba - guest reads the pending bits
 * @msix: the device's
 * @offset: into them; hostile
 */
uint64_t msix_read_pba(struct msix *msix, uint64_t offset)
{
	uint64_t bits = 0;

	pthread_mutex_lock(&msix->lock);
	for (unsigned int i = 0; i < msix->nr_vectors; i++)
		bits |= (uint64_t)msix->vectors[i].pending << i;
	pthread_mutex_unlock(&msix->lock);
	return offset < 8 ? bits >> (8 * offset) : 0;
}

/**
 * msix_signal - interrupt the guest
 * @msix: the device's
 * @vector: which entry; hostile, none has no effect
 *
 * May be called from any thread.
 */
void msix_signal(struct msix *msix, unsigned int vector)
{
	if (vector >= msix->nr_vectors)
		return;
	pthread_mutex_lock(&msix->lock);
	if (!is_masked(msix, &msix->vectors[vector]))
		event_set(msix->vectors[vector].event_fd);
	else if (msix->enabled)
		msix->vectors[vector].pending = true;
	pthread_mutex_unlock(&msix->lock);
}
