"""The file of raw timings: what was added is read again, the newest are kept, a bad disk costs timings and no more."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from nodes import timing_file
from nodes.timing_file import FILE_NAME, OLD_NAME, TimingWriter, read_timings
from projections.timings import Timing

T1 = "362546fd-a4c2-4dc8-89f4-c8e34292d80a"


def add(writer: TimingWriter, us: int, transaction_id: str = T1) -> None:
    writer.add([("ack_res", "lbb", "ACCEPTED", 3, 17, transaction_id, 1_000 + us, us)])


def written(directory: Path, *us: int, file_bytes: int = timing_file.FILE_BYTES) -> None:
    writer = TimingWriter(directory, file_bytes)
    for one in us:
        add(writer, one)
    writer.close()
    assert writer.lost == 0


def read(directory: Path) -> list[Timing]:
    found = read_timings(directory)
    assert found is not None
    return list(found.timings)


@pytest.mark.parametrize("transaction_id", [T1, T1.upper(), "registrar's own id", "facultad de ingeniería " * 8])
def test_what_was_added_is_read_again(tmp_path: Path, transaction_id: str) -> None:
    writer = TimingWriter(tmp_path)
    sol_prop = ("sol_prop", "async", "", 3, 0, transaction_id, 1_250, 250)
    program = ("program", "lbb", "INVALID", (1 << 31) - 1, 17, transaction_id, 10_001_000, 10_000_000, "CONFLICT")
    writer.add([sol_prop, program])
    writer.add([sol_prop])
    writer.close()
    assert read(tmp_path) == [
        Timing(1, "sol_prop", "async", "", 3, 0, transaction_id, 1_250, 250),
        Timing(2, "program", "lbb", "INVALID", (1 << 31) - 1, 17, transaction_id, 10_001_000, 10_000_000, "CONFLICT"),
        Timing(3, "sol_prop", "async", "", 3, 0, transaction_id, 1_250, 250),
    ]


def test_the_newest_are_kept_and_numbers_go_on_in_the_next_life(tmp_path: Path) -> None:
    written(tmp_path, 0, 1, file_bytes=64)
    since_us = read_timings(tmp_path).since_us  # type: ignore[union-attr]
    written(tmp_path, 2, file_bytes=64)
    assert [(one.number, one.us) for one in read(tmp_path)] == [(1, 0), (2, 1), (3, 2)]
    for us in range(3, 10):
        written(tmp_path, us, file_bytes=64)
        assert [(one.number, one.us) for one in read(tmp_path)][-2:] == [(us, us - 1), (us + 1, us)]
        assert len(read(tmp_path)) <= 4, "the older of both files goes when the newer is full"
    (tmp_path / FILE_NAME).unlink()
    left = read(tmp_path)[-1].number
    written(tmp_path, 100, file_bytes=64)
    assert [(one.number, one.us) for one in read(tmp_path)][-1] == (left + 1, 100)
    assert read_timings(tmp_path).since_us == since_us  # type: ignore[union-attr]


def test_a_file_that_becomes_the_old_one_is_not_read_twice(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    (tmp_path / OLD_NAME).write_bytes((tmp_path / FILE_NAME).read_bytes())
    assert [one.us for one in read(tmp_path)] == [1, 2]


def test_a_file_that_is_none_is_made_anew(tmp_path: Path) -> None:
    assert read_timings(tmp_path) is None
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 100)
    assert read_timings(tmp_path) is None
    written(tmp_path, 5)
    assert [one.us for one in read(tmp_path)] == [5]


@pytest.mark.parametrize("at", [-1, -30])
def test_a_block_that_was_cut_or_altered_is_passed_over_and_written_over(tmp_path: Path, at: int) -> None:
    written(tmp_path, 1)
    written(tmp_path, 2)
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert [one.us for one in read(tmp_path)] == [1]
    path.write_bytes(content[:at])
    assert [one.us for one in read(tmp_path)] == [1]
    written(tmp_path, 3)
    assert [(one.number, one.us) for one in read(tmp_path)] == [(1, 1), (2, 3)]


def test_more_than_may_wait_is_counted_and_lost(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)  # a disk that hangs until somebody closes the other end
    writer = TimingWriter(tmp_path, pending_max=5)
    add(writer, 0)
    other_end = opened_by_the_writer(tmp_path / FILE_NAME)
    for us in range(1, 10):
        add(writer, us)
    assert writer.lost == 4
    os.close(other_end)
    writer.close()
    assert [one.us for one in read(tmp_path)] == [0, 1, 2, 3, 4, 5]


def opened_by_the_writer(path: Path) -> int:
    """The end of a FIFO that the writer reads, once it does (pytest's own time limit ends a wait in vain)."""
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            os.sched_yield()


def test_a_disk_that_refuses_costs_timings_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses = [True]

    class Full(FileIO):
        def write(self, data: Any) -> int:
            if refuses[0]:
                super().write(data[:-1])  # as a disk does that has little room left
                raise OSError(errno.ENOSPC, "no space")
            return super().write(data)

    monkeypatch.setattr(timing_file, "FileIO", Full)
    writer = TimingWriter(tmp_path)
    add(writer, 1)
    while writer.lost == 0:
        os.sched_yield()
    refuses[0] = False
    add(writer, 2)
    writer.close()
    assert writer.lost == 1
    assert [one.us for one in read(tmp_path)] == [2]
