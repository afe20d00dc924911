"""`python -m ops.prove.failing_disks`: the disk fills up, or may no longer be written, while a log is written on it.

full        a disk of a size drawn at random; once the writer has stopped it is given more room
read only   an ext4 that meets an error and turns read-only under the writer; then it is mounted again

The writer must stop with LogWriteFailed and nothing else. The log must be sound on the failed disk already, hold
every acknowledged write, and go on once the disk is well.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from es.errors import LogWriteFailed
from ops.prove.disks import LoopDisk, grow, mounted, scratch, small_disk
from ops.prove.history import Fault, History, fault_on_start
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.start import start
from ops.prove.writer_process import WriterProcess

NAME = "failing_disks"
SMALL_KB = (120, 2_048)
GROWN_KB = 8_192
ACKNOWLEDGED_MAX = 40
MORE_WRITES = 3


def failing_disks(count: int, seed: int) -> Outcome:
    """`count` disks, full ones and read-only ones in turn."""
    began_s = time.monotonic()
    drawn = random.Random(f"failing disks {seed}")
    failures: list[Failure] = []
    met: Counter[str] = Counter()
    with scratch() as directory:
        disk = LoopDisk(directory)
        for number in range(count):
            kind, run = (("full", _full), ("read only", _read_only))[number % 2]
            wrong = run(directory, disk, seed + number, drawn)
            met[kind] += 1
            if wrong is not None:
                what = f"run {number}, {kind}: {wrong.kind}: {wrong.what}"
                failures.append(Failure(what, replay(NAME, number + 1, seed)))
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), {"seed": seed, **met})


def _full(directory: Path, _disk: LoopDisk, seed: int, drawn: random.Random) -> Fault | None:
    with small_disk(directory / "small", drawn.randint(*SMALL_KB)) as root:
        log = root / "log"
        with WriterProcess(log, seed) as writer:
            writer.hear_to_the_end()
        wrong = _wrong_stop(writer) or fault_on_start(log, History(seed), writer.acknowledged)
        grow(root, GROWN_KB)
        return wrong or _wrong_continuation(log, seed, writer.acknowledged)


def _read_only(_directory: Path, disk: LoopDisk, seed: int, drawn: random.Random) -> Fault | None:
    log = disk.path / f"log-{seed}"
    with mounted(disk), WriterProcess(log, seed) as writer:
        writer.hear(drawn.randint(1, ACKNOWLEDGED_MAX))
        disk.turn_read_only()
        writer.hear_to_the_end()
    disk.repair()
    with mounted(disk):
        wrong = _wrong_stop(writer) or fault_on_start(log, History(seed), writer.acknowledged)
        return wrong or _wrong_continuation(log, seed, writer.acknowledged)


def _wrong_stop(writer: WriterProcess) -> Fault | None:
    """A failed write ends a writer, that of a new log, too."""
    code = LogWriteFailed.code
    return None if writer.refusal == code else Fault("ending", f"not {code} but {writer.refusal}")


def _wrong_continuation(log: Path, seed: int, acknowledged: int) -> Fault | None:
    """On a disk that is well again the writer goes on where the log ends."""
    goal = max(acknowledged, 0) + MORE_WRITES
    with WriterProcess(log, seed, goal) as writer:
        writer.hear_to_the_end()
    if writer.acknowledged == goal:
        return fault_on_start(log, History(seed), goal)
    return Fault("ending", f"it did not go on but ended with {writer.refusal} at write {writer.acknowledged}")


if __name__ == "__main__":
    start(command(NAME, failing_disks, count=100, what="Fill disks, and turn them read-only, under a writer."))
