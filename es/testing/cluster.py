"""A virtual cluster: data nodes, a witness and clients in a simulated world, with disks that forget what was not
fsynced. The replicas and the witness are the production cores; only what is around them is simulated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from es.log.base import EventLog
from es.machine import Machine
from es.replication.data_node import PROMISED
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
from es.testing.disk import SimulatedDisk, StoredLog
from es.testing.faults import FaultProfile
from es.testing.rebuilding import Rebuilding
from es.testing.world import World, between

CLUSTER_ID = "simulated"
DISK_US = (200, 4_000)
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


class Cluster(World):
    """The processes of a world. A load that has a server's front of its own takes `on_answers` and `on_committed` over
    when it starts."""

    def __init__(
        self, seed: int, machines: Callable[[], Sequence[Machine]], load: Load, timing: Timing, faults: FaultProfile
    ) -> None:
        super().__init__(seed, faults)
        self.timing = timing
        self.machines = machines
        self.load = load
        self.checker = Checker()
        self.rebuilding = Rebuilding()
        self.on_answers: Callable[[SimulatedNode, Answers], None] = self._send_answers
        self.on_committed: Callable[[SimulatedNode, Committed], None] = lambda _node, _committed: None
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
        self._witness_draw = random.Random(f"witness {seed}")
        self.witness: Witness | None = Witness(self.register, timing, self.clock(WITNESS).boot_us, self.nodes)
        for node in self.nodes.values():
            self._boot(node)
        load.start(self)

    # -- messages

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
                self._save(effect.register, effects[done:])
                return
            if isinstance(effect, Halt):
                raise Violation("halt", f"the witness halted: {effect.code}: {effect.sentence}")
            self.send(WITNESS, effect.node, self._deliver, effect.message, WITNESS)

    def _save(self, register: Register, then: Sequence[WitnessEffect]) -> Saving:
        delay_us = self._disk_us(self._witness_draw)
        self._saving = saving = Saving(register, self.now_us + delay_us)
        self.after(delay_us, self._saved, saving, then)
        return saving

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
        delay_us = between(draw, *DISK_US)
        if draw.random() < self.faults.fsync_stall:
            self.counts["fsync stall"] += 1
            delay_us += between(draw, 1, self.faults.fsync_stall_ms_max) * 1000
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
        self.checker.on_batch(batch, self.read_us(node.name))
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
        else:
            self.rebuilding.on_commit([one.disk for one in self.nodes.values()], effect.batch)
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
