"""Figures, durations and tables in the Markdown of RELIABILITY.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

NOTHING: Final = "–"
MINUTE_S: Final = 60
HOUR_S: Final = 3_600


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns of nothing but figures are aligned at the right."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]

    def rule(index: int) -> str:
        figures = [row[index] for row in cells if row[index] not in ("", NOTHING)]
        return "---:" if figures and all(figure[0].isdigit() and "-" not in figure for figure in figures) else "---"

    def lines() -> Iterator[str]:
        yield "| " + " | ".join(columns) + " |"
        yield "|" + "|".join(map(rule, range(len(columns)))) + "|"
        yield from ("| " + " | ".join(row) + " |" for row in cells)

    return "\n".join(lines())


def grouped(number: int) -> str:
    """Thousands apart, with a space that does not break."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def lasted(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE_S:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:.1f} h"


def shown(value: Any) -> str:
    """Whatever a record says, in one cell."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(one)}" for key, one in value.items())
    if value is None:
        return NOTHING
    return grouped(value) if isinstance(value, int) else str(value)


def code(text: str) -> str:
    """What a user could type."""
    return f"`{text}`"
