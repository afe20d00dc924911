"""Who is let in: what is in the files now, and nobody where there is a doubt."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nodes.security.allow_list import AllowList
from nodes.security.keys import (
    ALLOWED_FILES_MAX,
    PublicKeys,
    allowed_directory,
    new_keys,
    public_name,
    remove_allowed,
    save_allowed,
)
from nodes.security.principals import WITNESS, Principal, faculty, server

OWNER, ANOTHER, OTHER_GROUP = 54_321, 12_345, 12_345
EARLY, LATE = "2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z"


def allow(directory: Path, owner: Principal, created: str = EARLY) -> PublicKeys:
    public = new_keys(owner, created).public
    save_allowed(directory, public)
    return public


def path_of(directory: Path, public: PublicKeys) -> Path:
    return allowed_directory(directory) / public_name(public)


def test_a_key_is_let_in_and_out_by_its_file(tmp_path: Path) -> None:
    key = allow(tmp_path, server("a"))
    allowed = AllowList(tmp_path)
    assert allowed.principal_of(key.curve) == server("a")
    assert allowed.is_allowed(server("a"), key.fingerprint)
    assert not allowed.is_allowed(server("b"), key.fingerprint)
    assert not allowed.refresh()

    other = allow(tmp_path, faculty(3))
    assert allowed.principal_of(other.curve) is None
    assert allowed.refresh()
    assert allowed.all() == (other, key)

    remove_allowed(tmp_path, server("a"))
    assert allowed.refresh()
    assert allowed.principal_of(key.curve) is None
    assert not allowed.is_allowed(server("a"), key.fingerprint)
    assert (allowed.all(), allowed.problems) == ((other,), ())


def test_the_newest_key_of_several_is_the_one_created_last(tmp_path: Path) -> None:
    late = allow(tmp_path, WITNESS, LATE)
    allow(tmp_path, WITNESS)
    allowed = AllowList(tmp_path)
    assert allowed.newest(WITNESS) == late
    same = allow(tmp_path, WITNESS, LATE)
    allowed.refresh()
    assert allowed.newest(WITNESS) == max(late, same, key=lambda public: public.fingerprint)
    assert len([public for public in allowed.all() if public.principal == WITNESS]) == 3
    assert allowed.newest(server("a")) is None


def test_without_a_directory_nobody_is_let_in_until_there_is_one(tmp_path: Path) -> None:
    allowed = AllowList(tmp_path)
    assert allowed.all() == ()
    assert allowed.problems == (f"{tmp_path}/allowed is missing: nobody is let in",)
    key = allow(tmp_path, WITNESS)
    assert allowed.refresh()
    assert (allowed.principal_of(key.curve), len(allowed.problems)) == (WITNESS, 0)
    path_of(tmp_path, key).unlink()
    allowed_directory(tmp_path).rmdir()
    assert allowed.refresh()
    assert allowed.principal_of(key.curve) is None


def test_a_key_named_for_two_principals_speaks_for_neither_until_one_is_revoked(tmp_path: Path) -> None:
    key = allow(tmp_path, faculty(1))
    allowed = AllowList(tmp_path)
    save_allowed(tmp_path, key._replace(principal=faculty(2)))
    assert allowed.refresh()
    assert allowed.principal_of(key.curve) is None
    assert allowed.newest(faculty(1)) is None
    assert allowed.problems == (f"key {key.fingerprint} is named for faculty:1, faculty:2: it speaks for none of them",)
    remove_allowed(tmp_path, faculty(2))
    assert allowed.refresh()
    assert (allowed.principal_of(key.curve), len(allowed.problems)) == (faculty(1), 0)


def test_a_file_that_is_wrong_is_told_and_skipped_and_read_again_once_it_is_right(tmp_path: Path) -> None:
    good, bad = allow(tmp_path, server("a")), allow(tmp_path, server("b"))
    text = path_of(tmp_path, bad).read_text()
    allowed = AllowList(tmp_path)
    path_of(tmp_path, bad).write_text(text.replace("server:b", "server:"))
    os.mkfifo(allowed_directory(tmp_path) / "pipe.toml")
    (allowed_directory(tmp_path) / "dangling.toml").symlink_to("nowhere")
    (allowed_directory(tmp_path) / ".server-c.toml.new").write_text("half of one")
    assert allowed.refresh()
    assert allowed.all() == (good,)
    assert len(allowed.problems) == 3
    assert not allowed.refresh()

    path_of(tmp_path, bad).write_text(text)
    assert allowed.refresh()
    assert set(allowed.all()) == {good, bad}
    assert len(allowed.problems) == 2


def test_a_file_under_another_name_is_not_let_in(tmp_path: Path) -> None:
    """A key would otherwise outlive its revocation."""
    key = allow(tmp_path, WITNESS)
    path_of(tmp_path, key).rename(allowed_directory(tmp_path) / "witness.toml")
    allowed = AllowList(tmp_path)
    assert allowed.all() == ()
    assert allowed.problems == (f"{tmp_path}/allowed/witness.toml must be called {public_name(key)}",)


@pytest.mark.parametrize("mode", [0o646, 0o664])
def test_a_file_that_others_can_write_lets_nobody_in(tmp_path: Path, mode: int) -> None:
    key = allow(tmp_path, WITNESS)
    allowed = AllowList(tmp_path)
    path_of(tmp_path, key).chmod(mode)
    assert allowed.refresh()
    assert allowed.all() == ()
    assert allowed.problems[0].startswith(f"{path_of(tmp_path, key)} can be written by others than its owner")
    path_of(tmp_path, key).chmod(0o644)
    assert allowed.refresh()
    assert allowed.all() == (key,)


@pytest.mark.parametrize("place", [".", "allowed", "..", "../.."])
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_what_happens_where_others_can_write_is_not_followed_until_that_is_mended(
    tmp_path: Path, place: str, mode: int
) -> None:
    directory = tmp_path / "c" / "keys"
    key = allow(directory, WITNESS)
    allowed = AllowList(directory)
    path = (directory / place).resolve()
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, -1, OTHER_GROUP)
    planted = allow(directory, server("a"))
    path_of(directory, key).unlink()
    path.chmod(mode)  # to let a key in gives `allowed` its mode back
    assert not allowed.refresh()
    assert allowed.all() == (key,)
    assert (len(allowed.problems), f"chmod go-w {path}" in allowed.problems[0]) == (1, True)
    assert AllowList(directory).all() == (), "nor is it believed at the start"
    path.chmod(0o755)
    assert allowed.refresh()
    assert (allowed.all(), allowed.problems) == ((planted,), ())


def test_a_sticky_directory_above_is_nobodys_way_in(tmp_path: Path) -> None:
    key = allow(tmp_path / "c", WITNESS)
    tmp_path.chmod(0o1777)
    assert AllowList(tmp_path / "c").all() == (key,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("place", ["file", "allowed", "keys"])
def test_what_another_user_owns_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """But root acts for the owner of the directory."""
    directory = tmp_path / "keys"
    key = allow(directory, WITNESS)
    for path in (directory, allowed_directory(directory), path_of(directory, key)):
        os.chown(path, OWNER, OWNER)
    assert AllowList(directory).all() == (key,)
    monkeypatch.setattr(os, "geteuid", lambda: OWNER)
    assert AllowList(directory).all() == (key,)
    path = {"file": path_of(directory, key), "allowed": allowed_directory(directory), "keys": directory}[place]
    os.chown(path, ANOTHER, -1)
    allowed = AllowList(directory)
    assert allowed.all() == ()
    assert allowed.problems[0].startswith(f"{path} belongs to another user (id {ANOTHER})")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        allow(tmp_path, faculty(i))
    allowed = AllowList(tmp_path)
    fresh = allow(tmp_path, faculty(7))
    opened: list[str] = []
    real = os.open

    def watched(path: Path, flags: int, mode: int) -> int:
        opened.append(path.name)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", watched)
    assert allowed.refresh()
    assert not allowed.refresh()
    assert opened == [public_name(fresh)]


def test_a_file_that_could_not_be_opened_once_is_let_in_as_soon_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = allow(tmp_path, WITNESS)

    def no_descriptor_left(path: Path, flags: int, mode: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", no_descriptor_left)
        allowed = AllowList(tmp_path)
    assert allowed.problems == (f"{path_of(tmp_path, key)}: Too many open files",)
    assert allowed.refresh()
    assert (allowed.all(), len(allowed.problems)) == ((key,), 0)


def test_too_many_files_let_nobody_in(tmp_path: Path) -> None:
    allow(tmp_path, WITNESS)
    for i in range(ALLOWED_FILES_MAX):
        (allowed_directory(tmp_path) / f".{i}").touch()
    allowed = AllowList(tmp_path)
    assert allowed.all() == ()
    assert allowed.problems == (f"{tmp_path}/allowed holds more than 10000 files: nobody is let in",)
