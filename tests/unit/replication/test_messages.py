"""Messages between servers and witness: what is packed is read back, and no bytes can surprise a reader."""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.codec import decode_batch
from es.errors import RemoteProtocolError
from es.limits import CHECKPOINT_BYTES_MAX, FETCH_BATCHES_MAX, MEMBERS_MAX
from es.log.base import Identity
from es.log.checkpoint import decode as decode_checkpoint
from es.log.memory import MemoryLog
from es.replication import messages
from es.replication.data_node import DataNode
from es.replication.effects import Tell
from es.replication.instant import Instant
from es.replication.messages import (
    LIFE_CHARS_MAX,
    NAME_CHARS_MAX,
    NUMBER_END,
    Ack,
    Batches,
    Beacon,
    BeaconAck,
    Checkpointed,
    CompareAndSwap,
    Fetch,
    Frame,
    Granted,
    Heartbeat,
    Member,
    Message,
    Mismatch,
    Outdated,
    Prevote,
    Register,
    Registered,
    RolledBack,
    members,
    pack,
    unpack,
    unpack_register,
)
from es.replication.timing import Timing

NAMES = st.text(min_size=1, max_size=NAME_CHARS_MAX)
NUMBERS = st.integers(0, NUMBER_END - 1)
HASHES = st.binary(min_size=32, max_size=32)
MEMBERS = st.builds(Member, NAMES, NAMES)
SETS = st.lists(MEMBERS, max_size=MEMBERS_MAX).map(lambda some: members(*some))
REGISTERS = st.builds(Register, NAMES, NUMBERS, MEMBERS, SETS, NUMBERS, st.text(max_size=LIFE_CHARS_MAX))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Frame, NAMES, NUMBERS, NUMBERS, st.binary(max_size=200)),
    st.builds(Beacon, REGISTERS, NUMBERS, HASHES, NUMBERS, NUMBERS, NUMBERS),
    st.builds(Ack, NAMES, NUMBERS, MEMBERS, NUMBERS, HASHES),
    st.builds(BeaconAck, NAMES, NUMBERS, MEMBERS, NUMBERS, NUMBERS, HASHES, NUMBERS),
    st.builds(Fetch, NAMES, NUMBERS, MEMBERS, NUMBERS, HASHES),
    st.builds(
        Batches,
        NAMES,
        NUMBERS,
        NUMBERS,
        NUMBERS,
        HASHES,
        NUMBERS,
        st.lists(st.binary(max_size=50), max_size=5).map(tuple),
    ),
    st.builds(Mismatch, NAMES, NUMBERS, HASHES, NUMBERS, HASHES),
    st.builds(RolledBack, NAMES, NUMBERS, MEMBERS, NUMBERS),
    st.builds(Checkpointed, NAMES, st.binary(max_size=CHECKPOINT_BYTES_MAX)),
    st.builds(Outdated, NAMES, NUMBERS),
    st.builds(Heartbeat, NAMES, NUMBERS, MEMBERS),
    st.builds(Prevote, NAMES, NUMBERS, MEMBERS),
    st.builds(Granted, NAMES, NUMBERS, MEMBERS),
    st.builds(CompareAndSwap, NAMES, NUMBERS, MEMBERS, MEMBERS, SETS, st.text(max_size=LIFE_CHARS_MAX), NUMBERS),
    st.builds(Registered, REGISTERS, NUMBERS),
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=10,
)

HASH = bytes(32)
A = Member("a", "a1")
REGISTER = Register("c", 3, A, (A,), 1, "life")


@given(MESSAGES)
def test_what_is_packed_is_read_back(message: Message) -> None:
    assert unpack(pack(message)) == message


@given(REGISTERS)
def test_a_stored_register_is_read_back(register: Register) -> None:
    assert unpack_register(register.pack()) == register


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_by_name(data: bytes) -> None:
    for read in (unpack, unpack_register):
        with pytest.raises(RemoteProtocolError):
            read(data)


