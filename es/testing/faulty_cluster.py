"""A virtual cluster and what can be done to it: crashes and freezes of its processes, disks that fail, lie, hang, rot
and are replaced, a witness that dies or stands still, a server that only those who read still reach; and healing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from es.codec import Plain
from es.machine import Answered, Decision, Event, Machine, UnknownEvent
from es.replication.effects import WITNESS, Answer, Answers
from es.replication.instant import Instant
from es.replication.messages import Beacon, CompareAndSwap, Frame, Granted, Message, Register, Registered
from es.replication.timing import Timing
from es.replication.witness import Witness, WitnessEffect
from es.testing.cluster import Cluster, Load, Saving, SimulatedNode
from es.testing.faults import CALM, FaultProfile

REQUESTS: Final = "requests"
WRITER: Final = "writer"
BATCHES: Final = "batches"
BEACONS: Final = "beacons"
REPAIR: Final = "repair"
FROM_WITNESS: Final = "witness"
SOURCES: Final = (REQUESTS, WRITER, BATCHES, BEACONS, REPAIR, FROM_WITNESS)
"""What a server's loop drains, one after another."""

_SOURCE_OF: dict[type[Message], str] = {
    Frame: BATCHES, Beacon: BEACONS, Registered: FROM_WITNESS, Granted: FROM_WITNESS
}  # fmt: skip

SLOT_US: Final = 25
TURN_US: Final = SLOT_US * len(SOURCES)
"""How long the rest of a turn takes, in which one source after another is drained."""

WITNESS_TURN_US: Final = 200
READ_EVERY_US: Final = 20_000
READER: Final = "reader"
"""The waiter of a read that is asked by nobody but the cluster itself."""


class Look:
    """A Machine (es.machine) with nothing to remember: every command is a read, whatever else a cluster is about."""

    name = "look"

    def fresh(self) -> Look:
        return Look()

    def decide(self, command: None, now_us: int) -> Decision:
        return Answered(None)

    def evolve(self, event: Event, seq: int, ts_us: int) -> None:
        raise UnknownEvent(event.type)

    def next_deadline(self) -> int | None:
        return None

    def due(self, now_us: int, events_max: int) -> Sequence[Event]:
        return ()

    def extend(self, by_us: int) -> None:
        """Nothing is due, ever."""

    def to_plain(self) -> Plain:
        return None


class FrozenTurn(NamedTuple):
    """A turn of a process's loop that began at `read_us` with this reading of its clocks and goes on from `thaws_us`:
    `ready` are the sources that it drains, in this order; the others wait for the next turn."""

    read_us: int
    reading: Instant
    thaws_us: int
    ready: Sequence[str]

    def is_old_for(self, source: str, now_us: int) -> bool:
        """Whether what a source gives at that time is drained with the reading from before the freeze. A server's shell
        reads anew for every source, so that only the first can be affected, and not by what comes once it is drained;
        links read once more after they have drained, and what the writer has finished releases no request that was
        drained after its reading."""
        return source == REQUESTS and self.ready[0] == source and now_us < self.thaws_us + SLOT_US


