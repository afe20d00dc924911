"""Faults that strike a cluster one after another, drawn from a profile by a seed, and each by its number."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection

from es.replication.effects import WITNESS
from es.replication.transitions import Role
from es.testing.cluster import PEER
from es.testing.faults import FaultProfile
from es.testing.faulty_cluster import SOURCES, FaultyCluster

PROMOTING = (Role.PROMISING, Role.CLAIMING, Role.OPENING)
LOOK_EVERY_US = 700
"""Often enough to see a role that lasts one fsync."""

SUPERVISED_US = 300_000
"""A process that a failing disk has ended is started again after so long, as a supervisor does."""

IN_FLIGHT_US = 700_000
"""No message of a node is under way any more so long after it went down."""

LIE_MS_MAX = 400
"""How long a disk lies before its node goes down: a role of some length, in which it has acknowledged something."""

FOUND_US = 1_500_000
"""Within so long a node whose disk has forgotten is found out, or no longer counted in: nothing else strikes."""

CALMING_US = 4_000_000
"""Every such stretch of a schedule has rarer faults than the one before."""

FOREVER_US = 1 << 50
"""Until something ends it, at the latest healing."""

READ_ONLY_US = 30_000
"""At least so long before a primary loses its backup nobody writes: a write on its way would hold back every read."""

HEIR_DEAF_US = 130_000
"""How long an heir does not learn that it leads, while the beacons of its primary reach it: two of them, and more."""

NEEDED_AFTER_US = 1_500_000
"""So often it is looked at whether a cluster can do without the node that stays down."""

AFTERMATH_US = 1_000_000
"""A fault that strikes so soon after another has ended still makes a pair with it."""


class FaultInjector:
    """Draws faults from a profile, ever rarer once `CALMING_US` is over. Keeps to what the design promises to
    survive: never does the only disk that holds everything go. One is wiped while the other node alone is in sync,
    damaged while the other is in sync too, and lies only where the primary lives to find out.

    Strikes are numbered from 1. Each has a generator of its own, so that one that is left out (`without`) changes
    neither kind nor moment of any other. `struck` gets the numbers of those that had something to strike.
    """

    def __init__(
        self, cluster: FaultyCluster, profile: FaultProfile, seed: int, without: Collection[int], struck: list[int]
    ) -> None:
        self.cluster = cluster
        self.profile = profile
        self.without = without
        self.struck = struck
        self.left_out = 0
        self.stopped = False
        self.faults: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self._random = random.Random(f"faults {seed}")
        self._draw = self._random
        self._number = 0
        self._quiet_until_us = 0
        self._recent: list[tuple[str, int]] = []
        self._kinds = [kind for kind, weight in profile.weights for _ in range(weight)]
        self._strikes: dict[str, Callable[[], int | None]] = {
            "crash": self._crash,
            "power cut": self._power_cut,
            "crash in takeover": self._crash_in_takeover,
            "wipe": self._wipe,
            "pause": self._pause,
            "cut": self._cut,
            "one-way cut": self._one_way_cut,
            "isolate": self._isolate,
            "witness crash": self._witness_crash,
            "clock jump": self._clock_jump,
            "write error": self._write_error,
            "damage": self._damage,
            "lying disk": self._lying_disk,
            "pause in a turn": self._pause_in_a_turn,
            "lost lease": self._lost_lease,
            "one stays down": self._one_stays_down,
            "witness pause": self._witness_pause,
        }
        self._plan()

    @property
    def due(self) -> int:
        """How many faults struck, or would have, had they not been left out."""
        return len(self.struck) + self.left_out

    def _plan(self) -> None:
        mean_ms = self.profile.fault_every_ms * (1 + self.cluster.now_us // CALMING_US)
        self.cluster.after(self._random.randint(mean_ms // 4, 2 * mean_ms) * 1000, self._strike)

    def _strike(self) -> None:
        if self.stopped:
            return
        self._plan()
        kind = self._random.choice(self._kinds)
        self._draw = random.Random(self._random.getrandbits(64))
        self._number += 1
        if self._number in self.without:
            self.left_out += 1
            return
        if self.cluster.now_us < self._quiet_until_us:
            return
        effect_us = self._strikes[kind]()
        if effect_us is not None:
            self.cluster.note(f"that was fault {self._number}: {kind}")
            self.struck.append(self._number)
            self._count(kind, effect_us)

    def _count(self, kind: str, effect_us: int) -> None:
        now_us = self.cluster.now_us
        self.faults[kind] += 1
        self._recent = [(one, until_us) for one, until_us in self._recent if until_us >= now_us]
        self.pairs.update((one, kind) for one, _ in self._recent)
        self._recent.append((kind, now_us + effect_us + AFTERMATH_US))

    def _us(self, most_ms: int) -> int:
        return self._draw.randint(10, most_ms) * 1000

    def _node(self) -> str:
        """A node, the active one more often than not."""
        active = self.cluster.active()
        return active[0] if active and self._draw.random() < 0.6 else self._draw.choice(sorted(self.cluster.nodes))

    # -- kinds of faults: each strikes and says how long it is in effect, in µs; None if there was nothing to strike

    def _crash(self) -> int | None:
        name = self._node()
        return self._down(name, self._down_us()) if self.cluster.nodes[name].replica is not None else None

    def _down(self, name: str, down_us: int) -> int:
        self.cluster.crash(name)
        self.cluster.after(down_us, self.cluster.restart, name)
        return down_us

    def _down_us(self) -> int:
        return self._us(self.profile.down_ms_max)

    def _crash_in_takeover(self) -> int | None:
        """The primary is down for long; its heir crashes in the middle of its promotion, if it comes to that."""
        cluster, active = self.cluster, self.cluster.active()
        if not active:
            return None
        down_us = self._down(active[0], 3 * cluster.timing.grace_us + self._down_us())
        (heir,) = cluster.nodes.keys() - {active[0]}
        self._crash_promoting(heir, self._down_us(), cluster.now_us + down_us)
        return down_us

    def _crash_promoting(self, heir: str, down_us: int, until_us: int) -> None:
        replica = self.cluster.nodes[heir].replica
        if self.stopped or replica is None or self.cluster.now_us >= until_us:
            return
        if replica.role in PROMOTING:
            self._down(heir, down_us)
        else:
            self.cluster.after(LOOK_EVERY_US, self._crash_promoting, heir, down_us, until_us)

    def _power_cut(self) -> int | None:
        """Both servers lose power in the same instant and come back in any order."""
        running = [name for name, node in self.cluster.nodes.items() if node.replica is not None]
        return max(self._down(name, self._down_us()) for name in running) if running else None

    def _wipe(self) -> int | None:
        cluster = self.cluster
        outside = [name for name, node in cluster.nodes.items() if node.member not in cluster.register.in_sync]
        if not outside or cluster.nodes[outside[0]].replica is None:
            return None
        down_us = self._down(outside[0], self._down_us())
        cluster.wipe(outside[0])
        return down_us

    def _pause(self) -> int | None:
        duration_us = self._us(self.profile.pause_ms_max)
        self.cluster.pause(self._node(), duration_us)
        return duration_us

    def _pause_in_a_turn(self) -> int | None:
        """A process is frozen between reading its clocks and draining what then came meanwhile."""
        duration_us = self._us(self.profile.pause_ms_max)
        ready = self._draw.sample(SOURCES, self._draw.randint(1, len(SOURCES)))
        self.cluster.freeze(self._node(), duration_us, ready)
        return duration_us

    def _witness_pause(self) -> int | None:
        """It keeps its memory, and answers late."""
        duration_us = self._us(self.profile.pause_ms_max)
        self.cluster.pause_witness(duration_us)
        return duration_us

    def _cut(self) -> int | None:
        one, two = self._draw.sample(["a", "b", WITNESS], 2)
        return self._cut_links([(one, two), (two, one)])

    def _one_way_cut(self) -> int | None:
        one, two = self._draw.sample(["a", "b", WITNESS], 2)
        return self._cut_links([(one, two)])

    def _isolate(self) -> int | None:
        name = self._node()
        others = [other for other in ("a", "b", WITNESS) if other != name]
        return self._cut_links([link for other in others for link in ((name, other), (other, name))])

    def _cut_links(self, links: list[tuple[str, str]]) -> int:
        duration_us = self._us(self.profile.cut_ms_max)
        self.cluster.cut(links, duration_us)
        return duration_us

    def _witness_crash(self) -> int | None:
        down_us = self._down_us()
        crash = self._draw.choice((self.cluster.crash_witness, self.cluster.crash_witness_saving))
        crash(down_us)
        return down_us

    def _clock_jump(self) -> int | None:
        """Of one machine, or of all."""
        by_us = self._draw.choice((-1, 1)) * self._draw.randint(2_000, 3_600_000) * 1000
        self.cluster.jump_clock(by_us, self._draw.choice((None, "a", "b", WITNESS)))
        return 0

    # -- leases

    def _lost_lease(self) -> int | None:
        """The primary loses the witness, then its backup, and is reached by readers only: what it may still say hangs
        on its lease (R7). Or else its last beacons are lost until the backup claims the lead, and reach it then."""
        cluster, active = self.cluster, self.cluster.active()
        if len(active) != 1 or not cluster.in_sync():
            return None
        name, heir = active[0], PEER[active[0]]
        alone_us = cluster.timing.grace_us + self._us(self.profile.cut_ms_max)
        if self._draw.random() < 0.5:
            before_us = READ_ONLY_US + self._us(2 * cluster.timing.grace_us // 1_000)
            readers_us = self._draw.randint(READ_ONLY_US, before_us)
            self._cut_from_witness(name, before_us + alone_us)
            cluster.after(before_us - readers_us, self._leave_readers, name, readers_us + alone_us)
            cluster.after(before_us, self._cut_apart, name, alone_us)
            return before_us + alone_us
        patience_us = 2 * cluster.timing.grace_us
        self._cut_from_witness(name, patience_us + alone_us)
        cluster.cut([(name, heir)], FOREVER_US)
        self._leave_readers(name, patience_us + alone_us)
        self._beacon_to_claimant(name, cluster.now_us + patience_us, alone_us)
        return patience_us + alone_us

    def _beacon_to_claimant(self, name: str, until_us: int, alone_us: int) -> None:
        """Beacons pass again once the heir claims, which does not hear what the witness answers; then nothing does."""
        cluster, heir = self.cluster, PEER[name]
        replica = cluster.nodes[heir].replica
        claims = replica is not None and replica.role in (Role.PROMISING, Role.CLAIMING)
        if not self.stopped and not claims and cluster.now_us < until_us:
            cluster.after(LOOK_EVERY_US, self._beacon_to_claimant, name, until_us, alone_us)
            return
        cluster.mend([(name, heir)])
        if claims and not self.stopped:
            cluster.cut([(WITNESS, heir)], HEIR_DEAF_US)
            cluster.after(HEIR_DEAF_US, self._cut_apart, name, alone_us)

    def _cut_from_witness(self, name: str, duration_us: int) -> None:
        self.cluster.cut([(name, WITNESS), (WITNESS, name)], duration_us)

    def _cut_apart(self, name: str, duration_us: int) -> None:
        if not self.stopped:
            self.cluster.cut([(name, PEER[name]), (PEER[name], name)], duration_us)

    def _leave_readers(self, name: str, duration_us: int) -> None:
        if not self.stopped:
            self.cluster.leave_readers(name, duration_us)

    # -- for good

    def _one_stays_down(self) -> int | None:
        """A node is down until healing: the other serves alone. Only what must not lead alone is brought back."""
        cluster = self.cluster
        if not self._is_calm():
            return None
        name = self._node()
        cluster.retire(name)
        cluster.after(NEEDED_AFTER_US, self._bring_back_if_needed, name)
        return FOREVER_US

    def _bring_back_if_needed(self, name: str) -> None:
        """A swap on its way, or another disk that rots, may have left it alone with what must not be lost."""
        cluster = self.cluster
        if cluster.nodes[PEER[name]].member not in cluster.register.in_sync:
            cluster.bring_back(name)
        elif not self.stopped:
            cluster.after(NEEDED_AFTER_US, self._bring_back_if_needed, name)

    # -- disks

    def _write_error(self) -> int | None:
        """A write fails, once or for a while (a full disk): the process ends, and is started again and again."""
        name = self._node()
        if self.cluster.nodes[name].replica is None:
            return None
        lasting_us = self._draw.choice((0, self._down_us()))
        self.cluster.fail_fsync(name, lasting_us)
        self._supervise(name, self.cluster.now_us + lasting_us + 2 * SUPERVISED_US)
        return lasting_us

    def _supervise(self, name: str, until_us: int) -> None:
        if self.cluster.now_us >= until_us:
            self.cluster.mend_disk(name)
        elif not self.stopped:
            self.cluster.after(SUPERVISED_US, self._supervise, name, until_us)
        self.cluster.restart(name)

    def _damage(self) -> int | None:
        """A bit flips on the disk of a node that is down: it refuses to start, until its operator has it rebuilt."""
        name = self._node()
        if self.cluster.nodes[name].replica is None or not self._is_safe_without(name):
            return None
        down_us = IN_FLIGHT_US + self._down_us()
        rebuilt_us = down_us + self._down_us()
        self.cluster.crash(name)
        self.cluster.after(down_us, self._rot_and_start, name)
        self.cluster.after(rebuilt_us, self.cluster.rebuild, name)
        return rebuilt_us

    def _rot_and_start(self, name: str) -> None:
        """Not while the witness saves a swap of its own, which may leave it the only one that is counted in. What still
        waits there, at a witness that stands still, has waited too long (R16)."""
        cluster = self.cluster
        is_down = cluster.nodes[name].replica is None
        if is_down and self._is_safe_without(name) and not cluster.saves_swap_of(name):
            cluster.damage(name)
        cluster.restart(name)

    def _is_safe_without(self, name: str) -> bool:
        """Whether the other node is counted in, with a disk that is sound: it holds everything."""
        other = self.cluster.nodes[PEER[name]]
        sound = not (other.disk.refused or other.disk.rotten or other.disk.forgot)
        return sound and other.member in self.cluster.register.in_sync

    def _lying_disk(self) -> int | None:
        """A backup's disk calls durable what it only cached, then its power fails. It must not lead before it is
        found out, and is: as long as its primary lives and is heard."""
        cluster = self.cluster
        active = cluster.active()
        if len(active) != 1 or not self._is_calm() or not self._is_led(PEER[active[0]]):
            return None
        name = PEER[active[0]]
        lie_us, down_us = self._us(LIE_MS_MAX), self._draw.randint(10, 200) * 1_000
        self._quiet_until_us = cluster.now_us + lie_us + down_us + FOUND_US
        cluster.faults = cluster.faults.calmed(["fsync_stall"])
        cluster.lie(name, lie_us + 1)
        cluster.after(lie_us, self._forget, name, self._draw.random(), down_us)
        return lie_us + down_us

    def _forget(self, name: str, share: float, down_us: int) -> None:
        if self.stopped:
            return
        cluster = self.cluster
        primary = cluster.nodes[PEER[name]].replica
        cluster.crash(name, keep=lambda at_risk: int(share * at_risk))
        if primary is not None and primary.active and cluster.in_sync():
            cluster.checker.counted_on[name] = primary.node.commit_seq
        cluster.after(down_us, cluster.restart, name)
        cluster.after(down_us + FOUND_US, self._end_quiet, name)

    def _end_quiet(self, name: str) -> None:
        self.cluster.checker.counted_on.pop(name, None)
        self.cluster.rebuild(name)
        if not self.stopped:
            self.cluster.faults = self.profile

    def _is_led(self, name: str) -> bool:
        """Whether a node hears its primary and is on no way to lead itself."""
        cluster = self.cluster
        replica = cluster.nodes[name].replica
        if replica is None or replica.following is None or replica.role is not Role.FOLLOWING:
            return False
        silent_us = replica.following.silent_us(cluster.clock(name).boot_us)
        return silent_us < cluster.timing.grace_us // 2 and not cluster.swap_under_way(name)

    def _is_calm(self) -> bool:
        """Nothing is cut, frozen, down, about to fail or behind."""
        cluster = self.cluster
        now_us = cluster.now_us
        settled = all(
            node.replica is not None and node.paused_until_us <= now_us and node.disk.is_well(now_us)
            for node in cluster.nodes.values()
        )
        return settled and cluster.in_sync() and not cluster.cuts and cluster.witness is not None
