"""I8 at the end of a schedule: every node's state is held against the fold of the log, wherever that state stands."""

from __future__ import annotations

from typing import Any

import pytest

from es.replication.replica import Replica
from es.replication.timing import Timing
from es.testing.checker import Violation
from es.testing.cluster import Cluster
from es.testing.faults import CALM
from es.testing.ledger import Credit, Ledger

CREDITS = 5


class Deaf:
    """A load that asks nothing of its own and does not listen."""

    commands = 0

    def start(self, cluster: Cluster) -> None: ...

    def stop(self) -> None: ...

    def idle(self) -> bool:
        return True

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None: ...

    def check(self, cluster: Cluster) -> None: ...


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(3, lambda: [Ledger()], Deaf(), Timing(), CALM)
    made.run_for(1_000_000)
    for number in range(CREDITS):
        made.request("a", "w", "ledger", Credit(f"credit {number}", 1))
        made.run_for(100_000)
    made.run_until(made.settled, 1_000_000, "equal logs")
    return made


def replicas_of(cluster: Cluster) -> dict[str, Replica]:
    return {name: node.replica for name, node in cluster.nodes.items() if node.replica is not None}


def put_back(replica: Replica, batches: int) -> None:
    """Its state stands so many batches before the end of its log."""
    node = replica.node
    node.fold = node.fold.fresh()
    for batch in list(node.chain.log.batches())[:-batches]:
        node.fold.apply(batch)


def tamper(replica: Replica) -> None:
    ledger = replica.node.fold.machines["ledger"]
    assert isinstance(ledger, Ledger)
    ledger.total += 1


@pytest.mark.parametrize("behind", [None, "a", "b"])
def test_a_state_may_stand_anywhere_in_the_log(cluster: Cluster, behind: str | None) -> None:
    if behind is not None:
        put_back(replicas_of(cluster)[behind], 2)
    cluster.checker.on_end(cluster.logs(), replicas_of(cluster))


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("behind", [None, "a", "b"])
def test_a_state_that_is_not_the_logs_is_found_on_either_node(cluster: Cluster, name: str, behind: str | None) -> None:
    if behind is not None:
        put_back(replicas_of(cluster)[behind], 2)
    tamper(replicas_of(cluster)[name])
    with pytest.raises(Violation, match=f"I8: the state of {name} is not the fold of its log"):
        cluster.checker.on_end(cluster.logs(), replicas_of(cluster))
