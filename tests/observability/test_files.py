"""What is committed below grafana/: as the code writes it, complete, and sound to the tools that will read it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ops.dashboards.__main__ import generated
from ops.prometheus.alerts import ALERTS
from ops.prometheus.recording import RECORDINGS
from tests.observability.queries import BOARDS, GRAFANA, REPOSITORY, panels

PROMETHEUS = GRAFANA / "prometheus"
TOOL_LIMIT_S = 30
SECTIONS = ("What it means", "What users feel", "What to look at", "What to do", "When it is over")
ALERT_NAMES = (
    "NoPrimary", "TwoPrimaries", "DigestMismatch", "BackupMissing", "NothingCommits", "LagHigh", "WitnessMissing",
    "FailoverSlow", "FailoverFlapping", "FsyncSlow", "LatencySLO", "Overloaded", "LimitReached", "LabsExhausted",
    "ExpirySpike", "AuthRefusals", "StaleEpochWrites", "DiskFilling",
)  # fmt: skip


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return subprocess.run(
        [tool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False
    )


@pytest.mark.parametrize(("path", "text"), generated().items(), ids=str)
def test_what_is_generated_is_committed_as_the_code_writes_it(path: Path, text: str) -> None:
    assert (GRAFANA / path).read_text(encoding="utf-8") == text, "run `python -m ops.dashboards`"


@pytest.mark.parametrize("name", ["prometheus.yml", "recording.yml", "alerts.yml"])
def test_promtool_finds_nothing_wrong(name: str) -> None:
    checked = run("promtool", "check", "config" if name == "prometheus.yml" else "rules", name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout


def test_each_alert_fires_and_does_not_fire_as_promtool_tests_it() -> None:
    tested = run("promtool", "test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", ALERT_NAMES)
def test_the_tests_of_the_rules_show_each_alert_firing_and_not_firing(alert: str) -> None:
    text = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    expected = re.findall(rf"- alertname: {alert}\n +eval_time: \w+\n +exp_alerts:(.*)\n", text)
    assert "" in expected, "firing"
    assert " []" in expected, "not firing"


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=critical", "alertname=NoPrimary"], "pager"),
        (["severity=warning", "alertname=LagHigh"], "mail"),
        (["severity=warning", "alertname=AuthRefusals"], "security"),
    ],
)
def test_the_example_of_routing_sends_each_severity_where_it_belongs(labels: list[str], receiver: str) -> None:
    checked = run("amtool", "check-config", "alertmanager.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    routed = run("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels)
    assert routed.stdout.split() == [receiver]


def test_the_alerts_are_these_each_with_a_runbook_section_of_five_parts() -> None:
    assert tuple(alert.name for alert in ALERTS) == ALERT_NAMES
    text = (REPOSITORY / "OPERATIONS.md").read_text(encoding="utf-8")
    for alert in ALERTS:
        section = re.search(rf"^### {alert.name}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
        assert section is not None, alert.name
        parts = re.findall(r"^\*\*(.*?)\.\*\*", section[1], re.MULTILINE)
        assert tuple(parts) == SECTIONS, alert.name
        assert alert.runbook == f"OPERATIONS.md#{alert.name.lower()}"


def test_every_recorded_series_is_explained() -> None:
    text = (REPOSITORY / "OPERATIONS.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+:[a-z0-9_:]+)` \| (.*) \|$", text, re.MULTILINE))
    assert rows == {rule.name: rule.means for rule in RECORDINGS}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_every_panel_explains_itself(board: Path) -> None:
    shown = panels(board)
    assert len(shown) > 15
    assert len({panel["title"] for panel in shown}) == len(shown)
    for panel in shown:
        defaults: dict[str, Any] = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 15, panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"], panel["title"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_role_changes_are_annotated_at_their_own_time(board: Path) -> None:
    document = json.loads(board.read_text(encoding="utf-8"))
    roles = next(one for one in document["annotations"]["list"] if one["name"] == "Role changes")
    assert roles["useValueForTime"] is True
    assert "rsm_role_changed_timestamp_seconds" in roles["expr"]


def test_the_roles_are_a_state_timeline_with_a_name_for_every_state() -> None:
    cluster = next(board for board in BOARDS if board.stem == "cluster")
    timeline = next(panel for panel in panels(cluster) if panel["title"] == "Servers")
    assert timeline["type"] == "state-timeline"
    assert set(timeline["fieldConfig"]["defaults"]["mappings"][0]["options"]) == {"-1", "0", "1", "2"}
