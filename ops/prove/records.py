"""Results that are kept: one JSON file for each instrument, with what is needed to judge and to repeat it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from ops.cluster_dir import write_whole
from ops.exits import USAGE, Stopped
from ops.prove.instruments import INSTRUMENTS
from ops.prove.outcome import Failure, Outcome

_KEPT: Final = re.compile(r" \(kept: [^)]*\)")
_TYPES: Final = {
    "instrument": str, "command": str, "count": int, "seed": int | None, "commit": str, "date": str, "host": dict,
    "could_not_run": str, "outcome": dict,
}  # fmt: skip


@dataclass(slots=True, frozen=True)
class Record:
    """What one instrument found, of which code, on what kind of host.

    command         as a person types it
    count, seed     what it was asked for; a seed of None is an instrument that counts its seeds from 0
    commit          see ops.prove.provenance.revision
    date            the day on which it ended, UTC
    could_not_run   why this host does not permit it; empty if it ran
    """

    instrument: str
    command: str
    count: int
    seed: int | None
    commit: str
    date: str
    host: Mapping[str, Any]
    could_not_run: str
    outcome: Outcome

    @property
    def skipped(self) -> Mapping[str, str]:
        """Parts that this host does not permit, and why."""
        skipped: Mapping[str, str] = self.outcome.details.get("skipped", {})
        return skipped


def write(directory: Path, record: Record) -> None:
    """Keep it. What lies on this host alone (files kept of a failure) is not in it."""
    failures = tuple(replace(one, replay=_KEPT.sub("", one.replay)) for one in record.outcome.failures)
    shown = asdict(replace(record, outcome=replace(record.outcome, failures=failures)))
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(_path(directory, record.instrument), json.dumps(shown, ensure_ascii=False, indent=1) + "\n")


def read(directory: Path, instrument: str) -> Record | None:
    """What is kept of an instrument, if anything. Raises Stopped with one sentence if it is not a record."""
    path = _path(directory, instrument)
    return _parsed(path) if path.exists() else None


def read_all(directory: Path) -> dict[str, Record]:
    """Every record by its instrument, in their order. Raises Stopped with one sentence if a file is none."""
    known = {path.stem: _parsed(path) for path in sorted(directory.glob("*.json"))}
    return {name: known[name] for name in INSTRUMENTS if name in known}


def _path(directory: Path, instrument: str) -> Path:
    return directory / f"{instrument}.json"


def _parsed(path: Path) -> Record:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise _refused(path, "it is not JSON") from None
    if not isinstance(value, dict):
        raise _refused(path, "it is not an object")
    _check(path, value, _TYPES)
    if value["instrument"] not in INSTRUMENTS:
        raise _refused(path, f"there is no instrument {value['instrument']!r}")
    if value["instrument"] != path.stem:
        raise _refused(path, f"it is the result of {value['instrument']}")
    outcome = value["outcome"]
    _check(path, outcome, {"name": str, "runs": int, "failures": list, "seconds": int | float, "details": dict})
    for failure in outcome["failures"]:
        _check(path, failure, {"what": str, "replay": str})
    found = outcome | {"failures": tuple(Failure(one["what"], one["replay"]) for one in outcome["failures"])}
    told = {field.name: value[field.name] for field in fields(Record)}
    return Record(**told | {"outcome": Outcome(**{field.name: found[field.name] for field in fields(Outcome)})})


def _check(path: Path, value: Any, types: Mapping[str, Any]) -> None:
    for name, kind in types.items():
        if not isinstance(value, dict) or name not in value:
            raise _refused(path, f"the field {name!r} is missing")
        if not isinstance(value[name], kind):
            raise _refused(path, f"the field {name!r} is of another type")


def _refused(path: Path, why: str) -> Stopped:
    return Stopped(f"{path.name} is no result of this proof: {why}", USAGE)
