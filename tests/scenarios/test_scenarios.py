"""Each script plays as its file says, line by line. `pytest tests/scenarios --rewrite` writes the traces anew: review
them as a diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from es.testing.scenario import play

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_cluster_does_what_the_script_says(path: Path, request: pytest.FixtureRequest) -> None:
    expected = path.read_text(encoding="utf-8")
    played = play(expected)
    if request.config.getoption("--rewrite"):
        path.write_text(played, encoding="utf-8")
    else:
        assert played == expected


def test_a_line_that_is_no_command_is_named() -> None:
    with pytest.raises(ValueError, match="no command: 'explode a'"):
        play("> explode a\n")


def test_every_row_of_the_fault_table_that_two_nodes_can_meet_has_a_script() -> None:
    assert len(SCRIPTS) >= 19
