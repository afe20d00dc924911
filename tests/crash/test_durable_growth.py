"""A commit writes only over what is durable, and a flush that only seemed to succeed is noticed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from es.durability import flush_directory, preallocate
from es.errors import LogDamaged, LogError, LogWriteFailed
from es.log.base import Write
from es.log.lmdb_log import DATA_FILE, FIRST_BYTES, LmdbLog
from es.log.verify import verify
from nodes.witness import register_file
from ops.prove.damage import PAGE_BYTES
from ops.prove.disks import LoopDisk, mounted
from ops.prove.outcome import NotPermitted
from ops.prove.recording import Call, Kind, compiled, recorded
from tests.contract.chains import IDENTITY, chain

META_LAST_PAGE = 16 + 8 + 16 + 48 + 48
"""Where a meta page numbers the last page: after the page's header and what MDB_meta has before it."""

KindOfFile = Callable[[int], bool]
"""`stat.S_ISREG` or `stat.S_ISDIR`."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    try:
        disk = LoopDisk(tmp_path)
        with mounted(disk):
            yield disk
    except NotPermitted as why:
        pytest.skip(str(why))


@pytest.fixture
def struck(disk: LoopDisk, monkeypatch: pytest.MonkeyPatch) -> Callable[[KindOfFile], None]:
    """The disk meets an error during the next flush of a file of that kind, which answers that all is well, as the
    kernel's may."""

    def strike(kind: KindOfFile) -> None:
        flush = os.fsync

        def lie(fd: int) -> None:
            if kind(os.fstat(fd).st_mode):
                disk.turn_read_only()
            else:
                flush(fd)

        monkeypatch.setattr(os, "fsync", lie)

    return strike


def test_a_flush_of_a_directory_that_only_seemed_to_succeed_is_noticed(
    disk: LoopDisk, struck: Callable[[KindOfFile], None]
) -> None:
    flush_directory(disk.path)
    assert list(disk.path.glob(".*")) == []
    struck(stat.S_ISDIR)
    with pytest.raises(OSError, match="Read-only file system"):
        flush_directory(disk.path)


@pytest.mark.parametrize("pages", [1, 2], ids=["as it is", "longer"])
def test_a_flush_of_a_file_that_only_seemed_to_succeed_is_noticed(
    disk: LoopDisk, struck: Callable[[KindOfFile], None], pages: int
) -> None:
    file = disk.path / "file"
    file.touch()
    preallocate(file, PAGE_BYTES)
    assert file.read_bytes() == bytes(PAGE_BYTES)
    struck(stat.S_ISREG)
    with pytest.raises(OSError, match="Read-only file system"):
        preallocate(file, pages * PAGE_BYTES)


def test_a_log_whose_growth_only_seemed_durable_refuses_the_write(
    disk: LoopDisk, struck: Callable[[KindOfFile], None]
) -> None:
    with closing(LmdbLog.create(disk.path / "log", IDENTITY)) as log:
        struck(stat.S_ISREG)
        with pytest.raises(LogWriteFailed, match="Read-only file system"):
            log.write(Write(chain(FIRST_BYTES // 4_000, body_bytes=4_000)))


@pytest.mark.parametrize("kind", [stat.S_ISREG, stat.S_ISDIR], ids=["its content", "its name"])
def test_a_log_whose_creation_only_seemed_durable_is_not_created(
    disk: LoopDisk, struck: Callable[[KindOfFile], None], kind: KindOfFile
) -> None:
    struck(kind)
    with pytest.raises(LogError, match="Read-only file system"):
        LmdbLog.create(disk.path / "log", IDENTITY)


def test_a_log_that_a_killed_writer_left_unflushed_is_not_opened_on_a_flush_that_only_seemed_to_succeed(
    disk: LoopDisk, struck: Callable[[KindOfFile], None]
) -> None:
    LmdbLog.create(disk.path / "log", IDENTITY).close()
    struck(stat.S_ISREG)
    with pytest.raises(LogError, match="Read-only file system"):
        LmdbLog.open(disk.path / "log")


def test_a_register_that_only_seemed_durable_is_refused(disk: LoopDisk, struck: Callable[[KindOfFile], None]) -> None:
    path = disk.path / "register"
    register_file.create(path, b"first")
    struck(stat.S_ISDIR)
    with pytest.raises(LogWriteFailed, match="Read-only file system"):
        register_file.save(path, b"second")


def test_a_commit_writes_only_over_what_is_durable(tmp_path: Path) -> None:
    try:
        calls = recorded(compiled(tmp_path), tmp_path / "recorded", seed=5, writes=40)
    except NotPermitted as why:
        pytest.skip(str(why))
    growths, ends = _growths(calls)
    assert growths >= 2, "else nothing was tried"
    assert ends == [], "pages were written past the durable end of the file"


def _growths(calls: tuple[Call, ...]) -> tuple[int, list[int]]:
    """How often the file grew by durable zeros, and the ends of other writes past what was durable, from the first
    acknowledgement on."""
    durable = written = growths = 0
    acknowledged = False
    ends = []
    for call in calls:
        end = call.offset + len(call.data)
        match call.kind:
            case Kind.WRITE:
                if acknowledged and end > durable and any(call.data):
                    ends.append(end)
                written = max(written, end)
            case Kind.FLUSH:
                growths += acknowledged and written > durable
                durable = written
            case Kind.ACKNOWLEDGED:
                acknowledged = True
    return growths, ends


def test_a_log_that_had_not_grown_ahead_goes_on(tmp_path: Path) -> None:
    """As versions before this left it: the file ends with its last page."""
    path = tmp_path / "log"
    batches = chain(20, body_bytes=4_000)
    with closing(LmdbLog.create(path, IDENTITY)) as log:
        log.write(Write(batches[:10]))
    used = len((path / DATA_FILE).read_bytes().rstrip(b"\0"))
    os.truncate(path / DATA_FILE, used + -used % PAGE_BYTES)
    with closing(LmdbLog.open(path)) as log:
        log.write(Write(batches[10:]))
        assert list(log.batches()) == batches
    assert verify(path).damage is None


def test_a_page_number_out_of_all_reason_does_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "log"
    LmdbLog.create(path, IDENTITY).close()
    size = (path / DATA_FILE).stat().st_size
    with (path / DATA_FILE).open("r+b") as file:
        for page in (0, 1):
            file.seek(page * PAGE_BYTES + META_LAST_PAGE + 4)
            file.write(b"\1")  # 2**32 pages
    with pytest.raises(LogDamaged, match="ends long before its last page"):
        LmdbLog.open(path)
    assert (path / DATA_FILE).stat().st_size == size
