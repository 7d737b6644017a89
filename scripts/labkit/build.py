# SPDX-License-Identifier: GPL-2.0-only
"""What the lab builds for itself: commands with a log, and the kernel's sources."""

import os
import re
import subprocess
import sys

from . import LabError

KERNEL_SOURCE = "linux-source-6.1"


def _tail(path):
    with open(path, errors="replace", encoding="utf-8") as file:
        return "".join(file.readlines()[-15:])


def environment(**more):
    """That of this process; a make that it was run from has no part in what is made here."""
    mine = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    return dict(mine, **more)


def run(words, log, progress=None, **options):
    """Run a command, its output appended to the file log; progress() is what to show of it every 15 seconds."""
    with open(log, "ab") as file, subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        **{"env": environment(), **options},
    ) as process:
        while True:
            try:
                process.wait(15)
                break
            except subprocess.TimeoutExpired:
                if progress:
                    print(f"lab: {progress()}", file=sys.stderr, flush=True)
    if process.returncode:
        raise LabError(f"{' '.join(words)} failed:\n{_tail(log)}")


def kernel_source_version():
    """The version of the kernel's sources that apt would fetch."""
    policy = subprocess.run(
        ["apt-cache", "policy", KERNEL_SOURCE], env=dict(os.environ, LC_ALL="C"), check=True, text=True,
        stdout=subprocess.PIPE,
    ).stdout
    found = re.search(r"Candidate: ([^\s(]\S*)", policy)
    if not found:
        raise LabError(f"apt knows no {KERNEL_SOURCE}; run apt-get update")
    return found[1]


def kernel_source(folder, log, parts=()):
    """Fetch Debian's package of the kernel's sources into a folder and unpack them, or parts of them; return where."""
    run(["apt-get", "-q", "download", KERNEL_SOURCE], log, cwd=folder)
    archive = next(name for name in os.listdir(folder) if name.endswith(".deb"))
    run(["dpkg-deb", "-x", archive, "."], log, cwd=folder)
    os.unlink(os.path.join(folder, archive))
    wanted = [f"{KERNEL_SOURCE}/{part}" for part in parts]
    run(["tar", "-xf", f"usr/src/{KERNEL_SOURCE}.tar.xz", *wanted], log, cwd=folder)
    return os.path.join(folder, KERNEL_SOURCE)
