"""The limits of the wire protocol, looked for in the bytes of a frame by a reader that knows nothing of the product's.

What a decoder accepted must keep them: a second opinion on every message that it let through.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

import msgpack

from ops.prove.hostile_writing import Pairs

MESSAGE_BYTES, ARRAY_BYTES, ARRAY_MESSAGES = 65_536, 1_048_576, 1_000
DEPTH, TEXT_CHARS, COUNT = 4, 200, 1_000
NAME_CHARS, LIFE_CHARS, NUMBER = 64, 128, (1 << 63) - 1
MEMBERS, BATCHES = 7, 256
COUNTS: Final = ("salones", "laboratorios")
IDS: Final = ("faculty_id", "program_id")


def limit_broken(frame: bytes, accepted: Mapping[int, Sequence[str]]) -> str | None:
    """A limit of the wire protocol that the frame breaks as a whole, or in one of the messages at these places (the
    only one is at 0), of which these fields are numbers; None if there is none."""
    is_array = frame[:1] == b"[" or b"\x90" <= frame[:1] <= b"\x9f" or frame[:1] in (b"\xdc", b"\xdd")
    if len(frame) > (ARRAY_BYTES if is_array else MESSAGE_BYTES):
        return f"a frame of {len(frame)} bytes"
    try:
        items = (_json_items if frame[:1] in (b"{", b"[") else _msgpack_items)(frame, is_array, accepted)
    except (ValueError, RecursionError, msgpack.UnpackException):
        return "what was accepted cannot be read"
    if len(items) > ARRAY_MESSAGES:
        return f"an array of {len(items)} messages"
    return next((broken for at, numbers in accepted.items() if (broken := _message_broken(items[at], numbers))), None)


def _json_items(frame: bytes, is_array: bool, _accepted: Container[int]) -> list[Any]:
    whole = json.loads(frame.decode(), object_pairs_hook=Pairs)
    return whole if is_array else [whole]


def _msgpack_items(frame: bytes, is_array: bool, accepted: Container[int]) -> list[Any]:
    """Those that were accepted; the others may be too deep for any reader, and are None here."""
    unpacker = msgpack.Unpacker(object_pairs_hook=Pairs, strict_map_key=False)
    unpacker.feed(frame)
    items = []
    for at in range(unpacker.read_array_header() if is_array else 1):
        items.append(unpacker.unpack() if at in accepted else unpacker.skip())
    return items


def _message_broken(message: Any, numbers: Sequence[str]) -> str | None:
    if not isinstance(message, Pairs):
        return "a message that is no map"
    for key, value in message:
        if key in numbers and not (type(value) is int and 0 <= value <= (COUNT if key in COUNTS else NUMBER)):
            return f"{key} is out of range"
    return _value_broken(message, DEPTH)


def _value_broken(value: Any, depth_left: int) -> str | None:
    if isinstance(value, str):
        return f"text of {len(value)} characters" if len(value) > TEXT_CHARS else None
    if isinstance(value, float) and value - value != 0:
        return f"{value} is no number"
    if not isinstance(value, list):
        return None
    if depth_left == 0:
        return f"nesting deeper than {DEPTH}"
    inner: list[Any] = value
    if isinstance(value, Pairs):
        keys = [key for key, _ in value]
        if any(not isinstance(key, str) for key in keys):
            return "a key that is no text"
        if len(set(keys)) != len(keys):
            return "a key that occurs twice"
        inner = [*keys, *(one for _, one in value)]
    return next((broken for one in inner if (broken := _value_broken(one, depth_left - 1))), None)


def field_broken(value: Any) -> str | None:
    """A limit of what nodes say to each other that a decoded value breaks in one of its fields, if any."""
    if type(value) is str:
        return None if len(value) <= LIFE_CHARS else f"a name of {len(value)} characters"
    if type(value) is int:
        return None if 0 <= value <= NUMBER else f"the number {value}"
    if isinstance(value, tuple):
        if len(value) > BATCHES:
            return f"{len(value)} values"
        return next((broken for one in value if (broken := field_broken(one))), None)
    return None if type(value) is bytes else f"a {type(value).__name__}"
