"""How a finished transaction is remembered: all that a repetition needs, in a few bytes (A10)."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgpack

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
    term: int
    program_id: int
    asked_classrooms: int
    asked_labs: int
    partial: bool
    classrooms: tuple[int, ...] = ()
    labs: tuple[int, ...] = ()
    mobile: tuple[int, ...] = ()
    released_seq: int = 0

    def pack(self) -> bytes:
        """The shortest form; `unpack` gives back an equal outcome."""
        data: bytes = _pack(self if self.ending == CONFIRMED else self[:7])
        return data


def unpack(data: bytes) -> Outcome:
    """The outcome that `Outcome.pack` wrote."""
    return Outcome(*msgpack.unpackb(data, use_list=False))
