"""Every socket of the project, one function per role, with the options each role was measured to need.

No call on a socket made here blocks: sending and receiving give up at once (zmq.Again), waiting is the
poll loop's business. A peer that vanished without a word is noticed by the
kernel's probes. A ROUTER refuses to send to a peer it does not know (EHOSTUNREACH) instead of losing the
message unseen. It takes the routing id that a peer asks for, so a door believes none of them (nodes.security.door).

ZeroMQ's own heartbeats are off. Where a socket's queue is full because its loop is busy, they take the
connection that is not read for dead, and the process aborts once the queue has room or the peer resets
(libzmq 4.3.5, assertions `_input_stopped` and `!_io_error`).

What speaks TCP passes `Security` before it is bound or connected; what stays in this process or on this host (inproc,
ipc) does not.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from itertools import count
from typing import Final, Protocol

import zmq

from es.errors import EsError
from es.limits import BATCH_BYTES_MAX, FETCH_BYTES_MAX
from nodes.security import roles
from nodes.security.principals import WITNESS, Principal

MESSAGES_MAX: Final = 10_000
"""Messages queued for, or from, one peer."""

UNREAD_MAX: Final = 32
"""Of them, those that one client may have sent and nobody has read, each of up to MESSAGE_BYTES_MAX: what is more stays
with the client (TCP)."""

ANSWERS_MAX: Final = 4_096
"""Of them, answers that one client has not taken: more than may be under way for it. What is more is dropped."""

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
"""A beacon, a heartbeat, and whatever a data node says to another's repair port or to the witness."""

SUBSCRIPTION_BYTES_MAX: Final = 1 << 10
"""What a subscriber sends in one piece; the longest one of an honest subscriber is a part of its handshake."""

UNHEARD_MAX: Final = 256
"""Messages that one data node may have sent to a repair port or to the witness and nobody has read."""

REPAIR_MESSAGES_MAX: Final = BATCH_FRAMES_MAX * 16
PEERS_MAX: Final = 10_000
"""New peers about whom libzmq asks at one time."""

EVENTS_MAX: Final = 100_000
# EVENT_HANDSHAKE_FAILED_PROTOCOL is not asked for: while libzmq 4.3.5 tells of a byte that was changed on the way it
# loses sight of the error that it has to act on, and then neither reads that connection any more nor closes it.
MONITORED: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
CALL_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CONNECT_DELAYED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
)
ATTEMPT_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_MONITOR_STOPPED
)
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
REBIND_WITHIN_S: Final = 0.5
REBIND_PAUSE_S: Final = 0.005
"""libzmq gives a port back some milliseconds after its socket was closed."""

_monitors: Final = count()
"""libzmq gives the name of one back a moment after its socket was closed: none is used twice."""

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class BindFailed(EsError):
    """An endpoint cannot be listened on (in use, not ours, not allowed). The message is one sentence."""

    code = "BIND_FAILED"


class Security(Protocol):
    """How a process secures its sockets, before they are bound or connected (nodes.security.curve)."""

    def listen(self, socket: Socket, door: str) -> None:
        """Prepare a socket that will be bound; `door` is its name in nodes.security.roles."""
        ...

    def call(self, socket: Socket, peer: Principal) -> None:
        """Prepare a socket that will be connected to `peer`, and to nobody else in its place."""
        ...


def libzmq_version() -> str:
    """Of the library underneath, such as `4.3.5`."""
    return zmq.zmq_version()


_THREADS: Final = 2
_OWN_THREAD: Final = 0b01
_CLIENTS_THREAD: Final = 0b10
"""Which of libzmq's threads serve a socket, as bits. Clients' connections have one to themselves: handshakes and frames
of who floods are not before what servers say to each other. A socket has one thread alone (nodes.security.door_watch).
"""


def context() -> Context:
    """One per process. Terminating it never waits for a peer (every socket has LINGER 0)."""
    made: Context = zmq.Context(io_threads=_THREADS)
    _reseed()
    made.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    return made


def _reseed() -> None:
    """A ROUTER draws its peers' routes from where it once began, counting, and libzmq seeds that with the time in µs
    and the process id, which may be guessed. Who names a route before it is drawn ends the process (SECURITY.md)."""
    ctypes.CDLL(None).srand(ctypes.c_uint(int.from_bytes(os.urandom(4))))


# --- requests: faculty → server, program → faculty


def request_router(context: Context, endpoint: str, security: Security) -> Socket:
    """A server's door for faculties, both patterns."""
    return _client_router(context, endpoint, roles.REQUESTS, security)


