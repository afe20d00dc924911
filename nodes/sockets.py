"""Every socket of the project, one function per role, with the options each role was measured to need.

No call on a socket made here blocks: sending and receiving give up at once (zmq.Again), waiting is the
poll loop's business. A peer that vanished without a word is noticed by the
kernel's probes. A ROUTER refuses to send to a peer it does not know (EHOSTUNREACH) instead of losing the
message unseen, and assigns the routing ids itself, so that nobody can take over another's.

ZeroMQ's own heartbeats are off. Where a socket's queue is full because its loop is busy, they take the
connection that is not read for dead, and the process aborts once the queue has room or the peer resets
(libzmq 4.3.5, assertions `_input_stopped` and `!_io_error`).

Security is switched on in `_socket`, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import zmq

from es.errors import EsError
from es.limits import BATCH_BYTES_MAX, FETCH_BYTES_MAX

MESSAGES_MAX: Final = 10_000
"""Messages queued for, or from, one peer."""

BATCH_FRAMES_MAX: Final = 64
"""Commit batches queued for one subscriber; each may have BATCH_BYTES_MAX."""

BEATS_MAX: Final = 256
"""Beacons or heartbeats queued for one subscriber: old ones are worth nothing."""

MESSAGE_BYTES_MAX: Final = (1 << 20) + (4 << 10)
"""A frame of clients: an array of messages, with slack so that the schema refuses what is just too long."""

BATCH_FRAME_BYTES_MAX: Final = BATCH_BYTES_MAX + (64 << 10)
REPAIR_FRAME_BYTES_MAX: Final = FETCH_BYTES_MAX + BATCH_FRAME_BYTES_MAX
"""An answer to FETCH may exceed its bound by one batch."""

BEAT_FRAME_BYTES_MAX: Final = 64 << 10
SOCKETS_MAX: Final = 4_096
"""Sockets of one process (a request-reply faculty opens one per transaction)."""

KEEPALIVE_S: Final = 1
"""The kernel probes a connection that has been idle for so long, and again after as long."""

KEEPALIVE_PROBES: Final = 3
UNACKNOWLEDGED_MS: Final = 1_000
"""A peer whose kernel acknowledges nothing for so long is gone."""

RECONNECT_IVL_MS: Final = 50
RECONNECT_IVL_MAX_MS: Final = 1_000
HANDSHAKE_IVL_MS: Final = 1_000

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class BindFailed(EsError):
    """An endpoint cannot be listened on (in use, not ours, not allowed). The message is one sentence."""

    code = "BIND_FAILED"


@dataclass(slots=True, frozen=True)
class Security:
    """How peers know each other and what strangers see. `none` is for a laboratory."""

    mode: str = "none"

    def __post_init__(self) -> None:
        if self.mode != "none":
            raise ValueError(f"security {self.mode!r} is unknown")


OPEN: Final = Security()


def libzmq_version() -> str:
    """Of the library underneath, such as `4.3.5`."""
    return zmq.zmq_version()


def context() -> Context:
    """One per process. Terminating it never waits for a peer (every socket has LINGER 0)."""
    made: Context = zmq.Context(io_threads=1)
    made.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    return made


# --- requests: faculty → server, program → faculty


def request_router(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A server's door for faculties, both patterns."""
    return _bound(_router(context, security, MESSAGE_BYTES_MAX), endpoint)


