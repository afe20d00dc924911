"""`aulario drill` on a real cluster: the one object it prints, and nothing lost."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from ops import rolling_restart
from ops.prove.faults import Role
from tests.process.running_cluster import aulario, spawn, wait_for

PROMISES = ("lost", "duplicates", "unknown", "stale_results", "contradictions", "violations")


def test_a_partition_is_measured_and_nothing_is_lost() -> None:
    done = aulario("drill", "partition", "--seed", 7, "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: told[name] for name in PROMISES} == dict.fromkeys(PROMISES, 0)
    assert told["requests"] == told["results"] > 0
    assert told["logs_equal"] and told["failures"] == []
    assert told["detect_ms"] > 0 and told["first_reply_ms"] > 0
    assert told["promote_ms"] is not None


def test_servers_are_restarted_in_turn_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs whose faculty is restarted wait for 13 s: that is left to the drill."""
    monkeypatch.setattr(rolling_restart, "ORDER", (Role.BACKUP, Role.WITNESS, Role.PRIMARY))
    told, kept = rolling_restart.rolling_restart(1, 7)
    assert told["failures"] == [] and kept is None
    assert {name: told[name] for name in PROMISES} == dict.fromkeys(PROMISES, 0)
    assert told["requests"] == told["results"] > 0 and told["restarts"] == 3
    assert set(told["pauses"]) == {"backup", "witness", "primary"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_told_to_end_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    temporary, stderr = tmp_path / "temporary", tmp_path / "stderr"
    temporary.mkdir()
    process = spawn("drill", "kill-primary", "--cycles", 100, settings={"TMPDIR": str(temporary)}, stderr=stderr)
    with process:
        wait_for(lambda: list(temporary.glob("aulario-drill-*/run/processes.json")), "a cluster that is being started")
        process.send_signal(number)
        assert process.wait(60) == 130, stderr.read_text()
    assert list(temporary.iterdir()) == []


def test_a_freeze_too_short_to_be_taken_for_a_death_is_a_usage_error() -> None:
    done = aulario("drill", "freeze", "--for", 100)
    assert done.returncode == 2 and "--for" in done.stderr
