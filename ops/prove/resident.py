"""How much memory a process holds, as its kernel counts it."""

from __future__ import annotations

import ctypes
import gc
import os
import re
from pathlib import Path

from ops.exits import UNREACHABLE, Stopped


def own_resident_kib() -> int:
    """VmRSS of this process, in KiB, once it has given back what it no longer uses: what stays is held."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident_kib(os.getpid())


def resident_kib(pid: int) -> int:
    """VmRSS of a process, in KiB. Raises Stopped if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise Stopped(f"process {pid} is gone", UNREACHABLE)
    return int(found[1])
