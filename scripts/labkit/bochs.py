# SPDX-License-Identifier: GPL-2.0-only
"""
A host in Bochs, built from Debian's source package: the package itself is built without VMX.

Nothing is booted from a medium: Bochs puts the kernel, uncompressed, and the initramfs into the host's memory before
it starts, and a ROM in the place of the VGA BIOS enters the kernel. That spares the emulator a boot loader's reads and
the kernel's decompression.
"""

import glob
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time

from . import LabError, backports, build, cache, elf

CHANNELS = "pipe"  # Bochs appends to a file by its name; what is behind the name may be a pipe or a terminal
VERSION = "3.0"
SUITE = "trixie"
# Show-ips logs from a signal handler, and waits for ever when it interrupted something that was logging.
FLAGS = (
    "--enable-cpu-level=6 --enable-x86-64 --enable-smp --enable-vmx=2 --enable-svm --enable-avx --enable-evex "
    "--enable-handlers-chaining --enable-repeat-speedups --enable-fast-function-calls --enable-pci "
    "--enable-long-phy-address --with-nogui --disable-plugins --disable-docbook --disable-debugger --disable-show-ips"
).split()
# What 3.0 does not do as the hardware does, or not at all: file, text, what the text becomes.
FIXES = (
    # SVM: an intercepted #DB has the guest's DR6 written before the exit. Here it was lost.
    (
        "cpu/svm.cc",
        "  BX_CPU_THIS_PTR debug_trap = 0; // clear debug_trap field",
        "  if (vector == BX_DB_EXCEPTION)\n"
        "    BX_CPU_THIS_PTR dr6.set32((BX_CPU_THIS_PTR dr6.get32() & 0xffff6ff0) |\n"
        "                              (BX_CPU_THIS_PTR debug_trap & 0xe00f));\n"
        "  BX_CPU_THIS_PTR debug_trap = 0;",
    ),
    # SVM: an exit drops the guest's pending single step. Here the host got it, with the guest's TSS.
    (
        "cpu/svm.cc",
        "  SvmExitLoadHostState(&BX_CPU_THIS_PTR vmcb->host_state);",
        "  BX_CPU_THIS_PTR debug_trap = 0;\n  SvmExitLoadHostState(&BX_CPU_THIS_PTR vmcb->host_state);",
    ),
    # SVM: interrupts end the guest's run with its IF clear too, and virtual ones reach a guest entered with IF set. The
    # masks were made before the CPU counted as in the guest, or not at all when IF stayed as it was.
    (
        "cpu/svm.cc",
        "  BX_CPU_THIS_PTR in_svm_guest = true;\n",
        "  BX_CPU_THIS_PTR in_svm_guest = true;\n"
        "  unmask_event(BX_EVENT_PENDING_INTR | BX_EVENT_PENDING_LAPIC_INTR);\n"
        "  handleInterruptMaskChange();\n",
    ),
    # SVM: a guest in virtual-8086 mode is no guest in long mode. The mode changed after RFLAGS had been checked against
    # the host's.
    (
        "cpu/svm.cc",
        "  setEFlags((Bit32u) guest.eflags);",
        "  handleCpuModeChange();\n  setEFlags((Bit32u) guest.eflags);",
    ),
    # SVM: the guest's RFLAGS.VM goes with its mode. The host's EFER.LMA beside it ended the emulator.
    (
        "cpu/svm.cc",
        "  setEFlags(host->eflags & ~EFlagsVMMask); // ignore saved copy of EFLAGS.VM",
        "  BX_CPU_THIS_PTR eflags &= ~EFlagsVMMask;\n  setEFlags(host->eflags & ~EFlagsVMMask);",
    ),
    # SVM: VMRUN refuses paging in long mode without protection. It ended the emulator.
    (
        "cpu/svm.cc",
        "  // always assign EFER.LMA := EFER.LME & CR0.PG",
        "  if (guest.efer.get_LME() && guest.cr0.get_PG() && ! guest.cr0.get_PE()) {\n"
        "    BX_ERROR((\"VMRUN: Guest EFER.LME, CR0.PG, no CR0.PE\"));\n"
        "    return 0;\n"
        "  }\n",
    ),
    # SVM: what CS, SS, DS, ES, FS and GS have is a segment, and CS's is code and present, whatever the attributes say.
    # An access by a system segment ended the emulator.
    (
        "cpu/svm.cc",
        "  bool valid = (attr >> 7) & 1;\n",
        "  if (offset <= SVM_GUEST_GS_SELECTOR) attr |= offset == SVM_GUEST_CS_SELECTOR ? 0x98 : 0x10;\n"
        "  bool valid = (attr >> 7) & 1;\n",
    ),
    # The AMD models before Bulldozer have POPCNT in CPUID, and no SSE4.2.
    *(
        (
            "cpu/decoder/ia_opcodes.def",
            f"&BX_CPU_C::POPCNT_G{size}E{size}R, BX_ISA_SSE4_2",
            f"&BX_CPU_C::POPCNT_G{size}E{size}R, BX_ISA_POPCNT",
        )
        for size in "wdq"
    ),
    # Guest memory is allocated in blocks, in the order of first use; load_RAM() reads over the end of one.
    (
        "memory/misc_mem.cc",
        "get_vector(offset), size);",
        "get_vector(offset), size < BX_MEM_THIS block_size - offset % BX_MEM_THIS block_size"
        " ? size : BX_MEM_THIS block_size - offset % BX_MEM_THIS block_size);",
    ),
    # Writes of CR0 load the PDPTEs of PAE paging when they change PG, CD or NW. Here each write loaded them, those of a
    # VMX guest that changes nothing, too.
    (
        "cpu/crregs.cc",
        "  if (pg && BX_CPU_THIS_PTR cr4.get_PAE() && !long_mode()) {",
        "  if (pg && BX_CPU_THIS_PTR cr4.get_PAE() && !long_mode() && ((oldCR0 ^ val_32) & 0xe0000000)) {",
    ),
    # SVM: an exit while INT n or an interrupt is being delivered says which. Here it named what came before.
    (
        "cpu/exception.cc",
        "  BX_CPU_THIS_PTR in_event = true;\n",
        "  BX_CPU_THIS_PTR in_event = true;\n"
        "  if (BX_CPU_THIS_PTR in_svm_guest && type != BX_HARDWARE_EXCEPTION)\n"
        "    BX_CPU_THIS_PTR vmcb->ctrls.exitintinfo =\n"
        "      vector | ((type > BX_SOFTWARE_INTERRUPT ? BX_HARDWARE_EXCEPTION : type) << 8);\n",
    ),
    # VMX: external interrupts end the guest's run even if it came from a host with IF clear and has IF clear itself.
    (
        "cpu/vmx.cc",
        "  BX_CPU_THIS_PTR in_vmx_guest = true;\n\n  unmask_event(BX_EVENT_INIT);",
        "  BX_CPU_THIS_PTR in_vmx_guest = true;\n  handleInterruptMaskChange();\n\n  unmask_event(BX_EVENT_INIT);",
    ),
    # VMX: a virtual interrupt waits while IF is clear, also when an interrupt of the host is to end the guest's run.
    (
        "cpu/event.cc",
        "    if (is_pending(BX_EVENT_PENDING_VMX_VIRTUAL_INTR)) {",
        "    if (is_unmasked_event_pending(BX_EVENT_PENDING_VMX_VIRTUAL_INTR)) {",
    ),
    # VMX: an exit while a virtual interrupt is being delivered says which. Here it said vector 0.
    (
        "cpu/vapic.cc",
        "  BX_CPU_THIS_PTR EXT = 1; /* external event */\n",
        "  BX_CPU_THIS_PTR EXT = 1; /* external event */\n"
        "  vm->idt_vector_error_code = 0;\n"
        "  vm->idt_vector_info = vector | (BX_EXTERNAL_INTERRUPT << 8);\n"
        "  BX_CPU_THIS_PTR nmi_unblocking_iret = false;\n",
    ),
    # VMX: a notification may come when all that was posted is taken. Here vector 255 came of it.
    (
        "cpu/vapic.cc",
        "  vector = BX_CPU_THIS_PTR lapic->highest_priority_int(virr);\n  if (vector >= vm->rvi) vm->rvi = vector;",
        "  int highest = BX_CPU_THIS_PTR lapic->highest_priority_int(virr);\n"
        "  if (highest >= (int) vm->rvi) vm->rvi = highest;",
    ),
    # VMX: a posted-interrupt descriptor is aligned to 64 bytes, not to a page.
    (
        "cpu/vmx.cc",
        "      if (! IsValidPageAlignedPhyAddr(vm->pid_addr)) {",
        "      if (! IsValidPhyAddr(vm->pid_addr) || (vm->pid_addr & 0x3f)) {",
    ),
)
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
# It does so in IA32_FEATURE_CONTROL, on the first CPU and on the others: RDMSR, OR $5, WRMSR.
BIOS_ALLOWS_VMX = (b"\x0f\x32\x83\xc8\x05\x0f\x30", b"\x0f\x32\x66\x83\xc8\x05\x0f\x30")
SETUP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "setup")
HERE = os.path.dirname(os.path.abspath(__file__))

