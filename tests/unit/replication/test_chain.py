"""A node's chain: what is durable, what is still in memory, and what has been cut off."""

from __future__ import annotations

import pytest

from es.codec import GENESIS_HASH, Batch, BatchBuilder
from es.limits import FETCH_BATCHES_MAX
from es.log.base import EMPTY, Identity, Write
from es.log.chain import head_of
from es.log.memory import MemoryLog
from es.replication.chain import Chain


def make(first_seq: int, prev_hash: bytes, events: int = 1, epoch: int = 1, size: int = 0) -> Batch:
    builder = BatchBuilder(epoch, first_seq, prev_hash, first_seq)
    for _ in range(events):
        builder.add("ledger", ("Credited", 1, "client", "", bytes(size)))
    return builder.seal()


def grow(count: int, after: Batch | None = None, events: int = 3, epoch: int = 1, size: int = 0) -> list[Batch]:
    """`count` batches of `events` events each."""
    batches: list[Batch] = []
    for _ in range(count):
        last = batches[-1] if batches else after
        batches.append(make(last.last_seq + 1 if last else 1, last.hash if last else GENESIS_HASH, events, epoch, size))
    return batches


def durable(batches: list[Batch]) -> Chain:
    """A chain whose batches are all on disk."""
    log = MemoryLog(Identity("c", "a", "a1"))
    log.write(Write(batches))
    return Chain(log)


BATCHES = grow(4)
"""Ends at 3, 6, 9 and 12."""


@pytest.fixture(params=[0, 1, 2, 4], ids=lambda count: f"{count} on disk")
def chain(request: pytest.FixtureRequest) -> Chain:
    """BATCHES, the first ones on disk and the others in memory."""
    chain = durable(BATCHES[: request.param])
    for batch in BATCHES[request.param :]:
        chain.append(batch)
    return chain


def test_hash_at_knows_batch_ends_only(chain: Chain) -> None:
    expected = {0: GENESIS_HASH} | {batch.last_seq: batch.hash for batch in BATCHES}
    assert {seq: hash_ for seq in range(15) if (hash_ := chain.hash_at(seq))} == expected


def test_end_at_or_below_is_the_nearest_batch_end(chain: Chain) -> None:
    ends = [EMPTY, *map(head_of, BATCHES)]
    assert [chain.end_at_or_below(seq) for seq in range(15)] == [ends[min(seq // 3, 4)] for seq in range(15)]


def test_batch_at_holds_the_seq(chain: Chain) -> None:
    assert [chain.batch_at(seq) for seq in range(1, 13)] == [BATCHES[(seq - 1) // 3] for seq in range(1, 13)]
    assert chain.batch_at(13) is None


def test_after_goes_on_from_disk_to_memory_without_a_gap(chain: Chain) -> None:
    for number in range(5):
        assert list(chain.after(3 * number)) == BATCHES[number:]


@pytest.mark.parametrize("cut", [0, 3, 6, 9, 12])
def test_what_is_cut_off_is_gone_before_the_disk_knows(chain: Chain, cut: int) -> None:
    chain.truncate_after(cut)
    kept = BATCHES[: cut // 3]
    assert chain.head == (head_of(kept[-1]) if kept else EMPTY)
    assert chain.durable.seq <= cut
    assert [chain.hash_at(batch.last_seq) for batch in BATCHES[cut // 3 :]] == [None] * (4 - cut // 3)
    assert list(chain.after(0)) == kept
    assert chain.batch_at(cut + 1) is None


@pytest.mark.parametrize("cut", [0, 3, 6])
def test_what_replaces_it_answers_for_the_chain(chain: Chain, cut: int) -> None:
    """Also where a batch of the old history ended and none of the new one does: the disk holds it still."""
    chain.truncate_after(cut)
    kept = BATCHES[: cut // 3]
    others = grow(2, kept[-1] if kept else None, events=4, epoch=2)
    for batch in others:
        chain.append(batch)
    ends = {0: GENESIS_HASH} | {batch.last_seq: batch.hash for batch in (*kept, *others)}
    assert {seq: hash_ for seq in range(15) if (hash_ := chain.hash_at(seq))} == ends
    assert list(chain.after(0)) == [*kept, *others]
    assert chain.batch_at(cut + 4) == others[0]


def test_a_chain_is_cut_between_batches_only(chain: Chain) -> None:
    with pytest.raises(AssertionError, match="between batches"):
        chain.truncate_after(4)


@pytest.mark.parametrize(
    "batch",
    [
        make(14, BATCHES[-1].hash),
        make(13, BATCHES[0].hash),
        make(13, BATCHES[-1].hash, epoch=0),
        BatchBuilder(1, 13, BATCHES[-1].hash, 0),
    ],
    ids=["a gap", "another predecessor", "a lower epoch", "an earlier time"],
)
def test_what_does_not_continue_the_chain_stops_the_process(batch: Batch | BatchBuilder) -> None:
    if isinstance(batch, BatchBuilder):
        batch.add("ledger", ("Credited", 1, "client", "", None))
        batch = batch.seal()
    chain = durable(BATCHES)
    with pytest.raises(AssertionError):
        chain.append(batch)


def test_only_what_is_durable_and_committed_is_released() -> None:
    chain = durable([])
    for batch in BATCHES:
        chain.append(batch)
    chain.release(committed_seq=12)
    assert list(chain.recent) == BATCHES
    chain.log.write(Write(BATCHES[:3]))
    chain.durable = head_of(BATCHES[2])
    chain.release(committed_seq=7)
    assert list(chain.recent) == BATCHES[2:]
    chain.release(committed_seq=12)
    assert list(chain.recent) == BATCHES[3:]
    assert list(chain.after(0)) == BATCHES


def test_a_slice_is_bounded_in_batches() -> None:
    batches = grow(FETCH_BATCHES_MAX + 10, events=1)
    assert durable(batches).slice_after(5) == tuple(batch.data for batch in batches[5 : 5 + FETCH_BATCHES_MAX])


def test_a_slice_is_bounded_in_bytes_but_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = grow(5, events=1, size=1_000)
    size = len(batches[0].data)
    chain = durable(batches)
    for limit, count in ((1, 1), (size, 1), (2 * size + 10, 2), (10 * size, 5)):
        monkeypatch.setattr("es.replication.chain.FETCH_BYTES_MAX", limit)
        assert chain.slice_after(0) == tuple(batch.data for batch in batches[:count])
    assert chain.slice_after(5) == ()
