"""What only the run itself knows, kept in `run.json` beside its cluster: which term was which round of which load,
when a server was killed, what the processes used, and what the cases showed. Boot times in µs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from es.durability import naming
from ops.cluster_dir import write_whole
from projections.timings import Told

RUN_FILE: Final = "run.json"
PROGRAMS_FILE: Final = "programs.csv"
CLUSTER: Final = "cluster"
FORMAT: Final = 1


@dataclass(slots=True, frozen=True)
class Load:
    """A column of Table 3: a pattern, and what each program asks for."""

    pattern: str
    classrooms: int
    labs: int


@dataclass(slots=True, frozen=True)
class Round:
    """One repetition of a load, in a term of its own."""

    load: Load
    term: str
    began_us: int
    ended_us: int


@dataclass(slots=True, frozen=True)
class Strike:
    """The primary was killed with requests in flight. `first_reply_us`: the first result of a later epoch came."""

    server: str
    epoch: int
    killed_us: int
    first_reply_us: int | None
    terms: Sequence[str]

    @property
    def first_reply_ms(self) -> float | None:
        """From the kill to that result, as the programs saw it."""
        return None if self.first_reply_us is None else (self.first_reply_us - self.killed_us) / 1_000


@dataclass(slots=True, frozen=True)
class Step:
    """So many programs at once (CP9), each asking once: their durations are those of `term_prefix`'s requests."""

    in_flight: int
    term_prefix: str
    began_us: int
    ended_us: int


@dataclass(slots=True, frozen=True)
class Case:
    """What an acceptance case showed. `is_met` None: not measured in this run. `told` fills the case's sentence."""

    name: str
    is_met: bool | None
    sentence: str
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Usage:
    """A process over time: at boot times `at_us` the share of one core since the sample before, and resident memory."""

    process: str
    at_us: Sequence[int]
    cpu_percent: Sequence[float]
    resident_bytes: Sequence[int]


@dataclass(slots=True, frozen=True)
class Run:
    """A finished run. `began` is UTC, ISO; `host` says on what, `settings` how the cluster was configured."""

    began: str
    seconds: float
    repeat: int
    host: Mapping[str, Any]
    settings: Mapping[str, Any]
    rounds: Sequence[Round] = ()
    strike: Strike | None = None
    steps: Sequence[Step] = ()
    cases: Sequence[Case] = ()
    usage: Sequence[Usage] = ()


class NotARun(ValueError):
    """The file is not what `write_run` writes. One sentence."""


def write_run(directory: Path, run: Run, told: Iterable[Told]) -> None:
    """Keep a run and what every program of it was told. Raises OSError."""
    write_whole(directory / RUN_FILE, json.dumps({"format": FORMAT, **asdict(run)}, ensure_ascii=False) + "\n")
    path = directory / PROGRAMS_FILE
    with naming(path), path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(Told._fields)
        rows.writerows(told)


def read_run(directory: Path) -> Run | None:
    """The run in a directory, None if there is none. Raises NotARun, OSError."""
    path = directory / RUN_FILE
    if not path.exists():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain.pop("format") != FORMAT:
            raise ValueError("its format is another")
        strike = plain["strike"]
        rounds = [Round(**{**one, "load": Load(**one["load"])}) for one in plain["rounds"]]
        return Run(**{
            **plain,
            "rounds": rounds,
            "strike": None if strike is None else Strike(**strike),
            "steps": [Step(**one) for one in plain["steps"]],
            "cases": [Case(**one) for one in plain["cases"]],
            "usage": [Usage(**one) for one in plain["usage"]],
        })  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise NotARun(f"{path} is not a run's: {error}") from None


def read_told(directory: Path) -> list[Told]:
    """What the programs of a run were told; empty if nobody kept it. Raises NotARun, OSError."""
    path = directory / PROGRAMS_FILE
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_told(row) for row in csv.DictReader(file)]
    except (ValueError, KeyError) as error:
        raise NotARun(f"{path} is not a run's: {error}") from None


def _told(row: Mapping[str, str]) -> Told:
    return Told(
        int(row["faculty_id"]), row["program"], row["transaction_id"], row["term"] or None,
        int(row["classrooms"]), int(row["labs"]), row["pattern"], row["status"], row["code"] or None,
        int(row["epoch"]) if row["epoch"] else None, int(row["attempts"]), int(row["began_us"]), int(row["us"]),
    )  # fmt: skip
