"""The reference deployment: ten faculties with five programs each (A2), as `data/programs.csv` names them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

from nodes.config.cluster import FacultyName


@cache
def faculty_names() -> Mapping[int, FacultyName]:
    """Faculties by id, with their programs by id."""
    text = resources.files("ops").joinpath("data/programs.csv").read_text(encoding="utf-8")
    faculties: dict[int, str] = {}
    programs: dict[int, dict[int, str]] = {}
    for row in csv.DictReader(text.splitlines()):
        faculty_id = int(row["faculty_id"])
        faculties[faculty_id] = row["faculty"]
        programs.setdefault(faculty_id, {})[int(row["program_id"])] = row["program"]
    return {faculty_id: FacultyName(name, programs[faculty_id]) for faculty_id, name in faculties.items()}
