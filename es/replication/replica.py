"""A data node's protocol as a pure machine: messages, ticks and finished writes in, effects out.

    replica = Replica(log, machines, timing, now)
    refusal = replica.submit(waiter, application, command, now)     requests, any number
    effects = replica.step(message, sender, now)                    a message of a peer or the witness
    effects = replica.persisted(serial, now)                        a write is durable
    effects = replica.tick(now)                                     at the latest at `deadline()`
    effects = replica.flush(now)                                    after the requests of one turn

Roles and the moves between them stand in transitions.py; the primary's part in leading.py, the backup's
in following.py. Here is who leads: what is learnt of the register, promises and claims (R5, R6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from es.errors import RemoteProtocolError
from es.log.base import EventLog
from es.machine import Machine, UnknownEvent
from es.replication.data_node import DataNode
from es.replication.effects import Effect, Halt, Refusal, RoleChanged
from es.replication.following import Following
from es.replication.instant import Instant
from es.replication.leading import Leading
from es.replication.messages import (
    Ack,
    Batches,
    Beacon,
    BeaconAck,
    Fetch,
    Frame,
    Granted,
    Heartbeat,
    Message,
    Mismatch,
    Outdated,
    Prevote,
    Register,
    Registered,
    RolledBack,
    members,
)
from es.replication.timing import Timing
from es.replication.transitions import TRANSITIONS, Role

SECOND_REGISTER: Final = (
    "the witness has another register of epoch {epoch} than this node: it was put back from an older copy and granted "
    "that epoch twice; keep every data directory as it is, and compare the logs"
)


class Promotion(NamedTuple):
    """Why a node leads, or tried to last: `cause` as in EpochStarted, `silence_us` for how long no beacon had come
    when it acted, `began_us` the boot time at which it did (R5)."""

    cause: str
    silence_us: int
    began_us: int


class Replica:
    """One data node. Every public method is given the clocks' reading; none looks at a clock itself."""

    def __init__(self, log: EventLog, machines: Sequence[Machine], timing: Timing, now: Instant) -> None:
        self.node = DataNode(log, machines, timing, now)
        self.role = Role.FOLLOWING
        self.leading: Leading | None = None
        self.following: Following | None = Following(self.node, now.boot_us)
        self.started_us, self.started_wall_us = now
        self._next_heartbeat_us = now.boot_us
        self._unanswered = 0
        self._hinted = False
        self._asked_us = -(1 << 62)
        self._claimed_us = -(1 << 62)
        self._promise_serial = 0
        self._cause = "start"
        self._silence_us = 0
        self._promoting_us = now.boot_us

    # -- what the shell may ask

    @property
    def active(self) -> bool:
        """True if this node serves: it leads and its epoch's first batch has committed."""
        return self.role is Role.LEADING

    @property
    def promotion(self) -> Promotion:
        """The last attempt to lead; the start of this process if there was none."""
        return Promotion(self._cause, self._silence_us, self._promoting_us)

    @property
    def lag_events(self) -> int:
        """Events this node is behind what the primary said it has; 0 on the primary."""
        following = self.following
        return 0 if following is None else max(0, following.primary_head_seq - self.node.chain.head.seq)

    def lag_us(self, now: Instant) -> int:
        """For how long this node has been behind; 0 on the primary."""
        following = self.following
        return 0 if following is None or self.lag_events == 0 else max(0, now.boot_us - following.level_us)

    def uncommitted_us(self, now: Instant) -> int:
        """For how long the oldest batch of a primary has waited for its commit; 0 if none does, or on a backup. From
        any thread."""
        leading = self.leading
        try:
            return 0 if leading is None else max(0, now.boot_us - leading.flights[0].sealed_us)
        except IndexError:
            return 0

    def waits_for(self, now: Instant) -> str | None:
        """Why this node neither leads nor follows anybody alive, in one sentence; None if it does."""
        node, following = self.node, self.following
        if following is None or (following.primary and following.silent_us(now.boot_us) < node.timing.grace_us):
            return None
        register = node.register
        if register is None:
            return "the witness has not answered yet"
        if node.me in register.in_sync:
            return "the witness has not agreed to a new primary yet"
        names = [member.node for member in register.in_sync]
        if node.me.node in names:
            return "the register counts in another data directory of this node: this one was made anew and may not lead"
        return f"only what is in sync may lead, and that is {' and '.join(names)}: bring it back"

    @property
    def _opening(self) -> bool:
        """The register is ours, but our state does not stand at our head yet."""
        return self.role is Role.OPENING and self.leading is None

    def speaks(self, now: Instant) -> bool:
        """R9: false while the disk hangs; then no heartbeat of any kind may leave this node."""
        return self.role is not Role.HALTED and not self.node.stalled(now.boot_us)

    def deadline(self, now: Instant) -> int:
        """Boot time (µs) at which `tick` must be called at the latest."""
        due_us = self._next_heartbeat_us
        if self.leading is not None:
            due_us = min(due_us, self.leading.next_due_us(now.boot_us))
        return now.boot_us if self.node.lagging or self._opening else due_us

    # -- inputs

    def submit(self, waiter: Any, application: str, command: Any, now: Instant) -> Refusal | Any | None:
        """Take a client's request. None: the answer comes as an effect, or never if the role is lost.
        Otherwise a refusal, the kernel's or the application's: nothing was done."""
        if self.leading is None or self.role is Role.HALTED:
            register = self.node.register
            leader = register.primary.node if register is not None and register.primary != self.node.me else None
            return Refusal("NOT_ACTIVE", leader)
        return self.leading.submit(waiter, application, command, now)

    def flush(self, now: Instant) -> list[Effect]:
        """End of a turn: what was submitted goes on its way."""
        if self.leading is not None:
            self.leading.flush(now)
        return self._effects()

    def persisted(self, serial: int, now: Instant) -> list[Effect]:
        """Every `Persist` up to `serial` is durable."""
        self.node.persisted(serial)
        if self.role is Role.PROMISING and serial >= self._promise_serial:
            self._claim("the promise is durable", now)
        try:
            if self.leading is not None:
                self.leading.on_persisted(now)
                self._serve()
            elif self.following is not None:
                self.following.on_persisted(now.boot_us)
        except UnknownEvent as error:
            self._halt_at(error)
        return self._effects()

    def stop(self, now: Instant) -> list[Effect]:
        """The process ends in good order: how far the log is committed is written down, for whoever reads it then."""
        if self.role is not Role.HALTED:
            self.node.save_commit(now.boot_us)
        return self._effects()

    def step(self, message: Message, sender: str, now: Instant) -> list[Effect]:
        """Take a message of the node `sender`, or of WITNESS. Whatever does not fit is ignored by name."""
        if self.role is Role.HALTED:
            return []
        try:
            self._dispatch(message, sender, now)
        except RemoteProtocolError:
            self.node.ignore("malformed")
        except UnknownEvent as error:
            self._halt_at(error)
        return self._effects()

    def tick(self, now: Instant) -> list[Effect]:
        """What time alone brings."""
        if self.role is Role.HALTED:
            return []
        now_us = now.boot_us
        if now_us >= self._next_heartbeat_us:
            self._next_heartbeat_us = now_us + self.node.timing.beacon_us
            self._hinted = False
            self._unanswered += 1
            self._beat(now)
        try:
            if self._opening:
                self._open(now)
            elif self.leading is not None:
                self.leading.tick(now)
                self._serve()
            elif self.following is not None:
                self.following.tick(now_us)
                self._seek(now)
        except UnknownEvent as error:
            self._halt_at(error)
        return self._effects()

    # -- messages

    def _dispatch(self, message: Message, sender: str, now: Instant) -> None:
        match message:
            case Registered(register):
                if self._ours(register.cluster_id):
                    self._on_registered(message, now)
            case Outdated(cluster_id, epoch):
                if self._ours(cluster_id):
                    self.node.ignore("outdated")
                    self._hint(epoch, now)
            case Beacon(register):
                if self._ours(register.cluster_id):
                    self._on_beacon(message, sender, now)
            case Frame(cluster_id, epoch):
                if self._ours(cluster_id) and (following := self._follows(epoch, sender)):
                    following.on_frame(message, now.boot_us)
            case Batches(cluster_id, epoch):
                if self._ours(cluster_id) and (following := self._follows(epoch, sender)):
                    following.on_batches(message, now.boot_us)
            case Mismatch(cluster_id, epoch):
                if self._ours(cluster_id) and (following := self._follows(epoch, sender)):
                    following.on_mismatch(message, now.boot_us)
            case RolledBack(cluster_id, epoch):
                if self._ours(cluster_id) and self._follows(epoch, sender):
                    self._on_rolled_back(message)
            case Ack(cluster_id, epoch) | BeaconAck(cluster_id, epoch) | Fetch(cluster_id, epoch):
                if self._ours(cluster_id) and (leading := self._leads(epoch)):
                    self._on_follower(leading, message, now)
            case Granted():
                if self._ours(message.cluster_id):
                    self._on_granted(message, now)
            case _:
                self.node.ignore("not for a data node")

    def _ours(self, cluster_id: str) -> bool:
        if cluster_id != self.node.cluster_id:
            self.node.ignore("another cluster")
            return False
        return True

    def _follows(self, epoch: int, sender: str) -> Following | None:
        """R2: nothing of an epoch below `promised` counts, answers to FETCH included, and only its primary says what
        is in an epoch."""
        if epoch < self.node.promised:
            self.node.ignore("stale epoch")
        elif epoch > self.node.epoch:
            self.node.ignore("epoch not known yet")
        elif self.following is None or self.following.primary is None:
            self.node.ignore("not following")
        elif sender != self.following.primary:
            self.node.ignore("not from the primary")
        else:
            return self.following
        return None

    def _leads(self, epoch: int) -> Leading | None:
        """R1: an acknowledgement counts in its own epoch only."""
        if self.leading is None:
            self.node.ignore("not leading")
        elif epoch != self.node.epoch:
            self.node.ignore("stale epoch" if epoch < self.node.epoch else "epoch not known yet")
        else:
            return self.leading
        return None

    def _on_follower(self, leading: Leading, message: Message, now: Instant) -> None:
        match message:
            case Ack():
                leading.on_ack(message, now)
            case BeaconAck():
                leading.on_beacon_ack(message, now)
            case Fetch():
                leading.on_fetch(message)
        self._serve()

    def _on_beacon(self, beacon: Beacon, sender: str, now: Instant) -> None:
        node, register = self.node, beacon.register
        if sender != register.primary.node:
            node.ignore("not from the primary")
            return
        if register.epoch < node.promised:
            node.ignore("stale epoch")
            if register.epoch < node.epoch:
                node.tell(sender, Outdated(node.cluster_id, node.epoch))
            return
        if register.epoch > node.epoch and not self._believes(sender, now):
            node.ignore("epoch not confirmed yet")
            self._hint(register.epoch, now)
            return
        self._learn(register, now)
        if register != node.register:
            node.ignore("another register")
            return
        following = self._follows(register.epoch, sender)
        if following is not None:
            following.on_beacon(beacon, now.boot_us)

    def _believes(self, sender: str, now: Instant) -> bool:
        """R15: whether a node may name itself primary of a newer epoch with no word of the witness, who has left
        heartbeats unanswered for `grace` (which does not pass while this process is frozen). Then a follower goes on
        with its primary, or follows anybody once that is silent, too. Whom the register names as primary waits for the
        witness: without it nobody counts it in anyway."""
        node, following = self.node, self.following
        if following is None or (node.register is not None and following.primary is None):
            return False
        grace_us = node.timing.grace_us
        is_led = sender == following.primary or following.silent_us(now.boot_us) >= grace_us
        return is_led and self._unanswered * node.timing.beacon_us > grace_us

    def _on_rolled_back(self, told: RolledBack) -> None:
        """R2: as a member of in_sync it could be made primary without what it was counted for."""
        if told.member == self.node.me and told.seq > self.node.chain.durable.seq:
            self._halt("ROLLED_BACK", f"this disk acknowledged up to {told.seq} and has forgotten part of it")
        else:
            self.node.ignore("rolled back no longer")

    # -- who leads

    def _beat(self, now: Instant) -> None:
        """Tell the witness that this node lives; it answers with the register."""
        if self.speaks(now):
            self.node.tell_witness(Heartbeat(self.node.cluster_id, self.node.epoch, self.node.me))

    def _hint(self, epoch: int, now: Instant) -> None:
        """R15: a peer says that there is a newer epoch. Ask the witness at once, but once a heartbeat at most."""
        if epoch > self.node.epoch and not self._hinted:
            self._hinted = True
            self._beat(now)

    def _on_registered(self, registered: Registered, now: Instant) -> None:
        node = self.node
        is_first = node.witness_said_us is None
        register, known = registered.register, node.register
        if known is not None and register.epoch == known.epoch and register != known:
            self._halt("REGISTER_CONTRADICTED", SECOND_REGISTER.format(epoch=register.epoch))
            return
        self._unanswered = 0
        node.witness_said_us = registered.said_us
        self._learn(register, now)
        if is_first:
            self._seek(now)

    def _learn(self, register: Register, now: Instant) -> None:
        """Adopt a newer configuration, and the role that follows from it."""
        node = self.node
        if register.epoch <= node.epoch:
            return
        mine = register.primary == node.me and register.author == node.life and register.epoch == node.epoch + 1
        if mine and self.leading is not None:
            self.leading.on_register(register, now)
        elif mine and self.role is Role.CLAIMING:
            node.adopt(register, now.boot_us)
            self.following = None
            self._move("the register is ours")
            self._open(now)
        else:
            if self.role is not Role.FOLLOWING:
                self._move("another epoch began")
            self.leading = None
            node.drop_speculation()
            node.adopt(register, now.boot_us)
            self.following = Following(node, now.boot_us)

    def _seek(self, now: Instant) -> None:
        """R5 and R6: what a node that does not lead does when nobody seems to."""
        node, now_us, following = self.node, now.boot_us, self.following
        register = node.register
        if following is None or register is None or node.me not in register.in_sync or not self.speaks(now):
            return
        if node.witness_said_us is None:
            return
        if self.role is Role.CLAIMING:
            self._send_claim(now_us)
        elif self.role is Role.FOLLOWING and register.primary == node.me:
            self._cause, self._silence_us, self._promoting_us = "start", 0, now_us
            self._claim("the register names this node, which restarted", now)
        elif self.role is Role.FOLLOWING and following.silent_us(now_us) >= node.timing.grace_us:
            self._ask(now_us)

    def _ask(self, now_us: int) -> None:
        if now_us - self._asked_us >= self.node.timing.beacon_us:
            self._asked_us = now_us
            self.node.tell_witness(Prevote(self.node.cluster_id, self.node.epoch, self.node.me))

    def _on_granted(self, granted: Granted, now: Instant) -> None:
        node, following = self.node, self.following
        fits = granted.member == node.me and granted.epoch == node.epoch and node.witness_said_us is not None
        if self.role is not Role.FOLLOWING or following is None or not fits:
            node.ignore("grant not asked for")
            return
        silent_us = following.silent_us(now.boot_us)
        if silent_us < node.timing.grace_us:
            node.ignore("grant after the primary spoke")
            return
        self._cause, self._silence_us, self._promoting_us = "failover", silent_us, now.boot_us
        if node.promised > node.epoch:
            self._claim("the witness granted again what was promised before", now)
            return
        self._promise_serial = node.promise(node.epoch + 1, now.boot_us)
        self._move("the witness granted the prevote")

    def _claim(self, reason: str, now: Instant) -> None:
        self._move(reason)
        self._claimed_us = -(1 << 62)
        self._send_claim(now.boot_us)

    def _send_claim(self, now_us: int) -> None:
        """Repeated until a higher epoch is learnt: the witness may not have heard, or we its answer."""
        node = self.node
        if now_us - self._claimed_us >= 2 * node.timing.beacon_us:
            self._claimed_us = now_us
            node.swap(node.me, members(node.me))

    def _open(self, now: Instant) -> None:
        """Begin the epoch once the state stands at the head of our log, all of which we keep (R5)."""
        node = self.node
        if self.leading is None and node.fold_up_to(node.chain.head.seq):
            self.leading = Leading(node, now, self._cause, self._silence_us, self._promoting_us)

    def _serve(self) -> None:
        if self.role is Role.OPENING and self.leading is not None and self.leading.opened:
            self._move("the epoch's first batch has committed")

    def _move(self, reason: str) -> None:
        before, self.role = self.role, TRANSITIONS[self.role, reason]
        self.node.out.append(RoleChanged(before, self.role, self.node.epoch, reason))

    def _halt(self, code: str, sentence: str) -> None:
        self.node.out.append(Halt(code, sentence))

    def _halt_at(self, event: UnknownEvent) -> None:
        self._halt("UNKNOWN_EVENT", f"the log holds an event this program does not know: {event}")

    def _effects(self) -> list[Effect]:
        effects, self.node.out = self.node.out, []
        for effect in effects:
            if type(effect) is Halt and self.role is not Role.HALTED:
                self.role = TRANSITIONS[self.role, "it must not go on"]
                self.leading = self.following = None
        return effects
