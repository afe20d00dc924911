"""Schedules written by hand: a script of commands, and the trace of what the cluster did.

    > application rooms     first of all, if it is not the ledger
    > credit x 5 at a       a client of the ledger asks for a credit; `total at a` reads
    > run 500               500 ms pass; a blank trace means that nothing worth saying happened
    > crash a               `keep N` at the end: so many writes under way had reached the disk, otherwise none
    > restart a             also `w`, the witness
    > wipe a                an empty disk, while the process is down
    > pause a 800           SIGSTOP for 800 ms; also `w`
    > freeze a 800 requests  SIGSTOP within a turn: after its loop read the clock, before it drained these sources
    > stall a 800           the next write takes 800 ms
    > fail a                the next write fails; `fail a 800`: so does every other one for 800 ms
    > damage a              a bit flips on the disk; `rebuild a` begins anew from the peer, once the node refuses it
    > cut a b               both ways; `cut a -> b` one way; `mend` ends every cut
    > hold Frame a -> b     keep messages of one kind back; `release Frame` lets them go, `drop Frame` loses them,
                            `pass Frame` keeps them and lets go by what comes from now on
    > forge Outdated b -> a 99  what b never said: that epoch 99 has begun; likewise `forge Beacon`: that b leads it
    > jump 3600000          the wall clock jumps by an hour
    > log a Credited        the events of that type on a node's disk
    > why a                 what a node that does not serve says about it
    > await a 900           as `run`, until a serves; liveness is violated if it does not within 900 ms

Links are whole and quick unless a script says otherwise, and every invariant of the checker is in force. After its last
line, of which nothing is written down, the cluster is healed and comes to rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from es.codec import GENESIS_HASH
from es.machine import Machine
from es.replication.effects import WITNESS, Answers, Refusal
from es.replication.messages import Beacon, CompareAndSwap, Message, Outdated, Prevote, Register, members
from es.replication.timing import Timing
from es.testing.cluster import CLUSTER_ID, Cluster, SimulatedNode
from es.testing.faults import CALM
from es.testing.faulty_cluster import SOURCES, FaultyCluster
from es.testing.ledger import Credit, Credited, Ledger, Total

SEED = 1
FOREVER_US = 1 << 50
REST_US = 3_000_000
"""Within so long after healing both logs are equal and nothing is under way, unless a disk hangs even then."""

PROMPT = "> "


class Vocabulary(Protocol):
    """What clients of one application say in scripts, and how its answers read."""

    application: str
    """The name of its machine."""

    def machine(self) -> Machine:
        """A new one."""
        ...

    def command(self, words: Sequence[str]) -> Any | None:
        """The command that these words state; None if they state none."""
        ...

    def told(self, answer: Any) -> str:
        """An answer as the trace tells it."""
        ...


class LedgerVocabulary:
    """`credit x 5` and `total`."""

    application = Ledger.name

    def machine(self) -> Ledger:
        return Ledger()

    def command(self, words: Sequence[str]) -> Credit | Total | None:
        match words:
            case ["credit", request_id, amount]:
                return Credit(request_id, int(amount))
            case ["total"]:
                return Total()
        return None

    def told(self, answer: Any) -> str:
        return f"the total is {answer.total if isinstance(answer, Credited) else answer}"


LEDGER = LedgerVocabulary()


class Kept(NamedTuple):
    """A message on its way."""

    receiver: str
    deliver: Callable[..., None]
    arguments: tuple[Any, ...]


class ScriptedClient:
    """The load of a script: it asks once for everything it is told to, and notes every answer."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.commands = 0
        self.cluster: Cluster

    def start(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.on_answers = self._send_answers

    def stop(self) -> None:
        """It begins nothing of its own."""

    def idle(self) -> bool:
        return True

    def ask(self, words: Sequence[str], node: str) -> bool:
        """Send what these words state; False if they state nothing."""
        command = self.vocabulary.command(words)
        if command is None:
            return False
        self.commands += 1
        self.cluster.request(node, words[1] if len(words) > 1 else words[0], self.vocabulary.application, command)
        return True

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        """A refusal; answers come as `_hear`, with the number of copies that only the servers' front knows."""
        self._note(waiter, node, self._told(answer))

    def _send_answers(self, node: SimulatedNode, answers: Answers) -> None:
        for waiter, answer, _ in answers.answers:
            self.cluster.send(node.name, "client", self._hear, waiter, answer, node.name, answers.copies)

    def _hear(self, _: str, waiter: Any, answer: Any, node: str, copies: int) -> None:
        self._note(waiter, node, f"{self._told(answer)} ({copies} {'copy' if copies == 1 else 'copies'})")

    def _told(self, answer: Any) -> str:
        if isinstance(answer, Refusal):
            return answer.code if answer.primary is None else f"{answer.code}, ask {answer.primary}"
        return self.vocabulary.told(answer)

    def _note(self, waiter: Any, node: str, told: str) -> None:
        self.cluster.note(f"client {waiter}: {node} says {told}")

    def check(self, cluster: Cluster) -> None:
        """Its answers stand in the trace."""


class ScriptedCluster(FaultyCluster):
    """A calm cluster whose messages can be held back, and whose witness says whom it refuses."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.client = ScriptedClient(vocabulary)
        self.held: list[Kept] = []
        self.holding: set[tuple[str, str, str]] = set()
        self.lines: list[str] = []
        self.refusals: set[str] = set()
        super().__init__(SEED, lambda: [vocabulary.machine()], self.client, Timing(), CALM)

    def note(self, what: str) -> None:
        self.lines.append(what)

    def release(self, kind: str) -> None:
        """Let messages of one kind go on their way, in the order in which they were sent."""
        for place, (receiver, deliver, arguments) in enumerate(self.kept_of(kind)):
            self.after(place + 1, deliver, receiver, *arguments)

    def kept_of(self, kind: str) -> list[Kept]:
        """Take out what was kept of one kind, and keep no more of it."""
        self.let_pass(kind)
        taken = [one for one in self.held if type(one.arguments[0]).__name__ == kind]
        self.held = [one for one in self.held if type(one.arguments[0]).__name__ != kind]
        return taken

    def let_pass(self, kind: str) -> None:
        """Keep no more of one kind."""
        self.holding = {one for one in self.holding if one[0] != kind}

    def send(self, sender: str, receiver: str, deliver: Callable[..., None], *arguments: Any) -> None:
        kind = type(arguments[0]).__name__
        if (kind, sender, receiver) in self.holding:
            self.held.append(Kept(receiver, deliver, arguments))
        else:
            super().send(sender, receiver, deliver, *arguments)

    def _ask_witness(self, _: str, message: Any) -> None:
        """A refusal is repeated with every attempt; the trace tells it once."""
        before = Counter(self.witness.ignored) if self.witness is not None else Counter()
        super()._ask_witness(_, message)
        if self.witness is None or not isinstance(message, Prevote | CompareAndSwap):
            return
        for why in self.witness.ignored - before:
            refusal = f"w refuses {message.member.node} in epoch {message.epoch}: {why}"
            if refusal not in self.refusals:
                self.refusals.add(refusal)
                self.note(refusal)

    def forge(self, kind: str, sender: str, receiver: str, epoch: int) -> None:
        """A message that its sender's key was used for, and that no sound node sends."""
        member = self.nodes[sender].member
        register = Register(CLUSTER_ID, epoch, member, members(member), 1)
        forged: dict[str, Message] = {
            "Outdated": Outdated(CLUSTER_ID, epoch),
            "Beacon": Beacon(register, 0, GENESIS_HASH, 0, 0, self.now_us),
        }
        self._deliver(receiver, forged[kind], sender)

    def show_log(self, name: str, type_: str) -> None:
        """Note the events of one type on a node's disk."""
        found = [
            (batch.first_seq + entry.offset, entry)
            for batch in self.nodes[name].log.batches()
            for entry in batch.entries
            if entry.type == type_
        ]
        for seq, entry in found:
            asked = f" {entry.request_id!r}" if entry.request_id else ""
            self.note(f"{name} logged {type_}{asked} {tuple(entry.body)} at seq {seq}")
        if not found:
            self.note(f"{name} logged no {type_}")

    def show_why(self, name: str) -> None:
        """Note what a node says about not serving."""
        node = self.nodes[name]
        if node.replica is not None:
            self.note(f"{name} waits: {node.replica.waits_for(self.clock(name)) or 'for nothing'}")
        else:
            self.note(f"{name} is down{f': {node.disk.refused}' if node.disk.refused else ''}")


def play(script: str, vocabularies: Sequence[Vocabulary] = (LEDGER,)) -> str:
    """Carry out a script; give it back with what happened after each command. Raises Violation, and ValueError
    for a line that is no command. A script is about the first vocabulary's application unless it names another."""
    vocabulary = vocabularies[0]
    cluster: ScriptedCluster | None = None
    transcript: list[str] = []
    for line in script.splitlines():
        if line.startswith("#") or not line.strip():
            transcript.append(line)
        elif line.startswith(PROMPT):
            words = line.removeprefix(PROMPT).split()
            transcript.append(line)
            if cluster is None and words[:1] == ["application"]:
                vocabulary = _named(" ".join(words[1:]), vocabularies)
                continue
            cluster = cluster or ScriptedCluster(vocabulary)
            _obey(cluster, words)
            transcript += cluster.lines
            cluster.lines = []
    if cluster is not None:
        _come_to_rest(cluster)
    return "\n".join(transcript) + "\n"


def _come_to_rest(cluster: ScriptedCluster) -> None:
    """I4, I5, I7 and I8 are seen on a healed cluster only. What was kept back by then is lost."""
    cluster.holding.clear()
    cluster.held.clear()
    cluster.heal()
    cluster.run_until(cluster.settled, cluster.hung_us + REST_US, "equal logs after healing")
    replicas = {name: node.replica for name, node in cluster.nodes.items() if node.replica is not None}
    cluster.checker.on_end(cluster.logs(), replicas)


def _named(application: str, vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    for vocabulary in vocabularies:
        if vocabulary.application == application:
            return vocabulary
    raise ValueError(f"no application {application!r}")


def _obey(cluster: ScriptedCluster, words: list[str]) -> None:
    match words:
        case ["run", ms]:
            cluster.run_for(int(ms) * 1_000)
        case [*asked, "at", node] if cluster.client.ask(asked, node):
            pass
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
        case ["pause", "w", ms]:
            cluster.pause_witness(int(ms) * 1_000)
        case ["pause", node, ms]:
            cluster.pause(node, int(ms) * 1_000)
        case ["freeze", node, ms, *ready] if ready and {*ready} <= {*SOURCES}:
            cluster.freeze(node, int(ms) * 1_000, ready)
        case ["await", node, ms]:
            cluster.run_until(lambda: node in cluster.active(), int(ms) * 1_000, f"{node} serves")
        case ["stall", node, ms]:
            cluster.stall(node, int(ms) * 1_000)
        case ["fail", node]:
            cluster.fail_fsync(node)
        case ["fail", node, ms]:
            cluster.fail_fsync(node, int(ms) * 1_000)
        case ["damage", node]:
            cluster.damage(node)
        case ["rebuild", node]:
            cluster.rebuild(node)
        case ["log", node, type_]:
            cluster.show_log(node, type_)
        case ["why", node]:
            cluster.show_why(node)
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
        case ["pass", kind]:
            cluster.let_pass(kind)
        case ["forge", "Outdated" | "Beacon" as kind, sender, "->", receiver, epoch]:
            cluster.forge(kind, sender, receiver, int(epoch))
        case ["jump", ms]:
            cluster.jump_clock(int(ms) * 1_000)
        case _:
            raise ValueError(f"no command: {' '.join(words)!r}")


def _address(name: str) -> str:
    return WITNESS if name == "w" else name
