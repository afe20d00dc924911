"""Keys and their files: who may read them, what is refused, and that a secret is never shown."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from nodes.security.keys import (
    ALLOWED_FILES_MAX,
    KeysError,
    SecretKeys,
    allowed_directory,
    file_name,
    load_public,
    new_keys,
    owner_of,
    public_name,
    remove_allowed,
    save_allowed,
)
from nodes.security.principals import WITNESS, Principal, faculty, principal, program, server
from nodes.security.secret_keys import exposed_secret, load_secret, save_secret, secret_path

CREATED = "2026-01-31T12:00:00Z"
PRINCIPALS = (server("a"), WITNESS, faculty(3), program(3), program(3, 17), principal("operator:ana"))


@pytest.fixture
def stored(tmp_path: Path) -> SecretKeys:
    keys = new_keys(server("a"), CREATED)
    save_secret(tmp_path, keys)
    return keys


def refusal(directory: Path, name: str = "a") -> str:
    with pytest.raises(KeysError) as refused:
        load_secret(directory, server(name))
    assert "\n" not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return str(refused.value)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("owner", PRINCIPALS, ids=str)
def test_what_is_stored_is_read_back(tmp_path: Path, owner: Principal) -> None:
    keys = new_keys(owner, CREATED)
    save_secret(tmp_path, keys)
    save_allowed(tmp_path, keys.public)
    assert load_secret(tmp_path, owner) == keys
    assert load_public(allowed_directory(tmp_path) / public_name(keys.public)) == keys.public
    assert (keys.signing_seed is not None) == (keys.public.signing is not None) == (owner.kind == "server")
    assert zmq.curve_public(keys.curve_secret) == keys.public.curve


def test_the_fingerprint_is_that_of_the_key_itself() -> None:
    """RFC 32's example, hashed by hand: sha256sum of its 32 bytes."""
    keys = new_keys(WITNESS, CREATED).public._replace(curve=z85.encode(bytes(32)))
    assert keys.fingerprint == "66687aadf862bd77"


