"""ZMTP 3.0 with the mechanism NULL (RFC 23) on a plain TCP connection: a peer that may say what libzmq never would."""

from __future__ import annotations

import socket as tcp
import struct

MORE, LONG, COMMAND = 1, 2, 4
GREETING_BYTES = 64


def greeting(mechanism: bytes) -> bytes:
    """The first 64 bytes."""
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def frame(body: bytes, flags: int = 0) -> bytes:
    """One frame; MORE if another one of its message follows."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | LONG,)) + struct.pack(">Q", len(body)) + body


def ping(ttl_tenths_s: int) -> bytes:
    """A heartbeat that says after how long a silence this peer is dead."""
    return frame(b"\x04PING" + struct.pack(">H", ttl_tenths_s), COMMAND)


def connect(endpoint: str, socket_type: bytes = b"DEALER", route: bytes = b"") -> tcp.socket:
    """A connection whose handshake is over; `route` is the routing id it asks for. Raises OSError."""
    host, port = endpoint.removeprefix("tcp://").split(":")
    peer = tcp.create_connection((host, int(port)), timeout=10)
    told = b"".join(
        bytes((len(name),)) + name + struct.pack(">I", len(value)) + value
        for name, value in ((b"Socket-Type", socket_type), (b"Identity", route))
    )
    peer.sendall(greeting(b"NULL") + frame(b"\x05READY" + told, COMMAND))
    answered = b""
    while len(answered) < GREETING_BYTES + 2 or len(answered) < GREETING_BYTES + 2 + answered[GREETING_BYTES + 1]:
        more = peer.recv(4_096)
        if not more:
            peer.close()
            raise ConnectionResetError("the other end is gone")
        answered += more
    return peer


def reset(peer: tcp.socket) -> None:
    """End it without a goodbye (RST)."""
    peer.setsockopt(tcp.SOL_SOCKET, tcp.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
