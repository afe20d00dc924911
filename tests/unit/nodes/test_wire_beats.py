"""Heartbeats."""

from __future__ import annotations

import json

import pytest

from nodes.wire.beats import ALIVE_TOPIC, Beat, decode_node_beat, encode_alive_beat, encode_node_beat

BEAT = Beat("a", "primary", 4, 120, True, "tcp://127.0.0.1:5555", ("a", "b"))


def test_a_node_beat_comes_back_as_it_was() -> None:
    frame = encode_node_beat(BEAT)
    assert frame.startswith(b"NODE {")
    assert decode_node_beat(frame) == BEAT


def test_older_subscribers_read_the_configured_place_then_json() -> None:
    frame = encode_alive_beat(BEAT, is_central=True)
    assert frame.startswith(ALIVE_TOPIC)
    word, _, text = frame.decode().partition(" ")
    assert word == "HB_ALIVE:PRIMARY"
    assert json.loads(text) == {"node": "a", "role": "primary", "epoch": 4, "seq": 120, "active": True}
    assert encode_alive_beat(BEAT, is_central=False).startswith(b"HB_ALIVE:BACKUP ")


def test_a_passive_server_never_looks_alive() -> None:
    with pytest.raises(AssertionError):
        encode_alive_beat(BEAT._replace(active=False), is_central=True)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"NODE ",
        b"NODE []",
        b"NODE {}",
        b"HB_ALIVE:PRIMARY {}",
        b"NODE " + b"[" * 3_000,
        b"NODE \xff",
        encode_node_beat(BEAT) + b" " * 5_000,
        encode_node_beat(BEAT).replace(b"true", b"1"),
        encode_node_beat(BEAT).replace(b":4,", b":-4,"),
        encode_node_beat(BEAT).replace(b":4,", b":4.0,"),
        encode_node_beat(BEAT).replace(b'["a","b"]', b"7"),
        encode_node_beat(BEAT).replace(b'["a","b"]', b'"ab"'),
        encode_node_beat(BEAT).replace(b'["a","b"]', b'["a","\\ud800"]'),
        encode_node_beat(BEAT).replace(b'["a","b"]', b'["a","\xed\xa0\x80"]'),
        encode_node_beat(BEAT).replace(b'["a","b"]', b"[" + b'"a",' * 16 + b'"b"]'),
    ],
)
def test_what_is_no_beat_is_none(frame: bytes) -> None:
    assert decode_node_beat(frame) is None
