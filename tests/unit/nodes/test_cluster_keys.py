"""Who gets keys, who keeps them, and that no crash leaves anybody with a key that is not let in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nodes.config.cluster import ClusterConfig, one_host
from nodes.security import cluster_keys
from nodes.security.allow_list import AllowList
from nodes.security.cluster_keys import ensure_keys, make_keys, principals_of, rotate_keys
from nodes.security.keys import (
    KeysError,
    SecretKeys,
    allowed_directory,
    load_secret,
    new_keys,
    public_name,
    remove_allowed,
    save_allowed,
    save_secret,
    secret_path,
)
from nodes.security.principals import WITNESS, Principal, faculty, program, server

LONG_AGO, FAR_AHEAD = "2001-01-01T00:00:00Z", "2999-12-31T23:59:58Z"


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return one_host(tmp_path, cluster_id="c", faculties=2)


def files(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_ino) for path in directory.rglob("*") if path.is_file()}


def is_let_in(directory: Path, owner: Principal) -> bool:
    return AllowList(directory).principal_of(load_secret(directory, owner).curve_public) == owner


def test_everybody_of_a_cluster_gets_keys_once(config: ClusterConfig) -> None:
    assert set(map(str, principals_of(config))) == {
        "server:a", "server:b", "witness", "faculty:1", "program:1/*", "faculty:2", "program:2/*", "operator:local",
        "auditor:local",
    }  # fmt: skip
    ensure_keys(config, [faculty(7), faculty(7), WITNESS])
    assert all(is_let_in(config.keys, owner) for owner in (*principals_of(config), faculty(7)))
    assert len(AllowList(config.keys).all()) == 10

    before = files(config.keys)
    ensure_keys(config, [faculty(7)])
    assert files(config.keys) == before
    grown = one_host(config.keys.parent, cluster_id="c", faculties=3)
    ensure_keys(grown)
    assert files(config.keys).items() > before.items()
    assert is_let_in(config.keys, program(3))


def test_whoever_was_revoked_is_not_let_in_again(config: ClusterConfig) -> None:
    ensure_keys(config)
    remove_allowed(config.keys, server("b"))
    ensure_keys(config)
    assert AllowList(config.keys).newest(server("b")) is None


@pytest.mark.parametrize("damage", ["", "no TOML", None])
def test_whose_secret_is_on_another_host_gets_no_second_one_here(config: ClusterConfig, damage: str | None) -> None:
    there = new_keys(server("b"), LONG_AGO).public
    save_allowed(config.keys, there)
    if damage is not None:
        (allowed_directory(config.keys) / public_name(there)).write_text(damage)
    ensure_keys(config)
    assert not secret_path(config.keys, server("b")).exists()
    assert AllowList(config.keys).newest(server("b")) == (there if damage is None else None)


def test_making_keys_never_touches_those_that_are_there(tmp_path: Path) -> None:
    made = make_keys(tmp_path, WITNESS, let_in=True)
    before = files(tmp_path)
    with pytest.raises(KeysError, match=r"^witness has keys in .*/secret/witness.toml already: rotate them$"):
        make_keys(tmp_path, WITNESS, let_in=True)
    assert files(tmp_path) == before
    assert load_secret(tmp_path, WITNESS).public == made


def test_keys_can_be_made_without_being_let_in(tmp_path: Path) -> None:
    public = make_keys(tmp_path, WITNESS, let_in=False)
    assert AllowList(tmp_path).all() == ()
    assert load_secret(tmp_path, WITNESS).public == public
    assert (tmp_path / "public" / public_name(public)).exists()


def test_a_rotated_key_takes_the_place_of_the_old_one_and_of_no_other_hosts(tmp_path: Path) -> None:
    old = make_keys(tmp_path, WITNESS, let_in=True)
    elsewhere = new_keys(WITNESS, LONG_AGO).public
    save_allowed(tmp_path, elsewhere)
    rotated = rotate_keys(tmp_path, WITNESS, keep_old=False)
    assert (rotated.former, rotated.is_ended) == (old.fingerprint, True)
    assert load_secret(tmp_path, WITNESS).public == rotated.public
    assert set(AllowList(tmp_path).all()) == {elsewhere, rotated.public}


def test_an_old_key_that_is_kept_stays_until_it_is_revoked_and_the_new_one_is_the_newest(tmp_path: Path) -> None:
    """Also if all is done within a second, or the clock was set back in between."""
    keys = new_keys(WITNESS, FAR_AHEAD)
    save_allowed(tmp_path, keys.public)
    save_secret(tmp_path, keys)
    rotated = rotate_keys(tmp_path, WITNESS, keep_old=True)
    assert not rotated.is_ended
    assert AllowList(tmp_path).is_allowed(WITNESS, keys.public.fingerprint)
    assert AllowList(tmp_path).newest(WITNESS) == rotated.public


def test_a_secret_that_others_could_read_can_be_rotated_and_what_is_no_secret_cannot(tmp_path: Path) -> None:
    make_keys(tmp_path, WITNESS, let_in=True)
    path = secret_path(tmp_path, WITNESS)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    rotate_keys(tmp_path, WITNESS, keep_old=False)
    assert is_let_in(tmp_path, WITNESS)
    path.write_text("")
    before = files(tmp_path)
    for owner in (WITNESS, server("a")):
        with pytest.raises(KeysError):
            rotate_keys(tmp_path, owner, keep_old=False)
    assert files(tmp_path) == before


class _CrashError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["save_allowed", "save_secret", "remove_allowed"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_crash_at_any_step_of_a_rotation_leaves_a_key_that_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool
) -> None:
    make_keys(tmp_path, WITNESS, let_in=True)
    real = getattr(cluster_keys, step)

    def crash(*arguments: object) -> None:
        if is_done:
            real(*arguments)
        raise _CrashError

    with monkeypatch.context() as patched:
        patched.setattr(cluster_keys, step, crash)
        with pytest.raises(_CrashError):
            rotate_keys(tmp_path, WITNESS, keep_old=False)
    assert is_let_in(tmp_path, WITNESS)
    rotated = rotate_keys(tmp_path, WITNESS, keep_old=False)
    assert is_let_in(tmp_path, WITNESS)
    assert AllowList(tmp_path).newest(WITNESS) == rotated.public


def test_a_crash_while_keys_are_made_leaves_no_secret_that_is_not_let_in(
    config: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(directory: Path, keys: SecretKeys) -> None:
        raise _CrashError

    with monkeypatch.context() as patched:
        patched.setattr(cluster_keys, "save_secret", crash)
        with pytest.raises(_CrashError):
            ensure_keys(config)
    assert not secret_path(config.keys, server("a")).exists()
    public = make_keys(config.keys, server("a"), let_in=True)
    assert is_let_in(config.keys, server("a"))
    assert AllowList(config.keys).newest(server("a")) == public


def test_keys_may_lie_anywhere(config: ClusterConfig, tmp_path: Path) -> None:
    elsewhere = replace(config, keys=tmp_path / "etc" / "aulario" / "keys")
    ensure_keys(elsewhere)
    assert is_let_in(elsewhere.keys, WITNESS)