def request_dealer(
    context: Context, endpoint: str, peer: Principal, security: Security, messages_max: int = MESSAGES_MAX
) -> Socket:
    """A faculty's lasting connection to one server, which keeps so many messages each way. While there is none a send
    is refused (zmq.Again) rather than queued for a server that may be dead."""
    return _dealer(context, endpoint, peer, security, messages_max, MESSAGE_BYTES_MAX)


def request_req(context: Context, endpoint: str, peer: Principal, security: Security) -> Socket:
    """A fresh connection for one transaction. It may be sent on before it stands: closing it is the
    way to give up. It takes one answer a request, so a retry needs a new one."""
    return _connected(_socket(context, zmq.REQ, MESSAGES_MAX, MESSAGE_BYTES_MAX), endpoint, peer, security)


def program_router(context: Context, endpoint: str, security: Security) -> Socket:
    """A faculty's door for programs. It speaks the REP side's framing and serves many at once."""
    return _client_router(context, endpoint, roles.PROGRAMS, security)


def program_req(context: Context, endpoint: str, peer: Principal, security: Security) -> Socket:
    """A program's connection to its faculty, for one attempt."""
    return _connected(_socket(context, zmq.REQ, MESSAGES_MAX, MESSAGE_BYTES_MAX), endpoint, peer, security)


