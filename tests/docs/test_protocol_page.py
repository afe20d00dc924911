"""PROTOCOL.md says what the code does: roles, codes, files and tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

from es.replication.transitions import TRANSITIONS
from nodes.wire.schema import FORBIDDEN, NOT_ACTIVE, STATUSES
from projections.rooms import commands

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")


def test_every_move_between_roles_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| (following|promising|claiming|opening|leading) \| (.+?) \| (\w+) \|$", PAGE, re.M)
    assert documented == [(before.value, why, after.value) for (before, why), after in TRANSITIONS.items()]


def test_every_status_and_code_is_documented() -> None:
    codes = {
        commands.NOT_ENOUGH_ROOMS, commands.REJECTED, commands.ACK_TIMEOUT, commands.BAD_FIELD, commands.CONFLICT,
        commands.UNKNOWN_TRANSACTION, commands.AMBIGUOUS, commands.TERM_CLOSED, commands.BUSY, NOT_ACTIVE,
        commands.RELEASED, commands.UNKNOWN_TERM, FORBIDDEN, commands.LIMIT_REACHED,
    }  # fmt: skip
    table = PAGE.split("| STATUS |")[1].split("\n\n")[0]
    for word in (*STATUSES, *codes):
        assert re.search(rf"\b{word}\b", table), f"{word} is not in the table of statuses"


def test_every_file_and_test_it_names_exists() -> None:
    for name in ("PROTOCOL.md", "ARCHITECTURE.md", "README.md", "SECURITY.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page):
            assert (ROOT / target).exists(), f"{name} links to {target}"
        for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page):
            assert re.search(rf"def {test}\b", (ROOT / path).read_text(encoding="utf-8")), f"{name} names {test}"


def test_every_rule_names_tests_that_exist() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests/unit/replication").glob("test_*.py"))
    patterns = re.findall(r"`(test_r\d+b?_)\*`", PAGE)
    assert len(patterns) == 15
    for pattern in patterns:
        assert f"def {pattern}" in sources, f"no test is called {pattern}…"
