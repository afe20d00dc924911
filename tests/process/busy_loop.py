"""A process whose loop is busy again and again, while its peers go on: `subscriber` or `router`. Prints its rounds."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from threading import Event, Thread

import zmq

from nodes import sockets
from nodes.security import principals
from nodes.security.curve import OPEN

BUSY_S = 0.9
ROUNDS = 3
FLOOD = 2 * sockets.MESSAGES_MAX
"""Messages of one client, more than a queue holds."""

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
MESSAGE = b"\x01\x00\x00\x64" + bytes(100)
"""ZMTP 3.0 (RFC 23): a delimiter and a hundred bytes."""


def subscriber() -> int:
    """A publisher fills the subscriber's queue again and again."""
    publishing, subscribing = sockets.context(), sockets.context()
    pub = sockets.batch_pub(publishing, "tcp://127.0.0.1:*", OPEN)
    sub = sockets.batch_sub(subscribing, sockets.bound_endpoint(pub), principals.server("a"), OPEN)
    is_over = Event()

    def flood() -> None:
        while not is_over.wait(0.0005):
            pub.send(bytes(2_000), zmq.NOBLOCK)

    publisher = Thread(target=flood)
    publisher.start()
    for _ in range(ROUNDS):
        time.sleep(BUSY_S)  # what a busy loop does with its sockets: nothing
        for _ in range(sockets.BATCH_FRAMES_MAX + 1):
            assert sub.poll(5_000)
            sub.recv()
    is_over.set()
    publisher.join()
    sub.close()
    pub.close()
    publishing.term()
    subscribing.term()
    return ROUNDS


def router() -> int:
    """A client fills the router's queue and resets its connection, again and again."""
    context = sockets.context()
    door = sockets.request_router(context, "tcp://127.0.0.1:*", OPEN)
    port = int(sockets.bound_endpoint(door).rpartition(":")[2])
    for _ in range(ROUNDS):
        client = Thread(target=_flood_and_reset, args=(port,))
        client.start()
        time.sleep(BUSY_S)
        assert len(door.recv_multipart()) == 3
        while door.poll(200):
            door.recv_multipart()
        client.join()
    door.close()
    context.term()
    return ROUNDS


def _flood_and_reset(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(GREETING)
        client.sendall(bytes([4, len(READY)]) + READY)
        time.sleep(0.05)  # a client that says all at once is taken for one of an older protocol
        client.settimeout(BUSY_S / 2)
        with contextlib.suppress(TimeoutError):  # it takes no more
            client.sendall(MESSAGE * FLOOD)
        time.sleep(BUSY_S / 4)  # the queue is full by then: what comes now is the reset alone
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


if __name__ == "__main__":
    print({"subscriber": subscriber, "router": router}[sys.argv[1]]())  # noqa: T201 - its result
