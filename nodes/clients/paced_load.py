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
from typing import Any, Final

import msgpack
import zmq

from nodes.clients.target import Caller, Target
from nodes.sockets import Socket

ANSWER_LIMIT_S: Final = 20.0
"""How long what is under way at the end is waited for."""


@dataclass(slots=True)
class Settings:
    """For one target. A faculty's `pattern` is `async` (one lasting connection) or `lbb` (one for each transaction, as
    programs always do). `run` keeps the ids of several runs apart; each has a term of its own for every `per_term`
    transactions."""

    target: Target
    pattern: str
    run: str
    per_second: float
    seconds: float
    per_term: int = 190


class PacedLoad:
    """`latencies_ms` from the time a SOL was due to its RES; `statuses` of every RES, `unanswered` in the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._caller = Caller(settings.target)
        self._poller = zmq.Poller()
        self._lasting: Socket | None = None
        if settings.pattern == "async" and not self._caller.is_program:
            self._lasting = self._caller.lasting()
        self._due_s: dict[str, float] = {}
        self.latencies_ms: list[float] = []
        self.statuses: Counter[str] = Counter()

    def run(self) -> None:
        """Send what is due, answer what is proposed, until the last is answered."""
        settings = self._settings
        if self._lasting is not None:
            if not self._lasting.poll(int(ANSWER_LIMIT_S * 1_000), zmq.POLLOUT):
                raise TimeoutError("the server does not let this client in")
            self._poller.register(self._lasting, zmq.POLLIN)
        began_s, number = time.perf_counter(), 0
        total = int(settings.seconds * settings.per_second)
        while number < total or self._due_s:
            due_s = began_s + number / settings.per_second
            wait_s = due_s - time.perf_counter() if number < total else ANSWER_LIMIT_S
            if number < total and wait_s <= 0:
                self._ask(number, due_s)
                number += 1
            elif ready := self._poller.poll(max(1, int(wait_s * 1_000))):
                for source, _ in ready:
                    self._take(source)
            elif number == total:
                return

    @property
    def unanswered(self) -> int:
        """Transactions without a result."""
        return len(self._due_s)

    def _ask(self, number: int, due_s: float) -> None:
        settings, caller = self._settings, self._caller
        transaction_id = f"{settings.run}-{number}"
        term = f"{settings.run}-{number // settings.per_term}"
        self._due_s[transaction_id] = due_s
        asked: dict[str, Any] = {"transaction_id": transaction_id, "programa": caller.program, "salones": 7,
                                 "laboratorios": 2}  # fmt: skip
        if caller.is_program:
            asked |= {"semestre": term}
        else:
            asked |= {"tipo": "SOL", "faculty_id": int(caller.faculty_id), "facultad": "Ingeniería", "program_id": 1,
                      "semester": term}  # fmt: skip
        source = self._lasting
        if source is None:
            source = caller.fresh()
            self._poller.register(source, zmq.POLLIN)
        self._send(source, asked)

    def _take(self, source: Socket) -> None:
        answer: dict[str, Any] = msgpack.unpackb(source.recv_multipart()[-1])
        transaction_id = answer["transaction_id"]
        if answer["tipo"] == "PROP":
            self._send(source, {"tipo": "ACK", "transaction_id": transaction_id, "confirm": "ACCEPT",
                                "faculty_id": int(self._caller.faculty_id)})  # fmt: skip
            return
        due_s = self._due_s.pop(transaction_id, None)
        if due_s is not None:  # a hold that expired is ended twice: by the expiry, and by the answer that came too late
            self.latencies_ms.append((time.perf_counter() - due_s) * 1_000)
            self.statuses[answer["status"]] += 1
        if source is not self._lasting:
            self._poller.unregister(source)
            source.close()

    def _send(self, source: Socket, message: dict[str, Any]) -> None:
        payload = msgpack.packb(message)
        source.send_multipart((b"", payload) if source is self._lasting else (payload,))

    def close(self) -> None:
        """Give the connections back."""
        for source, _ in list(self._poller.sockets):
            source.close()
        self._caller.context.term()


def main() -> None:
    """See the module."""
    settings = json.load(sys.stdin)
    client = PacedLoad(Settings(target=Target(**settings.pop("target")), **settings))
    try:
        client.run()
    finally:
        client.close()
    latencies_ms = [round(one, 3) for one in client.latencies_ms]
    json.dump({"latencies_ms": latencies_ms, "statuses": client.statuses, "unanswered": client.unanswered}, sys.stdout)


if __name__ == "__main__":
    main()
