"""What the kernel knows of a connection that libzmq holds, by its descriptor, and the end of it.

A descriptor may be another's by the time it is looked at: libzmq closes and opens in a thread of its own. To look at
the wrong one does no harm; to end it is checked by the peer's address.
"""

from __future__ import annotations

import os
import socket as tcp
import struct
import termios
from fcntl import ioctl
from typing import Final

from es.descriptors import with_reserve

UNKNOWN_ADDRESS: Final = "?"
"""Of a peer that was gone before anybody could ask the kernel."""

# struct tcp_info of linux/tcp.h: 8 bytes, 24 numbers of 4, 2 of 8, and then tcpi_bytes_acked, tcpi_bytes_received.
_COUNTED: Final = struct.Struct("=8x96x16xQQ")
_UNACKNOWLEDGED: Final = struct.Struct("=i")


def address_of(fd: int) -> str:
    """Its peer's, as `host:port`."""
    try:
        peer = _borrow(fd)
    except OSError:
        return UNKNOWN_ADDRESS
    try:
        return _peer_of(peer)
    except (OSError, ValueError):
        return UNKNOWN_ADDRESS
    finally:
        peer.detach()


def local_port(fd: int) -> int | None:
    """The port at our end; None if there is no such connection."""
    try:
        peer = _borrow(fd)
    except OSError:
        return None
    try:
        return int(peer.getsockname()[1])
    except (OSError, ValueError, IndexError, TypeError):
        return None
    finally:
        peer.detach()


def received_bytes(fd: int) -> int | None:
    """What a TCP connection has received since it began, read by anybody or not; None if that is none."""
    counted = _counted(fd)
    return None if counted is None else counted[1]


def taken_bytes(fd: int) -> int | None:
    """What the peer's kernel has acknowledged since a TCP connection began; None if that is none."""
    counted = _counted(fd)
    return None if counted is None else counted[0]


def has_taken_all(fd: int) -> bool:
    """Whether the peer's kernel has acknowledged all that ours was given."""
    try:
        return _UNACKNOWLEDGED.unpack(ioctl(fd, termios.TIOCOUTQ, bytes(_UNACKNOWLEDGED.size))) == (0,)
    except OSError:
        return False


def _counted(fd: int) -> tuple[int, int] | None:
    try:
        peer = _borrow(fd)
    except OSError:
        return None
    try:
        info = peer.getsockopt(tcp.IPPROTO_TCP, tcp.TCP_INFO, _COUNTED.size)
    except OSError:
        return None
    finally:
        peer.detach()
    return _COUNTED.unpack(info) if len(info) == _COUNTED.size else None


def shut(fd: int, address: str) -> bool:
    """End the connection to that address, if it is there; libzmq closes it."""
    try:
        with tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM, 0, with_reserve(lambda: os.dup(fd))) as peer:
            if _peer_of(peer) != address:
                return False
            peer.shutdown(tcp.SHUT_RDWR)
            return True
    except (OSError, ValueError):
        return False


def _borrow(fd: int) -> tcp.socket:
    """To ask, without a descriptor of our own; to be detached. The family is said so that it is not looked for: any
    will do. Raises OSError if it is no socket."""
    return tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM, 0, fd)


def _peer_of(peer: tcp.socket) -> str:
    host, port, *_ = peer.getpeername()
    return f"{host}:{port}"
