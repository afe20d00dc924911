"""Both languages say everything, in the same places, and nothing that nobody uses."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import ops.report
from nodes.config.cluster import PATTERNS
from ops.report.words import LANGUAGES, words_of

CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(ops.report.__file__).parent.glob("*.py")))


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_complete(language: str) -> None:
    english, words = words_of("en"), words_of(language)
    assert words.keys() == english.keys()
    assert {key: fields(text) for key, text in words.items()} == {key: fields(text) for key, text in english.items()}
    assert all(text.strip() for text in words.values())


def test_spanish_is_no_copy() -> None:
    english, spanish = words_of("en"), words_of("es")
    same = {key for key in english if english[key] == spanish[key]}
    assert same <= {"lbb", "ms", "seconds", "p50", "p95", "p99", "no"}


def test_what_the_code_says_is_there_and_what_is_there_is_said() -> None:
    known = words_of("en").keys()
    named = set(re.findall(r"""words\[["'](\w+)["']\]""", CODE))
    assert named <= known
    quoted = set(re.findall(r"""["'](\w+)["']""", CODE))
    built = {key for key in known if re.match(r"(expected|observed|distribution)_", key)}
    assert known - quoted - built <= set(PATTERNS)


def test_every_case_has_what_is_expected_and_what_was_observed() -> None:
    for number in range(1, 12):
        assert {f"expected_CP{number}", f"observed_CP{number}"} <= words_of("en").keys()
