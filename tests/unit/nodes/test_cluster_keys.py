"""Who gets keys, who keeps them, and that no crash leaves anybody with a key that is not let in."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.config.cluster import ClusterConfig, one_host
from nodes.security.allow_list import AllowList
from nodes.security.cluster_keys import allow_key, ensure_keys, make_keys, principals_of, revoke_keys, rotate_keys
from nodes.security.keys import (
    KeysError,
    allowed_directory,
    has_revoked,
    new_keys,
    public_name,
    remove_allowed,
    save_allowed,
)
from nodes.security.keys_lock import changing
from nodes.security.principals import WITNESS, Principal, faculty, program, server
from nodes.security.secret_keys import has_secret, load_secret, save_secret, secret_path
from tests.unit.nodes.killed import killed_at_each_change

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


def test_nor_is_he_where_his_secret_never_was_until_a_key_of_his_is_let_in(config: ClusterConfig) -> None:
    """On every machine but his own there is nothing left of who was revoked: a new key made there is nobody's."""
    ensure_keys(config)
    secret_path(config.keys, server("b")).unlink()
    assert revoke_keys(config.keys, server("b"))
    ensure_keys(config)
    assert (AllowList(config.keys).newest(server("b")), has_secret(config.keys, server("b"))) == (None, False)

    theirs = new_keys(server("b"), LONG_AGO).public
    allow_key(config.keys, theirs)
    remove_allowed(config.keys, server("b"), "0" * 16)
    (allowed_directory(config.keys) / public_name(theirs)).unlink()
    ensure_keys(config)
    assert is_let_in(config.keys, server("b")), "nobody revoked that one"


@pytest.mark.parametrize("link", ["revoked", "revoked/server-b"])
def test_what_a_link_leads_to_is_no_part_of_the_keys(config: ClusterConfig, tmp_path: Path, link: str) -> None:
    """Root may revoke, in a directory that is somebody else's: he would give away what that one has linked to."""
    ensure_keys(config)
    other = tmp_path / "other"
    other.mkdir(mode=0o700) if link == "revoked" else other.touch(0o600)
    before = other.stat()
    (config.keys / link).parent.mkdir(exist_ok=True)
    (config.keys / link).symlink_to(other)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        revoke_keys(config.keys, server("b"))
    after = other.stat()
    assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)


def test_who_has_another_key_is_not_noted_as_revoked(config: ClusterConfig) -> None:
    first, second = (new_keys(server("b"), LONG_AGO).public for _ in range(2))
    for public in (first, second):
        allow_key(config.keys, public)
    revoke_keys(config.keys, server("b"), first.fingerprint)
    assert not has_revoked(config.keys, server("b"))
    revoke_keys(config.keys, server("b"), second.fingerprint)
    assert has_revoked(config.keys, server("b"))


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
    assert (rotated.former, rotated.ended) == (old.fingerprint, (old.fingerprint,))
    assert load_secret(tmp_path, WITNESS).public == rotated.public
    assert set(AllowList(tmp_path).all()) == {elsewhere, rotated.public}


def test_an_old_key_that_is_kept_stays_until_it_is_revoked_and_the_new_one_is_the_newest(tmp_path: Path) -> None:
    """Also if all is done within a second, or the clock was set back in between."""
    keys = new_keys(WITNESS, FAR_AHEAD)
    save_allowed(tmp_path, keys.public)
    save_secret(tmp_path, keys)
    rotated = rotate_keys(tmp_path, WITNESS, keep_old=True)
    assert (rotated.ended, rotated.others) == ((), (keys.public.fingerprint,))
    assert AllowList(tmp_path).is_allowed(WITNESS, keys.public.fingerprint)
    assert AllowList(tmp_path).newest(WITNESS) == rotated.public


def test_a_secret_that_others_could_read_can_be_rotated(tmp_path: Path) -> None:
    make_keys(tmp_path, WITNESS, let_in=True)
    path = secret_path(tmp_path, WITNESS)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    rotate_keys(tmp_path, WITNESS, keep_old=False)
    assert is_let_in(tmp_path, WITNESS)


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut short": lambda text: text[: len(text) // 2],
    "no TOML": lambda text: text.replace('"', "", 1),
    "a short key": lambda text: re.sub('(curve_secret = ").', r"\1", text),
}


