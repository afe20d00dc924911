"""Keys that are read again while a process runs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nodes.security import principals
from nodes.security.curve import Change, Curve
from nodes.security.keys import new_keys, save_allowed
from nodes.security.secret_keys import save_secret

SERVER = principals.server("a")


def make(directory: Path) -> None:
    keys = new_keys(SERVER, "2026-01-31T12:00:00Z")
    save_secret(directory, keys)
    save_allowed(directory, keys.public)


def test_a_rotation_that_finds_no_descriptor_is_said_once_and_taken_up_as_soon_as_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    curve = Curve(tmp_path, SERVER, ("a", "b"))
    make(tmp_path)

    def no_descriptor_left(path: str, flags: int, mode: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", no_descriptor_left)
        assert not any(curve.refresh().must_reopen for _ in range(3))
    said = capsys.readouterr()
    assert (said.out + said.err).count("the new secret key is not used") == 1
    assert (said.out + said.err).count("a key is not allowed") == 1
    assert curve.refresh() == Change(is_allow_list=True, is_revocation=False, must_reopen=True)
    assert curve.refresh() == Change(is_allow_list=False, is_revocation=False, must_reopen=False)
