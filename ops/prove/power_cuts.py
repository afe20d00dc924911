"""`python -m ops.prove.power_cuts`: the power goes while a process writes its log, again and again.

The log lies on an ext4 in a loop device. At a moment drawn at random the file system is shut down without
flushing anything; what had not reached the device is gone. Mounted again, the log must be sound and hold every
write that had been acknowledged, byte for byte, and at most the one after it.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ops.prove.disks import LoopDisk, mounted, scratch
from ops.prove.history import Fault, History, fault_on_start
from ops.prove.outcome import Failure, Outcome, command, kept, replay
from ops.prove.start import start
from ops.prove.writer_process import WRITES_MAX, WriterProcess

NAME = "power_cuts"
CUTS_A_LOG = 10
"""Then a new log is begun, so that its creation is struck too."""
ACKNOWLEDGED_MAX = 40
"""The cut comes after up to so many acknowledgements of one process."""
WRITE_S, START_S = 0.002, 0.3
"""About what a write and the start of the process take: the moment of the cut is drawn from it."""
CONTROLS = {"no-metasync": 150, "no-sync": 40}
"""Weakened logs, and within how many cuts each must have lost something."""


class Cut(NamedTuple):
    """What one cut met: the number of the write acknowledged last (-1: not even the creation was), and what
    was wrong with the log afterwards."""

    acknowledged: int
    fault: Fault | None


def power_cuts(count: int, seed: int) -> Outcome:
    """`count` cuts under a log as it is; before them each control until it is convicted."""
    began_s = time.monotonic()
    failures: list[Failure] = []
    details: dict[str, object] = {"seed": seed}
    met: Counter[str] = Counter()
    with scratch() as directory:
        disk = LoopDisk(directory)
        for weakness, cuts in CONTROLS.items():
            lost = next((n for n, cut in enumerate(_cuts(disk, cuts, seed, weakness), 1) if cut.fault), None)
            details[f"control: {weakness}"] = f"lost at cut {lost}" if lost else "NOT FOUND"
            if lost is None:
                failures.append(Failure(f"the control went unnoticed: {weakness}", replay(NAME, 1, seed)))
        for number, cut in enumerate(_cuts(disk, count, seed), 1):
            met["while writing" if cut.acknowledged > 0 else "while creating"] += 1
            if cut.fault is not None:
                what = f"cut {number}, write {cut.acknowledged} acknowledged: {cut.fault.kind}: {cut.fault.what}"
                failures.append(Failure(what, replay(NAME, number, seed, kept(disk.image))))
    details |= met
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), details)


def _cuts(disk: LoopDisk, count: int, seed: int, *weaknesses: str) -> Iterator[Cut]:
    drawn = random.Random(f"power cuts {seed}")
    log = disk.path / "log"
    acknowledged = -1
    for number in range(count):
        history_seed = seed + number // CUTS_A_LOG
        if number % CUTS_A_LOG == 0:
            acknowledged = -1
            with mounted(disk):  # of its own, or the cut might bring the old log back
                shutil.rmtree(log, ignore_errors=True)
        with mounted(disk):
            wanted = drawn.randint(0, ACKNOWLEDGED_MAX) if acknowledged >= 0 else 0
            acknowledged = max(acknowledged, _written_until_cut(disk, log, history_seed, wanted, drawn, weaknesses))
        with mounted(disk):
            yield Cut(acknowledged, fault_on_start(log, History(history_seed), acknowledged))


def _written_until_cut(
    disk: LoopDisk, log: Path, seed: int, wanted: int, drawn: random.Random, weaknesses: tuple[str, ...]
) -> int:
    """Let a process write and cut the power a moment after `wanted` acknowledgements, or while it starts if
    none is wanted. The number of the write that it acknowledged last, -1 if none."""
    with WriterProcess(log, seed, WRITES_MAX, *weaknesses) as writer:
        writer.hear(wanted)
        time.sleep(drawn.uniform(0, WRITE_S if wanted else START_S))
        disk.cut_power()
        writer.hear_to_the_end()
        return writer.acknowledged


if __name__ == "__main__":
    start(command(NAME, power_cuts, count=200, what="Cut the power of a disk while a log is written on it."))
