"""The rooms application as schedules run it: so small that everything runs out."""

from __future__ import annotations

from es.testing.cluster import Cluster
from projections.rooms.catalog import CLASSROOM, LAB, Catalog, Room
from projections.rooms.limits import Bounds
from projections.rooms.machine import Rooms

HOLD_MS = 800
"""Short, so that proposals expire within a schedule."""

CATALOG = Catalog.of(
    Room(f"{building}-{kind[0].upper()}{number}", kind, building, 30)
    for building in ("B1", "B2")
    for kind, count in ((CLASSROOM, 7), (LAB, 2))
    for number in range(count)
)
"""Few rooms, so that labs run out, classrooms are lent and requests are denied."""

BOUNDS = Bounds(holds_max=9)
"""Tight, so that BUSY is met too."""


def machine() -> Rooms:
    """The application of one node."""
    return Rooms(CATALOG, hold_ms=HOLD_MS, bounds=BOUNDS)


def nothing_held(cluster: Cluster) -> bool:
    """True if no hold waits for its end on a node that serves."""
    replicas = [cluster.nodes[name].replica for name in cluster.active()]
    return all(replica is None or replica.node.fold.next_deadline() is None for replica in replicas)
