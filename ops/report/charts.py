"""Charts as inline SVG, each with its legend below: lines, dots, stacked bars. Colours are Okabe and Ito's, told apart
by everybody; lines differ in their dashes too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BAR_COLOURS: Final = ("#0072B2", "#E69F00", "#CC79A7", "#D9DEE3")
DASHES: Final = ("", "6 3", "2 2", "8 3 2 3")
WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 12, 44
MARK_WORDS: Final = 18
"""Room for the words of marks, above the plot."""

POINTS_SHOWN_MAX: Final = 12
"""Each point of a line that has no more is marked: what lies between them was not measured."""
BAR_WIDTH_MAX: Final = 70
TICKS_ABOUT: Final = 5


class Series(NamedTuple):
    """Points (x, y) under one name. A y of None is a gap in a line."""

    name: str
    points: Sequence[tuple[float, float | None]]


class Mark(NamedTuple):
    """A moment on the x axis, with a word. Of two the first has it to its left, the other to its right."""

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
    series = [one for one in series if any(value is not None for _, value in one.points)]
    if not series:
        return ""
    xs = [x for one in series for x, _ in one.points] + [mark.x for mark in marks]
    values = [value for one in series for _, value in one.points if value is not None]
    x = Axis(xs, LEFT, WIDTH - RIGHT, log=log_x, from_zero=False)
    y = Axis(values, HEIGHT - BOTTOM, TOP, log=log_y, from_zero=True)
    parts = [_grid(x, y, x_label, y_label)]
    for number, one in enumerate(series):
        pieces = [[(x.px(a), y.px(b)) for a, b in piece] for piece in _unbroken(one.points)]
        parts.append(_dots(number, pieces) if as_dots else _line(number, pieces))
    parts += [_mark(x, mark, to_the_left=number == 0 and len(marks) > 1) for number, mark in enumerate(marks)]
    swatch = _dot_swatch if as_dots else _line_swatch
    drawn = _svg(parts, f"{y_label}; {x_label}", above=MARK_WORDS if marks else 0)
    return drawn + _legend([(swatch(i), one.name) for i, one in enumerate(series)])


def _unbroken(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The points between the gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [piece for piece in pieces if piece]


def _dots(number: int, pieces: Sequence[Sequence[tuple[float, float]]]) -> str:
    shape = "".join(f'<circle cx="{a}" cy="{b}" r="2.2"/>' for piece in pieces for a, b in piece)
    return f'<g fill="{_colour(number)}" fill-opacity=".6">{shape}</g>'


def _line(number: int, pieces: Sequence[Sequence[tuple[float, float]]]) -> str:
    drawn = "".join(
        f'<polyline points="{" ".join(f"{a},{b}" for a, b in piece)}" {_stroke(number)}/>' for piece in pieces
    )
    every = sum(map(len, pieces)) <= POINTS_SHOWN_MAX
    marked = [point for piece in pieces if every or len(piece) == 1 for point in piece]
    shape = "".join(f'<circle cx="{a}" cy="{b}" r="3"/>' for a, b in marked)
    return drawn + (f'<g fill="{_colour(number)}">{shape}</g>' if shape else "")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f'fill="none" stroke="{_colour(number)}" stroke-width="2" stroke-dasharray="{dash}"'


def bars(names: Sequence[str], parts_of: Sequence[Series], y_label: str) -> str:
    """A bar for each name, stacked of the series' values: the y of its n-th point is its part of the n-th bar. At most
    as many series as BAR_COLOURS."""
    if not names:
        return ""
    totals = [sum(one.points[i][1] or 0.0 for one in parts_of) for i in range(len(names))]
    y = Axis([0.0, *totals], HEIGHT - BOTTOM, TOP, log=False, from_zero=True)
    slot = (WIDTH - LEFT - RIGHT) / len(names)
    width = min(slot * 0.7, BAR_WIDTH_MAX)
    drawn = [_y_grid(y, y_label)]
    for i, name in enumerate(names):
        left, base = LEFT + slot * (i + 0.5) - width / 2, 0.0
        for number, one in enumerate(parts_of):
            value = one.points[i][1] or 0.0
            top_px, base_px = y.px(base + value), y.px(base)
            drawn.append(
                f'<rect x="{left:.1f}" y="{top_px}" width="{width:.1f}" height="{base_px - top_px:.1f}" '
                f'fill="{BAR_COLOURS[number]}"><title>{escape(name)}: {escape(one.name)} {value:g}</title>'
                "</rect>"
            )
            base += value
        drawn.append(_bar_name(LEFT + slot * (i + 0.5), name))
    there = [i for i, one in enumerate(parts_of) if any(value for _, value in one.points)]
    return _svg(drawn, y_label) + _legend([(_bar_swatch(i), parts_of[i].name) for i in there])


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


def _mark(x: Axis, mark: Mark, *, to_the_left: bool) -> str:
    """Its word stands above the plot, where no point is."""
    at = x.px(mark.x)
    anchor, offset = ("end", -4) if to_the_left else ("start", 4)
    return (
        f'<line x1="{at}" y1="{TOP - MARK_WORDS}" x2="{at}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
        f'<text x="{at + offset}" y="{TOP - 6}" text-anchor="{anchor}" class="label">{escape(mark.name)}</text>'
    )


def _svg(parts: Sequence[str], title: str, above: int = 0) -> str:
    """`above`: how much more room the plot needs there."""
    box = f"0 {-above} {WIDTH} {HEIGHT + above}"
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    """A swatch and a name for each; one alone needs none, its axis has its name."""
    if len(entries) < 2:
        return ""
    items = "".join(
        f'<span><svg width="26" height="12" aria-hidden="true">{swatch}</svg>{escape(name)}</span>'
        for swatch, name in entries
    )
    return f'<div class="legend">{items}</div>'


def _line_swatch(number: int) -> str:
    return f'<line x1="0" y1="6" x2="26" y2="6" {_stroke(number)}/>'


def _dot_swatch(number: int) -> str:
    return f'<circle cx="13" cy="6" r="4" fill="{_colour(number)}"/>'


def _bar_swatch(number: int) -> str:
    return f'<line x1="6" y1="6" x2="20" y2="6" stroke="{BAR_COLOURS[number]}" stroke-width="12"/>'


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
