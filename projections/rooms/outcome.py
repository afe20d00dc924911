"""How a finished transaction is remembered: all that a repetition needs, in a few bytes (A10)."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgpack

from projections.rooms.events import Denied, Reserved

DENIED: Final = 0
CONFIRMED: Final = 1
REJECTED: Final = 2
EXPIRED: Final = 3

_pack = msgpack.Packer(use_bin_type=True).pack


class Outcome(NamedTuple):
    """`ending` is one of the four above and `seq` the event that made it so; the asked values tell a
    conflict from a repetition; rooms are positions, for a confirmed one only. `released_seq` is 0 until
    the allocation is given back."""

    ending: int
    seq: int
    program_id: int
    term: int
    asked_classrooms: int
    asked_labs: int
    partial: bool
    classrooms: tuple[int, ...] = ()
    labs: tuple[int, ...] = ()
    mobile: tuple[int, ...] = ()
    released_seq: int = 0


def pack_confirmed(seq: int, reserved: Reserved) -> bytes:
    """What is kept of a confirmed transaction; `unpack` reads it."""
    r = reserved
    data: bytes = _pack(
        (
            CONFIRMED, seq, r.program_id, r.term, r.asked_classrooms, r.asked_labs, r.partial,
            r.classrooms, r.labs, r.mobile,
        )
    )  # fmt: skip
    return data


def pack_released(seq: int, kept: Outcome) -> bytes:
    """`kept` with its rooms given back by the event `seq`."""
    data: bytes = _pack(kept._replace(released_seq=seq))
    return data


def pack_ended(ending: int, seq: int, asked: Reserved | Denied) -> bytes:
    """What is kept of a transaction that got no rooms."""
    data: bytes = _pack(
        (ending, seq, asked.program_id, asked.term, asked.asked_classrooms, asked.asked_labs, asked.partial)
    )
    return data


def unpack(data: bytes) -> Outcome:
    """The outcome that one of the functions above packed."""
    return Outcome(*msgpack.unpackb(data, use_list=False))
