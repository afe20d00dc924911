"""`python -m ops.prove.failing_servers`: the disk of a server of a running cluster fails, hangs, or takes it along.

Each run lets one server's next disk calls meet a fault while clients work. A server whose disk fails must end
itself and say why, one whose disk hangs must give its role away; the other goes on, and results come. The server
is started again, and in the end both logs must be equal and bear out every result that any client saw.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from nodes.clients.sustained_load import SustainedLoad
from ops.cluster import RunningCluster, running_cluster
from ops.cluster_dir import log_directory, prepare
from ops.demo import free_base_port
from ops.exits import UNREACHABLE, Stopped
from ops.observe import observe, unreadiness
from ops.prove.disks import scratch
from ops.prove.injection import Injection, attached, check_permitted
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.start import start
from ops.supervisor import ERROR_PREFIX
from ops.verdict import judge, until

NAME = "failing_servers"
FAILS = (("fdatasync", "error=EIO"), ("pwrite64", "error=ENOSPC"), ("writev", "error=EROFS"))
HANGS = (("fdatasync", "delay_enter=3000000"),)
DIES = (("fdatasync", "signal=KILL"), ("pwrite64", "signal=KILL"), ("writev", "signal=KILL"))
CASES = tuple(product((*FAILS, *HANGS, *DIES), (True, False)))
"""A fault (call, what happens), and whether the active server meets it or the other one."""

FIRST_CALLS = 5
"""The fault strikes from one of so many next calls on."""
FACULTIES, PROGRAMS, CLIENTS = 2, 2, 2
STRUCK_WITHIN_S = 20.0
RESULT_WITHIN_S = 30.0
HEALED_WITHIN_S = 60.0


@dataclass(slots=True)
class Found:
    """What is wrong, how often each case was met, and what the clients were told."""

    wrongs: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    results: int = 0
    accepted: int = 0


def failing_servers(count: int, seed: int) -> Outcome:
    """`count` faults, each case in turn. A new cluster for each turn of all: a server that comes back reads its whole
    log, and that grows with every fault."""
    check_permitted()
    began_s = time.monotonic()
    drawn = random.Random(f"failing servers {seed}")
    found = Found()
    for first in range(0, count, len(CASES)):
        _strike_each(range(first, min(first + len(CASES), count)), drawn, seed + first, found)
    failures = tuple(Failure(wrong, replay(NAME, count, seed)) for wrong in found.wrongs)
    details = {"seed": seed, "results": found.results, "accepted": found.accepted, **found.met}
    return Outcome(NAME, count, failures, round(time.monotonic() - began_s, 1), details)


def _strike_each(numbers: range, drawn: random.Random, seed: int, found: Found) -> None:
    """The faults of these numbers, one after the other, on one cluster under load."""
    wrongs = found.wrongs
    with scratch() as directory:
        config = prepare(directory, base_port=free_base_port(), faculties=FACULTIES, overrides={})
        with running_cluster(directory, config) as cluster:
            load = SustainedLoad(config, programs=PROGRAMS, clients=CLIENTS, seed=seed)
            load.start()
            try:
                for number in numbers:
                    (call, fault), active = CASES[number % len(CASES)]
                    lasting = "+" if (call, fault) in FAILS else ""
                    injection = Injection(call, fault, f"{drawn.randint(1, FIRST_CALLS)}{lasting}")
                    wrong = _strike(cluster, load, injection, active, directory)
                    case = f"{'active' if active else 'passive'}, {call} {fault}"
                    found.met[case] += 1
                    wrongs += [f"run {number}, {case}: {wrong}"] if wrong else []
                load.drain()
                until(lambda: load.in_flight == 0, RESULT_WITHIN_S, [load])
                verdict = judge(config, [load], began_seq=0)
            finally:
                load.close()
    wrongs += verdict.broken()
    found.results += verdict.results
    found.accepted += len(load.journal.accepted)


def _strike(
    cluster: RunningCluster, load: SustainedLoad, injection: Injection, active: bool, directory: Path
) -> str | None:
    """Let one server meet the fault, wait until results come again, heal. What was wrong with that, if anything."""
    servers = observe(cluster.config)["servers"]
    struck = next(server for server in servers if server["active"] is active)
    epoch = max(server["epoch"] for server in servers)
    name, hangs = f"server-{struck['name']}", (injection.call, injection.fault) in HANGS
    load.journal.await_epoch_after(epoch)
    with attached(struck["pid"], injection, directory / "strace.said"):
        ended = [] if hangs else _ended(cluster, load)
        if ended != ([] if hangs else [name]):
            return f"{ended or 'nobody'} ended"
        if not until(lambda: load.journal.new_result is not None, RESULT_WITHIN_S, [load]):
            return "no result came any more"
    wrong = None
    if not hangs:
        said = (log_directory(directory) / f"{name}.log").read_text().splitlines()[-1]
        wrong = _wrong_ending(cluster.supervisor.failure(name), said, injection)
        cluster.supervisor.revive(name)
    cluster.supervisor.await_ready(lambda: unreadiness(observe(cluster.config)), HEALED_WITHIN_S)
    return wrong


def _ended(cluster: RunningCluster, load: SustainedLoad) -> list[str]:
    ended: list[str] = []

    def somebody() -> bool:
        ended.extend(cluster.supervisor.turn())
        return bool(ended)

    until(somebody, STRUCK_WITHIN_S, [load])
    return ended


def _wrong_ending(stopped: Stopped, said: str, injection: Injection) -> str | None:
    """A server whose disk fails names it in its last sentence; a kill is a kill."""
    if (injection.call, injection.fault) in DIES:
        return None if signal.SIGKILL.name in str(stopped) else f"it ended otherwise: {stopped}"
    named = said.startswith(ERROR_PREFIX) and "could not be written" in said and stopped.exit_code == UNREACHABLE
    return None if named else f"it did not say why it ended: {said}"


if __name__ == "__main__":
    start(command(NAME, failing_servers, count=28, what="Let the disk of a running server fail, hang or kill."))
