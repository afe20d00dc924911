"""CPU and memory are those of the processes that were named, bounded however long it takes, in few lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.report import usage
from ops.report.over_time import BINS, over_time
from ops.report.usage import UsageSampler
from tests.unit.report.a_run import a_report

BUSY = "print(flush=True)\nwhile True: pass"


def test_a_busy_process_and_one_that_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None
            busy.stdout.readline()
            sampler = UsageSampler(lambda: {"busy": busy.pid, "gone": 2**22 + 1, "us": os.getpid()}, every_s=0.01)
            while len(sampler._series.get("us workers", usage._Series()).at_us) < 5:
                os.sched_yield()
            sampled = {one.process: one for one in sampler.stop()}
        finally:
            busy.kill()
    assert {"busy", "us", "us workers"} == sampled.keys()
    assert max(sampled["busy"].cpu_percent) > 0
    assert min(sampled["busy"].resident_bytes) > 1_000_000
    assert list(sampled["busy"].at_us) == sorted(sampled["busy"].at_us)


def test_samples_are_thinned_instead_of_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "SAMPLES_MAX", 8)
    sampler = UsageSampler(lambda: {"us": os.getpid()}, every_s=0.001)
    while sampler._every_s < 0.004:
        os.sched_yield()
    [ours] = [one for one in sampler.stop() if one.process == "us"]
    assert len(ours.at_us) == len(ours.cpu_percent) == len(ours.resident_bytes) <= 9


def sampled(process: str, at_ms: list[int], value: float) -> dict[str, object]:
    """What a report says of a process that used the same all the time."""
    return {"process": process, "samples": len(at_ms), "began_us": 0, "at_ms": at_ms,
            "cpu_percent": [value] * len(at_ms)}  # fmt: skip


def test_a_server_and_its_workers_are_one_line_and_so_are_all_faculties(tmp_path: Path) -> None:
    groups = over_time(a_report(tmp_path)["usage"], "cpu_percent")
    assert list(groups) == ["server-a", "faculties"]
    assert [value for _, value in groups["server-a"]] == [(50.0 + 70.0) / 2 + (10.0 + 30.0) / 2]
    assert over_time([], "cpu_percent") == {}


@pytest.mark.parametrize("seconds", [1, 4, 12, 60])
def test_a_line_of_any_length_falls_nowhere_between_samples(seconds: int) -> None:
    at_ms = [103 * number + 19 * (number % 2) for number in range(10 * seconds)]  # a sampler is never quite on time
    groups = over_time([sampled("server-a", at_ms, 40.0), sampled("server-a workers", at_ms, 2.5)], "cpu_percent")
    assert {value for _, value in groups["server-a"]} == {42.5}
    assert 1 < len(groups["server-a"]) <= BINS + 1


def test_while_a_process_is_dead_its_line_has_a_gap() -> None:
    always, killed = [*range(0, 4_000, 100)], [*range(0, 1_000, 100), *range(3_000, 4_000, 100)]
    groups = over_time([sampled("server-a", killed, 30.0), sampled("witness", always, 1.0)], "cpu_percent")
    dead = [at_s for at_s, value in groups["server-a"] if value is None]
    assert dead and all(1 < at_s < 3 for at_s in dead)
    assert {value for at_s, value in groups["server-a"] if at_s not in dead} == {30.0}
    assert {value for _, value in groups["witness"]} == {1.0}
