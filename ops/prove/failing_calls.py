"""`python -m ops.prove.failing_calls`: one call of a log's writer fails, stalls or is the last.

Each run starts a writer on a new log and lets one call meet a fault, wherever in its life. A failing call on the log's
own file must end the writing with a LogWriteFailed (or the creation with a LogError), one elsewhere may, a stall must
change nothing, and whatever happens the log must be sound afterwards and hold every acknowledged write. A log that does
not hear of what fails comes first, and must be convicted.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

from es.errors import LogError, LogWriteFailed
from es.log.lmdb_log import DATA_FILE
from ops.prove.disks import scratch
from ops.prove.history import Fault, History, fault_on_start
from ops.prove.injection import Injection, check_permitted, has_struck
from ops.prove.outcome import Failure, Outcome, command, replay
from ops.prove.start import start
from ops.prove.writer import DEAF
from ops.prove.writer_process import WriterProcess

NAME = "failing_calls"
WRITES = 25
CALLS_MAX = 32
"""The fault strikes one of so many first calls of its kind."""
ENDING = "ending"
FINISHED, KILLED = "finished", f"status {-signal.SIGKILL}"

FAULTS = ("error=EIO", "error=ENOSPC", "error=EROFS", "delay_exit=100000", "signal=KILL")
CALLS = ("fdatasync", "pwrite64", "writev", "fsync")
MET_EVERY_WRITE = ("fdatasync", "pwrite64")
CONTROL = Injection("fdatasync", "error=EIO", "9")


def failing_calls(count: int, seed: int) -> Outcome:
    """`count` writers, each kind of fault on each kind of call in turn."""
    check_permitted()
    began_s = time.monotonic()
    drawn = random.Random(f"failing calls {seed}")
    endings: Counter[str] = Counter()
    failures: list[Failure] = []
    with scratch() as directory:
        ended, wrong = _struck(directory / "control", seed, CONTROL, DEAF)
        is_convicted = wrong is not None and wrong.kind == ENDING
        if not is_convicted:
            failures.append(Failure(f"the control went unnoticed: {DEAF}", replay(NAME, 1, seed)))
        for number in range(count):
            fault = FAULTS[number % len(FAULTS)]
            call = drawn.choice(CALLS)
            when = drawn.randint(1, CALLS_MAX) if call in MET_EVERY_WRITE else drawn.randint(1, 3)
            injection = Injection(call, fault, str(when))
            ending, wrong = _struck(directory / f"{number}", seed + number, injection)
            endings[f"{fault}: {ending}"] += 1
            if wrong is not None:
                what = f"run {number}, {injection}: {ending}: {wrong.kind}: {wrong.what}"
                failures.append(Failure(what, replay(NAME, number + 1, seed)))
    control = f"convicted: {ended}" if is_convicted else "NOT FOUND"
    details = {"seed": seed, f"control: {DEAF}": control, **dict(sorted(endings.items()))}
    return Outcome(NAME, count, tuple(failures), round(time.monotonic() - began_s, 1), details)


def _struck(path: Path, seed: int, injection: Injection, *weaknesses: str) -> tuple[str, Fault | None]:
    """How a writer ended that met the fault, and what is wrong with that or with the log it left."""
    said = path.with_name(f"{path.name}.strace")
    prefix = ["strace", "-o", str(said), "-qq", "-y", *injection.options()]
    with WriterProcess(path, seed, WRITES, *weaknesses, prefix=prefix) as writer:
        status = writer.hear_to_the_end()
    if writer.refusal is not None:
        ending = writer.refusal
    elif writer.acknowledged == WRITES:
        ending = FINISHED
    else:
        ending = "hangs" if status is None else f"status {status}"
    is_hit = has_struck(said.read_text(errors="replace"), DATA_FILE)
    wrong = _wrong_ending(ending, injection, is_hit=is_hit)
    return ending, wrong or fault_on_start(path, History(seed), writer.acknowledged)


def _wrong_ending(ending: str, injection: Injection, *, is_hit: bool) -> Fault | None:
    """A fault that the writer met may end it in one way only, and must if it is its log's; one that it did not meet, in
    none. `is_hit`: a call on the log's own file failed."""
    allowed = set() if is_hit else {FINISHED}
    if injection.fault.startswith("error"):
        allowed |= {LogWriteFailed.code, LogError.code}
    elif injection.fault == "signal=KILL":
        allowed.add(KILLED)
    return None if ending in allowed else Fault(ENDING, f"not one of {sorted(allowed)}")


if __name__ == "__main__":
    start(command(NAME, failing_calls, count=100, what="Let one call of a log's writer fail, stall or kill."))
