# SPDX-License-Identifier: GPL-2.0-only
"""Systems of Debian for hosts and guests, made of packages by mmdebstrap: as root file systems, from the cache."""

import hashlib
import os
import shutil
import subprocess

from . import LabError, backports, cache

SETUP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "setup")


def _run(command):
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True,
        errors="replace", env=dict(os.environ, PATH=path, LC_ALL="C"),
    )
    if done.returncode:
        raise LabError(f"{command[0]} failed: " + "; ".join(done.stdout.strip().splitlines()[-5:]))


def _install(packages, changes, root):
    """Install Debian's base and the packages into the folder root, then run the shell commands in it."""
    if os.geteuid():
        raise LabError("systems of Debian are made by root")
    codename = backports.codename()
    source = f"deb [signed-by={backports.KEYRING}] {backports.mirror(codename)} {codename} main"
    hooks = [f"--customize-hook=chroot \"$1\" sh -c '{change}'" for change in changes]
    _run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--include=" + ",".join(packages)]
        + hooks + [codename, root, source]
    )


def _key(name, packages, changes):
    words = "\n".join([backports.codename(), *packages, *changes])
    return f"systems/{name}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"


def _once(name, packages, changes, finish):
    def make(folder):
        subprocess.run([SETUP, "debian"], check=True)
        root = os.path.join(folder, "root")
        _install(packages, changes, root)
        finish(folder, root)
        shutil.rmtree(root)

    return cache.once(
        _key(name, packages, changes), make, f"putting a system of Debian together: {name} (once, some minutes)"
    )


def tree(name, packages, changes=()):
    """A system to go into by chroot: path of a squashfs."""

    def finish(folder, root):
        _run(
            ["mksquashfs", root, os.path.join(folder, "root.squashfs"), "-comp", "zstd", "-Xcompression-level", "3"]
            + ["-no-progress", "-quiet"]
        )

    return os.path.join(_once(name, packages, changes, finish), "root.squashfs")


def disk(name, packages, changes=()):
    """A guest that boots by itself: paths of its disk (ext4, no partitions), of its kernel and of its initramfs."""

    def finish(folder, root):
        for link in ("vmlinuz", "initrd.img"):
            shutil.copyfile(os.path.realpath(os.path.join(root, link)), os.path.join(folder, link))
        image = os.path.join(folder, "disk")
        used = int(subprocess.check_output(["du", "-sm", root], text=True).split()[0])
        _run(["mke2fs", "-q", "-t", "ext4", "-d", root, "-L", name, image, f"{used * 5 // 4 + 256}M"])

    folder = _once(name, packages, changes, finish)
    return tuple(os.path.join(folder, file) for file in ("disk", "vmlinuz", "initrd.img"))
