"""From the directory of a cluster that ran, or runs, to the timings of its requests; kept, so that the next reading
goes on from there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from es.log.lmdb_log import LmdbLog
from nodes.config.cluster import ClusterConfig
from nodes.timing_file import read_timings
from ops.cluster_dir import write_whole
from ops.log_reader import committed, furthest, logs_here, opened
from projections.timings import FACULTY, SERVER, RequestTimings, Source, Told

TIMINGS_FILE: Final = "timings.json"


def read_requests(config: ClusterConfig, keep_in: Path, told: Sequence[Told]) -> RequestTimings:
    """The read model of timings, brought up to the longest committed log and all timing files of this host, and kept
    in `keep_in`. Raises LogError, OSError."""
    path = keep_in / TIMINGS_FILE
    with opened(longest_log(config)) as log:
        model = _kept(path, log)
        for batch in committed(log, model.checkpoint.seq + 1):
            model.feed(batch)
    for server in config.servers:
        _take(model, SERVER, server.name, server.data)
    for faculty in config.faculties:
        _take(model, FACULTY, f"faculty-{faculty.id}", faculty.data)
    for one in told:
        model.tell(one)
    write_whole(path, json.dumps(model.to_plain(), ensure_ascii=False, indent=0) + "\n")
    return model


def longest_log(config: ClusterConfig) -> Path:
    """The data directory of the server that knows most of what is committed, of those that are on this machine. Raises
    LogError, Stopped if none is."""
    return furthest(logs_here(config))


def _kept(path: Path, log: LmdbLog) -> RequestTimings:
    """What was kept, if it is of this log; a new model otherwise."""
    try:
        model = RequestTimings.from_plain(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return RequestTimings()
    seq = model.checkpoint.seq
    if seq == 0:
        return model
    batch = next(log.batches(seq), None)
    return model if batch is not None and (batch.last_seq, batch.hash) == (seq, model.checkpoint.hash) else (
        RequestTimings()
    )  # fmt: skip


def _take(model: RequestTimings, kind: str, name: str, data: Path) -> None:
    found = read_timings(data)
    if found is not None:
        source = Source(kind, name, found.since_us)
        for timing in found.timings:
            model.take(source, timing)
