"""Virtual time, the clocks of the machines, and the network between them: what a simulated process lives in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

from es.replication.effects import WITNESS
from es.replication.instant import Instant
from es.testing.checker import Violation
from es.testing.clock import SimulatedClock
from es.testing.faults import CALM, FaultProfile

LINK_US = (100, 1_500)


class World:
    """Time is in microseconds since the start. Everything random comes from `seed`; `faults` says what the network
    loses, doubles and delays, and whether wall clocks disagree."""

    def __init__(self, seed: int, faults: FaultProfile) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.faults = faults
        self._are_clocks_skewed = faults is not CALM
        self.now_us = 0
        self._clocks: dict[str, SimulatedClock] = {}
        self.counts: Counter[str] = Counter()
        self.trace: list[str] | None = None
        self.cuts: Counter[tuple[str, str]] = Counter()
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    # -- time

    def after(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        self._order += 1
        heappush(self._events, (self.now_us + delay_us, self._order, call, arguments))

    def run_for(self, duration_us: int) -> None:
        """Let virtual time pass."""
        until_us = self.now_us + duration_us
        events = self._events
        while events and events[0][0] <= until_us:
            self.now_us, _, call, arguments = heappop(events)
            call(*arguments)
        self.now_us = until_us

    def run_until(self, fact: Callable[[], bool], within_us: int, what: str) -> None:
        """Let time pass until a fact holds; liveness is violated if it does not in time."""
        until_us = self.now_us + within_us
        while not fact():
            if self.now_us >= until_us:
                raise Violation("liveness", f"{what} did not happen within {within_us // 1000} ms")
            self.run_for(10_000)

    def clock(self, process: str) -> Instant:
        """What a process reads from the clocks of its machine: a node, the witness, or what a load runs."""
        clock = self._clocks.get(process) or self._clock_of(process)
        return clock.read(self.now_us)

    def read_us(self, process: str) -> int:
        """Real time at which a process read what `clock` gives it."""
        return self.now_us

    def _clock_of(self, process: str) -> SimulatedClock:
        clock = self._clocks.get(process)
        if clock is None:
            clock = self._clocks[process] = SimulatedClock(self.seed, process, skewed=self._are_clocks_skewed)
        return clock

    def jump_clock(self, by_us: int, name: str | None = None) -> None:
        """Move the wall clock of a node's machine, or of every machine."""
        clocks = self._clocks.values() if name is None else [self._clock_of(name)]
        for clock in clocks:
            clock.jump(by_us)
        whose = "wall clock" if name is None else f"{name}'s wall clock"
        self.note(f"{whose} moved by {by_us // 1000} ms")

    def note(self, what: str) -> None:
        """One line of the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now_us / 1000:10.3f} {what}")

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included, drawn from the seed."""
        return between(self.random, low, high)

    # -- network

    def send(self, sender: str, receiver: str, deliver: Callable[..., None], *arguments: Any) -> None:
        """Put a message on the virtual network: it may be lost, late, doubled or overtaken."""
        if self.cuts and (sender, receiver) in self.cuts:
            self.counts["cut off"] += 1
            return
        draw, faults = self.random.random, self.faults
        if draw() < faults.loss:
            self.counts["lost"] += 1
            return
        low_us, high_us = LINK_US
        delay_us = low_us + int(draw() * (high_us - low_us + 1))
        if draw() < faults.slow:
            delay_us += self.between(1, faults.slow_ms_max) * 1000
        self._order += 1
        heappush(self._events, (self.now_us + delay_us, self._order, deliver, (receiver, *arguments)))
        if draw() < faults.duplication:
            self.counts["duplicated"] += 1
            self.after(delay_us + self.between(0, 50_000), deliver, receiver, *arguments)

    def cut(self, links: Sequence[tuple[str, str]], duration_us: int) -> None:
        """Cut directed links for a while."""
        for link in links:
            self.cuts[link] += 1
        self.note("cut " + ", ".join(f"{sender} -> {receiver}" for sender, receiver in links).replace(WITNESS, "w"))
        self.after(duration_us, self.mend, links)

    def mend(self, links: Sequence[tuple[str, str]]) -> None:
        """End one cut of each link."""
        for link in links:
            self.cuts[link] -= 1
            if self.cuts[link] <= 0:
                del self.cuts[link]


def between(draw: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + int(draw.random() * (high - low + 1))
