"""Commands that write, on a disk that is full or read-only: one sentence names the file and the cause, and the status
is the one of a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.ops.command import aulario

FULL, READ_ONLY = "No space left on device", "Read-only file system"
WRITING = (
    ("up", "--dir"), ("report",), ("keys", "rotate", "server:b", "--dir"), ("prometheus", "--write-only", "--dir"),
)  # fmt: skip


def mount(*arguments: str | Path) -> None:
    if subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one page for its content."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=4k", "tmpfs", place)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> None:
    """Leave no page free."""
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(os.sysconf("SC_PAGE_SIZE")))


def refused(cause: str, disk: Path, *command: str | Path) -> None:
    done = aulario(*command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert done.stderr.startswith("Error: ")
    assert f"{disk}/" in done.stderr
    assert cause in done.stderr


def test_a_cluster_that_has_no_room_is_not_made(disk: Path) -> None:
    refused(FULL, disk, "init", "--dir", disk / "c", "--faculties", "1")
    refused(FULL, disk, "up", "--dir", disk / "c")


@pytest.mark.parametrize("cause", [FULL, READ_ONLY])
def test_what_cannot_be_written_is_named(history: Path, disk: Path, cause: str) -> None:
    mount("-o", "remount,size=2m", disk)
    cluster = disk / "c"
    shutil.copytree(history, cluster, ignore=shutil.ignore_patterns("disk"))
    if cause == READ_ONLY:
        mount("-o", "remount,ro", disk)
    else:
        fill(disk)
    for command in WRITING:
        refused(cause, disk, *command, cluster)
    if cause == READ_ONLY:
        refused(cause, disk, "server", "a", "--dir", cluster)
        refused(cause, disk, "witness", "--dir", cluster, "--log-file", disk / "said")
