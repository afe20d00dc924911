"""What SECURITY.md says that whoever has a key can still do: libzmq 4.3.5 ends a process at a word of a peer.

Once one of these fails libzmq has mended it, and the page is to be changed.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import Self

import zmq

from nodes import sockets
from nodes.security.curve import OPEN
from nodes.shell import drain
from nodes.sockets import UNREAD_MAX
from tests.unit.nodes.zmtp import connect, frame, ping, reset


def listen() -> None:
    """A requests door that says where it is, repeats the route of whoever speaks, and is busy for a moment before it
    reads."""
    router = sockets.request_router(sockets.context(), "tcp://127.0.0.1:*", OPEN)
    os.write(1, f"{sockets.bound_endpoint(router)}\n".encode())
    while True:
        router.poll()
        time.sleep(0.2)
        for route, *_ in drain(router):
            os.write(1, f"{route.hex()}\n".encode())


class Victim:
    """A process that listens so, for as long as the block lasts at most. `heard` is its next line."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import listen; listen()"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()},
        )  # fmt: skip
        self.endpoint = self.heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        """How it ended, and its last words."""
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


def test_a_peer_that_resets_while_its_heartbeats_wait_ends_a_busy_process() -> None:
    with Victim() as victim:
        peer = connect(victim.endpoint)
        peer.sendall(frame(b"x") * 3 * UNREAD_MAX + ping(50) * 10)
        time.sleep(0.1)  # the process is busy, and nothing but its end tells that libzmq has read so far
        reset(peer)
        status, said = victim.end()
    assert status == -signal.SIGABRT
    assert "!_io_error" in said


def test_a_peer_that_takes_the_route_that_is_drawn_next_ends_the_process() -> None:
    assert zmq.zmq_version() == "4.3.5"
    with Victim() as victim, connect(victim.endpoint) as first:
        first.sendall(frame(b"x"))
        drawn = int(victim.heard(), 16)
        following = (drawn + 1) % (1 << 32)
        with connect(victim.endpoint, route=b"\0" + struct.pack(">I", following)) as taken:
            taken.sendall(frame(b"x"))
            assert int(victim.heard(), 16) == following
            with suppress(ConnectionError):
                connect(victim.endpoint).close()
            status, said = victim.end()
    assert status == -signal.SIGABRT
    assert "socket_base.cpp" in said
