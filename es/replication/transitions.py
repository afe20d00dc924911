"""Roles of a data node, and every move between them, as a table with reasons."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """What a data node does at this moment."""

    FOLLOWING = "following"
    """Stores what a primary sends, or waits to hear who leads."""
    PROMISING = "promising"
    """The witness agreed that the primary is silent; the promise to leave its epoch is being fsynced."""
    CLAIMING = "claiming"
    """A compare-and-swap that would make this node primary is with the witness."""
    OPENING = "opening"
    """Primary of a new epoch; serves nothing until its first batch has committed."""
    LEADING = "leading"
    """Primary, serving."""
    HALTED = "halted"
    """Said why it stopped; says nothing more."""


TRANSITIONS: dict[tuple[Role, str], Role] = {
    (Role.FOLLOWING, "the witness granted the prevote"): Role.PROMISING,
    (Role.FOLLOWING, "the register names this node, which restarted"): Role.CLAIMING,
    (Role.FOLLOWING, "the witness granted again what was promised before"): Role.CLAIMING,
    (Role.PROMISING, "the promise is durable"): Role.CLAIMING,
    (Role.CLAIMING, "the register is ours"): Role.OPENING,
    (Role.OPENING, "the epoch's first batch has committed"): Role.LEADING,
    (Role.PROMISING, "another epoch began"): Role.FOLLOWING,
    (Role.CLAIMING, "another epoch began"): Role.FOLLOWING,
    (Role.OPENING, "another epoch began"): Role.FOLLOWING,
    (Role.LEADING, "another epoch began"): Role.FOLLOWING,
    (Role.FOLLOWING, "it must not go on"): Role.HALTED,
    (Role.PROMISING, "it must not go on"): Role.HALTED,
    (Role.CLAIMING, "it must not go on"): Role.HALTED,
    (Role.OPENING, "it must not go on"): Role.HALTED,
    (Role.LEADING, "it must not go on"): Role.HALTED,
}
