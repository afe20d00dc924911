"""The tables of a report in a reader's language, from its figures; the same for the terminal, CSV and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

Words = Mapping[str, str]
Plain = Mapping[str, Any]
NOTHING = "–"

OUTCOMES: Final = ("satisfied", "denied", "canceled", "refused", "unanswered")
"""How requests of a load ended, each in one of them: `refused` was told so (UNAVAILABLE, INVALID), `unanswered` was
told UNKNOWN or nothing."""


class Table(NamedTuple):
    """Rows as wide as `columns`; the first column says what a row is about. `labels` are the columns in fewer words,
    where there is little room."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: Sequence[str]


def load_name(load: Plain) -> str:
    """A load in few words: pattern and rooms."""
    rooms = f" {load['classrooms']}+{load['labs']}" if load["classrooms"] is not None else ""
    return f"{load['pattern']}{rooms}"


def load_title(load: Plain, words: Words) -> str:
    """A load as Table 3 heads its column."""
    asks = words["as_asked"] if load["classrooms"] is None else words["each_asks"].format(**load)
    return f"{words[load['pattern']]}: {asks}"


def table3(figures: Plain, words: Words) -> Table:
    """Table 3, the seed's rows first, in its order."""
    loads = figures["loads"]
    rows = [
        [words["server_mean"], *(_figure(load["server"], "mean_ms") for load in loads)],
        [words["server_range"], *(_range(load["server"]) for load in loads)],
        [words["program_mean"], *(_figure(load["program"], "mean_ms") for load in loads)],
        [words["satisfied"], *(_by_program(figures, load, "satisfied", words) for load in loads)],
        [words["unsatisfied"], *(_by_program(figures, load, "unsatisfied", words) for load in loads)],
        [words["program_range"], *(_range(load["program"]) for load in loads)],
        [words["outcomes"], *(" / ".join(str(load[outcome]) for outcome in OUTCOMES) for load in loads)],
        [words["per_second"], *(tenths(load["per_second"]) for load in loads)],
    ]  # fmt: skip
    columns = [words["measure"], *(load_title(load, words) for load in loads)]
    return Table(columns, rows, [words["measure"], *map(load_name, loads)])


def programs(figures: Plain, words: Words) -> Table:
    """Each program's requests: satisfied + not satisfied, by load."""
    loads = figures["loads"]
    rows = []
    for program in figures["programs"]:
        told = {_key(load): f"{load['satisfied']} + {load['unsatisfied']}" for load in program["loads"]}
        who = f"{program['faculty_id']} {program['faculty']}"
        rows.append([program["program"], who, *(told.get(_key(load), NOTHING) for load in loads)])
    return _table([words["program"], words["faculty"], *map(load_name, loads)], rows)


def legs(figures: Plain, words: Words) -> Table:
    """Every leg of every load."""
    names = {"server": words["by_server"], "faculty": words["by_faculty"], "program": words["by_program_itself"]}
    rows = [
        [
            load_name(leg), names[leg["measured_by"]],
            words["leg_program"] if leg["leg"] == "program" else words[leg["leg"]],
            str(leg["measured"]),
            *(shown(leg[f"{name}_ms"]) for name in ("mean", "min", "p50", "p95", "p99", "max")),
        ]
        for leg in figures["legs"]
    ]  # fmt: skip
    heads = ("load", "measured_by", "leg", "count", "mean", "min", "p50", "p95", "p99", "max")
    return _table([words[head] for head in heads], rows)


def recoveries(figures: Plain, words: Words) -> Table:
    """Every takeover in the log, by phase; the first one after the kill has the programs' view."""
    strike = figures["strike"]
    rows = []
    for number, recovery in enumerate(figures["recoveries"]):
        seen = strike["first_reply_ms"] if strike and number == 0 else None
        phases = (recovery["detect_ms"], recovery["promote_ms"], recovery["first_event_ms"], seen)
        rows.append([str(recovery["epoch"]), recovery["primary"], *map(shown, phases)])
    return _table([words[one] for one in ("epoch", "by", "detect", "promote", "first_event", "first_reply")], rows)


def steps(figures: Plain, words: Words) -> Table:
    """Ever more at once."""
    rows = [
        [str(step[name]) for name in ("in_flight", "requests", "answered", "refused")]
        + [tenths(step["per_second"]), *(_figure(step["program"], f"{one}_ms") for one in ("p50", "p95", "p99", "max"))]
        for step in figures["steps"]
    ]
    names = ("in_flight", "requests", "answered", "refused", "per_second", "p50", "p95", "p99", "max")
    return _table([words[name] for name in names], rows)