ROM_ADDRESS = 0xC0000
ROM_SIZE = 512
MEGABYTE = 1 << 20
ALIGN = 16 * MEGABYTE
MOST_MEMORY = 2048  # megabytes that Bochs takes from its own host
MOST_DISKS = 4  # masters and slaves of the PIIX's two channels
BIOS_DATA = 0x9FC00  # the end of the first piece of memory: the BIOS has its data behind it
ACPI_SIZE = 0x10000  # the BIOS puts its tables at the end of memory
START_MAGIC = 0x336EC578
RAM, RESERVED, ACPI = 1, 2, 3


# --- the emulator itself ---

def _fix(source):
    for name, old, new in FIXES:
        path = os.path.join(source, name)
        with open(path, encoding="latin-1") as file:
            text = file.read()
        if text.count(old) != 1:
            raise LabError(f"Bochs' {name} is not what it was: no {old!r}")
        with open(path, "w", encoding="latin-1") as file:
            file.write(text.replace(old, new))


def _compile(source, log):
    """Configure and build, with a note now and then."""
    total = len(glob.glob(os.path.join(source, "**/*.cc"), recursive=True))

    def progress():
        done = len(glob.glob(os.path.join(source, "**/*.o"), recursive=True))
        return f"building Bochs: {done} of at most {total} files"

    for words in (["./configure", *FLAGS], ["make", f"-j{os.cpu_count()}", "bochs"]):
        build.run(words, log, progress, cwd=source)


