"""Writes that wait together become one write with the same effect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.log.base import Identity, Write
from es.log.memory import MemoryLog
from nodes.server.log_writer import merged
from tests.unit.replication.test_chain import BATCHES, grow


def log_with(writes: list[Write]) -> MemoryLog:
    log = MemoryLog(Identity("c", "a", "a1"))
    for write in writes:
        log.write(write)
    return log


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(["promised", "register"])), min_size=1, max_size=8
    )
)
def test_one_write_does_what_all_do(steps: list[tuple[int, bool, str]]) -> None:
    batches = grow(2 * len(steps), events=1)
    writes: list[Write] = []
    at = 0
    for number, (count, commits, record) in enumerate(steps):
        taken = batches[at : at + count]
        at += count
        writes.append(Write(taken, commit_seq=at if commits else None, records=((record, bytes([number])),)))
    apart, together = log_with(writes), log_with([merged(writes)])
    assert together.head() == apart.head()
    assert together.commit_seq() == apart.commit_seq()
    assert list(together.batches()) == list(apart.batches())
    for record in ("promised", "register"):
        assert together.record(record) == apart.record(record)


def test_a_truncation_stays_first() -> None:
    others = grow(2, BATCHES[0], epoch=2)
    writes = [Write([others[0]], truncate_after=3), Write([others[1]])]
    log = log_with([Write(BATCHES), merged(writes)])
    assert list(log.batches()) == [BATCHES[0], *others]


def test_a_truncation_behind_other_writes_is_refused() -> None:
    with pytest.raises(AssertionError):
        merged([Write(BATCHES), Write(truncate_after=3)])
