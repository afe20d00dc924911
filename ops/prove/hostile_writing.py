"""A writer of msgpack and JSON that writes what no honest one can: keys twice, half characters, lengths that lie."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import msgpack

from nodes.wire.encoding import Encoding


class Raw(NamedTuple):
    """Bytes in the place of a value, for each encoding; not every one of them is a value at all."""

    json: bytes
    msgpack: bytes


class Pairs(list[tuple[Any, Any]]):
    """A map in the order of its writing; a key may occur twice."""


def tree(plain: Any) -> Any:
    """A value as it is written here: maps as Pairs, tuples as lists, each container new."""
    if isinstance(plain, dict):
        return Pairs((key, tree(value)) for key, value in plain.items())
    if isinstance(plain, list | tuple):
        return [tree(value) for value in plain]
    return plain


def write(value: Any, encoding: Encoding) -> bytes:
    """Encode a tree. Bytes have no form in JSON: they become text."""
    return _to_json(value) if encoding is Encoding.JSON else _to_msgpack(value)


def _to_json(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value.json
    if isinstance(value, Pairs):
        return b"{" + b",".join(_to_json(key) + b":" + _to_json(one) for key, one in value) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_to_json, value)) + b"]"
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return json.dumps(value, ensure_ascii=False).encode()


_packer: Final = msgpack.Packer(use_bin_type=True)


def _to_msgpack(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value.msgpack
    if isinstance(value, Pairs):
        parts = [_packer.pack_map_header(len(value))]
        parts += [_to_msgpack(key) + _to_msgpack(one) for key, one in value]
    elif isinstance(value, list):
        parts = [_packer.pack_array_header(len(value)), *map(_to_msgpack, value)]
    else:
        parts = [_packer.pack(value)]
    return b"".join(parts)


# --- values that nobody should send


def nested(depth: int) -> Raw:
    """Lists within each other."""
    return Raw(b"[" * depth + b"]" * depth, b"\x91" * (depth - 1) + b"\x90")


def nested_maps(depth: int) -> Raw:
    """Maps within each other."""
    return Raw(b'{"a":' * depth + b"1" + b"}" * depth, b"\x81\xa1a" * depth + b"\xc0")


def promised(header: bytes, length: int, times: int) -> Raw:
    """Containers that promise `length` items each, one within the other, and hold nothing."""
    return Raw(b'[{"":' * times, (header + length.to_bytes(4, "big")) * times)


NUMBERS: Final = (
    0, 1, -1, 1_000, 1_001, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63), 0.0, 1.0, 1e308,
    True, False,
    Raw(b"NaN", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), Raw(b"-Infinity", b"\xca\xff\x80\x00\x00"),
    Raw(b"1e999", b"\xca\x7f\x80\x00\x00"), Raw(b"-0", b"\xd0\x00"),
    Raw(b"1E0", b"\xcf\x00\x00\x00\x00\x00\x00\x00\x01"),
    Raw(b"9" * 30, b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), Raw(b"9" * 4_400, b"\xcd\x00\x05"),
)  # fmt: skip
TEXTS: Final = (
    "", "a" * 200, "a" * 201, "ñ" * 200, "\U0001f600" * 200, "\U0001f600" * 201, "\0", "a" * 64, "a" * 65, "a" * 129,
    b"", bytes(31), bytes(32), bytes(33), b"\xff" * 300,
    Raw(rb'"\ud800"', b"\xa3\xed\xa0\x80"), Raw(rb'"\udc00\ud800"', b"\xa6\xed\xb0\x80\xed\xa0\x80"),
    Raw(rb'["\ud800"]', b"\x91\xa3\xed\xa0\x80"), Raw(rb'{"\ud800":"\ud801"}', b"\x81\xa3\xed\xa0\x80\xc0"),
    Raw(rb'"\ud83d\ude00"', b"\xa4\xf0\x9f\x98\x80"), Raw(b'"\xff\xfe"', b"\xa2\xff\xfe"),
    Raw(b'"\xc0\x80"', b"\xa2\xc0\x80"),
    Raw(rb'"\x"', b"\xd9\x01a"), Raw(b'"', b"\xda"), Raw(b'"\n"', b"\xdb\x00\x00\x00\x01a"),
)  # fmt: skip
OTHERS: Final = (
    None, Raw(b"tru", b"\xc1"), Raw(b"1 2", b"\xc0\xc0"), Raw(b"", b""), Raw(b"[1,]", b"\x91"), Raw(b"{,}", b"\x81"),
    Raw(b'{"a":1,"a":2}', b"\x82\xa1a\x01\xa1a\x02"), Raw(rb'{"a":1,"\u0061":2}', b"\x82\xa1a\x01\xd9\x01a\x02"),
    Raw(b"[]", b"\x90"), Raw(b"{}", b"\x80"), Raw(b"\x00", b"\xd4\x05a"), Raw(b"//", b"\xd6\xff\x00\x00\x00\x01"),
    Raw(b"\xef\xbb\xbf1", b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Raw(b"\x0c", b"\xc7\x03\xff123"),
    Raw(b"'a'", b"\xc7\x0c\xff" + b"\xff" * 12), Raw(b"\xff", b"\x81\xc0\xc0"),
    Raw(b'{"a"}', b"\x81\xcb\x7f\xf8" + bytes(7)),
)  # fmt: skip
DEPTHS: Final = (2, 3, 4, 5, 9, 60, 500, 990, 1_024, 1_100)
"""Around the limit of the protocol, and around those of the libraries and of Python."""

NESTS: Final = tuple(make(depth) for depth in DEPTHS for make in (nested, nested_maps))
PROMISES: Final = tuple(
    promised(header, length, times)
    for header in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")
    for length in (17, 1_001, 60_000, (1 << 32) - 1)
    for times in (1, 100, 1_000)
)
HOSTILE: Final = (*NUMBERS, *TEXTS, *OTHERS, *NESTS, *PROMISES)
"""Values for any place in a message."""
