"""Schedules that chance hardly ever draws: each leads straight to the place where one rule alone prevents the worst.
They belong to the suite: the whole protocol passes them, and the mutant of that rule does not."""

from __future__ import annotations

DIRECTED: dict[str, str] = {
    "late promise": """
# A backup that has claimed the next epoch no longer renews the lease of this one's primary (R5, R7).
> run 1000
> cut a w
> hold Beacon a -> b
> run 400
> hold Registered w -> b
> run 300
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
> hold Ack b -> a
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
> release Ack
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
    "write counted beyond a cut": """
# What was under way when the chain was cut counts as durable only up to the cut: the writes before it are still to come
# back, and what replaces their batches is not on the disk yet (R2, R8).
> run 1000
> stall b 100
> stall a 2500
> credit u0 1 at a
> credit u1 1 at a
> credit u2 1 at a
> credit u3 1 at a
> credit u4 1 at a
> credit u5 1 at a
> run 10
> stall b 280
> crash a
> restart a
> run 190
> credit p 1 at a
> run 90
> crash b
> crash a
> restart b
> run 1500
""",
    "pending given up without asking": """
# A backup that may have been counted in already is required until the witness has said otherwise: the answer to the
# swap that counts it in may merely be late (R4).
> run 1000
> crash b
> run 1000
> hold CompareAndSwap a -> w
> restart b
> run 200
> cut a b
> run 600
> credit x 5 at a
> run 30
> release CompareAndSwap
> run 5
> crash a
> run 1000
""",
    "promise not stored": """
# A backup that has claimed the next epoch and restarts has not forgotten it: it renews no lease of this one (R5).
> run 1000
> cut a w
> hold Beacon a -> b
> hold CompareAndSwap b -> w
> run 700
> crash b
> restart b
> release Beacon
> run 10
> cut a b
> release CompareAndSwap
> run 130
> credit x 5 at b
> run 20
> total at a
> run 20
""",
    "no grace after the own start": """
# A backup that has just started cannot tell how long its primary has been silent: it waits for a whole grace (R5).
> run 1000
> cut a w
> run 700
> crash b
> cut a b
> restart b
> run 60
> credit x 5 at b
> run 20
> total at a
> run 20
""",
    "grant after the primary spoke": """
# A grant says that the witness heard nothing. It counts only if the backup has not heard anything since either (R5).
> run 1000
> cut a w
> hold Beacon a -> b
> hold Granted w -> b
> run 700
> release Beacon
> run 20
> cut a b
> release Granted
> run 60
> credit x 5 at b
> run 20
> total at a
> run 20
""",
    "witness grants without silence": """
# A primary that the witness hears is not replaced because its backup does not hear it. Nothing is unsafe about it: the
# primary's lease is over. But whoever serves would lose the lead to every link that fails (R5).
> run 1000
> hold CompareAndSwap a -> w
> cut a b
> run 900
> release CompareAndSwap
> run 100
> await a 0
""",
    "no start barrier of the witness": """
# Nor because the witness was down when the primary spoke last. This too costs the service, not its promises (R5).
> run 1000
> hold CompareAndSwap a -> w
> cut a b
> run 520
> crash w
> hold Heartbeat a -> w
> restart w
> run 60
> release Heartbeat
> run 100
> release CompareAndSwap
> run 100
> await a 0
""",
    "lease from the arrival": """
# A lease runs from when the beacon was sent: its acknowledgement may come as late as it likes (R7).
> run 1000
> cut a w
> hold BeaconAck b -> a
> run 100
> cut a b
> run 600
> credit x 5 at b
> run 20
> release BeaconAck
> run 5
> total at a
> run 20
""",
    "read without the lease of pending": """
# A backup that is being counted in may lead as soon as the witness has done it, before its primary learns (R4, R7).
> run 1000
> crash b
> run 1000
> hold Registered w -> a
> hold Outdated b -> a
> restart b
> run 250
> cut a b
> cut a w
> run 900
> credit x 5 at b
> run 20
> total at a
> run 20
""",
    "clock read once a turn": """
# A primary that was frozen in the midst of a turn judges what it drains afterwards by the time it is by then (R7).
> run 1000
> stall a 40
> credit x 1 at a
> run 20
> freeze a 3000 requests writer
> run 1500
> credit y 5 at b
> run 20
> total at a
> run 2000
""",
    "late acknowledgement of a replaced disk": """
# What a disk acknowledged arrives after the disk that replaced it was heard: it is no copy any more (R1).
> run 1000
> hold Ack b -> a
> hold BeaconAck b -> a
> credit x 5 at a
> run 20
> hold Batches a -> b
> crash b keep 9
> wipe b
> restart b
> run 30
> release Ack
> run 20
""",
    "replaced disk counted": """
# A backup that is being counted in is replaced within the epoch: of its two disks one copy is left (R1).
> run 1000
> crash b
> run 600
> hold CompareAndSwap a -> w
> restart b
> run 150
> stall a 300
> credit x 5 at a
> run 20
> crash b keep 9
> wipe b
> restart b
> run 320
""",
    "swap of an earlier life": """
# A restarted primary claims the next epoch and begins it, restarts again, and claims it once more: what the witness
# says of that epoch now is about the life before (R6).
> run 1000
> crash a
> hold CompareAndSwap a -> w
> restart a
> run 10
> hold Registered w -> a
> run 60
> pass Registered
> stall a 200
> release CompareAndSwap
> run 10
> crash a
> restart a
> release Registered
> run 500
""",
    "hint believed": """
# Who holds a server's key says that a far epoch has begun. The witness knows better (R15).
> run 1000
> forge Outdated b -> a 1000000
> run 20
> credit x 5 at a
> await a 0
> run 100
> crash a
> await b 1000
""",
    "unconfirmed beacon believed": """
# Likewise, that he leads it (R15).
> run 1000
> forge Beacon b -> a 1000000
> run 20
> credit x 5 at a
> await a 0
> run 100
> crash b
> run 1000
> await a 0
""",
    "swap that waited": """
# A primary's swap waits at a witness that stands still. Its node is rebuilt: the disk that is gone must not be all that
# is counted in when the witness goes on (R16).
> run 1000
> crash b
> run 350
> pause w 2000
> run 400
> damage a
> crash a
> restart b
> restart a
> rebuild a
> await b 3000
""",
    "speaks while stalled": """
# A primary whose disk hangs falls silent, and its backup takes over. Otherwise nobody serves; nothing is unsafe (R9).
> run 1000
> stall a 2500
> credit x 1 at a
> await b 1000
> run 2000
""",
    "stall never noticed": """
# Likewise, for whom a disk can never hang (R9).
> run 1000
> stall a 2500
> credit x 1 at a
> await b 1000
> run 2000
""",
    "time of a deposed primary": """
# The wall clock stands wrong while a backup takes over late: its log's time is behind what the primary before it counts
# alone. When that one leads again, and the clock is right, it owes by its successor's time (R13).
> run 1000
> jump -3600000
> cut a b
> cut a w
> pause b 5000
> run 6500
> credit x 1 at a
> run 20
> mend
> run 1000
> jump 3600000
> crash b
> await a 3000
""",
}
"""By the mutant that each one finds."""
