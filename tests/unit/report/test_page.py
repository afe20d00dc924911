"""The page stands alone, says what the tables say, and is sound HTML in both languages."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ops.report import tables
from ops.report.page import page
from ops.report.words import LANGUAGES, words_of
from tests.unit.report.a_run import RUN, a_report

VOID = {"meta", "circle", "line", "polyline", "br"}
LOADS = {"src", "href", "srcset", "poster", "data", "action", "xlink:href"}


class Parsed(HTMLParser):
    """Fails on a tag that is not closed; keeps what is loaded and what is written."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.written: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "iframe", "img", "object"}
        self.loaded += [f"{name}={value}" for name, value in attrs if name in LOADS]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.written.append(data)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("run", [RUN, None])
def test_it_needs_nothing_else_and_says_what_the_tables_say(tmp_path: Path, language: str, run: Any) -> None:
    figures, words = a_report(tmp_path, run), words_of(language)
    text = page(figures, words, language)
    assert not re.search(r"https?://|@import|url\(", text)
    parsed = Parsed(text)
    assert parsed.loaded == []
    written = " ".join(parsed.written)
    for table in (tables.table3(figures, words), tables.legs(figures, words), tables.cases(figures, words)):
        for cell in (*table.columns, *(cell for row in table.rows for cell in row)) if table.rows else ():
            assert cell in written
    for sentence in tables.conclusions(figures, words):
        assert sentence in written
    assert text.count("<figure>") == (9 if run else 4)


def test_what_people_named_cannot_break_the_page(tmp_path: Path) -> None:
    figures = a_report(tmp_path)
    figures["programs"][0]["program"] = '<script>alert("x")</script>'
    figures["rooms"][0]["name"] = "<b>"
    Parsed(page(figures, words_of("en"), "en"))


def test_an_empty_cluster_has_a_page(tmp_path: Path) -> None:
    figures = a_report(tmp_path, None) | {"loads": [], "legs": [], "programs": [], "recoveries": [], "rooms": []}
    assert words_of("en")["no_recovery"] in page(figures, words_of("en"), "en")
