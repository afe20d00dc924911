"""A process's writes to its log, call by call: recorded in C, read back as values."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nodes.shell import die_with_parent
from ops.prove.outcome import NotPermitted

SOURCE = Path(__file__).with_name("recorder.c")
WRITER_WITHIN_S = 60.0

_header = struct.Struct("=IIqQ")


class Kind(IntEnum):
    """What a process did, as recorder.c numbers it."""

    WRITE = 1
    FLUSH = 2
    RESIZE = 3
    ACKNOWLEDGED = 4
    NOTED = 5


class Call(NamedTuple):
    """One call that had succeeded. A synchronous write was durable when it returned."""

    kind: Kind
    synchronous: bool
    offset: int
    data: bytes


def compiled(directory: Path) -> Path:
    """The recorder as a library in `directory`. NotPermitted if there is no C compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise NotPermitted("the recorder of crash states is compiled with gcc, which is not installed")
    library = directory / "recorder.so"
    options = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", library, SOURCE, "-ldl", "-pthread"], check=True)
    return library


def recorded(library: Path, directory: Path, seed: int, writes: int, *weaknesses: str) -> tuple[Call, ...]:
    """What `ops.prove.writer` does to a new log in `directory` (made, and left there) for a seed's writes."""
    directory.mkdir()
    trace = directory / "trace"
    command = [
        sys.executable, "-m", "ops.prove.writer", str(directory / "log"), str(seed), str(writes),
        str(directory / "acknowledgements"), *weaknesses,
    ]  # fmt: skip
    environ = {**os.environ, "LD_PRELOAD": str(library), "RECORDER_TRACE": str(trace)}
    dies = partial(die_with_parent, os.getpid())
    subprocess.run(command, env=environ, check=True, timeout=WRITER_WITHIN_S, preexec_fn=dies)
    return tuple(_calls(trace.read_bytes()))


def _calls(trace: bytes) -> Iterator[Call]:
    at = 0
    while at < len(trace):
        kind, synchronous, offset, length = _header.unpack_from(trace, at)
        at += _header.size
        yield Call(Kind(kind), bool(synchronous), offset, trace[at : at + length])
        at += length
