"""The store in memory follows the contract."""

from pathlib import Path

from es.log.base import EventLog
from es.log.memory import MemoryLog
from tests.contract.chains import IDENTITY
from tests.contract.event_log_contract import EventLogContract


class TestMemoryLog(EventLogContract):
    def made(self, path: Path) -> EventLog:
        return MemoryLog(IDENTITY)

    def reopened(self, log: EventLog) -> EventLog:
        log.close()
        return log
