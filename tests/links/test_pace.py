"""Clients rest between their transactions unless they are told to rush."""

from __future__ import annotations

from es.replication.instant import Instant
from nodes.clients.journal import Journal
from nodes.clients.sustained_load import Pace

NOW = Instant(1_000_000, 0)
REST_US = 50_000


def test_a_rush_lasts_for_so_many_transactions() -> None:
    journal = Journal()
    pace = Pace(journal, REST_US)
    assert pace.next_us(NOW) == NOW.boot_us + REST_US
    journal.begun += 7
    pace.rush(2)
    journal.begun += 1
    assert pace.next_us(NOW) == NOW.boot_us
    journal.begun += 1
    assert pace.next_us(NOW) == NOW.boot_us + REST_US


def test_a_rush_can_be_called_off() -> None:
    pace = Pace(Journal(), REST_US)
    pace.rush(1_000)
    assert pace.next_us(NOW) == NOW.boot_us
    pace.rush(0)
    assert pace.next_us(NOW) == NOW.boot_us + REST_US
