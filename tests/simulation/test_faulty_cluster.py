"""What a faulty cluster does to its processes, seen from what they are given and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from es.replication.effects import Refusal
from es.replication.replica import Replica
from es.replication.timing import Timing
from es.replication.witness import Witness
from es.testing.cluster import Cluster
from es.testing.faults import CALM
from es.testing.faulty_cluster import READ_EVERY_US, REQUESTS, SOURCES, FaultyCluster
from es.testing.ledger import Credit, Ledger, Total

FROZEN_US = 200_000
LOOK_EVERY_US = 100
Ages = list[tuple[str, bool]]


class Silent:
    """A load that asks nothing of its own, and keeps what it is told."""

    def __init__(self) -> None:
        self.commands = 0
        self.told: list[Any] = []

    def start(self, cluster: Cluster) -> None: ...

    def stop(self) -> None: ...

    def idle(self) -> bool:
        return True

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        self.told.append((waiter, answer))

    def check(self, cluster: Cluster) -> None: ...


@pytest.fixture
def cluster() -> FaultyCluster:
    made = FaultyCluster(3, lambda: [Ledger()], Silent(), Timing(), CALM)
    made.run_for(1_000_000)
    assert made.active() == ["a"] and made.in_sync()
    return made


@pytest.fixture
def given(cluster: FaultyCluster, monkeypatch: pytest.MonkeyPatch) -> Ages:
    """What `a` takes, in order, and whether the reading it takes it with is as old as the freeze."""
    taken: Ages = []

    def watch(what: str) -> None:
        original: Callable[..., Any] = getattr(Replica, what)

        def watched(self: Replica, *arguments: Any) -> Any:
            if self is cluster.nodes["a"].replica:
                age_us = Cluster.clock(cluster, "a").boot_us - arguments[-1].boot_us
                taken.append((what, age_us >= FROZEN_US))
            return original(self, *arguments)

        monkeypatch.setattr(Replica, what, watched)

    for what in ("submit", "step", "persisted", "tick", "flush"):
        watch(what)
    return taken


def told(cluster: FaultyCluster) -> list[Any]:
    assert isinstance(cluster.load, Silent)
    return cluster.load.told


def test_requests_drained_after_a_freeze_get_the_time_before_it(cluster: FaultyCluster, given: Ages) -> None:
    cluster.freeze("a", FROZEN_US, [REQUESTS])
    cluster.request("a", "w", "ledger", Total())
    cluster.run_for(FROZEN_US)
    assert given == []
    cluster.run_for(1_000)
    assert given[0] == ("submit", True)
    assert {what for what, old in given[1:] if not old} >= {"tick", "step"}
    assert not any(old for _, old in given[1:])


def test_what_is_not_ready_waits_for_the_next_turn(cluster: FaultyCluster, given: Ages) -> None:
    cluster.freeze("a", FROZEN_US, [source for source in SOURCES if source != REQUESTS])
    cluster.request("a", "w", "ledger", Total())
    cluster.run_for(FROZEN_US + 1_000)
    assert ("submit", False) in given
    assert given.index(("tick", False)) < given.index(("submit", False))
    assert not any(old for _, old in given)


def test_a_pause_outside_a_turn_makes_nothing_old(cluster: FaultyCluster, given: Ages) -> None:
    cluster.freeze("a", FROZEN_US, [REQUESTS])
    cluster.pause("a", 2 * FROZEN_US)
    cluster.request("a", "w", "ledger", Total())
    cluster.run_for(3 * FROZEN_US)
    assert ("submit", False) in given
    assert not any(old for _, old in given)


def test_a_retired_node_is_started_by_healing_only(cluster: FaultyCluster) -> None:
    cluster.retire("b")
    cluster.restart("b")
    cluster.run_for(1_000_000)
    assert cluster.nodes["b"].replica is None
    cluster.heal()
    assert cluster.nodes["b"].replica is not None


def test_a_retired_node_can_be_brought_back(cluster: FaultyCluster) -> None:
    cluster.retire("b")
    cluster.bring_back("b")
    assert cluster.nodes["b"].replica is not None
    cluster.crash("b")
    cluster.restart("b")
    assert cluster.nodes["b"].replica is not None


def test_what_is_sent_to_a_paused_witness_waits(cluster: FaultyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    heard_at_us: list[int] = []
    step = Witness.step

    def watched(self: Witness, message: Any, now_us: int) -> Any:
        heard_at_us.append(cluster.now_us)
        return step(self, message, now_us)

    monkeypatch.setattr(Witness, "step", watched)
    witness, thaws_us = cluster.witness, cluster.now_us + FROZEN_US
    cluster.pause_witness(FROZEN_US)
    cluster.run_for(FROZEN_US + 5_000)
    assert cluster.witness is witness
    assert len([at_us for at_us in heard_at_us if at_us < thaws_us + 1_000]) >= 2 * (
        FROZEN_US // Timing().beacon_us - 1
    )
    assert min(heard_at_us) >= thaws_us


def test_a_swap_is_under_way_until_the_witness_has_saved_it(cluster: FaultyCluster) -> None:
    epoch = cluster.register.epoch
    cluster.crash("b")
    cluster.run_for(Timing().shrink_us - FROZEN_US // 2)
    cluster.pause_witness(FROZEN_US)
    assert not cluster.swap_under_way("a")
    cluster.run_for(FROZEN_US - 10_000)
    cluster.crash("a")
    assert (cluster.swap_under_way("a"), cluster.swap_under_way("b")) == (True, False)
    assert not cluster.saves_swap_of("a"), "it has not heard it yet"
    for _ in range(FROZEN_US // LOOK_EVERY_US):
        if cluster.saves_swap_of("a"):
            break
        cluster.run_for(LOOK_EVERY_US)
    assert cluster.saves_swap_of("a") and cluster.swap_under_way("a")
    cluster.run_until(lambda: not cluster.swap_under_way("a"), FROZEN_US, "the witness has saved it")
    assert cluster.register.epoch == epoch + 1
    assert cluster.register.in_sync == (cluster.nodes["a"].member,)


def test_a_swap_that_waits_too_long_at_a_paused_witness_is_none(cluster: FaultyCluster) -> None:
    register, frozen_us = cluster.register, 3 * Timing().grace_us
    cluster.crash("b")
    cluster.run_for(Timing().shrink_us - FROZEN_US)
    cluster.pause_witness(frozen_us)
    cluster.run_for(2 * FROZEN_US)
    cluster.crash("a")
    assert cluster.swap_under_way("a")
    cluster.run_until(lambda: not cluster.swap_under_way("a"), frozen_us, "the witness has heard it")
    assert cluster.register == register
    assert cluster.witness is not None
    assert cluster.witness.ignored["swap that waited"] > 0


def test_a_new_disk_is_not_in_sync_while_the_one_before_it_is_counted_in(cluster: FaultyCluster) -> None:
    cluster.crash("b")
    cluster.wipe("b")
    cluster.restart("b")
    assert cluster.active() == ["a"]
    assert len(cluster.register.in_sync) == 2
    assert not cluster.in_sync()
    cluster.run_until(cluster.in_sync, 2_000_000, "the new disk is counted in")
    assert cluster.nodes["b"].member in cluster.register.in_sync


def test_only_readers_reach_a_server_that_has_lost_its_clients(
    cluster: FaultyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[str, int]] = []
    monkeypatch.setattr(cluster.checker, "on_read", lambda *arguments: reads.append(arguments))
    cluster.leave_readers("a", FROZEN_US)
    cluster.request("a", "w", "ledger", Credit("x", 5))
    cluster.run_for(FROZEN_US)
    assert len(reads) == FROZEN_US // READ_EVERY_US
    assert told(cluster) == []
    cluster.request("a", "w", "ledger", Total())
    cluster.run_for(50_000)
    assert told(cluster) == [("w", 0)]


def test_nobody_else_hears_that_a_reader_was_refused(cluster: FaultyCluster) -> None:
    cluster.leave_readers("b", FROZEN_US)
    cluster.run_for(2 * FROZEN_US)
    assert told(cluster) == []
    cluster.request("b", "w", "ledger", Total())
    cluster.run_for(50_000)
    assert told(cluster) == [("w", Refusal("NOT_ACTIVE", "a"))]
