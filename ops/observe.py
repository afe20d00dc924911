"""What a cluster's processes say of themselves: their `/status`, gathered into one object.

That object is both the ready line of `aulario up` and the answer of `aulario status`: `servers` in
configured order, `witness`, `faculties`, with what each process answers now laid over what the
configuration says of it. A process that does not answer has `"alive": false`; where another one answers in its
place, `"foreign"` says which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any

from nodes.config.cluster import ClusterConfig, http_address

STATUS_TIMEOUT_S = 1.0
STATUS_BYTES_MAX = 1 << 20
ASKING_AT_ONCE = 16

Plain = dict[str, Any]


def fetch_status(url: str) -> Plain | None:
    """The `/status` of one process, or None if it does not answer within a second."""
    connection = HTTPConnection(*http_address(url), timeout=STATUS_TIMEOUT_S)
    try:
        connection.request("GET", "/status")
        status = json.loads(connection.getresponse().read(STATUS_BYTES_MAX))
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return status if isinstance(status, dict) else None


def process_names(config: ClusterConfig) -> dict[str, str]:
    """Name -> HTTP endpoint of every process, the servers first."""
    names = {f"server-{server.name}": server.http for server in config.servers}
    names["witness"] = config.witness.http
    return names | {f"faculty-{faculty.id}": faculty.http for faculty in config.faculties}


def observe(config: ClusterConfig) -> Plain:
    """Ask every process at once and put the answers together."""
    names = process_names(config)
    with ThreadPoolExecutor(ASKING_AT_ONCE) as pool:
        answers = dict(zip(names, pool.map(fetch_status, names.values()), strict=True))
    return assemble(config, answers)


def assemble(config: ClusterConfig, answers: Mapping[str, Plain | None]) -> Plain:
    """The object described above, from the answers by process name. An answer that comes from another process than
    the one meant, or from another cluster's, which has its port, is none of it."""

    def told(process: str, keys: tuple[str, ...], **identity: object) -> Plain:
        answer = answers[process]
        foreign = None
        if answer is not None and not ({"cluster_id": config.cluster_id} | identity).items() <= answer.items():
            foreign, answer = _who(answer), None
        own = {key: None if answer is None else answer.get(key) for key in keys}
        return {"alive": answer is not None, "foreign": foreign, **own}

    return {
        "cluster_id": config.cluster_id,
        "servers": [
            {
                "name": server.name,
                **told(f"server-{server.name}", _SERVER_KEYS, kind="server", name=server.name),
                "requests": server.requests,
                "heartbeats": server.heartbeats,
                "data": str(server.data),
                "http": server.http,
            }
            for server in config.servers
        ],
        "witness": {
            **told("witness", _WITNESS_KEYS, kind="witness"),
            "data": str(config.witness.data),
            "endpoint": config.witness.endpoint,
            "http": config.witness.http,
        },
        "faculties": [
            {
                "id": faculty.id,
                "name": faculty.name,
                **told(f"faculty-{faculty.id}", _FACULTY_KEYS, kind="faculty", id=faculty.id),
                "pattern": faculty.pattern,
                "data": str(faculty.data),
                "endpoint": faculty.endpoint,
                "http": faculty.http,
            }
            for faculty in config.faculties
        ],
    }


def _who(answer: Plain) -> str:
    """Whatever answered, in a few words of its own."""
    kind, cluster_id = answer.get("kind"), answer.get("cluster_id")
    if kind not in ("server", "witness", "faculty"):
        return "no process of Aulario"
    own = answer.get("id") if kind == "faculty" else answer.get("name")
    name = f"{kind} {own!r}" if isinstance(own, int | str) else kind
    return f"{name} of cluster {cluster_id!r}" if isinstance(cluster_id, str) else name


_SERVER_KEYS = ("pid", "role", "active", "epoch", "seq", "commit", "in_sync", "waits_for")
_WITNESS_KEYS = ("pid", "epoch", "primary", "in_sync")
_FACULTY_KEYS = ("pid", "follows", "epoch")


def not_ours(observed: Plain, pids: Mapping[str, int]) -> str | None:
    """Whose answers come from another process than the one with that id, or None: a cluster in a copy of the directory
    says the same of itself, from the same ports."""
    processes = [*observed["servers"], observed["witness"], *observed["faculties"]]
    others = (one for one in processes if one["alive"] and one["pid"] != pids.get(label(one)))
    said = (f"{label(one)}'s port is another's: process {one['pid']} answers at {one['http']}" for one in others)
    return "; ".join(said) or None


def unreadiness(observed: Plain) -> str | None:
    """What a cluster still waits for, or None: one active server, all in sync, every faculty follows it."""
    processes = [*observed["servers"], observed["witness"], *observed["faculties"]]
    astray = strangers(observed)
    if astray:
        return "; ".join(f"{name}'s port is another's: {who}" for name, who, _ in astray)
    silent = [label(process) for process in processes if not process["alive"]]
    if silent:
        return f"no answer from {', '.join(silent)}"
    active = [server for server in observed["servers"] if server["active"]]
    if len(active) != 1:
        reasons = [f"{label(server)}: {server['waits_for']}" for server in observed["servers"] if server["waits_for"]]
        return "; ".join([f"{len(active)} active servers", *reasons])
    names = {server["name"] for server in observed["servers"]}
    missing = sorted(names - set(active[0]["in_sync"]))
    if missing:
        return f"not in sync: {', '.join(missing)}"
    elsewhere = [label(faculty) for faculty in observed["faculties"] if faculty["follows"] != active[0]["name"]]
    return f"do not follow {active[0]['name']} yet: {', '.join(elsewhere)}" if elsewhere else None


def strangers(observed: Plain) -> list[tuple[str, str, str]]:
    """Each process in whose place another one answers, with who that is and at which URL."""
    processes = [*observed["servers"], observed["witness"], *observed["faculties"]]
    return [(label(one), one["foreign"], one["http"]) for one in processes if one["foreign"] is not None]


def label(process: Plain) -> str:
    """A process as it is called in sentences and file names."""
    if "id" in process:
        return f"faculty-{process['id']}"
    return f"server-{process['name']}" if "name" in process else "witness"
