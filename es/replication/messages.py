"""What servers and witness say to each other, as types, and their encoding.

Every message is a msgpack array whose first element names its kind. `unpack` trusts nothing: bytes
that are no such message raise RemoteProtocolError. Sequence numbers count events, times are
microseconds of the sender's boot clock, hashes are SHA-256 of batch bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgpack

from es.codec import HASH_BYTES
from es.errors import RemoteProtocolError
from es.limits import CHECKPOINT_BYTES_MAX, FETCH_BATCHES_MAX, MEMBERS_MAX
from es.limits import NAME_CHARS_MAX as NAME_CHARS_MAX
from es.unpacking import unpack_whole

LIFE_CHARS_MAX = 2 * NAME_CHARS_MAX
"""A node's name and when this life of it began, by both clocks."""

NUMBER_END = 1 << 53
"""No epoch, sequence number or time reaches it: that of log time is in the year 2255. What would is refused, lest there
be nothing left to count on to."""


class Member(NamedTuple):
    """A data node as the register names it. A wiped disk is a new incarnation: another member."""

    node: str
    incarnation: str


class Register(NamedTuple):
    """The configuration that the witness keeps; every change is a compare-and-swap to `epoch` + 1.

    `author` is the life (one start of one process) that asked for this change: only that life may act on
    it as its own. A restarted node that took up a swap of its earlier life would resume an epoch (R6).
    """

    cluster_id: str
    epoch: int
    primary: Member
    in_sync: tuple[Member, ...]
    witness_generation: int
    author: str = ""

    def pack(self) -> bytes:
        """Encoded form, for storage and for digests."""
        packed: bytes = _pack(self)
        return packed


class Frame(NamedTuple):
    """Stream, P → B: one committed or uncommitted batch. Only `batch` is stored."""

    cluster_id: str
    sender_epoch: int
    commit_seq: int
    batch: bytes


class Beacon(NamedTuple):
    """P → B, on a socket of its own: the sender leads `register.epoch` and its chain ends at `head_seq`."""

    register: Register
    head_seq: int
    head_hash: bytes
    commit_seq: int
    ts_us: int
    sent_us: int


class Ack(NamedTuple):
    """B → P: everything up to `durable_seq` (whose batch hashes to `hash`) is fsynced here, in this epoch."""

    cluster_id: str
    epoch: int
    member: Member
    durable_seq: int
    hash: bytes


class BeaconAck(NamedTuple):
    """B → P: the beacon sent at `sent_us` (P's clock) arrived; `applied_seq` is folded here."""

    cluster_id: str
    epoch: int
    member: Member
    sent_us: int
    durable_seq: int
    hash: bytes
    applied_seq: int


class Fetch(NamedTuple):
    """B → P: send what follows `after_seq`, where my chain has a batch ending with hash `hash`."""

    cluster_id: str
    epoch: int
    member: Member
    after_seq: int
    hash: bytes


class Batches(NamedTuple):
    """P → B, answer to Fetch: our chains are equal up to `after_seq` (`hash`); these batches follow."""

    cluster_id: str
    epoch: int
    commit_seq: int
    after_seq: int
    hash: bytes
    head_seq: int
    batches: tuple[bytes, ...]


class Mismatch(NamedTuple):
    """P → B, answer to Fetch: we differ at `asked_hash`; my nearest batch end at or below there is `seq`, `hash`."""

    cluster_id: str
    epoch: int
    asked_hash: bytes
    seq: int
    hash: bytes


class RolledBack(NamedTuple):
    """P → B: `member` acknowledged up to `seq` and now asks for less (R2): its disk forgot. It must not go on
    under this incarnation."""

    cluster_id: str
    epoch: int
    member: Member
    seq: int


class Checkpointed(NamedTuple):
    """Any → any: a signed checkpoint (es.log.checkpoint). Its node wants it kept; to that node itself: this is what is
    kept of you. Not for the replica or the witness's core: their shells take it."""

    cluster_id: str
    signed: bytes


class Outdated(NamedTuple):
    """Any → a sender of an older epoch: I know of `epoch`. A hint, which moves nobody but to ask the witness."""

    cluster_id: str
    epoch: int


class Heartbeat(NamedTuple):
    """Data node → W: alive, following `epoch`; answered with Registered."""

    cluster_id: str
    epoch: int
    member: Member


class Prevote(NamedTuple):
    """B → W: may I try to lead `epoch` + 1?"""

    cluster_id: str
    epoch: int
    member: Member


class Granted(NamedTuple):
    """W → B: yes; the primary of `epoch` has been silent here too."""

    cluster_id: str
    epoch: int
    member: Member


class CompareAndSwap(NamedTuple):
    """Data node → W: if the register is still at `epoch`, replace it. `said_us` is that of the newest Registered that
    this life of the node has heard: a swap that waited too long counts no more."""

    cluster_id: str
    epoch: int
    member: Member
    primary: Member
    in_sync: tuple[Member, ...]
    author: str
    said_us: int


class Registered(NamedTuple):
    """W → data node: the register as it is at `said_us` of W's boot clock (the answer to everything)."""

    register: Register
    said_us: int


