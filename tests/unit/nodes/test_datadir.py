"""R10: a witness whose register is lost gets one from what every server knows, and from nothing less."""

from __future__ import annotations

from pathlib import Path

import pytest

from es.errors import LogInUse, LogMissing
from es.log.base import Write
from es.log.directory_lock import DirectoryLock
from es.log.lmdb_log import LmdbLog
from es.replication.data_node import REGISTER
from es.replication.messages import Member, Register, unpack_register
from nodes.config.cluster import ClusterConfig, one_host
from nodes.datadir import RegisterMissing, RegistersDiffer, initialise, rebuild_witness, register_path
from nodes.witness import register_file

A, B = Member("a", "a1"), Member("b", "b1")
SHRUNK = Register("c", 7, A, (A,), 1, "a-life")
"""What server a knows; b died before it could learn of it."""

GROWN = Register("c", 6, A, (A, B), 1, "a-life")
SEEDED = Register("c", 8, A, (A,), 2, "")


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    """A cluster that has run, and is stopped."""
    config = one_host(tmp_path, cluster_id="c", faculties=0, base_port=20_000)
    initialise(config)
    learn(config, "a", SHRUNK)
    learn(config, "b", GROWN)
    register_file.save(register_path(config.witness.data), SHRUNK.pack())
    return config


def learn(config: ClusterConfig, server: str, register: Register) -> None:
    log = LmdbLog.open(config.server(server).data)
    log.write(Write(records=((REGISTER, register.pack()),)))
    log.close()


def stored(config: ClusterConfig) -> Register | None:
    record = register_file.load(register_path(config.witness.data))
    return None if record is None else unpack_register(record)


def test_a_sound_register_stays(config: ClusterConfig) -> None:
    assert not rebuild_witness(config)
    assert stored(config) == SHRUNK
    newer = SHRUNK._replace(epoch=9)
    register_file.save(register_path(config.witness.data), newer.pack())
    assert not rebuild_witness(config)
    assert stored(config) == newer, "its last change may not have reached anybody"


@pytest.mark.parametrize("left", ["nothing", "no directory", "an old copy", "a damaged one"])
def test_another_one_is_made_anew_and_what_was_there_is_kept(config: ClusterConfig, left: str) -> None:
    path = register_path(config.witness.data)
    if left == "an old copy":
        register_file.save(path, GROWN.pack())
    elif left == "a damaged one":
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    else:
        path.unlink()
        if left == "no directory":
            config.witness.data.rmdir()
    was = path.read_bytes() if path.exists() else None
    assert rebuild_witness(config)
    assert stored(config) == SEEDED
    assert [one.read_bytes() for one in path.parent.glob("register.aside-*")] == ([] if was is None else [was])
    assert not rebuild_witness(config), "once"


def test_nothing_is_made_while_a_server_runs(config: ClusterConfig) -> None:
    register_path(config.witness.data).unlink()
    running = DirectoryLock(config.server("b").data)
    with pytest.raises(LogInUse, match="server-b"):
        rebuild_witness(config)
    running.release()
    assert stored(config) is None


def test_nothing_is_made_while_a_witness_runs(config: ClusterConfig) -> None:
    register_path(config.witness.data).unlink()
    running = DirectoryLock(config.witness.data)
    with pytest.raises(LogInUse, match="witness"):
        rebuild_witness(config)
    running.release()
    assert stored(config) is None


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_nothing_is_made_without_every_server(config: ClusterConfig, is_made_anew: bool) -> None:
    """The one that is missing may have led alone last."""
    register_path(config.witness.data).unlink()
    config.server("a").data.rename(config.server("a").data.with_name("elsewhere"))
    if is_made_anew:
        with pytest.raises(RegisterMissing):
            initialise(config)
        with pytest.raises(RegisterMissing, match="server a knows no register"):
            rebuild_witness(config)
    else:
        with pytest.raises(LogMissing, match="server-a"):
            rebuild_witness(config)
    assert stored(config) is None


def test_two_histories_seed_nothing(config: ClusterConfig) -> None:
    learn(config, "b", SHRUNK._replace(primary=B, in_sync=(B,)))
    register_path(config.witness.data).unlink()
    with pytest.raises(RegistersDiffer, match="epoch 7"):
        rebuild_witness(config)
    assert stored(config) is None
