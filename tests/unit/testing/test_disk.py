"""A disk that fails: what it counts for before it forgot or was replaced and after, and when it is well."""

from __future__ import annotations

from es.codec import Batch, Entry, encode_batch
from es.log.base import EMPTY, Head, Write
from es.log.chain import head_of
from es.testing.disk import SimulatedDisk

LIES_UNTIL_US = 1_000


def batch(after: Head, mark: str = "") -> Batch:
    return encode_batch(1, after.seq + 1, after.hash, after.ts_us + 1, [Entry(0, "kernel", "A", 1, "", "", mark)])


FIRST = batch(EMPTY)
SECOND = batch(head_of(FIRST))
THIRD = batch(head_of(SECOND))


def forgetful(kept: int) -> SimulatedDisk:
    """A disk that flushed FIRST, lied about SECOND and THIRD, and then lost power with `kept` of these two."""
    disk = SimulatedDisk("test", "b")
    disk.write(Write((FIRST,)), now_us=0)
    disk.lie(LIES_UNTIL_US)
    disk.write(Write((SECOND,)), now_us=1)
    disk.write(Write((THIRD,)), now_us=2)
    disk.lose_power(kept)
    return disk


def held(disk: SimulatedDisk) -> list[bool]:
    return [disk.held(one, True) for one in (FIRST, SECOND, THIRD)]


def test_a_disk_that_lied_and_kept_everything_has_forgotten_nothing() -> None:
    disk = forgetful(kept=2)
    assert (disk.forgot, disk.log.holds(THIRD), held(disk)) == (False, True, [True, True, True])


def test_what_was_called_durable_and_forgotten_counts_on() -> None:
    disk = forgetful(kept=1)
    assert (disk.forgot, disk.log.holds(SECOND), disk.log.holds(THIRD)) == (True, True, False)
    assert held(disk) == [True, True, True]


def test_what_was_forgotten_counts_on_when_the_disk_is_replaced() -> None:
    """An acknowledgement of it can be under way for longer than that takes."""
    disk = forgetful(kept=0)
    disk.replace()
    assert (disk.forgot, held(disk)) == (False, [True, True, True])


def test_a_disk_that_forgot_counts_for_nothing_that_it_never_called_durable() -> None:
    disk = forgetful(kept=1)
    other, fourth = batch(head_of(SECOND), "other"), batch(head_of(THIRD))
    assert [disk.held(one, True) for one in (other, fourth)] == [False, False]
    disk.write(Write((other,)), now_us=2 * LIES_UNTIL_US)
    assert disk.held(other, True)
    disk.replace()
    assert [disk.held(one, True) for one in (THIRD, other, fourth)] == [True, True, False]


def test_a_disk_is_not_well_while_it_hangs_or_is_about_to_fail() -> None:
    disk = SimulatedDisk("test", "b")
    assert disk.is_well(now_us=5)
    disk.free_us = 6
    assert [disk.is_well(now_us) for now_us in (5, 6)] == [False, True]
    disk.failing_until_us = 8
    assert [disk.is_well(now_us) for now_us in (7, 8)] == [False, True]
    disk.fails_next = True
    assert not disk.is_well(now_us=9)


def test_what_every_incarnation_called_durable_counts_on_and_nothing_else_does() -> None:
    """A primary whose own disk hangs hears nothing of it, whatever happens meanwhile."""
    disk = forgetful(kept=1)
    disk.replace()
    disk.replace()
    assert held(disk) == [True, True, True]
    assert not disk.held(batch(head_of(THIRD)), True)