def _build(folder):
    subprocess.run([SETUP, "bochs"], check=True, stdout=sys.stderr)
    started = time.monotonic()
    work = os.path.join(folder, "work")
    os.mkdir(work)
    backports.source("bochs", SUITE, work)
    for name in os.listdir(work):
        if name.endswith(".tar.xz"):
            subprocess.run(["tar", "-xf", name], cwd=work, check=True)
    source = os.path.join(work, f"bochs-{VERSION}")
    if not os.path.isdir(source):
        raise LabError(f"Debian {SUITE} has not Bochs {VERSION} but {', '.join(os.listdir(work))}")
    _fix(source)
    _compile(source, os.path.join(folder, "build.log"))
    subprocess.run(["strip", "-o", os.path.join(folder, "bochs"), os.path.join(source, "bochs")], check=True)
    shutil.rmtree(work)
    print(f"lab: Bochs is built, after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _program():
    digest = hashlib.sha256(repr((FLAGS, FIXES)).encode()).hexdigest()[:12]
    try:
        folder = cache.once(
            f"bochs/{VERSION}-{digest}", _build, f"building Bochs {VERSION} into the cache (once, some minutes)"
        )
    except subprocess.CalledProcessError as error:
        raise LabError(f"cannot build Bochs: {error}") from error
    if not os.path.exists(BIOS):
        subprocess.run([SETUP, "bochs"], check=True, stdout=sys.stderr)
    return os.path.join(folder, "bochs")


# --- what is in memory when the host starts ---

def _kernel_image(kernel):
    folder = cache.once(
        "flat/" + os.path.basename(kernel.folder),
        lambda folder: elf.flatten(kernel.executable, os.path.join(folder, "image")),
    )
    return os.path.join(folder, "image")


def _bios(folder, host):
    """The BIOS, or a copy of it that turns VMX off for good, as firmware with a switch for it does."""
    if host["bios_vmx"] == "on":
        return BIOS
    with open(BIOS, "rb") as file:
        image = file.read()
    for code in BIOS_ALLOWS_VMX:
        if image.count(code) != 1:
            raise LabError(f"{BIOS} does not allow VMX in the way that it is known for")
        image = image.replace(code, code.replace(b"\xc8\x05", b"\xc8\x01"))
    with open(os.path.join(folder, "bios"), "wb") as file:
        file.write(image)
    return "bios"


def _start_info(address, initramfs_address, initramfs_size, append, memory):
    """PVH's description of the machine, and what it points to, as it must be at an address."""
    pieces = (
        (0, BIOS_DATA, RAM),
        (BIOS_DATA, MEGABYTE - BIOS_DATA, RESERVED),
        (MEGABYTE, memory * MEGABYTE - MEGABYTE - ACPI_SIZE, RAM),
        (memory * MEGABYTE - ACPI_SIZE, ACPI_SIZE, ACPI),
    )
    modules = address + 64
    memory_map = modules + 32
    words = memory_map + 24 * len(pieces)
    info = struct.pack(
        "<IIIIQQQQII", START_MAGIC, 1, 0, 1, modules, words, 0, memory_map, len(pieces), 0
    ).ljust(64, b"\0")
    info += struct.pack("<QQQQ", initramfs_address, initramfs_size, 0, 0)
    info += b"".join(struct.pack("<QQII", start, size, kind, 0) for start, size, kind in pieces)
    return info + append.encode() + b"\0"


def _rom(folder, entry, start_info):
    path = os.path.join(folder, "start.rom")
    subprocess.run(
        ["gcc", "-m32", "-nostdlib", "-static", "-Wl,--oformat=binary,--build-id=none,-Ttext=0"]
        + [f"-DROM={ROM_ADDRESS:#x}", f"-DENTRY={entry:#x}", f"-DSTART_INFO={start_info:#x}"]
        + ["-o", path, os.path.join(HERE, "bochs.S")],
        check=True,
    )
    with open(path, "rb") as file:
        code = file.read().ljust(ROM_SIZE - 1, b"\0")
    with open(path, "wb") as file:
        file.write(code + bytes([-sum(code) % 256]))


def _up(address):
    return (address + ALIGN - 1) // ALIGN * ALIGN


def _put_in_memory(folder, kernel, initramfs, append, memory):
    """Make the images of the start, and return Bochs' lines for them."""
    first, last = elf.load_range(kernel.executable)
    info_address = _up(last)
    initramfs_address = info_address + ALIGN
    size = os.path.getsize(initramfs)
    if initramfs_address + size + ALIGN > memory * MEGABYTE:
        raise LabError(f"{memory} MiB of memory are too little for kernel and initramfs")
    os.symlink(_kernel_image(kernel), os.path.join(folder, "kernel"))
    os.symlink(initramfs, os.path.join(folder, "initramfs"))
    with open(os.path.join(folder, "start"), "wb") as file:
        file.write(_start_info(info_address, initramfs_address, size, append, memory))
    _rom(folder, elf.pvh_entry(kernel.executable), info_address)
    return [
        "vgaromimage: file=start.rom",
        f"optramimage1: file=kernel, address={first:#x}",
        f"optramimage2: file=start, address={info_address:#x}",
        f"optramimage3: file=initramfs, address={initramfs_address:#x}",
    ]


# --- its devices ---

def _disks(folder, disks):
    if len(disks) > MOST_DISKS:
        raise LabError(f"a host in Bochs has at most {MOST_DISKS} disks, two of them its own")
    lines = [
        "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
        "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
    ]
    for number, (path, read_only) in enumerate(disks):
        os.symlink(os.path.abspath(path), os.path.join(folder, f"disk{number}"))
        # Volatile: the image is only read, and what is written is lost.
        mode = f"volatile, journal=journal{number}" if read_only else "flat"
        lines.append(
            f"ata{number // 2}-{'slave' if number % 2 else 'master'}: type=disk, path=disk{number}, mode={mode}, "
            "cylinders=0, heads=0, spt=0"
        )
    return lines


def _serial_ports(channels):
    lines = []
    for number, descriptor in enumerate(channels, 1):
        mode = "term" if os.isatty(descriptor) else "file"
        lines.append(f"com{number}: enabled=1, mode={mode}, dev=/proc/self/fd/{descriptor}")
    return lines


def _megabytes(text):
    units = {"M": 1, "G": 1024}
    number, unit = text[:-1], text[-1:].upper()
    if not number.isdigit() or unit not in units:
        raise LabError(f"memory {text}: want a number and M or G")
    return int(number) * units[unit]


def command(host, kernel, initramfs, disks, channels, append, folder):
    """
    The command line and its environment. disks: [(path, read_only)]; channels: file descriptors, pipes or terminals,
    which become the serial ports in this order; folder: for files that live as long as the host.
    """
    memory = _megabytes(host["memory"])
    if memory > MOST_MEMORY:
        raise LabError(f"a host in Bochs has at most {MOST_MEMORY} MiB of memory")
    program = _program()
    lines = [
        "config_interface: textconfig",
        "display_library: nogui",
        f"memory: guest={memory}, host={memory}",
        f"romimage: file={_bios(folder, host)}",
        f"cpu: model={host['model']}, count={host['cpus']}, ips={host['ips']}, "
        "reset_on_triple_fault=0, ignore_bad_msrs=1",
        "clock: sync=none, time0=local",
        "pci: enabled=1, chipset=i440fx",
        "panic: action=fatal",
        "error: action=report",
    ]
    lines += _put_in_memory(folder, kernel, initramfs, append, memory)
    lines += _disks(folder, disks) + _serial_ports(channels)
    with open(os.path.join(folder, "bochsrc"), "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    # Bochs reads its lines with commas and quotes of its own: names without either, in its own folder.
    script = 'cd "$1" && exec "$2" -q -f bochsrc'
    return ["sh", "-c", script, "sh", folder, program], dict(os.environ)
