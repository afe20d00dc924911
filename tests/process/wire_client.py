"""Clients written from the wire protocol's page alone, for any program that speaks it: no code of ours is used.

Each waits for what it expects and fails the test if it does not come in time.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgpack
import pytest
import zmq

JSON = "json"
MSGPACK = "msgpack"
ENCODINGS = (JSON, MSGPACK)
WITHIN_S = 20.0
LATER = (("UNAVAILABLE", "NOT_ACTIVE"), ("UNAVAILABLE", "BUSY"), ("UNKNOWN", None))
"""Results that say nothing definite: ask again with the same id."""

Message = dict[str, Any]


def dump(message: Any, encoding: str) -> bytes:
    """A message, or a list of messages, as a payload."""
    if encoding == JSON:
        return json.dumps(message, ensure_ascii=False).encode()
    packed: bytes = msgpack.packb(message)
    return packed


def load(payload: bytes) -> list[Message]:
    """The messages of a payload, in whichever encoding it is."""
    value = json.loads(payload) if payload[:1] in (b"{", b"[") else msgpack.unpackb(payload)
    return value if isinstance(value, list) else [value]


def new_id() -> str:
    """A transaction id nobody has used."""
    return str(uuid.uuid4())


def sol(term: str, classrooms: int, labs: int, **fields: Any) -> Message:
    """A SOL; `fields` replaces or adds."""
    return {
        "tipo": "SOL", "transaction_id": new_id(), "faculty_id": 501, "facultad": "Facultad de pruebas",
        "program_id": 1, "programa": "Programa de pruebas", "semester": term,
        "salones": classrooms, "laboratorios": labs, **fields,
    }  # fmt: skip


def ack(request: Message, confirm: str = "ACCEPT", *, named: bool = True) -> Message:
    """The ACK to a SOL; not `named`, it leaves the faculty out as the seed's client does."""
    answer = {"tipo": "ACK", "transaction_id": request["transaction_id"], "confirm": confirm}
    return {**answer, "faculty_id": request["faculty_id"]} if named else answer


def lib(request: Message, reason: str = "gotera") -> Message:
    """A LIB for what a SOL got."""
    return {
        "tipo": "LIB", "transaction_id": request["transaction_id"], "faculty_id": request["faculty_id"],
        "reason": reason,
    }  # fmt: skip


def cie(term: str) -> Message:
    """A CIE."""
    return {"tipo": "CIE", "transaction_id": new_id(), "semester": term}


Prepare = Callable[["zmq.Socket[bytes]", str], None]
"""Gives a socket the keys it needs for an endpoint."""


class _Client:
    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, encoding: str, prepare: Prepare
    ) -> None:
        self.encoding = encoding
        self.socket = context.socket(kind)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.HANDSHAKE_IVL, 1_000)
        try:
            prepare(self.socket, endpoint)
            self.socket.connect(endpoint)
        except BaseException:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def _frames(self, within_s: float) -> list[bytes] | None:
        return self.socket.recv_multipart() if self.socket.poll(int(within_s * 1_000)) else None


class Req(_Client):
    """A REQ socket: one answer for one request. For a server's requests port and for a faculty's."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, encoding: str, prepare: Prepare
    ) -> None:
        super().__init__(context, zmq.REQ, endpoint, encoding, prepare)

    def send(self, message: Any) -> None:
        self.socket.send(dump(message, self.encoding))

    def answers(self, within_s: float = WITHIN_S) -> list[Message]:
        """What one payload brings; it must be in the encoding of the request."""
        frames = self._frames(within_s)
        if frames is None:
            pytest.fail(f"no answer within {within_s:g} s")
        assert (frames[-1][:1] in (b"{", b"[")) == (self.encoding == JSON), "answered in another encoding"
        return load(frames[-1])

    def ask(self, message: Any, within_s: float = WITHIN_S) -> Message:
        """The one answer to one message."""
        self.send(message)
        (answer,) = self.answers(within_s)
        return answer


class Dealer(_Client):
    """A DEALER socket: any number of messages and answers, matched by transaction id."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, encoding: str, prepare: Prepare
    ) -> None:
        super().__init__(context, zmq.DEALER, endpoint, encoding, prepare)
        self._arrived: list[Message] = []
        self.payloads_of_many = 0

    def send(self, *messages: Message) -> None:
        """Each in a frame of its own."""
        for message in messages:
            self.send_payload(dump(message, self.encoding))

    def send_array(self, messages: Sequence[Message]) -> None:
        """All in one frame."""
        self.send_payload(dump(list(messages), self.encoding))

    def send_payload(self, payload: bytes) -> None:
        self.socket.send_multipart([b"", payload])

    def answer(self, transaction_id: str, within_s: float = WITHIN_S) -> Message:
        """The next answer about that transaction; others wait for their turn."""
        deadline_s = time.monotonic() + within_s
        while True:
            for message in self._arrived:
                if message["transaction_id"] == transaction_id:
                    self._arrived.remove(message)
                    return message
            frames = self._frames(max(0.0, deadline_s - time.monotonic()))
            if frames is None:
                pytest.fail(f"no answer about {transaction_id} within {within_s:g} s")
            self._take(frames)

    def _take(self, frames: list[bytes]) -> None:
        empty, payload = frames
        assert empty == b""
        assert (payload[:1] in (b"{", b"[")) == (self.encoding == JSON), "answered in another encoding"
        messages = load(payload)
        self.payloads_of_many += len(messages) > 1
        self._arrived += messages

    def ask(self, message: Message, within_s: float = WITHIN_S) -> Message:
        """Send one and wait for the answer about it."""
        self.send(message)
        return self.answer(message["transaction_id"], within_s)

    def everything(self) -> list[Message]:
        """What has arrived and was not asked for."""
        while (frames := self._frames(0)) is not None:
            self._take(frames)
        arrived, self._arrived = self._arrived, []
        return arrived


SomeClient = TypeVar("SomeClient", bound=_Client)


class Clients:
    """Makes clients; closes them all in the end. `prepare` gives them their keys."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._made: list[_Client] = []

    def req(self, endpoint: str, encoding: str = MSGPACK) -> Req:
        """A REQ peer of a server or a faculty."""
        return self._keep(Req(self._context, endpoint, encoding, self._prepare))

    def dealer(self, endpoint: str, encoding: str = MSGPACK) -> Dealer:
        """A DEALER peer of a server."""
        return self._keep(Dealer(self._context, endpoint, encoding, self._prepare))

    def peer(self, pattern: str, endpoint: str, encoding: str = MSGPACK) -> Req | Dealer:
        """A peer of a server that speaks the pattern `async` or `lbb`."""
        return self.req(endpoint, encoding) if pattern == "lbb" else self.dealer(endpoint, encoding)

    def _keep(self, client: SomeClient) -> SomeClient:
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()
        self._context.term()

    def request(self, endpoint: str, request: Message, encoding: str = MSGPACK) -> Message:
        """A program's request to its faculty, asked again with its id until the result is definite."""
        request = {"transaction_id": new_id(), **request}
        deadline_s = time.monotonic() + 2 * WITHIN_S
        while True:
            result = self.req(endpoint, encoding).ask(request)
            if (result["status"], result.get("code")) not in LATER:
                return result
            if time.monotonic() > deadline_s:
                pytest.fail(f"no definite result: {result}")


@contextmanager
def wire_clients(prepare: Prepare) -> Iterator[Clients]:
    """Clients that are closed at the end."""
    clients = Clients(prepare)
    try:
        yield clients
    finally:
        clients.close()
