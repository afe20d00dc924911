"""A cluster that knows principals of every kind, and some whose keys were revoked while it ran."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from nodes.security.cluster_keys import ensure_keys
from nodes.security.keys import remove_allowed
from nodes.security.principals import principal
from ops.cluster_dir import log_directory, prepare
from tests.process.fixtures import clients, journal, term
from tests.process.running_cluster import RunningCluster, cluster, wait_for
from tests.process.verdict import Journal, check
from tests.security.visitors import Visitors

__all__ = ["clients", "journal", "running", "term", "visitors"]

FURTHER = ("server:c", "faculty:501", "faculty:502", "program:1/1", "operator:ana")
"""Who has keys beside those that a cluster has anyway."""

REVOKED = ("server:gone", "faculty:666", "program:1/66")
"""Who had some."""

SETTINGS = {"AULARIO_TIMING_PROFILE": "slow", "AULARIO_TIMING_ACK_TIMEOUT_MS": "600000"}
"""No pause of a busy machine is taken for a death, and no hold expires while a stranger is watched."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, journal: Journal) -> Iterator[RunningCluster]:
    """The module's cluster, with two faculties; in the end its logs must bear out what the clients saw."""
    directory = tmp_path_factory.mktemp("c") / "c"
    config = prepare(directory, faculties=2, overrides={})
    ensure_keys(config, map(principal, (*FURTHER, *REVOKED)))
    with cluster(directory, settings=SETTINGS) as started:
        for one in REVOKED:
            assert remove_allowed(config.keys, principal(one))
        wait_for(lambda: _all_know(started), "every process has read the keys again")
        started.wait_ready()
        yield started
        check(started, journal)


def _all_know(running: RunningCluster) -> bool:
    """Whether what each process last said of the keys is how many there are."""
    count = len(list((running.directory / "keys" / "allowed").glob("*.toml")))
    logs = [path for path in log_directory(running.directory).glob("*.log") if path.stem != "init"]
    return all(_last_count(path.read_text()) == count for path in logs)


def _last_count(said: str) -> int | None:
    changes = [line for line in said.splitlines() if '"keys changed"' in line]
    return json.loads(changes[-1])["allowed"] if changes else None


@pytest.fixture
def visitors(running: RunningCluster) -> Iterator[Visitors]:
    """Raw peers of the module's cluster, gone after the test."""
    made = Visitors(running)
    yield made
    made.close()
