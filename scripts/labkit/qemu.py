# SPDX-License-Identifier: GPL-2.0-only
"""
A host in QEMU.

QEMU before 8.1 can keep running the old translation of an instruction that another CPU has just changed. A kernel
changes its own instructions all the time (static keys: the creation of a VM flips some), and a host with two CPUs
running in parallel hangs on it within minutes. Where the machine's QEMU is older, the lab takes one from backports.

In all QEMUs so far, XRSTOR on any CPU writes the first CPU's flags (cpu_clear_ignne() in target/i386/tcg/system/
fpu_helper.c), unlocked: the interrupt flag of SVM, GIF, that VMRUN and #VMEXIT have just changed there may come back.
The host then takes an interrupt with the guest's GS base and is lost. So a host whose CPUs run in parallel has one
more CPU, the first, that no process of its user space may run on, and so no guest.
"""

import os
import re
import shutil
import subprocess
import sys

from . import LabError, backports, cache

CHANNELS = "socket"
PROGRAM = "qemu-system-x86_64"
SOUND_SINCE = (8, 1)


def _version(program):
    text = subprocess.run([program, "--version"], check=False, stdout=subprocess.PIPE, text=True).stdout
    version = re.search(r"version (\d+)\.(\d+)", text)
    return tuple(map(int, version.groups())) if version else (0, 0)


def _unpacked(folder):
    """The command words for a QEMU that was unpacked into a folder."""
    share = os.path.join(folder, "usr/share")
    return [
        os.path.join(folder, "usr/bin", PROGRAM),
        "-L", os.path.join(share, "qemu"), "-L", os.path.join(share, "seabios"),
    ]


def _choose(accel):
    """
    The QEMU for an accelerator: command words, environment, and the accelerator, which is toned down to CPUs that
    take turns when no QEMU can be had that runs them in parallel soundly.
    """
    environment = dict(os.environ)
    own = shutil.which(PROGRAM)
    if own and ("thread=multi" not in accel or _version(own) >= SOUND_SINCE):
        return [own], environment, accel
    try:
        folder = cache.once(
            "qemu/backports", lambda folder: backports.unpack("qemu-system-x86", folder),
            "fetching a newer QEMU from Debian's backports into the cache (once, about 15 seconds)",
        )
    except (LabError, OSError, subprocess.CalledProcessError) as error:
        if not own:
            raise LabError(f"{PROGRAM} is not installed; run scripts/setup") from error
        print(
            f"lab: warning: this QEMU is older than {'.'.join(map(str, SOUND_SINCE))}, and no newer one could be "
            f"fetched ({error}): the host's CPUs take turns instead of running in parallel",
            file=sys.stderr, flush=True,
        )
        return [own], environment, accel.replace("thread=multi", "thread=single")
    environment["LD_LIBRARY_PATH"] = os.path.join(folder, "usr/lib/x86_64-linux-gnu")
    return _unpacked(folder), environment, accel


def command(host, kernel, initramfs, disks, channels, append, _):
    """
    The command line and its environment. disks: [(path, read_only)]; channels: file descriptors of connected
    sockets, which become the serial ports in this order.
    """
    words, environment, accel = _choose(host["accel"])
    cpus = int(host["cpus"])
    if "thread=multi" in accel and cpus > 1:
        append += f" lab.cpus={(1 << cpus) - 1 << 1:x}"
        cpus += 1
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-M", host["machine"], "-cpu", host["cpu"], "-accel", accel]
    words += ["-smp", str(cpus), "-m", host["memory"]]
    if "icount" in host:
        words += ["-icount", host["icount"]]
    for number, descriptor in enumerate(channels):
        words += ["-chardev", f"socket,id=com{number},fd={descriptor}", "-serial", f"chardev:com{number}"]
    for number, (path, read_only) in enumerate(disks):
        quoted = os.path.abspath(path).replace(",", ",,")
        words += [
            "-drive",
            f"if=none,id=disk{number},file={quoted},format=raw,read-only={'on' if read_only else 'off'}"
            + (",file.locking=off" if read_only else ""),
            "-device",
            f"virtio-blk-pci,drive=disk{number}",
        ]
    # The registers at a reset: a host that triple-faults says nothing else. TCG alone has them.
    words += ["-d", "cpu_reset"]
    words += ["-kernel", kernel.executable, "-initrd", initramfs, "-append", append]
    return words, environment
