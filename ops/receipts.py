"""Receipts as people keep them: what `aulario request -o json` printed, one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from projections.rooms.checker import Observation
from projections.rooms.commands import ACCEPTED


def read_receipts(path: Path) -> Iterator[Observation]:
    """Every ACCEPTED in the file. Other results are passed over: they promise nothing. Raises click's UsageError,
    with the line, for what is no result."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            if told["status"] == ACCEPTED:
                yield Observation(
                    str(told["transaction_id"]), int(told["faculty_id"]), int(told["recibo"]["seq"]),
                    str(told["recibo"]["hash"]), told["aulas"], told["laboratorios"], told["moviles"],
                )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            raise click.UsageError(f"{path}, line {number}: this is no result of aulario request -o json") from None