class FaultyCluster(Cluster):
    """See the module. Its nodes bear Look beside the machines of the application."""

    def __init__(
        self, seed: int, machines: Callable[[], Sequence[Machine]], load: Load, timing: Timing, faults: FaultProfile
    ) -> None:
        self._turns: dict[str, FrozenTurn] = {}
        self._rests: dict[str, FrozenTurn] = {}
        self._dies_saving_us: int | None = None
        self._witness_thaws_us = 0
        self._retired: set[str] = set()
        self._read_only_until_us: dict[str, int] = {}
        super().__init__(seed, lambda: (*machines(), Look()), load, timing, faults)
        self._answer_clients = self.on_answers
        self.on_answers = self._answer_all_but_readers

    # -- processes and disks

    def crash(self, name: str, keep: Callable[[int], int] | None = None) -> None:
        """kill -9 and power loss at once: of the writes at risk any prefix may have reached the disk. `keep`
        chooses how many; by default the seed does."""
        node = self.nodes[name]
        at_risk = node.disk.at_risk
        self._end(node, keep(at_risk) if keep is not None else self.between(0, at_risk))
        self.note(f"{name} crashed")

    def restart(self, name: str) -> None:
        """Start a node's process again on its disk, if it is down and not retired."""
        if self.nodes[name].replica is None and name not in self._retired:
            self._boot(self.nodes[name])
            if self.nodes[name].replica is not None:
                self.note(f"{name} restarted")

    def retire(self, name: str) -> None:
        """Crash a node that nothing starts again but `bring_back` and healing."""
        self.crash(name)
        self._retired.add(name)

    def bring_back(self, name: str) -> None:
        """Start a retired node."""
        if name in self._retired:
            self._retired.remove(name)
            self.restart(name)

    def wipe(self, name: str) -> None:
        """Replace a node's disk by an empty one; its process must be down."""
        assert self.nodes[name].replica is None
        self.nodes[name].disk.replace()
        self.checker.forget_promise(name)
        self.checker.counted_on.pop(name, None)
        self.note(f"{name} wiped")

    def rebuild(self, name: str) -> None:
        """What an operator does about a disk that its node refuses: begin anew from the peer."""
        if self.nodes[name].disk.refused:
            self.wipe(name)
            self.restart(name)

    def fail_fsync(self, name: str, duration_us: int = 0) -> None:
        """The next write fails, and so does every other one for so long (a full disk, one mounted read-only)."""
        self.nodes[name].disk.fails_next = True
        self.nodes[name].disk.failing_until_us = self.now_us + duration_us
        self.note(f"{name}'s disk fails" + (f" for {duration_us // 1000} ms" if duration_us else " once"))

    def mend_disk(self, name: str) -> None:
        """The disk fails no more, and what it had only cached is on it."""
        self.nodes[name].disk.recover()

    def lie(self, name: str, duration_us: int) -> None:
        """The disk calls durable what it has only cached; a crash in this time forgets some of it."""
        self.nodes[name].disk.lie(self.now_us + duration_us)
        self.note(f"{name}'s disk lies for {duration_us // 1000} ms")

    def damage(self, name: str) -> bool:
        """A bit flips on the disk; found at the next start. False if there is nothing on it yet."""
        rotten = self.nodes[name].disk.rot(self.random)
        self.note(f"{name}'s disk has a flipped bit")
        return rotten

    def pause(self, name: str, duration_us: int) -> None:
        """SIGSTOP, and SIGCONT later."""
        node = self.nodes[name]
        node.paused_until_us = max(node.paused_until_us, self.now_us + duration_us)
        self.note(f"{name} paused for {duration_us // 1000} ms")

    def stall(self, name: str, duration_us: int) -> None:
        """The disk hangs: no write is through before `duration_us` have passed."""
        disk = self.nodes[name].disk
        disk.free_us = max(disk.free_us, self.now_us) + duration_us
        self.note(f"{name}'s disk hangs for {duration_us // 1000} ms")

    # -- a freeze within a turn

    def freeze(self, name: str, duration_us: int, ready: Sequence[str]) -> None:
        """SIGSTOP within a turn, after the clock was read and before these SOURCES were drained; SIGCONT later.
        At least one was ready, or the loop would still wait."""
        assert ready
        self._turns[name] = FrozenTurn(self.now_us, self.clock(name), self.now_us + duration_us, ready)
        self.pause(name, duration_us)
        self.note(f"{name} has yet to drain {', '.join(ready)}")

    def clock(self, process: str) -> Instant:
        rest = self._rests.get(process)
        return super().clock(process) if rest is None else rest.reading

    def read_us(self, process: str) -> int:
        rest = self._rests.get(process)
        return super().read_us(process) if rest is None else rest.read_us

    def run_at(self, name: str, call: Callable[..., None], *arguments: Any) -> None:
        if self.now_us < self._read_only_until_us.get(name, 0) and arguments[:1] != (READER,):
            self.counts["cut off"] += 1
            return
        self._drain(REQUESTS, name, super().run_at, name, call, *arguments)

    def _deliver(self, name: str, message: Message, sender: str) -> None:
        self._drain(_SOURCE_OF.get(type(message), REPAIR), name, super()._deliver, name, message, sender)

    def _persisted(self, node: SimulatedNode, life: int, serial: int) -> None:
        self._drain(WRITER, node.name, super()._persisted, node, life, serial)

    def _drain(self, source: str, name: str, call: Callable[..., None], *arguments: Any) -> None:
        """`call` with the reading that its source has: an old one, if this is the rest of a frozen turn."""
        turn = self._turns.get(name)
        if turn is not None and self._is_rest(name, turn) and turn.is_old_for(source, self.now_us):
            self._rests[name] = turn
            call(*arguments)
            del self._rests[name]
        else:
            self._read_anew(name)
            call(*arguments)

    def _flush(self, node: SimulatedNode, life: int) -> None:
        self._read_anew(node.name)
        super()._flush(node, life)

    def _wake(self, node: SimulatedNode, life: int) -> None:
        self._read_anew(node.name)
        super()._wake(node, life)

    def _read_anew(self, name: str) -> None:
        """Once a process has read its clocks again, nothing is drained with a reading from before its freeze."""
        turn = self._turns.get(name)
        if turn is not None and turn.thaws_us <= self.now_us:
            del self._turns[name]

    def _is_rest(self, name: str, turn: FrozenTurn) -> bool:
        """Whether a process is in the rest of a turn in which it was frozen. A turn that is over is forgotten."""
        if self.now_us >= turn.thaws_us + TURN_US:
            del self._turns[name]
            return False
        return turn.thaws_us <= self.now_us and self.nodes[name].paused_until_us == turn.thaws_us

    def _turn_of(self, name: str) -> FrozenTurn | None:
        """The turn in which a process was frozen, unless it has crashed, healed or paused again since."""
        turn = self._turns.get(name)
        return turn if turn is not None and self.nodes[name].paused_until_us == turn.thaws_us else None

    def _postpone(self, node: SimulatedNode, call: Callable[..., None], *arguments: Any) -> None:
        turn = self._turn_of(node.name)
        if node.replica is None or turn is None:
            super()._postpone(node, call, *arguments)
        else:
            self.after(turn.thaws_us - self.now_us + self._moment(turn, call, arguments), call, *arguments)

    def _moment(self, turn: FrozenTurn, call: Callable[..., None], arguments: tuple[Any, ...]) -> int:
        """When after the thaw: what is ready source by source, then the end of the turn, then everything else."""
        if call in (self._wake, self._flush):
            return TURN_US
        source = (
            WRITER if call == self._persisted
            else REQUESTS if call == self.run_at
            else _SOURCE_OF.get(type(arguments[1]), REPAIR)
        )  # fmt: skip
        place = turn.ready.index(source) if source in turn.ready else len(SOURCES)
        return place * SLOT_US + self.between(1, SLOT_US - 1)

    # -- the witness

    def crash_witness(self, down_us: int) -> None:
        """Stop the witness. Its register is on its disk: the new one perhaps, if it was saving one."""
        if self._saving is not None and self._witness_draw.randint(0, 1):
            self._store(self._saving.register)
        self.witness, self._saving = None, None
        self.note("w crashed")
        self.after(down_us, self.restart_witness)

    def crash_witness_saving(self, down_us: int) -> None:
        """Stop the witness while it next saves: whether the register reaches its disk or not, nobody is told."""
        self._dies_saving_us = down_us

    def _save(self, register: Register, then: Sequence[WitnessEffect]) -> Saving:
        saving = super()._save(register, then)
        if self._dies_saving_us is not None:
            self.after(self._witness_draw.randint(0, saving.until_us - self.now_us), self._crash_saving, saving)
        return saving

    def _crash_saving(self, saving: Saving) -> None:
        if self._saving is saving and self._dies_saving_us is not None:
            down_us, self._dies_saving_us = self._dies_saving_us, None
            self.crash_witness(down_us)

    def restart_witness(self) -> None:
        """Start the witness again on its register, if it is down; one that stood still goes on."""
        self._witness_thaws_us = 0
        if self.witness is None:
            self._clock_of(WITNESS).reboot(self.now_us)
            self.witness = Witness(self.register, self.timing, self.clock(WITNESS).boot_us, self.nodes)
            self.note("w restarted")

    def pause_witness(self, duration_us: int) -> None:
        """SIGSTOP for the witness, and SIGCONT later: what is sent to it waits."""
        self._witness_thaws_us = self.now_us + duration_us
        self.note(f"w paused for {duration_us // 1000} ms")

    def _ask_witness(self, _: str, message: Message) -> None:
        if self.now_us < self._witness_thaws_us:
            self.after(
                self._witness_thaws_us - self.now_us + self.between(0, WITNESS_TURN_US), self._ask_witness, _, message
            )
        else:
            super()._ask_witness(_, message)

    def swap_under_way(self, name: str) -> bool:
        """Whether a swap of a node is being saved, or has still to be heard, taken or refused."""
        return self.saves_swap_of(name) or any(
            call == self._ask_witness
            and isinstance(message := arguments[1], CompareAndSwap)
            and message.member.node == name
            for _, _, call, arguments in self._events
        )

    def saves_swap_of(self, name: str) -> bool:
        """Whether the witness has taken a swap of a node that is not durable yet."""
        return self._saving is not None and self._saving.register.primary.node == name

    # -- a server that only readers reach

    def leave_readers(self, name: str, duration_us: int) -> None:
        """Cut a server's clients off from it for so long, but for one that reads again and again."""
        self._read_only_until_us[name] = self.now_us + duration_us
        self.note(f"only readers reach {name} for {duration_us // 1000} ms")
        self._read(name)

    def _read(self, name: str) -> None:
        if self.now_us < self._read_only_until_us.get(name, 0):
            self.after(READ_EVERY_US, self._read, name)
            self.run_at(name, self._submit, READER, Look.name, None)

    def _receive(self, _: str, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        if waiter != READER:
            super()._receive(_, waiter, answer, node, seq)

    def _answer_all_but_readers(self, node: SimulatedNode, effect: Answers) -> None:
        answers: list[Answer] = [one for one in effect.answers if one.waiter != READER]
        if answers:
            self._answer_clients(node, Answers(effect.batch, effect.copies, answers))

    # -- healing

    def heal(self) -> None:
        """No faults from now on: links whole, every process started, every refused disk rebuilt. What is frozen, or
        hangs, comes to its end by itself."""
        self.faults = CALM
        self.cuts.clear()
        self._retired.clear()
        self._read_only_until_us.clear()
        self._dies_saving_us = None
        self.restart_witness()
        for name in self.nodes:
            self.mend_disk(name)
            self.restart(name)
            self.rebuild(name)
        self.note("healed")

    @property
    def hung_us(self) -> int:
        """For how long a disk hangs or a process is frozen from now on: healing does not shorten what it has begun."""
        free_us = [max(node.disk.free_us, node.paused_until_us) for node in self.nodes.values()]
        if self._saving is not None:
            free_us.append(self._saving.until_us)
        return max(0, max(free_us) - self.now_us)
