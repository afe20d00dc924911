"""Hostile frames from other frames: bytes flipped, cut, doubled, spliced, and lengths made to lie."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from nodes.wire.encoding import ARRAY_BYTES_MAX

STEPS_MAX: Final = 4
PIECE_MAX: Final = 64
"""Bytes that one step takes away or puts in."""

_TELLING: Final = (
    *(bytes((one,)) for one in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, *range(0xC0, 0xE0), 0xFF)),
    *(bytes((one,)) for one in b'{}[],:"\\0-e'),
    b"\\u", b"\\ud800", b"NaN", b"1e999", b"\xed\xa0\x80", b"\xff\xff", b"\xff\xff\xff\xff", b"\x00\x01\x00\x00",
)  # fmt: skip
"""Bytes that mean something in one encoding or the other."""


class _Place(NamedTuple):
    """Where a step is taken: before byte `at` of `frame`, or at its end."""

    frame: bytes
    at: int
    other: bytes
    drawn: Random

    def instead(self, piece: bytes, length: int = 0) -> bytes:
        """The frame with the piece in the place of so many bytes."""
        return self.frame[: self.at] + piece + self.frame[self.at + length :]


def mutated(frame: bytes, other: bytes, drawn: Random) -> bytes:
    """A frame that differs from `frame` in a few places; parts of it may come from `other`."""
    for _ in range(drawn.randint(1, STEPS_MAX)):
        frame = drawn.choice(_STEPS)(_Place(frame, drawn.randrange(len(frame) + 1), other, drawn))
    return frame[: ARRAY_BYTES_MAX + 1]


def _flip(place: _Place) -> bytes:
    one = place.frame[place.at : place.at + 1]
    return place.instead(bytes(byte ^ 1 << place.drawn.randrange(8) for byte in one), 1)


def _overwrite(place: _Place) -> bytes:
    telling = place.drawn.choice(_TELLING)
    return place.instead(telling, len(telling))


def _insert(place: _Place) -> bytes:
    return place.instead(place.drawn.choice(_TELLING))


def _truncate(place: _Place) -> bytes:
    return place.frame[: place.at]


def _cut_out(place: _Place) -> bytes:
    return place.instead(b"", place.drawn.randint(1, PIECE_MAX))


def _double(place: _Place) -> bytes:
    piece = place.frame[place.at : place.at + place.drawn.randint(1, PIECE_MAX)]
    return place.instead(piece * place.drawn.choice((1, 1, 1, 19)))


def _splice(place: _Place) -> bytes:
    """The beginning of one and the end of the other."""
    return place.frame[: place.at] + place.other[place.drawn.randrange(len(place.other) + 1) :]


def _graft(place: _Place) -> bytes:
    begin = place.drawn.randrange(len(place.other) + 1)
    return place.instead(place.other[begin : begin + place.drawn.randint(1, PIECE_MAX)])


_STEPS: Final = (_flip, _flip, _overwrite, _overwrite, _insert, _truncate, _cut_out, _double, _splice, _graft)
