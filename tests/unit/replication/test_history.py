"""The log's own story: each history here breaks one rule, and that one is named."""

from __future__ import annotations

import pytest

from es.codec import GENESIS_HASH, Batch, Entry, encode_batch
from es.replication.events import ACTOR, APPLICATION, EpochStarted
from es.testing.history import check_history


def started(primary: str = "a", in_sync: tuple[str, ...] = ("a", "b")) -> Entry:
    return Entry(0, APPLICATION, "EpochStarted", 1, ACTOR, "", tuple(EpochStarted(primary, in_sync, "start", 0, 0)))


CREDIT = Entry(0, "ledger", "Credited", 1, "client", "x", (5,))


def chain(*batches: tuple[int, tuple[Entry, ...]]) -> list[Batch]:
    """Batches of (epoch, entries), each linked to the one before."""
    made: list[Batch] = []
    for epoch, entries in batches:
        first_seq, previous = (made[-1].last_seq + 1, made[-1].hash) if made else (1, GENESIS_HASH)
        numbered = [entry._replace(offset=place) for place, entry in enumerate(entries)]
        made.append(encode_batch(epoch, first_seq, previous, len(made) + 1, numbered))
    return made


def test_a_sound_history_breaks_nothing() -> None:
    assert list(check_history(chain((1, (started(), CREDIT)), (1, (CREDIT,)), (3, (started("b", ("b",)),))))) == []


@pytest.mark.parametrize(
    ("batches", "rule", "seq", "sentence"),
    [
        (((1, (started(),)), (2, (CREDIT,))), "epoch", 2, "epoch 2 begins without saying who leads it"),
        (((1, (started(),)), (1, (CREDIT, started("b")))), "epoch", 3, "epoch 1 begins a second time"),
        (((1, (started(),)), (1, (started("b"),))), "epoch", 2, "epoch 1 begins a second time"),
        (((1, (started("a", ("b",)),)),), "epoch", 1, "epoch 1 is led by a, which is not in sync"),
        (((2, (started(),)), (1, (started(),))), "chain", 2, "the epoch falls from 2 to 1 at seq 2"),
    ],
)
def test_what_breaks_a_rule_is_named(
    batches: tuple[tuple[int, tuple[Entry, ...]], ...], rule: str, seq: int, sentence: str
) -> None:
    assert [*check_history(chain(*batches))] == [(seq, rule, sentence)]


def test_a_batch_that_is_missing_breaks_the_chain() -> None:
    first, _, third = chain((1, (started(),)), (1, (CREDIT,)), (1, (CREDIT,)))
    assert [broken.rule for broken in check_history([first, third])] == ["chain"]
