"""CPU and memory are those of the processes that were named, bounded however long it takes, in few lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.report import usage
from ops.report.over_time import over_time
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


def test_a_server_and_its_workers_are_one_line_and_so_are_all_faculties(tmp_path: Path) -> None:
    groups = over_time(a_report(tmp_path)["usage"], "cpu_percent")
    assert set(groups) == {"server-a", "faculties"}
    first, *between, last = (value for _, value in groups["server-a"])
    assert (first, set(between), last) == (60.0, {0.0}, 100.0)
    assert over_time([], "cpu_percent") == {}
