"""One polite client: so many transactions a second, whatever becomes of them, and how long each took.

`python -m nodes.clients.paced_load` reads one JSON object of settings from stdin and prints one with the figures. A
transaction is due at its time even if the one before has not ended, and its latency counts from then, so that a stall
shows in every one that it delays.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack
import zmq

from nodes import sockets
from nodes.config.file import load
from nodes.security import principals
from nodes.security.curve import security_of

ANSWER_LIMIT_S: Final = 20.0
"""How long what is under way at the end is waited for."""


@dataclass(slots=True)
class Settings:
    """For one server of the cluster that `config_file` tells of (its paths are below `root`), as faculty `faculty`.
    `run` keeps the ids of several runs apart; each has a term of its own for every `per_term` transactions."""

    config_file: str
    root: str
    server: str
    faculty: int
    run: str
    per_second: float
    seconds: float
    per_term: int = 190


class PacedLoad:
    """`latencies_ms` from the time a SOL was due to its RES; `statuses` of every RES, `unanswered` in the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = sockets.context()
        config = load(Path(settings.config_file), {}, {}, root=Path(settings.root))
        server, endpoint = principals.server(settings.server), config.server(settings.server).requests
        security = security_of(config, principals.faculty(settings.faculty))
        self._dealer = sockets.request_dealer(self._context, endpoint, server, security)
        self._due_s: dict[str, float] = {}
        self.latencies_ms: list[float] = []
        self.statuses: Counter[str] = Counter()

    def run(self) -> None:
        """Send what is due, answer what is proposed, until the last is answered."""
        settings = self._settings
        if not self._dealer.poll(int(ANSWER_LIMIT_S * 1_000), zmq.POLLOUT):
            raise TimeoutError("the server does not let this client in")
        began_s, number = time.perf_counter(), 0
        total = int(settings.seconds * settings.per_second)
        while number < total or self._due_s:
            due_s = began_s + number / settings.per_second
            wait_s = due_s - time.perf_counter() if number < total else ANSWER_LIMIT_S
            if number < total and wait_s <= 0:
                self._ask(number, due_s)
                number += 1
            elif self._dealer.poll(max(1, int(wait_s * 1_000))):
                self._take()
            elif number == total:
                return

    @property
    def unanswered(self) -> int:
        """Transactions without a result."""
        return len(self._due_s)

    def _ask(self, number: int, due_s: float) -> None:
        settings = self._settings
        transaction_id = f"{settings.run}-{number}"
        self._due_s[transaction_id] = due_s
        self._send({"tipo": "SOL", "transaction_id": transaction_id, "faculty_id": settings.faculty,
                    "facultad": "Ingeniería", "program_id": 1, "programa": "Sistemas",
                    "semester": f"{settings.run}-{number // settings.per_term}", "salones": 7,
                    "laboratorios": 2})  # fmt: skip

    def _take(self) -> None:
        _, payload = self._dealer.recv_multipart()
        answer: dict[str, Any] = msgpack.unpackb(payload)
        transaction_id = answer["transaction_id"]
        if answer["tipo"] == "PROP":
            self._send({"tipo": "ACK", "transaction_id": transaction_id, "confirm": "ACCEPT",
                        "faculty_id": self._settings.faculty})  # fmt: skip
            return
        due_s = self._due_s.pop(transaction_id, None)
        if due_s is not None:  # a hold that expired is ended twice: by the expiry, and by the answer that came too late
            self.latencies_ms.append((time.perf_counter() - due_s) * 1_000)
            self.statuses[answer["status"]] += 1

    def _send(self, message: dict[str, Any]) -> None:
        self._dealer.send_multipart((b"", msgpack.packb(message)))

    def close(self) -> None:
        """Give the connection back."""
        self._dealer.close()
        self._context.term()


def main() -> None:
    """See the module."""
    client = PacedLoad(Settings(**json.load(sys.stdin)))
    try:
        client.run()
    finally:
        client.close()
    latencies_ms = [round(one, 3) for one in client.latencies_ms]
    json.dump({"latencies_ms": latencies_ms, "statuses": client.statuses, "unanswered": client.unanswered}, sys.stdout)


if __name__ == "__main__":
    main()
