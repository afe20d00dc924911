"""A subscriber that is busy again and again for longer than any heartbeat, while its publisher goes on."""

from __future__ import annotations

import time
from threading import Event, Thread

import zmq

from nodes import sockets

BUSY_S = 3 * sockets.HEARTBEAT_TIMEOUT_MS / 1_000
ROUNDS = 3


def main() -> None:
    """Print how many rounds something came through in."""
    publishing, subscribing = sockets.context(), sockets.context()
    pub = sockets.batch_pub(publishing, "tcp://127.0.0.1:*")
    sub = sockets.batch_sub(subscribing, sockets.bound_endpoint(pub))
    is_over = Event()

    def flood() -> None:
        while not is_over.wait(0.0005):
            pub.send(bytes(2_000), zmq.NOBLOCK)

    publisher = Thread(target=flood)
    publisher.start()
    rounds = 0
    for _ in range(ROUNDS):
        time.sleep(BUSY_S)  # what a busy loop does with its sockets: nothing
        for _ in range(sockets.BATCH_FRAMES_MAX + 1):
            assert sub.poll(5_000)
            sub.recv()
        rounds += 1
    is_over.set()
    publisher.join()
    sub.close()
    pub.close()
    publishing.term()
    subscribing.term()
    print(rounds)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
