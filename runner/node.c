// SPDX-License-Identifier: GPL-2.0-only
/* Finds and opens the hypervisor's device node. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "report.h"
#include "vm.h"

static const char *remedy(const char *device, int error)
{
	switch (error) {
	case ENOENT:
		return !strcmp(device, "/dev/kvm") ? ": load kvm_amd or kvm_intel, or okvm.ko"
						   : ": load the module with insmod okvm.ko";
	case EACCES:
	case EPERM:
		return ": run as root, or join the group that ls -l shows on it";
	case ENODEV:
	case ENXIO:
		return ": the module behind it is not loaded; try insmod okvm.ko";
	case EBUSY:
		return ": another hypervisor holds the hardware; `okvm check` says which";
	default:
		return "";
	}
}

/**
 * node_open - open the hypervisor
 * @device: the node, or NULL for /dev/okvm and, where that does not exist, /dev/kvm
 *
 * Return: its descriptor, or -1 after a report.
 */
int node_open(const char *device)
{
	int fd, error;

	fd = open(device ? device : "/dev/okvm", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	error = errno;
	if (device) {
		report("%s: %s%s", device, strerror(error), remedy(device, error));
		return -1;
	}
	if (error != ENOENT) {
		report("/dev/okvm: %s%s", strerror(error), remedy("/dev/okvm", error));
		return -1;
	}
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		report("neither /dev/okvm nor /dev/kvm exists: load the module with insmod okvm.ko "
		       "(`okvm check` says whether this machine can run guests)");
	else
		report("/dev/kvm: %s%s", strerror(errno), remedy("/dev/kvm", errno));
	return -1;
}

/**
 * node_check_version - see that a node speaks KVM's ABI
 * @node_fd: the open node
 *
 * Return: 0, or -1 after a report.
 */
int node_check_version(int node_fd)
{
	int version = ioctl(node_fd, KVM_GET_API_VERSION, 0);

	if (version == KVM_API_VERSION)
		return 0;
	if (version < 0)
		report("the device does not answer as KVM does (%s): is it the right one?",
		       strerror(errno));
	else
		report("the device speaks version %d of KVM's ABI, this program version %d",
		       version, KVM_API_VERSION);
	return -1;
}
