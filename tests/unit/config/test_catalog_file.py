"""The catalog as a spreadsheet leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.config.catalog_file import load_catalog

ROWS = "id,kind,building,seats\nB01-C01,classroom,B01,40\nB01-L01,lab,B01,20\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rooms.csv"
    path.write_text(ROWS, encoding=encoding)
    assert [room.id for room in load_catalog(path).rooms] == ["B01-C01", "B01-L01"]
