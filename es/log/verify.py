"""Is a stored log whole? A walk over all of it, in a child process where a node cannot die of it.

LMDB maps its file: reading a truncated one is SIGBUS, a zeroed page SIGABRT. A node therefore lets a
child read its log first (`verify_in_child`) and takes the child's death for the damage it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGSEGV, Signals
from typing import Any

from es.codec import Batch, is_canonical
from es.errors import LogDamaged, LogError, LogInUse, LogMissing
from es.log.base import EMPTY, Head
from es.log.chain import broken_link, head_of
from es.log.directory_lock import DirectoryLock
from es.log.lmdb_log import DATA_FILE, LmdbLog, damage_in, structural_damage

PROGRESS_BATCHES = 256
"""The child says how far it is once in so many batches, so that its death can be placed."""
VERIFY_LIMIT_MS = 600_000
"""A child that takes longer is ended; a log of some ten million events takes a minute or two."""


@dataclass(slots=True, frozen=True)
class Damage:
    """The first thing found wrong, as a sentence. It lies at or after `seq`, the first event that is
    not known to be sound; None if it is the file's own and cannot be placed."""

    seq: int | None
    what: str


@dataclass(slots=True, frozen=True)
class Report:
    """What a walk saw: how many batches and events were sound, what they take, and where they end (`head`).

    `structure_checked` is False if another process held the directory: its pages move under the
    walk, so only the chain was read.
    """

    batches: int
    events: int
    batch_bytes: int
    head: Head
    commit_seq: int
    structure_checked: bool
    damage: Damage | None


def _unheard(seq: int) -> None:
    """The listener of a walk that nobody watches."""


def verify(path: Path, from_seq: int = 1, on_progress: Callable[[int], None] = _unheard) -> Report:
    """Walk the log in `path` to its end, from the batch before the one that holds `from_seq`.

    Checks the pages (unless somebody writes); of each batch its hash, its one encoding and its place
    (key = first_seq, no gap, prev_hash; epochs and time never fall); of the log, that the chain
    reaches its stored head and commit point. `on_progress` hears the last sound sequence number now
    and then. Raises LogMissing, or LogError for a format it does not know; damage is in the report.
    A damaged file may kill the process: a node calls `verify_in_child`.
    """
    path = Path(path)
    with _held(path) as alone:
        if alone and (problems := structural_damage(path)):
            return Report(0, 0, 0, EMPTY, 0, True, Damage(None, str(damage_in(path, problems[0]))))
        try:
            log = LmdbLog.open(path, readonly=True)
        except LogDamaged as error:
            return Report(0, 0, 0, EMPTY, 0, alone, Damage(None, str(error)))
        try:
            return _walk(log, path, from_seq, alone, on_progress)
        finally:
            log.close()


def verify_in_child(path: Path, from_seq: int = 1, *, time_limit_ms: int = VERIFY_LIMIT_MS) -> Report:
    """`verify` in a process of its own, which a damaged file may kill. The report of a sound log.

    LogDamaged, in one sentence that says up to where the log is sound, if it is not. LogMissing as
    `verify`. PermissionError, which names the file, if this user may not read it. LogError if the child could not
    finish for another reason that is not the log's.
    """
    command = [sys.executable, "-m", "es.log.verify", str(path), str(from_seq)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=time_limit_ms / 1000, check=False)
    except subprocess.TimeoutExpired:
        raise LogError(f"the log in {path} was not verified within {time_limit_ms} ms") from None
    said = [json.loads(line) for line in child.stdout.split("\n")[:-1]]  # a line cut short says nothing
    last = said[-1] if said else {}
    if "report" in last:
        report = _report_from(last["report"])
        if report.damage is not None:
            raise _damaged(report.damage)
        return report
    if "missing" in last:
        raise LogMissing(last["missing"])
    if "forbidden" in last:
        raise PermissionError(*last["forbidden"])
    if "error" in last:
        raise LogError(last["error"])
    if -child.returncode in (SIGBUS, SIGSEGV, SIGABRT):
        what = f"the process that read it died of {Signals(-child.returncode).name}"
        raise _damaged(Damage(last["sound_seq"] + 1 if last else None, str(damage_in(path, what))))
    why = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise LogError(f"the log in {path} could not be verified: exit status {child.returncode}, {why}")


def _damaged(damage: Damage) -> LogDamaged:
    if damage.seq is None:
        return LogDamaged(damage.what)
    return LogDamaged(f"{damage.what} (sound up to seq {damage.seq - 1})")


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Keep writers out for a while; False if one is in already."""
    if not (path / DATA_FILE).exists():  # no log: leave nothing where there was nothing
        yield True
        return
    try:
        lock = DirectoryLock(path)
    except LogInUse:
        yield False
    except OSError:  # no lock can be taken where nothing can be written: nobody writes
        yield True
    else:
        try:
            yield True
        finally:
            lock.release()


def _walk(log: LmdbLog, path: Path, from_seq: int, alone: bool, on_progress: Callable[[int], None]) -> Report:
    commit_seq = log.commit_seq()
    # A living log may be truncated under the walk, but never below what is committed (I4).
    end_seq = log.head().seq if alone else commit_seq
    start_seq = max(1, min(from_seq - 1, end_seq))
    batches, events, batch_bytes, head, sound_seq = 0, 0, 0, EMPTY, start_seq - 1
    damage = None
    on_progress(sound_seq)
    try:
        for batch in log.batches(start_seq):
            if fault := _fault(batch, first=batches == 0):
                raise damage_in(path, fault)
            batches, events, batch_bytes = batches + 1, events + len(batch.entries), batch_bytes + len(batch.data)
            head, sound_seq = head_of(batch), batch.last_seq
            if batches % PROGRESS_BATCHES == 0:
                on_progress(sound_seq)
        if sound_seq < end_seq:
            raise damage_in(path, f"the chain ends at seq {sound_seq}, before seq {end_seq}")
    except LogDamaged as error:
        damage = Damage(sound_seq + 1, str(error))
    return Report(batches, events, batch_bytes, head, commit_seq, alone, damage)


def _fault(batch: Batch, *, first: bool) -> str | None:
    """What is wrong with a batch that its hash and its predecessor do not show."""
    if first and batch.first_seq == 1 and (broken := broken_link(EMPTY, batch)):
        return broken
    if not is_canonical(batch):
        return f"the batch at seq {batch.first_seq} is not encoded canonically"
    return None


def _report_from(plain: dict[str, Any]) -> Report:
    seq, epoch, digest, ts_us = plain.pop("head")
    damage = plain.pop("damage")
    return Report(head=Head(seq, epoch, bytes.fromhex(digest), ts_us), damage=damage and Damage(**damage), **plain)


def _say(**said: object) -> None:
    sys.stdout.write(json.dumps(said, default=bytes.hex) + "\n")
    sys.stdout.flush()


def main() -> None:
    """`python -m es.log.verify PATH FROM_SEQ`: the child of `verify_in_child`. A JSON object a line:
    how far it is, at last its report or why there is none."""
    path, from_seq = Path(sys.argv[1]), int(sys.argv[2])
    try:
        _say(report=asdict(verify(path, from_seq, lambda seq: _say(sound_seq=seq))))
    except LogMissing as error:
        _say(missing=str(error))
    except LogError as error:
        _say(error=str(error))
    except PermissionError as error:
        _say(forbidden=(error.errno, error.strerror, str(error.filename)))


if __name__ == "__main__":
    main()
