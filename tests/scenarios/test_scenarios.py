"""Each script plays as its file says, line by line. `pytest tests/scenarios --rewrite` writes the traces anew: review
them as a diff. What a fault must do is no matter of review: PROMISES hold of every trace, rewritten or not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from es.testing.checker import Checker, Violation
from es.testing.scenario import LEDGER, play
from tests.scenarios.promises import PROMISES
from tests.scenarios.rooms_vocabulary import RoomsVocabulary

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "PROTOCOL.md").read_text(encoding="utf-8")
SCRIPTS = sorted(HERE.glob("*.txt"))
VOCABULARIES = (LEDGER, RoomsVocabulary())
FAULTS = 19
"""Rows of the table: a fault that is taken out of it is a fault that nobody looks at any more."""


def fault_table() -> dict[str, list[str]]:
    """The scenarios of each fault, as PROTOCOL.md links them."""
    table = PAGE.split("| fault | behaviour | scenarios |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()]
    return {fault.strip(): re.findall(r"\(tests/scenarios/(\w+)\.txt\)", scenarios) for fault, _, scenarios in rows}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_cluster_does_what_the_script_says(path: Path, request: pytest.FixtureRequest) -> None:
    expected = path.read_text(encoding="utf-8")
    played = play(expected, VOCABULARIES)
    if request.config.getoption("--rewrite"):
        path.write_text(played, encoding="utf-8")
    else:
        assert played == expected


@pytest.mark.parametrize("name", PROMISES)
def test_the_trace_shows_what_is_promised_of_the_fault(name: str) -> None:
    played = play((HERE / f"{name}.txt").read_text(encoding="utf-8"), VOCABULARIES)
    at = 0
    for promise in PROMISES[name]:
        shown = re.compile(promise, re.MULTILINE).search(played, at)
        assert shown is not None, f"{promise!r} is not in what follows:\n{played[at:]}"
        at = max(shown.end() - 1, at)  # the newline before the next promise belongs to both


def test_every_fault_has_a_scenario_and_every_scenario_a_fault() -> None:
    table = fault_table()
    assert len(table) == FAULTS
    assert [fault for fault, scenarios in table.items() if not scenarios] == []
    named = {name for scenarios in table.values() for name in scenarios}
    assert named == {path.stem for path in SCRIPTS} == set(PROMISES)


def test_a_line_that_is_no_command_is_named() -> None:
    for line in ("explode a", "freeze a 5 ears", "credit x at a", "run 5\n> application rooms"):
        with pytest.raises(ValueError, match=f"no command: '{line.rpartition('> ')[2]}'"):
            play(f"> {line}\n", VOCABULARIES)
    with pytest.raises(ValueError, match="no application 'chess'"):
        play("> application chess\n", VOCABULARIES)


def test_every_script_ends_on_a_healed_cluster_of_which_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[set[str]] = []
    monkeypatch.setattr(Checker, "on_end", lambda _, logs, replicas: ends.append(set(replicas)))
    played = play("> run 1000\n> hold Beacon a -> b\n> cut b w\n> crash w\n> crash a\n")
    assert played.endswith("> crash a\na crashed\n")
    assert ends == [{"a", "b"}]


def test_what_is_awaited_comes_or_liveness_is_violated() -> None:
    assert play("> run 1000\n> crash a\n> await b 1000\n").endswith("the epoch's first batch has committed\n")
    with pytest.raises(Violation, match="liveness: b serves did not happen within 500 ms"):
        play("> run 1000\n> await b 500\n")
