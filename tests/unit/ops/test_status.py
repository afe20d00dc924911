"""`aulario status`: what its table says of each kind of process."""

from __future__ import annotations

from contextlib import ExitStack
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
    (history / "faculty-1").mkdir(exist_ok=True)
    names = "server-a", "witness", "faculty-1"
    with ExitStack() as holders:
        pids = [str(holders.enter_context(held(history / name, *name.split("-")))) for name in names]
        holders.enter_context(held(history / "server-b", "log", "verify"))
        shown = aulario("status", "--dir", history, "-o", "csv")
    states = {line.split(",")[0]: line.split(",")[1:3] for line in shown.stdout.splitlines()}
    assert [states[name] for name in names] == [["silent", pid] for pid in pids]
    assert states["server-b"] == states["faculty-2"] == ["dead", ""]
