"""What a report says, in each of its languages: `data/report.LANGUAGE.toml`. Keys are the same in all of them, and so
are the fields in braces."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

LANGUAGES: Final = ("en", "es")


@cache
def words_of(language: str) -> Mapping[str, str]:
    """Key -> text, in one of LANGUAGES."""
    text = resources.files("ops").joinpath(f"data/report.{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