Message: TypeAlias = (
    Frame | Beacon | Ack | BeaconAck | Fetch | Batches | Mismatch | RolledBack | Checkpointed
    | Outdated | Heartbeat | Prevote | Granted | CompareAndSwap | Registered
)  # fmt: skip

_Check: TypeAlias = Callable[[Any], Any]
_pack = msgpack.Packer(use_bin_type=True).pack


def sender_of(message: Message) -> str | None:
    """The node that the message says it comes from; None if it does not say. A link knows who speaks on it."""
    if isinstance(message, Beacon):
        return message.register.primary.node
    if isinstance(message, Ack | BeaconAck | Fetch | Heartbeat | Prevote | CompareAndSwap):
        return message.member.node
    return None


def _name(value: Any) -> str:
    if type(value) is str and 0 < len(value) <= NAME_CHARS_MAX:
        return value
    raise ValueError("a name is expected")


def _life(value: Any) -> str:
    if type(value) is str and len(value) <= LIFE_CHARS_MAX:
        return value
    raise ValueError("a life is expected")


def _number(value: Any) -> int:
    if type(value) is int and 0 <= value < NUMBER_END:
        return value
    raise ValueError("a number is expected, neither negative nor beyond every other")


def _hash(value: Any) -> bytes:
    if type(value) is bytes and len(value) == HASH_BYTES:
        return value
    raise ValueError("a hash is expected")


def _bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    raise ValueError("bytes are expected")


def _checkpoint(value: Any) -> bytes:
    if len(_bytes(value)) <= CHECKPOINT_BYTES_MAX:
        return _bytes(value)
    raise ValueError("a checkpoint is longer than any")


def _tuple(value: Any) -> tuple[Any, ...]:
    if type(value) is tuple:
        return value
    raise ValueError("an array is expected")


def _member(value: Any) -> Member:
    node, incarnation = _tuple(value)
    return Member(_name(node), _name(incarnation))


def _members(value: Any) -> tuple[Member, ...]:
    if len(_tuple(value)) > MEMBERS_MAX:
        raise ValueError("too many members")
    members = tuple(_member(one) for one in value)
    if list(members) != sorted(set(members)):
        raise ValueError("members are neither sorted nor distinct")
    return members


def _many_bytes(value: Any) -> tuple[bytes, ...]:
    if len(_tuple(value)) > FETCH_BATCHES_MAX:
        raise ValueError("too many batches")
    return tuple(_bytes(one) for one in value)


def _register(value: Any) -> Register:
    cluster_id, epoch, primary, in_sync, generation, author = _tuple(value)
    checked = (_name(cluster_id), _number(epoch), _member(primary), _members(in_sync), _number(generation))
    return Register(*checked, _life(author))


_SCHEMA: dict[str, tuple[type[Any], tuple[_Check, ...]]] = {
    "frame": (Frame, (_name, _number, _number, _bytes)),
    "beacon": (Beacon, (_register, _number, _hash, _number, _number, _number)),
    "ack": (Ack, (_name, _number, _member, _number, _hash)),
    "beacon-ack": (BeaconAck, (_name, _number, _member, _number, _number, _hash, _number)),
    "fetch": (Fetch, (_name, _number, _member, _number, _hash)),
    "batches": (Batches, (_name, _number, _number, _number, _hash, _number, _many_bytes)),
    "mismatch": (Mismatch, (_name, _number, _hash, _number, _hash)),
    "rolled-back": (RolledBack, (_name, _number, _member, _number)),
    "checkpointed": (Checkpointed, (_name, _checkpoint)),
    "outdated": (Outdated, (_name, _number)),
    "heartbeat": (Heartbeat, (_name, _number, _member)),
    "prevote": (Prevote, (_name, _number, _member)),
    "granted": (Granted, (_name, _number, _member)),
    "compare-and-swap": (CompareAndSwap, (_name, _number, _member, _member, _members, _life, _number)),
    "registered": (Registered, (_register, _number)),
}
_KIND = {message: kind for kind, (message, _) in _SCHEMA.items()}


def pack(message: Message) -> bytes:
    """Encode a message."""
    packed: bytes = _pack((_KIND[type(message)], *message))
    return packed


def unpack(data: bytes) -> Message:
    """Decode and check a message. Raises RemoteProtocolError and nothing else."""
    try:
        kind, *fields = unpack_whole(data)
        if type(kind) is not str or kind not in _SCHEMA:
            raise ValueError("a kind is expected")  # not named: a nest of lists cannot even be printed
        message, checks = _SCHEMA[kind]
        return message(*[check(field) for check, field in zip(checks, fields, strict=True)])  # type: ignore[no-any-return]
    except (ValueError, TypeError) as error:
        raise RemoteProtocolError(f"not a replication message: {error}") from None


def unpack_register(data: bytes) -> Register:
    """Decode a stored register. Raises RemoteProtocolError."""
    try:
        return _register(unpack_whole(data))
    except (ValueError, TypeError) as error:
        raise RemoteProtocolError(f"not a register: {error}") from None


def members(*members: Member) -> tuple[Member, ...]:
    """The canonical form of a set of members."""
    return tuple(sorted(set(members)))
