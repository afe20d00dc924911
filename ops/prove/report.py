"""`python -m ops.prove.report`: RELIABILITY.md, written from the results that are kept (ops.prove.records)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from ops.cluster_dir import write_whole
from ops.prove import records
from ops.prove.bound import upper_bound
from ops.prove.damage import HARMS
from ops.prove.instruments import INSTRUMENTS
from ops.prove.limits import LIMITS
from ops.prove.markdown import NOTHING, code, grouped, lasted, shown, table
from ops.prove.provenance import CHECKOUT
from ops.prove.records import Record
from ops.prove.start import start
from ops.prove.tampering import BESIDE, HANDS

Records = Mapping[str, Record]

PAGE: Final = "RELIABILITY.md"
RESULTS: Final = "reliability"
NOT_YET: Final = "not run yet"
CONTROL: Final = "control: "
DRILLS: Final = ("kill_primary", "freeze", "partition")
PERCENTILE_RUNS_MIN: Final = 100
"""Of fewer runs the 99th percentile is the longest."""


def places(results: Path | None) -> tuple[Path, Path]:
    """Where results are kept and the page that sums them up: the project's, or both in a directory of their own."""
    if results is None:
        return CHECKOUT / RESULTS, CHECKOUT / PAGE
    return results, results / PAGE


def write(results: Path, page: Path) -> None:
    """Write the page from what is in `results`. Raises Stopped with one sentence if a file there is no result."""
    write_whole(page, rendered(records.read_all(results)))


def rendered(found: Records) -> str:
    """The page. The same results give the same text."""
    parts = ["# Reliability", _opening(found), "## What was done, and what came of it", _matrix(found)]
    for title, part in _PARTS.items():
        if text := part(found):
            parts += [f"## {title}", text]
    return "\n\n".join(parts) + "\n"


def _opening(found: Records) -> str:
    ran = {name: record for name, record in found.items() if record.outcome.runs}
    tried = [f"{_runs(record)} {INSTRUMENTS[name].tried}" for name, record in ran.items()]
    missing = [name for name in INSTRUMENTS if name not in ran]
    sentences = [
        "Aulario promises that a confirmed allocation is never lost and that no room is granted twice. A promise about "
        "failures is worth what was done to break it" + (":" if tried else "; nothing was yet."),
        "\n".join(f"- {one}" for one in tried),
        _result(found) if tried else "",
        "That is no proof that it can never happen. Runs without a failure bound how often it does, if it does: "
        "after *N* of them the true rate is below 3/*N* with 95 % certainty, for failures as they were drawn here. "
        "[What no run on one computer can show](#what-cannot-be-proven-here) stands at the end.",
        f"Without a result so far: {', '.join(missing)}." if missing else "",
    ]
    return "\n\n".join(filter(None, sentences))


def _result(found: Records) -> str:
    broken = sum(len(record.outcome.failures) for name, record in found.items() if INSTRUMENTS[name].drawn)
    missed = sum(len(record.outcome.failures) for name, record in found.items() if not INSTRUMENTS[name].drawn)
    kept = (
        "In these runs nothing that was confirmed was lost, no room was granted twice, and nobody was told two "
        "different things."
    )
    listed = "[what they were](#failures)"
    sentences = [
        f"In {grouped(broken)} of these runs a promise was broken, or nobody could say: {listed}." if broken else kept,
        f"Of the mistakes made on purpose {grouped(missed)} went unnoticed: {listed}." if missed else "",
    ]
    return " ".join(f"**{sentence}**" for sentence in sentences if sentence)


