"""The codec: one history is one sequence of bytes, and no bytes can surprise a reader."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.codec import GENESIS_HASH, Batch, Entry, decode_batch, encode_batch, is_canonical
from es.errors import RemoteProtocolError

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=40)
BODIES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5).map(tuple), max_leaves=12)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    count = draw(st.integers(1, 6))
    entries = [
        Entry(
            offset, draw(st.text(max_size=8)), draw(st.text(max_size=12)), draw(st.integers(0, 300)),
            draw(st.text(max_size=12)), draw(st.binary(min_size=16, max_size=16) | st.text(max_size=36)), draw(BODIES),
        )
        for offset in range(count)
    ]  # fmt: skip
    prev_hash = draw(st.just(GENESIS_HASH) | st.binary(min_size=32, max_size=32))
    return encode_batch(
        draw(st.integers(0, 2**40)), draw(st.integers(1, 2**60)), prev_hash, draw(st.integers(0, 2**62)), entries
    )


def with_lists(body: Any) -> Any:
    return [with_lists(item) for item in body] if isinstance(body, tuple) else body


@given(batches())
def test_a_batch_is_read_as_it_was_written(batch: Batch) -> None:
    assert decode_batch(batch.data) == batch
    assert batch.last_seq - batch.first_seq + 1 == len(batch.entries)


@given(batches())
def test_what_was_encoded_is_canonical_and_lists_are_tuples(batch: Batch) -> None:
    assert is_canonical(batch)
    loose = [entry._replace(body=with_lists(entry.body)) for entry in batch.entries]
    assert encode_batch(batch.epoch, batch.first_seq, batch.prev_hash, batch.ts_us, loose).data == batch.data


@given(batches(), st.data())
def test_changed_bytes_never_keep_the_hash(batch: Batch, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(batch.data) - 1))
    changed = bytearray(batch.data)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_batch(bytes(changed))
    except RemoteProtocolError:
        return
    assert read.hash != batch.hash
    assert read[:5] != batch[:5] or not is_canonical(read)


@given(batches(), st.data())
def test_cut_bytes_are_refused(batch: Batch, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(batch.data) - 1))
    with pytest.raises(RemoteProtocolError):
        decode_batch(batch.data[:kept])


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    try:
        batch = decode_batch(data)
    except RemoteProtocolError:
        return
    assert batch.data == data


@given(batches(), st.data())
def test_a_mutated_structure_raises_nothing_but_a_protocol_error(batch: Batch, data: st.DataObject) -> None:
    """Mutations near the front meet the header checks, which random bytes hardly reach."""
    mutated = bytearray(batch.data)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, min(60, len(mutated) - 1)))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        decode_batch(bytes(mutated))
