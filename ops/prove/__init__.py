"""Proof of the disk: power cuts, enumerated crash states, failing calls, full disks and damaged files.

Every instrument is a function that gives an `Outcome` and a command, `python -m ops.prove.NAME`; each that
could be blind has a control, a weakened log that it must convict.
"""