def _matrix(found: Records) -> str:
    def row(name: str) -> Sequence[str]:
        instrument, record = INSTRUMENTS[name], found.get(name)
        told = [instrument.fault, instrument.holds]
        if record is None:
            return [*told, NOT_YET, "", "", "", code(" ".join(instrument.typed(instrument.count, None)))]
        if record.could_not_run:
            return [*told, f"could not run: {record.could_not_run}", "", "", "", code(record.command)]
        outcome = record.outcome
        return [*told, _runs(record), grouped(len(outcome.failures)), _bound(record), lasted(outcome.seconds),
                code(record.command)]  # fmt: skip

    columns = ("what is done", "what must hold", "runs", "failures", "true rate below", "took", "again")
    short = [
        f"{name} ({grouped(record.count)} of {grouped(INSTRUMENTS[name].count)})"
        for name, record in found.items() if record.count < INSTRUMENTS[name].count
    ]  # fmt: skip
    note = (
        "The bound is 3/*N* after no failure, else Clopper and Pearson's, both at 95 %. Commands are those of "
        "`.venv/bin`, run in the checkout. Everything at once, going on where it was interrupted: `make prove`."
    )
    samples = "".join(
        f"\n- {name.replace('_', ' ')}: {INSTRUMENTS[name].bound_of}" for name in found if INSTRUMENTS[name].bound_of
    )
    note += f"\n\nWhat a bound is about, where that is not plain:\n{samples}" if samples else ""
    quick = f"\n\nFewer runs than the full proof has: {', '.join(short)}." if short else ""
    return f"{table(columns, map(row, INSTRUMENTS))}\n\n{note}{quick}"


def _bound(record: Record) -> str:
    """As a percentage, or a dash where runs are no sample or their number is not known."""
    runs, failures = record.outcome.runs, len(record.outcome.failures)
    return _below(failures, runs) if INSTRUMENTS[record.instrument].drawn else NOTHING


def _below(failures: int, runs: int) -> str:
    if runs == 0 or failures > runs:
        return NOTHING
    percent = 100 * upper_bound(failures, runs)
    return f"{percent:.{max(0, 1 - math.floor(math.log10(percent)))}f} %"


def _failures(found: Records) -> str:
    lines = [
        f"- {failure.what}\n  Again: {code(failure.replay)}"
        for record in found.values()
        for failure in record.outcome.failures
    ]
    return "\n".join(lines)


def _skipped(found: Records) -> str:
    return "\n".join(f"- {part}: {why}" for record in found.values() for part, why in record.skipped.items())


def _service(found: Records) -> str:
    rows = []
    for name in DRILLS:
        if name in found and "first_reply_ms" in (told := found[name].outcome.details):
            figures = [told[key] for key in ("detect_ms", "promote_ms", "first_reply_ms", "first_reply_p99_ms",
                                             "first_reply_max_ms", "results", "lost", "duplicates", "unknown",
                                             "stale_results")]  # fmt: skip
            if found[name].outcome.runs < PERCENTILE_RUNS_MIN:
                figures[3] = None
            rows.append([name.replace("_", " "), *map(shown, figures)])
    if not rows:
        return ""
    columns = ("drill", "detected ms", "promoted ms", "first reply ms", "99 % ms", "longest ms", "results", "lost",
               "double", "never answered", "stale")  # fmt: skip
    return (
        "The first reply is measured at the clients: from the fault to the first result that the next primary has "
        "given. Detected and promoted come from the log: how long the old primary had been silent when the other one "
        "stood up, counted from the last sign of life before the fault, so that it may exceed the first reply; and "
        "what the new epoch took from there. Medians where nothing else is said; 99 % only of "
        f"{PERCENTILE_RUNS_MIN} runs or more.\n\n{table(columns, rows)}"
    )


def _mutants(found: Records) -> str:
    if "mutants" not in found:
        return ""
    rows = [
        [one["mutant"], one["rule"], shown(one["invariant"]), ", ".join(one["directed"]) or NOTHING,
         f"{one['load']} {one['seed']}" if one["seed"] is not None else "–"]
        for one in found["mutants"].outcome.details.get("mutants", ())
    ]  # fmt: skip
    survivors = len(found["mutants"].outcome.failures)
    return (
        "A checker that never failed proves nothing. Each mutant takes one rule of the protocol away; the simulator, "
        "under the very settings of the long run, or a schedule written for it must say so. "
        f"{grouped(len(rows) - survivors)} of {grouped(len(rows))} were found.\n\n"
        + table(("mutant", "rule", "invariant that said so", "directed schedule", "first seed"), rows)
    )


def _controls(found: Records) -> str:
    rows = [
        [name.replace("_", " "), what.removeprefix(CONTROL), shown(said)]
        for name, record in found.items()
        for what, said in record.outcome.details.items()
        if what.startswith(CONTROL)
    ]
    if not rows:
        return ""
    return (
        "A weakened log or decoder, which the instrument must convict before its word counts for the real one.\n\n"
        + table(("instrument", "weakness", "what became of it"), rows)
    )


