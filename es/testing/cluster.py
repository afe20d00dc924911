"""A virtual cluster: data nodes, a witness and clients on a virtual network, with disks that forget what was
not fsynced. The replicas and the witness are the production cores; only what is around them is simulated."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

from es.log.base import EventLog
from es.machine import Machine
from es.replication.data_node import PROMISED, REGISTER
from es.replication.effects import (
    WITNESS,
    Answers,
    Committed,
    Effect,
    Emit,
    Halt,
    Persist,
    Publish,
    RoleChanged,
    Tell,
)
from es.replication.instant import Instant
from es.replication.messages import (
    Ack,
    Batches,
    BeaconAck,
    Fetch,
    Member,
    Message,
    Register,
    members,
    pack,
    unpack,
)
from es.replication.replica import Replica
from es.replication.timing import Timing
from es.replication.transitions import Role
from es.replication.witness import Save, Witness, WitnessEffect
from es.testing.checker import Checker, Violation
from es.testing.clock import SimulatedClock
from es.testing.disk import SimulatedDisk, StoredLog
from es.testing.faults import CALM, FaultProfile

CLUSTER_ID = "simulated"
DISK_US = (200, 4_000)
LINK_US = (100, 1_500)
PACKED_EVERY = 8
PEER = {"a": "b", "b": "a"}


class Load(Protocol):
    """Clients. The cluster calls `start` once and `receive` for what comes back; a load sends through
    `cluster.request` and uses `cluster.after` for its own time. `commands` counts what was asked, not how often."""

    commands: int

    def start(self, cluster: Cluster) -> None: ...

    def stop(self) -> None:
        """Finish what was begun, begin nothing new."""
        ...

    def idle(self) -> bool:
        """True when everything that was begun has come to its end."""
        ...

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        """An answer, or the refusal of a node (es.replication.effects.Refusal)."""
        ...

    def check(self, cluster: Cluster) -> None:
        """I9 and whatever else the application promises, on the healed cluster."""
        ...


class Saving(NamedTuple):
    """A register on its way to the witness's disk, and until when."""

    register: Register
    until_us: int


class SimulatedNode:
    """One data node: a process around a replica, and a disk that outlives it."""

    __slots__ = ("disk", "flush_planned", "heard", "lives", "name", "paused_until_us", "promised", "replica")

    def __init__(self, name: str) -> None:
        self.name = name
        self.disk = SimulatedDisk(CLUSTER_ID, name)
        self.replica: Replica | None = None
        self.lives = 0
        self.paused_until_us = 0
        self.flush_planned = False
        self.promised = -1
        self.heard: set[Member] = set()
        """Who has told this life of it, as its follower, that he is there."""

    @property
    def log(self) -> StoredLog:
        """What is on its disk."""
        return self.disk.log

    @property
    def durable_promise(self) -> int:
        """The epoch below which it promised on its disk to follow nobody."""
        return int.from_bytes(self.disk.log.record(PROMISED) or b"", "big")

    @property
    def member(self) -> Member:
        """The node as the register names it."""
        return Member(self.name, self.disk.log.identity.incarnation)


