"""Who holds a data directory, asked from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from es.log.directory_lock import LOCK_FILE, DirectoryLock, holder_of, is_free

ROOT = Path(__file__).parents[3]
HOLDS = (
    "import sys; from pathlib import Path; from es.log.directory_lock import DirectoryLock; "
    "lock = DirectoryLock(Path(sys.argv[1])); print(flush=True); input()"
)


@contextmanager
def held(directory: Path, *words: str) -> Iterator[int]:
    """The id of another process that holds the directory meanwhile; `words` end its command line."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(directory), *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid
        holder.kill()


def test_the_holder_is_named_while_it_lives(tmp_path: Path) -> None:
    assert (holder_of(tmp_path), is_free(tmp_path)) == (None, True), "nobody ever held it"
    with held(tmp_path) as pid:
        assert (holder_of(tmp_path), is_free(tmp_path)) == (pid, False)
    assert (tmp_path / LOCK_FILE).read_text() == f"{pid}\n"
    assert (holder_of(tmp_path), is_free(tmp_path)) == (None, True)


def test_a_process_that_merely_has_the_id_is_not_the_holder(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text(f"{os.getpid()}\n")
    assert (holder_of(tmp_path), is_free(tmp_path)) == (None, True)
    lock = DirectoryLock(tmp_path)
    assert (holder_of(tmp_path), is_free(tmp_path)) == (os.getpid(), False)
    lock.release()
    assert (holder_of(tmp_path), is_free(tmp_path)) == (None, True)


def test_a_holder_that_cannot_be_asked_may_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's: nobody else sees which files it has open."""

    def refuse(_path: str) -> list[str]:
        raise PermissionError

    monkeypatch.setattr(os, "listdir", refuse)
    (tmp_path / LOCK_FILE).write_text(f"{os.getpid()}\n")
    assert (holder_of(tmp_path), is_free(tmp_path)) == (None, False)
