"""What a server's door counts of the allocation, as Prometheus reads it (`aulario_…`), and the server's status.

The hot path adds to plain integers; they become metrics when somebody scrapes, in the exporter's thread,
which therefore only reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import nlargest
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from es.replication.replica import Replica
from nodes.histogram import LEG_BOUNDS_US, Histogram
from nodes.shell import read_clock
from nodes.wire.schema import NOT_ACTIVE, SERVER_STATUSES
from projections.rooms import machine
from projections.rooms.commands import (
    ACCEPTED,
    BUSY,
    CANCELED,
    INVALID,
    LABS_EXHAUSTED,
    LIMIT_REACHED,
    NOT_ENOUGH_ROOMS,
    UNAVAILABLE,
)
from projections.rooms.machine import Rooms
from projections.rooms.term import Occupancy, Term
from projections.timings import Measured

OVERLOAD: Final = "OVERLOAD"
"""Code of the alert that this server raises when it refuses too much."""

LEGS: Final = ("sol_prop", "ack_res", "sol_res")
"""By what came and what it was answered with; `sol_res` is a SOL that ends at once: denied, refused or repeated."""

RELEASE: Final = "release"
CLOSE: Final = "close"
VERBS: Final = (RELEASE, CLOSE)
"""What is asked for outside a transaction."""

PATTERNS: Final = ("async", "lbb")
ALERTS: Final = (NOT_ENOUGH_ROOMS, LABS_EXHAUSTED, OVERLOAD)
REFUSAL_CODES: Final = (BUSY, LIMIT_REACHED, NOT_ACTIVE)
REGISTRAR_STATUSES: Final[Mapping[str, tuple[str, ...]]] = {
    RELEASE: (CANCELED, INVALID, UNAVAILABLE),
    CLOSE: (ACCEPTED, INVALID, UNAVAILABLE),
}
"""CANCELED: the rooms were given back. ACCEPTED: the term is closed."""

OTHER: Final = "other"
"""Label of every faculty that the configuration does not name."""

TERMS_SHOWN_MAX: Final = 8
"""Terms whose rooms are shown: those of the configuration before others, then those with the most rooms taken, then the
newest. A label must not grow with the years, nor with what somebody opens for nothing."""

READINGS_MAX: Final = 8
"""How often a term's rooms are read until two readings agree; the last one is taken as it is."""


