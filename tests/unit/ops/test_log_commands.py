"""`aulario log` and `aulario audit` on a stopped node's directory."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from es.codec import Entry, encode_batch
from es.log.base import EMPTY, Write
from es.log.lmdb_log import LmdbLog
from nodes.datadir import rebuild
from ops.cluster_dir import config_in_force
from ops.log_reader import opened
from tests.unit.ops.command import aulario, json_lines


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
    beyond = aulario("log", "show", history / "server-a", len(events) + 1)
    assert (beyond.returncode, beyond.stdout) == (2, "")
    assert f"is committed up to seq {len(events)}" in beyond.stderr


def test_verify_says_ok_or_4(history: Path) -> None:
    assert aulario("log", "verify", history / "server-a").returncode == 0
    damage(history / "server-a")
    damaged = aulario("log", "verify", history / "server-a")
    assert damaged.returncode == 4
    assert "is damaged" in damaged.stderr
    assert damaged.stderr.count("\n") == 1


def test_a_truncated_log_ends_every_reader_with_one_sentence_and_4(history: Path) -> None:
    with (history / "server-a" / "data.mdb").open("r+b") as data:
        data.truncate(4096 * 3)
    for verb in (("verify",), ("export",), ("tail",)):
        damaged = aulario("log", *verb, history / "server-a")
        assert damaged.returncode == 4, verb
        assert damaged.stderr.startswith(f"Error: the log in {history}/server-a is damaged"), verb
        assert damaged.stderr.count("\n") == 1


def test_no_log_is_one_sentence(tmp_path: Path) -> None:
    missing = aulario("log", "export", tmp_path)
    assert (missing.returncode, missing.stderr) == (4, f"Error: there is no log in {tmp_path}\n")
    assert aulario("log", "export", tmp_path / "nowhere").returncode == 2


def test_audit_passes_a_sound_history(history: Path) -> None:
    checked = aulario("audit", "check", "--dir", history, "-o", "json")
    (findings,) = json_lines(checked.stdout)
    assert checked.returncode == 0
    assert (findings["ok"], findings["logs_equal"]) == (True, True)
    assert [log["violations"] for log in findings["logs"]] == [[], []]


def test_audit_holds_receipts_against_the_logs(history: Path, tmp_path: Path) -> None:
    with opened(history / "server-a") as log:
        every = [(batch, entry) for batch in log.batches() for entry in batch.entries]
    batch, confirmed = next(one for one in every if one[1].type == "Confirmed")
    seq = batch.first_seq + confirmed.offset
    exported = json_lines(aulario("log", "export", history / "server-a", "-o", "json").stdout)
    body = next(event["body"] for event in exported if event["seq"] == seq)
    reserved = next(
        event["body"] for event in exported
        if event["type"] == "Reserved" and event["body"]["transaction_id"] == body["transaction_id"]
    )  # fmt: skip
    told = {
        "faculty_id": body["faculty_id"], "transaction_id": body["transaction_id"], "status": "ACCEPTED",
        "recibo": {"seq": seq, "hash": batch.hash.hex()},
        "aulas": reserved["classrooms"], "laboratorios": reserved["labs"], "moviles": reserved["mobile"],
    }  # fmt: skip
    denied = {"transaction_id": "other", "status": "DENIED"}
    receipts = tmp_path / "results.jsonl"

    receipts.write_text(f"{json.dumps(told)}\n{json.dumps(denied)}\n")
    assert aulario("audit", "check", "--dir", history, "--receipts", receipts).returncode == 0

    receipts.write_text(json.dumps({**told, "aulas": ["another room"]}))
    refused = aulario("audit", "check", "--dir", history, "--receipts", receipts)
    assert (refused.returncode, "accepted with other rooms" in refused.stdout) == (4, True)

    receipts.write_text("no json")
    misused = aulario("audit", "check", "--dir", history, "--receipts", receipts)
    assert (misused.returncode, "line 1" in misused.stderr) == (2, True)


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
