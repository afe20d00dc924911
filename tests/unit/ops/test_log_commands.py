"""`aulario log` and `aulario audit` on a stopped node's directory."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from es.codec import Entry, encode_batch
from es.log.base import EMPTY, Write
from es.log.lmdb_log import LmdbLog
from nodes.datadir import rebuild
from ops.cluster_dir import config_in_force
from ops.log_reader import opened
from tests.unit.ops.command import BOUND_BY_MODES, aulario, json_lines


def damage(directory: Path) -> None:
    data = directory / "data.mdb"
    content = bytearray(data.read_bytes())
    content[content.rfind(b"Confirmed")] ^= 1
    data.write_bytes(content)


def test_export_gives_every_committed_event_and_no_other(history: Path) -> None:
    exported = aulario("log", "export", history / "server-a", "-o", "json")
    events = json_lines(exported.stdout)
    assert exported.returncode == 0
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events][-2:] == ["Reserved", "Confirmed"]
    reserved = events[-2]
    assert reserved["body"]["transaction_id"] == "t1"
    assert len(reserved["body"]["classrooms"]) == 7
    assert set(reserved) == {"seq", "epoch", "ts", "actor", "type", "hash", "body"}
    assert exported.stdout == aulario("log", "export", history / "server-b").stdout


def test_export_as_csv_says_the_same(history: Path) -> None:
    rows = list(csv.DictReader(aulario("log", "export", history / "server-a", "-o", "csv").stdout.splitlines()))
    events = json_lines(aulario("log", "export", history / "server-a").stdout)
    assert [(row["seq"], row["type"]) for row in rows] == [(str(event["seq"]), event["type"]) for event in events]


def test_tail_and_show_pick_from_the_same_events(history: Path) -> None:
    events = json_lines(aulario("log", "export", history / "server-a").stdout)
    assert json_lines(aulario("log", "tail", history / "server-a", "-n", 2, "-o", "json").stdout) == events[-2:]
    assert json_lines(aulario("log", "show", history / "server-a", 2, 3).stdout) == events[1:3]
    assert json_lines(aulario("log", "show", history / "server-a", 3, 3).stdout) == events[2:3]
    backwards = aulario("log", "show", history / "server-a", 5, 2)
    assert (backwards.returncode, backwards.stdout) == (2, "")
    assert "LAST_SEQ 2 is before SEQ 5" in backwards.stderr
    beyond = aulario("log", "show", history / "server-a", len(events) + 1)
    assert (beyond.returncode, beyond.stdout) == (2, "")
    assert f"is committed up to seq {len(events)}" in beyond.stderr


def test_verify_says_4_where_a_log_is_damaged_or_gone(history: Path) -> None:
    damage(history / "server-a")
    damaged = aulario("log", "verify", history / "server-a")
    assert damaged.returncode == 4
    assert "is damaged" in damaged.stderr
    assert damaged.stderr.count("\n") == 1
    shutil.rmtree(history / "server-a")
    for command in ("verify", "checkpoint", "tail"):
        gone = aulario("log", command, history / "server-a")
        assert (gone.returncode, "there is no log in" in gone.stderr) == (4, True), command
    assert aulario("log", "verify", history / "server-x").returncode == 2, "no directory of this cluster"
    assert aulario("log", "verify", "", cwd=history / "server-b").returncode == 2, "nor is no name that of this one"


@pytest.mark.parametrize(
    "words",
    [
        ("log", "verify", "{}/server-a"), ("log", "tail", "{}/server-a"), ("log", "export", "{}/server-a"),
        ("log", "checkpoint", "{}/server-a"), ("audit", "check", "{}/server-a"), ("allocations", "--dir", "{}"),
        ("term", "list", "--dir", "{}"), ("report", "{}"), ("server", "a", "--dir", "{}"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_log_that_may_not_be_read_is_wrong_usage_and_no_damage(history: Path, words: tuple[str, ...]) -> None:
    data = history / "server-a" / "data.mdb"
    data.chmod(0)
    refused = aulario(*(word.format(history) for word in words), started_with=BOUND_BY_MODES)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{data}: Permission denied" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr


def test_what_may_not_be_read_hides_no_damage_and_another_log_is_named(history: Path) -> None:
    forbidden = history / "server-a" / "data.mdb"
    forbidden.chmod(0)
    read = aulario("allocations", "--dir", history, started_with=BOUND_BY_MODES)
    assert (read.returncode, f"name its directory ({history}/server-a, {history}/server-b)" in read.stderr) == (2, True)
    damage(history / "server-b")
    checked = aulario("audit", "check", "--dir", history, started_with=BOUND_BY_MODES)
    assert (checked.returncode, checked.stdout) == (4, "")
    assert f"the log in {history}/server-b is damaged" in checked.stderr
    assert f"{forbidden}: Permission denied" in checked.stderr


def test_a_truncated_log_ends_every_reader_with_one_sentence_and_4(history: Path) -> None:
    with (history / "server-a" / "data.mdb").open("r+b") as data:
        data.truncate(20_000)
    own, cluster = history / "server-a", ("--dir", history)
    for command in (
        ("log", "verify", own), ("log", "export", own), ("log", "tail", own), ("log", "show", own, 1),
        ("log", "checkpoint", own), ("audit", "check", *cluster), ("report", history), ("init", *cluster),
    ):  # fmt: skip
        damaged = aulario(*command)
        assert damaged.returncode == 4, command
        whose = (f"Error: the log in {own} is damaged: ", f"Error: a log of the cluster in {history} is damaged: ")
        assert damaged.stderr.startswith(whose), command
        assert damaged.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("log", "export"), ("log", "tail"), ("log", "show"), ("log", "verify"), ("audit", "check")]
)
def test_a_directory_without_a_log_is_wrong_usage(history: Path, command: tuple[str, str]) -> None:
    seq = (1,) if command == ("log", "show") else ()
    for directory in (history, history / "witness"):
        missing = aulario(*command, directory, *seq)
        assert (missing.returncode, missing.stdout) == (2, "")
        assert f"there is no log in {directory}\n" in missing.stderr
    assert aulario(*command, history / "nowhere", *seq).returncode == 2


def test_a_server_of_the_cluster_without_its_log_is_no_wrong_usage(history: Path) -> None:
    own = history / "server-b"
    (own / "data.mdb").unlink()
    for command in (("log", "verify", own), ("log", "tail", own), ("audit", "check", own)):
        missing = aulario(*command)
        assert (missing.returncode, missing.stderr) == (
            4, f"Error: there is no log in {own}, the data directory of a server\n",
        )  # fmt: skip
    shutil.rmtree(own)
    checked = aulario("audit", "check", "--dir", history)
    assert (checked.returncode, checked.stderr) == (4, f"Error: there is no log in {own}\n")


def test_a_log_is_not_compared_with_itself(history: Path) -> None:
    (history / "again").symlink_to("server-a")
    for twin in (history / "server-a", history / "again", f"{history}/server-b/../server-a"):
        misused = aulario("audit", "check", history / "server-a", twin)
        assert (misused.returncode, misused.stdout, "are one directory" in misused.stderr) == (2, "", True)


def test_directories_and_a_cluster_are_not_both_named(history: Path) -> None:
    for option, where in (("--dir", history), ("--config", history / "aulario.toml")):
        misused = aulario("audit", "check", history / "server-a", option, where)
        assert (misused.returncode, misused.stdout, f"either DATA_DIRS or {option}" in misused.stderr) == (2, "", True)
    elsewhere = {"AULARIO_DIR": "/nowhere", "AULARIO_CONFIG": "/nowhere/aulario.toml"}
    of_environment = aulario("audit", "check", history / "server-a", environ=elsewhere)
    assert of_environment.returncode == 0, "what the command line names goes before the environment"


@pytest.fixture
def one_machine(history: Path) -> Path:
    """The directory on the machine of server a: b is elsewhere, and its data directory too."""
    toml = history / "aulario.toml"
    config = config_in_force(history)
    elsewhere = config.server("b").requests.replace("127.0.0.1", "192.0.2.7")  # an address nobody has (RFC 5737)
    toml.write_text(toml.read_text().replace(config.server("b").requests, elsewhere))
    shutil.rmtree(history / "server-b")
    return history


def test_on_one_of_several_machines_what_is_here_is_checked(one_machine: Path) -> None:
    checked = aulario("audit", "check", "--dir", one_machine)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.splitlines()[1:] == ["server-b: not on this machine", "the logs could not be compared"]
    (findings,) = json_lines(aulario("audit", "check", "--dir", one_machine, "-o", "json").stdout)
    assert (findings["ok"], findings["logs_equal"], findings["not_here"]) == (True, None, ["server-b"])
    log = LmdbLog.open(one_machine / "server-a", readonly=True)
    confirmed = next(entry for batch in log.batches() for entry in batch.entries if entry.type == "Confirmed")
    log.close()
    append(one_machine / "server-a", confirmed._replace(offset=0))
    assert aulario("audit", "check", "--dir", one_machine).returncode == 4


def test_what_should_be_here_is_missed_on_one_of_several_machines_too(one_machine: Path) -> None:
    (one_machine / "server-b").mkdir()
    missed = aulario("audit", "check", "--dir", one_machine)
    assert (missed.returncode, missed.stderr) == (4, f"Error: there is no log in {one_machine}/server-b\n")
    (one_machine / "server-b").rmdir()
    shutil.rmtree(one_machine / "server-a")
    missed = aulario("audit", "check", "--dir", one_machine)
    assert (missed.returncode, missed.stderr) == (4, f"Error: there is no log in {one_machine}/server-a\n")


def test_where_no_server_is_nothing_is_checked(one_machine: Path) -> None:
    toml = one_machine / "aulario.toml"
    shutil.rmtree(one_machine / "server-a")
    toml.write_text(toml.read_text().replace(config_in_force(one_machine).server("a").requests, "tcp://192.0.2.8:5555"))
    nothing = aulario("audit", "check", "--dir", one_machine)
    why = f"Error: no server of the cluster in {one_machine} is on this machine: server-a, server-b\n"
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (3, "", why)


def test_audit_passes_a_sound_history(history: Path) -> None:
    checked = aulario("audit", "check", "--dir", history, "-o", "json")
    (findings,) = json_lines(checked.stdout)
    assert checked.returncode == 0
    assert (findings["ok"], findings["logs_equal"]) == (True, True)
    assert [log["violations"] for log in findings["logs"]] == [[], []]


@pytest.fixture
def accepted(history: Path) -> dict[str, Any]:
    """What t1's client was told."""
    events = json_lines(aulario("log", "export", history / "server-a", "-o", "json").stdout)
    reserved, confirmed = events[-2:]
    return {
        "faculty_id": confirmed["body"]["faculty_id"], "transaction_id": "t1", "status": "ACCEPTED",
        "recibo": {"epoch": confirmed["epoch"], "seq": confirmed["seq"], "hash": confirmed["hash"], "copias": 2},
        "aulas": reserved["body"]["classrooms"],
        "laboratorios": reserved["body"]["labs"], "moviles": reserved["body"]["mobile"],
    }  # fmt: skip


