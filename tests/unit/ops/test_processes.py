"""Processes that cannot start: one sentence, and the status that says who must mend it."""

from __future__ import annotations

from pathlib import Path

from ops.exits import INTEGRITY, USAGE
from tests.unit.ops.command import aulario


def refused(exit_code: int, *arguments: object) -> str:
    done = aulario(*map(str, arguments))
    assert (done.returncode, done.stderr.count("\n")) == (exit_code, 1), done.stderr
    return done.stderr


def test_a_log_file_that_cannot_be_is_wrong_usage(cluster: Path) -> None:
    said = refused(USAGE, "faculty", 1, "--dir", cluster, "--log-file", cluster / "none" / "x.log")
    assert said == f"Error: {cluster}/none/x.log: No such file or directory\n"


def test_a_directory_that_cannot_be_is_wrong_usage(cluster: Path) -> None:
    assert refused(USAGE, "up", "--dir", "/proc/x") == "Error: /proc/x: No such file or directory\n"


def test_a_damaged_file_of_programs_is_left_to_a_person(cluster: Path) -> None:
    """A faculty that began a new one would give numbers twice."""
    programs = cluster / "faculty-1" / "programs.json"
    programs.parent.mkdir(exist_ok=True)
    programs.write_text("x")
    said = refused(INTEGRITY, "faculty", 1, "--dir", cluster)
    assert said.startswith(f"Error: {programs} is not a file of programs (")
    assert programs.read_text() == "x"
