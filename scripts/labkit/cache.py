# SPDX-License-Identifier: GPL-2.0-only
"""Things that are made once and kept outside the tree."""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile

from . import LabError


def folder():
    """The cache of this user, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        base = os.path.join(tempfile.gettempdir(), f"cache-{os.getuid()}")
    path = os.path.join(base, "okvm")
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def _locked(path):
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(key, make, note=None):
    """
    The folder cache/<key>. When it is not there yet, make(temporary folder) fills it; two labs that want
    the same one at the same time wait for each other, and a make that fails leaves nothing behind.
    """
    path = os.path.join(folder(), key)
    if os.path.isdir(path):
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with _locked(path):
        if os.path.isdir(path):
            return path
        if note:
            print(f"lab: {note}", file=sys.stderr, flush=True)
        temporary = tempfile.mkdtemp(prefix=os.path.basename(path) + ".", dir=os.path.dirname(path))
        try:
            os.chmod(temporary, 0o755)
            make(temporary)
            os.rename(temporary, path)
        except OSError as error:
            raise LabError(f"cannot fill the cache {path}: {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return path
