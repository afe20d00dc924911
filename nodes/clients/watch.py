"""What one's own side of a connection tells of whether somebody was let in.

A key that is not let in is told nothing (nodes.security.authenticator): its connections end, at once or when the time
for a handshake is over. What can be known of that on this side is told by libzmq and by the kernel: the other end has
proven whose it is, and let us in neither this time nor the next. So nothing was asked.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from nodes.security import tcp
from nodes.security.authenticator import CHECK_US
from nodes.shell import drain
from nodes.sockets import Socket

WELCOMED_BYTES: Final = 64 + 2 + 168
"""A greeting and CURVE's WELCOME (RFC 23 and 26), which only who has the secret of the key that we call can make."""

REFUSALS: Final = 2
REFUSED_US: Final = 2 * CHECK_US
"""So many connections that are not let in, and so long a time, are enough: who is called may be about to follow that
this key was allowed."""


class Watch:
    """The connections of one socket, one after the other. A descriptor of its own outlives libzmq's, to be asked."""

    def __init__(self, events: Socket) -> None:
        self._events = events
        self._own_fd: int | None = None
        self._is_told_all = False
        self._refusals = 0
        self.was_let_in = False

    @property
    def is_refused(self) -> bool:
        """Whether no connection was let in, and enough were not."""
        return self._refusals >= REFUSALS and not self.was_let_in

    def take_told(self) -> None:
        """Take what libzmq tells."""
        for frames in drain(self._events):
            told = parse_monitor_message(frames)
            event = told["event"]
            if event == zmq.EVENT_CONNECTED:
                self._hold(told["value"])
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.was_let_in = True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._refusals = REFUSALS  # it says so, and libzmq does not come again
            elif event == zmq.EVENT_DISCONNECTED:
                self._refusals += self._was_welcomed()
                self._let_go()
            else:
                self._is_told_all = True

    def close(self) -> None:
        """After the socket, once all was told of it: it may have been let in at the last moment. libzmq does away with
        it soon (LINGER 0), and would wait for ever to tell somebody who is not there."""
        while not self._is_told_all:
            self._events.poll()
            self.take_told()
        self._let_go()
        self._events.close()

    def _hold(self, fd: int) -> None:
        self._let_go()
        with suppress(OSError):  # it is over already, or no more can be opened: then nobody knows
            self._own_fd = os.dup(fd)

    def _let_go(self) -> None:
        if self._own_fd is not None:
            os.close(self._own_fd)
            self._own_fd = None

    def _was_welcomed(self) -> bool:
        return self._own_fd is not None and (tcp.received_bytes(self._own_fd) or 0) >= WELCOMED_BYTES
