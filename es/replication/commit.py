"""R1 as a pure function: how far is the log committed?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from es.replication.messages import Member


def commit_point(me: Member, durable_seq: int, required: Collection[Member], acked: Mapping[Member, int]) -> int:
    """Highest sequence number that this primary has fsynced and that every required member has
    acknowledged in this epoch (R1). `required` is in_sync ∪ pending; an absent member counts as 0."""
    return min([durable_seq, *(acked.get(member, 0) for member in required if member != me)])


def copies(me: Member, seq: int, required: Collection[Member], acked: Mapping[Member, int]) -> int:
    """How many nodes hold `seq` durably, this one included. Only `required` members count: the disk of any other may
    have been replaced since it acknowledged. A node that is required as two members has had its disk replaced, and
    counts once both have acknowledged."""
    others = {member: acked.get(member, 0) >= seq for member in required if member != me}
    lacking = {member.node for member, holds in others.items() if not holds}
    return 1 + len({member.node for member in others} - lacking)
