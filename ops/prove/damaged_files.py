"""`python -m ops.prove.damaged_files`: logs whose file went bad, opened as a server opens its own.

    detected      verifying or opening it says that it is damaged: the server does not start
    harmless      all that can be read of it is what was written; the damage met bytes that nothing refers to
    rolled back   it is whole but ends at an earlier write. Nothing in the file itself can show that, for an
                  interrupted write leaves the same. While the number of the last durable write is there
                  (es.log.last_write), this is a failure

One case in so many is tried without that number, as after a power cut: then a roll back is counted. Served is
a failure always: a log that is opened and is not what was written.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from es.errors import LogDamaged, LogError, LogMissing
from es.log.last_write import LAST_WRITE_FILE
from es.log.lmdb_log import DATA_FILE, LmdbLog
from es.log.verify import verify_in_child
from ops.prove.damage import HARMS, PAGE_BYTES
from ops.prove.disks import scratch
from ops.prove.history import IDENTITY, History, fault, writes_in
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.start import start

NAME = "damaged_files"
WRITES = 12
CASES_A_LOG = 50
UNNOTED_EVERY = 10

DETECTED, HARMLESS, ROLLED_BACK, SERVED = "detected", "harmless", "rolled back", "served"


class Versions(NamedTuple):
    """A log's file after each of its writes, and the number of the last one as it was noted beside it."""

    files: list[bytes]
    noted: bytes


class Verdict(NamedTuple):
    """What became of a damaged log, and in which words."""

    ending: str
    what: str


def damaged_files(count: int, seed: int) -> Outcome:
    """`count` damaged files, each kind of harm in turn."""
    began_s = time.monotonic()
    harms = list(HARMS)
    endings: dict[str, Counter[str]] = {harm: Counter() for harm in harms}
    failures: list[Failure] = []
    with scratch() as directory:
        for number in range(count):
            if number % CASES_A_LOG == 0:
                log_seed = seed + number // CASES_A_LOG
                versions = _versions(directory / f"whole-{number}", log_seed)
            harm, noted = harms[number % len(harms)], number // len(harms) % UNNOTED_EVERY != 0
            path = directory / f"{number}"
            data = HARMS[harm](random.Random(f"damage {seed} {number}"), versions.files)
            _store(path, data, versions.noted if noted else b"")
            verdict = judged(path, History(log_seed))
            endings[harm][verdict.ending] += 1
            if verdict.ending == SERVED or (verdict.ending == ROLLED_BACK and noted):
                what = f"case {number}: {harm}: {verdict.ending}: {verdict.what}"
                failures.append(Failure(what, replay(NAME, number + 1, seed)))
            shutil.rmtree(path)
    details = {"seed": seed, **{harm: dict(sorted(met.items())) for harm, met in endings.items()}}
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), details)


def _store(path: Path, data: bytes, noted: bytes) -> None:
    path.mkdir(mode=0o700)
    (path / DATA_FILE).write_bytes(data)
    (path / LAST_WRITE_FILE).write_bytes(noted)


def judged(path: Path, history: History) -> Verdict:
    """Start on a log as a server does, and read all of it. Sound, it would hold `WRITES` writes of `history`."""
    try:
        verify_in_child(path)
        with closing(LmdbLog.open(path)) as log:
            written = writes_in(log)
            wrong = fault(log, history, 0, WRITES)
            same_owner = log.identity == IDENTITY
    except (LogDamaged, LogMissing) as refused:
        return Verdict(DETECTED, str(refused))
    except LogError as refused:
        return Verdict(DETECTED, f"{refused.code}: {refused}")
    if wrong is not None or not same_owner:
        return Verdict(SERVED, wrong.what if wrong else "it names another owner")
    return Verdict(HARMLESS if written == WRITES else ROLLED_BACK, f"it holds {written} of {WRITES} writes")


def _versions(path: Path, seed: int) -> Versions:
    """What a log's directory held after each write of a seed, without the zeros that its file had grown ahead:
    harm there meets nothing."""
    history = History(seed)
    files = []
    with closing(LmdbLog.create(path, IDENTITY)) as log:
        for number in range(1, WRITES + 1):
            log.write(history.step(number).write)
            files.append(_used((path / DATA_FILE).read_bytes()))
    return Versions(files, (path / LAST_WRITE_FILE).read_bytes())


def _used(file: bytes) -> bytes:
    used = len(file.rstrip(b"\0"))
    return file[: used + -used % PAGE_BYTES]


if __name__ == "__main__":
    start(command(NAME, damaged_files, count=1_000, what="Damage logs and start on them as a server does."))
