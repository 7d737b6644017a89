# SPDX-License-Identifier: GPL-2.0-only
"""Running a host: its channels, the user's terminal, the time limit, and what is left when it ends."""

import ctypes
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import termios
import time
import tty

from . import LabError, klog

CONSOLE, KERNEL_LOG, STATUS = range(3)
ESCAPE = b"\x1d"  # Ctrl-]
PR_SET_PDEATHSIG = 1
LINGER = 15  # seconds from the status until the emulator must have ended

EXIT_KERNEL_TROUBLE = 123
EXIT_TIMEOUT = 124
EXIT_LAB = 125

_libc = ctypes.CDLL(None)


class Stopped(Exception):
    """A signal asked the lab to end."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def note(text):
    # A terminal in raw mode does not return the carriage by itself.
    end = "\r\n" if Terminal.raw else "\n"
    print(f"lab: {text}", file=sys.stderr, flush=True, end=end)


def _die_with_parent():
    # The lab may be killed with no chance to clean up; the emulator must not outlive it.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Terminal:
    """The user's terminal in raw mode, as it was again at the end whatever happens in between."""

    raw = False

    def __init__(self, wanted):
        self.saved = None
        if wanted:
            self.saved = termios.tcgetattr(0)

    def __enter__(self):
        if self.saved:
            tty.setraw(0, termios.TCSANOW)
            Terminal.raw = True
        return self

    def __exit__(self, *_):
        if self.saved:
            termios.tcsetattr(0, termios.TCSANOW, self.saved)
            Terminal.raw = False


