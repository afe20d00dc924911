"""Schedules that chance hardly ever draws: each leads straight to the place where one rule alone prevents the worst.
They belong to the suite: the whole protocol passes them, and the mutant of that rule does not."""

from __future__ import annotations

DIRECTED: dict[str, str] = {
    "late promise": """
# A backup that has claimed the next epoch no longer renews the lease of this one's primary (R5, R7).
> run 1000
> cut a w
> hold Beacon a -> b
> hold Registered w -> b
> run 700
> release Beacon
> run 60
> cut b -> a
> release Registered
> run 20
> credit x 5 at b
> run 20
> total at a
> run 20
""",
    "read without a lease": """
# A primary that is cut off answers no read once another may lead (R7).
> run 1000
> cut a w
> cut a b
> run 700
> credit x 5 at b
> run 20
> total at a
> run 20
""",
    "acknowledgement of any epoch": """
# What a backup acknowledged in an epoch that is over says nothing about this one: it has been cut back since (R1, R2).
> run 1000
> hold BeaconAck b -> a
> stall a 30
> credit u 1 at a
> run 5
> credit v 1 at a
> credit x 1 at a
> credit y 1 at a
> credit z 1 at a
> run 5
> stall a 2000
> run 150
> crash a
> restart a
> run 60
> hold Frame a -> b
> hold Batches a -> b
> credit p 1 at a
> run 20
> credit q 1 at a
> run 20
> release BeaconAck
> run 1000
""",
    "no epoch fence": """
# A frame of an epoch that is over fits the chain, but its primary has lost it and leads on without it (R2).
> run 1000
> hold Frame a -> b
> stall a 2000
> credit x 5 at a
> run 20
> crash a
> hold Batches a -> b
> restart a
> run 60
> release Frame
> run 100
> release Batches
> run 1000
""",
    "cut batch read from the log": """
# What a returning node has cut off says nothing any more, though its disk still holds it: nor does a late answer (R8).
> run 1000
> hold Frame a -> b
> credit p 1 at a
> run 20
> crash a
> drop Frame
> run 700
> credit q 2 at b
> credit r 3 at b
> run 50
> hold Batches b -> a
> restart a
> run 30
> hold Mismatch b -> a
> run 250
> stall a 500
> release Batches
> run 10
> release Mismatch
> run 1500
""",
}
"""By the mutant that each one finds."""
