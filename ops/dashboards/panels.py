"""What a dashboard is made of, as plain values. `$cluster` in a query is the cluster that the reader chose."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

SECONDS: Final = "s"
BYTES: Final = "bytes"
COUNT: Final = "short"
PER_SECOND: Final = "cps"
SHARE: Final = "percentunit"

GOOD: Final = "green"
FAIR: Final = "yellow"
BAD: Final = "red"
NEUTRAL: Final = "blue"

CLUSTER: Final = 'cluster=~"$cluster"'
"""Every query's first matcher."""

WINDOW: Final = "[$__rate_interval]"


class Kind(Enum):
    """How a panel draws its queries."""

    LINES = "lines"
    STACK = "stack"
    STAT = "stat"
    TIMELINE = "timeline"


class Query(NamedTuple):
    """One expression and what its curves are called; `{{label}}` stands for a label's value."""

    expr: str
    legend: str


class Limit(NamedTuple):
    """From `value` on a curve is shown in `color`; None begins the scale."""

    value: float | None
    color: str


class State(NamedTuple):
    """What a value is called in a timeline."""

    text: str
    color: str


class Panel(NamedTuple):
    """One panel: 24 units of `width` are a line."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    limits: tuple[Limit, ...] = (Limit(None, GOOD),)
    kind: Kind = Kind.LINES
    width: int = 12
    states: Mapping[int, State] = {}


class Row(NamedTuple):
    """A heading and what stands below it."""

    title: str
    panels: tuple[Panel, ...]


class Board(NamedTuple):
    """One dashboard. `variables` maps further choices of the reader to the metric whose label they name."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: Mapping[str, str] = {}


def quantiles(histogram: str, matchers: str, by: str, legend: str) -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram, a curve for each value of the labels `by`."""
    labels = f"{by}, le" if by else "le"
    return tuple(
        Query(
            f"histogram_quantile({percent / 100}, sum by ({labels}) (rate({histogram}_bucket{{{matchers}}}{WINDOW})))",
            f"p{percent} {legend}".strip(),
        )
        for percent in (50, 95, 99)
    )
