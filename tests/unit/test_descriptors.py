"""The reserve of descriptors: a process's own files are opened where connections have taken everything else."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from es import descriptors, durability
from nodes.checkpoints import files
from nodes.faculty import program_registry
from nodes.security import principals
from nodes.security.keys import new_keys
from nodes.security.secret_keys import load_secret, save_secret
from nodes.witness import register_file


@pytest.fixture
def none_left() -> Iterator[int]:
    """No descriptor is left below the soft limit, and some are below the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        yield lowest + 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(lowest)


def test_the_register_is_saved(tmp_path: Path, none_left: int) -> None:
    register_file.save(tmp_path / "register", b"record")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == none_left, "what was lent is given back"
    with pytest.raises(OSError, match="Too many open files"):
        register_file.load(tmp_path / "register")


def test_a_log_grows(tmp_path: Path, none_left: int) -> None:
    os.mknod(tmp_path / "log")
    durability.preallocate(tmp_path / "log", 100)
    assert (tmp_path / "log").stat().st_size == 100


def test_programs_and_checkpoints_are_kept_and_keys_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keys = new_keys(principals.WITNESS, "2026-01-31T12:00:00Z")
    save_secret(tmp_path, keys)
    request.getfixturevalue("none_left")
    program_registry.save(tmp_path, "{}")
    files.append(tmp_path / "checkpoints", b"", durable=True)
    assert load_secret(tmp_path, principals.WITNESS) == keys


def test_without_a_reserve_the_error_is_told_and_another_error_is_not_tried_twice() -> None:
    tried: list[int] = []

    def act(error: int) -> int:
        tried.append(error)
        raise OSError(error, os.strerror(error))

    for error, times in ((errno.EMFILE, 2), (errno.ENOSPC, 1)):
        with pytest.raises(OSError, match=os.strerror(error)):
            descriptors.with_reserve(partial(act, error))
        assert tried.count(error) == times


def test_the_soft_limit_is_raised_to_the_hard_one_but_for_the_reserve() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        soft = descriptors.keep_reserve()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, before[1])
        assert soft + descriptors.RESERVED in (before[1], descriptors.DESCRIPTORS_MAX)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
