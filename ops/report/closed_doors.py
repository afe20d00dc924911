"""CP11: a component without a known key is refused at every door, no message is exchanged, the attempt is counted."""

from __future__ import annotations

import time
from http.client import HTTPConnection, HTTPException
from typing import Final

from nodes.clients.stranger import Knock, knock
from nodes.config.cluster import http_address
from nodes.security.refusals import UNKNOWN_KEY
from ops.report.facts import Case
from ops.report.stage import Stage

METRICS_TIMEOUT_S: Final = 2.0
COUNTED_WITHIN_S: Final = 5.0
POLL_S: Final = 0.05
COUNTER: Final = "rsm_auth_refused_total"


def cp11(stage: Stage) -> Case:
    """A stranger at every kind of door there is."""
    if stage.config.security == "none":
        return Case("CP11", None, "unencrypted")
    faculty, server = stage.config.faculties[0], stage.config.server(stage.primary()["name"])
    https = (faculty.http, server.http, stage.config.witness.http)
    before = {http: refusals(http) for http in https}
    knocks = knock(stage.config, server, faculty, stage.sockets)

    def counted() -> list[int]:
        after = {http: refusals(http) for http in https}
        return [after[one.http].get(one.door, 0) - before[one.http].get(one.door, 0) for one in knocks]

    deadline_s = time.monotonic() + COUNTED_WITHIN_S
    while not all(found := counted()) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return _judged(knocks, found)


def _judged(knocks: list[Knock], counted: list[int]) -> Case:
    answers = sum(one.is_answered for one in knocks)
    refused = sum(count > 0 for count in counted)
    return Case("CP11", refused == len(knocks) and not answers, "observed_CP11",
                {"sockets": len(knocks), "refused": refused, "answers": answers, "counted": sum(counted)})  # fmt: skip


def refusals(http: str) -> dict[str, int]:
    """By door, how many unknown keys a process says it has refused; empty if it does not answer."""
    connection = HTTPConnection(*http_address(http), timeout=METRICS_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, HTTPException, UnicodeDecodeError):
        return {}
    finally:
        connection.close()
    found = {}
    for line in text.splitlines():
        if line.startswith(COUNTER) and f'reason="{UNKNOWN_KEY}"' in line:
            labels, _, count = line.rpartition(" ")
            found[labels.partition('socket="')[2].partition('"')[0]] = int(float(count))
    return found
