"""A running cluster that is sent hostile frames, by peers like its own and at the rate it takes them.

Its own programs and clients go on all the while, and must be answered. Afterwards every process must be the one it was
and hold no more memory than after the first quarter of the frames, and the logs must hold what the polite ones did and
nothing else.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from nodes import sockets
from nodes.clients.sustained_load import FIRST_CLIENT_ID, SustainedLoad
from nodes.config.cluster import ClusterConfig, ServerConfig
from nodes.security import principals
from nodes.security.cluster_keys import ensure_keys
from nodes.security.curve import security_of
from nodes.sockets import BEAT_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, Context, Socket
from ops.cluster import running_cluster
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.log_reader import committed, opened
from ops.observe import fetch_status, label, observe
from ops.prove.disks import scratch
from ops.prove.hostile_fronts import Due, Front, due_between_nodes, due_of_program_request, due_of_requests
from ops.prove.hostile_grammar import catalogue, draw_frame
from ops.prove.hostile_mutation import mutated
from ops.prove.resident import resident_kib
from ops.verdict import drain, head_seq, judge, until

FACULTIES, PROGRAMS, CLIENTS, WINDOW, REST_MS = 2, 1, 1, 2, 100
HOSTILE_FACULTY: Final = 10_900
"""Whose key the hostile peers of the servers have. At the faculties they have that of their own coordinators, between
nodes the other server's: whoever is let in can be hostile."""

VISIT_FRAMES, VISIT_FRAMES_ALONE = 250, 25
"""Frames for one port before the next port's turn, at most; fewer where each needs a connection of its own."""

ROUNDS_MIN: Final = 4
"""Every port has its turn so often at least: memory is looked at for the first time after all had one."""

CRAFTED_SHARE: Final = 0.4
WARMED_UP_AFTER: Final = 0.25
MEMORY_GROWTH: Final = 1.10
POLITE_WITHIN_S: Final = 20.0
WORKERS_WITHIN_S: Final = 30.0


