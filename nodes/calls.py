"""The lasting connections that a process makes, and makes again.

libzmq comes back by itself to a peer whose connection broke, but gives one up for ever, without a word, once a peer has
said what cannot be right: a byte was changed on the way, or for a moment somebody else had the port.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from es.replication.instant import Instant
from nodes.logs import logger
from nodes.shell import Loop, drain
from nodes.sockets import CALL_EVENTS, Context, Socket, call_again, monitor

AGAIN_US: Final = 250_000
"""So long libzmq has to begin by itself."""


@dataclass(slots=True)
class _Call:
    """`lost_us`: when its connection ended, until somebody begins to make it again. `is_told` until it stands again."""

    events: Socket
    lost_us: int | None = None
    is_told: bool = False


class Calls:
    """Connecting sockets of one process that are to stay connected."""

    def __init__(self, loop: Loop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._calls: dict[Socket, _Call] = {}

    def keep(self, socket: Socket) -> None:
        """See to it from now on."""
        call = self._calls[socket] = _Call(monitor(self._context, socket, CALL_EVENTS))
        self._loop.register(call.events, partial(self._on_ready, call))

    def drop(self, socket: Socket) -> None:
        """No longer; before it is closed."""
        call = self._calls.pop(socket)
        self._loop.unregister(call.events)
        socket.disable_monitor()
        call.events.close()

    def tick(self, now: Instant) -> int:
        """Connect anew what has been given up; how many that were. To be called some times a second."""
        given_up = [
            (socket, call) for socket, call in self._calls.items()
            if call.lost_us is not None and now.boot_us - call.lost_us >= AGAIN_US
        ]  # fmt: skip
        for socket, call in given_up:
            call.lost_us = None
            endpoint = call_again(socket)
            if not call.is_told:
                call.is_told = True
                logger().warning("a peer was not understood and is called again", endpoint=endpoint)
        return len(given_up)

    def _on_ready(self, call: _Call, now: Instant) -> None:
        for frames in drain(call.events):
            event = parse_monitor_message(frames)["event"]
            call.lost_us = now.boot_us if event == zmq.EVENT_DISCONNECTED else None
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                call.is_told = False
