"""`python -m ops.prove.failing_disks`: the disk fills up, or may no longer be written, while a log is written on it.

full        a disk of a size drawn at random; once the writer has stopped it is given more room
read only   an ext4 that meets an error and turns read-only under the writer; then it is mounted again

The writer must stop with LogWriteFailed and nothing else. The log must be sound on the failed disk already, hold
every acknowledged write, and go on once the disk is well.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from es.errors import LogError, LogWriteFailed
from ops.prove.disks import LoopDisk, grow, mounted, scratch, small_disk
from ops.prove.history import Fault, History, fault_on_start
from ops.prove.outcome import Failure, Outcome, command, replay

NAME = "failing_disks"
SMALL_KB = (120, 2_048)
GROWN_KB = 8_192
ACKNOWLEDGED_MAX = 40
WRITES_MAX = 1_000_000
MORE_WRITES = 3
ENDS_WITHIN_S = 60.0


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
        with _writer(log, seed, WRITES_MAX) as writer:
            said = writer.communicate(timeout=ENDS_WITHIN_S)[0].splitlines()
        wrong = _wrong_stop(said) or fault_on_start(log, History(seed), _acknowledged(said))
        grow(root, GROWN_KB)
        return wrong or _wrong_continuation(log, seed, _acknowledged(said))


def _read_only(_directory: Path, disk: LoopDisk, seed: int, drawn: random.Random) -> Fault | None:
    log = disk.path / f"log-{seed}"
    with mounted(disk):
        with _writer(log, seed, WRITES_MAX) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(drawn.randint(1, ACKNOWLEDGED_MAX))]
            disk.turn_read_only()
            said += writer.communicate(timeout=ENDS_WITHIN_S)[0].splitlines()
        wrong = _wrong_stop(said)
    disk.repair()
    with mounted(disk):
        acknowledged = _acknowledged(said)
        return wrong or fault_on_start(log, History(seed), acknowledged) or _wrong_continuation(log, seed, acknowledged)


def _writer(log: Path, seed: int, writes: int) -> subprocess.Popen[str]:
    command_line = [sys.executable, "-m", "ops.prove.writer", str(log), str(seed), str(writes), "/dev/stdout"]
    return subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True)


def _acknowledged(said: list[str]) -> int:
    return max((int(line) for line in said if line.strip().isdigit()), default=-1)


def _wrong_stop(said: list[str]) -> Fault | None:
    """A failed write ends a writer; a disk that has no room for a new log refuses its creation."""
    code = LogWriteFailed.code if _acknowledged(said) >= 0 else LogError.code
    if said and said[-1].startswith(f"failed {code} "):
        return None
    return Fault("ending", f"not {code} but {said[-1] if said else 'silence'}")


def _wrong_continuation(log: Path, seed: int, acknowledged: int) -> Fault | None:
    """On a disk that is well again the writer goes on where the log ends."""
    goal = max(acknowledged, 0) + MORE_WRITES
    with _writer(log, seed, goal) as writer:
        said = writer.communicate(timeout=ENDS_WITHIN_S)[0].splitlines()
    if said and said[-1] == str(goal):
        return fault_on_start(log, History(seed), goal)
    return Fault("ending", f"it did not go on: {said[-1] if said else 'silence'}")


if __name__ == "__main__":
    sys.exit(command(NAME, failing_disks, count=100, what="Fill disks, and turn them read-only, under a writer.")())
