"""A door that lets in whose keys are allowed, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from es.replication.instant import Instant
from nodes import sockets, wire
from nodes.security.authenticator import Authenticator
from nodes.security.curve import Curve
from nodes.security.door import Door
from nodes.security.principals import Principal
from nodes.shell import Loop
from nodes.sockets import Socket
from nodes.wire.encoding import Encoding
from nodes.wire.schema import Res


class GuardedDoor:
    """`own` is who has it, with the keys in a directory. It says `answers`, the last of them for ever, and counts
    how often it was `asked`."""

    def __init__(
        self, keys: Path, own: Principal, name: str, listen: Callable[..., Socket], answers: Sequence[Res]
    ) -> None:
        self.loop, self._context = Loop(), sockets.context()
        self._authenticator = Authenticator(Curve(keys, own, ()), self.loop, self._context)
        router = listen(self._context, "tcp://127.0.0.1:*", self._authenticator.security)
        self.endpoint = sockets.bound_endpoint(router)
        self._door = Door(name, router, self._authenticator, self.loop, self._context, self._on_asked)
        self._answers = [wire.encode(answer, Encoding.MSGPACK) for answer in answers]
        self.asked = 0
        self._thread = Thread(target=self.loop.run, args=(self,))
        self._thread.start()

    def _on_asked(self, now: Instant) -> None:
        for received in self._door.messages():
            answer = self._answers[min(self.asked, len(self._answers) - 1)]
            self.asked += 1  # before somebody can have the answer
            self._door.send(received.session, b"", answer)

    def deadline(self) -> int:
        return self._authenticator.deadline()

    def on_turn(self, now: Instant) -> None:
        self._authenticator.tick(now)

    def close(self) -> None:
        self.loop.stop()
        self._thread.join()
        self._door.close()
        self._authenticator.close()
        self.loop.close()
        self._context.term()
