"""Proof that promises hold: disks that fail, files that go bad, frames that lie, links that break, servers that die.

Every instrument is a function that gives an `Outcome` and a command, `python -m ops.prove.NAME`; each that
could be blind has a control, a weakened log or decoder that it must convict.
"""
