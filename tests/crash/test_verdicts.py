"""The instruments' own judgement: what each calls lost, altered, rolled back or served."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from es.log.last_write import LAST_WRITE_FILE
from es.log.lmdb_log import DATA_FILE, LmdbLog
from ops.prove.damage import PAGE_BYTES
from ops.prove.damaged_files import DETECTED, HARMLESS, ROLLED_BACK, SERVED, WRITES, judged
from ops.prove.history import IDENTITY, History, fault_at, fault_on_start
from ops.prove.writer_process import WriterProcess

SEED = 5


def written(path: Path, writes: int, seed: int = SEED) -> Path:
    history = History(seed)
    with closing(LmdbLog.create(path, IDENTITY)) as log:
        for number in range(1, writes + 1):
            log.write(history.step(number).write)
    return path


def kind(path: Path, acknowledged: int, begun: int) -> str | None:
    fault = fault_at(path, History(SEED), acknowledged, begun)
    return fault.kind if fault else None


def test_a_history_is_the_same_every_time() -> None:
    ahead = History(SEED)
    ahead.step(9)
    assert ahead.step(4) == History(SEED).step(4)
    assert History(SEED).step(9) != History(SEED + 1).step(9)


@pytest.mark.parametrize(
    ("acknowledged", "begun", "expected"), [(6, 6, None), (5, 7, None), (7, 7, "lost"), (4, 5, "altered")]
)
def test_a_log_holds_every_acknowledged_write_and_none_that_had_not_begun(
    tmp_path: Path, acknowledged: int, begun: int, expected: str | None
) -> None:
    assert kind(written(tmp_path / "log", 6), acknowledged, begun) == expected


def test_another_history_is_altered(tmp_path: Path) -> None:
    assert kind(written(tmp_path / "log", 6, seed=SEED + 1), 0, 6) == "altered"


def test_all_that_a_writer_has_acknowledged_is_heard(tmp_path: Path) -> None:
    with WriterProcess(tmp_path / "log", SEED, 50) as writer:
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # all of it stands in the pipe by then
        writer.hear(1)
        assert writer.hear_to_the_end() == 0
        assert (writer.acknowledged, writer.refusal) == (50, None)


def test_a_log_that_is_not_there_is_lost_once_its_creation_was_acknowledged(tmp_path: Path) -> None:
    assert fault_on_start(tmp_path, History(SEED), -1) is None
    fault = fault_on_start(tmp_path, History(SEED), 0)
    assert fault is not None and fault.kind == "lost"


def whole(path: Path) -> None:
    """Nothing happens to it."""


def cut_short(path: Path) -> None:
    os.truncate(path / DATA_FILE, 3 * PAGE_BYTES)


def forgotten(path: Path) -> None:
    (path / LAST_WRITE_FILE).unlink()


@pytest.mark.parametrize(
    ("writes", "seed", "harm", "ending"),
    [
        (WRITES, SEED, whole, HARMLESS),
        (WRITES, SEED, cut_short, DETECTED),
        (WRITES - 1, SEED, forgotten, ROLLED_BACK),
        (WRITES, SEED + 1, whole, SERVED),
    ],
)
def test_endings_of_a_damaged_log(
    tmp_path: Path, writes: int, seed: int, harm: Callable[[Path], None], ending: str
) -> None:
    path = written(tmp_path / "log", writes, seed)
    harm(path)
    assert judged(path, History(SEED)).ending == ending
