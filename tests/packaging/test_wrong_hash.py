"""What is installed is what the lock pinned: with one digit of its hashes changed a package is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "click"
"""Small, and without parts in another language."""

INSTALL_LIMIT_S = 100


def locked() -> str:
    """What the lock says of that package."""
    text = (REPOSITORY / "requirements.lock").read_text()
    found = re.search(rf"^{PACKAGE}==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", text, re.MULTILINE)
    assert found, f"{PACKAGE} is in the lock"
    return found[0]


def install(requirement: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """As `make setup` installs it, but to a place of its own and from the registry alone."""
    directory.mkdir()
    lock = directory / "requirements.lock"
    lock.write_text(requirement)
    target = ("--target", str(directory / "installed"), "--no-deps", "--no-cache-dir", "--disable-pip-version-check")
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "--require-hashes", *target, "-r", str(lock)],
        capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False,
    )  # fmt: skip


@pytest.mark.timeout(3 * INSTALL_LIMIT_S)
def test_a_package_with_another_hash_than_the_locked_one_is_not_installed(tmp_path: Path) -> None:
    done = install(locked(), tmp_path / "sound")
    if done.returncode != 0 and "DO NOT MATCH THE HASHES" not in done.stderr:
        pytest.skip(f"no registry gives {PACKAGE} here: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sound" / "installed" / PACKAGE).is_dir()

    def changed(match: re.Match[str]) -> str:
        return match[1] + ("0" if match[2] != "0" else "1")

    wrong = install(re.sub(r"(sha256:[0-9a-f]{63})([0-9a-f])", changed, locked()), tmp_path / "wrong")
    assert wrong.returncode != 0
    assert "DO NOT MATCH THE HASHES" in wrong.stderr
    assert not (tmp_path / "wrong" / "installed" / PACKAGE).exists()
