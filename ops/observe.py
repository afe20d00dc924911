"""What a cluster's processes say of themselves: their `/status`, gathered into one object.

That object is both the ready line of `aulario up` and the answer of `aulario status`: `servers` in
configured order, `witness`, `faculties`, with what each process answers now laid over what the
configuration says of it. A process that does not answer has `"alive": false`.
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
    """The object described above, from the answers by process name. An answer that comes from another
    process than the one meant, which has its port, is none."""

    def told(process: str, keys: tuple[str, ...], **identity: object) -> Plain:
        expected = {"cluster_id": config.cluster_id, **identity}
        answer = answers[process]
        if answer is not None and not expected.items() <= {"cluster_id": config.cluster_id, **answer}.items():
            answer = None
        return {"alive": answer is not None, **{key: None if answer is None else answer.get(key) for key in keys}}

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
                "endpoint": faculty.endpoint,
                "http": faculty.http,
            }
            for faculty in config.faculties
        ],
    }


_SERVER_KEYS = ("pid", "role", "active", "epoch", "seq", "commit", "in_sync", "waits_for")
_WITNESS_KEYS = ("pid", "epoch", "primary", "in_sync")
_FACULTY_KEYS = ("pid", "follows", "epoch")


def unreadiness(observed: Plain) -> str | None:
    """What a cluster still waits for, or None: one active server, all in sync, every faculty follows it."""
    processes = [*observed["servers"], observed["witness"], *observed["faculties"]]
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
    astray = [label(faculty) for faculty in observed["faculties"] if faculty["follows"] != active[0]["name"]]
    return f"do not follow {active[0]['name']} yet: {', '.join(astray)}" if astray else None


def label(process: Plain) -> str:
    """A process as it is called in sentences and file names."""
    if "id" in process:
        return f"faculty-{process['id']}"
    return f"server-{process['name']}" if "name" in process else "witness"
