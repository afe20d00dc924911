"""Schedules written by hand: a script of commands, and the trace of what the cluster did.

    > credit x 5 at a       a client asks for a credit; `total at a` reads
    > run 500               500 ms pass; a blank trace means that nothing worth saying happened
    > crash a               `keep N` at the end: so many writes under way had reached the disk, otherwise none
    > restart a             also `w`, the witness
    > wipe a                an empty disk, while the process is down
    > pause a 800           SIGSTOP for 800 ms
    > stall a 800           the next write takes 800 ms
    > cut a b               both ways; `cut a -> b` one way; `mend` ends every cut
    > hold Frame a -> b     keep messages of one kind back; `release Frame` lets them go, `drop Frame` loses them
    > jump 3600000          the wall clock jumps by an hour

Links are whole and quick unless a script says otherwise, and every invariant of the checker is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from es.replication.effects import WITNESS, Refusal
from es.replication.timing import Timing
from es.testing.cluster import Cluster
from es.testing.faults import CALM
from es.testing.ledger import Credit, Credited, Ledger, Total

SEED = 1
FOREVER_US = 1 << 50
PROMPT = "> "


Kept = tuple[str, Callable[..., None], tuple[Any, ...]]
"""A message on its way: receiver, how it is delivered, what."""


class ScriptedClient:
    """The load of a script: it asks once for everything it is told to, and notes every answer."""

    def __init__(self) -> None:
        self.commands = 0
        self.cluster: Cluster

    def start(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def stop(self) -> None:
        """It begins nothing of its own."""

    def idle(self) -> bool:
        return True

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        if isinstance(answer, Refusal):
            said = answer.code if answer.primary is None else f"{answer.code}, ask {answer.primary}"
        else:
            said = f"the total is {answer.total if isinstance(answer, Credited) else answer}"
        self.cluster.note(f"client {waiter}: {node} says {said}")

    def check(self, cluster: Cluster) -> None:
        """Its answers stand in the trace."""


class ScriptedCluster(Cluster):
    """A calm cluster whose messages can be held back."""

    def __init__(self) -> None:
        self.held: list[Kept] = []
        self.holding: set[tuple[str, str, str]] = set()
        self.lines: list[str] = []
        super().__init__(SEED, lambda: [Ledger()], ScriptedClient(), Timing(), CALM)

    def note(self, what: str) -> None:
        self.lines.append(what)

    def release(self, kind: str) -> None:
        """Let messages of one kind go on their way, in the order in which they were sent."""
        for place, (receiver, deliver, arguments) in enumerate(self.kept_of(kind)):
            self.after(place + 1, deliver, receiver, *arguments)

    def kept_of(self, kind: str) -> list[Kept]:
        """Take out what was kept of one kind, and keep no more of it."""
        self.holding = {one for one in self.holding if one[0] != kind}
        taken = [one for one in self.held if type(one[2][0]).__name__ == kind]
        self.held = [one for one in self.held if type(one[2][0]).__name__ != kind]
        return taken

    def send(self, sender: str, receiver: str, deliver: Callable[..., None], *arguments: Any) -> None:
        kind = type(arguments[0]).__name__
        if (kind, sender, receiver) in self.holding:
            self.held.append((receiver, deliver, arguments))
        else:
            super().send(sender, receiver, deliver, *arguments)


def play(script: str) -> str:
    """Carry out a script; give it back with what happened after each command. Raises Violation, and ValueError
    for a line that is no command."""
    cluster = ScriptedCluster()
    transcript: list[str] = []
    for line in script.splitlines():
        if line.startswith("#") or not line.strip():
            transcript.append(line)
        elif line.startswith(PROMPT):
            _obey(cluster, line.removeprefix(PROMPT).split())
            transcript += [line, *cluster.lines]
            cluster.lines = []
    replicas = {name: node.replica for name, node in cluster.nodes.items() if node.replica is not None}
    if cluster.settled():
        cluster.checker.on_end(cluster.logs(), replicas)
    return "\n".join(transcript) + "\n"


def _obey(cluster: ScriptedCluster, words: list[str]) -> None:
    match words:
        case ["run", ms]:
            cluster.run_for(int(ms) * 1_000)
        case ["credit", request_id, amount, "at", node]:
            cluster.request(node, request_id, Ledger.name, Credit(request_id, int(amount)))
        case ["total", "at", node]:
            cluster.request(node, "total", Ledger.name, Total())
        case ["crash", "w"]:
            cluster.crash_witness(FOREVER_US)
        case ["crash", node]:
            cluster.crash(node, keep=lambda _: 0)
        case ["crash", node, "keep", number]:
            cluster.crash(node, keep=lambda under_way: min(under_way, int(number)))
        case ["restart", "w"]:
            cluster.restart_witness()
        case ["restart", node]:
            cluster.restart(node)
        case ["wipe", node]:
            cluster.wipe(node)
        case ["pause", node, ms]:
            cluster.pause(node, int(ms) * 1_000)
        case ["stall", node, ms]:
            cluster.stall(node, int(ms) * 1_000)
        case ["cut", one, "->", two]:
            cluster.cut([(_address(one), _address(two))], FOREVER_US)
        case ["cut", one, two]:
            cluster.cut([(_address(one), _address(two)), (_address(two), _address(one))], FOREVER_US)
        case ["mend"]:
            cluster.cuts.clear()
        case ["hold", kind, sender, "->", receiver]:
            cluster.holding.add((kind, _address(sender), _address(receiver)))
        case ["release", kind]:
            cluster.release(kind)
        case ["drop", kind]:
            cluster.kept_of(kind)
        case ["jump", ms]:
            cluster.jump_clock(int(ms) * 1_000)
        case _:
            raise ValueError(f"no command: {' '.join(words)!r}")


def _address(name: str) -> str:
    return WITNESS if name == "w" else name
