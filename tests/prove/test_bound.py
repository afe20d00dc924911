"""The bound on a rate: three in N after no failure, else where so few failures are one chance in twenty."""

from __future__ import annotations

import math

import pytest

from ops.prove.bound import DOUBT, upper_bound


def test_without_a_failure_it_is_the_rule_of_three() -> None:
    assert upper_bound(0, 300) == 0.01
    assert upper_bound(0, 100_000) == 3e-5


def test_it_is_never_more_than_certainty() -> None:
    assert upper_bound(0, 1) == 1.0
    assert upper_bound(7, 7) == 1.0


@pytest.mark.parametrize(("failures", "runs"), [(1, 2), (1, 100), (3, 40), (99, 100), (2, 1_040), (5, 100_000)])
def test_at_the_bound_so_few_failures_are_one_chance_in_twenty(failures: int, runs: int) -> None:
    rate = upper_bound(failures, runs)
    chance = sum(math.comb(runs, k) * rate**k * (1 - rate) ** (runs - k) for k in range(failures + 1))
    assert chance == pytest.approx(DOUBT, rel=1e-6)


def test_one_failure_in_a_hundred_as_in_the_tables() -> None:
    assert upper_bound(1, 100) == pytest.approx(0.0466, abs=5e-5)
