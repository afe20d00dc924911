"""`aulario audit`: hold what the logs say against the rules, independently of the code that wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from es.errors import LogDamaged
from es.log.lmdb_log import LmdbLog
from es.log.verify import verify_in_child
from es.testing.history import BrokenRule, check_history
from nodes.config.cluster import ClusterConfig
from ops.exits import INTEGRITY, OK, UNREACHABLE, Stopped
from ops.log_reader import LOG_DIRECTORY, committed, held_by_all, opened
from ops.options import DIRECTORY, FILE_THERE, config_option, configuration
from ops.output import JSON, TABLE, count, output_option, print_json
from ops.receipts import RECEIPT, Outcomes, Results, beyond, read_results
from ops.streams import telling
from ops.this_machine import is_here
from projections.rooms.checker import Seen, check_rooms

VIOLATIONS_SHOWN_MAX = 20


@click.group()
def audit() -> None:
    """Check what the logs say.

    \b
    Example:
      aulario audit check --dir cluster
    """


@audit.command()
@click.argument("data_dirs", nargs=-1, type=LOG_DIRECTORY)
@click.option("--dir", "directory", type=DIRECTORY, envvar="AULARIO_DIR", help="Check every server of this cluster.")
@config_option
@click.option("--receipts", type=FILE_THERE, help="Answers kept of `request`, `release` and `term close` (-o json).")
@output_option(TABLE, JSON)
def check(
    data_dirs: tuple[Path, ...], directory: Path | None, config_file: Path | None, receipts: Path | None, output: str
) -> None:
    """Check the logs in DATA_DIRS against the rules, against one another and against receipts.

    Rooms are conserved and none is granted twice, every transaction has one outcome, every epoch one primary;
    the logs are equal as far as they go; every receipt stands in them as the event that the answer says, with its
    rooms or counts, and so does every refusal kept without one. A receipt may lie beyond the end of one log if
    another has it. What no log has is not checked: an answer's `copias`, `reason` and `elapsed_ms`, and the
    `transaction_id` of a term's closing.

    On one of several machines the logs that are there are checked, and the others are named.

    Exit code 4 if a rule is broken or a server's data directory lacks its log, 3 if no server of the cluster is
    on this machine.

    \b
    Examples:
      aulario audit check --dir cluster
      aulario audit check cluster/server-a -o json
      aulario audit check --dir cluster --receipts results.jsonl
    """
    not_here: list[str] = []
    are_all = False
    if data_dirs:
        _refuse_misuse(data_dirs)
    else:
        directory = (directory or Path("cluster")).absolute()
        which = f"of {config_file}" if config_file is not None else f"in {directory}"
        data_dirs, not_here = _logs_of(configuration(directory, config_file), which)
        are_all = not not_here

    _verify(data_dirs)
    results = read_results(receipts) if receipts is not None else None
    findings = check_logs(data_dirs, results, not_here, held_by_all(data_dirs) if are_all else 0)
    outcome, exit_code = ("no rule is broken", OK) if findings["ok"] else ("the logs break the rules", INTEGRITY)
    with telling(outcome, exit_code):
        if output == JSON:
            print_json(findings)
        else:
            _print_findings(findings)
    if exit_code != OK:
        raise Stopped(outcome, exit_code)


def _verify(data_dirs: Sequence[Path]) -> None:
    """Raises LogDamaged, which names also the logs that are sound: from one of those another can be filled anew; or
    PermissionError for one that may not be read, if none is damaged."""
    damaged: list[LogDamaged] = []
    forbidden: list[PermissionError] = []
    sound: list[str] = []
    for data_dir in data_dirs:
        try:
            verify_in_child(data_dir)
            sound.append(str(data_dir))
        except LogDamaged as error:
            damaged.append(error)
        except PermissionError as error:
            forbidden.append(error)
    if damaged:
        unread = [f"{error.filename}: {error.strerror}" for error in forbidden]
        raise LogDamaged("; ".join([*map(str, damaged), *unread, *([f"sound: {', '.join(sound)}"] if sound else [])]))
    if forbidden:
        raise forbidden[0]


def _refuse_misuse(data_dirs: Sequence[Path]) -> None:
    """A log proves nothing against itself. Raises click's UsageError."""
    source_of = click.get_current_context().get_parameter_source
    for parameter, option in (("directory", "--dir"), ("config_file", "--config")):
        if source_of(parameter) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"give either DATA_DIRS or {option}")
    seen: dict[Path, Path] = {}
    for data_dir in data_dirs:
        twin = seen.setdefault(data_dir.resolve(), data_dir)
        if twin is not data_dir:
            raise click.UsageError(f"{twin} and {data_dir} are one directory: a log is compared with another one")


def _logs_of(config: ClusterConfig, which: str) -> tuple[tuple[Path, ...], list[str]]:
    """The data directories of the servers that belong on this machine, and the names of the other servers."""
    servers = config.servers
    here = tuple(server.data for server in servers if is_here(server))
    not_here = [f"server-{server.name}" for server in servers if server.data not in here]
    if not here:
        where = f"no server of the cluster {which} is on this machine"
        raise Stopped(f"{where}: {', '.join(not_here)}", UNREACHABLE)
    return here, not_here


