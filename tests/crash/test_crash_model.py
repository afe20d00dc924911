"""The model of a crash: what is durable, what may survive in part, and nothing else."""

from __future__ import annotations

import random

import pytest

from ops.prove.crash_model import CrashPoint, Pending, crash_points, image
from ops.prove.recording import Call, Kind


def write(offset: int, data: bytes, *, synchronous: bool = False) -> Call:
    return Call(Kind.WRITE, synchronous, offset, data)


FLUSH = Call(Kind.FLUSH, False, 0, b"")
ACKNOWLEDGED = Call(Kind.ACKNOWLEDGED, False, 0, b"7\n")


def images(point: CrashPoint) -> set[bytes]:
    return {bytes(image(point, random.Random(seed))) for seed in range(400)}


def test_what_was_flushed_survives_and_what_was_not_may_not() -> None:
    *_, last = crash_points([write(0, b"old!"), FLUSH, ACKNOWLEDGED, write(0, b"new!")])
    assert last == CrashPoint(b"old!", (Pending(0, b"new!"),), 7, b"")
    assert images(last) == {b"old!", b"new!"}


def test_a_flush_that_lies_makes_nothing_durable() -> None:
    *_, last = crash_points([write(0, b"old!"), FLUSH, ACKNOWLEDGED], flushes_lie=True)
    assert images(last) == {b"", b"old!"}


def test_a_synchronous_write_is_durable_once_it_has_returned_and_alone() -> None:
    during, after = list(crash_points([ACKNOWLEDGED, write(0, b"a"), write(1, b"b", synchronous=True), FLUSH]))[2:]
    assert images(during) == {b"", b"a", b"\0b", b"ab"}
    assert after == CrashPoint(b"ab", (), 7, b"")


def test_a_write_is_torn_at_sectors_and_nowhere_else() -> None:
    [_, torn] = crash_points([ACKNOWLEDGED, write(256, b"x" * 768)])
    sectors = {(left[256:512].strip(b"\0"), left[512:].strip(b"\0")) for left in images(torn)}
    assert sectors == {(b"", b""), (b"x" * 256, b""), (b"", b"x" * 512), (b"x" * 256, b"x" * 512)}


def test_nothing_counts_before_the_log_is_there() -> None:
    assert len(list(crash_points([write(0, b"a"), FLUSH, ACKNOWLEDGED]))) == 1


def test_a_resized_file_is_not_passed_over() -> None:
    with pytest.raises(AssertionError, match="resizes"):
        list(crash_points([ACKNOWLEDGED, Call(Kind.RESIZE, False, 0, b"")]))
