"""A faculty of the asynchronous pattern (A4): one lasting DEALER per server, many transactions in flight.

What one turn has to say to a server leaves as one array of messages; a message without company leaves
as it is, at once.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import zmq

from es.replication.instant import Instant
from nodes import sockets, wire
from nodes.config.cluster import ClusterConfig
from nodes.faculty.shell import FacultyShell, run_faculty
from nodes.security import principals
from nodes.shell import drain
from nodes.sockets import Socket
from nodes.wire.encoding import Encoding, join
from projections.rooms.commands import Answer, Reserve

PATTERN: Final = "async"


class DealerUplink:
    """A lasting connection to every server. What cannot leave yet waits, at most one message for each
    transaction in flight, and is replaced when the core submits it again."""

    def __init__(self, shell: FacultyShell) -> None:
        self._shell = shell
        self._outbox: dict[str, dict[str, Reserve | Answer]] = {name: {} for name in shell.servers}
        self._dealers: dict[str, Socket] = {}
        self._waits_for: set[str] = set()
        for name, endpoint in shell.servers.items():
            self._dealers[name] = sockets.request_dealer(
                shell.context, endpoint, principals.server(name), shell.security
            )
            shell.loop.register(self._dealers[name], partial(self._on_ready, name))
            shell.calls.keep(self._dealers[name])

    def submit(self, transaction_id: str, server: str, message: Reserve | Answer) -> None:
        """See Uplink."""
        self.abandon(transaction_id)
        self._outbox[server][transaction_id] = message

    def abandon(self, transaction_id: str) -> None:
        """See Uplink."""
        for outbox in self._outbox.values():
            outbox.pop(transaction_id, None)

    def flush(self) -> None:
        """See Uplink."""
        for server, outbox in self._outbox.items():
            if outbox and server not in self._waits_for:
                self._send(server, outbox)

    def close(self) -> None:
        """See Uplink."""
        for dealer in self._dealers.values():
            self._shell.loop.unregister(dealer)
            self._shell.calls.drop(dealer)
            dealer.close()

    def _send(self, server: str, outbox: dict[str, Reserve | Answer]) -> None:
        messages = [wire.encode(message, Encoding.MSGPACK) for message in outbox.values()]
        try:
            for payload in join(messages, Encoding.MSGPACK):
                self._dealers[server].send_multipart((b"", payload), zmq.NOBLOCK)
        except zmq.Again:
            self._wait(server)  # what did leave of it may leave again: the server answers both the same
            return
        outbox.clear()

    def _wait(self, server: str) -> None:
        self._shell.metrics.ignored["server_full"] += 1
        self._waits_for.add(server)
        self._shell.loop.register(self._dealers[server], partial(self._on_ready, server), until_writable=True)

    def _on_ready(self, server: str, now: Instant) -> None:
        dealer = self._dealers[server]
        if server in self._waits_for and int(dealer.get(zmq.EVENTS)) & zmq.POLLOUT:
            self._waits_for.discard(server)
            self._shell.loop.register(dealer, partial(self._on_ready, server))
        messages = drain(dealer)
        now = self._shell.loop.clock()  # once they are all there: what arrived meanwhile did not arrive before
        for frames in messages:
            if len(frames) == 2 and not frames[0]:
                self._shell.on_payload(server, frames[1], now)
            else:
                self._shell.metrics.ignored["bad_frames"] += 1


def run(config: ClusterConfig, faculty_id: int) -> None:
    """Run the faculty until SIGTERM or SIGINT; see run_faculty for what it raises."""
    run_faculty(config, faculty_id, PATTERN, DealerUplink)
