"""Which log a report is made from, and when its figures count as there."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodes.config.cluster import one_host
from nodes.datadir import initialise
from ops.exits import UNREACHABLE, Stopped
from ops.report import performance
from ops.report.reading import longest_log
from ops.report.runner import _cp7


def test_the_logs_of_other_machines_are_not_looked_for(tmp_path: Path) -> None:
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=20_000)
    initialise(config)
    a, b = (server.data for server in config.servers)
    shutil.rmtree(a)
    assert longest_log(config) == b
    shutil.rmtree(b)
    with pytest.raises(Stopped) as stopped:
        longest_log(config)
    assert stopped.value.exit_code == UNREACHABLE


@pytest.mark.parametrize(("status", "is_met"), [("ACCEPTED", True), ("DENIED", True), ("UNKNOWN", False)])
def test_a_table_of_requests_that_nobody_answered_is_not_filled(status: str, is_met: bool) -> None:
    programs = performance.FACULTIES * performance.FACULTIES
    told = [SimpleNamespace(term="t", status="ACCEPTED") for _ in range(programs - 1)]
    stage = SimpleNamespace(told=[*told, SimpleNamespace(term="t", status=status)])
    case = _cp7(cast(Any, stage), [cast(Any, SimpleNamespace(term="t", load=(7, 2)))])
    assert case.is_met is is_met
