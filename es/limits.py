"""Every bound of the kernel, in one place. Units are in the names."""

BATCH_ENTRIES_MAX = 4_096
"""Events in one commit batch."""

BATCH_BYTES_MAX = 1 << 20
"""Encoded size of one commit batch; a frame must fit the transport's message bound."""

ENTRY_BYTES_MAX = 64 << 10
"""Encoded size of one entry's body, as an application promises it."""

TAIL_BATCHES_MAX = 64
"""Batches a node may hold that are not yet durable and committed."""

PIPELINED_BATCHES = 2
"""Batches under way at once before requests gather in the next one. More gives smaller batches, whose fixed cost
is most of their cost; only a full batch goes on its way regardless."""

WAITERS_MAX = 50_000
"""Requests and reads that wait for a commit; beyond it the answer is a refusal (BUSY)."""

STASH_FRAMES_MAX = 64
"""Frames that arrived ahead of a gap, kept until the gap is filled."""

FETCH_BYTES_MAX = 1 << 20
"""Batch bytes in one answer to a FETCH; one batch is always sent, whatever its size."""

FETCH_BATCHES_MAX = 256
"""Batches in one answer to a FETCH."""

JOIN_WINDOW_BATCHES = 8
"""A follower whose acknowledgement is within this many batches of the head may become pending (R4)."""

MEMBERS_MAX = 7
"""Data nodes of one cluster."""

REPLAY_EVENTS_PER_TURN = 20_000
"""Events a node folds in one turn while it rebuilds its state, so that its loop keeps breathing."""

DUE_EVENTS_PER_BATCH = 16
"""Deadline events (expiries) that one batch takes before it takes requests, which have to wait for them; and as many
more as the batch before had requests, so that they keep pace with what requests begin."""

SEQ_MAX = 1 << 48
"""Events of one log that a checkpoint can speak of: a million a second for nine years."""

EPOCH_MAX = 1 << 32
"""Epochs that a checkpoint can speak of: each is a change of role."""

NAME_CHARS_MAX = 64
"""A node's name, its incarnation, a cluster's id."""

CHECKPOINT_BYTES_MAX = 1_024
"""An encoded checkpoint with its signature; three of the longest names fit."""
