"""Decoders with a mistake in them, made on purpose: what would not convict these could not judge the real ones."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgpack

from nodes import wire
from nodes.wire.encoding import Encoding
from nodes.wire.schema import server_request
from ops.prove.hostile_decoders import DECODERS, Decoder
from ops.prove.hostile_grammar import draw_frame
from ops.prove.hostile_watch import LineWatch, scales, watched, weighed

FRAMES_MAX: Final = 5_000
"""A control that so many frames do not convict shows that the instrument is blind."""

_LENGTH_MAX: Final = 1 << 20


def _believes_its_sender(frame: bytes) -> str:
    """It takes the shape of a message for granted."""
    text: str = msgpack.unpackb(frame)["transaction_id"].upper()
    return text


def _believes_a_length(frame: bytes) -> list[None]:
    """It makes room for what is promised."""
    header, length = frame[:1], int.from_bytes(frame[1:5], "big")
    return [None] * min(length, _LENGTH_MAX) if header in (b"\xdd", b"\xdf") else []


def _compares_all_with_all(frame: bytes) -> int:
    """It looks for a byte that occurs twice, and forgets what it has looked at."""
    equal = 0
    for one in frame[:2_000]:
        for other in frame[:2_000]:
            equal += one == other
    return equal


def _overlooks_repeated_keys(frame: bytes) -> wire.Decoded[Any]:
    """It takes a map as the library gives it."""
    decoded = wire.decode_requests(frame)
    if decoded.encoding is Encoding.JSON or decoded.is_array:
        return decoded
    return decoded._replace(messages=[server_request(msgpack.unpackb(frame))])


def _nothing(_frame: bytes, _value: Any) -> None:
    return None


_REFUSES: Final = (ValueError, msgpack.UnpackException)
_CONTROLS: Final = {
    "believes its sender": Decoder("control", _believes_its_sender, _nothing, _REFUSES),
    "believes a length": Decoder("control", _believes_a_length, _nothing),
    "compares all with all": Decoder("control", _compares_all_with_all, _nothing),
    "overlooks repeated keys": Decoder("control", _overlooks_repeated_keys, DECODERS[0].fault, _REFUSES),
}


def convicted(seed: int) -> dict[str, int | None]:
    """Each control, and the number of the frame that convicts it; None if none does."""
    return {name: _convicted_at(decoder, Random(f"control {seed}")) for name, decoder in _CONTROLS.items()}


def _convicted_at(decoder: Decoder, drawn: Random) -> int | None:
    watch = LineWatch((_compares_all_with_all.__code__.co_filename,))
    for number in range(1, FRAMES_MAX + 1):
        frame = draw_frame(drawn)
        with scales():
            is_heavy = weighed(decoder, frame)[0] is not None
        if is_heavy or watched(decoder, frame, watch):
            return number
    return None
