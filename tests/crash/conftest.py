"""What this host does not permit is skipped, and the reason is printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops.prove.outcome import NotPermitted, Outcome

Instrument = Callable[[int, int], Outcome]


@pytest.fixture
def proven() -> Callable[[Instrument, int], Outcome]:
    """Runs an instrument a fixed number of times, always the same; fails with what to type to see it again."""

    def run(instrument: Instrument, count: int) -> Outcome:
        try:
            outcome = instrument(count, 20_240)
        except NotPermitted as why:
            print(f"skipped: {why}")  # noqa: T201
            pytest.skip(str(why))
        assert not outcome.failures, "\n".join(f"{one.what}\nreplay: {one.replay}" for one in outcome.failures)
        assert outcome.runs == count
        return outcome

    return run