def against_a_cluster(count: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Send `count` frames to all ports in turn. Figures, and a sentence for whatever was wrong."""
    with scratch() as directory:
        slow = {"timing.profile": "slow"}
        config = prepare(directory, base_port=free_base_port(), faculties=FACULTIES, overrides=slow)
        ensure_keys(config, (principals.faculty(HOSTILE_FACULTY), principals.faculty(FIRST_CLIENT_ID)))
        with running_cluster(directory, config), sockets.context() as context:
            began_seq = head_seq(config)
            load = SustainedLoad(
                config, programs=PROGRAMS, clients=CLIENTS, seed=seed, window=WINDOW, rest_ms=REST_MS
            )  # fmt: skip
            load.start()
            try:
                figures, wrongs = _visits(config, context, load, count, seed)
                drain(config, [load])
            finally:
                load.close()
            verdict = judge(config, [load], began_seq)
            wrongs += verdict.broken() + _strangers_events(config, began_seq)
            if verdict.epochs:
                wrongs.append(f"{len(verdict.epochs)} changes of the active server")
    return {**figures, "polite_results": verdict.results}, wrongs


def _visits(
    config: ClusterConfig, context: Context, load: SustainedLoad, count: int, seed: int
) -> tuple[dict[str, Any], list[str]]:
    drawn = Random(f"hostile peers {seed}")
    wrongs: list[str] = []
    crafted = list(catalogue())
    sent: Counter[str] = Counter()
    before: dict[str, tuple[int, int]] = {}
    fronts = list(_fronts(config, context))
    visit_max = max(1, count // (ROUNDS_MIN * len(fronts)))
    until(partial(_workers_are_there, config), WORKERS_WITHIN_S, [load])
    while not wrongs and sent.total() < count:
        for front in fronts:
            visit = min(visit_max, VISIT_FRAMES if front.is_lasting else VISIT_FRAMES_ALONE)
            polite = load.journal.statuses.total()
            told, wrong = front.visit([_draw(drawn, crafted) for _ in range(visit)], drawn)
            sent[front.name] += told
            wrongs += wrong
            if not until(partial(_more_results, load, polite), POLITE_WITHIN_S, [load]):
                wrongs.append(f"{front.name}: no polite transaction ended any more")
            if wrongs:
                break
        if not before and sent.total() >= WARMED_UP_AFTER * count:
            before = _memory(config)
    grown, after = _grown(before, _memory(config))
    return {"sent": dict(sent), "resident_kib_of": after}, wrongs + grown


def _workers_are_there(config: ClusterConfig) -> bool:
    """Whether every worker is connected to its broker: before that it still loads its code."""
    return all(_holds_a_socket(pid) for server in config.servers for pid in _workers_of(server))


def _holds_a_socket(pid: int) -> bool:
    try:
        return any(os.readlink(opened).startswith("socket:") for opened in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it, or what it had opened, is gone
        return False


def _workers_of(server: ServerConfig) -> list[int]:
    return sorted((fetch_status(server.http) or {}).get("workers", ()))


def _more_results(load: SustainedLoad, than: int) -> bool:
    return load.journal.statuses.total() > than


def _draw(drawn: Random, crafted: Sequence[bytes]) -> bytes:
    frame = drawn.choice(crafted) if drawn.random() < CRAFTED_SHARE else draw_frame(drawn)
    return mutated(frame, draw_frame(drawn), drawn) if drawn.random() < 0.3 else frame


def _fronts(config: ClusterConfig, context: Context) -> Iterator[Front]:
    """Every port that takes frames of others; the first server leads."""
    first, second = (principals.server(server.name) for server in config.servers)
    for server, own, other in ((config.servers[0], first, second), (config.servers[1], second, first)):
        as_faculty, as_server = (security_of(config, who) for who in (principals.faculty(HOSTILE_FACULTY), other))
        yield from _client_fronts(
            f"requests of {own}",
            partial(sockets.request_dealer, context, server.requests, own, as_faculty),
            partial(sockets.request_req, context, server.requests, own, as_faculty),
            due_of_requests, MESSAGE_BYTES_MAX, server.http,
        )  # fmt: skip
        repair = partial(sockets.repair_dealer, context, server.repair, own, as_server)
        yield Front(f"repair of {own}", repair, (), due_between_nodes, BEAT_FRAME_BYTES_MAX, server.http)
    witness = partial(sockets.witness_dealer, context, config.witness.endpoint, security_of(config, second))
    yield Front("witness", witness, (), due_between_nodes, BEAT_FRAME_BYTES_MAX, config.witness.http)
    for faculty in config.faculties:
        own, as_program = principals.faculty(faculty.id), security_of(config, principals.program(faculty.id))
        yield from _client_fronts(
            f"programs of {own}",
            partial(sockets.request_dealer, context, faculty.endpoint, own, as_program),
            partial(sockets.program_req, context, faculty.endpoint, own, as_program),
            due_of_program_request, MESSAGE_BYTES_MAX, faculty.http,
        )  # fmt: skip


def _client_fronts(
    name: str,
    dealer: Callable[[], Socket],
    req: Callable[[], Socket],
    due_of: Callable[[bytes], Due | None],
    frame_bytes_max: int,
    http: str,
) -> tuple[Front, Front]:
    """A port that speaks both patterns."""
    return (
        Front(f"{name}, DEALER", dealer, (b"",), due_of, frame_bytes_max, http),
        Front(f"{name}, REQ", req, (), due_of, frame_bytes_max, http, is_lasting=False),
    )


def _memory(config: ClusterConfig) -> dict[str, tuple[int, int]]:
    """Process id and resident memory in KiB of every process, the servers' workers included."""
    observed = observe(config)
    pids = {label(one): one["pid"] for one in (*observed["servers"], observed["witness"], *observed["faculties"])}
    for server in config.servers:
        pids |= {f"worker-{server.name}-{number}": pid for number, pid in enumerate(_workers_of(server))}
    return {name: (pid, resident_kib(pid)) for name, pid in pids.items() if pid is not None}


def _grown(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """What became of the processes, in sentences, and their memory then and now."""
    wrongs, both = [], {}
    for name, (pid, kib) in before.items():
        now_pid, now_kib = after.get(name, (0, 0))
        both[name] = (kib, now_kib)
        if now_pid != pid:
            wrongs.append(f"{name} is not the process it was")
        elif now_kib > MEMORY_GROWTH * kib:
            wrongs.append(f"{name} grew from {kib} to {now_kib} KiB")
    return wrongs, both


def _strangers_events(config: ClusterConfig, began_seq: int) -> list[str]:
    """Events in the log that none of the polite brought about."""
    polite = {f"faculty:{number}" for number in (*(faculty.id for faculty in config.faculties), FIRST_CLIENT_ID)}
    found = []
    with opened(config.servers[0].data) as log:
        for batch in committed(log, began_seq + 1):
            found += [
                f"seq {batch.first_seq + entry.offset}: {entry.type} of {entry.actor}"
                for entry in batch.entries
                if entry.actor.startswith("faculty:") and entry.actor not in polite
            ]
    return found[:5]
