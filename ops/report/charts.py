"""Charts as inline SVG: lines, dots, stacked bars. Colours are Okabe and Ito's, told apart by everybody; lines differ
in their dashes too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BAR_COLOURS: Final = ("#0072B2", "#E69F00", "#CC79A7", "#D9DEE3")
DASHES: Final = ("", "6 3", "2 2", "8 3 2 3")
WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 12, 42
LEGEND_LINE: Final = 16
BAR_WIDTH_MAX: Final = 70
TICKS_ABOUT: Final = 5


class Series(NamedTuple):
    """Points (x, y) under one name."""

    name: str
    points: Sequence[tuple[float, float]]


class Mark(NamedTuple):
    """A moment on the x axis, with a word."""

    x: float
    name: str


class Axis:
    """From values to pixels, and where the ticks are. A logarithmic one takes positive values only."""

    def __init__(self, values: Sequence[float], low_px: float, high_px: float, *, log: bool, from_zero: bool) -> None:
        least, most = min(values), max(values)
        self._log = log
        self._low_px, self._high_px = low_px, high_px
        if log:
            self.ticks = _decades(least, most)
            self._least, self._most = math.log10(self.ticks[0]), math.log10(self.ticks[-1])
        else:
            self.ticks = _round_steps(0.0 if from_zero else least, most)
            self._least, self._most = self.ticks[0], self.ticks[-1]

    def px(self, value: float) -> float:
        """Where a value is."""
        place = math.log10(value) if self._log else value
        share = (place - self._least) / (self._most - self._least)
        return round(self._low_px + share * (self._high_px - self._low_px), 1)


def _round_steps(least: float, most: float) -> list[float]:
    span = (most - least) or 1.0
    step = 10 ** math.floor(math.log10(span / TICKS_ABOUT))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= TICKS_ABOUT + 1)
    first, last = math.floor(least / step), math.ceil(most / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _decades(least: float, most: float) -> list[float]:
    """1, 2 and 5 of every decade between; both ends included."""
    marks = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1) for factor in (1, 2, 5)
    ]  # fmt: skip
    first = max(i for i, mark in enumerate(marks) if mark <= least * 1.000001)
    last = next((i for i, mark in enumerate(marks) if mark >= most), len(marks) - 1)
    return marks[first : max(last, first + 1) + 1]


def lines(
    series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool = False, log_y: bool = False
) -> str:
    """A line for each series; "" if there is nothing to show."""
    return _plot(series, x_label, y_label, log_x=log_x, log_y=log_y, marks=(), as_dots=False)


def dots(series: Sequence[Series], x_label: str, y_label: str, marks: Sequence[Mark], *, log_y: bool = False) -> str:
    """A dot for each point, and moments marked on the x axis."""
    return _plot(series, x_label, y_label, log_x=False, log_y=log_y, marks=marks, as_dots=True)


def _plot(
    series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool, log_y: bool, marks: Sequence[Mark],
    as_dots: bool,
) -> str:  # fmt: skip
    series = [one for one in series if one.points]
    if not series:
        return ""
    points = [point for one in series for point in one.points]
    xs = [x for x, _ in points] + [mark.x for mark in marks]
    x = Axis(xs, LEFT, WIDTH - RIGHT, log=log_x, from_zero=False)
    y = Axis([value for _, value in points], HEIGHT - BOTTOM, TOP, log=log_y, from_zero=True)
    parts = [_grid(x, y, x_label, y_label)]
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        placed = [(x.px(a), y.px(b)) for a, b in one.points]
        if as_dots:
            shape = "".join(f'<circle cx="{a}" cy="{b}" r="2.2"/>' for a, b in placed)
            parts.append(f'<g fill="{colour}" fill-opacity=".6">{shape}</g>')
        else:
            path = " ".join(f"{a},{b}" for a, b in placed)
            dash = DASHES[number % len(DASHES)]
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
            )
    parts += [_mark(x, mark, number) for number, mark in enumerate(marks)]
    return _svg(parts, [one.name for one in series], f"{y_label}; {x_label}", dashed=not as_dots)


def bars(names: Sequence[str], parts_of: Sequence[Series], y_label: str) -> str:
    """A bar for each name, stacked of the series' values: the y of its n-th point is its part of the n-th bar. At most
    as many series as BAR_COLOURS."""
    if not names:
        return ""
    totals = [sum(one.points[i][1] for one in parts_of) for i in range(len(names))]
    y = Axis([0.0, *totals], HEIGHT - BOTTOM, TOP, log=False, from_zero=True)
    slot = (WIDTH - LEFT - RIGHT) / len(names)
    width = min(slot * 0.7, BAR_WIDTH_MAX)
    drawn = [_y_grid(y, y_label)]
    for i, name in enumerate(names):
        left, base = LEFT + slot * (i + 0.5) - width / 2, 0.0
        for number, one in enumerate(parts_of):
            value = one.points[i][1]
            top_px, base_px = y.px(base + value), y.px(base)
            drawn.append(
                f'<rect x="{left:.1f}" y="{top_px}" width="{width:.1f}" height="{base_px - top_px:.1f}" '
                f'fill="{BAR_COLOURS[number]}"><title>{escape(name)}: {escape(one.name)} {value:g}</title>'
                "</rect>"
            )
            base += value
        drawn.append(_bar_name(LEFT + slot * (i + 0.5), name))
    there = [i for i, one in enumerate(parts_of) if any(value for _, value in one.points)]
    names_there, colours = [parts_of[i].name for i in there], [BAR_COLOURS[i] for i in there]
    return _svg(drawn, names_there, y_label, dashed=False, colours=colours)


def _bar_name(x: float, name: str) -> str:
    """On as many lines as it has words."""
    words = [
        f'<tspan x="{x:.1f}" dy="{0 if i == 0 else 12}">{escape(word)}</tspan>' for i, word in enumerate(name.split())
    ]
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle" class="small">{"".join(words)}</text>'


def _grid(x: Axis, y: Axis, x_label: str, y_label: str) -> str:
    base = HEIGHT - BOTTOM
    parts = [_y_grid(y, y_label)]
    for tick in x.ticks:
        at = x.px(tick)
        parts.append(f'<line x1="{at}" y1="{base}" x2="{at}" y2="{base + 4}" class="axis"/>')
        parts.append(f'<text x="{at}" y="{base + 16}" text-anchor="middle">{_number(tick)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle" class="label">{escape(x_label)}</text>')
    return "".join(parts)


def _y_grid(y: Axis, y_label: str) -> str:
    parts = []
    for tick in y.ticks:
        at = y.px(tick)
        parts.append(f'<line x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{_number(tick)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" class="label" transform="rotate(-90 12 {middle})">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _mark(x: Axis, mark: Mark, number: int) -> str:
    at = x.px(mark.x)
    left_of_it = at > WIDTH * 0.7
    anchor, offset = ("end", -4) if left_of_it else ("start", 4)
    y = TOP + 12 + 14 * number
    return (
        f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
        f'<text x="{at + offset}" y="{y}" text-anchor="{anchor}" class="label">{escape(mark.name)}</text>'
    )


def _svg(
    parts: Sequence[str], names: Sequence[str], title: str, *, dashed: bool, colours: Sequence[str] = COLOURS
) -> str:
    legend: list[str] = []
    x, line = float(LEFT), 0
    for number, name in enumerate(names):
        width = 44 + 6.2 * len(name)
        if x > LEFT and x + width > WIDTH:
            x, line = float(LEFT), line + 1
        at = HEIGHT + 10 + LEGEND_LINE * line
        dash = DASHES[number % len(DASHES)] if dashed else ""
        colour = colours[number % len(colours)]
        legend.append(
            f'<line x1="{x}" y1="{at}" x2="{x + 20}" y2="{at}" stroke="{colour}" stroke-width="{3 if dashed else 9}" '
            f'stroke-dasharray="{dash}"/><text x="{x + 25}" y="{at + 4}">{escape(name)}</text>'
        )
        x += width
    height = HEIGHT + 20 + LEGEND_LINE * line
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}{''.join(legend)}</svg>"
    )


def _number(value: float) -> str:
    return f"{value:g}"
