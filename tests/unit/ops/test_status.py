"""`aulario status`: what its table says of each kind of process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.status import _role
from tests.unit.log.test_directory_lock import held
from tests.unit.ops.command import aulario


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"role": "backup"}, "backup"),
        ({"primary": "a", "in_sync": ["a", "b"]}, "names a"),
        ({"follows": "b"}, "follows b"),
        ({"follows": None}, None),
        ({"role": None, "active": None}, None),
    ],
)
def test_a_role_is_said_in_words_that_tell_whose_it_is(told: dict[str, object], shown: str | None) -> None:
    assert _role(told) == shown


def test_who_holds_its_data_and_does_not_answer_is_silent_whoever_started_it(history: Path) -> None:
    with held(history / "server-a") as server, held(history / "witness") as witness:
        shown = aulario("status", "--dir", history, "-o", "csv")
    states = {line.split(",")[0]: line.split(",")[1:3] for line in shown.stdout.splitlines()}
    assert states["server-a"] == ["silent", str(server)]
    assert states["witness"] == ["silent", str(witness)]
    assert states["server-b"] == states["faculty-1"] == ["dead", ""]
