"""What runs without a failure, or with few, say about the rate of failures."""

from __future__ import annotations

import math
from typing import Final

DOUBT: Final = 0.05
"""Share of series that the bound is wrong about, if every run is drawn independently."""

RULE_OF_THREE: Final = 3.0
"""-ln(0.05), rounded up: 0 failures in N runs bound the rate below 3/N."""

BISECTIONS: Final = 60


def upper_bound(failures: int, runs: int) -> float:
    """The rate of failures below which the true rate lies, at 95 %: 3/N after none, else Clopper and Pearson's
    one-sided bound, the rate at which so few failures would be seen in one series of twenty.

    0 <= failures <= runs, and at least one run.
    """
    assert 0 <= failures <= runs and runs > 0
    if failures == runs:
        return 1.0
    if failures == 0:
        return min(1.0, RULE_OF_THREE / runs)
    low, high = failures / runs, 1.0
    for _ in range(BISECTIONS):
        rate = (low + high) / 2
        low, high = (rate, high) if _at_most(failures, runs, rate) > DOUBT else (low, rate)
    return high


def _at_most(failures: int, runs: int, rate: float) -> float:
    """The probability of so few failures or fewer: the binomial distribution, summed in logarithms."""
    if rate >= 1.0:
        return 0.0
    return math.fsum(
        math.exp(
            math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
            + k * math.log(rate) + (runs - k) * math.log1p(-rate)
        )
        for k in range(failures + 1)
    )  # fmt: skip
