"""The figures of a report, as JSON can carry them, from the timings of requests and what the run knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from nodes.config.cluster import ClusterConfig
from ops.output import in_order
from ops.report.facts import Load, Run
from ops.report.statistics import nearest_rank, summarise
from projections.rooms.commands import ACCEPTED, CANCELED, DENIED, INVALID, UNAVAILABLE
from projections.timings import Request, RequestTimings

Plain = dict[str, Any]

LEGS: Final[Mapping[str, tuple[str, str]]] = {
    "server_sol_prop_us": ("server", "sol_prop"),
    "server_ack_res_us": ("server", "ack_res"),
    "server_sol_res_us": ("server", "sol_res"),
    "faculty_sol_prop_us": ("faculty", "sol_prop"),
    "faculty_ack_res_us": ("faculty", "ack_res"),
    "faculty_sol_res_us": ("faculty", "sol_res"),
    "faculty_us": ("faculty", "program"),
    "program_us": ("program", "program"),
}
"""Column of a request -> who measured it, and which leg it is."""

FORMAT: Final = 1


class Cell(NamedTuple):
    """Requests that belong together: a column of Table 3. `seconds` is how long they took, all rounds together."""

    load: Load | None
    pattern: str
    rounds: int
    seconds: float | None
    requests: Sequence[Request]


def figures(config: ClusterConfig, model: RequestTimings, run: Run | None, rooms: Sequence[Plain]) -> Plain:
    """Everything a report tells. Durations are in ms, moments of the timeline in ms after the kill."""
    requests = list(model.requests.values())
    cells = _cells_of_run(run, requests) if run is not None else _cells_by_pattern(requests)
    names = {faculty.id: faculty.name for faculty in config.faculties}
    return {
        "format": FORMAT,
        "cluster_id": config.cluster_id,
        "run": None if run is None else {
            "began": run.began, "seconds": run.seconds, "repeat": run.repeat,
            "host": dict(run.host), "settings": dict(run.settings),
        },
        "loads": [_told_of(cell) for cell in cells],
        "legs": [leg for cell in cells for leg in _legs(cell)],
        "programs": _programs(cells, names),
        "recoveries": [recovery._asdict() for recovery in model.recoveries],
        "strike": None if run is None else _strike(run, requests),
        "steps": [] if run is None else list(_steps(run, requests)),
        "cases": [] if run is None else [asdict(case) for case in run.cases],
        "usage": [] if run is None else [
            _usage(one.process, asdict(one)) for one in sorted(run.usage, key=lambda one: in_order(one.process))
        ],
        "rooms": list(rooms),
        "requests": {"kept": len(requests), "forgotten": model.forgotten},
    }  # fmt: skip


def _cells_of_run(run: Run, requests: Iterable[Request]) -> list[Cell]:
    by_term: dict[str, list[Request]] = {}
    for request in requests:
        by_term.setdefault(request.term or "", []).append(request)
    loads = list(dict.fromkeys(one.load for one in run.rounds))
    cells = []
    for load in loads:
        own = [one for one in run.rounds if one.load == load]
        seconds = sum(one.ended_us - one.began_us for one in own) / 1e6
        asked = [request for one in own for request in by_term.get(one.term, ())]
        cells.append(Cell(load, load.pattern, len(own), seconds, asked))
    return cells


def _cells_by_pattern(requests: Iterable[Request]) -> list[Cell]:
    """Of a cluster that no load was run on by this program: whatever was asked, by pattern."""
    by_pattern: dict[str, list[Request]] = {}
    for request in requests:
        if request.pattern is not None:
            by_pattern.setdefault(request.pattern, []).append(request)
    return [Cell(None, pattern, 1, None, own) for pattern, own in sorted(by_pattern.items())]


def _key(cell: Cell) -> Plain:
    return {
        "pattern": cell.pattern,
        "classrooms": cell.load.classrooms if cell.load else None,
        "labs": cell.load.labs if cell.load else None,
    }


def _told_of(cell: Cell) -> Plain:
    requests = cell.requests
    statuses = Counter(request.status for request in requests)
    satisfied = statuses[ACCEPTED]
    refused = statuses[UNAVAILABLE] + statuses[INVALID]
    waited = [request.program_us if request.program_us is not None else request.faculty_us for request in requests]
    return {
        **_key(cell),
        "rounds": cell.rounds,
        "requests": len(requests),
        "satisfied": satisfied,
        "unsatisfied": len(requests) - satisfied,
        "denied": statuses[DENIED],
        "canceled": statuses[CANCELED],
        "refused": refused,
        "unanswered": len(requests) - satisfied - statuses[DENIED] - statuses[CANCELED] - refused,
        "per_second": round(len(requests) / cell.seconds, 1) if cell.seconds else None,
        "server": _summary(request.server_sol_res_us for request in requests),
        "faculty": _summary(request.faculty_sol_res_us for request in requests),
        "program": _summary(waited),
        "seen_by": "program" if any(request.program_us is not None for request in requests) else "faculty",
        "distribution": {
            "server": _distribution(request.server_sol_res_us for request in requests),
            "program": _distribution(waited),
        },
    }


def _summary(durations_us: Iterable[int | None]) -> Plain | None:
    summary = summarise(durations_us)
    return None if summary is None else summary._asdict()


def _distribution(durations_us: Iterable[int | None]) -> list[float]:
    """The durations in ms that 1, 2 … 100 percent do not exceed."""
    ordered = sorted(us for us in durations_us if us is not None)
    return [nearest_rank(ordered, percent) / 1_000 for percent in range(1, 101)] if ordered else []


def _legs(cell: Cell) -> Iterator[Plain]:
    for column, (measured_by, leg) in LEGS.items():
        summary = _summary(getattr(request, column) for request in cell.requests)
        if summary is not None:
            yield {**_key(cell), "measured_by": measured_by, "leg": leg, **summary}


def _programs(cells: Sequence[Cell], names: Mapping[int, str]) -> list[Plain]:
    """Which requests of each program were satisfied, and which not, by load."""
    programs: dict[tuple[int, str], list[Plain]] = {}
    for cell in cells:
        counts: dict[tuple[int, str], Counter[bool]] = {}
        for request in cell.requests:
            program = request.program or "?"
            counts.setdefault((request.faculty_id, program), Counter())[request.is_satisfied] += 1
        for who, counted in counts.items():
            told = {**_key(cell), "satisfied": counted[True], "unsatisfied": counted[False]}
            programs.setdefault(who, []).append(told)
    return [
        {"faculty_id": faculty_id, "faculty": names.get(faculty_id, str(faculty_id)), "program": program, "loads": told}
        for (faculty_id, program), told in sorted(programs.items())
    ]


def _strike(run: Run, requests: Iterable[Request]) -> Plain | None:
    strike = run.strike
    if strike is None:
        return None
    terms = set(strike.terms)
    struck = [request for request in requests if request.term in terms and request.began_us is not None]
    return {
        "server": strike.server,
        "first_reply_ms": strike.first_reply_ms,
        "requests": len(struck),
        "satisfied": sum(request.is_satisfied for request in struck),
        "timeline": sorted(
            (round((request.began_us - strike.killed_us) / 1_000, 2), round(request.program_us / 1_000, 2),
             request.pattern)
            for request in struck if request.began_us is not None and request.program_us is not None
        ),
    }  # fmt: skip


def _steps(run: Run, requests: Sequence[Request]) -> Iterator[Plain]:
    for step in run.steps:
        own = [request for request in requests if (request.term or "").rpartition("-")[0] == step.term_prefix]
        statuses = Counter(request.status for request in own)
        answered = statuses[ACCEPTED] + statuses[DENIED] + statuses[CANCELED]
        seconds = (step.ended_us - step.began_us) / 1e6
        yield {
            "in_flight": step.in_flight,
            "requests": len(own),
            "answered": answered,
            "refused": len(own) - answered,
            "per_second": round(len(own) / seconds, 1),
            "program": _summary(request.program_us for request in own),
        }


def _usage(process: str, samples: Mapping[str, Any]) -> Plain:
    cpu, resident = samples["cpu_percent"], samples["resident_bytes"]
    first_us = samples["at_us"][0] if samples["at_us"] else 0
    return {
        "process": process,
        "samples": len(cpu),
        "cpu_mean_percent": round(sum(cpu) / len(cpu), 1) if cpu else None,
        "cpu_max_percent": max(cpu, default=None),
        "resident_max_mb": round(max(resident) / 1e6, 1) if resident else None,
        "began_us": first_us,
        "at_ms": [round((at_us - first_us) / 1_000) for at_us in samples["at_us"]],
        "cpu_percent": list(cpu),
        "resident_mb": [round(one / 1e6, 1) for one in resident],
    }
