"""Fixtures of every test that runs a whole cluster. One cluster serves a module; each test has a term of its own.

A module says with `CLUSTER` how its cluster is started, and with `SETTINGS` in which environment.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.running_cluster import RunningCluster, cluster
from tests.process.verdict import Journal, check
from tests.process.wire_client import Clients, new_id, wire_clients
from tests.process.wire_keys import WireKeys

SLOW = ("--faculties", 2, "--profile", "slow")
"""Faculty 1 speaks async, faculty 2 lbb; no pause of a busy machine is taken for a death."""


@pytest.fixture(scope="module")
def journal() -> Journal:
    """What the module's clients saw."""
    return Journal()


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, journal: Journal
) -> Iterator[RunningCluster]:
    """The module's cluster; in the end its logs must bear out what the clients saw."""
    options = getattr(request.module, "CLUSTER", SLOW)
    settings = getattr(request.module, "SETTINGS", None)
    with cluster(tmp_path_factory.mktemp("c") / "c", *options, settings=settings) as started:
        yield started
        check(started, journal)


@pytest.fixture
def healed(running: RunningCluster) -> Iterator[RunningCluster]:
    """The module's cluster with everything in its place: what the test before had killed is back. What a
    test has frozen goes on afterwards, even if the test failed."""
    running.wait_ready()
    yield running
    running.thaw()


@pytest.fixture
def clients(running: RunningCluster) -> Iterator[Clients]:
    """Wire clients of the module's cluster, closed after the test."""
    with wire_clients(WireKeys(running)) as made:
        yield made


@pytest.fixture
def term() -> str:
    """A term nobody else uses: 380 classrooms and 60 labs."""
    return f"term-{new_id()[:8]}"
