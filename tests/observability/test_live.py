"""A real Prometheus over a real cluster, through load and a failover: every query has an answer, and servers,
faculties, log and Prometheus tell the same story of the failover.

Skipped where `prometheus` is not installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from nodes.config.cluster import ClusterConfig
from ops.cluster_dir import read_processes
from ops.load import draw_shares, run_load
from tests.observability.queries import (
    REPOSITORY,
    Expression,
    alert_expressions,
    ask,
    numbers,
    panel_expressions,
    recording_expressions,
    the_value,
)
from tests.process.running_cluster import RunningCluster, aulario, cluster, metrics, wait_for

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

OPTIONS = ("--faculties", 2, "--profile", "slow", "--observe")
"""Faculty 1 speaks async, faculty 2 lbb; no pause of a busy machine is taken for a death."""

TOOL_LIMIT_S = 30
PHASES = ("detect", "promote", "first_reply")


class Observed(NamedTuple):
    """A cluster after load, a killed primary, and load again; all of it scraped by the Prometheus at `url`."""

    running: RunningCluster
    url: str
    survivor: dict[str, Any]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    with cluster(tmp_path_factory.mktemp("o") / "c", *OPTIONS) as running:
        url = running.ready["prometheus"]["url"]
        wait_for(lambda: numbers(url, "sum(up)") == [5], "a first scrape of every process")
        given = load(running.config, 1)
        await_results(url, given)
        running.kill(running.active()["pid"])
        survivor = running.active()
        given += load(running.config, 2)
        await_results(url, given)
        wait_for(lambda: numbers(url, 'ALERTS{alertname="BackupMissing"}'), "alerts that have seen it")
        timed = "cluster_phase:rsm_failover_seconds:mean10m > 0"
        wait_for(lambda: len(numbers(url, timed)) == len(PHASES), "rules that have seen every phase of it")
        prometheus = read_processes(running.directory)["prometheus"]
        yield Observed(running, url, survivor)
    assert not Path(f"/proc/{prometheus}").exists(), "it ends with the cluster"


def load(config: ClusterConfig, seed: int) -> int:
    """The reference load of two faculties; how many results came of it."""
    return sum(outcome.res is not None for outcome in run_load(config, draw_shares(config, seed)))


def await_results(url: str, given: int) -> None:
    counted = 'sum(aulario_results_total{job="aulario-faculty"})'
    wait_for(lambda: numbers(url, counted) == [given], f"{given} results in Prometheus: {numbers(url, counted)}")


def test_every_query_of_every_panel_and_rule_is_answered_with_numbers(observed: Observed) -> None:
    expressions = (*panel_expressions(), *recording_expressions())
    assert len(expressions) > 80
    wait_for(lambda: not empty(observed.url, expressions), f"numbers: {empty(observed.url, expressions)}")


def empty(url: str, expressions: tuple[Expression, ...]) -> list[str]:
    """Where a query gives no number."""
    return [where for where, expr in expressions if not numbers(url, expr)]


def test_every_alert_can_be_evaluated_and_says_what_it_means(observed: Observed) -> None:
    for _, expr in alert_expressions():
        ask(observed.url, expr)
    with urlopen(f"{observed.url}/api/v1/rules", timeout=TOOL_LIMIT_S) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}, [rule.get("lastError") for rule in rules]
    firing = {rule["name"] for rule in rules for alert in rule.get("alerts", ()) if alert["state"] == "firing"}
    assert not firing & {"NoPrimary", "TwoPrimaries", "DigestMismatch", "WitnessMissing", "AuthRefusals"}
    said = [text for rule in rules for alert in rule.get("alerts", ()) for text in alert["annotations"].values()]
    assert any(text.startswith("Copies left in cluster") for text in said)
    assert not [text for text in said if "error" in text or "<no value>" in text]


def test_promtool_finds_nothing_wrong_with_what_processes_expose(observed: Observed) -> None:
    for http in endpoints(observed):
        with urlopen(f"{http}/metrics", timeout=TOOL_LIMIT_S) as answer:
            text = answer.read()
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=TOOL_LIMIT_S, check=False
        )
        assert checked.returncode == 0, checked.stderr.decode()


def test_every_metric_is_documented_and_every_documented_one_exists(observed: Observed) -> None:
    exposed = set()
    for http in endpoints(observed):
        for sample in metrics(http):
            exposed.add(re.sub(r"(_bucket|_count|_sum)$", "", sample.partition("{")[0]))
    own = {name for name in exposed if name.startswith(("rsm_", "aulario_"))}
    text = (REPOSITORY / "OPERATIONS.md").read_text(encoding="utf-8")
    assert own == set(re.findall(r"^\| `((?:rsm|aulario)_[a-z_]+)`", text, re.MULTILINE))


def endpoints(observed: Observed) -> list[str]:
    """One process of each kind."""
    ready = observed.running.ready
    return [observed.survivor["http"], ready["witness"]["http"], ready["faculties"][0]["http"]]


def test_servers_faculties_log_and_prometheus_agree_on_how_long_the_failover_took(observed: Observed) -> None:
    server = metrics(observed.survivor["http"])
    assert [server[f'rsm_failover_seconds_count{{phase="{phase}"}}'] for phase in PHASES] == [1, 1, 1]
    took_s = {phase: server[f'rsm_failover_seconds_sum{{phase="{phase}"}}'] for phase in PHASES}

    for phase in PHASES:  # Prometheus: what was scraped, and what is recorded of it
        scraped = f'rsm_failover_seconds_sum{{phase="{phase}"}} and on (instance) rsm_role{{role="primary"}} == 1'
        assert the_value(observed.url, scraped) == took_s[phase]
        recorded = the_value(observed.url, f'cluster_phase:rsm_failover_seconds:mean10m{{phase="{phase}"}}')
        assert recorded == pytest.approx(took_s[phase])

    exported = aulario("log", "export", observed.survivor["data"]).stdout.splitlines()
    began = [event["body"] for event in map(json.loads, exported) if event["type"] == "EpochStarted"]
    (log,) = (body for body in began if body["cause"] == "failover")
    assert log["silence_ms"] == int(took_s["detect"] * 1_000)
    assert log["promote_ms"] <= took_s["promote"] * 1_000, "the log's ends with the first batch, not with its commit"

    # Faculties hear beats, servers beacons, each at an interval; a longer pause than `stall` would be a fault itself.
    timing = observed.running.config.timing
    resolution_s = (timing.hb_interval_ms + timing.beacon_ms + timing.stall_ms) / 1_000
    for faculty in observed.running.ready["faculties"]:
        seen = metrics(faculty["http"])
        assert seen['aulario_outage_seconds_count{phase="without_server"}'] == 1
        without_s = seen['aulario_outage_seconds_sum{phase="without_server"}']
        assert abs(without_s - (took_s["detect"] + took_s["promote"])) <= resolution_s
        assert seen['aulario_outage_seconds_count{phase="first_result"}'] == 1
        assert seen["aulario_server_changes_total"] == 1
