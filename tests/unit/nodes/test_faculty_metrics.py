"""What Prometheus reads of a faculty."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from es.replication.instant import Instant
from nodes.faculty.core import FacultyCore, FacultySettings
from nodes.faculty.metrics import FacultyMetrics
from nodes.faculty.program_registry import ProgramRegistry
from nodes.wire.schema import ProgramRequest


def test_every_label_value_is_there_from_the_start_and_histograms_add_up() -> None:
    settings = FacultySettings(3, "Ingeniería", "2025-2", {}, 1, 1, 1)
    core = FacultyCore(settings, ProgramRegistry(), lambda: "t")
    metrics = FacultyMetrics(core, 3, "lbb", ("not_a_map",))
    registry = CollectorRegistry()
    registry.register(metrics)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    for leg in ("sol_prop", "ack_res", "sol_res", "program"):
        assert value("aulario_request_seconds_count", leg=leg, pattern="lbb") == 0
    for status in ("ACCEPTED", "DENIED", "CANCELED", "INVALID", "UNAVAILABLE", "UNKNOWN"):
        assert value("aulario_results_total", status=status, pattern="lbb", faculty="3") == 0
    assert value("rsm_ignored_total", why="not_a_map") == 0
    assert value("rsm_ignored_total", why="unknown_server") == 0
    for code in ("BUSY", "LIMIT_REACHED"):
        assert value("aulario_refusals_total", code=code) == 0
    for bound in ("programs", "in_flight"):
        assert value("aulario_bound_used_ratio", bound=bound) == 0
    assert value("aulario_inflight") == value("aulario_server_changes_total") == 0

    core.refusals["LIMIT_REACHED"] += 3
    core.on_request("r1", ProgramRequest("Sistemas", 7, 2, None, None), Instant(0, 0))
    assert value("aulario_refusals_total", code="LIMIT_REACHED") == 3
    assert value("aulario_bound_used_ratio", bound="programs") == 0.001

    for us in (400, 500, 501, 20_000_000):
        metrics.observe("sol_prop", us)
    labels = {"leg": "sol_prop", "pattern": "lbb"}
    assert value("aulario_request_seconds_bucket", le="0.0005", **labels) == 2
    assert value("aulario_request_seconds_bucket", le="0.001", **labels) == 3
    assert value("aulario_request_seconds_bucket", le="10.0", **labels) == 3
    assert value("aulario_request_seconds_bucket", le="+Inf", **labels) == 4
    assert value("aulario_request_seconds_sum", **labels) == 20.001401

    assert value("aulario_server_followed") == 0
    metrics.observe_outage("without_server", 550_000)
    assert value("aulario_outage_seconds_sum", phase="without_server") == 0.55
    assert value("aulario_outage_seconds_bucket", phase="without_server", le="0.5") == 0
    assert value("aulario_outage_seconds_bucket", phase="without_server", le="0.6") == 1
    assert value("aulario_outage_seconds_count", phase="first_result") == 0
    assert b"aulario_request_seconds" in generate_latest(registry)
