# SPDX-License-Identifier: GPL-2.0-only
"""
The debug kernel: Debian's sources with a small configuration and all that finds faults, built into the cache, and
okvm.ko built for it, beside the one for Debian's kernel.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time

from . import LabError, build, cache, kernel as kernels

HERE = os.path.dirname(os.path.abspath(__file__))
SETUP = os.path.join(os.path.dirname(HERE), "setup")
CONFIG = os.path.join(os.path.dirname(HERE), "debug-kernel/config")
TOP = os.path.dirname(os.path.dirname(HERE))
MODULE = os.path.join(TOP, "build/debug/okvm.ko")
OBJECTS = 1600  # about as many files are compiled

# What building a module needs of a kernel that was built, in the words of find(1).
FOR_MODULES = (
    ". arch/x86 -maxdepth 1 -name Makefile*",
    "arch/x86 -name Kbuild.platforms -o -name Platform",
    "include scripts arch/x86/include -type f -o -type l",
    ".config Module.symvers tools/objtool/objtool",
)


def _options():
    """The lines of the configuration's fragment."""
    with open(CONFIG, encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.startswith("CONFIG_")]


def _configure(source, log):
    """tinyconfig and the fragment; what Kconfig did not take as it stands there is an error."""
    build.run(["make", "tinyconfig"], log, cwd=source)
    path = os.path.join(source, ".config")
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(option + "\n" for option in _options())
    build.run(["make", "olddefconfig"], log, cwd=source)
    with open(path, encoding="utf-8") as file:
        settings = dict(line.strip().split("=", 1) for line in file if line.startswith("CONFIG_"))
    wrong = [line for line in _options() if settings.get(line.partition("=")[0], "n") != line.partition("=")[2]]
    if wrong:
        raise LabError(f"the debug kernel's configuration lacks {', '.join(wrong)}")


def _compile(source, log):
    started = time.monotonic()

    def progress():
        done = len(glob.glob(os.path.join(source, "**/*.o"), recursive=True))
        return f"building the debug kernel: {done} of about {OBJECTS} files, {time.monotonic() - started:.0f} s"

    build.run(["make", f"-j{os.cpu_count()}", "bzImage", "modules"], log, progress, cwd=source)
    print(f"lab: the debug kernel is built, after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _keep_build_folder(source, target):
    """What a module is built against: a hundredth of what the kernel was built in."""
    names = "".join(
        subprocess.run(["find", *words.split()], cwd=source, check=True, stdout=subprocess.PIPE, text=True).stdout
        for words in FOR_MODULES
    )
    os.mkdir(target)
    archive = subprocess.run(
        ["tar", "-c", "-T", "-"], cwd=source, check=True, input=names.encode(), stdout=subprocess.PIPE
    ).stdout
    subprocess.run(["tar", "-x"], cwd=target, check=True, input=archive)


def _make(folder):
    subprocess.run([SETUP, "debug"], check=True, stdout=sys.stderr)
    log = os.path.join(folder, "build.log")
    work = os.path.join(folder, "work")
    os.mkdir(work)
    source = build.kernel_source(work, log)
    _configure(source, log)
    _compile(source, log)
    out = os.path.join(work, "out")
    build.run(["make", "modules_install", f"INSTALL_MOD_PATH={out}"], log, cwd=source)
    shutil.copyfile(os.path.join(source, "arch/x86/boot/bzImage"), os.path.join(out, "vmlinuz"))
    kernels.finish(os.listdir(os.path.join(out, "lib/modules"))[0], out, folder)
    _keep_build_folder(source, os.path.join(folder, "build"))
    shutil.copy(os.path.join(source, "System.map"), folder)
    shutil.rmtree(work)


def load():
    """The debug kernel; it is built when the cache does not have it."""
    with open(CONFIG, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:12]
    folder = cache.once(
        f"kernels/debug-{build.kernel_source_version()}-{digest}", _make,
        "building the debug kernel into the cache (once, twenty minutes on two CPUs)",
    )
    release = os.listdir(os.path.join(folder, "lib/modules"))[0]
    kernel = kernels.Kernel(release, folder, os.path.join(folder, "build"))
    # The entry for ELF files calls code that KASAN has checks in, before there is a shadow to look at.
    kernel.executable = kernel.image
    return kernel


def _link_sources(folder):
    """Links to the module's sources, so that what is built from them lands in a folder of its own."""
    sources = ["Kbuild"]
    for pattern in ("kmod/**/*.[chS]", "include/**/*.h"):
        sources += glob.glob(pattern, root_dir=TOP, recursive=True)
    for name in sources:
        link = os.path.join(folder, name)
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(os.path.join(TOP, name), link)
    for link in glob.glob(os.path.join(folder, "**/*.[chS]"), recursive=True):
        if os.path.islink(link) and not os.path.exists(link):
            os.unlink(link)


def module(kernel):
    """okvm.ko for the debug kernel, built if its sources have changed."""
    folder = os.path.dirname(MODULE)
    os.makedirs(folder, exist_ok=True)
    _link_sources(folder)
    build.run(
        ["make", f"-j{os.cpu_count()}", "-C", kernel.build, f"M={folder}", "modules"],
        os.path.join(folder, "build.log"),
    )
    return MODULE
