"""Heartbeats: what every server publishes about itself, one UTF-8 frame a beat.

`NODE {…}` leaves every beacon interval and is what our faculties follow. `HB_ALIVE:PRIMARY {…}` (or
BACKUP) is for older subscribers, who take any beat for a living server: only the active one sends it,
once a second.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from projections.rooms.limits import TEXT_CHARS_MAX

NODE_TOPIC: Final = b"NODE "
ALIVE_TOPIC: Final = b"HB"
BEAT_BYTES_MAX: Final = 4 << 10

_SERVERS_MAX: Final = 16
_NUMBER_MAX: Final = (1 << 63) - 1


class Beat(NamedTuple):
    """One server's word about itself. `role` is `primary` or `backup`; `requests` its ROUTER's endpoint."""

    node: str
    role: str
    epoch: int
    seq: int
    active: bool
    requests: str
    in_sync: tuple[str, ...]


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_node_beat(beat: Beat) -> bytes:
    """The beat that faculties follow."""
    return NODE_TOPIC + _to_json(beat._asdict()).encode()


def encode_alive_beat(beat: Beat, *, is_central: bool) -> bytes:
    """The beat of the active server for older subscribers. `is_central`: it is the node configured as
    central server, whatever its role is now."""
    assert beat.active, "a passive server must not look alive to those who take any beat for a living one"
    fields = {
        "node": beat.node,
        "role": beat.role,
        "epoch": beat.epoch,
        "seq": beat.seq,
        "active": True,
    }
    return f"HB_ALIVE:{'PRIMARY' if is_central else 'BACKUP'} {_to_json(fields)}".encode()


def decode_node_beat(frame: bytes) -> Beat | None:
    """A `NODE` beat, or None if the frame is none. Never raises."""
    if len(frame) > BEAT_BYTES_MAX or not frame.startswith(NODE_TOPIC):
        return None
    try:
        fields = json.loads(frame[len(NODE_TOPIC) :].decode())
        beat = Beat(
            _text(fields["node"]),
            _text(fields["role"]),
            _number(fields["epoch"]),
            _number(fields["seq"]),
            fields["active"],
            _text(fields["requests"]),
            tuple(map(_text, _list(fields["in_sync"]))),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return beat if type(beat.active) is bool else None


def _text(value: Any) -> str:
    if type(value) is str and len(value) <= TEXT_CHARS_MAX:
        value.encode()  # half a surrogate pair, which an escape can bring in, is a ValueError
        return value
    raise ValueError("text is expected")


def _list(value: Any) -> list[Any]:
    if type(value) is list and len(value) <= _SERVERS_MAX:
        return value
    raise ValueError("a list is expected")


def _number(value: Any) -> int:
    if type(value) is int and 0 <= value <= _NUMBER_MAX:
        return value
    raise ValueError("a number is expected")