class Run:
    """One boot of a host. After go(), result() is the exit status of the lab."""

    def __init__(self, host, timeout, folder, interactive=False, quiet=False, allow=(), results=None):
        self.host = host
        self.timeout = timeout
        self.folder = folder
        self.interactive = interactive
        self.quiet = quiet
        self.scanner = klog.Scanner(allow)
        self.results = results
        self.status = None
        self.error = None
        self.timed_out = False
        self.ended_by_user = False
        self.started = None
        self.up = None
        self.status_at = None
        self.process = None
        self.pairs = []  # of descriptors, ours and theirs
        self.buffers = {KERNEL_LOG: b"", STATUS: b""}
        self.logs = {}

    def log_path(self, name):
        return os.path.join(self.folder, name)

    # --- what the host says ---

    def _on_console(self, data):
        self.logs["console.log"].write(data)
        try:
            os.write(1, data)
        except BrokenPipeError:
            raise Stopped(signal.SIGPIPE) from None

    def _on_kernel_line(self, line):
        if self.scanner.feed(line) and len(self.scanner.trouble) == 1:
            note(f"kernel log: {line.strip()}")

    def _on_status_line(self, line):
        word, _, rest = line.strip().partition(" ")
        if word == "up":
            self.up = time.monotonic() - self.started
            if not self.quiet:
                note(f"{self.host['name']} is up after {self.up:.0f} s")
        elif word == "result":
            if self.results:
                self.results.write(rest + "\n")
                self.results.flush()
        elif word == "error":
            self.error = rest
        elif word == "status" and re.fullmatch(r"\d+", rest):
            self.status = int(rest)
            self.status_at = time.monotonic()

    def _on_lines(self, channel, data, handler):
        *lines, self.buffers[channel] = (self.buffers[channel] + data).split(b"\n")
        for line in lines:
            handler(line.decode(errors="replace").rstrip("\r"))

    def _on_data(self, channel, data):
        if channel == CONSOLE:
            self._on_console(data)
        elif channel == KERNEL_LOG:
            self.logs["kernel.log"].write(data)
            self._on_lines(channel, data, self._on_kernel_line)
        else:
            self._on_lines(channel, data, self._on_status_line)

    # --- running it ---

    def channels(self, kind):
        """
        Descriptors for the emulator's ends of the channels: connected sockets, or pipes that it only writes to, with
        a terminal for the script when there is somebody to type.
        """
        for channel in (CONSOLE, KERNEL_LOG, STATUS):
            if kind == "socket":
                self.pairs.append(tuple(end.detach() for end in socket.socketpair()))
            elif channel == CONSOLE and self.interactive:
                ours, theirs = os.openpty()
                tty.setraw(theirs)
                self.pairs.append((ours, theirs))
            else:
                self.pairs.append(os.pipe())
        return [theirs for _, theirs in self.pairs]

    def _start(self, command, environment):
        descriptors = [theirs for _, theirs in self.pairs]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL,
            stdout=self.logs["emulator.log"], stderr=subprocess.STDOUT,
            pass_fds=descriptors, preexec_fn=_die_with_parent, start_new_session=True,
        )
        for theirs in descriptors:
            os.close(theirs)

    def _kill(self):
        if not self.process:
            return
        if self.status is None and not self.timed_out:
            # Its channels are closed: let it end by itself, so that its exit status says how.
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                pass
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _overdue(self):
        now = time.monotonic()
        if self.status_at is not None:
            return now - self.status_at > LINGER
        if self.timeout and now - self.started > self.timeout:
            self.timed_out = True
            return True
        return False

    def _on_keys(self, console):
        data = os.read(0, 4096)
        if ESCAPE in data or not data:
            self.ended_by_user = True
            return False
        while data:
            data = data[os.write(console, data) :]
        return True

    def _relay(self):
        """Carry data until the emulator closes its channels, time is up, or the user ends it."""
        chooser = selectors.DefaultSelector()
        for channel, (ours, _) in enumerate(self.pairs):
            chooser.register(ours, selectors.EVENT_READ, channel)
        if self.interactive:
            chooser.register(0, selectors.EVENT_READ, "keys")
        open_channels = len(self.pairs)
        while open_channels and not self._overdue():
            for key, _ in chooser.select(timeout=0.5):
                if key.data == "keys":
                    if not self._on_keys(self.pairs[CONSOLE][0]):
                        return
                    continue
                try:
                    data = os.read(key.fd, 65536)
                except OSError:
                    data = b""  # a reset, or a terminal that nobody has open any more
                if data:
                    self._on_data(key.data, data)
                else:
                    chooser.unregister(key.fileobj)
                    open_channels -= 1

    def go(self, command, environment):
        """Run the emulator to its end. No process of it is left afterwards, however this ends."""
        def stop(number, _):
            raise Stopped(number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        for name in ("console.log", "kernel.log", "emulator.log"):
            self.logs[name] = open(self.log_path(name), "wb", buffering=0)
        self.started = time.monotonic()
        try:
            with Terminal(self.interactive):
                self._start(command, environment)
                self._relay()
        finally:
            self._kill()
            for ours, _ in self.pairs:
                os.close(ours)
            for log in self.logs.values():
                log.close()

    # --- what came of it ---

    def _tail(self, name, lines=40):
        try:
            with open(self.log_path(name), "r", errors="replace", encoding="utf-8") as file:
                text = file.read().splitlines()[-lines:]
        except OSError:
            return
        if text:
            note(f"last lines of {self.log_path(name)}:")
            sys.stderr.write("".join(f"  {line}\n" for line in text))

    def _how_it_ended(self):
        code = self.process.returncode if self.process else None
        return f"signal {-code}" if code and code < 0 else f"status {code}"

    def _show_trouble(self):
        note("the host's kernel logged what a healthy kernel does not:")
        with open(self.log_path("kernel.log"), "r", errors="replace", encoding="utf-8") as file:
            text = file.read().splitlines()
        first = next((n for n, line in enumerate(text) if line.strip() == self.scanner.trouble[0].strip()), 0)
        sys.stderr.write("".join(f"  {line}\n" for line in text[max(0, first - 3) : first + 60]))

    def result(self):
        """Say what failed, and return the status that the lab ends with."""
        name = self.host["name"]
        if self.ended_by_user and self.status is None:
            note(f"{name}: ended from the keyboard")
            return EXIT_LAB
        if self.timed_out:
            self._tail("kernel.log")
            note(f"{name}: no end after {self.timeout:.0f} s; logs in {self.folder}")
            return EXIT_TIMEOUT
        if self.scanner.trouble:
            self._show_trouble()
            note(f"{name}: failed for its kernel log, whole in {self.log_path('kernel.log')}")
            return self.status if self.status else EXIT_KERNEL_TROUBLE
        if self.error:
            self._tail("kernel.log", 10)
            note(f"{name}: {self.error}")
        if self.status is None:
            self._tail("emulator.log")
            self._tail("kernel.log")
            note(f"{name}: ended without a status, the emulator with {self._how_it_ended()}; logs in {self.folder}")
            return EXIT_LAB
        if not self.quiet:
            note(f"{name} ended after {time.monotonic() - self.started:.0f} s with status {self.status}")
        return self.status
