"""Raw timings (A19) on disk: one file of fixed-size records a process, in its data directory, the newest kept.

    record 0      magic, since when the records are numbered (µs, wall clock), how many slots follow
    slot n        record number i stands in slot (i - 1) mod slots, with i at either end: a torn one is passed over

The hot path appends a tuple to a bounded list; a thread packs and writes what has gathered a moment later, so that no
loop ever waits for the disk. What does not fit the list, or cannot be written, is counted and lost: timings are
no promise, and no fsync is spent on them. A process that is killed takes the last fraction of a second along.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from io import FileIO
from itertools import product
from pathlib import Path
from threading import Event, Thread
from typing import Final, NamedTuple, TypeAlias

from nodes.wire.schema import STATUSES
from projections.rooms.identity import request_id_of
from projections.timings import KEY_BYTES, LEGS, Timing, key_of

FILE_NAME: Final = "timings"
SLOTS: Final = 65_536
"""Records a file keeps: 4.5 MiB."""

PENDING_MAX: Final = 4_096
"""Records that wait for the thread; one more is lost."""

GATHER_S: Final = 0.02
"""Between the first record that waits and the write of all."""

SLICE: Final = 512
"""Records packed at a time: the interpreter's lock is given back between two slices."""

US_MAX: Final = (1 << 32) - 1
_MAGIC: Final = b"aulario timings1"
_HEADER: Final = struct.Struct("<16sQI")
RECORD_BYTES: Final = 72
_RECORD: Final = struct.Struct("<QqIIIBB36sI2x")
"""number, ended_us, us, faculty id, program id, code, length of the id, transaction id, number's lower half"""

_ID_BYTES: Final = 36
"""Longest transaction id that is kept as it is."""
_HASHED: Final = 0xFF
_NAMES: Final = tuple(product(LEGS, ("async", "lbb"), ("", *STATUSES)))
_CODES: Final = {names: code for code, names in enumerate(_NAMES)}
_HALF: Final = (1 << 32) - 1

_Measured: TypeAlias = tuple[str, str, str, int, int, str, int, int]
"""leg, pattern, status, faculty id, program id, transaction id, ended_us, us"""


class TimingFile(NamedTuple):
    """What a file holds: since when its records are numbered, and those it still has, in the order of their numbers."""

    since_us: int
    timings: Sequence[Timing]


class TimingWriter:
    """Writes one process's file."""

    def __init__(self, directory: Path, slots: int = SLOTS, pending_max: int = PENDING_MAX) -> None:
        self._path = directory / FILE_NAME
        self._slots = slots
        self._pending_max = pending_max
        self._pending: deque[_Measured] = deque()
        self._file: FileIO | None = None
        self._next = 1
        self._overflowed = 0
        self._unwritten = 0
        self._stopping = Event()
        self._wake = Event()
        self._is_awake = False
        self._thread = Thread(target=self._run, name="timing-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Timings that are not in the file and never will be."""
        return self._overflowed + self._unwritten

    def add(
        self,
        leg: str,
        pattern: str,
        status: str,
        faculty_id: int,
        program_id: int,
        transaction_id: str,
        ended_us: int,
        us: int,
    ) -> None:
        """A leg has ended; see projections.timings.Timing. Only ever called from the process's loop; never waits."""
        if len(self._pending) >= self._pending_max:
            self._overflowed += 1
            return
        self._pending.append((leg, pattern, status, faculty_id, program_id, transaction_id, ended_us, us))
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()

    def close(self, time_limit_s: float = 2.0) -> None:
        """Write what is there, then stop; give up on a disk that hangs."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(time_limit_s)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._wake.wait()
            self._wake.clear()
            stopping = self._stopping.wait(GATHER_S)
            self._is_awake = False  # before it looks: what comes after that wakes it again
            self._flush()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _flush(self) -> None:
        while self._pending:
            size = min(len(self._pending), self._slots, SLICE)
            measured = [self._pending.popleft() for _ in range(size)]
            try:
                self._write(measured)
            except OSError:
                self._unwritten += size

    def _write(self, measured: Sequence[_Measured]) -> None:
        if self._file is None:
            self._file, self._next = _opened(self._path, self._slots)
        packed = [_packed(self._next + index, one) for index, one in enumerate(measured)]
        begin = (self._next - 1) % self._slots
        until_end = self._slots - begin
        _write_at(self._file, 1 + begin, packed[:until_end])
        if packed[until_end:]:
            _write_at(self._file, 1, packed[until_end:])
        self._next += len(packed)


def read_timings(directory: Path) -> TimingFile | None:
    """The timings a process left in its data directory, running or not; None if there are none that can be read."""
    try:
        content = (directory / FILE_NAME).read_bytes()
    except OSError:
        return None
    header = _header_of(content)
    if header is None:
        return None
    timings = sorted(_records(content[RECORD_BYTES:]))
    return TimingFile(header[0], timings)


def _opened(path: Path, slots: int) -> tuple[FileIO, int]:
    """The file, made anew if it is none of ours or of another size, and the number of the next record."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    header = _header_of(content)
    if header is not None and header[1] == slots:
        whole = len(content) // RECORD_BYTES * RECORD_BYTES
        records = _RECORD.iter_unpack(content[RECORD_BYTES:whole])
        numbers = (number for number, *_, end in records if number & _HALF == end)
        return FileIO(path, "r+"), 1 + max(numbers, default=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(_HEADER.pack(_MAGIC, time.time_ns() // 1_000, slots).ljust(RECORD_BYTES, b"\0"))
    new.replace(path)
    return FileIO(path, "r+"), 1


def _write_at(file: FileIO, slot: int, packed: Sequence[bytes]) -> None:
    data = b"".join(packed)
    file.seek(slot * RECORD_BYTES)
    if file.write(data) != len(data):
        raise OSError("the disk took a part of it")


def _packed(number: int, one: _Measured) -> bytes:
    leg, pattern, status, faculty_id, program_id, transaction_id, ended_us, us = one
    code = _CODES[leg, pattern, status]
    name = transaction_id.encode()
    length = len(name)
    if length > _ID_BYTES:
        name, length = sha256(name).digest(), _HASHED
    return _RECORD.pack(
        number, ended_us, min(us, US_MAX), faculty_id, program_id, code, length, name, number & _HALF
    )  # fmt: skip


def _header_of(content: bytes) -> tuple[int, int] | None:
    """(since_us, slots) of a file of timings."""
    if len(content) < RECORD_BYTES:
        return None
    magic, since_us, slots = _HEADER.unpack_from(content)
    return (since_us, slots) if magic == _MAGIC and slots > 0 else None


def _records(content: bytes) -> Iterator[Timing]:
    for at in range(0, len(content) - RECORD_BYTES + 1, RECORD_BYTES):
        number, ended_us, us, faculty_id, program_id, code, length, name, end = _RECORD.unpack_from(content, at)
        if number and number & _HALF == end and code < len(_NAMES):
            key = name[:KEY_BYTES] if length == _HASHED else _key(name[:length])
            leg, pattern, status = _NAMES[code]
            yield Timing(number, leg, pattern, status, faculty_id, program_id, key, ended_us, us)


def _key(name: bytes) -> bytes:
    return key_of(request_id_of(name.decode(errors="replace")))
