"""A few of the links' topologies on a real cluster; all of them, again and again, are `python -m ops.prove.links`."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import pytest

from ops.prove.faults import Cut, Role
from ops.prove.series import run_series
from ops.prove.topologies import TOPOLOGIES, Expected

SEED = 20_251


@pytest.fixture(autouse=True)
def _kept_clusters_go(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a failed trial keeps is removed with the test's own files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("l")))


@pytest.mark.parametrize("name", ["primary-with-clients", "backup-to-primary", "loss-duplicates-jitter"])
def test_what_clients_were_told_stands_whatever_the_links_do(name: str) -> None:
    series = run_series(TOPOLOGIES[name], 1, "slow", SEED, loopback=False)
    if series.skipped:
        pytest.skip(series.skipped)
    assert series.failures == []
    (trial,) = series.trials
    assert trial.verdict.results > 0


def test_a_fault_that_is_not_what_it_says_is_found() -> None:
    """A control: the primary is cut off, and whoever expects nothing of it is told otherwise."""
    wrong = replace(TOPOLOGIES["primary-cut-off"], expected=Expected.UNDISTURBED)
    series = run_series(wrong, 1, "slow", SEED, loopback=True)
    assert any("epochs began" in failure.what for failure in series.failures)


def test_every_link_is_cut_each_way() -> None:
    cut = {
        (str(source), str(target))
        for topology in TOPOLOGIES.values()
        for fault in topology.faults
        if isinstance(fault, Cut)
        for source, target in fault.links
    }
    roles = (Role.PRIMARY, Role.BACKUP, Role.WITNESS)
    assert {(str(one), str(other)) for one in roles for other in roles if one != other} <= cut
