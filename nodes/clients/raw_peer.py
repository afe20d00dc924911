"""A connection that carries whatever frames it is given: a peer that need not keep to any protocol."""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from nodes.shell import DRAIN_MESSAGES_MAX
from nodes.sockets import Socket


class RawPeer:
    """Owns a socket of nodes.sockets, of any type that sends and receives."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def send(self, frames: Sequence[bytes], within_ms: int) -> bool:
        """Send one message of these frames; false if the other side took nothing in that time."""
        if not self._socket.poll(within_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart(frames, zmq.NOBLOCK)
        return True

    def taken(self, within_ms: int) -> list[list[bytes]]:
        """The frames of messages that have arrived, a bounded number of them; waits so long for the first. A REQ that
        has its answer is never asked for another: it only says that there is none."""
        messages: list[list[bytes]] = []
        while len(messages) < DRAIN_MESSAGES_MAX and self._socket.poll(0 if messages else within_ms, zmq.POLLIN):
            messages.append(self._socket.recv_multipart(zmq.NOBLOCK))
        return messages

    def close(self) -> None:
        """Give the socket back; what has not left yet never does."""
        self._socket.close()
