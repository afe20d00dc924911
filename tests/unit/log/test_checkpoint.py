"""Signed checkpoints: one encoding, signatures that hold for one thing, and what a log contradicts."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.codec import Batch, Entry, encode_batch
from es.errors import RemoteProtocolError
from es.limits import CHECKPOINT_BYTES_MAX, EPOCH_MAX, NAME_CHARS_MAX, SEQ_MAX
from es.log.base import EMPTY, Identity, Write
from es.log.chain import head_of
from es.log.checkpoint import (
    SIGNATURE_BYTES,
    Checkpoint,
    SignedCheckpoint,
    checkpoint_at,
    contradiction,
    decode,
    encode,
    is_signed_by,
    public_key,
    sign,
)
from es.log.memory import MemoryLog

SEED, OTHER_SEED = bytes(range(32)), bytes(32)
OWN = Identity("c", "a", "a1")
NAMES = st.text(min_size=1, max_size=NAME_CHARS_MAX)
NUMBERS = st.integers(0, (1 << 63) - 1)
HASHES = st.binary(min_size=32, max_size=32)
CHECKPOINTS = st.builds(
    Checkpoint, NAMES, NAMES, NAMES, st.integers(0, EPOCH_MAX), st.integers(1, SEQ_MAX), HASHES, NUMBERS
)
SIGNED = st.builds(SignedCheckpoint, CHECKPOINTS, st.binary(min_size=SIGNATURE_BYTES, max_size=SIGNATURE_BYTES))


def chain(*sizes: int, mark: str = "") -> list[Batch]:
    """Batches of so many events; another mark makes another history."""
    batches: list[Batch] = []
    head = EMPTY
    for size in sizes:
        entries = [Entry(offset, "x", f"Event{mark}", 1, "es", "", None) for offset in range(size)]
        batches.append(encode_batch(1, head.seq + 1, head.hash, head.ts_us + 1, entries))
        head = head_of(batches[-1])
    return batches


def log_of(batches: Sequence[Batch], identity: Identity = OWN) -> MemoryLog:
    log = MemoryLog(identity)
    log.write(Write(batches))
    return log


@given(SIGNED)
def test_what_is_encoded_is_decoded_and_stays_within_its_bound(signed: SignedCheckpoint) -> None:
    encoded = encode(signed)
    assert decode(encoded) == signed
    assert len(encoded) <= CHECKPOINT_BYTES_MAX


@given(SIGNED, st.data())
def test_changed_bytes_are_another_checkpoint_or_refused_by_name(signed: SignedCheckpoint, data: st.DataObject) -> None:
    encoded = bytearray(encode(signed))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode(bytes(encoded))
    except RemoteProtocolError:
        return
    assert encode(read) == encoded


@given(SIGNED)
def test_another_encoding_of_the_same_is_refused(signed: SignedCheckpoint) -> None:
    data, signature = msgpack.unpackb(encode(signed))
    longer = b"\x92\xc6" + len(data).to_bytes(4, "big") + data + msgpack.packb(signature)
    assert msgpack.unpackb(longer) == [data, signature]
    with pytest.raises(RemoteProtocolError):
        decode(longer)


@given(st.binary(max_size=2 * CHECKPOINT_BYTES_MAX))
def test_random_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(data)


@pytest.mark.parametrize(
    "change",
    [{"node": ""}, {"node": "n" * (NAME_CHARS_MAX + 1)}, {"seq": 0}, {"seq": -1}, {"epoch": True}, {"hash": bytes(31)},
     {"ts_us": 1 << 63}, {"cluster_id": 7}, {"seq": SEQ_MAX + 1}, {"seq": 1 << 62}, {"epoch": EPOCH_MAX + 1}],
)  # fmt: skip
def test_a_field_outside_its_limits_is_refused(change: dict[str, object]) -> None:
    sound = checkpoint_at(OWN, head_of(chain(2)[-1]))
    with pytest.raises(RemoteProtocolError):
        decode(encode(SignedCheckpoint(sound._replace(**change), bytes(SIGNATURE_BYTES))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields", [[], [b"", bytes(64)], [msgpack.packb([2, *range(7)]), bytes(64)], ["text", bytes(64)], [b"\xc0", None]]
)
def test_another_shape_is_refused(fields: list[object]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(msgpack.packb(fields))


def test_a_signature_holds_for_every_field_and_for_its_key_alone() -> None:
    checkpoint = checkpoint_at(OWN, head_of(chain(2)[-1]))
    signed = sign(SEED, checkpoint)
    keys = [public_key(OTHER_SEED), public_key(SEED)]
    assert is_signed_by(signed, keys)
    assert not is_signed_by(signed, keys[:1])
    assert not is_signed_by(signed, [])
    assert not is_signed_by(signed, [b"no key"])
    others = Checkpoint("d", "b", "a2", 2, 3, bytes(32), 9)
    for name, value in zip(Checkpoint._fields, others, strict=True):
        assert not is_signed_by(signed._replace(checkpoint=checkpoint._replace(**{name: value})), keys), name  # type: ignore[arg-type]


def test_a_log_agrees_with_every_batch_end_it_had() -> None:
    batches = chain(2, 1, 3)
    for batch in batches:
        checkpoint = checkpoint_at(OWN, head_of(batch))
        assert contradiction(log_of(batches), checkpoint) is None
        assert contradiction(log_of(batches), checkpoint._replace(node="b", incarnation="b1")) is None


def test_a_log_that_ends_before_what_its_directory_signed_is_cut_or_rolled_back() -> None:
    batches = chain(2, 1, 3)
    checkpoint = checkpoint_at(OWN, head_of(batches[-1]))
    shorter = log_of(batches[:2])
    assert contradiction(shorter, checkpoint) == (
        "the log ends at seq 3, but server a had signed seq 6: its tail is cut or the node was rolled back"
    )
    assert contradiction(shorter, checkpoint._replace(incarnation="a2")) is None, "another directory need not have it"
    assert contradiction(shorter, checkpoint._replace(node="b")) is None, "nor need another node"


@pytest.mark.parametrize("node", ["a", "b"])
def test_another_history_contradicts_whoever_signed(node: str) -> None:
    checkpoint = checkpoint_at(OWN, head_of(chain(2, 1)[-1]))._replace(node=node)
    said = contradiction(log_of(chain(2, 1, 3, mark="forged")), checkpoint)
    assert said is not None and said.startswith("the log's hash at seq 3 is ") and f"server {node} had signed" in said
    said = contradiction(log_of(chain(1, 4)), checkpoint)
    assert said is not None and "as the end of a batch, but the log's batch there goes from 2 to 5" in said


def test_a_checkpoint_of_another_cluster_is_none_of_this_log() -> None:
    batches = chain(2)
    said = contradiction(log_of(batches), checkpoint_at(OWN, head_of(batches[-1]))._replace(cluster_id="d"))
    assert said == "server a of cluster 'd' signed it, but the log is of cluster 'c'"
