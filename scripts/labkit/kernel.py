# SPDX-License-Identifier: GPL-2.0-only
"""
Kernels for a test host: Debian's linux-image package of a release, fetched and unpacked into the cache (never
installed), a folder of one's own with vmlinuz and lib/modules/<release> in it, or the lab's debug kernel (debug.py).
"""

import lzma
import os
import re
import shutil
import struct
import subprocess

from . import LabError, cache, debug

KREL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "krel")


def _run(command, **options):
    """Run a command; its error text goes into the LabError."""
    try:
        done = subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; run scripts/setup") from error
    except subprocess.CalledProcessError as error:
        text = (error.stderr or b"").decode(errors="replace").strip()
        raise LabError(f"{' '.join(command)} failed:\n{text}") from error
    return done.stdout


def default_release():
    """The release that okvm.ko is built for, unless told otherwise."""
    return _run([KREL]).decode().strip()


class Kernel:
    """
    release: as `uname -r` prints it; image: the bzImage; executable: the same as an ELF file, which starts
    sooner since nothing has to be decompressed; modules: squashfs of lib/modules with depmod's files;
    tree: the folder that holds lib/modules; build: what modules are built against, if it is not Debian's headers.
    """

    def __init__(self, release, folder, build=None):
        self.release = release
        self.folder = folder
        self.image = os.path.join(folder, "vmlinuz")
        self.executable = os.path.join(folder, "vmlinux")
        self.modules = os.path.join(folder, "modules.squashfs")
        self.tree = folder
        self.build = build
        self._dependencies = None

    def _load_dependencies(self):
        listing = os.path.join(self.tree, "lib/modules", self.release, "modules.dep")
        with open(listing, encoding="utf-8") as lines:
            split = (line.split(":", 1) for line in lines)
            self._dependencies = {
                module_name(path): [path] + needs.split() for path, needs in split
            }

    def module_files(self, names):
        """Paths of the named modules and all that they need, in the order in which to load them."""
        if self._dependencies is None:
            self._load_dependencies()
        builtin = os.path.join(self.tree, "lib/modules", self.release, "modules.builtin")
        with open(builtin, encoding="utf-8") as lines:
            built_in = {module_name(line.strip()) for line in lines}
        files = []
        for name in names:
            name = name.replace("-", "_")
            if name in built_in:
                continue
            if name not in self._dependencies:
                raise LabError(f"kernel {self.release} has no module {name}")
            for path in reversed(self._dependencies[name]):
                full = os.path.join(self.tree, "lib/modules", self.release, path)
                if full not in files:
                    files.append(full)
        return files


def module_name(path):
    return re.sub(r"\.ko(\.xz|\.zst|\.gz)?$", "", os.path.basename(path)).replace("-", "_")


