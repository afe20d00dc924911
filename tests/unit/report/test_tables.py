"""Table 3 as the seed wants it, cases with a plain verdict, conclusions that follow from the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.report import tables
from ops.report.words import LANGUAGES, words_of
from tests.unit.report.a_run import a_report


@pytest.mark.parametrize("language", LANGUAGES)
def test_table3_has_the_five_measures_first_and_a_column_for_each_load(tmp_path: Path, language: str) -> None:
    words = words_of(language)
    table = tables.table3(a_report(tmp_path), words)
    wanted = ("server_mean", "server_range", "program_mean", "satisfied", "unsatisfied")
    assert [row[0] for row in table.rows[:5]] == [words[name] for name in wanted]
    assert table.labels == [words["measure"], "async 7+2", "lbb 10+4"]
    assert all(len(row) == len(table.columns) == 3 for row in table.rows)


def test_table3_tells_the_figures(tmp_path: Path) -> None:
    rows = [row[1:] for row in tables.table3(a_report(tmp_path), words_of("en")).rows]
    assert rows == [
        ["7.25", "12.25"], ["0.00 … 14.50", "5.00 … 19.50"], ["14.50", "24.50"],
        ["8 to 10 (18 in all)"] * 2, ["0 to 2 (2 in all)"] * 2,
        ["0.00 … 29.00", "10.00 … 39.00"], ["18 / 2 / 0 / 0 / 0"] * 2, ["20.0"] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_table3_names_every_outcome_that_it_counts(language: str) -> None:
    assert len(words_of(language)["outcomes"].split(" / ")) == len(tables.OUTCOMES)


def test_a_case_is_met_or_not_or_was_not_measured(tmp_path: Path) -> None:
    rows = tables.cases(a_report(tmp_path), words_of("en")).rows
    assert [(row[0], row[3]) for row in rows] == [
        ("CP3", "met"), ("CP6", "not met"), ("CP11", "not measured in this run"),
    ]  # fmt: skip
    assert rows[1][2].endswith("logs equal: no.")


def test_the_conclusion_names_what_is_not_met_and_what_was_not_measured(tmp_path: Path) -> None:
    said = tables.conclusions(a_report(tmp_path), words_of("en"))
    assert "In Table 3, 36 of 40 requests were satisfied." in said
    assert {"1 of 3 acceptance cases are met.", "Not met: CP6.", "Not measured in this run: CP11."} <= set(said)
    assert any("within 450 ms" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("figure", "text"), [(None, "–"), (0.5, "0.50"), (12.346, "12.35"), (123.46, "123.5"), (1234.5, "1234"), (7, "7")]
)
def test_figures_have_as_many_digits_as_mean_something(figure: float | None, text: str) -> None:
    assert tables.shown(figure) == text
