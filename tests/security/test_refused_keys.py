"""A node that cannot trust its own secret key does not start, and says why in one sentence without the secret."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nodes.datadir import initialise
from nodes.security.cluster_keys import ensure_keys
from nodes.security.principals import Principal, principal
from nodes.security.secret_keys import secret_path
from ops.cluster_dir import config_in_force, prepare
from ops.demo import free_base_port
from tests.process.running_cluster import aulario
from tests.security.secret_texts import found_in, secret_texts

REFUSED = 1
PROCESSES = {"server:a": ("server", "a"), "witness": ("witness",), "faculty:1": ("faculty", "1")}
ANOTHER = principal("server:b")


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster's directory with data directories and keys; it never ran."""
    directory = tmp_path_factory.mktemp("k") / "c"
    config = prepare(directory, base_port=free_base_port(), faculties=1, overrides={})
    initialise(config)
    ensure_keys(config)
    return directory


@pytest.fixture
def directory(initialised: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(initialised, tmp_path / "c"))


def _open_to_others(keys: Path, own: Principal) -> None:
    secret_path(keys, own).chmod(0o640)


def _in_an_open_directory(keys: Path, own: Principal) -> None:
    (keys / "secret").chmod(0o711)


def _missing(keys: Path, own: Principal) -> None:
    secret_path(keys, own).unlink()


def _anothers(keys: Path, own: Principal) -> None:
    secret_path(keys, own).write_bytes(secret_path(keys, ANOTHER).read_bytes())


def _cut_short(keys: Path, own: Principal) -> None:
    path = secret_path(keys, own)
    path.write_text(path.read_text().replace('curve_secret = "', 'curve_secret = "!'))


def _where_others_may_write(place: str, keys: Path, own: Principal) -> None:
    (keys / place).resolve().chmod(0o757)


FAULTS: dict[str, tuple[Callable[[Path, Principal], None], str]] = {
    "open to others": (_open_to_others, "is open to others"),
    "in an open directory": (_in_an_open_directory, "is open to others"),
    "missing": (_missing, "is missing"),
    "another's": (_anothers, "holds the keys of server:b, not of"),
    "malformed": (_cut_short, "is no file of keys"),
    "among keys that others may write": (partial(_where_others_may_write, "."), "can be written by others"),
    "beside a list that others may write": (partial(_where_others_may_write, "allowed"), "can be written by others"),
    "below a directory that others may write": (partial(_where_others_may_write, ".."), "can be written by others"),
}


@pytest.mark.parametrize("own", PROCESSES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_does_not_start_with_a_secret_key_that_is(directory: Path, fault: str, own: str) -> None:
    keys = config_in_force(directory).keys
    secrets = secret_texts(keys)
    spoil, sentence = FAULTS[fault]
    spoil(keys, principal(own))
    done = aulario(*PROCESSES[own], "--dir", directory)
    assert done.returncode == REFUSED, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert sentence in said
    assert str(keys) in said
    assert not found_in((done.stdout + done.stderr).encode(), secrets)
