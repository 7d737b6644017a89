# SPDX-License-Identifier: GPL-2.0-only
"""
Packages of other suites of Debian: one of backports with what it depends on, unpacked into the cache, or the sources of
one. Nothing is installed and apt's own configuration stays as it is: apt-get gets lists and archives of its own. The
mirror is the one the machine uses.
"""

import os
import shutil
import subprocess

from . import LabError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def codename():
    """The name of this machine's release of Debian."""
    with open("/etc/os-release", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VERSION_CODENAME="):
                return line.partition("=")[2].strip().strip('"')
    raise LabError("/etc/os-release names no Debian release")


def mirror(codename):
    """Address of the mirror that this machine has for Debian's main archive."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN)", "Created-By: Packages"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    for line in targets.splitlines():
        words = line.split()
        if words[1:] == [codename, "Debian"]:
            return words[0]
    raise LabError(f"apt has no source for Debian {codename}")


def _apt(folder, *words, cwd=None):
    # NoLocking: only folders of our own are written. User root: apt's own user could not read them.
    settings = {
        "Dir::Etc::sourcelist": os.path.join(folder, "sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": os.path.join(folder, "lists"),
        "Dir::Cache::archives": os.path.join(folder, "archives"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    done = subprocess.run(
        ["apt-get", "-q", "-y", *options, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, cwd=cwd,
    )
    if done.returncode:
        text = done.stdout.decode(errors="replace").strip().splitlines()
        raise LabError("apt-get " + words[0] + " failed: " + "; ".join(text[-3:]))


def _prepare(folder, kind, suites):
    """Folders and lists for an apt-get that knows these suites of the machine's mirror; return where."""
    address = mirror(codename())
    work = os.path.join(folder, "apt")
    for name in ("lists/partial", "archives/partial"):
        os.makedirs(os.path.join(work, name))
    with open(os.path.join(work, "sources.list"), "w", encoding="utf-8") as file:
        for suite in suites:
            file.write(f"{kind} [signed-by={KEYRING}] {address} {suite} main\n")
    _apt(work, "update")
    return work


def unpack(package, folder):
    """Fetch the package as backports have it, and unpack it with the packages it needs that are not installed."""
    release = codename()
    work = _prepare(folder, "deb", (release, f"{release}-backports"))
    _apt(work, "-t", f"{release}-backports", "--no-install-recommends", "--download-only", "install", package)
    for name in os.listdir(os.path.join(work, "archives")):
        if name.endswith(".deb"):
            subprocess.run(["dpkg-deb", "-x", os.path.join(work, "archives", name), folder], check=True)
    shutil.rmtree(work)


def source(package, suite, folder):
    """Fetch the tar file of a package's upstream sources, as a suite has them, into a folder."""
    work = _prepare(folder, "deb-src", (suite,))
    _apt(work, "source", "--tar-only", "--download-only", package, cwd=folder)
    shutil.rmtree(work)