def request_dealer(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A faculty's lasting connection to one server. While there is none a send is refused (zmq.Again)
    rather than queued for a server that may be dead."""
    dealer = _socket(context, zmq.DEALER, security, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    dealer.set(zmq.IMMEDIATE, 1)
    return _connected(dealer, endpoint)


def request_req(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A fresh connection for one transaction. It may be sent on before it stands: closing it is the
    way to give up. It takes one answer a request, so a retry needs a new one."""
    req = _socket(context, zmq.REQ, security, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    return _connected(req, endpoint)


def program_router(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A faculty's door for programs. It speaks the REP side's framing and serves many at once."""
    return _bound(_router(context, security, MESSAGE_BYTES_MAX), endpoint)


def program_req(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A program's connection to its faculty, for one attempt."""
    return _connected(_socket(context, zmq.REQ, security, MESSAGES_MAX, MESSAGE_BYTES_MAX), endpoint)


# --- the pool of workers


def worker_router(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """The broker's side of its pool of workers (ipc)."""
    return _bound(_router(context, security, MESSAGE_BYTES_MAX), endpoint)


def worker_dealer(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A worker's side: it announces itself as ready and takes one request at a time."""
    return _connected(_socket(context, zmq.DEALER, security, MESSAGES_MAX, MESSAGE_BYTES_MAX), endpoint)


# --- heartbeats, batches, beacons


def heartbeat_pub(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A server's public heartbeats."""
    return _bound(_socket(context, zmq.PUB, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX), endpoint)


def heartbeat_sub(context: Context, endpoint: str, topic: bytes, security: Security = OPEN) -> Socket:
    """Listens to one server's heartbeats that begin with `topic`."""
    return _subscribed(context, endpoint, topic, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX)


def batch_pub(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """The primary's stream of commit batches. It may drop: gaps are seen and repaired."""
    return _bound(_socket(context, zmq.PUB, security, BATCH_FRAMES_MAX, BATCH_FRAME_BYTES_MAX), endpoint)


def batch_sub(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A backup's end of the stream."""
    return _subscribed(context, endpoint, b"", security, BATCH_FRAMES_MAX, BATCH_FRAME_BYTES_MAX)


def beacon_pub(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """The primary's beacons, apart from the batches so that a large one never delays them."""
    return _bound(_socket(context, zmq.PUB, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX), endpoint)


def beacon_sub(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A backup's end of the beacons."""
    return _subscribed(context, endpoint, b"", security, BEATS_MAX, BEAT_FRAME_BYTES_MAX)


# --- repair and acknowledgements, the witness


def repair_router(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """The primary's side of acknowledgements and repair."""
    return _bound(_router(context, security, REPAIR_FRAME_BYTES_MAX, BATCH_FRAMES_MAX * 16), endpoint)


def repair_dealer(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A backup's side of acknowledgements and repair."""
    dealer = _socket(context, zmq.DEALER, security, BATCH_FRAMES_MAX * 16, REPAIR_FRAME_BYTES_MAX)
    dealer.set(zmq.IMMEDIATE, 1)
    return _connected(dealer, endpoint)


def witness_router(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """The witness's door for data nodes."""
    return _bound(_router(context, security, BEAT_FRAME_BYTES_MAX), endpoint)


def witness_dealer(context: Context, endpoint: str, security: Security = OPEN) -> Socket:
    """A data node's connection to the witness. Nothing is queued for a witness that is away."""
    dealer = _socket(context, zmq.DEALER, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX)
    dealer.set(zmq.IMMEDIATE, 1)
    return _connected(dealer, endpoint)


# --- the one place where sockets are made


def _socket(context: Context, kind: int, security: Security, messages_max: int, frame_bytes_max: int) -> Socket:
    assert security == OPEN, "no other security is known"
    made: Socket = context.socket(kind)
    made.set(zmq.LINGER, 0)
    made.set(zmq.SNDTIMEO, 0)
    made.set(zmq.RCVTIMEO, 0)
    made.set(zmq.SNDHWM, messages_max)
    made.set(zmq.RCVHWM, messages_max)
    made.set(zmq.MAXMSGSIZE, frame_bytes_max)
    made.set(zmq.TCP_KEEPALIVE, 1)
    made.set(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_S)
    made.set(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_S)
    made.set(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES)
    made.set(zmq.TCP_MAXRT, UNACKNOWLEDGED_MS)
    made.set(zmq.RECONNECT_IVL, RECONNECT_IVL_MS)
    made.set(zmq.RECONNECT_IVL_MAX, RECONNECT_IVL_MAX_MS)
    made.set(zmq.HANDSHAKE_IVL, HANDSHAKE_IVL_MS)
    return made


def _router(context: Context, security: Security, frame_bytes_max: int, messages_max: int = MESSAGES_MAX) -> Socket:
    router = _socket(context, zmq.ROUTER, security, messages_max, frame_bytes_max)
    router.set(zmq.ROUTER_MANDATORY, 1)
    return router


def _subscribed(
    context: Context, endpoint: str, topic: bytes, security: Security, messages_max: int, frame_bytes_max: int
) -> Socket:
    sub = _socket(context, zmq.SUB, security, messages_max, frame_bytes_max)
    sub.set(zmq.SUBSCRIBE, topic)
    return _connected(sub, endpoint)


def _bound(socket: Socket, endpoint: str) -> Socket:
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise BindFailed(f"cannot listen on {endpoint}: {error.strerror}") from None
    return socket


def _connected(socket: Socket, endpoint: str) -> Socket:
    socket.connect(endpoint)
    return socket


def bound_endpoint(socket: Socket) -> str:
    """Where a bound socket listens: its endpoint with the port that was drawn for `*`."""
    endpoint = socket.get(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.rstrip(b"\0").decode()
