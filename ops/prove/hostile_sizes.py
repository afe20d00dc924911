"""Hostile frames of about the size that a frame may have, just within the limit and just beyond."""

from __future__ import annotations

from random import Random
from typing import Final

from nodes.wire.encoding import Encoding
from ops.prove.hostile_samples import draw_request
from ops.prove.hostile_writing import Pairs, Raw, write

PADDED_MESSAGES: Final = 64
"""In an array of nothing but large ones."""

WHOLE_TEXT: Final = "x" * 200
"""The longest text allowed: many of these bring a message near its limit of size without breaking another."""

NEAR: Final = (-300, -1, 0, 1, 300)
"""Bytes short of, or beyond, a limit of size."""


def message_near(drawn: Random, bytes_max: int) -> bytes:
    """A request of about that size, whole but for that."""
    return _padded(draw_request(drawn).tree, drawn.choice(tuple(Encoding)), bytes_max + drawn.choice(NEAR))


def _padded(message: Pairs, encoding: Encoding, size: int) -> bytes:
    """The message with text in a further field, so that it has as many bytes as asked for or few less."""
    each = len(write([WHOLE_TEXT, WHOLE_TEXT], encoding)) - len(write([WHOLE_TEXT], encoding))
    bare = len(write(Pairs([*message, ("x", [WHOLE_TEXT] * 16)]), encoding)) - 16 * each
    texts, rest = divmod(max(size - bare, 0), each)
    return write(Pairs([*message, ("x", [WHOLE_TEXT] * texts + ["y" * max(rest - 3, 0)])]), encoding)


def array_near(drawn: Random, bytes_max: int) -> bytes:
    """As many large messages as fit, and perhaps one byte more; or one container of nothing but small values."""
    encoding = drawn.choice(tuple(Encoding))
    size = bytes_max + drawn.choice(NEAR)
    if drawn.random() < 0.3:
        value = drawn.choice((Pairs(), [], 0, "", Pairs([("", None)]), [[0]], Pairs([("a", 1), ("a", 2)])))
        each = len(write([value, value], encoding)) - len(write([value], encoding))
        return write([value] * (size // each), encoding)
    padded = _padded(draw_request(drawn).tree, encoding, bytes_max // PADDED_MESSAGES - 64)
    others = [Raw(padded, padded)] * (PADDED_MESSAGES - 1)
    last = _padded(draw_request(drawn).tree, encoding, max(size - len(write(others, encoding)) - 1, 0))
    return write([*others, Raw(last, last)], encoding)


def promise_near(drawn: Random, bytes_max: int) -> bytes:
    """A short nest of promises before a long body: each may promise as much as the whole frame has bytes."""
    size, times = bytes_max + drawn.choice(NEAR), drawn.choice((10, 500, 1_000))
    header = drawn.choice((b"\xdd", b"\xdf")) + (size // drawn.choice((2, 3))).to_bytes(4, "big")
    nest = (header + (b"\xa1x" if header[:1] == b"\xdf" else b"")) * times
    return drawn.choice((b"", b"\x81\xa1x", b"\x96")) + nest + b"\xc0" * (size - len(nest))
