"""The witness process around its core."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes import sockets
from nodes.config.cluster import one_host
from nodes.datadir import initialise, register_path
from nodes.security.authenticator import Authenticator
from nodes.security.curve import OPEN
from nodes.shell import Loop
from nodes.witness import register_file
from nodes.witness.process import WitnessShell
from ops.demo import free_base_port


def test_a_register_is_durable_before_a_restarted_witness_speaks_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between renaming the file and flushing its directory leaves what a power cut may take back."""
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=free_base_port())
    initialise(config)
    path = register_path(config.witness.data)
    stored = register_file.load(path)
    saved: list[tuple[Path, bytes]] = []
    monkeypatch.setattr(register_file, "save", lambda path, record: saved.append((path, record)))
    loop, context = Loop(), sockets.context()
    shell = WitnessShell(config, loop, context, Authenticator(OPEN, loop, context))
    assert saved == [(path, stored)]
    shell.close()
    loop.close()
    context.term()