def broken_rules(log: LmdbLog, observed: Iterable[Seen] = (), commit_seq: int | None = None) -> list[BrokenRule]:
    """What the whole checker finds in a log: the history of its epochs, its rooms, and what clients were told.
    `commit_seq` as for `committed`."""
    return [
        *check_history(committed(log, commit_seq=commit_seq)),
        *check_rooms(committed(log, commit_seq=commit_seq), observed),
    ]


def check_logs(
    data_dirs: tuple[Path, ...], results: Results | None = None, not_here: Sequence[str] = (), held: int = 0
) -> dict[str, Any]:
    """What the checker finds: `logs` (committed events and violations of each), `logs_equal` up to the lowest commit
    point `compared_to_seq` (None where there is one log alone), `not_here` (servers whose logs are elsewhere),
    `receipts` if there are results to hold against them (its `violations` are of what clients were told, those of the
    logs of the logs alone), and `ok`. A receipt beyond every log breaks a rule, unless a log is elsewhere. Up to `held`
    all servers hold the same (`held_by_all`): so far the logs are committed, whatever they say.
    Raises LogError, PermissionError."""
    logs: list[dict[str, Any]] = []
    against_clients: list[BrokenRule] = []
    outcomes = Outcomes()
    told = results or Results()
    for path in data_dirs:
        with opened(path) as log:
            commit_seq = max(log.commit_seq(), held)
            broken = broken_rules(log, [seen for seen in told.seen if seen.seq <= commit_seq], commit_seq)
            of_log = [one for one in broken if one.rule != RECEIPT]
            against_clients += (one for one in broken if one.rule == RECEIPT and one not in against_clients)
            logs.append({"data": str(path), "events": commit_seq, "violations": _sentences(of_log)})
            if told.refusals:
                outcomes.take(committed(log, commit_seq=commit_seq))
    commit_seqs = [log["events"] for log in logs]
    later = beyond(max(commit_seqs), told.seen)
    refusals = outcomes.contradicting(told.refusals, are_all=not not_here)
    unmatched = _sentences([*told.broken, *against_clients, *([] if not_here else later), *refusals])
    differ_at = first_difference(data_dirs)
    return {
        "ok": differ_at is None and not unmatched and not any(log["violations"] for log in logs),
        "logs_equal": None if len(data_dirs) == 1 else differ_at is None,
        "compared_to_seq": min(commit_seqs),
        "logs": logs,
        "not_here": list(not_here),
        **({} if differ_at is None else {"differ_at_seq": differ_at}),
        **({} if results is None else {"receipts": results.counts() | {"beyond": len(later), "violations": unmatched}}),
    }


def _sentences(broken: Iterable[BrokenRule]) -> list[str]:
    return [f"seq {seq}: {rule}: {sentence}" for seq, rule, sentence in broken]


def first_difference(data_dirs: tuple[Path, ...]) -> int | None:
    """The first sequence number at which a log differs from the first one, among what both committed."""
    differences = []
    for other in data_dirs[1:]:
        with opened(data_dirs[0]) as log, opened(other) as other_log:
            for batch, twin in zip_longest(committed(log), committed(other_log)):
                if batch is None or twin is None:
                    break
                if batch.data != twin.data:
                    differences.append(min(batch.first_seq, twin.first_seq))
                    break
    return min(differences, default=None)


def _print_findings(findings: dict[str, Any]) -> None:
    for log in findings["logs"]:
        _print_violations(f"{log['data']}: {count(log['events'], 'event')}", log["violations"])
    for name in findings["not_here"]:
        click.echo(f"{name}: not on this machine")
    if len(findings["logs"]) > 1:
        click.echo(_comparison(findings))
    elif findings["not_here"]:
        click.echo("the logs could not be compared")
    if (told := findings.get("receipts")) is not None:
        _print_violations(_checked(told), told["violations"])
        if told["beyond"] and findings["not_here"]:
            lie = "lies" if told["beyond"] == 1 else "lie"
            click.echo(f"{count(told['beyond'], 'receipt')} {lie} beyond the logs that are here: not checked")


def _checked(told: dict[str, Any]) -> str:
    """What was held against the logs."""
    kinds = {kind: told[kind] for kind in ("accepted", "refused", "released", "closed")}
    shown = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    checked = f"{count(sum(kinds.values()), 'receipt')}{f' ({shown})' if shown else ''}"
    if told["without_receipt"]:
        checked += f" and {count(told['without_receipt'], 'refusal')} without one"
    return f"{checked} checked, {count(told['passed_over'], 'other result')} passed over"


def _print_violations(about: str, violations: list[str]) -> None:
    click.echo(f"{about}, {count(len(violations), 'violation') if violations else 'no violations'}")
    for violation in violations[:VIOLATIONS_SHOWN_MAX]:
        click.echo(f"  {violation}")


def _comparison(findings: dict[str, Any]) -> str:
    if not findings["logs_equal"]:
        return f"logs differ at seq {findings['differ_at_seq']}"
    compared_to_seq = findings["compared_to_seq"]
    if all(log["events"] == compared_to_seq for log in findings["logs"]):
        return "logs equal"
    return f"logs equal up to seq {compared_to_seq}"
