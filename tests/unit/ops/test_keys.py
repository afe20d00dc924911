"""`aulario keys`, as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from nodes.security.keys import load_secret
from nodes.security.principals import faculty, server
from ops.cli import cli
from ops.exits import leave_with
from tests.unit.ops.command import json_lines


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
    assert keys(cluster, "revoke", "operator:ana") == f"revoked: operator:ana {fingerprint}\n"
    assert "operator:ana" not in listed(cluster)
    assert refused(cluster, 1, "revoke", "operator:ana") == (
        f"Error: no key of operator:ana is allowed in {cluster}/keys/allowed\n"
    )


def test_rotating_says_what_is_new_and_what_ended(cluster: Path) -> None:
    old = load_secret(cluster / "keys", server("a")).public.fingerprint
    made, file, ended = keys(cluster, "rotate", "server:a").splitlines()
    new = load_secret(cluster / "keys", server("a")).public.fingerprint
    assert (made, ended) == (f"made: server:a {new}", f"revoked: server:a {old}")
    assert Path(file.rpartition(" ")[2]).exists()

    assert len(keys(cluster, "rotate", "server:a", "--keep-old").splitlines()) == 2
    assert "no key 0123456789abcdef that is allowed" in refused(
        cluster, 1, "revoke", "server:a", "--key", "0123456789abcdef"
    )
    assert keys(cluster, "revoke", "server:a", "--key", new) == f"revoked: server:a {new}\n"
    assert listed(cluster)["server:a"]["problem"] is None


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
    assert refused(cluster, 1, "allow", cluster / "none") == f"Error: {cluster}/none: there is no such file\n"
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
