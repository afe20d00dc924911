"""A run that nobody ran: two loads of two rounds, a failover, cases, with durations that are easy to reckon with."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from nodes.config.cluster import ClusterConfig, FacultyName, one_host
from ops.report.facts import Case, Load, Round, Run, Step, Strike, Usage
from ops.report.figures import figures
from projections.timings import Recovery, RequestTimings, Told

PROGRAMS = ("Álgebra", "Física")
ASYNC, LBB = Load("async", 7, 2), Load("lbb", 10, 4)
LOADS = (ASYNC, LBB)
ROUNDS = tuple(
    Round(load, f"{load.pattern}-{number}", 1_000_000 * number, 1_000_000 * number + 500_000)
    for number in (1, 2) for load in LOADS
)  # fmt: skip
STRIKE = Strike("a", 1, 5_000_000, 5_450_000, ["struck-0"])
STEPS = (Step(10, "stress-10", 6_000_000, 6_500_000), Step(50, "stress-50", 7_000_000, 7_500_000))
CASES = (
    Case("CP3", True, "observed_CP3", {"labs": 60, "mobile": 0}),
    Case("CP6", False, "observed_CP6", {"found": 1, "results": 2, "violations": 0, "equal": False}),
    Case("CP11", None, "unencrypted"),
)
USAGE = (
    Usage("server-a", [100, 200_100], [50.0, 70.0], [40_000_000, 41_000_000]),
    Usage("server-a workers", [100, 200_100], [10.0, 30.0], [20_000_000, 20_000_000]),
    Usage("faculty-1", [100, 200_100], [5.0, 5.0], [30_000_000, 30_000_000]),
    Usage("faculty-2", [], [], []),
)
HOST = {"cores": 2, "machine": "x86_64", "kernel": "6.1", "python": "3.11"}
RUN = Run("2026-01-02T03:04:05+00:00", 12.5, 2, HOST, {"security": "none"}, ROUNDS, STRIKE, STEPS, CASES, USAGE)
RECOVERY = Recovery(2, "b", 40, 1, 410, 25, 3.5)
ROOMS = [
    {"term": "async-2", "name": "async 7+2",
     "classrooms": {"free": 340, "held": 7, "confirmed": 33, "mobile": 4},
     "labs": {"free": 50, "held": 2, "confirmed": 8, "mobile": 0}},
]  # fmt: skip


def config(directory: Path) -> ClusterConfig:
    names = {number: FacultyName(f"Facultad {number}", dict(enumerate(PROGRAMS, 1))) for number in (1, 2)}
    return one_host(directory, cluster_id="c", faculties=2, names=names)


def told(number: int, term: str, load: Load, status: str = "ACCEPTED") -> Told:
    """The n-th request: it took n ms at its program."""
    return Told(
        1 if load is ASYNC else 2, PROGRAMS[number % 2], str(UUID(int=number)), term, load.classrooms, load.labs,
        load.pattern, status, None, 2, 1, 4_990_000 + number, 1_000 * number,
    )  # fmt: skip


def everything_told() -> list[Told]:
    """Ten requests a round; the last one of every round is denied."""
    requests = [
        told(10 * place + number, one.term, one.load, "DENIED" if number == 9 else "ACCEPTED")
        for place, one in enumerate(ROUNDS) for number in range(10)
    ]  # fmt: skip
    requests += [told(100 + number, "struck-0", LOADS[number % 2]) for number in range(4)]
    requests.append(told(200, "stress-10-0", ASYNC))
    requests.append(told(201, "stress-10-0", ASYNC, "UNKNOWN"))
    return requests


def model() -> RequestTimings:
    """Every second ms of a request was spent at the server."""
    made = RequestTimings()
    for one in everything_told():
        made.tell(one)
    for request in made.requests.values():
        if request.status != "UNKNOWN":
            request.server_sol_res_us = (request.program_us or 0) // 2
    made.recoveries.append(RECOVERY)
    return made


def a_report(directory: Path, run: Run | None = RUN) -> dict[str, Any]:
    """The figures of the run, or of the same requests without one."""
    return figures(config(directory), model(), run, ROOMS)
