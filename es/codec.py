"""Canonical msgpack for the log, and the hash chain that makes it one history.

The unit of durability, replication and integrity is the commit batch. Its very bytes are made
durable on the primary, published, and stored unchanged by the backup:

    batch = [format, epoch, first_seq, prev_hash, ts_us, entries]      hash = SHA-256(batch bytes)
    entry = [offset, application, type, version, actor, request_id, body]

Only arrays, integers, strings, bytes, booleans and nil may occur in a batch. msgpack writes each of
these in exactly one shortest form, so the same history is always the same bytes: there are no map
keys to order and no floats to round.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import msgpack

from es.errors import RemoteProtocolError
from es.limits import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX
from es.unpacking import unpack_whole

FORMAT = 1
GENESIS_HASH = bytes(32)
"""`prev_hash` of the first batch of every log."""

HASH_BYTES = 32

Plain: TypeAlias = bool | int | str | bytes | tuple["Plain", ...] | None
"""What a body may be made of (lists are accepted on writing and read back as tuples)."""


class Entry(NamedTuple):
    """One event as the log stores it. `offset` is its place in its batch: seq = first_seq + offset.

    `actor` says who caused it (`faculty:3`, `es`). `request_id` is the client's own id of the
    request that caused it, empty if none did; a uuid in its usual spelling is stored as 16 bytes.
    """

    offset: int
    application: str
    type: str
    version: int
    actor: str
    request_id: str | bytes
    body: Any


class Stamp(NamedTuple):
    """What a receipt needs to know of a batch."""

    epoch: int
    first_seq: int
    last_seq: int
    hash: bytes


class Batch(NamedTuple):
    """A commit batch with its bytes, their hash and the sequence number of its last event. Immutable; `entries` is
    never empty."""

    epoch: int
    first_seq: int
    prev_hash: bytes
    ts_us: int
    entries: tuple[Entry, ...]
    data: bytes
    hash: bytes
    last_seq: int

    @property
    def stamp(self) -> Stamp:
        """What a receipt needs to know of it."""
        return Stamp(self.epoch, self.first_seq, self.last_seq, self.hash)


HEADER_BYTES_MAX = 96
"""Of a batch, what comes before its entries and how many they are: at most 80 bytes."""

_pack = msgpack.Packer(use_bin_type=True, strict_types=False).pack


class BatchBuilder:
    """A batch that is still growing. Each entry is encoded once, when it is added, so that the size
    of the batch is known before it is sealed."""

    def __init__(self, epoch: int, first_seq: int, prev_hash: bytes, ts_us: int) -> None:
        self.epoch = epoch
        self.first_seq = first_seq
        self.prev_hash = prev_hash
        self.ts_us = ts_us
        self.entries: list[Entry] = []
        self.bytes = 0
        self._packed: list[bytes] = []

    @property
    def last_seq(self) -> int:
        """Sequence number of the last entry added; `first_seq` - 1 while there is none."""
        return self.first_seq + len(self.entries) - 1

    def add(self, application: str, event: Sequence[Any]) -> Entry:
        """Append one event: (type, version, actor, request_id, body)."""
        entry = Entry(len(self.entries), application, *event)
        packed: bytes = _pack(entry)
        self.entries.append(entry)
        self._packed.append(packed)
        self.bytes += len(packed)
        return entry

    def seal(self) -> Batch:
        """The finished batch."""
        assert self.entries, "a batch has at least one entry"
        header: bytes = _pack((FORMAT, self.epoch, self.first_seq, self.prev_hash, self.ts_us))
        data = b"".join((_SIX_FIELDS, header[1:], _array_header(len(self.entries)), *self._packed))
        return _batch(self.epoch, self.first_seq, self.prev_hash, self.ts_us, tuple(self.entries), data)


def _batch(
    epoch: int, first_seq: int, prev_hash: bytes, ts_us: int, entries: tuple[Entry, ...], data: bytes
) -> Batch:
    last_seq = first_seq + len(entries) - 1
    return Batch(epoch, first_seq, prev_hash, ts_us, entries, data, sha256(data).digest(), last_seq)


_SIX_FIELDS = b"\x96"


def _array_header(length: int) -> bytes:
    return bytes((0x90 | length,)) if length < 16 else b"\xdc" + length.to_bytes(2, "big")


def encode_batch(epoch: int, first_seq: int, prev_hash: bytes, ts_us: int, entries: Sequence[Entry]) -> Batch:
    """Encode a batch at once; its `data` is what is stored, hashed and sent."""
    builder = BatchBuilder(epoch, first_seq, prev_hash, ts_us)
    for entry in entries:
        builder.add(entry.application, entry[2:])
    return builder.seal()


def decode_batch(data: bytes) -> Batch:
    """Decode and check the shape of a batch. Raises RemoteProtocolError; never trusts a length.

    What its events mean is not looked at: an unknown type halts the node when it is folded.
    """
    if len(data) > BATCH_BYTES_MAX + 1024:
        raise RemoteProtocolError(f"a batch of {len(data)} bytes exceeds the bound")
    try:
        form, epoch, first_seq, prev_hash, ts_us, raw = unpack_whole(data)
        entries = tuple(map(Entry._make, raw))
    except (ValueError, TypeError) as error:
        raise RemoteProtocolError(f"not a batch: {error}") from None
    if form != FORMAT:
        raise RemoteProtocolError(f"the batch has another format than {FORMAT}")
    if not (
        type(epoch) is int and type(first_seq) is int and type(ts_us) is int
        and epoch >= 0 and first_seq >= 1
        and type(prev_hash) is bytes and len(prev_hash) == HASH_BYTES
        and 0 < len(entries) <= BATCH_ENTRIES_MAX
    ):  # fmt: skip
        raise RemoteProtocolError("a field of the batch header is out of range")
    for offset, entry in enumerate(entries):
        if entry.offset != offset or type(entry.type) is not str or type(entry.application) is not str:
            raise RemoteProtocolError(f"entry {offset} of the batch is malformed")
    return _batch(epoch, first_seq, prev_hash, ts_us, entries, data)


def stamp_of(data: bytes) -> Stamp:
    """The stamp of a batch of one's own, of which only the header is decoded. Raises RemoteProtocolError."""
    unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=HEADER_BYTES_MAX)
    unpacker.feed(data[:HEADER_BYTES_MAX])
    try:
        unpacker.read_array_header()
        _, epoch, first_seq, _, _ = (unpacker.unpack() for _ in range(5))
        last_seq = first_seq + unpacker.read_array_header() - 1
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"not a batch: {error}") from None
    return Stamp(epoch, first_seq, last_seq, sha256(data).digest())


def is_canonical(batch: Batch) -> bool:
    """True if the batch holds plain data only and its bytes are the one encoding of that. `decode_batch`
    leaves this to those who verify a log: a batch that a primary has made is canonical."""
    if not all(_is_plain(entry) for entry in batch.entries):
        return False
    return encode_batch(batch.epoch, batch.first_seq, batch.prev_hash, batch.ts_us, batch.entries).data == batch.data


def _is_plain(entry: Entry) -> bool:
    """True if an entry's fields have their types and nothing in its body is a float, a map or an extension."""
    _, application, type_, version, actor, request_id, body = entry
    if not (
        type(application) is str and type(type_) is str and type(version) is int and type(actor) is str
        and type(request_id) in (str, bytes)
    ):  # fmt: skip
        return False
    waiting = [body]  # a list of its own, not recursion: what is checked here may be nested as deep as msgpack reads
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple | list) and not isinstance(value, msgpack.ExtType):
            waiting.extend(value)
        elif type(value) not in _SCALARS:
            return False
    return True


_SCALARS = (type(None), bool, int, str, bytes)
