"""The store on LMDB follows the contract, and what only a store on disk must do besides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from es.log.base import EventLog
from es.log.lmdb_log import LmdbLog
from tests.contract.chains import IDENTITY
from tests.contract.event_log_contract import EventLogContract


class TestLmdbLog(EventLogContract):
    @pytest.fixture(autouse=True)
    def _closing(self) -> Iterator[None]:
        self._open: dict[int, tuple[LmdbLog, Path]] = {}
        yield
        for log, _path in self._open.values():
            log.close()

    def made(self, path: Path) -> EventLog:
        return self._kept(LmdbLog.create(path, IDENTITY), path)

    def reopened(self, log: EventLog) -> EventLog:
        path = self._open[id(log)][1]
        log.close()
        return self._kept(LmdbLog.open(path), path)

    def _kept(self, log: LmdbLog, path: Path) -> LmdbLog:
        self._open[id(log)] = (log, path)
        return log
