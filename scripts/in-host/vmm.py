# SPDX-License-Identifier: GPL-2.0-only
"""For tests of VMMs in a test host's system of Debian: results as TAP, and QEMU with its console and monitor."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = float(os.environ.get("patience", "1"))
DISK = "/dev/vdd"  # a system of Debian that boots to a login prompt; see labkit/debian.py
KERNEL = "/guest/debian/vmlinuz"
INITRD = "/guest/debian/initrd.img"


class Failed(Exception):
    """What was waited for did not come, or a command was refused."""


class Tap:
    """Numbered points; finish() prints the plan."""

    def __init__(self):
        self.points = 0
        self.failed = 0

    def point(self, good, name):
        self.points += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.points} - {name}", flush=True)
        return good

    def same(self, got, wanted, name):
        if not self.point(got == wanted, name):
            print(f"# got {got!r}, want {wanted!r}", flush=True)

    def skip(self, name, why):
        self.points += 1
        print(f"ok {self.points} - {name} # SKIP {why}", flush=True)

    def check(self, name, steps):
        """A point that holds when steps() ends without Failed."""
        try:
            steps()
        except Failed as failure:
            self.point(False, name)
            for line in str(failure).splitlines()[-30:]:
                print(f"#   {line}", flush=True)
        else:
            self.point(True, name)

    def finish(self):
        print(f"1..{self.points}", flush=True)
        sys.exit(1 if self.failed else 0)


class Console:
    """What a guest prints on a serial port, and what is typed there."""

    def __init__(self, path):
        self.text = ""
        self.seen = 0
        self.changed = threading.Condition()
        self.ended = False
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        """What comes, without carriage returns and escape sequences, which may come in pieces."""
        piece = ""
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            text = re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]", "", piece + data.decode(errors="replace"))
            piece = re.search(r"(\x1b(\[[0-9;?]*)?)?$", text)[0]
            with self.changed:
                self.text += text.removesuffix(piece)
                self.ended = not data
                self.changed.notify_all()
            if not data:
                return

    def expect(self, pattern, seconds=120):
        """Wait for the regular expression in what has not been looked at yet; its match."""
        end = time.monotonic() + seconds * PATIENCE
        with self.changed:
            while True:
                found = re.search(pattern, self.text[self.seen :])
                if found:
                    self.seen += found.end()
                    return found
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    raise Failed(f"no {pattern!r} on the console; its end:\n{self.text[-1500:]}")
                self.changed.wait(left)

    def type(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def run(self, command, seconds=120):
        """Run a command in a shell there, which neither prompts nor echoes; what it prints."""
        self.type(f"{command}; echo END-$?-")
        return self.expect(r"(?s)(.*?)END-\d+-\n", seconds)[1].strip()


class Qemu:
    """A QEMU with KVM, its console, and its monitor (QMP). `with Qemu(...) as vm` ends it."""

    def __init__(self, *words, program="qemu-system-x86_64", accel="kvm"):
        self.folder = tempfile.mkdtemp(prefix="vmm-")
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8", errors="replace")
        sockets = [os.path.join(self.folder, name) for name in ("serial", "monitor")]
        command = [program, "-accel", accel, "-nodefaults", "-display", "none", "-no-user-config"]
        for name, path in zip(("serial0", "monitor0"), sockets):
            command += ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]
        command += ["-mon", "chardev=monitor0,mode=control"]
        command += ["-serial", "chardev:serial0", *words]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self._connect(sockets)

    def _connect(self, sockets):
        end = time.monotonic() + 60 * PATIENCE
        while not all(os.path.exists(path) for path in sockets):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed("QEMU did not start: " + self.said())
            time.sleep(0.05)
        self.console = Console(sockets[0])
        monitor = socket.socket(socket.AF_UNIX)
        monitor.connect(sockets[1])
        monitor.settimeout(120 * PATIENCE)
        self.monitor = monitor.makefile("rw", encoding="utf-8")
        self.events = []
        try:
            self.monitor.readline()
            self.qmp("qmp_capabilities")
        except OSError as error:
            raise Failed(f"QEMU's monitor: {error}: {self.said()}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def said(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()

    def qmp(self, command, **arguments):
        """A command of the monitor; what it returns."""
        words = {"execute": command}
        if arguments:
            words["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.monitor.write(json.dumps(words))
        self.monitor.flush()
        while True:
            line = self.monitor.readline()
            if not line:
                raise Failed(f"QEMU ended: {self.said()}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")
            self.events.append(answer["event"])

    def hmp(self, line):
        """A line for the human monitor; what it prints."""
        return self.qmp("human-monitor-command", command_line=line).strip()

    def wait_event(self, name, seconds=60):
        end = time.monotonic() + seconds * PATIENCE
        while name not in self.events:
            if time.monotonic() > end:
                raise Failed(f"no event {name}; {self.events}")
            self.qmp("query-status")
            time.sleep(0.1)
        self.events.remove(name)

    def wait_status(self, wanted, seconds=120):
        end = time.monotonic() + seconds * PATIENCE
        while self.qmp("query-status")["status"] != wanted:
            if time.monotonic() > end:
                raise Failed(f"status {self.qmp('query-status')}, not {wanted}")
            time.sleep(0.1)

    def wait_end(self, seconds=60):
        """Wait until QEMU ends by itself; its exit status must be 0."""
        try:
            status = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"the guest does not power off; its console:\n{self.console.text[-1500:]}") from None
        if status:
            raise Failed(f"QEMU ended with status {status}: {self.said()}")


def migrate(source, target_uri, seconds=120):
    """Move a running guest to where it is awaited; wait until it has gone."""
    source.qmp("migrate", uri=target_uri)
    end = time.monotonic() + seconds * PATIENCE
    while True:
        state = source.qmp("query-migrate").get("status")
        if state == "completed":
            return
        if state == "failed" or time.monotonic() > end:
            raise Failed(f"migration: {source.qmp('query-migrate')}")
        time.sleep(0.2)