def _decompress(data):
    if data.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        command = ["zstd", "-dcq"]
    elif data.startswith(b"\x1f\x8b"):
        command = ["gzip", "-dcq"]
    elif data.startswith(b"\x02\x21\x4c\x18"):
        command = ["lz4", "-dcq"]
    else:
        raise LabError("kernel image: compression not known")
    # The payload is followed by its size, which these tools call trailing garbage: look at the output alone.
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def _extract_executable(image, target):
    """Take the ELF file out of a bzImage: payload_offset and payload_length of the boot protocol's header."""
    with open(image, "rb") as file:
        data = file.read()
    if len(data) < 0x268 or data[0x202:0x206] != b"HdrS":
        raise LabError(f"{image}: not a bzImage")
    setup_sectors = (data[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = setup_sectors * 512 + offset
    executable = _decompress(data[start : start + length])
    if not executable.startswith(b"\x7fELF"):
        raise LabError(f"{image}: its payload is not an ELF file")
    with open(target, "wb") as file:
        file.write(executable)


def finish(release, source, folder):
    """Fill a cache folder from an unpacked kernel: source has boot/vmlinuz-<release> or vmlinuz, and lib/modules."""
    image = os.path.join(source, "boot", f"vmlinuz-{release}")
    if not os.path.exists(image):
        image = os.path.join(source, "vmlinuz")
    modules = os.path.join(source, "lib/modules", release)
    if not os.path.isdir(modules):
        modules = os.path.join(source, "usr/lib/modules", release)
    target = os.path.join(folder, "lib/modules", release)
    shutil.copyfile(image, os.path.join(folder, "vmlinuz"))
    os.makedirs(os.path.dirname(target))
    shutil.copytree(modules, target, symlinks=True, ignore=shutil.ignore_patterns("build", "source"))
    _run(["depmod", "-b", folder, release], env=dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin"))
    _extract_executable(os.path.join(folder, "vmlinuz"), os.path.join(folder, "vmlinux"))
    _run(
        ["mksquashfs", os.path.join(folder, "lib/modules"), os.path.join(folder, "modules.squashfs")]
        + ["-comp", "zstd", "-Xcompression-level", "3", "-no-progress", "-quiet", "-all-root"]
    )


def _package_version(release):
    """The package version to fetch: that of the installed headers, or else apt's candidate."""
    headers = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", f"linux-headers-{release}"],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ).stdout.decode()
    if headers:
        return headers
    policy = _run(["apt-cache", "policy", f"linux-image-{release}"], env=dict(os.environ, LC_ALL="C")).decode()
    candidate = re.search(r"Candidate: (\S+)", policy)
    if not candidate or candidate[1] == "(none)":
        raise LabError(f"apt knows no linux-image-{release}; run apt-get update, or choose another --kernel")
    return candidate[1]


def _installed(release):
    """Whether the machine itself has the kernel, readable for this user."""
    return os.access(f"/boot/vmlinuz-{release}", os.R_OK) and os.path.isdir(f"/lib/modules/{release}/kernel")


def _fetch(release, version, folder):
    """Fetch and unpack Debian's package into folder."""
    if _installed(release):
        finish(release, "/", folder)
        return
    package = f"linux-image-{release}"
    try:
        _run(["apt-get", "-q", "download", f"{package}={version}"], cwd=folder)
    except LabError:
        # Mirrors drop a version when the next one comes; the module's vermagic only needs the same release.
        _run(["apt-get", "-q", "download", package], cwd=folder)
    archives = [name for name in os.listdir(folder) if name.endswith(".deb")]
    unpacked = os.path.join(folder, "unpacked")
    _run(["dpkg-deb", "-x", os.path.join(folder, archives[0]), unpacked])
    finish(release, unpacked, folder)
    shutil.rmtree(unpacked)
    os.unlink(os.path.join(folder, archives[0]))


def _debian(release):
    version = _package_version(release)
    folder = cache.once(
        f"kernels/{release}_{version}",
        lambda temporary: _fetch(release, version, temporary),
        f"putting Debian's kernel {release} {version} into the cache (once, about half a minute)",
    )
    return Kernel(release, folder)


def _own(source):
    """A kernel folder of one's own; cached by the time its image was written."""
    source = os.path.abspath(source)
    releases = os.listdir(os.path.join(source, "lib/modules"))
    if len(releases) != 1:
        raise LabError(f"{source}/lib/modules: want one release, found {len(releases)}")
    stamp = os.stat(os.path.join(source, "vmlinuz")).st_mtime_ns
    folder = cache.once(
        f"kernels/{releases[0]}_{stamp}",
        lambda temporary: finish(releases[0], source, temporary),
        f"preparing the kernel of {source}",
    )
    return Kernel(releases[0], folder)


def load(spec=None):
    """The kernel of a release or of a folder, or `debug`; without any, that of the headers okvm is built against."""
    if spec == "debug":
        return debug.load()
    if spec and "/" in spec:
        return _own(spec)
    release = spec or default_release()
    if not re.fullmatch(r"[0-9][A-Za-z0-9.+~-]*", release):
        raise LabError(f"not a kernel release: {release!r}")
    return _debian(release)
