"""One client that floods a server or a faculty, as fast as TCP takes it, until its stdin ends.

`python -m nodes.clients.flood` reads one JSON line of settings from stdin. It prints a line FLOODING once it is at
work, and when stdin ends one object with what it sent and got. Kinds: `requests`, arrays of 1 000 valid SOLs that are
never confirmed, or valid requests of a program; `garbage`, frames of all sizes that mean nothing, from somebody who
never reads an answer; `burn`, which sends nothing and computes, to tell who is flooded from a machine that is busy.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from threading import Event, Thread
from typing import Final

import msgpack
import zmq

from nodes.clients.target import Caller, Target
from nodes.sockets import Socket
from nodes.wire.encoding import ARRAY_MESSAGES_MAX

REQUESTS, GARBAGE, BURN = "requests", "garbage", "burn"
KINDS: Final = (REQUESTS, GARBAGE, BURN)
FLOODING: Final = "flooding"
"""It has been answered; where it does not read, it has sent something."""

FRAMES_AHEAD_MAX: Final = 4
"""Frames that wait in this process, each way; the rest of the flood waits in the kernel's and the server's buffers."""

FRESH: Final = 16
"""Connections at one time of one that floods in the request-reply pattern, where each waits for its answer."""

FRESH_LIMIT_S: Final = 1.0
"""One that was not answered by then is given up, and another one made."""

POLL_MS: Final = 50
_ROUND: Final = b"RRRRRRRR"
"""Stands in every transaction id for the number of the frame."""


@dataclass(slots=True)
class Settings:
    """`pattern` is `async` (one lasting connection) or `lbb` (many, each of which waits for its answer). `run` keeps
    the ids of several runs apart."""

    target: Target
    kind: str
    pattern: str
    run: str


class Flood:
    """`frames` and `bytes` were sent; `answers` counts what came back by status, PROP for proposals."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._caller = Caller(settings.target)
        self._payloads = _of_kind(settings, self._caller)
        self._poller = zmq.Poller()
        self._since_s: dict[Socket, float] = {}
        self._is_at_work = False
        self.frames = self.bytes = 0
        self.answers: Counter[str] = Counter()

    def run(self, stop: Event) -> None:
        """Flood until then."""
        if self._settings.kind == BURN:
            self._say_at_work()
            while not stop.is_set():
                sum(range(10_000))
        elif self._settings.pattern == "async":
            self._stream(stop)
        else:
            self._ask(stop)

    def _stream(self, stop: Event) -> None:
        """Never wait for an answer, nor read one that is worth nothing."""
        reads = zmq.POLLIN if self._settings.kind == REQUESTS else 0
        dealer = self._caller.lasting(FRAMES_AHEAD_MAX)
        self._poller.register(dealer, zmq.POLLOUT | reads)
        while not stop.is_set():
            for _, events in self._poller.poll(POLL_MS):
                if events & zmq.POLLIN:
                    self._count(dealer.recv_multipart()[-1])
                if events & zmq.POLLOUT:
                    with suppress(zmq.Again):  # the connection has ended meanwhile
                        self._send(dealer, b"")

    def _ask(self, stop: Event) -> None:
        """Wait for an answer, many times at once."""
        while not stop.is_set():
            now_s = time.perf_counter()
            for late in [one for one, since_s in self._since_s.items() if now_s - since_s > FRESH_LIMIT_S]:
                self._give_up(late)
            while len(self._since_s) < FRESH:
                fresh = self._caller.fresh()
                self._poller.register(fresh, zmq.POLLIN)
                self._send(fresh)
            for source, _ in self._poller.poll(POLL_MS):
                self._count(source.recv_multipart()[-1])
                self._send(source)

    def _send(self, socket: Socket, *envelope: bytes) -> None:
        payload = next(self._payloads)
        socket.send_multipart((*envelope, payload))
        self._since_s[socket] = time.perf_counter()
        self.frames += 1
        self.bytes += len(payload)
        if self._settings.kind == GARBAGE:
            self._say_at_work()

    def _give_up(self, socket: Socket) -> None:
        del self._since_s[socket]
        self._poller.unregister(socket)
        socket.close()

    def _count(self, payload: bytes) -> None:
        answers = msgpack.unpackb(payload)
        for answer in answers if isinstance(answers, list) else [answers]:
            self.answers[answer.get("code") or answer.get("status") or answer["tipo"]] += 1
        self._say_at_work()

    def _say_at_work(self) -> None:
        if not self._is_at_work:
            self._is_at_work = True
            sys.stdout.write(f"{FLOODING}\n")
            sys.stdout.flush()

    def close(self) -> None:
        """Give the connections back."""
        for socket, _ in list(self._poller.sockets):
            socket.close()
        self._caller.context.term()


def _of_kind(settings: Settings, caller: Caller) -> Iterator[bytes]:
    if settings.kind != REQUESTS:
        return _garbage(settings.target.own)
    if caller.is_program:
        return _numbered(msgpack.packb(
            {"transaction_id": f"{settings.run}-{settings.target.own}-{_ROUND.decode()}", "programa": caller.program,
             "semestre": settings.target.own, "salones": 1, "laboratorios": 0}
        ))  # fmt: skip
    return _numbered(msgpack.packb([
        {"tipo": "SOL", "transaction_id": f"{settings.run}-{_ROUND.decode()}-{number}",
         "faculty_id": int(caller.faculty_id), "facultad": "Ingeniería", "program_id": 1, "programa": caller.program,
         "semester": f"flood-{caller.faculty_id}", "salones": 1, "laboratorios": 0}
        for number in range(ARRAY_MESSAGES_MAX)
    ]))  # fmt: skip


def _numbered(payload: bytes) -> Iterator[bytes]:
    """Ever new transactions, at little cost: in the same bytes the number of the frame is replaced."""
    for frame in count(1):
        yield payload.replace(_ROUND, b"%08d" % frame)


def _garbage(seed: str) -> Iterator[bytes]:
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
    settings = json.loads(sys.stdin.readline())
    flood = Flood(Settings(target=Target(**settings.pop("target")), **settings))
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
