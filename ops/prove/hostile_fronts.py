"""The ports of a running cluster that take frames of others, and what each must say to a hostile peer.

Whatever can be answered is answered, once, to the peer that sent it and under an id that it sent; the rest is counted.
Nobody is proposed or granted anything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from random import Random
from typing import Final, NamedTuple

from nodes import wire
from nodes.clients.raw_peer import RawPeer
from nodes.config.cluster import http_address
from nodes.sockets import Socket
from nodes.wire.schema import Dropped, Invalid, ProgramRequest, Res
from projections.rooms.commands import INVALID, UNAVAILABLE, Reserve

SENT_WITHIN_MS: Final = 20_000
SETTLED_WITHIN_S: Final = 20.0
WRONGS_MAX: Final = 5
POLL_MS: Final = 20
ENCRYPTION_BYTES_MAX: Final = 64
"""What CURVE adds to a frame. One that is too long for the connection itself ends it, and what was sent before goes
unread."""

HTTP_WITHIN_S: Final = 5.0
METRICS_BYTES_MAX: Final = 8 << 20
MISSHAPEN_EVERY: Final = 12
"""One message in so many has other frames than its port expects."""

class Due(NamedTuple):
    """What must come of a frame: an answer under each of these ids (the empty one, where there is none), and so many
    refusals that are counted."""

    ids: tuple[str, ...]
    counted: int


MISSHAPEN: Final = Due((), 1)
"""Of a message that has other frames than its port expects."""


def due_of_requests(frame: bytes) -> Due | None:
    """What a server must do about a frame; None if it asks for rooms as a polite peer may."""
    messages = wire.decode_requests(frame).messages
    if any(isinstance(message, Reserve) for message in messages):
        return None
    ids = tuple(message.transaction_id for message in messages if not isinstance(message, Dropped))
    return Due(ids, sum(isinstance(message, Dropped | Invalid) for message in messages) if messages else 1)


def due_of_program_request(frame: bytes) -> Due | None:
    """What a faculty must do: it answers everything. None as above."""
    message, _ = wire.decode_program_request(frame)
    if isinstance(message, ProgramRequest):
        return None
    return Due(("",), 1) if isinstance(message, Dropped) else Due((message.transaction_id,), 0)


def due_between_nodes(_frame: bytes) -> Due | None:
    """What a node must do about a message that is none, or is for another cluster: count it."""
    return Due((), 1)


@dataclass(slots=True, frozen=True)
class Front:
    """A port. `connect` makes a connection to it; `before` is what a connection sends in front of a payload.
    `is_lasting`: one connection carries many messages; if not, each has its own, and all its answers in one payload.
    `http` is where its process tells what it counts."""

    name: str
    connect: Callable[[], Socket]
    before: tuple[bytes, ...]
    due_of: Callable[[bytes], Due | None]
    frame_bytes_max: int
    http: str
    is_lasting: bool = True

    def visit(self, frames: Sequence[bytes], drawn: Random) -> tuple[int, list[str]]:
        """Send those of these frames that are hostile here and not too long for the connection, and wait for all that
        must come of them; how many there were, and what was wrong."""
        counted_before, exchanges = ignored(self.http), []
        shared = RawPeer(self.connect()) if self.is_lasting else None
        try:
            for frame in frames:
                due = self.due_of(frame)
                if due is not None and len(frame) + ENCRYPTION_BYTES_MAX <= self.frame_bytes_max:
                    peer = shared or RawPeer(self.connect())
                    exchanges.append((peer, self._send(peer, frame, due, drawn)))
            return len(exchanges), self._answers(exchanges, counted_before)
        finally:
            for peer in {id(peer): peer for peer, _ in exchanges}.values() if shared is None else [shared]:
                peer.close()

    def _send(self, peer: RawPeer, frame: bytes, due: Due, drawn: Random) -> Due | None:
        """What must come of it; None if the port took nothing."""
        misshapen = drawn.randrange(MISSHAPEN_EVERY) == 0
        parts = [*self.before, frame, b"x"] if misshapen else [*self.before, frame]
        if not peer.send(parts, SENT_WITHIN_MS):
            return None
        return MISSHAPEN if misshapen else due

    def _answers(self, exchanges: Sequence[tuple[RawPeer, Due | None]], counted_before: float) -> list[str]:
        """Wait until every answer has come and every refusal was counted; what was wrong."""
        sent = [(peer, due) for peer, due in exchanges if due is not None]
        wrongs = ["it takes no messages any more"] if len(sent) < len(exchanges) else []
        peers = {id(peer): peer for peer, _ in sent}
        awaited: dict[int, Counter[str]] = {key: Counter() for key in peers}
        for peer, due in sent:
            awaited[id(peer)].update(due.ids)
        refusals = sum(due.counted for _, due in sent)
        deadline_s = time.monotonic() + SETTLED_WITHIN_S
        while waiting := [key for key, ids in awaited.items() if ids]:
            if time.monotonic() > deadline_s:
                wrongs.append(f"{sum(ids.total() for ids in awaited.values())} answers are missing")
                break
            for key in waiting:
                wrongs += settle(awaited[key], peers[key].taken(POLL_MS))
        while (counted := ignored(self.http) - counted_before) < refusals:
            if time.monotonic() > deadline_s:
                wrongs.append(f"of {refusals} refusals {counted:.0f} were counted")
                break
            time.sleep(POLL_MS / 1_000)
        for key, peer in peers.items():
            wrongs += settle(awaited[key], peer.taken(0))
        return [f"{self.name}: {wrong}" for wrong in wrongs[:WRONGS_MAX]]


def settle(awaited: Counter[str], arrived: Sequence[Sequence[bytes]]) -> list[str]:
    """Take answers off what is awaited; what is wrong with them."""
    wrongs = []
    for frames in arrived:
        for message in wire.decode_answers(frames[-1]).messages:
            if isinstance(message, Dropped) and message.why == "no_transaction_id":
                message = Res("", INVALID)
            if not isinstance(message, Res) or message.status not in (INVALID, UNAVAILABLE):
                wrongs.append(f"a hostile peer was told {message}")
            elif not awaited[message.transaction_id]:
                wrongs.append(f"an answer to what this peer never sent, or the second to what it did: {message}")
            else:
                awaited[message.transaction_id] -= 1
    for settled in [one for one, times in awaited.items() if not times]:
        del awaited[settled]
    return wrongs


def ignored(http: str) -> float:
    """What the process there has refused or dropped so far, all reasons together; 0 if it does not answer."""
    connection = HTTPConnection(*http_address(http), timeout=HTTP_WITHIN_S)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read(METRICS_BYTES_MAX).decode()
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
    samples = (line for line in text.splitlines() if line.startswith(("rsm_ignored_total", "rsm_auth_refused_total")))
    return sum(float(sample.rpartition(" ")[2]) for sample in samples)
