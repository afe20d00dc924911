"""Percentiles are exact, by the definition of the nearest rank."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.report.statistics import nearest_rank, summarise


def by_definition(values: list[int], percent: int) -> int:
    """The smallest value that at least `percent` of all values do not exceed."""
    return min(one for one in values if Fraction(sum(other <= one for other in values), len(values)) * 100 >= percent)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 100))
def test_the_nearest_rank_is_what_its_definition_says(values: list[int], percent: int) -> None:
    assert nearest_rank(sorted(values), percent) == by_definition(values, percent)


def test_a_summary_is_in_ms() -> None:
    summary = summarise([us * 1_000 for us in range(1, 101)] + [None])
    assert summary == (100, 50.5, 1.0, 100.0, 50.0, 95.0, 99.0)


@pytest.mark.parametrize("nothing", [[], [None]])
def test_nothing_measured_is_no_summary(nothing: list[int | None]) -> None:
    assert summarise(nothing) is None
