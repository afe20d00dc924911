"""A log that an earlier version wrote is read by this one as it was read then."""

from __future__ import annotations

import json

import pytest

from es.codec import FORMAT, is_canonical
from es.testing.history import check_history
from projections.rooms.checker import check_rooms
from tests.replay.kept_logs import KEPT, kept, known_kinds, names, told

NOBODY = "by 'registrar'"
"""Whom the first log names as the one who released and closed. No server ever wrote that name."""


@pytest.mark.parametrize("name", names())
def test_a_kept_log_comes_to_what_it_came_to(name: str) -> None:
    expected = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    del expected["format"]
    with kept(name) as log:
        assert told(log) == expected
        assert all(map(is_canonical, log.batches()))
        broken = [*check_history(log.batches()), *check_rooms(log.batches())]
    assert [one for one in broken if one.rule != "actor" or NOBODY not in one.sentence] == []


def test_the_format_and_every_kind_of_event_that_is_written_are_in_a_kept_log() -> None:
    """Whoever gives one a new version keeps a log of it: python -m tests.replay.kept_logs NAME."""
    every = [json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8")) for name in names()]
    assert FORMAT in {one["format"] for one in every}
    assert known_kinds() <= {kind for one in every for kind in one["kinds"]}
