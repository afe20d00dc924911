"""`aulario keys`, as a shell sees it."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from nodes.security.keys import new_keys, public_directory, public_name, save_allowed, save_public
from nodes.security.principals import faculty, principal, server
from nodes.security.secret_keys import load_secret
from ops.cli import cli
from ops.exits import leave_with
from tests.unit.ops.command import REPOSITORY, json_lines


def aulario(*arguments: str | Path) -> Result:
    """The finished command, run in this process."""

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def whole(words: tuple[str, ...]) -> None:
        leave_with(lambda: cli.main(words, prog_name="aulario", standalone_mode=False))

    return CliRunner().invoke(whole, [*map(str, arguments)])


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    assert aulario("init", "--dir", tmp_path, "--faculties", "1").exit_code == 0
    return tmp_path


def keys(directory: Path, *arguments: str | Path) -> str:
    done = aulario("keys", *arguments, "--dir", directory)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def refused(directory: Path, exit_code: int, *arguments: str | Path) -> str:
    done = aulario("keys", *arguments, "--dir", directory)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    return done.stderr


def listed(directory: Path) -> dict[str, dict[str, object]]:
    return {row["principal"]: row for row in json_lines(keys(directory, "list", "-o", "json"))}


def test_init_makes_everybodys_keys_and_list_shows_them(cluster: Path) -> None:
    rows = listed(cluster)
    assert list(rows) == [
        "auditor:local", "faculty:1", "operator:local", "program:1/*", "server:a", "server:b", "witness",
    ]  # fmt: skip
    assert all((row["allowed"], row["secret"], row["problem"]) == (True, True, None) for row in rows.values())
    assert all(Path(str(row["file"])).exists() for row in rows.values())
    table = keys(cluster, "list")
    assert f"public files, to be carried to other hosts: {cluster}/keys/allowed" in table
    csv = keys(cluster, "list", "-o", "csv").splitlines()
    assert csv[0] == "principal,fingerprint,created,allowed,secret,problem,file"
    assert len(csv) == 8


def test_nothing_that_is_printed_holds_a_secret(cluster: Path) -> None:
    secrets = [load_secret(cluster / "keys", owner).curve_secret.decode() for owner in (server("a"), faculty(1))]
    printed = "".join(
        [
            keys(cluster, "list", "-o", "json"), aulario("config", "show", "--dir", cluster).stdout,
            aulario("config", "show", "--dir", cluster, "-o", "json").stdout, keys(cluster, "rotate", "server:a"),
            refused(cluster, 1, "allow", cluster / "keys/secret/faculty-1.toml"),
        ]
    )  # fmt: skip
    assert 'keys = "keys"' in printed
    assert not any(secret in printed for secret in secrets)


def test_a_key_made_on_one_host_is_let_in_on_another_and_revoked_there(cluster: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    aulario("init", "--dir", there, "--faculties", "0")
    made, file = keys(there, "new", "operator:ana", "--no-allow").splitlines()
    fingerprint = made.split()[2].rstrip(",")
    assert made == f"made: operator:ana {fingerprint}, which is not allowed here"
    path = Path(file.removeprefix("public file, to be carried to other hosts: "))
    assert path == there / f"keys/public/operator-ana.{fingerprint}.toml"
    assert (listed(there)["operator:ana"]["allowed"], listed(there)["operator:ana"]["file"]) == (False, str(path))

    assert keys(cluster, "allow", path) == f"allowed: operator:ana {fingerprint}\n"
    assert (listed(cluster)["operator:ana"]["allowed"], listed(cluster)["operator:ana"]["secret"]) == (True, False)
    assert keys(cluster, "revoke", "operator:ana").splitlines() == [
        f"revoked: operator:ana {fingerprint}", "next, on every other host of this cluster:",
        f"  aulario keys revoke operator:ana --key {fingerprint} --dir {cluster}",
    ]  # fmt: skip
    assert "operator:ana" not in listed(cluster)
    assert refused(cluster, 1, "revoke", "operator:ana") == (
        f"Error: no key of operator:ana is allowed in {cluster}/keys/allowed\n"
    )


def test_rotating_says_what_is_new_and_what_to_do_elsewhere(cluster: Path, tmp_path: Path) -> None:
    """The commands that are printed work on another host as they stand there."""
    there = tmp_path / "there"
    shutil.copytree(cluster / "keys", there / "keys")
    shutil.copy(cluster / "aulario.toml", there)
    old = fingerprint_of(cluster)
    made, file, ended, following, allow, revoke = keys(cluster, "rotate", "program:1/*").splitlines()
    new = fingerprint_of(cluster)
    assert (made, ended) == (f"made: program:1/* {new}", f"revoked: program:1/* {old}")
    assert following == "next, on every other host of this cluster, once the public file is there:"
    carried = Path(file.rpartition(" ")[2])
    for line in (allow, revoke):
        program, *words = shlex.split(line)
        assert (program, words[-2:]) == ("aulario", ["--dir", str(cluster)])
        words = [str(carried) if word == carried.name else word for word in words[1:-2]]
        keys(there, *words)
    assert [row["fingerprint"] for row in rows(there) if row["principal"] == "program:1/*" and row["allowed"]] == [new]


def test_a_key_that_outlives_a_rotation_is_named_until_it_is_revoked(cluster: Path) -> None:
    old = fingerprint_of(cluster)
    said = keys(cluster, "rotate", "program:1/*", "--keep-old").splitlines()
    new = fingerprint_of(cluster)
    command = f"aulario keys revoke 'program:1/*' --key {old}"
    assert said[-2:] == [
        f"still let in: program:1/* {old}; once nobody uses it any more, on every host:",
        f"  {command} --dir {cluster}",
    ]
    problems = {row["fingerprint"]: row["problem"] for row in rows(cluster)}
    assert problems[new] is None
    assert problems[old] == f"let in besides a newer key; once nobody uses it, on every host: {command}"
    keys(cluster, *shlex.split(command)[2:])
    assert all(row["problem"] is None for row in rows(cluster))

    elsewhere = new_keys(principal("program:1/*"), "2001-01-31T12:00:00Z").public
    save_allowed(cluster / "elsewhere", elsewhere)
    (path,) = (cluster / "elsewhere/allowed").iterdir()
    assert f"still let in: program:1/* {new}" in keys(cluster, "allow", path)


def fingerprint_of(cluster: Path, owner: str = "program:1/*") -> str:
    return load_secret(cluster / "keys", principal(owner)).public.fingerprint


def rows(directory: Path) -> list[dict[str, object]]:
    return list(json_lines(keys(directory, "list", "-o", "json")))


def test_a_damaged_secret_is_mended_by_the_command_that_is_named(cluster: Path) -> None:
    old = fingerprint_of(cluster)
    (cluster / "keys/secret/program-1-all.toml").write_text("")
    (problem,) = [str(row["problem"]) for row in rows(cluster) if row["problem"]]
    assert problem.endswith("program-1-all.toml is no file of keys: it must have created, curve_public, curve_secret, "
                            "principal and nothing else; restore it, or make new keys: "
                            "aulario keys rotate 'program:1/*'")  # fmt: skip
    assert f"revoked: program:1/* {old}" in keys(cluster, *shlex.split(problem.rpartition("aulario keys ")[2]))
    assert all(row["problem"] is None for row in rows(cluster))


def test_where_others_could_change_keys_nothing_is_done_and_list_says_so(cluster: Path) -> None:
    directory = cluster / "keys"
    directory.chmod(0o770)
    sentence = f"{directory} can be written by others than its owner: see that nobody else is let in, then chmod go-w"
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("new", "operator:ana"), ("rotate", "server:a"), ("revoke", "server:a"),
        ("allow", next((directory / "allowed").glob("server-a.*"))),
    )  # fmt: skip
    for command in commands:
        assert refused(cluster, 1, *command).startswith(f"Error: {sentence}")
    assert [row["problem"] for row in rows(cluster) if str(row["problem"]).startswith(sentence)]
    directory.chmod(0o755)
    assert all(row["problem"] is None for row in rows(cluster))


def test_a_disk_that_takes_nothing_is_told_with_the_file_and_nothing_is_lost(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in (cluster / "keys").rglob("*.toml")}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for command in (("rotate", "server:a"), ("new", "operator:ana")):
            said = refused(cluster, 3, *command)
            assert said.startswith(f"Error: {cluster}/keys/secret/") and said.endswith(": No space left on device\n")
    assert {path: path.read_bytes() for path in (cluster / "keys").rglob("*.toml")} == before
    assert [path.name for path in (cluster / "keys").rglob(".*")] == [".lock"]
    assert all(row["problem"] is None for row in rows(cluster))


@pytest.mark.parametrize(
    "name", ["server:../x", "server:a b", "operator:ñ", "faculty:01", "program:1", "witness:", "", "server:a\n", "*"]
)
def test_a_name_that_is_none_is_wrong_usage(cluster: Path, name: str) -> None:
    for command in ("new", "rotate", "revoke"):
        said = refused(cluster, 2, command, name)
        assert said.splitlines()[-1].startswith("Error: Invalid value for 'PRINCIPAL': ")


@pytest.mark.parametrize("text", ["", "x", "0123456789ABCDEF", "0123456789abcdef0", "*"])
def test_what_is_no_fingerprint_is_wrong_usage(cluster: Path, text: str) -> None:
    said = refused(cluster, 2, "revoke", "server:a", "--key", text)
    assert said.endswith(f"{text!r} is no fingerprint, which is 16 hexadecimal digits\n")


def test_nobody_is_revoked_where_nothing_is_and_nothing_is_made(cluster: Path) -> None:
    shutil.rmtree(cluster / "keys")
    assert refused(cluster, 1, "revoke", "server:a") == (
        f"Error: no key of server:a is allowed in {cluster}/keys/allowed\n"
    )
    assert not (cluster / "keys").exists()
    assert rows(cluster) == [
        {"principal": None, "fingerprint": None, "created": None, "allowed": False, "secret": False, "file": None,
         "problem": f"{cluster}/keys/allowed is missing: nobody is let in"}
    ]  # fmt: skip


def test_what_is_wrong_is_listed(cluster: Path) -> None:
    secret, allowed = cluster / "keys/secret", cluster / "keys/allowed"
    old = load_secret(cluster / "keys", server("a"))
    (secret / "server-b.toml").chmod(0o644)
    (secret / "witness.toml").write_text("x")
    (allowed / "pipe").symlink_to("nowhere")
    kept = (secret / "server-a.toml").read_bytes()
    keys(cluster, "rotate", "server:a", "--keep-old")
    (secret / "server-a.toml").write_bytes(kept)  # as after a crash in between

    rows = [json.loads(line) for line in keys(cluster, "list", "-o", "json").splitlines()]
    told = {(row.get("fingerprint"), row["problem"]) for row in rows if row["problem"]}
    assert len(told) == 4
    (superseded,) = [problem for fingerprint, problem in told if fingerprint == old.public.fingerprint]
    assert superseded.startswith("peers expect the newer key ")
    sentences = " ".join(problem for _, problem in told)
    for part in ("server-b.toml is open to others", "witness.toml is no file of keys", "pipe: there is no such file"):
        assert part in sentences


def test_what_cannot_be_done_is_refused_in_one_sentence(cluster: Path) -> None:
    path = cluster / "keys/secret/server-a.toml"
    assert refused(cluster, 1, "new", "server:a") == f"Error: server:a has keys in {path} already: rotate them\n"
    assert refused(cluster, 2, "new", "server:").splitlines()[-1] == (
        "Error: Invalid value for 'PRINCIPAL': 'server:' is no principal: server:NAME is expected"
    )
    missing = f"Error: {cluster}/keys/secret/server-c.toml is missing: "
    assert refused(cluster, 1, "rotate", "server:c").startswith(missing)
    assert refused(cluster, 2, "allow", cluster / "none").splitlines()[-1] == (
        f"Error: Invalid value for 'FILE': File '{cluster}/none' does not exist."
    )
    assert "holds a secret key" in refused(cluster, 1, "allow", path)
    assert refused(cluster / "none", 2, "list") == (
        f"Error: there is no cluster in {cluster}/none: aulario.toml is missing\n"
    )

    (public,) = (cluster / "keys/allowed").glob("server-a.*")
    other = cluster / "other.toml"
    other.write_text(public.read_text().replace("server:a", "server:b"))
    said = refused(cluster, 1, "allow", other)
    assert said.endswith("is let in as server:a: it cannot be server:b as well\n")
    assert listed(cluster)["server:a"]["allowed"] is True


def test_keys_are_listed_by_principal_and_numbers_as_numbers(tmp_path: Path) -> None:
    assert aulario("init", "--dir", tmp_path, "--faculties", "10").exit_code == 0
    assert aulario("keys", "new", "faculty:9000", "--no-allow", "--dir", tmp_path).exit_code == 0
    faculties = [one for one in listed(tmp_path) if one.startswith("faculty:")]
    assert faculties == [f"faculty:{number}" for number in (*range(1, 11), 9000)]


@pytest.mark.parametrize(
    ("principal", "is_nobody"),
    [("faculty:2", True), ("program:2/*", True), ("server:c", True), ("program:1/7", False), ("operator:ana", False)],
)
def test_a_key_of_nobody_in_the_configuration_is_made_and_that_is_said(
    cluster: Path, principal: str, is_nobody: bool
) -> None:
    made = aulario("keys", "new", principal, "--dir", cluster)
    assert made.exit_code == 0
    assert made.stderr == (f"note: {principal} is nobody in this configuration\n" if is_nobody else "")


def test_no_cluster_comes_up_without_a_component_that_was_revoked(cluster: Path) -> None:
    """It would never be ready. What mends that is said at once."""
    keys(cluster, "revoke", "faculty:1")
    said = aulario("up", "--dir", cluster)
    assert (said.exit_code, said.stdout) == (1, "")
    assert "no key of faculty:1 is let in" in said.stderr
    command = said.stderr.partition("`aulario ")[2].partition("`")[0]
    assert aulario(*shlex.split(command)).exit_code == 0
    assert aulario("keys", "list", "--dir", cluster).stdout.count("faculty:1 ") == 1


def test_who_cannot_be_reached_is_not_asked(cluster: Path) -> None:
    keys(cluster, "revoke", "faculty:1")
    said = aulario("request", "--dir", cluster, "--faculty", "1", "Sistemas", "1", "0")
    assert (said.exit_code, said.stdout) == (3, "")
    assert "nothing was asked" in said.stderr


@pytest.mark.parametrize("verb", ["new", "allow", "revoke", "rotate"])
def test_what_was_done_to_keys_is_said_where_stdout_takes_nothing(cluster: Path, tmp_path: Path, verb: str) -> None:
    public = new_keys(faculty(2), "2001-01-01T00:00:00Z").public
    save_public(tmp_path, public)
    what = {
        "new": "operator:ana", "allow": str(public_directory(tmp_path) / public_name(public)),
        "revoke": "faculty:1", "rotate": "server:a",
    }[verb]  # fmt: skip
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", "keys", verb, what, "--dir", str(cluster)],
            cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3
    whose = "faculty:2" if verb == "allow" else what
    assert re.search(rf"lost: .*{whose}.* [0-9a-f]{{16}}", done.stderr), done.stderr
