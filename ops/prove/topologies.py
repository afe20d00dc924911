"""Every way in which links, processes and clocks fail, and what the cluster must do (replication.md, faults)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import permutations
from typing import Final

from ops.prove.faults import ClockJump, Cut, Fault, Impair, Kill, Pause, Role, both
from ops.prove.packets import Impairment

PRIMARY, BACKUP, WITNESS, CLIENTS = Role.PRIMARY, Role.BACKUP, Role.WITNESS, Role.CLIENTS
FACULTY, EVERYONE = Role.FACULTY, Role.EVERYONE

HOUR_S: Final = 3_600
FLAP_MS: Final = 350


class Expected(Enum):
    """What must be seen while a fault lasts, beside that nothing is lost, double or stale."""

    UNDISTURBED = "service goes on, no epoch begins"
    ALONE = "the primary shrinks and goes on alone"
    TAKEOVER = "the backup leads, the old primary is refused"
    WAITS = "no result, no epoch: nobody may decide"
    DEGRADED = "service goes on, however slowly, by whoever is left"
    SAFE = "whatever is safe"

    @property
    def serves(self) -> bool:
        """Whether clients must get results of what they ask for while the fault lasts."""
        return self not in (Expected.WAITS, Expected.SAFE)


@dataclass(slots=True, frozen=True)
class Topology:
    """`minority` is a server on whose side of the cut nobody may get a result."""

    name: str
    faults: tuple[Fault, ...]
    expected: Expected
    minority: Role | None = None


def _topologies() -> Iterator[Topology]:
    yield from _links_between_two()
    yield from _hosts_cut_off()
    yield from _bad_links()
    yield from _processes()
    yield from _clocks()


def _links_between_two() -> Iterator[Topology]:
    yield Topology("primary-backup", (Cut(both(PRIMARY, BACKUP)),), Expected.ALONE, BACKUP)
    for one, other in permutations((PRIMARY, BACKUP)):
        yield Topology(f"{one}-to-{other}", (Cut(((one, other),)),), Expected.ALONE, BACKUP)
    for server in (PRIMARY, BACKUP):
        yield Topology(f"{server}-witness", (Cut(both(server, WITNESS)),), Expected.UNDISTURBED)
        for one, other in permutations((server, WITNESS)):
            yield Topology(f"{one}-to-{other}", (Cut(((one, other),)),), Expected.UNDISTURBED)
    yield Topology("primary-clients", (Cut(both(PRIMARY, CLIENTS)),), Expected.WAITS)
    for one, other in permutations((PRIMARY, CLIENTS)):
        yield Topology(f"{one}-to-{other}", (Cut(((one, other),)),), Expected.WAITS)
    yield Topology("backup-clients", (Cut(both(BACKUP, CLIENTS)),), Expected.UNDISTURBED)


def _hosts_cut_off() -> Iterator[Topology]:
    outcome = {PRIMARY: Expected.TAKEOVER, BACKUP: Expected.ALONE, WITNESS: Expected.UNDISTURBED}
    for role, expected in outcome.items():
        minority = None if role is WITNESS else role
        yield Topology(f"{role}-cut-off", (Cut(both(role, EVERYONE)),), expected, minority)
        yield Topology(f"{role}-mute", (Cut(((role, EVERYONE),)),), expected, minority)
    yield Topology("backup-deaf", (Cut(((EVERYONE, BACKUP),)),), Expected.ALONE, BACKUP)
    yield Topology("witness-deaf", (Cut(((EVERYONE, WITNESS),)),), Expected.UNDISTURBED)
    # Whether the witness hears that it shrinks is a matter of what TCP still sends unacknowledged.
    yield Topology("primary-deaf", (Cut(((EVERYONE, PRIMARY),)),), Expected.SAFE, PRIMARY)
    yield Topology(
        "primary-with-clients", (Cut((*both(PRIMARY, BACKUP), *both(PRIMARY, WITNESS))),), Expected.TAKEOVER, PRIMARY
    )
    servers_apart = (*both(PRIMARY, BACKUP), *both(PRIMARY, WITNESS), *both(BACKUP, WITNESS))
    yield Topology("all-apart", (Cut(servers_apart),), Expected.WAITS, PRIMARY)


def _bad_links() -> Iterator[Topology]:
    yield Topology("flapping-primary-backup", (Cut(both(PRIMARY, BACKUP), FLAP_MS),), Expected.SAFE)
    yield Topology("flapping-primary", (Cut(both(PRIMARY, EVERYONE), FLAP_MS),), Expected.SAFE)
    yield Topology("loss", (Impair(Impairment(loss=0.1)),), Expected.SAFE)
    yield Topology("delay", (Impair(Impairment(delay_ms=200)),), Expected.SAFE)
    yield Topology("jitter", (Impair(Impairment(jitter_ms=200)),), Expected.SAFE)
    yield Topology("duplicates", (Impair(Impairment(duplicates=0.2)),), Expected.SAFE)
    everything = Impairment(loss=0.05, duplicates=0.05, delay_ms=20, jitter_ms=100)
    yield Topology("loss-duplicates-jitter", (Impair(everything),), Expected.SAFE)


def _processes() -> Iterator[Topology]:
    yield Topology("primary-paused-briefly", (Pause(PRIMARY, 100, 1_000),), Expected.SAFE)
    yield Topology("primary-paused", (Pause(PRIMARY, 4_000, 30_000),), Expected.TAKEOVER)
    yield Topology("backup-paused", (Pause(BACKUP, 4_000, 30_000),), Expected.ALONE)
    yield Topology("witness-paused", (Pause(WITNESS, 100, 30_000),), Expected.UNDISTURBED)
    yield Topology("faculty-paused", (Pause(FACULTY, 100, 30_000),), Expected.UNDISTURBED)
    yield Topology("primary-killed", (Kill(PRIMARY),), Expected.TAKEOVER)
    for call in ("fdatasync", "pwrite64", "sendto"):
        yield Topology(f"primary-killed-at-{call}", (Kill(PRIMARY, call),), Expected.TAKEOVER)
        yield Topology(f"backup-killed-at-{call}", (Kill(BACKUP, call),), Expected.ALONE)
    yield Topology("witness-killed-at-sendto", (Kill(WITNESS, "sendto"),), Expected.UNDISTURBED)


def _clocks() -> Iterator[Topology]:
    for role in (PRIMARY, BACKUP, WITNESS):
        for ahead_s, word in ((HOUR_S, "ahead"), (-HOUR_S, "back")):
            yield Topology(f"{role}-clock-{word}", (ClockJump(role, ahead_s),), Expected.UNDISTURBED)
    for ahead_s, word in ((HOUR_S, "ahead"), (-HOUR_S, "back")):
        faults = (ClockJump(BACKUP, ahead_s), Kill(PRIMARY))
        yield Topology(f"backup-clock-{word}-takeover", faults, Expected.TAKEOVER)


TOPOLOGIES: Final = {topology.name: topology for topology in _topologies()}