@pytest.mark.parametrize("keep_old", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_secret_is_mended_by_a_rotation_as_its_sentence_says(
    tmp_path: Path, damage: str, keep_old: bool
) -> None:
    old = make_keys(tmp_path, WITNESS, let_in=True)
    path = secret_path(tmp_path, WITNESS)
    path.write_text(DAMAGES[damage](path.read_text()))
    with pytest.raises(KeysError, match=r"; restore it, or make new keys: aulario keys rotate 'witness'$"):
        load_secret(tmp_path, WITNESS)
    rotated = rotate_keys(tmp_path, WITNESS, keep_old=keep_old)
    assert load_secret(tmp_path, WITNESS).public == rotated.public == AllowList(tmp_path).newest(WITNESS)
    assert AllowList(tmp_path).is_allowed(WITNESS, old.fingerprint) == keep_old
    assert (rotated.former, rotated.others) == (old.fingerprint, (old.fingerprint,) if keep_old else ())


@pytest.mark.parametrize("is_legible", [False, True])
def test_of_several_keys_only_the_damaged_secrets_own_is_withdrawn(tmp_path: Path, is_legible: bool) -> None:
    old = make_keys(tmp_path, WITNESS, let_in=True)
    elsewhere = new_keys(WITNESS, LONG_AGO).public
    save_allowed(tmp_path, elsewhere)
    path = secret_path(tmp_path, WITNESS)
    path.write_text(path.read_text()[:120] if is_legible else "")
    rotated = rotate_keys(tmp_path, WITNESS, keep_old=False)
    assert AllowList(tmp_path).is_allowed(WITNESS, elsewhere.fingerprint)
    assert AllowList(tmp_path).is_allowed(WITNESS, old.fingerprint) == (not is_legible)
    assert rotated.former == (old.fingerprint if is_legible else None)


def test_what_is_no_secret_of_the_principal_is_not_rotated(tmp_path: Path) -> None:
    make_keys(tmp_path, WITNESS, let_in=True)
    shutil.copy(secret_path(tmp_path, WITNESS), secret_path(tmp_path, server("b")))
    before = files(tmp_path)
    for owner in (server("a"), server("b")):
        with pytest.raises(KeysError, match=r"is missing|holds the keys of witness, not of server:b"):
            rotate_keys(tmp_path, owner, keep_old=False)
    assert files(tmp_path) == before


def test_changes_that_overlap_leave_no_key_that_nobody_has(tmp_path: Path) -> None:
    make_keys(tmp_path, WITNESS, let_in=True)
    with ThreadPoolExecutor(8) as pool:
        rotated = list(pool.map(lambda _: rotate_keys(tmp_path, WITNESS, keep_old=False), range(16)))
    assert len({one.public for one in rotated}) == 16
    assert AllowList(tmp_path).all() == (load_secret(tmp_path, WITNESS).public,)


def test_who_finds_the_keys_being_changed_waits_and_then_says_by_whom(tmp_path: Path) -> None:
    with changing(tmp_path), pytest.raises(KeysError) as refused, changing(tmp_path, within_s=0.05):
        pass
    assert str(refused.value) == (
        f"the keys in {tmp_path} are being changed by process {os.getpid()}: try again when it is done"
    )
    with changing(tmp_path):
        pass


def test_nothing_is_changed_where_others_could_change_it(config: ClusterConfig) -> None:
    ensure_keys(config)
    other = new_keys(faculty(7), LONG_AGO).public
    (config.keys / "allowed").chmod(0o775)
    before = files(config.keys)
    changes: Sequence[Callable[[], object]] = (
        lambda: rotate_keys(config.keys, WITNESS, keep_old=False),
        lambda: make_keys(config.keys, faculty(7), let_in=True),
        lambda: allow_key(config.keys, other),
        lambda: revoke_keys(config.keys, WITNESS),
        lambda: ensure_keys(config, [faculty(7)]),
    )
    for change in changes:
        with pytest.raises(KeysError, match=r"allowed can be written by others than its owner.* chmod go-w "):
            change()
    assert files(config.keys) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_makes_belongs_to_who_is_to_use_it(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir()
    os.chown(directory, 54_321, 54_321)
    make_keys(directory, WITNESS, let_in=True)
    rotate_keys(directory, WITNESS, keep_old=False)
    made = {path.name: path.stat().st_uid for path in directory.rglob("*")}
    assert len(made) == 5
    assert set(made.values()) == {54_321}


@pytest.mark.parametrize("keep_old", [False, True])
def test_a_rotation_that_is_killed_leaves_its_owner_with_the_key_that_others_expect(
    tmp_path: Path, keep_old: bool
) -> None:
    """Wherever it is killed: the old one or the new one, and the next rotation works."""
    old = make_keys(tmp_path / "sound", WITNESS, let_in=True)
    seen = set()
    for directory in killed_at_each_change(
        tmp_path / "sound", lambda directory: rotate_keys(directory, WITNESS, keep_old=keep_old)
    ):
        used = load_secret(directory, WITNESS).public
        assert AllowList(directory).newest(WITNESS) == used, directory
        seen.add(used == old)
        rotated = rotate_keys(directory, WITNESS, keep_old=False)
        assert load_secret(directory, WITNESS).public == AllowList(directory).newest(WITNESS) == rotated.public
        assert sorted(path.name for path in secret_path(directory, WITNESS).parent.iterdir()) == ["witness.toml"]
    assert seen == {False, True}


def test_making_keys_that_is_killed_leaves_none_or_sound_ones(tmp_path: Path) -> None:
    make_keys(tmp_path / "sound", server("a"), let_in=True)
    whole = set()
    for directory in killed_at_each_change(
        tmp_path / "sound", lambda directory: make_keys(directory, WITNESS, let_in=True)
    ):
        newest = AllowList(directory).newest(WITNESS)
        whole.add(newest is not None)
        if newest is not None:
            assert load_secret(directory, WITNESS).public == newest
            with pytest.raises(KeysError, match="already: rotate them"):
                make_keys(directory, WITNESS, let_in=True)
        else:
            assert make_keys(directory, WITNESS, let_in=True) == load_secret(directory, WITNESS).public
    assert whole == {False, True}


def test_keys_may_lie_anywhere(config: ClusterConfig, tmp_path: Path) -> None:
    elsewhere = replace(config, keys=tmp_path / "etc" / "aulario" / "keys")
    ensure_keys(elsewhere)
    assert is_let_in(elsewhere.keys, WITNESS)