def _coverage(found: Records) -> str:
    if "sim" not in found or "coverage" not in (told := found["sim"].outcome.details):
        return ""
    counts, missed = told["counts"], told["never_met"]
    blind = [f"- {what}: {'; '.join(names)}" for what, names in missed.items() if names]
    met = "\n".join(["Never met:", *blind]) if blind else "There is nothing of these that it never met."
    return (
        f"{grouped(told['commands'])} commands and {grouped(told['faults'])} faults: {told['coverage']}. A pair is "
        f"two kinds of faults, the second while the first was there or soon after.\n\n{met}\n\n"
        f"{table(('transition', 'times'), _counted(counts['transitions']))}\n\n"
        f"{table(('fault', 'times'), _counted(counts['faults']))}"
    )


def _counted(counts: Mapping[str, int]) -> list[list[str]]:
    return [[name, grouped(times)] for name, times in counts.items()]


def _sight() -> str:
    rows = [[name.replace("_", " "), one.sees, one.blind] for name, one in INSTRUMENTS.items()]
    return table(("instrument", "sees", "does not see"), rows)


def _damage(found: Records) -> str:
    if "damaged_files" not in found:
        return ""
    outcome = found["damaged_files"].outcome
    told = outcome.details
    endings = ("detected", "harmless", "rolled back", "served")
    rows = [
        [harm, *(grouped(told[harm].get(ending, 0)) for ending in endings),
         _below(sum(f": {harm}: " in failure.what for failure in outcome.failures), sum(told[harm].values()))]
        for harm in HARMS if harm in told
    ]  # fmt: skip
    return (
        "Harmless damage met bytes that nothing refers to. Rolled back is a log that ends at an earlier write; it is a "
        "failure unless the number of the last write, which stands beside the log, was taken away with it.\n\n"
        + table(("damage", *endings, "true rate below"), rows)
    )


def _tampering(found: Records) -> str:
    if "tampering" not in found:
        return ""
    outcome = found["tampering"].outcome
    rows = [
        [hands, deed, grouped(told.get("found", 0)), grouped(told.get("missed", 0)),
         _below(told.get("missed", 0), sum(told.values()))]
        for name, told in outcome.details.items()
        for hands, _, deed in [name.partition(": ")] if hands in HANDS
    ]  # fmt: skip
    beside = [[name, shown(outcome.details[name])] for name in BESIDE if name in outcome.details]
    return (
        "Clumsy hands change bytes in files or put old files back. Informed ones know the format: they compute every "
        "hash anew, build the store anew, and take away the checkpoints beside the log. Neither has the server's "
        "signing key, and one who keeps its checkpoints is out of their reach.\n\n"
        + table(("hands", "deed", "found", "missed", "true rate below"), rows)
        + "\n\nA log that nobody touched must pass. What lies beyond checkpoints that others keep is measured:\n\n"
        + table(("informed hands", "what became of it"), beside)
    )


def _hostile(found: Records) -> str:
    if "hostile_frames" not in found or "crashes" not in (told := found["hostile_frames"].outcome.details):
        return ""
    memory = {"the decoders' own": told["resident_kib"], **told["resident_kib_of"]}
    rows = [[name, *map(grouped, kib)] for name, kib in memory.items()]
    return (
        f"Every frame went through each of {told['decoders']} decoders: {grouped(told['crashes'])} crashes, "
        f"{lasted(told['decoders_seconds'])} ({grouped(told['frames_per_second'])} frames a second). "
        f"{grouped(sum(told['sent'].values()))} went to the ports of a running cluster, over connections with allowed "
        f"keys, in {lasted(told['cluster_seconds'])}, while {grouped(told['polite_results'])} polite transactions "
        "had their results.\n\n" + table(("process", "resident KiB once warmed up", "in the end"), rows)
    )


def _links(found: Records) -> str:
    if "links" not in found:
        return ""
    rows = [
        [name, one["expected"], grouped(one["runs"]), grouped(one["failures"]), _below(one["failures"], one["runs"]),
         grouped(one["results"]), grouped(one["unavailable_max_ms"])]
        for name, one in found["links"].outcome.details.get("by_topology", {}).items()
    ]  # fmt: skip
    relayed = found["links"].outcome.details.get("relayed", {})
    through = f"Through relays on one host, where namespaces are refused: {', '.join(relayed)}.\n\n" if relayed else ""
    columns = ("topology", "what must be seen", "runs", "failures", "true rate below", "results",
               "longest without a result, ms")  # fmt: skip
    return (
        "Each trial: a cluster under load, the fault, what must be seen while it lasts, healing, and then the logs "
        "against everything that any client was told. Timings are the profile `slow`, which waits longer before it "
        f"takes a silence for a death.\n\n{through}{table(columns, rows)}"
    )


