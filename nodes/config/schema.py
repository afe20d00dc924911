"""Which keys `aulario.toml` may have, and what each value must be.

A check gives the value to use or raises ValueError with what it must be. Unknown keys are errors that
name the nearest known one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from es.replication.messages import NAME_CHARS_MAX
from nodes.config.cluster import HOST, PATTERNS, PORT_MAX, PROFILES, SECURITY, WORKERS_FOR, ConfigError, Limits, Timing
from projections.rooms.limits import ID_MAX, TEXT_CHARS_MAX
from projections.rooms.names import composed, name_fault

TERMS_MAX = 1_000
SHOWN_CHARS_MAX = 80
"""How much of a wrong value an error repeats."""

Check = Callable[[object], Any]


def _string(value: object) -> str:
    """The text as a name is spelled: people type it."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string of 1 to {TEXT_CHARS_MAX} printable characters")
    text = composed(value)
    if fault := name_fault(text):
        raise ValueError(fault)
    return text


def _name(value: object) -> str:
    text = _string(value)
    plain = all(c.isascii() and (c.isalnum() or c in "-_.") for c in text) and not text.startswith(".")
    if not plain or len(text) > NAME_CHARS_MAX:
        raise ValueError(f"must be made of at most {NAME_CHARS_MAX} letters, digits, '-', '_' and '.'")
    return text


def _integer(value: object) -> int:
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


def _milliseconds(value: object) -> int:
    if type(value) is not int:
        raise ValueError("must be a whole number of milliseconds")
    return value


def _one_of(*choices: str) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return value

    return check


def _endpoint(scheme: str, example: str) -> Check:
    def check(value: object) -> str:
        why = f"must be an endpoint such as {example}"
        if not isinstance(value, str) or not value.isprintable() or " " in value:
            raise ValueError(why)  # urlsplit would drop what is not printable
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError(f"{why} (port 1 to {PORT_MAX})") from None
        if parts.hostname and (parts.hostname == "*" or ":" in parts.hostname):
            raise ValueError(f"{why}: a host that others can reach, by name or IPv4 address")
        if parts.scheme != scheme or not parts.hostname or not port or parts.path or parts.query:
            raise ValueError(f"{why} (port 1 to {PORT_MAX})")
        return value

    return check


def _terms(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value  # so from the environment
    if not isinstance(names, list) or not 1 <= len(names) <= TERMS_MAX:
        raise ValueError(f'must be a list of 1 to {TERMS_MAX} terms such as ["2025-1", "2025-2"]')
    try:
        return tuple(dict.fromkeys(map(_string, names)))
    except ValueError as error:
        raise ValueError(f"each of them {error}") from None


def _path(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a path")
    return value


def _programs(value: object) -> Mapping[int, str]:
    if not isinstance(value, dict):
        raise ValueError('must be a table such as {1 = "Biología"}')
    for key in value:
        if not (key.isascii() and key.isdigit() and len(key) <= len(str(ID_MAX)) and 1 <= int(key) <= ID_MAX):
            raise ValueError(f"{shown(key)} is no program id: ids are whole numbers from 1 to {ID_MAX}")
    return {int(key): _string(name) for key, name in value.items()}


_ZMQ = _endpoint("tcp", f"tcp://{HOST}:5555")
_HTTP = _endpoint("http", f"http://{HOST}:9600")
TOP_SCALARS: Mapping[str, Check] = {
    "cluster_id": _name,
    "term": _string,
    "terms": _terms,
    "security": _one_of(*SECURITY),
    "keys": _path,
    "preferred": _name,
    "workers": _integer,
    "workers_for": _one_of(*WORKERS_FOR),
    "catalog": _path,
    "base_port": _integer,
}
TIMING: Mapping[str, Check] = {
    "profile": _one_of(*PROFILES),
    **{item.name: _integer if item.name == "hb_liveness" else _milliseconds for item in fields(Timing)},
}
LIMITS: Mapping[str, Check] = {item.name: _integer for item in fields(Limits)}
SCALARS: Mapping[str, Check] = {
    **TOP_SCALARS,
    **{f"timing.{key}": check for key, check in TIMING.items()},
    **{f"limits.{key}": check for key, check in LIMITS.items()},
}
WHOLE_NUMBERS = frozenset(key for key, check in SCALARS.items() if check in (_integer, _milliseconds))
"""Scalars that an environment variable's text is turned into a number for."""

SERVER: Mapping[str, Check] = {
    "name": _name,
    **dict.fromkeys(("requests", "heartbeats", "batches", "beacons", "repair"), _ZMQ),
    "http": _HTTP,
    "data": _path,
}
SERVER_PLACES = SERVER.keys() - {"name", "data"}
"""Where a server listens."""

WITNESS: Mapping[str, Check] = {"endpoint": _ZMQ, "http": _HTTP, "data": _path}
FACULTY: Mapping[str, Check] = {
    "id": _integer,
    "name": _string,
    "pattern": _one_of(*PATTERNS),
    "endpoint": _ZMQ,
    "http": _HTTP,
    "data": _path,
    "programs": _programs,
}
TOP: Mapping[str, Check | None] = {
    **TOP_SCALARS,
    **dict.fromkeys(("timing", "limits", "servers", "witness", "faculties")),
}


def nearest(key: str, known: Iterable[str]) -> str:
    near = get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def refuse_unknown_keys(table: Mapping[str, Any], prefix: str, known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            name = key if key.isprintable() and len(key) <= SHOWN_CHARS_MAX else shown(key)
            raise ConfigError(f"{prefix}{name}", f"unknown key{nearest(key, known)}")


def checked_table(table: object, prefix: str, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The table's values after their checks; raises ConfigError for the first that fails."""
    if not isinstance(table, dict):
        raise ConfigError(prefix.rstrip("."), "must be a table")
    refuse_unknown_keys(table, prefix, checks)
    checked = {}
    for key, value in table.items():
        try:
            checked[key] = checks[key](value)
        except ValueError as error:
            raise ConfigError(f"{prefix}{key}", f"{error}, not {shown(value)}") from None
    return checked


def shown(value: object) -> str:
    """A wrong value as an error repeats it: on one line, not at any length."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[: SHOWN_CHARS_MAX - 1]}…"