def checked_against(history: Path, *told: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
    """`audit check --receipts`: exit status, findings, what people are shown."""
    file = history / "results.jsonl"
    file.write_text("".join(json.dumps(result) + "\n" for result in told))
    check = ("audit", "check", "--dir", history, "--receipts", file)
    (findings,) = json_lines(aulario(*check, "-o", "json").stdout)
    shown = aulario(*check)
    return shown.returncode, findings, shown.stdout


def test_audit_holds_receipts_against_the_logs(history: Path, accepted: dict[str, Any]) -> None:
    unknown = {"transaction_id": "another", "status": "UNKNOWN"}
    code, findings, shown = checked_against(history, accepted, unknown)
    assert code == 0
    assert shown.endswith("1 receipt (1 accepted) checked, 1 other result passed over, no violations\n")

    code, findings, shown = checked_against(history, {**accepted, "aulas": ["another room"]})
    assert (code, [log["violations"] for log in findings["logs"]]) == (4, [[], []])
    (violation,) = findings["receipts"]["violations"]
    assert "accepted with other rooms" in violation
    assert shown.endswith(f"checked, 0 other results passed over, 1 violation\n  {violation}\n")


def test_a_receipt_beyond_the_logs_that_are_here_may_stand_elsewhere(
    one_machine: Path, accepted: dict[str, Any]
) -> None:
    code, findings, shown = checked_against(one_machine, accepted)
    assert (code, findings["receipts"]["violations"]) == (0, [])
    later = {**accepted, "transaction_id": "t9", "recibo": {"epoch": 1, "seq": 999, "hash": "ab", "copias": 2}}
    code, findings, shown = checked_against(one_machine, accepted, later)
    assert (code, findings["receipts"]["beyond"], findings["receipts"]["violations"]) == (0, 1, [])
    assert "1 receipt lies beyond the logs that are here: not checked\n" in shown


def test_a_receipt_beyond_the_end_of_one_log_must_stand_in_another(history: Path, accepted: dict[str, Any]) -> None:
    shorten(history / "server-b")
    code, findings, shown = checked_against(history, accepted)
    behind = accepted["recibo"]["seq"] - 1
    assert (code, findings["ok"], findings["compared_to_seq"]) == (0, True, findings["logs"][1]["events"])
    assert findings["compared_to_seq"] <= behind
    assert f"logs equal up to seq {findings['compared_to_seq']}\n" in shown

    shorten(history / "server-a")
    code, findings, _ = checked_against(history, accepted)
    assert code == 4
    (violation,) = findings["receipts"]["violations"]
    assert f"no log is committed beyond seq {findings['compared_to_seq']}" in violation


def test_what_every_server_holds_is_committed_though_all_died_before_they_said_so(
    history: Path, accepted: dict[str, Any]
) -> None:
    for name in ("server-a", "server-b"):
        shorten(history / name, keeps_events=True)
    code, findings, shown = checked_against(history, accepted)
    assert (code, findings["receipts"]["violations"]) == (0, [])
    assert findings["compared_to_seq"] >= accepted["recibo"]["seq"]
    assert "logs equal\n" in shown

    by_hand = aulario("audit", "check", history / "server-a", history / "server-b", "-o", "json")
    assert json.loads(by_hand.stdout)["compared_to_seq"] < accepted["recibo"]["seq"], "nobody says that these are all"
    listed = aulario("allocations", "--dir", history, "-o", "json").stdout
    assert [json.loads(line)["transaction_id"] for line in listed.splitlines()] == ["t1"]

    shorten(history / "server-b")
    code, findings, _ = checked_against(history, accepted)
    assert (code, findings["compared_to_seq"]) == (4, findings["logs"][1]["events"])
    assert aulario("allocations", "--dir", history, "-o", "json").stdout == ""


@pytest.mark.parametrize(
    ("status", "code"), [("DENIED", "LABS_EXHAUSTED"), ("CANCELED", "ACK_TIMEOUT"), ("CANCELED", "RELEASED")]
)
def test_no_log_may_confirm_what_a_client_was_refused(history: Path, status: str, code: str) -> None:
    refused = {"faculty_id": 1, "transaction_id": "t1", "status": status, "code": code}
    exit_code, findings, _ = checked_against(history, refused)
    assert exit_code == 4
    (violation,) = findings["receipts"]["violations"]
    assert f"a client saw transaction t1 of faculty 1 {status}; it is confirmed" in violation


def test_rooms_that_were_given_back_were_confirmed_before(history: Path) -> None:
    with opened(history / "server-a") as log:
        every = [entry for batch in log.batches() for entry in batch.entries]
    confirmed = next(entry for entry in every if entry.type == "Confirmed")
    append(history / "server-a", confirmed._replace(offset=0, type="Released", body=[*confirmed.body, "moved"]))
    refused = {"faculty_id": 1, "transaction_id": "t1", "status": "CANCELED", "code": "RELEASED"}
    code, findings, _ = checked_against(history, refused)
    assert (code, findings["receipts"]["violations"]) == (0, [])


@pytest.mark.parametrize(
    "line", [b"no json", b"\xff\xfe", b"[]", b'{"status": "DENIED"}', b'{"status": "ACCEPTED", "recibo": 1e999}']
)
def test_what_is_no_result_is_named_by_its_line(history: Path, line: bytes) -> None:
    file = history / "results.jsonl"
    file.write_bytes(b"\n" + line + b"\n")
    misused = aulario("audit", "check", "--dir", history, "--receipts", file)
    assert (misused.returncode, "line 2: this is no result" in misused.stderr) == (2, True), misused.stderr


def shorten(directory: Path, keeps_events: bool = False) -> None:
    """Leave a log that ends before t1 was confirmed, or holds all but does not know that it is committed since then, as
    one whose server died then."""
    with opened(directory) as log:
        batches = list(log.batches())
    last = next(i for i, batch in enumerate(batches) if any(entry.type == "Confirmed" for entry in batch.entries))
    shutil.rmtree(directory)
    assert aulario("init", "--dir", directory.parent).returncode == 0
    shorter = LmdbLog.open(directory)
    shorter.write(Write(batches if keeps_events else batches[:last], commit_seq=batches[last - 1].last_seq))
    shorter.close()


def append(directory: Path, *entries: Entry) -> None:
    log = LmdbLog.open(directory)
    head = log.head()
    batch = encode_batch(head.epoch, head.seq + 1, head.hash, head.ts_us + 1, entries)
    log.write(Write([batch], commit_seq=batch.last_seq))
    log.close()


def test_audit_finds_a_transaction_confirmed_twice_and_logs_that_differ(history: Path) -> None:
    log = LmdbLog.open(history / "server-a", readonly=True)
    confirmed = next(entry for batch in log.batches() for entry in batch.entries if entry.type == "Confirmed")
    log.close()
    append(history / "server-a", confirmed._replace(offset=0))
    append(history / "server-b", confirmed._replace(offset=0, type="Rejected"))
    checked = aulario("audit", "check", "--dir", history)
    assert checked.returncode == 4
    assert "one-outcome" in checked.stdout
    assert "logs differ at seq" in checked.stdout


@pytest.mark.parametrize(
    "command", [("audit", "check", "--receipts"), ("log", "verify", "--against"), ("log", "verify", "--key")]
)
def test_a_file_that_is_not_there_is_wrong_usage(history: Path, command: tuple[str, str, str]) -> None:
    verb, name, option = command
    missing = aulario(verb, name, history / "server-a", option, history / "nothing")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert f"Invalid value for '{option}': File '{history}/nothing' does not exist." in missing.stderr


def test_an_audit_that_finds_a_damaged_log_names_those_that_are_sound(history: Path) -> None:
    """From one of those the other can be filled anew."""
    damage(history / "server-a")
    told = aulario("audit", "check", "--dir", history)
    assert (told.returncode, told.stdout) == (4, "")
    assert f"sound: {history / 'server-b'}" in told.stderr


def test_rebuild_sets_a_damaged_log_aside_and_begins_an_empty_one(history: Path) -> None:
    config = config_in_force(history)
    assert rebuild(config, config.server("a")) is None
    damage(history / "server-a")
    aside = rebuild(config, config.server("a"))
    assert aside is not None
    assert (aside / "data.mdb").exists()
    old, new = LmdbLog.open(history / "server-b", readonly=True), LmdbLog.open(history / "server-a", readonly=True)
    assert (new.head(), new.identity.node) == (EMPTY, "a")
    assert new.identity.incarnation != old.identity.incarnation
    old.close()
    new.close()


def test_a_server_with_a_damaged_log_says_so_and_ends_with_4(history: Path) -> None:
    damage(history / "server-a")
    refused = aulario("server", "a", "--dir", history)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.startswith(f"Error: the log in {history}/server-a is damaged")
    assert "--rebuild" in refused.stderr


def test_a_report_without_timings_says_so(history: Path) -> None:
    told = aulario("report", history)
    assert (told.returncode, told.stdout) == (0, "There are no timings yet: no request was answered.\n")
    page = (history / "report" / "report.html").read_text(encoding="utf-8")
    assert "There are no timings yet: no request was answered." in page


def test_a_run_for_a_report_makes_no_cluster_within_another(history: Path) -> None:
    before = sorted(history.iterdir())
    nested = aulario("report", history, "--run", "--table3")
    assert (nested.returncode, nested.stdout) == (1, "")
    assert nested.stderr == (
        f"Error: {history} is a cluster's own directory: --run makes one in a directory of its own\n"
    )
    assert sorted(history.iterdir()) == before
