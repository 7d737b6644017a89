# SPDX-License-Identifier: GPL-2.0-only
"""What a host boots with: a small initramfs, and a root file system that is made anew for every run."""

import os
import re
import shlex
import shutil
import subprocess

from . import LabError, cache

HERE = os.path.dirname(os.path.abspath(__file__))
BUSYBOX = "/bin/busybox"
FOLDERS = ("bin", "dev", "etc", "lab", "lib", "mnt", "proc", "root", "run", "sys", "tmp")
HOME = "lab"  # where files land that have no place of their own; the script runs in it


def _tool(command, **options):
    try:
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        ).stdout
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; run scripts/setup") from error
    except subprocess.CalledProcessError as error:
        raise LabError(f"{command[0]} failed: {error.stderr.decode(errors='replace').strip()}") from error


def pack_cpio(folder, target):
    """An initramfs of what is in folder, not compressed: loading is cheap, decompressing in an emulator is not."""
    names = []
    for path, folders, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(path, name), folder) for name in folders + files]
    archive = _tool(
        ["cpio", "-o", "-H", "newc", "-R", "0:0", "--reproducible", "--quiet"],
        input="\n".join(sorted(names)).encode(), cwd=folder,
    )
    with open(target, "wb") as file:
        file.write(archive)


def initramfs(kernel, host):
    """The initramfs that mounts the root; one a kernel and set of boot modules, from the cache."""
    modules = host["boot_modules"].split() + ["squashfs", "overlay"]
    with open(os.path.join(HERE, "init"), "rb") as file:
        init = file.read()
    with open(BUSYBOX, "rb") as file:
        busybox = file.read()
    # What it is made of is its name, so it is never stale.
    digest = _tool(["sha256sum"], input=init + busybox).decode()[:12]
    key = "-".join([os.path.basename(kernel.folder), digest] + host["boot_modules"].split())

    def make(folder):
        root = os.path.join(folder, "root")
        for name in ("bin", "dev", "proc", "sys", "root", "lower", "upper", "modules"):
            os.makedirs(os.path.join(root, name))
        shutil.copy(BUSYBOX, os.path.join(root, "bin"))
        shutil.copy(os.path.join(HERE, "init"), os.path.join(root, "init"))
        os.chmod(os.path.join(root, "init"), 0o755)
        order = []
        for path in kernel.module_files(modules):
            shutil.copy(path, os.path.join(root, "modules"))
            order.append(os.path.basename(path))
        with open(os.path.join(root, "modules/order"), "w", encoding="utf-8") as file:
            file.write("".join(name + "\n" for name in order))
        pack_cpio(root, os.path.join(folder, "initramfs"))
        shutil.rmtree(root)

    return os.path.join(cache.once(f"initramfs/{key}", make), "initramfs")


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def libraries(path):
    """The shared libraries of an ELF program, its interpreter among them, as absolute paths."""
    done = subprocess.run(["ldd", path], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors="replace")
    missing = re.findall(r"^\s*(\S+) => not found", text, re.M)
    if missing:
        raise LabError(f"{path} needs {', '.join(missing)}, not found on this machine; run scripts/setup")
    return re.findall(r"(/\S+) \(0x", text)


class Root:
    """The root file system of a run, put together in a folder and packed as a squashfs."""

    def __init__(self, folder):
        self.folder = folder
        for name in FOLDERS:
            os.makedirs(os.path.join(folder, name))
        os.symlink("lib", os.path.join(folder, "lib64"))
        os.symlink("bin", os.path.join(folder, "sbin"))
        os.symlink(".", os.path.join(folder, "usr"))
        shutil.copy(BUSYBOX, os.path.join(folder, "bin/busybox"))
        for applet in _tool([BUSYBOX, "--list"]).decode().split():
            link = os.path.join(folder, "bin", applet)
            if not os.path.lexists(link):
                os.symlink("busybox", link)
        for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("group", "root:x:0:\n")):
            with open(os.path.join(folder, "etc", name), "w", encoding="utf-8") as file:
                file.write(text)
        for name, place in (("stage2", "stage2"), ("lab-result", "bin/lab-result")):
            shutil.copy(os.path.join(HERE, name), os.path.join(folder, place))
            os.chmod(os.path.join(folder, place), 0o755)

    def _place(self, source, target):
        target = os.path.join(self.folder, target.lstrip("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(source))
        # A name in the way is one of busybox's links: it must be replaced, not written through.
        if os.path.lexists(target):
            os.unlink(target)
        shutil.copy(source, target)

    def _add_file(self, source, target):
        self._place(source, target)
        if is_elf(source) and not source.endswith((".ko", ".o")):
            for library in libraries(source):
                # One folder that ld.so searches anyway holds them all, wherever Debian keeps them.
                interpreter = os.path.basename(library).startswith("ld-linux")
                self._place(library, "lib/" + os.path.basename(library) if interpreter else "lib/x86_64-linux-gnu/")

    def add(self, spec):
        """Add SOURCE or SOURCE:TARGET, a file or a folder; shared libraries come along."""
        source, _, target = spec.partition(":")
        if not os.path.exists(source):
            raise LabError(f"no such file: {source}")
        if not target:
            target = os.path.join(HOME, os.path.basename(os.path.abspath(source)))
        if not os.path.isdir(source):
            self._add_file(source, target)
            return
        for path, _, files in os.walk(source):
            inside = os.path.normpath(os.path.join(target, os.path.relpath(path, source)))
            os.makedirs(os.path.join(self.folder, inside.lstrip("/")), exist_ok=True)
            for name in files:
                self._add_file(os.path.join(path, name), os.path.join(inside, name))

    def configure(self, **settings):
        """Leave settings for stage2, as shell assignments."""
        with open(os.path.join(self.folder, "etc/lab.conf"), "a", encoding="utf-8") as file:
            for key, value in settings.items():
                file.write(f"{key}={shlex.quote(str(value))}\n")

    def pack(self, target):
        _tool(
            ["mksquashfs", self.folder, target, "-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"]
            + ["-all-root", "-no-exports"]
        )
