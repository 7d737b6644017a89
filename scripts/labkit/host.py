# SPDX-License-Identifier: GPL-2.0-only
"""Host descriptors: scripts/hosts/<name>, lines of `key = value`."""

import os

from . import LabError

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "hosts")
REQUIRED = ("emulator", "vendor", "cpus", "memory")
DEFAULTS = {
    "append": "",
    "kernel": "",  # which to boot unless somebody asks for another: none for the one that okvm is built for
    "kvm_args": "",  # parameters that upstream's module needs there
    "patience": "1",  # every time limit is multiplied by it
    "slow_tests": "",  # those that are left out there unless somebody asks for them
    "boot_modules": "virtio_pci virtio_blk",  # what the initramfs needs to find its disks
    "disk_prefix": "/dev/vd",
    "bios_vmx": "on",  # Bochs: off locks VMX away
}


def names():
    return sorted(os.listdir(FOLDER))


def load(name):
    path = os.path.join(FOLDER, name)
    if "/" in name or not os.path.isfile(path):
        raise LabError(f"no host {name!r}; there are: {', '.join(names())}")
    host = dict(DEFAULTS, name=name)
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            key, equals, value = line.partition("=")
            if not equals:
                raise LabError(f"{path}:{number}: want `key = value`")
            host[key.strip()] = value.strip()
    missing = [key for key in REQUIRED if key not in host]
    if missing:
        raise LabError(f"{path}: missing {', '.join(missing)}")
    return host
