"""Reading the catalog of rooms that new terms open with (A1)."""

from __future__ import annotations

import csv
from pathlib import Path

from nodes.config.cluster import ConfigError
from projections.rooms.catalog import Catalog, CatalogInvalid, default_catalog, parse_rooms


def load_catalog(path: Path | None) -> Catalog:
    """The rooms of a CSV file with the columns id, kind, building, seats; None is the default catalog.

    Raises ConfigError, naming every row at fault.
    """
    if path is None:
        return default_catalog()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return parse_rooms(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error, CatalogInvalid) as error:
        raise ConfigError("catalog", f"{path}: {error}") from error
