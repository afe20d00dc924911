"""One client that floods a server, as fast as TCP takes it, until its stdin ends.

`python -m nodes.clients.flood` reads one JSON line of settings from stdin; when stdin ends it prints one object
with what it sent and got. Kinds: `requests`, arrays of 1 000 valid SOLs that are never confirmed; `garbage`, frames of
all sizes that mean nothing, from somebody who never reads an answer; `burn`, which sends nothing and computes, to tell
a server that is flooded from a machine that is busy.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

import msgpack
import zmq

from nodes import sockets
from nodes.config.file import load
from nodes.security import principals
from nodes.security.curve import security_of
from nodes.wire.encoding import ARRAY_MESSAGES_MAX

REQUESTS, GARBAGE, BURN = "requests", "garbage", "burn"
KINDS: Final = (REQUESTS, GARBAGE, BURN)
FRAMES_AHEAD_MAX: Final = 4
"""Frames that wait in this process; the rest of the flood waits in the kernel's and the server's buffers."""

POLL_MS: Final = 50
_ROUND: Final = b"RRRRRRRR"
"""Stands in every transaction id for the number of the frame."""


@dataclass(slots=True)
class Settings:
    """Of faculty `faculty`, at one server of the cluster that `config_file` tells of (its paths are below `root`).
    `run` keeps the ids of several runs apart."""

    kind: str
    config_file: str
    root: str
    server: str
    faculty: int
    run: str


class Flood:
    """`frames` and `bytes` were sent; `answers` counts what came back by status, PROP for proposals."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = sockets.context()
        config = load(Path(settings.config_file), {}, {}, root=Path(settings.root))
        server = config.server(settings.server)
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.set(zmq.LINGER, 0)
        self._dealer.set(zmq.SNDHWM, FRAMES_AHEAD_MAX)
        if settings.kind == GARBAGE:
            self._dealer.set(zmq.RCVHWM, 1)
        security_of(config, principals.faculty(settings.faculty)).call(self._dealer, principals.server(server.name))
        self._dealer.connect(server.requests)
        self.frames = self.bytes = 0
        self.answers: Counter[str] = Counter()

    def run(self, stop: Event) -> None:
        """Flood until then."""
        payloads = _arrays(self._settings) if self._settings.kind == REQUESTS else _garbage(self._settings.faculty)
        reads = zmq.POLLIN if self._settings.kind == REQUESTS else 0
        while not stop.is_set():
            if self._settings.kind == BURN:
                sum(range(10_000))
                continue
            events = self._dealer.poll(POLL_MS, zmq.POLLOUT | reads)
            if events & zmq.POLLIN:
                self._count(self._dealer.recv_multipart()[-1])
            if events & zmq.POLLOUT:
                payload = next(payloads)
                self._dealer.send_multipart((b"", payload))
                self.frames += 1
                self.bytes += len(payload)

    def _count(self, payload: bytes) -> None:
        answers = msgpack.unpackb(payload)
        for answer in answers if isinstance(answers, list) else [answers]:
            self.answers[answer.get("code") or answer.get("status") or answer["tipo"]] += 1

    def close(self) -> None:
        """Give the connection back."""
        self._dealer.close()
        self._context.term()


def _arrays(settings: Settings) -> Iterator[bytes]:
    """Ever new transactions, at little cost: one array, in which the number of the frame is replaced."""
    array: bytes = msgpack.packb([
        {"tipo": "SOL", "transaction_id": f"{settings.run}-{_ROUND.decode()}-{number}", "faculty_id": settings.faculty,
         "facultad": "Ingeniería", "program_id": 1, "programa": "Sistemas", "semester": f"flood-{settings.faculty}",
         "salones": 1, "laboratorios": 0}
        for number in range(ARRAY_MESSAGES_MAX)
    ])  # fmt: skip
    frame = 0
    while True:
        frame += 1
        yield array.replace(_ROUND, b"%08d" % frame)


def _garbage(seed: int) -> Iterator[bytes]:
    """Bytes of all sizes, and messages that are broken but have an id, so that there are answers to be ignored."""
    drawn = random.Random(seed)
    frames = [drawn.randbytes(drawn.choice((20, 200, 2_000, 20_000))) for _ in range(50)]
    frames += [json.dumps({"tipo": "SOL", "transaction_id": f"garbage-{number}"}).encode() for number in range(50)]
    while True:
        yield drawn.choice(frames)


def _await_end(stop: Event) -> None:
    sys.stdin.read()
    stop.set()


def main() -> None:
    """See the module."""
    flood = Flood(Settings(**json.loads(sys.stdin.readline())))
    stop = Event()
    Thread(target=_await_end, args=(stop,), daemon=True).start()
    began_s = time.perf_counter()
    try:
        flood.run(stop)
    finally:
        flood.close()
    seconds = round(time.perf_counter() - began_s, 2)
    json.dump({"seconds": seconds, "frames": flood.frames, "bytes": flood.bytes, "answers": flood.answers}, sys.stdout)


if __name__ == "__main__":
    main()