def watched_req(context: Context, endpoint: str, peer: Principal, security: Security) -> tuple[Socket, Socket]:
    """The same, or a registrar's to a server, and what libzmq tells of it (ATTEMPT_EVENTS), from before its first
    connection until after its last: once it is closed, that there is no more to tell is told, too."""
    req = _socket(context, zmq.REQ, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    events = monitor(context, req, ATTEMPT_EVENTS)
    return _connected(req, endpoint, peer, security), events


# --- the pool of workers: Unix sockets in a directory of its own user


def worker_router(context: Context, endpoint: str) -> Socket:
    """The broker's side of its pool of workers."""
    router = _socket(context, zmq.ROUTER, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    router.set(zmq.ROUTER_MANDATORY, 1)
    return _bound(router, endpoint)


def worker_dealer(context: Context, endpoint: str) -> Socket:
    """A worker's side: it announces itself as ready and takes one request at a time."""
    dealer = _socket(context, zmq.DEALER, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    dealer.connect(endpoint)
    return dealer


# --- heartbeats, batches, beacons


def heartbeat_pub(context: Context, endpoint: str, security: Security) -> Socket:
    """A server's public heartbeats."""
    return _pub(context, endpoint, roles.HEARTBEATS, security, BEATS_MAX)


def heartbeat_sub(context: Context, endpoint: str, topic: bytes, peer: Principal, security: Security) -> Socket:
    """Listens to one server's heartbeats that begin with `topic`."""
    return _sub(context, endpoint, topic, peer, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX)


def batch_pub(context: Context, endpoint: str, security: Security) -> Socket:
    """The primary's stream of commit batches. It may drop: gaps are seen and repaired."""
    return _pub(context, endpoint, roles.BATCHES, security, BATCH_FRAMES_MAX)


def batch_sub(context: Context, endpoint: str, peer: Principal, security: Security) -> Socket:
    """A backup's end of the stream."""
    return _sub(context, endpoint, b"", peer, security, BATCH_FRAMES_MAX, BATCH_FRAME_BYTES_MAX)


def beacon_pub(context: Context, endpoint: str, security: Security) -> Socket:
    """The primary's beacons, apart from the batches so that a large one never delays them."""
    return _pub(context, endpoint, roles.BEACONS, security, BEATS_MAX)


def beacon_sub(context: Context, endpoint: str, peer: Principal, security: Security) -> Socket:
    """A backup's end of the beacons."""
    return _sub(context, endpoint, b"", peer, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX)


# --- repair and acknowledgements, the witness


def repair_router(context: Context, endpoint: str, security: Security) -> Socket:
    """The primary's side of acknowledgements and repair."""
    return _router(context, endpoint, roles.REPAIR, security, REPAIR_MESSAGES_MAX)


def repair_dealer(context: Context, endpoint: str, peer: Principal, security: Security) -> Socket:
    """A backup's side of acknowledgements and repair."""
    return _dealer(context, endpoint, peer, security, REPAIR_MESSAGES_MAX, REPAIR_FRAME_BYTES_MAX)


def witness_router(context: Context, endpoint: str, security: Security) -> Socket:
    """The witness's door for data nodes."""
    return _router(context, endpoint, roles.WITNESS, security, MESSAGES_MAX)


def witness_dealer(context: Context, endpoint: str, security: Security) -> Socket:
    """A data node's connection to the witness. Nothing is queued for a witness that is away."""
    return _dealer(context, endpoint, WITNESS, security, BEATS_MAX, BEAT_FRAME_BYTES_MAX)


# --- authentication, within the process


def authentication_router(context: Context) -> Socket:
    """Where libzmq asks about every new peer (ZAP). Raises BindFailed if this context has one already."""
    return _bound(_socket(context, zmq.ROUTER, PEERS_MAX, BEAT_FRAME_BYTES_MAX), "inproc://zeromq.zap.01")


def monitor(context: Context, watched: Socket, told: int = MONITORED) -> Socket:
    """What libzmq tells of the connections of a socket, by default of one that listens. It waits for room before it
    tells more, so there is room for many turns of a loop; `disable_monitor` before `watched` is closed."""
    endpoint = f"inproc://monitor-{next(_monitors)}"
    watched.monitor(endpoint, told)
    events = _socket(context, zmq.PAIR, EVENTS_MAX, BEAT_FRAME_BYTES_MAX)
    events.connect(endpoint)
    return events


# --- how each is made


def _socket(context: Context, kind: int, messages_max: int, frame_bytes_max: int) -> Socket:
    made: Socket = context.socket(kind)
    made.set(zmq.LINGER, 0)
    made.set(zmq.AFFINITY, _OWN_THREAD)
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


def _client_router(context: Context, endpoint: str, door: str, security: Security) -> Socket:
    router = _socket(context, zmq.ROUTER, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    router.set(zmq.AFFINITY, _CLIENTS_THREAD)
    router.set(zmq.RCVHWM, UNREAD_MAX)
    router.set(zmq.SNDHWM, ANSWERS_MAX)
    router.set(zmq.ROUTER_MANDATORY, 1)
    security.listen(router, door)
    return _bound(router, endpoint)


def _router(context: Context, endpoint: str, door: str, security: Security, answers_max: int) -> Socket:
    router = _socket(context, zmq.ROUTER, answers_max, BEAT_FRAME_BYTES_MAX)
    router.set(zmq.RCVHWM, UNHEARD_MAX)
    router.set(zmq.ROUTER_MANDATORY, 1)
    security.listen(router, door)
    return _bound(router, endpoint)


def _pub(context: Context, endpoint: str, door: str, security: Security, messages_max: int) -> Socket:
    """It publishes as a PUB does, and lets every subscription be read: so its door knows who is there."""
    pub = _socket(context, zmq.XPUB, messages_max, SUBSCRIPTION_BYTES_MAX)
    pub.set(zmq.XPUB_VERBOSE, 1)
    security.listen(pub, door)
    return _bound(pub, endpoint)


def _dealer(
    context: Context, endpoint: str, peer: Principal, security: Security, messages_max: int, frame_bytes_max: int
) -> Socket:
    dealer = _socket(context, zmq.DEALER, messages_max, frame_bytes_max)
    dealer.set(zmq.IMMEDIATE, 1)
    return _connected(dealer, endpoint, peer, security)


def _sub(
    context: Context, endpoint: str, topic: bytes, peer: Principal, security: Security,
    messages_max: int, frame_bytes_max: int,
) -> Socket:  # fmt: skip
    sub = _socket(context, zmq.SUB, messages_max, frame_bytes_max)
    sub.set(zmq.SUBSCRIBE, topic)
    return _connected(sub, endpoint, peer, security)


def _bound(socket: Socket, endpoint: str) -> Socket:
    """Bind it. An endpoint that this process has just given back is free a moment later."""
    deadline_s = time.monotonic() + REBIND_WITHIN_S
    while True:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE and time.monotonic() < deadline_s:
                time.sleep(REBIND_PAUSE_S)
                continue
            socket.close()
            raise BindFailed(f"cannot listen on {endpoint}: {error.strerror}") from None
        return socket


def _connected(socket: Socket, endpoint: str, peer: Principal, security: Security) -> Socket:
    security.call(socket, peer)
    socket.connect(endpoint)
    return socket


def call_again(socket: Socket) -> str:
    """Connect a socket anew to where it was connected, and say where that is."""
    endpoint = bound_endpoint(socket)
    with suppress(zmq.ZMQError):  # libzmq knows of no such connection any more
        socket.disconnect(endpoint)
    socket.connect(endpoint)
    return endpoint


def bound_endpoint(socket: Socket) -> str:
    """Where a bound socket listens: its endpoint with the port that was drawn for `*`. Or where one is connected."""
    endpoint = socket.get(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.rstrip(b"\0").decode()
