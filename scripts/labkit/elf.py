# SPDX-License-Identifier: GPL-2.0-only
"""A vmlinux as a loader sees it: its memory image, and the entry that PVH boots it by."""

import struct

from . import LabError

PT_LOAD, PT_NOTE = 1, 4
PHYS32_ENTRY = 18  # a note of the name "Xen": entry with paging off, after the PVH boot ABI


def _segments(file):
    header = file.read(64)
    if header[:6] != b"\x7fELF\x02\x01":
        raise LabError(f"{file.name}: not a 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    for number in range(count):
        file.seek(table + number * size)
        kind, _, offset, _, address, in_file, in_memory, _ = struct.unpack("<IIQQQQQQ", file.read(56))
        yield kind, offset, address, in_file, in_memory


def pvh_entry(path):
    """The physical address where PVH enters the kernel."""
    with open(path, "rb") as file:
        for kind, offset, _, size, _ in list(_segments(file)):
            if kind != PT_NOTE:
                continue
            file.seek(offset)
            notes = file.read(size)
            at = 0
            while at + 12 <= len(notes):
                name_size, size_of_it, note = struct.unpack_from("<III", notes, at)
                name = notes[at + 12 : at + 12 + name_size]
                value = at + 12 + (name_size + 3) // 4 * 4
                if name == b"Xen\0" and note == PHYS32_ENTRY:
                    return struct.unpack_from("<I", notes, value)[0]
                at = value + (size_of_it + 3) // 4 * 4
    raise LabError(f"{path}: no entry for PVH: CONFIG_PVH is off")


def flatten(path, target):
    """Write to a file what a kernel's segments are in memory, from the first of load_range() to the last."""
    with open(path, "rb") as file, open(target, "wb") as image:
        loads = [segment for segment in _segments(file) if segment[0] == PT_LOAD]
        base = min(address for _, _, address, _, _ in loads)
        for _, offset, address, in_file, in_memory in loads:
            file.seek(offset)
            image.seek(address - base)
            image.write(file.read(in_file))
            # What lies behind, the BSS, must read as zeros.
            if in_memory > in_file:
                image.truncate(address - base + in_memory)


def load_range(path):
    """The physical addresses of a kernel's first byte and of the one behind its last."""
    with open(path, "rb") as file:
        loads = [segment for segment in _segments(file) if segment[0] == PT_LOAD]
    return min(load[2] for load in loads), max(load[2] + load[4] for load in loads)
