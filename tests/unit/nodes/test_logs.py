"""What a process writes while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from nodes import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_log_file_gets_one_json_object_a_line_with_what_was_bound(tmp_path: Path) -> None:
    path = tmp_path / "server_all.txt"
    with logs.configure(log_file=path, node="a", process="server"):
        logs.logger().info("ready", epoch=3, seq=17)
        logs.logger().warning("sin aulas", term="2025-2")
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert {key: first[key] for key in ("event", "level", "node", "process", "epoch", "seq")} == {
        "event": "ready", "level": "info", "node": "a", "process": "server", "epoch": 3, "seq": 17,
    }  # fmt: skip
    assert first["ts"].endswith("Z")
    assert second["level"] == "warning"


def test_a_level_silences_what_is_below_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logs.configure(level="warning", log_file=path):
        logs.logger().info("not this")
        logs.logger().error("this")
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["this"]


def test_logs_go_to_stderr_and_never_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(node="a")
    logs.logger().info("ready")
    out, err = capfd.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "ready"


def test_an_exception_is_in_the_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logs.configure(log_file=path):
        try:
            raise ValueError("why")
        except ValueError:
            logs.logger().error("failed", exc_info=True)
    (line,) = path.read_text().splitlines()
    assert "ValueError: why" in json.loads(line)["exception"]


def test_a_line_that_the_disk_does_not_take_stops_nobody() -> None:
    with logs.configure(log_file=Path("/dev/full")):
        logs.logger().warning("the disk is full")