def test_a_secret_is_its_owners_alone_from_the_first_byte_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    opened = os.open

    def watched(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL
            made.append(mode)
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        save_secret(tmp_path, new_keys(WITNESS, CREATED))
    finally:
        os.umask(before)
    path = secret_path(tmp_path, WITNESS)
    assert (made, mode(path), mode(path.parent)) == ([0o600], 0o600, 0o700)


def test_a_public_file_can_be_read_by_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        save_allowed(tmp_path, new_keys(WITNESS, CREATED).public)
    finally:
        os.umask(before)
    allowed = allowed_directory(tmp_path)
    assert [mode(path) for path in (allowed, *allowed.iterdir())] == [0o755, 0o644]


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o601, 0o620])
def test_a_secret_that_others_have_any_permission_on_is_refused(
    tmp_path: Path, stored: SecretKeys, open_to: int
) -> None:
    path = secret_path(tmp_path, stored.principal)
    path.chmod(open_to)
    assert refusal(tmp_path).startswith(f"{path} is open to others: chmod go= {path}")
    assert exposed_secret(tmp_path, stored.principal) == stored
    path.chmod(0o400)
    assert load_secret(tmp_path, stored.principal) == stored
    path.parent.chmod(0o755)
    assert refusal(tmp_path).startswith(f"{path.parent} is open to others")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_secret_is_refused_except_to_root(
    tmp_path: Path, stored: SecretKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = secret_path(tmp_path, stored.principal)
    os.chown(path, 12_345, 12_345)
    assert load_secret(tmp_path, stored.principal) == stored
    os.chown(path.parent, 54_321, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    assert refusal(tmp_path) == f"{path} belongs to another user, who can read the secret"


def test_a_missing_secret_and_one_of_another_principal_are_named(tmp_path: Path, stored: SecretKeys) -> None:
    assert refusal(tmp_path / "none").endswith("or `aulario keys new 'server:a'`")
    assert "secret/server-b.toml is missing: fetch it from" in refusal(tmp_path, "b")
    secret_path(tmp_path, server("a")).rename(secret_path(tmp_path, server("b")))
    assert refusal(tmp_path, "b").endswith("server-b.toml holds the keys of server:a, not of server:b")


def test_a_rotated_secret_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path, stored: SecretKeys) -> None:
    (secret_path(tmp_path, server("a")).parent / ".server-a.toml.new").write_text("half of one, by a writer that died")
    fresh = new_keys(server("a"), CREATED)
    save_secret(tmp_path, fresh)
    assert load_secret(tmp_path, server("a")) == fresh != stored
    assert [path.name for path in secret_path(tmp_path, server("a")).parent.iterdir()] == ["server-a.toml"]


def test_a_secret_is_never_shown(stored: SecretKeys) -> None:
    assert stored.signing_seed is not None
    shown = [
        repr(stored), f"{stored} {stored.curve_secret} {stored.signing_seed!a}", json.dumps(stored, default=repr),
        repr(stored._asdict()), str([stored]),
    ]  # fmt: skip
    for text in shown:
        assert "<secret>" in text
        assert stored.curve_secret.decode() not in text
        assert stored.signing_seed.hex() not in text
        assert bytes.__repr__(stored.signing_seed) not in text


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "no TOML": lambda text: text.replace('"', "", 1),
    "not UTF-8": lambda text: text + "\udcff",
    "too deep": lambda text: "x = " + "[" * 4_000,
    "too long": lambda text: text + "#" * 4_096,
    "a number": lambda text: text.replace(f'"{CREATED}"', "3"),
    "a field more": lambda text: text + 'note = "x"\n',
    "a field less": lambda text: text[text.index("\n") + 1 :],
    "no principal": lambda text: text.replace("server:a", "server:"),
    "no time": lambda text: text.replace(CREATED, "2026-02-30T12:00:00Z"),
    "another time zone": lambda text: text.replace(CREATED, "2026-01-31T12:00:00+05:00"),
    "a short key": lambda text: re.sub('(curve_secret = ").', r"\1", text),
    "no Z85": lambda text: re.sub('(curve_secret = ").', r"\1~", text),
    "halves of two keys": lambda text: text.replace(text.split('"')[3], z85.encode(bytes(32)).decode()),
    "a short seed": lambda text: re.sub('(signing_seed = ")..', r"\1", text),
    "a seed in capitals": lambda text: re.sub('(signing_seed = ")..', r"\1AB", text),
    "a faculty with a seed": lambda text: text.replace("server:a", "faculty:1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_secret_is_refused_in_one_sentence_that_quotes_nothing_of_it(
    tmp_path: Path, stored: SecretKeys, damage: str
) -> None:
    path = secret_path(tmp_path, server("a"))
    path.write_bytes(DAMAGES[damage](path.read_text()).encode(errors="surrogateescape"))
    said = refusal(tmp_path)
    assert said.startswith(f"{path} is no file of keys: ")
    assert stored.curve_secret.decode()[:8] not in said


def test_what_is_no_regular_file_is_refused_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero"), tmp_path):
        with pytest.raises(KeysError, match=r"it is not a regular file|Is a directory"):
            load_public(path)


def test_a_secret_is_no_public_file(tmp_path: Path, stored: SecretKeys) -> None:
    with pytest.raises(KeysError, match="holds a secret key, which stays where it is") as refused:
        load_public(secret_path(tmp_path, server("a")))
    assert stored.curve_secret.decode() not in str(refused.value)


def test_five_characters_that_hold_too_much_are_no_key(tmp_path: Path) -> None:
    save_allowed(tmp_path, new_keys(WITNESS, CREATED).public)
    (path,) = allowed_directory(tmp_path).iterdir()
    curve = load_public(path).curve.decode()
    path.write_text(path.read_text().replace(curve, "#" * 40))
    with pytest.raises(KeysError, match="curve_public must be a key in Z85"):
        load_public(path)


def test_revoking_ends_one_key_or_all_of_a_principal_and_no_other_ones(tmp_path: Path) -> None:
    mine = [new_keys(server("a"), CREATED).public for _ in range(3)]
    other = new_keys(server(f"a.{mine[0].fingerprint}"), CREATED).public
    for public in (*mine, other):
        save_allowed(tmp_path, public)
    assert remove_allowed(tmp_path, server("a"), mine[0].fingerprint) == (mine[0].fingerprint,)
    assert remove_allowed(tmp_path, server("a"), mine[0].fingerprint) == ()
    assert remove_allowed(tmp_path, server("a")) == tuple(sorted(public.fingerprint for public in mine[1:]))
    assert [path.name for path in allowed_directory(tmp_path).iterdir()] == [public_name(other)]
    assert remove_allowed(tmp_path / "none", server("a")) == ()


def test_a_full_allow_list_takes_no_more(tmp_path: Path) -> None:
    public = new_keys(WITNESS, CREATED).public
    save_allowed(tmp_path, public)
    for i in range(ALLOWED_FILES_MAX - 1):
        (allowed_directory(tmp_path) / f"{i}").touch()
    save_allowed(tmp_path, public)
    with pytest.raises(KeysError, match="10000 are allowed: revoke some"):
        save_allowed(tmp_path, new_keys(WITNESS, CREATED).public)


plain = st.text("ab-_.0all", min_size=1, max_size=6).filter(lambda name: not name.startswith("."))
number = st.integers(0, 120).map(str)
anybody = st.one_of(
    st.builds(Principal, st.sampled_from(["server", "operator", "auditor"]), plain),
    st.builds(Principal, st.just("faculty"), number),
    st.builds(lambda f, p: Principal("program", f"{f}/{p}"), number, number | st.just("*")),
    st.just(WITNESS),
)


@given(anybody, anybody)
def test_two_principals_never_share_a_file_and_no_name_leaves_the_directory(one: Principal, two: Principal) -> None:
    assert principal(str(one)) == one
    assert (file_name(one) == file_name(two)) == (one == two)
    assert owner_of(file_name(one)) == one
    assert "/" not in file_name(one)
    assert not file_name(one).startswith(".")
