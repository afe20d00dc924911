from __future__ import annotations

import pytest

from nodes.security.principals import KINDS, principal

GOOD = (
    "server:a",
    "witness",
    "faculty:3",
    "faculty:0",
    "program:3/17",
    "program:3/*",
    "operator:ana",
    "auditor:e.v-a_1",
)
BAD = (
    "", "server", "server:", "server:a b", "server:.a", f"server:{'a' * 65}", "witness:", "witness:w", "faculty:03",
    "faculty:-1", "faculty:٣", "faculty:x", f"faculty:{'9' * 40}", "program:3", "program:3/", "program:*/3",
    "program:3/17/1", "program:3/017", "operator:", "operator:a/b", "root:a", "Server:a", " server:a", "server:é",
    "server:a\n",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_is_written_is_read(text: str) -> None:
    read = principal(text)
    assert str(read) == text
    assert read.kind in KINDS


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no principal") as refused:
        principal(text)
    assert "\n" not in str(refused.value)
