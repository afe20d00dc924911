"""The rules of a chain: what may follow what, and what a write leaves behind."""

import pytest

from es.codec import GENESIS_HASH, Batch, Entry, encode_batch
from es.log.base import EMPTY, Head, Write
from es.log.chain import Durable, broken_link, extend, head_of

ENTRY = Entry(0, "rooms", "Reserved", 1, "faculty:3", "", None)
HEAD = Head(seq=4, epoch=2, hash=b"h" * 32, ts_us=1_000)


def batch(*, first_seq: int = 5, prev_hash: bytes = HEAD.hash, epoch: int = 2, ts_us: int = 1_000) -> Batch:
    return encode_batch(epoch, first_seq, prev_hash, ts_us, [ENTRY])


def test_a_batch_of_the_same_epoch_and_time_may_follow() -> None:
    assert broken_link(HEAD, batch()) is None
    assert extend(HEAD, [batch()]) == head_of(batch()) == Head(5, 2, batch().hash, 1_000)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (batch(first_seq=6), "seq 6 follows seq 4"),
        (batch(first_seq=4), "seq 4 follows seq 4"),
        (batch(prev_hash=GENESIS_HASH), "names another predecessor"),
        (batch(epoch=1), "the epoch falls from 2 to 1"),
        (batch(ts_us=999), "time falls from 1000 to 999 µs"),
    ],
)
def test_a_batch_that_cannot_follow_is_told_why(wrong: Batch, why: str) -> None:
    broken = broken_link(HEAD, wrong)
    assert broken is not None and why in broken
    with pytest.raises(AssertionError, match=why):
        extend(HEAD, [wrong])


def test_a_first_batch_follows_nothing() -> None:
    assert broken_link(EMPTY, batch(first_seq=1, prev_hash=GENESIS_HASH)) is None
    assert broken_link(EMPTY, batch(first_seq=1)) is not None


def test_a_write_changes_what_it_names_and_keeps_the_rest() -> None:
    before = Durable(HEAD, 3, {"promised": b"2"})
    after = before.after(Write([batch()], commit_seq=5, records=[("register", b"r")]), HEAD)
    assert after == Durable(head_of(batch()), 5, {"promised": b"2", "register": b"r"})
    assert before.records == {"promised": b"2"}
    assert after.after(Write(), after.head) == after
