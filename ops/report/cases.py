"""The acceptance cases CP1 to CP6 and CP10 as a run shows them live, on a cluster that is ready."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, Final
from uuid import uuid4

from nodes.clients.program_crowd import Wish
from nodes.config.cluster import FacultyConfig
from nodes.config.file import render
from nodes.wire.schema import ProgramRequest
from ops.audit import broken_rules, first_difference
from ops.log_reader import committed, opened
from ops.observe import fetch_status
from ops.prove.tcp_relay import Relay, Way
from ops.report.facts import Case
from ops.report.stage import Stage
from ops.verdict import at_rest
from projections.rooms.commands import ACCEPTED, DENIED
from projections.rooms.export import Exporter
from projections.rooms.identity import request_id_of
from projections.timings import DEFINITE, RequestTimings, Told, key_of

SEEN_WITHIN_S: Final = 20.0
POLL_S: Final = 0.02
CUT_MS: Final = 700


def cp1(stage: Stage) -> Case:
    """One faculty, three programs, 7 + 2 each."""
    told = _ask(stage, stage.config.faculties[0], _term("CP1"), (7, 2), (7, 2), (7, 2))
    events = [_events(stage, one) for one in told]
    reserved = [one["Reserved"] for one in events if "Reserved" in one]
    exact = sum((len(one["classrooms"]), len(one["labs"]), len(one["mobile"])) == (7, 2, 0) for one in reserved)
    logged = sum("Confirmed" in one for one in events)
    accepted = _accepted(told)
    return Case("CP1", accepted == exact == logged == 3, "observed_CP1",
                {"accepted": accepted, "exact": exact, "logged": logged})  # fmt: skip


def cp2(stage: Stage) -> Case:
    """Every program of every faculty at once."""
    term = _term("CP2")
    wishes = [
        Wish(faculty, ProgramRequest(name, 3, 1, term))
        for faculty in stage.config.faculties for name in faculty.programs.values()
    ]  # fmt: skip
    told = stage.ask(wishes, len(wishes))
    _settled(stage)
    with opened(_data(stage)) as log:
        twice = sum(rule.rule in ("double-grant", "conservation") for rule in broken_rules(log))
    answered = sum(one.status in DEFINITE for one in told)
    return Case("CP2", answered == len(wishes) and not twice, "observed_CP2",
                {"answered": answered, "requests": len(wishes), "faculties": len(stage.config.faculties),
                 "twice": twice})  # fmt: skip


def cp3(stage: Stage) -> Case:
    """Exactly the 60 labs of a term."""
    told = _ask(stage, stage.config.faculties[0], _term("CP3"), *[(0, 10)] * 6)
    reserved = [events["Reserved"] for one in told if "Reserved" in (events := _events(stage, one))]
    labs = sum(len(one["labs"]) for one in reserved)
    mobile = sum(len(one["mobile"]) for one in reserved)
    return Case("CP3", (_accepted(told), labs, mobile) == (6, 60, 0), "observed_CP3", {"labs": labs, "mobile": mobile})


def cp4(stage: Stage) -> Case:
    """More labs than there are, until nothing covers them; then a request that can be met."""
    term, faculty = _term("CP4"), stage.config.faculties[0]
    told = [_ask(stage, faculty, term, rooms)[0] for rooms in ((0, 50), (0, 20), (300, 30), (30, 11), (40, 0))]
    reserved = [events["Reserved"] for one in told if "Reserved" in (events := _events(stage, one))]
    mobile = sum(len(one["mobile"]) for one in reserved)
    alerts = [
        event["body"]["code"] for event in _exported(stage)
        if event["type"] == "AlertRaised" and event["body"]["term"] == term
    ]  # fmt: skip
    statuses = [one.status for one in told]
    is_met = statuses == [ACCEPTED] * 3 + [DENIED, ACCEPTED] and mobile == 40 and bool(alerts)
    return Case("CP4", is_met, "observed_CP4",
                {"mobile": mobile, "denied": statuses[3], "alerts": ", ".join(alerts) or "-",
                 "after": statuses[4]})  # fmt: skip


def cp5(stage: Stage) -> Case:
    """The primary will never read what was sent to it, then dies."""
    faculty, primary = stage.config.faculties[1], stage.primary()
    stage.kill(primary, signal.SIGSTOP)

    def kill_it() -> None:
        _until(lambda: ((fetch_status(faculty.http) or {}).get("in_flight") or 0) > 0)
        stage.kill(primary)

    with _beside(kill_it):
        [told] = stage.ask(_wishes(faculty, _term("CP5"), (7, 2)), 1)
    stage.heal(primary["name"])
    _settled(stage)
    times = _times_confirmed(stage, told)
    is_met = told.status == ACCEPTED and times == 1 and (told.epoch or 0) > primary["epoch"]
    return Case("CP5", is_met, "observed_CP5",
                {"status": told.status, "attempts": told.attempts, "epoch": told.epoch,
                 "epoch_before": primary["epoch"], "times": times})  # fmt: skip


def cp6(data_dirs: Sequence[Path], told: Sequence[Told]) -> Case:
    """Every definite result stands in the log of every server, once the cluster is stopped."""
    definite = [one for one in told if one.status in DEFINITE]
    found = [_standing(data, definite) for data in data_dirs]
    violations = 0
    for data in data_dirs:
        with opened(data) as log:
            violations += len(broken_rules(log))
    equal = first_difference(tuple(data_dirs)) is None
    is_met = min(found) == len(definite) and not violations and equal
    return Case("CP6", is_met, "observed_CP6",
                {"found": min(found), "results": len(definite), "violations": violations, "equal": equal})  # fmt: skip


def cp10(stage: Stage, directory: Path) -> Case:
    """The answer is lost, the line goes down and comes back; the faculty is started again behind relays for it."""
    faculty = stage.faculties("async")[-1]
    request = ProgramRequest(next(iter(faculty.programs.values()), "CP10"), 7, 2, _term("CP10"), str(uuid4()))
    with _relayed(stage, faculty, directory) as (to_requests, to_heartbeats):
        for relay in to_requests:
            relay.hold(Way.DOWN)

        def cut_and_restore() -> None:
            _until(lambda: any(event["type"] == "Reserved" for event in _events_named(stage, request.transaction_id)))
            for relay in (*to_requests, *to_heartbeats):
                relay.cut()
            time.sleep(CUT_MS / 1_000)
            for relay in (*to_requests, *to_heartbeats):
                relay.hold()
                relay.restore()

        with _beside(cut_and_restore):
            [told] = stage.ask([Wish(faculty, request)], 1)
        _settled(stage)
        times = _times_confirmed(stage, told)
    return Case("CP10", told.status == ACCEPTED and times == 1, "observed_CP10",
                {"cut_ms": CUT_MS, "status": told.status, "times": times})  # fmt: skip


def _term(case: str) -> str:
    return f"{case}-{uuid4().hex[:8]}"


def _ask(stage: Stage, faculty: FacultyConfig, term: str, *rooms: tuple[int, int]) -> list[Told]:
    """What was told of each, one after the other, once the logs are at rest."""
    told = stage.ask(_wishes(faculty, term, *rooms), 1)
    _settled(stage)
    return told


def _wishes(faculty: FacultyConfig, term: str, *rooms: tuple[int, int]) -> list[Wish]:
    """A request for each (classrooms, labs), each of another program as far as there are some."""
    names = list(faculty.programs.values()) or [faculty.name]
    return [
        Wish(faculty, ProgramRequest(names[number % len(names)], *asked, term)) for number, asked in enumerate(rooms)
    ]


def _accepted(told: Sequence[Told]) -> int:
    return sum(one.status == ACCEPTED for one in told)


def _data(stage: Stage) -> Path:
    return Path(stage.primary()["data"])


def _exported(stage: Stage) -> Iterator[dict[str, Any]]:
    exporter = Exporter()
    with opened(_data(stage)) as log:
        for batch in committed(log):
            yield from exporter.feed(batch)


def _settled(stage: Stage) -> None:
    """Wait until the logs are at rest: only then does a running server's disk know that all of it is committed."""
    _until(lambda: at_rest(stage.config))


