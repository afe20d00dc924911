"""A canonical batch holds plain data only: what `decode_batch` reads for speed, a verification refuses."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from es.codec import GENESIS_HASH, Entry, decode_batch, encode_batch, is_canonical
from es.errors import RemoteProtocolError

PLAIN = encode_batch(1, 1, GENESIS_HASH, 5, [Entry(0, "ledger", "Credited", 1, "client", "x", None)])


def with_body(packed: bytes) -> bytes:
    assert PLAIN.data.endswith(b"\xc0")
    return PLAIN.data[:-1] + packed


@pytest.mark.parametrize("body", [None, True, 0, -1, 2**64 - 1, "ñ", b"\xff", [], [[1, "a"], [None, b""]]])
def test_plain_data_is_canonical(body: Any) -> None:
    assert is_canonical(decode_batch(with_body(msgpack.packb(body))))


@pytest.mark.parametrize(
    "body",
    [
        1.5, float("nan"), float("inf"), {}, msgpack.ExtType(4, b"x"), msgpack.Timestamp(1, 1),
        [1, [2, [3.0]]], [[{}]], [0, [msgpack.ExtType(1, b"")]],
    ],
    ids=repr,
)  # fmt: skip
def test_anything_else_in_a_body_is_not(body: Any) -> None:
    batch = decode_batch(with_body(msgpack.packb(body)))
    assert not is_canonical(batch)


@pytest.mark.parametrize(
    "packed",
    [
        b"\xcc\x05",
        b"\xcd\x00\x05",
        b"\xd9\x01a",
        b"\xdc\x00\x01\x01",
        b"\xc5\x00\x01x",
        b"\xca\x00\x00\x00\x00",
        b"\xd0\x05",
    ],
    ids=bytes.hex,
)
def test_a_longer_form_of_the_same_is_not(packed: bytes) -> None:
    assert not is_canonical(decode_batch(with_body(packed)))


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 1.0), ("version", True), ("version", "1"), ("actor", b"x"), ("actor", None), ("request_id", 1)],
)
def test_a_field_of_another_type_is_not(field: str, value: Any) -> None:
    entry = Entry(0, "ledger", "Credited", 1, "client", "x", None)._replace(**{field: value})
    assert not is_canonical(decode_batch(encode_batch(1, 1, GENESIS_HASH, 5, [entry]).data))


def test_a_map_with_anything_in_it_is_not_even_read() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_batch(with_body(msgpack.packb({"a": 1})))


def test_depth_does_not_stop_the_check() -> None:
    deep = decode_batch(with_body(b"\x91" * 400 + b"\xc0"))
    assert is_canonical(deep)
    deep = decode_batch(with_body(b"\x91" * 400 + msgpack.packb(0.5)))
    assert not is_canonical(deep)
