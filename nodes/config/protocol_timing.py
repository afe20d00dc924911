"""The configuration's milliseconds as the protocol's microseconds."""

from __future__ import annotations

from es.replication import timing
from nodes.config.cluster import Timing


def protocol_timing(configured: Timing) -> timing.Timing:
    """The part of the configuration that replicas and witness go by."""
    return timing.Timing(
        beacon_us=configured.beacon_ms * 1_000,
        lease_us=configured.lease_ms * 1_000,
        stall_us=configured.stall_ms * 1_000,
        shrink_us=configured.shrink_ms * 1_000,
        grace_us=configured.grace_ms * 1_000,
        retry_us=configured.retry_ms * 1_000,
    )
