"""The process whose disk fails: it writes a seed's history into a log and says what is acknowledged.

    python -m ops.prove.writer PATH SEED WRITES ACKNOWLEDGEMENTS [WEAKNESS]

It creates the log in PATH if there is none, else goes on where it ends, until WRITES are stored, and
appends the number of each write to the file ACKNOWLEDGEMENTS once `LmdbLog.write` has returned (0 once the
log is created); `failed CODE`, and its sentence, if one did not. A WEAKNESS takes a guarantee away from
the log for a control: the log's own code has no such switch.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from es.errors import LogError
from es.log.lmdb_log import DATA_FILE, LmdbLog
from ops.prove.history import IDENTITY, History, writes_in

WEAKNESSES = {"no-metasync": {"metasync": False}, "no-sync": {"sync": False, "metasync": False}}
"""What LMDB is told instead of what the log tells it."""

DEAF = "deaf"
"""A log that goes on as if nothing had happened when LMDB refuses a write."""


def weaken(weakness: str) -> None:
    """Open every log of this process with less than it asks for."""
    engine = sys.modules["lmdb"]
    whole = engine.open
    engine.open = lambda path, **told: whole(path, **{**told, **WEAKNESSES[weakness]})  # type: ignore[attr-defined]


def deafen() -> None:
    """Let no log of this process hear of what fails."""
    commit, engine = LmdbLog._commit, sys.modules["lmdb"]

    def deaf(self: LmdbLog, *arguments: Any) -> None:
        try:
            commit(self, *arguments)
        except engine.MapFullError:
            raise  # the log makes room and writes again
        except engine.Error:
            return

    LmdbLog._commit = deaf  # type: ignore[method-assign, assignment]


def main() -> None:
    path, seed, writes, acknowledgements = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    for weakness in sys.argv[5:]:
        deafen() if weakness == DEAF else weaken(weakness)
    fd = os.open(acknowledgements, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    say = partial(os.write, fd)
    try:
        log = LmdbLog.open(path) if (path / DATA_FILE).exists() else LmdbLog.create(path, IDENTITY)
        written = writes_in(log)
        say(b"%d\n" % written)
        history = History(seed)
        for number in range(written + 1, writes + 1):
            log.write(history.step(number).write)
            say(b"%d\n" % number)
        log.close()
    except LogError as error:
        say(f"failed {error.code} {error}\n".encode())


if __name__ == "__main__":
    main()
