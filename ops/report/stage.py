"""A cluster that runs, as those who load it see it: programs that ask, and what all of them were told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from nodes.clients.program_crowd import Wish, run_crowd
from nodes.config.cluster import FacultyConfig
from nodes.security import principals
from nodes.security.curve import security_of
from nodes.sockets import Context, Security, context
from nodes.wire.schema import ProgramRequest
from ops.cluster import RunningCluster
from ops.exits import UNREACHABLE, Stopped
from ops.observe import observe, unreadiness
from projections.timings import Told

HEALED_WITHIN_S: Final = 30.0
TERM_REQUESTS: Final = 40
"""Requests of 7 + 2 that surely fit one term of the default catalog."""


class Stage:
    """`told` is everything that any program was told, in the order of their ends."""

    def __init__(self, cluster: RunningCluster, sockets: Context) -> None:
        self.cluster = cluster
        self.config = cluster.config
        self.told: list[Told] = []
        self.sockets = sockets
        self._securities: dict[int, Security] = {}

    def ask(
        self, wishes: Iterable[Wish], in_flight_max: int, on_told: Callable[[Told], None] = lambda _: None
    ) -> list[Told]:
        """Ask for everything, so many at once; what was told."""
        told = run_crowd(self.config, wishes, in_flight_max, self.sockets, self._security_of, on_told)
        self.told += told
        return told

    def _security_of(self, faculty_id: int) -> Security:
        """That of the faculty's coordinators, whose key speaks for all its programs."""
        security = self._securities.get(faculty_id)
        if security is None:
            security = self._securities[faculty_id] = security_of(self.config, principals.program(faculty_id))
        return security

    def faculties(self, pattern: str) -> list[FacultyConfig]:
        """The faculties that speak so."""
        return [faculty for faculty in self.config.faculties if faculty.pattern == pattern]

    def many(self, count: int, classrooms: int, labs: int, term_prefix: str) -> list[Wish]:
        """So many requests, spread over all programs of all faculties, in as many terms as they need."""
        programs = [(faculty, name) for faculty in self.config.faculties for name in faculty.programs.values()]
        return [
            Wish(faculty, ProgramRequest(name, classrooms, labs, f"{term_prefix}-{number // TERM_REQUESTS}"))
            for number in range(count)
            for faculty, name in [programs[number % len(programs)]]
        ]

    def primary(self) -> dict[str, Any]:
        """The status of the active server. Raises Stopped if there is none."""
        active = [server for server in observe(self.config)["servers"] if server["active"]]
        if not active:
            raise Stopped("no server is active", UNREACHABLE)
        return dict(active[0])

    def kill(self, server: dict[str, Any], number: signal.Signals = signal.SIGKILL) -> None:
        """A signal to a server's process."""
        os.kill(server["pid"], number)

    def heal(self, killed: str) -> None:
        """Bring a killed server back and wait until all is in sync. Raises Stopped."""
        self.cluster.supervisor.revive(f"server-{killed}")
        self.cluster.supervisor.await_ready(lambda: unreadiness(observe(self.config)), HEALED_WITHIN_S)


@contextmanager
def opened_stage(cluster: RunningCluster) -> Iterator[Stage]:
    """The stage before a cluster that is ready."""
    with context() as sockets:
        yield Stage(cluster, sockets)
