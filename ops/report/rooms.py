"""How many rooms of some terms are in which state, by the committed log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from es.machine import Event
from ops.log_reader import committed, opened
from projections.rooms.inventory import Inventory
from projections.rooms.machine import NAME

TERMS_SHOWN: Final = 8


def rooms_by_state(data: Path, names: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """The state of these terms, each with the name it is shown by, at the end of a server's log, or of the newest
    ones. Raises LogError."""
    inventory = Inventory()
    with opened(data) as log:
        for batch in committed(log):
            for entry in batch.entries:
                if entry.application == NAME:
                    inventory.record(Event(*entry[2:]), batch.first_seq + entry.offset, batch.ts_us)
    wanted = {name: name for name in list(inventory.terms)[-TERMS_SHOWN:]} if names is None else names
    return [
        {"term": term.name, "name": name, "classrooms": term.classrooms()._asdict(), "labs": term.labs()._asdict()}
        for wanted_term, name in wanted.items() if (term := inventory.terms.get(wanted_term)) is not None
    ]  # fmt: skip