@given(MESSAGES, st.data())
def test_changed_bytes_are_read_as_a_message_or_refused_by_name(message: Message, data: st.DataObject) -> None:
    packed = bytearray(pack(message))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = unpack(bytes(packed))
    except RemoteProtocolError:
        return
    assert unpack(pack(read)) == read


@given(st.sampled_from(sorted(messages._SCHEMA)), st.lists(JUNK, max_size=8))
def test_well_formed_junk_is_refused_or_is_a_message(kind: str, fields: list[object]) -> None:
    try:
        read = unpack(msgpack.packb([kind, *fields]))
    except RemoteProtocolError:
        return
    assert unpack(pack(read)) == read


@pytest.mark.parametrize(
    "message",
    [
        Ack("", 1, A, 1, HASH),
        Ack("c" * (NAME_CHARS_MAX + 1), 1, A, 1, HASH),
        Ack("c", -1, A, 1, HASH),
        Ack("c", True, A, 1, HASH),
        Ack("c", NUMBER_END, A, 1, HASH),
        Ack("c", 1, Member("a", ""), 1, HASH),
        Ack("c", 1, A, 1, bytes(31)),
        Frame("c", 1, 1, "not bytes"),  # type: ignore[arg-type]
        Batches("c", 1, 1, 1, HASH, 1, (b"",) * (FETCH_BATCHES_MAX + 1)),
        Checkpointed("c", bytes(CHECKPOINT_BYTES_MAX + 1)),
        Registered(REGISTER._replace(in_sync=(A, A)), 0),
        Registered(REGISTER._replace(in_sync=(Member("b", "b1"), A)), 0),
        Registered(REGISTER._replace(in_sync=tuple(Member(f"n{n}", "1") for n in range(MEMBERS_MAX + 1))), 0),
        Registered(REGISTER._replace(author="x" * (LIFE_CHARS_MAX + 1)), 0),
    ],
    ids=str,
)
def test_a_field_outside_its_limits_is_refused(message: Message) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(pack(message))


@pytest.mark.parametrize(
    "fields",
    [
        [], ["ack"], ["no such kind", 1], [["ack"], 1], ["heartbeat", "c", 1, ["a", "a1"], 1],
        ["heartbeat", "c", 1, "ab"], ["compare-and-swap", "c", 1, ["a", "1"], ["a", "1"], {}, ""],
        ["batches", "c", 1, 1, 1, HASH, 1, ""], {}, "ack", 7,
    ],
)  # fmt: skip
def test_another_shape_is_refused(fields: list[object]) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(msgpack.packb(fields))


@pytest.mark.parametrize("depth", [900, 1_000, 1_020, 1_100, 100_000])
@pytest.mark.parametrize("read", [unpack, unpack_register, decode_batch, decode_checkpoint])
def test_what_is_too_deep_to_be_printed_is_refused(read: Callable[[bytes], object], depth: int) -> None:
    nest = b"\x91" * depth + b"\xc0"
    for data in (nest, b"\x92" + nest + b"\x01", b"\x96" + nest + b"\x01" * 4 + b"\x90"):
        with pytest.raises(RemoteProtocolError):
            read(data)


def test_a_node_of_the_longest_name_can_ask_for_any_register_at_any_time() -> None:
    latest = NUMBER_END - 1
    log = MemoryLog(Identity("c", "n" * NAME_CHARS_MAX, "i" * NAME_CHARS_MAX))
    node = DataNode(log, [], Timing(), Instant(latest, latest))
    node.witness_said_us = NUMBER_END - 1
    node.swap(node.me, (node.me,))
    [tell] = node.out
    assert isinstance(tell, Tell)
    assert unpack(pack(tell.message)) == tell.message


def test_members_are_a_sorted_set() -> None:
    one, two = Member("a", "a1"), Member("b", "b1")
    assert members(two, one, two) == (one, two)
