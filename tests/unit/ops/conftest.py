"""Directories of clusters that do not run: a new one, and one whose servers have the same short history."""

from __future__ import annotations

from pathlib import Path

import pytest

from es.log.base import Write
from es.log.lmdb_log import LmdbLog
from ops.demo import free_base_port
from projections.rooms.catalog import default_catalog
from projections.rooms.machine import Rooms
from tests.unit.ops.command import aulario
from tests.unit.rooms.driver import Driver


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of a cluster that does not run."""
    directory = tmp_path_factory.mktemp("cluster")
    port = free_base_port()
    assert aulario("init", "--dir", directory, "--base-port", port, "--faculties", 1).returncode == 0
    return directory


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A stopped cluster: t1 accepted, t2 held in the last batch, which is stored but not committed."""
    assert aulario("init", "--dir", tmp_path).returncode == 0
    driver = Driver(Rooms(default_catalog()))
    driver.begin_epoch()
    driver.reserve("t1", 7, 2)
    driver.accept("t1")
    driver.reserve("t2", 8, 3)
    for name in "ab":
        log = LmdbLog.open(tmp_path / f"server-{name}")
        log.write(Write(driver.batches, commit_seq=driver.batches[-2].last_seq))
        log.close()
    return tmp_path
