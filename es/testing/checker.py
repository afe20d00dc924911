"""The invariants I1–I8 of replication, and R13, checked on what nodes do and clients see. I9 is the application's.

Everything is taken from outside: effects, logs and answers. A violation stops the run at once, so that
its schedule is as short as it can be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from es.codec import Batch
from es.log.base import EventLog
from es.replication.events import APPLICATION, OutageExtended, read
from es.replication.fold import Fold
from es.replication.replica import Replica
from es.testing.history import check_history


class Violation(AssertionError):
    """An invariant does not hold. `name` is I1 … I9, a rule or `liveness`."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name


class Checker:
    """Watches one cluster."""

    def __init__(self) -> None:
        self.primary_of: dict[int, str] = {}
        self.promised_of: dict[str, int] = {}
        self.counted_on: dict[str, int] = {}
        """Up to where the primary knows that a node held the log which has forgotten since."""
        self.committed: dict[int, Batch] = {}
        self.committed_seq = 0
        self._committed_from: dict[int, bytes] = {}
        self.born: dict[tuple[int, int], bytes] = {}
        self.born_us: dict[bytes, int] = {}
        self.acknowledged_seq = 0
        self.promises: dict[int, bytes] = {}

    def on_promise(self, node: str, promised: int) -> None:
        """I3: what a node will follow never falls below what it ever made durable, not across a restart either."""
        floor = self.promised_of.get(node, 0)
        if promised < floor:
            raise Violation("I3", f"{node} follows epoch {promised} after it promised {floor}")

    def on_durable_promise(self, node: str, promised: int) -> None:
        """A node's promise is on its disk."""
        self.promised_of[node] = max(promised, self.promised_of.get(node, 0))

    def forget_promise(self, node: str) -> None:
        """A node's disk was replaced, or has forgotten."""
        self.promised_of.pop(node, None)

    def on_repair(self, node: str, after_seq: int) -> None:
        """R2: a node that has forgotten what its primary counted there is found out, never filled up."""
        if after_seq < self.counted_on.get(node, 0):
            raise Violation("R2", f"{node} has forgotten committed events after seq {after_seq} and is filled up")

    def on_primary(self, node: str, epoch: int, replica: Replica) -> None:
        """I1: one primary per epoch. I4: whatever was committed stands on every later primary."""
        if self.primary_of.setdefault(epoch, node) != node:
            raise Violation("I1", f"{self.primary_of[epoch]} and {node} both lead epoch {epoch}")
        for seq in self._to_compare(replica):
            if replica.node.chain.hash_at(seq) != self.committed[seq].hash:
                raise Violation("I4", f"{node} leads epoch {epoch} without committed seq {seq}")

    def _to_compare(self, replica: Replica) -> Iterable[int]:
        """Chains are hash chains: equal at the last committed batch is equal everywhere before."""
        return [self.committed_seq] if self.committed else []

    def on_batch(self, batch: Batch, read_us: int) -> None:
        """I2: (epoch, seq) names one batch for ever. `born_us` keeps by its hash when the clock was read that it was
        sealed by: in real time, which is before a freeze that came between the two."""
        self.born_us.setdefault(batch.hash, read_us)
        if self.born.setdefault((batch.epoch, batch.first_seq), batch.hash) != batch.hash:
            raise Violation("I2", f"two batches are (epoch {batch.epoch}, seq {batch.first_seq})")

    def on_committed(self, node: str, batches: Iterable[Batch]) -> None:
        """I2, I4: one history is committed, whoever says so."""
        for batch in batches:
            last_seq = batch.last_seq
            self.committed.setdefault(last_seq, batch)
            self.committed_seq = max(self.committed_seq, last_seq)
            if self._committed_from.setdefault(batch.first_seq, batch.hash) != batch.hash:
                raise Violation("I4", f"{node} commits another batch at seq {batch.first_seq}")

    def on_answer(self, seq: int | None, hash_: bytes | None) -> None:
        """I5: what an answer reports stands in the log for ever."""
        if seq is None:
            return
        if hash_ is None:
            raise Violation("I5", f"seq {seq} was acknowledged but is not in the log")
        if self.promises.setdefault(seq, hash_) != hash_:
            raise Violation("I5", f"seq {seq} was acknowledged with two hashes")
        self.acknowledged_seq = max(self.acknowledged_seq, seq)

    def on_copies(self, node: str, copies: int, needed: int, holders: int) -> None:
        """I5: an answer names as many copies as nodes are known to hold durably what it speaks for: no fewer than
        were `needed` for it, no more than disks that do hold it."""
        if not needed <= copies <= holders:
            raise Violation("I5", f"{node} speaks of {copies} copies: {needed} are needed, {holders} disks hold them")

    def on_read(self, node: str, commit_seq: int) -> None:
        """I6: no answer from a state older than what some client has already seen."""
        if commit_seq < self.acknowledged_seq:
            raise Violation("I6", f"{node} read at {commit_seq} after {self.acknowledged_seq} was acknowledged")

    def on_process_end(self, node: str, replica: Replica) -> None:
        """What nodes say to each other is never malformed."""
        if replica.node.ignored["malformed"]:
            raise Violation("wire", f"{node} has ignored a message of its peer as malformed")

    def on_end(self, logs: dict[str, EventLog], replicas: dict[str, Replica]) -> None:
        """I4, I5, I7, I8, R13 on the healed cluster."""
        histories = {name: [batch.data for batch in log.batches()] for name, log in logs.items()}
        first, *others = histories.values()
        if any(other != first for other in others):
            raise Violation("I7", "the logs differ after healing")
        log = next(iter(logs.values()))
        for broken in check_history(log.batches()):
            raise Violation("I1" if broken.rule == "epoch" else "I2", f"seq {broken.seq}: {broken.sentence}")
        hashes = {seq: batch.hash for batch in log.batches() for seq in (batch.last_seq,)}
        for last_seq, batch in self.committed.items():
            if hashes.get(last_seq) != batch.hash:
                raise Violation("I4", f"committed seq {last_seq} is not in the log")
        for seq, hash_ in self.promises.items():
            batch_at = log.batch_at(seq)
            if batch_at is None or batch_at.hash != hash_:
                raise Violation("I5", f"acknowledged seq {seq} is not in the log")
        for name, replica in replicas.items():
            self.on_process_end(name, replica)
        self._check_time(log)
        self._refold(replicas, log)

    def _check_time(self, log: EventLog) -> None:
        """R13: from one batch to a later one the log's time passes no faster than real time, but for what it says that
        deadlines were moved by, and for the microsecond that each batch is later than the one before it at least. The
        time that a batch bears was not read before the one was that the batch before it was sealed by."""
        slowest_us: float = math.inf
        extended_us = before_us = 0
        for number, batch in enumerate(log.batches()):
            read_us = self.born_us[batch.hash]
            events = (read(entry) for entry in batch.entries if entry.application == APPLICATION)
            extended_us += sum(event.by_us for event in events if isinstance(event, OutageExtended))
            passed_us = batch.ts_us - extended_us - number
            if (ahead_us := passed_us - read_us - slowest_us) > 0:
                raise Violation("R13", f"at seq {batch.first_seq} the log's time is {ahead_us / 1_000} ms ahead")
            slowest_us = min(slowest_us, passed_us - before_us)
            before_us = read_us

    def _refold(self, replicas: dict[str, Replica], log: EventLog) -> None:
        """I8: the state is a function of the log alone. One fold goes through it and stops wherever a live one is."""
        if not replicas:
            return
        fold = next(iter(replicas.values())).node.fold.fresh()
        for name, replica in sorted(replicas.items(), key=lambda one: one[1].node.fold.seq):
            live: Fold = replica.node.fold
            for batch in log.batches(fold.seq + 1):
                if batch.last_seq > live.seq:
                    break
                fold.apply(batch)
            for machine in live.machines:
                if fold.machines[machine].to_plain() != live.machines[machine].to_plain():
                    raise Violation("I8", f"the state of {name} is not the fold of its log")
