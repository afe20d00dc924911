"""A load of complete transactions on one server, through a few lasting connections: SOL, PROP, ACK, RES.

`python -m nodes.clients.load` reads one JSON object of settings from stdin and prints one with the
figures. It is a process of its own, so that its work does not share an interpreter with anything measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import zmq

from nodes import sockets
from nodes.config.file import load
from nodes.security import principals
from nodes.security.curve import security_of

ANSWER_LIMIT_S = 10.0


@dataclass(slots=True)
class Settings:
    """`in_flight` transactions over `connections`, as faculties 1 and up, with one server of the cluster that
    `config_file` tells of (its paths are below `root`); a new term every `per_term` transactions, so that rooms never
    run out. `lone`: every message in a frame of its own. `first` keeps the ids of several runs apart."""

    config_file: str
    root: str
    server: str
    in_flight: int
    seconds: float
    connections: int = 10
    per_term: int = 200
    lone: bool = False
    first: int = 0
    warmup_s: float = 0.5


@dataclass(slots=True)
class Figures:
    """Durations in milliseconds. `transaction_ms` is SOL sent → RES received, `step_ms` one round trip."""

    transactions: int = 0
    seconds: float = 0.0
    transaction_ms: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


class Generator:
    """Keeps `in_flight` transactions going; each connection speaks for one faculty."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = sockets.context()
        config = load(Path(settings.config_file), {}, {}, root=Path(settings.root))
        server, endpoint = principals.server(settings.server), config.server(settings.server).requests
        self._dealers = [
            sockets.request_dealer(
                self._context, endpoint, server, security_of(config, principals.faculty(1 + number))
            )
            for number in range(settings.connections)
        ]
        self._poller = zmq.Poller()
        for dealer in self._dealers:
            self._poller.register(dealer, zmq.POLLIN | zmq.POLLOUT)
        self._began: dict[str, tuple[float, float]] = {}
        self.next_number = settings.first
        self.figures = Figures()

    def run(self) -> Figures:
        """Warm up, measure, drain."""
        settings, figures = self._settings, self.figures
        self._await_connections()
        outbox = [[self._request(index) for index in range(settings.in_flight) if index % len(self._dealers) == faculty]
                  for faculty in range(len(self._dealers))]  # fmt: skip
        began = time.perf_counter()
        measured_from, until = began + settings.warmup_s, began + settings.warmup_s + settings.seconds
        self._send(outbox)
        counted_from: int | None = None
        while (now := time.perf_counter()) < until:
            if counted_from is None and now >= measured_from:
                counted_from, measured_from = figures.transactions, now
                figures.transaction_ms.clear()
                figures.step_ms.clear()
            if not self._turn(more=True):
                raise TimeoutError(f"nothing came within {ANSWER_LIMIT_S:g} s; {len(self._began)} in flight")
        figures.seconds = time.perf_counter() - measured_from
        figures.transactions -= counted_from or 0
        while self._began and self._turn(more=False):
            pass
        return figures

    def _await_connections(self) -> None:
        """A DEALER that sends at once takes nothing before it stands."""
        waiting = set(self._dealers)
        while waiting:
            waiting -= {socket for socket, events in self._poller.poll(1_000) if events & zmq.POLLOUT}
        for dealer in self._dealers:
            self._poller.modify(dealer, zmq.POLLIN)

    def _turn(self, *, more: bool) -> bool:
        ready = dict(self._poller.poll(int(ANSWER_LIMIT_S * 1000)))
        outbox: list[list[bytes]] = [[] for _ in self._dealers]
        for faculty, dealer in enumerate(self._dealers):
            if dealer not in ready:
                continue
            try:
                while True:
                    _, payload = dealer.recv_multipart(zmq.NOBLOCK)
                    answers = msgpack.unpackb(payload)
                    for answer in answers if isinstance(answers, list) else [answers]:
                        self._take(faculty, answer, outbox[faculty], more)
            except zmq.Again:
                pass
        self._send(outbox)
        return bool(ready)

    def _take(self, faculty: int, answer: dict[str, Any], outbox: list[bytes], more: bool) -> None:
        now = time.perf_counter()
        transaction_id = answer["transaction_id"]
        sol_sent, step_sent = self._began[transaction_id]
        self.figures.step_ms.append((now - step_sent) * 1000)
        if answer["tipo"] == "PROP":
            self._began[transaction_id] = (sol_sent, now)
            outbox.append(_pack({"tipo": "ACK", "transaction_id": transaction_id, "confirm": "ACCEPT",
                                 "faculty_id": faculty + 1}))  # fmt: skip
            return
        del self._began[transaction_id]
        self.figures.statuses[answer["status"]] += 1
        self.figures.transactions += 1
        self.figures.transaction_ms.append((now - sol_sent) * 1000)
        if more:
            outbox.append(self._request(faculty))

    def _request(self, index: int) -> bytes:
        faculty = index % len(self._dealers)
        number = self.next_number
        self.next_number += 1
        transaction_id = f"{number:08x}-0000-4000-8000-{faculty:012x}"
        now = time.perf_counter()
        self._began[transaction_id] = (now, now)
        return _pack({"tipo": "SOL", "transaction_id": transaction_id, "faculty_id": faculty + 1,
                      "facultad": "Ingeniería", "program_id": number % 5 + 1, "programa": f"Programa {number % 5 + 1}",
                      "semester": f"bench-{number // self._settings.per_term}", "salones": 7,
                      "laboratorios": 2})  # fmt: skip

    def _send(self, outbox: list[list[bytes]]) -> None:
        for dealer, messages in zip(self._dealers, outbox, strict=True):
            if len(messages) > 1 and not self._settings.lone:
                payloads = [msgpack.Packer().pack_array_header(len(messages)) + b"".join(messages)]
            else:
                payloads = messages
            for payload in payloads:
                dealer.send_multipart((b"", payload))

    def close(self) -> None:
        """Give the connections back."""
        for dealer in self._dealers:
            dealer.close()
        self._context.term()


def _pack(message: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(message)
    return packed


def percentile(ordered: list[float], share: float) -> float:
    """The value below which that share of a sorted list lies; 0 for an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    """See the module."""
    generator = Generator(Settings(**json.load(sys.stdin)))
    try:
        figures = generator.run()
    finally:
        generator.close()
    figures.transaction_ms.sort()
    figures.step_ms.sort()
    sys.stdout.write(
        json.dumps(
            {
                "transactions": figures.transactions,
                "seconds": round(figures.seconds, 3),
                "per_second": round(figures.transactions / figures.seconds, 1),
                "p50_ms": round(percentile(figures.transaction_ms, 0.5), 3),
                "p99_ms": round(percentile(figures.transaction_ms, 0.99), 3),
                "step_p50_ms": round(percentile(figures.step_ms, 0.5), 3),
                "step_p99_ms": round(percentile(figures.step_ms, 0.99), 3),
                "statuses": figures.statuses,
                "next": generator.next_number,
            }
        )
    )


if __name__ == "__main__":
    main()
