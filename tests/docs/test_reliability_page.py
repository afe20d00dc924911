"""RELIABILITY.md is what its command writes from the results that are kept, and nothing else."""

from __future__ import annotations

from pathlib import Path

from ops.prove import records, report
from ops.prove.instruments import INSTRUMENTS

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_kept_results_say() -> None:
    page = (ROOT / "RELIABILITY.md").read_text(encoding="utf-8")
    assert page == report.rendered(records.read_all(ROOT / "reliability")), "python -m ops.prove.report writes it"


def test_every_instrument_is_on_the_page_whether_or_not_it_ran() -> None:
    page = report.rendered({})
    for instrument in INSTRUMENTS.values():
        assert f"| {instrument.fault} | {instrument.holds} | not run yet |" in page


def test_the_project_is_named_by_no_host_and_no_path() -> None:
    for path in (ROOT / "reliability").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert "/tmp/" not in text and str(ROOT) not in text
