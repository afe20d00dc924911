"""Faculties under the simulator: each carries one transaction at a time through its steps, repeats itself, turns
to the other node, contradicts itself, and holds every answer it ever gets against the first one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from es.replication.effects import Refusal
from es.testing.cluster import Cluster
from ops.sim.journal import Journal
from ops.sim.small_rooms import nothing_held
from projections.rooms import commands
from projections.rooms.commands import Answer, CloseTerm, Proposal, Release, Reserve, Result
from projections.rooms.machine import NAME

OPEN_TERMS = 2
CLIENTS = 10
FACULTIES = 4
REGISTRAR = "operator:registrar"
RETRY_US = (150_000, 500_000)
THINK_US = (0, 40_000)
TERM_US = (600_000, 1_500_000)


@dataclass(slots=True)
class Client:
    """`command` is the one that waits for its answer, `plan` what will be said to a proposal."""

    name: int
    faculty_id: int
    target: str
    number: int = 0
    attempt: int = 0
    command: commands.Command | None = None
    plan: str = "accept"


class RoomsLoad:
    """`CLIENTS` faculties' voices and one registrar, who closes a term now and then."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"rooms {seed}")
        self.clients = [Client(name, name % FACULTIES + 1, self.random.choice("ab")) for name in range(CLIENTS)]
        self.registrar = Client(CLIENTS, 0, "a")
        self.terms = [f"term-{number}" for number in range(OPEN_TERMS)]
        self.terms_ever = OPEN_TERMS
        self.transactions = 0
        self.commands = 0
        self.stopped = False
        self.journal = Journal()
        self.cluster: Cluster

    # -- what the cluster calls

    def start(self, cluster: Cluster) -> None:
        """Every client begins at a moment of its own."""
        self.cluster = cluster
        self.journal.checker = cluster.checker
        for client in self.clients:
            cluster.after(self.random.randint(0, 100_000), self._begin, client)
        cluster.after(self.random.randint(*TERM_US), self._close_term)

    def stop(self) -> None:
        """Finish the transactions under way, begin none."""
        self.stopped = True

    def idle(self) -> bool:
        """True when nobody waits and nothing is held."""
        busy = any(client.command is not None for client in (*self.clients, self.registrar))
        return not busy and nothing_held(self.cluster)

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        """Check an answer to any attempt, however old; go on if it is the one waited for."""
        if isinstance(answer, Refusal):
            return
        name, number, command = waiter
        self.journal.check(command, answer, seq)
        client = self.registrar if name == CLIENTS else self.clients[name]
        if client.number == number and client.command is not None and getattr(answer, "code", "") != commands.BUSY:
            client.target = node
            self._go_on(client, client.command, answer)

    def check(self, cluster: Cluster) -> None:
        """I5, I9: the log alone, and against it everything the clients were told."""
        self.journal.check_log(cluster.nodes["a"].log)

    # -- steps of a transaction

    def _begin(self, client: Client) -> None:
        if self.stopped:
            return
        draw = self.random
        self.transactions += 1
        client.plan = draw.choices(("accept", "reject", "never"), (70, 15, 15))[0]
        reserve = Reserve(
            f"{client.name}-{self.transactions}", client.faculty_id, f"faculty {client.faculty_id}", client.name,
            f"program {client.name}", draw.choice(self.terms), draw.randint(1, 3), draw.randint(0, 2),
            draw.random() < 0.3,
        )  # fmt: skip
        self._ask(client, reserve)

    def _ask(self, client: Client, command: commands.Command) -> None:
        client.number += 1
        client.command = command
        self.commands += 1
        self.journal.asked(command)
        self._send(client)

    def _send(self, client: Client) -> None:
        client.attempt += 1
        self.cluster.request(client.target, (client.name, client.number, client.command), NAME, client.command)
        self.cluster.after(self.random.randint(*RETRY_US), self._repeat, client, client.number, client.attempt)

    def _repeat(self, client: Client, number: int, attempt: int) -> None:
        if (client.number, client.attempt) == (number, attempt) and client.command is not None:
            client.target = "b" if client.target == "a" else "a"
            self._send(client)

    def _go_on(self, client: Client, command: commands.Command, answer: Any) -> None:
        """The next step, if there is one."""
        if isinstance(answer, Proposal) and client.plan == "never":
            return  # asked again by `_repeat` until the hold has expired
        client.command = None
        if isinstance(command, CloseTerm):
            if answer.code == commands.UNKNOWN_TERM:  # a request under way may open it yet: use and close it later
                self.terms.insert(0, command.term)
            return
        step = self._next_step(client, command, answer)
        delay_us = self.random.randint(*THINK_US)
        if step is None:
            self.cluster.after(delay_us, self._begin, client)
        else:
            self._ask(client, step)

    def _next_step(self, client: Client, command: commands.Command, answer: Any) -> commands.Command | None:
        draw = self.random.random()
        match command, answer:
            case Reserve(), Proposal():
                return Answer(command.transaction_id, client.faculty_id, client.plan == "accept")
            case ((Reserve() | Answer()), Result(status=commands.ACCEPTED)) if draw < 0.5:
                actor = f"faculty:{client.faculty_id}" if draw < 0.4 else REGISTRAR
                return Release(command.transaction_id, client.faculty_id, actor, "the roof leaks")
            case ((Reserve() | Answer() | Release()), Result()) if draw < 0.7:
                return self._repetition(command.transaction_id, client.faculty_id)
        return None

    def _repetition(self, transaction_id: str, faculty_id: int) -> commands.Command:
        """Something about a transaction that has ended: the same again, another request, another answer."""
        first = self.journal.reserves[faculty_id, transaction_id]
        kind = self.random.randrange(3)
        if kind == 0:
            return first
        if kind == 1:
            return first._replace(classrooms=first.classrooms + 1)
        return Answer(transaction_id, faculty_id, self.random.random() < 0.5)

    # -- the registrar

    def _close_term(self) -> None:
        if self.stopped:
            return
        self.cluster.after(self.random.randint(*TERM_US), self._close_term)
        if self.registrar.command is None:
            term = self.terms.pop(0)
            if len(self.terms) < OPEN_TERMS:
                self.terms.append(f"term-{self.terms_ever}")
                self.terms_ever += 1
            self._ask(self.registrar, CloseTerm(term, REGISTRAR))
