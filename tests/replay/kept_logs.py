"""Logs of every format that there ever was, kept beside what they come to: later versions must read them the same way.

    python -m tests.replay.kept_logs NAME      keep a log as this version writes it

Run it under a new NAME before a change of the store, of a batch or of an event's version is released, and never write
one anew: each stands for logs that are in use. A log is its whole store (LMDB's file, gzip) with every kind of event.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack

from es.codec import FORMAT
from es.log.base import Identity, Write
from es.log.lmdb_log import DATA_FILE, LmdbLog
from es.machine import Machine
from es.replication import events as kernel
from es.replication.fold import Fold
from projections.rooms.commands import Answer, CloseTerm, RaiseAlert, Release, Reserve
from projections.rooms.events import VERSIONS
from projections.rooms.export import Exporter
from projections.rooms.machine import Rooms
from tests.unit.rooms.driver import START, Driver
from tests.unit.rooms.histories import CATALOG, HOLD_MS

KEPT = Path(__file__).parent / "logs"
IDENTITY = Identity("kept", "a", "1")
PATIENT_HOLD_MS = 1_000 * HOLD_MS
OTHER_KERNEL_EVENTS = kernel.InSyncChanged(("a",)), kernel.ClockAnomaly(-3_600_000_000)


def rooms() -> Rooms:
    """The application that the kept logs are folded into."""
    return Rooms(CATALOG, hold_ms=PATIENT_HOLD_MS)


def names() -> list[str]:
    """Every log that is kept."""
    return sorted(path.stem for path in KEPT.glob("*.json"))


@contextmanager
def kept(name: str) -> Iterator[LmdbLog]:
    """A copy of that log, opened to be read."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        (path / DATA_FILE).write_bytes(gzip.decompress((KEPT / f"{name}.mdb.gz").read_bytes()))
        log = LmdbLog.open(path, readonly=True)
        try:
            yield log
        finally:
            log.close()


def told(log: LmdbLog) -> dict[str, Any]:
    """What a log comes to: the end of its chain, its kinds of events, and digests of the state and of the export."""
    fold, exporter, kinds = Fold([rooms()]), Exporter(), set()
    exported = sha256()
    for batch in log.batches():
        fold.apply(batch)
        kinds |= {f"{entry.application}/{entry.type}/{entry.version}" for entry in batch.entries}
        for line in exporter.feed(batch):
            exported.update(json.dumps(line, ensure_ascii=False, sort_keys=True).encode())
    head = log.head()
    return {
        "seq": head.seq, "epoch": head.epoch, "hash": head.hash.hex(), "commit_seq": log.commit_seq(),
        "kinds": sorted(kinds), "state": digest(fold.machines["rooms"]), "export": exported.hexdigest(),
    }  # fmt: skip


def digest(machine: Machine) -> str:
    """Of an application's whole state."""
    assert isinstance(machine, Rooms)
    return sha256(msgpack.packb(machine.to_plain())).hexdigest()


def known_kinds() -> set[str]:
    """Every kind of event that this version writes."""
    of_kernel = {f"{kernel.APPLICATION}/{name}/{version}" for name, version in kernel.TYPES}
    return of_kernel | {f"rooms/{name}/{version}" for name, version in VERSIONS.items()}


def history() -> Driver:
    """A history with every kind of event, that ends while rooms are held."""
    driver = Driver(rooms())
    driver.begin_epoch(START)
    for number in range(30):
        term, faculty = ("2025-2", "2026-1", "2026-2")[number % 3], number % 3 + 1
        driver.do(Reserve(f"t{number}", faculty, f"F{faculty}", number % 4, f"P{number % 4}", term,
                          number % 4, number % 2, number % 2 == 0))  # fmt: skip
        if number % 5:
            driver.do(Answer(f"t{number}", faculty, number % 4 != 1))
        if number % 7 == 0:
            driver.do(Release(f"t{number - 3}", (number - 3) % 3 + 1, "operator:ana", "roof"))
        driver.now_us += HOLD_MS * 100_000
    driver.do(RaiseAlert("OVERLOAD", None))
    driver.extend(1_000)
    driver.now_us += PATIENT_HOLD_MS * 1_000
    driver.expire()
    driver.do(CloseTerm("2026-1", "operator:ana"))
    driver.do(Reserve("held", 1, "F1", 1, "P1", "2025-2", 1, 1, False))
    for event in OTHER_KERNEL_EVENTS:
        driver.commit(kernel.APPLICATION, kernel.record(event))
    return driver


def keep(name: str) -> None:
    """Write the log and what it comes to. Raises FileExistsError: what is kept stays."""
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        log = LmdbLog.create(Path(directory), IDENTITY)
        batches = history().batches
        log.write(Write(batches=batches, commit_seq=batches[-1].last_seq))
        expected = told(log) | {"format": FORMAT}
        log.close()
        data = (Path(directory) / DATA_FILE).read_bytes()
    with (KEPT / f"{name}.json").open("x", encoding="utf-8") as file:
        file.write(json.dumps(expected, indent=1) + "\n")
    (KEPT / f"{name}.mdb.gz").write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    keep(sys.argv[1])
