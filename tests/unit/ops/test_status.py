"""`aulario status`: what its table says of each kind of process."""

from __future__ import annotations

import pytest

from ops.status import _role


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
