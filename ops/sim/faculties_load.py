"""Programs and faculties of both patterns under the simulator: the production cores of both, in front of them the
production core of a server's door, between them the very bytes of the wire."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from es.testing.cluster import Cluster
from es.testing.faults import CALM
from nodes.clients.program import Asking, NoAnswer, ProgramReply, TimeLimit
from nodes.wire.encoding import Encoding
from nodes.wire.schema import UNKNOWN, ProgramRequest, Res
from ops.sim.connections import Connections
from ops.sim.faculty_journal import FacultyJournal
from ops.sim.small_rooms import nothing_held
from ops.sim.virtual_faculty import ASYNC, LBB, VirtualFaculty
from ops.sim.virtual_servers import VirtualServers
from projections.rooms.commands import INVALID, UNAVAILABLE, Answer, Proposal, Reserve

PATTERNS = (ASYNC, LBB, ASYNC)
PROGRAMS = 4
OWN_TERM = "term 0"
TERM_TRANSACTIONS = 8
NAME_TRANSACTIONS = 30
LIMIT_US = (300_000, 1_800_000)
THINK_US = (0, 120_000)
RIVAL_US = (0, 150_000)
RIVALS = 0.15
"""The share of askings that are contradicted while they wait."""

PAUSE_US = (50_000, 500_000)
FAULT_US = (100_000, 900_000)
CRASH_WITHIN_US = 50_000
EFFECTS_MAX = 6
DOWN_US = (5_000, 600_000)
FROZEN_US = (50_000, 1_500_000)
CUT_US = (50_000, 1_200_000)


@dataclass(slots=True)
class Program:
    """Who asks one faculty, under a new name now and then. `asking` is what waits for an answer, on the connection
    called `peer`. `rival` asks something else under an id that this one is asking, and asks it once."""

    name: str
    faculty: VirtualFaculty
    encoding: Encoding
    limit: TimeLimit
    request: ProgramRequest
    rival: Program | None = None
    asking: Asking | None = None
    peer: bytes = b""
    connections: int = 0
    is_done: bool = True


class FacultiesLoad:
    """`PROGRAMS` programs at each of as many faculties as there are `PATTERNS`, and what goes wrong with those."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"faculties {seed}")
        self.journal = FacultyJournal(OWN_TERM)
        self.commands = 0
        self.transactions = 0
        self.stopped = False
        self.programs: list[Program] = []
        self.waiting: dict[bytes, Program] = {}
        self.faculties: dict[str, VirtualFaculty] = {}
        self.cluster: Cluster
        self.network: Connections
        self.servers: VirtualServers

    # -- what the cluster calls

    def start(self, cluster: Cluster) -> None:
        """Every process begins, every program at a moment of its own."""
        self.cluster = cluster
        self.journal.checker = cluster.checker
        self.network = Connections(cluster)
        self.servers = VirtualServers(cluster, self._to_peer, self._publish, self.journal.said)
        for faculty_id, pattern in enumerate(PATTERNS, start=1):
            names = [f"program {faculty_id}{letter}" for letter in "abcdefgh"[:PROGRAMS]]
            faculty = VirtualFaculty(self, faculty_id, pattern, OWN_TERM, {1: f"{names[0]}0"})
            self.faculties[faculty.name] = faculty
            for name in names:
                encoding = self.random.choice(list(Encoding))
                request = ProgramRequest(name, 1, 0)
                rival = Program(f"{name}, rival", faculty, encoding, TimeLimit(*LIMIT_US), request)
                program = Program(name, faculty, encoding, TimeLimit(*LIMIT_US), request, rival)
                self.programs.append(program)
                cluster.after(self.random.randint(*THINK_US), self._begin, program)
        self._plan_fault()

    def stop(self) -> None:
        """Every program learns the result of what it has asked, and begins nothing new."""
        self.stopped = True

    def idle(self) -> bool:
        """True when every program knows its result and nothing is held."""
        rivals = [program.rival for program in self.programs]
        done = all(one is None or one.is_done for one in (*self.programs, *rivals))
        return done and nothing_held(self.cluster)

    def receive(self, waiter: Any, answer: Any, node: str, seq: int | None) -> None:
        """Never called: answers leave by the servers' doors."""
        raise AssertionError(f"{node} answers {waiter} past its door")

    def check(self, cluster: Cluster) -> None:
        """I5, I9: the log alone, and against it everything the clients were told."""
        self.journal.check_log(cluster.nodes["a"].log)

    # -- programs

    def _begin(self, program: Program) -> None:
        """Something new."""
        if self.stopped:
            return
        draw = self.random
        transaction_id = f"{program.name}, {self.transactions}"
        if draw.random() < 0.5:
            transaction_id = str(UUID(int=draw.getrandbits(128)))
        self.transactions += 1
        term = self.transactions // TERM_TRANSACTIONS - (draw.random() < 0.2)
        program.request = ProgramRequest(
            f"{program.name}{self.transactions // NAME_TRANSACTIONS}", draw.randint(1, 3), draw.randint(0, 2),
            f"term {term}" if term > 0 else None, transaction_id, draw.random() < 0.3,
        )  # fmt: skip
        self._ask(program)
        if draw.random() < RIVALS:
            self.cluster.after(draw.randint(*RIVAL_US), self._contradict_meanwhile, program, program.request)

    def _ask(self, program: Program) -> None:
        program.is_done = False
        request = program.request
        assert request.transaction_id is not None
        self.journal.requested((program.faculty.id, request.transaction_id), request)
        program.asking = Asking(request, program.limit, self.cluster.now_us, program.encoding)
        self._attempt(program, program.asking)

    def _attempt(self, program: Program, asking: Asking) -> None:
        """The next connection; the one before is closed."""
        if program.asking is not asking:
            return
        self.waiting.pop(program.peer, None)
        until_us = asking.next_attempt()
        now_us = self.cluster.now_us
        if until_us is None:
            self._on_no_answer(program, asking.give_up(now_us))
            return
        program.connections += 1
        program.peer = f"{program.name}, connection {program.connections}".encode()
        self.waiting[program.peer] = program
        faculty = program.faculty
        self.network.send(program.name, faculty.name, faculty.on_request, program.peer, asking.payload)
        self.cluster.after(max(until_us - now_us, 0), self._time_out, program, asking, program.connections)

    def _time_out(self, program: Program, asking: Asking, connection: int) -> None:
        if program.asking is asking and program.connections == connection:
            self._attempt(program, asking)

    def _on_answer(self, peer: bytes, payload: bytes) -> None:
        program = self.waiting.pop(peer, None)
        if program is None or program.asking is None:
            return
        reply = program.asking.on_payload(payload, self.cluster.now_us)
        if reply is None:
            self._attempt(program, program.asking)
        else:
            self._on_reply(program, reply)

    def _on_no_answer(self, program: Program, none: NoAnswer) -> None:
        program.asking = None
        self.cluster.counts["programs without an answer"] += 1
        self.journal.left_in_doubt((program.faculty.id, none.transaction_id), program.request)
        if program.rival is None:
            program.is_done = True
        else:
            self.cluster.after(self.random.randint(*PAUSE_US), self._ask, program)

    def _on_reply(self, program: Program, reply: ProgramReply) -> None:
        program.asking = None
        res, draw = reply.res, self.random
        self.cluster.counts[f"programs told {res.status}"] += 1
        self.journal.told(program.faculty.id, program.request, res)
        if program.rival is None:
            program.is_done = True
            return
        is_in_doubt = ((program.faculty.id, res.transaction_id), program.request) in self.journal.in_doubt
        chance = draw.random()
        if res.status == UNKNOWN or (res.status == UNAVAILABLE and (is_in_doubt or chance < 0.5)):
            self.cluster.after(draw.randint(*PAUSE_US), self._ask, program)
            return
        program.is_done = True
        next_step: Callable[[Program], None] = self._begin
        if res.status not in (UNAVAILABLE, INVALID) and chance < 0.3:
            next_step = self._repeat if chance < 0.2 else self._contradict
        self.cluster.after(draw.randint(*(PAUSE_US if res.status == UNAVAILABLE else THINK_US)), next_step, program)

    def _repeat(self, program: Program) -> None:
        """The same again, with the same id: the same result."""
        if not self.stopped:
            self.commands += 1
            self._ask(program)

    def _contradict(self, program: Program) -> None:
        """Something else with the same id: a conflict."""
        if not self.stopped:
            self.commands += 1
            program.request = program.request._replace(classrooms=program.request.classrooms + 1)
            self._ask(program)

    def _contradict_meanwhile(self, program: Program, request: ProgramRequest) -> None:
        """Something else with the same id, before the first has ended or soon after."""
        rival = program.rival
        if rival is not None and rival.is_done and not self.stopped:
            self.commands += 1
            rival.request = request._replace(labs=request.labs + 1)
            self._ask(rival)

    # -- the world of a faculty

    def to_server(self, faculty: VirtualFaculty, server: str, route: bytes, payload: bytes) -> None:
        """See World."""
        arguments = server, route, faculty.pattern, payload
        self.network.send_in_order(faculty.name, server, route, self.servers.receive, *arguments)

    def to_program(self, faculty: VirtualFaculty, peer: bytes, payload: bytes) -> None:
        """See World."""
        self.network.send(faculty.name, "programs", self._on_answer, peer, payload)

    def submitted(self, message: Reserve | Answer) -> None:
        """See World."""
        self.commands += self.journal.submitted(message)

    def delivered(self, faculty_id: int, message: Proposal | Res) -> None:
        """See World."""
        self.journal.delivered(faculty_id, message)

    def _to_peer(self, server: str, route: bytes, payload: bytes) -> None:
        faculty = self.faculties[route.decode().split(",")[0]]
        self.network.send_in_order(server, faculty.name, route, faculty.on_payload, server, route, payload)

    def _publish(self, server: str, frame: bytes) -> None:
        for faculty in self.faculties.values():
            self.network.send_in_order(server, faculty.name, b"beats", faculty.on_beat, frame)

    # -- what goes wrong with faculties

    def _plan_fault(self) -> None:
        self.cluster.after(self.random.randint(*FAULT_US), self._strike)

    def _strike(self) -> None:
        if self.cluster.faults is CALM:
            return
        self._plan_fault()
        draw = self.random
        faculty = draw.choice(list(self.faculties.values()))
        server = draw.choice("ab")
        to_server, to_faculty = (faculty.name, server), (server, faculty.name)
        kind = draw.choice(("crash", "freeze", "cut", "deaf", "mute", "isolated"))
        self.cluster.counts[f"fault: faculty {kind}"] += 1
        match kind:
            case "crash":
                faculty.crash(draw.randint(0, EFFECTS_MAX), CRASH_WITHIN_US)
                self.cluster.after(CRASH_WITHIN_US + draw.randint(*DOWN_US), faculty.start)
            case "freeze":
                faculty.freeze(draw.randint(*FROZEN_US))
            case "cut":
                self._cut(to_server, to_faculty)
            case "deaf":
                self._cut(to_faculty)
            case "mute":
                self._cut(to_server)
            case "isolated":
                self._cut(*((faculty.name, one) for one in "ab"), *((one, faculty.name) for one in "ab"))

    def _cut(self, *links: tuple[str, str]) -> None:
        self.cluster.cut(links, self.random.randint(*CUT_US))
