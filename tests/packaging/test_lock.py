"""The locks: every package pinned and hashed, no registry named, both in step with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def pinned(lock: str) -> dict[str, tuple[str, int]]:
    """Name -> (version, number of hashes)."""
    text = (REPOSITORY / lock).read_text()
    found = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    return {name: (version, hashes.count("sha256")) for name, version, hashes in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_with_hashes_for_more_than_one_platform(lock: str) -> None:
    packages = pinned(lock)
    lines = [line for line in (REPOSITORY / lock).read_text().splitlines() if line and line[0] not in " #"]
    assert len(lines) == len(packages)
    assert min(count for _, count in packages.values()) >= 2
    assert packages["lmdb"][1] > 10
    assert packages["pyzmq"][1] > 10


@pytest.mark.parametrize("lock", LOCKS)
def test_no_registry_and_no_local_path_is_named(lock: str) -> None:
    assert not re.search(r"://|--index|--find-links|file:|@ ", (REPOSITORY / lock).read_text())


def test_both_locks_agree_and_cover_what_the_project_asks_for() -> None:
    runtime, development = map(pinned, LOCKS)
    assert runtime.items() <= development.items()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]}
    asked_dev = {re.split(r"[<>=]", requirement)[0] for requirement in project["optional-dependencies"]["dev"]}
    assert asked <= runtime.keys()
    assert asked_dev <= development.keys()
