"""A process is kept short of what it asks for and no longer than that; a few shortages on a real cluster. All of them,
again and again, are `python -m ops.prove.scarcity`."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ops.prove import scarcity, shortages
from ops.prove.faults import Role, Scene
from ops.prove.shortages import Resource, Shortage
from tests.process.running_cluster import wait_for

ASKED = """
import sys
held = []
for line in sys.stdin:
    try:
        held.append(open("/dev/null") if line == "descriptors\\n" else bytes(64 << 20))
        print("given", flush=True)
    except (OSError, MemoryError) as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def asker(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process of its own group that asks for what it is told to, in the place of the witness."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        monkeypatch.setattr(shortages, "pid_of", lambda scene, role: process.pid)
        monkeypatch.setattr(shortages, "SPARE_DESCRIPTORS_MAX", 0)
        assert given(process, "descriptors") == "given"  # it runs its loop
        yield process
        process.kill()


def given(process: subprocess.Popen[str], resource: str) -> str:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{resource}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def scene() -> Scene:
    return Scene(cast(Any, None), cast(Any, None), None, "a", "b", 1, random.Random(1))


@pytest.mark.parametrize(("resource", "refusal"), [(Resource.MEMORY, "MemoryError"), (Resource.DESCRIPTORS, "OSError")])
def test_there_is_none_while_it_lasts_and_some_again_afterwards(
    asker: subprocess.Popen[str], resource: Resource, refusal: str
) -> None:
    with Shortage(Role.WITNESS, resource).applied(scene()):
        assert given(asker, str(resource)) == refusal
    assert given(asker, str(resource)) == "given"


def test_a_throttled_process_stops_and_goes_on_by_turns_and_runs_afterwards(asker: subprocess.Popen[str]) -> None:
    with Shortage(Role.WITNESS, Resource.PROCESSOR).applied(scene()):
        for _ in range(2):
            wait_for(lambda: state(asker.pid) == "T", "its stop")
            wait_for(lambda: state(asker.pid) != "T", "its going on")
    assert state(asker.pid) != "T"
    assert given(asker, "memory") == "given"


@pytest.mark.parametrize(
    "case", [Shortage(Role.WITNESS, Resource.MEMORY), Shortage(Role.PRIMARY, Resource.DESCRIPTORS)]
)
def test_clients_are_served_whatever_a_process_is_short_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, case: Shortage
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("s")))
    monkeypatch.setattr(scarcity, "HOLD_MS", (2_000, 2_000))
    outcome = scarcity.scarcity(1, scarcity.CASES.index(case))
    assert outcome.failures == ()
    assert outcome.details["results"] > 0 and outcome.details["lost"] == outcome.details["unknown"] == 0


@pytest.mark.parametrize(
    ("ended", "during", "recover_ms", "said"),
    [(["it gave up"], 5, 1.0, "it was slow, and ended"), ([], 0, 1.0, "no result"), ([], 5, None, "normal pace")],
)
def test_what_a_shortage_must_not_do_is_said(
    ended: list[str], during: int, recover_ms: float | None, said: str
) -> None:
    case = Shortage(Role.PRIMARY, Resource.PROCESSOR)
    [sentence] = scarcity.unexpected(case, ended, during, recover_ms)
    assert said in sentence
