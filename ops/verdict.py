"""What clients saw against what the logs say, once a cluster is at rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from es.replication import events as kernel
from es.testing.real_time import stale
from nodes.clients.sustained_load import SustainedLoad
from nodes.config.cluster import ClusterConfig
from ops.audit import broken_rules, first_difference
from ops.log_reader import committed, opened
from ops.observe import observe

POLL_S = 0.005
DRAINED_WITHIN_S = 40.0
AT_REST_WITHIN_S = 30.0
SHOWN_MAX = 5


@dataclass(slots=True, frozen=True)
class Verdict:
    """The checker's findings, and what the cluster did meanwhile.

    requests, results   transactions that clients began, and those that ended
    lost                ACCEPTED results that do not stand in the log as they were told
    duplicates          rooms granted twice, or transactions decided twice
    unknown             transactions nobody ever answered
    stale_results       results that stand before what had ended when they were asked for
    contradictions      results told again otherwise, or refused as invalid
    violations          everything the checker objects to, in sentences
    epochs, expired     epochs begun and holds expired since the load began
    clock_anomalies     jumps of the primary's wall clock that it noted since then
    """

    requests: int
    statuses: Mapping[str, int]
    lost: int
    duplicates: int
    unknown: int
    stale_results: int
    contradictions: Sequence[str]
    violations: Sequence[str]
    logs_equal: bool
    epochs: Sequence[kernel.EpochStarted]
    expired: int
    clock_anomalies: int
    events: int

    @property
    def results(self) -> int:
        """Transactions that ended, each once."""
        return sum(self.statuses.values())

    def broken(self) -> list[str]:
        """One sentence for each promise that does not hold; empty is what everybody hopes for."""
        counts = {
            "lost": self.lost, "granted or decided twice": self.duplicates,
            "never answered": self.unknown, "stale": self.stale_results,
        }  # fmt: skip
        sentences = [f"{count} {what}" for what, count in counts.items() if count]
        if not self.logs_equal:
            sentences.append("the logs differ")
        return sentences + list(self.contradictions[:SHOWN_MAX]) + list(self.violations[:SHOWN_MAX])


def judge(config: ClusterConfig, loads: Sequence[SustainedLoad], began_seq: int) -> Verdict:
    """Hold the journals of drained loads against the logs of a cluster at rest.

    A cluster that looks healed may have a change of its register under way yet (a shrink that the witness hears of
    only now): its logs have the time of coming to rest to be equal in.
    """
    logs_equal = until(lambda: at_rest(config) and _logs_equal(config), AT_REST_WITHIN_S, loads)
    journals = [load.journal for load in loads]
    epochs: list[kernel.EpochStarted] = []
    others: Counter[str] = Counter()
    with opened(config.servers[0].data) as log:
        for batch in committed(log, began_seq + 1):
            for entry in batch.entries:
                others[entry.type] += 1
                if entry.application == kernel.APPLICATION:
                    event = kernel.read(entry)
                    if isinstance(event, kernel.EpochStarted):
                        epochs.append(event)
        violations = broken_rules(log, chain.from_iterable(journal.accepted for journal in journals))
        events = log.commit_seq()
    broken = Counter(violation.rule for violation in violations)
    return Verdict(
        requests=sum(journal.begun for journal in journals),
        statuses=sum((journal.statuses for journal in journals), Counter()),
        lost=broken["receipt"],
        duplicates=broken["double-grant"] + broken["one-outcome"],
        unknown=sum(load.in_flight for load in loads),
        stale_results=len(stale(chain.from_iterable(journal.spans for journal in journals))),
        contradictions=[sentence for journal in journals for sentence in journal.contradictions],
        violations=[f"seq {seq}: {rule}: {sentence}" for seq, rule, sentence in violations],
        logs_equal=logs_equal,
        epochs=epochs,
        expired=others["Expired"],
        clock_anomalies=others["ClockAnomaly"],
        events=events,
    )


def _logs_equal(config: ClusterConfig) -> bool:
    return first_difference(tuple(server.data for server in config.servers)) is None


def drain(config: ClusterConfig, loads: Sequence[SustainedLoad]) -> None:
    """Let every transaction end; return when they have, or their time is up, and the cluster is at rest."""
    for load in loads:
        load.drain()
    until(lambda: all(load.in_flight == 0 for load in loads), DRAINED_WITHIN_S, loads)
    epoch = epoch_of(config)
    until(lambda: at_rest(config, epoch), AT_REST_WITHIN_S, loads)


def until(fact: Callable[[], bool], within_s: float, loads: Sequence[SustainedLoad] = ()) -> bool:
    """Whether the fact came true in time. Raises what ended a load."""
    deadline_s = time.monotonic() + within_s
    while not fact():
        for load in loads:
            if load.failure is not None:
                raise load.failure
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def head_seq(config: ClusterConfig) -> int:
    """The last event of the first server's log."""
    with opened(config.servers[0].data) as log:
        return log.head().seq


def epoch_of(config: ClusterConfig) -> int:
    """The highest epoch that a server knows."""
    return max(server["epoch"] or 0 for server in observe(config)["servers"])


def at_rest(config: ClusterConfig, epoch: int = 0) -> bool:
    """Every server holds the same log, and knows that all of it is committed. `epoch` stands in it, of
    which the register knows before the log does."""
    ends = set()
    for server in config.servers:
        with opened(server.data) as log:
            ends.add((log.head(), log.commit_seq()))
    return len(ends) == 1 and all(head.seq == commit_seq and head.epoch >= epoch for head, commit_seq in ends)