class Cluster:
    """Time is in microseconds since the start. Everything random comes from `seed`. A load that has a server's
    front of its own takes `on_answers` and `on_committed` over when it starts."""

    def __init__(
        self, seed: int, machines: Callable[[], Sequence[Machine]], load: Load, timing: Timing, faults: FaultProfile
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.timing = timing
        self.faults = faults
        self._are_clocks_skewed = faults is not CALM
        self.machines = machines
        self.load = load
        self.now_us = 0
        self._clocks: dict[str, SimulatedClock] = {}
        self.checker = Checker(timing.stall_us)
        self.counts: Counter[str] = Counter()
        self.trace: list[str] | None = None
        self.on_answers: Callable[[SimulatedNode, Answers], None] = self._send_answers
        self.on_committed: Callable[[SimulatedNode, Committed], None] = lambda _node, _committed: None
        self.cuts: Counter[tuple[str, str]] = Counter()
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self.nodes = {name: SimulatedNode(name) for name in ("a", "b")}
        self._duties: dict[type[Effect], Callable[[SimulatedNode, Any], None]] = {
            Persist: self._persist,
            Publish: self._publish,
            Emit: self._emit,
            Tell: self._tell,
            Answers: self._answer,
            Committed: self._committed,
            RoleChanged: self._role_changed,
            Halt: self._halted,
        }
        in_sync = members(*(node.member for node in self.nodes.values()))
        self.register = Register(CLUSTER_ID, 1, self.nodes["a"].member, in_sync, 1)
        self._saving: Saving | None = None
        self._dies_saving_us: int | None = None
        self._witness_draw = random.Random(f"witness {seed}")
        self.witness: Witness | None = Witness(self.register, timing, self.clock(WITNESS).boot_us, self.nodes)
        for node in self.nodes.values():
            self._boot(node)
        load.start(self)

    # -- time

    def after(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        self._order += 1
        heappush(self._events, (self.now_us + delay_us, self._order, call, arguments))

    def run_for(self, duration_us: int) -> None:
        """Let virtual time pass."""
        until_us = self.now_us + duration_us
        events = self._events
        while events and events[0][0] <= until_us:
            self.now_us, _, call, arguments = heappop(events)
            call(*arguments)
        self.now_us = until_us

    def run_until(self, fact: Callable[[], bool], within_us: int, what: str) -> None:
        """Let time pass until a fact holds; liveness is violated if it does not in time."""
        until_us = self.now_us + within_us
        while not fact():
            if self.now_us >= until_us:
                raise Violation("liveness", f"{what} did not happen within {within_us // 1000} ms")
            self.run_for(10_000)

    def clock(self, process: str) -> Instant:
        """What a process reads from the clocks of its machine: a node, the witness, or what a load runs."""
        clock = self._clocks.get(process) or self._clock_of(process)
        return clock.read(self.now_us)

    def _clock_of(self, process: str) -> SimulatedClock:
        clock = self._clocks.get(process)
        if clock is None:
            clock = self._clocks[process] = SimulatedClock(self.seed, process, skewed=self._are_clocks_skewed)
        return clock

    def note(self, what: str) -> None:
        """One line of the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now_us / 1000:10.3f} {what}")

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included, drawn from the seed."""
        return _between(self.random, low, high)

    # -- network

    def send(self, sender: str, receiver: str, deliver: Callable[..., None], *arguments: Any) -> None:
        """Put a message on the virtual network: it may be lost, late, doubled or overtaken."""
        if self.cuts and (sender, receiver) in self.cuts:
            self.counts["cut off"] += 1
            return
        draw, faults = self.random.random, self.faults
        if draw() < faults.loss:
            self.counts["lost"] += 1
            return
        low_us, high_us = LINK_US
        delay_us = low_us + int(draw() * (high_us - low_us + 1))
        if draw() < faults.slow:
            delay_us += self.between(1, faults.slow_ms_max) * 1000
        self._order += 1
        heappush(self._events, (self.now_us + delay_us, self._order, deliver, (receiver, *arguments)))
        if draw() < faults.duplication:
            self.counts["duplicated"] += 1
            self.after(delay_us + self.between(0, 50_000), deliver, receiver, *arguments)

    def request(self, node: str, waiter: Any, application: str, command: Any) -> None:
        """A client sends a command to a node."""
        self.send("client", node, self.run_at, self._submit, waiter, application, command)

    def _submit(self, node: SimulatedNode, waiter: Any, application: str, command: Any) -> None:
        assert node.replica is not None
        refusal = node.replica.submit(waiter, application, command, self.clock(node.name))
        if refusal is not None:
            self.send(node.name, "client", self._receive, waiter, refusal, node.name, None)

    def run_at(self, name: str, call: Callable[..., None], *arguments: Any) -> None:
        """`call(node, …)` in a node's process: now, when it wakes, or never if it is dead. What that submits is
        flushed."""
        node = self.nodes[name]
        if node.replica is None or node.paused_until_us > self.now_us:
            self._postpone(node, self.run_at, name, call, *arguments)
            return
        call(node, *arguments)
        if not node.flush_planned:
            node.flush_planned = True
            self.after(self.between(0, 1_000), self._flush, node, node.lives)

    def _flush(self, node: SimulatedNode, life: int) -> None:
        if node.lives != life:
            return
        if node.replica is None or node.paused_until_us > self.now_us:
            self._postpone(node, self._flush, node, life)
            return
        node.flush_planned = False
        self._carry_out(node, node.replica.flush(self.clock(node.name)))

    def _receive(self, _: str, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        self.load.receive(waiter, answer, node, seq)

    def _deliver(self, name: str, message: Message, sender: str) -> None:
        node = self.nodes[name]
        if node.replica is None or node.paused_until_us > self.now_us:
            self._postpone(node, self._deliver, name, message, sender)
            return
        if isinstance(message, Ack | BeaconAck | Fetch) and message.epoch == node.replica.node.epoch:
            node.heard.add(message.member)
        self._carry_out(node, node.replica.step(self._over_the_wire(message), sender, self.clock(node.name)))

    def _over_the_wire(self, message: Message) -> Message:
        """What a message is on the other side: the same, in every `PACKED_EVERY`-th schedule by its very bytes."""
        if self.seed % PACKED_EVERY:
            return message
        arrived = unpack(pack(message))
        if arrived != message:
            raise Violation("wire", f"{message} arrives as {arrived}")
        return arrived

    def _postpone(self, node: SimulatedNode, call: Callable[..., None], *arguments: Any) -> None:
        """A frozen process takes it when it wakes, a dead one never."""
        if node.replica is not None:
            self.after(node.paused_until_us - self.now_us + self.between(0, 200), call, *arguments)

    def _ask_witness(self, _: str, message: Message) -> None:
        """It takes one message after another: while it saves, the next one waits."""
        if self.witness is None:
            return
        if self._saving is not None:
            self.after(self._saving.until_us - self.now_us, self._ask_witness, _, message)
        else:
            self._witness_says(self.witness.step(self._over_the_wire(message), self.clock(WITNESS).boot_us))

    def _witness_says(self, effects: Sequence[WitnessEffect]) -> None:
        for done, effect in enumerate(effects, start=1):
            if isinstance(effect, Save):
                delay_us = self._disk_us(self._witness_draw)
                self._saving = saving = Saving(effect.register, self.now_us + delay_us)
                self.after(delay_us, self._saved, saving, effects[done:])
                if self._dies_saving_us is not None:
                    self.after(self._witness_draw.randint(0, delay_us), self._crash_saving, saving)
                return
            if isinstance(effect, Halt):
                raise Violation("halt", f"the witness halted: {effect.code}: {effect.sentence}")
            self.send(WITNESS, effect.node, self._deliver, effect.message, WITNESS)

    def _saved(self, saving: Saving, effects: Sequence[WitnessEffect]) -> None:
        """The register is durable; now what follows may be said."""
        if self._saving is saving:
            self._saving = None
            self._store(saving.register)
            self._witness_says(effects)

    def _store(self, register: Register) -> None:
        self.register = register
        self.counts["register changes"] += 1
        counted = ", ".join(member.node for member in register.in_sync)
        self.note(f"w register {register.epoch}: primary {register.primary.node}, in sync {counted}")

    # -- processes and disks

    def _boot(self, node: SimulatedNode) -> None:
        """Start a process on the disk, unless it finds it damaged."""
        if refusal := node.disk.refusal():
            self.note(f"{node.name} refuses its disk: {refusal}")
            return
        node.lives += 1
        node.flush_planned = False
        node.promised = -1
        node.disk.free_us = self.now_us
        node.replica = Replica(node.log, self.machines(), self.timing, self.clock(node.name))
        node.heard = set()
        self._wake(node, node.lives)

    def _wake(self, node: SimulatedNode, life: int) -> None:
        if node.lives != life:
            return
        if node.replica is None or node.paused_until_us > self.now_us:
            self._postpone(node, self._wake, node, life)
            return
        self._carry_out(node, node.replica.tick(self.clock(node.name)))
        replica = node.replica
        if replica is not None:
            now = self.clock(node.name)
            self.after(max(replica.deadline(now) - now.boot_us, 100), self._wake, node, life)

    def _carry_out(self, node: SimulatedNode, effects: Sequence[Effect]) -> None:
        """The shell's duties (es.replication.effects), on virtual hardware."""
        replica = node.replica
        assert replica is not None
        if replica.node.promised != node.promised:
            node.promised = replica.node.promised
            self.checker.on_promise(node.name, node.promised)
        for effect in effects:
            self._duties[type(effect)](node, effect)

    def _persist(self, node: SimulatedNode, persist: Persist) -> None:
        disk = node.disk
        disk.under_way.append((persist.serial, persist.write))
        disk.free_us = max(disk.free_us, self.now_us) + self._disk_us(self.random)
        self.after(disk.free_us - self.now_us, self._written, node, node.lives)

    def _disk_us(self, draw: random.Random) -> int:
        """How long a write takes."""
        delay_us = _between(draw, *DISK_US)
        if draw.random() < self.faults.fsync_stall:
            self.counts["fsync stall"] += 1
            delay_us += _between(draw, 1, self.faults.fsync_stall_ms_max) * 1000
        return delay_us

    def _written(self, node: SimulatedNode, life: int) -> None:
        """One fsync has returned; the process learns of it once it runs."""
        disk = node.disk
        if node.lives != life or not disk.under_way:
            return
        if disk.fails(self.now_us):
            self._fail_write(node)
            return
        serial, write = disk.under_way.popleft()
        disk.write(write, self.now_us)
        if write.records:
            self.checker.on_durable_promise(node.name, node.durable_promise)
        self._persisted(node, life, serial)

    def _fail_write(self, node: SimulatedNode) -> None:
        """A write that fails ends the process (es.replication.effects); whether it reached the disk nobody knows."""
        reached = 0 if self.now_us < node.disk.failing_until_us else self.between(0, 1)
        self._end(node, node.disk.reached_when_failed(reached))
        self.note(f"{node.name}'s disk fails a write: its process ends")

    def _persisted(self, node: SimulatedNode, life: int, serial: int) -> None:
        if node.lives != life:
            return
        if node.replica is None or node.paused_until_us > self.now_us:
            self._postpone(node, self._persisted, node, life, serial)
            return
        self._carry_out(node, node.replica.persisted(serial, self.clock(node.name)))

    # -- the shell's other duties

    def _publish(self, node: SimulatedNode, publish: Publish) -> None:
        assert node.replica is not None
        frame = publish.frame
        batch = next(one for one in reversed(node.replica.node.chain.recent) if one.data is frame.batch)
        self.checker.on_batch(batch, self.now_us)
        self.send(node.name, PEER[node.name], self._deliver, frame, node.name)

    def _emit(self, node: SimulatedNode, emit: Emit) -> None:
        self.send(node.name, PEER[node.name], self._deliver, emit.beacon, node.name)

    def _tell(self, node: SimulatedNode, tell: Tell) -> None:
        if type(tell.message) is Batches:
            self.checker.on_repair(tell.node, tell.message.after_seq)
        if tell.node == WITNESS:
            self.send(node.name, WITNESS, self._ask_witness, tell.message)
        else:
            self.send(node.name, tell.node, self._deliver, tell.message, node.name)

    def _committed(self, node: SimulatedNode, committed: Committed) -> None:
        self.checker.on_committed(node.name, committed.batches)
        self.on_committed(node, committed)

    def _role_changed(self, node: SimulatedNode, change: RoleChanged) -> None:
        before, after, epoch = change.before, change.after, change.epoch
        self.note(f"{node.name} {before.value} -> {after.value} in epoch {epoch}: {change.reason}")
        self.counts[f"{before.value} -> {after.value}"] += 1
        if after is Role.OPENING:
            assert node.replica is not None
            self.checker.on_primary(node.name, epoch, node.replica)

    def _halted(self, node: SimulatedNode, halt: Halt) -> None:
        """Right only on a disk that has forgotten what it called durable; an operator must rebuild it."""
        if halt.code != "ROLLED_BACK" or not node.disk.forgot:
            raise Violation("halt", f"{node.name} halted: {halt.code}: {halt.sentence}")
        node.disk.refused = halt.sentence
        self.counts["rolled back disk found"] += 1
        self._end(node, 0)
        self.note(f"{node.name} halted: {halt.sentence}")

    def _answer(self, node: SimulatedNode, effect: Answers) -> None:
        replica = node.replica
        assert replica is not None
        register = replica.node.register
        assert register is not None
        if effect.batch is None:
            self.checker.on_read(node.name, replica.node.commit_seq)
        elif node.disk.log.record(REGISTER) != register.pack():
            raise Violation("R10", f"{node.name} committed in epoch {register.epoch}, of which its disk does not know")
        spoken_for = effect.batch or replica.node.chain.batch_at(replica.node.commit_seq)
        if spoken_for is not None:
            needed = len(register.in_sync) if effect.batch is not None else 1
            holders = sum(one.disk.held(spoken_for, one.member not in node.heard) for one in self.nodes.values())
            self.checker.on_copies(node.name, effect.copies, needed, holders)
        for _, _, seq in effect.answers:
            hash_: bytes | None = None
            if effect.batch is not None:
                hash_ = effect.batch.hash
            elif seq is not None:
                batch = replica.node.chain.batch_at(seq)
                hash_ = batch.hash if batch is not None else None
            self.checker.on_answer(seq, hash_)
            self.counts["answers"] += 1
        self.on_answers(node, effect)

    def _send_answers(self, node: SimulatedNode, effect: Answers) -> None:
        for waiter, answer, seq in effect.answers:
            self.send(node.name, "client", self._receive, waiter, answer, node.name, seq)

    # -- faults

    def crash(self, name: str, keep: Callable[[int], int] | None = None) -> None:
        """kill -9 and power loss at once: of the writes at risk any prefix may have reached the disk. `keep`
        chooses how many; by default the seed does."""
        node = self.nodes[name]
        at_risk = node.disk.at_risk
        self._end(node, keep(at_risk) if keep is not None else self.between(0, at_risk))
        self.note(f"{name} crashed")

    def _end(self, node: SimulatedNode, kept: int) -> None:
        if node.replica is not None:
            self.checker.on_process_end(node.name, node.replica)
        node.disk.lose_power(kept)
        self._clock_of(node.name).reboot(self.now_us)
        if node.disk.forgot:
            self.checker.forget_promise(node.name)
        self.checker.on_durable_promise(node.name, node.durable_promise)
        node.lives += 1
        node.replica = None
        node.paused_until_us = 0

    def restart(self, name: str) -> None:
        """Start a node's process again on its disk, if it is down."""
        if self.nodes[name].replica is None:
            self._boot(self.nodes[name])
            if self.nodes[name].replica is not None:
                self.note(f"{name} restarted")

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

    def cut(self, links: Sequence[tuple[str, str]], duration_us: int) -> None:
        """Cut directed links for a while."""
        for link in links:
            self.cuts[link] += 1
        self.note("cut " + ", ".join(f"{sender} -> {receiver}" for sender, receiver in links).replace(WITNESS, "w"))
        self.after(duration_us, self._mend, links)

    def _mend(self, links: Sequence[tuple[str, str]]) -> None:
        for link in links:
            self.cuts[link] -= 1
            if self.cuts[link] <= 0:
                del self.cuts[link]

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

    def _crash_saving(self, saving: Saving) -> None:
        if self._saving is saving and self._dies_saving_us is not None:
            down_us, self._dies_saving_us = self._dies_saving_us, None
            self.crash_witness(down_us)

    def restart_witness(self) -> None:
        """Start the witness again on its register."""
        if self.witness is None:
            self._clock_of(WITNESS).reboot(self.now_us)
            self.witness = Witness(self.register, self.timing, self.clock(WITNESS).boot_us, self.nodes)
            self.note("w restarted")

    def jump_clock(self, by_us: int, name: str | None = None) -> None:
        """Move the wall clock of a node's machine, or of every machine."""
        clocks = self._clocks.values() if name is None else [self._clock_of(name)]
        for clock in clocks:
            clock.jump(by_us)
        whose = "wall clock" if name is None else f"{name}'s wall clock"
        self.note(f"{whose} moved by {by_us // 1000} ms")

    def heal(self) -> None:
        """No faults from now on: links whole, every process started, every refused disk rebuilt. What is frozen, or
        hangs, comes to its end by itself."""
        self.faults = CALM
        self.cuts.clear()
        self._dies_saving_us = None
        self.restart_witness()
        for name in self.nodes:
            self.mend_disk(name)
            self.restart(name)
            self.rebuild(name)
        self.note("healed")

    # -- facts

    def active(self) -> list[str]:
        """Nodes that believe they serve."""
        return [name for name, node in self.nodes.items() if node.replica is not None and node.replica.active]

    def in_sync(self) -> bool:
        """One node serves, and the register counts both in, with the disks that they have now."""
        counted = all(node.member in self.register.in_sync for node in self.nodes.values())
        return counted and len(self.active()) == 1

    def settled(self) -> bool:
        """In sync, both logs equal and committed to the end, nothing under way."""
        replicas = [node.replica for node in self.nodes.values()]
        ends = {(one.node.chain.head, one.node.commit_seq, one.node.fold.seq) for one in replicas if one is not None}
        busy = any(replica is None or replica.node.writing for replica in replicas)
        return self.in_sync() and not busy and len(ends) == 1 and all(head.seq == c == f for head, c, f in ends)

    def logs(self) -> dict[str, EventLog]:
        """Every node's disk."""
        return {name: node.log for name, node in self.nodes.items()}


def _between(draw: random.Random, low: int, high: int) -> int:
    return low + int(draw.random() * (high - low + 1))
