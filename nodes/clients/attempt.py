"""One attempt of a program: a connection of its own to its faculty, one question, and its answer."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from nodes import sockets
from nodes.clients.interrupts import interruptible
from nodes.clients.watch import REFUSED_US, Watch
from nodes.security.principals import Principal
from nodes.shell import read_clock
from nodes.sockets import Context, Security


class Attempted(NamedTuple):
    """`answer` is None if none came in time, `ended_us` when it came, or when nobody waited any more. `was_let_in` if
    the question may have arrived; `is_refused` if the faculty lets nobody in who has this key."""

    answer: bytes | None
    ended_us: int
    was_let_in: bool
    is_refused: bool


def attempt(
    faculty: Principal, endpoint: str, payload: bytes, until_us: int, context: Context, security: Security
) -> Attempted:
    """Ask once, and wait until that time (boot time in µs) at most. A REQ socket takes no second question."""
    socket, events = sockets.watched_req(context, endpoint, faculty, security)
    watch, answer = Watch(events), None
    refused_us = read_clock().boot_us + REFUSED_US
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(events, zmq.POLLIN)
    try:
        socket.send(payload, zmq.NOBLOCK)
        while answer is None:
            due_us = min(until_us, refused_us) if watch.is_refused else until_us
            left_ms = -(-(due_us - read_clock().boot_us) // 1_000)
            with interruptible():
                ready = dict(poller.poll(max(left_ms, 0)))
            watch.take_told()
            if socket in ready:
                answer = socket.recv(zmq.NOBLOCK)
            elif left_ms <= 0:
                break
        ended_us = read_clock().boot_us
    finally:
        socket.close()
        watch.close()
    return Attempted(answer, ended_us, watch.was_let_in, watch.is_refused)
