"""`python -m ops.prove.crash_states`: every moment at which a crash can strike the log's writes.

An episode records, call by call, what a process does to its log; then each moment between two calls, and within
each, gives files that a crash there may leave (ops.prove.crash_model). Each such file must open as a log, be
sound, hold every write that had been acknowledged and nothing that was never written. Files that would kill
their reader are met by a child.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

from es.errors import LogDamaged
from es.log.last_write import LAST_WRITE_FILE
from es.log.lmdb_log import DATA_FILE
from es.log.verify import verify
from nodes.shell import die_with_parent
from ops.prove.crash_model import CrashPoint, crash_points, image
from ops.prove.disks import scratch
from ops.prove.history import Fault, History, fault_at
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.recording import compiled, recorded
from ops.prove.start import start

NAME = "crash_states"
WRITES_AN_EPISODE = 12
STATES_AN_EPISODE = 1_000
VERIFIED_SHARE = 16
"""One state in so many is walked by es.log.verify too, page by page; all are opened and read to their end."""

NOTED_SHARE = 0.7
"""How often the newest number noted beside the log survives the crash, which is the case that could accuse a
sound log; else none does, and the log must be whole on its own."""

CONTROL_STATES = 1_000
"""A control that has not been convicted by then is a failure of the instrument."""

_fork = multiprocessing.get_context("fork")


class Found(NamedTuple):
    """A state that broke a promise."""

    state: int
    fault: Fault


def crash_states(count: int, seed: int) -> Outcome:
    """At least `count` states of histories drawn from `seed`, and the two controls before them."""
    began_s = time.monotonic()
    details: dict[str, Any] = {"seed": seed, "verified page by page": f"1 in {VERIFIED_SHARE}"}
    failures: list[Failure] = []
    runs = points_met = calls_met = 0
    with scratch() as directory:
        library = compiled(directory)
        for control in ("lying flush", "metasync off"):
            kinds = _control(control, library, directory, seed)
            details[f"control: {control}"] = dict(kinds)
            if not kinds or kinds["altered"]:
                failures.append(Failure(f"control {control}: unnoticed or served altered", replay(NAME, 1, seed)))
        while runs < count:
            episode = seed + runs // STATES_AN_EPISODE
            calls = recorded(library, directory / f"{episode}", episode, WRITES_AN_EPISODE)
            points = list(crash_points(calls))
            states = min(STATES_AN_EPISODE, count - runs)
            for found in _examined(points, episode, states, directory / "state"):
                what = f"state {found.state} of episode {episode}: {found.fault.kind}: {found.fault.what}"
                failures.append(Failure(what, replay(NAME, found.state + 1, episode)))
            runs, points_met, calls_met = runs + states, points_met + len(points), calls_met + len(calls)
            shutil.rmtree(directory / f"{episode}")
    details |= {"crash points": points_met, "recorded calls": calls_met}
    return Outcome(NAME, runs, tuple(failures), round(time.monotonic() - began_s, 1), details)


def _control(control: str, library: Path, directory: Path, seed: int) -> Counter[str]:
    """How often each fault met a log whose flushes lie, or that does not wait for its meta page. It must lose
    something; what it does serve must be what was written, all the same (no fault "altered")."""
    lying = control == "lying flush"
    made = directory / control.replace(" ", "-")
    calls = recorded(library, made, seed, WRITES_AN_EPISODE, *([] if lying else ["no-metasync"]))
    points = list(crash_points(calls, flushes_lie=lying))
    kinds = Counter(found.fault.kind for found in _examined(points, seed, CONTROL_STATES, directory / "state"))
    shutil.rmtree(made)
    return kinds


def _examined(points: Sequence[CrashPoint], seed: int, states: int, path: Path) -> Iterator[Found]:
    """Examine states 0 … `states` - 1 in a child; one that kills it is a fault, and another child goes on."""
    state = _fork.Value("Q", 0)
    while state.value < states:
        mine, its = _fork.Pipe(duplex=False)
        told = (os.getpid(), points, seed, state, states, path, its)
        child = _fork.Process(target=_examine, args=told, daemon=True)
        child.start()
        its.close()
        with mine:
            try:
                while True:
                    yield Found(*mine.recv())
            except EOFError:
                child.join()
            finally:
                child.terminate()
                child.join()
        if child.exitcode:
            yield Found(state.value, Fault("died", f"its reader ended with {child.exitcode}"))
            state.value += 1
        shutil.rmtree(path, ignore_errors=True)


def _examine(
    parent: int, points: Sequence[CrashPoint], seed: int, state: Synchronized[int], states: int, path: Path,
    tell: Connection,
) -> None:  # fmt: skip
    """The child: states go round the crash points; each is drawn from the seed and its own number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent hears it too, and ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.disable()  # a state that kills it is a finding, told by its exit code
    die_with_parent(parent)
    history = History(seed)
    path.mkdir(mode=0o700)
    while state.value < states:
        number = state.value
        point = points[number % len(points)]
        drawn = random.Random(f"{seed} {number}")
        (path / DATA_FILE).write_bytes(image(point, drawn))
        (path / LAST_WRITE_FILE).write_bytes(point.noted if drawn.random() < NOTED_SHARE else b"")
        begun = min(point.acknowledged + 1, WRITES_AN_EPISODE)
        fault = fault_at(path, history, point.acknowledged, begun)
        doubtful = fault is not None and fault.kind == "altered"  # would it be served? A server verifies first
        if (doubtful or (fault is None and number % VERIFIED_SHARE == 0)) and (damage := verify(path).damage):
            fault = Fault(LogDamaged.code, damage.what)
        if fault is not None:
            tell.send(Found(number, fault))
        state.value += 1


if __name__ == "__main__":
    start(command(NAME, crash_states, count=100_000, what="Open the log in every state that a crash may leave."))
