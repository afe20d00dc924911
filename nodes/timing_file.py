"""Raw timings (A19) on disk: two files of blocks in a process's data directory, the newest kept.

    begin         magic, since when the records are numbered (µs, wall clock)
    each block    number of its first record, how many, bytes that follow, their CRC-32; then msgpack, an array a record

The hot path packs what ended together, while it is still in the processor's cache, and appends that to a bounded list;
a thread writes what has gathered a moment later, so that no loop ever waits for the disk. A file that is full becomes
the old one, in the place of the one before. What does not fit the list, or cannot be written, is counted and lost:
timings are no promise, and no fsync is spent on them. A process that is killed takes the last fraction of a second
along.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgpack

from projections.timings import Measured, MeasuredResult, Timing

FILE_NAME: Final = "timings"
OLD_NAME: Final = "timings.old"
FILE_BYTES: Final = 4 << 20
"""A file that has more becomes the old one: 40 000 records and more, so that at least as many are kept."""

PENDING_MAX: Final = 8_192
"""Records that wait for the thread; one more is lost."""

GATHER_S: Final = 0.1
"""Between the first record that waits and the write of all."""

_MAGIC: Final = b"aulario timings2"
_HEADER: Final = struct.Struct("<16sQ")
_BLOCK: Final = struct.Struct("<QIII")
"""number of the first record, records, bytes, CRC-32"""


class TimingFile(NamedTuple):
    """What a process left: since when its records are numbered, and those it still has, in order of their numbers."""

    since_us: int
    timings: Sequence[Timing]


class TimingWriter:
    """Writes one process's files."""

    def __init__(self, directory: Path, file_bytes: int = FILE_BYTES, pending_max: int = PENDING_MAX) -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self._pending_max = pending_max
        self._pack: Callable[[Sequence[Measured | MeasuredResult]], bytes] = msgpack.Packer().pack
        self._pending: deque[tuple[int, bytes]] = deque()
        self._added = 0
        self._taken = 0
        self._file: FileIO | None = None
        self._since_us = 0
        self._next = 1
        self._end = 0
        self._overflowed = 0
        self._unwritten = 0
        self._stopping = Event()
        self._wake = Event()
        self._is_awake = False
        self._thread = Thread(target=self._run, name="timing-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Timings that are not in a file and never will be."""
        return self._overflowed + self._unwritten

    def add(self, measured: Sequence[Measured | MeasuredResult]) -> None:
        """Legs that have ended, one or more. Only ever called from the process's loop; never waits."""
        if self._added - self._taken + len(measured) > self._pending_max:
            self._overflowed += len(measured)
            return
        self._added += len(measured)
        self._pending.append((len(measured), self._pack(measured)))
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
        self._give_back()

    def _flush(self) -> None:
        pending = [self._pending.popleft() for _ in range(len(self._pending))]
        if not pending:
            return
        records = sum(size for size, _ in pending)
        self._taken += records
        try:
            self._write(pending)
        except OSError:
            self._unwritten += records
            self._cut()

    def _write(self, pending: Iterable[tuple[int, bytes]]) -> None:
        if self._file is None:
            self._open()
        if self._end >= self._file_bytes:
            self._turn()
        assert self._file is not None
        parts: list[bytes] = []
        number = self._next
        for records, packed in pending:
            parts += (_BLOCK.pack(number, records, len(packed), crc32(packed)), packed)
            number += records
        blocks = b"".join(parts)
        if self._file.write(blocks) != len(blocks):
            raise OSError("the disk took a part of it")
        self._next = number
        self._end += len(blocks)

    def _cut(self) -> None:
        """Take a block away that is not whole: nobody reads past it."""
        if self._file is not None:
            try:
                self._file.truncate(self._end)
                self._file.seek(self._end)
            except OSError:
                self._give_back()

    def _open(self) -> None:
        """Go on after the last whole block; made anew if there is no file or it is none of ours."""
        path = self._directory / FILE_NAME
        found = _read(path)
        old = _read(self._directory / OLD_NAME)
        newest = found or old
        self._since_us = newest.since_us if newest is not None else time.time_ns() // 1_000
        self._next = max([1, *(block.first + block.records for part in (old, found) if part for block in part.blocks)])
        if found is None:
            self._begin()
        else:
            self._file, self._end = FileIO(path, "r+"), found.end
            self._cut()

    def _turn(self) -> None:
        self._give_back()
        (self._directory / FILE_NAME).replace(self._directory / OLD_NAME)
        self._begin()

    def _begin(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / FILE_NAME
        new = path.with_suffix(".new")
        new.write_bytes(_HEADER.pack(_MAGIC, self._since_us))
        new.replace(path)
        self._file, self._end = FileIO(path, "r+"), _HEADER.size
        self._file.seek(self._end)

    def _give_back(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


class _Block(NamedTuple):
    first: int
    records: int
    packed: bytes


class _Part(NamedTuple):
    """One file: its whole blocks, and where the last of them ends."""

    since_us: int
    blocks: Sequence[_Block]
    end: int


def read_timings(directory: Path) -> TimingFile | None:
    """The timings a process left in its data directory, running or not; None if there are none that can be read."""
    current = _read(directory / FILE_NAME)  # before the old one: it may become that meanwhile
    old = _read(directory / OLD_NAME)
    parts = [part for part in (old, current) if part is not None]
    if not parts:
        return None
    since_us = parts[-1].since_us
    blocks = {block.first: block for part in parts if part.since_us == since_us for block in part.blocks}
    return TimingFile(since_us, [timing for first in sorted(blocks) for timing in _timings(blocks[first])])


def _read(path: Path) -> _Part | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) < _HEADER.size:
        return None
    magic, since_us = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        return None
    blocks = list(_blocks(content))
    end = _HEADER.size + sum(_BLOCK.size + len(block.packed) for block in blocks)
    return _Part(since_us, blocks, end)


def _blocks(content: bytes) -> Iterator[_Block]:
    """Up to the first that is cut or altered."""
    at = _HEADER.size
    while at + _BLOCK.size <= len(content):
        first, records, size, crc = _BLOCK.unpack_from(content, at)
        at += _BLOCK.size
        packed = content[at : at + size]
        if len(packed) < size or crc32(packed) != crc:
            return
        yield _Block(first, records, packed)
        at += size


def _timings(block: _Block) -> Iterator[Timing]:
    measured: Sequence[Sequence[Any]] = msgpack.unpackb(block.packed)
    for number, one in enumerate(measured, block.first):
        yield Timing(number, *one)
