"""Charts put values where they belong, also where there is little or nothing to show."""

from __future__ import annotations

import re

import pytest

from ops.report.charts import HEIGHT, LEFT, RIGHT, WIDTH, Axis, Mark, Series, bars, dots, lines


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[5.0], [1.0, 1.0], [0.02, 3_000.0], [7.0, 7.5]])
def test_an_axis_has_room_for_all_values_between_its_ends(values: list[float], log: bool) -> None:
    axis = Axis(values, 0, 100, log=log, from_zero=False)
    assert axis.ticks == sorted(set(axis.ticks))
    assert 2 <= len(axis.ticks) <= (20 if log else 9)
    assert all(0 <= axis.px(value) <= 100 for value in values)
    assert (axis.px(axis.ticks[0]), axis.px(axis.ticks[-1])) == (0, 100)


def test_nothing_to_show_is_no_chart() -> None:
    assert lines([], "x", "y") == lines([Series("a", [])], "x", "y") == bars([], [], "y") == ""


def test_every_point_is_inside() -> None:
    drawn = dots([Series("a", [(-5, 1), (900, 2_000)])], "x", "y", [Mark(0, "killed")], log_y=True)
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert len(places) == 2
    assert all(LEFT <= x <= WIDTH - RIGHT and 0 <= y <= HEIGHT for x, y in places)
    assert "killed" in drawn


def test_the_parts_of_a_bar_add_up() -> None:
    drawn = bars(["one"], [Series("a", [(0, 30)]), Series("b", [(0, 10)]), Series("none", [(0, 0)])], "rooms")
    a, b, none = (float(height) for height in re.findall(r'<rect [^>]* height="([\d.]+)"', drawn))
    assert a == pytest.approx(3 * b, abs=0.3)
    assert none == 0
    assert re.findall("([a-z]+)</span>", drawn) == ["a", "b"], "what is nowhere needs no legend"


def test_a_gap_breaks_a_line_and_a_point_alone_is_a_dot() -> None:
    many = [(float(x), 1.0) for x in range(20)]
    drawn = lines([Series("a", [*many, (20, None), (21, 3.0), (22, None), (23, 2.0), (24, 2.0)])], "x", "y")
    assert [len(points.split()) for points in re.findall(r'points="([^"]*)"', drawn)] == [20, 1, 2]
    assert drawn.count("<circle") == 1
    assert lines([Series("a", [(0, None)])], "x", "y") == ""


def test_few_points_are_marked_and_one_line_alone_has_no_legend() -> None:
    drawn = lines([Series("a", [(10, 1), (500, 2)])], "x", "y", log_x=True)
    assert (drawn.count("<circle"), "legend" in drawn) == (2, False)
    assert "legend" in lines([Series("a", [(1, 1)]), Series("b", [(1, 2)])], "x", "y")