def usage(figures: Plain, words: Words) -> Table:
    """CPU and memory of each process."""
    names = ("cpu_mean_percent", "cpu_max_percent", "resident_max_mb")
    rows = [[one["process"], *(tenths(one[name]) for name in names)] for one in figures["usage"]]
    return _table([words[one] for one in ("process", "cpu_mean", "cpu_max", "memory_max")], rows)


def cases(figures: Plain, words: Words) -> Table:
    """CP1 to CP11: what is expected beside what was observed."""
    verdicts = {True: words["met"], False: words["not_met"], None: words["not_measured"]}
    rows = [
        [case["name"], words[f"expected_{case['name']}"], _observed(case, words),
         verdicts[case["is_met"]]]
        for case in figures["cases"]
    ]  # fmt: skip
    return _table([words[one] for one in ("case", "expected", "observed", "verdict")], rows)


def _observed(case: Plain, words: Words) -> str:
    answers = {True: words["yes"], False: words["no"], None: NOTHING}
    told = {name: answers[value] if value is None or value is True or value is False else value
            for name, value in case["told"].items()}  # fmt: skip
    return words[case["sentence"]].format(**told)


def conclusions(figures: Plain, words: Words) -> list[str]:
    """What the figures come to, in sentences."""
    loads, found = figures["loads"], []
    if loads:
        requests = sum(load["requests"] for load in loads)
        satisfied = sum(load["satisfied"] for load in loads)
        found.append(words["conclude_satisfied"].format(satisfied=satisfied, requests=requests))
    timed = [load for load in loads if load["server"] and load["program"]]
    if timed:
        servers, waited = ([load[who]["mean_ms"] for load in timed] for who in ("server", "program"))
        found.append(words["conclude_times"].format(
            least=shown(min(servers)), most=shown(max(servers)),
            program_least=shown(min(waited)), program_most=shown(max(waited)),
        ))  # fmt: skip
    if figures["strike"] and figures["strike"]["first_reply_ms"] is not None:
        found.append(words["conclude_recovery"].format(ms=round(figures["strike"]["first_reply_ms"])))
    if figures["steps"]:
        found.append(words["conclude_stress"].format(**figures["steps"][-1]))
    return found + _case_conclusions(figures["cases"], words)


def _case_conclusions(told: Sequence[Plain], words: Words) -> list[str]:
    if not told:
        return []
    names = {verdict: [case["name"] for case in told if case["is_met"] is verdict] for verdict in (True, False, None)}
    found = [words["conclude_cases"].format(met=len(names[True]), cases=len(told))]
    if names[False]:
        found.append(words["conclude_not_met"].format(names=", ".join(names[False])))
    if names[None]:
        found.append(words["conclude_not_measured"].format(names=", ".join(names[None])))
    return found


def shown(figure: float | None) -> str:
    """A figure with as many digits as mean something."""
    if figure is None:
        return NOTHING
    if isinstance(figure, int) or figure >= 1_000:
        return f"{figure:.0f}"
    return f"{figure:.1f}" if figure >= 100 else f"{figure:.2f}"


def tenths(figure: float | None) -> str:
    """A figure that is measured to the tenth."""
    return NOTHING if figure is None else f"{figure:.1f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(columns, rows, columns)


def _key(load: Plain) -> tuple[Any, ...]:
    return load["pattern"], load["classrooms"], load["labs"]


def _figure(summary: Plain | None, name: str) -> str:
    return NOTHING if summary is None else shown(summary[name])


def _range(summary: Plain | None) -> str:
    return NOTHING if summary is None else f"{shown(summary['min_ms'])} … {shown(summary['max_ms'])}"


def _by_program(figures: Plain, load: Plain, what: str, words: Words) -> str:
    """How many of each program's requests; one figure if it is the same for all of them."""
    counts = [told[what] for program in figures["programs"] for told in program["loads"] if _key(told) == _key(load)]
    if not counts:
        return NOTHING
    least, most = min(counts), max(counts)
    each = words["each"].format(count=least) if least == most else words["between"].format(least=least, most=most)
    return words["in_all"].format(counts=each, total=load[what])
