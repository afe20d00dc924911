"""A faculty process on the virtual network: the production core, its shell's duties and both patterns' uplinks.

What it has on its disk outlives it; what is in flight does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from es.replication.instant import Instant
from es.testing.checker import Violation
from es.testing.cluster import Cluster
from nodes import wire
from nodes.faculty.core import FacultyCore, FacultySettings, accept_whole
from nodes.faculty.effects import (
    Abandon,
    AnswerProgram,
    Effect,
    OutageTimed,
    SavePrograms,
    ServerChanged,
    Submit,
    Timed,
)
from nodes.faculty.program_backlogs import Route
from nodes.faculty.program_registry import ProgramRegistry
from nodes.wire.beats import Beat, decode_node_beat
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from ops.sim.uplinks import DealerUplink, ReqUplink, VirtualUplink
from ops.sim.virtual_servers import ENDPOINTS
from projections.rooms.commands import UNAVAILABLE, Answer, Proposal, Reserve

ASYNC, LBB = "async", "lbb"
RETRY_US = 200_000
ANSWER_US = 1_500_000
SILENCE_US = 400_000
IN_FLIGHT_MAX = 3
ROOMS_ACCEPTED_MAX = 4


class World(Protocol):
    """What surrounds a faculty."""

    cluster: Cluster

    def to_server(self, faculty: VirtualFaculty, server: str, route: bytes, payload: bytes) -> None:
        """A payload leaves for a server, over the connection called `route`."""
        ...

    def to_program(self, faculty: VirtualFaculty, peer: bytes, payload: bytes) -> None:
        """A payload leaves for a program."""
        ...

    def submitted(self, message: Reserve | Answer) -> None:
        """The core sends this."""
        ...

    def delivered(self, faculty_id: int, message: Proposal | Res) -> None:
        """The core receives this."""
        ...


def accepts(reserve: Reserve, proposal: Proposal) -> bool:
    """The policy of every faculty here: what covers the request, if that is not too much. It must not depend on
    anything that a restart changes."""
    return accept_whole(reserve, proposal) and reserve.classrooms + reserve.labs <= ROOMS_ACCEPTED_MAX


class VirtualFaculty:
    """One faculty, over all lives of its process."""

    def __init__(self, world: World, faculty_id: int, pattern: str, term: str, configured: dict[int, str]) -> None:
        self.world = world
        self.cluster = world.cluster
        self.id = faculty_id
        self.name = f"faculty {faculty_id}"
        self.pattern = pattern
        self.lives = 0
        self.core: FacultyCore | None = None
        self._settings = FacultySettings(
            faculty_id, self.name, term, ENDPOINTS, RETRY_US, ANSWER_US, SILENCE_US, IN_FLIGHT_MAX
        )  # fmt: skip
        self._configured = configured
        self._saved = ProgramRegistry().to_json()
        self._uplink: VirtualUplink
        self._heard: dict[str, tuple[Beat, int]] = {}
        self._frozen_until_us = 0
        self._inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._effects_left: int | None = None
        self._unsure: set[str] = set()
        self._tick_at_us: int | None = None
        self.start()

    # -- process

    def start(self) -> None:
        """A new life, from what is on disk."""
        if self.core is not None:
            return
        programs = ProgramRegistry.from_json(self._saved)
        programs.adopt(self._configured)
        self.lives += 1
        self.core = FacultyCore(self._settings, programs, self._draw_id, accepts)
        name = f"{self.name}, life {self.lives}"
        self._uplink = (DealerUplink if self.pattern == ASYNC else ReqUplink)(name, self._send)
        self._heard = {}
        self._frozen_until_us = 0
        self._inbox = []
        self._effects_left = None
        self._unsure = set()
        self._tick_at_us = None
        self.cluster.note(f"{self.name} started")

    def crash(self, effects_left: int, within_us: int) -> None:
        """kill -9, between two effects of its core: after so many more of them, at the latest after `within_us`."""
        self._effects_left = effects_left
        self.cluster.after(within_us, self._end, self.lives)

    def freeze(self, duration_us: int) -> None:
        """SIGSTOP, and SIGCONT later."""
        self._frozen_until_us = self.cluster.now_us + duration_us
        self.cluster.after(duration_us, self._thaw, self.lives)
        self.cluster.note(f"{self.name} frozen for {duration_us // 1_000} ms")

    def _end(self, life: int) -> None:
        if self.lives == life and self.core is not None:
            self.core = None
            self.cluster.note(f"{self.name} crashed")

    def _thaw(self, life: int) -> None:
        if self.lives != life or self._frozen_until_us > self.cluster.now_us:
            return
        inbox, self._inbox = self._inbox, []
        for call, arguments in inbox:
            self._run(call, *arguments)
        self._run(self._on_time)

    def _draw_id(self) -> str:
        return f"{self.name}/{self.cluster.random.getrandbits(64):x}"

    # -- what arrives

    def on_request(self, peer: bytes, payload: bytes) -> None:
        """A program's payload."""
        self._run(self._on_request, peer, payload)

    def on_beat(self, frame: bytes) -> None:
        """A server's heartbeat."""
        self._run(self._on_beat, frame)

    def on_payload(self, server: str, route: bytes, payload: bytes) -> None:
        """A server's payload."""
        self._run(self._on_payload, server, route, payload)

    def _run(self, call: Callable[..., None], *arguments: Any) -> None:
        """One turn of the loop (nodes.faculty.shell)."""
        if self.core is None:
            return
        if self._frozen_until_us > self.cluster.now_us:
            self._inbox.append((call, arguments))
            return
        now, core = self.cluster.clock(self.name), self.core
        call(core, now, *arguments)
        self._carry_out(core.tick(now))
        if self.core is not core:
            return
        self._uplink.flush()
        due_us = core.deadline()
        if due_us is not None and (self._tick_at_us is None or due_us < self._tick_at_us):
            self._tick_at_us = due_us
            self.cluster.after(max(due_us - now.boot_us, 0), self._tick, self.lives, due_us)

    def _tick(self, life: int, due_us: int) -> None:
        if self.lives == life and self._tick_at_us == due_us:
            self._tick_at_us = None
            self._run(self._on_time)

    def _on_time(self, core: FacultyCore, now: Instant) -> None:
        self._carry_out(core.tick(now))
        self._check_follows(core)

    def _on_request(self, core: FacultyCore, now: Instant, peer: bytes, payload: bytes) -> None:
        request, encoding = wire.decode_program_request(payload)
        if not isinstance(request, ProgramRequest):
            raise Violation("wire", f"{self.name} takes a program's request for {request}")
        self._carry_out(core.on_request(Route(peer, encoding), request, now))

    def _on_beat(self, core: FacultyCore, now: Instant, frame: bytes) -> None:
        beat = decode_node_beat(frame)
        if beat is not None:  # None: the one for older subscribers
            self._heard[beat.node] = (beat, now.boot_us)
            self._carry_out([*core.on_beat(beat, now), *core.tick(now)])
            self._check_follows(core)

    def _on_payload(self, core: FacultyCore, now: Instant, server: str, route: bytes, payload: bytes) -> None:
        if not self._uplink.takes(route):
            return
        for message in wire.decode_answers(payload).messages:
            if not isinstance(message, Proposal | Res):
                raise Violation("wire", f"{self.name} takes what server {server} says for {message}")
            self.world.delivered(self.id, message)
            self._carry_out(core.on_server_message(server, message, now))
        self._uplink.close_unless(route, core.waits_for)

    def _check_follows(self, core: FacultyCore) -> None:
        """A6: it follows the highest epoch among the active servers whose beats it still hears."""
        since_us = self.cluster.clock(self.name).boot_us - SILENCE_US
        alive = {name: beat.epoch for name, (beat, at_us) in self._heard.items() if beat.active and at_us > since_us}
        if alive.get(core.follows or "") != max(alive.values(), default=None):
            raise Violation("A6", f"{self.name} follows {core.follows} while {alive} are alive")

    def _check_answer(self, res: Res) -> None:
        """What once ended UNKNOWN never ends UNAVAILABLE, until it has a result or the process ends."""
        if res.status == UNKNOWN:
            self._unsure.add(res.transaction_id)
        elif res.status != UNAVAILABLE:
            self._unsure.discard(res.transaction_id)
        elif res.transaction_id in self._unsure:
            raise Violation("I5", f"{self.name} says {res} of what ended UNKNOWN")

    # -- duties

    def _send(self, server: str, route: bytes, payload: bytes) -> None:
        self.world.to_server(self, server, route, payload)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if self._effects_left is not None:
                if self._effects_left == 0:
                    self._end(self.lives)  # what the core still asks for in this turn is never done
                    return
                self._effects_left -= 1
            match effect:
                case Submit(transaction_id, server, message):
                    self.world.submitted(message)
                    self._uplink.submit(transaction_id, server, message)
                case Timed() | OutageTimed():
                    pass
                case AnswerProgram(Route(peer, encoding), res):
                    self._check_answer(res)
                    self.world.to_program(self, peer, wire.encode(res, encoding))
                case Abandon(transaction_id):
                    self._uplink.abandon(transaction_id)
                case SavePrograms(content):
                    self._saved = content
                case ServerChanged(_, current, epoch):
                    self.cluster.note(f"{self.name} follows {current} of epoch {epoch}")
                    self.cluster.counts["faculties that changed servers"] += 1