def _events_named(stage: Stage, transaction_id: str | None) -> list[dict[str, Any]]:
    return [event for event in _exported(stage) if event["body"].get("transaction_id") == transaction_id]


def _events(stage: Stage, told: Told) -> dict[str, Any]:
    """Type -> body of a transaction's events."""
    return {event["type"]: event["body"] for event in _events_named(stage, told.transaction_id)}


def _times_confirmed(stage: Stage, told: Told) -> int:
    return Counter(event["type"] for event in _events_named(stage, told.transaction_id))["Confirmed"]


def _standing(data: Path, told: Sequence[Told]) -> int:
    """How many of the results a server's log bears out."""
    model = RequestTimings(len(told) * 2 + 1_000_000)
    with opened(data) as log:
        for batch in committed(log):
            model.feed(batch)
    rows = (model.requests.get((one.faculty_id, key_of(request_id_of(one.transaction_id)))) for one in told)
    return sum(row is not None and row.ended == one.status for row, one in zip(rows, told, strict=True))


def _until(fact: Callable[[], bool]) -> None:
    """Wait for a fact, at most SEEN_WITHIN_S: what comes of it then is told anyway."""
    deadline_s = time.monotonic() + SEEN_WITHIN_S
    while not fact() and time.monotonic() < deadline_s:
        time.sleep(POLL_S)


@contextmanager
def _beside(act: Callable[[], None]) -> Iterator[None]:
    """Do it in a thread beside the block, which ends after both have."""
    thread = Thread(target=act, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def _relayed(
    stage: Stage, faculty: FacultyConfig, directory: Path
) -> Iterator[tuple[Sequence[Relay], Sequence[Relay]]]:
    """The faculty, started again so that its connections to the servers' requests and heartbeats are relayed."""
    with contextlib.ExitStack() as stack:

        def relay(endpoint: str) -> tuple[Relay, str]:
            made = Relay(int(endpoint.rpartition(":")[2]))
            stack.callback(made.close)
            return made, f"tcp://127.0.0.1:{made.port}"

        ways = [(relay(server.requests), relay(server.heartbeats)) for server in stage.config.servers]
        servers = tuple(
            replace(server, requests=requests[1], heartbeats=heartbeats[1])
            for server, (requests, heartbeats) in zip(stage.config.servers, ways, strict=True)
        )
        path = directory / "relayed.toml"
        path.write_text(render(replace(stage.config, servers=servers), directory), encoding="utf-8")
        name = f"faculty-{faculty.id}"
        supervisor = stage.cluster.supervisor
        os.kill(supervisor.pids()[name], signal.SIGTERM)
        _until(lambda: name in supervisor.turn())
        supervisor.start({name: ["faculty", str(faculty.id), "--config", str(path)]})
        _until(lambda: bool((fetch_status(faculty.http) or {}).get("follows")))
        yield [requests for (requests, _), _ in ways], [heartbeats for _, (heartbeats, _) in ways]
