"""`aulario init` and `aulario config`, as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from es.log.lmdb_log import LmdbLog
from es.replication.messages import Member, unpack_register
from nodes import register_file
from nodes.datadir import register_path
from tests.unit.ops.command import aulario


def identities(directory: Path) -> list[Member]:
    found = []
    for name in "ab":
        log = LmdbLog.open(directory / f"server-{name}", readonly=True)
        found.append(Member(log.identity.node, log.identity.incarnation))
        log.close()
    return found


def test_init_makes_logs_and_the_first_register_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    assert aulario("init", "--dir", tmp_path).returncode == 0
    members = identities(tmp_path)
    stored = register_file.load(register_path(tmp_path / "witness"))
    assert stored is not None
    register = unpack_register(stored)
    assert (register.epoch, register.primary.node, list(register.in_sync)) == (1, "a", members)
    assert members[0].incarnation != members[1].incarnation
    before = (tmp_path / "aulario.toml").read_text()

    assert aulario("init", "--dir", tmp_path, "--faculties", 3).returncode == 0
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
        ("[timing]\ngrace_ms = 100\n", "aulario.toml:1: timing.lease_ms: must be < grace_ms, but 300 is not < 100"),
    ],
)
def test_a_bad_file_is_named_with_line_and_key_and_exit_code_2(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "aulario.toml").write_text(text)
    for verb in (("config", "validate"), ("server", "a"), ("up",), ("init",)):
        refused = aulario(*verb, "--dir", tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == f"Error: {tmp_path}/{sentence}\n"


def test_a_directory_without_a_cluster_is_a_usage_error(tmp_path: Path) -> None:
    for verb in (("status",), ("server", "a"), ("config", "validate")):
        refused = aulario(*verb, "--dir", tmp_path)
        assert refused.returncode == 2
        assert refused.stderr == f"Error: there is no cluster in {tmp_path}: aulario.toml is missing\n"