class ServerMetrics(Collector):
    """The metrics of one server's door. `faculties` maps the ids of the configuration to their patterns; a result
    for anybody else counts as `other`, so that a stranger cannot make labels. `terms` are the configuration's."""

    def __init__(
        self, replica: Replica, faculties: Mapping[int, str] | None = None, terms: Iterable[str] = ()
    ) -> None:
        self._replica = replica
        self._terms = frozenset(terms)
        self._faculties = faculties or {}
        self._legs = {(leg, pattern): Histogram(LEG_BOUNDS_US) for leg in LEGS for pattern in PATTERNS}
        speakers: list[tuple[int | None, str]] = [(None, pattern) for pattern in PATTERNS]
        self._results: dict[tuple[str, str, int | None], int] = {
            (status, pattern, faculty_id): 0
            for faculty_id, pattern in [*self._faculties.items(), *speakers]
            for status in SERVER_STATUSES
        }
        self._registrars: Counter[tuple[str, str]] = Counter(
            {(verb, status): 0 for verb in VERBS for status in REGISTRAR_STATUSES[verb]}
        )
        self.refusals: Counter[str] = Counter(dict.fromkeys(REFUSAL_CODES, 0))
        self.alerts: Counter[str] = Counter(dict.fromkeys(ALERTS, 0))
        self.holds_expired = 0
        self.duplicates = 0

    # -- what happened

    def on_measured(self, measured: Iterable[Measured]) -> None:
        """PROPs and RESs left for clients."""
        legs, results = self._legs, self._results
        for leg, pattern, status, faculty_id, _, _, _, us in measured:
            legs[leg, pattern].observe(us)
            key = status, pattern, faculty_id
            if key in results:
                results[key] += 1
            elif status:
                self._count(*key)

    def on_late(self, leg: str, pattern: str, us: int) -> None:
        """The RES of an expiry left for a client who asked after it; the expiry itself was counted by then."""
        self._legs[leg, pattern].observe(us)

    def on_expiry(self, pattern: str | None, faculty_id: int) -> None:
        """A hold has expired: a result, whether anybody waits for it or not. `pattern` is that of who waits, if one."""
        self._count(CANCELED, pattern or self._faculties.get(faculty_id, "lbb"), faculty_id)

    def on_registrar(self, verb: str, status: str) -> None:
        """A release or the closing of a term was answered."""
        self._registrars[verb, status] += 1

    def on_refusal(
        self, status: str, code: str | None, pattern: str, faculty_id: int | None, leg: str | None = None
    ) -> None:
        """A RES left for a client at once: nothing was done. `leg` may be one of VERBS."""
        if code is not None and code in self.refusals:
            self.refusals[code] += 1
        if leg in VERBS:
            self.on_registrar(leg, status)
        else:
            self._count(status, pattern, faculty_id)

    def _count(self, status: str, pattern: str, faculty_id: int | None) -> None:
        """For nobody we know, or somebody who speaks the other pattern than configured, there may be no label yet."""
        key = status, pattern, faculty_id
        if key not in self._results:
            key = status, pattern, faculty_id if faculty_id in self._faculties else None
        self._results[key] = self._results.get(key, 0) + 1

    def copies(self) -> int:
        """Nodes that hold what is committed, at this moment."""
        leading = self._replica.leading
        return 1 if leading is None else leading.copies_of(self._replica.node.commit_seq)

    # -- what is

    def status(self) -> dict[str, Any]:
        """The replica's part of /status. Read from the exporter's thread."""
        replica = self._replica
        node = replica.node
        register = node.register
        return {
            "role": "primary" if replica.leading is not None else "backup",
            "state": replica.role.value,
            "active": replica.active,
            "epoch": node.epoch,
            "seq": node.chain.head.seq,
            "commit": node.commit_seq,
            "in_sync": [member.node for member in register.in_sync] if register is not None else [],
            "primary": register.primary.node if register is not None else None,
            "lag": replica.lag_events,
            "waits_for": replica.waits_for(read_clock()),
        }

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        seconds = HistogramMetricFamily(
            "aulario_request_seconds", "Time of each leg of a transaction.", labels=["leg", "pattern"]
        )
        for (leg, pattern), histogram in self._legs.items():
            seconds.add_metric([leg, pattern], histogram.buckets(), histogram.sum)
        yield seconds
        results = CounterMetricFamily("aulario_results", "Results given.", labels=["status", "pattern", "faculty"])
        for (status, pattern, faculty_id), count in list(self._results.items()):
            results.add_metric([status, pattern, OTHER if faculty_id is None else str(faculty_id)], count)
        yield results
        registrar = CounterMetricFamily(
            "aulario_registrar", "Releases and closings answered.", labels=["verb", "status"]
        )
        for (verb, status), count in list(self._registrars.items()):
            registrar.add_metric([verb, status], count)
        yield registrar
        yield _by_code("aulario_refusals", "Requests of which nothing was done.", self.refusals)
        yield _by_code("aulario_alerts", "Alerts that entered the log (A13).", self.alerts)
        yield CounterMetricFamily("aulario_holds_expired", "Holds that expired (A9).", value=self.holds_expired)
        yield CounterMetricFamily("aulario_duplicates", "Requests answered again (A10).", value=self.duplicates)
        leading = self._replica.leading
        waiting = 0 if leading is None else leading.waiting
        yield GaugeMetricFamily("aulario_inflight", "Requests without an answer yet.", value=waiting)
        application = self._replica.node.fold.machines[machine.NAME]
        assert isinstance(application, Rooms)
        terms = list(application.inventory.terms.values())
        yield self._rooms(terms)
        yield _bounds_used(application, terms)

    def _rooms(self, terms: list[Term]) -> GaugeMetricFamily:
        """Rooms by state. The mobile labs are classrooms, and counted as held or confirmed, too (A14)."""
        rooms = GaugeMetricFamily(
            "aulario_rooms", "Rooms of the open terms that matter by state.", labels=["term", "kind", "state"]
        )
        for term in nlargest(TERMS_SHOWN_MAX, terms, key=self._weight):
            classrooms, labs = _occupancy(term)
            for kind, occupancy in (("classroom", classrooms), ("lab", labs)):
                for state, count in occupancy._asdict().items():
                    rooms.add_metric([term.name, kind, state], count)
        return rooms


    def _weight(self, term: Term) -> tuple[bool, int, int]:
        return term.name in self._terms, (term.held | term.confirmed).bit_count(), term.number


def _bounds_used(application: Rooms, terms: list[Term]) -> GaugeMetricFamily:
    """How much of each bound is used, from 0 to 1: a program alone gets to a third, a faculty alone to half."""
    family = GaugeMetricFamily("aulario_bound_used_ratio", "Used part of each bound of the state.", labels=["bound"])
    state, bounds = application.inventory, application.settings.bounds
    for bound, used, most in (
        ("open_terms", len(terms), bounds.open_terms_max),
        ("terms_ever", state.terms_ever, bounds.terms_ever_max),
        ("transactions", len(state.sessions) + len(state.holds), bounds.transactions_max),
        (
            "transactions_per_term",
            max((term.transactions for term in terms), default=0),
            bounds.transactions_per_term_max,
        ),
        ("holds", len(state.holds), bounds.holds_max),
        ("faculties", len(state.faculties), bounds.faculties_max),
        ("programs", len(state.programs), bounds.programs_max),
    ):
        family.add_metric([bound], used / most)
    return family


def _by_code(name: str, help_: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_, labels=["code"])
    for code, count in list(counts.items()):
        family.add_metric([code], count)
    return family


def _occupancy(term: Term) -> tuple[Occupancy, Occupancy]:
    """Both kinds of rooms. The loop goes on while they are read: an event that came between shows in the next one."""
    read = term.classrooms(), term.labs()
    for _ in range(READINGS_MAX):
        before, read = read, (term.classrooms(), term.labs())
        if read == before:
            break
    return read
