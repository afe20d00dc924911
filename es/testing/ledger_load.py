"""Clients of the ledger: each sends one command at a time, repeats it until it is answered, and remembers.

Every sum they read is held against the log's (I6): it is that of a committed moment, none before what had ended when it
was asked for, and none before what another read has shown."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

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


class Asked(NamedTuple):
    """What had ended when a sum was asked for: the highest event that was acknowledged, and the highest sum read."""

    acknowledged_seq: int
    total: int


class Read(NamedTuple):
    """A sum that was read, and the last event that was committed when it came."""

    asked: Asked
    total: int
    committed_seq: int


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
        self.totals_asked: dict[tuple[int, int], Asked] = {}
        self.highest_total = 0
        self.reads_made: list[Read] = []
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
            asked = Asked(self.cluster.checker.acknowledged_seq, self.highest_total)
            self.totals_asked[client.name, client.number] = asked
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
        else:
            self._check_read(self.totals_asked[name, number], answer, node)
        if client.number == number and client.command is not None:
            client.command = None
            client.target = node
            self.cluster.after(self.random.randint(*THINK_US), self._next, client)

    def _check_read(self, asked: Asked, total: int, node: str) -> None:
        if total < asked.total:
            raise Violation("I6", f"{node} read {total} after {asked.total} was read")
        self.highest_total = max(self.highest_total, total)
        self.reads_made.append(Read(asked, total, self.cluster.checker.committed_seq))

    def check(self, cluster: Cluster) -> None:
        """I5: every credit that was answered stands in the log once, with that sum. I6: every read."""
        total = 0
        found: dict[str, int] = {}
        seqs, totals = [0], [0]
        for batch in cluster.nodes["a"].log.batches():
            for entry in batch.entries:
                if entry.application == "ledger":
                    assert isinstance(entry.request_id, str)
                    if entry.request_id in found:
                        raise Violation("I5", f"{entry.request_id} is in the log twice")
                    total += entry.body[0]
                    found[entry.request_id] = total
                    seqs.append(batch.first_seq + entry.offset)
                    totals.append(total)
        for request_id, answer in self.credited.items():
            if found.get(request_id) != answer.total:
                raise Violation("I5", f"{request_id} was answered {answer.total}, the log says {found.get(request_id)}")
        for read in self.reads_made:
            first = bisect_right(seqs, read.asked.acknowledged_seq) - 1
            last = bisect_right(seqs, read.committed_seq) - 1
            if read.total not in totals[first : last + 1]:
                raise Violation(
                    "I6", f"{read.total} was read between seq {seqs[first]} and {seqs[last]}: not their sum"
                )
