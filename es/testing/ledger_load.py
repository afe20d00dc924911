"""Clients of the ledger: each sends one command at a time, repeats it until it is answered, and remembers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from es.replication.effects import Refusal
from es.testing.checker import Violation
from es.testing.cluster import Cluster
from es.testing.ledger import Credit, Credited, Total

RETRY_US = (150_000, 500_000)
THINK_US = (0, 40_000)


@dataclass(slots=True)
class Client:
    name: int
    target: str
    number: int = 0
    attempt: int = 0
    command: Credit | Total | None = None


class LedgerLoad:
    """A few clients or more, that mostly write or mostly read: the seed says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"load {seed}")
        self.reads = self.random.choice((0.25, 0.25, 0.9))
        clients = self.random.choice((4, 10))
        self.clients = [Client(name, self.random.choice("ab")) for name in range(clients)]
        self.stopped = False
        self.credited: dict[str, Credited] = {}
        self.floors: dict[str, int] = {}
        self.commands = 0
        self.cluster: Cluster

    def start(self, cluster: Cluster) -> None:
        """Every client begins at a moment of its own."""
        self.cluster = cluster
        for client in self.clients:
            cluster.after(self.random.randint(0, 100_000), self._next, client)

    def stop(self) -> None:
        """No new commands; those that wait go on until they are answered."""
        self.stopped = True

    def idle(self) -> bool:
        """True when no client waits."""
        return all(client.command is None for client in self.clients)

    def _next(self, client: Client) -> None:
        if self.stopped:
            return
        client.number += 1
        self.commands += 1
        if self.random.random() >= self.reads:
            request_id = f"{client.name}/{client.number}"
            self.floors[request_id] = self.cluster.checker.acknowledged_seq
            client.command = Credit(request_id, self.random.randint(1, 9))
        else:
            client.command = Total()
        self._send(client)

    def _send(self, client: Client) -> None:
        client.attempt += 1
        waiter = (client.name, client.number, client.attempt)
        self.cluster.request(client.target, waiter, "ledger", client.command)
        self.cluster.after(self.random.randint(*RETRY_US), self._repeat, client, client.number, client.attempt)

    def _repeat(self, client: Client, number: int, attempt: int) -> None:
        if (client.number, client.attempt) == (number, attempt) and client.command is not None:
            client.target = "b" if client.target == "a" else "a"
            self._send(client)

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        """Take an answer to any attempt, however old: what it says must be true."""
        name, number, _ = waiter
        client = self.clients[name]
        if isinstance(answer, Refusal):
            return
        if isinstance(answer, Credited):
            known = self.credited.setdefault(answer.request_id, answer)
            if known != answer:
                raise Violation("I5", f"{answer.request_id} was answered {known}, then {answer}")
            if seq is None or seq <= self.floors[answer.request_id]:
                raise Violation("I5", f"{answer.request_id} stands at {seq}, before what had ended when it was asked")
        if client.number == number and client.command is not None:
            client.command = None
            client.target = node
            self.cluster.after(self.random.randint(*THINK_US), self._next, client)

    def check(self, cluster: Cluster) -> None:
        """I5: every credit that was answered stands in the log once, with that sum."""
        total = 0
        found: dict[str, int] = {}
        for batch in cluster.nodes["a"].log.batches():
            for entry in batch.entries:
                if entry.application == "ledger":
                    assert isinstance(entry.request_id, str)
                    if entry.request_id in found:
                        raise Violation("I5", f"{entry.request_id} is in the log twice")
                    total += entry.body[0]
                    found[entry.request_id] = total
        for request_id, answer in self.credited.items():
            if found.get(request_id) != answer.total:
                raise Violation("I5", f"{request_id} was answered {answer.total}, the log says {found.get(request_id)}")
