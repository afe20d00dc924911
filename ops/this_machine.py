"""What of a cluster on several machines is on this one."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from nodes.config.cluster import ServerConfig


def is_here(server: ServerConfig) -> bool:
    """True if a server belongs on this machine: its data directory is there, or its address is one of this machine's,
    to which alone a socket can be bound. A name that nobody knows here is none."""
    return server.data.exists() or _is_own(urlsplit(server.requests).hostname or "")


def _is_own(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_bind(family, address) for family, _, _, _, address in found)


def _can_bind(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True
