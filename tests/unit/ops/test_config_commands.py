"""`aulario init` and `aulario config`, as a shell sees them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from es.log.directory_lock import DirectoryLock
from es.log.lmdb_log import LmdbLog
from es.replication.messages import Member, unpack_register
from nodes.config.cluster import ConfigError
from nodes.config.file import render
from nodes.datadir import register_path
from nodes.witness import register_file
from ops import cluster_dir
from ops.cluster_dir import prepare, run_directory, write_whole
from tests.unit.ops.command import REPOSITORY, aulario


def identities(directory: Path) -> list[Member]:
    return [log_identity(directory / f"server-{name}") for name in "ab"]


def log_identity(data: Path) -> Member:
    log = LmdbLog.open(data, readonly=True)
    log.close()
    return Member(log.identity.node, log.identity.incarnation)


def test_init_makes_logs_and_the_first_register_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    assert aulario("init", "--dir", tmp_path).returncode == 0
    members = identities(tmp_path)
    stored = register_file.load(register_path(tmp_path / "witness"))
    assert stored is not None
    register = unpack_register(stored)
    assert (register.epoch, register.primary.node, list(register.in_sync)) == (1, "a", members)
    assert members[0].incarnation != members[1].incarnation
    before = (tmp_path / "aulario.toml").read_text()

    assert aulario("init", "--dir", tmp_path).returncode == 0
    assert aulario("init", "--dir", tmp_path, "--faculties", 10).returncode == 0, "that is what it says"
    for option in (("--faculties", 3), ("--base-port", 20_000), ("--pattern", "lbb")):
        refused = aulario("init", "--dir", tmp_path, *option)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"{tmp_path}/aulario.toml says otherwise, and init does not change it" in refused.stderr
    assert identities(tmp_path) == members
    assert register_file.load(register_path(tmp_path / "witness")) == stored
    assert (tmp_path / "aulario.toml").read_text() == before


def test_a_directory_of_another_cluster_is_refused(tmp_path: Path) -> None:
    aulario("init", "--dir", tmp_path / "one")
    aulario("init", "--dir", tmp_path / "two")
    (tmp_path / "one/aulario.toml").write_text((tmp_path / "two/aulario.toml").read_text())
    refused = aulario("init", "--dir", tmp_path / "one")
    assert refused.returncode == 4
    assert refused.stderr.startswith(f"Error: {tmp_path}/one/server-a belongs to cluster 'aulario-")
    assert refused.stderr.count("\n") == 1


def test_the_register_is_not_made_anew_over_a_history(tmp_path: Path, history: Path) -> None:
    (register_path(history / "witness")).unlink()
    refused = aulario("init", "--dir", history)
    assert refused.returncode == 4
    assert "witness/register is missing, but the servers have a history" in refused.stderr


def test_show_prints_what_is_in_force_and_can_be_read_back(tmp_path: Path) -> None:
    aulario("init", "--dir", tmp_path, "--faculties", 2)
    shown = aulario("config", "show", "--dir", tmp_path, environ={"AULARIO_TIMING_PROFILE": "slow"})
    assert "grace_ms = 1500" in shown.stdout
    (tmp_path / "copy.toml").write_text(shown.stdout)
    again = aulario("config", "show", "--config", tmp_path / "copy.toml", "-o", "json")
    assert json.loads(again.stdout)["timing"]["grace_ms"] == 1500
    assert len(json.loads(again.stdout)["faculties"]) == 2


def test_the_reference_faculties_have_their_names_and_programs(tmp_path: Path) -> None:
    aulario("init", "--dir", tmp_path)
    faculties = json.loads(aulario("config", "show", "--dir", tmp_path, "-o", "json").stdout)["faculties"]
    assert [len(faculty["programs"]) for faculty in faculties] == [5] * 10
    assert faculties[0]["name"] == "Ingeniería"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n\n[timing]\ngrace = 3\n", "aulario.toml:4: timing.grace: unknown key; did you mean grace_ms?"),
        ("[timing]\ngrace_ms = 100\n", "aulario.toml:2: timing.lease_ms: must be < grace_ms, but 300 is not < 100"),
    ],
)
def test_a_bad_file_is_named_with_line_and_key_and_exit_code_2(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "aulario.toml").write_text(text)
    for verb in (("config", "validate"), ("server", "a"), ("up",), ("init",)):
        refused = aulario(*verb, "--dir", tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == f"Error: {tmp_path}/{sentence}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('workers = "three"', "aulario.toml:1: workers: must be a whole number, not 'three'"),
        ('term = "x', "aulario.toml:1: Illegal character '\\n'"),
        ("x = " + "[" * 20_000, "aulario.toml: too many brackets within each other"),
        ("workers = " + "9" * 5_000, "aulario.toml: a number has too many digits"),
        ("#" * (1 << 20), "aulario.toml: longer than 1048576 bytes"),
        ('catalog = "none.csv"', "none.csv"),
    ],
    ids=lambda value: value[:20],
)
def test_validate_says_in_one_sentence_why_a_file_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "aulario.toml").write_text(text + "\n")
    refused = aulario("config", "validate", "--dir", tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Error: ")
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_what_is_no_file_is_refused_and_an_empty_file_is_a_cluster(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "empty.toml").touch()
    sentences = {
        "pipe.toml": "pipe.toml: not a regular file",
        "folder.toml": "folder.toml' is a directory.",
        "loop.toml": "loop.toml: Too many levels of symbolic links",
        "missing.toml": "missing.toml: No such file or directory",
        "/dev/zero": "/dev/zero: not a regular file",
    }
    for name, sentence in sentences.items():
        refused = aulario("config", "validate", "--config", tmp_path / name)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[-1].endswith(sentence)
    refused = aulario("config", "validate", "--dir", tmp_path / ("x" * 300))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.endswith("File name too long\n")
    assert aulario("config", "validate", "--config", tmp_path / "empty.toml").returncode == 0


def test_a_faculty_added_later_listens_below_the_same_base(tmp_path: Path) -> None:
    aulario("init", "--dir", tmp_path, "--base-port", 20_000, "--faculties", 1)
    with (tmp_path / "aulario.toml").open("a") as file:
        file.write("[[faculties]]\nid = 2\n")
    shown = json.loads(aulario("config", "show", "--dir", tmp_path, "-o", "json").stdout)
    assert shown["faculties"][1]["endpoint"] == "tcp://127.0.0.1:20102"
    assert shown["faculties"][1]["http"] == "http://127.0.0.1:20031"

    config = prepare(tmp_path, faculties=3, overrides={})
    assert [faculty.endpoint for faculty in config.faculties] == [f"tcp://127.0.0.1:2010{i}" for i in (1, 2, 3)]
    moved = prepare(tmp_path, base_port=30_000, faculties=3, overrides={})
    assert (moved.base_port, moved.faculty(3).endpoint) == (30_000, "tcp://127.0.0.1:30103")
    with pytest.raises(ConfigError, match="faculty 88 does not fit the 200 ports from 20000"):
        prepare(tmp_path, faculties=88, overrides={})


def test_a_directory_without_a_cluster_is_a_usage_error(tmp_path: Path) -> None:
    for verb in (("status",), ("server", "a"), ("config", "validate")):
        refused = aulario(*verb, "--dir", tmp_path)
        assert refused.returncode == 2
        assert refused.stderr == f"Error: there is no cluster in {tmp_path}: aulario.toml is missing\n"


def test_on_one_of_several_machines_nothing_is_made_that_belongs_on_another(tmp_path: Path) -> None:
    cluster = ("--dir", tmp_path)
    aulario("init", *cluster, "--faculties", 1)
    gone = [tmp_path / name for name in ("server-a", "server-b", "witness", "keys/secret")]
    for directory in gone:
        shutil.rmtree(directory)
    made = aulario("init", *cluster, "--only", "b")
    assert (made.returncode, made.stderr) == (0, "")
    assert [one for one in gone if one.exists()] == [tmp_path / "server-b"]
    member = log_identity(tmp_path / "server-b")
    assert aulario("init", *cluster, "--only", "b").returncode == 0
    assert log_identity(tmp_path / "server-b") == member, "what is there stays"
    refused = aulario("init", *cluster, "--only", "c")
    assert (refused.returncode, "no server 'c'" in refused.stderr) == (2, True)
    nowhere = aulario("init", "--dir", tmp_path / "none", "--only", "a")
    assert (nowhere.returncode, (tmp_path / "none").exists()) == (2, False)


def test_what_is_judged_and_shown_is_what_the_next_start_reads(tmp_path: Path) -> None:
    cluster = ("--dir", tmp_path)
    aulario("init", *cluster, "--faculties", 1)
    nothing = aulario("config", "show", *cluster, "--running")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    run_directory(tmp_path).mkdir()
    write_whole(run_directory(tmp_path) / "cluster.toml", render(prepare(tmp_path, overrides={}), tmp_path))
    left_behind = aulario("config", "show", *cluster, "--running")
    assert (left_behind.returncode, left_behind.stdout) == (1, ""), "by an `up` that was killed"
    up = DirectoryLock(run_directory(tmp_path))
    assert aulario("config", "validate", *cluster).stderr == ""

    other = {"AULARIO_TERM": "2031-1"}
    said = aulario("config", "validate", *cluster, environ=other)
    assert (said.returncode, said.stdout.endswith("2 servers, 1 faculty\n")) == (0, True)
    assert "was started with another one" in said.stderr
    assert 'term = "2031-1"' in aulario("config", "show", *cluster, environ=other).stdout
    assert 'term = "2025-2"' in aulario("config", "show", *cluster, "--running", environ=other).stdout

    for verb in ("validate", "show"):
        refused = aulario("config", verb, *cluster, environ={"AULARIO_TIMING_PROFILE": "bogus"})
        assert (refused.returncode, "AULARIO_TIMING_PROFILE" in refused.stderr) == (2, True)
    (tmp_path / "aulario.toml").write_text("workers = 0\n")
    for verb in ("validate", "show"):
        refused = aulario("config", verb, *cluster)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"Error: {tmp_path}/aulario.toml:1: workers")
    up.release()


def test_data_without_their_configuration_become_no_other_cluster(tmp_path: Path) -> None:
    aulario("init", "--dir", tmp_path)
    kept = (tmp_path / "aulario.toml").rename(tmp_path / "aside.toml")
    for verb in ("init", "up"):
        refused = aulario(verb, "--dir", tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == (
            f"Error: {tmp_path} has data of a cluster (server-a), and its aulario.toml is missing: put it back\n"
        )
        assert not (tmp_path / "aulario.toml").exists()
    kept.rename(tmp_path / "aulario.toml")
    assert aulario("init", "--dir", tmp_path).returncode == 0


def test_one_cluster_is_named_and_the_command_line_goes_before_the_environment(tmp_path: Path) -> None:
    aulario("init", "--dir", tmp_path, "--faculties", 1)
    (tmp_path / "other.toml").write_text("")
    one, other = ("--dir", tmp_path), ("--config", tmp_path / "other.toml")
    for command in (("config", "show"), ("keys", "list"), ("request", "--faculty", 1, "P", 1, 1)):
        both = aulario(*command, *one, *other)
        assert (both.returncode, both.stdout, "either --config or --dir" in both.stderr) == (2, "", True)
    for named, of_environment, faculties in (
        (one, {"AULARIO_CONFIG": str(other[1])}, 1),
        (other, {"AULARIO_DIR": str(tmp_path)}, 10),
    ):
        shown = aulario("config", "show", *named, "-o", "json", environ=of_environment)
        assert len(json.loads(shown.stdout)["faculties"]) == faculties
    for verb in (("up",), ("init",), ("status",), ("config", "validate")):
        nowhere = aulario(*verb, "--dir", "", cwd=tmp_path)
        assert (nowhere.returncode, nowhere.stdout, "'--dir': a path is expected" in nowhere.stderr) == (2, "", True)


def test_the_environment_names_the_cluster_for_every_command(tmp_path: Path, history: Path) -> None:
    nowhere = {"AULARIO_CONFIG": str(history / "aulario.toml")}
    for command, says in (
        (("status",), f"no process of the cluster of {history}/aulario.toml answers"),
        (("audit", "check"), "logs equal"),
        (("term", "list"), f"from the log in {history}"),
    ):
        shown = aulario(*command, environ=nowhere, cwd=tmp_path)
        assert says in shown.stdout + shown.stderr, command


def test_who_comes_at_the_same_time_finds_the_cluster_made(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ops.cli", "init", "--dir", str(tmp_path / "c")]
    made = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [(one.communicate()[0], one.returncode) for one in made]
    assert len(set(said)) == 1 and said[0][1] == 0, said


def test_who_is_not_alone_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_dir, "ALONE_WITHIN_S", 0.0)
    with cluster_dir.alone_in(tmp_path), pytest.raises(ConfigError, match="another command is making a cluster in"):
        cluster_dir.prepare(tmp_path, overrides={})
    assert cluster_dir.prepare(tmp_path, overrides={}).servers


@pytest.mark.parametrize("command", ["up", "init"])
def test_what_is_refused_makes_no_directory(tmp_path: Path, command: str) -> None:
    refused = aulario(command, "--dir", tmp_path / "c", "--base-port", 70_000)
    assert (refused.returncode, (tmp_path / "c").exists()) == (2, False)