def _scarcity(found: Records) -> str:
    if "scarcity" not in found:
        return ""
    rows = [
        [name, grouped(one["runs"]), grouped(one["failures"]), _below(one["failures"], one["runs"]),
         grouped(one["results"]), *(shown(one[key]) for key in ("recover_ms", "recover_max_ms", "heal_max_ms",
                                                                  "unavailable_max_ms")),
         grouped(len(one["ended"])), grouped(one["aborted"])]
        for name, one in found["scarcity"].outcome.details.get("by_case", {}).items()
    ]  # fmt: skip
    columns = ("process, resource", "runs", "failures", "true rate below", "results", "recovered after ms", "longest",
               "all in sync after ms, longest", "longest without a result, ms", "process ended", "aborted")  # fmt: skip
    return (
        "Recovered is counted from when there is enough again to the end of the first result, of something asked "
        "since, that took no longer than nine in ten did before the shortage; where a faculty was short, of its own "
        "programs. A process that ended was started again; it had said why, unless libzmq aborted it. "
        f"Timings are the profile `slow`.\n\n{table(columns, rows)}"
    )


def _rolling_restart(found: Records) -> str:
    if "rolling_restart" not in found:
        return ""
    told = found["rolling_restart"].outcome.details
    rows = [
        [role, *(grouped(one[key]) for key in ("restarts", "median_ms", "max_ms"))]
        for role, one in told.get("pauses", {}).items()
    ]
    return (
        "The longest time without a result from the moment a process was told to end; of a faculty for its own "
        "programs, of everybody else for all clients. There is no planned switchover: the backup takes over from the "
        "primary as after its death. The programs here ask again after 13 s, whatever became of their faculty.\n\n"
        + table(("process", "restarts", "pause ms, median", "longest"), rows)
    )


def _provenance(found: Records) -> str:
    if not found:
        return ""
    same: dict[tuple[str, str], list[Record]] = {}
    for record in found.values():
        host = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in record.host.items())
        same.setdefault((record.commit, host), []).append(record)
    rows = [
        [", ".join(record.instrument.replace("_", " ") for record in of), code(commit),
         " to ".join(sorted({min(record.date for record in of), max(record.date for record in of)})), host]
        for (commit, host), of in same.items()
    ]  # fmt: skip
    return (
        "A commit is the last one that changed the code that was run; with `+changes` there were some without a name. "
        "Seeds stand in the commands above; an instrument without one counts its seeds from 0. The same seed draws the "
        "same faults; in real time no two runs are the same.\n\n"
        + table(("instruments", "commit", "days", "host"), rows)
    )


_PARTS: Final[Mapping[str, Callable[[Records], str]]] = {
    "Failures": _failures,
    "What could not be run": _skipped,
    "How long it takes": _service,
    "Would a mistake be found?": _mutants,
    "Controls": _controls,
    "What the simulator met": _coverage,
    "Damaged files, by damage": _damage,
    "Logs that were tampered with, by deed": _tampering,
    "Hostile frames": _hostile,
    "Links, processes and clocks, by topology": _links,
    "Restarts, by process": _rolling_restart,
    "Shortages, by process and resource": _scarcity,
    "What each instrument sees, and what not": lambda _: _sight(),
    "What cannot be proven here": lambda _: LIMITS.strip(),
    "Which code, where and when": _provenance,
}
"""Title -> part of the page; a part without text is left out."""


def _runs(record: Record) -> str:
    """How many of what; one of them is singular."""
    unit = INSTRUMENTS[record.instrument].unit
    return f"{grouped(record.outcome.runs)} {unit.removesuffix('s') if record.outcome.runs == 1 else unit}"


@click.command("report")
@click.option("--results", type=click.Path(path_type=Path), help="Where results are (default: reliability/).")
def report(results: Path | None) -> None:
    """Write RELIABILITY.md from the results that are kept.

    \b
    Example:
      python -m ops.prove.report
    """
    directory, page = places(results)
    write(directory, page)
    click.echo(f"written: {page}", err=True)


if __name__ == "__main__":
    start(report)
