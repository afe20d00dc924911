"""What a report leaves in its directory, beside what the run kept: the page, the figures and the tables as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from es.durability import naming
from ops.cluster_dir import write_whole
from ops.output import write_csv
from ops.report import tables
from ops.report.page import page
from ops.report.words import words_of
from projections.timings import COLUMNS, RequestTimings

PAGE, FIGURES = "report.html", "report.json"
TABLE3, LEGS, USAGE, REQUESTS = "table3.csv", "legs.csv", "usage.csv", "requests.csv"
LEG_COLUMNS: Final = (
    "pattern", "classrooms", "labs", "measured_by", "leg", "measured", "mean_ms", "min_ms", "max_ms", "p50_ms",
    "p95_ms", "p99_ms",
)  # fmt: skip
USAGE_COLUMNS: Final = ("process", "at_us", "cpu_percent", "resident_mb")


def write_files(directory: Path, figures: Mapping[str, Any], model: RequestTimings, language: str) -> None:
    """Write them all; what stood there before is replaced. Raises OSError."""
    words = words_of(language)
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(directory / PAGE, page(figures, words, language))
    write_whole(directory / FIGURES, json.dumps(figures, ensure_ascii=False) + "\n")
    table3 = tables.table3(figures, words)
    _write_csv(directory / TABLE3, table3.columns, table3.rows)
    _write_csv(directory / LEGS, LEG_COLUMNS, ([leg[name] for name in LEG_COLUMNS] for leg in figures["legs"]))
    _write_csv(directory / USAGE, USAGE_COLUMNS, _usage_rows(figures["usage"]))
    rows = (asdict(request) | {"status": request.status} for request in model.requests.values())
    columns = (*COLUMNS, "status")
    _write_csv(directory / REQUESTS, columns, ([row[name] for name in columns] for row in rows))


def _usage_rows(usage: Iterable[Mapping[str, Any]]) -> Iterable[Sequence[Any]]:
    for one in usage:
        for at_ms, cpu, resident in zip(one["at_ms"], one["cpu_percent"], one["resident_mb"], strict=True):
            yield one["process"], one["began_us"] + at_ms * 1_000, cpu, resident


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with naming(path), path.open("w", encoding="utf-8", newline="") as file:
        write_csv(file, columns, rows)
