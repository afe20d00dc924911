"""An exported event as one row for people: when, who, what, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

COLUMNS = ("seq", "time", "epoch", "actor", "type", "what")
ROOM_LISTS = ("classrooms", "labs", "mobile")


def row(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event's columns. Lists of rooms become their lengths; `log show` has every detail."""
    at = datetime.fromtimestamp(event["ts"] / 1_000_000, UTC)
    return {
        "seq": event["seq"],
        "time": at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "epoch": event["epoch"],
        "actor": event["actor"],
        "type": event["type"],
        "what": " ".join(_words(event["body"])),
    }


def _words(body: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in body.items():
        if value is None or value in ("", [], False):
            continue
        if isinstance(value, list) and (name in ROOM_LISTS or name == "rooms"):
            words.append(f"{len(value)} {name}")
        elif name == "deadline":
            words.append(f"until {datetime.fromtimestamp(value / 1_000_000, UTC):%H:%M:%S}")
        elif name == "asked":
            words.append("asked " + "+".join(str(count) for count in value.values()))
        elif name == "transaction_id":
            words.append(f"tx {value}")
        elif name not in ("policy", "catalog_id", "faculty_id", "program_id"):
            words.append(f"{name} {' '.join(value) if isinstance(value, list) else value}")
    return words
