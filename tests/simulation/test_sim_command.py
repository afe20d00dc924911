"""`aulario sim`: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ops.cli import cli
from ops.sim import mutant_search, revision
from ops.sim.mutants import MUTANTS
from ops.sim.suite import LOADS, Schedule
from tests.simulation.known_schedules import FOUND_AT

REPOSITORY = Path(__file__).parents[2]


def sim(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sim", "--jobs", "1", *arguments])


def outcome(result: Result) -> dict[str, Any]:
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    assert set(found) == {"name", "runs", "failures", "seconds", "details"}
    return found


def test_a_sound_run_says_what_it_met() -> None:
    result = sim("--seeds", "3", "-o", "json")
    found = outcome(result)
    details = found["details"]
    assert result.exit_code == 0
    assert (found["name"], found["runs"], found["failures"]) == ("sim", 3 * len(LOADS), [])
    assert details["jobs"] == 1
    assert details["commit"]
    assert details["commands"] >= 600
    assert details["faults"] == sum(details["counts"]["faults"].values())
    assert details["counts"]["transitions"]["claiming -> opening: the register is ours"] > 0
    assert details["counts"]["pairs"]


def test_a_sound_run_for_people_ends_with_no_violation() -> None:
    result = sim("--seeds", "2")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{2 * len(LOADS)} schedules in ")
    assert "\ntransitions " in result.stdout
    assert result.stdout.endswith("\nno violation\n")
    assert result.stderr == ""


def test_blind_spots_are_named() -> None:
    result = sim("--seeds", "2")
    assert "pairs never met:\n" in result.stdout


def test_a_violation_is_shrunk_and_tells_how_to_see_it_again() -> None:
    where = FOUND_AT["joining early"]
    assert isinstance(where, Schedule)
    at = f"--load {where.load} --seed {where.seed}"
    result = sim(*at.split(), "--mutant", "joining early", "-o", "json")
    (failure,) = outcome(result)["failures"]
    details = outcome(result)["details"]
    assert result.exit_code == 1
    assert failure["what"].startswith(f"{where}: I4: ")
    assert failure["replay"].startswith(f"aulario sim {at} --without ")
    assert failure["replay"].endswith('--trace --mutant "joining early"')
    assert details["shrunk"]["to_faults"] < details["shrunk"]["from_faults"]
    assert details["trace"][-1].startswith("VIOLATION I4: ")
    assert "looking for fewer faults" in result.stderr


def test_a_failing_directed_schedule_is_shown_as_it_is() -> None:
    result = sim("--seeds", "0", "--mutant", "late promise")
    assert result.exit_code == 1
    assert "VIOLATION directed schedule 'late promise': I6: " in result.stdout
    assert "> release Registered\n" in result.stdout
    assert 'replay: aulario sim --seeds 0 --mutant "late promise"' in result.stdout


def test_mutants_are_listed_with_what_finds_them() -> None:
    where = FOUND_AT["resumed epoch"]
    assert isinstance(where, Schedule)
    seeds = ("--first", str(where.seed), "--seeds", "1")
    found = outcome(sim("--mutants", "--mutant", "resumed epoch", *seeds, "-o", "json"))
    (row,) = found["details"]["mutants"]
    assert (found["name"], found["runs"], found["failures"]) == ("mutants", 1, [])
    assert (row["mutant"], row["rule"], row["load"]) == ("resumed epoch", "R6", where.load)
    assert "no epoch fence" in row["directed"]


def test_a_mutant_that_survives_is_a_failure() -> None:
    arguments = ("--mutants", "--mutant", "mobile lab counted twice", "--seeds", "0")
    result = sim(*arguments)
    assert result.exit_code == 1
    assert "SURVIVES mobile lab counted twice" in result.stdout
    (failure,) = outcome(sim(*arguments, "-o", "json"))["failures"]
    assert failure["replay"] == 'aulario sim --mutants --mutant "mobile lab counted twice" --seeds 0'


def test_all_mutants_are_searched_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant_search, "run_directed", lambda name: [])
    found = outcome(sim("--mutants", "--seeds", "0", "-o", "json"))
    assert [row["mutant"] for row in found["details"]["mutants"]] == list(MUTANTS)


def test_a_trace_in_json_goes_to_stderr() -> None:
    result = sim("--load", "rooms", "--seed", "1", "--trace", "-o", "json")
    assert outcome(result)["failures"] == []
    assert "following -> claiming" in result.stderr


@pytest.mark.parametrize("option", [("--without", "1"), ("--calm", "loss"), ("--draw", "2")])
def test_what_alters_one_schedule_needs_one(option: tuple[str, str]) -> None:
    result = sim(*option)
    assert result.exit_code == 2
    assert "name its --load and its --seed" in result.stderr


@pytest.mark.parametrize("option", [("--seeds", "5"), ("--first", "3")])
def test_one_seed_alone_is_no_range_of_seeds(option: tuple[str, str]) -> None:
    result = sim("--seed", "3", *option)
    assert result.exit_code == 2
    assert "goes with neither --seeds nor --first" in result.stderr


def test_the_module_is_the_command() -> None:
    arguments = ("--load", "ledger", "--seed", "3", "--jobs", "1", "--trace")
    done = subprocess.run(
        [sys.executable, "-m", "ops.sim", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == sim(*arguments).stdout


def test_the_code_is_named_by_its_commit_or_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], cwd=tmp_path, check=True)

    monkeypatch.setattr(revision, "CHECKOUT", tmp_path)
    monkeypatch.setattr(revision, "version", lambda name: f"{name} 9.9")
    assert revision.revision() == "aulario 9.9"
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    clean = revision.revision()
    assert len(clean) == 12 and int(clean, 16) >= 0
    (tmp_path / "new").write_text("text")
    assert revision.revision() == f"{clean}+changes"
